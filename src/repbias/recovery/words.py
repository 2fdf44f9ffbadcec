"""What simulated brains say of a recording, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

#: What a sentence is about.
BRAIN = ["recording", "region", "measure"]
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
    """Say which models a recording cannot tell apart, and what it is named, measure by measure.

    Of a recording that was itself simulated, they say whether its name is right.

    Parameters
    ----------
    table
        The table recovery.
    """
    rows = table[table["how"] == "argmax"]
    known = rows[
        (rows["level"] == "layer") & ~rows["simulated"].astype(bool) & (rows["true_layer"] != "")
    ]
    layers = dict(iter(known.groupby(BRAIN, sort=False)))
    said = []
    for key, part in rows[rows["level"] == "model"].groupby(BRAIN, sort=False):
        where = ", ".join(filter(None, key)) + ": "
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
        real = part[~part["simulated"]]
        text += f". It is named {_name(real, 'condition')}"
        share = _most_often(real)["right"]
        if np.isfinite(share):
            text += f"; of simulated brains so named, {percent(share)} are"
        if key in layers:
            text += f". Its layer is named {_name(layers[key], 'layer')}"
        said.append(where + text + ".")
    return said


def _most_often(rows: pd.DataFrame) -> pd.Series:
    """Return the row of what a recording is named most often."""
    return rows.sort_values("probability", ascending=False, kind="stable").iloc[0]


def _name(rows: pd.DataFrame, what: str) -> str:
    """Say what a recording is named and, where it was simulated itself, what it is of."""
    first = _most_often(rows)
    named, true = first[f"named_{what}"], first[f"true_{what}"]
    often = f"in {percent(first['probability'])} of comparisons"
    if not true:
        return f"{named} {often}"
    if named == true:
        return f"{named}, which it is, {often}"
    right = rows.loc[rows[f"named_{what}"] == true, "probability"].sum()
    return f"{named} {often} ({true}, which it is, in {percent(right)})"


def _these(models: Sequence[str]) -> str:
    numbers = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
    return f"these {numbers.get(len(models), len(models))} models ({', '.join(models)})"


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.0f} %"
