"""Reliability of units, and the noise ceilings that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_shown
from repbias.recordings.responses import (
    by_repeat,
    fewest_repeats,
    has_repeats,
    observed_mean,
    stimulus_means,
    varies_over_stimuli,
)
from repbias.recordings.spec import preparation_of
from repbias.tables import as_table

#: How the ceiling of a unit was estimated, stored beside every value.
UNIT_CONVENTION = "sqrt of split-half reliability, Spearman-Brown corrected"
REPEATS_CONVENTION = "sqrt of the noise ceiling from repeats (Allen et al. 2022)"
ERRORS_CONVENTION = "sqrt of the noise ceiling from standard errors"
UNAVAILABLE = "unavailable"
#: A reliability whose lower bound is not above this gives no ceiling: dividing by it amplifies
#: noise.
MIN_CEILING = 0.05
#: Units processed at a time, so that temporary arrays are small and fit into the cache.
BLOCK = 256


@dataclass
class Reliability:
    """Reliability of every unit.

    Attributes
    ----------
    half : (unit,) mean correlation between halves; NaN where unavailable
    full : (unit,) reliability of the average over all repeats: the share of its variance over
        stimuli that is signal
    lower : (unit,) lower end of its 95 % interval over stimuli
    """

    half: np.ndarray
    full: np.ndarray
    lower: np.ndarray

    @classmethod
    def by_subject(
        cls, recording: Recording, estimate: Callable[[Recording], Reliability]
    ) -> Reliability:
        """Estimate the reliability of each subject's units from the stimuli that it saw."""
        half, full, lower = np.full((3, len(recording.units["unit"])), np.nan)
        for _, units, part in by_subject(recording):
            found = estimate(of_shown(part))
            half[units], full[units], lower[units] = found.half, found.full, found.lower
        return cls(half, full, lower)

    @property
    def ceiling(self) -> np.ndarray:
        """Highest correlation that a perfect model reaches with the averages, per unit.

        NaN where it is unavailable, or where the reliability's lower bound is not above
        :data:`MIN_CEILING`.
        """
        trusted = self.lower > MIN_CEILING
        return np.sqrt(np.where(trusted, self.full, np.nan))


def unit_reliability(recording: Recording) -> tuple[Reliability, str]:
    """Estimate the reliability behind a recording's ceilings.

    The recording's `ceiling` setting chooses the estimate
    (:class:`repbias.recordings.spec.Preparation`), except where no stimulus was repeated and the
    recording has standard errors: then these are used.

    Returns
    -------
    reliability : Reliability
        Of every unit.
    convention : str
        How its `ceiling` was estimated.
    """
    if recording.standard_errors is not None and not has_repeats(recording):
        return Reliability.by_subject(recording, _from_standard_errors), ERRORS_CONVENTION
    if preparation_of(recording).ceiling == "repeats":
        return reliability_from_repeats(recording), REPEATS_CONVENTION
    return split_half_reliability(recording), UNIT_CONVENTION


def unit_ceiling(recording: Recording) -> tuple[np.ndarray, str]:
    """Estimate the highest correlation that a perfect model reaches with every unit's averages.

    Returns
    -------
    ceiling : numpy.ndarray
        (unit,); NaN where it is unavailable, or where the reliability's lower bound is not above
        :data:`MIN_CEILING`.
    convention : str
        How it was estimated (:func:`unit_reliability`).
    """
    reliability, convention = unit_reliability(recording)
    return reliability.ceiling, convention


def analysed_units(recording: Recording) -> np.ndarray:
    """Return which units are analysed, (unit,) bool.

    Units whose mean responses do not differ between stimuli are left out: they carry no
    information, and would make all patterns more alike. So are those below the recording's
    `min_reliability` or its `min_repeats`.
    """
    varies = varies_over_stimuli(stimulus_means(recording)) & ~too_few_repeats(recording)
    minimum = preparation_of(recording).min_reliability
    if minimum is None:
        return varies
    with np.errstate(invalid="ignore"):
        return varies & (split_half_reliability(recording).full >= minimum)


def too_few_repeats(recording: Recording) -> np.ndarray:
    """Return which units have fewer repeats than the recording's `min_repeats`, (unit,) bool."""
    minimum = preparation_of(recording).min_repeats
    if minimum is None:
        return np.zeros(len(recording.units["unit"]), bool)
    few: np.ndarray = fewest_repeats(recording) < minimum
    return few


def reliability_table(name: str, recording: Recording) -> pd.DataFrame:
    """Summarise a recording's units: repeats, split-half reliability, ceiling.

    Returns
    -------
    pandas.DataFrame
        One row per unit; empty for recordings of RDMs.
    """
    if recording.responses is None:
        return as_table("reliability")
    chosen, convention = unit_reliability(recording)
    is_half = convention == UNIT_CONVENTION
    reliability = chosen if is_half else split_half_reliability(recording)
    repeats = np.empty(len(chosen.full))
    for _, units, part in by_subject(recording):
        repeats[units] = (~np.isnan(by_repeat(of_shown(part)))).sum(axis=1).mean(axis=0)
    table = pd.DataFrame(
        {
            "recording": name,
            "subject": recording.units["subject"],
            "region": recording.units["region"],
            "unit": recording.units["unit"],
            "repeats": repeats,
            "split_half": reliability.half,
            "reliability": reliability.full,
            "ceiling": chosen.ceiling,
            "convention": np.where(np.isnan(chosen.ceiling), UNAVAILABLE, convention),
        }
    )
    return as_table("reliability", table)


# From halves of the repeats.


def split_half_reliability(recording: Recording, n_splits: int = 50, seed: int = 0) -> Reliability:
    """Estimate the reliability of every unit's averages over repeats from random halves of them.

    Spearman-Brown (1910): if halves correlate with r, a measurement k times as long has
    reliability kr / (1 + (k - 1) r). With an even number of repeats k is 2.
    """
    return Reliability.by_subject(recording, lambda part: _from_halves(part, n_splits, seed))


def _from_halves(recording: Recording, n_splits: int, seed: int) -> Reliability:
    tensor = by_repeat(recording)
    n_repeated = ((~np.isnan(tensor)).sum(axis=1) >= 2).sum(axis=0)
    half, k = np.full((2, tensor.shape[2]), np.nan)
    # Two points always correlate, and a constant unit has no reliability.
    enough = (n_repeated > 3) & varies_over_stimuli(observed_mean(tensor, axis=1))
    if enough.any():
        found = []
        for block in _blocks_of_units(tensor if enough.all() else tensor[:, :, enough]):
            splits = [_column_correlation(a, b) for a, b in random_halves(block, n_splits, seed)]
            found.append((np.mean(splits, axis=0), length_ratio(block)))
        half[enough], k[enough] = map(np.concatenate, zip(*found, strict=True))
    # Fisher's interval over stimuli.
    with np.errstate(invalid="ignore"):
        lower = np.tanh(
            np.arctanh(np.minimum(half, 1 - 1e-9)) - 1.96 / np.sqrt(np.maximum(n_repeated - 3, 1))
        )
    return Reliability(half, spearman_brown(half, k), spearman_brown(lower, k))


def random_halves(
    tensor: np.ndarray, n_splits: int, seed: int, max_trials: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split the repeats of every stimulus and unit into random halves and average each.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), NaN where not observed.
    n_splits
        Number of random splits.
    seed
        Seed of the splits.
    max_trials
        Upper bound on the trials in a half; none if None.

    Yields
    ------
    tuple of numpy.ndarray
        Two averages of shape (stimulus, unit) over disjoint halves of equal size; with an odd
        number of repeats one trial is left out, NaN where there are fewer than two.
    """
    rng = np.random.default_rng(seed)
    observed = ~np.isnan(tensor)
    values = tensor if observed.all() else np.where(observed, tensor, 0)
    if (observed == observed[:, :, :1]).all():
        observed = observed[:, :, :1]  # all units have the same trials, so they share the halves
    half = observed.sum(axis=1, keepdims=True) // 2
    if max_trials is not None:
        half = np.minimum(half, max_trials)
    for _ in range(n_splits):
        # One random order of the trials for all units keeps simultaneous noise in one half.
        keys = rng.random(tensor.shape[:2])[:, :, None]
        rank = np.where(observed, keys, 2.0).argsort(axis=1).argsort(axis=1)
        first, second = rank < half, (rank >= half) & (rank < 2 * half)
        with np.errstate(invalid="ignore", divide="ignore"):
            yield tuple(
                _sum_of_trials(values, part & observed) / half[:, 0] for part in (first, second)
            )


def _sum_of_trials(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Sum the chosen trials of values (stimulus, repeat, unit), giving (stimulus, unit)."""
    if chosen.shape[2] == 1:
        return (chosen.mT.astype(values.dtype) @ values)[:, 0]
    return values.sum(axis=1, where=chosen)


def length_ratio(tensor: np.ndarray) -> np.ndarray:
    """Return the noise variance of averages over halves, relative to all repeats, (unit,).

    This is the factor k of :func:`spearman_brown`.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), NaN where not observed.
    """
    n = (~np.isnan(tensor)).sum(axis=1)
    with np.errstate(divide="ignore"):
        noise_half = np.ma.masked_invalid(1 / (n // 2)).mean(axis=0)
        noise_all = np.ma.masked_invalid(1 / n).mean(axis=0)
    return np.asarray(noise_half / noise_all)


def spearman_brown(half: np.ndarray, k: float | np.ndarray) -> np.ndarray:
    """Return the reliability of k times the measurement; 0 where the halves anticorrelate."""
    half = np.clip(half, 0, 1)
    return k * half / (1 + (k - 1) * half)


def _column_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    missing = np.isnan(a) | np.isnan(b)
    a, b = (_centred(x, missing) for x in (a, b))
    products = np.einsum("su,su->u", a, b)
    norms = np.sqrt(np.einsum("su,su->u", a, a) * np.einsum("su,su->u", b, b))
    # A half without variance, as of neurons that rarely respond, counts as uncorrelated.
    return np.divide(products, norms, out=np.zeros(len(norms)), where=norms > 0)


def _centred(x: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Subtract every column's mean over the values that are not missing; set those to 0."""
    if not missing.any():
        return x - x.mean(axis=0)
    x = np.where(missing, 0, x)
    x -= x.sum(axis=0) / np.maximum((~missing).sum(axis=0), 1)
    x[missing] = 0
    return x


# From variances between and within stimuli.


def reliability_from_repeats(recording: Recording) -> Reliability:
    """Estimate reliability from the variance between and within stimuli.

    This is the noise ceiling of Allen et al. (2022, Nature Neuroscience 25:116) as a share, not
    in %: ncsnr² / (ncsnr² + mean of 1 / n) for stimuli with n repeats (:func:`ncsnr`). It equals
    1 - 1 / F of a one-way analysis of variance, the intraclass correlation ICC(1, n) of Shrout &
    Fleiss (1979), whose exact interval gives `lower`; with unequal repeats that is approximate.
    `half` is NaN.
    """
    return Reliability.by_subject(recording, _from_repeats)


def _from_repeats(recording: Recording) -> Reliability:
    from scipy.stats import f as fisher_f

    tensor = by_repeat(recording)
    between, noise, mean_inverse = _variances(tensor)
    n = (~np.isnan(tensor)).sum(axis=1)
    stimuli = (n > 0).sum(axis=0) - 1
    repeats = np.maximum(n - 1, 0).sum(axis=0)
    # As for halves, at least four stimuli must have been repeated.
    f = np.where((n >= 2).sum(axis=0) > 3, _ratio(between, noise * mean_inverse), np.nan)
    with np.errstate(invalid="ignore"):
        return _from_f(f, fisher_f.ppf(0.975, np.maximum(stimuli, 1), np.maximum(repeats, 1)))


def _from_standard_errors(recording: Recording) -> Reliability:
    assert recording.standard_errors is not None
    responses = np.asarray(recording.responses)
    return reliability_from_standard_errors(responses, recording.standard_errors)


def reliability_from_standard_errors(means: np.ndarray, errors: np.ndarray) -> Reliability:
    """Estimate reliability where only averages and their standard errors are known.

    The variance of the averages over stimuli is signal plus the mean squared standard error:
    reliability = 1 - mean(errors²) / variance(means), the noise ceiling of Allen et al. (2022)
    with the noise as given. `lower` takes the errors as exact and signal and noise as normal.
    `half` is NaN.

    Parameters
    ----------
    means, errors
        (stimulus, unit), NaN where not observed.

    Raises
    ------
    RepbiasError
        If the shapes differ, or a standard error is negative.
    """
    from scipy.stats import chi2

    if means.shape != errors.shape:
        raise RepbiasError(
            f"standard errors have the shape {errors.shape}, expected that of the means, "
            f"{means.shape}"
        )
    if (errors < 0).any():
        raise RepbiasError(f"{(errors < 0).sum()} standard errors are negative")
    known = ~np.isnan(means) & ~np.isnan(errors)
    means, errors = np.where(known, means, np.nan), np.where(known, errors, np.nan)
    n, noise = known.sum(axis=0), observed_mean(errors**2, axis=0)
    # Standard errors of 0 come from stimuli shown once, not from responses without noise.
    f = np.where((n > 3) & (noise > 0), _ratio(_variance(means), noise), np.nan)
    degrees = np.maximum(n - 1, 1)
    return _from_f(f, chi2.ppf(0.975, degrees) / degrees)


def _from_f(f: np.ndarray, critical: np.ndarray) -> Reliability:
    with np.errstate(divide="ignore"):
        full = np.maximum(1 - 1 / f, 0)
        return Reliability(np.full(f.shape, np.nan), full, 1 - critical / f)


def ncsnr(tensor: np.ndarray) -> np.ndarray:
    """Return every unit's noise-ceiling signal-to-noise ratio (Allen et al. 2022), (unit,).

    It is the standard deviation of the signal over stimuli, divided by that of the noise over
    repeats. The noise variance is pooled over stimuli; the signal variance is that of the stimulus
    means minus what noise adds to it, noise * mean(1 / n), at least 0. NaN without repeats.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), NaN where not observed.
    """
    between, noise, mean_inverse = _variances(tensor)
    return np.sqrt(_ratio(np.maximum(between - noise * mean_inverse, 0), noise))


def _variances(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the variances of stimulus means and of repeats, and the mean of 1 / n; all (unit,)."""
    found = []
    for block in _blocks_of_units(tensor):
        n = (~np.isnan(block)).sum(axis=1)
        means = observed_mean(block, axis=1)
        within = np.nansum((block - means[:, None]) ** 2, axis=(0, 1))
        noise = _ratio(within, np.maximum(n - 1, 0).sum(axis=0))
        with np.errstate(divide="ignore"):
            inverse = observed_mean(np.where(n > 0, 1 / n, np.nan), axis=0)
        found.append((_variance(means), noise, inverse))
    signal, noise, inverse = map(np.concatenate, zip(*found, strict=True))
    return signal, noise, inverse


def _variance(means: np.ndarray) -> np.ndarray:
    """Return the variance over stimuli that were observed; 0 where it is mere rounding."""
    n = (~np.isnan(means)).sum(axis=0)
    squares = np.nansum((means - observed_mean(means, axis=0)) ** 2, axis=0)
    rounding = n * (1e-14 * np.nan_to_num(np.abs(means)).max(axis=0, initial=0)) ** 2
    return _ratio(np.where(squares > rounding, squares, 0), np.maximum(n - 1, 0))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide; 0 / 0 is NaN, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


def _blocks_of_units(tensor: np.ndarray) -> Iterator[np.ndarray]:
    """Cut (stimulus, repeat, unit) into blocks of units."""
    for start in range(0, max(1, tensor.shape[2]), BLOCK):
        yield np.ascontiguousarray(tensor[:, :, start : start + BLOCK])
