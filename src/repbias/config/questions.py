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
    """A question of your own, decided like a claim: a difference, a trend, or that of a difference.

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
    """Which rows take part: columns and their values, one or a list. `condition` also takes
    patterns (`"*weight_decay=0"`), and the dotted path of a varied setting is a column too
    (`training.weight_decay: 0`); so in `this` and `minus`."""
    this: Rows = {}
    """For a difference: which of these rows are claimed to have the larger mean."""
    minus: Rows = {}
    """For a difference: which of them are claimed to have the smaller one."""
    trend: str | None = None
    """For a trend: the axis, a numeric column of the table or the dotted path of a varied setting
    with numeric levels. With `this` and `minus`, the trend is that of their difference."""
    units: Literal["networks", "subjects"] = "networks"
    """What is independent: networks, those of one seed together in the conditions of an
    experiment, or subjects. Each is compared with itself where it has rows on both sides, or at
    several values of the axis."""

    @model_validator(mode="after")
    def _one_kind(self) -> Question:
        if self.trend is None and not (self.this and self.minus):
            raise ValueError("give `this` and `minus` for a difference, or `trend` for a trend")
        if bool(self.this) != bool(self.minus):
            given, missing = ("this", "minus") if self.this else ("minus", "this")
            raise ValueError(
                f"found `{given}` without `{missing}`; give both for the trend of a difference, "
                f"or put the rows of `{given}` in `where`"
            )
        if self.this and self.this == self.minus:
            raise ValueError(f"`this` and `minus` are the same rows, {self.this}")
        if self.trend in {*self.this, *self.minus}:
            raise ValueError(
                f"`this` and `minus` fix {self.trend!r}, the axis of the trend; take it out of "
                "them, or leave `trend` out to compare two of its values"
            )
        return self

    def sides(self) -> list[Rows]:
        """Return what rows of `this` and `minus` have; for a trend alone, one side of all rows."""
        return [self.this, self.minus] if self.this else [{}]

    def named(self) -> set[str]:
        """Return the columns that filters or the axis name, without `_a` and `_b` at their ends."""
        columns = [*self.where, *self.this, *self.minus, self.trend or ""]
        return {column.removesuffix("_a").removesuffix("_b") for column in columns}
