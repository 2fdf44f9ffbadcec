"""Tests of models against a recording: above zero, below the ceiling, against each other.

Every test states what it generalises to, and warns where it is not known to keep its nominal
level.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform
from scipy.special import stdtr, stdtrit

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.base.statistics import false_discovery_control
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
from repbias.geometry.inference import Draws, jackknifed, resampled_level
from repbias.geometry.spec import Generalise, Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.parts import stimulus_groups
from repbias.rsa.common import on_common_stimuli
from repbias.rsa.rdms import Rdms, varying
from repbias.rsa.tables import region_rdms, shown_models
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: Smallest numbers for which the tests were calibrated (docs/calibration.md).
MIN_STIMULI, MIN_SUBJECTS, MIN_NETWORKS = 20, 5, 5
#: With fewer subjects the noise ceiling cannot be bootstrapped.
MIN_CEILING_SUBJECTS = 3
#: With more models than this only those of the same layer or the same condition are compared.
MOST_MODELS = 60
#: Snapshots of networks that are tested.
SNAPSHOTS = ("initial", "final")

#: Columns that identify a model.
_MODEL = ["condition", "layer", "snapshot"]
_NO_MODEL = -1


@dataclass
class ModelSet:
    """Models that are tested, each the mean over its networks.

    Attributes
    ----------
    rdms : (rdm, pair), one RDM per network and layer
    groups : for every model, the indices of its RDMs
    networks : (rdm,) names of networks; by default the RDM's position within its model
    pairs : pairs of models that are compared; by default all
    """

    rdms: np.ndarray
    groups: list[np.ndarray]
    networks: np.ndarray | None = None
    pairs: list[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def sizes(self) -> np.ndarray:
        """Number of networks of each model, (model,)."""
        return np.array([len(group) for group in self.groups])

    def network_names(self) -> np.ndarray:
        """Return the name of every RDM's network, (rdm,)."""
        if self.networks is not None:
            return self.networks
        positions = np.zeros(len(self.rdms), int)
        for group in self.groups:
            positions[group] = np.arange(len(group))
        return positions

    def compared(self) -> list[tuple[int, int]]:
        """Return the pairs of models that are compared."""
        if self.pairs is not None:
            return self.pairs
        return list(combinations(range(len(self)), 2))


@dataclass
class _Sampled:
    """Similarity of models with the subjects, and its variability.

    Attributes
    ----------
    by_network : (rdm,) mean over subjects
    effect : (model,) mean over networks and subjects
    samples : bootstrap ("stimuli", "subjects", "both") to (sample, model), and "left_out" to
        (block, model), the jackknife over stimuli
    between : (model,) variance of the mean over networks; 0 for one network
    """

    by_network: np.ndarray
    effect: np.ndarray
    samples: dict[str, np.ndarray]
    between: np.ndarray

    @classmethod
    def of(
        cls, models: ModelSet, data: np.ndarray, rdm_similarity: RdmSimilarity, draws: Draws
    ) -> _Sampled:
        """Compare all models with the subjects' RDMs under all draws."""
        by_network = similarities(models.rdms, data, rdm_similarity)
        full = np.stack([by_network[group].mean(axis=0) for group in models.groups])
        samples = draws.means(full, _resampled(models, data, rdm_similarity, draws))
        by_network = by_network.mean(axis=1)
        between = np.array([_variance_of_mean(by_network[group]) for group in models.groups])
        return cls(by_network, full.mean(axis=1), samples, between)


def similarity_tests(
    models: ModelSet,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    bootstraps: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    ceiling: bool = True,
    generalise: Generalise = "auto",
    groups: StimulusGroups | None = None,
) -> pd.DataFrame:
    """Test the similarity of models, each the mean over its networks, with subjects' RDMs.

    A model's similarity is the mean over its n networks and the subjects. Its variance is

        V = V_bootstrap + s^2 / n,

    with V_bootstrap that of the mean over networks when stimuli and subjects are resampled
    (or the jackknife over stimuli: :func:`repbias.geometry.inference.evaluate`), and s^2 the
    variance between networks, each
    averaged over subjects; without the second term where n = 1. Where two models that are compared
    consist of the same networks (two layers, or two snapshots), s^2 is that of their difference;
    otherwise the two terms are added. Noise that networks share with stimuli or with subjects is
    counted in both terms, so the variance errs on the large side. t = effect / sqrt(V) has
    Satterthwaite's degrees of freedom, over the factors that vary
    (:meth:`repbias.geometry.inference.Draws.degrees`).

    * "zero": similarity > 0, one-sided.
    * "pair": similarity of a against that of b, two-sided.
    * "ceiling": similarity below the lower noise ceiling (each subject against the mean of the
      others), one-sided; effect is similarity minus ceiling, which are resampled together. With
      three subjects or more.
    * "permutation": similarity higher than with the model's stimuli permuted, one-sided:
      p = (b + 1) / (m + 1), where b of m permutations reach the similarity. A test of any relation
      in these stimuli, subjects and networks. Whole groups of stimuli are permuted; where that is
      impossible, stimuli within their groups: then of a relation beyond what groups they are in.

    Parameters
    ----------
    models
        RDMs of models, and which of them are compared.
    data
        (subject, pair), over the same stimuli in the same order.
    rdm_similarity
        As rsatoolbox calls it.
    bootstraps, permutations
        Numbers of samples; with 0 permutations that test is left out.
    seed
        Of the samples.
    ceiling
        Whether to test against the noise ceiling.
    generalise
        What is resampled: "stimuli", "subjects", "both" or "auto".
    groups
        Which stimuli are resampled and permuted together; by default each is on its own.

    Returns
    -------
    pandas.DataFrame
        test, a, b (indices of models; b is -1 except for pairs), effect, ci_low, ci_high (95 %) and
        degrees of freedom (NaN for permutations), p, method.

    Raises
    ------
    RepbiasError
        If an RDM is constant or not finite, or there are no subjects to resample.
    """
    for vectors, what in ((models.rdms, "models"), (data, "subjects")):
        refuse_not_finite(vectors, what)
        _refuse_constant(vectors, what)
    groups = groups or StimulusGroups.alone(n_stimuli_of(data))
    draws = Draws.of(groups, len(data), bootstraps, seed, generalise)
    sampled = _Sampled.of(models, data, rdm_similarity, draws)
    tests = [_zero_tests(models, sampled, draws)]
    if models.compared():
        tests.append(_pair_tests(models, sampled, draws))
    if ceiling and len(data) >= MIN_CEILING_SUBJECTS:
        tests.append(_ceiling_tests(models, sampled, data, rdm_similarity, draws))
    if permutations:
        reached = _permutations_reaching(models, data, rdm_similarity, permutations, seed, groups)
        tests.append(
            pd.DataFrame(
                {
                    "test": "permutation",
                    "effect": sampled.effect,
                    "p": (reached + 1) / (permutations + 1),
                    "method": _permuted(groups),
                    "ci_low": np.nan,
                    "ci_high": np.nan,
                    "degrees": np.nan,
                }
            )
        )
    tests = [t if "a" in t else t.assign(a=range(len(models)), b=_NO_MODEL) for t in tests]
    columns = ["test", "a", "b", "effect", "ci_low", "ci_high", "degrees", "p", "method"]
    return pd.concat(tests, ignore_index=True)[columns]


def _permuted(groups: StimulusGroups) -> str:
    """Return what is permuted, in words."""
    if groups.are_alone:
        return "permutation of stimuli"
    if groups.exchangeable:
        # They are the same categories in another order, so a model of these alone has p = 1.
        return f"permutation of whole groups ({groups.name}): of more than {groups.name} itself"
    return f"permutation of stimuli within groups ({groups.name})"


def _refuse_constant(vectors: np.ndarray, what: str) -> None:
    constant = np.flatnonzero(~varying(vectors))
    if len(constant):
        raise RepbiasError(
            f"RDMs of {what}: {len(constant)} of {len(vectors)} are constant (the first is number "
            f"{constant[0]}); their similarity is undefined"
        )


def _resampled(
    models: ModelSet, data: np.ndarray, rdm_similarity: RdmSimilarity, draws: Draws
) -> np.ndarray | None:
    """Similarity under resampled stimuli, (sample and block, model, subject), over networks."""
    if draws.level == "subjects":
        return None
    result = np.zeros((len(draws.counts), len(models), len(data)))
    size = max(1, MEMORY // result[:, 0].size)
    for start in range(0, len(models.rdms), size):
        rows = np.arange(start, min(start + size, len(models.rdms)))
        resampled = resampled_similarity(models.rdms[rows], data, rdm_similarity, draws.counts)
        for model, group in enumerate(models.groups):
            members = resampled[:, np.isin(rows, group)]
            result[:, model] += members.sum(axis=1) / len(group)
    return result


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _between_degrees(sizes: np.ndarray) -> np.ndarray:
    """Degrees of freedom of variances between networks; those of one network have no weight."""
    return np.where(sizes > 1, sizes - 1, np.inf)


def _zero_tests(models: ModelSet, sampled: _Sampled, draws: Draws) -> pd.DataFrame:
    variances = draws.variances(sampled.samples)
    return _t_tests(
        "zero",
        sampled.effect,
        draws.variance(variances) + sampled.between,
        draws.degrees(variances, [(sampled.between, _between_degrees(models.sizes))]),
        draws,
        "greater",
    )


def _pair_tests(models: ModelSet, sampled: _Sampled, draws: Draws) -> pd.DataFrame:
    a, b = np.array(models.compared()).T
    samples = dict(sampled.samples)
    left_out = samples.pop("left_out", None)
    covariances = {k: np.atleast_2d(np.cov(v, rowvar=False)) for k, v in samples.items()}
    variances = {k: np.maximum(c[a, a] + c[b, b] - 2 * c[a, b], 0) for k, c in covariances.items()}
    if left_out is not None:
        variances |= jackknifed(left_out[:, a] - left_out[:, b])
    between = _between_pairs(models, sampled)
    return _t_tests(
        "pair",
        sampled.effect[a] - sampled.effect[b],
        draws.variance(variances) + sum(v for v, _ in between),
        draws.degrees(variances, between),
        draws,
        "two-sided",
    ).assign(a=a, b=b)


def _between_pairs(models: ModelSet, sampled: _Sampled) -> list[tuple[np.ndarray, np.ndarray]]:
    """Variances between networks of differences between models, and their degrees of freedom.

    For two models made of the same networks there is one, that of the difference; otherwise two.
    Each is (pair,).
    """
    networks, pairs = models.network_names(), models.compared()
    a, b = np.array(pairs).T
    of_a, of_b = sampled.between[a], sampled.between[b]
    for i, pair in enumerate(pairs):
        x, y = (models.groups[m][np.argsort(networks[models.groups[m]])] for m in pair)
        if np.array_equal(networks[x], networks[y]):
            difference = sampled.by_network[x] - sampled.by_network[y]
            of_a[i], of_b[i] = _variance_of_mean(difference), 0
    sizes = models.sizes
    return [(of_a, _between_degrees(sizes[a])), (of_b, _between_degrees(sizes[b]))]


def _ceiling_tests(
    models: ModelSet,
    sampled: _Sampled,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    draws: Draws,
) -> pd.DataFrame:
    low, _ = subject_ceiling(data, rdm_similarity)
    variances = _ceiling_variances(sampled.samples, data, rdm_similarity, draws)
    return _t_tests(
        "ceiling",
        sampled.effect - low,
        draws.variance(variances) + sampled.between,
        draws.degrees(variances, [(sampled.between, _between_degrees(models.sizes))]),
        draws,
        "less",
    )


def _t_tests(
    test: str,
    effect: np.ndarray,
    variance: np.ndarray,
    degrees: np.ndarray,
    draws: Draws,
    alternative: str,
) -> pd.DataFrame:
    error = np.sqrt(variance)
    # No effect and no variance, as of a model against itself, is no evidence.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(np.abs(effect) < 1e-12, 0.0, effect / error)
    p = {
        "greater": stdtr(degrees, -t),
        "less": stdtr(degrees, t),
        "two-sided": 2 * stdtr(degrees, -np.abs(t)),
    }[alternative]
    width = stdtrit(degrees, 0.975) * error
    return pd.DataFrame(
        {
            "test": test,
            "effect": effect,
            "ci_low": effect - width,
            "ci_high": effect + width,
            "degrees": degrees,
            "p": p,
            "method": f"t, {draws.bootstrap}, {alternative}",
        }
    )


def _ceiling_variances(
    samples: dict[str, np.ndarray], data: np.ndarray, rdm_similarity: RdmSimilarity, draws: Draws
) -> dict[str, np.ndarray]:
    """Bootstrap variances of similarity minus lower ceiling, in the same samples, (model,)."""
    # A sample of copies of one subject has no ceiling.
    several = (draws.subjects > 0).sum(axis=1) > 1
    if draws.level == "stimuli":
        several[:] = True
    all_stimuli = np.ones_like(draws.stimuli[several])
    all_subjects = np.ones_like(draws.subjects[several])
    resampled = {
        "stimuli": (draws.stimuli[several], all_subjects),
        "subjects": (all_stimuli, draws.subjects[several]),
        "both": (draws.stimuli[several], draws.subjects[several]),
        "left_out": (draws.left_out, np.ones((len(draws.left_out), len(data)), int)),
    }
    differences = {}
    for kind, values in samples.items():
        low, _ = resampled_ceilings(data, rdm_similarity, *resampled[kind])
        values = values if kind == "left_out" else values[several]
        differences[kind] = values - low[:, None]
    return draws.variances(differences)


def _permutations_reaching(
    models: ModelSet,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    permutations: int,
    seed: int,
    groups: StimulusGroups,
) -> np.ndarray:
    """Count permutations of stimuli in which a model is at least as similar, (model,).

    Permuting all subjects' RDMs alike is the same as permuting the model's.
    """
    moved = groups.orders(permutations, np.random.default_rng([seed, 1]))
    orders = np.concatenate([np.arange(n_stimuli_of(data))[None], moved])
    permuted = _permuted_taus if rdm_similarity == "tau-a" else _permuted_products
    values = permuted(models, data, rdm_similarity, orders)
    # Orders that give the same similarity may differ in the last digits.
    return (values[1:] >= values[0] - 1e-12).sum(axis=0)


def _permuted_taus(
    models: ModelSet, data: np.ndarray, rdm_similarity: RdmSimilarity, orders: np.ndarray
) -> np.ndarray:
    """Similarity (order, model) with subjects' stimuli in other orders, comparing all RDMs."""
    first, second = np.triu_indices(orders.shape[1], 1)
    squares = np.array([squareform(row) for row in data])
    values = np.empty((len(orders), len(models)))
    for sample, order in enumerate(orders):
        permuted = squares[:, order[first], order[second]]
        similarity = similarities(models.rdms, permuted, rdm_similarity).mean(axis=1)
        values[sample] = [similarity[group].mean() for group in models.groups]
    return values


def _permuted_products(
    models: ModelSet, data: np.ndarray, rdm_similarity: RdmSimilarity, orders: np.ndarray
) -> np.ndarray:
    """Return the same for measures that are bilinear in normalised RDMs.

    Means over networks and subjects can be taken first, which is much faster.
    """
    n, n_pairs = orders.shape[1], data.shape[1]
    first, second = np.triu_indices(n, 1)
    model = unit(models.rdms, rdm_similarity)
    model = np.stack([model[group].mean(axis=0) for group in models.groups])
    mean = unit(data, rdm_similarity).mean(axis=0)
    # Behind the pairs of a whitened RDM is its diagonal, which is permuted too.
    diagonal = mean[n_pairs:][orders] @ model[:, n_pairs:].T if rdm_similarity in WHITENED else 0
    square = squareform(mean[:n_pairs]).ravel()
    size = max(1, MEMORY // n_pairs)
    pairs = [
        np.stack([square[o[first] * n + o[second]] for o in orders[start : start + size]])
        @ model[:, :n_pairs].T
        for start in range(0, len(orders), size)
    ]
    return diagonal + np.concatenate(pairs)


def model_tests_table(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Rdms],
    spec: Geometry,
) -> pd.DataFrame:
    """Test every model against a recording, and models against each other.

    A model is a layer of a condition, untrained or at the end of training, averaged over the
    networks that met the inclusion criterion (:func:`similarity_tests`). With more than
    :data:`MOST_MODELS` models, only those of the same layer or of the same condition are compared.
    p_fdr is corrected (Benjamini & Hochberg 1995) within recording, RDM similarity and test.

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
    recording = on_common_stimuli(recording, spec.min_units)
    info, rdms = _testable(*shown_models(name, recording, experiment, conditions))
    if info.empty:
        return as_table("rsa_tests")
    # In order of appearance, which `indices` keeps in pandas 3 only.
    described = {model: part.index.to_numpy() for model, part in info.groupby(_MODEL, sort=False)}
    models = pd.DataFrame(list(described), columns=_MODEL)
    model_set = ModelSet(
        rdms, list(described.values()), info["network"].to_numpy(), _pairs_to_compare(models)
    )
    models = models.assign(n_networks=model_set.sizes)
    groups = stimulus_groups(recording)
    tables = []
    for (region, _, of_region), rdm_similarity in product(
        region_rdms(recording, spec, name), spec.rdm_similarities
    ):
        data = of_region.dissimilarities
        tests = similarity_tests(
            model_set,
            data,
            rdm_similarity,
            spec.bootstraps,
            spec.permutations,
            spec.seed,
            generalise=spec.generalise,
            groups=groups,
        )
        corrected = tests.groupby("test")["p"].transform(false_discovery_control)
        tests = tests.assign(region=region, rdm_similarity=rdm_similarity, p_fdr=corrected)
        tests = _with_models(tests, models)
        scopes = [
            _inference_scope(test, rdm_similarity, n_networks, data, spec.generalise, groups)
            for test, *n_networks in tests[["test", "n_networks_a", "n_networks_b"]].itertuples(
                index=False, name=None
            )
        ]
        tests["generalises_to"], tests["warning"] = zip(*scopes, strict=True)
        tables.append(tests)
    if not tables:
        return as_table("rsa_tests")
    table = pd.concat(tables, ignore_index=True)
    return as_table("rsa_tests", table.assign(recording=name, experiment=experiment))


def _testable(info: pd.DataFrame, rdms: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Select the RDMs that are tested: of included networks, untrained or fully trained."""
    selected = info["included"].astype(bool) & info["snapshot"].isin(SNAPSHOTS)
    return info[selected].reset_index(drop=True), rdms[selected.to_numpy(bool)]


def _pairs_to_compare(models: pd.DataFrame) -> list[tuple[int, int]]:
    """Return all pairs of models; of many models, those with the same condition or layer."""
    pairs = list(combinations(range(len(models)), 2))
    if len(models) <= MOST_MODELS:
        return pairs
    same_condition, same_layer = (
        models[c].to_numpy()[:, None] == models[c].to_numpy() for c in ("condition", "layer")
    )
    return [pair for pair in pairs if same_condition[pair] or same_layer[pair]]


def _with_models(table: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that describe models a and b."""
    for side in "ab":
        is_model = table[side] != _NO_MODEL
        described = models.reindex(table[side].where(is_model)).add_suffix(f"_{side}")
        table = pd.concat([table, described.reset_index(drop=True)], axis=1)
        for column in _MODEL:
            table[f"{column}_{side}"] = table[f"{column}_{side}"].fillna("")
    return table


def _inference_scope(
    test: str,
    rdm_similarity: RdmSimilarity,
    n_networks: list[float],
    data: np.ndarray,
    generalise: Generalise,
    groups: StimulusGroups,
) -> tuple[str, str]:
    """Say what a test generalises to, and where it is not known to keep its nominal level."""
    if test == "permutation":
        within = f"within groups ({groups.name}) only: no test between them exists"
        return (
            "these stimuli, these subjects, these networks",
            "" if groups.exchangeable else within,
        )
    n_subjects, level = len(data), resampled_level(len(data), generalise)
    fewest = min(n for n in n_networks if not np.isnan(n))
    one_network = fewest == 1
    generalises_to = ", ".join(
        [
            _stimuli_generalised_to(groups) if level != "subjects" else "these stimuli",
            "subjects" if level != "stimuli" else "these subjects",
            "this network" if one_network else "networks",
        ]
    )
    warnings = []
    if level == "subjects":
        warnings.append("does not hold its level for other stimuli")
    elif not groups.between:
        warnings.append(f"{len(groups.sizes)} groups ({groups.name}): nothing follows for others")
    elif len(groups.sizes) < MIN_STIMULI:
        of = "stimuli" if groups.are_alone else f"groups ({groups.name})"
        warnings.append(f"fewer than {MIN_STIMULI} {of}")
    if n_subjects == 1:
        warnings.append("one subject: nothing follows for others")
    elif level != "stimuli" and n_subjects < MIN_SUBJECTS:
        warnings.append(f"fewer than {MIN_SUBJECTS} subjects")
    if one_network:
        warnings.append("one network instance: nothing follows for others")
    elif fewest < MIN_NETWORKS:
        warnings.append(f"fewer than {MIN_NETWORKS} networks")
    if test == "zero" and not groups.are_alone:
        warnings.append(
            f"above 0 wherever model and brain tell {groups.name} apart, each in its own way: the "
            "permutation test asks for more"
        )
    if test == "zero" and rdm_similarity in UNCENTRED:
        warnings.append("a cosine is above 0 wherever responses differ, without any relation")
    return generalises_to, "; ".join(warnings)


def _stimuli_generalised_to(groups: StimulusGroups) -> str:
    if groups.are_alone:
        return "stimuli"
    named = f"groups ({groups.name})"
    return named if groups.between else f"stimuli of these {named}"
