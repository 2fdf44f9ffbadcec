"""The sections ``stimuli:`` and ``images:`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from repbias.base.spec import InputPath, Name, Spec, nearest, refuse_patterns
from repbias.stimuli.features import FUNCTIONS
from repbias.stimuli.manipulations import LABEL, FeatureManipulations, StimulusManipulations


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


class Bits(StimulusManipulations):
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
    n_train: int = Field(8192, ge=8)
    """Training stimuli."""
    n_validation: int = Field(1024, ge=8)
    """Validation stimuli: they decide when training stops, and linear maps from features to
    representations are fitted on them."""
    n_test: int = Field(1024, ge=8)
    """Test stimuli: all results are measured on them."""
    seed: int = Field(0, ge=0)
    """Seed of the stimuli."""

    @property
    def n_inputs(self) -> int:
        """Length of an input."""
        return sum(f.bits for f in self.features.values()) + self.noise_bits

    @property
    def targets(self) -> list[str]:
        """Names of possible targets of training: the features, and `label` if it is defined."""
        return [*self.features, *([LABEL] if self.label else [])]

    @model_validator(mode="after")
    def _names_are_free(self) -> Bits:
        taken = {LABEL, "interaction", "components", "input", "residual"}
        for name, feature in self.features.items():
            parts = FUNCTIONS[feature.function].components(feature.reads)
            taken |= {f"{name}.{part}" for part in parts}
        for name in self.features:
            if name in taken:
                raise ValueError(
                    f"a feature cannot be called {name!r}: this is the name of a target, a "
                    "sub-component or a part of the variance"
                )
        return self

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


class ImageSet(Spec):
    """A stimulus set: images, a table of their properties, or both."""

    path: InputPath | None = None
    """Folder, archive, or .npy, .npz, .h5 or .mat file of the images."""
    variable: str | None = None
    """Name of the array in an array file; dots step into MATLAB structures."""
    table: InputPath | None = None
    """CSV file with a column `stimulus_id` and further columns, such as categories: for networks of
    kind `features`, for encoding models, and for stimuli that are not images."""

    @model_validator(mode="after")
    def _path_or_table(self) -> ImageSet:
        if self.path is None and self.table is None:
            raise ValueError("give a path (images), a table (CSV), or both")
        for file in self.input_files():
            refuse_patterns(Path(file))
        return self

    def input_files(self) -> list[str]:
        """Return all files that the set is read from; changing one reruns what uses it."""
        table = [str(self.table)] if self.table else []
        if self.path is None:
            return table
        if self.path.is_dir():
            return sorted(str(file) for file in self.path.rglob("*") if file.is_file()) + table
        return [str(self.path), *table]
