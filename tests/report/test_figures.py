"""Every figure draws, and its data are what it shows."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import reports
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import t

from repbias.base.statistics import mean_interval
from repbias.report.captions import FIGURES
from repbias.report.figures import DRAWINGS
from repbias.report.figures.drawing import bar_lengths
from repbias.report.figures.names import COLOURS, feature_colours, wrapped
from repbias.report.selection import groups_of

LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden1"}
SVG = "{http://www.w3.org/2000/svg}"


def draw(folder, tables, names=tuple(FIGURES), layers=LAYERS, processes=1):
    """Write the tables with rows, draw the figures, and return each figure's CSV."""
    filled = {name: table for name, table in tables.items() if len(table)}
    reports.draw(folder, filled, names, layers, processes)
    return data_of(folder, names)


def data_of(folder, names=tuple(FIGURES)):
    """Return each figure's CSV; each is an SVG."""
    svgs = [folder / "figures" / f"{name}.svg" for name in names]
    for svg in svgs:
        assert ElementTree.parse(svg).getroot().tag == f"{SVG}svg"
    return {svg.stem: pd.read_csv(svg.with_suffix(".csv")) for svg in svgs}


def lines(figure: Figure) -> list:
    """(colour, x, y) of every line with more than one point."""
    found = []
    for axis in figure.axes:
        for line in axis.lines:
            x, y = (np.asarray(d, float) for d in line.get_data())
            if len(x) > 1 and line.get_transform() == axis.transData:
                found.append((to_hex(line.get_color()), x, y))
    return found


MODELS = [
    {"experiment": "images", "condition": "pretrained", "network": "pretrained", "seed": 0}
    | {"layer": layer, "snapshot": "final", "step": 0, "included": True}
    for layer in ("pixels", "conv1")
]


#: Figures of tables that have ceilings.
WITH_CEILINGS = [
    name
    for name, figure in FIGURES.items()
    if {"rsa_recordings", "encoding", "encoding_regions", "quality"} & set(figure.needs)
]


#: Figures whose tables do not say who was included: nothing else is in them.
DRAWN_ANYWAY = {"verdicts", "learning", "encryption", "rsa_models", "identification"}
DRAWN_ANYWAY |= {"quality", "model_comparison", "variance_partition"}
DRAWN_ANYWAY |= {"audit_networks", "energy_law_networks", "recovery", "recovery_layers"}


@pytest.mark.slow
def test_figures_draw_without_ceilings(make_tables, tmp_path):
    data = draw(tmp_path, make_tables(models=MODELS, ceilings=False), WITH_CEILINGS)
    assert len(data) > 4
    assert not [name for name, table in data.items() if table.empty]


@pytest.mark.slow
def test_every_figure_draws(every_figure):
    data = data_of(every_figure)
    assert data.keys() == FIGURES.keys()
    # Of transformers: test_figures_order.py.
    assert {name for name, table in data.items() if table.empty} == {"order"}


@pytest.mark.slow
def test_every_figure_of_one_network_draws(make_tables, tmp_path):
    data = draw(tmp_path, make_tables(conditions=("easy",), seeds=1))
    assert data.keys() == FIGURES.keys()
    # One network has nothing to be compared with.
    compared = {"rsa_models", "similarity"}
    empty = {name for name, table in data.items() if table.empty}
    assert empty == {"order", "sweeps"} | compared
    data = draw(tmp_path / "two", make_tables(conditions=("easy",), seeds=2), sorted(compared))
    assert not any(table.empty for table in data.values())


def test_figures_of_models_alone_draw(make_tables, tmp_path):
    """A study of images has no experiment and so no analysed layer."""
    tables = make_tables(conditions=(), models=MODELS, ceilings=False)
    data = draw(tmp_path, tables, ["rsa_models", "rsa_recordings", "encoding"], layers={})
    assert len(data["rsa_models"]) == 1
    assert set(data["rsa_recordings"]["layer"]) == {"pixels", "conv1"}
    assert set(data["encoding"]["layer"]) == {"pixels", "conv1"}


def test_layers_called_by_numbers_draw(make_tables, tmp_path):
    """The modules of a torch.nn.Sequential are called 0, 1, 2."""
    models = [row | {"layer": str(i)} for i, row in enumerate(MODELS)]
    tables = make_tables(conditions=(), models=models)
    data = draw(tmp_path, tables, ["rsa_models", "rsa_recordings", "encoding"], layers={})
    assert len(data["rsa_recordings"]) == 4


def test_names_that_look_like_missing_values_draw(make_tables, tmp_path):
    """A network may be called null, and a recording NA."""
    models = [row | {"condition": "null", "network": "null"} for row in MODELS]
    tables = make_tables(conditions=(), models=models)
    for name in ("rsa_recordings", "encoding", "encoding_regions"):
        tables[name]["recording"] = "NA"
    data = draw(tmp_path, tables, ["rsa_models", "rsa_recordings", "encoding"], layers={})
    assert len(data["rsa_recordings"]) == 4
    assert len(data["encoding"]) == 4
    text = (tmp_path / "figures" / "rsa_recordings.csv").read_text()
    assert text.splitlines()[1].startswith("NA,")


@pytest.mark.slow
def test_figures_draw_when_every_network_was_excluded(make_tables, tmp_path):
    tables = make_tables()
    for table in tables.values():
        for column in table.columns.intersection(["included", "included_a", "included_b"]):
            table[column] = False
    data = draw(tmp_path, tables, sorted(FIGURES.keys() - DRAWN_ANYWAY))
    assert all(table.empty for table in data.values())


@pytest.mark.parametrize("name", sorted(FIGURES.keys() - {"order"}))
def test_a_figure_of_excluded_networks_says_why_it_is_empty(name, make_tables):
    tables = {table: frame.copy() for table, frame in make_tables().items()}
    for table in tables.values():
        for column in table.columns.intersection(["included", "included_a", "included_b"]):
            table[column] = False
    figure, data = DRAWINGS[name](tables, LAYERS)
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    explained = "inclusion criterion" in " ".join(texts.split())
    # Sweeps count the networks that were included; a panel of them may be empty.
    assert explained == data.empty == (name not in DRAWN_ANYWAY)


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_figure_of_empty_tables_is_drawn(name, tmp_path):
    data = draw(tmp_path, {}, [name], {})
    assert data[name].empty


def test_every_figure_has_a_caption_and_a_drawing_in_the_same_order():
    assert list(DRAWINGS) == list(FIGURES)


def test_the_figures_of_a_section_follow_each_other():
    sections = [caption.section for caption in FIGURES.values()]
    assert len(list(groupby(sections))) == len(set(sections))


def test_features_have_one_colour_and_their_components_a_lighter_shade(make_tables):
    tables = make_tables()
    table = tables["variance_explained"]
    parts = [table.assign(feature=name) for name in ("hard.bit1", "hard.xor12")]
    tables["variance_explained"] = pd.concat([table, *parts])
    colours = feature_colours(tables)
    assert list(colours) == ["easy", "hard", "hard.bit1", "hard.xor12"]
    assert colours["easy"] != colours["hard"]
    hue, *shades = (rgb_to_hsv(to_rgb(colours[f])) for f in list(colours)[1:])
    for shade in shades:
        assert shade[0] == pytest.approx(hue[0], abs=0.01)
        assert shade[1] < hue[1]


def test_no_two_of_many_features_of_an_experiment_have_the_same_colour(make_tables):
    tables = make_tables()
    row = tables["learning"].iloc[:1]
    more = [row.assign(feature=f"more{i}") for i in range(12)]
    others = [row.assign(experiment="others", feature=f) for f in ("one", "two")]
    tables["learning"] = pd.concat([tables["learning"], *more, *others], ignore_index=True)
    colours = {feature: to_hex(colour) for feature, colour in feature_colours(tables).items()}
    of_others = [colours.pop("one"), colours.pop("two")]
    assert len(set(colours.values())) == len(colours)
    vivid = [to_hex(colour) for colour in COLOURS]
    assert len(set(of_others)) == 2 and set(of_others) <= set(vivid), "told apart, and not pale"


@pytest.mark.parametrize(
    ("name", "lines_"),
    [
        ("targets=both", ["targets=both"]),
        ("optimizer=adam,dropout=0.25", ["optimizer=adam,", "dropout=0.25"]),
        ("a=1,b=2,optimizer=adam", ["a=1,b=2,", "optimizer=adam"]),
    ],
)
def test_long_names_break_after_commas(name, lines_):
    assert wrapped(name, 15).split("\n") == lines_


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes(every_figure, make_tables, tmp_path, monkeypatch):
    """Those of matplotlib, which draws twice, and of one process or two; of every other figure."""
    monkeypatch.setattr("repbias.report.figures.drawing.lay_out", lambda figure: None)
    names = list(FIGURES)[::2]
    draw(tmp_path, make_tables(), names, reports.LAYERS, processes=2)
    for name in names:
        for suffix in ("svg", "csv"):
            file = f"figures/{name}.{suffix}"
            assert (every_figure / file).read_bytes() == (tmp_path / file).read_bytes()


def test_learning_shows_accuracy_and_the_variance_of_the_analysed_layer(make_tables):
    tables = make_tables()
    figure, data = DRAWINGS["learning"](tables, LAYERS)
    accuracy = data[data["quantity"] == "accuracy"]
    assert sorted(accuracy["value"]) == sorted(tables["learning"]["accuracy"])
    table = tables["variance_explained"]
    analysed = table[
        ((table["condition"] == "easy") & (table["layer"] == "hidden2"))
        | ((table["condition"] == "both") & (table["layer"] == "hidden1"))
    ]
    explained = data[data["quantity"] == "variance_explained"]
    assert sorted(explained["value"]) == sorted(analysed["r2_of_final"])
    drawn = [y for _, _, y in lines(figure)]
    assert len(drawn) == 2 * 2 * 2 * 2, "conditions, networks, features, quantities"
    assert sorted(np.concatenate(drawn)) == sorted(data["value"])


def test_variance_shows_means_over_included_networks(make_tables):
    tables = make_tables(seeds=5)
    table = tables["variance_explained"]
    table["included"] = table["seed"] != 4
    _, data = DRAWINGS["variance"](tables, LAYERS)
    assert len(data) == 2 * 2 * 3, "conditions, features, snapshots"
    for _, row in data.iterrows():
        values = table[
            (table["condition"] == row["condition"])
            & (table["layer"] == LAYERS[f"tasks/{row['condition']}"])
            & (table["feature"] == row["feature"])
            & (table["snapshot"] == row["snapshot"])
            & table["included"]
        ]["r2"]
        assert row["n"] == len(values) == 4
        assert row["r2"] == pytest.approx(values.mean())
        half = t.ppf(0.975, 3) * values.std() / 2
        assert row["ci_low"] == pytest.approx(row["r2"] - half, abs=0.1 * half)
        assert row["ci_high"] == pytest.approx(row["r2"] + half, abs=0.1 * half)


def test_layers_of_several_networks_that_are_shown_images_are_averaged(make_tables):
    """Trained networks among the models: a row per layer, the mean over included networks."""
    trained = [
        {"experiment": "images", "condition": "cnn", "network": f"seed{n}", "seed": n}
        | {"layer": layer, "snapshot": snapshot, "step": 0, "included": n < 2}
        for n in range(3)
        for snapshot in ("initial", "final")
        for layer in ("stem", "pool")
    ]
    figure, data = DRAWINGS["rsa_models"](make_tables(models=[*MODELS, *trained]), LAYERS)
    shown = {axis.get_title(): axis for axis in figure.axes if axis.images}
    axis = shown["images, end of training"]
    assert "images, untrained" in shown
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["pretrained pixels", "pretrained conv1", "cnn stem", "cnn pool"]
    matrix = axis.images[0].get_array().filled(np.nan)
    part = data[(data["experiment"] == "images") & (data["snapshot"] == "final")]
    part = part[part["included_a"] & part["included_b"]]
    sides = [list(zip(part[f"condition_{s}"], part[f"layer_{s}"], strict=True)) for s in "ab"]
    pairs = [frozenset(pair) for pair in zip(*sides, strict=True)]
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            of_pair = frozenset(tuple(name.split()) for name in (a, b))
            values = part["similarity"][[pair == of_pair for pair in pairs]]
            assert matrix[i, j] == pytest.approx(values.mean(), nan_ok=True)
    assert np.isfinite(matrix[2, 2]), "two networks of one condition"
    assert np.isnan(matrix[0, 0])


def test_matrices_show_every_pair_of_the_first_rdm_similarity(make_tables):
    tables = make_tables(models=MODELS)
    figure, data = DRAWINGS["rsa_models"](tables, LAYERS)
    assert set(data["rdm_similarity"]) == {"corr"}
    assert len(data) == 3 * 6 + 1, "4 networks at 3 snapshots; one pair of layers of the model"
    shown = {axis.get_title(): axis.images[0].get_array() for axis in figure.axes if axis.images}
    expected = {
        "tasks, untrained": ("tasks", "initial"),
        "tasks, first mastery": ("tasks", "mastered"),
        "tasks, end of training": ("tasks", "final"),
        "images": ("images", "final"),
    }
    assert shown.keys() == expected.keys()
    for title, matrix in shown.items():
        square = np.asarray(matrix.filled(np.nan))
        np.testing.assert_array_equal(square, square.T)
        experiment, snapshot = expected[title]
        part = data[(data["experiment"] == experiment) & (data["snapshot"] == snapshot)]
        assert sorted(square[np.triu_indices(len(square), 1)]) == sorted(part["similarity"])


def profile_means(table, value, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table.groupby("layer", sort=False)[value].mean().to_numpy()


#: What a panel shows, beside one recording.
PROFILES = {"rsa_recordings": {"rdm_similarity": "corr"}, "encoding": {"region": "V4"}}


@pytest.mark.parametrize(("name", "value"), [("rsa_recordings", "similarity"), ("encoding", "r")])
def test_profiles_show_means_over_networks_and_the_ceiling(name, value, make_tables):
    tables = make_tables()
    figure, data = DRAWINGS[name](tables, LAYERS)
    assert set(data["snapshot"]) == {"initial", "final"}
    drawn = [y for _, _, y in lines(figure)]
    for condition in ("easy", "both"):
        for snapshot in ("initial", "final"):
            where = {"condition": condition, "snapshot": snapshot}
            where |= PROFILES[name]
            expected = profile_means(data, value, **where)
            assert any(y.shape == (2,) and np.allclose(y, expected) for y in drawn)
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {"easy", "both", "untrained"} <= labels
    assert any("ceiling" in label for label in labels)


@pytest.mark.parametrize("name", ["rsa_recordings", "encoding"])
def test_no_ceiling_is_drawn_where_there_is_none(name, make_tables):
    figure, _ = DRAWINGS[name](make_tables(ceilings=False), LAYERS)
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert labels
    assert not any("ceiling" in label for label in labels)


@pytest.mark.parametrize("name", ["rsa_recordings", "encoding"])
def test_excluded_networks_take_no_part_in_means(name, make_tables):
    """Networks that missed the inclusion criterion enter no estimate."""
    tables = make_tables(seeds=3)
    value = {"rsa_recordings": "similarity", "encoding": "r"}[name]
    table = tables["encoding_regions" if name == "encoding" else name]
    table["included"] = table["seed"] != 2
    table.loc[~table["included"], value] = -0.9
    figure, _ = DRAWINGS[name](tables, LAYERS)
    trained = [y for _, _, y in lines(figure) if y.shape == (2,)]
    where = {"condition": "easy", "snapshot": "final", "included": True} | PROFILES[name]
    expected = profile_means(table, value, **where)
    assert any(np.allclose(y, expected) for y in trained)


@pytest.mark.parametrize(("name", "value"), [("rsa_recordings", "similarity"), ("encoding", "r")])
def test_what_generated_a_simulated_recording_is_marked(name, value, make_tables):
    """The network by stars on its scores, the layer by a line; no other recording has them."""
    tables = make_tables(seeds=3)
    table = tables["encoding_regions" if name == "encoding" else name]
    real = table[table["recording"] == "v4"].assign(recording="real")
    tables["encoding_regions" if name == "encoding" else name] = pd.concat([table, real])
    generators = {"v4": {"source": "tasks/both", "layer": "hidden2", "seed_of_network": 1}}
    figure, _ = DRAWINGS[name](tables, LAYERS, generators=generators)
    marked = [axis for axis in figure.axes if axis.get_title().startswith("v4")]
    assert len(marked) < len(figure.axes)
    for axis in figure.axes:
        by_label = {line.get_label(): line for line in axis.lines}
        assert ("generating network" in by_label) == (axis in marked)
        assert ("generating layer" in by_label) == (axis in marked)
    by_label = {line.get_label(): line for line in marked[0].lines}
    itself = table[(table["condition"] == "both") & (table["seed"] == 1)]
    for column, wanted in {"snapshot": "final", **PROFILES[name]}.items():
        itself = itself[itself[column] == wanted]
    stars = dict(zip(*by_label["generating network"].get_data(), strict=True))
    assert stars == dict(enumerate(itself.set_index("layer").loc[["hidden1", "hidden2"], value]))
    assert set(by_label["generating layer"].get_xdata()) == {1}


def test_a_generator_that_is_not_shown_is_not_marked(make_tables):
    """Its network may have missed the inclusion criterion, its layer may be dead."""
    generators = {"v4": {"source": "tasks/both", "layer": "hidden9", "seed_of_network": 9}}
    figure, _ = DRAWINGS["rsa_recordings"](make_tables(), LAYERS, generators=generators)
    assert not [line for a in figure.axes for line in a.lines if "generat" in line.get_label()]


def test_the_interval_of_a_mean_agrees_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 400)
    mean, low, high = mean_interval(values)
    error = values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.03)
    assert mean_interval(np.array([0.4])) == pytest.approx((0.4, 0.4, 0.4))


def test_conditions_that_cannot_be_compared_are_blocks_of_their_own(make_tables):
    """With other stimuli there are no pairs between conditions; blocks lie on the diagonal."""
    tables = make_tables()
    table = tables["rsa_models"]
    tables["rsa_models"] = table[table["condition_a"] == table["condition_b"]]
    figure, data = DRAWINGS["rsa_models"](tables, LAYERS)
    sizes = [
        len({*part["network_a"], *part["network_b"]})
        for _, part in data[data["snapshot"] == "final"].groupby("condition_a")
    ]
    assert len(sizes) > 1
    expected = np.zeros((sum(sizes), sum(sizes)), bool)
    start = 0
    for size in sizes:
        expected[start : start + size, start : start + size] = ~np.eye(size, dtype=bool)
        start += size
    (shown,) = (a for a in figure.axes if a.get_title() == "tasks, end of training")
    filled = ~np.ma.getmaskarray(np.ma.masked_invalid(shown.images[0].get_array()))
    np.testing.assert_array_equal(filled, expected)


def test_groups_are_in_order_of_appearance():
    table = pd.DataFrame({"experiment": ["b", "a", "b"], "condition": ["x", "y", "x"]})
    assert groups_of(table) == [("b", "x"), ("a", "y")]


def test_lengths_of_bars_are_an_array():
    """Of a list of columns with one row, matplotlib and pandas 2 warn."""
    lengths = bar_lengths(pd.DataFrame({"r": [0.5], "ci_low": [0.4], "ci_high": [0.7]}), "r")
    assert isinstance(lengths, np.ndarray)
    np.testing.assert_allclose(lengths, [[0.1], [0.2]])
