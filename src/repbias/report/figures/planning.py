"""How often a planned recording would tell models apart, against what it would have."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from repbias.recovery.words import TOLD_APART
from repbias.report.figures.drawing import STYLE, panels
from repbias.report.figures.names import VIVID

#: What is varied, and how its axis is labelled.
AXES = {
    "stimuli": "stimuli",
    "repeats": "repeats of every stimulus",
    "subjects": "subjects",
    "units": "units of every subject",
    "reliability": "reliability of a trial",
}


def draw_power(table: pd.DataFrame) -> Figure:
    """Draw a panel for everything that was varied, and a line for every measure.

    Parameters
    ----------
    table
        Of :func:`repbias.recovery.power.power`, with the column `varied`: what differs from the
        plan, which is "" there.
    """
    rows = table[table["true_layer"] == ""]
    varied = [name for name in AXES if (rows["varied"] == name).any()] or list(AXES)[:1]
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(varied), width=2.6, height=2.6)
        for axis, name in zip(axes, varied, strict=True):
            shown = rows[rows["varied"].isin(["", name])]
            for (measure, of_measure), colour in zip(
                shown.groupby("measure", sort=False), VIVID * 2, strict=False
            ):
                all_at_once = of_measure[of_measure["other_condition"] == ""]
                line = all_at_once.groupby(name)["right"].mean()
                axis.plot(line.index, line, "o-", ms=4, color=colour, label=f"{measure}: of all")
                worst = _hardest_pair(of_measure).groupby(name)["right"].min()
                label = f"{measure}: of the two hardest to tell apart"
                axis.plot(worst.index, worst, "o--", ms=4, mfc="white", color=colour, label=label)
            planned = rows.loc[rows["varied"] == "", name].iloc[0]
            axis.axvline(planned, color="0.85", lw=5, zorder=0)
            axis.axhline(TOLD_APART, color="0.6", lw=0.7, ls=":")
            axis.set_xscale("linear" if name == "reliability" else "log", **_BASE.get(name, {}))
            ticks = np.unique(shown[name])
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
            axis.set_ylim(-0.02, 1.02)
            axis.set_xlabel(AXES[name])
        axes[0].set_ylabel("right model named")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


_BASE = {name: {"base": 2} for name in ("stimuli", "repeats", "subjects", "units")}


def _hardest_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how often the right one of two is preferred, mean of both being true."""
    pairs = rows[rows["other_condition"] != ""].copy()
    pairs["pair"] = [
        " ".join(sorted(pair))
        for pair in zip(pairs["true_condition"], pairs["other_condition"], strict=True)
    ]
    return pairs.groupby([*AXES, "pair"], as_index=False)["right"].mean()
