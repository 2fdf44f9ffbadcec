"""What a claim is, the tables it is decided on, and the arithmetic of effects.

An effect is positive in the claimed direction and has a 95 % bootstrap interval over seeds. "Not
supported" is a result like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from repbias.base.statistics import bootstrap_interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

N_BOOTSTRAPS = 4000
#: Fewer included networks decide nothing: two make one pair, whose bootstrap has no spread.
MIN_NETWORKS = 3

#: What fills a role: a condition, a feature, or a feature that the conditions are trained on.
Role = Literal["condition", "feature", "target"]


@dataclass
class Evidence:
    """What a claim is decided on.

    Attributes
    ----------
    tables : the study's tables by name; "rsa_models" holds one RDM similarity only
    layers : condition ("experiment/condition") to its analysed layer
    snapshot : "final" or "mastered"
    """

    tables: dict[str, pd.DataFrame]
    layers: dict[str, str]
    snapshot: str

    def of(self, name: str, condition: str) -> pd.DataFrame:
        """Return a table's rows of a condition."""
        table = self.tables[name]
        experiment, _, condition = condition.partition("/")
        return table[(table["experiment"] == experiment) & (table["condition"] == condition)]

    def rows(self, name: str, condition: str) -> pd.DataFrame:
        """Return the rows of included networks of a condition, in its analysed layer.

        Where a table has no layers, those of the networks as a whole.
        """
        table = self.of(name, condition)
        wanted = table["snapshot"] == self.snapshot
        if "included" in table:
            wanted &= table["included"].astype(bool)
        if "layer" in table:
            wanted &= table["layer"] == self.layers[condition]
        return table[wanted]

    def n_networks(self, condition: str) -> int:
        """Count all networks of a condition, whether or not they enter an effect."""
        return self.of("learning", condition)["seed"].nunique()

    def by_feature(self, rows: pd.DataFrame, value: str) -> pd.DataFrame:
        """Return a value with a row per network and a column per feature, NaN where it is not."""
        features = self.tables["learning"]["feature"].unique()
        wide = rows.pivot(index="seed", columns="feature", values=value)
        return wide.reindex(columns=[*features, *wide.columns.difference(features)])

    def r2(self, condition: str) -> pd.DataFrame:
        """Return M1 in the analysed layer: a row per included network, a column per feature."""
        return self.by_feature(self.rows("variance_explained", condition), "r2")

    def gap(self, condition: str, easy: str, hard: str) -> pd.Series:
        """Return R² easy minus R² hard of every included network, by seed."""
        r2 = self.r2(condition)
        return r2[easy] - r2[hard]


@dataclass
class Result:
    """An effect, and what it rests on.

    Networks are excluded that missed the inclusion criterion, that (at first mastery) never
    mastered all targets, or that have no value of what is measured (a strength that flips 90 %).

    Attributes
    ----------
    effect, ci_low, ci_high : the effect, positive in the claimed direction, and its 95 % interval
    n_kept, n_dropped : networks
    margin : None for a directed claim; otherwise differences up to it count as none
    claims_difference : with a margin: whether a difference is claimed, or that there is none
    """

    effect: float
    ci_low: float
    ci_high: float
    n_included: int
    n_excluded: int
    margin: float | None = None
    claims_difference: bool = False

    @property
    def verdict(self) -> str:
        """Supported, not supported, or inconclusive.

        A directed claim is supported (not supported) where the interval lies above (below) 0. A
        claim of no difference is supported where the interval lies within the margin, and not
        where it lies outside; a claim of some difference is the opposite.
        """
        if self.margin is None:
            yes, no = self.ci_low > 0, self.ci_high < 0
        else:
            none = -self.margin < self.ci_low and self.ci_high < self.margin
            some = self.ci_low > self.margin or self.ci_high < -self.margin
            if self.claims_difference:
                yes, no = some, none
            else:
                yes, no = none, some
        return "supported" if yes else "not supported" if no else "inconclusive"


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
    tables : what it is decided on; experiments named in a role must have these analyses
    snapshots : when it is decided
    same_stimuli : whether the conditions must share their stimuli (networks are compared directly)
    requires : study and filled roles to what stands in the way of a decision, before any job starts
    """

    statement: str
    roles: dict[str, Role]
    reference: str
    provenance: str
    decide: Callable[..., Result]
    measure: str
    tables: tuple[str, ...]
    snapshots: tuple[str, ...]
    same_stimuli: bool
    requires: Callable[..., Iterator[str]] | None


#: Every claim that a configuration can ask for.
CLAIMS: dict[str, Claim] = {}


def claim(
    name: str,
    statement: str,
    roles: dict[str, Role],
    reference: str,
    provenance: str,
    measure: str,
    tables: tuple[str, ...] = ("variance_explained",),
    snapshots: tuple[str, ...] = ("final", "mastered"),
    same_stimuli: bool = False,
    requires: Callable[..., Iterator[str]] | None = None,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Enter a function into :data:`CLAIMS`; it gets the evidence and the roles as arguments."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        CLAIMS[name] = Claim(
            *(statement, roles, reference, provenance, function, measure),
            *(tables, snapshots, same_stimuli, requires),
        )
        return function

    return register


def mean_of(
    evidence: Evidence,
    values: pd.Series | np.ndarray,
    *conditions: str,
    margin: float | None = None,
) -> Result:
    """Return the mean over networks of one condition (the conditions are for counting drops)."""
    included = np.asarray(values, float)
    included = included[np.isfinite(included)]
    excluded = sum(map(evidence.n_networks, conditions)) - len(included)
    if len(included) < MIN_NETWORKS:
        return _too_few(len(included), excluded, margin=margin)
    return Result(*mean_interval(included, N_BOOTSTRAPS), len(included), excluded, margin)


def difference_of(
    evidence: Evidence,
    more: tuple[str, pd.Series],
    less: tuple[str, pd.Series],
    margin: float | None = None,
    claims_difference: bool = False,
) -> Result:
    """Return the difference of two conditions' means; seeds are resampled in each.

    Parameters
    ----------
    evidence
        Counts the networks that were excluded.
    more, less
        A condition, and a value per included network of it.
    margin, claims_difference
        As in :class:`Result`.
    """
    values = [np.asarray(v, float) for _, v in (more, less)]
    values = [v[np.isfinite(v)] for v in values]
    n_included = sum(map(len, values))
    n_excluded = evidence.n_networks(more[0]) + evidence.n_networks(less[0]) - n_included
    kinds: dict[str, Any] = {"margin": margin, "claims_difference": claims_difference}
    if min(map(len, values)) < MIN_NETWORKS:
        return _too_few(n_included, n_excluded, **kinds)
    rng = np.random.default_rng(0)
    samples = [v[rng.integers(len(v), size=(N_BOOTSTRAPS, len(v)))].mean(axis=1) for v in values]
    estimate = float(values[0].mean() - values[1].mean())
    low, high = bootstrap_interval(estimate, samples[0] - samples[1], min(map(len, values)))
    return Result(estimate, low, high, n_included, n_excluded, **kinds)


def gap_between(
    evidence: Evidence, more: str, less: str, easy: str, hard: str, **kinds: Any
) -> Result:
    """Return the gap (R² easy minus R² hard) of one condition minus that of another."""
    return difference_of(
        evidence,
        (more, evidence.gap(more, easy, hard)),
        (less, evidence.gap(less, easy, hard)),
        **kinds,
    )


def contrast_of_similarities(
    evidence: Evidence, more: tuple[str, str], less: tuple[str, str]
) -> Result:
    """Difference of mean similarities between two pairs of conditions.

    Networks are the random factor: seeds are resampled within each condition, the same sample on
    both sides. A network is never compared with itself, nor with the network of another condition
    that began with the same weights (same seed).
    """
    conditions = list(dict.fromkeys([*more, *less]))
    included = {c: np.sort(evidence.r2(c).index) for c in conditions}
    n_included = sum(map(len, included.values()))
    n_excluded = sum(map(evidence.n_networks, conditions)) - n_included
    if min(map(len, included.values())) < MIN_NETWORKS:
        return _too_few(n_included, n_excluded)
    similarity = {pair: _similarities(evidence, pair, included) for pair in {more, less}}

    def effect(counts: dict[str, np.ndarray]) -> np.ndarray:
        return _weighted(similarity[more], counts[more[0]], counts[more[1]]) - _weighted(
            similarity[less], counts[less[0]], counts[less[1]]
        )

    rng = np.random.default_rng(0)
    once = {c: np.ones((1, len(s))) for c, s in included.items()}
    counts = {
        c: rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=N_BOOTSTRAPS)
        for c, s in included.items()
    }
    samples = effect(counts)
    if np.isnan(samples).all():
        return _too_few(n_included, n_excluded)
    estimate = float(effect(once)[0])
    low, high = bootstrap_interval(estimate, samples, min(map(len, included.values())))
    return Result(estimate, low, high, n_included, n_excluded)


def _too_few(n_included: int, n_excluded: int, **kinds: Any) -> Result:
    return Result(float("nan"), float("nan"), float("nan"), n_included, n_excluded, **kinds)


def _similarities(
    evidence: Evidence, pair: tuple[str, str], included: dict[str, np.ndarray]
) -> np.ndarray:
    """Return similarities (seed of the first, seed of the second); NaN for equal seeds."""
    matrix = np.full((len(included[pair[0]]), len(included[pair[1]])), np.nan)
    index = [{s: i for i, s in enumerate(included[c])} for c in pair]
    for first, second in {pair, pair[::-1]}:
        rows = _pairs(evidence, first, second)
        for a, b, value in rows[["seed_a", "seed_b", "similarity"]].itertuples(index=False):
            one, two = (a, b) if first == pair[0] else (b, a)
            if one != two and one in index[0] and two in index[1]:
                matrix[index[0][one], index[1][two]] = value
    return matrix


def _pairs(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    table = evidence.tables["rsa_models"]
    rows = table["snapshot"] == evidence.snapshot
    for condition, side in ((first, "_a"), (second, "_b")):
        experiment, name = condition.split("/", 1)
        rows &= table["experiment"] == experiment
        rows &= table[f"condition{side}"] == name
        rows &= table[f"layer{side}"] == evidence.layers[condition]
    return table[rows]


def _weighted(similarity: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean similarity under resampling counts (sample, network), pairs without a value left out."""
    there = ~np.isnan(similarity)
    total = np.einsum("bi,ij,bj->b", rows, there, columns, optimize=True)
    summed = np.einsum("bi,ij,bj->b", rows, np.where(there, similarity, 0), columns, optimize=True)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
