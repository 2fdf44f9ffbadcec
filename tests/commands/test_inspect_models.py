"""``repbias inspect`` proposes an entry of ``networks:`` that reads what was written."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rsatoolbox.rdm
import scipy.io
import xarray
import yaml
from pydantic import TypeAdapter
from scipy.spatial.distance import pdist, squareform

from repbias.commands.description import unfilled
from repbias.commands.main import main
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.kinds import Network
from repbias.networks.model_arrays import put_array_activations
from repbias.networks.model_rdms import read_model_rdms
from repbias.stimuli.images import Images

RNG = np.random.default_rng(0)
IDS = [f"im{i:02}" for i in range(12)]
KNOWN = Images(IDS, None)
ORDER = RNG.permutation(12)
NAMES = [IDS[i] for i in ORDER]
LAYERS = {"conv1": RNG.normal(size=(12, 2, 3, 3)), "fc": RNG.normal(size=(12, 5))}
IN_FILE = {name: x[ORDER] for name, x in LAYERS.items()}
RDMS = {name: squareform(pdist(RNG.normal(size=(12, 3)))) for name in ("animacy", "size")}
SQUARES = {name: x[ORDER][:, ORDER] for name, x in RDMS.items()}


@pytest.fixture
def proposed(capsys):
    """Function that inspects a file or folder: the entry, in which the test fills what is left."""

    def run(path, *options, **fill):
        assert main(["inspect", str(path), *options]) == 0
        printed, _, block = capsys.readouterr().out.partition("\n\n")
        content = yaml.safe_load(block)
        assert list(content) == ["networks"]
        ((_, entry),) = content["networks"].items()
        assert set(unfilled(entry)) == {"stimuli", *fill}
        return printed, TypeAdapter(Network).validate_python(entry | {"stimuli": "shown"} | fill)

    return run


def assert_reads(spec, tmp_path, expected=LAYERS):
    with create(tmp_path / "read.h5", "activations") as file:
        put_array_activations(file, "mine", spec, KNOWN)
    found = Activations.open(tmp_path / "read.h5")
    assert found.layers == list(expected)
    for layer, values in expected.items():
        flat = np.float32(values).reshape(12, -1)
        np.testing.assert_array_equal(found.read(layer, 0), flat)


@pytest.mark.parametrize("kind", ["npz", "h5", "mat"])
def test_arrays_that_are_called_as_layers_are(kind, tmp_path, proposed):
    path = tmp_path / f"features.{kind}"
    if kind == "npz":
        np.savez(path, **IN_FILE, image=NAMES)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["image"] = NAMES
            for name, values in IN_FILE.items():
                file[name] = values
    else:
        scipy.io.savemat(path, IN_FILE | {"image": np.array(NAMES, object)})
    printed, spec = proposed(path)
    assert "conv1: 12 x 2 x 3 x 3" in printed
    assert spec.axes == ["stimulus", "channel", "y", "x"]
    assert spec.stimulus_ids == "variable:image"
    assert_reads(spec, tmp_path)


def test_recordings_stay_recordings_unless_they_are_called_models(tmp_path, proposed, capsys):
    path = tmp_path / "v4.npz"
    np.savez(path, v4=IN_FILE["fc"], image=NAMES)
    assert main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "recordings:" in printed
    assert f"If it holds models, their features or RDMs: repbias inspect {path} --as" in printed
    _, spec = proposed(path, "--as", "model")
    assert_reads(spec, tmp_path, {"v4": LAYERS["fc"]})


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_layers_keep_the_order_in_which_they_were_saved(kind, tmp_path, proposed):
    path = tmp_path / f"features.{kind}"
    arrays = {"conv1": IN_FILE["conv1"], "layer2": IN_FILE["fc"], "avgpool": IN_FILE["fc"]}
    if kind == "npz":
        np.savez(path, image=NAMES, **arrays)
    else:
        scipy.io.savemat(path, {"image": np.array(NAMES, object)} | arrays)
    assert proposed(path)[1].layers == list(arrays)


def test_a_bare_array_leaves_the_ids_to_the_user(tmp_path, proposed):
    np.save(tmp_path / "clip.npy", IN_FILE["fc"])
    _, spec = proposed(tmp_path / "clip.npy", "--as", "model", stimulus_ids=NAMES)
    assert_reads(spec, tmp_path, {"clip": LAYERS["fc"]})


def test_units_before_stimuli_are_told_apart_by_the_ids(tmp_path, proposed):
    np.savez(tmp_path / "a.npz", fc=IN_FILE["fc"].T, image=NAMES)
    _, spec = proposed(tmp_path / "a.npz", "--as", "model")
    assert spec.axes == ["unit", "stimulus"]
    assert_reads(spec, tmp_path, {"fc": LAYERS["fc"]})


def test_a_table_of_features(tmp_path, proposed):
    rows = [
        f"{n},{','.join(map(repr, x.tolist()))}" for n, x in zip(NAMES, IN_FILE["fc"], strict=True)
    ]
    (tmp_path / "clip.csv").write_text("\n".join(["image,a,b,c,d,e", *rows]))
    _, spec = proposed(tmp_path / "clip.csv", "--as", "model")
    assert spec.stimulus_ids == "variable:image"
    assert_reads(spec, tmp_path, {"clip": LAYERS["fc"]})


def test_an_assembly_of_brainscore(tmp_path, proposed):
    flat = {name: x.reshape(12, -1) for name, x in IN_FILE.items()}
    coordinates = {
        "stimulus_id": ("presentation", NAMES),
        "layer": ("neuroid", np.repeat(list(flat), [x.shape[1] for x in flat.values()])),
        "neuroid_id": ("neuroid", np.arange(23)),
    }
    values = np.concatenate(list(flat.values()), axis=1)
    array = xarray.DataArray(values, coordinates, ["presentation", "neuroid"], "activations")
    array.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    _, spec = proposed(tmp_path / "a.nc")
    assert spec.stimulus_ids == "variable:stimulus_id"
    assert_reads(spec, tmp_path)


# Folders


def test_a_folder_of_thingsvision(tmp_path, proposed):
    folder = tmp_path / "features"
    for layer, values in IN_FILE.items():
        (folder / layer).mkdir(parents=True)
        np.save(folder / layer / "features.npy", values.reshape(12, -1))
        text = "\n".join(f"images/{name}.jpg" for name in NAMES)
        (folder / layer / "file_names.txt").write_text(text)
    _, spec = proposed(folder)
    assert spec.stimulus_ids.endswith("file_names.txt")
    assert_reads(spec, tmp_path)


@pytest.mark.parametrize("per_layer", [True, False])
def test_folders_of_net2brain(per_layer, tmp_path, proposed):
    folder = tmp_path / "AlexNet_Feat"
    folder.mkdir()
    batched = {name: x[:, None] for name, x in IN_FILE.items()}
    if per_layer:
        for layer, values in batched.items():
            np.savez(
                folder / f"{layer}.npz",
                **{f"{n}.jpg": v for n, v in zip(NAMES, values, strict=True)},
            )
    else:
        for i, name in enumerate(NAMES):
            np.savez(folder / f"{name}.jpg.npz", **{n: x[i] for n, x in batched.items()})
    _, spec = proposed(folder)
    assert spec.stimulus_ids == ("arrays" if per_layer else "files")
    assert_reads(spec, tmp_path)


def test_folders_of_anything_else_are_no_models_unless_called_one(tmp_path, capsys):
    np.save(tmp_path / "spikes.npy", np.zeros(5))
    assert main(["inspect", str(tmp_path)]) == 0
    assert "The likeliest recording is spikes.npy" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--as", "model"]) == 0
    assert "\nnetworks:\n" in capsys.readouterr().out


# RDMs


def assert_rdms(spec, expected=RDMS):
    assert spec.kind == "rdm"
    for layer, rdm in read_model_rdms(spec, KNOWN).items():
        np.testing.assert_array_equal(rdm, squareform(expected[layer]))


@pytest.mark.parametrize("pairs", [True, False])
def test_rdms_are_recognised(pairs, tmp_path, proposed):
    arrays = {name: squareform(x) if pairs else x for name, x in SQUARES.items()}
    np.savez(tmp_path / "models.npz", **arrays, image=NAMES)
    _, spec = proposed(tmp_path / "models.npz", "--as", "model")
    assert spec.layers == ["animacy", "size"]
    assert_rdms(spec)


def test_stacked_rdms_need_names(tmp_path, proposed):
    np.savez(tmp_path / "models.npz", rdms=np.stack(list(SQUARES.values())), image=NAMES)
    _, spec = proposed(tmp_path / "models.npz", "--as", "model", layers=list(RDMS))
    assert_rdms(spec)


@pytest.mark.parametrize("options", [[], ["--variable", "Models.RDM"]])
def test_rdms_in_a_structure_array_of_matlab(options, tmp_path, proposed):
    """As the MATLAB toolbox that came before rsatoolbox keeps models."""
    models = np.zeros((1, 2), [("RDM", object), ("name", object), ("color", object)])
    for i, (name, values) in enumerate(SQUARES.items()):
        models[0, i] = values, name, np.eye(3)[[i]]
    scipy.io.savemat(tmp_path / "Models.mat", {"Models": models})
    _, spec = proposed(tmp_path / "Models.mat", "--as", "model", *options, stimulus_ids=NAMES)
    assert spec.axes == ["_", "layer", "stimulus", "stimulus"]
    assert (spec.variable, spec.layers) == ("Models.RDM", ["animacy", "size"])
    assert_rdms(spec)


def test_one_rdm_of_matlab_needs_no_names(tmp_path, proposed):
    np.savez(tmp_path / "m.npz", animacy=SQUARES["animacy"][None], image=NAMES)
    _, spec = proposed(tmp_path / "m.npz", "--as", "model")
    assert (spec.axes, spec.layers) == (["_", "stimulus", "stimulus"], ["animacy"])
    assert_rdms(spec, {"animacy": RDMS["animacy"]})


def test_rdms_of_rsatoolbox(tmp_path, proposed):
    rdms = rsatoolbox.rdm.RDMs(
        np.stack([squareform(x) for x in SQUARES.values()]),
        "euclidean",
        rdm_descriptors={"name": list(SQUARES)},
        pattern_descriptors={"image": NAMES},
    )
    rdms.save(str(tmp_path / "r.h5"), file_type="hdf5")
    names = "variable:rdm_descriptors/name"
    _, spec = proposed(tmp_path / "r.h5", "--as", "model", layers=names)
    assert spec.distance == "euclidean"
    assert_rdms(spec)


# Refusals


def test_pickles_of_pytorch_are_not_loaded(tmp_path, capsys):
    import torch

    torch.save({"conv1": torch.zeros(3, 2)}, tmp_path / "a.pt")
    assert main(["inspect", str(tmp_path / "a.pt"), "--as", "model"]) == 1
    said = capsys.readouterr().err
    assert "a pickle, which is never loaded" in said and 'np.savez("a.npz"' in said


# Check


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Function that checks a study of models: exit code and output."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(IDS)]
    (tmp_path / "s.csv").write_text("\n".join(["stimulus_id,kind", *rows]))
    np.savez("features.npz", **IN_FILE, image=NAMES)
    np.savez("models.npz", **SQUARES, image=NAMES)
    axes = ["stimulus", "channel", "y", "x"]
    shared = {"stimuli": "shown", "stimulus_ids": "variable:image"}
    entries = {
        "mine": {"kind": "array", "path": "features.npz", "axes": axes} | shared,
        "theories": {"kind": "rdm", "path": "models.npz"} | shared,
    }

    def run(changes=(), **study):
        networks = {n: e | dict(changes).get(n, {}) for n, e in entries.items()}
        content = {"study": "t", "images": {"shown": {"table": "s.csv"}}, "networks": networks}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content | study))
        code = main(["check"])
        return code, capsys.readouterr().out

    return run


def test_check_says_layers_sizes_and_matched_ids(check):
    code, out = check()
    assert code == 0
    mine, theories = (out.split(f"network {n}, shown shown")[1] for n in ("mine", "theories"))
    assert "units          conv1 18, fc 5" in mine
    assert "stimuli        12, all found by their ids" in mine
    assert "RDMs           2: animacy from " in theories
    assert "encoding, recovery from units: of this model only RDMs are known" in theories
    assert "not divided among features, as the entry does not say 'distance'" in theories


def test_check_tells_what_a_run_would_refuse(check):
    wrong = {"image": [*NAMES[:-1], "x"]}
    np.savez("features.npz", **IN_FILE, **wrong)
    code, out = check()
    assert code == 1
    assert f"PROBLEM: features.npz: 1 of 12 stimuli of 'shown' are missing: '{NAMES[-1]}'" in out
    code, out = check([("mine", {"stimuli": "show"})])
    assert "networks.mine.stimuli: no images are called 'show'; did you mean 'shown'" in out
    code, out = check([("mine", {"layers": ["conv2"]})])
    assert "networks.mine" in out and "has no layer 'conv2'; did you mean 'conv1'" in out


def test_check_warns_of_layers_without_correlation_distance(check):
    silent = IN_FILE["fc"].copy()
    silent[NAMES.index("im03")] = 0
    np.savez("features.npz", conv1=IN_FILE["conv1"], fc=silent, image=NAMES)
    code, out = check()
    assert code == 0
    assert "warning: fc: all units are the same for im03, so that correlation distance" in out


def test_an_rdm_is_no_band_of_a_joint_model(check):
    np.save("r.npy", RNG.normal(size=(12, 2, 3)))
    recording = {"kind": "array", "path": "r.npy", "axes": ["stimulus", "repeat", "unit"]}
    recording |= {"stimuli": "shown", "stimulus_ids": "sorted"}
    partition = {"encoding": {"partition": {"two": ["theories:size", "stimuli:kind"]}}}
    code, out = check(recordings={"v4": recording}, **partition)
    assert code == 1
    assert "'theories:size' is no band: of this model only RDMs are known" in out


@pytest.mark.parametrize("array", ["of_{}", "features"])
def test_a_file_for_each_layer_beside_other_files(array, tmp_path, proposed):
    """Tables and lists are no layers; the name of a file's only array does not matter."""
    folder = tmp_path / "features"
    folder.mkdir()
    for name, values in IN_FILE.items():
        ids = {} if "{" in array else {"names": NAMES}
        np.savez(folder / f"{name}.npz", **{array.format(name): values}, **ids)
    (folder / "ids.txt").write_text("\n".join(NAMES))
    np.save(folder / "names.npy", NAMES)
    (folder / "translated.csv").write_text("a,im0\nb,im1\n")
    printed, spec = proposed(folder, "--as", "model")
    assert "not read as a layer: " in printed
    assert "translated.csv: line 2, column 'im0': expected a number" in printed
    assert "names.npy: expected numbers" in printed
    assert spec.stimulus_ids == (str(folder / "ids.txt") if "{" in array else "variable:names")
    assert_reads(spec, tmp_path)


def test_a_file_for_each_model(tmp_path, proposed):
    folder = tmp_path / "features"
    folder.mkdir()
    np.savez(folder / "alexnet.npz", **IN_FILE, names=NAMES)
    np.savez(folder / "vgg.npz", **IN_FILE, conv2=IN_FILE["fc"], names=NAMES)
    printed, spec = proposed(folder, "--as", "model")
    assert "Each has layers of its own: a model each." in printed
    assert "differs in path, and perhaps in layers: vgg.npz" in printed
    assert spec.path == folder / "alexnet.npz"
    assert_reads(spec, tmp_path)


def test_files_that_share_no_array_are_named(tmp_path, capsys):
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", **{f"{name}1": np.eye(5), f"{name}2": np.eye(5)})
    assert main(["inspect", str(tmp_path), "--as", "model"]) == 1
    said = capsys.readouterr().err
    assert "no array is in all files: a.npz has a1, a2; b.npz has b1, b2; inspect them" in said
