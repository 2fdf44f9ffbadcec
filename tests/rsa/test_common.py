"""Subjects that saw different stimuli are compared on those that all of them saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.spatial.distance import pdist

from repbias.auditing.spec import Audit
from repbias.auditing.tables import audit_recording
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry
from repbias.io.blocks import by_label
from repbias.io.recordings import Recording
from repbias.recordings.reliability import split_half_reliability
from repbias.recordings.spec import Preparation
from repbias.recovery.models import recover
from repbias.recovery.spec import Recovery
from repbias.rsa.cautions import cautions_table
from repbias.rsa.common import common_stimuli, on_common_stimuli
from repbias.rsa.fitted import fitted_models
from repbias.rsa.model_tests import model_tests_table
from repbias.rsa.quality import quality_table
from repbias.rsa.rdms import make_rdms, subject_rdms
from repbias.rsa.tables import compare_recordings, compare_with_recording, compare_with_subjects

IDS = np.array([f"im{i:02d}" for i in range(52)])
LATENT = np.random.default_rng(0).normal(size=(52, 4))
UNITS, REPEATS = 12, 3
#: Which stimuli each of four subjects saw: ten of its own, and the last twelve.
SEEN = [[*range(10 * s, 10 * s + 10), *range(40, 52)] for s in range(4)]
FAST = Geometry(bootstraps=100, permutations=50)


def recording(seen=SEEN, apart: bool = True, **preparation) -> Recording:
    """A recording in which every trial is one subject's, or (not apart) that of all who saw it."""
    n = len(seen)
    keys = [
        (i, r, s if apart else -1)
        for i in range(len(IDS))
        for r in range(REPEATS)
        for s in range(n if apart else 1)
    ]
    rng = np.random.default_rng(1)
    signal = LATENT @ rng.normal(size=(4, n * UNITS))
    noisy = signal[:, None] + rng.normal(size=(len(IDS), REPEATS, n * UNITS))
    responses = np.full((len(keys), n * UNITS), np.nan)
    for row, (i, r, s) in enumerate(keys):
        for subject in [s] if apart else range(n):
            if i in seen[subject]:
                units = slice(subject * UNITS, (subject + 1) * UNITS)
                responses[row, units] = noisy[i, r, units]
    used = ~np.isnan(responses).all(axis=1)
    trials = {
        "stimulus_id": np.array([IDS[i] for i, *_ in keys])[used],
        "repeat": np.array([r for _, r, _ in keys])[used],
    }
    subjects = np.repeat([f"sub{s + 1}" for s in range(n)], UNITS)
    shown = np.isin(IDS, trials["stimulus_id"])
    return Recording(
        stimuli={"stimulus_id": IDS[shown], "level": np.where(LATENT[shown, 0] > 0, "high", "low")},
        responses=by_label(responses[used], subjects),
        trials=trials,
        units={
            "unit": np.array([f"u{i:02d}" for i in range(n * UNITS)]),
            "subject": subjects,
            "region": np.full(n * UNITS, ""),
        },
        info={"preparation": Preparation(**preparation).preparation()},
    )


def means_of(mine: Recording, subject: int, stimuli: list[int]) -> np.ndarray:
    """Average by hand: (stimulus, unit)."""
    whole = np.asarray(mine.responses)[:, subject * UNITS : (subject + 1) * UNITS]
    return np.stack(
        [np.nanmean(whole[mine.trials["stimulus_id"] == IDS[i]], axis=0) for i in stimuli]
    )


def models() -> dict:
    info = {"layer": ["l"], "network": ["net"], "seed": [0], "snapshot": ["final"], "step": [0]}
    info |= {"included": [True]}
    return {
        name: make_rdms(pdist(LATENT[:, :k], "sqeuclidean"), IDS, "squared_euclidean", info)
        for name, k in (("good", 4), ("half", 2))
    }


def r(a: np.ndarray, b: np.ndarray) -> float:
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.parametrize("apart", [True, False])
def test_similarities_and_ceilings_are_of_the_stimuli_that_all_subjects_saw(apart):
    mine, common = recording(apart=apart), SEEN[0][10:]
    table = compare_with_recording("r", mine, "set", models(), FAST)
    assert set(table["n_stimuli"]) == {12} and set(table["n_subjects"]) == {4}
    brains = [pdist(means_of(mine, s, common), "correlation") for s in range(4)]
    for _, row in table.iterrows():
        model = pdist(LATENT[common][:, : {"good": 4, "half": 2}[row["condition"]]], "sqeuclidean")
        expected = np.mean([r(model, brain) for brain in brains])
        assert row["similarity"] == pytest.approx(expected, abs=1e-10)
    z = [(b - b.mean()) / b.std() for b in brains]
    others = [r(b, np.mean([*z[:s], *z[s + 1 :]], axis=0)) for s, b in enumerate(brains)]
    assert table["ceiling_low"][0] == pytest.approx(np.mean(others), abs=1e-10)


@pytest.mark.parametrize("stimuli", ["common", "all"])
def test_single_subjects_are_compared_on_common_stimuli_or_on_all_of_their_own(stimuli):
    mine = recording()
    settings = FAST.model_copy(update={"subject_stimuli": stimuli})
    table = compare_with_subjects("r", mine, "set", models(), settings)
    assert len(table) == 8
    for _, row in table[table["condition"] == "good"].iterrows():
        subject = int(row["subject"][-1]) - 1
        chosen = SEEN[subject] if stimuli == "all" else SEEN[subject][10:]
        brain = pdist(means_of(mine, subject, chosen), "correlation")
        assert row["similarity"] == pytest.approx(r(pdist(LATENT[chosen], "sqeuclidean"), brain))
        assert row["n_stimuli"] == len(chosen)


def test_where_all_subjects_saw_everything_nothing_changes():
    mine = recording([list(range(52))] * 3)
    assert on_common_stimuli(mine, 3) is mine
    together = recording([list(range(52))] * 3, apart=False)
    for table in (compare_with_recording, compare_with_subjects, model_tests_table):
        found, expected = (table("r", rec, "set", models(), FAST) for rec in (mine, together))
        assert_frame_equal(found, expected, rtol=1e-12)
    found, expected = (quality_table("r", rec, FAST) for rec in (mine, together))
    trials = found["measure"] == "trials"
    assert found.loc[trials, "value"].item() == 3 * expected.loc[trials, "value"].item()
    assert_frame_equal(found[~trials], expected[~trials], rtol=1e-12)


def test_a_subject_that_misses_one_stimulus_costs_this_one_and_is_named():
    seen = [list(range(52)), [i for i in range(52) if i != 7], list(range(52))]
    mine = recording(seen)
    table = compare_with_recording("r", mine, "set", models(), FAST)
    assert set(table["n_stimuli"]) == {51} and set(table["n_subjects"]) == {3}
    cautions = cautions_table("r", mine, FAST).set_index("danger")
    caution = cautions.loc["stimuli_left_out"]
    assert caution["value"] == 1
    assert (
        "RSA is of the 51 of 52 stimuli that all 3 subjects saw: sub2 did not see 1 (im07; 52 are "
        "common to the others)."
    ) in caution["sentence"]
    assert "subjects_left_out" not in cautions.index
    assert "stimuli_left_out" not in set(cautions_table("r", recording(seen[:1]), FAST)["danger"])


def test_without_common_stimuli_only_single_subjects_are_compared(caplog):
    mine = recording([list(range(13 * s, 13 * s + 13)) for s in range(4)])
    assert common_stimuli(mine, 3).sum() == 0
    everything = [
        compare_with_recording("r", mine, "set", models(), FAST),
        model_tests_table("r", mine, "set", models(), FAST),
        compare_with_subjects("r", mine, "set", models(), FAST),
        compare_recordings({"a": mine, "b": mine}, FAST),
    ]
    assert all(table.empty for table in everything)
    assert "subjects have 0 stimuli in common, and RSA needs at least 4" in caplog.text
    own = FAST.model_copy(update={"subject_stimuli": "all"})
    assert len(compare_with_subjects("r", mine, "set", models(), own)) == 8
    fitted = FAST.model_copy(update={"fitted": ["weighted"]})
    assert fitted_models("r", mine, "set", {}, fitted).empty
    assert not quality_table("r", mine, FAST).empty
    audit = audit_recording("r", mine, "set", models(), {}, FAST, Audit(features=["level"]))
    assert audit["audit"]["warning"].tolist() == [
        "audit: subjects have 0 stimuli in common, and RSA needs at least 4"
    ]
    recovered = recover("r", mine, "set", models(), {}, FAST, Encoding(), Recovery())
    assert recovered["warning"].str.contains("0 stimuli in common").all()


def test_units_are_chosen_by_all_their_stimuli():
    mine = recording(min_reliability=0.8)
    used = on_common_stimuli(mine, 3)
    reliable = split_half_reliability(mine).full >= 0.8
    assert 0 < reliable.sum() < len(reliable)
    np.testing.assert_array_equal(used.units["unit"], mine.units["unit"][reliable])
    rdms = subject_rdms(used, FAST, "r")
    chosen = reliable[:UNITS]
    expected = pdist(means_of(mine, 0, SEEN[0][10:])[:, chosen], "correlation")
    np.testing.assert_allclose(rdms.dissimilarities[0], expected, atol=1e-10)


def test_sessions_with_units_of_their_own_are_compared_on_what_all_units_saw():
    """One subject: half of its units saw stimuli 0 to 31, the others 20 to 51."""
    whole = np.asarray(recording([list(range(52))]).responses).copy()
    mine = recording([list(range(52))])
    number = np.searchsorted(IDS, mine.trials["stimulus_id"])
    whole[np.ix_(number > 31, np.arange(6))] = np.nan
    whole[np.ix_(number < 20, np.arange(6, 12))] = np.nan
    mine = replace(mine, responses=whole)
    table = compare_with_recording("r", mine, "set", models(), FAST)
    common = list(range(20, 32))
    brain = pdist(means_of(mine, 0, common), "correlation")
    assert set(table["n_stimuli"]) == {12}
    assert table["similarity"][0] == pytest.approx(r(pdist(LATENT[common], "sqeuclidean"), brain))
    (caution,) = cautions_table("r", mine, FAST).query("danger == 'stimuli_left_out'")["sentence"]
    assert (
        "12 of 52 stimuli that all units saw: 12 of 12 units of sub1 did not see all of 40 (im00, "
        "im01, im02, ...), as in sessions with units of their own." in caution
    )
    # Of a few such units the others are used, with all stimuli.
    whole = np.asarray(recording([list(range(52))]).responses).copy()
    whole[number < 20, :2] = np.nan
    table = compare_with_recording("r", replace(mine, responses=whole), "set", models(), FAST)
    assert set(table["n_stimuli"]) == {52}


def test_recordings_are_compared_on_stimuli_that_all_subjects_of_both_saw():
    mine, other = recording(), recording([list(range(30, 52)), list(range(30, 50))])
    table = compare_recordings({"mine": mine, "other": other}, FAST)
    assert set(table["n_stimuli"]) == {10}
    x, y = (
        [pdist(means_of(rec, s, list(range(40, 50))), "correlation") for s in range(n)]
        for rec, n in ((mine, 4), (other, 2))
    )
    of_pairs = table[table["interval"].str.endswith("mean over pairs of subjects")]
    expected = np.mean([[r(a, b) for b in y] for a in x])
    assert of_pairs["similarity"].item() == pytest.approx(expected, abs=1e-10)
