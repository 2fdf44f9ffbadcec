"""Parts of a recording: its regions, and its groups of stimuli."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError, nearest
from repbias.io.blocks import observed_trials, selected
from repbias.io.recordings import Recording

logger = logging.getLogger(__name__)


def stimulus_groups(recording: Recording) -> StimulusGroups:
    """Return which stimuli of a recording belong together, in the order of its stimuli."""
    column = recording.info.get("groups")
    if column is None:
        return StimulusGroups.alone(len(recording.stimulus_ids))
    return StimulusGroups.of(recording.stimuli[column], column)


def name_groups(recording: Recording, column: str, images: str) -> None:
    """Let a column of a recording's stimuli name their groups.

    Raises
    ------
    RepbiasError
        If there is no such column, a stimulus has no group, or all have the same.
    """
    where = f"images.{images}.groups"
    columns = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
    if column not in columns:
        raise RepbiasError(
            f"{where}: the stimuli have no column {column!r}; " + nearest(column, columns)
        )
    labels = np.asarray(columns[column])
    missing = np.isnan(labels) if labels.dtype.kind == "f" else labels == ""
    if missing.any():
        first = str(recording.stimulus_ids[missing][0])
        raise RepbiasError(
            f"{where}: {missing.sum()} of {len(labels)} stimuli have no {column!r} (the first is "
            f"{first!r}); expected a group for each"
        )
    if len(set(labels.tolist())) == 1:
        raise RepbiasError(
            f"{where}: all {len(labels)} stimuli have the same {column!r}, {str(labels[0])!r}; "
            "expected several groups"
        )
    recording.info["groups"] = column


def regions_of(recording: Recording) -> list[str]:
    """Return the regions that are analysed apart: their names, or "" for a recording of one."""
    of_rdms = recording.rdm_info.get("region", np.array([""]))
    names = {
        str(n) for n in (of_rdms if recording.responses is None else recording.units["region"])
    }
    return sorted(names - {""}) if len(names) > 1 else [""]


def by_region(recording: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield every region of a recording, and what was recorded there.

    Units of several regions are never pooled: their patterns would be of neither. Those without a
    region, beside others that have one, are left out.
    """
    names = regions_of(recording)
    for name in names:
        yield name, recording if name == "" else of_region(recording, name)


def of_region(recording: Recording, *regions: str) -> Recording:
    """Return what was recorded in some regions."""
    if recording.responses is None:
        assert recording.rdms is not None
        rows = np.isin(recording.rdm_info["region"], regions)
        info = {column: values[rows] for column, values in recording.rdm_info.items()}
        return replace(recording, rdms=recording.rdms[rows], rdm_info=info)
    return of_units(recording, np.isin(recording.units["region"], regions))


def of_units(recording: Recording, chosen: np.ndarray) -> Recording:
    """Return the responses of some units, (unit,) bool."""
    assert recording.responses is not None
    errors = recording.standard_errors
    return replace(
        recording,
        responses=selected(recording.responses, units=chosen),
        standard_errors=None if errors is None else errors[:, chosen],
        units={column: values[chosen] for column, values in recording.units.items()},
    )


def of_stimuli(recording: Recording, chosen: np.ndarray) -> Recording:
    """Return what was recorded of some stimuli, (stimulus,) bool."""
    stimuli = {column: values[chosen] for column, values in recording.stimuli.items()}
    if recording.responses is None:
        assert recording.rdms is not None
        first, second = np.triu_indices(len(chosen), 1)
        return replace(
            recording, stimuli=stimuli, rdms=recording.rdms[:, chosen[first] & chosen[second]]
        )
    trials = np.isin(recording.trials["stimulus_id"], stimuli["stimulus_id"])
    return replace(of_trials(recording, trials), stimuli=stimuli)


def of_trials(recording: Recording, chosen: np.ndarray) -> Recording:
    """Return the responses in some trials, (trial,) bool, of the same stimuli."""
    assert recording.responses is not None
    errors = recording.standard_errors
    return replace(
        recording,
        responses=selected(recording.responses, trials=chosen),
        trials={column: values[chosen] for column, values in recording.trials.items()},
        standard_errors=None if errors is None else errors[chosen],
    )


def by_subject(recording: Recording) -> Iterator[tuple[str, np.ndarray, Recording]]:
    """Yield every subject of a recording of responses: its name, its units, what was recorded.

    The units are (unit,) int, of the recording's. What was recorded are the responses of these
    units, in one array, in the trials in which any of them was observed; of one subject it is the
    recording itself.
    """
    subjects = recording.units["subject"]
    names = list(dict.fromkeys(subjects.tolist()))
    for name in names:
        units = np.flatnonzero(subjects == name)
        if len(names) == 1 and isinstance(recording.responses, np.ndarray):
            yield str(name), units, recording
            continue
        part = of_units(recording, subjects == name)
        assert part.responses is not None
        observed = observed_trials(part.responses)
        yield str(name), units, part if observed.all() else of_trials(part, observed)


def repeats_of_subjects(recording: Recording) -> np.ndarray:
    """Return how many trials every subject has of each stimulus that it saw, of all of them."""
    counts = (
        np.unique(part.trials["stimulus_id"], return_counts=True)[1]
        for *_, part in by_subject(recording)
    )
    return np.concatenate(list(counts))


def shown(recording: Recording) -> np.ndarray:
    """Return which of its stimuli a recording has trials of, (stimulus,) bool."""
    found: np.ndarray = np.isin(recording.stimulus_ids, recording.trials["stimulus_id"])
    return found


def of_shown(recording: Recording) -> Recording:
    """Return a recording without the stimuli of which it has no trial."""
    rows = shown(recording)
    if rows.all():
        return recording
    stimuli = {column: values[rows] for column, values in recording.stimuli.items()}
    return replace(recording, stimuli=stimuli)


def in_order_of(recording: Recording, ids: np.ndarray) -> Recording:
    """Return what was recorded of the given stimuli, in their order."""
    position = {str(s): i for i, s in enumerate(recording.stimulus_ids)}
    rows = np.array([position[str(s)] for s in ids])
    chosen = of_stimuli(recording, np.isin(np.arange(len(position)), rows))
    order = np.argsort(np.argsort(rows))
    stimuli = {column: values[order] for column, values in chosen.stimuli.items()}
    if chosen.rdms is None:
        return replace(chosen, stimuli=stimuli)
    first, second = np.triu_indices(len(order), 1)
    square = np.zeros((len(order), len(order)), int)
    square[first, second] = square[second, first] = np.arange(len(first))
    pairs = square[np.ix_(order, order)][first, second]
    return replace(chosen, stimuli=stimuli, rdms=chosen.rdms[:, pairs])


def choose_subjects(recording: Recording, chosen: list[str], where: str) -> Recording:
    """Return what was recorded in some subjects, of the stimuli that any of them saw.

    Raises
    ------
    RepbiasError
        If there is no such subject.
    """
    has_responses = recording.responses is not None
    column = (recording.units if has_responses else recording.rdm_info)["subject"].astype(str)
    for name in chosen:
        if name not in column:
            raise RepbiasError(
                f"{where}.analyse_subjects: no subject {name!r}; {nearest(name, set(column))}"
            )
    rows = np.isin(column, chosen)
    if not has_responses:
        assert recording.rdms is not None
        info = {name: values[rows] for name, values in recording.rdm_info.items()}
        return replace(recording, rdms=recording.rdms[rows], rdm_info=info)
    part = of_units(recording, rows)
    assert part.responses is not None
    return of_shown(of_trials(part, observed_trials(part.responses)))


def choose_regions(
    recording: Recording, chosen: list[str] | dict[str, list[str]], where: str
) -> Recording:
    """Return a recording of some of its regions; a mapping joins several under a new name.

    Raises
    ------
    RepbiasError
        If there is no such region.
    """
    joined = chosen if isinstance(chosen, dict) else {name: [name] for name in chosen}
    has_responses = recording.responses is not None
    column = recording.units["region"] if has_responses else recording.rdm_info.get("region")
    known = np.array([], str) if column is None else np.asarray(column).astype(str)
    for name in (n for names in joined.values() for n in names):
        if name not in known:
            raise RepbiasError(
                f"{where}.analyse_regions: no region {name!r}; {nearest(name, set(known) - {''})}"
            )
    new = {old: name for name, names in joined.items() for old in names}
    part = of_region(recording, *new)
    renamed = np.array(
        [new[str(old)] for old in (part.units if has_responses else part.rdm_info)["region"]]
    )
    if has_responses:
        return replace(part, units=part.units | {"region": renamed})
    return replace(part, rdm_info=part.rdm_info | {"region": renamed})
