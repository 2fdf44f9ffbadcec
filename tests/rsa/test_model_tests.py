"""Tests of models: bootstrap variances against rsatoolbox, p-values under the null, the table."""

from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.inference import boot_noise_ceiling, eval_dual_bootstrap
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs, compare
from scipy.spatial.distance import pdist, squareform
from scipy.stats import false_discovery_control, ttest_1samp, ttest_rel
from scipy.stats import t as student

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import resampled_similarity
from repbias.geometry.inference import Draws, evaluate
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa import model_tests
from repbias.rsa.model_tests import ModelSet, model_tests_table, similarity_tests
from repbias.rsa.rdms import make_rdms
from repbias.tables import TABLES

RDM_SIMILARITIES = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]
seeds = st.integers(0, 10_000)


def patterns_rdms(n, common, noise, rng, units=15):
    """RDMs of patterns that are a common part plus noise; unrelated if common is None."""
    shape = (n, units) if common is None else common.shape
    base = 0 if common is None else common
    return pdist(base + noise * rng.normal(size=shape), "correlation")


def simulated(n_models, n_subjects, n_stimuli, seed=0, noise=1.0):
    """RDMs of models and of subjects, all of which share part of their patterns."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_stimuli, 15))
    rdms = [patterns_rdms(0, common, noise, rng) for _ in range(n_models + n_subjects)]
    return np.array(rdms[:n_models]), np.array(rdms[n_models:])


def singles(n):
    return [np.array([i]) for i in range(n)]


def of(table, test):
    return table[table["test"] == test].reset_index(drop=True)


def run(models, groups, data, rdm_similarity="corr", networks=None, **settings):
    settings = {"bootstraps": 200, "permutations": 50, "seed": 0} | settings
    return similarity_tests(ModelSet(models, groups, networks), data, rdm_similarity, **settings)


@pytest.mark.parametrize("rdm_similarity", ["corr", "spearman", "cosine_cov"])
def test_without_several_networks_zero_is_the_interval_of_evaluate(rdm_similarity):
    """The same samples; t and p by SciPy."""
    models, data = simulated(3, 4, 14)
    found = of(run(models, singles(3), data, rdm_similarity), "zero")
    expected = evaluate(models, data, rdm_similarity, 200, 0)
    np.testing.assert_allclose(found["effect"], expected.similarity, rtol=1e-12)
    np.testing.assert_allclose(found["ci_low"], expected.ci_low, rtol=1e-10)
    np.testing.assert_allclose(found["degrees"], expected.degrees, rtol=1e-10)
    error = (found["ci_high"] - found["effect"]) / student.ppf(0.975, found["degrees"])
    p = student.sf(found["effect"] / error, found["degrees"])
    np.testing.assert_allclose(found["p"], p, rtol=1e-10)


@pytest.mark.slow
def test_variances_are_those_of_rsatoolboxs_dual_bootstrap():
    """Zero, pairs and ceiling; it draws its own 160 samples. It draws subjects whose only others
    are copies too, which have no ceiling here."""
    models, data = simulated(2, 6, 14, noise=1.5)
    found = run(models, singles(2), data, bootstraps=2000)
    np.random.seed(0)  # noqa: NPY002  (rsatoolbox has no other)
    fixed = [ModelFixed(f"m{i}", m) for i, m in enumerate(models)]
    result = eval_dual_bootstrap(fixed, RDMs(data), "corr", k_pattern=1, k_rdm=1, N=160)
    for test, variance, tolerance in (
        ("zero", result.model_var, 0.15),
        ("pair", result.diff_var, 0.15),
        ("ceiling", result.noise_ceil_var[:, 0], 0.25),
    ):
        rows = of(found, test)
        error = (rows["ci_high"] - rows["effect"]) / student.ppf(0.975, rows["degrees"])
        np.testing.assert_allclose(error, np.sqrt(variance), rtol=tolerance)
    low, _ = boot_noise_ceiling(RDMs(data), "corr")
    np.testing.assert_allclose(of(found, "ceiling")["effect"], of(found, "zero")["effect"] - low)


def test_networks_are_a_random_factor():
    """The variance over networks is that of the t-test of their scores (SciPy)."""
    models, data = simulated(6, 1, 12)
    groups = [np.array([0, 1, 2]), np.array([3, 4, 5])]
    found = run(models, groups, data, networks=np.array(list("abcdef")))
    one = [of(run(models[g], singles(3), data), "zero") for g in groups]
    scores = [part["effect"].to_numpy() for part in one]
    for g, row in of(found, "zero").iterrows():
        assert row["effect"] == pytest.approx(scores[g].mean(), abs=1e-12)
        mean = variance_of_mean(models[groups[g]], data)
        variance = mean + ttest_1samp(scores[g], 0)._standard_error ** 2
        error = (row["ci_high"] - row["effect"]) / student.ppf(0.975, row["degrees"])
        assert error == pytest.approx(np.sqrt(variance), rel=1e-8)
    # The same networks, such as two layers of theirs: of differences.
    same = run(models, groups, data, networks=np.array(list("abcbca")))
    apart, paired = (
        ((t["ci_high"] - t["effect"]) / student.ppf(0.975, t["degrees"]))[0] ** 2
        for t in (of(found, "pair"), of(same, "pair"))
    )
    first, second = scores[0], scores[1][[2, 0, 1]]  # b, c, a
    together = ttest_rel(first, second)._standard_error ** 2
    assert paired - apart == pytest.approx(
        together - (first.var(ddof=1) + second.var(ddof=1)) / 3, rel=1e-6
    )


def variance_of_mean(models, data):
    """Bootstrap variance of the mean over networks, from the same samples, written out."""
    draws = Draws.of(StimulusGroups.alone(12), 1, 200, 0, "stimuli")
    samples = resampled_similarity(models, data, "corr", draws.stimuli)
    return samples.mean(axis=(1, 2)).var(ddof=1) * 12 / 11


def test_p_and_interval_use_the_same_degrees_of_freedom_and_networks_have_some():
    models, data = simulated(4, 5, 14)
    found = of(run(models, [np.array([0]), np.array([1, 2, 3])], data), "zero")
    alone = evaluate(models[:1], data, "corr", 200, 0)
    assert found["degrees"][0] == pytest.approx(alone.degrees[0])
    assert 2 <= found["degrees"][1] <= 4 + 13 + 2
    for row in found.itertuples():
        error = (row.ci_high - row.effect) / student.ppf(0.975, row.degrees)
        assert row.p == pytest.approx(student.sf(row.effect / error, row.degrees), rel=1e-9)


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_permutations_are_counted_as_in_a_loop(rdm_similarity):
    """Rows and columns of the models' RDMs permuted, compared by rsatoolbox."""
    models, data = simulated(3, 2, 7, noise=2)
    groups = [np.array([0, 1]), np.array([2])]
    found = of(run(models, groups, data, rdm_similarity, permutations=39, seed=5), "permutation")
    rng = np.random.default_rng([5, 1])
    first, second = np.triu_indices(7, 1)

    def similarity(order):
        # The inverse on the model's side is the permutation on the data's.
        inverse = np.argsort(order)
        permuted = np.array([squareform(m)[inverse[first], inverse[second]] for m in models])
        values = compare(permuted, data, rdm_similarity).mean(axis=1)
        return np.array([values[g].mean() for g in groups])

    null = np.array([similarity(rng.permutation(7)) for _ in range(39)])
    exceeding = (null >= similarity(np.arange(7)) - 1e-12).sum(axis=0)
    np.testing.assert_allclose(found["p"], (exceeding + 1) / 40)


@pytest.mark.slow
@given(seed=seeds, rdm_similarity=st.sampled_from(["corr", "spearman", "corr_cov"]))
def test_scale_and_offset_of_rdms_do_not_matter(seed, rdm_similarity):
    models, data = simulated(2, 3, 8, seed)
    rng = np.random.default_rng(seed)
    changed = models * rng.uniform(0.1, 10, (2, 1)) + rng.uniform(0, 10, (2, 1))
    expected, found = (
        run(m, singles(2), data, rdm_similarity, bootstraps=30, permutations=10)
        for m in (models, changed)
    )
    columns = ["effect", "ci_low", "ci_high", "p"]
    np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-6, atol=1e-8)


@given(seed=seeds)
def test_the_order_of_subjects_does_not_matter_for_effects(seed):
    models, data = simulated(2, 4, 8, seed)
    order = np.random.default_rng(seed).permutation(4)
    expected, found = (run(models, singles(2), d, bootstraps=30) for d in (data, data[order]))
    np.testing.assert_allclose(found["effect"], expected["effect"], atol=1e-12)


@pytest.mark.parametrize(
    ("generalise", "n_subjects"), [("stimuli", 4), ("subjects", 6), ("both", 6), ("auto", 1)]
)
def test_under_the_null_few_p_values_are_small(generalise, n_subjects):
    """Models and subjects are unrelated (zero, permutation), or models are equally good (pair).

    100 data sets; rejections at 5 % by chance are 5 +- 2.2; more than 12 are not."""
    rng = np.random.default_rng(0)
    small = {"zero": 0, "pair": 0, "permutation": 0}
    for i in range(100):
        models = np.array([patterns_rdms(15, None, 1, rng) for _ in range(2)])
        # Subjects share a geometry, which the models do not have.
        common = rng.normal(size=(15, 15))
        data = np.array([patterns_rdms(0, common, 1, rng) for _ in range(n_subjects)])
        table = run(
            models,
            singles(2),
            data,
            bootstraps=150,
            permutations=99,
            seed=i,
            generalise=generalise,
            ceiling=False,
        )
        for test in small:
            small[test] += of(table, test)["p"][0] < 0.05
    # Resampling subjects alone says nothing about other stimuli: these models differ.
    limits = {"permutation": 12} | ({} if generalise == "subjects" else {"zero": 12, "pair": 12})
    assert all(small[test] <= limit for test, limit in limits.items()), small
    assert small["permutation"] > 0


def test_permutation_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(1)
    p = []
    for i in range(200):
        models, data = (np.array([patterns_rdms(12, None, 1, rng)]) for _ in range(2))
        models = ModelSet(models, singles(1))
        reached = model_tests._permutations_reaching(
            models, data, "corr", 99, i, StimulusGroups.alone(12)
        )
        p.append((reached[0] + 1) / 100)
    assert 0.42 < np.mean(p) < 0.58
    assert 0.02 < np.mean(np.array(p) <= 0.1) < 0.18


def test_true_effects_are_found():
    rng = np.random.default_rng(2)
    common = rng.normal(size=(30, 15))
    data = np.array([patterns_rdms(0, common, 1, rng) for _ in range(8)])
    good, bad = patterns_rdms(0, common, 0.3, rng), patterns_rdms(30, None, 1, rng)
    table = run(np.array([good, bad]), singles(2), data, bootstraps=500, permutations=199)
    assert of(table, "zero")["p"][0] < 0.001 < 0.05 < of(table, "zero")["p"][1]
    assert of(table, "pair")["p"][0] < 0.001
    assert of(table, "pair")["effect"][0] > 0
    assert of(table, "permutation")["p"].tolist()[0] == pytest.approx(1 / 200)
    assert of(table, "ceiling")["p"][1] < 0.001
    assert of(table, "ceiling")["p"][0] > 0.05


def test_a_model_against_itself_is_no_evidence():
    models, data = simulated(1, 3, 10)
    row = of(run(np.repeat(models, 2, axis=0), singles(2), data), "pair").iloc[0]
    assert (row["effect"], row["p"]) == (0, 1)


@pytest.mark.parametrize("n_subjects", [1, 2])
def test_few_subjects_have_no_test_against_the_ceiling(n_subjects):
    models, data = simulated(1, n_subjects, 10)
    assert "ceiling" not in set(run(models, singles(1), data)["test"])


def test_constant_and_broken_rdms_are_refused():
    models, data = simulated(2, 3, 10)
    constant, broken = models.copy(), data.copy()
    constant[1] = 0.5
    broken[2, 7] = np.nan
    with pytest.raises(RepbiasError, match=r"models: 1 of 2 are constant .* number 1"):
        run(constant, singles(2), data)
    with pytest.raises(RepbiasError, match=r"subjects: 1 of 3 have .* not finite .* number 2"):
        run(models, singles(2), broken)
    with pytest.raises(RepbiasError, match=r"geometry.generalise: 'both' .* has 1; expected"):
        run(models, singles(2), data[:1], generalise="both")


IDS = [f"s{i:02d}" for i in range(12)]


def networks(seed, layers=("one", "two"), snapshots=("initial", "mastered", "final"), n=3):
    """RDMs of three networks, of which the last one is not included."""
    rng = np.random.default_rng(seed)
    rows = [(s, layer, k) for s in snapshots for layer in layers for k in range(n)]
    vectors = np.array([pdist(rng.normal(size=(12, 6)), "correlation") for _ in rows])
    info = {
        "network": [f"seed{k}" for _, _, k in rows],
        "seed": [k for _, _, k in rows],
        "snapshot": [s for s, _, _ in rows],
        "step": [0] * len(rows),
        "included": [k < 2 for _, _, k in rows],
        "layer": [layer for _, layer, _ in rows],
    }
    return make_rdms(vectors, IDS, "correlation", info)


def brain(n_subjects=3):
    rng = np.random.default_rng(9)
    return Recording(
        stimuli={"stimulus_id": np.array(IDS)},
        rdms=np.array([pdist(rng.normal(size=(12, 6))) for _ in range(n_subjects)]),
        rdm_info={"subject": np.array([f"subject{i}" for i in range(n_subjects)])},
    )


SPEC = Geometry(bootstraps=100, permutations=20, rdm_similarities=["corr", "spearman"])


def test_the_table_tests_every_model_and_pair_once():
    conditions = {"easy": networks(0), "hard": networks(1)}
    table = model_tests_table("it", brain(), "tasks", conditions, SPEC)
    assert tuple(table.columns) == TABLES["rsa_tests"].columns
    models = [(c, layer, s) for c in ("easy", "hard") for s in ("initial", "final")
              for layer in ("one", "two")]  # fmt: skip
    for rdm_similarity in SPEC.rdm_similarities:
        part = table[table["rdm_similarity"] == rdm_similarity]
        a, b = (
            list(
                part[[f"condition_{side}", f"layer_{side}", f"snapshot_{side}"]].itertuples(
                    False, None
                )
            )
            for side in "ab"
        )
        for test in ("zero", "ceiling", "permutation"):
            rows = (part["test"] == test).to_numpy()
            assert [x for x, row in zip(a, rows, strict=True) if row] == models
            assert set(part[rows]["condition_b"]) == {""}
        rows = (part["test"] == "pair").to_numpy()
        pairs = [frozenset(p) for p, row in zip(zip(a, b, strict=True), rows, strict=True) if row]
        assert len(set(pairs)) == len(pairs)
        assert set(pairs) == {frozenset(p) for p in combinations(models, 2)}
    assert set(table["n_networks_a"]) == {2}
    assert set(table["experiment"]) == {"tasks"}


def test_p_values_are_corrected_within_rdm_similarity_and_test():
    table = model_tests_table("it", brain(), "tasks", {"easy": networks(0)}, SPEC)
    for _, part in table.groupby(["rdm_similarity", "test"]):
        np.testing.assert_allclose(part["p_fdr"], false_discovery_control(part["p"]))


def test_the_table_averages_the_networks_that_were_included():
    rdms, recording = networks(0), brain()
    table = model_tests_table("it", recording, "tasks", {"easy": rdms}, SPEC)
    info = rdms.rdm_descriptors
    columns = zip(*(info[c] for c in ("layer", "snapshot", "included")), strict=True)
    rows = [i for i, row in enumerate(columns) if row == ("two", "final", True)]
    expected = compare(rdms.dissimilarities[rows], recording.rdms, "corr").mean()
    zero = table[(table["test"] == "zero") & (table["rdm_similarity"] == "corr")]
    row = zero[(zero["layer_a"] == "two") & (zero["snapshot_a"] == "final")]
    assert row["effect"].item() == pytest.approx(expected, abs=1e-12)


def test_many_models_are_compared_within_layers_and_conditions(monkeypatch):
    monkeypatch.setattr(model_tests, "MOST_MODELS", 3)
    conditions = {c: networks(i, snapshots=["final"]) for i, c in enumerate(("easy", "hard"))}
    table = model_tests_table("it", brain(), "tasks", conditions, SPEC)
    pairs = table[(table["test"] == "pair") & (table["rdm_similarity"] == "corr")]
    same = [pairs[f"{k}_a"] == pairs[f"{k}_b"] for k in ("condition", "layer")]
    assert len(pairs) == 4
    assert (same[0] | same[1]).all()


def test_the_table_says_what_tests_generalise_to_and_warns():
    one = networks(0, layers=["one"], snapshots=["final"], n=1)
    table = model_tests_table("it", brain(1), "tasks", {"easy": one}, SPEC)
    zero, permuted = (table[table["test"] == t].iloc[0] for t in ("zero", "permutation"))
    assert zero["generalises_to"] == "stimuli, these subjects, this network"
    for warning in ("fewer than 20 stimuli", "one subject", "one network"):
        assert warning in zero["warning"]
    assert permuted["generalises_to"] == "these stimuli, these subjects, these networks"
    spec = SPEC.model_copy(update={"generalise": "subjects", "rdm_similarities": ["cosine"]})
    table = model_tests_table("it", brain(), "tasks", {"easy": networks(0)}, spec)
    zero, pair = (table[table["test"] == t].iloc[0] for t in ("zero", "pair"))
    assert zero["generalises_to"] == "these stimuli, subjects, networks"
    assert "does not hold its level for other stimuli" in zero["warning"]
    assert "cosine is above 0" in zero["warning"]
    assert "cosine" not in pair["warning"]


def test_constant_models_are_left_out_and_named(caplog):
    rdms = networks(0, snapshots=["final"])
    rdms.dissimilarities[3:5] = 0.3  # layer two of the networks that were included
    with caplog.at_level(logging.WARNING):
        table = model_tests_table("it", brain(), "tasks", {"easy": rdms}, SPEC)
    assert set(table["layer_a"]) == {"one"}
    assert "easy, seed0, layer two (final): left out" in caplog.text


def test_without_models_the_table_is_empty():
    mastered = networks(0, snapshots=["mastered"])
    for conditions in ({}, {"easy": mastered}):
        table = model_tests_table("it", brain(), "tasks", conditions, SPEC)
        assert table.empty
        assert tuple(table.columns) == TABLES["rsa_tests"].columns


def test_rounding_is_no_difference_between_models():
    """RDMs that differ by a factor are equally similar, up to the last digit."""
    models, data = simulated(1, 4, 14)
    models = np.concatenate([models, 2.54 * models, 0.3937 * models])
    found = of(run(models, singles(3), data), "pair")
    assert (found["p"] > 0.99).all()


# Stimuli in groups


def clustered(rng, groups, shared, units=20):
    """An RDM of patterns of which stimuli of a group share a part of the variance."""
    patterns = np.sqrt(shared) * rng.normal(size=(len(groups.sizes), units))[groups.codes]
    patterns += np.sqrt(1 - shared) * rng.normal(size=(len(groups), units))
    return pdist(patterns, "correlation")[None]


@pytest.mark.slow
@pytest.mark.parametrize(("n_groups", "size", "shared"), [(8, 5, 0.8), (12, 3, 0.5)])
def test_unrelated_clusters_are_related_only_to_who_ignores_them(n_groups, size, shared):
    """Model and brain are unrelated, but both have exemplars of categories. Permuting stimuli says
    that they are related nearly always; permuting categories, as often as stated. Two such models
    differ as often as stated, too."""
    rng = np.random.default_rng(0)
    groups = StimulusGroups.of(np.repeat(np.arange(n_groups), size), "category")
    rejected = {"permutation": [], "pair": [], "alone": []}
    for _ in range(150):
        two = [clustered(rng, groups, shared) for _ in range(2)]
        models = ModelSet(np.concatenate(two), singles(2))
        data = clustered(rng, groups, shared)
        settings = {"bootstraps": 200, "permutations": 99, "generalise": "stimuli"}
        grouped = similarity_tests(models, data, "corr", groups=groups, **settings)
        alone = similarity_tests(models, data, "corr", **settings)
        for test in ("permutation", "pair"):
            rejected[test].append(of(grouped, test)["p"][0] <= 0.05)
        rejected["alone"].append(of(alone, "permutation")["p"][0] <= 0.05)
    # Five standard errors above 5 % of 150.
    assert np.mean(rejected["permutation"]) < 0.14
    assert np.mean(rejected["pair"]) < 0.14
    assert np.mean(rejected["alone"]) > 0.5


def test_what_groups_make_of_tests_is_said(rdm_recording):
    models = networks(0, snapshots=["final"])
    ids = list(models.pattern_descriptors["stimulus_id"])
    n = len(ids)
    for size, method, generalises, warning in (
        (1, "permutation of stimuli", "stimuli, this", ""),
        (2, "permutation of whole groups (film): of more than film itself", "groups (film)", ""),
        (
            n // 2,
            "permutation of stimuli within groups (film)",
            "stimuli of these groups (film)",
            "no test between",
        ),
    ):
        recording = brain()
        if size > 1:
            recording.stimuli["film"] = np.arange(len(recording.stimulus_ids)) // size
            recording.info["groups"] = "film"
        table = model_tests_table("it", recording, "tasks", {"easy": models}, SPEC)
        permuted = table[table["test"] == "permutation"]
        assert set(permuted["method"]) == {method}
        assert all((warning in w) if warning else not w for w in permuted["warning"])
        zero = table[table["test"] == "zero"]
        assert all(text.startswith(generalises.split(",")[0]) for text in zero["generalises_to"])


@pytest.mark.parametrize("level", ["stimuli", "both"])
def test_groups_of_equal_stimuli_are_resampled_like_rsatoolbox_does(level):
    """It draws values of a pattern descriptor, and takes all their stimuli."""
    models, data = simulated(2, 3, 12)
    codes = np.arange(12) // 2
    groups = StimulusGroups.of(codes, "film")
    draws = Draws.of(groups, 3, 4000, 0, level)
    found = resampled_similarity(models, data, "corr", draws.stimuli).mean(axis=2).var(axis=0)
    rng = np.random.default_rng(1)
    rdms = [RDMs(x, pattern_descriptors={"film": list(codes)}) for x in (models, data)]
    samples = []
    for _ in range(1500):
        drawn = rng.integers(6, size=6)
        if len(set(drawn)) < 3:
            continue
        a, b = (x.subsample_pattern("film", drawn) for x in rdms)
        samples.append(compare(a, b, "corr").mean(axis=1))
    np.testing.assert_allclose(found, np.var(samples, axis=0), rtol=0.15)
