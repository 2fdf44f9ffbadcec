"""Look for files that a reader neither reads nor refuses, guided by the code that they reach.

    pip install 'repbias[fuzz]'
    python tests/hostile/fuzz.py x.npy --seconds 60

Formats are the names in `formats.py`. A file that raises anything but RepbiasError, crashes or
takes longer than a minute is kept in the working folder as `crash-...` or `timeout-...`; reading it
again: `python tests/hostile/fuzz.py x.npy crash-...`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path

#: Libraries in Python whose code guides the search, beside our own.
GUIDES = ["repbias", "numpy.lib", "scipy.io", "nibabel", "mne._fiff", "mne.epochs", "zipfile"]
GUIDES += ["tarfile", "csv", "PIL", "h5netcdf", "pynwb", "hdmf", "rsatoolbox.io"]


def main() -> None:
    """Fuzz one format for some seconds, or read one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    import atheris

    sys.path.append(str(Path(__file__).parents[1] / "recordings"))  # writers of files

    with atheris.instrument_imports(include=GUIDES, enable_loader_override=False):
        from formats import FORMATS

        from repbias.base.spec import RepbiasError

    if arguments.format not in FORMATS:
        parser.error(f"no format {arguments.format!r}; there are {', '.join(FORMATS)}")
    entry = FORMATS[arguments.format]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files" / entry.name
        corpus = Path(folder) / "corpus"
        for needed in (path.parent, corpus):
            needed.mkdir()
        entry.write(path)
        path.rename(corpus / "valid")

        def read(content: bytes) -> None:
            path.write_bytes(content)
            for way in (*entry.others, *([entry.read] if entry.entry else [])):
                try:
                    way(path)
                except RepbiasError:
                    continue

        if arguments.file is not None:
            read(arguments.file.read_bytes())
            return
        read((corpus / "valid").read_bytes())
        limits = [f"-max_total_time={arguments.seconds}", "-timeout=60", "-rss_limit_mb=8192"]
        atheris.Setup([sys.argv[0], *limits, "-max_len=65536", str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
