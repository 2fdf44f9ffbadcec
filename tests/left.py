"""What a study leaves in its folder of results, written as its jobs write it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards

from repbias.io import provenance
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.tables import write_table


def make_results(text):
    """Write the results of a study of perceptrons and its record; R² is made up, by condition."""
    config = yaml.safe_load(text)
    plan = Plan(load_study(config, try_networks=False))
    results = Path(plan.results)
    for name in plan.tables:
        rows = list(explained(plan)) if name == "variance_explained" else []
        write_table(results / "tables" / f"{name}.csv", name, rows)
    content = json.loads(plan.study.model_dump_json())
    (results / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (results / "report.html").touch()
    job = SimpleNamespace(
        rule="resolved_config",
        wildcards=Wildcards(),
        input=InputFiles(),
        output=OutputFiles([str(results / "config.yaml")]),
        params=Params(fromdict={"code": "abc", "tables": plan.tables}),
        log=Log([str(results / "logs/resolved_config.log")]),
        config=config,
        threads=1,
    )
    provenance.record(job, 0.1)
    return results


def explained(plan):
    rng = np.random.default_rng(0)
    for n, ((experiment, condition), spec) in enumerate(plan.conditions.items()):
        if "variance_explained" not in plan.study.experiments[experiment].analyses:
            continue
        for seed in range(spec.seeds):
            for layer in spec.network.layers:
                for feature, base in (("easy", 0.8), ("hard", 0.1 + n / 20)):
                    yield {
                        "experiment": experiment,
                        "condition": condition,
                        "network": f"seed{seed}",
                        "seed": seed,
                        "layer": layer,
                        "snapshot": "final",
                        "step": 100,
                        "included": True,
                        "feature": feature,
                        "r2": base + 0.01 * rng.normal(),
                        "r2_of_final": base,
                    }
