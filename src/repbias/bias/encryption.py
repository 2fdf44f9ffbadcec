"""C26: systems that compute on encrypted representations, and what analyses see of them.

Two systems compute features without ever representing them: XOR secret sharing (one-time pads,
information-theoretically hidden) and a homomorphic scheme over the integers (van Dijk, Gentry,
Halevi & Vaikuntanathan 2010), with keys far too small for secrecy from a cryptanalyst. The
argument is that of Lampinen, Chan, Li & Hermann 2026, the systems' design is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add, mul
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.bias.probes import BATCH_SIZE, linear_probe, nonlinear_probe
from repbias.bias.variance import variance_explained
from repbias.geometry.distances import dissimilarities
from repbias.io.stimuli import Stimuli
from repbias.stimuli.bits import Bits
from repbias.stimuli.features import XORS
from repbias.tables import as_table

#: Sets the keys' random streams apart from all others of the same seed.
KEYS = 26
#: Binary digits of the secret p of the integer scheme, and of q in its ciphertexts.
P_DIGITS, Q_DIGITS = 16, 16
#: How often a nonlinear probe sees every stimulus it is fitted on, and its optimiser steps at
#: least: with 9,000 stimuli it reads a parity of four of 32 bits from the plaintext.
N_PASSES, MIN_STEPS = 10, 150


@dataclass
class Task:
    """A feature to compute: the XOR (or AND) of some of the bits."""

    operation: str
    columns: np.ndarray


@dataclass
class Computation:
    """What a system holds, and what it computed.

    Attributes
    ----------
    state : (stimulus, unit), 0 or 1; all that the analyses see
    decrypted : feature to (stimulus,), 0 or 1; what the holder of the key reads
    """

    state: np.ndarray
    decrypted: dict[str, np.ndarray]


def secret_sharing(
    bits: np.ndarray, tasks: dict[str, Task], rng: np.random.Generator, party: int
) -> Computation:
    """Compute on XOR shares: party 0 holds r, drawn at random, and party 1 holds r xor bit.

    Each party XORs its own shares into a share of the result, which no party knows; the XOR of
    both shares is the result. An AND would need messages between the parties and is left out.

    Parameters
    ----------
    bits
        (stimulus, bit), 0 or 1.
    tasks
        What to compute.
    rng
        Draws r, anew for every stimulus.
    party
        Whose shares are the state: those of the bits and of the results.
    """
    pad = rng.integers(0, 2, size=bits.shape)
    shares = pad, pad ^ bits
    results = [
        {
            name: share[:, task.columns].sum(axis=1) % 2
            for name, task in tasks.items()
            if task.operation == "xor"
        }
        for share in shares
    ]
    return Computation(
        np.column_stack([shares[party], *results[party].values()]),
        {name: results[0][name] ^ results[1][name] for name in results[0]},
    )


def dghv(bits: np.ndarray, tasks: dict[str, Task], rng: np.random.Generator) -> Computation:
    """Compute on ciphertexts c = q p + 2 r + m of bits m, with one odd secret p.

    The sum of ciphertexts decrypts, as (c mod p) mod 2, to the XOR of their bits, and the product
    to the AND, as long as the noise (2 r + m, at most 3 here, added or multiplied) is below p.

    The state is the ciphertexts of the bits and of the results, digit by digit, so that nothing
    is rounded off; a ciphertext's value is a linear function of its digits.

    Parameters
    ----------
    bits, tasks
        As for :func:`secret_sharing`.
    rng
        Draws p once, and q and r for every bit of every stimulus.

    Raises
    ------
    RepbiasError
        If a feature reads so many bits that the noise may reach p.
    """
    smallest_p = 2 ** (P_DIGITS - 1)
    p = int(rng.integers(smallest_p // 2, smallest_p)) * 2 + 1
    q = rng.integers(0, 2**Q_DIGITS, size=bits.shape)
    ciphertexts = q * p + 2 * rng.integers(0, 2, size=bits.shape) + bits
    parts = [_digits(ciphertexts.T)]
    decrypted = {}
    for name, task in tasks.items():
        k = len(task.columns)
        if (3 * k if task.operation == "xor" else 3**k) >= smallest_p:
            raise RepbiasError(
                f"'{name}' reads {k} bits, too many for the noise of the integer scheme"
            )
        # Python's integers: a product of ciphertexts has any number of digits.
        read = ciphertexts[:, task.columns].astype(object)
        result = reduce(add if task.operation == "xor" else mul, read.T)
        decrypted[name] = (result % p % 2).astype(np.int64)
        parts.append(_digits(result[None]))
    return Computation(np.concatenate(parts, axis=1), decrypted)


def plaintext(bits: np.ndarray, tasks: dict[str, Task], rng: np.random.Generator) -> Computation:
    """Compute in the clear: the control, in which every analysis must find the features.

    Parameters
    ----------
    bits, tasks, rng
        As for :func:`secret_sharing`; nothing is drawn.
    """
    results = {
        name: (
            bits[:, task.columns].sum(axis=1) % 2
            if task.operation == "xor"
            else bits[:, task.columns].min(axis=1)
        )
        for name, task in tasks.items()
    }
    return Computation(np.column_stack([bits, *results.values()]), results)


def plaintext_inputs(
    bits: np.ndarray, tasks: dict[str, Task], rng: np.random.Generator
) -> Computation:
    """Compute in the clear and show the bits alone: the control of the probes.

    A feature that a probe cannot compute from the bits themselves says nothing when it is not
    found in ciphertexts; the results, which :func:`plaintext` shows too, would be the answer.

    Parameters
    ----------
    bits, tasks, rng
        As for :func:`secret_sharing`; nothing is drawn.
    """
    return Computation(bits, plaintext(bits, tasks, rng).decrypted)


#: Systems without keys: the controls.
CLEAR: dict[str, Callable[..., Computation]] = {
    "plaintext": plaintext,
    "plaintext_inputs": plaintext_inputs,
}
#: Every system by name.
SYSTEMS: dict[str, Callable[..., Computation]] = {
    **CLEAR,
    "secret_sharing_a": partial(secret_sharing, party=0),
    "secret_sharing_b": partial(secret_sharing, party=1),
    "dghv": dghv,
}


def tasks_of(spec: Bits) -> dict[str, Task]:
    """Return the features that can be computed on encrypted bits; others are left out.

    Those are bit, xor, xor_of_xors, parity and and. A majority, or or dnf is no single XOR or AND.
    """
    tasks, start = {}, 0
    for name, feature in spec.features.items():
        if feature.function in (*XORS, "and"):
            operation = "and" if feature.function == "and" else "xor"
            tasks[name] = Task(operation, np.arange(start, start + feature.reads))
        start += feature.bits
    return tasks


def encryption_table(
    experiment: str,
    condition: str,
    stimuli: Stimuli,
    seeds: list[int],
    spec: Bits,
) -> pd.DataFrame:
    """Analyse systems that compute the features on encrypted representations (C26).

    For every system and seed (its key and all its randomness) and every feature that it computes:
    `task_accuracy` after decryption; `linear_probe` and `nonlinear_probe`, fitted on the training
    and validation stimuli (a parity of four bits takes thousands) and tested on the test stimuli;
    `r2`, variance explained (M1). Without a feature:
    `rsa_with_plaintext`, the correlation of the state's RDM (correlation distance, test stimuli)
    with that of the bits, and `rsa_between_keys`, with that of the same system under another key;
    stimuli of which one of the three patterns is constant have no correlation distance and are
    left out.
    """
    fitted = stimuli.split != "test"
    # Bits are coded -1 and 1 or 0 and 1, times a gain.
    bits = (np.asarray(stimuli.inputs) > 0).astype(np.int64)
    labels = dict(zip(stimuli.features, stimuli.labels.T, strict=True))
    tasks = tasks_of(spec)
    rows: list[dict[str, Any]] = []
    for name, system in SYSTEMS.items():
        measures: list[tuple[str, str, float]] = []
        for seed in seeds:
            if measures and name in CLEAR:  # there is no key that could matter
                rows += _rows(name, seed, measures)
                continue
            # Not [seed, i]: zeros at the end do not count, and [0, 0] draws what 0 does, so a pad
            # would be equal to bits that were drawn with the same seed.
            key, other_key = (
                system(bits, tasks, np.random.default_rng([seed, i, KEYS])) for i in range(2)
            )
            measures = [
                *_of_features(key, labels, fitted),
                *_of_geometry(key.state[~fitted], other_key.state[~fitted], bits[~fitted]),
            ]
            rows += _rows(name, seed, measures)
    return as_table(
        "encryption", pd.DataFrame(rows).assign(experiment=experiment, condition=condition)
    )


def _rows(name: str, seed: int, measures: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    return [
        {"system": name, "seed": seed, "measure": m, "feature": feature, "value": value}
        for m, feature, value in measures
    ]


def _of_features(
    computation: Computation, labels: dict[str, np.ndarray], fitted: np.ndarray
) -> list[tuple[str, str, float]]:
    """Return (measure, feature, value) for every feature that was computed."""
    names = list(computation.decrypted)
    if not names:
        return []
    y = np.stack([labels[name] for name in names], axis=1)
    state = computation.state.astype(np.float32)
    args = state[None, fitted], y[fitted], state[None, ~fitted]
    steps = max(MIN_STEPS, N_PASSES * int(fitted.sum()) // BATCH_SIZE)
    decoded = {
        "linear_probe": linear_probe(*args)[0],
        "nonlinear_probe": nonlinear_probe(*args, steps=steps)[0],
        "task_accuracy": np.stack([computation.decrypted[n][~fitted] for n in names], axis=1),
    }
    measures = [
        (measure, name, float((predicted[:, i] == y[~fitted, i]).mean()))
        for measure, predicted in decoded.items()
        for i, name in enumerate(names)
    ]
    for i, name in enumerate(names):
        r2 = variance_explained(y[fitted, i], state[fitted], y[~fitted, i], state[~fitted])
        measures.append(("r2", name, r2))
    return measures


def _of_geometry(
    state: np.ndarray, under_another_key: np.ndarray, bits: np.ndarray
) -> list[tuple[str, str, float]]:
    """Return (measure, no feature, value) for the comparisons of RDMs."""
    varies = np.all([np.ptp(x, axis=1) > 0 for x in (state, under_another_key, bits)], axis=0)
    if varies.sum() < 3:
        raise RepbiasError(f"RSA of encrypted states needs 3 test stimuli, found {varies.sum()}")
    rdm, other, of_bits = (
        dissimilarities(x[varies], "correlation") for x in (state, under_another_key, bits)
    )
    return [
        ("rsa_with_plaintext", "", float(np.corrcoef(rdm, of_bits)[0, 1])),
        ("rsa_between_keys", "", float(np.corrcoef(rdm, other)[0, 1])),
    ]


def _digits(values: np.ndarray) -> np.ndarray:
    """Write integers, (number, stimulus), in binary: (stimulus, number times digit)."""
    n_digits = int(values.max()).bit_length()
    digits = np.stack([(values >> i & 1).astype(np.uint8) for i in range(n_digits)])
    return digits.reshape(-1, values.shape[1]).T
