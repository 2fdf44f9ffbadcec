"""Feature spaces: columns of the stimuli's table as models."""

import numpy as np
import pytest

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.activations import put_model_activations
from repbias.networks.features import feature_spaces
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


def test_feature_spaces_are_written_like_layers(tmp_path):
    spec = FeatureNetwork(kind="features", spaces={"category": ["kind"], "all": ["size", "kind"]})
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
