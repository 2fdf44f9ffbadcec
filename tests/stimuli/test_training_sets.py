"""Training sets of single networks: functions of the seed, apart from test stimuli, manipulated."""

import hashlib
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.base.spec import RepbiasError
from repbias.io.stimuli import Stimuli
from repbias.stimuli.bits import Bits

FEATURES = {
    "easy": {"function": "bit", "bits": 3},
    "hard": {"function": "xor", "bits": 3},
    "other": {"function": "majority", "k": 3, "bits": 3},
}
SIZES = {"n_train": 400, "n_validation": 64, "n_test": 72}


def family(**changes) -> Bits:
    return Bits(**({"features": FEATURES, "noise_bits": 16} | SIZES | changes))


def with_feature(name: str, **settings) -> dict[str, dict]:
    return FEATURES | {name: FEATURES[name] | settings}


def sets_of(spec: Bits, n: int = 3) -> list[Stimuli]:
    common = spec.generate()
    return [spec.training_set(seed, common) for seed in range(n)]


def same(a: Stimuli, b: Stimuli) -> bool:
    arrays = ("inputs", "ids", "split", "labels", "component_labels", "supervised")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)


def test_what_networks_have_in_common_is_validation_and_test_stimuli():
    stimuli = family().generate()
    assert Counter(stimuli.split.tolist()) == {"validation": 64, "test": 72}
    assert stimuli.audit.keys() == {"validation", "test"}


@given(st.integers(0, 2**64), st.integers(0, 999))
def test_a_training_set_follows_from_the_settings_and_the_seed(stimuli_seed, seed):
    """Whatever was drawn before, and whether or not the test stimuli are at hand."""
    spec = family(seed=stimuli_seed, n_train=40)
    first = spec.training_set(seed)
    spec.training_set(seed + 1)
    assert same(first, spec.training_set(seed, spec.generate()))
    assert set(first.split) == {"train"} and len(first.ids) == 40


def test_networks_have_different_training_sets():
    """Of 2^25 strings, 400 that two sets of 400 have in common are 0.005 on average."""
    sets = [set(s.ids.tolist()) for s in sets_of(family(), 20)]
    assert max(len(a & b) for i, a in enumerate(sets) for b in sets[:i]) <= 2
    assert len(set.union(*sets)) > 19.9 * 400


def test_a_seed_of_the_stimuli_is_no_seed_of_a_network():
    """Seeds 0 and 1 of the one are not seeds 1 and 0 of the other, and nor are the first sets."""
    sets = [family(seed=a).training_set(b) for a, b in product(range(3), range(3))]
    sets += [family(seed=seed, training_sets="common").generate() for seed in range(3)]
    first = [tuple(s.ids[s.split == "train"][:8]) for s in sets]
    assert len(set(first)) == len(first)


@given(st.integers(0, 2**32), st.sampled_from([3, 16]))
def test_no_stimulus_is_there_twice_or_in_validation_or_test(seed, noise_bits):
    """Up to 18 bits (here 12), strings are enumerated, above they are drawn."""
    spec = family(seed=seed, noise_bits=noise_bits)
    common = spec.generate()
    assert len(set(common.ids.tolist())) == 64 + 72
    for network in (0, 7):
        training = spec.training_set(network, common)
        ids = set(training.ids.tolist())
        assert len(ids) == len(np.unique(training.inputs, axis=0)) == 400
        assert not ids & set(common.ids.tolist())


def test_sets_of_a_small_space_overlap_and_are_apart_from_test_stimuli():
    """All but the test stimuli, of which there are few: 4096 strings, 2048 at most are used."""
    spec = family(noise_bits=3, n_train=1900)
    common = spec.generate()
    one, other = (set(spec.training_set(s, common).ids.tolist()) for s in (0, 1))
    # Two random halves of a space have a quarter in common, and so half of either.
    assert 0.4 < len(one & other) / 1900 < 0.6
    assert not (one | other) & set(common.ids.tolist())


def test_strings_that_are_left_over_can_be_used_up():
    """AND is 1 of 32 of 128 strings; 8 are common, and all other 24 are in every training set."""
    features = {"f": {"function": "and", "bits": 2}}
    sizes = {"n_train": 48, "n_validation": 8, "n_test": 8}
    spec = Bits(features=features, noise_bits=5, **sizes)
    rare = [set(s.ids[s.labels[:, 0] == 1].tolist()) for s in sets_of(spec)]
    assert rare[0] == rare[1] == rare[2] and len(rare[0]) == 24
    features["f"]["prevalence"] = 0.75
    with pytest.raises(RepbiasError, match="with f=1: found 24 of 36"):
        Bits(features=features, noise_bits=5, **sizes).training_set(0)


def test_every_set_is_balanced():
    for stimuli in sets_of(family()):
        cells = Counter(map(tuple, stimuli.labels.tolist()))
        assert set(cells.values()) == {50} and len(cells) == 8
        assert stimuli.audit["train"]["max_phi_deviation"] < 1e-9


def test_prevalence_holds_in_every_set():
    spec = family(features=with_feature("hard", prevalence=0.2))
    common = spec.generate()
    assert common.labels.mean(axis=0).tolist() == [0.5, 0.5, 0.5]
    for seed in range(3):
        assert spec.training_set(seed, common).labels.mean(axis=0).tolist() == [0.5, 0.2, 0.5]


def test_agreement_holds_in_every_set():
    spec = family(agreement={"features": ["easy", "hard"], "probability": 0.9})
    for stimuli in sets_of(spec):
        assert np.mean(stimuli.labels[:, 0] == stimuli.labels[:, 1]) == pytest.approx(0.9)


def test_predictivity_and_the_noise_of_a_label_are_drawn_for_every_set():
    spec = family(label={"easy": 0.9, "hard": 0.7}, n_train=4000)
    sets = sets_of(spec)
    for stimuli in sets:
        *features, label = stimuli.labels.T
        # Five standard errors of a share.
        for found, p in zip(features, (0.9, 0.7, 0.5), strict=True):
            assert np.mean(found == label) == pytest.approx(p, abs=5 * np.sqrt(0.25 / 4000))
    flips = [s.labels[:, 0] != s.labels[:, -1] for s in sets]
    assert not np.array_equal(flips[0], flips[1])


def test_the_loss_mask_is_drawn_for_every_set():
    sets = sets_of(family(features=with_feature("hard", supervised=0.25)))
    for stimuli in sets:
        assert stimuli.supervised.sum(axis=0).tolist() == [400, 100, 400]
    assert not np.array_equal(sets[0].supervised, sets[1].supervised)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": with_feature("hard", gain=3.0)},
        {"features": with_feature("hard", supervised=0.5)},
        {"coding": "binary"},
    ],
)
def test_conditions_of_equal_strings_are_compared_at_equal_training_sets(changes):
    for seed in (0, 5):
        one, other = (family(**c).training_set(seed) for c in ({}, changes))
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": with_feature("hard", prevalence=0.2)},
        {"agreement": {"features": ["easy", "hard"], "probability": 0.9}},
        {"n_train": 800},
    ],
)
def test_test_stimuli_do_not_depend_on_the_training_sets(changes):
    assert same(family().generate(), family(**changes).generate())


def test_a_common_training_set_is_that_of_every_network():
    spec = family(training_sets="common")
    stimuli = spec.generate()
    assert Counter(stimuli.split.tolist()) == {"train": 400, "validation": 64, "test": 72}
    assert spec.training_set(3, stimuli) is stimuli
    assert same(spec.training_set(0), spec.training_set(8))


#: Of versions before there were sets of single networks.
BEFORE = {
    "drawn": "a6a3f59049e7f0f6",
    "enumerated": "72f6e392e67f6f2f",
}


@pytest.mark.parametrize("how", BEFORE)
def test_common_sets_are_what_they_were_before_there_were_others(how):
    spec = family(
        training_sets="common",
        noise_bits={"drawn": 16, "enumerated": 3}[how],
        features=with_feature("hard", prevalence=0.2, supervised=0.7),
        label={"easy": 0.8},
    )
    stimuli, digest = spec.generate(), hashlib.sha256()
    for array in (stimuli.inputs, stimuli.split, stimuli.labels, stimuli.supervised):
        digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest()[:16] == BEFORE[how]
