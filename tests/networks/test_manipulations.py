"""What is done to networks while they learn: rewards, noise and dropout, each by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repbias.networks.manipulations import Manipulations, Manipulator
from repbias.networks.spec import Training

FEATURES = ["easy", "mid", "hard"]


def one(settings: Manipulations, seed: int = 0) -> Manipulator:
    return Manipulator([settings], [seed], [FEATURES], FEATURES)


# Which outputs are rewarded.


@pytest.mark.parametrize(
    ("curriculum", "targets", "mastered", "rewarded"),
    [
        # Without a curriculum: all targets, always.
        ([], "easy mid hard", "", "easy mid hard"),
        ([], "easy mid hard", "easy mid", "easy mid hard"),
        ([], "mid", "", "mid"),
        ([], "mid", "easy", "mid"),
        # Easy first: the others wait, and then all are rewarded.
        (["easy"], "easy mid hard", "", "easy"),
        (["easy"], "easy mid hard", "mid hard", "easy"),
        (["easy"], "easy mid hard", "easy", "easy mid hard"),
        (["easy"], "easy mid hard", "easy mid hard", "easy mid hard"),
        # Hard first, with a feature that is never rewarded.
        (["hard"], "easy hard", "easy", "hard"),
        (["hard"], "easy hard", "hard", "easy hard"),
        # One after the other; those that are mastered stay rewarded.
        (["hard", "easy"], "easy mid hard", "", "hard"),
        (["hard", "easy"], "easy mid hard", "easy", "hard"),
        (["hard", "easy"], "easy mid hard", "hard", "hard easy"),
        (["hard", "easy"], "easy mid hard", "hard mid", "hard easy"),
        (["hard", "easy"], "easy mid hard", "hard easy", "easy mid hard"),
        # All of them in turn.
        (["mid", "easy", "hard"], "easy mid hard", "", "mid"),
        (["mid", "easy", "hard"], "easy mid hard", "mid", "mid easy"),
        (["mid", "easy", "hard"], "easy mid hard", "mid hard", "mid easy"),
        (["mid", "easy", "hard"], "easy mid hard", "mid easy", "easy mid hard"),
        (["easy"], "easy", "", "easy"),
        (["easy"], "easy", "easy", "easy"),
    ],
)
def test_rewarded(curriculum, targets, mastered, rewarded):
    settings = Training(curriculum=curriculum, targets=targets.split())
    manipulator = Manipulator([settings], [0], [targets.split()], FEATURES)
    found = manipulator.rewarded(np.array([[f in mastered.split() for f in FEATURES]]))
    assert found.dtype == bool
    assert found.tolist() == [[f in rewarded.split() for f in FEATURES]]


def test_every_network_has_its_own_curriculum():
    settings = [Training(), Training(curriculum=["hard"]), Training(curriculum=["easy"])]
    targets = [["mid"], FEATURES, FEATURES]
    manipulator = Manipulator(settings, [0, 0, 0], targets, FEATURES)
    mastered = np.array([[False, False, False], [True, False, False], [True, False, False]])
    expected = [[False, True, False], [False, False, True], [True, True, True]]
    np.testing.assert_array_equal(manipulator.rewarded(mastered), expected)
    manipulator.keep([2, 0])
    np.testing.assert_array_equal(manipulator.rewarded(mastered[[2, 0]]), [[True] * 3, expected[0]])


# Dropout.


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_silences_units_at_its_rate_and_keeps_the_mean(rate):
    n = 300 * 40
    x = torch.rand(1, 300, 40, generator=torch.Generator().manual_seed(0)) + 0.5
    found = one(Manipulations(dropout=rate)).hidden(x, 40)
    silent = found == 0
    error = 5 * np.sqrt(rate * (1 - rate) / n)
    assert silent.double().mean().item() == pytest.approx(rate, abs=error)
    torch.testing.assert_close(found[~silent], x[~silent] / (1 - rate))
    scale = (found / x).double().mean().item()
    assert scale == pytest.approx(1, abs=error / (1 - rate))


def test_dropout_is_independent_over_stimuli_units_layers_steps_and_seeds():
    x, p = torch.ones(2, 64, 64), 0.5
    manipulator = Manipulator([Manipulations(dropout=p)] * 2, [3, 4], [FEATURES] * 2, FEATURES)
    first, second = ((manipulator.hidden(x, 64) > 0).double().numpy() for _ in range(2))
    # Shifted by one stimulus or unit, another layer or step, another network.
    pairs = [
        (first[0, 1:], first[0, :-1]),
        (first[0, :, 1:], first[0, :, :-1]),
        (first[0], second[0]),
        (first[0], first[1]),
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)
    # Neither whole stimuli nor whole units are dropped: shares vary as those of fair coins.
    for axis in (0, 1):
        assert first[0].mean(axis=axis).std() == pytest.approx(0.5 / 8, rel=0.4)


def test_dropout_of_zero_does_nothing():
    x = torch.randn(1, 5, 4)
    assert one(Manipulations()).hidden(x, 4) is x


def test_padding_uses_up_no_random_numbers_and_stays_silent():
    x = torch.ones(1, 6, 5)
    wide = torch.nn.functional.pad(x, (0, 27))
    narrow_noise = one(Manipulations(dropout=0.5), 7).hidden(x, 5)
    wide_noise = one(Manipulations(dropout=0.5), 7).hidden(wide, 5)
    assert torch.equal(wide_noise[..., :5], narrow_noise)
    assert not wide_noise[..., 5:].any()


# Noise on parameters.

SHAPES = {"w1": (60, 50), "b1": (1, 50), "w2": (50, 3), "b2": (1, 3)}


def zeros(n: int, shapes=SHAPES) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(n, *shape) for name, shape in shapes.items()}


def test_parameter_noise_is_gaussian_with_its_standard_deviation():
    noisy = one(Manipulations(parameter_noise=0.3)).weights(zeros(1), SHAPES)
    assert noisy.keys() == SHAPES.keys()
    values = noisy["w1"].double().flatten()
    assert values.std().item() == pytest.approx(0.3, rel=4 / np.sqrt(2 * 3000))
    assert values.mean().item() == pytest.approx(0, abs=4 * 0.3 / np.sqrt(3000))
    kurtosis = (values**4).mean() / (values**2).mean() ** 2
    assert kurtosis.item() == pytest.approx(3, abs=4 * np.sqrt(24 / 3000))
    assert all(w.all() for w in noisy.values()), "on every weight and bias"


def test_parameter_noise_is_added_and_lets_gradients_through():
    settings = Manipulations(parameter_noise=0.3)
    weights = {n: torch.randn(1, *s).requires_grad_() for n, s in SHAPES.items()}
    before = {name: w.detach().clone() for name, w in weights.items()}
    noisy = one(settings).weights(weights, SHAPES)
    noise = one(settings).weights(zeros(1), SHAPES)
    for name, w in noisy.items():
        torch.testing.assert_close(w, before[name] + noise[name])
        assert torch.equal(weights[name], before[name]), "the parameters themselves stay"
        (gradient,) = torch.autograd.grad(w.sum(), weights[name])
        assert (gradient == 1).all()


def test_parameter_noise_is_new_in_every_step_and_for_every_seed():
    settings = [Manipulations(parameter_noise=1)] * 2
    manipulator = Manipulator(settings, [3, 4], [FEATURES] * 2, FEATURES)
    first, second = (manipulator.weights(zeros(2), SHAPES)["w1"].flatten(1) for _ in range(2))
    found = np.corrcoef(torch.cat([first, second]).numpy())
    assert np.abs(found - np.eye(4)).max() < 5 / np.sqrt(3000)


def test_noise_of_zero_does_nothing():
    weights = zeros(1)
    assert one(Manipulations()).weights(weights, SHAPES) is weights


# A network's stream of random numbers is its own.


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.2, 0.5]), st.sampled_from([0, 0.1]), st.integers(0, 5)),
        min_size=2,
        max_size=5,
    ),
    st.data(),
)
def test_a_stream_is_the_same_in_any_company(networks, data):
    """With neighbours of other rates or none, before and after some of them have gone."""
    shapes = {"w1": (3, 4), "b1": (1, 4)}
    settings = [Manipulations(dropout=p, parameter_noise=s) for p, s, _ in networks]
    seeds = [seed for *_, seed in networks]
    targets = [FEATURES] * len(networks)
    together = Manipulator(settings, seeds, targets, FEATURES)
    alone = [one(s, seed) for s, seed in zip(settings, seeds, strict=True)]
    left = list(range(len(networks)))
    for _ in range(3):
        hidden = together.hidden(torch.ones(len(left), 6, 4), 4)
        noise = together.weights(zeros(len(left), shapes), shapes)
        for place, n in enumerate(left):
            assert torch.equal(hidden[place], alone[n].hidden(torch.ones(1, 6, 4), 4)[0])
            for name, w in alone[n].weights(zeros(1, shapes), shapes).items():
                assert torch.equal(noise[name][place], w[0])
        places = data.draw(st.sets(st.sampled_from(range(len(left))), min_size=1).map(sorted))
        together.keep(places)
        left = [left[p] for p in places]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1}, "less than 1"),
        ({"dropout": -0.1}, "greater than or equal to 0"),
        ({"parameter_noise": -1}, "greater than or equal to 0"),
        ({"curriculum": ["a/b"]}, "match pattern"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Manipulations(**settings)
