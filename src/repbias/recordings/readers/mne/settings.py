"""The settings of a recording of MEG or EEG, and the files that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from repbias.base.spec import InputPath, expand_variables
from repbias.recordings.readers.common import Where
from repbias.recordings.readers.files import MultiFileRecording
from repbias.recordings.readers.mne.parts import parts_of
from repbias.recordings.readers.templates import FileColumns, fill, match, refuse_missing
from repbias.recordings.spec import Seconds

Hertz = Annotated[float, Field(gt=0)]


class OnsetColumns(FileColumns):
    """Names of the columns of `events`."""

    onset: str = "onset"
    """Onset in seconds from the first sample of the file."""
    sample: str = "sample"
    """Onset as a sample, the first one of the file being 0; used if there is no column `onset`."""


class MneRecording(MultiFileRecording):
    """MEG, EEG and intracranial EEG: epochs or continuous recordings, as MNE-Python reads them.

    Epochs: MNE (`-epo.fif`) and EEGLAB (`.set`). Continuous recordings: EEGLAB (`.set`),
    BrainVision (`.vhdr`), FIF, EDF, BDF, and others that `mne.io.read_raw` knows. Continuous
    recordings are cut into epochs (`from_s`, `to_s`) around stimuli, which are markers of the file,
    codes of a trigger channel, or rows of a table of events (docs/meeg.md).

    Channels with the same subject and name are the same unit in all files. Responses are in SI
    units: volts, not microvolts.
    """

    kind: Literal["mne"]
    """MEG and EEG; needs `pip install 'repbias[mne]'`, and `'repbias[mne,matlab]'` for EEGLAB."""
    path: InputPath
    """The file, or the folder that `template` is relative to."""
    template: str | None = None
    """Template of the files, if `path` is a folder of several. The placeholders `{subject}`,
    `{session}` and `{run}` match any text without `/` and `_`, and `*` matches anything, as in
    `sub-{subject}/eeg/*_run-{run}_eeg.vhdr`."""
    leave_out: list[str | Where] = []
    """Files that are not read, such as those of an aborted session: of `template` by the values of
    its placeholders, as in `[{subject: "03", session: "2"}]`; of `more_files` by path."""
    events: str | None = None
    """Table of events (`.csv`, `.tsv`, `.txt`), such as BIDS's `*_events.tsv`; or its template, as
    that of the files. Without a column of onsets or samples, its rows are the markers of the file,
    or its epochs, in their order. Of a table for several files, each gets the rows of its subject,
    session and run. Rows without a stimulus are left out."""
    columns: OnsetColumns = OnsetColumns()
    """Names of the columns of the events, where they differ from the defaults."""
    stimulus: str | None = None
    """Column of the events, or of the metadata of epochs, with the stimulus id; in EEGLAB, a field
    of the events. By default the names of markers, or of the events of epochs, are the ids, and
    `stimulus` or `trial_type` is the column of a table."""
    markers: list[str] | None = Field(None, min_length=1)
    """Markers (annotations, codes of the trigger channel, or events of epochs) that are stimuli;
    `*` matches anything, as in `Stimulus/*`. By default all but those of bad segments and
    boundaries."""
    stim_channel: str | None = None
    """Trigger channel whose codes are the markers of a continuous recording; by default its
    annotations are."""
    stim_decreases: bool | None = None
    """Whether a code that follows a larger one, without 0 between them, is a marker, as where the
    channel holds a code until the next one (`true`), or what is left of the larger one (`false`);
    needed where there are such codes."""
    from_s: Seconds | None = None
    """Start of the epochs in seconds from the onset; needed for continuous recordings."""
    to_s: Seconds | None = None
    """End of the epochs in seconds from the onset, included as in MNE; needed for continuous
    recordings."""
    filter_hz: tuple[Hertz | None, Hertz | None] | None = None
    """Band-pass filter of a continuous recording, MNE's default FIR filter: lower and upper edge
    of the band in Hz; `[0.1, null]` is a high-pass filter."""
    reject_above: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Leave out epochs whose peak-to-peak amplitude in any channel of a type exceeds a value in SI
    units: `{eeg: 150.0e-6}` is 150 microvolts. By default none is left out."""
    channels: str | None = None
    """BIDS table of the channels (`*_channels.tsv`) with their types and which are bad; or its
    template."""
    picks: str | list[str] = "data"
    """Channels to read: a type such as `eeg` or `mag`, or a list of types or names; `data` is all
    but reference, trigger and other auxiliary channels. Channels marked bad are left out."""
    bin_s: Annotated[float, Field(gt=0)] | None = None
    """Average over time bins of this width in seconds, aligned to 0 s; by default samples are kept
    as they are. Bins that the epochs do not fill are left out."""
    baseline: tuple[Seconds, Seconds] | None = None
    """Start and end, in seconds, of the interval whose average is subtracted, in addition to any
    baseline correction in the file."""
    region: str = ""
    """Brain region."""

    def sources(self) -> list[Source]:
        """Return the files, each with those that belong to it.

        Raises
        ------
        ValueError
            If the template matches nothing, or a file is missing.
        """
        named = {name: getattr(self, name) for name in ("events", "channels")}
        templates = {k: expand_variables(v) for k, v in named.items() if v is not None}
        if self.template is None:
            tables = {name: Path(template) for name, template in templates.items()}
            sources = [Source(path, tables, {}) for path in super().files()]
        elif not self.path.is_dir():
            raise ValueError(f"template: needs a folder, but path is {self.path}")
        else:
            sources = [
                Source(p, {k: self.path / fill(k, v, where) for k, v in templates.items()}, where)
                for p, where in self._matched(self.leave_out)
            ]
            _refuse_same(sources)
        for name in templates:
            refuse_missing(name, [(source.tables[name], source.where) for source in sources])
        return sources

    def _matched(self, leave_out: Sequence[str | Where]) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yield the files of the template but for some, and the values of its placeholders."""
        template = expand_variables(str(self.template))
        for entry in leave_out:
            if isinstance(entry, str):
                raise ValueError(
                    "leave_out: expected values of the placeholders of 'template', as in "
                    f"{{subject: '01'}}, found {entry!r}"
                )
        named = [entry for entry in leave_out if isinstance(entry, dict)]
        return match("template", self.path, template, leave_out=named)

    def left_out(self) -> list[Path]:
        """Return the files that are not read, as `leave_out` names them."""
        if self.template is None:
            return super().left_out()
        if not self.leave_out:
            return []
        kept = {path for path, _ in self._matched(self.leave_out)}
        return [path for path, _ in self._matched([]) if path not in kept]

    def files(self) -> list[Path]:
        """Return all files."""
        return [source.path for source in self.sources()]

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        files = {path for source in self.sources() for path in source.tables.values()}
        files |= {part for source in self.sources() for part in parts_of(source.path)}
        return sorted({*map(str, files), *([str(self.rename)] if self.rename else [])})

    @model_validator(mode="after")
    def _path_fits(self) -> MneRecording:
        if self.template is None:
            if self.path.is_dir() and not parts_of(self.path):
                raise ValueError(f"path: {self.path} is a folder; set 'template'")
            if self.more_files and (self.events or self.channels):
                raise ValueError("events, channels: name one file; use 'template', not more_files")
            return self
        if self.more_files:
            raise ValueError("more_files: 'template' finds the files")
        if self.subject is not None and "{subject}" in self.template:
            raise ValueError("subject: {subject} in 'template' names the subjects")
        return self

    @model_validator(mode="after")
    def _settings_make_sense(self) -> MneRecording:
        if self.baseline and self.baseline[0] >= self.baseline[1]:
            raise ValueError(f"baseline must ascend, found {list(self.baseline)}")
        if self.from_s is not None and self.to_s is not None and self.from_s >= self.to_s:
            raise ValueError(f"from_s {self.from_s:g} must be below to_s {self.to_s:g}")
        if self.stim_decreases is not None and not self.stim_channel:
            raise ValueError("stim_decreases: needs 'stim_channel'")
        if self.columns.given() and not self.events:
            raise ValueError("columns: needs 'events'")
        if self.filter_hz is not None:
            low, high = self.filter_hz
            if low is None and high is None:
                raise ValueError("filter_hz names no edge of the band")
            if low is not None and high is not None and low >= high:
                raise ValueError(f"filter_hz must ascend, found {[low, high]}")
        return self


@dataclass(frozen=True)
class Source:
    """One recorded file.

    Attributes
    ----------
    path : the file
    tables : the files of its "events" and "channels", as far as they are given
    where : values of the template's placeholders: "subject", "session", "run"
    """

    path: Path
    tables: dict[str, Path]
    where: dict[str, str]


def _refuse_same(sources: Sequence[Source]) -> None:
    """Refuse two files that the placeholders of a template do not tell apart."""
    found: dict[tuple[str, ...], Path] = {}
    for source in sources:
        key = tuple(source.where.values())
        if key in found:
            raise ValueError(f"template: {found[key]} and {source.path} have the same placeholders")
        found[key] = source.path
