"""Fast paths against the libraries that are their reference: time, memory and equality.

Every row does the same work twice, ours and the reference's, each in a process of its own, one
after the other, and compares the results. Times are medians; where the reference would take hours
it does a stated part of the work, and its time is multiplied. The floor is the time of the matrix
products alone. The table goes to docs/speed.md, the plots of how costs grow to docs/speed.svg.

Run with ``python benchmarks/speed.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"


@dataclass
class Work:
    """One row.

    Attributes
    ----------
    name : what is done
    aim : the ratio that we aim at, 0 for none
    make : returns the input
    ours : of the input, returns results
    references : by name; each returns the same results, the fastest counts
    floor : the matrix products that any implementation needs
    part : the reference does one part of so many of the work
    repeats : of ours; the reference's are at most 3, and 1 where it takes longer than 20 s
    """

    name: str
    aim: float
    make: Callable[[], tuple]
    ours: Callable
    references: dict[str, Callable]
    floor: Callable | None = None
    part: int = 1
    repeats: int = 5


@dataclass
class Measured:
    """Seconds (median), the peak of memory above the input (MiB), and the result."""

    seconds: float
    memory: float
    result: object


def in_a_process(function: Callable, make: Callable[[], tuple], repeats: int) -> Measured:
    """Time a function in a process that has done nothing else."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def call() -> None:
        arguments = make()
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak
            before, times = _memory("VmRSS"), []
            while len(times) < repeats:
                started = time.perf_counter()
                result = function(*arguments)
                times.append(time.perf_counter() - started)
                if times[-1] > 20:
                    break
        sender.send(Measured(float(np.median(times)), _memory("VmHWM") - before, result))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    with contextlib.suppress(EOFError):
        sender.close()
        found = receiver.recv()
        process.join()
        return found
    raise RuntimeError("a process ended without a result; its error is above")


def _memory(what: str) -> float:
    """Return VmRSS, the memory held now, or VmHWM, its peak, in MiB (Linux)."""
    for row in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if row.startswith(what):
            return int(row.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {what}")


def relative_error(ours: object, reference: object) -> float:
    """Largest difference over all results, relative to the largest value of each."""
    if isinstance(ours, tuple):
        return max(map(relative_error, ours, reference))
    ours, reference = np.asarray(ours, float), np.asarray(reference, float)
    ours = ours[: len(reference)] if ours.ndim else ours  # the part that the reference did
    there = np.isfinite(reference)
    if not np.array_equal(there, np.isfinite(ours)):
        return np.inf
    return float(np.abs(ours - reference)[there].max() / np.abs(reference[there]).max())


# --- The work ------------------------------------------------------------------------------------


def patterns(n_stimuli: int, n_units: int, *leading: int) -> np.ndarray:
    """Patterns of a few dimensions and noise."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((*leading, n_stimuli, 20))
    shape = (*leading, n_stimuli, n_units)
    return latent @ rng.standard_normal((20, n_units)) + 2 * rng.standard_normal(shape)


def correlation_rdm(n_stimuli: int, n_units: int) -> Work:
    """RDM of a layer."""

    def ours(x: np.ndarray) -> np.ndarray:
        from repbias.geometry.distances import correlation_distances

        return correlation_distances(x)

    def reference(x: np.ndarray) -> np.ndarray:
        from rsatoolbox.data import Dataset
        from rsatoolbox.rdm import calc_rdm

        return calc_rdm(Dataset(x), "correlation").get_vectors()[0]

    return Work(
        f"correlation RDM, {n_stimuli:,} stimuli × {n_units:,} units",
        20 if n_units == 5000 else 0,
        lambda: (patterns(n_stimuli, n_units),),
        ours,
        {"rsatoolbox `calc_rdm`": reference},
        lambda x: x @ x.T,
    )


def crossnobis_rdm(n_stimuli: int, n_units: int, n_folds: int) -> Work:
    """Noise-normalised, cross-validated RDM, the noise's precision being estimated from repeats."""

    def make() -> tuple:
        from rsatoolbox.data import Dataset

        x = np.repeat(patterns(n_stimuli, n_units)[:, None], n_folds, axis=1)
        x = x + np.random.default_rng(1).standard_normal(x.shape)
        stimulus, fold = (i.ravel().tolist() for i in np.indices(x.shape[:2]))
        described = {"stimulus": stimulus, "fold": fold}
        return Dataset(x.reshape(-1, n_units), obs_descriptors=described), x

    def ours(dataset: object, x: np.ndarray) -> np.ndarray:
        from repbias.rsa.toolbox import calc_rdm

        rdm = calc_rdm(dataset, "crossnobis", "stimulus", noise="shrinkage", cv_descriptor="fold")
        return rdm.get_vectors()[0]

    def reference(dataset: object, x: np.ndarray) -> np.ndarray:
        from rsatoolbox.data.noise import prec_from_unbalanced
        from rsatoolbox.rdm import calc_rdm

        noise = prec_from_unbalanced(dataset, "stimulus", method="shrinkage_diag")
        rdm = calc_rdm(dataset, "crossnobis", "stimulus", noise, cv_descriptor="fold")
        return rdm.get_vectors()[0]

    return Work(
        f"shrinkage precision and crossnobis RDM, {n_stimuli} stimuli × {n_folds} folds × "
        f"{n_units:,} units",
        500 if n_units == 5000 else 0,
        make,
        ours,
        {"rsatoolbox `prec_from_unbalanced`, `calc_rdm`": reference},
        # Products of trials among each other, and of the sums of folds.
        lambda _, x: (x.reshape(-1, n_units) @ x.reshape(-1, n_units).T, x[:, 0] @ x[:, 0].T),
        repeats=3,
    )


def rdms(n_models: int, n_subjects: int, n_stimuli: int, n_bases: int = 1) -> tuple:
    """Return RDMs of models (and the RDMs that each is a weighted sum of) and of subjects."""
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(2)
    common = rng.standard_normal((n_stimuli, 15))

    def one() -> np.ndarray:
        # Small: rsatoolbox finds weights to an absolute tolerance, which large ones never reach.
        return pdist(common + 2 * rng.standard_normal(common.shape), "sqeuclidean") * 1e-5

    models = np.array([[one() for _ in range(n_bases)] for _ in range(n_models)])
    return models, np.array([one() for _ in range(n_subjects)])


def comparison(method: str, n_models: int, n_subjects: int, n_stimuli: int) -> Work:
    """Every model with every subject."""

    def make() -> tuple:
        from rsatoolbox.rdm import RDMs

        models, data = rdms(n_models, n_subjects, n_stimuli)
        return RDMs(models[:, 0]), RDMs(data)

    def ours(models: object, data: object) -> np.ndarray:
        from repbias.rsa.toolbox import compare

        return compare(models, data, method)

    def reference(models: object, data: object) -> np.ndarray:
        from rsatoolbox.rdm import compare

        return compare(models, data, method)

    return Work(
        f"compare, `{method}`, {n_models} models × {n_subjects} subjects, {n_stimuli} stimuli",
        5 if method == "tau-a" else 0,
        make,
        ours,
        {"rsatoolbox `compare`": reference},
        None if method == "tau-a" else lambda a, b: a.dissimilarities @ b.dissimilarities.T,
    )


def ceiling(method: str, n_subjects: int, n_stimuli: int) -> Work:
    """Noise ceiling."""

    def make() -> tuple:
        from rsatoolbox.rdm import RDMs

        return (RDMs(rdms(0, n_subjects, n_stimuli)[1]),)

    def ours(data: object) -> tuple:
        from repbias.rsa.toolbox import boot_noise_ceiling

        return boot_noise_ceiling(data, method)

    def reference(data: object) -> tuple:
        from rsatoolbox.inference import boot_noise_ceiling

        return boot_noise_ceiling(data, method)

    return Work(
        f"noise ceiling, `{method}`, {n_subjects} subjects, {n_stimuli} stimuli",
        0,
        make,
        ours,
        {"rsatoolbox `boot_noise_ceiling`": reference},
    )


def bootstrap(
    method: str,
    samples: int = 1000,
    n_stimuli: int = 100,
    n_models: int = 20,
    n_subjects: int = 10,
    *,
    n_bases: int = 1,
    part: int = 100,
    aim: float = 0,
) -> Work:
    """Dual bootstrap of stimuli and subjects; of fitted models with cross-validation."""

    def make() -> tuple:
        from rsatoolbox.model import ModelFixed, ModelWeighted
        from rsatoolbox.rdm import RDMs

        bases, data = rdms(n_models, n_subjects, n_stimuli, n_bases)
        kind = ModelFixed if n_bases == 1 else ModelWeighted
        models = [kind(f"model{i}", RDMs(rdm)) for i, rdm in enumerate(bases)]
        return models, RDMs(data), bases, data

    options: dict = {"method": method, "k_pattern": 1, "k_rdm": 1}
    if n_bases > 1:
        from rsatoolbox.model.fitter import fit_regress_nn

        options |= {"k_pattern": None, "k_rdm": None, "fitter": fit_regress_nn}

    def ours(models: list, data: object, *_: np.ndarray) -> tuple:
        from repbias.rsa.toolbox import eval_dual_bootstrap

        found = eval_dual_bootstrap(models, data, N=samples, random_state=0, **options)
        return found.evaluations, np.moveaxis(found.noise_ceiling, 1, 0)

    def reference(models: list, data: object, *_: np.ndarray) -> tuple:
        from rsatoolbox.inference import eval_dual_bootstrap

        np.random.seed(0)  # noqa: NPY002 the only one that rsatoolbox knows
        found = eval_dual_bootstrap(models, data, N=samples // part, **options)
        return found.evaluations, np.moveaxis(found.noise_ceiling, 1, 0)

    def floor(_models: list, _data: object, bases: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Weights of pairs times the products of every model with every subject."""
        weights = np.ones((samples, data.shape[1]))
        bases = bases.reshape(-1, data.shape[1])
        for rdm in data:
            weights @ (bases * rdm).T
        return weights

    kind = "" if n_bases == 1 else f" of {n_bases} weighted RDMs, cross-validated"
    return Work(
        f"dual bootstrap, `{method}`, {samples:,} samples, {n_stimuli} stimuli, {n_models} models"
        f"{kind}, {n_subjects} subjects",
        aim,
        make,
        ours,
        {"rsatoolbox `eval_dual_bootstrap`": reference},
        floor,
        part=part,
        repeats=3,
    )


def bootstrap_of_arrays(method: str, n_stimuli: int, aim: float, part: int) -> Work:
    """Dual bootstrap by the functions on arrays, given the resamples that rsatoolbox draws."""
    whole = bootstrap(method, n_stimuli=n_stimuli, aim=aim, part=part)
    n_samples = 1000

    def make() -> tuple:
        models, data, bases, vectors = whole.make()
        n_subjects = len(vectors)
        rng, stimuli, subjects = np.random.RandomState(0), [], []
        for _ in range(n_samples):
            subject = rng.randint(0, n_subjects, n_subjects)
            stimulus = rng.randint(0, n_stimuli, n_stimuli)
            for s, c in (
                (subject, stimulus),
                (subject, range(n_stimuli)),
                (range(n_subjects), stimulus),
            ):
                rng.shuffle(np.unique(s))  # of folds, which there are none
                rng.shuffle(np.unique(c))
            subjects.append(np.bincount(subject, minlength=n_subjects))
            stimuli.append(np.bincount(stimulus, minlength=n_stimuli))
        return models, data, bases[:, 0], vectors, np.array(stimuli), np.array(subjects)

    def ours(
        _models: list, _data: object, models: np.ndarray, data: np.ndarray, *drawn: np.ndarray
    ) -> tuple:
        from repbias.geometry.ceilings import resampled_ceilings
        from repbias.geometry.comparison import resampled_similarity, similarities

        stimuli, subjects = drawn
        share = subjects / subjects.sum(axis=1, keepdims=True)
        by_stimuli = resampled_similarity(models, data, method, stimuli)
        full = similarities(models, data, method)
        both = (by_stimuli @ share[:, :, None])[:, :, 0]
        evaluations = np.stack([both, share @ full.T, by_stimuli.mean(axis=2)], axis=2)
        every = np.ones_like(stimuli), np.ones_like(subjects)
        pairs = ((stimuli, subjects), (every[0], subjects), (stimuli, every[1]))
        ceilings = [resampled_ceilings(data, method, *pair, average="subjects") for pair in pairs]
        return evaluations, np.moveaxis(np.array(ceilings), 0, 2).transpose(1, 0, 2)

    def reference(models: list, data: object, *_: np.ndarray) -> tuple:
        (theirs,) = whole.references.values()
        evaluations, ceilings = theirs(models, data)
        return evaluations[:, :, 0, 0], ceilings[:, :, 0]

    return replace(
        whole,
        name=f"{whole.name}: functions on arrays, resamples given",
        make=make,
        ours=ours,
        references={next(iter(whole.references)): reference},
        floor=lambda *a: whole.floor(None, None, a[2][:, None], a[3]),
        repeats=5,
    )


def ridge(n_stimuli: int, n_features: int, n_targets: int, aim: float = 0) -> Work:
    """Ridge regression with a penalty for every target."""
    alphas, n_folds = np.logspace(-2, 6, 20), 5

    def make() -> tuple:
        x = patterns(n_stimuli, n_features)
        return x - x.mean(axis=0), noisy_targets(x, n_targets)

    def ours(x: np.ndarray, y: np.ndarray) -> tuple:
        from repbias.encoding.solvers import ridge_cv

        fit = ridge_cv(x, y, alphas, splits(n_stimuli, n_folds))
        return np.log(fit.alphas), fit.coefficients

    def primal(x: np.ndarray, y: np.ndarray) -> tuple:
        from himalaya.ridge import RidgeCV

        model = RidgeCV(alphas=alphas, cv=splits(n_stimuli, n_folds)).fit(x, y)
        return np.log(model.best_alphas_), model.coef_

    def dual(x: np.ndarray, y: np.ndarray) -> tuple:
        from himalaya.kernel_ridge import KernelRidgeCV

        model = KernelRidgeCV(alphas=alphas, cv=splits(n_stimuli, n_folds)).fit(x, y)
        return np.log(model.best_alphas_), model.get_primal_coef()

    return Work(
        f"ridge, {n_stimuli:,} stimuli × {n_features:,} features × {n_targets:,} targets, "
        f"{len(alphas)} penalties, {n_folds} folds",
        aim,
        make,
        ours,
        # The dual is slower already at 2,000 stimuli, and takes many minutes at 5,000.
        {"himalaya `RidgeCV`": primal}
        | ({"himalaya `KernelRidgeCV`": dual} if n_stimuli <= 2000 else {}),
        repeats=3,
    )


def banded(n_stimuli: int, bands: tuple[int, ...], n_targets: int, aim: float = 0) -> Work:
    """Banded ridge regression: a penalty and weights of the bands for every target."""
    alphas, n_folds = np.logspace(-2, 6, 20), 5
    weightings = np.random.default_rng(5).dirichlet(np.ones(len(bands)), 10)
    starts = np.cumsum((0, *bands))

    def make() -> tuple:
        x = patterns(n_stimuli, sum(bands))
        x = x - x.mean(axis=0)
        xs = [x[:, a:b].copy() for a, b in pairwise(starts)]
        return xs, noisy_targets(x, n_targets)

    def ours(xs: list, y: np.ndarray) -> tuple:
        from repbias.encoding.solvers import banded_ridge_cv

        fit = banded_ridge_cv(xs, y, weightings, alphas, splits(n_stimuli, n_folds))
        return np.log(fit.alphas), fit.coefficients

    def reference(xs: list, y: np.ndarray) -> tuple:
        from himalaya.ridge import GroupRidgeCV

        solver = {"alphas": alphas, "n_iter": weightings, "progress_bar": False}
        model = GroupRidgeCV(
            groups="input", cv=splits(n_stimuli, n_folds), solver_params=solver
        ).fit(xs, y)
        return np.log(model.best_alphas_), model.coef_

    sizes = ", ".join(map(str, bands))
    return Work(
        f"banded ridge, {n_stimuli:,} stimuli × ({sizes}) features × {n_targets:,} targets, "
        f"{len(weightings)} weightings, {len(alphas)} penalties, {n_folds} folds",
        aim,
        make,
        ours,
        {"himalaya `GroupRidgeCV`": reference},
        repeats=3,
    )


def noisy_targets(x: np.ndarray, n_targets: int) -> np.ndarray:
    """Return centred targets of all degrees of predictability."""
    rng = np.random.default_rng(3)
    y = x @ rng.standard_normal((x.shape[1], n_targets)) / 10
    y += rng.uniform(1, 30, n_targets) * rng.standard_normal(y.shape)
    return y - y.mean(axis=0)


def splits(n: int, folds: int) -> list:
    """Return folds."""
    from sklearn.model_selection import KFold

    return list(KFold(folds, shuffle=True, random_state=0).split(np.zeros(n)))


#: The rows of the table. Whitened comparisons of rsatoolbox fail from 100 stimuli on.
TABLE: tuple[Callable[[], Work], ...] = (
    lambda: correlation_rdm(2000, 5000),
    lambda: correlation_rdm(200, 1000),
    lambda: crossnobis_rdm(100, 5000, 4),
    lambda: crossnobis_rdm(100, 500, 4),
    *(partial(comparison, m, 200, 10, 100) for m in ("corr", "spearman", "rho-a", "tau-a")),
    lambda: comparison("corr_cov", 200, 10, 99),
    lambda: ceiling("corr", 10, 100),
    lambda: ceiling("spearman", 10, 100),
    lambda: ceiling("corr_cov", 10, 99),
    lambda: bootstrap_of_arrays("corr", 100, 500, 100),
    lambda: bootstrap_of_arrays("corr_cov", 99, 5000, 250),
    lambda: bootstrap("corr", aim=500),
    lambda: bootstrap("cosine", aim=500),
    lambda: bootstrap("corr_cov", n_stimuli=99, aim=5000, part=250),
    lambda: bootstrap("cosine_cov", n_stimuli=99, aim=5000, part=250),
    lambda: bootstrap("spearman", aim=40),
    lambda: bootstrap("rho-a", aim=40),
    lambda: bootstrap("tau-a", samples=100, part=50),
    lambda: bootstrap("corr", samples=200, n_bases=5, aim=50, part=100),
    lambda: bootstrap("cosine", samples=200, n_bases=5, aim=50, part=100),
    lambda: ridge(2000, 512, 1000, 4),
    lambda: ridge(5000, 512, 1000, 10),
    lambda: ridge(1000, 4096, 1000),
    lambda: banded(2000, (200, 200, 100), 500, 2),
)

#: The plots: what grows, its values, and the work.
GROWTH: dict[str, tuple[str, tuple[int, ...], Callable[[int], Work]]] = {
    "correlation RDM, 1,000 units": (
        "stimuli",
        (125, 250, 500, 1000, 2000),
        lambda n: correlation_rdm(n, 1000),
    ),
    "correlation RDM, 500 stimuli": (
        "units",
        (125, 500, 2000, 8000),
        lambda n: correlation_rdm(500, n),
    ),
    "dual bootstrap, corr, 1,000 samples, 20 models, 10 subjects": (
        "stimuli",
        (25, 50, 100, 200),
        lambda n: bootstrap("corr", n_stimuli=n, part=250),
    ),
    "dual bootstrap, corr, 1,000 samples, 100 stimuli, 10 subjects": (
        "models (networks)",
        (5, 20, 80),
        lambda n: bootstrap("corr", n_models=n, part=500),
    ),
    "dual bootstrap, corr, 100 stimuli, 20 models, 10 subjects": (
        "bootstrap samples",
        (100, 1000, 10000),
        lambda n: bootstrap("corr", samples=n, part=n // 4),
    ),
    "ridge, 512 features, 200 targets": (
        "stimuli",
        (500, 1000, 2000),
        lambda n: ridge(n, 512, 200),
    ),
}


@dataclass
class Row:
    """A measured work."""

    work: Work
    ours: Measured
    reference: Measured
    peer: str
    floor: float
    error: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the fastest reference."""
        return self.reference.seconds / self.ours.seconds


def measured(work: Work) -> Row:
    """Do the work both ways."""
    ours = in_a_process(work.ours, work.make, work.repeats)
    found = {
        name: in_a_process(f, work.make, min(work.repeats, 3))
        for name, f in work.references.items()
    }
    error = max(relative_error(ours.result, one.result) for one in found.values())
    for one in found.values():
        one.seconds *= work.part
    peer = min(found, key=lambda name: found[name].seconds)
    floor = in_a_process(work.floor, work.make, work.repeats).seconds if work.floor else np.nan
    return Row(work, ours, found[peer], peer, floor, error)


def line(row: Row) -> str:
    """Return a row of the table."""
    work, part = row.work, f" (1/{row.work.part} of the work)" if row.work.part > 1 else ""
    floor = "" if np.isnan(row.floor) else f"{row.ours.seconds / row.floor:.1f}×"
    aim = f"{work.aim:,.0f}×" if work.aim else ""
    cells = [
        work.name,
        f"{row.peer}{part}",
        seconds(row.ours.seconds),
        seconds(row.reference.seconds),
        f"**{row.ratio:,.0f}×**" if row.ratio >= 10 else f"**{row.ratio:.1f}×**",
        aim,
        floor,
        f"{row.error:.0e}",
        f"{row.ours.memory:,.0f}",
        f"{row.reference.memory:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def seconds(value: float) -> str:
    """Return a time with two digits."""
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.1 else f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def plot(grown: dict[str, list[tuple[int, Row]]]) -> None:
    """Draw how costs grow."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "speed"
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    for axis, (title, rows) in zip(axes.flat, grown.items(), strict=True):
        sizes = [size for size, _ in rows]
        axis.loglog(
            sizes, [r.reference.seconds for _, r in rows], "s--", c="#888", label="reference"
        )
        axis.loglog(sizes, [r.ours.seconds for _, r in rows], "o-", c="#0072b2", label="repbias")
        floors = [r.floor for _, r in rows]
        if np.isfinite(floors).all():
            axis.loglog(sizes, floors, ":", c="#0072b2", label="matrix products alone")
        axis.set(title=title, xlabel=GROWTH[title][0], ylabel="seconds")
        axis.set_title(title, fontsize=8)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    axes.flat[0].legend(frameon=False)
    figure.savefig(DOCS / "speed.svg", metadata={"Date": None})


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="print rows with this in their name, write nothing"
    )
    options = parser.parse_args()
    for module in ("repbias.rsa.toolbox", "repbias.encoding.solvers", "himalaya.ridge"):
        importlib.import_module(module)  # not in any time
    lines = []
    for make in TABLE:
        work = make()
        if options.only in work.name:
            lines.append(line(measured(work)))
            print(lines[-1], flush=True)
    if options.only:
        return
    grown: dict[str, list[tuple[int, Row]]] = {}
    for title, (_, sizes, make) in GROWTH.items():
        grown[title] = [(size, measured(replace(make(size), repeats=3))) for size in sizes]
        print(title, *(f"{s}: {seconds(r.ours.seconds)}" for s, r in grown[title]), flush=True)
    plot(grown)
    page = DOCS / "speed.md"
    before, _, behind = page.read_text(encoding="utf-8").partition("<!-- table -->")
    after = behind.partition("<!-- end -->")[2]
    table = "\n".join([HEAD, *lines])
    said = f"{machine()}."
    page.write_text(
        f"{before}<!-- table -->\n\n{said}\n\n{table}\n\n<!-- end -->{after}", encoding="utf-8"
    )


HEAD = (
    "| work | reference | ours | reference's time | ratio | aim | ours / matrix products | "
    "largest error | memory (MiB) | reference's memory |\n|---|---|---|---|---|---|---|---|---|---|"
)


def machine() -> str:
    """Say what it ran on."""
    import os
    from importlib.metadata import version

    names = ("numpy", "scipy", "rsatoolbox", "himalaya")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS", str(cores))
    rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((r.partition(":")[2].strip() for r in rows if r.startswith("model name")), "CPU")
    return f"{model}, {cores} cores, {threads} threads, float64; {versions}"


if __name__ == "__main__":
    main()
