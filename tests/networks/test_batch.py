"""Networks that are there already are not trained again, and come out as if they were."""

import dataclasses
import logging

import numpy as np
import pytest

from repbias.base.spec import RepbiasError
from repbias.io.hdf5 import write_members
from repbias.networks import batch
from repbias.networks.batch import learning_tables, remember, train_batch
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.stimuli.bits import Bits
from repbias.stimuli.manipulations import Agreement

FEATURES = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
SIZES = {"noise_bits": 4, "n_train": 96, "n_validation": 32, "n_test": 32}
FAMILY = Bits(features=FEATURES, **SIZES)
COMMON = FAMILY.model_copy(update={"training_sets": "common"})


def conditions(seeds=3, slow=0.003, family=FAMILY, **training):
    """Two conditions, of which one learns more slowly."""
    common = {"batch_size": 32, "max_steps": 60, "extra_steps": 10, "checkpoints": 3} | training
    return {
        name: {
            "stimuli": family.model_dump(mode="json"),
            "network": MLP(hidden=[8]).model_dump(mode="json", exclude={"analysed_layer"}),
            "training": Training(learning_rate=rate, **common).model_dump(mode="json"),
            "seeds": seeds,
        }
        for name, rate in (("slow", slow), ("fast", 0.02))
    }


@pytest.fixture
def stimuli(tmp_path):
    path = tmp_path / "stimuli.h5"
    shown = FAMILY.generate()
    write_members(path, "stimuli", [("slow", shown), ("fast", shown)])
    return path


@pytest.fixture
def run(stimuli, tmp_path, caplog):
    """Function that trains into a file; gives the networks, and how many were trained."""
    path = tmp_path / "networks.h5"

    def run(conditions, path=path, **options):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            trained = train_batch(conditions, stimuli, path, "cpu", **options)
        path.unlink(missing_ok=True)  # as Snakemake does
        write_members(path, "networks", trained.items())
        remember(path)
        counts = [r.args[0] for r in caplog.records if r.msg.startswith("training %d networks")]
        return trained, sum(counts)

    return run


def assert_same(a, b):
    for field in dataclasses.fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, dict) and field.name != "recipe":
            assert one.keys() == other.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@pytest.mark.parametrize("family", [FAMILY, COMMON], ids=["own", "common"])
def test_a_further_seed_costs_one_network_of_each_condition(family, run, stimuli, tmp_path):
    """And the file is, to the byte, what training all at once gives."""
    shown = family.generate()
    write_members(stimuli, "stimuli", [("slow", shown), ("fast", shown)])
    assert run(conditions(seeds=3, family=family))[1] == 6
    more, n_trained = run(conditions(seeds=4, family=family))
    assert n_trained == 2
    at_once, n_trained = run(conditions(seeds=4, family=family), path=tmp_path / "apart/other.h5")
    assert n_trained == 8
    for name in more:
        assert_same(more[name], at_once[name])
    assert (tmp_path / "networks.h5").read_bytes() == (tmp_path / "apart/other.h5").read_bytes()


def test_fewer_seeds_cost_nothing(run, tmp_path):
    run(conditions(seeds=4))
    fewer, n_trained = run(conditions(seeds=2))
    alone, _ = run(conditions(seeds=2), path=tmp_path / "apart/other.h5")
    assert n_trained == 0
    for name in fewer:
        assert_same(fewer[name], alone[name])


def test_a_changed_condition_is_trained_anew_and_the_other_is_not(run):
    before, _ = run(conditions())
    after, n_trained = run(conditions(slow=0.004))
    assert n_trained == 3
    assert_same(before["fast"], after["fast"])
    assert (before["slow"].weights["w1"][-1] != after["slow"].weights["w1"][-1]).any()


@pytest.mark.parametrize("family", [FAMILY, COMMON], ids=["own", "common"])
def test_the_code_of_a_family_counts_where_training_sets_are_drawn_by_it(family, run, stimuli):
    shown = family.generate()
    write_members(stimuli, "stimuli", [("slow", shown), ("fast", shown)])
    run(conditions(family=family), code={"stimuli bits": "before"})
    n_trained = run(conditions(family=family), code={"stimuli bits": "after"})[1]
    assert n_trained == (6 if family is FAMILY else 0)


@pytest.mark.parametrize("change", [{"n_train": 64}, {"agreement": 0.8}])
def test_a_change_of_the_training_sets_alone_is_noticed(change, run):
    """What networks have in common stays as it is."""
    if "agreement" in change:
        change = {"agreement": Agreement(features=["easy", "hard"], probability=0.8)}
    other = FAMILY.model_copy(update=change)
    np.testing.assert_array_equal(FAMILY.generate().ids, other.generate().ids)
    run(conditions())
    assert run(conditions(family=other))[1] == 6


def test_a_training_set_that_cannot_be_drawn_stops_all_before_any_is_trained(run, caplog):
    features = FEATURES | {"hard": FEATURES["hard"] | {"prevalence": 0.001}}
    asked = conditions()
    asked["fast"]["stimuli"] = Bits(features=features, **SIZES).model_dump(mode="json")
    with pytest.raises(RepbiasError, match=r"^fast: .*'hard' is constant in train"):
        run(asked)
    assert not caplog.records


@pytest.mark.parametrize("change", ["code", "torch", "numpy", "stimuli", "extra_steps"])
def test_a_network_of_another_recipe_is_not_taken(change, run, stimuli, monkeypatch):
    run(conditions(), code={"training mlp": "before"})
    options, settings = {"code": {"training mlp": "before"}}, {}
    if change == "code":
        options = {"code": {"training mlp": "after"}}
    elif change in ("torch", "numpy"):
        library = batch.torch if change == "torch" else batch.np
        monkeypatch.setattr(library, "__version__", "0")
    elif change == "stimuli":
        shown = Bits(features=FEATURES, seed=1, **SIZES).generate()
        write_members(stimuli, "stimuli", [("slow", shown), ("fast", shown)])
    else:
        settings = {"extra_steps": 11}
    assert run(conditions(**settings), **options)[1] == 6


@pytest.mark.parametrize(("dropout", "n_trained"), [(0.0, 0), (0.2, 4)])
def test_layers_are_a_question_to_networks_except_under_dropout(dropout, n_trained, run):
    def of(layers):
        own = {"kind": "torch", "factory": "own_networks:mlp", "layers": layers}
        asked = conditions(dropout=dropout, max_steps=30)
        return {
            name: asked[name] | {"network": own | {"readout": "flatten"}, "seeds": 2}
            for name in asked
        }

    run(of(["1"]))
    assert run(of(["1", "3"]))[1] == n_trained


def test_a_damaged_file_is_trained_anew(run, tmp_path):
    before, _ = run(conditions())
    path = tmp_path / ".networks.trained.h5"
    path.write_bytes(path.read_bytes()[:3000])
    after, n_trained = run(conditions())
    assert n_trained == 6
    assert_same(before["slow"], after["slow"])


def test_a_condition_that_cannot_be_trained_is_named(stimuli, tmp_path):
    with pytest.raises(RepbiasError, match=r"^slow: training.batch_size is 97"):
        train_batch(conditions(batch_size=97), stimuli, tmp_path / "none.h5", "cpu")


def test_the_learning_table_has_the_conditions_in_order(run):
    trained, _ = run(conditions())
    table = learning_tables("rates", trained, conditions())
    assert list(table["condition"].unique()) == ["slow", "fast"]
    assert set(table["experiment"]) == {"rates"} and set(table["seed"]) == {0, 1, 2}


def test_batches_may_be_divided_otherwise(run, tmp_path):
    """A condition that has moved to another batch is not trained again."""
    run(conditions(), path=tmp_path / "batch1.h5")
    moved = {"fast": conditions()["fast"]}
    assert run(moved, path=tmp_path / "batch2.h5")[1] == 0


def test_a_second_name_takes_no_space_and_leaves_nothing_beside_it(run, tmp_path):
    for seeds in (2, 3):
        run(conditions(seeds=seeds))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"stimuli.h5", "networks.h5", ".networks.trained.h5"}
    assert (tmp_path / "networks.h5").samefile(tmp_path / ".networks.trained.h5")
