"""The benchmark of a GPU, tried on a CPU."""

import copy
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from repbias.base.inputs import Inputs, Task
from repbias.networks.architectures import architecture
from repbias.networks.forward import built

PATH = Path(__file__).parents[1] / "benchmarks" / "device.py"


@pytest.fixture(scope="module")
def device():
    spec = importlib.util.spec_from_file_location("device_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def quick(device):
    return device.Where(torch.device("cpu"), quick=True)


def _batches(n, steps):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(steps, n, 8, 3, 16, 16, generator=generator)
    y = torch.randint(4, (steps, n, 8, 3), generator=generator)
    return x, nn.functional.one_hot(y, 4).float()


def _modules(n):
    network, task = architecture({"kind": "cnn"}), Task(Inputs((3, 16, 16), "uint8"), 12)
    return [built(network, task, seed) for seed in range(n)]


def test_a_step_is_that_of_plain_pytorch(device, quick):
    """Against cross-entropy and Adam of PyTorch, feature by feature."""
    (module,), (x, y) = _modules(1), _batches(1, 3)
    plain = copy.deepcopy(module).train()
    step = device.single(module, quick)
    optimizer = torch.optim.Adam(plain.parameters(), lr=3e-3)
    for t in range(3):
        heads, labels = plain(x[t, 0]).split(4, dim=1), y[t, 0].argmax(-1)
        loss = sum(nn.functional.cross_entropy(h, labels[:, i]) for i, h in enumerate(heads))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert float(step(x[t, 0], y[t, 0])) == pytest.approx(loss.item(), rel=1e-4)


def test_stacked_networks_learn_as_they_do_alone(device, quick):
    x, y = _batches(3, 3)
    alone = [device.single(module, quick) for module in _modules(3)]
    together = device.stacked(_modules(3), quick)
    for t in range(3):
        expected = sum(float(step(x[t, n], y[t, n])) for n, step in enumerate(alone))
        assert float(together(x[t], y[t])) == pytest.approx(expected, rel=1e-4)


def test_differences_beyond_the_tolerance_fail(device):
    assert [device.checked("", d, 0.1)[-1] for d in (0.1, 0.11, np.nan)] == ["PASS", "FAIL", "FAIL"]
    assert device.largest(np.array([1.0, -4.0]), np.array([2.0, -4.0])) == 0.25
    start, end = {"w": np.zeros(2)}, {"w": np.array([3.0, 4.0]), "n": np.array(7)}
    assert device.of_movement({"w": np.array([3.0, 3.0]), "n": np.array(8)}, end, start) == 0.2


@pytest.mark.slow
def test_rows_survive_a_part_that_fails_or_takes_too_long(device, capsys):
    def outcome(code):
        return device.measured([sys.executable, "-c", f"print('row', flush=True); {code}"], 60)

    assert outcome("") == ("row\n", "")
    rows, problem = outcome("raise ValueError('no such kernel')")
    assert (rows, problem.partition(": ")[2]) == ("row\n", "ValueError: no such kernel")
    rows, problem = device.measured(["sh", "-c", "echo row; exec sleep 60"], 2)
    assert rows == "row\n"
    assert problem.startswith("Stopped after 2 s")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["rdms", *(pytest.param(n, marks=pytest.mark.slow) for n in ("agreement", "mlps", "cnns"))],
)
def test_parts_fill_their_tables(device, quick, name):
    part = device.PARTS[name]
    rows = list(part.rows(quick))
    assert {len(row) for row in rows} == {len(part.columns)}
    assert not [row for row in rows if "failed" in row[1]]
    if name == "agreement":  # of the CPU with itself
        assert {row[-1] for row in rows} == {"PASS"}


def _run(device, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["device.py", *map(str, arguments)])
    device.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_why_it_does_nothing(device, monkeypatch, capsys):
    _run(device, monkeypatch)
    assert "skipped: PyTorch finds no CUDA device" in capsys.readouterr().out


@pytest.mark.slow
def test_tables_go_to_a_file(device, monkeypatch, tmp_path):
    written = tmp_path / "results" / "device.md"
    _run(device, monkeypatch, "--device", "cpu", "--quick", "--only", "resnet", "--output", written)
    page = written.read_text()
    assert torch.__version__ in page
    assert "| step, bfloat16 |" in page
    _run(device, monkeypatch, "--device", "cpu", "--minutes", 0, "--output", written)
    assert written.read_text().count("Left out") == len(device.PARTS)
