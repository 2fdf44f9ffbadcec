"""Which similarity measures identify the condition of a network that is measured with noise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from repbias.auditing.design import Design
from repbias.auditing.equalised import Equalised, equalised_similarity
from repbias.auditing.features import regressors
from repbias.auditing.spec import AuditedFeature
from repbias.base.spec import RepbiasError, nearest
from repbias.geometry.similarity import METRICS, residualised
from repbias.geometry.spec import Identification
from repbias.io.activations import Activations
from repbias.rsa.network_similarity import factors_or_none, read_representations
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: The candidate class of untrained networks; conditions have a slash in their names.
UNTRAINED = "untrained"
#: In the column `left_out`: no seed is left out.
NONE_LEFT_OUT = -1


class _Measure(NamedTuple):
    """A measure of similarity, and how the target is measured for it.

    Attributes
    ----------
    label : its name in messages
    factors : maps a representation to what is computed once for it
    compare : maps the factors of a candidate and of the target to their similarity
    twice : whether the target is measured twice, as (2, stimulus, unit)
    """

    label: str
    factors: Callable[[np.ndarray], Any]
    compare: Callable[[Any, Any], float]
    twice: bool = False


def top1_probability(own: np.ndarray, others: list[np.ndarray]) -> float:
    """Return the probability that the target's own class wins against one network per class.

    Draws are uniform and independent; of k classes that share the highest similarity, each wins
    with probability 1 / k.

    Parameters
    ----------
    own
        (network,) similarities of the target's own class.
    others
        The same for each other class.
    """
    total = 0.0
    for value in own:
        # Probability that no class so far is higher and that 0, 1, 2, ... of them are equal.
        n_equal = np.ones(1)
        for other in others:
            n_equal = np.convolve(n_equal, [np.mean(other < value), np.mean(other == value)])
        total += n_equal @ (1 / np.arange(1, len(n_equal) + 1))
    return float(total / len(own))


class Preference(NamedTuple):
    """How a target's own class fares among the candidates.

    Attributes
    ----------
    top1 : probability that it wins against one network of every other class
    strongest : the other class with the highest mean similarity, the strongest distractor
    beats_strongest : probability that a network of the own class is more similar than one of that
        class; a tie counts half
    """

    top1: float
    strongest: str
    beats_strongest: float


def preference_of(own: np.ndarray, others: dict[str, np.ndarray]) -> Preference:
    """Compare a target's similarities with its own class and with all others.

    The top-1 rate depends on how many hopeless candidates there are: with a coin flip between the
    own class and one other it is 1/2 whatever chance level they set. Against the strongest
    distractor 1/2 always is chance.

    Parameters
    ----------
    own
        (network,) similarities of the target's own class.
    others
        The same for each other class, by its name.

    Examples
    --------
    >>> preference_of(np.array([0.8, 0.6]), {"a": np.array([0.7]), "b": np.array([0.1, 0.2])})
    Preference(top1=0.5, strongest='a', beats_strongest=0.5)
    """
    strongest = max(others, key=lambda name: others[name].mean())
    difference = own[:, None] - others[strongest]
    beats = (difference > 0).mean() + (difference == 0).mean() / 2
    return Preference(top1_probability(own, list(others.values())), strongest, float(beats))


def with_noise(x: np.ndarray, reliability: float, rng: np.random.Generator) -> np.ndarray:
    """Add independent Gaussian noise to a representation (stimulus, unit).

    The noise gives every unit the reliability signal variance / (signal variance + noise
    variance); a reliability of 1 adds none.
    """
    sd = np.asarray(x, dtype=np.float64).std(axis=0) * np.sqrt(1 / reliability - 1)
    return x + sd * rng.standard_normal(x.shape)


def measured_twice(x: np.ndarray, reliability: float, rng: np.random.Generator) -> np.ndarray:
    """Measure a representation twice, so that the mean is :func:`with_noise`'s.

    Returns
    -------
    numpy.ndarray
        (2, stimulus, unit), with independent noise of twice the variance.
    """
    sd = np.asarray(x, dtype=np.float64).std(axis=0) * np.sqrt(1 / reliability - 1)
    mean, difference = sd * rng.standard_normal((2, *x.shape))
    return np.stack([x + mean + difference, x + mean - difference])


def identification_table(
    experiment: str,
    target: str,
    candidates: dict[str, Activations],
    layers: dict[str, str],
    spec: Identification,
) -> pd.DataFrame:
    """Identify the condition of networks that are measured with noise.

    Every included network of the target's condition is a target once, at first mastery and at the
    end of training. It is compared with one included network of every candidate condition at the
    same snapshot, and with one untrained network of the target's condition, and identified as the
    most similar one; networks with the target's seed are no candidates. A measure that is not
    symmetric predicts the target from the candidate. `rsa_residualised` is `rsa` after the
    feature's class means are removed from both.

    A snapshot at which some class has no network gives no rows and a warning.

    Parameters
    ----------
    experiment
        Its name.
    target
        The targets' condition, one of the candidates.
    candidates
        Condition ("experiment/condition") to activations, all of the same stimuli.
    layers
        Condition to its analysed layer.
    spec
        Measures, reliabilities and stimuli.

    Returns
    -------
    pandas.DataFrame
        Per target, measure and reliability: `top1`, the probability (exact, over the draws of
        candidates) that the target's own class is identified, and `chance`, 1 / number of classes;
        `strongest` and `beats_strongest` are those of :class:`Preference`.
        Once with all candidates (`left_out` is -1), and once without those of each other seed: as
        all targets are compared with the same candidates, an interval must leave a seed out of
        both (:func:`repbias.base.statistics.jackknife_interval`).
    """
    ids = candidates[target].stimulus_ids[: spec.n_stimuli]
    measures = _measures(candidates[target], len(ids), spec)
    networks = pd.concat(
        [_networks(c, activations, layers[c], ids) for c, activations in candidates.items()],
        ignore_index=True,
    )
    rows = []
    for snapshot in ("mastered", "final"):
        classes = _classes(networks, snapshot, target, list(candidates), spec)
        empty = [c for c, members in classes.items() if members.empty]
        if empty:
            logger.warning(
                "identification of %s (%s): no rows; there is no network of %s",
                target,
                snapshot,
                ", ".join(empty),
            )
            continue
        for name, measure in measures.items():
            rows += [
                {
                    **row,
                    "experiment": experiment,
                    "condition": target.removeprefix(f"{experiment}/"),
                    "snapshot": snapshot,
                    "layer": layers[target],
                    "metric": name,
                }
                for row in _identify(target, classes, measure, spec)
            ]
    return as_table("identification", rows)


def _measures(
    activations: Activations, n_stimuli: int, spec: Identification
) -> dict[str, _Measure]:
    """Return the measures by name; `activations` are the target's, which have the labels."""
    measures: dict[str, _Measure] = {
        name: _Measure(METRICS[name].label, METRICS[name].factors, METRICS[name].compare)
        for name in spec.metrics
    }
    if spec.residualise is not None:
        label, rsa = _label(activations, spec.residualise, n_stimuli), METRICS["rsa"]
        measures["rsa_residualised"] = _Measure(
            rsa.label, lambda x: rsa.factors(residualised(x, label)), rsa.compare
        )
    if spec.equalise:
        labels = {name: values[:n_stimuli] for name, values in activations.labels.items()}
        measures["cka_equalised"] = _equalised(labels, spec.seed)
    return measures


def _equalised(labels: Mapping[str, np.ndarray], seed: int) -> _Measure:
    """Return the measure that gives every feature the same variance."""
    classes = {name: np.asarray(values).astype(str) for name, values in labels.items()}
    design = Design.of(regressors({name: AuditedFeature() for name in classes}, classes))
    return _Measure(
        "CKA, equalised", lambda x: Equalised.of(x, design, seed), equalised_similarity, twice=True
    )


def _classes(
    networks: pd.DataFrame,
    snapshot: str,
    target: str,
    candidates: list[str],
    spec: Identification,
) -> dict[str, pd.DataFrame]:
    """Return the networks of every class that the target may be of, at one snapshot."""
    included = networks[networks["included"] & (networks["snapshot"] == snapshot)]
    classes = {c: included[included["condition"] == c] for c in candidates}
    if spec.untrained:
        classes[UNTRAINED] = networks[
            (networks["condition"] == target) & (networks["snapshot"] == "initial")
        ]
    return classes


def _label(activations: Activations, feature: str, n_stimuli: int) -> np.ndarray:
    if feature not in activations.labels:
        raise RepbiasError(
            f"{activations.path}: no labels of the feature {feature!r}; "
            f"{nearest(feature, activations.labels)}"
        )
    return activations.labels[feature][:n_stimuli]


def _networks(
    condition: str, activations: Activations, layer: str, ids: np.ndarray
) -> pd.DataFrame:
    """Return the networks and snapshots of a condition, with their representations."""
    x = read_representations(activations, layer, ids)
    if x is None:
        raise RepbiasError(
            f"identification: {condition} was shown other stimuli than the target; expected the "
            f"target's first {len(ids)} stimuli in {activations.path}"
        )
    frame = pd.DataFrame({**activations.networks, "condition": condition})
    return frame.assign(x=pd.Series(x, dtype=object))


def _identify(
    target: str, classes: dict[str, pd.DataFrame], measure: _Measure, spec: Identification
) -> list[dict[str, Any]]:
    """Identify all targets of a snapshot by one measure."""
    candidates = {
        c: [
            (n.seed, factors_or_none(measure.factors, measure.label, n.x, f"{c}, {n.network}"))
            for n in members.itertuples()
        ]
        for c, members in classes.items()
    }
    all_seeds = sorted({seed for members in candidates.values() for seed, _ in members})
    rows = []
    for n in classes[target].itertuples():
        others = {
            c: [(seed, f) for seed, f in members if f is not None and seed != n.seed]
            for c, members in candidates.items()
        }
        empty = [c for c, members in others.items() if not members]
        if empty:
            logger.warning(
                "identification of %s, %s, by %s: left out; no candidate with another seed of %s",
                target,
                n.network,
                measure.label,
                ", ".join(empty),
            )
            continue
        for reliability in spec.reliabilities:
            # Every level has the same noise, scaled.
            rng = np.random.default_rng([spec.seed, n.seed])
            measure_once = measured_twice if measure.twice else with_noise
            noisy = measure_once(n.x, reliability, rng)
            where = f"{target}, {n.network} with noise"
            measured = factors_or_none(measure.factors, measure.label, noisy, where)
            if measured is None:
                continue
            similarity = {
                c: [(seed, measure.compare(f, measured)) for seed, f in members]
                for c, members in others.items()
            }
            other_seeds = [seed for seed in all_seeds if seed != n.seed]
            rows += [
                {
                    "network": n.network,
                    "seed": n.seed,
                    "left_out": left_out,
                    "reliability_level": reliability,
                    "chance": 1 / len(classes),
                    **found._asdict(),
                }
                for left_out, found in _leave_seeds_out(target, similarity, other_seeds)
            ]
    return rows


def _leave_seeds_out(
    target: str, similarity: dict[str, list[tuple[int, float]]], seeds: list[int]
) -> Iterator[tuple[int, Preference]]:
    """Compare a target with all candidates, and without those of each seed.

    A seed without which a class would be empty is not left out.

    Parameters
    ----------
    target
        The target's own class.
    similarity
        Class to its networks' seeds and similarities with the target.
    seeds
        Seeds that are left out.

    Yields
    ------
    tuple
        The seed, or :data:`NONE_LEFT_OUT`, and how the target's own class fares.
    """
    for left_out in [NONE_LEFT_OUT, *seeds]:
        values = {
            c: np.array([value for seed, value in members if seed != left_out])
            for c, members in similarity.items()
        }
        if all(map(len, values.values())):
            own = values.pop(target)
            yield left_out, preference_of(own, values)
