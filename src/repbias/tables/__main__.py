"""Print what every table and column means, or write it to the end of a page.

python -m repbias.tables [docs/file-formats.md]
"""

import sys
from pathlib import Path

from repbias.tables.reference import markdown

#: The line of a page below which everything is generated.
MARK = "<!-- From here on written by `make schema`, from the classes in src/repbias/tables. -->\n"

if len(sys.argv) > 1:
    page = Path(sys.argv[1])
    written, _, _ = page.read_text(encoding="utf-8").partition(MARK)
    page.write_text(f"{written}{MARK}\n{markdown()}", encoding="utf-8")
else:
    print(markdown(), end="")
