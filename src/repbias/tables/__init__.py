"""Tables: one class per table says what its columns are; all are written and read alike.

Examples
--------
>>> from repbias.tables import TABLES
>>> TABLES["probes"].columns[-4:]
('probe', 'feature', 'accuracy', 'chance')
>>> TABLES["probes"].types["accuracy"]
<class 'float'>
"""

from repbias.tables.catalogue import TABLES
from repbias.tables.files import (
    as_table,
    join_tables,
    read_any,
    read_table,
    read_tables,
    write_table,
)
from repbias.tables.row import Row

__all__ = [
    "TABLES",
    "Row",
    "as_table",
    "join_tables",
    "read_any",
    "read_table",
    "read_tables",
    "write_table",
]
