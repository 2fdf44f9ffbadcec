"""Settings that every recording with responses shares: how they are prepared for analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.order import naturally
from repbias.base.spec import Spec

if TYPE_CHECKING:
    from repbias.io.recordings import Recording

#: Columns of `trials` that order the trials of a stimulus; the first one is the major key. Names
#: are in natural order: run-10 comes after run-2.
ORDER_COLUMNS = ("session", "run", "repeat", "start_time")

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Preparation(Spec):
    """How responses are prepared for analysis; the canonical file keeps them unprepared."""

    window: tuple[Seconds, Seconds] | None = None
    """Analyses average over the time bins whose centres lie between `start` (included) and `stop`
    (excluded), in seconds; by default over all bins."""
    standardise: bool = False
    """Divide every unit by the standard deviation of its mean responses to stimuli, so that all
    units contribute equally to RDMs."""
    min_reliability: float | None = Field(None, ge=0, le=1)
    """Leave out units whose reliability (split-half, Spearman-Brown corrected) is below this."""
    min_repeats: int | None = Field(None, ge=1)
    """Leave out units that have fewer repeats than this of any of the stimuli that they were
    recorded with. One such unit among many is enough for the audit to have no intervals."""
    ceiling: Literal["split_half", "repeats"] = "split_half"
    """How the noise ceiling of a unit (the highest correlation that a model can reach) is
    estimated: from correlations between random halves of the repeats, or from the variances between
    and within stimuli, as in the Natural Scenes Dataset."""

    @model_validator(mode="after")
    def _window_ascends(self) -> Preparation:
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError(f"window must ascend, found {list(self.window)}")
        return self

    def minima(self) -> dict[str, float]:
        """Return what units need to be analysed: the setting, and its value."""
        found = {"min_reliability": self.min_reliability, "min_repeats": self.min_repeats}
        return {setting: minimum for setting, minimum in found.items() if minimum is not None}

    def preparation(self) -> dict[str, object]:
        """Return these settings without those of subclasses, to be stored with the recording."""
        return self.model_dump(mode="json", include=set(Preparation.model_fields))


def preparation_of(recording: Recording) -> Preparation:
    """Return the settings that a recording's responses are prepared with."""
    return Preparation(**recording.info.get("preparation", {}))


def trial_keys(trials: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return what orders the trials of a stimulus, the major key first; each is (trial,)."""
    return [_ascending(trials[name]) for name in ORDER_COLUMNS if name in trials]


def _ascending(column: np.ndarray) -> np.ndarray:
    """Return numbers that ascend as a column does in natural order."""
    if column.dtype.kind in "fiub":
        return column
    names, of_row = np.unique(column.astype(str), return_inverse=True)
    rank = {name: i for i, name in enumerate(naturally(names.tolist()))}
    return np.array([rank[name] for name in names.tolist()])[of_row]
