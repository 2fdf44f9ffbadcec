"""One module per kind of recording; each has its configuration model and a ``read`` function.

To add a reader, write a module with a `Spec` subclass that has a literal `kind`, and a function
``read(spec, stimulus_ids) -> Recording``; then enter it in :data:`READERS`. Heavy libraries are
imported inside ``read``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from repbias.recordings.readers import array, rdms
from repbias.recordings.simulate import SimulatedRecording
from repbias.store import Recording

#: Reads a recording of a kind: (its configuration, sorted ids of its stimulus set).
READERS: dict[str, Callable[..., Recording]] = {
    "array": array.read,
    "rdms": rdms.read,
}

#: One entry of ``recordings:``.
RecordingSpec = Annotated[
    array.ArrayRecording | rdms.RdmRecording | SimulatedRecording, Field(discriminator="kind")
]


def read_recording(
    spec: array.ArrayRecording | rdms.RdmRecording, stimulus_ids: np.ndarray
) -> Recording:
    """Read a recording into the canonical form.

    Parameters
    ----------
    spec
        An entry of ``recordings:``.
    stimulus_ids
        Sorted ids of the stimulus set that the entry names.
    """
    return READERS[spec.kind](spec, stimulus_ids)
