"""``repbias init``: the folder of a new study."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import yaml

from repbias.base.spec import RepbiasError
from repbias.commands.description import FILL_IN, Description, flow, name_of, unfilled
from repbias.commands.inspect import describe
from repbias.commands.tables import put_stimuli
from repbias.io.text_tables import SEPARATORS, read_table

#: The name of the set of stimuli in a new study.
SHOWN = "shown"
STUDY = f"""\
# Replace every {FILL_IN}; then: repbias check study.yaml
study: {{name}}
title: ""

# What was shown: a folder, an archive or an array of images. An image's id is its file name without
# the extension. For other stimuli, give a table: a CSV file with a column stimulus_id.
{{images}}
# What the recording is compared with. {{networks}}

{{recordings}}"""
NETWORKS = """\
Pixels are the baseline that a network should beat; kind:
# torch takes any model of your own.
networks:
  pixels: {kind: pixels}"""
#: Of stimuli that only a table describes.
FEATURES = f"""\
Models are groups of columns of the table.
networks:
  known: {{kind: features, spaces: {{first: [{FILL_IN}]}}}}"""
NO_RECORDING = """\
# What was recorded: paste what 'repbias inspect FILE' prints.
recordings: {}
"""
README = """\
# {name}

In this folder:

{fill_in}* Check the study: `repbias check study.yaml`
* Run it: `repbias run study.yaml`

The report will be `results/{name}/report.html`.
"""
TO_FILL_IN = f"* Replace every {FILL_IN} in `study.yaml`.\n"
#: Studies to start from; that of a recording is written here.
TEMPLATES = Path(__file__).parent / "templates"
#: Keys of a recording that are paths.
FILES = ("path", "more_files", "leave_out", "trials", "events", "channels", "mask", "regions")
GITIGNORE = "results/\n.snakemake/\n"


def run(
    folder: Path,
    recording: Path | None = None,
    images: Path | None = None,
    template: str = "recording",
) -> tuple[int, dict[str, Any]]:
    """Write the folder and print the next step; return the exit code, and what was written.

    Raises
    ------
    RepbiasError
        If one of the files exists, or the recording or the images cannot be read, or belong to no
        study of this kind.
    """
    if folder.exists() and not folder.is_dir():
        raise RepbiasError(f"{folder}: is a file; expected the name of a folder")
    name = name_of(folder.resolve())
    if template == "recording":
        shown = _images(folder, images)
        blocks = {
            "images": shown.block(SHOWN),
            "networks": NETWORKS if "path" in shown.entry else FEATURES,
            "recordings": NO_RECORDING if recording is None else _recordings(folder, recording),
        }
        content = {"study.yaml": STUDY.format(name=flow(name), **blocks)}
    elif recording or images:
        raise RepbiasError(f"--template {template}: takes no --recording and no --images")
    else:
        content = _from_template(template, name)
    to_fill_in = FILL_IN in content["study.yaml"]
    content |= {
        "README.md": README.format(name=name, fill_in=TO_FILL_IN if to_fill_in else ""),
        ".gitignore": GITIGNORE,
    }
    existing = [str(folder / file) for file in content if (folder / file).exists()]
    if existing:
        raise RepbiasError(f"{', '.join(existing)}: exists already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in content.items():
        (folder / file).write_text(text, encoding="utf-8")
    written = [str(folder / file) for file in content]
    print(f"Wrote {', '.join(written)}.")
    next_step = "fill in study.yaml, repbias check" if to_fill_in else "repbias run"
    print(f"Next: cd {shlex.quote(str(folder))}, {next_step} study.yaml.")
    return 0, {
        "folder": folder,
        "files": written,
        "to_fill_in": list(unfilled(yaml.safe_load(content["study.yaml"]))),
    }


def _from_template(template: str, name: str) -> dict[str, str]:
    """Return the files of a template, with the name of the study."""
    study = (TEMPLATES / f"{template}.yaml").read_text(encoding="utf-8")
    content = {"study.yaml": study.replace("study: my_study", f"study: {flow(name)}", 1)}
    if template == "torch":
        content["my_models.py"] = (TEMPLATES / "my_models.py").read_text(encoding="utf-8")
    return content


def _images(folder: Path, images: Path | None) -> Description:
    """Describe the images or the table of stimuli, with paths relative to the folder."""
    if images is None:
        return Description([], {"path": FILL_IN}, section="images")
    found = describe(images)
    found = found.stimuli or found
    if found.section != "images" and images.suffix.lower() in SEPARATORS:
        found = Description([], section="images")
        put_stimuli(found, images, read_table(images))
    if found.section != "images":
        raise RepbiasError(
            f"{images}: no images, expected a folder, an archive or an array of them, or a table "
            "that describes stimuli"
        )
    for key in {"path", "table", "stimulus_ids"} & found.entry.keys():
        if found.entry[key] != FILL_IN:
            found.entry[key] = _relative(folder, Path(found.entry[key]))
    return found


def _recordings(folder: Path, recording: Path) -> str:
    """Return the block that reads the recording, with paths relative to the folder."""
    found = describe(recording)
    if found.section != "recordings" or not found.entry:
        hint = "'repbias inspect' describes its content"
        if found.section == "recordings" and found.lines:
            hint = found.lines[-1]  # what is needed to read it
        raise RepbiasError(f"{recording}: no recording; {hint}")
    entry = found.entry
    # Templates are relative to the path.
    paths = {"path"} if {"images", "template"} & entry.keys() else set(FILES)
    for key in paths & entry.keys():
        value = entry[key]
        if isinstance(value, list):
            entry[key] = [_relative(folder, Path(file)) for file in value]
        elif value not in (FILL_IN, "headers"):
            entry[key] = _relative(folder, Path(value))
    entry["stimuli"], found.stimuli = SHOWN, None
    found.comments.pop("stimuli", None)
    return found.block(name_of(recording))


def _relative(folder: Path, path: Path) -> str:
    """Return a path for the study: relative if it lies beside the folder, so that both can move."""
    parent, path = folder.resolve().parent, path.resolve()
    return os.path.relpath(path, folder.resolve()) if path.is_relative_to(parent) else str(path)
