"""Every parameter and form of input of rsatoolbox's calls, against rsatoolbox itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import rsatoolbox.inference
import rsatoolbox.rdm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rsatoolbox.data import Dataset, TemporalDataset
from rsatoolbox.model import ModelFixed, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_regress_nn
from rsatoolbox.rdm import RDMs

from repbias.base.spec import RepbiasError
from repbias.rsa import toolbox

METHODS = ("euclidean", "correlation", "mahalanobis", "crossnobis", "poisson", "poisson_cv")
CROSS_VALIDATED = ("crossnobis", "poisson_cv")
SIMILARITIES = ("cosine", "corr", "corr_cov", "cosine_cov", "spearman", "rho-a", "tau-a")
#: Names of conditions, not in alphabetic order.
NAMES = (["d", "b", "a10", "a2", "c"], [5, 3, 1, 2, 9], [1.5, 0.5, 2.5, 0.0, 3.0])
pytestmark = pytest.mark.filterwarnings(
    "ignore:Noise ceiling for tau:UserWarning", "ignore:.*Multiple pattern descriptors:UserWarning"
)


def called(function, *arguments, **options):
    """Call with copies, as rsatoolbox changes lists of precision matrices."""
    return function(*copy.deepcopy(arguments), **copy.deepcopy(options))


def precision(rng, n_channels):
    x = rng.normal(size=(n_channels, 2 * n_channels))
    return x @ x.T / (2 * n_channels)


def assert_same_rdms(found, expected, descriptor, noise_given):
    """All of rsatoolbox's numbers and descriptors, in any order of conditions."""
    if descriptor is not None:
        for rdms in (found, expected):
            rdms.sort_by(**{descriptor: "alpha"})
    np.testing.assert_allclose(found.dissimilarities, expected.dissimilarities, atol=1e-9)
    assert found.dissimilarity_measure == expected.dissimilarity_measure
    for kind in ("descriptors", "rdm_descriptors", "pattern_descriptors"):
        ours, theirs = getattr(found, kind), getattr(expected, kind)
        for name in theirs.keys() - (set() if noise_given else {"noise"}):
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{kind}: {name}")


# RDMs


@st.composite
def datasets(draw):
    """One dataset or several: names of any type, lists or arrays, some trials more than others."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = draw(st.sampled_from(NAMES))[: draw(st.integers(3, 5))]
    n_channels, n_folds = draw(st.integers(2, 6)), draw(st.integers(2, 4))
    trials = draw(st.sampled_from(["one", "two", "unequal"]))
    as_type = draw(st.sampled_from([list, np.array]))
    result = []
    for subject in range(draw(st.integers(1, 3))):
        cells = [(name, fold) for fold in range(n_folds) for name in names]
        numbers = {"one": 1, "two": 2, "unequal": rng.integers(1, 4, len(cells))}[trials]
        rows = np.repeat(np.arange(len(cells)), numbers)
        image, fold = zip(*(cells[i] for i in rng.permutation(rows)), strict=True)
        category = ["xyz"[names.index(name) % 3] for name in image]
        columns = {"fold": fold, "image": image, "category": category, "trial": range(len(image))}
        result.append(
            Dataset(
                rng.gamma(2, size=(len(image), n_channels)),
                descriptors={"subject": f"s{subject}", "session": 1},
                obs_descriptors={name: as_type(values) for name, values in columns.items()},
            )
        )
    return result, n_folds, trials != "unequal", rng


@settings(max_examples=100)
@given(datasets(), st.sampled_from(METHODS), st.data())
def test_rdms_are_rsatoolboxs(made, method, data):
    """All forms of datasets, noise and options that rsatoolbox can compute."""
    subjects, n_folds, equal, rng = made
    form = data.draw(st.sampled_from([None, list, tuple, iter]), "form of a list")
    options = {"descriptor": "image"}
    if not equal or data.draw(st.booleans(), "folds"):
        options["cv_descriptor"] = "fold"
    elif method not in CROSS_VALIDATED and data.draw(st.booleans(), "no descriptor"):
        options["descriptor"] = None
    if data.draw(st.booleans(), "options"):
        options |= {"prior_lambda": 2.0, "prior_weight": 0.3, "remove_mean": True}
    shapes = ["none", "matrix"]
    if method == "crossnobis" and "cv_descriptor" in options:
        shapes.append("one for every fold")
    shape = data.draw(st.sampled_from(shapes), "noise")
    if shape != "none":
        matrices = np.array(
            [[precision(rng, subjects[0].n_channel) for _ in range(n_folds)] for _ in subjects]
        )
        noise = matrices if shape == "one for every fold" else matrices[:, 0]
        noise = noise if form else noise[0]
        options["noise"] = list(noise) if data.draw(st.booleans(), "as a list") else noise
        if shape == "matrix" and not form:
            options["noise"] = noise
    found, expected = (
        calc(
            form(copy.deepcopy(subjects)) if form else subjects[0],
            method,
            **copy.deepcopy(options),  # rsatoolbox writes into lists of matrices
        )
        for calc in (toolbox.calc_rdm, rsatoolbox.rdm.calc_rdm)
    )
    assert_same_rdms(found, expected, options["descriptor"], "noise" in options)


def recorded(names="abcde", n_channels=6, n_folds=4, seed=0, **descriptors):
    """One trial of every image in every fold; images have categories, trials have numbers."""
    images = list(names) * n_folds
    return Dataset(
        np.random.default_rng(seed).normal(size=(len(images), n_channels)),
        descriptors=descriptors,
        obs_descriptors={
            "image": images,
            "fold": np.repeat(np.arange(n_folds), len(names)),
            "category": ["animal" if image in "ace" else "tool" for image in images],
            "trial": list(range(len(images))),
        },
    )


@pytest.mark.parametrize("method", ["crossnobis", "mahalanobis"])
def test_an_array_of_precision_matrices_has_one_for_every_dataset(method):
    """Although there are as many folds."""
    subjects = [recorded(seed=seed) for seed in range(4)]
    noise = np.array([np.eye(6) * scale for scale in (1, 7, 2, 3)])
    options = {"noise": noise, "cv_descriptor": "fold"}
    found = toolbox.calc_rdm(subjects, method, "image", **options)
    expected = rsatoolbox.rdm.calc_rdm(subjects, method, "image", **options)
    assert_same_rdms(found, expected, "image", noise_given=True)
    alone = [
        rsatoolbox.rdm.calc_rdm(s, method, "image", noise=n, cv_descriptor="fold")
        for s, n in zip(subjects, noise, strict=True)
    ]
    np.testing.assert_allclose(
        found.get_vectors(), np.concatenate([r.get_vectors() for r in alone]), atol=1e-12
    )


def test_one_precision_matrix_is_that_of_all_datasets():
    """Which rsatoolbox refuses."""
    subjects, noise = [recorded(seed=seed) for seed in range(3)], precision(np.random, 6)
    found = toolbox.calc_rdm(subjects, "mahalanobis", "image", noise)
    expected = rsatoolbox.rdm.calc_rdm(subjects, "mahalanobis", "image", [noise] * 3)
    assert_same_rdms(found, expected, "image", noise_given=True)
    with pytest.raises(ValueError, match="n_channel x n_channel"):
        rsatoolbox.rdm.calc_rdm(subjects, "mahalanobis", "image", noise)


def test_subjects_may_differ_in_channels_and_descriptors():
    """For which rsatoolbox raises errors; a single dataset keeps its descriptors in a list."""
    first, second = (
        recorded(n_channels=5, subject="s1"),
        recorded(n_channels=6, subject="s2", age=3),
    )
    options = {"noise": [np.eye(5), 2 * np.eye(6)], "cv_descriptor": "fold"}
    found = toolbox.calc_rdm([first, second], "crossnobis", "image", **options)
    assert found.rdm_descriptors["subject"] == ["s1", "s2"]
    assert found.pattern_descriptors["category"] == ["animal", "tool", "animal", "tool", "animal"]
    for i, subject in enumerate((first, second)):
        options["noise"] = (i + 1) * np.eye(5 + i)
        alone = rsatoolbox.rdm.calc_rdm(subject, "crossnobis", "image", **options)
        np.testing.assert_allclose(found.get_vectors()[i], alone.get_vectors()[0], atol=1e-12)
    (found,) = toolbox.calc_rdm([first], "crossnobis", "image", cv_descriptor="fold")
    assert found.rdm_descriptors["subject"] == ["s1"]
    assert "category" in found.pattern_descriptors


@pytest.mark.parametrize("method", ["crossnobis", "correlation"])
def test_conditions_that_a_dataset_lacks_are_missing_from_its_rdm(method):
    subjects = [recorded("dbac"), recorded("bex")]
    found, expected = (
        calc(subjects, method, "image", cv_descriptor="fold")
        for calc in (toolbox.calc_rdm, rsatoolbox.rdm.calc_rdm)
    )
    assert found.pattern_descriptors["image"] == ["d", "b", "a", "c", "e", "x"]
    assert np.isnan(found.get_vectors()).any(axis=1).all()
    assert_same_rdms(found, expected, "image", noise_given=False)


def test_descriptors_of_crossnobis_with_and_without_noise():
    dataset = recorded("cab", subject="s1")
    for noise in (None, "shrinkage"):
        rdms = toolbox.calc_rdm(dataset, "crossnobis", "image", noise, "fold")
        assert rdms.pattern_descriptors == {
            "image": ["c", "a", "b"],
            "category": ["animal", "animal", "tool"],
            "index": [0, 1, 2],
        }
        assert rdms.rdm_descriptors == {"subject": ["s1"], "index": [0]}
        shrunk = {} if noise is None else {"noise": "shrinkage"}
        assert rdms.descriptors == {"cv_descriptor": "fold", **shrunk}


def test_crossnobis_with_unequal_numbers_of_trials():
    """Every fold has every condition: as rsatoolbox. Else it fails, and pairs of trials count."""
    codes = np.array([0, 0, 1, 2, 0, 1, 1, 2, 2, 0, 1, 2])
    folds = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2])
    x = np.random.default_rng(0).normal(size=(12, 3))
    x -= x.mean(axis=0)  # as calc_rdm does
    dataset = Dataset(x, obs_descriptors={"image": codes, "fold": folds})
    found, expected = (
        calc(dataset, "crossnobis", "image", cv_descriptor="fold").get_vectors()
        for calc in (toolbox.calc_rdm, rsatoolbox.rdm.calc_rdm)
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    folds[9] = 1  # fold 2 is left without image 0
    dataset = Dataset(x, obs_descriptors={"image": codes, "fold": folds})
    found = toolbox.calc_rdm(dataset, "crossnobis", "image", cv_descriptor="fold").get_vectors()
    products = x @ x.T / 3
    products[folds[:, None] == folds] = np.nan
    g = [[np.nanmean(products[codes == i][:, codes == j]) for j in range(3)] for i in range(3)]
    expected = [g[i][i] + g[j][j] - 2 * g[i][j] for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    with pytest.raises(ValueError, match="could not be broadcast"):
        rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "image", cv_descriptor="fold")


def test_numbered_trials_are_folds_whatever_the_names():
    """Names of one character merge the 2nd and the 11th trial in rsatoolbox."""
    dataset = recorded("abc", n_folds=12)
    explicit = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "image", cv_descriptor="fold")
    numbered = toolbox.calc_rdm(dataset, "crossnobis", "image")
    np.testing.assert_allclose(numbered.get_vectors(), explicit.get_vectors(), atol=1e-12)
    merged = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "image")
    assert np.abs(merged.get_vectors() - explicit.get_vectors()).max() > 1e-3


def test_rdms_without_a_descriptor_can_be_bootstrapped():
    """rsatoolbox gives them no index."""
    rdms = toolbox.calc_rdm(recorded(n_folds=1))
    assert rdms.pattern_descriptors["index"] == [0, 1, 2, 3, 4]
    model = ModelFixed("model", rdms)
    assert toolbox.eval_bootstrap_pattern(model, rdms, N=5, random_state=0).n_pattern == 5


def test_datasets_that_cannot_be_used_are_refused():
    dataset = recorded()
    for options, message in (
        ({"descriptor": "imag"}, r"no observation descriptor 'imag'; expected one of \['category'"),
        ({"descriptor": "image", "cv_descriptor": "run"}, "no observation descriptor 'run'"),
        ({"descriptor": "image", "noise": "shrinkage", "remove_mean": True}, "no remove_mean"),
        ({"noise": "shrinkage"}, "needs a descriptor"),
        ({"descriptor": "image", "noise": "diagonal"}, "noise 'diagonal' of method 'crossnobis'"),
    ):
        with pytest.raises(RepbiasError, match=message):
            toolbox.calc_rdm(dataset, "crossnobis", **options)
    with pytest.raises(RepbiasError, match="there are no datasets"):
        toolbox.calc_rdm([])
    with pytest.raises(RepbiasError, match="found a float64; expected an rsatoolbox dataset"):
        toolbox.calc_rdm(dataset.measurements)
    with pytest.raises(
        RepbiasError, match="datasets of 20 and of 15 observations, which differ in"
    ):
        toolbox.calc_rdm([dataset, recorded(n_folds=3)])
    with pytest.raises(RepbiasError, match="5 observations, which differ in 'image'"):
        toolbox.calc_rdm([recorded(n_folds=1), recorded("abcdx", n_folds=1)])
    temporal = TemporalDataset(np.ones((4, 3, 2)), obs_descriptors={"image": list("abab")})
    with pytest.raises(RepbiasError, match=r"3 axes; expected two, .*calc_rdm_movie"):
        toolbox.calc_rdm(temporal, descriptor="image")
    with pytest.raises(NotImplementedError):
        toolbox.calc_rdm(dataset, "manhattan")


def test_movies_of_rdms_with_the_drop_in(monkeypatch):
    """rsatoolbox's calc_rdm_movie, in which the drop-in takes the place of calc_rdm."""
    rng = np.random.default_rng(0)
    dataset = TemporalDataset(
        rng.normal(size=(12, 5, 3)),
        obs_descriptors={"image": list("abc") * 4, "fold": np.repeat(np.arange(4), 3)},
        time_descriptors={"time": [0.0, 0.1, 0.2]},
    )
    options = {"method": "crossnobis", "descriptor": "image", "cv_descriptor": "fold"}
    expected = rsatoolbox.rdm.calc_rdm_movie(dataset, **options)
    monkeypatch.setattr("rsatoolbox.rdm.calc.calc_rdm", toolbox.calc_rdm)
    found = rsatoolbox.rdm.calc_rdm_movie(dataset, **options)
    assert found.rdm_descriptors["time"] == expected.rdm_descriptors["time"]
    assert_same_rdms(found, expected, "image", noise_given=False)


# Comparison


@st.composite
def pairs_of_rdms(draw):
    """Two arrays (rdm, pair): with ties, constant RDMs, float32, negative, missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_pairs = draw(st.integers(3, 9).map(lambda n: n * (n - 1) // 2))
    arrays = []
    for _ in range(2):
        values = rng.gamma(2, size=(draw(st.integers(1, 3)), n_pairs))
        change = draw(st.sampled_from(["none", "ties", "constant", "single", "negative"]))
        if change == "constant":
            values = np.ones((1, n_pairs))
        values = {
            "ties": values.round(),
            "single": values.astype(np.float32),
            "negative": values - values.mean(),
        }.get(change, values)
        arrays.append(values)
    if draw(st.booleans()) and n_pairs > 3:
        for values in arrays:
            values[:, n_pairs // 2] = np.nan
    return arrays


@settings(max_examples=150)
@given(
    pairs_of_rdms(),
    st.sampled_from([*SIMILARITIES, "kendall", "tau-b", "bures", "bures_metric"]),
    st.sampled_from(["arrays", "vectors", "RDMs", "both"]),
)
def test_comparisons_are_rsatoolboxs(arrays, method, form):
    a, b = arrays
    assume(not (method.startswith("bures") and np.isnan(a).any()))  # which it cannot compute
    assume(all(len(x) == 1 or np.nanstd(x, axis=1).all() for x in arrays))  # test_constant_rdms
    if form == "vectors":
        a, b = a[0], b[0]
    if form in ("RDMs", "both"):
        b = RDMs(b)
    if form == "RDMs":
        a = RDMs(a)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = rsatoolbox.rdm.compare(a, b, method)
        found = toolbox.compare(a, b, method)
    single = any(x.dtype == np.float32 for x in arrays)
    np.testing.assert_allclose(found, expected, atol=1e-5 if single else 1e-10)


@pytest.mark.parametrize("method", SIMILARITIES)
def test_two_conditions_are_compared_by_rsatoolbox(method):
    """It makes of ranks of one dissimilarity what it will."""
    rdms = RDMs(np.random.default_rng(0).random((3, 1)))
    with np.errstate(invalid="ignore"):
        expected = rsatoolbox.rdm.compare(rdms, rdms, method)
        np.testing.assert_array_equal(toolbox.compare(rdms, rdms, method), expected)


@pytest.mark.parametrize("sigma_k", [np.full(5, 2.0), precision(np.random.default_rng(0), 5)])
@pytest.mark.parametrize("method", ["cosine_cov", "corr_cov", "cosine"])
def test_covariances_of_patterns(method, sigma_k):
    a, b = np.random.default_rng(0).random((2, 2, 10))
    found, expected = (
        compare(RDMs(a), b, method, sigma_k)
        for compare in (toolbox.compare, rsatoolbox.rdm.compare)
    )
    np.testing.assert_array_equal(found, expected)


def test_constant_rdms():
    """A constant RDM is similar to none. rsatoolbox mixes up the others."""
    a, b = np.random.default_rng(0).random((3, 10)), np.random.default_rng(1).random((2, 10))
    a[0] = 1
    expected = np.corrcoef(a[1:], b)[:2, 2:]
    np.testing.assert_allclose(toolbox.compare(a, b, "corr"), np.vstack([[0, 0], expected]))
    mixed = rsatoolbox.rdm.compare(a, b, "corr")
    np.testing.assert_allclose(mixed[[0, 2, 1]], np.vstack([[0, 0], expected]))


def test_arrays_and_measures_that_cannot_be_compared_are_refused():
    a = np.random.default_rng(0).random((2, 10))
    for compare in (toolbox.compare, rsatoolbox.rdm.compare):
        with pytest.raises(ValueError, match="of equal shape"):
            compare(a, a[:, :6])
        with pytest.raises(ValueError, match="Unknown RDM comparison method"):
            compare(a, a, "manhattan")
        with pytest.raises(ValueError, match="different nan positions"):
            compare(a, np.where(a == a[0, 0], np.nan, a))
    with pytest.raises(RepbiasError, match=r"3 axes; expected upper triangles, \(rdm, pair\)"):
        toolbox.compare(np.ones((2, 5, 5)), a)
    with pytest.raises(ValueError):  # not the number of pairs of any number of conditions
        toolbox.compare(a[:, :8], a[:, :8], "corr_cov")


def test_the_index_of_conditions_counts_if_they_have_no_names():
    vectors = np.random.default_rng(0).random((2, 10))
    named = RDMs(vectors, pattern_descriptors={"image": list("abcde")})
    subset = RDMs(
        np.random.default_rng(0).random((2, 15)), pattern_descriptors={"image": list("xabcde")}
    )
    subset = subset.subset_pattern("image", list("abcde"))
    assert list(subset.pattern_descriptors["index"]) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        toolbox.compare(named, subset), rsatoolbox.rdm.compare(named, subset), atol=1e-12
    )
    with pytest.raises(RepbiasError, match="'index' of two RDMs differs"):
        toolbox.compare(RDMs(vectors), subset)


@pytest.mark.parametrize("method", ["cosine", "corr_cov"])
def test_fitting_and_crossvalidation_with_the_drop_in(monkeypatch, method):
    """rsatoolbox's fitters and crossval, in which the drop-in takes the place of compare."""
    rng = np.random.default_rng(0)
    data = RDMs(rng.random((6, 45)))
    model = ModelSelect("any", rng.random((3, 45)))
    sets = rsatoolbox.inference.sets_k_fold(data, k_pattern=2, k_rdm=2, random=False)

    def evaluations():
        train, test, ceil = copy.deepcopy(sets)
        result = rsatoolbox.inference.crossval(model, data, train, test, ceil, method)
        return result.evaluations, result.noise_ceiling

    expected = evaluations()
    for module in ("model.fitter", "inference.evaluate", "inference.noise_ceiling"):
        monkeypatch.setattr(f"rsatoolbox.{module}.compare", toolbox.compare)
    for found, value in zip(evaluations(), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-10)


# Inference


@st.composite
def evaluated(draw):
    """Models, data with groups of conditions and of RDMs, and the generator."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_rdm = draw(st.integers(12, 18)), draw(st.integers(2, 5))
    size = draw(st.integers(1, 2))
    names = {"category": [f"c{i // size}" for i in range(n)], "image": [f"i{i}" for i in range(n)]}
    truth = rng.gamma(2, size=n * (n - 1) // 2) / 1e3

    def rdms(k, **descriptors):
        noise = rng.normal(size=(k, truth.size)) / 2e3
        return RDMs(truth + noise, pattern_descriptors=copy.deepcopy(names), **descriptors)

    data = rdms(n_rdm, rdm_descriptors={"lab": [f"l{i // 2}" for i in range(n_rdm)]})
    kinds = draw(st.lists(st.sampled_from(["fixed", "select", "weighted"]), min_size=1, max_size=2))
    models = [
        ModelFixed("fixed", rdms(1))
        if kind == "fixed"
        else (ModelSelect if kind == "select" else ModelWeighted)(kind, rdms(2))
        for kind in kinds
    ]
    return models, data, rng


def assert_same_result(name, models, data, **options):
    """The same numbers, or a refusal where rsatoolbox has no variance to give."""
    seed = 7
    np.random.seed(seed)  # noqa: NPY002
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = getattr(rsatoolbox.inference, name)(models, data, **copy.copy(options))
    evaluations = expected.evaluations.reshape(len(expected.evaluations), -1)
    if (~np.isnan(evaluations[:, 0])).sum() < 2:
        with pytest.raises(RepbiasError, match=r"[01] of \d bootstrap samples have"):
            getattr(toolbox, name)(models, data, **options, random_state=seed)
        return
    found = getattr(toolbox, name)(models, data, **options, random_state=seed)
    for attribute in ("evaluations", "noise_ceiling", "variances"):
        np.testing.assert_allclose(
            getattr(found, attribute), getattr(expected, attribute), atol=1e-9, err_msg=attribute
        )
    for attribute in ("models", "method", "cv_method", "dof", "n_model", "n_rdm", "n_pattern"):
        assert getattr(found, attribute) == getattr(expected, attribute), attribute


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=60)
@given(
    evaluated(),
    st.sampled_from(["eval_bootstrap", "eval_bootstrap_pattern", "eval_bootstrap_rdm"]),
    st.sampled_from(SIMILARITIES),
    st.sampled_from(["index", "image", "category"]),
    st.sampled_from(["index", "lab"]),
    st.booleans(),
)
def test_bootstraps_are_rsatoolboxs(made, name, method, patterns, rdms, ceiling):
    models, data, rng = made
    options = {"method": method, "N": 5, "rdm_descriptor": rdms, "boot_noise_ceil": ceiling}
    if name != "eval_bootstrap_rdm":
        options["pattern_descriptor"] = patterns
    theta = {ModelFixed: None, ModelSelect: int(rng.integers(2)), ModelWeighted: rng.random(2)}
    options["theta"] = [theta[type(model)] for model in models]
    assert_same_result(name, models, data, **options)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=40)
@given(
    evaluated(),
    st.sampled_from(["both", "pattern", "rdm", "dual"]),
    st.sampled_from(["cosine", "corr"]),
    st.sampled_from([(k, n) for k in (1, 2, None) for n in (1, 2, None)]),
    st.sampled_from([(1, False), (2, False), (2, True), (3, True)]),
    st.sampled_from([("index", "index"), ("category", "lab"), ("image", "index")]),
)
def test_cross_validated_bootstraps_are_rsatoolboxs(made, boot, method, k, cv, descriptors):
    models, data, _ = made
    options = dict(zip(("k_pattern", "k_rdm"), k, strict=True), method=method, N=4)
    options |= dict(zip(("n_cv", "use_correction"), cv, strict=True))
    options |= dict(zip(("pattern_descriptor", "rdm_descriptor"), descriptors, strict=True))
    options["fitter"] = [fit_regress_nn if type(m) is ModelWeighted else None for m in models]
    if boot == "dual":
        assert_same_result("eval_dual_bootstrap", models, data, **options)
    else:
        assert_same_result("bootstrap_crossval", models, data, boot_type=boot, **options)


@pytest.mark.parametrize("method", ["tau-b", "neg_riem_dist"])
def test_ceilings_of_other_measures_and_with_missing_dissimilarities(method):
    vectors = np.random.default_rng(0).random((4, 15)) + 1
    for rdms, similarity in ((RDMs(vectors), method), (RDMs(vectors), "corr")):
        for missing in (False, True):
            if missing:
                if similarity == "neg_riem_dist":
                    continue
                rdms.dissimilarities[:, 3] = np.nan
            found = toolbox.boot_noise_ceiling(rdms, similarity)
            expected = rsatoolbox.inference.boot_noise_ceiling(rdms, similarity)
            np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    ["eval_bootstrap", "eval_bootstrap_pattern", "eval_dual_bootstrap", "bootstrap_crossval"],
)
def test_too_few_conditions_or_samples_are_refused(name):
    """rsatoolbox's variances are NaN, or 0, or it raises errors of its own."""
    call, rng = getattr(toolbox, name), np.random.default_rng(0)
    names = {"category": list("aabbab")}
    data, model = (RDMs(rng.random((k, 15)), pattern_descriptors=copy.copy(names)) for k in (3, 1))
    model = ModelFixed("model", model)
    with pytest.raises(RepbiasError, match=r"0 of 5 bootstrap samples have .* a larger N"):
        call(model, data, N=5, pattern_descriptor="category", **k_of_one(name))
    three = RDMs(rng.random((4, 3)))
    model = ModelFixed("model", three[0])
    with pytest.raises(RepbiasError, match="1 of 2 bootstrap samples have"):
        # Of three conditions, a sample has all with probability 2/9.
        call(model, three, N=2, random_state=seed_of_one_sample(name), **k_of_one(name))
    two = RDMs(rng.random((4, 1)))
    with pytest.raises(RepbiasError, match="RDMs of 2 conditions; expected three or more"):
        call(ModelFixed("model", two[0]), two, N=5)


def k_of_one(name):
    return (
        {}
        if name.startswith("eval_bootstrap")
        else {
            "k_pattern": 1,
            "k_rdm": 1,
            **({} if name == "eval_dual_bootstrap" else {"use_correction": False}),
        }
    )


def seed_of_one_sample(name):
    """Find a seed with which one of two samples of three conditions has them all."""
    for seed in range(100):
        rng = np.random.RandomState(seed)
        complete = 0
        for _ in range(2):
            if name != "eval_bootstrap_pattern":
                rng.randint(0, 4, size=4)
            complete += len(set(rng.randint(0, 3, size=3))) == 3
        if complete == 1:
            return seed
    raise AssertionError


@pytest.mark.parametrize(
    "name", ["eval_bootstrap", "eval_bootstrap_rdm", "eval_dual_bootstrap", "bootstrap_crossval"]
)
def test_a_single_rdm_is_not_resampled(name):
    """rsatoolbox divides by zero, after all samples."""
    rdms = RDMs(np.random.default_rng(0).random((1, 45)))
    with pytest.raises(RepbiasError, match="one RDM, which cannot be resampled"):
        getattr(toolbox, name)(ModelFixed("model", rdms), rdms, N=5)
    with pytest.raises(ZeroDivisionError):
        getattr(rsatoolbox.inference, name)(ModelFixed("model", rdms), rdms, N=5)


def test_models_and_options_that_cannot_be_used_are_refused():
    rng = np.random.default_rng(0)
    data = RDMs(rng.random((4, 45)))
    weighted = ModelWeighted("weighted", rng.random((2, 45)))
    for theta, found in ((np.ones(2), "has 2 items"), ([None, None], "has 2 items"), (1, "is 1")):
        with pytest.raises(RepbiasError, match=f"theta {found}; expected .* each of 1 models"):
            toolbox.eval_bootstrap(weighted, data, theta=theta, N=5)
    for models, found in ((3, "a int"), ([data], "a RDMs"), ([], "no models")):
        with pytest.raises(RepbiasError, match=f"models: found {found}"):
            toolbox.eval_bootstrap(models, data, N=5)
    with pytest.raises(RepbiasError, match=r"RDMs of models: 1 of 1 have .* not finite"):
        toolbox.eval_bootstrap(ModelFixed("infinite", np.full(45, np.inf)), data, N=5)
    fixed = ModelFixed("fixed", data[0])
    for option in ("k_pattern", "k_rdm", "n_cv"):
        with pytest.raises(RepbiasError, match=f"{option} is 0; expected 1 or more"):
            toolbox.bootstrap_crossval(fixed, data, N=5, use_correction=False, **{option: 0})
    with pytest.raises(RepbiasError, match=r"is a numpy.random.Generator; expected an integer"):
        toolbox.eval_bootstrap(fixed, data, N=5, random_state=rng)
