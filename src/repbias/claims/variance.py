"""Claims about the variance that features explain: which ones are over-represented, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import Estimate, Greatest
from repbias.claims.contrast import Contrast
from repbias.claims.evidence import (
    AT_EQUAL_FUNCTION,
    LAMPINEN_2024,
    Evidence,
    Result,
    claim,
    conditions_matching,
    difference_of,
    gap_between,
    mean_of,
    result_of,
    undecided,
)

if TYPE_CHECKING:
    from repbias.config.study import Study

#: Differences of R² that count as none.
NEGLIGIBLE = 0.1
#: Validation accuracy from which a feature counts as being learned.
BEING_LEARNED = 0.6


@claim(
    "C1",
    "In networks that compute both features, the easy one explains more variance than the hard one",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="R2 .55 easy, .05 hard (an example network)",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
)
def easy_explains_more(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² easy minus R² hard."""
    return mean_of(evidence, evidence.gap(condition, easy, hard), condition)


@claim(
    "C2",
    "The easy feature's variance keeps growing after the feature is mastered",
    {"condition": "condition", "easy": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="growth since mastery, as a share of the final variance",
    tables=("variance_explained", "learning"),
)
def keeps_growing(evidence: Evidence, condition: str, easy: str) -> Result:
    """Effect: variance explained at the snapshot minus that when the feature was mastered (M1b).

    M1b grows where the whole representation does, although the feature's share (M1) may fall: the
    remark has M1 and the growth of the total variance. (M1b / M1 is the total variance, as a share
    of the final one.)
    """
    growth, shares, totals = [], [], []
    for seed, curve in _curves(evidence, condition, easy).items():
        start = _first_step(evidence, condition, seed, easy)
        before = {m: np.interp(start, curve["step"], curve[m]) for m in ("value", "share")}
        growth.append(curve["snapshot"] - before["value"])
        shares.append((before["share"], curve["share at snapshot"]))
        with np.errstate(divide="ignore", invalid="ignore"):
            total = curve["snapshot"] / curve["share at snapshot"]
            totals.append(total / (before["value"] / before["share"]))
    known = np.isfinite(growth)
    remark = ""
    if known.any():
        first, last = np.mean(np.array(shares)[known], axis=0)
        times = np.median(np.array(totals)[known])
        remark = f"share of the variance (M1) {first:.3f} → {last:.3f}; "
        remark += f"total variance × {times:.3g} (median)"
    return mean_of(evidence, np.array(growth), condition, remark=remark)


@claim(
    "C3",
    "The easy feature's variance grows faster while the hard feature is being learned than just "
    "before",
    {"condition": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of growth per 1,000 steps, as a share of the final variance",
    tables=("variance_explained", "learning"),
    snapshots=("final",),
)
def grows_faster(evidence: Evidence, condition: str, easy: str, hard: str) -> Result:
    """Effect: growth (M1b) per step while hard rises from 60 % to mastery, minus that just before.

    The period before is equally long, but does not begin before the easy feature was mastered.
    Networks that began to learn the hard feature before they mastered the easy one are excluded.
    """
    differences = []
    for seed, curve in _curves(evidence, condition, easy).items():
        mastered = _first_step(evidence, condition, seed, easy)
        begins = _first_step(evidence, condition, seed, hard, BEING_LEARNED)
        ends = _first_step(evidence, condition, seed, hard)
        if mastered < begins < ends:
            times = [max(mastered, 2 * begins - ends), begins, ends]
            rates = np.diff(np.interp(times, curve["step"], curve["value"])) / np.diff(times)
            differences.append(1000 * (rates[1] - rates[0]))
    return mean_of(evidence, np.array(differences), condition)


def _hard_first(
    study: Study, hard_first: str, hard: str, joint: str | None = None, **_: str
) -> Iterator[str]:
    """Require a curriculum that begins with the hard feature, and none in joint training."""
    curriculum = study.condition(hard_first).training.curriculum
    if curriculum[:1] != [hard]:
        yield (
            f"hard_first: training.curriculum of {hard_first} must begin with {hard!r}, "
            f"found {curriculum}"
        )
    if joint and (found := study.condition(joint).training.curriculum):
        yield f"joint: training.curriculum of {joint} must be empty, found {found}"


@claim(
    "C4",
    "Learning the hard feature first narrows the gap between the features",
    {"joint": "condition", "hard_first": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    tables=("variance_explained", "learning"),
    snapshots=AT_EQUAL_FUNCTION,
    contrast=Contrast("joint", "hard_first", ("training.curriculum",)),
    requires=_hard_first,
)
def hard_first_narrows(
    evidence: Evidence, joint: str, hard_first: str, easy: str, hard: str
) -> Result:
    """Effect: gap after joint training minus gap after hard-first training."""
    return gap_between(evidence, joint, hard_first, easy, hard)


@claim(
    "C4b",
    "... but the easy feature stays ahead even when the hard one was learned first",
    {"hard_first": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_hard_first,
)
def easy_stays_ahead(evidence: Evidence, hard_first: str, easy: str, hard: str) -> Result:
    """Effect: mean over networks of R² easy minus R² hard."""
    return mean_of(evidence, evidence.gap(hard_first, easy, hard), hard_first)


def _has(kind: str) -> Callable[..., Iterator[str]]:
    """Require that the hard feature has sub-components of a kind."""

    def requires(study: Study, condition: str, hard: str) -> Iterator[str]:
        components = study.condition(condition).stimuli.components(hard)
        if not any(name.startswith(kind) for name in components):
            found = ", ".join(components) or "none"
            yield f"{hard!r} has no sub-components of the kind {kind!r} (found {found})"

    return requires


def _equal_analysed_width(study: Study, *conditions: str) -> Iterator[str]:
    """Require that the analysed layers of the conditions are equally wide."""
    specs = {name: study.condition(name) for name in conditions}
    widths = {name: c.sizes().units[c.network.analysed] for name, c in specs.items()}
    if len(set(widths.values())) > 1:
        yield f"the analysed layers must be equally wide, found {widths}"


def _deeper(study: Study, shallow: str, deep: str, **_: str) -> Iterator[str]:
    """Require more layers, and analysed layers of equal width."""
    layers = [len(study.condition(name).network.layers) for name in (shallow, deep)]
    if layers[0] >= layers[1]:
        yield (
            f"{shallow} has {layers[0]} layers and {deep} {layers[1]}; expected fewer in shallow "
            "than in deep"
        )
    yield from _equal_analysed_width(study, shallow, deep)


def _wider(study: Study, narrow: str, wide: str, **_: str) -> Iterator[str]:
    """Require as many layers, wider ones in all, and analysed layers of equal width."""
    units = [list(study.condition(name).sizes().units.values()) for name in (narrow, wide)]
    if len(units[0]) != len(units[1]) or sum(units[0]) >= sum(units[1]):
        yield (
            f"{narrow} has layers of {units[0]} units and {wide} of {units[1]}; expected as many "
            "layers, and fewer units in narrow than in wide"
        )
    yield from _equal_analysed_width(study, narrow, wide)


#: What makes networks deeper or wider; the analysed layer then has another name, too.
SIZE = tuple(
    f"network.{setting}"
    for setting in (
        *("hidden", "widths", "blocks", "width", "depth"),
        *("analysed_layer", "layers", "arguments"),
    )
)


def _pooled(skips: bool) -> Callable[..., Iterator[str]]:
    """Require convolutional networks with or without skips, analysed where space is pooled."""

    def requires(study: Study, condition: str, **_: str) -> Iterator[str]:
        network = study.condition(condition).network
        if getattr(network, "skips", None) is not skips:
            kind = "resnet" if skips else "cnn"
            yield f"network.kind of {condition} is {network.kind!r}; expected {kind!r}"
        elif network.analysed != "pool":
            yield f"network.analysed_layer of {condition} is {network.analysed!r}; expected 'pool'"

    return requires


def _differ_in(setting: str) -> Callable[..., Iterator[str]]:
    """Require two features that differ in a setting and nothing else."""

    def requires(study: Study, condition: str, frequent: str, rare: str) -> Iterator[str]:
        features = getattr(study.condition(condition).stimuli, "features", None)
        if not isinstance(features, dict):
            yield f"features of {condition} have no settings of their own, such as {setting!r}"
            return
        first, second = (features[name].model_dump() for name in (frequent, rare))
        others = {k: (first[k], second[k]) for k in first if first[k] != second[k]}
        values = others.pop(setting, (first[setting], second[setting]))
        if values[0] <= values[1]:
            yield (
                f"{setting} of {frequent!r} and {rare!r} is {values[0]} and {values[1]} in "
                f"{condition}; expected more for frequent than for rare"
            )
        for name, (a, b) in others.items():
            yield (
                f"{frequent!r} and {rare!r} must differ in {setting} and nothing else; {name} is "
                f"{a} and {b}"
            )

    return requires


@claim(
    "C6",
    "Sub-components of the hard feature (its inner XORs) are more strongly represented than itself",
    {"condition": "condition", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_has("xor"),
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
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_has("bit"),
)
def single_bits(evidence: Evidence, condition: str, hard: str) -> Result:
    """Effect: mean R² of the single bits minus R² of the feature."""
    return _components_minus_feature(evidence, condition, hard, "bit")


def _components_minus_feature(evidence: Evidence, condition: str, hard: str, kind: str) -> Result:
    r2 = evidence.r2(condition)
    pattern = re.compile(rf"{re.escape(hard)}\.{kind}\d+")
    components = r2[[name for name in r2 if pattern.fullmatch(name)]]
    return mean_of(evidence, components.mean(axis=1) - r2[hard], condition)


@claim(
    "C7",
    "Of two equal features, the one that is supervised on more training stimuli is more strongly "
    "represented",
    {"condition": "condition", "frequent": "target", "rare": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_differ_in("supervised"),
)
def more_supervised(evidence: Evidence, condition: str, frequent: str, rare: str) -> Result:
    """Effect: mean over networks of R² of the frequent minus R² of the rare feature."""
    return mean_of(evidence, evidence.gap(condition, frequent, rare), condition)


@claim(
    "C7b",
    "Of two equal features, the one whose label is more often 1 is more strongly represented",
    {"condition": "condition", "frequent": "target", "rare": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_differ_in("prevalence"),
)
def more_prevalent(evidence: Evidence, condition: str, frequent: str, rare: str) -> Result:
    """Effect: mean over networks of R² of the frequent minus R² of the rare feature."""
    return mean_of(evidence, evidence.gap(condition, frequent, rare), condition)


def _more_of_the_feature(study: Study, more: str, less: str, feature: str) -> Iterator[str]:
    """Require more supervision of the feature, which is full where nothing is said."""
    shares = [
        getattr(study.condition(name).stimuli, "supervised", {}).get(feature, 1.0)
        for name in (more, less)
    ]
    if shares[0] <= shares[1]:
        yield (
            f"stimuli.supervised of {feature!r} is {shares[0]} in {more} and {shares[1]} in "
            f"{less}; expected more in more than in less"
        )


@claim(
    "C7c",
    "A feature that is supervised on more training stimuli is more strongly represented",
    {"more": "condition", "less": "condition", "feature": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-2, 2),
    contrast=Contrast("less", "more", ("stimuli.supervised",)),
    requires=_more_of_the_feature,
)
def supervised_more(evidence: Evidence, more: str, less: str, feature: str) -> Result:
    """Effect: mean R² of the feature with more supervision minus that with less."""
    values = [(c, evidence.r2(c).reindex(columns=[feature])[feature]) for c in (more, less)]
    return difference_of(evidence, *values)


@claim(
    "C9",
    "Deeper networks have a larger gap (analysed layer of equal width)",
    {"shallow": "condition", "deep": "condition", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    contrast=Contrast("shallow", "deep", SIZE),
    requires=_deeper,
)
def deeper(evidence: Evidence, shallow: str, deep: str, easy: str, hard: str) -> Result:
    """Effect: gap of the deep networks minus gap of the shallow ones."""
    return gap_between(evidence, deep, shallow, easy, hard)


@claim(
    "C9b",
    "Width has little effect on the gap (analysed layer of equal width): less than .1",
    {"narrow": "condition", "wide": "condition", "easy": "target", "hard": "target"},
    reference="direction only; the margin is ours",
    provenance=LAMPINEN_2024,
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    contrast=Contrast("narrow", "wide", SIZE),
    requires=_wider,
)
def wider(evidence: Evidence, narrow: str, wide: str, easy: str, hard: str) -> Result:
    """Effect: gap of the wide networks minus gap of the narrow ones; claimed to be negligible."""
    return gap_between(evidence, wide, narrow, easy, hard, margin=NEGLIGIBLE)


@claim(
    "C11",
    "Plain convolutional networks represent colour more strongly than shape where space is pooled",
    {"condition": "condition", "colour": "target", "shape": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_pooled(skips=False),
)
def colour_above_shape(evidence: Evidence, condition: str, colour: str, shape: str) -> Result:
    """Effect: mean over networks of R² colour minus R² shape."""
    return mean_of(evidence, evidence.gap(condition, colour, shape), condition)


@claim(
    "C12",
    "Residual networks represent shape more strongly than colour where space is pooled",
    {"condition": "condition", "colour": "target", "shape": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R²",
    bounds=(-1, 1),
    requires=_pooled(skips=True),
)
def shape_above_colour(evidence: Evidence, condition: str, colour: str, shape: str) -> Result:
    """Effect: mean over networks of R² shape minus R² colour."""
    return mean_of(evidence, evidence.gap(condition, shape, colour), condition)


@claim(
    "C18",
    "The bias grows with the number of classes",
    {"few": "condition", "many": "condition", "easy": "target", "hard": "target"},
    reference="a conjecture; direction only",
    provenance=LAMPINEN_2024,
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    contrast=Contrast("few", "many", ("stimuli.n_classes",), rising=True),
)
def grows_with_classes(evidence: Evidence, few: str, many: str, easy: str, hard: str) -> Result:
    """Effect: gap with many classes minus gap with few."""
    return gap_between(evidence, many, few, easy, hard)


def _adam_and_dropout(study: Study, conditions: str, **_: str) -> Iterator[str]:
    """Require Adam and dropout in all conditions that are searched."""
    for name in conditions_matching(conditions, study.names_of_conditions()):
        training = study.condition(name).training
        if training.optimizer != "adam" or not training.dropout:
            yield (
                f"{name} has training.optimizer {training.optimizer!r} and training.dropout "
                f"{training.dropout}; expected 'adam' and more than 0 in all conditions searched"
            )


@claim(
    "C10",
    "Adam with moderate dropout can reverse the bias: in some condition of a grid the hard feature "
    "explains more variance",
    {"conditions": "conditions", "easy": "target", "hard": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of R², where it is largest",
    bounds=(-1, 1),
    tables=("variance_explained", "learning"),
    snapshots=AT_EQUAL_FUNCTION,
    requires=_adam_and_dropout,
)
def reversed_by_dropout(
    evidence: Evidence, conditions: Sequence[str], easy: str, hard: str
) -> Result:
    """Effect: R² hard minus R² easy, mean over networks, in the condition where it is largest.

    Supported if it is above 0 in one of them, with the search counted; not supported if it is
    below 0 in all.
    """
    values = {c: -evidence.gap(c, easy, hard).dropna() for c in conditions}
    found = {c: Estimate.of_mean(v) for c, v in values.items() if len(v)}
    n_included = sum(map(len, values.values()))
    n_excluded = sum(map(evidence.n_networks, conditions)) - n_included
    if len(found) < len(conditions):
        empty = next(c for c in conditions if c not in found)
        return undecided(n_included, n_excluded, remark=f"no network of {empty} was included")
    best = max(found, key=lambda c: found[c].value)
    remark = f"largest in {best}, of {len(found)} searched"
    remark = "; ".join(filter(None, [remark, evidence.said_of_loss()]))
    return result_of(Greatest(list(found.values())), n_included, n_excluded, remark=remark)


@claim(
    "C29",
    "Parameter noise changes the bias at fixed function",
    {"plain": "condition", "noisy": "condition", "easy": "target", "hard": "target"},
    reference="no number",
    provenance="Braun et al. 2025; Theiss et al. 2026 [paper]; the margin (.1) is ours",
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    tables=("variance_explained", "learning"),
    snapshots=AT_EQUAL_FUNCTION,
    contrast=Contrast("plain", "noisy", ("training.parameter_noise",), rising=True),
)
def parameter_noise(evidence: Evidence, plain: str, noisy: str, easy: str, hard: str) -> Result:
    """Effect: gap with noise minus gap without; a difference is claimed, in either direction."""
    return gap_between(
        evidence, noisy, plain, easy, hard, margin=NEGLIGIBLE, claims_difference=True
    )


@claim(
    "C29b",
    "Weight decay (towards the minimum norm) changes the bias at fixed function",
    {"plain": "condition", "decayed": "condition", "easy": "target", "hard": "target"},
    reference="no number",
    provenance="Braun et al. 2025; Theiss et al. 2026 [paper]; the margin (.1) is ours",
    measure="difference of (R² easy - R² hard)",
    bounds=(-2, 2),
    tables=("variance_explained", "learning"),
    snapshots=AT_EQUAL_FUNCTION,
    contrast=Contrast("plain", "decayed", ("training.weight_decay",), rising=True),
)
def weight_decay(evidence: Evidence, plain: str, decayed: str, easy: str, hard: str) -> Result:
    """Effect: gap with decay minus gap without; a difference is claimed, in either direction."""
    return gap_between(
        evidence, decayed, plain, easy, hard, margin=NEGLIGIBLE, claims_difference=True
    )


def _curves(evidence: Evidence, condition: str, feature: str) -> dict[int, dict[str, np.ndarray]]:
    """Return every included network's curves, and their values at the snapshot, by seed.

    M1b is called "value", M1 "share".
    """
    seeds = evidence.r2(condition).index
    table = evidence.all_rows("variance_explained", condition)
    table = table[(table["feature"] == feature) & (table["layer"] == evidence.layers[condition])]
    curves = {}
    for seed, rows in table[table["seed"].isin(seeds)].groupby("seed"):
        rows = rows.sort_values("step")
        at = rows.loc[rows["snapshot"] == evidence.snapshot, ["r2_of_final", "r2"]]
        curves[seed] = {
            "step": rows["step"].to_numpy(),
            "value": rows["r2_of_final"].to_numpy(),
            "share": rows["r2"].to_numpy(),
            "snapshot": at["r2_of_final"].iloc[0],
            "share at snapshot": at["r2"].iloc[0],
        }
    return curves


def _first_step(
    evidence: Evidence, condition: str, seed: int, feature: str, accuracy: float | None = None
) -> float:
    """Return the step at which a feature was first mastered, or first reached an accuracy."""
    table = evidence.all_rows("learning", condition)
    table = table[(table["feature"] == feature) & (table["seed"] == seed)]
    reached = table["mastered"].astype(bool) if accuracy is None else table["accuracy"] >= accuracy
    return float(table.loc[reached, "step"].min())
