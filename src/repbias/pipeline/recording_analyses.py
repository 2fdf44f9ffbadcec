"""Analyses of a recording, alone or with the networks that saw its stimuli."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.networks.features import columns_named
from repbias.pipeline.jobs import function_named


def analyse_recording(
    analyses: Mapping[str, Mapping[str, Any]],
    name: str,
    recording: Recording,
    group: str,
    networks: Mapping[str, str],
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Do analyses of a recording, alone or with the networks that saw its stimuli.

    Parameters
    ----------
    analyses
        By name: the "function" (package.module:name), what it needs of the "networks", and the
        "section" of the configuration that it is given, with its "settings", and the columns of
        the stimuli that are "tested" (None if it is not given these): see
        :class:`repbias.config.analyses.OfRecording`.
    name, recording
        The recording.
    group
        The experiment or stimulus set that it is of.
    networks
        Condition or network to the file of its RDMs or activations, whichever the analyses need.

    Yields
    ------
    tuple
        Name and table of every analysis, in their order.
    """
    opened: dict[str, dict[str, Any]] = {}
    for analysis, entry in analyses.items():
        arguments: list[Any] = [name, recording]
        if kind := entry["networks"]:
            if kind not in opened:
                opened[kind] = {member: _open(kind, member, f) for member, f in networks.items()}
            arguments += [group, opened[kind]]
        if section := entry["section"]:
            spec = importlib.import_module(f"repbias.{section}.spec")
            arguments.append(getattr(spec, section.capitalize())(**entry["settings"]))
        if entry["tested"] is not None:
            arguments.append(columns_named(entry["tested"], recording.stimuli))
        yield analysis, function_named(entry["function"])(*arguments)


def _open(kind: str, member: str, file: str) -> Any:
    """Open the RDMs or activations of a condition or network."""
    if kind == "activations":
        return Activations.open(file, member)
    from repbias.rsa.rdms import read_rdms

    return read_rdms(file)
