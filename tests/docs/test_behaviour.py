"""The tutorial of judgements."""

import pandas as pd
import pytest
from pages import follow

pytestmark = pytest.mark.slow


def test_the_tutorial_of_judgements_runs_and_finds_what_people_judged_by(tmp_path):
    """Fur divides the animals in all judgements; pixels, which size and fur make, come second."""
    said = follow("behaviour.md", tmp_path)
    assert "made with Meadows" in said["repbias inspect Meadows_animals_v_v1_tree.json"]
    assert "0 problems" in said["repbias check study.yaml"]
    assert (tmp_path / "results/judgements/report.html").stat().st_size > 10_000
    found = pd.read_csv(tmp_path / "results/judgements/tables/rsa_recordings.csv")
    assert set(found["recording"]) == {"arrangements", "ratings", "triplets"}
    for recording, rows in found.groupby("recording"):
        best = rows.loc[rows["similarity"].idxmax()]
        assert (best["condition"], best["layer"]) == ("known", "furry"), recording
