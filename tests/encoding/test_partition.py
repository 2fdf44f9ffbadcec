"""Variance partitioning: planted shares, duplicates, and what the configuration may name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.encoding.partition import partition_variance
from repbias.encoding.ridge import gram, predict, scores
from repbias.encoding.spec import Encoding
from repbias.io.activations import Activations as Opened
from repbias.io.activations import write_activations
from repbias.io.recordings import Recording
from repbias.tables import TABLES

FAST = {"folds": 3, "inner_folds": 3, "n_alphas": 5, "partition_iterations": 3}


def recording_of(means: np.ndarray, **columns) -> Recording:
    n, n_units = means.shape
    ids = np.array([f"s{i:03d}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids} | columns,
        responses=means,
        trials={"stimulus_id": ids, "repeat": np.zeros(n, int)},
        units={
            "unit": np.array([f"u{i}" for i in range(n_units)]),
            "subject": np.full(n_units, "one"),
            "region": np.full(n_units, "V4"),
        },
    )


@pytest.fixture
def opened(tmp_path):
    """Function that writes layers (network, stimulus, unit) of seeds 0, 1, ... with labels."""

    def make(name, layers, labels=None, included=None, snapshot="final", order=None):
        n, n_stimuli, _ = next(iter(layers.values())).shape
        order = np.arange(n_stimuli) if order is None else order
        ids = np.array([f"s{i:03d}" for i in order])
        networks = {
            "network": [f"seed{i}" for i in range(n)], "seed": list(range(n)),
            "snapshot": [snapshot] * n, "step": [9] * n, "included": included or [True] * n,
        }  # fmt: skip
        sizes = {layer: v.shape[2] for layer, v in layers.items()}
        labels = {k: np.asarray(v)[order] for k, v in (labels or {}).items()}
        path = tmp_path / f"{name}.h5"
        with write_activations(path, ids, networks, sizes, labels) as datasets:
            for layer, values in layers.items():
                datasets[layer][...] = values[:, order]
        return Opened.open(path)

    return make


def partition(recording, conditions, bands, **settings):
    spec = Encoding(**(FAST | settings), partition={"joint": bands})
    return partition_variance("v4", recording, "tasks", conditions, spec)


def parts_of(table, network=None):
    """Part to r2 (unit,)."""
    table = table if network is None else table[table["network"] == network]
    return {part: rows["r2"].to_numpy() for part, rows in table.groupby("part", sort=False)}


def recovery(n=400, seed=0):
    """Independent spaces of four features that make 60 % and 20 % of each unit's variance."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n, 4))

    def of(space, share):
        w = rng.normal(size=(4, 5))
        return np.sqrt(share) * space @ (w / np.linalg.norm(w, axis=0))

    return a, b, of(a, 0.6) + of(b, 0.2) + np.sqrt(0.2) * rng.normal(size=(n, 5))


def test_recovery_shares_are_recovered(opened):
    """Standard errors of a share at 400 stimuli are about .03."""
    a, b, y = recovery()
    members = {"first": opened("first", {"l": a[None]}), "second": opened("second", {"m": b[None]})}
    table = partition(recording_of(y), members, ["first:l", "second:m"])
    assert tuple(table.columns) == TABLES["variance_partition"].columns
    found = {part: r2.mean() for part, r2 in parts_of(table).items()}
    expected = {
        "all": 0.8, "alone first:l": 0.6, "alone second:m": 0.2, "unique first:l": 0.6,
        "unique second:m": 0.2, "shared": 0.0, "split first:l": 0.6, "split second:m": 0.2,
    }  # fmt: skip
    assert list(found) == list(expected)
    for part, share in expected.items():
        assert found[part] == pytest.approx(share, abs=0.06), part
    assert set(table["network"]) == {"seed0"}
    assert set(table["snapshot"]) == {"final"}
    assert set(table["n_stimuli"]) == {400}


def test_what_two_spaces_have_in_common_is_shared(opened):
    """a and b of one variance each, c = b: of a | b and b | c, b's half is shared."""
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 400, 1))
    y = (a + b + c) @ np.ones((1, 4)) / np.sqrt(4) + 0.5 * rng.normal(size=(400, 4))
    ab, bc = np.concatenate([a, b], axis=1), np.concatenate([b, c], axis=1)
    member = {"net": opened("net", {"ab": ab[None], "bc": bc[None]})}
    parts = parts_of(partition(recording_of(y), member, ["net:ab", "net:bc"]))
    expected = {"all": 3 / 4, "unique net:ab": 1 / 4, "unique net:bc": 1 / 4, "shared": 1 / 4}
    for part, share in expected.items():
        assert parts[part].mean() == pytest.approx(share, abs=0.06), part


def test_a_space_twice_adds_nothing_of_its_own(opened):
    a, _, y = recovery(200)
    rotated = 7 * a @ ortho_group.rvs(4, random_state=0) + 3
    member = {"net": opened("net", {"l": a[None], "again": rotated[None]})}
    parts = parts_of(partition(recording_of(y), member, ["net:l", "net:again"]))
    for band in ("net:l", "net:again"):
        np.testing.assert_allclose(parts[f"unique {band}"], 0, atol=0.005)
    np.testing.assert_allclose(parts["shared"], parts["all"], atol=0.01)
    assert parts["all"].min() > 0.3


def three(n=60, seed=2, units=3):
    rng = np.random.default_rng(seed)
    spaces = rng.normal(size=(3, n, 4))
    y = sum(s @ rng.normal(size=(4, units)) for s in spaces) + 3 * rng.normal(size=(n, units))
    return spaces, y


def test_parts_are_sums_and_differences_of_cross_validated_fits(opened):
    spaces, y = three()
    layers = dict(zip("abc", spaces[:, None], strict=True))
    names = [f"net:{layer}" for layer in layers]
    parts = parts_of(partition(recording_of(y), {"net": opened("net", layers)}, names))
    assert list(parts) == [
        "all", *(f"alone {n}" for n in names),
        "together net:a + net:b", "together net:a + net:c", "together net:b + net:c",
        *(f"unique {n}" for n in names), "shared", *(f"split {n}" for n in names),
    ]  # fmt: skip
    kernels = np.stack([gram(s.astype(np.float32)) for s in spaces])

    def r2(*bands):
        return scores(predict(kernels[list(bands)], y, Encoding(**FAST)), y)[1]

    np.testing.assert_allclose(parts["all"], r2(0, 1, 2), atol=1e-9)
    np.testing.assert_allclose(parts["alone net:b"], r2(1), atol=1e-9)
    np.testing.assert_allclose(parts["together net:a + net:c"], r2(0, 2), atol=1e-9)
    np.testing.assert_allclose(parts["unique net:b"], r2(0, 1, 2) - r2(0, 2), atol=1e-9)
    unique = sum(parts[f"unique {n}"] for n in names)
    np.testing.assert_allclose(parts["shared"], parts["all"] - unique, atol=1e-12)
    split = sum(parts[f"split {n}"] for n in names)
    np.testing.assert_allclose(split, parts["all"], atol=1e-12)


@pytest.mark.slow
def test_errors_are_jackknifed_over_the_stimuli_of_a_region(opened):
    """Against parts from scratch, without a stimulus; himalaya splits r2, units are averaged."""
    spaces, y = three(n=30, units=4)
    y[20:, 3] = np.nan  # a unit that saw fewer stimuli counts in its region all the same
    recording = recording_of(y)
    recording.units["region"] = np.array(["V4", "V4", "IT", "V4"])
    net = opened("net", {"a": spaces[:1], "b": spaces[1:2]})
    table = partition(recording, {"net": net}, ["net:a", "net:b"])
    without = {part: [] for part in ("alone net:b", "unique net:a", "shared", "split net:a")}
    for left_out in range(30):
        found = {part: [] for part in without}
        for unit in (0, 1, 3):
            seen = np.flatnonzero(~np.isnan(y[:, unit]))
            used = seen != left_out
            kernels = np.stack([gram(s[seen].astype(np.float32)) for s in spaces[:2]])
            fits = [
                predict(kernels[bands], y[seen][:, [unit]], Encoding(**FAST))
                for bands in ([0], [1], [0, 1])
            ]
            target = (y[seen][:, [unit]] - fits[2].baseline)[used]
            a, b, both = (1 - ((target - f.parts.sum(0)[used]) ** 2).sum() / (target**2).sum()
                          for f in fits)  # fmt: skip
            split = np.sum(target * fits[2].parts[0][used] * 2)
            split -= np.sum(fits[2].parts[0][used] * fits[2].parts.sum(0)[used])
            found["alone net:b"].append(b)
            found["unique net:a"].append(both - b)
            found["shared"].append(a + b - both)
            found["split net:a"].append(split / (target**2).sum())
        for part, values in found.items():
            without[part].append(np.mean(values))
    of_v4 = table[table["region"] == "V4"].set_index("part")
    for part, values in without.items():
        error = np.sqrt(29 * np.var(values) * 3 / 2)
        np.testing.assert_allclose(of_v4.loc[part, "r2_error"], error, rtol=1e-6)


def test_of_more_than_three_bands_not_every_subset_is_fitted(opened):
    spaces, y = three(units=1)
    layers = dict(zip("abc", spaces[:, None], strict=True)) | {"d": spaces[:1] + spaces[1:2]}
    names = [f"net:{layer}" for layer in layers]
    recording, member = recording_of(y), {"net": opened("net", layers)}
    parts = parts_of(partition(recording, member, names, partition_iterations=1))
    kinds = [part.split()[0] for part in parts]
    assert kinds == ["all", *["alone"] * 4, *["unique"] * 4, "shared", *["split"] * 4]
    np.testing.assert_allclose(sum(parts[f"split {n}"] for n in names), parts["all"], atol=1e-12)


def test_noise_is_not_clipped_at_zero(opened):
    rng = np.random.default_rng(0)
    noise = opened("noise", {"l": rng.normal(size=(1, 40, 30)), "m": rng.normal(size=(1, 40, 30))})
    y = rng.normal(size=(40, 40))
    table = partition(recording_of(y), {"noise": noise}, ["noise:l", "noise:m"])
    for part, r2 in parts_of(table).items():
        assert r2.min() < 0, part


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-9, 1e9), offset=st.floats(-100, 100))
def test_rotated_features_and_moved_responses_change_nothing(seed, scale, offset):
    spaces, y = three(seed=seed)
    spec = Encoding(**FAST)
    rotation = ortho_group.rvs(4, random_state=seed)
    kernels = np.stack([gram(s) for s in spaces])
    moved = np.stack([gram(5 * s @ rotation + 2) for s in spaces])
    expected, found = predict(kernels, y, spec), predict(moved, scale * (y + offset), spec)
    np.testing.assert_allclose(
        scores(found, scale * (y + offset))[1], scores(expected, y)[1], atol=1e-7
    )
    np.testing.assert_allclose(found.parts / scale, expected.parts, atol=1e-6)


def test_bands_are_of_the_same_seed_and_single_networks_serve_all(opened):
    rng = np.random.default_rng(3)
    layers, pixels = rng.normal(size=(3, 40, 4)), rng.normal(size=(1, 40, 5))
    other, y = rng.normal(size=(4, 40, 4)), rng.normal(size=(40, 2)) + layers[2, :, :2]
    members = {
        "targets=both": opened("both", {"hidden2": layers}, included=[True, False, True]),
        "targets=easy": opened("easy", {"hidden1": other}, included=[True, True, True, True]),
        "pixels": opened("pixels", {"pixels": pixels}, order=rng.permutation(40)),
    }
    bands = ["targets=both:hidden2", "pixels:pixels", "targets=easy:hidden1"]
    table = partition(recording_of(y), members, bands)
    assert list(dict.fromkeys(table["network"])) == ["seed0", "seed2"]
    for seed in (0, 2):
        spaces = (layers[seed], pixels[0], other[seed])
        kernels = np.stack([gram(s.astype(np.float32)) for s in spaces])
        expected = scores(predict(kernels, y, Encoding(**FAST)), y)[1]
        np.testing.assert_allclose(parts_of(table, f"seed{seed}")["all"], expected, atol=1e-9)


def test_without_a_common_seed_there_are_no_rows(opened, caplog):
    layers = np.random.default_rng(0).normal(size=(2, 40, 4))
    members = {
        "a": opened("a", {"l": layers}, included=[True, False]),
        "b": opened("b", {"l": layers}, included=[False, True]),
        "c": opened("c", {"l": layers[:1]}, included=[False]),
    }
    y = recording_of(layers[0])
    for bands in (["a:l", "b:l"], ["a:l", "c:l"]):
        assert partition(y, members, bands).empty
        assert "joint: no seed of all its networks was included" in caplog.text
        caplog.clear()


def test_labels_and_columns_of_the_stimuli_are_bands(opened):
    """Text is one-hot; numbers count the same whatever their unit; joined by id."""
    rng = np.random.default_rng(4)
    labels = {"easy": rng.integers(0, 2, 60), "hard": rng.integers(0, 2, 60)}
    kind, size = np.array(["cat", "dog", "car"])[rng.integers(0, 3, 60)], rng.normal(size=60)
    x = rng.normal(size=(1, 60, 3))
    net = opened("net", {"l": x}, labels, order=rng.permutation(60))
    y = np.stack([labels["easy"], kind == "dog", size, labels["hard"]], axis=1) * 4.0
    y += 0.3 * rng.normal(size=y.shape)
    recording = recording_of(y, kind=kind, size=1000 * size)
    bands = ["labels:easy", "labels", "stimuli:kind", "stimuli:size"]
    table = partition(recording, {"net": net}, bands)
    assert set(table["network"]) == {""}
    found = {p: r2.round(1).tolist() for p, r2 in parts_of(table).items() if "alone" in p}
    strong = {band: np.array(found[f"alone {band}"]) > 0.8 for band in bands}
    assert strong["labels:easy"].tolist() == [True, False, False, False]
    assert strong["labels"].tolist() == [True, False, False, True]
    assert strong["stimuli:kind"].tolist() == [False, True, False, False]
    assert strong["stimuli:size"].tolist() == [False, False, True, False]
    with_layer = partition(recording, {"net": net}, ["labels", "net:l"])
    assert set(with_layer["network"]) == {"seed0"}


def test_groups_and_missing_stimuli_count_here_too(opened):
    spaces, y = three()
    y[40:, 1] = np.nan
    groups = np.arange(60) // 4
    net = opened("net", {"a": spaces[:1], "b": spaces[1:2]})
    recording = recording_of(y, object=groups)
    recording.info["groups"] = "object"
    table = partition(recording, {"net": net}, ["net:a", "net:b"])
    assert table.set_index("unit")["n_stimuli"].to_dict() == {"u0": 60, "u1": 40, "u2": 60}
    kernels = np.stack([gram(s[:40].astype(np.float32)) for s in spaces[:2]])
    fit = predict(kernels, y[:40, [1]], Encoding(**FAST), StimulusGroups.of(groups[:40], "object"))
    found = table[(table["unit"] == "u1") & (table["part"] == "all")]["r2"]
    np.testing.assert_allclose(found, scores(fit, y[:40, [1]])[1], atol=1e-9)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (["net:ll", "labels"], "joint: 'net' has no layer 'll'; did you mean 'l'"),
        (["stimuli:knd", "net:l"], "joint: .* have no column 'knd'; did you mean 'kind'"),
        (["stimuli:stimulus_id", "net:l"], "joint: .* no column 'stimulus_id'"),
        (["stimuli:same", "net:l"], "joint: 'stimuli:same' is the same for all stimuli"),
        (["stimuli:gap", "net:l"], "joint: 'stimuli:gap' has numbers missing"),
        (["few:l", "net:l"], "joint: 'few' did not see all stimuli"),
    ],
)
def test_bands_that_do_not_exist_are_refused(opened, bands, message):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1, 30, 3))
    gap = rng.normal(size=30)
    gap[4] = np.nan
    columns = {"kind": np.array(["a", "b"] * 15), "same": np.full(30, "a"), "gap": gap}
    members = {
        "net": opened("net", {"l": x}, {"easy": rng.integers(0, 2, 30)}),
        "few": opened("few", {"l": x}, order=np.arange(20)),
    }
    with pytest.raises(RepbiasError, match=f"encoding.partition.{message}"):
        partition(recording_of(x[0], **columns), members, bands)


def test_labels_that_conditions_do_not_agree_on_are_refused(opened):
    x, labels = np.random.default_rng(6).normal(size=(1, 30, 3)), np.arange(30) % 2
    members = {
        "a": opened("a", {"l": x}, {"easy": labels}),
        "b": opened("b", {"l": x}, {"easy": 1 - labels}),
    }
    with pytest.raises(RepbiasError, match="labels of 'easy' in 'b' differ"):
        partition(recording_of(x[0]), members, ["labels", "a:l"])


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (["nets:l", "net:l"], "nothing is called 'nets'"),
        (["labels:esy", "net:l"], "no labels of 'esy'; did you mean 'easy'"),
        (["labels", "bare:l"], "no labels of the recording's stimuli are known"),
    ],
)
def test_a_model_of_another_recording_is_left_out(opened, bands, message, caplog):
    x, labels = np.random.default_rng(6).normal(size=(1, 30, 3)), np.arange(30) % 2
    members = {"bare": opened("bare", {"l": x})}
    if "net:l" in bands:
        members["net"] = opened("net", {"l": x}, {"easy": labels})
    assert partition(recording_of(x[0]), members, bands).empty
    assert f"v4: joint is left out: encoding.partition.joint: {message}" in caplog.text


def test_nothing_to_partition_gives_no_rows(opened):
    x = np.random.default_rng(7).normal(size=(1, 30, 3))
    net = {"net": opened("net", {"l": x, "m": 2 * x})}
    nothing = partition_variance("v4", recording_of(x[0]), "tasks", net, Encoding(**FAST))
    rdms = Recording(stimuli={"stimulus_id": np.array(["a", "b"])}, rdms=np.ones((1, 1)))
    for table in (nothing, partition(rdms, net, ["net:l", "net:m"])):
        assert table.empty
        assert tuple(table.columns) == TABLES["variance_partition"].columns


def test_a_network_that_diverged_is_left_out(opened, caplog):
    x = np.random.default_rng(8).normal(size=(2, 40, 3))
    bad = x.copy()
    bad[0, 3] = np.inf
    net = {"net": opened("net", {"l": x, "m": bad})}
    table = partition(recording_of(x[0]), net, ["net:l", "net:m"])
    assert set(table["network"]) == {"seed1"}
    assert "v4: joint, seed0 is not finite; left out" in caplog.text
