"""``repbias plan``: what a recording needs to tell models apart, and which stimuli to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.plan_models import Models
from repbias.geometry.spec import CROSS_VALIDATED
from repbias.geometry.trials import normalises
from repbias.io.files import atomic
from repbias.recovery.candidates import Candidates
from repbias.recovery.choice import By, Choice, Pool, choose
from repbias.recovery.power import Planned, one_at_a_time, power, refuse_large
from repbias.recovery.spec import RecoveryMeasure
from repbias.recovery.words import TOLD_APART, percent
from repbias.report.figures.planning import draw_power

#: The fields of a plan.
FIELDS = [field.name for field in fields(Planned)]
#: What is planned where neither the command line nor a pilot says, and what is tried beside it.
USUAL: dict[str, list[Any]] = {
    "repeats": [4, 2, 8],
    "subjects": [4, 1, 8],
    "units": [50, 20, 100],
    "reliability": [0.3, 0.1, 0.5],
}
#: Fewest stimuli that are planned for.
MIN_STIMULI = 10
#: What the line about a recording without noise is called.
SILENT = "no noise"

#: Planned, and the models (all by default), to the table of :func:`repbias.recovery.power.power`.
Simulate = Callable[..., pd.DataFrame]


def run(
    config: Path,
    shown: str | None = None,
    models: Sequence[str] | None = None,
    pilot: str | None = None,
    measures: Sequence[RecoveryMeasure] = ("rsa",),
    simulations: int = 20,
    choose: int | None = None,
    by: By = "both",
    seed: int = 0,
    out: Path | None = None,
    **given: list[Any] | None,
) -> tuple[int, dict[str, Any]]:
    """Print how often the right model is named, write a table and a figure, and return the same."""
    for name, value, least in (("simulations", simulations, 1), ("seed", seed, 0)):
        if value < least:
            raise RepbiasError(f"--{name} {value}: expected at least {least}")
    _refuse_out_of_range(given)
    if by != "both" and choose is None:
        raise RepbiasError(f"--by {by}: says how stimuli are chosen; expected --choose as well")
    measures = list(dict.fromkeys(measures))
    known = Models.of(config, shown, models, pilot)
    plans = one_at_a_time(_values(known, given, choose))
    if len(known.candidates.models) < 2 and not (choose and by == "features"):
        raise RepbiasError(
            f"plan: one model ({known.candidates.models[0]}); expected at least two to tell apart"
            + (f"; left out: {_left_out(known)}" if known.left_out else "")
        )
    for _, planned in plans:
        _refuse_impossible(known, planned, measures, simulations)
    folder = _made(out or known.folder / "planning")
    simulate = partial(
        power,
        measures=measures,
        geometry=known.study.geometry,
        encoding=known.study.encoding,
        n_simulations=simulations,
        seed=seed,
        pilot=known.pilot,
    )
    print("\n".join(_introduction(config, known, measures, simulations)), flush=True)
    if choose is None:
        found = _compare_plans(known, plans, simulate, folder)
    else:
        found = _choose_stimuli(known, plans[0][1], simulate, by, seed, folder)
    return 0, {
        "config": config,
        "shown": known.shown,
        "n_stimuli": len(known.ids),
        "models": _networks(known.candidates),
        "left_out": known.left_out,
        "measures": measures,
        "simulations": simulations,
        "pilot": pilot,
        **found,
    }


def _values(
    known: Models, given: Mapping[str, list[Any] | None], chosen: int | None
) -> dict[str, list[Any]]:
    """Return the planned value of every field, and those to try beside it.

    Raises
    ------
    RepbiasError
        If there are too few stimuli, or two options contradict each other.
    """
    n = len(known.ids)
    if n < MIN_STIMULI:
        raise RepbiasError(f"plan: the models saw {n} stimuli; expected at least {MIN_STIMULI}")
    usual = USUAL | {"stimuli": [k for k in (n, n // 2, n // 4) if k >= MIN_STIMULI]}
    if known.pilot is not None:
        if given["reliability"]:
            raise RepbiasError("--reliability: it is that of --pilot; give one of the two")
        fewest = known.study.geometry.min_units
        sizes = [len(subject.units) for subject in known.pilot.subjects]
        least = min([k for k in sizes if k >= fewest] or sizes)
        usual |= {
            "reliability": [round(float(known.pilot.reliability.mean()), 3)],
            "units": [least, *(k for k in (least // 2, least // 4) if k >= fewest)],
        }
    values = {name: list(dict.fromkeys(given[name] or usual[name])) for name in FIELDS}
    if chosen is not None:
        if given["stimuli"]:
            raise RepbiasError("--stimuli: --choose says how many; give one of the two")
        values = {name: of_field[:1] for name, of_field in values.items()} | {"stimuli": [chosen]}
    option, most = ("--stimuli", n) if chosen is None else ("--choose", n - 1)
    for k in values["stimuli"]:
        if not MIN_STIMULI <= k <= most:
            raise RepbiasError(
                f"{option} {k}: expected from {MIN_STIMULI} to {most} of the {n} stimuli that the "
                "models saw"
            )
    return values


def _refuse_out_of_range(given: Mapping[str, list[Any] | None]) -> None:
    for name, of_field in given.items():
        for value in of_field or ():
            if name == "reliability" and not 0 < value <= 1:
                raise RepbiasError(f"--{name} {value}: expected more than 0, at most 1")
            if name != "reliability" and value < 1:
                raise RepbiasError(f"--{name} {value}: expected at least 1")


def _refuse_impossible(
    known: Models, planned: Planned, measures: Sequence[str], simulations: int
) -> None:
    """Refuse what cannot be simulated or scored, before anything is."""
    refuse_large(planned, simulations)
    if known.pilot is not None:
        most = max(len(subject.units) for subject in known.pilot.subjects)
        if planned.units > most:
            raise RepbiasError(
                f"--units {planned.units}: no subject of the pilot has more than {most}, so that "
                "the noise of so many together is not known"
            )
    by_distance = [measure for measure in measures if measure in ("rsa", "cka")]
    if not by_distance:
        return
    geometry = known.study.geometry
    of = f"{geometry.recording_distance} distances (geometry.recording_distance)"
    if "rsa" in by_distance and geometry.recording_distance.startswith("poisson"):
        raise RepbiasError(
            f"--measures rsa: {of} are of counts, which simulated brains have none of; expected "
            "another distance or measure"
        )
    if planned.units < geometry.min_units:
        raise RepbiasError(
            f"--units {planned.units}: {by_distance[0]} needs at least {geometry.min_units} "
            "(geometry.min_units)"
        )
    normalised = normalises(geometry.recording_distance, geometry.noise)
    if planned.repeats < 2 and (normalised or geometry.recording_distance in CROSS_VALIDATED):
        raise RepbiasError(f"--repeats {planned.repeats}: {of} need at least 2")
    if planned.reliability == 1 and normalised:
        raise RepbiasError(f"--reliability 1: {of} are in units of noise; expected less than 1")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RepbiasError(
            f"{folder}: no folder to write to ({error.strerror}); expected another --out"
        ) from error
    return folder


def _left_out(known: Models) -> str:
    return (
        f"{some(known.left_out, 8)} (other stimuli, no network that met the inclusion criterion, "
        "constant RDMs, or nothing but RDMs)"
    )


def _networks(candidates: Candidates) -> dict[str, int]:
    """Return models to the number of their networks."""
    return {m: len(at) for m, at in zip(candidates.models, candidates.at, strict=True)}


def _introduction(
    config: Path, known: Models, measures: Sequence[str], simulations: int
) -> list[str]:
    """Return what is planned for, and how."""
    geometry, candidates = known.study.geometry, known.candidates
    networks = _networks(candidates)
    lines = {
        "shown": f"{known.shown}, {len(known.ids)} stimuli",
        "models": some([f"{m} ({count(n, 'network')})" for m, n in networks.items()], 8),
        "scored by": f"{', '.join(measures)} (RDMs of recordings: {geometry.recording_distance}; "
        f"compared by {geometry.rdm_similarities[0]})",
        "simulated": f"{count(simulations, 'brain')} from each of "
        + count(sum(map(len, candidates.layers)), "layer"),
        "noise": "of the pilot" if known.pilot else "independent between units and trials",
    }
    if known.left_out:
        lines["left out"] = _left_out(known)
    width = max(map(len, lines))
    said = [f"{config}: planning", *(f"  {key:{width}}  {value}" for key, value in lines.items())]
    if alone := [m for m, n in networks.items() if n < 2]:
        said.append(
            f"  optimistic: brains of {some(alone, 8)} are scored by the very network that they "
            "are of"
        )
    return [*said, ""]


def _compare_plans(
    known: Models, plans: Sequence[tuple[str, Planned]], simulate: Simulate, folder: Path
) -> dict[str, Any]:
    """Simulate the plan, its alternatives, and no noise at all; one line for each."""
    tables: list[pd.DataFrame] = []
    tried: list[dict[str, Any]] = []
    # Distances in units of noise need some.
    silent = (SILENT, replace(plans[0][1], reliability=1 - 1e-9))
    for what, planned in [*plans, silent]:
        pilot = {"pilot": None} if what == SILENT else {}
        table = simulate(known.candidates, planned, known.groups, **pilot)
        if not tables:
            print(_header(table), flush=True)
        tables.append(table.assign(varied=what))
        right = {measure: _right(table, measure) for measure in dict.fromkeys(table["measure"])}
        print(_line(what, planned, right), flush=True)
        tried.append({"varied": what, **asdict(planned), "right": right})
    together = pd.concat(tables, ignore_index=True)
    sentences = [_told_apart(rows, m) for m, rows in together.groupby("measure", sort=False)]
    print("\n".join(["", *sentences]))
    _write(together, folder / "power.csv")
    with atomic(folder / "power.svg") as path:
        draw_power(together).savefig(path, metadata={"Date": None})
    print(f"\nWrote {folder}/power.csv and power.svg.")
    files = [folder / "power.csv", folder / "power.svg"]
    return {"tried": tried, "sentences": sentences, "files": files}


def _header(table: pd.DataFrame) -> str:
    models = table["true_condition"].nunique()
    brains = table[(table["true_layer"] == "") & (table["other_condition"] == "")]
    n = brains.drop_duplicates("true_condition")["n"]
    error = np.sqrt((0.25 / n).sum()) / models
    names = "".join(f"{name:>12}" for name in [*FIELDS, *dict.fromkeys(table["measure"])])
    return (
        f"How often the right one of {models} models is named (chance {percent(1 / models)}, "
        f"standard error up to {percent(error)})\n"
        f"{'':12}{names}"
    )


def _line(what: str, planned: Planned, right: Mapping[str, float]) -> str:
    values = [getattr(planned, name) if what in ("", name) else "." for name in FIELDS]
    cells = "".join(f"{cell:>12}" for cell in [*values, *map(percent, right.values())])
    return f"{ {'': 'as planned', SILENT: SILENT}.get(what, ''):12}{cells}"


def _right(table: pd.DataFrame, measure: str) -> float:
    """Return how often the right one of all models is named, mean over true models."""
    rows = table[(table["measure"] == measure) & (table["true_layer"] == "")]
    return float(rows.loc[rows["other_condition"] == "", "right"].mean())


def _pairs(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return how often the right one of every two models is preferred."""
    rows = table[(table["true_layer"] == "") & (table["other_condition"] != "")]
    right = rows.set_index(["true_condition", "other_condition"])["right"]
    models = list(dict.fromkeys(rows["true_condition"]))
    return {(a, b): float(right[[(a, b), (b, a)]].mean()) for a, b in combinations(models, 2)}


def _told_apart(table: pd.DataFrame, measure: str) -> str:
    """Say which two models are hardest to tell apart, and what would help."""
    pairs = _pairs(table[table["varied"] == ""])
    (a, b), right = min(pairs.items(), key=lambda pair: pair[1])
    said = (
        f"{measure}: as planned, {a} and {b} are hardest to tell apart: the right one of the two "
        f"is preferred in {percent(right)} of simulated brains ({_each(table, a, b)})."
    )
    planned = table[table["varied"] == ""].iloc[0]
    others = table[~table["varied"].isin(["", SILENT])].groupby(["varied", *FIELDS], sort=False)
    enough = [rows.iloc[0] for _, rows in others if min(_pairs(rows).values()) >= TOLD_APART]
    less = [row for row in enough if row[row["varied"]] < planned[row["varied"]]]
    more = [row for row in enough if row[row["varied"]] > planned[row["varied"]]]
    wanted = f"{percent(TOLD_APART)} for every two models"
    if right >= TOLD_APART:
        return f"{said} {wanted} is reached" + (f", also with {_listed(less)}." if less else ".")
    silent = _pairs(table[table["varied"] == SILENT])[a, b]
    if silent < TOLD_APART:
        said += f" Without noise it is {percent(silent)}: more repeats alone will not do."
        more = [row for row in more if row["varied"] not in ("repeats", "reliability")]
    said += f" {wanted} is reached with {_listed(more) or 'nothing that was tried'}."
    if silent < TOLD_APART and not more:
        said += " Other stimuli (--choose), another measure or another distance may do."
    return said


def _each(table: pd.DataFrame, a: str, b: str) -> str:
    """Say of two models how often each is preferred if it is the right one, as planned."""
    rows = table[(table["varied"] == "") & (table["true_layer"] == "")]
    rows = rows.set_index(["true_condition", "other_condition"]).loc[[(a, b), (b, a)]]
    shares = zip((a, b), rows["right"], rows["n"], strict=True)
    return ", ".join(f"{model} {percent(right)} of {n}" for model, right, n in shares)


def _listed(rows: Sequence[pd.Series]) -> str:
    """List alternatives: 46 stimuli, or 8 repeats, or reliability 0.5."""
    return ", or ".join(
        f"reliability {row['reliability']}"
        if row["varied"] == "reliability"
        else f"{row[row['varied']]} {row['varied']}"
        if row["varied"] == "stimuli"
        else count(row[row["varied"]], row["varied"][:-1])
        for row in rows
    )


def _choose_stimuli(
    known: Models, planned: Planned, simulate: Simulate, by: By, seed: int, folder: Path
) -> dict[str, Any]:
    """Choose stimuli; compare them with random ones, by networks that were not looked at."""
    features = known.regressors() if by != "models" else {}
    models = known.candidates if by != "features" else None
    pool = Pool.of(models, features, known.study.geometry)
    choice = choose(pool, planned.stimuli, seed)
    others = replace(
        known.candidates, at=tuple(at[2:] if len(at) > 3 else at for at in known.candidates.at)
    )
    powers = {}
    if len(others.models) > 1:
        part = others.of_stimuli(choice.rows)
        powers["chosen"] = simulate(part, planned, known.groups.subset(choice.rows))
        powers["random"] = simulate(others, planned, known.groups)
    quality, right = _quality(choice), _right_of(powers)
    print(_comparison(quality, right, planned.stimuli, len(known.ids)))
    print(
        "These stimuli are no random sample: intervals and tests that generalise to other stimuli "
        "are about sets chosen like this one."
    )
    chosen = np.isin(np.arange(len(known.ids)), choice.rows)
    _write(pd.DataFrame({"stimulus_id": known.ids, "chosen": chosen}), folder / "stimuli.csv")
    if powers:
        tables = [table.assign(stimuli_are=which) for which, table in powers.items()]
        _write(pd.concat(tables, ignore_index=True), folder / "chosen_power.csv")
    print(f"\nWrote {folder}/stimuli.csv{' and chosen_power.csv' if powers else ''}.")
    files = ["stimuli.csv", *(["chosen_power.csv"] if powers else [])]
    return {
        "chosen": known.ids[choice.rows],
        "quality": quality,
        "right": right,
        "files": [folder / name for name in files],
    }


def _quality(choice: Choice) -> dict[str, dict[str, Any]]:
    """Return how good the chosen stimuli are, and random ones, as far as it is defined."""
    found = {}
    for i, name in enumerate(
        ("similarity, right minus wrong model", "shared variance of features")
    ):
        random = np.quantile([quality[i] for quality in choice.random], [0.05, 0.95])
        if np.isfinite(choice.quality[i]):
            found[name] = {"chosen": choice.quality[i], "random": random}
    return found


def _right_of(powers: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Return for every measure how often the right model is named with these stimuli."""
    measures = dict.fromkeys(powers["chosen"]["measure"] if powers else ())
    return {m: {which: _right(table, m) for which, table in powers.items()} for m in measures}


def _comparison(
    quality: Mapping[str, Mapping[str, Any]],
    right: Mapping[str, Mapping[str, float]],
    n: int,
    n_pool: int,
) -> str:
    lines = [f"{n} of {n_pool} stimuli", f"{'':38}{'chosen':>10}{'random, 5 to 95 %':>22}"]
    for name, of in quality.items():
        low, high = of["random"]
        lines.append(f"{name:38}{of['chosen']:>z10.3f}{f'{low:z.3f} to {high:z.3f}':>22}")
    for measure, share in right.items():
        name = f"right model named, {measure}"
        lines.append(f"{name:38}{percent(share['chosen']):>10}{percent(share['random']):>22}")
    return "\n".join(lines)


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g")
