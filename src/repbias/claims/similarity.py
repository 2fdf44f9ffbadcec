"""Claims about the similarity of networks, and what it reveals about their computations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from repbias.base.statistics import Estimate
from repbias.claims.evidence import (
    HERMANN_2020,
    LAMPINEN_2026,
    Evidence,
    Result,
    claim,
    contrast_of_similarities,
    result_of,
    undecided,
)

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.study import Study

OPEN = "open question; the design is ours"


@claim(
    "C19",
    "Two networks of the same complex task are less similar (RSA) than either is to a network "
    "of the easy task alone",
    {"easy": "condition", "both": "condition"},
    reference="direction only",
    provenance=LAMPINEN_2026,
    measure="difference of RDM similarity",
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
)
def complex_less_similar(evidence: Evidence, easy: str, both: str) -> Result:
    """Effect: mean similarity easy-both minus mean similarity both-both."""
    return contrast_of_similarities(evidence, (easy, both), (both, both))


@claim(
    "C20",
    "Networks of the hard task are less similar (RSA) to each other than networks of the easy "
    "task are",
    {"easy": "condition", "hard": "condition"},
    reference="direction only",
    provenance=f"{HERMANN_2020}; {LAMPINEN_2026}",
    measure="difference of RDM similarity",
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
)
def hard_less_similar(evidence: Evidence, easy: str, hard: str) -> Result:
    """Effect: mean similarity easy-easy minus mean similarity hard-hard."""
    return contrast_of_similarities(evidence, (easy, easy), (hard, hard))


def _measured(*metrics: str) -> Callable[..., Iterator[str]]:
    """Require that identification uses these measures."""

    def requires(study: Study, condition: str) -> Iterator[str]:
        spec = study.identification
        if spec is None:
            return  # reported elsewhere
        for metric in metrics:
            if metric == "rsa_residualised":
                if spec.residualise is None:
                    yield "needs identification.residualise, a feature"
            elif metric not in spec.metrics:
                yield f"needs {metric!r} in identification.metrics, found {spec.metrics}"

    return requires


def _without_noise(study: Study, condition: str) -> Iterator[str]:
    """Require plain RSA, and targets measured without noise."""
    yield from _measured("rsa")(study, condition)
    if study.identification and 1 not in study.identification.reliabilities:
        yield "needs 1.0 in identification.reliabilities"


@claim(
    "C27",
    "RSA names, for a network, the candidate that computes the same (among the candidates of the "
    "study; without noise)",
    {"condition": "condition"},
    reference="identification by similarity often fails; no number",
    provenance="Han et al. 2023; the design is ours",
    measure="top-1 rate minus chance",
    tables=("identification",),
    requires=_without_noise,
)
def rsa_identifies(evidence: Evidence, condition: str) -> Result:
    """Effect: mean over targets of the probability that RSA names the right class, minus chance."""
    rows = evidence.rows("identification", condition)
    rows = rows[(rows["metric"] == "rsa") & (rows["reliability_level"] == 1)]
    above_chance = (rows["top1"] - rows["chance"]).groupby(rows["left_out"]).mean()
    return _over_seeds(evidence, condition, rows, above_chance)


def _repair(evidence: Evidence, condition: str, metric: str) -> Result:
    """Return the measure's top-1 rate minus that of RSA, over targets and noise levels."""
    rows = evidence.rows("identification", condition)
    rows = rows[rows["metric"].isin([metric, "rsa"])]
    # Networks for which either measure is undefined are excluded.
    rows = rows[rows.groupby("seed")["metric"].transform("nunique") == 2]
    rates = rows.groupby(["left_out", "metric"])["top1"].mean().unstack()
    rates = rates.reindex(columns=[metric, "rsa"])
    return _over_seeds(evidence, condition, rows, (rates[metric] - rates["rsa"]).dropna())


def _over_seeds(
    evidence: Evidence, condition: str, rows: pd.DataFrame, statistic: pd.Series
) -> Result:
    """Return a statistic as an effect; seeds are left out in turn (jackknife).

    Parameters
    ----------
    evidence, condition
        Count the networks that were excluded.
    rows
        The rows that the statistic was computed from.
    statistic
        Its values by the seed that was left out; -1 for none.
    """
    n_included = rows["seed"].nunique()
    n_excluded = evidence.n_networks(condition) - n_included
    left_out = statistic.drop(-1, errors="ignore").to_numpy()
    if len(left_out) < 2:
        return undecided(n_included, n_excluded)
    estimate = Estimate.of_left_out(float(statistic[-1]), [left_out])
    # Seeds are left out that are no target, but candidates.
    estimate = replace(estimate, n_units=min(n_included, estimate.n_units))
    return result_of(estimate, n_included, n_excluded)


def _claim_repair(name: str, metric: str, words: str) -> None:
    """Register the claim that a measure, named in words, identifies networks better than RSA."""

    @claim(
        name,
        f"{words} names the right candidate more often than plain RSA (mean over noise levels)",
        {"condition": "condition"},
        reference="no number",
        provenance=OPEN,
        measure="difference of top-1 rates",
        tables=("identification",),
        requires=_measured("rsa", metric),
    )
    def repair(evidence: Evidence, condition: str) -> Result:
        return _repair(evidence, condition, metric)


_claim_repair("C28", "rsa_reweighted", "Feature-reweighted RSA")
_claim_repair("C28b", "procrustes", "Procrustes similarity")
_claim_repair("C28c", "rsa_whitened", "RSA with whitened RDMs")
_claim_repair("C28d", "rsa_residualised", "RSA after a feature is regressed out")
