"""The table of verdicts in README and docs/claims.md, against each other and the studies."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml

from repbias.claims.catalogue import CLAIMS
from repbias.tables import TABLES, write_table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import claims_table as benchmark  # noqa: E402


def rows_of(text):
    """Claim to its cells, bits, images and tokens."""
    found = re.findall(r"^\| (C\S+) \| (.*) \| (.*) \| (.*) \| (.*) \|$", text, flags=re.MULTILINE)
    return {claim: cells for claim, _, *cells in found}


def test_cells_count_verdicts():
    def cell(*verdicts):
        return benchmark.cell(pd.Series(verdicts, dtype=object))

    assert cell("supported") == "✓"
    assert cell("inconclusive", "supported", "supported") == "✓ 2, ? 1"
    assert cell("not supported", "not supported") == "✗ 2"
    assert cell() == "–"
    assert sorted(["C10", "C2", "C4b", "C4"], key=benchmark.number) == ["C2", "C4", "C4b", "C10"]


def test_readme_and_docs_say_the_same():
    documented = rows_of((ROOT / "docs/claims.md").read_text())
    shown = rows_of((ROOT / "README.md").read_text())
    assert shown == {c: v for c, v in documented.items() if not benchmark.number(c)[1]}
    assert documented.keys() <= CLAIMS.keys()


def test_no_cell_counts_more_variants_than_a_family_asks():
    asked = {"bits": ["bits"], "images": ["images", "images_sweeps"], "tokens": ["tokens"]}
    documented = rows_of((ROOT / "docs/claims.md").read_text())
    for column, studies in enumerate(asked.values()):
        texts = [(ROOT / f"studies/{study}.yaml").read_text() for study in studies]
        named = [key.partition(" ")[0] for text in texts for key in yaml.safe_load(text)["claims"]]
        for claim, cells in documented.items():
            counted = [int(n) for n in re.findall(r"\d+", cells[column])]
            expected = 0 if cells[column] == "–" else sum(counted) or 1
            assert expected <= named.count(claim), (claim, column)


def test_what_is_documented_is_read_back_as_it_is_written():
    text = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    cells, studies = benchmark.documented(text)
    assert text.endswith("\n\n" + benchmark.table(cells, letters=True))
    assert studies.keys() == {"bits", "images", "images_sweeps", "tokens"}
    assert all(said in text for said in studies.values())


def test_families_of_which_no_study_is_given_keep_their_column(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    for file in ("README.md", "docs/claims.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    results = tmp_path / "tokens"
    (results / "tables").mkdir(parents=True)
    (results / "provenance").mkdir()
    values = {str: "", bool: True, int: 1, float: 0.5}
    row = {column: values[kind] for column, kind in TABLES["claims"].types.items()}
    row |= {"claim": "C1", "snapshot": "final", "verdict": "not supported"}
    write_table(results / "tables/claims.csv", "claims", [row])
    versions = {"repbias": "9.9", "numpy": "1", "scipy": "2"}
    made = {"finished": "2030-01-02T03:04:05", "versions": versions}
    (results / "provenance/claims.json").write_text(json.dumps(made))
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["claims_table.py", str(results)])
    benchmark.main()
    before, studies = benchmark.documented((ROOT / "docs/claims.md").read_text())
    after, said = benchmark.documented((tmp_path / "docs/claims.md").read_text())
    for family in ("bits", "images"):
        assert after[family].items() >= before[family].items()
    assert {c: v for c, v in after["tokens"].items() if v != "–"} == {"C1": "✗"}
    assert said == studies | {"tokens": "tokens (2030-01-02, repbias 9.9, numpy 1, scipy 2)"}
