"""Subjects with trials of their own are read, kept and analysed without an array of them all."""

from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pytest

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.blocks import Blocks
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.fmri import FmriRecording
from repbias.recordings.reliability import reliability_table
from repbias.rsa.quality import quality_table

IDS = np.array([f"im{i:03d}" for i in range(90)])


def write(folder, n_voxels: int = 6, own: int = 20, common: int = 10, repeats: int = 3):
    """Write betas of four subjects, in an order of their own, with the same tail of stimuli."""
    rng, responses = np.random.default_rng(0), {}
    for s in range(4):
        shown = [*range(s * own, (s + 1) * own), *range(4 * own, 4 * own + common)]
        trials = rng.permutation(np.repeat(shown, repeats))
        values = rng.normal(size=(len(trials), n_voxels)) + 3
        (folder / f"sub-{s}").mkdir(parents=True)
        with h5py.File(folder / f"sub-{s}/betas.h5", "w") as file:
            file["betas"] = values
        lines = ["stimulus", *IDS[trials]]
        (folder / f"sub-{s}/trials.csv").write_text("\n".join(lines))
        responses[str(s)] = (IDS[trials], values)
    return responses


def entry(folder, **settings) -> FmriRecording:
    return FmriRecording(
        kind="fmri",
        path=folder,
        images="sub-{subject}/betas.h5",
        events="sub-{subject}/trials.csv",
        variable="betas",
        content="betas",
        stimuli="set",
        **settings,
    )


def test_every_subject_has_the_responses_that_were_written(tmp_path):
    written = write(tmp_path / "betas")
    read_recording(entry(tmp_path / "betas"), IDS).write(tmp_path / "r.h5")
    recording = Recording.read(tmp_path / "r.h5")
    assert isinstance(recording.responses, Blocks)
    assert recording.responses.shape == (4 * 90, 24)
    for subject, units, part in by_subject(recording):
        stimuli, values = written[subject]
        assert (
            list(part.units["subject"]) == [subject] * 6 == list(recording.units["subject"][units])
        )
        for stimulus in np.unique(stimuli):
            found = part.responses[part.trials["stimulus_id"] == stimulus]
            expected = values[stimuli == stimulus]
            np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(expected, axis=0))
        assert set(part.trials["stimulus_id"]) == set(stimuli)


def test_memory_and_disk_are_those_of_the_observed_values(tmp_path):
    """One array of all trials and units would be four times as large as what was observed."""
    write(tmp_path / "betas", n_voxels=1500)
    observed = 4 * 90 * 1500 * 8
    tracemalloc.start()
    read_recording(entry(tmp_path / "betas"), IDS).write(tmp_path / "r.h5")
    _, to_read = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    recording = Recording.read(tmp_path / "r.h5")
    table = reliability_table("r", recording)
    _, to_analyse = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (table["repeats"] == 3).all()
    # The last chunk of every subject, of up to a megabyte, may be almost empty.
    assert (tmp_path / "r.h5").stat().st_size < observed + 4 * 2**20
    assert to_read < 3 * observed
    assert to_analyse < 2.5 * observed


def test_repeats_and_unobserved_are_of_the_subjects_own_trials(tmp_path):
    write(tmp_path / "betas")
    recording = read_recording(entry(tmp_path / "betas"), IDS)
    table = quality_table("r", recording, Geometry())
    whole = table[(table["subject"] == "") & (table["region"] == "")].set_index("measure")["value"]
    expected = {"stimuli": 90, "stimuli_common": 10, "repeats_min": 3, "repeats_max": 3}
    expected |= {"units_incomplete": 0, "unobserved": 0, "trials": 360, "subjects": 4}
    assert {name: whole[name] for name in expected} == expected


def test_subjects_are_chosen(tmp_path):
    write(tmp_path / "betas")
    recording = read_recording(entry(tmp_path / "betas", analyse_subjects=["3", "1"]), IDS)
    assert set(recording.units["subject"]) == {"1", "3"}
    assert len(recording.stimulus_ids) == 50 and len(recording.trials["stimulus_id"]) == 180
    with pytest.raises(RepbiasError, match=r"analyse_subjects: no subject '4'; .*'?3"):
        read_recording(entry(tmp_path / "betas", analyse_subjects=["4"]), IDS)
