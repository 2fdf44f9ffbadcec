"""Questions of the user's own: differences and trends of any column, decided like claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from repbias.base.statistics import Estimate, slopes_left_out
from repbias.claims.evidence import Result, result_of, undecided
from repbias.config.questions import Question, Rows, Wanted

if TYPE_CHECKING:
    import pandas as pd

#: "experiment/condition" to the values of settings by their dotted paths.
Settings = Mapping[str, Mapping[str, Any]]
#: The columns that name a unit. In the conditions of an experiment, networks of one seed share the
#: order of their batches, and training sets and initial weights where conditions have the same
#: (with `initial_weights: own`, all but the weights): without the condition, these columns name
#: what is independent.
UNITS = {"networks": ("experiment", "condition", "seed"), "subjects": ("recording", "subject")}
#: When a question is asked that names no time, of tables that have several.
SNAPSHOTS = ("final", "mastered")
#: Of `left_out`: all candidates take part.
NONE_LEFT_OUT = -1


def axis_range(
    question: Question, table: pd.DataFrame, settings: Settings
) -> tuple[float, float] | None:
    """Return the lowest and the highest value of a trend's axis at which networks are included.

    Parameters
    ----------
    question
        The question.
    table
        All rows of its table.
    settings
        "experiment/condition" to the values of settings by path, where the axis is one.

    Returns
    -------
    tuple of float, or None
        None for a difference, and where there are no such networks.
    """
    if question.trend is None:
        return None
    rows = _with_settings(table, question, settings)
    rows = _included(question, rows[_matching(rows, question.where)])
    rows = rows[np.logical_or.reduce([_matching(rows, side) for side in question.sides()])]
    axis = rows[question.trend].dropna().astype(float)
    return (axis.min(), axis.max()) if len(axis) else None


def sides_of(columns: tuple[str, ...], units: str) -> list[tuple[str, ...]] | None:
    """Return the columns that name the one or two units of a row; None where a table has none.

    Parameters
    ----------
    columns
        Of the table.
    units
        "networks" or "subjects".
    """
    names = UNITS[units]
    if set(names) <= set(columns):
        return [names]
    sides = [tuple(c if c in columns else f"{c}{end}" for c in names) for end in ("_a", "_b")]
    return sides if all(set(side) <= set(columns) for side in sides) else None


def snapshots_of(question: Question, columns: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return the times at which a question is decided; None where its rows say when."""
    asked = "snapshot" in columns and not {"snapshot", "step"} & question.named()
    return SNAPSHOTS if asked else (None,)


def accepts(column: str, value: Any, wanted: Wanted) -> bool:
    """Return whether a filter lets a value pass; names of conditions may be patterns.

    Examples
    --------
    >>> accepts("condition", "init_scale=1,weight_decay=0", ["*weight_decay=0", "base"])
    True
    """
    for option in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(option, str) and column.startswith("condition"):
            found = fnmatchcase(value, option)
        elif is_number(option) and is_number(value):
            found = math.isclose(value, option, rel_tol=1e-6)  # tables have nine digits
        else:
            found = is_number(option) == is_number(value) and bool(value == option)
        if found:
            return True
    return False


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a number, and not true or false."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def conditions_of(rows: Rows, settings: Settings) -> list[str]:
    """Return the conditions ("experiment/condition") that filters let pass."""
    found = []
    for name, values in settings.items():
        experiment, _, condition = name.partition("/")
        about = {"experiment": experiment, "condition": condition, **values}
        asked = {c: wanted for c, wanted in rows.items() if c in about or "." in c}
        if all(c in about and accepts(c, about[c], wanted) for c, wanted in asked.items()):
            found.append(name)
    return found


def crossed_settings(question: Question, settings: Settings) -> tuple[list[str], bool]:
    """Return settings that vary beside what is compared, and whether they are crossed with it.

    Crossed with a trend are settings at one of whose levels the axis varies; with a difference,
    those that have the same levels on both sides. Their levels are compared one by one, and the
    effects averaged.
    """
    sides = [
        {n: settings[n] for n in conditions_of(question.where | side, settings)}
        for side in question.sides()
    ]
    axis = question.trend or ""
    together = {name: values for side in sides for name, values in side.items()}
    paths: list[str] = []
    for path in dict.fromkeys(p for values in together.values() for p in values):
        levels = [{str(values.get(path)) for values in side.values()} for side in sides]
        moves = axis == path or axis.startswith(f"{path}.")
        inside = any(path.startswith(f"{section}.") for section in paths)
        same = len(levels[0]) > 1 and all(found == levels[0] for found in levels)
        if same and not moves and not inside:
            paths.append(path)
    if "." not in axis:
        return paths, True
    on_axis: dict[tuple[str, ...], set[Any]] = {}
    for values in together.values():
        at = tuple(str(values.get(path)) for path in paths)
        on_axis.setdefault(at, set()).add(values.get(axis))
    return paths, any(len(levels) > 1 for levels in on_axis.values())


def measure_of(question: Question, settings: Settings | None = None) -> str:
    """Say what is compared, and what is averaged over.

    Parameters
    ----------
    question
        The question.
    settings
        Of all conditions of the study.

    Examples
    --------
    >>> measure_of(Question(asks="?", table="probes", column="accuracy", where={"probe": "linear"},
    ...                     this={"feature": "a"}, minus={"feature": "b"}))
    'accuracy of probes (probe linear): feature a minus feature b'
    """

    def words(rows: Rows) -> str:
        return ", ".join(
            f"{column} {' or '.join(map(str, value)) if isinstance(value, list) else value}"
            for column, value in rows.items()
        )

    what = f"{question.column} of {question.table}"
    if question.where:
        what += f" ({words(question.where)})"
    of = [f"{words(question.this)} minus {words(question.minus)}"] if question.this else []
    of += [f"slope over {question.trend}"] if question.trend is not None else []
    paths, crossed = crossed_settings(question, settings or {})
    if paths:
        of.append(f"{'averaged over' if crossed else 'along with'} {' and '.join(paths)}")
    return f"{what}: {', '.join(of)}"


def answer(
    question: Question,
    table: pd.DataFrame,
    layers: Mapping[str, str],
    rdm_similarity: str,
    snapshot: str | None,
    settings: Settings,
) -> Result:
    """Decide a question from its table.

    Parameters
    ----------
    question
        The question.
    table
        All rows of its table.
    layers
        "experiment/condition" to its analysed layer.
    rdm_similarity
        The one that is meant where none is named.
    snapshot
        "final" or "mastered"; None where the question's own filters say when.
    settings
        "experiment/condition" to the values of the settings that vary, by path.
    """
    sides = sides_of(tuple(table.columns), question.units)
    assert sides is not None  # checked with the configuration
    rows = _with_settings(table, question, settings)
    rows = rows[_matching(rows, question.where)]
    # A pair may be of a network with itself, or of networks that began with the same weights.
    if len(sides) == 2 and question.units == "networks":
        rows = rows[rows["seed_a"] != rows["seed_b"]]
    if question.units == "subjects":
        rows = rows[np.logical_and.reduce([rows[side[-1]] != "" for side in sides])]
    rows = _by_default(question, rows, layers, rdm_similarity)
    rows = rows.assign(**{f"side{k}": _matching(rows, w) for k, w in enumerate(question.sides())})
    rows["x"] = rows[question.trend].astype(float) if question.trend is not None else 0.0
    compared = [f"side{k}" for k, _ in enumerate(question.sides())]
    rows = rows[rows[compared].any(axis=1) & np.isfinite(rows["x"])]
    asked = rows
    if snapshot is not None:
        rows = rows[rows["snapshot"] == snapshot]
    rows = _included(question, rows)
    rows = rows[np.isfinite(rows[question.column].astype(float))]
    cells = _cells(question, rows, sides, _crossed(question, rows, settings))
    independent = [tuple(c for c in side if not c.startswith("condition")) for side in sides]
    n_asked, n_networks = (_count(asked, names) for names in (independent, sides))
    noun = "seeds" if n_networks > n_asked else question.units
    units = sorted({*cells["unit0"], *cells["unit1"]})
    averaged, crossed = crossed_settings(question, settings)
    remarks = [f"averaged over {' and '.join(averaged)}"] if averaged and crossed else []
    remarks += _missing_levels(question, asked, rows, cells)
    n_missing = n_networks - _count(rows, sides)
    if noun == "seeds" and n_missing:
        remarks.append(f"{n_missing} of {n_networks} networks left out")
    estimate = _estimate(cells, units) if units else None
    n_excluded = n_asked - len(units)
    if estimate is None:
        remark = "; ".join([*remarks, f"too few {noun}"])
        return undecided(len(units), n_excluded, remark=remark)
    return result_of(estimate, len(units), n_excluded, remark="; ".join(remarks), noun=noun)


def _included(question: Question, rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out networks below the inclusion criterion, unless the question names it."""
    if "included" not in question.named():
        for column in (c for c in rows if c in ("included", "included_a", "included_b")):
            rows = rows[rows[column].astype(bool)]
    return rows


def _with_settings(table: pd.DataFrame, question: Question, settings: Settings) -> pd.DataFrame:
    """Add a column of every setting that a question names; a trend is over numbers only."""
    paths = sorted(path for path in question.named() - {*table.columns} if "." in path)
    if not paths:
        return table
    names = table["experiment"] + "/" + table["condition"]
    found = {}
    for path in paths:
        values = {name: about.get(path) for name, about in settings.items()}
        if path == question.trend:
            values = {n: v for n, v in values.items() if is_number(v)}
        found[path] = names.map(values)
    return table.assign(**found)


def _matching(table: pd.DataFrame, wanted: Rows) -> np.ndarray:
    """Return whether each row has what is wanted."""
    matching = np.ones(len(table), bool)
    for column, value in wanted.items():
        options = [v for v in table[column].unique() if accepts(column, v, value)]
        matching &= table[column].isin(options).to_numpy()
    return matching


def _by_default(
    question: Question, rows: pd.DataFrame, layers: Mapping[str, str], rdm_similarity: str
) -> pd.DataFrame:
    """Keep the rows that are meant where a question does not say which."""
    named = question.named()
    if "rdm_similarity" in rows and "rdm_similarity" not in named:
        rows = rows[rows["rdm_similarity"] == rdm_similarity]
    if "left_out" in rows and "left_out" not in named:
        rows = rows[rows["left_out"] == NONE_LEFT_OUT]
    for end in ("", "_a", "_b"):
        if f"layer{end}" in rows and f"condition{end}" in rows and "layer" not in named:
            names = rows["experiment"] + "/" + rows[f"condition{end}"]
            # Models of the user's own have no analysed layer.
            rows = rows[rows[f"layer{end}"] == names.map(layers).fillna(rows[f"layer{end}"])]
    return rows


def _crossed(question: Question, rows: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return, of every row, the levels of settings that are not compared but held fixed."""
    import pandas as pd

    if "condition" not in rows:
        return pd.Series("", index=rows.index)
    names = rows["experiment"] + "/" + rows["condition"]
    sides = [{*names[rows[f"side{k}"]]} for k, _ in enumerate(question.sides())]
    if "." not in (question.trend or "") and all(side == sides[0] for side in sides):
        return names
    paths, _ = crossed_settings(question, settings)
    levels = {n: ",".join(str(about.get(p)) for p in paths) for n, about in settings.items()}
    return names.map(lambda name: levels.get(name, ""))


def _units(rows: pd.DataFrame, side: tuple[str, ...]) -> pd.Series:
    """Name the unit of each row, behind that of its group."""
    return rows[side[0]] + "\t" + rows[side[-1]].astype(str)


def _count(rows: pd.DataFrame, sides: list[tuple[str, ...]]) -> int:
    """Count what columns name on either side."""
    return len(set().union(*(rows[[*side]].itertuples(index=False, name=None) for side in sides)))


def _cells(
    question: Question, rows: pd.DataFrame, sides: list[tuple[str, ...]], crossed: pd.Series
) -> pd.DataFrame:
    """Return what is regressed on what, and by which blocks, so that units count alike.

    Values of a unit (or a pair of units) at a value of the axis are averaged first; of a
    difference, the axis is 1 on the side of `this` and 0 on the other, and of the trend of a
    difference, values are differences within units. Units are compared with themselves, and at
    equal levels of crossed settings, as far as the axis varies within these; where it does not,
    with each other. Blocks in which it does not vary say nothing of it and are left out.

    Returns
    -------
    pandas.DataFrame
        Columns unit0 and unit1 (equal, if it is not of pairs), x, y and block.
    """
    import pandas as pd

    names = np.sort([_units(rows, side).to_numpy(str) for side in sides], axis=0)
    frame = pd.DataFrame({"unit0": names[0], "unit1": names[-1], "crossed": crossed.to_numpy()})
    frame = frame.assign(x=rows["x"].to_numpy(), y=rows[question.column].to_numpy(float))
    keys = ["unit0", "unit1", "crossed", "x"]
    parts = [
        frame[rows[f"side{k}"].to_numpy()].groupby(keys, as_index=False)["y"].mean()
        for k, _ in enumerate(question.sides())
    ]
    cells = parts[0]
    if len(parts) == 2 and question.trend is None:
        cells = pd.concat([parts[0].assign(x=1.0), parts[1]], ignore_index=True)
    elif len(parts) == 2:
        cells = parts[0].merge(parts[1], on=keys, suffixes=("", "_minus"))
        cells["y"] -= cells.pop("y_minus")
    group = cells["unit0"].str.partition("\t")[0] if len(cells) else cells["unit0"]
    pair = ["unit0", "unit1"]
    for by in ([*pair, "crossed"], pair, ["crossed"], []):
        block = cells.groupby(by).ngroup() if by else 0
        found = cells.assign(block=block)
        found = found[found.groupby("block")["x"].transform("nunique") > 1]
        if {*group[found.index]} == {*group}:
            break
    return found


def _missing_levels(
    question: Question, asked: pd.DataFrame, rows: pd.DataFrame, cells: pd.DataFrame
) -> list[str]:
    """Say at which levels of a setting nothing was included."""
    levels, found = (set(table["x"]) for table in (asked, cells if len(cells) else rows))
    if "." not in (question.trend or "") or found == levels:
        return []
    lacking, left = (" and ".join(f"{x:g}" for x in sorted(s)) for s in (levels - found, found))
    axis, unit = str(question.trend).rpartition(".")[2], question.units.removesuffix("s")
    return [f"no {unit} at {axis}={lacking}{f'; slope over {left}' if len(cells) else ''}"]


def _estimate(cells: pd.DataFrame, units: list[str]) -> Estimate | None:
    """Estimate the slope within blocks; its error from what it is without each unit."""
    number = {unit: i for i, unit in enumerate(units)}
    members = np.stack([cells[name].map(number) for name in ("unit0", "unit1")])
    x, y, block = (cells[name].to_numpy() for name in ("x", "y", "block"))
    slopes = slopes_left_out(x, y, block, members, len(units))
    if not np.isfinite(slopes).all():
        return None
    groups = np.array([unit.partition("\t")[0] for unit in units])
    left_out = [slopes[1:][groups == group] for group in dict.fromkeys(groups)]
    return Estimate.of_left_out(float(slopes[0]), left_out)
