"""What figures show, in words, for those who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from repbias.report.numbers import decimals
from repbias.report.words import words_of


class Shown(NamedTuple):
    """The numbers of a figure: their column, what they are, and the rows, by their values."""

    column: str
    words: str
    rows: Mapping[str, Any] = {}


_END = {"snapshot": "final"}
#: Figures and pictures to their numbers, in the data beside them.
NUMBERS = {
    "learning": Shown("value", "validation accuracy", {"quantity": "accuracy"}),
    "variance": Shown("r2", "R²", _END),
    "sweeps": Shown("r2", "R²", _END),
    "order": Shown("fall", "fall of R² from one answer to the next"),
    "variance_decomposition": Shown("share", "share of the variance", _END),
    "units": Shown("value", "Gini coefficient over units", {"quantity": "gini"}),
    "components": Shown(
        "value", "accuracy from one component", {"quantity": "accuracy", "n_components": 1}
    ),
    "encryption": Shown("value", "accuracy of linear probes", {"measure": "linear_probe"}),
    "steering": Shown("flips", "share of outputs flipped at strength 1", {"strength": 1}),
    "probes": Shown("value", "accuracy of probes", {"quantity": "accuracy"} | _END),
    "behaviour": Shown("agreement", "agreement", _END),
    "rsa_models": Shown("similarity", "RDM similarity", _END),
    "similarity": Shown("similarity", "mean similarity", _END),
    "identification": Shown("top1", "share identified", _END),
    "audit": Shown("part", "part of a score", _END),
    "audit_range": Shown("score", "score", _END),
    "audit_shares": Shown("share", "share of a score"),
    "energy_law": Shown("share", "share of a score"),
    "audit_networks": Shown("part", "part of a similarity"),
    "energy_law_networks": Shown("share", "share of a similarity"),
    "recovery": Shown("right", "share of brains that are named right", {"simulated": True}),
    "recovery_layers": Shown("right", "share of brains that are named right", {"simulated": True}),
    "quality": Shown("reliability", "reliability"),
    "model_comparison": Shown("effect", "RDM similarity", {"test": "zero", "snapshot_a": "final"}),
    "rsa_recordings": Shown("similarity", "RDM similarity", _END),
    "rsa_fitted": Shown("similarity", "RDM similarity, cross-validated", _END),
    "rsa_times": Shown("similarity", "RDM similarity", _END),
    "encoding": Shown("r", "held-out r", _END),
    "both_ways": Shown("smaller_r2", "the smaller held-out R² of both directions", _END),
    "encoding_regions": Shown("r", "held-out r", _END),
    "variance_partition": Shown("r2", "held-out R²"),
    "mds": Shown("share_of_variance", "share of the variance in two dimensions"),
}


def alternative(title: str, kind: str, data: str | Path) -> str:
    """Return a figure's title and the smallest and largest of its numbers, and what these are of.

    Parameters
    ----------
    title
        The figure's title.
    kind
        The name of the figure, or the kind of a picture.
    data
        The figure's data (CSV).
    """
    if not Path(data).is_file():
        return title
    table = pd.read_csv(data) if Path(data).read_bytes().strip() else pd.DataFrame()
    if kind == "verdicts" and len(table):
        counts = table[table["snapshot"] == "final"]["verdict"].value_counts(sort=False)
        return f"{title}: {', '.join(f'{n} {v}' for v, n in counts.items())} at the end of training"
    if kind not in NUMBERS or table.empty:
        return title
    shown = NUMBERS[kind]
    for column, value in shown.rows.items():
        table = table[table[column] == value]
    if "step" in table and "snapshot" not in table:  # of curves, their ends
        table = table.drop_duplicates(
            ["experiment", "condition", "network", "feature"], keep="last"
        )
    table = table[table[shown.column].notna()].rename(columns={"rdm": "recording"})
    if table.empty:
        return title
    ends = table.loc[[table[shown.column].idxmin(), table[shown.column].idxmax()]]
    low, high = (
        f"{decimals(end[shown.column])} ({words_of(end)})" for end in ends.to_dict(orient="records")
    )
    return f"{title}: {shown.words} {high if len(table) == 1 else f'from {low} to {high}'}"
