"""One module per kind of recording, each with its configuration model and a ``read`` function.

To add a reader, write a module with a subclass of `FileRecording` that has a literal `kind`, and a
function ``read(spec, stimulus_ids) -> Recording``; then register both in :data:`READERS` and
:data:`RecordingSpec` (docs/add-a-reader.md). Heavy libraries are imported inside ``read``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from repbias.io.recordings import Recording
from repbias.io.untrusted import readable
from repbias.recordings.parts import choose_regions, choose_subjects, name_groups
from repbias.recordings.readers import (
    array,
    brainscore,
    caiman,
    fmri,
    mne,
    nwb,
    phy,
    rdms,
    rsatoolbox,
    suite2p,
    table,
)
from repbias.recordings.readers.common import FileRecording
from repbias.recordings.simulate import SimulatedRecording

#: Readers by kind: functions of (configuration, sorted ids of the stimulus set).
READERS: dict[str, Callable[..., Recording]] = {
    "array": array.read,
    "table": table.read,
    "nwb": nwb.read,
    "phy": phy.read,
    "suite2p": suite2p.read,
    "caiman": caiman.read,
    "brainscore": brainscore.read,
    "mne": mne.read,
    "fmri": fmri.read,
    "rsatoolbox": rsatoolbox.read,
    "rdms": rdms.read,
}

#: One entry of ``recordings:``.
RecordingSpec = Annotated[
    array.ArrayRecording
    | table.TableRecording
    | nwb.NwbRecording
    | phy.PhyRecording
    | suite2p.Suite2pRecording
    | caiman.CaimanRecording
    | brainscore.BrainscoreRecording
    | mne.MneRecording
    | fmri.FmriRecording
    | rsatoolbox.RsatoolboxRecording
    | rdms.RdmRecording
    | SimulatedRecording,
    Field(discriminator="kind"),
]


def read_recording(
    spec: FileRecording,
    stimulus_ids: np.ndarray,
    columns: Mapping[str, np.ndarray] | None = None,
    groups: str | None = None,
) -> Recording:
    """Read a recording into the canonical form.

    Parameters
    ----------
    spec
        An entry of ``recordings:``.
    stimulus_ids
        Sorted ids of the stimulus set that the entry names.
    columns
        Further columns of the stimulus set, in the same order, to be kept with the recording.
    groups
        The column that says which stimuli belong together.

    Raises
    ------
    RepbiasError
        If a file is damaged, or does not match the entry; names the file.
    """
    with readable(spec.path, f"a recording of kind {spec.kind!r}"):
        recording = READERS[spec.kind](spec, stimulus_ids)
        for columns_of in (recording.stimuli, recording.trials, recording.units):
            for values in columns_of.values():
                if np.asarray(values).dtype.kind in "UO":
                    "".join(np.asarray(values).astype(str).flat).encode()  # HDF5's text is UTF-8
    if left_out := spec.left_out():
        folder = spec.path if spec.path.is_dir() else Path()
        recording.info["files_left_out"] = [
            (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()
            for file in left_out
        ]
    excluded = np.isin(stimulus_ids, recording.info["excluded_ids"])
    recording.info["stimuli_in_set"] = int((~excluded).sum())
    rows = np.searchsorted(stimulus_ids, recording.stimulus_ids)
    for name, values in (columns or {}).items():
        recording.stimuli.setdefault(name, values[rows])
    if groups is not None:
        name_groups(recording, groups, spec.stimuli)
    if spec.analyse_subjects is not None:
        recording = choose_subjects(recording, spec.analyse_subjects, str(spec.path))
    if spec.analyse_regions is not None:
        recording = choose_regions(recording, spec.analyse_regions, str(spec.path))
    return recording
