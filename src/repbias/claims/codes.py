"""Claims about how features are coded: over units, over principal components, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repbias.claims.evidence import MIN_NETWORKS, Evidence, Result, claim, mean_of
from repbias.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

P1 = "Lampinen, Chan & Hermann 2024 [paper]"


@claim(
    "C5",
    "The easy feature has a dense code over units, the hard one a sparse code",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
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
    provenance=P1,
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
    """Effect: minus the correlation of the two codes' RDMs; exact, so the interval is a point."""
    from rsatoolbox.rdm import compare

    from repbias.geometry.rdms import dissimilarities, make_rdms

    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).T
    codes = (np.stack([a & b, a | b], axis=1), np.stack([a & ~b & 1, ~a & b & 1], axis=1))
    rdms = [
        make_rdms(dissimilarities(c, "euclidean"), np.arange(4).astype(str), "euclidean", {})
        for c in codes
    ]
    correlation = float(compare(*rdms, "corr")[0, 0])
    return Result(-correlation, -correlation, -correlation, 0, 0)


ENCRYPTED = "Lampinen, Chan, Li & Hermann 2026 [paper]; the two systems are ours"


@claim(
    "C26",
    "Computing under encryption, a system can be perfect at a task that no probe finds in its "
    "activations",
    {},
    reference="task accuracy 1, probes at chance",
    provenance=ENCRYPTED,
    measure="task accuracy minus the best probe's accuracy",
    tables=("encryption",),
    snapshots=("final",),
)
def perfect_but_unreadable(evidence: Evidence) -> Result:
    """Effect: over keys, systems and features, accuracy after decryption minus the best probe's."""
    table = _encrypted(evidence)
    table = table[table["feature"] != ""]
    wide = table.pivot(index=["seed", "system", "feature"], columns="measure", values="value")
    best = wide[["linear_probe", "nonlinear_probe"]].max(axis=1)
    return _over_keys((wide["task_accuracy"] - best).groupby("seed").mean())


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
    """Return what was measured, without the control that computes in the clear."""
    table = evidence.tables["encryption"]
    return table[table["system"] != "plaintext"]


def _over_keys(values: object, margin: float | None = None) -> Result:
    kept = np.asarray(values, float)
    if len(kept) < MIN_NETWORKS:
        return Result(float("nan"), float("nan"), float("nan"), len(kept), 0, margin)
    return Result(*mean_interval(kept), len(kept), 0, margin)
