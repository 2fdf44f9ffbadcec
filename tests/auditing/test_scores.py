"""Shares with intervals, the gate and the range: against simulated truth and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.auditing.design import Design
from repbias.auditing.equalised import Equalised, equalised_similarity
from repbias.auditing.gates import has_features, has_rest, least_t, permutation_p
from repbias.auditing.kernels import _noise, products, squared, subject_kernels
from repbias.auditing.scores import (
    Brain,
    Remainder,
    Side,
    cosine,
    divide,
    divisions,
    jackknifed_shares,
    movable,
    noise_variance,
)
from repbias.auditing.shares import centred, parts, weights
from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.similarity import METRICS
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.parts import of_trials

EUCLIDEAN = Geometry(recording_distance="squared_euclidean")
N = 40
CATEGORY = (np.arange(N)[:, None] % 4 == np.arange(4)).astype(float)


def recorded(signal: np.ndarray, repeats: int, noise: float, rng: np.random.Generator) -> Recording:
    """Measure signals (subject, stimulus, unit) several times."""
    subjects, n, units = signal.shape
    errors = noise * rng.standard_normal((subjects, repeats, n, units))
    responses = (signal[:, None] + errors).transpose(1, 2, 0, 3).reshape(repeats * n, -1)
    ids = np.array([f"s{i:02d}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses,
        trials={"stimulus_id": np.tile(ids, repeats), "repeat": np.repeat(np.arange(repeats), n)},
        units={
            "unit": np.arange(subjects * units).astype(str),
            "subject": np.repeat([f"subject{i}" for i in range(subjects)], units),
            "region": np.full(subjects * units, "V4"),
        },
    )


def side_of(recording: Recording, geometry: Geometry = EUCLIDEAN) -> Side:
    return Side.of_subjects(subject_kernels(recording, geometry, 0))


def patterns(rng: np.random.Generator, units: int = 12) -> np.ndarray:
    """Patterns of which categories explain a part."""
    return 1.5 * CATEGORY @ rng.standard_normal((4, units)) + rng.standard_normal((N, units))


def test_products_of_repeats_are_free_of_their_noise() -> None:
    """Against the definition, pair by pair; and unbiased in expectation."""
    rng = np.random.default_rng(0)
    of_fold = rng.standard_normal((3, 6, 4))
    of_fold[2, 1] = np.nan
    kernel = products(of_fold)
    assert kernel is not None
    for i in range(6):
        for j in range(6):
            values = [
                of_fold[f, i] @ of_fold[g, j]
                for f in range(3)
                for g in range(3)
                if f != g and not np.isnan(of_fold[f, i] @ of_fold[g, j])
            ]
            assert kernel[i, j] == pytest.approx(np.mean(values))


def test_pairs_that_share_their_only_fold_have_no_product() -> None:
    of_fold = np.ones((2, 5, 3))
    of_fold[1, :2] = np.nan
    assert products(of_fold) is None


@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
def test_without_noise_means_and_products_agree(distance: str) -> None:
    rng = np.random.default_rng(0)
    recording = recorded(patterns(rng)[None], 3, 0.0, rng)
    (kernel,) = subject_kernels(recording, Geometry(recording_distance=distance), 0)
    np.testing.assert_allclose(centred(kernel.kernel), centred(kernel.means), atol=1e-12)
    assert np.trace(centred(kernel.means)) == pytest.approx(1)


@pytest.mark.filterwarnings("error")
def test_missing_repeats_are_known_and_a_unit_without_enough_costs_the_halves() -> None:
    """A stimulus with a trial less than others, and then a unit with a single one of another."""
    rng = np.random.default_rng(0)
    recording = recorded(patterns(rng)[None], 5, 0.5, rng)
    recording.responses[recording.trials["repeat"] == 4] *= np.nan
    keep = ~((recording.trials["stimulus_id"] == "s03") & (recording.trials["repeat"] > 2))
    recording = of_trials(recording, keep)
    (kernel,) = subject_kernels(recording, Geometry(), 0)
    assert len(kernel.halves) and kernel.noise is not None
    of_stimulus = np.flatnonzero(recording.trials["stimulus_id"] == "s07")
    recording.responses[of_stimulus[1:], 2] = np.nan
    (kernel,) = subject_kernels(recording, Geometry(), 0)
    assert not len(kernel.halves) and kernel.noise is None
    recording.info["preparation"] = {"min_repeats": 2}
    (kernel,) = subject_kernels(recording, Geometry(), 0)
    assert len(kernel.halves) and kernel.noise is not None


def test_the_kernel_of_rdms_is_that_of_patterns() -> None:
    from repbias.geometry.distances import dissimilarities

    rng = np.random.default_rng(0)
    x = patterns(rng)
    ids = np.array([f"s{i:02d}" for i in range(N)])
    of_rdm = Recording(
        stimuli={"stimulus_id": ids},
        rdms=dissimilarities(x, "correlation")[None],
        rdm_info={"subject": np.array(["m"])},
        info={"distance": "correlation"},
    )
    (a,) = subject_kernels(of_rdm, Geometry(), 0)
    (b,) = subject_kernels(recorded(x[None], 1, 0.0, rng), Geometry(), 0)
    np.testing.assert_allclose(a.kernel, centred(b.kernel), atol=1e-10)
    with pytest.raises(RepbiasError, match="'rank' are not divided among features"):
        squared(np.ones(3), "rank")


def test_a_distance_without_a_kernel_is_refused() -> None:
    recording = recorded(
        np.abs(patterns(np.random.default_rng(0)))[None], 2, 0.0, np.random.default_rng()
    )
    with pytest.raises(RepbiasError, match="poisson distance is not divided among features"):
        subject_kernels(recording, Geometry(recording_distance="poisson"), 0)


def test_a_score_without_noise_is_debiased_cka_of_the_same_form() -> None:
    """Its parts add up to the score, and 1 with itself."""
    rng = np.random.default_rng(0)
    x, y = patterns(rng), patterns(rng)
    design = Design.of({"category": CATEGORY})
    brain = Brain.of(Side.of_network(y @ y.T), design)
    found = divide(x @ x.T, brain)
    w = weights(x @ x.T, design)
    total = parts(w, y @ y.T).sum() / np.sqrt(
        parts(w, x @ x.T).sum() * parts(weights(y @ y.T, design), y @ y.T).sum()
    )
    assert found.score == pytest.approx(total)
    assert found.shares.sum() == pytest.approx(1)
    assert divide(y @ y.T, brain).score == pytest.approx(1)
    metric = METRICS["cka"]
    assert found.plain == pytest.approx(metric.compare(metric.factors(x), metric.factors(y)))
    assert cosine(x @ x.T, x @ x.T) == pytest.approx(1)


@pytest.mark.parametrize("n_subjects", [2, 4])
def test_a_subject_is_divided_as_if_it_were_the_only_one(n_subjects: int) -> None:
    rng = np.random.default_rng(3)
    x, y = patterns(rng), patterns(rng)
    design = Design.of({"category": CATEGORY})
    signal = np.stack([y + 0.5 * patterns(rng) for _ in range(n_subjects)])
    subjects = subject_kernels(recorded(signal, 4, 2.0, rng), EUCLIDEAN, 0)
    together, *each = divisions(x @ x.T, Brain.of(Side.of_subjects(subjects), design))
    assert len(each) == n_subjects
    for subject, found in zip(subjects, each, strict=True):
        alone = divide(x @ x.T, Brain.of(Side.of_subjects([subject]), design))
        for name in ("plain", "shares", "low", "high", "p", "adjusted"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name))
        assert np.abs(found.shares - together.shares).max() > 1e-3


def test_noise_does_not_change_the_expected_score() -> None:
    """Plain CKA falls; the score stays where it is without noise."""
    rng = np.random.default_rng(0)
    x = patterns(rng, 30)
    y = x @ rng.standard_normal((30, 20)) / 5
    design = Design.of({"category": CATEGORY})
    truth = divide(x @ x.T, Brain.of(Side.of_network(y @ y.T), design))
    found = [
        divide(x @ x.T, Brain.of(side_of(recorded(y[None], 4, 2.0, rng)), design))
        for _ in range(60)
    ]
    scores = np.array([f.score for f in found])
    assert np.nanmean(scores) == pytest.approx(truth.score, abs=3 * scores.std() / 60**0.5 + 0.02)
    assert np.mean([f.plain for f in found]) < truth.plain - 0.05
    shares = np.array([f.shares[0] for f in found])
    assert shares.mean() == pytest.approx(truth.shares[0], abs=3 * shares.std() / 60**0.5)


@pytest.mark.parametrize("repeats", [2, 4])
def test_the_variance_over_repeats_is_that_of_simulations(repeats: int) -> None:
    rng = np.random.default_rng(repeats)
    y = patterns(rng, 8)[None]
    a = rng.standard_normal((N, N))
    a = a + a.T
    a -= np.diag(a.diagonal())
    a = centred(a)
    sides = [side_of(recorded(y, repeats, 1.5, rng)) for _ in range(400)]
    values = np.array([(a * s.mean).sum() for s in sides])
    variances = [noise_variance(a[None], s, [0], np.eye(1))[0] for s in sides]
    assert np.mean(variances) == pytest.approx(values.var(), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [1, 4])
def test_intervals_cover_their_own_target(subjects: int) -> None:
    """Other repeats of these subjects; other subjects like these."""
    rng = np.random.default_rng(subjects)
    design = Design.of({"category": CATEGORY})
    inside = []
    for _ in range(300):
        x = patterns(rng, 20)
        latent = x + 0.5 * rng.standard_normal(x.shape)
        mixing = rng.standard_normal((subjects, 20, 15))
        signal = latent @ mixing
        side = side_of(recorded(signal, 3, 4.0, rng))
        truth = latent @ latent.T if subjects > 1 else signal[0] @ signal[0].T
        target = divide(x @ x.T, Brain.of(Side.of_network(truth), design)).shares
        found = divide(x @ x.T, Brain.of(side, design))
        inside.append((found.low <= target) & (target <= found.high))
    assert 0.91 < np.mean(inside) < 0.99


def test_one_repeat_of_few_subjects_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    side = side_of(recorded(np.stack([patterns(rng)] * 2), 1, 1.0, rng))
    found = divide(np.eye(N), Brain.of(side, Design.of({"category": CATEGORY})))
    assert np.isnan(found.low).all()
    assert np.isnan(found.p).all()
    assert "no interval" in found.target
    assert np.isnan(found.t)


def test_the_gate_passes_what_is_related_and_little_else() -> None:
    rng = np.random.default_rng(0)
    alone = StimulusGroups.alone(N)
    related, unrelated = [], []
    for _ in range(100):
        y = rng.standard_normal((N, 10))
        side = side_of(recorded(y[None], 3, 1.0, rng))
        x = [y @ rng.standard_normal((10, 10)), rng.standard_normal((N, 10))]
        p = permutation_p([k @ k.T for k in x], side.mean, alone, 99, 0)
        t = divide(x[1] @ x[1].T, Brain.of(side, Design.of({"category": CATEGORY}))).t
        related.append(p[0] <= 0.05)
        unrelated.append(p[1] <= 0.05 and not t < least_t(len(side.without)))
    assert np.mean(related) > 0.95
    assert np.mean(unrelated) < 0.11  # binomial: 0.05 + 2.7 standard errors


def test_what_remains_is_the_score_of_what_is_left() -> None:
    """With the categories' means removed, and many stimuli, debiased CKA of the residuals."""
    rng = np.random.default_rng(0)
    n = 400
    category = (np.arange(n)[:, None] % 4 == np.arange(4)).astype(float)
    u = rng.standard_normal((n, 6))
    x = u @ rng.standard_normal((6, 10)) + 3 * category @ rng.standard_normal((4, 10))
    y = u @ rng.standard_normal((6, 10)) + 3 * category @ rng.standard_normal((4, 10))
    design = Design.of({"category": category})
    side = Side.of_network(y @ y.T)
    metric = METRICS["cka_debiased"]
    without = [z - category @ (category.T @ z) / category.sum(axis=0)[0] for z in (x, y)]
    expected = metric.compare(*map(metric.factors, without))
    assert Remainder.of(side, design).score(x @ x.T) == pytest.approx(expected, abs=0.01)


def test_the_range_is_that_of_weights() -> None:
    """Two features in orthogonal directions of both sides, nothing else: weights can be tried."""
    rng = np.random.default_rng(0)
    n = 200
    a, b = (np.where(rng.permutation(n) % 2, 1.0, -1.0) for _ in range(2))
    b -= a * (a @ b) / n
    design = Design.of({"a": a, "b": b})
    noise = 1e-3 * rng.standard_normal((n, 4))

    def kernel(weight_a: float, weight_b: float) -> np.ndarray:
        x = np.stack([weight_a * a, weight_b * b, *noise.T[:2]], axis=1)
        return x @ x.T

    brain = Brain.of(Side.of_network(kernel(2.0, 1.0)), design)
    every = np.ones(3, bool)
    known = np.array([True, True, False])
    score = divide(kernel(1.0, 1.0), brain).score
    moved = movable(kernel(1.0, 1.0), brain, known, every, score)
    tried = [
        divide(kernel(np.cos(t), np.sin(t)), brain).score for t in np.linspace(0, np.pi / 2, 91)
    ]
    assert moved.high == pytest.approx(max(tried), abs=0.01)
    assert moved.low == pytest.approx(min(tried), abs=0.01)
    assert list(moved.usable) == list(known)
    lacking = movable(kernel(1.0, 0.0), brain, np.array([True, False, False]), known, 0.5)
    assert lacking.equalised == pytest.approx(0.5, abs=0.01)
    assert movable(kernel(1.0, 1.0), brain, known, known, score).equalised == pytest.approx(
        1, abs=0.01
    )


def test_a_feature_is_there_if_labels_matter() -> None:
    rng = np.random.default_rng(0)
    other = rng.standard_normal((N, 1))
    design = Design.of({"category": CATEGORY, "other": other})
    x = patterns(rng)
    assert has_features(x @ x.T, design, 199, 0).tolist() == [True, False]
    found = [
        has_features(z @ z.T, design, 99, seed).tolist()
        for seed, z in enumerate(rng.standard_normal((100, N, 5)))
    ]
    assert np.mean(found) < 0.09


def test_a_rest_is_there_if_two_measurements_share_it() -> None:
    rng = np.random.default_rng(0)
    design = Design.of({"category": CATEGORY})
    common = rng.standard_normal((N, 8))
    a, b = (common + rng.standard_normal((N, 8)) for _ in range(2))
    c, d = (3 * CATEGORY @ rng.standard_normal((4, 8)) + rng.standard_normal((N, 8)) for _ in "cd")
    assert has_rest([(a @ a.T, b @ b.T)], design, 99, 0)
    assert not has_rest([(c @ c.T, d @ d.T)], design, 99, 0)


def test_equalised_similarity_ignores_how_much_variance_features_have() -> None:
    rng = np.random.default_rng(0)
    n = 120
    easy, hard = (rng.permutation(np.arange(n) % 2) for _ in range(2))
    design = Design.of({"easy": easy[:, None], "hard": hard[:, None]})
    directions = rng.standard_normal((2, 10))

    def network(of_easy: float, of_hard: float) -> np.ndarray:
        x = of_easy * np.outer(easy, directions[0]) + of_hard * np.outer(hard, directions[1])
        return x + 0.3 * rng.standard_normal((n, 10))

    target = Equalised.of(np.stack([network(3, 0.6) for _ in range(2)]), design)
    assert target.usable.tolist() == [True, True, False]
    both, easy_only, hard_only = (
        equalised_similarity(Equalised.of(network(*w), design), target)
        for w in ((1, 1), (3, 0), (0, 3))
    )
    assert both > 0.9
    assert easy_only == pytest.approx(0.5, abs=0.05)
    assert hard_only == pytest.approx(0.5, abs=0.05)


def test_variance_alone_predicts_shares_of_features_with_one_dimension() -> None:
    """Whatever the units: a binary feature's kernel is the same on both sides."""
    rng = np.random.default_rng(0)
    n = 160
    a = np.tile([1.0, -1.0], n // 2)
    b = np.repeat([1.0, -1.0], n // 2)
    design = Design.of({"a": a, "b": b})

    def kernel(of_a: float, of_b: float, seed: int) -> np.ndarray:
        units = np.linalg.qr(np.random.default_rng(seed).standard_normal((20, 20)))[0]
        x = of_a * np.outer(a, units[0]) + of_b * np.outer(b, units[1])
        x += 0.01 * rng.standard_normal((n, 20))
        return x @ x.T

    brain = Brain.of(Side.of_network(kernel(1.0, 0.5, 1)), design)
    found = divide(kernel(2.0, 2.0, 2), brain)
    np.testing.assert_allclose(found.predicted, found.shares, atol=1e-3)
    assert found.shares[0] == pytest.approx(1 / (1 + 0.5**2), abs=1e-3)


def test_variance_alone_fails_where_categories_are_arranged_differently() -> None:
    rng = np.random.default_rng(1)
    place = CATEGORY @ rng.standard_normal((4, 1))
    other = CATEGORY @ rng.standard_normal((4, 1))
    noise = 0.01 * rng.standard_normal((2, N, 3))
    sides = [np.hstack([x, e]) for x, e in zip((place, other), noise, strict=True)]
    brain = Brain.of(Side.of_network(sides[0] @ sides[0].T), Design.of({"category": CATEGORY}))
    design = Design.of({"category": CATEGORY})
    model = sides[1] @ sides[1].T
    a, b = (divide(model, x) for x in (brain, Brain.of(Side.of_network(model), design)))
    assert b.score == pytest.approx(1)
    assert a.score < 0.9
    assert a.predicted[0] > 0.99


# Closed forms that quick simulations do not see


def test_intervals_over_subjects_are_those_of_student() -> None:
    """Of (N_f - share N) / mean N, SciPy's confidence interval of a mean."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    x = patterns(rng)
    design = Design.of({"category": CATEGORY})
    side = side_of(recorded(x @ rng.standard_normal((5, 12, 10)), 2, 2.0, rng))
    found = divide(x @ x.T, Brain.of(side, design))
    by_subject = parts(weights(x @ x.T, design), side.kernels)
    total = by_subject.mean(axis=0).sum()
    for f, share in enumerate(found.shares):
        errors = (by_subject[:, f] - share * by_subject.sum(axis=1)) / total
        expected = ttest_1samp(errors, 0).confidence_interval(0.95)
        assert found.low[f] == pytest.approx(share + expected.low)
        assert found.high[f] == pytest.approx(share + expected.high)
        assert found.p[f] == pytest.approx(ttest_1samp(by_subject[:, f], 0).pvalue)


def test_intervals_over_repeats_are_those_of_the_normal_distribution() -> None:
    """Of few subjects, with the variance of their noise; SciPy's quantiles and tails."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    x = patterns(rng)
    design = Design.of({"category": CATEGORY})
    side = side_of(recorded(x @ rng.standard_normal((2, 12, 10)), 4, 2.0, rng))
    found = divide(x @ x.T, Brain.of(side, design))
    divided = weights(x @ x.T, design)
    each = parts(divided, side.kernels).mean(axis=0)
    for f, share in enumerate(found.shares):
        one = np.eye(len(each))[f]
        combinations = np.stack([(one - share) / each.sum(), one])
        of_share, of_part = np.sqrt(noise_variance(divided, side, range(2), combinations))
        assert found.low[f] == pytest.approx(share + norm.ppf(0.025) * of_share)
        assert found.high[f] == pytest.approx(share + norm.ppf(0.975) * of_share)
        assert found.p[f] == pytest.approx(2 * norm.sf(abs(each[f]) / of_part))


def test_the_jackknife_of_shares_of_a_mean_is_students_interval() -> None:
    """Where the total is the same for all units, a share is a mean of values."""
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).random((6, 1)) * [[1, -1]] + [[0, 1]]
    left_out = np.stack([np.delete(values, i, 0).mean(axis=0) for i in range(6)])
    low, high, p = jackknifed_shares(values.mean(axis=0), [left_out])
    for f in range(2):
        expected = ttest_1samp(values[:, f], 0)
        assert low[f] == pytest.approx(expected.confidence_interval(0.95).low)
        assert high[f] == pytest.approx(expected.confidence_interval(0.95).high)
        assert p[f] == pytest.approx(expected.pvalue)


def test_the_smallest_p_is_one_of_all_permutations() -> None:
    x = np.random.default_rng(0).standard_normal((N, 5))
    alone = StimulusGroups.alone(N)
    assert permutation_p([x @ x.T], x @ x.T, alone, 199, 0)[0] == 1 / 200


def test_the_noise_covariance_has_its_size_whatever_the_number_of_units() -> None:
    """||S||² of correlated noise; squares of the same stimulus' deviations would be too large."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((30, 30)) / 5
    truth = ((root.T @ root) ** 2).sum()
    found = []
    for _ in range(400):
        tensor = rng.standard_normal((25, 3, 30)) @ root
        found.append(_noise(tensor, tensor.mean(axis=1)).square)
    assert np.mean(found) == pytest.approx(truth, rel=0.05)


def test_what_the_model_lacks_counts_as_nothing() -> None:
    """Also if chance gives it some similarity there."""
    rng = np.random.default_rng(0)
    x = patterns(rng)
    brain = Brain.of(Side.of_network(x @ x.T), Design.of({"category": CATEGORY}))
    both = np.ones(2, bool)
    assert movable(x @ x.T, brain, both, both, 1.0).equalised == pytest.approx(1)
    lacking = movable(x @ x.T, brain, np.array([True, False]), both, 1.0)
    assert lacking.equalised == pytest.approx(0.5)


def test_what_is_0_but_for_rounding_has_no_p():
    """A model that consists of the features has no rest, and its rounding no sampling error."""
    spread = [0.1, 0.1, 0.1, 1e-11]
    parts = np.random.default_rng(0).normal([1, 0.1, 0, 1e-10], spread, (8, 4))
    parts[:, 2] -= parts[:, 2].mean() - 1e-12  # 0 by chance, but not always
    *_, p = jackknifed_shares(parts.mean(axis=0), [(8 * parts.mean(axis=0) - parts) / 7])
    assert p[0] < 0.001 and 0 < p[1] < 1 and p[2] == pytest.approx(1) and np.isnan(p[3])
