"""The files of a recording of fMRI, found by templates of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = (".nii", ".nii.gz")
#: Placeholders of a template, and columns of events, that identify a scan.
SCAN = ("subject", "session", "run")


@dataclass(frozen=True)
class Scan:
    """One image or array.

    Attributes
    ----------
    image : its file
    paths : the files of its "events", "mask", "regions", "confounds" and "sidecar" (metadata in
        JSON), as far as they exist
    where : values of the template's placeholders: "subject", "session", "run"
    """

    image: Path
    paths: dict[str, Path]
    where: dict[str, str]

    @property
    def is_array(self) -> bool:
        """Whether it is an array of volumes and voxels, not a NIfTI image."""
        return not self.image.name.lower().endswith(IMAGE_SUFFIXES)


def match_images(folder: Path, template: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the files that match a template, and the values of its placeholders."""
    parts = re.split(r"(\{\w*\}|\*)", template)
    pattern, seen = "", set()
    for part in parts:
        name = part.strip("{}")
        if part == "*":
            pattern += "[^/]*"
        elif not part.startswith("{"):
            pattern += re.escape(part)
        elif name not in SCAN:
            expected = ", ".join(f"{{{known}}}" for known in SCAN)
            raise ValueError(f"images: unknown placeholder {part}; expected {expected}")
        else:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>[^/_]+)"
            seen.add(name)
    found: dict[tuple[str, ...], Path] = {}
    for path in sorted(folder.glob(re.sub(r"\{\w*\}", "*", template))):
        match = re.fullmatch(pattern, path.relative_to(folder).as_posix())
        if match and path.is_file():
            key = tuple(match.groupdict().values())
            if key in found:
                raise ValueError(f"images: {found[key]} and {path} are the same scan")
            found[key] = path
            yield path, match.groupdict()
    if not found:
        raise ValueError(f"images: no file in {folder} matches {template!r}")


def fill(name: str, template: str, where: Mapping[str, str]) -> str:
    """Replace the placeholders of another template by their values for an image."""

    def value(match: re.Match[str]) -> str:
        part = match.group(1)
        if part not in where or (name == "regions" and part != "subject"):
            reason = "is not in 'images'"
            if part in where:  # a voxel has the same region in all sessions and runs of a subject
                reason = "is not allowed; only {subject} is"
            raise ValueError(f"{name}: {{{part}}} {reason}")
        return where[part]

    return re.sub(r"\{(\w*)\}", value, template)
