"""What is dangerous in a recording is said once, and nothing is said of a well-behaved one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from repbias.config.analyses import OF_RECORDINGS
from repbias.geometry.ceilings import subject_ceiling
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.pipeline.recording_analyses import analyse_recording
from repbias.rsa import cautions
from repbias.rsa.cautions import (
    cautions_table,
    dependent_column,
    effective_stimuli,
    more_alike,
    natural_order,
    nearest_ratio,
    of_rdms,
    of_stimuli,
    relative_spread,
)
from repbias.tables import TABLES

N = 40
RNG = np.random.default_rng


def recording(patterns, noise=0.5, repeats=4, columns=None, groups=None, subjects=4, seed=0):
    """Subjects who share patterns (stimulus, feature), with 30 units each."""
    rng = RNG(seed)
    n = len(patterns)
    repeats = np.broadcast_to(repeats, n)
    stimulus = np.repeat(np.arange(n), repeats)
    mixing = rng.normal(size=(patterns.shape[1], 30 * subjects))
    responses = (patterns @ mixing)[stimulus] + noise * rng.normal(
        size=(len(stimulus), 30 * subjects)
    )
    ids = np.array([f"s{i}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids} | (columns or {}),
        responses=responses,
        trials={
            "stimulus_id": ids[stimulus],
            "repeat": np.concatenate([np.arange(r) for r in repeats]),
        },
        units={
            "unit": np.array([f"u{i:03d}" for i in range(30 * subjects)]),
            "subject": np.repeat([f"subject{i}" for i in range(subjects)], 30),
            "region": np.full(30 * subjects, ""),
        },
        info={"groups": groups},
    )


def dangers(recorded, **settings):
    table = cautions_table("mine", recorded, Geometry(**settings))
    assert tuple(table.columns) == TABLES["cautions"].columns
    assert all(sentence.endswith(".") for sentence in table["sentence"])
    return set(table["danger"])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("distance", ["correlation", "euclidean", "crossnobis"])
def test_of_a_well_behaved_recording_nothing_is_said(distance, seed):
    patterns = RNG(seed).normal(size=(N, 12))
    columns = {"colour": RNG(seed + 9).integers(0, 3, N), "size": RNG(seed).normal(size=N)}
    mine = recording(patterns, columns=columns, seed=seed)
    assert dangers(mine, recording_distance=distance) == set()


def test_categories_that_nobody_named_are_found_and_named():
    category = np.arange(N) % 8
    patterns = RNG(0).normal(size=(8, 12))[category] + RNG(1).normal(size=(N, 12))
    columns = {"category": np.array([f"c{c}" for c in category]), "other": np.arange(N) % 5}
    table = cautions_table("mine", recording(patterns, columns=columns), Geometry())
    (sentence,) = table.loc[table["danger"] == "dependent_stimuli", "sentence"]
    assert "'category'" in sentence and "groups: category" in sentence
    assert dangers(recording(patterns, columns=columns, groups="category")) == set()


@pytest.mark.parametrize(
    ("n_values", "tested", "said"),
    [
        (8, (), "no independent draws"),
        (8, ("category",), "It has 8 values and is a model or audited feature of this study"),
        (4, ("size",), "It has 4 values and is no group: intervals and tests"),
    ],
)
def test_what_is_tested_and_few_values_are_no_groups(n_values, tested, said):
    category = np.arange(N) % n_values
    patterns = RNG(0).normal(size=(n_values, 12))[category] + RNG(1).normal(size=(N, 12))
    columns = {"category": np.array([f"c{c}" for c in category]), "size": np.arange(N) % 5}
    table = cautions_table("mine", recording(patterns, columns=columns), Geometry(), tested)
    (sentence,) = table["sentence"]
    assert said in sentence
    assert ("groups: category" in sentence) == (n_values == 8 and not tested)


def test_what_is_tested_is_told_by_the_names_and_patterns_of_the_study():
    category = np.arange(N) % 8
    patterns = RNG(0).normal(size=(8, 12))[category] + RNG(1).normal(size=(N, 12))
    mine = recording(patterns, columns={"category": category})
    entry = {"function": OF_RECORDINGS["cautions"].function, "networks": None}
    entry |= {"section": "geometry", "settings": {}, "tested": ["emb_*", "cat*"]}
    ((_, table),) = analyse_recording({"cautions": entry}, "mine", mine, "shown", {})
    assert "model or audited feature" in table["sentence"].item()


def test_groups_that_can_be_given_are_named_before_what_is_tested():
    category, kind = np.arange(N) // 10, np.arange(N) // 5
    patterns = 3 * RNG(0).normal(size=(4, 12))[category] + RNG(1).normal(size=(8, 12))[kind]
    columns = {"category": category, "kind": kind}
    mine = recording(patterns + RNG(2).normal(size=(N, 12)), columns=columns)
    (sentence,) = cautions_table("mine", mine, Geometry(), ["category"])["sentence"]
    assert "groups: kind" in sentence


def test_few_groups_allow_no_test_between_them():
    mine = recording(
        RNG(0).normal(size=(N, 12)), columns={"film": np.arange(N) // 10}, groups="film"
    )
    assert dangers(mine) == {"no_test_between_groups"}
    of_encoding = cautions_table("mine", mine, Geometry()).query("concerns == 'encoding'")
    assert "whole groups (film, 4 of them)" in of_encoding["sentence"].item()


def test_frames_of_a_film_are_found_by_the_order_of_their_ids():
    """In which numbers count as numbers: s10 comes after s9."""
    patterns = RNG(0).normal(size=(N, 12))
    for i in range(1, N):
        patterns[i] = 0.8 * patterns[i - 1] + 0.6 * patterns[i]
    assert dangers(recording(patterns)) == {"serial_order"}
    assert dangers(recording(RNG(1).permutation(patterns))) == set()


def test_ids_of_generated_stimuli_are_no_order():
    """They are made of the bits, so neighbours share the first of them, which is a feature."""
    patterns = np.repeat(RNG(0).normal(size=(2, 12)), N // 2, axis=0) + RNG(1).normal(size=(N, 12))
    mine = recording(patterns)
    assert "serial_order" in dangers(mine)
    mine.info["kind"] = "simulated"
    assert dangers(mine) == set()


def test_pairs_of_near_duplicates_are_found():
    patterns = RNG(0).normal(size=(N // 2, 12)).repeat(2, axis=0)
    patterns += 0.1 * RNG(1).normal(size=(N, 12))
    patterns = patterns[RNG(2).permutation(N)]
    assert "near_duplicates" in dangers(recording(patterns, noise=0.2))


def test_a_few_large_patterns_make_heavy_tails():
    patterns = RNG(0).normal(size=(N, 12)) * RNG(1).lognormal(0, 1, (N, 1))
    mine = recording(patterns)
    assert dangers(mine, recording_distance="squared_euclidean") == {"heavy_tails"}
    assert dangers(mine) == set()  # by correlation, all count alike


def test_ranks_have_no_heavy_tails():
    patterns = RNG(0).normal(size=(N, 12)) * RNG(1).lognormal(0, 1, (N, 1))
    squared = {"recording_distance": "squared_euclidean"}
    assert dangers(recording(patterns), rdm_similarities=["spearman"], **squared) == set()
    both = dangers(recording(patterns), rdm_similarities=["spearman", "corr"], **squared)
    assert both == {"heavy_tails"}


@pytest.mark.parametrize(
    ("draw", "least", "most"),
    [
        (lambda rng, n: rng.standard_t(3, (n, 8)), 0.9, 1),
        (lambda rng, n: rng.lognormal(size=(n, 8)), 0.9, 1),
        (lambda rng, n: rng.normal(size=(n, 8)), 0, 0.05),
        (lambda rng, n: rng.normal(size=(n, 2)), 0, 0.05),
        (lambda rng, n: rng.integers(0, 2, (n, 8)), 0, 0.05),
        # Half of the stimuli are noisier, so all of their distances are larger.
        (lambda rng, n: rng.normal(size=(n, 99)) * (1 + np.arange(n) % 2)[:, None], 0, 0.05),
        (lambda rng, n: rng.normal(size=(n, 30)) * (1 + np.arange(n) % 2)[:, None], 0, 0.05),
    ],
)
def test_heavy_tails_are_found_in_nine_of_ten_data_sets_and_hardly_elsewhere(draw, least, most):
    found = 0
    for seed in range(100):
        rng = RNG(seed)
        shared = draw(rng, N)
        subjects = [pdist(np.hstack([shared, draw(rng, N)]), "sqeuclidean") for _ in range(10)]
        of_data = of_rdms(np.stack(subjects), "squared_euclidean", Geometry())
        found += any(caution.danger == "heavy_tails" for caution in of_data)
    assert least <= found / 100 <= most


@pytest.mark.parametrize("scales", [[1.0], [1.0, 0.5, 0.2], np.ones(10)])
@pytest.mark.parametrize(
    ("draw", "excess"),
    [
        (lambda rng, size: rng.normal(size=size), 0),
        (lambda rng, size: rng.laplace(size=size), 3),
        (lambda rng, size: rng.uniform(size=size), -1.2),
        (lambda rng, size: rng.integers(0, 2, size), -2),
    ],
)
def test_the_spread_of_mean_dissimilarities_tells_the_kurtosis(draw, excess, scales):
    """By squared distances, in any number of dimensions, whatever the variances of features."""
    rng = RNG(0)
    found = [
        relative_spread(pdist(draw(rng, (200, len(scales))) * scales, "sqeuclidean")[None])
        for _ in range(60)
    ]
    assert np.mean(found) == pytest.approx(1 + excess / 2, abs=0.15)


def test_effects_of_stimuli_are_those_of_least_squares():
    """numpy.linalg.lstsq; variances without bias, by degrees of freedom."""
    n = 7
    first, second = np.triu_indices(n, 1)
    d = RNG(0).uniform(1, 3, size=len(first))
    d /= d.mean()
    design = np.column_stack([(first == i) | (second == i) for i in range(n)]).astype(float)
    a, residual, *_ = np.linalg.lstsq(design, d)
    of_pairs = residual[0] / (len(d) - n)
    expected = 2 * (a.var(ddof=1) - of_pairs / (n - 2)) / of_pairs
    assert relative_spread(d[None]) == pytest.approx(expected)
    assert relative_spread(np.stack([d, 7 * d])) == pytest.approx(expected)
    other = RNG(1).uniform(1, 3, size=len(first))
    scaled = relative_spread(np.stack([d, 9 * other]))
    assert scaled == pytest.approx(relative_spread(np.stack([d, other])))
    assert relative_spread(np.ones((1, 15))) == 0
    assert relative_spread(np.array([[1.0, 2.0, 9.0]])) == 1  # three stimuli


def test_uneven_repeats_matter_to_distances_that_noise_raises():
    mine = recording(RNG(0).normal(size=(N, 12)), repeats=np.where(np.arange(N) % 2, 3, 12))
    assert dangers(mine, recording_distance="euclidean") == {"uneven_repeats"}
    assert dangers(mine, recording_distance="crossnobis") == set()
    assert dangers(mine) == set()
    # Units of different rates: all patterns have these in common.
    mine.responses = mine.responses + 3 * RNG(1).normal(size=mine.responses.shape[1])
    assert dangers(mine) == {"uneven_repeats"}
    assert dangers(mine, recording_distance="crossnobis") == set()


@pytest.mark.parametrize(("most", "found"), [(4, set()), (5, {"uneven_repeats"})])
def test_a_few_more_repeats_do_not_matter(most, found):
    mine = recording(RNG(0).normal(size=(N, 12)), repeats=np.where(np.arange(N) % 2, 3, most))
    assert dangers(mine, recording_distance="euclidean") == found


@pytest.mark.parametrize(("n_units", "found"), [(9, {"few_units"}), (10, set())])
def test_ten_units_are_enough(n_units, found):
    mine = recording(RNG(0).normal(size=(N, 12)), noise=0.1, subjects=2)
    keep = np.r_[0:30, 30 : 30 + n_units]
    mine.responses = mine.responses[:, keep]
    mine.units = {k: v[keep] for k, v in mine.units.items()}
    assert dangers(mine) == found


def test_subjects_who_share_nothing_do_not_agree():
    mine = recording(RNG(0).normal(size=(N, 12)), noise=60)
    assert "low_agreement" in dangers(mine)
    # Reliabilities of .2 and .45: signal 12, noise / 4.
    assert "lucky_ceilings" in dangers(recording(RNG(0).normal(size=(N, 12)), noise=14))
    assert "lucky_ceilings" not in dangers(recording(RNG(0).normal(size=(N, 12)), noise=7.5))


def test_few_units_are_counted_in_each_subject():
    mine = recording(RNG(0).normal(size=(N, 12)), subjects=2)
    keep = np.r_[0:30, 30:36]
    mine.responses = mine.responses[:, keep]
    mine.units = {k: v[keep] for k, v in mine.units.items()}
    table = cautions_table("mine", mine, Geometry())
    (value,) = table.loc[table["danger"] == "few_units", "value"]
    assert value == 6


def test_subjects_with_too_few_units_are_named():
    mine = recording(RNG(0).normal(size=(N, 12)), subjects=3)
    keep = np.r_[0:30, 30:32, 60:90]
    mine.responses = mine.responses[:, keep]
    mine.units = {k: v[keep] for k, v in mine.units.items()}
    table = cautions_table("mine", mine, Geometry())
    (sentence,) = table.loc[table["danger"] == "subjects_left_out", "sentence"]
    assert "2 of 3 subjects, without subject1; see the log for why." in sentence


def test_the_effective_number_of_stimuli_in_closed_form():
    """One stimulus far from all others, which are equally far from each other."""
    n = 21
    square = np.ones((n, n))
    square[0] = square[:, 0] = 11
    np.fill_diagonal(square, 0)
    data = squareform(square)[None]
    mean = data.mean()
    near, far = (1 - mean) ** 2, (11 - mean) ** 2
    q = np.array([(n - 1) * far, *[far + (n - 2) * near] * (n - 1)])
    assert effective_stimuli(data) == pytest.approx(q.sum() ** 2 / (q**2).sum() / n)
    assert effective_stimuli(np.vstack([data, 5 * data])) == pytest.approx(effective_stimuli(data))


def test_likeness_is_that_of_means_and_its_p_counts_permutations():
    square = squareform(pdist(RNG(0).normal(size=(12, 5))))
    together = np.arange(12)[:, None] // 3 == np.arange(12) // 3
    upper = np.triu(np.ones((12, 12), bool), 1)
    pairs = np.nonzero(upper & together)
    strength, p = more_alike(square, *pairs)
    within, others = square[upper & together].mean(), square[upper & ~together].mean()
    assert strength == pytest.approx(1 - within / others)
    assert 0.005 <= p <= 1
    small = [
        more_alike(squareform(pdist(RNG(s).normal(size=(12, 5)))), *pairs)[1] for s in range(60)
    ]
    assert np.mean(np.array(small) <= 0.1) < 0.25  # uniform


def agreeing(shared, n_subjects):
    """RDMs of 90 stimuli, a share of whose variance subjects have in common."""
    common, own = RNG(0).normal(size=4005), RNG(1).normal(size=(n_subjects, 4005))
    return 10 + np.sqrt(shared) * common + np.sqrt(1 - shared) * own


@pytest.mark.parametrize(("shared", "found"), [(0.02, {"low_agreement"}), (0.06, set())])
def test_a_low_ceiling_is_said_even_if_subjects_agree_somewhat(shared, found):
    """Ceilings, of each of 20 subjects with the mean of 19 others: .075 and .19."""
    data = agreeing(shared, 20)
    assert {caution.danger for caution in of_rdms(data, "correlation", Geometry())} == found
    low, _ = subject_ceiling(data, "corr")
    assert low == pytest.approx(shared / np.sqrt(shared + (1 - shared) / 19), abs=0.01)


def test_two_of_three_subjects_who_agree_may_do_so_by_chance():
    data = agreeing(0.8, 3)
    assert not list(of_rdms(data, "correlation", Geometry()))
    data[2] = 10 + RNG(2).normal(size=4005)
    assert [c.danger for c in of_rdms(data, "correlation", Geometry())] == ["low_agreement"]
    assert subject_ceiling(data, "corr")[0] > 0.3


def alike(codes, strength):
    """All stimuli as far from each other, but for those of a group."""
    square = np.where(codes[:, None] == codes, 1 - strength, 1.0)
    np.fill_diagonal(square, 0)
    return square


def test_stimuli_of_a_group_must_be_alike_by_more_than_two_percent():
    codes = np.arange(N) % 8
    columns = {"stimulus_id": codes, "name": np.arange(N), "category": codes, "one": 0 * codes}
    with np.errstate(all="raise"):  # no others to compare with, in a column of one value
        found = dependent_column(alike(codes, 0.03), columns)
    assert found is not None and found[0] == "category" and found[1] == pytest.approx(0.03)
    assert dependent_column(alike(codes, 0.01), columns) is None


def test_the_column_by_which_stimuli_are_most_alike_is_named():
    category, pair = np.arange(N) % 8, np.arange(N) // 2
    square = alike(category, 0.1) + alike(pair, 0.3)
    found = dependent_column(square, {"category": category, "pair": pair})
    assert found is not None and found[0] == "pair"
    found = dependent_column(square, {"category": category})
    assert found is not None and found[0] == "category"


def test_p_counts_the_data_themselves_and_all_columns_that_were_looked_at(monkeypatch):
    codes = np.arange(N) % 8
    pairs = np.nonzero(np.triu(codes[:, None] == codes, 1))
    assert more_alike(alike(codes, 0.5), *pairs)[1] == pytest.approx(1 / 200)
    assert more_alike(alike(codes, 0.5), *pairs, n_tests=3)[1] == pytest.approx(1 / 600)
    assert more_alike(alike(codes, 0), *pairs) == (0, 1)  # ties
    monkeypatch.setattr(cautions, "more_alike", lambda *_: (0.5, 0.004))
    columns = {"category": codes, "other": np.arange(N) % 5}
    assert dependent_column(np.ones((N, N)), {"category": codes}) == ("category", 0.5)
    assert dependent_column(np.ones((N, N)), columns) is None


@pytest.mark.parametrize(("n_levels", "found"), [(20, True), (22, False)])
def test_a_column_with_a_value_for_most_stimuli_groups_none(n_levels, found):
    codes = np.arange(N) % n_levels
    assert (dependent_column(alike(codes, 0.5), {"name": codes}) is not None) == found


def test_unrelated_columns_are_hardly_ever_named():
    """In half a percent of cases, whatever the number of columns."""
    found = 0
    for seed in range(300):
        rng = RNG(seed)
        square = squareform(pdist(rng.normal(size=(12, 3))))
        found += dependent_column(square, {"a": rng.integers(0, 3, 12)}) is not None
    assert found / 300 < 0.02


@pytest.mark.parametrize(
    ("distance", "nearest", "found"),
    [
        ("correlation", 0.3, True),
        ("correlation", 0.4, False),
        ("euclidean", 0.5, True),
        ("euclidean", 0.65, False),
    ],
)
def test_near_duplicates_are_three_times_as_near_by_squared_distance(distance, nearest, found):
    codes = np.arange(N) % 20  # pairs, but not in a row
    data = squareform(alike(codes, 1 - nearest), checks=False)
    mine = recording(RNG(0).normal(size=(N, 12)))
    dangers_found = [c.danger for c in of_stimuli(mine, data[None], distance)]
    assert dangers_found == ["near_duplicates"] * found


def lasting_noise(fixed, seed=0, rho=0.8, runs=4):
    """One subject's noise that lasts, in runs in which every stimulus is shown once."""
    rng = RNG(seed)
    orders = [np.arange(N) if fixed else rng.permutation(N) for _ in range(runs)]
    noise = rng.normal(size=(runs, N, 30))
    for t in range(1, N):
        noise[:, t] = rho * noise[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    ids = np.array([f"s{i}" for i in RNG(1).permutation(N)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=noise.reshape(-1, 30),
        trials={
            "stimulus_id": ids[np.concatenate(orders)],
            "repeat": np.repeat(np.arange(runs), N),
            "run": np.repeat(np.arange(runs), N),
            "start_time": np.tile(np.arange(float(N)), runs),
        },
        units={name: np.full(30, "") for name in ("unit", "subject", "region")},
    )


@pytest.mark.parametrize("distance", ["correlation", "crossnobis"])
def test_an_order_that_was_the_same_in_all_runs_is_found_in_noise(distance):
    found = [
        "presentation_order" in dangers(lasting_noise(True, seed), recording_distance=distance)
        for seed in range(10)
    ]
    assert sum(found) >= 8
    never = [
        "presentation_order" in dangers(lasting_noise(False, seed), recording_distance=distance)
        for seed in range(10)
    ]
    assert sum(never) == 0


def test_noise_that_does_not_last_has_no_order():
    found = [
        "presentation_order" in dangers(lasting_noise(True, seed, rho=0)) for seed in range(20)
    ]
    assert sum(found) <= 1


def test_ids_are_ordered_by_the_numbers_in_them():
    ids = np.array(["im2", "im10", "im1", "b3"])
    assert list(ids[natural_order(ids)]) == ["b3", "im1", "im2", "im10"]


def test_the_ratio_of_nearest_distances():
    line = np.array([0.0, 1.0, 3.0, 7.0])[:, None]
    # Nearest and second nearest: 1 / 3, 1 / 2, 2 / 3, 4 / 6.
    assert nearest_ratio(squareform(pdist(line))) == pytest.approx((1 / 2 + 2 / 3) / 2)
    with np.errstate(all="raise"):
        assert nearest_ratio(np.zeros((4, 4))) == 0  # all the same
