"""Write a gallery of what studies found, from their results.

Run with ``python benchmarks/gallery.py results/quickstart results/tokens`` after these studies have
been run. It writes docs/gallery.md, and their most telling figures into docs/images/gallery.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from claims_table import ROOT, described, number, verdicts

from repbias.config.file import read_config
from repbias.report.captions import FIGURES
from repbias.report.findings import findings
from repbias.report.page import simulated_from, step_times
from repbias.tables import read_tables

#: Study to its most telling figures; of other studies, the first two of those below that it has.
TELLING = {
    "quickstart": ("variance", "audit_shares"),
    "tokens": ("order", "verdicts"),
}
USUAL = ("audit_shares", "verdicts", "variance", "model_comparison", "rsa_recordings")
#: Study to the page that discusses its results.
DISCUSSED = {
    "bits": "bits.md",
    "images": "image-verdicts.md",
    "images_sweeps": "image-verdicts.md",
    "tokens": "token-verdicts.md",
    "v4": "audit.md",
}
HEAD = """# Gallery

What studies that come with `repbias` found, and how to run them. Written by
`benchmarks/gallery.py` from the results of {studies}.

The report of a study has many more figures, with their data. What a claim is, in words:
[configuration.md](configuration.md#claims); how it is decided: [verdicts.md](verdicts.md); which
claim holds in which family of stimuli: [claims.md](claims.md).
"""


def small(svg: str) -> str:
    """Return a figure of matplotlib in less text: a hundredth of a point is enough for paths."""

    def rounded(path: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0])

    # Not of what scales glyphs.
    return re.sub(r"\n +", "\n", re.sub(r' d="[^"]*"', rounded, svg))


def decided(folder: Path) -> str:
    """Return the verdicts on the study's claims at the end of training, as a table."""
    rows = verdicts([folder])
    cells = []
    for verdict in ("supported", "not supported", "inconclusive"):
        found = Counter(rows.loc[rows["verdict"] == verdict, "claim"])
        named = [f"{c} ({n})" if n > 1 else c for c, n in found.items()]
        named.sort(key=lambda name: number(name.partition(" ")[0]))
        cells.append(f"{found.total()}: {', '.join(named)}" if found else "none")
    return (
        "Claims at the end of training, with the number of variants where there are several:\n\n"
        "| supported | not supported | inconclusive |\n|---|---|---|\n"
        f"| {' | '.join(cells)} |"
    )


def found_in_words(folder: Path, config: dict[str, Any]) -> list[str]:
    """Return what the report says first of every recording."""
    tables = read_tables((folder / "tables").glob("*.csv"))
    lines = []
    for block in findings(tables, simulated_from(config.get("recordings", {}))):
        made = f" ({block['truth']})" if block["truth"] else ""
        said = [f"* *{sentence.question}*: {sentence.text}" for sentence in block["sentences"]]
        lines.append("\n".join([f"**{block['name']}**{made}", "", *said]))
    return lines


def drawn(folder: Path, study: str, images: Path) -> list[str]:
    """Copy the study's most telling figures; return them with captions, in Markdown."""
    chosen = TELLING.get(study) or [f for f in USUAL if (folder / f"figures/{f}.svg").exists()][:2]
    target = images / study
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    lines = []
    for name in chosen:
        svg = (folder / f"figures/{name}.svg").read_text(encoding="utf-8")
        (target / f"{name}.svg").write_text(small(svg), encoding="utf-8")
        caption = FIGURES[name]
        place = f"images/{images.name}/{study}/{name}.svg"
        lines += [f"![{caption.title}]({place})", f"*{caption.title}.* {caption.text}"]
    return lines


def entry(folder: Path, images: Path) -> str:
    """Return a study's part of the page, and copy its figures."""
    config = read_config(folder / "config.yaml")
    study = config["study"]
    minutes = sum(step["cpu"] for step in step_times(folder / "benchmarks")) / 60
    page = DISCUSSED.get(study)
    discussed = f" [{page}]({page}) discusses it." if page else ""
    run = "make run" if study == "quickstart" else f"repbias run studies/{study}.yaml"
    parts = [
        f"## {config['title'] or study}",
        f"```sh\n{run}\n```",
        f"It took {max(minutes, 1):.0f} minutes of processor time.{discussed}",
        *found_in_words(folder, config),
        decided(folder),
        *drawn(folder, study, images),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None, docs: Path = ROOT / "docs") -> None:
    """Write the page, and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="results/STUDY, each")
    folders = parser.parse_args(arguments).results
    head = HEAD.format(studies="; ".join(map(described, folders)))
    entries = [entry(folder, docs / "images/gallery") for folder in folders]
    (docs / "gallery.md").write_text("\n".join([head, *entries]), encoding="utf-8")


if __name__ == "__main__":
    main()
