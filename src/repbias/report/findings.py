"""What a study found, in words: the first screen of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from repbias.auditing.shares import REST
from repbias.base.statistics import mean_interval
from repbias.report.numbers import decimals, interval
from repbias.report.selection import OVER_NETWORKS, over_networks

#: A difference of scores that two networks of different tasks share is worth a sentence.
ALIKE = 0.05
#: The question that shares answer.
SHARES = "What a score is made of"
#: Networks from which on their spread counts.
MIN_NETWORKS = 3
#: What the study says of a feature, in words.
ROLES = {"task": " (the task)", "nuisance": " (a nuisance)"}

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Sentence:
    """A finding.

    Attributes
    ----------
    question : what it answers
    text : the answer
    links : where its numbers are: words to the place
    """

    question: str
    text: str
    links: dict[str, str]


@dataclass(frozen=True)
class Model:
    """A layer of a condition's trained networks, or of a user's model.

    Attributes
    ----------
    experiment, condition, layer : names
    score : mean over networks
    """

    experiment: str
    condition: str
    layer: str
    score: float

    def __str__(self) -> str:
        return f"{self.condition} ({self.layer})"

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return its rows of trained networks."""
        return table[
            (table["experiment"] == self.experiment)
            & (table["condition"] == self.condition)
            & (table["layer"] == self.layer)
            & (table["snapshot"] == "final")
            & table["included"].astype(bool)
        ]


def findings(
    tables: Tables,
    truth: Mapping[str, str],
    trained: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return what was found of every recording, or region of one.

    Parameters
    ----------
    tables
        The study's tables.
    truth
        What simulated recordings were simulated from.
    trained
        Networks that are trained here and shown sets of images, to their "experiment" and
        "condition".

    Returns
    -------
    list of dict
        "name" of the recording and region, "recording", its "truth" if it is simulated, and
        "sentences".
    """
    found = []
    for recording, region in _places(tables["rsa_recordings"], tables["encoding_regions"]):
        sentences = [
            *_of_rsa(recording, region, tables, trained or {}),
            *_of_units(recording, region, tables),
        ]
        if sentences:
            name = ", ".join(filter(None, (recording, region)))
            about = {"name": name, "recording": recording, "truth": truth.get(recording, "")}
            found.append(about | {"sentences": sentences})
    return found


def _places(rsa: pd.DataFrame, encoding: pd.DataFrame) -> list[tuple[str, str]]:
    """Return every recording and region; RSA does not name the region of a recording of one."""
    of_rsa, of_units = (
        [tuple(row) for row in table[["recording", "region"]].drop_duplicates().to_numpy()]
        for table in (rsa, encoding)
    )
    only_units = [(r, region) for r, region in of_units if (r, "") not in of_rsa]
    places = dict.fromkeys([*of_rsa, *only_units])
    # Regions of a recording stay together.
    order = list(dict.fromkeys(recording for recording, _ in places))
    return sorted(places, key=lambda place: order.index(place[0]))


def _of_rsa(
    recording: str, region: str, tables: Tables, trained: Mapping[str, Mapping[str, Any]]
) -> Iterator[Sentence]:
    """Say which model has the most similar RDM, what its score is made of, and how sure that is."""
    part = _rows(tables["rsa_recordings"], recording, region)
    first = part[part["rdm_similarity"].isin(part["rdm_similarity"].head(1))]
    models = ranked(first, "similarity")
    if not models:
        return
    at = {
        name: _rows(tables[name], recording, region)
        for name in ("rsa_tests", "audit", "audit_remaining", "audit_range", "recovery")
    }
    yield best_model(models, first, at["rsa_tests"])
    yield from _of_audit(at, tables, trained)
    yield told_apart(models, at["rsa_tests"], at["recovery"])


def _of_units(recording: str, region: str, tables: Tables) -> Iterator[Sentence]:
    """Say which model predicts units best, and what a member of a joint model adds to others."""
    scores, parts = (
        table[(table["recording"] == recording) & ((table["region"] == region) | (region == ""))]
        for table in (tables["encoding_regions"], tables["variance_partition_regions"])
    )
    models = ranked(scores, "r")
    if models:
        yield best_prediction(models, scores)
    if len(parts):
        yield unique_parts(parts)


def best_prediction(models: list[Model], scores: pd.DataFrame) -> Sentence:
    """Say how well the best layer predicts units, and how well they could be predicted."""
    rows = models[0].of(scores)
    row = over_networks(rows, ["n_units", "n_units_with_ceiling"], "r").iloc[0]
    ceiling, ratio = rows[["ceiling", "r_normalised"]].mean()
    n, known = int(row["n_units"]), int(row["n_units_with_ceiling"])
    text = (
        f"{models[0]} predicts responses to held-out stimuli best: r = "
        f"{_estimate(row, 'r', rows)}, mean of {n} unit{'s' if n > 1 else ''}"
    )
    if len(models) > 1:
        text += f"; next is {models[1]} with {decimals(models[1].score)}"
    if np.isfinite(ratio):
        text += f". Units whose ceiling is known ({known}, mean {decimals(ceiling)}) reach "
        text += f"{decimals(ratio)} of it"
    else:
        text += ". No unit has a known ceiling, so how well they could be predicted is not known"
    links = {"figure": "#encoding_regions", "rows": "tables/encoding_regions.csv"}
    return Sentence("Prediction of units", f"{text}.", links)


def unique_parts(parts: pd.DataFrame) -> Sentence:
    """Say of every joint model which member explains most that the others do not."""
    said = []
    for model, rows in parts.groupby("model", sort=False):
        means = over_networks(rows, ["part"], "r2").set_index("part")
        part = means.loc[means.index.str.startswith("unique "), "r2"].idxmax()
        said.append(
            f"The members of {model} explain R² = {decimals(means.loc['all', 'r2'])} together. "
            f"The largest part that only one explains is {part.removeprefix('unique ')}'s: R² = "
            f"{_estimate(means.loc[part], 'r2', rows)}."
        )
    links = {"figure": "#variance_partition", "rows": "tables/variance_partition_regions.csv"}
    return Sentence("Unique variance", " ".join(said), links)


def _estimate(row: pd.Series, value: str, rows: pd.DataFrame) -> str:
    """Write a mean with its interval, and what this is about; `row` is of `over_networks`."""
    low, high = row["ci_low"], row["ci_high"]
    if not np.isfinite([low, high]).all():
        return decimals(row[value])
    about = str(rows["interval"].iloc[0]) if row["n"] == 1 else OVER_NETWORKS
    about = about.replace(" (", ", ").removesuffix(")")
    return f"{decimals(row[value])} {interval(low, high)} ({about})"


def _rows(table: pd.DataFrame, recording: Any, region: Any) -> pd.DataFrame:
    rows = table[(table["recording"] == recording) & (table["region"] == region)]
    if "recording_b" in rows:
        rows = rows[rows["recording_b"] == ""]
    if "time_s" in rows:
        rows = rows[rows["time_s"].isna()]
    return rows[rows["subject"] == ""] if "subject" in rows else rows


def ranked(table: pd.DataFrame, value: str) -> list[Model]:
    """Return the best layer of every condition's trained networks, the best model first."""
    trained = table[(table["snapshot"] == "final") & table["included"].astype(bool)]
    means = trained.groupby(["experiment", "condition", "layer"], sort=False)[value].mean()
    means = means.dropna().sort_values(ascending=False, kind="stable")
    models: dict[tuple[str, str], Model] = {}
    for (experiment, condition, layer), score in means.items():
        key = (experiment, condition)
        models.setdefault(key, Model(experiment, condition, layer, float(score)))
    return list(models.values())


def best_model(models: list[Model], scores: pd.DataFrame, tests: pd.DataFrame) -> Sentence:
    """Say which model is best, against the noise ceiling and the runner-up."""
    best = models[0]
    low, high = scores[["ceiling_low", "ceiling_high"]].iloc[0]
    kind = scores["rdm_similarity"].iloc[0]
    text = f"{best} is most similar: {decimals(best.score)} ({kind})"
    if np.isfinite(low):
        text += f", where the noise ceiling is {decimals(low)} to {decimals(high)}"
    if len(models) > 1:
        text += f"; next is {models[1]} with {decimals(models[1].score)}"
    return Sentence(
        "Best model", text + ".", {"figure": "#rsa_recordings", "rows": "tables/rsa_recordings.csv"}
    )


def told_apart(models: list[Model], tests: pd.DataFrame, recovery: pd.DataFrame) -> Sentence:
    """Say whether the best model is better than the runner-up for more than these data.

    And, where brains were simulated, how often the right one of the two is preferred at this noise.
    """
    question, links = (
        "Could it tell them apart",
        {"tests": "#model_comparison", "rows": "tables/rsa_tests.csv"},
    )
    if len(models) < 2:
        return Sentence(question, "There is one model, and nothing to tell it from.", links)
    best, second = models[:2]
    test = pair_test(best, second, tests)
    simulated = _preferred(best, second, recovery)
    if simulated:
        links |= {"simulations": "tables/recovery.csv"}
    if test is None:
        text = f"{best} and {second} were not tested against each other. {simulated}"
        return Sentence(question, text.strip(), links)
    p = f"p = {test['p_fdr']:.2g}" if test["p_fdr"] >= 0.001 else "p < 0.001"
    difference = f"differ by {abs(test['effect']):.2f}"
    if np.isfinite(test["ci_low"]):
        ends = sorted(np.sign(test["effect"]) * np.array([test["ci_low"], test["ci_high"]]))
        difference += f" {interval(*ends)}"
    answer = "Yes" if test["p_fdr"] < 0.05 else "Not shown"
    text = (
        f"{answer}: {best} and {second} {difference} ({p}, corrected), tested against other "
        f"{test['generalises_to']}."
    )
    if test["warning"]:
        text += f" Limits of this test: {test['warning']}."
    return Sentence(question, f"{text} {simulated}".strip(), links)


def _preferred(a: Model, b: Model, recovery: pd.DataFrame) -> str:
    """Say how often brains simulated from either of two models prefer the right one by RSA."""
    rows = recovery[
        (recovery["level"] == "model")
        & (recovery["how"] == "argmax")
        & (recovery["measure"] == "rsa")
        & (recovery["experiment"] == a.experiment)
        & recovery["simulated"].astype(bool)
    ]
    wrong = [
        rows[(rows["true_condition"] == x.condition) & (rows["named_condition"] == y.condition)]
        for x, y in ((a, b), (b, a))
    ]
    if not all(map(len, wrong)):
        return ""
    right = 1 - float(np.mean([part["preferred"].iloc[0] for part in wrong]))
    at_best = " at best" if any(part["optimistic"].any() for part in wrong) else ""
    return (
        f"Of brains simulated from layers of the two at this noise, RSA prefers the right one in "
        f"{right * 100:.0f} %{at_best}."
    )


def pair_test(a: Model, b: Model, tests: pd.DataFrame) -> dict[str, Any] | None:
    """Return the test of two models' trained networks against each other, if there is one."""
    rows = tests[(tests["test"] == "pair") & (tests["snapshot_a"] == "final")]
    rows = rows[rows["snapshot_b"] == "final"]
    for x, y in ((a, b), (b, a)):
        found = rows[
            (rows["condition_a"] == x.condition)
            & (rows["layer_a"] == x.layer)
            & (rows["condition_b"] == y.condition)
            & (rows["layer_b"] == y.layer)
        ]
        if len(found):
            return dict(found.iloc[0])
    return None


def _of_audit(
    at: Tables, tables: Tables, trained: Mapping[str, Mapping[str, Any]]
) -> Iterator[Sentence]:
    """Say what the best model's score is made of, by its own measure."""
    audit = at["audit"]
    refused = audit[(audit["feature"] == "") & (audit["warning"] != "")]
    links = {"figure": "#audit", "rows": "tables/audit.csv"}
    if len(refused) and len(refused) == len(audit):
        text = str(refused["warning"].iloc[0]).removeprefix("audit: ")
        yield Sentence(SHARES, f"Not divided: {text}.", links)
        return
    if audit.empty:
        text = (
            "Not divided: nothing is known of the stimuli; give images a table of columns, or let "
            "image statistics be audited."
        )
        yield Sentence(SHARES, text, links)
        return
    models = ranked(audit[audit["feature"] == REST], "score")
    if not models:
        yield Sentence(SHARES, "Not divided: no model has a score.", links)
        return
    yield from (
        shares_of(models[0], audit),
        remaining_of(models[0], audit, at["audit_remaining"]),
        range_of(models[0], at["audit_range"]),
    )
    for _, row in refused.iterrows():  # of one model
        text = str(row["warning"]).removeprefix("audit: ")
        yield Sentence(SHARES, f"{row['condition']} is not divided: {text}.", links)
    if sentence := alike(models, audit, tables["learning"], trained):
        yield sentence


def mean_shares(model: Model, audit: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of a model's mean score, by feature, largest first; the rest last.

    Columns share, role and reliability; ci_low and ci_high, an interval that adds the spread over
    networks, if there are three or more, to the mean of their own intervals.
    """
    rows = model.of(audit)
    rows = rows.assign(part=rows["share"] * rows["score"])
    by_feature = rows.groupby("feature", sort=False)
    means = by_feature[["part", "reliability"]].mean().assign(role=by_feature["role"].first())
    means = means.assign(share=means["part"] / means["part"].sum())
    half = ((rows["ci_high"] - rows["ci_low"]) / 2).groupby(rows["feature"], sort=False).mean()
    if rows["network"].nunique() >= MIN_NETWORKS:
        for feature, part in by_feature:
            mean, _, high = mean_interval(part["share"].to_numpy(float))
            half[feature] = np.hypot(half[feature], high - mean)
    means = means.assign(ci_low=means["share"] - half, ci_high=means["share"] + half)
    features = means.drop(index=REST).sort_values("share", ascending=False)
    return pd.concat([features, means.loc[[REST]]])


def shares_of(model: Model, audit: pd.DataFrame) -> Sentence:
    """Say how much of the best score is which feature."""
    links = {"figure": "#audit", "rows": "tables/audit.csv"}
    rows = model.of(audit)
    score = decimals(model.score)
    measure = f"By CKA, corrected for noise and chance (at most 1), {model} scores"
    if not rows["gate"].astype(bool).mean() >= 0.5:
        text = f"{measure} highest, {score}, but this could be chance: nothing to divide."
        return Sentence(SHARES, text, links)
    shares = mean_shares(model, audit)
    features = shares.drop(index=REST)
    named = [
        f"{percent(row.share)} {row.Index}{ROLES.get(row.role, '')}{_interval(row)}"
        for row in features.itertuples()
    ]
    rest = f"{percent(shares.loc[REST, 'share'])} no known feature"
    text = f"{measure} {score}. In these stimuli this is {', '.join([*named, rest])}."
    warnings = rows["warning"].str.split("; ").explode()
    passed_over = warnings.str.startswith("not audited")
    text += "".join(f" {said[0].upper()}{said[1:]}." for said in warnings[passed_over].unique())
    for row in features[features["reliability"] < 1].itertuples():
        text += (
            f" {row.Index} was measured with a reliability of {row.reliability:.2f}: without "
            f"errors its share would be about {percent(row.share / row.reliability)}."
        )
    if len(warnings := warnings[(warnings != "") & ~passed_over]):
        text += f" Caution: {warnings.value_counts().index[0]}."
    return Sentence(SHARES, text, links)


def _interval(row: Any) -> str:
    if not np.isfinite(row.ci_low) or row.ci_high - row.ci_low < 0.01:
        return ""
    return f" {interval(row.ci_low * 100, row.ci_high * 100, 0)}"


def percent(share: float) -> str:
    """Write a share; nothing and everything only where it is.

    Examples
    --------
    >>> percent(0.004), percent(0.31), percent(0.998)
    ('under 1 %', '31 %', 'over 99 %')
    """
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 < share < 1:
        return "over 99 %"
    return f"{decimals(share * 100, 0)} %"


def remaining_of(model: Model, audit: pd.DataFrame, remaining: pd.DataFrame) -> Sentence:
    """Say what remains of the best score without its largest feature, and without all."""
    largest = str(mean_shares(model, audit).index[0])
    means = model.of(remaining).groupby("feature")["remaining"].mean()
    text = f"With {largest} regressed out of both sides, what is left scores "
    text += _score(means.get(largest))
    if len(means) > 2:
        text += f"; with all known features out, {_score(means.get('all'))}"
    links = {"rows": "tables/audit_remaining.csv"}
    text += f". These are scores of their own, no parts of the {decimals(model.score)}."
    return Sentence("What remains", text, links)


def _score(value: float | None) -> str:
    return "nothing" if value is None or not np.isfinite(value) else decimals(value)


def range_of(model: Model, ranges: pd.DataFrame) -> Sentence:
    """Say between what the best score could have moved."""
    links = {"figure": "#audit_range", "rows": "tables/audit_range.csv"}
    low, high = model.of(ranges)[["range_low", "range_high"]].mean()
    if not np.isfinite(low):
        text = "Not known: no feature is on both sides."
    else:
        text = (
            f"Re-weighting the features of {model}, which changes nothing that a noiseless linear "
            f"readout can decode, could move this score to anything from {decimals(low)} to "
            f"{decimals(high)}."
        )
    return Sentence("How far it could move", text, links)


def alike(
    models: list[Model],
    audit: pd.DataFrame,
    learning: pd.DataFrame,
    trained: Mapping[str, Mapping[str, Any]],
) -> Sentence | None:
    """Name two conditions whose networks compute different things and score alike."""
    targets = {
        key: frozenset(part.loc[part["target"].astype(bool), "feature"])
        for key, part in learning.groupby(["experiment", "condition"], sort=False)
    }

    def learned(model: Model) -> frozenset[str] | None:
        place = trained.get(model.condition, {})
        return targets.get((model.experiment, model.condition)) or targets.get(
            (place.get("experiment"), place.get("condition"))
        )

    best = models[0]
    for other in models[1:]:
        a, b = learned(best), learned(other)
        if not a or not b or a == b or best.score - other.score > ALIKE * best.score:
            continue
        what = [" and ".join(sorted(t)) for t in (a, b)]
        text = (
            f"Networks trained on {what[1]} score {decimals(other.score)} ({other.layer}), "
            f"networks trained on {what[0]} {decimals(best.score)} ({best.layer}): within "
            f"{ALIKE * 100:.0f} % of each other."
        )
        links = {"figure": "#audit", "rows": "tables/audit.csv"}
        return Sentence("Different networks, one score", text, links)
    return None
