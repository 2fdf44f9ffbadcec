"""What ``references:`` may say in the configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from repbias.base.spec import Spec

#: Measures that are no rows of the table `quality`.
CEILINGS = {"rsa_ceiling_low": "ceiling_low", "rsa_ceiling_high": "ceiling_high"}


#: Similarity of two recordings' RDMs, and how the table says that their subjects were averaged.
SIMILARITIES = {
    "similarity": "mean over pairs of subjects",
    "similarity_of_mean_rdms": "mean RDM",
}


class Reference(Spec):
    """A published number, shown beside what is measured here."""

    recording: str
    """Of which recording."""
    measure: str
    """A measure of the table `quality`; `rsa_ceiling_low` or `rsa_ceiling_high`; or, of two
    recordings' RDMs, `similarity` (mean over pairs of subjects) or `similarity_of_mean_rdms`."""
    region: str = ""
    """The region, for measures of a region."""
    other: str | None = None
    """The other recording, for `similarity`."""
    rdm_similarity: str | None = None
    """How RDMs are compared, for `similarity` and ceilings."""
    value: float
    """The published number."""
    source: str = Field(min_length=1)
    """Where it was published, and how it was computed there."""

    @model_validator(mode="after")
    def _complete(self) -> Reference:
        if (self.measure in SIMILARITIES) != (self.other is not None):
            raise ValueError("`other` names the second recording of a similarity, and only there")
        of_rdms = [*SIMILARITIES, *CEILINGS]
        if (self.measure in of_rdms) != (self.rdm_similarity is not None):
            raise ValueError(
                f"an RDM similarity is needed for {', '.join(of_rdms)}, and only there"
            )
        return self
