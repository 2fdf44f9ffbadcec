"""Parts of a recording: its regions, and its groups of stimuli."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError, nearest
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
        responses=recording.responses[:, chosen],
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
    errors = recording.standard_errors
    return replace(
        recording,
        stimuli=stimuli,
        responses=recording.responses[trials],
        trials={column: values[trials] for column, values in recording.trials.items()},
        standard_errors=None if errors is None else errors[trials],
    )


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
