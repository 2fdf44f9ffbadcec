"""Confusion matrices of simulated brains."""

import numpy as np
import pytest

from repbias.report.figures import DRAWINGS
from repbias.tables import TABLES, as_table


def rows_of(names: list[str], level: str, recording: str = "brain", real: int = 0):
    """A study that names the right one in 80 %, by two measures."""
    types = TABLES["recovery"].types
    blank = {c: {str: "", bool: False, int: 0, float: np.nan}[t] for c, t in types.items()}
    for measure in ("rsa", "cka"):
        for how in ("argmax", "matched"):
            about = {"recording": recording, "measure": measure, "how": how, "level": level}
            for t, true in enumerate(names):
                for i, name in enumerate(names):
                    share = 0.8 if i == t else 0.2 / (len(names) - 1)
                    ends = {"true_condition": true, "named_condition": name}
                    if level == "layer":
                        ends = {"true_condition": "net", "named_condition": "net"}
                        ends |= {"true_layer": true, "named_layer": name}
                    yield blank | about | ends | {"simulated": True, "probability": share}
            for i, name in enumerate(names):
                end = {"named_condition": name}
                if level == "layer":
                    end = {"named_condition": "net", "named_layer": name}
                yield blank | about | end | {"probability": float(i == real)}


@pytest.mark.parametrize(("level", "figure"), [("model", "recovery"), ("layer", "recovery_layers")])
def test_matrices_show_probabilities_and_the_recording_itself(level, figure):
    names = [f"thing {i}" for i in range(3)]
    table = as_table("recovery", list(rows_of(names, level, real=2)))
    drawn, data = DRAWINGS[figure]({"recovery": table}, {})
    axes = [axis for axis in drawn.axes if axis.images]
    assert len(axes) == 4
    values = np.asarray(axes[0].images[0].get_array())
    np.testing.assert_allclose(np.diagonal(values), 0.8)
    assert np.isnan(np.ma.filled(values, np.nan)[3]).all()
    np.testing.assert_array_equal(values[4], [0, 0, 1])
    assert {t.get_text() for t in axes[0].texts} == {"80", "10", "0", "100"}
    assert len(data) == len(table)


def test_matrices_of_many_candidates_stay_readable():
    names = [f"pretrained, _blocks.{i}" for i in range(17)]
    table = as_table("recovery", list(rows_of(names, "model")))
    drawn, _ = DRAWINGS["recovery"]({"recovery": table}, {})
    axis = drawn.axes[0]
    assert len(axis.get_yticklabels()) == 18 and not axis.texts
    # Labels have the room of their letters: 4.5 points in rows of at least 5.
    drawn.draw_without_rendering()
    height = axis.get_window_extent().height / drawn.dpi * 72
    assert height / 19 > 5


def test_without_brains_the_figure_says_where_to_look():
    table = as_table("recovery", [])
    drawn, _ = DRAWINGS["recovery"]({"recovery": table}, {})
    assert "tables/recovery.csv says why" in drawn.axes[0].texts[0].get_text()
