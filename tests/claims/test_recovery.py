"""Model recovery: which layer scores highest, and whether it is the generating one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from repbias.claims.recovery import model_recovery
from repbias.tables import TABLES, as_table

GENERATORS = {"brain": {"source": "tasks/both", "layer": "hidden2", "seed_of_network": 1}}
LAYERS = ["hidden1", "hidden2", "hidden3"]


def rsa_of(scores, **changes):
    """RSA rows of a network: (RDM similarity, seed) to one score per layer."""
    rows = []
    for (rdm_similarity, seed), values in scores.items():
        for layer, value in zip(LAYERS, values, strict=True):
            row = dict.fromkeys(TABLES["rsa_recordings"].columns, 0) | {
                "recording": "brain",
                "rdm_similarity": rdm_similarity,
                "experiment": "tasks",
                "condition": "both",
                "network": f"seed{seed}",
                "seed": seed,
                "snapshot": "final",
                "included": True,
                "layer": layer,
                "similarity": value,
            }
            rows.append(row | changes)
    return as_table("rsa_recordings", rows)


def encoding_of(scores):
    """Encoding rows: seed to (layer, unit) scores."""
    rows = []
    for seed, matrix in scores.items():
        for layer, values in zip(LAYERS, matrix, strict=True):
            for unit, value in enumerate(values):
                rows.append(
                    dict.fromkeys(TABLES["encoding"].columns, 0)
                    | {
                        "recording": "brain",
                        "unit": f"u{unit}",
                        "experiment": "tasks",
                        "condition": "both",
                        "network": f"seed{seed}",
                        "seed": seed,
                        "snapshot": "final",
                        "included": True,
                        "layer": layer,
                        "r": value,
                    }
                )
    return as_table("encoding", rows)


def test_the_layer_with_the_highest_score_is_named():
    rsa = rsa_of(
        {
            ("corr", 1): [0.2, 0.9, 0.5],
            ("corr", 0): [0.6, 0.3, 0.55],
            ("spearman", 1): [-0.3, -0.2, -0.1],
        }
    )
    # Means over units: .5, .3, .4 although hidden2 has the best unit.
    encoding = encoding_of({1: [[0.5, 0.5], [0.6, 0.0], [0.4, 0.4]]})
    table = model_recovery(GENERATORS, rsa, encoding).set_index(["method", "measure", "seed"])
    assert table["named_layer"].to_dict() == {
        ("rsa", "corr", 1): "hidden2",
        ("rsa", "corr", 0): "hidden1",
        ("rsa", "spearman", 1): "hidden3",
        ("encoding", "r", 1): "hidden1",
    }
    assert table["correct"].tolist() == [True, False, False, False]
    assert table["is_generator"].tolist() == [True, False, True, True]
    assert table["score_true"].tolist() == pytest.approx([0.9, 0.3, -0.2, 0.3])
    assert table["score_named"].tolist() == pytest.approx([0.9, 0.6, -0.1, 0.5])
    # The named layer's lead over the best other layer.
    assert table["margin"].tolist() == pytest.approx([0.4, 0.05, 0.1, 0.1])
    assert table["chance"].tolist() == pytest.approx([1 / 3] * 4)
    assert set(table["true_layer"]) == {"hidden2"}


@pytest.mark.parametrize(
    "changes",
    [
        {"snapshot": "initial"},
        {"snapshot": "mastered"},
        {"condition": "easy"},
        {"experiment": "images"},
        {"recording": "other_brain"},
    ],
)
def test_only_trained_networks_of_the_generating_condition_take_part(changes):
    rsa = rsa_of({("corr", 1): [0.2, 0.9, 0.5]}, **changes)
    table = model_recovery(GENERATORS, rsa, as_table("encoding"))
    assert table.empty
    assert tuple(table.columns) == TABLES["model_recovery"].columns


def test_every_recording_has_its_own_generator():
    """The same scores: hidden3 is wrong for one brain and right for the other."""
    generators = GENERATORS | {
        "late": {"source": "tasks/both", "layer": "hidden3", "seed_of_network": 0}
    }
    scores = {("corr", 1): [0.1, 0.2, 0.3]}
    rsa = pd.concat([rsa_of(scores), rsa_of(scores, recording="late")])
    table = model_recovery(generators, rsa, as_table("encoding")).set_index("recording")
    assert table["correct"].to_dict() == {"brain": False, "late": True}
    assert table["is_generator"].to_dict() == {"brain": True, "late": False}


def test_a_layer_without_a_score_is_not_named():
    """A dead layer has no similarity (NaN)."""
    rsa = rsa_of({("corr", 1): [np.nan, 0.1, 0.05]})
    row = model_recovery(GENERATORS, rsa, as_table("encoding")).iloc[0]
    assert row["named_layer"] == "hidden2"
    assert row["margin"] == pytest.approx(0.05)


def test_without_any_score_no_layer_is_named():
    """Otherwise the first layer would be right by the order of a table."""
    rsa = rsa_of({("corr", 1): [np.nan] * 3})
    generators = {"brain": GENERATORS["brain"] | {"layer": "hidden1"}}
    table = model_recovery(generators, rsa, as_table("encoding"))
    assert not table["correct"].any()


def test_networks_below_the_inclusion_criterion_have_no_say():
    rsa = rsa_of({("corr", 1): [0.1, 0.9, 0.5]}, included=False)
    assert len(model_recovery(GENERATORS, rsa, as_table("encoding"))) == 0
