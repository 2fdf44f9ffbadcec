"""Describe fMRI: images, folders of betas, surfaces, and arrays of GLMsingle and NSD."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

from repbias.base.order import natural_key, naturally, orders
from repbias.base.spec import RepbiasError
from repbias.commands.arrays import describe_arrays
from repbias.commands.bids import with_placeholders
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import refuse_variable
from repbias.commands.hdf5 import describe_hdf5
from repbias.io.arrays import list_arrays
from repbias.io.text_tables import SEPARATORS, read_header, read_table
from repbias.recordings.readers.fmri.scans import SUFFIXES, kind_of

#: Groups of numbered images in the folders of SPM and FSL; the first that exists is described.
NUMBERED = ("beta_#", "cope#", "con_#", "pe#")
#: What the files of GLMsingle's models begin with, the last model first.
GLMSINGLE = ("TYPED", "TYPEC", "TYPEB")
#: Parts of names of images that are no betas.
NO_BETAS = ("mask", "anat", "t1", "mean", "std", "var", "rpv", "resms", "roi", "label", "atlas")
#: Names of the two hemispheres in names of files.
HEMISPHERES = (("hemi-L", "hemi-R"), ("lh.", "rh."), (".L.", ".R."), ("_L_", "_R_"))
#: Folders whose images are opened, to see whether they are betas.
MAX_FOLDERS = 20
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
    _put_events(found, path, expected=path.with_name(f"{name}events.tsv"))
    _put_mask(found, path.parent, image.shape[:3], str)
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
    found: Description, path: Path, n: int | None = None, expected: Path | None = None
) -> None:
    """Write the table of events: the expected one, or the only one with a row for n volumes."""
    tables = [p for p in sorted(path.parent.iterdir()) if p.suffix in SEPARATORS]
    fitting = [p for p in tables[:MAX_TABLES] if n is not None and _n_rows(p) == n]
    known, guess = None, ""
    if expected is not None and expected.is_file():
        known = str(expected)
    elif len(fitting) == 1:
        known, guess = str(fitting[0]), f"a guess, as it has {n} rows; "
    found.put(
        "events",
        known or FILL_IN,
        f"{guess}table with one row per volume, or with onsets; if its first line has no names, "
        f"add header: [stimulus, run]; found: {some([p.name for p in tables]) or 'none'}",
    )
    columns = read_header(Path(known)) if known and guess else []
    if columns and not {"stimulus", "trial_type"} & set(columns):
        found.put("columns", {"stimulus": FILL_IN}, f"the columns are {some(columns, 9)}")


def _n_rows(path: Path) -> int:
    try:
        return len(read_table(path))
    except RepbiasError:
        return 0


def _put_mask(found: Description, folder: Path, shape: Sequence[int], name: Any) -> None:
    """Write the mask, if one image of a folder is called so and has the shape."""
    masks = [p for p in sorted(folder.glob("*mask*.nii*")) if _shape(p) == tuple(shape)]
    if len(masks) == 1:
        found.put("mask", name(masks[0]), "a guess from its name and shape")


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
    found = _describe_betas(path, path)
    if found is not None:
        return found
    for level in ("*/", "*/*/"):  # folders only
        alike: dict[str, list[Path]] = {}
        for name in naturally(str(p) for p in path.glob(level)):
            folder = Path(name).relative_to(path)
            if not any(part.startswith(".") for part in folder.parts) and _images(path / folder):
                alike.setdefault(with_placeholders(folder.as_posix()), []).append(folder)
        for template, folders in islice(alike.items(), MAX_FOLDERS):
            found = _describe_betas(path, path / folders[0])
            if found is not None:
                if "{" not in template:  # those with images called alike
                    others = [folder for some_ in alike.values() for folder in some_]
                    called = _template(path / folders[0])
                    folders = [folder for folder in others if _template(path / folder) == called]
                return _of_folders(found, folders)
    return None


def _of_folders(found: Description, folders: list[Path]) -> Description:
    """Let the entry of the betas in the first of some folders read those in all of them."""
    first = folders[0].parts
    template: list[str] = []
    for values in zip(*(folder.parts for folder in folders), strict=True):
        part = with_placeholders(values[0])
        if {with_placeholders(value) for value in values} != {part}:
            prefix = re.sub(r"\d+$", "", _shared_start(values))
            if any("_" in value.removeprefix(prefix) for value in values):
                return found  # no placeholder matches these
            name = "session" if any("{subject}" in before for before in template) else "subject"
            part = f"{prefix}{{{name}}}"
            found.comments["images"] += f"; {{{name}}} is a guess, it may be {{run}}"
        template.append(part)
    for key in {"images", "mask", "events"} & found.entry.keys():
        parts = found.entry[key].split("/")
        for i, (old, new) in enumerate(zip(first, template, strict=True)):
            if parts[: i + 1] == [*template[:i], old]:
                parts[i] = new
        found.entry[key] = "/".join(parts)
    if len(folders) > 1:
        names = some(folder.as_posix() for folder in folders)
        found.lines.insert(0, f"{count(len(folders), 'folder')}: {names}")
        found.lines.insert(1, f"The first one, {folders[0].as_posix()}:")
    return found


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
        and not any(part in path.name.lower() for part in NO_BETAS)
    ]
    return sorted(paths, key=lambda path: natural_key(path.name))


def _find_betas(folder: Path) -> Betas | None:
    """Return the images of a kind, or those that differ in a number only."""
    images = _images(folder)
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
        prefix = _shared_start(_names(paths)).rstrip("0123456789")
        return Betas(paths, f"{prefix}*{_ending(paths)}")
    kinds = Counter(map(kind_of, images))
    if not kinds:
        return None
    kind, _ = kinds.most_common(1)[0]
    paths = [path for path in images if kind_of(path) == kind]
    return Betas(paths, _named(paths)) if len(_names(paths)) > 1 else None


def _template(folder: Path) -> str | None:
    betas = _find_betas(folder)
    return betas and betas.template


def _names(paths: Iterable[Path]) -> list[str]:
    """Return the names of files, with placeholders; each once."""
    return list(dict.fromkeys(with_placeholders(path.name) for path in paths))


def _named(paths: Sequence[Path]) -> str:
    """Return a template in which the part of a name that differs is the stimulus."""
    # Up to a separator: face and fruit share a letter by chance.
    prefix = re.sub(r"[^-_.]*$", "", _shared_start(_names(paths)))
    return f"{prefix}{{stimulus}}{_ending(paths)}"


def _shared_start(names: Sequence[str]) -> str:
    """Return the characters that all names begin with."""
    alike = [len(set(letters)) == 1 for letters in zip(*names, strict=False)]
    return names[0][: [*alike, False].index(False)]


def _shared_end(names: Sequence[str]) -> str:
    return _shared_start([name[::-1] for name in names])[::-1]


def _ending(paths: Iterable[Path]) -> str:
    """Return the end that all names share, from a separator on."""
    ending = _shared_end(_names(paths))
    return re.sub(r"^[^-_.]*", "", ending)


def _describe_betas(root: Path, folder: Path) -> Description | None:
    """Describe the betas in a folder; paths in the entry are relative to its root."""
    betas = _find_betas(folder)
    if betas is None:
        return None
    kind = kind_of(betas.paths[0])
    if kind == "NIfTI":
        shapes = Counter(shape for path in betas.paths if (shape := _shape(path)) is not None)
        if len(shapes) != 1 or len(next(iter(shapes))) != 3:
            return None
    names = [path.name for path in betas.paths]
    found = Description([f"{count(len(names), 'image')} ({kind}): {some(names)}"])
    _put_content(found, root, "betas")

    def relative(path: Path) -> str:
        return path.relative_to(root).as_posix()

    template = betas.template
    if kind == "GIFTI":
        template = _with_hemispheres(template, _names(betas.paths))
    headers = _spm_names(found, betas.paths) if kind == "NIfTI" else []
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
        _put_events(found, betas.paths[0], len(names))
        if found.entry["events"] == FILL_IN:
            instead = f"or {where}{_named(betas.paths)} and no events, if names tell the stimulus"
            found.comments["images"] += f"; {instead}"
        else:
            found.entry["events"] = relative(Path(found.entry["events"]))
        if len(orders(names)) > 1:
            found.lines.append("Names sort in several ways: the table needs a column file.")
    if kind == "NIfTI":
        for place in (folder, *folder.parents):
            if "mask" not in found.entry and place.is_relative_to(root):
                _put_mask(found, place, next(iter(shapes)), relative)
    return found


def _with_hemispheres(template: str, names: list[str]) -> str:
    """Put {hemi} into a template, if the names are of both hemispheres."""
    for left, right in HEMISPHERES:
        if all(any(side in name for name in names) for side in (left, right)):
            side = left.replace("L", "{hemi}").replace("lh", "{hemi}")
            split = [name.split(left, 1) for name in names if left in name]
            before, rest = split[0][0], [rest for _, rest in split]
            start = re.sub(r"[^-_.]*$", "", _shared_start(rest))
            end = re.sub(r"^[^-_.]*", "", _shared_end(rest))
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
    """Describe GLMsingle's betas in a folder, or in those of subjects up to two levels below."""
    for level, kind in product(("", "*/", "*/*/"), GLMSINGLE):
        names = naturally(str(p) for p in path.glob(f"{level}{kind}*.*"))
        files = [Path(name) for name in names if name.lower().endswith((".hdf5", ".h5", ".mat"))]
        found = _describe_betas_array(files[0]) if files else None
        if found is None:
            continue
        first = files[0].relative_to(path)
        entry = found.entry | {"path": str(path)}
        for key in ("mask", "events"):
            if entry.get(key, FILL_IN) != FILL_IN:
                entry[key] = Path(entry[key]).relative_to(path).as_posix()
        begin = {key: entry[key] for key in ("kind", "path", "stimuli", "content")}
        found.entry = begin | {"images": first.as_posix()} | entry
        found.comments["images"] = f"the betas of type {kind[-1]}, the last of GLMsingle's models"
        alike = [file.parent.relative_to(path) for file in files if file.name == first.name]
        return _of_folders(found, alike)
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
    _put_events(found, path, n_trials)
    if "x" in axes:
        _put_mask(found, path.parent, shape[:3], str)
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
