"""The audit of a recording: tables of layers, subjects and features, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.auditing.design import Design
from repbias.auditing.features import chosen_features, complete_stimuli, regressors
from repbias.auditing.pairs import audit_pairs
from repbias.auditing.spec import Audit, AuditedFeature
from repbias.auditing.tables import audit_recording
from repbias.auditing.warnings import serial_correlation
from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa.rdms import make_rdms

N, UNITS = 48, 15
IDS = np.array([f"im{i:02d}" for i in range(N)])
CATEGORY = np.array(["face", "body", "place"])[np.arange(N) % 3]
GEOMETRY = Geometry(distance="squared_euclidean", recording_distance="squared_euclidean")
FEW = Audit(permutations=99)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def latent(rng) -> np.ndarray:
    place = {name: 2 * rng.standard_normal(8) for name in ("face", "body", "place")}
    return np.stack([place[c] for c in CATEGORY]) + rng.standard_normal((N, 8))


def recorded(latent, rng, subjects=2, repeats=3, regions=("V4",), noise=1.0, **columns):
    units = subjects * len(regions) * UNITS
    signal = latent @ rng.standard_normal((8, units))
    responses = np.concatenate(
        [signal + noise * rng.standard_normal(signal.shape) for _ in range(repeats)]
    )
    return Recording(
        stimuli={"stimulus_id": IDS, "category": CATEGORY, **columns},
        responses=responses,
        trials={"stimulus_id": np.tile(IDS, repeats), "repeat": np.repeat(np.arange(repeats), N)},
        units={
            "unit": np.arange(units).astype(str),
            "subject": np.repeat([f"s{i}" for i in range(subjects)], units // subjects),
            "region": np.tile(np.repeat(regions, UNITS), subjects),
        },
    )


def networks(latent, rng, layers=2):
    patterns = [latent @ rng.standard_normal((8, 20)) for _ in range(layers)]
    vectors = np.stack([dissimilarities(x, "squared_euclidean") for x in patterns])
    info = {"network": ["net"] * layers, "layer": [f"layer{i}" for i in range(layers)]}
    info |= {"seed": [0] * layers, "step": [0] * layers, "snapshot": ["final"] * layers}
    return make_rdms(vectors, IDS, "squared_euclidean", info | {"included": [True] * layers})


def audited(recording, rdms, spec=FEW, **statistics) -> dict[str, pd.DataFrame]:
    return audit_recording("it", recording, "set", {"net": rdms}, statistics, GEOMETRY, spec)


def test_every_layer_region_subject_and_feature_has_a_row(latent, rng):
    tables = audited(recorded(latent, rng, regions=("V4", "IT")), networks(latent, rng))
    shares = tables["audit"]
    assert len(shares) == 2 * 2 * (1 + 2) * 2  # layers, regions, mean and subjects, features
    assert set(shares["feature"]) == {"category", "rest"}
    assert set(shares["subject"]) == {"", "s0", "s1"}
    keys = ["region", "subject", "layer"]
    np.testing.assert_allclose(shares.groupby(keys)["share"].sum(), 1)
    of_mean = shares[shares["subject"] == ""]
    assert (of_mean["score"] > 0.8).all()
    assert of_mean["gate"].all()
    assert (shares["p_fdr"] >= shares["p"]).all()
    assert set(tables["audit_remaining"]["feature"]) == {"category", "all"}
    assert (tables["audit_remaining"]["remaining"] < 1.05).all()
    ranges = tables["audit_range"]
    assert (ranges["range_low"] <= ranges["score"]).all()
    assert (ranges["range_high"] >= ranges["score"].clip(upper=1)).all()


def test_a_score_that_repeats_do_not_confirm_does_not_pass(latent, rng):
    """Units with a relation in one repeat of four: the permutation sees it, repeats do not."""
    recording = recorded(latent, rng, subjects=1, repeats=4, noise=0.0)
    of_repeat = recording.responses.reshape(4, N, -1)
    size = of_repeat.std()
    of_repeat[1:] = size * rng.standard_normal(of_repeat[1:].shape)
    of_repeat[2] += 0.6 * of_repeat[0]
    rdms = networks(latent, rng, layers=1)
    (_, row) = audited(recording, rdms)["audit"].iterrows().__next__()
    assert row["gate_p"] <= 0.05
    assert row["gate_t"] < 2.35  # Student's t of 3 degrees of freedom, one-sided
    assert not row["gate"]


def test_features_of_generated_stimuli_come_with_the_rdms(latent, rng):
    recording = recorded(latent, rng)
    del recording.stimuli["category"]
    rdms = networks(latent, rng)
    rdms.pattern_descriptors["easy"] = [int(c == "face") for c in CATEGORY]
    assert set(audited(recording, rdms)["audit"]["feature"]) == {"easy", "rest"}


def test_image_statistics_are_audited_if_nothing_else_is_known(latent, rng):
    recording = recorded(latent, rng)
    light = {"image.luminance": dict(zip(IDS.tolist(), rng.random(N).tolist(), strict=True))}
    assert "image.luminance" not in set(
        audited(recording, networks(latent, rng), **light)["audit"]["feature"]
    )
    del recording.stimuli["category"]
    found = audited(recording, networks(latent, rng), **light)["audit"]
    assert set(found["feature"]) == {"image.luminance", "rest"}


def test_stimuli_without_a_value_are_refused_or_left_out(latent, rng):
    size = np.where(np.arange(N) < 2, np.nan, rng.random(N))
    recording = recorded(latent, rng, size=size)
    rdms = networks(latent, rng)
    (row,) = audited(recording, rdms)["audit"].to_dict(orient="records")
    assert "2 of 48 stimuli have no 'size' (the first is number 1)" in row["warning"]
    assert not row["gate"]
    spec = Audit(permutations=99, missing="leave_out")
    found = audited(recording, rdms, spec)["audit"]
    assert set(found["n_stimuli"]) == {46}
    assert set(found["feature"]) == {"category", "size", "rest"}


def test_too_many_features_are_refused_in_a_row(latent, rng):
    columns = {f"f{i}": rng.random(N) for i in range(40)}
    (row,) = audited(recorded(latent, rng, **columns), networks(latent, rng))["audit"].to_dict(
        orient="records"
    )
    assert "leaves 5 to what is not known" in row["warning"]
    assert np.isnan(row["share"])


def test_what_is_not_audited_is_told_in_every_row(latent, rng):
    pairs = np.array([f"pair{i // 2:02d}" for i in range(N)])
    shares = audited(recorded(latent, rng, pair=pairs), networks(latent, rng))["audit"]
    assert set(shares["feature"]) == {"category", "rest"}
    assert shares["warning"].str.contains(f"not audited: pair, as its {N // 2} values").all()
    only = recorded(latent, rng, pair=pairs)
    del only.stimuli["category"]
    (row,) = audited(only, networks(latent, rng))["audit"].to_dict(orient="records")
    assert row["warning"].startswith("audit: not audited: pair") and not row["gate"]


def test_nothing_known_gives_no_rows(latent, rng):
    recording = recorded(latent, rng)
    del recording.stimuli["category"]
    assert all(table.empty for table in audited(recording, networks(latent, rng)).values())


def test_one_repeat_is_said(latent, rng):
    found = audited(recorded(latent, rng, repeats=1), networks(latent, rng))["audit"]
    assert found["warning"].str.contains("one repeat").all()


def test_two_recordings_are_divided_whatever_their_order_of_stimuli(latent, rng):
    a = recorded(latent, rng, subjects=3)
    b = recorded(latent, rng, subjects=3)
    order = rng.permutation(N)
    moved = Recording(
        stimuli={name: values[order] for name, values in b.stimuli.items()},
        responses=b.responses,
        trials=b.trials,
        units=b.units,
    )
    found, again = (audit_pairs({"a": a, "b": other}, {}, GEOMETRY, FEW) for other in (b, moved))
    np.testing.assert_allclose(found["share"], again["share"])
    assert found["share"].sum() == pytest.approx(1)
    assert (found["ci_low"] < found["share"]).all()
    assert (found["score"] > 0.8).all()
    assert set(found["recording_b"]) == {"b"}


def test_serial_noise_is_measured_in_the_order_of_trials(rng):
    n, repeats = 30, 6
    noise = np.zeros((n * repeats, 40))
    for t in range(1, len(noise)):
        noise[t] = 0.8 * noise[t - 1] + 0.6 * rng.standard_normal(40)
    ids = np.array([f"s{i}" for i in range(n)])
    trials = {
        "stimulus_id": np.concatenate([rng.permutation(ids) for _ in range(repeats)]),
        "run": np.repeat(np.arange(repeats), n).astype(str),
    }
    recording = Recording(
        stimuli={"stimulus_id": ids},
        responses=noise,
        trials=trials | {"repeat": np.repeat(np.arange(repeats), n)},
        units={"unit": np.arange(40).astype(str), "subject": np.full(40, "s")},
    )
    found = serial_correlation(recording)
    assert found > 0.4
    # Times that begin anew in every run.
    recording.trials["start_time"] = np.tile(np.arange(float(n)), repeats)
    assert serial_correlation(recording) == pytest.approx(found)
    del trials["run"]
    recording.trials = trials | {"repeat": np.repeat(np.arange(repeats), n)}
    assert np.isnan(serial_correlation(recording))


# Features


def test_features_are_coded_as_they_are_described():
    x = np.linspace(0, 1, 30)
    columns = {"size": x, "kind": np.array(["a", "b", "c"])[np.arange(30) % 3]}
    spec = Audit(
        features={
            "size": {},
            "kind": {},
            "tuned": {"column": "size", "coding": "spline", "df": 5},
            "both": {"product_of": ["size", "kind"]},
        }
    )
    coded = regressors(chosen_features(spec, columns), columns)
    rank = {k: np.linalg.matrix_rank(v - v.mean(axis=0)) for k, v in coded.items()}
    assert rank == {"size": 1, "kind": 2, "tuned": 5, "both": 2}
    np.testing.assert_allclose(coded["both"].mean(axis=0), 0, atol=0.02)


@given(shift=st.floats(-400, 400), turns=st.integers(-3, 3), period=st.sampled_from([1, 24, 360]))
def test_a_circular_feature_has_no_origin_and_no_end(shift, turns, period):
    """Angles from another origin, or whole turns away, explain the same."""
    feature = AuditedFeature(coding="circular", period=period, df=4)
    angle = np.random.default_rng(0).uniform(0, period, 30)

    def projection(values):
        (x,) = regressors({"angle": feature}, {"angle": values}).values()
        x = x - x.mean(axis=0)
        return x @ np.linalg.pinv(x)

    expected = projection(angle)
    assert np.trace(expected) == pytest.approx(4)
    np.testing.assert_allclose(projection(angle + shift + turns * period), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("angles", "period", "df", "rank"),
    [
        (np.arange(8) * 45.0, 180, 6, 3),  # directions of four orientations
        (np.arange(4) * 90.0, 180, 2, 1),
        (np.arange(5) * 45.0, 180, 6, 3),  # 180 is 0 again
        (np.arange(12) * 15.0, 180, 6, 6),
    ],
)
def test_rounding_is_no_regressor_of_an_angle(angles, period, df, rank):
    feature = AuditedFeature(coding="circular", period=period, df=df)
    design = Design.of(regressors({"angle": feature}, {"angle": np.repeat(angles, 8)}))
    assert design.dimensions.tolist() == [rank]


def test_units_tuned_to_an_angle_are_explained_by_it_as_circular_and_not_as_a_number():
    """Tuning curves of two cycles are four regressors exactly; a line misses nearly all."""
    angle = np.arange(0, 180, 7.5)
    preferred = np.random.default_rng(1).uniform(0, 180, 50)
    difference = np.radians(2 * (angle[:, None] - preferred))
    responses = np.cos(difference) + 0.5 * np.cos(2 * difference)
    responses -= responses.mean(axis=0)

    def explained(**settings):
        x = regressors({"angle": AuditedFeature(**settings)}, {"angle": angle})["angle"]
        x = x - x.mean(axis=0)
        return np.sum((x @ np.linalg.pinv(x) @ responses) ** 2) / np.sum(responses**2)

    assert explained(coding="circular", period=180, df=4) == pytest.approx(1)
    assert explained(coding="number") < 0.3


@pytest.mark.parametrize(("coding", "warned"), [("auto", True), ("circular", False)])
def test_the_report_says_that_an_angle_is_no_line(coding, warned, rng):
    angle = np.arange(N) % 6 * 30.0
    tuned = 4 * np.stack([np.cos(np.radians(2 * angle)), np.sin(np.radians(2 * angle))], axis=1)
    latent = np.hstack([tuned, rng.standard_normal((N, 6))])
    recording = recorded(latent, rng, orientation=angle)
    settings = {"coding": coding} | ({"period": 180, "df": 4} if coding == "circular" else {})
    spec = Audit(features={"orientation": settings}, permutations=99)
    shares = audited(recording, networks(latent, rng), spec)["audit"]
    said = "'orientation' is audited as a number, and a line over its values explains"
    assert shares["warning"].str.contains(said, regex=False).all() == warned
    assert shares["warning"].str.contains(said, regex=False).any() == warned


def test_only_columns_that_are_there_are_chosen():
    columns = {"size": np.arange(12.0)}
    spec = Audit(features=["size", "colour"])
    assert list(chosen_features(spec, columns)) == ["size"]


def test_columns_that_name_stimuli_are_no_features():
    columns = {
        "file": np.array([f"a{i}" for i in range(20)]),
        "same": np.full(20, "x"),
        "kind": np.array(["a", "b"] * 10),
        "size": np.arange(20.0),
    }
    assert list(chosen_features(Audit(), columns)) == ["kind", "size"]


def test_text_is_no_number():
    columns = {"kind": np.array(["a", "b"] * 10)}
    features = chosen_features(Audit(features={"kind": {"coding": "spline"}}), columns)
    with pytest.raises(RepbiasError, match="coding spline needs numbers; found text such as 'a'"):
        regressors(features, columns)
    assert complete_stimuli(Audit(), features, columns).all()


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"both": {"product_of": ["a", "b"]}, "a": {}}, "'b' is no column among"),
        ({"both": {"product_of": ["a"]}, "a": {}}, "two features or more"),
        (
            {"a": {}, "b": {}, "ab": {"product_of": ["a", "b"], "column": "c"}},
            "no column and",
        ),
        ({"rest": {}}, "'rest' is what no feature explains"),
        ({"a": {"coding": "circular"}}, "circular and period go together"),
        ({"a": {"period": 180}}, "circular and period go together"),
        ({"a": {"coding": "circular", "period": 180, "df": 5}}, "an even number"),
        ({"a": {"coding": "spline", "df": 2}}, "4 or more for coding spline"),
    ],
)
def test_features_that_cannot_be_are_refused(features, problem):
    with pytest.raises(ValueError, match=problem):
        Audit(features=features)
