"""Claims about feature codes: over units, over principal components, and under encryption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import Estimate, Least
from repbias.claims.evidence import (
    LAMPINEN_2024,
    LAMPINEN_2026,
    Evidence,
    Result,
    claim,
    mean_of,
    result_of,
    undecided,
    withheld,
)
from repbias.stimuli.features import XORS

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.study import Study


@claim(
    "C5",
    "The easy feature has a dense code over units, the hard one a sparse code",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of Gini coefficients of the units' signal, whatever its share of variance",
    bounds=(-1, 1),
    tables=("sparsity",),
)
def hard_is_sparse(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of Gini hard minus Gini easy."""
    return _sparser(evidence, condition, easy, hard, "gini_signal")


@claim(
    "C5-r2",
    "... measured by R² of single units, as in the paper (with the same code, a feature that "
    "explains less variance has sparser R²)",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of Gini coefficients of R² over units",
    bounds=(-1, 1),
    tables=("sparsity",),
)
def hard_has_sparse_r2(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of Gini hard minus Gini easy."""
    return _sparser(evidence, condition, easy, hard, "gini")


def _sparser(evidence: Evidence, condition: str, easy: str, hard: str, column: str) -> Result:
    gini = evidence.by_feature(evidence.rows("sparsity", condition), column)
    return mean_of(evidence, gini[hard] - gini[easy], condition)


@claim(
    "C16",
    "The hard feature needs more principal components than the easy one to survive in the "
    "network's output (top-k reconstruction)",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of the components needed for 90 % accuracy",
    tables=("components",),
)
def hard_needs_more_components(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of k hard minus k easy."""
    from repbias.bias.components import components_needed

    rows = evidence.rows("components", condition).sort_values("n_components")
    needed = {
        key: components_needed(part["n_components"].to_numpy(), part["accuracy"].to_numpy())
        for key, part in rows.groupby(["seed", "feature"])
    }
    seeds = sorted({seed for seed, _ in needed})
    return mean_of(
        evidence, np.array([needed[s, hard] - needed[s, easy] for s in seeds]), condition
    )


@claim(
    "C25",
    "Two hidden codes that compute XOR equally well (AND, OR; A and not B, B and not A) have "
    "anticorrelated Euclidean RDMs (computed exactly, without networks)",
    {},
    reference="correlation of the RDMs -0.7947",
    provenance="Hermann & Lampinen 2020 [derived]",
    measure="minus the RDM correlation",
    tables=(),
    snapshots=("final",),
)
def xor_codes(evidence: Evidence) -> Result:
    """Effect: minus the correlation of the two codes' RDMs; exact, so its interval is a point."""
    from repbias.geometry.comparison import similarities
    from repbias.geometry.distances import dissimilarities

    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).T
    codes = (np.stack([a & b, a | b], axis=1), np.stack([a & ~b & 1, ~a & b & 1], axis=1))
    and_or, differences = (dissimilarities(code, "euclidean")[None] for code in codes)
    correlation = similarities(and_or, differences, "corr").item()
    return Result(-correlation, -correlation, -correlation, 0, 0)


def _computes_something(study: Study) -> Iterator[str]:
    """Require a balanced feature that can be computed under encryption."""
    if study.encryption is None:
        return  # reported elsewhere
    stimuli = study.condition(study.encryption).stimuli
    if stimuli.kind != "bits":
        yield f"{study.encryption} has stimuli of kind {stimuli.kind!r}; expected bits"
        return
    functions = [feature.function for feature in stimuli.features.values()]
    if not set(functions) & set(XORS):
        yield f"{study.encryption} has no feature among {', '.join(XORS)} (found {functions})"


ENCRYPTED = f"{LAMPINEN_2026}; the two systems are ours"


#: Accuracy from which a probe can compute a feature, and below which it finds nothing.
READABLE, UNREADABLE = 0.9, 0.55


@claim(
    "C26",
    "Computing under encryption, a system is perfect at a task that no probe finds in its "
    "activations (accuracy below .55)",
    {},
    reference="task accuracy 1, probes at chance",
    provenance=f"{ENCRYPTED}; the threshold is ours",
    measure=".55 minus the accuracy of a probe, in the system, feature and probe where it is best",
    bounds=(-0.45, 0.55),
    tables=("encryption",),
    snapshots=("final",),
    requires=_computes_something,
)
def perfect_but_unreadable(evidence: Evidence) -> Result:
    """Effect: .55 minus the largest mean over keys of a probe's accuracy.

    A leak in one system, feature or probe is a leak; its search is counted. Keys under which any
    system makes an error in its task are excluded. Only features count that some probe reads from
    the plaintext bits, without the results; if the nonlinear probe fails to read one of them there,
    that it does not read ciphertexts says nothing, and nothing is decided.
    """
    table = _encrypted(evidence)
    perfect = table[table["measure"] == "task_accuracy"].groupby("seed")["value"].min() == 1
    n, n_excluded = int(perfect.sum()), int((~perfect).sum())
    control = _read_from_plaintext(evidence)
    readable = control.index[control.max(axis=1) >= READABLE]
    probes = table[table["measure"].isin(PROBES) & table["feature"].isin(readable)]
    probes = probes[probes["seed"].isin(perfect.index[perfect])]
    cells = [
        Estimate.of_mean(UNREADABLE - part["value"].to_numpy(float))
        for _, part in probes.groupby(["system", "feature", "measure"])
    ]
    if not cells:
        return undecided(n, n_excluded, remark="no feature that probes can read in plaintext")
    result = result_of(Least(cells), n, n_excluded, noun="keys")
    missed = control.index[~(control["nonlinear_probe"] >= READABLE)]
    if len(missed):
        found = ", ".join(f"{f} {control.loc[f, 'nonlinear_probe']:.2f}" for f in missed)
        result = withheld(result, f"the nonlinear probe fails in the plaintext bits: {found}")
    return result


#: Measures of the table that are the accuracies of probes.
PROBES = ("linear_probe", "nonlinear_probe")


def _read_from_plaintext(evidence: Evidence) -> pd.DataFrame:
    """Return accuracies of probes of the plaintext bits, (feature, probe)."""
    table = evidence.tables["encryption"]
    bits = table[(table["system"] == "plaintext_inputs") & table["measure"].isin(PROBES)]
    accuracy = bits.pivot_table(index="feature", columns="measure", values="value")
    return accuracy.reindex(columns=list(PROBES))


@claim(
    "C26b",
    "... and its RDM is unrelated to that of its input (correlation within ±.05)",
    {},
    reference="RSA near 0",
    provenance=ENCRYPTED + "; the margin is ours",
    measure="RDM correlation",
    bounds=(-1, 1),
    tables=("encryption",),
    snapshots=("final",),
)
def unrelated_geometry(evidence: Evidence) -> Result:
    """Effect: mean correlation with the RDM of the plaintext; claimed to be negligible."""
    table = _encrypted(evidence)
    rows = table[table["measure"] == "rsa_with_plaintext"]
    return _over_keys(rows.groupby("seed")["value"].mean(), margin=0.05)


def _encrypted(evidence: Evidence) -> pd.DataFrame:
    """Return the measures of the encrypted systems, without the controls in plaintext."""
    table = evidence.tables["encryption"]
    return table[~table["system"].isin(["plaintext", "plaintext_inputs"])]


def _over_keys(values: pd.Series, margin: float) -> Result:
    """Return the mean over keys as an effect."""
    if values.empty:
        return undecided(0, 0, margin)
    estimate = Estimate.of_mean(values.to_numpy(float))
    return result_of(estimate, len(values), 0, margin, noun="keys")
