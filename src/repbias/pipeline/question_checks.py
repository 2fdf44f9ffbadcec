"""What is wrong with a study's questions, as far as it can be known before the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from repbias.base.spec import nearest
from repbias.claims.catalogue import CLAIMS
from repbias.claims.questions import SNAPSHOTS, sides_of
from repbias.config.analyses import ANALYSES
from repbias.config.questions import Question, Rows
from repbias.config.study import Study, axis_of
from repbias.pipeline.plan import Plan
from repbias.tables import TABLES


def question_problems(study: Study) -> Iterator[str]:
    """Go through what is wrong with the questions of a study that is consistent otherwise."""
    if not study.questions:
        return
    plan, known = Plan(study), _known_values(study)
    for name, question in study.questions.items():
        where = f"questions.{name}"
        if name in CLAIMS:
            yield f"{where}: a claim has the same name; rename the question"
        problem = _table_problem(question, plan)
        if problem:
            yield f"{where}.table: {problem}"
            continue
        yield from (f"{where}.{problem}" for problem in _column_problems(question))
        for part in ("where", "this", "minus"):
            rows: Rows = getattr(question, part)
            yield from (
                f"{where}.{part}.{p}" for p in _filter_problems(question.table, rows, known)
            )
        yield from (f"{where}: {problem}" for problem in _experiment_problems(question, study))
        if question.trend is not None:
            yield from (f"{where}.trend: {p}" for p in _trend_problems(question, study))


def _table_problem(question: Question, plan: Plan) -> str | None:
    if question.table not in TABLES:
        return f"no table {question.table!r}; {nearest(question.table, plan.evidence())}"
    if question.table not in plan.evidence():
        filled = ", ".join(plan.evidence())
        return f"this study makes no table {question.table!r}; it makes {filled}"
    if sides_of(TABLES[question.table].columns, question.units) is None:
        return f"rows of {question.table!r} do not say which {question.units} they are of"
    return None


def _column_problems(question: Question) -> Iterator[str]:
    row = TABLES[question.table]
    numbers = [c for c, kind in row.types.items() if kind in (int, float)]
    if question.column not in row.types:
        yield f"column: {question.table} has no column {question.column!r}; " + nearest(
            question.column, numbers
        )
    elif question.column not in numbers:
        kind = row.types[question.column].__name__
        yield f"column: {question.column!r} holds {kind}; expected one of {', '.join(numbers)}"


def _filter_problems(table: str, rows: Rows, known: dict[str, set[str]]) -> Iterator[str]:
    """Go through filters on columns that do not exist, or that no row can pass."""
    types = TABLES[table].types
    for column, wanted in rows.items():
        if column not in types:
            yield f"{column}: {table} has no such column; {nearest(column, types)}"
            continue
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values:
            yield f"{column}: no value"
        options = known.get(column.removesuffix("_a").removesuffix("_b"))
        for value in values:
            kind = types[column]
            fits = isinstance(value, int | float if kind is float else kind)
            if not fits or (isinstance(value, bool) and kind is not bool):
                yield f"{column}: found {value!r}; {table}.{column} holds {kind.__name__}"
            elif options is not None and value not in options:
                yield f"{column}: no row can have {value!r}; {nearest(str(value), options)}"


def _known_values(study: Study) -> dict[str, set[str]]:
    """Return what columns can hold, where the study says."""
    features: set[str] = set()
    layers: set[str] = set()
    for *_, condition in study.conditions():
        stimuli = condition.stimuli
        features |= set(stimuli.targets) | set(stimuli.classes)
        for feature in stimuli.classes:
            features |= {f"{feature}.{name}" for name in stimuli.components(feature)}
        layers |= set(condition.network.layers)
    for network in study.networks:
        layers |= set(study.layers_of(network))
    metrics: set[str] = set(study.similarity.metrics)
    if study.identification is not None:
        metrics |= {*study.identification.metrics, "rsa_residualised", "cka_equalised"}
    groups = study.groups()
    known: dict[str, set[str]] = {
        "experiment": set(groups),
        "condition": {name for names in groups.values() for name in names},
        "layer": layers | {"all layers"},
        "snapshot": {"initial", "grid", "crossing", *SNAPSHOTS},
        "recording": set(study.recordings),
        "probe": {"linear", "nonlinear"},
        "metric": metrics,
        "rdm_similarity": set(study.geometry.rdm_similarities),
    }
    if study.experiments:
        known |= {"feature": features | {""}, "output": features}
    return known


def _experiment_problems(question: Question, study: Study) -> Iterator[str]:
    """Go through sides whose experiment does not have the condition, or the analysis."""
    groups = study.groups()
    for part in (question.this, question.minus) if question.trend is None else ({},):
        rows = question.where | part
        experiments = _listed(rows.get("experiment", list(groups)))
        names = [c for c in ("condition", "condition_a", "condition_b") if c in rows]
        for column in names:
            conditions = {c for e in experiments for c in groups.get(e, [])}
            for condition in _listed(rows[column]):
                if condition not in conditions and set(experiments) <= set(groups):
                    yield f"{' and '.join(experiments)} has no condition {condition!r}"
        if question.table in ANALYSES and "experiment" in rows:
            for experiment in set(experiments) & set(study.experiments):
                if question.table not in study.experiments[experiment].analyses:
                    yield f"needs {question.table!r} in experiments.{experiment}.analyses"


def _listed(value: object) -> list[str]:
    values: Iterable[object] = value if isinstance(value, list) else [value]
    return [str(v) for v in values]


def _trend_problems(question: Question, study: Study) -> Iterator[str]:
    types = TABLES[question.table].types
    axis = question.trend or ""
    if axis in types:
        if types[axis] not in (int, float):
            numbers = ", ".join(c for c, kind in types.items() if kind in (int, float))
            yield f"{axis!r} holds {types[axis].__name__}; expected a numeric column: {numbers}"
        elif axis == question.column:
            yield f"{axis!r} is what is compared; expected another column, or a setting"
        return
    varied = sorted({path for e in study.experiments.values() for path in e.vary})
    if "." not in axis or "condition" not in types:
        yield f"{question.table} has no column {axis!r}; " + nearest(axis, [*types, *varied])
        return
    experiments = _listed(question.where.get("experiment", list(study.experiments)))
    conditions = _listed(question.where.get("condition", list(_known_values(study)["condition"])))
    values = {
        value
        for name, value in axis_of(axis, study).items()
        if name.split("/", 1)[0] in experiments and name.split("/", 1)[1] in conditions
    }
    if len(values) < 2:
        found = ", ".join(map(str, sorted(values))) or "no number"
        yield (
            f"{axis!r} must have two numeric values or more in the conditions that are compared, "
            f"found {found}; {nearest(axis, varied)}"
        )
