"""Marks of figures say what they are of when the pointer is on them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_figures import LAYERS, SVG, draw

from repbias.report.figures.drawing import error_bars, save
from repbias.report.figures.tips import name_line, name_marks, say

EVIL = """<script>alert('1')</script> "' & ]]> --> \x00 日本"""


def titles(path) -> list[str]:
    """What the marks of a figure say, in order."""
    return [title.text for title in ElementTree.parse(path).iter(f"{SVG}title")]


def test_every_point_line_and_bar_has_its_words(tmp_path):
    rows = pd.DataFrame(
        {
            "condition": "easy",
            "layer": ["a", "b", "c"],
            "seed": 3,
            "r2": [0.25, np.nan, 0.5],
            "ci_low": [0.0, np.nan, np.nan],
            "ci_high": [0.5, np.nan, np.nan],
        }
    )
    figure = Figure(layout="constrained")
    axis = figure.subplots()
    (dots,) = axis.plot([0, 1, 2], rows["r2"], "o")
    name_marks(dots, rows, "r2")
    error_bars(axis, rows, "r2", [0, 1, 2])
    (curve,) = axis.plot([0, 1, 2], [1, 2, 1])
    name_line(curve, rows, ("condition", "feature", "seed"))
    for bar, layer in zip(axis.bar([0, 1], [1, 2]), "ab", strict=True):
        say(bar, [layer])
    save(figure, tmp_path / "x.svg")
    points = ["easy, a, seed 3: 0.250", "easy, c, seed 3: 0.500"]
    with_bars = ["easy, a, seed 3: 0.250 [0.000, 0.500]", points[1]]
    said = titles(tmp_path / "x.svg")
    assert sorted(said) == sorted(["a", "b", *points, *with_bars, "easy, seed 3"])


def test_words_are_escaped_and_of_no_mark_where_marks_are_not_drawn(tmp_path):
    figure = Figure(layout="constrained")
    axis = figure.subplots()
    (dot,) = axis.plot(0, 0, "o")
    say(dot, [EVIL])
    (dots,) = axis.plot([0, np.nan, 1], [0, 0, 0], "o")
    say(dots, ["which", "is", "which"])
    save(figure, tmp_path / "x.svg")
    assert titles(tmp_path / "x.svg") == [EVIL.replace("\x00", r"\x00")]
    assert not list(ElementTree.parse(tmp_path / "x.svg").iter(f"{SVG}script"))


@pytest.mark.slow
def test_networks_in_figures_are_named_by_condition_layer_seed_and_feature(make_tables, tmp_path):
    tables = make_tables()
    draw(tmp_path, tables, ("variance", "learning", "sweeps"))
    table = tables["variance_explained"]
    own = (table["condition"] == "easy") & (table["layer"] == LAYERS["tasks/easy"])
    (row,) = table[own & (table["snapshot"] == "final")].head(1).to_dict(orient="records")
    network = f"tasks, easy, hidden2, seed {row['seed']}, feature {row['feature']}"
    (dot,) = (
        t for t in titles(tmp_path / "figures" / "variance.svg") if t.startswith(f"{network}, end")
    )
    assert dot == f"{network}, end of training: {row['r2']:.3f}"
    assert network in titles(tmp_path / "figures" / "learning.svg")
    assert any(
        t.startswith("tasks, easy, hidden2, feature")
        for t in titles(tmp_path / "figures" / "sweeps.svg")
    )
