"""What ``bias:`` may say in the configuration."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from repbias.base.spec import Spec


class Bias(Spec):
    """How variance explained is defined, and how representations are steered and probed."""

    definition: Literal["ratio_of_sums", "mean_of_ratios"] = "ratio_of_sums"
    """M1 over test stimuli: residual and total summed first, or a ratio per stimulus averaged."""
    steering_strengths: list[Annotated[float, Field(gt=0)]] = Field(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0], min_length=1
    )
    """How far M5 steers a representation, as multiples of a feature's mean difference."""
    probe_steps: int = Field(150, ge=1)
    """Optimiser steps of the nonlinear probes, 64 stimuli each."""

    @field_validator("steering_strengths")
    @classmethod
    def _increasing(cls, steering_strengths: list[float]) -> list[float]:
        if any(a >= b for a, b in pairwise(steering_strengths)):
            raise ValueError(f"expected increasing numbers, found {steering_strengths}")
        return steering_strengths
