"""What ``repbias check`` says of the audit: whether scores can be divided among features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from repbias.auditing.spec import Audit
from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.findings import Findings
from repbias.stimuli.spec import STATISTIC
from repbias.stimuli.statistics import image_statistics

if TYPE_CHECKING:
    from repbias.stimuli.images import Images


def statistics_of(images: Images) -> dict[str, np.ndarray]:
    """Return the statistics of images as columns."""
    return {STATISTIC + name: values for name, values in image_statistics(images).items()}


def check_audit(
    findings: Findings,
    spec: Audit,
    columns: Mapping[str, np.ndarray],
    statistics: Mapping[str, np.ndarray] | None,
    grouping: str | None = None,
) -> None:
    """Ask the audit about the features of stimuli; what it refuses, the run does without.

    Parameters
    ----------
    findings
        Gets what is found.
    spec
        Settings.
    columns
        Name to (stimulus,) values: what is known of the stimuli.
    statistics
        The same of image statistics; None if they are audited, but images are not decoded.
    grouping
        The column that says which stimuli depend on each other, if any.
    """
    from repbias.auditing.tables import Known

    if statistics is None:
        findings.facts["audit"] = "of image statistics, not checked (--images checks it)"
        return
    findings.facts["audit"] = "none"
    try:
        known = Known.of({**columns, **statistics}, spec, grouping)
        if known is None:
            return
        for design in (known.design, *known.without.values()):
            _ = design.inverse_squares  # refuses features that single out stimuli
    except RepbiasError as error:
        findings.warnings.append(str(error))
        return
    findings.warnings += [f"audit: {sentence}" for sentence in known.passed_over]
    names = known.design.names
    findings.facts["audit"] = (
        f"{count(len(names), 'feature')} ({some(names)}) of {known.design.n_stimuli} stimuli: "
        f"{count(known.design.basis.shape[1], 'dimension')}, {known.design.n_rest} for the rest"
    )
