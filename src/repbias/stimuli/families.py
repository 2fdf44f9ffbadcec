"""Every family of stimuli that ``stimuli:`` can name by its `kind`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from repbias.base.spec import one_of
from repbias.stimuli.bits import Bits
from repbias.stimuli.family import StimulusFamily
from repbias.stimuli.navon import Navon
from repbias.stimuli.tokens import Tokens
from repbias.stimuli.trifeature import Trifeature

#: The first one is meant where there is no `kind`.
FAMILIES = (Bits, Navon, Tokens, Trifeature)

if TYPE_CHECKING:
    Family = StimulusFamily
else:
    Family = one_of(*FAMILIES)


def stimulus_family(settings: dict[str, Any]) -> StimulusFamily:
    """Return the family that a condition's `stimuli` name."""
    family: StimulusFamily = TypeAdapter(Family).validate_python(settings)
    return family
