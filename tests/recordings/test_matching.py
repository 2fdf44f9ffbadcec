"""Recordings whose ids differ in form from those of the set are read as if they did not."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image
from rsatoolbox.rdm import RDMs

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.array import ArrayRecording
from repbias.recordings.readers.rsatoolbox import RsatoolboxRecording
from repbias.recordings.readers.table import TableRecording
from repbias.rsa.quality import quality_table
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

KNOWN = np.array([f"{i:03}" for i in range(1, 13)])
RESPONSES = np.random.default_rng(0).standard_normal((12, 3))


def read_array(tmp_path, ids, known=KNOWN, **settings) -> Recording:
    np.save(tmp_path / "r.npy", RESPONSES)
    spec = {"kind": "array", "path": tmp_path / "r.npy", "axes": ["stimulus", "unit"]}
    spec = ArrayRecording(**spec, stimuli="set", stimulus_ids=ids, **settings)
    return read_recording(spec, known, {"number": np.arange(len(known))})


def assert_same(found: Recording, expected: Recording) -> None:
    for part in ("stimuli", "trials", "units"):
        pd.testing.assert_frame_equal(
            pd.DataFrame(getattr(found, part)), pd.DataFrame(getattr(expected, part))
        )
    np.testing.assert_array_equal(found.responses, expected.responses)
    changed = {"matched"}
    assert {k: v for k, v in found.info.items() if k not in changed} == expected.info


def test_nothing_is_said_of_ids_that_are_the_same(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    recording = read_array(tmp_path, KNOWN.tolist())
    assert "matched" not in recording.info
    assert not caplog.records


@pytest.mark.parametrize(
    "form", ["{}.png", "faces/{}", "C:\\lab\\{}.PNG", "{}\u200b", "/x/{}.jpg", "0{}", "{}.0"]
)
def test_arrays_with_ids_of_another_form(form, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    expected = read_array(tmp_path, KNOWN.tolist())
    found = read_array(tmp_path, [form.format(name) for name in KNOWN])
    assert_same(found, expected)
    (said,) = found.info["matched"]
    assert found.info["matched"][said] == 12
    assert said.startswith("matched 12 of 12 ids but for ")
    assert f"{tmp_path}/r.npy: {said}" in caplog.text
    quality = quality_table("r", found, Geometry()).set_index("measure")
    assert quality.loc["stimuli_renamed", "value"] == 12
    assert said in quality.loc["stimuli_renamed", "method"]
    pd.testing.assert_frame_equal(
        quality.drop("stimuli_renamed"),
        quality_table("r", expected, Geometry()).set_index("measure"),
    )


def test_numbers_of_tables_and_matlab_files_are_ids_of_padded_file_names(tmp_path):
    """Integers, floats (as pandas writes integers beside a missing value) and doubles of MATLAB."""
    expected = read_array(tmp_path, KNOWN.tolist())
    frame = pd.DataFrame(RESPONSES, columns=["subject1/1", "subject1/2", "subject1/3"])
    for numbers in (np.arange(1, 13), np.arange(1.0, 13)):
        frame.assign(stimulus=numbers).to_csv(tmp_path / "r.csv", index=False)
        spec = TableRecording(kind="table", path=tmp_path / "r.csv", format="wide", stimuli="set")
        found = read_recording(spec, KNOWN)
        np.testing.assert_array_equal(found.responses, expected.responses)
        assert found.stimulus_ids.tolist() == KNOWN.tolist()
        assert any("form of number" in sentence for sentence in found.info["matched"])
    scipy.io.savemat(tmp_path / "r.mat", {"r": RESPONSES, "ids": np.arange(1.0, 13)})
    spec = {"kind": "array", "path": tmp_path / "r.mat", "variable": "r", "stimuli": "set"}
    spec = ArrayRecording(**spec, axes=["stimulus", "unit"], stimulus_ids="variable:ids")
    np.testing.assert_array_equal(read_recording(spec, KNOWN).responses, expected.responses)


def test_natural_and_text_are_short_for_the_orders(tmp_path):
    known = np.array(sorted(f"im{i}" for i in range(1, 13)))
    for short, long in (("natural", "sorted naturally"), ("text", "sorted as text")):
        assert_same(read_array(tmp_path, short, known), read_array(tmp_path, long, known))
    assert read_array(tmp_path, "natural", known).responses[1].tolist() == RESPONSES[9].tolist()


def test_stimuli_are_left_out_by_ids_of_either_form(tmp_path):
    ids = [f"{name}.png" for name in KNOWN[:11]] + ["blank.png"]
    for exclude in (["blank", "003"], ["blank.png", "003.png"], ["blank", "3"]):
        found = read_array(tmp_path, ids, exclude=exclude)
        assert found.stimulus_ids.tolist() == [n for n in KNOWN[:11] if n != "003"]
        assert found.info["excluded_ids"][1] == "003"
        assert found.info["stimuli_in_set"] == 11
    with pytest.raises(RepbiasError, match=r"exclude: no stimulus 'blanc.png'; did you mean"):
        read_array(tmp_path, ids, exclude=["blanc.png"])


def test_names_are_translated_in_any_form(tmp_path):
    (tmp_path / "names.csv").write_text("cat,001.png\ndog,2\n")
    ids = ["stimuli/cat.bmp", "stimuli/dog.bmp", *(f"stimuli/{name}" for name in KNOWN[2:])]
    found = read_array(tmp_path, ids, rename=tmp_path / "names.csv")
    assert found.responses.tolist() == RESPONSES.tolist()
    assert [sentence.split()[0] for sentence in found.info["matched"]] == ["renamed", "matched"]
    (tmp_path / "names.csv").write_text("a/cat,001\nb/cat,002\n")
    with pytest.raises(RepbiasError, match=r"names.csv, but it .* be 'a/cat' or 'b/cat'"):
        read_array(tmp_path, ["cat", *KNOWN[1:]], rename=tmp_path / "names.csv")


def test_ambiguous_ids_are_refused_though_others_may_be_left_out(tmp_path):
    ids = ["001.png", "001.jpg", *KNOWN[1:9], "x", "y"]
    with pytest.raises(RepbiasError, match=r"r.npy: 2 of 12 .* '001.jpg' and '001.png' could each"):
        read_array(tmp_path, ids, unmatched="leave_out")
    found = read_array(tmp_path, ["001.png", *KNOWN[1:10], "x", "y"], unmatched="leave_out")
    assert found.stimulus_ids.tolist() == KNOWN[:10].tolist()
    assert found.info["unmatched_ids"] == ["x", "y"]


def test_rdms_are_joined_like_responses(tmp_path):
    vectors = np.random.default_rng(1).random((2, 66))

    def read(ids):
        rdms = RDMs(
            vectors,
            rdm_descriptors={"subject": ["a", "b"]},
            pattern_descriptors={"stimulus": list(ids)},
        )
        rdms.save(str(tmp_path / "r.h5"), file_type="hdf5", overwrite=True)
        spec = {"kind": "rsatoolbox", "path": tmp_path / "r.h5", "stimuli": "set"}
        return read_recording(RsatoolboxRecording(**spec, stimulus="stimulus"), KNOWN)

    found, expected = read([f"f/{n}.png" for n in KNOWN]), read(KNOWN)
    np.testing.assert_array_equal(found.rdms, expected.rdms)
    assert found.stimulus_ids.tolist() == KNOWN.tolist()
    assert "file ending and folder" in next(iter(found.info["matched"]))


def test_the_message_shows_what_is_not_seen(tmp_path):
    known = np.array(sorted(["caf\xe9", "caf\xe9 x", "tom", *KNOWN[3:]]))
    with pytest.raises(RepbiasError) as caught:
        read_array(tmp_path, ["cafe\u0301", "caf\xe9\xa0x", "tim", *KNOWN[3:]], known)
    assert "2 of 12 ids are not in 'set': 'café\\xa0x' (nearest: 'café x'), 'tim'" in str(
        caught.value
    )
    assert "10 match (1 of 12 ids but for Unicode form ('cafe\\u0301' is 'café'))" in str(
        caught.value
    )


@pytest.fixture
def nested(tmp_path):
    """A set of images with the same names in two folders."""
    folder = tmp_path / "photos" / "all"
    for i, name in enumerate(["faces/1.png", "faces/2.png", "houses/1.png", "houses/2.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (i, i, i)).save(folder / name)
    return tmp_path / "photos"


PATHS = ["faces/1", "faces/2", "houses/1", "houses/2"]


def test_images_of_the_same_name_are_told_apart_by_their_folders(nested):
    images = open_images(ImageSet(path=nested))
    assert images.ids == PATHS
    assert images.said == ["ids are paths, as files of several folders have the same names"]
    assert [images.load(i).getpixel((0, 0))[0] for i in (0, 3)] == [0, 3]
    only = open_images(ImageSet(path=nested, exclude=["houses/1.png", "houses\\2"]))
    assert only.ids == PATHS[:2]
    with pytest.raises(RepbiasError, match="'1' could be 'faces/1' or 'houses/1'"):
        open_images(ImageSet(path=nested, exclude=["1"]))


@pytest.mark.parametrize(
    "form", ["{}", "{}.png", "photos/all/{}", "C:\\photos\\all\\{}.png", "{}.JPG"]
)
def test_rows_of_a_table_may_be_ids_file_names_or_paths(form, nested):
    table = nested.parent / "s.csv"
    ids = [form.format(name.replace("/", "\\") if "\\" in form else name) for name in PATHS]
    table.write_text("stimulus_id,size\n" + "\n".join(f"{n},{i}" for i, n in enumerate(ids[::-1])))
    images = open_images(ImageSet(path=nested, table=table))
    assert images.ids == PATHS
    assert images.columns["size"].tolist() == [3, 2, 1, 0]
    assert images.lines.tolist() == [5, 4, 3, 2]
    assert [images.load(i).getpixel((0, 0))[0] for i in (0, 3)] == [0, 3]
    assert len(images.said) == (1 if form == "{}" else 2)


def test_rows_that_could_be_two_images_are_refused(nested):
    table = nested.parent / "s.csv"
    table.write_text("stimulus_id,size\n1,0\n2,1\n")
    with pytest.raises(RepbiasError, match=r"s.csv: .* '1' could be 'faces/1' or 'houses/1'"):
        open_images(ImageSet(path=nested, table=table))


def test_recordings_of_nested_images_name_their_paths(nested, tmp_path):
    images = open_images(ImageSet(path=nested))
    np.save(tmp_path / "r.npy", RESPONSES[:4])
    spec = {"kind": "array", "path": tmp_path / "r.npy", "axes": ["stimulus", "unit"]}
    ids = ["/home/lab/houses/01.png", "/home/lab/faces/02.png", "faces\\1", "houses/2"]
    spec = ArrayRecording(**spec, stimuli="set", stimulus_ids=ids)
    recording = read_recording(spec, np.array(images.ids))
    assert recording.stimulus_ids.tolist() == PATHS
    np.testing.assert_array_equal(recording.responses, RESPONSES[[2, 1, 0, 3]])
