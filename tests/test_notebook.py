"""What `import repbias` offers in a notebook, against the readers and against rsatoolbox."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from left import make_results
from pydantic import TypeAdapter
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare

import repbias
from repbias.base.spec import RepbiasError
from repbias.recordings.readers import RecordingSpec, read_recording
from repbias.recordings.reliability import split_half_reliability
from repbias.recordings.responses import stimulus_means
from repbias.tables import TABLES, write_table

N = 30
RNG = np.random.default_rng(0)
SHAPE, COLOUR = np.repeat([0, 1], N // 2), np.tile([0, 1], N // 2)
IDS = [f"s{i:02d}" for i in RNG.permutation(N)]


def units_of(*features, n=40, noise=0.5, seed=0):
    """Responses that are mixtures of features and of noise."""
    rng = np.random.default_rng(seed)
    x = np.stack(features, axis=1) - 0.5
    return x @ rng.normal(size=(len(features), n)) + noise * rng.normal(size=(N, n))


RESPONSES = np.stack([units_of(3 * SHAPE, COLOUR, seed=s) for s in (1, 1)], axis=1)
RESPONSES += 0.2 * RNG.normal(size=RESPONSES.shape)


def test_an_array_becomes_the_recording_that_its_file_would_be(tmp_path):
    np.save(tmp_path / "r.npy", RESPONSES)
    entry = {"kind": "array", "path": tmp_path / "r.npy", "stimuli": "shown", "stimulus_ids": IDS}
    entry |= {"axes": ["stimulus", "repeat", "unit"]}
    spec = TypeAdapter(RecordingSpec).validate_python(entry)
    read = read_recording(spec, np.sort(IDS))
    made = repbias.recording(RESPONSES, IDS)
    order = np.argsort(IDS)
    np.testing.assert_allclose(stimulus_means(made)[order], stimulus_means(read))
    sizes = [split_half_reliability(r).full.mean() for r in (made, read)]
    assert sizes[0] == pytest.approx(sizes[1], abs=0.02)


def test_subjects_may_differ_in_repeats_and_lack_stimuli():
    other = RESPONSES[:, :1, :10].copy()
    other[3] = np.nan
    made = repbias.recording({"a": RESPONSES, "b": other}, IDS)
    assert made.responses.shape == (2 * N, 50)
    assert list(np.unique(made.units["subject"], return_counts=True)[1]) == [40, 10]
    assert np.isnan(stimulus_means(made)[3, 40:]).all()
    assert not np.isnan(stimulus_means(made)[4, 40:]).any()


def test_rdms_are_those_of_rsatoolbox():
    models = {"a": RESPONSES[:, 0], "b": {"l1": RESPONSES[:, 1], "l2": RESPONSES[:, 1, :7]}}
    ours = repbias.rdms(models, IDS)
    assert ours.rdm_descriptors["layer"] == ["features", "l1", "l2"]
    layers = [models["a"], *models["b"].values()]
    theirs = calc_rdm([Dataset(layer) for layer in layers], "correlation")
    np.testing.assert_allclose(ours.dissimilarities, theirs.dissimilarities, atol=1e-12)
    assert ours.pattern_descriptors["stimulus_id"] == IDS


def test_scores_are_those_of_rsatoolbox_whatever_the_order_of_ids():
    models = {"both": units_of(SHAPE, COLOUR, seed=5), "shape": units_of(SHAPE, seed=6)}
    made = repbias.recording({"a": RESPONSES, "b": RESPONSES[:, :, ::2]}, IDS)
    table = repbias.compare(made, models, bootstraps=100)
    data = calc_rdm([Dataset(RESPONSES.mean(1)), Dataset(RESPONSES.mean(1)[:, ::2])], "correlation")
    expected = rsatoolbox_compare(repbias.rdms(models), data, "corr").mean(axis=1)
    np.testing.assert_allclose(table["similarity"], expected, atol=1e-8)
    order = np.argsort(IDS)
    resorted = repbias.recording(
        {"a": RESPONSES[order], "b": RESPONSES[order][:, :, ::2]}, np.sort(IDS)
    )
    again = repbias.compare(resorted, {k: v[order] for k, v in models.items()}, bootstraps=100)
    np.testing.assert_allclose(again["similarity"], table["similarity"])


def test_the_audit_finds_the_feature_that_a_score_is_made_of():
    models = {"both": units_of(3 * SHAPE, COLOUR, seed=5), "noise": RNG.normal(size=(N, 40))}
    features = pd.DataFrame({"shape": SHAPE.astype(str), "colour": COLOUR.astype(str)})
    audited = repbias.audit(repbias.recording(RESPONSES, IDS), models, features)
    shares = audited.shares.set_index(["condition", "feature"])["share"]
    assert shares["both", "shape"] > 0.8
    assert shares["both", "shape"] + shares["both", "colour"] > 0.9
    assert set(audited.remaining["feature"]) == {"shape", "colour", "all"}
    assert len(audited.range)
    assert "shape" in audited._repr_html_() and "<table" in audited._repr_html_()
    nothing = replace(audited, shares=audited.shares.assign(share=-1e-9))
    assert ">0.000<" in nothing._repr_html_() and "-0.000" not in nothing._repr_html_()
    gates = audited.shares.groupby("condition")["gate"].first()
    assert gates["both"] and not gates["noise"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: repbias.recording({}), "found no subject"),
        (lambda: repbias.recording(np.zeros(5)), "found 1 axes; expected (stimulus, unit)"),
        (lambda: repbias.recording(RESPONSES, IDS[:5]), "found 30 stimuli; expected 5"),
        (lambda: repbias.rdms({}), "models: found none"),
        (lambda: repbias.rdms({"a": np.zeros(5)}), "a, layer features: expected (stimulus, unit)"),
        (lambda: repbias.rdms({"a": np.ones((5, 3))}), "a, layer features: "),
        (
            lambda: repbias.compare(repbias.recording(RESPONSES), {"a": RESPONSES[1:, 0]}),
            "found 29 stimuli; expected 30",
        ),
        (
            lambda: repbias.audit(repbias.recording(RESPONSES), {}, {"shape": SHAPE[1:]}),
            "features: 'shape' has shape (29,); expected (30,)",
        ),
        (lambda: repbias.load("nowhere"), "nowhere: no config.yaml"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(RepbiasError) as error:
        call()
    assert said in str(error.value)


def test_the_import_takes_no_numerical_library():
    code = "import sys, repbias; assert 'audit' in dir(repbias); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        repbias.audits  # noqa: B018


# Results of a study


SWEEP = """
study: gain
experiments:
  grid:
    stimuli: {features: {easy: {function: bit}, hard: {function: parity}}}
    network: {hidden: [8, 4]}
    seeds: 2
    analyses: [variance_explained]
    vary:
      network.init_scale: [0.5, 1]
      training.weight_decay: [0, 1e-4]
  tasks:
    stimuli: {features: {easy: {function: bit}, hard: {function: parity}}}
    analyses: []
    vary:
      training.targets: {easy: [easy], both: null}
      training.optimizer: [sgd]
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of a sweep, with the records that its jobs leave."""
    monkeypatch.chdir(tmp_path)
    return make_results(SWEEP)


def test_conditions_have_the_axes_of_sweeps_as_numbers(results):
    found = repbias.load(results).conditions
    assert list(found) == [
        "experiment",
        "condition",
        "network.init_scale",
        "training.weight_decay",
        "training.targets",
        "training.optimizer",
        "layer",
        "seeds",
    ]
    grid = found[found["experiment"] == "grid"]
    assert grid["condition"].iloc[1] == "init_scale=0.5,weight_decay=1e-4"
    assert grid["network.init_scale"].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert grid["training.weight_decay"].tolist() == [0, 1e-4, 0, 1e-4]
    assert found["training.weight_decay"].dtype == float
    assert grid["training.targets"].isna().all() and set(grid["training.optimizer"]) == {"adam"}
    assert set(grid["layer"]) == {"hidden2"} and set(grid["seeds"]) == {2}
    tasks = found[found["experiment"] == "tasks"]
    assert tasks["training.targets"].tolist() == ["easy", "both"]
    assert tasks["network.init_scale"].tolist() == [1.0, 1.0]
    merged = repbias.load(results).tables["variance_explained"].merge(found)
    assert set(merged["layer"]) == {"hidden2"}
    assert merged["training.weight_decay"].nunique() == 2


def test_tables_of_an_earlier_configuration_are_named_and_left_out(results):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(repbias.load(results).tables) == ["learning", "variance_explained"]
    old = results / "tables/conflict.csv"
    write_table(old, "conflict", pd.DataFrame(columns=TABLES["conflict"].columns))
    with pytest.warns(UserWarning, match="left over from an earlier configuration.*: conflict;"):
        found = repbias.load(results)
    assert list(found.tables) == ["learning", "variance_explained"]
    assert "conflict" not in found._repr_html_()
    assert old.exists()


@pytest.mark.parametrize(
    ("change", "group", "said"),
    [
        ("no change", "grid", "no analysis of grid reads {what} from files"),
        ("keep: [networks]", "grid", r"deletes them .* \(keep: \['networks'\]\)"),
        ("not ended", "grid", "the study was not run to its end"),
        ("no change", "grids", "no experiment or images 'grids'; did you mean 'grid'"),
    ],
)
def test_why_there_are_no_activations_or_rdms(results, change, group, said):
    if change == "not ended":
        (results / "report.html").unlink()
    elif change.startswith("keep"):
        make_results(f"{SWEEP}\n{change}")
    found = repbias.load(results)
    assert found.models == {}
    for ask, what in ((found.activations, "activations"), (found.rdms, "RDMs")):
        with pytest.raises(RepbiasError, match=f"no {what} of 'a'; .*{said.format(what=what)}"):
            ask(group, "a")


def test_a_model_that_has_no_rdms_is_compared_with_those_that_have(results):
    make = repbias.rdms({"a": RESPONSES[:, 0]})
    (results / "rdms/grid").mkdir(parents=True)
    make.save(str(results / "rdms/grid/init_scale=1,weight_decay=0.h5"), file_type="hdf5")
    with pytest.raises(RepbiasError, match="did you mean 'init_scale=1,weight_decay=0'"):
        repbias.load(results).rdms("grid", "init_scale=1")
