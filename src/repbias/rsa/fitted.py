"""Models fitted to a recording: weighted layers and reweighted units, cross-validated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.spatial.distance import squareform
from scipy.special import stdtrit

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import (
    UNCENTRED,
    WHITENED,
    embedding,
    n_stimuli_of,
    resampled_similarity,
    similarities,
)
from repbias.geometry.distances import dissimilarities
from repbias.geometry.inference import Draws, within_bounds
from repbias.geometry.nnls import nnls_of_gram
from repbias.geometry.spec import Distance, Geometry, RdmSimilarity
from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.recordings.parts import stimulus_groups
from repbias.rsa.common import on_common_stimuli
from repbias.rsa.tables import region_rdms
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: With fewer subjects than this, weights are fitted to the mean of all.
MIN_SUBJECTS = 3
#: Name of a model of all layers in the column of layers.
ALL_LAYERS = "all layers"

#: Maps the RDM (pair,) of the training stimuli, the training stimuli and the test stimuli to the
#: predicted RDM of the test stimuli.
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class NetworkModel(NamedTuple):
    """A model of one network that is compared with a recording.

    Attributes
    ----------
    kind : "fixed", "reweighted" or "weighted"
    layer : layer, or :data:`ALL_LAYERS`
    fit_by : RDM similarity to the fit that it calls for
    """

    kind: str
    layer: str
    fit_by: Callable[[RdmSimilarity], Fit]


def layer_weights(
    rdms: np.ndarray, target: np.ndarray, rdm_similarity: RdmSimilarity
) -> np.ndarray:
    """Return the weights >= 0 of RDMs whose weighted sum is most similar to the target.

    Maximising a cosine is least squares up to scale, so this is non-negative least squares on
    the vectors whose cosine is the RDM similarity (:func:`repbias.geometry.comparison.embedding`);
    for rank-based measures, as for "corr". Like `rsatoolbox.model.fitter.fit_regress_nn`.

    Parameters
    ----------
    rdms
        (layer, pair).
    target
        (pair,).
    rdm_similarity
        As rsatoolbox calls it.

    Returns
    -------
    numpy.ndarray
        (layer,).
    """
    x = embedding(rdms, _fitting(rdm_similarity))
    y = embedding(target[None], _fitting(rdm_similarity))[0]
    scale = np.linalg.norm(x, axis=1)
    scale = np.where(scale > 0, scale, 1)
    weights, _ = nnls((x / scale[:, None]).T, y / (np.linalg.norm(y) or 1))
    return weights / scale


def _fitting(rdm_similarity: RdmSimilarity) -> RdmSimilarity:
    """Return the measure that weights are fitted by: ranks have no linear model."""
    return rdm_similarity if rdm_similarity in (*WHITENED, "cosine") else "corr"


def pooled(data: np.ndarray, rdm_similarity: RdmSimilarity) -> np.ndarray:
    """Average subjects' RDMs (subject, pair), each scaled to unit norm in terms of the measure.

    The RDM with the highest cosine with this average has the highest mean cosine with the subjects.
    """
    norm = np.linalg.norm(embedding(data, _fitting(rdm_similarity)), axis=1, keepdims=True)
    if rdm_similarity not in UNCENTRED:
        data = data - data.mean(axis=1, keepdims=True)
    return (data / np.where(norm > 0, norm, 1)).mean(axis=0)


def unit_weights(patterns: np.ndarray, target: np.ndarray, centre: bool) -> np.ndarray:
    """Return the weights >= 0 of units whose weighted squared differences fit the target best.

    Feature-reweighted RSA (Kaniuth & Hebart 2022, non-negative): least squares of the RDM on the
    squared differences A (pair, unit) of every unit, with an intercept if `centre`, and no
    penalty except for the sign. By normal equations: with Z the m patterns centred over stimuli,
    C = Z'Z, Q = (Z o Z)'(Z o Z) and s the diagonal of C, A'A = m Q + s s' + 2 C o C, from which an
    intercept takes 2 m / (m - 1) s s'; A'y = diag(Z' L Z), L the Laplacian diag(row sums of Y) - Y.

    Parameters
    ----------
    patterns
        (stimulus, unit).
    target
        (pair,).
    centre
        Whether to subtract the means over pairs.

    Returns
    -------
    numpy.ndarray
        (unit,).
    """
    z = patterns - patterns.mean(axis=0)
    m, c = len(z), z.T @ z
    s = c.diagonal()
    gram = m * (z**2).T @ (z**2) + np.outer(s, s) + 2 * c**2
    if centre:
        gram = gram - 2 * m / (m - 1) * np.outer(s, s)
        target = target - target.mean()
    y = squareform(target / (np.linalg.norm(target) or 1))
    product = np.einsum("iu,iu->u", np.diag(y.sum(axis=1)) @ z - y @ z, z)
    return nnls_of_gram(gram, product)


def standardised(patterns: np.ndarray, distance: Distance, most: int) -> np.ndarray:
    """Transform patterns so that their squared Euclidean distances are the distance.

    For "correlation" each pattern is centred over units and scaled to norm 1 / sqrt(2); patterns
    for any other distance keep their scale.

    Parameters
    ----------
    patterns
        (stimulus, unit).
    distance
        Between patterns.
    most
        With more units than this, as many principal components are returned.

    Returns
    -------
    numpy.ndarray
        (stimulus, unit or component).
    """
    x = np.asarray(patterns, dtype=np.float64)
    if distance == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(2)
    x = x - x.mean(axis=0)
    if x.shape[1] <= most:
        return x
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return (u * s)[:, :most]


def stimulus_folds(groups: StimulusGroups, n_folds: int, seed: int) -> list[np.ndarray]:
    """Split stimuli into random folds of (almost) equal size; groups stay whole.

    Raises
    ------
    RepbiasError
        If a fold would have fewer than four stimuli.
    """
    if groups.are_alone:
        order = np.random.default_rng(seed).permutation(len(groups))
        folds = [np.sort(part) for part in np.array_split(order, n_folds)]
        problem = f"{n_folds} folds of {len(groups)} stimuli", f"so at most {len(groups) // 4}"
    else:
        folds = [test for _, test in groups.folds(n_folds, seed)]
        problem = f"{len(folds)} folds of whole {groups.name}", "found one of {}"
    if (smallest := min(map(len, folds))) < 4:
        raise RepbiasError(
            f"geometry.folds: {problem[0]}; a fold needs at least 4, {problem[1].format(smallest)}"
        )
    return folds


def _within(vectors: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """Return upper triangles (rdm, pair) restricted to some stimuli, in ascending order."""
    inside = np.zeros(n_stimuli_of(vectors), bool)
    inside[stimuli] = True
    first, second = np.triu_indices(len(inside), 1)
    return vectors[:, inside[first] & inside[second]]


def cross_validated(
    fit: Fit,
    data: np.ndarray,
    folds: list[np.ndarray],
    rdm_similarity: RdmSimilarity,
    draws: Draws,
    seed: int,
) -> tuple[float, float]:
    """Return a model's similarity with left-out pairs of stimuli, and its interval's half-width.

    For every fold, the model is fitted to pairs among the other stimuli and compared with pairs
    among the left-out ones. With three subjects or more it is fitted to the mean RDM of the other
    subjects, otherwise to that of all (:func:`pooled`). For the interval, stimuli are resampled
    within folds, and subjects, as in :func:`repbias.geometry.inference.evaluate`; the fitted
    weights are held fixed.

    Parameters
    ----------
    fit
        The model.
    data
        (subject, pair).
    folds
        Left-out stimuli.
    rdm_similarity
        As rsatoolbox calls it.
    draws
        Samples.
    seed
        Of the samples of stimuli within folds.

    Returns
    -------
    tuple
        Mean over folds and subjects, and half-width.
    """
    n_stimuli, n_subjects = draws.stimuli.shape[1], len(data)
    full = np.zeros((1, n_subjects))
    resampled = np.zeros((len(draws.counts), 1, n_subjects))
    n_used = np.zeros((len(draws.counts), 1, 1))
    rng = np.random.default_rng([seed, 2])
    # Every subject has its own prediction, so only the diagonal of a comparison is used. Still,
    # comparing all with all is faster, as weights and ranks are shared; except for tau-a.
    size = 1 if rdm_similarity == "tau-a" else n_subjects
    for test in folds:
        train = np.setdiff1d(np.arange(n_stimuli), test)
        predictions = _predictions(fit, data, train, test, rdm_similarity)
        tested_on = _within(data, test)
        counts = np.concatenate([_resampled_fold(rng, test, draws), draws.left_out[:, test]])
        n_used += ((counts > 0).sum(axis=1) >= 3)[:, None, None]
        for start in range(0, n_subjects, size):
            rows = slice(start, start + size)
            x, y = predictions[rows], tested_on[rows]
            full[0, rows] += similarities(x, y, rdm_similarity).diagonal() / len(folds)
            if draws.level != "subjects":
                values = resampled_similarity(x, y, rdm_similarity, counts)
                resampled[:, 0, rows] += values.diagonal(axis1=1, axis2=2)
    variances = draws.variances(draws.means(full, resampled / np.maximum(n_used, 1)))
    width = stdtrit(draws.degrees(variances), 0.975) * np.sqrt(draws.variance(variances))
    return float(full.mean()), float(width[0])


def _predictions(
    fit: Fit,
    data: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    rdm_similarity: RdmSimilarity,
) -> np.ndarray:
    """Return the predicted RDM of the test stimuli for every subject, (subject, pair)."""
    fitted_to, n_subjects = _within(data, train), len(data)
    if n_subjects < MIN_SUBJECTS:
        return np.stack([fit(pooled(fitted_to, rdm_similarity), train, test)] * n_subjects)
    others = [np.delete(fitted_to, subject, axis=0) for subject in range(n_subjects)]
    return np.stack([fit(pooled(rdms, rdm_similarity), train, test) for rdms in others])


def _resampled_fold(rng: np.random.Generator, test: np.ndarray, draws: Draws) -> np.ndarray:
    """Draw (sample, stimulus) counts of a fold's stimuli, three different ones in every sample.

    Groups are drawn from those of all folds, as a fold may have one only; a sample may then have
    none of a fold.
    """
    if not draws.groups.are_alone:
        counts = draws.stimuli[:, test]
        return np.where((counts > 0).sum(axis=1, keepdims=True) >= 3, counts, 0)
    n = len(test)
    counts = np.zeros((len(draws.stimuli), n), int)
    while (too_few := (counts > 0).sum(axis=1) < 3).any():
        counts[too_few] = rng.multinomial(n, np.full(n, 1 / n), size=too_few.sum())
    return counts


def fitted_models(
    name: str,
    recording: Recording,
    experiment: str,
    activations: dict[str, Activations],
    spec: Geometry,
) -> pd.DataFrame:
    """Compare fitted models with a recording, cross-validated over stimuli.

    * "weighted": the layers' RDMs of a network, with non-negative weights.
    * "reweighted": a layer's RDM, with non-negative weights of its units.
    * "fixed": a layer's RDM as it is, in the same folds, as a baseline.

    Compared are networks at the end of training that met the inclusion criterion. Layers whose RDM
    is undefined are left out with a warning; of models of which only RDMs are known, no units are
    reweighted.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, activations
        The experiment or image set that was shown, and its conditions' (or networks') activations.
    spec
        Which models, folds, distances, RDM similarities and bootstraps.

    Returns
    -------
    pandas.DataFrame
        The table rsa_fitted.
    """
    if not spec.fitted:
        return as_table("rsa_fitted")
    recording = on_common_stimuli(recording, spec.min_units)
    regions = list(region_rdms(recording, spec, name))
    if not regions and "not_common" in recording.info:
        return as_table("rsa_fitted")
    groups = stimulus_groups(recording)
    folds = stimulus_folds(groups, spec.folds, spec.seed)
    ids = recording.stimulus_ids
    rows = []
    for condition, activation in activations.items():
        position = {s: i for i, s in enumerate(activation.stimulus_ids)}
        if not set(ids) <= position.keys():
            logger.warning("%s: %s saw other stimuli; not compared", name, condition)
            continue
        order = [position[s] for s in ids]
        networks = pd.DataFrame(activation.networks)
        for index in networks.index[networks["included"] & (networks["snapshot"] == "final")]:
            network = networks.loc[index]
            where = f"{name}: {condition}, {network['network']}"
            models = _network_models(_layers(activation, index, order, where, spec), spec)
            for region, _, rdms in regions:
                of_region = {**network.to_dict(), "condition": condition, "region": region}
                rows += [
                    of_region | row
                    for row in _fitted(models, rdms.dissimilarities, folds, groups, spec)
                ]
    common = {"recording": name, "experiment": experiment, "n_stimuli": len(ids)}
    return as_table("rsa_fitted", [common | row for row in rows])


def _fitted(
    models: list[NetworkModel],
    data: np.ndarray,
    folds: list[np.ndarray],
    groups: StimulusGroups,
    spec: Geometry,
) -> Iterator[dict[str, Any]]:
    """Compare one network's models with the RDMs (subject, pair) of a region."""
    draws = Draws.of(groups, len(data), spec.bootstraps, spec.seed, spec.generalise)
    for rdm_similarity, model in product(spec.rdm_similarities, models):
        fit = model.fit_by(rdm_similarity)
        similarity, width = cross_validated(fit, data, folds, rdm_similarity, draws, spec.seed)
        yield {
            "rdm_similarity": rdm_similarity,
            "model": model.kind,
            "layer": model.layer,
            "similarity": similarity,
            "ci_low": within_bounds(similarity - width),
            "ci_high": within_bounds(similarity + width),
            "interval": f"{draws.interval}, fitted weights held fixed",
            "n_folds": len(folds),
            "n_subjects": len(data),
        }


class _Layer(NamedTuple):
    """A layer of a network, over the stimuli of a recording.

    Attributes
    ----------
    name : the layer
    rdm : (pair,)
    patterns : (stimulus, unit), as :func:`standardised`; None if units are not reweighted
    """

    name: str
    rdm: np.ndarray
    patterns: np.ndarray | None


def _layers(
    activations: Activations, row: int, order: list[int], where: str, spec: Geometry
) -> Iterator[_Layer]:
    """Yield the layers of one network that have an RDM; `where` names it in messages."""
    distance = activations.distance or spec.distance
    if activations.rdm_measure is not None and "reweighted" in spec.fitted:
        logger.warning("%s: has RDMs only, without units that could be reweighted", where)
    for layer in activations.layers:
        if activations.rdm_measure is not None:
            square = squareform(activations.read_rdm(layer, row))[np.ix_(order, order)]
            yield _Layer(layer, square[np.triu_indices(len(order), 1)], None)
            continue
        patterns, units = activations.read(layer, row)[order], None
        try:
            rdm = dissimilarities(patterns, distance)
        except RepbiasError as error:
            logger.warning("%s, layer %s: left out: %s", where, layer, error)
            continue
        if "reweighted" in spec.fitted:
            units = standardised(patterns, distance, spec.reweighting_units)
        yield _Layer(layer, rdm, units)


def _network_models(layers: Iterable[_Layer], spec: Geometry) -> list[NetworkModel]:
    """Return the models of one network."""
    rdms, models = [], []
    for layer in layers:
        rdms.append(layer.rdm)
        models.append(NetworkModel("fixed", layer.name, partial(fixed, layer.rdm)))
        if layer.patterns is not None:
            models.append(
                NetworkModel("reweighted", layer.name, partial(reweighted, layer.patterns))
            )
    if "weighted" in spec.fitted and rdms:
        models.append(NetworkModel("weighted", ALL_LAYERS, partial(weighted, np.stack(rdms))))
    return models


def fixed(rdm: np.ndarray, rdm_similarity: RdmSimilarity) -> Fit:
    """Return a model that is one RDM (pair,), whatever it is compared by."""
    return lambda target, train, test: _within(rdm[None], test)[0]


def weighted(rdms: np.ndarray, rdm_similarity: RdmSimilarity) -> Fit:
    """Return a model of RDMs (layer, pair) with non-negative weights."""

    def fit(target: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return layer_weights(_within(rdms, train), target, rdm_similarity) @ _within(rdms, test)

    return fit


def reweighted(patterns: np.ndarray, rdm_similarity: RdmSimilarity) -> Fit:
    """Return a model of patterns (stimulus, unit) with non-negative weights of units."""

    def fit(target: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        weights = unit_weights(patterns[train], target, centre=rdm_similarity not in UNCENTRED)
        x = patterns[test] * np.sqrt(weights)
        return dissimilarities(x, "squared_euclidean")

    return fit
