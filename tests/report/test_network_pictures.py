"""Pictures of generated images and of networks that see them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.io.activations import put_activations
from repbias.io.hdf5 import create, write_members
from repbias.io.networks import Networks
from repbias.report.captions import NETWORK_PICTURES
from repbias.report.figures.network_pictures import (
    ALONG,
    MOST_FILTERS,
    MOST_OF_RDM,
    as_images,
    colours_of_values,
    draw_network_pictures,
    first_filters,
    map_of_combinations,
    preferred_stimuli,
    rdm_with_images,
    read_filters,
    read_seen,
    read_units,
    share_between,
)
from repbias.report.figures.sheets import COLOURS, PIXELS, Sheet, sheets_figure, small
from repbias.report.figures.stimuli import ImageSet, draw_stimuli
from repbias.stimuli.families import stimulus_family
from repbias.tables import as_table, write_table

CONDITION = "targets=two"
SETTINGS = {"kind": "trifeature", "n_classes": 3, "size": 24, "n_validation": 16, "n_test": 108}


def family(**settings):
    return stimulus_family(SETTINGS | {"n_train": 64} | settings)


@pytest.fixture(scope="module")
def trifeature():
    made = family()
    return made, made.generate()


def table_of(rows):
    """Columns of networks: (seed, snapshot, included)."""
    seeds, snapshots, included = map(np.array, zip(*rows, strict=True))
    return {
        "network": np.array([f"seed{s}" for s in seeds]),
        "seed": seeds,
        "snapshot": snapshots,
        "step": np.zeros(len(rows), int),
        "included": included,
    }


ROWS = [(s, when, s > 0) for s in range(3) for when in ("initial", "final")]


def write_activations(path, stimuli, rows=ROWS, units=6, order=slice(None)):
    """Activations that tell which network they are of; colour counts most in the first unit."""
    _, labels, ids = stimuli.part("test")
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(len(rows), len(ids), units)).astype(np.float32)
    patterns[:, :, 0] += 10 * labels[:, stimuli.features.index("colour")]
    patterns[:, :, 1] += 3 * labels[:, stimuli.features.index("shape")]
    with create(path, "activations") as file:
        layers = put_activations(
            file.create_group(CONDITION), ids[order], table_of(rows), {"stem": units, "pool": units}
        )
        layers["pool"][:] = patterns
    return patterns


@pytest.fixture
def seen(trifeature, tmp_path):
    made, stimuli = trifeature
    write_members(tmp_path / "stimuli.h5", "stimuli", [(CONDITION, stimuli)])
    write_activations(tmp_path / "activations.h5", stimuli)
    return read_seen(
        tmp_path / "stimuli.h5",
        tmp_path / "activations.h5",
        CONDITION,
        "pool",
        made.shown_values,
    )


# ------------------------------------------------------------------------------------------
# Which network


def test_the_first_included_network_is_seen_at_its_end(trifeature, seen, tmp_path):
    patterns = write_activations(tmp_path / "again.h5", trifeature[1])
    assert (seen.seed, seen.included) == (1, True)
    np.testing.assert_array_equal(seen.patterns, patterns[ROWS.index((1, "final", True))])
    assert seen.words == "layer pool of the network of seed 1"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(4, "initial", False), (4, "final", False), (5, "final", False)], 4),
        ([(4, "initial", False)], None),
    ],
    ids=["none included", "all diverged"],
)
def test_without_an_included_network_the_first_one_is_seen(
    trifeature, seen, rows, expected, tmp_path
):
    write_activations(tmp_path / "others.h5", trifeature[1], rows)
    other = read_seen(
        tmp_path / "stimuli.h5", tmp_path / "others.h5", CONDITION, "pool", seen.values
    )
    assert (other and other.seed) == expected
    if other:
        assert other.words.endswith("which missed the inclusion criterion")


def test_activations_of_other_stimuli_are_refused(trifeature, seen, tmp_path):
    write_activations(tmp_path / "shuffled.h5", trifeature[1], order=slice(None, None, -1))
    with pytest.raises(RepbiasError, match="other test stimuli"):
        read_seen(tmp_path / "stimuli.h5", tmp_path / "shuffled.h5", CONDITION, "pool", {})


# ------------------------------------------------------------------------------------------
# What is drawn


def test_preferred_stimuli_are_those_with_the_highest_activations(seen, tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        {"experiment": "cnn", "condition": condition, "network": f"seed{seed}", "seed": seed}
        | {"layer": layer, "snapshot": snapshot, "step": 0, "included": True}
        | {"unit": str(unit), "feature": feature, "r2": rng.uniform()}
        for condition in (CONDITION, "other")
        for seed in (0, 1)
        for layer in ("stem", "pool")
        for snapshot in ("initial", "final")
        for feature in seen.labels
        for unit in range(6)
    ]
    write_table(tmp_path / "units.csv", "units", as_table("units", rows))
    units = read_units(tmp_path / "units.csv", CONDITION)
    figure, data = preferred_stimuli(seen, units)
    for feature in seen.labels:
        r2 = {
            row["unit"]: row["r2"]
            for row in rows
            if (row["condition"], row["seed"], row["layer"], row["snapshot"], row["feature"])
            == (CONDITION, 1, "pool", "final", feature)
        }
        part = data[data["feature"] == feature]
        best = sorted(r2, key=lambda unit: -r2[unit])[:3]
        assert list(part["unit"].unique()) == best
        for unit, of_unit in part.groupby("unit"):
            activity = seen.patterns[:, int(unit)]
            order = np.argsort(-activity)[:8]
            assert list(of_unit["stimulus_id"]) == list(seen.ids[order])
            np.testing.assert_array_equal(of_unit["activation"], activity[order])
            assert of_unit["r2"].iloc[0] == pytest.approx(r2[unit])
    names = [label.get_text().split("\n")[0] for label in figure.axes[0].get_yticklabels()]
    assert names == [f"unit {unit}" for unit in data["unit"].unique()[:3]]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    first = seen.ids.tolist().index(data["stimulus_id"].iloc[0])
    np.testing.assert_array_equal(shown[:24, :24], seen.images[first].transpose(1, 2, 0))


def some_networks(shape=(5, 3, 3, 3), name="stem.conv.weight"):
    rng = np.random.default_rng(2)
    none = {"step": np.zeros(0), "loss": np.zeros((0, 2)), "accuracy": np.zeros((0, 2, 1))}
    return Networks(
        seeds=np.array([4, 7]),
        features=["shape"],
        targets=["shape"],
        included=np.array([False, True]),
        test_accuracy=np.ones((2, 1)),
        mastery_step=np.zeros((2, 1), int),
        curves=none,
        checkpoint_names=np.array(["initial", "grid", "final"]),
        checkpoint_steps=np.tile([[0], [10], [20]], 2),
        weights={
            "a.bias": rng.normal(size=(3, 2, 5)).astype(np.float32),
            "skip.weight": rng.normal(size=(3, 2, 5, 3, 1, 1)).astype(np.float32),
            "later.weight": rng.normal(size=(3, 2, 5, 16, 3, 3)).astype(np.float32),
            name: rng.normal(size=(3, 2, *shape)).astype(np.float32),
        },
    )


@pytest.mark.parametrize(
    ("shape", "name"), [((5, 3, 3, 3), "stem.conv.weight"), ((8, 3, 4, 4), "embed.patches.weight")]
)
def test_filters_are_the_weights(shape, name, tmp_path):
    networks = some_networks(shape, name)
    write_members(tmp_path / "n.h5", "networks", [(CONDITION, networks)])
    filters = read_filters(tmp_path / "n.h5", CONDITION, 7)
    assert list(filters) == ["untrained", "end of training"]
    for weights, checkpoint in zip(filters.values(), (0, 2), strict=True):
        np.testing.assert_array_equal(weights, networks.weights[name][checkpoint, 1])
    _, data = first_filters(filters, 7)
    for when, part in data.groupby("time"):
        columns = [part[c] for c in ("filter", "channel", "row", "column")]
        np.testing.assert_array_equal(part["weight"], filters[when][tuple(columns)])
        assert len(part) == filters[when].size


def test_networks_without_filters_of_pixels_have_none(tmp_path):
    networks = some_networks((5, 12), "hidden1.weight")
    write_members(tmp_path / "n.h5", "networks", [(CONDITION, networks)])
    assert read_filters(tmp_path / "n.h5", CONDITION, 4) is None


def test_filters_are_scaled_to_their_largest_weight_and_zero_is_grey():
    weights = np.zeros((3, 3, 2, 2))
    weights[0, 0] = [[1, -2], [0.5, 0]]
    weights[1] = 100 * weights[0]
    shown = as_images(weights)
    assert shown.shape == (3, 3, 24, 24)
    np.testing.assert_array_equal(shown[0, 0, ::12, ::12], [[191, 0], [159, 128]])
    np.testing.assert_array_equal(shown[0, 0, :12, :12], 191)
    np.testing.assert_array_equal(shown[1], shown[0])
    np.testing.assert_array_equal(shown[2], 128)


def test_of_many_filters_some_are_drawn_and_that_is_said():
    many = np.random.default_rng(0).normal(size=(MOST_FILTERS + 5, 3, 2, 2))
    figure, data = first_filters({"untrained": many, "end of training": many}, 0)
    assert data["filter"].max() == MOST_FILTERS - 1
    assert figure.texts[-1].get_text().startswith(f"first {MOST_FILTERS} of {MOST_FILTERS + 5}")


def test_the_share_between_classes_is_that_of_an_analysis_of_variance():
    """Between-class sum of squares over the total one, which is R² of dummy coding."""
    rng = np.random.default_rng(0)
    labels, x = rng.integers(0, 3, 60), rng.normal(size=(60, 4)) * [1, 2, 3, 4]
    x[:, 0] += 2 * labels
    dummies = np.eye(3)[labels]
    fitted = dummies @ np.linalg.lstsq(dummies, x, rcond=None)[0]
    expected = 1 - ((x - fitted) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    assert share_between(x, labels) == pytest.approx(expected)
    assert share_between(np.ones((60, 4)), labels) == 0


def test_an_rdm_is_sorted_by_features_and_has_images_of_its_stimuli(seen):
    figure, data = rdm_with_images(seen, "correlation", 54)
    assert seen.by_variance()[:2] == ["colour", "shape"]
    order = [data["stimulus_a"].iloc[0], *data["stimulus_b"].iloc[:53]]
    assert set(order) == set(seen.ids[:54]), "the first test stimuli"
    rows = [seen.ids.tolist().index(i) for i in order]
    classes = [tuple(seen.labels[f][r] for f in seen.by_variance()) for r in rows]
    assert classes == sorted(classes)
    expected = dissimilarities(seen.patterns[rows], "correlation")
    np.testing.assert_array_equal(data["dissimilarity"], expected)
    assert len(figure.axes[0].images) == 1 + 2 * ALONG
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(seen.values["colour"])


def test_an_rdm_of_many_stimuli_is_of_the_first_ones(seen):
    _, data = rdm_with_images(seen, "correlation", 1000)
    n = min(MOST_OF_RDM, len(seen.ids))
    assert len(data) == n * (n - 1) // 2


def test_an_undefined_rdm_says_why(seen):
    seen.patterns[3] = 0
    figure, data = rdm_with_images(seen, "correlation", 54)
    assert data.empty
    assert figure.axes[0].texts[0].get_text().startswith("no RDM: ")


def test_a_map_is_pca_of_the_means_of_combinations(seen):
    _, data = map_of_combinations(seen)
    names = seen.by_variance()
    index = {stimulus: i for i, stimulus in enumerate(seen.ids)}
    named = pd.DataFrame({f: [seen.values[f][c] for c in seen.labels[f]] for f in names})
    means = pd.DataFrame(seen.patterns.astype(float)).groupby([named[f] for f in names]).mean()
    assert len(data) == len(means) == 27
    ordered = means.loc[list(data[names].itertuples(index=False, name=None))].to_numpy()
    pca = PCA(2).fit(ordered)
    np.testing.assert_allclose(pdist(data[["x", "y"]]), pdist(pca.transform(ordered)), rtol=1e-6)
    share = pca.explained_variance_ratio_.sum()
    np.testing.assert_allclose(data["share_of_variance"], share, rtol=1e-6)
    for row in data.itertuples():
        shown = named.loc[index[row.stimulus_id]]
        assert all(shown[f] == getattr(row, f) for f in names), "an image of its combination"


def test_colours_are_their_own_colours():
    assert colours_of_values(np.array(["red", "white"])) == {"red": (1, 0, 0), "white": (0.8,) * 3}
    assert set(colours_of_values(np.array(["star", "red"]))) == {"star", "red"}


@pytest.mark.slow
def test_all_pictures_are_written_and_small(seen, tmp_path):
    svg = {kind: tmp_path / kind / "cnn" / f"{CONDITION}.svg" for kind in NETWORK_PICTURES}
    draw_network_pictures(svg, seen, None, None, "correlation", 256)
    assert "units are not among the analyses" in svg["preferred"].read_text()
    assert all(path.with_suffix(".csv").exists() for path in svg.values())
    assert max(path.stat().st_size for path in svg.values()) < 200_000
    first = {kind: path.read_bytes() for kind, path in svg.items()}
    draw_network_pictures(svg, seen, None, None, "correlation", 256)
    assert {kind: path.read_bytes() for kind, path in svg.items()} == first
    draw_network_pictures(svg, None, None, None, "correlation", 256)
    assert "all networks of this condition diverged" in svg["map"].read_text()


# ------------------------------------------------------------------------------------------
# Stimuli


def test_stimuli_are_shown_by_value(trifeature, tmp_path):
    made, stimuli = trifeature
    sets = [
        ImageSet("cnn", stimuli, made.shown_values),
        ImageSet("vit", stimuli, made.shown_values),
    ]
    draw_stimuli(sets, 2, tmp_path / "stimuli.svg")
    data = pd.read_csv(tmp_path / "stimuli.csv")
    assert list(data["conditions"].unique()) == ["cnn", "vit"]
    place = {"shape": 0, "texture": 1, "colour": 2}
    for row in data.itertuples():
        assert row.stimulus_id.split("-")[place[row.feature]] == row.value
    counts = data.groupby(["conditions", "feature", "value"]).size()
    assert set(counts) == {8}
    text = (tmp_path / "stimuli.svg").read_text()
    assert "Stimuli of vit" in text
    assert "2 more sets are not shown" in text


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 224, "n_classes": 10, "n_test": 100},
        {"kind": "navon", "size": 224, "n_classes": 10, "n_test": 100},
        {"size": 32, "n_classes": 4, "n_test": 128, "supersampling": 3},
    ],
    ids=["large", "letters", "smooth"],
)
def test_a_gallery_is_small_whatever_the_images(settings, tmp_path):
    made = family(**settings)
    shown = ImageSet("all", made.generate(), made.shown_values)
    draw_stimuli([shown], 0, tmp_path / "stimuli.svg")
    assert (tmp_path / "stimuli.svg").stat().st_size < 150_000


def test_small_images_keep_their_pixels_and_large_ones_do_not(trifeature):
    images = trifeature[1].inputs[:3]
    assert small(images) is images
    large = np.tile(np.linspace(0, 255, 100).astype(np.uint8), (2, 3, 100, 1))
    shrunk = small(large)
    assert shrunk.shape == (2, 3, PIXELS, PIXELS)
    expected = np.linspace(0, 255, PIXELS)
    assert np.abs(shrunk[0, 0, 0].astype(float) - expected).max() < 255 / COLOURS


def test_sheets_stand_below_each_other_and_do_not_overlap():
    images = np.zeros((2, 4, 3, 8, 8), np.uint8)
    figure = sheets_figure(
        [Sheet(f"block {i}", ["a", "b"], images, "heading\nof two" * (i == 1)) for i in range(3)],
        ["one", "two"],
    )
    boxes = [axis.get_position() for axis in figure.axes]
    assert all(b.y1 < a.y0 for a, b in pairwise(boxes))
    assert 0 < boxes[-1].y0 < boxes[0].y1 < 1
    (heading,) = [t for t in figure.texts if t.get_text().startswith("heading")]
    assert boxes[1].y1 < heading.get_position()[1] < boxes[0].y0
