"""Claims about how features are coded: over units, over principal components, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import mean_interval
from repbias.claims.evidence import MIN_NETWORKS, Evidence, Result, claim, mean_of
from repbias.stimuli.features import XORS

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.study import Study

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

    from repbias.geometry.distances import dissimilarities
    from repbias.rsa.rdms import make_rdms

    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).T
    codes = (np.stack([a & b, a | b], axis=1), np.stack([a & ~b & 1, ~a & b & 1], axis=1))
    one, other = (
        make_rdms(dissimilarities(c, "euclidean"), np.arange(4).astype(str), "euclidean", {})
        for c in codes
    )
    correlation = float(compare(one, other, "corr")[0, 0])
    return Result(-correlation, -correlation, -correlation, 0, 0)


def _computes_something(study: Study) -> Iterator[str]:
    """Require a feature that can be computed under encryption, and is balanced."""
    if study.encryption is None:
        return  # is said elsewhere
    functions = [f.function for f in study.condition(study.encryption).stimuli.features.values()]
    if not set(functions) & set(XORS):
        yield f"{study.encryption} has no feature among {', '.join(XORS)} (found {functions})"


ENCRYPTED = "Lampinen, Chan, Li & Hermann 2026 [paper]; the two systems are ours"


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

    The mean over features and both probes, of the system in which it is highest. Keys under which
    a system errs in its task are left out.
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
    """Return what was measured, without the control that computes in the clear."""
    table = evidence.tables["encryption"]
    return table[table["system"] != "plaintext"]


def _over_keys(values: pd.Series, margin: float, n_excluded: int = 0) -> Result:
    included = values.to_numpy(float)
    if len(included) < MIN_NETWORKS:
        return Result(float("nan"), float("nan"), float("nan"), len(included), n_excluded, margin)
    return Result(*mean_interval(included), len(included), n_excluded, margin)
