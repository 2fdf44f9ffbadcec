"""Tests of models against a recording: above zero, below the ceiling, against each other.

Every test says what it generalises to, and warns where it is not known to hold its level.
"""

from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import pandas as pd
from rsatoolbox.rdm import RDMs
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control
from scipy.stats import t as student

from repbias.base.spec import RepbiasError
from repbias.geometry.ceilings import resampled_ceilings, subject_ceiling
from repbias.geometry.comparison import (
    MEMORY,
    UNCENTRED,
    WHITENED,
    n_stimuli_of,
    refuse_not_finite,
    resampled_similarity,
    similarities,
    unit,
)
from repbias.geometry.inference import Draws
from repbias.geometry.spec import Generalise, Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.rsa.rdms import subject_rdms
from repbias.rsa.tables import shown_models
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: Fewer of these are outside what the tests were calibrated on (docs: calibration).
MIN_STIMULI, MIN_SUBJECTS, MIN_NETWORKS = 20, 5, 5
#: Of fewer subjects there is no bootstrap of the noise ceiling.
MIN_CEILING_SUBJECTS = 3
#: With more models than this only those of the same layer or the same condition are compared.
MOST_MODELS = 60
#: Snapshots of networks that are tested.
SNAPSHOTS = ("initial", "final")

_NONE = -1
_PERMUTATION = "permutation of stimuli"
_METHOD = {
    "both": "t, dual bootstrap",
    "stimuli": "t, bootstrap of stimuli",
    "subjects": "t, bootstrap of subjects",
}


def test_similarities(
    models: np.ndarray,
    groups: list[np.ndarray],
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    bootstraps: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    ceiling: bool = True,
    *,
    generalise: Generalise = "auto",
    networks: np.ndarray | None = None,
    pairs: list[tuple[int, int]] | None = None,
) -> pd.DataFrame:
    """Test the similarity of models, each the mean over its networks, with subjects' RDMs.

    A model's similarity is the mean over its n networks and the subjects. Its variance is

        V = V_bootstrap + s^2 / n,

    with V_bootstrap that of the mean over networks when stimuli and subjects are resampled
    (:func:`repbias.geometry.inference.evaluate`), and s^2 the variance between networks, each
    averaged over subjects; without the second term where n = 1. Where two models that are compared
    consist of the same networks (two layers, or two snapshots), s^2 is that of their difference;
    otherwise the two terms are added. What networks and stimuli, or networks and subjects, share
    in noise is counted in both terms, so the variance is rather too large. t = effect / sqrt(V) has
    Satterthwaite's degrees of freedom, over the factors that vary
    (:meth:`repbias.geometry.inference.Draws.degrees`).

    * "zero": similarity > 0, one-sided.
    * "pair": similarity of a against that of b, two-sided.
    * "ceiling": similarity below the lower noise ceiling (each subject against the mean of the
      others), one-sided; effect is similarity minus ceiling, which are resampled together. With
      three subjects or more.
    * "permutation": similarity higher than with the model's stimuli permuted, one-sided:
      p = (b + 1) / (m + 1), b of m permutations reaching the similarity. A test of any relation in
      these stimuli, subjects and networks.

    Parameters
    ----------
    models
        (model, pair), one RDM per network and layer.
    groups
        Indices into `models`: the networks of each model that is tested.
    data
        (subject, pair), over the same stimuli in the same order.
    rdm_similarity
        As rsatoolbox calls it.
    bootstraps, permutations
        Numbers of samples; without permutations that test is left out.
    seed
        Of the samples.
    ceiling
        Whether to test against the noise ceiling.
    generalise
        What is resampled: "stimuli", "subjects", "both" or "auto".
    networks
        (model,) names of networks; their indices within their group, if None.
    pairs
        Pairs of groups that are compared; all, if None.

    Returns
    -------
    pandas.DataFrame
        test, a, b (indices of groups; b is -1 but for pairs), effect, ci_low, ci_high (95 %) and
        degrees of freedom (NaN for permutations), p, method.

    Raises
    ------
    RepbiasError
        If an RDM is constant or not finite, or there are no subjects to resample.
    """
    for vectors, what in ((models, "models"), (data, "subjects")):
        refuse_not_finite(vectors, what)
        _refuse_constant(vectors, what)
    if networks is None:
        networks = np.zeros(len(models), int)
        for group in groups:
            networks[group] = np.arange(len(group))
    if pairs is None:
        pairs = list(combinations(range(len(groups)), 2))
    draws = Draws.of(n_stimuli_of(data), len(data), bootstraps, seed, generalise)
    by_network = similarities(models, data, rdm_similarity)
    full = np.stack([by_network[group].mean(axis=0) for group in groups])
    samples = draws.means(full, _resampled_groups(models, groups, data, rdm_similarity, draws))
    effect = full.mean(axis=1)
    by_network = by_network.mean(axis=1)
    sizes = np.array([len(group) for group in groups])
    between = np.array([_variance_of_mean(by_network[group]) for group in groups])

    variances = {k: v.var(axis=0, ddof=1) for k, v in samples.items()}
    variance = draws.variance(variances) + between
    degrees = draws.degrees(variances, [(between, _between_degrees(sizes))])
    tests = [_t_tests("zero", effect, variance, degrees, draws.level, "greater")]
    if pairs:
        a, b = np.array(pairs).T
        covariances = {k: np.atleast_2d(np.cov(v, rowvar=False)) for k, v in samples.items()}
        variances = {
            k: np.maximum(c[a, a] + c[b, b] - 2 * c[a, b], 0) for k, c in covariances.items()
        }
        more = _between_pairs(by_network, networks, groups, pairs, between)
        tests.append(
            _t_tests(
                "pair",
                effect[a] - effect[b],
                draws.variance(variances) + sum(v for v, _ in more),
                draws.degrees(variances, more),
                draws.level,
                "two-sided",
            ).assign(a=a, b=b)
        )
    if ceiling and len(data) >= MIN_CEILING_SUBJECTS:
        low, _ = subject_ceiling(data, rdm_similarity)
        variances = _ceiling_variances(samples, data, rdm_similarity, draws)
        variance = draws.variance(variances) + between
        degrees = draws.degrees(variances, [(between, _between_degrees(sizes))])
        tests.append(_t_tests("ceiling", effect - low, variance, degrees, draws.level, "less"))
    if permutations:
        exceeding = _permuted_reach(models, groups, data, rdm_similarity, permutations, seed)
        tests.append(
            pd.DataFrame(
                {
                    "test": "permutation",
                    "effect": effect,
                    "p": (exceeding + 1) / (permutations + 1),
                    "method": _PERMUTATION,
                    "ci_low": np.nan,
                    "ci_high": np.nan,
                    "degrees": np.nan,
                }
            )
        )
    tests = [t if "a" in t else t.assign(a=range(len(groups)), b=_NONE) for t in tests]
    columns = ["test", "a", "b", "effect", "ci_low", "ci_high", "degrees", "p", "method"]
    return pd.concat(tests, ignore_index=True)[columns]


def _refuse_constant(vectors: np.ndarray, what: str) -> None:
    constant = np.flatnonzero(np.ptp(vectors, axis=1) <= 1e-12 * np.abs(vectors).max(axis=1))
    if len(constant):
        raise RepbiasError(
            f"RDMs of {what}: {len(constant)} of {len(vectors)} are constant (the first is number "
            f"{constant[0]}); their similarity is undefined"
        )


def _resampled_groups(
    models: np.ndarray,
    groups: list[np.ndarray],
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    draws: Draws,
) -> np.ndarray | None:
    """Similarity under resampled stimuli, (sample, group, subject), mean over networks."""
    if draws.level == "subjects":
        return None
    result = np.zeros((len(draws.stimuli), len(groups), len(data)))
    size = max(1, MEMORY // result[:, 0].size)
    for start in range(0, len(models), size):
        rows = np.arange(start, min(start + size, len(models)))
        resampled = resampled_similarity(models[rows], data, rdm_similarity, draws.stimuli)
        for g, group in enumerate(groups):
            mine = resampled[:, np.isin(rows, group)]
            result[:, g] += mine.sum(axis=1) / len(group)
    return result


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _between_degrees(sizes: np.ndarray) -> np.ndarray:
    """Degrees of freedom of variances between networks; those of one network have no weight."""
    return np.where(sizes > 1, sizes - 1, np.inf)


def _between_pairs(
    values: np.ndarray,
    networks: np.ndarray,
    groups: list[np.ndarray],
    pairs: list[tuple[int, int]],
    between: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Variances, through networks, of differences between models, and their degrees of freedom.

    Of two models made of the same networks it is one, that of the difference; else two, (pair,).
    """
    sizes = np.array([len(group) for group in groups])
    a, b = np.array(pairs).T
    of_a, of_b = between[a], between[b]
    for i, (one, two) in enumerate(pairs):
        x, y = (groups[g][np.argsort(networks[groups[g]])] for g in (one, two))
        if np.array_equal(networks[x], networks[y]):
            of_a[i], of_b[i] = _variance_of_mean(values[x] - values[y]), 0
    return [(of_a, _between_degrees(sizes[a])), (of_b, _between_degrees(sizes[b]))]


def _t_tests(
    test: str,
    effect: np.ndarray,
    variance: np.ndarray,
    degrees: np.ndarray,
    level: str,
    alternative: str,
) -> pd.DataFrame:
    error = np.sqrt(variance)
    # No effect and no variance, as of a model against itself, is no evidence.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(np.abs(effect) < 1e-12, 0.0, effect / error)
    p = {
        "greater": student.sf(t, degrees),
        "less": student.cdf(t, degrees),
        "two-sided": 2 * student.sf(np.abs(t), degrees),
    }[alternative]
    width = student.ppf(0.975, degrees) * error
    return pd.DataFrame(
        {
            "test": test,
            "effect": effect,
            "ci_low": effect - width,
            "ci_high": effect + width,
            "degrees": degrees,
            "p": p,
            "method": f"{_METHOD[level]}, {alternative}",
        }
    )


def _ceiling_variances(
    samples: dict[str, np.ndarray], data: np.ndarray, rdm_similarity: RdmSimilarity, draws: Draws
) -> dict[str, np.ndarray]:
    """Bootstrap variances of similarity minus lower ceiling, in the same samples, (group,)."""
    # Of one subject alone there is no ceiling.
    several = (draws.subjects > 0).sum(axis=1) > 1
    if draws.level == "stimuli":
        several[:] = True
    every = np.ones((several.sum(), 1), int)
    all_stimuli = every.repeat(draws.stimuli.shape[1], axis=1)
    all_subjects = every.repeat(len(data), axis=1)
    resampled = {
        "stimuli": (draws.stimuli[several], all_subjects),
        "subjects": (all_stimuli, draws.subjects[several]),
        "both": (draws.stimuli[several], draws.subjects[several]),
    }
    variances = {}
    for kind, values in samples.items():
        low, _ = resampled_ceilings(data, rdm_similarity, *resampled[kind])
        variances[kind] = (values[several] - low[:, None]).var(axis=0, ddof=1)
    return variances


def _permuted_reach(
    models: np.ndarray,
    groups: list[np.ndarray],
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    permutations: int,
    seed: int,
) -> np.ndarray:
    """Count permutations of stimuli in which a model is at least as similar, (group,).

    Permuting the subjects' RDMs, all alike, is permuting the model's. Similarity being bilinear
    in normalised RDMs, means over networks and subjects are taken first; but of "tau-a" every
    pair of RDMs is compared in every permutation, which takes much longer.
    """
    n, n_pairs = n_stimuli_of(data), data.shape[1]
    rng = np.random.default_rng([seed, 1])
    orders = np.array([np.arange(n), *(rng.permutation(n) for _ in range(permutations))])
    first, second = np.triu_indices(n, 1)
    if rdm_similarity == "tau-a":
        squares = np.array([squareform(row) for row in data])
        values = np.empty((len(orders), len(groups)))
        for sample, order in enumerate(orders):
            permuted = squares[:, order[first], order[second]]
            similarity = similarities(models, permuted, rdm_similarity).mean(axis=1)
            values[sample] = [similarity[group].mean() for group in groups]
    else:
        model = unit(models, rdm_similarity)
        model = np.stack([model[group].mean(axis=0) for group in groups])
        mean = unit(data, rdm_similarity).mean(axis=0)
        # Behind the pairs of a whitened RDM is its diagonal, which is permuted too.
        values = mean[n_pairs:][orders] @ model[:, n_pairs:].T if rdm_similarity in WHITENED else 0
        square = squareform(mean[:n_pairs]).ravel()
        size = max(1, MEMORY // n_pairs)
        off = [
            np.stack([square[o[first] * n + o[second]] for o in orders[start : start + size]])
            @ model[:, :n_pairs].T
            for start in range(0, len(orders), size)
        ]
        values = values + np.concatenate(off)
    # Orders that give the same similarity may differ in the last digits.
    return (values[1:] >= values[0] - 1e-12).sum(axis=0)


def test_models(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, RDMs],
    spec: Geometry,
) -> pd.DataFrame:
    """Test every model against a recording, and models against each other.

    A model is a layer of a condition, untrained or at the end of training, averaged over the
    networks that met the inclusion criterion (:func:`test_similarities`). With more than
    :data:`MOST_MODELS` models, those are compared that are of the same layer or of the same
    condition. p_fdr is corrected (Benjamini & Hochberg 1995) within recording, RDM similarity and
    test.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, conditions
        The experiment or image set that was shown, and its conditions' (or networks') RDMs.
    spec
        Distances, RDM similarities, bootstraps and permutations.

    Returns
    -------
    pandas.DataFrame
        The table rsa_tests.
    """
    data = subject_rdms(recording, spec, name).get_vectors()
    info, rdms = shown_models(name, recording, experiment, conditions)
    usable = info["included"].astype(bool) & info["snapshot"].isin(SNAPSHOTS)
    varied = np.ptp(rdms, axis=1) > 1e-12 * np.abs(rdms).max(axis=1, initial=0)
    for row in info[usable & ~varied].itertuples():
        logger.warning(
            "%s: %s, %s, layer %s: left out of tests; its RDM is constant",
            *(name, row.condition, row.network, row.layer),
        )
    info, rdms = info[usable & varied].reset_index(drop=True), rdms[usable & varied]
    if info.empty:
        return as_table("rsa_tests")
    key = ["condition", "layer", "snapshot"]
    groups = info.groupby(key, sort=False).indices
    models = pd.DataFrame(list(groups), columns=key)
    rows = list(groups.values())
    pairs = list(combinations(range(len(models)), 2))
    if len(models) > MOST_MODELS:
        same = [models[c].to_numpy()[:, None] == models[c].to_numpy() for c in key[:2]]
        pairs = [pair for pair in pairs if same[0][pair] or same[1][pair]]
    models["n_networks"] = [len(group) for group in rows]
    tables = []
    for rdm_similarity in spec.rdm_similarities:
        result = test_similarities(
            rdms,
            rows,
            data,
            rdm_similarity,
            spec.bootstraps,
            spec.permutations,
            spec.seed,
            generalise=spec.generalise,
            networks=info["network"].to_numpy(),
            pairs=pairs,
        )
        corrected = result.groupby("test")["p"].transform(false_discovery_control)
        tables.append(result.assign(rdm_similarity=rdm_similarity, p_fdr=corrected))
    table = pd.concat(tables, ignore_index=True)
    for side in "ab":
        there = table[side] != _NONE
        described = models.reindex(table[side].where(there)).add_suffix(f"_{side}")
        table = pd.concat([table, described.reset_index(drop=True)], axis=1)
        for column in key:
            table[f"{column}_{side}"] = table[f"{column}_{side}"].fillna("")
    level = Draws.of(len(recording.stimulus_ids), len(data), 1, 0, spec.generalise).level
    said = [
        _said(test, rdm_similarity, level, n, data)
        for test, rdm_similarity, *n in table[
            ["test", "rdm_similarity", "n_networks_a", "n_networks_b"]
        ].itertuples(index=False, name=None)
    ]
    table["generalises_to"], table["warning"] = zip(*said, strict=True)
    return as_table("rsa_tests", table.assign(recording=name, experiment=experiment))


def _said(
    test: str,
    rdm_similarity: RdmSimilarity,
    level: str,
    n_networks: list[float],
    data: np.ndarray,
) -> tuple[str, str]:
    """Say what a test generalises to, and where it is not known to hold its level."""
    n_subjects, n_stimuli = len(data), n_stimuli_of(data)
    fewest = min(n for n in n_networks if not np.isnan(n))
    if test == "permutation":
        return "these stimuli, these subjects, these networks", ""
    one_network = fewest == 1
    generalises_to = ", ".join(
        [
            "stimuli" if level != "subjects" else "these stimuli",
            "subjects" if level != "stimuli" else "these subjects",
            "this network" if one_network else "networks",
        ]
    )
    warnings = []
    if level == "subjects":
        warnings.append("does not hold its level for other stimuli")
    elif n_stimuli < MIN_STIMULI:
        warnings.append(f"fewer than {MIN_STIMULI} stimuli")
    if n_subjects == 1:
        warnings.append("one subject: nothing follows for others")
    elif level != "stimuli" and n_subjects < MIN_SUBJECTS:
        warnings.append(f"fewer than {MIN_SUBJECTS} subjects")
    if one_network:
        warnings.append("one network instance: nothing follows for others")
    elif fewest < MIN_NETWORKS:
        warnings.append(f"fewer than {MIN_NETWORKS} networks")
    if test == "zero" and rdm_similarity in UNCENTRED:
        warnings.append("a cosine is above 0 wherever responses differ, without any relation")
    return generalises_to, "; ".join(warnings)
