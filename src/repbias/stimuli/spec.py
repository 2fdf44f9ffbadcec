"""The section ``images:`` of the configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from repbias.base.spec import InputPath, Spec, refuse_duplicates, refuse_patterns


class ImageSet(Spec):
    """A stimulus set: images, a table of their properties, or both."""

    path: InputPath | None = None
    """Folder, archive, or .npy, .npz, .h5 or .mat file of the images."""
    variable: str | None = None
    """Name of the array in an array file; dots step into MATLAB structures."""
    table: InputPath | None = None
    """Table (`.csv`, `.tsv`, `.txt`) with a column `stimulus_id` and further columns, such as
    categories: for networks of kind `features`, for encoding models, and for stimuli that are not
    images. Empty cells, `n/a`, `NA` and `NaN` are missing, and refused where they are used."""
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
    permuted, in RSA and encoding; without it, stimuli count as independent of each other."""

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
