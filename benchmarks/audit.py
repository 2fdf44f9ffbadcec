"""Whether shares of a score are right: bias, coverage and gate in simulated worlds.

In every world the patterns of a model and of a brain are X = F A + U and Y = F B + V, so that the
shares that are to be found are known. Recordings are made and audited as a study does it. The table
is written to docs/audit-simulations.md.

Run with ``OMP_NUM_THREADS=1 python benchmarks/audit.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from repbias.auditing.design import Design
from repbias.auditing.features import regressors
from repbias.auditing.gates import LEVEL, least_t, permutation_p
from repbias.auditing.kernels import SubjectKernel, subject_kernels
from repbias.auditing.scores import Brain, Side, divide, movable
from repbias.auditing.shares import centred, kernel_of
from repbias.auditing.spec import Audit, AuditedFeature
from repbias.auditing.tables import audit_recording
from repbias.auditing.warnings import of_division, of_recording
from repbias.base.groups import StimulusGroups
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa.rdms import make_rdms

PAGE = Path(__file__).parents[1] / "docs" / "audit-simulations.md"


class World(NamedTuple):
    """How a model and a recording are simulated.

    Attributes
    ----------
    name : what is special
    brain_features : features that the brain has; the model has all
    shared : covariance of what features leave unexplained, relative to its variance
    correlated : correlation of the features size and tone
    superset : whether the categories' superset is audited as well
    repeats : smallest and largest number of repeats of a stimulus
    from_means : whether the kernel of mean patterns is divided
    spread : standard deviation of the unexplained part in the last category, relative to others
    heavy : whether a stimulus' unexplained parts have a common, heavy-tailed magnitude
    drift : correlation of a trial's noise with the next one's; the size follows the order
    clusters : size of clusters of stimuli that share their unexplained part; 0 for none
    known : whether the clusters are a feature
    units : of a subject
    more : regressors that explain nothing
    unequal : ratio of the noise of the noisiest and the quietest subject
    warned : whether a warning is to be raised
    """

    name: str
    brain_features: tuple[str, ...] = ("category", "size", "tone")
    shared: float = 0.5
    correlated: float = 0.0
    superset: bool = False
    repeats: tuple[int, int] = (4, 4)
    from_means: bool = False
    spread: float = 1.0
    heavy: bool = False
    drift: float = 0.0
    clusters: int = 0
    known: bool = False
    units: int = 40
    more: int = 0
    unequal: float = 1.0
    warned: bool = False


WORLDS = [
    World("features and more in common"),
    World("brain lacks two of the model's features", ("category",)),
    World("nothing known explains the brain", (), 0.9),
    World("nothing in common", (), 0.0),
    World("a weak relation", ("tone",), 0.25),
    World("features correlated .95", correlated=0.95),
    World("categories and their superset", superset=True),
    World("2 to 12 repeats", repeats=(2, 12)),
    World("2 to 12 repeats, from means", repeats=(2, 12), from_means=True),
    World("two repeats", repeats=(2, 2)),
    World("one repeat", repeats=(1, 1), warned=True),
    World("unexplained spread differs by category", spread=3.0, warned=True),
    World("heavy tails in common", heavy=True, warned=True),
    World("serial noise and a drifting feature", drift=0.9, warned=True),
    World("the same, from means", drift=0.9, from_means=True, warned=True),
    World("clusters of four", clusters=4, warned=True),
    World("clusters of four, a feature", clusters=4, known=True),
    World("10 units", units=10),
    World("unequal subjects (1 : 4)", unequal=4.0),
    World("as many regressors as half of the stimuli", more=-1, warned=True),
]


@dataclass
class Patterns:
    """Patterns of one side: what features explain, and the covariances of the rest.

    Attributes
    ----------
    explained : (stimulus, unit)
    values : (stimulus, unit), all of the patterns, without noise
    covariance : (unit, unit) of what is not explained
    """

    explained: np.ndarray
    values: np.ndarray
    covariance: np.ndarray

    def mixed(self, weights: np.ndarray) -> Patterns:
        """Return mixtures of the units."""
        return Patterns(
            self.explained @ weights, self.values @ weights, weights.T @ self.covariance @ weights
        )


@dataclass
class Simulated:
    """A simulated data set: features, both sides, and a recording of the brain."""

    regressors: dict[str, np.ndarray]
    groups: StimulusGroups
    model: Patterns
    brain: Patterns
    common: np.ndarray
    weights: np.ndarray
    recording: Recording


def clusters_of(world: World, n: int) -> np.ndarray:
    """Return the cluster of every stimulus; the last one has the remainder too."""
    return np.minimum(np.arange(n) // world.clusters, n // world.clusters - 1)


def known_of(world: World, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the features of the stimuli."""
    columns: dict[str, np.ndarray] = {"category": np.array(list("abcd"))[np.arange(n) % 4]}
    size, other = rng.standard_normal((2, n))
    if world.drift:
        size = np.sort(size)
    columns["size"] = size
    columns["tone"] = world.correlated * size + np.sqrt(1 - world.correlated**2) * other
    if world.superset:
        columns["superset"] = np.where(np.isin(columns["category"], ["a", "b"]), "ab", "cd")
    if world.known:
        columns["cluster"] = clusters_of(world, n).astype(str)
    coded = regressors({name: AuditedFeature() for name in columns}, columns)
    if world.more:
        coded["irrelevant"] = rng.standard_normal((n, n // 2 - 5))
    return coded


def simulate(world: World, n: int, subjects: int, rng: np.random.Generator) -> Simulated:
    """Simulate stimuli, a model and a recording of them."""
    known = known_of(world, n, rng)
    p, n_latent = 30, 10
    scale = {"category": 1.6, "size": 0.8, "tone": 0.5}
    x, y = np.zeros((2, n, p))
    for name, size in scale.items():
        regressor = known[name] - known[name].mean(axis=0)
        to_x, to_y = rng.standard_normal((2, regressor.shape[1], p))
        x += size * regressor @ to_x
        y += size * regressor @ to_y * (name in world.brain_features)
    magnitude = np.ones(n)
    if world.spread != 1:
        magnitude[3::4] = world.spread
    if world.heavy:
        magnitude = np.sqrt(1.5 / rng.gamma(1.5, 1, n))
    latent, own = rng.standard_normal((n, n_latent)), rng.standard_normal((2, n, p))
    groups, of_stimulus = StimulusGroups.alone(n), 1.0
    to_both = np.sqrt(world.shared / n_latent) * rng.standard_normal((2, n_latent, p))
    if world.clusters:
        codes = clusters_of(world, n)
        groups = StimulusGroups.of(codes, "cluster")
        alike = rng.standard_normal((n, n_latent))[codes]
        alike_own = rng.standard_normal((2, n, p))[:, codes]
        clustered = [alike @ to_both[i] + np.sqrt(1 - world.shared) * alike_own[i] for i in (0, 1)]
        x, y = x + 0.8 * clustered[0], y + 0.8 * clustered[1]
        of_stimulus = 0.6
    magnitude *= of_stimulus
    u, v = (
        magnitude[:, None] * (latent @ to_both[i] + np.sqrt(1 - world.shared) * own[i])
        for i in (0, 1)
    )
    square = (magnitude**2).mean()
    if world.clusters and not world.known:  # what clusters share is unexplained
        square = 1.0
        u, v = u + 0.8 * clustered[0], v + 0.8 * clustered[1]
        x, y = x - 0.8 * clustered[0], y - 0.8 * clustered[1]
    within = [to_both[i].T @ to_both[i] + (1 - world.shared) * np.eye(p) for i in (0, 1)]
    weights = rng.standard_normal((subjects, p, world.units)) / np.sqrt(p)
    model = Patterns(x, x + u, square * within[0])
    brain = Patterns(y, y + v, square * within[1])
    recording = record(world, brain.values @ weights, rng)
    common = square * to_both[0].T @ to_both[1]
    return Simulated(known, groups, model, brain, common, weights, recording)


def record(world: World, signal: np.ndarray, rng: np.random.Generator) -> Recording:
    """Measure signals (subject, stimulus, unit) with noise, so that reliability is about .3."""
    subjects, n, units = signal.shape
    low, high = world.repeats
    repeats = np.where(np.arange(n) % 2, low, high)
    stimulus = np.concatenate([np.flatnonzero(repeats > r) for r in range(high)])
    run = np.concatenate([np.full((repeats > r).sum(), r) for r in range(high)])
    errors = rng.standard_normal((subjects, len(stimulus), units))
    for t in range(1, len(stimulus)) if world.drift else ():
        if run[t] == run[t - 1]:
            errors[:, t] *= np.sqrt(1 - world.drift**2)
            errors[:, t] += world.drift * errors[:, t - 1]
    size = np.sqrt(7 / 3) * signal.std() * np.linspace(1, world.unequal, subjects)
    responses = signal[:, stimulus] + size[:, None, None] * errors
    ids = np.array([f"s{i:04d}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses.transpose(1, 0, 2).reshape(len(stimulus), -1),
        trials={"stimulus_id": ids[stimulus], "repeat": run, "run": run.astype(str)},
        units={
            "unit": np.arange(subjects * units).astype(str),
            "subject": np.repeat([f"subject{s}" for s in range(subjects)], units),
            "region": np.full(subjects * units, "simulated"),
        },
    )


def target(design: Design, a: Patterns, b: Patterns, common: np.ndarray) -> np.ndarray:
    """Return the parts that are to be found of Euclidean kernels, (feature and rest,)."""
    n = len(a.values)
    m, e = (x.explained - x.explained.mean(axis=0) for x in (a, b))
    projections = [design.projection(f) for f in range(len(design.names))]
    with_rest = np.array([np.einsum("iu,uv,iv->", q @ m, common, e) for q in projections])
    squares = np.array([((m.T @ q @ e) * (m.T @ e)).sum() for q in projections])
    rest = (n - 1) ** 2 * (common**2).sum() + (n - 1) * with_rest.sum()
    return np.append(squares + (n - 1) * with_rest, rest)


def noise_free(simulated: Simulated, distance: str, subjects: int, rng: Any) -> np.ndarray:
    """Return the kernel of the subjects without noise, or the mean of many if there are four."""
    if subjects >= 4 and distance != "correlation":
        return model_kernel(simulated.brain.values, distance)
    weights = simulated.weights
    if subjects >= 4:
        weights = rng.standard_normal((30, *weights.shape[1:]))
    signal = simulated.brain.values @ weights
    kernels = [model_kernel(s, distance) for s in signal]
    if subjects < 4 and distance != "correlation":
        means = observed_scales(simulated.recording, subjects)
        return np.mean([k * s for k, s in zip(kernels, means, strict=True)], axis=0)
    return np.mean([k / np.trace(k) for k in kernels], axis=0)


def observed_scales(recording: Recording, subjects: int) -> np.ndarray:
    """Return one over the trace of every subject's kernel of mean patterns."""
    assert recording.responses is not None
    stimulus = np.unique(recording.trials["stimulus_id"], return_inverse=True)[1]
    counts = np.bincount(stimulus)
    means = np.zeros((len(counts), recording.responses.shape[1]))
    np.add.at(means, stimulus, recording.responses)
    means /= counts[:, None]
    squares = ((means - means.mean(axis=0)) ** 2).sum(axis=0)
    return 1 / squares.reshape(subjects, -1).sum(axis=1)


def model_kernel(patterns: np.ndarray, distance: str) -> np.ndarray:
    """Return the kernel of patterns without noise."""
    kind = "correlation" if distance == "correlation" else "squared_euclidean"
    return kernel_of(dissimilarities(patterns, kind))


def one(
    world: World, n: int, subjects: int, distance: str, rdms: bool, seed: int
) -> dict[str, Any]:
    """Simulate and audit one data set."""
    rng = np.random.default_rng([seed, n, subjects])
    s = simulate(world, n, subjects, rng)
    design = Design.of(s.regressors)
    geometry = Geometry(recording_distance=distance)  # type: ignore[arg-type]
    of_subjects = subject_kernels(s.recording, geometry, 0)
    if world.from_means or rdms:
        of_subjects = [only_means(k) for k in of_subjects]
    side = Side.of_subjects(of_subjects)
    brain = Brain.of(side, design)
    kernel = model_kernel(s.model.values, distance)
    found = divide(kernel, brain)
    p = permutation_p([kernel], side.mean, s.groups, 99, seed)[0]
    true_brain = Brain.of(Side.of_network(noise_free(s, distance, subjects, rng)), design)
    conditional = divide(kernel, true_brain)
    truth = conditional.shares
    if distance == "squared_euclidean":
        scales = observed_scales(s.recording, subjects)
        parts = sum(
            scale * target(design, s.model, s.brain.mixed(w), s.common @ w)
            for w, scale in zip(s.weights, scales, strict=True)
        )
        truth = parts / parts.sum()
    naive = cosine_parts(kernel, side.means, design)
    inside = (found.low <= conditional.shares) & (conditional.shares <= found.high)
    of_model = np.ones(len(truth), bool)
    moved, could = (
        movable(kernel, b, of_model, of_model, d.score)
        for b, d in ((brain, found), (true_brain, conditional))
    )
    general = list(of_recording(s.recording, side, design, distance, s.groups))
    passed = bool(p <= LEVEL and not found.t < least_t(len(side.without)))
    result: dict[str, Any] = {
        "gate": passed,
        "permutation": bool(p <= LEVEL),
        "warned": bool([*(of_division(found) if passed else ()), *general]),
        "spread": np.abs(found.adjusted - found.shares).max(),
        "by_means": np.abs(found.of_means - found.shares).max(),
        "width": (found.high - found.low).max(),
        "known": 1 - truth[-1],
        "score": conditional.score,
        "range low": moved.low - could.low,
        "range high": moved.high - could.high,
    }
    for i, name in enumerate([*design.names, "rest"]):
        result |= {
            f"error {name}": found.shares[i] - truth[i],
            f"noise {name}": found.shares[i] - conditional.shares[i],
            f"naive {name}": naive[i] - truth[i],
            f"covered {name}": float(inside[i]) if np.isfinite(found.low[i]) else np.nan,
        }
    return result


def only_means(kernel: SubjectKernel) -> SubjectKernel:
    """Forget the repeats, as where only RDMs are known."""
    n = len(kernel.means)
    none = np.empty((0, n, n))
    return SubjectKernel(
        kernel.subject, kernel.means, kernel.means, none, none[:, None].repeat(2, 1)
    )


def cosine_parts(model: np.ndarray, brain: np.ndarray, design: Design) -> np.ndarray:
    """Return shares by plain projection: tr(Pi_f K_M K_B) / tr(K_M K_B)."""
    product = centred(model) @ centred(brain)
    parts = [np.trace(design.projection(f) @ product) for f in range(len(design.names))]
    return np.append(parts, np.trace(product) - sum(parts)) / np.trace(product)


#: Numbers of stimuli and subjects, distance, and whether only RDMs are known.
DESIGNS = [
    (50, 4, "squared_euclidean", False),
    (100, 4, "squared_euclidean", False),
    (200, 4, "squared_euclidean", False),
    (100, 1, "squared_euclidean", False),
    (100, 10, "squared_euclidean", False),
    (100, 4, "correlation", False),
    (100, 4, "crossnobis", False),
    (100, 4, "correlation", True),
]


def row_of(world: World, design: tuple[int, int, str, bool], sets: pd.DataFrame) -> dict[str, Any]:
    """Summarise data sets; shares are those of scores that pass the gate."""
    n, subjects, distance, rdms = design
    passed = sets[sets["gate"]] if sets["gate"].mean() > 0.2 else sets.iloc[:0]
    errors, naive = passed.filter(like="error"), passed.filter(like="naive")
    of_noise = passed.filter(like="noise")
    noisiest = of_noise.mean().abs().idxmax() if len(passed) else None
    covered = passed.filter(like="covered").mean()
    bias = errors.mean()
    largest = bias.abs().idxmax() if len(passed) else None
    return {
        "world": world.name,
        "stimuli": n,
        "subjects": subjects,
        "measure": f"{distance}{', RDMs only' if rdms else ''}",
        "bias": bias[largest] if largest else np.nan,
        "error": errors[largest].std() / len(passed) ** 0.5 if largest else np.nan,
        "bias_here": of_noise[noisiest].mean() if noisiest else np.nan,
        "error_here": of_noise[noisiest].std() / len(passed) ** 0.5 if noisiest else np.nan,
        "naive": naive.mean().abs().max() if largest else np.nan,
        "coverage_low": covered.min(),
        "coverage_high": covered.max(),
        "gate": sets["gate"].mean(),
        "warned": sets["warned"].mean(),
        "to_warn": world.warned,
        "score": sets["score"].mean(),
        "range_low": passed["range low"].mean(),
        "range_high": passed["range high"].mean(),
        "known": passed["known"].mean(),
        "spread95": sets["spread"].quantile(0.95),
        "by_means95": sets["by_means"].quantile(0.95),
    }


def cell(job: tuple[World, tuple[int, int, str, bool]], n_sets: int) -> dict[str, Any]:
    """Simulate all data sets of a row."""
    world, design = job
    n, subjects, distance, rdms = design
    sets = [one(world, n, subjects, distance, rdms, seed) for seed in range(n_sets)]
    return row_of(world, design, pd.DataFrame(sets))


HEADER = """# Simulations of the audit

Written by `python benchmarks/audit.py`. Shares of a score in simulated worlds whose shares are
known, {n} data sets a row: reliability of a trial about .3, 4 repeats of 40 units in every subject
where the row says nothing else; a model of 30 units. *Here*: the largest mean difference of any
feature's or the rest's share from the one in the same stimuli without noise, which is what a share
is about, with its Monte Carlo error. *Bias*: the same from the share in the population of stimuli,
in rows of squared Euclidean distances (in others as before); where a score is low and nothing known
explains it, the ratio of two sums over few stimuli is not the ratio of the population's.
*Plain*: the latter of plain projection of mean patterns. *Coverage* of the same share (of other
subjects; of one subject: with other repeats), lowest and highest of the features; intervals are
about the noise of the recording, which with correlation distances changes shares a little. *Gate*:
how often there is a score to divide. *Warned*: how often a warning is raised. *Range*: mean error
of its lower and upper end. Shares are of scores that pass the gate. [audit.md](audit.md) says what
the numbers mean.

| world | stimuli | subjects | distance | here | bias | plain | coverage | gate | warned | range |
|---|---|---|---|---|---|---|---|---|---|---|"""


def cost(n: int = 640, n_models: int = 3, n_layers: int = 14) -> str:
    """Measure what the tables of a large recording take, in words."""
    rng = np.random.default_rng(0)
    ids = np.arange(n).astype(str)
    numbers = {f"number{i}": rng.standard_normal(n) for i in range(5)}
    categories = {"kind": rng.integers(8, size=n).astype(str), "place": rng.integers(3, size=n)}
    known = numbers | {name: codes.astype(str) for name, codes in categories.items()}
    features = np.column_stack(
        [*numbers.values(), *(categories["kind"] == str(k) for k in range(8))]
    )
    signal = features @ rng.standard_normal((features.shape[1], 200))
    recording = Recording(
        stimuli={"stimulus_id": ids, **known},
        responses=(signal[:, None] + 3 * rng.standard_normal((n, 4, 200))).reshape(-1, 200),
        trials={"stimulus_id": np.repeat(ids, 4), "repeat": np.tile(np.arange(4), n)},
        units={
            "unit": np.arange(200).astype(str),
            "subject": np.repeat([f"subject{i}" for i in range(4)], 50),
            "region": np.full(200, ""),
        },
    )
    info = {"network": "seed0", "seed": 0, "snapshot": "final", "step": 0, "included": True}
    columns = {name: [value] * n_layers for name, value in info.items()}
    columns["layer"] = [f"layer{i}" for i in range(n_layers)]
    models = {
        f"model{m}": make_rdms(
            np.stack(
                [
                    dissimilarities(
                        features @ rng.standard_normal((features.shape[1], 60))
                        + 2 * rng.standard_normal((n, 60)),
                        "correlation",
                    )
                    for _ in range(n_layers)
                ]
            ),
            ids,
            "correlation",
            columns,
        )
        for m in range(n_models)
    }
    started = time.process_time()
    audit_recording("brain", recording, "objects", models, {}, Geometry(), Audit())
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return (
        f"Shares with intervals, what remains and the range of {n_models} models of {n_layers} "
        f"layers, {n} stimuli, {len(known)} features and 4 subjects of 4 repeats, together and "
        f"apart, took {seconds:.1f} CPU seconds on one core and {peak:.0f} MB."
    )


def markdown(table: pd.DataFrame, n_sets: int) -> str:
    """Return the page."""
    lines = [HEADER.format(n=n_sets)]
    for row in table.itertuples():
        biases = [
            f"{bias:+.3f} ± {error:.3f}" if np.isfinite(bias) else "–"
            for bias, error in ((row.bias_here, row.error_here), (row.bias, row.error))
        ]
        naive = f"{row.naive:.3f}" if np.isfinite(row.naive) else "–"
        has = np.isfinite(row.coverage_low)
        coverage = f"{row.coverage_low:.0%}-{row.coverage_high:.0%}" if has else "–"
        ranges = (
            f"{row.range_low:+.2f}, {row.range_high:+.2f}" if np.isfinite(row.range_low) else "–"
        )
        lines.append(
            f"| {row.world} | {row.stimuli} | {row.subjects} | {row.measure} | {biases[0]} | "
            f"{biases[1]} | {naive} | "
            f"{coverage} | {row.gate:.1%} | {row.warned:.0%} | {ranges} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--n", type=int, default=200, help="data sets of a row")
    parser.add_argument("--only", help="worlds with this in their name; prints, writes nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    worlds = [w for w in WORLDS if not options.only or options.only in w.name]
    jobs = [
        (world, design)
        for world in worlds
        for design in DESIGNS
        if design[2] != "crossnobis" or world.repeats[0] > 1
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = []
        for row in pool.map(partial(cell, n_sets=options.n), jobs):
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
            rows.append(row)
    of_cost = cost()
    print(of_cost)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string())
    if not options.only:
        PAGE.write_text(markdown(table, options.n) + f"\n{of_cost}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
