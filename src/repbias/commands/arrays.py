"""Describe files of arrays: npy, npz, HDF5, MATLAB, and RDMs of Meadows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import FILL_IN, STIMULI, Description, some
from repbias.commands.variables import (
    Axes,
    Variable,
    axes_of,
    pair_hints,
    pictures_line,
    variables_of,
)
from repbias.io.meadows import participant_in

#: What a file of one participant of Meadows calls its RDM and the names of its stimuli.
MEADOWS = ("rdmutv", "stimuli")
#: Words in the names of texts that describe units.
OF_UNITS = re.compile("region|area|unit|neuron|channel|electrode|(?<![a-z])(roi|cell)", re.I)


def describe_arrays(path: Path, variable: str | None) -> Description:
    """Describe a file of arrays, and how to read one of them."""
    bare = path.suffix.lower() == ".npy"
    if bare and variable is not None:
        raise RepbiasError(f"{path}: an .npy file holds one array; leave --variable out")
    variables = variables_of(path)
    lines = [_line(path, name, v) for name, v in variables.items()]
    found = Description(lines)
    numbers = {name: v for name, v in variables.items() if v.is_number}
    if variable is not None and variable not in numbers:
        raise RepbiasError(
            f"{path}: no array of numbers {variable!r}; {nearest(variable, numbers)}"
        )
    if not numbers:
        found.lines.append("It contains no array of numbers.")
        return found
    pictures = {name: v for name, v in numbers.items() if v.n_pictures}
    name = variable or max(numbers, key=lambda name: _likely(numbers[name]))
    if name in pictures:
        _put_pictures(found, path, name, pictures[name])
        return found
    subjects = [] if variable else _same_for_subjects(name, numbers, variables)
    if len(numbers) > 1 and variable is None and not subjects:
        found.lines.append(f"The block reads {name!r}; --variable chooses another.")
    found.put("path", str(path))
    if subjects:
        _put_subjects(found, subjects, variables)
    elif not bare:
        several = len([n for n in numbers if n not in pictures]) > 1 and variable is None
        found.put("variable", name, "a guess: the largest array" if several else "")
    axes = axes_of(numbers[name], FILL_IN)
    found.lines += axes.lines
    # Only a pattern of arrays can have one of ids.
    own = _own_ids(name, subjects, variables) if "variables" not in found.entry else None
    ids = {n: v for n, v in variables.items() if n != name and n not in subjects and v.ids}
    if own is not None:
        ids = {f"{own}*": variables[own + name.removeprefix(_before(name))]}
    _put_axes(found, axes, ids)
    if pictures and variable is None:
        shown = max(pictures, key=lambda name: pictures[name].size)
        found.stimuli = Description([], section="images")
        _put_pictures(found.stimuli, path, shown, pictures[shown])
        found.lines += found.stimuli.lines
        found.comments["stimuli"] = "a guess: the pictures in the same file"
    if MEADOWS[0] in name and axes.kind == "rdms":
        _put_meadows(found, path, name, variables)
    elif axes.kind == "rdms" or numbers[name].n_axes == 2:
        found.lines.append(
            f"If it holds models, their features or RDMs: repbias inspect {shlex.quote(str(path))} "
            "--as model"
        )
    return found


def _line(path: Path, name: str, variable: Variable) -> str:
    said = str(variable).removeprefix(f"{path}: ")
    return f"{name}: {said}" if name and not said.startswith(repr(name)) else said


def _likely(variable: Variable) -> tuple[bool, bool, int]:
    """Responses have several axes, and more elements than anything else in the file."""
    return not variable.n_pictures, variable.n_axes > 1, variable.size


def _put_pictures(found: Description, path: Path, name: str, variable: Variable) -> None:
    """Write the entry that reads a stack of pictures."""
    found.section = "images"
    found.put("path", str(path))
    if name:
        found.put("variable", name)
    found.lines.append(pictures_line(name, variable))


def _before(name: str) -> str:
    """Return what comes before the subject in the name of an array."""
    of_meadows = name.startswith(f"{MEADOWS[0]}_")
    return f"{MEADOWS[0]}_" if of_meadows else name.rstrip("0123456789")


def _same_for_subjects(
    name: str, numbers: dict[str, Variable], variables: dict[str, Variable]
) -> list[str]:
    """Return the arrays that are called like one but for a number, or a participant of Meadows.

    They differ in the length of one axis at most, or have ids of their own.
    """
    before, shape = _before(name), numbers[name].shape
    ending = re.compile(re.escape(before) + (".+" if before == f"{MEADOWS[0]}_" else "[0-9]+"))
    found = sorted(
        n for n, v in numbers.items() if ending.fullmatch(n) and len(v.shape) == len(shape)
    )
    if _own_ids(name, found, variables) is None:
        found = [
            other
            for other in found
            if sum(n != m for n, m in zip(numbers[other].shape, shape, strict=True)) <= 1
        ]
    return found if len(found) > 1 else []


def _own_ids(name: str, subjects: list[str], variables: dict[str, Variable]) -> str | None:
    """Return how the ids of each subject's array are called, without the subject: `ids_S`."""
    before = _before(name)
    subject = name.removeprefix(before)

    def fit(ids: str) -> bool:
        there = {x: variables.get(ids + x.removeprefix(before)) for x in subjects}
        return all(v and v.texts and v.size in variables[x].shape for x, v in there.items())

    called = [n.removesuffix(subject) for n in variables if subject and n.endswith(subject)]
    fitting = [ids for ids in called if ids != before and fit(ids)]
    return fitting[0] if len(subjects) > 1 and len(fitting) == 1 else None


def _put_subjects(found: Description, subjects: list[str], variables: dict[str, Variable]) -> None:
    """Write the keys that read an array for each subject."""
    before = _before(subjects[0])
    guess = f"a guess: {some(subjects)} are of one subject each"
    others = [n for n in variables if n.startswith(before) and n not in subjects and "." not in n]
    if others:
        found.put("variables", subjects, guess)
    else:
        found.put("variable", f"{before}*", guess)


def _put_meadows(found: Description, path: Path, name: str, variables: dict[str, Variable]) -> None:
    """Complete the entry of a file of Meadows, which names what it holds."""
    found.lines.append("These are RDMs of arrangements, made with Meadows.")
    found.put("kind", "rdms")
    stimuli = name.replace(*MEADOWS)
    if stimuli in variables:
        several = "*" in str(found.entry.get("variable", ""))
        found.put("stimulus_ids", f"variable:{MEADOWS[1]}_*" if several else f"variable:{stimuli}")
        found.comments["stimulus_ids"] = some(variables[stimuli].texts, 3)
    participant = participant_in(path.name)
    if name == MEADOWS[0] and participant:
        found.put("subjects", [participant], "the participant in the name of the file")
    found.put("distance", "euclidean", "of the arrangement; its scale is arbitrary")
    found.put("modality", "behaviour")


def _put_axes(found: Description, axes: Axes, ids: dict[str, Variable]) -> None:
    """Write what is known of the axes, and which variables may hold the ids of the stimuli."""
    places = {
        name: [i for i, n in enumerate(axes.lengths) if n == v.size] for name, v in ids.items()
    }
    candidates = [name for name, where in places.items() if where]
    texts = [name for name in candidates if ids[name].texts]
    of_units = [name for name in texts if OF_UNITS.search(re.split("[./]", name)[-1])]
    texts = [name for name in texts if name not in of_units]
    chosen = texts[0] if len(texts) == 1 else None
    found.lines += pair_hints(axes, [i for where in places.values() for i in where])
    for name in of_units:
        if axes.kind == "array" and len(places[name]) == 1:
            axes.names[places[name][0]] = "unit"
    if chosen and axes.kind == "array" and len(places[chosen]) == 1:
        distinct = len(set(ids[chosen].texts)) == ids[chosen].size
        axes.names[places[chosen][0]] = "stimulus" if distinct else "trial"
    found.entry = {"kind": axes.kind, **found.entry}
    sizes = " x ".join(map(str, axes.shape))
    guessed = chosen and axes.kind == "array"
    guess = f" (stimulus or trial: a guess from {chosen})" if guessed else axes.guess
    guess += f" (unit: a guess from {some(of_units)})" if "unit" in axes.names else ""
    found.put("axes", axes.names, f"a name for each of {sizes}{guess}; possible: {axes.possible}")
    found.put("stimuli", FILL_IN, STIMULI)
    candidates = [name for name in candidates if name not in of_units]
    listed = {name: f"variable:{name} ({some(ids[name].ids, 3)})" for name in candidates}
    if chosen:
        others = "".join(f"; or {text}" for name, text in listed.items() if name != chosen)
        found.put("stimulus_ids", f"variable:{chosen}", some(ids[chosen].ids, 3) + others)
    else:
        sources = [
            "a text file with one id a line",
            "sorted if the axis follows the sorted ids of all stimuli ('sorted as text' where im10 "
            "comes before im2, 'sorted naturally' where it comes after)",
            *listed.values(),
        ]
        found.put("stimulus_ids", FILL_IN, "; or ".join(sources))
