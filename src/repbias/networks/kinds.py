"""The kinds of entries of ``networks:``, and which sets of stimuli each is shown.

To add one, write its settings, and enter them in :data:`Network`; what runs it is a script of the
workflow, and :mod:`repbias.commands.check_network` says what ``repbias check`` tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from repbias.base.spec import nearest
from repbias.networks.model_arrays import ArrayNetwork
from repbias.networks.model_rdms import RdmNetwork
from repbias.networks.spec import FeatureNetwork, GivenNetwork, TextNetwork, TrainedNetwork

if TYPE_CHECKING:
    from repbias.stimuli.spec import ImageSet

#: What is already computed, of one set of stimuli.
ComputedNetwork = ArrayNetwork | RdmNetwork
#: What is made of the table of a set of stimuli, and not of its images.
OF_TABLES = (TextNetwork, FeatureNetwork)
#: One entry of ``networks:``.
Network = Annotated[GivenNetwork | ComputedNetwork | TrainedNetwork, Field(discriminator="kind")]


def is_shown(network: Network, name: str, stimuli: ImageSet) -> bool:
    """Whether a set of stimuli, of this name, is shown to a network, or was."""
    if isinstance(network, ComputedNetwork):
        return network.stimuli == name
    return stimuli.is_described if isinstance(network, OF_TABLES) else stimuli.path is not None


def why_not_shown(network: Network, sets: Mapping[str, ImageSet]) -> str:
    """Say what is wrong with a network that no set of stimuli is shown to, behind its name."""
    if isinstance(network, ComputedNetwork):
        found = nearest(network.stimuli, sets)
        return f".stimuli: no images are called {network.stimuli!r}; {found}"
    needed = "table or columns" if isinstance(network, OF_TABLES) else "path"
    return f": no set of images has a {needed}, so it is shown nothing"
