"""Functional MRI: `settings`, `scans` (which files), `images`, `arrays`, `events`, `bold`."""

from repbias.recordings.readers.fmri.reader import read
from repbias.recordings.readers.fmri.settings import FmriRecording

__all__ = ["FmriRecording", "read"]
