"""Published numbers beside those measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repbias.base.spec import RepbiasError, nearest
from repbias.config.references import CEILINGS, SIMILARITIES, Reference
from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd


def compare_references(
    references: list[Reference], tables: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Find the measured value of every published number.

    Parameters
    ----------
    references
        Published numbers.
    tables
        The tables quality, rsa_recordings and rsa_between_recordings.

    Raises
    ------
    RepbiasError
        If a measure does not exist.
    """
    rows = []
    for reference in references:
        value, name, method = _measured(reference, tables)
        rows.append(
            {
                "recording": reference.recording,
                "measure": name,
                "method": method,
                "value": value,
                "published": reference.value,
                "difference": value - reference.value,
                "source": reference.source,
            }
        )
    return as_table("references", rows)


def _measured(reference: Reference, tables: dict[str, pd.DataFrame]) -> tuple[float, str, str]:
    """Return the value, the name of the measure, and how it was measured."""
    where = f"references: {reference.recording}, {reference.measure}"
    if reference.measure in SIMILARITIES:
        table = tables["rsa_between_recordings"]
        pair = {reference.recording, reference.other}
        sides = table[["recording_a", "recording_b"]]
        of_pair = sides.isin(pair).all(axis=1) & (sides.nunique(axis=1) == 2)
        found = table[of_pair & (table["rdm_similarity"] == reference.rdm_similarity)]
        found = found[found["interval"].str.endswith(SIMILARITIES[reference.measure])]
        if found.empty:
            raise RepbiasError(
                f"{where}: not compared with {reference.other!r} by {reference.rdm_similarity!r}"
            )
        row = found.iloc[0]
        name = f"{reference.measure} with {reference.other} ({reference.rdm_similarity})"
        return float(row["similarity"]), name, str(row["interval"])
    if reference.measure in CEILINGS:
        table = tables["rsa_recordings"]
        found = table[table["recording"] == reference.recording]
        found = found[found["rdm_similarity"] == reference.rdm_similarity]
        if found.empty:
            raise RepbiasError(f"{where}: no RSA by {reference.rdm_similarity!r}")
        row = found.iloc[0]
        name = f"{reference.measure} ({reference.rdm_similarity})"
        return float(row[CEILINGS[reference.measure]]), name, str(row["ceiling_convention"])
    table = tables["quality"]
    table = table[(table["recording"] == reference.recording) & (table["subject"] == "")]
    table = table[table["region"] == reference.region]
    found = table[table["measure"] == reference.measure]
    if found.empty:
        known = nearest(reference.measure, {*table["measure"], *CEILINGS, *SIMILARITIES})
        raise RepbiasError(f"{where}: no such measure; {known}")
    row = found.iloc[0]
    return float(row["value"]), reference.measure, str(row["method"])
