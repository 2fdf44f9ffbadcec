"""What ``repbias check`` says of the audit: whether scores can be divided among features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.spatial.distance import squareform

from repbias.auditing.features import chosen_features, is_missing
from repbias.auditing.spec import Audit
from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.findings import Findings
from repbias.rsa.cautions import LEVEL, mean_rdm
from repbias.stimuli.spec import STATISTIC
from repbias.stimuli.statistics import image_statistics

if TYPE_CHECKING:
    from repbias.rsa.rdms import Rdms
    from repbias.stimuli.images import Images

#: A number with more values is not compared with categories.
MOST_VALUES = 12


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
    squares = squareform(mean_rdm(rdms.dissimilarities), checks=False)
    if rdms.dissimilarity_measure == "euclidean":
        squares = squares**2
    for name, feature in chosen_features(spec, columns).items():
        values = columns.get(feature.column or name)
        if values is None or feature.product_of or feature.coding not in ("auto", "number"):
            continue
        if values.dtype.kind not in "fiu":
            continue
        has = ~is_missing(values)
        line, categories, p = _line_and_categories(squares[np.ix_(has, has)], values[has])
        if p <= LEVEL and line < categories / 2:
            findings.warnings.append(
                f"audit: {where}{name!r} is audited as a number, and a line over its values "
                f"explains {max(line, 0):.0%} of how responses differ; the values as categories "
                f"explain {categories:.0%}, as where a number is an angle, or units are tuned to "
                "values in between; say coding: categories for it, or coding: circular and its "
                "period, in audit.features (which lists all that are audited)"
            )


def _line_and_categories(squares: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return which shares of squared distances a number explains, as a line and as categories.

    Returns
    -------
    line, categories : float
        The shares, corrected for the number of regressors as adjusted R² is.
    p : float
        Of the F test that there is no more than a line, which is conservative in more dimensions
        than one; 1 for numbers of less than three values, or too many, or of a single stimulus.
    """
    levels, counts = np.unique(values, return_counts=True)
    n, k = len(values), len(levels)
    if not 2 < k <= MOST_VALUES or counts.min() < 2:
        return 0.0, 0.0, 1.0
    centring = np.eye(n) - 1 / n
    kernel = -centring @ squares @ centring
    of_line, of_categories = (
        float(np.sum(x @ np.linalg.pinv(x) * kernel))
        for x in (centring @ values[:, None], centring @ (values[:, None] == levels))
    )
    total = float(np.trace(kernel))
    noise = (total - of_categories) / (n - k)
    if noise <= 0:  # distances that can be negative
        return 0.0, 0.0, 1.0
    p = stats.f.sf((of_categories - of_line) / (k - 2) / noise, k - 2, n - k)
    return (of_line - noise) / total, (of_categories - (k - 1) * noise) / total, float(p)
