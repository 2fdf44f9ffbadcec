"""Feature spaces: what is known of the stimuli, as models to compare with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError, nearest
from repbias.networks.spec import FeatureNetwork
from repbias.stimuli.images import Images


def feature_spaces(spec: FeatureNetwork, stimuli: Images) -> dict[str, np.ndarray]:
    """Return every feature space as (stimulus, unit), from the columns of the stimuli's table.

    Raises
    ------
    RepbiasError
        If a column does not exist, has cells missing or text among numbers, or does not vary.
    """
    spaces = {}
    for space, names in spec.spaces.items():
        blocks = []
        for name in names:
            if name not in stimuli.columns:
                raise RepbiasError(
                    f"feature space {space!r}: the stimuli's table has no column {name!r}; "
                    f"{nearest(name, stimuli.columns)}"
                )
            values = stimuli.columns[name]
            _refuse_missing(space, name, stimuli)
            if values.dtype.kind == "U":
                block = (values[:, None] == np.unique(values)).astype(float)
            else:
                block = values.astype(float)[:, None]
            if len(np.unique(values)) < 2:
                raise RepbiasError(f"feature space {space!r}: the column {name!r} is constant")
            if values.dtype.kind != "U":
                block = (block - block.mean()) / block.std()
            blocks.append(block)
        spaces[space] = np.concatenate(blocks, axis=1).astype(np.float32)
    return spaces


def _refuse_missing(space: str, column: str, stimuli: Images) -> None:
    """Refuse a column in which cells are missing, or which is text because of some of its cells."""
    values = stimuli.columns[column]
    if values.dtype.kind == "U":
        numbers = np.isfinite(pd.to_numeric(values, errors="coerce"))
        wrong, problem = values == "", "is missing"
        if numbers.mean() > 0.5 and not wrong.any():
            wrong, problem = ~numbers, "is text among numbers"
    else:
        wrong, problem = ~np.isfinite(values), "is not a number"
    if wrong.any():
        where = stimuli.cell(int(wrong.argmax()), column)
        raise RepbiasError(f"feature space {space!r}: {where}: {problem}")
