"""Tables are joined from their parts, in order; others follow from them."""

from pathlib import Path

import numpy as np
import pandas as pd

from repbias.pipeline.gather import gather_tables
from repbias.tables import TABLES, as_table, read_table, write_table


def part(path, name, rows):
    table = as_table(name, rows)
    write_table(path, name, table)
    return str(path)


def reliability(unit, **changes):
    numbers = {"repeats": 4.0, "split_half": 0.5, "reliability": 0.6, "ceiling": 0.7}
    names = {"recording": "v4", "subject": "a", "region": "V4", "convention": "x"}
    return names | numbers | {"unit": unit} | changes


def test_parts_are_joined_in_their_order_and_empty_ones_add_nothing(tmp_path):
    parts = [
        part(tmp_path / "a.csv", "reliability", [reliability("2"), reliability("1")]),
        part(tmp_path / "b.csv", "reliability", []),
        part(tmp_path / "c.csv", "reliability", [reliability("007", ceiling=np.nan)]),
    ]
    gather_tables(tmp_path / "tables", {"reliability": parts}, ["reliability"], {}, [])
    table = read_table(tmp_path / "tables/reliability.csv", "reliability")
    assert list(table["unit"]) == ["2", "1", "007"]
    assert np.isnan(table["ceiling"][2])
    text = (tmp_path / "tables/reliability.csv").read_text()
    lines = [line for path in parts for line in Path(path).read_text().splitlines()[1:]]
    assert text.splitlines()[1:] == lines, "what was written is written again"


def test_a_table_of_empty_parts_has_its_columns(tmp_path):
    files = [part(tmp_path / "a.csv", "units", [])]
    gather_tables(tmp_path / "tables", {"units": files[0]}, ["units"], {}, [])
    table = read_table(tmp_path / "tables/units.csv", "units")
    assert tuple(table.columns) == TABLES["units"].columns and len(table) == 0


def test_published_numbers_are_compared_with_what_was_gathered_only(tmp_path):
    """A table that an earlier study left in the folder is no evidence."""
    row = {"recording": "v4", "subject": "", "region": "", "measure": "reliability", "value": 0.5}
    quality = [row | {"ci_low": np.nan, "ci_high": np.nan, "method": "halves"}]
    files = {"quality": part(tmp_path / "q.csv", "quality", quality)}
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/rsa_recordings.csv").write_text("left by another study\n")
    published = {"recording": "v4", "measure": "reliability", "value": 0.4, "source": "a paper"}
    tables = ["quality", "references"]
    gather_tables(tmp_path / "tables", files, tables, {}, [published])
    table = read_table(tmp_path / "tables/references.csv", "references")
    assert table[["value", "published"]].to_numpy().tolist() == [[0.5, 0.4]]
    pd.testing.assert_series_equal(table["difference"], pd.Series([0.1], name="difference"))
