"""How every output was made: one record per job, beside the results.

Tables and HDF5 files hold nothing that differs between two runs of a study, so that they are the
same byte for byte; the day, the machine and the versions are in
``results/<study>/provenance/<as the log>.json``.
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
#: Libraries whose versions are told where a job used them: imported as, and installed as.
LIBRARIES = {
    **{name: name for name in ("numpy", "scipy", "pandas", "h5py", "torch", "rsatoolbox")},
    **{name: name for name in ("himalaya", "matplotlib", "pynwb", "nibabel", "mne", "xarray")},
    **{"sklearn": "scikit-learn", "PIL": "pillow", "snakemake": "snakemake"},
}


def record(snakemake: Any, seconds: float) -> None:
    """Write the record of a job that has just written its outputs.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script's namespace.
    seconds
        How long the job took.
    """
    # It imports NumPy, which reads how many threads to use when it is imported: not before a job.
    from repbias.io.files import atomic

    results = Path(*Path(snakemake.log[0]).parts[:2])  # results/<study>
    settings = dict(snakemake.params.items())
    facts = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "outputs": {_name(path, results): digest(path) for path in snakemake.output},
        # Inputs that are results have records of their own.
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
    """Return the latest record of every output of a study, by the output's path below `results`.

    Raises
    ------
    RepbiasError
        If a record is damaged.
    """
    found = []
    for path in sorted((results / "provenance").rglob("*.json")):
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
            found.append((made["finished"], list(made["outputs"]), made))
        except (ValueError, KeyError, TypeError) as error:
            raise RepbiasError(f"{path}: not a record of provenance ({error})") from error
    found.sort(key=lambda entry: entry[0])
    return {output: made for _, outputs, made in found for output in outputs}


def results_of(path: Path) -> Path | None:
    """Return the folder of results that a file is in, if it has records."""
    return next((p for p in path.resolve().parents if (p / "provenance").is_dir()), None)


def record_of(path: Path) -> dict[str, Any] | None:
    """Return the record of a file; None where there is none."""
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
    """Return twelve hexadecimal digits that stand for a configuration; order does not matter."""
    # Keys may be numbers and words, which have an order only once all are text.
    plain = json.loads(json.dumps(config, default=str))
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def by_path(settings: Any, path: str = "") -> dict[str, str]:
    """Return every setting by its dotted path.

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
    """Return the commit of this package, with ``-dirty`` where files were edited; None if none."""
    # An installed package may lie in somebody else's repository, which does not track it.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def host() -> dict[str, Any]:
    """Return what hardware and system this is; nothing that names a user or a machine."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": _device(),
    }


def _name(path: str | Path, results: Path) -> str:
    """Return a file's path below the results or this package, else as the configuration says."""
    path = Path(path)
    if results in path.parents:
        return path.relative_to(results).as_posix()
    if PACKAGE in path.parents:
        return path.relative_to(PACKAGE.parent).as_posix()
    return path.as_posix()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            # Jobs side by side, and the user, may look at the repository at the same time.
            ["git", "--no-optional-locks", "-C", str(PACKAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git, or a file system that does not answer
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
    """Say what this process has computed on; it does not start a GPU to find out."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return f"cuda ({torch.cuda.get_device_name()})"
    if torch is not None and torch.backends.mps.is_available():
        return "mps" if torch.mps.driver_allocated_memory() else "cpu"
    return "cpu"
