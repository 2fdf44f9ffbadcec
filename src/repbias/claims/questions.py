"""Questions of the user's own: differences and trends of any column, decided like claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.statistics import Estimate
from repbias.claims.evidence import Result, result_of, undecided
from repbias.config.questions import Question, Rows

if TYPE_CHECKING:
    import pandas as pd

#: What a unit is: the columns that name it, and those of them that name its group.
UNITS = {
    "networks": (("experiment", "condition", "seed"), ("experiment", "condition")),
    "subjects": (("recording", "subject"), ("recording",)),
}
#: When a question is asked that names no time, of tables that have several.
SNAPSHOTS = ("final", "mastered")
#: Of `left_out`: all candidates take part.
NONE_LEFT_OUT = -1


def axis_range(
    question: Question, table: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]]
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
    for path in [path for path in question.named() if "." in path]:
        names = table["experiment"] + "/" + table["condition"]
        values = {name: about.get(path) for name, about in settings.items()}
        table = table.assign(**{path: names.map(values)})
    rows = table[_matching(table, question.where)]
    if "included" not in question.named():
        for column in (c for c in rows if c in ("included", "included_a", "included_b")):
            rows = rows[rows[column].astype(bool)]
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
    names = UNITS[units][0]
    if set(names) <= set(columns):
        return [names]
    sides = [tuple(c if c in columns else f"{c}{end}" for c in names) for end in ("_a", "_b")]
    return sides if all(set(side) <= set(columns) for side in sides) else None


def snapshots_of(question: Question, columns: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return the times at which a question is decided; None where its rows say when."""
    asked = "snapshot" in columns and not {"snapshot", "step"} & question.named()
    return SNAPSHOTS if asked else (None,)


def measure_of(question: Question) -> str:
    """Say what is compared.

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
    if question.trend is not None:
        return f"{what}: slope over {question.trend}"
    return f"{what}: {words(question.this)} minus {words(question.minus)}"


def answer(
    question: Question,
    table: pd.DataFrame,
    layers: Mapping[str, str],
    rdm_similarity: str,
    snapshot: str | None,
    axis: Mapping[str, float],
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
    axis
        For a trend over a setting: "experiment/condition" to its value.
    """
    sides = sides_of(tuple(table.columns), question.units)
    assert sides is not None  # checked with the configuration
    rows = table[_matching(table, question.where)]
    # A pair may be of a network with itself, or of networks that began with the same weights.
    if len(sides) == 2 and question.units == "networks":
        rows = rows[rows["seed_a"] != rows["seed_b"]]
    if question.units == "subjects":
        rows = rows[np.logical_and.reduce([rows[side[-1]] != "" for side in sides])]
    rows = _by_default(question, rows, layers, rdm_similarity)
    weights = _weights(question, rows, axis)
    asked = rows[np.any([~np.isnan(w) for w in weights], axis=0)]
    n_asked = len(set().union(*(_units(asked, side) for side in sides)))
    wanted = np.ones(len(rows), bool)
    if snapshot is not None:
        wanted &= (rows["snapshot"] == snapshot).to_numpy()
    if "included" not in question.named():
        for column in (c for c in rows if c in ("included", "included_a", "included_b")):
            wanted &= rows[column].astype(bool).to_numpy()
    values = rows[question.column].to_numpy(float)
    wanted &= np.isfinite(values) & np.any([~np.isnan(w) for w in weights], axis=0)
    rows, values = rows[wanted], values[wanted]
    weights = [w[wanted] for w in weights]
    names = [_units(rows, side) for side in sides]
    units = sorted(set().union(*names))
    n_excluded = n_asked - len(units)
    estimate = _estimate(question, values, weights, names, units) if units else None
    if estimate is None:
        return undecided(len(units), n_excluded, remark=f"too few {question.units}")
    return result_of(estimate, len(units), n_excluded, noun=question.units)


def _matching(table: pd.DataFrame, wanted: Rows) -> np.ndarray:
    """Return whether each row has what is wanted."""
    matching = np.ones(len(table), bool)
    for column, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        found = table[column].to_numpy()
        if table[column].dtype == float:  # tables have nine digits
            near = [np.isclose(found, float(v), rtol=1e-6) for v in values]
            matching &= np.any(near, axis=0)
        else:
            matching &= np.isin(found, values)
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


def _weights(question: Question, rows: pd.DataFrame, axis: Mapping[str, float]) -> list[np.ndarray]:
    """Return what each row is compared by, NaN where it takes no part.

    For a difference, its two sides; for a trend, the axis.
    """
    if question.trend is None:
        sides = (_matching(rows, side) for side in (question.this, question.minus))
        return [np.where(side, 1.0, np.nan) for side in sides]
    if question.trend in rows:
        return [rows[question.trend].to_numpy(float)]
    return [(rows["experiment"] + "/" + rows["condition"]).map(dict(axis)).to_numpy(float)]


def _units(rows: pd.DataFrame, side: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Name the unit of each row."""
    return list(rows[list(side)].astype(str).itertuples(index=False, name=None))


def _estimate(
    question: Question,
    values: np.ndarray,
    weights: list[np.ndarray],
    names: list[list[tuple[str, ...]]],
    units: list[tuple[str, ...]],
) -> Estimate | None:
    """Estimate a difference of means or a slope, each unit left out of all of its rows in turn.

    Where units have unequal numbers of rows, a unit (or a pair of them) counts once: its rows on
    a side, or at a value of the axis, are averaged first.
    """
    import pandas as pd

    number = {unit: i for i, unit in enumerate(units)}
    keys = {f"unit{k}": [number[unit] for unit in side] for k, side in enumerate(names)}
    frames = []
    for k, weight in enumerate(weights):
        frame = pd.DataFrame({**keys, "x": weight, "y": values, "side": k})
        frames.append(frame.dropna().groupby([*keys, "x", "side"], as_index=False)["y"].mean())
    cells = pd.concat(frames, ignore_index=True)
    if question.trend is None:
        cells["x"] = np.where(cells["side"] == 0, 1.0, -1.0)
    # Row 0: all units; row i + 1: without unit i.
    kept = np.ones((len(units) + 1, len(cells)), bool)
    for key in keys:
        kept[cells[key].to_numpy() + 1, np.arange(len(cells))] = False
    x, y = cells["x"].to_numpy(), cells["y"].to_numpy()
    if question.trend is None:
        left, right = kept * (x > 0), kept * (x < 0)
        if not (left.sum(axis=1).all() and right.sum(axis=1).all()):
            return None
        statistic = left @ y / left.sum(axis=1) - right @ y / right.sum(axis=1)
    else:
        n = kept.sum(axis=1)
        if not n.all():
            return None
        centred = kept * (x - (kept @ x / n)[:, None])
        spread = (centred**2).sum(axis=1)
        if not (spread > 1e-12 * (x**2).max()).all():
            return None
        statistic = centred @ y / spread
    width = len(UNITS[question.units][1])
    groups = pd.Series([unit[:width] for unit in units])
    left_out = [statistic[1:][groups == group] for group in groups.unique()]
    return Estimate.of_left_out(float(statistic[0]), left_out)
