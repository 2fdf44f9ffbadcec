"""Sequences of tokens with statistically independent features of two classes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.imports import check_import_path, files_of_import_paths, imported, told
from repbias.base.inputs import Inputs
from repbias.base.spec import Name, RepbiasError, nearest
from repbias.stimuli.manipulations import FeatureManipulations
from repbias.stimuli.token_features import FUNCTIONS, TokenFunction
from repbias.stimuli.two_way import TwoWayFamily

#: Batches drawn before giving up on a combination of labels.
_MAX_DRAWS = 200


class TokenFeature(FeatureManipulations):
    """A feature of two classes, computed from the tokens at some places of the sequence."""

    function: str
    """The function of the tokens that defines the feature: `member` (the token is in a set of half
    of the vocabulary), `majority` (more than half of the tokens are), `xor` (an odd number is),
    `equal` (first equals last), `present` (one token occurs), `count_parity` (it occurs an odd
    number of times); or `package.module:function` of yours, called with tokens (stimulus, place),
    a random generator that decides which tokens the feature is about, and the size of the
    vocabulary. It returns labels (stimulus,) of 0 and 1."""
    span: int | None = Field(None, ge=1)
    """How many places the function reads; each has its own default, yours all."""
    places: list[int] | None = None
    """The places that it reads, from 0; drawn with the task when left out, such that no two
    features read the same place unless they read all."""

    @field_validator("function")
    @classmethod
    def _known(cls, name: str) -> str:
        if ":" in name:
            return check_import_path(name)
        if name not in FUNCTIONS:
            raise ValueError(f"unknown feature function; {nearest(name, FUNCTIONS)}")
        return name

    @property
    def known(self) -> TokenFunction | None:
        """The function; None of a user's own."""
        return FUNCTIONS.get(self.function)

    @property
    def reads(self) -> int | None:
        """Number of places that the function reads; None for all."""
        if self.places is not None:
            return len(self.places)
        return self.span or (self.known.reads if self.known else None)

    @model_validator(mode="after")
    def _possible(self) -> TokenFeature:
        if self.places is not None and self.span not in (None, len(self.places)):
            raise ValueError(f"span is {self.span}, but there are {len(self.places)} places")
        if self.places is not None and len(set(self.places)) < len(self.places):
            raise ValueError(f"places: one occurs twice in {self.places}")
        function = self.known
        if function and function.fixed and self.reads != function.reads:
            raise ValueError(f"'{self.function}' reads {function.reads} place, found {self.reads}")
        if function and function.odd and (self.reads or 1) % 2 == 0:
            raise ValueError(f"'{self.function}' needs an odd number of places, not {self.reads}")
        return self


class Tokens(TwoWayFamily):
    """Sequences of random tokens."""

    kind: Literal["tokens"]
    """Sequences of tokens."""
    features: dict[Name, TokenFeature] = Field(min_length=1, max_length=12)
    """The features by name; they are independent and balanced, except where training stimuli are
    manipulated (below)."""
    vocabulary: int = Field(16, ge=2, le=256)
    """Number of different tokens."""
    length: int = Field(16, ge=1, le=256)
    """Tokens of a stimulus."""
    task: int = Field(0, ge=0)
    """Seed of what features are about: their places, tokens and sets of tokens."""

    MORE: ClassVar[str] = "give more tokens or a longer sequence"

    @property
    def inputs(self) -> Inputs:
        """A row of tokens."""
        return Inputs((self.length,), "int64", self.vocabulary)

    def places(self) -> dict[str, list[int]]:
        """Return the places that every feature reads, from 0."""
        rng = np.random.default_rng([self.task, 0])
        said: dict[str, list[int]] = {}
        for name, feature in self.features.items():
            if feature.reads is None:
                said[name] = list(range(self.length))
            elif feature.places is not None:
                said[name] = feature.places
            elif feature.known and feature.known.ends and feature.reads == 2:
                said[name] = [0, self.length - 1]
        whole = {name for name, f in self.features.items() if f.reads is None}
        taken = {place for name, places in said.items() if name not in whole for place in places}
        free = [int(place) for place in rng.permutation(self.length) if place not in taken]
        for name, feature in self.features.items():
            if name not in said:
                n = feature.reads or 0
                said[name], free = sorted(free[:n]), free[n:]
        return {name: said[name] for name in self.features}

    def candidates(self, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield batches of random sequences, (sequence, place) uint8."""
        # Tasks have sequences of their own, as they are what claims hold over.
        rng = np.random.default_rng([int(rng.integers(2**63)), self.task])
        size = max(2 * n, 1024), self.length
        for _ in range(_MAX_DRAWS):
            yield rng.integers(self.vocabulary, size=size, dtype=np.uint8)

    def labels_of(self, drawn: np.ndarray) -> np.ndarray:
        """Compute the label of every feature, (sequence, feature), uint8 in {0, 1}."""
        columns = []
        for name, places in self.places().items():
            feature = self.features[name]
            given = drawn[:, places].astype(np.int64)
            if feature.known:
                columns.append(feature.known.compute(given, self.chosen(name)))
            else:
                columns.append(self._by_own_function(feature.function, given, name))
        return np.stack(columns, axis=1).astype(np.uint8)

    def _by_own_function(self, function: str, given: np.ndarray, name: str) -> np.ndarray:
        """Compute labels by a function of the user's."""
        compute = imported(function)
        try:
            labels = np.asarray(compute(given, self._numbers(name), self.vocabulary))
        except Exception as error:
            raise RepbiasError(f"{function}: {told(error)}") from error
        if labels.shape != (len(given),) or not np.isin(labels, (0, 1)).all():
            raise RepbiasError(
                f"{function}: expected labels of 0 and 1 of shape ({len(given)},), found "
                f"{labels.shape} of type {labels.dtype}"
            )
        return labels

    def _numbers(self, name: str) -> np.random.Generator:
        """Return the random numbers that decide what a feature is about."""
        return np.random.default_rng([self.task, 1 + list(self.features).index(name)])

    def chosen(self, name: str) -> np.ndarray:
        """Return which tokens a feature is about, (token,) bool.

        They are half of the vocabulary, or one token, which no other such feature is about.
        """
        if name not in (alone := self._of_one_token()):
            return self._numbers(name).permutation(self.vocabulary) < self.vocabulary // 2
        order = np.random.default_rng([self.task, 0, 1]).permutation(self.vocabulary)
        return np.arange(self.vocabulary) == order[alone.index(name)]

    def _of_one_token(self) -> list[str]:
        return [name for name, f in self.features.items() if f.known and f.known.one]

    def components(self, feature: str) -> dict[str, int]:
        """Return membership in the feature's set at each of several places, "place1" the first."""
        spec = self.features[feature]
        parts = spec.known is not None and spec.known.parts and (spec.reads or 0) > 1
        return {f"place{i + 1}": 2 for i in range(spec.reads or 0)} if parts else {}

    def components_of(self, drawn: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Compute the labels of the sub-components."""
        names, columns = [], [np.zeros((len(drawn), 0), np.uint8)]
        for feature, places in self.places().items():
            for part, place in zip(self.components(feature), places, strict=False):
                names.append(f"{feature}.{part}")
                columns.append(self.chosen(feature)[drawn[:, place], None].astype(np.uint8))
        return names, np.concatenate(columns, axis=1)

    def identifiers(self, drawn: np.ndarray) -> np.ndarray:
        """Return the tokens in hexadecimal, two digits each."""
        text = np.ascontiguousarray(drawn).tobytes().hex().encode()
        return np.frombuffer(text, f"S{2 * self.length}").astype(str)

    def shown_as(self, drawn: np.ndarray) -> np.ndarray:
        """Return the tokens, (sequence, place) int64."""
        return drawn.astype(np.int64)

    def definition(self, feature: str) -> Hashable:
        """Return the function, and how many tokens it reads."""
        spec = self.features[feature]
        return spec.function, spec.reads

    def source_files(self) -> list[str]:
        """Return the files of the user's own functions."""
        return files_of_import_paths(f.function for f in self.features.values() if f.known is None)

    @property
    def id_bytes(self) -> int:
        """Two digits for each token."""
        return 2 * self.length

    @model_validator(mode="after")
    def _room_enough(self) -> Tokens:
        for name, feature in self.features.items():
            for place in feature.places or []:
                if not 0 <= place < self.length:
                    raise ValueError(
                        f"features.{name}.places: no place {place} in {self.length} tokens"
                    )
        said = [(f.function, tuple(self.places()[n])) for n, f in self.features.items() if f.known]
        alike = [(f, p) for f, p in said if not FUNCTIONS[f].one and said.count((f, p)) > 1]
        if any(FUNCTIONS[f].ends for f, _ in alike):
            raise ValueError("two features ask whether the same tokens are equal: give places")
        needed = {name: f.reads or 0 for name, f in self.features.items()}
        for name, places in self.places().items():
            if needed[name] and len(places) < needed[name]:
                raise ValueError(
                    f"features read {sum(needed.values())} places, more than the {self.length} "
                    f"tokens: none are left for {name}; make sequences longer, or name places"
                )
        if len(alone := self._of_one_token()) > self.vocabulary:
            raise ValueError(
                f"{len(alone)} features are about a token each, of which there are "
                f"{self.vocabulary}"
            )
        if self.length * np.log2(self.vocabulary) < 40:
            total = self.n_train + self.n_validation + self.n_test
            if total > self.vocabulary**self.length // 2:
                raise ValueError(
                    f"{total} different stimuli do not fit into {self.length} of "
                    f"{self.vocabulary} tokens; {self.MORE}"
                )
        return self
