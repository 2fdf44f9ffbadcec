"""M1c, the variance decomposition: what a representation's variance is spent on, summing to 1."""

from __future__ import annotations

import logging
from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.stimuli.manipulations import LABEL

if TYPE_CHECKING:
    from repbias.networks.snapshots import Representations, Snapshot

logger = logging.getLogger(__name__)


def decompose_variance(
    blocks_fit: dict[str, np.ndarray],
    representation_fit: np.ndarray,
    blocks_test: dict[str, np.ndarray],
    representation_test: np.ndarray,
) -> dict[str, float]:
    """Divide a representation's variance among blocks of regressors, in their order.

    Least squares on one set, with the regressors of one block after the other; a block's share is
    what it adds to the variance explained on another set. With independent features on balanced
    stimuli the order does not matter, up to the error of estimation. That error also makes a block
    of k regressors that explain nothing slightly negative: by k / n of the residual, n being the
    number of fitted stimuli.

    Parameters
    ----------
    blocks_fit, blocks_test
        Name to regressors (stimulus, regressor), for the set that weights are fitted on and for
        the set that the shares are measured on.
    representation_fit, representation_test
        (stimulus, unit).

    Returns
    -------
    dict
        The share of every block, and "residual"; they sum to 1. NaN without variance.
    """
    mean = representation_fit.mean(axis=0, dtype=np.float64)
    phi_fit, phi = representation_fit - mean, representation_test - mean
    total = (phi**2).sum()
    if total <= 1e-12 * (representation_test.astype(np.float64) ** 2).sum():  # rounding only
        return dict.fromkeys([*blocks_fit, "residual"], float("nan"))
    shares, explained = {}, 0.0
    design_fit, design = np.ones((len(phi_fit), 1)), np.ones((len(phi), 1))
    for name in blocks_fit:
        design_fit = np.column_stack([design_fit, blocks_fit[name]])
        design = np.column_stack([design, blocks_test[name]])
        # Minimum norm: a block may repeat what is there already (a single bit that is a feature).
        weights = np.linalg.lstsq(design_fit, phi_fit, rcond=None)[0]
        up_to_here = float(1 - ((phi - design @ weights) ** 2).sum() / total)
        shares[name] = up_to_here - explained
        explained = up_to_here
    return shares | {"residual": 1 - explained}


def decomposition_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Decompose the variance of the analysed layer of every network.

    The parts: every feature, the features' interactions, their sub-components (such as inner
    XORs), the input itself (every bit, or what varies beside the features), and what is left.
    Interactions of three features and more take part while there are at most a quarter as many as
    validation stimuli. Weights are fitted on the validation
    stimuli, shares measured on the test stimuli.
    """
    blocks_fit, blocks_test = _blocks(snapshot, snapshot.fit), _blocks(snapshot, snapshot.test)
    n_regressors = sum(block.shape[1] for block in blocks_fit.values())
    n_fit = len(snapshot.fit.labels)
    if n_regressors > n_fit / 10 and snapshot.name == "final":
        logger.warning(
            "%s/%s: %d regressors are fitted on %d validation stimuli; shares of the input and of "
            "what is left are off by up to %.2f",
            snapshot.networks[0]["experiment"],
            snapshot.networks[0]["condition"],
            n_regressors,
            n_fit,
            n_regressors / n_fit,
        )
    layer = snapshot.analysed
    return [
        {**about, "layer": layer, "part": part, "share": share}
        for about, phi_fit, phi in zip(
            snapshot.networks, snapshot.fit.layers[layer], snapshot.test.layers[layer], strict=True
        )
        for part, share in decompose_variance(blocks_fit, phi_fit, blocks_test, phi).items()
    ]


def contrasts(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Code a feature by one regressor fewer than it has classes.

    Parameters
    ----------
    labels
        (stimulus,).
    classes
        The classes that there are.

    Returns
    -------
    numpy.ndarray
        (stimulus, regressor): 1 for the regressor's class, -1 for the first class, else 0. Where
        classes are equally frequent, every regressor has mean 0.

    Examples
    --------
    >>> contrasts(np.array([0, 1, 2]), np.arange(3))
    array([[-1., -1.],
           [ 1.,  0.],
           [ 0.,  1.]])
    """
    one_hot = (labels[:, None] == classes[1:]).astype(np.float64)
    return one_hot - (labels == classes[0])[:, None]


def interactions(coded: list[np.ndarray], most: int) -> np.ndarray:
    """Return products of the regressors of two features, of three, and so on.

    Parameters
    ----------
    coded
        The regressors of every feature, (stimulus, regressor).
    most
        Products of more features are left out once there would be more regressors than these;
        those of two are always there.

    Returns
    -------
    numpy.ndarray
        (stimulus, regressor).
    """
    products: list[np.ndarray] = []
    for size in range(2, len(coded) + 1):
        sets = list(combinations(coded, size))
        total = len(products) + sum(prod(c.shape[1] for c in chosen) for chosen in sets)
        if size > 2 and total > most:
            break
        products += [
            np.prod(columns, axis=0)
            for chosen in sets
            for columns in product(*(c.T for c in chosen))
        ]
    return np.stack(products, axis=1) if products else np.zeros((len(coded[0]), 0))


def _blocks(snapshot: Snapshot, stimuli: Representations) -> dict[str, np.ndarray]:
    # Of a class that no fitted stimulus has, nothing can be known.
    known = {
        name: contrasts(labels, np.unique(snapshot.fit.known[name]))
        for name, labels in stimuli.known.items()
    }
    features = [name for name in snapshot.features if name != LABEL]
    blocks = {name: known[name] for name in features}
    if len(features) > 1:
        most = len(snapshot.fit.labels) // 4
        blocks["interaction"] = interactions([known[name] for name in features], most)
    if snapshot.components:
        blocks["components"] = np.concatenate([known[c] for c in snapshot.components], axis=1)
    return blocks | {"input": stimuli.regressors}
