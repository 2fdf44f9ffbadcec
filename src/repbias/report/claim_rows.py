"""From a claim to the figures that show it, and to the rows of tables that it was decided on."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import product
from typing import Any

import pandas as pd

from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import conditions_matching
from repbias.report.captions import FIGURES

#: Tables that a figure shows beside the one that it is about.
ALSO_SHOWN = {"sparsity": "units", "conflict": "probes"}
#: Times whose rows are shown. At equal loss, values lie between those of two checkpoints.
TIMES = ("final", "mastered")
#: Columns that say nothing which others do not.
LEFT_OUT = ("experiment", "network", "network_a", "network_b")


def tables_of(claim: str, questions: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the tables that decide a claim, or a question of the study."""
    if claim in questions:
        return (questions[claim]["table"],)
    return CLAIMS[claim].tables if claim in CLAIMS else ()


def figures_of(tables: Iterable[str], drawn: Container[str]) -> list[str]:
    """Return the figures, of those that are drawn, that are about one of the tables."""
    tables = set(tables)
    wanted = {ALSO_SHOWN[table] for table in tables & ALSO_SHOWN.keys()}
    return [
        name
        for name, caption in FIGURES.items()
        if name in drawn and (name in wanted or caption.needs[0] in tables)
    ]


def claim_rows(
    wanted: Mapping[str, Mapping[str, str]],
    tables: Mapping[str, pd.DataFrame],
    layers: Mapping[str, str],
    rdm_similarity: str,
) -> dict[str, pd.DataFrame]:
    """Return the rows that claims were decided on, by table.

    Those of included networks of a claim's conditions, in the analysed layer, at first mastery and
    at the end of training; of pairs, those of which both are.

    Parameters
    ----------
    wanted
        The claims, each with its filled roles, as under ``claims:`` in the configuration.
    tables
        The study's tables by name.
    layers
        Condition ("experiment/condition") to its analysed layer.
    rdm_similarity
        The one that decides claims.

    Returns
    -------
    dict of pandas.DataFrame
        Columns that tell rows apart, conditions with their experiments, and first the claims.
    """
    claims_of: dict[str, pd.Series] = {}
    possible: dict[str, pd.Series] = {}
    for claim, roles in wanted.items():
        entry = CLAIMS[claim.partition(" ")[0]]
        patterns = [roles[r] for r, kind in entry.roles.items() if kind.startswith("condition")]
        conditions = {c for p in patterns for c in (conditions_matching(p, layers) or [p])}
        for name in entry.tables:
            table = tables[name]
            if "snapshot" not in table:
                continue  # every evaluation during training; or keys of encryption
            if name not in claims_of:
                claims_of[name] = pd.Series("", index=table.index)
                possible[name] = _possible(table, layers, rdm_similarity)
            used = possible[name].copy()
            for side in _sides(table):
                used &= _conditions(table, side).isin(conditions)
            claims_of[name][used] += f", {claim}"
    found = {}
    for name, said in claims_of.items():
        if len(rows := tables[name][said != ""]):
            found[name] = _telling(rows.assign(claims=said[said != ""].str.removeprefix(", ")))
    return found


def _sides(table: pd.DataFrame) -> tuple[str, ...]:
    return ("",) if "condition" in table else ("_a", "_b")


def _conditions(table: pd.DataFrame, side: str) -> pd.Series:
    names = table["experiment"].astype(str) + "/" + table[f"condition{side}"].astype(str)
    return pd.Series(names, index=table.index)


def _possible(table: pd.DataFrame, layers: Mapping[str, str], rdm_similarity: str) -> pd.Series:
    """Mark the rows that any claim could be decided on."""
    rows = table["snapshot"].isin(TIMES)
    if "rdm_similarity" in table:
        rows &= table["rdm_similarity"] == rdm_similarity
    for side in _sides(table):
        if f"layer{side}" in table:
            rows &= table[f"layer{side}"] == _conditions(table, side).map(layers)
        if f"included{side}" in table:
            rows &= table[f"included{side}"].astype(bool)
    return rows


def _telling(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that differ between rows, with claims and conditions first."""
    sides = _sides(rows)
    rows = rows.assign(**{f"condition{side}": _conditions(rows, side) for side in sides})
    first = ["claims", *(f"{c}{side}" for side, c in product(sides, ("condition", "seed")))]
    others = rows.columns.difference([*first, *LEFT_OUT], sort=False)
    return rows[[*first, *(c for c in others if rows[c].nunique(dropna=False) > 1)]]
