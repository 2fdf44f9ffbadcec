"""Models that are already computed: what is read is what the extractors of the field write."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import xarray
import zarr
from pydantic import TypeAdapter, ValidationError
from scipy.stats import zscore

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks import model_arrays
from repbias.networks.kinds import Network
from repbias.networks.model_arrays import put_array_activations, survey
from repbias.networks.user_models import pooled
from repbias.stimuli.images import Images

RNG = np.random.default_rng(0)
#: Ids of the set are sorted; files have them in another order, with others among them.
KNOWN = Images([f"im{i}" for i in range(6)], None)
FILE = ["im3", "im0", "blank", "im5", "im1", "im4", "im2"]
ROWS = [FILE.index(name) for name in KNOWN.ids]
LAYERS = {
    "conv2": RNG.normal(size=(7, 4)),
    "conv10": RNG.normal(size=(7, 3)),
    "fc": RNG.normal(size=(7, 5)).astype(np.float32),
}


def spec_of(path, **settings):
    entry = {"kind": "array", "path": str(path), "stimuli": "shown", "stimulus_ids": FILE}
    return TypeAdapter(Network).validate_python(entry | settings)


def read(path, images=KNOWN, **settings):
    """Write the layers into our file, and read that back."""
    target = path.parent / f"{path.name}-read.h5"
    with create(target, "activations") as file:
        put_array_activations(file, "mine", spec_of(path, **settings), images)
    found = Activations.open(target)
    assert found.stimulus_ids.tolist() == images.ids
    return {layer: found.read(layer, 0) for layer in found.layers}


def assert_layers(found, expected=LAYERS, rows=ROWS):
    """Exactly what was written, in single precision, in the order of the set."""
    assert list(found) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_array_equal(found[layer], np.float32(values)[rows])


# A file whose arrays are layers


def in_file(kind, folder, layers=LAYERS, ids=FILE):
    """Write several layers and the ids into one file."""
    path = folder / f"features.{kind}"
    if kind == "npz":
        np.savez(path, **layers, names=ids, labels=np.arange(7))
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in layers.items():
                file.create_dataset(name, data=values, chunks=(2, 2), compression="gzip")
            file["names"] = ids
    elif kind == "mat":
        scipy.io.savemat(path, layers | {"names": np.array(ids, object)})
    elif kind == "nc":
        axes = {name: (["image", f"unit_{name}"], v) for name, v in layers.items()}
        xarray.Dataset(axes, {"names": ("image", ids)}).to_netcdf(path, engine="h5netcdf")
    else:
        group = zarr.open_group(str(path), "w")
        for name, values in layers.items():
            group.create_dataset(name, data=values, chunks=(2, 2))
        group.create_dataset("names", data=np.array(ids, "U8"))
    return path


KINDS = ["npz", "h5", "mat", "nc", "zarr"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_a_file_are_layers_in_natural_order(kind, tmp_path):
    path = in_file(kind, tmp_path)
    ids = "variable:names"
    assert_layers(read(path, stimulus_ids=ids))
    chosen = ["fc", "conv10"]
    assert_layers(read(path, layers=chosen, stimulus_ids=ids), {n: LAYERS[n] for n in chosen})
    found = read(path, layers=["conv*"], stimulus_ids=ids)
    assert list(found) == ["conv2", "conv10"]
    with pytest.raises(ValidationError, match="has no layer 'conv3'; did you mean 'conv2'"):
        spec_of(path, layers=["conv3"])


def test_datasets_in_groups_are_layers(tmp_path):
    """As saved by hooks under the names of modules; slashes become dots."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, values in LAYERS.items():
            file[f"resnet/{name}"] = values
    spec = spec_of(path)
    assert spec.layers == ["resnet.conv2", "resnet.conv10", "resnet.fc"]
    assert_layers(read(path), {f"resnet.{name}": v for name, v in LAYERS.items()})


def test_layers_are_those_of_the_file_when_the_study_was_loaded(tmp_path):
    """They are part of what a job depends on."""
    assert spec_of(in_file("npz", tmp_path)).model_dump()["layers"] == list(LAYERS)


@pytest.mark.parametrize("kind", ["npy", "h5", "npz"])
def test_layers_that_are_stacked_in_one_array(kind, tmp_path):
    """The hidden states of a language model."""
    stacked, path = RNG.normal(size=(3, 7, 4)), tmp_path / f"hidden.{kind}"
    names = ["block0", "block1", "block2"]
    if kind == "npy":
        np.save(path, stacked)
    elif kind == "npz":
        np.savez(path, states=stacked, names=names)
    else:
        with h5py.File(path, "w") as file:
            file["states"], file["names"] = stacked, names
    settings = {"axes": ["layer", "stimulus", "unit"], "layers": names}
    if kind != "npy":
        settings |= {"variable": "states", "layers": "variable:names"}
    assert_layers(read(path, **settings), dict(zip(names, stacked, strict=True)))
    with pytest.raises(RepbiasError, match="layers gives 2 names for 3 layers"):
        read(path, **settings | {"layers": names[:2]})


# A folder


@pytest.mark.parametrize("kind", ["npy", "txt", "mat", "hdf5"])
def test_a_folder_of_thingsvision(kind, tmp_path):
    """A folder for every module, each with `features` and `file_names.txt` (its store_features).

    After thingsvision's source, as it needs TensorFlow. Names of files have folders and endings;
    with them, a MATLAB file has an array for every image.
    """
    for layer, values in LAYERS.items():
        folder = tmp_path / layer
        folder.mkdir()
        path = folder / f"features.{kind}"
        if kind == "npy":
            np.save(path, values)
        elif kind == "txt":
            np.savetxt(path, values)
        elif kind == "hdf5":
            with h5py.File(path, "w") as file:
                file.create_dataset("features", data=values)
        else:
            scipy.io.savemat(path, dict(zip(FILE, values, strict=True)))
    names = tmp_path / "file_names.txt"
    names.write_text("\n".join(f"./images/animals\\{name}.jpg" for name in FILE))
    if kind == "mat":
        found = read(tmp_path, stimulus_ids="arrays", axes=["_", "unit"])
    else:
        found = read(tmp_path, stimulus_ids=str(names))
    assert_layers(found)


def test_a_file_for_each_layer(tmp_path):
    """In natural order; files of other things are no layers."""
    for layer, values in LAYERS.items():
        np.save(tmp_path / f"{layer}.npy", values)
    (tmp_path / "README.md").write_text("Features of a network.")
    (tmp_path / "ids.txt").write_text("\n".join(FILE))
    assert_layers(read(tmp_path, stimulus_ids=str(tmp_path / "ids.txt")))
    spec = spec_of(tmp_path, stimulus_ids=str(tmp_path / "ids.txt"))
    names = {path.rsplit("/", 1)[1] for path in spec.input_files()}
    assert names == {"conv2.npy", "conv10.npy", "fc.npy", "ids.txt"}


@pytest.mark.parametrize("per_layer", [True, False])
def test_files_of_net2brain(per_layer, tmp_path):
    """A file for every image, whose arrays are layers; or, consolidated, one for every layer.

    After Net2Brain's source (`FeatureExtractor.extract`, `consolidate_per_layer`), which needs
    torchvision and others. A batch axis of length 1 stays.
    """
    maps = {
        "features.0": RNG.normal(size=(7, 1, 2, 3, 3)),
        "classifier": RNG.normal(size=(7, 1, 4)),
    }
    if per_layer:
        for layer, values in maps.items():
            content = {f"{n}.jpg": v for n, v in zip(FILE, values, strict=True)}
            np.savez_compressed(tmp_path / f"{layer}.npz", **content)
    else:
        for i, name in enumerate(FILE):
            content = {layer: values[i] for layer, values in maps.items()}
            np.savez_compressed(tmp_path / f"{name}.jpg.npz", **content)
    settings = {"stimulus_ids": "arrays" if per_layer else "files"}
    settings |= {"axes": ["_", "channel", "y", "x"], "layers": list(maps)}
    flat = {layer: values.reshape(7, -1) for layer, values in maps.items()}
    assert_layers(read(tmp_path, **settings), flat)


def test_two_files_of_a_stimulus_are_refused(tmp_path):
    for name in FILE:
        np.savez(tmp_path / f"{name}.npz", fc=np.zeros((3, 4)))
    scipy.io.savemat(tmp_path / "im3.mat", {"fc": np.ones((3, 4))})
    with pytest.raises(RepbiasError, match="the id 'im3' occurs twice"):
        read(tmp_path, stimulus_ids="files", axes=["channel", "unit"])


def test_an_assembly_of_brainscore(tmp_path):
    """Neuroids of all layers on one axis, as its extractor packages them; after its source."""
    values = np.concatenate(list(LAYERS.values()), axis=1)
    of_layer = np.repeat(list(LAYERS), [v.shape[1] for v in LAYERS.values()])
    coordinates = {
        "stimulus_id": ("presentation", FILE),
        "stimulus_path": ("presentation", [f"/x/{n}.png" for n in FILE]),
        "layer": ("neuroid", of_layer),
        "neuroid_id": ("neuroid", [f"alexnet.{i}" for i in range(12)]),
        "neuroid_num": ("neuroid", np.arange(12)),
    }
    array = xarray.DataArray(values, coordinates, ["presentation", "neuroid"], "activations")
    path = tmp_path / "a.nc"
    for engine in ("h5netcdf", "scipy"):
        array.to_netcdf(path, engine=engine)
        for coordinate in ("stimulus_id", "stimulus_path"):
            assert_layers(read(path, stimulus_ids=f"variable:{coordinate}"))


# Tables


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("index", ["image", None, "none"])
def test_columns_of_a_table_are_units(index, separator, tmp_path):
    """As pandas writes them: with an index that has a name or none, and without one."""
    values = RNG.normal(size=(7, 5))
    columns = [*(f"clip_{i}" for i in range(3)), "size", "age"]
    table, path = pd.DataFrame(values, index=FILE, columns=columns), tmp_path / "clip.csv"
    label = index if index != "none" else None
    table.to_csv(path, sep=separator, index=index != "none", index_label=label)
    ids = FILE if index == "none" else f"variable:{index or 'index'}"
    assert_layers(read(path, stimulus_ids=ids), {"clip": values})
    layers = {"both": ["age", "size"], "clip": ["clip_*"], "two": ["clip_0..clip_1"]}
    expected = {"both": values[:, [4, 3]], "clip": values[:, :3], "two": values[:, :2]}
    assert_layers(read(path, stimulus_ids=ids, layers=layers), expected)
    with pytest.raises(RepbiasError, match="no column 'clap'; did you mean 'clip_"):
        read(path, stimulus_ids=ids, layers={"a": ["clap"]})


def test_a_table_without_a_header(tmp_path):
    path = tmp_path / "a.csv"
    np.savetxt(path, LAYERS["fc"], delimiter=",")
    assert_layers(read(path), {"a": LAYERS["fc"]})


# Axes


MAPS = RNG.normal(size=(7, 2, 3, 5))


@pytest.mark.parametrize(
    "axes", [["stimulus", "channel", "y", "x"], ["y", "x", "stimulus", "channel"]]
)
@pytest.mark.parametrize("pool", [None, 1, 2, 7])
def test_maps_are_flattened_or_pooled_as_those_of_a_module(axes, pool, tmp_path):
    names = ["stimulus", "channel", "y", "x"]
    np.savez(tmp_path / "a.npz", conv=MAPS.transpose([names.index(a) for a in axes]))
    found = read(tmp_path / "a.npz", axes=axes, pool=pool)["conv"]
    expected = pooled(torch.from_numpy(np.float32(MAPS)[ROWS]), pool)
    np.testing.assert_array_equal(found, expected.flatten(1).numpy())
    if pool == 1:
        np.testing.assert_allclose(found, MAPS.mean((2, 3))[ROWS], rtol=1e-5)


def test_layers_may_lack_positions_and_tokens(tmp_path):
    np.savez(tmp_path / "a.npz", conv=MAPS, fc=LAYERS["fc"])
    found = read(tmp_path / "a.npz", axes=["stimulus", "channel", "y", "x"])
    assert_layers(found, {"conv": MAPS.reshape(7, -1), "fc": LAYERS["fc"]})
    np.savez(tmp_path / "b.npz", block=MAPS[:, 0], head=LAYERS["fc"])
    found = read(tmp_path / "b.npz", axes=["stimulus", "token", "unit"])
    assert_layers(found, {"block": MAPS[:, 0].reshape(7, -1), "head": LAYERS["fc"]})


@pytest.mark.parametrize(
    ("axes", "problem"),
    [
        (["unit"], "every stimulus is an entry of an axis"),
        (["stimulus", "unit", "unit"], "'unit' is named twice"),
        (["stimulus", "y"], "name y and x, or neither"),
        (["stimulus", "unit", "y", "x"], "maps have channels"),
        (["layer", "stimulus", "unit"], "name the entries of the axis 'layer'"),
    ],
)
def test_impossible_axes_are_refused(axes, problem, tmp_path):
    with pytest.raises(ValidationError, match=problem):
        spec_of(in_file("npz", tmp_path), axes=axes)


def test_other_axes_than_those_of_the_array_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", conv=MAPS)
    with pytest.raises(RepbiasError, match=r"layer 'conv': axes names \['stimulus', 'unit'\]"):
        read(tmp_path / "a.npz")
    with pytest.raises(RepbiasError, match="called _ has length 3, expected 1"):
        read(tmp_path / "a.npz", axes=["stimulus", "channel", "_", "unit"])


# Ids


def test_stimuli_are_joined_by_name_never_by_position(tmp_path):
    """Whatever the order of the file, the same is read."""
    np.save(tmp_path / "a.npy", LAYERS["fc"])
    expected = read(tmp_path / "a.npy")
    for _ in range(3):
        order = RNG.permutation(7)
        np.save(tmp_path / "a.npy", LAYERS["fc"][order])
        found = read(tmp_path / "a.npy", stimulus_ids=[FILE[i] for i in order])
        assert_layers(found, {"a": expected["a"]}, slice(None))


def test_other_stimuli_are_left_out_with_a_message_that_is_said_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        read(in_file("npz", tmp_path))
    (said,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert said.endswith(
        "1 of 7 ids are not in 'shown': 'blank' (the set has ids like 'im0'); 6 match; they are "
        "left out"
    )


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["im9", *FILE[1:]], "1 of 6 stimuli of 'shown' are missing: 'im3' .* ids like 'im9'"),
        (["x/im0.png", *FILE[1:]], "'im0' and 'x/im0.png' could each be 'im0'"),
        (FILE[1:], "the stimulus axis has length 7, but stimulus_ids gives 6 ids"),
        (["im0", *FILE[1:]], "the id 'im0' occurs twice"),
        ("sorted", "the sorted ids of 'shown' gives 6 ids"),
    ],
)
def test_ids_that_do_not_match_are_refused(ids, problem, tmp_path):
    with pytest.raises(RepbiasError, match=problem):
        read(in_file("npz", tmp_path), stimulus_ids=ids)


@pytest.mark.parametrize(
    ("ids", "axes", "problem"),
    [
        ("files", ["unit"], "files are those of a folder"),
        ("arrays", ["stimulus", "unit"], "expected no axis 'stimulus'"),
        ("nowhere.txt", ["stimulus", "unit"], "'files', 'arrays', 'variable:NAME', or a text file"),
    ],
)
def test_impossible_places_of_ids_are_refused(ids, axes, problem, tmp_path):
    with pytest.raises(ValidationError, match=problem):
        spec_of(in_file("npz", tmp_path), stimulus_ids=ids, axes=axes)


# Values


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_layer_and_stimulus(value, tmp_path):
    wrong = LAYERS["conv10"].copy()
    wrong[FILE.index("im4"), 1] = value
    path = in_file("npz", tmp_path, LAYERS | {"conv10": wrong})
    with pytest.raises(RepbiasError, match="'conv10' is NaN or infinite for stimulus 'im4'"):
        read(path)
    assert not (tmp_path / "features.npz-read.h5").exists(), "nothing is left half-written"
    wrong[FILE.index("im4"), 1], wrong[FILE.index("blank")] = 0, value
    read(in_file("npz", tmp_path, LAYERS | {"conv10": wrong}))


def test_constant_layers_and_text_are_refused(tmp_path):
    path = in_file("npz", tmp_path, LAYERS | {"fc": np.tile([1.0, 2, 3], (7, 1))})
    with pytest.raises(RepbiasError, match="layer 'fc' is the same for all stimuli"):
        read(path)
    np.save(tmp_path / "a.npy", np.array([["a", "b"]] * 7))
    with pytest.raises(RepbiasError, match="expected numbers, found an array of <U1"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", LAYERS["fc"] * 1j)
    with pytest.raises(RepbiasError, match="found an array of complex"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("block", [2**26, 100])
def test_scales_are_those_of_scipy_over_the_stimuli_of_the_set(block, tmp_path, monkeypatch):
    monkeypatch.setattr(model_arrays, "BLOCK_BYTES", block)
    values = 100 + 5 * RNG.normal(size=(7, 4))
    values[:, 2] = 3  # a unit that is silent, as many are
    values[FILE.index("blank")] = 1e6
    np.save(tmp_path / "a.npy", values)
    found = read(tmp_path / "a.npy", scale="z")["a"]
    varies = [0, 1, 3]
    np.testing.assert_allclose(found[:, varies], zscore(values[ROWS][:, varies]), rtol=1e-5)
    assert (found[:, 2] == 0).all()
    found = read(tmp_path / "a.npy", scale="unit")["a"]
    expected = values[ROWS] / np.linalg.norm(values[ROWS], axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    values[FILE.index("im2")] = 0
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(RepbiasError, match="scale: unit: layer 'a' is zero for stimulus 'im2'"):
        read(tmp_path / "a.npy", scale="unit")


@pytest.mark.parametrize("kind", ["npy", "h5", "zarr"])
def test_large_layers_are_read_in_parts(kind, tmp_path, monkeypatch):
    """Two stimuli at a time; in whatever order they stand, each part is small."""
    monkeypatch.setattr(model_arrays, "BLOCK_BYTES", 100)
    seen = []
    within = model_arrays._stimuli

    def noted(array, axes, rows, layer):
        seen.append(len(rows))
        assert not isinstance(array, np.ndarray) or isinstance(array, np.memmap)
        return within(array, axes, rows, layer)

    monkeypatch.setattr(model_arrays, "_stimuli", noted)
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, LAYERS["fc"])
    elif kind == "h5":
        in_file("h5", tmp_path, {"a": LAYERS["fc"]}).rename(path)
    else:
        zarr.save_array(str(path), LAYERS["fc"])
    assert_layers(read(path), {"a": LAYERS["fc"]})
    assert set(seen) == {2}


def test_what_is_known_of_a_layer_does_not_depend_on_the_parts(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", LAYERS["conv2"])
    (whole,) = survey(spec_of(tmp_path / "a.npy"), KNOWN).values()
    monkeypatch.setattr(model_arrays, "BLOCK_BYTES", 1)
    (parts,) = survey(spec_of(tmp_path / "a.npy"), KNOWN).values()
    used = np.float32(LAYERS["conv2"])[ROWS]
    for found in (whole, parts):
        assert found.n == 6
        np.testing.assert_allclose(found.mean, used.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.squares / 6, used.var(axis=0), rtol=1e-5)


# Files that are not trusted


def test_codecs_of_zarr_that_run_code_are_refused(tmp_path):
    import numcodecs

    path = tmp_path / "a.zarr"
    filters = [numcodecs.Pickle()]
    zarr.save_array(str(path), np.zeros((7, 3)), compressor=None)
    array = zarr.open_array(str(path), "w", shape=(7, 3), dtype=object, object_codec=filters[0])
    array[:] = 0
    text = (path / ".zarray").read_text().replace('"|O"', '"<f8"')
    (path / ".zarray").write_text(text)
    with pytest.raises(RepbiasError, match="stored by pickle, which is never decoded"):
        read(path)


@pytest.mark.parametrize("kind", ["npz", "h5", "mat", "nc"])
def test_truncated_files_are_refused_by_name(kind, tmp_path):
    path = in_file(kind, tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises((ValidationError, RepbiasError), match=f"features.{kind}"):
        read(path)


@pytest.mark.parametrize("listed", [FILE, FILE[:3]])
def test_ids_are_renamed_as_those_of_recordings_are(listed, tmp_path):
    """Those that are not listed stay as they are."""
    own = {name: f"stim_{name}" for name in listed}
    path = in_file("npz", tmp_path, ids=[own.get(name, name) for name in FILE])
    names = tmp_path / "names.csv"
    names.write_text("".join(f"{old}.png,{new}\n" for new, old in own.items()))
    settings = {"stimulus_ids": "variable:names", "layers": list(LAYERS)}
    assert_layers(read(path, **settings, rename=str(names)))
    assert str(names) in spec_of(path, **settings, rename=str(names)).input_files()
    with pytest.raises(RepbiasError, match=r"'shown' are missing: .*; 'rename' gives them the ids"):
        read(path, **settings)


def test_the_file_of_new_names_is_no_layer(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    for name, values in LAYERS.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "names.csv").write_text("old3,im3\n")
    ids = ["old3", *FILE[1:]]
    assert_layers(read(folder, stimulus_ids=ids, rename=str(folder / "names.csv")))
