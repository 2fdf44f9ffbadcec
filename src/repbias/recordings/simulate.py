"""Simulated brains, whose generating layer is known."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, nearest
from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.recordings.spec import Preparation, Seconds

#: What is measured, and the settings that only this kind of response has.
_TIME = ("epoch", "bin_s", "latency_s", "duration_s", "tau_s")
OPTIONS: dict[str, tuple[str, ...]] = {
    "gaussian": (),
    "poisson": (),
    "overdispersed": ("gain_variance",),
    "calcium": (*_TIME, "saturation"),
    "fmri": ("pooling", "smoothing", "noise_correlation"),
    "meeg": (*_TIME, "noise_correlation"),
}
#: Responses that come from spike counts, which are never without noise.
COUNTS = ("poisson", "overdispersed", "calcium")
#: Time bins of a trial.
MOST_BINS = 10_000
#: Presentations by which the noise of saturating fluorescence is estimated.
_CALIBRATIONS = 20


class SimulatedRecording(Preparation):
    """A brain whose units are random mixtures of one layer's units, plus trial noise."""

    kind: Literal["simulated"]
    """A simulated brain."""
    source: str
    """The condition that generates it, `experiment/condition`."""
    layer: str
    """The generating layer."""
    seed_of_network: int = Field(0, ge=0)
    """Which seed of the condition generates it."""
    subjects: int = Field(4, ge=1)
    """Subjects, each with mixing weights of its own."""
    units: int = Field(40, ge=2)
    """Units per subject."""
    repeats: int = Field(4, ge=1)
    """Presentations of every stimulus."""
    n_stimuli: int = Field(128, ge=4)
    """How many of the test stimuli are shown (the first ones, balanced)."""
    reliability: float = Field(0.5, gt=0, le=1)
    """Correlation of a unit's responses between two single presentations; of their average over
    time bins (those in `window`), if there are any."""
    shared: float = Field(0, ge=0, le=1)
    """Share of the mixing weights' variance that all subjects have in common."""
    seed: int = Field(0, ge=0)
    """Seed of mixing and noise."""
    response: Literal["gaussian", "poisson", "overdispersed", "calcium", "fmri", "meeg"] = (
        "gaussian"
    )
    """How a unit's signal is measured: with Gaussian noise; as spike counts, Poisson or with a
    gain that varies from trial to trial (`overdispersed`); as the fluorescence of an indicator of
    spikes over time (`calcium`); in voxels that pool units, with noise that neighbours share
    (`fmri`); in sensors over time, with noise that is correlated in time (`meeg`)."""
    gain_variance: float = Field(0.1, gt=0)
    """Overdispersed counts: variance of the gain, whose mean is 1, that a subject's units share
    in a trial."""
    epoch: tuple[Seconds, Seconds] = (-0.2, 0.8)
    """Calcium, M/EEG: from when to when there are time bins, in seconds from the stimulus."""
    bin_s: float = Field(0.05, gt=0)
    """Calcium, M/EEG: length of a time bin in seconds."""
    latency_s: float = 0.1
    """Calcium, M/EEG: when the response to a stimulus begins, in seconds."""
    duration_s: float = Field(0.3, gt=0)
    """Calcium, M/EEG: how long neurons respond, in seconds."""
    tau_s: float = Field(0.2, gt=0)
    """Calcium: time constant of the indicator's decay; M/EEG: that of the noise's
    autocorrelation; in seconds."""
    saturation: float = Field(0, ge=0)
    """Calcium: fluorescence F becomes F / (1 + saturation F); F is 1 at the peak of one spike."""
    pooling: int | None = Field(None, ge=1)
    """fMRI: how many random units of the layer a voxel pools, before smoothing; all if left out."""
    smoothing: float = Field(1, ge=0)
    """fMRI: standard deviation, in voxels, of the smoothing along the line of voxels."""
    noise_correlation: float = Field(0.3, ge=0, lt=1)
    """fMRI, M/EEG: correlation of the noise of neighbouring voxels or sensors, on a line."""

    @model_validator(mode="after")
    def _fits_the_response(self) -> SimulatedRecording:
        all_options = {option for options in OPTIONS.values() for option in options}
        for name in sorted(all_options - set(OPTIONS[self.response])):
            if getattr(self, name) != type(self).model_fields[name].default:
                of = ", ".join(kind for kind, options in OPTIONS.items() if name in options)
                raise ValueError(f"{name} is for response {of}; found response {self.response}")
        if self.response in COUNTS and self.reliability == 1:
            raise ValueError(f"{self.response} responses are never without noise; reliability < 1")
        if self.window is not None and "epoch" not in OPTIONS[self.response]:
            raise ValueError(f"window needs time bins; {self.response} responses have none")
        if "epoch" in OPTIONS[self.response]:
            n_bins = (self.epoch[1] - self.epoch[0]) / self.bin_s
            if abs(n_bins) > MOST_BINS:
                raise ValueError(
                    f"the epoch {list(self.epoch)} has {n_bins:.6g} bins of bin_s ({self.bin_s:g}) "
                    f"seconds; expected at most {MOST_BINS}"
                )
            shown = (self.times_s() > self.latency_s) & self.in_window()
            if not (shown & (self.times_s() < self.latency_s + self.duration_s)).any():
                raise ValueError(
                    "no time bin's centre is between latency_s and latency_s + duration_s "
                    f"({self.latency_s:g} to {self.latency_s + self.duration_s:g}), in the epoch "
                    f"{list(self.epoch)} and the window"
                )
        return self

    def times_s(self) -> np.ndarray:
        """Return the centres of the time bins."""
        start, stop = self.epoch
        return start + self.bin_s * (np.arange(round((stop - start) / self.bin_s)) + 0.5)

    def in_window(self) -> np.ndarray:
        """Return which time bins analyses average over, (time,) bool."""
        times = self.times_s()
        start, stop = self.window or (-np.inf, np.inf)
        return (times >= start) & (times < stop)


def simulate(spec: SimulatedRecording, activations: Activations) -> Recording:
    """Generate the recording.

    Each unit's signal is a zero-mean Gaussian mixture of the layer's units (weights with a mean
    would make every unit resemble the layer's average). :data:`RESPONSES` says how it is measured;
    each sets its noise such that single presentations correlate with r, the stated reliability:
    with signal variance s² over stimuli, the noise variance of a trial is s² (1 - r) / r, averaged
    over stimuli. This is exact in expectation; over 100 stimuli or more, the mean correlation of a
    hundred units is within 0.03 of r.

    Raises
    ------
    RepbiasError
        If the layer, the seed or the stimuli do not exist, or counts cannot be as reliable as
        stated.
    """
    layer = _layer(spec, activations)
    ids = activations.stimulus_ids[: spec.n_stimuli]
    # Brains of different layers share neither mixing nor noise, even with the same seed.
    origin = f"{spec.source}/{spec.layer}/{spec.seed_of_network}"
    seed = [spec.seed, zlib.crc32(origin.encode())]
    rng = np.random.default_rng(seed)
    own = _mixing(spec, layer, spec.subjects, rng)
    common = _mixing(spec, layer, 1, np.random.default_rng([*seed, 1]))
    mixing = np.sqrt(1 - spec.shared) * own + np.sqrt(spec.shared) * common
    signal = layer @ mixing.reshape(len(mixing), -1)
    if spec.response != "gaussian" and not (signal.std(axis=0) > 0).all():
        raise RepbiasError(
            f"{activations.path}: layer {spec.layer!r} is constant over the stimuli, so "
            f"{spec.response} responses have no reliability"
        )
    responses = RESPONSES[spec.response](spec, signal, rng)
    responses = responses.reshape(-1, *responses.shape[2:])
    subjects = np.repeat([f"subject{i + 1}" for i in range(spec.subjects)], spec.units)
    numbers = np.tile(np.arange(spec.units) + 1, spec.subjects)
    width = len(str(spec.units))
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses,
        trials={
            "stimulus_id": np.repeat(ids, spec.repeats),
            "repeat": np.tile(np.arange(spec.repeats), spec.n_stimuli),
        },
        units={
            "unit": np.array(
                [f"{s}/{n:0{width}d}" for s, n in zip(subjects, numbers, strict=True)]
            ),
            "subject": subjects,
            "region": np.full(len(subjects), "simulated"),
        },
        info={
            "kind": "simulated",
            "modality": _MODALITIES[spec.response],
            "source": spec.source,
            "layer": spec.layer,
            "seed_of_network": spec.seed_of_network,
            "reliability": spec.reliability,
            "preparation": spec.preparation(),
            **({"times_s": spec.times_s().tolist()} if responses.ndim == 3 else {}),
        },
    )


_MODALITIES = {
    "gaussian": "simulated",
    "poisson": "simulated spike counts",
    "overdispersed": "simulated spike counts",
    "calcium": "simulated calcium",
    "fmri": "simulated fMRI",
    "meeg": "simulated M/EEG",
}


def _layer(spec: SimulatedRecording, activations: Activations) -> np.ndarray:
    """Return the generating layer's centred responses to the stimuli, (stimulus, unit)."""
    if spec.layer not in activations.layers:
        raise RepbiasError(
            f"{activations.path}: no layer {spec.layer!r}; "
            f"{nearest(spec.layer, activations.layers)}"
        )
    table = activations.networks
    rows = np.flatnonzero((table["seed"] == spec.seed_of_network) & (table["snapshot"] == "final"))
    if len(rows) != 1:
        raise RepbiasError(f"{activations.path}: no trained network of seed {spec.seed_of_network}")
    n = len(activations.stimulus_ids)
    if n < spec.n_stimuli:
        raise RepbiasError(f"{activations.path}: n_stimuli is {spec.n_stimuli}, but there are {n}")
    layer = activations.read(spec.layer, int(rows[0]))[: spec.n_stimuli].astype(float)
    return layer - layer.mean(axis=0)


def _mixing(
    spec: SimulatedRecording, layer: np.ndarray, subjects: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the mixing weights, (unit of the layer, subject, unit)."""
    n = layer.shape[1]
    weights = rng.standard_normal((n, subjects * spec.units)).reshape(n, subjects, spec.units)
    if spec.pooling is not None:
        active = np.flatnonzero(layer.std(axis=0) > 0)
        if len(active) < spec.pooling:
            raise RepbiasError(
                f"pooling is {spec.pooling}, but {len(active)} of the {n} units of layer "
                f"{spec.layer!r} vary over the stimuli"
            )
        rank = rng.random((len(active), subjects, spec.units)).argsort(axis=0).argsort(axis=0)
        pooled = np.zeros(weights.shape, bool)
        pooled[active] = rank < spec.pooling
        weights = np.where(pooled, weights, 0)
    if spec.response == "fmri" and spec.smoothing > 0:
        from scipy.ndimage import gaussian_filter1d

        weights = gaussian_filter1d(weights, spec.smoothing, axis=2)
    return weights


def _gaussian(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian noise."""
    noise_sd = signal.std(axis=0) * np.sqrt((1 - spec.reliability) / spec.reliability)
    noise = rng.standard_normal((len(signal), spec.repeats, signal.shape[1])) * noise_sd
    return signal[:, None] + noise


def _tuning(signal: np.ndarray) -> np.ndarray:
    """Return firing rates of mean 1: the softplus of the standardised signal."""
    rates = np.logaddexp(0, signal / signal.std(axis=0))
    return rates / rates.mean(axis=0)


def _counts(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson counts, or (Goris, Movshon & Simoncelli 2014) with a gain per trial and subject.

    With rates m f, f of mean 1 and variance c² over stimuli, and gains of variance g, counts have
    signal variance m² c² and noise variance m + g m² (1 + c²). The mean rate m is what gives the
    stated reliability.
    """
    f, r = _tuning(signal), spec.reliability
    c2 = f.var(axis=0)
    g = spec.gain_variance if spec.response == "overdispersed" else 0.0
    room = c2 * (1 - r) - r * g * (1 + c2)
    if (room <= 0).any():
        most = (c2 / (c2 + g * (1 + c2))).min()
        raise RepbiasError(
            f"reliability is {r:g}, but gains of variance {g:g} allow {most:.2f} at most; "
            "expected a lower reliability or gain_variance"
        )
    rates = (r / room * f)[:, None]
    if g:
        gain = rng.gamma(1 / g, g, size=(len(f), spec.repeats, spec.subjects))
        rates = rates * np.repeat(gain, spec.units, axis=2)
    return rng.poisson(np.broadcast_to(rates, (len(f), spec.repeats, f.shape[1]))).astype(float)


def _calcium(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spikes that raise a fluorescence by 1 each, which decays; with white noise.

    Spikes come at a constant rate while neurons respond. Spiking makes about half of the noise;
    white noise makes the rest, as 20 other presentations of the same rates say.
    """
    from scipy.signal import lfilter

    times, inside, r = spec.times_s(), spec.in_window(), spec.reliability
    drive = (times >= spec.latency_s) & (times < spec.latency_s + spec.duration_s)
    drive = drive / drive.sum()
    decay = np.exp(-spec.bin_s / spec.tau_s)
    # How much a spike in a bin adds to the average over the window.
    weight = lfilter([1], [1, -decay], np.eye(len(times)), axis=1)[:, inside].mean(axis=1)
    f = _tuning(signal)
    # Spikes alone would have the reliability 2 r / (1 + r).
    ratio = (weight**2 @ drive) / (weight @ drive) ** 2
    rates = (2 * r * ratio / ((1 - r) * f.var(axis=0)) * f)[:, None, :, None] * drive

    def fluorescence(repeats: int, rng: np.random.Generator) -> np.ndarray:
        spikes = rng.poisson(np.broadcast_to(rates, (len(f), repeats, *rates.shape[2:])))
        raised = lfilter([1], [1, -decay], spikes.astype(float), axis=3)
        return raised / (1 + spec.saturation * raised)

    other = rng.spawn(1)[0]
    tests = [fluorescence(1, other)[..., inside].mean(axis=3) for _ in range(_CALIBRATIONS)]
    tests = np.concatenate(tests, axis=1)
    spiking = tests.var(axis=1, ddof=1).mean(axis=0)
    signals = tests.mean(axis=1).var(axis=0) - spiking / _CALIBRATIONS
    missing = signals * (1 - r) / r - spiking
    if (missing < 0).any():
        most = np.min(signals / (signals + spiking))
        raise RepbiasError(
            f"reliability is {r:g}, but a saturation of {spec.saturation:g} allows {most:.2f} at "
            "most; expected a lower reliability or saturation"
        )
    noise_sd = np.sqrt(missing * inside.sum())[:, None]
    measured = fluorescence(spec.repeats, rng)
    return measured + noise_sd * rng.standard_normal(measured.shape)


def _fmri(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One amplitude per voxel and trial; noise is autoregressive along the line of voxels."""
    noise_sd = signal.std(axis=0) * np.sqrt((1 - spec.reliability) / spec.reliability)
    noise = rng.standard_normal((len(signal), spec.repeats, spec.subjects, spec.units))
    noise = _autoregressive(noise, spec.noise_correlation, axis=3)
    return signal[:, None] + noise.reshape(*noise.shape[:2], -1) * noise_sd


def _meeg(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One bump sin² over time, in every sensor; noise is autoregressive in time and over sensors.

    The noise's variance in a bin is what gives the average over the window, of which the
    autoregression's covariance is known, the stated reliability.
    """
    times, inside, r = spec.times_s(), spec.in_window(), spec.reliability
    phase = (times - spec.latency_s) / spec.duration_s
    bump = np.where((phase >= 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0)
    correlation = np.exp(-spec.bin_s / spec.tau_s)
    lags = np.arange(inside.sum())
    averaged = (correlation ** np.abs(lags[:, None] - lags)).mean()
    sd = signal.std(axis=0) * bump[inside].mean() * np.sqrt((1 - r) / r / averaged)
    noise = rng.standard_normal((len(signal), spec.repeats, spec.subjects, spec.units, len(times)))
    noise = _autoregressive(noise, spec.noise_correlation, axis=3)
    noise = _autoregressive(noise, correlation, axis=4)
    noise = noise.reshape(*noise.shape[:2], -1, len(times))
    return signal[:, None, :, None] * bump + noise * sd[:, None]


def _autoregressive(white: np.ndarray, correlation: float, axis: int) -> np.ndarray:
    """Stationary first-order autoregression of variance 1 along an axis, from white noise."""
    from scipy.signal import lfilter

    scaled = np.moveaxis(white * np.sqrt(1 - correlation**2), axis, 0)
    scaled[0] = np.moveaxis(white, axis, 0)[0]
    return np.moveaxis(lfilter([1], [1, -correlation], scaled, axis=0), 0, axis)


#: How a signal (stimulus, unit) is measured: (stimulus, repeat, unit) or (..., unit, time).
RESPONSES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": _gaussian,
    "poisson": _counts,
    "overdispersed": _counts,
    "calcium": _calcium,
    "fmri": _fmri,
    "meeg": _meeg,
}
