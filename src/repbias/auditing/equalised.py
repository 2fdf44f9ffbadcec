"""Similarity of representations in which every feature has the same variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repbias.auditing.design import Design
from repbias.auditing.gates import has_features, has_rest
from repbias.auditing.scores import equal_cosines
from repbias.auditing.shares import Freed, block_parts
from repbias.base.spec import RepbiasError

#: Permutations of a feature's labels, or of stimuli, behind the question whether it is there.
N_PERMUTATIONS = 199


@dataclass(frozen=True, eq=False)
class Equalised:
    """A representation, by the features that it has.

    Attributes
    ----------
    design : of orthogonal features
    kernel : its kernel, freed of its diagonal
    energy : (feature and rest,), similarity with itself within every feature, free of noise
    usable : (feature and rest,) bool, whether it has the feature
    """

    design: Design
    kernel: Freed
    energy: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, patterns: np.ndarray, design: Design, seed: int = 0) -> Equalised:
        """Look at patterns (stimulus, unit), or at two measurements of them (2, stimulus, unit).

        Raises
        ------
        RepbiasError
            If it has none of the features.
        """
        orthogonal = design.orthogonal()
        x = np.asarray(patterns, dtype=np.float64)
        halves = [h - h.mean(axis=0) for h in (x if x.ndim == 3 else (x, x))]
        first, second = (h @ h.T for h in halves)
        kernel = halves[0] @ halves[1].T
        kernel = (kernel + kernel.T) / 2
        energy = block_parts(Freed.of(first, design), Freed.of(second, design), orthogonal)
        usable = np.append(
            has_features(kernel, orthogonal, N_PERMUTATIONS, seed),
            x.ndim == 2 or has_rest([(first, second)], design, N_PERMUTATIONS, seed),
        )
        usable &= energy > 0
        if not usable.any():
            raise RepbiasError("it has none of the features")
        return cls(orthogonal, Freed.of(kernel, design), energy, usable)


def equalised_similarity(of: Equalised, target: Equalised) -> float:
    """Return the mean cosine within the target's features, 0 in those that the other lacks."""
    shared = block_parts(of.kernel, target.kernel, of.design)
    cosines = equal_cosines(shared, of.energy, target.energy)
    return float(np.where(of.usable, cosines, 0)[target.usable].mean())
