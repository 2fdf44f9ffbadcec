"""Claims about the use of representations: steering, new classifiers, and what outputs follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import Estimate, preference
from repbias.claims.contrast import Contrast
from repbias.claims.evidence import (
    HERMANN_2020,
    LAMPINEN_2024,
    Evidence,
    Result,
    claim,
    difference_of,
    mean_of,
    withheld,
)
from repbias.stimuli.manipulations import LABEL

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.study import Study

#: Differences of rates that count as none.
NEGLIGIBLE = 0.05


def _full_strength(study: Study, **roles: str) -> Iterator[str]:
    """Require steering by the whole difference of class means."""
    if 1 not in study.bias.steering_strengths:
        yield f"bias.steering_strengths must have 1.0, found {study.bias.steering_strengths}"


def _extra_target(study: Study, condition: str, easy: str, hard: str) -> Iterator[str]:
    """Require a target that both features predict."""
    spec = study.condition(condition)
    if LABEL not in (spec.training.targets or [LABEL]):
        yield f"{condition} is not trained on {LABEL!r}"
    predictivity = getattr(spec.stimuli, "label", {})
    if not {easy, hard} <= predictivity.keys():
        yield (
            f"needs stimuli.label with the predictivity of {easy!r} and {hard!r}, "
            f"found {predictivity or 'none'}"
        )
    elif predictivity[easy] >= predictivity[hard]:
        yield (
            f"stimuli.label of {condition} is {predictivity[easy]} for {easy!r} and "
            f"{predictivity[hard]} for {hard!r}; expected less for easy than for hard"
        )


@claim(
    "C13",
    "Moving a representation by the difference of a feature's class means flips that feature in "
    "the output, on more than half of the stimuli",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="share of stimuli that flip at strength 1, minus one half",
    bounds=(-0.5, 0.5),
    tables=("steering",),
    requires=_full_strength,
)
def steering_flips_its_feature(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks and both features of the flips of the steered feature."""
    rows = _at_full_strength(evidence, condition, easy, hard)
    own = rows[rows["feature"] == rows["output"]]
    return mean_of(evidence, own.groupby("seed")["flips"].mean() - 0.5, condition)


@claim(
    "C13b",
    "... and no other feature (less than 5 % of stimuli)",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="no other feature",
    provenance=f"{LAMPINEN_2024}; the margin is ours",
    measure="share of stimuli on which the other feature flips at strength 1",
    bounds=(0, 1),
    tables=("steering",),
    requires=_full_strength,
)
def steering_flips_no_other(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of the flips of the other feature, in the worse direction."""
    rows = _at_full_strength(evidence, condition, easy, hard)
    other = rows[rows["feature"] != rows["output"]]
    return mean_of(evidence, other.groupby("seed")["flips"].max(), condition, margin=NEGLIGIBLE)


def _at_full_strength(evidence: Evidence, condition: str, easy: str, hard: str) -> pd.DataFrame:
    rows = evidence.rows("steering", condition)
    both = [easy, hard]
    return rows[(rows["strength"] == 1) & rows["feature"].isin(both) & rows["output"].isin(both)]


@claim(
    "C15",
    "The hard feature flips at smaller steps than the easy one",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="norm to flip 90 %: easy 11-26, hard 2.8-3.5",
    provenance=f"{LAMPINEN_2024}; numbers [trial]",
    measure="difference of the norms that flip 90 % of stimuli",
    tables=("steering",),
)
def hard_flips_at_smaller_steps(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of the norm that flips easy minus the norm that flips hard."""
    from repbias.bias.steering import norm_to_flip

    rows = evidence.rows("steering", condition).sort_values("strength")
    rows = rows[rows["feature"] == rows["output"]]
    norms = {
        key: norm_to_flip(part["norm"].to_numpy(), part["flips"].to_numpy())
        for key, part in rows.groupby(["seed", "feature"])
    }
    seeds = sorted({seed for seed, _ in norms})
    return mean_of(evidence, np.array([norms[s, easy] - norms[s, hard] for s in seeds]), condition)


@claim(
    "C17",
    "A classifier that learns a label which both features predict follows the easy one where they "
    "disagree",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="share of conflict stimuli classified by the easy feature, minus one half",
    bounds=(-0.5, 0.5),
    tables=("conflict",),
)
def classifiers_follow_easy(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of the share that follows the easy feature, minus one half.

    Stimuli of more than two classes that are classified by neither count half. Units keep their
    variances: the classifier may follow a feature because it explains more variance, but not
    because more units carry it.
    """
    return _follows_easy(evidence, condition, easy, hard, "")


@claim(
    "C17-standardised",
    "... if every unit is given the same variance first (then the number of units that carry a "
    "feature counts too)",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=f"{LAMPINEN_2024}; the variant is ours",
    measure="share of conflict stimuli classified by the easy feature, minus one half",
    bounds=(-0.5, 0.5),
    tables=("conflict",),
)
def standardised_follow_easy(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of the share that follows the easy feature, minus one half."""
    return _follows_easy(evidence, condition, easy, hard, "_standardised")


def _follows_easy(evidence: Evidence, condition: str, easy: str, hard: str, suffix: str) -> Result:
    rows = evidence.rows("conflict", condition)
    a, b = f"follows_a{suffix}", f"follows_b{suffix}"
    first = rows[(rows["feature_a"] == easy) & (rows["feature_b"] == hard)]
    second = rows[(rows["feature_a"] == hard) & (rows["feature_b"] == easy)]
    follows = [*preference(first[a], first[b]), *preference(second[b], second[a])]
    return mean_of(evidence, np.array(follows) - 0.5, condition)


def _redundant(study: Study, condition: str, first: str, second: str) -> Iterator[str]:
    """Require training on one of two features that always say the same."""
    spec = study.condition(condition)
    agreement = getattr(spec.stimuli, "agreement", None)
    found = (set(agreement.features), agreement.probability) if agreement else None
    if found != ({first, second}, 1):
        said = f"{agreement.features}, {agreement.probability}" if agreement else "none"
        yield (
            f"stimuli.agreement of {condition} is {said}; expected {first!r} and {second!r} with "
            "probability 1"
        )
    if not set(targets := spec.training.targets or [first, second]) < {first, second}:
        yield (
            f"training.targets of {condition} is {targets}; expected one of {first!r} and "
            f"{second!r}, as either says the same"
        )


@claim(
    "C21",
    "Of two features that say the same in training, networks use the one that was easier to decode "
    "before training",
    {"condition": "condition", "first": "feature", "second": "feature"},
    reference="colour before shape before texture",
    provenance=HERMANN_2020,
    measure="agreement of the output with the feature that was easier to decode, minus that with "
    "the other",
    bounds=(-1, 1),
    tables=("behaviour", "probes"),
    snapshots=("final",),
    requires=_redundant,
)
def uses_the_easier(evidence: Evidence, condition: str, first: str, second: str) -> Result:
    """Effect: mean over networks, on test stimuli on which the features are independent.

    Which feature was easier is decided for all networks together, by linear probes of the untrained
    analysed layer; where their accuracies do not differ, neither was, and nothing is decided.
    """
    learning = evidence.all_rows("learning", condition)
    trained = learning.loc[learning["target"].astype(bool), "feature"].unique()
    rows = evidence.rows("behaviour", condition)
    used = evidence.by_feature(rows[rows["output"].isin(trained)], "agreement")
    before = replace(evidence, snapshot="initial").rows("probes", condition)
    decoded = evidence.by_feature(before[before["probe"] == "linear"], "accuracy")
    difference = (decoded[first] - decoded[second]).dropna().to_numpy(float)
    if not len(difference):
        return mean_of(evidence, np.empty(0), condition)
    easier = Estimate.of_mean(difference)
    effect = np.sign(easier.value) * (used[first] - used[second])
    accuracies = ", ".join(f"{name} {decoded[name].mean():.3f}" for name in (first, second))
    result = mean_of(evidence, effect, condition, remark=f"decoded before training: {accuracies}")
    if easier.low() <= 0 <= easier.high():
        return withheld(result, "neither was easier to decode before training")
    return result


def _of_the_pair(study: Study, independent: str, correlated: str, unused: str) -> Iterator[str]:
    """Require that the unused feature is one of those that are correlated."""
    agreement = getattr(study.condition(correlated).stimuli, "agreement", None)
    if agreement is None or unused not in agreement.features:
        found = agreement.features if agreement else "none"
        yield (
            f"{unused!r} is not among the features of stimuli.agreement in {correlated} ({found})"
        )


@claim(
    "C22",
    "How decodable an unused feature is does not depend on its correlation with the used one until "
    "about .9 (differences are below .05)",
    {"independent": "condition", "correlated": "condition", "unused": "feature"},
    reference="flat in p until about .9; the margin is ours",
    provenance=HERMANN_2020,
    measure="difference of a linear probe's accuracy",
    bounds=(-1, 1),
    tables=("probes",),
    contrast=Contrast("independent", "correlated", ("stimuli.agreement",), rising=True),
    requires=_of_the_pair,
)
def suppression_is_flat(
    evidence: Evidence, independent: str, correlated: str, unused: str
) -> Result:
    """Effect: decodability of the unused feature with the correlation minus that without."""

    def accuracy(condition: str) -> pd.Series:
        rows = evidence.rows("probes", condition)
        rows = rows[(rows["probe"] == "linear") & (rows["feature"] == unused)]
        return rows.set_index("seed")["accuracy"]

    return difference_of(
        evidence,
        (correlated, accuracy(correlated)),
        (independent, accuracy(independent)),
        margin=NEGLIGIBLE,
    )


@claim(
    "C23",
    "A less predictive easy feature wins over a more predictive hard one",
    {"condition": "condition", "easy": "feature", "hard": "feature"},
    reference="easy wins at p(easy) = .8, p(hard) = .9",
    provenance=HERMANN_2020,
    measure="agreement of the output with easy minus that with hard",
    bounds=(-1, 1),
    tables=("behaviour",),
    snapshots=("final",),
    requires=_extra_target,
)
def easy_wins(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks, on test stimuli on which the features are independent."""
    rows = evidence.rows("behaviour", condition)
    rows = rows[rows["output"] == LABEL]
    wide = evidence.by_feature(rows, "agreement")
    return mean_of(evidence, wide[easy] - wide[hard], condition)
