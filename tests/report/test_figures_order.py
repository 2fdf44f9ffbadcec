"""How R² falls from one report of a transformer to the next."""

import numpy as np
import pandas as pd
import pytest

from repbias.config.orders import balanced_orders
from repbias.report.figures import DRAWINGS
from repbias.report.figures.order import order
from repbias.tables import TABLES, as_table

FEATURES = ("a", "b", "c", "d")


def tables_of(falls, n_tasks=4):
    """Experiments in which R² falls by as much from answer to answer, and differs by feature."""
    rows = {"learning": [], "variance_explained": []}
    reported, layers = {}, {}
    for experiment, fall in falls.items():
        for task in range(n_tasks):
            for number, numbers in enumerate(balanced_orders(4)):
                condition = f"task={task},order={number}"
                names = [FEATURES[i] for i in numbers]
                reported[f"{experiment}/{condition}"] = {"task": task, "order": names}
                layers[f"{experiment}/{condition}"] = "encoder2"
                about = {"experiment": experiment, "condition": condition, "network": "seed0"}
                about |= {"included": True, "layer": "encoder2"}
                for f, feature in enumerate(FEATURES):
                    r2 = (
                        0.5
                        - 0.1 * f
                        - fall * names.index(feature)
                        + 0.01 * task * names.index(feature)
                    )
                    for step, snapshot in ((0, "initial"), (100, "grid"), (200, "final")):
                        seen = about | {"feature": feature, "step": step, "snapshot": snapshot}
                        rows["variance_explained"].append(
                            blank("variance_explained") | seen | {"r2": r2 * step / 200}
                        )
                        rows["learning"].append(
                            blank("learning") | seen | {"accuracy": 0.5 + step / 400}
                        )
    tables = {name: as_table(name, keep(name, given)) for name, given in rows.items()}
    return tables, layers, reported | {"other/base": {"task": 0, "order": list(FEATURES)}}


def blank(name):
    types = TABLES[name].types
    return {c: {str: "", bool: False, int: 0, float: np.nan}[t] for c, t in types.items()}


def keep(name, rows):
    return [{c: row[c] for c in TABLES[name].columns} for row in rows]


def test_falls_are_those_of_the_tasks_and_their_means():
    figure, data = order(*tables_of({"fed": 0.08, "unfed": 0.0}))
    tasks = data[data["task"].notna()]
    expected = np.concatenate([fall - 0.01 * np.arange(4) for fall in (0.08, 0.0)])
    np.testing.assert_allclose(tasks["fall"], expected, atol=1e-12)
    means = data[data["n"].notna()].set_index("networks")
    assert means["fall"].to_dict() == pytest.approx({"fed": 0.065, "unfed": -0.015})
    assert (means["ci_low"] < means["fall"]).all()
    top, *others = figure.axes
    assert [t.get_text() for t in top.get_yticklabels()] == ["fed", "unfed"]
    assert len(others) == 6
    by_place = others[0].lines[-2]
    np.testing.assert_allclose(np.diff(by_place.get_ydata()), -0.065, atol=1e-12)
    r2 = {line.get_color(): line.get_ydata() for line in others[1].lines}
    assert len(r2) == 4
    assert all(values[0] == 0 for values in r2.values())
    # Means over features (.5 to .2) and over tasks, untrained and at the end.
    ends = [values[-1] for values in r2.values()]
    np.testing.assert_allclose(ends, 0.35 - 0.065 * np.arange(4), atol=1e-12)
    labels = [label.get_text() for label in others[1].get_xticklabels()]
    assert labels == ["untrained", "mastered", "end"]


@pytest.mark.parametrize("n", [0, 1])
def test_networks_of_one_order_are_left_out(n):
    tables, layers, reported = tables_of({"fed": 0.1}, n_tasks=1)
    first = dict(list(reported.items())[:n])
    figure, data = order(tables, layers, first)
    assert data.empty
    assert "no experiment varies the order" in figure.axes[0].texts[0].get_text()
    assert isinstance(data, pd.DataFrame)


def test_networks_of_one_experiment_are_apart_by_what_else_varies():
    tables, _, reported = tables_of({"fed": 0.1}, n_tasks=2)

    def varied(name):
        return f"answers=fed,{name}"

    tables = {n: t.assign(condition=t["condition"].map(varied)) for n, t in tables.items()}
    keep = {f"fed/{varied(name.partition('/')[2])}": v for name, v in reported.items()}
    _, data = order(tables, dict.fromkeys(keep, "encoder2"), keep)
    assert set(data["networks"]) == {"fed, answers=fed"}


def test_excluded_networks_are_told_apart_from_one_order():
    tables, layers, reported = tables_of({"fed": 0.1}, n_tasks=1)
    tables["variance_explained"]["included"] = False
    figure, _ = order(tables, layers, reported)
    assert "inclusion criterion" in figure.axes[0].texts[0].get_text()


def test_an_experiment_of_many_conditions_has_panels_of_the_first():
    tables, layers, _ = tables_of({"many": 0.1}, n_tasks=7)
    few, some, _ = tables_of({"few": 0.1}, n_tasks=2)
    tables = {name: pd.concat([tables[name], few[name]]) for name in tables}
    tables = {name: as_table(name) for name in TABLES} | tables
    for name in ("learning", "variance"):
        figure, data = DRAWINGS[name](tables, layers | some)
        panels = [axis for axis in figure.axes if axis.get_title()]
        assert len(panels) == 4 + 8
        assert data["condition"].nunique() == 28, "the numbers of all are in the table"
    figure, data = DRAWINGS["sweeps"](tables, layers | some)
    assert set(data["experiment"]) == {"few"}
