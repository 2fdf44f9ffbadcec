"""Figures for papers have the width and the letters that were asked for."""

from __future__ import annotations

import json
import re
import zlib

import matplotlib as mpl
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from repbias.commands.main import main
from repbias.config.file import read_config
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.report.figures.drawing import STYLE, legend_below, line
from repbias.report.figures.paper import save_for_paper
from repbias.tables import write_table

STUDY = {
    "study": "small",
    "experiments": {"tasks": {"stimuli": {"features": {"easy": {"function": "bit"}}}, "seeds": 3}},
}


def drawn(n_labels=1):
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4))
        axis = figure.subplots()
        axis.plot(range(20), "o")
        axis.set_xlabel("a label")
        legend_below(figure, [line(label=f"a long label {i}") for i in range(n_labels)])
    return figure


def page_of(path):
    """Width in millimetres, and what is drawn, of a PDF."""
    content = path.read_bytes()
    (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", content)
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, flags=re.DOTALL)
    page = next(s for s in map(zlib.decompress, streams[:3]) if b" cm" in s)
    return float(width) / 72 * 25.4, page.decode("latin-1"), content


def sizes_of(page):
    """Sizes of letters in points."""
    (scale,) = re.findall(r"^([\d.]+) 0 0 [\d.]+ 0 0 cm", page, flags=re.MULTILINE)
    return [float(scale) * float(size) for size in re.findall(r"/F\d+ ([\d.]+) Tf", page)]


def test_a_pdf_has_its_width_editable_text_and_all_marks(tmp_path):
    save_for_paper(drawn(), tmp_path / "x.pdf", width=85)
    width, page, content = page_of(tmp_path / "x.pdf")
    assert width == pytest.approx(85, abs=0.01)
    assert b"/FontFile2" in content, "TrueType, which programs edit, and no shapes of letters"
    assert page.count("/M0 Do") == 20
    assert max(sizes_of(page)) == pytest.approx(9 * 85 / 25.4 / 11, rel=0.01)
    save_for_paper(drawn(), tmp_path / "again.pdf", width=85)
    assert (tmp_path / "again.pdf").read_bytes() == content


def test_letters_have_the_size_that_is_asked_for_and_legends_fit(tmp_path):
    figure = drawn(n_labels=8)
    columns = figure.legends[0]._ncols
    save_for_paper(figure, tmp_path / "x.pdf", width=85, font_size=7)
    width, page, _ = page_of(tmp_path / "x.pdf")
    assert width == pytest.approx(85, abs=0.01)
    assert max(sizes_of(page)) == pytest.approx(7, rel=0.01)
    assert figure.legends[0]._ncols < columns
    assert [text.get_text() for text in figure.legends[0].get_texts()][7] == "a long label 7"


def test_a_png_has_its_pixels_and_resolution(tmp_path):
    save_for_paper(drawn(), tmp_path / "x.png", width=90, dpi=200)
    with Image.open(tmp_path / "x.png") as image:
        assert image.width == pytest.approx(90 / 25.4 * 200, abs=1)
        assert image.info["dpi"] == pytest.approx((200, 200), rel=1e-3)


@pytest.fixture
def results(make_tables, tmp_path, monkeypatch):
    """A folder of results."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "small"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(STUDY))
    tables = make_tables()
    for name in Plan(load_study(read_config(config), "x")).tables:
        write_table(folder / "tables" / f"{name}.csv", name, tables[name])
    return folder


@pytest.mark.slow
def test_the_command_draws_figures_of_a_study(results, capsys):
    options = ["--width", "85", "--font-size", "7"]
    assert main(["figures", str(results), "learning", *options]) == 0
    assert capsys.readouterr().out == f"{results}/figures/learning.pdf\n"
    assert page_of(results / "figures/learning.pdf")[0] == pytest.approx(85, abs=0.01)
    options = ["--format", "png", "--dpi", "50", "--out", "paper", "--json"]
    assert main(["figures", str(results), "learning", *options]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["paper/learning.png"]
    assert not list(results.rglob("*.csv.*")) and not list(results.glob("figures/*.csv"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lerning"], "lerning: no figure of small; did you mean 'learning'?"),
        (["--width", "0.8"], "--width 0.8: expected a number from 20 to 1000"),
        (["--font-size", "70"], "--font-size 70: expected a number from 3 to 30"),
    ],
)
def test_what_cannot_be_drawn_is_said(results, capsys, words, message):
    assert main(["figures", "small", *words]) == 1
    assert message in capsys.readouterr().err


def test_other_folders_and_results_without_tables_are_refused(results, capsys):
    assert main(["figures", "tables"]) == 1
    assert "tables: no results of a study" in capsys.readouterr().err
    (results / "tables/learning.csv").unlink()
    assert main(["figures", "small", "learning"]) == 1
    assert "learning.csv: no such file; run the study first" in capsys.readouterr().err
