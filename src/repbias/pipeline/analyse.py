"""Run the analyses that :mod:`repbias.config.analyses` names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from repbias.config.analyses import OF_NETWORKS, OF_RECORDINGS
from repbias.io.activations import Activations
from repbias.io.networks import SNAPSHOTS, Networks
from repbias.io.recordings import Recording
from repbias.io.stimuli import Stimuli
from repbias.io.tables import as_table

if TYPE_CHECKING:
    from repbias.networks.spec import MLP


def function_named(path: str) -> Callable[..., Any]:
    """Import a function, given as package.module:name."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def analyse_networks(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: MLP,
    analyses: Mapping[str, Mapping[str, Any]],
) -> dict[str, pd.DataFrame]:
    """Do all analyses of a condition's networks; activations are computed once per checkpoint.

    Parameters
    ----------
    experiment, condition
        Their names.
    networks, stimuli, spec
        The condition's networks, stimuli and architecture.
    analyses
        Name to the settings that it is given.

    Returns
    -------
    dict
        The table of every analysis; one that was not asked for is empty.
    """
    from repbias.networks.snapshots import snapshots

    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in OF_NETWORKS}
    functions = {name: function_named(OF_NETWORKS[name].function) for name in analyses}
    every = any(OF_NETWORKS[name].every_checkpoint for name in analyses)
    if analyses:
        for snapshot in snapshots(experiment, condition, networks, stimuli, spec, every):
            for name, settings in analyses.items():
                if snapshot.name in SNAPSHOTS or OF_NETWORKS[name].every_checkpoint:
                    rows[name] += functions[name](snapshot, **settings)
    tables = {}
    for name, found in rows.items():
        table = as_table(name, found)
        if order := OF_NETWORKS[name].order:
            table = table.sort_values(list(order), kind="stable")
        tables[name] = table
    return tables


def analyse_recording(
    analysis: str,
    name: str,
    recording: Recording,
    group: str,
    networks: Mapping[str, str],
    settings: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """Do one analysis of a recording, alone or with the networks that saw its stimuli.

    Parameters
    ----------
    analysis
        One of :data:`repbias.config.analyses.OF_RECORDINGS`.
    name, recording
        The recording.
    group
        The experiment or stimulus set that it is of.
    networks
        Condition or network to the file of its RDMs or activations, whichever the analysis needs.
    settings
        Of the section of the configuration that the analysis depends on.
    """
    entry = OF_RECORDINGS[analysis]
    arguments: list[Any] = [name, recording]
    if entry.networks == "rdms":
        from repbias.rsa.rdms import read_rdms

        arguments += [group, {member: read_rdms(file) for member, file in networks.items()}]
    elif entry.networks == "activations":
        opened = {member: Activations.open(file, member) for member, file in networks.items()}
        arguments += [group, opened]
    if entry.settings:
        spec = importlib.import_module(f"repbias.{entry.settings}.spec")
        arguments.append(getattr(spec, entry.settings.capitalize())(**(settings or {})))
    table: pd.DataFrame = function_named(entry.function)(*arguments)
    return table
