"""Figures of sweeps and variance decompositions show the right means, intervals and counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from repbias.report.captions import FIGURES
from repbias.report.figures import DRAWINGS
from repbias.report.selection import over_networks, summarise

LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden1"}


def test_means_have_t_intervals_and_skip_missing_values():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"group": list("ab") * 8, "value": rng.normal(size=16)})
    table.loc[0, "value"] = np.nan
    summary = summarise(table, ["group"], "value").set_index("group")
    for group, n in (("a", 7), ("b", 8)):
        values = table.loc[table["group"] == group, "value"].dropna()
        half = t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)
        row = summary.loc[group]
        assert row["n"] == n == len(values)
        assert row["value"] == pytest.approx(values.mean())
        assert row["ci_high"] - row["value"] == pytest.approx(half, rel=0.05)
        assert row["value"] - row["ci_low"] == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize(
    ("column", "least", "most"),
    [
        *((name, 0, 1) for name in ("accuracy", "agreement", "flips", "follows_a")),
        *((name, -1, 1) for name in ("r", "similarity")),
        ("r2", -np.inf, 1),
        ("share", -np.inf, np.inf),
    ],
)
def test_intervals_of_means_end_where_values_can(column, least, most):
    """Of two networks, 12.7 standard errors on either side of .5."""
    table = pd.DataFrame({"group": "a", column: [0.2, 0.8]})
    (row,) = summarise(table, ["group"], column).itertuples()
    half = t.ppf(0.975, 1) * 0.3
    assert (row.ci_low, row.ci_high) == pytest.approx(
        (max(least, 0.5 - half), min(most, 0.5 + half)), rel=0.1
    )


def test_one_network_has_its_own_interval():
    table = pd.DataFrame(
        {"group": ["a", "b", "b"], "r": [0.5, 0.2, 0.3], "ci_low": [0.1, 0, 0], "ci_high": 0.7}
    )
    first, second = over_networks(table, ["group"], "r").itertuples()
    assert (first.ci_low, first.ci_high, first.n) == (0.1, 0.7, 1)
    half = t.ppf(0.975, 1) * 0.05
    assert second.ci_high == pytest.approx(0.25 + half, rel=0.1)


def test_sweeps_show_conditions_in_order_with_their_counts(make_tables):
    tables = make_tables(seeds=4)
    for name in ("learning", "variance_explained"):
        table = tables[name]
        table["included"] = (table["condition"] != "easy") | (table["seed"] != 3)
    figure, data = DRAWINGS["sweeps"](tables, LAYERS)
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["easy", "both"]
    assert {"3/4", "4/4"} <= {text.get_text() for text in axis.texts}
    assert len(data) == 2 * 2 * 2, "conditions, features, snapshots"
    table = tables["variance_explained"]
    for _, row in data.iterrows():
        values = table[
            (table["condition"] == row["condition"])
            & (table["layer"] == LAYERS[f"tasks/{row['condition']}"])
            & (table["feature"] == row["feature"])
            & (table["snapshot"] == row["snapshot"])
            & table["included"]
        ]["r2"]
        assert row["r2"] == pytest.approx(values.mean())
        assert (row["n"], row["n_included"]) == (len(values),) * 2
        assert row["n_networks"] == 4
        assert row["target"] == (row["condition"] in ("both", row["feature"]))


def test_sweeps_have_a_panel_for_every_experiment_that_varies_something(make_tables):
    tables = make_tables()
    layers = dict(LAYERS)
    for name in ("learning", "variance_explained"):
        table = tables[name]
        several = table.assign(experiment="more")
        alone = table[table["condition"] == "both"].assign(experiment="alone")
        tables[name] = pd.concat([table, several, alone], ignore_index=True)
    layers |= {f"{e}/{c}": "hidden1" for e in ("more", "alone") for c in ("easy", "both")}
    figure, data = DRAWINGS["sweeps"](tables, layers)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["tasks", "more"]
    assert set(data["experiment"]) == {"tasks", "more"}


def test_intervals_of_two_networks_end_where_r2_does(make_tables):
    """Above, in the panel; R² has no least value, so below they may not, which the caption says."""
    tables = make_tables(seeds=2)
    table = tables["variance_explained"]
    table["r2"] = np.where(table["seed"] == 0, 0.5, 0.9)
    figure, data = DRAWINGS["sweeps"](tables, LAYERS)
    low, high = figure.axes[0].get_xlim()
    half = t.ppf(0.975, 1) * 0.2
    assert list(data["ci_high"].unique()) == [1] and high > 1
    assert data["ci_low"].max() < low
    assert data["ci_low"].to_numpy() == pytest.approx(0.7 - half, rel=0.1)
    assert "lower ends may lie left of the panel" in FIGURES["sweeps"].text


@pytest.mark.parametrize("r2", [[-3.0, 0.2], [0.3, 0.31]])
def test_the_axis_of_sweeps_does_not_depend_on_the_values(r2, make_tables):
    tables = make_tables(conditions=("easy", "both"), seeds=3)
    table = tables["variance_explained"]
    table["r2"] = np.resize(r2, len(table))
    for name in ("learning", "variance_explained"):
        tables[name] = pd.concat([tables[name], tables[name].assign(experiment="more")])
    layers = LAYERS | {"more/easy": "hidden1", "more/both": "hidden1"}
    figure, _ = DRAWINGS["sweeps"](tables, layers)
    assert [axis.get_xlim() for axis in figure.axes] == [(-0.05, 1.05)] * 2


def test_dots_are_filled_at_the_end_and_open_at_first_mastery(make_tables):
    figure, data = DRAWINGS["sweeps"](make_tables(), LAYERS)
    (axis,) = figure.axes
    shown = {True: [], False: []}
    for container in axis.containers:
        dots = container.lines[0]
        shown[dots.get_markerfacecolor() != "white"] += list(dots.get_xdata())
    for filled, snapshot in ((True, "final"), (False, "mastered")):
        expected = data.loc[data["snapshot"] == snapshot, "r2"]
        assert sorted(shown[filled]) == pytest.approx(sorted(expected))


def test_shares_below_zero_are_drawn_as_nothing_but_stay_in_the_data(make_tables):
    tables = make_tables()
    shares = {"easy": 0.6, "hard": -0.1, "input": 0.2, "residual": 0.3}
    tables["variance_decomposition"]["share"] = tables["variance_decomposition"]["part"].map(shares)
    figure, data = DRAWINGS["variance_decomposition"](tables, LAYERS)
    (axis,) = figure.axes
    bars = [(round(bar.get_x(), 9), round(bar.get_width(), 9)) for bar in axis.patches]
    assert len(bars) == 2 * 3 * 4, "conditions, snapshots, parts"
    assert set(bars) == {(0.0, 0.6), (0.6, 0.0), (0.6, 0.2), (0.8, 0.3)}
    means = data.groupby("part")["share"].agg(["min", "max"])
    for part, share in shares.items():
        assert means.loc[part].tolist() == pytest.approx([share, share])


def test_the_residual_is_the_last_part_of_a_bar(make_tables):
    tables = make_tables()
    parts = ["residual", "input", "hard", "easy"]
    order = tables["variance_decomposition"]["part"].map(parts.index)
    tables["variance_decomposition"] = (
        tables["variance_decomposition"].assign(o=order).sort_values("o").drop(columns="o")
    )
    figure, _ = DRAWINGS["variance_decomposition"](tables, LAYERS)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["hard", "easy", "input", "residual"]


@pytest.mark.parametrize("name", ["learning", "variance"])
def test_pixels_are_drawn_of_very_many_networks_only(make_tables, monkeypatch, name):
    """Of fewer, pixels make a larger file than shapes do, and say nothing to the pointer."""
    tables = make_tables(conditions=("easy",))
    for table in ("learning", "variance_explained"):
        copies = [tables[table].assign(condition=f"easy{i}") for i in range(13)]
        tables[table] = pd.concat(copies, ignore_index=True)
    layers = {f"tasks/easy{i}": "hidden2" for i in range(13)}
    for most, some in ((None, False), (10, True)):
        if most:
            monkeypatch.setattr("repbias.report.figures.training.MANY", most)
        figure, _ = DRAWINGS[name](tables, layers)
        drawn = [line for axis in figure.axes for line in axis.lines]
        assert any(line.get_rasterized() for line in drawn) == some
