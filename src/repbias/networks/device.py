"""Which device to compute on, how much at a time, and what to do where its memory is short.

Random numbers are drawn on the CPU, from streams of a network's own, so every device sees the
same ones. What is computed from them agrees to the last bit on CPUs, in any stack; on CUDA and
MPS it agrees to within rounding.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from repbias.base.spec import RepbiasError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Networks per stack on a CPU: the weights and activations of about ten fit a core's cache.
CPU_STACK = 10
#: Part of an accelerator's free memory that is planned with; the rest is for the workspaces of
#: its libraries, and for memory that is free in pieces only.
SHARE = 0.8
#: What PyTorch says where it does not raise torch.OutOfMemoryError: CUDA's kernels, MPS; the CPU;
#: cuBLAS and cuDNN.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


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


def device_name(device: torch.device) -> str:
    """Return the device for a file's provenance, such as "cpu" or "cuda (NVIDIA H100 80GB)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def free_memory(device: torch.device) -> int:
    """Return the bytes that an accelerator can still give, to this process; 0 for a CPU."""
    if device.type == "cuda":
        # What PyTorch keeps of what was freed counts as taken.
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        torch.mps.empty_cache()
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 0


def stack_size(kind: str, free: int, each: int) -> int:
    """Return how many networks to compute as one.

    Parameters
    ----------
    kind
        "cpu", whose stacks are as large as its cache is, or "cuda" or "mps", whose stacks are as
        large as memory allows: the more work a step has, the better they are used.
    free
        Bytes that the device can still give.
    each
        Bytes that one network takes.

    Examples
    --------
    >>> stack_size("cuda", free=10 * 2**30, each=20 * 2**20)
    409
    """
    return CPU_STACK if kind == "cpu" else max(1, int(SHARE * free) // each)


def in_chunks(
    items: Sequence[Item], size: int, work: Callable[[Sequence[Item]], Result], what: str
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Work on items chunk by chunk; chunks that do not fit into memory are halved.

    Parameters
    ----------
    items
        What to work on.
    size
        Items at a time, to begin with.
    work
        Called with a chunk; it must be possible to call it again after it ran out of memory.
    what
        What an item is, for messages.

    Yields
    ------
    tuple
        A chunk and the result of the work on it.

    Raises
    ------
    RepbiasError
        If a single item does not fit.
    """
    start = 0
    while start < len(items):
        chunk = items[start : start + size]
        try:
            result = work(chunk)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
            if len(chunk) == 1:
                raise RepbiasError(
                    f"device: one {what} alone does not fit into memory ({reason}); expected more "
                    "that is free, or less to compute: a smaller network, batch or image"
                ) from error
        else:
            yield chunk, result
            start += len(chunk)
            continue
        # Not in the except block: there, the error still holds all that was computed.
        gc.collect()
        size = (len(chunk) + 1) // 2
        logger.warning(
            "%d %ss do not fit into memory, going on with %d (%s)", len(chunk), what, size, reason
        )


def is_out_of_memory(error: Exception) -> bool:
    """Say whether it is memory that an error is about, on any device."""
    said = str(error)
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in said for words in OUT_OF_MEMORY)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Let CUDA compute the same numbers when it computes the same things again.

    Deterministic algorithms, and float32 not shortened to TF32. An operation of a user's model
    that has no deterministic algorithm gives a warning, which names it. CPUs need none of this.
    """
    if device.type != "cuda":
        yield
        return
    # cuBLAS reads this when it is used first.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)
