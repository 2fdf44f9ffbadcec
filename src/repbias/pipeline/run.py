"""What a run is started with, and what its jobs on other machines are given of it.

Jobs on a cluster read the Snakefile anew when they start. They are given the configuration and the
fingerprints of the code as they were when the run started, so that editing a file during a run
concerns the next run only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from repbias.config.file import read_config
from repbias.config.study import Study
from repbias.pipeline.checks import load_study
from repbias.pipeline.fingerprint import code_fingerprints

#: The environment variable that tells jobs which files say what their run was started with.
RUN = "REPBIAS_RUN"
#: Study to the file that says what this process has started of it.
_started: dict[str, str] = {}


def load_run(
    config: dict[str, Any], files: Iterable[str | Path], repository: Path, in_job: bool
) -> tuple[Study, dict[str, str]]:
    """Load the study, and the fingerprints of the code that its jobs run.

    Parameters
    ----------
    config
        What Snakemake has read; in a job of a run, it becomes what the run was started with.
    files
        Where it was read from.
    repository
        The folder of the Snakefile.
    in_job
        Whether this is a job that Snakemake has started on another machine, or in a group.

    Returns
    -------
    study : Study
        The study.
    code : dict
        As :func:`repbias.pipeline.fingerprint.code_fingerprints`.

    Raises
    ------
    RepbiasError
        If the configuration is not that of a study.
    """
    paths = list(map(Path, files))
    source = ", ".join(map(str, paths)) or "config"
    given = _given(config.get("study")) if in_job else None
    if given is not None:
        config.clear()
        config.update(given["config"])
        return load_study(config, source, try_networks=False), given["code"]
    for file in paths:
        # Snakemake has taken the last of keys that occur twice; only the file itself tells.
        if file.is_file():
            read_config(file)
    study, code = load_study(config, source), code_fingerprints(repository / "workflow/scripts")
    if not in_job:
        _started[study.study] = _freeze({"config": config, "code": code})
        os.environ[RUN] = os.pathsep.join(_started.values())
    return study, code


def _given(study: Any) -> dict[str, Any] | None:
    """Return what the run of this job was started with.

    None on a machine that shares no files with the first one: there is the configuration alone.
    """
    files = [Path(file) for file in os.environ.get(RUN, "").split(os.pathsep) if file]
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    # A workflow may have several studies, as modules; the name of an only one may have been edited.
    named = [run for run in runs if run["config"].get("study") == study or len(runs) == 1]
    return named[0] if named else None


def _freeze(run: dict[str, Any]) -> str:
    """Write what a run is started with to a file that is named after it; return its path."""
    text = json.dumps(run)
    file = Path(f".snakemake/studies/{sha256(text.encode()).hexdigest()[:16]}.json").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
    return str(file)
