"""Describe what programs for spikes and calcium write: kilosort and phy, suite2p, CaImAn."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from repbias.base.order import naturally
from repbias.base.spec import RepbiasError
from repbias.commands.cohorts import MOST_ENTRIES, Template, folders_below, template_of
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import REGIONS, examples
from repbias.commands.trials import put_trials, put_window, table_near
from repbias.io.untrusted import member
from repbias.recordings.readers.trials import session_name

if TYPE_CHECKING:
    import h5py


def describe_phy(path: Path) -> Description | None:
    """Describe a folder of kilosort or phy."""
    from repbias.recordings.readers import phy

    cohort = _cohort(path, lambda folder: (folder / "spike_times.npy").exists())
    if cohort is None:
        return None
    folder = cohort.folders[0]
    samples, clusters = phy.read_spikes(folder)
    rate = phy.sampling_rate(folder)
    ids, n_spikes = np.unique(clusters, return_counts=True)
    last = int(samples.max())
    duration = None if rate is None else last / rate
    at = f"sample {last}" if duration is None else f"{duration:.1f} s"
    columns = phy.read_clusters(folder)
    assignment = phy.assignment_of(folder).name
    found = Description(
        [
            f"a folder of kilosort or phy: {folder}",
            f"{count(len(clusters), 'spike')} of {count(len(ids), 'cluster')} ({assignment}), the "
            f"last at {at}; {n_spikes.min()} to {n_spikes.max()} spikes per cluster",
        ]
    )
    if assignment == "spike_templates.npy":
        found.lines.append(f"It has no spike_clusters.npy: {phy.NOT_CURATED}.")
    found.lines += [f"  {name}: {examples(cells.values())}" for name, cells in columns.items()]
    _put_trial_entry(found, "phy", cohort, duration)
    if rate is None:
        found.put("sampling_rate", FILL_IN, "samples per second; there is none in params.py")
    _put_groups(found, [str(i) for i in ids.tolist()], columns)
    region = next((name for name in REGIONS if name in columns), None)
    if region is not None:
        found.put("region_column", region, "a guess from its name")
    return found


def _put_groups(
    found: Description, clusters: list[str], columns: dict[str, dict[str, str]]
) -> None:
    """Add the key `groups`, with the number of clusters of each label."""
    from repbias.recordings.readers.phy import UNSORTED, groups_of

    labels = groups_of(columns)
    if labels is None:
        found.put("groups", "all", "there are no labels of clusters")
        return
    n_clusters = Counter(labels.get(cluster, UNSORTED) for cluster in clusters)
    whose = "labels of phy" if columns.get("group") else "kilosort's labels: none was given in phy"
    kept = ["good"] if "good" in n_clusters else "all"
    listed = ", ".join(f"{name} {n}" for name, n in n_clusters.most_common())
    found.put("groups", kept, f"{whose}; found: {listed}")


def describe_suite2p(path: Path) -> Description | None:
    """Describe a folder of suite2p: of all planes, of one, or the folders above, of a cohort."""
    from repbias.recordings.readers.suite2p import open_traces, planes_of, read_iscell

    cohort = _cohort(path, lambda folder: bool(planes_of(folder)))
    if cohort is None:
        return None
    folder = cohort.folders[0]
    planes = planes_of(folder)
    found = Description([f"a folder of suite2p: {folder}"])
    signals = {"f": ("F.npy", "Fneu.npy"), "spks": ("spks.npy",)}
    there = [s for s, names in signals.items() if all((planes[0] / n).exists() for n in names)]
    for plane in planes:
        n_rois, n_frames = open_traces(plane / "F.npy").shape
        n_cells = int(np.count_nonzero(read_iscell(plane / "iscell.npy", n_rois)[:, 0]))
        found.lines.append(
            f"{plane.name}: {count(n_rois, 'ROI')}, of which {count(n_cells, 'cell')}; "
            f"{count(n_frames, 'frame')}"
        )
    _put_trial_entry(found, "suite2p", cohort, None)
    choices = {
        "f": "dff (ΔF/F, with suite2p's baseline), f (fluorescence without 0.7 of the neuropil)",
        "spks": "spks (deconvolved)",
    }
    options = " or ".join(choices[signal] for signal in there)
    found.put("signal", "dff" if "f" in there else "spks", options)
    found.put(
        "frame_rate",
        FILL_IN,
        "frames per second of each plane: ops['fs'] of suite2p, whose ops.npy is a pickle and not "
        "loaded; with start_s, if the first frame is not at 0 s; or frame_times, a file",
    )
    return found


def describe_caiman(path: Path, file: h5py.File) -> Description:
    """Describe an open file of CaImAn."""
    from repbias.recordings.readers import caiman

    signals = {name: caiman.signal(path, file, name) for name in caiman.SIGNALS}
    shapes = {name: data.shape for name, data in signals.items() if data is not None}
    found = Description(["a file of CaImAn"])
    if not shapes:
        found.lines.append("It has none of estimates/C, estimates/S and estimates/F_dff.")
        return found
    n_components, n_frames = next(iter(shapes.values()))
    kept = caiman.accepted(path, file, n_components)
    found.lines.append(
        f"{count(n_components, 'component')}, of which {len(kept)} are accepted; "
        f"{count(n_frames, 'frame')}"
    )
    _put_trial_entry(found, "caiman", _alone(path), None)
    meaning = "dff: ΔF/F; c: denoised; s: deconvolved"
    found.put("signal", next(iter(shapes)), f"found: {', '.join(shapes)} ({meaning})")
    rate = _frame_rate(path, file)
    guess = "a guess: params.data.fr of the file, whose default is 30; " if rate else ""
    found.put(
        "frame_rate",
        rate or FILL_IN,
        f"{guess}frames per second; with start_s, if the first frame is not at 0 s; or "
        "frame_times, a file",
    )
    return found


def _frame_rate(path: Path, file: h5py.File) -> float | None:
    """Return the frame rate that CaImAn was told, if it was told one."""
    try:
        rate = member(path, file, "params/data/fr")[()]
    except (RepbiasError, TypeError):  # there is none, or it is a group
        return None
    return float(rate) if np.shape(rate) == () and np.asarray(rate).dtype.kind in "fiu" else None


class Cohort(NamedTuple):
    """Folders of several sessions or subjects.

    Attributes
    ----------
    folders : those that are called alike and have a table of trials, in natural order
    tables : the table of trials of each, as far as its name and place tell
    pattern : of their paths, as `more_files` has it
    subjects, sessions : the names of each; empty where they are not known, or needed
    left_out : others that match the pattern
    lines : what to tell the user
    """

    folders: list[Path]
    tables: list[Path | None]
    pattern: str = ""
    subjects: Sequence[str] = ()
    sessions: Sequence[str] = ()
    left_out: Sequence[Path] = ()
    lines: Sequence[str] = ()


def _alone(path: Path) -> Cohort:
    return Cohort([path], [table_near(path)])


def _cohort(path: Path, is_meant: Callable[[Path], bool]) -> Cohort | None:
    """Return the folders of a kind: this one, or else those below that are called alike."""
    if is_meant(path):
        return _alone(path)
    below, is_cut = folders_below(path)
    found = [folder for folder in below if is_meant(folder)]
    found = [folder for folder in found if folder.parent not in found]  # a plane has its parent
    if not found:
        return None
    if len(found) == 1:
        return _alone(found[0])
    template = template_of(naturally(folder.relative_to(path).as_posix() for folder in found))
    tables = {name: table_near(path / name, path) for name in template.fits}
    # Where sessions have tables of their own, one above all of them is of none.
    shared = Path(os.path.commonpath([path / name for name in template.fits]))
    own = {n: table for n, table in tables.items() if table and shared in table.parent.parents}
    tables = {name: own.get(name) for name in tables} if own else tables
    names = [name for name in template.fits if tables[name]] or template.fits
    without = [name for name in template.fits if name not in names]
    lines = [f"{count(len(names), 'folder')}: {some(names)}"]
    if template.others:
        lines.append(f"folders of another name, which are not read: {some(template.others, 8)}")
    if without:
        lines.append(f"folders without a table of trials, not read: {some(without, 8)}")
    if is_cut:
        lines.append(f"Only the first {MOST_ENTRIES} files and folders were looked at.")
    folders = [path / name for name in names]
    pattern = str(Path(glob.escape(str(path))) / re.sub("{[a-z]+}", "*", template.text))
    matched = map(Path, naturally(glob.glob(pattern)))  # noqa: PTH207 (as more_files does)
    subjects, sessions = _named(template, names)
    by_default = {*zip(subjects or [""] * len(names), map(session_name, folders), strict=True)}
    return Cohort(
        folders,
        [tables[name] for name in names],
        pattern,
        subjects,
        sessions if len(by_default) < len(names) else [],
        [folder for folder in matched if folder not in folders],
        lines,
    )


def _named(template: Template, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what the parts of paths that differ call the subject, if they do, and the session.

    Where nothing but one part differs, and it is not called so, it is no subject, but a session.
    """
    parts, split = re.split("[/_]", template.text), [re.split("[/_]", name) for name in names]
    differs = [i for i, part in enumerate(parts) if "{" in part]
    is_subject = [i for i in differs if "{subject}" in parts[i]]
    if template.guessed == ["subject"] and len(template.values) == 1:
        is_subject = []
    subjects = [part[is_subject[0]] for part in split] if is_subject else []
    others = [i for i in differs if i not in is_subject]
    return subjects, ["_".join(part[i] for i in others) for part in split]


def _put_trial_entry(found: Description, kind: str, cohort: Cohort, duration: float | None) -> None:
    """Begin an entry with the keys of the trials and of the window of the responses.

    Parameters
    ----------
    found
        Gets the keys.
    kind
        The first key.
    cohort
        The folders that are read.
    duration
        Seconds of the recording of the first one, if that is known.
    """
    n = len(cohort.folders)
    found.lines[:0] = cohort.lines
    found.put("kind", kind)
    found.put("path", str(cohort.folders[0]))
    if n > 1:
        found.put("more_files", [cohort.pattern], f"with path, all {n}")
        if cohort.left_out:
            left_out = [str(folder) for folder in cohort.left_out]
            found.put("leave_out", left_out, "a guess: of another name, or without trials")
        one_each = f"a name for each of {n}: a guess"
        if cohort.subjects:
            found.put("subject", list(cohort.subjects), one_each)
        else:
            found.put("subject", FILL_IN, "a name for all, or a list with one for each")
        if cohort.sessions:
            found.put("session", list(cohort.sessions), one_each)
    found.put("stimuli", FILL_IN, STIMULI)
    put_trials(found, cohort.folders[0], duration, cohort.tables)
    put_window(found)
