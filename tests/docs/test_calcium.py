"""The tutorial of calcium imaging, from a folder of suite2p."""

import pytest
from cells import assert_reads_the_folder

pytestmark = pytest.mark.slow


def test_the_tutorial_of_calcium_imaging_runs(tmp_path):
    inspected = "plane0: 25 ROIs, of which 20 cells"
    assert_reads_the_folder("calcium.md", tmp_path, "imaging", inspected, n_units=20)
