"""``repbias check`` counts what was put into the data."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from forked import run_module
from PIL import Image

import repbias
from repbias.auditing.tables import audit_recording
from repbias.commands.check import near_duplicates
from repbias.commands.description import unfilled
from repbias.commands.main import main
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.recordings import Recording
from repbias.networks.model_activations import put_model_activations
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import read_recording
from repbias.recordings.reliability import reliability_table, split_half_reliability
from repbias.report.figures.pictures import draw_recording_pictures
from repbias.rsa.rdms import make_rdms, read_rdms, write_layer_rdms
from repbias.rsa.tables import compare_with_recording, region_rdms
from repbias.stimuli.images import open_images
from repbias.tables import read_table, write_table

IDS = [f"im{i:02d}" for i in range(30)]
ARRAY = {
    "kind": "array",
    "path": "r.npy",
    "axes": ["stimulus", "repeat", "unit"],
    "stimuli": "shown",
    "stimulus_ids": "sorted",
    "region": "V4",
    "subject": "M1",
}


def responses(n_stimuli=30, n_repeats=4, n_units=16):
    """Signal and noise of equal variance: reliability of the average 4 / 5."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n_stimuli, 1, n_units))
    return signal + rng.normal(size=(n_stimuli, n_repeats, n_units))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder, which is the current one, with images of 30 stimuli and an array of responses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(3).integers(0, 256, (30, 3, 4, 3), dtype=np.uint8)
    for name, image in zip(IDS, pixels, strict=True):
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    np.save(tmp_path / "r.npy", responses())
    return tmp_path


@pytest.fixture
def check(folder, capsys):
    """Function that checks a study of the recordings: exit code and output."""

    def run(*options, **recordings):
        study = {
            "study": "test",
            "images": {"shown": {"path": "images"}},
            "networks": {"pixels": {"kind": "pixels"}},
            "recordings": recordings,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(study))
        code = main(["check", *options])
        out, err = capsys.readouterr()
        assert err == ""
        return code, out

    return run


def fact(out, label):
    """The fact of the first table that has it."""
    return next(
        line.split(label, 1)[1].strip()
        for line in out.splitlines()
        if line.startswith(f"  {label} ")
    )


def test_a_sound_recording(check, folder):
    code, out = check(v4=ARRAY)
    assert code == 0
    assert fact(out, "stimuli") == "30 (im00, im01, im02, im03, ...)"
    recording = out.split("recording v4 (array, r.npy)")[1]
    assert fact(recording, "stimuli") == "30 of 30"
    assert fact(recording, "trials") == "120; 4 per stimulus"
    assert fact(recording, "subjects") == "1 (M1)"
    assert fact(recording, "units") == "16 (V4 16)"
    assert fact(recording, "repeats") == "4 per stimulus and unit"
    array = np.load("r.npy")
    assert f"from {array.min():.4g} to {array.max():.4g}" in fact(recording, "responses")
    study = load_study(yaml.safe_load((folder / "config.yaml").read_text()))
    ids = np.array(open_images(study.images["shown"]).ids)
    full = split_half_reliability(read_recording(study.recordings["v4"], ids)).full
    assert fact(recording, "reliability").startswith(f"mean {full.mean():.2f} ")
    assert 0.7 < full.mean() < 0.9, "true reliability: 0.8"
    assert fact(recording, "RSA").startswith("435 pairs of stimuli, 1 subject, 16 units")
    assert fact(recording, "encoding") == "16 units, 5 x 5 folds"
    assert out.endswith("\n0 problems, 0 warnings\n")


def test_bad_units_are_counted_and_named(check):
    array = responses()
    array[:, :, 0] = 0
    array[:, :, 3] = 7
    array[:, :, 5] = np.nan
    array[10:, :, 6] = np.nan
    array[0, 2:] = np.nan
    np.save("r.npy", array)
    code, out = check(v4=ARRAY)
    assert code == 0
    assert "warning: 1 unit silent (all zero): M1/01\n" in out
    assert "warning: 1 unit constant: M1/04\n" in out
    assert "warning: 1 unit never observed: M1/06\n" in out
    assert "2 to 4 (median 4) per stimulus" in fact(out, "trials")
    assert "12 units with a response to every stimulus" in fact(out, "RSA")
    assert fact(out, "encoding") == "12 units, 5 x 5 folds"
    assert "1 of 13 units were not observed for every stimulus and are left out of the RDM" in out
    assert "v4: 4 of 16 units are constant or observed for too few stimuli or groups" in out
    assert out.endswith("0 problems, 5 warnings\n")


def test_share_of_what_was_not_observed(check):
    array = responses()
    array[:15, :, 2] = np.nan
    np.save("r.npy", array)
    _, out = check(v4=ARRAY)
    assert f"{15 / 30 / 16:.1%} not observed" in fact(out, "responses")


def test_stimuli_that_were_not_shown_and_trials_of_others(check, folder):
    ids = [*IDS[:26], "other1", "other2"]
    np.save(folder / "r.npy", responses(n_stimuli=28))
    entry = ARRAY | {"stimulus_ids": ids}
    code, out = check(v4=entry)
    assert code == 1
    assert "PROBLEM: r.npy: 2 of 28 ids are not in 'shown': 'other1', 'other2'" in out
    code, out = check(v4=entry | {"unmatched": "leave_out"})
    assert code == 0
    assert "warning: r.npy: 2 of 28 ids are not in 'shown'" in out
    recording = out.split("recording v4")[1]
    assert fact(recording, "stimuli") == "26 of 30; never shown: im26, im27, im28, im29"


def test_what_was_ignored_of_ids_is_a_fact(check, folder):
    """No warning: each id matches one or none."""
    ids = [f"C:\\images\\{name}.PNG" for name in IDS]
    code, out = check(v4=ARRAY | {"stimulus_ids": ids})
    assert (code, "0 warnings" in out) == (0, True)
    assert fact(out.split("recording v4")[1], "ids") == (
        "matched 30 of 30 ids but for file ending and folder ('C:\\\\images\\\\im00.PNG' is 'im00')"
    )
    code, out = check(v4=ARRAY | {"stimulus_ids": [*ids[:29], "im28"]})
    assert code == 1
    assert "PROBLEM: r.npy: 1 of 30 ids could be those of 'shown', but it is not clear" in out
    assert "'C:\\\\images\\\\im28.PNG' and 'im28' could each be 'im28'" in out
    (folder / "images" / "more").mkdir()
    (folder / "images" / "im00.png").rename(folder / "images" / "more" / "im01.png")
    code, out = check(v4=ARRAY | {"stimulus_ids": ["more\\im01", *IDS[1:]]})
    images, recording = out.split("recording v4")
    assert code == 0
    assert fact(images, "ids") == "ids are paths, as files of several folders have the same names"
    assert "'more\\\\im01' is 'more/im01'" in fact(recording, "ids")


def test_what_readers_warn_of_is_shown_though_the_command_line_logs_errors_only(check):
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    entry = ARRAY | {"stimulus_ids": [*IDS[:29], "other"], "unmatched": "leave_out"}
    try:
        _, out = check(v4=entry)
    finally:
        root.setLevel(before)
    assert "warning: r.npy: 1 of 30 ids are not in 'shown': 'other'" in out
    assert logging.getLogger("repbias").level == logging.NOTSET


def test_no_repeats(check):
    np.save("r.npy", responses(n_repeats=1))
    code, out = check(v4=ARRAY)
    assert code == 0
    assert fact(out, "reliability") == "unknown"
    assert "warning: no reliability and no noise ceiling" in out


def test_unreliable_units(check):
    np.save("r.npy", np.random.default_rng(1).normal(size=(30, 4, 8)))
    code, out = check(v4=ARRAY)
    assert code == 0
    low = int(fact(out, "reliability").split(";")[1].split()[0])
    assert low > 2
    assert "units have no noise ceiling" in out


def test_too_few_stimuli_for_encoding_and_for_rsa(check):
    np.save("r.npy", responses(n_stimuli=20))
    code, out = check(v4=ARRAY | {"stimulus_ids": IDS[:20]})
    assert code == 0
    assert "warning: v4: no encoding models: 20 stimuli, the folds need 25" in out
    np.save("r.npy", responses(n_stimuli=3))
    code, out = check(v4=ARRAY | {"stimulus_ids": IDS[:3]})
    assert code == 1
    assert "PROBLEM: recording 'v4': 3 stimuli; RSA needs at least 4" in out


def test_a_blank_stimulus_is_named_and_can_be_excluded(check):
    array = responses()
    array[7] = 0
    np.save("r.npy", array)
    code, out = check(v4=ARRAY)
    assert code == 1
    assert "PROBLEM: recording 'v4', M1: 1 of 30 stimuli have the same mean response in all" in out
    assert "exclude: [im07]" in out
    code, out = check(v4=ARRAY | {"exclude": ["im07"]})
    assert code == 0
    assert fact(out.split("recording v4")[1], "stimuli") == "29 of 30; left out: im07"
    code, out = check(v4=ARRAY | {"exclude": ["im7"]})
    assert code == 1
    assert "PROBLEM: r.npy: exclude: no stimulus 'im7'; did you mean" in out


@pytest.mark.parametrize("axes", [["stimulus", "repeat"], ["stimulus", "repeat", "unit"]])
def test_one_unit_has_encoding_models_and_no_rsa(check, axes):
    np.save("r.npy", responses(n_units=1).reshape((30, 4, 1)[: len(axes)]))
    code, out = check(v4=ARRAY | {"axes": axes})
    assert code == 0
    assert fact(out, "RSA") == "none"
    assert "warning: recording 'v4', M1: 1 units were observed for every stimulus, fewer" in out
    assert fact(out, "encoding") == "1 unit, 5 x 5 folds"


def test_standard_errors_give_a_ceiling(check):
    array = responses()
    errors = array.std(axis=1, ddof=1) / 2
    np.savez("r.npz", mean=array.mean(axis=1), sem=errors)
    entry = {"path": "r.npz", "variable": "mean", "axes": ["stimulus", "unit"]}
    code, out = check(v4=ARRAY | entry)
    assert "warning: no reliability and no noise ceiling" in out
    code, out = check(v4=ARRAY | entry | {"standard_errors": "sem"})
    assert code == 0
    assert "no noise ceiling" not in out
    known = float(fact(out, "reliability").split()[1])
    assert 0.7 < known < 0.9, "true reliability: 0.8"


def test_cautions_of_the_report_are_warnings(check):
    """Few units are one; docs/calibration.md has the others."""
    np.save("r.npy", responses(n_units=5))
    code, out = check(v4=ARRAY)
    assert code == 0
    assert "warning: A subject has 5 units: a correlation distance of so few" in out


def test_repeats_are_those_of_the_report(check):
    array = responses()
    array[:10, 2:] = np.nan
    array[3, :, 4] = np.nan
    np.save("r.npy", array)
    _, out = check(v4=ARRAY)
    study = load_study(yaml.safe_load(Path("config.yaml").read_text()))
    recording = read_recording(study.recordings["v4"], np.array(IDS))
    reported = reliability_table("v4", recording)["repeats"].mean()
    assert fact(out, "repeats") == f"0 to 4 (median 4), mean {reported:.1f} per stimulus and unit"


def test_a_subject_of_whom_most_units_missed_a_stimulus(check):
    array = responses()[:, :, :, None].repeat(2, axis=3)
    array[0, :, 1:, 1] = np.nan
    np.save("r.npy", array)
    code, out = check(v4=ARRAY | {"axes": ["stimulus", "repeat", "unit", "subject"]})
    assert code == 0
    assert (
        "warning: RSA is of the 29 of 30 stimuli that all units saw: 15 of 16 units of subject2 "
        "did not see all of 1 (im00)" in out
    )
    assert fact(out, "RSA").startswith("406 pairs of stimuli (29 of 30), 2 subjects, 32 units")


def test_time_bins_and_the_window(check):
    np.save("r.npy", responses()[..., None].repeat(3, axis=3))
    timed = ARRAY | {"axes": [*ARRAY["axes"], "time"], "times": [0.0, 0.1, 0.2]}
    _, out = check(v4=timed)
    assert fact(out, "time bins") == "3, centres 0 to 0.2 s; averaged"
    _, out = check(v4=timed | {"window": [0.05, 0.15]})
    assert "of which 1 in the window are averaged" in fact(out, "time bins")
    code, out = check(v4=timed | {"window": [1.0, 2.0]})
    assert code == 1
    assert "PROBLEM: no time bin is in the window" in out


def test_min_reliability(check):
    array = responses()
    array[:, :, :3] = np.random.default_rng(2).normal(size=(30, 4, 3))
    np.save("r.npy", array)
    _, out = check(v4=ARRAY | {"min_reliability": 0.6})
    assert fact(out, "analysed") == "13 units (min_reliability 0.6)"
    assert fact(out, "encoding").startswith("13 units")


def test_units_with_one_repeat_are_named_and_min_repeats_leaves_them_out(check):
    array = responses()
    array[2, 1:, 5] = np.nan
    np.save("r.npy", array)
    _, out = check(v4=ARRAY)
    assert "warning: 1 unit of 16 with one repeat of some stimuli: M1/06; one is enough" in out
    _, out = check(v4=ARRAY | {"min_repeats": 2})
    assert fact(out, "analysed") == "15 units (min_repeats 2)"
    assert fact(out, "encoding").startswith("15 units")
    assert "with one repeat" not in out


def test_one_recording_that_fails_does_not_keep_the_next_from_being_checked(check, folder):
    (folder / "bad.npy").write_bytes(b"x")
    code, out = check(bad=ARRAY | {"path": "bad.npy"}, good=ARRAY)
    assert code == 1
    assert "PROBLEM: bad.npy: cannot be read as npy" in out
    assert fact(out.split("recording good")[1], "stimuli") == "30 of 30"
    assert out.endswith("1 problem, 0 warnings\n")


def test_rdms(check, folder):
    rdms = np.random.default_rng(0).random((2, 435))
    np.save(folder / "rdms.npy", rdms)
    entry = {k: ARRAY[k] for k in ("stimuli", "stimulus_ids")}
    entry |= {"kind": "rdms", "path": "rdms.npy", "axes": ["subject", "pair"]}
    code, out = check(it=entry)
    assert code == 0
    assert fact(out, "RDMs") == "2 of 435 pairs"
    assert f"mean {rdms.mean():.4g}" in fact(out, "values")
    _, out = check(it=entry | {"only_subjects": [1]})
    assert "warning: one subject: no noise ceiling" in out
    np.save(folder / "rdms.npy", np.ones((2, 435)))
    code, out = check(it=entry)
    assert code == 1
    assert "all 435 dissimilarities of subject 'subject1', session 0, are the same" in out


def test_images_are_decoded_when_asked_to(check, folder):
    (folder / "images" / "im05.png").write_bytes(b"no image")
    code, _ = check(v4=ARRAY)
    assert code == 0
    code, out = check("--images", v4=ARRAY)
    assert code == 1
    assert out.count("PROBLEM") == 1
    assert "im05.png is not a readable image" in out
    assert fact(out, "pixels") == "4 x 3 (29)"


def test_ids_of_every_script_pass_and_reach_tables_and_pictures(check, folder):
    """By the functions that the jobs of a run call, through all of the files between them."""
    names = sorted(["café", "cafe", "caf%E9", "straße", *(f"面孔{i:02}" for i in range(26))])
    for old, new in zip(IDS, names, strict=True):
        (folder / "images" / f"{old}.png").rename(folder / "images" / f"{new}.png")
    code, out = check(v4=ARRAY | {"subject": "Jürgen", "region": "前頭葉"})
    assert code == 0, out
    assert fact(out, "stimuli") == "30 (caf%E9, cafe, café, straße, ...)"

    study = load_study(yaml.safe_load((folder / "config.yaml").read_text()))
    images = open_images(study.images["shown"])
    read_recording(study.recordings["v4"], np.array(images.ids)).write("v4.h5")
    with create("pixels.h5", "activations") as file:
        put_model_activations(
            file.create_group("pixels"), "pixels", study.networks["pixels"], images, "cpu"
        )
    write_layer_rdms("rdms.h5", Activations.open("pixels.h5", "pixels"), "correlation", None)
    recording, rdms = Recording.read("v4.h5"), read_rdms("rdms.h5")
    table = compare_with_recording("v4", recording, "shown", {"pixels": rdms}, study.geometry)
    write_table("t.csv", "rsa_recordings", table)
    assert np.isfinite(read_table("t.csv", "rsa_recordings")["similarity"]).all()
    of_regions = {region: x for region, _, x in region_rdms(recording, study.geometry, "v4")}
    assert of_regions[""].rdm_descriptors["subject"] == ["Jürgen"]
    of_regions["前頭葉"] = of_regions.pop("")
    shown = {"pixels": rdms}
    draw_recording_pictures("v4", recording, of_regions, shown, images, None, "rdm.svg", "mds.svg")
    assert set(pd.read_csv("mds.csv")["stimulus_id"]) == set(names)
    assert "前頭葉" in Path("rdm.svg").read_text()


def test_a_blank_image_has_no_correlation_with_others(check_study, folder):
    """The run would stop, as the network has no layer with an RDM."""
    Image.new("RGB", (4, 3), (128, 128, 128)).save(folder / "images" / "im05.png")
    code, out = check_study("--images")
    assert code == 1
    assert "PROBLEM: 1 image of one grey (im05): their pixels have no correlation distance" in out
    assert check_study("--images", geometry={"distance": "euclidean"})[0] == 0
    excluded = {"shown": {"path": "images", "exclude": ["im05"]}}
    recordings = {"v4": ARRAY | {"stimulus_ids": IDS, "exclude": ["im05"]}}
    assert check_study("--images", images=excluded, recordings=recordings)[0] == 0


def test_images_that_cannot_be_opened(check, folder):
    for file in (folder / "images").iterdir():
        file.unlink()
    code, out = check(v4=ARRAY)
    assert code == 1
    assert "PROBLEM: images: no images found" in out
    assert "PROBLEM: not read: the images 'shown' cannot be opened" in out


def test_quick_reads_no_data(check, folder):
    (folder / "r.npy").write_bytes(b"x")
    code, out = check("--quick", v4=ARRAY)
    assert code == 0
    assert "recording v4" not in out


def test_every_problem_of_the_configuration_at_once(check):
    code, out = check(v4=ARRAY | {"axes": ["unit"], "stimuli": "missing", "colour": "red"})
    assert code == 1
    assert "PROBLEM: recordings.v4.axes" in out
    assert "PROBLEM: recordings.v4.colour: unknown key" in out
    assert out.endswith("2 problems, 0 warnings\n")


def test_what_is_still_to_fill_in_is_said_first(check):
    code, out = check(v4=ARRAY | {"axes": ["FILL_IN", "unit"], "region": "FILL_IN"})
    assert code == 1
    assert "PROBLEM: recordings.v4.axes: still to fill in" in out
    assert "PROBLEM: recordings.v4.region: still to fill in" in out
    assert out.endswith("2 problems, 0 warnings\n")


def test_unfilled_paths():
    content = {"a": {"b": "FILL_IN", "c": ["x", "FILL_IN"], "d": "x"}, "e": 1}
    assert list(unfilled(content)) == ["a.b", "a.c"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("- a\n- b\n", "expected keys and values, such as 'study: name'; found a list"),
        ("", "found nothing"),
        ("just words", "found a str"),
        ("study: [a\nb: c: d\n", "line 2: not valid YAML"),
        ("a: \x00", "not valid YAML"),
        (b"\xff\xfe\x00", "not a readable text file"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_configuration_gives_one_line(text, expected, folder, capsys):
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (folder / "study.yaml").write_bytes(content)
    assert main(["check", "study.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: study.yaml")
    assert expected in err


def test_simulated_recordings_need_no_data(folder, capsys):
    (folder / "config.yaml").write_text(
        """
study: test
experiments:
  tasks: {stimuli: {features: {easy: {function: bit}}}}
recordings:
  brain: {kind: simulated, source: tasks/base, layer: hidden1}
"""
    )
    assert main(["check"]) == 0
    assert capsys.readouterr().out.endswith("0 problems, 0 warnings\n")


def test_what_a_run_writes_is_said_and_must_fit_on_the_disk(tmp_path, monkeypatch, capsys):
    """A sweep that no disk holds is a warning, and keeping less is a way out."""
    monkeypatch.chdir(tmp_path)
    sweep = {
        "stimuli": {"features": {"easy": {"function": "bit"}}},
        "network": {"hidden": [20000, 20000]},
        "seeds": 1000,
        "analyses": ["variance_decomposition"],
        "vary": {"training.dropout": [0.0, 0.1]},
    }
    study = {"study": "test", "experiments": {"sweep": sweep}}
    printed = {}
    for keep in (["networks"], []):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(study | {"keep": keep}))
        assert main(["check"]) == 0
        printed[bool(keep)] = capsys.readouterr().out
    # Stimuli, training and analyses of two conditions; the tables, and four jobs
    # at the end.
    assert "jobs           11\n" in printed[True]
    assert "networks       at most " in printed[True] and "are free here" in printed[True]
    assert "networks  " not in printed[False] and "warning:" not in printed[False]
    # 4,000 steps of 2,000 networks; seconds of a step follow from the weights (sizes.py).
    assert re.search(r"training +[0-9,]+ hours at most", printed[True])
    assert re.search(r"in all +[0-9,]+ hours", printed[True])


def test_claims_about_too_few_networks_are_warned_of(tmp_path, capsys):
    """Whatever they find, fewer than five networks decide nothing."""
    config = {
        "study": "few",
        "experiments": {
            "tasks": {
                "stimuli": {"features": {"easy": {"function": "bit"}, "hard": {"function": "xor"}}},
                "vary": {"seeds": [2, 5]},
            }
        },
        "claims": {
            f"C1 {n}": {"condition": f"tasks/seeds={n}", "easy": "easy", "hard": "hard"}
            for n in (2, 5)
        },
    }
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(config))
    assert main(["check", str(tmp_path / "few.yaml"), "--quick"]) == 0
    said = capsys.readouterr().out
    assert (
        "warning: claims.C1 2: tasks/seeds=2 has 2 networks (seeds), where a verdict needs 5"
        in said
    )
    assert "claims.C1 5" not in said


def test_comparing_ten_thousand_networks_with_each_other_is_warned_of(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    sweep = {
        "stimuli": {"features": {"easy": {"function": "bit"}}},
        "seeds": 1000,
        "analyses": ["variance_decomposition", "similarity", "rsa_models"],
        "vary": {"training.dropout": [0.0, 0.1]},
    }
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"study": "test", "experiments": {"sweep": sweep}})
    )
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    for analysis in ("similarity", "rsa_models"):
        assert f"experiments.sweep: {analysis} compares every network with every other" in printed


@pytest.mark.parametrize(
    ("sets", "claimed", "warned"),
    [("common", "common", 1), ("common", "own", 0), ("own", "own", 0)],
)
def test_claims_about_one_training_set_are_warned_of(sets, claimed, warned, folder, capsys):
    features = {"easy": {"function": "bit"}, "hard": {"function": "xor"}}
    study = {
        "study": "test",
        "experiments": {
            name: {"stimuli": {"features": features, "training_sets": name}}
            for name in dict.fromkeys([sets, claimed])
        },
        "claims": {"C1": {"condition": f"{claimed}/base", "easy": "easy", "hard": "hard"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(study))
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("experiments.common: all networks have one training set") == warned
    assert printed.endswith(f"0 problems, {warned} warning{'s' * (warned != 1)}\n")


# Networks, and what else would stop a run.


@pytest.fixture
def check_study(folder, capsys):
    """Function that checks a study of images and their table: exit code and output."""

    def run(*options, table="stimulus_id,kind,size\n", **sections):
        rows = [f"{name},{'ab'[i % 2]},{i % 4}" for i, name in enumerate(IDS)]
        (folder / "s.csv").write_text(table + "\n".join(rows) + "\n")
        study = {"study": "test", "images": {"shown": SHOWN}}
        study |= {"networks": {"pixels": {"kind": "pixels"}}, "recordings": {"v4": ARRAY}}
        (folder / "config.yaml").write_text(yaml.safe_dump(study | sections))
        code = main(["check", *options])
        out, err = capsys.readouterr()
        assert err == ""
        return code, out

    return run


SHOWN = {"path": "images", "table": "s.csv"}


def features(**settings):
    return {"networks": {"known": {"kind": "features"} | settings}}


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (features(spaces={"f": ["freqency"]}), "feature space 'f': the stimuli's table has no col"),
        (features(spaces={"f": ["kind", "size"]}), "feature space 'f': 2 columns, 1 of numbers"),
        (
            features(spaces={"f": ["size"]}, distance="correlation"),
            "space 'f' has no RDM: 30 of 30",
        ),
        ({"geometry": {"recording_distance": "poisson"}}, "recording 'v4', M1: "),
        ({"geometry": {"fitted": ["weighted"], "folds": 8}}, "geometry.folds: 8 folds of 30 stim"),
        (
            {"images": {"shown": SHOWN | {"groups": "knd"}}},
            "images.shown.groups: the stimuli have no column",
        ),
        (
            {"encoding": {"partition": {"m": ["pixels:pixels", "stimuli:sice"]}}},
            "encoding.partition.m: the recording's stimuli have no column 'sice'",
        ),
        (
            {
                "references": [
                    {"recording": "v4", "measure": "decodin", "value": 1, "source": "a paper"}
                ]
            },
            "references: v4, decodin: no such measure; did you mean 'decoding'?",
        ),
    ],
)
def test_what_would_stop_the_run_is_a_problem(check_study, sections, problem):
    code, out = check_study(**sections)
    assert code == 1
    assert len([line for line in out.splitlines() if "PROBLEM" in line]) == 1
    assert problem in out.split("PROBLEM: ")[1]


def test_the_same_study_without_those_has_no_problem(check_study):
    code, out = check_study(
        **features(spaces={"kind": ["kind"], "size": ["size"], "both": ["kind", "size"]}, scale="z")
    )
    assert code == 0
    assert fact(out, "units") == "both 3, kind 2, size 1"


# What the audit refuses; the run goes on without it.


def described(**columns):
    """A table of the stimuli with these columns, and the section that shows it."""
    rows = zip(IDS, *columns.values(), strict=True)
    lines = [",".join(["stimulus_id", *columns]), *(",".join(map(str, row)) for row in rows)]
    Path("described.csv").write_text("\n".join(lines) + "\n")
    return {"images": {"shown": {"path": "images", "table": "described.csv"}}}


def refused_by_the_run(study):
    """Why the run does not audit a study's recording, in its own words."""
    study = load_study(study)
    images = open_images(study.images["shown"])
    recording = read_recording(study.recordings["v4"], np.array(images.ids), images.columns)
    n = len(recording.stimulus_ids)
    vectors = np.random.default_rng(0).random((1, n * (n - 1) // 2))
    about = {"network": ["n"], "seed": [0], "snapshot": ["final"], "step": [0], "included": [True]}
    rdms = make_rdms(vectors, recording.stimulus_ids, "correlation", about | {"layer": ["pixels"]})
    tables = audit_recording(
        "v4", recording, "shown", {"pixels": rdms}, {}, study.geometry, study.audit
    )
    return set(tables["audit"]["warning"])


@pytest.mark.parametrize(
    ("columns", "audit", "problem"),
    [
        ({"kind": ["a", "b", ""] * 10}, {}, "audit: 10 of 30 stimuli have no 'kind' (the first"),
        (
            {"kind": ["a", "b"] * 15, "size": ["1", "n/a", "3"] * 10},
            {"features": ["size"]},
            "audit: 10 of 30 stimuli have no 'size'",
        ),
        (
            {"kind": [*range(21), *range(9)]},
            {"features": {"kind": {"coding": "categories"}}},
            "have 20 dimensions together and there are 30 stimuli, which leaves 9 ",
        ),
        ({"kind": ["odd", *"ab" * 14, "a"]}, {}, "(numbers 1)"),
        ({"kind": [*"ab" * 15]}, {"features": ["kind"]}, None),
        ({"kind": [*"aba" * 10]}, {"enabled": False}, None),
    ],
)
def test_what_the_audit_refuses_is_a_warning_in_the_words_of_the_run(
    columns, audit, problem, check_study
):
    sections = described(**columns) | {"audit": audit}
    code, out = check_study(**sections)
    assert code == 0
    warnings = {line.split("warning: ")[1] for line in out.splitlines() if "warning: audit" in line}
    if problem is None:
        assert not warnings
        if audit.get("enabled", True):
            expected = "1 feature (kind) of 30 stimuli: 1 dimension, 28 for the rest"
            assert fact(out, "audit") == expected
        else:
            assert "  audit" not in out
        return
    (warning,) = warnings
    assert problem in warning
    assert fact(out, "audit") == "none"
    assert refused_by_the_run(yaml.safe_load(Path("config.yaml").read_text())) == {warning}


def test_a_terminal_without_the_letters_of_ids_gets_their_escapes(tmp_path):
    np.savez(tmp_path / "x.npz", responses=np.eye(3), ids=np.array(["café", "面孔", "b"]))
    done = subprocess.run(
        [sys.executable, "-m", "repbias", "inspect", str(tmp_path / "x.npz")],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9" in done.stdout


@pytest.mark.parametrize(("unit", "warned"), [(1, False), (np.pi / 180, True)])
def test_a_period_in_another_unit_than_the_values_is_warned_of(unit, warned, check_study):
    np.save("r.npy", np.random.default_rng(0).normal(size=(30, 4, 16)))
    circular = {"orientation": {"coding": "circular", "period": 180, "df": 4}}
    sections = described(orientation=np.arange(30) % 6 * 30 * unit)
    code, out = check_study(**sections, audit={"features": circular})
    assert code == 0
    said = "'orientation' is audited as circular with a period of 180, but its values, 0 to 2.61799"
    assert (said in out) == warned


@pytest.mark.parametrize(
    ("tuning", "coding", "warned"),
    [
        ("angle", {}, True),
        ("angle", {"coding": "number"}, True),
        ("angle", {"coding": "categories"}, False),
        ("angle", {"coding": "circular", "period": 180}, False),
        ("line", {}, False),
        ("none", {}, False),
    ],
)
def test_a_number_whose_values_are_on_no_line_is_warned_of(tuning, coding, warned, check_study):
    rng, degrees = np.random.default_rng(5), np.arange(30) % 6 * 30
    angle = np.deg2rad(2 * degrees)
    position = {
        "angle": np.stack([np.cos(angle), np.sin(angle)], axis=1),
        "line": np.stack([degrees / 50, np.full(30, 3)], axis=1),
        "none": np.zeros((30, 1)),
    }[tuning]
    signal = position @ rng.normal(size=(position.shape[1], 16))
    np.save("r.npy", signal[:, None] + 0.5 * rng.normal(size=(30, 4, 16)))
    sections = described(orientation=degrees)
    code, out = check_study(**sections, audit={"features": {"orientation": coding}})
    assert code == 0
    said = "audit: 'orientation' is audited as a number, and a line over its values explains"
    assert (said in out) == warned


def test_what_every_column_of_the_stimuli_is_used_for(check_study):
    columns = {"kind": [*"abc" * 10], "size": range(30), "note": [f"n{i}" for i in range(30)]}
    sections = described(**columns, pair=sorted([*range(15)] * 2))
    sections["images"]["shown"]["groups"] = "pair"
    sections |= features(spaces={"k": ["kind"], "s": ["si*"]})
    sections |= {"audit": {"features": {"what": {"column": "kind"}}}}
    sections |= {"encoding": {"partition": {"both": ["known:k", "stimuli:size"]}}}
    _, out = check_study(**sections)
    assert fact(out, "columns") == (
        "kind (network known, audit), size (network known, encoding.partition.both), "
        "note (not used), pair (groups)"
    )
    _, out = check_study(**described(**columns))
    assert fact(out, "columns") == "kind (audit), size (audit), note (not used)"


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({}, "1 condition (base), 3 networks"),
        (
            {"network.hidden": {"8": [8], "4": [4]}},
            "2 conditions (hidden=4, hidden=8), 3 networks each",
        ),
        ({"seeds": {"2": 2, "1": 1}}, "2 conditions: seeds=1 (1 network), seeds=2 (2 networks)"),
    ],
)
def test_networks_of_every_condition_are_counted(folder, capsys, vary, said):
    features = {"easy": {"function": "bit"}, "hard": {"function": "parity"}}
    tasks = {"stimuli": {"features": features}, "seeds": 3, "vary": vary}
    study = {"study": "test", "experiments": {"tasks": tasks}}
    (folder / "config.yaml").write_text(yaml.safe_dump(study))
    main(["check", "--quick"])
    out = capsys.readouterr().out
    assert fact(out, "experiment tasks") == said


def test_memory_and_disk_of_a_run_grow_with_the_data(check, folder, capsys):
    def estimates():
        main(["check", "--json"])
        return json.loads(capsys.readouterr().out)["estimates"]

    _, out = check(v4=ARRAY)
    small = estimates()
    assert fact(out, "memory").startswith("up to 73")
    assert small["memory_bytes"] == max(small["memory_bytes_by_job"].values())
    assert set(small["memory_bytes_by_job"]) == {"RDMs", "recordings"}
    np.save(folder / "r.npy", responses(n_units=2000))
    large = estimates()
    grown = large["memory_bytes_by_job"]["recordings"] - small["memory_bytes_by_job"]["recordings"]
    assert grown > 5 * 8 * 30 * 4 * 1900
    # The pixels of every image, as float32, and RDMs.
    assert small["disk_bytes_by_folder"]["activations"] == 4 * 30 * 32 * 32 * 3
    assert small["disk_bytes"] == sum(small["disk_bytes_by_folder"].values())


def test_statistics_of_images_are_audited_where_nothing_else_is_known(check_study):
    sections = {"images": {"shown": {"path": "images"}}}
    _, out = check_study(**sections)
    assert fact(out, "audit") == "of image statistics, not checked (--images checks it)"
    _, out = check_study("--images", **sections)
    assert re.fullmatch(
        r"\d features \(image\.luminance, .*\) of 30 stimuli: .*", fact(out, "audit")
    )
    few = {"v4": ARRAY | {"exclude": IDS[13:]}}
    _, out = check_study("--images", **sections, recordings=few)
    assert "and there are 13 stimuli, which leaves" in out


def test_time_resolved_rsa_needs_times(check_study):
    np.save("r.npy", responses()[..., None].repeat(2, axis=3))
    recordings = {"v4": ARRAY | {"axes": [*ARRAY["axes"], "time"]}}
    settings = {"geometry": {"time_resolved": True}}
    code, out = check_study(recordings=recordings, **settings)
    assert code == 1
    assert "PROBLEM: recording 'v4': geometry.time_resolved needs times" in out
    recordings["v4"]["times"] = [0.1, 0.2]
    assert check_study(recordings=recordings, **settings)[0] == 0


MODEL = """
from torch import nn

def build(broken=False):
    return nn.Sequential(nn.Flatten(), nn.Linear(48 if not broken else 7, 5))
"""


def test_models_are_made_and_shown_two_images(check_study, folder, monkeypatch):
    (folder / "my_checked_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(folder)
    model = {"kind": "torch", "factory": "my_checked_model:build", "layers": ["1"]}
    model |= {"preprocess": {"size": 4}}
    code, out = check_study(networks={"mine": model})
    assert code == 0
    said = out.split("network mine, shown shown")[1]
    assert fact(said, "units") == "1 5"
    assert fact(said, "images") == (
        "4 x 3 pixels (the first), resized to 4 x 4 pixels, RGB, normalised by the mean and "
        "standard deviation of ImageNet (preprocess)"
    )
    for change, problem in (
        ({"layers": ["2"]}, "my_checked_model:build: the model has no layer '2'"),
        ({"factory": "my_checked_model:bild"}, "my_checked_model:bild: cannot be imported"),
        ({"arguments": {"broken": True}}, "mat1 and mat2 shapes cannot be multiplied"),
    ):
        code, out = check_study(networks={"mine": model | change})
        assert code == 1
        assert problem in out
        assert check_study("--quick", networks={"mine": model | change})[0] == 0


def test_stimuli_that_cannot_be_generated_are_a_problem(folder, capsys):
    # All of 8 bits are set in 4 different strings of 10, but half of the stimuli should be such.
    features = {
        "easy": {"function": "bit", "bits": 1},
        "rare": {"function": "and", "bits": 8, "k": 8},
    }
    stimuli = {"features": features, "noise_bits": 1}
    stimuli |= {"n_train": 128, "n_validation": 64, "n_test": 64}
    study = {"study": "test", "experiments": {"tasks": {"stimuli": stimuli, "seeds": 1}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(study))
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM: experiments.tasks, condition base: stimuli: not enough different" in out


@pytest.mark.slow
@pytest.mark.parametrize("place", ["beside the study", "nowhere"])
def test_modules_are_found_where_snakemake_finds_them(place, folder):
    """Of both sections that name code; the study lies in another folder than the one it runs in."""
    study = folder / "studies" / "mine"
    study.mkdir(parents=True)
    where = {"beside the study": study}.get(place)
    if where:
        (where / "my_nets.py").write_text(OWN)
    trained = {"kind": "torch", "factory": "my_nets:trained", "layers": ["0"]}
    shown = {"kind": "torch", "factory": "my_nets:shown", "layers": ["1"]}
    features = {"easy": {"function": "bit", "bits": 2}, "hard": {"function": "xor", "bits": 2}}
    stimuli = {"features": features, "noise_bits": 8}
    stimuli |= {"n_train": 512, "n_validation": 128, "n_test": 128}
    content = {
        "study": "mine",
        "experiments": {"bits": {"stimuli": stimuli, "network": trained, "seeds": 1}},
        "images": {"shown": {"path": "images"}},
        "networks": {"mine": shown | {"preprocess": "my_nets:as_tensor"}},
        "recordings": {"v4": ARRAY},
    }
    (study / "study.yaml").write_text(yaml.safe_dump(content))
    root = Path(repbias.__file__).parents[2]
    snakemake = ["snakemake", "--snakefile", str(root / "Snakefile"), "--dry-run", "-q", "all"]
    snakemake += ["--configfile", "studies/mine/study.yaml"]
    check = ["repbias", "check", "studies/mine/study.yaml"]
    checked, planned = (run_module(*words, cwd=folder) for words in (check, snakemake))
    codes = (checked.returncode, planned.returncode)
    assert codes == ((0, 0) if where else (1, 1)), checked.stdout + planned.stdout
    for said in (checked.stdout, planned.stdout):
        missing = "no module named 'my_nets'"
        assert (missing in said) == (where is None), said


OWN = """
import numpy as np
import torch
from torch import nn

def trained(input_shape, n_outputs):
    return nn.Sequential(nn.Linear(input_shape[0], 8), nn.ReLU(), nn.Linear(8, n_outputs))

def shown():
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 5))

def as_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32))
"""


def test_images_that_are_almost_the_same_are_found():
    """Not those that are merely alike, such as noise on the same grey."""
    rng = np.random.default_rng(0)
    pixels = {f"im{i}": rng.uniform(0, 255, 256) for i in range(5)}
    pixels["copy"] = np.clip(pixels["im3"] + rng.normal(0, 2, 256), 0, 255)
    pixels["brighter"] = pixels["im1"] / 2 + 100
    pixels["uniform"] = np.full(256, 7.0)
    assert near_duplicates(pixels) == [("im1", "brighter"), ("im3", "copy")]
    assert near_duplicates({"uniform": pixels["uniform"]}) == []


def test_subjects_that_saw_different_stimuli_are_counted_and_the_missing_named(check):
    array = np.stack([responses(), 2 * responses()], axis=3)
    array[:3, :, :, 0] = np.nan
    array[25:29, :, :, 1] = np.nan
    np.save("r.npy", array)
    entry = {k: v for k, v in ARRAY.items() if k != "subject"}
    code, out = check(v4=entry | {"axes": ["stimulus", "repeat", "unit", "subject"]})
    assert code == 0
    assert fact(out, "stimuli seen") == "23 by all subjects; subject1 27, subject2 26"
    assert fact(out, "RSA").startswith("253 pairs of stimuli (23 of 30), 2 subjects, 32 units")
    assert fact(out, "encoding") == "32 units, 5 x 5 folds"
    assert (
        "warning: RSA is of the 23 of 30 stimuli that all 2 subjects saw: subject1 did not see 3 "
        "(im00, im01, im02; 26 are common to the others), subject2 did not see 4 (im25, im26, im27,"
        " ...; 27 are common to the others)." in out
    )
    chosen = {"axes": ["stimulus", "repeat", "unit", "subject"], "analyse_subjects": ["subject1"]}
    code, out = check(v4=entry | chosen)
    assert code == 0
    assert fact(out, "RSA").startswith("351 pairs of stimuli, 1 subject, 16 units")
    assert "stimuli seen" not in out


def test_recordings_of_one_set_are_said_to_share_stimuli_or_not(check):
    np.save("r.npy", responses())
    halves = {"it": list(range(15)), "few": [0, 1, 29]}
    entries = {"v4": ARRAY}
    for name, rows in halves.items():
        np.save(f"{name}.npy", responses()[rows])
        Path(f"{name}.txt").write_text("\n".join(f"im{i:02d}" for i in rows))
        entries[name] = ARRAY | {"path": f"{name}.npy", "stimulus_ids": f"{name}.txt"}
    _, out = check(**entries)
    said = out.partition("recordings with each other\n")[2].partition("\n\n")[0]
    assert "  it, v4         15 common stimuli of 15 and 30\n" in said
    assert "  few, v4        3 common stimuli of 3 and 30\n" in said
    assert "warning: few and v4 have 3 stimuli in common; they are not compared" in said
    assert "warning: few and it have 2 stimuli in common; they are not compared" in said


def test_what_an_entry_leaves_out_is_a_fact(check, folder):
    """A subject whose betas have no table of events, and trials that were aborted."""
    for subject in ("01", "02", "03"):
        np.save(folder / f"sub-{subject}.npy", responses().reshape(120, 16))
    rows = [f"{name},{int(repeat < 3)}" for name in IDS for repeat in range(4)]
    for subject in ("01", "03"):
        Path(f"events-{subject}.csv").write_text("\n".join(["stimulus,completed", *rows]))
    entry = {"kind": "fmri", "path": ".", "content": "betas", "stimuli": "shown"}
    entry |= {"images": "sub-{subject}.npy", "events": "events-{subject}.csv"}
    code, out = check(betas=entry)
    assert code == 1
    assert "there is no file events-02.csv; to leave it out: leave_out: [{subject: '02'}]" in out
    code, out = check(
        betas=entry | {"leave_out": [{"subject": "02"}], "trials_where": {"completed": 1}}
    )
    assert code == 0
    assert fact(out, "left out") == "1 file (leave_out): sub-02.npy; 60 trials (trials_where)"
    assert fact(out, "trials") == "180; 3 per stimulus"
    assert fact(out, "subjects") == "2 (01, 03)"
