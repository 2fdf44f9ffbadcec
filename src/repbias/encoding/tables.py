"""The table of encoding scores: from every layer of every network to every unit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.base.statistics import false_discovery_control
from repbias.encoding.reverse import kernels_of_regions, principal_components, reverse_r2
from repbias.encoding.ridge import (
    gram,
    left_out_scores,
    outer_folds,
    permutation_p,
    predict,
    scores,
    sub_gram,
)
from repbias.encoding.spec import Encoding
from repbias.io.activations import ONLY_RDMS, Activations
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_shown, stimulus_groups
from repbias.recordings.reliability import UNAVAILABLE, analysed_units, unit_ceiling
from repbias.recordings.responses import stimulus_means
from repbias.recordings.spec import preparation_of
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: Warn of layers for which a larger share of the chosen penalties is at an end of the grid.
_EDGE = 0.1
#: The warning names so many of them.
_NAMED = 3
#: Fewest stimuli in a fold: two points always correlate perfectly.
_MIN_IN_FOLD = 3
#: Fewest groups: one is predicted from the other.
_MIN_GROUPS = 2


@dataclass
class Seen:
    """What one subject saw, and the averages of its units' responses.

    Attributes
    ----------
    stimuli : (stimulus,) int, ascending, which of the recording's sorted stimuli
    units : (unit,) int, ascending, which of the recording's units
    means : (stimulus, unit), averages over repeats; NaN where a unit was not observed
    """

    stimuli: np.ndarray
    units: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, units: np.ndarray, recording: Recording, ids: np.ndarray) -> Seen:
        """Average the responses of one subject, whose units are `units` of all."""
        shown = of_shown(recording)
        order = np.argsort(shown.stimulus_ids)
        stimuli = np.flatnonzero(np.isin(ids, shown.stimulus_ids))
        return cls(stimuli, units, stimulus_means(shown)[order])

    def patterns(self, n_stimuli: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which stimuli units saw, (pattern, stimulus) bool, and each unit's pattern."""
        observed = np.zeros((len(self.units), n_stimuli), bool)
        observed[:, self.stimuli] = ~np.isnan(self.means).T
        seen, pattern = np.unique(observed, axis=0, return_inverse=True)
        return seen, pattern.ravel()


@dataclass
class Targets:
    """The responses of a recording that can be predicted.

    Attributes
    ----------
    ids : (stimulus,) sorted
    groups : which stimuli are left out together
    subjects : what each subject saw, and the averages of its units' responses
    patterns : units that were observed for the same stimuli, each (stimulus rows, unit columns)
    """

    ids: np.ndarray
    groups: StimulusGroups
    subjects: list[Seen]
    patterns: list[tuple[np.ndarray, np.ndarray]]

    def responses(self, stimuli: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Return averages of responses, (stimulus, unit), of some stimuli and units, int."""
        found = np.full((len(stimuli), len(units)), np.nan)
        for seen in self.subjects:
            rows, columns = np.isin(stimuli, seen.stimuli), np.isin(units, seen.units)
            found[np.ix_(rows, columns)] = seen.means[
                np.ix_(np.isin(seen.stimuli, stimuli), np.isin(seen.units, units))
            ]
        return found

    def rows_in(self, activations: Activations) -> np.ndarray | None:
        """Return the rows of these stimuli in an activations file; None if one is missing."""
        position = {s: i for i, s in enumerate(activations.stimulus_ids)}
        if any(s not in position for s in self.ids):
            return None
        return np.array([position[s] for s in self.ids])


def targets(name: str, recording: Recording, spec: Encoding) -> Targets:
    """Find the units that can be predicted.

    Stimuli are sorted by id, so that folds do not depend on the recording's order. Left out, and
    counted in the log, are units below the recording's `min_reliability` or `min_repeats`, units
    that respond the same to every stimulus, and units observed for too few stimuli or groups.

    Raises
    ------
    RepbiasError
        If there are too few stimuli or groups for the folds, or no unit is left.
    """
    order = np.argsort(recording.stimulus_ids)
    ids = recording.stimulus_ids[order]
    groups = stimulus_groups(recording).subset(order)
    if problem := _too_few(groups, spec):
        raise RepbiasError(f"recording '{name}': {problem}")
    reliable = analysed_units(recording)
    usable = reliable.copy()
    subjects = [Seen.of(units, part, ids) for _, units, part in by_subject(recording)]
    members: dict[tuple[bool, ...], list[np.ndarray]] = {}
    for seen in subjects:
        usable[seen.units] &= _varies(seen.means)
        rows, pattern = seen.patterns(len(ids))
        for g, row in enumerate(rows):
            members.setdefault(tuple(row.tolist()), []).append(seen.units[pattern == g])
    patterns = []
    for row, of_subjects in sorted(members.items()):
        units = np.concatenate(of_subjects)
        units, stimuli = units[usable[units]], np.flatnonzero(row)
        if _too_few(groups.subset(stimuli), spec):
            usable[units] = False
        elif len(units):
            patterns.append((stimuli, units))
    _report_left_out(name, recording, usable, reliable)
    if not patterns:
        raise RepbiasError(
            f"recording '{name}': no unit can be predicted: all constant, unreliable or unseen"
        )
    return Targets(ids, groups, subjects, patterns)


def _varies(means: np.ndarray) -> np.ndarray:
    """Return which units do not respond the same to every stimulus, (unit,) bool."""
    observed = ~np.isnan(means)
    highest = np.where(observed, means, -np.inf).max(axis=0)
    varies: np.ndarray = highest > np.where(observed, means, np.inf).min(axis=0)
    return varies


def least_stimuli(spec: Encoding) -> int:
    """Return how many stimuli nested cross-validation needs."""
    return spec.folds * max(spec.inner_folds, _MIN_IN_FOLD)


def can_be_encoded(name: str, recording: Recording, spec: Encoding) -> bool:
    """Return whether there are responses to enough stimuli for the folds; warn if too few."""
    if recording.responses is None:
        return False
    n_stimuli, needed = len(recording.stimulus_ids), least_stimuli(spec)
    if n_stimuli < needed:
        logger.warning(
            "%s: no encoding models: %d stimuli, the folds need %d; lower encoding.folds or "
            "encoding.inner_folds",
            name,
            n_stimuli,
            needed,
        )
    return n_stimuli >= needed


def _too_few(groups: StimulusGroups, spec: Encoding) -> str:
    """Return what the folds lack, in words; empty if nothing."""
    folds = f"{spec.folds} x {spec.inner_folds} folds"
    needed = least_stimuli(spec)
    if len(groups) < needed:
        return f"{len(groups)} stimuli are too few for {folds} (at least {needed})"
    if len(groups.sizes) < _MIN_GROUPS:
        return f"groups: all stimuli are of one {groups.name}, which cannot be left out"
    smallest = min(len(test) for _, test in outer_folds(groups, spec))
    if smallest < _MIN_IN_FOLD:
        return (
            f"groups: one of {spec.folds} folds of whole {groups.name} has {smallest} stimuli, "
            f"fewer than {_MIN_IN_FOLD}; lower encoding.folds"
        )
    return ""


def _report_left_out(
    name: str, recording: Recording, usable: np.ndarray, reliable: np.ndarray
) -> None:
    minima = preparation_of(recording).minima()
    if not minima:
        reliable = np.ones(len(usable), bool)
    if not reliable.all():
        logger.warning(
            "%s: %d of %d units never vary or are below the %s; left out",
            name,
            (~reliable).sum(),
            len(reliable),
            " or ".join(f"{setting} of {minimum:g}" for setting, minimum in minima.items()),
        )
    others = reliable & ~usable
    if others.any():
        logger.warning(
            "%s: %d of %d units are constant or observed for too few stimuli or groups; left out",
            name,
            others.sum(),
            len(others),
        )


def encode_recording(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Activations],
    spec: Encoding,
) -> pd.DataFrame:
    """Predict a recording from every layer of every network; one row per layer and unit.

    Untrained and final networks are used. Units that :func:`targets` leaves out have no rows. A
    recording of RDMs, or of too few stimuli for the folds, gives no rows, and so does a model of
    which only RDMs are known. `p_fdr` is Benjamini and
    Hochberg's (1995), over the units of the recording for one layer of one network.

    Raises
    ------
    RepbiasError
        Those of :func:`targets`.
    """
    if not can_be_encoded(name, recording, spec):
        return as_table("encoding")
    data = targets(name, recording, spec)
    ceiling, convention = unit_ceiling(recording)
    parts = parts_of_units(recording)
    kernels = _kernels(data, parts)
    n_folds = len(outer_folds(data.groups, spec))
    tables = []
    for condition, activations in conditions.items():
        rows = data.rows_in(activations)
        if activations.rdm_measure is not None:
            logger.warning("%s: %s is not encoded: %s", name, condition, ONLY_RDMS)
            continue
        if rows is None:
            logger.warning("%s: %s saw other stimuli; not compared", name, condition)
            continue
        networks = activations.networks
        used = [n for n in range(len(activations)) if networks["snapshot"][n] != "mastered"]
        for n, layer in product(used, activations.layers):
            info = {k: v[n].item() for k, v in networks.items()} | {"layer": layer}
            features = activations.read(layer, n)[rows]
            if not np.isfinite(features).all():
                logger.warning("%s: %s, %s is not finite; left out", name, condition, info)
                continue
            table, without = _encode(features, data, spec)
            units = table["column"].to_numpy()
            backward = _backward(features, kernels, data, spec)
            tables.append(
                table.assign(
                    **{k: recording.units[k][units] for k in ("unit", "subject", "region")},
                    r_error=errors_of_means(without, n_folds, parts[units]),
                    reverse_r2=[backward.get(part, np.nan) for part in parts[units]],
                    ceiling=ceiling[units],
                    recording=name,
                    experiment=experiment,
                    condition=condition,
                    **info,
                )
            )
        logger.info("%s: encoded from %d networks of %s", name, len(used), condition)
    if not tables:
        return as_table("encoding")
    table = pd.concat(tables, ignore_index=True)
    _warn_of_edges(name, table, spec)
    table["ceiling_convention"] = np.where(table["ceiling"].isna(), UNAVAILABLE, convention)
    table["r_normalised"] = table["r"] / table["ceiling"]
    return as_table("encoding", table)


def parts_of_units(recording: Recording) -> np.ndarray:
    """Return the subject and region of every unit as one text, (unit,)."""
    subject, region = (recording.units[k].astype(str) for k in ("subject", "region"))
    parts: np.ndarray = np.char.add(np.char.add(subject, "\t"), region)
    return parts


def _kernels(data: Targets, parts: np.ndarray) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Return what every subject saw, and the kernels of its predictable units by region."""
    predictable = np.concatenate([units for _, units in data.patterns])
    found = []
    for seen in data.subjects:
        used = np.isin(seen.units, predictable)
        found.append(
            (seen.stimuli, kernels_of_regions(seen.means[:, used], parts[seen.units[used]]))
        )
    return found


def _backward(
    features: np.ndarray,
    kernels: list[tuple[np.ndarray, dict[str, np.ndarray]]],
    data: Targets,
    spec: Encoding,
) -> dict[str, float]:
    """Predict a layer from every part of a brain, in the stimuli that its subject saw."""
    components: dict[bytes, np.ndarray] = {}  # subjects that saw the same share them
    backward = {}
    for stimuli, of_parts in kernels:
        key, groups = stimuli.tobytes(), data.groups.subset(stimuli)
        if of_parts and key not in components:
            components[key] = principal_components(features[stimuli])
        for part, kernel in of_parts.items():
            backward[part] = reverse_r2(kernel, components[key], spec, groups)
    return backward


def errors_of_means(without: np.ndarray, n_folds: int, parts: np.ndarray) -> np.ndarray:
    """Return the standard error, over stimuli, of the mean r of the units of every part, (unit,).

    Jackknife (Efron & Tibshirani 1993, eq. 11.5) of the mean over units: those of one subject see
    the same stimuli, so their errors do not average out. As fits to other training stimuli would
    differ too, the variance is larger by the ratio of test to training stimuli, 1 / (folds - 1) (as
    in Nadeau & Bengio 2003, eq. 5).

    Parameters
    ----------
    without
        (block, unit), r without a block of stimuli.
    n_folds
        Outer folds.
    parts
        (unit,), the subject and region of each.
    """
    errors = np.empty(without.shape[1])
    for part in np.unique(parts):
        units = parts == part
        errors[units] = error_of_mean(without[:, units].mean(axis=1), n_folds)
    return errors


def error_of_mean(without: np.ndarray, n_folds: int) -> np.ndarray:
    """Return the standard error (part,) of means (block, part) without a block of stimuli.

    As :func:`errors_of_means` says; the axis of parts may be missing.
    """
    variance = (len(without) - 1) * without.var(axis=0)
    error: np.ndarray = np.sqrt(variance * n_folds / (n_folds - 1))
    return error


def _encode(features: np.ndarray, data: Targets, spec: Encoding) -> tuple[pd.DataFrame, np.ndarray]:
    """Score one layer's predictions.

    Returns
    -------
    table : pandas.DataFrame
        One row per unit, in the recording's order.
    without : numpy.ndarray
        (block, unit), r without a block of stimuli.
    """
    kernel, left_out = gram(features), data.groups.left_out()
    tables, without = [], []
    for stimuli, units in data.patterns:
        whole = len(stimuli) == len(kernel)
        k = kernel if whole else sub_gram(kernel, stimuli)
        responses, groups = data.responses(stimuli, units), data.groups.subset(stimuli)
        fit = predict(k, responses, spec, groups)
        r, r2 = scores(fit, responses)
        without.append(left_out_scores(fit, responses, left_out[:, stimuli]))
        at_first, at_last = (fit.alphas == fit.grid[end] for end in (0, -1))
        tables.append(
            pd.DataFrame(
                {
                    "column": units,
                    "r": r,
                    "r2": r2,
                    "p": permutation_p(k, responses, fit, spec, groups),
                    "log10_alpha": np.log10(fit.alphas).mean(axis=0),
                    "at_first": at_first.mean(axis=0),
                    "at_last": at_last.mean(axis=0),
                    "n_stimuli": len(stimuli),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    order = np.argsort(table["column"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    table["alpha_at_edge"] = table["at_first"] + table["at_last"]
    table["p_fdr"] = np.nan
    if spec.permutations:
        table["p_fdr"] = false_discovery_control(table["p"])
    return table, np.concatenate(without, axis=1)[:, order]


def _warn_of_edges(name: str, table: pd.DataFrame, spec: Encoding) -> None:
    """Warn once of layers whose penalties, over all networks, are often at an end of the grid."""
    shares = table.groupby(["condition", "layer"], sort=False)[["at_first", "at_last"]].mean()
    found = [
        f"{condition}, layer {layer}: {first:.0%} the lowest, {last:.0%} the highest"
        for (condition, layer), (first, last) in shares.iterrows()
        if first + last > _EDGE
    ]
    if found:
        logger.warning(
            "%s: in %d of %d layers, many of the penalties chosen for folds and units are at an "
            "end of encoding.log10_alpha = %s (%s%s); widen it (units that cannot be predicted "
            "take the highest, whatever it is)",
            name,
            len(found),
            len(shares),
            list(spec.log10_alpha),
            "; ".join(found[:_NAMED]),
            "; ..." if len(found) > _NAMED else "",
        )
