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
def tiny(tmp_path_factory, tiny_config):
    """The tiny study, run once with two cores."""
    workspace = Workspace(tmp_path_factory.mktemp("tiny"), tiny_config)
    workspace.snakemake("--cores", "2")
    return workspace
