"""From columns of the stimuli to regressors of the features that are audited."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from repbias.auditing.shares import REST
from repbias.auditing.spec import Audit, AuditedFeature
from repbias.base.spec import RepbiasError
from repbias.stimuli.spec import STATISTIC

#: A column of text is a feature by default if its values have three stimuli each, on average.
MOST_LEVELS = 1 / 3


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return which stimuli have no value, (stimulus,) bool."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    return values == "" if values.dtype.kind in "US" else np.zeros(len(values), bool)


def chosen_features(spec: Audit, columns: Mapping[str, np.ndarray]) -> dict[str, AuditedFeature]:
    """Return the features that are audited: those of the study, or those that are known.

    Of the study's features, those whose columns these stimuli have. By default all columns but
    ids: text with so many different values that it names stimuli, and columns that are the same
    for all. Image statistics are taken if there is no other.

    Raises
    ------
    RepbiasError
        If a column would be called like what no feature explains.
    """
    if spec.features:
        has = {n: (f.column or n) in columns for n, f in spec.features.items() if not f.product_of}
        return {
            name: feature
            for name, feature in spec.features.items()
            if all(has[part] for part in feature.product_of or [name])
        }
    suited = [name for name, values in columns.items() if _is_suited(values)]
    own = [name for name in suited if not name.startswith(STATISTIC)]
    if REST in own:
        raise RepbiasError(
            f"audit: a column of the stimuli is called {REST!r}, which is what no feature "
            f"explains; give it another name (audit.features: {{other: {{column: {REST}}}}})"
        )
    return {name: AuditedFeature() for name in own or suited}


def _is_suited(values: np.ndarray) -> bool:
    levels = _levels(values)
    return levels > 1 and (values.dtype.kind in "fiu" or levels <= MOST_LEVELS * len(values))


def _levels(values: np.ndarray) -> int:
    return len(np.unique(values[~is_missing(values)]))


def not_audited(
    spec: Audit, columns: Mapping[str, np.ndarray], grouping: str | None = None
) -> list[str]:
    """Return, in words, which columns group stimuli, but too finely to be audited by default.

    A score may be about them all the same, so that they must not be passed over in silence. The
    column that says which stimuli depend on each other is none of them.
    """
    if spec.features:
        return []
    return [
        f"not audited: {name}, as its {_levels(values)} values have fewer than three of "
        f"{len(values)} stimuli each (name it in audit.features, or give coarser groups)"
        for name, values in columns.items()
        if name != grouping
        and values.dtype.kind not in "fiub"
        and not _is_suited(values)
        and 1 < _levels(values) < (~is_missing(values)).sum()
    ]


def complete_stimuli(
    spec: Audit, features: Mapping[str, AuditedFeature], columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return which stimuli have a value of every feature, (stimulus,) bool.

    Raises
    ------
    RepbiasError
        If some have none and the study does not say that they are left out.
    """
    used = [feature.column or name for name, feature in features.items() if not feature.product_of]
    missing = {name: is_missing(columns[name]) for name in used}
    if spec.missing == "refuse":
        for name, gaps in missing.items():
            if gaps.any():
                raise RepbiasError(
                    f"audit: {gaps.sum()} of {len(gaps)} stimuli have no {name!r} (the first is "
                    f"number {np.flatnonzero(gaps)[0] + 1}); fill them in, audit other features "
                    "(audit.features), or set audit.missing: leave_out"
                )
    return ~np.any(list(missing.values()), axis=0)


def regressors(
    features: Mapping[str, AuditedFeature], columns: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return every feature's regressors, (stimulus, regressor).

    Parameters
    ----------
    features
        Of :func:`chosen_features`.
    columns
        Name to (stimulus,) values, none missing.
    """
    coded = {
        name: _coded(columns[feature.column or name], feature)
        for name, feature in features.items()
        if not feature.product_of
    }
    return {
        name: _product([coded[part] for part in feature.product_of])
        if feature.product_of
        else coded[name]
        for name, feature in features.items()
    }


def _coded(values: np.ndarray, feature: AuditedFeature) -> np.ndarray:
    coding = feature.coding
    if coding == "auto":
        coding = "number" if values.dtype.kind in "fiu" else "categories"
    if coding == "categories":
        return (values[:, None] == np.unique(values)).astype(np.float64)
    if values.dtype.kind not in "fiub":
        raise RepbiasError(
            f"audit.features: coding {coding} needs numbers; found text such as {str(values[0])!r}"
        )
    x = values.astype(np.float64)[:, None]
    if coding == "number":
        return x
    if feature.period is not None:  # of a circular one
        cycles = 2 * np.pi / feature.period * np.arange(1, feature.df // 2 + 1)
        # Of few angles a sine may be 0 but for rounding, which would be a regressor.
        return np.round(np.hstack([np.cos(x * cycles), np.sin(x * cycles)]), 9)
    from sklearn.preprocessing import SplineTransformer

    n_knots = feature.df - 1  # k knots make k + 2 cubic splines, of which a constant is one
    knots = np.unique(np.quantile(x, np.linspace(0, 1, n_knots)))[:, None]
    return SplineTransformer(knots=knots, extrapolation="linear").fit_transform(x)


def as_lines(
    features: Mapping[str, AuditedFeature], columns: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the values of the features that are regressed on as the numbers they are."""
    found = {
        name: columns[feature.column or name]
        for name, feature in features.items()
        if not feature.product_of and feature.coding in ("auto", "number")
    }
    return {name: values for name, values in found.items() if values.dtype.kind in "fiu"}


def _product(parts: list[np.ndarray]) -> np.ndarray:
    """Return all products of regressors of different features, each centred before."""
    product = np.ones((len(parts[0]), 1))
    for part in parts:
        centred = part - part.mean(axis=0)
        product = (product[:, :, None] * centred[:, None]).reshape(len(product), -1)
    return product
