"""What ``geometry:`` may say in the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from repbias.spec import Spec

Distance = Literal["correlation", "euclidean", "squared_euclidean"]
Comparator = Literal["corr", "cosine", "spearman", "rho-a"]


class Geometry(Spec):
    """How representations are compared."""

    distance: Distance = "correlation"
    """Dissimilarity between two stimuli in a network's layer."""
    recording_distance: Distance = "correlation"
    """Dissimilarity between two stimuli in a recording's responses."""
    comparators: list[Comparator] = Field(["corr"], min_length=1)
    """Similarity of two RDMs, named as in rsatoolbox: Pearson, cosine, Spearman, rho-a.
    The first one decides the claims."""

    n_stimuli: int = Field(256, ge=4)
    """RDMs of generated stimuli use the first n test stimuli (balanced); images are all used."""
    bootstraps: int = Field(1000, ge=100)
    """Bootstrap samples behind the intervals of model-recording comparisons."""
    seed: int = Field(0, ge=0)
    """Seed of the bootstrap, and of the splits of repeats behind RSA ceilings."""

    @field_validator("comparators")
    @classmethod
    def _different(cls, comparators: list[str]) -> list[str]:
        if len(set(comparators)) < len(comparators):
            raise ValueError("a comparator occurs twice")
        return comparators
