"""Files are read back as written, appear whole or not at all, and are checked on reading."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from repbias.base.spec import RepbiasError
from repbias.io.activations import Activations, write_activations
from repbias.io.files import StoreError, atomic
from repbias.io.hdf5 import FORMAT_VERSION, create, open_checked
from repbias.io.networks import Networks
from repbias.io.recordings import Recording
from repbias.io.stimuli import Stimuli
from repbias.rsa.rdms import create_rdms
from repbias.tables import TABLES, write_table

RNG = np.random.default_rng(0)


def text(*values):
    return np.array(values)


def names(folder):
    return [path.name for path in folder.iterdir()]


def stimuli():
    return Stimuli(
        inputs=RNG.normal(size=(6, 5)).astype(np.float32),
        ids=text("train/0", "train/1", "train/2", "validation/0", "test/0", "tést/ä"),
        split=text("train", "train", "train", "validation", "test", "test"),
        features=["zebra", "ape", "mouse"],
        labels=RNG.integers(0, 2, (6, 3), dtype=np.uint8),
        components=["zebra.xor12", "ape.bit1"],
        component_labels=RNG.integers(0, 2, (6, 2), dtype=np.uint8),
        supervised=RNG.integers(0, 2, (6, 3)).astype(bool),
        audit={"train": {"balance": 0.1 + 0.2, "pairs": [["zebra", "ape"]]}, "test": None},
    )


def networks():
    nan = RNG.normal(size=(4, 3))
    nan[2:, 1] = np.nan
    return Networks(
        seeds=np.array([0, 1, 7]),
        features=["b", "a"],
        targets=["b"],
        included=np.array([True, False, True]),
        test_accuracy=RNG.uniform(size=(3, 2)),
        mastery_step=np.array([[25, -1], [-1, -1], [50, 75]]),
        curves={"step": np.arange(4) * 25, "loss": nan, "accuracy": RNG.uniform(size=(4, 3, 2))},
        checkpoint_names=text("initial", "crossing", "mastered", "final"),
        checkpoint_steps=np.array([[0, 0, 0], [9, 9, 9], [25, -1, 75], [100, 100, 100]]),
        weights={
            "hidden1.weight": RNG.normal(size=(4, 3, 5, 2)).astype(np.float32),
            "hidden1.bias": RNG.normal(size=(4, 3, 2)).astype(np.float32),
        },
    )


def responses(*time):
    values = RNG.normal(size=(4, 3, *time))
    values[1, 2] = np.nan
    return Recording(
        stimuli={"stimulus_id": text("b", "a"), "category": text("face", "")},
        responses=values,
        trials={"stimulus_id": text("a", "a", "b", "b"), "repeat": np.array([0, 1, 0, 1])},
        units={
            "unit": text("s/1", "s/2", "s/3"),
            "subject": text("s", "s", "s"),
            "region": text("V4", "", "IT"),
            "depth_um": np.array([100.5, np.nan, 3.0]),
        },
        info={"modality": "spikes", "times_s": [0.1, 0.2], "source": "Müller", "n": 3},
    )


def rdms():
    return Recording(
        stimuli={"stimulus_id": text("b", "a", "c")},
        rdms=RNG.uniform(size=(2, 3)),
        rdm_info={"subject": text("one", "two"), "session": np.array([0, 0])},
        info={"distance": "correlation"},
    )


def assert_same(found, written):
    """Check equality to the last bit, with types of arrays."""
    if dataclasses.is_dataclass(written):
        assert type(found) is type(written)
        found, written = vars(found), vars(written)
    if isinstance(written, dict):
        assert found.keys() == written.keys()
        for key in written:
            assert_same(found[key], written[key])
    elif isinstance(written, np.ndarray):
        assert found.dtype.kind == written.dtype.kind
        if written.dtype.kind != "U":
            assert found.dtype == written.dtype
        np.testing.assert_array_equal(found, written)
    else:
        assert found == written


FILES = {
    "stimuli": stimuli(),
    "networks": networks(),
    "responses": responses(),
    "responses over time": responses(2),
    "rdms": rdms(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_back_exactly(name, tmp_path):
    written = FILES[name]
    written.write(tmp_path / "new folder" / "x.h5")
    assert_same(type(written).read(tmp_path / "new folder" / "x.h5"), written)
    assert names(tmp_path / "new folder") == ["x.h5"]


def test_writing_again_gives_the_new_content(tmp_path):
    networks().write(tmp_path / "x.h5")
    rdms().write(tmp_path / "x.h5")
    assert Recording.read(tmp_path / "x.h5").responses is None


def test_parts_of_stimuli_belong_together():
    whole = stimuli()
    inputs, labels, ids = whole.part("test")
    assert list(ids) == ["test/0", "tést/ä"]
    np.testing.assert_array_equal(inputs, whole.inputs[4:])
    np.testing.assert_array_equal(labels, whole.labels[4:])


def test_named_labels_are_those_of_features_and_components_in_one_split():
    whole = stimuli()
    named = whole.named_labels("test")
    assert list(named) == ["zebra", "ape", "mouse", "zebra.xor12", "ape.bit1"]
    np.testing.assert_array_equal(named["ape"], whole.labels[4:, 1])
    np.testing.assert_array_equal(named["ape.bit1"], whole.component_labels[4:, 1])
    assert {len(values) for values in named.values()} == {2}


def test_features_without_components_are_read_back_exactly(tmp_path):
    none = dataclasses.replace(
        stimuli(), components=[], component_labels=np.zeros((6, 0), np.uint8)
    )
    none.write(tmp_path / "x.h5")
    assert_same(Stimuli.read(tmp_path / "x.h5"), none)


def test_snapshots_are_the_named_checkpoints():
    assert networks().snapshots() == [0, 2, 3]


def test_networks_that_have_a_checkpoint_are_present():
    assert networks().present(2) == [0, 2], "seed 1 never mastered its targets"
    assert networks().present(3) == [0, 1, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["hidden1.weight", "hidden1.bias"])
def test_networks_that_diverged_are_not_present(place, value):
    """A single weight is enough, and only where it is."""
    diverged = networks()
    diverged.weights[place][3, 1].flat[1] = value
    assert diverged.present(3) == [0, 2]
    assert diverged.present(0) == [0, 1, 2]


TABLE = {
    "network": ["seed0", "seed1"],
    "seed": [0, 1],
    "snapshot": ["initial", "final"],
    "step": [0, 100],
    "included": [True, False],
}
# Not in alphabetical order.
LAYERS = {"hidden2": RNG.normal(size=(2, 3, 4)), "hidden10": RNG.normal(size=(2, 3, 1))}
LARGER_THAN_A_CHUNK = {"pixels": RNG.normal(size=(2, 3, 2**17))}


def write_layers(path, labels=None, layers=LAYERS):
    ids = text("s2", "s10", "s1")
    sizes = {name: values.shape[2] for name, values in layers.items()}
    with write_activations(path, ids, TABLE, sizes, labels) as datasets:
        for name, values in layers.items():
            datasets[name][0, :2] = values[0, :2]
            datasets[name][0, 2:] = values[0, 2:]
            datasets[name][1] = values[1]
    return Activations.open(path)


@pytest.mark.parametrize("layers", [LAYERS, LARGER_THAN_A_CHUNK])
def test_activations_are_read_back_exactly(layers, tmp_path):
    labels = {"b": np.array([0, 1, 1], np.uint8), "a": np.array([1, 1, 0], np.uint8)}
    found = write_layers(tmp_path / "x.h5", labels, layers)
    assert len(found) == 2
    assert found.layers == list(layers)
    assert list(found.stimulus_ids) == ["s2", "s10", "s1"]
    assert {name: list(column) for name, column in found.networks.items()} == TABLE
    assert_same(found.labels, labels)
    for layer, values in layers.items():
        for row in range(2):
            assert_same(found.read(layer, row), values[row].astype(np.float32))


def test_labels_may_be_unknown(tmp_path):
    assert write_layers(tmp_path / "x.h5").labels == {}


def test_an_unknown_layer_names_file_and_layer(tmp_path):
    activations = write_layers(tmp_path / "x.h5")
    with pytest.raises(StoreError, match=r"x\.h5.*hidden3"):
        activations.read("hidden3", 0)


def test_activations_that_stop_half_way_leave_no_file(tmp_path):
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        write_activations(tmp_path / "x.h5", text("s"), TABLE, {"a": 2}) as datasets,
    ):
        datasets["a"][0] = 1
        raise RuntimeError("out of memory")
    assert names(tmp_path) == []


# Atomic writing


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    with atomic(tmp_path / "x.csv") as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".csv"
        assert not (tmp_path / "x.csv").exists()
        temporary.write_text("whole")
        written = temporary.stat().st_ino
    assert (tmp_path / "x.csv").read_text() == "whole"
    assert (tmp_path / "x.csv").stat().st_ino == written  # renamed, not copied
    assert names(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(error, tmp_path):
    (tmp_path / "x.csv").write_text("good")
    with pytest.raises(error), atomic(tmp_path / "x.csv") as temporary:
        temporary.write_text("half")
        raise error
    assert (tmp_path / "x.csv").read_text() == "good"
    assert names(tmp_path) == ["x.csv"]


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path):
    (tmp_path / "x.csv").write_text("good")
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "x.csv"):
        pass
    assert (tmp_path / "x.csv").read_text() == "good"


def test_a_failing_hdf5_file_keeps_the_old_one(tmp_path):
    stimuli().write(tmp_path / "x.h5")
    before = (tmp_path / "x.h5").read_bytes()
    with pytest.raises(ValueError, match="stop"), create(tmp_path / "x.h5", "stimuli") as file:
        file["inputs"] = np.zeros(3)
        raise ValueError("stop")
    assert (tmp_path / "x.h5").read_bytes() == before
    assert names(tmp_path) == ["x.h5"]


def test_jobs_that_write_side_by_side_do_not_touch_each_other(tmp_path):
    """Conditions are called gain=1 and gain=1.5: one name is the beginning of the other."""
    files = ["gain=1.5.h5", "gain=1.55.h5", "gain=1.h5", "gain=1.csv", "[a].h5", "a.h5"]
    writers = [atomic(tmp_path / name) for name in files]
    for name, writer in zip(files, writers, strict=True):
        writer.__enter__().write_text(name)
    for writer in writers:
        writer.__exit__(None, None, None)
    assert {name: (tmp_path / name).read_text() for name in files} == {n: n for n in files}


def test_a_killed_job_leaves_no_file_and_the_next_run_cleans_up(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from repbias.io.hdf5 import create\n"
        "with create(sys.argv[1], 'stimuli') as file:\n"
        "    file['inputs'] = [1, 2, 3]\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "dropout=0.25.h5"
    done = subprocess.run([sys.executable, "-c", code, path])
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len(names(tmp_path)) == 1  # the part that was written
    stimuli().write(path)
    assert names(tmp_path) == ["dropout=0.25.h5"]


# A full disk

LEARNING = [dict.fromkeys(TABLES["learning"].columns, 1)] * 400
OUTPUTS = {
    "stimuli": lambda path: stimuli().write(path),
    "networks": lambda path: networks().write(path),
    "recording": lambda path: responses().write(path),
    "activations": lambda path: write_layers(path, layers=LARGER_THAN_A_CHUNK),
    "rdms": lambda path: save_rdms(path),
    "table": lambda path: write_table(path, "learning", LEARNING),
}
PAGE = 4096


def save_rdms(path):
    with create_rdms(path, list(map(str, range(100))), "correlation") as rdms:
        for row in range(20):
            rdms.append(RNG.normal(size=(1, 4950)), {"row": row})


def fill_the_disk():
    """Write every kind of file to the folder "disk" while too few pages are free; print what is."""
    path, filler = Path("disk/x.h5"), Path("disk/filler")
    for output, write in OUTPUTS.items():
        path.unlink(missing_ok=True)
        write(path)
        needed = -(-path.stat().st_size // PAGE)
        path.write_text("good")
        for pages in sorted({0, needed // 2, needed - 1}):
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(PAGE)):
                    pass
            os.truncate(filler, filler.stat().st_size - pages * PAGE)
            try:
                write(path)
                said = None
            except RepbiasError as error:
                said = str(error)
            print(json.dumps([output, pages, said, path.read_text(), names(path.parent)]))
            filler.unlink()


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    """On a disk of its own. HDF5 writes most of a file at closing, and hides errors of that."""
    mount = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"]).returncode:
        pytest.skip("needs Linux that lets users mount a disk of their own")
    (tmp_path / "disk").mkdir()
    script = f"mount -t tmpfs -o size=8m tmpfs disk && exec {sys.executable} -c '{{}}'"
    done = subprocess.run(
        [*mount, "sh", "-c", script.format("import test_hdf5; test_hdf5.fill_the_disk()")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {output for output, *_ in lines} == OUTPUTS.keys()
    for output, pages, said, content, files in lines:
        assert said == "disk/x.h5: not written: No space left on device", (output, pages)
        assert (content, sorted(files)) == ("good", ["filler", "x.h5"]), (output, pages)


# Files that cannot be used

READERS = {
    "stimuli": (lambda path: stimuli().write(path), Stimuli.read),
    "networks": (lambda path: networks().write(path), Networks.read),
    "recording": (lambda path: responses().write(path), Recording.read),
    "activations": (write_layers, Activations.open),
}


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def stored(kind, tmp_path):
    path = tmp_path / "stored.h5"
    READERS[kind][0](path)
    return path


def refuse(kind, path, *said):
    with pytest.raises(StoreError) as caught:
        READERS[kind][1](path)
    assert [part for part in (str(path), *said) if part not in str(caught.value)] == []


def test_missing_file(kind, tmp_path):
    refuse(kind, tmp_path / "none.h5", "no such file")


def test_file_of_another_kind(kind, tmp_path):
    for other, (write, _) in READERS.items():
        if other != kind:
            write(tmp_path / f"{other}.h5")
            refuse(kind, tmp_path / f"{other}.h5", f"kind '{kind}'", f"found '{other}'")


def test_foreign_hdf5_file(kind, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["inputs"] = [1]
    refuse(kind, tmp_path / "x.h5", f"kind '{kind}'", "found None")


@pytest.mark.parametrize("version", [1, 2, 3, 99])
def test_file_of_another_version(kind, stored, version):
    with h5py.File(stored, "a") as file:
        assert file.attrs["repbias_format"] == FORMAT_VERSION == 4
        file.attrs["repbias_format"] = version
        file.attrs["repbias_version"] = "0.0.9"
    refuse(
        kind,
        stored,
        f"format version {version}, written by repbias 0.0.9",
        "reads version 4",
        "Delete the file and run the study again",
    )


@pytest.mark.parametrize("share", [0, 1e-4, 0.1, 0.5, 0.9])
def test_truncated_file(kind, stored, share):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(share * len(content))])
    refuse(kind, stored, "not a complete HDF5 file")


def test_file_without_its_last_byte(kind, stored):
    stored.write_bytes(stored.read_bytes()[:-1])
    refuse(kind, stored, "not a complete HDF5 file")


def test_file_that_is_not_hdf5(kind, tmp_path):
    (tmp_path / "x.h5").write_text("<html>404</html>" * 1000)
    refuse(kind, tmp_path / "x.h5", "not a complete HDF5 file")


def test_folder_instead_of_a_file(kind, tmp_path):
    refuse(kind, tmp_path)


def test_file_with_a_part_missing(kind, stored):
    with h5py.File(stored) as file:
        parts = [*file, *(f"@{name}" for name in file.attrs if "repbias" not in name)]
    for part in parts:
        if part in ("responses", "layers"):  # RDMs may stand alone; layers are read later
            continue
        READERS[kind][0](stored)
        with h5py.File(stored, "a") as file:
            if part.startswith("@"):
                del file.attrs[part[1:]]
            else:
                del file[part]
        refuse(kind, stored, "incomplete or damaged")


def test_group_where_a_dataset_belongs(kind, stored):
    place = {"stimuli": "inputs", "networks": "weights/hidden1.bias"}.get(kind, "stimuli/id")
    if kind == "recording":
        place = "trials/repeat"
    with h5py.File(stored, "a") as file:
        del file[place]
        file.create_group(place)
    refuse(kind, stored, "incomplete or damaged")


DAMAGE = {
    "signature": (b"\x89HDF", b"\x88HDF"),
    "kind": (b"repbias_kind", b"repbias_kine"),
    "header": (b"OHDR", b"OHDS"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_file_with_wrong_bits(kind, stored, damage):
    right, wrong = DAMAGE[damage]
    content = stored.read_bytes()
    assert right in content
    stored.write_bytes(content.replace(right, wrong))
    refuse(kind, stored)


def test_description_with_wrong_bits(stored, kind):
    """Another letter in a name is valid JSON."""
    content = stored.read_bytes()
    right, wrong = {
        "stimuli": (b'"mouse"', b'"house"'),
        "networks": (b'["b"]', b'["a"]'),
        "recording": (b'"modality"', b'"mobality"'),
        "activations": (b'"hidden10"', b'"hidden11"'),
    }[kind]
    assert content.count(right) == 1
    stored.write_bytes(content.replace(right, wrong))
    refuse(kind, stored, "incomplete or damaged")


def test_numbers_with_wrong_bits(tmp_path):
    """A number of a file that is otherwise whole: a checksum alone can tell."""
    written = networks()
    written.write(tmp_path / "x.h5")
    content = (tmp_path / "x.h5").read_bytes()
    values = written.weights["hidden1.weight"].tobytes()
    assert content.count(values) == 1
    (tmp_path / "x.h5").write_bytes(content.replace(values, values[:-1] + b"\0"))
    refuse("networks", tmp_path / "x.h5", "incomplete or damaged")


def everything(kind, path):
    """All that is in a file, layers too."""
    found = vars(READERS[kind][1](path))
    if kind == "activations":
        opened = Activations.open(path)
        found |= {n: [opened.read(n, i) for i in range(len(opened))] for n in opened.layers}
    return {name: value for name, value in found.items() if name != "path"}


def test_no_wrong_bit_changes_what_is_read(kind, stored, tmp_path):
    """In some 100 places, all over the file; what is not used may be anything."""
    content, right = stored.read_bytes(), everything(kind, stored)
    # Text of free length, in whose heap a wrong bit can keep HDF5 reading for ever.
    assert b"GCOL" not in content
    refused = 0
    for place in range(0, len(content), len(content) // 100):
        wrong = bytearray(content)
        wrong[place] ^= 1 << (place % 8)
        (tmp_path / "x.h5").write_bytes(wrong)
        try:
            found = everything(kind, tmp_path / "x.h5")
        except StoreError as error:
            assert str(tmp_path / "x.h5") in str(error)
            refused += 1
        else:
            for name, value in right.items():
                np.testing.assert_equal(found[name], value, err_msg=f"byte {place}, {name}")
    assert refused > 10


def test_files_of_the_same_content_are_the_same_to_the_byte(kind, tmp_path):
    written = {"stimuli": stimuli(), "networks": networks(), "recording": responses()}.get(kind)
    for name in ("a.h5", "b.h5"):
        written.write(tmp_path / name) if written else write_layers(tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_files_without_checksums_are_read(tmp_path):
    """Arrays in one piece, text of any length: as h5py writes them unless told otherwise."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs.update({"repbias_kind": "recording", "repbias_format": FORMAT_VERSION})
        file.attrs["info"] = '{"n": 3}'
        file["rdms"] = [[1.0, 2.0, 3.0]]
        file["stimuli/stimulus_id"] = ["b", "ä", "c"]
        file["rdm_info/subject"] = ["one"]
    found = Recording.read(tmp_path / "x.h5")
    assert list(found.stimulus_ids) == ["b", "ä", "c"]
    assert found.info == {"n": 3} and found.rdms.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("error", [KeyError, ValueError, OSError, TypeError, RuntimeError])
def test_an_error_of_the_one_who_reads_is_not_the_file_s(stored, kind, error):
    with pytest.raises(error) as caught, open_checked(stored, kind):
        raise error("mine")
    assert type(caught.value) is error


def test_long_texts_survive(tmp_path):
    written = dataclasses.replace(
        rdms(),
        stimuli={"stimulus_id": text("b", "ä" * 100_000, "")},
        info={"source": "x" * 200_000},  # HDF5 keeps attributes of 64 KiB and more elsewhere
    )
    written.write(tmp_path / "x.h5")
    assert_same(Recording.read(tmp_path / "x.h5"), written)
