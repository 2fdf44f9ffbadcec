"""Write a report of small tables, and read it."""

from __future__ import annotations

from html.parser import HTMLParser

import yaml

from repbias.auditing.spec import Audit
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry, Similarity
from repbias.recovery.spec import Recovery
from repbias.report.captions import FIGURES
from repbias.report.figures import draw_figures
from repbias.report.page import write_page
from repbias.tables import write_table

#: Sections that every resolved configuration has.
SECTIONS = {
    name: section.model_dump(mode="json")
    for name, section in (
        ("geometry", Geometry()),
        ("encoding", Encoding()),
        ("audit", Audit()),
        ("recovery", Recovery()),
        ("similarity", Similarity()),
    )
}
LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden2"}


class Page(HTMLParser):
    """Collects the elements and the visible text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.words, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "script"} & set(self.inside):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def draw(folder, tables, figures=tuple(FIGURES), layers=LAYERS, processes=1):
    """Write tables, and draw the figures that are not there; return the paths of both."""
    paths = []
    for name, table in tables.items():
        paths.append(folder / "tables" / f"{name}.csv")
        write_table(paths[-1], name, table)
    svgs = [folder / "figures" / f"{name}.svg" for name in figures]
    if missing := [str(svg) for svg in svgs if not svg.exists()]:
        draw_figures(missing, map(str, paths), layers, {}, processes=processes)
    return paths, svgs


def write(folder, tables, figures=tuple(FIGURES), study=None, pictures=(), not_pictured=""):
    paths, svgs = draw(folder, tables, figures)
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(SECTIONS | {"study": "quick", "title": "A title"} | (study or {}))
    )
    benchmarks = folder / "benchmarks"
    (benchmarks / "train" / "tasks").mkdir(parents=True)
    columns = "s\tcpu_time\tmax_rss\n"
    (benchmarks / "train" / "tasks" / "easy.tsv").write_text(f"{columns}10.5\t9.0\t300\n")
    (benchmarks / "train" / "tasks" / "both.tsv").write_text(f"{columns}20.0\t-\t500\n")
    (benchmarks / "claims.tsv").write_text(f"{columns}2.0\t1.5\t100\n")
    out = folder / "report.html"
    write_page(
        out,
        map(str, paths),
        map(str, [*svgs, *pictures]),
        str(config),
        str(benchmarks),
        LAYERS,
        not_pictured,
    )
    return out.read_text(encoding="utf-8")
