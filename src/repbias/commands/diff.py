"""``repbias diff``: the differences between two runs of a study, or two files."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.show import summary
from repbias.config.file import read_config
from repbias.io import provenance
from repbias.io.untrusted import open_hdf5, readable

if TYPE_CHECKING:
    import h5py
    import pandas as pd

#: Files that are compared in results folders: primary results, not what is derived from them.
RESULTS = ("config.yaml", "*.h5", "tables/*.csv")
DERIVED = ("tables/parts/*", ".*", "*/.*", "logs/*", "benchmarks/*", "provenance/*")
#: Numeric columns that identify a row; all other numeric columns are results.
NUMBER_KEYS = {
    "seed",
    "seed_a",
    "seed_b",
    "step",
    "step_a",
    "step_b",
    "strength",
    "n_components",
    "time_s",
    "left_out",
    "reliability_level",
    "simulated",
}
#: Text columns that are results; all other text columns identify a row.
TEXT_RESULTS = {
    "verdict",
    "warning",
    "interval",
    "convention",
    "statement",
    "ceiling_convention",
    "generalises_to",
    "source",
    "reference",
    "provenance",
}
#: Elements of an array that are held in memory at a time.
BLOCK = 2**24


#: What differs in a line of text, and the same by its parts.
Difference = dict[str, Any]


def run(a: Path, b: Path) -> tuple[int, dict[str, Any]]:
    """Print what differs; return 1 if settings or results differ, else 0, and what differs."""
    for path in (a, b):
        if not path.exists():
            raise RepbiasError(f"{path}: no such file or folder")
    if a.is_dir() != b.is_dir():
        raise RepbiasError(
            f"{a}, {b}: one is a file and one a folder; expected two files or two folders"
        )
    with readable(f"{a}, {b}", "results of a study"):
        if a.is_dir():
            environments = _environments(provenance.records(a), provenance.records(b))
            files = _folders(a, b)
        else:
            made = (provenance.record_of(path) for path in (a, b))
            environments = _environments(*({"": record} if record else {} for record in made))
            files = {a.name: compare(a, b)}
    different = {name: differences for name, differences in files.items() if differences}
    same = len(files) - len(different)
    print(f"A: {a}\nB: {b}")
    nothing = "not recorded for both" if environments is None else "the same"
    _print("versions and hosts", environments or [{"text": nothing}])
    for name, differences in (different if a.is_dir() else files).items():
        _print(name if a.is_dir() else "content", differences or [{"text": "the same"}])
    if a.is_dir():
        print(f"\n{count(same, 'file')} the same, {len(different)} different")
    return 1 if different else 0, {
        "a": a,
        "b": b,
        "same": same,
        "different": len(different),
        "versions_and_hosts": environments,
        "files": different,
    }


def _folders(a: Path, b: Path) -> dict[str, list[Difference]]:
    """Compare two results folders, file by file."""
    files_a, files_b = results(a), results(b)
    if not files_a or not files_b:
        raise RepbiasError(f"{b if files_a else a}: no results of a study")
    both = files_a & files_b
    return {
        name: _compare_or_report(a / name, b / name)
        if name in both
        else [_only_in("file", "", "A" if name in files_a else "B")]
        for name in sorted(files_a | files_b)
    }


def _compare_or_report(a: Path, b: Path) -> list[Difference]:
    """Compare two of many files; one that cannot be read counts as a difference."""
    try:
        return compare(a, b)
    except RepbiasError as error:
        return [{"text": str(error)}]


def _only_in(kind: str, name: str, side: str) -> Difference:
    words = {"array": name, "column": f"column {name}"}.get(kind, "")
    return {"text": f"{words} only in {side}".lstrip(), kind: name, "only_in": side}


def results(folder: Path) -> set[str]:
    """Return the result files that are compared, by their paths relative to the folder."""
    # Hidden files are second names of others, or what a killed job left.
    files = (path for path in folder.rglob("[!.]*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in files}
    return {
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in RESULTS)
        and not any(fnmatch(name, pattern) for pattern in DERIVED)
    }


def compare(a: Path, b: Path) -> list[Difference]:
    """Return how the contents of two files of one type differ; nothing if they are the same."""
    if a.suffix != b.suffix:
        raise RepbiasError(f"{a}, {b}: expected two files of the same type")
    # Most files of equal size are identical, and need not be parsed.
    if a.stat().st_size == b.stat().st_size and provenance.digest(a) == provenance.digest(b):
        return []
    by_suffix = {".csv": compare_tables, ".h5": compare_hdf5, ".yaml": compare_settings}
    return by_suffix[a.suffix](a, b) if a.suffix in by_suffix else [{"text": "differs"}]


def compare_settings(a: Path, b: Path) -> list[Difference]:
    """Return the settings that differ between two configurations, by their dotted paths."""
    return _differences("setting", *(provenance.by_path(read_config(path)) for path in (a, b)))


def compare_tables(a: Path, b: Path) -> list[Difference]:
    """Return how two tables differ: in columns, in rows, and by how much in values."""
    from repbias.tables import read_any

    (_, left), (_, right) = read_any(a), read_any(b)
    common = [column for column in left if column in right]
    differences = [_only_in("column", c, "A") for c in left if c not in common]
    differences += [_only_in("column", c, "B") for c in right if c not in common]
    for column in common:
        if _is_key(left[column]) != _is_key(right[column]):  # text in only one of them
            left[column], right[column] = left[column].astype(str), right[column].astype(str)
    keys = [c for c in common if _is_key(left[c])]
    rows = [_numbered(table[common], keys) for table in (left, right)]
    merged = rows[0].merge(rows[1], on=[*keys, "#"], how="outer", indicator=True)
    sides = merged["_merge"].value_counts()
    for side, name in (("left_only", "A"), ("right_only", "B")):
        if n := int(sides[side]):
            differences.append(
                {"text": f"{count(n, 'row')} only in {name}", "rows": n, "only_in": name}
            )
    merged = merged[merged["_merge"] == "both"]
    for column in (c for c in common if c not in keys):
        differences += _compare_values(column, merged[f"{column}_x"], merged[f"{column}_y"])
    return differences or [{"text": "the same values, in another order or format"}]


def compare_hdf5(a: Path, b: Path) -> list[Difference]:
    """Return how two HDF5 files differ: in attributes, in arrays, and by how much in values."""
    with (
        readable(a, "a complete HDF5 file"),
        open_hdf5(a) as left,
        readable(b, "a complete HDF5 file"),
        open_hdf5(b) as right,
    ):
        attributes = [{f"@{k}": _text(v) for k, v in f.attrs.items()} for f in (left, right)]
        differences = _differences("attribute", *attributes)
        in_a, in_b = _arrays(left), _arrays(right)
        for name in dict.fromkeys([*in_a, *in_b]):
            if name not in in_a or name not in in_b:
                differences.append(_only_in("array", name, "A" if name in in_a else "B"))
            else:
                differences += _compare_arrays(name, in_a[name], in_b[name])
        return differences


def _environments(a: dict[str, Any], b: dict[str, Any]) -> list[Difference] | None:
    """Return versions, commits and hosts that differ; None if they are not recorded for both."""
    if not a or not b:
        return None
    left, right = ({k: "; ".join(v) for k, v in summary(records).items()} for records in (a, b))
    return _differences("name", left, right)


def _print(title: str, differences: list[Difference]) -> None:
    print(f"\n{title}")
    for difference in differences:
        print(f"  {difference['text']}")


def _differences(kind: str, a: dict[str, str], b: dict[str, str]) -> list[Difference]:
    """Return every key whose values differ."""
    return [
        {
            "text": f"{key}: {a.get(key, 'none')} | {b.get(key, 'none')}",
            kind: key,
            "a": a.get(key),
            "b": b.get(key),
        }
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _is_key(column: pd.Series) -> bool:
    """Whether a column identifies rows, rather than holding results."""
    from pandas.api.types import is_numeric_dtype

    if is_numeric_dtype(column):
        return column.name in NUMBER_KEYS
    return column.name not in TEXT_RESULTS


def _numbered(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add a column that distinguishes rows with equal keys."""
    same = table.groupby(keys, dropna=False).cumcount() if keys else range(len(table))
    return table.assign(**{"#": same})


def _compare_values(column: str, a: pd.Series, b: pd.Series) -> list[Difference]:
    """Return how the values of a column differ."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    different = (a != b) & ~(a.isna() & b.isna())
    n = int(different.sum())
    if not n:
        return []
    numbers = all(is_numeric_dtype(side) and not is_bool_dtype(side) for side in (a, b))
    if not numbers:
        first = [f"{x} | {y}" for x, y in zip(a[different], b[different], strict=True)]
        text = f"{column}: {count(n, 'row')} of {len(a)} ({some(first, 2)})"
        return [{"text": text, "column": column, "rows": n, "of": len(a)}]
    distance = np.abs(np.asarray(a[different], float) - np.asarray(b[different], float))
    missing = np.isnan(distance)
    largest = 0.0 if missing.all() else float(np.max(distance[~missing]))
    text = f"{column}: {count(n, 'row')} of {len(a)}"
    by_parts = {"column": column, "rows": n, "of": len(a)}
    return [_sized(text, by_parts, largest, int(missing.sum()))]


def _sized(text: str, by_parts: Difference, largest: float, n_missing: int) -> Difference:
    """Add the largest difference, and how many values are missing on one side."""
    text += f", up to {largest:.3g}" if largest else ""
    text += f", {n_missing} missing on one side" if n_missing else ""
    return {"text": text, **by_parts, "largest": largest, "missing": n_missing}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    import h5py

    arrays: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item

    file.visititems(visit)
    return arrays


def _compare_arrays(name: str, a: h5py.Dataset, b: h5py.Dataset) -> list[Difference]:
    """Compare two arrays in blocks along their first axis."""
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        left, right = f"{a.shape} {a.dtype}", f"{b.shape} {b.dtype}"
        return _differences("array", {name: left}, {name: right})
    n, largest, n_missing = 0, 0.0, 0
    for x, y in _blocks(a, b):
        if a.dtype.kind not in "iufb":
            n += int((x != y).sum())
            continue
        distance = np.abs(x.astype(float) - y.astype(float))
        one_sided = np.isnan(x) != np.isnan(y)
        n += int((distance > 0).sum() + one_sided.sum())
        n_missing += int(one_sided.sum())
        largest = max(largest, float(np.nanmax(distance, initial=0)))
    if not n:
        return []
    by_parts = {"array": name, "values": n, "of": a.size}
    return [_sized(f"{name}: {n} of {a.size} values", by_parts, largest, n_missing)]


def _blocks(a: h5py.Dataset, b: h5py.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read two arrays of one shape side by side, at most :data:`BLOCK` elements at a time."""
    if not a.shape:
        yield np.asarray(a[()]), np.asarray(b[()])
        return
    rows = max(1, BLOCK * len(a) // max(1, a.size))
    for start in range(0, len(a), rows):
        yield a[start : start + rows], b[start : start + rows]
