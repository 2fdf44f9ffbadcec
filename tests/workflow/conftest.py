import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from workspace import Workspace


@pytest.fixture(scope="session")
def tiny_config():
    return yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())


@pytest.fixture(scope="session")
def tiny(made_once, tmp_path_factory, tiny_config):
    """The tiny study after a run with two cores; every worker of `pytest -n` has a copy of it.

    Snakemake and the scripts are processes of their own here, which import what they need.
    """

    def run(folder):
        command = Workspace(folder, tiny_config).command("--cores", "2")
        subprocess.run(command, cwd=folder, check=True)

    shared = made_once("tiny", run)
    return Workspace(shutil.copytree(shared, tmp_path_factory.mktemp("tiny") / "copy"), tiny_config)
