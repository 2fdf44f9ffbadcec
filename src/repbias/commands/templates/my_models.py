"""Networks of the study; repbias trains them, and reads the layers that the study names."""

from collections import OrderedDict

from torch import nn


def build(input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Return an untrained network; each of its outputs is a logit."""
    (n_inputs,) = input_shape
    return nn.Sequential(
        OrderedDict(
            hidden1=nn.Linear(n_inputs, 64),
            act1=nn.GELU(),
            hidden2=nn.Linear(64, 64),
            act2=nn.GELU(),
            readout=nn.Linear(64, n_outputs),
        )
    )
