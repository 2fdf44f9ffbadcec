"""Train the conditions of a batch; networks that are there already are not trained again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.device import pick_device
from repbias.networks.spec import MLP, Training
from repbias.networks.training import Ensemble, learning_table, train_ensembles

logger = logging.getLogger(__name__)


def train_batch(
    conditions: Mapping[str, Mapping[str, Any]],
    stimuli: str | Path,
    networks: str | Path,
    device: str = "auto",
    code: str = "",
) -> dict[str, Networks]:
    """Train the networks of several conditions, except those that a file holds already.

    A network is taken from the file if it has the same recipe: stimuli, architecture, training,
    code, version of PyTorch and kind of device. So a further seed costs one network.

    Parameters
    ----------
    conditions
        Condition to its "network", "training" and number of "seeds".
    stimuli
        The file of their stimuli.
    networks
        The file of their networks, as an earlier run has left it; it may be missing.
    device
        "auto", "cpu", "cuda" or "mps".
    code
        Fingerprint of the code that trains.

    Returns
    -------
    dict
        Condition to its networks, in the order of their seeds.
    """
    kind = pick_device(device).type
    known: dict[str, Networks] = {}
    ensembles: dict[str, Ensemble] = {}
    recipes: dict[str, dict[str, Any]] = {}
    for name, spec in conditions.items():
        shown = Stimuli.read(stimuli, name)
        recipes[name] = _recipe(spec, shown, kind, code)
        seeds = list(range(spec["seeds"]))
        found = _trained(networks, name, recipes[name], seeds)
        if found is not None:
            known[name] = found
            seeds = [seed for seed in seeds if seed not in found.seeds]
            total = spec["seeds"]
            logger.info("%s: %d of %d networks are there already", name, total - len(seeds), total)
        if seeds:
            network, training = MLP(**spec["network"]), Training(**spec["training"])
            ensembles[name] = Ensemble(shown, network, training, seeds)
            try:
                ensembles[name].check()
            except RepbiasError as error:
                raise RepbiasError(f"{name}: {error}") from error
    trained = dict(zip(ensembles, train_ensembles(list(ensembles.values()), device), strict=True))
    for name, new in trained.items():
        new.recipe = recipes[name]
        known[name] = known[name].with_others(new) if name in known else new
    return {name: known[name] for name in conditions}


def learning_tables(
    experiment: str,
    trained: Mapping[str, Networks],
    conditions: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the learning curves of several conditions as the table "learning"."""
    tables = [
        learning_table(experiment, name, networks, conditions[name]["training"]["mastery"])
        for name, networks in trained.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _recipe(spec: Mapping[str, Any], stimuli: Stimuli, kind: str, code: str) -> dict[str, Any]:
    """Return all that a network depends on beside its seed."""
    digest = hashlib.sha256()
    for array in (stimuli.inputs, stimuli.split, stimuli.labels, stimuli.supervised):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "stimuli": {"sha256": digest.hexdigest(), "features": stimuli.features},
        "network": dict(spec["network"]),
        "training": dict(spec["training"]),
        "code": code,
        "torch": torch.__version__,
        "device": kind,
    }


def _trained(
    path: str | Path, name: str, recipe: dict[str, Any], seeds: list[int]
) -> Networks | None:
    """Return the networks of these seeds that a file holds; None if it has none of this recipe."""
    if not Path(path).exists():
        return None
    try:
        found = Networks.read(path, name)
    except RepbiasError as error:  # of another version, without this condition, or damaged
        logger.info("%s: trained anew: %s", name, error)
        return None
    wanted = [seed for seed in seeds if seed in found.seeds]
    if found.recipe != recipe or not wanted:
        return None
    return found.of_seeds(wanted)
