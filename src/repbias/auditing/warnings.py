"""Where shares of a score are known to err, by statistics of the data.

Every limit is beyond what 95 % of simulated recordings without the danger give (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.special import fdtrc

from repbias.auditing.design import Design
from repbias.auditing.scores import Division, Side
from repbias.auditing.shares import Freed, centred
from repbias.base.groups import StimulusGroups
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_shown, of_units, repeats_of_subjects
from repbias.recordings.presentation import presented
from repbias.recordings.reliability import analysed_units
from repbias.recordings.responses import (
    by_repeat,
    fewest_repeats,
    observed_mean,
    stimulus_means,
    trial_responses,
)

#: Difference between the two estimators of a share.
MOST_SPREAD = 0.02
#: The same, as a share of the widest interval: uncertain shares differ by chance.
MOST_OF_WIDTH = 0.15
#: Difference between shares from means and from products of repeats.
MOST_BY_MEANS = 0.03
#: Correlation of the noise of a trial with that of the next.
MOST_SERIAL = 0.1
#: Correlation of what features leave unexplained within groups of stimuli.
MOST_WITHIN = 0.1
#: Leverage of a stimulus.
MOST_LEVERAGE = 0.5
#: A number with more values is not compared with categories.
MOST_VALUES = 12
#: p of the test that responses follow a number as a line.
LEVEL = 0.05
#: Units that are named.
NAMED = 4


def of_division(division: Division) -> Iterator[str]:
    """Look at one divided score."""
    spread = np.abs(division.adjusted - division.shares).max()
    width = np.nan_to_num((division.high - division.low).max())
    if spread > max(MOST_SPREAD, MOST_OF_WIDTH * width):
        yield (
            f"what features leave unexplained varies more for some stimuli than for others (two "
            f"estimates differ by {spread:.2f}); shares are of an average over stimuli"
        )
    by_means = np.abs(division.of_means - division.shares).max()
    if by_means > max(MOST_BY_MEANS, MOST_OF_WIDTH * width):
        yield (
            f"noise is shared between stimuli: mean patterns would change shares by "
            f"{by_means:.2f}; these are from products of different repeats"
        )


def of_recording(
    recording: Recording, side: Side, design: Design, distance: str, groups: StimulusGroups
) -> Iterator[str]:
    """Look at a recording, or a region of one, and the features of its stimuli."""
    if not len(side.halves):
        yield (
            f"{_few_repeats(recording)}: noise that stimuli share cannot be told from signal, and "
            "lowers the score"
        )
    elif distance == "correlation" and _uneven(recording):
        yield (
            "repeats are uneven, and correlation distance divides by norms of patterns, which hold "
            "more noise where repeats are fewer; use geometry.recording_distance: crossnobis"
        )
    if (serial := serial_correlation(recording)) > MOST_SERIAL:
        yield (
            f"noise lasts from one trial to the next (correlation {serial:.2f}); features that "
            "follow the order of presentation take its share"
        )
    if design.leverage.max(initial=0) > MOST_LEVERAGE:
        yield (
            f"the features fit a stimulus nearly by itself (leverage "
            f"{design.leverage.max():.2f}); shares are unstable: audit fewer features"
        )
    elif design.n_rest < 2 * design.basis.shape[1]:
        yield (
            f"features have {design.basis.shape[1]} dimensions and leave {design.n_rest}; shares "
            "are unstable: audit fewer features"
        )
    if not groups.are_alone:
        within = intraclass(side.mean, design, groups)
        if within > MOST_WITHIN:
            yield (
                f"stimuli of the same {groups.name} are alike beyond the features (correlation "
                f"{within:.2f}), which goes to the rest; audit {groups.name} as a feature"
            )


def of_lines(kernel: np.ndarray, lines: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Look at features that are audited as numbers, such as angles, and are on no line.

    Parameters
    ----------
    kernel
        (stimulus, stimulus), of mean responses; not centred, and of any scale.
    lines
        Feature to (stimulus,) numbers.
    """
    for name, values in lines.items():
        line, categories, p = _line_and_categories(kernel, values)
        if p <= LEVEL and line < categories / 2:
            yield (
                f"{name!r} is audited as a number, and a line over its values explains "
                f"{max(line, 0):.0%} of how responses differ; the values as categories explain "
                f"{categories:.0%}, as where a number is an angle, or units are tuned to values in "
                "between; say coding: categories for it, or coding: circular and its period, in "
                "audit.features (which lists all that are audited)"
            )


def _line_and_categories(kernel: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return which shares of variance a number explains, as a line and as categories.

    Returns
    -------
    line, categories : float
        The shares, corrected for the number of regressors as adjusted R² is.
    p : float
        Of the F test that there is no more than a line, which is conservative in more dimensions
        than one; 1 for numbers of less than three values, or too many, or of a single stimulus.
    """
    levels, counts = np.unique(values, return_counts=True)
    n, k = len(values), len(levels)
    if not 2 < k <= MOST_VALUES or counts.min() < 2:
        return 0.0, 0.0, 1.0
    centring = np.eye(n) - 1 / n
    kernel = centring @ kernel @ centring
    of_line, of_categories = (
        float(np.sum(x @ np.linalg.pinv(x) * kernel))
        for x in (centring @ values[:, None], centring @ (values[:, None] == levels))
    )
    total = float(np.trace(kernel))
    noise = (total - of_categories) / (n - k)
    if noise <= 0:  # distances that can be negative
        return 0.0, 0.0, 1.0
    p = fdtrc(k - 2, n - k, max((of_categories - of_line) / (k - 2) / noise, 0.0))
    return (of_line - noise) / total, (of_categories - (k - 1) * noise) / total, float(p)


def _few_repeats(recording: Recording) -> str:
    """Say which units have too few repeats for those of all to be halved, and the remedy."""
    if recording.responses is None:
        return "one repeat"
    used = of_units(recording, analysed_units(recording))
    complete = ~np.isnan(stimulus_means(used)).any(axis=0)
    repeats, names = fewest_repeats(used)[complete], used.units["unit"][complete]
    fewest = int(repeats.min(initial=np.iinfo(int).max))
    few = repeats == fewest
    if few.all():
        return "one repeat" if fewest == 1 else "units were not recorded in the same repeats"
    named = ", ".join([*map(str, names[few][:NAMED]), *(["..."] if few.sum() > NAMED else [])])
    return (
        f"{few.sum()} of {len(few)} units ({named}) have {fewest} repeat"
        f"{'s' * (fewest > 1)} of a stimulus, too few to halve (the recording's "
        f"min_repeats: {fewest + 1} leaves them out)"
    )


def _uneven(recording: Recording) -> bool:
    if recording.responses is None:
        return False
    counts = repeats_of_subjects(recording)
    return bool(counts.max() > counts.min())


def serial_correlation(recording: Recording) -> float:
    """Return the correlation of a trial's noise with that of the next one; NaN if unknown.

    Noise is the deviation from the stimulus' mean.
    """
    if recording.responses is None:
        return float("nan")
    products, squares = np.sum(
        [_products_of_noise(of_shown(part)) for *_, part in by_subject(recording)], axis=0
    )
    if not products[1] or not squares[0]:
        return float("nan")
    return float((products[0] / products[1]) / (squares[0] / squares[1]))


def _products_of_noise(recording: Recording) -> np.ndarray:
    """Return sums over one subject's trials and units, and how many numbers are summed.

    [[noise of a trial times that of the next], [noise squared]], each with the count.
    """
    responses, known = trial_responses(recording), presented(recording)
    ids = recording.trials["stimulus_id"]
    if known is None or len(np.unique(ids)) == len(ids):
        return np.zeros((2, 2))
    means = observed_mean(by_repeat(recording), axis=1)
    position = {s: i for i, s in enumerate(recording.stimulus_ids)}
    deviations = responses - means[[position[s] for s in ids]]
    order, run = known
    deviations = np.nan_to_num(deviations[order])
    same = run[1:] == run[:-1]
    products = deviations[1:][same] * deviations[:-1][same]
    return np.array(
        [[products.sum(), products.size], [(deviations**2).sum(), deviations.size]], float
    )


def intraclass(kernel: np.ndarray, design: Design, groups: StimulusGroups) -> float:
    """Return the correlation of unexplained patterns within groups of stimuli."""
    residual = design.residual @ centred(kernel) @ design.residual
    free = Freed.of(kernel, design).without_features(design)
    same = (groups.codes[:, None] == groups.codes) & ~np.eye(len(kernel), dtype=bool)
    size = residual.diagonal().mean()
    return float(free[same].mean() / size) if same.any() and size > 0 else 0.0
