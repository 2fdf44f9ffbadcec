"""The section ``audit:`` of the configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from repbias.base.spec import Spec, refuse_duplicates


class AuditedFeature(Spec):
    """A feature of the stimuli that scores are divided by."""

    column: str | None = None
    """Column of the stimulus table, generated feature, or image statistic (`image.luminance`); by
    default the feature's name."""
    coding: Literal["auto", "categories", "number", "spline", "circular"] = "auto"
    """How it is regressed on: one regressor per category; the number itself, for responses that
    rise or fall with it; a cubic spline, for units that are tuned to values in between; cosines
    and sines, for an angle, a hue or a time of day. `auto` takes text for categories and numbers
    for numbers."""
    df: int = Field(6, ge=2)
    """Degrees of freedom of a spline (4 or more), or cosines and sines of a circular feature (an
    even number: 2 are those of one cycle per period, 4 also those of two, and so on)."""
    period: float | None = Field(None, gt=0)
    """After how much a circular feature is the same again: 360 for a direction in degrees, 180
    for an orientation."""
    product_of: list[str] = []
    """Features whose combinations this one is: every product of their regressors. What each of
    them explains alone stays theirs if they are audited too."""
    reliability: float | None = Field(None, gt=0, le=1)
    """Reliability of the column, such as ratings; errors in it lower a feature's share."""
    role: Literal["task", "nuisance"] | None = None
    """What you say of the feature: that the task or hypothesis is about it, or that it is not."""

    @field_validator("product_of")
    @classmethod
    def _of_two(cls, names: list[str]) -> list[str]:
        if len(names) == 1:
            raise ValueError("a product needs two features or more")
        return refuse_duplicates(names)

    @model_validator(mode="after")
    def _product_or_column(self) -> AuditedFeature:
        if self.product_of and (self.column or self.coding != "auto"):
            raise ValueError(
                "a product has no column and coding of its own; give these to its parts"
            )
        return self

    @model_validator(mode="after")
    def _shape(self) -> AuditedFeature:
        if (self.coding == "circular") != (self.period is not None):
            raise ValueError(
                "coding circular and period go together, such as 180 for an orientation in degrees"
            )
        if self.coding == "circular" and self.df % 2:
            raise ValueError(f"df: expected an even number for coding circular, found {self.df}")
        if self.coding == "spline" and self.df < 4:
            raise ValueError(f"df: expected 4 or more for coding spline, found {self.df}")
        return self


class Audit(Spec):
    """How much of every similarity score is which feature of the stimuli (docs/audit.md)."""

    enabled: bool = True
    """Whether scores are divided at all."""
    features: dict[str, AuditedFeature] = {}
    """The features, as a list of columns or with settings for each. By default: of generated
    stimuli their features; of images the columns that are known of them, or else image
    statistics."""
    missing: Literal["refuse", "leave_out"] = "refuse"
    """What is done about stimuli without a value: nothing is audited, or they are left out."""
    permutations: int = Field(499, ge=19)
    """Permutations of the stimuli behind the question whether there is a score to divide."""
    seed: int = Field(0, ge=0)
    """Seed of permutations, splits of repeats and random orders of many features."""

    @field_validator(
        "features",
        mode="before",
        json_schema_input_type=list[str] | dict[str, AuditedFeature | None],
    )
    @classmethod
    def _listed(cls, features: Any) -> Any:
        if isinstance(features, list):
            return {name: {} for name in refuse_duplicates(features)}
        if isinstance(features, dict):
            return {name: {} if value is None else value for name, value in features.items()}
        return features

    @model_validator(mode="after")
    def _products_exist(self) -> Audit:
        for name, feature in self.features.items():
            for part in feature.product_of:
                if part not in self.features or self.features[part].product_of:
                    raise ValueError(
                        f"features.{name}.product_of: {part!r} is no column among the audited "
                        f"features ({', '.join(self.features)})"
                    )
        if "rest" in self.features:
            raise ValueError("features: 'rest' is what no feature explains; use another name")
        return self
