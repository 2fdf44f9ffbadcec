"""Published numbers beside the values measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from repbias.base.spec import RepbiasError, nearest
from repbias.config.references import CEILINGS, SIMILARITIES, Reference
from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd


class Measured(NamedTuple):
    """A value measured here, the name of the measure, and how it was measured."""

    value: float
    name: str
    method: str


def compare_references(
    references: list[Reference], tables: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Find the measured value that corresponds to every published number.

    Parameters
    ----------
    references
        Published numbers.
    tables
        The tables quality, rsa_recordings and rsa_between_recordings.

    Returns
    -------
    pandas.DataFrame
        The table "references", a row per published number.

    Raises
    ------
    RepbiasError
        If what was published was not measured here.
    """
    rows = []
    for reference in references:
        measured = _measured(reference, tables)
        rows.append(
            {
                "recording": reference.recording,
                "measure": measured.name,
                "method": measured.method,
                "value": measured.value,
                "published": reference.value,
                "difference": measured.value - reference.value,
                "source": reference.source,
            }
        )
    return as_table("references", rows)


def _measured(reference: Reference, tables: dict[str, pd.DataFrame]) -> Measured:
    if reference.measure in SIMILARITIES:
        return _similarity(reference, tables["rsa_between_recordings"])
    if reference.measure in CEILINGS:
        return _ceiling(reference, tables["rsa_recordings"])
    return quality_measured(reference, tables["quality"])


def _similarity(reference: Reference, table: pd.DataFrame) -> Measured:
    """Find the similarity between the RDMs of two recordings."""
    pair = {reference.recording, reference.other}
    sides = table[["recording_a", "recording_b"]]
    of_pair = sides.isin(pair).all(axis=1) & (sides.nunique(axis=1) == 2)
    found = table[of_pair & (table["rdm_similarity"] == reference.rdm_similarity)]
    found = found[(found[["region_a", "region_b"]].isin(["", reference.region])).all(axis=1)]
    found = found[found["interval"].str.endswith(SIMILARITIES[reference.measure])]
    if found.empty:
        raise RepbiasError(
            f"{_place(reference)}: not compared with {reference.other!r} by "
            f"{reference.rdm_similarity!r}"
        )
    row = found.iloc[0]
    name = f"{reference.measure} with {reference.other} ({reference.rdm_similarity})"
    return Measured(float(row["similarity"]), name, str(row["interval"]))


def _ceiling(reference: Reference, table: pd.DataFrame) -> Measured:
    """Find a bound of the noise ceiling of a recording's RDMs."""
    found = table[table["recording"] == reference.recording]
    found = found[found["region"] == reference.region]
    found = found[found["rdm_similarity"] == reference.rdm_similarity]
    if found.empty:
        raise RepbiasError(f"{_place(reference)}: no RSA by {reference.rdm_similarity!r}")
    row = found.iloc[0]
    name = f"{reference.measure} ({reference.rdm_similarity})"
    value = float(row[CEILINGS[reference.measure]])
    return Measured(value, name, str(row["ceiling_convention"]))


def quality_measured(reference: Reference, table: pd.DataFrame) -> Measured:
    """Find a measure of data quality, of a whole recording or of one of its regions.

    Raises
    ------
    RepbiasError
        If the table has no such measure.
    """
    table = table[(table["recording"] == reference.recording) & (table["subject"] == "")]
    table = table[table["region"] == reference.region]
    found = table[table["measure"] == reference.measure]
    if found.empty:
        known = nearest(reference.measure, {*table["measure"], *CEILINGS, *SIMILARITIES})
        raise RepbiasError(f"{_place(reference)}: no such measure; {known}")
    row = found.iloc[0]
    return Measured(float(row["value"]), reference.measure, str(row["method"]))


def _place(reference: Reference) -> str:
    return f"references: {reference.recording}, {reference.measure}"
