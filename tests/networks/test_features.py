"""Feature spaces: columns of the stimuli's table as models."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import zscore

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.features import feature_spaces
from repbias.networks.model_activations import put_model_activations
from repbias.networks.spec import FeatureNetwork
from repbias.stimuli.images import Images, open_images
from repbias.stimuli.spec import ImageSet

KNOWN = Images(
    ["a", "b", "c", "d"],
    None,
    {
        "kind": np.array(["cat", "dog", "cat", "tool"]),
        "size": np.array([1.0, 2.0, 3.0, 4.0]),
        "same": np.array([1, 1, 1, 1]),
    },
)


def network(*columns, **settings):
    return FeatureNetwork(kind="features", spaces={"known": list(columns)}, **settings)


def from_table(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    return open_images(ImageSet(table=tmp_path / "s.csv"))


def test_feature_spaces_and_pixels_are_written_without_pytorch():
    code = "import sys, repbias.networks.model_activations; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_feature_spaces_are_written_like_layers(tmp_path):
    spec = FeatureNetwork(
        kind="features", scale="z", spaces={"category": ["kind"], "all": ["size", "kind"]}
    )
    with create(tmp_path / "a.h5", "activations") as file:
        put_model_activations(file, "known", spec, KNOWN, "cpu")
    found = Activations.open(tmp_path / "a.h5")
    assert found.layers == ["category", "all"]
    one_hot = [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(found.read("category", 0), one_hot)
    standardised = (KNOWN.columns["size"] - 2.5) / np.sqrt(1.25)
    np.testing.assert_allclose(found.read("all", 0)[:, 0], standardised, rtol=1e-6)
    np.testing.assert_array_equal(found.read("all", 0)[:, 1:], one_hot)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("sise", "has no column 'sise'; did you mean 'size'"),
        ("same", "the column 'same' is constant"),
        ("sise_*", r"feature space 'known': the stimuli's table has no column 'sise_\*'"),
        ("size_1..size_3", "no column 'size_1'; did you mean 'size'"),
    ],
)
def test_columns_that_are_no_feature_are_refused(column, message):
    with pytest.raises(RepbiasError, match=message):
        feature_spaces(network(column), KNOWN)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [("", "is not a number"), ("NA", "is not a number"), ("4 cm", "is text among numbers")],
)
def test_one_cell_does_not_make_categories_of_sizes(cell, problem, tmp_path):
    """One size of four is missing or mistyped; the space would be five categories."""
    stimuli = from_table(tmp_path, f"stimulus_id,size\nd,1\nc,2\nb,{cell}\na,4\n")
    with pytest.raises(RepbiasError) as caught:
        feature_spaces(network("size"), stimuli)
    said = str(caught.value)
    assert f"s.csv: line 4, stimulus 'b', column 'size': {problem}" in said


def test_a_missing_category_is_no_category_of_its_own(tmp_path):
    stimuli = from_table(tmp_path, "stimulus_id,kind\na,cat\nb,n/a\nc,2nd\n")
    with pytest.raises(RepbiasError, match="line 3, stimulus 'b', column 'kind': is missing"):
        feature_spaces(network("kind"), stimuli)


RNG = np.random.default_rng(0)
#: Dimensions of an embedding have a scale of their own: a few carry most of the variance.
EMBEDDING = RNG.normal(2, 1, (12, 11)) * 0.5 ** np.arange(11)
EMBEDDED = Images(
    [f"s{i:02}" for i in range(12)],
    None,
    {f"emb_{i}": EMBEDDING[:, i] for i in range(11)}
    | {"unused": np.zeros(12), "kind": np.array(["a", "b"] * 6)},
)


@pytest.mark.parametrize("columns", [["emb_*"], ["emb_0..emb_10"], ["emb_0", "emb_1..emb_10"]])
@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("none", pdist(EMBEDDING)),
        ("z", pdist(zscore(EMBEDDING, axis=0))),
        ("unit", np.sqrt(2 * pdist(EMBEDDING, "cosine"))),
    ],
)
def test_distances_of_an_embedding_are_those_of_scipy(scale, expected, columns):
    found = feature_spaces(network(*columns, scale=scale), EMBEDDED)["known"]
    np.testing.assert_allclose(pdist(found), expected, rtol=1e-5)


def test_a_space_of_several_columns_says_how_it_is_scaled():
    """Standardised, the embedding would correlate with its own distances at 0.7."""
    standardised = feature_spaces(network("emb_*", scale="z"), EMBEDDED)["known"]
    assert np.corrcoef(pdist(standardised), pdist(EMBEDDING))[0, 1] < 0.7
    for columns in (["emb_*"], ["emb_1", "kind"]):
        with pytest.raises(RepbiasError, match=r"'known': .* set the network's 'scale' to none"):
            feature_spaces(network(*columns), EMBEDDED)
    for columns in (["emb_1"], ["kind"]):
        assert len(feature_spaces(network(*columns), EMBEDDED)["known"]) == 12


def test_dimensions_that_no_stimulus_uses_are_no_obstacle_unless_standardised():
    found = feature_spaces(network("emb_3", "unused", scale="none"), EMBEDDED)["known"]
    np.testing.assert_allclose(pdist(found), pdist(EMBEDDING[:, 3:4]), rtol=1e-5)
    with pytest.raises(RepbiasError, match="the column 'unused' is constant"):
        feature_spaces(network("emb_3", "unused", scale="z"), EMBEDDED)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["emb_*", "emb_3"], "'emb_3' occurs twice"),
        (["emb_3..emb_1"], "the range 'emb_3..emb_1' descends"),
        (["emb_3..emb_999999999"], "no column 'emb_11'"),
        (["emb_3"], "unit needs several columns, all of numbers; found 1 of 1"),
        (["emb_3", "kind"], "unit needs several columns, all of numbers; found 1 of 2"),
    ],
)
def test_columns_that_make_no_space_are_refused(columns, message):
    with pytest.raises(RepbiasError, match=message):
        feature_spaces(network(*columns, scale="unit"), EMBEDDED)


def test_a_zero_vector_has_no_direction():
    zero = Images(["a", "b"], None, {"x": np.array([0, 1]), "y": np.array([0.0, 2])})
    with pytest.raises(RepbiasError, match="the vector of stimulus 'a' is zero"):
        feature_spaces(network("x", "y", scale="unit"), zero)
