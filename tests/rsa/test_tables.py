"""Tables of RSA: every pair once, only like with like, and joined by id."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from rsatoolbox.rdm import compare
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import cg
from scipy.spatial.distance import pdist

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.parts import of_region
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.rsa.rdms import make_rdms
from repbias.rsa.tables import (
    compare_models,
    compare_recordings,
    compare_with_recording,
    compare_with_subjects,
    compare_with_untrained,
)
from repbias.tables import TABLES

IDS = [f"s{i:02d}" for i in range(10)]
NETWORKS = [(0, "initial"), (1, "initial"), (0, "mastered"), (0, "final"), (1, "final")]
LAYERS = ["hidden1", "hidden2"]
SIDE = ["condition", "network", "seed", "layer", "step", "included"]


def condition(seed, ids=IDS, networks=NETWORKS, layers=LAYERS):
    """RDMs of every layer and network, and (snapshot, seed, layer) to each RDM's vector."""
    rng = np.random.default_rng(seed)
    rows = [(snapshot, s, layer) for s, snapshot in networks for layer in layers]
    vectors = np.array([pdist(rng.normal(size=(len(ids), 6)), "correlation") for _ in rows])
    info = {
        "layer": [layer for _, _, layer in rows],
        "network": [f"seed{s}" for _, s, _ in rows],
        "seed": [s for _, s, _ in rows],
        "snapshot": [snapshot for snapshot, _, _ in rows],
        "step": [100] * len(rows),
        "included": [s == 0 for _, s, _ in rows],
    }
    return make_rdms(vectors, ids, "correlation", info), dict(zip(rows, vectors, strict=True))


def test_every_pair_of_a_snapshot_is_compared_once():
    rdms, vectors = {}, {}
    for seed, name in enumerate(("easy", "hard")):
        rdms[name], of_condition = condition(seed)
        vectors |= {(name, *key): vector for key, vector in of_condition.items()}
    table = compare_models("tasks", rdms, Geometry())
    assert tuple(table.columns) == TABLES["rsa_models"].columns
    assert set(table["experiment"]) == {"tasks"}
    found = {}
    for _, row in table.iterrows():
        a, b = ((row[f"condition_{s}"], row["snapshot"], row[f"seed_{s}"], row[f"layer_{s}"])
                for s in "ab")  # fmt: skip
        pair = frozenset((a, b))
        assert len(pair) == 2, "compared with itself"
        assert pair not in found, "compared twice"
        found[pair] = row["similarity"]
        assert row["included_a"] == (row["seed_a"] == 0)
    expected = {frozenset((a, b)) for a, b in combinations(vectors, 2) if a[1] == b[1]}
    assert found.keys() == expected
    for pair, similarity in found.items():
        a, b = pair
        assert similarity == pytest.approx(np.corrcoef(vectors[a], vectors[b])[0, 1], abs=1e-12)


def test_every_rdm_similarity_is_rsatoolboxs():
    rdms, vectors = condition(0, networks=[(0, "final")])
    rdm_similarities = ["spearman", "cosine", "rho-a"]
    table = compare_models("tasks", {"easy": rdms}, Geometry(rdm_similarities=rdm_similarities))
    assert list(table["rdm_similarity"]) == rdm_similarities
    one, two = vectors.values()
    for _, row in table.iterrows():
        expected = compare(one[None], two[None], row["rdm_similarity"])[0, 0]
        assert row["similarity"] == pytest.approx(expected, abs=1e-12)


def test_different_stimuli_are_never_paired():
    """Same number of stimuli, so that a comparison by position would go unnoticed."""
    other = [*IDS[:-1], "another"]
    rdms = {"a": condition(0)[0], "b": condition(1, ids=other)[0], "c": condition(2)[0]}
    table = compare_models("tasks", rdms, Geometry())
    pairs = set(zip(table["condition_a"], table["condition_b"], strict=True))
    assert {frozenset(pair) for pair in pairs} == {
        frozenset("a"), frozenset("b"), frozenset("c"), frozenset("ac")
    }  # fmt: skip


def reordered(rdms, seed):
    """The same RDMs with their stimuli in a random order, by rsatoolbox."""
    other = rdms.as_rsatoolbox()
    other.reorder(np.random.default_rng(seed).permutation(other.n_cond))
    return replace(
        rdms,
        dissimilarities=other.dissimilarities,
        pattern_descriptors=other.pattern_descriptors,
    )


def test_the_same_stimuli_in_another_order_are_joined_by_id():
    rdms, _ = condition(0, networks=[(0, "final")], layers=["hidden1"])
    table = compare_models("tasks", {"a": rdms, "b": reordered(rdms, 1)}, Geometry())
    between = table[table["condition_a"] != table["condition_b"]]
    assert between["similarity"].tolist() == pytest.approx([1.0])


def test_one_network_alone_has_nothing_to_compare():
    rdms, _ = condition(0, networks=[(0, "final")], layers=["hidden1"])
    table = compare_models("tasks", {"a": rdms}, Geometry())
    assert table.empty
    assert tuple(table.columns) == TABLES["rsa_models"].columns


def brain(ids=IDS, n_subjects=3, seed=9):
    rng = np.random.default_rng(seed)
    vectors = np.array(
        [pdist(rng.normal(size=(len(ids), 6)), "correlation") for _ in range(n_subjects)]
    )
    return Recording(
        stimuli={"stimulus_id": np.array(ids)},
        rdms=vectors,
        rdm_info={"subject": np.array([f"subject{i}" for i in range(n_subjects)])},
    )


SPEC = Geometry(bootstraps=100, rdm_similarities=["corr", "spearman"])


def test_every_layer_is_compared_with_the_mean_over_subjects():
    recording, (rdms, vectors) = brain(), condition(0)
    table = compare_with_recording("it", recording, "tasks", {"easy": rdms}, SPEC)
    assert tuple(table.columns) == TABLES["rsa_recordings"].columns
    assert len(table) == 2 * len(vectors)
    assert set(table["n_subjects"]) == {3}
    assert set(table["n_stimuli"]) == {10}
    for _, row in table.iterrows():
        vector = vectors[row["snapshot"], row["seed"], row["layer"]]
        expected = compare(vector[None], recording.rdms, row["rdm_similarity"]).mean()
        assert row["similarity"] == pytest.approx(expected, abs=1e-12)
        assert row["ci_low"] < row["similarity"] < row["ci_high"]


def test_the_order_of_a_models_stimuli_does_not_matter():
    """Nor do further stimuli, which the recording lacks."""
    rdms, _ = condition(0, ids=[*IDS, "more1", "more2"])
    recording = brain()
    expected = compare_with_recording("it", recording, "tasks", {"easy": rdms}, SPEC)
    found = compare_with_recording("it", recording, "tasks", {"easy": reordered(rdms, 2)}, SPEC)
    assert_frame_equal(found, expected)


def test_conditions_that_saw_other_stimuli_are_left_out_and_named(caplog):
    rdms, _ = condition(0)
    other, _ = condition(1, ids=[*IDS[:-1], "another"])
    with caplog.at_level(logging.WARNING):
        table = compare_with_recording("it", brain(), "tasks", {"a": rdms, "b": other}, SPEC)
    assert set(table["condition"]) == {"a"}
    assert "b saw other stimuli" in caplog.text
    assert compare_with_recording("it", brain(), "tasks", {"b": other}, SPEC).empty


def test_too_few_stimuli_are_refused():
    rdms, _ = condition(0)
    with pytest.raises(RepbiasError, match="'it': 3 stimuli; RSA needs at least 4"):
        compare_with_recording("it", brain(ids=IDS[:3]), "tasks", {"a": rdms}, SPEC)


def test_recordings_are_compared_over_their_common_stimuli():
    """Every pair once, by id; mean over pairs of subjects, and with the mean RDMs."""
    one = brain(n_subjects=2, seed=1)
    two = brain(ids=[*IDS[4:], "more1", "more2"], n_subjects=3, seed=2)
    apart = brain(ids=["a", "b", "c", *IDS[:3]], seed=3)
    table = compare_recordings({"one": one, "two": two, "apart": apart}, SPEC)
    assert tuple(table.columns) == TABLES["rsa_between_recordings"].columns
    assert set(zip(table["recording_a"], table["recording_b"], strict=True)) == {("one", "two")}
    assert set(table["n_stimuli"]) == {6}
    inside = [i for i, pair in enumerate(combinations(range(10), 2)) if min(pair) >= 4]
    outside = [i for i, pair in enumerate(combinations(range(8), 2)) if max(pair) < 6]
    x, y = one.rdms[:, inside], two.rdms[:, outside]
    for rdm_similarity in SPEC.rdm_similarities:
        means, mean_rdm = table[table["rdm_similarity"] == rdm_similarity].itertuples()
        expected = compare(x, y, rdm_similarity).mean()
        assert means.similarity == pytest.approx(expected, abs=1e-12)
        assert means.interval.endswith("(these subjects only), mean over pairs of subjects")
        averages = x.mean(axis=0)[None], y.mean(axis=0)[None]
        expected = compare(*averages, rdm_similarity)[0, 0]
        assert mean_rdm.similarity == pytest.approx(expected, abs=1e-12)
        assert mean_rdm.interval.endswith("mean RDM")
        assert mean_rdm.ci_low < mean_rdm.similarity < mean_rdm.ci_high


def test_single_subjects_are_compared_once():
    table = compare_recordings({"a": brain(n_subjects=1), "b": brain(n_subjects=1, seed=1)}, SPEC)
    assert len(table) == len(SPEC.rdm_similarities)
    assert set(table["interval"]) == {"95 %, bootstrap of stimuli (these subjects only)"}


def test_monkey_and_human_it_correlate_as_published(test_data):
    """Kriegeskorte et al. (2008): .49, of the mean RDM of four subjects."""
    folder = test_data / "rdm92_kriegeskorte2008"
    shared = {"kind": "rdms", "stimuli": "objects92", "stimulus_ids": "sorted"}
    human = RdmRecording(
        path=folder / "92_brainRDMs.mat",
        variable="RDMs.RDM",
        axes=["_", "subject", "session", "stimulus", "stimulus"],
        **shared,
    )
    monkey = RdmRecording(
        path=folder / "Kriegeskorte_Neuron2008_supplementalData.mat",
        variable="RDMs_mIT_hIT_fig1.RDM",
        axes=["_", "subject", "_", "pair"],
        only_subjects=[0],
        **shared,
    )
    ids = np.array([f"image{i + 1:02d}" for i in range(92)])
    recordings = {name: read_recording(r, ids) for name, r in (("m", monkey), ("h", human))}
    table = compare_recordings(recordings, SPEC).set_index(["rdm_similarity", "interval"])
    interval = "95 %, bootstrap of stimuli (these subjects only), "
    similarity = table["similarity"]
    assert similarity["corr", interval + "mean RDM"] == pytest.approx(0.4912, abs=5e-5)
    over_subjects = similarity["corr", interval + "mean over pairs of subjects"]
    assert over_subjects == pytest.approx(0.3335, abs=5e-5)


def test_whitened_rdm_similarities_go_beyond_99_stimuli():
    """rsatoolbox fails there; whitening with the matrix of Diedrichsen et al. (2021), inverted."""
    ids = [f"s{i:03d}" for i in range(101)]
    rdms, vectors = condition(0, ids=ids, networks=[(0, "final")])
    table = compare_models("tasks", {"easy": rdms}, Geometry(rdm_similarities=["cosine_cov"]))
    n = 101
    first, second = np.triu_indices(n, 1)
    contrast = np.zeros((len(first), n))
    contrast[np.arange(len(first)), first], contrast[np.arange(len(first)), second] = 1, -1
    whiten = csr_matrix((contrast @ contrast.T) ** 2)
    one, two = vectors.values()
    solved = [cg(whiten, v, rtol=1e-12)[0] for v in (one, two)]
    expected = one @ solved[1] / np.sqrt((one @ solved[0]) * (two @ solved[1]))
    assert table["similarity"].item() == pytest.approx(expected, abs=1e-9)


# Regions and subjects


def two_regions(seed=3, n_units=(8, 6)):
    """Two subjects with units in V4 and IT, three repeats."""
    rng = np.random.default_rng(seed)
    units = [(s, r) for s in ("a", "b") for r, n in zip(("V4", "IT"), n_units, strict=True)
             for _ in range(n)]  # fmt: skip
    subjects, regions = map(np.array, zip(*units, strict=True))
    return Recording(
        stimuli={"stimulus_id": np.array(IDS)},
        responses=rng.normal(size=(30, len(units))),
        trials={"stimulus_id": np.repeat(IDS, 3), "repeat": np.tile(np.arange(3), 10)},
        units={
            "unit": np.array([f"u{i:02d}" for i in range(len(units))]),
            "subject": subjects,
            "region": regions,
        },
    )


def test_regions_are_never_pooled():
    """Each has the rows of a recording that is of it alone."""
    recording, models = two_regions(), {"easy": condition(0)[0]}
    spec = Geometry(bootstraps=100, rdm_similarities=["corr", "spearman"])
    table = compare_with_recording("mine", recording, "tasks", models, spec)
    assert set(table["region"]) == {"V4", "IT"}
    for region, found in table.groupby("region"):
        alone = compare_with_recording("mine", of_region(recording, region), "tasks", models, spec)
        assert set(alone["region"]) == {""}  # of one region there is no need to say which
        expected = alone.assign(region=region)
        assert_frame_equal(found.reset_index(drop=True), expected)
        patterns = recording.responses.reshape(10, 3, -1).mean(axis=1)
        vectors = [
            pdist(patterns[:, (recording.units["subject"] == s)
                           & (recording.units["region"] == region)], "correlation")
            for s in "ab"
        ]  # fmt: skip
        first = found[found["rdm_similarity"] == "corr"].iloc[0]
        model = models["easy"].dissimilarities[0]
        expected = np.mean([np.corrcoef(model, v)[0, 1] for v in vectors])
        assert first["similarity"] == pytest.approx(expected)


def test_units_without_a_region_are_left_out_beside_others():
    recording = two_regions()
    recording.units["region"] = np.where(recording.units["region"] == "IT", "", "V4")
    table = compare_with_recording(
        "mine", recording, "tasks", {"easy": condition(0)[0]}, Geometry(bootstraps=100)
    )
    assert set(table["region"]) == {"V4"}


def test_a_region_of_too_few_units_is_left_out_and_named(caplog):
    table = compare_with_recording(
        "mine",
        two_regions(n_units=(8, 2)),
        "tasks",
        {"easy": condition(0)[0]},
        Geometry(bootstraps=100),
    )
    assert set(table["region"]) == {"V4"}
    assert "'mine, IT', a: 2 units were" in caplog.text
    assert "no RSA of it" in caplog.text


def test_every_subject_has_rows_of_its_own():
    recording, models = two_regions(), {"easy": condition(0)[0]}
    spec = Geometry(bootstraps=100)
    table = compare_with_subjects("mine", recording, "tasks", models, spec)
    assert set(table[["region", "subject"]].itertuples(index=False, name=None)) == {
        ("V4", "a"), ("V4", "b"), ("IT", "a"), ("IT", "b")
    }  # fmt: skip
    means = compare_with_recording("mine", recording, "tasks", models, spec)
    keys = ["region", "snapshot", "seed", "layer"]
    by_subject = table.groupby(keys)["similarity"].mean()
    np.testing.assert_allclose(by_subject[means.set_index(keys).index], means["similarity"])
    assert (table["interval"] == "95 %, bootstrap of stimuli (these subjects only)").all()
    one = compare_with_subjects("mine", of_region(recording, "V4"), "tasks", models, spec)
    assert set(one["subject"]) == {"a", "b"}


def test_recordings_are_compared_region_by_region():
    recordings = {"one": two_regions(), "two": of_region(two_regions(4), "V4")}
    table = compare_recordings(recordings, Geometry(bootstraps=100))
    assert set(table[["region_a", "region_b"]].itertuples(index=False, name=None)) == {
        ("IT", ""), ("V4", "")
    }  # fmt: skip


def test_intervals_end_where_similarities_do():
    rdms, vectors = condition(0, networks=[(0, "final")], layers=["hidden1"])
    (vector,) = vectors.values()
    noise = np.random.default_rng(0).normal(size=(3, 45))
    recording = brain(n_subjects=3)
    recording.rdms = vector + 0.15 * noise
    table = compare_with_recording(
        "mine", recording, "tasks", {"a": rdms}, Geometry(bootstraps=200)
    )
    assert table["ci_high"].max() <= 1
    assert (table["ci_low"] < table["similarity"]).all()


@pytest.mark.parametrize(("sign", "end"), [(1, "ci_high"), (-1, "ci_low")])
def test_intervals_between_recordings_end_where_similarities_do(sign, end):
    """Of high correlations with a few outliers."""
    rng = np.random.default_rng(0)
    common = rng.uniform(1, 3, size=45)
    recordings = {"one": brain(n_subjects=3), "two": brain(n_subjects=3)}
    for recording, direction in zip(recordings.values(), (1, sign), strict=True):
        noise = 0.04 * rng.normal(size=(3, 45)) ** 5
        recording.rdms = 5 + direction * (common + noise)
    table = compare_recordings(recordings, Geometry(bootstraps=100))
    (row,) = table[table["interval"].str.endswith("mean RDM")].itertuples()
    assert getattr(row, end) == sign
    assert row.ci_low < row.similarity < row.ci_high


def test_trained_networks_are_compared_with_untrained_ones_of_their_condition() -> None:
    """Layer by layer, their own included, as rsatoolbox compares."""
    rng = np.random.default_rng(0)
    rows = [
        (layer, snapshot, seed)
        for layer in ("one", "two")
        for snapshot, seeds in (("initial", 3), ("mastered", 2), ("final", 3))
        for seed in range(seeds)
    ]
    info = {"network": [f"seed{s}" for *_, s in rows], "seed": [s for *_, s in rows]}
    info |= {"snapshot": [s for _, s, _ in rows], "layer": [layer for layer, *_ in rows]}
    info |= {"step": [0] * len(rows), "included": [True] * len(rows)}
    ids = np.arange(8).astype(str)
    vectors = rng.random((len(rows), 28))
    vectors[0] = 1.0  # constant: undefined
    rdms = make_rdms(vectors, ids, "correlation", info)
    table = compare_with_untrained("e", {"c": rdms}, Geometry(rdm_similarities=["corr", "cosine"]))
    assert tuple(table.columns) == TABLES["rsa_untrained"].columns
    assert len(table) == 2 * 2 * (2 + 3) * 3
    for row in table.itertuples():
        trained = rows.index((row.layer, row.snapshot, row.seed))
        untrained = rows.index((row.layer, "initial", row.untrained_seed))
        if untrained == 0 and row.rdm_similarity == "corr":
            assert np.isnan(row.similarity)
        else:
            expected = compare(vectors[[trained]], vectors[[untrained]], row.rdm_similarity)[0, 0]
            assert row.similarity == pytest.approx(expected)
            assert row.untrained == f"seed{row.untrained_seed}"
