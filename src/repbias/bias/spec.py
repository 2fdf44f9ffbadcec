"""What ``bias:`` may say in the configuration."""

from __future__ import annotations

from typing import Literal

from repbias.spec import Spec


class Bias(Spec):
    """How variance explained is defined."""

    definition: Literal["ratio_of_sums", "mean_of_ratios"] = "ratio_of_sums"
    """M1 over test stimuli: residual and total summed first, or a ratio per stimulus averaged."""
