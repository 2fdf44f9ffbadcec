"""Write recordings of EEG as labs have them: with the field's own libraries where they write."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pybv
import scipy.io
from eeglabio.utils import export_mne_epochs, export_mne_raw

SFREQ = 250.0
CHANNELS = ["Fz", "Cz", "Pz"]
#: Onsets, in samples, and names of markers.
EVENTS = [(300 + 200 * i, f"image{i % 4}") for i in range(12)]


def recording(
    events=EVENTS, n_samples=3000, channels=CHANNELS, seed=0, durations=0.0
) -> mne.io.RawArray:
    """Return EEG in whole microvolts, which every format holds exactly, with annotations."""
    info = mne.create_info(channels, SFREQ, "eeg")
    microvolts = np.random.default_rng(seed).integers(-99, 100, (len(channels), n_samples))
    raw = mne.io.RawArray(microvolts * 1e-6, info, verbose="ERROR")
    raw.set_meas_date(datetime(2024, 1, 1, tzinfo=UTC))
    onsets = [sample / SFREQ for sample, _ in events]
    names = [name for _, name in events]
    raw.set_annotations(mne.Annotations(onsets, durations, names, raw.info["meas_date"]))
    return raw


def samples_and_names(raw: mne.io.BaseRaw) -> list[tuple[int, str]]:
    onsets = np.round((raw.annotations.onset - raw.first_time) * raw.info["sfreq"]).astype(int)
    return list(zip(onsets.tolist(), raw.annotations.description.tolist(), strict=True))


def fif(path: Path, raw: mne.io.BaseRaw) -> None:
    raw.save(path, fmt="double", overwrite=True, verbose="ERROR")


def eeglab(path: Path, raw: mne.io.BaseRaw) -> None:
    export_mne_raw(raw.copy(), path)


def eeglab_73(path: Path, raw: mne.io.BaseRaw) -> None:
    export_mne_raw(raw.copy(), path, fmt="v7.3")


def eeglab_fdt(path: Path, raw: mne.io.BaseRaw) -> None:
    """As EEGLAB saves by default: a structure, and single-precision signals beside it."""
    events = samples_and_names(raw)
    event = structure([{"type": name, "latency": sample + 1.0} for sample, name in events])
    eeglab_structure(path, raw.get_data(), raw.ch_names, event, trials=1, xmin=0.0)


def eeglab_structure(path, data, channels, event, trials, xmin, **fields) -> None:
    """Write the structure `EEG`, and signals (channel, time[, epoch]) in volts beside it."""
    (data * 1e6).astype("<f4").ravel(order="F").tofile(path.with_suffix(".fdt"))
    eeg = {
        "setname": "made",
        "nbchan": float(data.shape[0]),
        "pnts": float(data.shape[1]),
        "trials": float(trials),
        "srate": SFREQ,
        "xmin": xmin,
        "xmax": xmin + (data.shape[1] - 1) / SFREQ,
        "chanlocs": structure([{"labels": name} for name in channels]),
        "event": event,
        "epoch": [],
        "data": path.with_suffix(".fdt").name,
        "icawinv": [],
        "icasphere": [],
        "icaweights": [],
    }
    scipy.io.savemat(path, {"EEG": eeg | fields}, appendmat=False)


def structure(rows: list[dict]) -> np.ndarray:
    """Return an array of structures of MATLAB."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        array[0, i] = tuple(row.values())
    return array


def eeglab_epochs(path: Path, epochs: mne.BaseEpochs) -> None:
    export_mne_epochs(epochs.copy(), path)


def brainvision(path: Path, raw: mne.io.BaseRaw, events: list[dict] | None = None) -> None:
    """Write comments, which may be any text, or the events of pybv."""
    if events is None:
        events = [
            {"onset": sample, "description": name, "type": "Comment"}
            for sample, name in samples_and_names(raw)
        ]
    pybv.write_brainvision(
        data=raw.get_data(),
        sfreq=raw.info["sfreq"],
        ch_names=raw.ch_names,
        fname_base=path.stem,
        folder_out=path.parent,
        overwrite=True,
        events=events,
        resolution=1.0,
        meas_date=raw.info["meas_date"].replace(tzinfo=None),
    )


def edf(path: Path, raw: mne.io.BaseRaw) -> None:
    """EDF+ (or BDF+, by the suffix), after https://www.edfplus.info/specs/edfplus.html."""
    bdf = path.suffix == ".bdf"
    width, kind = (3, "BDF") if bdf else (2, "EDF")
    data = np.round(raw.get_data() * 1e6).astype(int)
    per_record = int(raw.info["sfreq"])  # records of a second
    records = data.shape[1] // per_record
    tal_samples = 60
    of_record = _annotation_lists(samples_and_names(raw), records, tal_samples * width)
    labels = [*raw.ch_names, f"{kind} Annotations"]
    low, high = (-(2**23), 2**23 - 1) if bdf else (-32768, 32767)
    signals = [
        labels,
        [""] * len(labels),
        ["uV"] * len(data) + [""],
        [low] * len(data) + [-1],  # physical and digital values are the same
        [high] * len(data) + [1],
        [low] * len(labels),
        [high] * len(labels),
        [""] * len(labels),
        [per_record] * len(data) + [tal_samples],
        [""] * len(labels),
    ]
    head = f"{'X X X X':<80}{'Startdate 01-JAN-2024 X X X':<80}01.01.2400.00.00"
    head += f"{256 * (len(labels) + 1):<8}{kind + '+C':<44}{records:<8}{1:<8}{len(labels):<4}"
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    head += "".join(f"{v:<{n}}" for n, values in zip(widths, signals, strict=True) for v in values)
    with path.open("wb") as file:
        file.write((b"\xffBIOSEMI" if bdf else b"0       ") + head.encode("ascii"))
        for record in range(records):
            of_channels = data[:, record * per_record : (record + 1) * per_record]
            for values in of_channels.astype("<i4"):
                file.write(values.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
            file.write(of_record[record])


def _annotation_lists(events: list, records: int, n_bytes: int) -> list[bytes]:
    """Return the annotations of every record: +onset, byte 20, text, byte 20, byte 0."""
    lists = []
    for record in range(records):
        text = f"+{record}\x14\x14\x00"
        for sample, name in events:
            if record <= sample / SFREQ < record + 1:
                text += f"+{sample / SFREQ:.6f}\x14{name}\x14\x00"
        lists.append(text.encode().ljust(n_bytes, b"\0"))
        assert len(lists[-1]) == n_bytes
    return lists


#: Name of a file to the function that writes a continuous recording to it.
CONTINUOUS = {
    "eeg.set": eeglab,
    "v73.set": eeglab_73,
    "beside.set": eeglab_fdt,
    "eeg.vhdr": brainvision,
    "eeg_raw.fif": fif,
    "eeg.edf": edf,
    "eeg.bdf": edf,
}
