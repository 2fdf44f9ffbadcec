"""Analyses of a recording in a job."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from repbias.config.analyses import OF_RECORDINGS
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.pipeline.recording_analyses import analyse_recording
from repbias.report.figures.pictures import draw_no_pictures
from repbias.rsa.rdms import TooFewUnits, subject_rdms
from repbias.rsa.tables import compare_recordings
from repbias.tables import as_table

IDS = np.array([f"s{i:02}" for i in range(12)])


@pytest.fixture
def one_unit():
    """A recording of one unit, 12 stimuli shown four times each."""
    rng = np.random.default_rng(0)
    return Recording(
        stimuli={"stimulus_id": IDS},
        responses=rng.normal(size=(48, 1)) + np.repeat(rng.normal(size=12), 4)[:, None],
        trials={"stimulus_id": np.repeat(IDS, 4), "repeat": np.tile(np.arange(4), 12)},
        units={"unit": np.array(["u"]), "subject": np.array(["m"]), "region": np.array([""])},
    )


def test_where_there_is_no_rdm_its_tables_are_empty_and_the_log_says_why(one_unit, caplog):
    entries = {
        name: OF_RECORDINGS[name]._asdict() | {"section": OF_RECORDINGS[name].settings}
        for name in ("quality", "rsa_recordings", "rsa_tests", "reliability")
    }
    settings = {"settings": {"bootstraps": 100}}
    analyses = {name: entry | settings for name, entry in entries.items()}
    with caplog.at_level(logging.WARNING, "repbias"):
        tables = dict(analyse_recording(analyses, "v1", one_unit, "shown", {}))
    for name in ("rsa_recordings", "rsa_tests"):
        pd.testing.assert_frame_equal(tables[name], as_table(name))
        assert f"no {name}: recording 'v1', m: 1 units" in caplog.text
    assert tables["reliability"]["unit"].tolist() == ["u"]
    assert tables["quality"].set_index("measure").loc["units", "value"] == 1


def test_recordings_without_rdms_are_not_compared(one_unit, caplog):
    many = replace(
        one_unit,
        responses=np.random.default_rng(1).normal(size=(48, 5)),
        units={name: np.repeat(values, 5) for name, values in one_unit.units.items()},
    )
    recordings = {"one": one_unit, "a": many, "b": many}
    table = compare_recordings(recordings, Geometry(bootstraps=100))
    assert set(zip(table["recording_a"], table["recording_b"], strict=True)) == {("a", "b")}
    assert "not compared: recording 'one', m: 1 units" in caplog.text


def test_the_places_of_pictures_say_why_there_are_none(one_unit, tmp_path):
    with pytest.raises(TooFewUnits) as caught:
        subject_rdms(one_unit, Geometry(), "v1")
    paths = tmp_path / "rdms.svg", tmp_path / "mds.svg"
    draw_no_pictures(str(caught.value), *paths)
    for path in paths:
        assert "No RDM: recording 'v1'" in path.read_text()
        assert pd.read_csv(path.with_suffix(".csv"))["why"].tolist() == [str(caught.value)]
