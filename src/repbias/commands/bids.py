"""Describe BIDS datasets: those that fMRIPrep preprocessed, and raw ones."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.order import naturally
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import EVENT_STIMULUS, examples, may_be_stimulus
from repbias.io.text_tables import is_missing, read_header, read_table
from repbias.io.untrusted import read_metadata
from repbias.recordings.readers.fmri.confounds import find_confounds
from repbias.recordings.readers.fmri.scans import fill

#: What fMRIPrep calls a preprocessed image, and BIDS a raw one.
PREPROCESSED, RAW = "desc-preproc_bold.nii*", "bold.nii*"
#: Entities of the names of files that become placeholders.
PLACEHOLDERS = {"sub": "subject", "ses": "session", "run": "run"}
#: Entities that preprocessing adds to a name.
DERIVED = ("space", "res", "den", "cohort", "desc")
#: Labels that usually are not stimuli.
NO_STIMULUS = ("rest", "fixation", "baseline", "blank", "null", "iti", "isi")
#: Confounds that are proposed: motion, its derivatives and their squares, and mean signals.
CONFOUNDS = ("trans_*", "rot_*", "csf", "white_matter")
#: At most this many tables of events are read.
MOST_EVENTS = 20


def describe_fmriprep(path: Path) -> Description | None:
    """Describe a folder of fMRIPrep's derivatives; None if it is none."""
    images = _images(path, PREPROCESSED)
    facts = _dataset_description(path)
    if not images and not any("fmriprep" in name.lower() for name in _software(facts)):
        return None
    said = " and ".join(_software(facts)) or "fMRIPrep"
    found = Description([f"derivatives of {said}"])
    if not images:
        found.lines.append(
            "Needed to read it: sub-*/func/*_desc-preproc_bold.nii.gz. There are none; was "
            "fMRIPrep told to write surfaces only, or --level minimal?"
        )
        return found
    templates = Counter(image.template for image in images)
    found.lines += _overview(images)
    found.lines.append("images:")
    found.lines += [f"  {template}: {n}" for template, n in templates.items()]
    template = templates.most_common(1)[0][0]
    _put_entry(found, path, [image for image in images if image.template == template])
    others = [other for other in templates if other != template]
    if others:
        task_and_space = "a guess: choose the task and the space; or"
        found.comments["images"] = f"{task_and_space} {some(others, 8)}"
    return found


def describe_raw(path: Path) -> Description | None:
    """Describe a raw BIDS dataset, which has to be preprocessed first; None if it is none."""
    images = _images(path, RAW)
    folders = [folder for folder in sorted(path.glob("derivatives/*")) if folder.is_dir()]
    preprocessed = [str(folder) for folder in folders if _images(folder, PREPROCESSED)]
    if not (images or preprocessed) or any("desc" in image.entities for image in images):
        return None
    name = str(_dataset_description(path).get("Name", "")).strip()
    return Description(
        [
            f"raw BIDS dataset{f' {name!r}' if name else ''}: the BOLD signal is not preprocessed",
            *_overview(images),
            f"Inspect its derivatives: {', '.join(preprocessed)}"
            if preprocessed
            else "Preprocess it first, for example with fMRIPrep, and inspect the derivatives.",
        ]
    )


@dataclass(frozen=True)
class Image:
    """An image of BOLD.

    Attributes
    ----------
    path : its file
    entities : entities of its name, such as "sub" and "task", and their values
    template : its path relative to the dataset, with placeholders for subject, session and run
    """

    path: Path
    entities: dict[str, str]
    template: str

    def where(self) -> dict[str, str]:
        """Return the values of the placeholders."""
        known = PLACEHOLDERS.items()
        return {name: self.entities[entity] for entity, name in known if entity in self.entities}


def _images(path: Path, ending: str) -> list[Image]:
    """Return the images of a dataset, whose names end in a pattern."""
    paths = [p for place in ("", "ses-*/") for p in path.glob(f"sub-*/{place}func/sub-*_{ending}")]
    images = []
    for file in sorted(paths):
        parts = [part.partition("-") for part in file.name.split("_")[:-1]]
        relative = file.relative_to(path).as_posix()
        if set("{}<>") & set(relative):  # no template, nor Snakemake, can name it
            continue
        entities = {name: value for name, _, value in parts}
        images.append(Image(file, entities, with_placeholders(relative)))
    return images


def with_placeholders(path: str) -> str:
    """Put placeholders into a path, for the subject, session and run that BIDS names in it.

    Examples
    --------
    >>> with_placeholders("sub-01/run-2.feat/sub-01_face.nii.gz")
    'sub-{subject}/run-{run}.feat/sub-{subject}_face.nii.gz'
    """
    return re.sub(
        r"(?<![A-Za-z0-9])(sub|ses|run)-[^/_.]+",
        lambda match: f"{match[1]}-{{{PLACEHOLDERS[match[1]]}}}",
        path,
    )


def _dataset_description(path: Path) -> dict[str, Any]:
    file = path / "dataset_description.json"
    return read_metadata(file) if file.is_file() else {}


def _software(facts: dict[str, Any]) -> list[str]:
    """Return name and version of what made a dataset; BIDS had another key until version 1.4."""
    made_by = facts.get("GeneratedBy") or [facts.get("PipelineDescription")]
    tools = [x for x in made_by if isinstance(x, dict)] if isinstance(made_by, list) else []
    return [f"{tool.get('Name', '')} {tool.get('Version', '')}".strip() for tool in tools]


def _overview(images: Sequence[Image]) -> list[str]:
    """Say which subjects, sessions, tasks, runs and spaces there are."""
    lines = []
    for entity, noun in (
        ("sub", "subject"),
        ("ses", "session"),
        ("task", "task"),
        ("run", "run"),
        ("space", "space"),
    ):
        values = naturally(list({i.entities[entity] for i in images if entity in i.entities}))
        if values:
            lines.append(f"{count(len(values), noun)}: {some(values, 8)}")
    return lines


def _put_entry(found: Description, path: Path, images: Sequence[Image]) -> None:
    """Write the entry that reads the images of one template."""
    found.put("kind", "fmri")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    found.put("content", "bold")
    found.put("images", images[0].template)
    mask = re.sub(r"desc-preproc_bold\.", "desc-brain_mask.", images[0].template)
    if _existing(path, mask, images):
        found.put("mask", mask, "voxels that the masks of all runs of a subject share")
    else:
        found.lines.append(f"Not all images have a mask {mask}.")
    _say_regions(found, path, images[0])
    _put_events(found, path, images)
    _put_response(found, images)


def _existing(path: Path, template: str, images: Sequence[Image]) -> list[Path]:
    """Return the files of a template for all images, or none if one is missing."""
    files = [path / fill("events", template, image.where()) for image in images]
    return files if all(file.is_file() for file in files) else []


def _say_regions(found: Description, path: Path, image: Image) -> None:
    """Say which segmentation could name the regions of voxels."""
    for kind in ("aparcaseg", "aseg"):
        file = image.path.with_name(
            image.path.name.replace("desc-preproc_bold.", f"desc-{kind}_dseg.")
        )
        names = path / f"desc-{kind}_dseg.tsv"
        if file.is_file() and names.is_file():
            template = file.relative_to(path).as_posix()
            template = template.replace(f"sub-{image.entities['sub']}", "sub-{subject}")
            found.lines.append("For an analysis of each region, add to the entry:")
            found.lines += [f"  regions: {template}", f"  region_names: {names}"]
            return


def _put_events(found: Description, path: Path, images: Sequence[Image]) -> None:
    """Write the keys of the events, which are in the raw dataset."""
    place = path.resolve()  # of a folder called "." or linked, the parents are others
    for root in (place.parent.parent, place.parent, place):
        for name in _names_of_events(images[0]):
            template = os.path.relpath(root / name, place)
            files = [path / fill("events", template, image.where()) for image in images]
            there = [file for file in files if file.is_file()]
            if there:
                found.put("events", template)
                lacking = [
                    image for image, file in zip(images, files, strict=True) if not file.is_file()
                ]
                if lacking:
                    names = some((image.path.name for image in lacking), 8)
                    found.lines.append(f"{len(there)} of {len(images)} have events; not: {names}")
                    entries = [image.where() for image in lacking]
                    found.put("leave_out", entries, "a guess: those without events")
                _put_stimulus(found, there)
                return
    name = next(_names_of_events(images[0]))
    found.put("events", FILL_IN, f"relative to path: the raw dataset's {name}, of every run")


def _names_of_events(image: Image) -> Iterator[str]:
    """Yield where the events of an image may be in a raw dataset, with placeholders."""
    folder, _, name = image.template.rpartition("/")
    raw = [part for part in name.split("_")[:-1] if part.partition("-")[0] not in DERIVED]
    yield f"{folder}/{'_'.join(raw)}_events.tsv"
    for kept in (("sub", "ses", "task", "run"), ("sub", "ses", "task")):
        yield f"{folder}/{'_'.join(p for p in raw if p.partition('-')[0] in kept)}_events.tsv"
    yield f"task-{image.entities.get('task', '')}_events.tsv"  # the same for all subjects


def _put_stimulus(found: Description, files: Sequence[Path]) -> None:
    """Write which column of the events names the stimulus, and what to ignore."""
    tables = [read_table(file) for file in list(dict.fromkeys(files))[:MOST_EVENTS]]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in shared}
    found.lines.append("events:")
    found.lines += [f"  {name}: {examples(values)}" for name, values in columns.items()]
    named = [name for name in EVENT_STIMULUS if name in columns]
    if not named:
        found.put("columns", {"stimulus": FILL_IN}, "the column that names the stimulus")
        return
    labels = columns[named[0]]
    others = may_be_stimulus({name: x for name, x in columns.items() if name != named[0]})
    found.put("columns", {"stimulus": named[0]}, f"a guess{others and f'; or {others}'}")
    ignored = [label for label in np.unique(labels).tolist() if label.lower() in NO_STIMULUS]
    ignored += ["n/a"] if is_missing(labels).any() else []
    if ignored:
        found.put("ignore", ignored, "a guess: events that show no stimulus")


def _put_response(found: Description, images: Sequence[Image]) -> None:
    """Propose a GLM with the confounds that all runs have."""
    tables = [find_confounds(image.path) for image in images]
    headers = [read_header(table) for table in tables if table is not None]
    confounds: dict[str, Any] | str = "none"
    comment = "not all images have a table of confounds beside them"
    if len(headers) == len(images):
        names = set.intersection(*map(set, headers))
        columns = [pattern for pattern in CONFOUNDS if fnmatch.filter(names, pattern)]
        if columns:
            confounds, comment = {"columns": columns}, "or a strategy of confounds"
        else:
            comment = f"the tables of confounds have none of {some(CONFOUNDS)}"
    found.put(
        "response", {"confounds": confounds}, f"a GLM, one beta per stimulus and run; {comment}"
    )
