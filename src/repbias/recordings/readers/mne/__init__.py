"""MEG and EEG: `settings`, `files` (opening them), `eeglab`, `events`, `reader`."""

from repbias.recordings.readers.mne.reader import read
from repbias.recordings.readers.mne.settings import MneRecording

__all__ = ["MneRecording", "read"]
