"""Noise ceilings of recordings against published values and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from repbias.geometry.ceilings import subject_ceiling
from repbias.geometry.spec import Geometry
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.rsa.ceilings import noise_ceiling
from repbias.rsa.rdms import subject_rdms

CORRELATION = Geometry(recording_distance="correlation")


def test_the_ceiling_of_several_subjects_leaves_one_out(rdm_recording):
    data = np.random.default_rng(0).uniform(size=(4, 66))
    ceiling = noise_ceiling(rdm_recording(data), data, "spearman", CORRELATION)
    assert (ceiling.low, ceiling.high) == subject_ceiling(data, "spearman")
    assert "leave one subject out" in ceiling.convention


@pytest.mark.parametrize("n_repeats", [2, 3, 4])
@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
def test_the_ceiling_of_one_subject_is_what_the_true_model_reaches(
    distance, n_repeats, trial_recording
):
    """The RDM without noise is the true model; its mean similarity over 10 recordings."""
    rng = np.random.default_rng(0)
    reached, bounds = [], []
    for _ in range(10):
        signal = rng.normal(size=(30, 60))
        tensor = signal[:, None] + 0.7 * rng.normal(size=(30, n_repeats, 60))
        recording = trial_recording(tensor)
        data = subject_rdms(recording, Geometry(recording_distance=distance), "v4").dissimilarities
        metric = "correlation" if distance == "correlation" else "sqeuclidean"
        reached.append(np.corrcoef(pdist(signal, metric), data[0])[0, 1])
        ceiling = noise_ceiling(
            recording, data, "corr", Geometry(recording_distance=distance), n_splits=20
        )
        bounds.append((ceiling.low, ceiling.high))
    assert ceiling.convention.startswith("sqrt of split-half RDM similarity")
    low, high = np.mean(bounds, axis=0)
    assert 0 < low < high < 1
    assert low - 0.03 < np.mean(reached) < high + 0.03


@pytest.mark.parametrize("distance", ["mahalanobis", "crossnobis"])
def test_the_ceiling_of_one_subject_is_what_the_true_model_reaches_from_trials_too(
    distance, trial_recording
):
    """The RDM without noise is the true model; its mean similarity over recordings."""
    rng = np.random.default_rng(0)
    spec = Geometry(recording_distance=distance, noise="diagonal")
    reached, bounds = [], []
    for _ in range(8):
        signal = rng.normal(size=(25, 60))
        recording = trial_recording(signal[:, None] + 1.2 * rng.normal(size=(25, 4, 60)))
        data = subject_rdms(recording, spec, "v4").dissimilarities
        reached.append(np.corrcoef(pdist(signal, "sqeuclidean"), data[0])[0, 1])
        ceiling = noise_ceiling(recording, data, "corr", spec, n_splits=20)
        bounds.append((ceiling.low, ceiling.high))
    low, high = np.mean(bounds, axis=0)
    assert 0 < low < high < 1
    assert low - 0.04 < np.mean(reached) < high + 0.04


def test_without_subjects_or_repeats_the_ceiling_is_unavailable(trial_recording, rdm_recording):
    rng = np.random.default_rng(0)
    rdm = rng.uniform(size=(1, 28))
    for recording in (rdm_recording(rdm), trial_recording(rng.normal(size=(8, 1, 5)))):
        ceiling = noise_ceiling(recording, rdm, "corr", CORRELATION)
        assert np.isnan([ceiling.low, ceiling.high]).all()
        assert ceiling.convention.startswith("unavailable")


def test_a_recording_of_pure_noise_has_no_ceiling(trial_recording):
    tensor = np.random.default_rng(1).normal(size=(30, 4, 40))
    recording = trial_recording(tensor)
    data = subject_rdms(recording, CORRELATION, "noise").dissimilarities
    ceiling = noise_ceiling(recording, data, "corr", CORRELATION, n_splits=20)
    assert np.isnan([ceiling.low, ceiling.high]).all()
    assert ceiling.convention == "unavailable: halves of the repeats do not agree"


def test_a_pattern_that_is_constant_in_a_half_leaves_no_ceiling(trial_recording):
    """Sparse counts: silent in single trials, not in their mean."""
    tensor = np.random.default_rng(2).poisson(0.05, size=(20, 2, 12)).astype(float)
    tensor[:, 0, 0], tensor[:, 1, 1] = 1, 1  # no pattern of the means is constant
    recording = trial_recording(tensor)
    data = subject_rdms(recording, CORRELATION, "sparse").dissimilarities
    tensor[0] = 0
    tensor[0, 0, 0] = 1  # one spike, in one trial
    recording = trial_recording(tensor)
    ceiling = noise_ceiling(recording, data, "corr", CORRELATION, n_splits=20)
    assert np.isnan(ceiling.low)
    assert "unavailable" in ceiling.convention and "constant" in ceiling.convention


def test_halves_with_one_fold_have_no_cross_validated_ceiling(trial_recording):
    recording = trial_recording(np.random.default_rng(0).normal(size=(6, 3, 5)))
    spec = Geometry(recording_distance="crossnobis")
    data = subject_rdms(recording, spec, "v4").dissimilarities
    ceiling = noise_ceiling(recording, data, "corr", spec)
    assert np.isnan(ceiling.low)
    assert "fewer than two folds" in ceiling.convention


def human_it(test_data):
    """The recording, and its RDMs (subject, pair)."""
    spec = RdmRecording(
        kind="rdms",
        path=test_data / "rdm92_kriegeskorte2008" / "92_brainRDMs.mat",
        variable="RDMs.RDM",
        axes=["_", "subject", "session", "stimulus", "stimulus"],
        stimuli="objects92",
        stimulus_ids="sorted",
    )
    recording = read_recording(spec, np.array([f"image{i + 1:02d}" for i in range(92)]))
    return recording, subject_rdms(recording, CORRELATION, "human_it").dissimilarities


@pytest.mark.parametrize(
    ("rdm_similarity", "expected"), [("spearman", (0.3723, 0.6657)), ("corr", (0.3944, 0.6804))]
)
def test_the_ceiling_of_human_it(rdm_similarity, expected, test_data):
    """Four subjects, two sessions each, 92 images; rsatoolbox_matlab's data and rsatoolbox's
    published route (reference values beside the data)."""
    recording, data = human_it(test_data)
    assert len(data) == 4
    ceiling = noise_ceiling(recording, data, rdm_similarity, CORRELATION)
    assert (ceiling.low, ceiling.high) == pytest.approx(expected, abs=1e-4)


def test_where_the_other_published_ceiling_comes_from(test_data):
    """.379/.661 (beside the data) are of subjects against the plain mean RDM of the others or of
    all; rsatoolbox, and we, rank the RDMs before they are averaged: .372/.666."""
    _, data = human_it(test_data)
    low = [spearmanr(np.delete(data, s, 0).mean(axis=0), row)[0] for s, row in enumerate(data)]
    high = [spearmanr(data.mean(axis=0), row)[0] for row in data]
    assert (np.mean(low), np.mean(high)) == pytest.approx((0.379, 0.661), abs=5e-4)
