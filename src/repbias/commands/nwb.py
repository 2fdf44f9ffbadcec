"""Describe NWB: files, folders of NWB-Zarr, and folders of many files, as DANDI arranges them."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from repbias.base.identities import as_ids
from repbias.base.order import naturally
from repbias.commands.description import FILL_IN, STIMULI, Description, count, flow, some
from repbias.commands.formats import REGIONS, ROWS, examples, put_stimulus, refuse_variable
from repbias.commands.trials import put_trials, put_window
from repbias.io.zarr import is_zarr
from repbias.recordings.readers.files import import_optional

#: Common names of columns that tell well isolated units from others, in small letters.
QUALITIES = ("quality", "unit_quality", "kslabel", "ks_label", "group", "cluster_group", "label")


def describe_nwb(path: Path, variable: str | None) -> Description:
    """Describe tables of trials, units and fluorescence in an NWB file."""
    refuse_variable(path, variable)
    import_optional("pynwb", "NWB", "nwb")
    from pynwb.ophys import RoiResponseSeries

    from repbias.recordings.readers.nwb import open_nwb, single_columns

    with open_nwb(path) as nwb:
        tables = {**(nwb.intervals or {}), **(getattr(nwb, "events", None) or {})}
        tables = {
            name: {c: column[:ROWS] for c, column in single_columns(table).items()}
            for name, table in tables.items()
        }
        unit_columns = nwb.units.colnames if nwb.units else ()
        labels = _labels(single_columns(nwb.units)) if nwb.units else {}
        series = [x for x in nwb.objects.values() if isinstance(x, RoiResponseSeries)]
        found = Description(list(_lines_of_nwb(nwb, tables, series)))
        names = [x.name if x.parent is None else f"{x.parent.name}/{x.name}" for x in series]
    if not (unit_columns or series):
        found.lines.append("Needed to read it: a table of trials, and units or fluorescence.")
        return found
    _put_nwb_entry(found, path, tables, unit_columns, names)
    if labels and found.entry["data"] == "units":
        found.lines += [f"  {name}: {some(_counted(x), 9)}" for name, x in labels.items()]
        found.lines.append("The block reads all of these units: where chooses some.")
        name, counts = next(iter(labels.items()))
        label = "good" if "good" in counts else next(iter(counts))
        chooses = f"where: {flow({name: label})} chooses some"
        others = found.comments.get("data")
        found.put("data", "units", f"{chooses}; {others}" if others else chooses)
    return found


def _labels(columns: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return how many units have each label of their quality, by the names of the columns."""
    return {
        name: Counter(as_ids(column[:]).tolist())
        for name, column in columns.items()
        if name.lower() in QUALITIES
    }


def _counted(values: Mapping[str, int]) -> list[str]:
    return [f"{name} ({n})" for name, n in values.items()]


def _lines_of_nwb(nwb: Any, tables: Mapping[str, Any], series: list[Any]) -> Iterator[str]:
    """Yield a description of an NWB file, line by line."""
    subject = nwb.subject.subject_id if nwb.subject else None
    yield f"NWB session {nwb.identifier}, subject {subject or 'not named'}"
    for name, columns in tables.items():
        yield f"table {name}:"
        for column, values in columns.items():
            yield f"  {column}: {examples(values)}"
    if nwb.units:
        yield f"units: {len(nwb.units)}, with {some(nwb.units.colnames, 20)}"
    if nwb.electrodes:
        locations = Counter(map(str, nwb.electrodes["location"][:]))
        yield f"electrodes: {some(_counted(locations))}"
    for x in series:
        shape = " x ".join(map(str, x.data.shape))
        yield f"fluorescence {x.name} in {x.parent.name}: {shape} (time, ROI)"


def _put_nwb_entry(
    found: Description,
    path: Path,
    tables: Mapping[str, Any],
    unit_columns: Collection[str],
    series: list[str],
) -> None:
    """Write the entry that reads an NWB file, with its table of trials, or one beside it."""
    found.put("kind", "nwb")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    if tables:
        longest = max(tables, key=lambda name: max(map(len, tables[name].values()), default=0))
        table = "trials" if "trials" in tables else longest
        guess = "" if "trials" in tables else "a guess, as it is the longest; "
        found.put(
            "table", table, f"{guess}found: {', '.join(tables)}; or trials: a table of your own"
        )
        put_stimulus(found, tables[table])
        found.put("align", "start_time", "the column with the time that is 0 s")
    else:
        found.lines.append("It has no table of trials; one of your own is needed.")
        put_trials(found, path, None)
    put_window(found)
    others = f"or {', or '.join(series)}" if unit_columns and series else ""
    found.put("data", "units" if unit_columns else series[0], others)
    region = next((name for name in REGIONS if name in unit_columns), None)
    if region is not None:
        found.put("region_column", region, "a guess from its name")


def describe_nwb_folder(path: Path) -> Description | None:
    """Describe a folder of NWB-Zarr, or of many NWB files, as DANDI arranges them."""
    if is_zarr(path):
        return describe_nwb(path, None)
    files = [path / name for name in naturally(map(str, _nwb_files(path, path)))]
    if not files:
        return None
    of_kind = defaultdict(list)
    for file in files:
        of_kind[_kind(file)].append(file)
    kind, chosen = max(of_kind.items(), key=lambda item: len(item[1]))
    found = describe_nwb(chosen[0], None)
    of_first = [f"The first of them, {chosen[0].name}:", *(f"  {line}" for line in found.lines)]
    of_subject = Counter(_subject(path, file) for file in files)
    subjects = some(_counted(of_subject), 20)
    found.lines = [f"{count(len(files), 'NWB file')} of {len(of_subject)} subjects: {subjects}"]
    if len(of_kind) > 1:
        kinds = ", ".join(f"*{name} ({len(of)})" for name, of in of_kind.items())
        found.lines.append(f"They end in {kinds}; the block reads the most frequent.")
    found.lines += of_first
    if found.entry and len(chosen) > 1:
        more = found.entry.pop("path"), _pattern(path, kind, chosen)
        rest = {key: found.entry.pop(key) for key in list(found.entry) if key != "kind"}
        found.put("path", more[0])
        found.put("more_files", more[1], f"with path, all {len(chosen)}; or a list of some")
        found.entry |= rest
    return found


def _pattern(path: Path, kind: str, files: list[Path]) -> list[str]:
    """Return a pattern of the paths of files, or where there is none, all but the first."""
    for pattern in (f"sub-*/*{kind}", f"**/*{kind}"):
        if set(path.glob(pattern)) == set(files):
            return [str(Path(glob.escape(str(path))) / pattern)]
    return [str(file) for file in files[1:]]


def _nwb_files(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the NWB files in a folder and those below, relative to `path`; Zarr counts as one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            found = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.name.endswith((".nwb", ".nwb.zarr")) and (entry.is_file() or is_zarr(found)):
                yield found.relative_to(path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _nwb_files(path, found)


def _kind(file: Path) -> str:
    """Return the end of a name that says what a file holds, such as `_ecephys.nwb` on DANDI."""
    stem, dot, ending = file.name.partition(".nwb")
    _, underscore, kind = stem.rpartition("_")
    return f"{underscore}{kind}{dot}{ending}" if underscore and "-" not in kind else dot + ending


def _subject(path: Path, file: Path) -> str:
    """Return the subject of a file by its name, as DANDI writes it, or else its folder."""
    named = re.match(r"sub-[^_]+", file.name)
    return named[0] if named else str(file.parent.relative_to(path))
