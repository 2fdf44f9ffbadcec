"""Tables follow from those of the study alone."""

import numpy as np
import pytest

from repbias.pipeline.derived import derive
from repbias.tables import TABLES, as_table

EMPTY = {name: as_table(name) for name in TABLES}


def test_published_numbers_stand_beside_what_is_measured():
    row = {"recording": "v4", "subject": "", "region": "", "measure": "reliability", "value": 0.5}
    rows = [row | {"ci_low": np.nan, "ci_high": np.nan, "method": "halves"}]
    published = {"recording": "v4", "measure": "reliability", "value": 0.4, "source": "a paper"}
    tables = EMPTY | {"quality": as_table("quality", rows)}
    table = derive("references", tables, [published])
    assert table[["value", "published"]].to_numpy().tolist() == [[0.5, 0.4]]
    assert table["difference"].tolist() == pytest.approx([0.1])


def test_without_anything_to_follow_from_there_are_no_rows():
    for name in ("encoding_regions", "variance_partition_regions", "references"):
        table = derive(name, EMPTY, [])
        assert tuple(table.columns) == TABLES[name].columns and len(table) == 0


def test_other_tables_follow_from_none():
    with pytest.raises(ValueError, match="'units'"):
        derive("units", EMPTY, [])
