"""The calls of rsatoolbox that take long, on its objects and with its results, done fast.

Import from here instead of from `rsatoolbox.rdm` and `rsatoolbox.inference`; see docs/fast-rsa.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast, get_args

import numpy as np
from rsatoolbox.data.base import DatasetBase
from rsatoolbox.inference import Result
from rsatoolbox.model import Model as ToolboxModel
from rsatoolbox.model import ModelFixed, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_regress_nn, fit_select
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import calc_rdm as rsatoolbox_calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare
from rsatoolbox.util.inference_util import default_k_pattern, default_k_rdm

from repbias.base.spec import RepbiasError
from repbias.geometry import comparison
from repbias.geometry.ceilings import resampled_ceilings
from repbias.geometry.crossvalidation import (
    Folds,
    Model,
    cross_validated_ceilings,
    cross_validated_similarities,
    fold_labels,
)
from repbias.geometry.distances import crossnobis
from repbias.geometry.noise import whitened
from repbias.geometry.spec import RdmSimilarity

#: Fits a model: (model, data, method, pattern_idx, pattern_descriptor, ...) to its parameters.
Fitter = Callable[..., Any]
RandomState = int | np.random.RandomState | None
#: Share of different items that a bootstrap sample of many holds.
DRAWN = 1 - 1 / np.e


def calc_rdm(
    dataset: DatasetBase | Iterable[DatasetBase],
    method: str = "euclidean",
    descriptor: str | None = None,
    noise: np.ndarray | str | None = None,
    cv_descriptor: str | None = None,
    **options: Any,
) -> RDMs:
    """Compute the RDM of a dataset, or of every dataset of a list; conditions in the order given.

    As `rsatoolbox.rdm.calc_rdm`, except that this sorts conditions alphabetically where there is
    a descriptor; here they are in the order in which the (first) dataset has them.

    Parameters
    ----------
    dataset
        With measurements (observation, channel).
    method
        "crossnobis" without a precision matrix is computed here; everything else by rsatoolbox.
    descriptor
        Observations with the same value are averaged.
    noise
        For "mahalanobis" and "crossnobis": a precision matrix (channel, channel), or "shrinkage"
        ("crossnobis" only): estimated from the differences between observations of the same
        condition, shrunk towards the diagonal as by `rsatoolbox.data.noise.prec_from_unbalanced`
        (Schäfer & Strimmer 2005), without making a matrix of channels.
    cv_descriptor
        Folds of "crossnobis"; by default the how-manieth observation of its condition each is.
    **options
        Passed on to rsatoolbox.

    Raises
    ------
    RepbiasError
        If datasets have different conditions, there are no repeats to estimate noise from, or
        a condition is in fewer than two folds.
    """
    if not isinstance(dataset, DatasetBase):
        datasets = list(dataset)
        # As in rsatoolbox a list has one for every dataset.
        noises = list(noise) if isinstance(noise, (list, tuple)) else [noise] * len(datasets)
        if not datasets or len(noises) != len(datasets):
            raise RepbiasError(
                f"{len(datasets)} datasets and {len(noises)} precision matrices; expected one "
                "dataset or more, and one matrix for all or for each"
            )
        rdms = [
            calc_rdm(d, method, descriptor, n, cv_descriptor, **options)
            for d, n in zip(datasets, noises, strict=True)
        ]
        return _together(rdms, descriptor)
    ours = method == "crossnobis" and (noise is None or isinstance(noise, str))
    if isinstance(noise, str) and not (ours and noise == "shrinkage"):
        raise RepbiasError(
            f"noise {noise!r} of method {method!r}; expected a precision matrix, or 'shrinkage' "
            "with 'crossnobis'"
        )
    if descriptor is None or not ours or options.get("remove_mean"):
        if isinstance(noise, str):
            raise RepbiasError("noise 'shrinkage' needs a descriptor, and no remove_mean")
        rdms = rsatoolbox_calc_rdm(dataset, method, descriptor, noise, cv_descriptor, **options)
        assert isinstance(rdms, RDMs)  # not a list, of one dataset
        return rdms if descriptor is None else _in_order(rdms, dataset, descriptor)
    conditions, codes = _in_given_order(dataset.obs_descriptors[descriptor])
    repeats = _occurrence(codes)
    folds = repeats
    if cv_descriptor is not None:
        folds = np.unique(dataset.obs_descriptors[cv_descriptor], return_inverse=True)[1]
    if unknown := options.keys() - {"remove_mean"}:
        raise RepbiasError(f"crossnobis has no option {sorted(unknown)[0]!r}; expected remove_mean")
    x = np.asarray(dataset.measurements, dtype=np.float64)
    if not np.isfinite(x).all():
        raise RepbiasError(
            f"{(~np.isfinite(x)).any(axis=1).sum()} of {len(x)} observations are not finite; "
            "expected finite numbers"
        )
    tensor = np.full((len(conditions), repeats.max() + 1, x.shape[1]), np.nan)
    tensor[codes, repeats] = x - x.mean(axis=0)  # for precision
    if noise is not None:
        tensor = whitened(tensor, "shrinkage")
    vector = crossnobis(tensor[codes, repeats], codes, folds, len(conditions))
    return RDMs(
        vector[None],
        dissimilarity_measure="crossnobis",
        descriptors=dict(dataset.descriptors),
        pattern_descriptors={descriptor: conditions},
    )


def _in_given_order(values: Iterable[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the different values in order of appearance, and which of them each one is."""
    values = list(values)
    different = list(dict.fromkeys(values))
    position = {value: i for i, value in enumerate(different)}
    return different, np.array([position[value] for value in values])


def _occurrence(codes: np.ndarray) -> np.ndarray:
    """Return, for every value, how many equal ones are before it."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order])
    result = np.empty(len(codes), int)
    result[order] = np.arange(len(codes)) - starts
    return result


def _in_order(rdms: RDMs, dataset: DatasetBase, descriptor: str) -> RDMs:
    given, _ = _in_given_order(dataset.obs_descriptors[descriptor])
    position = {value: i for i, value in enumerate(rdms.pattern_descriptors[descriptor])}
    order = np.array([position[value] for value in given])
    rdms.reorder(order)
    rdms.pattern_descriptors["index"] = list(range(len(order)))
    return rdms


def _together(rdms: list[RDMs], descriptor: str | None) -> RDMs:
    first = rdms[0]
    for other in rdms[1:]:
        if descriptor is not None:  # subjects may have seen the conditions in another order
            position = {v: i for i, v in enumerate(other.pattern_descriptors[descriptor])}
            order = list(first.pattern_descriptors[descriptor])
            if position.keys() == set(order):
                other.reorder(np.array([position[v] for v in order]))
                other.pattern_descriptors["index"] = list(range(len(order)))
        _refuse_other_patterns(first, other, descriptor or "index")
    names = [{**r.descriptors, **{k: v[0] for k, v in r.rdm_descriptors.items()}} for r in rdms]
    shared = set.intersection(*(set(n) for n in names)) - {"index"}
    return RDMs(
        np.concatenate([r.get_vectors() for r in rdms]),
        dissimilarity_measure=first.dissimilarity_measure,
        rdm_descriptors={k: [n[k] for n in names] for k in sorted(shared) if k != "noise"},
        pattern_descriptors=first.pattern_descriptors,
    )


def compare(
    rdm1: RDMs, rdm2: RDMs, method: str = "cosine", sigma_k: np.ndarray | None = None
) -> np.ndarray:
    """Compare every RDM with every other.

    As `rsatoolbox.rdm.compare`, also whitened at 100 conditions or more, where that fails.

    Parameters
    ----------
    rdm1, rdm2
        Over the same conditions: pattern descriptors that both have must be equal.
    method
        As rsatoolbox calls it.
    sigma_k
        Covariance of the patterns' noise: then, as where dissimilarities are missing (NaN),
        rsatoolbox is called.

    Returns
    -------
    numpy.ndarray
        (rdm of rdm1, rdm of rdm2).
    """
    _refuse_other_patterns(rdm1, rdm2)
    a, b = (rdms.get_vectors().astype(np.float64) for rdms in (rdm1, rdm2))
    known = method in get_args(RdmSimilarity) and np.isfinite(a).all() and np.isfinite(b).all()
    if sigma_k is not None or not known:
        return rsatoolbox_compare(rdm1, rdm2, method, sigma_k)
    return comparison.similarities(a, b, _known(method))


def _refuse_other_patterns(first: RDMs, second: RDMs, *descriptors: str) -> None:
    """Refuse RDMs of other conditions, by every descriptor that both have."""
    if first.n_cond != second.n_cond:
        raise RepbiasError(
            f"RDMs of {first.n_cond} and of {second.n_cond} conditions; expected the same"
        )
    shared = first.pattern_descriptors.keys() & second.pattern_descriptors.keys()
    for name in sorted(shared | set(descriptors)):
        a, b = (list(rdms.pattern_descriptors.get(name, [])) for rdms in (first, second))
        if a != b:
            i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            found = f"{a[i]} and {b[i]}" if a and b else "in one of the two only"
            raise RepbiasError(
                f"the pattern descriptor {name!r} of two RDMs differs (number {i}: {found}); "
                "expected the same conditions in the same order"
            )


def boot_noise_ceiling(
    rdms: RDMs, method: str = "cosine", rdm_descriptor: str = "index"
) -> tuple[float, float]:
    """Lower and upper noise ceiling, every group of RDMs left out in turn.

    As `rsatoolbox.inference.boot_noise_ceiling` (Nili et al. 2014).
    """
    subjects = _Groups(rdms.rdm_descriptors[rdm_descriptor])
    every = np.ones((1, subjects.n), int), np.ones((1, rdms.n_cond), int)
    lower, upper = _left_out_ceilings(_vectors(rdms), _known(method), subjects, *every, [(0, 0)])
    return float(lower[0]), float(upper[0])


def eval_bootstrap(
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    theta: list[Any] | None = None,
    method: str = "cosine",
    N: int = 1000,
    pattern_descriptor: str = "index",
    rdm_descriptor: str = "index",
    boot_noise_ceil: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models under a bootstrap of patterns and RDMs.

    As `rsatoolbox.inference.eval_bootstrap`, with the same numbers for the same random state.

    Parameters
    ----------
    models, data, theta, method, N, pattern_descriptor, rdm_descriptor, boot_noise_ceil
        As in rsatoolbox. Models of any type; with parameters theta, which are not fitted.
    random_state
        Seed or generator; None is NumPy's global state, which rsatoolbox uses.
    """
    return _bootstrap(
        "both",
        *(models, data, theta, method, N),
        *(pattern_descriptor, rdm_descriptor, boot_noise_ceil, random_state),
    )


def eval_bootstrap_pattern(
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    theta: list[Any] | None = None,
    method: str = "cosine",
    N: int = 1000,
    pattern_descriptor: str = "index",
    rdm_descriptor: str = "index",
    boot_noise_ceil: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models under a bootstrap of patterns; see :func:`eval_bootstrap`."""
    return _bootstrap(
        "pattern",
        *(models, data, theta, method, N),
        *(pattern_descriptor, rdm_descriptor, boot_noise_ceil, random_state),
    )


def eval_bootstrap_rdm(
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    theta: list[Any] | None = None,
    method: str = "cosine",
    N: int = 1000,
    rdm_descriptor: str = "index",
    boot_noise_ceil: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models under a bootstrap of RDMs; see :func:`eval_bootstrap`."""
    return _bootstrap(
        "rdm",
        *(models, data, theta, method, N),
        *("index", rdm_descriptor, boot_noise_ceil, random_state),
    )


def _bootstrap(
    kind: Literal["both", "pattern", "rdm"],
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    theta: list[Any] | None,
    method: str,
    N: int,
    pattern_descriptor: str,
    rdm_descriptor: str,
    boot_noise_ceil: bool,
    random_state: RandomState,
) -> Result:
    models, rng, rdm_similarity = _listed(models), _generator(random_state), _known(method)
    _refuse_few_samples(N)
    vectors = _vectors(data)
    predicted, model = [], []
    for i, one in enumerate(models):
        rdm = one.predict_rdm(theta=None if theta is None else theta[i])
        _refuse_other_patterns(data, rdm, pattern_descriptor)
        predicted.append(rdm.get_vectors().astype(np.float64))
        model += [i] * rdm.n_rdm
    model = np.array(model)
    subjects, stimuli = _groups(data, rdm_descriptor, pattern_descriptor)
    draws = [
        (
            np.ones(subjects.n, int) if kind == "pattern" else subjects.draw(rng),
            np.ones(stimuli.n, int) if kind == "rdm" else stimuli.draw(rng),
        )
        for _ in range(N)
    ]
    r, c = (np.array(v) for v in zip(*draws, strict=True))
    enough = ((c > 0).sum(axis=1) >= 3) | (kind == "rdm")
    r, c = r[enough], c[enough]
    if kind == "rdm":
        c = c[:1]
    evaluations, ceiling = np.full((N, len(models)), np.nan), np.full((2, N), np.nan)
    similarity = comparison.resampled_similarity(
        np.concatenate(predicted), vectors, rdm_similarity, stimuli.each(c)
    )
    share = subjects.each(r) / subjects.each(r).sum(axis=1, keepdims=True)
    by_rdm = (similarity @ share[:, :, None])[:, :, 0]
    averaging = (model == np.arange(len(models))[:, None]) / np.bincount(model)[:, None]
    evaluations[enough] = by_rdm @ averaging.T
    with_ceiling = evaluations[enough].T
    if boot_noise_ceil:
        pairs = [(0 if kind == "rdm" else i, i) for i in range(len(r))]
        ceiling[:, enough] = _left_out_ceilings(
            vectors, rdm_similarity, subjects, r, stimuli.each(c), pairs
        )
        with_ceiling = np.concatenate([with_ceiling, ceiling[:, enough]])
    else:
        ceiling = np.array(boot_noise_ceiling(data, method, rdm_descriptor))
    # rsatoolbox leaves the ceiling out of the variances of this one.
    variances = np.cov(evaluations[enough].T if kind == "rdm" else with_ceiling)
    n_rdm, n_pattern, degrees = _sizes(kind, data)
    result = Result(
        models,
        evaluations,
        method=method,
        cv_method={"both": "bootstrap"}.get(kind, f"bootstrap_{kind}"),
        noise_ceiling=ceiling,
        variances=variances,
        dof=degrees,
        n_rdm=n_rdm,
        n_pattern=n_pattern,
    )
    result.n_rdm, result.n_pattern = data.n_rdm, data.n_cond
    return result


def eval_dual_bootstrap(
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    method: str = "cosine",
    fitter: Fitter | list[Fitter | None] | None = None,
    k_pattern: int | None = 1,
    k_rdm: int | None = 1,
    N: int = 1000,
    n_cv: int = 2,
    pattern_descriptor: str = "index",
    rdm_descriptor: str = "index",
    use_correction: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models by three bootstraps: of patterns and RDMs, of RDMs, and of patterns.

    As `rsatoolbox.inference.eval_dual_bootstrap` (Schütt et al. 2023), with the same numbers for
    the same random state.

    Parameters
    ----------
    models
        ModelFixed, ModelSelect (chosen by `fit_select`), and ModelWeighted with the fitter
        `rsatoolbox.model.fitter.fit_regress_nn`.
    data, method, k_pattern, k_rdm, N, n_cv, pattern_descriptor, rdm_descriptor, use_correction
        As in rsatoolbox: a k of 1 is no cross-validation, None a number by size.
    fitter
        One for all models or one each; None is the model's own.
    random_state
        Seed or generator; None is NumPy's global state, which rsatoolbox uses.

    Raises
    ------
    RepbiasError
        If a model or fitter is another, an RDM is not finite, a model has other patterns, or the
        correction is asked for with a single division into folds.
    """
    if k_rdm is None:
        k_rdm = default_k_rdm(DRAWN * _Groups(data.rdm_descriptors[rdm_descriptor]).n)
    if k_pattern is None:
        k_pattern = default_k_pattern(
            DRAWN * _Groups(data.pattern_descriptors[pattern_descriptor]).n
        )
    if k_pattern == 1 and k_rdm == 1:
        n_cv, use_correction = 1, False
    evaluations, ceiling, variances = _cross_validated_bootstrap(
        ("both", "rdm", "pattern"),
        *(models, data, method, fitter, k_pattern, k_rdm, N, n_cv),
        *(pattern_descriptor, rdm_descriptor, use_correction, random_state),
    )
    n_rdm, n_pattern, degrees = _sizes("both", data)
    return Result(
        _listed(models),
        evaluations,
        method=method,
        cv_method="dual_bootstrap",
        noise_ceiling=ceiling,
        variances=variances,
        dof=degrees,
        n_rdm=n_rdm,
        n_pattern=n_pattern,
    )


def bootstrap_crossval(
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    method: str = "cosine",
    fitter: Fitter | list[Fitter | None] | None = None,
    k_pattern: int | None = None,
    k_rdm: int | None = None,
    N: int = 1000,
    n_cv: int = 2,
    pattern_descriptor: str = "index",
    rdm_descriptor: str = "index",
    boot_type: Literal["both", "pattern", "rdm"] = "both",
    use_correction: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models by cross-validation within bootstrap samples.

    As `rsatoolbox.inference.bootstrap_crossval`; see :func:`eval_dual_bootstrap`.
    """
    if boot_type not in ("both", "pattern", "rdm"):
        raise RepbiasError(f"boot_type {boot_type!r}; expected 'both', 'pattern' or 'rdm'")
    if k_rdm is None:
        n = _Groups(data.rdm_descriptors[rdm_descriptor]).n
        k_rdm = default_k_rdm(DRAWN * n) if n > 1 else 1
    if k_pattern is None:
        k_pattern = default_k_pattern(
            DRAWN * _Groups(data.pattern_descriptors[pattern_descriptor]).n
        )
    evaluations, ceiling, variances = _cross_validated_bootstrap(
        (boot_type,),
        *(models, data, method, fitter, k_pattern, k_rdm, N, n_cv),
        *(pattern_descriptor, rdm_descriptor, use_correction, random_state),
    )
    n_rdm, n_pattern, degrees = _sizes(boot_type, data)
    return Result(
        _listed(models),
        evaluations[..., 0],
        method=method,
        cv_method="bootstrap_crossval" + ("" if boot_type == "both" else f"_{boot_type}"),
        noise_ceiling=ceiling[..., 0],
        variances=variances[0],
        dof=degrees,
        n_rdm=n_rdm,
        n_pattern=n_pattern,
    )


def _cross_validated_bootstrap(
    boots: tuple[str, ...],
    models: ToolboxModel | list[ToolboxModel],
    data: RDMs,
    method: str,
    fitter: Fitter | list[Fitter | None] | None,
    k_pattern: int,
    k_rdm: int,
    N: int,
    n_cv: int,
    pattern_descriptor: str,
    rdm_descriptor: str,
    use_correction: bool,
    random_state: RandomState,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return evaluations (sample, model, fold, division, bootstrap), ceilings and variances.

    Ceilings are (2, sample, division, bootstrap), variances (bootstrap, x, x), x being the models
    and the two ceilings.
    """
    models, rdm_similarity = _listed(models), _known(method)
    _refuse_few_samples(N)
    if use_correction and n_cv < 2:
        raise RepbiasError(
            f"use_correction needs two divisions into folds or more, n_cv is {n_cv}; expected "
            "n_cv >= 2 or use_correction=False"
        )
    fitted = _fitted(models, fitter, data, pattern_descriptor)
    vectors, rng = _vectors(data), _generator(random_state)
    subjects, stimuli = _groups(data, rdm_descriptor, pattern_descriptor)
    # The first draw is everything once.
    r, c = [np.ones(subjects.n, int)], [np.ones(stimuli.n, int)]
    enough, draws, subject_labels, stimulus_labels = [], [], [], []
    for _ in range(N):
        if boots != ("pattern",):
            r.append(subjects.draw(rng))
        if boots != ("rdm",):
            c.append(stimuli.draw(rng))
        enough.append((r[-1] > 0).sum() >= k_rdm and (c[-1] > 0).sum() >= 3 * k_pattern)
        if not enough[-1]:
            continue
        for _ in range(n_cv):
            for boot in boots:
                draw = 0 if boot == "rdm" else len(c) - 1, 0 if boot == "pattern" else len(r) - 1
                draws.append(draw)
                subject_labels.append(fold_labels(rng, r[draw[1]] > 0, k_rdm))
                stimulus_labels.append(
                    [fold_labels(rng, c[draw[0]] > 0, k_pattern) for _ in range(k_rdm)]
                )
    enough = np.array(enough)
    if enough.sum() < 2:
        raise RepbiasError(
            f"{enough.sum()} of {N} bootstrap samples have the {k_rdm} different RDMs and "
            f"{3 * k_pattern} different patterns that cross-validation needs; expected more, "
            "take a smaller k_rdm or k_pattern"
        )
    k = k_rdm * k_pattern
    test_subjects = np.array(subject_labels)[:, None] == np.arange(k_rdm)[:, None]
    test_stimuli = np.array(stimulus_labels)[:, :, None] == np.arange(k_pattern)[:, None]
    test_subjects = np.repeat(test_subjects, k_pattern, axis=1).reshape(-1, subjects.n)
    test_stimuli = test_stimuli.reshape(-1, stimuli.n)
    # Undivided, training is on what is tested.
    test_subjects, test_stimuli = test_subjects | (k_rdm == 1), test_stimuli | (k_pattern == 1)
    r, c, draws = np.array(r), stimuli.each(np.array(c)), np.array(draws)
    folds = Folds(
        stimuli=c,
        subjects=subjects.each(r),
        stimulus_draw=np.repeat(draws[:, 0], k),
        subject_draw=np.repeat(draws[:, 1], k),
        train_stimuli=stimuli.each(~test_stimuli | (k_pattern == 1)),
        test_stimuli=stimuli.each(test_stimuli),
        train_subjects=subjects.each(~test_subjects | (k_rdm == 1)),
        test_subjects=subjects.each(test_subjects),
    )
    if k == 1:
        ceilings = _left_out_ceilings(vectors, rdm_similarity, subjects, r, c, draws)
    else:
        ceilings = [
            v.reshape(-1, k).mean(axis=1)
            for v in cross_validated_ceilings(vectors, rdm_similarity, folds)
        ]
    similarity = cross_validated_similarities(fitted, vectors, rdm_similarity, folds)
    similarity = similarity.reshape(-1, n_cv, len(boots), k, len(models))
    evaluations = np.full((N, len(models), k, n_cv, len(boots)), np.nan)
    evaluations[enough] = similarity.transpose(0, 4, 3, 1, 2)
    ceiling = np.full((2, N, n_cv, len(boots)), np.nan)
    ceiling[:, enough] = np.reshape(ceilings, (2, -1, n_cv, len(boots)))
    together = [evaluations[enough].mean(axis=2), ceiling[:, enough].transpose(1, 0, 2, 3)]
    variances = _variances(np.concatenate(together, axis=1), use_correction)
    return evaluations, ceiling, variances


def _variances(values: np.ndarray, use_correction: bool) -> np.ndarray:
    """Covariances (bootstrap, x, x) of values (sample, x, division, bootstrap).

    Corrected, extrapolated from the variance of one division and of the mean of all n to that of
    infinitely many: (n V_mean - V_1) / (n - 1).
    """
    n_samples, _, n, _ = values.shape
    values = values - values.mean(axis=0)
    mean = values.mean(axis=2)
    variances = np.einsum("sxb,syb->bxy", mean, mean) / (n_samples - 1)
    if not use_correction:
        return variances
    single = np.einsum("sxnb,synb->bxy", values, values) / (n_samples - 1) / n
    return (n * variances - single) / (n - 1)


def _fitted(
    models: list[ToolboxModel],
    fitter: Fitter | list[Fitter | None] | None,
    data: RDMs,
    descriptor: str,
) -> list[Model]:
    """Take models apart into their RDMs and what is fitted."""
    fitters = fitter if isinstance(fitter, (list, tuple)) else [fitter] * len(models)
    if len(fitters) != len(models):
        raise RepbiasError(f"{len(fitters)} fitters for {len(models)} models; expected one each")
    result = []
    for model, fit in zip(models, fitters, strict=True):
        kinds: dict[type[ToolboxModel], Literal["fixed", "weighted", "select"]]
        kinds = {ModelFixed: "fixed", ModelSelect: "select", ModelWeighted: "weighted"}
        kind = kinds.get(type(model))
        fit = fit or model.default_fitter
        wanted = {"fixed": fit, "select": fit_select, "weighted": fit_regress_nn}
        if kind is None or fit is not wanted[kind]:
            name = getattr(fit, "__name__", type(fit).__name__)
            raise RepbiasError(
                f"model {model.name!r} is a {type(model).__name__} fitted by {name}; expected a "
                "ModelFixed, a ModelSelect (fit_select) or a ModelWeighted (fit_regress_nn); for "
                "others use the function of the same name in rsatoolbox.inference"
            )
        assert isinstance(model.rdm_obj, RDMs)  # as those three have
        _refuse_other_patterns(data, model.rdm_obj, descriptor)
        result.append(Model(model.rdm_obj.get_vectors().astype(np.float64), kind))
    return result


class _Groups:
    """What is resampled and divided as one: items with the same value of a descriptor."""

    def __init__(self, values: Iterable[Any]) -> None:
        names, self.codes = np.unique(np.asarray(values), return_inverse=True)
        self.n = len(names)

    def draw(self, rng: np.random.RandomState) -> np.ndarray:
        """Draw as many groups as there are; return how often each was drawn."""
        return np.bincount(rng.randint(0, self.n, size=self.n), minlength=self.n)

    def each(self, by_group: np.ndarray) -> np.ndarray:
        """Spread (row, group) to (row, item)."""
        return by_group[:, self.codes]


def _groups(data: RDMs, rdm_descriptor: str, pattern_descriptor: str) -> tuple[_Groups, _Groups]:
    for name, descriptors in (
        (rdm_descriptor, data.rdm_descriptors),
        (pattern_descriptor, data.pattern_descriptors),
    ):
        if name not in descriptors:
            raise RepbiasError(f"the data have no descriptor {name!r}, but {sorted(descriptors)}")
    return (
        _Groups(data.rdm_descriptors[rdm_descriptor]),
        _Groups(data.pattern_descriptors[pattern_descriptor]),
    )


def _left_out_ceilings(
    vectors: np.ndarray,
    rdm_similarity: RdmSimilarity,
    subjects: _Groups,
    r: np.ndarray,
    c: np.ndarray,
    draws: Iterable[tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ceilings of pairs of draws, (stimuli, subjects), by leaving out groups.

    A single group is compared with itself.
    """
    draws = np.array(draws)
    # This ranks every draw once for all that are left out, but repeats draws of stimuli.
    if rdm_similarity in comparison.RANKED and subjects.n == len(vectors):
        r = subjects.each(r)[draws[:, 1]]
        return resampled_ceilings(vectors, rdm_similarity, c[draws[:, 0]], r, average="subjects")
    drawn = r[draws[:, 1]] > 0
    which, group = np.nonzero(drawn)
    test = group[:, None] == np.arange(subjects.n)
    alone = drawn.sum(axis=1)[which] == 1
    everything = np.ones((len(which), c.shape[1]), bool)
    folds = Folds(
        stimuli=c,
        subjects=subjects.each(r),
        stimulus_draw=draws[which, 0],
        subject_draw=draws[which, 1],
        train_stimuli=everything,
        test_stimuli=everything,
        train_subjects=subjects.each(~test | alone[:, None]),
        test_subjects=subjects.each(test),
    )
    bounds = cross_validated_ceilings(vectors, rdm_similarity, folds)
    return tuple(np.bincount(which, v) / drawn.sum(axis=1) for v in bounds)


def _sizes(kind: str, data: RDMs) -> tuple[int | None, int | None, int]:
    """Numbers of RDMs and of patterns, where resampled, and rsatoolbox's degrees of freedom."""
    sizes = {"rdm": (data.n_rdm, None), "pattern": (None, data.n_cond)}
    n_rdm, n_pattern = sizes.get(kind, (data.n_rdm, data.n_cond))
    return n_rdm, n_pattern, min(n for n in (n_rdm, n_pattern) if n is not None) - 1


def _listed(models: ToolboxModel | list[ToolboxModel]) -> list[ToolboxModel]:
    return [models] if isinstance(models, ToolboxModel) else list(models)


def _generator(random_state: RandomState) -> np.random.RandomState:
    """Return what draws; the module numpy.random is NumPy's global state."""
    if random_state is None:
        return cast("np.random.RandomState", np.random)
    if isinstance(random_state, np.random.RandomState):
        return random_state
    return np.random.RandomState(random_state)


def _known(method: str) -> RdmSimilarity:
    if method not in get_args(RdmSimilarity):
        raise RepbiasError(
            f"method {method!r}; expected one of {', '.join(get_args(RdmSimilarity))}; for others "
            "use the function of the same name in rsatoolbox"
        )
    return cast("RdmSimilarity", method)


def _vectors(data: RDMs) -> np.ndarray:
    vectors = data.get_vectors().astype(np.float64)
    comparison.refuse_not_finite(vectors, "data")
    return vectors


def _refuse_few_samples(n: int) -> None:
    if n < 2:
        raise RepbiasError(f"N is {n}; expected two bootstrap samples or more")
