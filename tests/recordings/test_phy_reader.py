"""Folders as kilosort and phy write them: counts, against plain loops over spikes.

Neither program is small enough to install for a test: the files follow phy's description of its
format (github.com/cortex-lab/phy, docs/sorting_user_guide.md and docs/visualization.md) and what
kilosort's ``save_for_phy`` and ``rezToPhy`` write.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.blocks import Blocks
from repbias.recordings.readers.phy import PhyRecording, read, sampling_rate

KNOWN = np.array([f"image{i}" for i in range(5)])
RATE = 30_000.0
STARTS = 1.0 + 0.7 * np.arange(15)
SHOWN = [f"image{i % 5}" for i in range(15)]
RNG = np.random.default_rng(0)
SAMPLES = np.sort(RNG.integers(0, 13 * 30_000, 900)).astype(np.uint64)
# Templates 0 to 4; a curator merged 1 and 3 into 5, and called 2 noise.
TEMPLATES = RNG.integers(0, 5, 900).astype(np.int32)
CLUSTERS = np.where(np.isin(TEMPLATES, [1, 3]), 5, TEMPLATES).astype(np.int32)
PARAMS = """\
dat_path = r'../raw/recording.ap.bin'
n_channels_dat = 385
dtype = 'int16'
offset = 0
sample_rate = 30000.
hp_filtered = False
"""
KS_LABELS = {0: "good", 1: "good", 2: "mua", 3: "good", 4: "mua"}
GROUPS = {0: "good", 2: "noise", 4: "mua", 5: "good"}


def tsv(path: Path, header: str, rows) -> Path:
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_kilosort(folder: Path, samples=SAMPLES, templates=TEMPLATES) -> Path:
    """Write what kilosort leaves: clusters are templates, and cluster_group.tsv is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "spike_times.npy", samples[:, None])
    np.save(folder / "spike_templates.npy", templates[:, None])
    np.save(folder / "spike_clusters.npy", templates)
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        tsv(folder / name, "cluster_id\tKSLabel", KS_LABELS.items())
    tsv(folder / "cluster_ContamPct.tsv", "cluster_id\tContamPct", [(i, i / 2) for i in KS_LABELS])
    (folder / "params.py").write_text(PARAMS)
    return folder


def write_curated(folder: Path) -> Path:
    """Write what phy then leaves."""
    write_kilosort(folder)
    np.save(folder / "spike_clusters.npy", CLUSTERS)
    tsv(folder / "cluster_group.tsv", "cluster_id\tgroup", GROUPS.items())
    rows = [
        (0, 10, "good", "V1"),
        (2, 11, "noise", "V1"),
        (4, 12, "mua", "LM"),
        (5, 13, "good", "LM"),
    ]
    tsv(folder / "cluster_info.tsv", "cluster_id\tch\tgroup\tarea", rows)
    return folder


def write_trials(path: Path, starts=STARTS, shown=SHOWN, **more) -> Path:
    columns = {"stim": shown, "onset": starts} | more
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in [tuple(columns), *rows]))
    return path


def spec_of(folder, trials, **settings) -> PhyRecording:
    settings = {"stimulus": "stim", "align": "onset", "from_s": 0.05, "to_s": 0.45} | settings
    return PhyRecording(kind="phy", path=folder, stimuli="set", trials=trials, **settings)


def brute_force(cluster, start, stop, clusters=CLUSTERS) -> int:
    seconds = (SAMPLES / RATE).tolist()
    return sum(
        1 for t, c in zip(seconds, clusters, strict=True) if c == cluster and start <= t < stop
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_curated(tmp_path / "monday" / "kilosort4")


@pytest.fixture
def trials(tmp_path) -> Path:
    return write_trials(tmp_path / "trials.csv")


def test_counts_equal_a_loop_over_spikes_of_merged_clusters(folder, trials):
    recording = read(spec_of(folder, trials), KNOWN)
    assert recording.units["unit"].tolist() == ["subject1/monday/0", "subject1/monday/5"]
    assert recording.units["group"].tolist() == ["good", "good"]
    assert recording.units["ch"].tolist() == [10, 13]
    assert recording.info["response_unit"] == "spikes in 0.4 s"
    assert len(recording.responses) == 15
    for row, start in enumerate(recording.trials["start_time"]):
        assert recording.trials["stimulus_id"][row] == SHOWN[STARTS.tolist().index(start)]
        for column, cluster in enumerate([0, 5]):
            expected = brute_force(cluster, start + 0.05, start + 0.45)
            assert recording.responses[row, column] == expected
    assert recording.responses.sum() > 100


def test_counts_in_bins_equal_numpy_histogram(folder, trials):
    recording = read(spec_of(folder, trials, from_s=-0.1, to_s=0.3, bin_s=0.1), KNOWN)
    np.testing.assert_allclose(recording.info["times_s"], [-0.05, 0.05, 0.15, 0.25], atol=1e-15)
    for row, start in enumerate(recording.trials["start_time"]):
        for column, cluster in enumerate([0, 5]):
            seconds = SAMPLES[cluster == CLUSTERS] / RATE
            counts, _ = np.histogram(seconds, start + np.linspace(-0.1, 0.3, 5))
            np.testing.assert_array_equal(recording.responses[row, column], counts)


def test_groups_are_of_phy_and_merged_clusters_have_no_unit(folder, trials, caplog):
    every = read(spec_of(folder, trials, groups="all"), KNOWN)
    numbers = [name.rsplit("/", 1)[1] for name in every.units["unit"]]
    assert numbers == ["0", "2", "4", "5"], "1 and 3 are in cluster_KSLabel.tsv, without spikes"
    assert every.units["group"].tolist() == ["good", "noise", "mua", "good"]
    assert every.units["KSLabel"].tolist() == ["good", "mua", "mua", ""]
    both = read(spec_of(folder, trials, groups=["good", "mua"]), KNOWN)
    np.testing.assert_array_equal(both.responses, every.responses[:, [0, 2, 3]])
    where = read(spec_of(folder, trials, groups="all", where={"ch": [11, 12]}), KNOWN)
    np.testing.assert_array_equal(where.responses, every.responses[:, [1, 2]])
    assert "no cluster was labelled" not in caplog.text
    with pytest.raises(RepbiasError, match=r"no unit where .*'best'.*; group is good, mua, noise"):
        read(spec_of(folder, trials, groups=["best"]), KNOWN)


def test_clusters_that_nobody_labelled_are_not_good(folder, trials, caplog):
    tsv(folder / "cluster_group.tsv", "cluster_id\tgroup", [(5, "good")])
    (folder / "cluster_info.tsv").unlink()
    recording = read(spec_of(folder, trials), KNOWN)
    assert recording.units["unit"].tolist() == ["subject1/monday/5"]
    assert "3 of 4 clusters have no label in phy" in caplog.text


def test_a_folder_that_was_never_curated_has_kilosort_s_labels(tmp_path, trials, caplog):
    folder = write_kilosort(tmp_path / "tuesday")
    recording = read(spec_of(folder, trials), KNOWN)
    assert recording.units["unit"].tolist() == [f"subject1/tuesday/{i}" for i in (0, 1, 3)]
    assert recording.units["ContamPct"].tolist() == [0, 0.5, 1.5]
    assert "no cluster was labelled in phy: labels are kilosort's" in caplog.text
    (folder / "spike_clusters.npy").unlink()
    again = read(spec_of(folder, trials), KNOWN)
    np.testing.assert_array_equal(again.responses, recording.responses)
    assert "never opened in phy, and kilosort's templates are taken for units" in caplog.text
    start = recording.trials["start_time"][3]
    expected = brute_force(3, start + 0.05, start + 0.45, TEMPLATES)
    assert again.responses[3, 2] == expected


def test_the_sampling_rate_is_read_as_text(folder, trials, tmp_path):
    for line, rate in [
        ("sample_rate = 30000", 30_000),
        ("sample_rate=2.5e4  # Hz", 25_000),
        ("sample_rate = 30000.\n", 30_000),
        ("sample_rate = 3 * 10000", None),
        ("sample_rate = __import__('os').system('true')", None),
        ("sample_rate = 30000.\nsample_rate = 20000.", None),
        ("sample_rate = 0", None),
    ]:
        (folder / "params.py").write_text(f"n_channels_dat = 385\n{line}\n")
        assert sampling_rate(folder) == rate
    ran = tmp_path / "ran"
    (folder / "params.py").write_text(f"open({str(ran)!r}, 'w')\nsample_rate = 30000.\n")
    expected = read(spec_of(folder, trials), KNOWN)
    assert not ran.exists()
    (folder / "params.py").unlink()
    with pytest.raises(RepbiasError, match=r"no params\.py with a line .*; set sampling_rate"):
        read(spec_of(folder, trials), KNOWN)
    given = read(spec_of(folder, trials, sampling_rate=30_000), KNOWN)
    np.testing.assert_array_equal(given.responses, expected.responses)


def test_trials_on_another_clock_are_shifted_or_refused(folder, trials, tmp_path):
    expected = read(spec_of(folder, trials), KNOWN)
    late = write_trials(tmp_path / "late.csv", STARTS + 50)
    recording = read(spec_of(folder, late, offset_s=-50), KNOWN)
    np.testing.assert_array_equal(recording.responses, expected.responses)
    with pytest.raises(
        RepbiasError, match=r"15 of 15 trials are not within the recording, .* 12.97"
    ):
        read(spec_of(folder, late), KNOWN)
    samples = write_trials(tmp_path / "samples.csv", STARTS * RATE)
    with pytest.raises(RepbiasError, match="expected seconds on the clock of the recording"):
        read(spec_of(folder, samples), KNOWN)


def test_trials_outside_of_the_recording_have_no_responses(folder, tmp_path, caplog):
    starts = np.array([-0.2, *STARTS[1:-1], 12.9])
    trials = write_trials(tmp_path / "t.csv", starts)
    recording = read(spec_of(folder, trials), KNOWN)
    assert sorted(recording.trials["start_time"]) == pytest.approx(starts[1:-1])
    assert "2 of 15 trials are not within the recording, which goes from 0 to" in caplog.text
    longer = read(spec_of(folder, trials, duration_s=60), KNOWN)
    assert sorted(longer.trials["start_time"]) == pytest.approx(starts[1:])


def test_regions_come_from_a_column_a_table_or_the_entry(folder, trials, tmp_path):
    def regions(**settings):
        return read(spec_of(folder, trials, **settings), KNOWN).units["region"].tolist()

    assert regions(region="V1") == ["V1", "V1"]
    assert regions(region_column="area") == ["V1", "LM"]
    of_channels = tsv(tmp_path / "channels.tsv", "ch\tregion", [(10, "CA1"), (13, "DG")])
    assert regions(regions=of_channels) == ["CA1", "DG"]
    of_clusters = tsv(tmp_path / "clusters.tsv", "cluster_id\tregion", [(5, "CA3")])
    assert regions(regions=of_clusters, region="?") == ["?", "CA3"]
    with pytest.raises(RepbiasError, match=r"region_column: no column 'are'.*did you mean 'area'"):
        regions(region_column="are")
    with pytest.raises(RepbiasError, match="expected a column 'cluster_id', or 'ch'"):
        regions(regions=tsv(tmp_path / "x.tsv", "depth\tregion", [(5, "CA3")]))


def test_a_table_of_regions_has_rows_of_each_session(folder, trials, tmp_path):
    """Clusters of every session are numbered from 0."""
    second = write_kilosort(tmp_path / "tuesday" / "phy")
    rows = [("monday", 0, "V1"), ("monday", 5, "V1"), ("tuesday", 0, "LM"), ("tuesday", 1, "LM")]
    rows += [("tuesday", 3, "LM")]
    settings = {"more_files": [second], "subject": "mouse1"}
    regions = tsv(tmp_path / "r.tsv", "session\tcluster_id\tregion", rows)
    recording = read(spec_of(folder, [trials, trials], regions=regions, **settings), KNOWN)
    assert recording.units["region"].tolist() == ["V1"] * 2 + ["LM"] * 3
    alone = read(spec_of(folder, trials, regions=regions, subject="mouse1"), KNOWN)
    assert alone.units["region"].tolist() == ["V1"] * 2
    tsv(regions, "session\tcluster_id\tregion", rows[:2])
    with pytest.raises(RepbiasError, match=r"no row of session 'tuesday', which .* has 'monday'"):
        read(spec_of(folder, [trials, trials], regions=regions, **settings), KNOWN)
    tsv(regions, "session\tcluster_id\tregion", [("Mo", *row[1:]) for row in rows[:2]])
    renamed = read(spec_of(folder, trials, regions=regions), KNOWN)
    assert renamed.units["region"].tolist() == ["V1"] * 2, "of one session, it need not be named"


def test_a_cluster_in_two_regions_is_refused(folder, trials, tmp_path):
    rows = [(0, "V1"), (5, "V1"), (0, "LM")]
    regions = tsv(tmp_path / "r.tsv", "cluster_id\tregion", rows)
    with pytest.raises(RepbiasError, match=r"r\.tsv: lines 2 and 4 give cluster_id 0 two regions"):
        read(spec_of(folder, trials, regions=regions), KNOWN)
    tsv(regions, "cluster_id\tregion", [*rows[:2], rows[0]])
    assert read(spec_of(folder, trials, regions=regions), KNOWN).units["region"][0] == "V1"


@pytest.mark.parametrize("key", ["cluster_id", "ch"])
def test_numbers_of_clusters_match_as_numbers(key, folder, trials, tmp_path):
    """As pandas writes them where a cell of the column is missing."""
    first, second = {"cluster_id": (0, 5), "ch": (10, 13)}[key]
    rows = [(f"{first}.0", "V1"), (f"{second}.0", "LM")]
    regions = tsv(tmp_path / "r.tsv", f"{key}\tregion", rows)
    found = read(spec_of(folder, trials, regions=regions), KNOWN)
    assert found.units["region"].tolist() == ["V1", "LM"]


def test_clusters_without_a_row_of_regions_are_told_of(folder, trials, tmp_path, caplog):
    regions = tsv(tmp_path / "r.tsv", "cluster_id\tregion", [(5, "V1"), (2, "n/a")])
    found = read(spec_of(folder, trials, regions=regions), KNOWN)
    assert found.units["region"].tolist() == ["", "V1"]
    assert "r.tsv: 1 of 2 clusters have no region: 0" in caplog.text
    tsv(regions, "cluster_id\tregion", [("a", "V1"), (2, "V1")])
    with pytest.raises(RepbiasError, match=r"no row has the cluster_id of .* 0, 5, found 'a', '2'"):
        read(spec_of(folder, trials, regions=regions), KNOWN)


def test_sessions_are_joined(folder, trials, tmp_path):
    second = write_kilosort(tmp_path / "tuesday" / "phy", SAMPLES[:700], TEMPLATES[:700])
    settings = {"more_files": [second], "subject": "mouse1", "sampling_rate": [RATE, RATE]}
    both = write_trials(
        tmp_path / "both.csv",
        [*STARTS, *STARTS[:12]],
        [*SHOWN, *SHOWN[:12]],
        session=["monday"] * 15 + ["tuesday"] * 12,
    )
    recording = read(spec_of(folder, both, **settings), KNOWN)
    assert recording.responses.shape == (27, 2 + 3)
    here = recording.trials["session"] == "monday"
    np.testing.assert_array_equal(
        recording.responses[here, :2], read(spec_of(folder, trials), KNOWN).responses
    )
    assert np.isnan(recording.responses[here, 2:]).all()
    spec = spec_of(folder, both, **settings)
    names = ["spike_times.npy", "spike_clusters.npy", "params.py", "cluster_info.tsv"]
    assert {str(folder / name) for name in names} <= set(spec.input_files())
    assert {str(second / "spike_times.npy"), str(both)} <= set(spec.input_files())
    assert all(Path(file).is_file() for file in spec.input_files())


def test_subjects_are_held_in_blocks_of_their_own_trials(folder, trials, tmp_path):
    second = write_kilosort(tmp_path / "tuesday" / "phy")
    settings = {"more_files": [second], "subject": ["mouse1", "mouse2"]}
    recording = read(spec_of(folder, [trials, trials], **settings), KNOWN)
    assert isinstance(recording.responses, Blocks)
    assert recording.responses.shape == (30, 2 + 3)
    alone = [
        read(spec_of(folder, trials), KNOWN),
        read(spec_of(second, trials), KNOWN),
    ]
    for block, of_subject in zip(recording.responses.blocks, alone, strict=True):
        np.testing.assert_array_equal(block.values, of_subject.responses)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("spike_times.npy", None, "expected a folder of kilosort or phy with spike_times.npy"),
        ("spike_times.npy", SAMPLES / RATE, "expected whole numbers .samples.*are these seconds"),
        ("spike_times.npy", SAMPLES[:-1], "has 900 spikes, but spike_times.npy has 899"),
        ("spike_times.npy", SAMPLES[:0], "expected whole numbers .samples., found none"),
        ("spike_clusters.npy", np.full(900, np.nan), "expected whole numbers .clusters"),
        ("spike_clusters.npy", np.array(["a"] * 900), "expected whole numbers .clusters"),
    ],
)
def test_folders_that_are_not_as_kilosort_writes_them_are_refused(
    name, content, message, folder, trials
):
    (folder / name).unlink()
    if content is not None:
        np.save(folder / name, content)
    with pytest.raises(RepbiasError, match=message):
        read(spec_of(folder, trials), KNOWN)


def test_a_folder_without_labels_is_read_only_whole(folder, trials):
    for table in folder.glob("cluster_*.tsv"):
        table.unlink()
    with pytest.raises(RepbiasError, match=r"has no labels of clusters .*; set 'groups: all'"):
        read(spec_of(folder, trials), KNOWN)
    assert read(spec_of(folder, trials, groups="all"), KNOWN).responses.shape == (15, 4)


def test_lists_have_one_value_per_folder(folder, trials):
    with pytest.raises(ValidationError, match="sampling_rate has 2 values for 1 files"):
        spec_of(folder, trials, sampling_rate=[RATE, RATE])
    with pytest.raises(ValidationError, match="trials"):
        PhyRecording(kind="phy", path=folder, stimuli="s", stimulus="stim", from_s=0, to_s=1)


def test_trials_that_were_aborted_are_left_out(folder, tmp_path):
    """Their times may be missing, or beyond the recording, where those of most are."""
    completed = [int(i < 6) for i in range(15)]
    starts = ["" if i == 6 else start + 1000 * (i > 6) for i, start in enumerate(STARTS)]
    shown = [*SHOWN[:14], ""]  # the last row is no trial
    whole = write_trials(tmp_path / "whole.csv", starts, shown, completed=completed)
    found = read(spec_of(folder, whole, trials_where={"completed": 1}), KNOWN)
    part = write_trials(tmp_path / "part.csv", STARTS[:6], SHOWN[:6], completed=completed[:6])
    expected = read(spec_of(folder, part), KNOWN)
    np.testing.assert_array_equal(found.responses, expected.responses)
    assert found.trials.keys() == expected.trials.keys()
    assert found.info == expected.info | {"trials_left_out": 8}


def test_a_session_that_is_left_out_needs_no_trials(folder, tmp_path):
    for session in ("tuesday", "wednesday"):
        write_curated(tmp_path / session / "kilosort4")
    rows = {"session": ["monday"] * 15 + ["wednesday"] * 15, "subject": "m"}
    rows["subject"] = ["m"] * 30
    trials = write_trials(tmp_path / "t.csv", [*STARTS, *STARTS], [*SHOWN, *SHOWN], **rows)
    more = {"more_files": [str(tmp_path / "*/kilosort4")], "subject": "m"}
    with pytest.raises(RepbiasError, match=r"no trial of session 'tuesday'.*\(leave_out\)"):
        read(spec_of(folder, trials, **more), KNOWN)
    spec = spec_of(folder, trials, **more, leave_out=[str(tmp_path / "tuesday/*")])
    assert set(read(spec, KNOWN).trials["session"]) == {"monday", "wednesday"}
    assert spec.left_out() == [tmp_path / "tuesday/kilosort4"]
    assert not any("tuesday" in file for file in spec.input_files())
    for left_out, message in (
        (str(tmp_path / "*/kilosort4"), "names 'path'; set 'path' to another file"),
        (str(tmp_path / "friday*"), "names none of more_files; .*allowed: .*tuesday/kilosort4"),
        ({"session": "tuesday"}, "expected paths of more_files, or patterns of them"),
    ):
        with pytest.raises(ValidationError, match=f"leave_out: .*{message}"):
            spec_of(folder, trials, **more, leave_out=[left_out])


def test_a_session_without_a_selected_trial_is_left_out(folder, tmp_path, caplog):
    write_curated(tmp_path / "tuesday" / "kilosort4")
    rows = {"session": ["monday"] * 15 + ["tuesday"] * 15, "ok": [1] * 15 + [0] * 15}
    rows["subject"] = ["m"] * 30
    trials = write_trials(tmp_path / "t.csv", [*STARTS, *STARTS], [*SHOWN, *SHOWN], **rows)
    settings = {"more_files": [tmp_path / "tuesday/kilosort4"], "subject": "m"}
    found = read(spec_of(folder, trials, **settings, trials_where={"ok": 1}), KNOWN)
    assert set(found.trials["session"]) == {"monday"}
    assert "no trial where {'ok': 1.0}; ok is 0; the file is left out" in caplog.text
    with pytest.raises(RepbiasError, match=r"trials_where: no trial where .*2.0}; ok is 1"):
        read(spec_of(folder, trials, **settings, trials_where={"ok": 2}), KNOWN)
