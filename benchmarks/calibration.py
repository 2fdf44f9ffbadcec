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
from scipy.spatial.distance import pdist
from scipy.stats import binom

from repbias.encoding.regions import region_table
from repbias.encoding.ridge import gram, permutation_p, predict
from repbias.encoding.spec import Encoding
from repbias.geometry.inference import evaluate
from repbias.geometry.spec import RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.reliability import split_half_reliability
from repbias.rsa.model_tests import ModelSet, similarity_tests
from repbias.tables import as_table

LEVEL = 0.05
PAGE = Path(__file__).parents[1] / "docs" / "calibration.md"


class Case(NamedTuple):
    """A size of study."""

    stimuli: int
    subjects: int
    networks: int


RSA_CASES = [
    Case(20, 10, 1),
    Case(40, 10, 1),
    Case(40, 20, 1),
    Case(92, 4, 1),
    Case(40, 3, 1),
    Case(40, 1, 1),
    Case(40, 10, 10),
    Case(40, 10, 3),
]


class Outcome(NamedTuple):
    """What one simulated data set says of one test or interval.

    Attributes
    ----------
    row : the test or the interval
    p : of a true null hypothesis; NaN for intervals
    estimate, low, high : estimate and interval; NaN for tests
    """

    row: str
    p: float = np.nan
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan


def squared_distances(patterns: np.ndarray) -> np.ndarray:
    """Return an RDM, as (pair,)."""
    return pdist(patterns, "sqeuclidean") / patterns.shape[1]


def rsa(case: Case, rdm_similarity: RdmSimilarity, seed: int) -> list[Outcome]:
    """Simulate subjects who share eight features, and models that relate to them or do not.

    Stimuli are drawn at random from a population. Model a and model b each hold the features, and
    eight others of their own: they are equally similar to the subjects. Model "unrelated" holds
    other features only. Model "true" is what all subjects share, without noise. Networks of a model
    differ by features of their own, as subjects do.
    """
    rng = np.random.default_rng([seed, *case])
    n = case.stimuli
    shared = rng.standard_normal((n, 8))

    def measured(features: np.ndarray) -> np.ndarray:
        private = rng.standard_normal((n, 8))
        return squared_distances(np.hstack([features, private]) @ rng.standard_normal((16, 40)))

    subjects = np.stack([measured(shared) for _ in range(case.subjects)])
    kinds = {
        kind: np.hstack([known, rng.standard_normal((n, 8))])
        for kind, known in {"a": shared, "b": shared, "unrelated": shared[:, :0]}.items()
    }
    models = [squared_distances(shared)]
    groups = {"true": np.array([0])}
    for kind, features in kinds.items():
        groups[kind] = np.arange(len(models), len(models) + case.networks)
        for _ in range(case.networks):
            own = rng.standard_normal((n, 4 if case.networks > 1 else 0))
            models.append(squared_distances(np.hstack([features, own])))
    # Networks of different models are different networks.
    table = similarity_tests(
        ModelSet(np.stack(models), list(groups.values()), networks=np.arange(len(models))),
        subjects,
        rdm_similarity,
        bootstraps=300,
        permutations=199,
        seed=seed,
        # Ranks of ceilings are slow to resample.
        ceiling=rdm_similarity != "spearman",
    )
    place = {kind: i for i, kind in enumerate(groups)}

    def one(test: str, a: str, b: str | None = None) -> pd.Series | None:
        rows = table[(table["test"] == test) & (table["a"] == place[a])]
        rows = rows if b is None else rows[rows["b"] == place[b]]
        return rows.iloc[0] if len(rows) else None

    outcomes = []
    for row, test in {
        "similarity above zero": one("zero", "unrelated"),
        "any relation (permutation)": one("permutation", "unrelated"),
        "two models differ": one("pair", "a", "b"),
        "below the noise ceiling (true model)": one("ceiling", "true"),
    }.items():
        if test is not None:
            outcomes.append(Outcome(row, p=test["p"]))
    related, pair = one("zero", "a"), one("pair", "a", "b")
    for row, test in {"similarity": related, "difference of two models": pair}.items():
        outcomes.append(Outcome(row, np.nan, test["effect"], test["ci_low"], test["ci_high"]))
    if case.networks == 1:
        single = evaluate(np.stack(models[1:2]), subjects, rdm_similarity, 300, seed)
        outcomes.append(
            Outcome(
                "similarity (table rsa_recordings)",
                np.nan,
                *(float(v[0]) for v in (single.similarity, single.ci_low, single.ci_high)),
            )
        )
    return outcomes


def encoding(n_stimuli: int, n_features: int, seed: int) -> list[Outcome]:
    """Test ten units that have nothing to do with the features; the units are independent."""
    rng = np.random.default_rng([seed, n_stimuli, n_features])
    spec = Encoding(permutations=199, n_alphas=9, inner_folds=3, seed=seed)
    kernel = gram(rng.standard_normal((n_stimuli, n_features)))
    responses = rng.standard_normal((n_stimuli, 10))
    p = permutation_p(kernel, responses, predict(kernel, responses, spec), spec)
    return [Outcome("prediction above chance (permutation)", p=value) for value in p]


def regions(n_subjects: int, seed: int) -> list[Outcome]:
    """Summarise units whose r varies between subjects, and between a subject's units."""
    rng = np.random.default_rng([seed, n_subjects])
    by_subject = rng.normal(0.3, 0.08 if n_subjects > 1 else 0, n_subjects)
    units = rng.normal(by_subject[:, None], 0.15, (n_subjects, 30))
    table = pd.DataFrame(
        {"subject": np.repeat(np.arange(n_subjects).astype(str), 30), "r": units.ravel()}
    ).assign(recording="", region="", condition="", network="", seed=0, included=True, step=0)
    table = as_table("encoding", table.reindex(columns=as_table("encoding").columns).fillna(0))
    found = region_table(table.assign(**dict.fromkeys(("experiment", "layer", "snapshot"), "x")))
    row = found.iloc[0]
    return [Outcome("mean r of a region", np.nan, row["r"], row["ci_low"], row["ci_high"])]


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


def summary(outcomes: list[Outcome], n: int) -> pd.DataFrame:
    """Count rejections and coverage; the true value is the mean estimate over all data sets."""
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
        rate = hits.mean()
        error = hits.reshape(n, -1).mean(axis=1).std(ddof=1) / np.sqrt(n)
        rows.append({"row": row, "test": test, "rate": rate, "error": error})
    return pd.DataFrame(rows)


def verdict(row: pd.Series, n: int) -> str:
    """Say whether a rate is what it should be, within Monte Carlo error."""
    low, high = binom.interval(0.99, n, LEVEL if row["test"] else 1 - LEVEL)
    low, high = low / n, high / n
    if not row["test"]:
        low, high = min(low, 0.93), max(high, 0.97)
        return (
            "holds" if low <= row["rate"] <= high else ("narrow" if row["rate"] < low else "wide")
        )
    return (
        "holds" if low <= row["rate"] <= high else ("liberal" if row["rate"] > high else "cautious")
    )


def main() -> None:
    """Simulate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="data sets per row (default: 1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    arguments = parser.parse_args()
    n = arguments.n
    studies: list[tuple[str, Callable[[int], list[Outcome]]]] = [
        (
            f"RSA, {rdm_similarity}; {case.stimuli} stimuli, {case.subjects} subject"
            f"{'s' * (case.subjects > 1)}, {case.networks} network{'s' * (case.networks > 1)}",
            partial(rsa, case, rdm_similarity),
        )
        for case, rdm_similarity in [
            *((case, "corr") for case in RSA_CASES),
            (Case(40, 10, 1), "spearman"),
            (Case(40, 10, 1), "corr_cov"),
        ]
    ]
    studies += [
        (f"encoding, {s} stimuli, {f} features", partial(encoding, s, f))
        for s, f in ((50, 20), (100, 400))
    ]
    studies += [
        (f"encoding by region, {s} subject{'s' * (s > 1)}", partial(regions, s)) for s in (1, 3, 10)
    ]
    studies += [(f"reliability, {s} stimuli", partial(reliability, s)) for s in (30, 100)]
    tables = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name, study in studies:
            print(name, flush=True)
            outcomes = [o for found in pool.map(study, range(n), chunksize=10) for o in found]
            tables.append(summary(outcomes, n).assign(study=name))
    table = pd.concat(tables, ignore_index=True)
    table["verdict"] = [verdict(row, n) for _, row in table.iterrows()]
    lines = [
        f"| {r.study} | {r.row} | {'5 % error' if r.test else '95 % coverage'} | "
        f"{100 * r.rate:.1f} ± {100 * r.error:.1f} % | {r.verdict} |"
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
                "| study | test or interval | nominal | measured | verdict |",
                "|---|---|---|---|---|",
                *lines,
                "",
            ]
        ),
        encoding="utf-8",
    )
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
