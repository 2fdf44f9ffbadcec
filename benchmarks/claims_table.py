"""Write which claims hold in which family of stimuli, from the results of the studies.

Run with ``python benchmarks/claims_table.py results/bits results/images results/images_sweeps``
after these studies have been run. It writes docs/claims.md, and its table into README.md. Each
study names its family: bits, images or tokens, the part of its name before the first "_". Families
of which no study is given keep their column.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from repbias.claims.catalogue import CLAIMS
from repbias.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("bits", "images", "tokens")
SIGNS = {"supported": "✓", "not supported": "✗", "inconclusive": "?"}
BEGIN, END = "<!-- claims: begin (benchmarks/claims_table.py) -->", "<!-- claims: end -->"
HEAD = """# Which claims hold, and where

Written by `benchmarks/claims_table.py` from the results of {studies}.

Verdicts at the end of training by family of stimuli: ✓ supported, ✗ not supported, ? inconclusive,
with the number of variants (other optimisers, architectures, features) where there are several.
What a claim is, in words: [configuration.md](configuration.md#claims). Effects with intervals are
in each study's report, and in words in [bits.md](bits.md),
[image-verdicts.md](image-verdicts.md) and [token-verdicts.md](token-verdicts.md).

"""


def verdicts(folders: list[Path]) -> pd.DataFrame:
    """Return the verdicts at the end of training of all claims, with the family of the study."""
    parts = []
    for folder in folders:
        table = read_table(folder / "tables/claims.csv", "claims")
        table = table[(table["snapshot"] == "final") & table["claim"].isin(CLAIMS)]
        parts.append(table.assign(family=folder.resolve().name.partition("_")[0]))
    return pd.concat(parts, ignore_index=True)


def cell(found: pd.Series) -> str:
    """Say how often which verdict was reached: "✓ 3, ? 1"; the sign alone of a single one."""
    counts = Counter(found)
    said = [f"{sign} {counts[name]}" for name, sign in SIGNS.items() if counts[name]]
    return said[0].split()[0] if len(found) == 1 else ", ".join(said) or "–"


def number(claim: str) -> tuple[int, str]:
    """Return what claims are sorted by."""
    match = re.fullmatch(r"C(\d+)(.*)", claim)
    assert match is not None
    return int(match[1]), match[2]


def columns(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return family to claim to its cell, from :func:`verdicts`."""
    return {
        str(family): {str(c): cell(of["verdict"]) for c, of in own.groupby("claim")}
        for family, own in rows.groupby("family")
    }


def documented(text: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the columns of docs/claims.md, and what it says of every study that is in them."""
    found: dict[str, dict[str, str]] = {family: {} for family in FAMILIES}
    for claim, cells in re.findall(r"^\| (C\S+) \| .*? \| ([^a-z]+) \|$", text, re.MULTILINE):
        for family, shown in zip(FAMILIES, cells.split(" | "), strict=True):
            found[family][claim] = shown
    studies = re.findall(r"(\w+) (\([^)]*scipy [^)]*\))", text)
    return found, {name: f"{name} {made}" for name, made in studies}


def table(cells: dict[str, dict[str, str]], letters: bool) -> str:
    """Return the table in Markdown: a row for each claim, a column for each family.

    Parameters
    ----------
    cells
        Family to claim to its cell.
    letters
        Whether claims of a letter (C4b) have rows too.
    """
    lines = [f"| claim | | {' | '.join(FAMILIES)} |", "|---" * (2 + len(FAMILIES)) + "|"]
    for claim in sorted({claim for column in cells.values() for claim in column}, key=number):
        if number(claim)[1] and not letters:
            continue
        shown = [cells.get(family, {}).get(claim, "–") for family in FAMILIES]
        lines.append(f"| {claim} | {CLAIMS[claim].statement} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def described(folder: Path) -> str:
    """Say when a study's claims were decided, and by which versions."""
    made = json.loads((folder / "provenance/claims.json").read_text(encoding="utf-8"))
    versions = made["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("repbias", "numpy", "scipy"))
    return f"{folder.resolve().name} ({made['finished'][:10]}, {named})"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="results/STUDY, each")
    folders = parser.parse_args().results
    page = ROOT / "docs/claims.md"
    cells, studies = documented(page.read_text(encoding="utf-8"))
    new = columns(verdicts(folders))
    kept = {name: said for name, said in studies.items() if name.partition("_")[0] not in new}
    said = kept | {folder.resolve().name: described(folder) for folder in folders}
    cells |= new
    head = HEAD.format(studies="; ".join(said[name] for name in sorted(said)))
    page.write_text(head + table(cells, letters=True), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    (ROOT / "README.md").write_text(
        f"{before}{BEGIN}\n\n{table(cells, letters=False)}\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
