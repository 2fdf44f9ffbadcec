"""Data quality of recordings: numbers of trials, and how reproducible responses and RDMs are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.base.statistics import jackknife_interval, mean_interval
from repbias.geometry.comparison import similarities
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import MEAN_DISTANCES, Distance, Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_shown, repeats_of_subjects
from repbias.recordings.reliability import (
    UNAVAILABLE,
    analysed_units,
    ncsnr,
    random_halves,
    reliability_from_repeats,
    split_half_reliability,
    too_few_repeats,
    unit_reliability,
)
from repbias.recordings.responses import by_repeat, has_repeats, observed_mean, trial_responses
from repbias.recordings.spec import preparation_of
from repbias.rsa.common import common_stimuli, seen_by_subject
from repbias.tables import as_table

#: Stimuli are decoded if there are at most this many.
MOST_CLASSES = 50
#: Folds of decoding; the first kind is used that has every stimulus in each fold.
FOLDS = ("run", "session", "repeat")
#: Random halves of the repeats behind the reliability of an RDM.
N_SPLITS = 20


#: Between what a measure can lie, by the beginning of its name; similarities by default.
RANGES = {
    "noise_ceiling": (0, 100),
    "reliability": (0, 1),
    "decoding": (0, 1),
    "unobserved": (0, 1),
    "ncsnr": (0, np.inf),
    "participation_ratio": (1, np.inf),
}


class Measured(NamedTuple):
    """A number, how it was measured, and its 95 % interval."""

    value: float
    method: str
    ci_low: float = np.nan
    ci_high: float = np.nan

    def as_row(self, name: str) -> dict[str, object]:
        """Return columns of the table; the interval ends where the measure can."""
        bounds = next((r for start, r in RANGES.items() if name.startswith(start)), (-1, 1))
        low, high = np.clip([self.ci_low, self.ci_high], *bounds)
        return {"measure": name, **self._asdict(), "ci_low": low, "ci_high": high}


Measures = dict[str, Measured]


def quality_table(name: str, recording: Recording, spec: Geometry) -> pd.DataFrame:
    """Measure the quality of a recording, one measure per row.

    Rows without subject and region are of the whole recording. If there are several regions, each
    has rows as well; if there are several subjects, so has each subject, and each region of a
    subject. Measures within subjects are averaged over subjects where no subject is named.

    Parameters
    ----------
    name, recording
        The recording.
    spec
        Its `recording_distance` and `rdm_similarities`; `seed` of the random halves.

    Returns
    -------
    pandas.DataFrame
        The table quality.
    """
    of = "; ".join(["stimuli that were shown", *recording.info.get("set", [])])
    whole = {"stimuli": _count(len(recording.stimulus_ids), of)}
    excluded = recording.info.get("excluded_ids", [])
    if excluded:
        whole["stimuli_excluded"] = _count(
            len(excluded), f"stimuli left out: {', '.join(excluded)}"
        )
    whole |= _left_out(recording)
    if "stimuli_in_set" in recording.info:
        missing = recording.info["stimuli_in_set"] - len(recording.stimulus_ids)
        whole["stimuli_not_shown"] = _count(missing, "stimuli of the set, never shown")
    if "matched" in recording.info:
        said = "; ".join(recording.info["matched"])
        whole["stimuli_renamed"] = _count(
            sum(recording.info["matched"].values()), f"stimuli whose ids differ in form: {said}"
        )
    if recording.responses is None:
        parts = _parts_of_rdms(recording, spec)
    else:
        whole |= _trials(recording)
        parts = _parts(recording, spec)
    rows = []
    for subject, region, measures in parts:
        part = {"recording": name, "subject": subject, "region": region}
        if (subject, region) == ("", ""):
            measures = whole | measures
        rows += [part | measured.as_row(k) for k, measured in measures.items()]
    return as_table("quality", rows)


def _count(number: float, of: str) -> Measured:
    return Measured(float(number), f"number of {of}")


def _unavailable(why: object) -> Measured:
    return Measured(np.nan, f"{UNAVAILABLE}: {why}")


def _unmatched(recording: Recording) -> Measures:
    """Count the trials that were left out because their stimulus is not in the set."""
    if not recording.info.get("unmatched_trials"):
        return {}
    ids = recording.info["unmatched_ids"]
    examples = ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
    what = f"trials left out, of {len(ids)} stimuli that are not in the set: {examples}"
    return {"trials_unmatched": _count(recording.info["unmatched_trials"], what)}


def _left_out(recording: Recording) -> Measures:
    """Count the files and trials that the entry leaves out, if it leaves out any."""
    found = {}
    if files := recording.info.get("files_left_out"):
        found["files_left_out"] = _count(len(files), f"files left out: {', '.join(files)}")
    if "trials_left_out" in recording.info:
        what = "trials that trials_where leaves out"
        found["trials_left_out"] = _count(recording.info["trials_left_out"], what)
    return found


def _trials(recording: Recording) -> Measures:
    """Count trials, and repeats per stimulus."""
    assert recording.responses is not None
    repeats = repeats_of_subjects(recording)
    seen = np.stack(list(seen_by_subject(recording).values()))
    common = {"stimuli_common": _count(seen.all(axis=0).sum(), "stimuli that all subjects saw")}
    return {
        **({} if seen.all() else common),
        "subjects": _count(len(seen), "subjects"),
        "trials": _count(len(recording.responses), "trials"),
        **_unmatched(recording),
        "repeats_min": Measured(float(repeats.min()), "trials per stimulus, smallest"),
        "repeats_median": Measured(float(np.median(repeats)), "trials per stimulus, median"),
        "repeats_max": Measured(float(repeats.max()), "trials per stimulus, largest"),
    }


def _parts(recording: Recording, spec: Geometry) -> Iterator[tuple[str, str, Measures]]:
    """Measure the whole, its regions and its subjects: (subject, region, measures)."""
    regions = list(dict.fromkeys(recording.units["region"].tolist()))
    # Units without a region count for the whole only.
    names = ["", *(sorted(set(regions) - {""}) if len(regions) > 1 else [])]
    common = recording.stimulus_ids[common_stimuli(recording, spec.min_units)]
    units: dict[str, _Units] = {}
    within: dict[str, dict[str, Measures]] = {region: {} for region in names}
    rdms: dict[str, list[np.ndarray | None]] = {region: [] for region in names}
    for subject, _, part in by_subject(recording):  # one in memory at a time
        shown = of_shown(part)
        tensor = by_repeat(shown)
        of_subject = units[subject] = _Units.of(shown, tensor)
        rows = np.isin(shown.stimulus_ids, common)
        for region in names:
            chosen = _in_region(of_subject, region)
            if not chosen.any():
                continue
            within[region][subject] = _within_subject(shown, tensor, of_subject, chosen, spec)
            means = observed_mean(tensor[rows][:, :, chosen & of_subject.analysed], axis=1)
            rdms[region].append(_rdm(means, spec))
        del tensor, part, shown
    for region, of_region in within.items():
        averages = _over_subjects(list(of_region.values()))
        if region == "" and len(regions) > 1:  # an RDM of units of several regions is of none
            averages = _without_rdms(averages)
            of_region = {s: _without_rdms(m) for s, m in of_region.items()}
        else:
            averages |= _between_subjects(rdms[region], spec)
        chosen_units = [u.chosen(_in_region(u, region)) for u in units.values()]
        yield "", region, _Units.joined(chosen_units).measures() | averages
        if len(units) > 1:
            for subject, measures in of_region.items():
                of_subject = units[subject].chosen(_in_region(units[subject], region))
                yield subject, region, of_subject.measures() | measures


def _in_region(units: _Units, region: str) -> np.ndarray:
    return (units.region == region) | (region == "")


def _without_rdms(measures: Measures) -> Measures:
    return {name: value for name, value in measures.items() if not name.startswith("rdm_")}


class _Units(NamedTuple):
    """Properties of every unit, which are computed once; each (unit,).

    Attributes
    ----------
    region : its region
    analysed : bool, whether the unit is reliable enough
    few : bool, whether it has too few repeats to be analysed
    silent : bool, whether all its responses are 0
    constant : bool, whether its mean responses to all stimuli are the same
    incomplete : bool, whether it was not observed for every stimulus that its subject saw
    trials, unobserved : how many its subject has, and in which share of them it was not observed
    half, full : reliability from random halves of the repeats: of half of them, and of all
    noise_ceiling : reliability from variances
    ncsnr : noise ceiling signal-to-noise ratio
    minimum : `min_reliability` of the recording, None or a number
    """

    region: np.ndarray
    analysed: np.ndarray
    few: np.ndarray
    silent: np.ndarray
    constant: np.ndarray
    incomplete: np.ndarray
    trials: np.ndarray
    unobserved: np.ndarray
    half: np.ndarray
    full: np.ndarray
    noise_ceiling: np.ndarray
    ncsnr: np.ndarray
    minimum: float | None

    @classmethod
    def of(cls, recording: Recording, tensor: np.ndarray) -> _Units:
        """Look at one subject's units, whose responses are (stimulus, repeat, unit) as well."""
        responses = trial_responses(recording)
        missing = np.isnan(responses)
        silent = ((responses == 0) | missing).all(axis=0) & ~missing.all(axis=0)
        n_trials, unobserved = len(missing), missing.mean(axis=0)
        del responses, missing
        halves = split_half_reliability(recording)
        # Without repeats, from standard errors if there are any.
        repeated = has_repeats(recording)
        variances = (
            reliability_from_repeats(recording) if repeated else unit_reliability(recording)[0]
        )
        means = observed_mean(tensor, axis=1)
        return cls(
            region=recording.units["region"],
            analysed=analysed_units(recording),
            few=too_few_repeats(recording),
            silent=silent,
            constant=_constant(means),
            incomplete=np.isnan(means).any(axis=0),
            trials=np.full(len(unobserved), n_trials),
            unobserved=unobserved,
            half=halves.half,
            full=halves.full,
            noise_ceiling=variances.full,
            ncsnr=ncsnr(tensor),
            minimum=preparation_of(recording).min_reliability,
        )

    @classmethod
    def joined(cls, parts: list[_Units]) -> _Units:
        """Join the units of several subjects."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in cls._fields
            if name != "minimum"
        }
        return parts[0]._replace(**columns)

    def chosen(self, units: np.ndarray) -> _Units:
        """Return some of the units, (unit,) bool."""
        columns: dict[str, Any] = {}
        columns |= {n: values[units] for n, values in self._asdict().items() if n != "minimum"}
        return self._replace(**columns)

    def measures(self) -> Measures:
        """Summarise the units."""
        return self._counts() | self._reliabilities()

    def _counts(self) -> Measures:
        counts = {
            "units": _count(len(self.region), "units"),
            "units_silent": _count(self.silent.sum(), "units whose responses are all 0"),
            "units_constant": _count(
                self.constant.sum(),
                "units with the same mean response to every stimulus, silent ones too; left out",
            ),
            "units_incomplete": _count(
                self.incomplete.sum(), "units not observed for every stimulus"
            ),
            "unobserved": Measured(
                float(np.average(self.unobserved, weights=self.trials)),
                "share of trials x units not observed, of the trials of each unit's subject",
            ),
        }
        if self.few.any():
            counts["units_below_min_repeats"] = _count(
                self.few.sum(), "units with too few repeats of a stimulus, left out"
            )
        if self.minimum is not None:
            counts["units_below_min_reliability"] = _count(
                (~self.analysed & ~self.few).sum(),
                f"units without a reliability of {self.minimum:g} or more, left out",
            )
        return counts

    def _reliabilities(self) -> Measures:
        full = self.full
        known = full[~np.isnan(full)]
        halves = "random halves of the repeats"
        return {
            "split_half": _mean_of_units(self.half, f"correlation of {halves}"),
            "reliability": _mean_of_units(full, f"{halves}, Spearman-Brown corrected"),
            "reliability_median": Measured(
                float(np.median(known)) if len(known) else np.nan,
                f"{halves}, Spearman-Brown corrected; median of units",
            ),
            "noise_ceiling": _mean_of_units(
                100 * self.noise_ceiling,
                "% of the variance of mean responses (Allen et al. 2022)",
            ),
            "ncsnr": _mean_of_units(self.ncsnr, "SD of signal / SD of noise (Allen et al. 2022)"),
        }


def _mean_of_units(values: np.ndarray, what: str) -> Measured:
    known = values[np.isfinite(values)]
    if not len(known):
        return _unavailable("too few repeats, or responses are constant")
    mean, low, high = mean_interval(known) if len(known) > 1 else (known[0], np.nan, np.nan)
    of = f"{len(known)}" if len(known) == len(values) else f"{len(known)} of {len(values)}"
    return Measured(mean, f"{what}; mean of {of} units, 95 % bootstrap of units", low, high)


def _over_subjects(within: list[Measures]) -> Measures:
    """Average what was measured within subjects."""
    if len(within) == 1:
        return within[0]
    averaged = {}
    for name in dict.fromkeys(k for measures in within for k in measures):
        found = [m[name] for m in within if name in m and np.isfinite(m[name].value)]
        if len(found) < 2:
            averaged[name] = _unavailable(f"{len(found)} of {len(within)} subjects have it")
            continue
        mean, low, high = mean_interval(np.array([m.value for m in found]))
        # The description of a subject's own interval does not apply to the mean.
        method = f"{found[0].method.partition('; 95 %')[0]}; mean of {len(found)} subjects"
        # With two values the interval (one degree of freedom) would be meaningless.
        averaged[name] = (
            Measured(mean, f"{method}, 95 % bootstrap of subjects", low, high)
            if len(found) > 2
            else Measured(mean, method)
        )
    return averaged


def _constant(means: np.ndarray) -> np.ndarray:
    """Return which units' mean responses (stimulus, unit) are all the same, (unit,) bool."""
    low, high = (np.nan_to_num(means, nan=sign * np.inf) for sign in (1, -1))
    spread = high.max(axis=0) - low.min(axis=0)
    seen = ~np.isnan(means).all(axis=0)
    constant: np.ndarray = seen & (spread <= 1e-12 * np.nan_to_num(np.abs(means)).max(axis=0))
    return constant


def _within_subject(
    recording: Recording, tensor: np.ndarray, units: _Units, chosen: np.ndarray, spec: Geometry
) -> Measures:
    """Measure the patterns of some of one subject's units."""
    chosen = chosen & units.analysed
    return {
        "participation_ratio": _dimensions(_complete(observed_mean(tensor[:, :, chosen], axis=1))),
        **_rdm_halves(tensor, chosen, preparation_of(recording).standardise, spec),
        "decoding": _decoding(recording, chosen),
    }


def _dimensions(patterns: np.ndarray) -> Measured:
    """Measure the participation ratio of complete patterns."""
    if not patterns.shape[1]:
        return _unavailable("no unit was observed for every stimulus")
    return Measured(
        participation_ratio(patterns),
        "of the mean responses' covariance between units, noise included",
    )


def _complete(patterns: np.ndarray) -> np.ndarray:
    """Leave out units that were not observed for every stimulus."""
    return patterns[:, ~np.isnan(patterns).any(axis=0)]


def participation_ratio(patterns: np.ndarray) -> float:
    """Return the effective number of dimensions of patterns (stimulus, unit).

    (sum of eigenvalues)² / sum of their squares, of the covariance over stimuli: from 1 to the
    number of units. NaN if nothing varies.

    Examples
    --------
    >>> round(participation_ratio(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])), 12)
    2.0
    """
    x = patterns - patterns.mean(axis=0)
    # Traces of the smaller of two products, which have the same eigenvalues.
    product = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    squares = (product**2).sum()
    return float(np.trace(product) ** 2 / squares) if squares > 0 else np.nan


def _rdm_similarities(spec: Geometry) -> list[RdmSimilarity]:
    return list(dict.fromkeys([spec.rdm_similarities[0], "spearman"]))


def _distance(spec: Geometry) -> Distance:
    """Return the configured distance, or correlation if that is not one of mean patterns."""
    distance = spec.recording_distance
    return distance if distance in MEAN_DISTANCES else "correlation"


def _rdm_halves(
    tensor: np.ndarray, chosen: np.ndarray, standardise: bool, spec: Geometry
) -> Measures:
    """Compare RDMs of random halves of the repeats of some units.

    Once with all repeats, and once ("equal") with as many of every stimulus as the one with the
    fewest has. Units are standardised within each half, as they are in the whole recording.
    """
    names = {
        f"rdm_split_half{kind}_{rdm_similarity}": (kind, rdm_similarity)
        for kind in ("", "_equal")
        for rdm_similarity in _rdm_similarities(spec)
    }
    counts = (~np.isnan(tensor)).sum(axis=1)
    chosen = chosen & (counts >= 2).all(axis=0)
    n_units = chosen.sum()
    if n_units < 2:
        return dict.fromkeys(names, _unavailable("no two units with two repeats of every stimulus"))
    if len(tensor) < 4:
        return dict.fromkeys(names, _unavailable("fewer than 4 stimuli"))
    if not chosen.all():
        tensor, counts = tensor[:, :, chosen], counts[:, chosen]
    half = int(counts.min()) // 2
    try:
        values = {"": _similarities_of_halves(tensor, standardise, spec)}
        # With equal numbers of repeats the halves are the same.
        same = (counts // 2 == half).all()
        values["_equal"] = (
            values[""] if same else _similarities_of_halves(tensor, standardise, spec, half)
        )
    except RepbiasError as error:  # a pattern that is constant in one half
        return dict.fromkeys(names, _unavailable(error))
    repeats = {"": "the repeats", "_equal": f"the repeats, {half} per half for every stimulus"}
    return {
        name: Measured(
            float(np.mean(values[kind][rdm_similarity])),
            f"{rdm_similarity} of {_distance(spec)} RDMs of random halves of {repeats[kind]}; mean "
            f"and 95 % of {N_SPLITS} splits; {n_units} units",
            *np.percentile(values[kind][rdm_similarity], [2.5, 97.5]).tolist(),
        )
        for name, (kind, rdm_similarity) in names.items()
    }


def _similarities_of_halves(
    tensor: np.ndarray, standardise: bool, spec: Geometry, most: int | None = None
) -> dict[RdmSimilarity, list[float]]:
    """Return, for every measure, the similarity of RDMs of halves, one per split.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit).
    standardise
        Whether to standardise units within each half.
    spec
        Distance, measures and seed.
    most
        Repeats per half and stimulus; all, if None.
    """
    distance = _distance(spec)
    values: dict[RdmSimilarity, list[float]] = {s: [] for s in _rdm_similarities(spec)}
    for halves in random_halves(tensor, N_SPLITS, spec.seed, most):
        if standardise:
            halves = [_standardised(half) for half in halves]
        first, second = (dissimilarities(half, distance)[None] for half in halves)
        del halves  # before the next two are made, as they are large
        for rdm_similarity, found in values.items():
            found.append(similarities(first, second, rdm_similarity)[0, 0])
    return values


def _standardised(patterns: np.ndarray) -> np.ndarray:
    spread = patterns.std(axis=0)
    return patterns / np.where(spread > 0, spread, 1)


def _decoding(recording: Recording, chosen: np.ndarray) -> Measured:
    """Decode the stimulus from single trials."""
    responses = trial_responses(recording)[:, chosen]
    observed = ~np.isnan(responses).all(axis=1)
    responses = _complete(responses[observed])
    stimulus = np.unique(recording.trials["stimulus_id"][observed], return_inverse=True)[1]
    n_classes = stimulus.max(initial=0) + 1
    if not 2 <= n_classes <= MOST_CLASSES:
        return _unavailable(f"{n_classes} stimuli, decoded are 2 to {MOST_CLASSES}")
    if not responses.shape[1]:
        return _unavailable("no unit was observed in every trial")
    for column in (column for column in FOLDS if column in recording.trials):
        folds = _fold_labels(recording, column)[observed]
        if _complete_folds(stimulus, folds):
            break
    else:
        return _unavailable(f"no two {' or '.join(FOLDS)}s with every stimulus in each")
    accuracy, low, high = decode(responses, stimulus, folds)
    return Measured(
        accuracy,
        f"linear SVM, leave one {column} out, chance {1 / n_classes:.3g}; 95 % binomial interval "
        f"of {len(stimulus)} trials",
        low,
        high,
    )


def _fold_labels(recording: Recording, column: str) -> np.ndarray:
    """Return the label of every trial's fold, (trial,); runs are numbered within sessions."""
    columns = ["session", "run"] if column == "run" else [column]
    values = [recording.trials[c].astype(str) for c in columns if c in recording.trials]
    return np.array(["\t".join(row) for row in zip(*values, strict=True)])


def _complete_folds(stimulus: np.ndarray, folds: np.ndarray) -> bool:
    """Return whether there are two folds or more, each with every stimulus."""
    pairs = np.unique(np.stack([stimulus, np.unique(folds, return_inverse=True)[1]]), axis=1)
    n_folds = len(np.unique(folds))
    return n_folds >= 2 and pairs.shape[1] == n_folds * (stimulus.max() + 1)


def decode(
    responses: np.ndarray, labels: np.ndarray, folds: np.ndarray
) -> tuple[float, float, float]:
    """Decode labels with a linear support vector machine, cross-validated.

    Units are standardised by the training trials; C = 1, classes one against one.

    Parameters
    ----------
    responses
        (trial, unit), finite.
    labels, folds
        (trial,); every fold is predicted from all other folds.

    Returns
    -------
    accuracy, ci_low, ci_high : float
        The interval is binomial (Clopper & Pearson 1934), as if trials were independent.
    """
    from scipy.stats import binomtest
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    machine = make_pipeline(StandardScaler(), SVC(kernel="linear"))
    predicted = cross_val_predict(machine, responses, labels, groups=folds, cv=LeaveOneGroupOut())
    correct = int((predicted == labels).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(method="exact")
    return correct / len(labels), float(interval.low), float(interval.high)


def _rdm(means: np.ndarray, spec: Geometry) -> np.ndarray | None:
    """Return the RDM (pair,) of mean patterns (stimulus, unit); None if it is undefined."""
    patterns = _complete(means)
    if patterns.shape[1] < 2 or len(patterns) < 3:
        return None
    try:
        return dissimilarities(patterns, _distance(spec))
    except RepbiasError:
        return None


def _between_subjects(rdms: list[np.ndarray | None], spec: Geometry) -> Measures:
    """Compare the subjects' RDMs with each other; nothing if there are fewer than two."""
    known = [rdm for rdm in rdms if rdm is not None]
    if len(known) < 2:
        return {}
    rdms, measures = np.stack(known), {}
    for rdm_similarity in _rdm_similarities(spec):
        measures[f"subject_similarity_{rdm_similarity}"] = _pairwise(
            rdms, rdm_similarity, "subjects"
        )
        # Many papers average RDMs as they are; ceilings in tables of RSA rank or standardise first.
        leave_one_out = (rdms.sum(axis=0) - rdms) / (len(rdms) - 1)
        mean = np.broadcast_to(rdms.mean(axis=0), rdms.shape)
        for bound, references, of in (
            ("low", leave_one_out, "the others"),
            ("high", mean, "all subjects"),
        ):
            values = [
                similarities(rdm[None], reference[None], rdm_similarity)[0, 0]
                for rdm, reference in zip(rdms, references, strict=True)
            ]
            measures[f"mean_rdm_ceiling_{bound}_{rdm_similarity}"] = Measured(
                float(np.mean(values)),
                f"{rdm_similarity} of each subject's RDM and the plain mean RDM of {of}",
            )
    return measures


def _pairwise(rdms: np.ndarray, rdm_similarity: RdmSimilarity, what: str) -> Measured:
    """Average the similarity of pairs of RDMs (rdm, pair)."""
    matrix = similarities(rdms, rdms, rdm_similarity)
    np.fill_diagonal(matrix, np.nan)
    mean, n = float(np.nanmean(matrix)), len(matrix)
    method = f"{rdm_similarity} of RDMs, mean over pairs of {n} {what}"
    if n < 3:
        return Measured(mean, method)
    others = [np.delete(np.arange(n), i) for i in range(n)]
    means = np.array([np.nanmean(matrix[np.ix_(o, o)]) for o in others])
    low, high = jackknife_interval(mean, means)
    return Measured(mean, f"{method}, 95 % jackknife", low, high)


def _parts_of_rdms(recording: Recording, spec: Geometry) -> Iterator[tuple[str, str, Measures]]:
    """Measure a recording of RDMs, and its subjects: (subject, region, measures)."""
    names = recording.rdm_info["subject"]
    assert recording.rdms is not None
    sessions = {s: recording.rdms[names == s] for s in dict.fromkeys(names.tolist())}
    within = {
        subject: {
            f"session_similarity_{rdm_similarity}": _pairwise(rdms, rdm_similarity, "sessions")
            for rdm_similarity in _rdm_similarities(spec)
        }
        for subject, rdms in sessions.items()
        if len(rdms) > 1
    }
    means = [rdms.mean(axis=0) for rdms in sessions.values()]
    counts = {
        "subjects": _count(len(sessions), "subjects"),
        "rdms": _count(len(names), "RDMs of subjects and sessions"),
    }
    averages = _over_subjects(list(within.values())) if within else {}
    yield "", "", counts | averages | _between_subjects(means, spec)
    if len(sessions) > 1:
        for subject, measures in within.items():
            yield subject, "", measures
