"""``repbias show``: what a result is, and how it was made."""

import json
import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from repbias.commands.main import main
from repbias.commands.show import KINDS
from repbias.io.activations import write_activations
from repbias.io.hdf5 import write_members
from repbias.io.networks import Networks
from repbias.io.provenance import digest
from repbias.io.recordings import Recording
from repbias.io.stimuli import Stimuli
from repbias.tables import TABLES, write_table


@pytest.fixture
def show(capsys):
    """Function that runs the command; gives what is said, with single spaces."""

    def run(path, code=0):
        assert main(["show", str(path)]) == code
        said = capsys.readouterr()
        return [" ".join(line.split()) for line in (said.out + said.err).splitlines()]

    return run


def networks(path):
    Networks(
        seeds=np.arange(3),
        features=["easy"],
        targets=["easy"],
        included=np.ones(3, bool),
        test_accuracy=np.ones((3, 1)),
        mastery_step=np.ones((3, 1), int),
        curves={"step": np.arange(4), "loss": np.ones((4, 3)), "accuracy": np.ones((4, 3, 1))},
        checkpoint_names=np.array(["initial", "final"]),
        checkpoint_steps=np.ones((2, 3), int),
        weights={"w1": np.ones((2, 3, 5, 6), np.float32), "b1": np.ones((2, 3, 1, 6))},
    ).write(path)


def stimuli(path):
    bits = np.zeros((4, 1), np.uint8)
    text = np.array(["a", "b", "c", "d"])
    Stimuli(bits.astype("f4"), text, text, ["easy"], bits, ["x"], bits, bits.astype(bool)).write(
        path
    )


def recording(path):
    Recording(
        stimuli={"stimulus_id": np.array(["a", "b"])},
        responses=np.ones((4, 3)),
        trials={"stimulus_id": np.array(["a", "b", "a", "b"])},
        units={"unit": np.array(["u", "v", "w"])},
    ).write(path)


def activations(path):
    columns = {
        "network": ["seed0"],
        "seed": [0],
        "snapshot": ["final"],
        "step": [1],
        "included": [True],
    }
    with write_activations(path, np.array(["a", "b"]), columns, {"hidden1": 7}) as layers:
        layers["hidden1"][0] = 1


FILES = {
    networks: ["weights/w1 2 checkpoint x 3 network x 5 in x 6 out, float32", '@features ["easy"]'],
    stimuli: ["labels 4 stimulus x 1 feature, uint8", "id 4 stimulus, text"],
    recording: ["responses 4 trial x 3 unit, float64", "units/unit 3 unit, text"],
    activations: [
        "layers/hidden1 1 network x 2 stimulus x 7 unit, float32",
        '@layers ["hidden1"]',
    ],
}


@pytest.mark.parametrize("kind", FILES)
def test_hdf5_files_are_described_with_their_axes(kind, tmp_path, show):
    kind(tmp_path / "x.h5")
    said = show(tmp_path / "x.h5")
    assert said[1] == KINDS[kind.__name__][0]
    assert [line for line in FILES[kind] if line not in said] == []
    arrays = [line for line in said[2 : said.index("")] if not line.startswith("@")]
    axes = r"\S+ \d+ [a-z]+( x (\d+ [a-z]+|1))*, \w+"
    assert [line for line in arrays if not re.fullmatch(axes, line)] == []


@pytest.mark.parametrize("kind", [networks, stimuli])
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["base"], "of 1 condition: base"),
        (["a", "b"], "of 2 conditions: a, b; those of a:"),
        (["a", "b", "c", "d", "e"], "of 5 conditions: a, b, c, d, ...; those of a:"),
    ],
)
def test_a_file_of_several_conditions_is_described_by_the_first(
    kind, conditions, expected, tmp_path, show
):
    kind(tmp_path / "one.h5")
    one = {networks: Networks, stimuli: Stimuli}[kind].read(tmp_path / "one.h5")
    write_members(tmp_path / "x.h5", kind.__name__, [(name, one) for name in conditions])
    said, alone = show(tmp_path / "x.h5"), show(tmp_path / "one.h5")
    assert said[1] == f"{KINDS[kind.__name__][0]} {expected}"
    assert sorted(said[2:]) == sorted(alone[2:])


def test_rdms_of_rsatoolbox(tmp_path, show):
    from rsatoolbox.rdm import RDMs

    RDMs(np.ones((2, 3)), "correlation").save(str(tmp_path / "x.h5"), file_type="hdf5")
    said = show(tmp_path / "x.h5")
    assert said[1] == "RDMs in rsatoolbox's format"
    assert "dissimilarities 2 rdm x 3 pair, float64" in said


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_table_is_explained(name, tmp_path, show):
    write_table(tmp_path / "x.csv", name, pd.DataFrame(columns=TABLES[name].columns))
    said = show(tmp_path / "x.csv")
    assert said[1].startswith(f"table {name}, 0 rows; a row is ")
    found = {
        line.split(" empty ")[0]: line.split(" empty ")[1] for line in said[2 : said.index("")]
    }
    assert tuple(found) == TABLES[name].columns


def test_what_is_in_a_column(tmp_path, show):
    columns = {"experiment": ["e", "f"], "agreement": [0.25, np.nan], "included": [True, False]}
    rows = pd.DataFrame({name: [1, 1] for name in TABLES["behaviour"].columns} | columns)
    write_table(tmp_path / "x.csv", "behaviour", rows)
    said = "\n".join(show(tmp_path / "x.csv"))
    assert "\nexperiment e, f The experiment; for models of your own," in said
    assert "\nagreement 0.25 to 0.25, 1 empty Share of test stimuli on which output equals" in said
    assert "\nincluded true in 1 Whether the network met" in said


def test_figures_and_pages(tmp_path, show):
    (tmp_path / "learning.svg").write_text("<svg/>")
    assert show(tmp_path / "learning.svg")[1].startswith("figure learning: ")
    (tmp_path / "rdms_brain.svg").write_text("<svg/>")
    assert "figure rdms_brain" in show(tmp_path / "rdms_brain.svg")[1]
    (tmp_path / "rdms_.svg").write_text("<svg/>")
    assert show(tmp_path / "rdms_.svg")[1] == "a figure of another version of repbias"
    (tmp_path / "learning.csv").write_text("group,x\na,1\nb,2\n")
    assert show(tmp_path / "learning.csv")[1:4] == [
        "numbers of a figure, or another table; 2 rows",
        "group a, b",
        "x 1 to 2",
    ]
    (tmp_path / "report.html").write_text("<html><title>My study</title></html>")
    assert show(tmp_path / "report.html")[1] == "a report: My study"
    (tmp_path / "config.yaml").write_text("study: x\nexperiments: {a: {}, b: {}}\n")
    assert show(tmp_path / "config.yaml")[1:4] == ["a configuration", "study x", "experiments a, b"]


@pytest.fixture
def made(tmp_path):
    """A table with its record."""
    table = tmp_path / "results/x/tables/behaviour.csv"
    write_table(table, "behaviour", pd.DataFrame(columns=TABLES["behaviour"].columns))
    record = {
        "rule": "gather",
        "wildcards": {"study": "x", "table": "behaviour"},
        "outputs": {"tables/behaviour.csv": digest(table)},
        "inputs": {"tables/parts/a.csv": None, "data/raw.npy": "0123456789abcdef"},
        "config": "f00",
        "code": "c0de",
        "commit": "1234-dirty",
        "settings": {"stimuli": {"seed": 7, "bits": 4}, "hidden": [32, 16]},
        "versions": {"numpy": "2.0", "repbias": "0.0.9"},
        "host": {"device": "cpu", "threads": 1},
        "finished": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
    }
    path = tmp_path / "results/x/provenance/gather/behaviour.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    return table


def test_how_it_was_made(made, show):
    said = show(made)
    assert said[said.index("") + 1 :] == [
        "made by gather x behaviour",
        "finished 2026-01-01T00:00:00+00:00, after 1.5 s",
        "content as it was written",
        "configuration f00",
        "code c0de",
        "commit 1234-dirty",
        "versions numpy 2.0, repbias 0.0.9",
        "host device cpu, threads 1",
        "seeds stimuli.seed 7",
        "inputs tables/parts/a.csv, data/raw.npy (0123456789ab)",
        "",
        "settings",
        "stimuli.seed 7",
        "stimuli.bits 4",
        "hidden [32, 16]",
    ]


def test_a_file_that_was_edited_is_called_so(made, show):
    with made.open("a") as file:
        file.write("e,c,n,0,final,1,True,o,f,0.5\n")
    assert "content CHANGED since it was written" in show(made)


def test_a_file_without_a_record(made, show, tmp_path):
    shutil.copy(made, tmp_path / "copy.csv")
    shutil.copy(made, made.parent / "another.csv")
    for path in (tmp_path / "copy.csv", made.parent / "another.csv"):
        assert show(path)[-1].startswith("how it was made is not known")


def test_a_folder_is_summed_up(made, show):
    said = show(made.parents[1])
    assert said[1:] == [
        "outputs 1: 1 as they were written",
        "last 2026-01-01T00:00:00+00:00",
        "numpy 2.0",
        "repbias 0.0.9",
        "commit 1234-dirty",
        "device cpu",
        "threads 1",
    ]


def test_a_folder_names_tables_of_an_earlier_configuration(made, show):
    record = json.loads(next((made.parents[1] / "provenance").rglob("*.json")).read_text())
    record |= {"outputs": {"config.yaml": "0"}, "settings": {"tables": ["learning"]}}
    (made.parents[1] / "provenance/resolved_config.json").write_text(json.dumps(record))
    assert "left over behaviour: tables of an earlier configuration" in show(made.parents[1])


def test_a_folder_names_what_was_changed_in_it(made, show):
    made.write_text("cut sho")
    said = show(made.parents[1])
    assert said[1] == "outputs 1: 0 as they were written, 1 CHANGED: tables/behaviour.csv"
    made.unlink()
    assert show(made.parents[1])[1] == "outputs 1: 0 as they were written, 1 gone"


def test_a_table_of_an_older_version_is_refused(made, show):
    made.write_text(made.read_text().replace("included", "kept"))
    (said,) = [line for line in show(made, code=1) if line.startswith("error: ")]
    assert "older version of repbias (written by 0.0.9, commit 1234-dirty): 'kept' is now" in said


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def old(path):
    recording(path)
    with h5py.File(path, "a") as file:
        file.attrs["repbias_format"] = 1
        file.attrs["repbias_version"] = "0.0.9"


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.h5", lambda path: None, "no such file"),
        ("x.npy", lambda path: path.write_text(""), "no result of a study; expected .h5, .csv"),
        ("x.h5", lambda path: path.write_text("x"), "cannot be read as a result of a study"),
        ("x.h5", foreign, "not a file of repbias (kind None"),
        ("x.h5", old, "format version 1, written by repbias 0.0.9; this is repbias"),
        ("x.csv", lambda path: path.write_text(""), "not a readable table"),
        ("x", lambda path: path.mkdir(), "no records in"),
    ],
)
def test_what_cannot_be_shown_is_named(tmp_path, show, name, write, message):
    path = tmp_path / name
    write(path)
    (said,) = [line for line in show(path, code=1) if line.startswith("error: ")]
    assert str(path) in said and message in said
