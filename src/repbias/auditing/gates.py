"""Whether there is something to divide: tests of scores, features and what is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from repbias.auditing.design import Design
from repbias.auditing.shares import Freed, centred
from repbias.base.groups import StimulusGroups

#: The level of every gate.
LEVEL = 0.05


def least_t(n: int) -> float:
    """Return the t over n folds that the gate asks for; NaN where there is one fold."""
    return float(stdtrit(n - 1, 1 - LEVEL)) if n > 1 else float("nan")


def permutation_p(
    models: Sequence[np.ndarray],
    brain: np.ndarray,
    groups: StimulusGroups,
    n_permutations: int,
    seed: int,
) -> np.ndarray:
    """Test whether models and a recording have anything in common, (model,) p values.

    The statistic is the numerator of debiased CKA; stimuli (whole groups) are permuted.

    Parameters
    ----------
    models
        (model, stimulus, stimulus) kernels.
    brain
        (stimulus, stimulus) kernel of the recording.
    groups
        Which stimuli belong together.
    n_permutations, seed
        Of the permutations.
    """
    nothing = Design.of_none(len(brain))
    flat = np.stack([Freed.of(k, nothing).kernel for k in models]).reshape(len(models), -1)
    brain = Freed.of(brain, nothing).kernel
    observed = flat @ brain.ravel()
    reached = np.ones(len(models))
    orders = groups.orders(n_permutations, np.random.default_rng(seed))
    size = max(1, 2**22 // brain.size)
    for start in range(0, n_permutations, size):
        batch = np.stack([brain[np.ix_(o, o)].ravel() for o in orders[start : start + size]])
        reached += (batch @ flat.T >= observed - 1e-12 * np.abs(observed)).sum(axis=0)
    return reached / (n_permutations + 1)


def has_features(
    kernel: np.ndarray, orthogonal: Design, n_permutations: int, seed: int
) -> np.ndarray:
    """Test whether a kernel varies with every feature, beyond what others account for.

    tr(P_f K), P_f being the projection on the feature's part of a design of orthogonal features,
    against permutations of the stimuli. Features that only overlap with others do not pass.

    Returns
    -------
    numpy.ndarray
        (feature,) bool.
    """
    k = centred(kernel)
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(len(k)) for _ in range(n_permutations)])
    found = []
    for part in orthogonal.parts:
        values, vectors = np.linalg.eigh(part)  # 0 or 1, as it is a projection
        q = orthogonal.basis @ vectors[:, values > 0.5]
        permuted = np.concatenate([q[None], q[orders]])
        sizes = np.einsum("biq,ij,bjq->b", permuted, k, permuted, optimize=True)
        found.append(_p(sizes) <= LEVEL)
    return np.array(found, bool)


def has_rest(
    halves: list[tuple[np.ndarray, np.ndarray]], design: Design, n_permutations: int, seed: int
) -> bool:
    """Test whether two measurements have something in common that no feature explains.

    Parameters
    ----------
    halves
        Pairs of kernels (stimulus, stimulus) of independent measurements.
    design
        The features.
    n_permutations, seed
        Permutations of the stimuli of the second.
    """
    rng = np.random.default_rng(seed)
    orders = [np.arange(design.n_stimuli)]
    orders += [rng.permutation(design.n_stimuli) for _ in range(n_permutations)]
    values = np.zeros(len(orders))
    for pair in halves:
        a, b = (Freed.of(k, design).without_features(design) for k in pair)
        values += [float((a * b[np.ix_(order, order)]).sum()) for order in orders]
    return bool(_p(values) <= LEVEL)


def _p(values: np.ndarray) -> float:
    """Return the p value of the first of several values, the others being of permutations."""
    return float((values >= values[0] - 1e-12 * abs(values[0])).mean())
