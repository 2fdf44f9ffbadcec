"""Manipulated training stimuli against closed forms; evaluation stays balanced throughout."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.stimuli.bits import Bits
from repbias.stimuli.manipulations import (
    supervised_stimuli,
    training_probabilities,
)

EVALUATION = ("validation", "test")


def bits_with(features: dict[str, dict], **manipulations) -> Bits:
    """Settings with the features "bit" of three bits each, so that combinations are not rare."""
    whole = {n: {"function": "bit", "bits": 3} | feature for n, feature in features.items()}
    sizes = {"n_train": 400, "n_validation": 66, "n_test": 66, "training_sets": "common"}
    return Bits(features=whole, **({"noise_bits": 16} | sizes | manipulations))


@st.composite
def manipulated(draw) -> Bits:
    """Draw settings in which features are left alone or manipulated in one of three ways."""
    names = draw(st.permutations(["a", "b", "c", "d"][: draw(st.integers(1, 4))]))
    p = st.floats(0, 1)
    roles = [draw(st.sampled_from(["plain", "prevalence", "label"])) for _ in names]
    manipulations = {}
    if len(names) > 1 and draw(st.booleans()):
        pair = draw(st.permutations(range(len(names))))[:2]
        for i in pair:
            roles[i] = "agreement"
        manipulations["agreement"] = {
            "features": [names[i] for i in pair],
            "probability": draw(p),
        }
    label = {n: draw(p) for n, role in zip(names, roles, strict=True) if role == "label"}
    features = {
        n: {"prevalence": draw(st.floats(0.1, 0.9))} if role == "prevalence" else {}
        for n, role in zip(names, roles, strict=True)
    }
    manipulations["label"] = label
    # Short strings are enumerated, long ones are drawn.
    noise_bits = 11 - 2 * len(names) if len(names) < 3 else 16
    return bits_with(
        features, noise_bits=noise_bits, seed=draw(st.integers(0, 2**32)), **manipulations
    )


def joint(spec: Bits) -> np.ndarray:
    """The distribution of features and the extra target, as a table with one axis for each.

    Written as a product of independent factors; the last axis is the target, a fair coin.
    """
    names = list(spec.features)
    table = np.full((2,) * len(names) + (2,), 0.5)

    def multiply(factor: np.ndarray, *axes: int) -> None:
        shape = np.ones(table.ndim, int)
        shape[list(axes)] = 2
        # The factor's axes come in the order of `axes`, the table's in that of its own.
        table[...] *= np.transpose(factor, np.argsort(axes)).reshape(shape)

    for i, name in enumerate(names):
        if name in spec.label:
            p = spec.label[name]
            multiply(np.array([[p, 1 - p], [1 - p, p]]), i, len(names))
        elif spec.agreement is None or name not in spec.agreement.features:
            prevalence = spec.features[name].prevalence
            multiply(np.array([1 - prevalence, prevalence]), i)
    if spec.agreement is not None:
        p = spec.agreement.probability
        axes = [names.index(name) for name in spec.agreement.features]
        multiply(np.array([[p, 1 - p], [1 - p, p]]) / 2, *axes)
    return table


def as_table(spec: Bits) -> np.ndarray:
    """`training_probabilities` as a table with one axis per feature."""
    probabilities, _ = training_probabilities(spec.features, spec)
    # Bit 0 of a combination's number is the first feature: the first axis varies fastest.
    return probabilities.reshape((2,) * len(spec.features), order="F")


# The distribution.


@settings(max_examples=100)
@given(manipulated())
def test_probabilities_are_those_of_independent_factors(spec):
    probabilities, label = training_probabilities(spec.features, spec)
    assert probabilities.shape == label.shape == (2 ** len(spec.features),)
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1)
    expected = joint(spec)
    np.testing.assert_allclose(as_table(spec), expected.sum(axis=-1), atol=1e-12)
    # The extra target, where the combination occurs at all.
    together = (probabilities * label).reshape(expected.shape[:-1], order="F")
    np.testing.assert_allclose(together, expected[..., 1], atol=1e-12)


@settings(max_examples=100)
@given(manipulated())
def test_moments_are_as_specified(spec):
    table, names = as_table(spec), list(spec.features)
    values = np.indices(table.shape)
    together = set() if spec.agreement is None else set(spec.agreement.features)
    for i, name in enumerate(names):
        wanted = 0.5 if name in {*together, *spec.label} else spec.features[name].prevalence
        assert (table * values[i]).sum() == pytest.approx(wanted)
    for (i, a), (j, b) in combinations(enumerate(names), 2):
        agree = (table * (values[i] == values[j])).sum()
        p, q = ((table * values[k]).sum() for k in (i, j))
        if {a, b} == together:
            assert agree == pytest.approx(spec.agreement.probability)
        elif {a, b} <= spec.label.keys():
            easy, hard = spec.label[a], spec.label[b]
            assert agree == pytest.approx(easy * hard + (1 - easy) * (1 - hard))
        else:
            assert agree == pytest.approx(p * q + (1 - p) * (1 - q)), "independent"


@settings(max_examples=50)
@given(manipulated())
def test_the_target_equals_each_feature_as_often_as_specified(spec):
    assume(spec.label)
    probabilities, label = training_probabilities(spec.features, spec)
    assert (probabilities * label).sum() == pytest.approx(0.5)
    number = np.arange(len(probabilities))
    for i, name in enumerate(spec.features):
        is_set = number >> i & 1 == 1
        equal = np.where(is_set, label, 1 - label)
        p = spec.label.get(name, 0.5)
        assert (probabilities * equal).sum() == pytest.approx(p, abs=1e-9), name


def test_two_features_by_hand():
    """Predictivities .9 and .6; the combinations are 00, 10, 01, 11 of (easy, hard)."""
    spec = bits_with({"easy": {}, "hard": {}}, label={"easy": 0.9, "hard": 0.6})
    probabilities, label = training_probabilities(spec.features, spec)
    agree, differ = 0.9 * 0.6 + 0.1 * 0.4, 0.9 * 0.4 + 0.1 * 0.6
    np.testing.assert_allclose(probabilities, np.array([agree, differ, differ, agree]) / 2)
    np.testing.assert_allclose(
        label, [0.1 * 0.4 / agree, 0.9 * 0.4 / differ, 0.1 * 0.6 / differ, 0.9 * 0.6 / agree]
    )


def test_without_an_extra_target_its_probability_is_one_half():
    spec = bits_with({"a": {"prevalence": 0.2}, "b": {}})
    probabilities, label = training_probabilities(spec.features, spec)
    np.testing.assert_allclose(probabilities, [0.4, 0.1, 0.4, 0.1])
    assert (label == 0.5).all()


# The stimuli.


@settings(max_examples=80)
@given(manipulated())
def test_training_stimuli_have_the_specified_distribution(spec):
    """Every combination occurs as often as it should, up to rounding."""
    _, labels, _ = spec.generate().part("train")
    n_features = len(spec.features)
    numbers = labels[:, :n_features].astype(int) @ 2 ** np.arange(n_features)
    counts = np.bincount(numbers, minlength=2**n_features)
    probabilities, _ = training_probabilities(spec.features, spec)
    assert np.abs(counts - 400 * probabilities).max() < 1 + 1e-6
    assert not counts[probabilities == 0].any()


@settings(max_examples=80)
@given(manipulated())
def test_evaluation_stays_balanced_and_independent_under_every_manipulation(spec):
    stimuli = spec.generate()
    for split in EVALUATION:
        _, labels, _ = stimuli.part(split)
        seen = dict.fromkeys(product([0, 1], repeat=len(spec.features)), 0)
        for row in labels[:, : len(spec.features)].tolist():
            seen[tuple(row)] += 1
            assert max(seen.values()) - min(seen.values()) <= 1, "in any prefix"
        assert stimuli.audit[split]["max_phi_deviation"] < 4 / 66


@settings(max_examples=20)
@given(manipulated(), st.floats(0, 1))
def test_supervision_changes_nothing_but_the_mask(spec, supervised):
    silent = {n: f.model_copy(update={"supervised": supervised}) for n, f in spec.features.items()}
    full, partial = spec.generate(), spec.model_copy(update={"features": silent}).generate()
    for name in ("inputs", "ids", "split", "labels", "component_labels"):
        np.testing.assert_array_equal(getattr(full, name), getattr(partial, name))
    assert full.audit == partial.audit


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.8, 1.0])
def test_agreement_gives_the_phi_of_its_probability(p):
    """Balanced features that agree with probability p have phi = 2p - 1."""
    spec = bits_with(
        {"easy": {}, "other": {}, "hard": {"function": "xor"}},
        agreement={"features": ["hard", "easy"], "probability": p},
        n_train=800,
    )
    stimuli = spec.generate()
    _, labels, _ = stimuli.part("train")
    phi = np.corrcoef(labels.T)
    np.testing.assert_allclose(phi[0, 2], 2 * p - 1, atol=1e-9)
    np.testing.assert_allclose([phi[0, 1], phi[1, 2]], 0, atol=1e-9)
    assert (labels[:, 0] == labels[:, 2]).mean() == pytest.approx(p)
    # The deviation is from the specified correlation, not from independence.
    assert stimuli.audit["train"]["max_phi_deviation"] == pytest.approx(0, abs=1e-9)
    for split in EVALUATION:
        _, labels, _ = stimuli.part(split)
        assert np.abs(np.corrcoef(labels.T) - np.eye(3)).max() < 4 / 66


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.95])
def test_prevalence(p):
    spec = bits_with({"easy": {}, "hard": {"function": "xor", "prevalence": p}})
    stimuli = spec.generate()
    _, labels, _ = stimuli.part("train")
    np.testing.assert_allclose(labels.mean(axis=0), [0.5, p], atol=2 / 400)
    assert stimuli.audit["train"]["prevalence_hard"] == labels[:, 1].mean()
    for split in EVALUATION:
        np.testing.assert_allclose(stimuli.part(split)[1].mean(axis=0), 0.5, atol=2 / 66)


def test_predictivities():
    """In training the target equals each feature as often as specified; errors are independent."""
    spec = bits_with(
        {"easy": {}, "hard": {"function": "xor"}, "other": {}},
        label={"hard": 0.7, "easy": 0.9},
        n_train=8000,
    )
    stimuli = spec.generate()
    assert list(spec.targets) == stimuli.features == ["easy", "hard", "other", "label"]
    _, labels, _ = stimuli.part("train")
    equal = labels[:, :3] == labels[:, 3:]
    # Five standard errors of a share of 8000; that of an independent feature is the largest.
    tolerance = 5 * 0.5 / np.sqrt(8000)
    np.testing.assert_allclose(equal.mean(axis=0), [0.9, 0.7, 0.5], atol=tolerance)
    assert labels[:, 3].mean() == pytest.approx(0.5, abs=tolerance)
    assert np.abs(np.corrcoef(equal.T) - np.eye(3)).max() < 5 / np.sqrt(8000)
    assert (labels[:, 0] == labels[:, 1]).mean() == pytest.approx(0.9 * 0.7 + 0.1 * 0.3, abs=1e-3)
    assert stimuli.audit["train"]["prevalence_label"] == labels[:, 3].mean()


def test_in_evaluation_the_target_follows_from_the_features_as_in_training():
    """Only the frequencies of combinations differ: features conflict as often as they agree."""
    spec = bits_with(
        {"easy": {}, "hard": {}},
        label={"easy": 0.9, "hard": 0.6},
        n_validation=4000,
        n_test=4000,
    )
    stimuli = spec.generate()
    posterior = [0.1 * 0.4 / 0.58, 0.9 * 0.4 / 0.42, 0.1 * 0.6 / 0.42, 0.9 * 0.6 / 0.58]
    for split in EVALUATION:
        _, labels, _ = stimuli.part(split)
        combination = labels[:, 0] + 2 * labels[:, 1]
        assert np.bincount(combination).tolist() == [1000] * 4
        found = [labels[combination == c, 2].mean() for c in range(4)]
        np.testing.assert_allclose(found, posterior, atol=5 * 0.5 / np.sqrt(1000))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_perfect_predictor_decides_the_target_everywhere(p):
    stimuli = bits_with({"easy": {}, "hard": {}}, label={"hard": p}).generate()
    np.testing.assert_array_equal(stimuli.labels[:, 2], stimuli.labels[:, 1] ^ (p == 0))


def test_an_extra_target_has_no_components_but_a_name():
    named = (
        bits_with({"hard": {"function": "xor"}}, label={"hard": 1.0})
        .generate()
        .named_labels("test")
    )
    assert list(named) == ["hard", "label", "hard.bit1", "hard.bit2"]
    np.testing.assert_array_equal(named["label"], named["hard"])


# Supervision.


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
    st.integers(16, 150),
    st.booleans(),
    st.integers(0, 100),
)
def test_supervised_masks_the_share_asked_for_in_training_only(shares, n_train, extra, seed):
    features = {f"f{i}": {"supervised": share} for i, share in enumerate(shares)}
    label = {"f0": 0.8} if extra else {}
    spec = bits_with(features, label=label, n_train=n_train, seed=seed)
    stimuli = spec.generate()
    assert stimuli.supervised.shape == stimuli.labels.shape
    assert stimuli.supervised.dtype == bool
    training = stimuli.split == "train"
    assert stimuli.supervised[~training].all()
    assert stimuli.supervised[training, len(shares) :].all(), "the extra target is always there"
    for i, share in enumerate(shares):
        assert stimuli.supervised[training, i].sum() == round(share * n_train)


def test_supervision_of_any_features_and_splits():
    """The last target, a label, is no feature: all of its stimuli supervise it."""
    shares = {"none": 0.0, "third": 1 / 3, "all": 1.0}
    split = np.array(["test", "train", "train", "validation", "train"] * 4)
    mask = supervised_stimuli(shares, [*shares, "label"], split, np.random.default_rng(0))
    assert mask.dtype == bool
    assert mask.shape == (20, 4)
    assert mask[split != "train"].all()
    assert mask[split == "train"].sum(axis=0).tolist() == [0, 4, 12, 12]


def test_which_stimuli_supervise_is_random():
    features = {"a": {"supervised": 0.5}, "b": {"supervised": 0.5}}
    spec = bits_with(features, n_train=4000)
    stimuli = spec.generate()
    training = stimuli.split == "train"
    mask, labels = stimuli.supervised[training], stimuli.labels[training]
    # Neither the other feature's mask, nor the labels, nor the place in the file matter.
    others = [mask[:, 1], *labels.T, np.arange(4000)]
    for other in others:
        assert abs(np.corrcoef(mask[:, 0], other)[0, 1]) < 4 / np.sqrt(4000)
    np.testing.assert_array_equal(spec.generate().supervised, stimuli.supervised)
    other_seed = spec.model_copy(update={"seed": 1}).generate()
    assert not np.array_equal(other_seed.supervised, stimuli.supervised)


# Label noise.


@pytest.mark.parametrize("training_sets", ["own", "common"])
def test_label_noise_replaces_labels_of_training_only(training_sets):
    features = {"a": {"prevalence": 0.8}, "b": {}, "c": {}}
    shares = {"a": 0.25, "b": 1.0, "c": 0.0}
    noisy = {name: f | {"label_noise": shares[name]} for name, f in features.items()}
    settings_ = {"label": {"c": 0.9}, "n_train": 2000, "training_sets": training_sets}
    plain, changed = (bits_with(f, **settings_).training_set(0) for f in (features, noisy))
    training = plain.split == "train"
    for name in ("inputs", "ids", "split", "supervised", "component_labels"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(changed, name))
    wrong = plain.labels != changed.labels
    assert not wrong[~training].any()
    assert wrong[training].sum(axis=0).tolist() == [500, 2000, 0, 0]
    # Chosen at random: as many of either class, up to chance.
    of_one = wrong[training, 0][plain.labels[training, 0] == 1].mean()
    assert of_one == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 1600))


@settings(max_examples=50)
@given(manipulated(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_label_noise_scales_the_moments(spec, noise):
    """Closed form: of labels of -1 and 1, means and products are multiplied by 1 - 2 noise."""
    features = {
        name: feature.model_copy(update={"label_noise": p})
        for (name, feature), p in zip(spec.features.items(), noise, strict=False)
    }
    table = spec.model_copy(update={"features": features})._label_probabilities("train")
    plain, _ = training_probabilities(spec.features, spec)
    signs = 2 * (np.arange(len(plain))[:, None] >> np.arange(len(features)) & 1) - 1
    factor = 1 - 2 * np.array(noise[: len(features)])
    np.testing.assert_allclose(table @ signs, (plain @ signs) * factor, atol=1e-12)
    for i, j in combinations(range(len(features)), 2):
        product_of = signs[:, i] * signs[:, j]
        expected = plain @ product_of * factor[i] * factor[j]
        assert table @ product_of == pytest.approx(expected, abs=1e-12)


def test_stimuli_without_the_noise_that_is_expected_are_refused():
    features = {"a": {"prevalence": 0.9}, "b": {}}
    stimuli = bits_with(features, n_train=1000).generate()
    noisy = bits_with({"a": {"prevalence": 0.9, "label_noise": 0.5}, "b": {}}, n_train=1000)
    with pytest.raises(RepbiasError, match=r"'a' in train is 0\.900, expected 0\.500"):
        noisy.audit(stimuli)


# The audit compares with the specified distribution.


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_independent_features_are_refused_where_agreement_is_specified(p):
    features = {"easy": {}, "hard": {}}
    wanted = bits_with(features, agreement={"features": ["easy", "hard"], "probability": p})
    message = rf"'easy' and 'hard' correlate with phi = -?0.000 in train, expected {2 * p - 1:.3f}"
    with pytest.raises(RepbiasError, match=message):
        wanted.audit(bits_with(features).generate())


def test_agreement_is_refused_where_independence_is_specified():
    features = {"easy": {}, "hard": {}}
    found = bits_with(features, agreement={"features": ["easy", "hard"], "probability": 0.9})
    with pytest.raises(RepbiasError, match=r"phi = 0.800 in train, expected 0.000 \(±0.250\)"):
        bits_with(features).audit(found.generate())


def test_the_correlation_of_two_predictors_is_expected():
    """phi = (2p - 1)(2q - 1), as errors of the two are independent."""
    features = {"easy": {}, "hard": {}}
    found = bits_with(features, label={"easy": 1.0, "hard": 0.9})
    with pytest.raises(RepbiasError, match=r"phi = 0.800 in train, expected 0.000"):
        bits_with(features).audit(found.generate())
    assert found.audit(found.generate())["train"]["max_phi_deviation"] < 1e-9


@pytest.mark.parametrize(("found", "wanted"), [(0.5, 0.9), (0.9, 0.5), (0.2, 0.8)])
def test_a_deviating_prevalence_is_refused(found, wanted):
    message = f"the prevalence of 'b' in train is {found:.3f}, expected {wanted:.3f}"
    with pytest.raises(RepbiasError, match=message):
        bits_with({"a": {}, "b": {"prevalence": wanted}}).audit(
            bits_with({"a": {}, "b": {"prevalence": found}}).generate()
        )


@pytest.mark.parametrize("split", EVALUATION)
def test_evaluation_that_is_distributed_like_training_is_refused(split):
    """The distribution of training must not be accepted in evaluation."""
    agreement = {"features": ["easy", "hard"], "probability": 1.0}
    spec = bits_with({"easy": {}, "hard": {}}, agreement=agreement)
    stimuli = spec.generate()
    rows = stimuli.split == split
    stimuli.labels[rows, 1] = stimuli.labels[rows, 0]
    with pytest.raises(RepbiasError, match=rf"phi = 1.000 in {split}, expected 0.000"):
        spec.audit(stimuli)


def test_a_label_that_never_occurs_is_refused():
    spec = bits_with({"a": {"prevalence": 0.01}, "b": {}}, n_train=16)
    with pytest.raises(RepbiasError, match="'a' is constant in train"):
        spec.generate()


# Settings that contradict each other.

A, B, C = {"a": {}}, {"b": {}}, {"c": {}}


@pytest.mark.parametrize(
    ("features", "manipulations", "message"),
    [
        (
            A | B,
            {"agreement": {"features": ["a", "bb"], "probability": 0.9}},
            "no feature 'bb' to manipulate; did you mean 'b'",
        ),
        (A, {"label": {"z": 0.9}}, r"no feature 'z' to manipulate; allowed: a"),
        (
            A | B,
            {"agreement": {"features": ["b", "b"], "probability": 0.9}},
            "expected two different features, found 'b' twice",
        ),
        (A | B, {"agreement": {"features": ["a"], "probability": 0.9}}, "at least 2 items"),
        (
            A | B | C,
            {"agreement": {"features": ["a", "b", "c"], "probability": 0.9}},
            "at most 2 items",
        ),
        (
            A | B,
            {"agreement": {"features": ["a", "b"], "probability": 1.01}},
            "less than or equal to 1",
        ),
        (
            A | B,
            {"agreement": {"features": ["a", "b"], "probability": -0.01}},
            "greater than or equal to 0",
        ),
        (A | B, {"agreement": {"features": ["a", "b"]}}, "Field required"),
        (A, {"label": {"a": 1.01}}, "less than or equal to 1"),
        (A, {"label": {"a": -0.01}}, "greater than or equal to 0"),
        (
            A | B,
            {"agreement": {"features": ["a", "b"], "probability": 0.9}, "label": {"b": 0.9}},
            "feature 'b' has agreement and label; .*in one way only",
        ),
        (
            A | {"b": {"prevalence": 0.3}},
            {"agreement": {"features": ["a", "b"], "probability": 0.9}},
            "feature 'b' has agreement and prevalence",
        ),
        (
            {"a": {"prevalence": 0.3}} | B,
            {"label": {"a": 0.9}},
            "feature 'a' has label and prevalence",
        ),
        ({"label": {}} | A, {"label": {"a": 0.9}}, "a feature cannot be called 'label'"),
        ({"a": {"prevalence": 0}}, {}, "greater than 0"),
        ({"a": {"prevalence": 1}}, {}, "less than 1"),
        ({"a": {"supervised": -0.1}}, {}, "greater than or equal to 0"),
        ({"a": {"supervised": 1.1}}, {}, "less than or equal to 1"),
        ({"a": {"gain": 0}}, {}, "greater than 0"),
        ({"a": {"predictivity": 0.9}}, {}, "Extra inputs are not permitted"),
        (A, {"agreements": []}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(features, manipulations, message):
    with pytest.raises(ValidationError, match=message):
        bits_with(features, **manipulations)


def test_different_features_may_be_manipulated_in_different_ways():
    features = {"a": {}, "b": {}, "c": {}, "d": {"prevalence": 0.2, "supervised": 0.5, "gain": 2}}
    spec = bits_with(
        features, label={"c": 0.9}, agreement={"features": ["a", "b"], "probability": 0.1}
    )
    assert spec.generate().features == ["a", "b", "c", "d", "label"]


@pytest.mark.parametrize("name", ["label", "input", "residual", "interaction", "components"])
def test_a_feature_cannot_have_the_name_of_a_part_of_the_variance(name):
    with pytest.raises(ValidationError, match=f"a feature cannot be called '{name}'"):
        Bits(features={name: {"function": "bit"}})


def test_a_feature_cannot_have_the_name_of_a_sub_component():
    features = {"hard": {"function": "xor"}, "hard.bit1": {"function": "bit"}}
    with pytest.raises(ValidationError, match=r"a feature cannot be called 'hard\.bit1'"):
        Bits(features=features)
