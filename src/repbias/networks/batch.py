"""Train the conditions of a batch; networks that are there already are not trained again."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli, in_blocks
from repbias.networks.architecture import Architecture
from repbias.networks.architectures import architecture
from repbias.networks.device import pick_device
from repbias.networks.ensembles import Ensemble
from repbias.networks.spec import Training
from repbias.networks.training import train_ensembles
from repbias.stimuli.families import stimulus_family
from repbias.stimuli.family import StimulusFamily
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def train_batch(
    conditions: Mapping[str, Mapping[str, Any]],
    stimuli: str | Path,
    networks: str | Path,
    device: str = "auto",
    code: Mapping[str, str] | None = None,
    sources: Sequence[str | Path] = (),
) -> dict[str, Networks]:
    """Train the networks of several conditions, except those that an earlier run has trained.

    A network is taken over if it has the same recipe: stimuli, what its training set depends on,
    architecture, training, code, versions of NumPy and PyTorch, and kind of device. So a further
    seed costs one network.

    Parameters
    ----------
    conditions
        Condition to its "stimuli", "network", "training" and number of "seeds"; "trained_in" where
        its networks are those of another condition (experiment/condition), which are taken over.
    stimuli
        The file of the stimuli that networks of a condition have in common.
    networks
        The file that their networks go to; what an earlier run put there is found if it was given
        to :func:`remember`.
    device
        "auto", "cpu", "cuda" or "mps".
    code
        "training mlp" and the like to the fingerprint of the code that trains such networks,
        "stimuli bits" and the like to that of the code that draws their training sets: with
        another one, all are trained.
    sources
        The files of these other conditions' networks, in the order of the conditions.

    Returns
    -------
    dict
        Condition to its networks, in the order of their seeds.
    """
    kind = pick_device(device).type
    known: dict[str, Networks] = {}
    ensembles: dict[str, Ensemble] = {}
    recipes: dict[str, dict[str, Any]] = {}
    files = iter(sources)
    for name, spec in conditions.items():
        shown = Stimuli.read(stimuli, name)
        if spec.get("trained_in"):
            _, _, source = spec["trained_in"].partition("/")
            found = Networks.read(next(files), source).of_seeds(range(spec["seeds"]))
            known[name] = found.shown_others(shown.features)
            continue
        network, family = architecture(spec["network"]), stimulus_family(spec["stimuli"])
        if not network.trained:
            known[name] = Networks.as_given(shown.features)
            continue
        recipes[name] = _recipe(spec, shown, kind, code or {}, network, family)
        seeds = list(range(spec["seeds"]))
        found = _trained(networks, name, recipes[name], seeds)
        if found is not None:
            known[name] = found
            seeds = [seed for seed in seeds if seed not in found.seeds]
            total = spec["seeds"]
            logger.info("%s: %d of %d networks are there already", name, total - len(seeds), total)
        if seeds:
            ensembles[name] = Ensemble(shown, network, Training(**spec["training"]), seeds, family)
            try:
                ensembles[name].check()
                # Better an error now than after other conditions were trained.
                ensembles[name].training_set(seeds[0])
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


def learning_table(
    experiment: str, condition: str, networks: Networks, mastery: float
) -> pd.DataFrame:
    """Return the learning curves as the table "learning": one row per evaluation and feature."""
    steps, accuracy = networks.curves["step"], networks.curves["accuracy"]
    # Networks that are not trained here have a row for each feature, without numbers.
    t, n, f = np.nonzero(~np.isnan(accuracy) | np.isnan(accuracy).all())
    features = np.array(networks.features)
    frame = pd.DataFrame(
        {
            "experiment": experiment,
            "condition": condition,
            "network": [f"seed{seed}" for seed in networks.seeds[n]],
            "seed": networks.seeds[n],
            "step": steps[t],
            "feature": features[f],
            "target": np.isin(features, networks.targets)[f],
            "accuracy": accuracy[t, n, f],
            "mastered": accuracy[t, n, f] >= mastery,
            "loss": networks.curves["loss"][t, n],
            "included": networks.included[n],
        }
    )
    return as_table("learning", frame)


def remember(path: str | Path) -> None:
    """Give a file of networks a second name, under which a later run finds them.

    Snakemake deletes the outputs of a job before it starts. The second name is a hard link: it
    takes no space. Where the file system has none, networks are trained again.
    """
    path = Path(path)
    link, draft = _second_name(path), path.with_name(f".{path.stem}.{os.getpid()}.tmp.h5")
    try:
        draft.hardlink_to(path)
        draft.replace(link)
    except OSError as error:
        logger.info("%s: not linked: %s", link, error.strerror)
    finally:
        draft.unlink(missing_ok=True)  # links to one file do not replace each other


def _second_name(path: Path) -> Path:
    return path.with_name(f".{path.stem}.trained.h5")


def _recipe(
    spec: Mapping[str, Any],
    stimuli: Stimuli,
    kind: str,
    code: Mapping[str, str],
    network: Architecture,
    family: StimulusFamily,
) -> dict[str, Any]:
    """Return all that a network depends on beside its seed."""
    # Which layers are read, and how, matters to dropout only.
    not_trained = () if spec["training"].get("dropout") else ("layers", "readout")
    digest = hashlib.sha256()
    for array in (stimuli.split, stimuli.labels, stimuli.supervised):
        digest.update(np.ascontiguousarray(array).tobytes())
    for block in in_blocks(stimuli.inputs):
        digest.update(block.tobytes())
    shown: dict[str, Any] = {
        "sha256": digest.hexdigest(),
        "features": stimuli.features,
        "classes": stimuli.classes,
        "inputs": [list(stimuli.shown.shape), *stimuli.shown[1:]],
    }
    if family.training_sets == "own":
        # Training sets follow from the family and the seed; they are not drawn to be compared.
        shown |= {
            "family": family.model_dump(mode="json"),
            "code": code.get(f"stimuli {family.kind}", ""),
        }
    return {
        "stimuli": shown,
        "network": {k: v for k, v in spec["network"].items() if k not in not_trained},
        "training": dict(spec["training"]),
        "code": code.get(f"training {spec['network']['kind']}", ""),
        "own_code": [
            hashlib.sha256(Path(file).read_bytes()).hexdigest()
            for file in [*network.source_files(), *family.source_files()]
        ],
        "numpy": np.__version__,
        "torch": torch.__version__,
        "device": kind,
    }


def _trained(
    path: str | Path, name: str, recipe: dict[str, Any], seeds: list[int]
) -> Networks | None:
    """Return the networks of these seeds and this recipe that an earlier run has left.

    Batches may have been divided otherwise then, so all files of the experiment are looked at, the
    batch's own first.
    """
    own = _second_name(Path(path))
    for file in sorted(own.parent.glob(".*.trained.h5"), key=lambda f: (f != own, f)):
        try:
            if Networks.read_recipe(file, name) != recipe:
                continue
            found = Networks.read(file, name)
        except RepbiasError as error:  # of another version, without this condition, or damaged
            logger.debug("%s: %s", name, error)
            continue
        if wanted := [seed for seed in seeds if seed in found.seeds]:
            return found.of_seeds(wanted)
    return None
