"""Claims about the similarity of networks, and what it reveals about their computations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from repbias.base.statistics import Estimate, Least
from repbias.claims.contrast import Contrast
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

#: In the table's column `left_out`: all seeds take part.
NONE_LEFT_OUT = -1
OPEN = "open question; the design is ours"


def _easy_alone(study: Study, easy: str, both: str) -> Iterator[str]:
    """Require that one condition is trained on some of the targets of the other."""
    targets = [
        study.condition(name).training.targets or list(study.condition(name).stimuli.targets)
        for name in (easy, both)
    ]
    if not set(targets[0]) < set(targets[1]):
        yield (
            f"{easy} is trained on {targets[0]} and {both} on {targets[1]}; expected fewer of the "
            "same targets in easy than in both"
        )


@claim(
    "C19",
    "Two networks of the same complex task are less similar (RSA) than either is to a network "
    "of the easy task alone",
    {"easy": "condition", "both": "condition"},
    reference="direction only",
    provenance=LAMPINEN_2026,
    measure="difference of RDM similarity",
    bounds=(-2, 2),
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
    contrast=Contrast("easy", "both", ("training.targets",)),
    requires=_easy_alone,
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
    bounds=(-2, 2),
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
    contrast=Contrast("easy", "hard", ("training.targets",)),
)
def hard_less_similar(evidence: Evidence, easy: str, hard: str) -> Result:
    """Effect: mean similarity easy-easy minus mean similarity hard-hard."""
    return contrast_of_similarities(evidence, (easy, easy), (hard, hard))


@claim(
    "C24",
    "Trained networks stay closer (RSA) to untrained networks than to networks of another task",
    {"condition": "condition", "other": "condition"},
    reference="shape-shape .624, texture-texture .408, untrained-untrained .619",
    provenance=HERMANN_2020,
    measure="difference of RDM similarity",
    bounds=(-2, 2),
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
    contrast=Contrast("condition", "other", ("training.targets",)),
)
def closer_to_untrained(evidence: Evidence, condition: str, other: str) -> Result:
    """Effect: mean similarity trained-untrained minus mean similarity with the other task.

    Networks of equal seeds, which began with the same weights, are not compared in either.
    """
    return contrast_of_similarities(evidence, (condition, condition), (condition, other), True)


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
            elif metric == "cka_equalised":
                if not (spec.equalise and spec.untrained):
                    yield "needs identification.equalise and untrained: true, its refutation"
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
    "RSA names, for a network, the candidate that computes the same rather than the strongest "
    "distractor (without noise)",
    {"condition": "condition"},
    reference="identification by similarity often fails; no number",
    provenance="Han et al. 2023; the design is ours",
    measure="P(own candidate above the strongest distractor) minus one half",
    bounds=(-0.5, 0.5),
    tables=("identification",),
    requires=_without_noise,
)
def rsa_identifies(evidence: Evidence, condition: str) -> Result:
    """Effect: mean over targets of the probability that the own class wins, minus one half."""
    rows = evidence.rows("identification", condition)
    rows = rows[(rows["metric"] == "rsa") & (rows["reliability_level"] == 1)]
    beats = _by_left_out(rows)
    n_included = rows["seed"].nunique()
    n_excluded = evidence.n_networks(condition) - n_included
    estimate = _jackknifed(beats, n_included)
    if estimate is None:
        return undecided(n_included, n_excluded)
    return result_of(estimate, n_included, n_excluded, remark=_distractors(rows))


def _by_left_out(rows: pd.DataFrame) -> pd.Series:
    """Return the mean over targets of P(own above strongest) - 1/2, by seed that is left out."""
    return (rows["beats_strongest"] - 0.5).groupby(rows["left_out"]).mean()


def _distractors(rows: pd.DataFrame) -> str:
    """Name the strongest distractor of most targets."""
    names = rows.loc[rows["left_out"] == NONE_LEFT_OUT, "strongest"].value_counts()
    return f"strongest distractor: {names.index[0]}, for {names.iloc[0] / names.sum():.0%}"


def _jackknifed(statistic: pd.Series, n_included: int) -> Estimate | None:
    """Return a statistic from its values without each seed; None if there are too few.

    Parameters
    ----------
    statistic
        Its values by the seed that was left out; :data:`NONE_LEFT_OUT` for none.
    n_included
        Number of targets; seeds that are candidates only are left out too.
    """
    left_out = statistic.drop(NONE_LEFT_OUT, errors="ignore").to_numpy(float)
    if len(left_out) < 2:
        return None
    estimate = Estimate.of_left_out(float(statistic[NONE_LEFT_OUT]), [left_out])
    return replace(estimate, n_units=min(n_included, estimate.n_units))


def _repair(evidence: Evidence, condition: str, metric: str) -> Result:
    """Return what the measure gains over RSA or over a coin, whichever is less.

    Over targets and noise levels, P(own class above the strongest distractor) must be above one
    half *and* above that of RSA: a measure that errs as often, but for another candidate, is no
    repair.
    """
    rows = evidence.rows("identification", condition)
    rows = rows[rows["metric"].isin([metric, "rsa"])]
    # Networks for which either measure is undefined are excluded.
    rows = rows[rows.groupby("seed")["metric"].transform("nunique") == 2]
    repaired, rsa = (_by_left_out(rows[rows["metric"] == m]) for m in (metric, "rsa"))
    n_included = rows["seed"].nunique()
    n_excluded = evidence.n_networks(condition) - n_included
    above_half, gain = (
        _jackknifed(values.dropna(), n_included) for values in (repaired, repaired - rsa)
    )
    if above_half is None or gain is None:
        return undecided(n_included, n_excluded)
    remark = f"minus one half {above_half.value:z.3f}; minus RSA {gain.value:z.3f}; "
    remark += _distractors(rows[rows["metric"] == metric])
    return result_of(Least([above_half, gain]), n_included, n_excluded, remark=remark)


def _claim_repair(name: str, metric: str, words: str) -> None:
    """Register the claim that a measure, named in words, identifies networks better than RSA."""

    @claim(
        name,
        f"{words} prefers the right candidate to the strongest distractor, and does so more often "
        "than plain RSA (mean over noise levels)",
        {"condition": "condition"},
        reference="no number",
        provenance=OPEN,
        measure="P(own candidate above the strongest distractor), minus one half or minus that of "
        "RSA, whichever is less",
        bounds=(-1, 0.5),
        tables=("identification",),
        requires=_measured("rsa", metric),
    )
    def repair(evidence: Evidence, condition: str) -> Result:
        return _repair(evidence, condition, metric)


_claim_repair("C28", "rsa_reweighted", "Feature-reweighted RSA")
_claim_repair("C28b", "procrustes", "Procrustes similarity")
_claim_repair("C28c", "rsa_whitened", "RSA with whitened RDMs")
_claim_repair("C28d", "rsa_residualised", "RSA after a feature is regressed out")
_claim_repair("C28e", "cka_equalised", "Similarity with equal variance of every feature")
