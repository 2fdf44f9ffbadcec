"""Nuisance regressors of the BOLD signal, as fMRIPrep writes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.text_tables import numbers, read_header, read_table
from repbias.io.untrusted import readable
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.fmri.glm_settings import Confounds
from repbias.recordings.readers.fmri.scans import Scan

if TYPE_CHECKING:
    import pandas as pd

#: Columns that mark one volume each, of which the signal is not yet in a steady state.
NON_STEADY = "non_steady_state_outlier*"


def find_confounds(image: Path) -> Path | None:
    """Return the table that fMRIPrep wrote beside an image, which lacks some of its entities.

    For `sub-1_task-x_space-T1w_desc-preproc_bold.nii.gz` this is
    `sub-1_task-x_desc-confounds_timeseries.tsv` (before version 20.2 `_regressors.tsv`).
    """
    entities = set(image.name.split("_"))
    tables = {
        path: set(path.name.split("_")[:-2])
        for kind in ("timeseries", "regressors")
        for path in sorted(image.parent.glob(f"*_desc-confounds_{kind}.tsv"))
    }
    fitting = [path for path, of_table in tables.items() if of_table <= entities]
    return max(fitting, key=lambda path: len(tables[path]), default=None)


def read_confounds(
    confounds: Confounds, scan: Scan, n_volumes: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the nuisance regressors of an image.

    Parameters
    ----------
    confounds
        Which.
    scan
        The image; its path "confounds" is the table.
    n_volumes
        Volumes of the image.

    Returns
    -------
    table : pandas.DataFrame
        A row for every volume and a column for every regressor.
    used : numpy.ndarray
        (volume,) bool: those in a steady state, and in the strategy "scrubbing" with little motion.

    Raises
    ------
    RepbiasError
        If the table has another number of rows, a column does not exist, or a value is missing.
    """
    path = scan.paths["confounds"]
    if confounds.strategy is None:
        table, steady = _by_column(confounds, path)
        _require_rows(path, len(table), n_volumes, scan)
        return table, steady
    fmriprep = import_optional("nilearn.interfaces.fmriprep", "confounds", "glm")
    with readable(path, "confounds of fMRIPrep"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table, kept = fmriprep.load_confounds_strategy(
            str(scan.image), denoise_strategy=confounds.strategy
        )
    _require_rows(path, len(table), n_volumes, scan)
    every = np.arange(n_volumes)
    return table, np.isin(every, every if kept is None else kept)


def _require_rows(path: Path, n_rows: int, n_volumes: int, scan: Scan) -> None:
    if n_rows != n_volumes:
        raise RepbiasError(f"{path}: {n_rows} rows for the {n_volumes} volumes of {scan.image}")


def say_confounds(confounds: Confounds | str | None, scans: Iterable[Scan]) -> str:
    """Say which nuisance regressors are used, for `check` and the log.

    Raises
    ------
    RepbiasError
        If no run has a column that was asked for.

    Examples
    --------
    >>> say_confounds(None, [])
    'none'
    """
    if not isinstance(confounds, Confounds):
        return "none"
    if confounds.strategy is not None:
        return f"strategy {confounds.strategy} of nilearn"
    paths = dict.fromkeys(scan.paths["confounds"] for scan in scans)
    headers = {path: read_header(path) for path in paths}
    every = list(dict.fromkeys(name for header in headers.values() for name in header))
    for pattern in confounds.columns:
        if not any(fnmatchcase(name, pattern) for name in every):
            others = " there or in the tables of other runs" if len(headers) > 1 else ""
            raise RepbiasError(
                f"{next(iter(headers))}: no column {pattern!r}{others}; {nearest(pattern, every)}"
            )
    of_runs = [_chosen(confounds, path, header) for path, header in headers.items()]
    names = list(dict.fromkeys(name for of_run in of_runs for name in of_run))
    shared = "" if all(len(of_run) == len(names) for of_run in of_runs) else " (not in all runs)"
    return f"{', '.join(names)}{shared}"


def _chosen(confounds: Confounds, path: Path, header: Sequence[str]) -> list[str]:
    """Return the columns that were asked for, in the order of the configuration.

    A pattern need not match in every run: a run without outliers has no column of them.
    """
    names: list[str] = []
    for pattern in confounds.columns:
        found = [name for name in header if fnmatchcase(name, pattern)]
        if not found and not set(pattern) & set("*?["):
            raise RepbiasError(f"{path}: no column {pattern!r}; {nearest(pattern, header)}")
        names += [name for name in found if name not in names]
    return [name for name in names if not fnmatchcase(name, NON_STEADY)]


def _by_column(confounds: Confounds, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the columns that were asked for, and which volumes are in a steady state."""
    import pandas as pd

    table = read_table(path)
    steady = np.ones(len(table), bool)
    for name in table:
        if fnmatchcase(name, NON_STEADY):
            steady &= numbers(path, table, name) != 1
    names = _chosen(confounds, path, list(table))
    kept = pd.DataFrame({n: _filled(path, table, n) for n in names}, index=range(len(table)))
    return kept, steady


def _filled(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column whose first values may be missing, as in derivatives: the next one is it."""
    values = numbers(path, table, name).copy()
    known = np.flatnonzero(np.isfinite(values))
    if len(known):
        values[: known[0]] = values[known[0]]
    missing = np.flatnonzero(~np.isfinite(values))
    if len(missing):
        raise RepbiasError(f"{path}: line {table.index[missing[0]]}, column {name!r}: has no value")
    return values
