"""Every table: its columns, one writer and one reader for all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repbias.base.spec import CONTROL, printable
from repbias.io.files import StoreError, atomic

if TYPE_CHECKING:
    import pandas as pd

_NETWORK = ("experiment", "condition", "network", "seed")
_SIDE = ("condition", "network", "seed", "layer", "step", "included")
_MEASURED = (*_NETWORK, "snapshot", "step", "included", "layer")
#: Columns of numbers and truth values; all others are text.
_NUMBERS = {
    *(
        "seed",
        "seed_a",
        "seed_b",
        "step",
        "step_a",
        "step_b",
        "included",
        "included_a",
        "included_b",
    ),
    *(
        "target",
        "accuracy",
        "mastered",
        "loss",
        "r2",
        "r2_of_final",
        "similarity",
        "ci_low",
        "ci_high",
    ),
    *(
        "ceiling_low",
        "ceiling_high",
        "n_subjects",
        "n_subjects_a",
        "n_subjects_b",
        "n_stimuli",
        "r",
        "ceiling",
        "r_normalised",
    ),
    *("log10_alpha", "alpha_at_edge", "repeats", "split_half", "reliability", "is_generator"),
    *(
        "correct",
        "score_true",
        "score_named",
        "margin",
        "chance",
        "effect",
        "n_included",
        "n_excluded",
    ),
    *("share", "gini", "participation_ratio", "n_units", "n_components", "variance", "strength"),
    *("norm", "norm_sd", "flips", "agreement", "follows_a", "value", "null_mean", "null_high"),
    *("reliability_level", "left_out", "top1"),
    *("p", "p_fdr", "n_networks_a", "n_networks_b", "time_s", "n_units_with_ceiling"),
    *("share_significant", "published", "difference", "n_folds"),
}
#: Every table and its columns, in order; :mod:`repbias.io.table_reference` explains them.
TABLES: dict[str, tuple[str, ...]] = {
    "learning": (
        *_NETWORK,
        "step",
        "feature",
        "target",
        "accuracy",
        "mastered",
        "loss",
        "included",
    ),
    "variance_explained": (
        *(*_NETWORK, "layer", "step", "feature", "r2"),
        *("r2_of_final", "snapshot", "included"),
    ),
    "variance_decomposition": (*_MEASURED, "part", "share"),
    "behaviour": (*_NETWORK, "snapshot", "step", "included", "output", "feature", "agreement"),
    "units": (*_MEASURED, "unit", "feature", "r2"),
    "sparsity": (*_MEASURED, "feature", "gini", "participation_ratio", "n_units"),
    "components": (*_MEASURED, "n_components", "variance", "feature", "r2", "accuracy"),
    "steering": (*_MEASURED, "feature", "strength", "norm", "norm_sd", "output", "flips"),
    "probes": (*_MEASURED, "probe", "feature", "accuracy"),
    "conflict": (*_MEASURED, "feature_a", "feature_b", "follows_a"),
    "encryption": ("experiment", "condition", "system", "seed", "measure", "feature", "value"),
    "similarity": (
        *("experiment", "snapshot", "metric"),
        *(f"{column}_a" for column in _SIDE),
        *(f"{column}_b" for column in _SIDE),
        *("similarity", "null_mean", "null_high", "n_stimuli"),
    ),
    "identification": (
        *("experiment", "condition", "network", "seed", "snapshot", "layer"),
        *("metric", "reliability_level", "left_out", "top1", "chance"),
    ),
    "rsa_models": (
        *("experiment", "rdm_similarity", "snapshot"),
        *(f"{column}_a" for column in _SIDE),
        *(f"{column}_b" for column in _SIDE),
        "similarity",
    ),
    "rsa_recordings": (
        *("recording", "rdm_similarity", *_NETWORK, "snapshot", "step", "included", "layer"),
        *("similarity", "ci_low", "ci_high", "interval"),
        *("ceiling_low", "ceiling_high", "ceiling_convention", "n_subjects", "n_stimuli"),
    ),
    "rsa_fitted": (
        *("recording", "rdm_similarity", "model", *_MEASURED),
        *("similarity", "ci_low", "ci_high", "interval", "n_folds", "n_subjects", "n_stimuli"),
    ),
    "rsa_tests": (
        *("recording", "rdm_similarity", "test", "experiment"),
        *("condition_a", "layer_a", "snapshot_a", "condition_b", "layer_b", "snapshot_b"),
        *("n_networks_a", "n_networks_b", "effect", "ci_low", "ci_high", "p", "p_fdr"),
        *("method", "generalises_to", "warning"),
    ),
    "rsa_times": (
        *("recording", "rdm_similarity", "time_s", *_MEASURED),
        *("similarity", "ci_low", "ci_high", "interval"),
        *("ceiling_low", "ceiling_high", "ceiling_convention", "n_subjects", "n_stimuli"),
    ),
    "rsa_between_recordings": (
        *("recording_a", "recording_b", "rdm_similarity", "similarity", "ci_low", "ci_high"),
        *("interval", "n_subjects_a", "n_subjects_b", "n_stimuli"),
    ),
    "encoding": (
        *("recording", "subject", "region", "unit"),
        *(*_NETWORK, "snapshot", "step", "included", "layer"),
        *("r", "r2", "p", "p_fdr", "ceiling", "ceiling_convention", "r_normalised"),
        *("log10_alpha", "alpha_at_edge", "n_stimuli"),
    ),
    "encoding_regions": (
        *("recording", "region", *_MEASURED, "n_subjects", "n_units", "n_units_with_ceiling"),
        *("r", "ci_low", "ci_high", "interval", "ceiling", "r_normalised"),
        *("share_significant", "alpha_at_edge"),
    ),
    "variance_partition": (
        *("recording", "subject", "region", "unit", "experiment", "model", "network", "snapshot"),
        *("part", "r2", "n_stimuli"),
    ),
    "quality": (
        "recording",
        "subject",
        "region",
        "measure",
        "value",
        "ci_low",
        "ci_high",
        "method",
    ),
    "references": ("recording", "measure", "method", "value", "published", "difference", "source"),
    "reliability": (
        *("recording", "subject", "region", "unit", "repeats"),
        *("split_half", "reliability", "ceiling", "convention"),
    ),
    "model_recovery": (
        *("recording", "method", "measure", "condition", "network", "seed", "is_generator"),
        *("true_layer", "named_layer", "correct", "score_true", "score_named", "margin", "chance"),
    ),
    "claims": (
        *("claim", "variant", "snapshot", "statement", "verdict", "effect", "ci_low", "ci_high"),
        *("measure", "n_included", "n_excluded", "reference", "provenance"),
    ),
}


def as_table(name: str, rows: Any = ()) -> pd.DataFrame:
    """Return rows (a frame, or a list of mappings) as the named table, columns in order."""
    import pandas as pd

    frame = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=TABLES[name])
    return frame[list(TABLES[name])]


def join_tables(name: str, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all parts of a table."""
    import pandas as pd

    filled = [part for part in parts if len(part)]
    return as_table(name, pd.concat(filled, ignore_index=True) if filled else ())


def write_table(path: str | Path, name: str, frame: pd.DataFrame) -> None:
    """Write one of :data:`TABLES` as CSV; nine digits, so float32 survives.

    Control characters in names from files become their escapes: a carriage return would break a
    row in two, and figures cannot show others.
    """
    table = as_table(name, frame)
    for column in (c for c in table if c not in _NUMBERS):
        texts = [text for text in table[column].unique() if isinstance(text, str)]
        escaped = {text: printable(text) for text in texts if CONTROL.search(text)}
        if escaped:
            table = table.assign(**{column: table[column].replace(escaped)})
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g")


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """Read one of :data:`TABLES`, or a part of it.

    Raises
    ------
    StoreError
        If the file is missing or its columns are not the table's.
    """
    import pandas as pd

    try:
        table = pd.read_csv(
            path,
            dtype={column: str for column in TABLES[name] if column not in _NUMBERS},
            # A layer may be called "0" and a condition "NA"; only an empty number is missing.
            keep_default_na=False,
            na_values={column: [""] for column in _NUMBERS},
        )
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable table ({error})") from error
    if tuple(table.columns) != TABLES[name]:
        raise StoreError(
            f"{path}: expected the columns {list(TABLES[name])}, found {list(table.columns)}"
        )
    return table


def read_tables(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Read files that are called after their tables; every other table is there, but empty."""
    read = {Path(path).stem: read_table(path, Path(path).stem) for path in paths}
    return {name: as_table(name) for name in TABLES} | read


def read_any(path: str | Path) -> tuple[str | None, pd.DataFrame]:
    """Read a CSV file: one of :data:`TABLES`, known by its columns, or any other (name None).

    Raises
    ------
    StoreError
        If the file is missing or no table.
    """
    import pandas as pd

    try:
        columns = tuple(pd.read_csv(path, nrows=0).columns)
        name = next((name for name, known in TABLES.items() if known == columns), None)
        if name is None:
            return None, pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable table ({error})") from error
    return name, read_table(path, name)
