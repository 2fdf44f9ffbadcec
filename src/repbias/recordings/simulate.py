"""Simulated recordings, whose generating layer is known."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.recordings.spec import Preparation, Seconds

if TYPE_CHECKING:
    from repbias.io.activations import Activations

_TIME = ("epoch", "bin_s", "latency_s", "duration_s", "tau_s")
#: The settings that only some kinds of response have, by kind.
OPTIONS: dict[str, tuple[str, ...]] = {
    "gaussian": (),
    "poisson": (),
    "overdispersed": ("gain_variance",),
    "calcium": (*_TIME, "saturation"),
    "fmri": ("pooling", "smoothing", "noise_correlation"),
    "meeg": (*_TIME, "noise_correlation"),
}
#: Responses generated from spike counts, which always have noise.
COUNTS = ("poisson", "overdispersed", "calcium")
#: Limit on the time bins of a trial.
MAX_BINS = 10_000
#: Simulated presentations from which the noise of saturating fluorescence is estimated.
_CALIBRATIONS = 20


class SimulatedRecording(Preparation):
    """A simulated brain: units are random mixtures of one layer's units, plus trial noise."""

    kind: Literal["simulated"]
    """A simulated brain."""
    source: str
    """The condition whose network generates the recording, as `experiment/condition`."""
    layer: str
    """The generating layer."""
    seed_of_network: int = Field(0, ge=0)
    """Seed of the generating network."""
    subjects: int = Field(4, ge=1)
    """Number of subjects, each with its own mixing weights."""
    units: int = Field(40, ge=2)
    """Number of units per subject."""
    repeats: int = Field(4, ge=1)
    """Number of presentations of every stimulus."""
    n_stimuli: int = Field(128, ge=4)
    """Number of test stimuli shown: the first n, which are balanced."""
    reliability: float = Field(0.5, gt=0, le=1)
    """Correlation of a unit's responses between two single presentations; for responses over time,
    of their average over the bins in `window`."""
    shared: float = Field(0, ge=0, le=1)
    """Share of the variance of the mixing weights that all subjects have in common."""
    seed: int = Field(0, ge=0)
    """Seed of mixing weights and noise."""
    response: Literal["gaussian", "poisson", "overdispersed", "calcium", "fmri", "meeg"] = (
        "gaussian"
    )
    """How a unit's signal is measured: with Gaussian noise; as spike counts, Poisson or with a
    gain that varies from trial to trial (`overdispersed`); as the fluorescence of a calcium
    indicator over time (`calcium`); in voxels that pool units and have spatially correlated noise
    (`fmri`); in sensors over time, with temporally correlated noise (`meeg`)."""
    gain_variance: float = Field(0.1, gt=0)
    """Overdispersed counts: variance of the gain (mean 1) that all units of a subject share in a
    trial."""
    epoch: tuple[Seconds, Seconds] = (-0.2, 0.8)
    """Calcium, M/EEG: start and end of a trial, in seconds from stimulus onset."""
    bin_s: float = Field(0.05, gt=0)
    """Calcium, M/EEG: width of a time bin in seconds."""
    latency_s: float = 0.1
    """Calcium, M/EEG: latency of the response in seconds."""
    duration_s: float = Field(0.3, gt=0)
    """Calcium, M/EEG: duration of the neural response in seconds."""
    tau_s: float = Field(0.2, gt=0)
    """Calcium: time constant of the indicator's decay; M/EEG: time constant of the noise's
    autocorrelation; in seconds."""
    saturation: float = Field(0, ge=0)
    """Calcium: fluorescence F becomes F / (1 + saturation F); F is 1 at the peak of one spike."""
    pooling: int | None = Field(None, ge=1)
    """fMRI: number of random units of the layer that a voxel pools, before smoothing; all by
    default."""
    smoothing: float = Field(1, ge=0)
    """fMRI: standard deviation, in voxels, of the smoothing along the line of voxels."""
    noise_correlation: float = Field(0.3, ge=0, lt=1)
    """fMRI, M/EEG: noise correlation between neighbouring voxels or sensors, arranged on a line."""

    @model_validator(mode="after")
    def _fits_the_response(self) -> SimulatedRecording:
        all_options = {option for options in OPTIONS.values() for option in options}
        for name in sorted(all_options - set(OPTIONS[self.response])):
            if getattr(self, name) != type(self).model_fields[name].default:
                of = ", ".join(kind for kind, options in OPTIONS.items() if name in options)
                raise ValueError(f"{name} is for response {of}; found response {self.response}")
        if self.response in COUNTS and self.reliability == 1:
            raise ValueError(
                f"{self.response} responses always have noise; expected a reliability below 1"
            )
        if self.window is not None and "epoch" not in OPTIONS[self.response]:
            raise ValueError(f"window needs time bins; {self.response} responses have none")
        return self

    @model_validator(mode="after")
    def _time_bins_hold_the_response(self) -> SimulatedRecording:
        if "epoch" not in OPTIONS[self.response]:
            return self
        n_bins = (self.epoch[1] - self.epoch[0]) / self.bin_s
        if abs(n_bins) > MAX_BINS:
            raise ValueError(
                f"the epoch {list(self.epoch)} has {n_bins:.6g} bins of bin_s ({self.bin_s:g}) "
                f"seconds; expected at most {MAX_BINS}"
            )
        responding = (self.times_s() > self.latency_s) & self.in_window()
        if not (responding & (self.times_s() < self.latency_s + self.duration_s)).any():
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
    """Generate a recording from the activations of a condition.

    Each unit's signal is a linear mixture of the layer's units, with Gaussian weights of zero mean
    (weights with another mean would make every unit resemble the layer's average). The functions
    in :data:`RESPONSES` measure it; each sets its noise such that single presentations correlate
    with r, the stated reliability: with signal variance s² over stimuli, the noise variance of a
    trial is s² (1 - r) / r, averaged over stimuli. This is exact in expectation; over 100 stimuli
    or more, the mean correlation of a hundred units is within 0.03 of r.

    Raises
    ------
    RepbiasError
        If the layer, the seed or the stimuli do not exist, or counts cannot reach the stated
        reliability.
    """
    layer = _layer(spec, activations)
    ids = activations.stimulus_ids[: spec.n_stimuli]
    # Recordings of different layers share neither mixing nor noise, even with the same seed.
    origin = f"{spec.source}/{spec.layer}/{spec.seed_of_network}"
    seed = [spec.seed, zlib.crc32(origin.encode())]
    rng = np.random.default_rng(seed)
    individual = _mixing(spec, layer, spec.subjects, rng)
    common = _mixing(spec, layer, 1, np.random.default_rng([*seed, 1]))
    mixing = np.sqrt(1 - spec.shared) * individual + np.sqrt(spec.shared) * common
    signal = layer @ mixing.reshape(len(mixing), -1)
    if spec.response != "gaussian" and not (signal.std(axis=0) > 0).all():
        raise RepbiasError(
            f"{activations.path}: layer {spec.layer!r} is constant over the stimuli, so "
            f"{spec.response} responses have no reliability"
        )
    responses = RESPONSES[spec.response](spec, signal, rng)
    responses = responses.reshape(-1, *responses.shape[2:])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses,
        trials={
            "stimulus_id": np.repeat(ids, spec.repeats),
            "repeat": np.tile(np.arange(spec.repeats), spec.n_stimuli),
        },
        units=_units(spec),
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


def _units(spec: SimulatedRecording) -> dict[str, np.ndarray]:
    """Return the columns of units, which are numbered within each subject."""
    subjects = np.repeat([f"subject{i + 1}" for i in range(spec.subjects)], spec.units)
    numbers = np.tile(np.arange(spec.units) + 1, spec.subjects)
    width = len(str(spec.units))
    return {
        "unit": np.array([f"{s}/{n:0{width}d}" for s, n in zip(subjects, numbers, strict=True)]),
        "subject": subjects,
        "region": np.full(len(subjects), "simulated"),
    }


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
    """Add independent Gaussian noise."""
    noise_sd = signal.std(axis=0) * np.sqrt((1 - spec.reliability) / spec.reliability)
    noise = rng.standard_normal((len(signal), spec.repeats, signal.shape[1])) * noise_sd
    return signal[:, None] + noise


def _tuning(signal: np.ndarray) -> np.ndarray:
    """Return firing rates of mean 1: the softplus of the standardised signal."""
    rates = np.logaddexp(0, signal / signal.std(axis=0))
    return rates / rates.mean(axis=0)


def _counts(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw Poisson counts, or with a gain per trial and subject (Goris et al. 2014).

    With rates m f, f of mean 1 and variance c² over stimuli, and gains of variance g, counts have
    signal variance m² c² and noise variance m + g m² (1 + c²). The mean rate m is chosen to give
    the stated reliability.
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
    """Let every spike raise a decaying fluorescence by 1, and add white noise.

    Spikes come at a constant rate while neurons respond. Spiking contributes about half of the
    noise variance; white noise contributes the rest, which is estimated from 20 further
    presentations at the same rates.
    """
    from scipy.signal import lfilter

    times, inside, r = spec.times_s(), spec.in_window(), spec.reliability
    drive = (times >= spec.latency_s) & (times < spec.latency_s + spec.duration_s)
    drive = drive / drive.sum()
    decay = np.exp(-spec.bin_s / spec.tau_s)
    # Contribution of a spike in each bin to the average over the window.
    weight = lfilter([1], [1, -decay], np.eye(len(times)), axis=1)[:, inside].mean(axis=1)
    f = _tuning(signal)
    # With spiking noise alone, the reliability would be 2 r / (1 + r).
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
    """Measure one amplitude per voxel and trial, with noise autoregressive along the voxels."""
    noise_sd = signal.std(axis=0) * np.sqrt((1 - spec.reliability) / spec.reliability)
    noise = rng.standard_normal((len(signal), spec.repeats, spec.subjects, spec.units))
    noise = _autoregressive(noise, spec.noise_correlation, axis=3)
    return signal[:, None] + noise.reshape(*noise.shape[:2], -1) * noise_sd


def _meeg(spec: SimulatedRecording, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Measure a sin² time course in every sensor, with noise autoregressive over time and sensors.

    The noise variance in a bin follows from the stated reliability of the average over the window,
    as the covariance of the autoregression is known.
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
    """Turn white noise into a stationary first-order autoregression of variance 1 along an axis."""
    from scipy.signal import lfilter

    scaled = np.moveaxis(white * np.sqrt(1 - correlation**2), axis, 0)
    scaled[0] = np.moveaxis(white, axis, 0)[0]
    return np.moveaxis(lfilter([1], [1, -correlation], scaled, axis=0), 0, axis)


#: Functions that measure a signal (stimulus, unit), returning (stimulus, repeat, unit[, time]).
RESPONSES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": _gaussian,
    "poisson": _counts,
    "overdispersed": _counts,
    "calcium": _calcium,
    "fmri": _fmri,
    "meeg": _meeg,
}
