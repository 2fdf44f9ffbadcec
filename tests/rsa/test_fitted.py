"""Fitted models against rsatoolbox's fitters, explicit least squares, and simulated truth."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.model import ModelWeighted
from rsatoolbox.model.fitter import fit_optimize_positive, fit_regress_nn
from rsatoolbox.rdm import RDMs, compare
from scipy.optimize import nnls
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.inference import Draws
from repbias.geometry.spec import Geometry
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.recordings import Recording
from repbias.networks.model_activations import put_model_activations
from repbias.networks.spec import FeatureNetwork
from repbias.rsa.fitted import (
    ALL_LAYERS,
    cross_validated,
    fitted_models,
    layer_weights,
    pooled,
    reweighted,
    standardised,
    stimulus_folds,
    unit_weights,
    weighted,
)
from repbias.stimuli.images import Images
from repbias.tables import TABLES


def written(put, path, *arguments):
    """Write a file of activations."""
    with create(path, "activations") as file:
        put(file, *arguments)


seeds = st.integers(0, 10_000)


def layers_and_subjects(n_layers=4, n_subjects=3, n=14, seed=0):
    """RDMs of layers; subjects are a noisy sum of two of them."""
    rng = np.random.default_rng(seed)
    layers = np.array([pdist(rng.normal(size=(n, 6)), "sqeuclidean") for _ in range(n_layers)])
    truth = 2 * layers[0] + layers[2]
    noise = rng.normal(size=(n_subjects, layers.shape[1]))
    return layers, truth + truth.std() * noise


@pytest.mark.parametrize("rdm_similarity", ["corr", "cosine", "corr_cov", "cosine_cov"])
def test_layer_weights_are_rsatoolboxs(rdm_similarity):
    """Up to scale; least squares of one RDM."""
    layers, data = layers_and_subjects(n_subjects=1)
    # Its loop ends at an absolute tolerance, which large numbers never reach.
    expected = fit_regress_nn(ModelWeighted("m", layers / 1e4), RDMs(data), rdm_similarity)
    found = layer_weights(layers, data[0], rdm_similarity)
    np.testing.assert_allclose(found / np.linalg.norm(found), expected, atol=1e-5)
    assert (found >= 0).all()


@pytest.mark.parametrize("rdm_similarity", ["corr", "cosine", "corr_cov"])
def test_no_other_weights_are_more_similar_to_the_subjects(rdm_similarity):
    """rsatoolbox maximises the mean similarity by gradients; the target is the subjects' mean,
    each of unit norm as the RDM similarity sees it."""
    layers, data = layers_and_subjects(seed=3)
    weights = layer_weights(layers, pooled(data, rdm_similarity), rdm_similarity)
    np.random.seed(0)  # noqa: NPY002
    theta = fit_optimize_positive(ModelWeighted("m", layers), RDMs(data), rdm_similarity)

    def mean_similarity(w):
        return compare(RDMs((w @ layers)[None]), RDMs(data), rdm_similarity).mean()

    assert mean_similarity(weights) >= mean_similarity(theta) - 1e-6


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize(("n", "units"), [(12, 5), (8, 40)])
def test_unit_weights_are_non_negative_least_squares(centre, n, units):
    """Explicit squared differences of every unit, with an intercept or not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, units))
    first, second = np.triu_indices(n, 1)
    design = (x[first] - x[second]) ** 2
    target = design @ np.maximum(rng.normal(size=units), 0) + rng.normal(size=len(first))
    found = unit_weights(x, target, centre)
    norm = np.linalg.norm(target - centre * target.mean())
    if centre:
        design, target = design - design.mean(axis=0), target - target.mean()
    expected, _ = nnls(design, target / norm)
    # With more units than pairs the weights are not unique; what they predict is.
    np.testing.assert_allclose(design @ found, design @ expected, atol=1e-6)
    if units < len(first):
        np.testing.assert_allclose(found, expected, atol=1e-8)


def test_true_unit_weights_are_found():
    rng = np.random.default_rng(1)
    x, truth = rng.normal(size=(20, 6)), np.array([3.0, 0, 1, 0, 0, 2])
    rdm = pdist(x * np.sqrt(truth), "sqeuclidean")
    found = unit_weights(x, rdm, centre=True)
    np.testing.assert_allclose(found / found.sum(), truth / truth.sum(), atol=1e-8)


@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
@pytest.mark.parametrize("most", [50, 9])
def test_standardised_patterns_have_the_layers_distances(distance, most):
    """SciPy's; also after projection, where the components are as many as there can be."""
    x = np.random.default_rng(0).normal(2, 1, size=(10, 30))
    metric = "correlation" if distance == "correlation" else "sqeuclidean"
    patterns = standardised(x, distance, most)
    assert patterns.shape[1] == min(most, 30) or patterns.shape[1] == 9
    np.testing.assert_allclose(pdist(patterns, "sqeuclidean"), pdist(x, metric), rtol=1e-9)


@given(seed=seeds)
def test_projection_keeps_the_largest_components(seed):
    """A rotation changes nothing; two components of three dimensions lose the third's variance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(10, 3)) * [5, 3, 0.1]
    x = (x - x.mean(axis=0)) @ ortho_group.rvs(3, random_state=seed)
    lost = (x**2).sum() - (standardised(x, "euclidean", 2) ** 2).sum()
    assert lost == pytest.approx(np.linalg.svd(x, compute_uv=False)[-1] ** 2, rel=1e-6)


@given(n=st.integers(8, 60), k=st.integers(2, 10), seed=seeds)
def test_every_stimulus_is_left_out_once(n, k, seed):
    if n // k < 4:
        with pytest.raises(RepbiasError, match=f"{k} folds of {n} stimuli; .* at most {n // 4}"):
            stimulus_folds(StimulusGroups.alone(n), k, seed)
        return
    folds = stimulus_folds(StimulusGroups.alone(n), k, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(n))
    assert len(folds) == k
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


@pytest.mark.parametrize(("sizes", "folds"), [((6, 6), 2), ((5, 5, 6, 7), 4), ((4,) * 8, 5)])
def test_groups_stay_whole_however_few_there_are(sizes, folds):
    groups = StimulusGroups.of(np.repeat(np.arange(len(sizes)), sizes), "film")
    found = stimulus_folds(groups, 5, 0)
    assert len(found) == folds
    of_fold = [set(groups.codes[test]) for test in found]
    assert sum(map(len, of_fold)) == len(set.union(*of_fold)) == len(sizes)


def test_a_group_that_is_too_small_for_a_fold_is_refused():
    groups = StimulusGroups.of(np.repeat([0, 1], [3, 20]), "film")
    with pytest.raises(RepbiasError, match=r"2 folds of whole film; .* found one of 3"):
        stimulus_folds(groups, 5, 0)


@pytest.mark.parametrize("n_subjects", [2, 4])
def test_cross_validation_written_out(n_subjects):
    """In loops over folds and subjects, with rsatoolbox's fit and comparison. With two subjects
    weights are fitted to both, with four to the other three."""
    n = 16
    layers, data = layers_and_subjects(n_subjects=n_subjects, n=n)
    folds = stimulus_folds(StimulusGroups.alone(n), 3, 0)
    draws = Draws.of(StimulusGroups.alone(n), n_subjects, 100, 0, "auto")
    found, width = cross_validated(weighted(layers, "corr"), data, folds, "corr", draws, 0)
    scores = []
    for test in folds:
        train = [i for i in range(n) if i not in test]
        a, b = (RDMs(layers / 1e4).subset_pattern("index", s) for s in (train, list(test)))
        c, d = (RDMs(data).subset_pattern("index", s) for s in (train, list(test)))
        for s in range(n_subjects):
            others = [t for t in range(n_subjects) if t != s] if n_subjects > 2 else [0, 1]
            fit = fit_regress_nn(ModelWeighted("m", a), c.subset("index", others), "corr")
            predicted = (fit @ b.get_vectors())[None]
            scores.append(compare(predicted, d.get_vectors()[[s]], "corr")[0, 0])
    assert found == pytest.approx(np.mean(scores), abs=1e-6)
    assert width > 0


def test_held_out_stimuli_are_never_seen():
    """A model is given the RDM of training stimuli, and its prediction is of the others."""
    n = 15
    data = np.random.default_rng(0).uniform(size=(1, n * (n - 1) // 2))
    seen = []

    def fit(target, train, test):
        seen.append((set(train), set(test)))
        assert len(target) == len(train) * (len(train) - 1) // 2
        return np.arange(len(test) * (len(test) - 1) // 2, dtype=float)

    draws = Draws.of(StimulusGroups.alone(n), 1, 100, 0, "stimuli")
    cross_validated(fit, data, stimulus_folds(StimulusGroups.alone(n), 3, 1), "spearman", draws, 0)
    assert len(seen) == 3
    for train, test in seen:
        assert not train & test
        assert train | test == set(range(n))


@pytest.mark.parametrize("generalise", ["stimuli", "subjects", "both"])
@pytest.mark.parametrize("rdm_similarity", ["corr", "spearman", "cosine_cov"])
def test_every_level_and_rdm_similarity_has_an_interval(rdm_similarity, generalise):
    layers, data = layers_and_subjects()
    draws = Draws.of(StimulusGroups.alone(14), 3, 100, 0, generalise)
    fit = weighted(layers, rdm_similarity)
    value, width = cross_validated(
        fit, data, stimulus_folds(StimulusGroups.alone(14), 3, 0), rdm_similarity, draws, 0
    )
    assert -1 < value < 1
    assert 0 < width < 3


def test_weights_that_are_only_fitted_noise_do_not_help():
    """With unrelated units a reweighted model is not better than 0 on left-out stimuli."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(20):
        x, data = rng.normal(size=(20, 30)), pdist(rng.normal(size=(20, 10)))[None]
        folds = stimulus_folds(StimulusGroups.alone(20), 4, 0)
        draws = Draws.of(StimulusGroups.alone(20), 1, 100, 0, "stimuli")
        scores.append(
            cross_validated(
                reweighted(x, "corr"),
                data,
                folds,
                "corr",
                draws,
                0,
            )[0]
        )
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(20)


IDS = [f"s{i:02d}" for i in range(24)]


def brain_of(patterns, n_subjects=3, noise=0.3):
    """Subjects whose RDMs are those of patterns, with noise."""
    rng = np.random.default_rng(4)
    rdms = [pdist(patterns + noise * rng.normal(size=patterns.shape)) for _ in range(n_subjects)]
    return Recording(
        stimuli={"stimulus_id": np.array(IDS)},
        rdms=np.array(rdms),
        rdm_info={"subject": np.array([f"subject{i}" for i in range(n_subjects)])},
    )


SPEC = Geometry(
    distance="squared_euclidean", bootstraps=100, folds=4, fitted=["weighted", "reweighted"]
)


def test_the_table_has_fixed_and_fitted_models_of_the_same_folds(make_activations):
    """The brain sees two of six units: reweighting finds them, in any order of stimuli."""
    rng = np.random.default_rng(0)
    layers = {"one": rng.normal(size=(2, 24, 6)), "two": rng.normal(size=(2, 24, 6))}
    recording = brain_of(layers["one"][0][:, :2])
    order = rng.permutation(24)
    shuffled = {name: x[:, order] for name, x in layers.items()}
    activations = make_activations(
        shuffled, [IDS[i] for i in order], [(0, "final"), (0, "initial")]
    )
    table = fitted_models("it", recording, "tasks", {"easy": activations}, SPEC)
    assert tuple(table.columns) == TABLES["rsa_fitted"].columns
    assert set(table["snapshot"]) == {"final"}
    found = table.set_index(["model", "layer"])
    assert set(found.index) == {
        ("fixed", "one"), ("fixed", "two"), ("reweighted", "one"), ("reweighted", "two"),
        ("weighted", ALL_LAYERS),
    }  # fmt: skip
    value = found["similarity"]
    assert value["reweighted", "one"] > value["fixed", "one"] + 0.1
    assert value["weighted", ALL_LAYERS] > value["fixed", "two"]
    assert (table["ci_low"] < table["similarity"]).all()
    assert set(table["interval"]) == {
        "95 %, dual bootstrap of stimuli and subjects, fitted weights held fixed"
    }
    assert set(table["n_folds"]) == {4}


def test_only_what_is_asked_for_is_fitted(make_activations, caplog):
    rng = np.random.default_rng(0)
    layers = {"alive": rng.normal(size=(1, 24, 5)), "dead": np.zeros((1, 24, 5))}
    activations = make_activations(layers, IDS)
    recording = brain_of(layers["alive"][0])
    assert fitted_models("it", recording, "tasks", {"a": activations}, Geometry()).empty
    spec = SPEC.model_copy(update={"fitted": ["weighted"], "distance": "correlation"})
    other = make_activations(layers, ["another", *IDS[1:]], name="other")
    with caplog.at_level(logging.WARNING):
        table = fitted_models("it", recording, "tasks", {"a": activations, "b": other}, spec)
    assert set(table["model"]) == {"fixed", "weighted"}
    assert set(table["condition"]) == {"a"}
    assert "layer dead: left out" in caplog.text
    assert "b saw other stimuli" in caplog.text


def test_more_folds_than_stimuli_allow_are_refused(make_activations):
    activations = make_activations({"one": np.random.default_rng(0).normal(size=(1, 24, 5))}, IDS)
    spec = SPEC.model_copy(update={"folds": 7})
    with pytest.raises(RepbiasError, match=r"geometry.folds: 7 folds of 24 stimuli; .* at most 6"):
        fitted_models("it", brain_of(np.eye(24)), "tasks", {"a": activations}, spec)


def test_feature_spaces_keep_their_own_distance(tmp_path):
    """One number per stimulus has no correlation distance, and a Euclidean one."""
    stimuli = Images(IDS, None, {"size": np.arange(float(len(IDS)))})
    spec = FeatureNetwork(kind="features", spaces={"size": ["size"]})
    written(put_model_activations, tmp_path / "f.h5", "known", spec, stimuli, "cpu")
    brain = brain_of(np.random.default_rng(0).normal(size=(len(IDS), 4)))
    settings = Geometry(bootstraps=100, folds=3, fitted=["reweighted"])
    files = {"known": Activations.open(tmp_path / "f.h5")}
    table = fitted_models("brain", brain, "set", files, settings)
    assert set(table["layer"]) == {"size"}
