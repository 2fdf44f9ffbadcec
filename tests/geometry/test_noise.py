"""Distances from trials against rsatoolbox, brute-force loops and simulated truth."""

from __future__ import annotations

import logging
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import crossnobis, whitened
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa.ceilings import noise_ceiling
from repbias.rsa.patterns import folds_of
from repbias.rsa.rdms import subject_rdms

seeds = st.integers(0, 10_000)
FROM_TRIALS = ["mahalanobis", "crossnobis", "poisson", "poisson_cv"]


def recording_of(tensor, **columns):
    """One subject's (stimulus, repeat, unit); trials in which nothing was observed are left out."""
    n, repeats, units = tensor.shape
    ids = np.array([f"s{i:02d}" for i in range(n)])
    there = ~np.isnan(tensor).all(axis=2).ravel()
    trials = {"stimulus_id": np.repeat(ids, repeats), "repeat": np.tile(np.arange(repeats), n)}
    trials |= {name: np.asarray(values).ravel() for name, values in columns.items()}
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=tensor.reshape(-1, units)[there],
        trials={name: values[there] for name, values in trials.items()},
        units={
            "unit": np.array([f"u{i}" for i in range(units)]),
            "subject": np.full(units, "subject1"),
            "region": np.full(units, ""),
        },
    )


def rdm(recording, distance, noise="shrinkage"):
    spec = Geometry(recording_distance=distance, noise=noise)
    return subject_rdms(recording, spec, "v4").get_vectors()[0]


def noisy(n=7, repeats=4, units=5, seed=0):
    """Trials whose noise is correlated between units and differs in size."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(units, units)) * rng.uniform(0.5, 2, units)
    return rng.normal(size=(n, 1, units)) + rng.normal(size=(n, repeats, units)) @ mixing


def unequal(seed=0, n=7, repeats=5, units=5):
    """The same with two to five trials per stimulus."""
    tensor, rng = noisy(n, repeats, units, seed), np.random.default_rng(seed)
    for i, count in enumerate(rng.integers(2, repeats + 1, n)):
        tensor[i, count:] = np.nan
    return tensor


def dataset_of(tensor, fold=None):
    stimulus, repeat = np.nonzero(~np.isnan(tensor).any(axis=2))
    folds = repeat if fold is None else np.asarray(fold)[stimulus, repeat]
    return Dataset(
        tensor[stimulus, repeat],
        obs_descriptors={"stimulus": stimulus.tolist(), "fold": folds.tolist()},
    )


METHODS = {"shrinkage": "shrinkage_diag", "diagonal": "diag"}


@pytest.mark.parametrize("units", [5, 30, 60])
@pytest.mark.parametrize("noise", ["shrinkage", "diagonal"])
@pytest.mark.parametrize("make", [noisy, unequal])
def test_noise_precision_is_rsatoolboxs(make, noise, units):
    """More units than trials too; products per unit, as coordinates are others."""
    tensor = make(units=units)
    tensor -= np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    white, data = whitened(tensor, noise), dataset_of(tensor)
    precision = prec_from_unbalanced(data, "stimulus", method=METHODS[noise])
    rows = ~np.isnan(white).any(axis=2)
    np.testing.assert_array_equal(rows, ~np.isnan(tensor).any(axis=2))
    expected = tensor[rows] @ precision @ tensor[rows].T / units
    found = white[rows] @ white[rows].T / white.shape[2]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("noise", ["shrinkage", "diagonal", "none"])
def test_mahalanobis_and_crossnobis_are_rsatoolboxs(noise):
    tensor = noisy()
    data = dataset_of(tensor)
    precision = (
        None if noise == "none" else prec_from_unbalanced(data, "stimulus", method=METHODS[noise])
    )
    for method in ("mahalanobis", "crossnobis"):
        cv = {"cv_descriptor": "fold"} if method == "crossnobis" else {}
        expected = calc_rdm(data, method, "stimulus", noise=precision, **cv).get_vectors()[0]
        found = rdm(recording_of(tensor), method, noise)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("noise", ["shrinkage", "none"])
@pytest.mark.parametrize("by_session", [False, True])
def test_crossnobis_with_unequal_repeats_is_rsatoolboxs(noise, by_session):
    """Of responses without the offset that all stimuli share, which is removed first."""
    tensor = unequal()
    if by_session:
        sessions = np.tile([0, 1, 0, 1, 0], (7, 1))
        recording = recording_of(tensor, session=sessions)
    else:
        sessions, recording = None, recording_of(tensor)
    centred = tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    data = dataset_of(centred, sessions)
    precision = None
    if noise == "shrinkage":
        precision = prec_from_unbalanced(data, "stimulus", method="shrinkage_diag")
    expected = calc_rdm_unbalanced(
        data, "crossnobis", "stimulus", noise=precision, cv_descriptor="fold"
    )
    np.testing.assert_allclose(
        rdm(recording, "crossnobis", noise), expected.get_vectors()[0], rtol=1e-9, atol=1e-10
    )


def test_crossnobis_is_the_mean_over_pairs_of_trials_in_different_folds():
    """Written out in loops."""
    rng = np.random.default_rng(3)
    stimulus = np.repeat(np.arange(4), [4, 3, 5, 2])
    fold = np.array([0, 1, 1, 2, 0, 1, 2, 0, 0, 1, 2, 2, 1, 2])
    x = rng.normal(size=(14, 3))

    def product_mean(i, j):
        rows = product(np.flatnonzero(stimulus == i), np.flatnonzero(stimulus == j))
        return np.mean([x[a] @ x[b] for a, b in rows if fold[a] != fold[b]])

    expected = [
        (product_mean(i, i) + product_mean(j, j) - 2 * product_mean(i, j)) / 3
        for i, j in combinations(range(4), 2)
    ]
    np.testing.assert_allclose(crossnobis(x, stimulus, fold, 4), expected, rtol=1e-12)


def test_noise_does_not_raise_crossnobis():
    """True squared distances; without cross-validation they are higher by twice the variance."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(12, 400))
    truth = pdist(signal, "sqeuclidean") / 400
    tensor = signal[:, None] + 2 * rng.normal(size=(12, 3, 400))
    recording = recording_of(tensor)
    assert rdm(recording, "crossnobis", "none").mean() == pytest.approx(truth.mean(), abs=0.15)
    assert rdm(recording, "squared_euclidean").mean() == pytest.approx(
        truth.mean() + 2 * 4 / 3, abs=0.15
    )


def counts(seed=0, n=6, repeats=3, units=8):
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(2, 2, (n, 1, units)), (n, repeats, units)).astype(float)


def test_poisson_is_rsatoolboxs():
    tensor = counts()
    expected = calc_rdm(dataset_of(tensor), "poisson", "stimulus").get_vectors()[0]
    np.testing.assert_allclose(rdm(recording_of(tensor), "poisson"), expected, rtol=1e-12)


def test_poisson_cv_is_the_mean_over_rsatoolboxs_last_folds():
    """It returns the last fold only: every fold is made the last one in turn."""
    tensor = counts()
    parts = []
    for last in range(3):
        order = [fold for fold in range(3) if fold != last] + [last]
        data = dataset_of(tensor[:, order])
        parts.append(
            calc_rdm(data, "poisson_cv", "stimulus", cv_descriptor="fold").get_vectors()[0]
        )
    np.testing.assert_allclose(
        rdm(recording_of(tensor), "poisson_cv"), np.mean(parts, axis=0), rtol=1e-12
    )


@given(seed=seeds, distance=st.sampled_from(FROM_TRIALS))
def test_permuting_stimuli_permutes_the_rdm(seed, distance):
    tensor = counts(seed) if "poisson" in distance else noisy(6, 3, 8, seed)
    order = np.random.default_rng(seed).permutation(6)
    square = squareform(rdm(recording_of(tensor), distance))
    permuted = squareform(rdm(recording_of(tensor[order]), distance))
    np.testing.assert_allclose(permuted, square[np.ix_(order, order)], rtol=1e-8, atol=1e-10)


@given(seed=seeds, distance=st.sampled_from(FROM_TRIALS))
def test_the_order_of_repeats_does_not_matter(seed, distance):
    tensor = counts(seed) if "poisson" in distance else noisy(6, 3, 8, seed)
    order = np.random.default_rng(seed).permutation(3)
    np.testing.assert_allclose(
        rdm(recording_of(tensor[:, order]), distance),
        rdm(recording_of(tensor), distance),
        rtol=1e-8,
        atol=1e-10,
    )


@given(seed=seeds, distance=st.sampled_from(["mahalanobis", "crossnobis"]))
def test_without_noise_normalisation_rotations_do_not_matter(seed, distance):
    tensor = unequal(seed)
    rotation = ortho_group.rvs(5, random_state=seed)
    np.testing.assert_allclose(
        rdm(recording_of(tensor @ rotation), distance, "none"),
        rdm(recording_of(tensor), distance, "none"),
        rtol=1e-8,
        atol=1e-10,
    )


@given(seed=seeds, distance=st.sampled_from(["mahalanobis", "crossnobis"]))
def test_with_noise_normalisation_the_scale_and_offset_of_units_do_not_matter(seed, distance):
    tensor, rng = unequal(seed), np.random.default_rng(seed)
    changed = tensor * rng.uniform(0.01, 100, 5) + 100 * rng.normal(size=5)
    for noise in ("shrinkage", "diagonal"):
        np.testing.assert_allclose(
            rdm(recording_of(changed), distance, noise),
            rdm(recording_of(tensor), distance, noise),
            rtol=1e-6,
            atol=1e-8,
        )


def test_folds_are_sessions_or_runs_where_stimuli_were_shown_in_several(caplog):
    tensor = noisy(4, 4, 3)
    two = np.tile([0, 0, 1, 1], (4, 1))
    observed = np.ones((4, 4), bool)

    def folds(**columns):
        return folds_of(recording_of(tensor, **columns), observed)

    np.testing.assert_array_equal(folds(), np.tile(np.arange(4), (4, 1)))
    np.testing.assert_array_equal(folds(session=two), two)
    np.testing.assert_array_equal(folds(run=two), two)
    # Runs are numbered anew in every session.
    np.testing.assert_array_equal(folds(session=0 * two, run=two), two)
    apart = two.copy()
    apart[0] = 0  # a stimulus of one session
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(folds(session=apart), np.tile(np.arange(4), (4, 1)))
    assert "in one session only" in caplog.text


def test_folds_follow_trials_whatever_their_order():
    """The session of a trial stays its own when trials are ordered by session."""
    tensor = noisy(5, 4, 3)
    session = np.tile([1, 0, 1, 0], (5, 1))
    expected = rdm(recording_of(tensor, session=session), "crossnobis", "none")
    order = [1, 3, 0, 2]
    found = rdm(recording_of(tensor[:, order], session=session[:, order]), "crossnobis", "none")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    across = rdm(recording_of(tensor), "crossnobis", "none")
    assert np.abs(found - across).max() > 0.1


def test_units_recorded_apart_use_their_own_repeats():
    """Unit by unit: without products of different units the trials need not be common."""
    tensor = noisy(6, 5, 4)
    apart = np.full((6, 10, 4), np.nan)
    apart[:, :5, :2], apart[:, 5:, 2:] = tensor[:, :, :2], tensor[:, :, 2:]
    for noise in ("diagonal", "none"):
        np.testing.assert_allclose(
            rdm(recording_of(apart), "crossnobis", noise),
            rdm(recording_of(tensor), "crossnobis", noise),
            rtol=1e-10,
        )
    with pytest.raises(RepbiasError, match=r"6 of 6 stimuli .* geometry.noise: diagonal"):
        rdm(recording_of(apart), "crossnobis")


def test_trials_without_some_unit_are_left_out_and_counted(caplog):
    tensor = noisy(6, 4, 5)
    tensor[2, 3, 3] = np.nan
    with caplog.at_level(logging.WARNING):
        found = rdm(recording_of(tensor), "crossnobis")
    assert "1 of 24 trials are left out" in caplog.text
    tensor[2, 3] = np.nan
    np.testing.assert_allclose(found, rdm(recording_of(tensor), "crossnobis"), rtol=1e-12)


def test_units_that_the_distance_cannot_use_are_left_out_and_counted(caplog):
    tensor = noisy(6, 4, 5)
    expected = rdm(recording_of(tensor[:, :, 2:]), "crossnobis")
    tensor[3, 1:, 0] = np.nan  # one repeat
    tensor[:, :, 1] = np.arange(6)[:, None]  # no noise
    with caplog.at_level(logging.WARNING):
        found = rdm(recording_of(tensor), "crossnobis")
    assert "2 of 5 units were not observed in two folds for every stimulus" in caplog.text
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("distance", "noise"),
    [("crossnobis", "none"), ("mahalanobis", "shrinkage"), ("poisson_cv", "none")],
)
def test_without_repeats_distances_that_need_them_are_refused(distance, noise):
    tensor = counts(repeats=1)
    with pytest.raises(RepbiasError, match=r"'v4', subject1: 0 units were observed .* at least 2"):
        rdm(recording_of(tensor), distance, noise)


@pytest.mark.parametrize("distance", ["poisson", "poisson_cv"])
def test_poisson_refuses_what_are_no_counts(distance):
    tensor = counts()
    tensor[1, 0, 2] = -3
    with pytest.raises(RepbiasError, match=r"subject1: .* 1 responses are negative"):
        rdm(recording_of(tensor), distance)
    recording = recording_of(counts())
    recording.info["preparation"] = {"standardise": True}
    with pytest.raises(RepbiasError, match="expected standardise: false"):
        rdm(recording, distance)


@pytest.mark.parametrize("distance", ["mahalanobis", "crossnobis"])
def test_the_ceiling_of_one_subject_is_what_the_true_model_reaches(distance):
    """The RDM without noise is the true model; its mean similarity over recordings."""
    rng = np.random.default_rng(0)
    spec = Geometry(recording_distance=distance, noise="diagonal")
    reached, bounds = [], []
    for _ in range(8):
        signal = rng.normal(size=(25, 60))
        recording = recording_of(signal[:, None] + 1.2 * rng.normal(size=(25, 4, 60)))
        data = subject_rdms(recording, spec, "v4").get_vectors()
        reached.append(np.corrcoef(pdist(signal, "sqeuclidean"), data[0])[0, 1])
        ceiling = noise_ceiling(recording, data, "corr", spec, n_splits=20)
        bounds.append((ceiling.low, ceiling.high))
    low, high = np.mean(bounds, axis=0)
    assert 0 < low < high < 1
    assert low - 0.04 < np.mean(reached) < high + 0.04


def test_halves_with_one_fold_have_no_cross_validated_ceiling():
    recording = recording_of(noisy(6, 3, 5))
    spec = Geometry(recording_distance="crossnobis")
    data = subject_rdms(recording, spec, "v4").get_vectors()
    ceiling = noise_ceiling(recording, data, "corr", spec)
    assert np.isnan(ceiling.low)
    assert "fewer than two folds" in ceiling.convention


def test_real_spike_counts_have_every_distance(test_data):
    """V4, 6 to 10 repeats: crossnobis against rsatoolbox on 25 stimuli, others against it."""
    path = test_data / "v4_cowley2023" / "responses_raw" / "responses_210325.npy"
    tensor = np.load(path).transpose(1, 2, 0)[:25].astype(float)
    recording = recording_of(tensor)
    rdms = {d: rdm(recording, d, "diagonal") for d in [*FROM_TRIALS, "squared_euclidean"]}
    for distance in ("mahalanobis", "poisson", "squared_euclidean"):
        assert np.corrcoef(rdms[distance], rdms["crossnobis"])[0, 1] > 0.8
    complete = ~np.isnan(tensor).all(axis=2)
    assert complete.sum(axis=1).min() >= 6
    mean = np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    data = dataset_of(tensor - mean)
    precision = prec_from_unbalanced(data, "stimulus", method="diag")
    expected = calc_rdm_unbalanced(
        data, "crossnobis", "stimulus", noise=precision, cv_descriptor="fold"
    )
    np.testing.assert_allclose(rdms["crossnobis"], expected.get_vectors()[0], rtol=1e-8, atol=1e-9)


def test_the_folds_of_a_subject_do_not_depend_on_who_else_was_recorded():
    """Two subjects on different days: their trials share no row, and numbers of repeats differ."""
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(6)]
    rows, trials, repeats = [], [], []
    for i, stimulus in enumerate(ids):
        for subject, n in ((0, 2 + i % 3), (1, 4)):
            for repeat in range(n):
                row = np.full(8, np.nan)
                row[4 * subject : 4 * subject + 4] = rng.normal(size=4) + i + repeat
                rows.append(row), trials.append(stimulus), repeats.append(repeat)
    both = Recording(
        stimuli={"stimulus_id": np.array(ids)},
        responses=np.array(rows),
        trials={"stimulus_id": np.array(trials), "repeat": np.array(repeats)},
        units={
            "unit": np.arange(8).astype(str),
            "subject": np.repeat(["a", "b"], 4),
            "region": np.full(8, ""),
        },
    )
    of_b = ~np.isnan(both.responses[:, 4])
    alone = Recording(
        stimuli=both.stimuli,
        responses=both.responses[of_b][:, 4:],
        trials={name: values[of_b] for name, values in both.trials.items()},
        units={name: values[4:] for name, values in both.units.items()},
    )
    for noise in ("shrinkage", "none", "diagonal"):
        spec = Geometry(recording_distance="crossnobis", noise=noise)
        together = subject_rdms(both, spec, "x").get_vectors()[1]
        np.testing.assert_allclose(together, subject_rdms(alone, spec, "x").get_vectors()[0])


def test_sessions_of_different_units_are_no_folds():
    """As in files that name units anew every day: repeats within the day are the folds."""
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{i}" for i in range(5)], 8)
    session = np.tile(np.repeat(["one", "two"], 4), 5)
    responses = np.full((40, 6), np.nan)
    for day, units in (("one", slice(0, 3)), ("two", slice(3, 6))):
        responses[session == day, units] = rng.normal(size=(20, 3)) + np.repeat(
            rng.normal(size=(5, 3)), 4, axis=0
        )
    recording = Recording(
        stimuli={"stimulus_id": np.unique(ids)},
        responses=responses,
        trials={"stimulus_id": ids, "session": session, "repeat": np.tile(np.arange(8), 5)},
        units={
            "unit": np.arange(6).astype(str),
            "subject": np.full(6, "s"),
            "region": np.full(6, ""),
        },
    )
    spec = Geometry(recording_distance="crossnobis", noise="diagonal")
    assert np.isfinite(subject_rdms(recording, spec, "x").get_vectors()).all()
