"""Which pictures the report shows of generated images, and of networks that see them."""

from __future__ import annotations

import pytest

from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import MOST_PICTURED, MOST_SETS, Plan

STIMULI = {"kind": "trifeature", "n_classes": 3, "size": 16, "n_train": 64}
STIMULI |= {"n_validation": 27, "n_test": 27}
NETWORK = {"kind": "cnn", "widths": [4]}


def experiment(**settings):
    base = {"stimuli": STIMULI, "network": NETWORK, "seeds": 1}
    base |= {"training": {"batch_size": 32}, "analyses": ["units"]}
    return base | settings


def plan_of(**experiments):
    study = {"study": "images", "experiments": experiments}
    return Plan(load_study(study, try_networks=False))


def test_conditions_that_differ_in_training_only_share_their_stimuli():
    """What the plan takes to be the same are the same images, and what it does not are others."""
    varied = {
        "same": {"n_train": 81},
        "pair": {"agreement": {"features": ["shape", "colour"], "probability": 1.0}},
        "rare": {"prevalence": {"shape": [0.5, 0.25, 0.25]}},
        "seed": {"seed": 1},
        "fewer": {"features": ["shape", "colour"]},
        "common": {"training_sets": "common"},
    }
    plan = plan_of(base=experiment(), varied=experiment(vary={"stimuli": varied}))
    sets = plan.image_sets()
    named = ["base/base", *(f"varied/stimuli={name}" for name in ("same", "pair", "rare"))]
    assert sets == [named, *([f"varied/stimuli={name}"] for name in ("seed", "fewer", "common"))]
    shown = {
        f"{e}/{c}": spec.stimuli.generate().part("test")[2].tolist()
        for (e, c), spec in plan.conditions.items()
    }
    for name in named:
        assert shown[name] == shown["base/base"], name
    for name in ("varied/stimuli=seed", "varied/stimuli=common"):
        assert shown[name] != shown["base/base"], name
    assert plan.described_sets()[0] == {
        "condition": "base",
        "values": plan.conditions["base", "base"].stimuli.shown_values,
        "words": "base, varied/stimuli=same, varied/stimuli=pair, varied/stimuli=rare",
    }
    assert list(plan.values_of("varied", "stimuli=fewer")) == ["shape", "colour"]


def test_of_many_conditions_a_few_of_every_experiment_are_pictured():
    many = experiment(vary={"stimuli.seed": list(range(20))})
    plan = plan_of(many=many, few=experiment(vary={"stimuli.seed": [0, 1]}), one=experiment())
    assert len(plan.pictured) == MOST_PICTURED
    assert {key for key in plan.with_images if key[0] != "many"} <= set(plan.pictured)
    shown = [name for experiment, name in plan.pictured if experiment == "many"]
    assert shown == plan.groups["many"][: MOST_PICTURED - 3]
    left = plan.not_pictured()
    assert [f"{e}/{c}" for e, c in plan.pictured if f"{e}/{c}" in left] == []
    assert len(left) + len(plan.pictured) == 23
    assert plan.in_words(left) == "many (11 of its conditions, as seed=9)"
    assert plan.in_words(["few/seed=0", "few/seed=1"]) == "few (both conditions)"
    assert plan.shown_sets() == [f"many/seed={i}" for i in range(MOST_SETS)]


@pytest.mark.parametrize(
    ("network", "analyses", "kinds"),
    [
        ({"kind": "cnn", "widths": [4]}, ["units"], ["filters", "preferred", "rdm", "map"]),
        ({"kind": "vit", "patch": 8}, ["probes"], ["filters", "rdm", "map"]),
        ({"hidden": [8]}, ["units"], ["preferred", "rdm", "map"]),
    ],
)
def test_pictures_are_those_that_a_network_has(network, analyses, kinds):
    plan = plan_of(seeing=experiment(network=network, analyses=analyses))
    assert plan.network_pictures() == [f"{kind}/seeing/base" for kind in kinds]
    units = "results/images/tables/parts/units/seeing/base.csv"
    assert plan.units_of("seeing", "base") == (units if "units" in analyses else [])


def test_a_study_of_bits_has_no_pictures_of_images():
    bits = {"features": {"easy": {"function": "bit"}}}
    plan = plan_of(bits={"stimuli": bits})
    assert not (plan.with_images or plan.pictured or plan.network_pictures() or plan.image_sets())
