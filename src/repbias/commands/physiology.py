"""Describe what programs for spikes and calcium write: kilosort and phy, suite2p, CaImAn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.order import naturally
from repbias.base.spec import RepbiasError
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import REGIONS, examples
from repbias.commands.trials import put_trials, put_window
from repbias.io.untrusted import member

if TYPE_CHECKING:
    import h5py


def describe_phy(path: Path) -> Description | None:
    """Describe a folder of kilosort or phy."""
    from repbias.recordings.readers import phy

    folders = _with_file(path, "spike_times.npy")
    if not folders:
        return None
    folder = folders[0]
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
    _say_others(found, folders)
    _put_trial_entry(found, "phy", folder, duration)
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
    """Describe a folder of suite2p: of all planes, of one, or the folders up to three above."""
    from repbias.recordings.readers.suite2p import open_traces, planes_of, read_iscell

    below = (path.glob(level) for level in ("suite2p", "*/suite2p", "*/*/suite2p"))
    folders = [Path(name) for level in below for name in naturally(map(str, level))]
    folders = [folder for folder in (path, *folders) if planes_of(folder)]
    if not folders:
        return None
    folder = folders[0]
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
    _say_others(found, folders)
    _put_trial_entry(found, "suite2p", folder, None)
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
    _put_trial_entry(found, "caiman", path, None)
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


def _with_file(path: Path, name: str) -> list[Path]:
    """Return the folders that hold a file: this one, or those up to two levels below."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = naturally(str(file.parent) for file in path.glob(pattern))
        if found:
            return [Path(folder) for folder in found]
    return []


def _say_others(found: Description, folders: list[Path]) -> None:
    if len(folders) > 1:
        others = some([str(folder) for folder in folders[1:]])
        found.lines.append(f"There are {len(folders) - 1} more: {others}. See more_files.")


def _put_trial_entry(found: Description, kind: str, path: Path, duration: float | None) -> None:
    """Begin an entry with the keys of the trials and of the window of the responses.

    Parameters
    ----------
    found
        Gets the keys.
    kind, path
        The first keys.
    duration
        Seconds of the recording, if that is known.
    """
    found.put("kind", kind)
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    put_trials(found, path, duration)
    put_window(found)
