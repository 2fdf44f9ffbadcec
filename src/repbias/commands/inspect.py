"""``repbias inspect``: what is in a file, and the YAML that reads it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repbias.base.spec import RepbiasError
from repbias.commands import bids, fmri, formats, meeg, models, nwb, physiology
from repbias.commands.arrays import describe_arrays
from repbias.commands.description import Description, name_of
from repbias.commands.folders import describe_files
from repbias.commands.tables import describe_table
from repbias.io.arrays import ARRAY_SUFFIXES
from repbias.io.text_tables import SEPARATORS
from repbias.io.unread import refuse_unread
from repbias.io.untrusted import readable
from repbias.recordings.readers.fmri.scans import SUFFIXES
from repbias.recordings.readers.mne.files import TESTED, UNTESTED

Describe = Callable[[Path, str | None], Description]
#: Extension of a file to the function that describes it: (path, --variable or None).
DESCRIBE: dict[str, Describe] = {
    **dict.fromkeys((*ARRAY_SUFFIXES, ".json"), describe_arrays),
    **dict.fromkeys((".h5", ".hdf5", ".mat"), fmri.describe_array_file),
    **dict.fromkeys(SEPARATORS, describe_table),
    ".nwb": nwb.describe_nwb,
    **dict.fromkeys((*TESTED, *UNTESTED), meeg.describe_meeg),
    ".nc": formats.describe_brainscore,
    **dict.fromkeys((*SUFFIXES["CIFTI"], ".dlabel.nii", ".plabel.nii"), fmri.describe_cifti),
    **dict.fromkeys((".nii", ".nii.gz", ".img", ".hdr"), fmri.describe_nifti),
    ".gii": fmri.describe_gifti,
    **dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz"), formats.describe_images),
}
#: Functions that describe a folder, or return None if it is not of their kind; the first that
#: describes it is taken, so a folder of some software comes before files of any origin.
FOLDERS: list[Callable[[Path], Description | None]] = [
    bids.describe_fmriprep,
    physiology.describe_phy,
    physiology.describe_suite2p,
    nwb.describe_nwb_folder,
    meeg.describe_meeg_folder,
    bids.describe_raw,
    fmri.describe_glmsingle,
    fmri.describe_folder,
    models.describe_model_folder,
]


def run(
    file: Path, variable: str | None = None, what: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Print what is in a file and the block that reads it; return the exit code, and the same."""
    found = describe(file, variable, as_model=what == "model")
    print(file)
    print("\n".join(f"  {line}" for line in found.lines))
    entries: list[dict[str, Any]] = []
    if found.entry:
        name = name_of(file)
        print(f"\n{found.block(name)}", end="")
        keys = ("section", "name", "entry", "comments")
        entries = [dict(zip(keys, entry, strict=True)) for entry in found.entries(name)]
    return 0, {"file": file, "content": found.lines, "entries": entries}


def describe(path: Path, variable: str | None = None, as_model: bool = False) -> Description:
    """Describe a file or folder; as a model that is already computed, if it is called one.

    Raises
    ------
    RepbiasError
        If there is no such file, its kind is unknown, or it cannot be read.
    """
    if not path.exists():
        raise RepbiasError(f"{path}: no such file or folder")
    refuse_unread(path)
    ending = next((e for e in DESCRIBE if path.name.lower().endswith(e)), path.suffix)
    describe_it = _describe_folder if path.is_dir() else DESCRIBE.get(ending)
    if describe_it is None and ending == ".py":
        raise RepbiasError(
            f"{path}: code, which is not looked into; a function in it that returns a "
            f"torch.nn.Module is a model: networks: {{NAME: {{kind: torch, factory: {path.stem}:"
            "FUNCTION, layers: [...]}} (docs/your-network.md)"
        )
    if describe_it is None and not as_model:
        raise RepbiasError(
            f"{path}: unknown kind of file {ending!r}; expected a folder or {', '.join(DESCRIBE)}"
        )
    with readable(path, ending[1:]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if as_model:
            return models.from_rsatoolbox(path) or models.describe_model(path, variable)
        if not path.is_dir() and models.looks_like_a_model(path):
            return models.describe_model(path, variable)
        assert describe_it is not None
        return describe_it(path, variable)


def _describe_folder(path: Path, variable: str | None) -> Description:
    """Describe a folder: that of some software, or else by the files in it."""
    formats.refuse_variable(path, variable)
    found = next(filter(None, (describe_it(path) for describe_it in FOLDERS)), None)
    return found or describe_files(path, describe, DESCRIBE)
