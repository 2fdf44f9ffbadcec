"""Networks, candidates and recordings that tests of recovery make up."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist

from repbias.encoding.ridge import gram
from repbias.io.recordings import Recording
from repbias.recovery.candidates import Candidates, root_of

N = 40


def features_of(seed: int, n_networks: int, individual: float = 0.2, n: int = N) -> np.ndarray:
    """Networks of a kind: (network, layer, stimulus, unit)."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((2, n, 12))
    return common + individual * rng.standard_normal((n_networks, 2, n, 12))


def candidates_of(**models: np.ndarray) -> Candidates:
    """Candidates with these features, each (network, layer, stimulus, unit)."""
    flat = [x for features in models.values() for network in features for x in network]
    shapes = [features.shape[:2] for features in models.values()]
    starts = np.cumsum([0, *(np.prod(s) for s in shapes)])
    return Candidates(
        tuple(models),
        tuple(tuple(f"layer{i + 1}" for i in range(s[1])) for s in shapes),
        tuple(
            start + np.arange(np.prod(s)).reshape(s)
            for start, s in zip(starts[:-1], shapes, strict=True)
        ),
        np.stack([pdist(x, "correlation") for x in flat]),
        ("correlation",) * len(flat),
        tuple(root_of(gram(x)) for x in flat),
    )


def recording_of(responses: np.ndarray, subjects: int = 1) -> Recording:
    """A recording of responses (stimulus, repeat, unit)."""
    n, repeats, units = responses.shape
    ids = np.array([f"s{i:03d}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses.reshape(-1, units),
        trials={
            "stimulus_id": np.repeat(ids, repeats),
            "repeat": np.tile(np.arange(repeats), n),
        },
        units={
            "unit": np.arange(units).astype(str),
            "subject": np.array([f"subject{1 + i * subjects // units}" for i in range(units)]),
            "region": np.full(units, ""),
        },
    )
