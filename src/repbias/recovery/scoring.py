"""How simulated recordings are scored against all candidates at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from repbias.auditing.design import Design
from repbias.auditing.kernels import mean_kernel, squared
from repbias.auditing.shares import Freed, kernel_of
from repbias.base.groups import StimulusGroups
from repbias.encoding.reverse import MOST_COMPONENTS, VARIANCE
from repbias.encoding.ridge import outer_folds
from repbias.encoding.spec import Encoding
from repbias.geometry.comparison import similarities
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.responses import stimulus_means
from repbias.recovery.candidates import Candidates
from repbias.recovery.spec import RecoveryMeasure
from repbias.rsa.rdms import subject_rdms

#: Measures that need activations of the models and responses of the recording.
OF_RESPONSES = ("cka", "encoding", "both_ways", "procrustes")
#: Measures that need the forward prediction of units.
_FORWARD = ("encoding", "both_ways")
#: Targets that are predicted at a time.
_COLUMNS = 4096


class _Fold(NamedTuple):
    """Ridge regression in a fold; with u = right @ y it predicts left @ (u / (values + alpha))."""

    train: np.ndarray
    test: np.ndarray
    left: np.ndarray
    values: np.ndarray
    right: np.ndarray


class Ridge:
    """Ridge regression of many targets on the same features in the same folds.

    Minimises ||y - X w||² + alpha ||w||² after centring by the training stimuli, by one
    eigendecomposition per fold, of the smaller of X'X and X X'. Every target has in every fold the
    alpha with the least generalised cross-validation error, ||y - H y||² / (1 - tr H / n)², in its
    training stimuli (Golub, Heath & Wahba 1979): this takes no inner folds.

    Parameters
    ----------
    features
        (stimulus, feature).
    folds
        (train, test) stimuli of every fold.
    alphas
        Penalties.
    """

    def __init__(
        self,
        features: np.ndarray,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        alphas: np.ndarray,
    ) -> None:
        self.folds, self.alphas = [], alphas
        for train, test in folds:
            mean = features[train].mean(axis=0)
            x, z = features[train] - mean, features[test] - mean
            primal = x.shape[1] < len(x)
            values, vectors = np.linalg.eigh(x.T @ x if primal else x @ x.T)
            kept = values > 1e-12 * values[-1]
            values, vectors = values[kept], vectors[:, kept]
            size = np.sqrt(values)
            if primal:
                left, right = (z @ vectors) * size, (x @ (vectors / size)).T
            else:
                left, right = z @ (x.T @ vectors), vectors.T
            self.folds.append(_Fold(train, test, left, values, right))

    def errors(self, y: np.ndarray) -> np.ndarray:
        """Return squared errors of left-out stimuli, (column,), of targets (stimulus, column)."""
        blocks = range(0, y.shape[1], _COLUMNS)
        return np.concatenate([self._errors(y[:, i : i + _COLUMNS]) for i in blocks])

    def _errors(self, y: np.ndarray) -> np.ndarray:
        total = np.zeros(y.shape[1])
        for fold in self.folds:
            mean = y[fold.train].mean(axis=0)
            trained = y[fold.train] - mean
            u = fold.right @ trained
            squares = u**2
            outside = (trained**2).sum(axis=0) - squares.sum(axis=0)
            kept = fold.values / (fold.values + self.alphas[:, None])
            spare = np.maximum(1 - (1 + kept.sum(axis=1)) / len(fold.train), 1e-3)
            criterion = (outside + (1 - kept) ** 2 @ squares) / spare[:, None] ** 2
            alpha = self.alphas[criterion.argmin(axis=0)]
            predicted = fold.left @ (u / (fold.values[:, None] + alpha))
            total += ((y[fold.test] - mean - predicted) ** 2).sum(axis=0)
        return total


def _baseline(y: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return squared errors of the training stimuli's means, (column,)."""
    return np.sum(
        [((y[test] - y[train].mean(axis=0)) ** 2).sum(axis=0) for train, test in folds], axis=0
    )


class Scorer:
    """Scores of recordings of responses with all candidates, by all measures.

    Parameters
    ----------
    candidates
        The models.
    groups
        Stimuli that belong together.
    measures
        What to score by.
    geometry, encoding
        Settings of the study.
    """

    def __init__(
        self,
        candidates: Candidates,
        groups: StimulusGroups,
        measures: Sequence[RecoveryMeasure],
        geometry: Geometry,
        encoding: Encoding,
    ) -> None:
        self.candidates, self.measures = candidates, tuple(measures)
        self.geometry = geometry
        self.folds = outer_folds(groups, encoding)
        self.alphas = np.logspace(*encoding.log10_alpha, encoding.n_alphas)
        self.kernels, self.components = np.empty((0, 0)), np.empty((0, 0))
        self.forward: list[Ridge] = []
        upper = np.triu_indices(len(groups), 1)
        if "cka" in measures:
            nothing = Design.of_none(len(groups))
            kernels = [
                Freed.of(kernel_of(squared(v, d)), nothing).kernel[upper]
                for v, d in zip(candidates.rdms, candidates.distances, strict=True)
            ]
            self.kernels = np.stack([k / np.linalg.norm(k) for k in kernels])
        if set(_FORWARD) & set(measures):
            self.forward = [Ridge(root, self.folds, self.alphas) for root in candidates.roots]
        if {"both_ways", "procrustes"} & set(measures):
            blocks = [_components(root) for root in candidates.roots]
            self.starts = np.cumsum([0, *(b.shape[1] for b in blocks)])
            self.components = np.hstack(blocks)
            self.totals = np.add.reduceat(_baseline(self.components, self.folds), self.starts[:-1])

    def scores(self, recordings: Sequence[Recording]) -> dict[str, np.ndarray]:
        """Return measure to (recording, candidate)."""
        result: dict[str, np.ndarray] = {}
        if "rsa" in self.measures:
            rdms = [subject_rdms(r, self.geometry, "").dissimilarities for r in recordings]
            result["rsa"] = rsa_scores(self.candidates.rdms, rdms, self.geometry)
        if "cka" in self.measures:
            n = len(recordings[0].stimulus_ids)
            upper, nothing = np.triu_indices(n, 1), Design.of_none(n)
            brains = np.stack(
                [Freed.of(mean_kernel(r, self.geometry), nothing).kernel[upper] for r in recordings]
            )
            norms = np.linalg.norm(brains, axis=1, keepdims=True)
            result["cka"] = brains @ self.kernels.T / norms
        if set(OF_RESPONSES[1:]) & set(self.measures):
            subjects = [_by_subject(r) for r in recordings]
        if set(_FORWARD) & set(self.measures):
            forward = self._forward(subjects)
        if "encoding" in self.measures:
            result["encoding"] = forward
        if "both_ways" in self.measures:
            backward = [
                np.mean([self._reverse(p) for p in of_brain], axis=0) for of_brain in subjects
            ]
            result["both_ways"] = np.minimum(forward, backward)
        if "procrustes" in self.measures:
            result["procrustes"] = np.stack(
                [np.mean([self._procrustes(p) for p in of_brain], axis=0) for of_brain in subjects]
            )
        return result

    def _forward(self, subjects: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """Return R² of every candidate's prediction of units, (recording, candidate)."""
        y = np.hstack([patterns for of_brain in subjects for patterns in of_brain])
        total = _baseline(y, self.folds)
        r2 = np.stack([1 - ridge.errors(y) / total for ridge in self.forward])
        ends = np.cumsum([p.shape[1] for of_brain in subjects for p in of_brain])[:-1]
        by_subject = [part.mean(axis=1) for part in np.split(r2, ends, axis=1)]
        ends = np.cumsum([len(of_brain) for of_brain in subjects])[:-1]
        return np.stack([np.mean(part, axis=0) for part in np.split(np.array(by_subject), ends)])

    def _reverse(self, patterns: np.ndarray) -> np.ndarray:
        """Return R² of the candidates' components, predicted from one subject, (candidate,)."""
        x = patterns - patterns.mean(axis=0)
        x /= np.linalg.norm(x, axis=0) * np.sqrt(x.shape[1] / len(x))
        errors = Ridge(x, self.folds, self.alphas).errors(self.components)
        r2: np.ndarray = 1 - np.add.reduceat(errors, self.starts[:-1]) / self.totals
        return r2

    def _procrustes(self, patterns: np.ndarray) -> np.ndarray:
        """Return the angular Procrustes similarity of one subject's patterns, (candidate,)."""
        y = patterns - patterns.mean(axis=0)
        y /= np.linalg.norm(y)
        found = []
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            x = self.components[:, start:stop]
            m = x.T @ y
            squares = np.linalg.eigvalsh(m @ m.T if len(m) < m.shape[1] else m.T @ m)
            nuclear = np.sqrt(np.maximum(squares, 0)).sum() / np.linalg.norm(x)
            found.append(1 - np.arccos(min(nuclear, 1.0)) / (np.pi / 2))
        return np.array(found)


def rsa_scores(models: np.ndarray, brains: Sequence[np.ndarray], geometry: Geometry) -> np.ndarray:
    """Return the mean similarity of models' RDMs with those of subjects, (brain, model).

    Parameters
    ----------
    models
        (model, pair).
    brains
        Of every brain (subject, pair).
    geometry
        Its first RDM similarity is used, as for claims.
    """
    found = similarities(models, np.concatenate(brains), geometry.rdm_similarities[0])
    ends = np.cumsum([len(b) for b in brains])[:-1]
    return np.stack([part.mean(axis=1) for part in np.split(found, ends, axis=1)])


def _components(root: np.ndarray) -> np.ndarray:
    """Return the components of a layer that the way back predicts, (stimulus, component)."""
    held = np.cumsum((root**2).sum(axis=0))
    n = int(np.searchsorted(held, VARIANCE * held[-1])) + 1
    return root[:, : min(n, MOST_COMPONENTS)]


def _by_subject(recording: Recording) -> list[np.ndarray]:
    """Return mean responses of the units of every subject that vary, (stimulus, unit)."""
    means, subjects = stimulus_means(recording), recording.units["subject"]
    varies = means.std(axis=0) > 0
    parts = [means[:, varies & (subjects == s)] for s in dict.fromkeys(subjects)]
    return [part for part in parts if part.shape[1]]
