"""What tokens of a trained transformer attend to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from repbias.base.inputs import Task, as_seen
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.forward import built
from repbias.networks.heads import Heads
from repbias.networks.token_modules import Attention
from repbias.networks.transformer import Transformer

#: Test stimuli that attention is averaged over, at most.
MOST = 256


def attention_maps(
    networks: Networks, stimuli: Stimuli, spec: Transformer
) -> tuple[int, dict[str, np.ndarray]] | None:
    """Average attention over the first test stimuli, in one network at the end of training.

    It is the first that was included, or the first one if none was.

    Parameters
    ----------
    networks, stimuli, spec
        The condition's networks, stimuli and architecture.

    Returns
    -------
    seed : int
        Of the network.
    maps : dict
        Name of an attention to (head, token, seen token): "encoder1", "decoder1" (of answers to
        each other), "decoder1, tokens" (of answers to what the encoder gives); of a decoder only
        "block1, tokens", and "block1" (of answers to tokens and answers). Each row sums to 1. None
        if all networks diverged.
    """
    present = networks.present(-1)
    if not present:
        return None
    chosen = next((n for n in present if networks.included[n]), present[0])
    task = Task(stimuli.shown, Heads(networks.heads).n_outputs)
    module = built(spec, task, 0).eval()
    weights = {name: w[-1, chosen] for name, w in networks.weights.items()}
    module.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    maps: dict[str, np.ndarray] = {}

    def keep(name: str) -> Any:
        block, _, part = name.rpartition(".")

        def hook(attention: Attention, given: tuple[Any, ...]) -> None:
            alone = block.startswith("block") and given[1] is None
            key = f"{block}, tokens" if alone or part == "crossed" else block
            # Answers may be given again and again; the last time counts.
            maps[key] = attention.weights(*given).mean(dim=0).numpy()

        return hook

    for name, part in module.named_modules():
        if isinstance(part, Attention):
            part.register_forward_pre_hook(keep(name))
    with torch.inference_mode():
        module(torch.from_numpy(as_seen(np.asarray(stimuli.part("test")[0][:MOST]))))
    return int(networks.seeds[chosen]), maps
