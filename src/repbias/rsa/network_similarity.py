"""Similarity of every pair of an experiment's networks, by many measures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.geometry.similarity import METRICS, Metric
from repbias.geometry.spec import Similarity
from repbias.io.activations import Activations
from repbias.rsa.pairs import paired
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def read_representations(
    activations: Activations, layer: str, stimulus_ids: np.ndarray
) -> list[np.ndarray] | None:
    """Return the representation (stimulus, unit) of every network and snapshot in a file.

    The given stimuli, in the given order; None if one of them was not shown.
    """
    position = {s: i for i, s in enumerate(activations.stimulus_ids)}
    if not set(stimulus_ids) <= position.keys():
        return None
    rows = [position[s] for s in stimulus_ids]
    return [activations.read(layer, network)[rows] for network in range(len(activations))]


def factors_or_none(
    factors: Callable[[np.ndarray], Any], label: str, x: np.ndarray, name: str
) -> Any:
    """Return a representation's factors; None, with a warning, if the measure is undefined."""
    try:
        return factors(x)
    except RepbiasError as error:
        logger.warning("%s: left out of %s: %s", name, label, error)
        return None


def similarity_table(
    experiment: str,
    conditions: dict[str, Activations],
    layers: dict[str, str],
    spec: Similarity,
) -> pd.DataFrame:
    """Compare all networks of an experiment with each other by every measure.

    Networks of the same snapshot are compared, each pair once, or both ways if the measure is not
    symmetric: a predicts b. Conditions with different stimuli are not compared with each other. A
    network for which a measure is undefined is left out of it with a warning.

    The null distribution of a similarity is with b's stimuli in random order; the orders are the
    same for all pairs.

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

    Returns
    -------
    pandas.DataFrame
        The table similarity.
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
        networks, x = _networks({c: conditions[c] for c in group}, layers, ids)
        for snapshot in networks["snapshot"].unique():
            rows = np.flatnonzero(networks["snapshot"] == snapshot)
            of_snapshot = [x[row] for row in rows]
            for name in spec.metrics:
                table = _all_pairs(networks.iloc[rows], of_snapshot, METRICS[name], spec)
                tables.append(
                    table.assign(
                        experiment=experiment, snapshot=snapshot, metric=name, n_stimuli=len(ids)
                    )
                )
    return as_table("similarity", pd.concat(tables, ignore_index=True) if tables else ())


def _networks(
    conditions: dict[str, Activations], layers: dict[str, str], stimulus_ids: np.ndarray
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return all networks and snapshots of conditions, and their representations."""
    tables, x = [], []
    for condition, activations in conditions.items():
        layer = layers[condition]
        tables.append(
            pd.DataFrame({**activations.networks, "condition": condition, "layer": layer})
        )
        representations = read_representations(activations, layer, stimulus_ids)
        assert representations is not None  # conditions are grouped by their stimuli
        x += representations
    return pd.concat(tables, ignore_index=True), x


def _all_pairs(
    networks: pd.DataFrame, x: list[np.ndarray], metric: Metric, spec: Similarity
) -> pd.DataFrame:
    """Compare representations with each other, and with each other's permuted stimuli."""
    names = networks["condition"] + ", " + networks["network"] + " (" + networks["snapshot"] + ")"
    factors = [
        factors_or_none(metric.factors, metric.label, *named)
        for named in zip(x, names, strict=True)
    ]
    defined = [i for i, f in enumerate(factors) if f is not None]
    pairs = list((combinations if metric.symmetric else permutations)(defined, 2))
    similarity = [metric.compare(factors[a], factors[b]) for a, b in pairs]

    rng = np.random.default_rng(spec.seed)
    null = np.full((max(spec.permutations, 1), len(pairs)), np.nan)
    for sample in range(spec.permutations):
        order = rng.permutation(len(x[0]))
        permuted = {i: metric.permute(factors[i], order) for i in defined}
        null[sample] = [metric.compare(factors[a], permuted[b]) for a, b in pairs]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return paired(networks.drop(columns="snapshot"), first, second).assign(
        similarity=similarity,
        null_mean=null.mean(axis=0),
        null_high=np.percentile(null, 95, axis=0),
    )
