"""Betas in the layouts of SPM, FSL, GLMsingle, NSD and surfaces: what inspect proposes is read."""

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io

from repbias.commands.description import FILL_IN
from repbias.commands.inspect import describe

IDS = ["face", "house", "shoe"]
AFFINE = np.diag([2.0, 2.5, 3.0, 1.0])
SHAPE = (3, 2, 2)
VALUES = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)


def nifti(path, values, description=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header["descrip"] = description.encode()
    nibabel.save(image, path)


def spm(folder, runs=2):
    names = [f"Sn({r}) {n}*bf(1)" for r in range(1, runs + 1) for n in IDS]
    for i, name in enumerate([*names, "Sn(1) R1", "Sn(1) constant"], 1):
        description = f"spm_spm:beta ({i:04d}) - {name}"
        nifti(folder / f"beta_{i:04d}.nii", VALUES[i % 3], description)
    nifti(folder / "mask.nii", np.ones(SHAPE, np.uint8))
    nifti(folder / "ResMS.nii", VALUES[0])
    nifti(folder / "con_0001.nii", VALUES[0], "Contrast 1: face")
    (folder / "SPM.mat").write_bytes(b"not read")


def test_a_first_level_of_spm(tmp_path, inspect, read):
    spm(tmp_path)
    text, entry = inspect(tmp_path, stimuli="s")
    assert "SPM: 2 runs, 3 conditions" in text
    assert "conditions: face (2), house (2), shoe (2)" in text
    assert "left out, as no responses: R1, constant" in text
    assert (entry["images"], entry["events"]) == ("beta_*.nii", "headers")
    assert entry["mask"] == "mask.nii"
    assert read(entry, IDS).responses.shape == (6, 12)


def test_first_levels_of_several_subjects(tmp_path, inspect, read):
    for subject in ("sub-01", "sub-02"):
        spm(tmp_path / subject, runs=1)
    text, entry = inspect(tmp_path, stimuli="s")
    assert "2 folders: sub-01, sub-02" in text
    assert entry["images"] == "sub-{subject}/beta_*.nii"
    assert entry["mask"] == "sub-{subject}/mask.nii"
    recording = read(entry, IDS)
    assert sorted(set(recording.units["subject"])) == ["01", "02"]


def test_contrasts_of_fsl_are_numbered(tmp_path, inspect, read):
    for i in range(3):
        for kind in ("cope", "varcope", "zstat"):
            nifti(tmp_path / f"{kind}{i + 1}.nii.gz", VALUES[i])
    # FSL's contrasts have the ending of recordings of KIT.
    (tmp_path / "design.con").write_text("/ContrastName1 face\n/NumWaves 2\n/Matrix\n1 0\n")
    _, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "cope{stimulus}.nii.gz"
    comment = describe(tmp_path).comments["images"]
    assert "rename: names.csv gives each number the id of its stimulus" in comment
    assert read(entry, ["1", "2", "3"]).responses.shape == (3, 12)


def test_names_of_images_tell_the_stimulus(tmp_path, inspect, read):
    for name, x in zip(IDS, VALUES, strict=True):
        nifti(tmp_path / f"sub-1_{name}_beta.nii.gz", x)
    _, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "sub-{subject}_{stimulus}_beta.nii.gz"
    assert read(entry, IDS).stimulus_ids.tolist() == IDS


@pytest.mark.parametrize(
    "images",
    [
        "{}_beta.nii.gz",
        "beta_{}.nii.gz",
        "sub-{subject}/{}_beta.nii.gz",
        "sub-{subject}/sub-{subject}_{}.nii.gz",
        "sub-{subject}/run-{run}/{}_beta.nii.gz",
        "run-{run}/{}_beta.nii.gz",
        "sub-{subject}_run-{run}_{}.nii.gz",
        "sub-{subject}_{}_run-{run}.nii.gz",
        "S{subject}/{}.nii.gz",
        "S{subject}/day{session}/{}.nii.gz",
    ],
)
@pytest.mark.parametrize(
    "ids", [["animal01", "animal02", "face01", "face02"], ["a_1", "a_2", "b_1"]]
)
def test_words_before_numbers_are_conditions(images, ids, tmp_path, inspect, read):
    """Of several categories, none is left out."""
    for subject in "12" if "{subject}" in images else "1":
        for run in "12" if "{run}" in images or "{session}" in images else "1":
            for name in ids:
                path = images.format(name, subject=subject, run=run, session=run)
                nifti(tmp_path / path, VALUES[0])
            if "S{subject}" not in images:
                folder = (tmp_path / path).parents[path.count(f"run-{run}/")]
                nifti(folder / "mask.nii.gz", np.ones(SHAPE, np.uint8))
    _, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == images.replace("{}", "{stimulus}")
    recording = read(entry, ids)
    assert recording.stimulus_ids.tolist() == sorted(ids)
    n_runs = 2 if "{run}" in images or "{session}" in images else 1
    assert len(recording.trials["stimulus_id"]) == len(ids) * n_runs * (1 + ("{subject}" in images))


def test_numbers_alone_may_name_stimuli(tmp_path, inspect, read):
    for i, x in enumerate(VALUES):
        nifti(tmp_path / f"face{i}_beta.nii", x)
    found = describe(tmp_path)
    assert found.entry["images"] == "face*_beta.nii"
    assert "or {stimulus}_beta.nii and no events, if names tell" in found.comments["images"]


def test_folders_between_subjects_and_betas(tmp_path, inspect, read):
    for subject in ("sub-01", "sub-02"):
        spm(tmp_path / subject / "betas", runs=1)
    text, entry = inspect(tmp_path, stimuli="s")
    assert "2 folders: sub-01/betas, sub-02/betas" in text
    assert entry["images"] == "sub-{subject}/betas/beta_*.nii"
    assert entry["mask"] == "sub-{subject}/betas/mask.nii"
    assert sorted(set(read(entry, IDS).units["subject"])) == ["01", "02"]


def test_numbered_trials_have_a_table(tmp_path, inspect, read):
    for i, x in enumerate(VALUES):
        nifti(tmp_path / f"trial{i + 1:02d}.nii", x)
    pd.DataFrame({"stimulus": IDS}).to_csv(tmp_path / "order.csv", index=False)
    _, entry = inspect(tmp_path, stimuli="s")
    assert (entry["images"], entry["events"]) == ("trial*.nii", "order.csv")
    assert "a guess, as it has 3 rows" in describe(tmp_path).comments["events"]
    assert read(entry, IDS).responses.shape == (3, 12)
    for i in range(3, 10):
        nifti(tmp_path / f"trial{i + 1}.nii", VALUES[0])
    (tmp_path / "trial01.nii").rename(tmp_path / "trial1.nii")
    found = describe(tmp_path)
    assert found.entry["events"] == FILL_IN
    assert "Names sort in several ways: the table needs a column file." in found.lines


def test_one_beta_names_its_condition_and_its_folder(tmp_path, inspect):
    spm(tmp_path)
    text, entry = inspect(tmp_path / "beta_0001.nii")
    assert "description: spm_spm:beta (0001) - Sn(1) face*bf(1)" in text
    assert "of betas in an image each, inspect the folder" in text
    assert entry == {}


@pytest.mark.parametrize("name", ["TYPED.hdf5", "TYPED.mat", "v73.mat"])
def test_glmsingle(name, tmp_path, inspect, read):
    betas = VALUES.transpose(1, 2, 3, 0)
    if name == "TYPED.hdf5":
        with h5py.File(tmp_path / name, "w") as file:
            file["betasmd"], file["R2"] = betas, betas[..., 0]
            file["noisepool"] = h5py.Empty("f")
    elif name == "v73.mat":
        with h5py.File(tmp_path / name, "w", userblock_size=512) as file:
            file["modelmd"] = betas.T
            file["modelmd"].attrs["MATLAB_class"] = np.bytes_("single")
    else:
        scipy.io.savemat(tmp_path / name, {"modelmd": betas, "R2": betas[..., 0]})
    nifti(tmp_path / "brainmask.nii.gz", np.ones(SHAPE, np.uint8))
    pd.DataFrame({"stimulus": IDS}).to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    text, entry = inspect(tmp_path / name, stimuli="s")
    assert "betas of GLMsingle" in text
    assert entry["axes"] == ["x", "y", "z", "trial"]
    assert entry["mask"] == str(tmp_path / "brainmask.nii.gz")
    recording = read(entry, IDS)
    np.testing.assert_array_equal(recording.responses, VALUES.reshape(3, -1).astype(float))


@pytest.mark.parametrize(
    "place, template",
    [
        ("", "TYPED.hdf5"),
        ("sub-1", "sub-{subject}/TYPED.hdf5"),
        ("a/S1", "a/S{subject}/TYPED.hdf5"),
        ("a/S1/ses-1/glm", "a/S{subject}/ses-{session}/glm/TYPED.hdf5"),
    ],
)
def test_folders_of_glmsingle(place, template, tmp_path, inspect, read):
    for subject in "12" if place else "1":
        folder = tmp_path / place.replace("1", subject)
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("TYPEA", "TYPEB", "TYPED"):
            with h5py.File(folder / f"{kind}.hdf5", "w") as file:
                file["betasmd"] = VALUES.transpose(1, 2, 3, 0) + (kind != "TYPED")
        nifti(folder / "brainmask.nii.gz", np.ones(SHAPE, np.uint8))
        pd.DataFrame({"stimulus": IDS}).to_csv(folder / "trials.tsv", sep="\t", index=False)
    text, entry = inspect(tmp_path, stimuli="s")
    assert "betas of GLMsingle" in text
    assert entry["images"] == template
    recording = read(entry, IDS)
    subjects = recording.units["subject"]
    assert len(set(subjects)) == (2 if place else 1)
    for subject in set(subjects):
        responses = recording.responses[:, subjects == subject]
        seen = responses[~np.isnan(responses).all(axis=1)]
        np.testing.assert_array_equal(seen, VALUES.reshape(3, -1).astype(float))


def test_masked_data_of_glmsingle(tmp_path, inspect, read):
    with h5py.File(tmp_path / "TYPEB.hdf5", "w") as file:
        file["betasmd"] = VALUES.reshape(3, -1).T[:, None, None]
    pd.DataFrame({"image": IDS}).to_csv(tmp_path / "trials.csv", index=False)
    _, entry = inspect(tmp_path / "TYPEB.hdf5", **{"stimuli": "s", "columns.stimulus": ""})
    entry = {key: value for key, value in entry.items() if key != "columns.stimulus"}
    entry["columns"] = {"stimulus": "image"}
    assert entry["axes"] == ["unit", "_", "_", "trial"]
    np.testing.assert_array_equal(read(entry, IDS).responses, VALUES.reshape(3, -1).astype(float))


@pytest.mark.parametrize("alone", [False, True])
def test_nsd(alone, tmp_path, inspect, read):
    folder = tmp_path
    if not alone:
        folder /= "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf"
        folder.mkdir(parents=True)
        data = tmp_path / "nsddata/ppdata/subj01"
        nifti(data / "func1pt8mm/brainmask.nii.gz", np.ones(SHAPE, np.uint8))
        nifti(data / "func1pt8mm/roi/V1.nii.gz", np.ones(SHAPE, np.uint8))
        (data / "behav").mkdir()
        columns = {"SESSION": 1, "RUN": 1, "73KID": [5, 6, 7]}
        pd.DataFrame(columns).to_csv(data / "behav/responses.tsv", sep="\t", index=False)
    path = folder / "betas_session01.hdf5"
    values = np.round(VALUES * 300).astype(np.int16)
    with h5py.File(path, "w") as file:
        file["betas"] = values.transpose(0, 3, 2, 1)
    fill = {}
    if alone:
        (tmp_path / "t.csv").write_text("stimulus\n5\n6\n7\n")
        fill = {"events": str(tmp_path / "t.csv")}
    text, entry = inspect(path, stimuli="s", **fill)
    assert "betas of the Natural Scenes Dataset: 3 x 2 x 2 x 3 (trial, z, y, x)" in text
    assert entry["scale"] == 300
    if not alone:
        assert "roi/NAME.nii.gz (V1)" in describe(path).comments["mask"]
        assert entry["path"] == str(tmp_path)
    recording = read(entry, ["5", "6", "7"])
    np.testing.assert_array_equal(recording.responses, values.reshape(3, -1) / 300)


def gifti(path, arrays, names, side="CortexLeft", labels=()):
    meta = nibabel.gifti.GiftiMetaData(AnatomicalStructurePrimary=side)
    image = nibabel.GiftiImage(meta=meta)
    intent = "NIFTI_INTENT_LABEL" if labels else "NIFTI_INTENT_NONE"
    dtype = np.int32 if labels else np.float32
    for values, name in zip(arrays, names, strict=True):
        meta = nibabel.gifti.GiftiMetaData(Name=name)
        array = nibabel.gifti.GiftiDataArray(np.asarray(values, dtype), intent=intent, meta=meta)
        image.add_gifti_data_array(array)
    for key, name in enumerate(labels):
        label = nibabel.gifti.GiftiLabel(key)
        label.label = name
        image.labeltable.labels.append(label)
    nibabel.save(image, path)


def test_maps_of_both_hemispheres(tmp_path, inspect, read):
    for hemi, side in (("L", "CortexLeft"), ("R", "CortexRight")):
        values = np.random.default_rng(1).normal(size=(3, 8))
        gifti(tmp_path / f"sub-1_hemi-{hemi}_betas.func.gii", values, IDS, side)
    text, entry = inspect(tmp_path / "sub-1_hemi-R_betas.func.gii", stimuli="s")
    assert "GIFTI, 3 arrays: 8 (3)" in text
    assert "structure: CortexRight" in text
    assert entry["images"] == "sub-1_hemi-{hemi}_betas.func.gii"
    assert entry["events"] == "headers"
    assert read(entry, IDS).responses.shape == (3, 16)


def test_one_hemisphere_with_labels(tmp_path, inspect, read):
    gifti(tmp_path / "lh.betas.func.gii", np.ones((3, 8)) + np.eye(3, 8), [""] * 3)
    gifti(tmp_path / "lh.areas.label.gii", [[1] * 8], ["areas"], labels=["???", "V1"])
    gifti(tmp_path / "rh.areas.label.gii", [[1] * 8], ["areas"], "CortexRight", ["???", "V1"])
    (tmp_path / "t.csv").write_text("stimulus\nface\nhouse\nshoe\n")
    _, entry = inspect(tmp_path / "lh.betas.func.gii", stimuli="s")
    assert entry["regions"] == str(tmp_path / "lh.areas.label.gii")
    assert set(read(entry, IDS).units["region"]) == {"V1"}
    text, entry = inspect(tmp_path / "lh.areas.label.gii")
    assert "regions: ???, V1" in text
    assert entry == {}


def test_a_folder_of_surfaces(tmp_path, inspect, read):
    for hemi, side in (("L", "CortexLeft"), ("R", "CortexRight")):
        for i, name in enumerate(IDS):
            values = np.random.default_rng(i).normal(size=(1, 8))
            gifti(tmp_path / f"sub-1_hemi-{hemi}_{name}.func.gii", values, [""], side)
    _, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "sub-{subject}_hemi-{hemi}_{stimulus}.func.gii"
    assert read(entry, IDS).responses.shape == (3, 16)


def test_cifti(tmp_path, inspect, read):
    places = nibabel.cifti2.BrainModelAxis.from_surface(np.arange(7), 9, "CORTEX_LEFT")
    values = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    maps = nibabel.cifti2.ScalarAxis(IDS)
    nibabel.save(nibabel.Cifti2Image(values, header=(maps, places)), tmp_path / "b.dscalar.nii")
    labels = nibabel.cifti2.LabelAxis(["x"], {0: ("???", (0,) * 4), 1: ("V1", (0,) * 4)})
    keys = np.ones((1, 7), np.float32)
    nibabel.save(nibabel.Cifti2Image(keys, header=(labels, places)), tmp_path / "a.dlabel.nii")
    text, entry = inspect(tmp_path / "b.dscalar.nii", stimuli="s")
    assert "CIFTI, 3 maps of 7 grayordinates" in text
    assert "cortex_left: 7" in text
    recording = read(entry, IDS)
    np.testing.assert_array_equal(recording.responses, values.astype(float))
    assert set(recording.units["region"]) == {"V1"}
    text, entry = inspect(tmp_path / "a.dlabel.nii")
    assert "regions: ???, V1" in text
    assert entry == {}


def test_folders_of_other_things_are_no_betas(tmp_path, inspect):
    """One volume over time, or images that differ in shape."""
    from repbias.commands.fmri import describe_folder

    nifti(tmp_path / "a.nii", VALUES)
    nifti(tmp_path / "b.nii", VALUES[0])
    assert describe_folder(tmp_path) is None


# Cohorts.


def feat(folder, n=3, mask=True):
    """Write what FEAT leaves of a run; the images in its folder and in reg are no betas."""
    for i in range(n):
        for kind in ("cope", "varcope", "pe", "zstat"):
            nifti(folder / f"stats/{kind}{i + 1}.nii.gz", VALUES[i])
        nifti(folder / f"thresh_zstat{i + 1}.nii.gz", VALUES[i])
    nifti(folder / "example_func.nii.gz", VALUES[0])
    nifti(folder / "reg/example_func2standard.nii.gz", VALUES[0])
    if mask:
        nifti(folder / "mask.nii.gz", np.ones(SHAPE, np.uint8))


def test_a_cohort_of_feat_folders_is_read_but_for_unfinished_runs(tmp_path, inspect, read):
    for subject in ("01", "02"):
        for run in ("1", "2"):
            feat(tmp_path / f"sub-{subject}/run-{run}.feat")
    feat(tmp_path / "sub-02/run-3.feat", n=2, mask=False)
    (tmp_path / "sub-01/run-3.feat").mkdir()
    text, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "sub-{subject}/run-{run}.feat/stats/cope{stimulus}.nii.gz"
    assert entry["mask"] == "sub-{subject}/run-{run}.feat/mask.nii.gz"
    assert entry["leave_out"] == [{"subject": "02", "run": "3"}]
    assert "folders that the template fits: 5" in text
    assert "folders that it does not fit, and that are not read: sub-01/run-3.feat" in text
    assert "fewer than 3 images, as most have: sub-02/run-3.feat/stats (2)" in text
    assert "folders without mask: sub-02/run-3.feat/stats" in text
    recording = read(entry, ["1", "2", "3"])
    assert sorted(set(recording.units["subject"])) == ["01", "02"]
    assert len(recording.trials["stimulus_id"]) == 2 * 2 * 3
    assert recording.info["files_left_out"][0].startswith("sub-02/run-3.feat/stats")


@pytest.mark.parametrize(
    ("names", "images", "leave_out"),
    [
        (["run-01", "run-02"], "run-{run}.feat", None),
        (["run01", "run02", "run02+"], "run{run}.feat", [{"run": "02+"}]),
        (["run1", "run2", "localizer"], "run{run}.feat", None),
    ],
)
def test_runs_of_one_subject_are_no_subjects(names, images, leave_out, tmp_path, inspect, read):
    for name in names:
        feat(tmp_path / f"{name}.feat")
    text, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == f"{images}/stats/cope{{stimulus}}.nii.gz"
    assert entry.get("leave_out") == leave_out
    assert ("not read: localizer.feat/stats" in text) == ("localizer" in names)
    recording = read(entry, ["1", "2", "3"])
    assert set(recording.units["subject"]) == {"subject1"}
    assert len(set(recording.trials["run"])) == 2


def test_masks_regions_and_events_above_the_betas(tmp_path, inspect, read):
    """Betas of two sessions, in the folders of which some have one condition only."""
    root = tmp_path / "betas"
    for subject in ("01", "02"):
        for session in ("monday", "tuesday"):
            for i, x in enumerate(VALUES):
                name = f"trial{i:02d}.nii.gz"
                nifti(root / f"sub-{subject}" / session / name, x)
        frame = pd.DataFrame({"stimulus": IDS, "order": [1, 2, 3]})
        frame.to_csv(root / f"sub-{subject}" / "trials.csv", index=False)
        nifti(tmp_path / f"masks/sub-{subject}_mask.nii.gz", np.ones(SHAPE, np.uint8))
    nifti(tmp_path / "atlas.nii.gz", np.ones(SHAPE, np.uint8))
    text, entry = inspect(root, stimuli="s")
    assert entry["images"] == "sub-{subject}/{session}/trial*.nii.gz"
    assert entry["mask"] == "../masks/sub-{subject}_mask.nii.gz"
    assert entry["regions"] == "../atlas.nii.gz"
    assert entry["events"] == "sub-{subject}/trials.csv"
    recording = read(entry, IDS)
    assert set(recording.units["region"]) == {"1"}
    assert set(recording.trials["session"]) == {"monday", "tuesday"}
    (root / "sub-02/trials.csv").unlink()
    text, entry = inspect(root, stimuli="s")
    assert "folders without events: sub-02/monday, sub-02/tuesday" in text
    assert entry["leave_out"] == [{"subject": "02", "session": s} for s in ("monday", "tuesday")]
    assert set(read(entry, IDS).units["subject"]) == {"01"}


def test_names_of_images_are_compared_over_folders(tmp_path, inspect, read):
    for subject in ("01", "02"):
        for run, kind in ((1, "face"), (2, "house")):
            for i in range(3):
                path = tmp_path / f"sub-{subject}/run-{run}/{kind}_{i}_beta.nii.gz"
                nifti(path, VALUES[i])
    _, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "sub-{subject}/run-{run}/{stimulus}_beta.nii.gz"
    ids = [f"{kind}_{i}" for kind in ("face", "house") for i in range(3)]
    assert read(entry, ids).stimulus_ids.tolist() == ids


def test_a_folder_is_not_looked_at_without_end(tmp_path, inspect, monkeypatch):
    monkeypatch.setattr("repbias.commands.cohorts.MOST_ENTRIES", 8)
    for subject in range(1, 7):
        for name, x in zip(IDS, VALUES, strict=True):
            nifti(tmp_path / f"S{subject}/{name}.nii.gz", x)
    text, entry = inspect(tmp_path, stimuli="s")
    assert entry["images"] == "S{subject}/{stimulus}.nii.gz"
    assert "Only the first 100000 files and folders were looked at." in text


def test_betas_of_subjects_come_before_those_of_a_group(tmp_path, inspect, read):
    for subject in ("01", "02"):
        spm(tmp_path / f"sub-{subject}/1stlevel", runs=1)
    spm(tmp_path / "group", runs=1)
    text, entry = inspect(tmp_path, stimuli="s")
    assert "2 folders: sub-01/1stlevel, sub-02/1stlevel" in text
    assert entry["images"] == "sub-{subject}/1stlevel/beta_*.nii"
    assert sorted(set(read(entry, IDS).units["subject"])) == ["01", "02"]


def test_masks_regions_and_events_above_one_file(tmp_path, inspect, read):
    folder = tmp_path / "sub-01/run"
    nifti(folder / "sub-01_run-1_bold.nii.gz", np.repeat(VALUES[0][..., None], 8, axis=3))
    nifti(tmp_path / "sub-01/sub-01_mask.nii.gz", np.ones(SHAPE, np.uint8))
    nifti(tmp_path / "sub-01/sub-02_mask.nii.gz", np.ones(SHAPE, np.uint8))
    nifti(tmp_path / "sub-01/rois/visual.nii.gz", np.ones(SHAPE, np.uint8))
    events = tmp_path / "sub-01/sub-01_run-1_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n0\t2\tface\n")
    _, entry = inspect(folder / "sub-01_run-1_bold.nii.gz", stimuli="s")
    assert entry["mask"] == str(tmp_path / "sub-01/sub-01_mask.nii.gz")
    assert entry["regions"] == str(tmp_path / "sub-01/rois/visual.nii.gz")
    assert entry["events"] == str(events)
    with h5py.File(folder / "TYPED.hdf5", "w") as file:
        file["betasmd"] = VALUES.transpose(1, 2, 3, 0)
    pd.DataFrame({"stimulus": IDS}).to_csv(tmp_path / "sub-01/trials.csv", index=False)
    _, entry = inspect(folder, stimuli="s")
    assert (entry["mask"], entry["events"]) == ("../sub-01_mask.nii.gz", "../trials.csv")
    assert set(read(entry, IDS).units["region"]) == {"1"}


def test_images_of_runs_with_events_beside_them(tmp_path, inspect, read):
    """Of one run there are no events; an image of another name is not of them."""
    series = np.random.default_rng(0).normal(size=(*SHAPE, 12)).astype(np.float32)
    for subject in ("S1", "S2"):
        for run in ("run1", "run2"):
            nifti(tmp_path / subject / f"{run}.nii.gz", series)
            rows = "".join(f"{6 * i}\t4\t{name}\n" for i, name in enumerate(IDS))
            if (subject, run) != ("S2", "run1"):
                events = tmp_path / subject / f"{run}_events.tsv"
                events.write_text(f"onset\tduration\ttrial_type\n{rows}")
        nifti(tmp_path / subject / "mask.nii.gz", np.ones(SHAPE, np.uint8))
    nifti(tmp_path / "S1/rest.nii.gz", series)
    text, entry = inspect(tmp_path, stimuli="s", content="bold")
    assert "4 images: S1/run1.nii.gz, S1/run2.nii.gz, S2/run1.nii.gz, S2/run2.nii.gz" in text
    assert entry["images"] == "S{subject}/run{run}.nii.gz"
    assert entry["events"] == "S{subject}/run{run}_events.tsv"
    assert entry["mask"] == "S{subject}/mask.nii.gz"
    assert "images without events: S2/run1.nii.gz" in text
    assert entry["leave_out"] == [{"subject": "2", "run": "1"}]
    found = read(entry | {"tr_s": 2.0}, IDS)
    assert sorted(found.trials["run"].tolist()) == [1] * 3 + [2] * 6
