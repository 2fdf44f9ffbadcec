"""What a claim is, the tables that decide it, and how effects are estimated.

An effect is positive in the claimed direction and has a 95 % interval over networks, which also
holds for skewed and binary values (:class:`repbias.base.statistics.Estimate`). "Not supported" is
a result like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from repbias.base.statistics import Estimate, Estimated

if TYPE_CHECKING:
    import pandas as pd

    from repbias.claims.contrast import Contrast

#: With fewer included networks (in any of the conditions) a claim stays undecided.
MIN_NETWORKS = 5
#: As many are asked for by reviewers.
ENOUGH_NETWORKS = 15

#: More than a condition has networks.
MOST_SEEDS = 10_000

#: The papers that claims are taken from.
HERMANN_2020 = "Hermann & Lampinen 2020 [paper]"
LAMPINEN_2024 = "Lampinen, Chan & Hermann 2024 [paper]"
LAMPINEN_2026 = "Lampinen, Chan, Li & Hermann 2026 [paper]"

#: What fills a role: a condition (or a pattern, whose conditions' networks are taken together), a
#: pattern that names several, each by itself, a feature, or a feature on which
#: the conditions are trained.
Role = Literal["condition", "conditions", "feature", "target"]
#: What fills a role, in words.
ROLE_WORDS: dict[Role, str] = {
    "condition": "a condition",
    "conditions": "a pattern of conditions",
    "feature": "a feature",
    "target": "a target",
}
#: When claims about differences between conditions are decided: at the end, at first mastery, and
#: at equal loss.
AT_EQUAL_FUNCTION = ("final", "mastered", "matched")


@dataclass
class Evidence:
    """What a claim is decided from.

    Attributes
    ----------
    tables : the study's tables by name; "rsa_models" with a single RDM similarity
    layers : condition ("experiment/condition") to its analysed layer
    snapshot : "final", "mastered" or "matched"
    compared : at "matched", the conditions whose networks are compared at equal validation loss
    reported : conditions of transformers to their "task" and their "order", the features as they
        are reported
    """

    tables: dict[str, pd.DataFrame]
    layers: dict[str, str]
    snapshot: str
    compared: Sequence[str] = ()
    reported: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def all_rows(self, name: str, condition: str) -> pd.DataFrame:
        """Return a table's rows of one condition, or of all that a pattern names.

        Networks of several conditions get seeds of their own.
        """
        import pandas as pd

        table, parts = self.tables[name], []
        for i, member in enumerate(self.members(condition)):
            experiment, _, named = member.partition("/")
            rows = table[(table["experiment"] == experiment) & (table["condition"] == named)]
            parts.append(rows.assign(seed=rows["seed"] + i * MOST_SEEDS) if i else rows)
        return parts[0] if len(parts) == 1 else pd.concat(parts)

    def members(self, condition: str) -> list[str]:
        """Return the conditions that are meant by a name or a pattern."""
        if condition in self.layers:
            return [condition]
        return conditions_matching(condition, self.layers) or [condition]

    def rows(self, name: str, condition: str) -> pd.DataFrame:
        """Return the rows of a condition's included networks, at the snapshot.

        In a table with layers, only those of the analysed layer.
        """
        table = self.all_rows(name, condition)
        wanted = table["snapshot"] == self.snapshot
        if "included" in table:
            wanted &= table["included"].astype(bool)
        if "layer" in table:
            wanted &= table["layer"] == self.layers[self.members(condition)[0]]
        return table[wanted]

    def n_networks(self, condition: str) -> int:
        """Count all networks of a condition, included or not."""
        return self.all_rows("learning", condition)["seed"].nunique()

    def by_feature(self, rows: pd.DataFrame, value: str) -> pd.DataFrame:
        """Return a value, a row per network and a column per feature; NaN where it is missing."""
        features = self.tables["learning"]["feature"].unique()
        wide = rows.pivot(index="seed", columns="feature", values=value)
        return wide.reindex(columns=[*features, *wide.columns.difference(features)])

    def r2(self, condition: str) -> pd.DataFrame:
        """Return R² (M1) in the analysed layer: (included network, feature)."""
        if self.snapshot == "matched":
            return self._r2_at_equal_loss(condition)
        return self.by_feature(self.rows("variance_explained", condition), "r2")

    def matched_loss(self) -> float:
        """Return the lowest validation loss that every included network of all conditions reaches.

        NaN where a condition has no included network.
        """
        lowest = [loss for c in self.compared for _, loss in self._losses(c).values()]
        return max((loss[-1] for loss in lowest), default=float("nan"))

    def said_of_loss(self) -> str:
        """Say, at equal loss, which one it is."""
        return f"validation loss {self.matched_loss():.3g}" if self.snapshot == "matched" else ""

    def _losses(self, condition: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return the steps and the lowest validation loss so far of every included network."""
        table = self.all_rows("learning", condition)
        table = table[table["included"].astype(bool)].drop_duplicates(["seed", "step"])
        return {
            int(seed): (part["step"].to_numpy(), np.fmin.accumulate(part["loss"].to_numpy(float)))
            for seed, part in table.sort_values("step").groupby("seed")
        }

    def _r2_at_equal_loss(self, condition: str) -> pd.DataFrame:
        """Return R² (M1) when each network first reached the loss that all of them reach.

        Between checkpoints R² is interpolated.
        """
        import pandas as pd

        level = self.matched_loss()
        table = self.all_rows("variance_explained", condition)
        table = table[table["layer"] == self.layers[self.members(condition)[0]]]
        rows = table.drop_duplicates(["seed", "step", "feature"])
        all_curves = rows.pivot(index=["seed", "step"], columns="feature", values="r2").sort_index()
        curves_of = {seed: part.droplevel("seed") for seed, part in all_curves.groupby("seed")}
        found = {}
        for seed, (steps, loss) in self._losses(condition).items():
            reached = steps[loss <= level]
            if len(reached) and seed in curves_of:
                at, curves = reached[0], curves_of[seed]
                found[seed] = {f: np.interp(at, curves.index, curves[f]) for f in curves}
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("seed")

    def gap(self, condition: str, easy: str, hard: str) -> pd.Series:
        """Return R² easy minus R² hard of every included network, by seed."""
        r2 = self.r2(condition).reindex(columns=[easy, hard])
        return r2[easy] - r2[hard]


@dataclass
class Result:
    """An effect, and the networks that it is estimated from.

    A network is excluded if it missed the inclusion criterion, if it never mastered all of its
    targets (at first mastery), or if what is measured is undefined for it (such as the steering
    strength that flips 90 % of the stimuli).

    Attributes
    ----------
    effect, ci_low, ci_high : the effect, positive in the claimed direction, and its 95 % interval;
        NaN where there is none
    n_included, n_excluded : number of networks
    margin : None for a directed claim; otherwise smaller differences count as none
    claims_difference : with a margin: whether a difference is claimed, rather than none
    p : p value of the verdict, below .05 where the interval decides; NaN where nothing was tested
    remark : what limits the verdict, and what belongs beside the effect
    """

    effect: float
    ci_low: float
    ci_high: float
    n_included: int
    n_excluded: int
    margin: float | None = None
    claims_difference: bool = False
    p: float = float("nan")
    remark: str = ""

    @property
    def verdict(self) -> str:
        """Supported, not supported, or inconclusive.

        A directed claim is supported if the interval lies above 0, and not supported if it lies
        below. A claim of no difference is supported if the interval lies within the margin, and
        not supported if it lies outside; for a claim of some difference it is the other way round.
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
    """A claim from the literature.

    Attributes
    ----------
    statement : what is claimed, in words
    roles : role to what fills it in the configuration
    reference : the published numbers
    provenance : the source of the claim and its numbers
    decide : function of the evidence and the filled roles that returns the result
    measure : what the effect is measured in
    bounds : between which numbers the effect can lie, where intervals end; none by default
    tables : the tables that decide it; experiments named in a role must have these analyses
    snapshots : the snapshots at which it is decided
    same_stimuli : whether the conditions must share stimuli, as networks are compared directly
    contrast : what must differ between the two conditions that are compared, if there are two
    requires : function of the study and the filled roles that yields what would prevent a
        decision; called before any job starts
    units : what effects vary over: "networks", or "tasks", which stimuli of tokens are about
    """

    statement: str
    roles: dict[str, Role]
    reference: str
    provenance: str
    decide: Callable[..., Result]
    measure: str
    bounds: tuple[float, float]
    tables: tuple[str, ...]
    snapshots: tuple[str, ...]
    same_stimuli: bool
    contrast: Contrast | None
    requires: Callable[..., Iterator[str]] | None
    units: Literal["networks", "tasks"]


#: Every claim that a configuration can name.
CLAIMS: dict[str, Claim] = {}


def claim(
    name: str,
    statement: str,
    roles: dict[str, Role],
    *,
    reference: str,
    provenance: str,
    measure: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    tables: tuple[str, ...] = ("variance_explained",),
    snapshots: tuple[str, ...] = ("final", "mastered"),
    same_stimuli: bool = False,
    contrast: Contrast | None = None,
    requires: Callable[..., Iterator[str]] | None = None,
    units: Literal["networks", "tasks"] = "networks",
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function in :data:`CLAIMS`; it is called with the evidence and the filled roles.

    Parameters are those of :class:`Claim`, after the claim's number.
    """

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        CLAIMS[name] = Claim(
            statement=statement,
            roles=roles,
            reference=reference,
            provenance=provenance,
            decide=function,
            measure=measure,
            bounds=bounds,
            tables=tables,
            snapshots=snapshots,
            same_stimuli=same_stimuli,
            contrast=contrast,
            requires=requires,
            units=units,
        )
        return function

    return register


def conditions_matching(pattern: str, conditions: Iterable[str]) -> list[str]:
    """Return the conditions that a pattern names: `*`, `?` and `[...]` as in file names.

    Examples
    --------
    >>> conditions_matching("tasks/dropout=0.[12]*", ["tasks/dropout=0.0", "tasks/dropout=0.1"])
    ['tasks/dropout=0.1']
    """
    return [name for name in conditions if fnmatchcase(name, pattern)]


def result_of(
    estimate: Estimated,
    n_included: int,
    n_excluded: int,
    margin: float | None = None,
    claims_difference: bool = False,
    remark: str = "",
    noun: str = "networks",
) -> Result:
    """Return an estimate as a result, unless it rests on too few units.

    Parameters
    ----------
    estimate
        The effect.
    n_included, n_excluded, margin, claims_difference
        As in :class:`Result`.
    remark
        What belongs beside the effect; the limits of the verdict are added.
    noun
        What the units are called.
    """
    n = estimate.n_units
    few = f"{n} {noun}{' in a condition' * (n < n_included and noun == 'networks')}"
    if n < MIN_NETWORKS:
        limit = f"{few}, where a verdict needs {MIN_NETWORKS}"
        low = high = p = float("nan")
    else:
        low, high, p = estimate.low(), estimate.high(), _p_value(estimate, margin)
        limit = f"{few}, where reviewers ask for {ENOUGH_NETWORKS}" * (n < ENOUGH_NETWORKS)
        if np.isinf([low, high]).all():
            limit = f"{few} agree exactly, which chance does too often for so few"
        low, high = (bound if np.isfinite(bound) else float("nan") for bound in (low, high))
    return Result(
        estimate.value,
        low,
        high,
        n_included,
        n_excluded,
        margin,
        claims_difference,
        p,
        "; ".join(filter(None, [remark, limit])),
    )


def _p_value(estimate: Estimated, margin: float | None) -> float:
    """Return the smallest level of error at which the interval decides, for either verdict."""
    m = margin or 0.0
    outside = 2 * min(estimate.above(m), estimate.below(-m))
    if margin is None:
        return min(1.0, outside)
    within = 2 * max(estimate.above(-m), estimate.below(m))
    return min(1.0, outside, within)


def mean_of(
    evidence: Evidence,
    values: pd.Series | np.ndarray,
    *conditions: str,
    **options: Any,
) -> Result:
    """Return the mean over networks as an effect.

    Parameters
    ----------
    evidence
        Counts the networks that were excluded.
    values
        (network,), a value per included network; those that are not finite are excluded too.
    *conditions
        The conditions that the networks belong to.
    **options
        Of :func:`result_of`, such as a margin.
    """
    included = _finite(values)
    n_excluded = sum(map(evidence.n_networks, conditions)) - len(included)
    if not len(included):
        return undecided(0, n_excluded, **options)
    return result_of(Estimate.of_mean(included), len(included), n_excluded, **options)


def difference_of(
    evidence: Evidence,
    larger: tuple[str, pd.Series],
    smaller: tuple[str, pd.Series],
    **options: Any,
) -> Result:
    """Return the difference between the means of two conditions' networks.

    Parameters
    ----------
    evidence
        Counts the networks that were excluded.
    larger, smaller
        The condition claimed to have the larger mean, and the other one, each with a value per
        included network.
    **options
        Of :func:`result_of`, such as a margin.
    """
    values = [_finite(v) for _, v in (larger, smaller)]
    n_included = sum(map(len, values))
    n_excluded = evidence.n_networks(larger[0]) + evidence.n_networks(smaller[0]) - n_included
    if not all(map(len, values)):
        return undecided(n_included, n_excluded, **options)
    return result_of(Estimate.of_difference(*values), n_included, n_excluded, **options)


def _finite(values: pd.Series | np.ndarray) -> np.ndarray:
    numbers = np.asarray(values, float)
    return numbers[np.isfinite(numbers)]


def gap_between(
    evidence: Evidence, larger: str, smaller: str, easy: str, hard: str, **options: Any
) -> Result:
    """Return the gap (R² easy minus R² hard) in one condition minus that in another.

    Options are those of :func:`difference_of`.
    """
    return difference_of(
        evidence,
        (larger, evidence.gap(larger, easy, hard)),
        (smaller, evidence.gap(smaller, easy, hard)),
        remark=evidence.said_of_loss(),
        **options,
    )


def contrast_of_similarities(
    evidence: Evidence,
    larger: tuple[str, str],
    smaller: tuple[str, str],
    untrained: bool = False,
) -> Result:
    """Return the mean similarity of one pair of conditions minus that of another pair.

    Networks are the random factor: each is left out of all comparisons that it takes part in
    (jackknife). A network is never compared with itself, nor with the network of another
    condition that has the same initial weights and training set (same seed).

    Parameters
    ----------
    evidence
        Has the tables rsa_models and, for untrained networks, rsa_untrained.
    larger, smaller
        The pair claimed to be more similar, and the other one.
    untrained
        Whether the first pair is of trained and untrained networks of one condition.
    """
    conditions = list(dict.fromkeys([*larger, *smaller]))
    included = {c: np.sort(evidence.r2(c).index) for c in conditions}
    n_included = sum(map(len, included.values()))
    n_excluded = sum(map(evidence.n_networks, conditions)) - n_included
    if min(map(len, included.values())) < 3:  # without one of two, there is no pair
        return undecided(n_included, n_excluded)
    similarity = {pair: _similarities(evidence, pair, included) for pair in {larger, smaller}}
    remark = ""
    if untrained:
        similarity[larger], itself = _to_untrained(evidence, larger[0], included[larger[0]])
        means = [np.nanmean(similarity[pair]) for pair in (larger, smaller)]
        remark = "similarity to untrained networks {:z.3f}, to the other task {:z.3f}; ".format(
            *means
        )
        remark += f"to itself untrained {itself:z.3f}"
    estimate = contrast_estimate(similarity, larger, smaller)
    if estimate is None:
        return undecided(n_included, n_excluded, remark="some similarities are undefined")
    return result_of(estimate, n_included, n_excluded, remark=remark)


def contrast_estimate(
    similarity: dict[tuple[str, str], np.ndarray],
    larger: tuple[str, str],
    smaller: tuple[str, str],
) -> Estimate | None:
    """Estimate the mean similarity of one pair of conditions minus that of another pair.

    Parameters
    ----------
    similarity
        Of either pair, (network of the first condition, network of the second); NaN where two
        networks are not compared, such as a network with itself.
    larger, smaller
        The two pairs.

    Returns
    -------
    Estimate or None
        None if a mean is undefined, also without one of the networks.
    """
    sizes = {c: n for pair, m in similarity.items() for c, n in zip(pair, m.shape, strict=True)}

    def effect(counts: dict[str, np.ndarray]) -> np.ndarray:
        return _weighted(similarity[larger], counts[larger[0]], counts[larger[1]]) - _weighted(
            similarity[smaller], counts[smaller[0]], counts[smaller[1]]
        )

    value = float(effect({c: np.ones((1, n)) for c, n in sizes.items()})[0])
    left_out = []
    for left, n in sizes.items():
        counts = {c: 1 - np.eye(n) if c == left else np.ones((n, k)) for c, k in sizes.items()}
        left_out.append(effect(counts))
    if not np.isfinite([value, *np.concatenate(left_out)]).all():
        return None
    return Estimate.of_left_out(value, left_out)


def undecided(
    n_included: int,
    n_excluded: int,
    margin: float | None = None,
    claims_difference: bool = False,
    remark: str = f"too few networks, where a verdict needs {MIN_NETWORKS}",
) -> Result:
    """Return the result of a claim whose effect cannot be estimated: NaN."""
    nan = float("nan")
    return Result(nan, nan, nan, n_included, n_excluded, margin, claims_difference, remark=remark)


def withheld(result: Result, reason: str) -> Result:
    """Return a result without its verdict, for a reason that is stated first."""
    nan = float("nan")
    remark = "; ".join(filter(None, [reason, result.remark]))
    return replace(result, ci_low=nan, ci_high=nan, p=nan, remark=remark)


def _similarities(
    evidence: Evidence, pair: tuple[str, str], included: dict[str, np.ndarray]
) -> np.ndarray:
    """Return similarities (network of the first, network of the second); NaN for equal seeds."""
    matrix = np.full((len(included[pair[0]]), len(included[pair[1]])), np.nan)
    index = [{s: i for i, s in enumerate(included[c])} for c in pair]
    for first, second in {pair, pair[::-1]}:
        rows = _pairs(evidence, first, second)
        for a, b, value in rows[["seed_a", "seed_b", "similarity"]].itertuples(index=False):
            row, column = (a, b) if first == pair[0] else (b, a)
            if row != column and row in index[0] and column in index[1]:
                matrix[index[0][row], index[1][column]] = value
    return matrix


def _to_untrained(
    evidence: Evidence, condition: str, included: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return similarities (trained network, untrained network of another seed), and to itself."""
    table = evidence.rows("rsa_untrained", condition)
    wide = table.pivot(index="seed", columns="untrained_seed", values="similarity")
    matrix = wide.reindex(index=included, columns=included).to_numpy(float, copy=True)
    itself = float(np.diagonal(matrix).mean())
    np.fill_diagonal(matrix, np.nan)
    return matrix, itself


def _pairs(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    """Return the rows that compare two conditions in this order, in their analysed layers."""
    table = evidence.tables["rsa_models"]
    rows = table["snapshot"] == evidence.snapshot
    for condition, side in ((first, "_a"), (second, "_b")):
        experiment, name = condition.split("/", 1)
        rows &= table["experiment"] == experiment
        rows &= table[f"condition{side}"] == name
        rows &= table[f"layer{side}"] == evidence.layers[condition]
    return table[rows]


def _weighted(similarity: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return mean similarities, given how often each sample has every network.

    Parameters
    ----------
    similarity
        (network, network); pairs with NaN are left out.
    rows, columns
        (sample, network) counts, 0 or 1.
    """
    known = ~np.isnan(similarity)
    total = ((rows @ known) * columns).sum(axis=1)
    summed = ((rows @ np.where(known, similarity, 0)) * columns).sum(axis=1)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
