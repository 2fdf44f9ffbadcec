"""NWB-Zarr folders, written by hdmf-zarr: the same recording as the HDF5 file of the same content.

What they may do that files cannot is refused: pickles in arrays, and ways to other folders.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numcodecs
import numpy as np
import pynwb
import pytest
import zarr
from hdmf_zarr.nwb import NWBZarrIO
from pynwb.ophys import Fluorescence, ImageSegmentation, RoiResponseSeries

from repbias.base.spec import RepbiasError
from repbias.recordings.readers.nwb import NwbRecording, read

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

KNOWN = np.array([f"image{i}" for i in range(4)])


def content() -> pynwb.NWBFile:
    """Return a session with trials, electrodes, units and fluorescence."""
    rng = np.random.default_rng(0)
    file = pynwb.NWBFile("test", "s1", datetime(2020, 1, 1, tzinfo=UTC), session_id="one")
    file.subject = pynwb.file.Subject(subject_id="mouse1")
    file.add_trial_column("picture", "what was shown")
    for i in range(12):
        file.add_trial(start_time=1 + i * 0.7, stop_time=1.4 + i * 0.7, picture=f"image{i % 4}")
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="", location="V1", device=device)
    for location in ("V1", "LM"):
        file.add_electrode(location=location, group=group)
    file.add_unit_column("quality", "of the test")
    for unit in range(3):
        spikes = np.sort(rng.uniform(0, 10, 50 + unit))
        quality = ["good", "mua", "good"][unit]
        file.add_unit(
            spike_times=spikes, electrodes=[unit % 2], electrode_group=group, quality=quality
        )
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=pynwb.ophys.OpticalChannel(
            name="channel", description="", emission_lambda=500.0
        ),
        description="",
        device=device,
        excitation_lambda=600.0,
        indicator="GCaMP",
        location="V1",
    )
    masks = ImageSegmentation(name="masks")
    cells = masks.create_plane_segmentation(name="cells", description="", imaging_plane=plane)
    for _ in range(4):
        cells.add_roi(image_mask=np.ones((4, 4)))
    ophys = file.create_processing_module(name="ophys", description="")
    ophys.add(masks)
    rois = cells.create_roi_table_region(region=[3, 0, 1], description="")
    data = rng.normal(10, 1, (150, 3))
    series = RoiResponseSeries(name="RoiResponseSeries", data=data, rois=rois, unit="", rate=15.0)
    ophys.add(Fluorescence(name="Fluorescence", roi_response_series=series))
    return file


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    with pynwb.NWBHDF5IO(folder / "a.nwb", "w") as io:
        io.write(content())
    with NWBZarrIO(str(folder / "a.nwb.zarr"), mode="w") as io:
        io.write(content())
    return folder


@pytest.fixture
def path(written, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(written / "a.nwb.zarr", tmp_path / "a.nwb.zarr")


def spec_of(path, **settings) -> NwbRecording:
    settings = {"stimulus": "picture", "from_s": 0.05, "to_s": 0.45} | settings
    return NwbRecording(kind="nwb", path=path, stimuli="set", **settings)


@pytest.mark.parametrize("data", ["units", "RoiResponseSeries"])
def test_the_recording_is_that_of_the_hdf5_file(data, written):
    from_hdf5 = read(spec_of(written / "a.nwb", data=data, bin_s=0.1), KNOWN)
    from_zarr = read(spec_of(written / "a.nwb.zarr", data=data, bin_s=0.1), KNOWN)
    np.testing.assert_array_equal(from_zarr.responses, from_hdf5.responses)
    for part in ("trials", "units"):
        expected, found = getattr(from_hdf5, part), getattr(from_zarr, part)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
    assert from_zarr.units["region"].tolist() == (
        ["V1", "LM", "V1"] if data == "units" else ["V1"] * 3
    )


def test_a_table_of_trials_fits_a_folder_too(written, tmp_path):
    rows = [f"image{i % 4},{1 + i * 0.7}" for i in range(12)]
    (tmp_path / "trials.csv").write_text("\n".join(["picture,start_time", *rows]))
    spec = spec_of(written / "a.nwb.zarr", trials=tmp_path / "trials.csv")
    expected = read(spec_of(written / "a.nwb.zarr"), KNOWN)
    np.testing.assert_array_equal(read(spec, KNOWN).responses, expected.responses)
    names = [Path(file).name for file in spec.input_files()]
    assert names == [".zmetadata", ".zattrs", ".zgroup", "trials.csv"]


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def replace(path: Path, name: str, array: np.ndarray, **settings) -> None:
    """Put another array in the place of one of the folder, which keeps its attributes."""
    group = zarr.open_group(str(path), mode="r+")
    attributes = dict(group[name].attrs)
    del group[name]
    group.create_dataset(name, data=array, shape=array.shape, **settings)
    group[name].attrs.update(attributes)
    zarr.consolidate_metadata(str(path))


@pytest.mark.parametrize("name", ["intervals/trials/picture", "units/spike_times"])
def test_pickles_are_not_loaded(name, path, tmp_path, monkeypatch):
    """Not even where numcodecs, which refuses them by default, is told to load them."""
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    harm = tmp_path / "harm"
    length = zarr.open(str(path), mode="r")[name].shape[0]
    array = np.array([Trap(harm)] + ["x"] * (length - 1), dtype=object)
    replace(path, name, array, object_codec=numcodecs.Pickle())
    assert not harm.exists()
    with pytest.raises(RepbiasError, match=r"a\.nwb\.zarr: holds a pickle"):
        read(spec_of(path), KNOWN)
    assert not harm.exists()
    assert numcodecs.get_codec({"id": "pickle"}) == numcodecs.Pickle(), "elsewhere as it was"
    _ = zarr.open(str(path), mode="r")[name][0]
    assert harm.exists(), "the trap works"


@pytest.mark.parametrize("source", ["../b.nwb.zarr", "/b.nwb.zarr", None])
def test_links_to_other_folders_are_refused(source, path):
    shutil.copytree(path, path.with_name("b.nwb.zarr"))
    attributes = path / "general/extracellular_ephys/g/.zattrs"
    for file in (attributes, path / ".zmetadata"):
        content = json.loads(file.read_text())
        described = content.get("metadata", {}).get(
            "general/extracellular_ephys/g/.zattrs", content
        )
        described["zarr_link"][0]["source"] = source
        file.write_text(json.dumps(content))
    with pytest.raises(RepbiasError, match="'/general/devices/probe' is in another folder"):
        read(spec_of(path), KNOWN)


def test_symbolic_links_are_refused(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 100)
    chunk = next(file for file in (path / "units/spike_times").iterdir() if file.name == "0")
    chunk.unlink()
    chunk.symlink_to(secret)
    with pytest.raises(RepbiasError, match="'units/spike_times/0' is a link"):
        read(spec_of(path), KNOWN)


@pytest.mark.parametrize("key", ["shape", "chunks"])
@pytest.mark.parametrize("file", [".zarray", ".zmetadata"])
def test_a_declared_petabyte_is_refused(key, file, path):
    metadata = path / ".zmetadata" if file == ".zmetadata" else path / "units/spike_times/.zarray"
    content = json.loads(metadata.read_text())
    array = content["metadata"]["units/spike_times/.zarray"] if "metadata" in content else content
    array[key] = [10**14]
    metadata.write_text(json.dumps(content))
    with pytest.raises(RepbiasError, match="'units/spike_times' would take 8e\\+05 GB"):
        read(spec_of(path), KNOWN)


def test_damaged_and_other_folders_are_refused(path, tmp_path):
    (tmp_path / "empty").mkdir()
    zarr.open_group(str(tmp_path / "other"), mode="w").create_dataset("x", data=np.zeros(3))
    (path / ".zmetadata").write_text("{")
    for folder in (path, tmp_path / "empty", tmp_path / "other"):
        with pytest.raises(RepbiasError, match=f"{folder.name}: cannot be read as NWB"):
            read(spec_of(folder), KNOWN)
