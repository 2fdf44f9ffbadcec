"""Sequences of tokens: features, their balance and independence, and what a task is about."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.stimuli.families import stimulus_family
from repbias.stimuli.tokens import Tokens

MIXED = {
    "local": {"function": "member"},
    "count": {"function": "count_parity"},
    "xor": {"function": "xor"},
    "ends": {"function": "equal"},
}
OWN = """
def rising(tokens, rng, vocabulary):
    return tokens[:, 0] < tokens[:, -1]

def broken(tokens, rng, vocabulary):
    return tokens.sum(axis=1)

def failing(tokens, rng, vocabulary):
    raise KeyError("nothing")
"""


def family(features=MIXED, **changes):
    given = {"kind": "tokens", "features": features, "length": 8, "vocabulary": 8}
    given |= {"n_train": 256, "n_validation": 64, "n_test": 160} | changes
    return Tokens.model_validate(given)


def test_labels_are_what_the_functions_say():
    spec = family(
        {
            "equal": {"function": "equal"},
            "same": {"function": "equal", "places": [1, 2, 3]},
            "three": {"function": "majority", "places": [4, 5, 6]},
            "one": {"function": "majority", "places": [4]},
            "odd": {"function": "xor", "places": [4, 5]},
        }
    )
    rng = np.random.default_rng(1)
    tokens = rng.integers(8, size=(500, 8), dtype=np.uint8)
    tokens[:50, 1:4] = tokens[:50, 1:2]
    labels = dict(zip(spec.features, spec.labels_of(tokens).T, strict=True))
    np.testing.assert_array_equal(labels["equal"], tokens[:, 0] == tokens[:, 7])
    np.testing.assert_array_equal(labels["same"], np.ptp(tokens[:, 1:4].astype(int), axis=1) == 0)
    # The set of a feature is the half of the vocabulary of which one token alone is in it.
    chosen = {}
    for name in ("three", "one", "odd"):
        number = list(spec.features).index(name)
        chosen[name] = np.random.default_rng([0, 1 + number]).permutation(8) < 4
    np.testing.assert_array_equal(labels["one"], chosen["one"][tokens[:, 4]])
    np.testing.assert_array_equal(
        labels["three"], chosen["three"][tokens[:, 4:7]].astype(int).sum(axis=1) >= 2
    )
    np.testing.assert_array_equal(
        labels["odd"], chosen["odd"][tokens[:, 4]] ^ chosen["odd"][tokens[:, 5]]
    )


@pytest.mark.parametrize("task", range(20))
def test_counts_are_of_one_token_anywhere(task):
    features = {"odd": {"function": "count_parity"}, "any": {"function": "present"}}
    spec = family(features, task=task)
    tokens = np.random.default_rng(0).integers(8, size=(2000, 8), dtype=np.uint8)
    odd, some = spec.labels_of(tokens).T
    counts = np.stack([(tokens == t).sum(axis=1) for t in range(8)])
    of_odd = [t for t, count in enumerate(counts) if (odd == count % 2).all()]
    of_some = [t for t, count in enumerate(counts) if (some == (count > 0)).all()]
    assert len(of_odd) == len(of_some) == 1
    assert of_odd != of_some, "they could not be independent"


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 1000),
    st.integers(4, 40),
    st.integers(8, 24),
    st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
)
def test_features_are_balanced_and_independent_in_every_task(task, vocabulary, length, spans):
    features = {f"f{i}": {"function": "majority", "span": s} for i, s in enumerate(spans)}
    if sum(spans) > length:
        with pytest.raises(ValidationError, match="more than the"):
            family(features, task=task, vocabulary=vocabulary, length=length)
        return
    spec = family(features, task=task, vocabulary=vocabulary, length=length)
    places = [place for read in spec.places().values() for place in read]
    assert len(set(places)) == len(places)
    stimuli = spec.generate()
    for split, n in (("validation", 64), ("test", 160)):
        labels = stimuli.labels[stimuli.split == split].astype(int)
        cells = labels @ 2 ** np.arange(len(spans))
        # Up to rounding, as many of every combination; among the first ones too.
        assert np.ptp(np.bincount(cells, minlength=2 ** len(spans))) <= 1
        assert np.ptp(np.bincount(cells[: n // 2], minlength=2 ** len(spans))) <= 1
    assert stimuli.inputs.min() >= 0
    assert stimuli.inputs.max() < vocabulary


def test_no_sequence_occurs_twice_in_all_splits():
    spec = family()
    common, own = spec.generate(), spec.training_set(3)
    assert len({*common.ids, *own.ids}) == 64 + 160 + 256
    rows = {tuple(row) for row in np.concatenate([common.inputs, own.inputs])}
    assert len(rows) == 64 + 160 + 256
    assert common.shown == spec.inputs


def test_a_task_is_what_features_are_about():
    tokens = np.random.default_rng(0).integers(8, size=(500, 8), dtype=np.uint8)
    labels = [family(task=task).labels_of(tokens) for task in (0, 0, 1)]
    np.testing.assert_array_equal(labels[0], labels[1])
    changed = (labels[0] != labels[2]).mean(axis=0)
    assert (changed[:3] > 0.2).all()
    assert changed[3] == 0, "first equals last in every task"
    # Another seed draws other stimuli of the same task.
    again = family(seed=5)
    np.testing.assert_array_equal(again.labels_of(tokens), labels[0])
    assert again.generate().ids.tolist() != family().generate().ids.tolist()


def test_tasks_have_sequences_of_their_own():
    ids = [set(family(task=task, length=16).generate().ids) for task in (0, 1)]
    assert not ids[0] & ids[1]


def test_two_features_cannot_ask_the_same():
    with pytest.raises(ValidationError, match="two features ask whether the same tokens are equal"):
        family({"a": {"function": "equal"}, "b": {"function": "equal"}})


def test_sub_components_are_memberships():
    stimuli = family().generate()
    assert stimuli.components == ["xor.place1", "xor.place2"]
    a, b = stimuli.component_labels.T
    np.testing.assert_array_equal(a ^ b, stimuli.labels[:, 2])
    assert family().components("local") == {}


def test_training_can_be_manipulated():
    features = {name: dict(f) for name, f in MIXED.items()}
    features["local"]["prevalence"] = 0.8
    spec = family(features, agreement={"features": ["count", "xor"], "probability": 0.9})
    labels = spec.training_set(0).labels
    assert labels[:, 0].mean() == pytest.approx(0.8, abs=0.01)
    assert (labels[:, 1] == labels[:, 2]).mean() == pytest.approx(0.9, abs=0.01)
    test = spec.generate()
    assert test.labels.mean(axis=0) == pytest.approx([0.5] * 4)


@pytest.fixture
def own_functions(tmp_path, monkeypatch):
    (tmp_path / "own_tokens.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_feature_may_be_a_function_of_yours(own_functions):
    spec = family({"rising": {"function": "own_tokens:rising", "places": [2, 5]}})
    stimuli = spec.generate()
    np.testing.assert_array_equal(stimuli.labels[:, 0], stimuli.inputs[:, 2] < stimuli.inputs[:, 5])
    assert spec.source_files() == [str(own_functions / "own_tokens.py")]
    assert family().source_files() == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", r"expected labels of 0 and 1 of shape \(\d+,\)"),
        ("failing", "KeyError: 'nothing'"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused(own_functions, function, message):
    spec = family({"mine": {"function": f"own_tokens:{function}"}})
    with pytest.raises(RepbiasError, match=message):
        spec.generate()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"a": {"function": "membr"}}, "unknown feature function; did you mean 'member'"),
        ({"a": {"function": "nowhere:f"}}, "no module named 'nowhere'"),
        ({"a": {"function": "member", "span": 2}}, "'member' reads 1 place, found 2"),
        ({"a": {"function": "majority", "span": 4}}, "needs an odd number of places, not 4"),
        ({"a": {"function": "xor", "places": [0, 8]}}, "no place 8 in 8 tokens"),
        ({"a": {"function": "xor", "places": [1, 1]}}, "one occurs twice"),
        ({"a": {"function": "xor", "places": [0, 1], "span": 3}}, "span is 3, but there are 2"),
        ({f"f{i}": {"function": "majority"} for i in range(3)}, "features read 9 places, more"),
    ],
)
def test_what_is_wrong_is_refused(features, message):
    with pytest.raises(ValidationError, match=message):
        family(features)


def test_sequences_that_are_too_short_are_refused():
    with pytest.raises(ValidationError, match="different stimuli do not fit into 3 of 4 tokens"):
        family({"a": {"function": "member"}}, length=3, vocabulary=4)
    with pytest.raises(RepbiasError, match="give more tokens or a longer sequence"):
        family({"a": {"function": "equal"}}, length=4, vocabulary=6, n_train=300).training_set(0)


def test_the_configuration_names_the_family_by_its_kind():
    assert isinstance(stimulus_family(family().model_dump()), Tokens)
