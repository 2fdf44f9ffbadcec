"""Every family of stimuli that ``stimuli:`` can name by its `kind`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from repbias.base.spec import RepbiasError, one_of
from repbias.stimuli.bits import Bits
from repbias.stimuli.family import StimulusFamily

#: The first one is meant where there is no `kind`.
FAMILIES = (Bits,)

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

    Family = StimulusFamily
else:
    Family = one_of(*FAMILIES)


def generated(settings: dict[str, Any]) -> Stimuli:
    """Generate a condition's `stimuli`.

    Raises
    ------
    RepbiasError
        If they are not what their family says.
    """
    family: StimulusFamily = TypeAdapter(Family).validate_python(settings)
    stimuli = family.generate()
    found = stimuli.shown, dict(zip(stimuli.features, stimuli.classes, strict=True))
    if found != (family.inputs, family.targets):
        raise RepbiasError(
            f"stimuli of kind {family.kind!r}: found {found[0]} and classes {found[1]}, expected "
            f"{family.inputs} and {family.targets}"
        )
    return stimuli
