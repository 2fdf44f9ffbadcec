"""The user's own model, shown generated images as it is."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError

from repbias.bias.variance import variance_explained
from repbias.commands.main import main
from repbias.config.analyses import ANALYSES, OF_NETWORKS, OF_OUTPUTS
from repbias.config.study import Experiment
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.activations import put_trained_activations
from repbias.networks.batch import learning_tables, train_batch
from repbias.networks.pretrained import Pretrained
from repbias.pipeline.checks import load_study
from repbias.pipeline.network_analyses import analyse_networks
from repbias.pipeline.plan import Plan
from repbias.pipeline.sizes import (
    condition_bytes,
    member,
    n_evaluations,
    training_bytes,
    training_hours,
)
from repbias.tables import as_table

STIMULI = {"kind": "trifeature", "size": 32, "n_classes": 3, "n_validation": 54, "n_test": 54}
NETWORK = {
    "kind": "pretrained",
    "factory": "own_given:build",
    "arguments": {"width": 6},
    "layers": ["conv", "pool"],
    "preprocess": {"size": 24},
    "pool": 2,
}
EXPERIMENT = {"stimuli": STIMULI, "network": NETWORK, "seeds": 1}
MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 5, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return self.pool(torch.relu(self.conv(x)))

def build(width):
    net = Net(width)
    with torch.no_grad():  # "its own weights", whatever the random numbers were
        for n, p in enumerate(net.parameters()):
            p.copy_(torch.sin(torch.arange(p.numel()) * (n + 1.3)).reshape(p.shape))
    return net
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_given.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def condition():
    return Experiment.model_validate(EXPERIMENT).expand()["base"]


def by_hand(inputs):
    """Layers of the module of images (image, channel, height, width), without this package."""
    from own_given import build

    net, mean = build(6).eval(), torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        x = (resized(inputs, 24) - mean) / std
        conv = net.conv(x)
        pooled = torch.nn.functional.adaptive_avg_pool2d(conv, 2).flatten(1)
        return {"conv": pooled.numpy(), "pool": net.pool(torch.relu(conv)).flatten(1).numpy()}


def resized(inputs, size):
    """Images as 0 to 1, (image, channel, height, width), by Pillow."""
    images = [Image.fromarray(x.transpose(1, 2, 0)) for x in inputs]
    small = [np.asarray(i.resize((size, size), Image.Resampling.BILINEAR)) for i in images]
    return torch.from_numpy(np.stack(small).transpose(0, 3, 1, 2) / np.float32(255))


def test_tables_of_variance_equal_those_of_the_module_itself(condition):
    stimuli = condition.stimuli.generate()
    networks = Networks.as_given(stimuli.features)
    analyses = {
        name: {
            "function": entry.function,
            "settings": {"definition": "ratio_of_sums"} if "definition" in entry.settings else {},
            "every_checkpoint": entry.every_checkpoint,
            "order": entry.order,
        }
        for name, entry in OF_NETWORKS.items()
        if name in ("variance_explained", "conflict")
    }
    tables = analyse_networks("e", "base", networks, stimuli, condition.network, analyses)
    table = tables["variance_explained"]
    assert set(table["snapshot"]) == {"final"}
    assert set(table["step"]) == {0}
    assert set(table["network"]) == {"seed0"}
    assert table["included"].all()
    parts = {split: stimuli.part(split) for split in ("validation", "test")}
    layers = {split: by_hand(inputs) for split, (inputs, *_) in parts.items()}
    assert len(table) == 2 * 3
    for row in table.itertuples():
        f = stimuli.features.index(row.feature)
        fit, test = (
            (parts[split][1][:, f], layers[split][row.layer]) for split in ("validation", "test")
        )
        assert row.r2 == pytest.approx(variance_explained(*fit, *test), abs=1e-4)
        assert row.r2_of_final == pytest.approx(row.r2, abs=1e-6)
    pairs = tables["conflict"][["feature_a", "feature_b"]].to_numpy().tolist()
    assert pairs == [["shape", "texture"], ["shape", "colour"], ["texture", "colour"]]


def test_batches_do_not_matter_and_inputs_may_be_in_a_file(condition, monkeypatch, tmp_path):
    stimuli = condition.stimuli.generate()
    networks = Networks.as_given(stimuli.features)

    def layers(of, name):
        with create(tmp_path / name, "activations") as file:
            put_trained_activations(file, networks, of, condition.network)
        found = Activations.open(tmp_path / name)
        return [found.read(layer, 0) for layer in found.layers]

    whole = layers(stimuli, "whole.h5")
    np.testing.assert_allclose(
        whole[1], by_hand(stimuli.part("test")[0])["pool"], rtol=1e-4, atol=1e-5
    )
    monkeypatch.setattr("repbias.networks.architecture.BATCH", 7)
    monkeypatch.setattr("repbias.io.stimuli.STREAMED", 1)
    stimuli.write(tmp_path / "stimuli.h5")
    stored = Stimuli.read(tmp_path / "stimuli.h5")
    assert not isinstance(stored.inputs, np.ndarray)
    for a, b in zip(whole, layers(stored, "parts.h5"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_nothing_is_trained_and_nothing_stored(condition, tmp_path):
    condition.stimuli.generate().write(tmp_path / "stimuli.h5")
    plain = condition.model_dump(mode="json")
    networks = train_batch({"base": plain}, *_files(tmp_path), "cpu")["base"]
    networks.write(tmp_path / "networks.h5")
    again = Networks.read(tmp_path / "networks.h5")
    assert again.weights == {}
    assert again.targets == []
    table = learning_tables("e", {"base": again}, {"base": plain})
    assert table["feature"].tolist() == ["shape", "texture", "colour"]
    assert table["included"].all()
    assert not table["target"].any()
    assert not table["mastered"].any()
    assert table[["accuracy", "loss"]].isna().all(axis=None)
    assert as_table("learning", table) is not None


def _files(folder):
    """A file of stimuli of one condition, and a place for its networks."""
    with create(folder / "conditions.h5", "stimuli") as file:
        Stimuli.read(folder / "stimuli.h5").put(file.create_group("base"))
    return folder / "conditions.h5", folder / "networks.h5"


def test_sizes_count_one_snapshot_and_no_training(condition):
    study = load_study({"study": "s", "experiments": {"mine": EXPERIMENT}})
    sizes = condition.sizes()
    assert sizes.units == {"conv": 24, "pool": 6}
    assert sizes.parameters == 6 * (3 * 25 + 1)
    # Multiplications and additions of the convolution, 10 x 10 positions after the resizing.
    assert sizes.stimulus_seconds > 4e-11 * 2 * 100 * 6 * 75
    assert member(Plan(study), "mine", "base").n_rdms == 2
    assert training_hours(study) == 0
    assert n_evaluations(condition) == 1
    assert condition_bytes(condition, 54)["networks"] < 30_000
    assert training_bytes(condition) < 2**27 + sizes.stimulus_bytes + 4 * sizes.parameters


def problems(**changes):
    from repbias.config.file import ConfigError

    with pytest.raises(ConfigError) as error:
        load_study({"study": "s", "experiments": {"mine": EXPERIMENT | changes}})
    return error.value.problems


def test_analyses_of_outputs_are_left_out_and_refused_if_named():
    wanted = Experiment.model_validate(EXPERIMENT).analyses
    assert wanted == [a for a in ANALYSES if a not in OF_OUTPUTS]
    assert Experiment.model_validate(EXPERIMENT | {"network": {}}).analyses == list(ANALYSES)
    (problem,) = problems(analyses=["units", "steering"])
    assert problem == (
        "experiments.mine.analyses: 'steering' is of outputs for the features, which networks that "
        "are not trained here have none of; leave it out"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seeds": 3}, "seeds is 3, but a network of kind 'pretrained' is one; expected seeds: 1"),
        ({"training": {"max_steps": 100}}, "training: networks of kind 'pretrained' are not"),
        (
            {"stimuli": {"features": {"easy": {"function": "bit"}}}},
            "is shown images (3, height, width) of type uint8, found stimuli of shape (16,)",
        ),
        ({"network": NETWORK | {"layers": ["cov"]}}, "has no layer 'cov'; did you mean 'conv'"),
        ({"network": NETWORK | {"layers": ["conv", "conv"]}}, "conv"),
        ({"network": NETWORK | {"analysed_layer": "x"}}, "no layer 'x'; allowed: conv, pool"),
        ({"network": NETWORK | {"factory": "own_gven:build"}}, "no module named 'own_gven'"),
        ({"vary": {"training.max_steps": [100, 200]}}, "training: networks of kind 'pretrained'"),
    ],
)
def test_what_has_no_meaning_is_refused(changes, problem):
    found = problems(**changes)
    assert any(problem in said for said in found), found


def test_it_has_no_outputs(condition):
    network = condition.network
    assert isinstance(network, Pretrained)
    with pytest.raises(ValueError, match="has no outputs"):
        network.outputs({}, np.zeros((1, 3, 32, 32), np.uint8), None)
    with pytest.raises(ValueError, match="has no outputs"):
        network.rest({}, np.zeros((1, 3, 32, 32), np.uint8), "conv", None)


def test_other_stimuli_are_other_conditions():
    varied = EXPERIMENT | {"vary": {"stimuli.seed": [0, 1]}}
    names = Experiment.model_validate(varied).expand()
    assert list(names) == ["seed=0", "seed=1"]


def test_it_cannot_be_named_among_networks_that_are_trained(tmp_path):
    from repbias.config.file import ConfigError

    content = {"study": "s", "experiments": {"mine": EXPERIMENT}}
    (tmp_path / "s.csv").write_text("stimulus_id,a\n")
    content["images"] = {"shown": {"path": str(tmp_path)}}
    content["networks"] = {"again": {"kind": "trained", "condition": "mine/base"}}
    with pytest.raises(ConfigError, match="not trained here; name it as a network of kind 'torch'"):
        load_study(content)


def test_the_preprocessing_may_be_a_function_of_the_users():
    with pytest.raises(ValidationError, match="no module named 'nothing_there'"):
        Pretrained(**NETWORK | {"preprocess": "nothing_there:f"})


def test_check_says_what_the_network_is_shown(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump({"study": "s", "experiments": {"e": EXPERIMENT}})
    )
    assert main(["check", str(tmp_path / "s.yaml")]) == 0
    said = "units as they are read: conv 24, pool 6; images resized to 24 x 24 pixels, RGB, normal"
    assert said in capsys.readouterr().out
