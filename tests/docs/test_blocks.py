"""Every block of code in README and docs is run, or checked as its language allows.

`python` is run and `yaml` is loaded, here or by a test of the page's own, which is listed below;
`sh` is parsed. `py` and `yml` stand beside what a tutorial does: they are compiled and loaded.
"""

import pydoc
import re
import shlex
import tomllib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import yaml
from left import make_results
from pages import ROOT, blocks, fences
from snakemake.cli import parse_args

matplotlib.use("agg")
from matplotlib import pyplot

from repbias.commands.main import _parser, _WrongUsage
from repbias.config.file import ConfigError
from repbias.config.study import Experiment
from repbias.io.hdf5 import create
from repbias.networks.activations import put_trained_activations
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.pipeline.checks import load_study
from repbias.stimuli.bits import Bits

PAGES = ["../README.md", *sorted(path.name for path in (ROOT / "docs").glob("*.md"))]
#: Languages of what is shown: output, messages, lists of pages, references.
SHOWN = {"text", "{toctree}", "{eval-rst}"}
CHECKED = {"python", "py", "yaml", "yml", "sh"}
NOTEBOOK = "docs/test_notebooks.py"
EXTENDING = "docs/test_extending.py"
#: Page and language to the number of blocks that a test of its own runs, and the file of the test.
ELSEWHERE = {
    ("add-a-claim.md", "python"): (2, EXTENDING),
    ("add-a-claim.md", "yaml"): (1, EXTENDING),
    ("add-a-manipulation.md", "diff"): (1, EXTENDING),
    ("add-a-manipulation.md", "python"): (1, EXTENDING),
    ("add-a-reader.md", "python"): (2, EXTENDING),
    ("add-a-stimulus-family.md", "diff"): (1, EXTENDING),
    ("add-a-stimulus-family.md", "python"): (2, EXTENDING),
    ("add-an-architecture.md", "diff"): (1, EXTENDING),
    ("add-an-architecture.md", "python"): (2, EXTENDING),
    ("behaviour.md", "python"): (3, "docs/test_behaviour.py"),
    ("behaviour.md", "yaml"): (1, "docs/test_behaviour.py"),
    ("bring-your-recording.md", "python"): (1, "docs/test_bring_your_recording.py"),
    ("bring-your-recording.md", "yaml"): (1, "docs/test_bring_your_recording.py"),
    ("calcium.md", "python"): (1, "docs/test_calcium.py"),
    ("calcium.md", "yaml"): (1, "docs/test_calcium.py"),
    ("command-line.md", "console"): (3, "commands/test_command_line_page.py"),
    ("command-line.md", "python"): (1, "commands/test_command_line_page.py"),
    ("command-line.md", "yaml"): (1, "commands/test_command_line_page.py"),
    ("fast-rsa.md", "python"): (5, "rsa/test_toolbox.py"),
    ("fmri.md", "python"): (1, "docs/test_fmri.py"),
    ("fmri.md", "yaml"): (7, "recordings/test_fmri_betas.py"),  # and the last one in test_fmri.py
    ("images.md", "python"): (1, EXTENDING),
    ("language-models.md", "python"): (2, "docs/test_language_models.py"),
    ("language-models.md", "yaml"): (1, "docs/test_language_models.py"),
    ("meeg.md", "python"): (1, "docs/test_meeg.py"),
    ("meeg.md", "yaml"): (1, "docs/test_meeg.py"),
    ("notebook.md", "{code-cell} python"): (4, NOTEBOOK),
    ("notebook-networks.md", "{code-cell} python"): (5, NOTEBOOK),
    ("notebook-rsatoolbox.md", "{code-cell} python"): (4, NOTEBOOK),
    ("questions.md", "python"): (1, "docs/test_questions.py"),
    ("questions.md", "yaml"): (1, "docs/test_questions.py"),
    ("spikes.md", "python"): (1, "docs/test_spikes.py"),
    ("spikes.md", "yaml"): (1, "docs/test_spikes.py"),
}


def pages_of(*languages):
    """Pages that have such blocks, which no test of their own runs."""
    return [
        page
        for page in PAGES
        if any(fences(page).get(each) and (page, each) not in ELSEWHERE for each in languages)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_language_that_is_checked(page):
    for language, n in fences(page).items():
        if (page, language) in ELSEWHERE:
            expected, test = ELSEWHERE[page, language]
            said = f"{test} runs {expected} of {n} blocks: let it run all, and count them above"
            assert n == expected, said
        else:
            assert language in CHECKED | SHOWN, f"no test for {language!r}"


@pytest.mark.parametrize("test", sorted({test for _, test in ELSEWHERE.values()}))
def test_tests_of_pages_name_them(test):
    text = (ROOT / "tests" / test).read_text(encoding="utf-8")
    for (page, _), (_, named) in ELSEWHERE.items():
        assert named != test or page in text or "glob" in text, page


def small_networks(folder):
    """Files of the quickstart that docs/file-formats.md reads, of other networks."""
    features = {"easy": {"function": "bit"}}
    family = Bits(features=features, n_train=32, n_validation=32, n_test=32)
    stimuli, network = family.generate(), MLP(hidden=[4])
    networks = train(stimuli, network, Training(batch_size=32, max_steps=25), [0], "cpu", family)
    for kind in ("networks", "activations"):
        path = folder / f"results/quickstart/{kind}/tasks/targets=both.h5"
        path.parent.mkdir(parents=True)
        with create(path, kind) as file:
            group = file.create_group("targets=both")
            if kind == "networks":
                networks.put(group)
            else:
                put_trained_activations(group, networks, stimuli, network)


def sweep(folder):
    """Results of the sweep that docs/notebook.md plots."""
    features = {"easy": {"function": "bit"}, "hard": {"function": "xor_of_xors"}}
    vary = re.search(r"`vary: (\{network.*\})`", (ROOT / "docs/notebook.md").read_text())
    experiment = {"stimuli": {"features": features}, "vary": yaml.safe_load(vary[1]), "seeds": 3}
    experiments = {"grid": experiment | {"analyses": ["variance_explained"]}}
    make_results(yaml.safe_dump({"study": "gain", "experiments": experiments}))


#: Page to what makes the files that its code reads.
READS = {"file-formats.md": small_networks, "notebook.md": sweep}


@pytest.mark.parametrize("page", pages_of("python"))
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pyplot, "show", lambda: None)
    READS.get(page, lambda folder: None)(tmp_path)
    variables = {}
    for code in blocks(page, "python"):
        exec(code, variables)
    assert page != "notebook.md" or variables["gap"].mean().shape == (9,)
    pyplot.close("all")


@pytest.mark.parametrize("page", pages_of("py"))
def test_python_that_is_shown_is_python(page):
    for code in blocks(page, "py"):
        compile(code, page, "exec")


def test_pickles_are_saved_as_numbers_as_the_pages_say(tmp_path, monkeypatch):
    """Of GLMsingle and of THINGS-EEG2: dictionaries, which are not read themselves."""
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0).random((3, 4))
    np.save("TYPED_FITHRF_GLMDENOISE_RR.npy", {"betasmd": numbers}, allow_pickle=True)
    np.save("preprocessed_eeg_test.npy", {"preprocessed_eeg_data": numbers}, allow_pickle=True)
    names = np.array(["cat", "dog", "ant"])
    for page in ("fmri.md", "meeg.md"):
        exec(blocks(page, "py")[0], {"np": np, "ids_of_the_images": names})
    assert np.array_equal(np.load("betas.npy"), numbers)
    with np.load("sub-01_test.npz") as saved:
        assert np.array_equal(saved["eeg"], numbers)
        assert saved["ids"].tolist() == names.tolist()


def completed(config):
    """Return a study with what a block says."""
    if "study" in config:
        return config
    if config.keys() <= Experiment.model_fields.keys():
        config = {"experiments": {"tasks": config}}
    targets = {"training.targets": {"both": ["easy", "hard"]}}
    features = {"easy": {"function": "bit"}, "hard": {"function": "parity"}}
    config = {"study": "block", "experiments": {"tasks": {"vary": targets}}} | config
    for experiment in config["experiments"].values():
        experiment.setdefault("stimuli", {"features": features})
    return config


def make_what_is_missing(problems):
    """Make empty files that a configuration names; raise if it has other problems."""
    for problem in problems:
        found = re.search(r"found '([^']+)'.*(no such file|no file|no module)", problem)
        assert found, problem
        name = found[1].partition(":")[0] + ".py" if "module" in found[2] else found[1]
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch() if Path(name).suffix else Path(name).mkdir(exist_ok=True)


@pytest.mark.parametrize("page", pages_of("yaml", "yml"))
def test_yaml_is_a_study_or_a_part_of_one(page, tmp_path, monkeypatch):
    """Settings are checked, and what one says of another; files may be empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "studies/own")
    if page == "your-network.md":  # makes files that are looked into
        exec("".join(blocks(page, "python")), {})
        Path("gratings.csv").write_text("stimulus_id,orientation,contrast\n")
    language = "yml" if (page, "yaml") in ELSEWHERE else "ya?ml"
    for text in blocks(page, language):
        config = completed(yaml.safe_load(text))
        try:
            load_study(config, page, try_networks=False)
        except ConfigError as error:
            make_what_is_missing(error.problems)
            load_study(config, page, try_networks=False)


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def check(command, page):
    """Assert that a command of a page exists, and takes these arguments."""
    given = re.sub(r"^source <\((.*)\)$", r"\1", command)
    program, *words = shlex.split(re.split(" [|>] ", given)[0], comments=True) or ["cd"]
    if program == "repbias":
        _parser().parse_args(words)
    elif program == "snakemake":
        given = parse_args(words)[1]
        for path in [*(given.configfile or []), *[given.workflow_profile or "Snakefile"]]:
            assert (ROOT / path).exists() or Path(path).name.startswith("my_"), path
    elif program == "make":
        study = [word.partition("=")[2] for word in words if word.startswith("STUDY=")]
        assert words[0] in TARGETS
        assert all((ROOT / path).is_file() for path in study)
    elif program == "python":
        made = f"# {words[0]}\n" in "".join(blocks(page, "python"))
        assert made or (ROOT / words[0]).is_file()
    elif program == "pip":
        assert words[0] == "install"
        wanted = re.search(r"\[(.*)\]", command)
        assert not wanted or EXTRAS.keys() >= set(wanted[1].split(","))
    else:
        assert program in ("cd", "export", "rsvg-convert"), f"{page}: no check of {command!r}"


@pytest.mark.parametrize("page", pages_of("sh"))
def test_commands_exist_and_take_what_they_are_given(page, capsys):
    for command in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        try:
            check(command, page)
        except SystemExit as ended:
            assert not ended.code, f"{command}: {capsys.readouterr().err}"


def test_the_page_of_functions_has_those_that_exist_and_the_one_of_questions():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    named = re.findall(r"\.\. auto(?:function|method|class):: (\S+)", page)
    assert "repbias.notebook.Results" in named
    assert all(pydoc.locate(name).__doc__ for name in named)
    (code,) = blocks("questions.md", "python")
    for module, name in re.findall(r"^from (repbias\S*) import (\w+)$", code, re.MULTILINE):
        assert f"{module}.{name}" in page


def test_checks_refuse_what_is_wrong():
    wrong = ["repbias run --quick a.yaml", "make everything", "pip install -e '.[nothing]'"]
    for command in (*wrong, "python nowhere.py", "snakemake --configfile studies/x.yaml", "ls"):
        with pytest.raises((AssertionError, SystemExit, _WrongUsage)):
            check(command, "index.md")
