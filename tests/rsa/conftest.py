"""Recordings that several tests of this room share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from repbias.io.recordings import Recording


def _trial_recording(tensor: np.ndarray, **columns) -> Recording:
    n, repeats, units = tensor.shape
    ids = np.array([f"s{i:03d}" for i in range(n)])
    observed = ~np.isnan(tensor).all(axis=2).ravel()
    trials = {"stimulus_id": np.repeat(ids, repeats), "repeat": np.tile(np.arange(repeats), n)}
    trials |= {name: np.asarray(values).ravel() for name, values in columns.items()}
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=tensor.reshape(-1, units)[observed],
        trials={name: values[observed] for name, values in trials.items()},
        units={
            "unit": np.array([f"u{i}" for i in range(units)]),
            "subject": np.full(units, "subject1"),
            "region": np.full(units, ""),
        },
    )


def _rdm_recording(vectors: np.ndarray) -> Recording:
    n_stimuli = round((1 + np.sqrt(1 + 8 * vectors.shape[1])) / 2)
    return Recording(
        stimuli={"stimulus_id": np.array([f"s{i:03d}" for i in range(n_stimuli)])},
        rdms=vectors,
        rdm_info={"subject": np.array([f"subject{i}" for i in range(len(vectors))])},
    )


@pytest.fixture(scope="session")
def trial_recording() -> Callable[..., Recording]:
    """Function from one subject's (stimulus, repeat, unit), and columns of trials, to a recording.

    Columns are (stimulus, repeat). Trials in which no unit was observed are left out.
    """
    return _trial_recording


@pytest.fixture(scope="session")
def rdm_recording() -> Callable[[np.ndarray], Recording]:
    """Function from subjects' RDMs (subject, pair) to a recording."""
    return _rdm_recording
