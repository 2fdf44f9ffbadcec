"""Functional MRI: betas or the BOLD signal of voxels, vertices or grayordinates.

`settings` has the entry of the configuration, `scans` finds its files, and `reader` reads them:
`images`, `arrays`, `gifti` and `cifti` open files of a kind and select units (`space` says what
they share, `regions` what masks and labels do); `events` reads the table of events, `betas` says
which trial a beta belongs to. The signal is split into `runs`; `bold` averages it over blocks and
events, and `glm` (settings in `glm_settings`) estimates betas, with `confounds`.
"""

from repbias.recordings.readers.fmri.reader import read
from repbias.recordings.readers.fmri.settings import FmriRecording

__all__ = ["FmriRecording", "read"]
