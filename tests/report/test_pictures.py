"""Pictures of recordings: RDMs, maps of the stimuli, and thumbnails."""

from __future__ import annotations

import base64
import io
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from sklearn import manifold
from sklearn.decomposition import PCA

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.report.captions import (
    FIGURES,
    NETWORK_PICTURES,
    PICTURES,
    STIMULI,
    caption_of,
    network_picture_of,
    picture_of,
)
from repbias.report.figures import pictures
from repbias.report.figures.pictures import (
    classical_mds,
    draw_recording_pictures,
    groups_of_stimuli,
    load_thumbnails,
    models_shown,
    percentiles,
    rdm_figure,
    stimulus_map,
)
from repbias.rsa.rdms import make_rdms
from repbias.stimuli.images import Images

SEEDS = st.integers(0, 2**16)


def ids_of(n):
    return np.array([f"s{i:03d}" for i in range(n)])


def some_rdms(n, seed=0, n_rdms=2, measure="correlation"):
    patterns = np.random.default_rng(seed).normal(size=(n_rdms, n, 7))
    vectors = np.stack([pdist(p, "correlation") for p in patterns])
    return make_rdms(vectors, ids_of(n), measure, {"subject": [f"m{i}" for i in range(n_rdms)]})


def some_images(n, size=(40, 20)):
    loaded = []

    def load(i):
        loaded.append(i)
        return Image.new("RGB", size, (i % 256, 100, 0))

    return Images(list(ids_of(n)), load), loaded


def draw(folder, n=12, images=None, groups=None, models=None, name="v4", rdms=None):
    recording = Recording(stimuli={"stimulus_id": ids_of(n)})
    if models is None:
        models = {"net, layer1": some_rdms(n, 1), "net, layer2": some_rdms(n, 2)}
    paths = [folder / f"{kind}_{name}.svg" for kind in PICTURES]
    rdms = {name: rdms or some_rdms(n)}
    draw_recording_pictures(name, recording, rdms, models, images, groups, *paths)
    for path in paths:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    return [path.read_text() for path in paths], [
        pd.read_csv(path.with_suffix(".csv"), keep_default_na=False) for path in paths
    ]


# ------------------------------------------------------------------------------------------
# Classical scaling


@given(SEEDS)
def test_classical_scaling_of_euclidean_distances_is_pca(seed):
    """Gower (1966): principal coordinates of Euclidean distances are principal components."""
    x = np.random.default_rng(seed).normal(size=(15, 4)) * [4, 3, 2, 1]
    points, share = classical_mds(squareform(pdist(x, "sqeuclidean")))
    pca = PCA(2).fit(x)
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(x)), atol=1e-9)
    assert share == pytest.approx(pca.explained_variance_ratio_.sum())


@given(SEEDS)
def test_classical_scaling_is_that_of_sklearn(seed):
    """Also where distances are not Euclidean."""
    distances = squareform(np.random.default_rng(seed).uniform(1, 2, 45))
    points, _ = classical_mds(distances**2)
    if not hasattr(manifold, "ClassicalMDS"):
        pytest.skip("scikit-learn has it since 1.8")
    expected = manifold.ClassicalMDS(2, metric="precomputed").fit_transform(distances)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-8)


def test_points_of_a_plane_are_found_again():
    x = np.random.default_rng(0).normal(size=(20, 2))
    points, share = classical_mds(squareform(pdist(x, "sqeuclidean")))
    np.testing.assert_allclose(pdist(points), pdist(x))
    assert procrustes(x, points)[2] < 1e-20
    assert share == pytest.approx(1)


def test_equal_stimuli_lie_on_one_point():
    points, share = classical_mds(np.zeros((5, 5)))
    assert not points.any()
    assert share == 0


@given(SEEDS)
def test_the_order_of_stimuli_does_not_move_them(seed):
    rng = np.random.default_rng(seed)
    squared = squareform(pdist(rng.normal(size=(9, 5)), "sqeuclidean"))
    order = rng.permutation(9)
    points, share = classical_mds(squared)
    moved, share_of_moved = classical_mds(squared[np.ix_(order, order)])
    np.testing.assert_allclose(moved, points[order], atol=1e-8)
    assert share_of_moved == pytest.approx(share)


def test_correlation_distance_is_a_squared_distance():
    """1 - r is half the squared distance of patterns with mean 0 and length 1."""
    x = np.random.default_rng(0).normal(size=(10, 6))
    z = x - x.mean(axis=1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    points, share = stimulus_map(pdist(x, "correlation"), "correlation")
    pca = PCA(2).fit(z)
    np.testing.assert_allclose(np.abs(points) * np.sqrt(2), np.abs(pca.transform(z)), atol=1e-9)
    assert share == pytest.approx(pca.explained_variance_ratio_.sum())
    of_distances, _ = stimulus_map(pdist(x), "euclidean")
    np.testing.assert_allclose(np.abs(of_distances), np.abs(PCA(2).fit_transform(x)), atol=1e-9)


# ------------------------------------------------------------------------------------------
# Pictures


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20))
def test_percentiles_are_ranks_from_0_to_100(values):
    vector = np.array(values, float)
    shown = percentiles(vector)
    assert shown.min() >= 0
    assert shown.max() <= 100
    np.testing.assert_array_equal(rankdata(shown), rankdata(vector))
    np.testing.assert_array_equal(percentiles(3 * vector + 1), shown)
    np.testing.assert_array_equal(percentiles(np.arange(5.0)), [0, 25, 50, 75, 100])


def test_data_are_the_mean_dissimilarities_and_the_maps(tmp_path):
    rdms, models = some_rdms(12), {"net": some_rdms(12, 1)}
    _, (pairs, places) = draw(tmp_path, rdms=rdms, models=models)
    upper = np.triu_indices(12, 1)
    assert list(pairs["stimulus_a"]) == list(ids_of(12)[upper[0]])
    assert list(pairs["stimulus_b"]) == list(ids_of(12)[upper[1]])
    for column, each in (("v4", rdms), ("net", models["net"])):
        mean = each.dissimilarities.mean(axis=0)
        np.testing.assert_allclose(pairs[column], mean, rtol=1e-4)
        part = places[places["rdm"] == column]
        assert list(part["stimulus_id"]) == list(ids_of(12))
        points, share = stimulus_map(mean, "correlation")
        np.testing.assert_allclose(part[["x", "y"]], points, rtol=1e-4, atol=1e-4)
        assert part["share_of_variance"].iloc[0] == pytest.approx(share, rel=1e-4)


def test_models_are_joined_by_stimulus_not_by_position(tmp_path):
    rdms = some_rdms(12)
    order = np.random.default_rng(0).permutation(12)
    matrices = rdms.as_rsatoolbox().get_matrices()[:, order][:, :, order]
    vectors = np.stack([squareform(m, checks=False) for m in matrices])
    shuffled = make_rdms(vectors, ids_of(12)[order], "correlation", {"subject": ["a", "b"]})
    _, (pairs, _) = draw(tmp_path, rdms=rdms, models={"same": shuffled})
    np.testing.assert_array_equal(pairs["v4"], pairs["same"])
    with pytest.raises(RepbiasError, match="2 of 14 stimuli have no row"):
        draw(tmp_path, n=14, models={"same": shuffled})


def test_a_model_may_be_called_like_the_recording(tmp_path):
    _, (pairs, _) = draw(tmp_path, models={"v4": some_rdms(12, 1)})
    assert list(pairs.columns[2:]) == ["v4", "v4 (model)"]


def test_groups_sort_and_colour_the_stimuli(tmp_path):
    groups = np.array(["plants", "animals", "<tools>"] * 4)
    (_, places_svg), (pairs, places) = draw(tmp_path, groups=groups)
    known = dict(zip(ids_of(12), groups, strict=True))
    assert list(places["group"][:12]) == sorted(groups)
    assert [known[s] for s in places["stimulus_id"][:12]] == list(places["group"][:12])
    assert pairs["stimulus_a"][0] in ids_of(12)[groups == "<tools>"]
    assert "&lt;tools&gt;" in places_svg
    assert "<tools>" not in places_svg
    figure = rdm_figure({"v4": np.arange(66.0)}, np.sort(groups), [], "")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["<tools>", "animals", "plants"]
    lines = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_xdata()[1] == 1]
    assert lines[:2] == [3.5, 7.5]
    with pytest.raises(RepbiasError, match="12 groups for 13 stimuli"):
        draw(tmp_path, n=13, groups=groups)


def test_an_rdm_is_shown_as_its_percentiles():
    vector = np.random.default_rng(0).normal(size=15)
    figure = rdm_figure({"v4": vector}, None, [], "6 stimuli")
    shown = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    np.testing.assert_allclose(shown[np.triu_indices(6, 1)], percentiles(vector))
    np.testing.assert_array_equal(shown, shown.T)
    assert np.isnan(shown.diagonal()).all()


@pytest.mark.slow
def test_the_same_recording_gives_the_same_bytes(tmp_path):
    first, second = (draw(tmp_path / f, images=some_images(12)[0]) for f in ("one", "two"))
    assert first[0] == second[0]


@pytest.mark.parametrize(("n", "n_shown"), [(6, 6), (7, 0)])
def test_thumbnails_are_read_once_and_only_of_few_stimuli(n, n_shown, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_THUMBNAILS", 6)
    images, loaded = some_images(n)
    draw(tmp_path, n=n, images=images, models={})
    assert len(loaded) == n_shown


@pytest.mark.slow
def test_files_are_small_whatever_the_images(tmp_path):
    """The worst case: as many thumbnails as there may be, of noise."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8))
    images = Images(list(ids_of(100)), lambda i: noise.copy())
    svgs, _ = draw(tmp_path, n=100, images=images, models={})
    assert max(map(len, svgs)) < 1_000_000
    for svg in svgs:
        for reference in re.findall(r'href="([^"]*)"', svg):
            assert reference.startswith(("#", "data:image/png"))


def test_many_stimuli_and_models_are_cut_down_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_STIMULI", 10)
    monkeypatch.setattr(pictures, "MOST_MODELS", 2)
    models = {f"net{i}": some_rdms(30, i) for i in range(5)}
    svgs, (pairs, places) = draw(tmp_path, n=30, models=models)
    assert len(pairs) == 45
    assert list(pairs.columns[3:]) == ["net0", "net1"]
    stimuli = places["stimulus_id"][:10]
    assert [stimuli.iloc[0], stimuli.iloc[-1]] == ["s000", "s029"]
    for svg in svgs:
        assert "10 of 30 stimuli; 3 models are not shown" in svg


def test_thumbnails_keep_their_shape_and_missing_ones_are_gaps():
    images, _ = some_images(3)
    *thumbnails, missing = load_thumbnails(images, np.array(["s002", "s000", "unknown"]))
    assert missing is None
    assert [int(t[t.shape[0] // 2, 0, 0]) for t in thumbnails] == [2, 0], "by id"
    height, width = np.argwhere(thumbnails[0][:, :, 3]).max(axis=0) - np.argwhere(
        thumbnails[0][:, :, 3]
    ).min(axis=0)
    assert (width + 1) / (height + 1) == pytest.approx(2, rel=0.1)


def test_pictures_without_any_image_draw_dots(tmp_path):
    images, _ = some_images(12)
    images.ids[:] = [f"other{i}" for i in range(12)]
    svgs, _ = draw(tmp_path, images=images)
    embedded = [re.findall(r"data:image/png;base64,([^\"]*)", svg) for svg in svgs]
    assert len(embedded[0]) == 3, "three RDMs"
    assert embedded[1] == []
    for data in embedded[0]:
        Image.open(io.BytesIO(base64.b64decode(data))).verify()


@pytest.mark.slow
def test_letters_that_the_font_lacks_are_left_to_the_viewer(tmp_path):
    """They would be boxes; other pictures have the same shapes of letters on every machine."""
    for name, missing in (("café", False), ("前頭葉", True)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for svg in draw(tmp_path, name=name)[0]:
                assert ("<text" in svg) == missing


def test_hostile_names_are_text(tmp_path):
    evil = '<script>alert("$1$")</script>'
    svgs, _ = draw(tmp_path, models={evil: some_rdms(12, 1)})
    for svg in svgs:
        assert "<script" not in svg


def test_categories_are_found_among_the_stimuli():
    ids = ids_of(30)
    colour, category = np.array(["red", "blue"] * 15), np.array(["a", "b", "c"] * 10)
    columns = {
        "stimulus_id": ids,
        "name": ids,
        "same": np.full(30, "x"),
    }
    assert groups_of_stimuli(Recording(stimuli=columns)) is None
    columns["size"] = np.arange(30.0)[::-1]
    quarters = ["size 0 to 7", "size 8 to 14", "size 15 to 21", "size 22 to 29"]
    assert list(groups_of_stimuli(Recording(stimuli=columns)).categories) == quarters
    assert groups_of_stimuli(Recording(stimuli=columns))[0] == quarters[-1]
    for animate in (
        np.array([10, 9] * 15),
        np.array(["1", "0"] * 15),
        np.array(["yes", "no"] * 15),
    ):
        columns["animate"] = animate
        assert list(groups_of_stimuli(Recording(stimuli=columns))) == [
            f"animate {value}" for value in animate
        ]
    columns["colour"] = colour
    assert list(groups_of_stimuli(Recording(stimuli=columns))) == list(colour)
    columns["Category_name"] = category
    assert list(groups_of_stimuli(Recording(stimuli=columns))) == list(category)


def test_one_layer_of_final_included_networks_is_shown():
    rows = [
        (layer, snapshot, included)
        for layer in ("conv1", "conv2")
        for snapshot in ("initial", "final")
        for included in (True, True, False)
    ]
    info = dict(zip(("layer", "snapshot", "included"), zip(*rows, strict=True), strict=True))
    vectors = np.arange(12.0)[:, None] + np.zeros(6)
    rdms = make_rdms(vectors, ids_of(4), "correlation", info)
    shown = models_shown({"net": rdms, "conv2": rdms}, {"net": "conv1", "conv2": "conv2"})
    assert list(shown) == ["net, conv1", "conv2"]
    assert list(shown["net, conv1"].dissimilarities[:, 0]) == [3, 4]
    assert list(shown["conv2"].dissimilarities[:, 0]) == [9, 10]
    assert models_shown({"net": rdms}, {"net": "absent"}) == {}
    spaces = models_shown({"net": rdms}, {"net": "conv2"}, ["net"])
    assert list(spaces) == ["net, conv1", "net, conv2"], "of which none stands for the others"


def test_stimuli_are_sorted_by_their_groups_and_then_by_their_other_features(tmp_path):
    """Numbers as numbers, and groups in their own order; names of files say nothing."""
    stimuli = {"stimulus_id": ids_of(6), "file": np.array([f"{i}.png" for i in range(6)])}
    stimuli |= {"size": np.array([10, 9, 2, 10, 9, 2]), "alive": np.array([1, 1, 1, 0, 0, 0])}
    recording = Recording(stimuli=stimuli)
    paths = [tmp_path / "rdms.svg", tmp_path / "mds.svg"]
    for groups, order in (
        (pd.Categorical(["b", "a"] * 3, ["b", "a"]), [2, 4, 0, 5, 1, 3]),
        (None, [5, 2, 4, 1, 3, 0]),
    ):
        draw_recording_pictures("v4", recording, {"v4": some_rdms(6)}, {}, None, groups, *paths)
        shown = pd.read_csv(paths[1].with_suffix(".csv"))["stimulus_id"]
        assert list(shown) == [f"s{i:03d}" for i in order]
        assert f"<title>s{order[0]:03d}</title>" in paths[1].read_text()


def test_a_picture_is_known_by_its_name():
    assert picture_of("rdms_human_it") == ("rdms", "human_it")
    assert picture_of("mds_v4") == ("mds", "v4")
    for other in ("rsa_recordings", "rdms", "rdms_", "quality"):
        assert picture_of(other) is None


def test_a_picture_of_a_network_is_known_by_its_folders():
    folder = Path("/results/map/figures")
    found = network_picture_of(folder / "rdm/cnn/rate=0.01,targets=a.b.svg")
    assert found == ("rdm", "cnn/rate=0.01,targets=a.b")
    assert caption_of(folder / "rdm/cnn/base.svg") is NETWORK_PICTURES["rdm"]
    assert caption_of(folder / "stimuli.svg") is STIMULI
    assert caption_of(folder / "rdms_v4.svg") is PICTURES["rdms"]
    assert caption_of(folder / "units.svg") is FIGURES["units"]
    for other in (folder / "variance.svg", Path("rdm/cnn/base.svg"), folder / "other/cnn/base.svg"):
        assert network_picture_of(other) is None
    assert caption_of(folder / "other.svg") is None
