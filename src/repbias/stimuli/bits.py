"""Strings of bits with statistically independent features, in splits without duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.inputs import Inputs
from repbias.base.spec import Name, RepbiasError, nearest
from repbias.stimuli.combinations import shares
from repbias.stimuli.family import StimulusFamily
from repbias.stimuli.features import FUNCTIONS
from repbias.stimuli.manipulations import (
    LABEL,
    FeatureManipulations,
    StimulusManipulations,
    confusion,
    noisy_labels,
    supervised_stimuli,
    training_probabilities,
)

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

#: Strings up to this length are enumerated, longer ones are drawn at random.
_ENUMERATE_UP_TO = 18
#: Batches drawn before giving up on a combination of labels.
_MAX_DRAWS = 500


class Feature(FeatureManipulations):
    """A binary feature, computed from the first k bits of its own domain of the input."""

    function: str = Field(json_schema_extra={"enum": list(FUNCTIONS)})
    """The function of the bits that defines the feature."""
    k: int | None = Field(None, ge=1)
    """Number of bits that the function reads; each function has its own default."""
    bits: int = Field(16, ge=1, le=64)
    """Size of the feature's domain; bits after the first k are irrelevant to the label."""
    gain: float = Field(1.0, gt=0)
    """Factor on the input values of the domain ("availability"), in all splits."""

    @field_validator("function")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FUNCTIONS:
            raise ValueError(f"unknown feature function; {nearest(name, FUNCTIONS)}")
        return name

    @property
    def reads(self) -> int:
        """Number of bits that the function reads."""
        return self.k or FUNCTIONS[self.function].default_k

    @model_validator(mode="after")
    def _possible(self) -> Feature:
        function = FUNCTIONS[self.function]
        if function.fixed and self.reads != function.default_k:
            raise ValueError(
                f"'{self.function}' reads exactly {function.default_k} bits, but k is {self.k}; "
                "leave k out"
            )
        if function.odd and self.reads % 2 == 0:
            raise ValueError(f"'{self.function}' needs an odd k, but k is {self.reads}")
        if self.reads > self.bits:
            raise ValueError(f"k is {self.reads}, more than the domain's bits ({self.bits})")
        return self


class Bits(StimulusFamily, StimulusManipulations):
    """Strings of bits: one domain per feature, followed by noise bits."""

    kind: Literal["bits"] = "bits"
    """Strings of bits."""
    features: dict[Name, Feature] = Field(min_length=1, max_length=12)
    """The features by name; they are independent and balanced, except where training stimuli are
    manipulated (below)."""
    noise_bits: int = Field(0, ge=0, le=512)
    """Bits that no feature reads."""
    coding: Literal["signed", "binary"] = "signed"
    """Input values of a bit: -1 and 1, or 0 and 1."""

    @property
    def n_inputs(self) -> int:
        """Length of an input."""
        return sum(f.bits for f in self.features.values()) + self.noise_bits

    @property
    def classes(self) -> dict[str, int]:
        """Feature to its number of classes: two."""
        return dict.fromkeys(self.features, 2)

    @property
    def targets(self) -> dict[str, int]:
        """The features, and `label` if it is defined; two classes each."""
        return self.classes | ({LABEL: 2} if self.label else {})

    @property
    def inputs(self) -> Inputs:
        """A row of numbers."""
        return Inputs((self.n_inputs,))

    def components(self, feature: str) -> dict[str, int]:
        """Return the bits that the feature reads, and inner XORs; two classes each."""
        spec = self.features[feature]
        return dict.fromkeys(FUNCTIONS[spec.function].components(spec.reads), 2)

    def definition(self, feature: str) -> tuple[str, int]:
        """Return the function, and the number of bits that it reads."""
        spec = self.features[feature]
        return spec.function, spec.reads

    def best_accuracy(self, target: str) -> float:
        """Return what can be known of `label`, which is drawn given the features."""
        if target != LABEL:
            return 1.0
        # On test stimuli the features are balanced.
        _, given = training_probabilities(self.features, self)
        return float(np.maximum(given, 1 - given).mean())

    @property
    def id_bytes(self) -> int:
        """The bits, eight in a byte."""
        return self.n_inputs // 8

    @model_validator(mode="after")
    def _room_enough(self) -> Bits:
        smallest = min(self.n_train, self.n_validation, self.n_test)
        if 2 ** len(self.features) > smallest:
            raise ValueError(
                f"{len(self.features)} features have {2 ** len(self.features)} combinations of "
                f"labels, which {smallest} stimuli cannot balance; increase the smallest of "
                "n_train, n_validation and n_test to at least as many"
            )
        needed = self.n_train + self.n_validation + self.n_test
        # Stratified sampling without duplicates needs slack, so at most half of all strings.
        if self.n_inputs < 40 and needed > 2**self.n_inputs // 2:
            raise ValueError(
                f"{needed} different stimuli do not fit into {self.n_inputs} bits "
                f"(at most {2**self.n_inputs // 2}); add noise_bits or ask for fewer"
            )
        return self

    def draw(
        self,
        sizes: Mapping[str, int],
        rng: np.random.Generator,
        taken: frozenset[str] = frozenset(),
    ) -> Stimuli:
        """Draw stimuli.

        In the validation and test splits every combination of labels occurs equally often (up to
        rounding), so the features are independent and balanced by construction. In the training
        split combinations occur as often as the manipulations demand. Every prefix of the
        validation and test stimuli is balanced too, so the first n can be analysed alone.

        Returns
        -------
        Stimuli
            Inputs (stimulus, bit) float32, labels, and ids (the bits in hexadecimal).

        Raises
        ------
        RepbiasError
            If there are too few strings with a combination of labels.
        """
        from repbias.io.stimuli import Stimuli

        _, label_given_cell = training_probabilities(self.features, self)
        # quota[s, c]: stimuli of label combination ("cell") c in split s.
        quota = np.array([shares(n, self._probabilities(s), rng) for s, n in sizes.items()])
        bits, cells = _collect(self, quota.sum(axis=0), rng, taken)
        rows, split = _assign_splits(cells, quota, list(sizes))
        bits, cells = bits[rows], cells[rows]

        labels = compute_labels(self, bits)
        if self.label:
            drawn = rng.random(len(bits)) < label_given_cell[cells]
            labels = np.column_stack([labels, drawn.astype(np.uint8)])
        components, component_labels = compute_components(self, bits)
        settings = self.features.items()
        supervised = supervised_stimuli(
            {name: f.supervised for name, f in settings}, list(self.targets), split, rng
        )
        noise = {name: f.label_noise for name, f in settings}
        return Stimuli(
            inputs=_encode(self, bits),
            ids=identifiers(bits),
            split=split,
            features=list(self.targets),
            labels=noisy_labels(labels, noise, self.targets, split, rng),
            components=components,
            component_labels=component_labels,
            supervised=supervised,
        )

    def audit(self, stimuli: Stimuli) -> dict[str, dict[str, float]]:
        """Check that the features are distributed as specified.

        Returns
        -------
        dict
            For every split: its size, each target's prevalence, and the largest deviation of a phi
            coefficient between two features from the specified one (0 outside training).

        Raises
        ------
        RepbiasError
            If a feature is constant, or a prevalence or correlation is off by more than five
            standard errors of independent features (5 / sqrt(n)), or one half.
        """
        return {
            split: _audit_split(
                split,
                stimuli.labels[stimuli.split == split].astype(float),
                self._label_probabilities(split),
                stimuli.features,
            )
            for split in dict.fromkeys(stimuli.split.tolist())
        }

    def _probabilities(self, split: str) -> np.ndarray:
        """Return how often each combination of classes occurs in a split."""
        training, _ = training_probabilities(self.features, self)
        return training if split == "train" else np.full(len(training), 1 / len(training))

    def _label_probabilities(self, split: str) -> np.ndarray:
        """Return how often each combination of labels occurs: classes, but for label noise."""
        p = self._probabilities(split)
        if split == "train":
            for i, feature in enumerate(self.features.values()):
                # Classes of the features after this one, of this one, and of those before it.
                table = p.reshape(-1, 2, 2**i)
                p = (confusion(2, feature.label_noise).T @ table).reshape(-1)
        return p


def compute_labels(spec: Bits, bits: np.ndarray) -> np.ndarray:
    """Compute the label of every feature.

    Parameters
    ----------
    spec
        Features and their domains, in the order of the input.
    bits
        Bits of shape (stimulus, bit), uint8 in {0, 1}.

    Returns
    -------
    numpy.ndarray
        Labels of shape (stimulus, feature), uint8 in {0, 1}.
    """
    columns, start = [], 0
    for feature in spec.features.values():
        domain = bits[:, start : start + feature.reads]
        # A random formula is part of the task, so it depends on the seed only. (`start` alone would
        # not do: a trailing 0 in a seed does not change the stream.)
        formula = np.random.default_rng([spec.seed, start + 1])
        columns.append(FUNCTIONS[feature.function].compute(domain, formula))
        start += feature.bits
    return np.stack(columns, axis=1).astype(np.uint8)


def compute_components(spec: Bits, bits: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Compute the labels of sub-components of features, such as the inner XORs of a parity.

    Returns
    -------
    names : list of str
        Such as "hard.bit1" and "hard.xor12".
    labels : numpy.ndarray
        (stimulus, component), uint8 in {0, 1}.
    """
    names, columns, start = [], [np.zeros((len(bits), 0), np.uint8)], 0
    for name, feature in spec.features.items():
        for part, read in FUNCTIONS[feature.function].components(feature.reads).items():
            names.append(f"{name}.{part}")
            columns.append(bits[:, start + np.array(read)].sum(axis=1, keepdims=True) % 2)
        start += feature.bits
    return names, np.concatenate(columns, axis=1).astype(np.uint8)


def identifiers(bits: np.ndarray) -> np.ndarray:
    """Return the ids of strings of bits: the bits in hexadecimal."""
    packed = np.packbits(bits, axis=1)
    return np.frombuffer(packed.tobytes().hex().encode(), f"S{2 * packed.shape[1]}").astype(str)


def _audit_split(
    split: str, labels: np.ndarray, probabilities: np.ndarray, targets: list[str]
) -> dict[str, float]:
    """Compare the labels (stimulus, target) of a split with the distribution of its features."""
    mean, phi = _moments(probabilities)
    n_features = len(mean)  # a further target is the label that features predict
    prevalence = labels.mean(axis=0)
    allowed = min(5 / np.sqrt(len(labels)), 0.5)
    for i, name in enumerate(targets[:n_features]):
        if prevalence[i] in (0, 1):
            raise RepbiasError(f"the independence audit failed: '{name}' is constant in {split}")
        if abs(prevalence[i] - mean[i]) > allowed:
            raise RepbiasError(
                f"the independence audit failed: the prevalence of '{name}' in {split} is "
                f"{prevalence[i]:.3f}, expected {mean[i]:.3f} (±{allowed:.3f})"
            )
    found = np.atleast_2d(np.corrcoef(labels[:, :n_features], rowvar=False))
    deviation = np.abs(found - phi)
    if deviation.max() > allowed:
        i, j = np.unravel_index(deviation.argmax(), deviation.shape)
        raise RepbiasError(
            f"the independence audit failed: '{targets[i]}' and '{targets[j]}' correlate with "
            f"phi = {found[i, j]:.3f} in {split}, expected {phi[i, j]:.3f} (±{allowed:.3f})"
        )
    return {
        "n": float(len(labels)),
        "max_phi_deviation": float(deviation.max()),
        **{f"prevalence_{n}": float(p) for n, p in zip(targets, prevalence, strict=True)},
    }


def _moments(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and correlations of the features, given their joint distribution."""
    n_features = int(np.log2(len(probabilities)))
    labels = np.arange(len(probabilities))[:, None] >> np.arange(n_features) & 1
    mean = probabilities @ labels
    centred = labels - mean
    covariance = (centred * probabilities[:, None]).T @ centred
    scale = np.sqrt(np.diag(covariance))
    return mean, covariance / np.outer(scale, scale)


def _collect(
    spec: Bits, wanted: np.ndarray, rng: np.random.Generator, taken: frozenset[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Find `wanted[c]` different strings, none of them taken, for every combination c of labels.

    Returns
    -------
    bits : numpy.ndarray
        (string, bit), uint8 in {0, 1}.
    cells : numpy.ndarray
        (string,), the combination of each string.
    """
    weights = 2 ** np.arange(len(spec.features))
    found: list[np.ndarray] = []
    found_cells: list[np.ndarray] = []
    missing = wanted.copy()
    seen = set(taken)
    for bits in _candidates(spec, int(wanted.sum()), rng):
        ids = identifiers(bits)
        fresh = np.array([i not in seen for i in ids.tolist()])
        fresh[np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])] = False
        cells = compute_labels(spec, bits).astype(int) @ weights
        # The first `missing` fresh strings of each cell.
        take = np.concatenate(
            [np.flatnonzero(fresh & (cells == c))[: missing[c]] for c in range(len(wanted))]
        )
        seen.update(ids[take].tolist())
        found.append(bits[take])
        found_cells.append(cells[take])
        missing -= np.bincount(cells[take], minlength=len(wanted))
        if not missing.any():
            return np.concatenate(found), np.concatenate(found_cells)
    cell = int(missing.argmax())
    combination = ", ".join(f"{n}={cell >> i & 1}" for i, n in enumerate(spec.features))
    raise RepbiasError(
        f"stimuli: not enough different stimuli with {combination}: found "
        f"{wanted[cell] - missing[cell]} of {wanted[cell]}; add noise_bits, enlarge the domains, "
        "choose a more balanced function, or ask for fewer stimuli"
    )


def _assign_splits(
    cells: np.ndarray, quota: np.ndarray, splits: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Distribute strings over the splits such that every prefix of a split is balanced.

    Parameters
    ----------
    cells
        (string,), the combination of labels of each string.
    quota
        (split, combination), numbers of stimuli.
    splits
        Names of the splits.

    Returns
    -------
    rows : numpy.ndarray
        (stimulus,), indices of strings.
    split : numpy.ndarray
        (stimulus,) str.
    """
    rows, split = [], []
    for cell in range(quota.shape[1]):
        members = np.flatnonzero(cells == cell)
        bounds = np.cumsum(quota[:, cell])
        for i, (start, stop) in enumerate(zip(bounds - quota[:, cell], bounds, strict=True)):
            rows.append(members[start:stop])
            split += [i] * (stop - start)
    # Round-robin over the cells: the i-th stimuli of all combinations, then the (i+1)-th.
    turn = np.concatenate([np.arange(len(r)) for r in rows])
    order = np.lexsort([turn, np.array(split)])
    return np.concatenate(rows)[order], np.array(splits)[np.array(split)[order]]


def _candidates(spec: Bits, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of n or more strings: all of them in random order, or random draws."""
    width, size = spec.n_inputs, max(2 * n, 1024)
    if width <= _ENUMERATE_UP_TO:
        every = rng.permutation(2**width)
        for start in range(0, len(every), size):
            some = every[start : start + size, None]
            yield (some >> np.arange(width) & 1).astype(np.uint8)
        return
    for _ in range(_MAX_DRAWS):
        yield rng.integers(0, 2, size=(size, width), dtype=np.uint8)


def _encode(spec: Bits, bits: np.ndarray) -> np.ndarray:
    values = bits.astype(np.float32)
    if spec.coding == "signed":
        values = 2 * values - 1
    gains = [np.full(f.bits, f.gain, np.float32) for f in spec.features.values()]
    gain = np.concatenate([*gains, np.ones(spec.noise_bits, np.float32)])
    return values * gain
