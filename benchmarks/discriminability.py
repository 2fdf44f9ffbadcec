"""Whether all shapes, textures and colours can be told apart, and how well untrained networks do.

Trains one convolutional network to report the ten values of each feature, and asks of every two
values, among test images of these two, how often the larger of their two logits is the right one.
Before training, linear probes read the layer where space is pooled. The table is printed.

Run with ``OMP_NUM_THREADS=1 python benchmarks/discriminability.py``; it takes some minutes.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np

from repbias.base.inputs import Task
from repbias.bias.probes import linear_probe
from repbias.config.study import Condition
from repbias.networks.heads import Heads
from repbias.networks.training import train

SETTINGS = {
    "stimuli": {"kind": "trifeature", "n_classes": 10, "n_train": 12288, "n_test": 2000},
    "network": {"kind": "cnn", "stem_stride": 2},
    "training": {
        "learning_rate": 3e-3,
        "batch_size": 32,
        "warmup_steps": 50,
        "max_steps": 3000,
        "extra_steps": 200,
    },
}


def pairwise_accuracies(logits: np.ndarray, labels: np.ndarray) -> dict[tuple[int, int], float]:
    """Return, for every two classes, how often the larger of their logits is right.

    Parameters
    ----------
    logits
        (stimulus, class).
    labels
        (stimulus,), classes from 0.
    """
    found = {}
    for a, b in combinations(range(logits.shape[1]), 2):
        rows = (labels == a) | (labels == b)
        found[a, b] = float(np.mean((logits[rows, b] > logits[rows, a]) == (labels[rows] == b)))
    return found


def main() -> None:
    """Train, and print a row for every feature."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=64, help="pixels on a side (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the network (default: 0)")
    given = parser.parse_args()
    settings = SETTINGS | {"stimuli": SETTINGS["stimuli"] | {"size": given.size}}
    condition = Condition.model_validate(settings)
    stimuli, network = condition.stimuli.generate(), condition.network
    networks = train(stimuli, network, condition.training, [given.seed], family=condition.stimuli)
    heads = Heads(networks.heads)
    task = Task(stimuli.shown, heads.n_outputs)
    (fit, y_fit, _), (test, y, _) = (stimuli.part(split) for split in ("validation", "test"))
    first, last = (
        {name: w[c] for name, w in networks.weights.items()}
        for c in (0, len(networks.checkpoint_names) - 1)
    )
    logits = network.outputs(last, test, task)[0]
    layer = network.analysed
    probed = linear_probe(
        network.represent(first, fit, task)[layer],
        y_fit,
        network.represent(first, test, task)[layer],
    )[0]
    shown, start = condition.stimuli.shown_values, 0
    steps = networks.checkpoint_steps[-1, 0]
    print(f"{given.size} pixels, {steps} steps; chance is 1 in 10, or 1 in 2\n")
    print("| feature | accuracy | lowest of 45 pairs | | untrained, linear probe |")
    print("|---|---|---|---|---|")
    for i, (name, width) in enumerate(zip(stimuli.features, networks.heads, strict=True)):
        of_feature = logits[:, start : start + width]
        start += width
        pairs = pairwise_accuracies(of_feature, y[:, i])
        a, b = min(pairs, key=lambda pair: pairs[pair])
        accuracy = np.mean(of_feature.argmax(axis=1) == y[:, i])
        print(
            f"| {name} | {accuracy:.3f} | {pairs[a, b]:.3f} | {shown[name][a]}, {shown[name][b]} | "
            f"{np.mean(probed[:, i] == y[:, i]):.3f} |"
        )


if __name__ == "__main__":
    main()
