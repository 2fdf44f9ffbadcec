"""What every recording with responses may say about their analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from repbias.base.spec import Spec

if TYPE_CHECKING:
    from repbias.io.recordings import Recording

#: Columns of `trials` that say in which order the trials of a stimulus came, the first one first.
ORDER_COLUMNS = ("session", "run", "repeat", "start_time")

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Preparation(Spec):
    """What is done with the responses before they are analysed; the canonical file keeps all."""

    window: tuple[Seconds, Seconds] | None = None
    """Analyses average over time bins whose centre is in this window, from `start` up to but not
    including `stop`, in seconds; all bins when left out."""
    standardise: bool = False
    """Divide every unit by the standard deviation of its mean responses to stimuli, so that all
    units count the same in RDMs."""
    min_reliability: float | None = Field(None, ge=0, le=1)
    """Leave out units whose reliability (split-half, Spearman-Brown) is below this."""
    ceiling: Literal["split_half", "repeats"] = "split_half"
    """How the highest correlation that a model can reach with a unit is estimated: from
    correlations between random halves of the repeats, or from the variance between and within
    stimuli (as the Natural Scenes Dataset does)."""

    @model_validator(mode="after")
    def _window_ascends(self) -> Preparation:
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError(f"window must ascend, found {list(self.window)}")
        return self

    def preparation(self) -> dict[str, object]:
        """Return these settings alone, to be kept with the recording."""
        return self.model_dump(mode="json", include=set(Preparation.model_fields))


def preparation_of(recording: Recording) -> Preparation:
    """Return what is done with a recording's responses before they are analysed."""
    return Preparation(**recording.info.get("preparation", {}))
