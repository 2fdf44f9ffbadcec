"""What is said of folders of kilosort, phy, suite2p, CaImAn and NWB, and that the block reads them.

The writers follow the formats' descriptions (tests/recordings has the details); NWB is written by
pynwb and hdmf-zarr.
"""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hdmf_zarr.nwb import NWBZarrIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject

from repbias.commands.inspect import describe
from repbias.commands.main import main

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

IDS = [f"im{i}" for i in range(6)]
STARTS = np.arange(12) + 0.5
WINDOW = {"from_s": 0.0, "to_s": 0.5}


def write_trials(path: Path, columns=("image", "stim_on"), starts=STARTS) -> Path:
    rows = [f"{IDS[i % 6]},{start}" for i, start in enumerate(starts)]
    path.write_text("\n".join([",".join(columns), *rows]))
    return path


def write_phy(folder: Path, curated: bool = True) -> Path:
    """Cluster c fires c + 1 spikes within half a second of every trial; the last is at 12 s."""
    folder.mkdir(parents=True)
    spikes = [(start + 0.1 * k, c) for start in STARTS for c in range(3) for k in range(c + 1)]
    times, clusters = np.array(sorted([*spikes, (13.0, 0)])).T
    np.save(folder / "spike_times.npy", (times * 30_000).round().astype(np.int64))
    np.save(folder / "spike_templates.npy", clusters.astype(np.int32))
    (folder / "params.py").write_text("sample_rate = 30000.\n")
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n0\tgood\n1\tgood\n2\tmua\n")
    if curated:
        np.save(folder / "spike_clusters.npy", clusters.astype(np.int32))
        info = "cluster_id\tarea\tgroup\n0\tV1\tgood\n1\tLM\tnoise\n2\tLM\tgood\n"
        (folder / "cluster_info.tsv").write_text(info)
    return folder


def write_suite2p(folder: Path) -> Path:
    """Frames at 10 Hz; ROI r holds r + 1 from the start of a trial to half a second after it."""
    f = np.zeros((4, 140), np.float32)
    for start in STARTS:
        at = round(start * 10)
        f[:, at : at + 5] = np.arange(1, 5)[:, None]
    folder.mkdir(parents=True)
    for name, values in {"F": f + 50, "Fneu": f * 0, "spks": f}.items():
        np.save(folder / f"{name}.npy", values)
    np.save(folder / "iscell.npy", np.column_stack([[1, 1, 0, 1], np.ones(4)]))
    return folder


def write_nwb(path: Path, subject: str, session: str, trials: bool = True) -> Path:
    """Unit u fires u + 1 spikes within half a second of every trial."""
    nwb = NWBFile("test", session, datetime(2026, 1, 1, tzinfo=UTC), session_id=session)
    nwb.subject = Subject(subject_id=subject)
    if trials:
        nwb.add_trial_column("image", "what was shown")
        for i, start in enumerate(STARTS):
            nwb.add_trial(start_time=start, stop_time=start + 0.5, image=IDS[i % 6])
    for unit in range(3):
        spikes = (STARTS[:, None] + np.linspace(0.05, 0.15, unit + 1)).ravel()
        nwb.add_unit(spike_times=[0.2, *spikes, 13.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    zarr = path.suffix == ".zarr"
    with NWBZarrIO(str(path), mode="w") if zarr else NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def test_a_folder_of_phy_with_a_table_beside_it(tmp_path, inspect, read):
    folder = write_phy(tmp_path / "monday" / "kilosort4")
    trials = write_trials(tmp_path / "monday" / "trials.csv")
    for path in (folder, folder.parent):
        text, entry = inspect(path, stimuli="shown", **WINDOW)
        assert "73 spikes of 3 clusters (spike_clusters.npy), the last at 13.0 s" in text
        assert "area: 2 values: V1, LM" in text
        assert entry["path"] == str(folder)
        assert entry["trials"] == str(trials)
        assert (entry["stimulus"], entry["align"]) == ("image", "stim_on")
        assert (entry["groups"], entry["region_column"]) == (["good"], "area")
        recording = read(entry, IDS)
        np.testing.assert_array_equal(recording.responses, np.tile([1, 3], (12, 1)))
        assert recording.units["region"].tolist() == ["V1", "LM"]


def test_a_folder_that_phy_never_opened_and_no_table(tmp_path, inspect, read):
    folder = write_phy(tmp_path / "a" / "b" / "monday", curated=False)
    (folder / "params.py").unlink()
    trials = write_trials(tmp_path / "elsewhere.csv")
    fill = {"stimuli": "shown", "trials": str(trials), "stimulus": "image", "align": "stim_on"}
    text, entry = inspect(folder, sampling_rate=30_000.0, **fill, **WINDOW)
    assert "It has no spike_clusters.npy: it was never opened in phy" in text
    assert "the last at sample 390000" in text
    recording = read(entry, IDS)
    np.testing.assert_array_equal(recording.responses, np.tile([1, 2], (12, 1)))


def test_what_is_guessed_is_called_a_guess(tmp_path, capsys):
    folder = write_phy(tmp_path / "monday", curated=False)
    write_trials(tmp_path / "trials.csv", starts=STARTS * 1000)
    assert main(["inspect", str(folder)]) == 0
    said = capsys.readouterr().out
    lines = {line.split(":")[0].strip(): line for line in said.splitlines()}
    for key in ("trials", "stimulus", "align"):
        assert "# a guess from its name" in lines[key]
    assert "kilosort's labels: none was given in phy; found: good 2, mua 1" in lines["groups"]
    assert "stim_on ends at 11500, the recording at 13 s: in other units" in said


@pytest.mark.parametrize("place", ["suite2p/plane0", "suite2p", ".", "..", "../.."])
def test_a_folder_of_suite2p_from_any_level(place, tmp_path, inspect, read):
    folder = tmp_path / "mice" / "M12" / "monday"
    write_suite2p(folder / "suite2p" / "plane0")
    write_trials(folder / "stimuli.csv", ("stim", "onset"))
    fill = {"stimuli": "shown", "frame_rate": 10.0, **WINDOW}
    text, entry = inspect((folder / place).resolve(), **fill)
    assert "plane0: 4 ROIs, of which 3 cells; 140 frames" in text
    assert entry["signal"] == "dff"
    recording = read(entry | {"signal": "f"}, IDS)
    np.testing.assert_allclose(recording.responses, np.tile([51, 52, 54], (12, 1)))
    assert set(recording.trials["session"]) == {"monday"}
    assert read(entry, IDS).info["response_unit"] == "ΔF/F"


@pytest.mark.parametrize("rate", [10.0, None])
def test_a_file_of_caiman(rate, tmp_path, inspect, read):
    path = tmp_path / "session.hdf5"
    c = np.load(write_suite2p(tmp_path / "s") / "F.npy").astype(float)
    with h5py.File(path, "w") as file:
        file["estimates/C"] = c
        file["estimates/F_dff"] = "NoneType"
        file["estimates/idx_components"] = np.array([0, 3])
        if rate:
            file["params/data/fr"] = rate
    write_trials(tmp_path / "trials.csv")
    fill = {} if rate else {"frame_rate": 10.0}
    text, entry = inspect(path, stimuli="shown", **fill, **WINDOW)
    assert "4 components, of which 2 are accepted; 140 frames" in text
    assert (entry["kind"], entry["signal"], entry["frame_rate"]) == ("caiman", "c", 10.0)
    np.testing.assert_allclose(read(entry, IDS).responses, np.tile([51, 54], (12, 1)))


def test_nwb_without_trials_needs_a_table(tmp_path, inspect, read):
    path = write_nwb(tmp_path / "a.nwb", "m1", "s1", trials=False)
    trials = write_trials(tmp_path / "trials.csv")
    text, entry = inspect(path, stimuli="shown", **WINDOW)
    assert "It has no table of trials; one of your own is needed." in text
    assert entry["trials"] == str(trials)
    np.testing.assert_array_equal(read(entry, IDS).responses, np.tile([1, 2, 3], (12, 1)))


@pytest.mark.parametrize(
    "name", ["sub-{subject}/sub-{subject}_ses-{session}_ecephys.nwb", "{session}.nwb.zarr"]
)
def test_a_folder_of_nwb_files_is_read_by_a_pattern(name, tmp_path, inspect, read):
    for subject, session in (("A", "1"), ("A", "2"), ("B", "3")):
        path = tmp_path / "000003" / name.format(subject=subject, session=session)
        write_nwb(path, subject, session)
    (tmp_path / "000003" / "dandiset.yaml").write_text("identifier: DANDI:000003\n")
    text, entry = inspect(tmp_path / "000003", stimuli="shown", stimulus="image", **WINDOW)
    assert "3 NWB files of" in text
    assert "NWB session 1, subject A" in text
    pattern = "sub-*/*_ecephys.nwb" if "sub-" in name else "**/*.nwb.zarr"
    assert entry["more_files"] == [str(tmp_path / "000003" / pattern)]
    recording = read(entry, IDS)
    assert recording.responses.shape == (36, 9)
    assert np.nansum(recording.responses) == 36 * (1 + 2 + 3)
    assert set(recording.units["subject"]) == {"A", "B"}


def test_a_folder_of_nwb_files_of_several_kinds(tmp_path, inspect):
    for name in ("sub-A_ses-1_ecephys.nwb", "sub-A_ses-2_ecephys.nwb", "sub-A_ses-1_image.nwb"):
        write_nwb(tmp_path / "sub-A" / name, "A", name)
    text, entry = inspect(tmp_path, stimuli="shown", stimulus="image", **WINDOW)
    assert "sub-A (3)" in text
    assert "They end in *_ecephys.nwb (2), *_image.nwb (1)" in text
    assert entry["more_files"] == [str(tmp_path / "sub-*" / "*_ecephys.nwb")]


@pytest.mark.parametrize("kind", ["phy", "suite2p"])
def test_a_folder_takes_no_more_than_twice_its_size(kind, tmp_path):
    folder = tmp_path / "monday"
    folder.mkdir()
    if kind == "phy":
        np.save(folder / "spike_times.npy", np.arange(1_000_000))
        np.save(folder / "spike_clusters.npy", np.arange(1_000_000, dtype=np.int32) % 300)
    else:
        for name in ("F", "Fneu"):
            np.save(folder / f"{name}.npy", np.ones((50, 20_000), np.float32))
        np.save(folder / "iscell.npy", np.ones((50, 2)))
    size = sum(file.stat().st_size for file in folder.iterdir())
    describe(folder)  # imports
    tracemalloc.start()
    describe(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * size


def test_a_study_is_started_from_a_folder(tmp_path, monkeypatch, capsys):
    """The paths of the entry are relative to the new study."""
    write_phy(tmp_path / "data" / "monday" / "phy")
    write_trials(tmp_path / "data" / "monday" / "trials.csv")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "study", "--recording", "data/monday"]) == 0
    text = (tmp_path / "study" / "study.yaml").read_text()
    assert "path: ../data/monday/phy" in text
    assert "trials: ../data/monday/trials.csv" in text


# Cohorts.


def test_a_root_of_suite2p_is_read_by_a_pattern(tmp_path, inspect, read):
    """One session has no trials, and one folder another name."""
    for place in ("M12/monday", "M12/tuesday", "M13/monday", "M13/tuesday"):
        write_suite2p(tmp_path / place / "suite2p" / "plane0")
        if place != "M13/tuesday":
            write_trials(tmp_path / place / "trials.csv", ("stim", "onset"))
    write_suite2p(tmp_path / "pilot/suite2p/plane0")
    fill = {"stimuli": "shown", "frame_rate": 10.0, **WINDOW}
    text, entry = inspect(tmp_path, **fill)
    assert "3 folders: M12/monday/suite2p, M12/tuesday/suite2p, M13/monday/suite2p" in text
    assert "folders of another name, which are not read: pilot/suite2p" in text
    assert "folders without a table of trials, not read: M13/tuesday/suite2p" in text
    assert entry["more_files"] == [str(tmp_path / "M*/*/suite2p")]
    assert entry["leave_out"] == [str(tmp_path / "M13/tuesday/suite2p")]
    assert entry["subject"] == ["M12", "M12", "M13"]
    recording = read(entry | {"signal": "f"}, IDS)
    owners = {unit.split("/plane")[0] for unit in recording.units["unit"]}
    assert owners == {"M12/monday", "M12/tuesday", "M13/monday"}
    assert recording.info["files_left_out"] == entry["leave_out"]


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("place", ["", "data"])
def test_a_table_above_sessions_with_their_own_is_not_of_another(place, repeats, tmp_path, inspect):
    """It may list the stimuli, but need not."""
    for day in ("monday", "tuesday", "friday"):
        write_suite2p(tmp_path / "data" / day / "suite2p" / "plane0")
    for day in ("monday", "tuesday"):
        write_trials(tmp_path / "data" / day / "trials.csv", ("stim", "onset"))
    rows = "".join(f"{name},{i % 4}\n" for i, name in enumerate(IDS)) * repeats
    (tmp_path / place / "stimuli.csv").write_text(f"stimulus_id,contrast\n{rows}")
    _, entry = inspect(tmp_path, stimuli="shown", subject="M12", frame_rate=10.0, **WINDOW)
    assert entry["leave_out"] == [str(tmp_path / "data/friday/suite2p")]
    assert entry["trials"] == [str(tmp_path / f"data/{d}day/trials.csv") for d in ("mon", "tues")]


def test_a_table_of_stimuli_is_no_table_of_trials(tmp_path, capsys):
    write_suite2p(tmp_path / "suite2p" / "plane0")
    rows = "".join(f"{name},{i % 4}\n" for i, name in enumerate(IDS))
    (tmp_path / "stimuli.csv").write_text(f"stimulus_id,contrast\n{rows}")
    assert main(["inspect", str(tmp_path)]) == 0
    assert "trials: FILL_IN" in capsys.readouterr().out


def test_sessions_of_one_animal_are_no_subjects(tmp_path, inspect, read):
    for place in ("2024-05-11/1", "2024-05-12/1"):
        write_phy(tmp_path / place / "kilosort4")
        write_trials(tmp_path / place / "trials.csv")
    _, entry = inspect(tmp_path, stimuli="shown", subject="M12", **WINDOW)
    assert entry["more_files"] == [str(tmp_path / "*/1/kilosort4")]
    assert entry["session"] == ["2024-05-11", "2024-05-12"]
    assert entry["trials"] == [str(tmp_path / f"{d}/1/trials.csv") for d in entry["session"]]
    recording = read(entry, IDS)
    assert set(recording.trials["session"]) == {"2024-05-11", "2024-05-12"}


def test_one_table_of_trials_for_a_cohort(tmp_path, inspect, read):
    for subject in ("sub-1", "sub-2"):
        write_phy(tmp_path / subject / "kilosort4")
    rows = "".join(
        f"{IDS[i % 6]},{t},sub-{s},sub-{s}\n" for s in (1, 2) for i, t in enumerate(STARTS)
    )
    (tmp_path / "trials.csv").write_text(f"image,stim_on,session,subject\n{rows}")
    _, entry = inspect(tmp_path, stimuli="shown", **WINDOW)
    assert entry["trials"] == str(tmp_path / "trials.csv")
    assert entry["subject"] == ["sub-1", "sub-2"]
    assert set(read(entry, IDS).units["subject"]) == {"sub-1", "sub-2"}


def test_a_study_is_started_from_a_cohort(tmp_path, monkeypatch, read):
    """Paths and patterns are relative to the study."""
    for place in ("M12/monday", "M12/tuesday", "M13/monday"):
        write_suite2p(tmp_path / "data" / place / "suite2p" / "plane0")
        if place != "M12/tuesday":
            write_trials(tmp_path / "data" / place / "trials.csv", ("stim", "onset"))
    monkeypatch.chdir(tmp_path)
    assert main(["init", "study", "--recording", "data"]) == 0
    monkeypatch.chdir(tmp_path / "study")
    (entry,) = yaml.safe_load(Path("study.yaml").read_text())["recordings"].values()
    assert entry["more_files"] == ["../data/M*/*/suite2p"]
    assert entry["leave_out"] == ["../data/M12/tuesday/suite2p"]
    assert entry["trials"] == [f"../data/M{i}/monday/trials.csv" for i in (12, 13)]
    found = read(entry | {"stimuli": "s", "frame_rate": 10.0, **WINDOW}, IDS)
    assert set(found.units["subject"]) == {"M12", "M13"}
