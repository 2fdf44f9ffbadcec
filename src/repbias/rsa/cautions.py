"""Where numbers about a recording err, as measured on it: one sentence for each danger.

Every caution is triggered by a statistic of the data, beyond what independent, well-behaved
stimuli give (docs/calibration.md has how often each is raised for nothing).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from repbias.base.groups import MIN_GROUPS
from repbias.base.statistics import jackknife_interval
from repbias.geometry.ceilings import subject_ceiling
from repbias.geometry.comparison import RANKED, similarities
from repbias.geometry.spec import CROSS_VALIDATED, Geometry
from repbias.io.recordings import Recording
from repbias.recordings.parts import (
    by_subject,
    in_order_of,
    of_region,
    repeats_of_subjects,
    stimulus_groups,
)
from repbias.recordings.presentation import closeness
from repbias.recordings.reliability import unit_reliability
from repbias.recordings.responses import stimulus_means
from repbias.rsa.common import on_common_stimuli, seen_by_subject
from repbias.rsa.tables import region_rdms
from repbias.tables import as_table

#: How much stimuli differ in their mean dissimilarity, relative to normal patterns. Of data sets of
#: 40 stimuli, 94 % are above this with features of Student's t with 3 degrees of freedom, less than
#: 1 % with normal ones, and 34 % with those of Laplace's distribution, where intervals still hold.
MOST_SPREAD = 2.5
#: But no tail is heavy with a larger effective number of stimuli, relative to their number: where
#: half of the stimuli are noisier than the others, say, all of them count.
LEAST_EFFECTIVE = 0.85
#: A ceiling below this is no ground for fractions of it.
LEAST_AGREEMENT = 0.1
#: Ratio of the largest to the smallest number of repeats.
MOST_UNEVEN = 1.5
#: Mean correlation of patterns from which on noise raises correlation distances: it lowers positive
#: correlations and negative ones alike, so that distances stay where they are if the mean is 0.
#: Of 40 stimuli with 2 or 8 repeats each, a permutation test (5 %) of an unrelated model that
#: varies alike is significant in 6 % of 200 data sets at 0, and of 100 in 19 % at .04, 51 % at .11.
MOST_COMMON = 0.05
#: With fewer units a correlation between patterns has too few degrees of freedom.
FEW_UNITS = 10
#: How much more alike stimuli of a group are than others, as a share of the mean dissimilarity.
LEAST_DEPENDENCE = 0.02
#: Dependence is said with this p at most, all columns taken together.
LEVEL = 0.005
#: Pairs of stimuli that are alike by a column; with more, as many random ones are looked at.
MOST_PAIRS = 50_000
#: A column groups stimuli if it has at most this share of their number as different values.
MOST_LEVELS = 0.5
#: Median ratio of the squared distances to the nearest and the second nearest stimulus.
LEAST_RATIO = 0.35
#: Intraclass correlation of the closeness in time of two stimuli, over their presentations, from
#: which on the order is no longer random. Of four random orders it is below .15, and above .3 where
#: stimuli come in blocks of two and more, whose order is random.
MOST_SAME_ORDER = 0.2
#: Units with a lower reliability have a ceiling by luck, if they have one.
LEAST_RELIABILITY = 0.3


class Caution(NamedTuple):
    """A danger that was found, and what it means.

    Attributes
    ----------
    concerns : which numbers: "tests", "similarity" or "encoding"
    danger : its name
    value, limit : the statistic, and from where on it is a danger
    sentence : what it does to the numbers, and the remedy
    """

    concerns: str
    danger: str
    value: float
    limit: float
    sentence: str


def cautions_table(
    name: str, recording: Recording, spec: Geometry, tested: Collection[str] = ()
) -> pd.DataFrame:
    """Find what is dangerous in a recording, region by region; the table cautions.

    Parameters
    ----------
    name, recording
        The recording.
    spec
        Distances and RDM similarities.
    tested
        Columns of the stimuli that models, or the audit, are of: they are no groups.
    """
    common = on_common_stimuli(recording, spec.min_units)
    of_whole = [
        *of_units(recording),
        *of_few_groups(recording),
        *of_stimuli_left_out(recording, common),
    ]
    rows = [{"recording": name, "region": ""} | caution._asdict() for caution in of_whole]
    recording = common
    for region, part, rdms in region_rdms(recording, spec, name):
        subjects = rdms.rdm_descriptors["subject"]
        found = [
            *left_out(of_region(recording, region) if region else recording, subjects),
            *of_rdms(rdms.dissimilarities, rdms.dissimilarity_measure, spec),
            *of_trials(part, spec, rdms.dissimilarities),
            *of_stimuli(part, rdms.dissimilarities, rdms.dissimilarity_measure, tested),
            *of_order(part, rdms.dissimilarities),
        ]
        rows += [{"recording": name, "region": region} | caution._asdict() for caution in found]
    return as_table("cautions", rows)


def left_out(recording: Recording, subjects: list[str]) -> Iterator[Caution]:
    """Look for subjects of a region that have no RDM, given those that have one."""
    if recording.responses is None:
        return
    everyone = recording.units["subject"].astype(str)
    missing = sorted(set(everyone) - set(map(str, subjects)))
    if not missing:
        return
    yield Caution(
        "similarity",
        "subjects_left_out",
        len(missing),
        0,
        f"RSA is of {len(subjects)} of {len(set(everyone))} subjects, without "
        f"{', '.join(missing)}; see the log for why.",
    )


def of_stimuli_left_out(recording: Recording, common: Recording) -> Iterator[Caution]:
    """Look for stimuli that some subjects did not see, and say what each subject costs."""
    n, left = len(recording.stimulus_ids), len(common.stimulus_ids)
    if left == n:
        return
    seen = seen_by_subject(recording)
    by_subjects = np.stack(list(seen.values())).all(axis=0)
    by_some_units = recording.stimulus_ids[
        by_subjects & ~np.isin(recording.stimulus_ids, common.stimulus_ids)
    ]
    who = "all units" if len(by_some_units) else f"all {len(seen)} subjects"
    missed = [*_missed(seen, recording.stimulus_ids), *_missed_by_units(recording, by_some_units)]
    found = f"RSA is of the {left} of {n} stimuli that {who} saw: {', '.join(missed)}"
    yield Caution(
        "similarity",
        "stimuli_left_out",
        n - left,
        0,
        f"{found}. 'analyse_subjects' of the recording leaves subjects out, and "
        "geometry.subject_stimuli: all compares each subject on all of its stimuli (table "
        "rsa_subjects); encoding models use all stimuli of every unit.",
    )


def _first(ids: np.ndarray) -> str:
    return f"{', '.join(ids[:3].tolist())}{', ...' * (len(ids) > 3)}"


def _missed_by_units(recording: Recording, ids: np.ndarray) -> Iterator[str]:
    """Say how many units of which subjects did not see stimuli that others of the subject saw."""
    for subject, _, part in by_subject(recording) if len(ids) else ():
        missing = np.isnan(stimulus_means(in_order_of(part, ids))).any(axis=0).sum()
        if missing:
            yield (
                f"{missing} of {len(part.units['unit'])} units of {subject} did not see all of "
                f"{len(ids)} ({_first(ids)}), as in sessions with units of their own"
            )


def _missed(seen: dict[str, np.ndarray], ids: np.ndarray) -> Iterator[str]:
    """Say of every subject what it did not see, and how many stimuli are common without it."""
    rows = np.stack(list(seen.values()))
    for i, (subject, row) in enumerate(seen.items()):
        if row.all():
            continue
        missing = ids[~row]
        some = _first(missing)
        without = np.delete(rows, i, axis=0).all(axis=0)
        more = f"; {without.sum()} are common to the others" if (without & ~row).any() else ""
        yield f"{subject} did not see {len(missing)} ({some}{more})"


def of_rdms(data: np.ndarray, distance: str, spec: Geometry) -> Iterator[Caution]:
    """Look at RDMs (subject, pair): heavy tails, and subjects that do not agree."""
    spread, share = relative_spread(data), effective_stimuli(data)
    ranked = all(measure in RANKED for measure in spec.rdm_similarities)
    if spread > MOST_SPREAD and share < LEAST_EFFECTIVE and not ranked:
        yield Caution(
            "tests",
            "heavy_tails",
            spread,
            MOST_SPREAD,
            f"A few stimuli make most of the RDM ({share:.0%} of the stimuli count, in effect; the "
            f"variance of mean dissimilarities is {spread:.1f} times that of normal patterns), so "
            "intervals of similarities are too narrow; use correlation distance, or Spearman's "
            "rho.",
        )
    if len(data) < 2:
        return
    measure = spec.rdm_similarities[0]
    low, _ = subject_ceiling(data, measure)
    pairs = similarities(data, data, measure)
    np.fill_diagonal(pairs, np.nan)
    agreement = float(np.nanmean(pairs))
    above = True
    if len(data) > 2:
        others = [np.delete(np.arange(len(data)), i) for i in range(len(data))]
        left_out = np.array([np.nanmean(pairs[np.ix_(o, o)]) for o in others])
        above = jackknife_interval(agreement, left_out)[0] > 0
    if low < LEAST_AGREEMENT or not above:
        yield Caution(
            "similarity",
            "low_agreement",
            low,
            LEAST_AGREEMENT,
            f"Subjects do not agree (similarity between subjects {agreement:.2f}, lower noise "
            f"ceiling {low:.2f}): no model can be told from another here, and a low similarity "
            "says nothing against a model.",
        )


def mean_rdm(data: np.ndarray) -> np.ndarray:
    """Average RDMs (subject, pair), each divided by its mean dissimilarity: (pair,)."""
    mean: np.ndarray = (data / np.abs(data).mean(axis=1, keepdims=True)).mean(axis=0)
    return mean


def relative_spread(data: np.ndarray) -> float:
    """Return how much stimuli differ in their mean dissimilarity, relative to normal patterns.

    The dissimilarities of the mean RDM are m + a_i + a_j + e_ij. If they are squared distances of
    patterns with covariance S, the variance of e is 4 tr S², whatever the patterns' distribution,
    and that of a is 2 tr S² if it is normal. So 2 var a / var e is 1 for normal patterns, in any
    number of dimensions, and 1 + k / 2 for independent features with an excess kurtosis of k. Of
    Euclidean distances it is close to that; it is 0 where all patterns have the same length, as by
    correlation distance.

    Parameters
    ----------
    data
        (subject, pair) RDMs; of fewer than four stimuli nothing is known, which counts as 1.
    """
    mean = mean_rdm(data)
    square = squareform(mean, checks=False)
    n = len(square)
    if n < 4:
        return 1.0
    a = (square.sum(axis=1) - (n - 1) * mean.mean()) / (n - 2)
    e = mean - mean.mean() - squareform(np.add.outer(a, a), checks=False)
    of_pairs = (e**2).sum() / (len(mean) - n)
    # The sum of a stimulus's pairs varies by chance, too.
    of_stimuli = a.var(ddof=1) - of_pairs / (n - 2)
    return float(2 * of_stimuli / of_pairs) if of_pairs > 0 else 0.0


def effective_stimuli(data: np.ndarray) -> float:
    """Return the effective share of stimuli behind RDMs (subject, pair).

    With q_i the sum of squared deviations of the dissimilarities of stimulus i from the mean,
    (sum q)² / (n sum q²), of the mean RDM: 1 if all stimuli count alike, 1 / n if one does.
    """
    mean = mean_rdm(data)
    q = (squareform(mean - mean.mean(), checks=False) ** 2).sum(axis=1)
    return float(q.sum() ** 2 / (q**2).sum() / len(q))


def of_trials(recording: Recording, spec: Geometry, data: np.ndarray) -> Iterator[Caution]:
    """Look at trials: repeats that differ between stimuli, and few units, given RDMs' `data`."""
    if recording.responses is None:
        return
    distance = spec.recording_distance
    repeats = repeats_of_subjects(recording)
    ratio = repeats.max() / repeats.min()
    common = 1 - data.mean() if distance == "correlation" else np.inf
    if ratio > MOST_UNEVEN and common > MOST_COMMON and distance not in CROSS_VALIDATED:
        why = f" and patterns correlate with each other ({common:.2f})" if common < np.inf else ""
        yield Caution(
            "tests",
            "uneven_repeats",
            ratio,
            MOST_UNEVEN,
            f"Stimuli have {repeats.min()} to {repeats.max()} repeats{why}: {distance} distances "
            "are larger where repeats are fewer, which looks like structure, and relates to any "
            "model that varies alike; use crossnobis.",
        )
    _, units = np.unique(recording.units["subject"].astype(str), return_counts=True)
    if units.min() < FEW_UNITS:
        yield Caution(
            "similarity",
            "few_units",
            float(units.min()),
            FEW_UNITS,
            f"A subject has {units.min()} units: a {distance} distance of so few "
            f"({units.min() - 2} degrees of freedom of a correlation) is mostly chance, and "
            "similarities are low whatever the model.",
        )


def of_few_groups(recording: Recording) -> Iterator[Caution]:
    """Look for groups that encoding models cannot be tested between."""
    groups = stimulus_groups(recording)
    if recording.responses is not None and not groups.exchangeable:
        n = len(groups.sizes)
        yield Caution(
            "encoding",
            "no_test_between_groups",
            n,
            MIN_GROUPS,
            f"Encoding models predict whole groups ({groups.name}, {n} of them) from the others: "
            "what sets a group apart counts only as far as other groups tell it, so that a model "
            f"of {groups.name} itself predicts nothing. p is of permutations within groups.",
        )


def of_stimuli(
    recording: Recording, data: np.ndarray, distance: str, tested: Collection[str] = ()
) -> Iterator[Caution]:
    """Look for stimuli that depend on each other, where no groups were given.

    By the brain's own RDM: stimuli with the same value of a column, neighbours in the order of
    their ids, and pairs that are almost the same. Columns that are `tested`, or have too few
    values, are no groups that could be given, and are named where no other is.
    """
    if recording.info.get("kind") == "simulated":
        return  # drawn independently; ids are made of what is in them, so their order is no time
    groups = stimulus_groups(recording)
    if not groups.are_alone:
        if not groups.exchangeable:
            yield _few_groups(len(groups.sizes), groups.name, groups.between)
        return
    square = squareform(mean_rdm(data), checks=False)
    levels = {column: len(np.unique(values)) for column, values in recording.stimuli.items()}
    no_groups = {column for column, n in levels.items() if n < MIN_GROUPS} | set(tested)
    found = dependent_column(square, recording.stimuli, no_groups)
    if found is not None:
        column, strength = found
        alike = (
            f"Stimuli with the same {column!r} evoke more similar responses than others "
            f"(dissimilarity {strength:.0%} lower)"
        )
        so = (
            ", so they are no independent draws: tests that take them for independent find "
            "relations where there are none, in most cases instead of 5 %; say "
            f"'groups: {column}' in the set of images."
        )
        if column in no_groups:
            why = "a model or audited feature of this study" if column in tested else "no group"
            so = (
                f". It has {levels[column]} values and is {why}: intervals and tests over stimuli "
                f"are about new stimuli of these {levels[column]}, and any model that tells them "
                "apart is related to the brain by that alone; audit "
                f"{column} to see how much of a score that is."
            )
        yield Caution(
            "tests",
            "dependent_stimuli",
            strength,
            LEAST_DEPENDENCE,
            alike + so,
        )
        return
    order = natural_order(recording.stimulus_ids)
    strength, p = more_alike(square, order[:-1], order[1:])
    if p <= LEVEL and strength > LEAST_DEPENDENCE:
        yield Caution(
            "tests",
            "serial_order",
            strength,
            LEAST_DEPENDENCE,
            "Stimuli that follow each other in the order of their ids evoke more similar responses "
            f"than others (dissimilarity {strength:.0%} lower), as frames of a film do: tests that "
            "take them for independent are too liberal; name the films or blocks in a column, and "
            "say 'groups' in the set of images.",
        )
    # The other distances are squared, or grow like squares where they are small.
    ratio = nearest_ratio(square**2 if distance == "euclidean" else square)
    if ratio < LEAST_RATIO:
        yield Caution(
            "tests",
            "near_duplicates",
            ratio,
            LEAST_RATIO,
            "Most stimuli have a near-duplicate (the nearest stimulus is "
            f"{ratio:.0%} as far as the second nearest): tests that take them for independent are "
            "too liberal; leave one of each out, or name the pairs in a column, and say 'groups'.",
        )


def of_order(recording: Recording, data: np.ndarray) -> Iterator[Caution]:
    """Look for dissimilarities that follow how soon after each other stimuli were shown.

    Neighbours in time have noise in common, such as that of BOLD, which averages out only where the
    order is random in every run.
    """
    if recording.responses is None:
        return
    square = squareform(mean_rdm(data), checks=False)
    rng, n = np.random.default_rng(0), len(square)
    first, second = np.triu_indices(n, 1)
    if len(first) > MOST_PAIRS:
        some = rng.choice(len(first), MOST_PAIRS, replace=False)
        first, second = first[some], second[some]
    known = closeness(recording, first, second)
    if known is None or known[1] <= MOST_SAME_ORDER:
        return
    close, agreement = known
    together = ~np.isnan(close)
    first, second, close = first[together], second[together], close[together]

    def related(order: np.ndarray) -> float:
        dissimilarities = square[order[first], order[second]]
        spread = dissimilarities.std() * close.std()
        centred = dissimilarities * (close - close.mean())
        return float(centred.mean() / spread) if spread > 0 else 0.0

    observed, n_permutations = related(np.arange(n)), round(1 / LEVEL) - 1
    reached = sum(abs(related(rng.permutation(n))) >= abs(observed) for _ in range(n_permutations))
    if (1 + reached) / (n_permutations + 1) <= LEVEL:
        yield Caution(
            "tests",
            "presentation_order",
            agreement,
            MOST_SAME_ORDER,
            "Dissimilarities follow how soon after each other stimuli were shown (correlation with "
            f"closeness in time {observed:.2f}), and that was not random in each run (agreement "
            f"{agreement:.2f}). Noise that neighbours in time share looks like structure, and a "
            "model of what was shown together, such as categories in blocks, cannot be told from "
            "it; no distance mends that, but scores of the audit, which are of different repeats, "
            "have no such noise on average. Show stimuli in a new random order in every run.",
        )


def _few_groups(n: int, name: str, between: bool) -> Caution:
    why = f"{n} groups ({name}) are too few"
    if between:
        why = f"Too few of {n} groups ({name}) have the same size"
    return Caution(
        "tests",
        "no_test_between_groups",
        n,
        MIN_GROUPS,
        f"{why} to permute whole ones: no test between them exists. What is tested is whether "
        f"there is a relation beyond which {name} a stimulus is of, not whether there is any.",
    )


def more_alike(
    square: np.ndarray, first: np.ndarray, second: np.ndarray, n_tests: int = 1
) -> tuple[float, float]:
    """Return how much more alike some pairs are than others, and the permutation p of that.

    Parameters
    ----------
    square
        (stimulus, stimulus) dissimilarities.
    first, second
        (pair,), the two stimuli of every pair.
    n_tests
        p can be as low as :data:`LEVEL` divided by this.

    Returns
    -------
    strength : 1 - their mean dissimilarity / that of all other pairs
    p : one-sided, stimuli permuted
    """
    rng, n = np.random.default_rng(0), len(square)
    within = square[first, second].mean()
    n_others = n * (n - 1) / 2 - len(first)
    others = (np.triu(square, 1).sum() - within * len(first)) / n_others
    if len(first) > MOST_PAIRS:
        some = rng.choice(len(first), MOST_PAIRS, replace=False)
        first, second = first[some], second[some]
    observed, n_permutations = square[first, second].mean(), round(n_tests / LEVEL) - 1
    reached = 0
    for _ in range(n_permutations):
        order = rng.permutation(n)
        reached += square[order[first], order[second]].mean() <= observed
    return float(1 - within / others), (1 + reached) / (n_permutations + 1)


def dependent_column(
    square: np.ndarray, columns: dict[str, np.ndarray], last: Collection[str] = ()
) -> tuple[str, float] | None:
    """Return the column whose groups of stimuli are more alike than others, and by how much.

    One of `last` only where there is no other.
    """
    coded: dict[str, np.ndarray] = {}
    for column, values in columns.items():
        levels, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
        if column != "stimulus_id" and 2 <= len(levels) <= MOST_LEVELS * len(codes):
            coded[column] = codes
    found: dict[str, float] = {}
    for column, codes in coded.items():
        first, second = np.nonzero(np.triu(codes[:, None] == codes, 1))
        strength, p = more_alike(square, first, second, len(coded))
        if p <= LEVEL / len(coded) and strength > LEAST_DEPENDENCE:
            found[column] = strength
    return max(found.items(), key=lambda item: (item[0] not in last, item[1]), default=None)


def natural_order(ids: np.ndarray) -> np.ndarray:
    """Return the order of ids in which numbers count as numbers.

    Examples
    --------
    >>> natural_order(np.array(["a10", "a2", "b1"])).tolist()
    [1, 0, 2]
    """
    keys = [[int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(i))] for i in ids]
    return np.array(sorted(range(len(ids)), key=lambda i: keys[i]))


def nearest_ratio(square: np.ndarray) -> float:
    """Return the median ratio of distances to the nearest and the second nearest stimulus."""
    others = square + np.diag(np.full(len(square), np.inf))
    nearest = np.partition(others, 1, axis=1)[:, :2]
    ratios = np.maximum(nearest[:, 0], 0) / np.maximum(nearest[:, 1], 1e-12)
    return float(np.median(ratios))


def of_units(recording: Recording) -> Iterator[Caution]:
    """Look at units whose noise ceiling is a matter of luck."""
    if recording.responses is None:
        return
    reliability, _ = unit_reliability(recording)
    known = reliability.full[np.isfinite(reliability.full)]
    with_ceiling = np.isfinite(reliability.ceiling)
    if len(known) and with_ceiling.any() and np.median(known) < LEAST_RELIABILITY:
        yield Caution(
            "encoding",
            "lucky_ceilings",
            float(np.median(known)),
            LEAST_RELIABILITY,
            f"Half of the units have a reliability below {np.median(known):.2f}: those with a "
            f"noise ceiling ({with_ceiling.sum()} of {len(with_ceiling)}) have it in part by luck, "
            "so it is too high, and normalised correlations, also of a perfect model, are too low; "
            "compare r itself.",
        )
