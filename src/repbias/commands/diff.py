"""``repbias diff``: what differs between two runs of a study, or two files."""

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

#: What is compared in folders of results: what is measured, not what follows from it.
RESULTS = ("config.yaml", "*.h5", "tables/*.csv")
DERIVED = ("tables/parts/*", ".*", "*/.*", "logs/*", "benchmarks/*", "provenance/*")
#: Columns of numbers that say what a row is about; those of text do, but for the second list.
NUMBER_KEYS = {
    *("seed", "seed_a", "seed_b", "step", "step_a", "step_b", "strength", "n_components", "time_s"),
    *("left_out", "reliability_level", "is_generator"),
}
TEXT_RESULTS = {
    *("verdict", "warning", "named_layer", "true_layer", "interval", "convention", "statement"),
    *("ceiling_convention", "generalises_to", "source", "reference", "provenance"),
}
#: So many numbers are held at a time.
BLOCK = 2**24


def run(a: Path, b: Path) -> int:
    """Print what differs; return 1 if settings or results differ, else 0."""
    for path in (a, b):
        if not path.exists():
            raise RepbiasError(f"{path}: no such file or folder")
    if a.is_dir() != b.is_dir():
        raise RepbiasError(f"{a}, {b}: one is a file and one a folder; expected two of a kind")
    print(f"A: {a}\nB: {b}")
    with readable(f"{a}, {b}", "results of a study"):
        return _folders(a, b) if a.is_dir() else _files(a, b)


def _files(a: Path, b: Path) -> int:
    pair = [provenance.record_of(path) for path in (a, b)]
    _circumstances(*({"": made} if made else {} for made in pair))
    found = compare(a, b)
    _print("content", found or ["the same"])
    return 1 if found else 0


def _folders(a: Path, b: Path) -> int:
    _circumstances(provenance.records(a), provenance.records(b))
    files_a, files_b = results(a), results(b)
    if not files_a or not files_b:
        raise RepbiasError(f"{b if files_a else a}: no results of a study")
    same, different = 0, []
    for name in sorted(files_a | files_b):
        if name not in files_a or name not in files_b:
            different.append((name, [f"only in {'A' if name in files_a else 'B'}"]))
        elif found := _compared(a / name, b / name):
            different.append((name, found))
        else:
            same += 1
    for name, found in different:
        _print(name, found)
    print(f"\n{count(same, 'file')} the same, {len(different)} different")
    return 1 if different else 0


def _compared(a: Path, b: Path) -> list[str]:
    """Compare two of many files; one that cannot be read is a difference."""
    try:
        return compare(a, b)
    except RepbiasError as error:
        return [str(error)]


def results(folder: Path) -> set[str]:
    """Return the files of a study's results that are compared, by their paths below the folder."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in RESULTS)
        and not any(fnmatch(name, pattern) for pattern in DERIVED)
    }


def compare(a: Path, b: Path) -> list[str]:
    """Return what differs in content between two files of a kind; nothing if they are the same."""
    if a.suffix != b.suffix:
        raise RepbiasError(f"{a}, {b}: expected two files of a kind")
    # Files of the same size are mostly the same; then nothing need be understood.
    if a.stat().st_size == b.stat().st_size and provenance.digest(a) == provenance.digest(b):
        return []
    kinds = {".csv": compare_tables, ".h5": compare_hdf5, ".yaml": compare_settings}
    return kinds[a.suffix](a, b) if a.suffix in kinds else ["differs"]


def compare_settings(a: Path, b: Path) -> list[str]:
    """Return the settings that differ between two configurations, by their dotted paths."""
    return _differences(*(provenance.by_path(read_config(path)) for path in (a, b)))


def compare_tables(a: Path, b: Path) -> list[str]:
    """Return how two tables differ: in columns, in rows, and in values by how much."""
    from repbias.tables import read_any

    (_, left), (_, right) = read_any(a), read_any(b)
    both = [column for column in left if column in right]
    found = [f"column {c} only in A" for c in left if c not in both]
    found += [f"column {c} only in B" for c in right if c not in both]
    for column in both:
        if _is_key(left[column]) != _is_key(right[column]):  # text in one of them only
            left[column], right[column] = left[column].astype(str), right[column].astype(str)
    keys = [c for c in both if _is_key(left[c])]
    rows = [_numbered(table[both], keys) for table in (left, right)]
    merged = rows[0].merge(rows[1], on=[*keys, "#"], how="outer", indicator=True)
    sides = merged["_merge"].value_counts()
    for side, name in (("left_only", "A"), ("right_only", "B")):
        if sides[side]:
            found.append(f"{count(sides[side], 'row')} only in {name}")
    merged = merged[merged["_merge"] == "both"]
    for column in (c for c in both if c not in keys):
        found += _values(column, merged[f"{column}_x"], merged[f"{column}_y"])
    return found or ["the same values, written or ordered otherwise"]


def compare_hdf5(a: Path, b: Path) -> list[str]:
    """Return how two HDF5 files differ: in attributes, arrays, and values by how much."""
    with (
        readable(a, "a complete HDF5 file"),
        open_hdf5(a) as left,
        readable(b, "a complete HDF5 file"),
        open_hdf5(b) as right,
    ):
        attributes = [{f"@{k}": _text(v) for k, v in f.attrs.items()} for f in (left, right)]
        found = _differences(*attributes)
        arrays = [_arrays(left), _arrays(right)]
        for name in dict.fromkeys([*arrays[0], *arrays[1]]):
            if name not in arrays[0] or name not in arrays[1]:
                found.append(f"{name} only in {'A' if name in arrays[0] else 'B'}")
            else:
                found += _compare_arrays(name, arrays[0][name], arrays[1][name])
        return found


def _circumstances(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Print versions, commits and hosts that differ; on their own they are no difference."""
    if not a or not b:
        _print("versions and hosts", ["not known of both"])
        return
    left, right = ({k: "; ".join(v) for k, v in summary(made).items()} for made in (a, b))
    _print("versions and hosts", _differences(left, right) or ["the same"])


def _print(title: str, lines: list[str]) -> None:
    print(f"\n{title}")
    for line in lines:
        print(f"  {line}")


def _differences(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Return a line for every key with two values."""
    return [
        f"{key}: {a.get(key, 'none')} | {b.get(key, 'none')}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _is_key(column: pd.Series) -> bool:
    from pandas.api.types import is_numeric_dtype

    if is_numeric_dtype(column):
        return column.name in NUMBER_KEYS
    return column.name not in TEXT_RESULTS


def _numbered(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add a number that tells rows of equal keys apart."""
    same = table.groupby(keys, dropna=False).cumcount() if keys else range(len(table))
    return table.assign(**{"#": same})


def _values(column: str, a: pd.Series, b: pd.Series) -> list[str]:
    """Return how the values of a column differ."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    different = (a != b) & ~(a.isna() & b.isna())
    n = int(different.sum())
    if not n:
        return []
    numbers = all(is_numeric_dtype(side) and not is_bool_dtype(side) for side in (a, b))
    if not numbers:
        first = [f"{x} | {y}" for x, y in zip(a[different], b[different], strict=True)]
        return [f"{column}: {count(n, 'row')} of {len(a)} ({some(first, 2)})"]
    return [f"{column}: {count(n, 'row')} of {len(a)}{_largest(a[different], b[different])}"]


def _largest(a: Any, b: Any) -> str:
    """Say how far apart numbers are; nothing where one of each two is missing."""
    apart = np.abs(np.asarray(a, float) - np.asarray(b, float))
    missing = np.isnan(apart)
    said = f", up to {np.max(apart[~missing]):.3g}" if not missing.all() else ""
    return said + (f", {int(missing.sum())} missing on one side" if missing.any() else "")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _compare_arrays(name: str, a: h5py.Dataset, b: h5py.Dataset) -> list[str]:
    """Compare two arrays in blocks of their first axis."""
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return [f"{name}: {a.shape} {a.dtype} | {b.shape} {b.dtype}"]
    n, largest, missing = 0, 0.0, 0
    for x, y in _blocks(a, b):
        if a.dtype.kind not in "iufb":
            n += int((x != y).sum())
            continue
        apart = np.abs(x.astype(float) - y.astype(float))
        lost = np.isnan(x) != np.isnan(y)
        n += int((apart > 0).sum() + lost.sum())
        missing += int(lost.sum())
        largest = max(largest, float(np.nanmax(apart, initial=0)))
    if not n:
        return []
    said = f", up to {largest:.3g}" if largest else ""
    said += f", {missing} missing on one side" if missing else ""
    return [f"{name}: {n} of {a.size} values{said}"]


def _blocks(a: h5py.Dataset, b: h5py.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if not a.shape:
        yield np.asarray(a[()]), np.asarray(b[()])
        return
    rows = max(1, BLOCK * len(a) // max(1, a.size))
    for start in range(0, len(a), rows):
        yield a[start : start + rows], b[start : start + rows]
