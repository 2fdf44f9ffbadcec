"""Feature functions against brute-force truth tables."""

from itertools import combinations, product

import numpy as np
import pytest

from repbias.stimuli.features import FUNCTIONS, XORS

#: What each function means, for one string of bits in plain Python; "dnf" is random, see below.
MEANING = {
    "bit": lambda b: b[0] == 1,
    "majority": lambda b: sorted(b)[len(b) // 2] == 1,
    "and": lambda b: all(b),
    "or": lambda b: any(b),
    "xor": lambda b: b[0] != b[1],
    "xor_of_xors": lambda b: (b[0] != b[1]) != (b[2] != b[3]),
    "parity": lambda b: list(b).count(1) in range(1, len(b) + 1, 2),
}
DETERMINISTIC = sorted(FUNCTIONS.keys() - {"dnf"})


def all_strings(k: int) -> np.ndarray:
    return np.array(list(product([0, 1], repeat=k)), dtype=np.uint8)


def possible_k(name: str) -> list[int]:
    function = FUNCTIONS[name]
    if function.fixed:
        return [function.default_k]
    return [k for k in range(1, 8) if k % 2 or not function.odd]


@pytest.mark.parametrize(("name", "k"), [(n, k) for n in DETERMINISTIC for k in possible_k(n)])
def test_truth_table(name, k):
    bits = all_strings(k)
    labels = FUNCTIONS[name].compute(bits, np.random.default_rng(0))
    expected = [MEANING[name](tuple(b)) for b in bits.tolist()]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


def test_xor_of_xors_is_parity_of_four():
    bits = all_strings(4)
    rng = np.random.default_rng(0)
    parity = FUNCTIONS["parity"].compute(bits, rng)
    np.testing.assert_array_equal(FUNCTIONS["xor_of_xors"].compute(bits, rng), parity)
    inner = [FUNCTIONS["xor"].compute(bits[:, pair], rng) for pair in ([0, 1], [2, 3])]
    outer = FUNCTIONS["xor"].compute(np.stack(inner, axis=1), rng)
    np.testing.assert_array_equal(outer, parity)


@pytest.mark.parametrize("k", [2, 4, 5])
def test_no_proper_subset_of_bits_says_anything_about_parity(k):
    bits = all_strings(k)
    labels = FUNCTIONS["parity"].compute(bits, np.random.default_rng(0))
    for shown in combinations(range(k), k - 1):
        for values in product([0, 1], repeat=k - 1):
            assert labels[(bits[:, shown] == values).all(axis=1)].mean() == 0.5


@pytest.mark.parametrize("name", XORS)
def test_xors_are_sums_modulo_two(name):
    """f(a xor b) = f(a) xor f(b) for all strings; and no other function does so."""
    for k in possible_k(name):
        assert is_sum(name, k)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - set(XORS)))
def test_no_other_function_is_a_sum_modulo_two(name):
    assert not any(is_sum(name, k) for k in possible_k(name) if k > 1)


def is_sum(name: str, k: int) -> bool:
    bits = all_strings(k)
    labels = FUNCTIONS[name].compute(bits, np.random.default_rng(0))
    index = np.arange(len(bits))
    return all((labels[index ^ i] == labels ^ labels[i]).all() for i in index)


def satisfied_subcubes(bits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which strings lie in a set of strings, given by three bits, that is labelled 1."""
    covered = np.zeros(len(bits), bool)
    for chosen in combinations(range(bits.shape[1]), min(3, bits.shape[1])):
        for values in product([0, 1], repeat=len(chosen)):
            cube = (bits[:, chosen] == values).all(axis=1)
            if labels[cube].all():
                covered |= cube
    return covered


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(4))
def test_dnf_is_a_disjunction_of_short_conjunctions(k, seed):
    bits = all_strings(k)
    labels = FUNCTIONS["dnf"].compute(bits, np.random.default_rng(seed))
    assert labels.dtype == np.uint8
    assert labels.any(), "each conjunction can be satisfied"
    # Every string that is labelled 1 is so because of at most three of its bits.
    np.testing.assert_array_equal(satisfied_subcubes(bits, labels), labels == 1)
    # k conjunctions of min(3, k) literals cannot hold for more strings than their sum.
    assert labels.mean() <= k * 0.5 ** min(3, k)


def test_dnf_depends_on_its_generator_only():
    bits = all_strings(6)

    def labels(seed: int, rows: np.ndarray = bits) -> np.ndarray:
        return FUNCTIONS["dnf"].compute(rows, np.random.default_rng(seed))

    np.testing.assert_array_equal(labels(3), labels(3))
    # The formula does not depend on which strings it is applied to.
    np.testing.assert_array_equal(labels(3, bits[::-1]), labels(3)[::-1])
    assert len({labels(seed).tobytes() for seed in range(10)}) > 5


#: Sub-components by name, written out.
PARTS = {
    ("bit", 1): {},
    ("xor", 2): {"bit1": (0,), "bit2": (1,)},
    ("and", 2): {"bit1": (0,), "bit2": (1,)},
    ("parity", 1): {},
    ("parity", 2): {"bit1": (0,), "bit2": (1,)},
    ("parity", 3): {"bit1": (0,), "bit2": (1,), "bit3": (2,), "xor12": (0, 1)},
    ("xor_of_xors", 4): {
        **{"bit1": (0,), "bit2": (1,), "bit3": (2,), "bit4": (3,)},
        **{"xor12": (0, 1), "xor34": (2, 3)},
    },
    ("majority", 3): {"bit1": (0,), "bit2": (1,), "bit3": (2,)},
}


@pytest.mark.parametrize(("name", "k"), PARTS)
def test_components(name, k):
    assert FUNCTIONS[name].components(k) == PARTS[name, k]


@pytest.mark.parametrize(("name", "k"), [(n, k) for n in DETERMINISTIC for k in possible_k(n)])
def test_no_component_is_the_whole_feature_under_another_name(name, k):
    """A single bit or pair that is the feature would be counted twice."""
    bits = all_strings(k)
    labels = FUNCTIONS[name].compute(bits, np.random.default_rng(0))
    for part, read in FUNCTIONS[name].components(k).items():
        assert (bits[:, read].sum(axis=1) % 2 != labels).any(), part
