"""Responses or RDMs in HDF5 files written by rsatoolbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.io.hdf5 import text_of
from repbias.io.recordings import Recording
from repbias.io.untrusted import open_hdf5, readable, refuse_links
from repbias.recordings.readers.common import (
    RawResponses,
    WithTrials,
    canonical,
)
from repbias.recordings.readers.files import (
    count_left_out,
    plain,
    plain_columns,
    select_trials,
    trials_left_out,
)
from repbias.recordings.readers.rdms import canonical_rdms
from repbias.recordings.spec import Preparation


class RsatoolboxRecording(WithTrials):
    """HDF5 files of rsatoolbox: a `Dataset`, a `TemporalDataset` or `RDMs`.

    Descriptors with one number or text per observation, channel or RDM are kept. Pickled files are
    refused, as loading one runs the code in it.
    """

    kind: Literal["rsatoolbox"]
    """File saved by rsatoolbox."""
    stimulus: str
    """Descriptor of the observations (for RDMs: of the patterns) with the stimulus id."""
    unit: str | None = None
    """Channel descriptor with the names of units; by default they are numbered."""
    subject_descriptor: str = "subject"
    """Descriptor of the channels, the RDMs or the whole file with the name of the subject; may be
    absent. For RDMs of several unnamed subjects use `index`."""
    region_descriptor: str = "region"
    """Descriptor of the channels, the RDMs or the whole file with the brain region; may be
    absent."""
    session_descriptor: str = "session"
    """Descriptor of the observations or RDMs with the session; may be absent."""
    subject: str = Field("subject1", min_length=1)
    """Name of the subject, if there is no such descriptor."""
    region: str = ""
    """Brain region, if there is no such descriptor."""
    time_unit: Literal["s", "ms"] = "s"
    """Unit of the descriptor `time` of a `TemporalDataset`: seconds or milliseconds."""

    def named(self, key: str, *places: Mapping[str, Any]) -> Any:
        """Return the descriptor that a setting names, from the first mapping that has it.

        Raises
        ------
        RepbiasError
            If none has it, unless the setting has its default.
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
        If the file was not written by rsatoolbox, or a descriptor is missing or does not fit.
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
            # With a Path, or without the type and with another suffix, it fails or unpickles.
            content = (load_rdm if is_rdms else load_dataset)(str(spec.path), file_type="hdf5")
            for place in ("rdm_descriptors", "pattern_descriptors") if is_rdms else ():
                escaped = {name: c for name, c in file[place].items() if "encoding" in c.attrs}
                getattr(content, place).update({name: text_of(c) for name, c in escaped.items()})
    return (_rdms if is_rdms else _dataset)(spec, content, stimulus_ids)


def _dataset(spec: RsatoolboxRecording, data: Any, known: np.ndarray) -> Recording:
    if np.asarray(data.measurements).dtype.kind not in "fiub":
        raise RepbiasError(f"{spec.path}: the measurements are not numbers")
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
    sessions = {} if session is None else {"session": plain(session)}
    columns = plain_columns(data.obs_descriptors | sessions)
    stimulus = _names(spec, spec.named("stimulus", data.obs_descriptors), "observation")
    selected = select_trials(spec, spec.path, columns, len(stimulus))
    raw = RawResponses(
        stimulus=stimulus[selected],
        responses=data.measurements if selected.all() else data.measurements[selected],
        trials={name: values[selected] for name, values in columns.items()},
        units={
            **plain_columns(channels),
            "unit": np.array(names),
            "subject": subject,
            "region": _texts(spec, "region", (channels, whole), n_units),
        },
        info=times | trials_left_out(spec, count_left_out(selected, stimulus)),
    )
    return canonical(spec, known, raw)


def _rdms(spec: RsatoolboxRecording, rdms: Any, known: np.ndarray) -> Recording:
    unused = set(Preparation.model_fields) | {"unit", "time_unit", "trials_where"}
    inapplicable = sorted(unused & spec.given())
    if inapplicable:
        raise RepbiasError(f"{spec.path}: holds RDMs, which have no {', '.join(inapplicable)}")
    places = (rdms.rdm_descriptors, rdms.descriptors)
    subject = _texts(spec, "subject", places, rdms.n_rdm)
    if rdms.n_rdm > 1 and spec.named("subject_descriptor", *places) is None:
        raise RepbiasError(
            f"{spec.path}: {rdms.n_rdm} RDMs and no descriptor {spec.subject_descriptor!r}; name "
            "the one that distinguishes subjects with 'subject_descriptor' "
            f"({nearest(spec.subject_descriptor, rdms.rdm_descriptors)})"
        )
    ids = _names(spec, spec.named("stimulus", rdms.pattern_descriptors), "pattern")
    rdm_info = {
        **plain_columns(rdms.rdm_descriptors),
        "subject": subject,
        "session": _sessions(spec, rdms, subject),
        "region": _texts(spec, "region", places, rdms.n_rdm),
    }
    dissimilarities = np.asarray(rdms.dissimilarities, dtype=np.float64)
    measure = str(rdms.dissimilarity_measure or "unknown")
    return canonical_rdms(spec, known, ids, dissimilarities, rdm_info, measure)


def _sessions(spec: RsatoolboxRecording, rdms: Any, subject: np.ndarray) -> np.ndarray:
    """Return the session of every RDM; by default they are counted within each subject."""
    import pandas as pd

    session = spec.named("session_descriptor", rdms.rdm_descriptors)
    if session is None:
        session = pd.Series(subject).groupby(subject).cumcount()
    sessions = plain(session)
    if sessions is None:
        raise RepbiasError(
            f"{spec.path}: the descriptor {spec.session_descriptor!r} is neither a number nor a "
            "text for every RDM; name another with 'session_descriptor'"
        )
    return sessions


def _names(spec: RsatoolboxRecording, values: Any, what: str) -> np.ndarray:
    """Return names as text; none may be missing."""
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
        raise RepbiasError(f"{spec.path}: the descriptor 'time' must be ascending numbers")
    return (time / (1000 if spec.time_unit == "ms" else 1)).tolist()
