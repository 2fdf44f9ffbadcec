"""Reliability of units and their noise ceilings, against closed forms and other libraries."""

from __future__ import annotations

import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.array import ArrayRecording
from repbias.recordings.reliability import (
    analysed_units,
    ncsnr,
    random_halves,
    reliability_from_repeats,
    reliability_from_standard_errors,
    reliability_table,
    split_half_reliability,
    unit_ceiling,
)
from repbias.recordings.responses import by_repeat, fewest_repeats, stimulus_means


def recording_of(tensor: np.ndarray) -> Recording:
    """A recording of (stimulus, repeat, unit); repeats without any value become no trials."""
    n_stimuli, n_repeats, n_units = tensor.shape
    ids = np.array([f"s{i:04d}" for i in range(n_stimuli)])
    seen = ~np.isnan(tensor).all(axis=2)
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=tensor[seen],
        trials={
            "stimulus_id": np.repeat(ids, n_repeats)[seen.ravel()],
            "repeat": np.tile(np.arange(n_repeats), n_stimuli)[seen.ravel()],
        },
        units={
            "unit": np.array([f"u{i}" for i in range(n_units)]),
            "subject": np.full(n_units, "subject1"),
            "region": np.full(n_units, "V4"),
        },
    )


def simulated(n_stimuli, n_repeats, n_units, reliability, seed=0):
    """Signal of variance 1 and trials whose correlation is `reliability`."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_stimuli, n_units))
    noise = rng.normal(size=(n_stimuli, n_repeats, n_units))
    return signal, signal[:, None] + noise * np.sqrt((1 - reliability) / reliability)


def spearman_brown(r, k):
    """Reliability of k measurements of which each has reliability r."""
    return k * r / (1 + (k - 1) * r)


@pytest.mark.parametrize("reliability", [0.2, 0.6])
@pytest.mark.parametrize("n_repeats", [2, 4])
def test_agrees_with_the_closed_form(reliability, n_repeats):
    _, tensor = simulated(3000, n_repeats, 15, reliability)
    found = split_half_reliability(recording_of(tensor), n_splits=10)
    half, full = (spearman_brown(reliability, k) for k in (n_repeats / 2, n_repeats))
    assert found.half.mean() == pytest.approx(half, abs=0.01)
    assert found.full.mean() == pytest.approx(full, abs=0.01)


@pytest.mark.parametrize("n_repeats", [2, 3, 4, 5])
def test_the_ceiling_is_what_the_true_signal_reaches(n_repeats):
    """By definition the correlation of a perfect model with the averages over all repeats."""
    signal, tensor = simulated(3000, n_repeats, 15, 0.5)
    means = tensor.mean(axis=1)
    reached = np.mean([np.corrcoef(signal[:, u], means[:, u])[0, 1] for u in range(15)])
    ceiling = split_half_reliability(recording_of(tensor), n_splits=10).ceiling.mean()
    assert ceiling == pytest.approx(reached, abs=0.01)


def test_agrees_with_every_split_of_ragged_data():
    """Compared with the mean over all possible splits, listed explicitly."""
    rng = np.random.default_rng(1)
    tensor = rng.normal(size=(5, 1, 2)) + 0.7 * rng.normal(size=(5, 4, 2))
    tensor[0, 2:, 0] = tensor[1, 1, 0] = tensor[2, 0, 0] = tensor[3, :3, 0] = np.nan
    tensor[4, [0, 3], 1] = tensor[1, :3, 1] = np.nan
    found = split_half_reliability(recording_of(tensor), n_splits=6000)
    for u in range(2):
        options = []
        for row in tensor[:, :, u]:
            values = row[~np.isnan(row)]
            size = len(values) // 2
            splits = [
                (values[list(first)].mean(), values[list(second)].mean())
                for first in combinations(range(len(values)), size)
                for second in combinations(set(range(len(values))) - set(first), size)
                if size
            ]
            if splits:
                options.append(splits)
        every = [np.corrcoef(np.array(split).T)[0, 1] for split in product(*options)]
        standard_error = np.std(every) / np.sqrt(6000)
        assert abs(found.half[u] - np.mean(every)) < 4 * standard_error


@given(
    counts=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
)
def test_halves_are_disjoint_equal_and_of_observed_trials(counts, seed):
    """Trial t has the value 2**t, so a half's sum says which trials it holds."""
    rng = np.random.default_rng(seed)
    tensor = np.full((len(counts), 6, 3), np.nan)
    for s, row in enumerate(counts):
        for u, count in enumerate(row):
            trials = rng.permutation(6)[:count]
            tensor[s, trials, u] = 2.0**trials
    (first, second), *_ = random_halves(tensor, 1, seed)
    for s, row in enumerate(counts):
        for u, count in enumerate(row):
            size = count // 2
            if not size:
                assert np.isnan([first[s, u], second[s, u]]).all()
                continue
            observed = int(np.nansum(tensor[s, :, u]))
            a, b = (round(half[s, u] * size) for half in (first, second))
            assert a & b == 0
            assert a.bit_count() == b.bit_count() == size
            assert (a | b) & ~observed == 0


def test_noise_that_units_share_in_a_trial_stays_in_one_half():
    """Otherwise shared noise would look like signal in the RDMs of the halves."""
    shared = np.random.default_rng(2).normal(size=(4000, 4, 1)) * np.ones(2)
    first, second = next(random_halves(shared, 1, 0))
    assert abs(np.corrcoef(first[:, 0], second[:, 1])[0, 1]) < 0.06


def test_the_order_of_trials_in_the_file_does_not_matter():
    _, tensor = simulated(30, 3, 4, 0.5)
    tensor[0, 1] = tensor[5, 2, 0] = np.nan
    recording, shuffled = recording_of(tensor), recording_of(tensor)
    order = np.random.default_rng(0).permutation(len(shuffled.responses))
    shuffled.responses = shuffled.responses[order]
    shuffled.trials = {name: column[order] for name, column in shuffled.trials.items()}
    np.testing.assert_array_equal(stimulus_means(shuffled), stimulus_means(recording))
    a, b = split_half_reliability(shuffled), split_half_reliability(recording)
    np.testing.assert_array_equal(a.full, b.full)


def test_units_with_few_repeats_are_left_out_if_the_recording_says_so():
    """Of the stimuli that a unit was observed for: a stimulus that it missed is no repeat."""
    _, tensor = simulated(12, 4, 5, 0.5)
    tensor[3, 1:, 0] = np.nan
    tensor[3, :, 1] = np.nan
    tensor[:, 2:, 2] = np.nan
    tensor[..., 3] = np.nan
    recording = recording_of(tensor)
    assert fewest_repeats(recording).tolist() == [1, 4, 2, 0, 4]
    for minimum, expected in ((None, [0, 1, 2, 4]), (2, [1, 2, 4]), (3, [1, 4])):
        recording.info["preparation"] = {"min_repeats": minimum}
        assert np.flatnonzero(analysed_units(recording)).tolist() == expected


def test_one_repeat_has_no_reliability():
    _, tensor = simulated(50, 1, 3, 0.5)
    table = reliability_table("v4", recording_of(tensor))
    assert table[["split_half", "reliability", "ceiling"]].isna().all(axis=None)
    assert set(table["convention"]) == {"unavailable"}
    assert list(table["repeats"]) == [1, 1, 1]


@pytest.mark.parametrize("n_repeated", [0, 1, 2])
def test_a_unit_with_too_few_repeated_stimuli_has_no_reliability(n_repeated):
    """Two points always correlate with 1 or -1, whatever the other units' repeats are."""
    _, tensor = simulated(40, 4, 2, 0.9, seed=3)
    tensor[n_repeated:, 1:, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = split_half_reliability(recording_of(tensor))
    assert np.isnan([found.half[0], found.full[0], found.ceiling[0]]).all()
    assert found.ceiling[1] > 0.8


def test_a_constant_unit_has_no_reliability():
    _, tensor = simulated(40, 4, 2, 0.9)
    tensor[:, :, 0] = 3.0
    found = split_half_reliability(recording_of(tensor))
    assert np.isnan(found.ceiling[0])
    assert found.ceiling[1] > 0.8


def test_the_ceiling_is_refused_near_zero():
    """Pure noise: none of 200 units may be normalised, though half the estimates are positive."""
    tensor = np.random.default_rng(4).normal(size=(60, 4, 200))
    found = split_half_reliability(recording_of(tensor))
    assert (found.full > 0).sum() > 50
    assert np.isnan(found.ceiling).mean() > 0.95
    table = reliability_table("noise", recording_of(tensor))
    refused = table["ceiling"].isna()
    assert (table["convention"] == "unavailable").eq(refused).all()


def test_reliability_stays_a_correlation():
    """Spearman-Brown diverges at r = -1; a reliability is never below -1 or above 1."""
    tensor = np.random.default_rng(5).normal(size=(4, 2, 50))
    found = split_half_reliability(recording_of(tensor))
    assert np.nanmin(found.full) >= -1
    assert np.nanmax(found.full) <= 1


def test_recordings_of_rdms_have_no_units():
    recording = Recording(stimuli={"stimulus_id": np.array(["a", "b"])}, rdms=np.ones((1, 1)))
    assert reliability_table("it", recording).empty


def test_macaque_v4(test_data):
    """Of the same 50 units: split-half .588, Spearman-Brown .730 (SOURCE.md of the data)."""
    ids = np.array([f"image{i + 1:04d}" for i in range(640)])
    path = test_data / "v4_cowley2023" / "responses_raw" / "responses_210325.npy"
    spec = ArrayRecording(
        kind="array",
        path=path,
        axes=["unit", "stimulus", "repeat"],
        stimuli="objects",
        stimulus_ids="sorted",
    )
    found = split_half_reliability(read_recording(spec, ids), n_splits=20)
    assert found.half.mean() == pytest.approx(0.588, abs=0.005)
    # Spearman-Brown of twice the half, which is the least that the full average has.
    assert spearman_brown(found.half, 2).mean() == pytest.approx(0.730, abs=0.005)
    assert found.full.mean() > 0.725


def recovery(n_stimuli, counts, n_units, ncsnr, seed=0):
    """Signal of standard deviation `ncsnr` and noise of 1; `counts` repeats, in turn."""
    rng = np.random.default_rng(seed)
    n_repeats = max(counts)
    signal = ncsnr * rng.normal(size=(n_stimuli, 1, n_units))
    tensor = signal + rng.normal(size=(n_stimuli, n_repeats, n_units))
    for s in range(n_stimuli):
        tensor[s, counts[s % len(counts)] :] = np.nan
    return tensor


@pytest.mark.parametrize("counts", [(3,), (3, 2, 1)])
@pytest.mark.parametrize("recovery_snr", [0.3, 1.0])
def test_noise_ceiling_of_recovery_variances(counts, recovery_snr):
    """Allen et al. 2022: ncsnr² / (ncsnr² + mean 1 / n); with 3, 2 and 1 repeats mean 11 / 18."""
    tensor = recovery(3000, counts, 20, recovery_snr)
    assert ncsnr(tensor).mean() == pytest.approx(recovery_snr, abs=0.01)
    mean_inverse = np.mean([1 / n for n in counts])
    expected = recovery_snr**2 / (recovery_snr**2 + mean_inverse)
    found = reliability_from_repeats(recording_of(tensor))
    assert found.full.mean() == pytest.approx(expected, abs=0.01)
    assert np.isnan(found.half).all()


def test_noise_ceiling_is_an_analysis_of_variance():
    """With equal repeats 1 - 1 / F, by scipy's one-way analysis of variance."""
    tensor = recovery(12, (4,), 6, 0.8, seed=1)
    f = np.array([f_oneway(*tensor[:, :, u]).statistic for u in range(6)])
    np.testing.assert_allclose(
        reliability_from_repeats(recording_of(tensor)).full, np.maximum(0, 1 - 1 / f), atol=1e-12
    )


def test_lower_bounds_of_the_noise_ceiling_hold_in_97_5_percent():
    """Of 4,000 units; the standard error of a share of .025 is .0025."""
    tensor = recovery(30, (3,), 4000, 0.7, seed=2)
    errors = np.full((30, 4000), np.sqrt(1 / 3))
    truth = 0.49 / (0.49 + 1 / 3)
    for found in (
        reliability_from_repeats(recording_of(tensor)),
        reliability_from_standard_errors(tensor.mean(axis=1), errors),
    ):
        assert np.mean(found.lower > truth) == pytest.approx(0.025, abs=0.01)


def test_repeats_and_halves_agree():
    _, tensor = simulated(3000, 4, 10, 0.4)
    recording = recording_of(tensor)
    halves, repeats = split_half_reliability(recording, 20), reliability_from_repeats(recording)
    np.testing.assert_allclose(repeats.full, halves.full, atol=0.01)


@given(
    scale=st.floats(0.01, 100),
    offset=st.floats(-10, 10),
    seed=st.integers(0, 1000),
)
def test_noise_ceilings_do_not_depend_on_scale_offset_or_order(scale, offset, seed):
    tensor = recovery(8, (4, 3, 2), 3, 1.0, seed=3)
    rng = np.random.default_rng(seed)
    stimuli, repeats = rng.permutation(8), rng.permutation(4)
    changed = (scale * tensor + offset)[stimuli][:, repeats]
    a, b = (reliability_from_repeats(recording_of(t)) for t in (tensor, changed))
    np.testing.assert_allclose(a.full, b.full, atol=1e-6)
    np.testing.assert_allclose(a.lower, b.lower, atol=1e-6)
    np.testing.assert_allclose(ncsnr(tensor), ncsnr(changed), atol=1e-6)
    means, errors = np.nanmean(tensor, axis=1), rng.uniform(0.1, 1, size=(8, 3))
    a = reliability_from_standard_errors(means, errors)
    b = reliability_from_standard_errors(scale * means[::-1] + offset, scale * errors[::-1])
    np.testing.assert_allclose(a.full, b.full, atol=1e-6)


def test_standard_errors_give_what_repeats_give():
    """With the standard errors of the means computed from the same repeats."""
    tensor = recovery(3000, (5,), 10, 0.6, seed=4)
    errors = tensor.std(axis=1, ddof=1) / np.sqrt(5)
    found = reliability_from_standard_errors(tensor.mean(axis=1), errors)
    expected = reliability_from_repeats(recording_of(tensor))
    # The same pooled variance, so the same ratio.
    np.testing.assert_allclose(found.full, expected.full, rtol=1e-9)


def test_uninformative_standard_errors_give_no_ceiling():
    means = np.random.default_rng(5).normal(size=(20, 4))
    errors = np.full((20, 4), 0.3)
    errors[:, 0] = 0
    errors[:, 1] = np.nan
    errors[3:, 2] = np.nan
    ceiling = reliability_from_standard_errors(means, errors).ceiling
    assert np.isnan(ceiling[:3]).all()
    assert ceiling[3] > 0.9


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones((5, 3)), r"the shape \(5, 3\), expected that of the means, \(5, 2\)"),
        (np.array([[1.0, -1.0]] * 5), "5 standard errors are negative"),
    ],
)
def test_invalid_standard_errors_are_refused(errors, message):
    with pytest.raises(RepbiasError, match=message):
        reliability_from_standard_errors(np.ones((5, 2)), errors)


@pytest.mark.parametrize("ceiling", ["split_half", "repeats"])
def test_the_preparation_chooses_the_ceiling(ceiling):
    _, tensor = simulated(60, 4, 5, 0.5)
    recording = recording_of(tensor)
    recording.info["preparation"] = {"ceiling": ceiling}
    found, convention = unit_ceiling(recording)
    expected, words = {
        "split_half": (split_half_reliability, "sqrt of split-half"),
        "repeats": (reliability_from_repeats, "Allen et al. 2022"),
    }[ceiling]
    np.testing.assert_array_equal(found, expected(recording).ceiling)
    assert words in convention
    table = reliability_table("v4", recording)
    np.testing.assert_array_equal(table["ceiling"], found)
    assert set(table["convention"]) == {convention}
    np.testing.assert_array_equal(table["reliability"], split_half_reliability(recording).full)


def test_standard_errors_are_used_where_nothing_was_repeated():
    _, tensor = simulated(60, 4, 3, 0.5)
    recording = recording_of(tensor.mean(axis=1, keepdims=True))
    recording.standard_errors = tensor.std(axis=1, ddof=1) / 2
    found, convention = unit_ceiling(recording)
    expected = reliability_from_repeats(recording_of(tensor)).full
    np.testing.assert_allclose(found**2, expected, rtol=1e-9)
    assert "standard errors" in convention
    repeated = recording_of(tensor)
    repeated.standard_errors = np.ones(repeated.responses.shape)
    assert "standard errors" not in unit_ceiling(repeated)[1]


def test_the_ceiling_from_repeats_is_refused_near_zero():
    tensor = np.random.default_rng(4).normal(size=(60, 4, 200))
    found = reliability_from_repeats(recording_of(tensor))
    assert (found.full > 0).sum() > 50
    assert np.isnan(found.ceiling).mean() > 0.95


@pytest.mark.parametrize("n_repeated", [0, 3])
def test_a_noise_ceiling_needs_four_repeated_stimuli(n_repeated):
    tensor = recovery(20, (3,), 2, 1.0)
    tensor[n_repeated:, 1:, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = reliability_from_repeats(recording_of(tensor))
    assert np.isnan(found.ceiling[0])
    assert not np.isnan(found.full[1])


def test_a_constant_unit_has_no_noise_ceiling():
    tensor = recovery(20, (4,), 2, 1.0)
    tensor[:, :, 0] = 0.1
    assert np.isnan(reliability_from_repeats(recording_of(tensor)).ceiling[0])


@given(counts=st.lists(st.integers(2, 6), min_size=3, max_size=3), limit=st.integers(1, 3))
def test_halves_have_no_more_trials_than_requested(counts, limit):
    """Trial t has the value 2**t, so a half's sum says which trials it holds."""
    tensor = np.full((3, 6, 1), np.nan)
    for s, count in enumerate(counts):
        tensor[s, :count, 0] = 2.0 ** np.arange(count)
    for halves in random_halves(tensor, 3, 0, limit):
        for s, count in enumerate(counts):
            size = min(count // 2, limit)
            a, b = (round(half[s, 0] * size) for half in halves)
            assert a & b == 0
            assert a.bit_count() == b.bit_count() == size


def test_macaque_v4_noise_ceiling(test_data):
    """74 % of variance (SOURCE.md of the data)."""
    array = np.load(test_data / "v4_cowley2023" / "responses_raw" / "responses_210325.npy")
    found = reliability_from_repeats(recording_of(array.transpose(1, 2, 0)))
    assert 100 * found.full.mean() == pytest.approx(74, abs=0.5)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_unit_that_differs_by_rounding_only_is_constant(standardise):
    """Means of three and of four times 0.1 differ in the last digit."""
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{i:02d}" for i in range(20)], [3, 4] * 10)
    repeat = np.concatenate([np.arange(n) for n in [3, 4] * 10])
    responses = np.stack([rng.normal(size=70), np.full(70, 0.1)], axis=1)
    recording = Recording(
        stimuli={"stimulus_id": np.unique(ids)},
        responses=responses,
        trials={"stimulus_id": ids, "repeat": repeat},
        units={"unit": np.array(["a", "b"]), "subject": np.array(["s", "s"])},
        info={"preparation": {"standardise": standardise}},
    )
    assert analysed_units(recording).tolist() == [True, False]
    assert np.isnan(split_half_reliability(recording).half[1])
    assert np.abs(by_repeat(recording)[..., 1][~np.isnan(by_repeat(recording)[..., 1])]).max() < 1


def test_a_half_without_a_response_counts_as_uncorrelated():
    """So a unit that responds to a single stimulus still has a reliability."""
    tensor = np.zeros((12, 4, 1))
    tensor[0, :2], tensor[1, 0] = 1, 1
    ids = np.repeat([f"s{i:02d}" for i in range(12)], 4)
    recording = Recording(
        stimuli={"stimulus_id": np.unique(ids)},
        responses=tensor.reshape(-1, 1),
        trials={"stimulus_id": ids, "repeat": np.tile(np.arange(4), 12)},
        units={"unit": np.array(["a"]), "subject": np.array(["s"])},
    )
    assert 0 <= split_half_reliability(recording).half[0] < 1
