"""Figures of the audit show what its tables hold, whatever the names and numbers."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from repbias.report.figures.audit import (
    HIGHEST,
    OF_REST,
    audit,
    audit_networks,
    audit_range,
    audit_shares,
)
from repbias.report.figures.drawing import STYLE
from repbias.report.figures.names import VIVID, distinct_colours
from repbias.report.selection import of_regions
from repbias.tables import TABLES, as_table


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context(STYLE):
        yield


DEEP = [f"features.module.layer{i}.conv_bn_relu.{i}" for i in range(14)]
ONE = {"recording": "it", "experiment": "set", "condition": "base", "network": "base"}
ONE |= {"snapshot": "final", "included": True, "layer": "last", "gate": True, "score": 0.5}


def table(name, *rows):
    """A table with everything that rows do not say left empty."""
    types = TABLES[name].types
    empty = {str: "", bool: False, int: 0, float: float("nan")}
    return as_table(name, [{c: empty[t] for c, t in types.items()} | row for row in rows])


def divided(shares, **about):
    return [ONE | about | {"feature": f, "share": s} for f, s in shares.items()]


def bars(axis):
    """Height and lower end of every bar that is not a hatch or veil, by x and colour."""
    return {
        (round(p.get_x() + p.get_width() / 2), p.get_facecolor()): (p.get_y(), p.get_height())
        for p in axis.patches
        if p.get_facecolor()[3] == 1
    }


def texts(figure):
    return " ".join(t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text")))


def test_bars_are_parts_of_the_score_and_hang_if_negative():
    rows = divided({"face": 0.8, "size": -0.2, "rest": 0.4})
    figure, data = audit({"audit": table("audit", *rows)}, {})
    found = bars(figure.axes[0])
    assert found[0, to_rgba(VIVID[0])] == pytest.approx((0, 0.4))
    assert found[0, to_rgba(VIVID[1])] == pytest.approx((0, -0.1))
    assert found[0, to_rgba("0.75")] == pytest.approx((0.4, 0.2))
    assert data["part"].sum() == pytest.approx(0.5)
    low, high = figure.axes[0].get_xlim()
    assert high - low > 4  # a single bar does not fill the panel


def test_a_score_that_cannot_be_divided_is_hatched():
    rows = divided({"face": 1.0}, layer="a") + divided({"face": 1.0}, layer="b", gate=False)
    figure, _ = audit({"audit": table("audit", *rows)}, {})
    hatched = [p for p in figure.axes[0].patches if p.get_hatch()]
    assert [round(p.get_x() + p.get_width() / 2) for p in hatched] == [1]


@pytest.mark.parametrize("draw", [audit, audit_shares])
def test_regions_are_not_averaged(draw):
    rows = divided({"face": 1.0}, region="V4") + divided({"face": 0.2}, region="IT")
    figure, data = draw(of_regions({"audit": table("audit", *rows)}), {})
    assert set(data["recording"]) == {"it, V4", "it, IT"}
    assert sorted(data["share"]) == [0.2, 1.0]
    assert "it, V4" in texts(figure)


@pytest.mark.parametrize("draw", [audit, audit_shares, audit_networks])
def test_the_figure_says_why_nothing_is_divided(draw):
    refused = {"experiment": "set", "warning": "audit: 3 of 8 stimuli have no 'size'; fill them in"}
    names = ("audit", "audit_networks")
    figure, _ = draw({name: table(name, refused) for name in names}, {})
    assert "no score was divided" in texts(figure)
    assert "audit: 3 of 8 stimuli have no 'size'" in texts(figure)


@pytest.mark.slow
def test_many_panels_layers_and_features_fit_the_page():
    features = [f"feature{i}" for i in range(11)] + ["_hidden", "rest"]
    shares = dict.fromkeys(features, 1 / 13)
    rows = [
        row
        for condition in range(15)
        for layer in DEEP
        for row in divided(shares, condition=f"training=long name {condition},width=3", layer=layer)
    ]
    tables = {"audit": table("audit", *rows)}
    figure, _ = audit(tables, {})
    said = texts(figure)
    assert "shown: the first 12 of 15" in said
    assert " _hidden" in said  # matplotlib leaves out names that begin with an underscore
    assert DEEP[0] not in said
    figure.canvas.draw()
    right = figure.bbox.width
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.x0 >= 0
        assert box.x1 <= right + 1
        assert axis.get_position().height * figure.get_figheight() > 1  # inches
    figure, data = audit_shares(tables, {})
    assert "shown: the first 12 of 15" in texts(figure)
    assert set(data["layer"]) == {DEEP[-1]}
    assert figure.get_figheight() < 40


def test_every_feature_space_and_the_last_layer_of_a_network_have_shares():
    """Spaces are listed in any order: the last one does not stand for the others."""
    rows = [
        row
        for condition, layers in (("known", ["category", "lowlevel"]), ("net", ["conv", "fc"]))
        for layer in layers
        for row in divided({"face": 0.8, "rest": 0.2}, condition=condition, layer=layer)
    ]
    tables = {"audit": table("audit", *rows)}
    figure, data = audit_shares(tables, {}, spaces=["set/known"])
    assert list(dict.fromkeys(data["layer"])) == ["category", "lowlevel", "fc"]
    assert "known, category" in texts(figure)
    assert list(dict.fromkeys(audit_shares(tables, {})[1]["layer"])) == ["lowlevel", "fc"]


def test_ticks_are_of_usable_features_and_the_axis_ends_with_the_measure():
    about = ONE | {"range_low": 0.1, "range_high": 1.5}
    rows = [
        about | {"feature": "face", "alone": 0.3, "usable": True},
        about | {"feature": "size", "alone": 1.6, "usable": False},
        about | {"feature": "rest", "alone": 1.4, "usable": True},
    ]
    figure, data = audit_range({"audit_range": table("audit_range", *rows)}, {})
    assert figure.axes[0].get_xlim()[1] == HIGHEST
    assert data.set_index("feature")["alone"].isna().to_dict() == {
        "face": False,
        "size": True,
        "rest": False,
    }


@pytest.mark.parametrize(("n", "rows"), [(4, 16), (8, 1)])
def test_networks_of_many_layers_are_compared_at_one(n, rows):
    """By default the last one; the analysed layer if there is one."""
    layers = [f"layer{i}" for i in range(n)]
    compared = [
        row
        for one in layers
        for other in layers
        for row in divided(
            {"face": 0.5, "rest": 0.5},
            condition_a="a",
            layer_a=one,
            condition_b="b",
            layer_b=other,
        )
    ]
    columns = TABLES["audit_networks"].columns
    compared = [{c: v for c, v in row.items() if c in columns} for row in compared]
    tables = {"audit_networks": table("audit_networks", *compared)}
    figure, _ = audit_networks(tables, {})
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == rows
    if rows == 1:
        assert labels == ["a layer7 with b layer7"]
        assert "one layer of every network" in texts(figure)
        widths = [p.get_width() for p in figure.axes[0].patches if p.get_height() == 0.7]
        assert widths == [0.25, 0.25]


def test_networks_of_several_experiments_are_told_apart():
    columns = TABLES["audit_networks"].columns
    compared = [
        {c: v for c, v in (row | {"experiment": experiment}).items() if c in columns}
        for experiment in ("plain", "residual")
        for row in divided(
            {"face": 0.5, "rest": 0.5},
            **{"condition_a": "a", "layer_a": "pool", "condition_b": "a", "layer_b": "pool"},
        )
    ]
    figure, _ = audit_networks({"audit_networks": table("audit_networks", *compared)}, {})
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["plain: a with a", "residual: a with a"]


def test_colours_are_distinct_and_never_that_of_the_rest():
    colours = np.array([to_rgba(c) for c in distinct_colours(13)])
    distances = np.abs(colours[:, None] - colours).sum(axis=2)
    assert distances[~np.eye(13, dtype=bool)].min() > 0.1
    assert [to_rgba(c) for c in distinct_colours(3)] == [to_rgba(c) for c in VIVID[:3]]
    assert np.abs(colours - to_rgba(OF_REST)).sum(axis=1).min() > 0.1
