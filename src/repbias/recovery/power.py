"""Before there are data: how often a planned recording would tell models apart."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recovery.candidates import Candidates
from repbias.recovery.models import interval, merits_of, named, simulate_brains
from repbias.recovery.scoring import Scorer
from repbias.recovery.spec import RecoveryMeasure
from repbias.recovery.twins import SubjectNoise, Twins

logger = logging.getLogger(__name__)

#: Brains of a layer that see the same random draw of stimuli and subjects. Few, as these are alike,
#: so that exact intervals, which take them for independent, are too narrow.
BRAINS_PER_DRAW = 4
#: Responses that are simulated at once; more would take gigabytes.
MOST_RESPONSES = 10**8


@dataclass(frozen=True)
class Planned:
    """What a recording would have.

    Attributes
    ----------
    stimuli : number of stimuli
    repeats : trials of every stimulus
    subjects : number of subjects
    units : units of every subject
    reliability : share of signal in the variance of single trials over stimuli; with a pilot,
        its mean
    """

    stimuli: int
    repeats: int
    subjects: int
    units: int
    reliability: float


def one_at_a_time(values: Mapping[str, Sequence[Any]]) -> list[tuple[str, Planned]]:
    """Return the plan and its alternatives, each with the name of what is different.

    Parameters
    ----------
    values
        Field of :class:`Planned` to its values: the planned one, and others to try.

    Examples
    --------
    >>> values = {"stimuli": [92, 46], "repeats": [4], "subjects": [4, 8], "units": [50]}
    >>> plans = one_at_a_time(values | {"reliability": [0.3]})
    >>> [(what, plan.stimuli, plan.subjects) for what, plan in plans]
    [('', 92, 4), ('stimuli', 46, 4), ('subjects', 92, 8)]
    """
    plan = Planned(**{name: of_field[0] for name, of_field in values.items()})
    return [("", plan)] + [
        (name, replace(plan, **{name: value}))
        for name, of_field in values.items()
        for value in of_field[1:]
    ]


def refuse_large(planned: Planned, n_simulations: int) -> None:
    """Refuse a recording of which the brains of a layer in a draw do not fit in memory.

    Raises
    ------
    RepbiasError
        With the numbers.
    """
    at_once = min(n_simulations, BRAINS_PER_DRAW)
    of_brain = planned.stimuli * planned.repeats * planned.subjects * planned.units
    if at_once * of_brain > MOST_RESPONSES:
        raise RepbiasError(
            f"plan: {planned.stimuli} stimuli x {planned.repeats} repeats x {planned.subjects} "
            f"subjects x {planned.units} units, {at_once} at a time, are "
            f"{at_once * of_brain:.2g} responses; expected at most {MOST_RESPONSES:.0e}"
        )


def planned_twins(
    planned: Planned, ids: np.ndarray, rng: np.random.Generator, pilot: Twins | None = None
) -> Twins:
    """Return what brains of a planned recording are simulated by.

    Parameters
    ----------
    planned
        The recording.
    ids
        (stimulus,).
    rng
        Of the pilot's subjects and units that are drawn.
    pilot
        Recording whose units' signal and noise the planned one has; each subject is one of its
        subjects that have as many units, which are drawn without replacement. Without
        one all units have the planned reliability, and independent noise.

    Raises
    ------
    RepbiasError
        If no subject of the pilot has as many units.
    """
    n, units = len(ids), planned.units
    draws = [_subject(planned, rng, pilot) for _ in range(planned.subjects)]
    subjects = tuple(
        replace(noise, units=np.arange(i * units, (i + 1) * units)) for i, noise in enumerate(draws)
    )
    names = np.array([f"subject{i + 1}" for i in range(planned.subjects)])
    recording = Recording(
        stimuli={"stimulus_id": ids},
        responses=np.zeros((n * planned.repeats, planned.subjects * units)),
        trials={
            "stimulus_id": np.repeat(ids, planned.repeats),
            "repeat": np.tile(np.arange(planned.repeats), n),
        },
        units={
            "unit": np.tile(np.arange(units).astype(str), planned.subjects),
            "subject": np.repeat(names, units),
            "region": np.full(planned.subjects * units, ""),
        },
    )
    return Twins(recording, np.repeat(np.arange(n), planned.repeats), subjects)


def _subject(planned: Planned, rng: np.random.Generator, pilot: Twins | None) -> SubjectNoise:
    """Return the signal and noise of a subject's units."""
    n = planned.units
    if pilot is None:
        signal = np.full(n, np.sqrt(planned.reliability))
        noise = np.full(n, np.sqrt(1 - planned.reliability))
        return SubjectNoise(np.arange(n), signal, noise, np.zeros((0, n)), 1.0)
    large = [subject for subject in pilot.subjects if len(subject.units) >= n]
    if not large:
        raise RepbiasError(f"plan: no subject of the pilot has {n} units")
    subject = large[rng.integers(len(large))]
    chosen = rng.choice(len(subject.units), n, replace=False)
    return SubjectNoise(
        chosen,
        subject.signal_sd[chosen],
        subject.noise_sd[chosen],
        subject.root[:, chosen],
        subject.weight,
    )


def power(
    candidates: Candidates,
    planned: Planned,
    groups: StimulusGroups,
    measures: Sequence[RecoveryMeasure],
    geometry: Geometry,
    encoding: Encoding,
    n_simulations: int,
    seed: int = 0,
    pilot: Twins | None = None,
) -> pd.DataFrame:
    """Simulate brains of a planned recording, and count how often the right model is preferred.

    Parameters
    ----------
    candidates
        The models, with all stimuli that could be shown.
    planned
        The recording. With fewer stimuli than there are, every draw takes others at random.
    groups
        Of all stimuli.
    measures, geometry, encoding
        What models are scored by, and its settings.
    n_simulations
        Brains from every layer of every model; every four see other stimuli and subjects.
    seed, pilot
        See :func:`planned_twins`.

    Returns
    -------
    pandas.DataFrame
        A row for every measure, true model, layer of it ("" is all), and wrong model ("" is all of
        them at once), with the share of brains in which the right one is preferred, `right`, and
        its exact 95 % interval.
    """
    refuse_large(planned, n_simulations)
    n_pool = len(groups)
    rng = np.random.default_rng(seed)
    scorer: Scorer | None = None
    found: dict[str, list[np.ndarray]] = {measure: [] for measure in measures}
    true: list[np.ndarray] = []
    n_draws = -(-n_simulations // BRAINS_PER_DRAW)
    for n in (len(part) for part in np.array_split(np.arange(n_simulations), n_draws)):
        rows = np.sort(rng.permutation(n_pool)[: planned.stimuli])
        if scorer is None or len(rows) < n_pool:
            of_rows = candidates if len(rows) == n_pool else candidates.of_stimuli(rows)
            part = groups.subset(rows)
            if len(part.sizes) < 2:
                raise RepbiasError(
                    f"plan: {len(rows)} stimuli of one {groups.name}, of which none can be "
                    "predicted from others; expected more stimuli, or smaller groups"
                )
            scorer = Scorer(of_rows, part, measures, geometry, encoding)
        # A draw has a few brains; those of another are of, and scored by, other networks.
        order = tuple(rng.permutation(at) for at in candidates.at)
        scorer.candidates = replace(scorer.candidates, at=order)
        twins = planned_twins(planned, rows.astype(str), rng, pilot)
        simulated = simulate_brains(twins, scorer, n, int(rng.integers(2**32)))
        true.append(np.stack([simulated.model, simulated.layer]))
        for measure in measures:
            found[measure].append(merits_of(simulated, measure).models)
    model, layer = np.hstack(true)
    about = asdict(planned)
    return pd.DataFrame(
        {"measure": measure, **about, **row}
        for measure in measures
        for row in _counted(np.vstack(found[measure]), model, layer, candidates)
    )


def _counted(
    merits: np.ndarray, model: np.ndarray, layer: np.ndarray, candidates: Candidates
) -> Iterator[dict[str, Any]]:
    """Yield how often the right model is preferred to each other, and to all of them."""
    names = candidates.models
    for t, name in enumerate(names):
        # A model of one network is scored by the network that its brains are of.
        about = {"true_condition": name, "optimistic": len(candidates.at[t]) < 2}
        for at, of_layer in enumerate(("", *candidates.layers[t])):
            rows = (model == t) & ((layer == at - 1) | (at == 0))
            for o, other in enumerate(("", *names)):
                if o != t + 1:
                    compared = merits[rows] if o == 0 else merits[rows][:, [t, o - 1]]
                    right = named(compared)[:, t if o == 0 else 0].mean()
                    low, high = interval(right, int(rows.sum()))
                    yield about | {
                        "true_layer": of_layer,
                        "other_condition": other,
                        "right": right,
                        "ci_low": float(low),
                        "ci_high": float(high),
                        "n": int(rows.sum()),
                    }
