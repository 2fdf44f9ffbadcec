"""The sentences of the first screen: what they say is what the tables say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from repbias.report.findings import SHARES, findings, percent
from repbias.tables import TABLES, as_table

ABOUT = {"recording": "it", "region": "", "experiment": "tasks", "network": "seed0"}
ABOUT |= {"snapshot": "final", "included": True, "seed": 0, "step": 1}


def table(name: str, rows: list[dict]) -> pd.DataFrame:
    types = TABLES[name].types
    empty = {str: "", bool: True, int: 0, float: float("nan")}
    return as_table(name, [{c: empty[t] for c, t in types.items()} | ABOUT | r for r in rows])


def scores(**of_condition: float) -> list[dict]:
    return [
        {"condition": c, "layer": layer, "rdm_similarity": "corr", "similarity": s - away}
        | {"ceiling_low": 0.7, "ceiling_high": 0.9}
        for c, s in of_condition.items()
        for layer, away in (("early", 0.1), ("late", 0.0))
    ]


def shares(condition: str, score: float, **of_feature: float) -> list[dict]:
    return [
        {"condition": condition, "layer": "late", "feature": f, "share": s, "score": score}
        | {"ci_low": s - 0.1, "ci_high": s + 0.1, "gate": True}
        for f, s in of_feature.items()
    ]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """A brain that an easy-only network resembles as much as one that computes both."""
    given = {
        "rsa_recordings": scores(easy=0.62, both=0.60, hard=0.2),
        "rsa_tests": [
            {"test": "pair", "condition_a": "both", "layer_a": "late", "snapshot_a": "final"}
            | {"condition_b": "easy", "layer_b": "late", "snapshot_b": "final"}
            | {
                "effect": 0.02,
                "ci_low": -0.05,
                "ci_high": 0.09,
                "p_fdr": 0.4,
                "generalises_to": "stimuli",
                "warning": "",
            }
        ],
        "audit": [
            *shares("easy", 0.66, easy=0.95, hard=0.002, rest=0.048),
            *shares("both", 0.65, easy=0.9, hard=0.08, rest=0.02),
            *shares("hard", 0.2, easy=0.1, hard=0.8, rest=0.1),
        ],
        "audit_remaining": [
            {"condition": "easy", "layer": "late", "feature": f, "remaining": r}
            for f, r in (("easy", 0.12), ("hard", 0.66), ("all", 0.1))
        ],
        "audit_range": [
            {"condition": "easy", "layer": "late", "range_low": 0.05, "range_high": 0.7}
        ],
        "learning": [
            {"condition": c, "feature": f, "target": f in targets}
            for c, targets in (("easy", ["easy"]), ("both", ["easy", "hard"]), ("hard", ["hard"]))
            for f in ("easy", "hard")
        ],
    }
    return {name: table(name, given.get(name, [])) for name in TABLES}


def said(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    (block,) = findings(tables, {})
    return {s.question: s.text for s in block["sentences"]}


def test_every_question_is_answered(tables):
    text = said(tables)
    assert text["Best model"] == (
        "easy (late) is most similar: 0.62 (corr), where the noise ceiling is 0.70 to 0.90; next "
        "is both (late) with 0.60."
    )
    assert text[SHARES] == (
        "By CKA, corrected for noise and chance (at most 1), easy (late) scores 0.66. In these "
        "stimuli this is 95 % easy [85, 105], under 1 % hard [−10, 10], 5 % no known feature."
    )
    assert text["What remains"] == (
        "With easy regressed out of both sides, what is left scores 0.12; with all known features "
        "out, 0.10. These are scores of their own, no parts of the 0.66."
    )
    assert text["How far it could move"].endswith("to anything from 0.05 to 0.70.")
    assert text["Different networks, one score"] == (
        "Networks trained on easy and hard score 0.65 (late), networks trained on easy 0.66 "
        "(late): within 5 % of each other."
    )
    assert text["Could it tell them apart"] == (
        "Not shown: easy (late) and both (late) differ by 0.02 [−0.05, 0.09] (p = 0.4, corrected), "
        "tested against other stimuli."
    )
    places = [p for s in findings(tables, {})[0]["sentences"] for p in s.links.values()]
    assert "tables/audit.csv" in places
    assert "#audit" in places
    tables["rsa_tests"]["warning"] = "one subject: nothing follows for others"
    sentences = findings(tables, {})[0]["sentences"]
    (told,) = [s.text for s in sentences if "tell them" in s.question]
    assert told.endswith("Limits of this test: one subject: nothing follows for others.")


def encoded(**about) -> list[dict]:
    about = {"n_units": 20, "n_units_with_ceiling": 15, "ceiling": 0.8, "region": "IT"} | about
    about |= {"interval": "95 %, t over subjects (these stimuli only)"}
    return [
        about | {"condition": c, "layer": layer, "r": r, "r_normalised": r + 0.1}
        | {"ci_low": r - 0.5, "ci_high": r + 0.2}
        for c, layer, r in (("easy", "early", 0.2), ("both", "early", 0.3), ("both", "late", 0.4))
    ]  # fmt: skip


def partitioned(**of_part: float) -> list[dict]:
    about = {"model": "two", "region": "IT", "interval": "95 %, t over subjects (of these)"}
    return [
        about | {"part": part.replace("_", " "), "r2": r2, "ci_low": r2 - 0.2, "ci_high": r2 + 0.1}
        for part, r2 in of_part.items()
    ]


PARTS = {"all": 0.5, "unique_a": 0.1, "unique_b": 0.15, "shared": 0.25}


def test_the_best_prediction_of_units_and_what_is_unique_are_said(tables):
    assert not {"Prediction of units", "Unique variance"} & said(tables).keys()
    tables["encoding_regions"] = table("encoding_regions", encoded())
    tables["variance_partition_regions"] = table("variance_partition_regions", partitioned(**PARTS))
    text = said(tables)
    assert text["Prediction of units"] == (
        "both (late) predicts responses to held-out stimuli best: r = 0.40 [−0.10, 0.60] (95 %, t "
        "over subjects, these stimuli only), mean of 20 units; next is easy (early) with 0.20. "
        "Units whose ceiling is known (15, mean 0.80) reach 0.50 of it."
    )
    assert text["Unique variance"] == (
        "The members of two explain R² = 0.50 together. The largest part that only one explains is "
        "b's: R² = 0.15 [−0.05, 0.25] (95 %, t over subjects, of these)."
    )
    unknown = {"ceiling": float("nan"), "r_normalised": float("nan")}
    tables["encoding_regions"] = tables["encoding_regions"].assign(**unknown)
    assert said(tables)["Prediction of units"].endswith(
        "No unit has a known ceiling, so how well they could be predicted is not known."
    )


def test_intervals_of_several_networks_are_over_networks(tables):
    rows = [row | {"network": n} for n in ("seed0", "seed1", "seed2") for row in encoded()]
    tables["encoding_regions"] = table("encoding_regions", rows)
    expected = (
        "r = 0.40 [0.40, 0.40] (95 %, bootstrap of networks, these subjects and stimuli only)"
    )
    assert expected in said(tables)["Prediction of units"]


def test_units_without_rsa_and_regions_have_findings_of_their_own(tables):
    """A recording of one unit has no RDM; of several regions, one may have too few units."""
    for name in ("rsa_recordings", "rsa_tests", "audit", "audit_remaining", "audit_range"):
        tables[name] = tables[name].assign(region="IT")
    rows = encoded() + encoded(region="V4") + encoded(recording="single", region="")
    tables["encoding_regions"] = table("encoding_regions", rows)
    blocks = findings(tables, {})
    assert [block["name"] for block in blocks] == ["it, IT", "it, V4", "single"]
    assert [s.question for s in blocks[1]["sentences"]] == ["Prediction of units"]


def test_scores_that_round_to_zero_have_no_sign(tables):
    """Debiased scores scatter around 0."""
    tables["audit_remaining"]["remaining"] = -0.001
    tables["audit_range"]["range_low"] = -0.002
    text = said(tables)
    assert "what is left scores 0.00; with all known features out, 0.00." in text["What remains"]
    assert "to anything from 0.00 to 0.70." in text["How far it could move"]
    tables["audit_remaining"]["remaining"] = -0.25
    assert "what is left scores −0.25" in said(tables)["What remains"]


def test_what_networks_that_are_shown_images_were_trained_on_is_known(tables):
    """Entries of `networks` have the learning curves of their conditions."""
    for name in ("rsa_recordings", "audit", "audit_remaining", "audit_range"):
        tables[name] = tables[name].assign(experiment="objects")
        tables[name]["condition"] += "_cnn"
    assert "Different networks, one score" not in said(tables)
    trained = {f"{c}_cnn": {"experiment": "tasks", "condition": c} for c in ("easy", "both")}
    (block,) = findings(tables, {}, trained)
    text = {s.question: s.text for s in block["sentences"]}
    assert text["Different networks, one score"] == (
        "Networks trained on easy and hard score 0.65 (late), networks trained on easy 0.66 "
        "(late): within 5 % of each other."
    )


def test_intervals_count_the_spread_of_networks(tables):
    """Root of the sum of squares of the networks' own half-width and of their t interval's."""
    rows = []
    for network, share in (("a", 0.8), ("b", 0.9), ("c", 1.0)):
        for feature, value in (("easy", share), ("rest", 1 - share)):
            about = {"condition": "easy", "layer": "late", "score": 0.6, "network": network}
            about |= {"feature": feature, "share": value, "gate": True}
            rows.append(about | {"ci_low": value - 0.1, "ci_high": value + 0.1})
    tables["audit"] = table("audit", rows)
    own, between = 0.1, t.ppf(0.975, 2) * 0.1 / 3**0.5
    low, high = (100 * (0.9 + sign * np.hypot(own, between)) for sign in (-1, 1))
    (a, b) = re.search(r"90 % easy \[(\d+), (\d+)\]", said(tables)[SHARES]).groups()
    assert abs(int(a) - low) < 2
    assert abs(int(b) - high) < 2


def test_what_a_simulated_recording_is_of_is_said(tables):
    (block,) = findings(tables, {"it": "simulated from tasks/both, late"})
    assert block["truth"] == "simulated from tasks/both, late"


def test_a_difference_that_is_significant_is_said(tables):
    tables["rsa_tests"]["p_fdr"] = 0.0002
    assert said(tables)["Could it tell them apart"] == (
        "Yes: easy (late) and both (late) differ by 0.02 [−0.05, 0.09] (p < 0.001, corrected), "
        "tested against other stimuli."
    )


def test_simulated_brains_say_whether_it_could_have_told(tables):
    rows = [
        {"true_condition": a, "named_condition": b, "preferred": wrong, "level": "model"}
        | {"how": "argmax", "measure": "rsa", "simulated": True, "optimistic": False}
        for a, b, wrong in (("easy", "both", 0.5), ("both", "easy", 0.3), ("hard", "easy", 0.0))
    ]
    tables["recovery"] = table("recovery", rows)
    text = said(tables)["Could it tell them apart"]
    assert text.endswith("RSA prefers the right one in 60 %.")


def test_what_the_study_says_of_a_feature_is_repeated(tables):
    hard = tables["audit"]["feature"] == "easy"
    tables["audit"].loc[hard, "role"] = "nuisance"
    tables["audit"].loc[hard, "reliability"] = 0.95
    text = said(tables)[SHARES]
    assert "95 % easy (a nuisance) [85, 105]" in text
    assert text.endswith("without errors its share would be about 100 %.")


def test_a_score_that_could_be_chance_is_not_divided(tables):
    tables["audit"]["gate"] = False
    assert "this could be chance: nothing to divide" in said(tables)[SHARES]


def test_a_refusal_is_said_in_its_words(tables):
    refused = {"feature": "", "warning": "audit: the features have 5 dimensions", "gate": False}
    tables["audit"] = table("audit", [refused])
    text = said(tables)
    assert text[SHARES] == "Not divided: the features have 5 dimensions."
    assert "What remains" not in text


def test_without_features_it_is_said_what_is_missing(tables):
    tables["audit"] = table("audit", [])
    assert "nothing is known of the stimuli" in said(tables)[SHARES]


def test_warnings_of_the_share_stand_beside_it(tables):
    tables["audit"]["warning"] = "one repeat: noise lowers the score; other"
    assert said(tables)[SHARES].endswith("Caution: one repeat: noise lowers the score.")


def test_what_is_not_audited_is_named_beside_what_no_feature_explains(tables):
    tables["audit"]["warning"] = "not audited: pair, as it is fine; one repeat"
    text = said(tables)[SHARES]
    assert text.endswith("no known feature. Not audited: pair, as it is fine. Caution: one repeat.")


def test_networks_that_score_differently_are_no_finding(tables):
    rows = tables["audit"]["condition"] == "both"
    tables["audit"].loc[rows, "score"] = 0.4
    assert "Different networks, one score" not in said(tables)


def test_regions_have_findings_of_their_own(tables):
    other = {name: tables[name].assign(region="V4") for name in ("rsa_recordings", "audit")}
    for name, rows in other.items():
        tables[name] = pd.concat([tables[name].assign(region="IT"), rows], ignore_index=True)
    assert [block["name"] for block in findings(tables, {})] == ["it, IT", "it, V4"]


def test_one_model_has_nothing_to_be_told_from(tables):
    only = tables["rsa_recordings"]["condition"] == "easy"
    tables["rsa_recordings"] = tables["rsa_recordings"][only]
    assert "There is one model" in said(tables)["Could it tell them apart"]


def test_shares_are_written_as_what_they_are():
    assert [percent(v) for v in (0, 1, 0.0001, 0.9999, -0.12)] == [
        "0 %",
        "100 %",
        "under 1 %",
        "over 99 %",
        "−12 %",
    ]
