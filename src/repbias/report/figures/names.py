"""What features, conditions and models are called in figures, and their colours."""

from __future__ import annotations

from collections import Counter
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from repbias.report.selection import Group, Tables, groups_of, of_group, outputs_of

#: Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
#: Those that suit thin lines and small dots: yellow is too pale.
VIVID = COLOURS[:-1]
#: The colour of untrained networks.
UNTRAINED = "0.55"


def feature_colours(tables: Tables) -> dict[str, Any]:
    """Give every feature of the study a colour, the same in all figures.

    A sub-component ("hard.xor12") gets a lighter shade of its feature's colour.
    """
    names = dict.fromkeys(outputs_of(tables))
    for table in ("variance_explained", "units", "probes"):
        names |= dict.fromkeys(sorted(set(tables[table]["feature"]) - names.keys()))
    families: dict[str, list[str]] = {}
    features: list[str] = []
    for name in names:
        family = name.rpartition(".")[0]
        if family in features:
            families.setdefault(family, []).append(name)
        else:
            features.append(name)
    colours = _told_apart(features, tables["learning"])
    for family, members in families.items():
        whites = np.linspace(0.35, 0.65, len(members))
        for member, white in zip(members, whites, strict=True):
            colours[member] = _lighter(colours[family], white)
    return colours


def _told_apart(features: list[str], learning: pd.DataFrame) -> dict[str, Any]:
    """Give features colours; with many, those of different experiments may have the same one."""
    together: dict[str, set[str]] = {}
    for _, part in learning.groupby("experiment", sort=False)["feature"]:
        for feature in set(part):
            together.setdefault(feature, set()).update(part)
    colours: dict[str, Any] = {}
    for feature in features:
        others = together.get(feature, set(features))
        taken = {colours[other] for other in others if other in colours}
        free = [c for c in COLOURS if c not in taken]
        free = free or [c for c in distinct_colours(len(features)) if c not in taken]
        colours[feature] = min(free, key=Counter(colours.values()).__getitem__)
    return colours


def output_colours(tables: Tables) -> dict[str, object]:
    """Return the colours of features that have an output."""
    colours = feature_colours(tables)
    return {feature: colours[feature] for feature in outputs_of(tables)}


def model_colours(models: pd.DataFrame) -> list[object]:
    """Give every condition a colour, and a condition's earlier layers lighter shades of it."""
    groups = groups_of(models)
    colours: list[object] = []
    for row in models.itertuples():
        group = (row.experiment, row.condition)
        if row.snapshot == "initial":
            colours.append(UNTRAINED)
            continue
        family = list(of_group(models, group)["layer"].unique())
        white = 0.65 * (1 - (family.index(row.layer) + 1) / len(family))
        colours.append(_lighter(VIVID[groups.index(group) % len(VIVID)], white))
    return colours


def distinct_colours(n: int) -> list[Any]:
    """Return n colours: those that are vivid, then lighter shades of them, but no greys."""
    chromatic = [colour for colour in VIVID if colour != "#000000"]
    colours: list[Any] = list(VIVID)
    white = 0.5
    while len(colours) < n:
        colours += [_lighter(colour, white) for colour in chromatic]
        white += (1 - white) / 2
    return colours[:n]


def _lighter(colour: Any, white: float) -> tuple[float, ...]:
    """Mix a colour with a share of white."""
    base = np.array(mpl.colors.to_rgb(colour))
    return tuple(map(float, base + (1 - base) * white))


def model_labels(models: pd.DataFrame, width: int = 36) -> list[str]:
    """Name models, with their experiment where there are several; long names are abridged."""
    several = models["experiment"].nunique() > 1
    labels = []
    for row in models.itertuples():
        parts = dict.fromkeys([row.experiment] * several + [row.condition, row.layer])
        name = shortened(", ".join(filter(None, parts)), width)
        labels.append(f"{name} (untrained)" if row.snapshot == "initial" else name)
    return labels


def shortened(text: str, width: int) -> str:
    """Replace the middle of a text that is too long by an ellipsis."""
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-half:]}"


def title_of(group: Group, groups: list[Group], width: int = 30) -> str:
    """Name a condition, with its experiment where there are several."""
    several = len({experiment for experiment, _ in groups}) > 1
    return wrapped(f"{group[0]}: {group[1]}" if several else group[1], width)


def wrapped(condition: str, width: int = 40) -> str:
    """Break the name of a condition into lines, after commas."""
    lines = [""]
    for setting in condition.split(","):
        longer = f"{lines[-1]},{setting}" if lines[-1] else setting
        if lines[-1] and len(longer) > width:
            lines[-1] += ","
            lines.append(setting)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def legend_label(name: str) -> str:
    """Return a name so that a legend shows it: matplotlib hides those with a leading underscore."""
    return f" {name}" if name.startswith("_") else name
