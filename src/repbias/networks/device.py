"""Which device to compute on."""

from __future__ import annotations

import torch

from repbias.spec import RepbiasError


def pick_device(wanted: str = "auto") -> torch.device:
    """Return the wanted device; "auto" takes CUDA, then MPS, then the CPU.

    Raises
    ------
    RepbiasError
        If the wanted device is not there.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if wanted == "auto":
        return torch.device(available[0])
    if wanted not in available:
        raise RepbiasError(f"device: {wanted!r} is not available here (found: {available})")
    return torch.device(wanted)
