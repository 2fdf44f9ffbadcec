"""Figure of the order in which transformers report features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.base.statistics import Estimate, slope_within
from repbias.report.figures.drawing import (
    NONE_INCLUDED,
    empty_figure,
    error_bars,
    legend_below,
    line,
    stack,
    striped_rows,
)
from repbias.report.figures.tips import name_marks
from repbias.report.selection import Layers, Tables, analysed

#: Snapshots of all networks, whenever training ended, and what the figure calls them.
STAGES = {"initial": "untrained", "mastered": "mastered", "final": "end"}
#: "experiment/condition" to its "task" and "order", the features as they are reported.
Reported = Mapping[str, Mapping[str, Any]]


def order(
    tables: Tables, layers: Layers, reported: Reported | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw how R² falls from answer to answer by task; R² by place and stage, accuracy by step."""
    variance = _placed(analysed(tables["variance_explained"], layers), reported or {})
    learning = _placed(tables["learning"], reported or {})
    final = variance[(variance["snapshot"] == "final") & variance["included"].astype(bool)]
    slopes = _slopes(final)
    if slopes.empty:
        why = [NONE_INCLUDED] if len(variance) else ["no experiment varies the order of reports"]
        return empty_figure(*why), slopes
    experiments = list(dict.fromkeys(slopes["networks"]))
    heights = [0.32 * len(experiments) + 0.8, *[2.2] * len(experiments)]
    figure = Figure(figsize=(9.5, sum(heights) + 0.6))
    top, *others = stack(figure, heights)
    means = _over_tasks(slopes)
    _effects(top.subplots(), slopes, means, experiments)
    places = sorted(variance["place"].unique())
    colours = {p: colormaps["viridis"](0.9 * p / max(places[-1], 1)) for p in places}
    for part, experiment in zip(others, experiments, strict=True):
        by_place, by_stage, of_accuracy = part.subplots(1, 3)
        _by_place(by_place, final[final["networks"] == experiment])
        own = variance[variance["networks"] == experiment]
        _by_stage(by_stage, own, colours)
        _by_step(of_accuracy, learning[learning["networks"] == experiment], colours)
        by_place.set_ylabel("R² − mean of the feature")
        by_stage.set_ylabel("R²")
        of_accuracy.set(ylabel="validation accuracy", ylim=(0.4, 1.03))
        part.suptitle(experiment, x=0.01, ha="left", fontweight="bold", fontsize=9)
    handles = [line(color=c, label=f"answer {place + 1}") for place, c in colours.items()]
    legend_below(figure, handles)
    return figure, pd.concat([slopes, means], ignore_index=True)


def _placed(table: pd.DataFrame, reported: Reported) -> pd.DataFrame:
    """Return the rows of reported features, with columns `task` and `place`, from 0.

    Experiments in which a task has one order only are left out.
    """
    about = pd.DataFrame(
        [
            (*name.split("/", 1), _apart(name), said["task"], feature, place, str(said["order"]))
            for name, said in reported.items()
            for place, feature in enumerate(said["order"])
        ],
        columns=["experiment", "condition", "networks", "task", "feature", "place", "order"],
    )
    several = about.groupby(["networks", "task"])["order"].transform("nunique") > 1
    return table.merge(about[several].drop(columns="order"))


def _apart(name: str) -> str:
    """Return what networks of several orders and tasks have in common: the rest of their name."""
    experiment, _, condition = name.partition("/")
    rest = [part for part in condition.split(",") if not part.startswith(("order=", "task="))]
    rest = [part for part in rest if part != "base"]
    return f"{experiment}, {', '.join(rest)}" if rest else experiment


def _slopes(final: pd.DataFrame) -> pd.DataFrame:
    """Return how much R² falls from one answer to the next, for every task."""
    rows = [
        {
            "networks": networks,
            "task": task,
            "fall": -slope_within(part["feature"].tolist(), part["place"], part["r2"]),
        }
        for (networks, task), part in final.groupby(["networks", "task"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["networks", "task", "fall"]).dropna()


def _over_tasks(slopes: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over tasks with its 95 % interval, as claims have it."""
    rows = []
    for networks, part in slopes.groupby("networks", sort=False):
        estimate = Estimate.of_mean(part["fall"])
        ends = (estimate.low(), estimate.high()) if len(part) > 1 else (float("nan"),) * 2
        about = {"networks": networks, "n": len(part), "fall": estimate.value}
        rows.append(about | dict(zip(("ci_low", "ci_high"), ends, strict=True)))
    return pd.DataFrame(rows)


def _effects(axis: Axes, slopes: pd.DataFrame, means: pd.DataFrame, experiments: list[str]) -> None:
    """Draw tasks as dots, their mean with its interval, a row for each experiment."""
    striped_rows(axis, experiments)
    rows = slopes["networks"].map(experiments.index)
    (dots,) = axis.plot(slopes["fall"], rows + 0.15, ".", color="0.5", ms=4, alpha=0.7)
    name_marks(dots, slopes, "fall")
    error_bars(axis, means, "fall", means["networks"].map(experiments.index) - 0.15, color="k")
    axis.axvline(0, color="0.5", lw=0.7, zorder=0)
    axis.set_xlabel("fall of R² from one answer to the next (dots: tasks)")


def _by_place(axis: Axes, final: pd.DataFrame) -> None:
    """Draw R² by the place of the answer, without the means of features: tasks, and their mean."""
    keys = ["task", "feature"]
    own = final["r2"] - final.groupby(keys)["r2"].transform("mean")
    by_task = own.groupby([final["task"], final["place"]]).mean().unstack("place")
    for _, values in by_task.iterrows():
        axis.plot(values.index + 1, values, color="0.6", lw=0.6, alpha=0.6)
    axis.plot(by_task.columns + 1, by_task.mean(), color="k", marker="o", ms=4)
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    axis.set(xlabel="place of the answer", xticks=by_task.columns + 1)


def _by_stage(axis: Axes, variance: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Draw mean R² of features by the stage of training, a line for each place."""
    variance = variance[variance["included"].astype(bool)]
    for place, part in variance.groupby("place"):
        by_stage = part.groupby("snapshot")["r2"].mean().reindex(STAGES)
        axis.plot(list(STAGES.values()), by_stage, color=colours[place], marker="o", ms=3, lw=1.2)


def _by_step(axis: Axes, learning: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Draw mean accuracy of features by training step, a line for each place.

    It ends where less than half of the included networks are left.
    """
    learning = learning[learning["included"].astype(bool)]
    for place, part in learning.groupby("place"):
        by_step = part.groupby("step")["accuracy"].agg(["mean", "count"])
        curve = by_step.loc[by_step["count"] >= by_step["count"].max() / 2, "mean"]
        axis.plot(curve.index, curve, color=colours[place], lw=1.2)
    axis.set_xlabel("training step")
