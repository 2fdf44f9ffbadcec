"""Figures of codes and their use show the right numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from repbias.report.figures import DRAWINGS
from repbias.report.figures.names import COLOURS

LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden1"}


def rows(table, **where):
    """Rows of included networks in the analysed layer."""
    names = "tasks/" + table["condition"]
    if "layer" in table and "layer" not in where:
        table = table[table["layer"] == names.map(LAYERS)]
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table[table["included"].astype(bool)] if "included" in table else table


def curves(axis):
    """(colour, dashed, x, y) of the lines with a band."""
    return [
        (to_hex(line.get_color()), line.get_linestyle(), *map(list, line.get_data()))
        for line in axis.lines
        if len(line.get_xdata()) > 1 and line.get_transform() == axis.transData
    ]


def test_units_count_those_above_every_level(make_tables):
    tables = make_tables()
    wanted = [0.1, 0.3, 0.5, 0.9]
    tables["units"]["r2"] = tables["units"]["unit"].astype(int).map(dict(enumerate(wanted)))
    figure, data = DRAWINGS["units"](tables, LAYERS)
    shares = data[data["quantity"] == "share_of_units"]
    part = shares[(shares["condition"] == "both") & (shares["feature"] == "hard")]
    assert part.set_index("r2")["value"].loc[[0, 0.2, 0.5, 1.0]].tolist() == [1, 0.75, 0.25, 0]
    assert len(figure.findobj(lambda a: a.__class__.__name__ == "Axes")) == 2 + 2


@pytest.mark.parametrize("quantity", ["gini", "participation_ratio"])
def test_units_show_how_evenly_a_feature_is_spread(quantity, make_tables):
    tables = make_tables(seeds=3)
    _, data = DRAWINGS["units"](tables, LAYERS)
    shown = data[data["quantity"] == quantity]
    assert len(shown) == 2 * 2
    for _, row in shown.iterrows():
        where = {"condition": row["condition"], "feature": row["feature"], "snapshot": "final"}
        assert row["value"] == pytest.approx(rows(tables["sparsity"], **where)[quantity].mean())


def test_components_show_accuracy_of_targets_and_the_r2_of_all(make_tables):
    tables = make_tables(seeds=3)
    figure, data = DRAWINGS["components"](tables, LAYERS)
    left, right = figure.axes[:2]
    assert left.get_title(loc="left") == "easy"
    assert [colour for colour, *_ in curves(left)] == [to_hex(COLOURS[0])], "hard is no target"
    assert [colour for colour, *_ in curves(right)] == [to_hex(c) for c in COLOURS[:2]]
    (_, _, x, y) = curves(left)[0]
    assert x == [0, 1, 2, 3]
    where = {"condition": "easy", "feature": "easy", "snapshot": "final"}
    expected = rows(tables["components"], **where).groupby("n_components")["accuracy"].mean()
    assert y == pytest.approx(list(expected))
    assert set(data.loc[data["quantity"] == "r2", "n_components"]) == {1, 2, 3}, "none has no R²"


def test_steering_shows_flips_by_strength_and_by_length(make_tables):
    tables = make_tables(seeds=3)
    figure, data = DRAWINGS["steering"](tables, LAYERS)
    assert len(figure.axes) == 2 * 2
    assert len(data[data["condition"] == "easy"]) == 2, "one target, two strengths"
    assert len(data[data["condition"] == "both"]) == 2 * 2 * 2
    assert data["norm_sd"].tolist() == pytest.approx((2 * data["strength"]).tolist())
    by_strength, by_length = figure.axes[2:]
    own = [c for c in curves(by_strength) if c[1] == "-"]
    other = [c for c in curves(by_strength) if c[1] == "--"]
    assert (len(own), len(other)) == (2, 2)
    where = {"condition": "both", "feature": "hard", "output": "hard", "snapshot": "final"}
    expected = rows(tables["steering"], **where).groupby("strength")["flips"].mean()
    assert any(y == pytest.approx(list(expected)) for *_, y in own)
    assert {tuple(x) for _, _, x, _ in curves(by_length)} == {(1.0, 2.0)}


def test_probes_show_every_layer_before_and_after_training(make_tables):
    tables = make_tables(seeds=3)
    figure, data = DRAWINGS["probes"](tables, LAYERS)
    accuracy = data[data["quantity"] == "accuracy"]
    assert len(accuracy) == 2 * 2 * 2 * 2 * 2, "conditions, probes, snapshots, features, layers"
    assert set(accuracy["snapshot"]) == {"initial", "final"}
    linear = figure.axes[0]
    where = {"condition": "easy", "feature": "hard", "snapshot": "initial", "probe": "linear"}
    expected = [
        rows(tables["probes"], layer=layer, **where)["accuracy"].mean() for layer in LAYERS.values()
    ]
    expected.reverse()
    assert any(y == pytest.approx(expected) and dash == "--" for _, dash, _, y in curves(linear))


def test_conflicts_show_which_feature_is_followed(make_tables):
    tables = make_tables(seeds=3)
    figure, data = DRAWINGS["probes"](tables, LAYERS)
    conflicts = data[data["quantity"] == "follows_a"]
    assert len(conflicts) == 2 * 2, "conditions, snapshots"
    for _, row in conflicts.iterrows():
        where = {"condition": row["condition"], "snapshot": row["snapshot"]}
        expected = rows(tables["conflict"], **where)["follows_a"].mean()
        assert row["value"] == pytest.approx(expected)
    texts = [text.get_text() for text in figure.axes[-1].texts]
    assert texts == ["◂ hard", "easy ▸"] * 2


@pytest.mark.parametrize("name", ["probes", "sweeps", "steering", "behaviour"])
def test_legends_list_the_features_that_are_drawn(name, make_tables):
    """One of the outputs is neither probed nor measured here."""
    tables = make_tables(seeds=3)
    for table, frame in tables.items():
        for column in ("feature", "output"):
            if column in frame and table != "learning":
                tables[table] = frame = frame[frame[column] != "hard"]
    figure, data = DRAWINGS[name](tables, LAYERS)
    assert "hard" not in set(data["feature"])
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "feature 'easy'" in labels
    assert not any("hard" in label for label in labels)


def test_without_conflicts_the_probes_are_drawn_alone(make_tables):
    tables = make_tables()
    tables["conflict"] = tables["conflict"].iloc[:0]
    figure, _ = DRAWINGS["probes"](tables, LAYERS)
    assert len(figure.axes) == 4


def test_behaviour_shows_where_the_winner_changes(make_tables):
    """A label that two features predict: with rising predictivity, easy takes over from hard."""
    conditions = tuple(f"predictivity={p}" for p in (0.6, 0.8, 1.0))
    tables = make_tables(conditions=conditions, seeds=3)
    table = tables["behaviour"]
    tables["behaviour"] = table.assign(output="label").drop_duplicates(
        ["condition", "seed", "snapshot", "feature"]
    )
    follows = {"easy": (0.5, 0.7, 0.9), "hard": (0.9, 0.7, 0.5)}
    tables["behaviour"]["agreement"] = [
        follows[feature][conditions.index(condition)]
        for feature, condition in tables["behaviour"][["feature", "condition"]].to_numpy()
    ]
    learning = tables["learning"]
    label = learning[learning["feature"] == "easy"].assign(feature="label", target=True)
    tables["learning"] = pd.concat([learning.assign(target=False), label], ignore_index=True)
    figure, data = DRAWINGS["behaviour"](tables, {})
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == list(conditions)
    drawn = {
        to_hex(line.get_color()): list(line.get_ydata())
        for line in axis.lines
        if line.get_linestyle() == "-"
    }
    for colour, feature in zip(COLOURS, ("easy", "hard"), strict=False):
        assert drawn[to_hex(colour)] == pytest.approx(list(follows[feature]))
    assert len(data) == 3 * 2 * 2


def test_behaviour_has_a_panel_for_every_output_that_is_rewarded(make_tables):
    figure, data = DRAWINGS["behaviour"](make_tables(), LAYERS)
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]
    assert titles == ["output 'easy'", "output 'hard'"]
    assert not ((data["condition"] == "easy") & (data["output"] == "hard")).any()


def test_encryption_shows_every_system_and_measure(make_tables):
    tables = make_tables()
    figure, data = DRAWINGS["encryption"](tables, LAYERS)
    shown = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert shown == ["secret sharing a", "dghv"]
    assert len(data) == 2 * (4 * 2 + 2)
    for _, row in data.iterrows():
        table = tables["encryption"]
        for key in ("system", "measure", "feature"):
            table = table[table[key] == row[key]]
        assert row["n"] == len(table) == 3
        assert row["value"] == pytest.approx(np.mean(table["value"]))
