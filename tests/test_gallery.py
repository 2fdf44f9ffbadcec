"""The gallery of the documentation: written from the results of studies."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest

from repbias.claims.catalogue import CLAIMS
from repbias.report.captions import FIGURES
from repbias.tables import as_table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gallery as benchmark  # noqa: E402

PAGE = ROOT / "docs/gallery.md"


@pytest.fixture
def results(tmp_path):
    """Results of a study called mine: claims, their provenance, and a figure."""
    folder = tmp_path / "mine"
    for name in ("tables", "figures", "provenance"):
        (folder / name).mkdir(parents=True)
    (folder / "config.yaml").write_text("study: mine\ntitle: 'Mine: a study'\n")
    verdicts = {"C1": "supported", "C13": "supported", "C2": "inconclusive"}
    others = dict.fromkeys(as_table("claims").columns, "") | {"n_included": 1, "n_excluded": 0}
    rows = [
        others | {"claim": claim, "variant": variant, "snapshot": snapshot, "verdict": verdict}
        for claim, verdict in verdicts.items()
        for variant in ["", *["dropout"] * (claim == "C13")]
        for snapshot in ("mastered", "final")
    ]
    pd.DataFrame(rows).to_csv(folder / "tables/claims.csv", index=False)
    versions = {"repbias": "1", "numpy": "2", "scipy": "3"}
    made = {"finished": "2026-01-02T03:04:05", "versions": versions}
    (folder / "provenance/claims.json").write_text(json.dumps(made))
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([0, 1 / 3], [0, 2 / 3], gid="line")
    figure.savefig(folder / "figures/verdicts.svg")
    pyplot.close(figure)
    return folder


def test_the_page_says_what_was_decided_and_shows_figures_with_captions(results, tmp_path):
    docs = tmp_path / "docs"
    benchmark.main([str(results)], docs)
    text = (docs / "gallery.md").read_text()
    assert "mine (2026-01-02, repbias 1, numpy 2, scipy 3)" in text
    assert "## Mine: a study\n\n```sh\nrepbias run studies/mine.yaml\n```" in text
    assert "| 3: C1, C13 (2) | none | 1: C2 |" in text
    assert "![Claims at a glance](images/gallery/mine/verdicts.svg)" in text
    assert FIGURES["verdicts"].text in text


def test_figures_become_smaller_and_stay_the_same(results):
    svg = (results / "figures/verdicts.svg").read_text()
    small = benchmark.small(svg)
    assert len(small) < 0.95 * len(svg)
    before, after = (list(ElementTree.fromstring(text).iter()) for text in (svg, small))
    for name in ("id", "transform", "x", "y"):
        assert [(e.tag, e.get(name)) for e in before] == [(e.tag, e.get(name)) for e in after]
    (line,) = (e for e in before if e.get("id") == "line")
    (moved,) = (e for e in after if e.get("id") == "line")
    numbers = [[float(x) for x in re.findall(r"[\d.]+", e[0].get("d"))] for e in (line, moved)]
    assert numbers[1] == pytest.approx(numbers[0], abs=0.005)
    assert numbers[1] != numbers[0]


def test_the_gallery_of_the_site_has_its_figures_and_no_others():
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^]]+)\]\(images/gallery/([^)]+)\)", text)
    folder = ROOT / "docs/images/gallery"
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*.svg")}
    assert {path for _, path in shown} == there.keys()
    assert sum(path.stat().st_size for path in there.values()) < 1e6
    assert [title for title, _ in shown] == [FIGURES[Path(path).stem].title for _, path in shown]


def test_every_claim_of_a_study_is_counted_once():
    text = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"^\| (\w.*) \| (\w.*) \| (\w.*) \|$", text, re.MULTILINE)
    for cells in (cells for cells in tables if cells[0] != "supported"):
        for cell in cells:
            count, _, names = cell.partition(": ")
            named = re.findall(r"(C[\w-]+)(?: \((\d+)\))?", names)
            assert int(count) == sum(int(n or 1) for _, n in named)
            assert {claim for claim, _ in named} <= CLAIMS.keys()
