"""Networks that see drawn images: trained, and taken through every analysis."""

import numpy as np
import pytest

from repbias.bias.spec import Bias
from repbias.config.analyses import OF_NETWORKS
from repbias.config.study import Condition
from repbias.io import stimuli as io_stimuli
from repbias.networks.training import train
from repbias.pipeline.network_analyses import analyse_networks

STIMULI = {
    "trifeature": {
        "values": {"shape": ["square", "triangle", "plus"], "texture": ["solid"]}
        | {"colour": ["red", "cyan", "white"]},
        **{"features": ["shape", "colour"], "size": 16, "rotation": 10},
        **{"n_train": 288, "n_validation": 90, "n_test": 90},
    },
    "navon": {
        **{"n_classes": 3, "size": 48, "rotation": 0, "jitter": 0.2},
        **{"n_train": 240, "n_validation": 60, "n_test": 60},
    },
}
NETWORK = {"kind": "torch", "factory": "own_networks:maps", "layers": ["conv", "relu", "pool"]}
NETWORK |= {"readout": {"pool": "flatten"}}
TRAINING = {"learning_rate": 0.02, "batch_size": 32, "checkpoints": 2, "inclusion": 0}


def condition(kind: str, max_steps: int) -> Condition:
    training = TRAINING | {"max_steps": max_steps, "evaluate_every": max_steps}
    stimuli = {"kind": kind} | STIMULI[kind]
    return Condition(stimuli=stimuli, network=NETWORK, training=training, seeds=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STIMULI)
def test_every_analysis_is_done_of_networks_that_see_images(kind):
    spec = condition(kind, 40)
    family = spec.stimuli
    stimuli = family.generate()
    networks = train(stimuli, spec.network, spec.training, [0, 1], "cpu", family)
    bias = Bias(probe_steps=20)
    analyses = {
        name: entry._asdict() | {"settings": {s: getattr(bias, s) for s in entry.settings}}
        for name, entry in OF_NETWORKS.items()
    }
    tables = analyse_networks("e", "c", networks, stimuli, spec.network, analyses)
    for name, table in tables.items():
        assert len(table), name
    for name in ("variance_explained", "probes"):
        assert set(tables[name]["feature"]) == set(family.features)
    parts = tables["variance_decomposition"]
    assert {"input", "interaction", "residual"} <= set(parts["part"])
    totals = parts.groupby(["seed", "snapshot"])["share"].sum()
    np.testing.assert_allclose(totals, 1)
    # Where a figure is explains how much of it lies in which quarter of the maps.
    assert (parts.loc[parts["part"] == "input", "share"] > 0.02).all()


def test_networks_are_the_same_whether_images_are_in_memory_or_drawn_anew(monkeypatch):
    spec = condition("trifeature", 10)

    def weights() -> dict[str, np.ndarray]:
        stimuli = spec.stimuli.generate()
        trained = train(stimuli, spec.network, spec.training, [1], "cpu", spec.stimuli)
        return trained.weights

    in_memory = weights()
    monkeypatch.setattr(io_stimuli, "STREAMED", 1000)
    drawn_anew = weights()
    for name, w in in_memory.items():
        np.testing.assert_array_equal(drawn_anew[name], w)
