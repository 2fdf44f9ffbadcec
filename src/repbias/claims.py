"""Published claims as tests with a verdict.

A claim names the roles that the configuration fills (conditions and features), and computes an
effect with a 95 % bootstrap interval over seeds. "Not supported" is a result like any other.
To add a claim, write a function with the decorator :func:`claim`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from repbias.statistics import bootstrap_interval, mean_interval
from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd

N_BOOTSTRAPS = 4000
#: Fewer kept networks decide nothing: two make one pair, whose bootstrap has no spread.
MIN_NETWORKS = 3


@dataclass
class Evidence:
    """What a claim is decided on.

    Attributes
    ----------
    variance : the table of variance explained
    rsa : the table of comparisons between networks, of one comparator
    layers : condition ("experiment/condition") to its analysed layer
    snapshot : "final" or "acquired"
    """

    variance: pd.DataFrame
    rsa: pd.DataFrame
    layers: dict[str, str]
    snapshot: str

    def at(self, table: pd.DataFrame, condition: str, suffix: str = "") -> pd.Series:
        """Say which rows are of a condition's analysed layer (of one side of a comparison)."""
        experiment, name = condition.split("/", 1)
        return (
            (table["experiment"] == experiment)
            & (table[f"condition{suffix}"] == name)
            & (table[f"layer{suffix}"] == self.layers[condition])
            & (table["snapshot"] == self.snapshot)
        )

    def n_networks(self, condition: str) -> int:
        """Count all networks of a condition, whether or not they enter an effect."""
        experiment, name = condition.split("/", 1)
        table = self.variance
        rows = (table["experiment"] == experiment) & (table["condition"] == name)
        return table.loc[rows, "seed"].nunique()


@dataclass
class Result:
    """An effect, positive in the claimed direction, and what it rests on.

    Networks are dropped that missed the inclusion criterion, or (at first mastery) that never
    mastered all targets.
    """

    effect: float
    ci_low: float
    ci_high: float
    n_kept: int
    n_dropped: int

    @property
    def verdict(self) -> str:
        """Supported or not supported where the interval excludes 0, otherwise inconclusive."""
        if self.ci_low > 0:
            return "supported"
        if self.ci_high < 0:
            return "not supported"
        return "inconclusive"


@dataclass(frozen=True)
class Claim:
    """A claim of the literature.

    Attributes
    ----------
    statement : what is claimed, in words
    roles : role to what fills it in the configuration
    reference : the published numbers
    provenance : the source of claim and numbers
    decide : evidence and filled roles to the result
    measure : what the effect is measured in
    over_time : whether it is also reported at first mastery; if not, it is exact
    """

    statement: str
    roles: dict[str, Literal["condition", "feature"]]
    reference: str
    provenance: str
    decide: Callable[..., Result]
    measure: str
    over_time: bool = True


#: Every claim that a configuration can ask for.
CLAIMS: dict[str, Claim] = {}


def claim(
    name: str,
    statement: str,
    roles: dict[str, Literal["condition", "feature"]],
    reference: str,
    provenance: str,
    measure: str,
    over_time: bool = True,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Enter a function into :data:`CLAIMS`; it gets the evidence and the roles as arguments."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        CLAIMS[name] = Claim(statement, roles, reference, provenance, function, measure, over_time)
        return function

    return register


@claim(
    "C1",
    "In networks that compute both features, the easy one explains more variance than the hard one",
    {"condition": "condition", "easy": "feature", "hard": "feature"},
    reference="R2 .55 easy, .05 hard (an example network)",
    provenance="Lampinen, Chan & Hermann 2024 [paper]",
    measure="difference of R²",
)
def easy_explains_more(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² easy minus R² hard."""
    table = evidence.variance[evidence.at(evidence.variance, condition)]
    wide = table[table["kept"]].pivot(index="seed", columns="feature", values="r2")
    wide = wide.reindex(columns=[easy, hard])
    kept = (wide[easy] - wide[hard]).to_numpy()
    dropped = evidence.n_networks(condition) - len(kept)
    if len(kept) < MIN_NETWORKS:
        return _too_few(len(kept), dropped)
    return Result(*mean_interval(kept, N_BOOTSTRAPS), len(kept), dropped)


@claim(
    "C19",
    "Two networks of the same complex task are less similar (RSA) than either is to a network "
    "of the easy task alone",
    {"easy": "condition", "both": "condition"},
    reference="direction only",
    provenance="Lampinen, Chan, Li & Hermann 2026 [paper]",
    measure="difference of RDM similarity",
)
def complex_less_similar(evidence: Evidence, easy: str, both: str) -> Result:
    """Effect: mean similarity easy-both minus mean similarity both-both."""
    return _contrast(evidence, (easy, both), (both, both))


@claim(
    "C20",
    "Networks of the hard task are less similar (RSA) to each other than networks of the easy "
    "task are",
    {"easy": "condition", "hard": "condition"},
    reference="direction only",
    provenance="Hermann & Lampinen 2020 [paper]; Lampinen, Chan, Li & Hermann 2026 [paper]",
    measure="difference of RDM similarity",
)
def hard_less_similar(evidence: Evidence, easy: str, hard: str) -> Result:
    """Effect: mean similarity easy-easy minus mean similarity hard-hard."""
    return _contrast(evidence, (easy, easy), (hard, hard))


@claim(
    "C25",
    "Two hidden codes that compute XOR equally well (AND, OR; A and not B, B and not A) have "
    "anticorrelated Euclidean RDMs (computed exactly, without networks)",
    {},
    reference="correlation of the RDMs -0.7947",
    provenance="Hermann & Lampinen 2020 [derived]",
    measure="minus the RDM correlation",
    over_time=False,
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


def decide(
    wanted: dict[str, dict[str, str]],
    variance: pd.DataFrame,
    rsa: pd.DataFrame,
    layers: dict[str, str],
) -> pd.DataFrame:
    """Decide the claims that a study asks for.

    Parameters
    ----------
    wanted
        Claim to its filled roles, as ``claims:`` in the configuration.
    variance, rsa
        The tables of variance explained, and of comparisons between networks by one comparator.
    layers
        Condition ("experiment/condition") to its analysed layer.

    Returns
    -------
    pandas.DataFrame
        One row per claim at the end of training, and one, marked "(acquired)", when each network
        first mastered its targets: the stopping time is part of the experiment.
    """
    rows = []
    for name, roles in wanted.items():
        entry = CLAIMS[name]
        for snapshot in ("final", "acquired") if entry.over_time else ("final",):
            result = entry.decide(Evidence(variance, rsa, layers, snapshot), **roles)
            rows.append(
                {
                    "claim": name if snapshot == "final" else f"{name} (acquired)",
                    "statement": entry.statement,
                    "verdict": result.verdict,
                    "effect": result.effect,
                    "ci_low": result.ci_low,
                    "ci_high": result.ci_high,
                    "n_kept": result.n_kept,
                    "n_dropped": result.n_dropped,
                    "reference": entry.reference,
                    "provenance": entry.provenance,
                }
            )
    return as_table("claims", rows)


def _too_few(n_kept: int, n_dropped: int) -> Result:
    return Result(float("nan"), float("nan"), float("nan"), n_kept, n_dropped)


def _contrast(evidence: Evidence, more: tuple[str, str], less: tuple[str, str]) -> Result:
    """Difference of mean similarities between two pairs of conditions.

    Networks are the random factor: seeds are resampled within each condition, the same sample on
    both sides. A network is never compared with itself, nor with the network of another condition
    that began with the same weights (same seed).
    """
    conditions = list(dict.fromkeys([*more, *less]))
    kept = {c: _kept_seeds(evidence, c) for c in conditions}
    n_kept = sum(map(len, kept.values()))
    n_dropped = sum(map(evidence.n_networks, conditions)) - n_kept
    if min(map(len, kept.values())) < MIN_NETWORKS:
        return _too_few(n_kept, n_dropped)
    similarity = {pair: _similarities(evidence, pair, kept) for pair in {more, less}}

    def effect(counts: dict[str, np.ndarray]) -> np.ndarray:
        return _weighted(similarity[more], counts[more[0]], counts[more[1]]) - _weighted(
            similarity[less], counts[less[0]], counts[less[1]]
        )

    rng = np.random.default_rng(0)
    once = {c: np.ones((1, len(s))) for c, s in kept.items()}
    counts = {
        c: rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=N_BOOTSTRAPS)
        for c, s in kept.items()
    }
    samples = effect(counts)
    if np.isnan(samples).all():
        return _too_few(n_kept, n_dropped)
    estimate = float(effect(once)[0])
    low, high = bootstrap_interval(estimate, samples, min(map(len, kept.values())))
    return Result(estimate, low, high, n_kept, n_dropped)


def _kept_seeds(evidence: Evidence, condition: str) -> np.ndarray:
    table = evidence.variance
    return np.sort(table.loc[evidence.at(table, condition) & table["kept"], "seed"].unique())


def _similarities(
    evidence: Evidence, pair: tuple[str, str], kept: dict[str, np.ndarray]
) -> np.ndarray:
    """Return similarities (seed of the first, seed of the second); NaN for equal seeds."""
    matrix = np.full((len(kept[pair[0]]), len(kept[pair[1]])), np.nan)
    index = [{s: i for i, s in enumerate(kept[c])} for c in pair]
    table = evidence.rsa
    for first, second in {pair, pair[::-1]}:
        rows = table[evidence.at(table, first, "_a") & evidence.at(table, second, "_b")]
        for a, b, value in rows[["seed_a", "seed_b", "similarity"]].itertuples(index=False):
            one, two = (a, b) if first == pair[0] else (b, a)
            if one != two and one in index[0] and two in index[1]:
                matrix[index[0][one], index[1][two]] = value
    return matrix


def _weighted(similarity: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean similarity under resampling counts (sample, network), pairs without a value left out."""
    there = ~np.isnan(similarity)
    total = np.einsum("bi,ij,bj->b", rows, there, columns, optimize=True)
    summed = np.einsum("bi,ij,bj->b", rows, np.where(there, similarity, 0), columns, optimize=True)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
