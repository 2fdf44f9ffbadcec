"""What ``repbias check`` says of the audit: whether scores can be divided among features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import squareform

from repbias.auditing.features import as_lines, chosen_features, is_missing
from repbias.auditing.spec import Audit
from repbias.auditing.warnings import of_lines
from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.findings import Findings
from repbias.rsa.cautions import mean_rdm
from repbias.stimuli.spec import STATISTIC
from repbias.stimuli.statistics import image_statistics

if TYPE_CHECKING:
    from repbias.rsa.rdms import Rdms
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
) -> bool:
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

    Returns
    -------
    bool
        Whether they are audited, as far as is known.
    """
    from repbias.auditing.tables import Known

    if statistics is None:
        findings.facts["audit"] = "of image statistics, not checked (--images checks it)"
        return False
    findings.facts["audit"] = "none"
    try:
        known = Known.of({**columns, **statistics}, spec, grouping)
        if known is None:
            return False
        for design in (known.design, *known.without.values()):
            _ = design.inverse_squares  # refuses features that single out stimuli
    except RepbiasError as error:
        findings.warnings.append(str(error))
        return False
    findings.warnings += [f"audit: {sentence}" for sentence in known.passed_over]
    findings.warnings += _part_of_a_period(spec, {**columns, **statistics})
    names = known.design.names
    findings.facts["audit"] = (
        f"{count(len(names), 'feature')} ({some(names)}) of {known.design.n_stimuli} stimuli: "
        f"{count(known.design.basis.shape[1], 'dimension')}, {known.design.n_rest} for the rest"
    )
    return True


def _part_of_a_period(spec: Audit, columns: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Say of which circular features the values are too near to each other for their period."""
    for name, feature in chosen_features(spec, columns).items():
        if feature.period is None:
            continue
        values = columns[feature.column or name]
        low, high = np.nanmin(values), np.nanmax(values)
        if high - low < feature.period / 2:
            yield (
                f"audit: {name!r} is audited as circular with a period of {feature.period:g}, but "
                f"its values, {low:g} to {high:g}, are within less than half of one; is the period "
                "in the same unit?"
            )


def check_lines(
    findings: Findings, spec: Audit, columns: Mapping[str, np.ndarray], rdms: Rdms, where: str
) -> None:
    """Warn of numbers, such as angles, whose values evoke responses that follow no line.

    Parameters
    ----------
    findings
        Gets the warnings.
    spec
        Settings.
    columns
        Name to (stimulus,) values: what is known of the stimuli.
    rdms
        Of the recording, with these stimuli.
    where
        The region, if there are several.
    """
    squares = squareform(mean_rdm(rdms.dissimilarities))
    if rdms.dissimilarity_measure == "euclidean":
        squares = squares**2
    lines = as_lines(chosen_features(spec, columns), columns)
    for name, values in lines.items():
        has = ~is_missing(values)
        for sentence in of_lines(-squares[np.ix_(has, has)], {name: values[has]}):
            findings.warnings.append(f"audit: {where}{sentence}")
