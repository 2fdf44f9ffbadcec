"""The section ``recovery:`` of the configuration."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from repbias.base.spec import Spec, refuse_duplicates

RecoveryMeasure = Literal["rsa", "cka", "encoding", "both_ways", "procrustes"]


class Recovery(Spec):
    """Which model brains with a recording's noise would be named (docs/recovery.md)."""

    enabled: bool = False
    """Whether brains are simulated at all."""
    simulations: int = Field(20, ge=2)
    """Simulated brains from every layer of every model. With 20, a probability is known to within
    about .2; with 100, .1."""
    shares: int = Field(0, ge=0)
    """Simulated brains from the analysed (or last) layer of every model, for which the audit's
    shares and intervals are compared with those without noise; 0 tests none."""
    networks: int = Field(4, ge=1)
    """Most networks of a condition that take part, the first that met the inclusion criterion. With
    three or more, the network that generates a brain, the one that is scored and those whose
    simulated brains it is compared with are different ones."""
    measures: list[RecoveryMeasure] = Field(list(get_args(RecoveryMeasure)), min_length=1)
    """What models are scored by: the study's RSA; the audit's score (debiased CKA); encoding, the
    R² of predicting units from a layer; the lower R² of predicting either way (`both_ways`);
    angular Procrustes similarity."""
    reliability: float | None = Field(None, gt=0, le=1)
    """Assumed share of signal in the variance of responses over stimuli, for recordings without
    repeats and standard errors, whose noise is not known."""
    max_memory_mb: int = Field(4000, ge=100)
    """Bound on what is held of all models at once, in megabytes; a study that needs more is
    refused."""
    seed: int = Field(0, ge=0)
    """Seed of the simulated brains."""

    @field_validator("measures")
    @classmethod
    def _different(cls, measures: list[RecoveryMeasure]) -> list[RecoveryMeasure]:
        return refuse_duplicates(measures)
