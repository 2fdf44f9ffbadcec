"""Networks on other devices, and in less memory, are the same networks."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks import stacked_training, stacks
from repbias.networks.activations import put_trained_activations
from repbias.networks.device import pick_device
from repbias.networks.ensembles import Ensemble
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.stacked_training import Stack, bytes_per_network
from repbias.networks.stacks import hidden_layers
from repbias.networks.training import train, train_ensembles
from repbias.stimuli.bits import Bits


def written(put, path, *arguments):
    """Write a file of activations."""
    with create(path, "activations") as file:
        put(file, *arguments)


def stimuli_with(**sizes: int) -> Stimuli:
    features = {name: {"function": name, "bits": 4} for name in ("bit", "xor")}
    sizes = {"n_train": 96, "n_validation": 40, "n_test": 41} | sizes
    sizes |= {"training_sets": "common"}
    return Bits(features=features, noise_bits=8, **sizes).generate()


def digest(networks: Networks) -> str:
    """Digest of all that was learned, to the last bit."""
    arrays = [*networks.weights.values(), *networks.curves.values(), networks.test_accuracy]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


# Memory.

LIMITED = """
import logging, resource, sys
from pathlib import Path

import torch

from repbias.networks.device import CPU_STACK
from test_memory import digest, large

torch.set_num_threads(1)
logging.basicConfig(level="WARNING")
# What is loaded at first use is not counted; few stimuli, as what is freed could be used again.
large([0], n_train=64)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = size + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(digest(large(range(CPU_STACK))))
"""


def large(seeds: list[int], n_train: int = 4096) -> Networks:
    """Train networks of which each takes about 30 MB, most of it for its activations."""
    training = Training(batch_size="full", max_steps=2, evaluate_every=1, checkpoints=2)
    return train(stimuli_with(n_train=n_train), MLP(hidden=[512]), training, seeds, "cpu")


def limited_to(megabytes: int) -> subprocess.CompletedProcess:
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, [here, here.parents[1] / "src"]))
    command = [sys.executable, "-c", LIMITED, str(megabytes)]
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is limited on Linux")
def test_training_in_little_memory_is_the_same_training():
    """Real: the process may not have more, and PyTorch does not get what it asks for."""
    run = limited_to(200)
    assert run.returncode == 0, run.stderr
    assert "10 networks do not fit into memory, going on with 5" in run.stderr
    assert run.stdout.strip() == digest(large(range(10)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is limited on Linux")
def test_training_in_too_little_memory_says_so():
    run = limited_to(12)
    assert "RepbiasError: device: one network alone does not fit into memory" in run.stderr


SHORT = {"batch_size": 16, "max_steps": 12, "evaluate_every": 4, "checkpoints": 3}


@pytest.fixture
def small_device(monkeypatch) -> list[int]:
    """A device that runs out of memory in the middle of stacks of more than three networks.

    There need be no accelerator, so one small function stands in for it; sizes tried are noted.
    """
    tried = []
    original = Stack._step

    def limited(stack, step):
        size = len(stack._stacked)
        if stack._batches._position == 32:
            tried.append(size)
            if size > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        original(stack, step)

    monkeypatch.setattr(Stack, "_step", limited)
    return tried


def test_a_stack_that_runs_out_of_memory_starts_again_as_halves(small_device):
    ensembles = [
        Ensemble(stimuli_with(seed=seed), MLP(hidden=[13, 5]), Training(**SHORT, **more), range(5))
        for seed, more in [(0, {}), (1, {"dropout": 0.2}), (1, {"optimizer": "sgd"})]
    ]
    found = train_ensembles(ensembles, "cpu")
    assert small_device[0] == 10
    assert 5 in small_device
    assert small_device.count(3) >= 4
    for ensemble, networks in zip(ensembles, found, strict=True):
        for n, seed in enumerate(ensemble.seeds):
            one = train(ensemble.stimuli, ensemble.network, ensemble.training, [seed], "cpu")
            for name, w in one.weights.items():
                np.testing.assert_array_equal(networks.weights[name][:, n], w[:, 0])


def test_a_network_that_does_not_fit_alone_is_an_error(monkeypatch):
    def never(stack, step):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Stack, "_step", never)
    with pytest.raises(RepbiasError, match=r"device: one network .*Tried to allocate 2.00 GiB"):
        train(stimuli_with(), MLP(hidden=[13, 5]), Training(**SHORT), range(3), "cpu")


def peak(work) -> int:
    """Return the most bytes that PyTorch held at a time."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    events = profile.profiler.kineto_results.events()
    taken = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    return int(np.cumsum([n for _, n in sorted(taken, key=lambda pair: pair[0])]).max())


@pytest.mark.parametrize(
    ("hidden", "training"),
    [
        ([256, 128, 64], {"batch_size": 128}),
        ([64], {"batch_size": "full"}),
        ([1024, 512], {"batch_size": 8, "optimizer": "sgd"}),
        ([1024, 512], {"batch_size": 8, "parameter_noise": 0.1}),
        ([128] * 6, {"batch_size": 256, "dropout": 0.2, "parameter_noise": 0.1}),
    ],
)
@pytest.mark.parametrize("normalisation", ["none", "layer"])
def test_the_estimate_is_more_than_training_takes_but_not_much_more(
    hidden, training, normalisation
):
    ensemble = Ensemble(
        stimuli_with(n_train=512, n_validation=256),
        MLP(hidden=hidden, normalisation=normalisation),
        Training(max_steps=2, evaluate_every=1, **training),
        range(3),
    )
    members = [(ensemble, seed) for seed in ensemble.seeds]
    taken = peak(lambda: Stack(members, torch.device("cpu")).train())
    assert taken <= 3 * bytes_per_network(ensemble) <= 3.5 * taken


# Devices.


def test_all_of_a_step_is_on_the_device(monkeypatch):
    """On PyTorch's device without data, which refuses to compute with tensors from elsewhere."""
    monkeypatch.setattr(
        stacked_training, "_optimizers", lambda ensembles, weights: []
    )  # these need data
    stimuli = [stimuli_with(seed=seed) for seed in (0, 1)]
    noisy = Training(**SHORT, dropout=0.1, parameter_noise=0.1, warmup_steps=4)
    network = MLP(hidden=[13, 5], normalisation="layer")
    members = [(Ensemble(s, network, noisy, [0]), 0) for s in stimuli]
    stack = Stack(members, torch.device("meta"))
    stack._reward()
    stack._step(0)
    assert {w.device.type for w in stack._weights.values()} == {"meta"}
    assert stack._batches.next().device.type == "meta"  # else it would be moved in every step


@pytest.fixture
def accelerator() -> str:
    device = pick_device("auto").type
    if device == "cpu":
        pytest.skip("no CUDA and no MPS here")
    return device


OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.003},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.1},
}
NOISE = {"none": {}, "noise": {"dropout": 0.2, "parameter_noise": 0.05}}


@pytest.mark.filterwarnings("error")  # such as that an operation is not deterministic
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("noise", NOISE)
def test_an_accelerator_agrees_with_the_cpu(accelerator, optimizer, noise):
    """After 40 steps to 1e-3 of a weight, or 1e-4: the same numbers, summed in other orders."""
    settings = OPTIMIZERS[optimizer] | NOISE[noise] | {"batch_size": 32, "max_steps": 40}
    training = Training(**settings, evaluate_every=10, checkpoints=3, extra_steps=None)
    arguments = (stimuli_with(), MLP(hidden=[40, 13]), training, range(5))
    expected, found = (train(*arguments, device) for device in ("cpu", accelerator))
    np.testing.assert_array_equal(found.checkpoint_names, expected.checkpoint_names)
    for name, w in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name][0], w[0], err_msg="initial")
        np.testing.assert_allclose(found.weights[name][-1], w[-1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.curves["loss"], expected.curves["loss"], rtol=1e-3)


@pytest.mark.filterwarnings("error")
def test_an_accelerator_does_the_same_again(accelerator):
    training = Training(**SHORT, dropout=0.2, parameter_noise=0.05)
    arguments = (stimuli_with(), MLP(hidden=[40, 13]), training, range(5), accelerator)
    assert digest(train(*arguments)) == digest(train(*arguments))


def test_activations_on_an_accelerator_agree_with_the_cpu(accelerator, tmp_path):
    stimuli, spec = stimuli_with(), MLP(hidden=[40, 13], activation="gelu")
    networks = train(stimuli, spec, Training(**SHORT), range(4), "cpu")
    for device in ("cpu", accelerator):
        written(put_trained_activations, tmp_path / f"{device}.h5", networks, stimuli, spec, device)
    one, other = (Activations.open(tmp_path / f"{d}.h5") for d in ("cpu", accelerator))
    for row in range(len(one)):
        for layer in one.layers:
            np.testing.assert_allclose(
                other.read(layer, row), one.read(layer, row), rtol=1e-4, atol=1e-5
            )


# Activations in any stack.


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh", "gelu"])
@pytest.mark.parametrize("normalisation", ["none", "layer"])
def test_activations_are_the_same_bits_in_any_stack(activation, normalisation):
    """Widths and stimuli are odd: without padding, a few bits differ."""
    stimuli = stimuli_with()
    spec = MLP(hidden=[13, 5], activation=activation, normalisation=normalisation)
    networks = train(stimuli, spec, Training(**SHORT), range(11), "cpu")
    final = {name: w[-1] for name, w in networks.weights.items()}
    inputs = stimuli.part("test")[0]
    together = hidden_layers(final, inputs, spec)
    for members in ([0], [10], [3, 4, 5], [7, 2]):
        some = hidden_layers({name: w[members] for name, w in final.items()}, inputs, spec)
        for layer, few in zip(together, some, strict=True):
            np.testing.assert_array_equal(layer[members], few)


def test_activations_that_do_not_fit_are_written_in_halves(monkeypatch, tmp_path):
    """One function stands in for a device without memory for more than three networks."""
    stimuli, spec = stimuli_with(), MLP(hidden=[13, 5])
    networks = train(stimuli, spec, Training(**SHORT), range(7), "cpu")
    written(put_trained_activations, tmp_path / "a.h5", networks, stimuli, spec)
    sizes = []

    def limited(weights, *others):
        sizes.append(len(weights["w1"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hidden_layers(weights, *others)

    monkeypatch.setattr(stacks, "hidden_layers", limited)
    written(put_trained_activations, tmp_path / "b.h5", networks, stimuli, spec)
    assert sizes[:3] == [10, 5, 3]
    one, other = (Activations.open(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert len(one) > 10
    for row in range(len(one)):
        for layer in one.layers:
            np.testing.assert_array_equal(one.read(layer, row), other.read(layer, row))
