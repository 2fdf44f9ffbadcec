"""The analyses of the study of V4, against a script that does them with rsatoolbox and himalaya.

The recording, the activations and the settings are those of the study; both sides run in this
process, one after the other, on as many threads as it is given. Where the libraries would take
hours, they do a stated part of the resamples, and their time is multiplied. The table goes to
docs/speed.md.

Run ``repbias run studies/v4.yaml``, then ``python benchmarks/v4.py results/v4``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from speed import machine, seconds
from tqdm import tqdm

PAGE = Path(__file__).parents[1] / "docs/speed.md"
HEAD = (
    "| analysis | libraries | ours | libraries' time | ratio | largest difference |\n"
    "|---|---|---|---|---|---|"
)


class Measured(NamedTuple):
    """Seconds that both took, and the largest difference between their numbers."""

    ours: float
    theirs: float
    difference: float


class V4:
    """The study's files, and what the libraries are given of them."""

    def __init__(self, results: Path) -> None:
        from repbias.io.activations import Activations
        from repbias.io.recordings import Recording
        from repbias.pipeline.checks import load_study
        from repbias.pipeline.plan import Plan
        from repbias.recordings.responses import stimulus_means

        config = yaml.safe_load((results / "config.yaml").read_text(encoding="utf-8"))
        self.plan = Plan(load_study(config, try_networks=False))
        self.results, self.study = results, self.plan.study
        self.recording = Recording.read(results / "recordings/v4.h5")
        self.networks = list(self.study.networks)
        self.means = stimulus_means(self.recording)
        opened = {n: Activations.open(self.file("activations", n), n) for n in self.networks}
        self.layers = {
            (name, layer): np.asarray(activations.read(layer, 0), np.float64)
            for name, activations in opened.items()
            for layer in activations.layers
        }

    def file(self, kind: str, network: str) -> str:
        """Return the file of a network's activations or RDMs."""
        return str(self.results / kind / "objects" / f"{network}.h5")

    def analysed(self, *names: str, **settings: object) -> list:
        """Do our analyses; return their tables."""
        from repbias.pipeline.recording_analyses import analyse_recording

        analyses = self.plan.analyses_of_recordings(list(names))
        for entry in analyses.values():
            entry["settings"] |= settings
        kind = analyses[names[0]]["networks"]
        files = {network: self.file(kind, network) for network in self.networks}
        found = analyse_recording(analyses, "v4", self.recording, "objects", files)
        return [table for _, table in found]


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """Return what a function returns, and the seconds that it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def rdms(study: V4, _: int) -> Measured:
    """Compute the RDM of every layer."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    from repbias.io.activations import Activations
    from repbias.rsa.rdms import read_rdms, write_layer_rdms

    def ours() -> list:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for i, network in enumerate(study.networks):
                opened = Activations.open(study.file("activations", network), network)
                write_layer_rdms(f"{folder}/{i}.h5", opened, "correlation", None)
                found += [*read_rdms(f"{folder}/{i}.h5").dissimilarities]
        return found

    def theirs() -> list:
        of_layers = (calc_rdm(Dataset(x), "correlation") for x in study.layers.values())
        return [rdm.dissimilarities[0] for rdm in of_layers]

    (mine, a), (other, b) = timed(ours), timed(theirs)
    return Measured(a, b, max(np.abs(x - y).max() for x, y in zip(mine, other, strict=True)))


def inference(method: str) -> Callable[[V4, int], Measured]:
    """Compare all layers with the recording by RSA, with intervals and tests between layers."""

    def measure(study: V4, part: int) -> Measured:
        from rsatoolbox.data import Dataset
        from rsatoolbox.inference import eval_bootstrap_pattern, eval_fixed
        from rsatoolbox.model import ModelFixed
        from rsatoolbox.rdm import calc_rdm, sqrt_transform
        from scipy.stats import zscore

        names = ("rsa_recordings", "rsa_tests")
        (table, _), a = timed(lambda: study.analysed(*names, rdm_similarities=[method]))
        ids = {"stimulus": [f"{i:04}" for i in range(len(study.means))]}

        def rdm(x: np.ndarray, distance: str) -> object:
            return calc_rdm(Dataset(x, obs_descriptors=ids), distance, descriptor="stimulus")

        models = [ModelFixed("/".join(p), rdm(x, "correlation")) for p, x in study.layers.items()]
        data = sqrt_transform(rdm(zscore(study.means), "euclidean"))  # theirs is squared
        samples = study.study.geometry.bootstraps
        np.random.seed(0)  # noqa: NPY002 the only one that rsatoolbox knows
        _, b = timed(
            lambda: eval_bootstrap_pattern(
                models,
                data,
                method=method,
                N=samples // part,
                pattern_descriptor="stimulus",
                boot_noise_ceil=False,
            )
        )
        similarity = eval_fixed(models, data, method=method).evaluations.ravel()
        places = zip(table["condition"], table["layer"], strict=True)
        found = dict(zip(places, table["similarity"], strict=True))
        mine = np.array([found[place] for place in study.layers])
        return Measured(a, b * part, np.abs(mine - similarity).max())

    return measure


def folds(study: V4) -> Iterator[tuple[np.ndarray, np.ndarray, list]]:
    """Go through outer folds: training and test stimuli, and the inner folds."""
    from sklearn.model_selection import KFold

    spec = study.study.encoding
    outer = KFold(spec.folds, shuffle=True, random_state=spec.seed)
    inner = KFold(spec.inner_folds, shuffle=True, random_state=spec.seed)
    for train, test in outer.split(study.means):
        yield train, test, list(inner.split(train))


def centred(
    kernel: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernels of training and test stimuli, of features centred on the former."""
    from sklearn.preprocessing import KernelCenterer

    centerer = KernelCenterer()
    k = centerer.fit_transform(kernel[np.ix_(train, train)])
    return k, centerer.transform(kernel[np.ix_(test, train)])


def correlations(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of every column."""
    from himalaya.scoring import correlation_score

    return correlation_score(y, predicted)


def encoding(study: V4, part: int) -> Measured:
    """Predict every unit from every layer in nested folds, and test it by permutations."""
    from himalaya.kernel_ridge import KernelRidge, KernelRidgeCV

    from repbias.encoding.ridge import gram

    spec, responses = study.study.encoding, study.means
    (table,), a = timed(lambda: study.analysed("encoding"))
    grid = np.logspace(*spec.log10_alpha, spec.n_alphas)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(responses)) for _ in range(spec.permutations // part)]

    def fitted() -> tuple[dict, float]:
        r, permuting = {}, 0.0
        for place, x in study.layers.items():
            kernel, of_folds = gram(x), []
            for train, test, inner in folds(study):
                fit = KernelRidgeCV(alphas=grid, kernel="precomputed", cv=inner)
                mean = responses[train].mean(axis=0)
                k, k_test = centred(kernel, train, test)
                fit.fit(k, responses[train] - mean)
                of_folds.append(correlations(responses[test] - mean, fit.predict(k_test)))
                start = time.perf_counter()
                for order in orders:
                    y = responses[order]
                    null = KernelRidge(alpha=fit.best_alphas_, kernel="precomputed")
                    null.fit(k, y[train] - y[train].mean(axis=0))
                    correlations(y[test], null.predict(k_test))
                permuting += time.perf_counter() - start
            r[place] = np.mean(of_folds, axis=0)
        return r, permuting

    (r, permuting), b = timed(fitted)
    rows = table.sort_values("unit", kind="stable")
    mine = {p: t["r"].to_numpy() for p, t in rows.groupby(["condition", "layer"], sort=False)}
    difference = max(np.abs(mine[place] - r[place]).max() for place in r)
    return Measured(a, b - permuting + permuting * part, difference)


def partition(study: V4, part: int) -> Measured:
    """Divide every unit's predicted variance between two feature spaces."""
    from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV

    from repbias.encoding.ridge import gram

    spec, responses = study.study.encoding, study.means
    (table,), a = timed(lambda: study.analysed("variance_partition"))
    grid = np.logspace(*spec.log10_alpha, spec.n_alphas)
    ((_, names),) = spec.partition.items()
    kernels = np.stack([gram(study.layers[tuple(name.split(":"))]) for name in names])
    weights = np.concatenate([np.full((1, 2), 0.5), np.eye(2)])
    drawn = np.random.default_rng(0).dirichlet(np.ones(2), spec.partition_iterations)
    weights = np.concatenate([weights, drawn])

    def joint() -> np.ndarray:
        error, total = 0.0, 0.0
        for train, test, inner in folds(study):
            mean = responses[train].mean(axis=0)
            solver = {"alphas": grid, "n_iter": weights, "progress_bar": False}
            of_fold = [centred(kernel, train, test) for kernel in kernels]
            fit = MultipleKernelRidgeCV(
                kernels="precomputed", cv=inner, solver="random_search", solver_params=solver
            ).fit(np.stack([k for k, _ in of_fold]), responses[train] - mean)
            predicted = fit.predict(np.stack([k_test for _, k_test in of_fold]))
            error = error + ((responses[test] - mean - predicted) ** 2).sum(axis=0)
            total = total + ((responses[test] - mean) ** 2).sum(axis=0)
            for k, k_test in of_fold:
                alone = KernelRidgeCV(alphas=grid, kernel="precomputed", cv=inner)
                alone.fit(k, responses[train] - mean)
                alone.predict(k_test)
        return 1 - error / total

    r2, b = timed(joint)
    mine = table[table["part"] == "all"].sort_values("unit", kind="stable")["r2"].to_numpy()
    return Measured(a, b, np.abs(mine - r2).max())


#: Name, libraries, so many parts of which they do one, and what measures.
ANALYSES = (
    ("RDMs of all layers", "rsatoolbox `calc_rdm`", 1, rdms),
    (
        "RSA of all layers by `corr`: intervals, tests between layers",
        "rsatoolbox `eval_bootstrap_pattern` (1/200 of the samples)",
        200,
        inference("corr"),
    ),
    (
        "RSA of all layers by `spearman`: intervals, tests between layers",
        "rsatoolbox `eval_bootstrap_pattern` (1/500 of the samples)",
        500,
        inference("spearman"),
    ),
    (
        "encoding models of all layers: nested folds, permutations",
        "himalaya `KernelRidgeCV`, `KernelRidge` (1/250 of the permutations)",
        250,
        encoding,
    ),
    (
        "variance partitioning of two feature spaces",
        "himalaya `MultipleKernelRidgeCV`, `KernelRidgeCV`",
        1,
        partition,
    ),
)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="results/v4, after the study has run")
    parser.add_argument("--only", default="", help="print rows with this in their name only")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)  # rsatoolbox's progress
    study, rows, sums = V4(options.results), [], np.zeros(2)
    for name, libraries, part, measure in ANALYSES:
        if options.only in name:
            found = measure(study, part)
            sums += found[:2]
            rows.append(line(name, libraries, *found))
            print(rows[-1], flush=True)
    if options.only:
        return
    rows.append(line("all of them", "", *sums, None))
    before, _, behind = PAGE.read_text(encoding="utf-8").partition("<!-- v4 -->")
    after = behind.partition("<!-- end of v4 -->")[2]
    table = "\n".join([HEAD, *rows])
    text = f"{before}<!-- v4 -->\n\n{machine()}.\n\n{table}\n\n<!-- end of v4 -->{after}"
    PAGE.write_text(text, encoding="utf-8")
    print(rows[-1])


def line(name: str, libraries: str, ours: float, theirs: float, difference: float | None) -> str:
    """Return a row of the table."""
    said = "" if difference is None else f"{difference:.0e}"
    ratio = f"**{theirs / ours:,.0f}×**"
    cells = [name, libraries, seconds(ours), seconds(theirs), ratio, said]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
