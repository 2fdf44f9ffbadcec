"""Evaluation of rsatoolbox's models by the bootstrap and by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from rsatoolbox.inference import Result
from rsatoolbox.inference import boot_noise_ceiling as rsatoolbox_boot_noise_ceiling
from rsatoolbox.model import Model as ToolboxModel
from rsatoolbox.model import ModelFixed, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_regress_nn, fit_select
from rsatoolbox.rdm import RDMs
from rsatoolbox.util.inference_util import default_k_pattern, default_k_rdm

from repbias.base.spec import RepbiasError
from repbias.geometry.ceilings import resampled_ceilings
from repbias.geometry.comparison import RANKED, refuse_not_finite, resampled_similarity
from repbias.geometry.crossvalidation import (
    Folds,
    Model,
    cross_validated_ceilings,
    cross_validated_similarities,
    fold_labels,
)
from repbias.geometry.spec import RdmSimilarity
from repbias.rsa.toolbox.rdms import computed_here, refuse_other_patterns

#: What is resampled.
Kind = Literal["both", "pattern", "rdm"]
#: Fits a model: (model, data, method, pattern_idx, pattern_descriptor, ...) to its parameters.
Fitter = Callable[..., Any]
RandomState = int | np.random.RandomState | None
#: Expected share of distinct items in a bootstrap sample of many.
DRAWN = 1 - 1 / np.e


def boot_noise_ceiling(
    rdms: RDMs, method: str = "cosine", rdm_descriptor: str = "index"
) -> tuple[float, float]:
    """Return the lower and upper noise ceiling, leaving out every group of RDMs in turn.

    As `rsatoolbox.inference.boot_noise_ceiling` (Nili et al. 2014), which is called for other
    measures, with missing dissimilarities (NaN) and for two conditions.
    """
    if not computed_here(method, rdms.get_vectors()):
        lower_bound, upper_bound = rsatoolbox_boot_noise_ceiling(rdms, method, rdm_descriptor)
        return float(lower_bound), float(upper_bound)
    data = _Data.of(rdms, method, rdm_descriptor)
    subjects, stimuli = np.ones((1, data.subjects.n), int), np.ones((1, rdms.n_cond), int)
    lower, upper = _left_out_ceilings(data, subjects, stimuli, [(0, 0)])
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
        As in rsatoolbox. Models may be of any type; their parameters theta are not fitted.
    random_state
        Seed or generator; None is NumPy's global state, which rsatoolbox uses.
    """
    grouped = _Data.of(data, method, rdm_descriptor, pattern_descriptor)
    return _bootstrap("both", models, grouped, theta, N, boot_noise_ceil, random_state)


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
    grouped = _Data.of(data, method, rdm_descriptor, pattern_descriptor)
    return _bootstrap("pattern", models, grouped, theta, N, boot_noise_ceil, random_state)


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
    grouped = _Data.of(data, method, rdm_descriptor)
    return _bootstrap("rdm", models, grouped, theta, N, boot_noise_ceil, random_state)


def _bootstrap(
    kind: Kind,
    models: ToolboxModel | list[ToolboxModel],
    data: _Data,
    theta: list[Any] | None,
    n_samples: int,
    boot_noise_ceil: bool,
    random_state: RandomState,
) -> Result:
    models, rng = _listed(models), _generator(random_state)
    _refuse_too_few((kind,), data, n_samples)
    predicted, model = _predicted(models, data, theta)
    r, c = _drawn(kind, data, n_samples, rng)
    enough = ((c > 0).sum(axis=1) >= 3) | (kind == "rdm")
    _refuse_few_usable(enough.sum(), n_samples, "three different patterns", "more patterns")
    r, c = r[enough], c[enough]
    if kind == "rdm":
        c = c[:1]
    evaluations = np.full((n_samples, len(models)), np.nan)
    similarity = resampled_similarity(
        predicted, data.vectors, data.rdm_similarity, data.stimuli.each(c)
    )
    share = data.subjects.each(r) / data.subjects.each(r).sum(axis=1, keepdims=True)
    by_rdm = (similarity @ share[:, :, None])[:, :, 0]
    averaging = (model == np.arange(len(models))[:, None]) / np.bincount(model)[:, None]
    evaluations[enough] = by_rdm @ averaging.T
    with_ceiling = evaluations[enough].T
    if boot_noise_ceil:
        draws = [(0 if kind == "rdm" else i, i) for i in range(len(r))]
        ceiling = np.full((2, n_samples), np.nan)
        ceiling[:, enough] = _left_out_ceilings(data, r, data.stimuli.each(c), draws)
        with_ceiling = np.concatenate([with_ceiling, ceiling[:, enough]])
    else:
        ceiling = np.array(boot_noise_ceiling(data.rdms, data.rdm_similarity, data.rdm_descriptor))
    # rsatoolbox leaves the ceiling out of the variances of the bootstrap of RDMs.
    variances = np.cov(evaluations[enough].T if kind == "rdm" else with_ceiling)
    cv_method = "bootstrap" if kind == "both" else f"bootstrap_{kind}"
    result = _result(kind, models, data, cv_method, (evaluations, ceiling, variances))
    # And it reports both sizes, whatever is resampled.
    result.n_rdm, result.n_pattern = data.rdms.n_rdm, data.rdms.n_cond
    return result


def _predicted(
    models: list[ToolboxModel], data: _Data, theta: list[Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the RDMs that models predict (rdm, pair), and which model each one is of (rdm,)."""
    vectors, number = [], []
    if theta is not None and (not isinstance(theta, Sized) or len(theta) != len(models)):
        found = f"has {len(theta)} items" if isinstance(theta, Sized) else f"is {theta!r}"
        raise RepbiasError(
            f"theta {found}; expected a list with the parameters of each of {len(models)} models"
        )
    for i, model in enumerate(models):
        rdms = model.predict_rdm(theta=None if theta is None else theta[i])
        refuse_other_patterns(data.rdms, rdms, data.pattern_descriptor)
        vectors.append(rdms.get_vectors().astype(np.float64))
        number += [i] * rdms.n_rdm
    predicted = np.concatenate(vectors)
    refuse_not_finite(predicted, "models")
    return predicted, np.array(number)


def _drawn(
    kind: Kind, data: _Data, n_samples: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Draw samples: how often each group of RDMs and of patterns was drawn, (sample, group)."""
    draws = [
        (
            np.ones(data.subjects.n, int) if kind == "pattern" else data.subjects.draw(rng),
            np.ones(data.stimuli.n, int) if kind == "rdm" else data.stimuli.draw(rng),
        )
        for _ in range(n_samples)
    ]
    r, c = (np.array(v) for v in zip(*draws, strict=True))
    return r, c


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
        As in rsatoolbox: a k of 1 means no cross-validation, None a default that depends on the
        size of the data.
    fitter
        One for all models or one each; None is the model's own.
    random_state
        Seed or generator; None is NumPy's global state, which rsatoolbox uses.

    Raises
    ------
    RepbiasError
        If a model or fitter is not supported, an RDM is not finite, a model has other patterns, or
        the correction is requested with a single division into folds.
    """
    models = _listed(models)
    grouped = _Data.of(data, method, rdm_descriptor, pattern_descriptor)
    if k_rdm is None:
        k_rdm = default_k_rdm(DRAWN * grouped.subjects.n)
    if k_pattern is None:
        k_pattern = default_k_pattern(DRAWN * grouped.stimuli.n)
    if k_pattern == 1 and k_rdm == 1:
        n_cv, use_correction = 1, False
    division = _Division(k_pattern, k_rdm, n_cv, use_correction)
    evaluated = _cross_validated_bootstrap(
        ("both", "rdm", "pattern"), models, grouped, fitter, division, N, random_state
    )
    return _result("both", models, grouped, "dual_bootstrap", evaluated)


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
    boot_type: Kind = "both",
    use_correction: bool = True,
    random_state: RandomState = None,
) -> Result:
    """Evaluate models by cross-validation within bootstrap samples.

    As `rsatoolbox.inference.bootstrap_crossval`; see :func:`eval_dual_bootstrap`.
    """
    if boot_type not in get_args(Kind):
        raise RepbiasError(f"boot_type {boot_type!r}; expected 'both', 'pattern' or 'rdm'")
    models = _listed(models)
    grouped = _Data.of(data, method, rdm_descriptor, pattern_descriptor)
    if k_rdm is None:
        k_rdm = default_k_rdm(DRAWN * grouped.subjects.n) if grouped.subjects.n > 1 else 1
    if k_pattern is None:
        k_pattern = default_k_pattern(DRAWN * grouped.stimuli.n)
    division = _Division(k_pattern, k_rdm, n_cv, use_correction)
    evaluations, ceiling, variances = _cross_validated_bootstrap(
        (boot_type,), models, grouped, fitter, division, N, random_state
    )
    cv_method = "bootstrap_crossval" + ("" if boot_type == "both" else f"_{boot_type}")
    evaluated = evaluations[..., 0], ceiling[..., 0], variances[0]
    return _result(boot_type, models, grouped, cv_method, evaluated)


@dataclass(frozen=True)
class _Division:
    """How bootstrap samples are divided for cross-validation.

    Attributes
    ----------
    k_pattern, k_rdm : numbers of folds of patterns and of RDMs; 1 is no cross-validation
    n_cv : random divisions of each sample
    use_correction : whether variances are extrapolated to infinitely many divisions
    """

    k_pattern: int
    k_rdm: int
    n_cv: int
    use_correction: bool

    def __post_init__(self) -> None:
        for name in ("k_pattern", "k_rdm", "n_cv"):
            if getattr(self, name) < 1:
                raise RepbiasError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.use_correction and self.n_cv < 2:
            raise RepbiasError(
                f"use_correction needs two divisions into folds or more, n_cv is {self.n_cv}; "
                "expected n_cv >= 2 or use_correction=False"
            )


def _cross_validated_bootstrap(
    boots: tuple[Kind, ...],
    models: list[ToolboxModel],
    data: _Data,
    fitter: Fitter | list[Fitter | None] | None,
    division: _Division,
    n_samples: int,
    random_state: RandomState,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return evaluations (sample, model, fold, division, bootstrap), ceilings and variances.

    Ceilings are (2, sample, division, bootstrap), variances (bootstrap, x, x), x being the models
    and the two ceilings.
    """
    _refuse_too_few(boots, data, n_samples)
    fitted = _fitted(models, fitter, data)
    divided = _Divided.of(boots, data, division, n_samples, _generator(random_state))
    folds = divided.folds(data, division)
    k = division.k_rdm * division.k_pattern
    if k == 1:
        ceilings = _left_out_ceilings(
            data, divided.subjects, data.stimuli.each(divided.stimuli), divided.draws
        )
    else:
        ceilings = tuple(
            v.reshape(-1, k).mean(axis=1)
            for v in cross_validated_ceilings(data.vectors, data.rdm_similarity, folds)
        )
    similarity = cross_validated_similarities(fitted, data.vectors, data.rdm_similarity, folds)
    similarity = similarity.reshape(-1, division.n_cv, len(boots), k, len(models))
    enough = divided.enough
    evaluations = np.full((n_samples, len(models), k, division.n_cv, len(boots)), np.nan)
    evaluations[enough] = similarity.transpose(0, 4, 3, 1, 2)
    ceiling = np.full((2, n_samples, division.n_cv, len(boots)), np.nan)
    ceiling[:, enough] = np.reshape(ceilings, (2, -1, division.n_cv, len(boots)))
    with_ceiling = [evaluations[enough].mean(axis=2), ceiling[:, enough].transpose(1, 0, 2, 3)]
    variances = _variances(np.concatenate(with_ceiling, axis=1), division.use_correction)
    return evaluations, ceiling, variances


@dataclass
class _Divided:
    """Bootstrap samples and their random divisions into folds.

    Attributes
    ----------
    subjects, stimuli : (draw, group) how often each group of RDMs and of patterns was drawn; the
        first draw is every group once
    enough : (sample,) bool, whether a sample has enough different groups to be divided
    draws : (division, 2) index of the draw of stimuli and of that of subjects; for every sample
        that has enough, `n_cv` divisions of each bootstrap
    subject_folds : (division, group) fold of every group of RDMs; -1 if it was not drawn
    stimulus_folds : (division, fold of RDMs, group) the same for patterns
    """

    subjects: np.ndarray
    stimuli: np.ndarray
    enough: np.ndarray
    draws: np.ndarray
    subject_folds: np.ndarray
    stimulus_folds: np.ndarray

    @classmethod
    def of(
        cls,
        boots: tuple[Kind, ...],
        data: _Data,
        division: _Division,
        n_samples: int,
        rng: np.random.RandomState,
    ) -> _Divided:
        """Draw and divide, with random numbers in rsatoolbox's order."""
        k_rdm, k_pattern = division.k_rdm, division.k_pattern
        r, c = [np.ones(data.subjects.n, int)], [np.ones(data.stimuli.n, int)]
        enough, draws, subject_folds, stimulus_folds = [], [], [], []
        for _ in range(n_samples):
            if boots != ("pattern",):
                r.append(data.subjects.draw(rng))
            if boots != ("rdm",):
                c.append(data.stimuli.draw(rng))
            enough.append((r[-1] > 0).sum() >= k_rdm and (c[-1] > 0).sum() >= 3 * k_pattern)
            if not enough[-1]:
                continue
            for _ in range(division.n_cv):
                for boot in boots:
                    stimuli = 0 if boot == "rdm" else len(c) - 1
                    subjects = 0 if boot == "pattern" else len(r) - 1
                    draws.append((stimuli, subjects))
                    subject_folds.append(fold_labels(rng, r[subjects] > 0, k_rdm))
                    stimulus_folds.append(
                        [fold_labels(rng, c[stimuli] > 0, k_pattern) for _ in range(k_rdm)]
                    )
        _refuse_few_usable(
            sum(enough),
            n_samples,
            f"{k_rdm} different RDMs and {3 * k_pattern} different patterns",
            "a smaller k_rdm or k_pattern, or more data",
        )
        return cls(*map(np.array, (r, c, enough, draws, subject_folds, stimulus_folds)))

    def folds(self, data: _Data, division: _Division) -> Folds:
        """Return every combination of a fold of RDMs and one of patterns, of every division."""
        k_rdm, k_pattern = division.k_rdm, division.k_pattern
        k = k_rdm * k_pattern
        test_subjects = self.subject_folds[:, None] == np.arange(k_rdm)[:, None]
        test_subjects = np.repeat(test_subjects, k_pattern, axis=1).reshape(-1, data.subjects.n)
        test_stimuli = self.stimulus_folds[:, :, None] == np.arange(k_pattern)[:, None]
        test_stimuli = test_stimuli.reshape(-1, data.stimuli.n)
        # What is not divided is trained and tested on as a whole.
        test_subjects, test_stimuli = test_subjects | (k_rdm == 1), test_stimuli | (k_pattern == 1)
        return Folds(
            stimuli=data.stimuli.each(self.stimuli),
            subjects=data.subjects.each(self.subjects),
            stimulus_draw=np.repeat(self.draws[:, 0], k),
            subject_draw=np.repeat(self.draws[:, 1], k),
            train_stimuli=data.stimuli.each(~test_stimuli | (k_pattern == 1)),
            test_stimuli=data.stimuli.each(test_stimuli),
            train_subjects=data.subjects.each(~test_subjects | (k_rdm == 1)),
            test_subjects=data.subjects.each(test_subjects),
        )


def _variances(values: np.ndarray, use_correction: bool) -> np.ndarray:
    """Return covariances (bootstrap, x, x) of values (sample, x, division, bootstrap).

    Corrected, they are extrapolated from the variance of one division and that of the mean of all n
    to infinitely many divisions: (n V_mean - V_1) / (n - 1).
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
    models: list[ToolboxModel], fitter: Fitter | list[Fitter | None] | None, data: _Data
) -> list[Model]:
    """Convert rsatoolbox's models; refuse those that are not supported."""
    fitters = fitter if isinstance(fitter, (list, tuple)) else [fitter] * len(models)
    if len(fitters) != len(models):
        raise RepbiasError(f"{len(fitters)} fitters for {len(models)} models; expected one each")
    result = []
    for model, fit in zip(models, fitters, strict=True):
        kinds: dict[type[ToolboxModel], Literal["fixed", "weighted", "select"]]
        kinds = {ModelFixed: "fixed", ModelSelect: "select", ModelWeighted: "weighted"}
        kind = kinds.get(type(model))
        fit = fit or model.default_fitter
        supported = {"fixed": fit, "select": fit_select, "weighted": fit_regress_nn}
        if kind is None or fit is not supported[kind]:
            name = getattr(fit, "__name__", type(fit).__name__)
            raise RepbiasError(
                f"model {model.name!r} is a {type(model).__name__} fitted by {name}; expected a "
                "ModelFixed, a ModelSelect (fit_select) or a ModelWeighted (fit_regress_nn); for "
                "others use the function of the same name in rsatoolbox.inference"
            )
        assert isinstance(model.rdm_obj, RDMs)  # as those three have
        refuse_other_patterns(data.rdms, model.rdm_obj, data.pattern_descriptor)
        result.append(Model(model.rdm_obj.get_vectors().astype(np.float64), kind))
    return result


class _Groups:
    """Items that are resampled and divided together: those with the same value of a descriptor."""

    def __init__(self, values: Iterable[Any]) -> None:
        names, self.codes = np.unique(np.asarray(values), return_inverse=True)
        self.n = len(names)

    def draw(self, rng: np.random.RandomState) -> np.ndarray:
        """Draw as many groups as exist; return how often each was drawn, (group,)."""
        return np.bincount(rng.randint(0, self.n, size=self.n), minlength=self.n)

    def each(self, by_group: np.ndarray) -> np.ndarray:
        """Spread (row, group) to (row, item)."""
        return by_group[:, self.codes]


@dataclass
class _Data:
    """The data, their similarity measure, and the groups that are resampled.

    Attributes
    ----------
    rdms : as given
    vectors : (rdm, pair) float64, finite
    rdm_similarity : the measure
    rdm_descriptor, pattern_descriptor : names of the descriptors that define groups
    subjects, stimuli : groups of RDMs and of patterns
    """

    rdms: RDMs
    vectors: np.ndarray
    rdm_similarity: RdmSimilarity
    rdm_descriptor: str
    pattern_descriptor: str
    subjects: _Groups
    stimuli: _Groups

    @classmethod
    def of(
        cls, rdms: RDMs, method: str, rdm_descriptor: str, pattern_descriptor: str = "index"
    ) -> _Data:
        """Check and group the data."""
        if method not in get_args(RdmSimilarity):
            raise RepbiasError(
                f"method {method!r}; expected one of {', '.join(get_args(RdmSimilarity))}; for "
                "others use the function of the same name in rsatoolbox"
            )
        vectors = rdms.get_vectors().astype(np.float64)
        refuse_not_finite(vectors, "data")
        if rdms.n_cond < 3:
            raise RepbiasError(f"RDMs of {rdms.n_cond} conditions; expected three or more")
        for name, descriptors in (
            (rdm_descriptor, rdms.rdm_descriptors),
            (pattern_descriptor, rdms.pattern_descriptors),
        ):
            if name not in descriptors:
                raise RepbiasError(
                    f"the data have no descriptor {name!r}, but {sorted(descriptors)}"
                )
        return cls(
            rdms,
            vectors,
            cast("RdmSimilarity", method),
            rdm_descriptor,
            pattern_descriptor,
            _Groups(rdms.rdm_descriptors[rdm_descriptor]),
            _Groups(rdms.pattern_descriptors[pattern_descriptor]),
        )


def _left_out_ceilings(
    data: _Data, subjects: np.ndarray, stimuli: np.ndarray, draws: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ceilings, leaving out groups of RDMs; (pair of draws,) each.

    A single group is compared with itself.

    Parameters
    ----------
    data
        Data RDMs.
    subjects, stimuli
        (draw, group of RDMs) and (draw, pattern), how often each was drawn.
    draws
        Pairs of draws, of stimuli and of subjects.
    """
    draws = np.array(draws)
    # This ranks every draw once for all that are left out, but repeats draws of stimuli.
    if data.rdm_similarity in RANKED and data.subjects.n == len(data.vectors):
        return resampled_ceilings(
            data.vectors,
            data.rdm_similarity,
            stimuli[draws[:, 0]],
            data.subjects.each(subjects)[draws[:, 1]],
            average="subjects",
        )
    drawn = subjects[draws[:, 1]] > 0
    pair, group = np.nonzero(drawn)
    test = group[:, None] == np.arange(data.subjects.n)
    single = drawn.sum(axis=1)[pair] == 1
    everything = np.ones((len(pair), stimuli.shape[1]), bool)
    folds = Folds(
        stimuli=stimuli,
        subjects=data.subjects.each(subjects),
        stimulus_draw=draws[pair, 0],
        subject_draw=draws[pair, 1],
        train_stimuli=everything,
        test_stimuli=everything,
        train_subjects=data.subjects.each(~test | single[:, None]),
        test_subjects=data.subjects.each(test),
    )
    lower, upper = cross_validated_ceilings(data.vectors, data.rdm_similarity, folds)
    n_groups = drawn.sum(axis=1)
    return np.bincount(pair, lower) / n_groups, np.bincount(pair, upper) / n_groups


def _result(
    kind: Kind,
    models: list[ToolboxModel],
    data: _Data,
    cv_method: str,
    evaluated: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Result:
    """Make rsatoolbox's result of evaluations, ceilings and variances.

    It has the numbers of RDMs and of patterns that are resampled, and the degrees of freedom of the
    smaller one.
    """
    evaluations, ceiling, variances = evaluated
    n_rdm = None if kind == "pattern" else data.rdms.n_rdm
    n_pattern = None if kind == "rdm" else data.rdms.n_cond
    return Result(
        models,
        evaluations,
        method=data.rdm_similarity,
        cv_method=cv_method,
        noise_ceiling=ceiling,
        variances=variances,
        dof=min(n for n in (n_rdm, n_pattern) if n is not None) - 1,
        n_rdm=n_rdm,
        n_pattern=n_pattern,
    )


def _listed(models: ToolboxModel | Iterable[ToolboxModel]) -> list[ToolboxModel]:
    if isinstance(models, ToolboxModel):
        return [models]
    models = list(models) if isinstance(models, Iterable) else [models]
    other = next((m for m in models if not isinstance(m, ToolboxModel)), None)
    if other is not None or not models:
        found = "no models" if other is None else f"a {type(other).__name__}"
        raise RepbiasError(f"models: found {found}; expected an rsatoolbox Model or a list of them")
    return models


def _generator(random_state: RandomState) -> np.random.RandomState:
    """Return the generator; for None the module numpy.random, which is NumPy's global state."""
    if random_state is None:
        return cast("np.random.RandomState", np.random)
    if isinstance(random_state, np.random.RandomState):
        return random_state
    if isinstance(random_state, np.random.Generator):
        raise RepbiasError(
            "random_state is a numpy.random.Generator; expected an integer or a "
            "numpy.random.RandomState, as rsatoolbox's numbers come from"
        )
    return np.random.RandomState(random_state)


def _refuse_too_few(boots: tuple[Kind, ...], data: _Data, n_samples: int) -> None:
    if n_samples < 2:
        raise RepbiasError(f"N is {n_samples}; expected two bootstrap samples or more")
    if boots != ("pattern",) and data.rdms.n_rdm < 2:
        raise RepbiasError(
            "the data are one RDM, which cannot be resampled; expected two or more, or a bootstrap "
            "of patterns (eval_bootstrap_pattern, or bootstrap_crossval with boot_type='pattern')"
        )


def _refuse_few_usable(n: int, n_samples: int, needed: str, remedy: str) -> None:
    """Refuse samples if fewer than two can be evaluated, which leaves no variance."""
    if n < 2:
        raise RepbiasError(
            f"{n} of {n_samples} bootstrap samples have the {needed} that are needed; expected two "
            f"samples or more: take a larger N, {remedy}"
        )
