"""Malicious files are refused with an error that names them, before they do harm."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import signal
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
import scipy.io
import scipy.sparse
import yaml
from formats import (
    ARRAY,
    BRAIN,
    CUT,
    FMRI,
    FORMATS,
    IDS,
    NAMED,
    NWB,
    THEIRS,
    VALUES,
    as_recording,
    images,
    inspected,
    picture,
    read_activations,
)
from PIL import Image

from repbias.base.spec import RepbiasError
from repbias.commands.main import main
from repbias.io import untrusted
from repbias.io.activations import Activations
from repbias.io.arrays import load_array
from repbias.io.networks import Networks
from repbias.io.recordings import Recording
from repbias.io.stimuli import Stimuli
from repbias.io.text_tables import read_table
from repbias.recordings.readers.mne.files import open_file
from repbias.rsa.rdms import read_rdms, write_layer_rdms
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

PETABYTE = 2**47  # of float64


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def refused(path: Path, match: str, *readers) -> None:
    """Assert that every reader refuses the file by name, and raises nothing else."""
    for read in readers:
        with pytest.raises(RepbiasError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value)


# Nothing is unpickled.


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "object.npy"])
def test_pickles_in_arrays_are_not_loaded(name, tmp_path):
    trace, path = tmp_path / "ran", tmp_path / name
    content = np.array([Bomb(trace)], dtype=object)
    if name == "x.npz":
        np.savez(path, x=content)
    elif name == "x.npy":
        np.save(path, content)
    else:
        path.write_bytes(pickle.dumps(Bomb(trace)))
    refused(path, "pickle", load_array)
    if name == "x.npz":
        assert "x: objects in it are a pickle, which is never loaded" in inspected(path)
    else:
        refused(path, "pickle", inspected)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "p", "pt", "pth", "ckpt", "joblib"])
@pytest.mark.parametrize("kind", ["array", "table", "rsatoolbox", "images", "table of images"])
def test_pickles_are_loaded_nowhere(kind, suffix, tmp_path):
    """Whatever reads them says what to save instead, in two lines of Python."""
    trace, path = tmp_path / "ran", tmp_path / f"x.{suffix}"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    said = "never loaded.*import.*(np.savez|to_csv)"
    refused(path, said, inspected)
    if kind == "images":
        refused(path, said, images)
    elif kind == "table of images":
        refused(path, said, lambda p: open_images(ImageSet(table=p)))
    elif kind == "array":
        refused(path, said, lambda p: as_recording(ARRAY, p), load_array)
    elif kind == "table":
        refused(path, said, lambda p: as_recording({"kind": "table", "format": "wide"}, p))
    elif suffix not in ("pkl", "pickle"):  # those are refused when the entry is read
        refused(path, said, lambda p: as_recording({"kind": kind, "stimulus": "s"}, p))
    assert not trace.exists()


def test_a_pickle_disguised_as_an_rsatoolbox_file_is_not_loaded(tmp_path):
    trace, path = tmp_path / "ran", tmp_path / "x.h5"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    refused(path, "never loaded", lambda p: as_recording(THEIRS, p))
    refused(path, "cannot be read", inspected)
    assert not trace.exists()


def test_objects_and_functions_of_matlab_are_refused(tmp_path):
    path = tmp_path / "x.mat"
    folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
    for source, name in (("testfunc_7.4_GLNX86.mat", "testfunc"), ("parabola.mat", "parabola")):
        if not (folder / source).is_file():
            pytest.skip("this SciPy comes without its test data")
        path.write_bytes((folder / source).read_bytes())
        refused(path, f"'{name}' is an object or function", lambda p, n=name: load_array(p, n))


# Nothing reads another file.


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file of the user, in another folder, that hostile files refer to."""
    (tmp_path / "private").mkdir()
    path = tmp_path / "private" / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = VALUES
        file["ids"] = IDS.tolist()
        file["group/id"] = IDS.tolist()
    (tmp_path / "private" / "secret.bin").write_bytes(bytes(VALUES.nbytes))
    return path


def point_out(path: Path, name: str, how: str, secret: Path) -> None:
    """Replace a dataset of an HDF5 file by one with data in the secret file."""
    with h5py.File(path, "a") as file:
        shape, dtype = file[name].shape, file[name].dtype
        attributes = dict(file[name].attrs)
        del file[name]
        if how == "external link":
            file[name] = h5py.ExternalLink(str(secret), "x")
            return
        if how == "external data":
            raw = [(str(secret.with_suffix(".bin")), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(name, shape, "f8", external=raw)
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(secret), "x", shape)
            file.create_virtual_dataset(name, layout)
        for key, value in attributes.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                file[name].attrs[key] = value


#: Formats in HDF5: a dataset of numbers that the reader needs.
IN_HDF5 = {
    "x.h5": "x",
    "v73.mat": "x",
    "v73.set": "data",
    "x.nwb": "units/spike_times",
    "x.nc": "x",
    "dataset.h5": "measurements",
    "rdms.h5": "dissimilarities",
    "recording.h5": "responses",
    "stimuli.h5": "inputs",
    "networks.h5": "weights/w1",
    "activations.h5": "layers/h",
    "betas_session01.hdf5": "betas",
}


@pytest.mark.parametrize("how", ["external link", "external data", "virtual"])
@pytest.mark.parametrize("name", IN_HDF5)
def test_hdf5_files_that_refer_to_other_files_are_refused(name, how, secret, tmp_path):
    entry, path = FORMATS[name], tmp_path / name
    entry.write(path)
    point_out(path, IN_HDF5[name], how, secret)
    readers = [*entry.others]
    if entry.entry is not None:
        readers.append(lambda p: as_recording(entry.entry, p))
    assert len(readers) > 1
    refused(path, "link|keeps its data in other files", *readers)


@pytest.mark.parametrize("how", ["external link", "external data", "virtual"])
def test_rdms_are_not_computed_from_activations_in_another_file(how, secret, tmp_path):
    """Activations are read in blocks, not by the reader of whole layers."""
    path = tmp_path / "activations.h5"
    FORMATS[path.name].write(path)
    point_out(path, "layers/h", how, secret)
    FORMATS["rdms.h5"].write(tmp_path / "rdms.h5")
    point_out(tmp_path / "rdms.h5", "dissimilarities", how, secret)
    refused(tmp_path / "rdms.h5", "link|keeps its data in other files", read_rdms)
    make = lambda p: write_layer_rdms(tmp_path / "r.h5", Activations.open(p), "euclidean", None)  # noqa: E731
    refused(path, "is a link|keeps its data in other files", make)


def test_a_group_of_our_files_may_not_be_a_link(secret, tmp_path):
    """Links are refused in every part of a path, not only the last."""
    path = tmp_path / "recording.h5"
    FORMATS[path.name].write(path)
    with h5py.File(path, "a") as file:
        del file["units"]
        file["units"] = h5py.ExternalLink(str(secret), "group")
    refused(path, "'units' is a link", Recording.read)


def test_soft_links_within_nwb_are_followed(tmp_path):
    """pynwb writes them."""
    path = tmp_path / "x.nwb"
    FORMATS[path.name].write(path)
    with pynwb.NWBHDF5IO(path, "a") as io:
        file = io.read()
        device = file.create_device(name="probe")
        file.create_electrode_group(name="g", description="", location="", device=device)
        io.write(file)
    with h5py.File(path) as file:
        group = file["general/extracellular_ephys/g"]
        assert isinstance(group.get("device", getlink=True), h5py.SoftLink)
    assert as_recording(NWB, path).responses.shape == (6, 3)


def test_an_unread_column_may_exceed_the_memory(tmp_path):
    path = tmp_path / "x.nwb"
    FORMATS["x.nwb"].write(path)
    expected = as_recording(NWB, path).responses
    with h5py.File(path, "a") as file:
        units = file["units"]
        n = len(units["id"])
        column = units.create_dataset("waveform_mean", (n, 2**20, 2**20), "f4", chunks=(1, 64, 64))
        described = {"namespace": "hdmf-common", "description": "means", "object_id": "w"}
        column.attrs.update(described | {"neurodata_type": "VectorData"})
        units.attrs["colnames"] = [*units.attrs["colnames"], "waveform_mean"]
    np.testing.assert_array_equal(as_recording(NWB, path).responses, expected)


def test_parts_of_epochs_may_be_symbolic_links(tmp_path):
    """As with git-annex and DataLad, which store each file in its own folder."""
    import mne

    info = mne.create_info(10, 100.0, "eeg")
    signal = np.random.default_rng(0).normal(scale=1e-6, size=(600, 10, 100))
    events = np.c_[np.arange(600) * 100, np.zeros(600, int), np.arange(600) % 2 + 1]
    (tmp_path / "kept").mkdir()
    epochs = mne.EpochsArray(signal, info, events, verbose="ERROR")
    epochs.save(tmp_path / "kept/sub-epo.fif", split_size="2MB", verbose="ERROR")
    parts = sorted((tmp_path / "kept").iterdir())
    assert len(parts) > 1
    for i, part in enumerate(parts):
        place = tmp_path / f"annex/{i}"
        place.mkdir(parents=True)
        (tmp_path / part.name).symlink_to(part.rename(place / part.name))
    assert len(open_file(tmp_path / "sub-epo.fif")) == 600


def fif_with_next_file(path: Path, following: str, next_at: int = 0) -> None:
    """Write epochs that, like split files, name another file in which they continue."""
    from mne.io.constants import FIFF

    FORMATS["x-epo.fif"].write(path)
    content = path.read_bytes()
    tags = b""
    for kind, type_, data in (
        (FIFF.FIFF_BLOCK_START, FIFF.FIFFT_INT, struct.pack(">i", FIFF.FIFFB_REF)),
        (FIFF.FIFF_REF_ROLE, FIFF.FIFFT_INT, struct.pack(">i", FIFF.FIFFV_ROLE_NEXT_FILE)),
        (FIFF.FIFF_REF_FILE_NAME, FIFF.FIFFT_STRING, following.encode()),
        (FIFF.FIFF_BLOCK_END, FIFF.FIFFT_INT, struct.pack(">i", FIFF.FIFFB_REF)),
    ):
        tags += struct.pack(">4i", int(kind), int(type_), len(data), next_at) + data
    # After the file id and the pointer to the directory, which then does not exist.
    head = 16 + 20
    pointer = struct.pack(">4ii", FIFF.FIFF_DIR_POINTER, FIFF.FIFFT_INT, 4, 0, -1)
    path.write_bytes(content[:head] + pointer + tags + content[head + 20 :])


@pytest.mark.parametrize("where", ["../private/secret-epo.fif", "/etc/hostname", "x-epo.fif"])
def test_epochs_do_not_continue_in_another_folder_or_in_circles(where, tmp_path):
    path = tmp_path / "x-epo.fif"
    fif_with_next_file(path, where)
    refused(path, "continues in", lambda p: as_recording({"kind": "mne"}, p), inspected)


def test_tags_of_epochs_that_lead_back_are_refused(tmp_path):
    """MNE would follow them for ever."""
    path = tmp_path / "x-epo.fif"
    fif_with_next_file(path, "y-epo.fif", next_at=16)
    refused(path, "leads to byte 16", lambda p: as_recording({"kind": "mne"}, p), inspected)


@pytest.mark.parametrize("where", ["../private/secret", "/etc/hostname"])
@pytest.mark.parametrize("key", ["DataFile", "MarkerFile"])
@pytest.mark.parametrize("codepage", ["UTF-8", "UTF-7"])
def test_brainvision_does_not_read_other_folders(key, where, codepage, tmp_path):
    path = tmp_path / "x.vhdr"
    FORMATS["x.vhdr"].write(path)
    text = path.read_text().replace("Codepage=UTF-8", f"Codepage={codepage}").replace("µ", "u")
    named = where if codepage == "UTF-8" else where.replace("/", "+AC8-")
    suffix = {"DataFile": "eeg", "MarkerFile": "vmrk"}[key]
    path.write_text(text.replace(f"{key}=x.{suffix}", f"{key}={named}"))
    refused(path, f"{key} is '{where}'", lambda p: as_recording({"kind": "mne"}, p), inspected)


@pytest.mark.parametrize("where", ["../private/secret.fdt", "/etc/x.fdt", "../private/secret.set"])
@pytest.mark.parametrize("style", ["v5", "v5 flat", "v73", "v73 nested"])
def test_eeglab_does_not_read_other_folders(style, where, tmp_path):
    path = tmp_path / ("v73.set" if "v73" in style else "x.set")
    FORMATS[path.name].write(path)
    if "v73" in style:
        with h5py.File(path, "a") as file:
            del file["data"]
            group = file
            if style == "v73 nested":
                group = file.create_group("EEG/EEG")
                for name in [name for name in file if name not in ("EEG", "#refs#")]:
                    file.move(name, f"EEG/EEG/{name}")
            group["data"] = np.array([[ord(c)] for c in where], np.uint16)
            group["data"].attrs["MATLAB_class"] = np.bytes_("char")
    else:
        content = scipy.io.loadmat(path)
        content = {k: v for k, v in content.items() if not k.startswith("_")} | {"data": where}
        scipy.io.savemat(path, content if style == "v5 flat" else {"EEG": content}, False)
    refused(path, f"its signals are in '{where}'", lambda p: as_recording(CUT, p), inspected)


# What is declared must fit into memory.


def test_references_of_eeglab_files_neither_multiply_nor_go_in_circles(tmp_path):
    path = tmp_path / "v73.set"
    FORMATS[path.name].write(path)
    whole = path.read_bytes()
    for circle in (False, True):
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            target = file.create_dataset("#refs#/last", data=np.zeros(1))
            for level in range(12):
                name = f"#refs#/level{level}"
                file.create_dataset(name, (10,), h5py.ref_dtype)
                file[name][:] = [target.ref] * 10
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
                target = file[name]
            if circle:
                file["#refs#/level0"][:] = [target.ref] * 10
            file["comments"] = target
        refused(path, "references in circles", lambda p: as_recording(CUT, p), inspected)


def test_a_recording_in_fif_that_declares_years_of_nothing(tmp_path):
    """Skipped buffers take a few bytes, and are as many zeros as they say."""
    from mne.io.constants import FIFF

    path = tmp_path / "x_raw.fif"
    FORMATS[path.name].write(path)
    content = path.read_bytes()
    # Without a directory of its tags, MNE follows them from the start.
    content = content[:52] + struct.pack(">i", -1) + content[56:]
    data = content.index(struct.pack(">i", FIFF.FIFF_DATA_BUFFER))
    at = data + 16 + struct.unpack(">i", content[data + 8 : data + 12])[0]
    skip = struct.pack(">5i", FIFF.FIFF_DATA_SKIP, FIFF.FIFFT_INT, 4, 0, 2**31 - 1)
    path.write_bytes(content[:at] + skip + content[at:])
    refused(
        path,
        "samples would take|does not fit into memory",
        lambda p: as_recording(CUT, p),
        inspected,
    )


def test_a_declared_petabyte_in_npy(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (PETABYTE, 1), "f8", chunks=(1024, 1), fillvalue=0.0)
    refused(path, "'/x' would take .* GB .*memory are free", load_array)
    assert f"x: {PETABYTE} x 1, float64" in inspected(path)
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("name", [name for name in IN_HDF5 if name != "x.h5"])
def test_a_declared_petabyte_in_hdf5(name, tmp_path):
    entry, path = FORMATS[name], tmp_path / name
    entry.write(path)
    with h5py.File(path, "a") as file:
        old = file[IN_HDF5[name]]
        attributes = {k: v for k, v in old.attrs.items() if not k.endswith("_LIST")}
        shape, dtype = old.shape, old.dtype
        del file[IN_HDF5[name]]
        shape = (*shape[:-1], PETABYTE)
        chunks = (*(1 for _ in shape[:-1]), 1024)
        new = file.create_dataset(IN_HDF5[name], shape, dtype, chunks=chunks)
        for key, value in attributes.items():
            new.attrs[key] = value
    read = entry.others[0] if entry.entry is None else lambda p: as_recording(entry.entry, p)
    refused(path, "GB of memory are free", read)


def test_a_declared_petabyte_in_matlab(tmp_path):
    path = tmp_path / "x.mat"
    with h5py.File(path, "w") as file:
        for name, attributes in {
            "empty": {"MATLAB_empty": np.uint8(1)},
            "sparse": {"MATLAB_sparse": np.uint64(PETABYTE)},
        }.items():
            if name == "empty":
                file[name] = np.array([PETABYTE, 2], np.uint64)
            else:
                file[f"{name}/jc"] = np.zeros(3, np.uint64)
            for key, value in {"MATLAB_class": np.bytes_("double"), **attributes}.items():
                file[name].attrs[key] = value
    for name in ("empty", "sparse"):
        refused(path, "GB of memory are free", lambda p, n=name: load_array(p, n))
    tall = scipy.sparse.csc_matrix((2**31 - 2, 2**20))
    scipy.io.savemat(path, {"x": tall})
    refused(path, "'x' would take", load_array)


def test_a_cell_array_larger_than_its_file(tmp_path):
    """Two billion declared cells, none stored: SciPy would first fill them with None."""
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"c": np.array(["a", "b"], object)})
    content = path.read_bytes().replace(struct.pack("<2i", 1, 2), struct.pack("<2i", 2**30, 2))
    content = content.replace(struct.pack("<2i", 1, 2), struct.pack("<2i", 2**31 - 1, 1))
    path.write_bytes(content)
    refused(path, "does not fit into memory", load_array, inspected)


def test_references_that_multiply_exponentially(tmp_path):
    """Ten references to ten references to ...: a billion paths in a few kilobytes."""
    path = tmp_path / "x.mat"
    with h5py.File(path, "w") as file:
        file["#refs#/0"] = np.zeros((1, 1))
        file["#refs#/0"].attrs["MATLAB_class"] = np.bytes_("double")
        for level in range(1, 10):
            name = f"#refs#/{level}" if level < 9 else "x"
            below = np.array([[file[f"#refs#/{level - 1}"].ref] * 10], h5py.ref_dtype)
            file.create_dataset(name, data=below, dtype=h5py.ref_dtype)
            file[name].attrs["MATLAB_class"] = np.bytes_("cell")
    with pytest.MonkeyPatch.context() as patch:  # it would take a minute
        patch.setattr("repbias.io.matlab.MAX_REFERENCES", 1000)
        refused(path, "over and over", lambda p: load_array(p, "x"))


@pytest.fixture
def little_memory(monkeypatch) -> int:
    """A machine with a megabyte, as a bomb for a real one would take minutes to write."""
    monkeypatch.setattr(untrusted, "available_memory", lambda: 2**20)
    return 2**20


def test_zeros_that_compress_well(little_memory, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(2**18))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    refused(tmp_path / "x.npz", "'x' would take 0.002", load_array)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**21))
    refused(path, "a.png would take", images, inspected)
    path = tmp_path / "x.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = 2**21
        archive.addfile(member, io.BytesIO(bytes(2**21)))
    refused(path, "a.png would take", images, inspected)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("field", ["shape", "offset"])
def test_nifti_images_that_declare_too_much(name, field, tmp_path):
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((32000, 32000, 32000, 6) if field == "shape" else (2, 2, 2, 6))
    header["magic"], header["vox_offset"] = b"n+1", 352 if field == "shape" else 1e18
    path = tmp_path / name
    content = header.binaryblock + bytes(4) + bytes(384)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    events = tmp_path / "e.tsv"
    events.write_text("stimulus\n" + "\n".join(IDS))
    read = lambda p: as_recording(FMRI | {"events": str(events)}, p)  # noqa: E731
    refused(path, "GB of memory are free", read, inspected)


def test_a_nifti_image_of_negative_shape(tmp_path):
    path = tmp_path / "x.nii"
    FORMATS["x.nii"].write(path)
    content = bytearray(path.read_bytes())
    content[42:44] = struct.pack("<h", -3)
    path.write_bytes(content)
    refused(path, "shape|dim", inspected)


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG that is all zeros, which compress a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(bytes(1000)))


def test_decompression_bombs_are_refused(little_memory, tmp_path):
    text = zlib.compress(bytes(2**26), 9)
    body = b"Comment\0\0" + text
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    for name, content, said in (
        ("pixels", png(2000, 2000), "would take"),
        ("limit of Pillow", png(2**30, 2**30), "not a readable image"),
        ("text", png(8, 8, chunk), "not a readable image|would take"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.png").write_bytes(content)
        refused(folder, said, images, inspected)


# Disguised formats.


def test_postscript_is_not_run(tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    trace = tmp_path / "ran"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {trace}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "photos").mkdir()
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({trace}) (w) file closefile\n"
    (tmp_path / "photos" / "a.png").write_text(program + "showpage\n%%EOF\n")
    refused(tmp_path / "photos", "a.png is not a readable image", images, inspected)
    assert not trace.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.h5", "x.mat", "x.nii", "x.zip"])
def test_pipes_are_refused_without_waiting(name, tmp_path):
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, "neither a file nor a folder", inspected)


# Names in files are never used as paths, and do not control the terminal.

NAMES = ["../../a.png", "/tmp/b.png", "c/../../d.png", "e\x1b[2J.png"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_archives_write_nothing(kind, tmp_path):
    path = tmp_path / "in" / f"x.{kind}"
    path.parent.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in NAMES:
                archive.writestr(name, picture())
    else:
        with tarfile.open(path, "w") as archive:
            for name in NAMES:
                member = tarfile.TarInfo(name)
                member.size = len(picture())
                archive.addfile(member, io.BytesIO(picture()))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    opened = open_images(ImageSet(path=path))
    assert opened.ids == ["a", "b", "d", "e\x1b[2J"]
    assert all(opened.load(i).size == (10, 12) for i in range(4))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


EVIL = "\x1b]0;owned\x07\u202ecod.exe\nline\u2028\x85\x9b2J"


def evil_files(folder: Path) -> list[Path]:
    names = np.array([f"{EVIL}{i}" for i in range(6)])
    np.savez(folder / "x.npz", **{EVIL.replace("\n", ""): VALUES, "ids": names})
    with h5py.File(folder / "x.h5", "w") as file:
        file[EVIL] = VALUES
        file["ids"] = names.tolist()
    FORMATS["recording.h5"].write(folder / "recording.h5")
    whole = Recording.read(folder / "recording.h5")
    whole.units["region"] = names[:4]
    whole.info["file"] = EVIL
    whole.info["modality"] = EVIL
    whole.write(folder / "recording.h5")
    (folder / "x.csv").write_text(f'stimulus,"{EVIL}",unit,response\n' + "a,b,c,1\n" * 5)
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr(f"{EVIL}.png", picture())
    return sorted(folder.iterdir())


def unseen(text: str) -> set[str]:
    return {c for c in text if not c.isprintable() and c != "\n"}


def test_names_in_files_do_not_control_the_terminal(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    paths = evil_files(tmp_path / "data")
    assert len(paths) == 5
    for number, path in enumerate(paths):
        assert main(["inspect", str(path)]) == 0, path
        said = capsys.readouterr()
        assert unseen(said.out + said.err) == set(), path
        assert "owned" in said.out, path
        block = said.out.partition("\n\n")[2]
        assert isinstance(yaml.safe_load(block), dict), path
        option = "--images" if path.suffix == ".zip" else "--recording"
        study = tmp_path / f"study{number}"
        assert main(["init", str(study), option, str(path)]) == 0
        text = (study / "study.yaml").read_text(encoding="utf-8")
        assert unseen(text) == set()
        yaml.safe_load(text)
        capsys.readouterr()


def test_errors_and_other_commands_do_not_control_the_terminal(tmp_path, capsys):
    paths = evil_files(tmp_path)
    assert main(["inspect", str(tmp_path / "x.npz"), "--variable", f"{EVIL}x"]) == 1
    assert unseen(capsys.readouterr().err) == set()
    h5 = next(path for path in paths if path.name == "recording.h5")
    with h5py.File(h5, "a") as file:
        file.attrs["evil\x1b[2J"] = EVIL
    assert main(["show", str(h5)]) == 0
    assert unseen(capsys.readouterr().out) == set()
    assert main(["diff", str(h5), str(tmp_path / "x.h5")]) == 1
    assert unseen(capsys.readouterr().out) == set()


@pytest.mark.parametrize("name", ["x.html", "x.csv", "x.h5", "x.yaml"])
def test_untrusted_results_are_shown_or_refused(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(b"\xff\xfe\0\x1b[2J" * 100)
    (tmp_path / f"b{name}").write_bytes(b"\x89HDF\r\n\x1a\n" * 50)
    assert main(["show", str(tmp_path / name)]) == 1
    assert f"error: {tmp_path / name}: " in capsys.readouterr().err
    assert main(["diff", str(tmp_path / name), str(tmp_path / f"b{name}")]) == 1
    said = capsys.readouterr()
    assert unseen(said.out + said.err) == set()


def test_the_printed_configuration_preserves_names(tmp_path, capsys):
    """They are escaped for the terminal, and YAML reads them back."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["\u202evalues"] = VALUES
    assert main(["inspect", str(path)]) == 0
    block = yaml.safe_load(capsys.readouterr().out.partition("\n\n")[2])
    variable = block["recordings"]["x"]["variable"]
    np.testing.assert_array_equal(load_array(path, variable), VALUES)


# Values.

KINDS = {
    "complex": VALUES.astype(complex),
    "structure": np.zeros((6, 4), [("a", "f8"), ("b", "i4")]),
    "dates": np.zeros((6, 4), "M8[s]"),
    "text": np.full((6, 4), "1"),
    "bytes": np.full((6, 4), b"1"),
    "raw": np.zeros((6, 4), "V8"),
    "0-d": np.array(1.0),
    "no rows": np.zeros((0, 4)),
    "no columns": np.zeros((6, 0)),
    "infinite": np.where(np.arange(24).reshape(6, 4) == 3, np.inf, VALUES),
    "infinite when doubled": np.full((6, 4), np.finfo(np.longdouble).max),
    "all NaN": np.full((6, 4), np.nan),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_not_responses_are_refused(kind, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, KINDS[kind])
    refused(path, ".", lambda p: as_recording(ARRAY, p))
    assert inspected(path)


GOOD = {
    "swapped": VALUES.astype(">f8"),
    "swapped whole": VALUES.astype(">i2"),
    "half": VALUES.astype("f2"),
    "long double": VALUES.astype(np.longdouble),
    "Fortran": np.asfortranarray(VALUES),
    "tiny": VALUES * 5e-324,
    "negative zero": -VALUES * 0.0 + VALUES,
}


@pytest.mark.parametrize("kind", GOOD)
def test_unusual_numbers_are_read_correctly(kind, tmp_path):
    np.save(tmp_path / "x.npy", GOOD[kind])
    found = as_recording(ARRAY, tmp_path / "x.npy").responses
    np.testing.assert_array_equal(found, GOOD[kind].astype(float))
    assert found.dtype == np.float64


def test_hdf5_types_that_are_not_numeric_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        ragged = file.create_dataset("x", (6, 4), h5py.vlen_dtype(np.float64))
        ragged[0, 0] = [1, 2, 3]
        file["ids"] = IDS.tolist()
        file.create_dataset("enum", (6, 4), h5py.enum_dtype({"A": 0, "B": 1}))
        file.create_dataset("opaque", data=np.zeros((6, 4), "V8"))
        file.create_dataset("array", data=np.zeros(6, [("v", "f8", (4,))]))
        file["null"] = h5py.Empty("f8")
        file["reference"] = np.array([[file["ids"].ref] * 4] * 6, h5py.ref_dtype)
    for name in ("x", "opaque", "array", "null", "reference"):
        refused(path, ".", lambda p, n=name: as_recording(NAMED | {"variable": n}, p))
    assert as_recording(NAMED | {"variable": "enum"}, path).responses.sum() == 0
    assert inspected(path)


ODD = {
    "NUL": "a\0b",
    "line": "a\nb",
    "bidi": "a\u202eb",
    "long": "a" * 100_000,
    "dots": "../../etc/passwd",
    "control": "\x1b[2J",
    "other planes": "𝔸\U0010ffff",
}


@pytest.mark.parametrize(
    ("kind", "name"),
    # h5py cannot write text with NUL.
    [(kind, name) for kind in ODD for name in ("x.npz", "x.h5") if (kind, name) != ("NUL", "x.h5")],
)
def test_odd_ids_are_read_unchanged_or_refused(kind, name, tmp_path):
    ids = np.array([ODD[kind], *IDS[1:].tolist()])
    path = tmp_path / name
    if name == "x.npz":
        np.savez(path, x=VALUES, ids=ids)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = VALUES
            file["ids"] = ids.tolist()
    try:
        found = as_recording(NAMED, path, np.unique(ids))
    except RepbiasError as error:
        assert str(path) in str(error)
    else:
        assert set(found.stimulus_ids) == set(ids)
        found.write(tmp_path / "ours.h5")
        assert set(Recording.read(tmp_path / "ours.h5").stimulus_ids) == set(ids)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=VALUES, ids=np.array([b"\xff\xfe", *map(str.encode, IDS[1:])]))
    refused(path, "utf-8", lambda p: as_recording(NAMED, p), inspected)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = VALUES
        file[b"\xff\xfe"] = VALUES
    refused(path, "utf-8|SystemError|exception", lambda p: load_array(p, "x"), inspected)
    FORMATS["x.h5"].write(tmp_path / "other.h5")
    assert main(["show", str(path)]) == 1
    assert main(["diff", str(path), str(tmp_path / "other.h5")]) == 1


def test_lone_surrogates_are_refused_before_writing(tmp_path):
    path = tmp_path / "x.npz"
    ids = np.array(["\ud800", *IDS[1:].tolist()])
    np.savez(path, x=np.arange(15.0), ids=ids)
    entry = NAMED | {"kind": "rdms", "axes": ["pair"]}
    refused(path, "surrogate", lambda p: as_recording(entry, p, np.unique(ids)))


def test_members_of_npz_that_are_not_arrays(tmp_path):
    path = tmp_path / "a/b/x.npz"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"not an array")
        archive.writestr("../../ids.npy", b"")
    refused(path, "'x' is not an array|cannot be read as npz", lambda p: load_array(p, "x"))
    refused(
        path,
        "'../../ids' is not an array|cannot be read as npz",
        lambda p: load_array(p, "../../ids"),
    )
    assert list(tmp_path.rglob("ids*")) == []


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 1000,
        b"\xff\xfea\0,\0b\0",
        b'stimulus,unit,response\n"a,b,1\n' + b"x" * 200_000,
        b"stimulus,unit,response\na,b,1e999\n",
        b"stimulus,unit,response\na,b," + b"9" * 5000 + b"\n",
        b"stimulus,unit,response\na,b,0x10\n",
        b"," * 100_000,
    ],
    ids=["NULs", "utf-16", "quote without end", "1e999", "huge", "hex", "commas"],
)
def test_odd_tables_are_refused(content, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    entry = {"kind": "table", "format": "long"}
    refused(path, ".", lambda p: as_recording(entry, p, np.array(["a"])))


@pytest.mark.parametrize("name", ["x.csv", "x.txt"])
def test_the_line_of_a_nul_is_named(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"stimulus,unit\na,b\0\n".replace(b",", b" " if name == "x.txt" else b","))
    refused(path, "line 2 holds NUL", read_table)


def test_a_table_larger_than_memory(little_memory, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 2**19)
    refused(path, "would take", read_table, inspected)


def test_files_that_rename_stimuli_may_be_hostile_too(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    for content in (b"\0" * 9, b'"' + b"x" * 200_000, b"\xff\xfe", b"a,b,c"):
        (tmp_path / "names.csv").write_bytes(content)
        with pytest.raises(RepbiasError):
            as_recording(ARRAY | {"rename": str(tmp_path / "names.csv")}, tmp_path / "x.npy")


# Libraries that crash or hang.


def test_a_file_that_crashes_its_library_is_refused(tmp_path):
    """SciPy uses the type of a value as an index into a table without checking it."""
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"x": VALUES})
    content = path.read_bytes()
    at = content.index(struct.pack("<2i", 9, VALUES.nbytes))
    path.write_bytes(content[:at] + struct.pack("<i", 2**28) + content[at + 4 :])
    refused(path, "crashes or does not terminate|cannot be read", load_array, inspected)


@pytest.mark.parametrize(
    ("number", "said"), [("SEGV", "crashes or does not terminate"), ("XCPU", "took too long")]
)
def test_crashes_and_timeouts_are_noticed(number, said, tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    FORMATS["x.h5"].write(path)
    script = tmp_path / "dies.py"
    script.write_text(f"import os, signal\nos.kill(os.getpid(), signal.SIG{number})\n")
    monkeypatch.setattr(untrusted.probe, "__file__", str(script))
    refused(path, said, load_array)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("while True: pass", "took too long"),
        ("bytearray(2**34)", "does not fit into memory"),
    ],
)
def test_each_file_is_tried_within_limits(work, said, tmp_path, monkeypatch):
    """A second of processor time, and four GiB of address space."""
    path, script = tmp_path / "x.h5", tmp_path / "works.py"
    FORMATS["x.h5"].write(path)
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(untrusted.probe.__file__).parent)!r})\n"
        f"import probe\n\n\ndef touch(*_):\n    {work}\n\n\n"
        "probe.SECONDS, probe.touch_hdf5 = 1, touch\nprobe.serve()\n"
    )
    monkeypatch.setattr(untrusted.probe, "__file__", str(script))
    monkeypatch.setattr(untrusted, "available_memory", lambda: 0)
    with pytest.raises(RepbiasError, match=said):
        untrusted.refuse_crash(path, "hdf5")


def test_files_are_tried_where_they_are(tmp_path, monkeypatch):
    """One process tries all files, wherever it was started."""
    script = tmp_path / "looks.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "for line in sys.stdin:\n"
        "    print(0 if pathlib.Path(json.loads(line)[1]).is_file() else -11, flush=True)\n"
    )
    monkeypatch.setattr(untrusted.probe, "__file__", str(script))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        FORMATS["x.h5"].write(Path(f"{folder}.h5"))
        untrusted.refuse_crash(f"{folder}.h5", "hdf5")


def test_files_are_tried_although_the_process_that_tries_them_was_killed(tmp_path, monkeypatch):
    script = tmp_path / "once.py"
    script.write_text("input()\nprint(0)\n")
    monkeypatch.setattr(untrusted.probe, "__file__", str(script))
    for name in ("a.h5", "b.h5"):
        FORMATS["x.h5"].write(tmp_path / name)
        untrusted.refuse_crash(tmp_path / name, "hdf5")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_after_an_interruption_files_get_their_own_answers(tmp_path, monkeypatch):
    """The answer about a file comes too late, when another file is asked about."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    time.sleep(0.5 * ('bad' in line))\n"
        "    print(-11 * ('bad' in line), flush=True)\n"
    )
    monkeypatch.setattr(untrusted.probe, "__file__", str(script))
    for name in ("bad", "good"):
        FORMATS["x.h5"].write(tmp_path / name)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            untrusted.refuse_crash(tmp_path / "bad", "hdf5")
    finally:
        signal.signal(signal.SIGALRM, before)
    untrusted.refuse_crash(tmp_path / "good", "hdf5")


def test_incomplete_files_of_our_own_are_refused(tmp_path):
    path = tmp_path / "stimuli.h5"
    FORMATS["stimuli.h5"].write(path)
    with h5py.File(path, "a") as file:
        del file["id"]
        file["id"] = np.zeros(6)
        file.attrs["features"] = h5py.Empty("S1")
    refused(path, "damaged", Stimuli.read)
    path = tmp_path / "networks.h5"
    FORMATS["networks.h5"].write(path)
    with h5py.File(path, "a") as file:
        del file["networks/seed"]
    refused(path, "damaged", Networks.read)
    path = tmp_path / "activations.h5"
    FORMATS["activations.h5"].write(path)
    with h5py.File(path, "a") as file:
        del file["layers/h"]
        file["layers/h"] = 1.0
    refused(path, "damaged", read_activations)


def test_netcdf_that_is_gzipped_or_something_else(tmp_path):
    path = tmp_path / "x.nc"
    path.write_bytes(gzip.compress(b"CDF\x01" + bytes(1000)))
    refused(path, "cannot be read", lambda p: as_recording(BRAIN, p), inspected)
    Image.new("RGB", (4, 4)).save(path, "PNG")
    refused(path, "cannot be read", lambda p: as_recording(BRAIN, p), inspected)
