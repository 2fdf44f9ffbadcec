"""Encrypted computation against the plain one, and what probes and RDMs find in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.base.spec import RepbiasError
from repbias.bias.encryption import (
    CLEAR,
    KEYS,
    P_DIGITS,
    SYSTEMS,
    Task,
    dghv,
    encryption_table,
    secret_sharing,
    tasks_of,
)
from repbias.bias.probes import linear_probe
from repbias.io.stimuli import Stimuli
from repbias.stimuli.bits import Bits
from repbias.tables import TABLES

SPEC = Bits(
    features={
        "easy": {"function": "bit", "bits": 4},
        "unknown": {"function": "majority", "k": 3, "bits": 3},
        "hard": {"function": "parity", "k": 3, "bits": 5},
        "both": {"function": "and", "k": 2, "bits": 4},
    },
    noise_bits=2,
)


def make_stimuli(n=400, coding="signed", gain=1.0, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(2 * n, SPEC.n_inputs))
    labels = np.stack(
        [
            bits[:, 0],
            bits[:, 4:7].sum(axis=1) > 1,
            bits[:, 7] ^ bits[:, 8] ^ bits[:, 9],
            bits[:, 12] & bits[:, 13],
        ],
        axis=1,
    )
    return Stimuli(
        inputs=(gain * (2 * bits - 1 if coding == "signed" else bits)).astype(np.float32),
        ids=np.arange(2 * n).astype(str),
        split=np.tile(["test", "validation"], n),
        features=list(SPEC.features),
        labels=labels.astype(np.uint8),
        components=[],
        component_labels=np.zeros((2 * n, 0), np.uint8),
        supervised=np.ones((2 * n, 4), bool),
    )


def test_features_that_are_one_operation_on_their_bits_are_computed():
    tasks = tasks_of(SPEC)
    assert {name: (t.operation, t.columns.tolist()) for name, t in tasks.items()} == {
        "easy": ("xor", [0]),
        "hard": ("xor", [7, 8, 9]),
        "both": ("and", [12, 13]),
    }


@given(k=st.integers(1, 12), seed=st.integers(0, 10_000))
@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_decryption_gives_the_xor(system, k, seed):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(30, 15))
    columns = rng.permutation(15)[:k]
    found = system(bits, {"f": Task("xor", columns)}, rng).decrypted["f"]
    np.testing.assert_array_equal(found, np.bitwise_xor.reduce(bits[:, columns], axis=1))


@given(k=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_products_of_ciphertexts_decrypt_to_the_and(k, seed):
    rng = np.random.default_rng(seed)
    bits = (rng.random((30, 10)) < 0.9).astype(int)
    found = dghv(bits, {"f": Task("and", np.arange(k))}, rng).decrypted["f"]
    np.testing.assert_array_equal(found, bits[:, :k].all(axis=1))


def test_too_much_noise_is_refused():
    bits = np.ones((4, 12), int)
    with pytest.raises(RepbiasError, match="'f' reads 10 bits"):
        dghv(bits, {"f": Task("and", np.arange(10))}, np.random.default_rng(0))


def test_a_party_alone_holds_nothing_and_both_hold_everything():
    rng = np.random.default_rng(0)
    bits = (rng.random((20_000, 3)) < 0.8).astype(int)
    tasks = {"f": Task("xor", np.array([0, 2])), "g": Task("and", np.array([0, 1]))}
    a, b = (secret_sharing(bits, tasks, np.random.default_rng(1), party=p).state for p in (0, 1))
    assert a.shape == (20_000, 4), "shares of three bits and of one result; no AND"
    np.testing.assert_array_equal(a ^ b, np.column_stack([bits, bits[:, 0] ^ bits[:, 2]]))
    for state in (a, b):
        # For either value of a bit every combination of shares is as frequent: chi-square.
        codes = state[:, :3] @ [1, 2, 4]
        for bit in bits.T:
            for value in (0, 1):
                counts = np.bincount(codes[bit == value], minlength=8)
                expected = counts.sum() / 8
                assert ((counts - expected) ** 2 / expected).sum() < 30  # 7 degrees of freedom


def test_the_digits_are_ciphertexts_that_the_secret_opens():
    bits = np.random.default_rng(0).integers(0, 2, size=(50, 6))
    tasks = {"f": Task("and", np.array([1, 4])), "g": Task("xor", np.array([0, 2, 3]))}
    computation = dghv(bits, tasks, np.random.default_rng(7))
    half = 2 ** (P_DIGITS - 2)
    p = int(np.random.default_rng(7).integers(half, 2 * half)) * 2 + 1
    assert p.bit_length() == P_DIGITS
    # Digit by digit, all bits of a digit side by side: what is left are the two results.
    digits = computation.state[:, :192].reshape(50, 32, 6).astype(object)
    opened = sum(digits[:, i] * 2**i for i in range(32)) % p % 2
    np.testing.assert_array_equal(opened.astype(int), bits)
    rest = computation.state[:, 192:].astype(object)
    width = rest.shape[1] - 34  # a sum of three ciphertexts has up to 34 digits
    product = sum(rest[:, i] * 2**i for i in range(width))
    np.testing.assert_array_equal((product % p % 2).astype(int), bits[:, 1] & bits[:, 4])


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in CLEAR])
def test_the_seed_is_the_key(name):
    system = SYSTEMS[name]
    bits = np.random.default_rng(0).integers(0, 2, size=(50, SPEC.n_inputs))
    first, again, other = (
        system(bits, tasks_of(SPEC), np.random.default_rng(seed)).state for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    n = min(first.shape[1], other.shape[1])  # results may have one digit less
    assert 0.4 < (first[:, :n] != other[:, :n]).mean() < 0.6


@pytest.fixture(scope="module")
def table():
    return encryption_table("tasks", "both", make_stimuli(), [0, 1, 2], SPEC)


def test_tasks_are_solved_and_nothing_is_found(table):
    assert tuple(table.columns) == TABLES["encryption"].columns
    assert (table.loc[table["measure"] == "task_accuracy", "value"] == 1).all()
    table = table[~table["system"].isin(CLEAR)]
    # Per seed: three features by DGHV and two by each party, four measures; two of geometry.
    assert len(table) == 3 * ((3 + 2 + 2) * 4 + 3 * 2)
    values = table.set_index("measure")["value"]
    assert (values["task_accuracy"] == 1).all()
    # Five standard errors of 400 test stimuli; an AND is 1 on a quarter of them.
    noise = 5 * 0.5 / np.sqrt(400)
    balanced = table[table["feature"].isin(["easy", "hard"])]
    for probe in ("linear_probe", "nonlinear_probe"):
        accuracy = balanced.loc[balanced["measure"] == probe, "value"]
        assert (np.abs(accuracy - 0.5) < noise).all()
    assert values["r2"].abs().max() < 0.02
    assert values["rsa_with_plaintext"].abs().max() < 0.05
    assert values["rsa_between_keys"].abs().max() < 0.05


def test_the_same_measures_find_what_is_not_encrypted(table):
    table = table[table["system"] == "plaintext"]
    values = table.set_index("measure")["value"]
    assert (values["rsa_with_plaintext"] > 0.8).all()
    assert values["rsa_between_keys"].to_numpy() == pytest.approx(1)
    assert len(values["r2"]) == 3 * 3
    for measure in ("task_accuracy", "linear_probe", "nonlinear_probe"):
        assert (values[measure] == 1).all()
    assert (values["r2"] > 0.04).all()


def test_the_bits_alone_hold_what_a_probe_can_compute(table):
    """A linear probe reads a single bit, and no parity."""
    rows = table[(table["system"] == "plaintext_inputs") & (table["measure"] == "linear_probe")]
    accuracy = rows.groupby("feature")["value"].mean()
    assert accuracy["easy"] == 1
    assert accuracy["hard"] < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("function", ["xor_of_xors", "parity"])
def test_the_nonlinear_probe_reads_a_parity_of_the_default_study(function, monkeypatch):
    """From the bits without the result, the positive control of what it finds in ciphertexts."""
    monkeypatch.setattr("repbias.bias.encryption.SYSTEMS", CLEAR)
    spec = Bits(features={"easy": {"function": "bit"}, "hard": {"function": function}})
    stimuli = spec.generate()
    stimuli = stimuli.joined(spec.training_set(0, stimuli))
    table = encryption_table("tasks", "both", stimuli, [0], spec)
    of_bits = table[table["system"] == "plaintext_inputs"].set_index(["measure", "feature"])[
        "value"
    ]
    assert of_bits["nonlinear_probe", "hard"] > 0.95
    assert of_bits["linear_probe", "hard"] < 0.6


def test_rdms_are_correlated_as_numpy_does(table):
    stimuli = make_stimuli()
    bits = (stimuli.inputs > 0).astype(int)
    upper = np.triu_indices(400, 1)
    test = stimuli.split == "test"

    def rdm(x):
        return 1 - np.corrcoef(x[test])[upper]

    states = [
        dghv(bits, tasks_of(SPEC), np.random.default_rng([2, key, KEYS])).state for key in (0, 1)
    ]
    rows = table[(table["system"] == "dghv") & (table["seed"] == 2)].set_index("measure")["value"]
    expected = np.corrcoef(rdm(states[0].astype(float)), rdm(bits))[0, 1]
    assert rows["rsa_with_plaintext"] == pytest.approx(expected, abs=1e-9)
    expected = np.corrcoef(*(rdm(state.astype(float)) for state in states))[0, 1]
    assert rows["rsa_between_keys"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_bits_are_read_from_any_coding_and_gain():
    one, *others = (
        encryption_table("tasks", "both", make_stimuli(60, coding, gain), [0], SPEC)["value"]
        for coding, gain in (("signed", 1), ("signed", 0.2), ("binary", 1.0), ("binary", 7.0))
    )
    for other in others:
        np.testing.assert_array_equal(one, other)


def test_constant_patterns_are_left_out_of_the_geometry():
    spec = Bits(
        features={"f": {"function": "majority", "k": 3, "bits": 6}},
        **{"n_train": 8, "n_validation": 8, "n_test": 8},
    )
    stimuli = make_stimuli(50)
    stimuli.inputs = stimuli.inputs[:, :6]
    stimuli.inputs[:20] = 1
    table = encryption_table("tasks", "few", stimuli, [0], spec)
    assert set(table["measure"]) == {"rsa_with_plaintext", "rsa_between_keys"}
    assert table["value"].notna().all()
    stimuli.inputs[:] = 1
    with pytest.raises(RepbiasError, match="3 test stimuli, found 0"):
        encryption_table("tasks", "few", stimuli, [0], spec)


def test_both_shares_together_betray_a_bit_to_no_linear_probe():
    """An XOR of two units: the reason why the shares of both parties are never seen at once."""
    bits = np.random.default_rng(0).integers(0, 2, size=(800, 4))
    a, b = (secret_sharing(bits, {}, np.random.default_rng(1), party=p).state for p in (0, 1))
    both = np.column_stack([a, b]).astype(float)[None]
    decoded = linear_probe(both[:, :400], bits[:400], both[:, 400:])
    assert abs((decoded[0] == bits[400:]).mean() - 0.5) < 5 * 0.5 / np.sqrt(1600)
