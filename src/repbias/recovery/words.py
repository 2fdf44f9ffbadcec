"""What simulated brains say of a recording, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

#: Two models are told apart if the right one of the two is preferred this often.
TOLD_APART = 0.8


def indistinct(table: pd.DataFrame) -> list[tuple[list[str], float, float]]:
    """Return models that are not told apart, directly or through others between them.

    Parameters
    ----------
    table
        Rows of the table recovery of one recording, region, measure and way of naming, of
        simulated brains, of models.

    Returns
    -------
    list
        Of every group its models, and how often the right one of two of them is preferred: in the
        pair that is told apart least, and in the one that is told apart best of those that are not.
    """
    models = list(dict.fromkeys(table["true_condition"]))
    preference = table.set_index(["true_condition", "named_condition"])["preferred"]
    right = {
        (a, b): 1 - (preference[a, b] + preference[b, a]) / 2 for a, b in combinations(models, 2)
    }
    group = {model: {model} for model in models}
    for (a, b), probability in right.items():
        if probability < TOLD_APART and group[a] is not group[b]:
            group[a] |= group[b]
            for model in group[b]:
                group[model] = group[a]
    found = []
    for members in {id(g): g for g in group.values()}.values():
        inside = [p for (a, b), p in right.items() if a in members and b in members]
        inside = [p for p in inside if p < TOLD_APART]
        if inside:
            found.append(([m for m in models if m in members], min(inside), max(inside)))
    return found


def sentences(table: pd.DataFrame) -> list[str]:
    """Say which models a recording cannot tell apart, and what it is named as, measure by measure.

    Parameters
    ----------
    table
        The table recovery.
    """
    rows = table[(table["level"] == "model") & (table["how"] == "argmax")]
    said = []
    for (recording, region, measure), part in rows.groupby(
        ["recording", "region", "measure"], sort=False
    ):
        where = ", ".join(filter(None, (recording, region, measure))) + ": "
        simulated = part[part["simulated"]]
        right = simulated[simulated["true_condition"] == simulated["named_condition"]]
        text = (
            f"the right one of {len(right)} models is named in "
            f"{percent(right['probability'].mean())} of simulated brains (chance "
            f"{percent(right['chance'].iloc[0])})"
        )
        for models, low, high in indistinct(simulated):
            share = dict.fromkeys([percent(low), percent(high)])
            text += (
                f"; {_these(models)} cannot be told apart by this recording: of two of them, the "
                f"right one is preferred in {' to '.join(share)}"
            )
        real = part[~part["simulated"]].sort_values("probability", ascending=False, kind="stable")
        first = real.iloc[0]
        text += (
            f". It is named {first['named_condition']} in {percent(first['probability'])} of "
            "comparisons"
        )
        if np.isfinite(first["right"]):
            text += f"; of simulated brains so named, {percent(first['right'])} are"
        said.append(where + text + ".")
    return said


def _these(models: Sequence[str]) -> str:
    numbers = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
    return f"these {numbers.get(len(models), len(models))} models ({', '.join(models)})"


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.0f} %"
