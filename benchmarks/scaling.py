"""What a network, an RDM, a bootstrap sample and planning cost, and how each grows.

One thread, CPU seconds. The tables are written to docs/scaling.md. Run with
``OMP_NUM_THREADS=1 python benchmarks/scaling.py``; it takes a few minutes.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the CPU seconds of a call."""
    started = time.process_time()
    work(*arguments)
    return time.process_time() - started


def training() -> Iterator[tuple[str, str, float, float]]:
    """Go through widths: milliseconds per step and network in a stack of ten, and as predicted."""
    from repbias.config.study import Condition
    from repbias.networks.mlp import MLP
    from repbias.networks.spec import Training
    from repbias.networks.training import train
    from repbias.pipeline.sizes import seconds_per_step

    features = {"easy": {"function": "bit"}, "hard": {"function": "xor_of_xors"}}
    for hidden in ([32, 16], [128, 64, 32, 64], [256, 128, 64, 64], [512, 256, 128, 64]):
        steps = Training(max_steps=300, extra_steps=None, checkpoints=2)
        condition = Condition(
            stimuli={"features": features, "training_sets": "common"},
            network=MLP(hidden=hidden),
            training=steps,
        )
        stimuli = condition.stimuli.generate()
        taken = seconds(train, stimuli, condition.network, steps, range(10), "cpu")
        predicted = seconds_per_step(condition)
        yield "training step", f"hidden {hidden}", 1e3 * taken / 3000, 1e3 * predicted


def modules() -> Iterator[tuple[str, str, float, float]]:
    """Go through the architectures of studies/own: milliseconds per step, and as predicted."""
    from repbias.config.study import Condition
    from repbias.networks.training import train
    from repbias.pipeline.sizes import seconds_per_step

    sys.path.insert(0, str(ROOT / "studies/own"))
    study = yaml.safe_load((ROOT / "studies/own/study.yaml").read_text())
    experiment = study["experiments"]["bits"]
    for name in ("cnn", "transformer"):
        for batch in (32, 128):
            training = {"max_steps": 300, "extra_steps": None, "checkpoints": 2}
            condition = Condition.model_validate(
                {
                    "stimuli": experiment["stimuli"] | {"training_sets": "common"},
                    "network": experiment["vary"]["network"][name],
                    "training": training | {"evaluate_every": 300, "batch_size": batch},
                }
            )
            stimuli = condition.stimuli.generate()
            predicted = seconds_per_step(condition)
            taken = seconds(train, stimuli, condition.network, condition.training, [0], "cpu")
            yield "training step", f"{name}, batch {batch}", 1e3 * taken / 300, 1e3 * predicted


def image_networks() -> Iterator[tuple[str, str, float, float]]:
    """Go through networks of images: milliseconds per step, and as predicted."""
    import torch

    from repbias.base.inputs import Inputs, Task
    from repbias.networks.architectures import architecture
    from repbias.networks.forward import built

    torch.set_num_threads(1)
    resnet18 = {"kind": "resnet", "widths": [64, 128, 256, 512], "blocks": 2, "first_stride": 1}
    resnet18 |= {"stem_kernel": 7, "stem_stride": 2, "stem_pool": True}
    for name, settings, pixels, batch in (
        ("cnn", {"kind": "cnn"}, 32, 32),
        ("resnet", {"kind": "resnet"}, 32, 32),
        ("vit", {"kind": "vit"}, 32, 32),
        ("ResNet-18", resnet18, 224, 4),
    ):
        spec, task = architecture(settings), Task(Inputs((3, pixels, pixels)), 12)
        module, sizes = built(spec, task, 0), spec.sizes(task)
        optimizer = torch.optim.Adam(module.parameters(), fused=True)
        x = torch.rand(batch, *task.inputs.shape)
        steps = 4 if pixels > 32 else 20
        taken = min(seconds(_step, module, optimizer, x) for _ in range(steps))
        predicted = sizes.step_seconds + batch * sizes.stimulus_seconds
        size = f"{name}, {pixels} px, batch {batch}"
        yield "training step", size, 1e3 * taken, 1e3 * predicted


def _step(module: Any, optimizer: Any, x: Any) -> None:
    optimizer.zero_grad()
    module(x).square().mean().backward()
    optimizer.step()


def rdms() -> Iterator[tuple[str, str, float, float]]:
    """Go through numbers of stimuli: milliseconds per RDM of 64 units."""
    from repbias.geometry.distances import dissimilarities

    rng = np.random.default_rng(0)
    for n_stimuli in (128, 256, 512, 1024):
        patterns = rng.standard_normal((n_stimuli, 64))
        taken = min(seconds(dissimilarities, patterns, "correlation") for _ in range(3))
        yield "RDM", f"{n_stimuli} stimuli", 1e3 * taken, 7e-6 * n_stimuli**2


def bootstraps() -> Iterator[tuple[str, str, float, float]]:
    """Go through numbers of stimuli: milliseconds per bootstrap sample and model RDM."""
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.rsa.rdms import make_rdms
    from repbias.rsa.tables import compare_with_recording

    rng = np.random.default_rng(0)
    for n_stimuli in (64, 128, 256):
        ids = np.array([f"s{i:04d}" for i in range(n_stimuli)])
        n_pairs, n_models = n_stimuli * (n_stimuli - 1) // 2, 30
        info = {
            "layer": ["hidden1"] * n_models,
            "network": [f"seed{i}" for i in range(n_models)],
            "seed": list(range(n_models)),
            "snapshot": ["final"] * n_models,
            "step": [1] * n_models,
            "included": [True] * n_models,
        }
        models = make_rdms(rng.random((n_models, n_pairs)), ids, "correlation", info)
        recording = Recording(
            stimuli={"stimulus_id": ids},
            rdms=rng.random((4, n_pairs)),
            rdm_info={"subject": np.array(list("abcd"))},
        )

        arguments = ("r", recording, "e", {"c": models}, Geometry(bootstraps=1000))
        yield (
            "bootstrap sample, per model",
            f"{n_stimuli} stimuli, 4 subjects",
            1e3 * seconds(compare_with_recording, *arguments) / 1000 / n_models,
            2.4e-7 * n_stimuli**2,
        )


def plans() -> Iterator[tuple[int, int, int, float]]:
    """Go through studies: networks, conditions per job, jobs, and CPU seconds of a dry run."""
    tiny = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    base = tiny["experiments"]["full"] | {"seeds": 10}
    base["analyses"] = [name for name in base["analyses"] if name != "similarity"]
    for conditions, per_job in ((10, 1), (100, 1), (100, 50), (1000, 1), (1000, 50)):
        rates = [round(1e-5 * (i + 1), 5) for i in range(conditions)]
        sweep = base | {"vary": {"training.learning_rate": rates}, "conditions_per_job": per_job}
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "study.yaml")
            config.write_text(yaml.safe_dump({"study": "many", "experiments": {"sweep": sweep}}))
            command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
            command += ["--directory", folder, "--configfile", str(config)]
            command += ["--scheduler", "greedy", "--dry-run", "--quiet", "rules"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        jobs = int(re.search(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)[1])
        taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        yield 10 * conditions, per_job, jobs, taken


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    lines = [
        "| work | size | milliseconds | by the formula |",
        "|---|---|---|---|",
    ]
    for measure in (training, modules, image_networks, rdms, bootstraps):
        for work, size, measured, predicted in measure():
            lines.append(f"| {work} | {size} | {measured:.2g} | {predicted:.2g} |")
            print(lines[-1], flush=True)
    lines += ["", "| networks | conditions per job | jobs | seconds to plan |", "|---|---|---|---|"]
    for networks, per_job, jobs, taken in plans():
        lines.append(f"| {networks:,} | {per_job} | {jobs:,} | {taken:.0f} |")
        print(lines[-1], flush=True)
    head, mark, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    text = f"{head}{mark}\n" + "\n".join(lines) + f"\n\n{end}{tail}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
