"""Figures that compare networks and measures: means over pairs, predictions, identification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from repbias.report.figures import DRAWINGS
from repbias.report.figures.comparisons import (
    pair_means,
    predicted_cka,
    predictions,
    regression_bound,
    spread,
)

LAYERS = {"tasks/easy": "hidden2", "tasks/both": "hidden1"}


def table_of(values, same):
    """Pairs of two conditions' networks (or of one's), by seed."""
    n, m = values.shape
    return pd.DataFrame(
        [
            {"experiment": "tasks", "snapshot": "final", "metric": "cka", "condition_a": "a"}
            | {"condition_b": "a" if same else "b", "seed_a": i, "seed_b": j}
            | {"similarity": values[i, j], "null_high": 0.1}
            for i in range(n)
            for j in range(m)
            if i != j and (i < j or not same)
        ]
    )


def test_the_interval_of_a_mean_over_pairs_is_that_of_both_conditions_networks():
    """With s_ij = u_i + v_j the mean is that of u plus that of v, and their variances add."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=40), 0.5 * rng.normal(size=40)
    (row,) = pair_means(table_of(u[:, None] + v, same=False)).itertuples()
    error = np.sqrt(u.var(ddof=1) / 40 + v.var(ddof=1) / 40)
    assert row.similarity == pytest.approx(u.mean() + v.mean(), abs=0.02)
    assert row.ci_high - row.similarity == pytest.approx(t.ppf(0.975, 39) * error, rel=0.1)


def test_within_a_condition_a_network_counts_on_both_sides():
    """With s_ij = u_i + u_j the mean is twice that of u, and so is its error."""
    u = np.random.default_rng(1).normal(size=40)
    (row,) = pair_means(table_of(u[:, None] + u, same=True)).itertuples()
    error = 2 * u.std(ddof=1) / np.sqrt(40)
    assert row.n_pairs == 40 * 39 / 2
    assert row.similarity == pytest.approx(2 * u.mean())
    assert row.ci_high - row.similarity == pytest.approx(t.ppf(0.975, 39) * error, rel=0.1)


def test_two_networks_make_a_mean_without_an_interval():
    (row,) = pair_means(table_of(np.array([[0, 0.4], [0.2, 0]]), same=False)).itertuples()
    assert row.similarity == pytest.approx(0.3)
    assert np.isnan([row.ci_low, row.ci_high]).all()


def test_predicted_cka_is_that_of_representations_made_of_such_features():
    """Orthogonal one-dimensional features, and a residual spread over many dimensions."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(900, 2 + 2 * 400)))[0]
    shares = np.array([[0.55, 0.05], [0.2, 0.3]])
    residuals = basis[:, 2:402], basis[:, 402:]
    a, b = (
        np.hstack([basis[:, :2] * np.sqrt(s), r * np.sqrt((1 - s.sum()) / 400)])
        for s, r in zip(shares, residuals, strict=True)
    )
    cka = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    closed = (0.55 * 0.2 + 0.05 * 0.3) / np.sqrt((0.55**2 + 0.05**2) * (0.2**2 + 0.3**2))
    assert predicted_cka(*shares) == pytest.approx(closed)
    assert predicted_cka(*shares) == pytest.approx(cka, abs=0.01)


def test_regression_reaches_at_least_the_share_of_what_is_represented():
    assert regression_bound(np.array([0.6, 0.01]), np.array([0.5, 0.2])) == 0.5
    assert regression_bound(np.array([0.6, 0.1]), np.array([0.5, 0.2])) == pytest.approx(0.7)
    assert regression_bound(np.array([0.0, 0.04]), np.array([0.5, 0.2])) == 0


def shares_of(tables, shares):
    table = tables["variance_explained"]
    table["r2"] = [
        shares[condition][feature]
        for condition, feature in table[["condition", "feature"]].itertuples(index=False)
    ]


def test_predictions_come_from_the_shares_of_the_conditions(make_tables):
    tables = make_tables(seeds=3)
    shares = {"easy": {"easy": 0.6, "hard": -0.02}, "both": {"easy": 0.55, "hard": 0.05}}
    shares_of(tables, shares)
    table = predictions(tables, LAYERS).set_index(["metric", "a", "b"])["predicted"]
    expected = 0.6 * 0.55 / (0.6 * np.hypot(0.55, 0.05))
    assert table["cka", "easy", "both"] == pytest.approx(expected)
    assert table["cka", "both", "easy"] == pytest.approx(expected)
    assert table["ridge", "easy", "both"] == pytest.approx(0.55), "hard is not in easy"
    assert table["ridge", "both", "easy"] == pytest.approx(0.6)


def test_a_label_drawn_from_the_features_predicts_nothing(make_tables):
    tables = make_tables()
    shares_of(tables, {c: {"easy": 0.6, "hard": 0.2} for c in ("easy", "both")})
    for name in ("learning", "variance_explained"):
        table = tables[name]
        label = table[table["feature"] == "hard"].assign(feature="label")
        tables[name] = pd.concat([table, label], ignore_index=True)
    table = predictions(tables, LAYERS).set_index(["metric", "a", "b"])["predicted"]
    assert table["ridge", "easy", "both"] == pytest.approx(0.8)


def test_similarity_shows_pairs_of_different_seeds_in_the_analysed_layers(make_tables):
    tables = make_tables(seeds=4)
    table = tables["similarity"]
    table["included_a"], table["included_b"] = table["seed_a"] != 3, table["seed_b"] != 3
    figure, data = DRAWINGS["similarity"](tables, LAYERS)
    symmetric, directed = (data[data["metric"] == m] for m in ("cka", "ridge"))
    assert len(symmetric) == 3 * 2, "pairs of conditions, snapshots"
    assert len(directed) == 4 * 2
    assert set(data["snapshot"]) == {"mastered", "final"}
    for _, row in data.iterrows():
        part = table
        for side in "ab":
            layer = LAYERS[f"tasks/{row[side]}"]
            part = part[(part[f"condition_{side}"] == row[side]) & part[f"included_{side}"]]
            part = part[part[f"layer_{side}"] == layer]
        part = part[part["seed_a"] != part["seed_b"]]
        part = part[(part["metric"] == row["metric"]) & (part["snapshot"] == row["snapshot"])]
        assert row["n_pairs"] == len(part)
        assert row["similarity"] == pytest.approx(part["similarity"].mean())
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(panels) == ["CKA", "ridge regression (R²)"]
    labels = [label.get_text() for label in panels["CKA"].get_yticklabels()]
    assert labels == ["within easy", "easy – both", "within both"]


def test_predictions_stand_beside_what_they_predict_at_the_end(make_tables):
    tables = make_tables(seeds=3)
    shares_of(tables, {"easy": {"easy": 0.6, "hard": 0}, "both": {"easy": 0.5, "hard": 0.1}})
    figure, data = DRAWINGS["similarity"](tables, LAYERS)
    crosses = {
        axis.get_title(): sorted(
            line.get_xdata()[0] for line in axis.lines if line.get_marker() == "x"
        )
        for axis in figure.axes
        if axis.get_title()
    }
    between = 0.5 / np.hypot(0.5, 0.1)
    assert crosses["CKA"] == pytest.approx([between, 1, 1])
    assert crosses["ridge regression (R²)"] == pytest.approx([0.5, 0.6, 0.6, 0.6])
    assert data.loc[data["snapshot"] == "mastered", "predicted"].isna().all()


def test_many_conditions_are_shown_as_matrices(make_tables):
    conditions = tuple("abcdef")
    layers = {f"tasks/{c}": "hidden1" for c in conditions}
    figure, data = DRAWINGS["similarity"](make_tables(conditions=conditions), layers)
    matrices = {axis.get_title(): axis.images[0] for axis in figure.axes if axis.get_title()}
    final = data[data["snapshot"] == "final"].set_index(["metric", "a", "b"])["similarity"]
    cka, ridge = (np.asarray(matrices[n].get_array()) for n in ("CKA", "ridge regression (R²)"))
    assert cka.shape == (6, 6)
    np.testing.assert_array_equal(cka, cka.T)
    assert cka[1, 4] == final["cka", "b", "e"]
    assert (ridge[1, 4], ridge[4, 1]) == (final["ridge", "b", "e"], final["ridge", "e", "b"])


def test_where_there_is_no_similarity_a_matrix_is_grey(make_tables):
    """White is a similarity of 0."""
    conditions = tuple("abcdef")
    layers = {f"tasks/{c}": "hidden1" for c in conditions}
    tables = make_tables(conditions=conditions)
    table = tables["similarity"]
    tables["similarity"] = table[~((table["condition_a"] == "b") & (table["condition_b"] == "e"))]
    for name, cell in (("rsa_models", (0, 0)), ("similarity", (1, 4))):
        figure, _ = DRAWINGS[name](tables, layers)
        (image, *_) = [axis.images[0] for axis in figure.axes if axis.get_title() and axis.images]
        shown = np.ma.masked_invalid(image.get_array())
        assert np.ma.getmaskarray(shown)[cell]
        red, green, blue, alpha = image.to_rgba(shown)[cell]
        assert red == green == blue == 0.75
        assert alpha == 1
        np.testing.assert_allclose(image.to_rgba(np.zeros((1, 1)))[0, 0, :3], 0.97, atol=0.01)


def test_identification_compares_variants_and_others_with_plain_rsa(make_tables):
    tables = make_tables(seeds=3)
    figure, data = DRAWINGS["identification"](tables, LAYERS)
    names = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert [set(n) for n in names] == [
        *[{"RSA (correlation)", "angular Procrustes"}] * 2,
        *[{"RSA (correlation)", "CKA"}] * 2,
    ]
    table = tables["identification"]
    table = table[table["left_out"] == -1]
    assert len(data) == 2 * 3 * 2, "snapshots, measures, levels"
    for _, row in data.iterrows():
        part = table
        for key in ("snapshot", "metric", "reliability_level"):
            part = part[part[key] == row[key]]
        assert row["n"] == len(part) == 3
        assert row["top1"] == pytest.approx(part["top1"].mean())
    chance = [line for line in figure.axes[0].lines if set(line.get_ydata()) == {0.25}]
    assert len(chance) == 1


def test_intervals_of_identification_leave_seeds_out_of_targets_and_candidates(make_tables):
    """A seed's networks are both targets and candidates; both change when it is left out."""
    tables = make_tables(seeds=5)
    figure, data = DRAWINGS["identification"](tables, LAYERS)
    keys = ["snapshot", "metric", "reliability_level"]
    for key, part in tables["identification"].groupby(keys):
        row = data.set_index(keys).loc[key]
        left_out = [
            part.loc[(part["left_out"] == seed) & (part["seed"] != seed), "top1"].mean()
            for seed in range(5)
        ]
        error = np.sqrt(4 / 5 * ((left_out - np.mean(left_out)) ** 2).sum())
        half = t.ppf(0.975, 4) * error
        assert row["ci_high"] == pytest.approx(min(1, row["top1"] + half))
        assert row["ci_low"] == pytest.approx(max(0, row["top1"] - half))
    bars = [c.lines[2][0].get_segments() for axis in figure.axes for c in axis.containers]
    drawn = {tuple(segment[:, 1].round(9)) for segments in bars for segment in segments}
    assert drawn == {tuple(row) for row in data[["ci_low", "ci_high"]].to_numpy().round(9)}


@pytest.mark.parametrize("left_out", [[-1], [-1, 0]])
def test_identification_without_seeds_to_leave_out_has_no_interval(left_out, make_tables):
    tables = make_tables(seeds=3)
    table = tables["identification"]
    tables["identification"] = table[table["left_out"].isin(left_out)]
    _, data = DRAWINGS["identification"](tables, LAYERS)
    assert data["top1"].notna().all()
    assert data[["ci_low", "ci_high"]].isna().all(axis=None)


def test_identification_without_candidates_at_first_mastery_says_so(make_tables):
    tables = make_tables()
    table = tables["identification"]
    tables["identification"] = table[table["snapshot"] == "final"]
    figure, _ = DRAWINGS["identification"](tables, LAYERS)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no candidates at this time"]
    assert "RSA (correlation)" in [text.get_text() for text in figure.axes[1].texts]


@pytest.mark.parametrize("values", [[0.2, 0.2, 0.2], [0.9, 0.95, 1.0], [0.0, 0.5, 1.0], []])
def test_labels_do_not_overlap(values):
    placed = spread(values, 0.1, 1.0)
    assert len(placed) == len(values)
    assert all(np.diff(placed) >= 0.1 - 1e-9)
    assert all(y <= 1 for y in placed)
    if values == [0.0, 0.5, 1.0]:
        assert placed == values
