"""Responses or RDMs in the HDF5 files that rsatoolbox writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, nearest
from repbias.io.arrays import refuse_links
from repbias.io.recordings import Recording
from repbias.io.untrusted import open_hdf5, readable
from repbias.recordings.readers.common import (
    ResponseRecording,
    as_ids,
    canonical,
    refuse_twice,
    renamed,
)
from repbias.recordings.readers.files import plain, plain_columns
from repbias.recordings.readers.rdms import pack
from repbias.recordings.spec import Preparation


class RsatoolboxRecording(ResponseRecording):
    """HDF5 files of rsatoolbox: a `Dataset`, a `TemporalDataset` or `RDMs`.

    Descriptors with one number or text for each observation, channel or RDM are kept. Pickled files
    are refused: loading one runs the code in it.
    """

    kind: Literal["rsatoolbox"]
    """File of rsatoolbox."""
    stimulus: str
    """Descriptor of the observations (in RDMs: of the patterns) with the stimulus's id."""
    unit: str | None = None
    """Descriptor of the channels with a name for each; they are numbered when left out."""
    subject_descriptor: str = "subject"
    """Descriptor of the channels, the RDMs or the whole file that says who was recorded; may be
    absent. RDMs of several subjects without names: `index`."""
    region_descriptor: str = "region"
    """The same for where was recorded."""
    session_descriptor: str = "session"
    """Descriptor of the observations or RDMs that says in which session; may be absent."""
    subject: str = Field("subject1", min_length=1)
    """Who was recorded, if no descriptor says it."""
    region: str = ""
    """Where was recorded, if no descriptor says it."""
    time_unit: Literal["s", "ms"] = "s"
    """Unit of the descriptor `time` of a `TemporalDataset`: seconds or milliseconds."""

    def named(self, key: str, *places: Mapping[str, Any]) -> Any:
        """Return the descriptor that a setting names, from the first place that has it.

        Raises
        ------
        RepbiasError
            If no place has it and the setting was given.
        """
        name = getattr(self, key)
        for place in places:
            if name in place:
                return place[name]
        if key in self.given():
            available = {name for place in places for name in place}
            raise RepbiasError(f"{self.path}: no descriptor {name!r}; {nearest(name, available)}")
        return None

    @model_validator(mode="after")
    def _no_pickle(self) -> RsatoolboxRecording:
        if self.path.suffix.lower() in (".pkl", ".pickle"):
            raise ValueError(
                f"{self.path}: pickled files are never loaded; save it with "
                "save(..., file_type='hdf5')"
            )
        return self


def read(spec: RsatoolboxRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read a dataset into trial rows, or RDMs.

    Raises
    ------
    RepbiasError
        If the file is not rsatoolbox's, or a descriptor is missing or does not fit.
    """
    import h5py
    from rsatoolbox.data import load_dataset
    from rsatoolbox.rdm import load_rdm

    with readable(spec.path, "a file of rsatoolbox"):
        if not h5py.is_hdf5(spec.path):
            raise RepbiasError(f"{spec.path}: not an HDF5 file (pickled files are never loaded)")
        with open_hdf5(spec.path) as file:
            refuse_links(spec.path, file)
            is_rdms = "dissimilarities" in file
            if not is_rdms and "measurements" not in file:
                raise RepbiasError(
                    f"{spec.path}: neither a dataset nor RDMs of rsatoolbox; the file holds "
                    f"{', '.join(file) or 'nothing'}"
                )
        # A text and the type are needed: by another ending, or given a Path, it fails or unpickles.
        content = (load_rdm if is_rdms else load_dataset)(str(spec.path), file_type="hdf5")
    return (_rdms if is_rdms else _dataset)(spec, content, stimulus_ids)


def _dataset(spec: RsatoolboxRecording, data: Any, known: np.ndarray) -> Recording:
    if np.asarray(data.measurements).dtype.kind not in "fiub":
        raise RepbiasError(f"{spec.path}: the measurements are no numbers")
    times = {}
    if data.measurements.ndim == 3:
        times = {"times_s": _times(spec, data.time_descriptors.get("time"))}
    elif spec.window:
        raise RepbiasError(f"{spec.path}: window needs a TemporalDataset, which has times")
    n_units = data.n_channel
    channels, whole = data.channel_descriptors, data.descriptors
    unit = spec.named("unit", channels) if spec.unit else None
    if unit is None:
        width = len(str(n_units))
        unit = [f"{i + 1:0{width}d}" for i in range(n_units)]
    subject = _texts(spec, "subject", (channels, whole), n_units)
    names = _names(spec, unit, "channel")
    if len(set(subject)) > 1:
        names = [f"{who}/{name}" for who, name in zip(subject, names, strict=True)]
    session = spec.named("session_descriptor", data.obs_descriptors)
    return canonical(
        spec,
        known,
        _names(spec, spec.named("stimulus", data.obs_descriptors), "observation"),
        data.measurements,
        plain_columns(
            data.obs_descriptors | ({} if session is None else {"session": plain(session)})
        ),
        plain_columns(channels)
        | {
            "unit": np.array(names),
            "subject": subject,
            "region": _texts(spec, "region", (channels, whole), n_units),
        },
        times,
    )


def _rdms(spec: RsatoolboxRecording, rdms: Any, known: np.ndarray) -> Recording:
    import pandas as pd

    unused = set(Preparation.model_fields) | {"unit", "time_unit"}
    given = sorted(unused & spec.given())
    if given:
        raise RepbiasError(f"{spec.path}: holds RDMs, which have no {', '.join(given)}")
    places = (rdms.rdm_descriptors, rdms.descriptors)
    subject = _texts(spec, "subject", places, rdms.n_rdm)
    if rdms.n_rdm > 1 and spec.named("subject_descriptor", *places) is None:
        raise RepbiasError(
            f"{spec.path}: {rdms.n_rdm} RDMs and no descriptor {spec.subject_descriptor!r}; name "
            "the one that tells subjects apart with 'subject_descriptor' "
            f"({nearest(spec.subject_descriptor, rdms.rdm_descriptors)})"
        )
    session = spec.named("session_descriptor", rdms.rdm_descriptors)
    if session is None:  # counted within each subject
        session = pd.Series(subject).groupby(subject).cumcount()
    sessions = plain(session)
    if sessions is None:
        raise RepbiasError(
            f"{spec.path}: the descriptor {spec.session_descriptor!r} is neither a number nor a "
            "text for every RDM; name another with 'session_descriptor'"
        )
    ids = _names(spec, spec.named("stimulus", rdms.pattern_descriptors), "pattern")
    ids = renamed(spec, ids)
    refuse_twice(ids, f"{spec.path}: {spec.stimulus}")
    return pack(
        spec,
        known,
        ids,
        np.asarray(rdms.dissimilarities, dtype=np.float64),
        plain_columns(rdms.rdm_descriptors)
        | {
            "subject": subject,
            "session": sessions,
            "region": _texts(spec, "region", places, rdms.n_rdm),
        },
        str(rdms.dissimilarity_measure or "unknown"),
    )


def _names(spec: RsatoolboxRecording, values: Any, what: str) -> np.ndarray:
    """Return names as text; each must be there."""
    import pandas as pd

    values = np.asarray(values)
    if values.ndim != 1:
        raise RepbiasError(
            f"{spec.path}: expected one name for each {what}, found shape {values.shape}"
        )
    missing = np.flatnonzero(pd.isna(values))
    if len(missing):
        raise RepbiasError(f"{spec.path}: {what} {missing[0] + 1} of {len(values)} has no name")
    return as_ids(values)


def _texts(
    spec: RsatoolboxRecording, key: str, places: tuple[Mapping[str, Any], ...], n: int
) -> np.ndarray:
    """Return the subject or region of each of n units or RDMs."""
    found = spec.named(f"{key}_descriptor", *places)
    if found is None:
        return np.full(n, getattr(spec, key))
    values = as_ids(np.atleast_1d(found))
    if len(values) not in (1, n):
        raise RepbiasError(f"{spec.path}: {len(values)} entries of {key}, expected 1 or {n}")
    return np.full(n, values[0]) if len(values) == 1 else values


def _times(spec: RsatoolboxRecording, time: Any) -> list[float]:
    time = np.asarray(time)
    if time.dtype.kind not in "fiu" or not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise RepbiasError(f"{spec.path}: the descriptor 'time' must be numbers that ascend")
    return (time / (1000 if spec.time_unit == "ms" else 1)).tolist()
