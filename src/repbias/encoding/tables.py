"""The table of encoding scores: every layer of every network to every unit of a recording."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pandas as pd

from repbias.encoding.ridge import gram, predict, scores
from repbias.encoding.spec import Encoding
from repbias.recordings.reliability import (
    UNAVAILABLE,
    UNIT_CONVENTION,
    split_half_reliability,
    stimulus_means,
)
from repbias.spec import RepbiasError
from repbias.store import Activations, Recording
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def encode_recording(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Activations],
    spec: Encoding,
) -> pd.DataFrame:
    """Predict a recording from every layer of every network; one row per layer and unit.

    Untrained and final networks are used. Units that respond the same to every stimulus, or that
    were observed for too few stimuli, are counted in the log and left out. A recording of RDMs
    has no units and gives no rows.

    Raises
    ------
    RepbiasError
        If there are too few stimuli for the folds.
    """
    if recording.responses is None:
        return as_table("encoding")
    means = stimulus_means(recording)
    needed = spec.folds * spec.inner_folds
    if len(means) < needed:
        raise RepbiasError(
            f"recording '{name}': {len(means)} stimuli are too few for {spec.folds} x "
            f"{spec.inner_folds} folds (at least {needed})"
        )
    groups = _groups_of_units(name, means, needed)
    ceiling = split_half_reliability(recording).ceiling
    tables = []
    for condition, activations in conditions.items():
        position = {s: i for i, s in enumerate(activations.stimulus_ids)}
        if any(s not in position for s in recording.stimulus_ids):
            logger.warning("%s: %s saw other stimuli; not compared", name, condition)
            continue
        rows = np.array([position[s] for s in recording.stimulus_ids])
        networks = activations.networks
        used = [n for n in range(len(activations)) if networks["snapshot"][n] != "acquired"]
        for n, layer in product(used, activations.layers):
            info = {k: v[n].item() for k, v in networks.items()} | {"layer": layer}
            features = activations.read(layer, n)[rows]
            if not np.isfinite(features).all():
                logger.warning("%s: %s, %s is not finite; left out", name, condition, info)
                continue
            tables += [
                _encode(features[stimuli], means[np.ix_(stimuli, units)], spec).assign(
                    **{k: recording.units[k][units] for k in ("unit", "subject", "region")},
                    ceiling=ceiling[units],
                    recording=name,
                    experiment=experiment,
                    condition=condition,
                    **info,
                )
                for stimuli, units in groups
            ]
        logger.info("%s: encoded from %d networks of %s", name, len(used), condition)
    if not tables:
        return as_table("encoding")
    table = pd.concat(tables, ignore_index=True)
    table["ceiling_convention"] = np.where(table["ceiling"].isna(), UNAVAILABLE, UNIT_CONVENTION)
    table["r_normalised"] = table["r"] / table["ceiling"]
    return as_table("encoding", table)


def _encode(features: np.ndarray, responses: np.ndarray, spec: Encoding) -> pd.DataFrame:
    """Score one layer's prediction of units that saw the same stimuli; one row per unit."""
    fit = predict(gram(features), responses, spec)
    r, r2 = scores(fit, responses)
    edges = [fit.grid[0], fit.grid[-1]]
    return pd.DataFrame(
        {
            "r": r,
            "r2": r2,
            "log10_alpha": np.log10(fit.alphas).mean(axis=0),
            "alpha_at_edge": np.isin(fit.alphas, edges).mean(axis=0),
            "n_stimuli": len(responses),
        }
    )


def _groups_of_units(
    name: str, means: np.ndarray, needed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group units that were observed for the same stimuli: (stimulus rows, unit columns)."""
    observed = ~np.isnan(means)
    with np.errstate(invalid="ignore"):
        varies = np.nanmax(np.where(observed, means, -np.inf), axis=0) > np.nanmin(
            np.where(observed, means, np.inf), axis=0
        )
    usable = varies & (observed.sum(axis=0) >= needed)
    if not usable.all():
        logger.warning(
            "%s: %d of %d units are constant or observed for fewer than %d stimuli; left out",
            *(name, (~usable).sum(), len(usable), needed),
        )
    if not usable.any():
        raise RepbiasError(f"recording '{name}': no unit can be predicted: all constant or unseen")
    patterns, group = np.unique(observed[:, usable], axis=1, return_inverse=True)
    columns = np.flatnonzero(usable)
    return [
        (np.flatnonzero(patterns[:, g]), columns[group.ravel() == g])
        for g in range(patterns.shape[1])
    ]
