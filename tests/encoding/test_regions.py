"""Summaries of encoding by region, against pandas-free arithmetic and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from repbias.encoding.regions import partition_table, region_table
from repbias.tables import TABLES, as_table


def units(rows, **columns) -> pd.DataFrame:
    """Encoding rows of (region, subject, r, ceiling, p_fdr)."""
    table = pd.DataFrame(rows, columns=["region", "subject", "r", "ceiling", "p_fdr"]).assign(
        **{
            "recording": "v4", "unit": [f"u{i}" for i in range(len(rows))], "experiment": "tasks",
            "condition": "both", "network": "seed0", "seed": 0, "snapshot": "final", "step": 9,
            "included": True, "layer": "hidden1", "r2": 0.2, "reverse_r2": 0.1,
            "r_error": 0.05, "p": 0.5,
            "ceiling_convention": "",
            "r_normalised": 0.0, "log10_alpha": 0.0, "alpha_at_edge": 0.25, "n_stimuli": 40,
        }
        | columns
    )  # fmt: skip
    return as_table("encoding", table)


SUBJECTS = units(
    [
        ("IT", "a", 0.2, 0.5, 0.01),
        ("IT", "a", 0.4, np.nan, 0.20),
        ("IT", "b", 0.6, 0.9, 0.04),
        ("IT", "c", 0.1, 0.6, 0.90),
        ("IT", "c", 0.3, 0.4, 0.05),
        ("V4", "a", 0.5, np.nan, 0.001),
        ("V4", "a", 0.1, np.nan, 0.5),
        ("V4", "a", 0.3, np.nan, 0.5),
        ("V1", "a", 0.7, 0.8, 0.5),
    ]
)


def test_subjects_count_the_same_and_the_interval_is_theirs():
    table = region_table(SUBJECTS)
    assert tuple(table.columns) == TABLES["encoding_regions"].columns
    it = table.set_index("region").loc["IT"]
    by_subject = [0.3, 0.6, 0.2]
    interval = ttest_1samp(by_subject, 0).confidence_interval()
    assert it["r"] == pytest.approx(np.mean(by_subject))
    assert (it["ci_low"], it["ci_high"]) == pytest.approx((interval.low, interval.high))
    assert it["interval"] == "95 %, t over subjects (these stimuli only)"
    assert (it["n_subjects"], it["n_units"], it["n_units_with_ceiling"]) == (3, 5, 4)
    assert it["ceiling"] == pytest.approx(np.mean([0.5, 0.9, 0.5]))
    assert it["r_normalised"] == pytest.approx(np.mean([0.2, 0.6, 0.2]) / np.mean([0.5, 0.9, 0.5]))
    assert it["share_significant"] == pytest.approx(2 / 5)
    assert it["alpha_at_edge"] == pytest.approx(0.25)
    assert (it["r2"], it["reverse_r2"], it["smaller_r2"]) == pytest.approx((0.2, 0.1, 0.1))


def test_the_interval_of_one_subject_is_over_stimuli():
    table = region_table(SUBJECTS).set_index("region")
    v4 = table.loc["V4"]
    low, high = student.interval(0.95, 39, loc=0.3, scale=0.05)
    assert (v4["ci_low"], v4["ci_high"]) == pytest.approx((low, high))
    assert v4["interval"] == "95 %, jackknife of stimuli (this subject only)"
    assert np.isnan(v4["ceiling"])
    assert np.isnan(v4["r_normalised"])
    assert v4["n_units_with_ceiling"] == 0
    assert table.loc["V1"]["r_normalised"] == pytest.approx(0.7 / 0.8)


def test_intervals_end_where_correlations_do():
    table = region_table(units([("V4", "a", 0.95, 1, 0.1), ("V4", "a", 0.9, 1, 0.1)], r_error=0.2))
    assert table["ci_high"][0] == 1


def test_layers_and_networks_are_apart_and_units_may_come_in_any_order():
    other = SUBJECTS.assign(layer="hidden2", r=SUBJECTS["r"] / 2)
    both = pd.concat([SUBJECTS, other, SUBJECTS.assign(seed=1, network="seed1")])
    table = region_table(both)
    assert len(table) == 9
    shuffled = region_table(both.sample(frac=1, random_state=0))
    keys = ["seed", "layer", "region"]
    pd.testing.assert_frame_equal(
        table.sort_values(keys, ignore_index=True), shuffled.sort_values(keys, ignore_index=True)
    )


def test_what_was_not_tested_is_not_significant_nor_insignificant():
    assert region_table(SUBJECTS.assign(p_fdr=np.nan))["share_significant"].isna().all()


def test_no_units_give_no_regions():
    table = region_table(as_table("encoding"))
    assert table.empty
    assert tuple(table.columns) == TABLES["encoding_regions"].columns


PARTS = as_table(
    "variance_partition",
    SUBJECTS.assign(model="joint", part="unique a", r2=SUBJECTS["r"], r2_error=0.05),
)


def test_parts_of_variance_have_the_intervals_of_encoding():
    """Units are averaged within subjects: pooled, their interval would say nothing of others."""
    table = partition_table(PARTS)
    assert tuple(table.columns) == TABLES["variance_partition_regions"].columns
    encoded = region_table(SUBJECTS)
    same = ["recording", "region", "network", "n_subjects", "n_units", "interval"]
    pd.testing.assert_frame_equal(table[same], encoded[same])
    for found, expected in (("r2", "r"), ("ci_low", "ci_low"), ("ci_high", "ci_high")):
        np.testing.assert_allclose(table[found], encoded[expected])


def test_parts_and_networks_are_apart_and_no_parts_give_no_regions():
    other = PARTS.assign(part="all", r2=-2.0)
    table = partition_table(pd.concat([PARTS, other, PARTS.assign(network="seed1")]))
    assert len(table) == 9
    assert table.groupby("part")["r2"].min()["all"] == -2, "nothing is clipped"
    assert table.groupby("part")["ci_low"].min()["all"] < -2
    empty = partition_table(as_table("variance_partition"))
    assert empty.empty
    assert tuple(empty.columns) == TABLES["variance_partition_regions"].columns


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1, 1)), min_size=1, max_size=12))
def test_the_mean_is_that_of_the_subjects_means(values):
    rows = [("IT", f"s{subject}", r, 1.0, 0.5) for subject, r in values]
    found = region_table(units(rows)).iloc[0]
    subjects = {s for s, _ in values}
    means = [np.mean([r for s, r in values if s == subject]) for subject in subjects]
    assert found["r"] == pytest.approx(np.mean(means), abs=1e-12)
    assert found["r_normalised"] == pytest.approx(found["r"], abs=1e-12)
    assert found["n_subjects"] == len(subjects)
