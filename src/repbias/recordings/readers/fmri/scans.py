"""The files of a recording of fMRI, found by templates of their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Suffixes of files by their kind; all others are arrays. CIFTI files end in .nii too.
SUFFIXES = {
    "CIFTI": (".dscalar.nii", ".dtseries.nii", ".pscalar.nii", ".ptseries.nii"),
    "GIFTI": (".gii",),
    "NIfTI": (".nii", ".nii.gz", ".img"),
}
#: Placeholders of a template, and columns of events, that identify a scan.
SCAN = ("subject", "session", "run")
#: What each placeholder of a template matches.
PLACEHOLDERS = {**dict.fromkeys((*SCAN, "hemi"), "[^/_]+"), "stimulus": "[^/]+"}
#: Placeholders that the templates of other files may repeat. The region of a voxel is the same in
#: all sessions and runs of a subject, and events are in both hemispheres.
REPEATED = {
    "events": SCAN,
    "confounds": SCAN,
    "mask": (*SCAN, "hemi"),
    "regions": ("subject", "hemi"),
}


@dataclass(frozen=True)
class Scan:
    """One image or array.

    Attributes
    ----------
    image : its file
    paths : the files of its "events", "mask", "regions", "confounds" and "sidecar" (metadata in
        JSON), as far as they exist
    where : values of the template's placeholders: "subject", "session", "run", "hemi", "stimulus"
    masks : the masks of all runs of its subject and hemisphere
    """

    image: Path
    paths: dict[str, Path]
    where: dict[str, str]
    masks: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """What kind of file it is: "NIfTI", "GIFTI", "CIFTI" or "array"."""
        return kind_of(self.image)

    @property
    def is_array(self) -> bool:
        """Whether it is an array of volumes and voxels, not an image."""
        return self.kind == "array"


def kind_of(path: Path) -> str:
    """Return which kind a file is of by its name: "NIfTI", "GIFTI", "CIFTI" or "array"."""
    name = path.name.lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if name.endswith(suffixes)), "array")


def fill(name: str, template: str, where: Mapping[str, str]) -> str:
    """Replace the placeholders of another template by their values for an image."""

    def value(match: re.Match[str]) -> str:
        part = match.group(1)
        if part not in where or part not in REPEATED[name]:
            reason = "is not in 'images'"
            if part in where:
                *others, last = [f"{{{known}}}" for known in REPEATED[name]]
                reason = f"is not allowed; only {', '.join(others)} and {last} are"
            raise ValueError(f"{name}: {{{part}}} {reason}")
        return where[part]

    return re.sub(r"\{(\w*)\}", value, template)
