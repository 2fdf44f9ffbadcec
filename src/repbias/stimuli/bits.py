"""Strings of bits with statistically independent features, in splits without duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.inputs import Inputs
from repbias.base.spec import Name, nearest
from repbias.stimuli.features import FUNCTIONS
from repbias.stimuli.manipulations import FeatureManipulations
from repbias.stimuli.two_way import TwoWayFamily

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


class Bits(TwoWayFamily):
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

    MORE: ClassVar[str] = "add noise_bits, enlarge the domains"

    @property
    def n_inputs(self) -> int:
        """Length of an input."""
        return sum(f.bits for f in self.features.values()) + self.noise_bits

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

    @property
    def id_bytes(self) -> int:
        """The bits, eight in a byte."""
        return self.n_inputs // 8

    @model_validator(mode="after")
    def _room_enough(self) -> Bits:
        needed = self.n_train + self.n_validation + self.n_test
        # Stratified sampling without duplicates needs slack, so at most half of all strings.
        if self.n_inputs < 40 and needed > 2**self.n_inputs // 2:
            raise ValueError(
                f"{needed} different stimuli do not fit into {self.n_inputs} bits "
                f"(at most {2**self.n_inputs // 2}); add noise_bits or ask for fewer"
            )
        return self

    def candidates(self, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield batches of n or more strings, (string, bit) uint8 in {0, 1}.

        Short ones are all strings in random order, others random draws.
        """
        width, size = self.n_inputs, max(2 * n, 1024)
        if width <= _ENUMERATE_UP_TO:
            every = rng.permutation(2**width)
            for start in range(0, len(every), size):
                some = every[start : start + size, None]
                yield (some >> np.arange(width) & 1).astype(np.uint8)
            return
        for _ in range(_MAX_DRAWS):
            yield rng.integers(0, 2, size=(size, width), dtype=np.uint8)

    def labels_of(self, drawn: np.ndarray) -> np.ndarray:
        """Compute the label of every feature, (string, feature), uint8 in {0, 1}."""
        columns, start = [], 0
        for feature in self.features.values():
            domain = drawn[:, start : start + feature.reads]
            # A random formula is part of the task, so it depends on the seed only. (`start` alone
            # would not do: a trailing 0 in a seed does not change the stream.)
            formula = np.random.default_rng([self.seed, start + 1])
            columns.append(FUNCTIONS[feature.function].compute(domain, formula))
            start += feature.bits
        return np.stack(columns, axis=1).astype(np.uint8)

    def components_of(self, drawn: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Compute the labels of single bits, and of the inner XORs of a parity ("hard.xor12")."""
        names, columns, start = [], [np.zeros((len(drawn), 0), np.uint8)], 0
        for name, feature in self.features.items():
            for part, read in FUNCTIONS[feature.function].components(feature.reads).items():
                names.append(f"{name}.{part}")
                columns.append(drawn[:, start + np.array(read)].sum(axis=1, keepdims=True) % 2)
            start += feature.bits
        return names, np.concatenate(columns, axis=1).astype(np.uint8)

    def identifiers(self, drawn: np.ndarray) -> np.ndarray:
        """Return the bits in hexadecimal."""
        packed = np.packbits(drawn, axis=1)
        return np.frombuffer(packed.tobytes().hex().encode(), f"S{2 * packed.shape[1]}").astype(str)

    def shown_as(self, drawn: np.ndarray) -> np.ndarray:
        """Return the values of bits times the gains of their domains, (string, bit) float32."""
        values = drawn.astype(np.float32)
        if self.coding == "signed":
            values = 2 * values - 1
        gains = [np.full(f.bits, f.gain, np.float32) for f in self.features.values()]
        gain = np.concatenate([*gains, np.ones(self.noise_bits, np.float32)])
        return values * gain
