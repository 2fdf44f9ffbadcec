import logging
import os
import weakref

import numpy as np
import pytest
import torch

from repbias.base.spec import RepbiasError
from repbias.networks.device import (
    OUT_OF_MEMORY,
    device_name,
    free_memory,
    in_chunks,
    pick_device,
    reproducible,
    stack_size,
)

HAS_CUDA = torch.cuda.is_available()
HAS_MPS = torch.backends.mps.is_available()


def test_the_cpu_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")


def test_auto_prefers_an_accelerator():
    expected = "cuda" if HAS_CUDA else "mps" if HAS_MPS else "cpu"
    assert pick_device() == pick_device("auto") == torch.device(expected)


def test_what_is_picked_can_hold_tensors():
    device = pick_device("auto")
    assert (torch.ones(3, device=device) + 1).sum().item() == 6


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_missing_accelerator_is_refused(wanted):
    if {"cuda": HAS_CUDA, "mps": HAS_MPS}[wanted]:
        pytest.skip(f"{wanted} is available here")
    with pytest.raises(RepbiasError, match=rf"device: '{wanted}' is not available .*'cpu'"):
        pick_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "", "CPU"])
def test_an_unknown_device_is_refused(wanted):
    with pytest.raises(RepbiasError, match=f"device: '{wanted}' is not available"):
        pick_device(wanted)


def test_the_device_has_a_name():
    assert device_name(torch.device("cpu")) == "cpu"
    picked = pick_device("auto")
    assert device_name(picked).startswith(picked.type)


# How much at a time.


@pytest.mark.parametrize("free", [0, 2**20, 2**40])
@pytest.mark.parametrize("each", [1, 2**30])
def test_stacks_of_a_cpu_fit_its_cache_whatever_the_memory(free, each):
    assert stack_size("cpu", free, each) == 10


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize(
    ("free", "each", "expected"),
    [
        (1000, 1, 800),
        (1000, 8, 100),
        (1000, 9, 88),
        (80 * 2**30, 2**24, 4096),
        # A network that may not fit is tried alone.
        (1000, 801, 1),
        (0, 5, 1),
    ],
)
def test_stacks_of_an_accelerator_fill_four_fifths_of_its_memory(kind, free, each, expected):
    assert stack_size(kind, free, each) == expected


@pytest.mark.skipif(not HAS_CUDA and not HAS_MPS, reason="no CUDA and no MPS here")
def test_an_accelerator_has_less_memory_once_some_is_taken():
    device = pick_device("auto")
    before = free_memory(device)
    taken = torch.zeros(2**26, device=device)
    assert before - free_memory(device) >= 2**27
    del taken
    assert free_memory(device) >= before - 2**26


# What does not fit.


def limited(limit: int, tried: list[int], error: Exception):
    """Return work that runs out of memory on more than `limit` items, and notes what it tried."""

    def work(chunk):
        tried.append(len(chunk))
        if len(chunk) > limit:
            raise error
        return [10 * item for item in chunk]

    return work


def worked_on(n: int, size: int, work) -> list[int]:
    results = []
    for chunk, result in in_chunks(range(n), size, work, "network"):
        assert list(chunk) == list(range(len(results), len(results) + len(chunk)))
        results += result
    return results


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_chunks_are_all_items_in_their_order(size):
    tried = []
    assert worked_on(7, size, limited(100, tried, None)) == [0, 10, 20, 30, 40, 50, 60]
    assert max(tried) == min(size, 7)
    assert len(tried) == -(-7 // size)


def test_nothing_is_no_chunk():
    assert worked_on(0, 5, limited(5, [], None)) == []


ERRORS = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError("Unable to allocate")]
ERRORS += [RuntimeError(f"here: {words} (and so on)\nand more") for words in OUT_OF_MEMORY]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_a_chunk_that_does_not_fit_is_halved_and_so_are_those_after_it(error, caplog):
    tried = []
    assert worked_on(23, 10, limited(3, tried, error)) == [10 * n for n in range(23)]
    assert tried == [10, 5, 3, 3, 3, 3, 3, 3, 3, 2]
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [message.partition(" (")[0] for message in found] == [
        "10 networks do not fit into memory, going on with 5",
        "5 networks do not fit into memory, going on with 3",
    ]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_a_single_item_that_does_not_fit_is_an_error(error):
    tried = []
    with pytest.raises(RepbiasError, match=r"device: one network alone does not fit .*expected"):
        worked_on(5, 4, limited(0, tried, error))
    assert tried == [4, 2, 1]


def test_other_errors_are_not_taken_for_want_of_memory():
    tried = []
    with pytest.raises(RuntimeError, match="expected all tensors"):
        worked_on(5, 4, limited(0, tried, RuntimeError("expected all tensors on one device")))
    assert tried == [4]


def test_what_did_not_fit_is_gone_before_the_next_try():
    """Also what only the error's traceback, or a cycle of references, still holds."""

    class Large:
        pass

    alive = weakref.WeakSet()
    at_start = []

    def work(chunk):
        at_start.append(len(alive))
        large = Large()
        large.itself = large
        alive.add(large)
        if len(chunk) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    list(in_chunks(range(4), 4, work, "network"))
    assert at_start[:3] == [0, 0, 0]


# The same again.


def settings() -> dict[str, bool]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "only warned": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn deterministic": torch.backends.cudnn.deterministic,
        "cudnn benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
    }


def test_cuda_is_made_reproducible_and_left_as_it_was(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = settings()
    with pytest.raises(ZeroDivisionError), reproducible(torch.device("cuda")):
        assert settings() == {
            **{"deterministic": True, "only warned": True, "cudnn deterministic": True},
            **{"cudnn benchmark": False, "tf32": False},
        }
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        raise ZeroDivisionError
    assert settings() == before
    assert before["tf32"], "otherwise the test shows nothing"


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_other_devices_are_left_alone(kind):
    before = settings()
    with reproducible(torch.device(kind)):
        assert settings() == before


@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA here")
@pytest.mark.filterwarnings("error")
def test_products_on_cuda_are_in_float32():
    device = torch.device("cuda")
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(8, 64, 16, 16, generator=generator) for _ in range(2))
    with reproducible(device):
        product = (a.to(device) @ b.to(device)).cpu().numpy()
        image = torch.nn.functional.conv2d(a.to(device), b[:, :, :3, :3].to(device)).cpu().numpy()
    expected = torch.nn.functional.conv2d(a.double(), b[:, :, :3, :3].double()).numpy()
    np.testing.assert_allclose(product, (a.double() @ b.double()).numpy(), atol=1e-4)
    np.testing.assert_allclose(image, expected, atol=1e-3)
