"""Published numbers stand beside the measured ones, and are never mixed up with them."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.claims.references import compare_references
from repbias.config.references import Reference
from repbias.tables import as_table


def table(name, rows):
    frame = pd.DataFrame(rows)
    return as_table(name, frame.reindex(columns=as_table(name).columns))


TABLES = {
    "quality": table(
        "quality",
        [
            {
                "recording": "v4",
                "subject": "",
                "region": "",
                "measure": "reliability",
                "value": 0.7,
            },
            {
                "recording": "v4",
                "subject": "s1",
                "region": "",
                "measure": "reliability",
                "value": 9,
            },
            {
                "recording": "v4",
                "subject": "",
                "region": "V4",
                "measure": "reliability",
                "value": 8,
            },
            {"recording": "it", "subject": "", "region": "", "measure": "reliability", "value": 7},
        ],
    ),
    "rsa_recordings": table(
        "rsa_recordings",
        [
            {"recording": "it", "region": "", "rdm_similarity": c}
            | {"ceiling_low": low, "ceiling_high": low + 0.5}
            for c, low in (("corr", 0.1), ("spearman", 0.2))
        ],
    ),
    "rsa_between_recordings": table(
        "rsa_between_recordings",
        [
            {"recording_a": a, "recording_b": b, "rdm_similarity": "corr", "similarity": s}
            | {"interval": f"95 %, {averaging}", "region_a": "", "region_b": ""}
            for a, b, s, averaging in (
                ("it", "v4", 0.4, "mean over pairs of subjects"),
                ("it", "v4", 0.6, "mean RDM"),
                ("it", "v1", 0.3, "mean over pairs of subjects"),
            )
        ],
    ),
}


def compare(**reference):
    reference = {"value": 0.5, "source": "a paper"} | reference
    return compare_references([Reference(**reference)], TABLES).iloc[0]


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"recording": "v4", "measure": "reliability"}, 0.7),
        ({"recording": "v4", "measure": "reliability", "region": "V4"}, 8),
        ({"recording": "it", "measure": "rsa_ceiling_high", "rdm_similarity": "spearman"}, 0.7),
        ({"recording": "it", "measure": "rsa_ceiling_low", "rdm_similarity": "corr"}, 0.1),
        (
            {"recording": "v4", "measure": "similarity", "other": "it", "rdm_similarity": "corr"},
            0.4,
        ),
        (
            {"recording": "it", "measure": "similarity", "other": "v1", "rdm_similarity": "corr"},
            0.3,
        ),
        (
            {"recording": "v4", "measure": "similarity_of_mean_rdms", "other": "it"}
            | {"rdm_similarity": "corr"},
            0.6,
        ),
    ],
)
def test_the_measured_value_is_found(reference, value):
    row = compare(**reference)
    assert row["value"] == pytest.approx(value)
    assert row["published"] == 0.5
    assert row["difference"] == pytest.approx(value - 0.5)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"recording": "v4", "measure": "relability"}, "did you mean 'reliability'"),
        (
            {"recording": "v4", "measure": "similarity", "other": "v1", "rdm_similarity": "corr"},
            "not compared with 'v1'",
        ),
        ({"recording": "v4", "measure": "rsa_ceiling_low", "rdm_similarity": "corr"}, "no RSA by"),
    ],
)
def test_a_measure_that_does_not_exist_is_refused(reference, message):
    with pytest.raises(RepbiasError, match=message):
        compare(**reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"measure": "similarity", "rdm_similarity": "corr"}, "`other` names"),
        ({"measure": "reliability", "other": "it"}, "`other` names"),
        ({"measure": "rsa_ceiling_low"}, "an RDM similarity is needed"),
        ({"measure": "reliability", "rdm_similarity": "corr"}, "an RDM similarity is needed"),
    ],
)
def test_an_incomplete_entry_is_refused(reference, message):
    with pytest.raises(ValidationError, match=message):
        Reference(recording="v4", value=1, source="a paper", **reference)
