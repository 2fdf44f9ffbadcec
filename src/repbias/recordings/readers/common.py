"""What readers share: naming axes, and finding the stimuli's ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import field_validator

from repbias.arrays import load_array
from repbias.spec import InputPath, RepbiasError, Spec, expand_variables


class FileRecording(Spec):
    """What every recording that is read from a file says about itself."""

    path: InputPath
    """The file."""
    variable: str | None = None
    """Which array of the file; dots step into MATLAB structures."""
    stimuli: str
    """The images that were shown, an entry of ``images:``."""
    stimulus_ids: str | list[str]
    """Ids along the stimulus axis: a list, a text file with one id a line, or `sorted` if the
    axis follows the sorted ids of the whole stimulus set."""
    modality: str = "unknown"
    """What was measured: spikes, calcium, fMRI, MEG, ..."""
    source: str = ""
    """Citation or origin, shown in the report."""

    def input_files(self) -> list[str]:
        """Return the files that the recording comes from; a change of one reruns what uses it."""
        ids = self.stimulus_ids
        named = [] if isinstance(ids, list) or ids == "sorted" else [ids]
        return [str(self.path), *named]

    @field_validator("stimulus_ids")
    @classmethod
    def _file_exists(cls, ids: str | list[str]) -> str | list[str]:
        if isinstance(ids, list) or ids == "sorted":
            return ids
        path = Path(expand_variables(ids))
        if not path.is_file():
            raise ValueError(
                "expected a list of ids, 'sorted', or a text file with one id a line; there is no "
                f"file {path}"
            )
        return str(path)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, without surrounding white space."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [line.strip() for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise RepbiasError(f"{path}: not a text file ({error})") from error


def named_axes(spec: FileRecording, axes: list[str]) -> np.ndarray:
    """Load the array and check it against the names of its axes.

    Axes called ``_`` must have length 1 and are dropped.

    Raises
    ------
    RepbiasError
        If the number of axes differs, or an unnamed axis is longer than 1.
    """
    array = load_array(spec.path, spec.variable)
    if array.dtype.kind not in "fiub":
        raise RepbiasError(f"{spec.path}: expected numbers, found an array of {array.dtype}")
    if array.ndim != len(axes):
        raise RepbiasError(
            f"{spec.path}: axes names {len(axes)} axes {axes}, "
            f"but the array has {array.ndim} (shape {array.shape})"
        )
    if array.size == 0:
        pairs = "0 pairs; " if "pair" in axes else ""
        raise RepbiasError(f"{spec.path}: {pairs}the array is empty (shape {array.shape})")
    for name, size in zip(axes, array.shape, strict=True):
        if name == "_" and size != 1:
            raise RepbiasError(
                f"{spec.path}: the axis called _ has length {size}; only axes of length 1 may go "
                f"unnamed (axes {axes}, shape {array.shape})"
            )
    dropped = tuple(i for i, name in enumerate(axes) if name == "_")
    return array.squeeze(axis=dropped).astype(np.float64)


def resolve_ids(spec: FileRecording, n: int, known: np.ndarray) -> np.ndarray:
    """Return the ids along the stimulus axis, checked against the stimulus set.

    Raises
    ------
    RepbiasError
        If their number is not n, one occurs twice, or one is unknown in the stimulus set.
    """
    if spec.stimulus_ids == "sorted":
        ids, origin = known, f"the sorted ids of '{spec.stimuli}'"
    elif isinstance(spec.stimulus_ids, list):
        ids, origin = np.array(spec.stimulus_ids), "stimulus_ids"
    else:
        ids, origin = np.array(read_lines(Path(spec.stimulus_ids))), spec.stimulus_ids
    if len(ids) != n:
        raise RepbiasError(
            f"{spec.path}: the stimulus axis has length {n}, but {origin} gives {len(ids)} ids"
        )
    unique, counts = np.unique(ids, return_counts=True)
    if counts.max(initial=1) > 1:
        raise RepbiasError(f"{origin}: the id {str(unique[counts.argmax()])!r} occurs twice")
    unknown = np.setdiff1d(ids, known)
    if len(unknown):
        some = ", ".join(repr(str(i)) for i in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        stems = {Path(str(i)).stem for i in unknown}
        hint = "; leave out the file ending" if stems <= set(known.tolist()) else ""
        raise RepbiasError(
            f"{origin}: {len(unknown)} of {n} ids are not in '{spec.stimuli}': {some} "
            f"(the set has ids like {str(known[0])!r}{hint})"
        )
    return ids
