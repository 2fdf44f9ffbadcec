"""Activations files against forward passes made by hand."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.activations import put_trained_activations
from repbias.networks.mlp import MLP
from repbias.networks.model_activations import put_model_activations
from repbias.networks.own import OwnArchitecture
from repbias.networks.pretrained import Pretrained
from repbias.networks.spec import PixelNetwork, TextNetwork, TorchNetwork, Training
from repbias.networks.training import train
from repbias.networks.user_models import load_model
from repbias.stimuli.bits import Bits
from repbias.stimuli.images import Images, open_images
from repbias.stimuli.spec import ImageSet


def put_in_file(put, path, *arguments):
    """Write a file of activations."""
    with create(path, "activations") as file:
        put(file, *arguments)


# Ensembles.

NETWORK = MLP(hidden=[16, 8])


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Train a network that masters its targets and one that does not; write their file."""
    features = {
        "easy": {"function": "bit", "bits": 4},
        "hard": {"function": "xor", "bits": 4},
    }
    stimuli = Bits(
        features=features,
        noise_bits=4,
        training_sets="common",
        n_train=512,
        n_validation=120,
        n_test=128,
    ).generate()
    training = Training(
        **{"learning_rate": 0.01, "batch_size": 32, "max_steps": 95, "mastery": 0.95},
        **{"extra_steps": 20, "evaluate_every": 7, "checkpoints": 3, "inclusion": 0.97},
    )
    networks = train(stimuli, NETWORK, training, [4, 10], "cpu")
    assert (networks.mastery_step[0] >= 0).all(), "seed 4 masters both features"
    assert networks.mastery_step[1, 1] == -1, "seed 10 does not"
    path = tmp_path_factory.mktemp("activations") / "both.h5"
    put_in_file(put_trained_activations, path, networks, stimuli, NETWORK)
    return Activations.open(path), networks, stimuli


def test_ensemble_rows_exist_where_the_network_does(ensemble):
    file, networks, _ = ensemble
    rows = list(zip(*(file.networks[c].tolist() for c in ("network", "snapshot")), strict=True))
    assert sorted(rows) == [
        ("seed10", "final"),
        ("seed10", "initial"),
        ("seed4", "final"),
        ("seed4", "initial"),
        ("seed4", "mastered"),
    ]
    for row, (name, snapshot) in enumerate(rows):
        n = ["seed4", "seed10"].index(name)
        checkpoint = networks.checkpoint_names.tolist().index(snapshot)
        assert file.networks["step"][row] == networks.checkpoint_steps[checkpoint, n]
        assert file.networks["included"][row] == networks.included[n]
        assert file.networks["seed"][row] == networks.seeds[n]


def test_ensemble_activations_equal_a_forward_pass(ensemble):
    file, networks, stimuli = ensemble
    inputs, _, _ = stimuli.part("test")
    assert file.layers == ["hidden1", "hidden2"]
    assert len(file) == 5
    for row in range(len(file)):
        n = networks.seeds.tolist().index(file.networks["seed"][row])
        checkpoint = networks.checkpoint_names.tolist().index(file.networks["snapshot"][row])
        x = inputs.astype(float)
        for i, layer in enumerate(file.layers, start=1):
            w, b = (networks.weights[f"{kind}{i}"][checkpoint, n] for kind in "wb")
            x = x @ w + b
            x = np.where(x > 0, x, 0.01 * x)
            np.testing.assert_allclose(file.read(layer, row), x, rtol=1e-4, atol=1e-5)


def test_ensemble_file_names_the_stimuli_and_their_labels(ensemble):
    file, _, stimuli = ensemble
    _, labels, ids = stimuli.part("test")
    np.testing.assert_array_equal(file.stimulus_ids, ids)
    assert file.labels.keys() == {"easy", "hard"}
    np.testing.assert_array_equal(file.labels["easy"], labels[:, 0])
    np.testing.assert_array_equal(file.labels["hard"], labels[:, 1])


# Models of the user's own.

USER_MODULE = """
import numpy as np
import torch
from torch import nn


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, x - 1


class Table(nn.Module):
    def forward(self, x):
        return {"features": x}


class Net(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.norm.running_mean += 0.3
        self.body = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
        self.pair = Pair()
        self.table = Table()
        self.unused = nn.Linear(2, 2)
        self.readout = nn.Linear(channels * 64, 5)

    def forward(self, x):
        x, _ = self.pair(self.body(self.norm(self.conv(x))))
        return self.readout(self.table(x)["features"].flatten(1))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fold = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.fold(self.relu(self.conv(x)))
        x += 100
        return x


def number(**arguments):
    return 42


def of_grey_images():
    return nn.Sequential(nn.Conv2d(1, 4, 3))


def negative(image):
    red = torch.from_numpy(np.array(image)[..., 0]).float()
    return (255 - red).expand(3, -1, -1)
"""


@pytest.fixture
def user_model(tmp_path, monkeypatch):
    """Make the module `user_model` importable, as from a folder on PYTHONPATH."""
    (tmp_path / "user_model.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import user_model

    yield user_model
    del sys.modules["user_model"]


@pytest.fixture
def images(tmp_path) -> Images:
    """Seven images of 8 x 8 random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    return open_images(ImageSet(path=tmp_path / "images.npy"))


def spec(**settings) -> TorchNetwork:
    settings = {
        "factory": "user_model:Net",
        "layers": ["conv", "readout"],
        "preprocess": {"size": 8, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
        "pool": None,
    } | settings
    return TorchNetwork(kind="torch", **settings)


def written(path, spec, images, device="cpu") -> dict[str, np.ndarray]:
    put_in_file(put_model_activations, path / "a.h5", "mine", spec, images, device)
    file = Activations.open(path / "a.h5")
    assert file.layers == (["pixels"] if isinstance(spec, PixelNetwork) else spec.layers)
    return {layer: file.read(layer, 0) for layer in file.layers}


def pixels_of(images: Images) -> np.ndarray:
    return np.stack([np.asarray(images.load(i)) for i in range(len(images))])


def normalised(images: Images) -> torch.Tensor:
    values = (pixels_of(images) / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    return torch.from_numpy(values).permute(0, 3, 1, 2).float()


def test_hooks_equal_a_forward_pass_by_hand(user_model, images, tmp_path):
    layers = ["conv", "norm", "body.0", "body", "pair", "readout"]
    found = written(tmp_path, spec(layers=layers), images)
    model = user_model.Net()
    with torch.no_grad():
        conv = model.conv(normalised(images))
        # In evaluation mode: running statistics (mean 0.3, variance 1), no dropout.
        norm = (conv - 0.3) / np.sqrt(1 + 1e-5)
        body = norm.clamp(min=0)
        expected = {"conv": conv, "norm": norm, "body.0": body, "body": body, "pair": body + 1}
        expected["readout"] = model.readout((body + 1).flatten(1))
    for layer in layers:
        assert found[layer].dtype == np.float32
        flat = expected[layer].reshape(7, -1).numpy()
        np.testing.assert_allclose(found[layer], flat, rtol=1e-4, atol=1e-5, err_msg=layer)


def test_what_follows_in_place_does_not_change_a_layer(user_model, images, tmp_path):
    layers = ["conv", "relu", "fold"]
    found = written(tmp_path, spec(factory="user_model:InPlace", layers=layers), images)
    model = user_model.InPlace()
    with torch.no_grad():
        conv = model.conv(normalised(images))
        fold = model.fold(conv.clamp(min=0))
    for layer, expected in [("conv", conv), ("relu", conv.clamp(min=0)), ("fold", fold)]:
        flat = expected.reshape(7, -1).numpy()
        np.testing.assert_allclose(found[layer], flat, rtol=1e-4, atol=1e-5, err_msg=layer)


def test_the_file_names_images_and_network(user_model, images, tmp_path):
    put_in_file(put_model_activations, tmp_path / "a.h5", "mine", spec(), images, "cpu")
    file = Activations.open(tmp_path / "a.h5")
    assert file.stimulus_ids.tolist() == [f"image{i}" for i in range(1, 8)]
    row = {name: column.tolist() for name, column in file.networks.items()}
    assert row == {
        **{"network": ["mine"], "seed": [0], "snapshot": ["final"], "step": [0], "included": [True]}
    }
    assert file.labels == {}


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batch_size_changes_nothing(user_model, images, tmp_path, batch_size):
    reference = written(tmp_path, spec(batch_size=4), images)
    other = written(tmp_path, spec(batch_size=batch_size), images)
    for layer, values in reference.items():
        np.testing.assert_allclose(other[layer], values, rtol=1e-5, atol=1e-6)


def test_a_batch_that_does_not_fit_is_halved(user_model, images, tmp_path, monkeypatch):
    """A module of the model stands in for a device without memory for more than two images."""
    expected = written(tmp_path, spec(), images)
    forward, sizes = user_model.Table.forward, []

    def limited(module, x):
        sizes.append(len(x))
        if len(x) > 2:  # the layer `conv` has been collected by now
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(module, x)

    monkeypatch.setattr(user_model.Table, "forward", limited)
    found = written(tmp_path, spec(), images)
    assert sizes == [7, 4, 2, 2, 2, 1]
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer], values, rtol=1e-5, atol=1e-6)


def test_arguments_reach_the_factory(user_model, images, tmp_path):
    found = written(tmp_path, spec(arguments={"channels": 2}, layers=["conv"]), images)
    assert found["conv"].shape == (7, 2 * 8 * 8)


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_pool_averages_blocks_of_larger_maps(user_model, images, tmp_path, pool):
    whole = written(tmp_path, spec(), images)
    pooled = written(tmp_path, spec(pool=pool), images)
    side = 8 // pool
    blocks = whole["conv"].reshape(7, 4, pool, side, pool, side).mean(axis=(3, 5))
    np.testing.assert_allclose(pooled["conv"], blocks.reshape(7, -1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(pooled["readout"], whole["readout"])


@pytest.mark.parametrize("pool", [8, 9])
def test_pool_leaves_maps_that_are_small_enough(user_model, images, tmp_path, pool):
    np.testing.assert_array_equal(
        written(tmp_path, spec(pool=pool), images)["conv"],
        written(tmp_path, spec(), images)["conv"],
    )


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Give a function that returns what a network is shown after preprocessing."""
    (tmp_path / "passing.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Identity())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def show(images: Images, preprocess) -> np.ndarray:
        settings = {"factory": "passing:make", "layers": ["0"], "preprocess": preprocess}
        return written(tmp_path, spec(**settings), images)["0"]

    yield show
    sys.modules.pop("passing", None)


def test_preprocess_by_settings(shown, images):
    settings = {"size": 8, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    expected = normalised(images).reshape(7, -1)
    np.testing.assert_allclose(shown(images, settings), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "shape"), [(16, (40, 24)), (16, (8, 8)), (12, (12, 30))])
def test_preprocess_resizes_bilinearly(shown, size, shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    images = Images(["one"], lambda i: Image.fromarray(pixels))
    found = shown(images, {"size": size, "mean": [0, 0, 0], "std": [1, 1, 1]})
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(
        tensor, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    # PIL rounds to whole grey levels after each of its two passes.
    np.testing.assert_allclose(255 * found, expected.reshape(1, -1), atol=1.01)


def test_preprocess_by_import_path(user_model, shown, images):
    red = pixels_of(images)[..., 0].astype(np.float32)
    expected = np.repeat(255 - red[:, None], 3, axis=1).reshape(7, -1)
    np.testing.assert_array_equal(shown(images, "user_model:negative"), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["conf"]}, r"has no layer 'conf'; did you mean 'conv'"),
        ({"layers": [""]}, r"has no layer ''"),
        ({"layers": ["conv", "unused"]}, r"layers \['unused'\] took no part in the forward pass"),
        ({"factory": "user_model:Nett"}, r"user_model:Nett: .*'Nett'"),
        ({"factory": "user_model:number"}, r"expected a torch.nn.Module, got int"),
        ({"arguments": {"chanels": 3}}, r"cannot make the model: .*'chanels'"),
        ({"preprocess": "user_model:positive"}, r"user_model:positive.*'positive'"),
        ({"layers": ["table"]}, r"'?table'?.*dict"),
        (
            {"factory": "user_model:of_grey_images", "layers": ["0"]},
            r"of_grey_images: .*1 channels?.*; it was shown \(7, 3, 8, 8\) \(image, channel, y, x\)"
            r": images resized to 8 x 8 pixels, RGB, .*; the setting 'preprocess' changes",
        ),
    ],
)
def test_what_cannot_work_gives_a_clear_error(user_model, images, tmp_path, settings, message):
    with pytest.raises(RepbiasError, match=message):
        put_in_file(
            put_model_activations, tmp_path / "a.h5", "mine", spec(**settings), images, "cpu"
        )
    assert not list(tmp_path.glob("*a*.h5")), "nothing half-written is left"


def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch):
    (tmp_path / "broken_model.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RepbiasError, match=r"broken_model:Net: .*a_package_that_nobody_has"):
        load_model(spec(factory="broken_model:Net"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("user_model.Net", "expected 'package.module:callable'"),
        ("user_model:", "expected 'package.module:callable'"),
        ("no_such_module_anywhere:Net", "no module named 'no_such_module_anywhere'"),
        ("repbias.networks.nowhere:Net", "package 'repbias' has no module"),
    ],
)
@pytest.mark.parametrize("key", ["factory", "preprocess"])
def test_import_paths_are_checked_before_anything_runs(path, message, key):
    with pytest.raises(ValidationError, match=message):
        spec(**({"factory": "torch.nn:Identity"} | {key: path}))


@pytest.mark.parametrize("of", [TorchNetwork, TextNetwork, OwnArchitecture, Pretrained])
def test_a_network_depends_on_the_files_that_are_listed(of, user_model, tmp_path):
    """Snakemake watches what ``source_files`` names, as it does the file of the factory."""
    for name in ("trained.pt", "hub/a.bin", "hub/deep/b.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    settings = {"kind": of.model_fields["kind"].annotation.__args__[0], "layers": ["conv"]}
    settings["factory"] = "user_model:Net"
    if of is TextNetwork:
        settings |= {"column": "text", "tokenize": "user_model:tokenize"}
    listed = [str(tmp_path / "trained.pt"), str(tmp_path / "hub")]
    (own,) = of(**settings).source_files()
    assert own.endswith("user_model.py")
    assert of(**settings, files=listed).source_files() == [
        own,
        *(str(tmp_path / name) for name in ("hub/a.bin", "hub/deep/b.bin", "trained.pt")),
    ]
    with pytest.raises(ValidationError, match=r"no such file or folder \(looked in .*other.pt"):
        of(**settings, files=[str(tmp_path / "other.pt")])


def test_a_missing_device_is_refused_before_the_model_is_made(user_model, images, tmp_path):
    with pytest.raises(RepbiasError, match="device: 'tpu' is not available"):
        written(tmp_path, spec(), images, device="tpu")


# Pixels.


def test_pixels_are_the_image_itself(tmp_path):
    # More images than fit into one block of the writer.
    pixels = np.random.default_rng(0).integers(0, 256, (70, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    images = open_images(ImageSet(path=tmp_path / "images.npy"))
    found = written(tmp_path, PixelNetwork(kind="pixels", size=4), images)["pixels"]
    np.testing.assert_allclose(found, pixels.reshape(70, -1) / 255, rtol=1e-6)


def test_pixels_are_resized(tmp_path):
    # Halves of one grey each: after resizing, far from the edge, still the same grey.
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 204
    images = Images(["half"], lambda i: Image.fromarray(pixels))
    found = written(tmp_path, PixelNetwork(kind="pixels", size=8), images)["pixels"]
    grey = found.reshape(8, 8, 3)
    np.testing.assert_allclose(grey[:, :2], 0, atol=0.02)
    np.testing.assert_allclose(grey[:, -2:], 0.8, atol=0.02)


def test_a_layer_that_runs_twice_is_refused(tmp_path, monkeypatch, images):
    """Only the last of its outputs would be kept."""
    (tmp_path / "twice.py").write_text(
        "from torch import nn\n\n\ndef model():\n    relu = nn.ReLU()\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 3), relu, nn.Conv2d(2, 2, 3), relu)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RepbiasError, match="'1' runs more than once"):
        written(tmp_path, spec(factory="twice:model", layers=["1"]), images)


def test_a_layer_whose_first_axis_is_not_the_batch_is_refused(tmp_path, monkeypatch, images):
    """Sequence models often put time first; its steps would be stored as images."""
    (tmp_path / "time_first.py").write_text(
        "from torch import nn\n\n\nclass TimeFirst(nn.Module):\n"
        "    def forward(self, x):\n        return x.flatten(2).permute(2, 0, 1)\n\n\n"
        "def model():\n    return nn.Sequential(TimeFirst())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RepbiasError, match="first axis of its output must be the batch"):
        written(tmp_path, spec(factory="time_first:model", layers=["0"]), images)
