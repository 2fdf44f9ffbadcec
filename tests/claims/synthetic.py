"""Tables in which the effect of every claim is known.

A builder takes what the effect is to be in every network, draws everything else, and returns the
roles that a study would fill with the tables that it would have.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import norm

from repbias.claims.decide import decide
from repbias.tables import TABLES, as_table

SNAPSHOTS = ("mastered", "final")
ANALYSED = "hidden2"
#: Columns of numbers that are measured; the rest say what was measured.
MEASURED = {
    "r2",
    "r2_of_final",
    "gini",
    "gini_signal",
    "accuracy",
    "norm",
    "flips",
    "follows_a",
    "follows_b",
    "follows_a_standardised",
    "follows_b_standardised",
    "agreement",
    "top1",
    "beats_strongest",
    "similarity",
    "value",
    "share",
    "null_mean",
}
EMPTY = {name: as_table(name) for name in TABLES}
_TEXT = {
    "network",
    "untrained",
    "network_a",
    "network_b",
    "feature",
    "output",
    "unit",
    "probe",
    "part",
    "feature_a",
    "feature_b",
    "system",
    "measure",
    "metric",
    "rdm_similarity",
    "strongest",
}


def table(name, condition, entries, snapshots=SNAPSHOTS):
    """A table's rows: each entry at each snapshot, arrays with a value per network (by seed)."""
    n = max(np.size(value) for entry in entries for value in entry.values())
    parts = []
    for snapshot, entry in product(snapshots, entries):
        for side in ("", "_standardised"):
            if f"follows_a{side}" in entry:  # with two classes, the rest
                entry = {f"follows_b{side}": 1 - np.asarray(entry[f"follows_a{side}"])} | entry
        columns = {c: "" if c in _TEXT else 0.0 for c in TABLES[name].columns} | {
            **{"experiment": "tasks", "condition": condition, "layer": ANALYSED, "included": True},
            **{"seed": np.arange(n), "snapshot": snapshot},
            "step": SNAPSHOTS.index(snapshot) + 900 if snapshot in SNAPSHOTS else 0,
        }
        parts.append({c: np.broadcast_to(v, n) for c, v in (columns | entry).items()})
    columns = TABLES[name].columns
    return name, as_table(name, {c: np.concatenate([p[c] for p in parts]) for c in columns})


def tables_of(*frames, features=("easy", "hard")):
    """All tables; every network of the others has a row per feature in "learning"."""
    given: dict[str, list[pd.DataFrame]] = {}
    for name, frame in frames:
        given.setdefault(name, []).append(frame)
    tables = dict(EMPTY)
    tables |= {name: pd.concat(parts, ignore_index=True) for name, parts in given.items()}
    if "learning" not in given:
        keys = ["experiment", "condition", "seed"]
        seen = {
            network
            for name in given
            if {*keys, "snapshot"} <= {*tables[name].columns}
            for network in tables[name][keys].drop_duplicates().itertuples(index=False, name=None)
        }
        rows = [
            dict.fromkeys(TABLES["learning"].columns, 0)
            | {"experiment": e, "condition": c, "network": f"seed{s}", "seed": s, "feature": f}
            | {"included": True}
            for e, c, s in sorted(seen)
            for f in features
        ]
        tables["learning"] = as_table("learning", rows)
    return tables


def decided(claim, roles, tables, **layers):
    """Decide one claim; return its rows by snapshot."""
    conditions = [v for role, v in roles.items() if "/" in v and role != "conditions"]
    layers = dict.fromkeys(conditions, ANALYSED) | layers
    if "conditions" in roles:
        layers |= {f"tasks/{c}": ANALYSED for c in tables["learning"]["condition"].unique()}
    rows = decide({claim: roles}, tables, layers)
    assert tuple(rows.columns) == TABLES["claims"].columns
    return {row["snapshot"]: row for _, row in rows.iterrows()}


BOTH = {"condition": "tasks/both", "easy": "easy", "hard": "hard"}


def _apart(values, rng):
    """Two arrays that differ by the values (the first is larger)."""
    base = rng.uniform(0.2, 0.4, len(values))
    return base + values, base


def _r2(condition, snapshots=SNAPSHOTS, **features):
    entries = [{"feature": f, "r2": r2, "r2_of_final": 9.0} for f, r2 in features.items()]
    return table("variance_explained", condition, entries, snapshots)


# One condition: the effect is the mean of the values.


def gap(values, rng):
    easy, hard = _apart(values, rng)
    return BOTH, tables_of(_r2("both", easy=easy, hard=hard))


def reversed_gap(values, rng):
    """A grid of one condition."""
    easy, hard = _apart(-values, rng)
    roles = {"conditions": "tasks/bot[h]", "easy": "easy", "hard": "hard"}
    return roles, tables_of(_r2("both", easy=easy, hard=hard))


def hard_first(values, rng):
    roles, tables = gap(values, rng)
    return {"hard_first": roles["condition"], "easy": "easy", "hard": "hard"}, tables


def frequent(values, rng):
    larger, smaller = _apart(values, rng)
    roles = {"condition": "tasks/both", "frequent": "often", "rare": "seldom"}
    frame = _r2("both", often=larger, seldom=smaller)
    return roles, tables_of(frame, features=("often", "seldom"))


def components_over_feature(kind, other):
    def build(values, rng):
        mean, hard = _apart(values, rng)
        spread = rng.normal(0, 0.1, len(values))
        named = {f"hard.{kind}1": mean + spread, f"hard.{kind}2": mean - spread}
        decoys = {name: rng.uniform(size=len(values)) for name in (f"hard.{other}1", "easy")}
        decoys[f"easy.{kind}1"] = rng.uniform(size=len(values))
        frame = _r2("both", **named, **decoys, hard=hard)
        return {"condition": "tasks/both", "hard": "hard"}, tables_of(frame)

    return build


def growth(values, rng):
    """Mastered at step 50, half way on a line from 0 at step 0 to 2 b at step 100: b is there."""
    b = rng.uniform(0.1, 0.2, len(values))
    curve = [("initial", 0, 0 * b), ("crossing", 100, 2 * b)]
    curve += [("mastered", 200, b + values), ("final", 300, b + values)]
    frames = [
        table(
            "variance_explained",
            "both",
            [{"feature": "easy", "step": step, "r2_of_final": value, "r2": 0.5}],
            [name],
        )
        for name, step, value in curve
    ]
    learning = learning_of(len(values), easy=[(25, 0.8), (50, 0.99), (75, 0.95), (100, 1.0)])
    roles = {"condition": "tasks/both", "easy": "easy"}
    return roles, tables_of(*frames, learning)


def acceleration(values, rng):
    """Rates per step while the hard feature is learned (steps 300 to 500) and before (from 100)."""
    before = rng.uniform(1e-4, 2e-4, len(values))
    after = before + values / 1000
    start = rng.uniform(0, 0.1, len(values))
    curve = [("initial", 0, 0 * start), ("crossing", 100, start)]
    curve += [("grid", 300, start + 200 * before)]
    curve += [("mastered", 500, start + 200 * before + 200 * after), ("final", 900, 0 * start + 1)]
    frames = [
        table(
            "variance_explained",
            "both",
            [{"feature": "easy", "step": step, "r2_of_final": value}],
            [name],
        )
        for name, step, value in curve
    ]
    learning = learning_of(
        len(values),
        easy=[(50, 0.98), (100, 0.995), (300, 1), (500, 1)],
        hard=[(50, 0.5), (100, 0.59), (300, 0.6), (500, 0.99)],
    )
    return BOTH, tables_of(*frames, learning)


def learning_of(n, **curves):
    """Learning curves, the same for all n networks: feature to (step, accuracy)."""
    entries = [
        {"feature": f, "step": step, "accuracy": a, "mastered": a >= 0.99, "seed": np.arange(n)}
        for f, curve in curves.items()
        for step, a in curve
    ]
    return table("learning", "both", entries, ["final"])


def sparser(column, other):
    def build(values, rng):
        hard, easy = _apart(values, rng)
        entries = [
            {"feature": "easy", column: easy, other: 0.5},
            {"feature": "hard", column: hard, other: 0.5},
            {"feature": "hard.xor12", column: 0.9},
        ]
        return BOTH, tables_of(table("sparsity", "both", entries))

    return build


def components_needed(values, rng):
    """With 7 components more: enough too, and listed before; with fewer: not."""
    enough = {"easy": rng.uniform(9, 11, len(values))}
    enough["hard"] = enough["easy"] + values
    entries = [
        {"feature": f, "n_components": k + extra, "accuracy": accuracy}
        for f, k in enough.items()
        for extra, accuracy in ((7, 1.0), (0, 0.9), (-1, 0.89), (-7, 0.95), (-8, 0.5))
    ]
    return BOTH, tables_of(table("components", "both", entries))


def _steering(entries, rng, n):
    decoys = [
        {
            "feature": f,
            "output": o,
            "strength": strength,
            "norm": 1 + strength,
            "flips": rng.uniform(size=n),
        }
        for f, o in [("third", "third"), ("third", "easy"), ("hard", "third")]
        for strength in (0.5, 1.0)
    ]
    return tables_of(table("steering", "both", entries + decoys))


def _at_strengths(feature, output, flips, rng, n):
    """Flips at steering strength 1, and others at other steering strengths."""
    return [
        {"feature": feature, "output": output, "strength": d, "norm": d, "flips": f}
        for d, f in ((0.5, rng.uniform(size=n)), (1.0, flips), (2.0, rng.uniform(size=n)))
    ]


def own_flips(values, rng):
    n = len(values)
    spread = rng.uniform(-0.1, 0.1, n)
    entries = [
        *_at_strengths("easy", "easy", 0.5 + values + spread, rng, n),
        *_at_strengths("hard", "hard", 0.5 + values - spread, rng, n),
        *_at_strengths("easy", "hard", rng.uniform(size=n), rng, n),
        *_at_strengths("hard", "easy", rng.uniform(size=n), rng, n),
    ]
    return BOTH, _steering(entries, rng, n)


def other_flips(values, rng):
    """In the worse of both directions: now this one, now that."""
    n = len(values)
    reduction = rng.uniform(0, 0.1, n)
    swapped = np.arange(n) % 2 == 1
    entries = [
        *_at_strengths("easy", "hard", values - reduction * swapped, rng, n),
        *_at_strengths("hard", "easy", values - reduction * ~swapped, rng, n),
        *_at_strengths("easy", "easy", rng.uniform(size=n), rng, n),
        *_at_strengths("hard", "hard", rng.uniform(size=n), rng, n),
    ]
    return BOTH, _steering(entries, rng, n)


def norms(values, rng):
    """Flips of .8 and 1 at norms of 90 % -+ 1: half way between."""
    easy, hard = _apart(values, rng)
    n = len(values)
    entries = [
        {"feature": f, "output": f, "strength": strength, "norm": 5 + norm + side, "flips": flips}
        for f, norm in (("easy", easy), ("hard", hard))
        for strength, side, flips in ((1.0, 1, 1.0), (0.5, -1, 0.8), (0.1, -3, 0.1))
    ]
    cross = {"feature": "easy", "output": "hard", "strength": 0.01, "norm": 0.01, "flips": 1.0}
    return BOTH, _steering([*entries, cross], rng, n)


def conflict(column, other):
    def build(values, rng):
        noise = rng.uniform(size=(2, len(values)))
        entries = [
            {"feature_a": "easy", "feature_b": "hard", column: 0.5 + values, other: noise[0]},
            {"feature_a": "easy", "feature_b": "third", column: noise[1], other: noise[0]},
        ]
        return BOTH, tables_of(table("conflict", "both", entries))

    return build


def behaviour(values, rng):
    easy, hard = _apart(values, rng)
    noise = rng.uniform(size=len(values))
    entries = [
        {"output": "label", "feature": "easy", "agreement": easy},
        {"output": "label", "feature": "hard", "agreement": hard},
        {"output": "label", "feature": "label", "agreement": noise},
        {"output": "easy", "feature": "easy", "agreement": noise},
        {"output": "easy", "feature": "hard", "agreement": 1 - noise},
    ]
    return BOTH, tables_of(table("behaviour", "both", entries))


CHANCE = 0.25


def identification(rates, n, chance=CHANCE):
    """Metric to (reliability, seed that is left out, P(own above strongest) of every other
    target)."""
    entries = [
        {"metric": metric, "reliability_level": level, "left_out": left_out, "chance": chance}
        | {"beats_strongest": np.broadcast_to(beats, n), "top1": np.full(n, 0.9)}
        | {"strongest": "tasks/easy"}
        for metric, rows in rates.items()
        for level, left_out, beats in rows
    ]
    name, frame = table("identification", "both", entries)
    frame = frame[frame["seed"] != frame["left_out"]].reset_index(drop=True)
    return {"condition": "tasks/both"}, tables_of((name, frame))


def identification_of(entries):
    """Entries with a rate per target, the same with all candidates and without any seed's."""
    n = max(np.size(value) for entry in entries for value in entry.values())
    entries = [entry | {"left_out": out} for out in range(-1, n) for entry in entries]
    name, frame = table("identification", "both", entries)
    return name, frame[frame["seed"] != frame["left_out"]].reset_index(drop=True)


def whoever_is_left_out(n, *levels):
    """The same rates with all candidates (-1), and without those of each seed."""
    return [(level, left_out, beats) for left_out in range(-1, n) for level, beats in levels]


def identified(values, rng):
    n = len(values)
    noise = rng.uniform(size=n)
    rates = {"rsa": whoever_is_left_out(n, (0.2, noise), (1.0, 0.5 + values))}
    rates["procrustes"] = whoever_is_left_out(n, (1.0, noise))
    return identification(rates, n)


def repaired(metric):
    def build(values, rng):
        n = len(values)
        """The gain over RSA is .1 more than that over one half, in every network: no matter."""
        spread, noise = rng.uniform(-0.1, 0.1, n), rng.uniform(size=n)
        rates = {
            "cka": whoever_is_left_out(n, (1.0, noise), (0.2, noise)),
            "rsa": whoever_is_left_out(n, (1.0, 0.4 + spread), (0.2, 0.4 - spread)),
            metric: whoever_is_left_out(
                n, (1.0, 0.5 + values + spread), (0.2, 0.5 + values - spread)
            ),
        }
        return identification(rates, n)

    return build


def _encryption(entries):
    return "encryption", table("encryption", "both", entries, ["final"])[1]


def unreadable(values, rng):
    """One system, feature and probe is the most readable; all others are .3 below it. Their
    accuracy is .55 minus the effect."""
    n = len(values)
    cells = list(product(("dghv", "secret_sharing"), ("easy", "hard"), PROBES))
    best = rng.integers(len(cells))
    entries = [
        {"system": system, "feature": feature, "measure": probe}
        | {"value": 0.55 - values - 0.3 * (i != best)}
        for i, (system, feature, probe) in enumerate(cells)
    ]
    for system, feature in product(("dghv", "secret_sharing"), ("easy", "hard")):
        about = {"system": system, "feature": feature}
        entries += [about | {"measure": "task_accuracy", "value": 1.0}]
        entries += [about | {"measure": "r2", "value": rng.uniform(1, 2, n)}]
    entries += readable("easy") + readable("hard")
    entries += [{"system": "plaintext", "feature": "easy", "measure": "linear_probe", "value": 1.0}]
    entries += _geometry(rng.uniform(1, 2, n), rng)
    return {}, tables_of(_encryption(entries))


PROBES = ("linear_probe", "nonlinear_probe")


def readable(feature, linear=0.5, nonlinear=0.97):
    """What probes read from the plaintext bits."""
    return [
        {"system": "plaintext_inputs", "feature": feature, "measure": probe, "value": value}
        for probe, value in zip(PROBES, (linear, nonlinear), strict=True)
    ]


def _geometry(values, rng):
    spread = rng.uniform(-0.1, 0.1, len(values))
    clear = 1 - values
    return [
        {"system": system, "measure": measure, "value": value}
        for system, side in (("dghv", spread), ("secret_sharing", -spread), ("plaintext", clear))
        for measure, value in (
            ("rsa_with_plaintext", values + side),
            ("rsa_between_keys", rng.uniform(size=len(values))),
        )
    ]


def unrelated(values, rng):
    return {}, tables_of(_encryption(_geometry(values, rng)))


def by_name(sign):
    """Colour is "easy", and shape is "hard"."""

    def build(values, rng):
        roles, tables = gap(sign * values, rng)
        return {"condition": roles["condition"], "colour": "easy", "shape": "hard"}, tables

    return build


def redundant(values, rng):
    """The second feature was easier to decode before training, on average."""
    n = len(values)
    second, first = _apart(values, rng)
    noise = rng.uniform(size=(3, n))
    used = [
        {"output": "one", "feature": "one", "agreement": first},
        {"output": "one", "feature": "two", "agreement": second},
        {"output": "two", "feature": "one", "agreement": noise[0]},
        {"output": "two", "feature": "two", "agreement": noise[1]},
    ]
    before = [
        {"probe": "linear", "feature": "one", "accuracy": 0.5 + 0.01 * noise[2]},
        {"probe": "linear", "feature": "two", "accuracy": 0.6 + 0.01 * noise[1]},
        {"probe": "nonlinear", "feature": "one", "accuracy": 1.0},
    ]
    after = [{**row, "accuracy": noise[0]} for row in before]
    learning = [{"feature": f, "target": np.full(n, f == "one")} for f in ("one", "two")]
    frames = [
        table("behaviour", "both", used),
        table("probes", "both", before, ["initial"]),
        table("probes", "both", after),
        table("learning", "both", learning, ["final"]),
    ]
    return {"condition": "tasks/both", "first": "one", "second": "two"}, tables_of(*frames)


# Two conditions: the effect is the mean of the first values minus that of the second.


def supervised(larger, smaller, rng):
    frames = [
        _r2(c, seldom=v, often=rng.uniform(size=len(v)))
        for c, v in (("larger", larger), ("smaller", smaller))
    ]
    roles = {"more": "tasks/larger", "less": "tasks/smaller", "feature": "seldom"}
    return roles, tables_of(*frames, features=("seldom", "often"))


def untrained(larger, smaller, rng):
    """Similarities to untrained networks add up from effects of networks, and to the other task
    they depend on the other network."""
    n = len(larger)
    pairs = [(a, b) for a in range(n) for b in range(n)]
    entries = {
        "seed": [a for a, _ in pairs],
        "untrained_seed": [b for _, b in pairs],
        "similarity": [80.0 if a == b else (larger[a] + larger[b]) / 2 for a, b in pairs],
    }
    _, rows = table("rsa_untrained", "one", [{k: np.array(v) for k, v in entries.items()}])
    networks = [(c, s) for c in ("one", "two") for s in range(n)]

    def similarity(a, b):
        if a[1] == b[1] or a[0] == b[0]:
            return 50.0
        return smaller[(a if a[0] == "two" else b)[1]]

    r2 = [_r2(c, easy=np.zeros(n)) for c in ("one", "two")]
    roles = {"condition": "tasks/one", "other": "tasks/two"}
    frames = [rsa(networks, similarity), ("rsa_untrained", rows.assign(rdm_similarity="corr")), *r2]
    return roles, tables_of(*frames)


def gaps(larger_role, smaller_role):
    def build(larger, smaller, rng):
        frames = []
        for condition, values in (("larger", larger), ("smaller", smaller)):
            easy, hard = _apart(values, rng)
            frames.append(_r2(condition, easy=easy, hard=hard))
        roles = {
            larger_role: "tasks/larger",
            smaller_role: "tasks/smaller",
            "easy": "easy",
            "hard": "hard",
        }
        return roles, tables_of(*frames)

    return build


def decodability(larger, smaller, rng):
    frames = []
    for condition, values in (("larger", larger), ("smaller", smaller)):
        noise = rng.uniform(size=len(values))
        entries = [
            {"probe": "linear", "feature": "unused", "accuracy": 0.7 + values},
            {"probe": "nonlinear", "feature": "unused", "accuracy": noise},
            {"probe": "linear", "feature": "used", "accuracy": noise},
        ]
        frames.append(table("probes", condition, entries))
    roles = {"correlated": "tasks/larger", "independent": "tasks/smaller", "unused": "unused"}
    return roles, tables_of(*frames)


def rsa(networks, similarity, snapshots=SNAPSHOTS, swap=False):
    """All comparisons of networks, (condition, seed), as the pipeline makes them."""
    entries = []
    for a, b in combinations(networks, 2):
        if swap:
            a, b = b, a
        entries.append(
            {
                **{"condition_a": a[0], "seed_a": a[1], "layer_a": ANALYSED, "included_a": True},
                **{"condition_b": b[0], "seed_b": b[1], "layer_b": ANALYSED, "included_b": True},
                **{"rdm_similarity": "corr", "similarity": similarity(a, b)},
            }
        )
    columns = dict.fromkeys(TABLES["rsa_models"].columns, 0) | {"experiment": "tasks"}
    rows = [columns | e | {"snapshot": s} for s in snapshots for e in entries]
    return "rsa_models", as_table("rsa_models", rows)


def similarities(within_second):
    """Similarities add up from effects of networks.

    The mean over pairs is then twice that of the effects within a condition, and the sum of both
    between two of the same size.
    """

    def build(larger, smaller, rng):
        first, second = ("easy", "both") if within_second else ("easy", "hard")
        effect = {(first, s): v for s, v in enumerate(larger)}
        effect |= {(second, s): v for s, v in enumerate(smaller)}

        def similarity(a, b):
            if a[1] == b[1]:  # they began with the same weights
                return 50.0
            if a[0] != b[0] and not within_second:
                return -70.0
            if a[0] == b[0] == first and within_second:
                return -60.0
            scale = 1 if within_second else 0.5
            return scale * (effect[a] + effect[b])

        r2 = [_r2(c, easy=np.zeros(len(v))) for c, v in ((first, larger), (second, smaller))]
        frames = [rsa(list(effect), similarity), *r2]
        return {first: f"tasks/{first}", second: f"tasks/{second}"}, tables_of(*frames)

    return build


MEANS = {
    "C1": gap,
    "C2": growth,
    "C3": acceleration,
    "C4b": hard_first,
    "C5": sparser("gini_signal", "gini"),
    "C5-r2": sparser("gini", "gini_signal"),
    "C6": components_over_feature("xor", "bit"),
    "C6b": components_over_feature("bit", "xor"),
    "C7": frequent,
    "C7b": frequent,
    "C10": reversed_gap,
    "C11": by_name(1),
    "C12": by_name(-1),
    "C13": own_flips,
    "C13b": other_flips,
    "C15": norms,
    "C16": components_needed,
    "C17": conflict("follows_a", "follows_a_standardised"),
    "C17-standardised": conflict("follows_a_standardised", "follows_a"),
    "C21": redundant,
    "C23": behaviour,
    "C26": unreadable,
    "C26b": unrelated,
    "C27": identified,
    "C28": repaired("rsa_reweighted"),
    "C28b": repaired("procrustes"),
    "C28c": repaired("rsa_whitened"),
    "C28d": repaired("rsa_residualised"),
    "C28e": repaired("cka_equalised"),
}
DIFFERENCES = {
    "C4": gaps("joint", "hard_first"),
    "C7c": supervised,
    "C9": gaps("deep", "shallow"),
    "C9b": gaps("wide", "narrow"),
    "C18": gaps("many", "few"),
    "C19": similarities(within_second=True),
    "C20": similarities(within_second=False),
    "C22": decodability,
    "C24": untrained,
    "C29": gaps("noisy", "plain"),
    "C29b": gaps("decayed", "plain"),
}
#: Claims that a difference is smaller than this, and claims of some difference.
NO_DIFFERENCE = {"C9b": 0.1, "C13b": 0.05, "C22": 0.05, "C26b": 0.05}
SOME_DIFFERENCE = {"C29": 0.1, "C29b": 0.1}
#: Decided at the end of training only.
FINAL_ONLY = {"C3", "C21", "C23", "C25", "C26", "C26b"}
#: Of keys, not networks: none can be excluded, and there is no training.
OF_KEYS = {"C26", "C26b"}
#: Decided at equal loss too.
MATCHED = {"C4", "C10", "C29", "C29b"}
#: Smallest or largest of several effects: either side of the interval is another one's.
OF_SEVERAL = {"C26", "C28", "C28b", "C28c", "C28d", "C28e"}


def drawn(rng, n, mean=0.0, sd=0.02):
    """Values with exactly this mean and standard deviation, and without skewness."""
    values = rng.permutation(norm.ppf((np.arange(n) + 0.5) / n))
    return mean + sd * values / values.std(ddof=1)


def built(claim, effect, rng, n=8, sd=0.02):
    """Roles and tables with exactly this effect, in n networks (of each condition)."""
    if claim in MEANS:
        return MEANS[claim](drawn(rng, n, effect, sd), rng)
    base = rng.uniform(0, 0.1)
    larger, smaller = drawn(rng, n, base + effect, sd), drawn(rng, n, base, sd)
    return DIFFERENCES[claim](larger, smaller, rng)
