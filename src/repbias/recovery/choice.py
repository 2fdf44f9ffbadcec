"""Which stimuli of a pool to show: those that separate the models and decorrelate the features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.recovery.candidates import Candidates

By = Literal["both", "models", "features"]

#: Random subsets of the same size that the choice is compared with, and starts from the best of.
N_RANDOM = 200
#: Other stimuli that may take the place of one, and rounds of exchanging every one.
N_TRIED, MOST_ROUNDS = 20, 20
#: Share of its variance in the pool that every regressor of a feature keeps at least.
LEAST_VARIANCE = 0.5
#: Similarities of RDMs that are correlations of their ranks.
_BY_RANKS = ("spearman", "rho-a", "tau-a")


class Quality(NamedTuple):
    """How good a subset of stimuli is.

    Attributes
    ----------
    margin : by how much the RDM of a brain without noise is more similar to the best layer of the
        right model than to that of a wrong one, mean over brains of every layer and over wrong
        models; nan if there is one model
    overlap : share of variance that two features have in common, mean over pairs of features, from
        0, uncorrelated, to 1; nan if there are fewer than two
    """

    margin: float
    overlap: float


@dataclass(frozen=True, eq=False)
class Choice:
    """Stimuli chosen from a pool.

    Attributes
    ----------
    rows : (stimulus,) int, which of the pool, ascending
    quality : of these
    random : of random subsets of the same size
    """

    rows: np.ndarray
    quality: Quality
    random: list[Quality]


class _Sums(NamedTuple):
    """Sums over the pairs of a subset: of every RDM, and of products of every two."""

    of_rdms: np.ndarray
    of_products: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """Stimuli to choose from.

    Attributes
    ----------
    rdms : (2 x layer, stimulus, stimulus), of brains without noise that are of a layer of a model,
        then of the models' layers
    model : (layer,) int, its model
    features : name to (stimulus, regressor), centred
    """

    rdms: np.ndarray
    model: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        candidates: Candidates | None,
        regressors: Mapping[str, np.ndarray],
        geometry: Geometry,
    ) -> Pool:
        """Gather what stimuli are chosen by.

        Parameters
        ----------
        candidates
            The models; None if none counts. Brains are of the first network of each, and scored by
            the second, if there is one.
        regressors
            Feature to (stimulus, regressor); empty if none counts.
        geometry
            Distance of recordings and similarity of RDMs, of which those by ranks become the
            correlation of ranks in the pool, and all others the correlation.
        """
        features = {name: x - x.mean(axis=0) for name, x in regressors.items()}
        if candidates is None:
            n = len(next(iter(features.values()))) if features else 0
            return cls(np.empty((0, n, n)), np.empty(0, int), features)
        first = np.concatenate([at[0] for at in candidates.at])
        second = np.concatenate([at[min(1, len(at) - 1)] for at in candidates.at])
        model = np.repeat(np.arange(len(candidates.at)), [at.shape[1] for at in candidates.at])
        brains = [_without_noise(candidates.roots[i], geometry) for i in first]
        rdms = np.vstack([brains, candidates.rdms[second]])
        if geometry.rdm_similarities[0] in _BY_RANKS:
            from scipy.stats import rankdata  # its import takes a while

            rdms = rankdata(rdms, axis=1)
        rdms = (rdms - rdms.mean(axis=1, keepdims=True)) / rdms.std(axis=1, keepdims=True)
        return cls(np.stack([squareform(rdm, checks=False) for rdm in rdms]), model, features)

    def __len__(self) -> int:
        return self.rdms.shape[1]

    def sums(self, rows: np.ndarray) -> _Sums:
        """Return the sums over all pairs of some stimuli."""
        upper = np.triu_indices(len(rows), 1)
        vectors = self.rdms[:, rows[upper[0]], rows[upper[1]]]
        return _Sums(vectors.sum(axis=1), vectors @ vectors.T)

    def with_one(self, sums: _Sums, stimulus: int, others: np.ndarray, sign: int = 1) -> _Sums:
        """Add the pairs of a stimulus with others to sums, or take them away."""
        added = self.rdms[:, stimulus, others]
        return _Sums(
            sums.of_rdms + sign * added.sum(axis=1), sums.of_products + sign * added @ added.T
        )

    def quality(self, rows: np.ndarray, sums: _Sums | None = None) -> Quality:
        """Say how good a subset is; `sums` are those of its pairs, if they are known."""
        return Quality(self._margin(rows, sums or self.sums(rows)), self._overlap(rows))

    def _margin(self, rows: np.ndarray, sums: _Sums) -> float:
        n_models = len(np.unique(self.model))
        if n_models < 2:
            return np.nan
        n_pairs = len(rows) * (len(rows) - 1) / 2
        covariance = sums.of_products - np.outer(sums.of_rdms, sums.of_rdms) / n_pairs
        size = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        similarity = covariance / np.outer(size, size)
        of_brains = similarity[: len(self.model), len(self.model) :]
        best = np.stack(
            [of_brains[:, self.model == m].max(axis=1) for m in range(n_models)], axis=1
        )
        margins = [
            (best[self.model == right, right] - best[self.model == right, wrong]).mean()
            for right, wrong in permutations(range(n_models), 2)
        ]
        return float(np.mean(margins))

    def _overlap(self, rows: np.ndarray) -> float:
        if len(self.features) < 2:
            return np.nan
        centred = [x[rows] - x[rows].mean(axis=0) for x in self.features.values()]
        projections = [x @ np.linalg.pinv(x, rcond=1e-9) for x in centred]
        ranks = [max(np.trace(p), 1e-12) for p in projections]
        shared = [
            (projections[f] * projections[g]).sum() / np.sqrt(ranks[f] * ranks[g])
            for f, g in combinations(range(len(ranks)), 2)
        ]
        return max(float(np.mean(shared)), 0.0)  # no -0.000 by rounding

    def lost_features(self, rows: np.ndarray) -> list[str]:
        """Return features of which a regressor hardly varies: these would overlap with none."""
        return [
            name
            for name, x in self.features.items()
            if (x[rows].var(axis=0) < LEAST_VARIANCE * x.var(axis=0) - 1e-12).any()
        ]


def _without_noise(root: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the RDM of a brain of many units that are random mixtures of a layer's, (pair,).

    Their products are those of the layer's centred patterns. Over units such mixtures have mean 0,
    so that correlations are cosines; noise that is the same for all units leaves squared distances.
    Simulated units all have the same variance over stimuli besides, which changes RDMs little:
    correlations of these with those are .99 to 1 for the layers of studies/kriegeskorte92.yaml.
    """
    distance = geometry.recording_distance
    if distance.startswith("poisson"):
        raise RepbiasError(
            f"plan: {distance} distances are of counts, which simulated brains have none of; "
            "choose stimuli by features (--by features)"
        )
    named = {"correlation": "cosine", "euclidean": "euclidean"}
    return pdist(root, named.get(distance, "sqeuclidean"))


def choose(pool: Pool, n: int, seed: int = 0) -> Choice:
    """Choose stimuli that tell models apart, and in which features overlap little.

    Both aims are in standard deviations of random subsets of the same size, so that their sum can
    be maximised. From the best random subset on, every stimulus is exchanged with the best of
    twenty others, until a round improves nothing.

    Parameters
    ----------
    pool
        The stimuli, with models, features or both.
    n
        How many to choose, fewer than there are.
    seed
        Of all that is random.

    Raises
    ------
    RepbiasError
        If there are neither two models nor two features, or a level of a feature is too rare.
    """
    if len(np.unique(pool.model)) < 2 and len(pool.features) < 2:
        raise RepbiasError(
            "plan: stimuli are chosen so that two models differ or two features overlap little; "
            "found fewer than two of either"
        )
    rng = np.random.default_rng(seed)
    subsets = [rng.permutation(len(pool))[:n] for _ in range(N_RANDOM)]
    random = [pool.quality(rows) for rows in subsets]
    mean, spread = np.mean(random, axis=0), np.maximum(np.std(random, axis=0), 1e-12)

    def merit(rows: np.ndarray, quality: Quality) -> float:
        if pool.lost_features(rows):
            return -np.inf
        z = (np.array(quality) - mean) / spread
        return float(np.nansum(z * [1, -1]))

    merits = [merit(rows, quality) for rows, quality in zip(subsets, random, strict=True)]
    if not np.isfinite(max(merits)):
        lost = Counter(name for rows in subsets for name in pool.lost_features(rows))
        raise RepbiasError(
            f"plan: in {n} random stimuli some value of {lost.most_common(1)[0][0]!r} hardly "
            "occurs; choose more, or audit coarser features (audit.features)"
        )
    rows, best = subsets[int(np.argmax(merits))], max(merits)
    sums = pool.sums(rows)
    for _ in range(MOST_ROUNDS):
        before = best
        for place in rng.permutation(n):
            others = np.delete(rows, place)
            without = pool.with_one(sums, rows[place], others, -1)
            outside = np.setdiff1d(np.arange(len(pool)), rows)
            for new in rng.permutation(outside)[:N_TRIED]:
                tried = rows.copy()
                tried[place] = new
                of_tried = pool.with_one(without, new, others)
                if (value := merit(tried, pool.quality(tried, of_tried))) > best:
                    best, rows, sums = value, tried, of_tried
        if best - before < 1e-9:
            break
    rows = np.sort(rows)
    return Choice(rows, pool.quality(rows), random)
