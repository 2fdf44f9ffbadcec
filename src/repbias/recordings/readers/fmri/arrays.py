"""Arrays of volumes and voxels, from files other than images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.arrays import load_array
from repbias.io.text_tables import is_missing
from repbias.recordings.readers.common import read_lines
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd


def load_volumes(spec: FmriRecording, scan: Scan) -> np.ndarray:
    """Return the values (volume, voxel) of an array."""
    values = load_array(scan.image, spec.variable)
    if values.dtype.kind not in "fiub" or values.ndim != 2 or not values.size:
        raise RepbiasError(
            f"{scan.image}: expected numbers (trial, unit), found {values.dtype} of shape "
            f"{values.shape}"
        )
    return (values if spec.axes[0] == "trial" else values.T).astype(np.float64)


def columns(spec: FmriRecording, scan: Scan, n_units: int) -> pd.DataFrame:
    """Return the units of an array."""
    import pandas as pd

    regions = [spec.region] * n_units
    if "regions" in scan.paths:
        regions = read_lines(scan.paths["regions"])
        if len(regions) != n_units:
            raise RepbiasError(
                f"{scan.paths['regions']}: {len(regions)} regions for {n_units} voxels"
            )
        regions = np.where(is_missing(regions), spec.region, regions).tolist()
    width = len(str(n_units))
    names = [f"{i + 1:0{width}d}" for i in range(n_units)]
    return pd.DataFrame({"unit": names, "region": regions})
