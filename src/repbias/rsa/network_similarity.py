"""Similarity of every pair of an experiment's networks, by many measures."""

from __future__ import annotations

import logging
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.geometry.similarity import METRICS, Metric
from repbias.geometry.spec import Similarity
from repbias.io.activations import Activations
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def read_representations(
    activations: Activations, layer: str, stimulus_ids: np.ndarray
) -> list[np.ndarray] | None:
    """Return every row's representation (stimulus, unit) of the given stimuli, in their order.

    None if a stimulus was not shown.
    """
    position = {s: i for i, s in enumerate(activations.stimulus_ids)}
    if not set(stimulus_ids) <= position.keys():
        return None
    rows = [position[s] for s in stimulus_ids]
    return [activations.read(layer, network)[rows] for network in range(len(activations))]


def factors_or_none(metric: Metric, x: np.ndarray, name: str) -> Any:
    """Return a representation's factors; None, with a warning, where the measure is undefined."""
    try:
        return metric.factors(x)
    except RepbiasError as error:
        logger.warning("%s: left out of %s: %s", name, metric.label, error)
        return None


def similarity_table(
    experiment: str,
    conditions: dict[str, Activations],
    layers: dict[str, str],
    spec: Similarity,
) -> pd.DataFrame:
    """Compare all networks of an experiment with each other by every measure.

    Networks of the same snapshot are compared, each pair once, or both ways where the measure is
    not symmetric: a predicts b. Conditions whose stimuli differ are not comparable and give no
    rows. Where a measure is undefined for a network, it is left out with a warning.

    The null distribution of a similarity is that with b's stimuli in random order; the orders are
    the same for all pairs.

    Parameters
    ----------
    experiment
        Its name.
    conditions
        Condition to activations.
    layers
        Condition to its analysed layer.
    spec
        Measures, stimuli and permutations.
    """
    by_stimuli: dict[frozenset[str], list[str]] = {}
    for name, activations in conditions.items():
        ids = frozenset(activations.stimulus_ids[: spec.n_stimuli])
        by_stimuli.setdefault(ids, []).append(name)
    if len(by_stimuli) > 1:
        logger.info("%s: %d sets of stimuli, compared separately", experiment, len(by_stimuli))
    tables = []
    for group in by_stimuli.values():
        ids = conditions[group[0]].stimulus_ids[: spec.n_stimuli]
        networks = pd.concat(
            [
                pd.DataFrame({**conditions[c].networks, "condition": c, "layer": layers[c]})
                for c in group
            ],
            ignore_index=True,
        )
        x: list[np.ndarray] = []
        for c in group:
            representations = read_representations(conditions[c], layers[c], ids)
            assert representations is not None  # all of the group have seen these stimuli
            x += representations
        for snapshot in networks["snapshot"].unique():
            rows = np.flatnonzero(networks["snapshot"] == snapshot)
            for name in spec.metrics:
                table = _all_pairs(
                    networks.iloc[rows], [x[row] for row in rows], METRICS[name], spec
                )
                tables.append(
                    table.assign(
                        experiment=experiment, snapshot=snapshot, metric=name, n_stimuli=len(ids)
                    )
                )
    return as_table("similarity", pd.concat(tables, ignore_index=True) if tables else ())


def _all_pairs(
    networks: pd.DataFrame, x: list[np.ndarray], metric: Metric, spec: Similarity
) -> pd.DataFrame:
    """Compare representations with each other, and with those of permuted stimuli."""
    names = networks["condition"] + ", " + networks["network"] + " (" + networks["snapshot"] + ")"
    factors = [factors_or_none(metric, *one) for one in zip(x, names, strict=True)]
    defined = [i for i, f in enumerate(factors) if f is not None]
    pairs = list((combinations if metric.symmetric else permutations)(defined, 2))
    similarity = [metric.compare(factors[a], factors[b]) for a, b in pairs]

    rng = np.random.default_rng(spec.seed)
    null = np.full((max(spec.permutations, 1), len(pairs)), np.nan)
    for sample in range(spec.permutations):
        order = rng.permutation(len(x[0]))
        permuted = {i: metric.permute(factors[i], order) for i in defined}
        null[sample] = [metric.compare(factors[a], permuted[b]) for a, b in pairs]
    side = networks.drop(columns="snapshot")
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return pd.concat(
        [
            side.iloc[first].add_suffix("_a").reset_index(drop=True),
            side.iloc[second].add_suffix("_b").reset_index(drop=True),
        ],
        axis=1,
    ).assign(
        similarity=similarity,
        null_mean=null.mean(axis=0),
        null_high=np.percentile(null, 95, axis=0),
    )
