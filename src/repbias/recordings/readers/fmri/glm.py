"""Betas of the BOLD signal: the weights of a general linear model (GLM), fitted by nilearn."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import read_metadata
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.fmri.betas import blank_unobserved
from repbias.recordings.readers.fmri.bold import ROUNDING, warn_of_cuts
from repbias.recordings.readers.fmri.confounds import read_confounds
from repbias.recordings.readers.fmri.events import LEFT_OUT
from repbias.recordings.readers.fmri.glm_settings import Confounds, Glm
from repbias.recordings.readers.fmri.runs import run_of, split_runs
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Seconds after an event until the response is at its peak, and until it is over.
PEAK_S, OVER_S = 5.0, 20.0
#: How many times larger the variance of a beta may be than if its regressor correlated with no
#: other one: beyond the first there is a warning, beyond the second it cannot be estimated.
INFLATED, INSEPARABLE = 5.0, 1e6
#: The TR of the header and that of the metadata may differ by this share.
TR_TOLERANCE = 0.01


def fit_bold(
    spec: FmriRecording, scan: Scan, values: np.ndarray, events: pd.DataFrame, tr: float | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Fit a GLM to every run of an image.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    scan
        The image.
    values
        (volume, voxel); those without a signal in a run become NaN.
    events
        One row per volume, or with onsets.
    tr
        Seconds between two volumes, if they are known.

    Returns
    -------
    betas : numpy.ndarray
        (response, voxel); 0 for constant voxels, and NaN for those with a NaN or 0 throughout.
    trials : pandas.DataFrame
        One row per response, with `n_events`, which share its regressor, and `variance_inflation`.

    Raises
    ------
    RepbiasError
        If nilearn is missing, files do not fit together, or the model cannot be estimated.
    """
    import pandas as pd

    glm = spec.glm()
    assert glm is not None
    runs, blocks = split_runs(spec, scan, len(values), events, tr)
    assert tr is not None  # or the runs would have been refused
    for start, stop in runs.values():
        blank_unobserved(values[start:stop])  # such voxels are outside the run's field of view
    moment = _slice_time_ref(glm, scan, tr, spec.tr_s is None)
    confounds, used = pd.DataFrame(index=range(len(values))), np.ones(len(values), bool)
    if isinstance(glm.confounds, Confounds):
        confounds, used = read_confounds(glm.confounds, scan, len(values))
    fits, keys = [], run_of(blocks)
    # Events that are left out evoked a response too, and are modelled as others are.
    for run in dict.fromkeys(run_of(blocks[blocks["stimulus"] != LEFT_OUT])):
        of_file = slice(*runs[run])
        steady = used[of_file].copy()
        steady[: spec.skip_volumes] = False
        times = tr * (np.arange(len(steady)) + moment)
        regressors = _regressors(glm, scan.paths["events"], blocks[[key == run for key in keys]])
        regressors = _measured(scan.paths["events"], regressors, times, steady)
        make_design = partial(
            design_matrix, glm, times, _standardised(confounds.iloc[of_file], steady)
        )
        signal = scale_signal(
            values[of_file][steady], make_design(None)[steady], glm.scale, scan.image
        )
        models = (
            (names, make_design(labelled)[steady]) for names, labelled in _models(glm, regressors)
        )
        responses = regressors[regressors["stimulus"] != LEFT_OUT]
        fits.append(_fit_run(glm, scan, signal, responses, models))
    betas, tables = zip(*fits, strict=True)
    return np.concatenate(betas), pd.concat(tables, ignore_index=True)


def _regressors(glm: Glm, path: Path, events: pd.DataFrame) -> pd.DataFrame:
    """Return the events of a run with the regressor that each belongs to."""
    twice = events.duplicated(["stimulus", "onset"])
    events, twice = (x[~twice | (events["stimulus"] != LEFT_OUT)] for x in (events, twice))
    if twice.any():
        line = events.index[twice][0]
        raise RepbiasError(f"{path}: line {line}: this event is listed twice; a GLM counts it once")
    if glm.regressors == "trial":
        codes = np.arange(len(events))
    else:
        codes = events["stimulus"].factorize()[0]
    return events.assign(regressor=[f"regressor{code}" for code in codes])


def _models(glm: Glm, events: pd.DataFrame) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Yield the models of a run: regressors whose betas are taken, and events with regressors.

    Least squares all is one model, least squares separate one for each regressor, with the others
    as one (Mumford et al. 2012, NeuroImage 59:2636).
    """
    names = events["regressor"][events["stimulus"] != LEFT_OUT].unique().tolist()
    if glm.least_squares == "all":
        yield names, events
        return
    for name in names:
        yield (
            [name],
            events.assign(
                regressor=events["regressor"].where(events["regressor"] == name, "others")
            ),
        )


def _measured(
    path: Path, events: pd.DataFrame, times: np.ndarray, steady: np.ndarray
) -> pd.DataFrame:
    """Refuse events whose response was not measured, or drop them if they are left out anyway.

    Warn of those measured in part.
    """
    if not steady.any():
        raise RepbiasError(f"{path}: no volume of the run is in a steady state; see skip_volumes")
    first, last = times[steady][[0, -1]]
    onsets, stops = events["onset"].to_numpy(), (events["onset"] + events["duration"]).to_numpy()
    outside = (onsets >= last) | (stops + OVER_S <= first)
    is_left_out = (events["stimulus"] == LEFT_OUT).to_numpy()
    if (outside & ~is_left_out).any():
        outside &= ~is_left_out
        line, onset = events.index[outside][0], onsets[outside][0]
        raise RepbiasError(
            f"{path}: line {line}: no volume measures the response to the event at {onset:g} s; "
            f"the run has steady volumes from {first:g} to {last:g} s"
        )
    cut = ((onsets < first - times[0]) & ~is_left_out, (stops + PEAK_S > last) & ~is_left_out)
    warn_of_cuts(path, *(int(some.sum()) for some in cut))
    return events[~outside]


def _standardised(confounds: pd.DataFrame, steady: np.ndarray) -> pd.DataFrame:
    """Return the confounds that vary, with mean 0 and standard deviation 1 over steady volumes.

    This changes no beta, but numbers of all sizes make a design matrix that looks singular.
    """
    mean, spread = confounds[steady].mean(), confounds[steady].std(ddof=0)
    varies = spread > ROUNDING * confounds[steady].abs().max()
    return ((confounds - mean) / spread).loc[:, varies]


def design_matrix(
    glm: Glm, times: np.ndarray, confounds: pd.DataFrame, events: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the design matrix of a run, as nilearn makes it.

    Parameters
    ----------
    glm
        The model.
    times
        (volume,) seconds.
    confounds
        (volume, confound).
    events
        Columns "onset" and "duration" in seconds, and "regressor".

    Returns
    -------
    pandas.DataFrame
        (volume, regressor): events and their derivatives, confounds, drifts, and the constant.
    """
    nilearn = import_optional("nilearn.glm.first_level", "betas from the BOLD signal", "glm")
    cosines = any(str(name).startswith("cosine") for name in confounds)
    drift = None if cosines or glm.drift == "none" else glm.drift
    if events is not None:
        events = events[["onset", "duration"]].assign(trial_type=events["regressor"])
    with warnings.catch_warnings():  # what nilearn warns of was checked, or is said otherwise
        warnings.simplefilter("ignore")
        return nilearn.make_first_level_design_matrix(
            times,
            events,
            hrf_model=glm.hrf_model(),
            drift_model=drift,
            high_pass=1 / glm.high_pass_s,
            drift_order=glm.drift_order,
            add_regs=confounds if len(confounds.columns) else None,
        )


def _fit_run(
    glm: Glm,
    scan: Scan,
    signal: np.ndarray,
    events: pd.DataFrame,
    models: Iterable[tuple[list[str], pd.DataFrame]],
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the betas (response, voxel) of a run, and the table of its responses.

    Of each model, a design matrix, the betas of the regressors that it names are taken.
    """
    missing = np.isnan(signal).any(axis=0)
    fitted = ~missing & signal.any(axis=0)
    table = events.drop_duplicates("regressor")
    betas, inflation = [], []
    for names, design in models:
        inflation.append(_inflation(scan, design, names, table))
        betas.append(np.tile(np.where(missing, np.nan, 0.0), (len(names), 1)))
        if fitted.any():
            betas[-1][:, fitted] = estimate_betas(signal[:, fitted], design, names, glm.noise)
    n_events = events["regressor"].value_counts()[table["regressor"]]
    table = table.assign(n_events=n_events.to_numpy(), start_time=table["onset"])
    table = table.drop(columns=["onset", "duration", "regressor"])
    return np.concatenate(betas), table.assign(variance_inflation=np.concatenate(inflation))


def _inflation(
    scan: Scan, design: pd.DataFrame, names: list[str], table: pd.DataFrame
) -> np.ndarray:
    """Return the variance inflation of named regressors, which must be estimable."""
    n_free = len(design) - np.linalg.matrix_rank(design.to_numpy())
    if n_free < 1:
        raise RepbiasError(
            f"{scan.image}: {len(design.columns)} regressors for {len(design)} volumes; take fewer "
            "confounds, or regressors: stimulus"
        )
    inflation = variance_inflation(design)[design.columns.get_indexer(names)]
    if inflation.max() > INSEPARABLE:
        of_event = table[table["regressor"] == names[int(inflation.argmax())]]
        line, stimulus = of_event.index[0], of_event["stimulus"].iloc[0]
        raise RepbiasError(
            f"{scan.paths['events']}: line {line}: the response to {stimulus!r} cannot be told "
            "from those to other events, drifts or confounds of its run, whose regressors sum up "
            "to its own"
        )
    return inflation


def scale_signal(values: np.ndarray, nuisance: pd.DataFrame, scale: str, path: Path) -> np.ndarray:
    """Subtract the mean of every voxel in a run, and scale it.

    Parameters
    ----------
    values
        (volume, voxel).
    nuisance
        (volume, regressor): confounds, drifts, and the constant.
    scale
        "z": standard deviations of what the nuisance does not explain; "percent" of the mean; or
        "none".
    path
        The image, for messages.

    Returns
    -------
    numpy.ndarray
        (volume, voxel); NaN throughout for voxels with a NaN, and for those without a mean that
        could be the baseline of a percentage; 0 throughout for constant voxels.
    """
    mean = values.mean(axis=0)
    spread = values.std(axis=0)
    constant = spread <= ROUNDING * np.abs(values).max(axis=0)
    scaled = np.where(constant, 0.0, values - mean)
    if scale == "z":
        x = nuisance.to_numpy()
        rest = scaled - x @ (np.linalg.pinv(x) @ scaled)
        return scaled / np.where(constant, 1.0, rest.std(axis=0))
    if scale == "percent":
        baseless = ~constant & (mean <= spread)
        _check_baselines(path, baseless, ~constant & np.isfinite(spread))
        return scaled * np.where(baseless, np.nan, 100 / np.where(constant | baseless, 1.0, mean))
    return scaled


def _check_baselines(path: Path, baseless: np.ndarray, varying: np.ndarray) -> None:
    """Warn of voxels without a mean that could be the baseline of a percentage."""
    n, n_all = int(baseless.sum()), int(varying.sum())
    found = f"{path}: {n} of {n_all} voxels have a mean over the run that is not above their"
    if 2 * n > n_all:
        raise RepbiasError(
            f"{found} standard deviation, so the signal seems to be centred already and has no "
            "baseline for percentages; set scale: z, or none"
        )
    if n:
        logger.warning("%s standard deviation; they are left out, as a mask should do", found)


def estimate_betas(
    values: np.ndarray, design: pd.DataFrame, names: Sequence[str], noise: str
) -> np.ndarray:
    """Return the betas of regressors, (name, voxel).

    Parameters
    ----------
    values
        (volume, voxel), finite and not constant.
    design
        (volume, regressor).
    names
        Which regressors.
    noise
        "ar1" or "ols".
    """
    nilearn = import_optional("nilearn.glm.first_level", "betas from the BOLD signal", "glm")
    labels, results = nilearn.run_glm(values, design.to_numpy(), noise_model=noise)
    rows = design.columns.get_indexer(list(names))
    betas = np.empty((len(rows), values.shape[1]))
    for label, result in results.items():  # one for all voxels with the same autocorrelation
        betas[:, labels == label] = result.theta[rows]
    return betas


def variance_inflation(design: pd.DataFrame) -> np.ndarray:
    """Return the variance inflation factors of the regressors, (regressor,).

    This is 1 / (1 - R²), with the R² of predicting a regressor from all others: how many times
    larger the variance of its beta is than if it correlated with none. It is infinite where the
    others sum up to it, and for the constant.
    """
    x = design.to_numpy() - design.to_numpy().mean(axis=0)
    size = np.linalg.norm(x, axis=0)
    varies = size > ROUNDING * np.abs(design.to_numpy()).max(axis=0) * np.sqrt(len(design))
    inflation = np.full(len(size), np.inf)
    x = x[:, varies] / size[varies]
    inverse = np.linalg.pinv(x, rcond=1 / INSEPARABLE)
    estimable = np.einsum("ij,ji->i", inverse, x) > 1 - 1e-6
    inflation[varies] = np.where(estimable, (inverse**2).sum(axis=1), np.inf)
    return inflation


def _slice_time_ref(glm: Glm, scan: Scan, tr: float, from_header: bool) -> float:
    """Return the moment that a volume stands for, as a share of the TR."""
    facts = read_metadata(scan.paths["sidecar"]) if "sidecar" in scan.paths else {}
    known = facts.get("RepetitionTime")
    if from_header and isinstance(known, int | float) and abs(known / tr - 1) > TR_TOLERANCE:
        raise RepbiasError(
            f"{scan.image}: {tr:g} s between volumes (TR) in its header, but {known:g} s in "
            f"{scan.paths['sidecar'].name}; set 'tr_s'"
        )
    start = facts.get("StartTime")
    if glm.slice_time_ref is not None:
        return glm.slice_time_ref
    return start / tr if isinstance(start, int | float) and 0 <= start <= tr else 0.5


def describe_fit(glm: Glm, confounds: str, trials: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Say how betas were estimated, and warn of what makes them noisy or useless.

    Parameters
    ----------
    glm
        The model.
    confounds
        Which nuisance regressors were used.
    trials
        For every subject, a row for each response: "stimulus", "n_events", "variance_inflation".

    Returns
    -------
    dict
        What is kept with the recording.
    """
    logger.info("confounds: %s", confounds)
    if glm.confounds is None:
        logger.warning(
            "no confounds: head motion is not part of the GLM; set response.confounds, or "
            "confounds: none to say that this is meant"
        )
    inflation = np.concatenate([table["variance_inflation"] for table in trials])
    counts = np.concatenate([table["n_events"] for table in trials])
    n_inflated = int((inflation > INFLATED).sum())
    if n_inflated:
        remedies = {
            "regressors: stimulus (one per stimulus and run)": glm.regressors == "trial",
            "least_squares: separate": glm.least_squares == "all",
            "fewer confounds": isinstance(glm.confounds, Confounds),
        }
        logger.warning(
            "%d of %d regressors are collinear with others: their betas' variance is inflated more "
            "than %g-fold (median %.1f, largest %.1f)%s",
            n_inflated,
            len(inflation),
            INFLATED,
            np.median(inflation),
            inflation.max(),
            "".join(f"; {remedy}" for remedy, helps in remedies.items() if helps),
        )
    repeated = any(not table["stimulus"].is_unique for table in trials)
    if glm.regressors == "stimulus" and not repeated and counts.max() > 1:
        logger.warning(
            "every stimulus has one beta, as none was shown in two runs: no repeats, so no noise "
            "ceilings; set regressors: trial"
        )
    unit = {"z": "standard deviations of the signal", "percent": "% signal change", "none": ""}
    return {
        "glm": glm.model_dump(mode="json"),
        "confounds": confounds,
        "response_unit": unit[glm.scale],
    }
