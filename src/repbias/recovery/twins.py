"""Simulated brains that have the stimuli, units, repeats and noise of a recording."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import squareform

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.noise import shrinkage_weight
from repbias.io.blocks import Block, Blocks, Responses
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_units, stimulus_groups
from repbias.recordings.reliability import analysed_units
from repbias.recordings.responses import observed_mean, over_time, stimulus_means
from repbias.recordings.spec import preparation_of


@dataclass(frozen=True, eq=False)
class SubjectNoise:
    """Signal and noise of the units of one subject.

    Attributes
    ----------
    units : (unit,) int, which of the recording's units these are
    signal_sd : (unit,), standard deviation over stimuli of the responses without noise
    noise_sd : (unit,), standard deviation over trials of a stimulus
    root : (dimension, unit), L with L'L the sample correlation of the noise between units
    weight : weight of the identity in the noise correlation, weight I + (1 - weight) L'L
    """

    units: np.ndarray
    signal_sd: np.ndarray
    noise_sd: np.ndarray
    root: np.ndarray
    weight: float

    def draw(self, n_trials: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise of trials, (trial, unit)."""
        common = rng.standard_normal((n_trials, len(self.root))) @ self.root
        alone = rng.standard_normal((n_trials, len(self.units)))
        mixed = np.sqrt(1 - self.weight) * common + np.sqrt(self.weight) * alone
        noise: np.ndarray = mixed * self.noise_sd
        return noise


@dataclass(frozen=True, eq=False)
class Twins:
    """What a recording's twins are simulated by.

    A twin has the recording's trials and units. A unit's signal is a Gaussian mixture of a layer's
    units, scaled to the signal variance of the unit: the variance of its mean responses minus what
    noise adds to it (:func:`_not_negative`). The noise is Gaussian, independent between trials and
    subjects, with the covariance between a subject's units of deviations of repeats from their
    mean, shrunk to its diagonal (Schäfer & Strimmer 2005).

    Attributes
    ----------
    recording : the analysed units that were observed for every stimulus, averaged over the window
    stimulus : (trial,) int, the stimulus of each trial
    subjects : every subject's signal and noise
    """

    recording: Recording
    stimulus: np.ndarray
    subjects: tuple[SubjectNoise, ...]

    @classmethod
    def of(cls, recording: Recording, reliability: float | None = None) -> Twins:
        """Estimate signal and noise of a recording of responses, or of a region of one.

        Parameters
        ----------
        recording
            With responses.
        reliability
            Assumed share of signal in the variance over stimuli where nothing was repeated and
            there are no standard errors.

        Raises
        ------
        RepbiasError
            If the noise is not known, or no unit was observed for every stimulus.
        """
        used = of_units(recording, analysed_units(recording))
        complete = ~np.isnan(stimulus_means(used)).any(axis=0)
        if not complete.any():
            raise RepbiasError("recovery: no unit was observed for every stimulus")
        unprepared = preparation_of(used).model_copy(
            update={"window": None, "min_reliability": None, "min_repeats": None}
        )
        info = {k: v for k, v in used.info.items() if k != "times_s"}
        used = of_units(
            replace(
                used,
                responses=over_time(used),
                info=info | {"preparation": unprepared.preparation()},
            ),
            complete,
        )
        subjects = tuple(
            _subject_noise(part, units, reliability) for _, units, part in by_subject(used)
        )
        return cls(used, _stimulus_of_trials(used), subjects)

    @property
    def reliability(self) -> np.ndarray:
        """Share of signal in the variance of single trials over stimuli, (unit,)."""
        result = np.full(len(self.recording.units["unit"]), np.nan)
        for s in self.subjects:
            total = s.signal_sd**2 + s.noise_sd**2
            result[s.units] = np.divide(
                s.signal_sd**2, total, out=np.zeros(len(total)), where=total > 0
            )
        return result

    def simulate(self, root: np.ndarray, rng: np.random.Generator) -> Recording:
        """Simulate the recording of a brain that has a layer's representation.

        Parameters
        ----------
        root
            (stimulus, dimension), with the layer's products of centred patterns: Gaussian mixtures
            of these dimensions are distributed like those of the layer's units.
        rng
            Of mixing weights and noise.
        """
        return self.measured(self.signal(root, rng), rng)

    def signal(self, root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw units (stimulus, unit) without noise, from a layer as in :meth:`simulate`."""
        result = np.empty((len(root), len(self.recording.units["unit"])))
        for subject in self.subjects:
            mixed = root @ rng.standard_normal((root.shape[1], len(subject.units)))
            spread = mixed.std(axis=0, ddof=1)
            result[:, subject.units] = mixed * np.divide(
                subject.signal_sd, spread, out=np.zeros(len(spread)), where=spread > 0
            )
        return result

    def measured(self, signal: np.ndarray, rng: np.random.Generator | None = None) -> Recording:
        """Return the recording of units (stimulus, unit); without noise if there is no `rng`."""
        real = self.recording.responses
        assert real is not None
        parts = [Block(np.arange(len(real)), s.units, real[:, s.units]) for s in self.subjects]
        if isinstance(real, Blocks):
            parts = list(real.blocks)
        blocks = []
        for subject, part in zip(self.subjects, parts, strict=True):
            values = signal[np.ix_(self.stimulus[part.trials], subject.units)]
            if rng is not None:
                values += subject.draw(len(values), rng)
            values[np.isnan(part.values)] = np.nan
            blocks.append(Block(part.trials, subject.units, values))
        responses: Responses = Blocks(real.shape, tuple(blocks))
        if not isinstance(real, Blocks):
            responses = np.asarray(responses)
        return replace(self.recording, responses=responses, standard_errors=None)


def _stimulus_of_trials(recording: Recording) -> np.ndarray:
    """Return the number of every trial's stimulus, (trial,) int."""
    position = {s: i for i, s in enumerate(recording.stimulus_ids)}
    return np.array([position[s] for s in recording.trials["stimulus_id"]])


def _subject_noise(
    recording: Recording, units: np.ndarray, reliability: float | None
) -> SubjectNoise:
    """Estimate signal and noise of one subject's units, (unit,) int of those of all subjects."""
    responses, stimulus = np.asarray(recording.responses), _stimulus_of_trials(recording)
    observed = ~np.isnan(responses)
    n = stimulus.max() + 1
    counts, sums = np.zeros((2, n, len(units)))
    np.add.at(counts, stimulus, observed)
    np.add.at(sums, stimulus, np.where(observed, responses, 0))
    means = sums / counts
    between = means.var(axis=0, ddof=1)
    degrees = np.maximum(counts - 1, 0).sum(axis=0)
    errors = recording.standard_errors
    nothing = np.zeros((0, len(units)))
    if (degrees > 0).all():
        deviations = np.where(observed, responses - means[stimulus], 0)
        variance = (deviations**2).sum(axis=0) / degrees
        root, weight = _correlation_root(deviations, round(float(degrees.min())))
    elif errors is not None:
        variance = observed_mean(errors**2, axis=0)
        root, weight = nothing, 1.0
    elif reliability is not None:
        variance = (1 - reliability) * between
        root, weight = nothing, 1.0
    else:
        raise RepbiasError(
            "recovery: without repeats or standard errors the noise is not known; expected "
            "recovery.reliability, an assumed share of signal in the variance over stimuli"
        )
    signal = _not_negative(between - variance * (1 / counts).mean(axis=0))
    return SubjectNoise(units, np.sqrt(signal), np.sqrt(variance), root, weight)


def _not_negative(variances: np.ndarray) -> np.ndarray:
    """Set negative estimates of units' signal variance to 0, and lower the others to make up.

    Each estimate is unbiased, and so is their sum, which stays; with the negative ones alone set to
    0, a recording of noise would have signal.
    """
    positive = np.maximum(variances, 0)
    total = positive.sum()
    result: np.ndarray = positive * (max(variances.sum(), 0) / total if total > 0 else 1)
    return result


def _correlation_root(deviations: np.ndarray, degrees: int) -> tuple[np.ndarray, float]:
    """Return the root of the noise correlation, and the weight of the identity beside it.

    Parameters
    ----------
    deviations
        (trial, unit), of repeats from their mean.
    degrees
        Degrees of freedom.
    """
    norm = np.linalg.norm(deviations, axis=0)
    z = np.divide(deviations, norm, out=np.zeros(deviations.shape), where=norm > 0)
    z *= np.sqrt(degrees)
    varying = z[:, norm > 0]
    if varying.shape[1] < 2:
        return np.zeros((0, z.shape[1])), 1.0
    few = varying.shape[1] <= len(z)
    weight = shrinkage_weight(varying, varying.T @ varying if few else varying @ varying.T, degrees)
    if not few:
        return z / np.sqrt(degrees), weight
    values, vectors = np.linalg.eigh(z.T @ z / degrees)
    return (vectors * np.sqrt(np.maximum(values, 0))).T, weight


@dataclass(frozen=True, eq=False)
class RdmTwins:
    """What twins of a recording of which only RDMs exist are simulated by.

    A subject's RDM is a model's RDM, with the mean and the variance that the real subjects' RDMs
    have in common, plus the deviation of a real subject from the mean RDM, with its stimuli
    permuted: so deviations keep their size and structure, and have nothing to do with any stimulus.

    Attributes
    ----------
    recording : the recording
    groups : its stimuli that belong together, which are permuted together
    mean : mean dissimilarity
    signal_sd : standard deviation over pairs of stimuli that subjects have in common
    deviations : (subject, stimulus, stimulus), scaled to the variance of a subject
    """

    recording: Recording
    groups: StimulusGroups
    mean: float
    signal_sd: float
    deviations: np.ndarray

    @classmethod
    def of(cls, recording: Recording) -> RdmTwins:
        """Estimate what subjects have in common.

        Raises
        ------
        RepbiasError
            If there is only one.
        """
        assert recording.rdms is not None
        subjects = recording.rdm_info["subject"]
        names = list(dict.fromkeys(subjects))
        if len(names) < 2:
            raise RepbiasError(
                "recovery: of RDMs alone the noise is known from differences between subjects, and "
                "there is one subject; expected several"
            )
        vectors = np.stack([recording.rdms[subjects == s].mean(axis=0) for s in names])
        n = len(vectors)
        covariance = np.cov(vectors)
        common = (covariance.sum() - np.trace(covariance)) / (n * (n - 1))
        deviations = (vectors - vectors.mean(axis=0)) * np.sqrt(n / (n - 1))
        return cls(
            recording,
            stimulus_groups(recording),
            float(vectors.mean()),
            float(np.sqrt(max(common, 0))),
            np.stack([squareform(d, checks=False) for d in deviations]),
        )

    def simulate(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Simulate RDMs of as many subjects, (subject, pair), from a model's RDM (pair,)."""
        signal = self.mean + self.signal_sd * (model - model.mean()) / model.std(ddof=1)
        n = len(self.deviations)
        orders = self.groups.orders(n, rng)
        chosen = rng.integers(n, size=n)
        first, second = np.triu_indices(orders.shape[1], 1)
        return np.stack(
            [
                signal + self.deviations[i, order[first], order[second]]
                for i, order in zip(chosen, orders, strict=True)
            ]
        )
