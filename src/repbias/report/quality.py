"""Measures of a recording's quality, in words, and which are good or doubtful."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

#: What measures are called; those of an RDM similarity end with its name.
WORDS = {
    "stimuli": "stimuli",
    "stimuli_common": "stimuli that all subjects saw",
    "stimuli_excluded": "stimuli left out",
    "stimuli_not_shown": "stimuli that were not shown",
    "stimuli_renamed": "stimuli with another id",
    "subjects": "subjects",
    "rdms": "RDMs",
    "trials": "trials",
    "trials_unmatched": "trials of no known stimulus",
    "repeats_min": "repeats of a stimulus, fewest",
    "repeats_median": "repeats of a stimulus, median",
    "repeats_max": "repeats of a stimulus, most",
    "units": "units",
    "units_silent": "silent units",
    "units_constant": "units that respond the same to all stimuli",
    "units_incomplete": "units not observed for every stimulus",
    "units_below_min_repeats": "units with too few repeats",
    "units_below_min_reliability": "units that are too unreliable",
    "unobserved": "share of responses not observed",
    "split_half": "correlation of halves, units",
    "reliability": "reliability of units, mean",
    "reliability_median": "reliability of units, median",
    "noise_ceiling": "variance of units that is signal (%)",
    "ncsnr": "signal-to-noise ratio of units",
    "participation_ratio": "dimensions (participation ratio)",
    "rdm_split_half": "reliability of RDMs",
    "rdm_split_half_equal": "reliability of RDMs, equal halves",
    "decoding": "accuracy of decoding stimuli",
    "subject_similarity": "similarity of subjects' RDMs",
    "session_similarity": "similarity of sessions' RDMs",
    "mean_rdm_ceiling_low": "noise ceiling of RDMs, lower bound",
    "mean_rdm_ceiling_high": "noise ceiling of RDMs, upper bound",
}
#: Doubtful below the first, good from the second on; conventions, not tests (docs/results.md).
BOUNDS = {
    "repeats_min": (2, 4),
    "reliability": (0.2, 0.5),
    "reliability_median": (0.2, 0.5),
    "noise_ceiling": (20, 50),
    "rdm_split_half": (0.2, 0.5),
    "rdm_split_half_equal": (0.2, 0.5),
    "subject_similarity": (0.1, 0.3),
    "session_similarity": (0.1, 0.3),
    "mean_rdm_ceiling_low": (0.1, 0.3),
    "subjects": (5, 10),
}
#: Shares of the units, and of all responses, of which more than this is doubtful, and none good.
FAULTS = ("units_silent", "units_constant", "units_incomplete", "unobserved")
MOST_FAULTS = 0.1


def words_of(measure: str) -> str:
    """Say what a measure is.

    Examples
    --------
    >>> words_of("rdm_split_half_equal_corr")
    'reliability of RDMs, equal halves (corr)'
    """
    name = _name(measure)
    return WORDS.get(name, measure) + (f" ({measure[len(name) + 1 :]})" if name != measure else "")


def _name(measure: str) -> str:
    """Return the name of a measure without that of an RDM similarity."""
    names = [name for name in WORDS if f"{measure}_".startswith(f"{name}_")]
    return max(names, key=len, default=measure)


def mark_of(row: Mapping[str, Any], n_units: float) -> str:
    """Return whether a measure is "good" or "doubtful", or "" in between or where it says neither.

    Parameters
    ----------
    row
        Of the table quality.
    n_units
        How many units it is of.

    Examples
    --------
    >>> mark_of({"measure": "reliability", "value": 0.1}, 9)
    'doubtful'
    >>> mark_of({"measure": "units_silent", "value": 0}, 9)
    'good'
    """
    name, value = _name(row["measure"]), row["value"]
    if np.isnan(value):
        return ""
    if name in FAULTS:
        share = value if name == "unobserved" else value / max(n_units, 1)
        return "doubtful" if share > MOST_FAULTS else "" if share else "good"
    if name == "decoding":
        chance = re.search(r"chance ([\d.]+\d)", row["method"])
        if not chance:
            return ""
        # The lower end of its interval; of two subjects, which have none, its value.
        least = value if np.isnan(row["ci_low"]) else row["ci_low"]
        return "good" if least > float(chance[1]) else "doubtful"
    if name not in BOUNDS:
        return ""
    doubtful, good = BOUNDS[name]
    return "doubtful" if value < doubtful else "good" if value >= good else ""
