"""Betas equal those of nilearn called directly, and those that were put into a signal."""

from __future__ import annotations

import json
import sys
import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import FirstLevelModel, compute_regressor
from nilearn.interfaces.fmriprep import load_confounds_strategy
from nilearn.signal import create_cosine_drift
from pydantic import ValidationError
from sklearn.linear_model import LinearRegression

from repbias.base.spec import RepbiasError
from repbias.recordings.readers.fmri import FmriRecording, read
from repbias.recordings.readers.fmri.glm import variance_inflation

KNOWN = np.array([f"image{i}" for i in range(4)])
SHAPE, TR, VOLUMES = (3, 2, 2), 2.0, 90
EVENTS = pd.DataFrame(
    {
        "onset": np.arange(8) * 20.0 + 3,
        "duration": 4.0,
        "trial_type": [f"image{i % 4}" for i in range(8)],
    }
)
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
IMAGE = "sub-{subject}/func/sub-{subject}_task-x_run-{run}_space-T1w_desc-preproc_bold.nii.gz"
COLUMNS = ["trans_?", "rot_?", "*_derivative1", "csf"]


def regressor(events, moment=0.5, hrf="spm"):
    """Return the response to events of one kind, (volume,), convolved by nilearn."""
    times = TR * (np.arange(VOLUMES) + moment)
    condition = (events["onset"], events["duration"], np.ones(len(events)))
    return compute_regressor(condition, hrf, times)[0][:, 0]


def confound_table(rng, not_steady=0):
    """Return a table as fMRIPrep writes it: derivatives begin with n/a."""
    table = pd.DataFrame({name: rng.normal(size=VOLUMES).cumsum() / 10 for name in MOTION})
    for name in ("csf", "white_matter"):
        table[name] = 1e4 + rng.normal(size=VOLUMES).cumsum()
    for name in [*MOTION, "csf", "white_matter"]:
        table[f"{name}_derivative1"] = table[name].diff()
        table[f"{name}_power2"] = table[name] ** 2
        table[f"{name}_derivative1_power2"] = table[name].diff() ** 2
    for i in range(2):
        table[f"cosine{i:02d}"] = np.cos(np.pi * (i + 1) * (np.arange(VOLUMES) + 0.5) / VOLUMES)
    for i in range(not_steady):
        table[f"non_steady_state_outlier{i:02d}"] = np.eye(VOLUMES)[i].astype(int)
    return table


def write_run(root, subject="01", run="1", events=EVENTS, seed=0, noise=1.0, not_steady=0, **to):
    """Write a run as fMRIPrep does; return the betas in it, (stimulus, voxel), percent."""
    rng = np.random.default_rng([seed, int(subject), int(run)])
    stem = str(root / IMAGE.format(subject=subject, run=run)).removesuffix("_bold.nii.gz")
    base = stem.removesuffix("_space-T1w_desc-preproc")
    (root / f"sub-{subject}/func").mkdir(parents=True, exist_ok=True)
    n_voxels = int(np.prod(SHAPE))
    betas = np.random.default_rng([seed, int(subject)]).normal(size=(len(KNOWN), n_voxels))
    confounds = confound_table(rng, not_steady)
    of = events["trial_type"]
    x = np.stack([regressor(events[of == s], **to) for s in KNOWN], axis=1)
    percent = x @ betas + noise * rng.normal(size=(VOLUMES, n_voxels))
    percent = percent + confounds[MOTION].to_numpy() @ rng.normal(size=(len(MOTION), n_voxels))
    percent[:not_steady] += 20
    signal = rng.uniform(500, 1500, n_voxels) * (1 + (percent - percent[not_steady:].mean(0)) / 100)
    image = nibabel.Nifti1Image(signal.T.reshape(*SHAPE, VOLUMES), np.eye(4))
    image.header.set_zooms((1, 1, 1, TR))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, f"{stem}_bold.nii.gz")
    facts = {"RepetitionTime": TR, "StartTime": TR / 2, "SliceTimingCorrected": True}
    (root / f"{stem}_bold.json").write_text(json.dumps(facts))
    mask = nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), np.eye(4))
    nibabel.save(mask, f"{stem.replace('preproc', 'brain')}_mask.nii.gz")
    confounds.to_csv(f"{base}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
    events.to_csv(f"{base}_events.tsv", sep="\t", index=False, na_rep="n/a")
    return betas


def read_folder(root, known=KNOWN, **settings):
    response = settings.pop("response", {})
    if isinstance(response, dict):
        response = {"confounds": {"columns": COLUMNS}, "scale": "percent"} | response
    spec = FmriRecording(
        kind="fmri",
        stimuli="set",
        content="bold",
        path=root,
        images=IMAGE,
        response=response,
        events="sub-{subject}/func/sub-{subject}_task-x_run-{run}_events.tsv",
        **settings,
    )
    return read(spec, known)


def direct(root, events, columns=None, strategy=None, run="1", **model):
    """Return the betas of a run by nilearn's own class: name of a regressor to (voxel,)."""
    image = root / IMAGE.format(subject="01", run=run)
    stem = str(image).removesuffix("_space-T1w_desc-preproc_bold.nii.gz")
    table = pd.read_csv(f"{stem}_desc-confounds_timeseries.tsv", sep="\t")
    steady = np.flatnonzero(table.filter(like="non_steady").sum(axis=1) == 0)
    confounds = None if columns is None else [table[columns].bfill()]
    mask = nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), np.eye(4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if strategy:
            loaded, steady = load_confounds_strategy(str(image), denoise_strategy=strategy)
            confounds = [loaded]
        fitted = FirstLevelModel(TR, 0.5, mask_img=mask, signal_scaling=0, **model).fit(
            [nibabel.load(image)],
            [events],
            confounds,
            sample_masks=None if steady is None else [steady],
        )
    return {
        name: fitted.compute_contrast(name, output_type="effect_size").get_fdata().ravel()
        for name in events["trial_type"].unique()
    }


ALL = [*MOTION, *(f"{name}_derivative1" for name in [*MOTION, "csf", "white_matter"]), "csf"]
DEFAULT = {"hrf_model": "spm", "drift_model": "cosine", "high_pass": 1 / 128, "noise_model": "ar1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {"noise": "ols", "high_pass_s": 60, "regressors": "trial"},
            {"noise_model": "ols", "high_pass": 1 / 60},
        ),
        (
            {"hrf": "glover", "derivatives": "time", "drift": "none"},
            {"hrf_model": "glover + derivative", "drift_model": None},
        ),
        (
            {"derivatives": "time_and_dispersion", "drift": "polynomial", "drift_order": 2}
            | {"regressors": "trial"},
            {
                "hrf_model": "spm + derivative + dispersion",
                "drift_model": "polynomial",
                "drift_order": 2,
            },
        ),
    ],
)
def test_betas_are_those_of_nilearn_called_directly(ours, theirs, tmp_path):
    """Two volumes are not in a steady state, and derivatives begin with n/a."""
    write_run(tmp_path, not_steady=2)
    found = read_folder(tmp_path, response=ours)
    named = EVENTS
    if ours.get("regressors") == "trial":
        named = EVENTS.assign(trial_type=[f"trial{i}" for i in range(len(EVENTS))])
    first = named.drop_duplicates("trial_type")
    assert sorted(found.trials["start_time"]) == first["onset"].tolist()
    stimulus = dict(zip(EVENTS["onset"], EVENTS["trial_type"], strict=True))
    name_of = dict(zip(first["onset"], first["trial_type"], strict=True))
    expected = direct(tmp_path, named, ALL, **DEFAULT | theirs)
    for onset, name, row in zip(
        found.trials["start_time"], found.trials["stimulus_id"], found.responses, strict=True
    ):
        assert name == stimulus[onset]
        np.testing.assert_allclose(row, expected[name_of[onset]], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_strategy_is_that_of_nilearn(tmp_path):
    """It has cosines of its own, so that nilearn advises against further drifts."""
    write_run(tmp_path, not_steady=3)
    found = read_folder(tmp_path, response={"confounds": {"strategy": "simple"}})
    assert found.info["confounds"] == "strategy simple of nilearn"
    expected = direct(tmp_path, EVENTS, strategy="simple", **DEFAULT | {"drift_model": None})
    for name, row in zip(found.trials["stimulus_id"], found.responses, strict=True):
        np.testing.assert_allclose(row, expected[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("least_squares", ["all", "separate"])
def test_betas_that_were_put_into_a_signal_come_back(least_squares, tmp_path):
    """There is no noise but motion and drift of the confounds; subjects and runs differ."""
    betas = {s: write_run(tmp_path, s, r, noise=0) for s in ("01", "02") for r in "12"}
    confounds = {"columns": ["trans_?", "rot_?"]}
    response = {"confounds": confounds, "least_squares": least_squares}
    found = read_folder(tmp_path, response=response)
    assert found.responses.shape == (2 * 2 * 4, 2 * 12)
    for subject, expected in betas.items():
        seen = found.responses[:, found.units["subject"] == subject]
        observed = ~np.isnan(seen).all(axis=1)
        assert observed.sum() == 2 * 4
        for name, row in zip(found.trials["stimulus_id"][observed], seen[observed], strict=True):
            if least_squares == "all":
                np.testing.assert_allclose(row, expected[int(name[-1])], rtol=1e-6)
            else:  # the other events have different betas, but one regressor: an approximation
                np.testing.assert_allclose(row, expected[int(name[-1])], atol=0.5)


@pytest.mark.slow
def test_each_separate_beta_is_that_of_a_model_in_which_all_others_are_one_regressor(tmp_path):
    write_run(tmp_path)
    events = EVENTS.assign(trial_type="others")
    response = {"least_squares": "separate", "regressors": "trial", "derivatives": "time"}
    found = read_folder(tmp_path, response=response)
    for trial in (0, 5):
        own = events.assign(trial_type=np.where(EVENTS.index == trial, "own", "others"))
        model = DEFAULT | {"hrf_model": "spm + derivative"}
        expected = direct(tmp_path, own, ALL, **model)["own"]
        (row,) = found.responses[found.trials["start_time"] == EVENTS["onset"][trial]]
        np.testing.assert_allclose(row, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", ["z", "none"])
def test_betas_in_other_units_are_those_of_the_scaled_signal(scale, tmp_path):
    """z divides by the standard deviation of what drifts and confounds leave, by scikit-learn."""
    write_run(tmp_path)
    percent = read_folder(tmp_path).responses
    series = nibabel.load(tmp_path / IMAGE.format(subject="01", run="1")).get_fdata()
    series = series.reshape(-1, VOLUMES).T
    (table,) = tmp_path.rglob("*confounds*.tsv")
    drifts = create_cosine_drift(1 / 128, TR * (np.arange(VOLUMES) + 0.5))
    nuisance = np.hstack([pd.read_csv(table, sep="\t")[ALL].bfill(), drifts])
    rest = series - LinearRegression().fit(nuisance, series).predict(nuisance)
    unit = rest.std(axis=0) if scale == "z" else 1
    found = read_folder(tmp_path, response={"scale": scale})
    np.testing.assert_allclose(
        found.responses, percent * series.mean(axis=0) / 100 / unit, rtol=1e-6
    )
    expected = "standard deviations of the signal" if scale == "z" else ""
    assert found.info["response_unit"] == expected
    own = read_folder(tmp_path, response={"scale": scale}, response_unit="mine")
    assert own.info["response_unit"] == "mine"


# Collinear regressors.


def test_variance_inflation_is_that_of_predicting_each_regressor_from_the_others():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 5
    design = pd.DataFrame(x).assign(constant=1.0)
    found = variance_inflation(design)
    for i in range(4):
        others = np.delete(x, i, axis=1)
        r2 = LinearRegression().fit(others, x[:, i]).score(others, x[:, i])
        assert found[i] == pytest.approx(1 / (1 - r2))
    assert np.isinf(found[4])
    found = variance_inflation(design.assign(sum=x[:, 0] + x[:, 1]))
    assert np.isinf(found[[0, 1, 5]]).all(), "each is a sum of others"
    assert np.isfinite(found[[2, 3]]).all()


RAPID = pd.DataFrame(
    {
        "onset": 4 + np.arange(40) * 4.0,
        "duration": 1.0,
        "trial_type": [f"image{i * 7 % 4}" for i in range(40)],
    }
)


def test_trials_that_overlap_are_counted_and_the_remedy_is_named(tmp_path, caplog):
    write_run(tmp_path, events=RAPID)
    write_run(tmp_path, run="2", events=RAPID)
    response = {"regressors": "trial", "confounds": "none"}
    found = read_folder(tmp_path, response=response)
    inflation = found.trials["variance_inflation"]
    n = (inflation > 5).sum()
    assert n > 40
    (said,) = [m for m in caplog.messages if "collinear" in m]
    assert said.startswith(f"{n} of 80 regressors are collinear")
    assert f"median {np.median(inflation):.1f}, largest {inflation.max():.1f}" in said
    assert "regressors: stimulus" in said
    assert "least_squares: separate" in said
    caplog.clear()
    read_folder(tmp_path, response={"confounds": "none"})
    assert not caplog.messages


def test_stimuli_without_repeats_are_told_of(tmp_path, caplog):
    write_run(tmp_path)
    read_folder(tmp_path)
    assert "none was shown in two runs" in caplog.text
    caplog.clear()
    read_folder(tmp_path, response={"regressors": "trial"})
    assert not caplog.messages


# Confounds.


def test_the_confounds_that_are_used_are_kept_with_the_recording(tmp_path, caplog):
    write_run(tmp_path, not_steady=1)
    found = read_folder(tmp_path, response={"confounds": {"columns": ["rot_?", "csf", "rot_x"]}})
    assert found.info["confounds"] == "rot_x, rot_y, rot_z, csf"
    caplog.clear()
    for response in ("glm", {"confounds": None}):
        found = read_folder(tmp_path, response=response)
        assert found.info["confounds"] == "none"
        assert "no confounds: head motion is not part of the GLM" in caplog.text
        caplog.clear()
    assert read_folder(tmp_path, response={"confounds": "none"}).info["confounds"] == "none"
    assert read_folder(tmp_path, response="mean").info["confounds"] == "none"
    assert "no confounds" not in caplog.text


def test_a_pattern_need_not_match_in_every_run(tmp_path):
    """fMRIPrep writes no motion_outlier for a run without one; such a run has the other columns."""
    for run in "12":
        write_run(tmp_path, run=run)
    columns = ["trans_?", "rot_?", "csf"]
    expected = read_folder(tmp_path, response={"confounds": {"columns": columns}})
    table = next(tmp_path.rglob("*run-2_desc-confounds*.tsv"))
    outliers = pd.DataFrame(np.eye(VOLUMES, dtype=int)[:, [30, 41]])
    outliers.columns = ["motion_outlier00", "motion_outlier01"]
    pd.read_csv(table, sep="\t").join(outliers).to_csv(table, sep="\t", index=False, na_rep="n/a")
    found = read_folder(
        tmp_path, response={"confounds": {"columns": [*columns, "motion_outlier*"]}}
    )
    assert found.info["confounds"].endswith("motion_outlier00, motion_outlier01 (not in all runs)")
    first = found.trials["run"] == 1
    np.testing.assert_array_equal(found.responses[first], expected.responses[first])
    assert (found.responses[~first] != expected.responses[~first]).any()
    only = read_folder(tmp_path, response={"confounds": {"columns": ["motion_outlier*"]}})
    assert only.info["confounds"] == "motion_outlier00, motion_outlier01 (not in all runs)"
    for name, message in (
        ("motion_outlier00", "run-1_desc-confounds_timeseries.tsv: no column 'motion_outlier00'"),
        ("outlier*", r"no column 'outlier\*' there or in the tables of other runs; allowed"),
    ):
        with pytest.raises(RepbiasError, match=message):
            read_folder(tmp_path, response={"confounds": {"columns": [*columns, name]}})


def test_confounds_may_be_in_a_table_of_ones_own(tmp_path):
    """Under its own name, it gives the same betas; changing it reruns what uses it."""
    write_run(tmp_path)
    expected = read_folder(tmp_path)
    (table,) = tmp_path.rglob("*confounds*.tsv")
    table.rename(tmp_path / "motion-01-1.tsv")
    confounds = {"columns": COLUMNS, "file": "motion-{subject}-{run}.tsv"}
    found = read_folder(tmp_path, response={"confounds": confounds})
    np.testing.assert_array_equal(found.responses, expected.responses)


def test_the_table_with_most_of_the_images_entities_is_taken(tmp_path):
    """Others belong to other runs, or to all of them."""
    write_run(tmp_path)
    write_run(tmp_path, run="12")
    (tmp_path / "sub-01/func/sub-01_task-x_desc-confounds_timeseries.tsv").write_text("a\n1\n")
    read_folder(tmp_path)


CHANGED = {
    "short": (lambda t: t.iloc[:-1], "89 rows for the 90 volumes of .*_bold.nii.gz"),
    "gap": (
        lambda t: t.assign(csf=[*t["csf"][:40], np.nan, *t["csf"][41:]]),
        "line 42, column 'csf': has no value",
    ),
    "column": (lambda t: t.drop(columns="csf"), "no column 'csf'; allowed: "),
    "pattern": (lambda t: t.drop(columns=MOTION), r"no column 'trans_\?'"),
    "text": (lambda t: t.assign(csf="a"), "line 2, column 'csf': expected a number, found 'a'"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_confounds_that_do_not_fit_are_refused(change, tmp_path):
    apply, message = CHANGED[change]
    write_run(tmp_path)
    (path,) = tmp_path.rglob("*confounds*.tsv")
    table = apply(pd.read_csv(path, sep="\t"))
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(RepbiasError, match=f"confounds_timeseries.tsv: {message}"):
        read_folder(tmp_path)


# The time of volumes.


def moments(tmp_path, **settings):
    """Return the betas for volumes at their beginning, in their middle, and by default."""
    return [
        read_folder(tmp_path, response={} if moment is None else {"slice_time_ref": moment})
        for moment in (0.0, 0.5, None)
    ]


@pytest.mark.parametrize(
    ("facts", "same"),
    [({"StartTime": 0.0}, 0), ({"StartTime": TR / 2}, 1), ({}, 1), ({"StartTime": "x"}, 1)],
)
def test_a_volume_stands_for_the_moment_in_its_metadata_or_its_middle(facts, same, tmp_path):
    write_run(tmp_path)
    (sidecar,) = tmp_path.rglob("*_bold.json")
    sidecar.write_text(json.dumps(facts))
    *given, default = moments(tmp_path)
    np.testing.assert_array_equal(default.responses, given[same].responses)
    assert not np.allclose(given[0].responses, given[1].responses)


def test_a_tr_that_is_not_that_of_the_metadata_is_refused(tmp_path):
    write_run(tmp_path)
    (sidecar,) = tmp_path.rglob("*_bold.json")
    sidecar.write_text(json.dumps({"RepetitionTime": 1.5}))
    with pytest.raises(RepbiasError, match=r"2 s between volumes \(TR\) in its header, but 1.5 s"):
        read_folder(tmp_path)
    read_folder(tmp_path, tr_s=2.0)
    sidecar.write_text("{")
    with pytest.raises(RepbiasError, match=r"_bold.json: cannot be read as metadata in JSON"):
        read_folder(tmp_path, tr_s=2.0)


# Voxels.


def test_constant_voxels_are_zero_and_incomplete_ones_missing(tmp_path):
    write_run(tmp_path)
    path = tmp_path / IMAGE.format(subject="01", run="1")
    image = nibabel.load(path)
    data = image.get_fdata()
    expected = read_folder(tmp_path)
    data[0, 0, 0] = 1000 / 3
    data[1, 0, 0, 5] = np.nan
    nibabel.save(nibabel.Nifti1Image(data, image.affine, image.header), path)
    found = read_folder(tmp_path)
    assert (found.responses[:, 0] == 0).all()
    names = found.units["unit"].tolist()
    assert len(names) == 11, "the incomplete voxel has no response at all"
    kept = [i for i, name in enumerate(expected.units["unit"]) if name in names[1:]]
    np.testing.assert_allclose(found.responses[:, 1:], expected.responses[:, kept], rtol=1e-9)


def test_percent_need_a_baseline(tmp_path, caplog):
    write_run(tmp_path)
    path = tmp_path / IMAGE.format(subject="01", run="1")
    image = nibabel.load(path)
    data = image.get_fdata()
    data[0, 0, 0] -= data[0, 0, 0].mean()
    nibabel.save(nibabel.Nifti1Image(data, image.affine, image.header), path)
    assert len(read_folder(tmp_path).units["unit"]) == 11
    assert "1 of 12 voxels have a mean over the run that is not above" in caplog.text
    data -= data.mean(axis=3, keepdims=True)
    nibabel.save(nibabel.Nifti1Image(data, image.affine, image.header), path)
    with pytest.raises(RepbiasError, match=r"12 of 12 voxels have a mean .* scale: z, or none"):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path, response={"scale": "z"}).units["unit"]) == 12


def test_vertices_of_both_hemispheres_are_fitted_as_voxels_are(tmp_path):
    """The same series, as fMRIPrep writes it on a surface, with the same table of confounds."""
    write_run(tmp_path, not_steady=1)
    expected = read_folder(tmp_path)
    path = tmp_path / IMAGE.format(subject="01", run="1")
    series = nibabel.load(path).get_fdata(dtype=np.float32).reshape(12, VOLUMES)
    stem = path.name.partition("_space")[0]
    for hemi, vertices in (("L", series[:5]), ("R", series[5:])):
        arrays = [
            nibabel.gifti.GiftiDataArray(volume, intent="NIFTI_INTENT_TIME_SERIES")
            for volume in vertices.T
        ]
        surface = path.with_name(f"{stem}_hemi-{hemi}_space-fsnative_bold.func.gii")
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), surface)
    path.unlink()
    spec = FmriRecording(
        kind="fmri",
        stimuli="set",
        content="bold",
        path=tmp_path,
        images="sub-{subject}/func/*_run-{run}_hemi-{hemi}_space-fsnative_bold.func.gii",
        events="sub-{subject}/func/sub-{subject}_task-x_run-{run}_events.tsv",
        response={"confounds": {"columns": COLUMNS}, "scale": "percent"},
        tr_s=TR,
    )
    found = read(spec, KNOWN)
    assert found.units["hemi"].tolist() == ["L"] * 5 + ["R"] * 7
    np.testing.assert_allclose(found.responses, expected.responses, rtol=1e-2, atol=1e-3)


def test_a_glm_of_an_array_has_the_metadata_beside_it(tmp_path):
    """It has the betas of the image, whose moment in the metadata is not the default."""
    write_run(tmp_path)
    (sidecar,) = tmp_path.rglob("*_bold.json")
    sidecar.write_text(json.dumps({"StartTime": 0.0}))
    response = {"confounds": "none", "scale": "percent"}
    expected = read_folder(tmp_path, response=response)
    data = nibabel.load(tmp_path / IMAGE.format(subject="01", run="1")).get_fdata()
    np.save(tmp_path / "run_bold.npy", data)
    sidecar.rename(tmp_path / "run_bold.json")
    spec = FmriRecording(
        kind="fmri",
        stimuli="set",
        content="bold",
        path=tmp_path / "run_bold.npy",
        axes=["x", "y", "z", "trial"],
        events=str(next(tmp_path.rglob("*events.tsv"))),
        mask=str(next(tmp_path.rglob("*_mask.nii.gz"))),
        response=response,
        tr_s=TR,
    )
    np.testing.assert_allclose(read(spec, KNOWN).responses, expected.responses, rtol=1e-12)


# Events and settings that do not fit.


@pytest.mark.parametrize(
    ("events", "settings", "message"),
    [
        (
            pd.concat([EVENTS, EVENTS.iloc[[2]]]),
            {},
            "line 10: this event is listed twice",
        ),
        (
            EVENTS.assign(onset=[*EVENTS["onset"][:7], 500.0]),
            {},
            "line 9: no volume measures the response to the event at 500 s; .* from 1 to 179 s",
        ),
        (
            EVENTS.assign(onset=[-60.0, *EVENTS["onset"][1:]]),
            {},
            "line 2: no volume measures the response to the event at -60 s",
        ),
        (
            EVENTS.assign(onset=[3.0] * 2 + [43.0] * 2 + [83.0] * 2 + [123.0] * 2),
            {"regressors": "trial"},
            "line 2: the response to 'image0' cannot be told from those to other events",
        ),
        (EVENTS.drop(columns="duration"), {}, "no column 'duration'"),
    ],
)
def test_events_that_cannot_be_modelled_are_refused(events, settings, message, tmp_path):
    write_run(tmp_path, events=EVENTS)
    events.to_csv(next(tmp_path.rglob("*events.tsv")), sep="\t", index=False)
    with pytest.raises(RepbiasError, match=message):
        read_folder(tmp_path, response=settings)


def test_more_regressors_than_volumes_are_refused(tmp_path):
    """34 confounds, 3 stimuli and the constant; the confounds' cosines are the drifts."""
    write_run(tmp_path, events=EVENTS.iloc[5:])
    confounds = {"columns": ["*_*", "csf", "cosine*"]}
    read_folder(tmp_path, skip_volumes=51, response={"confounds": confounds})
    with pytest.raises(RepbiasError, match="38 regressors for 38 volumes; take fewer confounds"):
        read_folder(tmp_path, skip_volumes=52, response={"confounds": confounds})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"response": {"confounds": {}}}, "give either 'columns' or a 'strategy'"),
        (
            {"response": {"confounds": {"columns": ["csf"], "strategy": "simple"}}},
            "give either 'columns' or a 'strategy'",
        ),
        (
            {"response": {"confounds": {"strategy": "simple", "file": "a.tsv"}}},
            "a strategy reads the table of fMRIPrep itself",
        ),
        (
            {"response": {"confounds": {"columns": ["csf"], "file": "{session}.tsv"}}},
            r"confounds: \{session\} is not in 'images'",
        ),
        ({"response": {"hrf": "fir"}}, "'spm' or 'glover'"),
        ({"response": {}, "delay_s": 4}, "delay_s: not for a GLM of NIfTI images"),
        ({"response": {}, "zscore_runs": False}, "zscore_runs: not for a GLM"),
    ],
)
def test_invalid_settings_are_refused(settings, message, tmp_path):
    write_run(tmp_path)
    with pytest.raises(ValidationError, match=message):
        read_folder(tmp_path, **settings)


def test_confounds_that_are_absent_are_asked_for(tmp_path):
    write_run(tmp_path)
    next(tmp_path.rglob("*confounds*.tsv")).unlink()
    with pytest.raises(ValidationError, match=r"no \*_desc-confounds_timeseries.tsv beside"):
        read_folder(tmp_path)


def test_missing_nilearn_is_reported_with_its_extra(tmp_path, monkeypatch):
    write_run(tmp_path)
    monkeypatch.setitem(sys.modules, "nilearn.glm.first_level", None)
    with pytest.raises(RepbiasError, match=r"pip install 'repbias\[glm\]'"):
        read_folder(tmp_path)


@pytest.mark.parametrize("regressors", ["stimulus", "trial"])
def test_events_that_are_left_out_are_modelled_as_others_are(regressors, tmp_path):
    """As if they were of a further stimulus, which `exclude` names."""
    done = np.array([1, 1, 0, 1, 1, 0, 1, 1])
    late = pd.DataFrame({"onset": [500.0, 43.0], "duration": 4.0, "trial_type": "n/a", "done": 0})
    write_run(tmp_path / "a", events=EVENTS)
    write_run(tmp_path / "b", events=EVENTS)
    name = tmp_path / "{}/sub-01/func/sub-01_task-x_run-1_events.tsv"
    whole = pd.concat([EVENTS.assign(done=done), late])  # one after the end, one listed twice
    whole.to_csv(str(name).format("a"), sep="\t", index=False)
    renamed = EVENTS.assign(trial_type=EVENTS["trial_type"].where(done == 1, "aborted"))
    renamed.to_csv(str(name).format("b"), sep="\t", index=False)
    settings = {"response": {"regressors": regressors}}
    found = read_folder(tmp_path / "a", trials_where={"done": 1}, **settings)
    expected = read_folder(tmp_path / "b", exclude=["aborted"], **settings)
    np.testing.assert_allclose(found.responses, expected.responses, rtol=1e-9)
    for column in ("stimulus_id", "start_time", "n_events"):
        assert found.trials[column].tolist() == expected.trials[column].tolist()
    assert found.info["trials_left_out"] == 2  # the others name no stimulus
