"""Names from files and configurations are shown as they were written, and do nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from reports import SECTIONS
from selenium.webdriver.support.ui import WebDriverWait

from repbias.base.spec import printable
from repbias.config.study import Experiment
from repbias.io.recordings import Recording
from repbias.report.captions import FIGURES
from repbias.report.figures import draw_figures
from repbias.report.figures.pictures import groups_of_stimuli
from repbias.report.page import write_page
from repbias.tables import read_table, write_table

pytestmark = pytest.mark.slow

#: Texts that would do something if they were not escaped, or that matplotlib reads as formulas.
HOSTILE = {
    "link, entity, script": (
        "javascript:document.title='ran' &lt;b&gt;&amp;amp;&#60;"
        "<script>document.title='ran'</script>"
    ),
    "end of a comment": "--><script>document.title='ran'</script><!-- ελ 脳 😀 é",
    "template, formula": "{{ 7 * 7 }} {% raw %} {# x #} $\\frac{x^{$ \\alpha _^ %",
    "hidden label, control characters, attribute": (
        "_a\x00b\x1b[31m\rc\x7f\ufffe\" onmouseover=\"document.title='ran'\" x='"
    ),
    "spreadsheet, image, end of data": (
        "=cmd|' /C calc'!A0 <img src=x onerror=\"document.title='ran'\">"
        "]]></style></title><svg onload=\"document.title='ran'\">"
    ),
}
#: How they are shown, where that is not as they were written.
SHOWN = {
    "hidden label, control characters, attribute": (
        r"_a\x00b\x1b[31m\rc\x7f\ufffe" "\" onmouseover=\"document.title='ran'\" x='"
    )
}
#: Columns of text that names and sentences of the user's or of files come from.
NAMES = {
    "claims": ("statement", "measure", "reference", "provenance"),
    "encoding": ("region", "subject", "unit"),
    "encoding_regions": ("region",),
    "quality": ("region", "subject", "method", "measure"),
    "references": ("recording", "source", "method", "measure"),
    "reliability": ("region", "subject", "unit"),
    "rsa_between_recordings": ("recording_a", "interval"),
    "rsa_recordings": ("ceiling_convention", "interval"),
    "rsa_tests": ("warning", "method"),
    "variance_partition_regions": ("region",),
}
#: Figures that show names from files.
NAMED = ["quality", "encoding_regions", "variance_partition"]
LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden2"}


class Elements(HTMLParser):
    """Collects elements with their attributes, and the text outside of style sheets."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.inside = tag

    def handle_data(self, data):
        self.text += data if self.inside != "style" else ""


def write(
    folder: Path, tables: dict[str, pd.DataFrame], text: str, figures: Iterable[str] = NAMED
) -> Path:
    """Write a report in whose tables and configuration every name is the text."""
    for part in ("tables", "figures"):
        (folder / part).mkdir(parents=True)
    paths = []
    for name, table in tables.items():
        columns = {column: text for column in NAMES.get(name, ()) if len(table)}
        if name in ("encoding", "reliability"):  # two regions, so that they have names
            columns["region"] = [text if i % 2 else "V4" for i in range(len(table))]
        paths.append(folder / "tables" / f"{name}.csv")
        write_table(paths[-1], name, table.assign(**columns))
    svgs = [folder / "figures" / f"{name}.svg" for name in figures]
    draw_figures(map(str, svgs), map(str, paths), LAYERS, {})
    text = printable(text)  # configurations cannot hold control characters
    bits = {"kind": "bits", "features": {"easy": {"function": "bit"}}}
    mlp = Experiment.model_validate({"stimuli": bits}).model_dump(mode="json")
    mlp["network"]["analysed_layer"] = text
    mlp["vary"] = {"training.targets": {text: ["easy"]}}
    torch = {"kind": "torch", "factory": text, "layers": [text]}
    study = SECTIONS | {
        "study": "quick",
        "title": text,
        "experiments": {"tasks": mlp},
        "networks": {"mine": torch},
        "recordings": {"v4": {"kind": "array", "source": text}},
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(study), encoding="utf-8")
    page = folder / "report.html"
    write_page(page, map(str, paths), map(str, svgs), str(config), str(folder / "none"), {})
    return page


def named(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables with names from files, and of networks, which the figures show beside them."""
    return {name: tables[name] for name in ("learning", *NAMES)}


@pytest.fixture(scope="module")
def harmless(make_tables, tmp_path_factory):
    return write(tmp_path_factory.mktemp("harmless") / "x", named(make_tables()), "harmless")


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request, make_tables, tmp_path_factory):
    """The case, and a page of it."""
    folder = tmp_path_factory.mktemp("hostile") / "x"
    return request.param, write(folder, named(make_tables()), HOSTILE[request.param])


def test_no_element_or_attribute_is_injected_and_the_text_is_shown(hostile, harmless):
    case, path = hostile
    expected = Elements(harmless.read_text(encoding="utf-8"))
    found = Elements(path.read_text(encoding="utf-8"))
    assert found.elements == expected.elements
    shown = " ".join(SHOWN.get(case, HOSTILE[case]).split())
    n_times = " ".join(found.text.split()).count(shown)
    # The configuration is YAML, which quotes some of the text.
    in_yaml = 6
    assert n_times >= expected.text.count("harmless") - in_yaml


def test_figures_are_well_formed_and_hold_no_script(hostile, harmless):
    _, path = hostile
    for name in NAMED:
        svg = (path.parent / "figures" / f"{name}.svg").read_bytes()
        for element in ET.fromstring(svg).iter():
            assert not element.tag.endswith(("script", "foreignObject", "}a"))
            assert not [a for a in element.attrib if a.startswith("on")]
            link = element.get("{http://www.w3.org/1999/xlink}href", "#")
            assert link.startswith(("#", "data:"))


def test_regions_are_named_in_figures_whatever_they_are_called(hostile):
    """SVG files name every text in a comment before its glyphs."""
    case, path = hostile
    if case == "end of a comment":
        return  # written otherwise in comments, to the same effect
    svg = (path.parent / "figures" / "quality.svg").read_text(encoding="utf-8")
    comments = [ET.fromstring(f"<a>{text}</a>").text for text in re.findall(r"<!-- (.*?) -->", svg)]
    assert SHOWN.get(case, HOSTILE[case]) in [text.strip() for text in comments]


def test_a_table_keeps_a_text_as_one_cell(hostile):
    case, path = hostile
    table = read_table(path.parent / "tables" / "quality.csv", "quality")
    assert set(table["method"]) == {SHOWN.get(case, HOSTILE[case])}


def test_nothing_runs_in_a_browser(browser, make_tables, tmp_path):
    everything = " ".join(HOSTILE.values())
    figures = [name for name, figure in FIGURES.items() if NAMES.keys() & set(figure.needs)]
    page = write(tmp_path / "page", make_tables(), everything, figures)
    browser.get(page.as_uri())
    assert browser.title.endswith(" · repbias"), browser.title
    counts = "return [document.scripts.length, document.querySelectorAll('svg').length]"
    assert browser.execute_script(counts) == [1, 0], "its own, which unpacks the figures"
    WebDriverWait(browser, 30).until(
        lambda b: b.execute_script(
            "return [...document.images].every(i => !i.dataset.svgz && i.complete)"
        )
    )
    shown = "return [...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 100])"
    images = browser.execute_script(shown)
    assert len(images) == len(figures) > len(NAMED)
    assert all(drawn for _, drawn in images), images
    # Drawn in their place, figures run nothing either.
    browser.execute_script(
        "for (const i of [...document.images]) i.dispatchEvent(new PointerEvent('pointerenter'))"
    )
    drawn = "return [...document.querySelectorAll('.drawing')].map(d => d.shadowRoot.innerHTML)"
    assert any("&lt;script" in svg for svg in browser.execute_script(drawn))
    assert browser.title.endswith(" · repbias"), browser.title


def test_groups_of_stimuli_have_names_that_can_be_drawn():
    ids = np.array([f"s{i}" for i in range(4)])
    categories = np.array(["a\x1b[31m", "a\x1b[31m", "b", "b"])
    recording = Recording(stimuli={"stimulus_id": ids, "category": categories})
    assert list(groups_of_stimuli(recording)) == [r"a\x1b[31m"] * 2 + ["b"] * 2
