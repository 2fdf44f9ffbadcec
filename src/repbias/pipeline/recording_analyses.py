"""One analysis of a recording, alone or with the networks that saw its stimuli."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.pipeline.jobs import function_named


def analyse_recording(
    analysis: Mapping[str, Any],
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
        Its "function" (package.module:name), what it needs of the "networks", and the section of
        its "settings": see :class:`repbias.config.analyses.OfRecording`.
    name, recording
        The recording.
    group
        The experiment or stimulus set that it is of.
    networks
        Condition or network to the file of its RDMs or activations, whichever the analysis needs.
    settings
        Of the section of the configuration that the analysis depends on.
    """
    arguments: list[Any] = [name, recording]
    if analysis["networks"] == "rdms":
        from repbias.rsa.rdms import read_rdms

        arguments += [group, {member: read_rdms(file) for member, file in networks.items()}]
    elif analysis["networks"] == "activations":
        opened = {member: Activations.open(file, member) for member, file in networks.items()}
        arguments += [group, opened]
    if section := analysis["settings"]:
        spec = importlib.import_module(f"repbias.{section}.spec")
        arguments.append(getattr(spec, section.capitalize())(**(settings or {})))
    table: pd.DataFrame = function_named(analysis["function"])(*arguments)
    return table
