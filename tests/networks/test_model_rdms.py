"""Models of which only RDMs are known: read from every format, treated as RDMs of layers are."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pandas as pd
import pytest
import rsatoolbox.rdm
import scipy.io
import xarray
from pandas.testing import assert_frame_equal
from pydantic import TypeAdapter, ValidationError
from scipy.spatial.distance import pdist, squareform

from repbias.auditing.networks import audit_networks
from repbias.auditing.spec import Audit
from repbias.auditing.tables import audit_recording
from repbias.base.spec import RepbiasError
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import encode_recording
from repbias.geometry.spec import CROSS_VALIDATED, Geometry
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.recordings import Recording
from repbias.networks.kinds import Network
from repbias.networks.model_arrays import put_array_activations
from repbias.networks.model_rdms import put_model_rdms, read_model_rdms
from repbias.recordings.readers import rdms as reader
from repbias.recovery.models import recover
from repbias.recovery.spec import Recovery
from repbias.rsa.fitted import fitted_models
from repbias.rsa.model_tests import model_tests_table
from repbias.rsa.rdms import read_rdms, write_layer_rdms
from repbias.rsa.tables import compare_models, compare_with_recording
from repbias.stimuli.images import Images

RNG = np.random.default_rng(0)
#: Files have the stimuli of the set in another order, and another one.
KNOWN = Images([f"im{i}" for i in range(6)], None)
FILE = ["im3", "im0", "blank", "im5", "im1", "im4", "im2"]
ROWS = [FILE.index(name) for name in KNOWN.ids]
SQUARES = {name: squareform(RNG.random(21)) for name in ("early", "late")}
EXPECTED = {n: squareform(s[np.ix_(ROWS, ROWS)]) for n, s in SQUARES.items()}


def spec_of(path, **settings):
    entry = {"kind": "rdm", "path": str(path), "stimuli": "shown", "stimulus_ids": FILE}
    return TypeAdapter(Network).validate_python(entry | settings)


def read(path, images=KNOWN, **settings):
    return read_model_rdms(spec_of(path, **settings), images)


def assert_rdms(found, expected=EXPECTED):
    """Exactly what was written, in the order of the set."""
    assert list(found) == list(expected)
    for layer, rdm in expected.items():
        np.testing.assert_array_equal(found[layer], rdm)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("kind", ["npz", "h5", "mat", "nc"])
def test_several_rdms_of_a_file(kind, pairs, tmp_path):
    path = tmp_path / f"models.{kind}"
    arrays = {n: squareform(s) if pairs else s for n, s in SQUARES.items()}
    axes = ["pair"] if pairs else ["stimulus", "stimulus"]
    if kind == "npz":
        np.savez(path, **arrays, names=FILE)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["names"] = FILE
            for name, array in arrays.items():
                file[name] = array
    elif kind == "mat":
        scipy.io.savemat(path, arrays | {"names": np.array(FILE, object)})
        axes = ["_", *axes] if pairs else axes
    else:
        names = ["pair"] if pairs else ["a", "b"]
        content = {n: (names, array) for n, array in arrays.items()}
        coordinate = {"names": ("c", FILE)}
        xarray.Dataset(content, coordinate).to_netcdf(path, engine="h5netcdf")
    assert_rdms(read(path, axes=axes, stimulus_ids="variable:names"))
    (only,) = read(path, axes=axes, layers=["late"])
    assert only == "late"


def test_a_folder_with_a_file_for_each_rdm(tmp_path):
    """As Net2Brain saves them: RDM_<layer>.npz with `rdm`, `stimuli_name`, and objects."""
    for layer, square in SQUARES.items():
        content = {"rdm": squareform(square), "stimuli_name": FILE, "layer_name": layer}
        np.savez(tmp_path / f"RDM_{layer}.npz", **content, meta=np.array({"distance": "x"}))
    names = {"variable": "rdm", "stimulus_ids": "variable:stimuli_name"}
    found = read(tmp_path, axes=["pair"], **names)
    assert_rdms({name.removeprefix("RDM_"): rdm for name, rdm in found.items()})


@pytest.mark.parametrize("order", [FILE, sorted(FILE)])
def test_a_table_with_labels_on_both_sides_is_read_by_the_labels(order, tmp_path):
    """As pandas writes a square frame; columns may follow another order than rows."""
    path = tmp_path / "late.csv"
    frame = pd.DataFrame(SQUARES["late"], index=FILE, columns=FILE)
    frame[order].to_csv(path)
    found = read(path, stimulus_ids="variable:index")
    assert_rdms(found, {"late": EXPECTED["late"]})
    np.savetxt(path, SQUARES["late"], delimiter=",", fmt="%.18g")
    assert_rdms(read(path), {"late": EXPECTED["late"]})


def test_rdms_of_rsatoolbox(tmp_path):
    rdms = rsatoolbox.rdm.RDMs(
        np.stack([squareform(s) for s in SQUARES.values()]),
        rdm_descriptors={"model": list(SQUARES)},
        pattern_descriptors={"stimulus": FILE},
    )
    rdms.save(str(tmp_path / "r.h5"), file_type="hdf5")
    found = read(
        tmp_path / "r.h5",
        variable="dissimilarities",
        axes=["layer", "pair"],
        layers="variable:rdm_descriptors/model",
        stimulus_ids="variable:pattern_descriptors/stimulus",
    )
    assert_rdms(found)


# What cannot be an RDM


def changed(row, column, value, both=True):
    square = SQUARES["late"].copy()
    square[row, column] = value
    if both:
        square[column, row] = value
    return square


@pytest.mark.parametrize(
    ("square", "problem"),
    [
        (changed(0, 1, 0.5, both=False), "an RDM is not symmetric"),
        (changed(2, 2, 1.0), "an RDM is not zero on its diagonal"),
        (changed(0, 1, np.nan), "1 of the 15 dissimilarities of RDM 'late' are NaN"),
        (changed(0, 1, -0.5), "1 of the 15 .* of RDM 'late' are negative .*similarity"),
        (1 - np.eye(7), "all 15 dissimilarities of RDM 'late' are the same"),
        (SQUARES["late"][:6], "the two stimulus axes have lengths 6 and 7"),
        (np.zeros((3, 7, 7)), "axes names 2 axes"),
    ],
)
def test_what_is_no_rdm_is_refused(square, problem, tmp_path):
    np.savez(tmp_path / "a.npz", late=square)
    with pytest.raises(RepbiasError, match=problem):
        read(tmp_path / "a.npz")


def test_cross_validated_dissimilarities_may_be_negative(tmp_path):
    assert reader.CROSS_VALIDATED == CROSS_VALIDATED
    np.savez(tmp_path / "a.npz", late=changed(0, 1, -0.5))
    for distance in CROSS_VALIDATED:
        (found,) = read(tmp_path / "a.npz", distance=distance).values()
        assert found.min() == -0.5


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"axes": ["stimulus"]}, "name 'stimulus' twice or 'pair' once"),
        ({"stimulus_ids": "files"}, "an RDM is of all stimuli"),
        ({"layers": {"a": ["b"]}}, "layers"),
        ({"axes": ["layer", "pair"]}, "name the entries of the axis 'layer'"),
    ],
)
def test_impossible_settings_are_refused(settings, problem, tmp_path):
    np.savez(tmp_path / "a.npz", **SQUARES)
    with pytest.raises(ValidationError, match=problem):
        spec_of(tmp_path / "a.npz", **settings)


def test_every_stacked_rdm_has_a_name(tmp_path):
    np.save(tmp_path / "a.npy", np.stack(list(SQUARES.values())))
    axes = ["layer", "stimulus", "stimulus"]
    assert_rdms(read(tmp_path / "a.npy", axes=axes, layers=["early", "late"]))
    with pytest.raises(RepbiasError, match="2 RDMs in the array, 1 named"):
        read(tmp_path / "a.npy", axes=axes, layers=["early"])


# The same as RDMs of layers


N = 24
SHOWN = Images(
    [f"s{i:02}" for i in range(N)],
    None,
    {"kind": np.array(["a", "b", "c"] * 8), "size": RNG.random(N)},
)
FEATURES = {
    "one": RNG.normal(size=(N, 9)),
    "two": RNG.normal(size=(N, 5)) + SHOWN.columns["size"][:, None],
}
GEOMETRY = Geometry(
    bootstraps=100, permutations=50, rdm_similarities=["corr", "spearman"], fitted=["weighted"]
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Activations and RDMs of the same model, as an array and as RDMs in files."""
    folder = tmp_path_factory.mktemp("models")
    np.savez(folder / "features.npz", **FEATURES)
    shared = {"path": str(folder / "features.npz"), "stimuli": "shown", "stimulus_ids": SHOWN.ids}
    entry = {"kind": "array", "distance": "euclidean"} | shared
    array = TypeAdapter(Network).validate_python(entry)
    files = {"array": folder / "array.h5", "rdm": folder / "rdm.h5"}
    with create(files["array"], "activations") as file:
        put_array_activations(file.create_group("mine"), "mine", array, SHOWN)
    opened = {"array": Activations.open(files["array"], "mine")}
    write_layer_rdms(folder / "rdms-array.h5", opened["array"], "correlation", None)
    rdms = {"array": read_rdms(folder / "rdms-array.h5")}

    order = RNG.permutation(N)
    ids = [SHOWN.ids[i] for i in order]
    squares = rdms["array"].as_rsatoolbox().get_matrices()[:, order][:, :, order]
    np.savez(folder / "rdms.npz", **dict(zip(FEATURES, squares, strict=True)))
    entry = {"kind": "rdm", "distance": "euclidean", "stimulus_ids": ids}
    spec = TypeAdapter(Network).validate_python(shared | entry | {"path": folder / "rdms.npz"})
    with create(files["rdm"], "activations") as file:
        put_model_rdms(file.create_group("mine"), "mine", spec, SHOWN)
    opened["rdm"] = Activations.open(files["rdm"], "mine")
    write_layer_rdms(folder / "rdms-rdm.h5", opened["rdm"], "correlation", None)
    rdms["rdm"] = read_rdms(folder / "rdms-rdm.h5")
    return opened, rdms


@pytest.fixture(scope="module")
def recording():
    """Responses of two subjects that have something of the model; of some stimuli only."""
    shown = [i for i in range(N) if i != 5]
    signal = FEATURES["two"][shown] @ RNG.normal(size=(5, 12))
    responses = signal[:, None] + RNG.normal(size=(N - 1, 3, 12))
    ids = np.array(SHOWN.ids)[shown]
    return Recording(
        {"stimulus_id": ids} | {name: v[shown] for name, v in SHOWN.columns.items()},
        responses.reshape(-1, 12),
        {"stimulus_id": np.repeat(ids, 3), "repeat": np.tile(np.arange(3), N - 1)},
        {
            "unit": np.array([f"u{i}" for i in range(12)]),
            "subject": np.repeat(["a", "b"], 6),
            "region": np.full(12, "V4"),
        },
        info={"kind": "array"},
    )


def test_the_rdm_file_is_the_same(both):
    _, rdms = both
    np.testing.assert_array_equal(rdms["rdm"].dissimilarities, rdms["array"].dissimilarities)
    assert rdms["rdm"].dissimilarity_measure == "euclidean"
    first = rdms["array"].dissimilarities[0]
    expected = pdist(np.float32(FEATURES["one"])) / np.sqrt(9)  # per unit, as rsatoolbox has it
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    for name in ("layer", "network", "snapshot"):
        assert rdms["rdm"].rdm_descriptors[name] == rdms["array"].rdm_descriptors[name]


@pytest.mark.parametrize(
    "table",
    [
        lambda r, rdms: compare_models("shown", rdms, GEOMETRY),
        lambda r, rdms: compare_with_recording("v4", r, "shown", rdms, GEOMETRY),
        lambda r, rdms: model_tests_table("v4", r, "shown", rdms, GEOMETRY),
        lambda r, rdms: audit_recording("v4", r, "shown", rdms, {}, GEOMETRY, Audit())["audit"],
        lambda r, rdms: audit_networks("shown", rdms, LAYERS, SHOWN, {}, Audit()),
    ],
    ids=["rsa_models", "rsa_recordings", "rsa_tests", "audit", "audit_networks"],
)
def test_tables_of_rsa_are_those_of_the_features_to_the_last_digit(table, both, recording):
    _, rdms = both
    others = {"others": rdms["array"]}
    found, expected = (table(recording, {"mine": rdms[k]} | others) for k in ("rdm", "array"))
    assert len(expected)
    assert_frame_equal(found, expected, check_exact=True)


LAYERS = {"mine": list(FEATURES), "others": list(FEATURES)}


def test_fitted_models_weigh_rdms_but_reweight_no_units(both, recording, caplog):
    opened, _ = both
    spec = GEOMETRY.model_copy(update={"fitted": ["weighted", "reweighted"]})
    tables = {
        kind: fitted_models("v4", recording, "shown", {"mine": a}, spec)
        for kind, a in opened.items()
    }
    expected = tables["array"][tables["array"]["model"] != "reweighted"]
    assert {"fixed", "weighted"} == set(tables["rdm"]["model"])
    # Of features, RDMs are computed of the recording's stimuli alone, which rounds otherwise.
    assert_frame_equal(tables["rdm"], expected.reset_index(drop=True), rtol=1e-10)
    assert "has RDMs only, without units that could be reweighted" in caplog.text


def test_encoding_says_why_there_is_none(both, recording, caplog):
    opened, _ = both
    spec = Encoding(n_alphas=3, permutations=0, folds=3, inner_folds=3)
    with caplog.at_level(logging.WARNING):
        table = encode_recording("v4", recording, "shown", {"mine": opened["rdm"]}, spec)
    assert table.empty
    said = "v4: mine is not encoded: of this model only RDMs are known, and no units that responses"
    assert said in caplog.text
    with pytest.raises(RepbiasError, match="has RDMs only"):
        opened["rdm"].read("one", 0)


def test_recovery_simulates_no_brains_from_rdms_where_there_are_responses(both, recording, caplog):
    opened, rdms = both
    spec = Recovery(enabled=True, simulations=2, measures=["rsa"])
    arguments = (GEOMETRY, Encoding(), spec)
    activations = {"mine": opened["array"], "theirs": opened["rdm"]}
    of_both = {"mine": rdms["array"], "theirs": rdms["rdm"]}
    table = recover("v4", recording, "shown", of_both, activations, *arguments)
    assert set(table["true_condition"]) - {""} == {"mine"}
    assert "no brains are simulated from theirs: of this model only RDMs are known" in caplog.text
    only = {"theirs": opened["rdm"]}
    table = recover("v4", recording, "shown", {"theirs": rdms["rdm"]}, only, *arguments)
    assert table["warning"].str.endswith("of theirs only RDMs are known").all()


def test_recovery_of_a_recording_of_rdms_takes_models_of_rdms(both):
    opened, rdms = both
    ids = np.array(SHOWN.ids)
    subjects = rdms["array"].dissimilarities + 0.1 * RNG.random((2, N * (N - 1) // 2))
    recording = Recording(
        {"stimulus_id": ids},
        rdms=subjects,
        rdm_info={
            "subject": np.array(["a", "b"]),
            "session": np.zeros(2, int),
            "region": np.array(["", ""]),
        },
        info={"kind": "rdms", "distance": "euclidean"},
    )
    spec = Recovery(enabled=True, simulations=2, measures=["rsa"])

    def recovered(kind):
        models = {"mine": rdms[kind]}, {"mine": opened[kind]}
        return recover("it", recording, "shown", *models, GEOMETRY, Encoding(), spec)

    assert len(recovered("rdm"))
    assert_frame_equal(recovered("rdm"), recovered("array"), check_exact=True)


def test_a_model_of_an_unknown_distance_leaves_the_audit_of_others_as_it_is(both, recording):
    _, rdms = both
    unknown = read_rdms_with("unknown", rdms["rdm"])
    both_models = {"mine": rdms["array"], "theirs": unknown}
    tables, alone = (
        audit_recording("v4", recording, "shown", models, {}, GEOMETRY, Audit())
        for models in (both_models, {"mine": rdms["array"]})
    )
    of_theirs = tables["audit"]["condition"] == "theirs"
    (row,) = tables["audit"][of_theirs].to_dict(orient="records")
    assert "dissimilarities of the kind 'unknown' are not divided" in row["warning"]
    assert row["feature"] == ""
    assert row["region"] == alone["audit"]["region"].iloc[0]
    shares = tables["audit"][~of_theirs].reset_index(drop=True)
    assert_frame_equal(shares, alone["audit"], check_exact=True)
    models = both_models | {"others": rdms["array"]}
    layers = {name: list(FEATURES) for name in models}
    table = audit_networks("shown", models, layers, SHOWN, {}, Audit())
    refused = table["warning"].str.contains("'unknown'")
    assert table[refused]["condition_a"].tolist() == ["theirs"]
    assert set(table[~refused]["condition_b"]) == {"others"}


def read_rdms_with(measure, rdms):
    """Return the same RDMs, of another measure."""
    return rsatoolbox.rdm.RDMs(
        rdms.dissimilarities,
        dissimilarity_measure=measure,
        rdm_descriptors=rdms.rdm_descriptors,
        pattern_descriptors=rdms.pattern_descriptors,
    )


# Real ones


def test_models_of_the_92_objects_compare_with_it_as_in_rsatoolbox(test_data, tmp_path):
    """Eight model RDMs in a structure array of MATLAB, and RDMs of human IT (Nili et al. 2014)."""
    folder = test_data / "rdm92_kriegeskorte2008"
    ids = [f"image{i + 1:02}" for i in range(92)]
    images = Images(ids, None)
    spec = spec_of(
        folder / "92_modelRDMs.mat",
        variable="Models.RDM",
        axes=["_", "layer", "stimulus", "stimulus"],
        layers="variable:Models.name",
        stimulus_ids=ids,
    )
    with create(tmp_path / "a.h5", "activations") as file:
        put_model_rdms(file, "models", spec, images)
    write_layer_rdms(tmp_path / "r.h5", Activations.open(tmp_path / "a.h5"), "correlation", None)
    models = read_rdms(tmp_path / "r.h5")
    raw = scipy.io.loadmat(folder / "92_modelRDMs.mat")["Models"]["RDM"][0]
    squares = np.stack(list(raw)).astype(float)
    np.testing.assert_array_equal(models.as_rsatoolbox().get_matrices(), squares)

    entry = {
        "kind": "rdms",
        "path": str(folder / "92_brainRDMs.mat"),
        "stimuli": "shown",
        "variable": "RDMs.RDM",
        "axes": ["_", "subject", "session", "stimulus", "stimulus"],
        "stimulus_ids": ids,
    }
    brain = reader.read(reader.RdmRecording(**entry), np.array(ids))
    geometry = Geometry(bootstraps=100, rdm_similarities=["corr", "spearman"])
    table = compare_with_recording("it", brain, "shown", {"models": models}, geometry)
    names = brain.rdm_info["subject"]
    subjects = [brain.rdms[names == name].mean(axis=0) for name in dict.fromkeys(names)]
    of_models = rsatoolbox.rdm.RDMs(squares)
    of_subjects = rsatoolbox.rdm.RDMs(np.stack(subjects))
    for measure in ("corr", "spearman"):
        expected = rsatoolbox.rdm.compare(of_models, of_subjects, measure).mean(axis=1)
        found = table[table["rdm_similarity"] == measure].set_index("layer")["similarity"]
        np.testing.assert_allclose(found[spec.layers], expected, rtol=1e-8)
