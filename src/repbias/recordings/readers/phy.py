"""Spikes sorted by kilosort and curated in phy: the folder of both, and a table of trials."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from repbias.base.spec import InputPath, RepbiasError, nearest
from repbias.io.arrays import load_array
from repbias.io.recordings import Recording
from repbias.io.text_tables import find_column, is_missing, read_table, typed
from repbias.io.untrusted import readable
from repbias.recordings.readers.common import Where
from repbias.recordings.readers.files import (
    SessionResponses,
    plain_columns,
    read_files,
    select,
)
from repbias.recordings.readers.trials import (
    TrialRecording,
    Trials,
    named_units,
    only_value,
    read_trials,
    rows_of,
    session_name,
    session_responses,
    within_recording,
)
from repbias.recordings.readers.windows import spike_counts

logger = logging.getLogger(__name__)

#: What a cluster belongs to that nobody has labelled, as phy calls it.
UNSORTED = "unsorted"
#: What it means that phy has left no assignment of spikes.
NOT_CURATED = "it was never opened in phy, and kilosort's templates are taken for units"
#: Names of the column of tables of clusters that holds the cluster; old phy called it id.
CLUSTER = ("cluster_id", "id")
Positive = Annotated[float, Field(gt=0)]


class PhyRecording(TrialRecording):
    """Folders of kilosort or phy: spikes counted around the trials of a table.

    `path` is the folder that holds `spike_times.npy`. Spikes are assigned to the clusters of
    `spike_clusters.npy`, which merging and splitting in phy changes, or where there is no such
    file, to kilosort's templates. Clusters without spikes are left out: merging leaves them behind.
    """

    kind: Literal["phy"]
    """Kilosort or phy."""
    trials: InputPath | list[InputPath]
    """Table of the trials (`.csv`, `.tsv`) with one row per presentation of a stimulus: one for all
    folders, whose columns `session` and `subject` say which rows belong to a folder, or a list with
    one table per folder."""
    sampling_rate: Positive | list[Positive] | None = None
    """Samples per second of the recording; by default `sample_rate` in the folder's `params.py`. A
    number for all folders, or a list with one per folder."""
    groups: list[str] | Literal["all"] = ["good"]
    """Labels of the clusters to keep, such as `[good, mua]`, or `all`: phy's (`cluster_group.tsv`)
    if any cluster was labelled by hand (others are then `unsorted`), and otherwise kilosort's
    (`cluster_KSLabel.tsv`)."""
    duration_s: Positive | list[Positive] | None = None
    """Duration of the recording, in seconds; by default it ends with the last spike of any cluster.
    Trials whose window is not within the recording have no responses."""
    region_column: str | None = None
    """Column of `cluster_info.tsv`, or of another table of clusters, with the brain region."""
    regions: InputPath | list[InputPath] | None = None
    """Table (`.csv`, `.tsv`) of brain regions, with a column `region` and a column `cluster_id` or
    `ch` (the channel as in `cluster_info.tsv`); one for all folders, or a list with one each.
    Columns `session` and `subject`, if there are any, say which rows belong to a folder."""
    region: str = ""
    """Brain region, if neither a column nor a table states it."""
    where: Where = {}
    """Clusters to keep: columns of their tables, and the value or list of values that each must
    have, for example `{KSLabel: good}`."""

    PER_FILE: ClassVar[tuple[str, ...]] = (
        *TrialRecording.PER_FILE,
        "sampling_rate",
        "duration_s",
        "regions",
    )

    def parts_of(self, path: Path) -> list[str]:
        """Return the files that are read of a folder."""
        arrays = [path / "spike_times.npy", assignment_of(path)]
        found = [*arrays, path / "params.py", *cluster_tables(path)]
        return [str(file) for file in found if file.exists()] or [str(path)]

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        tables = self.regions if isinstance(self.regions, list) else [self.regions]
        return [*super().input_files(), *dict.fromkeys(str(table) for table in tables if table)]


def read(spec: PhyRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the spike counts of every trial.

    Trials whose window is not within the recording are left out.

    Raises
    ------
    RepbiasError
        If a folder lacks a file or holds a damaged one, its spikes are not in samples, or the
        sampling rate is unknown.
    """
    return read_files(spec, stimulus_ids, _read_folder)


def _read_folder(spec: PhyRecording, path: Path) -> SessionResponses:
    with readable(path, "a folder of kilosort or phy"):
        trials = read_trials(spec, path, session_name(path))
        samples, clusters = read_spikes(path)
        times = samples / _sampling_rate(spec, path)
        duration = spec.value_for(path, spec.duration_s)
        if duration is None:
            duration = float(times.max(initial=0))
        inside = within_recording(spec, path, trials.align, 0.0, duration)
        ids, spikes_of = np.unique(clusters.astype(np.int64), return_inverse=True)
        columns = _columns(spec, path, trials, ids)
        units = named_units(trials, columns)
        if assignment_of(path).name == "spike_templates.npy":
            logger.warning("%s: has no spike_clusters.npy: %s", path, NOT_CURATED)
        groups: Where = {} if spec.groups == "all" else {"group": [*spec.groups]}
        chosen = np.flatnonzero(select(path, groups | spec.where, units))
        trains = np.split(
            times[np.argsort(spikes_of, kind="stable")],
            np.cumsum(np.bincount(spikes_of, minlength=len(ids)))[:-1],
        )
        align = np.where(inside, trials.align, np.nan)
        counts = [spike_counts(trains[unit], align, spec.edges()) for unit in chosen.tolist()]
    units = {name: values[chosen] for name, values in units.items()}
    measure = f"spikes in {spec.edges()[1] - spec.from_s:g} s"
    return session_responses(spec, trials, units, np.stack(counts, axis=1), measure)


def assignment_of(path: Path) -> Path:
    """Return the file that says which cluster a spike is of: phy's, or else kilosort's."""
    curated = path / "spike_clusters.npy"
    return curated if curated.exists() else path / "spike_templates.npy"


def cluster_tables(path: Path) -> list[Path]:
    """Return the tables of clusters; phy sums them up in the first, and loads the others."""
    tables = sorted(path.glob("cluster_*.tsv"))
    return sorted(tables, key=lambda table: table.name != "cluster_info.tsv")


def read_spikes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the times of all spikes, in samples, and their clusters; both are (spike,).

    Raises
    ------
    RepbiasError
        If an array is missing, does not hold whole numbers, or the two differ in length.
    """
    assignment = assignment_of(path)
    samples = _whole_numbers(path / "spike_times.npy", "samples")
    clusters = _whole_numbers(assignment, "clusters")
    if len(samples) != len(clusters):
        raise RepbiasError(
            f"{assignment}: has {len(clusters)} spikes, but spike_times.npy has {len(samples)}"
        )
    return samples, clusters


def _whole_numbers(file: Path, what: str) -> np.ndarray:
    if not file.exists():
        raise RepbiasError(f"{file.parent}: expected a folder of kilosort or phy with {file.name}")
    values = load_array(file).ravel()
    if not len(values):
        raise RepbiasError(f"{file}: expected whole numbers ({what}), found none")
    if values.dtype.kind in "iu":
        return values
    whole = values.dtype.kind == "f" and np.isfinite(values).all()
    if not whole or (values != np.floor(values)).any():
        seconds = "; are these seconds?" if what == "samples" else ""
        raise RepbiasError(
            f"{file}: expected whole numbers ({what}), found values such as {values[-1]}{seconds}"
        )
    return values


def _sampling_rate(spec: PhyRecording, path: Path) -> float:
    given = spec.value_for(path, spec.sampling_rate)
    found = given or sampling_rate(path)
    if found is None:
        raise RepbiasError(
            f"{path}: has no params.py with a line 'sample_rate = NUMBER'; set sampling_rate"
        )
    return found


def sampling_rate(path: Path) -> float | None:
    """Return the sampling rate in a folder's params.py, which is read as text and never run."""
    file = path / "params.py"
    if not file.is_file():
        return None
    number = r"([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)"
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.findall(rf"^sample_rate\s*=\s*{number}\s*(?:#.*)?$", text, flags=re.MULTILINE)
    return float(found[0]) if len(found) == 1 and float(found[0]) > 0 else None


def _columns(
    spec: PhyRecording, path: Path, trials: Trials, ids: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of the clusters `ids`, with "unit", "group" and "region"."""
    found = read_clusters(path)
    names = ids.astype(str).tolist()
    columns = {
        name: typed([values.get(cluster, "") for cluster in names])
        for name, values in found.items()
    }
    group = groups_of(found)
    if group is None and spec.groups != "all":
        raise RepbiasError(
            f"{path}: has no labels of clusters (cluster_group.tsv or cluster_KSLabel.tsv); set "
            "'groups: all' to keep every cluster"
        )
    labels = [(group or {}).get(cluster, UNSORTED) for cluster in names]
    if group is not None and not found.get("group"):
        logger.warning("%s: no cluster was labelled in phy: labels are kilosort's", path)
    elif unsorted := labels.count(UNSORTED):
        logger.warning("%s: %d of %d clusters have no label in phy", path, unsorted, len(ids))
    kept = [c for c, label in zip(names, labels, strict=True) if label in spec.groups]
    regions = _regions(spec, path, trials, names if spec.groups == "all" else kept, found)
    return {
        **plain_columns(columns),
        "unit": np.array(names),
        "group": np.array(labels),
        "region": np.array([regions.get(name, spec.region) for name in names], dtype=str),
    }


def read_clusters(path: Path) -> dict[str, dict[str, str]]:
    """Read all tables of clusters: the name of a column to its cells by cluster, as text."""
    columns: dict[str, dict[str, str]] = {}
    for file in cluster_tables(path):
        table = read_table(file)
        key = next((name for name in CLUSTER if name in table), None)
        if key is None:
            raise RepbiasError(
                f"{file}: no column 'cluster_id'; {nearest('cluster_id', table.columns)}"
            )
        for name in table.columns.drop(key):
            cells = dict(zip(table[key], table[name], strict=True))
            known = {cluster: cell for cluster, cell in cells.items() if not is_missing(cell)}
            columns.setdefault(str(name), {}).update(known)
    return columns


def groups_of(columns: Mapping[str, Mapping[str, str]]) -> Mapping[str, str] | None:
    """Return the labels of clusters: phy's if there is any, or else kilosort's, if there are."""
    return columns.get("group") or columns.get("KSLabel") or None


def _regions(
    spec: PhyRecording,
    path: Path,
    trials: Trials,
    kept: list[str],
    columns: Mapping[str, Mapping[str, str]],
) -> Mapping[str, str]:
    """Return the regions of clusters, from a column or a table; warn if one of `kept` has none."""
    file = spec.value_for(path, spec.regions)
    if spec.region_column is not None:
        if spec.region_column not in columns:
            raise RepbiasError(
                f"{path}: region_column: no column {spec.region_column!r} in the tables of "
                f"clusters; {nearest(spec.region_column, columns)}"
            )
        found = columns[spec.region_column]
    elif file is None:
        return {}
    else:
        found = _regions_in(file, spec, path, trials, kept, columns)
    lacking = [cluster for cluster in kept if cluster not in found]
    if lacking:
        logger.warning(
            "%s: %d of %d clusters have no region: %s",
            file or path,
            len(lacking),
            len(kept),
            ", ".join(lacking[:5]),
        )
    return found


def _regions_in(
    file: Path,
    spec: PhyRecording,
    path: Path,
    trials: Trials,
    kept: list[str],
    columns: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """Return the regions of the clusters `kept` in a table of the user's."""
    table = read_table(file)
    own = isinstance(spec.regions, list) or not spec.more_files
    for name, value in (("session", trials.session), ("subject", trials.subject)):
        if name in table and not (own and only_value(table, name)):
            table = rows_of(file, table, path, name, value, "row")
    keys = {"cluster_id": dict(zip(kept, kept, strict=True)), "ch": columns.get("ch", {})}
    key = next((name for name, values in keys.items() if name in table and values), None)
    if key is None:
        raise RepbiasError(
            f"{file}: expected a column 'cluster_id', or 'ch' where cluster_info.tsv has one; "
            f"found {', '.join(table)}"
        )
    table = table[~is_missing(table[find_column(file, table, "region")])]
    # A column of whole numbers becomes 5.0 in pandas if a cell of it is missing.
    as_whole = partial(re.sub, r"\.0+$", "")
    rows = table.assign(key=table[key].map(as_whole)).drop_duplicates(["key", "region"])
    twice = rows["key"][rows.duplicated("key")]
    if len(twice):
        first, second = rows.index[rows["key"] == twice.iloc[0]][:2]
        raise RepbiasError(
            f"{file}: lines {first} and {second} give {key} {twice.iloc[0]} two regions, "
            f"{rows['region'][first]!r} and {rows['region'][second]!r}; where clusters of several "
            "folders have the same numbers, a column 'session' tells them apart"
        )
    regions = dict(zip(rows["key"], rows["region"], strict=True))
    wanted = {cluster: as_whole(keys[key].get(cluster, "")) for cluster in kept}
    found = {cluster: regions[name] for cluster, name in wanted.items() if name in regions}
    if kept and not found:
        raise RepbiasError(
            f"{file}: no row has the {key} of a cluster that is read; expected "
            f"{', '.join(sorted(set(wanted.values()))[:5])}, found "
            f"{', '.join(map(repr, table[key][:5]))}"
        )
    return found
