import pytest
import torch

from repbias.networks.device import pick_device
from repbias.spec import RepbiasError

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
