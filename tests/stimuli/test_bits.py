"""Bit stimuli: balance, independence, identity across conditions, and clear failures."""

import re
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.stimuli import Stimuli
from repbias.stimuli.bits import Bits

SPLITS = ("train", "validation", "test")
BALANCED = ("bit", "xor", "parity", "majority", "xor_of_xors")


@st.composite
def specs(draw) -> Bits:
    """Draw feasible settings; up to 18 bits all strings are enumerated, above they are drawn."""
    n_features = draw(st.integers(1, 3))
    features = {
        f"f{i}": {
            "function": draw(st.sampled_from(BALANCED)),
            "bits": draw(st.integers(5, 6)) if n_features == 1 else 5,
            "gain": draw(st.sampled_from([0.5, 1.0, 3.0])),
        }
        for i in range(n_features)
    }
    sizes = st.integers(16, 40)
    return Bits(
        features=features,
        noise_bits=draw(st.sampled_from([4, 5, 20])) if n_features < 3 else 4,
        coding=draw(st.sampled_from(["signed", "binary"])),
        n_train=draw(sizes),
        n_validation=draw(sizes),
        n_test=draw(sizes),
        training_sets="common",
        seed=draw(st.integers(0, 2**32)),
    )


def bits_of(stimuli: Stimuli) -> np.ndarray:
    """Both codings give a positive value for a set bit."""
    return (stimuli.inputs > 0).astype(np.uint8)


def small(**changes) -> Bits:
    settings = {
        "features": {
            "easy": {"function": "bit", "bits": 4},
            "hard": {"function": "parity", "k": 3, "bits": 6},
        },
        "noise_bits": 3,
        "n_train": 64,
        "n_validation": 32,
        "n_test": 32,
        "training_sets": "common",
    }
    return Bits(**(settings | changes))


@settings(deadline=None, max_examples=40)
@given(specs())
def test_splits_are_complete_disjoint_and_without_duplicates(spec):
    stimuli = spec.generate()
    sizes = {"train": spec.n_train, "validation": spec.n_validation, "test": spec.n_test}
    assert Counter(stimuli.split.tolist()) == sizes
    rows = bits_of(stimuli)
    assert rows.shape == (sum(sizes.values()), spec.n_inputs)
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert len(set(stimuli.ids.tolist())) == len(rows)


@settings(deadline=None, max_examples=40)
@given(specs())
def test_every_prefix_of_a_split_has_all_combinations_equally_often(spec):
    stimuli = spec.generate()
    combinations = list(product([0, 1], repeat=len(spec.features)))
    for split in SPLITS:
        _, labels, _ = stimuli.part(split)
        seen = Counter(dict.fromkeys(combinations, 0))
        for row in labels.tolist():
            seen[tuple(row)] += 1
            assert max(seen.values()) - min(seen.values()) <= 1


@settings(deadline=None, max_examples=20)
@given(specs())
def test_labels_are_those_of_the_inputs(spec):
    stimuli = spec.generate()
    bits, start = bits_of(stimuli).astype(int), 0
    for column, feature in zip(stimuli.labels.T, spec.features.values(), strict=True):
        read = bits[:, start : start + feature.reads].sum(axis=1)
        expected = 2 * read > feature.reads if feature.function == "majority" else read % 2
        np.testing.assert_array_equal(column, expected)
        start += feature.bits


@settings(deadline=None, max_examples=20)
@given(specs(), st.randoms(use_true_random=False))
def test_bits_that_no_feature_reads_carry_no_label(spec, random):
    bits = bits_of(spec.generate())
    read = np.concatenate(
        [
            *(np.arange(f.bits) < f.reads for f in spec.features.values()),
            np.zeros(spec.noise_bits, bool),
        ]
    )
    changed = bits.copy()
    flips = [[random.getrandbits(1) for _ in row] for row in bits[:, ~read]]
    changed[:, ~read] ^= np.array(flips, np.uint8)
    np.testing.assert_array_equal(spec.labels_of(changed), spec.labels_of(bits))


@settings(deadline=None, max_examples=20)
@given(specs())
def test_coding_and_gain(spec):
    stimuli = spec.generate()
    low = -1 if spec.coding == "signed" else 0
    gains = [g for f in spec.features.values() for g in [f.gain] * f.bits]
    gains += [1.0] * spec.noise_bits
    assert stimuli.inputs.dtype == np.float32
    for values, gain in zip(stimuli.inputs.T, gains, strict=True):
        assert set(values.tolist()) == {low * gain, gain}


@settings(deadline=None, max_examples=20)
@given(specs())
def test_stimuli_are_determined_by_the_seed(spec):
    first, again = spec.generate(), spec.generate()
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.ids, again.ids)
    other = spec.model_copy(update={"seed": spec.seed + 1}).generate()
    assert not np.array_equal(first.inputs, other.inputs)


@settings(deadline=None, max_examples=20)
@given(specs())
def test_the_features_stay_the_same_when_only_coding_and_gain_change(spec):
    features = {n: f.model_copy(update={"gain": 2.5}) for n, f in spec.features.items()}
    other = spec.model_copy(update={"features": features, "coding": "binary"}).generate()
    stimuli = spec.generate()
    np.testing.assert_array_equal(stimuli.ids, other.ids)
    np.testing.assert_array_equal(stimuli.labels, other.labels)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 150).flatmap(lambda n: st.lists(st.integers(0, 1), min_size=n, max_size=n)))
def test_ids_are_equal_exactly_where_the_bits_are(row):
    row = np.array(row, np.uint8)
    # The string twice, then all strings that differ from it in one bit.
    spec = Bits(features={"easy": {"function": "bit"}})
    ids = spec.identifiers(np.stack([row, row, *(row ^ np.eye(len(row), dtype=np.uint8))])).tolist()
    assert ids[0] == ids[1]
    assert len(set(ids)) == 1 + len(row)


def test_ids_join_across_conditions_of_the_same_width():
    first = small(seed=1).generate()
    features = {"other": {"function": "majority", "bits": 10, "gain": 2.0}}
    second = small(features=features, coding="binary", seed=2).generate()
    by_id = dict(zip(first.ids, bits_of(first), strict=True))
    shared = [i for i, name in enumerate(second.ids) if name in by_id]
    assert len(shared) == len({*map(tuple, bits_of(first))} & {*map(tuple, bits_of(second))}) > 0
    for i in shared:
        np.testing.assert_array_equal(by_id[second.ids[i]], bits_of(second)[i])


def test_unread_bits_are_uncorrelated_with_the_labels():
    found = []
    for seed in range(10):
        inputs, labels, _ = small(n_train=2048, noise_bits=20, seed=seed).generate().part("train")
        unread = np.r_[1:4, 7:10, 10:30]
        together = np.corrcoef(inputs[:, unread].T, labels.T)[: len(unread), len(unread) :]
        found.append(together.ravel() * np.sqrt(len(inputs)))
    # 520 correlations of independent variables, in units of their standard error of 1 / sqrt(n).
    assert np.abs(found).max() < 5
    assert np.std(found) == pytest.approx(1, abs=4 / np.sqrt(2 * np.size(found)))


def test_no_duplicates_where_strings_are_drawn_many_times():
    # 40,000 of 524,288 strings are drawn to find 2,500 that are 1: some are drawn twice.
    features = {"rare": {"function": "and", "k": 4, "bits": 4}}
    sizes = {"n_train": 4096, "n_validation": 1024, "n_test": 512}
    stimuli = small(features=features, noise_bits=15, **sizes).generate()
    assert len(np.unique(stimuli.inputs, axis=0)) == len(stimuli.inputs) == 4096 + 1024 + 512
    assert stimuli.labels.sum() == len(stimuli.labels) / 2


def test_all_existing_strings_can_be_used():
    # AND of two bits is 1 for a quarter of the 128 strings, and half of 64 are asked for.
    features = {"f": {"function": "and", "bits": 2}}
    sizes = {"n_train": 48, "n_validation": 8, "n_test": 8}
    stimuli = small(features=features, noise_bits=5, **sizes).generate()
    assert stimuli.labels.sum() == 32
    assert len(set(stimuli.ids.tolist())) == 64


def test_a_random_formula_is_the_same_in_every_split_and_size():
    features = {"f": {"function": "dnf", "k": 5, "bits": 6}, "g": {"function": "dnf", "bits": 6}}
    few, many = (small(features=features, n_train=n).generate() for n in (64, 256))
    label = dict(zip(many.ids, many.labels.tolist(), strict=True))
    shared = [i for i, name in enumerate(few.ids) if name in label]
    assert shared
    assert [label[few.ids[i]] for i in shared] == few.labels[shared].tolist()
    # Two features of the same kind are different formulas.
    domain = np.array(list(product([0, 1], repeat=5)), np.uint8)
    spec = small(features=features)
    both = np.concatenate([domain, domain[:, :1], domain, domain[:, :4]], axis=1)
    f, g = spec.labels_of(both).T
    assert not np.array_equal(f, g)


# Sub-components of the features.


def bits_in(ids: np.ndarray, n_inputs: int) -> np.ndarray:
    """Return the bits that the ids spell, whatever the coding and the gains are."""
    digits = [f"{int(name, 16):0{4 * len(name)}b}" for name in ids.tolist()]
    return np.array([[int(d) for d in row[:n_inputs]] for row in digits])


COMPONENTS = {
    "a": {"function": "xor_of_xors", "bits": 6, "gain": 3.0},
    "b": {"function": "bit", "bits": 2},
    "c": {"function": "xor", "bits": 3},
    "d": {"function": "parity", "k": 5, "bits": 5},
    "e": {"function": "majority", "k": 3, "bits": 4},
    "f": {"function": "parity", "k": 2, "bits": 2},
}
#: Which bits of the whole string are added up, modulo 2; counted by hand.
ADDED = {
    **{"a.bit1": [0], "a.bit2": [1], "a.bit3": [2], "a.bit4": [3]},
    **{"a.xor12": [0, 1], "a.xor34": [2, 3]},
    **{"c.bit1": [8], "c.bit2": [9]},
    **{"d.bit1": [11], "d.bit2": [12], "d.bit3": [13], "d.bit4": [14], "d.bit5": [15]},
    **{"d.xor12": [11, 12], "d.xor34": [13, 14]},
    **{"e.bit1": [16], "e.bit2": [17], "e.bit3": [18]},
    **{"f.bit1": [20], "f.bit2": [21]},
}


@pytest.mark.parametrize("coding", ["signed", "binary"])
def test_components_are_those_of_the_bits_that_the_ids_spell(coding):
    spec = small(
        features=COMPONENTS, coding=coding, n_train=64, n_validation=64, n_test=64, noise_bits=1
    )
    stimuli = spec.generate()
    bits = bits_in(stimuli.ids, spec.n_inputs)
    np.testing.assert_array_equal(bits, bits_of(stimuli))
    assert sorted(stimuli.components) == sorted(ADDED)
    assert stimuli.component_labels.shape == (192, len(ADDED))
    assert stimuli.component_labels.dtype == np.uint8
    for name, labels in zip(stimuli.components, stimuli.component_labels.T, strict=True):
        np.testing.assert_array_equal(labels, bits[:, ADDED[name]].sum(axis=1) % 2, err_msg=name)


def test_the_pairs_of_an_even_parity_add_up_to_it():
    spec = small(features={"hard": {"function": "xor_of_xors", "bits": 10}})
    named = spec.generate().named_labels("train")
    np.testing.assert_array_equal(named["hard.xor12"] ^ named["hard.xor34"], named["hard"])
    for i in (1, 3):
        pair = named[f"hard.bit{i}"] ^ named[f"hard.bit{i + 1}"]
        np.testing.assert_array_equal(pair, named[f"hard.xor{i}{i + 1}"])


@pytest.mark.parametrize("split", SPLITS)
def test_named_labels_are_features_then_components_of_one_split(split):
    stimuli = small().generate()
    named = stimuli.named_labels(split)
    assert list(named) == ["easy", "hard", *stimuli.components]
    rows = stimuli.split == split
    for i, name in enumerate(stimuli.features):
        np.testing.assert_array_equal(named[name], stimuli.labels[rows, i])
    for i, name in enumerate(stimuli.components):
        np.testing.assert_array_equal(named[name], stimuli.component_labels[rows, i])


def test_a_single_bit_has_no_components():
    stimuli = small(features={"only": {"function": "bit", "bits": 9}}).generate()
    assert stimuli.components == []
    assert stimuli.component_labels.shape == (128, 0)
    assert list(stimuli.named_labels("test")) == ["only"]


class TestAudit:
    def test_reports_what_it_measured(self):
        spec = small(n_train=66)
        stimuli = spec.generate()
        report = spec.audit(stimuli)
        assert report == stimuli.audit
        for split, n in zip(SPLITS, (66, 32, 32), strict=True):
            _, labels, _ = stimuli.part(split)
            assert report[split]["n"] == n
            assert report[split]["prevalence_easy"] == labels[:, 0].mean()
            assert report[split]["prevalence_hard"] == labels[:, 1].mean()
            # phi of a two by two table
            (a, b), (c, d) = [
                [np.sum((labels == (i, j)).all(axis=1)) for j in (0, 1)] for i in (0, 1)
            ]
            phi = (a * d - b * c) / np.sqrt((a + b) * (c + d) * (a + c) * (b + d))
            assert report[split]["max_phi_deviation"] == pytest.approx(abs(phi), abs=1e-12)

    @pytest.mark.parametrize("training_sets", ["own", "common"])
    def test_duplicate_stimuli(self, training_sets):
        class Repeating(Bits):
            def draw(self, sizes, rng, taken=frozenset()):
                stimuli = super().draw(sizes, rng, taken)
                stimuli.ids[-1] = stimuli.ids[0]  # across splits, such as a test stimulus
                return stimuli

        spec = Repeating(**small(training_sets=training_sets).model_dump())
        with pytest.raises(RepbiasError, match="occurs twice"):
            spec.generate()

    def test_a_training_set_with_a_test_stimulus(self):
        class Careless(Bits):
            def draw(self, sizes, rng, taken=frozenset()):
                stimuli = super().draw(sizes, rng)
                if taken:
                    stimuli.ids[3] = max(taken)
                return stimuli

        spec = Careless(**small(training_sets="own").model_dump())
        with pytest.raises(RepbiasError, match="occurs twice"):
            spec.training_set(0)

    def test_a_family_that_draws_something_else_than_it_says(self):
        class Other(Bits):
            def draw(self, sizes, rng, taken=frozenset()):
                return super().draw(sizes | {"test": 8}, rng, taken)

        spec = Other(**small().model_dump())
        message = r"\{'train': 64, 'validation': 32, 'test': 8\} stimuli, expected .*'test': 32\}"
        with pytest.raises(RepbiasError, match=message):
            spec.generate()

    @pytest.mark.parametrize("value", [0, 1])
    def test_constant_feature(self, value):
        stimuli = small().generate()
        stimuli.labels[stimuli.split == "validation", 1] = value
        with pytest.raises(RepbiasError, match="'hard' is constant in validation"):
            small().audit(stimuli)

    @pytest.mark.parametrize("opposite", [False, True])
    @pytest.mark.parametrize("n_test", [16, 64])
    def test_two_names_for_one_feature(self, n_test, opposite):
        spec = small(n_test=n_test)
        stimuli = spec.generate()
        rows = stimuli.split == "test"
        stimuli.labels[rows, 1] = stimuli.labels[rows, 0] ^ opposite
        with pytest.raises(RepbiasError, match=r"'easy' and 'hard' correlate .* in test, expected"):
            spec.audit(stimuli)

    @pytest.mark.parametrize(("m", "fails"), [(96, True), (72, False)])
    def test_correlation_is_allowed_up_to_five_standard_errors(self, m, fails):
        # In 512 of the 1024 stimuli the features differ. Making them equal in m of these moves
        # phi from 0 to m / 512; the limit is 5 / 32, which is 80 / 512.
        spec = small(n_train=1024)
        stimuli = spec.generate()
        rows = np.flatnonzero(stimuli.split == "train")
        labels = stimuli.labels[rows]
        differ = rows[labels[:, 0] != labels[:, 1]]
        changed = differ[:m]
        stimuli.labels[changed, 1] = stimuli.labels[changed, 0]
        phi = np.corrcoef(stimuli.labels[rows].T)[0, 1]
        assert phi == pytest.approx(m / 512)
        if fails:
            with pytest.raises(RepbiasError, match=re.escape(f"phi = {phi:.3f}")):
                spec.audit(stimuli)
        else:
            assert spec.audit(stimuli)["train"]["max_phi_deviation"] == pytest.approx(phi)

    def test_one_feature_has_no_correlation(self):
        spec = small(features={"only": {"function": "xor", "bits": 9}})
        assert spec.audit(spec.generate())["test"]["max_phi_deviation"] == 0

    @pytest.mark.parametrize(("m", "fails"), [(96, True), (72, False)])
    def test_prevalence_is_allowed_up_to_five_standard_errors(self, m, fails):
        # 512 of 1024 labels are 1; m of these become 0. The limit is 5 / 32, which is 160 / 1024.
        spec = small(n_train=1024)
        stimuli = spec.generate()
        of_easy = stimuli.labels[:, 0] == 1
        # In pairs of opposite `hard`, so that the correlation stays 0.
        for hard in (0, 1):
            rows = (stimuli.split == "train") & of_easy & (stimuli.labels[:, 1] == hard)
            stimuli.labels[np.flatnonzero(rows)[:m], 0] = 0
        found = 0.5 - 2 * m / 1024
        if fails:
            message = f"prevalence of 'easy' in train is {found:.3f}, expected 0.500 (±0.156)"
            with pytest.raises(RepbiasError, match=re.escape(message)):
                spec.audit(stimuli)
        else:
            assert spec.audit(stimuli)["train"]["prevalence_easy"] == found


class TestInfeasible:
    def test_more_stimuli_than_strings(self):
        with pytest.raises(ValidationError, match=r"do not fit into 6 bits .*noise_bits"):
            Bits(features={"f": {"function": "bit", "bits": 6}}, n_train=64)

    def test_a_combination_that_is_too_rare_among_few_strings(self):
        features = {"f": {"function": "and", "k": 4, "bits": 4}}
        sizes = {"n_train": 8, "n_validation": 8, "n_test": 8}
        spec = small(features=features, noise_bits=2, **sizes)
        # One string in sixteen has all four bits set: 4 of 64, but 12 are needed.
        with pytest.raises(RepbiasError, match="with f=1: found 4 of 12"):
            spec.generate()

    def test_a_combination_that_is_too_rare_among_many_strings(self):
        features = {"g": {"function": "bit"}, "f": {"function": "and", "k": 40, "bits": 40}}
        spec = Bits(features=features, n_train=8, n_validation=8, n_test=8)
        with pytest.raises(RepbiasError, match=r"f=1: found 0 of \d; add noise_bits"):
            spec.generate()

    def test_more_combinations_than_stimuli(self):
        features = {f"f{i}": {"function": "bit", "bits": 1} for i in range(12)}
        with pytest.raises(ValidationError, match="12 features have 4096 combinations"):
            Bits(features=features, n_train=4095)

    @pytest.mark.parametrize(
        ("feature", "message"),
        [
            ({"function": "partiy"}, "did you mean 'parity'"),
            ({"function": "xor", "k": 3}, "reads exactly 2 bits, but k is 3"),
            ({"function": "majority", "k": 4}, "needs an odd k, but k is 4"),
            (
                {"function": "parity", "k": 5, "bits": 4},
                r"k is 5, more than the domain's bits \(4\)",
            ),
            ({"function": "bit", "gain": 0}, "greater than 0"),
        ],
    )
    def test_impossible_features(self, feature, message):
        with pytest.raises(ValidationError, match=message):
            small(features={"f": feature})
