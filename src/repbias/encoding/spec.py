"""The settings under ``encoding:`` in the configuration."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from repbias.base.spec import Name, Spec


class Encoding(Spec):
    """Nested cross-validated ridge regression."""

    folds: int = Field(5, ge=2)
    """Outer folds over stimuli: predictions are for stimuli that took no part in the fit. Groups of
    stimuli (`images.<name>.groups`) are left out as a whole, however few they are; with fewer
    groups than folds there are as many folds as groups."""
    inner_folds: int = Field(5, ge=2)
    """Inner folds, which choose the penalty for every unit. Groups are left out as a whole here,
    too, unless the training stimuli are all of one."""
    log10_alpha: tuple[float, float] = (-3.0, 5.0)
    """Range of the penalty, relative to the mean squared norm of a centred activation pattern."""
    n_alphas: int = Field(17, ge=2)
    """Penalties, evenly spaced on a logarithmic scale."""
    permutations: int = Field(1000, ge=0)
    """Permutations of the stimuli behind every unit's p; 0 tests nothing. Time grows with
    stimuli² × units × permutations."""
    partition: dict[Name, list[str]] = {}
    """Joint models whose variance is partitioned: a name to its two to five bands. A band is
    `member:layer` (a condition or network, and its layer), `labels:feature` or `labels` (one or
    all of the controlled features), or `stimuli:column` (a column of the recording's stimuli; text
    is coded one-hot)."""
    partition_iterations: int = Field(20, ge=0)
    """Random weightings of the bands that a joint model tries, beside equal weights and each band
    alone."""
    max_memory_mb: int = Field(2000, ge=1)
    """Bound on what is computed at once, beside kernels and responses, in megabytes. It changes
    the time, not the results."""
    seed: int = Field(0, ge=0)
    """Seed of the folds, the permutations and the weightings."""

    @model_validator(mode="after")
    def _ascending(self) -> Encoding:
        if self.log10_alpha[0] >= self.log10_alpha[1]:
            raise ValueError(f"log10_alpha must ascend, found {list(self.log10_alpha)}")
        return self

    @field_validator("partition")
    @classmethod
    def _bands(cls, partition: dict[str, list[str]]) -> dict[str, list[str]]:
        for model, bands in partition.items():
            if not 2 <= len(set(bands)) == len(bands) <= 5:
                raise ValueError(f"{model}: expected two to five different bands, found {bands}")
        return partition
