"""The notebooks of the documentation: their cells run, and give what the text around them says."""

import matplotlib
import numpy as np
import pytest
from pages import ROOT, cells

NOTEBOOKS = sorted(path.name for path in (ROOT / "docs").glob("notebook*.md"))


def run(document, monkeypatch):
    """Run the cells of a notebook; return its variables."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    variables = {}
    for options, code in cells(document):
        exec(code, variables)
        assert not pyplot.get_fignums() or "alt: " in options, f"no text instead of\n{code}"
        pyplot.close("all")
    return variables


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_sphinx_takes_the_page_as_a_notebook(document):
    """Without these lines its cells would be shown, and not run."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\nkernelspec: {name: python3")
    assert cells(document)


def test_the_audit_says_what_the_page_says(monkeypatch):
    found = run("notebook.md", monkeypatch)
    scores = found["scores"].set_index("condition")["similarity"]
    assert scores["size only"] > 0.95 > 0.75 > scores["both"]
    shares = found["shares"].set_index(["condition", "feature"])["share"]
    assert shares["both", "size"] == pytest.approx(7 / 8, abs=0.02)
    drawn = found["parts"].sum(axis=1)
    assert drawn.idxmax() == "size only"


@pytest.mark.slow
def test_a_manipulation_of_ones_own_turns_the_bias_round(monkeypatch):
    """Noise on the easy feature in training: it is computed as before, and represented less."""
    found = run("notebook-networks.md", monkeypatch)
    labels = found["labels"]
    assert np.bincount(labels @ [1, 2]).tolist() == [256] * 4
    assert min(found["accuracy"][sd].min() for sd in (0, 0.5, 1)) > 0.99
    means = found["table"].pivot_table(index="condition", columns="feature", values="r2")
    assert means.loc[0, "easy"] > 1.5 * means.loc[0, "hard"]
    assert means.loc[0.5, "easy"] > 0.9 * means.loc[0, "easy"]
    assert means.loc[1, "hard"] > 1.5 * means.loc[1, "easy"]


@pytest.mark.slow
def test_rsatoolbox_and_repbias_find_the_same(monkeypatch):
    """A cell compares the numbers, of each of which there is something."""
    found = run("notebook-rsatoolbox.md", monkeypatch)
    assert [part.shape for part in found["ours"]] == [(8, 1770), (3, 8), (100, 3, 1, 1, 3)]
    assert list(found["times"]) == ["rsatoolbox", "repbias"]
