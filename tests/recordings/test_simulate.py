"""Simulated brains: the planted layer, the stated reliability, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.recordings.simulate import SimulatedRecording, simulate
from repbias.spec import RepbiasError

N_STIMULI, N_UNITS = 2000, 12


@pytest.fixture
def activations(make_activations):
    """Two networks, untrained and trained, with layers of independent uniform activity."""
    rng = np.random.default_rng(0)
    layers = {name: rng.uniform(size=(4, N_STIMULI, N_UNITS)) for name in ("hidden1", "hidden2")}
    networks = [(0, "initial"), (0, "final"), (1, "initial"), (1, "final")]
    return make_activations(layers, [f"{i:04d}" for i in range(N_STIMULI)], networks)


def brain(activations, **settings):
    defaults = {"source": "tasks/both", "layer": "hidden2", "subjects": 2, "units": 30}
    settings = defaults | {"repeats": 2, "n_stimuli": N_STIMULI} | settings
    return simulate(SimulatedRecording(kind="simulated", **settings), activations)


def tensor(recording):
    """(stimulus, repeat, unit), by the trials' own columns."""
    repeats = recording.trials["repeat"]
    return np.stack([recording.responses[repeats == r] for r in np.unique(repeats)], axis=1)


@pytest.mark.parametrize("reliability", [0.2, 0.5, 0.8])
def test_single_presentations_correlate_with_the_stated_reliability(activations, reliability):
    """The mean of 60 correlations over 2,000 stimuli has a standard error below .004."""
    responses = tensor(brain(activations, reliability=reliability))
    found = [np.corrcoef(responses[:, 0, u], responses[:, 1, u])[0, 1] for u in range(60)]
    assert np.mean(found) == pytest.approx(reliability, abs=0.015)
    assert np.ptp(found) < 0.2


def test_full_reliability_has_no_noise(activations):
    responses = tensor(brain(activations, reliability=1))
    np.testing.assert_array_equal(responses[:, 0], responses[:, 1])


def explain(recording, x):
    """Mixing weights by least squares, and the worst residual."""
    x = x.astype(float) - x.mean(axis=0, dtype=float)
    weights, *_ = np.linalg.lstsq(x, recording.responses, rcond=None)
    return weights, np.abs(recording.responses - x @ weights).max()


def test_units_mix_the_final_state_of_the_named_network_and_layer(activations):
    recording = brain(activations, reliability=1, repeats=1, seed_of_network=1)
    assert explain(recording, activations.read("hidden2", 3))[1] < 1e-9
    for layer, row in (("hidden2", 2), ("hidden2", 1), ("hidden1", 3)):
        assert explain(recording, activations.read(layer, row))[1] > 0.1


def test_mixing_weights_are_standard_normal(activations):
    """12 x 400 weights: the mean's standard error is .014, that of the variance .02."""
    recording = brain(activations, reliability=1, repeats=1, units=200)
    weights, _ = explain(recording, activations.read("hidden2", 1))
    assert abs(weights.mean()) < 0.06
    assert weights.var() == pytest.approx(1, abs=0.08)


def test_no_unit_resembles_the_average_of_the_layer(activations):
    """With weights of one sign, every unit would correlate with the layer's mean activity."""
    recording = brain(activations, reliability=1, repeats=1, units=200)
    average = activations.read("hidden2", 1).mean(axis=1)
    r = np.corrcoef(average, recording.responses.T)[0, 1:]
    assert abs(r.mean()) < 4 / np.sqrt(len(r) * N_UNITS)


def test_the_seed_decides_everything(activations):
    first, again, other = (brain(activations, seed=s).responses for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first.T, other.T)[:60, 60:]).max() < 0.999


def test_subjects_have_units_of_their_own(activations):
    recording = brain(activations, reliability=1, repeats=1, subjects=3, units=20)
    subjects = recording.units["subject"]
    assert {s: (subjects == s).sum() for s in subjects} == {f"subject{i}": 20 for i in (1, 2, 3)}
    assert len(set(recording.units["unit"])) == 60
    r = np.abs(np.corrcoef(recording.responses.T)) - np.eye(60)
    assert r.max() < 0.999


def test_trials_name_their_stimulus_and_repeat(activations):
    recording = brain(activations, reliability=1, n_stimuli=50, repeats=3)
    trials = set(
        zip(recording.trials["stimulus_id"], recording.trials["repeat"].tolist(), strict=True)
    )
    assert trials == {(s, r) for s in activations.stimulus_ids[:50] for r in range(3)}
    by_stimulus = recording.responses.reshape(50, 3, -1)
    np.testing.assert_array_equal(by_stimulus[:, 0], by_stimulus[:, 2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "hidden3"}, "no layer 'hidden3'; did you mean 'hidden"),
        ({"seed_of_network": 7}, "no trained network of seed 7"),
        ({"n_stimuli": 3000}, "n_stimuli is 3000, but there are 2000"),
    ],
)
def test_what_does_not_exist_is_refused(activations, settings, message):
    with pytest.raises(RepbiasError, match=message):
        brain(activations, **settings)


def test_brains_of_different_layers_share_no_noise(activations):
    """With the same seed; otherwise they would not be independent tests of one pipeline."""
    one, other = (brain(activations, layer=layer) for layer in ("hidden1", "hidden2"))
    noise = [tensor(b)[:, 0] - tensor(b)[:, 1] for b in (one, other)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02
