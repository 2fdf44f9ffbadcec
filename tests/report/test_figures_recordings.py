"""Figures of tests, fits, time courses and units of recordings show what their tables hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from repbias.base.statistics import mean_interval
from repbias.report.captions import FIGURES
from repbias.report.figures import DRAWINGS, draw_figures
from repbias.report.figures.model_tests import MOST_LINES, MOST_ROWS
from repbias.report.figures.names import model_colours, model_labels, shortened
from repbias.report.figures.recorded_units import MOST_REGIONS
from repbias.report.selection import MODEL, fewer_models, groups_of
from repbias.tables import write_table

LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden1"}


def models_table(n_models, n_layers, snapshots=("final",)):
    return pd.DataFrame(
        [
            ("images", f"net{model}", f"layer{layer}", snapshot)
            for model in range(n_models)
            for layer in range(n_layers)
            for snapshot in snapshots
        ],
        columns=MODEL,
    )


def words_of(figure):
    """Every text of a figure and its subfigures, notes included."""
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


# ------------------------------------------------------------------------------------------
# Choosing and naming models


def test_models_that_fit_are_all_shown():
    models = models_table(3, 4, ("initial", "final"))
    shown, note = fewer_models(models, {}, 24)
    pd.testing.assert_frame_equal(shown, models)
    assert note == ""


@pytest.mark.parametrize(
    ("n_models", "n_layers", "snapshots", "most", "n_shown", "start"),
    [
        (5, 6, ("initial", "final"), 10, 10, "one layer of every model"),
        (5, 6, ("initial", "final"), 8, 5, "one layer of every trained model"),
        (20, 3, ("final",), 8, 8, "the first 8 of 20 models"),
    ],
)
def test_models_are_left_out_without_looking_at_scores(
    n_models, n_layers, snapshots, most, n_shown, start
):
    layers = {"images/net1": "layer0"}
    shown, note = fewer_models(models_table(n_models, n_layers, snapshots), layers, most)
    assert len(shown) == n_shown
    assert note.startswith(start)
    layer = shown.drop_duplicates("condition").set_index("condition")["layer"]
    assert layer["net1"] == "layer0", "the analysed layer"
    assert set(layer.drop("net1")) == {f"layer{n_layers - 1}"}, "the last layer"


def test_every_kind_of_fitted_model_keeps_a_layer():
    fixed = models_table(2, 3).assign(model="fixed")
    weighted = models_table(2, 1).assign(model="weighted", layer="all")
    shown, _ = fewer_models(pd.concat([fixed, weighted]), {"images/net0": "layer1"}, 4)
    assert set(shown[["condition", "layer"]].itertuples(index=False, name=None)) == {
        ("net0", "layer1"),  # its analysed layer, for every kind of model
        ("net1", "layer2"),
        ("net1", "all"),
    }


def test_models_have_names_and_colours():
    models = models_table(2, 2, ("initial", "final"))
    labels = model_labels(models)
    assert labels[:2] == ["net0, layer0 (untrained)", "net0, layer0"]
    assert len(set(labels)) == len(models)
    colours = [to_hex(colour) for colour in model_colours(models)]
    assert colours[0] == colours[2] == "#8c8c8c", "untrained"
    assert len({colours[1], colours[3], colours[5], colours[7]}) == 4
    several = pd.concat([models, models.assign(experiment="tasks")])
    assert model_labels(several)[0].startswith("images, net0")


@pytest.mark.parametrize("width", [9, 10])
def test_long_names_lose_their_middle(width):
    assert shortened("short", width) == "short"
    text = shortened("beginning-and-end", width)
    assert len(text) <= width
    assert text.startswith("begi") and text.endswith("end") and "…" in text


# ------------------------------------------------------------------------------------------
# Tests of models


def similarity_panels(figure):
    return [axis for axis in figure.axes if axis.get_xlabel() == "RDM similarity"]


def dots(axis):
    """(x, y, whether it is filled) of every dot with an interval."""
    found = []
    for container in axis.containers:
        dot = container.lines[0]
        filled = to_hex(dot.get_markerfacecolor()) != "#ffffff"
        found += [(x, y, filled) for x, y in zip(*dot.get_data(), strict=True)]
    return found


def test_a_comparison_shows_every_test(make_tables):
    tables = make_tables()
    figure, data = DRAWINGS["model_comparison"](tables, LAYERS)
    columns = list(tables["rsa_tests"].columns)
    pd.testing.assert_frame_equal(data[columns], tables["rsa_tests"])
    assert set(data["ceiling_low"]) == {0.6}
    panels = similarity_panels(figure)
    assert [axis.get_title() for axis in panels] == ["v4 (corr)", "v4 (spearman)"]
    for axis, rdm_similarity in zip(panels, ("corr", "spearman"), strict=True):
        rows = data[(data["rdm_similarity"] == rdm_similarity) & (data["test"] == "zero")]
        significant = (rows["p_fdr"] < 0.05) & (rows["effect"] > 0)
        expected = list(zip(rows["effect"], range(len(rows)), significant, strict=True))
        assert dots(axis) == expected
        below = data[(data["rdm_similarity"] == rdm_similarity) & (data["test"] == "ceiling")]
        marks = [line for line in axis.lines if line.get_marker() == "<"]
        assert len(marks) == ((below["p_fdr"] < 0.05) & (below["effect"] < 0)).sum() > 0
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels[0] == "easy, hidden1 (untrained)  1"
    assert len(labels) == 8
    assert "generalise to stimuli, these subjects" in words_of(figure)


def test_a_model_below_zero_is_never_called_above(make_tables):
    tables = make_tables()
    tables["rsa_tests"]["p_fdr"] = 0.0
    tables["rsa_tests"][["effect", "ci_low", "ci_high"]] = -0.2, -0.3, -0.1
    figure, _ = DRAWINGS["model_comparison"](tables, LAYERS)
    assert not any(filled for axis in similarity_panels(figure) for *_, filled in dots(axis))


def test_pairs_are_a_matrix_of_differences_with_dots_on_significant_ones(make_tables):
    tables = make_tables()
    figure, data = DRAWINGS["model_comparison"](tables, LAYERS)
    matrix_axis = next(axis for axis in figure.axes if axis.images)
    matrix = np.asarray(matrix_axis.images[0].get_array().filled(np.nan))
    pairs = data[(data["rdm_similarity"] == "corr") & (data["test"] == "pair")]
    upper = np.triu_indices(len(matrix), 1)
    np.testing.assert_array_equal(matrix[upper], pairs["effect"])
    np.testing.assert_array_equal(matrix[upper], -matrix.T[upper])
    assert np.isnan(matrix.diagonal()).all()
    marked = np.zeros(matrix.shape, bool)
    x, y = matrix_axis.lines[-1].get_data()
    marked[np.asarray(y, int), np.asarray(x, int)] = True
    np.testing.assert_array_equal(marked, marked.T)
    np.testing.assert_array_equal(marked[upper], pairs["p_fdr"] < 0.05)
    low, high = matrix_axis.images[0].get_clim()
    assert low == -high == pytest.approx(-data.loc[data["test"] == "pair", "effect"].abs().max())


def test_many_models_and_rdm_similarities_are_cut_down_and_that_is_said(
    make_tables, make_models, make_tests
):
    rows = make_models("ab", [f"net{model}" for model in range(MOST_ROWS + 2)])
    rng = np.random.default_rng(0)
    tests = make_tests(rows[:8], rng, rdm_similarities=("corr", "cosine", "rho-a"))
    tables = make_tables() | {"rsa_tests": tests}
    figure, data = DRAWINGS["model_comparison"](tables, {})
    assert len(similarity_panels(figure)) == 2
    assert set(data["rdm_similarity"]) == {"corr", "cosine", "rho-a"}
    assert "the first 2 of 3 RDM similarities" in words_of(figure)
    zero = make_tests(rows, rng, rdm_similarities=("corr",))
    tables["rsa_tests"] = zero[zero["test"] == "zero"]
    figure, data = DRAWINGS["model_comparison"](tables, {})
    (axis,) = similarity_panels(figure)
    assert len(dots(axis)) == MOST_ROWS
    assert len(data) == len(rows)
    assert f"the first {MOST_ROWS} of {MOST_ROWS + 2} models" in words_of(figure)


def test_a_single_model_without_ceiling_or_corrected_p_draws(make_tables, make_models):
    tables = make_tables(conditions=(), models=make_models(("pixels",)), ceilings=False)
    tables["rsa_tests"][["p_fdr", "ci_low", "ci_high"]] = np.nan
    figure, _ = DRAWINGS["model_comparison"](tables, {})
    assert not any(axis.images for axis in figure.axes)
    assert [filled for *_, filled in dots(similarity_panels(figure)[0])] == [False]
    figure.draw_without_rendering()


def test_fitted_models_are_means_over_included_networks(make_tables):
    tables = make_tables(seeds=3)
    table = tables["rsa_fitted"]
    table["included"] = table["seed"] != 2
    figure, data = DRAWINGS["rsa_fitted"](tables, LAYERS)
    assert len(data) == 2 * 2 * 2 * 3, "conditions, layers, snapshots, models"
    keys = [*MODEL, "model"]
    for key, part in table[table["included"]].groupby(keys):
        row = data.set_index(keys).loc[key]
        assert row["n"] == 2
        mean = np.clip(mean_interval(part["similarity"].to_numpy()), -1, 1).tolist()
        assert list(row[["similarity", "ci_low", "ci_high"]]) == pytest.approx(mean)
    drawn = [x for axis in figure.axes for x, *_ in dots(axis)]
    assert sorted(drawn) == pytest.approx(sorted(data["similarity"]))
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert labels == {"fixed", "weighted", "reweighted"}


def test_a_single_networks_interval_is_its_own(make_tables, make_models):
    tables = make_tables(conditions=(), models=make_models())
    _, data = DRAWINGS["rsa_fitted"](tables, {})
    table = tables["rsa_fitted"]
    for bound in ("ci_low", "ci_high"):
        assert list(data[bound]) == list(table[bound])


def test_time_courses_are_lines_in_the_order_of_time(make_tables, make_models):
    tables = make_tables(conditions=(), models=make_models())
    table = tables["rsa_times"] = tables["rsa_times"].iloc[::-1].reset_index(drop=True)
    figure, data = DRAWINGS["rsa_times"](tables, {})
    assert set(data["ceiling_low"]) == {0.6}
    assert sorted(data["similarity"]) == sorted(table["similarity"])
    courses = [line.get_data() for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert len(courses) == 2
    for times, similarity in courses:
        assert all(a < b for a, b in pairwise(times))
        layer = data.set_index("similarity").loc[similarity[0], "layer"]
        expected = data[data["layer"] == layer].sort_values("time_s")["similarity"]
        np.testing.assert_array_equal(similarity, expected)
    assert len(figure.axes[0].findobj(PolyCollection)) == 2 + 1, "intervals and the ceiling"


def test_many_time_courses_are_cut_down(make_tables, make_models):
    models = make_models("a", [f"net{model}" for model in range(MOST_LINES + 1)])
    figure, data = DRAWINGS["rsa_times"](make_tables(conditions=(), models=models), {})
    assert sum(len(line.get_xdata()) == 3 for line in figure.axes[0].lines) == MOST_LINES
    assert data["condition"].nunique() == MOST_LINES + 1
    assert f"the first {MOST_LINES} of {MOST_LINES + 1} models" in words_of(figure)


# ------------------------------------------------------------------------------------------
# Units


def test_regions_are_panels_with_the_profiles_of_their_table(make_tables):
    tables = make_tables()
    figure, data = DRAWINGS["encoding_regions"](tables, LAYERS)
    pd.testing.assert_frame_equal(data, tables["encoding_regions"])
    panels = {axis.get_title(): axis for axis in figure.axes}
    for region in ("V4", "IT"):
        axis = panels[f"v4: {region}"]
        drawn = [container.lines[0].get_ydata() for container in axis.containers]
        assert len(drawn) == 2 * 2, "conditions, untrained or not"
        for _, part in data[data["region"] == region].groupby(["condition", "snapshot"]):
            means = part.groupby("layer", sort=False)["r"].mean()
            assert any(np.allclose(y, means) for y in drawn)
    limits = {panels[f"v4: {region}"].get_ylim() for region in ("V4", "IT")}
    assert len(limits) == 1


def test_distributions_say_how_many_units_are_significant(make_tables):
    tables = make_tables()
    units = tables["encoding"]
    units["p_fdr"] = np.where(units["condition"] == "easy", 0.01, 0.9)
    figure, _ = DRAWINGS["encoding_regions"](tables, LAYERS)
    axis = next(axis for axis in figure.axes if axis.get_title() == "v4: all units")
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["easy, hidden2: 100% significant", "both, hidden1: 0% significant"]
    units["p_fdr"] = np.nan
    figure, _ = DRAWINGS["encoding_regions"](tables, LAYERS)
    assert "significant" not in words_of(figure)


def test_many_regions_and_layers_are_legible(make_tables, make_models):
    layers = [f"layer{i}" for i in range(15)]
    tables = make_tables(conditions=(), models=make_models(layers))
    table = tables["encoding_regions"]
    regions = [table.assign(region=f"area{i}") for i in range(MOST_REGIONS + 1)]
    tables["encoding_regions"] = pd.concat(regions, ignore_index=True)
    figure, data = DRAWINGS["encoding_regions"](tables, {})
    assert data["region"].nunique() == MOST_REGIONS + 1
    assert sum("area" in axis.get_title() for axis in figure.axes) == MOST_REGIONS
    assert f"the first {MOST_REGIONS} of {MOST_REGIONS + 1} regions" in words_of(figure)
    assert "first layer" in words_of(figure), "more layers than can be named"
    assert "layer7" not in words_of(figure)


def test_units_without_ceilings_have_no_normalised_distribution(make_tables):
    tables = make_tables()
    tables["encoding"][["ceiling", "r_normalised"]] = np.nan
    tables["encoding_regions"][["ceiling", "r_normalised"]] = np.nan
    figure, _ = DRAWINGS["encoding_regions"](tables, LAYERS)
    axis = next(axis for axis in figure.axes if axis.get_xlabel() == "r / ceiling" or axis.texts)
    assert axis.texts[0].get_text() == "no units"
    figure.draw_without_rendering()


def test_parts_of_variance_have_the_intervals_of_their_table(make_tables):
    tables = make_tables()
    table = tables["variance_partition_regions"]
    second = table.assign(network="seed1", r2=table["r2"] + 0.2)
    several = table["model"] == "both"
    both = pd.concat([table, second[several]], ignore_index=True)
    tables["variance_partition_regions"] = both
    figure, data = DRAWINGS["variance_partition"](tables, LAYERS)
    assert len(data) == 2 * 2 * 4, "regions, models, parts"
    keys, numbers = ["region", "model", "part"], ["r2", "ci_low", "ci_high"]
    for _, row in table[~several].iterrows():
        drawn = data.set_index(keys).loc[tuple(row[keys])]
        assert list(drawn[numbers]) == pytest.approx(list(row[numbers])), "of one network, its own"
        assert drawn["interval"] == row["interval"]
    for _, row in table[several].iterrows():
        drawn = data.set_index(keys).loc[tuple(row[keys])]
        expected = np.minimum(mean_interval(row["r2"] + np.array([0, 0.2])), 1)
        assert list(drawn[numbers]) == pytest.approx(list(expected))
        assert "networks" in drawn["interval"] and drawn["n_networks"] == 2
    drawn = sorted(x for axis in figure.axes for x, *_ in dots(axis))
    assert drawn == pytest.approx(sorted(data["r2"]))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["easy: all", "easy: alone easy"]


def test_the_caption_says_what_intervals_are_over_and_that_parts_may_exceed_the_whole():
    text = FIGURES["variance_partition"].text
    assert "explain alone or together may exceed all of it" in text
    assert "over subjects (of these stimuli) or, if there is one subject, over stimuli" in text


def test_quality_counts_every_unit(make_tables):
    tables = make_tables()
    tables["reliability"].loc[0, ["ceiling", "reliability"]] = np.nan
    figure, data = DRAWINGS["quality"](tables, LAYERS)
    pd.testing.assert_frame_equal(data, tables["reliability"])
    counts = [sum(bar.get_height() for bar in axis.patches) for axis in figure.axes]
    assert counts == [2, 2, 3], "reliability, ceiling, repeats"
    assert "1 of 3 units have no ceiling" in words_of(figure)
    assert "no recording has units" in words_of(
        DRAWINGS["quality"](tables | {"reliability": tables["reliability"].iloc[:0]}, {})[0]
    )


@pytest.mark.parametrize("columns", [["reliability", "ceiling", "repeats"]])
def test_units_of_unknown_quality_draw(columns, make_tables):
    tables = make_tables()
    tables["reliability"][columns] = np.nan
    figure, _ = DRAWINGS["quality"](tables, LAYERS)
    assert words_of(figure).count("not available") == 3


@pytest.mark.slow
def test_names_with_dollar_signs_are_text(make_tables, make_models, tmp_path):
    """Matplotlib would take what is between two of them for a formula, and refuse a bad one."""
    tables = make_tables(conditions=(), models=make_models((r"$\bad{$", r"$\frac$")))
    for table in ("encoding_regions", "variance_partition_regions", "encoding"):
        tables[table]["region"] = r"$\bad{$"
    tables["variance_partition_regions"]["part"] = r"alone $\bad{$"
    paths = [tmp_path / f"{table}.csv" for table in tables]
    for path, (table, frame) in zip(paths, tables.items(), strict=True):
        write_table(path, table, frame)
    names = ("model_comparison", "rsa_fitted", "rsa_times", "encoding_regions")
    svgs = [tmp_path / f"{name}.svg" for name in (*names, "variance_partition")]
    draw_figures(map(str, svgs), map(str, paths), {}, {})
    assert [svg.name for svg in svgs if r"\bad{" not in svg.read_text()] == []


@pytest.mark.parametrize("name", ["rsa_recordings", "encoding", "both_ways", "encoding_regions"])
def test_spaces_of_features_have_bars_and_no_line(make_tables, make_models, name):
    """Which of them comes first says nothing, so a line would be misleading."""
    tables = make_tables(conditions=(), models=make_models(["size", "animate"]))
    (space,) = {f"{e}/{c}" for e, c in groups_of(tables["encoding_regions"])}
    drawing = DRAWINGS[name]
    for spaces, n_bars in (((), 0), ([space], 2)):
        figure, _ = drawing(tables, {}, spaces=spaces)
        axis = figure.axes[0]
        bars = [b for b in axis.patches if isinstance(b, Rectangle) and b.get_width() == 0.6]
        assert len(bars) == n_bars
        joined = [a for a in axis.lines if len(a.get_xdata()) == 2 and a.get_linestyle() == "-"]
        assert [a for a in joined if a.get_marker() == "o"] == [] or not n_bars
        if n_bars:
            low, high = axis.get_xlim()
            assert low < -0.5 and high > 1.5, "few bars do not fill the panel"


@pytest.mark.parametrize(
    ("name", "table", "value"),
    [("rsa_recordings", "rsa_recordings", "similarity"), ("encoding", "encoding_regions", "r")],
)
def test_no_panel_is_cut_where_another_has_lower_scores(make_tables, name, table, value):
    """They share their axis."""
    tables = make_tables()
    low = tables[table].assign(**{value: 0.1, "ci_low": 0.05, "ci_high": 0.15})
    low = low.assign(**{end: 0.2 for end in low if end.startswith("ceiling") and end[-1] != "n"})
    high = low.assign(recording="high", **{value: 0.9})
    tables[table] = pd.concat([low, high], ignore_index=True)
    figure, _ = DRAWINGS[name](tables, LAYERS)
    assert len([axis for axis in figure.axes if axis.get_title()]) > 1
    for axis in figure.axes:
        assert axis.get_ylim()[1] > 0.9
