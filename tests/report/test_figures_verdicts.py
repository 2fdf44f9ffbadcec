"""The matrix of verdicts."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from repbias.report.figures import DRAWINGS
from repbias.report.figures.drawing import PAGE, STYLE
from repbias.report.figures.verdicts import MOST_CHARACTERS, SHOWN, VERDICTS, verdicts


def boxes(axis):
    """(column, row) to its rectangle."""
    centres = np.array(axis.get_xticks())
    return {
        (abs(centres - p.get_x() - p.get_width() / 2).argmin(), round(p.get_y() + 0.46)): p
        for p in axis.patches
        if isinstance(p, Rectangle)
    }


def cells(axis):
    """(column, row) to colour."""
    return {place: to_hex(p.get_facecolor()) for place, p in boxes(axis).items()}


def in_cells(axis):
    """(column, row) to the text that is drawn in the middle of a cell."""
    texts = [text for text in axis.texts if text.get_ha() == "center"]
    centres = np.array(axis.get_xticks())
    return {
        (abs(centres - text.get_position()[0]).argmin(), text.get_position()[1]): text
        for text in texts
    }


def statements(axis):
    """Row to the words behind its cells."""
    return {t.get_position()[1]: t.get_text() for t in axis.texts if t.get_ha() == "left"}


def test_every_claim_variant_and_time_has_a_cell_of_its_verdicts_colour(make_tables):
    figure, data = DRAWINGS["verdicts"](make_tables(), {})
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["C1", "C1 momentum", "C20"]
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "first mastery",
        "end of training",
    ]
    assert cells(axis) == {
        (1, 0): VERDICTS["supported"],
        (0, 0): VERDICTS["inconclusive"],
        (1, 1): VERDICTS["inconclusive"],
        (0, 1): VERDICTS["inconclusive"],
        (1, 2): VERDICTS["not supported"],
    }
    assert len(data) == 5


def test_equal_loss_is_a_column_where_a_claim_is_decided_then(make_tables):
    tables = make_tables()
    claims = tables["claims"]
    matched = claims.iloc[[4]].assign(snapshot="matched", verdict="supported")
    tables["claims"] = pd.concat([claims, matched], ignore_index=True)
    figure, _ = DRAWINGS["verdicts"](tables, {})
    (axis,) = figure.axes
    assert axis.get_xticklabels()[-1].get_text() == "equal loss"
    found = cells(axis)
    assert found[2, 2] == VERDICTS["supported"]
    assert (2, 0) not in found


def test_a_cell_says_the_effect_and_its_interval(make_tables):
    tables = make_tables()
    claims = tables["claims"]
    claims["ci_low"] = -0.5
    claims.loc[4, ["effect", "ci_low", "ci_high"]] = 0.7947
    claims.loc[4, "n_included"] = 0
    claims.loc[1, "effect"] = float("nan")
    claims.loc[2, ["effect", "ci_low", "ci_high"]] = 0.5
    figure, _ = DRAWINGS["verdicts"](tables, {})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("−0.123 [−0.500, 0.500]") == 2
    assert texts.count("0.795 (exact)") == 1
    assert texts.count("0.500 [0.500, 0.500]") == 1, "an interval without width is not exact"
    assert texts.count("too few networks") == 1
    assert "a difference" not in texts


def test_the_claim_is_stated_once_and_shortened(make_tables):
    tables = make_tables()
    long = "hard features " * 20
    tables["claims"].loc[4, "statement"] = long
    figure, data = DRAWINGS["verdicts"](tables, {})
    assert list(data.columns) == SHOWN
    texts = statements(figure.axes[0])
    assert texts.keys() == {0, 2}, "once per claim, in the row of its first variant"
    assert texts[0] == "the statement of C1"
    assert len(texts[2]) <= MOST_CHARACTERS
    assert texts[2].endswith(" …")
    assert long.startswith(texts[2].removesuffix(" …"))


def with_long_cells(tables):
    """Claims with long names, and with effects that have signs and digits on both sides."""
    claims = tables["claims"]
    claims.loc[1:4, ["effect", "ci_low", "ci_high"]] = [-25.78215, -109.8911, 37.91652]
    claims.loc[4, "claim"] = "easy_grows_with_decay_where_weights_are_small"
    claims["n_included"] = 9
    return tables


def test_cells_are_as_wide_as_their_text_and_names_stand_beside_them(make_tables):
    with mpl.rc_context(STYLE):
        figure, _ = DRAWINGS["verdicts"](with_long_cells(make_tables()), {})
        FigureCanvasAgg(figure).draw()
    (axis,) = figure.axes
    found = boxes(axis)
    assert in_cells(axis)[0, 0].get_text() == "−26 [−110, 38]"
    for place, text in in_cells(axis).items():
        drawn, cell = text.get_window_extent(), found[place].get_window_extent()
        assert cell.x0 < drawn.x0 < drawn.x1 < cell.x1, text.get_text()
    left = min(cell.get_window_extent().x0 for cell in found.values())
    assert all(0 <= t.get_window_extent().x0 < left for t in axis.get_yticklabels())
    assert all(t.get_window_extent().x1 < left for t in axis.get_yticklabels())
    assert all(t.get_window_extent().x1 < figure.bbox.x1 for t in axis.texts)
    assert figure.get_figwidth() <= PAGE


TREND = {
    "asks": "The more weight decay, the more variance the hard feature explains",
    "table": "variance_explained",
    "column": "r2",
    "where": {"feature": "hard"},
    "trend": "training.weight_decay",
}
#: Of the conditions of the tables.
DECAY = {"tasks/easy": 0.0, "tasks/both": 1e-3, "other/base": 5.0}


@pytest.mark.parametrize("change", [{}, {"trend": "step"}, {"where": {"condition": "both"}}])
def test_the_effect_of_a_trend_is_over_the_range_of_its_axis(make_tables, change):
    tables = make_tables()
    tables["claims"].loc[4, ["claim", "variant"]] = ["grows", ""]
    tables["claims"].loc[4, ["effect", "ci_low", "ci_high"]] = [47.65, 2.077, 97.25]
    table = tables["variance_explained"]
    low, high = {"trend": (0, 100), "where": (1e-3, 1e-3)}.get(next(iter(change), ""), (0, 1e-3))
    settings = {name: {"training.weight_decay": value} for name, value in DECAY.items()}
    assert set(table["experiment"] + "/" + table["condition"]) == {"tasks/easy", "tasks/both"}
    figure, data = verdicts(tables, {}, {"grows": TREND | change}, settings)
    (shown,) = data[data["claim"] == "grows"].to_dict(orient="records")
    assert shown["effect"] == pytest.approx(47.65 * (high - low))
    assert shown["ci_high"] == pytest.approx(97.25 * (high - low))
    (y,) = [y for y, words in statements(figure.axes[0]).items() if f"{high:g})" in words]
    name = change.get("trend", "weight_decay")
    assert statements(figure.axes[0])[y].endswith(f"({name} {low:g} to {high:g})")
    if not change:
        assert in_cells(figure.axes[0])[1, y].get_text() == "0.0476 [0.0021, 0.0973]"
    assert tables["claims"].loc[4, "effect"] == 47.65, "the table stays"
    others = data["claim"] != "grows"
    assert data[others]["effect"].equals(tables["claims"]["effect"][others])


def test_values_of_an_axis_without_an_included_network_are_no_part_of_its_range(make_tables):
    tables = make_tables()
    tables["claims"].loc[4, "claim"] = "grows"
    tables["variance_explained"].loc[lambda t: t["condition"] == "easy", "included"] = False
    settings = {name: {"training.weight_decay": value} for name, value in DECAY.items()}
    _, data = verdicts(tables, {}, {"grows": TREND}, settings)
    assert set(data["axis"]) == {"", "weight_decay 0.001 to 0.001"}
    tables["variance_explained"]["included"] = False
    _, data = verdicts(tables, {}, {"grows": TREND}, settings)
    assert set(data["axis"]) == {""}
