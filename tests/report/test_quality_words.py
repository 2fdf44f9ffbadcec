"""Measures of a recording's quality have words, and marks with the bounds that the docs name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.report.quality import BOUNDS, mark_of, words_of
from repbias.rsa.quality import quality_table

DOCS = Path(__file__).parents[2] / "docs" / "results.md"


def test_every_measure_has_words_and_those_of_rdms_name_their_similarity():
    rng = np.random.default_rng(0)
    stimuli, subjects = np.arange(6).astype(str), np.repeat(["a", "b"], 4)
    trials = {"stimulus_id": np.tile(stimuli, 4), "repeat": np.repeat(np.arange(4), 6)}
    units = {"unit": np.arange(8).astype(str), "subject": subjects, "region": np.full(8, "V4")}
    responses = rng.normal(size=(24, 8))
    of_units = Recording({"stimulus_id": stimuli}, responses, trials, units)
    names = np.repeat(["a", "b"], 2)
    of_rdms = Recording(
        {"stimulus_id": stimuli}, rdms=rng.random((4, 15)), rdm_info={"subject": names}
    )
    for recording in (of_units, of_rdms):
        for measure in quality_table("x", recording, Geometry())["measure"]:
            assert "_" not in words_of(measure)
    assert words_of("rdm_split_half_spearman") == "reliability of RDMs (spearman)"


def test_bounds_of_marks_are_those_of_the_docs():
    found = {}
    for names, doubtful, good in re.findall(
        r"^\| (`.*?) \| ([\d.]+) \| ([\d.]+) \|$", DOCS.read_text(), re.M
    ):
        found |= dict.fromkeys(re.findall("`(.*?)`", names), (float(doubtful), float(good)))
    assert found == BOUNDS


@pytest.mark.parametrize(
    ("measure", "value", "mark"),
    [
        ("reliability", 0.19, "doubtful"),
        ("reliability", 0.2, ""),
        ("reliability", 0.5, "good"),
        ("rdm_split_half_equal_corr", 0.1, "doubtful"),
        ("units_silent", 3, "doubtful"),
        ("units_silent", 1, ""),
        ("unobserved", 0, "good"),
        ("decoding", 0.3, "good"),
        ("decoding", 0.2, "doubtful"),
        ("reliability", np.nan, ""),
        ("trials", 10, ""),
    ],
)
def test_marks_are_of_bounds_faults_and_chance(measure, value, mark):
    method = "linear SVM, leave one run out, chance 0.25; mean of 2 subjects"
    row = {"measure": measure, "value": value, "ci_low": np.nan, "method": method}
    assert mark_of(row, n_units=20) == mark
