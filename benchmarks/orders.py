"""How many tasks would decide a claim about the order of reports, and how often chance decides it.

Takes the results of a study with claims C8, such as ``studies/tokens.yaml``, and says for each

* the slope of R² from one answer to the next, its standard deviation over tasks, and how many tasks
  would decide a slope of a size in 80 % of studies (Student's t test, which the interval over tasks
  is where values are not skewed; noncentral t, Cohen 1988, section 2.2);
* in how many of 400 studies the claim gets a verdict where the orders of every task are permuted
  among its conditions after the fact, so that no order has an effect.

Run with ``python benchmarks/orders.py results/tokens``; the table is printed.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from repbias.claims.decide import decide
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.report.figures.order import order as figure_of_orders
from repbias.tables import read_table

POWER = 0.8


def n_tasks(slope: float, sd: float) -> int:
    """Return the fewest tasks with which a slope differs from 0 in 80 % of studies.

    Examples
    --------
    >>> n_tasks(0.5, 1.0)  # as in the tables of Cohen (1988) and in G*Power
    34
    """
    for n in range(3, 100_000):
        shift, limit = abs(slope) / sd * np.sqrt(n), stats.t.ppf(0.975, n - 1)
        if stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift) >= POWER:
            return n
    raise ValueError(f"no number of tasks decides a slope of {slope} with SD {sd}")


def permuted(
    reported: dict[str, dict[str, Any]], rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Return the conditions with the orders of every task and experiment permuted among them."""
    groups: dict[tuple[str, int], list[str]] = {}
    for name, about in reported.items():
        groups.setdefault((name.partition("/")[0], about["task"]), []).append(name)
    found = dict(reported)
    for names in groups.values():
        for name, other in zip(names, rng.permutation(names).tolist(), strict=True):
            found[name] = reported[name] | {"order": reported[other]["order"]}
    return found


def main() -> None:
    """Print a row for every claim about the order of reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--slope", type=float, default=0.03)
    options = parser.parse_args()
    logging.disable()
    study = load_study(yaml.safe_load((options.results / "config.yaml").read_text()))
    plan = Plan(study)
    layers, reported = plan.all_analysed_layers(), plan.reported_orders()
    tables = {n: read_table(options.results / f"tables/{n}.csv", n) for n in plan.evidence()}
    claims = {k: r for k, r in study.claims.items() if k.split()[0] in ("C8", "C8b")}
    final = decide(claims, tables, layers, reported=reported)
    final = final[final["snapshot"] == "final"]
    _, slopes = figure_of_orders(tables, layers, reported)
    spread = slopes.dropna(subset="task").groupby("networks")["fall"].std()
    rng = np.random.default_rng(0)
    decided = pd.Series(0, final.index)
    for _ in range(options.studies):
        shuffled = decide(claims, tables, layers, reported=permuted(reported, rng))
        decided += (shuffled.loc[final.index, "verdict"] != "inconclusive").astype(int)
    print("claim | effect [95 %] | SD over tasks | tasks for it | decided by chance")
    for i, row in final.iterrows():
        experiment = claims[f"{row['claim']} {row['variant']}".strip()]["orders"].split("/")[0]
        sd = spread.get(experiment, np.nan) if row["claim"] == "C8" else np.nan
        tasks = n_tasks(options.slope, sd) if np.isfinite(sd) else "-"
        print(
            f"{row['claim']} {row['variant']} | {row['effect']:.4f} [{row['ci_low']:.4f}, "
            f"{row['ci_high']:.4f}] | {sd:.4f} | {tasks} | {decided[i] / options.studies:.1%}"
        )


if __name__ == "__main__":
    main()
