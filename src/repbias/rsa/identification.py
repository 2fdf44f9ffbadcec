"""Which measure of similarity recognises what kind of network was measured, through noise."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError, nearest
from repbias.geometry.similarity import METRICS, Metric, residualised
from repbias.geometry.spec import Identification
from repbias.io.activations import Activations
from repbias.rsa.network_similarity import factors_or_none, read_representations
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: The candidate class of untrained networks; conditions have a slash in their names.
UNTRAINED = "untrained"
#: Where no seed is left out.
NONE = -1


def top1_probability(own: np.ndarray, others: list[np.ndarray]) -> float:
    """Probability that the target's own class wins when one network of every class is drawn.

    Draws are uniform and independent; of k classes that share the highest similarity, each wins
    with probability 1 / k.

    Parameters
    ----------
    own
        (network,) similarities of the target's own class.
    others
        The same of each other class.
    """
    total = 0.0
    for value in own:
        # The probability that none of the classes so far is above, and 0, 1, 2, ... are equal.
        equal = np.ones(1)
        for other in others:
            equal = np.convolve(equal, [np.mean(other < value), np.mean(other == value)])
        total += equal @ (1 / np.arange(1, len(equal) + 1))
    return float(total / len(own))


def with_noise(x: np.ndarray, reliability: float, rng: np.random.Generator) -> np.ndarray:
    """Add independent Gaussian noise to a representation (stimulus, unit).

    Every unit's reliability, signal variance / (signal variance + noise variance), is the given
    one; 1 adds none.
    """
    sd = np.asarray(x, dtype=np.float64).std(axis=0) * np.sqrt(1 / reliability - 1)
    return x + sd * rng.standard_normal(x.shape)


def identification_table(
    experiment: str,
    target: str,
    candidates: dict[str, Activations],
    layers: dict[str, str],
    spec: Identification,
) -> pd.DataFrame:
    """Identify the condition of networks that are measured with noise.

    Every included network of the target's condition is a target once, at first mastery and at the
    end of training. One included network of every candidate condition (same snapshot), and one
    untrained network of the target's condition, are compared with it, and the most similar one is
    named; networks with the target's seed are no candidates. A measure that is not symmetric
    predicts the target from the candidate. `rsa_residualised` is `rsa` after the feature's class
    means are removed from both.

    At a snapshot where a class has no network there is nothing to identify: no rows, and a
    warning.

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
        candidates) that the target's own class is named, and `chance`, 1 / number of classes.
        Once with all candidates (`left_out` is -1), and once without those of each other seed:
        all targets are compared with the same candidates, so an interval must leave seeds out of
        both (:func:`repbias.base.statistics.jackknife_interval`).
    """
    ids = candidates[target].stimulus_ids[: spec.n_stimuli]
    measures: dict[str, tuple[Metric, Callable[[np.ndarray], np.ndarray]]]
    measures = {name: (METRICS[name], np.asarray) for name in spec.metrics}
    if spec.residualise is not None:
        label = _label(candidates[target], spec.residualise, len(ids))
        measures["rsa_residualised"] = (METRICS["rsa"], lambda x: residualised(x, label))
    networks = pd.concat(
        [_networks(c, activations, layers[c], ids) for c, activations in candidates.items()],
        ignore_index=True,
    )
    included = networks[networks["included"]]
    untrained = networks[(networks["condition"] == target) & (networks["snapshot"] == "initial")]
    rows = []
    for snapshot in ("mastered", "final"):
        of_snapshot = included[included["snapshot"] == snapshot]
        classes = {c: of_snapshot[of_snapshot["condition"] == c] for c in candidates}
        if spec.untrained:
            classes[UNTRAINED] = untrained
        empty = [c for c, members in classes.items() if members.empty]
        if empty:
            logger.warning(
                "identification of %s (%s): no rows; there is no network of %s",
                *(target, snapshot, ", ".join(empty)),
            )
            continue
        for name, (metric, prepare) in measures.items():
            for row in _identify(target, classes, metric, prepare, spec):
                rows.append(
                    {
                        **row,
                        "experiment": experiment,
                        "condition": target.removeprefix(f"{experiment}/"),
                        "snapshot": snapshot,
                        "layer": layers[target],
                        "metric": name,
                    }
                )
    return as_table("identification", rows)


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
    """Return the table of networks and snapshots, with each one's representation."""
    x = read_representations(activations, layer, ids)
    if x is None:
        raise RepbiasError(
            f"identification: {condition} was shown other stimuli than the target; expected the "
            f"target's first {len(ids)} stimuli in {activations.path}"
        )
    frame = pd.DataFrame({**activations.networks, "condition": condition})
    return frame.assign(x=pd.Series(x, dtype=object))


def _identify(
    target: str,
    classes: dict[str, pd.DataFrame],
    metric: Metric,
    prepare: Callable[[np.ndarray], np.ndarray],
    spec: Identification,
) -> list[dict[str, Any]]:
    """Identify all targets of a snapshot by one measure."""
    factors = {
        c: [
            (n.seed, factors_or_none(metric, prepare(n.x), f"{c}, {n.network}"))
            for n in members.itertuples()
        ]
        for c, members in classes.items()
    }
    rows = []
    seeds = sorted({seed for members in factors.values() for seed, _ in members})
    for n in classes[target].itertuples():
        others = {
            c: [(seed, f) for seed, f in members if f is not None and seed != n.seed]
            for c, members in factors.items()
        }
        alone = [c for c, members in others.items() if not members]
        if alone:
            logger.warning(
                "identification of %s, %s, by %s: left out; no candidate with another seed of %s",
                *(target, n.network, metric.label, ", ".join(alone)),
            )
            continue
        for reliability in spec.reliabilities:
            # Every level has the same noise, scaled.
            rng = np.random.default_rng([spec.seed, n.seed])
            noisy = prepare(with_noise(n.x, reliability, rng))
            measured = factors_or_none(metric, noisy, f"{target}, {n.network} with noise")
            if measured is None:
                continue
            similarity = {
                c: [(seed, metric.compare(f, measured)) for seed, f in members]
                for c, members in others.items()
            }
            for left_out in [NONE, *(seed for seed in seeds if seed != n.seed)]:
                values = {
                    c: np.array([value for seed, value in members if seed != left_out])
                    for c, members in similarity.items()
                }
                if not all(map(len, values.values())):
                    continue
                own = values.pop(target)
                rows.append(
                    {
                        "network": n.network,
                        "seed": n.seed,
                        "left_out": left_out,
                        "reliability_level": reliability,
                        "top1": top1_probability(own, list(values.values())),
                        "chance": 1 / len(classes),
                    }
                )
    return rows
