"""The report is one file, complete, and harmless whatever names the files give it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from reports import SECTIONS, Page, write

from repbias.recovery.words import sentences
from repbias.report.alternatives import NUMBERS
from repbias.report.captions import FIGURES, NETWORK_PICTURES, PICTURES
from repbias.report.page import (
    claims_summary,
    figure_notes,
    law_between_networks,
    law_sentences,
    number,
    step_times,
)
from repbias.tables import as_table

EVIL = '<script>alert("1")</script>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def page(every_figure, make_tables, folder):
    shutil.copytree(every_figure, folder, dirs_exist_ok=True)
    return write(folder, make_tables())


def tables_of(tables, *figures):
    """Tables that some figures need."""
    return {name: tables[name] for figure in figures for name in FIGURES[figure].needs}


def rows_of(page):
    """Cells of every table row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [
        [cell.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)]
        for row in rows
    ]


def claims_in(page):
    """Claim to its head and its rows, all as visible text."""
    table = re.search(r'<table class="claims">(.*?)</table>', page, flags=re.DOTALL)[1]
    blocks = {}
    for body in re.findall(r"<tbody>(.*?)</tbody>", table, flags=re.DOTALL):
        head, *rows = re.findall(r"<tr.*?</tr>", body, flags=re.DOTALL)
        cells = [
            tuple(Page(cell).text for cell in re.findall(r"<td.*?</td>", row, flags=re.DOTALL))
            for row in rows
        ]
        blocks[re.search(r'class="name">(.*?)<', head)[1]] = head, cells
    return blocks


def test_a_claim_is_one_block_with_its_variants_and_both_times(page):
    blocks = claims_in(page)
    assert list(blocks) == ["C1", "C20"]
    for claim, (head, rows) in blocks.items():
        text = Page(head).text
        assert f"the statement of {claim}" in text
        assert "Effect: a difference. Reference: a number (a paper)." in text
        for row in rows:
            assert len(row) == 3
    numbers = "−0.123 [–, 0.500] n = 9, 1 excluded"
    assert blocks["C1"][1] == [
        (
            "main variance_explained.csv",
            f"At first mastery: inconclusive {numbers}",
            f"At the end: supported {numbers}",
        ),
        (
            "momentum variance_explained.csv",
            *(f"{t}: inconclusive {numbers}" for t in ("At first mastery", "At the end")),
        ),
    ]
    (only,) = blocks["C20"][1]
    assert only[1] == "At first mastery: not decided at this time"
    assert only[2].startswith("At the end: not supported")
    table = re.search(r'<table class="claims">(.*?)</table>', page, flags=re.DOTALL)[1]
    for claim in blocks:
        assert table.count(f"the statement of {claim}") == 1
    titles = re.search(r"<thead>(.*?)</thead>", table, flags=re.DOTALL)[1]
    assert re.findall(r"<th>(.*?)</th>", titles) == [
        "Variant",
        "At first mastery",
        "At the end of training",
    ]


def test_equal_loss_has_a_column_where_a_claim_is_decided_then(make_tables, tmp_path):
    claims = make_tables()["claims"]
    matched = claims.iloc[[4]].assign(snapshot="matched", effect=0.25, remark="validation loss 0.1")
    tables = {"claims": pd.concat([claims, matched], ignore_index=True)}
    page = write(tmp_path, tables, figures=())
    titles = re.search(r'<table class="claims">\s*<thead>(.*?)</thead>', page, flags=re.DOTALL)[1]
    assert re.findall(r"<th>(.*?)</th>", titles)[-1] == "At equal loss"
    blocks = claims_in(page)
    cell = blocks["C20"][1][0][3]
    assert cell.startswith("At equal loss: not supported 0.250")
    assert "validation loss 0.1" in cell
    assert blocks["C1"][1][0][3] == ""


def test_a_trend_is_shown_over_the_range_of_its_axis(make_tables, tmp_path):
    """A slope per step of training is small, whatever grows."""
    tables = make_tables()
    tables["claims"].loc[4, ["claim", "effect", "ci_low", "ci_high"]] = ["grows", 2e-4, 1e-4, 3e-4]
    question = {"asks": "grows", "table": "variance_explained", "column": "r2", "trend": "step"}
    page = write(tmp_path, tables, figures=(), study={"questions": {"grows": question}})
    head, ((*_, cell),) = claims_in(page)["grows"]
    assert "not supported 0.0200 [0.0100, 0.0300]" in cell
    assert "Effect: a difference, shown over its range, 0 to 100." in Page(head).text


def test_only_an_effect_without_networks_is_exact(make_tables, tmp_path):
    claims = make_tables()["claims"]
    claims[["effect", "ci_low", "ci_high"]] = 0.7947
    claims.loc[4, ["n_included", "n_excluded"]] = 0
    claims.loc[4, ["p", "p_fdr"]] = np.nan
    blocks = claims_in(write(tmp_path, {"claims": claims}, figures=()))
    assert blocks["C20"][1][0][2] == "At the end: not supported 0.795 (exact)"
    numbers = "0.795 [0.795, 0.795] n = 9, 1 excluded"
    assert blocks["C1"][1][0][2] == f"At the end: supported {numbers}"


def test_the_page_says_how_to_read_verdicts(page):
    text = Page(page).text
    assert "up to one in twenty of the 5 tests below would still be decided by chance" in text
    assert "1 of the 2 verdicts at either time hold; the others are marked." in text
    assert text.count("not after correction for the number of tests (p = 0.068)") == 1
    assert "a claim of some difference is decided the other way round" in text
    assert "Grey: not compared, such as a network with itself." in text
    assert "White: not decided at this time." in text


def test_verdicts_are_counted_and_changes_named_in_words(page):
    counts = Page(re.search(r'<p id="verdict-counts">.*?</p>', page, flags=re.DOTALL)[0]).text
    assert counts == (
        "At the end of training: 1 supported, 1 not supported, 1 inconclusive. "
        "1 verdict differs between first mastery and the end of training:"
    )
    changes = re.search(r'<ul id="verdict-changes">.*?</ul></li>\s*</ul>', page, flags=re.DOTALL)[0]
    assert Page(changes).text == "inconclusive → supported C1 the statement of C1"


def test_claims_that_do_not_change_are_not_named(make_tables):
    claims = make_tables()["claims"].iloc[2:]
    assert claims_summary(claims) == {
        "at_equal_loss": False,
        "n_tested": 3,
        "n_decided": 1,
        "n_corrected": 0,
        "counts": {"supported": 0, "not supported": 1, "inconclusive": 1},
        "n_changes": 0,
        "changes": [],
    }


def test_changes_are_gathered_by_their_kind(make_tables):
    claims = make_tables()["claims"]
    other_variant = claims.iloc[:2].assign(variant="deep")
    other_claim = claims.iloc[:2].assign(claim="C2", statement="words")
    summary = claims_summary(pd.concat([claims, other_variant, other_claim]))
    assert summary["n_changes"] == 3
    (change,) = summary["changes"]
    assert (change["before"], change["after"]) == ("inconclusive", "supported")
    assert change["claims"] == [
        {"claim": "C1", "statement": "the statement of C1", "variants": ["", "deep"]},
        {"claim": "C2", "statement": "words", "variants": [""]},
    ]


def test_an_effect_without_networks_is_no_number(make_tables, tmp_path):
    claims = make_tables()["claims"]
    claims[["effect", "ci_low", "ci_high"]] = np.nan
    page = write(tmp_path, {"claims": claims}, figures=())
    assert "[–, –]" not in page


def test_figures_stand_in_their_sections(page):
    parsed = Page(page)
    shown = dict(re.findall(r'<section id="([a-z_-]+)">\s*<h2>(.*?)</h2>', page))
    # What a reader wants to know first is first.
    sections = dict.fromkeys(caption.section for caption in FIGURES.values())
    first = "Scores by feature"
    assert [name for name in shown.values() if name in sections] == [
        first,
        *(name for name in sections if name != first),
    ]
    links = [link["href"] for link in parsed.all("a")]
    for name in (
        "claims",
        "learning-and-bias",
        "feature-codes",
        "use-of-features",
        "network-comparisons",
        "recordings",
        "models-and-recordings",
    ):
        assert f"#{name}" in links
        assert name in shown
    place = {
        **{name: page.index(f'<section id="{name}">') for name in [*FIGURES, *shown]},
        "end": page.index('<section id="run">'),
    }
    starts = sorted(place[name] for name in shown)
    for name, caption in FIGURES.items():
        inside = max(start for start in starts if start < place[name])
        assert shown[next(n for n in shown if place[n] == inside)] == caption.section


def test_sections_without_figures_are_left_out(make_tables, tmp_path):
    page = write(tmp_path, tables_of(make_tables(), "learning"), figures=["learning"])
    assert 'id="learning-and-bias"' in page
    for absent in ("feature-codes", "use-of-features", "models-and-recordings"):
        assert f'id="{absent}"' not in page
        assert f'href="#{absent}"' not in page


@pytest.mark.parametrize(("n", "collapsed"), [(20, False), (21, True)])
def test_a_long_list_of_conditions_is_collapsed(n, collapsed, make_tables, tmp_path):
    learning = make_tables(conditions=("easy",), seeds=1)["learning"]
    conditions = pd.concat(learning.assign(condition=f"rate={i}") for i in range(n))
    page = write(tmp_path, {"learning": conditions}, figures=())
    assert (f"Show all {n} conditions" in page) == collapsed
    assert sum(cells[:1] == ["tasks"] for cells in rows_of(page)) == n


@pytest.mark.slow
def test_a_very_tall_figure_is_collapsed(tmp_path, monkeypatch, make_tables):
    tables = tables_of(make_tables(), "variance")
    page = write(tmp_path / "short", tables, figures=["variance"])
    assert "Show this tall figure" not in page
    monkeypatch.setattr("repbias.report.page.TALL", 100)
    page = write(tmp_path / "tall", tables, figures=["variance"])
    assert "Show this tall figure" in page


def test_sweeps_are_never_collapsed(tmp_path, monkeypatch, make_tables):
    monkeypatch.setattr("repbias.report.page.TALL", 100)
    figures = ["sweeps", "variance"]
    page = write(tmp_path, tables_of(make_tables(), *figures), figures)
    assert page.count("Show this tall figure") == 1
    sections = re.findall(r'<section id="([a-z_]+)">\s*<h3>(.*?)</section>', page, flags=re.DOTALL)
    assert {name: "Show this tall figure" in text for name, text in sections} == {
        "sweeps": False,
        "variance": True,
    }


def unpacked(image):
    """The SVG of an image, which the page's script makes of it."""
    return gzip.decompress(base64.b64decode(image["data-svgz"]))


def test_every_figure_is_in_the_page(page, folder):
    images = Page(page).all("img")
    assert len(images) == len(FIGURES)
    first = [name for name, caption in FIGURES.items() if caption.section == "Scores by feature"]
    for name, image in zip(dict.fromkeys([*first, *FIGURES]), images, strict=True):
        svg = (folder / "figures" / f"{name}.svg").read_bytes()
        assert unpacked(image) == svg
        points = re.search(rb'width="([0-9.]+)pt" height="([0-9.]+)pt"', svg).groups()
        assert [image["width"], image["height"]] == [f"{4 / 3 * float(p):.0f}" for p in points]
        assert image["alt"]
        assert f'id="{name}"' in page


def test_nothing_is_fetched_from_anywhere(page):
    """One file: no address of another host, no style sheet, script or image of its own."""
    assert not re.search(r"https?://", page)
    parsed = Page(page)
    for tag in ("iframe", "object", "embed", "base"):
        assert not parsed.all(tag)
    assert parsed.all("script") == [{}]
    for _, attributes in parsed.elements:
        assert attributes.get("src", "data:").startswith("data:")
    assert [link["href"] for link in parsed.all("link")] == ["data:,"]
    assert "@import" not in page
    assert "url(" not in page


def test_the_page_lets_no_script_run_but_its_own(page):
    """Whatever a name in a file of data might smuggle in."""
    (policy,) = (m["content"] for m in Page(page).all("meta") if "content-" in str(m).lower())
    script = re.search("<script>(.*?)</script>", page, flags=re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_images_in_the_page_fetch_nothing_either(page):
    for image in Page(page).all("img"):
        svg = unpacked(image).decode()
        assert "<script" not in svg
        for reference in re.findall(r'(?:xlink:)?href="([^"]*)"', svg):
            assert reference.startswith(("#", "data:"))


def test_links_lead_to_sections_and_to_the_figures_own_files(page, folder):
    parsed = Page(page)
    ids = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    for link in parsed.all("a"):
        target = link["href"]
        assert target[1:] in ids if target.startswith("#") else (folder / target).is_file()


@pytest.mark.slow
def test_names_from_files_are_text_not_markup(make_tables, tmp_path):
    tables, harmless = make_tables(), make_tables()
    tables["claims"]["statement"] = EVIL
    tables["claims"]["reference"] = EVIL
    for name in ("rsa_recordings", "reliability", "encoding", "rsa_tests", "quality"):
        tables[name]["recording"] = EVIL
    for name in ("encoding_regions", "variance_partition_regions", "encoding"):
        tables[name]["region"] = "$" + EVIL
    tables["rsa_tests"]["warning"] = tables["quality"]["method"] = EVIL
    tables["references"]["source"] = tables["rsa_between_recordings"]["recording_a"] = EVIL
    for name in ("learning", "variance_explained"):
        tables[name]["feature"] = EVIL
    study = {"title": EVIL, "study": EVIL, "recordings": {"v4": {"source": EVIL}}}
    evil = {name for name, table in tables.items() if not table.equals(harmless[name])}
    figures = [name for name, figure in FIGURES.items() if evil & set(figure.needs)]
    page = write(tmp_path, tables, figures, study=study)
    parsed = Page(page)
    assert parsed.all("script") == [{}]  # its own
    assert page.count("<script") == 1
    assert parsed.text.count(EVIL) >= 14
    for image in parsed.all("img"):
        assert b"<script" not in unpacked(image)


def test_the_configuration_is_shown_in_full(tmp_path):
    study = {"questions": {"mine": {"asks": "a < b & c"}}}
    page = write(tmp_path, {}, figures=(), study=study)
    shown = re.search(r"<pre.*?>(.*?)</pre>", page, flags=re.DOTALL)[1]
    assert Page(shown).words
    text = "".join(Page(shown).words)
    assert yaml.safe_load(text) == SECTIONS | {"study": "quick", "title": "A title"} | study


@pytest.mark.slow
def test_a_study_without_experiments_or_claims_has_a_report(make_tables, tmp_path):
    models = [
        {"experiment": "images", "condition": "net", "network": "net", "seed": 0}
        | {"layer": layer, "snapshot": "final", "step": 0, "included": True}
        for layer in ("conv1", "conv2")
    ]
    tables = make_tables(conditions=(), models=models, ceilings=False)
    tables["claims"] = tables["claims"].iloc[:0]
    figures = ["rsa_models", "rsa_recordings", "encoding"]
    parsed = Page(write(tmp_path, tables, figures))
    assert "Claims" not in parsed.text
    assert len(parsed.all("img")) == 3


def recording_part(page, recording):
    """Visible text of one recording's block."""
    start = page.index(f'<section id="recording-{recording}">')
    following = page.find('<section id="recording-', start + 1)
    end = following if following > 0 else page.index('<section id="models-and-recordings">')
    return Page(page[start:end]).text


def test_a_recording_has_its_warnings_and_its_quality(page):
    text = recording_part(page, "v4")
    assert (
        "Warnings There is heavy_tails & more. There is lucky_ceilings & more. one subject: nothing"
        in text
    )
    assert "fewer than 20 stimuli (16 of 104 tests)" in text
    assert "units 3 " in text
    assert "reliability of units, mean reliability good 0.667" in text
    rows = rows_of(page)
    assert ["units", "", "3", "[3.000, –]", "counted"] in rows, "of the whole recording"
    assert ["units", "all", "PE", "", "3", "[3.000, –]", "counted"] in rows, "of a subject"


def test_published_numbers_and_other_recordings_stand_once_in_the_page(page):
    rows = rows_of(page)
    published = ["v4", "reliability", "0.667", "0.700", "−0.033", "split-half", "a paper"]
    assert rows.count(published) == 1
    assert page.count("Compared with published numbers") == 1
    between = ["v4, it", "corr", "0.432", "[0.100, 0.700]", "1, 2", "40"]
    assert sum(row[:6] == between for row in rows) == 1
    links = [link["href"] for link in Page(page).all("a")]
    assert links.count("#recording-v4") == 4, "findings, warnings, navigation and overview"


def test_pictures_stand_with_their_recording(make_tables, tmp_path):
    tables = tables_of(make_tables(), "quality")
    quality = tables["quality"]
    tables["quality"] = pd.concat([quality, quality.assign(recording="it_2")])
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="10pt"></svg>'
    pictures = [tmp_path / f"{kind}_{r}.svg" for r in ("v4", "it_2") for kind in PICTURES]
    for picture in pictures:
        picture.write_text(svg)
    page = write(tmp_path, tables, figures=["quality"], pictures=pictures)
    for recording in ("v4", "it_2"):
        for caption in PICTURES.values():
            assert f"{caption.title}: {recording}" in page
        start = page.index(f'<section id="recording-{recording}">')
        for kind in PICTURES:
            assert page.index(f'<section id="{kind}_{recording}">') > start
    assert page.index('id="mds_v4"') < page.index('id="recording-it_2"')
    assert len(Page(page).all("img")) == 5


def test_a_study_without_recordings_has_no_part_about_them(make_tables, tmp_path):
    page = write(tmp_path, {"learning": make_tables()["learning"]}, figures=())
    assert "ecordings" not in Page(page).text


def test_run_times_are_summed_by_step(page, folder, tmp_path):
    rows = {row["rule"]: row for row in step_times(folder / "benchmarks")}
    assert rows["train"] == {
        "rule": "train",
        "jobs": 2,
        "seconds": 30.5,
        "cpu": 9.0,
        "memory": 500.0,
    }
    assert rows["claims"]["seconds"] == 2.0
    assert step_times(tmp_path / "absent") == []
    assert ["train", "2", "30.5", "9.0", "500"] in rows_of(page)


def test_conditions_are_summarised_at_the_end_of_training(tmp_path):
    """Two networks, one of them excluded; each counts where it stopped: median step 200."""
    rows = [
        {"experiment": "tasks", "condition": "both", "network": f"seed{seed}", "seed": seed}
        | {"step": step, "feature": feature, "target": feature == "easy", "loss": 0.1}
        | {"accuracy": accuracy, "included": seed == 0, "mastered": False}
        for seed, steps in ((0, (100, 0)), (1, (300, 0)))
        for step, accuracy in zip(steps, (0.9 + seed / 10, 0.5), strict=True)
        for feature in ("easy", "hard")
    ]
    page = write(tmp_path, {"learning": pd.DataFrame(rows)}, figures=())
    assert ["tasks", "both", "2", "1", "1", "200", "easy 0.950"] in rows_of(page)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.12345, 3, "0.123"), (-2.0, 1, "−2.0"), (np.nan, 3, "–"), (None, 3, "–"), (12, 0, "12")],
)
def test_numbers_are_readable(value, digits, text):
    assert number(value, digits) == text


def test_penalties_at_the_end_of_the_grid_are_said_beside_the_figure():
    table = as_table("encoding_regions")
    row = {"recording": "v4", "included": True, "snapshot": "final", "layer": "conv1"}
    rows = [row | {"ci_low": 0.1, "alpha_at_edge": e} for e in (0.0, 0.5)]
    # Units that nothing predicts take the largest penalty there is.
    rows.append(row | {"ci_low": -0.1, "alpha_at_edge": 1.0})
    frame = pd.DataFrame(rows).reindex(columns=table.columns)
    (said,) = figure_notes(as_table("cautions"), frame)["encoding"]
    assert said.startswith("v4: in 1 of 2 fits that predict (conv1) more than 10% of the penalties")
    assert not figure_notes(as_table("cautions"), frame[:1])["encoding"]


def test_the_page_says_which_models_a_recording_cannot_tell_apart(make_tables):
    tables = make_tables()
    (said,) = sentences(tables["recovery"])
    assert said == (
        "brain, rsa: the right one of 2 models is named in 70 % of simulated brains (chance 50 %); "
        "these two models (easy, both) cannot be told apart by this recording: of two of them, the "
        "right one is preferred in 70 %. It is named easy in 100 % of comparisons; of simulated "
        "brains so named, 70 % are."
    )


@pytest.mark.parametrize(
    ("condition", "layer", "said"),
    [
        (
            "easy",
            "hidden2",
            "It is named easy, which it is, in 100 % of comparisons; of simulated brains so named, "
            "70 % are. Its layer is named hidden1 in 100 % of comparisons (hidden2, which it is, "
            "in 0 %).",
        ),
        (
            "both",
            "hidden1",
            "It is named easy in 100 % of comparisons (both, which it is, in 0 %); of simulated "
            "brains so named, 70 % are. Its layer is named hidden1, which it is, in 100 % "
            "of comparisons.",
        ),
    ],
)
def test_of_a_simulated_recording_the_page_says_whether_its_name_is_right(
    condition, layer, said, make_tables
):
    table = make_tables()["recovery"]
    itself = ~table["simulated"].astype(bool)
    inside = itself & (table["level"] == "layer") & (table["named_condition"] == condition)
    table.loc[(itself & (table["level"] == "model")) | inside, "true_condition"] = condition
    table.loc[inside, "true_layer"] = layer
    (sentence,) = sentences(table)
    assert sentence.endswith(said)


def test_the_page_says_how_well_variance_alone_predicts_shares(make_tables):
    audit = make_tables()["audit"]
    audit = audit[audit["subject"] == ""].assign(predicted=0.2, share=0.25, gate=True)
    first = audit.index[(audit["feature"] == "hard") & (audit["snapshot"] == "final")][0]
    of_network = (
        audit[["condition", "layer", "feature"]]
        == audit.loc[first, ["condition", "layer", "feature"]]
    ).all(axis=1)
    audit.loc[of_network, "share"] = 0.9
    (said,) = law_sentences(audit)
    assert said.startswith("v4: half of 8 shares") and "are within 0.05 of" in said
    condition, layer = audit.loc[first, ["condition", "layer"]]
    assert f"the largest difference is hard in {layer} of {condition}" in said
    assert "predicted 0.20, measured 0.90" in said
    assert law_sentences(audit.assign(gate=False)) == []


def test_the_page_says_how_well_variance_predicts_similarity_between_networks(make_tables):
    """R² of predictions as they are: 1 - (.1² + .1²) / (2 * .2²) of shares .2 and .6."""
    table = make_tables()["audit_networks"]
    features = {"easy": (0.3, 0.2), "hard": (0.5, 0.6)}
    for name, (predicted, share) in features.items():
        chosen = table["feature"] == name
        table.loc[chosen, ["predicted", "share"]] = predicted, share
    said = law_between_networks(table)
    assert len(said) == table["experiment"].nunique()
    assert "R² 0.750 over" in said[0]
    assert "half of them are within 0.100" in said[0]
    assert law_between_networks(table.assign(gate=False)) == []


def test_networks_that_see_have_pictures_and_studies_of_bits_have_none(page, make_tables, tmp_path):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="10pt"></svg>'
    names = [
        f"{kind}/cnn/{condition}"
        for condition in ("rate=0.01", "targets=two")
        for kind in NETWORK_PICTURES
    ]
    pictures = [tmp_path / "figures" / f"{name}.svg" for name in ["stimuli", *names]]
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg)
    tables = tables_of(make_tables(), "learning")
    seen = write(tmp_path, tables, figures=["learning"], pictures=pictures)
    order = [seen.index(f'<section id="{name}">') for name in ["stimuli", *names]]
    assert order == sorted(order)
    assert seen.index('id="stimuli"') < seen.index('id="learning"') < order[1]
    for name in names:
        assert f'href="figures/{name}.csv"' in seen
    assert "Show cnn/targets=two" in seen
    assert "Show cnn/rate=0.01" not in seen, "the first condition is open"
    assert "figures/rdm/EXPERIMENT" not in seen
    (tmp_path / "some").mkdir()
    some = write(tmp_path / "some", {}, (), pictures=pictures, not_pictured="vit/<i>base")
    assert "Not shown: vit/<i>base. snakemake --cores all results/quick/figures" in Page(some).text
    for part in ("networks-pictured", "stimuli-shown"):
        assert f'href="#{part}"' in seen
        assert f'id="{part}"' not in page
        assert f'href="#{part}"' not in page


def test_figures_are_told_to_those_who_cannot_see_them(page, folder):
    """The smallest and the largest number, and what they are of, or what the verdicts are."""
    told = {image["alt"].partition(": ")[0]: image["alt"] for image in Page(page).all("img")}
    data = pd.read_csv(folder / "figures" / "variance.csv")
    data = data[data["snapshot"] == "final"]
    low, high = (data.loc[i] for i in (data["r2"].idxmin(), data["r2"].idxmax()))
    ends = (
        f"{end['r2']:.2f} (tasks, {end['condition']}, {end['layer']}, feature {end['feature']}, "
        f"end of training, n = {end['n']})".replace("-", "−")
        for end in (low, high)
    )
    assert told["Variance explained by feature"].endswith(": R² from {} to {}".format(*ends))
    verdicts = told["Claims at a glance"]
    assert verdicts.endswith(" at the end of training")
    for counted in ("1 supported", "1 not supported", "1 inconclusive"):
        assert counted in verdicts
    without = {FIGURES[name].title for name in FIGURES if name not in NUMBERS}
    assert without == {"Claims at a glance"}
    assert sum(":" in words for words in told.values()) > 0.9 * len(told)
