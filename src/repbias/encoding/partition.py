"""Variance partitioning: what feature spaces explain of a unit, together and alone."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from himalaya.scoring import r2_score_split

from repbias.base.spec import RepbiasError, nearest
from repbias.encoding.ridge import gram, left_out_r2, outer_folds, predict, scores, sub_gram
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import (
    Targets,
    can_be_encoded,
    error_of_mean,
    parts_of_units,
    targets,
)
from repbias.io.activations import ONLY_RDMS, Activations
from repbias.io.recordings import Recording
from repbias.tables import as_table

logger = logging.getLogger(__name__)


@dataclass
class _Band:
    """A feature space: a layer, with one representation per seed, or fixed features.

    Attributes
    ----------
    name : as in the configuration
    features : (stimulus, feature) of a band that is not a layer
    activations, layer : file and layer
    rows : seed to row in the file, of the networks that are used
    stimuli : (stimulus,) rows of the recording's stimuli in the file
    several : whether the file has several seeds, included or not
    """

    name: str
    features: np.ndarray | None = None
    activations: Activations | None = None
    layer: str = ""
    rows: dict[int, int] = field(default_factory=dict)
    stimuli: np.ndarray | None = None
    several: bool = False

    def row(self, seed: int | None) -> int:
        """Return the row of this seed's network, or of the only network."""
        if not self.several:
            return next(iter(self.rows.values()))
        assert seed is not None
        return self.rows[seed]

    def network(self, seed: int | None) -> str:
        """Return the name of the network."""
        assert self.activations is not None
        return str(self.activations.networks["network"][self.row(seed)])

    def read(self, seed: int | None) -> np.ndarray:
        """Return the features, (stimulus, feature)."""
        if self.features is not None:
            return self.features
        assert self.activations is not None
        return self.activations.read(self.layer, self.row(seed))[self.stimuli]


@dataclass
class _Errors:
    """Standard errors, over stimuli, of the mean r2 of the units of a subject's region.

    By the jackknife of :func:`repbias.encoding.tables.errors_of_means`, from sums over units:
    parts are sums and differences of r2, so their means are those of the mean r2.

    Attributes
    ----------
    left_out : (block, stimulus), 0 where a stimulus is left out
    region : (unit,) int, the subject and region of each unit that can be predicted
    n_units : (region,), number of such units
    n_folds : outer folds
    """

    left_out: np.ndarray
    region: np.ndarray
    n_units: np.ndarray
    n_folds: int

    @classmethod
    def of(cls, data: Targets, recording: Recording, spec: Encoding) -> _Errors:
        """Find the regions of the units that can be predicted."""
        names = parts_of_units(recording)
        predictable = np.concatenate([units for _, units in data.patterns])
        found, n_units = np.unique(names[predictable], return_counts=True)
        n_folds = len(outer_folds(data.groups, spec))
        return cls(data.groups.left_out(), np.searchsorted(found, names), n_units, n_folds)

    def sums(self, values: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Sum values (..., unit) of some units over those of every region, (..., region)."""
        member = self.region[units][:, None] == np.arange(len(self.n_units))
        total: np.ndarray = values @ member.astype(float)
        return total

    def parts(self, sums: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return the error (unit,) of every part, from sums over units of different patterns."""
        means = {part: sum(each[part] for each in sums) / self.n_units for part in sums[0]}
        errors = {part: error_of_mean(mean, self.n_folds) for part, mean in means.items()}
        known = np.minimum(self.region, len(self.n_units) - 1)  # others have no row
        return {part: error[known] for part, error in errors.items()}


def partition_variance(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Activations],
    spec: Encoding,
) -> pd.DataFrame:
    """Partition each unit's predicted variance between the bands of every joint model.

    Models are fitted by banded ridge regression (:func:`repbias.encoding.ridge.predict`), on the
    included networks at the end of training; all bands of a model are of the same seed, except
    that a member with a single network is combined with every seed. Column `part` is one of

    * ``all``, of all bands; ``alone B``, of one band; ``together B + C``, of two bands of three:
      cross-validated r2;
    * ``unique B``: r2 of all bands minus r2 of all but B;
    * ``shared``: r2 of all bands minus the sum of the unique parts; with three bands or more this
      includes what is shared by any two of them;
    * ``split B``: contribution of B's part of the joint prediction to the r2 of all bands (product
      measure; Dupré la Tour et al. 2022); these sum to ``all``.

    Nothing is clipped. Cross-validated r2 is negative if a model predicts worse than the mean, and
    unique and shared parts can be negative by chance, or if a band only adds noise. As each is
    estimated by a fit of its own, ``alone`` and ``together`` may exceed ``all``.

    A model with a band that these stimuli do not have, as it is meant for another recording, is
    left out with a warning.

    Raises
    ------
    RepbiasError
        If a column or layer does not exist, is constant or has missing numbers; and those of
        :func:`repbias.encoding.tables.targets`.
    """
    if not spec.partition or not can_be_encoded(name, recording, spec):
        return as_table("variance_partition")
    data = targets(name, recording, spec)
    errors_of = _Errors.of(data, recording, spec)
    tables = []
    for model, names in spec.partition.items():
        try:
            bands = [
                _band(f"encoding.partition.{model}", b, recording, conditions, data) for b in names
            ]
        except UnknownBand as error:
            logger.warning("%s: %s is left out: %s", name, model, error)
            continue
        for network, seed in _networks(name, model, bands):
            spaces = [band.read(seed) for band in bands]
            if not all(np.isfinite(space).all() for space in spaces):
                logger.warning("%s: %s, %s is not finite; left out", name, model, network)
                continue
            kernels = [gram(space) for space in spaces]
            fits = [
                _partition(names, kernels, data, stimuli, units, errors_of, spec)
                for stimuli, units in data.patterns
            ]
            errors = errors_of.parts([sums for _, sums in fits])
            for (stimuli, units), (parts, _) in zip(data.patterns, fits, strict=True):
                tables += [
                    pd.DataFrame(
                        {
                            **{k: recording.units[k][units] for k in ("unit", "subject", "region")},
                            "recording": name,
                            "experiment": experiment,
                            "model": model,
                            "network": network,
                            "snapshot": "final" if network else "",
                            "part": part,
                            "r2": r2,
                            "r2_error": errors[part][units],
                            "n_stimuli": len(stimuli),
                        }
                    )
                    for part, r2 in parts.items()
                ]
        logger.info("%s: partitioned the variance of %s", name, model)
    return as_table("variance_partition", pd.concat(tables, ignore_index=True) if tables else ())


def _partition(
    names: list[str],
    kernels: list[np.ndarray],
    data: Targets,
    stimuli: np.ndarray,
    units: np.ndarray,
    errors: _Errors,
    spec: Encoding,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Partition the variance of units that saw the same stimuli.

    Returns
    -------
    parts : the r2 (unit,) of every part
    sums : of every part, (block, region), r2 without a block of stimuli, summed over units
    """
    whole = len(stimuli) == len(data.ids)
    kernels = np.stack(kernels if whole else [sub_gram(k, stimuli) for k in kernels])
    responses = data.responses(stimuli, units)
    every = tuple(range(len(names)))
    all_but = [tuple(b for b in every if b != band) for band in every]
    single = [(band,) for band in every]
    r2, sums = {}, {}
    for subset in dict.fromkeys([*single, *all_but, every]):
        fit = predict(kernels[list(subset)], responses, spec, data.groups.subset(stimuli))
        r2[subset] = scores(fit, responses)[1]
        without, split_without = left_out_r2(fit, responses, errors.left_out[:, stimuli])
        sums[subset] = errors.sums(without, units)
    # The last fit is the one of all bands.
    y = responses - fit.baseline
    with warnings.catch_warnings():
        # It expects a mean of 0; here the mean of the training stimuli was subtracted instead.
        warnings.filterwarnings("ignore", message="y_true has to be zero-mean")
        split = r2_score_split(y, fit.parts)
    return _parts(names, r2, split), _parts(names, sums, errors.sums(split_without, units))


def _parts(
    names: list[str], r2: dict[tuple[int, ...], np.ndarray], split: np.ndarray
) -> dict[str, np.ndarray]:
    """Return every part, given the r2 of joint models of some bands, and all bands' split."""
    every = tuple(range(len(names)))
    unique = {b: r2[every] - r2[tuple(other for other in every if other != b)] for b in every}
    pairs = list(combinations(every, 2)) if len(every) == 3 else []
    return {
        "all": r2[every],
        **{f"alone {names[b]}": r2[b,] for b in every},
        **{f"together {names[a]} + {names[b]}": r2[a, b] for a, b in pairs},
        **{f"unique {names[b]}": unique[b] for b in every},
        "shared": r2[every] - sum(unique.values()),
        **{f"split {names[b]}": split[b] for b in every},
    }


def _networks(name: str, model: str, bands: list[_Band]) -> list[tuple[str, int | None]]:
    """Return the name and seed of every network that a model is fitted with."""
    layers = [band for band in bands if band.activations is not None]
    if not layers:
        return [("", None)]
    varying = [band for band in layers if band.several]
    seeds: set[int] | set[None] = {None}
    if varying:
        seeds = set.intersection(*(set(band.rows) for band in varying))
    if not seeds or not all(band.rows for band in layers):
        logger.warning("%s: %s: no seed of all its networks was included; left out", name, model)
        return []
    found = []
    for seed in sorted(seeds, key=lambda seed: -1 if seed is None else seed):
        names = [band.network(seed) for band in varying or layers]
        found.append((" + ".join(dict.fromkeys(names)), seed))
    return found


class UnknownBand(RepbiasError):
    """A band that exists for other stimuli than those of a recording, if at all."""


def _band(
    where: str,
    band: str,
    recording: Recording,
    conditions: dict[str, Activations],
    data: Targets,
) -> _Band:
    """Resolve a band of the configuration; `where` names the setting in messages.

    Raises
    ------
    RepbiasError
        If it does not exist, is an RDM, is constant or has missing numbers.
    """
    kind, _, column = band.partition(":")
    if kind == "labels":
        return _Band(band, features=_labels(where, column, conditions, data))
    if kind == "stimuli":
        return _Band(band, features=features_of_stimuli(where, band, recording))
    member, _, layer = band.rpartition(":")
    if member not in conditions:
        raise UnknownBand(
            f"{where}: nothing is called {member!r} ({band!r}); "
            f"{nearest(member, [*conditions, 'labels', 'stimuli'])}"
        )
    activations = conditions[member]
    if layer not in activations.layers:
        raise RepbiasError(
            f"{where}: {member!r} has no layer {layer!r}; {nearest(layer, activations.layers)}"
        )
    if activations.rdm_measure is not None:
        raise RepbiasError(f"{where}: {band!r} is no band: {ONLY_RDMS}")
    stimuli = data.rows_in(activations)
    if stimuli is None:
        raise RepbiasError(f"{where}: {member!r} did not see all stimuli of the recording")
    table = activations.networks
    used = np.flatnonzero((table["snapshot"] == "final") & np.asarray(table["included"], bool))
    return _Band(
        band,
        activations=activations,
        layer=layer,
        rows={int(table["seed"][n]): int(n) for n in used},
        stimuli=stimuli,
        several=len(np.unique(table["seed"])) > 1,
    )


def features_of_stimuli(where: str, band: str, recording: Recording) -> np.ndarray:
    """Return a column of a recording's stimuli, `stimuli:column`, as features.

    Parameters
    ----------
    where
        Names the setting in messages.
    band
        As configured.
    recording
        Of these stimuli.

    Returns
    -------
    numpy.ndarray
        (stimulus, feature), stimuli in the order of their ids.

    Raises
    ------
    RepbiasError
        If the column does not exist, is constant or has missing cells.
    """
    column = band.removeprefix("stimuli:")
    columns = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
    if column not in columns:
        raise RepbiasError(
            f"{where}: the recording's stimuli have no column {column!r}; "
            f"{nearest(column, columns)}"
        )
    values = np.asarray(columns[column])[np.argsort(recording.stimulus_ids)]
    return _coded(f"{where}: {band!r}", values)


def _labels(
    where: str, feature: str, conditions: dict[str, Activations], data: Targets
) -> np.ndarray:
    """Return a feature's labels as features, or those of all features, (stimulus, column)."""
    found: dict[str, np.ndarray] = {}
    for member, activations in conditions.items():
        rows = data.rows_in(activations)
        if rows is None:
            continue
        for label, values in activations.labels.items():
            first = found.setdefault(label, values[rows])
            if not np.array_equal(first, values[rows]):
                raise RepbiasError(
                    f"{where}: the labels of {label!r} in {member!r} differ from those in the "
                    "conditions before it"
                )
    if feature and feature not in found:
        raise UnknownBand(f"{where}: no labels of {feature!r}; {nearest(feature, found)}")
    if not found:
        raise UnknownBand(f"{where}: no labels of the recording's stimuli are known")
    used = [feature] if feature else list(found)
    # Classes are names, though they are numbers: of more than two, each is a column.
    found = {f: v.astype(str) if len(np.unique(v)) > 2 else v for f, v in found.items()}
    return np.concatenate([_coded(f"{where}: 'labels:{f}'", found[f]) for f in used], axis=1)


def _coded(where: str, values: np.ndarray) -> np.ndarray:
    """Return a column as features: text one-hot, numbers scaled to a standard deviation of 1.

    Raises
    ------
    RepbiasError
        If it is constant or has missing numbers.
    """
    levels = np.unique(values)
    if values.dtype.kind in "UO":
        if "" in levels:
            raise RepbiasError(f"{where} has cells missing")
        coded = (values[:, None] == levels).astype(float)
    else:
        coded = values.astype(float)[:, None]
        if not np.isfinite(coded).all():
            raise RepbiasError(f"{where} has numbers missing")
    if len(levels) < 2:
        raise RepbiasError(f"{where} is the same for all stimuli")
    return coded if values.dtype.kind in "UO" else coded / coded.std()
