"""Provenance: a record of how every output was made, one file per job.

Tables and HDF5 files are identical, byte for byte, in two runs of a study; date, machine and
versions are recorded separately, in ``results/<study>/provenance/<name of the log>.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import repbias
from repbias.base.spec import RepbiasError

PACKAGE = Path(repbias.__file__).parent
#: Libraries whose versions are recorded if a job imported them: module name to package name.
LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "h5py": "h5py",
    "torch": "torch",
    "rsatoolbox": "rsatoolbox",
    "himalaya": "himalaya",
    "matplotlib": "matplotlib",
    "pynwb": "pynwb",
    "nibabel": "nibabel",
    "mne": "mne",
    "pymatreader": "pymatreader",
    "xarray": "xarray",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "snakemake": "snakemake",
}


def record(snakemake: Any, seconds: float) -> None:
    """Write the record of a job that has just written its outputs.

    Parameters
    ----------
    snakemake
        The object that Snakemake injects into a script.
    seconds
        Duration of the job.
    """
    # Not at the top: NumPy, which it imports, reads the number of threads when it is imported.
    from repbias.io.files import atomic

    results = Path(*Path(snakemake.log[0]).parts[:2])  # results/<study>
    settings = dict(snakemake.params.items())
    facts = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "outputs": {_name(path, results): digest(path) for path in snakemake.output},
        # Inputs that are results have their own records.
        "inputs": {
            _name(path, results): None if results in Path(path).parents else digest(path)
            for path in snakemake.input
        },
        "config": fingerprint(snakemake.config),
        "code": settings.pop("code", None),
        "settings": settings,
        "versions": versions(),
        "commit": commit(),
        "host": host() | {"threads": snakemake.threads},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }
    log = Path(snakemake.log[0]).relative_to(results / "logs")
    with atomic((results / "provenance" / log).with_suffix(".json")) as path:
        path.write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")


def records(results: Path) -> dict[str, dict[str, Any]]:
    """Return the latest record of every output of a study, by its path relative to `results`.

    Raises
    ------
    RepbiasError
        If a record is damaged.
    """
    found = [_read(path) for path in sorted((results / "provenance").rglob("*.json"))]
    found.sort(key=lambda facts: facts["finished"])
    return {output: facts for facts in found for output in facts["outputs"]}


def _read(path: Path) -> dict[str, Any]:
    """Read a record."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = facts["finished"], list(facts["outputs"])
    except (ValueError, KeyError, TypeError) as error:
        raise RepbiasError(f"{path}: not a record of provenance ({error})") from error
    return facts


def left_over(results: Path) -> list[str]:
    """Return the tables in a study's folder that its configuration does not make.

    None where the record of the configuration is missing, or older than its list of tables.
    """
    record = results / "provenance/resolved_config.json"
    tables = _read(record).get("settings", {}).get("tables") if record.exists() else None
    if tables is None:
        return []
    return sorted({path.stem for path in (results / "tables").glob("*.csv")} - set(tables))


def results_of(path: Path) -> Path | None:
    """Return the results folder with records that contains a file; None if there is none."""
    return next((p for p in path.resolve().parents if (p / "provenance").is_dir()), None)


def record_of(path: Path) -> dict[str, Any] | None:
    """Return the record of a file; None if there is none."""
    results = results_of(path)
    if results is None:
        return None
    return records(results).get(path.resolve().relative_to(results).as_posix())


def digest(path: str | Path) -> str | None:
    """Return the SHA-256 of a file; None for a folder."""
    path = Path(path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(config: Any) -> str:
    """Return a hash of a configuration, twelve hexadecimal digits; key order does not matter."""
    # Keys may be numbers and text, which can be sorted only once all are text.
    plain = json.loads(json.dumps(config, default=str))
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def by_path(settings: Any, path: str = "") -> dict[str, str]:
    """Flatten nested settings, by dotted path.

    Examples
    --------
    >>> by_path({"stimuli": {"seed": 0}, "hidden": [8, 8]})
    {'stimuli.seed': '0', 'hidden': '[8, 8]'}
    """
    if not isinstance(settings, dict) or not settings:
        return {path: str(settings)}
    return {
        name: value
        for key, section in settings.items()
        for name, value in by_path(section, f"{path}.{key}".lstrip(".")).items()
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, this package, and every library that was imported."""
    loaded = [installed for name, installed in LIBRARIES.items() if name in sys.modules]
    return {
        "python": platform.python_version(),
        "repbias": repbias.__version__,
        **{name: version(name) for name in loaded},
    }


def commit() -> str | None:
    """Return the commit of this package, with ``-dirty`` if files were edited; None if unknown."""
    # An installed package may be inside another repository, which does not track it.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def host() -> dict[str, Any]:
    """Return the hardware and operating system, without the names of user and machine."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": _device(),
    }


def _name(path: str | Path, results: Path) -> str:
    """Return a path relative to the results or the package; other paths as they are given."""
    path = Path(path)
    if results in path.parents:
        return path.relative_to(results).as_posix()
    if PACKAGE in path.parents:
        return path.relative_to(PACKAGE.parent).as_posix()
    return path.as_posix()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            # Parallel jobs, and the user, may read the repository at the same time.
            ["git", "--no-optional-locks", "-C", str(PACKAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git, or an unresponsive file system
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device() -> str:
    """Return the device that this process has computed on, without initialising a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return f"cuda ({torch.cuda.get_device_name()})"
    if torch is not None and torch.backends.mps.is_available():
        return "mps" if torch.mps.driver_allocated_memory() else "cpu"
    return "cpu"
