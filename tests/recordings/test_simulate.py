"""Simulated recordings have the generating layer and the stated reliability, nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from repbias.base.spec import RepbiasError
from repbias.recordings.simulate import SimulatedRecording, simulate

N_STIMULI, N_UNITS = 2000, 12


@pytest.fixture(scope="module")
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
    """Return the responses (stimulus, repeat, unit), by the columns of the trials."""
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
    """Return the mixing weights by least squares, and the largest residual."""
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


def test_everything_is_determined_by_the_seed(activations):
    first, again, other = (brain(activations, seed=s).responses for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first.T, other.T)[:60, 60:]).max() < 0.999


def test_subjects_have_their_own_units(activations):
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
def test_missing_sources_are_refused(activations, settings, message):
    with pytest.raises(RepbiasError, match=message):
        brain(activations, **settings)


def test_brains_of_different_layers_share_no_noise(activations):
    """Even with the same seed: otherwise they would not test a pipeline independently."""
    first, second = (brain(activations, layer=layer) for layer in ("hidden1", "hidden2"))
    noise = [tensor(b)[:, 0] - tensor(b)[:, 1] for b in (first, second)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02


OTHERS = ("poisson", "overdispersed", "calcium", "fmri", "meeg")


def averaged(recording, window=None):
    """Return the responses (stimulus, repeat, unit), averaged over the bins in the window."""
    responses = tensor(recording)
    if responses.ndim == 3:
        return responses
    times = np.array(recording.info["times_s"])
    start, stop = window or (-np.inf, np.inf)
    return responses[..., (times >= start) & (times < stop)].mean(axis=3)


def presentations_correlate(responses):
    """Return the mean over units of the correlation of the first two presentations."""
    first, second = responses[:, 0], responses[:, 1]
    return np.mean([np.corrcoef(first[:, u], second[:, u])[0, 1] for u in range(first.shape[1])])


@pytest.mark.parametrize("response", OTHERS)
@pytest.mark.parametrize("reliability", [0.2, 0.6])
def test_every_response_has_the_stated_reliability(activations, response, reliability):
    """The mean of 60 correlations over 600 stimuli has a standard error below .006."""
    recording = brain(activations, response=response, reliability=reliability, n_stimuli=600)
    assert presentations_correlate(averaged(recording)) == pytest.approx(reliability, abs=0.02)


@pytest.mark.parametrize("response", ["calcium", "meeg"])
def test_reliability_is_of_the_window_that_is_analysed(activations, response):
    window = (0.1, 0.2)
    recording = brain(activations, response=response, window=window, n_stimuli=600)
    inside, everywhere = (presentations_correlate(averaged(recording, w)) for w in (window, None))
    assert inside == pytest.approx(0.5, abs=0.02)
    assert abs(everywhere - 0.5) > 0.05


def test_saturating_fluorescence_has_the_stated_reliability(activations):
    settings = {"response": "calcium", "n_stimuli": 600, "reliability": 0.5}
    linear, saturated = (brain(activations, saturation=s, **settings) for s in (0, 0.5))
    assert presentations_correlate(averaged(saturated)) == pytest.approx(0.5, abs=0.02)
    assert saturated.responses.max() < linear.responses.max()


def test_poisson_counts_vary_as_much_as_their_mean(activations):
    """400 presentations: the variance of a count, over its mean, is 1 within 3 standard errors."""
    responses = tensor(brain(activations, response="poisson", n_stimuli=8, repeats=400))
    assert (responses == responses.round()).all()
    assert responses.min() == 0
    fano = responses.var(axis=1, ddof=1).sum() / responses.mean(axis=1).sum()
    assert fano == pytest.approx(1, abs=0.03)


def test_overdispersed_counts_share_a_gain_within_a_subject_and_trial(activations):
    """Goris et al. 2014: variance m + g m², and covariance g m m' of units that share the gain."""
    g = 0.15
    settings = {"response": "overdispersed", "gain_variance": g, "n_stimuli": 4, "repeats": 3000}
    responses = tensor(brain(activations, reliability=0.3, **settings))
    mean = responses.mean(axis=1)
    variance = responses.var(axis=1, ddof=1)
    assert ((variance - mean).sum() / (mean**2).sum()) == pytest.approx(g, rel=0.1)
    covariance = np.stack([np.cov(r.T) for r in responses])
    products = mean[:, :, None] * mean[:, None, :]
    same = np.equal.outer(np.arange(60) // 30, np.arange(60) // 30) & ~np.eye(60, dtype=bool)
    other = np.arange(60)[:, None] // 30 != np.arange(60) // 30
    assert covariance[:, same].sum() / products[:, same].sum() == pytest.approx(g, rel=0.1)
    assert abs(covariance[:, other].sum() / products[:, other].sum()) < 0.01


def test_counts_rise_with_the_signal(activations):
    """The rate is a monotone function of the mixture, so ranks agree."""
    recording = brain(activations, response="poisson", reliability=0.95, repeats=40, n_stimuli=100)
    means = tensor(recording).mean(axis=1)
    gaussian = brain(activations, reliability=1, repeats=1, n_stimuli=100).responses
    found = [spearmanr(means[:, u], gaussian[:, u])[0] for u in range(60)]
    assert np.min(found) > 0.97


def test_fluorescence_decays_and_nothing_comes_before_the_latency(activations):
    """The mean over stimuli and trials falls by exp(-bin / tau) per bin after the last spike."""
    settings = {"latency_s": 0.1, "duration_s": 0.2, "bin_s": 0.05, "tau_s": 0.4}
    recording = brain(
        activations, response="calcium", reliability=0.9, repeats=20, n_stimuli=200, **settings
    )
    course = recording.responses.mean(axis=(0, 1))
    times = np.array(recording.info["times_s"])
    np.testing.assert_allclose(times, np.arange(-0.175, 0.8, 0.05), atol=1e-12)
    assert np.abs(course[times < 0.1]).max() < 0.01 * course.max()
    late = course[times > 0.3]
    assert np.mean(late[1:] / late[:-1]) == pytest.approx(np.exp(-0.05 / 0.4), abs=0.003)


def test_the_signal_enters_meeg_at_the_latency(activations):
    settings = {"latency_s": 0.2, "duration_s": 0.2, "repeats": 40, "n_stimuli": 300}
    recording = brain(activations, response="meeg", reliability=0.9, units=10, **settings)
    times = np.array(recording.info["times_s"])
    halves = tensor(recording).reshape(300, 2, 20, 20, -1).mean(axis=2)
    found = np.array([presentations_correlate(halves[..., t]) for t in range(len(times))])
    inside = (times > 0.2) & (times < 0.4)
    assert found[inside].min() > 0.8
    assert np.abs(found[~inside]).max() < 0.1


def noise_of(recording):
    """Return differences of two presentations, (stimulus, subject, unit of a subject[, time])."""
    responses = tensor(recording)
    difference = responses[:, 0] - responses[:, 1]
    return difference.reshape(len(difference), 2, 30, *difference.shape[2:])


@pytest.mark.parametrize("response", ["fmri", "meeg"])
def test_neighbours_share_noise(activations, response):
    """Autoregression: noise at distance k correlates with c^k, and with no other subject's."""
    noise = noise_of(brain(activations, response=response, noise_correlation=0.6, n_stimuli=1000))
    noise = noise if noise.ndim == 3 else noise[..., 7]
    r = np.corrcoef(noise.reshape(len(noise), -1).T)
    for k in (1, 2, 3):
        found = np.mean([r[i, i + k] for i in range(30 - k)])
        assert found == pytest.approx(0.6**k, abs=0.03)
    assert abs(r[29, 30]) < 0.1


def test_meeg_noise_is_autocorrelated(activations):
    noise = noise_of(brain(activations, response="meeg", tau_s=0.1, bin_s=0.05, n_stimuli=500))
    r = np.corrcoef(noise.reshape(-1, noise.shape[-1]).T)
    found = [np.diagonal(r, k).mean() for k in (0, 1, 2)]
    np.testing.assert_allclose(found, np.exp(-0.5 * np.arange(3)), atol=0.02)


def test_voxels_pool_few_units_of_the_layer(activations):
    recording = brain(
        activations, response="fmri", pooling=3, smoothing=0, reliability=1, repeats=1
    )
    weights, residual = explain(recording, activations.read("hidden2", 1))
    assert residual < 1e-9
    assert ((np.abs(weights) > 1e-9).sum(axis=0) == 3).all()


def test_smoothing_makes_neighbouring_voxels_alike(activations):
    """White weights smoothed by a Gaussian of SD s correlate with exp(-d² / 4 s²)."""
    recording = brain(
        activations, response="fmri", smoothing=2, reliability=1, repeats=1, units=400, subjects=1
    )
    weights, _ = explain(recording, activations.read("hidden2", 1))
    for d in (1, 2, 4):
        found = (weights[:, :-d] * weights[:, d:]).mean() / (weights**2).mean()
        assert found == pytest.approx(np.exp(-(d**2) / 16), abs=0.05)


@pytest.mark.parametrize("shared", [0, 0.5, 1])
def test_subjects_share_the_stated_part_of_the_mixing(activations, shared):
    recording = brain(activations, shared=shared, reliability=1, repeats=1, units=200)
    weights, _ = explain(recording, activations.read("hidden2", 1))
    first, second = weights[:, :200].ravel(), weights[:, 200:].ravel()
    assert np.mean(first * second) == pytest.approx(shared, abs=0.08)
    assert weights.var() == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("response", OTHERS)
def test_every_response_is_determined_by_the_seed(activations, response):
    settings = {"response": response, "n_stimuli": 40, "units": 5}
    first, again, other = (brain(activations, seed=s, **settings) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.responses, again.responses)
    assert (first.responses != other.responses).any()
    assert first.info["modality"].startswith("simulated ")


@pytest.fixture(scope="module")
def nonlinear(make_activations):
    """Three stacked layers of random nonlinear features of 100 stimuli."""
    rng = np.random.default_rng(1)
    x, layers = rng.standard_normal((100, 10)), {}
    for name, width in (("one", 60), ("two", 60), ("three", 60)):
        x = np.tanh(1.5 * x @ rng.standard_normal((x.shape[1], width)) / np.sqrt(x.shape[1]))
        layers[name] = x[None]
    return make_activations(layers, [f"{i:03d}" for i in range(100)], name="nonlinear")


@pytest.mark.parametrize("response", ["gaussian", *OTHERS])
@pytest.mark.parametrize("layer", ["one", "two", "three"])
def test_rsa_names_the_generating_layer(nonlinear, response, layer):
    spec = SimulatedRecording(
        kind="simulated", source="t/b", layer=layer, response=response, n_stimuli=100, units=30
    )
    means = averaged(simulate(spec, nonlinear)).mean(axis=1)
    data = pdist(means, "correlation")
    found = {
        name: np.corrcoef(pdist(nonlinear.read(name, 0), "correlation"), data)[0, 1]
        for name in nonlinear.layers
    }
    assert max(found, key=found.get) == layer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": 4}, "pooling is for response fmri; found response gaussian"),
        ({"response": "fmri", "saturation": 1}, "saturation is for response calcium"),
        ({"response": "poisson", "reliability": 1}, "always have noise"),
        ({"window": (0, 1)}, "window needs time bins"),
        ({"response": "meeg", "latency_s": 2}, "no time bin's centre is between"),
        ({"response": "calcium", "window": (-0.2, 0)}, "no time bin's centre is between"),
        ({"response": "meeg", "epoch": (1, 0)}, "no time bin's centre is between"),
    ],
)
def test_settings_that_do_not_fit_the_response_are_refused(activations, settings, message):
    with pytest.raises(ValidationError, match=message):
        brain(activations, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"response": "overdispersed", "reliability": 0.9, "gain_variance": 0.5},
            "gains of variance 0.5 allow 0.[0-9]+ at most",
        ),
        ({"response": "fmri", "pooling": 13}, "pooling is 13, but 12 of the 12 units"),
    ],
)
def test_impossible_simulations_are_refused(activations, settings, message):
    with pytest.raises(RepbiasError, match=message):
        brain(activations, **settings)


def test_a_constant_layer_has_no_counts(make_activations):
    constant = make_activations({"hidden2": np.ones((1, 50, 3))}, [f"{i}" for i in range(50)])
    with pytest.raises(RepbiasError, match="layer 'hidden2' is constant over the stimuli"):
        brain(constant, response="poisson", n_stimuli=50)


def test_settings_survive_serialisation(activations):
    """The workflow passes all settings on, defaults included."""
    spec = SimulatedRecording(kind="simulated", source="t/b", layer="hidden2", response="meeg")
    assert SimulatedRecording(**spec.model_dump(mode="json")) == spec
