"""A new study is valid once what it marks is filled in."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import repbias
from repbias.commands.description import unfilled
from repbias.commands.main import main
from repbias.pipeline.checks import load_study


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Images of 30 stimuli and an array of responses, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(30):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / "images" / f"im{i:02d}.png")
    np.savez("r.npz", spikes=np.random.default_rng(0).normal(size=(30, 4, 6)))
    return tmp_path


def content_of(folder):
    return yaml.safe_load((folder / "study.yaml").read_text())


def test_with_images_alone_the_study_is_valid_at_once(data, monkeypatch):
    assert main(["init", "my study", "--images", "images"]) == 0
    monkeypatch.chdir("my study")
    content = content_of(Path())
    assert content["study"] == "my_study"
    assert list(unfilled(content)) == []
    study = load_study(content)
    assert study.images["shown"].path == Path("../images")
    assert study.recordings == {}


def test_with_a_recording_its_axes_are_all_there_is_to_say(data, monkeypatch, capsys):
    assert main(["init", "brain", "--recording", "r.npz", "--images", "images"]) == 0
    monkeypatch.chdir("brain")
    text = Path("study.yaml").read_text()
    marked = {"recordings.r.axes", "recordings.r.stimulus_ids"}
    assert set(unfilled(yaml.safe_load(text))) == marked
    assert main(["check", "study.yaml"]) == 1
    assert "recordings.r.axes: still to fill in" in capsys.readouterr().out
    text = text.replace("[FILL_IN, FILL_IN, FILL_IN]", "[stimulus, repeat, unit]")
    Path("study.yaml").write_text(text.replace("FILL_IN", "sorted"))
    assert main(["check", "study.yaml"]) == 0
    assert "30 of 30" in capsys.readouterr().out


def test_a_table_of_stimuli_takes_the_place_of_images(data, monkeypatch, capsys):
    ids = [f"im{i:02d}" for i in range(30)]
    rows = [f"{name},{i % 3},{i % 7}" for i, name in enumerate(ids)]
    Path("stimuli.csv").write_text("\n".join(["stimulus_id,size,hue", *rows]))
    assert main(["init", "brain", "--recording", "r.npz", "--images", "stimuli.csv"]) == 0
    monkeypatch.chdir("brain")
    text = Path("study.yaml").read_text()
    assert yaml.safe_load(text)["images"] == {"shown": {"table": "../stimuli.csv"}}
    marked = {"networks.known.spaces.first", "recordings.r.axes", "recordings.r.stimulus_ids"}
    assert set(unfilled(yaml.safe_load(text))) == marked
    text = text.replace("[FILL_IN, FILL_IN, FILL_IN]", "[stimulus, repeat, unit]")
    text = text.replace("first: [FILL_IN]", "first: [size]").replace("FILL_IN", "sorted")
    Path("study.yaml").write_text(text)
    assert main(["check", "study.yaml"]) == 0
    assert "30 of 30" in capsys.readouterr().out


def test_without_anything_it_says_where_to_put_it(data):
    assert main(["init", "brain"]) == 0
    content = content_of(Path("brain"))
    assert list(unfilled(content)) == ["images.shown.path"]
    assert content["recordings"] == {}
    assert "repbias inspect" in Path("brain/study.yaml").read_text()


def test_data_elsewhere_get_their_whole_path(data, tmp_path):
    assert main(["init", "deep/brain", "--images", "images"]) == 0
    path = Path(content_of(Path("deep/brain"))["images"]["shown"]["path"])
    assert path == (tmp_path / "images").resolve()


def test_the_readme_says_how_to_run_the_study(data):
    main(["init", "brain", "--images", "images"])
    assert "`repbias run study.yaml`" in Path("brain/README.md").read_text()
    assert Path("brain/.gitignore").read_text().splitlines() == ["results/", ".snakemake/"]


@pytest.mark.parametrize("template", ["bits", "images", "tokens", "torch"])
def test_studies_of_networks_can_be_run_at_once(template, data, monkeypatch, capsys):
    assert main(["init", f"my {template}", "--template", template]) == 0
    assert "repbias run study.yaml" in capsys.readouterr().out
    monkeypatch.chdir(f"my {template}")
    monkeypatch.syspath_prepend(".")
    assert "FILL_IN" not in Path("README.md").read_text()
    study = load_study(content_of(Path()))
    assert study.study == f"my_{template}"
    assert study.claims and set(study.experiments)
    assert Path("my_models.py").exists() == (template == "torch")


def test_a_table_of_stimuli_and_responses_is_to_be_filled_in(data):
    assert main(["init", "brain", "--template", "table"]) == 0
    text = Path("brain/study.yaml").read_text()
    assert len(list(unfilled(content_of(Path("brain"))))) == 4
    (data / "t.csv").write_text("stimulus_id,size,hue\na,1,2\n")
    (data / "r.csv").write_text("stimulus_id,unit,response\na,u,1\n")
    for value in (data / "t.csv", "size", "hue", data / "r.csv"):
        text = text.replace("FILL_IN", str(value), 1)
    study = load_study(yaml.safe_load(text))
    assert study.networks["known"].spaces == {"first": ["size"], "second": ["hue"]}


def test_a_template_of_networks_takes_no_recording(data, capsys):
    assert main(["init", "x", "--template", "bits", "--recording", "r.npz"]) == 1
    assert "--template bits: takes no --recording" in capsys.readouterr().err
    assert not Path("x").exists()


@pytest.mark.parametrize("file", ["study.yaml", "README.md", ".gitignore"])
def test_nothing_is_overwritten(file, data, capsys):
    Path("brain").mkdir()
    (Path("brain") / file).write_text("mine")
    assert main(["init", "brain"]) == 1
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert [p.name for p in Path("brain").iterdir()] == [file]
    assert (Path("brain") / file).read_text() == "mine"


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["r.npz"], "is a file"),
        (["brain", "--recording", "none.npy"], "no such file"),
        (["brain", "--recording", "images"], "no recording"),
        (["brain", "--images", "r.npz"], "no images"),
    ],
)
def test_bad_input_gives_one_line_and_writes_nothing(arguments, expected, data, capsys):
    assert main(["init", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err
    assert not Path("brain").exists()


def test_the_command_says_what_is_next(data, capsys):
    main(["init", "my study"])
    assert "cd 'my study'" in capsys.readouterr().out


# The command as a process


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "repbias", *arguments], capture_output=True, text=True
    )


def test_exit_codes_and_no_traceback(data):
    done = run("inspect", "r.npz")
    assert (done.returncode, done.stderr) == (0, "")
    done = run("inspect", "none.npy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: none.npy: no such file or folder\n"


@pytest.mark.parametrize("arguments", [["inspekt"], ["check", "--fast"], ["init"], ["inspect"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "usage: repbias" in capsys.readouterr().err


def test_version_and_help_import_no_heavy_library(data):
    assert run("--version").stdout == f"repbias {repbias.__version__}\n"
    code = """
import sys
from repbias.commands.main import main
try:
    main(["--help"])
except SystemExit as done:
    assert done.code == 0
print({"numpy", "torch", "pandas", "pydantic", "h5py"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr


def test_the_commands_do_not_import_torch(data):
    code = "import sys; from repbias.commands.main import main; "
    code += "main(['check', 'x/study.yaml', '--images'])"
    main(["init", "x", "--images", str(data / "images")])
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n"), done.stdout + done.stderr


@pytest.mark.parametrize("command", ["inspect", "check", "init"])
def test_every_help_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert f"example: repbias {command} " in out
    assert len(out.split("\n\n")[1]) > 150
