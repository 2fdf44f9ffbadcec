"""The tutorial of spikes, from a folder of kilosort and phy."""

import pytest
from cells import assert_reads_the_folder

pytestmark = pytest.mark.slow


def test_the_tutorial_of_spikes_runs(tmp_path):
    inspected = "spikes of 30 clusters (spike_clusters.npy)"
    assert_reads_the_folder("spikes.md", tmp_path, "gratings", inspected, n_units=29)
