import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster
from runs import TABLES, Run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A real SLURM on this machine."""
    if missing := Cluster.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (Debian packages slurm-wlm and munge)")
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def run(cluster, tmp_path):
    """A folder with the study, not run yet."""
    return Run(tmp_path, cluster.environment)


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """The study, started on this machine without SLURM."""
    run = Run(tmp_path_factory.mktemp("local"))
    run.start(TABLES, "--cores", "2", profile="default")
    yield run
    run.kill()


@pytest.fixture(scope="session")
def local(started):
    """The study after a run without SLURM."""
    started.succeed()
    return started
