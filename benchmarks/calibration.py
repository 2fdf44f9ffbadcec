"""How often the tests of model-recording comparisons are wrong when nothing is there.

Every row simulates many recordings in which the null hypothesis of a test holds, and counts how
often the test rejects it at a nominal 5 %; and how often a 95 % interval covers the true value.
The table is written to docs/calibration.md.

Run with ``OMP_NUM_THREADS=1 python benchmarks/calibration.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import t as student

from repbias.base.groups import StimulusGroups
from repbias.encoding.ridge import gram, left_out_scores, permutation_p, predict, scores
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import errors_of_means
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.readers.fmri.glm import design_matrix, estimate_betas, scale_signal
from repbias.recordings.readers.fmri.glm_settings import Glm
from repbias.recordings.reliability import split_half_reliability
from repbias.rsa.cautions import of_order, of_rdms, of_stimuli, of_trials
from repbias.rsa.model_tests import (
    MIN_NETWORKS,
    MIN_STIMULI,
    MIN_SUBJECTS,
    ModelSet,
    similarity_tests,
)
from repbias.rsa.rdms import subject_rdms

LEVEL = 0.05
#: More errors, or coverage outside of this, must be warned of.
MOST_ERRORS, COVERAGE = 0.065, (0.92, 0.98)
PAGE = Path(__file__).parents[1] / "docs" / "calibration.md"


#: Order of presentation, model and distance of the rows of :func:`bold`.
BOLD = [
    ("random", "unrelated", "correlation"),
    ("random", "category", "correlation"),
    ("fixed", "unrelated", "correlation"),
    ("fixed", "position", "correlation"),
    ("blocks", "category", "correlation"),
    ("fixed", "position", "crossnobis"),
    ("blocks", "category", "crossnobis"),
    ("fixed", "position", "crossnobis without noise normalisation"),
]


class World(NamedTuple):
    """How recordings are simulated.

    Attributes
    ----------
    name : what is special
    stimuli, subjects, networks : their numbers
    features : distribution of all features: "normal", "t3" or "lognormal"
    groups : number of groups of equal size that stimuli come in; 0 for none
    shared : share of a feature's variance that is the group's, or, without groups, the previous
        stimulus's
    known : whether the groups are given
    distance : of the recording
    repeats : smallest and largest number of repeats of a stimulus
    noise : standard deviation of a trial's noise, relative to the signal
    unequal : ratio of the largest to the smallest noise of a subject
    correlated : correlation of the noise of neighbouring units
    warned : whether the page is to warn of it
    """

    name: str
    stimuli: int = 40
    subjects: int = 10
    networks: int = 1
    features: str = "normal"
    groups: int = 0
    shared: float = 0.0
    known: bool = False
    distance: str = "squared_euclidean"
    repeats: tuple[int, int] = (4, 4)
    noise: float = 0.0
    unequal: float = 1.0
    correlated: float = 0.0
    rdm_similarity: RdmSimilarity = "corr"
    warned: bool = False


WELL_BEHAVED = [
    World("40 stimuli, 10 subjects"),
    World("40 stimuli, 10 subjects, noise", noise=2.0, distance="correlation"),
    World("40 stimuli, 10 subjects, 10 networks", networks=10),
    World("92 stimuli, 20 subjects", 92, 20),
    World("40 stimuli, 10 subjects, Spearman", rdm_similarity="spearman"),
    World("40 stimuli, 10 subjects, whitened", rdm_similarity="corr_cov"),
    World("40 stimuli, 10 subjects, correlation distance", distance="correlation"),
    World("unequal noise of subjects (1 : 4)", noise=1.0, unequal=4, distance="correlation"),
    World("correlated units (.8)", noise=2.0, correlated=0.8, distance="correlation"),
]
DANGERS = [
    World("8 stimuli", 8, warned=True),
    World("12 stimuli", 12, warned=True),
    World("1 subject", subjects=1, warned=True),
    World("2 subjects", subjects=2, warned=True),
    World("4 subjects, 92 stimuli", 92, 4, warned=True),
    World("3 networks", networks=3, warned=True),
    *(
        World(
            f"{n} categories x {40 // n}, {share:.0%} shared{how}",
            40,
            10,
            1,
            "normal",
            n,
            share,
            known,
            warned=not known,
        )
        for n, share in ((20, 0.3), (10, 0.5), (8, 0.8))
        for known, how in ((False, ""), (True, ", groups given"))
    ),
    World("pairs of near-duplicates", groups=20, shared=0.95, warned=True),
    World("pairs of near-duplicates, groups given", groups=20, shared=0.95, known=True),
    World("serial order", shared=0.8, warned=True),
    World("heavy-tailed features", features="t3", warned=True),
    World("heavy-tailed features, correlation distance", features="t3", distance="correlation"),
    World("heavy-tailed features, Spearman", features="t3", rdm_similarity="spearman"),
    World("lognormal features", features="lognormal", warned=True),
    World("lognormal features, correlation distance", features="lognormal", distance="correlation"),
    World("lognormal features, Spearman", features="lognormal", rdm_similarity="spearman"),
    World(
        "3 to 12 repeats, Euclidean", repeats=(3, 12), noise=3.0, distance="euclidean", warned=True
    ),
    World("3 to 12 repeats, correlation", repeats=(3, 12), noise=3.0, distance="correlation"),
]


class Outcome(NamedTuple):
    """What one simulated data set says of one test or interval.

    Attributes
    ----------
    row : the test or the interval
    warned : whether the page would warn of it
    p : of a true null hypothesis; NaN for intervals
    estimate, low, high : estimate and interval; NaN for tests
    """

    row: str
    warned: bool = False
    p: float = np.nan
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan


def drawn(world: World, n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Draw features of unit variance, (stimulus, feature)."""
    n = world.stimuli

    def independent(rows: int) -> np.ndarray:
        if world.features == "t3":
            return rng.standard_t(3, (rows, n_features)) / np.sqrt(3)
        if world.features == "lognormal":
            x = np.exp(rng.standard_normal((rows, n_features)))
            return (x - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        return rng.standard_normal((rows, n_features))

    own = independent(n)
    if world.groups:
        of_group = independent(world.groups)[np.arange(n) % world.groups]
        return np.sqrt(world.shared) * of_group + np.sqrt(1 - world.shared) * own
    for i in range(1, n) if world.shared else ():
        own[i] = world.shared * own[i - 1] + np.sqrt(1 - world.shared**2) * own[i]
    return own


def repeats_of(world: World) -> np.ndarray:
    """Return the number of repeats of every stimulus; it is the same in all data sets."""
    low, high = world.repeats
    return np.where(np.arange(world.stimuli) % 2, low, high)


def rsa(world: World, seed: int) -> list[Outcome]:
    """Simulate subjects who share eight features, and models that relate to them or do not.

    Stimuli are drawn at random from a population. Model a and model b each hold the features, and
    eight others of their own: they are equally similar to the subjects. Model "unrelated" holds
    other features only; where repeats differ, its patterns are larger where repeats are few. Model
    "true" is what all subjects share, without noise. Networks of a model differ by features of
    their own, as subjects do.
    """
    rng = np.random.default_rng([seed, len(world.name), world.stimuli, world.subjects])
    n = world.stimuli
    shared, repeats = drawn(world, 8, rng), repeats_of(world)
    mixing = np.linalg.cholesky(
        world.correlated ** np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
        if world.correlated
        else np.eye(40)
    )
    scales = np.geomspace(1, world.unequal, world.subjects)

    def measured(scale: float) -> np.ndarray:
        features = np.hstack([shared, drawn(world, 8, rng)])
        patterns = features @ rng.standard_normal((16, 40)) / 4
        noise = world.noise * scale * rng.standard_normal((n, 40)) @ mixing.T
        return dissimilarities(patterns + noise / np.sqrt(repeats)[:, None], world.distance)

    subjects = np.stack([measured(scale) for scale in scales])
    dispersed = 1 + (repeats < repeats.max())[:, None] * 0.5
    kinds = {
        "a": np.hstack([shared, drawn(world, 8, rng)]),
        "b": np.hstack([shared, drawn(world, 8, rng)]),
        "unrelated": dispersed * drawn(world, 8, rng),
    }
    models = [dissimilarities(shared, "squared_euclidean")]
    members = {"true": np.array([0])}
    for kind, features in kinds.items():
        members[kind] = np.arange(len(models), len(models) + world.networks)
        for _ in range(world.networks):
            own = drawn(world, 4, rng) if world.networks > 1 else features[:, :0]
            models.append(dissimilarities(np.hstack([features, own]), "squared_euclidean"))
    codes = np.arange(n) % (world.groups or n)
    known = world.groups and world.known
    groups = StimulusGroups.of(codes, "category") if known else StimulusGroups.alone(n)
    table = similarity_tests(
        # Networks of different models are different networks.
        ModelSet(np.stack(models), list(members.values()), networks=np.arange(len(models))),
        subjects,
        world.rdm_similarity,
        bootstraps=200,
        permutations=199,
        seed=seed,
        # Ranks of ceilings are slow to resample; and by other distances the model is not the truth.
        ceiling=(world.rdm_similarity, world.distance) == ("corr", "squared_euclidean"),
        groups=groups,
    )
    warned = is_warned_of(world, subjects, codes)
    place = {kind: i for i, kind in enumerate(members)}

    def one(test: str, a: str, b: str | None = None) -> pd.Series | None:
        rows = table[(table["test"] == test) & (table["a"] == place[a])]
        rows = rows if b is None else rows[rows["b"] == place[b]]
        return rows.iloc[0] if len(rows) else None

    tests = {
        "any relation (permutation)": one("permutation", "unrelated"),
        "two models differ": one("pair", "a", "b"),
        "below the noise ceiling (true model)": one("ceiling", "true"),
    }
    # Where stimuli come in groups, similarity is above zero: both have the groups.
    if not world.shared and world.repeats[0] == world.repeats[1]:
        tests["similarity above zero"] = one("zero", "unrelated")
    outcomes = [Outcome(row, warned, p=t["p"]) for row, t in tests.items() if t is not None]
    related, pair = one("zero", "a"), one("pair", "a", "b")
    for row, test in {"similarity": related, "difference of two models": pair}.items():
        outcomes.append(
            Outcome(row, warned, np.nan, test["effect"], test["ci_low"], test["ci_high"])
        )
    return outcomes


def is_warned_of(world: World, subjects: np.ndarray, codes: np.ndarray) -> bool:
    """Ask whether the page would warn of these data, by what it measures of them."""
    n = world.stimuli
    ids = np.array([f"s{i:03d}" for i in range(n)])
    shown = np.repeat(ids, repeats_of(world))
    recording = Recording(
        stimuli={"stimulus_id": ids} | ({"category": codes.astype(str)} if world.groups else {}),
        responses=np.zeros((len(shown), 40)),
        trials={"stimulus_id": shown},
        units={"subject": np.full(40, "s")},
        info={"groups": "category"} if world.groups and world.known else {},
    )
    spec = Geometry(recording_distance=world.distance, rdm_similarities=[world.rdm_similarity])
    found = [
        *of_rdms(subjects, world.distance, spec),
        *of_trials(recording, spec),
        *of_stimuli(recording, subjects, world.distance),
    ]
    n_units = world.groups if world.groups and world.known else n
    few = (
        n_units < MIN_STIMULI or world.subjects < MIN_SUBJECTS or 1 < world.networks < MIN_NETWORKS
    )
    return bool(found) or few


def encoding(
    n_stimuli: int, n_features: int, n_groups: int, known: bool, seed: int
) -> list[Outcome]:
    """Test ten units that have nothing to do with the features; the units are independent.

    With groups, half of the variance of features and of responses is their group's.
    """
    rng = np.random.default_rng([seed, n_stimuli, n_features, n_groups])
    spec = Encoding(permutations=199, n_alphas=9, inner_folds=3, seed=seed)
    codes = np.arange(n_stimuli) % (n_groups or n_stimuli)

    def independent(n_columns: int) -> np.ndarray:
        values = rng.standard_normal((n_stimuli, n_columns))
        return values + rng.standard_normal((n_groups, n_columns))[codes] if n_groups else values

    kernel, responses = gram(independent(n_features)), independent(10)
    groups = StimulusGroups.of(codes, "category") if known else StimulusGroups.alone(n_stimuli)
    fit = predict(kernel, responses, spec, groups)
    p = permutation_p(kernel, responses, fit, spec, groups)
    # Without groups, the page finds them in the recording's RDM, as in the rows of RSA.
    warned = bool(n_groups) and not known
    return [Outcome("prediction above chance (permutation)", warned, p=value) for value in p]


def regions(n_units: int, seed: int) -> list[Outcome]:
    """Predict the units of one subject, all of which see the same stimuli."""
    rng = np.random.default_rng([seed, n_units])
    features = rng.standard_normal((60, 10))
    # The same units in all data sets: what is new are the stimuli.
    responses = features @ np.random.default_rng(n_units).standard_normal((10, n_units))
    responses += 4 * rng.standard_normal((60, n_units)) + 3 * rng.standard_normal((60, 1))
    spec = Encoding(n_alphas=9, inner_folds=3, permutations=0)
    fit = predict(gram(features), responses, spec)
    without = left_out_scores(fit, responses, StimulusGroups.alone(60).left_out())
    mean = scores(fit, responses)[0].mean()
    width = student.ppf(0.975, 59) * errors_of_means(without, spec.folds, np.zeros(n_units))[0]
    return [Outcome("mean r of a region", False, np.nan, mean, mean - width, mean + width)]


def reliability(n_stimuli: int, seed: int) -> list[Outcome]:
    """Ask how often units without any reliability get a ceiling."""
    rng = np.random.default_rng([seed, n_stimuli])
    ids = np.array([f"s{i:03d}" for i in range(n_stimuli)])
    recording = Recording(
        stimuli={"stimulus_id": ids},
        responses=rng.standard_normal((4 * n_stimuli, 10)),
        trials={"stimulus_id": np.repeat(ids, 4), "repeat": np.tile(np.arange(4), n_stimuli)},
        units={"unit": np.arange(10).astype(str), "subject": np.full(10, "s")},
    )
    ceiling = split_half_reliability(recording, n_splits=20, seed=seed).ceiling
    row = "a unit without reliability gets a ceiling"
    return [Outcome(row, p=0.0 if np.isfinite(value) else 1.0) for value in ceiling]


def bold(order: str, model: str, distance: str, seed: int) -> list[Outcome]:
    """Test a model of BOLD noise: betas of 24 stimuli, shown once in each of four runs.

    The noise is autocorrelated (.5 from one volume to the next), and drifts. Categories are six
    stimuli each.

    Parameters
    ----------
    order
        "random" in every run, "fixed" (the same in all runs) or "blocks" (category by category, in
        random order).
    model
        "unrelated", "category" or "position" (in the first run).
    distance
        Of the recording.
    seed
        Of everything.
    """
    rng = np.random.default_rng([seed, len(order)])
    n, n_runs, n_voxels, tr, interval = 24, 4, 60, 2.0, 6.0
    category = np.arange(n) // 6
    times = tr * (np.arange(int((n * interval + 20) / tr)) + 0.5)
    glm, none = Glm(confounds="none"), pd.DataFrame(index=range(len(times)))
    onsets, ids = 4 + interval * np.arange(n), np.array([f"s{i:02d}" for i in range(n)])
    fixed, betas, shown = rng.permutation(n), [], []
    for _ in range(n_runs):
        shuffled = rng.permutation(n)
        in_blocks = shuffled[np.argsort(rng.permutation(4)[category[shuffled]], kind="stable")]
        shown.append({"random": shuffled, "fixed": fixed, "blocks": in_blocks}[order])
        white = rng.standard_normal((len(times) + 50, n_voxels))
        noise = lfilter([1], [1, -0.5], white, axis=0)[50:]
        noise += 1.5 * rng.standard_normal(noise.shape).cumsum(axis=0) / np.sqrt(len(times))
        events = pd.DataFrame({"onset": onsets, "duration": 2.0, "regressor": ids[shown[-1]]})
        signal = scale_signal(noise, design_matrix(glm, times, none, None), glm.scale, Path("bold"))
        design = design_matrix(glm, times, none, events)
        betas.append(estimate_betas(signal, design, ids[shown[-1]], glm.noise))
    recording = Recording(
        stimuli={"stimulus_id": ids},
        responses=np.concatenate(betas),
        trials={
            "stimulus_id": ids[np.concatenate(shown)],
            "repeat": np.repeat(np.arange(n_runs), n),
            "run": np.repeat(np.arange(n_runs), n),
            "start_time": np.tile(onsets, n_runs),
        },
        units={"unit": np.arange(n_voxels).astype(str), "subject": np.full(n_voxels, "s")},
    )
    distance, _, plain = distance.partition(" ")
    spec = Geometry(recording_distance=distance, noise="none" if plain else "shrinkage")
    data = subject_rdms(recording, spec, "bold").dissimilarities
    x = {
        "unrelated": rng.standard_normal((n, 5)),
        "category": (category[:, None] == np.arange(4)).astype(float),
        "position": np.argsort(shown[0])[:, None].astype(float),
    }[model]
    models = ModelSet(dissimilarities(x, "squared_euclidean")[None], [np.array([0])])
    tests = similarity_tests(models, data, "corr", 10, 199, seed, ceiling=False)
    (p,) = tests.loc[tests["test"] == "permutation", "p"]
    warned = bool(list(of_order(recording, data)))
    return [Outcome("any relation (permutation)", warned, p=p)]


def summary(outcomes: list[Outcome], n: int) -> pd.DataFrame:
    """Count rejections, coverage and warnings.

    The true value is the mean estimate over all data sets.
    """
    rows = []
    table = pd.DataFrame(outcomes)
    for row, part in table.groupby("row", sort=False):
        test = part["p"].notna().any()
        if test:
            hits = (part["p"] <= LEVEL).to_numpy()
        else:
            true = part["estimate"].mean()
            hits = ((part["low"] <= true) & (true <= part["high"])).to_numpy()
        # Units of one data set share its stimuli: data sets are the independent cases.
        error = hits.reshape(n, -1).mean(axis=1).std(ddof=1) / np.sqrt(n)
        warned = part["warned"].to_numpy(bool)
        rows.append(
            {
                "row": row,
                "test": test,
                "rate": hits.mean(),
                "error": error,
                "warned": warned.mean(),
                "unwarned": hits[~warned].mean() if (~warned).mean() >= 0.1 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def verdict(row: pd.Series) -> str:
    """Say whether a rate is within bounds, and if not, whether the page warns."""
    if row["test"]:
        words = (
            "liberal" if row["rate"] > MOST_ERRORS else "cautious" if row["rate"] < 0.025 else ""
        )
    else:
        low, high = COVERAGE
        words = "narrow" if row["rate"] < low else "conservative" if row["rate"] > high else ""
    if words in ("liberal", "narrow") and row["warned"] > 0.5:
        words += ", and the page warns"
    return words or "holds"


def main() -> None:
    """Simulate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="data sets per row (default: 2000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--only", default="", help="rows whose name has this in it; writes no page")
    arguments = parser.parse_args()
    n = arguments.n
    studies: list[tuple[str, Callable[[int], list[Outcome]]]] = [
        (f"RSA, {world.name}", partial(rsa, world)) for world in (*WELL_BEHAVED, *DANGERS)
    ]
    studies += [
        ("encoding, 50 stimuli, 20 features", partial(encoding, 50, 20, 0, False)),
        ("encoding, 100 stimuli, 400 features", partial(encoding, 100, 400, 0, False)),
        ("encoding, 10 categories x 6", partial(encoding, 60, 40, 10, False)),
        ("encoding, 10 categories x 6, groups given", partial(encoding, 60, 40, 10, True)),
    ]
    studies += [
        (f"encoding by region, 1 subject, {n} units", partial(regions, n)) for n in (10, 300)
    ]
    studies += [(f"reliability, {s} stimuli", partial(reliability, s)) for s in (30, 100)]
    studies += [
        (
            f"BOLD noise, order {order}, model {model}, {distance}",
            partial(bold, order, model, distance),
        )
        for order, model, distance in BOLD
    ]
    tables = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name, study in studies:
            if arguments.only not in name:
                continue
            outcomes = [o for found in pool.map(study, range(n), chunksize=10) for o in found]
            tables.append(summary(outcomes, n).assign(study=name))
            print(tables[-1].round(3).to_string(header=False, index=False), flush=True)
    table = pd.concat(tables, ignore_index=True)
    table["verdict"] = [verdict(row) for _, row in table.iterrows()]
    if not arguments.only:
        write_page(table, n)


def write_page(table: pd.DataFrame, n: int) -> None:
    """Write the table below what the page says of it."""
    lines = [
        f"| {r.study} | {r.row} | {'5 % error' if r.test else '95 % coverage'} | "
        f"{100 * r.rate:.1f} ± {100 * r.error:.1f} % | {100 * r.warned:.0f} % | {r.verdict} |"
        for r in table.itertuples()
    ]
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "<!-- table -->"
    head = text.split("<!-- table -->")[0]
    PAGE.write_text(
        "\n".join(
            [
                head + "<!-- table -->",
                "",
                f"{n} data sets per row; ±: Monte Carlo standard error.",
                "",
                "| study | test or interval | nominal | measured | the page warns in | verdict |",
                "|---|---|---|---|---|---|",
                *lines,
                "",
            ]
        ),
        encoding="utf-8",
    )
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
