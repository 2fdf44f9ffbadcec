"""Describe HDF5 files: canonical recordings, files of rsatoolbox, and any other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.commands.arrays import describe_arrays
from repbias.commands.description import FILL_IN, STIMULI, Description, some
from repbias.commands.formats import put_stimulus
from repbias.commands.physiology import describe_caiman
from repbias.commands.variables import variables_of
from repbias.io.blocks import Blocks
from repbias.io.untrusted import open_hdf5

if TYPE_CHECKING:
    from repbias.io.recordings import Recording


def describe_hdf5(path: Path, variable: str | None) -> Description:
    """Describe an HDF5 file: our recording, a file of rsatoolbox or CaImAn, or any other."""
    from repbias.io.hdf5 import kind_of

    with open_hdf5(path) as file:
        kind = kind_of(file)
        from_rsatoolbox = "rsatoolbox_version" in file.attrs
        if "estimates" in file and variable is None:
            return describe_caiman(path, file)
    if kind == "recording" and variable is None:
        return _describe_recording(path)
    if from_rsatoolbox and variable is None:
        return _describe_rsatoolbox(path)
    found = describe_arrays(path, variable)
    if kind is not None and variable is None:
        found.lines.append(f"repbias wrote this file; it is of kind {kind!r}, not a recording.")
        found.entry.clear()
    return found


def _describe_recording(path: Path) -> Description:
    """Describe a canonical recording; the block reads it as an array."""
    from repbias.io.recordings import Recording

    recording = Recording.read(path)
    found = Description(
        [
            f"a canonical recording of repbias, from {recording.info.get('file', '?')}",
            f"stimuli: {len(recording.stimulus_ids)} ({some(recording.stimulus_ids)})",
        ]
    )
    if recording.responses is not None:
        entry, ids = _responses(found, recording), "trials/stimulus_id"
    else:
        entry, ids = _rdms(found, recording), "stimuli/stimulus_id"
    if not entry:
        return found
    columns = recording.rdm_info if recording.responses is None else recording.units
    for name in ("subject", "region"):
        values = Counter(str(value) or "none" for value in columns[name])
        found.lines.append(f"{name}s: {some(f'{value} {n}' for value, n in values.items())}")
        if len(values) == 1 and (name == "region" or recording.rdms is None):
            entry[name] = next(iter(values))
    if recording.info.get("times_s"):
        entry["times"] = recording.info["times_s"]
    found.put("kind", entry.pop("kind"))
    found.put("path", str(path))
    found.entry |= entry
    found.put("stimuli", FILL_IN, STIMULI)
    found.put("stimulus_ids", f"variable:{ids}")
    found.put("modality", str(recording.info.get("modality", "unknown")))
    return found


def _responses(found: Description, recording: Recording) -> dict[str, Any]:
    """Describe responses; return the keys of the entry that reads them."""
    assert recording.responses is not None
    shape = recording.responses.shape
    found.lines.append(f"responses: {' x '.join(map(str, shape))} (trial, unit[, time])")
    if isinstance(recording.responses, Blocks):
        found.lines.append("Subjects have trials of their own, which no reader can read back.")
        return {}
    axes = ["trial", "unit", "time"][: len(shape)]
    return {"kind": "array", "variable": "responses", "axes": axes}


def _rdms(found: Description, recording: Recording) -> dict[str, Any]:
    """Describe RDMs; return the keys of the entry that reads them, none if no reader can."""
    assert recording.rdms is not None
    n_rdms, n_pairs = recording.rdms.shape
    found.lines.append(f"RDMs: {n_rdms} of {n_pairs} pairs")
    names = recording.rdm_info["subject"].tolist()
    if len(set(names)) < len(names):
        found.lines.append("Subjects have several sessions, which no reader can read back.")
        return {}
    return {"kind": "rdms", "variable": "rdms", "axes": ["subject", "pair"], "subjects": names}


def _describe_rsatoolbox(path: Path) -> Description:
    """Describe a dataset or RDMs; the reader of this kind keeps their descriptors."""
    arrays = variables_of(path)
    found = Description(["a file of rsatoolbox", *(f"{name}: {v}" for name, v in arrays.items())])
    place = "pattern_descriptors/" if "dissimilarities" in arrays else "obs_descriptors/"
    found.put("kind", "rsatoolbox")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    descriptors = {name: v.values for name, v in arrays.items() if v.values is not None}
    put_stimulus(
        found,
        {
            name.removeprefix(place): values
            for name, values in descriptors.items()
            if name.startswith(place) and not name.endswith("/index")
        },
    )
    if "time_descriptors/time" in arrays:
        times = descriptors["time_descriptors/time"]
        unit = "ms" if np.ptp(times) > 20 else "s"
        extent = f"times go from {times.min():g} to {times.max():g}"
        found.put("time_unit", unit, f"a guess (s or ms): {extent}")
    several = "dissimilarities" in arrays and arrays["dissimilarities"].shape[0] > 1
    if several and "rdm_descriptors/subject" not in arrays:
        found.put("subject_descriptor", "index", "a guess: each RDM is of another subject")
    return found
