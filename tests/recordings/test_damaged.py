"""Files that end too early, are renamed or are of a later version: what is said of them.

Each is written by its field's own library, and then cut or changed.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

import h5py
import meeg
import nibabel
import numpy as np
import pynwb
import pytest
from pydantic import TypeAdapter

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import readable
from repbias.recordings.readers import RecordingSpec, read_recording

IDS = np.array([f"image{i}" for i in range(4)])
RNG = np.random.default_rng(0)
WINDOW = {"from_s": 0, "to_s": 0.5}
REMEDY = "; it may be truncated or damaged: copy it again, or write it again with the program that"


def read(**settings):
    spec = TypeAdapter(RecordingSpec).validate_python({"stimuli": "x"} | settings)
    return read_recording(spec, IDS)


def table(path, separator=",", **columns):
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(separator.join(map(str, row)) for row in rows) + "\n")
    return str(path)


# What is written: a function of a folder, which returns the settings that read it.


def nifti(folder, name="betas.nii.gz"):
    values = RNG.normal(size=(5, 5, 5, 4)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / name)
    events = table(folder / "t.csv", stimulus=IDS)
    return {"kind": "fmri", "content": "betas", "path": folder / name, "events": events}


def nifti_mask(folder):
    settings = nifti(folder)
    mask = nibabel.Nifti1Image(RNG.integers(0, 2, (5, 5, 5)).astype(np.uint8), np.eye(4))
    nibabel.save(mask, folder / "mask.nii.gz")
    return settings | {"mask": str(folder / "mask.nii.gz")}


def gifti(path, arrays):
    image = nibabel.GiftiImage()
    for values in arrays:
        array = nibabel.gifti.GiftiDataArray(values.astype(np.float32), intent="NIFTI_INTENT_NONE")
        image.add_gifti_data_array(array)
    nibabel.save(image, path)


def surface(folder):
    gifti(folder / "betas.func.gii", RNG.normal(size=(4, 20)))
    events = table(folder / "t.csv", stimulus=IDS)
    return {"kind": "fmri", "content": "betas", "path": folder / "betas.func.gii", "events": events}


def cifti(path, places):
    maps = nibabel.cifti2.ScalarAxis(IDS)
    values = RNG.normal(size=(4, len(places))).astype(np.float32)
    nibabel.save(nibabel.Cifti2Image(values, header=(maps, places)), path)
    return {"kind": "fmri", "content": "betas", "path": path, "events": "headers"}


def cortex(n=12):
    name = "CIFTI_STRUCTURE_CORTEX_LEFT"
    return nibabel.cifti2.BrainModelAxis.from_surface(np.arange(n), n, name)


def grayordinates(folder):
    return cifti(folder / "betas.dscalar.nii", cortex())


def npz(folder):
    np.savez_compressed(folder / "r.npz", r=RNG.normal(size=(4, 500)))
    settings = {"kind": "array", "path": folder / "r.npz", "stimulus_ids": "sorted"}
    return settings | {"axes": ["stimulus", "unit"]}


def suite2p(folder):
    (folder / "plane0").mkdir()
    for name in ("F", "Fneu"):
        np.save(folder / "plane0" / f"{name}.npy", RNG.random((5, 200)))
    np.save(folder / "plane0" / "iscell.npy", np.ones((5, 2)))
    trials = table(folder / "t.csv", stimulus=IDS, onset=[1, 5, 9, 13])
    settings = {"kind": "suite2p", "path": folder, "signal": "f", "frame_rate": 10}
    return settings | WINDOW | {"trials": trials, "stimulus": "stimulus", "align": "onset"}


def nwb(folder, spikes=True):
    file = pynwb.NWBFile("a session", "a", datetime(2024, 1, 1, tzinfo=UTC))
    file.add_trial_column("picture", "shown")
    for i, name in enumerate(IDS):
        file.add_trial(start_time=1.0 + i, stop_time=1.5 + i, picture=name)
    file.add_unit_column("quality", "by hand")
    for _ in range(3):
        times = {"spike_times": np.sort(RNG.random(50) * 6)} if spikes else {}
        file.add_unit(quality="good", **times)
    with pynwb.NWBHDF5IO(folder / "a.nwb", "w") as io:
        io.write(file)
    settings = {"kind": "nwb", "path": folder / "a.nwb", "stimulus": "picture"}
    return settings | WINDOW | {"align": "start_time"}


def eeg(name):
    def write(folder):
        meeg.CONTINUOUS[name](folder / name, meeg.recording())
        onsets = [sample / meeg.SFREQ for sample, _ in meeg.EVENTS]
        events = table(folder / "t.csv", onset=onsets, stimulus=np.tile(IDS, 3))
        return WINDOW | {"kind": "mne", "path": folder / name, "events": events}

    return write


#: Writer, file that is cut, where, and what it is called.
CUT = [
    (nifti, "betas.nii.gz", 0.5, "NIfTI"),
    (lambda folder: nifti(folder, "betas.nii"), "betas.nii", 0.9, "NIfTI"),
    (nifti_mask, "mask.nii.gz", 0.5, "NIfTI"),
    (surface, "betas.func.gii", 0.5, "GIFTI"),
    (grayordinates, "betas.dscalar.nii", 0.99, "CIFTI"),
    (npz, "r.npz", 0.5, "npz"),
    (suite2p, "plane0/F.npy", 0.5, "npy"),
    (suite2p, "plane0/F.npy", 0.0005, "npy"),
    (suite2p, "plane0/iscell.npy", 0, "npy"),
    (nwb, "a.nwb", 0.5, "NWB"),
    (eeg("eeg.vhdr"), "eeg.eeg", 0.5002, "signals of eeg.vhdr"),
    (eeg("eeg.vhdr"), "eeg.vhdr", 0.2, "a recording (vhdr)"),
    (eeg("eeg.set"), "eeg.set", 0.5, "a recording (set)"),
    (eeg("v73.set"), "v73.set", 0.9, "a recording (set)"),
    (eeg("beside.set"), "beside.fdt", 0.9, "signals of beside.set"),
    (eeg("eeg_raw.fif"), "eeg_raw.fif", 0, "a recording (fif)"),
    (eeg("eeg_raw.fif"), "eeg_raw.fif", 0.5, "a recording (fif)"),
    (eeg("eeg_raw.fif"), "eeg_raw.fif", 0.9, "a recording (fif)"),
]


@pytest.mark.parametrize(("write", "name", "share", "kind"), CUT)
def test_a_file_that_was_cut_is_named_with_what_to_do(write, name, share, kind, tmp_path):
    settings = write(tmp_path)
    read(**settings)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    message = rf"^{re.escape(str(tmp_path / name))}: cannot be read as {re.escape(kind)} \(.+\)"
    with pytest.raises(RepbiasError, match=message + REMEDY) as error:
        read(**settings)
    assert error.value.__cause__ is not None  # whose traceback is in the log
    assert "allow_pickle" not in str(error.value)


def test_a_damaged_archive_is_named(tmp_path):
    settings = npz(tmp_path)
    content = bytearray((tmp_path / "r.npz").read_bytes())
    content[3000:3100] = bytes(100)
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(RepbiasError, match=r"r\.npz: cannot be read as npz \(.+\)" + REMEDY):
        read(**settings)


def test_units_without_spikes(tmp_path):
    settings = nwb(tmp_path, spikes=False)
    message = r"a\.nwb: the table of units has no spike_times, but quality; .* 'data' to a time"
    with pytest.raises(RepbiasError, match=message):
        read(**settings)
    (tmp_path / "a.nwb").unlink()
    nwb(tmp_path)
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        del file["units/spike_times"], file["units/spike_times_index"]
    message = r"a\.nwb: cannot be read as NWB \(Could not construct Units .*'spike_times'\)"
    with pytest.raises(RepbiasError, match=message + REMEDY):
        read(**settings)


def test_a_header_of_brainvision_names_files_that_were_renamed(tmp_path):
    settings = eeg("eeg.vhdr")(tmp_path)
    for suffix in ("vhdr", "eeg", "vmrk"):
        (tmp_path / f"eeg.{suffix}").rename(tmp_path / f"sub-1.{suffix}")
    settings["path"] = path = tmp_path / "sub-1.vhdr"
    message = r"sub-1\.vhdr: DataFile is 'eeg\.eeg', which is not in its folder; .* as DataFile and"
    with pytest.raises(RepbiasError, match=message):
        read(**settings)
    path.write_text(path.read_text().replace("=eeg.", "=sub-1."))
    assert len(read(**settings).responses) == 12


def test_asymmetric_rdms_are_named_with_their_place(tmp_path):
    rdms = np.ones((2, 4, 4)) - np.eye(4)
    rdms[1, 2, 0] = 0.25
    np.save(tmp_path / "rdms.npy", rdms)
    settings = {"kind": "rdms", "path": tmp_path / "rdms.npy", "stimulus_ids": "sorted"}
    message = r"rdms\.npy: an RDM is not symmetric: 1 in row 1 and column 3, but 0\.25 in row 3 and"
    with pytest.raises(RepbiasError, match=message):
        read(axes=["subject", "stimulus", "stimulus"], **settings)


def test_the_file_of_a_hemisphere_that_is_missing_is_named(tmp_path, caplog):
    for subject in "12":
        for hemi in "LR":
            for name in IDS:
                gifti(tmp_path / f"sub-{subject}_hemi-{hemi}_{name}.gii", RNG.normal(size=(1, 9)))
    settings = {"kind": "fmri", "content": "betas", "path": tmp_path}
    settings["images"] = "sub-{subject}_hemi-{hemi}_{stimulus}.gii"
    (tmp_path / "sub-1_hemi-L_image2.gii").unlink()
    message = (
        r"/sub-1_hemi-L_image2\.gii: there is no such file, though there is .*-R_image2\.gii: "
    )
    with pytest.raises(RepbiasError, match=message + "hemisphere L has 3 files of this run, R 4"):
        read(**settings)
    for path in tmp_path.glob("sub-1_hemi-L*"):
        path.unlink()
    assert "hemisphere" not in caplog.text
    assert len(read(**settings).units["unit"]) == 27
    assert "subject 1: has no file of hemisphere L, as others have" in caplog.text


def test_parcels_are_units_by_name(tmp_path):
    names = ["V4", "V1", "IT"]
    places = nibabel.cifti2.ParcelsAxis.from_brain_models(
        [(name, cortex()[4 * i : 4 * i + 4]) for i, name in enumerate(names)]
    )
    settings = cifti(tmp_path / "betas.pscalar.nii", places)
    recording = read(**settings)
    assert recording.units["unit"].tolist() == ["subject1/IT", "subject1/V1", "subject1/V4"]
    stored = nibabel.load(settings["path"]).get_fdata()
    np.testing.assert_array_equal(recording.responses, stored[:, [2, 1, 0]])
    groups = {1: ("early", (1, 0, 0, 1)), 2: ("late", (0, 1, 0, 1))}
    labels = nibabel.cifti2.LabelAxis(["level"], [groups])
    image = nibabel.Cifti2Image(np.array([[2, 1, 2]], np.float32), header=(labels, places))
    nibabel.save(image, tmp_path / "level.plabel.nii")
    recording = read(**settings, regions=str(tmp_path / "level.plabel.nii"))
    assert recording.units["region"].tolist() == ["late", "early", "late"]
    image = nibabel.Cifti2Image(np.ones((1, 12), np.float32), header=(labels, cortex()))
    nibabel.save(image, tmp_path / "areas.dlabel.nii")
    with pytest.raises(RepbiasError, match=r"dlabel\.nii: .* BrainModelAxis, but .* ParcelsAxis"):
        read(**settings, regions=str(tmp_path / "areas.dlabel.nii"))


@pytest.mark.parametrize("response", ["mean", "glm"])
def test_the_repetition_time_of_a_surface_is_beside_it(response, tmp_path):
    gifti(tmp_path / "hemi-L_bold.func.gii", 100 + RNG.normal(size=(60, 9)))
    events = table(
        tmp_path / "events.tsv", "\t", onset=[2, 10, 18, 26], duration=[2] * 4, trial_type=IDS
    )
    settings = {"kind": "fmri", "content": "bold", "path": tmp_path, "response": response}
    settings |= {"images": "hemi-{hemi}_bold.func.gii", "events": events}
    with pytest.raises(RepbiasError, match=r"_bold\.func\.gii: .* nor RepetitionTime in a JSON"):
        read(**settings)
    (tmp_path / "hemi-L_bold.json").write_text(json.dumps({"RepetitionTime": 0.75}))
    expected = read(**settings, tr_s=0.75)
    np.testing.assert_array_equal(read(**settings).responses, expected.responses)


def later_nwb(folder):
    settings = nwb(folder)
    with h5py.File(folder / "a.nwb", "r+") as file:
        file.attrs["nwb_version"] = "9.1.0"
    return settings


def later_cifti(folder):
    settings = grayordinates(folder)
    content = settings["path"].read_bytes()
    settings["path"].write_bytes(content.replace(b'<CIFTI Version="2.0"', b'<CIFTI Version="9.1"'))
    return settings


def later_brainvision(folder):
    settings = eeg("eeg.vhdr")(folder)
    text = settings["path"].read_text()
    settings["path"].write_text(text.replace("Header File Version 1.0", "Header File Version 9.1"))
    return settings


@pytest.mark.parametrize(
    ("write", "later", "kind"),
    [
        (nwb, later_nwb, "NWB"),
        (grayordinates, later_cifti, "CIFTI"),
        (eeg("eeg.vhdr"), later_brainvision, "BrainVision"),
    ],
)
def test_a_later_version_of_a_format_is_warned_of(write, later, kind, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    for name in ("now", "later"):
        (tmp_path / name).mkdir()
    expected = read(**write(tmp_path / "now"))
    assert "version" not in caplog.text
    found = read(**later(tmp_path / "later"))
    assert found.responses.shape == expected.responses.shape
    assert re.search(rf"{kind} version 9\.1(\.0)?, but tested is", caplog.text)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("broken"), r"x: cannot be read as a thing \(broken\)" + REMEDY),
        (PermissionError(13, "Permission denied", "x"), r"\(.*Permission denied.*\)$"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "bad"), "; if it is text, save it as UTF-8$"),
    ],
)
def test_the_remedy_is_that_of_the_error(error, message):
    with pytest.raises(RepbiasError, match=message), readable("x", "a thing"):
        raise error


def test_text_of_a_spreadsheet_in_another_encoding_is_to_be_saved_as_utf_8(tmp_path):
    (tmp_path / "ids.txt").write_text("café\nb\nc\nd\n", encoding="cp1252")
    settings = npz(tmp_path) | {"stimulus_ids": str(tmp_path / "ids.txt")}
    message = r"ids\.txt: cannot be read as a text file \(.*0xe9.*\); .* save it as UTF-8"
    with pytest.raises(RepbiasError, match=message):
        read(**settings)
    settings = npz(tmp_path) | {"rename": tmp_path / "ids.txt"}
    with pytest.raises(RepbiasError, match=message):
        read(**settings)


def test_a_mistake_in_the_code_is_not_blamed_on_the_file():
    with pytest.raises(NameError), readable("x", "a thing"):
        undefined  # type: ignore[name-defined]  # noqa: B018, F821
