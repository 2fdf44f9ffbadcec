"""Whether a study of a recording would name the right model, at the recording's noise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry
from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_region, stimulus_groups
from repbias.recovery.candidates import Candidates
from repbias.recovery.scoring import OF_RESPONSES, Scorer, rsa_scores
from repbias.recovery.spec import Recovery
from repbias.recovery.twins import RdmTwins, Twins
from repbias.rsa.common import few_in_common, on_common_stimuli
from repbias.rsa.rdms import Rdms, subject_rdms
from repbias.rsa.tables import place
from repbias.tables import TABLES, as_table

logger = logging.getLogger(__name__)

#: Scores that differ by less than this share of the largest are the same.
_ROUNDING = 1e-9
#: How a brain is given a name.
HOW = ("argmax", "matched")


@dataclass(frozen=True, eq=False)
class Simulated:
    """Which brains were simulated, and their scores.

    Attributes
    ----------
    candidates : the models
    model, network, layer : (brain,) int, what each brain was simulated from
    scores : measure to (brain, candidate)
    """

    candidates: Candidates
    model: np.ndarray
    network: np.ndarray
    layer: np.ndarray
    scores: dict[str, np.ndarray]


def plan_brains(candidates: Candidates, n: int) -> np.ndarray:
    """Return what brains are simulated from, (brain, 3) int: model, network, layer.

    n of every layer of every model, from its networks in turn; brains of a layer are consecutive.
    """
    return np.array(
        [
            (m, i % len(at), layer)
            for m, at in enumerate(candidates.at)
            for layer in range(at.shape[1])
            for i in range(n)
        ]
    )


def scored_networks(candidates: Candidates, brain: int, model: int, network: int) -> list[int]:
    """Return the network of every model that a brain is scored by: each in turn, never its own.

    Of a model with a single network it is its own.
    """
    chosen = [brain % len(at) for at in candidates.at]
    if model >= 0 and len(candidates.at[model]) > 1:
        others = [k for k in range(len(candidates.at[model])) if k != network]
        chosen[model] = others[brain // len(candidates.at[model]) % len(others)]
    return chosen


def simulate_brains(twins: Twins, scorer: Scorer, n_simulations: int, seed: int) -> Simulated:
    """Simulate brains from every layer and score them with all candidates."""
    candidates = scorer.candidates

    def scores(layers: Sequence[int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        return scorer.scores([twins.simulate(candidates.roots[i], rng) for i in layers])

    return _simulate(candidates, n_simulations, seed, scores)


def simulate_rdms(
    twins: RdmTwins, candidates: Candidates, geometry: Geometry, n_simulations: int, seed: int
) -> Simulated:
    """Simulate RDMs of subjects from every layer and compare them with all candidates."""

    def scores(layers: Sequence[int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        rdms = [twins.simulate(candidates.rdms[i], rng) for i in layers]
        return {"rsa": rsa_scores(candidates.rdms, rdms, geometry)}

    return _simulate(candidates, n_simulations, seed, scores)


def _simulate(
    candidates: Candidates,
    n_simulations: int,
    seed: int,
    scores: Callable[[Sequence[int], np.random.Generator], dict[str, np.ndarray]],
) -> Simulated:
    """Simulate brains, those of a layer together: a function of layers and a generator scores."""
    brains = plan_brains(candidates, n_simulations)
    rng = np.random.default_rng(seed)
    found = [
        scores([candidates.at[m][k, layer] for m, k, layer in of_layer], rng)
        for of_layer in np.split(brains, np.arange(n_simulations, len(brains), n_simulations))
    ]
    model, network, layer = brains.T
    together = {name: np.concatenate([f[name] for f in found]) for name in found[0]}
    return Simulated(candidates, model, network, layer, together)


@dataclass(frozen=True, eq=False)
class Merits:
    """How well every layer of every model suits a brain; the best is named.

    Attributes
    ----------
    models : (brain, model)
    layers : of every model (brain, layer), compared within the model
    """

    models: np.ndarray
    layers: tuple[np.ndarray, ...]


def merits_by_score(scores: np.ndarray, columns: Sequence[Sequence[np.ndarray]]) -> Merits:
    """Return the score of every layer, and of every model that of its best layer.

    Parameters
    ----------
    scores
        (brain, candidate).
    columns
        Of every brain, and model, (layer,) the candidates that it is scored by.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    n_models = len(columns[0])
    layers = tuple(
        np.stack([s[of_brain[m]] for s, of_brain in zip(scores, columns, strict=True)])
        for m in range(n_models)
    )
    return Merits(np.stack([merit.max(axis=1) for merit in layers], axis=1), layers)


def merits_of(simulated: Simulated, measure: str) -> Merits:
    """Return the merits of simulated brains by their scores, each by networks it is not of."""
    sources = zip(simulated.model, simulated.network, strict=True)
    chosen = [scored_networks(simulated.candidates, b, m, k) for b, (m, k) in enumerate(sources)]
    return merits_by_score(simulated.scores[measure], _columns(simulated.candidates, chosen))


def _columns(candidates: Candidates, chosen: Sequence[Sequence[int]]) -> list[list[np.ndarray]]:
    """Return the candidates of the chosen network of every model, for every brain, (layer,)."""
    return [[at[k] for at, k in zip(candidates.at, of, strict=True)] for of in chosen]


def merits_by_profile(
    simulated: Simulated,
    scores: np.ndarray,
    columns: Sequence[Sequence[np.ndarray]],
    chosen: Sequence[Sequence[int]],
    sources: Sequence[tuple[int, int, int]],
    measure: str,
) -> Merits:
    """Compare a brain's scores with those of simulated brains, layer by layer.

    The profile p of a brain is its score with every layer l of the networks that it is scored by.
    The merit of layer L is -sum_l ((p_l - mu_Ll) / sigma_l)², with mean mu and standard deviation
    sigma (pooled over L) of the profiles of brains simulated from L in third networks: neither that
    which generated the brain nor that which is scored. Where a model has too few networks, they are
    the same; a brain itself is always left out. Models are compared by all layers of all models,
    the layers of a model by its own.

    Parameters
    ----------
    simulated
        All simulated brains.
    scores
        (brain, candidate), of the brains to be named.
    columns, chosen
        Of every brain, and model, (layer,) the candidates and the network that it is scored by.
    sources
        Of every brain its model, its network and its number among the simulated; -1 of the real.
    measure
        Name of the measure.
    """
    candidates, templates = simulated.candidates, simulated.scores[measure]
    places = [(m, i) for m, names in enumerate(candidates.layers) for i in range(len(names))]
    of_models = np.empty((len(scores), len(candidates.models)))
    of_layers = tuple(np.empty((len(scores), len(names))) for names in candidates.layers)
    for b, (own, of_brain, networks, source) in enumerate(
        zip(scores, columns, chosen, sources, strict=True)
    ):
        rows = [_third(simulated, m, layer, networks[m], source) for m, layer in places]
        distances = _distances(own, templates, rows, np.concatenate(of_brain))
        for m, columns_of_model in enumerate(of_brain):
            inside = [i for i, (model, _) in enumerate(places) if model == m]
            of_models[b, m] = -distances[inside].min()
            of_layers[m][b] = -_distances(
                own, templates, [rows[i] for i in inside], columns_of_model
            )
    return Merits(of_models, of_layers)


def _third(
    simulated: Simulated, model: int, layer: int, scored: int, source: tuple[int, int, int]
) -> np.ndarray:
    """Return which simulated brains say what brains of a layer are like, (template,) int."""
    rows = np.flatnonzero((simulated.model == model) & (simulated.layer == layer))
    rows = rows[rows != source[2]]
    networks = simulated.network[rows]
    own = source[1] if source[0] == model else -1
    for wanted in (
        (networks != scored) & (networks != own),
        networks != scored,
        np.ones(len(rows), bool),
    ):
        if wanted.sum() > 1 or wanted.all():
            return rows[wanted]
    return rows


def _distances(
    own: np.ndarray, templates: np.ndarray, rows: Sequence[np.ndarray], columns: np.ndarray
) -> np.ndarray:
    """Return the squared distance of a profile from every template, in standard deviations."""
    groups = [templates[np.ix_(r, columns)] for r in rows]
    means = np.stack([g.mean(axis=0) for g in groups])
    deviations = np.concatenate([g - m for g, m in zip(groups, means, strict=True)])
    degrees = max(len(deviations) - len(groups), 1)
    variance = (deviations**2).sum(axis=0) / degrees
    usable = np.isfinite(variance) & np.isfinite(own[columns]) & np.isfinite(means).all(axis=0)
    # Without noise templates do not differ.
    least = (_ROUNDING * np.abs(means).max(axis=0)) ** 2 + np.finfo(float).tiny
    z = (own[columns] - means)[:, usable] ** 2 / np.maximum(variance, least)[usable]
    result: np.ndarray = z.sum(axis=1)
    return result


def named(merits: np.ndarray) -> np.ndarray:
    """Return how much each is named, (brain, item): 1 for the best, divided where several are."""
    best = merits.max(axis=1, keepdims=True)
    finite = np.where(np.isfinite(merits), np.abs(merits), 0)
    size = _ROUNDING * finite.max(axis=1, keepdims=True)
    ties = (merits >= best - size) & np.isfinite(best)
    share = ties / np.maximum(ties.sum(axis=1, keepdims=True), 1)
    result: np.ndarray = share
    return result


def preferred(merits: np.ndarray, true: int) -> np.ndarray:
    """Return how often each would be named if only it and the true one were there, (item,)."""
    result = []
    for other in range(merits.shape[1]):
        pair = named(merits[:, [true, other]])
        result.append(pair[:, 1].mean())
    return np.array(result)


def interval(probability: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact 95 % interval of shares of n brains (Clopper & Pearson 1934)."""
    from scipy.stats import beta  # its import takes a while

    k = probability * n
    low, high = beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)
    return np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0)


def recover(
    name: str,
    recording: Recording,
    experiment: str,
    rdms: Mapping[str, Rdms],
    activations: Mapping[str, Activations],
    geometry: Geometry,
    encoding: Encoding,
    spec: Recovery,
) -> pd.DataFrame:
    """Simulate brains at the noise of a recording, and count which model is named.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, rdms, activations
        What was shown, and the RDMs and activations of its conditions (or networks).
    geometry, encoding, spec
        Settings.

    Returns
    -------
    pandas.DataFrame
        The table recovery. What cannot be simulated has one row that says why.
    """
    where = {"recording": name, "experiment": experiment}
    only_rdms = recording.rdms is not None
    recording = on_common_stimuli(recording, geometry.min_units)
    rows: list[dict[str, Any]] = []
    try:
        if problem := few_in_common(recording):
            raise RepbiasError(f"recovery: {problem}")
        candidates = Candidates.of(
            name, recording, experiment, rdms, {} if only_rdms else activations, spec
        )
    except RepbiasError as error:
        logger.warning("%s: %s", name, error)
        return rows_as_table("recovery", [where | {"warning": str(error)}])
    for region, part in by_region(recording):
        at = where | {"region": region}
        try:
            rows += [at | row for row in _of_part(part, candidates, geometry, encoding, spec)]
        except RepbiasError as error:
            logger.warning("%s: %s", place(name, region), error)
            rows.append(at | {"warning": str(error)})
        else:
            logger.info("%s: recovery simulated", place(name, region))
    return rows_as_table("recovery", rows)


def _of_part(
    recording: Recording,
    candidates: Candidates,
    geometry: Geometry,
    encoding: Encoding,
    spec: Recovery,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a recording, or a region of one."""
    n, warnings = spec.simulations, unavailable(recording, geometry)
    measures = [m for m in spec.measures if m not in warnings]
    for measure in spec.measures:
        if measure in warnings:
            yield {"measure": measure, "warning": warnings[measure]}
    if not measures:
        return
    if recording.rdms is not None:
        real = {
            "rsa": rsa_scores(
                candidates.rdms, [subject_rdms(recording, geometry, "").dissimilarities], geometry
            )
        }
        simulated = simulate_rdms(RdmTwins.of(recording), candidates, geometry, n, spec.seed)
    else:
        twins = Twins.of(recording, spec.reliability)
        scorer = Scorer(candidates, stimulus_groups(recording), measures, geometry, encoding)
        real = scorer.scores([twins.recording])
        simulated = simulate_brains(twins, scorer, n, spec.seed)
    generator = _generator(recording)
    for measure in measures:
        yield from _rows(simulated, measure, real[measure][0], generator)


def unavailable(recording: Recording, geometry: Geometry) -> dict[str, str]:
    """Return the measures that a recording does not have, and why."""
    if recording.rdms is not None:
        return dict.fromkeys(OF_RESPONSES, "unavailable: the recording has RDMs only")
    if geometry.recording_distance.startswith("poisson"):
        why = f"unavailable: {geometry.recording_distance} distance needs counts"
        return {"rsa": why, "cka": why}
    return {}


def _generator(recording: Recording) -> dict[str, str]:
    """Return what a simulated recording is of; nothing of a real one."""
    if recording.info.get("kind") != "simulated":
        return {}
    source = str(recording.info["source"]).split("/", 1)[1]
    return {"true_condition": source, "true_layer": str(recording.info["layer"])}


def _rows(
    simulated: Simulated, measure: str, real: np.ndarray, generator: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a measure: simulated brains, then the recording itself."""
    candidates, scores = simulated.candidates, simulated.scores[measure]
    sources = list(zip(simulated.model, simulated.network, range(len(scores)), strict=True))
    chosen = [scored_networks(candidates, b, m, k) for m, k, b in sources]
    n_draws = max(len(at) for at in candidates.at)
    real_chosen = [scored_networks(candidates, i, -1, -1) for i in range(n_draws)]
    reals = np.tile(real, (n_draws, 1))
    unknown = [(-1, -1, -1)] * n_draws
    for how in HOW:
        columns, real_columns = _columns(candidates, chosen), _columns(candidates, real_chosen)
        if how == "argmax":
            merits = merits_by_score(scores, columns)
            of_real = merits_by_score(reals, real_columns)
        else:
            merits = merits_by_profile(simulated, scores, columns, chosen, sources, measure)
            of_real = merits_by_profile(
                simulated, reals, real_columns, real_chosen, unknown, measure
            )
        about = {"measure": measure, "how": how}
        least = 2 if how == "argmax" else 3
        few = [len(at) < least for at in candidates.at]
        if len(candidates.models) > 1:
            yield from _counted(
                merits.models,
                simulated.model,
                of_real.models,
                about | {"level": "model"},
                [{"condition": model} for model in candidates.models],
                few,
                {k: v for k, v in generator.items() if k == "true_condition"},
            )
        for m, names in enumerate(candidates.layers):
            if len(names) > 1:
                inside = simulated.model == m
                yield from _counted(
                    merits.layers[m][inside],
                    simulated.layer[inside],
                    of_real.layers[m],
                    about | {"level": "layer"},
                    [{"condition": candidates.models[m], "layer": layer} for layer in names],
                    [few[m]] * len(names),
                    generator if generator.get("true_condition") == candidates.models[m] else {},
                )


def _counted(
    merits: np.ndarray,
    true: np.ndarray,
    real: np.ndarray,
    about: dict[str, Any],
    items: Sequence[dict[str, str]],
    optimistic: Sequence[bool],
    generator: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Yield a row for every true and named item, and for every item that the recording is named."""
    names = [{f"named_{k}": v for k, v in item.items()} for item in items]
    confusion = np.stack([named(merits[true == t]).mean(axis=0) for t in range(len(items))])
    of_all = confusion.sum(axis=0)
    right = np.divide(
        confusion.diagonal(), of_all, out=np.full(len(items), np.nan), where=of_all > 0
    )
    about = about | {"chance": 1 / len(items)}
    for t, item in enumerate(items):
        n = int((true == t).sum())
        low, high = interval(confusion[t], n)
        preference = preferred(merits[true == t], t)
        for i, name in enumerate(names):
            yield (
                about
                | {f"true_{k}": v for k, v in item.items()}
                | name
                | {
                    "simulated": True,
                    "probability": confusion[t, i],
                    "ci_low": low[i],
                    "ci_high": high[i],
                    "preferred": preference[i] if i != t else np.nan,
                    "right": right[i],
                    "n": n,
                    "optimistic": optimistic[t],
                }
            )
    for i, share in enumerate(named(real).mean(axis=0)):
        yield (
            about
            | generator
            | names[i]
            | {
                "simulated": False,
                "probability": share,
                "right": right[i],
                "n": len(real),
                "optimistic": any(optimistic),
            }
        )


def rows_as_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of rows that leave out the columns that do not concern them."""
    types = TABLES[name].types
    empty = {str: "", bool: False, int: 0, float: float("nan")}
    filled = [{c: row.get(c, empty[kind]) for c, kind in types.items()} for row in rows]
    return as_table(name, filled)
