"""Networks that are trained here, shown images of other kinds."""

import logging

import numpy as np
import pytest
from PIL import Image

from repbias.base.inputs import Task
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.networks import Networks
from repbias.networks.activations import put_shown_activations, put_trained_activations
from repbias.networks.convolutional import CNN
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet
from repbias.stimuli.trifeature import Trifeature

FAMILY = Trifeature(kind="trifeature", size=32, n_train=128, n_validation=64, n_test=64)
NETWORK = CNN(widths=[4, 8])


def put_in_file(put, path, *arguments):
    """Write a file of activations and open it."""
    with create(path, "activations") as file:
        put(file, *arguments)
    return Activations.open(path)


@pytest.fixture(scope="module")
def stimuli():
    return FAMILY.generate()


@pytest.fixture(scope="module")
def networks(stimuli) -> Networks:
    training = Training(batch_size=16, max_steps=12, evaluate_every=4, extra_steps=0, inclusion=0)
    return train(stimuli, NETWORK, training, [0, 1], "cpu", FAMILY)


def in_folder(folder, pixels, names, size=None):
    """Write images (image, channel, height, width) as PNG files, and open them."""
    folder.mkdir()
    for name, image in zip(names, pixels, strict=True):
        png = Image.fromarray(image.transpose(1, 2, 0))
        (png.resize(size) if size else png).save(folder / f"{name}.png")
    return open_images(ImageSet(path=folder))


@pytest.mark.parametrize("network", [NETWORK, MLP(hidden=[8])], ids=["cnn", "mlp"])
def test_a_folder_of_the_test_stimuli_gives_the_activations_of_the_test_stimuli(
    network, networks, stimuli, tmp_path
):
    if network is not NETWORK:
        training = Training(batch_size=16, max_steps=4, evaluate_every=4, extra_steps=0)
        networks = train(stimuli, network, training, [0, 1], "cpu", FAMILY)
    inputs, _, ids = stimuli.part("test")
    images = in_folder(tmp_path / "images", inputs, ids)
    expected = put_in_file(
        put_trained_activations, tmp_path / "expected.h5", networks, stimuli, network
    )
    shape = FAMILY.inputs.shape
    shown = put_in_file(
        put_shown_activations, tmp_path / "shown.h5", networks, network, shape, images
    )
    assert shown.layers == expected.layers
    for column, values in expected.networks.items():
        assert (shown.networks[column] == values).all()
    assert set(shown.networks["snapshot"]) == {"initial", "final"}, "none masters in a few steps"
    assert shown.labels == {}, "nothing is known of these images"
    # Images are sorted by id, generated stimuli are not.
    rows = [ids.tolist().index(name) for name in shown.stimulus_ids]
    for row in range(len(expected)):
        for layer in expected.layers:
            assert np.array_equal(shown.read(layer, row), expected.read(layer, row)[rows])


def test_other_sizes_are_resized_to_that_of_training(networks, stimuli, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    inputs, _, ids = stimuli.part("test")
    images = in_folder(tmp_path / "images", inputs[:6], ids[:6], size=(80, 48))
    shown = put_in_file(
        put_shown_activations, tmp_path / "shown.h5", networks, NETWORK, [3, 32, 32], images
    )
    assert "6 images are resized to 32 x 32 pixels, as those of training" in caplog.text
    for i in range(6):
        by_hand = images.load(i).resize((32, 32), Image.Resampling.BILINEAR)
        pixels = np.ascontiguousarray(np.asarray(by_hand).transpose(2, 0, 1))[None]
        weights = {name: w[-1] for name, w in networks.weights.items()}
        layers = NETWORK.represent(weights, pixels, Task(FAMILY.inputs, sum(networks.heads)))
        final = np.flatnonzero(shown.networks["snapshot"] == "final").tolist()
        for n, row in enumerate(final):
            for layer, values in layers.items():
                found = shown.read(layer, row)[i]
                np.testing.assert_allclose(found, values[n, 0], rtol=1e-4, atol=1e-5)


def test_many_images_are_shown_in_blocks(networks, stimuli, tmp_path, monkeypatch):
    """As many at a time as a batch has: what is computed does not depend on it."""
    inputs, _, ids = stimuli.part("test")
    images = in_folder(tmp_path / "images", inputs, ids)
    whole = put_in_file(
        put_shown_activations, tmp_path / "whole.h5", networks, NETWORK, [3, 32, 32], images
    )
    monkeypatch.setattr("repbias.networks.architecture.BATCH", 24)
    parts = put_in_file(
        put_shown_activations, tmp_path / "parts.h5", networks, NETWORK, [3, 32, 32], images
    )
    for row in range(len(whole)):
        for layer in whole.layers:
            np.testing.assert_allclose(
                parts.read(layer, row), whole.read(layer, row), rtol=1e-4, atol=1e-5
            )


def test_some_of_the_networks_can_be_shown(networks, tmp_path, stimuli):
    inputs, _, ids = stimuli.part("test")
    images = in_folder(tmp_path / "images", inputs[:4], ids[:4])
    shown = put_in_file(
        put_shown_activations,
        *(tmp_path / "shown.h5", networks.of_seeds(range(1)), NETWORK, [3, 32, 32], images),
    )
    assert shown.networks["network"].tolist() == ["seed0", "seed0"]
