"""Describe fMRI: images, folders of betas, surfaces, and arrays of GLMsingle and NSD."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

from repbias.base.order import natural_key, naturally, orders
from repbias.base.spec import RepbiasError
from repbias.commands.arrays import describe_arrays
from repbias.commands.bids import with_placeholders
from repbias.commands.cohorts import (
    MOST_ENTRIES,
    Template,
    folders_below,
    form_of,
    guess_of,
    shared_end,
    shared_start,
    template_of,
)
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import refuse_variable
from repbias.commands.hdf5 import describe_hdf5
from repbias.io.arrays import list_arrays
from repbias.io.text_tables import SEPARATORS, read_header, read_table
from repbias.recordings.readers.fmri.scans import PLACEHOLDERS, SUFFIXES, fill, kind_of
from repbias.recordings.readers.templates import match

#: Groups of numbered images in the folders of SPM and FSL; the first that exists is described.
NUMBERED = ("beta_#", "cope#", "con_#", "pe#")
#: What the files of GLMsingle's models begin with, the last model first.
GLMSINGLE = ("TYPED", "TYPEC", "TYPEB")
#: Parts of names of images that are no betas.
NO_BETAS = re.compile("anat|t1|mean|std|var|rpv|resms|example_func|thresh_zstat", re.I)
#: Names of the two hemispheres in names of files.
HEMISPHERES = (("hemi-L", "hemi-R"), ("lh.", "rh."), (".L.", ".R."), ("_L_", "_R_"))
#: Folders whose images are opened, to see whether they are betas, or whose names are compared.
MAX_FOLDERS = 20
#: Names of images, or of folders of them, that are no betas but belong to them.
CALLED = {
    "mask": re.compile("mask", re.I),
    "regions": re.compile("region|roi|atlas|parcel|label|aparc|dseg", re.I),
}
#: What is said of a folder that is too large.
_CUT = f"Only the first {MOST_ENTRIES} files and folders were looked at."
#: Tables beside a file whose rows are counted.
MAX_TABLES = 20


def describe_nifti(path: Path, variable: str | None) -> Description:
    """Describe a NIfTI image; only its last voxel is read, to see whether the file is complete."""
    refuse_variable(path, variable)
    from repbias.recordings.readers.fmri.images import header_name, open_nifti

    path = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    image = open_nifti(path)
    image.dataobj[(-1,) * image.ndim]
    shape = " x ".join(map(str, image.shape))
    zooms = image.header.get_zooms()
    found = Description(
        [
            f"NIfTI, {shape}, {image.get_data_dtype()}",
            f"voxels: {' x '.join(f'{z:g}' for z in zooms[:3])} mm",
            "affine: " + "; ".join(" ".join(f"{x:g}" for x in row) for row in image.affine[:3]),
        ]
    )
    if len(image.shape) < 4:
        description = header_name(path, image)
        found.lines += [f"description: {description}"] if description else []
        found.lines.append(
            "One volume: a mask, a map of regions, or anatomy; of betas in an image each, inspect "
            "the folder."
        )
        return found
    unit = image.header.get_xyzt_units()[1]
    found.lines.append(f"repetition time: {zooms[3]:g} {unit}")
    _put_content(found, path, "bold" if _stem(path).endswith("bold") else None)
    # Named as in BIDS.
    name = path.name[: len(_stem(path))].removesuffix("bold")
    places = _places(path.parent, path.parent)
    called = (f"{name}events.tsv", f"{_stem(path)}_events.tsv")
    expected = [place / table for place in places for table in called]
    there = next((table for table in expected if table.is_file()), None)
    _put_events(found, path, expected=there, places=places)
    _put_images(found, places, image.shape[:3], str, path.name)
    return found


def _stem(path: Path) -> str:
    """Return the name of a file in small letters, without the endings of images."""
    name = path.name.lower()
    suffixes = (suffix for kind in SUFFIXES.values() for suffix in kind)
    return next((name.removesuffix(s) for s in suffixes if name.endswith(s)), name)


def _put_content(found: Description, path: Path, content: str | None) -> None:
    """Write the first keys of an entry; `content` is a guess, None if there is none."""
    found.put("kind", "fmri")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    guess = " (a guess from the name)" if content else ""
    kinds = f"betas: one volume per trial; bold: the signal over time{guess}"
    found.put("content", content or FILL_IN, kinds)


def _put_events(
    found: Description,
    path: Path,
    n: int | None = None,
    expected: Path | None = None,
    places: Sequence[Path] = (),
) -> None:
    """Write the table of events: the expected one, or the only one with a row for n volumes.

    It is looked for beside the file, or in some places, of which the first that has one counts.
    """
    tables = [
        [p for p in sorted(place.iterdir()) if p.suffix in SEPARATORS]
        for place in places or [path.parent]
    ]
    counted = ([p for p in near[:MAX_TABLES] if n and _n_rows(p) == n] for near in tables)
    fitting = next(filter(None, counted), [])
    known, guess = None, ""
    if expected is not None and expected.is_file():
        known = str(expected)
    elif len(fitting) == 1:
        known, guess = str(fitting[0]), f"a guess, as it has {n} rows; "
    found.put(
        "events",
        known or FILL_IN,
        f"{guess}table with one row per volume, or with onsets; if its first line has no names, "
        f"add header: [stimulus, run]; found: {some(p.name for p in chain(*tables)) or 'none'}",
    )
    columns = read_header(Path(known)) if known and guess else []
    if columns and not {"stimulus", "trial_type"} & set(columns):
        found.put("columns", {"stimulus": FILL_IN}, f"the columns are {some(columns, 9)}")


def _n_rows(path: Path) -> int:
    try:
        return len(read_table(path))
    except RepbiasError:
        return 0


def _put_images(
    found: Description, places: Sequence[Path], shape: Sequence[int], name: Any, of: str
) -> None:
    """Write the mask and the regions, if one image of a folder is called so and has the shape.

    Parameters
    ----------
    found
        Gets the keys.
    places
        The folders, of which the first that has one counts.
    shape
        That of the recording.
    name
        Function that returns what the entry calls a file.
    of
        Path of a file of the recording: images that name a subject are of its.
    """
    subjects = (None, _subject_in(of))
    for key, place in product(CALLED, places):
        images = [p for p in _called(place, CALLED[key]) if _subject_in(p.name) in subjects]
        fitting = [p for p in images if _shape(p) == tuple(shape)]
        if len(fitting) == 1 and key not in found.entry:
            found.put(key, name(fitting[0]), "a guess from its name and shape")


def _called(folder: Path, word: re.Pattern[str]) -> Iterator[Path]:
    """Yield the images in a folder that are called so, and those in a folder that is."""
    yield from (path for path in sorted(folder.glob("*.nii*")) if word.search(path.name))
    for below in sorted(path for path in folder.iterdir() if word.search(path.name)):
        yield from sorted(below.glob("*.nii*"))


def _subject_in(name: str) -> str | None:
    """Return the subject that BIDS names in a path."""
    found = re.search(r"(?<![A-Za-z0-9])sub-([^/_.]+)", name)
    return found and found[1]


def _shape(path: Path) -> tuple[int, ...] | None:
    """Return the shape of an image, None if it is none."""
    from repbias.recordings.readers.fmri.images import open_nifti

    try:
        return tuple(open_nifti(path).shape)
    except RepbiasError:
        return None


# Folders.


def describe_folder(path: Path) -> Description | None:
    """Describe a folder with an image for each beta, or of folders, of subjects and their runs."""
    found = _describe_betas(path, [path])
    if found is not None:
        return found
    folders, is_cut = folders_below(path)
    alike: dict[str, list[Path]] = {}
    for folder in folders:
        if _images(folder):
            alike.setdefault(form_of(folder.relative_to(path).as_posix()), []).append(folder)
    # Of many subjects and runs rather than of a group analysis; at the same number, the nearest.
    groups = sorted(alike.values(), key=lambda members: -len(members))
    for members in groups[:MAX_FOLDERS]:
        if _describe_betas(path, members) is None:
            continue
        called, level = _template(members[0]), len(members[0].parts)
        others = [
            folder
            for group in groups
            for folder in group
            if group is not members and len(folder.parts) == level and _template(folder) == called
        ]
        names = naturally(p.relative_to(path).as_posix() for p in (*members, *others))
        template = template_of(names)
        chosen = [path / name for name in (*template.fits, *template.others)]
        found = _describe_betas(path, chosen)
        assert found is not None
        return _of_folders(found, path, chosen, is_cut)
    return _describe_runs(path, [path, *folders], is_cut)


def _describe_runs(root: Path, folders: Sequence[Path], is_cut: bool) -> Description | None:
    """Describe images of several volumes that are called alike, such as one for each run."""
    alike: dict[str, list[str]] = {}
    for image in (image for folder in folders for image in _images(folder)):
        name = image.relative_to(root).as_posix()
        if kind_of(image) == "NIfTI":
            alike.setdefault(form_of(name), []).append(name)
    for names in sorted(alike.values(), key=lambda names: -len(names))[:MAX_FOLDERS]:
        template = template_of(naturally(names))
        first = root / template.fits[0]
        if len(template.fits) < 2 or len(_shape(first) or ()) != 4:
            continue
        found = describe_nifti(first, None)
        lines = [
            f"{count(len(names), 'image')}: {some(names)}",
            f"The first one, {template.fits[0]}:",
        ]
        found.lines[:0] = lines
        entry = {"kind": "fmri", "path": str(root)}
        entry |= {key: found.entry[key] for key in ("stimuli", "content")}
        entry["images"] = template.text
        found.comments["images"] = f"a guess{guess_of(template)}"
        for key in ("events", "mask", "regions"):
            if (value := found.entry.get(key)) is not None:
                near = value == FILL_IN or Path(os.path.relpath(value, root)).as_posix()
                entry[key] = FILL_IN if near is True else _alike(near, template)
        found.entry = entry
        found.lines += _fit(found, root, template, lambda image: image)
        found.lines += [_CUT] * is_cut
        return found
    return None


def _alike(path: str, template: Template) -> str:
    """Put the placeholders of a template into the path of what belongs to its first file."""
    known: dict[str, str] = {}
    for old, new in zip(
        *(re.split("[/_]", x) for x in (template.fits[0], template.text)), strict=True
    ):
        ending = new.partition("}")[2]
        known |= {old: new, old.removesuffix(ending): new.removesuffix(ending)}
    parts = (part.split("_") for part in path.split("/"))
    return "/".join("_".join(known.get(name, name) for name in part) for part in parts)


def _of_folders(
    found: Description, root: Path, folders: Sequence[Path], is_cut: bool = False
) -> Description:
    """Let the entry of the files in the first of some folders read those in all that fit."""
    names = [folder.relative_to(root).as_posix() for folder in folders]
    template = template_of(names)
    if names[0] in template.others:
        return found
    old, new = names[0].split("/"), template.text.split("/")
    for key in ("images", "mask", "regions", "events"):
        if key not in found.entry:
            continue
        parts = found.entry[key].split("/")
        n = next((i for i, (a, b) in enumerate(zip(parts, old, strict=False)) if a != b), len(old))
        *rest, last = parts[n:]
        named = with_placeholders(last)
        known = set(re.findall(r"{\w+}", named)) <= set(re.findall(r"{\w+}", found.entry["images"]))
        found.entry[key] = "/".join([*new[:n], *rest, named if known else last])
    found.comments["images"] += guess_of(template)
    if len(folders) > 1:
        found.lines.insert(0, f"{count(len(folders), 'folder')}: {some(names)}")
        found.lines.insert(1, f"The first one, {names[0]}:")
    found.lines += _fit(found, root, template, lambda image: image.parent)
    found.lines += [_CUT] * is_cut
    return found


def _fit(
    found: Description, root: Path, template: Template, place_of: Callable[[Path], Path]
) -> Iterator[str]:
    """Yield what the entry reads, and which places it does not read or should leave out.

    Parameters
    ----------
    found
        Has the entry, and gets `leave_out`.
    root
        The folder that the entry names.
    template
        Of the places.
    place_of
        Function that returns the place of an image: its folder, or itself.
    """
    images = found.entry["images"]
    try:
        matched = list(match("images", root, images, PLACEHOLDERS))
    except ValueError:
        return
    names = [place_of(image).relative_to(root).as_posix() for image, _ in matched]
    read, where = Counter(names), dict(zip(names, (w for _, w in matched), strict=True))
    places = "images" if names and (root / names[0]).is_file() else "folders"
    if len(template.fits) + len(template.others) > 1:
        yield f"{places} that the template fits: {len(read)}"
    others = [name for name in template.others if name not in read]
    others += _without(root, images, read) if places == "folders" else []
    if others:
        yield f"{places} that it does not fit, and that are not read: {some(others, 8)}"
    usual, _ = Counter(read.values()).most_common(1)[0]
    few = [f"{name} ({n})" for name, n in read.items() if n < usual]
    if few:
        yield f"folders with fewer than {count(usual, 'image')}, as most have: {some(few, 8)}"
    odd = {name: f"another name: {name}" for name in template.others if name in read}
    for key in ("mask", "regions", "events"):
        of_key = found.entry.get(key, "")
        if "{" not in of_key:
            continue
        try:
            files = {name: root / fill(key, of_key, w) for name, w in where.items()}
        except ValueError as error:  # regions are those of all runs
            del found.entry[key]
            yield f"no {key}: {error}"
            continue
        lacking = [name for name, file in files.items() if not file.is_file()]
        if lacking:
            yield f"{places} without {key}: {some(lacking, 8)}"
            odd |= {name: f"no {key}: {name}" for name in lacking}
    if odd and len(odd) < len(read):
        placeholders = [name for name in where[next(iter(odd))] if name in template.values]
        entries = [{name: where[folder][name] for name in placeholders} for folder in odd]
        found.put("leave_out", entries, f"a guess: {some(odd.values())}")


def _without(root: Path, images: str, read: Collection[str]) -> list[str]:
    """Return the folders that are called as a template has it, but have none of its images."""
    parts = images.split("/")[:-1]
    n = max((i for i, part in enumerate(parts, 1) if "{" in part), default=0)
    pattern = "/".join(re.sub(r"\{\w+\}", "*", part) for part in parts[:n])
    found = (
        naturally(p.relative_to(root).as_posix() for p in root.glob(pattern) if p.is_dir())
        if n
        else []
    )
    rest = "".join(f"/{part}" for part in parts[n:])
    return [name for name in found if name + rest not in read and not name.startswith(".")]


class Betas(NamedTuple):
    """Images of one volume each in a folder.

    Attributes
    ----------
    paths : the images, in natural order
    template : their names, with `*` or `{stimulus}`
    """

    paths: list[Path]
    template: str


def _images(folder: Path) -> list[Path]:
    """Return the images in a folder that may be betas, in natural order."""
    paths = [
        path
        for path in folder.iterdir()
        if kind_of(path) != "array"
        and path.is_file()
        and not any(word.search(path.name) for word in (NO_BETAS, *CALLED.values()))
    ]
    return sorted(paths, key=lambda path: natural_key(path.name))


def _find_betas(folders: Sequence[Path]) -> Betas | None:
    """Return the images of a kind in some folders, or those that differ in a number only."""
    images = [image for folder in folders[:MAX_FOLDERS] for image in _images(folder)]
    groups: dict[str, list[Path]] = {}
    for path in images:
        groups.setdefault(re.sub(r"\d+", "#", with_placeholders(path.name)), []).append(path)
    numbered = {key: paths for key, paths in groups.items() if len(_names(paths)) > 1}
    for known in NUMBERED:
        for key, paths in numbered.items():
            if key.startswith(f"{known}."):
                number = "{stimulus}" if known in ("cope#", "con_#", "pe#") else "*"
                return Betas(paths, key.replace("#", number))
    # Of several groups (face01, face02, house01 ...), the words before the numbers are conditions.
    of_numbers = [key for key in groups if "#" in key]
    if len(of_numbers) == 1 and len(numbered.get(of_numbers[0], ())) > len(images) / 2:
        paths = numbered[of_numbers[0]]
        prefix = shared_start(_names(paths)).rstrip("0123456789")
        return Betas(paths, f"{prefix}*{_ending(paths)}")
    kinds = Counter(map(kind_of, images))
    if not kinds:
        return None
    kind, _ = kinds.most_common(1)[0]
    paths = [path for path in images if kind_of(path) == kind]
    return Betas(paths, _named(paths)) if len(_names(paths)) > 1 else None


def _template(folder: Path) -> str | None:
    betas = _find_betas([folder])
    return betas and betas.template


def _names(paths: Iterable[Path]) -> list[str]:
    """Return the names of files, with placeholders; each once."""
    return list(dict.fromkeys(with_placeholders(path.name) for path in paths))


def _named(paths: Sequence[Path]) -> str:
    """Return a template in which the part of a name that differs is the stimulus."""
    # Up to a separator: face and fruit share a letter by chance.
    prefix = re.sub(r"[^-_.]*$", "", shared_start(_names(paths)))
    return f"{prefix}{{stimulus}}{_ending(paths)}"


def _ending(paths: Iterable[Path]) -> str:
    """Return the end that all names share, from a separator on."""
    ending = shared_end(_names(paths))
    return re.sub(r"^[^-_.]*", "", ending)


def _describe_betas(root: Path, folders: Sequence[Path]) -> Description | None:
    """Describe the betas in the first of some folders; paths in the entry are relative to a root.

    The template of their names is that of all folders.
    """
    betas = _find_betas(folders)
    if betas is None:
        return None
    folder = folders[0]
    paths = [path for path in betas.paths if path.parent == folder]
    if not paths:
        return None
    kind = kind_of(paths[0])
    if kind == "NIfTI":
        shapes = Counter(shape for path in paths if (shape := _shape(path)) is not None)
        if len(shapes) != 1 or len(next(iter(shapes))) != 3:
            return None
    names = [path.name for path in paths]
    found = Description([f"{count(len(names), 'image')} ({kind}): {some(names)}"])
    _put_content(found, root, "betas")

    def relative(path: Path) -> str:
        return Path(os.path.relpath(path, root)).as_posix()

    template = betas.template
    if kind == "GIFTI":
        template = _with_hemispheres(template, _names(betas.paths))
    headers = _spm_names(found, paths) if kind == "NIfTI" else []
    where = f"{folder.relative_to(root).as_posix()}/" if folder != root else ""
    if headers:
        found.put("images", where + template.replace("{stimulus}", "*"), some(names))
        found.put("events", "headers", "SPM's names of conditions, in the headers of the images")
    elif "{stimulus}" in template:
        comment = "a guess: names of files tell the stimulus"
        if template.startswith(("cope", "pe", "con_")):
            comment += "; rename: names.csv gives each number the id of its stimulus"
        found.put("images", where + template, comment)
    else:
        found.put("images", where + template, some(names))
        _put_events(found, paths[0], len(names), places=_places(root, folder))
        if found.entry["events"] == FILL_IN:
            instead = f"or {where}{_named(betas.paths)} and no events, if names tell the stimulus"
            found.comments["images"] += f"; {instead}"
        else:
            found.entry["events"] = relative(Path(found.entry["events"]))
        if len(orders(names)) > 1:
            found.lines.append("Names sort in several ways: the table needs a column file.")
    if kind == "NIfTI":
        places = _places(root, folder)
        _put_images(found, places, next(iter(shapes)), relative, relative(paths[0]))
    return found


def _places(root: Path, folder: Path) -> list[Path]:
    """Return the folders that may hold what belongs to the images in one, the nearest first."""
    above = [place for place in folder.parents if place.is_relative_to(root)]
    beside = root.absolute().parent
    return list(dict.fromkeys([folder, *above, *[beside] * os.access(beside, os.R_OK)]))


def _with_hemispheres(template: str, names: list[str]) -> str:
    """Put {hemi} into a template, if the names are of both hemispheres."""
    for left, right in HEMISPHERES:
        if all(any(side in name for name in names) for side in (left, right)):
            side = left.replace("L", "{hemi}").replace("lh", "{hemi}")
            split = [name.split(left, 1) for name in names if left in name]
            before, rest = split[0][0], [rest for _, rest in split]
            start = re.sub(r"[^-_.]*$", "", shared_start(rest))
            end = re.sub(r"^[^-_.]*", "", shared_end(rest))
            return f"{before}{side}{start}{{stimulus}}{end}"
    return template


def _spm_names(found: Description, paths: list[Path]) -> list[str]:
    """List what SPM's headers name; return the conditions, none if one has no name of SPM's."""
    from repbias.recordings.readers.fmri.betas import parse_spm
    from repbias.recordings.readers.fmri.images import header_name, open_nifti

    conditions: list[str] = []
    others: list[str] = []
    runs = set()
    for path in paths:
        regressor = parse_spm(path, header_name(path, open_nifti(path)))
        if regressor is None:
            return []
        (conditions if regressor.is_condition else others).append(regressor.name)
        runs.add(regressor.run)
    named = Counter(conditions)
    found.lines.append(f"SPM: {count(len(runs), 'run')}, {count(len(named), 'condition')}")
    found.lines.append("conditions: " + some((f"{name} ({n})" for name, n in named.items()), 9))
    if others:
        found.lines.append(f"left out, as no responses: {some(dict.fromkeys(others), 9)}")
    return conditions


# Surfaces.


def describe_gifti(path: Path, variable: str | None) -> Description:
    """Describe a GIFTI file; its data are not kept."""
    refuse_variable(path, variable)
    from repbias.recordings.readers.fmri.gifti import GEOMETRY, scan_gifti

    contents = scan_gifti(path)
    names = [array.metadata.get("Name", "") for array in contents.arrays]
    shapes = Counter(" x ".join(map(str, array.shape)) for array in contents.arrays)
    found = Description(
        [
            f"GIFTI, {count(len(names), 'array')}: {some(f'{s} ({n})' for s, n in shapes.items())}",
            f"structure: {contents.structure or 'not stated'}",
        ]
    )
    found.lines += [f"maps: {some(names)}"] if any(names) else []
    intents = {array.intent for array in contents.arrays}
    if intents & set(GEOMETRY):
        found.lines.append("The shape of a surface, not values on it.")
    elif "NIFTI_INTENT_LABEL" in intents:
        found.lines.append(f"regions: {some(contents.labels.values(), 9)}")
        found.lines.append(f"With values on this surface, set regions: {path}")
    elif names:
        if len(names) == 1:
            found.lines.append("Of betas in a file each, inspect the folder.")
        _put_content(found, path, "bold" if "bold" in path.name.lower() else "betas")
        _put_hemispheres(found, path)
        _put_maps(found, path, names)
        regions = [p for p in sorted(path.parent.glob("*.label.gii")) if _is_like(p, contents)]
        if len(regions) == 1 and "images" not in found.entry:
            found.put("regions", str(regions[0]), "a guess, as it is of the same surface")
    return found


def _is_like(path: Path, contents: Any) -> bool:
    """Whether labels are of the same surface, as far as files tell."""
    from repbias.recordings.readers.fmri.gifti import scan_gifti

    try:
        labels = scan_gifti(path)
    except RepbiasError:
        return False
    sizes = {array.shape[0] for array in (*labels.arrays, *contents.arrays)}
    return labels.structure == contents.structure and len(sizes) == 1


def _put_hemispheres(found: Description, path: Path) -> None:
    """Join a file with that of the other hemisphere, if there is one."""
    for left, right in HEMISPHERES:
        for one, other in ((left, right), (right, left)):
            twin = path.name.replace(one, other, 1)
            if one in path.name and path.with_name(twin).is_file():
                side = left.replace("L", "{hemi}").replace("lh", "{hemi}")
                found.put("path", str(path.parent))
                found.put("images", path.name.replace(one, side, 1), f"joins {twin}")
                return


def _put_maps(found: Description, path: Path, names: list[str]) -> None:
    """Write where the stimulus of every map stands: in its name, or in a table."""
    if found.entry["content"] != "bold" and all(names) and len(set(names)) == len(names):
        found.put("events", "headers", f"the names of the maps: {some(names)}")
        return
    _put_events(found, path, len(names))
    if "images" in found.entry and found.entry["events"] != FILL_IN:
        found.entry["events"] = Path(found.entry["events"]).name


def describe_cifti(path: Path, variable: str | None) -> Description:
    """Describe a CIFTI file by its header."""
    refuse_variable(path, variable)
    from repbias.recordings.readers.fmri.cifti import open_cifti

    image, maps, places = open_cifti(path)
    image.dataobj[-1, -1]  # is the file complete?
    n_maps, n_places = image.shape
    parts = places.name.astype(str).tolist()
    are_parcels = not hasattr(places, "vertex")
    what = "parcels" if are_parcels else "grayordinates"
    found = Description([f"CIFTI, {count(n_maps, 'map')} of {n_places} {what}"])
    if are_parcels:
        found.lines.append(f"  {some(parts, 9)}")
    else:
        found.lines += [
            f"  {name.removeprefix('CIFTI_STRUCTURE_').lower()}: {n}"
            for name, n in Counter(parts).items()
        ]
    names = [str(name) for name in getattr(maps, "name", [])]
    if hasattr(maps, "label"):
        labels = [name for name, _ in maps.label[0].values()]
        found.lines += [f"regions: {some(labels, 9)}", f"With values of these, set regions: {path}"]
        return found
    _put_content(found, path, "betas" if names else None)
    _put_maps(found, path, names or [""] * n_maps)
    regions = sorted(path.parent.glob("*.plabel.nii" if are_parcels else "*.dlabel.nii"))
    if len(regions) == 1:
        found.put("regions", str(regions[0]), "a guess: the only labels beside it")
    return found


# Arrays.


def describe_array_file(path: Path, variable: str | None) -> Description:
    """Describe an HDF5 or MATLAB file: betas of GLMsingle or NSD, or anything else."""
    found = _describe_betas_array(path) if variable is None else None
    if found is not None:
        return found
    describe = describe_arrays if path.suffix.lower() == ".mat" else describe_hdf5
    return describe(path, variable)


def _describe_betas_array(path: Path) -> Description | None:
    """Describe the betas of GLMsingle or NSD in an HDF5 or MATLAB file; None if there are none."""
    stored = _stored_arrays(path)
    name = next((n for n in ("betasmd", "modelmd") if len(stored.get(n, ())) in (2, 4)), None)
    if name is not None:
        return _glmsingle(path, name, stored[name])
    is_nsd = (
        re.fullmatch(r"betas_session\d+\.hdf5", path.name) and len(stored.get("betas", ())) == 4
    )
    return _nsd(path, stored["betas"]) if is_nsd else None


def describe_glmsingle(path: Path) -> Description | None:
    """Describe GLMsingle's betas in a folder, or in those of subjects and runs below."""
    folders, is_cut = folders_below(path)
    levels: dict[int, list[Path]] = {}
    for folder in (path, *folders):
        levels.setdefault(len(folder.parts), []).append(folder)
    for level, kind in product(levels.values(), GLMSINGLE):
        names = naturally(str(p) for folder in level for p in folder.glob(f"{kind}*.*"))
        files = [Path(name) for name in names if name.lower().endswith((".hdf5", ".h5", ".mat"))]
        found = _describe_betas_array(files[0]) if files else None
        if found is None:
            continue
        first = files[0].relative_to(path)
        entry = found.entry | {"path": str(path)}
        for key in ("mask", "regions", "events"):
            if entry.get(key, FILL_IN) != FILL_IN:
                entry[key] = Path(os.path.relpath(entry[key], path)).as_posix()
        begin = {key: entry[key] for key in ("kind", "path", "stimuli", "content")}
        found.entry = begin | {"images": first.as_posix()} | entry
        found.comments["images"] = f"the betas of type {kind[-1]}, the last of GLMsingle's models"
        alike = [file.parent.relative_to(path) for file in files if file.name == first.name]
        return _of_folders(found, path, [path / folder for folder in alike], is_cut)
    return None


def _stored_arrays(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's arrays as load_array gives them, without reading them."""
    contents = list_arrays(path, budget=0).items()
    return {name: x.shape for name, x in contents if not isinstance(x, RepbiasError)}


def _glmsingle(path: Path, name: str, shape: tuple[int, ...]) -> Description:
    n_trials = shape[-1]
    axes = ["unit", "trial"] if len(shape) == 2 else ["x", "y", "z", "trial"]
    if len(shape) == 4 and shape[1] == shape[2] == 1:
        axes = ["unit", "_", "_", "trial"]
    sizes = " x ".join(map(str, shape))
    found = Description([f"betas of GLMsingle: {name}, {sizes} ({', '.join(axes)})"])
    _put_content(found, path, "betas")
    found.comments.pop("content")
    found.put("variable", name)
    found.put("axes", axes)
    places = _places(path.parent, path.parent)
    _put_events(found, path, n_trials, places=places)
    if "x" in axes:
        _put_images(found, places, shape[:3], str, path.as_posix())
    return found


def _nsd(path: Path, shape: tuple[int, ...]) -> Description:
    sizes = " x ".join(map(str, shape))
    found = Description([f"betas of the Natural Scenes Dataset: {sizes} (trial, z, y, x)"])
    parts = path.absolute().parts
    _put_content(found, path, "betas")
    found.comments.pop("content")
    inside = "nsddata_betas" in parts and re.fullmatch(r"subj(\d+)", parts[-4])
    if inside:
        root = Path(*parts[: parts.index("nsddata_betas")])
        found.put("path", str(root))
        template = "/".join([*parts[parts.index("nsddata_betas") : -4], "subj{subject}"])
        template += "/".join(["", *parts[-3:-1], "betas_session{session}.hdf5"])
        found.put("images", template, "all sessions of all subjects that are there")
    found.put("variable", "betas")
    found.put("axes", ["trial", "z", "y", "x"], "as MATLAB wrote it")
    found.put("scale", 300, "integers are 300 times the percent signal change")
    events = "nsddata/ppdata/subj{subject}/behav/responses.tsv"
    if not inside or not (root / events.replace("{subject}", inside[1])).is_file():
        found.put("events", FILL_IN, f"in NSD's own folders {events}")
        return found
    found.put("events", events)
    columns = {"stimulus": "73KID", "session": "SESSION", "run": "RUN"}
    found.put("columns", columns, "73KID counts the 73,000 images from 1")
    space = f"nsddata/ppdata/subj{{subject}}/{parts[-3]}"
    folder = root / space.replace("{subject}", inside[1])
    if (folder / "brainmask.nii.gz").is_file():
        rois = [p.name.removesuffix(".nii.gz") for p in sorted((folder / "roi").glob("*.nii.gz"))]
        choice = f"regions: {space}/roi/NAME.nii.gz ({some(rois, 9) or 'none'})"
        found.put("mask", f"{space}/brainmask.nii.gz", f"or, for an RSA of each region, {choice}")
    return found
