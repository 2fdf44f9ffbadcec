"""Claims about feature codes: over units, over principal components, and under encryption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import Estimate
from repbias.claims.evidence import (
    LAMPINEN_2024,
    LAMPINEN_2026,
    Evidence,
    Result,
    claim,
    mean_of,
    result_of,
    undecided,
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
    measure="difference of Gini coefficients of R² over units",
    tables=("sparsity",),
)
def hard_is_sparse(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of Gini hard minus Gini easy."""
    gini = evidence.by_feature(evidence.rows("sparsity", condition), "gini")
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
    from rsatoolbox.rdm import compare

    from repbias.geometry.distances import dissimilarities
    from repbias.rsa.rdms import make_rdms

    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).T
    codes = (np.stack([a & b, a | b], axis=1), np.stack([a & ~b & 1, ~a & b & 1], axis=1))
    and_or, differences = (
        make_rdms(dissimilarities(code, "euclidean"), np.arange(4).astype(str), "euclidean", {})
        for code in codes
    )
    correlation = float(compare(and_or, differences, "corr")[0, 0])
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


@claim(
    "C26",
    "Computing under encryption, a system is perfect at a task that no probe finds in its "
    "activations (their accuracy is within .05 of one half)",
    {},
    reference="task accuracy 1, probes at chance",
    provenance=f"{ENCRYPTED}; the margin is ours",
    measure="accuracy of probes minus one half, in the most readable system",
    tables=("encryption",),
    snapshots=("final",),
    requires=_computes_something,
)
def perfect_but_unreadable(evidence: Evidence) -> Result:
    """Effect: mean over keys of the probes' accuracy minus one half; claimed to be negligible.

    Accuracy is averaged over features and both probes, in the system in which it is highest. Keys
    under which any system makes an error in its task are excluded.
    """
    table = _encrypted(evidence)
    perfect = table[table["measure"] == "task_accuracy"].groupby("seed")["value"].min() == 1
    probes = table[table["measure"].isin(["linear_probe", "nonlinear_probe"])]
    by_system = probes.groupby(["seed", "system"])["value"].mean()
    best = by_system.groupby("seed").max()[perfect] - 0.5
    return _over_keys(best, margin=0.05, n_excluded=int((~perfect).sum()))


@claim(
    "C26b",
    "... and its RDM is unrelated to that of its input (correlation within ±.05)",
    {},
    reference="RSA near 0",
    provenance=ENCRYPTED + "; the margin is ours",
    measure="RDM correlation",
    tables=("encryption",),
    snapshots=("final",),
)
def unrelated_geometry(evidence: Evidence) -> Result:
    """Effect: mean correlation with the RDM of the plaintext; claimed to be negligible."""
    table = _encrypted(evidence)
    rows = table[table["measure"] == "rsa_with_plaintext"]
    return _over_keys(rows.groupby("seed")["value"].mean(), margin=0.05)


def _encrypted(evidence: Evidence) -> pd.DataFrame:
    """Return the measures of the encrypted systems, without the plaintext control."""
    table = evidence.tables["encryption"]
    return table[table["system"] != "plaintext"]


def _over_keys(values: pd.Series, margin: float, n_excluded: int = 0) -> Result:
    """Return the mean over keys as an effect."""
    included = values.to_numpy(float)
    if not len(included):
        return undecided(0, n_excluded, margin)
    estimate = Estimate.of_mean(included)
    return result_of(estimate, len(included), n_excluded, margin, noun="keys")
