"""Candidate models of a recording: their layers, RDMs and patterns."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from repbias.base.spec import RepbiasError
from repbias.encoding.ridge import gram
from repbias.io.activations import ONLY_RDMS, Activations
from repbias.io.recordings import Recording
from repbias.recovery.spec import Recovery
from repbias.rsa.rdms import Rdms
from repbias.rsa.tables import shown_models

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Layers of networks, any of which may be what a brain is like.

    Attributes
    ----------
    models : the conditions, or models of the user
    layers : of every model, its layers
    at : of every model (network, layer) int, which candidate that is
    rdms : (candidate, pair)
    distances : (candidate,), dissimilarity of each RDM
    roots : (candidate,) of (stimulus, dimension), largest dimension first, with the layer's
        products of centred patterns, of mean square norm 1; empty if only RDMs are compared
    """

    models: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    at: tuple[np.ndarray, ...]
    rdms: np.ndarray
    distances: tuple[str, ...]
    roots: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        recording: Recording,
        experiment: str,
        rdms: Mapping[str, Rdms],
        activations: Mapping[str, Activations],
        spec: Recovery,
        only: Mapping[str, str] | None = None,
    ) -> Candidates:
        """Gather the trained networks that saw the stimuli of a recording.

        The network that generated a simulated recording takes no part where there are others; nor
        do models of which only RDMs are known where brains are simulated from units.

        Parameters
        ----------
        name, recording
            The recording.
        experiment, rdms, activations
            What was shown, and the RDMs and activations of its conditions (or networks); without
            activations only RDMs are compared.
        spec
            Settings.
        only
            Of every condition, the layer that takes part; all by default.

        Raises
        ------
        RepbiasError
            If there is no network, or all together are too large.
        """
        info, vectors = shown_models(name, recording, experiment, dict(rdms))
        used = info[(info["snapshot"] == "final") & info["included"].astype(bool)]
        only_rdms = [c for c, a in activations.items() if a.rdm_measure is not None]
        for model in only_rdms:
            logger.warning("%s: no brains are simulated from %s: %s", name, model, ONLY_RDMS)
        used = used[~used["condition"].isin(only_rdms)]
        if only is not None:
            used = used[used["layer"] == used["condition"].map(only)]
        models: list[str] = []
        layers: list[tuple[str, ...]] = []
        at: list[np.ndarray] = []
        rows: list[int] = []
        for model, of_model in used.groupby("condition", sort=False):
            of_model = _without_generator(of_model, recording, f"{experiment}/{model}")
            table = of_model.assign(row=of_model.index).pivot(
                index="network", columns="layer", values="row"
            )
            # In the order of the file, and without layers that a network lacks.
            table = table.loc[
                list(dict.fromkeys(of_model["network"])), list(dict.fromkeys(of_model["layer"]))
            ]
            table = table.iloc[: spec.networks].dropna(axis=1).astype(int)
            if table.empty:
                continue
            models.append(str(model))
            layers.append(tuple(map(str, table.columns)))
            at.append(len(rows) + np.arange(table.size).reshape(table.shape))
            rows += table.to_numpy().ravel().tolist()
        if not rows:
            raise RepbiasError(
                "recovery: no network met the inclusion criterion and saw the stimuli"
                + (f"; of {', '.join(only_rdms)} only RDMs are known" if only_rdms else "")
            )
        n = len(recording.stimulus_ids)
        _refuse_large(n, len(rows), bool(activations), spec)
        roots = tuple(
            _root(activations[row["condition"]], row, recording.stimulus_ids)
            for row in (info.loc[rows].to_dict(orient="records") if activations else [])
        )
        return cls(
            tuple(models),
            tuple(layers),
            tuple(at),
            vectors[rows],
            tuple(rdms[c].dissimilarity_measure for c in info.loc[rows, "condition"]),
            roots,
        )

    def __len__(self) -> int:
        return len(self.rdms)

    def of_stimuli(self, rows: np.ndarray) -> Candidates:
        """Return the same layers with some of the stimuli, (stimulus,) int in ascending order."""
        pair = squareform(np.arange(self.rdms.shape[1]))[np.ix_(rows, rows)]
        roots = tuple(root_of(gram(root[rows])) for root in self.roots)
        return replace(self, rdms=self.rdms[:, squareform(pair, checks=False)], roots=roots)


def _without_generator(of_model: pd.DataFrame, recording: Recording, source: str) -> pd.DataFrame:
    """Leave out the network that a simulated recording is of, unless there is no other."""
    if recording.info.get("kind") != "simulated" or recording.info.get("source") != source:
        return of_model
    others = of_model[of_model["seed"] != recording.info.get("seed_of_network")]
    return of_model if others.empty else others


def _refuse_large(n: int, n_candidates: int, with_activations: bool, spec: Recovery) -> None:
    # RDM and kernel (half a square each); root, and a regression of five folds.
    arrays = 8 if with_activations else 1
    needed = n_candidates * arrays * n**2 * 8 / 2**20
    if needed > spec.max_memory_mb:
        raise RepbiasError(
            f"recovery: {n_candidates} layers of networks and {n} stimuli need {needed:.0f} MB, "
            f"more than recovery.max_memory_mb = {spec.max_memory_mb}; lower recovery.networks or "
            "allow more memory"
        )


def _root(activations: Activations, row: Mapping[str, object], ids: np.ndarray) -> np.ndarray:
    """Return the root of a layer's Gram matrix, (stimulus, dimension)."""
    table = activations.networks
    chosen = (table["network"] == row["network"]) & (table["snapshot"] == row["snapshot"])
    position = {s: i for i, s in enumerate(activations.stimulus_ids)}
    rows = [position[s] for s in ids]
    features = activations.read(str(row["layer"]), int(np.flatnonzero(chosen)[0]))[rows]
    return root_of(gram(features))


def root_of(kernel: np.ndarray) -> np.ndarray:
    """Return X (stimulus, dimension) with X X' a kernel, largest dimension first."""
    values, vectors = np.linalg.eigh(kernel)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > 1e-12 * values[0]
    root: np.ndarray = vectors[:, kept] * np.sqrt(values[kept])
    return root
