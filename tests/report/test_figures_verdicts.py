"""The matrix of verdicts."""

from __future__ import annotations

from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from repbias.report.figures import DRAWINGS
from repbias.report.figures.verdicts import VERDICTS


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


def test_a_cell_says_the_effect_and_its_interval(make_tables):
    tables = make_tables()
    claims = tables["claims"]
    claims["ci_low"] = -0.5
    claims.loc[4, ["effect", "ci_low", "ci_high"]] = 0.7947
    claims.loc[1, "effect"] = float("nan")
    figure, _ = DRAWINGS["verdicts"](tables, {})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("−0.123 [−0.5, 0.5]") == 3
    assert "0.795 (exact)" in texts
    assert "too few networks" in texts
    assert texts.count("a difference") == 2, "once per claim"
