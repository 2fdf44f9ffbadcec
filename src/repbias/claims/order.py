"""Claims about transformers: the order in which features are reported, and paths past attention.

What a task is about (which tokens, sets and places) is drawn, and effects differ between tasks more
than between networks of one. So tasks are the units of these claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.statistics import Estimate, slope_within
from repbias.claims.evidence import (
    LAMPINEN_2024,
    Evidence,
    Result,
    claim,
    conditions_matching,
    result_of,
    undecided,
)

if TYPE_CHECKING:
    import pandas as pd

    from repbias.config.study import Study


def _balanced(study: Study, orders: str, unfed: str | None = None) -> Iterator[str]:
    """Require that, in every task, every feature is as often at every place of the answer."""
    for role, pattern in (("orders", orders), ("unfed", unfed)):
        by_task: dict[int, list[list[int]]] = {}
        for name in conditions_matching(pattern or "", study.names_of_conditions()):
            condition = study.condition(name)
            order = getattr(condition.network, "order", None)
            answers = getattr(condition.network, "answers", "heads")
            if order is None or answers == "heads":
                yield f"{role}: networks of {name} report features at once, in no order"
                return
            if role == "unfed" and answers != "unfed":
                yield f"unfed: network.answers of {name} is {answers!r}; expected 'unfed'"
                return
            by_task.setdefault(getattr(condition.stimuli, "task", 0), []).append(order)
        for task, found in by_task.items():
            n = len(found[0])
            places = np.array([[order.index(i) for i in range(n)] for order in found])
            often = np.stack([(places == place).sum(axis=0) for place in range(n)])
            if (often != often[0, 0]).any() or not often[0, 0]:
                yield (
                    f"{role}: in task {task}, {len(found)} orders do not have every feature at "
                    "every place equally often; vary network.order: balanced"
                )
                return


@claim(
    "C8",
    "A feature that is reported earlier in the output sequence is more strongly represented",
    {"orders": "conditions"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="fall of R² from one place of the answer to the next",
    bounds=(-1, 1),
    requires=_balanced,
    units="tasks",
)
def earlier_is_stronger(evidence: Evidence, orders: Sequence[str]) -> Result:
    """Effect: mean over tasks of minus the slope of R² on the place at which it is reported.

    In each task, R² of every network and feature is regressed on the place and the feature.
    """
    slopes, counts = _slopes(evidence, orders)
    return _over_tasks(-np.array(list(slopes.values())), counts)


@claim(
    "C8b",
    "... and more so where answers are fed with those before them",
    {"orders": "conditions", "unfed": "conditions"},
    reference="no number",
    provenance="a control of ours",
    measure="difference of the fall of R² from one place of the answer to the next",
    bounds=(-2, 2),
    requires=_balanced,
    units="tasks",
)
def stronger_where_fed(evidence: Evidence, orders: Sequence[str], unfed: Sequence[str]) -> Result:
    """Effect: C8's, with answers fed minus without, mean over tasks that both have."""
    fed, n_fed = _slopes(evidence, orders)
    plain, n_plain = _slopes(evidence, unfed)
    both = [task for task in fed if task in plain]
    differences = np.array([plain[task] - fed[task] for task in both])
    return _over_tasks(differences, (n_fed[0] + n_plain[0], n_fed[1] + n_plain[1]))


def _residual(study: Study, past: str, less: str, **_: str) -> Iterator[str]:
    """Require conditions that differ in the residual path of the encoder, and share their tasks."""
    names = study.names_of_conditions()
    found = [
        {
            study.condition(name).stimuli.model_dump_json(): getattr(
                study.condition(name).network, "residual_scale", None
            )
            for name in conditions_matching(pattern, names)
        }
        for pattern in (past, less)
    ]
    if found[0].keys() != found[1].keys():
        yield "past and less must have the same stimuli, task by task"
    elif not all(
        (a or 0) > (b if b is not None else np.inf)
        for a, b in zip(found[0].values(), (found[1][key] for key in found[0]), strict=True)
    ):
        yield (
            f"network.residual_scale must be larger in past ({[*set(found[0].values())]}) than in "
            f"less ({[*set(found[1].values())]})"
        )


@claim(
    "C14",
    "Encoders with a residual path from the input favour features that integrate over more of it",
    {"past": "conditions", "less": "conditions", "wide": "target", "narrow": "target"},
    reference="direction only",
    provenance=LAMPINEN_2024,
    measure="difference of (R² wide - R² narrow)",
    bounds=(-2, 2),
    requires=_residual,
    units="tasks",
)
def residual_favours_wide(
    evidence: Evidence, past: Sequence[str], less: Sequence[str], wide: str, narrow: str
) -> Result:
    """Effect: gap with the whole residual path minus gap with less of it, mean over tasks."""
    gaps, n_included, n_networks = [], 0, 0
    for conditions in (past, less):
        by_task: dict[int, list[float]] = {}
        for name in conditions:
            values = evidence.gap(name, wide, narrow).dropna()
            n_included += len(values)
            n_networks += evidence.n_networks(name)
            by_task.setdefault(evidence.reported[name]["task"], []).extend(values)
        gaps.append({task: float(np.mean(v)) for task, v in by_task.items() if v})
    both = [task for task in gaps[0] if task in gaps[1]]
    differences = np.array([gaps[0][task] - gaps[1][task] for task in both])
    return _over_tasks(differences, (n_included, n_networks))


def _slopes(
    evidence: Evidence, conditions: Sequence[str]
) -> tuple[dict[int, float], tuple[int, int]]:
    """Return the slope of R² on the place of the answer by task; networks included, and all."""
    rows: dict[int, list[tuple[str, int, float]]] = {}
    n_included = n_networks = 0
    for name in conditions:
        about = evidence.reported[name]
        r2: pd.DataFrame = evidence.r2(name).reindex(columns=about["order"]).dropna()
        n_included += len(r2)
        n_networks += evidence.n_networks(name)
        for place, feature in enumerate(about["order"]):
            rows.setdefault(about["task"], []).extend(
                (feature, place, value) for value in r2[feature]
            )
    found = {task: slope_within(*zip(*cells, strict=True)) for task, cells in rows.items() if cells}
    slopes = {task: slope for task, slope in found.items() if np.isfinite(slope)}
    return slopes, (n_included, n_networks)


def _over_tasks(effects: np.ndarray, counts: tuple[int, int]) -> Result:
    """Return the mean over tasks as an effect."""
    n_included, n_networks = counts
    if not len(effects):
        return undecided(n_included, n_networks - n_included)
    estimate = Estimate.of_mean(effects)
    return result_of(estimate, n_included, n_networks - n_included, noun="tasks")
