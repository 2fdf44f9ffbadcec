"""Claims about the variance that features explain: what is over-represented, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repbias.claims.evidence import Evidence, Result, claim, difference_of, mean_of

if TYPE_CHECKING:
    import pandas as pd

P1 = "Lampinen, Chan & Hermann 2024 [paper]"
#: Differences of R² that count as none.
NEGLIGIBLE = 0.1
#: Validation accuracy from which a feature counts as being learned.
BEING_LEARNED = 0.6


@claim(
    "C1",
    "In networks that compute both features, the easy one explains more variance than the hard one",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="R2 .55 easy, .05 hard (an example network)",
    provenance=P1,
    measure="difference of R²",
)
def easy_explains_more(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² easy minus R² hard."""
    return mean_of(evidence, evidence.gap(condition, easy, hard), condition)


@claim(
    "C2",
    "The easy feature's variance keeps growing after the feature is mastered",
    {"condition": "condition", "easy": "target"},
    reference="direction only",
    provenance=P1,
    measure="growth since mastery, as a share of the final variance",
    tables=("variance_explained", "learning"),
)
def keeps_growing(evidence: Evidence, condition: str, easy: str) -> Result:
    """Effect: variance explained at the snapshot minus that when the feature was mastered (M1b)."""
    growth = []
    for seed, curve in _curves(evidence, condition, easy).items():
        start = _first_step(evidence, condition, seed, easy)
        growth.append(curve["snapshot"] - np.interp(start, curve["step"], curve["value"]))
    return mean_of(evidence, np.array(growth), condition)


@claim(
    "C3",
    "The easy feature's variance grows faster while the hard feature is being learned than before",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of growth per 1,000 steps, as a share of the final variance",
    tables=("variance_explained", "learning"),
    snapshots=("final",),
)
def grows_faster(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: growth (M1b) per step while hard rises from 60 % to mastery, minus that before it.

    Before: from the mastery of the easy feature until the hard one's accuracy reaches 60 %.
    Networks that began to learn the hard feature before they had mastered the easy one are left
    out: for them there is no before.
    """
    differences = []
    for seed, curve in _curves(evidence, condition, easy).items():
        mastered = _first_step(evidence, condition, seed, easy)
        begins = _first_step(evidence, condition, seed, hard, BEING_LEARNED)
        ends = _first_step(evidence, condition, seed, hard)
        if mastered < begins < ends:
            value = np.interp([mastered, begins, ends], curve["step"], curve["value"])
            rates = np.diff(value) / np.diff([mastered, begins, ends])
            differences.append(1000 * (rates[1] - rates[0]))
    return mean_of(evidence, np.array(differences), condition)


@claim(
    "C4",
    "Learning the hard feature first narrows the gap between the features",
    {"joint": "condition", "hard_first": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of (R² easy - R² hard)",
)
def hard_first_narrows(
    evidence: Evidence, joint: str, hard_first: str, easy: str, hard: str
) -> Result:
    """Effect: gap after joint training minus gap after hard-first training."""
    return difference_of(
        evidence,
        (joint, evidence.gap(joint, easy, hard)),
        (hard_first, evidence.gap(hard_first, easy, hard)),
    )


@claim(
    "C4b",
    "... but the easy feature stays ahead even when the hard one was learned first",
    {"hard_first": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def easy_stays_ahead(evidence: Evidence, hard_first: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² easy minus R² hard."""
    return mean_of(evidence, evidence.gap(hard_first, easy, hard), hard_first)


@claim(
    "C6",
    "Sub-components of the hard feature (its inner XORs) are more strongly represented than itself",
    {"condition": "condition", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def inner_xors(evidence: Evidence, condition: str, hard: str) -> Result:
    """Effect: mean R² of the inner XORs minus R² of the feature."""
    return _components_minus_feature(evidence, condition, hard, "xor")


@claim(
    "C6b",
    "Sub-components of the hard feature (its single bits) are more strongly represented than "
    "itself",
    {"condition": "condition", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def single_bits(evidence: Evidence, condition: str, hard: str) -> Result:
    """Effect: mean R² of the single bits minus R² of the feature."""
    return _components_minus_feature(evidence, condition, hard, "bit")


def _components_minus_feature(evidence: Evidence, condition: str, hard: str, kind: str) -> Result:
    r2 = evidence.r2(condition)
    components = r2[[name for name in r2 if name.startswith(f"{hard}.{kind}")]]
    return mean_of(evidence, components.mean(axis=1) - r2[hard], condition)


@claim(
    "C7",
    "Of two equal features, the one that is supervised on more training stimuli is more strongly "
    "represented",
    {"condition": "condition", "frequent": "target", "rare": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def more_supervised(evidence: Evidence, condition: str, frequent: str, rare: str) -> Result:
    """Effect: mean over networks of R² of the frequent minus R² of the rare feature."""
    return mean_of(evidence, evidence.gap(condition, frequent, rare), condition)


@claim(
    "C7b",
    "Of two equal features, the one whose label is more often 1 is more strongly represented",
    {"condition": "condition", "frequent": "target", "rare": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def more_prevalent(evidence: Evidence, condition: str, frequent: str, rare: str) -> Result:
    """Effect: mean over networks of R² of the frequent minus R² of the rare feature."""
    return mean_of(evidence, evidence.gap(condition, frequent, rare), condition)


@claim(
    "C9",
    "Deeper networks have a larger gap (analysed layer of equal width)",
    {"shallow": "condition", "deep": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of (R² easy - R² hard)",
)
def deeper(evidence: Evidence, shallow: str, deep: str, easy: str, hard: str) -> Result:
    """Effect: gap of the deep networks minus gap of the shallow ones."""
    return difference_of(
        evidence,
        (deep, evidence.gap(deep, easy, hard)),
        (shallow, evidence.gap(shallow, easy, hard)),
    )


@claim(
    "C9b",
    "Width has little effect on the gap (analysed layer of equal width): less than .1",
    {"narrow": "condition", "wide": "condition", "easy": "target", "hard": "target"},
    reference="direction only; the margin is ours",
    provenance=P1,
    measure="difference of (R² easy - R² hard)",
)
def wider(evidence: Evidence, narrow: str, wide: str, easy: str, hard: str) -> Result:
    """Effect: gap of the wide networks minus gap of the narrow ones; claimed to be negligible."""
    return difference_of(
        evidence,
        (wide, evidence.gap(wide, easy, hard)),
        (narrow, evidence.gap(narrow, easy, hard)),
        margin=NEGLIGIBLE,
    )


@claim(
    "C10",
    "Adam with moderate dropout can reverse the bias: the hard feature explains more variance",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=P1,
    measure="difference of R²",
)
def reversed_by_dropout(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² hard minus R² easy."""
    return mean_of(evidence, -evidence.gap(condition, easy, hard), condition)


@claim(
    "C29",
    "Parameter noise changes the bias at fixed function",
    {"plain": "condition", "noisy": "condition", "easy": "target", "hard": "target"},
    reference="no number",
    provenance="Braun et al. 2025; Theiss et al. 2026 [paper]; the margin (.1) is ours",
    measure="difference of (R² easy - R² hard)",
)
def parameter_noise(evidence: Evidence, plain: str, noisy: str, easy: str, hard: str) -> Result:
    """Effect: gap with noise minus gap without; a difference is claimed, in either direction."""
    return _changes(evidence, plain, noisy, easy, hard)


@claim(
    "C29b",
    "Weight decay (towards the minimum norm) changes the bias at fixed function",
    {"plain": "condition", "decayed": "condition", "easy": "target", "hard": "target"},
    reference="no number",
    provenance="Braun et al. 2025; Theiss et al. 2026 [paper]; the margin (.1) is ours",
    measure="difference of (R² easy - R² hard)",
)
def weight_decay(evidence: Evidence, plain: str, decayed: str, easy: str, hard: str) -> Result:
    """Effect: gap with decay minus gap without; a difference is claimed, in either direction."""
    return _changes(evidence, plain, decayed, easy, hard)


def _changes(evidence: Evidence, plain: str, other: str, easy: str, hard: str) -> Result:
    return difference_of(
        evidence,
        (other, evidence.gap(other, easy, hard)),
        (plain, evidence.gap(plain, easy, hard)),
        margin=NEGLIGIBLE,
        claims_difference=True,
    )


def _curves(evidence: Evidence, condition: str, feature: str) -> dict[int, dict[str, np.ndarray]]:
    """Return the curve of M1b of every kept network by seed, and its value at the snapshot."""
    seeds = evidence.r2(condition).index
    table = _of(evidence.tables["variance_explained"], condition)
    table = table[(table["feature"] == feature) & (table["layer"] == evidence.layers[condition])]
    curves = {}
    for seed, rows in table[table["seed"].isin(seeds)].groupby("seed"):
        rows = rows.sort_values("step")
        at = rows.loc[rows["snapshot"] == evidence.snapshot, "r2_of_final"]
        curves[seed] = {
            "step": rows["step"].to_numpy(),
            "value": rows["r2_of_final"].to_numpy(),
            "snapshot": at.iloc[0],
        }
    return curves


def _first_step(
    evidence: Evidence, condition: str, seed: int, feature: str, accuracy: float | None = None
) -> float:
    """Return the first evaluation at which a feature was mastered, or reached an accuracy."""
    table = _of(evidence.tables["learning"], condition)
    table = table[(table["feature"] == feature) & (table["seed"] == seed)]
    reached = table["mastered"].astype(bool) if accuracy is None else table["accuracy"] >= accuracy
    return float(table.loc[reached, "step"].min())


def _of(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    experiment, name = condition.split("/", 1)
    return table[(table["experiment"] == experiment) & (table["condition"] == name)]
