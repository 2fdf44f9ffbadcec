"""A small valid file of every format, and all functions that read it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import meeg
import mne
import numpy as np
import scipy.io
import yaml
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from repbias.base.spec import RepbiasError
from repbias.commands.description import name_of
from repbias.commands.inspect import describe
from repbias.io.activations import Activations, write_activations
from repbias.io.arrays import load_array
from repbias.io.networks import Networks
from repbias.io.recordings import Recording
from repbias.io.stimuli import Stimuli
from repbias.networks.model_arrays import ArrayNetwork, survey
from repbias.recordings.readers import RecordingSpec, read_recording
from repbias.recordings.readers.fmri.confounds import read_confounds
from repbias.recordings.readers.fmri.glm_settings import Confounds
from repbias.recordings.readers.fmri.scans import Scan
from repbias.stimuli.images import Images, open_images
from repbias.stimuli.spec import ImageSet

IDS = np.array(["a", "b", "c", "d", "e", "f"])
VALUES = np.random.default_rng(0).integers(0, 99, (6, 4)).astype(float)
ARRAY = {"kind": "array", "axes": ["stimulus", "unit"], "stimulus_ids": IDS.tolist()}
NAMED = ARRAY | {"variable": "x", "stimulus_ids": "variable:ids"}
NWB = {"kind": "nwb", "stimulus": "stim", "from_s": 0, "to_s": 0.5}
FMRI = {"kind": "fmri", "content": "betas"}
CUT = {"kind": "mne", "from_s": 0, "to_s": 0.1}
COMMENTS = np.array([f"Comment/{name}" for name in IDS])


@dataclass(frozen=True)
class Format:
    """How to write a file of a format, and all that reads it."""

    name: str
    write: Callable[[Path], None]
    entry: dict[str, Any] | None = None
    others: tuple[Callable[[Path], Any], ...] = ()

    def read(self, path: Path) -> list[Any]:
        """Return the results of all ways of reading the file."""
        found = [read(path) for read in self.others]
        if self.entry is not None:
            found.append(as_recording(self.entry, path))
        return found


def as_recording(entry: dict[str, Any], path: Path, known: np.ndarray = IDS) -> Recording:
    spec = TypeAdapter(RecordingSpec).validate_python(
        {"stimuli": "set", "path": str(path), **entry}
    )
    return read_recording(spec, known)


def inspected(path: Path) -> str:
    """Return the output of ``repbias inspect``; its block must be YAML."""
    found = describe(path)
    block = found.block(name_of(path))
    yaml.safe_load(block)
    return "\n".join([*found.lines, block])


def as_layers(path: Path) -> dict[str, Any]:
    """Read a file as a model that is already computed; of a configuration, errors are told so."""
    entry = {"kind": "array", "path": str(path), "stimuli": "set", "stimulus_ids": IDS.tolist()}
    try:
        spec = ArrayNetwork(**entry)
    except ValidationError as error:
        raise RepbiasError(error.errors()[0]["msg"]) from error
    return survey(spec, Images(IDS.tolist(), None))


def images(path: Path) -> list[Image.Image]:
    opened = open_images(ImageSet(path=path))
    return [opened.load(i) for i in range(len(opened))]


def picture(name: str = "PNG") -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, name)
    return buffer.getvalue()


def npz(path: Path) -> None:
    np.savez_compressed(path, x=VALUES, ids=IDS)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["ids"] = IDS.tolist()
        file.create_dataset("x", data=VALUES, chunks=(2, 2), compression="gzip")
        file["more/y"] = VALUES
        file["x"].attrs["what"] = "counts"


def mat5(path: Path, compressed: bool = False) -> None:
    content = {"x": VALUES, "ids": IDS.astype(object), "s": {"field": VALUES, "name": "text"}}
    scipy.io.savemat(path, content, do_compression=compressed)


def mat73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = VALUES.T
        file["x"].attrs["MATLAB_class"] = np.bytes_("double")
        for i, name in enumerate(IDS):
            file[f"#refs#/r{i}"] = np.array([[ord(name)]], np.uint16)
            file[f"#refs#/r{i}"].attrs["MATLAB_class"] = np.bytes_("char")
        references = np.array([file[f"#refs#/r{i}"].ref for i in range(len(IDS))], h5py.ref_dtype)
        file.create_dataset("ids", data=references[None], dtype=h5py.ref_dtype)
        file["ids"].attrs["MATLAB_class"] = np.bytes_("cell")


def meadows(path: Path) -> None:
    stimuli = [{"name": f"{name}.png"} for name in IDS]
    rdm = np.arange(1, 16.0).tolist()
    task = {"task": {"task_type": "multiarrange"}, "stimuli": stimuli, "rdm": rdm}
    path.write_text(json.dumps({"clever-flea": {"tasks": [task]}}))


def nwb(path: Path) -> None:
    import pynwb

    file = pynwb.NWBFile("d", "s", datetime(2024, 1, 1, tzinfo=UTC), session_id="one")
    file.add_trial_column("stim", "what was shown")
    for i, name in enumerate(IDS):
        file.add_trial(start_time=float(i), stop_time=i + 0.5, stim=str(name))
    for unit in range(3):
        file.add_unit(spike_times=np.arange(0, 6, 0.3 + 0.1 * unit))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "w") as to:
            to.write(file, cache_spec=False)


def netcdf(path: Path, engine: str = "h5netcdf") -> None:
    import xarray

    coordinates = {
        "stimulus_id": ("presentation", IDS.tolist()),
        "neuroid_id": ("neuroid", ["1", "2", "3", "4"]),
    }
    dims = ["presentation", "neuroid"]
    xarray.DataArray(VALUES, coordinates, dims, "x").to_netcdf(path, engine=engine)


def fif(path: Path) -> None:
    info = mne.create_info(["A", "B"], 100.0, "eeg")
    events = np.array([[i, 0, i % 6 + 1] for i in range(12)])
    codes = {str(name): i + 1 for i, name in enumerate(IDS)}
    data = np.random.default_rng(0).normal(size=(12, 2, 5))
    epochs = mne.EpochsArray(data, info, events, event_id=codes, verbose="ERROR")
    epochs.save(path, overwrite=True, verbose="ERROR")


def continuous(path: Path) -> None:
    """Write a continuous recording in which every stimulus was shown once."""
    events = [(100 + 100 * i, str(name)) for i, name in enumerate(IDS)]
    write = {"v73.set": meeg.eeglab_73, ".set": meeg.eeglab, ".vhdr": meeg.brainvision}
    write |= {".edf": meeg.edf, ".bdf": meeg.edf, ".fif": meeg.fif}
    write.get(path.name, write.get(path.suffix))(path, meeg.recording(events, 1000))


def eeglab_epochs(path: Path) -> None:
    fif(path.with_suffix(".fif"))
    meeg.eeglab_epochs(path, mne.read_epochs(path.with_suffix(".fif"), verbose="ERROR"))
    path.with_suffix(".fif").unlink()


def parts_of_brainvision(path: Path) -> Path:
    """Write what is missing beside a header or a file of markers; return the header."""
    (path.parent / "whole").mkdir(exist_ok=True)
    continuous(path.parent / "whole/x.vhdr")
    for part in (path.parent / "whole").iterdir():
        if part.name != path.name:
            part.replace(path.parent / part.name)
    return path.with_suffix(".vhdr")


def markers(path: Path) -> None:
    parts_of_brainvision(path)
    (path.parent / "whole/x.vmrk").replace(path)


def read_brainvision(path: Path) -> Recording:
    return as_recording(CUT, parts_of_brainvision(path), COMMENTS)


def inspect_brainvision(path: Path) -> str:
    return inspected(parts_of_brainvision(path))


def nifti(path: Path) -> None:
    import nibabel

    volumes = np.random.default_rng(0).integers(0, 99, (3, 2, 2, 6)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volumes, np.eye(4)), path)


def read_nifti(path: Path) -> Recording:
    events = path.parent / "labels.tsv"
    events.write_text("stimulus\n" + "\n".join(IDS))
    return as_recording(FMRI | {"events": str(events)}, path)


def fmriprep(path: Path) -> None:
    path.write_text(json.dumps({"GeneratedBy": [{"Name": "fMRIPrep", "Version": "23.2.1"}]}))


def confounds(path: Path) -> None:
    rows = ["csf\tnon_steady_state_outlier00", *(f"{i}\t{int(i == 0)}" for i in range(6))]
    path.write_text("\n".join(rows))


def read_table_of_confounds(path: Path) -> Any:
    return read_confounds(Confounds(columns=["csf"]), Scan(path, {"confounds": path}, {}), 6)


def nsd(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=np.ones((6, 2, 2, 3)), chunks=(6, 1, 1, 1))


def read_nsd(path: Path) -> Recording:
    events = path.parent / "labels.tsv"
    events.write_text("stimulus\n" + "\n".join(IDS))
    axes = ["trial", "z", "y", "x"]
    return as_recording(FMRI | {"axes": axes, "variable": "betas", "events": str(events)}, path)


def gifti(path: Path) -> None:
    from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    image = GiftiImage(meta=GiftiMetaData(AnatomicalStructurePrimary="CortexLeft"))
    for name, values in zip(IDS, VALUES, strict=True):
        meta = GiftiMetaData(Name=name)
        image.add_gifti_data_array(GiftiDataArray(values.astype(np.float32), meta=meta))
    image.to_filename(path)


def cifti(path: Path) -> None:
    import nibabel
    from nibabel.cifti2 import BrainModelAxis, ScalarAxis

    places = BrainModelAxis.from_surface(np.arange(4), 5, "CIFTI_STRUCTURE_CORTEX_LEFT")
    header = (ScalarAxis(IDS.tolist()), places)
    nibabel.save(nibabel.Cifti2Image(VALUES.astype(np.float32), header=header), path)


def long_table(path: Path) -> None:
    separator = "," if path.suffix == ".csv" else "\t"
    rows = [("stimulus", "unit", "response")]
    rows += [(s, f"u{u}", VALUES[i, u]) for i, s in enumerate(IDS) for u in range(4)]
    path.write_text("\n".join(separator.join(map(str, row)) for row in rows))


def features_table(path: Path) -> None:
    rows = [",".join(map(str, row)) for row in VALUES]
    path.write_text("\n".join(["a,b,c,d", *rows]))


def rsatoolbox_dataset(path: Path) -> None:
    from rsatoolbox.data import Dataset

    data = Dataset(VALUES, obs_descriptors={"stimulus": IDS.tolist()})
    data.save(str(path), file_type="hdf5")


def rsatoolbox_rdms(path: Path) -> None:
    from rsatoolbox.rdm import RDMs

    rdms = RDMs(np.arange(1, 16.0)[None], pattern_descriptors={"stimulus": IDS.tolist()})
    rdms.save(str(path), file_type="hdf5")


def our_recording(path: Path) -> None:
    Recording(
        {"stimulus_id": IDS},
        VALUES,
        {"stimulus_id": IDS, "repeat": np.zeros(6, int)},
        {"unit": IDS[:4], "subject": IDS[:4], "region": IDS[:4]},
        info={"file": "x.npy"},
    ).write(path)


def our_stimuli(path: Path) -> None:
    labels = np.zeros((6, 1), np.uint8)
    Stimuli(
        VALUES.astype(np.float32),
        IDS,
        np.array(["train"] * 6),
        ["easy"],
        labels,
        [],
        labels,
        labels == 0,
    ).write(path)


def our_networks(path: Path) -> None:
    Networks(
        np.arange(2),
        ["easy"],
        ["easy"],
        np.ones(2, bool),
        np.ones((2, 1)),
        np.ones((2, 1), int),
        {"step": np.arange(3)},
        np.array(["final"]),
        np.ones((1, 2), int),
        {"w1": np.zeros((1, 2, 3), np.float32)},
    ).write(path)


def our_activations(path: Path) -> None:
    table = {"network": ["s"], "seed": [0], "snapshot": ["final"], "step": [0], "included": [True]}
    with write_activations(path, IDS, table, {"h": 4}) as layers:
        layers["h"][0] = VALUES


def read_activations(path: Path) -> np.ndarray:
    opened = Activations.open(path)
    return opened.read(opened.layers[0], 0)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", picture())
        archive.writestr("b.png", picture())


def tarred(path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(picture())
        archive.addfile(member, io.BytesIO(picture()))


def image_file(path: Path) -> None:
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(path.suffix[1:], path.suffix[1:].upper())
    path.write_bytes(picture(kind))


def read_folder(path: Path) -> list[Image.Image]:
    return images(path.parent)


def put_gzipped(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def trials_beside(path: Path) -> dict[str, Any]:
    """Write a table of trials beside a recording; return the settings that read it."""
    table = path.parent / "trials.csv"
    table.write_text("\n".join(["stim,at", *(f"{name},{i}.5" for i, name in enumerate(IDS))]))
    times = {"align": "at", "from_s": 0, "to_s": 0.5}
    return {"trials": str(table), "stimulus": "stim", **times}


def phy(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / "spike_times.npy", np.arange(0, 7000, 50).astype(np.uint64))
    np.save(folder / "spike_clusters.npy", np.arange(140).astype(np.int32) % 3)
    (folder / "params.py").write_text("n_channels_dat = 4\nsample_rate = 1000.\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tmua\n2\tgood\n")


def suite2p(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("F", "Fneu"):
        np.save(folder / f"{name}.npy", np.arange(280, dtype=np.float32).reshape(4, 70))
    np.save(folder / "iscell.npy", np.ones((4, 2)))


def caiman(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["estimates/C"] = np.arange(280.0).reshape(4, 70)
        file["estimates/F_dff"] = "NoneType"
        file["estimates/idx_components"] = np.array([0, 2])
        file["params/data/fr"] = 10.0


def nwb_zarr(folder: Path) -> None:
    import pynwb
    from hdmf_zarr.nwb import NWBZarrIO

    file = pynwb.NWBFile("d", "s", datetime(2024, 1, 1, tzinfo=UTC), session_id="one")
    for unit in range(3):
        file.add_unit(spike_times=np.arange(0, 7, 0.3 + 0.1 * unit))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBZarrIO(str(folder), mode="w") as to:
            to.write(file, cache_spec=False)


def of_folder(
    name: str, write: Callable[[Path], None], entry: dict[str, Any], ending: str = ""
) -> Format:
    """Return a format of which `name` is one file; the others of its folder are whole."""

    def write_file(path: Path) -> None:
        folder = path.with_name(f"whole_{path.name}{ending}")
        write(folder)
        shutil.copy(folder / name, path)

    def read(path: Path) -> Recording:
        folder = path.with_name(f"folder_{path.name}{ending}")
        if not folder.exists():
            write(folder)
        shutil.copy(path, folder / name)
        inspected(folder)
        return as_recording(entry | trials_beside(folder), folder)

    return Format(name.replace("/", "_"), write_file, None, (read,))


LONG = {"kind": "table", "format": "long"}
MEADOWS = {
    "kind": "rdms",
    "variable": "rdmutv_*",
    "axes": ["session", "pair"],
    "stimulus_ids": "variable:stimuli_*",
}
THEIRS = {"kind": "rsatoolbox", "stimulus": "stimulus"}
BRAIN = {"kind": "brainscore"}
SUITE2P = {"kind": "suite2p", "signal": "dff", "frame_rate": 10}
CAIMAN = {"kind": "caiman", "signal": "c", "frame_rate": 10}


def read_caiman(path: Path) -> Recording:
    return as_recording(CAIMAN | trials_beside(path), path)


_ALL = [
    Format("x.npy", lambda path: np.save(path, VALUES), ARRAY, (inspected, as_layers)),
    Format("x.npz", npz, NAMED, (inspected, as_layers)),
    Format("x.h5", hdf5, NAMED, (inspected, as_layers)),
    Format("x.mat", mat5, NAMED, (inspected, as_layers, lambda path: load_array(path, "s.field"))),
    Format("compressed.mat", lambda path: mat5(path, True), NAMED, (inspected,)),
    Format("v73.mat", mat73, NAMED | {"axes": ["stimulus", "unit"]}, (inspected,)),
    Format("tree.json", meadows, MEADOWS, (inspected,)),
    Format("x.nwb", nwb, NWB, (inspected,)),
    Format("x.nc", netcdf, BRAIN, (inspected, as_layers)),
    Format("netcdf3.nc", lambda path: netcdf(path, "scipy"), BRAIN, (inspected,)),
    Format("x-epo.fif", fif, {"kind": "mne"}, (inspected,)),
    Format("x_raw.fif", continuous, CUT, (inspected,)),
    Format("x.set", continuous, CUT, (inspected,)),
    Format("v73.set", continuous, CUT, (inspected,)),
    Format("epochs.set", eeglab_epochs, {"kind": "mne"}, (inspected,)),
    Format("x.vhdr", continuous, None, (inspect_brainvision, read_brainvision)),
    Format("x.vmrk", markers, None, (inspect_brainvision, read_brainvision)),
    Format("x.edf", continuous, CUT, (inspected,)),
    Format("x.bdf", continuous, CUT, (inspected,)),
    Format("x.nii", nifti, None, (inspected, read_nifti)),
    Format("x.nii.gz", nifti, None, (inspected, read_nifti)),
    Format("dataset_description.json", fmriprep, None, (lambda path: inspected(path.parent),)),
    Format("confounds.tsv", confounds, None, (read_table_of_confounds,)),
    Format("x.gii", gifti, FMRI | {"events": "headers"}, (inspected,)),
    Format("x.dscalar.nii", cifti, FMRI | {"events": "headers"}, (inspected,)),
    Format("betas_session01.hdf5", nsd, None, (read_nsd, inspected)),
    Format("x.csv", long_table, LONG, (inspected,)),
    Format("x.tsv", long_table, LONG, (inspected,)),
    Format("features.csv", features_table, None, (as_layers,)),
    Format("dataset.h5", rsatoolbox_dataset, THEIRS, (inspected,)),
    Format("rdms.h5", rsatoolbox_rdms, THEIRS, (inspected,)),
    Format("recording.h5", our_recording, None, (Recording.read, inspected)),
    Format("stimuli.h5", our_stimuli, None, (Stimuli.read, inspected)),
    Format("networks.h5", our_networks, None, (Networks.read, inspected)),
    Format("activations.h5", our_activations, None, (read_activations, inspected)),
    Format("caiman.hdf5", caiman, None, (inspected, read_caiman)),
    *(
        of_folder(name, phy, {"kind": "phy"})
        for name in ("spike_times.npy", "spike_clusters.npy", "params.py", "cluster_group.tsv")
    ),
    *(of_folder(name, suite2p, SUITE2P) for name in ("F.npy", "iscell.npy")),
    *(
        of_folder(name, nwb_zarr, {"kind": "nwb"}, ".nwb.zarr")
        for name in (".zmetadata", "units/spike_times/0", "units/spike_times/.zarray")
    ),
    Format("x.zip", zipped, None, (images, inspected)),
    Format("x.tar", tarred, None, (images, inspected)),
    Format("x.tgz", tarred, None, (images, inspected)),
    *(
        Format(f"x.{suffix}", image_file, None, (read_folder,))
        for suffix in ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm")
    ),
]
FORMATS = {entry.name: entry for entry in _ALL}
