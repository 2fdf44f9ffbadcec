"""Time and memory of a large recording: 2,000 stimuli, 5,000 units, 20 layers of 5,000 features.

Every analysis runs in a process of its own, as a rule of the workflow does, on one thread, with the
default settings. The table is written to docs/scale.md.

Run with ``OMP_NUM_THREADS=1 python benchmarks/recording_scale.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def make(folder: Path, n_stimuli: int, n_units: int, n_layers: int, n_features: int) -> None:
    """Write a recording with two trials per stimulus, and the activations of one network."""
    from repbias.io.activations import write_activations
    from repbias.io.recordings import Recording
    from repbias.recordings.spec import Preparation

    rng = np.random.default_rng(0)
    ids = np.array([f"s{i:05d}" for i in range(n_stimuli)])
    latent = rng.standard_normal((n_stimuli, 50))
    table = {
        "network": ["net"],
        "seed": [0],
        "snapshot": ["final"],
        "step": [0],
        "included": [True],
    }
    layers = {f"layer{i + 1:02d}": n_features for i in range(n_layers)}
    with write_activations(folder / "activations.h5", ids, table, layers) as datasets:
        for dataset in datasets.values():
            own = rng.standard_normal((n_stimuli, 100))
            mixing = rng.standard_normal((150, n_features))
            dataset[0] = np.maximum(np.hstack([latent, own]) @ mixing, 0)
    signal = latent @ rng.standard_normal((50, n_units))
    responses = np.repeat(signal, 2, axis=0)
    responses += 7 * rng.standard_normal(responses.shape)
    Recording(
        stimuli={"stimulus_id": ids},
        responses=responses,
        trials={"stimulus_id": np.repeat(ids, 2), "repeat": np.tile([0, 1], n_stimuli)},
        units={
            "unit": np.array([f"u{i:05d}" for i in range(n_units)]),
            "subject": np.full(n_units, "subject1"),
            "region": np.full(n_units, ""),
        },
        info={"preparation": Preparation().preparation()},
    ).write(folder / "recording.h5")


#: What is measured: its name in the table, the analysis, settings, and how many layers.
WORK = {
    "RDMs of the layers": ("rdms", {}, None),
    "`reliability`": ("reliability", {}, None),
    "`quality`": ("quality", {}, None),
    "`rsa_recordings`": ("rsa_recordings", {}, None),
    "`rsa_tests`": ("rsa_tests", {}, None),
    "`encoding`, one layer, no permutations": ("encoding", {"permutations": 0}, 1),
    "`encoding`, one layer, 10 permutations": ("encoding", {"permutations": 10}, 1),
    "the same, `max_memory_mb: 500`": ("encoding", {"permutations": 10, "max_memory_mb": 500}, 1),
}


def run(folder: Path, analysis: str, settings: dict, n_layers: int | None) -> None:
    """Do one analysis as the workflow does."""
    import importlib

    from repbias.config.analyses import OF_RECORDINGS
    from repbias.io.activations import Activations
    from repbias.io.recordings import Recording
    from repbias.rsa.rdms import read_rdms, write_layer_rdms

    if analysis == "rdms":
        activations = Activations.open(folder / "activations.h5")
        write_layer_rdms(folder / "rdms.h5", activations, "correlation", None)
        return
    entry = OF_RECORDINGS[analysis]
    arguments = ["large", Recording.read(folder / "recording.h5")]
    if entry.networks == "rdms":
        arguments += ["set", {"net": read_rdms(folder / "rdms.h5")}]
    elif entry.networks:
        activations = Activations.open(folder / "activations.h5")
        activations.layers = activations.layers[:n_layers]
        arguments += ["set", {"net": activations}]
    if entry.settings:
        spec = importlib.import_module(f"repbias.{entry.settings}.spec")
        arguments.append(getattr(spec, entry.settings.capitalize())(**settings))
    module, name = entry.function.split(":")
    getattr(importlib.import_module(module), name)(*arguments)


def measured(function: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Return seconds and peak memory (MiB) of a call in a new process."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def call() -> None:
        started = time.perf_counter()
        function(*arguments)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sender.send((time.perf_counter() - started, peak))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    process.join()
    if not receiver.poll():
        raise RuntimeError(f"{function.__name__}{arguments}: no result; its error is above")
    return receiver.recv()


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stimuli", type=int, default=2000)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    options = parser.parse_args()
    sizes = (options.stimuli, options.units, options.layers, options.features)
    lines = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measured(make, folder, *sizes)
        for name, work in WORK.items():
            if options.only not in name and work[0] != "rdms":
                continue
            seconds, memory = measured(run, folder, *work)
            lines.append(f"| {name} | {seconds:.0f} | {memory:.0f} |")
            print(lines[-1], flush=True)
    head = PAGE.read_text(encoding="utf-8").split("<!-- table -->")[0]
    said = "{:,} stimuli, two trials each; {:,} units; {} layers of {:,} features.".format(*sizes)
    table = ["| analysis | seconds | peak memory (MiB) |", "|---|---|---|", *lines]
    page = "\n".join([head + "<!-- table -->", "", said, "", *table, ""])
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
