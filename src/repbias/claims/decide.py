"""Decide the claims that a study asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import Evidence
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
        training stops.
    """
    rows = []
    for key, roles in wanted.items():
        name, _, variant = key.partition(" ")
        entry = CLAIMS[name]
        for snapshot in entry.snapshots:
            result = entry.decide(Evidence(tables, layers, snapshot), **roles)
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
                    "remark": result.remark,
                    "measure": entry.measure,
                    "n_included": result.n_included,
                    "n_excluded": result.n_excluded,
                    "reference": entry.reference,
                    "provenance": entry.provenance,
                }
            )
    return as_table("claims", rows)
