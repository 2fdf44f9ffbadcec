"""Effects of trends as figures and the page show them: over the range of the axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repbias.claims.questions import axis_range
from repbias.config.questions import Question


def over_range(
    tables: Mapping[str, pd.DataFrame],
    questions: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the table of claims, with effects of trends from the lowest to the highest value.

    A slope is per unit of its axis, which says little where the values of this are .0001 and .001.

    Parameters
    ----------
    tables
        The study's tables by name.
    questions
        The study's questions, as under ``questions:``.
    settings
        "experiment/condition" to the values of settings by path.

    Returns
    -------
    pandas.DataFrame
        With a column `axis` more: of trends, its name and range; empty otherwise.
    """
    claims = tables["claims"].assign(axis="")
    trends = {name: asked for name, asked in questions.items() if asked.get("trend") is not None}
    for name, asked in trends.items():
        question = Question(**asked)
        limits = axis_range(question, tables[question.table], settings)
        if limits is None:
            continue
        low, high = limits
        rows = claims["claim"] == name
        claims.loc[rows, ["effect", "ci_low", "ci_high"]] *= high - low
        axis = str(question.trend).rpartition(".")[2]
        claims.loc[rows, "axis"] = f"{axis} {low:g} to {high:g}"
        claims.loc[rows, "measure"] += f", shown over its range, {low:g} to {high:g}"
    return claims
