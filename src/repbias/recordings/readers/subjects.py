"""One array for each subject in a file: which they are, and how they are joined."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError
from repbias.io.arrays import matching
from repbias.recordings.readers.common import NamedAxes, RawResponses

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S", bound=NamedAxes)


def by_subject(spec: S) -> dict[str, S]:
    """Return an entry for the array of every subject; a single one, without a name, if one has all.

    Of a pattern, `*` in ``stimulus_ids: "variable:..."`` stands for the same as in ``variable``.

    Raises
    ------
    RepbiasError
        If no array matches the pattern.
    """
    if spec.variables:
        return {name: _of_one(spec, name) for name in spec.variables}
    if spec.variable is None or "*" not in spec.variable:
        return {"": spec}
    before = re.split(r"[_./]", spec.variable.split("*")[0])[-1]
    found = {}
    for name, star in matching(spec.path, spec.variable).items():
        one = _of_one(spec, name)
        if isinstance(spec.stimulus_ids, str) and spec.stimulus_ids.startswith("variable:"):
            ids = spec.stimulus_ids.replace("*", star)
            one = one.model_copy(update={"stimulus_ids": ids})
        found[before + star] = one
    return found


def _of_one(spec: S, variable: str) -> S:
    return spec.model_copy(update={"variable": variable, "variables": []})


def join_subjects(spec: NamedAxes, parts: Mapping[str, RawResponses]) -> RawResponses:
    """Join the responses of several subjects; their n-th repeats of a stimulus share a row.

    Stimuli and repeats that a subject has not seen count as not observed.

    Raises
    ------
    RepbiasError
        If the numbers of time bins differ.
    """
    import pandas as pd

    bins = {name: part.responses.shape[2:] for name, part in parts.items()}
    (first, n_bins), *others = bins.items()
    for name, found in others:
        if found != n_bins:
            raise RepbiasError(
                f"{spec.path}: the subjects {first!r} and {name!r} have {n_bins} and {found} time "
                "bins"
            )
    rows = [_stimulus_and_repeat(part) for part in parts.values()]
    keys = pd.MultiIndex.from_frame(pd.concat(rows).drop_duplicates())
    n_units = [part.responses.shape[1] for part in parts.values()]
    responses = np.full((len(keys), sum(n_units), *n_bins), np.nan)
    for row, part, stop in zip(rows, parts.values(), np.cumsum(n_units), strict=True):
        places = keys.get_indexer(pd.MultiIndex.from_frame(row))
        responses[places, stop - part.responses.shape[1] : stop] = part.responses
    example = next(iter(parts.values()))
    return RawResponses(
        stimulus=keys.get_level_values("stimulus").to_numpy(dtype=str),
        responses=responses,
        trials={"repeat": keys.get_level_values("repeat").to_numpy()},
        units={
            name: np.concatenate([np.asarray(part.units[name]) for part in parts.values()])
            for name in example.units
        },
        info=example.info,
    )


def _stimulus_and_repeat(part: RawResponses) -> pd.DataFrame:
    """Return the stimulus and the repeat of every row; repeats are counted where none are named."""
    import pandas as pd

    rows = pd.DataFrame({"stimulus": as_ids(part.stimulus)})
    counted = rows.groupby("stimulus").cumcount()
    return rows.assign(repeat=np.asarray(part.trials.get("repeat", counted)))
