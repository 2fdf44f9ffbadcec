"""Describe recordings of MEG and EEG: single files, and folders of several subjects."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repbias.base.identities import as_ids
from repbias.commands.bids import with_placeholders
from repbias.commands.cohorts import guess_of, shared_end, shared_start, template_of
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.formats import (
    EVENT_STIMULUS,
    examples,
    may_be_stimulus,
    put_stimulus,
    refuse_variable,
)
from repbias.io.text_tables import is_missing, read_table, typed
from repbias.io.untrusted import readable
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.mne.eeglab import check_eeglab, header_of, locked_events
from repbias.recordings.readers.mne.events import BOUNDARIES, NO_STIMULI, field_columns
from repbias.recordings.readers.mne.files import TESTED, UNTESTED, open_file
from repbias.recordings.readers.mne.parts import FOLDERS
from repbias.recordings.readers.templates import fill, match

#: Columns of events of EEGLAB that name nothing that was shown.
PLACES = ("latency", "duration", "epoch", "urevent", "init_index", "init_time")
#: Where folders of BIDS keep what was derived from recordings, or came before them.
OTHER_FOLDERS = ("derivatives", "sourcedata", "code", "stimuli")
#: Names of trigger channels that hold all triggers.
TRIGGERS = ("STI101", "STI 014", "STI014", "Status", "Trigger")
#: An entity of BIDS in a path, and its value.
_ENTITY = "(?<![A-Za-z0-9]){}-([^/_.]+)"
#: Common types of channels, to what is measured with them.
MODALITIES = {"mag": "MEG", "grad": "MEG", "eeg": "EEG", "seeg": "iEEG", "ecog": "iEEG"}


@dataclass
class Overview:
    """What is in a file.

    Attributes
    ----------
    size : epochs, samples and times in words
    rate : samples per second
    kinds : types of channels, of each channel
    bads : names of bad channels
    is_epochs : whether it holds epochs
    names : names of the events or markers, of each occurrence
    columns : metadata of epochs, or fields of EEGLAB's events
    triggers : names of trigger channels
    """

    size: str
    rate: float
    kinds: list[str]
    bads: list[str]
    is_epochs: bool
    names: list[str]
    columns: Mapping[str, Any] = field(default_factory=dict)
    triggers: list[str] = field(default_factory=list)


def describe_meeg(path: Path, variable: str | None) -> Description:
    """Describe epochs or a continuous recording, without reading its signals."""
    refuse_variable(path, variable)
    is_eeglab = path.suffix.lower() == ".set"
    overview = _of_eeglab(path) if is_eeglab else _of_opened(path)
    found = Description(list(_lines(overview)))
    found.put("kind", "mne")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    if overview.is_epochs:
        _put_epochs(found, overview)
    else:
        _put_continuous(found, overview, path)
    kinds = list(dict.fromkeys(overview.kinds))
    found.put("picks", "data", f"all channels, or types of {', '.join(kinds)}, or names")
    found.put(
        "bin_s", max(0.01, 1 / overview.rate), "average over time bins of this width in seconds"
    )
    modality = next((MODALITIES[kind] for kind in kinds if kind in MODALITIES), None)
    if modality is not None:
        found.put("modality", modality)
    return found


def describe_events(path: Path) -> Description | None:
    """Describe the recording that a table of events belongs to; None if none is beside it."""
    if not path.stem.endswith("_events"):
        return None
    files = [p for p in sorted(path.parent.iterdir()) if p.name.lower().endswith(tuple(TESTED))]
    file = next((p for p in files if _beside(p, "events") == path), None)
    if file is None:
        return None
    found = describe_meeg(file, None)
    found.lines.insert(
        0, f"These are the events of {file.name}, beside them; the block reads both."
    )
    return found


def _of_opened(path: Path) -> Overview:
    """Return what MNE says of a file whose signals it does not read."""
    opened = open_file(path)
    is_epochs = hasattr(opened, "drop_log")
    kinds = opened.get_channel_types()
    rate = opened.info["sfreq"]
    common = {"rate": rate, "kinds": kinds, "bads": list(opened.info["bads"])}
    if not is_epochs:
        return Overview(
            size=_continuous(opened.n_times, rate),
            is_epochs=False,
            names=opened.annotations.description.tolist(),
            triggers=[n for n, kind in zip(opened.ch_names, kinds, strict=True) if kind == "stim"],
            **common,
        )
    names = {code: name for name, code in opened.event_id.items()}
    metadata = opened.metadata
    columns = {} if metadata is None else {str(n): metadata[n].to_numpy() for n in metadata}
    return Overview(
        size=f"{count(len(opened), 'epoch')} (MNE), {len(opened.times)} samples from "
        f"{opened.tmin:g} to {opened.tmax:g} s, {rate:g} Hz",
        is_epochs=True,
        names=[names[code] for code in opened.events[:, 2].tolist()],
        columns=columns,
        **common,
    )


def _of_eeglab(path: Path) -> Overview:
    """Return what the header of an EEGLAB file says: MNE would read the signals of epochs."""
    import_optional("mne", "MEG and EEG", "mne")
    from mne.io.eeglab.eeglab import _get_info, _read_annotations_eeglab
    from mne.utils import Bunch

    with readable(path, "a recording (set)"):
        check_eeglab(path)
        header = header_of(path)
        counts = {name: int(header.get(name, 1)) for name in ("nbchan", "pnts")}
        eeg = Bunch(**header | counts)
        info, *_ = _get_info(eeg, eog=(), montage_units="auto")
        kinds, rate = info.get_channel_types(), info["sfreq"]
        common = {"rate": rate, "kinds": kinds, "bads": []}
        if int(header.get("trials", 1)) < 2:
            names = _read_annotations_eeglab(eeg).description.tolist()
            size = _continuous(eeg.pnts, rate)
            return Overview(size=size, is_epochs=False, names=names, **common)
        events = [event for of_epoch in locked_events(path, header) for event in of_epoch]
        fields = {n: x for n, x in field_columns(events).items() if n not in PLACES}
        return Overview(
            size=f"{count(int(header['trials']), 'epoch')} (EEGLAB), {eeg.pnts} samples from "
            f"{float(header['xmin']):g} to {float(header['xmax']):g} s, {rate:g} Hz",
            is_epochs=True,
            names=as_ids([event["type"] for event in events]).tolist(),
            columns=fields if len(fields) > 1 else {},
            **common,
        )


def _continuous(n_samples: int, rate: float) -> str:
    return f"continuous, {n_samples} samples, {n_samples / rate:g} s, {rate:g} Hz"


def _lines(overview: Overview) -> Iterable[str]:
    """Yield a description, line by line."""
    yield overview.size
    kinds = Counter(overview.kinds)
    yield f"channels: {some((f'{kind} ({n})' for kind, n in kinds.items()), 8)}"
    if overview.bads:
        yield f"bad channels, which are left out: {some(overview.bads, 8)}"
    names = Counter(overview.names)
    what = "events" if overview.is_epochs else "markers"
    listed = some(f"{name} ({n})" for name, n in names.items())
    yield f"{what}: {len(names)}: {listed}" if names else f"{what}: none"
    gaps = sum(n for name, n in names.items() if name.lower().startswith(BOUNDARIES))
    if gaps:
        yield f"gaps: {gaps}; epochs that span one are left out"
    if overview.triggers:
        yield f"trigger channels: {some(overview.triggers, 8)}"
    if overview.columns:
        yield "fields of the events:" if "type" in overview.columns else "metadata:"
        for name, values in overview.columns.items():
            yield f"  {name}: {examples(values)}"


def _put_epochs(found: Description, overview: Overview) -> None:
    """Say what names the stimulus of an epoch."""
    if overview.columns:
        put_stimulus(found, overview.columns)
    else:
        found.lines.append("There are no metadata: the names of the events serve as stimulus ids.")


def _put_continuous(found: Description, overview: Overview, path: Path) -> None:
    """Say where the onsets of stimuli are, and of what the epochs consist."""
    events, channels = (_beside(path, name) for name in ("events", "channels"))
    names = [n for n in dict.fromkeys(overview.names) if not n.lower().startswith(NO_STIMULI)]
    if events is not None:
        _put_table(found, events, overview)
    elif names:
        _put_markers(found, names)
    elif overview.triggers:
        chosen = next((n for n in TRIGGERS if n in overview.triggers), overview.triggers[0])
        found.put("stim_channel", chosen, "its codes serve as stimulus ids; rename: translates")
    else:
        found.put("events", FILL_IN, "table with a row per stimulus: its onset in seconds, its id")
        found.put("stimulus", FILL_IN, "the column of the table that names the stimulus")
    if channels is not None:
        found.put("channels", str(channels), "types of channels, and which are bad")
    around = "epochs around the onset of a stimulus, in seconds: a guess"
    found.put("from_s", -0.1, around)
    found.put("to_s", 0.5)
    found.put("baseline", [-0.1, 0], "its average is subtracted: a guess")


def _beside(path: Path, name: str) -> Path | None:
    """Return the table of BIDS beside a recording, if there is one."""
    stems = filter(None, (path.name.rpartition("_")[0], path.name.partition(".")[0]))
    tables = [path.with_name(f"{stem}_{name}.tsv") for stem in stems]
    return next((table for table in tables if table.is_file()), None)


def _put_markers(found: Description, names: Sequence[str]) -> None:
    """Say which markers are of stimuli; types of markers are before a slash in BrainVision."""
    of_stimuli = [name for name in names if name.startswith("Stimulus/")]
    if of_stimuli and len(of_stimuli) < len(names):
        found.put("markers", ["Stimulus/*"], f"a guess; found: {some(names, 8)}")
    found.lines.append(
        "The names of markers serve as stimulus ids; with rename: names.csv they get others."
    )


def _put_table(found: Description, path: Path, overview: Overview) -> None:
    """Describe a table of events, and name the column that probably holds the stimulus."""
    table = {name: typed(cells) for name, cells in read_table(path).items()}
    n_rows = len(next(iter(table.values())))
    found.lines.append(f"{path.name}: {count(n_rows, 'row')}")
    found.lines += [f"  {name}: {examples(values)}" for name, values in table.items()]
    found.put(
        "events", str(path), f"{n_rows} rows; the file itself has {len(overview.names)} markers"
    )
    shown = [name for name in EVENT_STIMULUS if name in table and not is_missing(table[name]).all()]
    if not shown:
        put_stimulus(found, table)
        return
    named = table[shown[0]][~is_missing(table[shown[0]])]
    others = may_be_stimulus({name: x for name, x in table.items() if name != shown[0]})
    guess = f"a guess ({examples(named)}){others and f'; or {others}'}"
    found.put("stimulus", shown[0], guess)


# Folders.


def describe_meeg_folder(path: Path) -> Description | None:
    """Describe a folder of recordings, as in BIDS or one file per subject; None if it has none."""
    if path.name.lower().endswith(FOLDERS):
        return describe_meeg(path, None)
    files = _recordings_in(path)
    if not files:
        return None
    templates: dict[str, list[Path]] = {}
    for file in files:
        template = with_placeholders(file.relative_to(path).as_posix())
        templates.setdefault(template, []).append(file)
    if not any("{subject}" in template for template in templates):
        return _describe_unnamed(path, files)
    lines = [f"{count(len(files), 'recording')} of MEG or EEG"]
    for template, members in templates.items():
        subjects = dict.fromkeys(_entity("sub", file) for file in members)
        lines.append(f"  {template}: {len(members)}, {count(len(subjects), 'subject')}")
    # A recording at rest has no events.
    chosen = min(templates, key=lambda t: (-_tables(templates[t], "events"), -len(templates[t]), t))
    # The tables of one that has events are those of the others.
    members = sorted(templates[chosen], key=lambda file: _beside(file, "events") is None)
    found = describe_meeg(members[0], None)
    found.lines = [*lines, f"{members[0].relative_to(path)}:", *(f"  {x}" for x in found.lines)]
    others = [template for template in templates if template != chosen]
    guess = f"a guess; or {', or '.join(others)}" if others else ""
    _point_to(found, path, chosen, guess)
    stem = chosen.rpartition("_")[0]
    for name in ("events", "channels"):
        if name in found.entry and found.entry[name] != FILL_IN:
            found.entry[name] = f"{stem}_{name}.tsv"
            _say_without(found, path, name)
    return found


def _say_without(found: Description, path: Path, name: str) -> None:
    """Say which files of a template have no table of their own; leave out those without events."""
    files = list(match("template", path, found.entry["template"]))
    table = found.entry[name]
    lacking = {
        file: where for file, where in files if not (path / fill(name, table, where)).is_file()
    }
    if not lacking:
        return
    names = some((file.relative_to(path) for file in lacking), 8)
    n = len(files) - len(lacking)
    found.lines.append(f"Only {n} of {len(files)} have {name}.tsv; without: {names}")
    if name == "events":
        found.put("leave_out", [*lacking.values()], f"a guess: those without {name}")
    else:
        del found.entry[name]


def _recordings_in(path: Path) -> list[Path]:
    """Return the recordings up to four folders deep, without those that continue others."""
    endings = (*TESTED, *UNTESTED)
    found = []
    for folder, names, files in os.walk(path):
        here = Path(folder).relative_to(path)
        names[:] = [n for n in sorted(names) if not n.startswith(".")]
        if not here.parts:
            names[:] = [n for n in names if n not in OTHER_FOLDERS]
        recordings = [n for n in (*names, *files) if n.lower().endswith(endings)]
        found += [p for p in map(Path(folder).joinpath, recordings) if not _of_contrasts(p)]
        names[:] = [n for n in names if n not in recordings and len(here.parts) < 3]
    continues = re.compile(r"split-0*([2-9]|\d\d)|-\d+\.fif")
    return sorted(file for file in found if not continues.search(file.name))


def _of_contrasts(path: Path) -> bool:
    """Whether a file is FSL's text of contrasts, which ends like recordings of KIT."""
    if path.suffix != ".con" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"/"


def _entity(entity: str, file: Path) -> str | None:
    found = re.search(_ENTITY.format(entity), file.as_posix())
    return found and found[1]


def _tables(files: Sequence[Path], name: str) -> int:
    """Return how many of the files have a table of BIDS beside them."""
    return sum(_beside(file, name) is not None for file in files)


def _point_to(found: Description, path: Path, template: str, comment: str) -> None:
    """Let an entry of a file read all that match a template."""
    entry, comments = found.entry, found.comments
    found.entry, found.comments = {}, {}
    for key, value in entry.items():
        found.put(key, str(path) if key == "path" else value, comments.get(key, ""))
        if key == "path":
            found.put("template", template, comment)


def _describe_unnamed(path: Path, files: list[Path]) -> Description:
    """Describe recordings whose names are their own: one per subject, probably."""
    names = [file.relative_to(path).as_posix() for file in files]
    template, guess, others = _template_of_unnamed(path, names)
    # The tables of one that has events are those of the others.
    fitting = [file for file, name in zip(files, names, strict=True) if name not in others]
    first = min(fitting, key=lambda file: _beside(file, "events") is None)
    found = describe_meeg(first, None)
    found.lines = [f"{count(len(files), 'recording')}: {some(names)}", *found.lines]
    if len(files) == 1:
        return found
    if not template:
        found.put("more_files", [str(file) for file in files if file != first])
        ordered = [first, *(file for file in files if file != first)]
        subjects = [file.relative_to(path).as_posix() for file in ordered]
        found.put("subject", subjects, "a name for each file: a guess, that each is a subject")
        return found
    if others:
        found.lines.append(f"files that template does not fit, not read: {some(others, 8)}")
    _point_to(found, path, template, guess)
    own = first.relative_to(path).as_posix()
    for name in ("events", "channels"):
        if found.entry.get(name, FILL_IN) == FILL_IN:
            continue
        table = Path(found.entry[name]).relative_to(path).as_posix()
        ending = own[len(shared_start([own, table])) :]
        if template.endswith(ending):  # the name of the table goes on as that of the file does not
            found.entry[name] = template.removesuffix(ending) + table[len(own) - len(ending) :]
            _say_without(found, path, name)
    return found


def _template_of_unnamed(path: Path, names: list[str]) -> tuple[str, str, list[str]]:
    """Return a template of files, what to say of it, and the files that it does not fit.

    The template is empty if there is none.
    """
    # Subjects are whole words: of P1 and P10, the first is not "" and the second not 0.
    before = re.sub(r"[^\W_]+$", "", shared_start(names))
    after = re.sub(r"^[^\W_]+", "", shared_end(names))
    template = f"{before}{{subject}}{after}"
    with suppress(ValueError):
        if len(list(match("template", path, template))) == len(names):
            subjects = [name[len(before) : len(name) - len(after)] for name in names]
            return template, f"a guess: these are subjects {some(subjects)}", []
    found = template_of(names)
    if len(found.fits) > max(1, len(found.others)):
        return found.text, f"a guess{guess_of(found)}", found.others
    return "", "", []
