"""The matrix of verdicts."""

from __future__ import annotations

import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from repbias.report.figures import DRAWINGS
from repbias.report.figures.verdicts import MOST_CHARACTERS, SHOWN, VERDICTS


def cells(axis):
    """(column, row) to colour."""
    return {
        (round(p.get_x() + 0.49), round(p.get_y() + 0.46)): to_hex(p.get_facecolor())
        for p in axis.patches
        if isinstance(p, Rectangle)
    }


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
    texts = {
        text.get_position()[1]: text.get_text()
        for text in figure.axes[0].texts
        if text.get_position()[0] > 1.5
    }
    assert texts.keys() == {0, 2}, "once per claim, in the row of its first variant"
    assert texts[0] == "the statement of C1"
    assert len(texts[2]) <= MOST_CHARACTERS
    assert texts[2].endswith(" …")
    assert long.startswith(texts[2].removesuffix(" …"))
