"""M1 and M1b: the share of a representation's variance that a feature explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


Definition = Literal["ratio_of_sums", "mean_of_ratios"]


def variance_explained(
    feature_fit: np.ndarray,
    representation_fit: np.ndarray,
    feature_test: np.ndarray,
    representation_test: np.ndarray,
    total: float | None = None,
    definition: Definition = "ratio_of_sums",
) -> float:
    """Measure how much of a representation's variance a categorical feature explains (M1).

    W* minimises ||W f - phi||² on one set, with phi centred and f one-hot; the result is
    1 - ||W* f - phi||² / ||phi||² on another (Lampinen, Chan & Hermann 2024, section 2).

    Parameters
    ----------
    feature_fit, feature_test
        Labels, (stimulus,), of the set that W is fitted on and of the set it is tested on.
    representation_fit, representation_test
        (stimulus, unit). Both are centred by the mean of the fitted set.
    total
        Denominator instead of ||phi||² of the test set, per stimulus; for M1b the final one.
        Then the numerator is ||phi||² - ||W* f - phi||², the explained part at this step.
    definition
        Sums over stimuli before the ratio, or the mean of a ratio per stimulus (M1 only).

    Returns
    -------
    float
        At most 1; below 0 where the fit predicts worse than the mean. NaN without variance.

    Examples
    --------
    >>> f = np.array([0, 0, 1, 1])
    >>> phi = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    >>> variance_explained(f, phi, f, phi)
    1.0
    """
    phi = Centred.by(representation_fit, representation_test)
    return phi.explained(feature_fit, feature_test, total, definition)


@dataclass
class Centred:
    """A representation about the mean of the fitted set, in float64; for several features.

    Attributes
    ----------
    fit, test : (stimulus, unit)
    variance : sum of squares of the test set
    rounding : as much variance per stimulus is none
    """

    fit: np.ndarray
    test: np.ndarray
    variance: float
    rounding: float

    @classmethod
    def by(cls, fit: np.ndarray, test: np.ndarray) -> Centred:
        """Centre both sets."""
        mean = fit.mean(axis=0, dtype=np.float64)
        phi = test - mean
        rounding = 1e-12 * (test.astype(np.float64) ** 2).sum() / len(phi)
        return cls(fit - mean, phi, (phi**2).sum(), rounding)

    def explained(
        self,
        feature_fit: np.ndarray,
        feature_test: np.ndarray,
        total: float | None = None,
        definition: Definition = "ratio_of_sums",
    ) -> float:
        """Return the share that a feature explains; arguments of :func:`variance_explained`."""
        if definition == "mean_of_ratios" and total is None:
            norms = (self.test**2).sum(axis=1)
            squares = self._residual(feature_fit, feature_test).sum(axis=1)
            ratios = squares[norms > 0] / norms[norms > 0]
            return float(1 - ratios.mean()) if len(ratios) else float("nan")
        residual = self._residual(feature_fit, feature_test).sum()
        return self._share(residual, total)

    def both(
        self, feature_fit: np.ndarray, feature_test: np.ndarray, total: float
    ) -> tuple[float, float]:
        """Return M1 as a ratio of sums, and M1b with a given denominator, of one fit."""
        residual = self._residual(feature_fit, feature_test).sum()
        return self._share(residual, None), self._share(residual, total)

    def _residual(self, feature_fit: np.ndarray, feature_test: np.ndarray) -> np.ndarray:
        """Squares of what the feature does not explain, (stimulus, unit)."""
        levels = np.unique(feature_fit)
        # Least squares on a one-hot feature predicts each level's mean.
        one_hot_fit = (feature_fit[:, None] == levels).astype(np.float64)
        weights = (one_hot_fit.T @ self.fit) / one_hot_fit.sum(axis=0)[:, None]
        return (self.test - (feature_test[:, None] == levels) @ weights) ** 2

    def _share(self, residual: float, total: float | None) -> float:
        n = len(self.test)
        denominator = self.variance / n if total is None else total
        if denominator <= self.rounding:
            return float("nan")
        return float((self.variance - residual) / n / denominator)


def variance_rows(snapshot: Snapshot, definition: Definition) -> list[dict[str, Any]]:
    """Measure every feature and sub-component in every layer of every network.

    W is fitted on the validation stimuli and tested on the test stimuli. Column ``r2`` is M1;
    ``r2_of_final`` is M1b, whose denominator is the final representation's variance at every
    step, so that all points of a curve share a scale; NaN where the network diverged before the
    end.
    """
    fit, test = snapshot.fit, snapshot.test
    rows = []
    for n, about in enumerate(snapshot.networks):
        for layer in fit.layers:
            total = float(snapshot.final_variance[layer][n])
            phi = Centred.by(*(r.layers[layer][n].astype(np.float64) for r in (fit, test)))
            for feature, labels in fit.known.items():
                r2, r2_of_final = phi.both(labels, test.known[feature], total)
                if definition != "ratio_of_sums":
                    r2 = phi.explained(labels, test.known[feature], definition=definition)
                named = {"layer": layer, "feature": feature}
                rows.append({**about, **named, "r2": r2, "r2_of_final": r2_of_final})
    return rows
