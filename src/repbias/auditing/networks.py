"""The audit of networks with each other: how much of their similarity is which feature."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from repbias.auditing.design import Design
from repbias.auditing.gates import LEVEL, permutation_p
from repbias.auditing.kernels import squared
from repbias.auditing.scores import energy_law, jackknifed_shares
from repbias.auditing.shares import REST, Freed, block_parts, kernel_of, score_parts
from repbias.auditing.spec import Audit
from repbias.auditing.tables import Known, in_order, labels_of, pairs_of, shares_table
from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.rsa.rdms import Rdms, aligned_vectors
from repbias.rsa.tables import rdm_table
from repbias.stimuli.images import Images

logger = logging.getLogger(__name__)

#: Networks of a kind from which on intervals are over them.
MIN_NETWORKS = 3
NEW_NETWORKS = "these stimuli, other networks like these"
THESE_NETWORKS = "these stimuli and networks: without error"


class _Layer(NamedTuple):
    """A layer of the networks of a condition at a snapshot.

    Attributes
    ----------
    condition, layer : names
    kernels : (network, stimulus, stimulus)
    networks : (network,) their names
    """

    condition: str
    layer: str
    kernels: np.ndarray
    networks: np.ndarray


def audit_networks(
    experiment: str,
    conditions: Mapping[str, Rdms],
    layers: Mapping[str, Sequence[str]],
    images: Images | None,
    statistics: Mapping[str, Mapping[str, float]],
    spec: Audit,
) -> pd.DataFrame:
    """Divide the similarity of every two conditions' networks among features of the stimuli.

    A row is of the networks of two conditions (or of one): the mean over pairs of different
    networks that met the inclusion criterion, at the same snapshot.

    Parameters
    ----------
    experiment
        The experiment or image set.
    conditions
        Condition, or network of the user, to its RDMs.
    layers
        Condition to the layers that are compared.
    images
        The set of images with its columns; None of generated stimuli.
    statistics
        Image statistics, each by stimulus id.
    spec
        Settings.

    Returns
    -------
    pandas.DataFrame
        The table audit_networks; of conditions that saw the stimuli of the first one.
    """
    first = next(iter(conditions))
    ids = np.array(conditions[first].pattern_descriptors["stimulus_id"])
    columns = labels_of(conditions, ids) | in_order(statistics, ids)
    if images is not None:
        rows = [images.ids.index(str(i)) for i in ids]
        columns |= {name: values[rows] for name, values in images.columns.items()}
    where = {"experiment": experiment}
    try:
        known = Known.of(columns, spec)
        if known is None:
            logger.info("%s: nothing is known of the stimuli", experiment)
            return shares_table("audit_networks", [])
        found = list(_compared(conditions, layers, ids, known, spec, where))
    except RepbiasError as error:
        logger.warning("%s: %s", experiment, error)
        return shares_table("audit_networks", [where | {"warning": str(error)}])
    return shares_table("audit_networks", found)


def _compared(
    conditions: Mapping[str, Rdms],
    layers: Mapping[str, Sequence[str]],
    ids: np.ndarray,
    known: Known,
    spec: Audit,
    where: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Go through the rows of all pairs of conditions and layers."""
    shown = {
        name: rdms
        for name, rdms in conditions.items()
        if set(ids) <= set(rdms.pattern_descriptors["stimulus_id"])
    }
    for name in conditions.keys() - shown.keys():
        logger.warning("%s saw other stimuli; not audited", name)
    for name, rdms in list(shown.items()):
        try:
            squared(rdms.dissimilarities[:0], rdms.dissimilarity_measure)
        except RepbiasError as error:  # of this model alone
            logger.warning("%s: %s", name, error)
            yield where | {"condition_a": name, "warning": str(error)}
            del shown[name]
    if not shown:
        return
    measures = {rdms.dissimilarity_measure for rdms in shown.values()}
    about = where | {"measure": ", ".join(sorted(measures)), "n_stimuli": int(known.rows.sum())}
    snapshots = pd.concat([rdm_table(c, r) for c, r in shown.items()])["snapshot"].unique()
    orthogonal = known.design.orthogonal()
    for snapshot in snapshots:
        of_snapshot = [
            layer
            for condition, rdms in shown.items()
            for layer in _layers(condition, rdms, layers[condition], ids, snapshot, known.rows)
        ]
        freed = [[Freed.of(k, known.design) for k in layer.kernels] for layer in of_snapshot]
        energies = [energies_of(layer, known.design) for layer in freed]
        own = [np.stack([block_parts(k, k, orthogonal) for k in layer]) for layer in freed]
        nothing = StimulusGroups.alone(known.design.n_stimuli)
        for i, a in enumerate(of_snapshot):
            others = of_snapshot[i:]
            means = [b.kernels.mean(axis=0) for b in others]
            gate_p = permutation_p(means, means[0], nothing, spec.permutations, spec.seed)
            for j, b in enumerate(others):
                if a.condition == b.condition and len({*a.networks, *b.networks}) < 2:
                    continue  # one network has no other to be compared with
                found = np.array(
                    [[score_parts(x, y, known.design) for y in freed[i + j]] for x in freed[i]]
                )
                predicted = energy_law(own[i][:, None], own[i + j][None])
                predicted[..., -1] = found[..., -1]
                for parts in (found, predicted):
                    parts /= np.sqrt(np.outer(energies[i], energies[i + j]))[:, :, None]
                gate = {"gate": bool(gate_p[j] <= LEVEL), "gate_p": gate_p[j]}
                at = about | gate | {"snapshot": snapshot}
                yield from _rows(a, b, found, predicted, [*known.design.names, REST], at)


def _layers(
    condition: str,
    rdms: Rdms,
    chosen: Sequence[str],
    ids: np.ndarray,
    snapshot: str,
    rows: np.ndarray,
) -> Iterator[_Layer]:
    info = rdm_table(condition, rdms)
    vectors = squared(aligned_vectors(rdms, ids, condition), rdms.dissimilarity_measure)
    pairs = pairs_of(rows)
    for layer in chosen:
        used = info["included"].astype(bool) & (info["snapshot"] == snapshot)
        used &= (info["layer"] == layer) & np.isfinite(vectors).all(axis=1)
        if used.any():
            kernels = np.stack([kernel_of(v[pairs]) for v in vectors[used.to_numpy()]])
            yield _Layer(condition, layer, kernels, info.loc[used, "network"].to_numpy())


def energies_of(kernels: Sequence[Freed], design: Design) -> np.ndarray:
    """Return every network's similarity with itself, (network,); NaN where it is not positive."""
    own = np.array([score_parts(k, k, design).sum() for k in kernels])
    return np.where(own > 0, own, np.nan)


def _rows(
    a: _Layer,
    b: _Layer,
    found: np.ndarray,
    predicted: np.ndarray,
    features: Sequence[str],
    about: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Average the parts of the similarities of two layers' networks.

    Parameters
    ----------
    a, b
        The layers.
    found
        (network, network, feature and rest), parts of the similarity of every pair.
    predicted
        The same by the energy law.
    features
        Their names.
    about
        Other columns.
    """
    different = np.ones((len(a.networks), len(b.networks)), bool)
    if a.condition == b.condition:
        different = a.networks[:, None] != b.networks
    found[~different] = predicted[~different] = np.nan
    mean, by_law = (np.nanmean(parts, axis=(0, 1)) for parts in (found, predicted))
    score = mean.sum()
    low, high, p = _over_networks(found, a, b)
    for f, feature in enumerate(features):
        yield about | {
            "condition_a": a.condition,
            "layer_a": a.layer,
            "condition_b": b.condition,
            "layer_b": b.layer,
            "n_networks_a": len(a.networks),
            "n_networks_b": len(b.networks),
            "feature": feature,
            "share": mean[f] / score,
            "predicted": by_law[f] / by_law.sum(),
            "ci_low": low[f],
            "ci_high": high[f],
            "p": p[f],
            "target": NEW_NETWORKS if np.isfinite(low[f]) else THESE_NETWORKS,
            "score": score,
        }


def _over_networks(
    found: np.ndarray, a: _Layer, b: _Layer
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 95 % intervals of shares and p values of parts, by a jackknife over networks.

    Parameters
    ----------
    found
        (network, network, feature and rest), NaN where there is no pair.
    a, b
        Whose networks these are; one that is on both sides is left out of both.
    """
    unknown = np.full(found.shape[2], np.nan)
    names = list(dict.fromkeys([*a.networks, *b.networks]))
    if min(len(a.networks), len(b.networks)) < MIN_NETWORKS:
        return unknown, unknown, unknown
    left_out = (
        [[(name, name) for name in names]]
        if a.condition == b.condition
        else [[(name, None) for name in a.networks], [(None, name) for name in b.networks]]
    )
    groups = [
        np.stack(
            [np.nanmean(found[a.networks != x][:, b.networks != y], axis=(0, 1)) for x, y in group]
        )
        for group in left_out
    ]
    return jackknifed_shares(np.nanmean(found, axis=(0, 1)), groups)
