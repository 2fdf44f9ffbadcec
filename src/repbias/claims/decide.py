"""Decide the claims that a study asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import Claim, Evidence, conditions_matching
from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd


def decide(
    wanted: dict[str, dict[str, str]],
    tables: dict[str, pd.DataFrame],
    layers: dict[str, str],
) -> pd.DataFrame:
    """Decide the claims that a study asks for.

    Parameters
    ----------
    wanted
        The claims, each with its filled roles: a claim's number, optionally followed by the name of
        a variant ("C1", "C1 momentum"), as under ``claims:`` in the configuration.
    tables
        The study's tables by name; "rsa_models" with a single RDM similarity.
    layers
        Condition ("experiment/condition") to its analysed layer.

    Returns
    -------
    pandas.DataFrame
        One row per claim, variant and snapshot: the end of training ("final"), and when each
        network first mastered its targets ("mastered"), because a verdict can depend on when
        training stops; for differences that settings make, also when each network first reached
        the validation loss that all of them reach ("matched").
    """
    rows = []
    for key, roles in wanted.items():
        name, _, variant = key.partition(" ")
        entry = CLAIMS[name]
        filled, compared = _filled(entry, roles, layers)
        for snapshot in entry.snapshots:
            result = entry.decide(Evidence(tables, layers, snapshot, compared), **filled)
            rows.append(
                {
                    "claim": name,
                    "variant": variant,
                    "snapshot": snapshot,
                    "statement": entry.statement,
                    "verdict": result.verdict,
                    "effect": result.effect,
                    "ci_low": result.ci_low,
                    "ci_high": result.ci_high,
                    "p": result.p,
                    "remark": result.remark,
                    "measure": entry.measure,
                    "n_included": result.n_included,
                    "n_excluded": result.n_excluded,
                    "reference": entry.reference,
                    "provenance": entry.provenance,
                }
            )
    return as_table("claims", _corrected(rows))


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
    from scipy.stats import false_discovery_control

    p = np.array([row["p"] for row in rows], float)
    corrected, tested = np.full(len(p), np.nan), ~np.isnan(p)
    if tested.any():
        corrected[tested] = false_discovery_control(p[tested], method="by")
    return [row | {"p_fdr": q} for row, q in zip(rows, corrected, strict=True)]
