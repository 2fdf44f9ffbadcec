"""Claims about transformers: the order in which features are reported, and paths past attention.

What a task is about (which tokens, sets and places) is drawn, and effects differ between tasks more
than between networks of one. So tasks are the units of these claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

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

    from repbias.config.study import Condition, Study


def _transformers(study: Study, role: str, pattern: str) -> Iterator[str]:
    """Require transformers that are trained there, and differ in their task and order only."""
    members = _members(study, pattern)
    for name, condition in members.items():
        if condition.network.kind != "transformer":
            yield f"{role}: networks of {name} are no transformers"
            return
        if condition.trained_in is not None:
            yield f"{role}: networks of {name} are trained in {condition.trained_in}; name that"
            return
    if other := _difference(list(members.values()), {"task", "order"}):
        yield (
            f"{role}: conditions must differ in stimuli.task and network.order only, not in {other}"
        )


def _members(study: Study, pattern: str) -> dict[str, Condition]:
    """Return the conditions that a pattern names."""
    names = conditions_matching(pattern, study.names_of_conditions())
    return {name: study.condition(name) for name in names}


def _difference(conditions: Sequence[Condition], may: set[str]) -> str:
    """Return a setting in which conditions differ, beside those that may; empty if in none."""
    settings = [
        {
            f"{section}.{key}": value
            for section in ("stimuli", "network", "training")
            for key, value in getattr(condition, section).model_dump(exclude=may).items()
        }
        for condition in conditions
    ]
    for key in dict.fromkeys(key for one in settings for key in one):
        if any(one.get(key) != settings[0].get(key) for one in settings):
            return key
    return ""


def _balanced(study: Study, orders: str) -> Iterator[str]:
    """Require that, in every task, every feature is as often at every place of the answer."""
    yield from _in_balance(study, "orders", orders)


def _in_balance(study: Study, role: str, pattern: str, answers: str = "") -> Iterator[str]:
    """Require balanced orders of all features, answered in a way if one is given."""
    if problems := list(_transformers(study, role, pattern)):
        yield from problems
        return
    by_task: dict[int, list[list[int]]] = {}
    for name, condition in _members(study, pattern).items():
        network: Any = condition.network
        if network.answers == "heads":
            yield f"{role}: networks of {name} report features at once, in no order"
            return
        if answers and network.answers != answers:
            yield f"{role}: network.answers of {name} is {network.answers!r}; expected {answers!r}"
            return
        features = set(condition.stimuli.targets)
        if set(condition.training.targets or features) != features:
            yield f"{role}: training.targets of {name} must be all features that are reported"
            return
        order = network.numbers(len(features))
        by_task.setdefault(getattr(condition.stimuli, "task", 0), []).append(order)
    for task, found in by_task.items():
        n = len(found[0])
        places = np.array([[order.index(i) for i in range(n)] for order in found])
        often = np.stack([(places == place).sum(axis=0) for place in range(n)])
        if (often != often[0, 0]).any() or not often[0, 0]:
            yield (
                f"{role}: in task {task}, {len(found)} orders do not have every feature at every "
                "place equally often; vary network.order: balanced"
            )
            return


def _with_control(study: Study, orders: str, unfed: str) -> Iterator[str]:
    """Require balanced orders, with and without fed answers, and no other difference."""
    problems = list(_in_balance(study, "orders", orders, "fed"))
    problems += _in_balance(study, "unfed", unfed, "unfed")
    both = [*_members(study, orders).values(), *_members(study, unfed).values()]
    if not problems and (other := _difference(both, {"task", "order", "answers"})):
        problems = [f"orders and unfed must differ in network.answers only, not in {other}"]
    yield from problems


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
    requires=_with_control,
    units="tasks",
)
def stronger_where_fed(evidence: Evidence, orders: Sequence[str], unfed: Sequence[str]) -> Result:
    """Effect: C8's, with answers fed minus without, mean over tasks that both have.

    Networks of other tasks are counted, and are in no effect.
    """
    fed, n_fed = _slopes(evidence, orders)
    plain, n_plain = _slopes(evidence, unfed)
    both = [task for task in fed if task in plain]
    differences = np.array([plain[task] - fed[task] for task in both])
    return _over_tasks(differences, (n_fed[0] + n_plain[0], n_fed[1] + n_plain[1]))


def _residual(study: Study, past: str, less: str, **_: str) -> Iterator[str]:
    """Require encoders of the same tasks that differ in their residual path and nothing else."""
    roles = {"past": past, "less": less}
    if problems := [p for role, name in roles.items() for p in _transformers(study, role, name)]:
        yield from problems
        return
    found = [list(_members(study, pattern).values()) for pattern in roles.values()]
    tasks = [{getattr(c.stimuli, "task", 0) for c in members} for members in found]
    networks: list[Any] = [members[0].network for members in found]
    if networks[0].architecture != "encoder_decoder":
        yield f"network.architecture is {networks[0].architecture!r}; expected 'encoder_decoder'"
    elif tasks[0] != tasks[1]:
        yield "past and less must have the same tasks (stimuli.task)"
    elif other := _difference([*found[0], *found[1]], {"task", "order", "residual_scale"}):
        yield f"past and less must differ in network.residual_scale only, not in {other}"
    elif networks[0].residual_scale <= networks[1].residual_scale:
        yield (
            f"network.residual_scale must be larger in past ({networks[0].residual_scale}) than in "
            f"less ({networks[1].residual_scale})"
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
