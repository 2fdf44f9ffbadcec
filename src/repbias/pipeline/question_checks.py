"""What is wrong with a study's questions, as far as it can be known before the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from repbias.base.spec import nearest
from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import ENOUGH_NETWORKS, MIN_NETWORKS, conditions_matching
from repbias.claims.questions import (
    SNAPSHOTS,
    Settings,
    accepts,
    conditions_of,
    is_number,
    sides_of,
)
from repbias.config.analyses import ANALYSES
from repbias.config.questions import Question, Rows, Wanted
from repbias.config.study import Study, settings_of
from repbias.pipeline.plan import Plan
from repbias.tables import TABLES

#: Of more values, a warning names the first.
MOST_NAMED = 6
#: Columns that say what a number is of; where a question does not fix them, numbers are averaged.
OF_WHAT = {
    *("feature", "feature_a", "feature_b", "output", "probe", "part", "strength", "n_components"),
    *("metric", "reliability_level", "measure", "system", "recording", "region", "model", "target"),
    *("time_s", "layer", "layer_a", "layer_b"),
}


def question_problems(study: Study) -> Iterator[str]:
    """Go through what is wrong with the questions of a study that is consistent otherwise."""
    if not study.questions:
        return
    plan, known, settings = Plan(study), _known_values(study), settings_of(study)
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
            wrong = _filter_problems(question.table, rows, known, settings)
            yield from (f"{where}.{part}.{problem}" for problem in wrong)
        problems = dict.fromkeys(_experiment_problems(question, study, settings))
        yield from (f"{where}: {problem}" for problem in problems)
        if question.trend is not None:
            yield from (f"{where}.trend: {p}" for p in _trend_problems(question, study, settings))


def question_warnings(study: Study) -> Iterator[str]:
    """Go through questions that too few seeds can decide, or that average over what they are of."""
    known, settings = _known_values(study), settings_of(study)
    for name, question in study.questions.items():
        if question.units == "networks":
            yield from (f"questions.{name}: {said}" for said in _few(question, study, settings))
        fixed = {*question.where, question.trend, *(question.this.keys() & question.minus.keys())}
        for column in TABLES[question.table].columns:
            of = column.removesuffix("_a").removesuffix("_b")
            options = sorted(known.get(of, set()) - {"", "all layers"})
            by_default = column.startswith("layer") and "layer" not in question.named()
            if column in OF_WHAT - fixed and len(options) != 1 and not by_default:
                several = ", ".join(options[:MOST_NAMED]) + ", ..." * (len(options) > MOST_NAMED)
                which = f" ({several})" if options else ""
                yield (
                    f"questions.{name}: averages over all values of {column}{which} that "
                    f"{question.table} has; name it in `where` to choose"
                )


def _few(question: Question, study: Study, settings: Settings) -> Iterator[str]:
    """Say if there are too few seeds for a verdict, or just enough."""
    seeds = {f"{e}/{name}": condition.seeds for e, name, condition in study.conditions()}
    counts: dict[str, int] = {}
    for side in question.sides():
        most: dict[str, int] = {}  # by experiment
        for condition in conditions_of(question.where | side, settings):
            experiment = condition.partition("/")[0]
            if question.table not in ANALYSES or (
                question.table in study.experiments[experiment].analyses
            ):
                most[experiment] = max(most.get(experiment, 0), seeds[condition])
        for experiment, n in most.items():
            counts[experiment] = min(counts.get(experiment, n), n)
    experiment = min(counts, key=lambda name: counts[name], default="")
    if not experiment or counts[experiment] > MIN_NETWORKS:
        return
    said = f"{experiment} has {counts[experiment]} seeds, where a verdict needs {MIN_NETWORKS} and "
    said += f"reviewers ask for {ENOUGH_NETWORKS}"
    if counts[experiment] == MIN_NETWORKS:
        levels = "." in (question.trend or "")  # of which a seed needs two
        lost = "seed without included networks" if levels else "network that is not included"
        said += f": one {lost} leaves it undecided"
    yield said


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


def _filter_problems(
    table: str, rows: Rows, known: dict[str, set[str]], settings: Settings
) -> Iterator[str]:
    """Go through filters on columns that do not exist, or that no row can pass."""
    types = TABLES[table].types
    paths = {path for about in settings.values() for path in about}
    for column, wanted in rows.items():
        if column in paths and column not in types:
            yield from _setting_problems(table, column, wanted, settings)
            continue
        if column not in types:
            options = [*types, *paths] if "." in column else types
            yield f"{column}: {table} has no such column; {nearest(column, options)}"
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
            elif options is not None and not any(accepts(column, v, value) for v in options):
                if column.startswith("condition") and set("*?[") & set(str(value)):
                    options = {f"*{part}*" for name in options for part in name.split(",")}
                yield f"{column}: no row can have {value!r}; {nearest(str(value), options)}"


def _setting_problems(table: str, path: str, wanted: Wanted, settings: Settings) -> Iterator[str]:
    """Go through values of a setting that no condition has."""
    if "condition" not in TABLES[table].types:
        yield (
            f"{path}: rows of {table} are of pairs, or of no condition; filter by the columns "
            f"{', '.join(TABLES[table].columns)}"
        )
        return
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values:
        yield f"{path}: no value"
    found = dict.fromkeys(about[path] for about in settings.values() if path in about)
    for value in values:
        if not any(accepts(path, there, value) for there in found):
            yield f"{path}: no condition has {value!r}; {nearest(str(value), map(str, found))}"


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


def _experiment_problems(question: Question, study: Study, settings: Settings) -> Iterator[str]:
    """Go through sides whose experiment does not have the condition, or the analysis."""
    groups = study.groups()
    for part in question.sides():
        rows = question.where | part
        experiments = _listed(rows.get("experiment", list(groups)))
        if not set(experiments) <= set(groups):
            continue  # told elsewhere
        for column in (c for c in ("condition", "condition_a", "condition_b") if c in rows):
            conditions = {c for e in experiments for c in groups[e]}
            for condition in _listed(rows[column]):
                if not conditions_matching(condition, conditions):
                    have = "have" if len(experiments) > 1 else "has"
                    yield f"{' and '.join(experiments)} {have} no condition {condition!r}"
        paths = {c for c in rows if any(c in about for about in settings.values())}
        if paths and not conditions_of(rows, settings):
            asked = ", ".join(f"{c} {rows[c]}" for c in rows if c in paths or c == "condition")
            yield f"no condition of {' and '.join(experiments)} has all of {asked}"
        if question.table in ANALYSES and "experiment" in rows:
            for experiment in set(experiments) & set(study.experiments):
                if question.table not in study.experiments[experiment].analyses:
                    yield f"needs {question.table!r} in experiments.{experiment}.analyses"


def _listed(value: object) -> list[str]:
    values: Iterable[object] = value if isinstance(value, list) else [value]
    return [str(v) for v in values]


def _trend_problems(question: Question, study: Study, settings: Settings) -> Iterator[str]:
    types = TABLES[question.table].types
    axis = question.trend or ""
    sides = [conditions_of(question.where | side, settings) for side in question.sides()]
    if len(sides) == 2:
        of = [{name.partition("/")[0] for name in side} for side in sides]
        if all(of) and not of[0] & of[1]:
            yield (
                f"`this` is of {' and '.join(sorted(of[0]))} and `minus` of "
                f"{' and '.join(sorted(of[1]))}, but the trend of a difference is that within "
                "networks of one seed in one experiment; ask for two trends, or vary in one "
                "experiment what differs"
            )
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
    levels = [
        {settings[name][axis] for name in side if is_number(settings[name].get(axis))}
        for side in sides
    ]
    values = set.intersection(*levels)
    if len(values) < 2:
        found = ", ".join(map(str, sorted(values))) or "no number"
        both = ", on both sides" if len(sides) == 2 else ""
        yield (
            f"{axis!r} must have two numeric values or more in the conditions that are compared"
            f"{both}, found {found}; {nearest(axis, varied)}"
        )
