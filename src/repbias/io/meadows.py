"""Judgements of similarity in files of Meadows (meadows-research.com).

Meadows exports the RDMs of a multiple-arrangement task as a MATLAB file, with upper triangles
``rdmutv`` and names ``stimuli`` (of several participants, ``rdmutv_clever_flea`` and
``stimuli_clever_flea``), or as a tree in JSON, which is given the same names here.
rsatoolbox reads such files too, but takes the stimuli of the first participant for those of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import refuse_size

#: The type of tasks that have an RDM.
ARRANGEMENT = "multiarrange"
#: Endings of file names among the names of stimuli.
_ENDING = re.compile(r"\.(png|jpe?g|gif|bmp|tiff?|webp|svg|mp4|webm|mp3|wav|ogg)$", re.IGNORECASE)


def without_ending(name: str) -> str:
    """Return the name of a stimulus without the ending of a file of images, films or sounds.

    Examples
    --------
    >>> without_ending("face 1.v2.png"), without_ending("v1.2")
    ('face 1.v2', 'v1.2')
    """
    return _ENDING.sub("", name)


def participant_in(name: str) -> str | None:
    """Return the participant that the name of a file of Meadows states, if it is of one.

    Examples
    --------
    >>> participant_in("Meadows_faces_v_v1_clever-flea_2_1D.mat")
    'clever-flea'
    >>> participant_in("Meadows_faces_v_v1_arrange_1D.mat")
    """
    match = re.match(r"Meadows_.*_([a-z]+-[a-z]+)(_\d+)?_[A-Za-z0-9]+\.", name)
    return match.group(1) if match else None


def meadows_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the RDMs of a tree in JSON, and the names of their stimuli.

    Parameters
    ----------
    path
        The file, of one participant or of several.

    Returns
    -------
    dict
        For one participant ``rdmutv``, (task, pair) row-major upper triangles, and ``stimuli``,
        (stimulus,) text without the ending of files; of several, with ``_`` and the participant
        added. Tasks with other stimuli than the first are called ``rdmutv_..._task2`` and so on.

    Raises
    ------
    RepbiasError
        If the file is no such tree, holds no multiple arrangement, or a number of dissimilarities
        is not that of the pairs of its stimuli.
    """
    refuse_size(path, "the file", (10 * path.stat().st_size,))
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RepbiasError(f"{path}: cannot be read as JSON ({error})") from error
    arrays: dict[str, np.ndarray] = {}
    for participant, tasks in _participants(path, tree).items():
        ending = f"_{participant.replace('-', '_')}" if participant else ""
        for i, (stimuli, rdms) in enumerate(_by_stimuli(path, tasks)):
            name = ending if i == 0 else f"{ending}_task{i + 1}"
            arrays[f"rdmutv{name}"] = np.array(rdms)
            arrays[f"stimuli{name}"] = np.array(stimuli)
    if not arrays:
        raise RepbiasError(f"{path}: no task of type {ARRANGEMENT!r}, which has an RDM")
    return arrays


def _participants(path: Path, tree: Any) -> dict[str, list[Any]]:
    """Return the tasks of every participant; of a file of one, under an empty name."""
    if isinstance(tree, dict) and isinstance(tree.get("tasks"), list):
        return {"": tree["tasks"]}
    trees = tree if isinstance(tree, dict) else {}
    found = {
        str(name): part["tasks"]
        for name, part in trees.items()
        if isinstance(part, dict) and isinstance(part.get("tasks"), list)
    }
    if not found:
        kind = type(tree).__name__ if not isinstance(tree, dict) else ", ".join(map(str, tree))
        raise RepbiasError(
            f"{path}: not a tree of Meadows: expected 'tasks', or participants with 'tasks'; "
            f"found {kind[:200] or 'nothing'}"
        )
    return found


def _by_stimuli(path: Path, tasks: list[Any]) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield stimuli and the RDMs of all tasks that arranged them, in one order."""
    sets: list[tuple[list[str], list[np.ndarray]]] = []
    for number, task in enumerate(tasks, 1):
        meta = task.get("task") if isinstance(task, Mapping) else None
        if not isinstance(meta, Mapping) or meta.get("task_type") != ARRANGEMENT:
            continue
        names, pairs = _task(path, number, task)
        known = next((s for s in sets if sorted(s[0]) == sorted(names)), None)
        if known is None:
            sets.append((names, [pairs]))
        else:
            known[1].append(reordered(pairs, [names.index(name) for name in known[0]]))
    yield from sets


def _task(path: Path, number: int, task: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Return the stimuli and the dissimilarities of a task."""
    try:
        names = [without_ending(str(stimulus["name"])) for stimulus in task["stimuli"]]
        pairs = np.asarray(task["rdm"], dtype=np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError) as error:
        raise RepbiasError(
            f"{path}: task {number}: expected 'stimuli' with names and 'rdm' with numbers ({error})"
        ) from error
    n = len(names)
    if len(pairs) != n * (n - 1) // 2:
        raise RepbiasError(
            f"{path}: task {number}: {len(pairs)} dissimilarities for {n} stimuli, expected "
            f"{n * (n - 1) // 2}"
        )
    if len(set(names)) < n:
        raise RepbiasError(f"{path}: task {number}: two stimuli have the same name")
    return names, pairs


def reordered(pairs: np.ndarray, order: list[int]) -> np.ndarray:
    """Return row-major upper triangles (..., pair) with stimuli in another order.

    Examples
    --------
    >>> reordered(np.array([1, 2, 3]), [2, 0, 1]).tolist()  # pairs 01, 02, 12
    [2, 3, 1]
    """
    n = len(order)
    index = np.zeros((n, n), int)
    index[np.triu_indices(n, 1)] = np.arange(n * (n - 1) // 2)
    found: np.ndarray = pairs[..., (index + index.T)[np.ix_(order, order)][np.triu_indices(n, 1)]]
    return found
