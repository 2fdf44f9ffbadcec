"""Every architecture that ``network:`` can name by its `kind`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from repbias.base.spec import one_of
from repbias.networks.architecture import Architecture
from repbias.networks.convolutional import CNN, ResNet
from repbias.networks.mlp import MLP
from repbias.networks.own import OwnArchitecture
from repbias.networks.pretrained import Pretrained
from repbias.networks.transformer import Transformer
from repbias.networks.vit import VisionTransformer

#: The first one is meant where there is no `kind`.
ARCHITECTURES = (MLP, CNN, ResNet, VisionTransformer, Transformer, OwnArchitecture, Pretrained)

if TYPE_CHECKING:
    AnyArchitecture = Architecture
else:
    AnyArchitecture = one_of(*ARCHITECTURES)


def architecture(settings: dict[str, Any]) -> Architecture:
    """Return the architecture of a condition's `network`."""
    return TypeAdapter(AnyArchitecture).validate_python(settings)
