"""What the tutorials of spikes and of calcium imaging have in common."""

import pandas as pd
import yaml
from pages import blocks, follow


def assert_reads_the_folder(document, folder, study, inspected, n_units):
    """Assert that the page runs, and that cells respond to the stimuli."""
    said = follow(document, folder)
    entry = yaml.safe_load(blocks(document, "yaml")[0])["recordings"]["v1"]
    shown = next(text for command, text in said.items() if "inspect" in command)
    assert inspected in shown
    proposed = next(iter(yaml.safe_load(shown.partition("\n\n")[2])["recordings"].values()))
    assert proposed.items() >= {k: entry[k] for k in ("kind", "path", "stimulus", "align")}.items()
    assert "0 problems" in said["repbias check study.yaml"]
    results = folder / "results" / study
    assert (results / "report.html").stat().st_size > 10_000
    reliability = pd.read_csv(results / "tables/reliability.csv")
    assert len(reliability) == n_units
    assert reliability["split_half"].mean() > 0.2
    rsa = pd.read_csv(results / "tables/rsa_recordings.csv")
    assert (rsa.groupby("layer")["similarity"].max() > 0.1).all()
