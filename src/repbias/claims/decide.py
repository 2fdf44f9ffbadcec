"""Decide the claims and questions of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.statistics import false_discovery_control
from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import Claim, Evidence, Result, conditions_matching
from repbias.claims.questions import Settings, answer, measure_of, snapshots_of
from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.questions import Question


def decide(
    wanted: dict[str, dict[str, str]],
    tables: dict[str, pd.DataFrame],
    layers: dict[str, str],
    rdm_similarity: str = "corr",
    questions: Mapping[str, Question] | None = None,
    settings: Settings | None = None,
    reported: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Decide the claims and questions that a study asks.

    Parameters
    ----------
    wanted
        The claims, each with its filled roles: a claim's number, optionally followed by the name of
        a variant ("C1", "C1 momentum"), as under ``claims:`` in the configuration.
    tables
        The study's tables by name.
    layers
        Condition ("experiment/condition") to its analysed layer.
    rdm_similarity
        The RDM similarity that decides claims, and questions that name none.
    questions
        The user's own questions, as under ``questions:``.
    settings
        "experiment/condition" to the values of the settings that vary, by path, for questions.
    reported
        Conditions of transformers to their "task" and the "order" in which features are reported.

    Returns
    -------
    pandas.DataFrame
        One row per claim, variant and snapshot: the end of training ("final"), and when each
        network first mastered its targets ("mastered"), because a verdict can depend on when
        training stops; for differences that settings make, also when each network first reached
        the validation loss that all of them reach ("matched"). Then one row per question and time.
    """
    of_claims = tables | {
        name: tables[name][tables[name]["rdm_similarity"] == rdm_similarity]
        for name in ("rsa_models", "rsa_untrained")
        if name in tables
    }
    rows = []
    for key, roles in wanted.items():
        name, _, variant = key.partition(" ")
        entry = CLAIMS[name]
        filled, compared = _filled(entry, roles, layers)
        for snapshot in entry.snapshots:
            evidence = Evidence(of_claims, layers, snapshot, compared, reported or {})
            result = entry.decide(evidence, **filled)
            about = {"claim": name, "variant": variant, "snapshot": snapshot}
            about |= {"statement": entry.statement, "measure": entry.measure}
            about |= {"reference": entry.reference, "provenance": entry.provenance}
            low, high = np.clip([result.ci_low, result.ci_high], *entry.bounds)
            rows.append(about | _row(result) | {"ci_low": low, "ci_high": high})
    for name, question in (questions or {}).items():
        table = tables[question.table]
        for snapshot in snapshots_of(question, tuple(table.columns)):
            known = settings or {}
            result = answer(question, table, layers, rdm_similarity, snapshot, known)
            about = {"claim": name, "variant": "", "snapshot": snapshot or "final"}
            about |= {"statement": question.asks, "measure": measure_of(question, known)}
            about |= {"reference": "none", "provenance": "a question of this study"}
            rows.append(about | _row(result))
    return as_table("claims", _corrected(rows))


def _row(result: Result) -> dict[str, Any]:
    """Return the columns of a result."""
    return {
        "verdict": result.verdict,
        "effect": result.effect,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "p": result.p,
        "remark": result.remark,
        "n_included": result.n_included,
        "n_excluded": result.n_excluded,
    }


def _filled(
    entry: Claim, roles: dict[str, str], layers: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return what fills a claim's roles, patterns resolved, and all conditions among it."""
    filled: dict[str, Any] = dict(roles)
    compared: list[str] = []
    for role, kind in entry.roles.items():
        if kind == "conditions":
            filled[role] = conditions_matching(roles[role], layers)
            compared += filled[role]
        elif kind == "condition":
            compared.append(roles[role])
    return filled, compared


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add p values that are corrected for the number of rows that were tested.

    By Benjamini & Yekutieli (2001), which holds under any dependence: claims share networks, and
    the same networks are seen at several times.
    """
    p = np.array([row["p"] for row in rows], float)
    corrected, tested = np.full(len(p), np.nan), ~np.isnan(p)
    if tested.any():
        corrected[tested] = false_discovery_control(p[tested], method="by")
    return [row | {"p_fdr": q} for row, q in zip(rows, corrected, strict=True)]
