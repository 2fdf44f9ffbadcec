"""``python -m repbias`` is the command ``repbias``."""

import sys

from repbias.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
