"""All analyses of a condition's networks, from activations that are computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repbias.io.networks import SNAPSHOTS, Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.architecture import Architecture
from repbias.networks.snapshots import snapshots
from repbias.pipeline.jobs import function_named
from repbias.tables import as_table


def analyse_networks(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: Architecture,
    analyses: Mapping[str, Mapping[str, Any]],
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Do all analyses of a condition's networks; activations are computed once per checkpoint.

    Parameters
    ----------
    experiment, condition
        Their names.
    networks, stimuli, spec
        The condition's networks, stimuli and architecture.
    analyses
        Name to its "function" (package.module:name), "settings", whether it is done at
        "every_checkpoint", and the "order" of its table: see
        :class:`repbias.config.analyses.OfNetworks`.
    device
        Where networks run that are not stacked.

    Returns
    -------
    dict
        The table of every analysis.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in analyses}
    functions = {name: function_named(entry["function"]) for name, entry in analyses.items()}
    every = any(entry["every_checkpoint"] for entry in analyses.values())
    for snapshot in snapshots(experiment, condition, networks, stimuli, spec, every, device):
        for name, entry in analyses.items():
            if snapshot.name in SNAPSHOTS or entry["every_checkpoint"]:
                rows[name] += functions[name](snapshot, **entry["settings"])
    tables = {name: as_table(name, found) for name, found in rows.items()}
    for name, entry in analyses.items():
        if entry["order"]:
            tables[name] = tables[name].sort_values(list(entry["order"]), kind="stable")
    return tables
