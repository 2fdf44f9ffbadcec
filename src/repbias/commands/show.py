"""``repbias show``: what a file of a study's results is, and how it was made."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.io import provenance
from repbias.io.untrusted import member, open_hdf5, readable

if TYPE_CHECKING:
    import h5py
    import pandas as pd

#: What our HDF5 files are, by their kind, and the axes of their parts (the first that fits).
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "stimuli": (
        "generated stimuli",
        {
            "inputs": "stimulus, input",
            "labels": "stimulus, feature",
            "component_labels": "stimulus, component",
            "supervised": "stimulus, feature",
            "*": "stimulus",
        },
    ),
    "networks": (
        "trained networks (all seeds)",
        {
            "weights/w*": "checkpoint, network, in, out",
            "weights/b*": "checkpoint, network, , out",
            "checkpoints/name": "checkpoint",
            "checkpoints/step": "checkpoint, network",
            "curves/step": "evaluation",
            "curves/loss": "evaluation, network",
            "curves/accuracy": "evaluation, network, feature",
            "networks/test_accuracy": "network, feature",
            "networks/mastery_step": "network, feature",
            "networks/*": "network",
        },
    ),
    "activations": (
        "activations of networks, by layer",
        {
            "layers/*": "network, stimulus, unit",
            "rdms/*": "network, pair",
            "networks/*": "network",
            "stimuli/*": "stimulus",
            "labels/*": "stimulus",
        },
    ),
    "recording": (
        "a recording in canonical form",
        {
            "responses": "trial, unit, time",
            "standard_errors": "trial, unit",
            "trials/*": "trial",
            "units/*": "unit",
            "stimuli/*": "stimulus",
            "rdms": "rdm, pair",
            "rdm_info/*": "rdm",
        },
    ),
    "rdms": (
        "RDMs in rsatoolbox's format",
        {
            "dissimilarities": "rdm, pair",
            "rdm_descriptors/*": "rdm",
            "pattern_descriptors/*": "stimulus",
        },
    ),
}
#: Settings that random numbers start from, or that say how many do.
SEEDS = ("seed", "seeds")


def run(file: Path) -> int:
    """Print what a file is and how it was made; return the exit code."""
    if not file.exists():
        raise RepbiasError(f"{file}: no such file or folder")
    print(file)
    with readable(file, "a result of a study"):
        lines = _study(file) if file.is_dir() else [*_content(file), *_origin(file)]
    print("\n".join(f"  {line}".rstrip() for line in lines))
    return 0


def _content(path: Path) -> list[str]:
    describe = {
        ".h5": _hdf5,
        ".csv": _table,
        ".svg": _figure,
        ".html": _page,
        ".yaml": _config,
    }.get(path.suffix)
    if describe is None:
        raise RepbiasError(
            f"{path}: no result of a study; expected .h5, .csv, .svg, .html or .yaml, or a "
            "study's folder of results (of data, ask: repbias inspect)"
        )
    return describe(path)


def _hdf5(path: Path) -> list[str]:
    from repbias.io.hdf5 import kind_of, open_checked

    with open_hdf5(path) as file:
        theirs = "rsatoolbox_version" in file.attrs and "dissimilarities" in file
        kind = "rdms" if theirs else kind_of(file)
        if kind == "rdms":
            return _parts(file, kind)
    if kind not in KINDS:
        raise RepbiasError(
            f"{path}: not a file of repbias (kind {kind!r}, expected one of {', '.join(KINDS)}); "
            "of data, ask: repbias inspect"
        )
    with open_checked(path, kind) as file:
        return _parts(file, kind)


def _parts(file: h5py.File, kind: str) -> list[str]:
    """Describe every attribute and array of a file; of several conditions, those of the first."""
    import h5py

    what, axes_of = KINDS[kind]
    attributes = dict(file.attrs)
    content: h5py.Group = file
    # What describes a condition is an attribute of the file, or of a group for each condition.
    if file.keys() and all(name.startswith("repbias_") for name in attributes):
        conditions = list(file)
        content = member(file.filename, file, conditions[0])
        attributes |= content.attrs
        what += f" of {count(len(conditions), 'condition')}: {some(conditions)}"
        what += f"; those of {conditions[0]}:" * (len(conditions) > 1)
    rows = [(f"@{name}", _shortened(value)) for name, value in attributes.items()]

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            axes = next((a for part, a in axes_of.items() if fnmatch(name, part)), "").split(", ")
            pairs = zip(item.shape, axes + [""] * item.ndim, strict=False)
            shape = " x ".join(f"{n} {axis}".strip() for n, axis in pairs) or "a single value"
            text = h5py.check_string_dtype(item.dtype)
            rows.append((name, f"{shape}, {'text' if text else item.dtype}"))

    content.visititems(visit)
    return [what, *_aligned(rows)]


def _table(path: Path) -> list[str]:
    from repbias.tables import read_any
    from repbias.tables.reference import column_meaning, row_meaning
    from repbias.tables.renamed import refuse_older

    name, table = read_any(path)
    refuse_older(path, table)
    if name is None:
        first = f"numbers of a figure, or another table; {count(len(table), 'row')}"
        return [first, *_aligned((c, _values(table[c])) for c in table)]
    first = f"table {name}, {count(len(table), 'row')}; a row is {row_meaning(name)}"
    return [
        first,
        *_aligned((c, _values(table[c]), column_meaning(name, c).replace("`", "")) for c in table),
    ]


def _values(column: pd.Series) -> str:
    """Say what is in a column: its range, or its first values."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if column.isna().all():
        return "empty"
    if is_bool_dtype(column):
        return f"true in {int(column.sum())}"
    if is_numeric_dtype(column):
        empty = f", {n} empty" if (n := int(column.isna().sum())) else ""
        return f"{column.min():.4g} to {column.max():.4g}{empty}"
    values = column.unique()
    return _cut(some(values, 2) if len(values) < 3 else f"{some(values[:2])}, ... {len(values)}")


def _figure(path: Path) -> list[str]:
    from repbias.report.captions import caption_of

    caption = caption_of(path.resolve())
    if caption is None:
        return ["a figure of another version of repbias"]
    return [f"figure {path.stem}: {caption.title}", caption.text]


def _page(path: Path) -> list[str]:
    title = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL)
    return [f"a report: {title[1].strip()}" if title else "a page"]


def _config(path: Path) -> list[str]:
    from repbias.config.file import read_config

    return ["a configuration", *_aligned(_shortened_settings(read_config(path)))]


def _origin(path: Path) -> list[str]:
    """Say how a file was made, and whether it is still what was written."""
    made, results = provenance.record_of(path), provenance.results_of(path)
    if made is None or results is None:
        return ["", "how it was made is not known: no record of it in a folder 'provenance'"]
    name = path.resolve().relative_to(results).as_posix()
    whole = made["outputs"][name] == provenance.digest(path)
    inputs = [
        n if digest is None else f"{n} ({digest[:12]})" for n, digest in made["inputs"].items()
    ]
    settings = {path: _cut(value) for path, value in provenance.by_path(made["settings"]).items()}
    seeds = [f"{path} {value}" for path, value in settings.items() if path.split(".")[-1] in SEEDS]
    facts = {
        "made by": " ".join([made["rule"], *made["wildcards"].values()]),
        "finished": f"{made['finished']}, after {made['seconds']} s",
        "content": "as it was written" if whole else "CHANGED since it was written",
        "configuration": made["config"],
        "code": str(made["code"]),
        "commit": made["commit"] or "none: the package is not a checkout",
        "versions": ", ".join(f"{name} {value}" for name, value in made["versions"].items()),
        "host": ", ".join(f"{name} {value}" for name, value in made["host"].items()),
        "seeds": some(seeds, 8) or "none of its own",
        "inputs": some(inputs, 8) or "none",
    }
    return [
        "",
        *_aligned(facts.items()),
        "",
        "settings",
        *(f"  {line}" for line in _aligned(settings.items())),
    ]


def _study(folder: Path) -> list[str]:
    """Sum up the records of a study."""
    made = provenance.records(folder)
    if not made:
        raise RepbiasError(
            f"{folder}: no records in {folder / 'provenance'}; expected the results "
            "of a study, such as results/quickstart"
        )
    now = {name: provenance.digest(folder / name) for name in made}
    changed = [n for n, found in now.items() if found not in (None, made[n]["outputs"][n])]
    gone = sum(found is None for found in now.values())
    state = f"{len(now) - gone - len(changed)} as they were written"
    state += f", {gone} gone" * bool(gone) + f", {len(changed)} CHANGED: " * bool(changed)
    rows = [
        ("outputs", f"{len(made)}: {state}{some(changed) if changed else ''}"),
        ("last", max(m["finished"] for m in made.values())),
    ]
    return _aligned([*rows, *((name, "; ".join(v)) for name, v in summary(made).items())])


def summary(made: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return every version, commit and host of a study's records; several where jobs differ."""
    found: dict[str, set[str]] = {}
    for entry in made.values():
        facts = {**entry["versions"], "commit": entry["commit"], **entry["host"]}
        for name, value in facts.items():
            found.setdefault(name, set()).add(str(value))
    return {name: sorted(values) for name, values in found.items()}


def _shortened_settings(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the sections of a configuration, each with its names or its value."""
    return [
        (name, some(value) if isinstance(value, dict) else _cut(str(value)))
        for name, value in settings.items()
    ]


def _shortened(value: Any) -> str:
    return _cut(value.decode() if isinstance(value, bytes) else str(value))


def _cut(text: str, width: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _aligned(rows: Any) -> list[str]:
    """Put rows of texts under each other; the last column is as long as it is."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
