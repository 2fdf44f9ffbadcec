"""What ``encoding:`` may say in the configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from repbias.spec import Spec


class Encoding(Spec):
    """Nested cross-validated ridge regression."""

    folds: int = Field(5, ge=2)
    """Outer folds over stimuli: predictions are for stimuli that took no part in the fit."""
    inner_folds: int = Field(5, ge=2)
    """Inner folds, which choose the penalty for every unit."""
    log10_alpha: tuple[float, float] = (-3.0, 5.0)
    """Range of the penalty, relative to the mean squared norm of a centred activation pattern."""
    n_alphas: int = Field(17, ge=2)
    """Penalties, evenly spaced on a logarithmic scale."""
    seed: int = Field(0, ge=0)
    """Seed of the folds."""

    @model_validator(mode="after")
    def _ascending(self) -> Encoding:
        if self.log10_alpha[0] >= self.log10_alpha[1]:
            raise ValueError(f"log10_alpha must ascend, found {list(self.log10_alpha)}")
        return self
