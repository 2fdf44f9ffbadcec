"""What is said of a file is what its own library wrote, and the block reads it."""

import re
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime

import h5py
import mne
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import xarray
import yaml
from PIL import Image
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from rsatoolbox.data import Dataset, TemporalDataset
from rsatoolbox.rdm import RDMs

from repbias.base.spec import RepbiasError
from repbias.commands.description import FILL_IN, Description, name_of
from repbias.commands.inspect import describe
from repbias.commands.main import main
from repbias.io.hdf5 import create
from repbias.io.recordings import Recording
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

RNG = np.random.default_rng(0)
IDS = [f"im{i}" for i in range(6)]
RESPONSES = RNG.normal(size=(6, 3, 5))  # (stimulus, repeat, unit)
AXES = ["stimulus", "repeat", "unit"]


def assert_same_responses(recording, expected=RESPONSES):
    """Trials go by stimulus and repeat; the ids ascend as the rows of the array do."""
    assert recording.stimulus_ids.tolist() == IDS
    np.testing.assert_array_equal(recording.responses, expected.reshape(-1, expected.shape[-1]))


# Arrays


def test_a_bare_array(tmp_path, inspect, read):
    np.save(tmp_path / "r.npy", RESPONSES)
    text, entry = inspect(tmp_path / "r.npy", axes=AXES, stimuli="shown", stimulus_ids="sorted")
    assert "6 x 3 x 5, float64" in text
    assert f"from {RESPONSES.min():.4g} to {RESPONSES.max():.4g}" in text
    assert_same_responses(read(entry, IDS))


@pytest.mark.parametrize("kind", ["npz", "h5", "mat"])
def test_ids_in_the_same_file_name_the_axis(kind, tmp_path, inspect, read):
    path = tmp_path / f"r.{kind}"
    if kind == "npz":
        np.savez(path, spikes=RESPONSES, name=np.array(IDS), other=np.zeros(3))
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["spikes"], file["name"], file["more"] = RESPONSES, IDS, np.zeros(3)
    else:
        scipy.io.savemat(path, {"spikes": RESPONSES, "name": np.array(IDS), "more": np.zeros(3)})
    text, entry = inspect(path, axes=AXES, stimuli="shown")
    assert "spikes: 6 x 3 x 5, float64" in text
    assert "name: 6, text: im0, im1, im2, im3, ..." in text
    assert entry["variable"] == "spikes"
    assert entry["stimulus_ids"] == "variable:name"
    assert_same_responses(read(entry, IDS))


def test_axes_are_guessed_from_ids_only(tmp_path, capsys):
    path = tmp_path / "r.npz"
    np.savez(path, spikes=np.zeros((5, 1, 6)), name=np.array(IDS))
    main(["inspect", str(path)])
    assert "axes: [FILL_IN, _, stimulus]" in capsys.readouterr().out
    np.savez(path, spikes=np.zeros((5, 12)), name=np.repeat(IDS, 2))
    main(["inspect", str(path)])
    assert "axes: [FILL_IN, trial]" in capsys.readouterr().out
    np.savez(path, spikes=np.zeros((6, 6)) + np.arange(6), name=np.array(IDS))
    main(["inspect", str(path)])
    out = capsys.readouterr().out
    assert "axes: [FILL_IN, FILL_IN]" in out
    assert "Axes 1 and 2 are equally long (6)" in out


def test_several_candidates_for_ids_are_listed(tmp_path, inspect, capsys):
    path = tmp_path / "r.npz"
    names = {
        "name": np.array(IDS),
        "category": np.repeat(["face", "tool"], 3),
        "code": np.arange(6) + 7.0,
    }
    np.savez(path, spikes=RESPONSES, flag=np.array([0, 1, 1, 0, 1, 0]), **names)
    inspect(path, axes=AXES, stimuli="shown", stimulus_ids="variable:name")
    main(["inspect", str(path)])
    line = next(line for line in capsys.readouterr().out.splitlines() if "stimulus_ids" in line)
    for name in names:
        assert f"variable:{name} (" in line
    assert "flag" not in line, "of yes and no"


def test_nan_are_counted_and_repeats_suspected(tmp_path, inspect):
    array = np.ones((6, 4, 5))
    array[:2, 2:] = np.nan
    array[:4, 3] = np.nan
    np.save(tmp_path / "r.npy", array)
    text, _ = inspect(tmp_path / "r.npy", axes=AXES, stimuli="s", stimulus_ids="sorted")
    assert f"{np.isnan(array).mean():.2%} NaN" in text
    assert "More and more is NaN along axis 2" in text
    assert "axis 1" not in text
    assert "axis 3" not in text


def test_the_variable_can_be_chosen(tmp_path, inspect, read):
    scipy.io.savemat(tmp_path / "r.mat", {"s": {"a": RESPONSES, "b": np.zeros((9, 99))}})
    _, entry = inspect(
        tmp_path / "r.mat",
        variable="s.a",
        axes=["_", "_", *AXES],
        stimuli="shown",
        stimulus_ids="sorted",
    )
    assert_same_responses(read(entry, IDS))


@pytest.mark.parametrize("square", [True, False])
def test_rdms_are_recognised(square, tmp_path, inspect, read):
    from scipy.spatial.distance import pdist, squareform

    pairs = pdist(RNG.normal(size=(6, 3)))
    np.save(tmp_path / "r.npy", squareform(pairs) if square else pairs)
    _, entry = inspect(tmp_path / "r.npy", stimuli="shown", stimulus_ids="sorted")
    assert entry["kind"] == "rdms"
    np.testing.assert_allclose(read(entry, IDS).rdms, [pairs])
    np.savez(tmp_path / "r.npz", rdm=squareform(pairs) if square else pairs, name=np.array(IDS))
    _, entry = inspect(tmp_path / "r.npz", stimuli="shown")
    assert entry["stimulus_ids"] == "variable:name"
    np.testing.assert_allclose(read(entry, IDS).rdms, [pairs])


def test_an_array_of_one_axis_may_be_a_unit(tmp_path, inspect, read):
    np.save(tmp_path / "r.npy", RESPONSES[:5, 0, 0])
    text, entry = inspect(
        tmp_path / "r.npy", axes=["stimulus"], stimuli="shown", stimulus_ids="sorted"
    )
    assert "one axis: responses of one unit?" in text
    np.testing.assert_array_equal(read(entry, IDS[:5]).responses, RESPONSES[:5, 0, :1])


def test_pairs_on_one_of_several_axes_are_a_hint(tmp_path, inspect):
    np.save(tmp_path / "r.npy", RNG.random((2, 4186)))
    text, entry = inspect(tmp_path / "r.npy", axes=[], stimuli="s", stimulus_ids="sorted")
    assert entry["kind"] == "array"
    assert "The length of axis 2 is the number of pairs of 92 stimuli" in text


def test_ids_with_repeats_are_of_trials_not_of_pairs(tmp_path, inspect, read):
    """120 trials are as many as the pairs of 16 stimuli; regions name the units."""
    names, regions = np.array(IDS * 20, object), np.array(["V4", "IT"] * 9, object)
    responses = RNG.normal(size=(120, 18))
    content = {"resp": responses, "unitRegion": regions, "trials": {"stimulus": names}}
    scipy.io.savemat(tmp_path / "r.mat", content)
    text, entry = inspect(tmp_path / "r.mat", stimuli="s")
    assert "pairs" not in text
    assert (entry["axes"], entry["stimulus_ids"]) == (["trial", "unit"], "variable:trials.stimulus")
    np.testing.assert_array_equal(np.sort(read(entry, IDS).responses, 0), np.sort(responses, 0))


def test_real_rdms(test_data, inspect, read):
    """Kriegeskorte et al. 2008: 92 objects, four subjects, two sessions each."""
    path = test_data / "rdm92_kriegeskorte2008/92_brainRDMs.mat"
    axes = ["_", "subject", "session", "stimulus", "stimulus"]
    text, entry = inspect(path, axes=axes, stimuli="objects", stimulus_ids="sorted")
    assert "RDMs.RDM: 1 x 4 x 2 x 92 x 92" in text
    assert read(entry, [f"object{i:02d}" for i in range(92)]).rdms.shape == (8, 4186)


def test_real_spike_counts(test_data, inspect, read):
    """Cowley et al. 2023: NaN pad the repeats of 640 images."""
    path = test_data / "v4_cowley2023/responses_raw/responses_210325.npy"
    axes = ["unit", "stimulus", "repeat"]
    text, entry = inspect(path, axes=axes, stimuli="s", stimulus_ids="sorted")
    assert "More and more is NaN along axis 3" in text
    assert read(entry, [f"image{i:03d}" for i in range(640)]).responses.shape[1] == 50


def test_matlab_7_3(tmp_path, inspect, read):
    """As MATLAB writes it: HDF5 behind a header of its own, axes reversed, text as numbers."""
    path = tmp_path / "r.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["spikes"] = RESPONSES.T
        file["spikes"].attrs["MATLAB_class"] = np.bytes_("double")
        file["title"] = np.array([[ord(c)] for c in "V4 data"], np.uint16)
        file["title"].attrs["MATLAB_class"] = np.bytes_("char")
        file["#refs#/a"] = np.zeros(100_000)
        file["s/depth"] = np.zeros((1, 6))
        file["s"].attrs["MATLAB_class"] = np.bytes_("struct")
        file["s/depth"].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    text, entry = inspect(path, axes=AXES, stimuli="shown", stimulus_ids="sorted")
    assert "spikes: 6 x 3 x 5, float64" in text
    assert "title: 1, text: V4 data" in text
    assert "s.depth: 1 x 1 x 6 x 1, float64" in text
    assert "refs" not in text
    assert entry["variable"] == "spikes"
    assert_same_responses(read(entry, IDS))


def test_an_array_of_images_goes_to_images(tmp_path, inspect):
    pixels = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "pictures.npz", pictures=pixels, other=np.zeros(3))
    _, entry = inspect(tmp_path / "pictures.npz", variable="pictures")
    images = open_images(ImageSet(**entry))
    np.testing.assert_array_equal(np.asarray(images.load(2)), pixels[2])


def test_no_array_of_numbers(tmp_path, inspect):
    np.savez(tmp_path / "r.npz", name=np.array(IDS))
    text, entry = inspect(tmp_path / "r.npz")
    assert "no array of numbers" in text
    assert entry == {}


# Our own files


def canonical_recording(shape=(12, 3)):
    return Recording(
        stimuli={"stimulus_id": np.array(IDS)},
        responses=RNG.normal(size=shape),
        trials={"stimulus_id": np.repeat(IDS, 2), "repeat": np.tile([0, 1], 6)},
        units={
            "unit": np.array(list("abc")),
            "subject": np.full(3, "M1"),
            "region": np.full(3, "V4"),
        },
        info={"kind": "array", "modality": "spikes", "times_s": [0.1, 0.2]}
        if len(shape) > 2
        else {},
    )


@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 2)])
def test_a_canonical_recording_is_read_again(shape, tmp_path, inspect, read):
    recording = canonical_recording(shape)
    recording.write(tmp_path / "v4.h5")
    text, entry = inspect(tmp_path / "v4.h5", stimuli="shown")
    assert "a canonical recording of repbias" in text
    assert "regions: V4 3" in text
    again = read(entry, IDS)
    np.testing.assert_array_equal(again.trials["stimulus_id"], recording.trials["stimulus_id"])
    for i in range(0, 12, 2):  # trials of a stimulus have no order of their own in the array
        pair = again.responses[i : i + 2].reshape(2, -1)
        expected = recording.responses[i : i + 2].reshape(2, -1)
        np.testing.assert_array_equal(
            pair[pair[:, 0].argsort()], expected[expected[:, 0].argsort()]
        )


def test_canonical_rdms_are_read_again(tmp_path, inspect, read):
    rdms = RNG.random((2, 15))
    info = {
        "subject": np.array(["A", "B"]),
        "session": np.array([0, 0]),
        "region": np.full(2, "IT"),
    }
    Recording(stimuli={"stimulus_id": np.array(IDS)}, rdms=rdms, rdm_info=info).write(
        tmp_path / "it.h5"
    )
    _, entry = inspect(tmp_path / "it.h5", stimuli="shown")
    np.testing.assert_array_equal(read(entry, IDS).rdms, rdms)


def test_other_files_of_the_pipeline_are_named_and_read_by_nothing(tmp_path, inspect):
    with create(tmp_path / "n.h5", "networks") as file:
        file["weights/w1"] = np.zeros((2, 3))
    text, entry = inspect(tmp_path / "n.h5")
    assert "kind 'networks'" in text
    assert entry == {}


# The field's own formats


@pytest.mark.parametrize("temporal", [False, True])
def test_rsatoolbox_dataset(temporal, tmp_path, inspect, read):
    values = RESPONSES.reshape(18, 5)
    described = {
        "obs_descriptors": {"image": np.repeat(IDS, 3).tolist(), "run": np.tile([0, 1, 2], 6)},
        "channel_descriptors": {"roi": ["V4"] * 5},
    }
    if temporal:
        times = {"time": np.array([0.1, 0.2])}
        both = np.stack([values, values + 1], axis=2)
        dataset = TemporalDataset(both, time_descriptors=times, **described)
    else:
        dataset = Dataset(values, **described)
    dataset.save(str(tmp_path / "d.h5"))
    text, entry = inspect(tmp_path / "d.h5", stimuli="shown", stimulus="image")
    assert "measurements: 18 x 5" in text
    recording = read(entry, IDS)
    responses = recording.responses[:, :, 0] if temporal else recording.responses
    assert_same_responses(Recording({"stimulus_id": recording.stimulus_ids}, responses))


@pytest.mark.parametrize("named", [False, True])
def test_rsatoolbox_rdms(named, tmp_path, inspect, read):
    pairs = RNG.random((3, 15))
    subjects = {"rdm_descriptors": {"subject": ["a", "b", "c"]}} if named else {}
    RDMs(pairs, pattern_descriptors={"image": IDS}, **subjects).save(str(tmp_path / "d.h5"))
    _, entry = inspect(tmp_path / "d.h5", stimuli="shown", stimulus="image")
    recording = read(entry, IDS)
    np.testing.assert_array_equal(recording.rdms, pairs)
    assert recording.rdm_info["subject"].tolist() == (["a", "b", "c"] if named else ["0", "1", "2"])


def write_nwb(path, region="V4", quality=None):
    """Six stimuli, twice each; unit u fires u + 1 spikes 50 to 150 ms after every trial's start."""
    nwb = NWBFile("test", "session7", datetime(2026, 1, 1, tzinfo=UTC))
    nwb.subject = Subject(subject_id="monkeyA", species="Macaca mulatta")
    nwb.add_trial_column("image_name", "what was shown")
    starts = np.arange(12.0)
    for i, start in enumerate(starts):
        nwb.add_trial(start_time=start, stop_time=start + 0.5, image_name=IDS[i % 6])
    nwb.add_unit_column("region", "where")
    if quality:
        nwb.add_unit_column("quality", "how well isolated")
    for unit in range(3):
        times = (starts[:, None] + np.linspace(0.05, 0.15, unit + 1)).ravel()
        label = {"quality": quality[unit]} if quality else {}
        nwb.add_unit(spike_times=times, region=region, **label)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


def test_nwb(tmp_path, inspect, read):
    write_nwb(tmp_path / "s.nwb")
    text, entry = inspect(
        tmp_path / "s.nwb", stimuli="shown", stimulus="image_name", from_s=0.0, to_s=0.2
    )
    assert "subject monkeyA" in text
    assert "image_name: 6 values: im0, im1, im2, im3, ..." in text
    assert "units: 3, with" in text
    recording = read(entry, IDS)
    assert set(recording.units["region"]) == {"V4"}
    np.testing.assert_array_equal(recording.responses, np.tile([1, 2, 3], (12, 1)))


def test_labels_of_units_in_nwb_are_counted(tmp_path, inspect, read):
    write_nwb(tmp_path / "s.nwb", quality=["noise", "good", "good"])
    fill = {"stimuli": "shown", "stimulus": "image_name", "from_s": 0.0, "to_s": 0.2}
    text, entry = inspect(tmp_path / "s.nwb", **fill)
    assert "quality: noise (1), good (2)" in text
    assert "The block reads all of these units: where chooses some." in text
    where = "where: {quality: good}"
    assert describe(tmp_path / "s.nwb").comments["data"].startswith(f"{where} chooses some")
    recording = read(entry | yaml.safe_load(where), IDS)
    np.testing.assert_array_equal(recording.responses, np.tile([2, 3], (12, 1)))


def test_nwb_without_trials_says_what_is_missing(tmp_path, inspect):
    with NWBHDF5IO(tmp_path / "s.nwb", "w") as io:
        io.write(NWBFile("test", "session7", datetime(2026, 1, 1, tzinfo=UTC)))
    text, entry = inspect(tmp_path / "s.nwb")
    assert "Needed to read it: a table of trials" in text
    assert entry == {}


def test_only_columns_that_may_name_stimuli_are_offered(tmp_path, capsys):
    write_nwb(tmp_path / "s.nwb")
    main(["inspect", str(tmp_path / "s.nwb")])
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("    stimulus:"))
    assert "image_name (6 values" in line
    assert "stop_time" not in line, "half seconds name nothing"


@pytest.mark.parametrize("metadata", [True, False])
def test_mne(metadata, tmp_path, inspect, read):
    info = mne.create_info(["E1", "E2"], 100.0, "eeg")
    data = RNG.normal(size=(12, 2, 20)) * 1e-6
    codes = np.tile(np.arange(1, 7), 2)
    events = np.column_stack([np.arange(12) * 50, np.zeros(12, int), codes])
    epochs = mne.EpochsArray(
        data,
        info,
        events,
        event_id=dict(zip(IDS, range(1, 7), strict=True)),
        metadata=pd.DataFrame({"picture": np.tile(IDS, 2)}) if metadata else None,
        verbose="error",
    )
    epochs.save(tmp_path / "s-epo.fif", verbose="error")
    fill = {"stimulus": "picture"} if metadata else {}
    text, entry = inspect(tmp_path / "s-epo.fif", stimuli="shown", **fill)
    assert "12 epochs" in text
    assert "eeg (2)" in text
    assert "events: 6: im0 (2)" in text
    recording = read(entry, IDS)
    assert recording.stimulus_ids.tolist() == IDS
    assert recording.responses.shape == (12, 2, 20), "bins of 10 ms are the samples"


@pytest.mark.parametrize("name", ["stimulus_id", "image_id", "object"])
@pytest.mark.parametrize("unit", ["ms", "s"])
def test_brainscore(name, unit, tmp_path, inspect, read):
    edges = np.array([70.0, 80.0, 90.0]) * (1 if unit == "ms" else 1e-3)
    xarray.Dataset(
        {"responses": (("presentation", "neuroid", "time_bin"), RNG.normal(size=(6, 3, 2)))},
        {
            name: ("presentation", IDS),
            "neuroid_id": ("neuroid", ["n1", "n2", "n3"]),
            "region": ("neuroid", ["IT", "IT", "V4"]),
            "time_bin_start": ("time_bin", edges[:-1]),
            "time_bin_end": ("time_bin", edges[1:]),
        },
    ).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    fill = {"stimulus": name} if name == "object" else {}
    text, entry = inspect(tmp_path / "a.nc", stimuli="shown", **fill)
    assert "responses: presentation 6, neuroid 3, time_bin 2; float64" in text
    assert "region (neuroid): 2 values: IT, V4" in text
    recording = read(entry, IDS)
    assert recording.stimulus_ids.tolist() == IDS
    np.testing.assert_allclose(recording.info["times_s"], [0.075, 0.085])


@pytest.mark.parametrize("bids", [True, False])
def test_nifti(bids, tmp_path, inspect, read):
    """Six events of two volumes each; betas have one volume for each trial."""
    affine = np.diag([2.0, 2.5, 3.0, 1.0])
    n = 18 if bids else 12  # the last response is over 20 s after the start
    volumes = RNG.normal(size=(3, 2, 1, n)).astype(np.float32)
    image = nibabel.Nifti1Image(volumes, affine)
    image.header.set_zooms((2.0, 2.5, 3.0, 1.5))
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path / ("sub-01_task-x_bold.nii.gz" if bids else "betas.nii.gz")
    nibabel.save(image, path)
    mask = np.ones((3, 2, 1), np.uint8)
    mask[0, 0] = 0
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "mask.nii")
    nibabel.save(nibabel.Nifti1Image(mask[:2], affine), tmp_path / "othermask.nii")
    events = tmp_path / ("sub-01_task-x_events.tsv" if bids else "shown.tsv")
    timing = {"onset": np.arange(6) * 3.0, "duration": 3.0} if bids else {}
    shown = IDS if bids else IDS * 2
    pd.DataFrame({"trial_type": shown, **timing}).to_csv(events, sep="\t", index=False)
    fill = {} if bids else {"content": "betas", "events": str(events)}
    text, entry = inspect(path, stimuli="shown", **fill)
    assert f"3 x 2 x 1 x {n}, float32" in text
    assert "voxels: 2 x 2.5 x 3 mm" in text
    assert "repetition time: 1.5 sec" in text
    assert entry["mask"] == str(tmp_path / "mask.nii")
    recording = read(entry, IDS)
    assert recording.responses.shape[1] == 5
    if not bids:
        np.testing.assert_array_equal(
            np.sort(recording.responses, axis=0), np.sort(volumes[mask == 1].T, axis=0)
        )
    text, entry = inspect(tmp_path / "mask.nii")
    assert "One volume" in text
    assert entry == {}


def test_real_bold(test_data, inspect, read):
    """Haxby et al. 2001, a slice: the label of every volume is in a table without a header."""
    folder = test_data / "fmri_haxby2001_slice"
    text, entry = inspect(
        folder / "bold.nii.gz", stimuli="s", events=str(folder / "attributes_literal.txt")
    )
    assert "40 x 20 x 1 x 1452" in text
    assert "repetition time: 2.5 s" in text
    labels = {"header": ["stimulus", "run"], "ignore": ["rest"]}
    categories = ["bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe"]
    assert read(entry | labels, categories).stimulus_ids.tolist() == categories


def table_rows():
    for i, stimulus in enumerate(IDS):
        for repeat in range(3):
            for unit in range(5):
                yield stimulus, repeat, f"n{unit}", RESPONSES[i, repeat, unit]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_tables(layout, suffix, tmp_path, inspect, read):
    table = pd.DataFrame(table_rows(), columns=["stimulus_id", "repeat", "neuron", "rate"])
    if layout == "wide":
        table = table.pivot(index=["stimulus_id", "repeat"], columns="neuron", values="rate")
        table = table.reset_index()
    path = tmp_path / f"t.{suffix}"
    table.to_csv(path, index=False, sep="," if suffix == "csv" else "\t", float_format="%.17g")
    text, entry = inspect(path, stimuli="shown")
    assert "stimulus_id: 6 values" in text
    assert entry["format"] == layout
    assert_same_responses(read(entry, IDS))


def test_a_table_whose_columns_are_called_otherwise(tmp_path, inspect, read):
    columns = ["picture", "repeat", "neuron", "firing"]
    pd.DataFrame(table_rows(), columns=columns).to_csv(tmp_path / "t.csv", index=False)
    named = {"stimulus": "picture", "unit": "neuron", "response": "firing", "repeat": "repeat"}
    with pytest.raises(AssertionError, match="columns"):
        inspect(tmp_path / "t.csv", stimuli="shown")
    _, entry = inspect(tmp_path / "t.csv", stimuli="shown", **{"columns.stimulus": 1})
    assert entry["columns"]["response"] == "firing"
    entry = {k: v for k, v in entry.items() if "." not in k} | {"columns": named}
    assert read(entry, IDS).responses.shape == (18, 5)


@pytest.mark.parametrize("stimulus", ["stimulus", "picture"])
@pytest.mark.parametrize("numbered", [True, False])
def test_a_long_table_is_recognised_by_what_is_repeated(stimulus, numbered, tmp_path, capsys):
    """A column of numbers, and every stimulus with every unit, whatever the columns are called."""
    rows = pd.DataFrame(table_rows(), columns=[stimulus, "repeat", "label", "firing"])
    if numbered:
        rows["label"] = rows["label"].str.slice(1).astype(int)
    rows.to_csv(tmp_path / "t.csv")
    main(["inspect", str(tmp_path / "t.csv")])
    out = capsys.readouterr().out
    assert "column 1 is an index of rows, and left out" in out
    assert "format: long  # a guess: one numeric column, 'firing', and every " in out
    named = stimulus == "stimulus"
    unit = "label" if named else "FILL_IN"
    columns = f"stimulus: {stimulus if named else 'FILL_IN'}, unit: {unit}, response: firing"
    assert f"columns: {{{columns}, repeat: repeat}}  # guesses from names" in out


@pytest.mark.parametrize(("first", "proposed"), [(0, True), (1, True), (2, False)])
def test_trials_that_are_counted_are_repeats(first, proposed, tmp_path, inspect, read):
    rows = pd.DataFrame(table_rows(), columns=["image", "trial", "neuron", "spike_count"])
    rows["trial"] += first - rows["trial"].min()
    rows.to_csv(tmp_path / "t.csv", index=False)
    _, entry = inspect(tmp_path / "t.csv", stimuli="shown")
    assert (entry["columns"].get("repeat") == "trial") == proposed
    if proposed:
        assert read(entry, IDS).responses.shape == (18, 5)


def test_a_wide_table_is_called_a_guess(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("stimulus;n1;n2\ncat;1,5;2\ndog;1,5;3\ncat;2,5;3\n")
    main(["inspect", str(tmp_path / "t.csv")])
    out = capsys.readouterr().out
    assert "format: wide  # a guess: 2 numeric columns, and none of units" in out
    assert "cells are separated by semicolons" in out
    assert "commas in numbers are decimal: 1,5 is 1.5" in out


def test_a_list_of_ids_is_no_table(tmp_path, inspect):
    path = tmp_path / "order.txt"
    path.write_text("".join(f"grating_{i:03}.png\n" for i in range(96)))
    text, entry = inspect(path)
    assert f"  a list of 96 ids: stimulus_ids: {path}" in text.splitlines()
    assert entry == {}
    path.write_text("V1\nV4\n" * 20)
    assert "40 names, 2 of them different (V1, V4), such as regions:" in inspect(path)[0]
    path.write_text("image\na.png\nb.png\n")
    assert describe(path).lines[0] == "table of 2 rows"


def test_modules_and_their_weights_are_models(tmp_path):
    (tmp_path / "mine.py").write_text("def trained(): ...\n")
    torch.save({"weight": torch.ones(2)}, tmp_path / "trained.pt")
    for name, entry in (
        ("mine.py", "{kind: torch, factory: mine:FUNCTION, layers"),
        ("trained.pt", "{kind: torch, factory: MODULE:FUNCTION, files: [trained.pt], layers"),
    ):
        with pytest.raises(RepbiasError) as error:
            describe(tmp_path / name)
        assert f"networks: {{NAME: {entry}" in str(error.value)
        assert "docs/your-network.md" in str(error.value)


def test_an_embedding_and_triplets_as_of_things(tmp_path, inspect):
    path = tmp_path / "spose_embedding_49d_sorted.txt"
    matrix = RNG.random((6, 49)).round(4)
    np.savetxt(path, matrix, fmt="%.4f")
    (tmp_path / "unique_id.txt").write_text("\n".join(IDS))
    text, entry = inspect(path)
    assert "matrix of 6 x 49 numbers" in text
    images = open_images(ImageSet(**entry))
    assert images.ids == IDS
    assert ImageSet(**entry).column_names()[::48] == ["column01", "column49"]
    np.testing.assert_array_equal(np.stack(list(images.columns.values()), axis=1), matrix)
    (tmp_path / "unique_id.txt").write_text("\n".join(IDS[1:]))
    with pytest.raises(RepbiasError, match=r"unique_id.txt: 5 ids for the 6 rows of .*spose"):
        open_images(ImageSet(**entry))
    triplets = tmp_path / "triplets_large_final.csv"
    triplets.write_text("image1\timage2\timage3\tchoice\tRT\n1\t2\t3\t2\t900\n")
    text, entry = inspect(triplets)
    assert "odd-one-out triplets" in text
    assert entry == {}


def test_tables_of_events_and_of_stimuli_are_recognised(tmp_path, inspect):
    pd.DataFrame({"onset": [0, 1], "duration": 1, "trial_type": "a"}).to_csv(
        tmp_path / "e.tsv", sep="\t", index=False
    )
    text, entry = inspect(tmp_path / "e.tsv")
    assert "These are fMRI events" in text
    assert entry == {}
    pd.DataFrame({"stimulus_id": IDS, "size": np.arange(6)}).to_csv(tmp_path / "s.csv", index=False)
    text, entry = inspect(tmp_path / "s.csv")
    assert "The block takes it for properties of stimuli (a guess" in text
    assert open_images(ImageSet(**entry)).ids == IDS


def test_a_table_of_stimuli_with_another_column_of_ids(tmp_path, inspect):
    path = tmp_path / "stimuli.csv"
    table = pd.DataFrame({"image": IDS, "category": ["a", "b"] * 3, "size": np.arange(6) / 3})
    table.to_csv(path, index=False)
    text, entry = inspect(path)
    assert entry == {"table": str(path)}
    assert "rename its column 'image', whose values are all different, to stimulus_id" in text
    expected = "rename the one that holds the ids to stimulus_id, which may be 'image' "
    with pytest.raises(RepbiasError, match=re.escape(expected)):
        open_images(ImageSet(**entry))
    table.rename(columns={"image": "stimulus_id"}).to_csv(path, index=False)
    assert list(open_images(ImageSet(**inspect(path)[1])).columns) == ["category", "size"]


def test_properties_and_an_embedding_go_to_images_too(tmp_path, capsys):
    embedding = {f"emb_{i}": RNG.random(6) for i in range(12)}
    table = pd.DataFrame({"stimulus_id": IDS, "category": ["a", "b"] * 3} | embedding)
    table.to_csv(tmp_path / "images.csv", index=False)
    main(["inspect", str(tmp_path / "images.csv")])
    out = capsys.readouterr().out
    blocks = yaml.safe_load(out[out.index("\nimages:") :])
    assert "The blocks take it for both (a guess" in out
    images = open_images(ImageSet(**blocks["images"]["images_images"]))
    assert images.ids == IDS and len(images.columns) == 13
    assert blocks["recordings"]["images"]["format"] == "wide"


@pytest.mark.parametrize(
    "columns",
    [
        {"stimulus": IDS, "n1": 0.5, "n2": 1},
        {"stimulus": IDS, "LOC": 0.5, "FFA": 0.25, "PPA": 0.125},
        {"image": IDS, "subject": "S1", "rt": 0.5},
        {"image": IDS, "onset": np.arange(6)},
        {"stimulus": [*IDS[1:], IDS[1]], "category": "a"},
    ],
)
def test_tables_of_responses_and_trials_are_no_stimuli(columns, tmp_path, capsys):
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    main(["inspect", str(tmp_path / "t.csv")])
    out = capsys.readouterr().out
    assert "kind: table" in out and "\nimages:" not in out


# Pictures beside responses, and folders of anything


def mat_with_pictures(path, n=6, side=8, compressed=False):
    """As labs share them: pictures along the last axis, responses, and a table of MATLAB's."""
    pictures = RNG.integers(0, 256, (side, side, 3, n), dtype=np.uint8)
    content = {"pictures": pictures, "spikes": RESPONSES, "names": np.array(IDS, object)}
    scipy.io.savemat(path, content, do_compression=compressed)
    return pictures


def test_pictures_and_responses_in_a_file_go_to_their_sections(tmp_path, inspect, read, capsys):
    path = tmp_path / "session 1.mat"
    pictures = mat_with_pictures(path)
    text, entry = inspect(path, axes=AXES)
    assert "pictures looks like 6 pictures" in text
    assert entry["variable"] == "spikes"
    assert_same_responses(read(entry, IDS))
    main(["inspect", str(path)])
    block = yaml.safe_load(capsys.readouterr().out.partition("\n\n")[2])
    assert block["recordings"]["session_1"]["stimuli"] == "session_1_images"
    images = open_images(ImageSet(**block["images"]["session_1_images"]))
    np.testing.assert_array_equal(np.asarray(images.load(2)), pictures[..., 2])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["compressed mat", "mat", "npy", "npz", "h5"])
def test_no_more_memory_is_taken_than_twice_the_file(kind, tmp_path):
    """Of the process and of the one that reads first; a small file says what both take anyway."""

    def peak(side):
        path = tmp_path / f"a{side}.{kind.split()[-1]}"
        coarse = RNG.integers(0, 256, (side // 8, side // 8, 3, 240), dtype=np.uint8)
        pictures = coarse.repeat(8, axis=0).repeat(8, axis=1)
        if kind == "npy":
            np.save(path, pictures)
        elif kind == "npz":
            np.savez_compressed(path, pictures=pictures, spikes=RESPONSES)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("pictures", data=pictures, compression="gzip")
                file["spikes"] = RESPONSES
        else:
            content = {"pictures": pictures, "spikes": RESPONSES}
            scipy.io.savemat(path, content, do_compression=kind.startswith("c"))
        code = (
            "import re, resource, sys; from repbias.commands.main import main; main(sys.argv[1:]);"
            # The maximum of a process that getrusage knows includes that of its parent.
            "own = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read()).group(1);"
            "print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
        )
        command = [sys.executable, "-c", code, "inspect", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "240" in done.stdout
        return 1024 * int(done.stdout.split()[-1]), path.stat().st_size

    (least, _), (most, size) = peak(8), peak(400)  # 115 MB of pictures
    assert most - least < 2 * size + 30e6


def test_one_array_per_subject_is_proposed_as_a_pattern(tmp_path, inspect, read):
    path = tmp_path / "r.mat"
    rates = {f"sub{i}": RNG.normal(size=(6, 3, i)) for i in (4, 5)}
    scipy.io.savemat(path, rates)
    _, entry = inspect(path, axes=AXES, stimuli="shown", stimulus_ids="sorted")
    assert entry["variable"] == "sub*"
    recording = read(entry, IDS)
    assert recording.units["subject"].tolist() == ["sub4"] * 4 + ["sub5"] * 5
    assert_same_responses(
        Recording({"stimulus_id": recording.stimulus_ids}, recording.responses[:, :4]),
        rates["sub4"],
    )


def test_subjects_with_ids_of_their_own_may_differ_in_all_axes(tmp_path, inspect, read):
    responses = {"resp_S1": RESPONSES, "resp_S2": RNG.normal(size=(4, 3, 2))}
    np.savez(tmp_path / "r.npz", **responses, ids_S1=np.array(IDS), ids_S2=np.array(IDS[2:]))
    _, entry = inspect(tmp_path / "r.npz", axes=AXES, stimuli="shown")
    assert (entry["variable"], entry["stimulus_ids"]) == ("resp_S*", "variable:ids_S*")
    recording = read(entry, IDS)
    assert recording.units["subject"].tolist() == ["S1"] * 5 + ["S2"] * 2
    assert recording.stimulus_ids.tolist() == IDS


def test_a_file_of_meadows(tmp_path, inspect, read):
    path = tmp_path / "Meadows_animals_v_v1_arrange_1D.mat"
    pairs = RNG.random((2, 15))
    names = {f"stimuli_{who}": np.array(IDS) for who in ("shy_crab", "wise_owl")}
    scipy.io.savemat(path, {"rdmutv_shy_crab": pairs[:1], "rdmutv_wise_owl": pairs[1:], **names})
    text, entry = inspect(path, stimuli="shown")
    assert "RDMs of arrangements, made with Meadows" in text
    recording = read(entry, IDS)
    np.testing.assert_array_equal(recording.rdms, pairs)
    assert recording.rdm_info["subject"].tolist() == ["shy_crab", "wise_owl"]
    assert recording.info["modality"] == "behaviour"


def test_a_folder_of_anything_is_listed_by_kind(tmp_path, inspect, read):
    np.save(tmp_path / "small.npy", np.zeros(3))
    np.savez(tmp_path / "rates.npz", spikes=RESPONSES, name=np.array(IDS))
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "model.pkl").write_bytes(b"x")
    (tmp_path / "trials.csv").write_text("stimulus_id,size\nim0,1\n")
    (tmp_path / "shown").mkdir()
    for name in IDS:
        Image.new("RGB", (4, 4)).save(tmp_path / f"shown/{name}.png")
    text, entry = inspect(tmp_path, axes=AXES)
    assert "6 .png: stimuli; the largest" in text
    assert f"repbias inspect {tmp_path}/rates.npz" in text
    assert "1 .npy, 1 .npz" in text or "1 .npz, 1 .npy" in text
    assert f"repbias inspect {tmp_path}/trials.csv" in text
    assert "1 .pkl: not read" in text
    assert "1 other file, which repbias does not read" in text
    assert "The likeliest recording is rates.npz (a guess: the largest of its kind)" in text
    assert_same_responses(read(entry, IDS))


def test_a_folder_of_images_and_a_table_is_a_set_of_stimuli(tmp_path, inspect):
    for name in IDS:
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "stimuli.csv").write_text("stimulus_id,size\nim0,1\n")
    text, entry = inspect(tmp_path)
    assert "6 images" in text
    assert "1 .csv: tables of stimuli" in text
    assert open_images(ImageSet(**entry)).ids == IDS


def test_a_folder_without_files_that_are_read(tmp_path, capsys):
    (tmp_path / "notes.docx").write_text("x")
    assert main(["inspect", str(tmp_path)]) == 1
    assert "no other file that repbias reads; endings of the files: 1 .docx" in one_line(capsys)


# Images


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_images(kind, tmp_path, inspect):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in IDS:
        Image.fromarray(RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(
            folder / f"{name}.png"
        )
    path = folder if kind == "folder" else tmp_path / f"pictures.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
    elif kind == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, "pictures")
    text, entry = inspect(path)
    assert "6 images: im0, im1, im2, im3, ..." in text
    assert "9 x 8" in text
    assert "Sorted" not in text
    assert open_images(ImageSet(**entry)).ids == IDS


def test_images_that_have_two_orders(tmp_path, inspect):
    for i in (1, 2, 10):
        Image.new("RGB", (4, 4)).save(tmp_path / f"im{i}.png")
    text, _ = inspect(tmp_path)
    assert "3 images: im1, im10, im2" in text
    assert "Sorted naturally, they are im1, im2, im10: mind what a recording's axis" in text


def test_what_is_proposed_for_ids_is_not_refused(tmp_path, capsys):
    """The ids of the set are not known here, so both orders are named."""
    np.save(tmp_path / "r.npy", RESPONSES)
    assert main(["inspect", str(tmp_path / "r.npy")]) == 0
    printed = capsys.readouterr().out
    assert "'sorted as text'" in printed
    assert "'sorted naturally'" in printed


# Bad input


def whole_files(folder):
    """Write one file of every kind; return their paths."""
    np.save(folder / "a.npy", RESPONSES)
    np.savez(folder / "a.npz", a=RESPONSES)
    scipy.io.savemat(folder / "a.mat", {"a": RESPONSES})
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = RESPONSES
    write_nwb(folder / "a.nwb")
    xarray.Dataset({"a": (("x", "y"), np.zeros((3, 3)))}).to_netcdf(
        folder / "a.nc", engine="h5netcdf"
    )
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(RESPONSES, np.eye(4)), folder / name)
    info = mne.create_info(["E1"], 100.0, "eeg")
    epochs = mne.EpochsArray(np.zeros((4, 1, 10)), info, verbose="error")
    epochs.save(folder / "a-epo.fif", verbose="error")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("im.png", b"not an image")
    return sorted(folder.iterdir())


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


@pytest.mark.slow
def test_truncated_files_give_one_line_that_names_them(tmp_path, capsys):
    for path in whole_files(tmp_path):
        content = path.read_bytes()
        for n in (100, len(content) // 2):
            path.write_bytes(content[:n])
            assert main(["inspect", str(path)]) == 1, (path, n)
            assert str(path) in one_line(capsys)
    (tmp_path / "a.csv").write_text("stimulus,n1\nim1,1\nim2")
    assert main(["inspect", str(tmp_path / "a.csv")]) == 1
    assert "line 3 has 1 cells" in one_line(capsys)


def test_empty_files_give_one_line_that_names_them(tmp_path, capsys):
    for path in whole_files(tmp_path):
        path.write_bytes(b"")
        assert main(["inspect", str(path)]) == 1, path
        assert str(path) in one_line(capsys)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("missing.npy", "no such file"),
        ("notes.docx", "unknown kind of file '.docx'"),
        ("empty", "no images"),
    ],
)
def test_paths_that_cannot_be_described(name, expected, tmp_path, capsys):
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / name)]) == 1
    assert expected in one_line(capsys)


def test_a_variable_that_is_not_there(tmp_path, capsys):
    np.savez(tmp_path / "r.npz", spikes=RESPONSES)
    assert main(["inspect", str(tmp_path / "r.npz"), "--variable", "spike"]) == 1
    assert "did you mean 'spikes'?" in one_line(capsys)
    np.save(tmp_path / "r.npy", RESPONSES)
    assert main(["inspect", str(tmp_path / "r.npy"), "--variable", "spikes"]) == 1
    assert "leave --variable out" in one_line(capsys)


def test_nothing_loads_a_pickle(tmp_path, capsys):
    np.save(tmp_path / "r.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert main(["inspect", str(tmp_path / "r.npy")]) == 1
    assert "allow_pickle" in one_line(capsys)


# The block


def test_comments_stay_on_their_line():
    found = Description([])
    found.put("stimulus", FILL_IN, "one of\na\nb")
    assert found.block("x") == "recordings:\n  x:\n    stimulus: FILL_IN  # one of a b\n"


@pytest.mark.parametrize(
    "value", ["yes", "1e3", "a: b", "# x", "", "ü", "a'b", [1, "no"], {"a": None}]
)
def test_every_value_comes_back_from_the_block(value):
    found = Description([])
    found.put("key", value, "comment")
    assert yaml.safe_load(found.block("x")) == {"recordings": {"x": {"key": value}}}


@pytest.mark.parametrize("name", ["2024-03-02", "20240302", "1e5", "1.5", "on", "null", "V4"])
def test_names_of_entries_are_text(name, tmp_path):
    np.save(tmp_path / f"{name}.npy", RESPONSES)
    block = Description([], {"kind": "array"}).block(name_of(tmp_path / f"{name}.npy"))
    ((key, _),) = yaml.safe_load(block)["recordings"].items()
    assert key == name_of(tmp_path / f"{name}.npy")
    assert name != "1e5" or "'1e5':" in block  # YAML 1.2 reads it as a number
    assert main(["init", str(tmp_path / name), "--recording", str(tmp_path / f"{name}.npy")]) == 0
    study = yaml.safe_load((tmp_path / name / "study.yaml").read_text())
    assert (study["study"], list(study["recordings"])) == (name_of(tmp_path / name), [key])


def test_names_of_entries_are_valid(tmp_path):
    from pydantic import TypeAdapter

    from repbias.base.spec import Name

    for name in (
        "a b.nii.gz",
        ".hidden",
        "ü.npy",
        "-x.mat",
        "92_RDMs.mat",
        f"{'xyz01234' * 25}.npy",
    ):
        TypeAdapter(Name).validate_python(name_of(tmp_path / name))
