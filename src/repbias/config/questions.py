"""What ``questions:`` may say in the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from repbias.base.spec import Spec

#: A value of a column, or several, any of which a row may have.
Wanted = str | bool | int | float | list[str | bool | int | float]
#: Which rows: column to what it may hold.
Rows = dict[str, Wanted]


class Question(Spec):
    """A question of your own, decided like a claim: a difference, or a trend over a numeric axis.

    Rows are those of included networks, in the analysed layer, by the first RDM similarity and
    with all candidates, unless a filter or the axis names `included`, `layer`, `rdm_similarity`
    or `left_out`; and at the end of training and at first mastery, one verdict each, unless
    `snapshot` or `step` is named.
    """

    asks: str = Field(min_length=1)
    """What is claimed, in your words: that the difference, or the trend, is positive."""
    table: str
    """The table."""
    column: str
    """The column of numbers that is compared."""
    where: Rows = {}
    """Which rows take part: columns and their values, one or a list."""
    this: Rows = {}
    """For a difference: which of these rows are claimed to have the larger mean."""
    minus: Rows = {}
    """For a difference: which of them are claimed to have the smaller one."""
    trend: str | None = None
    """For a trend: the axis, a numeric column of the table or the dotted path of a varied setting
    with numeric levels."""
    units: Literal["networks", "subjects"] = "networks"
    """What is independent. A network or subject that has rows on both sides is compared with
    itself."""

    @model_validator(mode="after")
    def _one_kind(self) -> Question:
        if self.trend is None and not (self.this and self.minus):
            raise ValueError("give `this` and `minus` for a difference, or `trend` for a trend")
        if self.trend is not None and (self.this or self.minus):
            raise ValueError("give `this` and `minus`, or `trend`; found both")
        if self.trend is None and self.this == self.minus:
            raise ValueError(f"`this` and `minus` are the same rows, {self.this}")
        return self

    def named(self) -> set[str]:
        """Return the columns that filters or the axis name, without `_a` and `_b` at their ends."""
        columns = [*self.where, *self.this, *self.minus, self.trend or ""]
        return {column.removesuffix("_a").removesuffix("_b") for column in columns}
