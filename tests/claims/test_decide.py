"""What every claim keeps to, on tables in which its effect is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from synthetic import (
    DIFFERENCES,
    FINAL_ONLY,
    MATCHED,
    MEANS,
    MEASURED,
    NO_DIFFERENCE,
    OF_KEYS,
    OF_SEVERAL,
    SOME_DIFFERENCE,
    built,
    decided,
)

from repbias.claims.catalogue import CLAIMS
from repbias.claims.decide import decide
from repbias.tables import TABLES, as_table, read_tables, write_table

ALL = sorted(MEANS | DIFFERENCES)
OF_NETWORKS = [c for c in ALL if c not in OF_KEYS]


@pytest.fixture
def rng(request):
    return np.random.default_rng(len(request.node.name))


@cache
def known(claim):
    """Roles and tables with an effect of 0.2 in eight networks, and how the claim is decided.

    They are the same ones for all tests, which may not change them.
    """
    roles, tables = built(claim, 0.2, np.random.default_rng(len(claim)))
    return roles, tables, decided(claim, roles, tables)


def test_every_claim_is_tested_here():
    """C25 needs no table; tests/claims/test_codes.py derives it by hand.

    Units of those about transformers are tasks: tests/claims/test_order.py.
    """
    assert {*MEANS, *DIFFERENCES, "C25", "C8", "C8b", "C14"} == CLAIMS.keys()


@pytest.mark.parametrize("claim", ALL)
@pytest.mark.parametrize("effect", [0.3, -0.013])
def test_the_effect_is_exact(claim, effect, rng):
    n = 7
    roles, tables = built(claim, effect, rng, n)
    rows = decided(claim, roles, tables)
    snapshots = ["final"] if claim in FINAL_ONLY else ["final", "mastered"]
    assert list(rows) == snapshots + ["matched"] * (claim in MATCHED)
    for row in rows.values():
        assert row["effect"] == pytest.approx(effect, abs=1e-12)
        assert row["n_included"] == (n if claim in MEANS else 2 * n)
        assert row["n_excluded"] == 0


@pytest.mark.parametrize("claim", sorted({*ALL} - {"C19", "C20", "C24"} - OF_SEVERAL))
def test_the_interval_of_values_without_skewness_is_that_of_student(claim, rng):
    """With a third of the degrees of freedom: 9, or 13.5 of two conditions (as if both had the
    same variance and one and a half times these networks in all)."""
    n, sd = 10, 0.02
    roles, tables = built(claim, 0.3, rng, n, sd)
    error, df = sd / np.sqrt(n), 9
    if claim in DIFFERENCES:
        error, df = np.sqrt(2) * error, 13.5
    for row in decided(claim, roles, tables).values():
        width = (row["ci_high"] - row["ci_low"]) / 2
        assert width == pytest.approx(t.ppf(0.975, df / 3) * error)
        assert (row["ci_high"] + row["ci_low"]) / 2 == pytest.approx(0.3, abs=1e-12)


def verdicts_of(claim):
    """Effect, standard deviation of networks, verdict."""
    if claim in NO_DIFFERENCE:
        margin = NO_DIFFERENCE[claim]
        yield from [(0.0, margin / 20, "supported"), (-margin / 2, margin / 20, "supported")]
        yield from [(2 * margin, margin / 20, "not supported")]
        yield from [(-2 * margin, margin / 20, "not supported")]
        yield from [(0.9 * margin, margin / 50, "supported")]
        yield from [(1.1 * margin, margin / 50, "not supported")]
        yield from [(margin, margin / 2, "inconclusive"), (0.0, 4 * margin, "inconclusive")]
    elif claim in SOME_DIFFERENCE:
        margin = SOME_DIFFERENCE[claim]
        yield from [(2 * margin, margin / 20, "supported"), (-2 * margin, margin / 20, "supported")]
        yield from [(1.1 * margin, margin / 50, "supported")]
        yield from [
            (0.9 * margin, margin / 50, "not supported"),
            (0.0, margin / 20, "not supported"),
        ]
        yield from [(margin, margin / 2, "inconclusive"), (0.0, 4 * margin, "inconclusive")]
        # Of 8 and 8 networks, the interval reaches 1.47 standard deviations to either side.
        yield from [(0.0, 0.6 * margin, "not supported"), (0.0, 0.75 * margin, "inconclusive")]
    else:
        yield from [(0.2, 0.02, "supported"), (-0.2, 0.02, "not supported")]
        yield (0.0, 0.02, "inconclusive")


@pytest.mark.parametrize(
    ("claim", "effect", "sd", "verdict"), [(c, *case) for c in ALL for case in verdicts_of(c)]
)
def test_every_verdict_can_be_reached(claim, effect, sd, verdict, rng):
    roles, tables = built(claim, effect, rng, sd=sd)
    assert {row["verdict"] for row in decided(claim, roles, tables).values()} == {verdict}


def more_rows(tables, rng, others):
    """Add rows of something else, with the same keys but for the changes and other values."""
    changed = dict(tables)
    for changes in others:
        changes = changes | {f"{c}{side}": v for c, v in changes.items() for side in ("_a", "_b")}
        for name, table in tables.items():
            columns = {column: value for column, value in changes.items() if column in table}
            if table.empty or not columns:
                continue
            rows = table.assign(**columns)
            if name == "learning":  # other networks, so that it shows if they are counted
                rows["seed"] += 50
            before, after = (
                rows.assign(**{c: rng.uniform(0, 9, len(rows)) for c in MEASURED if c in rows})
                for _ in range(2)
            )
            # On both sides: nothing may depend on what comes first or last.
            changed[name] = pd.concat([before, changed[name], after], ignore_index=True)
    return changed


OTHERS = [{"condition": "elsewhere"}, {"experiment": "others"}, {"layer": "hidden1"}]
#: Claims at equal loss, C2 and C3 follow the whole curve: tests/claims/test_variance.py says how.
#: C21 is about untrained networks too.
OF_OTHER_SNAPSHOTS = MATCHED | {"C2", "C3", "C21"}


@pytest.mark.parametrize("claim", OF_NETWORKS)
def test_rows_of_something_else_change_nothing(claim, rng):
    roles, tables, before = known(claim)
    others = OTHERS + [{"snapshot": "initial"}] * (claim not in OF_OTHER_SNAPSHOTS)
    after = decided(claim, roles, more_rows(tables, rng, others))
    for snapshot, row in before.items():
        pd.testing.assert_series_equal(after[snapshot], row, check_names=False)


@pytest.mark.parametrize("claim", sorted({*OF_NETWORKS} - FINAL_ONLY))
def test_every_snapshot_is_decided_by_itself(claim, rng):
    """At first mastery the effect is this, and at the end of training another."""
    roles, early, _ = known(claim)
    _, late = built(claim, -0.3, rng, sd=0.02)
    if claim == "C2":
        # Both have the curve until mastery in common; only the last value differs.
        curve = early["variance_explained"]
        late = dict(early) | {"variance_explained": curve.copy()}
        late["variance_explained"].loc[curve["snapshot"] == "final", "r2_of_final"] -= 0.5
    tables = {
        name: pd.concat(
            [
                early[name][early[name]["snapshot"] != "final"],
                late[name][late[name]["snapshot"] == "final"],
            ]
        )
        if "snapshot" in early[name]
        else early[name]
        for name in early
    }
    rows = decided(claim, roles, tables)
    assert rows["mastered"]["effect"] == pytest.approx(0.2, abs=1e-12)
    assert rows["final"]["effect"] == pytest.approx(-0.3, abs=1e-12)


@pytest.mark.parametrize("claim", OF_NETWORKS)
def test_excluded_networks_are_counted_and_take_no_part(claim, rng):
    """Three networks of every condition, seeds 100 to 102, below the inclusion criterion."""
    roles, tables, before = known(claim)
    networks = {c: tables[c] for c in tables if "included" in tables[c] and c != "learning"}
    with_excluded = dict(tables)
    for seed in (100, 101, 102):
        single = {
            name: table[table["seed"] == 0]
            for name, table in networks.items()
            if "seed" in table and len(table)
        }
        single["learning"] = tables["learning"][tables["learning"]["seed"] == 0]
        pairs = tables["rsa_models"]
        single["rsa_models"] = pairs[pairs["seed_a"] == 0]
        for name, rows in single.items():
            rows = rows.assign(
                **{c: seed for c in ("seed", "seed_a") if c in rows},
                **{c: False for c in ("included", "included_a") if c in rows},
                **{c: rng.uniform(0, 9, len(rows)) for c in MEASURED if c in rows},
            )
            with_excluded[name] = pd.concat([rows, with_excluded[name]], ignore_index=True)
    after = decided(claim, roles, with_excluded)
    n_conditions = sum("/" in value for value in roles.values())
    for snapshot, row in before.items():
        assert after[snapshot]["n_excluded"] == 3 * n_conditions
        for column in ("effect", "ci_low", "ci_high", "n_included", "verdict"):
            assert after[snapshot][column] == row[column]


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("claim", ALL)
def test_fewer_than_five_networks_decide_nothing(claim, n):
    roles, tables, _ = known(claim)
    few = {
        name: table[table[[c for c in table if c.startswith("seed")]].max(axis=1) < n]
        if name != "learning" and any(c.startswith("seed") for c in table)
        else table
        for name, table in tables.items()
    }
    for row in decided(claim, roles, few).values():
        assert row["verdict"] == "inconclusive"
        assert row[["ci_low", "ci_high"]].isna().all()
        assert "where a verdict needs 5" in row["remark"]
        assert row["n_included"] == (n if claim in MEANS else 2 * n)
        if claim in OF_NETWORKS:
            assert row["n_included"] + row["n_excluded"] == (8 if claim in MEANS else 16)


@pytest.mark.parametrize("claim", ALL)
def test_a_verdict_from_few_networks_says_so(claim, rng):
    """Fifteen are what reviewers ask for; no remark then."""
    noun = "keys" if claim in OF_KEYS else "networks"
    place = " in a condition" if claim in DIFFERENCES else ""
    for n, remark in ((6, f"6 {noun}{place}, where reviewers ask for 15"), (15, "")):
        effect = 0.0 if claim in NO_DIFFERENCE else 0.2
        for row in decided(claim, *built(claim, effect, rng, n=n, sd=0.01)).values():
            assert row["verdict"] != "inconclusive"
            assert remark in row["remark"] and (n < 15 or "reviewers" not in row["remark"])


@pytest.mark.parametrize("claim", ALL)
def test_intervals_end_where_the_effect_can(claim, rng):
    """Six networks that differ as much as can be have an interval that would go on."""
    low, high = CLAIMS[claim].bounds
    for row in decided(claim, *built(claim, 0.2, rng, n=6, sd=0.7)).values():
        assert low <= row["ci_low"] <= row["ci_high"] <= high
    if CLAIMS[claim].measure.endswith(("one half", "R²")):
        assert np.isfinite([low, high]).all()


@pytest.mark.parametrize("claim", sorted(DIFFERENCES))
def test_two_networks_of_one_condition_decide_nothing(claim):
    roles, tables, _ = known(claim)
    with_few = {}
    for name, table in tables.items():
        if name != "learning" and {"condition", "seed"} <= {*table.columns}:
            condition = table["condition"].iloc[-1] if len(table) else None
            table = table[(table["condition"] != condition) | (table["seed"] < 2)]
        with_few[name] = table
    for row in decided(claim, roles, with_few).values():
        assert row["verdict"] == "inconclusive"
        assert (row["n_included"], row["n_excluded"]) == (10, 6)


@pytest.mark.parametrize("claim", sorted({*OF_NETWORKS} - FINAL_ONLY))
def test_where_no_network_mastered_the_task_nothing_is_decided(claim):
    roles, tables, _ = known(claim)
    never = {
        name: table[table["snapshot"] != "mastered"] if "snapshot" in table else table
        for name, table in tables.items()
    }
    rows = decided(claim, roles, never)
    n = 8 if claim in MEANS else 16
    assert rows["mastered"]["verdict"] == "inconclusive"
    assert np.isnan(rows["mastered"]["effect"])
    assert (rows["mastered"]["n_included"], rows["mastered"]["n_excluded"]) == (0, n)
    assert (rows["final"]["n_included"], rows["final"]["n_excluded"]) == (n, 0)
    assert rows["final"]["effect"] == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize("claim", OF_NETWORKS)
def test_where_no_network_was_included_nothing_is_decided(claim):
    roles, tables, _ = known(claim)
    none = {
        name: table.assign(included=False) if "included" in table else table
        for name, table in tables.items()
    }
    none["identification"] = tables["identification"].iloc[:0]
    for row in decided(claim, roles, none).values():
        assert row["verdict"] == "inconclusive"
        assert row["n_included"] == 0
        assert row["n_excluded"] == (8 if claim in MEANS else 16)


@pytest.mark.parametrize("claim", ALL)
def test_the_order_of_rows_does_not_matter(claim):
    roles, tables, before = known(claim)
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    after = decided(claim, roles, shuffled)
    for snapshot, row in before.items():
        for column in ("effect", "n_included", "n_excluded", "verdict"):
            assert after[snapshot][column] == pytest.approx(row[column], abs=1e-12)


# C16 is about numbers of components, which are fractions here: no file holds these.
@pytest.mark.parametrize("claim", [claim for claim in ALL if claim != "C16"])
def test_tables_from_files_decide_alike(claim, tmp_path):
    roles, tables, before = known(claim)
    for name, table in tables.items():
        if len(table):
            write_table(tmp_path / f"{name}.csv", name, table)
    after = decided(claim, roles, read_tables(tmp_path.glob("*.csv")))
    for snapshot, row in before.items():
        for column, value in row.items():
            expected = pytest.approx(value, abs=1e-7) if isinstance(value, float) else value
            assert after[snapshot][column] == expected, column


@pytest.mark.parametrize("claim", ALL)
def test_a_verdict_is_reproducible(claim):
    roles, tables, first = known(claim)
    second = decided(claim, roles, tables)
    assert first.keys() == second.keys()
    for snapshot, row in first.items():
        pd.testing.assert_series_equal(row, second[snapshot])


NAMES = ("both", "easy", "hard", "larger", "smaller", "one", "two")
LAYERS = {f"tasks/{c}": "hidden2" for c in NAMES}


def test_layers_are_those_of_each_condition(rng):
    """Two conditions of different depth: what is analysed is called otherwise."""
    roles, tables = built("C9", 0.3, rng)
    r2 = tables["variance_explained"]
    tables["variance_explained"] = r2.assign(
        layer=np.where(r2["condition"] == "larger", "hidden6", "hidden2")
    )
    layers = {"tasks/larger": "hidden6", "tasks/smaller": "hidden2"}
    assert decided("C9", roles, tables, **layers)["final"]["effect"] == pytest.approx(0.3)
    wrong = decided("C9", roles, tables)["final"]
    assert (wrong["n_included"], wrong["n_excluded"]) == (8, 8)


def test_variants_are_rows_of_their_own(rng):
    roles, tables = built("C1", 0.3, rng)
    other = {"condition": "tasks/both", "easy": "hard", "hard": "easy"}
    wanted = {"C1": roles, "C1 other way round": other, "C25": {}}
    rows = decide(wanted, tables, LAYERS)
    assert rows[["claim", "variant", "snapshot"]].to_numpy().tolist() == [
        ["C1", "", "final"],
        ["C1", "", "mastered"],
        ["C1", "other way round", "final"],
        ["C1", "other way round", "mastered"],
        ["C25", "", "final"],
    ]
    assert rows["effect"].iloc[:4].tolist() == pytest.approx([0.3, 0.3, -0.3, -0.3])
    entry = CLAIMS["C1"]
    for column in ("statement", "measure", "reference", "provenance"):
        assert set(rows[column].iloc[:4]) == {getattr(entry, column)}


def test_p_values_are_corrected_over_all_rows(rng):
    """Benjamini & Yekutieli (2001) by hand: p m c / rank, c = 1 + 1/2 + ... + 1/m, at most those
    of higher ranks; what was not tested does not count."""
    wanted, frames = {"C25": {}}, []
    for i, effect in enumerate((0.0, 0.01, 0.02, 0.04)):
        roles, tables = built("C1", effect, rng)
        wanted[f"C1 {i}"] = roles | {"condition": f"tasks/c{i}"}
        frames.append({n: t.assign(condition=f"c{i}") for n, t in tables.items() if len(t)})
    tables |= {name: pd.concat([f[name] for f in frames], ignore_index=True) for name in frames[0]}
    rows = decide(wanted, tables, {f"tasks/c{i}": "hidden2" for i in range(4)})
    tested = rows[rows["claim"] == "C1"].sort_values("p")
    assert rows.loc[rows["claim"] == "C25", ["p", "p_fdr"]].isna().all(axis=None)
    m = len(tested)
    assert m == 8
    expected = tested["p"] * m * sum(1 / k for k in range(1, m + 1)) / np.arange(1, m + 1)
    expected = np.minimum(expected[::-1].cummin()[::-1], 1)
    np.testing.assert_allclose(tested["p_fdr"], expected)
    assert (tested["p_fdr"] >= tested["p"]).all()


def test_without_claims_the_table_is_empty():
    rows = decide({}, {name: as_table(name) for name in TABLES}, {})
    assert tuple(rows.columns) == TABLES["claims"].columns
    assert len(rows) == 0


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_says_where_it_comes_from(claim):
    entry = CLAIMS[claim]
    for text in (entry.statement, entry.reference, entry.provenance, entry.measure):
        assert text.strip()
    assert set(entry.tables) <= TABLES.keys()
    assert set(entry.roles.values()) <= {"condition", "conditions", "feature", "target"}
    assert set(entry.snapshots) <= {"final", "mastered", "matched"} and "final" in entry.snapshots
    # A margin is a choice of ours, and has to be called so.
    ours = claim in NO_DIFFERENCE or claim in SOME_DIFFERENCE
    assert ("margin" in entry.reference + entry.provenance) == ours
