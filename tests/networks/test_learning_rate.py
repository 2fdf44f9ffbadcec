"""The learning rate over training against PyTorch's schedules and closed forms."""

import numpy as np
import pytest
import torch
from torch import nn

from repbias.io.stimuli import Stimuli
from repbias.networks.ensembles import Ensemble, Record
from repbias.networks.mlp import MLP
from repbias.networks.own import OwnArchitecture
from repbias.networks.spec import Training
from repbias.networks.training import train, train_ensembles
from repbias.stimuli.bits import Bits

PERCEPTRON = OwnArchitecture(factory="own_networks:mlp", layers=["1", "3"])
STACKED = MLP(hidden=[13, 5])
SETTINGS = {"learning_rate": 5e-3, "batch_size": 32, "max_steps": 160, "extra_steps": 60}
SETTINGS |= {"evaluate_every": 20, "checkpoints": 2, "checkpoint_accuracies": []}


@pytest.fixture(scope="module")
def bits() -> Stimuli:
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    sizes = {"n_train": 256, "n_validation": 64, "n_test": 64, "training_sets": "common"}
    return Bits(features=features, noise_bits=8, **sizes).generate()


def record(stimuli: Stimuli, mastered: int | None = None, **settings) -> Record:
    """The record of a network that masters its targets at a step."""
    training = Training(**SETTINGS | settings)
    kept = Record(Ensemble(stimuli, STACKED, training, [0]), {})
    if mastered is not None:
        kept.evaluated(mastered, 0.1, np.ones(2), dict)
    return kept


def schedule_of_torch(schedule, n_steps: int) -> list[float]:
    """Learning rates of one of PyTorch's schedules, as factors."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = schedule(optimizer), []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("mastered", "start", "length"),
    [(None, 100, 60), (40, 40, 60), (100, 100, 60), (120, 100, 60)],
)
def test_half_a_cosine_from_mastery_or_before_the_last_step(bits, mastered, start, length):
    kept = record(bits, mastered, cool_down="cosine")

    def cosine(optimizer):
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, length)

    expected = [1.0] * start + schedule_of_torch(cosine, length)
    np.testing.assert_allclose([kept.rate(t) for t in range(start + length)], expected, atol=1e-12)


def test_a_cool_down_ends_when_training_does(bits):
    kept = record(bits, 20, cool_down="cosine", extra_steps=45)
    # Evaluated every 20 steps, so that 45 steps end after 60.
    assert kept.rate(20 + 30) == pytest.approx(0.5)
    assert kept.rate(20 + 60) == 0
    assert [record(bits, 20, cool_down="cosine", extra_steps=0).rate(t) for t in (0, 90)] == [1, 1]


def test_a_cosine_over_all_steps(bits):
    kept = record(bits, 20, cool_down="cosine", extra_steps=None)
    rates = [kept.rate(t) for t in range(160)]
    np.testing.assert_allclose(rates, (1 + np.cos(np.pi * np.arange(160) / 160)) / 2)


def test_a_linear_rise(bits):
    def rise(optimizer):
        return torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 10, total_iters=9)

    kept = record(bits, warmup_steps=10)
    expected = schedule_of_torch(rise, 160)
    np.testing.assert_allclose([kept.rate(t) for t in range(160)], expected)
    assert record(bits, 20).rate(150) == 1, "it stays where nothing else is asked for"


def test_images_cool_down_by_default(bits):
    images = Stimuli(**vars(bits) | {"inputs": bits.inputs.astype(np.uint8)})
    for stimuli, setting, expected in [
        (bits, None, False),
        (images, None, True),
        (images, "none", False),
        (bits, "cosine", True),
    ]:
        assert Ensemble(stimuli, STACKED, Training(cool_down=setting), [0]).cools_down == expected


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05},
    ],
)
def test_a_stack_scales_its_updates_as_a_network_alone_its_rate(bits, more):
    training = Training(**SETTINGS | {"cool_down": "cosine", "warmup_steps": 15} | more)
    alone = train(bits, PERCEPTRON, training, [0, 3], "cpu")
    stacked = train(bits, STACKED, training, [0, 3], "cpu")
    constant = train(bits, STACKED, Training(**SETTINGS | more), [0, 3], "cpu")
    np.testing.assert_array_equal(alone.checkpoint_steps, stacked.checkpoint_steps)
    for i in (1, 2, 3):
        ours, theirs = alone.weights[f"{2 * i - 2}.weight"], stacked.weights[f"w{i}"]
        # Adam divides by gradients of almost 0, so that rounding grows.
        change = np.abs(constant.weights[f"w{i}"][-1] - theirs[-1]).mean()
        assert np.abs(ours.swapaxes(-1, -2) - theirs).mean() < 0.02 * change


def test_a_network_does_not_depend_on_others_that_cool_down(bits):
    plain = Ensemble(bits, STACKED, Training(**SETTINGS), [0, 1])
    cooled = Ensemble(bits, STACKED, Training(**SETTINGS, cool_down="cosine"), [2, 3])
    together = train_ensembles([plain, cooled], "cpu")
    for found, ensemble in zip(together, (plain, cooled), strict=True):
        (expected,) = train_ensembles([ensemble], "cpu")
        for name, w in expected.weights.items():
            np.testing.assert_array_equal(found.weights[name], w, err_msg=name)


def test_a_rise_that_never_ends():
    with pytest.raises(ValueError, match=r"warmup_steps \(50\) is larger than max_steps \(40\)"):
        Training(warmup_steps=50, max_steps=40)
