"""How often claims get a verdict when there is no effect, and how often when there is one.

Every row draws many samples of networks (or of pairs of conditions, or of matrices of similarities)
and decides a claim on each, with the code that decides claims. The tables are written to
docs/verdicts.md.

Run with ``OMP_NUM_THREADS=1 python benchmarks/verdicts.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from repbias.base.statistics import Estimate
from repbias.claims.evidence import contrast_estimate

PAGE = Path(__file__).parents[1] / "docs" / "verdicts.md"
#: Distributions with mean 0; verdicts hold for those of HELD.
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential, centred": lambda rng, n: rng.exponential(size=n) - 1,
    "binary, ±1": lambda rng, n: rng.choice([-1.0, 1.0], size=n),
    "Student's t, 3 degrees of freedom": lambda rng, n: rng.standard_t(3, size=n),
    "log-normal, centred": lambda rng, n: rng.lognormal(size=n) - np.exp(0.5),
    "binary, 1 in 5": lambda rng, n: rng.choice([-0.25, 1.0], size=n, p=[0.8, 0.2]),
}
HELD = ("normal", "exponential, centred", "binary, ±1")
#: How an estimate is drawn.
Draw = Callable[[np.random.Generator], Estimate]


def mean(distribution: str, n: int, effect: float, rng: np.random.Generator) -> Estimate:
    """Draw a mean over n networks."""
    return Estimate.of_mean(DISTRIBUTIONS[distribution](rng, n) + effect)


def difference(
    distributions: tuple[str, str],
    sizes: tuple[int, int],
    scale: float,
    effect: float,
    rng: np.random.Generator,
) -> Estimate:
    """Draw a difference between two conditions; the second one's values are scaled."""
    a, b = (DISTRIBUTIONS[d](rng, n) for d, n in zip(distributions, sizes, strict=True))
    return Estimate.of_difference(a + effect, scale * b)


def contrast(distribution: str, n: int, within: bool, rng: np.random.Generator) -> Estimate:
    """Draw a contrast of similarities, which are sums of effects of networks, and noise.

    Within: both-both against easy-both, as in C19; otherwise easy-easy against hard-hard (C20).
    """
    a, b = (DISTRIBUTIONS[distribution](rng, n) for _ in range(2))

    def similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        noise = rng.normal(0, 0.5, (n, n))
        matrix = x[:, None] + y + (noise + noise.T) / 2
        np.fill_diagonal(matrix, np.nan)
        return matrix

    pairs = {("a", "b"): similarity(a, b), ("b", "b"): similarity(b, b)}
    larger, smaller = ("a", "b"), ("b", "b")
    if not within:
        pairs = {("a", "a"): similarity(a, a), ("b", "b"): similarity(b, b)}
        larger = ("a", "a")
    estimate = contrast_estimate(pairs, larger, smaller)
    assert estimate is not None
    return estimate


def rates(draw: Draw, n_samples: int, seed: int) -> tuple[float, float, float, float]:
    """Return how often an effect is found below and above 0: here, and by Student's t."""
    rng = np.random.default_rng(seed)
    found = np.zeros(4)
    for _ in range(n_samples):
        estimate = draw(rng)
        found[:2] += estimate.high() < 0, estimate.low() > 0
        if estimate.error:
            width = estimate.error * t_quantile(3 * estimate.df)
            found[2:] += estimate.value + width < 0, estimate.value - width > 0
        else:
            found[2:] += estimate.value < 0, estimate.value > 0
    return tuple(found / n_samples)


def t_quantile(df: float) -> float:
    """Return Student's t at 97.5 %."""
    return float(stdtrit(df, 0.975))


def null_rows() -> dict[str, list[tuple[str, Draw]]]:
    """Return the rows of every table of false verdicts, by title."""
    means = {
        title: [
            (f"{name}; {n}", partial(mean, name, n, 0.0))
            for name in DISTRIBUTIONS
            if (name in HELD) == held
            for n in sizes
        ]
        for title, held, sizes in (
            ("Means over networks", True, (5, 10, 20)),
            ("Beyond", False, (5, 10, 20, 40)),
        )
    }
    normal, skewed, binary = HELD
    combinations = [
        ((normal, normal), 1.0),
        ((skewed, skewed), 1.0),
        ((skewed, normal), 0.1),
        ((binary, binary), 1.0),
        ((binary, normal), 0.1),
    ]
    differences = [
        (
            f"{pair[0]} against {pair[1]}{f', scaled by {scale}' * (scale != 1)}; {a} and {b}",
            partial(difference, pair, (a, b), scale, 0.0),
        )
        for a, b in ((5, 5), (10, 10), (20, 20), (5, 20), (20, 10))
        for pair, scale in combinations
    ]
    contrasts = [
        (f"{name}, {words}; {n} each", partial(contrast, name, n, within))
        for n in (5, 10, 20)
        for name in HELD
        for words, within in (
            ("between two conditions against within one", True),
            ("within either", False),
        )
    ]
    return {
        "Means over networks": means["Means over networks"],
        "Differences between two conditions": differences,
        "Contrasts of similarities": contrasts,
        "Beyond": means["Beyond"],
    }


def power_rows() -> list[tuple[str, Draw]]:
    """Return the rows of the table of true verdicts."""
    normal = "normal"
    return [
        *(
            (f"mean of {d}; {n}", partial(mean, normal, n, d))
            for d in (1.0, 1.5, 3.0)
            for n in (5, 6, 10, 15, 20)
        ),
        *(
            (
                f"difference of {d}; {n} and {n}",
                partial(difference, (normal, normal), (n, n), 1.0, d),
            )
            for d in (1.5, 3.0)
            for n in (5, 10, 20)
        ),
    ]


def table(title: str, rows: list[tuple[str, Draw]], pool: ProcessPoolExecutor, n: int) -> list[str]:
    """Return a table's lines."""
    futures = [pool.submit(rates, draw, n, seed) for seed, (_, draw) in enumerate(rows)]
    lines = [
        f"### {title}",
        "",
        "| values; networks | not supported | supported | by Student's t |",
        "|---|---|---|---|",
    ]
    for (name, _), future in zip(rows, futures, strict=True):
        low, high, t_low, t_high = (100 * rate for rate in future.result())
        lines.append(f"| {name} | {low:.1f} % | {high:.1f} % | {t_low:.1f} %, {t_high:.1f} % |")
        print(lines[-1], flush=True)
    return [*lines, ""]


def main() -> None:
    """Decide claims on simulated samples, and write the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="samples per row (default: 20000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
        lines = ["## Verdicts where there is no effect", ""]
        for title, rows in null_rows().items():
            lines += table(title, rows, pool, arguments.n)
        lines += ["## Verdicts where there is one", ""]
        lines += table("Effects in standard deviations", power_rows(), pool, arguments.n)
    head = PAGE.read_text(encoding="utf-8").split("<!-- tables -->")[0]
    counts = f"{arguments.n:,} samples per row; a rate of 2.5 % has a standard error of "
    counts += f"{100 * (0.025 * 0.975 / arguments.n) ** 0.5:.1f} %."
    PAGE.write_text("\n".join([head + "<!-- tables -->", "", counts, "", *lines]), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
