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
            "blocks/*/values": "trial, unit, time",
            "blocks/*/trials": "trial",
            "blocks/*/units": "unit",
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
#: What is told of a file's record.
MADE = ("rule", "wildcards", "finished", "seconds", "config", "code", "commit", "versions", "host")
MADE += ("inputs", "settings")
#: Settings that random numbers start from, or that say how many do.
SEEDS = ("seed", "seeds")


def run(file: Path) -> tuple[int, dict[str, Any]]:
    """Print what a file is and how it was made; return the exit code, and the same by its parts."""
    if not file.exists():
        raise RepbiasError(f"{file}: no such file or folder")
    with readable(file, "a result of a study"):
        if file.is_dir():
            shown = _study(file)
        else:
            shown = _content(file) | {"made": _origin(file)}
            shown["lines"] += _in_words(shown["made"])
    print(file)
    print("\n".join(f"  {line}".rstrip() for line in shown.pop("lines")))
    return 0, {"file": file, **shown}


def _content(path: Path) -> dict[str, Any]:
    """Describe a file: the lines that are printed, and their parts."""
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


def _hdf5(path: Path) -> dict[str, Any]:
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


def _parts(file: h5py.File, kind: str) -> dict[str, Any]:
    """Describe every attribute and array of a file; of several conditions, those of the first."""
    import h5py

    what, axes_of = KINDS[kind]
    attributes = dict(file.attrs)
    content: h5py.Group = file
    conditions: list[str] = []
    # What describes a condition is an attribute of the file, or of a group for each condition.
    if file.keys() and all(name.startswith("repbias_") for name in attributes):
        conditions = list(file)
        content = member(file.filename, file, conditions[0])
        attributes |= content.attrs
        what += f" of {count(len(conditions), 'condition')}: {some(conditions)}"
        what += f"; those of {conditions[0]}:" * (len(conditions) > 1)
    texts = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in attributes.items()}
    rows = [(f"@{name}", _cut(text)) for name, text in texts.items()]
    arrays: dict[str, dict[str, Any]] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            axes = next((a for part, a in axes_of.items() if fnmatch(name, part)), "").split(", ")
            axes = (axes + [""] * item.ndim)[: item.ndim]
            pairs = zip(item.shape, axes, strict=True)
            shape = " x ".join(f"{n} {axis}".strip() for n, axis in pairs) or "a single value"
            dtype = "text" if h5py.check_string_dtype(item.dtype) else str(item.dtype)
            rows.append((name, f"{shape}, {dtype}"))
            arrays[name] = {"shape": item.shape, "axes": axes, "type": dtype}

    content.visititems(visit)
    return {
        "lines": [what, *_aligned(rows)],
        "kind": kind,
        "conditions": conditions,
        "attributes": texts,
        "arrays": arrays,
    }


def _table(path: Path) -> dict[str, Any]:
    from repbias.tables import read_any
    from repbias.tables.reference import column_meaning, row_meaning
    from repbias.tables.renamed import refuse_older

    name, table = read_any(path)
    refuse_older(path, table)
    columns = {c: _values(table[c]) for c in table}
    if name is None:
        first = f"numbers of a figure, or another table; {count(len(table), 'row')}"
    else:
        first = f"table {name}, {count(len(table), 'row')}; a row is {row_meaning(name)}"
        for c, column in columns.items():
            column["meaning"] = column_meaning(name, c).replace("`", "")
    told = ("text", "meaning") if name else ("text",)
    rows = [(c, *(column[key] for key in told)) for c, column in columns.items()]
    return {
        "lines": [first, *_aligned(rows)],
        "kind": "table",
        "table": name,
        "rows": len(table),
        "columns": columns,
    }


def _values(column: pd.Series) -> dict[str, Any]:
    """Say what is in a column: its range, or its first values."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    n_empty = int(column.isna().sum())
    if n_empty == len(column):
        return {"text": "empty", "empty": n_empty}
    if is_bool_dtype(column):
        n = int(column.sum())
        return {"text": f"true in {n}", "true": n}
    if is_numeric_dtype(column):
        low, high = column.min(), column.max()
        text = f"{low:.4g} to {high:.4g}" + (f", {n_empty} empty" if n_empty else "")
        return {"text": text, "min": low, "max": high, "empty": n_empty}
    values = column.unique()
    text = some(values, 2) if len(values) < 3 else f"{some(values[:2])}, ... {len(values)}"
    return {"text": _cut(text), "values": values.tolist()}


def _figure(path: Path) -> dict[str, Any]:
    from repbias.report.captions import caption_of

    caption = caption_of(path.resolve())
    if caption is None:
        return {"lines": ["a figure of another version of repbias"], "kind": "figure"}
    lines = [f"figure {path.stem}: {caption.title}", caption.text]
    return {"lines": lines, "kind": "figure", "title": caption.title, "caption": caption.text}


def _page(path: Path) -> dict[str, Any]:
    title = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL)
    if title is None:
        return {"lines": ["a page"], "kind": "page"}
    return {
        "lines": [f"a report: {title[1].strip()}"],
        "kind": "report",
        "title": title[1].strip(),
    }


def _config(path: Path) -> dict[str, Any]:
    from repbias.config.file import read_config

    settings = read_config(path)
    lines = ["a configuration", *_aligned(_shortened_settings(settings))]
    return {"lines": lines, "kind": "configuration", "settings": settings}


def _origin(path: Path) -> dict[str, Any] | None:
    """Return how a file was made, and whether it is still what was written; None if not known."""
    made, results = provenance.record_of(path), provenance.results_of(path)
    if made is None or results is None:
        return None
    name = path.resolve().relative_to(results).as_posix()
    changed = made["outputs"][name] != provenance.digest(path)
    return {key: made[key] for key in MADE} | {"changed": changed}


def _in_words(made: dict[str, Any] | None) -> list[str]:
    """Return the lines that say how a file was made."""
    if made is None:
        return ["", "how it was made is not known: no record of it in a folder 'provenance'"]
    inputs = [
        n if digest is None else f"{n} ({digest[:12]})" for n, digest in made["inputs"].items()
    ]
    settings = {path: _cut(value) for path, value in provenance.by_path(made["settings"]).items()}
    seeds = [f"{path} {value}" for path, value in settings.items() if path.split(".")[-1] in SEEDS]
    facts = {
        "made by": " ".join([made["rule"], *made["wildcards"].values()]),
        "finished": f"{made['finished']}, after {made['seconds']} s",
        "content": "CHANGED since it was written" if made["changed"] else "as it was written",
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


def _study(folder: Path) -> dict[str, Any]:
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
    left_over = provenance.left_over(folder)
    if left_over:
        words = f"{some(left_over, 8)}: tables of an earlier configuration"
        rows.append(("left over", words))
    versions = summary(made)
    return {
        "lines": _aligned([*rows, *((name, "; ".join(v)) for name, v in versions.items())]),
        "kind": "study",
        "outputs": len(made),
        "changed": changed,
        "gone": gone,
        "last": rows[1][1],
        "left_over": left_over,
        "versions_and_hosts": versions,
    }


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
