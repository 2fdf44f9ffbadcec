"""Families of drawn images: splits, manipulations, pixels, and what varies beside the features."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.config.study import Condition
from repbias.io import stimuli as io_stimuli
from repbias.io.stimuli import Stimuli
from repbias.pipeline.sizes import training_set_bytes
from repbias.stimuli.families import stimulus_family
from repbias.stimuli.gallery import every_value, examples
from repbias.stimuli.pictures import Drawn, Pictures
from repbias.stimuli.shapes import SHAPES
from repbias.stimuli.textures import TEXTURES
from repbias.stimuli.trifeature import COLOURS

SIZES = {"n_train": 400, "n_validation": 64, "n_test": 128}
#: Of a user's; it is not built.
NETWORK = {"kind": "torch", "factory": "json:loads", "layers": ["a"]}
SQUARE = {"shape": ["square"], "texture": ["solid"], "colour": ["white"]}


def trifeature(**changes) -> Pictures:
    return stimulus_family({"kind": "trifeature"} | SIZES | changes)


def navon(**changes) -> Pictures:
    sizes = {"n_train": 400, "n_validation": 60, "n_test": 120}
    return stimulus_family({"kind": "navon", "size": 48, "n_classes": 4} | sizes | changes)


FAMILIES = {
    "trifeature": trifeature,
    "two of three": lambda **c: trifeature(features=["shape", "colour"], **c),
    "navon": navon,
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def same(a: Stimuli, b: Stimuli) -> bool:
    arrays = ("inputs", "ids", "split", "labels", "supervised")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)


# Splits


def test_stimuli_follow_from_the_seed(family):
    for seed in (0, 1):
        one, again = (family(seed=seed, n_train=96) for _ in range(2))
        assert same(one.generate(), again.generate())
        assert same(one.training_set(3), again.training_set(3))
    assert not same(family(seed=0).generate(), family(seed=1).generate())


def test_no_image_occurs_twice_in_any_split(family):
    spec = family()
    common = spec.generate()
    shown = [common, spec.training_set(0, common)]
    for other in ([], [spec.training_set(1, common)]):
        images = np.concatenate([s.inputs for s in shown[: 2 - len(other)] + other])
        assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
        ids = np.concatenate([s.ids for s in shown[: 2 - len(other)] + other])
        assert len(set(ids)) == len(ids)


def test_images_that_were_drawn_twice_are_drawn_anew():
    """A solid square that only moves, by less than a pixel each way: about a hundred images."""
    changes = {"values": SQUARE | {"colour": ["white", "red"]}, "features": ["colour"]}
    still = {"rotation": 0, "box": 0.25, "jitter": 0.4} | changes
    sizes = {"n_validation": 32, "n_test": 32}
    spec = trifeature(**still, n_train=64, **sizes)
    common = spec.generate()
    ids = [*common.ids, *spec.training_set(0, common).ids]
    assert len(set(ids)) == len(ids) == 128
    with pytest.raises(RepbiasError, match="not enough different images of square-solid-"):
        trifeature(**still, n_train=600, **sizes).training_set(0)


def test_ids_say_what_is_shown(family):
    spec = family()
    stimuli = spec.generate()
    shown, factors = spec.shown_values, list(spec.FACTORS)
    for number, name in enumerate(stimuli.ids.tolist()):
        values = name.split("-")
        for column, feature in enumerate(stimuli.features):
            label = stimuli.labels[number, column]
            assert values[factors.index(feature)] == shown[feature][label]
        assert len(name) <= spec.id_bytes


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(2, 5), st.booleans())
def test_every_prefix_is_balanced(seed, n_classes, all_three):
    features = ["shape", "texture", "colour"] if all_three else ["texture", "colour"]
    sizes = {"n_validation": 75, "n_test": 100, "size": 16}
    spec = trifeature(features=features, seed=seed, n_classes=n_classes, **sizes)
    stimuli = spec.generate()
    for split in ("validation", "test"):
        labels = stimuli.part(split)[1]
        for column in labels.T:
            counts = np.cumsum(np.eye(n_classes)[column], axis=0)
            assert np.ptp(counts, axis=1).max() <= 2
        for a, b in combinations(labels.T, 2):
            pairs = np.cumsum(np.eye(n_classes**2)[a * n_classes + b], axis=0)
            assert np.ptp(pairs, axis=1).max() <= 4


def test_all_combinations_are_equally_frequent(family):
    spec = family()
    stimuli = spec.generate()
    assert spec.training_set(0, stimuli).audit["train"]["max_dependence"] < 0.02
    for split in ("validation", "test"):
        combined = Counter(name.rsplit("-", 1)[0] for name in stimuli.part(split)[2])
        assert len(combined) == len(spec.combinations())
        assert len(set(combined.values())) == 1
        assert stimuli.audit[split]["max_dependence"] < 1e-9


def test_a_common_training_set_is_shared(family):
    spec = family(training_sets="common")
    stimuli = spec.generate()
    assert Counter(stimuli.split.tolist())["train"] == 400
    assert spec.training_set(5, stimuli) is stimuli


def test_what_is_no_feature_varies_or_is_fixed():
    free = trifeature(features=["shape"]).generate()
    assert Counter(name.split("-")[1] for name in free.ids).keys() == set(
        trifeature().shown_values["texture"]
    )
    assert free.nuisance["texture"].shape == (192, 4)
    fixed = trifeature(features=["shape"], values={"texture": ["dots"]}).generate()
    assert {name.split("-")[1] for name in fixed.ids} == {"dots"}
    assert "texture" not in fixed.nuisance and "colour" in fixed.nuisance


def test_values_are_drawn_by_the_seed_or_given():
    drawn = [trifeature(seed=seed).shown_values for seed in range(200)]
    for name, known in {"shape": SHAPES, "texture": TEXTURES, "colour": COLOURS}.items():
        often = Counter(value for values in drawn for value in values[name])
        # Four of ten, 200 times: 80 of each, with a standard error below 7.
        assert set(often) == set(known) and all(45 < n < 115 for n in often.values())
        first = Counter(values[name][0] for values in drawn)
        assert len(first) == 10, "their order is random"
    given_values = {"shape": ["star", "tee"]}
    spec = trifeature(values=given_values)
    assert spec.shown_values["shape"] == ["star", "tee"]
    assert spec.classes == {"shape": 2, "texture": 4, "colour": 4}
    assert spec.definition("shape") == ("shape", ("star", "tee"))


def test_conditions_of_other_looks_have_the_same_classes_and_places():
    """So that what is compared is the contrast, not other stimuli."""
    plain, faint = trifeature(), trifeature(colour_contrast=0.3, texture_contrast=0.4)
    a, b = plain.generate(), faint.generate()
    np.testing.assert_array_equal(a.labels, b.labels)
    for name in a.nuisance:
        np.testing.assert_array_equal(a.nuisance[name], b.nuisance[name])


# Manipulations of training


@pytest.mark.parametrize("p", [0.1, 0.25, 0.7, 1.0])
def test_agreement_is_as_asked_in_training_only(p):
    agreement = {"features": ["shape", "colour"], "probability": p}
    spec = trifeature(agreement=agreement, n_train=4096)
    common = spec.generate()
    shape, texture, colour = spec.training_set(0, common).labels.T
    assert np.mean(shape == colour) == pytest.approx(p, abs=0.01)
    for a, b in ((shape, texture), (colour, texture)):
        assert np.mean(a == b) == pytest.approx(0.25, abs=0.02)
    for column in (shape, texture, colour):
        np.testing.assert_allclose(np.bincount(column) / 4096, 0.25, atol=0.01)
    off = np.bincount(shape * 4 + colour, minlength=16).reshape(4, 4) / 4096
    expected = np.where(np.eye(4) == 1, p / 4, (1 - p) / 12)
    np.testing.assert_allclose(off, expected, atol=0.005)
    assert same(common, trifeature(n_train=4096).generate())


def test_prevalence_is_as_asked_in_training_only():
    often = [0.4, 0.3, 0.2, 0.1]
    spec = trifeature(prevalence={"texture": often}, n_train=4096)
    labels = spec.training_set(0).labels
    np.testing.assert_allclose(np.bincount(labels[:, 1]) / 4096, often, atol=0.005)
    np.testing.assert_allclose(np.bincount(labels[:, 0]) / 4096, 0.25, atol=0.005)
    assert same(spec.generate(), trifeature(n_train=4096).generate())


@pytest.mark.parametrize("p", [0.0, 0.1, 0.8, 1.0])
def test_letters_agree_as_asked_in_training_only(p):
    """Equal classes are pairs of letters that occur; the other pairs share the rest evenly."""
    agreement = {"features": ["global", "local"], "probability": p}
    spec = navon(agreement=agreement, n_train=800)
    common = spec.generate()
    training = spec.training_set(0, common)
    large, small = training.labels.T
    found = np.bincount(large * 4 + small, minlength=16).reshape(4, 4) / 800
    letters = spec.shown_values
    same_letter = np.array([[a == b for b in letters["local"]] for a in letters["global"]])
    expected = np.where(np.eye(4) == 1, p / 4, np.where(same_letter, 0, (1 - p) / 8))
    np.testing.assert_allclose(found, expected, atol=1 / 2400)
    np.testing.assert_allclose(spec.expected_shares("train", "global", "local"), expected)
    assert training.audit["train"]["max_dependence"] <= 1 / 2400
    assert same(common, navon(n_train=800).generate())
    both = navon(agreement=agreement, n_train=800, same_letter=True).training_set(0).labels
    assert np.mean(both[:, 0] == both[:, 1]) == pytest.approx(p, abs=0.005)


@settings(max_examples=20)
@given(st.permutations("BCDEFX"), st.floats(0.2, 0.6), st.booleans())
def test_manipulated_letters_leave_the_other_letters_balanced(small, p, is_large):
    """Although no pair of the same letter occurs, and the lists of letters differ."""
    assume(all(a != b for a, b in zip("ABCDEF", small, strict=True)))
    values = {"global": list("ABCDEF"), "local": small}
    plain, pairs = navon(values=values).probabilities("train"), navon(values=values).combinations()
    feature, other = ("global", "local") if is_large else ("local", "global")
    often = [p, *[(1 - p) / 5] * 5]
    shares = navon(values=values, prevalence={feature: often}).probabilities("train")
    for name, column in zip(("global", "local"), pairs.T, strict=True):
        wanted = often if name == feature else np.bincount(column, plain)
        np.testing.assert_allclose(np.bincount(column, shares), wanted, atol=1e-8)
    agreement = {"features": [feature, other], "probability": p}
    shares = navon(values=values, agreement=agreement).probabilities("train")
    assert shares[pairs[:, 0] == pairs[:, 1]].sum() == pytest.approx(p)
    for column in pairs.T:
        expected = np.bincount(column, plain)
        np.testing.assert_allclose(np.bincount(column, shares), expected, atol=1e-8)


@pytest.mark.parametrize("training_sets", ["own", "common"])
def test_loss_masks_and_label_noise_leave_images_as_they_are(family, training_sets):
    settings_ = {"n_train": 200, "training_sets": training_sets}
    spec = family(**settings_)
    first, *_, last = spec.features
    plain = spec.training_set(3)
    assert plain.supervised.all()
    for shares in ({first: 0.25}, {first: 0.5, last: 0.0}):
        masked = family(supervised=shares, **settings_).training_set(3)
        noisy = family(label_noise=shares, **settings_).training_set(3)
        for changed in (masked, noisy):
            for name in ("inputs", "ids", "split"):
                np.testing.assert_array_equal(getattr(changed, name), getattr(plain, name))
        training = plain.split == "train"
        np.testing.assert_array_equal(masked.labels, plain.labels)
        assert noisy.supervised.all() and masked.supervised[~training].all()
        np.testing.assert_array_equal(noisy.labels[~training], plain.labels[~training])
        for i, name in enumerate(spec.features):
            assert masked.supervised[training, i].sum() == 200 * shares.get(name, 1.0)
            wrong = noisy.labels[training, i] != plain.labels[training, i]
            assert wrong.sum() == 200 * shares.get(name, 0.0)


def test_what_a_smaller_share_changes_is_part_of_what_a_larger_one_does():
    none, few, many = (
        trifeature(supervised={"colour": 1 - p}, label_noise={"shape": p}).training_set(0)
        for p in (0.0, 0.1, 0.4)
    )
    assert few.supervised[many.supervised[:, 2], 2].all()
    wrong = few.labels[:, 0] != none.labels[:, 0]
    np.testing.assert_array_equal(few.labels[wrong, 0], many.labels[wrong, 0])


def test_which_images_supervise_is_random():
    """As in bits: neither classes nor the other masks nor places matter, but seeds do."""
    n, shares = 4000, {"shape": 0.5, "colour": 0.3}
    spec = trifeature(n_train=n, size=16, supervised=shares)
    stimuli = spec.training_set(0)
    for i, name in ((0, "shape"), (2, "colour")):
        mask = stimuli.supervised[:, i]
        others = [stimuli.supervised[:, 2 - i], np.arange(n)]
        others += [stimuli.labels[:, j] == c for j in range(3) for c in range(4)]
        for other in others:
            assert abs(np.corrcoef(mask, other)[0, 1]) < 4 / np.sqrt(n)
        assert mask.mean() == shares[name]
    assert not np.array_equal(spec.training_set(1).supervised, stimuli.supervised)


def test_noisy_labels_are_all_other_classes_equally_often():
    """Against closed forms: the joint distribution of classes and labels, and agreement."""
    n, noise = 6000, {"shape": 0.3, "texture": 0.1}
    agreement = {"features": ["shape", "texture"], "probability": 0.7}
    settings_ = {"n_train": n, "size": 16, "agreement": agreement, "n_classes": 3}
    true = trifeature(**settings_).training_set(0).labels
    spec = trifeature(**settings_, label_noise=noise)
    training = spec.training_set(0)
    for i, name in enumerate(spec.features):
        share = noise.get(name, 0.0)
        found = np.bincount(true[:, i] * 3 + training.labels[:, i], minlength=9).reshape(3, 3)
        expected = np.where(np.eye(3) == 1, 1 - share, share / 2) / 3
        np.testing.assert_allclose(found / n, expected, atol=4 * np.sqrt(0.3 / 6 / n))
    # Labels are equal if both are right, or one is replaced by the other's class (one of two
    # others), or both are by the same one: of equal classes in half of the cases, else a quarter.
    p, a, b = 0.7, 0.3, 0.1
    equal = p * ((1 - a) * (1 - b) + a * b / 2)
    equal += (1 - p) * (a * (1 - b) / 2 + (1 - a) * b / 2 + a * b / 4)
    assert np.trace(spec.expected_shares("train", "shape", "texture")) == pytest.approx(equal)
    shape, texture, _ = training.labels.T
    assert np.mean(shape == texture) == pytest.approx(equal, abs=4 * 0.5 / np.sqrt(n))
    assert training.audit["train"]["max_dependence"] < 0.015
    np.testing.assert_allclose(spec.expected_shares("train", "shape", "shape"), np.eye(3) / 3)
    np.testing.assert_allclose(spec.expected_shares("test", "shape", "texture"), 1 / 9)


def test_the_audit_expects_label_noise():
    spec = trifeature(n_train=4000, size=16, prevalence={"shape": [0.7, 0.1, 0.1, 0.1]})
    training = spec.training_set(0)
    with pytest.raises(RepbiasError, match=r"shape occur in shares that are off by 0\.300"):
        spec.model_copy(update={"label_noise": {"shape": 0.5}}).audit(training)


@pytest.mark.parametrize(("k", "share"), [(3, 0.33), (4, 0.25), (4, 0.75), (5, 0.4)])
def test_held_out_combinations_never_occur_in_training(k, share):
    n = 2 * k**3
    sizes = {"n_train": 8 * n, "n_validation": n, "n_test": n}
    spec = trifeature(n_classes=k, held_out=share, size=16, **sizes)
    common = spec.generate()
    trained = [{tuple(c) for c in spec.training_set(s, common).labels.tolist()} for s in (0, 1)]
    tested = [{tuple(c) for c in common.part(s)[1].tolist()} for s in ("validation", "test")]
    assert trained[0] == trained[1] and tested[0] == tested[1]
    assert not trained[0] & tested[0] and len(trained[0] | tested[0]) == k**3
    assert len(tested[0]) == round(share * k) * k**2
    # Any two features are independent all the same.
    labels = spec.training_set(0, common).labels
    for split in (labels, common.part("test")[1]):
        for a, b in combinations(split.T, 2):
            pairs = np.bincount(a * k + b, minlength=k**2) / len(split)
            np.testing.assert_allclose(pairs, 1 / k**2, atol=0.01)


def test_navon_drops_pairs_of_the_same_letter():
    spec = navon()
    stimuli = spec.generate()
    for name in stimuli.ids:
        large, small, _ = name.split("-")
        assert large != small
    assert {n.split("-")[0] for n in stimuli.ids} == {n.split("-")[1] for n in stimuli.ids}
    pairs = Counter(
        name.rsplit("-", 1)[0] for name in navon(same_letter=True, n_test=64).generate().ids
    )
    assert len(pairs) == 16


# Unseen values


UNSEEN = {"n_classes": 7, "unseen_values": {"target": "texture", "n_values": 3}, "size": 16}


def test_unseen_values_give_the_published_split():
    """Hermann & Lampinen 2020: 3,430 and 3,570 images, ten each of 7³ and 7 x 51 combinations."""
    sizes = {"n_train": 3430, "n_validation": 3570, "n_test": 357}
    spec = trifeature(**UNSEEN | sizes)
    common = spec.generate()
    training = spec.training_set(0, common)
    assert spec.classes == {"shape": 10, "texture": 7, "colour": 10}
    of_training = Counter(map(tuple, training.labels.tolist()))
    assert len(of_training) == 343 and set(of_training.values()) == {10}
    of_validation = Counter(map(tuple, common.part("validation")[1].tolist()))
    assert len(of_validation) == 7 * 51 and set(of_validation.values()) == {10}
    assert {*map(tuple, common.part("test")[1].tolist())} == of_validation.keys()
    # No pair of the other two occurs in both, and the target has every one of its own.
    trained, tested = ({(s, c) for s, _, c in found} for found in (of_training, of_validation))
    assert len(trained) == 49 and len(tested) == 51 and not trained & tested
    assert {s for s, _ in trained} == {c for _, c in trained} == set(range(7))
    for stimuli in (common, training):
        for split in set(stimuli.split):
            assert stimuli.audit[split]["max_dependence"] < 1e-9
    # The target is independent of the others, each of which predicts 6.6 % of the other.
    for name in ("shape", "colour"):
        shares = spec.expected_shares("test", "texture", name)
        np.testing.assert_allclose(shares / shares.sum(axis=0), 1 / 7)
    shape, colour = (np.eye(10)[common.part("test")[1][:, i]] for i in (0, 2))
    residual = shape - colour @ np.linalg.lstsq(colour, shape, rcond=None)[0]
    assert 1 - residual.var(axis=0).sum() / shape.var(axis=0).sum() == pytest.approx(
        0.066, abs=5e-4
    )


def test_the_target_is_balanced_among_the_first_stimuli():
    spec = trifeature(**UNSEEN | {"n_validation": 400, "n_test": 400})
    for split in ("validation", "test"):
        texture = spec.generate().part(split)[1][:, 1]
        assert np.ptp(np.cumsum(np.eye(7)[texture], axis=0), axis=1).max() <= 2


def test_training_values_are_those_of_networks_without_unseen_ones():
    with_, without = trifeature(**UNSEEN).shown_values, trifeature(n_classes=7).shown_values
    for name, values in with_.items():
        assert values[:7] == without[name] and len(set(values)) == len(values)


@pytest.mark.parametrize("target", ["global", "local"])
@pytest.mark.parametrize("values", [{}, {"global": list("ABCDEF"), "local": list("BCDAGH")}])
def test_letters_can_be_unseen(target, values):
    other = "local" if target == "global" else "global"
    # Of lists that are given, those of the other letter that are left over are unseen.
    values = {name: v[:4] if name == target else v for name, v in values.items()}
    unseen = {"target": target, "n_values": 2}
    spec = navon(values=values, unseen_values=unseen, n_validation=80, n_test=80)
    assert spec.classes == {target: 4, other: 6}
    common = spec.generate()
    column = spec.features.index(other)
    assert set(spec.training_set(0, common).labels[:, column]) == {0, 1, 2, 3}
    for split in ("validation", "test"):
        labels = common.part(split)[1]
        assert set(labels[:, column]) == {4, 5}
        assert set(labels[:, 1 - column]) == {0, 1, 2, 3}
    if not values:
        assert {*spec.shown_values[other][:4]} == {*spec.shown_values[target]}


def test_only_the_target_of_unseen_values_can_be_trained():
    def condition(stimuli=(), **training):
        stimuli = {"kind": "trifeature", **UNSEEN, **dict(stimuli)}
        return Condition(stimuli=stimuli, network=NETWORK, training=training)

    assert condition(targets=["texture"]).stimuli.learnable == ["texture"]
    assert condition({"features": ["texture"]}).stimuli.learnable == ["texture"]
    for training in ({}, {"targets": ["texture", "shape"]}, {"curriculum": ["texture"]}):
        with pytest.raises(ValidationError) as error:
            condition(**training)
        assert (
            "training.targets: with stimuli.unseen_values, some classes of 'shape' occur in "
            "validation and test stimuli only; expected ['texture']"
        ) in str(error.value)


# Pixels


def test_images_are_uint8_channels_first(family):
    spec = family()
    stimuli = spec.generate()
    assert stimuli.inputs.shape == (len(stimuli.ids), 3, spec.size, spec.size)
    assert stimuli.inputs.dtype == np.uint8 and stimuli.shown == spec.inputs


@settings(max_examples=15)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from([16, 32, 64]),
    st.sampled_from([0.0, 45.0, 180.0]),
    st.integers(0, 2**32),
)
def test_figures_stay_inside_and_have_their_area(shape, size, rotation, seed):
    """All of the area is there, wherever it is and however it is turned: nothing is cut off."""
    values = SQUARE | {"shape": [shape], "colour": ["white", "red"]}
    changes = {"size": size, "rotation": rotation, "supersampling": 4, "box": 0.7}
    spec = trifeature(features=["colour"], values=values, **changes)
    rng = np.random.default_rng(seed)
    pixels = spec.pixels(np.zeros((20, 3), int), spec.scene(20, rng)).astype(float)
    painted = ((pixels - 127.5) / 127.5).mean(axis=1).sum(axis=(1, 2)) / (0.7 * size) ** 2
    u, v = np.meshgrid(*[((np.arange(300) + 0.5) / 300).astype(np.float32)] * 2)
    np.testing.assert_allclose(painted, SHAPES[shape](u, v).mean(), atol=0.04)


def test_without_rotation_and_jitter_only_chance_textures_vary():
    spec = trifeature(rotation=0, jitter=0, values={"texture": ["grid", "noise"]})
    labels = np.array([[0, 0, 0], [0, 1, 0]]).repeat(2, axis=0)
    grid, again, noise, other = spec.pixels(labels, spec.scene(4, np.random.default_rng(0)))
    assert (grid == again).all() and (noise != other).any()


def test_a_scene_is_drawn_the_same_in_any_company(family):
    """So that large sets, which are drawn when they are needed, are the same at every time."""
    spec = family()
    labels = spec.combinations()
    scene = spec.scene(len(labels), np.random.default_rng(0))
    whole = spec.pixels(labels, scene)
    for rows in (np.array([3]), np.arange(11)[::-1]):
        alone = spec.pixels(labels[rows], {name: v[rows] for name, v in scene.items()})
        np.testing.assert_array_equal(alone, whole[rows])


def test_colours_are_those_of_the_table_and_pulled_to_their_mean():
    values = {"shape": ["square"], "texture": ["solid"], "colour": ["red", "orange"]}
    for contrast in (1.0, 0.25):
        settings_ = {"rotation": 0, "jitter": 0, "features": ["colour"], "values": values}
        spec = trifeature(colour_contrast=contrast, **settings_)
        pixels = spec.pixels(
            np.array([[0, 0, 0], [0, 0, 1]]), spec.scene(2, np.random.default_rng(0))
        )
        centre, corner = pixels[:, :, 16, 16], pixels[:, :, 0, 0]
        green = 255 * (0.3 + contrast * np.array([-0.3, 0.3]))
        np.testing.assert_allclose(centre, np.c_[[255, 255], green, [0, 0]], atol=0.51)
        assert (corner == 128).all()


def test_texture_contrast_fills_the_gaps():
    values = {"shape": ["square"], "texture": ["stripes"], "colour": ["white", "red"]}
    for contrast, level in ((1.0, 128), (0.5, 191), (0.01, 254)):
        spec = trifeature(
            texture_contrast=contrast, rotation=0, jitter=0, features=["colour"], values=values
        )
        pixels = spec.pixels(np.array([[0, 0, 0]]), spec.scene(1, np.random.default_rng(0)))
        inside = pixels[0, 0, 8:24, 8:24]
        assert set(np.unique(inside).tolist()) <= {255, level, level + 1}
        assert (inside == 255).mean() == pytest.approx(0.3, abs=0.1)


def test_supersampling_is_the_mean_of_a_finer_image():
    fine, coarse = (
        trifeature(size=size, supersampling=n, box=0.6, period=period, rotation=20)
        for size, n, period in ((64, 1, 10.0), (32, 2, 5.0))
    )
    values = fine.combinations()[:20]
    values = values[
        np.array([fine.shown_values["texture"][c] not in ("noise", "rain") for c in values[:, 1]])
    ]
    scene = fine.scene(len(values), np.random.default_rng(0))
    large = fine.pixels(values, scene).astype(float)
    mean = large.reshape(len(values), 3, 32, 2, 32, 2).mean(axis=(3, 5))
    off = np.abs(coarse.pixels(values, scene) - mean)
    assert np.mean(off > 2) < 0.001  # rounding at edges


def test_letters_are_as_many_as_the_large_one_has_cells():
    """Ls of a large I, upright: every one a connected piece with the area of two strokes."""
    from scipy.ndimage import label

    values = {"global": ["I", "L"], "local": ["L", "I"]}
    spec = navon(features=["global"], values=values, size=224, rotation=0, jitter=0)
    (pixels,) = spec.pixels(np.array([[0, 0]]), spec.scene(1, np.random.default_rng(0)))
    pieces, n = label(pixels[0] == 255)
    assert n == 3 + 3 + 3
    areas = np.bincount(pieces.ravel())[1:]
    assert np.ptp(areas) <= 0.2 * areas.mean()


# Large sets


def test_large_sets_are_drawn_when_they_are_needed(family, monkeypatch, tmp_path):
    spec = family()
    stimuli = spec.generate()
    training = spec.training_set(0, stimuli)
    monkeypatch.setattr(io_stimuli, "STREAMED", 10_000)
    streamed = spec.generate()
    assert isinstance(streamed.inputs, Drawn) and streamed.inputs.shape == stimuli.inputs.shape
    assert same(stimuli, streamed)
    large = spec.training_set(0, streamed)
    assert isinstance(large.part("train")[0], Drawn)
    for index in (slice(3, 9), np.array([5, 0, 5]), training.labels[:, 0] == 1):
        np.testing.assert_array_equal(large.inputs[index], training.inputs[index])
    assert isinstance(streamed.part("test")[0], Drawn), "rows of a mask are drawn later"
    np.testing.assert_array_equal(streamed.part("test")[0], stimuli.part("test")[0])
    streamed.write(tmp_path / "stimuli.h5")
    monkeypatch.undo()
    assert same(Stimuli.read(tmp_path / "stimuli.h5"), stimuli)


def test_nuisance_says_where_and_how_figures_are(family, tmp_path):
    spec = family()
    stimuli = spec.generate()
    stimuli.write(tmp_path / "stimuli.h5")
    read = Stimuli.read(tmp_path / "stimuli.h5")
    other = "local_rotation" if spec.kind == "navon" else "texture_rotation"
    assert {"x", "y", "rotation", other} <= read.nuisance.keys()
    for name, values in stimuli.nuisance.items():
        np.testing.assert_array_equal(read.nuisance[name], values)
    painted = (stimuli.inputs != 128).any(axis=1)
    weight = painted.sum(axis=(1, 2))
    at = (np.arange(spec.size) + 0.5) / spec.size
    x, y = painted.sum(axis=1) @ at / weight, painted.sum(axis=2) @ at / weight
    for found, name in ((x, "x"), (y, "y")):
        assert np.corrcoef(found, stimuli.nuisance[name])[0, 1] > 0.45
    assert np.abs(stimuli.nuisance["rotation"][:, 0]).max() <= np.sin(np.pi / 4) + 1e-9
    still = family(rotation=0, jitter=0.5).generate().nuisance
    assert {"x", "y"} <= still.keys() and not {"rotation", other} & still.keys()


def test_memory_of_training_sets_does_not_grow_with_what_is_streamed():
    def needed(**changes):
        settings_ = {"kind": "trifeature", **changes}
        return training_set_bytes(Condition(stimuli=settings_, network=NETWORK))

    assert needed(size=32) > 5 * 8192 * 3 * 32**2
    assert needed(size=224) < 5 * (io_stimuli.STREAMED + 8192 * 100)
    assert needed(size=224, n_train=80_000) - needed(size=224) < 5 * 80_000 * 100


# Settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": {"shape": ["star", "circel"]}}, "did you mean 'circle'"),
        ({"values": {"color": ["red"]}}, "did you mean 'colour'"),
        ({"values": {"shape": ["star", "star"]}}, "'star' occurs twice"),
        ({"values": {"shape": ["star"]}}, "shape needs 2 or more, found 1"),
        ({"features": ["shape"], "values": {"colour": []}}, "colour needs 1 or more, found 0"),
        ({"features": ["shape", "shape"]}, "'shape' occurs twice"),
        ({"n_classes": 11}, "n_classes is 11, but shape has 10"),
        ({"box": 0.8}, "less than or equal to 0.7"),
        ({"size": 8}, "greater than or equal to 16"),
        ({"held_out": 0.3}, "expected a multiple of 1/4"),
        ({"held_out": 0.5, "values": {"shape": ["tee", "star"]}}, "found 2 (shape), 4 (texture)"),
        (
            {"held_out": 0.5, "prevalence": {"shape": [0.1, 0.2, 0.3, 0.4]}},
            "held_out cannot be combined",
        ),
        ({"supervised": {"shpe": 0.5}}, "supervised: no feature 'shpe'; did you mean 'shape'"),
        ({"features": ["shape"], "supervised": {"colour": 0.5}}, "no feature 'colour'"),
        ({"label_noise": {"size": 0.5}}, "label_noise: no feature 'size'"),
        ({"label_noise": {"shape": 1.5}}, "less than or equal to 1"),
        ({"prevalence": {"shape": [0.5, 0.5]}}, "expected 4 shares of shape"),
        ({"prevalence": {"form": [0.5, 0.5]}}, "no feature 'form'"),
        ({"unseen_values": {"target": "shap"}}, "unseen_values.target: no feature 'shap'"),
        (
            {"unseen_values": {"target": "colour"}, "features": ["shape"]},
            "no feature 'colour'",
        ),
        (
            {"unseen_values": {"target": "shape"}, "n_classes": 8},
            "n_classes is 8 and unseen_values.n_values 3, but texture has 10 values at most",
        ),
        (
            {"unseen_values": {"target": "shape"}, "values": {"colour": ["red", "blue", "cyan"]}},
            "colour has 3 values, of which 3 are not in training",
        ),
        (
            {
                "unseen_values": {"target": "shape"},
                "values": {"colour": ["red"], "texture": ["dots"]},
                "features": ["shape"],
            },
            "unseen_values: nothing varies beside shape",
        ),
        (
            {"unseen_values": {"target": "shape"}, "prevalence": {"shape": [0.7, 0.1, 0.1, 0.1]}},
            "unseen_values cannot be combined with agreement or prevalence",
        ),
        (
            {"unseen_values": {"target": "shape"}, "held_out": 0.25},
            "held_out cannot be combined with agreement, prevalence or unseen_values",
        ),
        (
            {"agreement": {"features": ["shape", "size"], "probability": 1}},
            "agreement: no feature 'size'",
        ),
        (
            {
                "agreement": {"features": ["shape", "colour"], "probability": 1},
                "values": {"shape": ["tee", "star"]},
            },
            "shape and colour have 2 and 4 classes",
        ),
        (
            {
                "agreement": {"features": ["shape", "colour"], "probability": 1},
                "prevalence": {"shape": [0.1, 0.2, 0.3, 0.4]},
            },
            "'shape' has agreement and prevalence",
        ),
    ],
)
def test_impossible_settings_are_refused(changes, said):
    with pytest.raises(ValidationError) as error:
        trifeature(**changes)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_classes": 2}, "has 1 local letters beside it, expected 2 or more"),
        (
            {"features": ["global"], "values": {"global": ["A", "B"], "local": ["A"]}},
            "the global letter A has 0 local letters beside it",
        ),
        (
            {"values": {"global": ["A", "B", "C"], "local": ["B", "A", "C"]}},
            "C is the same class of global and of local",
        ),
        # Small letters of a quarter are this one; they cannot all be in large ones that are others.
        (
            {"prevalence": {"global": [0.85, 0.05, 0.05, 0.05]}},
            "prevalence: no mixture of the combinations that occur",
        ),
        ({"prevalence": {"large": [0.5, 0.5]}}, "prevalence: no feature 'large'"),
        (
            {"agreement": {"features": ["global", "shape"], "probability": 1}},
            "agreement: no feature 'shape'",
        ),
    ],
)
def test_letters_that_cannot_be_combined_are_refused(changes, said):
    with pytest.raises(ValidationError) as error:
        navon(**changes)
    assert said in str(error.value)


def test_equal_classes_of_large_and_small_letters_occur():
    """As they are needed where features are compared in conflict."""
    given_values = [{}, {"global": ["A", "B", "C"]}, {"local": ["A", "B", "C"]}]
    for values in given_values:
        spec = navon(values=values, n_classes=3)
        shown = spec.shown_values
        assert set(shown["global"]) == set(shown["local"])
        for name, letters in values.items():
            assert shown[name] == letters
        labels = spec.generate().labels
        assert {*labels[labels[:, 0] == labels[:, 1], 0]} == {0, 1, 2}
    alone = navon(values={"local": ["A"]}, features=["global"], seed=3)
    assert alone.classes == {"global": 4} and "A" not in alone.shown_values["global"]
    same = navon(same_letter=True, n_classes=2).shown_values
    assert same["global"] == same["local"]


# Sheets


def test_the_sheet_of_all_values_has_every_colour_in_every_row():
    page = every_value(32, supersampling=2)
    assert page.shape == (10 * 34 - 2, 10 * 34 - 2, 3)
    solid = [page[34 * i + 16, 16] for i in range(10)]
    first = [np.rint(255 * np.array(c)) for c in COLOURS.values()]
    assert np.abs(np.array(solid) - first).max() <= 1


def test_examples_are_in_rows_of_a_class():
    spec = trifeature(
        rotation=0,
        jitter=0,
        values=SQUARE | {"colour": ["white", "red"]},
        features=["colour"],
        box=0.5,
    )
    stimuli = Stimuli(
        inputs=spec.pixels(spec.combinations(), spec.scene(2, np.random.default_rng(0))),
        ids=np.array(["a", "b"]),
        split=np.array(["test"] * 2),
        features=["colour"],
        labels=np.array([[1], [0]], np.uint8),
        components=[],
        component_labels=np.zeros((2, 0), np.uint8),
        supervised=np.ones((2, 1), bool),
    )
    page = examples(stimuli, "colour")
    assert page.shape == (66, 32, 3)
    assert page[16, 16].tolist() == [255, 0, 0] and page[50, 16].tolist() == [255] * 3


def test_a_texture_is_rotated_on_its_own():
    """By a right angle, stripes across an upright square become stripes down it."""
    family = trifeature(size=64, rotation=0, jitter=0, n_train=8)
    scene = family.scene(2, np.random.default_rng(0))
    scene["texture_rotation"] = np.array([0.0, np.pi / 2])
    upright, turned = family.coverage(("square", "stripes"), scene)
    box = slice(16, 48)  # inside the square
    assert (upright[box, box] == upright[box, 20:21]).all() and 0 < upright[box, box].mean() < 1
    assert (turned[box, box] == turned[20:21, box]).all()
    np.testing.assert_array_equal(turned[20, box][::-1], upright[box, 20])
