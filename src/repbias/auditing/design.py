"""What is known of the stimuli, as subspaces that features divide between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from math import factorial

import numpy as np

from repbias.base.spec import RepbiasError

#: Fewest dimensions that features may leave to the rest.
MIN_REST = 10
#: Singular values below this share of the largest are rounding.
TOLERANCE = 1e-9
#: Features up to which all orders are averaged; with more, random ones.
MOST_EXACT = 7
#: Random orders of more features, each together with its reverse.
N_ORDERS = 100


@dataclass(frozen=True, eq=False)
class Design:
    """The features of n stimuli: a subspace for all of them, and how they divide it.

    What a feature explains is what it adds to others, averaged over all orders in which features
    can be added (Shapley 1953; for variance explained: Lindeman et al. 1980). With P_S the
    projection on the features S after centring, this is linear in projections:
    Pi_f = average of P_{S and f} - P_S. Where features are orthogonal, Pi_f is P_f.

    Attributes
    ----------
    names : the features
    basis : (stimulus, dimension), orthonormal and centred, of all features together
    parts : (feature, dimension, dimension), Pi_f in this basis; they sum to the identity
    regressors : for every feature (dimension, regressor), its regressors in this basis
    """

    names: tuple[str, ...]
    basis: np.ndarray
    parts: np.ndarray
    regressors: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, regressors: Mapping[str, np.ndarray], seed: int = 0) -> Design:
        """Divide the space of the features' regressors.

        Parameters
        ----------
        regressors
            Feature to (stimulus, regressor), of any scale; they may depend on each other.
        seed
            Of the orders in which more than seven features are added.

        Raises
        ------
        RepbiasError
            If a feature is constant, or all together leave fewer than ten dimensions to the rest,
            or a stimulus on its own.
        """
        centred = {name: _scaled(name, values) for name, values in regressors.items()}
        basis = _span(np.hstack([*centred.values()]))
        n, dimensions = basis.shape
        if n - 1 - dimensions < MIN_REST:
            raise RepbiasError(
                f"audit: the features ({', '.join(centred)}) have {dimensions} dimensions "
                f"together and there are {n} stimuli, which leaves {n - 1 - dimensions} to what "
                f"is not known; expected at least {MIN_REST}: audit fewer features, coarser ones "
                "(a lower df), or more stimuli"
            )
        blocks = tuple(basis.T @ values for values in centred.values())
        return cls(tuple(centred), basis, _shapley(blocks, seed), blocks)

    @classmethod
    def of_none(cls, n_stimuli: int) -> Design:
        """Return the design of stimuli of which nothing is known."""
        return cls((), np.zeros((n_stimuli, 0)), np.zeros((0, 0, 0)), ())

    @property
    def n_stimuli(self) -> int:
        """Number of stimuli."""
        return len(self.basis)

    @property
    def n_rest(self) -> int:
        """Dimensions that the features leave to the rest."""
        return self.n_stimuli - 1 - self.basis.shape[1]

    @property
    def dimensions(self) -> np.ndarray:
        """Dimensions of every feature, (feature,); they need not be whole numbers."""
        return np.trace(self.parts, axis1=1, axis2=2)

    @property
    def leverage(self) -> np.ndarray:
        """How much of every stimulus the features explain of themselves, (stimulus,), 0 to 1."""
        return (self.basis**2).sum(axis=1)

    @cached_property
    def residual(self) -> np.ndarray:
        """The projection R on what no feature explains, (stimulus, stimulus)."""
        n = self.n_stimuli
        return np.eye(n) - 1 / n - self.basis @ self.basis.T

    @cached_property
    def inverse_squares(self) -> np.ndarray:
        """W, the inverse of R o R (o is the element-wise product), (stimulus, stimulus).

        Raises
        ------
        RepbiasError
            If features single out a stimulus.
        """
        values, vectors = np.linalg.eigh(self.residual**2)
        null = vectors[:, values < 1e-8 * values[-1]]
        alone = np.flatnonzero((null**2).sum(axis=1) > 1e-6)
        if len(alone) or self.n_rest * (self.n_rest + 1) <= 2 * self.n_stimuli:
            named = ", ".join(str(i + 1) for i in alone[:10]) or "all"
            raise RepbiasError(
                f"audit: features tell too few of the {self.n_stimuli} stimuli apart from others "
                f"(numbers {named}): what is not known of them cannot be compared; expected three "
                "stimuli of every category: leave stimuli out, or audit coarser features"
            )
        return (vectors / values) @ vectors.T

    def projection(self, feature: int) -> np.ndarray:
        """Return Pi_f of one feature, (stimulus, stimulus)."""
        return self.basis @ self.parts[feature] @ self.basis.T

    @cached_property
    def overlaps(self) -> dict[str, np.ndarray]:
        """Return sums of W o A o Pi_f over stimuli for A = R ("rest"), H ("all") and Pi_f ("own").

        Each is (feature,).
        """
        n, w = self.n_stimuli, self.inverse_squares
        others = {"rest": w * self.residual, "all": w * (np.eye(n) - 1 / n)}
        projections = [self.projection(f) for f in range(len(self.names))]
        sums = {name: [(a * p).sum() for p in projections] for name, a in others.items()}
        sums["own"] = [(w * p**2).sum() for p in projections]
        return {name: np.array(values) for name, values in sums.items()}

    def orthogonal(self) -> Design:
        """Return a design in which features are orthogonal, each as near to itself as can be.

        Löwdin's (1950) symmetric orthogonalisation of the features' subspaces; where these depend
        on each other, every feature keeps what it adds to those before it.
        """
        spans = [_span(block) for block in self.regressors]
        if not spans:
            return self
        together = np.hstack(spans)
        if together.shape[1] == together.shape[0]:
            u, _, v = np.linalg.svd(together)
            ends = np.cumsum([span.shape[1] for span in spans])[:-1]
            parts = [part @ part.T for part in np.split(u @ v, ends, axis=1)]
        else:
            up_to = [_projection(spans[:i], len(together)) for i in range(len(spans) + 1)]
            parts = [after - before for before, after in pairwise(up_to)]
        return Design(self.names, self.basis, np.array(parts), self.regressors)


def _scaled(name: str, values: np.ndarray) -> np.ndarray:
    """Centre regressors and scale them to unit norm; those that are constant are left out."""
    x = np.asarray(values, dtype=np.float64)
    x = x.reshape(len(x), -1)
    if not np.isfinite(x).all():
        raise RepbiasError(
            f"audit: feature {name!r}: {(~np.isfinite(x)).any(axis=1).sum()} of {len(x)} stimuli "
            "have no value"
        )
    size = np.abs(x).max(axis=0, initial=0)
    x = x - x.mean(axis=0)
    norm = np.linalg.norm(x, axis=0)
    varies = norm > TOLERANCE * np.sqrt(len(x)) * size
    if not varies.any():
        raise RepbiasError(f"audit: feature {name!r} is the same for all {len(x)} stimuli")
    return x[:, varies] / norm[varies]


def _span(x: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the columns, whatever their rank."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > TOLERANCE * s.max(initial=0)]


def _projection(blocks: Sequence[np.ndarray], dimensions: int) -> np.ndarray:
    if not blocks:
        return np.zeros((dimensions, dimensions))
    u = _span(np.hstack(blocks))
    return u @ u.T


def _shapley(blocks: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Average what each block (dimension, regressor) adds to others, over orders."""
    n, dimensions = len(blocks), len(blocks[0])
    parts = np.zeros((n, dimensions, dimensions))
    if n <= MOST_EXACT:
        of = {
            chosen: _projection([blocks[i] for i in chosen], dimensions)
            for size in range(n + 1)
            for chosen in combinations(range(n), size)
        }
        for chosen, projection in of.items():
            for f in set(range(n)) - set(chosen):
                larger = of[tuple(sorted((*chosen, f)))]
                share = factorial(len(chosen)) * factorial(n - len(chosen) - 1) / factorial(n)
                parts[f] += share * (larger - projection)
        return parts
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(N_ORDERS)]
    for order in [*orders, *(order[::-1] for order in orders)]:
        before = np.zeros((dimensions, dimensions))
        for i, f in enumerate(order, 1):
            after = _projection([blocks[g] for g in order[:i]], dimensions)
            parts[f] += (after - before) / (2 * N_ORDERS)
            before = after
    return parts
