"""The page leads from a claim to the figures that show it, and to the rows that decided it."""

from __future__ import annotations

import pandas as pd
import pytest
from reports import LAYERS, Page, write

from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import Evidence
from repbias.report.captions import FIGURES
from repbias.report.claim_rows import claim_rows, figures_of, tables_of

CLAIMED = {
    "C1": {"condition": "tasks/both", "easy": "easy", "hard": "hard"},
    "C5 sparse": {"condition": "tasks/both", "easy": "easy", "hard": "hard"},
    "C9": {"shallow": "tasks/easy", "deep": "tasks/*", "easy": "easy", "hard": "hard"},
    "C20": {"easy": "tasks/easy", "hard": "tasks/both"},
}


@pytest.fixture
def tables(make_tables):
    tables = make_tables()
    first = tables["variance_explained"]["seed"] == 0
    tables["variance_explained"].loc[first, "included"] = False
    return tables


def rows_of(found, claim):
    return found[found["claims"].str.split(", ").map(lambda claims: claim in claims)]


def test_rows_are_those_that_the_claims_are_decided_on(tables):
    found = claim_rows(CLAIMED, tables, LAYERS, "corr")
    assert list(found) == ["variance_explained", "sparsity", "rsa_models"]
    for claim, condition in (("C1", "tasks/both"), ("C9", "tasks/*")):
        decided = pd.concat(
            Evidence(tables, LAYERS, snapshot).rows("variance_explained", condition)
            for snapshot in ("final", "mastered")
        )
        rows = rows_of(found["variance_explained"], claim)
        assert len(rows) > 0
        assert sorted(rows.index) == sorted(decided.index)
        assert rows["r2"].sort_index().equals(decided["r2"].sort_index())
    assert set(found["sparsity"]["claims"]) == {"C5 sparse"}
    assert "C1, C9, C20" in set(found["variance_explained"]["claims"])


def test_pairs_are_of_networks_of_the_claim_and_of_the_similarity_that_decides(tables):
    pairs = claim_rows(CLAIMED, tables, LAYERS, "spearman")["rsa_models"]
    rows = tables["rsa_models"].loc[pairs.index]
    assert len(rows) > 0
    assert set(rows["rdm_similarity"]) == {"spearman"}
    assert set(rows["layer_a"]) == set(rows["layer_b"]) == {"hidden2"}
    assert set(pairs["condition_a"]) == {"tasks/easy", "tasks/both"}
    alone = {"C24": {"normal": "tasks/both", "shuffled": "tasks/absent"}}
    roles = dict(zip(CLAIMS["C24"].roles, alone["C24"].values(), strict=False))
    pairs = claim_rows({"C24": roles}, tables, LAYERS, "corr")["rsa_models"]
    assert set(pairs["condition_a"]) == set(pairs["condition_b"]) == {"tasks/both"}


def test_columns_that_are_the_same_in_all_rows_are_left_out(tables):
    columns = claim_rows(CLAIMED, tables, LAYERS, "corr")["variance_explained"].columns
    assert list(columns[:3]) == ["claims", "condition", "seed"]
    assert {"feature", "r2"} <= set(columns)
    assert not {"experiment", "network", "layer", "included"} & set(columns)


def test_every_claim_with_a_table_has_a_figure():
    for name, claim in CLAIMS.items():
        assert bool(figures_of(claim.tables, FIGURES)) == bool(claim.tables), name
    assert figures_of(("conflict",), FIGURES) == ["probes"]
    assert figures_of(("conflict",), ["units"]) == []


def test_the_page_links_claims_with_figures_and_rows(tables, tmp_path):
    question = {"asks": "is it?", "table": "probes"}
    tables["claims"].loc[tables["claims"]["claim"] == "C20", "claim"] = "mine"
    study = {"claims": {"C1": CLAIMED["C1"]}, "questions": {"mine": question}}
    page = write(tmp_path, tables, figures=["sweeps"], study=study)
    links = {link["href"]: link.get("data-filter") for link in Page(page).all("a")}
    assert links["#rows-variance_explained"] == '"C1"'
    assert links["tables/probes.csv"] is None
    assert page.count('<a href="#sweeps">') == 1, "it shows the table of C1, and not that of mine"
    assert tables_of("mine", study["questions"]) == ("probes",)
