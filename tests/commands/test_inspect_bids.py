"""Folders of BIDS are recognised, and the entry that is proposed for derivatives reads them."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from repbias.commands.main import main

SHOWN = ["image0", "image1", "image0", "image1"]
IDS = ["image0", "image1"]


def nifti(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, np.eye(4))
    if data.ndim == 4:
        image.header.set_zooms((1, 1, 1, 2.0))
        image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def tsv(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def write_scan(root, subject, run="1", task="look", space="T1w", session=None, column="trial_type"):
    """Write a scan as BIDS and fMRIPrep name its files; return the raw one."""
    folder = f"sub-{subject}/{f'ses-{session}/' if session else ''}func"
    scan = f"sub-{subject}{f'_ses-{session}' if session else ''}_task-{task}_run-{run}"
    rng = np.random.default_rng([int(subject), int(run)])
    data = 1000 + rng.normal(size=(2, 2, 1, 60))
    derived = root / "derivatives/fmriprep" / folder / f"{scan}_space-{space}"
    nifti(derived.with_name(f"{derived.name}_desc-preproc_bold.nii.gz"), data)
    nifti(derived.with_name(f"{derived.name}_desc-brain_mask.nii.gz"), np.ones((2, 2, 1), np.uint8))
    motion = pd.DataFrame(rng.normal(size=(60, 2)), columns=["trans_x", "rot_y"])
    table = motion.assign(trans_x_derivative1=motion["trans_x"].diff(), framewise_displacement=0.1)
    tsv(derived.with_name(f"{scan}_desc-confounds_timeseries.tsv"), table)
    events = pd.DataFrame({"onset": [5.0, 30.0, 55.0, 80.0], "duration": 2.0, column: SHOWN})
    events.loc[4] = {"onset": 90.0, "duration": 0.0}
    tsv(root / folder / f"{scan}_events.tsv", events)
    raw = root / folder / f"{scan}_bold.nii.gz"
    nifti(raw, data)
    return raw


def describe_dataset(folder, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps({"BIDSVersion": "1.4.0", **facts}))


def test_derivatives_of_fmriprep(tmp_path, inspect, read, capsys):
    for subject in ("01", "02"):
        for run in ("1", "2"):
            write_scan(tmp_path, subject, run)
        write_scan(tmp_path, subject, task="rest")
        write_scan(tmp_path, subject, space="MNI152NLin2009cAsym")
    made_by = [{"Name": "fMRIPrep", "Version": "23.2.1"}]
    folder = tmp_path / "derivatives/fmriprep"
    describe_dataset(folder, GeneratedBy=made_by)
    text, entry = inspect(folder, stimuli="shown")
    for said in (
        "derivatives of fMRIPrep 23.2.1",
        "2 subjects: 01, 02",
        "2 tasks: look, rest",
        "2 runs: 1, 2",
        "2 spaces: MNI152NLin2009cAsym, T1w",
        "run-{run}_space-T1w_desc-preproc_bold.nii.gz: 4",
        "trial_type: 3 values: image0, image1, n/a",
    ):
        assert said in text
    stem = "sub-{subject}/func/sub-{subject}_task-look_run-{run}"
    assert entry["images"] == f"{stem}_space-T1w_desc-preproc_bold.nii.gz"
    assert entry["events"] == f"../../{stem}_events.tsv"
    assert entry["ignore"] == ["n/a"]
    assert entry["response"] == {"confounds": {"columns": ["trans_*", "rot_*"]}}
    main(["inspect", str(folder)])
    assert "# a guess: choose the task and the space; or sub-{subject}" in capsys.readouterr().out
    found = read(entry, IDS)
    assert found.responses.shape == (2 * 2 * 2, 2 * 4)
    assert found.info["confounds"] == "trans_x, trans_x_derivative1, rot_y"
    assert set(found.units["subject"]) == {"01", "02"}


def test_sessions_stimulus_files_and_names_alone(tmp_path, inspect, read):
    """Without a description, the names of files tell what the folder is."""
    for session in ("a", "b"):
        write_scan(tmp_path, "7", session=session, column="stim_file")
    folder = tmp_path / "derivatives/fmriprep"
    text, entry = inspect(folder, stimuli="shown")
    assert "2 sessions: a, b" in text
    assert entry["columns"] == {"stimulus": "stim_file"}
    found = read(entry, IDS)
    assert found.trials["session"].tolist() == ["a", "b", "a", "b"]
    # The folder may be given from within.
    folder = folder / "sub-7/.."
    assert inspect(folder, stimuli="shown")[1]["events"] == entry["events"]


def test_old_derivatives_without_events_or_confounds(tmp_path, inspect, read):
    write_scan(tmp_path, "1")
    folder = tmp_path / "derivatives/fmriprep"
    describe_dataset(folder, PipelineDescription={"Name": "fMRIPrep", "Version": "1.5"})
    (confounds,) = folder.rglob("*confounds*")
    confounds.unlink()
    (mask,) = folder.rglob("*mask*")
    mask.unlink()
    (events,) = tmp_path.rglob("*events.tsv")
    events = events.rename(tmp_path / "events.tsv")
    text, entry = inspect(folder, stimuli="shown", events="../../events.tsv")
    assert "derivatives of fMRIPrep 1.5" in text
    assert "Not all images have a mask sub-{subject}/func" in text
    assert entry["response"] == {"confounds": "none"}
    filled = entry | {"columns": {"stimulus": "trial_type"}, "ignore": ["n/a"]}
    assert len(read(filled, IDS).responses) == 2


@pytest.mark.parametrize("name", ["sub-1/func/{}", "{}"])
def test_events_that_images_share_are_found(name, tmp_path, inspect, read):
    """The names of files may lack the run, or be in the root of the dataset."""
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "1", run="2")
    events, other = sorted(tmp_path.rglob("*events.tsv"))
    other.unlink()
    shared = "task-look_events.tsv" if name == "{}" else "sub-1_task-look_events.tsv"
    events.rename(tmp_path / name.format(shared))
    _, entry = inspect(tmp_path / "derivatives/fmriprep", stimuli="shown")
    assert len(read(entry, IDS).responses) == 4


def test_a_segmentation_is_offered_for_regions(tmp_path, inspect, read):
    write_scan(tmp_path, "1")
    folder = tmp_path / "derivatives/fmriprep"
    labels = np.array([[[1], [2]], [[2], [0]]], np.int16)
    nifti(folder / "sub-1/func/sub-1_task-look_run-1_space-T1w_desc-aparcaseg_dseg.nii.gz", labels)
    names = "index\tname\tcolor\n1\tV1\t#ff0000\n2\tIT\t#00ff00\n"
    (folder / "desc-aparcaseg_dseg.tsv").write_text(names)
    text, entry = inspect(folder, stimuli="shown")
    lines = [line for line in text.splitlines() if line.strip().startswith("region")]
    offered = yaml.safe_load("\n".join(lines))
    del entry["mask"]
    found = read(entry | offered, IDS)
    assert found.units["region"].tolist() == ["V1", "IT", "IT"]


def test_raw_data_are_to_be_preprocessed(tmp_path, inspect, capsys):
    raw = write_scan(tmp_path, "01")
    describe_dataset(tmp_path, Name="Objects")
    text, entry = inspect(tmp_path)
    assert not entry
    assert "raw BIDS dataset 'Objects': the BOLD signal is not preprocessed" in text
    hint = f"Inspect its derivatives: {tmp_path / 'derivatives/fmriprep'}"
    assert hint in text
    assert main(["init", str(tmp_path / "study"), "--recording", str(tmp_path)]) == 1
    assert f"{tmp_path}: no recording; {hint}" in capsys.readouterr().err
    raw.unlink()  # the events are still there
    assert inspect(tmp_path)[0].startswith(f"{tmp_path}\n  raw BIDS dataset")
    bare = tmp_path / "bare"
    nifti(bare / raw.relative_to(tmp_path), np.ones((2, 2, 1, 3)))
    text, entry = inspect(bare)
    assert "Preprocess it first, for example with fMRIPrep" in text


def test_derivatives_without_preprocessed_images_say_what_is_missing(tmp_path, inspect):
    describe_dataset(tmp_path, GeneratedBy=[{"Name": "fMRIPrep"}])
    text, entry = inspect(tmp_path)
    assert not entry
    assert "Needed to read it: sub-*/func/*_desc-preproc_bold.nii.gz" in text


@pytest.mark.parametrize("content", ["{}", '{"GeneratedBy": 3}', '{"GeneratedBy": [3]}'])
def test_descriptions_of_other_content_do_not_matter(content, tmp_path, inspect, read):
    write_scan(tmp_path, "1")
    folder = tmp_path / "derivatives/fmriprep"
    (folder / "dataset_description.json").write_text(content)
    assert len(read(inspect(folder, stimuli="shown")[1], IDS).responses) == 2


@pytest.mark.parametrize(
    ("content", "said"), [("{", "cannot be read as metadata"), ("[]", "expected a mapping")]
)
def test_a_damaged_description_gives_one_line(content, said, tmp_path, capsys):
    (tmp_path / "dataset_description.json").write_text(content)
    assert main(["inspect", str(tmp_path)]) == 1
    assert f"dataset_description.json: {said}" in capsys.readouterr().err


def test_a_new_study_of_derivatives_reads_them(tmp_path, read, capsys):
    write_scan(tmp_path, "1")
    (tmp_path / "images.csv").write_text("stimulus_id\nimage0\nimage1\n")
    folder = tmp_path / "derivatives/fmriprep"
    assert main(["init", str(tmp_path / "study"), "--recording", str(folder)]) == 0
    study = yaml.safe_load((tmp_path / "study/study.yaml").read_text())
    (entry,) = study["recordings"].values()
    assert entry["path"] == "../derivatives/fmriprep"
    found = read(entry | {"path": str(tmp_path / "study" / entry["path"])}, IDS)
    assert len(found.responses) == 2


def test_runs_without_events_are_left_out(tmp_path, inspect, read):
    for subject in ("1", "2"):
        for run in ("1", "2"):
            write_scan(tmp_path, subject, run)
    folder = tmp_path / "derivatives/fmriprep"
    describe_dataset(folder, GeneratedBy=[{"Name": "fMRIPrep", "Version": "23.2.1"}])
    (tmp_path / "sub-1/func/sub-1_task-look_run-1_events.tsv").unlink()
    text, entry = inspect(folder, stimuli="shown")
    assert "3 of 4 have events; not: sub-1_task-look_run-1_space-T1w_desc-preproc_bold" in text
    assert entry["leave_out"] == [{"subject": "1", "run": "1"}]
    found = read(entry, set(SHOWN))
    assert len(found.info["files_left_out"]) == 1
    runs = zip(found.units["subject"], np.isnan(found.responses).T.tolist(), strict=True)
    assert {subject: row.count(False) for subject, row in runs} == {"1": 2, "2": 4}
