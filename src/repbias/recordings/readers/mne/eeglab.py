"""What an EEGLAB file (`.set`, a MATLAB file) says of its recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.matlab import MAX_REFERENCES
from repbias.io.untrusted import open_hdf5, readable, refuse_crash, refuse_links
from repbias.recordings.readers.files import import_optional

if TYPE_CHECKING:
    import h5py

#: Arrays of signals, which are not needed to know what is in a file.
_SIGNALS = ("data", "icaact", "times")


def check_eeglab(path: Path) -> None:
    """Refuse a file that its libraries cannot read safely, or that refers to other folders.

    Raises
    ------
    RepbiasError
        If it crashes its library, has links or parts in other files, or its signals are in another
        folder.
    """
    import h5py

    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            refuse_links(path, file)
            _refuse_nested_references(path, file)
    else:
        refuse_crash(path, "matlab")


def _refuse_nested_references(path: Path, file: h5py.File) -> None:
    """Refuse references that lead in circles, or so often to others that no reader could end."""
    import h5py

    #: Address of a node to how many nodes are met below it; None as long as it is counted.
    counts: dict[int, int | None] = {}

    def count(node: h5py.HLObject) -> int:
        address = h5py.h5o.get_info(node.id).addr
        if address not in counts:
            counts[address] = None
            below: Iterable[h5py.HLObject] = ()
            if isinstance(node, h5py.Group):
                below = node.values()
            elif h5py.check_ref_dtype(node.dtype) is h5py.Reference and node.shape is not None:
                below = (file[reference] for reference in np.ravel(node[()]) if reference)
            counts[address] = 1 + sum(map(count, below))
        total = counts[address]
        if total is None or total > MAX_REFERENCES:
            raise RepbiasError(f"{path}: has references in circles, or over {MAX_REFERENCES}")
        return total

    count(file)


def header_of(path: Path) -> dict[str, Any]:
    """Return the fields of the structure `EEG` but its signals, of a file that was checked.

    Text is str, structures are dictionaries of values (one element) or lists (several).

    Raises
    ------
    RepbiasError
        If pymatreader is missing, or the signals are in another folder.
    """
    import h5py

    reader = import_optional("pymatreader", "EEGLAB files", "mne,matlab")
    variables = reader.whosmat(path)
    # Signals are a matrix, or else the name of the file that holds them.
    wanted = [name for name, _, kind in variables if name not in _SIGNALS or kind == "char"]
    # In the structure of a file of v7.3 they are not listed.
    ignored = _SIGNALS if h5py.is_hdf5(path) and not _names_signals(path) else ()
    content = reader.read_mat(path, variable_names=wanted, ignore_fields=list(ignored))
    if "ALLEEG" in content:
        raise RepbiasError(f"{path}: holds several data sets (ALLEEG); save each to its own file")
    header: dict[str, Any] = content.get("EEG", content)
    header = header.get("EEG", header)  # as MNE reads them
    if "srate" not in header or "chanlocs" not in header:
        raise ValueError("without the fields srate and chanlocs of a data set of EEGLAB")
    named = header.get("data")
    if isinstance(named, str) and Path(named).name != named:
        raise RepbiasError(f"{path}: its signals are in {named!r}, expected a file of its folder")
    if isinstance(named, str) and path.with_name(named).is_file():
        _refuse_short(path, path.with_name(named), header)
    return {k: v for k, v in header.items() if k not in _SIGNALS}


def _refuse_short(path: Path, signals: Path, header: Mapping[str, Any]) -> None:
    """Refuse a file of signals, in single precision, that ends too early."""
    with readable(signals, f"signals of {path.name}"):
        expected = 4 * prod(int(header.get(name, 1)) for name in ("nbchan", "pnts", "trials"))
        if (found := signals.stat().st_size) < expected:
            raise ValueError(f"{found} bytes, expected {expected}")


def _names_signals(path: Path) -> bool:
    """Whether a file of MATLAB v7.3 names the file that holds its signals."""

    def names(name: str, node: h5py.HLObject) -> bool | None:
        is_text = node.attrs.get("MATLAB_class") == b"char"
        return True if is_text and name.rpartition("/")[2] == "data" else None

    with open_hdf5(path) as file:
        return bool(file.visititems(names))


def events_of(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a header, each as a dictionary of its fields."""
    events = header.get("event", {})
    if isinstance(events, dict):
        if np.ndim(events.get("latency", [])) == 0:
            return [events]
        rows = zip(*events.values(), strict=True)
        return [dict(zip(events, row, strict=True)) for row in rows]
    return [event for event in events if isinstance(event, dict)]


def locked_events(path: Path, header: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the events that each epoch is locked to: those at its time 0, up to a sample.

    Parameters
    ----------
    path
        The file, for messages.
    header
        Its header; the latencies of its events count samples from 1, epochs one after another.

    Returns
    -------
    list
        One list per epoch of events, each a dictionary of the fields of `EEG.event`; the list is
        empty if nothing happened at time 0.
    """
    n_samples, zero = float(header["pnts"]), -float(header["xmin"]) * float(header["srate"])
    locked: list[list[dict[str, Any]]] = [[] for _ in range(int(header["trials"]))]
    for event in events_of(header):
        latency = float(event["latency"]) - 1
        epoch = int(event.get("epoch", latency // n_samples + 1)) - 1
        if not 0 <= epoch < len(locked):
            raise RepbiasError(f"{path}: an event is in epoch {epoch + 1} of {len(locked)}")
        if abs(latency - epoch * n_samples - zero) < 1:
            locked[epoch].append(event)
    return locked
