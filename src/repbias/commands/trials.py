"""Propose the table of trials of a recording, and its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.commands.description import FILL_IN, Description, some
from repbias.commands.formats import ROWS, examples, put_stimulus
from repbias.commands.tables import COLUMNS

#: Words in the names of tables of trials, the surest first.
TRIALS = (
    re.compile("trial", re.I),
    re.compile("presentation|event|onset|stim", re.I),
    re.compile("log|behav", re.I),
)
#: Words in the names of columns that say whether a trial counts.
COUNTS = re.compile("complet|abort|outcome|valid", re.I)
#: Common names of the column with the time of a trial.
ONSETS = (
    "start_time",
    "stim_on",
    "stimon_times",
    "stimulus_onset",
    "stim_onset",
    "onset",
    "onset_s",
    "start",
    "time",
    "time_s",
)


def put_trials(
    found: Description,
    path: Path,
    duration: float | None,
    of_files: Sequence[Path | None] = (),
) -> None:
    """Add the keys of a table of trials, which is guessed from its name and place.

    Parameters
    ----------
    found
        Gets the keys.
    path
        The recording, or the first of several.
    duration
        Its seconds, if they are known.
    of_files
        The tables of several recordings; one for all, or one for each.
    """
    tables = _tables_near(path)
    likely = of_files[0] if of_files else _likely(tables)
    columns = None if likely is None else _columns_of(likely)
    names = some([str(table) for table in tables]) or "none"
    if likely is None or columns is None:
        found.put(
            "trials", FILL_IN, f"table (CSV, TSV) with one row per presentation; found: {names}"
        )
        found.put("stimulus", FILL_IN, "the column of trials that names the stimulus")
        found.put("align", FILL_IN, "the column of trials with the time that is 0 s, in seconds")
        return
    found.lines.append(f"table {likely}:")
    found.lines += [f"  {name}: {examples(values[:ROWS])}" for name, values in columns.items()]
    for name in filter(COUNTS.search, columns):
        found.lines.append(
            f"Where not all trials count, trials_where keeps those of some values of {name}: "
            f"{examples(columns[name])}"
        )
    each = [str(table) for table in of_files]
    trials = each if len(set(each)) > 1 else str(likely)
    found.put("trials", trials, "a guess from its name; one row per presentation")
    lowered = {name.lower(): name for name in columns}
    stimulus = next((lowered[name] for name in COLUMNS["stimulus"] if name in lowered), None)
    if stimulus is None:
        put_stimulus(found, columns)
    else:
        found.put("stimulus", stimulus, f"a guess from its name: {examples(columns[stimulus])}")
    numeric = [name for name, values in columns.items() if values.dtype.kind in "if"]
    onset = next((lowered[name] for name in ONSETS if lowered.get(name) in numeric), None)
    others = f"; numbers: {', '.join(numeric)}" if numeric else ""
    meaning = "the column with the time that is 0 s, in seconds"
    if onset is None:
        found.put("align", FILL_IN, meaning + others)
        return
    found.put("align", onset, f"a guess from its name: {meaning}{others}")
    if duration is not None and not 0 <= np.nanmax(columns[onset]) <= duration:
        found.lines.append(
            f"{onset} ends at {np.nanmax(columns[onset]):g}, the recording at {duration:g} s: in "
            "other units, or on another clock (offset_s)?"
        )


def table_near(path: Path, root: Path | None = None) -> Path | None:
    """Return the table of trials near a recording, if one is called so.

    It is looked for in the folder and those above, up to the root of several recordings, or two.
    """
    return _likely(_tables_near(path, root))


def _tables_near(path: Path, root: Path | None = None) -> list[Path]:
    """Return tables in a folder and those above, the nearest first, but for those of phy."""
    folders = [path, path.parent, path.parent.parent] if path.is_dir() else [path.parent]
    folders += [] if root is None else [f for f in path.parents if f.is_relative_to(root)]
    return [
        file
        for folder in dict.fromkeys(folders)
        for ending in ("*.csv", "*.tsv")
        for file in sorted(folder.glob(ending))
        if not file.name.startswith("cluster_")
    ]


def _likely(tables: list[Path]) -> Path | None:
    """Return the only table that is called one of trials, in the folder nearest to the data."""
    for word in TRIALS:
        found = [t for t in tables if word.search(t.name) and not _lists_stimuli(t)]
        nearest = [table for table in found if table.parent == found[0].parent]
        if nearest:
            return nearest[0] if len(nearest) == 1 else None
    return None


def _lists_stimuli(file: Path) -> bool:
    """Whether a table has a row per stimulus, and no other numbers that ascend as times do."""
    columns = _columns_of(file) or {}
    ids = [name for name in columns if name.lower() in COLUMNS["stimulus"]]
    numeric = [x for name, x in columns.items() if name not in ids and x.dtype.kind in "if"]
    return any(len(np.unique(columns[name])) == len(columns[name]) for name in ids) and not any(
        (np.diff(x[np.isfinite(x)]) > 0).all() for x in numeric
    )


def _columns_of(file: Path) -> dict[str, Any] | None:
    """Return the columns of a table, or None if it cannot be read."""
    from repbias.io.text_tables import read_table, typed

    try:
        table = read_table(file)
    except RepbiasError:
        return None
    return {str(name): typed(table[name]) for name in table} if len(table) else None


def put_window(found: Description) -> None:
    """Add the keys of the window of the responses."""
    found.put(
        "from_s", FILL_IN, "responses from here, in seconds after align, for example 0.05 ..."
    )
    found.put("to_s", FILL_IN, "... to here, for example 0.25; with bin_s, in bins of that width")
