"""Describe tables of text: responses in long or wide format, stimuli, events, judgements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np

from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import ROWS, examples, refuse_variable
from repbias.commands.meeg import describe_events
from repbias.io.text_tables import first_line, id_columns, is_number, read_table, typed

#: Common names of columns, by what they hold.
COLUMNS = {
    "stimulus": ("stimulus", "stimulus_id", "stim", "stim_id", "image", "image_id", "condition"),
    "unit": ("unit", "unit_id", "neuron", "neuron_id", "cell", "channel", "roi", "voxel"),
    "response": ("response", "spikes", "spike_count", "count", "rate", "beta", "value"),
    "repeat": ("repeat", "repetition", "rep"),
    "session": ("session", "session_id"),
    "subject": ("subject", "subject_id", "participant_id", "animal", "monkey"),
    "region": ("region", "area", "brain_area"),
    "time": ("time", "time_s"),
}
#: Names of columns that may number the repeats of a stimulus; also those of all trials.
TRIALS = ("trial", "trial_number")
#: Columns that may stand in a wide table.
OF_TRIALS = ("stimulus", "repeat", "session", "subject")
#: Tables of stimuli have at most this many further columns; others may be recordings.
MOST_PROPERTIES = 10
#: Numeric columns of these names describe a trial, and are no response.
NO_RESPONSES = {"run", "trial", "trial_number", "start_time", "onset", "duration", "block"}


def describe_table(path: Path, variable: str | None) -> Description:
    """Describe a table of text: responses in long or wide format, or something else."""
    refuse_variable(path, variable)
    first = first_line(path)
    if all(map(is_number, first)):
        return _describe_matrix(path, first)
    frame = read_table(path)
    if of_recording := describe_events(path):
        return of_recording
    is_list = path.suffix.lower() == ".txt" and len(first) == 1
    if is_list and first[0].lower() not in chain(*COLUMNS.values()):
        return _describe_list(path, [*first, *frame.iloc[:, 0]])
    table = {str(name): typed(cells) for name, cells in frame.items()}
    n_rows = len(frame)
    found = Description([f"table of {count(n_rows, 'row')}", *frame.attrs.get("said", ())])
    found.lines += [f"  {name}: {examples(values[:ROWS])}" for name, values in table.items()]
    if {"onset", "duration"} <= table.keys():
        found.lines.append("These are fMRI events; the block for the NIfTI file refers to them.")
        return found
    if {"image1", "image2", "image3", "choice"} <= {name.lower() for name in table}:
        found.lines.append(
            "These are odd-one-out triplets, as of THINGS, which repbias does not read: make an "
            "RDM of them (docs/behaviour.md has the lines), or take the embedding that was fitted "
            "to them as features: images: table: spose_embedding_49d_sorted.txt, stimulus_ids: "
            "unique_id.txt"
        )
        return found
    if n_rows == 0:
        found.lines.append("It holds no rows.")
        return found
    if _describes_stimuli(table):
        found.lines.append(
            "The block takes it for properties of stimuli (a guess: a row for each, and few "
            "numbers); if they are responses, write recordings: kind: table, format: wide."
        )
        found.section = "images"
        put_stimuli(found, path, table)
        return found
    if ids := _ids_of_stimuli(table):
        if any(table[name].dtype.kind == "U" for name in table.keys() - ids[:1]):
            found.lines.append(
                "The blocks take it for both (a guess: a row for each stimulus, numbers and text); "
                "leave out what it is not."
            )
            found.stimuli = Description([], section="images")
            put_stimuli(found.stimuli, path, table)
        else:
            found.lines.append(
                f"If it describes the stimuli, add to an entry of images: table: {path}"
            )
    _put_table(found, path, table)
    return found


def _ids_of_stimuli(table: Mapping[str, np.ndarray]) -> list[str]:
    """Return the columns that may name the stimulus of each row; none in a table of trials."""
    named = _named_columns(table)
    of_recordings = COLUMNS.keys() - {"stimulus"}
    if any(named[what] != FILL_IN for what in of_recordings) or any(
        name.lower() in NO_RESPONSES for name in table
    ):
        return []
    return [
        name
        for name in id_columns(table)
        if table[name].dtype.kind == "U" or name == named["stimulus"]
    ]


def _describes_stimuli(table: Mapping[str, np.ndarray]) -> bool:
    """Whether a table holds properties of stimuli alone: a row for each, and few numbers."""
    ids = _ids_of_stimuli(table)
    others = {name: values for name, values in table.items() if name not in ids[:1]}
    numbers = [name for name, values in others.items() if values.dtype.kind == "f"]
    # Units are called alike, but for their numbers.
    words = {re.sub(r"\d+", "", name) for name in _measures(others)}
    return (
        bool(ids)
        and 0 < len(others) <= MOST_PROPERTIES
        and len(words) == len(_measures(others))
        and (len(numbers) < len(others) or len(numbers) < 3)
    )


def put_stimuli(found: Description, path: Path, table: Mapping[str, Any]) -> None:
    """Write the entry that reads a table of stimuli."""
    ids = id_columns(table)
    if "stimulus_id" in table:
        comment = "with path: a folder or an archive, if there are images"
    else:
        which = f" {ids[0]!r}, whose values are all different," if ids else " that holds the ids"
        comment = f"rename its column{which} to stimulus_id"
        found.lines.append(f"To read it, {comment}.")
    found.put("table", str(path), comment)


def _describe_list(path: Path, names: list[str]) -> Description:
    """Describe a text file with one name a line."""
    n, different = len(names), len(set(names))
    if n == different:
        return Description([f"a list of {n} ids: stimulus_ids: {path}"])
    few = f"{n} names, {different} of them different ({some(dict.fromkeys(names))})"
    return Description([f"a list of {few}, such as regions: {path} of units"])


def _describe_matrix(path: Path, first: list[str]) -> Description:
    """Describe a table without a line of names: features of stimuli, such as an embedding."""
    n_rows = len(read_table(path, [f"column{i}" for i in range(len(first))]))
    found = Description(
        [
            f"matrix of {n_rows} x {len(first)} numbers, without names of rows and columns",
            "The block takes it for features of the stimuli (a guess), a row for each.",
        ],
        section="images",
    )
    ids = path.with_name("unique_id.txt")  # as in THINGS
    found.put("table", str(path))
    found.put(
        "stimulus_ids",
        str(ids) if ids.is_file() else FILL_IN,
        "a text file with one id a line, in the order of the rows",
    )
    return found


@dataclass(frozen=True)
class _Layout:
    """Which columns hold what, and why the table seems long or wide."""

    is_long: bool
    why: str
    columns: dict[str, str]
    guesses: list[str]


def _put_table(found: Description, path: Path, table: Mapping[str, np.ndarray]) -> None:
    """Write the entry that reads responses."""
    layout = _layout(table)
    found.put("kind", "table")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    found.put(
        "format",
        "long" if layout.is_long else "wide",
        f"a guess: {layout.why}; long: one row per response, wide: one row per trial",
    )
    possible = ", ".join(COLUMNS if layout.is_long else OF_TRIALS)
    guesses = f"guesses from names{''.join(f', and {guess}' for guess in layout.guesses)}; "
    found.put("columns", layout.columns, f"{guesses}possible: {possible}")
    if not layout.is_long:
        units = [n for n in _measures(table) if n not in layout.columns.values()]
        found.put("units", "numeric others", f"or a list; these are {len(units)}: {some(units)}")


def _layout(table: Mapping[str, np.ndarray]) -> _Layout:
    """Decide by names and by what is repeated whether there is a row per response or per trial."""
    named = _named_columns(table)
    columns = {what: name for what, name in named.items() if name != FILL_IN}
    measures = [name for name in _measures(table) if name not in columns.values()]
    if "unit" in columns:
        why, guesses = f"the column {columns['unit']!r} names units", []
    else:
        crossed = next(_crossed(table, columns), None)
        if crossed is None:
            n = len(measures) + ("response" in columns)
            kept = {k: named[k] for k in OF_TRIALS if k in columns or k == "stimulus"}
            return _Layout(False, f"{count(n, 'numeric column')}, and none of units", kept, [])
        first, second, response = crossed
        why = f"one numeric column, {response!r}, and every {first!r} occurs with every {second!r}"
        measures = [response]
        if "stimulus" in columns:
            columns["unit"], guesses = second, [f"{second!r} as it occurs with every {first!r}"]
        else:
            guesses = [f"of {first!r} and {second!r}, one is the stimulus, one the unit"]
    if "repeat" not in columns and (trial := _counted(table)):
        columns["repeat"] = trial
        guesses.append(f"{trial!r} as it counts from {table[trial].min()} to {table[trial].max()}")
    if "response" not in columns and len(measures) == 1:
        columns["response"] = measures[0]
        guesses.append(f"{measures[0]!r} as it is the only numeric column")
    needed = ("stimulus", "unit", "response")
    found = {k: columns.get(k, FILL_IN) for k in COLUMNS if k in needed or k in columns}
    return _Layout(True, why, found, guesses)


def _counted(table: Mapping[str, np.ndarray]) -> str | None:
    """Return the column that numbers trials: 1, 2, ... of every stimulus, or from 0."""
    for name, values in table.items():
        if name.lower() in TRIALS and values.dtype.kind == "i":
            numbers = np.unique(values)
            if numbers[0] in (0, 1) and np.ptp(numbers) == len(numbers) - 1 > 0:
                return name
    return None


def _measures(table: Mapping[str, np.ndarray]) -> list[str]:
    """Return the numeric columns that may be responses: no trial numbers, no codes that repeat."""
    return [
        name
        for name, values in table.items()
        if values.dtype.kind in "if" and name.lower() not in NO_RESPONSES
    ]


def _crossed(
    table: Mapping[str, np.ndarray], columns: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield two columns of names of which every combination occurs, and the only one of numbers.

    The first is that of stimuli, if `columns` names it.
    """
    names = [
        name
        for name, values in table.items()
        if values.dtype.kind in "Ui" and 1 < len(np.unique(values)) < len(values)
    ]
    free = [name for name in names if name not in columns.values()]
    pairs = combinations(free, 2)
    if "stimulus" in columns:
        pairs = ((columns["stimulus"], name) for name in free)
    for first, second in pairs:
        unnamed = [n for n in _measures(table) if n not in (first, second, *columns.values())]
        numbers = [columns["response"]] if "response" in columns else unnamed
        sizes = [len(np.unique(table[name])) for name in (first, second)]
        found = set(zip(table[first].tolist(), table[second].tolist(), strict=True))
        if len(numbers) == 1 and len(found) == sizes[0] * sizes[1]:
            yield first, second, numbers[0]


def _named_columns(table: Mapping[str, Any]) -> dict[str, str]:
    """Return which column may hold the stimulus, unit, response, ...; FILL_IN where none does."""
    lowered = {name.lower(): name for name in reversed(list(table))}
    return {
        what: next((lowered[name] for name in names if name in lowered), FILL_IN)
        for what, names in COLUMNS.items()
    }
