"""The section ``images:`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from repbias.base.spec import InputPath, Spec, refuse_duplicates, refuse_patterns
from repbias.io.arrays import SEVERAL_ARRAYS
from repbias.io.text_tables import numbered_columns, read_header

#: What columns of image statistics begin with, beside those of a table.
STATISTIC = "image."


class ImageSet(Spec):
    """A stimulus set: images, a table of their properties, or both."""

    path: InputPath | None = None
    """Folder, archive, or .npy, .npz, .h5 or .mat file of the images. The id of a file is its name
    without the ending, after its folders if several files have the same name (`faces/01`)."""
    variable: str | None = None
    """Name of the array in an array file; dots step into MATLAB structures."""
    axes: list[Literal["image", "height", "width", "colour"]] | None = None
    """Names of the axes of an array of images, in order; by default `[image, height, width]`, with
    `colour` (of length 3) behind `width` or `image`, or `[height, width, colour, image]` as MATLAB
    has them. Needed where the shape does not tell, as of grey `[height, width, image]`."""
    table: InputPath | None = None
    """Table (`.csv`, `.tsv`, `.txt`) with a column `stimulus_id` (ids, file names or paths of the
    images) and further columns, such as categories: for networks of kind `features`, for encoding
    models, and for stimuli that are not images. Empty cells, `n/a`, `NA` and `NaN` are missing, and
    refused where they are used."""
    stimulus_ids: InputPath | None = None
    """Text file with one id per line, if `table` has no first line with names, and no column of
    ids: a matrix of features, such as the embedding of THINGS (`spose_embedding_49d_sorted.txt`
    with `unique_id.txt`). Its columns are called `column01` and so on."""
    columns: dict[str, str] = {}
    """Properties of the stimuli that stand in the array file of the images, in their order: a name
    for each, and its variable (`face: stimuli.face`; dots step into MATLAB structures). They are
    used like columns of a table."""
    exclude: list[str] = []
    """Ids of stimuli to leave out, such as a blank screen; recordings of the set leave them out as
    well (their `exclude`)."""

    @field_validator("exclude")
    @classmethod
    def _different(cls, ids: list[str]) -> list[str]:
        return refuse_duplicates(ids)

    groups: str | None = None
    """A column of the stimuli whose values are groups of stimuli that are alike whatever a model
    says of them: category, identity, object, film. Whole groups are then left out, resampled and
    permuted, in RSA and encoding; without it, stimuli count as independent of each other. Fewer
    than five groups are still left out as a whole, but resampled and permuted are the stimuli
    within each: tests and intervals then hold for these groups only. A column that is itself a
    model is no group: nothing of it could be predicted."""

    @field_validator("axes")
    @classmethod
    def _complete(cls, axes: list[str] | None) -> list[str] | None:
        if axes is not None:
            refuse_duplicates(axes)
            if not {"image", "height", "width"} <= set(axes):
                raise ValueError(f"name image, height and width (and colour); found {axes}")
        return axes

    @model_validator(mode="after")
    def _path_or_table(self) -> ImageSet:
        if self.path is None and self.table is None:
            raise ValueError("give a path (images), a table (CSV), or both")
        if self.columns and (self.path is None or self.path.suffix.lower() not in SEVERAL_ARRAYS):
            raise ValueError(
                f"columns: the images are {self.path or 'not given'}; expected a file that holds "
                f"several arrays ({', '.join(SEVERAL_ARRAYS)}): give a table instead"
            )
        if self.stimulus_ids and self.table is None:
            raise ValueError("stimulus_ids: they are of the rows of a table; give a table")
        if self.columns and self.table is not None:
            raise ValueError("give columns of the image file, or a table, not both")
        for file in self.input_files():
            refuse_patterns(Path(file))
        return self

    @field_validator("columns")
    @classmethod
    def _usable_names(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if not name or "/" in name or name == "stimulus_id":
                raise ValueError(f"{name!r} cannot name a column; use another name")
        return columns

    @property
    def is_described(self) -> bool:
        """Whether properties of the stimuli are given."""
        return bool(self.table or self.columns)

    def column_names(self) -> list[str]:
        """Return the names of the properties, without reading their values.

        Raises
        ------
        RepbiasError
            If the table has no header.
        """
        if self.table is None:
            return list(self.columns)
        if self.stimulus_ids is not None:
            return numbered_columns(self.table)
        return [name for name in read_header(self.table) if name != "stimulus_id"]

    def input_files(self) -> list[str]:
        """Return all files that the set is read from; changing one reruns what uses it."""
        table = [str(path) for path in (self.table, self.stimulus_ids) if path]
        if self.path is None:
            return table
        if self.path.is_dir():
            return sorted(str(file) for file in self.path.rglob("*") if file.is_file()) + table
        return [str(self.path), *table]
