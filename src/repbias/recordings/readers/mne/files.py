"""Open recordings of MEG and EEG with MNE, after checks of what MNE would trust."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.text_tables import find_column, is_missing, read_table
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import import_optional, warn_of_version
from repbias.recordings.readers.mne.eeglab import check_eeglab, header_of
from repbias.recordings.readers.mne.parts import FOLDERS

FIF = (".fif", ".fif.gz")
#: Bytes of a number in the signals of BrainVision.
_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
#: Endings of recordings that tests write and read.
TESTED = (*FIF, ".set", ".vhdr", ".edf", ".bdf")
#: Endings of further recordings, which MNE reads by the same function.
UNTESTED = (".gdf", ".cnt", ".con", ".sqd", *FOLDERS)
#: Types of channels in BIDS, in capitals, to those of MNE; all others are "misc". The types of MEG
#: channels are in the recordings themselves.
_TYPES = {
    **{name: name.lower() for name in ("EEG", "EOG", "ECG", "EMG", "SEEG", "ECOG", "DBS", "MISC")},
    **dict.fromkeys(("HEOG", "VEOG"), "eog"),
    "TRIG": "stim",
}


def open_file(path: Path) -> Any:
    """Open a recording of MEG or EEG, without reading its signals where MNE can put that off.

    Returns
    -------
    mne.io.BaseRaw or mne.BaseEpochs
        A continuous recording, or epochs.

    Raises
    ------
    RepbiasError
        If MNE-Python is missing, or the file is damaged, too large, of an unknown kind, or refers
        to files in other folders.
    """
    mne = import_optional("mne", "MEG and EEG", "mne")
    ending = next((e for e in (*FIF, path.suffix.lower()) if path.name.lower().endswith(e)), "")
    if ending not in (*TESTED, *UNTESTED):
        raise RepbiasError(
            f"{path}: unknown kind of recording {ending!r}; expected one of "
            f"{', '.join((*TESTED, *UNTESTED))}"
        )
    with readable(path, f"a recording ({ending[1:]})"):
        if ending in FIF:
            opened = _open_fif(path)
        elif ending == ".set":
            opened = _open_eeglab(path)
        else:
            if ending == ".vhdr":
                _check_brainvision(path)
            opened = mne.io.read_raw(path, preload=False, verbose="ERROR")
        if isinstance(opened, mne.io.BaseRaw):
            # What MNE computes of all samples to find events: their times, codes and changes.
            refuse_size(path, "the times of its samples", (opened.n_times, 4), 8)
    return opened


def _open_fif(path: Path) -> Any:
    """Open a FIF file, which may be split over several files of the same folder."""
    import mne
    from mne._fiff.constants import FIFF
    from mne._fiff.open import _get_next_fname, fiff_open
    from mne._fiff.tree import dir_tree_find

    def holds(tree: Any, *blocks: int) -> bool:
        return any(dir_tree_find(tree, block) for block in blocks)

    # Like MNE, look for further parts beside a symbolic link, not beside its target.
    part, seen, trees = path.absolute(), set(), []
    while part is not None:
        seen.add(part)
        _check_tags(part)
        file, tree, _ = fiff_open(part, verbose="ERROR")
        with file:
            trees.append(tree)
            following = _get_next_fname(file, part, tree)
        # MNE itself would follow any path that the file names, and loop for ever.
        if following is not None and (following.parent != part.parent or following in seen):
            raise RepbiasError(
                f"{path}: continues in {str(following)!r}, expected another file of its folder"
            )
        part = following
    before_0_11 = 122  # the block of epochs of early versions of MNE
    if holds(trees[0], FIFF.FIFFB_MNE_EPOCHS, before_0_11):
        return mne.read_epochs(path, preload=False, verbose="ERROR")
    if holds(trees[0], FIFF.FIFFB_EVOKED):
        raise RepbiasError(f"{path}: holds averages over trials (evoked); expected single trials")
    return mne.io.read_raw_fif(path, preload=False, verbose="ERROR")


def _check_tags(path: Path) -> None:
    """Refuse a FIF file whose tags are not in ascending order, or do not fit into memory.

    A tag has a header of four big-endian int32: kind, type, size of its data, and the position of
    the next tag (0: directly behind, -1: none). MNE would follow a tag that leads back for ever.
    """
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    at, next_at = 0, 0
    with opened(path, "rb") as file:
        while header := file.read(16):
            if len(header) < 16:
                raise ValueError(f"ends in the middle of a tag, at byte {at}")
            _, _, size, next_at = struct.unpack(">4i", header)
            if size < 0 or not (next_at in (-1, 0) or next_at >= at + 16 + size):
                raise ValueError(f"the tag at byte {at} leads to byte {next_at}")
            if next_at == -1:
                return
            start, at = at, next_at or at + 16 + size
            refuse_size(path, "the file", (at,))
            file.seek(at - 1)
            if not file.read(1):
                raise ValueError(f"ends in the middle of the tag that begins at byte {start}")


def _open_eeglab(path: Path) -> Any:
    import mne

    check_eeglab(path)
    header = header_of(path)
    if int(header.get("trials", 1)) < 2:
        return mne.io.read_raw_eeglab(path, preload=False, verbose="ERROR")
    # Our own reading of its events knows which one an epoch is locked to.
    n_trials, n_samples = int(header["trials"]), int(header["pnts"])
    refuse_size(path, "the epochs", (n_trials, int(header["nbchan"]), n_samples), 8)
    events = np.array([[trial * n_samples, 0, 1] for trial in range(n_trials)])
    return mne.read_epochs_eeglab(path, events=events, event_id={"epoch": 1}, verbose="ERROR")


def _check_brainvision(path: Path) -> None:
    """Refuse a header that names files in other folders, or none, or signals that are cut off."""
    from mne.io.brainvision.brainvision import _aux_hdr_info

    _, content, section, *_ = _aux_hdr_info(str(path))
    for key in ("DataFile", "MarkerFile"):
        name = content.get(section, key, fallback="")
        if Path(name).name != name:
            raise RepbiasError(f"{path}: {key} is {name!r}, expected a file of its folder")
    with path.open("rb") as file:
        version = re.search(rb"Version (\d[\d.]*)", file.readline(200))
    if version and version[1] not in (b"1.0", b"2.0"):
        warn_of_version(path, "BrainVision", version[1].decode(), "2.0")
    data = path.with_name(content.get(section, "DataFile"))
    if not data.is_file():
        raise RepbiasError(
            f"{path}: DataFile is {data.name!r}, which is not in its folder; if the files were "
            "renamed, write their names into it, as DataFile and MarkerFile"
        )
    n_bytes = _BYTES.get(content.get("Binary Infos", "BinaryFormat", fallback=""))
    n_channels = content.getint(section, "NumberOfChannels")
    with readable(data, f"signals of {path.name}"):
        if n_bytes and (rest := data.stat().st_size % (n_channels * n_bytes)):
            raise ValueError(
                f"{rest} bytes at the end are no sample of {n_channels} channels, {n_bytes} bytes "
                "each"
            )


def apply_channels(path: Path, recording: Any) -> None:
    """Set the types of channels, and mark bad ones, as a BIDS table says.

    Parameters
    ----------
    path
        The table, with columns `name`, `type` (in BIDS's terms) and `status`.
    recording
        Epochs or a continuous recording; changed in place.

    Raises
    ------
    RepbiasError
        If the table lacks the column of names, or names no channel of the recording.
    """
    table = read_table(path)
    table = table.set_index(find_column(path, table, "name"))
    table = table[table.index.isin(recording.ch_names)]
    if not len(table):
        raise RepbiasError(f"{path}: names no channel of the recording")
    if "type" in table:
        stated = table["type"][~is_missing(table["type"])].str.upper()
        stated = stated[~stated.str.startswith("MEG")]
        found = dict(zip(recording.ch_names, recording.get_channel_types(), strict=True))
        types = {name: _TYPES.get(kind, "misc") for name, kind in stated.items()}
        changed = {name: kind for name, kind in types.items() if found[name] != kind}
        if changed:
            recording.set_channel_types(changed, on_unit_change="ignore", verbose="ERROR")
    if "status" in table:
        bad = table.index[table["status"].str.lower() == "bad"]
        recording.info["bads"] = list(dict.fromkeys([*recording.info["bads"], *bad]))
