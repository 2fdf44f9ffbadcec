"""The table of quality: counts, and measures against other implementations and published ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import beta, spearmanr
from sklearn.svm import SVC

from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.array import ArrayRecording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.recordings.reliability import reliability_from_repeats, split_half_reliability
from repbias.rsa.quality import Measured, decode, participation_ratio, quality_table
from repbias.tables import read_table, write_table

N_STIMULI, N_REPEATS, N_UNITS = 12, 4, 8


def recording_of(tensor, subjects=None, regions=None, **preparation):
    """A recording of (stimulus, repeat, unit); repeats without any value are no trials."""
    n_stimuli, n_repeats, n_units = tensor.shape
    ids = np.array([f"s{i:03d}" for i in range(n_stimuli)])
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
            "subject": np.full(n_units, "m1") if subjects is None else np.array(subjects),
            "region": np.full(n_units, "V4") if regions is None else np.array(regions),
        },
        info={"preparation": preparation},
    )


def responses(noise=0.5, seed=0, shape=(N_STIMULI, N_REPEATS, N_UNITS)):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(shape[0], 1, shape[2]))
    return 3 + signal + noise * rng.normal(size=shape)


def measured(recording, spec=None, subject="", region=""):
    """Measure to row, of one subject and region."""
    table = quality_table("x", recording, spec or Geometry())
    part = table[(table["subject"] == subject) & (table["region"] == region)]
    assert part["measure"].is_unique
    return part.set_index("measure")


def test_counts():
    tensor = responses()
    tensor[0, 3] = tensor[1, 2:] = np.nan
    tensor[2, :, 3] = np.nan
    tensor[:, :, 4] = np.where(np.isnan(tensor[:, :, 4]), np.nan, 0)
    tensor[:, :, 5] = np.where(np.isnan(tensor[:, :, 5]), np.nan, 0.1)
    recording = recording_of(tensor)
    recording.info["stimuli_in_set"] = 14
    value = measured(recording)["value"]
    expected = {
        "stimuli": 12,
        "stimuli_not_shown": 2,
        "subjects": 1,
        "trials": 45,
        "repeats_min": 2,
        "repeats_median": 4,
        "repeats_max": 4,
        "units": 8,
        "units_silent": 1,
        "units_constant": 2,
        "units_incomplete": 1,
        "unobserved": 4 / (45 * 8),
    }
    assert value[list(expected)].to_dict() == pytest.approx(expected)
    assert "units_below_min_reliability" not in value
    del recording.info["stimuli_in_set"]
    assert "stimuli_not_shown" not in measured(recording).index


def test_the_share_of_unobserved_responses_is_of_each_subjects_trials():
    """Units of a subject with more trials count more."""
    tensor = responses()
    tensor[:, 2:, :2] = np.nan  # m1 has half as many trials
    tensor[0, 1:, 2] = np.nan
    recording = recording_of(tensor, subjects=["m1"] * 2 + ["m2"] * 6)
    expected = {"m1": 0, "m2": 3 / (48 * 6), "": 3 / (24 * 2 + 48 * 6)}
    for subject, share in expected.items():
        value = measured(recording, subject=subject)["value"]["unobserved"]
        assert value == pytest.approx(share)


def test_reliabilities_are_means_over_units():
    tensor = responses(noise=1.5)
    tensor[:, :, 7] = 1
    recording = recording_of(tensor, min_reliability=0.5)
    table = measured(recording)
    halves, repeats = split_half_reliability(recording), reliability_from_repeats(recording)
    value = table["value"]
    assert value["split_half"] == pytest.approx(np.nanmean(halves.half))
    assert value["reliability"] == pytest.approx(np.nanmean(halves.full))
    assert value["reliability_median"] == pytest.approx(np.nanmedian(halves.full))
    assert value["noise_ceiling"] == pytest.approx(100 * np.nanmean(repeats.full))
    expected = (~(np.nan_to_num(halves.full) >= 0.5)).sum()
    assert value["units_below_min_reliability"] == expected > 1
    row = table.loc["reliability"]
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert "mean of 7 of 8 units" in row["method"]


@pytest.mark.parametrize("shape", [(6, 20), (40, 5)])
def test_participation_ratio_is_that_of_the_eigenvalues(shape):
    x = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert participation_ratio(x) == pytest.approx(expected)
    assert measured(recording_of(x[:, None]))["value"]["participation_ratio"] == pytest.approx(
        expected
    )


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), offset=st.floats(-5, 5))
def test_participation_ratio_depends_on_no_rotation_scale_offset_or_order(seed, scale, offset):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(10, 4)) * [1, 2, 3, 4]
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    changed = scale * rng.permutation(x) @ rotation + offset
    assert participation_ratio(changed) == pytest.approx(participation_ratio(x))


@pytest.mark.parametrize("distance", ["correlation", "euclidean"])
def test_halves_of_two_repeats_are_single_trials(distance):
    """Independent: scipy's distances and rank correlation, over 300 random assignments."""
    tensor = responses(shape=(N_STIMULI, 2, N_UNITS))
    spec = Geometry(recording_distance=distance, seed=3)
    found = measured(recording_of(tensor), spec)["value"]
    rng, rows, ranks, pearson = np.random.default_rng(0), np.arange(N_STIMULI), [], []
    for _ in range(300):
        turn = rng.integers(2, size=N_STIMULI)
        first, second = (pdist(tensor[rows, t], distance) for t in (turn, 1 - turn))
        ranks.append(spearmanr(first, second)[0])
        pearson.append(np.corrcoef(first, second)[0, 1])
    for name, values in (("spearman", ranks), ("corr", pearson)):
        tolerance = 4 * np.std(values) / np.sqrt(20)
        assert found[f"rdm_split_half_{name}"] == pytest.approx(np.mean(values), abs=tolerance)
        assert found[f"rdm_split_half_equal_{name}"] == found[f"rdm_split_half_{name}"]


def test_halves_of_repeats_without_noise_are_equal():
    exact = np.repeat(responses(shape=(N_STIMULI, 1, N_UNITS)), 4, axis=1)
    value = measured(recording_of(exact))["value"]
    assert value["rdm_split_half_spearman"] == pytest.approx(1)
    assert value["reliability"] == pytest.approx(1)


def test_equal_halves_have_as_many_trials_of_every_stimulus():
    """With 2 repeats of one stimulus and 40 of the others, equal halves are single trials."""
    tensor = responses(noise=2, shape=(N_STIMULI, 40, 30))
    few = tensor.copy()
    few[0, 2:] = np.nan
    row = measured(recording_of(few)).loc["rdm_split_half_equal_spearman"]
    single = measured(recording_of(tensor[:, :2])).loc["rdm_split_half_spearman"]
    everything = measured(recording_of(few)).loc["rdm_split_half_spearman"]
    assert "1 per half" in row["method"]
    assert row["value"] == pytest.approx(single["value"], abs=0.1)
    assert everything["value"] > row["value"] + 0.2


def test_standardised_halves_do_not_depend_on_the_units_scales():
    tensor = responses()
    spec = Geometry(recording_distance="euclidean")
    scaled = tensor * 10.0 ** np.arange(N_UNITS)
    plain, other = (
        measured(recording_of(t, standardise=True), spec)["value"] for t in (tensor, scaled)
    )
    names = [name for name in plain.index if name.startswith("rdm_")]
    np.testing.assert_allclose(plain[names], other[names], rtol=1e-6)


def test_another_distance_is_said_to_be_replaced():
    row = measured(recording_of(responses()), Geometry(recording_distance="crossnobis"))
    assert "of correlation RDMs" in row.loc["rdm_split_half_corr", "method"]


def binomial_interval(correct, n):
    """Clopper & Pearson 1934, by quantiles of the beta distribution."""
    low = beta.ppf(0.025, correct, n - correct + 1) if correct else 0.0
    high = beta.ppf(0.975, correct + 1, n - correct) if correct < n else 1.0
    return low, high


def test_decoding_is_a_linear_svm_that_leaves_folds_out():
    rng = np.random.default_rng(0)
    labels, folds = np.tile(np.arange(3), 10), np.repeat(np.arange(10), 3)
    x = 1.2 * rng.normal(size=(3, 4))[labels] + rng.normal(size=(30, 4)) * [1, 5, 0.2, 1]
    correct = 0
    for fold in range(10):
        test = folds == fold
        mean, sd = x[~test].mean(axis=0), x[~test].std(axis=0)
        machine = SVC(kernel="linear").fit((x[~test] - mean) / sd, labels[~test])
        correct += (machine.predict((x[test] - mean) / sd) == labels[test]).sum()
    accuracy, low, high = decode(x, labels, folds)
    assert accuracy == correct / 30
    assert 0.4 < accuracy < 1
    assert (low, high) == pytest.approx(binomial_interval(correct, 30))


def test_noise_is_decoded_at_chance():
    """1,200 trials of 4 stimuli: a standard error of .0125."""
    noise = np.random.default_rng(1).normal(size=(4, 300, 3))
    recording = recording_of(noise)
    recording.trials["run"] = recording.trials["repeat"] // 60
    row = measured(recording).loc["decoding"]
    assert row["value"] == pytest.approx(0.25, abs=0.05)
    assert "chance 0.25" in row["method"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "leave one repeat out"),
        ({"session": lambda t: t["repeat"] // 2}, "leave one session out"),
        ({"run": lambda t: t["repeat"] % 2}, "leave one run out"),
        # Run 0 of both sessions is not one run.
        ({"run": lambda t: 0 * t["repeat"], "session": lambda t: t["repeat"] % 2}, "one run out"),
        # Not every stimulus is in every run.
        ({"run": lambda t: np.arange(len(t["repeat"])) // 24}, "leave one repeat out"),
    ],
)
def test_what_is_left_out_in_decoding(columns, words):
    recording = recording_of(responses(noise=0.1))
    recording.trials |= {name: column(recording.trials) for name, column in columns.items()}
    row = measured(recording).loc["decoding"]
    assert words in row["method"]
    assert row["value"] > 0.9


def test_the_order_of_trials_does_not_matter():
    recording = recording_of(responses())
    order = np.random.default_rng(0).permutation(len(recording.responses))
    trials = {name: column[order] for name, column in recording.trials.items()}
    shuffled = replace(recording, responses=recording.responses[order], trials=trials)
    a, b = measured(recording), measured(shuffled)
    np.testing.assert_allclose(a["value"], b["value"])


@settings(max_examples=6)
@given(scale=st.floats(0.1, 10), offset=st.floats(-5, 5))
def test_scale_and_offset_do_not_matter(scale, offset):
    tensor = responses()
    a, b = (measured(recording_of(t)) for t in (tensor, scale * tensor + offset))
    included = [name for name in a.index if not name.startswith("rdm_")]
    np.testing.assert_allclose(a["value"][included], b["value"][included], rtol=1e-6)


def test_the_noise_ceiling_without_repeats_is_from_standard_errors():
    tensor = responses(noise=1)
    recording = recording_of(tensor.mean(axis=1, keepdims=True))
    recording.standard_errors = tensor.std(axis=1, ddof=1) / np.sqrt(N_REPEATS)
    expected = measured(recording_of(tensor))["value"]["noise_ceiling"]
    assert measured(recording)["value"]["noise_ceiling"] == pytest.approx(expected)


def test_what_is_not_available_says_why():
    one_repeat = measured(recording_of(responses(shape=(60, 1, 5))))
    reasons = {
        "reliability": "too few repeats",
        "noise_ceiling": "too few repeats",
        "rdm_split_half_corr": "two repeats of every stimulus",
        "decoding": "60 stimuli, decoded are 2 to 50",
    }
    for measure, words in reasons.items():
        row = one_repeat.loc[measure]
        assert np.isnan(row[["value", "ci_low", "ci_high"]].astype(float)).all()
        assert row["method"].startswith("unavailable") and words in row["method"]
    once = measured(recording_of(responses(shape=(6, 1, 5)))).loc["decoding"]
    assert "with every stimulus in each" in once["method"]
    nothing = responses(shape=(6, 4, 3))
    nothing[0, :, 0] = nothing[1, :, 1] = nothing[2, :, 2] = np.nan
    table = measured(recording_of(nothing))
    for measure in ("participation_ratio", "rdm_split_half_corr", "decoding"):
        assert table.loc[measure, "method"].startswith("unavailable")


def test_regions_and_subjects_have_rows_of_their_own():
    tensor = responses(shape=(N_STIMULI, N_REPEATS, 12))
    subjects, regions = ["a"] * 6 + ["b"] * 6, ["V1", "V1", "V1", "V4", "V4", "V4"] * 2
    table = quality_table("x", recording_of(tensor, subjects, regions), Geometry())
    parts = {k: v.set_index("measure")["value"] for k, v in table.groupby(["subject", "region"])}
    assert set(parts) == {(s, r) for s in ("", "a", "b") for r in ("", "V1", "V4")}
    for part, n_units in ((("", ""), 12), (("", "V4"), 6), (("a", "V4"), 3)):
        assert parts[part]["units"] == n_units
    for region in ("", "V4"):
        for name in ("participation_ratio", "rdm_split_half_corr", "decoding"):
            if region == "" and name.startswith("rdm"):  # of units of two regions
                assert not any(name in parts[s, region] for s in ("", "a", "b"))
                continue
            each = [parts[s, region][name] for s in "ab"]
            assert parts["", region][name] == pytest.approx(np.mean(each))
    assert "subject_similarity_corr" in parts["", "V4"]
    assert "subject_similarity_corr" not in parts["", ""]
    alone = measured(recording_of(tensor[:, :, 3:6]))["value"]
    found = parts["a", "V4"]
    assert found.to_dict() == pytest.approx(alone[found.index].to_dict())
    # One subject and one region are the whole.
    one = quality_table("x", recording_of(tensor[:, :, 3:6]), Geometry())
    assert set(zip(one["subject"], one["region"], strict=True)) == {("", "")}


def test_similarity_of_subjects():
    tensor = responses(shape=(N_STIMULI, N_REPEATS, 12))
    tensor[:, :, 4:8] = tensor[:, :, :4] + 0.1 * responses(shape=(N_STIMULI, N_REPEATS, 4), seed=1)
    recording = recording_of(tensor, np.repeat(["a", "b", "c"], 4))
    rdms = [pdist(tensor.mean(axis=1)[:, 4 * i : 4 * i + 4], "correlation") for i in range(3)]
    pairs = [spearmanr(rdms[i], rdms[j])[0] for i, j in combinations(range(3), 2)]
    row = measured(recording).loc["subject_similarity_spearman"]
    assert row["value"] == pytest.approx(np.mean(pairs))
    # The jackknife of a mean over pairs: without a subject, the pair of the others remains.
    error = np.sqrt(2 / 3 * np.sum((np.array(pairs) - np.mean(pairs)) ** 2))
    ends = np.mean(pairs) + 4.30265 * error * np.array([-1, 1])
    # An interval of three subjects would go beyond what there can be.
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(np.clip(ends, -1, 1), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [("noise_ceiling", (0, 100)), ("decoding", (0, 1)), ("split_half", (-1, 1))],
)
def test_intervals_end_where_the_measure_can(name, bounds):
    assert Measured(50 if name == "noise_ceiling" else 0.5, "", -292, 422).as_row(name) == {
        "measure": name,
        "value": 50 if name == "noise_ceiling" else 0.5,
        "method": "",
        "ci_low": bounds[0],
        "ci_high": bounds[1],
    }


def test_recordings_of_rdms(test_data):
    """Human IT: four subjects, two sessions each; pairs by scipy."""
    path = test_data / "rdm92_kriegeskorte2008" / "92_brainRDMs.mat"
    ids = np.array([f"{i:02d}" for i in range(92)])
    recording = read_recording(
        RdmRecording(
            kind="rdms",
            path=path,
            variable="RDMs.RDM",
            axes=["_", "subject", "session", "stimulus", "stimulus"],
            stimuli="objects",
            stimulus_ids="sorted",
        ),
        ids,
    )
    table = measured(recording)
    value = table["value"]
    assert value[["stimuli", "stimuli_not_shown", "subjects", "rdms"]].tolist() == [92, 0, 4, 8]
    rdms = recording.rdms.reshape(4, 2, -1)
    sessions = [spearmanr(a, b)[0] for a, b in rdms]
    assert value["session_similarity_spearman"] == pytest.approx(np.mean(sessions))
    for i, session in enumerate(sessions):
        alone = measured(recording, subject=f"subject{i + 1}")["value"]
        assert alone["session_similarity_spearman"] == pytest.approx(session)
    means = rdms.mean(axis=1)
    # Nili et al. (2014) without ranking before averaging; published for these data: .379 and .661.
    others = [np.mean(np.delete(means, i, axis=0), axis=0) for i in range(4)]
    low = np.mean([spearmanr(a, b)[0] for a, b in zip(means, others, strict=True)])
    assert value["mean_rdm_ceiling_low_spearman"] == pytest.approx(low)
    assert low == pytest.approx(0.379, abs=0.0005)
    assert value["mean_rdm_ceiling_high_spearman"] == pytest.approx(0.661, abs=0.0005)
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in combinations(means, 2)]
    assert value["subject_similarity_corr"] == pytest.approx(np.mean(pairs))
    row = table.loc["subject_similarity_corr"]
    assert row["ci_low"] < row["value"] < row["ci_high"]


def test_one_rdm_has_nothing_to_compare():
    recording = Recording(
        stimuli={"stimulus_id": np.array(["a", "b", "c", "d"])},
        rdms=np.arange(6.0)[None],
        rdm_info={"subject": np.array(["s"])},
    )
    assert set(measured(recording).index) == {"stimuli", "subjects", "rdms"}


def test_the_table_survives_its_file(tmp_path):
    table = quality_table("x", recording_of(responses(), ["a"] * 4 + ["b"] * 4), Geometry())
    write_table(tmp_path / "quality.csv", "quality", table)
    found = read_table(tmp_path / "quality.csv", "quality")
    np.testing.assert_allclose(found["value"], table["value"], rtol=1e-8)
    assert found["method"].tolist() == table["method"].tolist()


def test_macaque_v4(test_data, monkeypatch):
    """RDM split-half .544 (Spearman, Euclidean, z-scored units, 3 against 3 repeats; SOURCE.md)."""
    # Six splits; their standard deviation is .014.
    monkeypatch.setattr("repbias.rsa.quality.N_SPLITS", 6)
    spec = ArrayRecording(
        kind="array",
        path=test_data / "v4_cowley2023" / "responses_raw" / "responses_210325.npy",
        axes=["unit", "stimulus", "repeat"],
        stimuli="objects",
        stimulus_ids="sorted",
        standardise=True,
    )
    ids = np.array([f"image{i + 1:04d}" for i in range(640)])
    geometry = Geometry(recording_distance="euclidean", rdm_similarities=["spearman"])
    table = measured(read_recording(spec, ids), geometry)
    row = table.loc["rdm_split_half_equal_spearman"]
    assert "3 per half for every stimulus" in row["method"]
    assert row["value"] == pytest.approx(0.544, abs=0.015)
    value = table["value"]
    assert value["noise_ceiling"] == pytest.approx(74, abs=0.5)
    assert value["split_half"] == pytest.approx(0.588, abs=0.005)
    assert value[["repeats_min", "repeats_max", "trials"]].tolist() == [6, 10, 4840]


def test_categories_in_ventral_temporal_cortex(test_data):
    """Haxby et al. 2001, subject 1: a linear SVM that leaves one run out gets .75 (SOURCE.md)."""
    nibabel = pytest.importorskip("nibabel")
    folder = test_data / "fmri_haxby2001_slice"
    inside = nibabel.load(folder / "mask.nii.gz").get_fdata() > 0
    volumes = nibabel.load(folder / "bold.nii.gz").get_fdata()[inside].T
    category, run = np.loadtxt(folder / "attributes_literal.txt", dtype=str, unpack=True)
    for r in np.unique(run):
        rows = run == r
        volumes[rows] = (volumes[rows] - volumes[rows].mean(axis=0)) / volumes[rows].std(axis=0)
    blocks = [(r, c) for r in np.unique(run) for c in np.unique(category) if c != "rest"]
    patterns = np.array([volumes[(run == r) & (category == c)].mean(axis=0) for r, c in blocks])
    runs, categories = np.array(blocks).T
    _, order = np.unique(runs, return_inverse=True)
    ids = np.unique(categories)
    recording = Recording(
        stimuli={"stimulus_id": ids},
        responses=patterns,
        trials={"stimulus_id": categories, "repeat": order, "run": runs},
        units={
            "unit": np.arange(530).astype(str),
            "subject": np.full(530, "1"),
            "region": np.full(530, ""),
        },
    )
    row = measured(recording).loc["decoding"]
    assert "leave one run out, chance 0.125; 95 % binomial interval of 96 trials" in row["method"]
    assert row["ci_low"] < 0.75 < row["ci_high"]
    assert row["value"] > 0.65


def test_trials_that_were_left_out_are_counted_and_named():
    recording = recording_of(responses())
    recording.info |= {"unmatched_trials": 6, "unmatched_ids": ["cat", "dog"]}
    recording.info |= {"files_left_out": ["run-2.nii"], "trials_left_out": 3}
    rows = measured(recording)
    row = rows.loc["trials_unmatched"]
    assert row["value"] == 6
    assert "'cat', 'dog'" in row["method"]
    assert rows["value"][["files_left_out", "trials_left_out"]].tolist() == [1, 3]
    assert "run-2.nii" in rows["method"]["files_left_out"]


@pytest.mark.parametrize("n_subjects", [2, 3])
def test_the_spread_of_two_subjects_is_unknown(n_subjects):
    recording = recording_of(np.concatenate([responses(seed=s) for s in range(n_subjects)], axis=2))
    n = len(recording.units["unit"]) // n_subjects
    recording.units["subject"] = np.repeat([f"s{i}" for i in range(n_subjects)], n)
    row = measured(recording).loc["participation_ratio"]
    assert np.isfinite(row["ci_low"]) == (n_subjects > 2)
    assert ("bootstrap of subjects" in row["method"]) == (n_subjects > 2)
