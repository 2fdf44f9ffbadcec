"""A fingerprint changes with the code that a script runs, and with nothing else."""

import ast
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from repbias.bias.spec import Bias
from repbias.config.analyses import ANALYSES, BETWEEN_NETWORKS, OF_NETWORKS, OF_RECORDINGS
from repbias.pipeline import fingerprint
from repbias.pipeline.fingerprint import (
    code_fingerprint,
    code_fingerprints,
    imported_modules,
    module_of,
)
from repbias.tables import TABLES

pytestmark = pytest.mark.slow

#: Function to the analysis of a recording that it does.
OF_FUNCTION = {entry.function: name for name, entry in OF_RECORDINGS.items()}
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
NAMES = sorted(path.name for path in SCRIPTS.glob("*.py"))


def forget():
    """Empty the cache of modules: a run of Snakemake sees one state of the code."""
    fingerprint._module.cache_clear()


def forget_parsed():
    """Empty the cache of what was parsed, which is known by its content."""
    fingerprint._parsed_before.cache_clear()


def all_fingerprints():
    """By script, and by analysis of a recording."""
    forget()
    return {OF_FUNCTION.get(name, name): p for name, p in code_fingerprints(SCRIPTS).items()}


@pytest.fixture(scope="module")
def original():
    """Fingerprints of the package as it is."""
    return all_fingerprints()


@pytest.fixture
def package(original, tmp_path, monkeypatch):
    """A copy of the package, to be edited."""
    copy = tmp_path / "repbias"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(fingerprint.PACKAGE, copy, ignore=ignored)
    monkeypatch.setattr(fingerprint, "PACKAGE", copy)
    forget()
    yield copy
    forget()


@pytest.fixture
def changed(original, package):
    """Function that names the scripts and analyses whose fingerprints an edit has changed."""

    def changed():
        return {name for name, value in all_fingerprints().items() if value != original[name]}

    return changed


def replace(file, old, new):
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new, 1))


def reformat(file):
    """Write the code anew from its tree: other spaces and line ends, and no comments."""
    file.write_text("# a comment\n\n" + ast.unparse(ast.parse(file.read_text())) + "\n\n\n")


def test_scripts_are_found():
    assert {"train.py", "rdms.py", "report_page.py"} <= set(NAMES)


def test_a_fingerprint_is_twelve_digits_that_do_not_depend_on_the_place(original, changed):
    assert all(re.fullmatch("[0-9a-f]{12}", value) for value in original.values())
    assert changed() == set()


def test_comments_docstrings_and_formatting_do_not_count(package, changed):
    stimuli = package / "io/stimuli.py"
    replace(stimuli, '"""The file of generated', '"""A file of generated')
    replace(stimuli, '"""Write the stimuli into a group of a file."""', '"""Write it."""')
    replace(stimuli, '"""Generated stimuli.', '"""Stimuli.')
    for file in package.rglob("*.py"):
        reformat(file)
    assert changed() == set()


def test_descriptions_of_settings_do_not_count(package, changed):
    """A better explanation of a setting must not train every network again."""
    spec = package / "networks" / "spec.py"
    replace(spec, '"""The optimiser."""', '"""The optimiser; Adam is the usual one."""')
    assert changed() == set()


def test_a_new_docstring_does_not_count(package, changed):
    head = "def _loader(path: Path) -> Callable[[Path, str | None], np.ndarray]:\n"
    replace(package / "io/arrays.py", head, head + '    """Choose the loader."""\n')
    assert changed() == set()


#: What networks depend on, by architecture.
TRAINING = {
    f"training {kind}"
    for kind in ("mlp", "cnn", "resnet", "vit", "transformer", "torch", "pretrained")
}
#: What training sets depend on, by family.
FAMILIES = {f"stimuli {kind}" for kind in ("bits", "navon", "tokens", "trifeature")}
#: Analyses of recordings that read activations of networks, not their RDMs.
ON_ACTIVATIONS = {"rsa_fitted", "encoding", "variance_partition"}
#: Scripts that simulate brains at the noise of a recording.
OF_RECOVERY = {"recover_models.py", "recover_shares.py"}
#: Scripts that decide claims, or show the rows of tables that decided them.
OF_CLAIMS = {"claims.py", "report_page.py"}
#: Scripts that read or write a kind of file; every analysis of a recording opens activations.
OF_ACTIVATIONS = {
    *OF_RECORDINGS,
    "analyse_recording.py",
    "activations.py",
    "model_activations.py",
    "read_model.py",
    "shown_activations.py",
    "rdms.py",
    "network_pictures.py",
    "similarity.py",
    "identification.py",
    "simulate_recording.py",
    *OF_RECOVERY,
}
#: What reads or writes tables: not the recipe of networks.
WITH_TABLES = {*OF_RECORDINGS, *NAMES} - {
    "image_statistics.py",
    "activations.py",
    "generate_stimuli.py",
    "model_activations.py",
    "read_model.py",
    "read_recording.py",
    "resolved_config.py",
    "shown_activations.py",
    "simulate_recording.py",
}
#: File, an edit of its code, and the scripts and analyses of recordings that run it (by hand, from
#: the import statements).
EDITS = {
    "base/spec.py": ("n=1)", "n=2)", {*NAMES, *OF_RECORDINGS, *TRAINING, *FAMILIES}),
    "bias/steering.py": (None, "", {"analyse_networks.py", *OF_CLAIMS}),
    "bias/components.py": (None, "", {"analyse_networks.py", *OF_CLAIMS}),
    "bias/decomposition.py": (None, "", {"analyse_networks.py"}),
    "bias/behaviour.py": (None, "", {"analyse_networks.py"}),
    "bias/variance.py": (None, "", {"analyse_networks.py", "encryption.py"}),
    "bias/probes.py": (None, "", {"analyse_networks.py", "encryption.py"}),
    "bias/units.py": (None, "", {"analyse_networks.py", *OF_CLAIMS}),
    "bias/encryption.py": (None, "", {"encryption.py"}),
    "bias/spec.py": ("1.5, 2.0]", "1.5, 3.0]", set()),
    "claims/use.py": ("NEGLIGIBLE = 0.05", "NEGLIGIBLE = 0.06", OF_CLAIMS),
    "auditing/identification.py": (None, "", {"identification.py"}),
    # Rules give what these say to scripts as parameters.
    "config/analyses.py": (None, "", set()),
    "config/study.py": (None, "", set()),
    "pipeline/plan.py": (None, "", set()),
    "pipeline/jobs.py": ("logging.INFO", "logging.DEBUG", {*NAMES, *OF_RECORDINGS}),
    "encoding/ridge.py": (None, "", {"encoding", "variance_partition", *OF_RECOVERY}),
    "encoding/regions.py": (None, "", {"derived_tables.py"}),
    "rsa/quality.py": (None, "", {"quality"}),
    "rsa/model_tests.py": (None, "", {"rsa_tests"}),
    "report/page.py": ("import base64", "import base64, binascii", {"report_page.py"}),
    "stimuli/bits.py": (
        None,
        "",
        {"generate_stimuli.py", "train.py", "encryption.py", "stimuli bits"},
    ),
    "stimuli/images.py": (
        '".png", ".jpg"',
        '".jpg", ".png"',
        {
            "model_activations.py",
            "read_model.py",
            "shown_activations.py",
            "activations.py",
            "read_recording.py",
            "recording_pictures.py",
            "network_pictures.py",
            "attention.py",
            "stimuli_figure.py",
            "image_statistics.py",
            "audit_recording.py",
            "audit_networks.py",
            "audit_pairs.py",
            "recover_shares.py",
        },
    ),
    "networks/own.py": (
        None,
        "",
        {
            "train.py",
            "training torch",
            "analyse_networks.py",
            "activations.py",
            "shown_activations.py",
            "attention.py",
        },
    ),
    "networks/training.py": (None, "", {"train.py", *TRAINING}),
    "tables/networks.py": (None, "", WITH_TABLES),
    "recordings/readers/rdms.py": ("1e-4", "1e-5", {"read_recording.py", "read_model.py"}),
    # Models of PyTorch do not run again.
    "networks/model_arrays.py": (None, "", {"read_model.py"}),
    "networks/kinds.py": (None, "", {"read_model.py"}),
    # One kind of file.
    "io/networks.py": (
        None,
        "",
        {
            "train.py",
            *TRAINING,
            "analyse_networks.py",
            "activations.py",
            "shown_activations.py",
            "attention.py",
        },
    ),
    "io/stimuli.py": (
        None,
        "",
        {
            "generate_stimuli.py",
            "train.py",
            *FAMILIES,
            "analyse_networks.py",
            "activations.py",
            "encryption.py",
            "network_pictures.py",
            "attention.py",
            "stimuli_figure.py",
        },
    ),
    "io/activations.py": (None, "", OF_ACTIVATIONS),
}


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_counts_for_what_imports_it_only(file, package, changed):
    old, new, users = EDITS[file]
    if old:
        replace(package / file, old, new)
    else:
        with (package / file).open("a") as end:
            end.write("\nANOTHER = 1\n")
    assert changed() == users


def test_a_new_module_counts_once_it_is_imported(package, original):
    analysis = "quality"
    file = package / "rsa/quality.py"

    def value():
        return all_fingerprints()[analysis]

    new = package / "bias" / "new.py"
    new.write_text("X = 1\n")
    assert value() == original[analysis]
    start = "from __future__ import annotations\n"
    replace(file, start, start + "from repbias.bias import new\n")
    imported = value()
    new.write_text("X = 2\n")
    assert len({original[analysis], imported, value()}) == 3


def test_a_module_of_the_package_counts_itself(package, tmp_path):
    """Snakemake watches scripts, but not the function that a script is told to run."""
    alone = package / "alone.py"
    values = []
    for text in ("X = 1\n", "X = 2\n", "# Words.\nX = 2\n"):
        alone.write_text(text)
        forget()
        values.append(code_fingerprint(alone))
    assert values[0] != values[1]
    assert values[1] == values[2]
    # A script with the same content, elsewhere, does not.
    elsewhere = tmp_path / "alone.py"
    elsewhere.write_text("X = 1\n")
    before = code_fingerprint(elsewhere)
    elsewhere.write_text("X = 2\n")
    forget()
    assert code_fingerprint(elsewhere) == before


def test_a_module_in_a_circle_counts_itself_once(package):
    one = package / "one.py"
    one.write_text("import repbias.two\n")
    (package / "two.py").write_text("import repbias.one\n")
    forget()
    assert imported_modules(one) >= {one, package / "two.py"}
    assert code_fingerprint(one) == code_fingerprint(package / "two.py")


def test_the_names_of_files_count(package, tmp_path):
    values = set()
    for name in ("one", "two"):
        (package / f"{name}.py").write_text("X = 1\n")
        (tmp_path / "script.py").write_text(f"from repbias import {name}\n")
        forget()
        values.add(code_fingerprint(tmp_path / "script.py"))
    assert len(values) == 2


def test_other_packages_and_the_script_itself_do_not_count(package, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import numpy\nimport repbiased\nfrom repbias.stimuli import features\n")
    names = {path.relative_to(package).as_posix() for path in imported_modules(script)}
    assert names == {"__init__.py", "stimuli/__init__.py", "stimuli/features.py"}
    before = code_fingerprint(script)
    script.write_text("import repbias.stimuli.features as f\nprint(f)\n")
    forget()
    assert code_fingerprint(script) == before


def test_imports_inside_functions_and_in_circles_are_followed(package, tmp_path):
    (package / "one.py").write_text("def f():\n    from repbias import two\n    return two\n")
    (package / "two.py").write_text("import repbias.one\n")
    script = tmp_path / "script.py"
    script.write_text("with open('x'):\n    from repbias.one import f\n")
    names = {path.name for path in imported_modules(script)}
    assert names == {"__init__.py", "one.py", "two.py"}


def test_imports_for_type_checkers_alone_do_not_count(package, tmp_path):
    """Nothing of them is run."""
    for name in ("one", "two", "three"):
        (package / f"{name}.py").write_text("X = 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from repbias.one import X\n"
        "else:\n    import repbias.two\nif not TYPE_CHECKING:\n    import repbias.three\n"
    )
    assert {path.name for path in imported_modules(script)} == {
        *("__init__.py", "two.py", "three.py")
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_script_counts_the_files_that_it_names(name):
    counted = {
        path.relative_to(fingerprint.PACKAGE).as_posix()
        for path in imported_modules(SCRIPTS / name)
    }
    assert {"pipeline/jobs.py", "base/spec.py", "__init__.py"} <= counted
    for node in ast.walk(ast.parse((SCRIPTS / name).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("repbias."):
            file = node.module.removeprefix("repbias.").replace(".", "/")
            assert {f"{file}.py", f"{file}/__init__.py"} & counted


#: Scripts that run in a second, with what they need.
LIGHT = {
    "generate_stimuli.py": {
        "conditions": {
            "tasks/both": {
                "features": {"easy": {"function": "bit"}},
                "n_train": 8,
                "n_validation": 8,
                "n_test": 8,
            }
        }
    },
    "resolved_config.py": {"study": '{"study": "test"}'},
}


@pytest.mark.parametrize("name", LIGHT)
def test_everything_that_a_script_loads_is_counted(name, tmp_path):
    code = """
import json, runpy, sys
from types import SimpleNamespace
from snakemake.iocontainers import Params

job = SimpleNamespace(
    params=Params(fromdict=json.loads(sys.argv[2])), input=[], output=["out/result"],
    log=["results/test/logs/log.txt"], threads=1, rule="rule", wildcards={}, config={},
)
runpy.run_path(sys.argv[1], {"snakemake": job})
files = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "repbias"]
print(json.dumps(files))
"""
    arguments = [sys.executable, "-c", code, SCRIPTS / name, json.dumps(LIGHT[name])]
    source = os.pathsep.join([str(fingerprint.PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        arguments,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": source},
    )
    assert (tmp_path / "out" / "result").stat().st_size > 0
    loaded = {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}
    assert fingerprint.PACKAGE / "io/files.py" in loaded
    # How results were made is recorded beside them; it does not change them.
    loaded -= {fingerprint.PACKAGE / "io/provenance.py"}
    assert loaded - imported_modules(SCRIPTS / name) == set()


# Analyses


def test_analyses_are_tables():
    assert set(ANALYSES) <= TABLES.keys()
    assert len(set(ANALYSES)) == len(ANALYSES) == len(OF_NETWORKS) + len(BETWEEN_NETWORKS)


@pytest.mark.parametrize("analysis", OF_NETWORKS)
def test_the_function_of_an_analysis_takes_a_snapshot_and_its_settings(analysis):
    module, name = OF_NETWORKS[analysis].function.split(":")
    function = getattr(importlib.import_module(module), name)
    parameters = list(inspect.signature(function).parameters)
    assert parameters == ["snapshot", *OF_NETWORKS[analysis].settings]
    assert set(OF_NETWORKS[analysis].settings) <= Bias.model_fields.keys()


@pytest.mark.parametrize("analysis", [*OF_NETWORKS, *OF_RECORDINGS])
def test_the_file_of_an_analysis_is_counted(analysis):
    function = (OF_NETWORKS | OF_RECORDINGS)[analysis].function
    file = module_of(function)
    assert Path(importlib.import_module(function.split(":")[0]).__file__) == file


def test_every_setting_of_bias_is_an_analysis_of_its_own():
    assert sorted(s for entry in OF_NETWORKS.values() for s in entry.settings) == sorted(
        Bias.model_fields
    )


# What was parsed before


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The file of what was parsed, in a folder of its own."""
    file = tmp_path / "__pycache__/fingerprint.parsed"
    monkeypatch.setattr(fingerprint, "_memory", lambda: file)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    forget_parsed()
    yield file
    forget_parsed()


def test_what_was_parsed_before_is_not_parsed_again(memory, original, monkeypatch):
    first = all_fingerprints()
    assert first == original
    assert memory.exists()
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]
    forget_parsed()
    monkeypatch.setattr(fingerprint, "_parse", None)
    assert all_fingerprints() == first


def test_an_edit_is_seen_with_what_was_parsed_before(memory, package, changed):
    all_fingerprints()
    forget_parsed()
    replace(package / "claims/decide.py", "def ", "def _new():\n    pass\n\n\ndef ")
    assert "claims.py" in changed()


@pytest.mark.parametrize("content", [None, b"{", zlib.compress(b"[1]")])
def test_a_memory_that_is_damaged_or_cannot_be_written_is_no_reason_to_fail(
    memory, original, content
):
    if content is None:
        memory.parent.write_text("no folder")
    else:
        memory.parent.mkdir()
        memory.write_bytes(content)
    assert all_fingerprints() == original


def test_where_no_bytecode_is_to_be_written_nothing_is(memory, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    all_fingerprints()
    assert not memory.parent.exists()
