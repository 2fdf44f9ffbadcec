"""The calls of rsatoolbox against rsatoolbox itself, given the same random state."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import rsatoolbox.inference
import rsatoolbox.rdm
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.model import Model, ModelFixed, ModelInterpolate, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_regress_nn
from rsatoolbox.rdm import RDMs
from scipy.spatial.distance import pdist

from repbias.base.spec import RepbiasError
from repbias.rsa import toolbox

LINEAR = ("corr", "cosine", "corr_cov", "cosine_cov")
RDM_SIMILARITIES = (*LINEAR, "spearman", "rho-a", "tau-a")
PAGE = Path(__file__).parents[2] / "docs" / "fast-rsa.md"
pytestmark = pytest.mark.filterwarnings("ignore:Noise ceiling for tau:UserWarning")


def simulated(n=14, n_subjects=4, seed=0):
    """RDMs of three layers in two versions, and subjects with groups and noise."""
    rng = np.random.default_rng(seed)
    layers = np.array([pdist(rng.normal(size=(n, 5)), "sqeuclidean") for _ in range(6)]) / 1e3
    truth = layers[0] + layers[3]
    data = RDMs(
        truth + truth.std() * rng.normal(size=(n_subjects, truth.size)),
        rdm_descriptors={"lab": ["a", "a", "b", "c", "c", "d"][:n_subjects]},
        pattern_descriptors={"category": [f"c{i // 2}" for i in range(n)]},
    )
    return layers, data


def named(rdm, data):
    descriptors = {"category": list(data.pattern_descriptors["category"])}
    return RDMs(np.atleast_2d(rdm), pattern_descriptors=descriptors)


def fixed_models(layers, data, n=3):
    return [ModelFixed(f"layer {i}", named(layers[i], data)) for i in range(n)]


def fitted_models(layers, data):
    return [
        ModelWeighted("three", named(layers[:3], data)),
        ModelFixed("one", named(layers[4], data)),
        ModelWeighted("two", named(layers[3:5], data)),
    ]


def assert_same(name, *arguments, exact=1e-10, **options):
    """Evaluations, ceilings, variances and all that Result makes of them."""
    np.random.seed(7)  # noqa: NPY002
    expected = getattr(rsatoolbox.inference, name)(*arguments, **options)
    found = getattr(toolbox, name)(*arguments, **options, random_state=7)
    for attribute in ("evaluations", "noise_ceiling", "variances"):
        a, b = (np.asarray(getattr(r, attribute)) for r in (found, expected))
        assert a.shape == b.shape, attribute
        np.testing.assert_allclose(a, b, atol=exact, rtol=0, err_msg=attribute)
    for attribute in ("dof", "n_rdm", "n_pattern", "cv_method", "method"):
        assert getattr(found, attribute) == getattr(expected, attribute), attribute
    np.testing.assert_allclose(found.get_means(), expected.get_means(), atol=exact)
    np.testing.assert_allclose(found.get_sem(), expected.get_sem(), atol=exact**0.5)
    return found


@pytest.mark.parametrize("method", RDM_SIMILARITIES)
@pytest.mark.parametrize("name", ["eval_bootstrap", "eval_bootstrap_pattern", "eval_bootstrap_rdm"])
def test_bootstraps(name, method):
    layers, data = simulated()
    assert_same(name, fixed_models(layers, data), data, method=method, N=5)


@pytest.mark.parametrize("method", RDM_SIMILARITIES)
def test_dual_bootstrap_without_cross_validation(method):
    layers, data = simulated()
    found = assert_same("eval_dual_bootstrap", fixed_models(layers, data), data, method=method, N=5)
    assert all(np.isfinite(p).all() for p in found.test_all())


@pytest.mark.parametrize("method", RDM_SIMILARITIES)
@pytest.mark.parametrize("boot_type", ["both", "pattern", "rdm"])
def test_cross_validated_bootstrap(boot_type, method):
    """Some samples are too small for two folds and are NaN."""
    layers, data = simulated(n=8)
    options = {"method": method, "N": 7, "boot_type": boot_type}
    found = assert_same("bootstrap_crossval", fixed_models(layers, data), data, **options)
    some = np.isnan(found.evaluations[:, 0, 0, 0]).mean()
    assert 0 < some < 1 or boot_type == "rdm"


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize(("k_pattern", "k_rdm"), [(2, 2), (3, 1), (1, 2), (1, 1)])
def test_fitted_models(k_pattern, k_rdm, method):
    """Whitened, rsatoolbox solves for weights to a relative 1e-5 only."""
    layers, data = simulated()
    assert_same(
        "eval_dual_bootstrap",
        fitted_models(layers, data),
        data,
        method=method,
        fitter=fit_regress_nn,
        k_pattern=k_pattern,
        k_rdm=k_rdm,
        N=3,
        exact=1e-10 if method in ("corr", "cosine") else 1e-4,
    )


@pytest.mark.parametrize("method", ["corr", "cosine_cov", "spearman"])
def test_selected_models(method):
    """Of so many stimuli that no two are equally similar, where rsatoolbox goes by rounding."""
    layers, data = simulated(n=30)
    models = [
        ModelSelect("any", named(layers[:4], data)),
        ModelFixed("one", named(layers[0], data)),
    ]
    assert_same("eval_dual_bootstrap", models, data, method=method, k_pattern=2, k_rdm=2, N=4)


@pytest.mark.parametrize("method", ["corr", "corr_cov", "spearman"])
@pytest.mark.parametrize("k", [1, 2])
def test_groups_are_drawn_and_divided_together(method, k):
    layers, data = simulated(n=20, n_subjects=6)
    groups = {"pattern_descriptor": "category", "rdm_descriptor": "lab"}
    models = fixed_models(layers, data)
    options = {"method": method, "N": 5, **groups}
    assert_same("eval_dual_bootstrap", models, data, k_pattern=k, k_rdm=k, **options)
    assert_same("eval_bootstrap", models, data, **options)


def test_default_numbers_of_folds():
    """By the number of patterns and RDMs; a single RDM is not divided."""
    layers, data = simulated(n=30)
    models = fixed_models(layers, data, 2)
    found = assert_same(
        "eval_dual_bootstrap", models, data, method="corr", k_pattern=None, k_rdm=None, N=4
    )
    assert found.evaluations.shape == (4, 2, 3 * 2, 2, 3)
    one = data.subset("index", 0)
    assert_same("bootstrap_crossval", models, one, method="corr", N=4, boot_type="pattern")


def test_without_correction_or_ceilings():
    layers, data = simulated()
    models = fixed_models(layers, data, 1)
    options = {"method": "corr", "N": 8}
    assert_same("bootstrap_crossval", models, data, use_correction=False, n_cv=1, **options)
    for name in ("eval_bootstrap", "eval_bootstrap_pattern", "eval_bootstrap_rdm"):
        assert_same(name, models, data, boot_noise_ceil=False, **options)


def test_parameters_of_weighted_models_can_be_given():
    layers, data = simulated()
    theta = [np.array([1.0, 0, 2]), None, np.array([0.5, 1])]
    assert_same("eval_bootstrap", fitted_models(layers, data), data, theta=theta, N=8)


def test_the_global_state_is_the_default():
    layers, data = simulated()
    results = []
    for state in (3, np.random.RandomState(3), None):
        np.random.seed(3)  # noqa: NPY002
        model = fixed_models(layers, data, 1)
        results.append(toolbox.eval_dual_bootstrap(model, data, N=5, random_state=state))
    for result in results[1:]:
        np.testing.assert_array_equal(result.evaluations, results[0].evaluations)


@pytest.mark.parametrize("method", RDM_SIMILARITIES)
def test_comparison_and_ceiling(method):
    layers, data = simulated(n_subjects=6)
    models = named(layers, data)
    expected = rsatoolbox.rdm.compare(models, data, method)
    np.testing.assert_allclose(toolbox.compare(models, data, method), expected, atol=1e-12)
    for descriptor in ("index", "lab"):
        expected = rsatoolbox.inference.boot_noise_ceiling(data, method, descriptor)
        found = toolbox.boot_noise_ceiling(data, method, descriptor)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_comparisons_that_rsatoolbox_makes_are_passed_on():
    _, data = simulated()
    sigma = np.diag(np.arange(1.0, 15))
    expected = rsatoolbox.rdm.compare(data, data, "cosine_cov", sigma_k=sigma)
    np.testing.assert_array_equal(toolbox.compare(data, data, "cosine_cov", sigma), expected)
    expected = rsatoolbox.rdm.compare(data, data, "bures")
    np.testing.assert_array_equal(toolbox.compare(data, data, "bures"), expected)


def trials(ids=("b", "a10", "a2", "c"), n_runs=3, n_channels=12, seed=0):
    """Measurements of every condition in every run, conditions in the order given."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(len(ids), n_channels))
    conditions = [c for _ in range(n_runs) for c in ids]
    x = np.tile(patterns, (n_runs, 1)) + rng.normal(size=(len(conditions), n_channels))
    runs = [r for r in range(n_runs) for _ in ids]
    return Dataset(100 + x, obs_descriptors={"image": conditions, "run": runs}), list(ids)


def sorted_to(rdms, ids):
    position = [list(rdms.pattern_descriptors["image"]).index(i) for i in ids]
    return rdms.get_matrices()[:, position][:, :, position]


@pytest.mark.parametrize("method", ["euclidean", "correlation", "crossnobis"])
@pytest.mark.parametrize("cv_descriptor", [None, "run"])
def test_rdms_are_rsatoolboxs_in_the_order_given(method, cv_descriptor):
    dataset, ids = trials()
    options = {"descriptor": "image", "cv_descriptor": cv_descriptor}
    expected = rsatoolbox.rdm.calc_rdm(dataset, method, **options)
    found = toolbox.calc_rdm(dataset, method, **options)
    assert list(found.pattern_descriptors["image"]) == ids != sorted(ids)
    assert list(found.pattern_descriptors["index"]) == [0, 1, 2, 3]
    assert found.dissimilarity_measure == expected.dissimilarity_measure
    np.testing.assert_allclose(found.get_matrices(), sorted_to(expected, ids), atol=1e-9)


def test_shrinkage_noise_is_rsatoolboxs_precision():
    dataset, ids = trials(n_channels=30)
    precision = prec_from_unbalanced(dataset, "image", method="shrinkage_diag")
    expected = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "image", precision, "run")
    found = toolbox.calc_rdm(dataset, "crossnobis", "image", "shrinkage", "run")
    np.testing.assert_allclose(found.get_matrices(), sorted_to(expected, ids), rtol=1e-8, atol=1e-9)


def test_a_precision_matrix_is_passed_on():
    dataset, ids = trials()
    precision = np.diag(np.arange(1.0, 13))
    expected = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "image", precision, "run")
    found = toolbox.calc_rdm(dataset, "crossnobis", "image", precision, "run")
    np.testing.assert_allclose(found.get_matrices(), sorted_to(expected, ids), atol=1e-12)


def test_datasets_of_several_subjects_become_one_object():
    first, second = (trials(seed=seed)[0] for seed in (0, 1))
    first.descriptors["subject"], second.descriptors["subject"] = "s1", "s2"
    together = toolbox.calc_rdm([first, second], "crossnobis", "image", "shrinkage", "run")
    assert together.n_rdm == 2
    assert together.rdm_descriptors["subject"] == ["s1", "s2"]
    alone = toolbox.calc_rdm(second, "crossnobis", "image", "shrinkage", "run")
    np.testing.assert_array_equal(together.get_vectors()[1], alone.get_vectors()[0])


def test_what_cannot_be_done_is_refused():
    layers, data = simulated()
    other = RDMs(layers[:1], pattern_descriptors={"category": [f"x{i}" for i in range(14)]})
    with pytest.raises(RepbiasError, match=r"'category' of two RDMs differs \(number 0: x0 and c0"):
        toolbox.compare(other, data)
    with pytest.raises(RepbiasError, match=r"'category' of two RDMs differs"):
        toolbox.eval_bootstrap(ModelFixed("m", other), data, N=5)
    with pytest.raises(RepbiasError, match=r"RDMs of 14 and of 3 conditions"):
        toolbox.compare(data, RDMs(np.ones((1, 3))))
    one = fixed_models(layers, data, 1)
    for model in (
        ModelWeighted("w", layers[:2]),
        ModelInterpolate("i", layers[:2]),
        Model("m"),  # has no RDMs
    ):
        with pytest.raises(
            RepbiasError, match=rf"'{model.name}' is a Model.* rsatoolbox.inference"
        ):
            toolbox.eval_dual_bootstrap(model, data, N=5)
    with pytest.raises(RepbiasError, match=r"2 fitters for 1 models"):
        toolbox.eval_dual_bootstrap(one, data, N=5, fitter=[None, None])
    with pytest.raises(RepbiasError, match=r"method 'bures'; expected one of corr, "):
        toolbox.eval_bootstrap(one, data, "bures", "bures", N=5)
    with pytest.raises(RepbiasError, match=r"n_cv is 1; expected n_cv >= 2"):
        toolbox.bootstrap_crossval(one, data, n_cv=1, N=5)
    with pytest.raises(RepbiasError, match=r"0 of 5 bootstrap samples have the 2 different RDMs"):
        toolbox.bootstrap_crossval(one, data, k_pattern=9, k_rdm=2, N=5)
    with pytest.raises(RepbiasError, match=r"boot_type 'all'; expected 'both'"):
        toolbox.bootstrap_crossval(one, data, boot_type="all", N=5)
    with pytest.raises(RepbiasError, match=r"N is 1; expected two"):
        toolbox.eval_bootstrap(one, data, N=1)
    with pytest.raises(RepbiasError, match=r"no descriptor 'lobe'"):
        toolbox.eval_bootstrap(one, data, N=5, rdm_descriptor="lobe")
    dataset, _ = trials()
    with pytest.raises(RepbiasError, match=r"noise 'shrinkage' of method 'mahalanobis'"):
        toolbox.calc_rdm(dataset, "mahalanobis", "image", "shrinkage")
    broken = data.get_vectors().copy()
    broken[0, 0] = np.nan
    with pytest.raises(RepbiasError, match=r"1 of 4 have .* not finite"):
        toolbox.eval_bootstrap(ModelFixed("m", layers[0]), RDMs(broken), N=5)


@pytest.mark.parametrize(
    "name",
    [
        "eval_bootstrap",
        "eval_bootstrap_pattern",
        "eval_bootstrap_rdm",
        "eval_dual_bootstrap",
        "bootstrap_crossval",
        "boot_noise_ceiling",
        "calc_rdm",
        "compare",
    ],
)
def test_arguments_and_defaults_are_rsatoolboxs(name):
    found = inspect.signature(getattr(toolbox, name)).parameters
    theirs = rsatoolbox.rdm if name in ("calc_rdm", "compare") else rsatoolbox.inference
    expected = inspect.signature(getattr(theirs, name)).parameters
    defaults = {k: p.default for k, p in found.items() if k != "random_state"}
    assert list(defaults.items()) == [(k, p.default) for k, p in expected.items()]


def test_the_examples_of_the_page_run(capsys):
    """In order, in one namespace; every block ends with assertions."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    namespace = {}
    for block in blocks:
        exec(block, namespace)


# Datasets of several subjects


def of_a_subject(seed, shuffle=False, dtype=float):
    """Five images in four runs, in the order of the runs or in a subject's own."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(20) if shuffle else np.arange(20)
    images, runs = np.array(list("abcde") * 4)[order], np.repeat(range(4), 5)[order]
    return Dataset(
        rng.normal(size=(20, 6)).astype(dtype),
        obs_descriptors={"image": images.tolist(), "run": runs.tolist()},
    )


@pytest.mark.parametrize("method", ["crossnobis", "mahalanobis"])
def test_a_list_of_precision_matrices_has_one_for_every_dataset(method):
    """Also where there are as many as folds."""
    datasets = [of_a_subject(seed) for seed in range(4)]
    precisions = [np.eye(6) * scale for scale in (1, 7, 2, 3)]
    options = {"noise": precisions, "cv_descriptor": "run"}
    found, expected = (
        calc_rdm(datasets, method, "image", **options).get_vectors()
        for calc_rdm in (toolbox.calc_rdm, rsatoolbox.rdm.calc_rdm)
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with pytest.raises(RepbiasError, match="4 datasets and 2 precision matrices"):
        toolbox.calc_rdm(datasets, method, "image", noise=precisions[:2])


@pytest.mark.parametrize("method", ["crossnobis", "euclidean"])
def test_subjects_may_have_seen_conditions_in_another_order(method):
    datasets = [of_a_subject(seed, shuffle=True) for seed in range(3)]
    found = toolbox.calc_rdm(datasets, method, "image", cv_descriptor="run")
    expected = rsatoolbox.rdm.calc_rdm(datasets, method, "image", cv_descriptor="run")
    names = found.pattern_descriptors["image"]
    assert names == list(dict.fromkeys(datasets[0].obs_descriptors["image"])) != sorted(names)
    alphabetic = np.argsort(np.argsort(names))
    expected.reorder(alphabetic)
    np.testing.assert_allclose(found.get_vectors(), expected.get_vectors(), atol=1e-12)


def test_a_missing_response_is_refused():
    dataset = of_a_subject(0)
    dataset.measurements[3, 0] = np.nan
    with pytest.raises(RepbiasError, match="1 of 20 observations are not finite"):
        toolbox.calc_rdm(dataset, "crossnobis", "image", noise="shrinkage")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
def test_the_calls_compute_in_double_precision(dtype):
    layers, _ = simulated()
    low = RDMs((1e3 * layers[:3]).astype(dtype))
    high = RDMs(low.dissimilarities.astype(np.float64))
    for rdm_similarity in RDM_SIMILARITIES:
        found = toolbox.compare(low, low, rdm_similarity)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, toolbox.compare(high, high, rdm_similarity))
