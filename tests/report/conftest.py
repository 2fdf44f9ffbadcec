"""Small synthetic tables, as a study would leave them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from repbias.tables import TABLES, as_table

sys.path.insert(0, str(Path(__file__).parent))

from reports import draw

LAYERS = ["hidden1", "hidden2"]
FEATURES = ("easy", "hard")
WARNINGS = "one subject: nothing follows; fewer than 20 stimuli"
SNAPSHOTS = {"initial": 0, "mastered": 50, "final": 100}


def network_rows(experiment, conditions, seeds=2, layers=LAYERS, snapshots=SNAPSHOTS):
    return [
        {
            "experiment": experiment,
            "condition": condition,
            "network": f"seed{seed}",
            "seed": seed,
            "layer": layer,
            "snapshot": snapshot,
            "step": step,
            "included": True,
        }
        for condition in conditions
        for seed in range(seeds)
        for snapshot, step in snapshots.items()
        for layer in layers
    ]


def compared(rows, rng):
    pairs = [
        {"experiment": a["experiment"], "rdm_similarity": rdm_similarity, "snapshot": a["snapshot"]}
        | {f"{k}_a": v for k, v in a.items() if k not in ("experiment", "snapshot")}
        | {f"{k}_b": v for k, v in b.items() if k not in ("experiment", "snapshot")}
        | {"similarity": rng.uniform(-1, 1)}
        for a, b in combinations(rows, 2)
        if (a["experiment"], a["snapshot"]) == (b["experiment"], b["snapshot"])
        for rdm_similarity in ("corr", "spearman")
    ]
    return as_table("rsa_models", pairs)


def measured(name, rows, **columns):
    return as_table(name, [row | {k: v() for k, v in columns.items()} for row in rows])


def both_ways(rows, rng):
    """Similarity by a symmetric measure, each pair once, and by one with a direction."""
    pairs = [
        {"experiment": a["experiment"], "metric": metric, "snapshot": a["snapshot"]}
        | {f"{k}_a": v for k, v in a.items() if k not in ("experiment", "snapshot")}
        | {f"{k}_b": v for k, v in b.items() if k not in ("experiment", "snapshot")}
        | {"similarity": rng.uniform(0, 1), "null_mean": 0.0, "null_high": 0.1, "n_stimuli": 40}
        for metric, pairs_of in (("cka", combinations), ("ridge", permutations))
        for a, b in pairs_of(rows, 2)
        if a["snapshot"] == b["snapshot"]
    ]
    return as_table("similarity", pairs)


def without(row, *columns):
    return {k: v for k, v in row.items() if k not in columns}


def code_tables(networks, features, rng):
    """Every table about codes and their use."""
    share, half = (lambda: rng.uniform(0, 1)), (lambda: 0.5)
    once = [row for row in networks if row["layer"] == "hidden1"]
    return {
        "variance_decomposition": measured(
            "variance_decomposition",
            [row | {"part": p} for row in networks for p in ("easy", "hard", "input", "residual")],
            share=share,
        ),
        "behaviour": measured(
            "behaviour",
            [row | {"output": o, "feature": f} for row in once for o in FEATURES for f in FEATURES],
            agreement=share,
            chance=half,
        ),
        "units": measured(
            "units", [row | {"unit": str(u)} for row in features for u in range(4)], r2=share
        ),
        "sparsity": measured(
            "sparsity",
            features,
            **dict.fromkeys(("gini_signal", "gini", "participation_ratio"), share),
            n_units=lambda: 4,
        ),
        "components": measured(
            "components",
            [
                row | {"n_components": k, "variance": k / 3, "r2": share() if k else np.nan}
                for row in features
                for k in range(4)
            ],
            accuracy=share,
            chance=half,
        ),
        "steering": measured(
            "steering",
            [
                row
                | {
                    "strength": strength,
                    "norm": strength,
                    "norm_sd": 2 * strength,
                    "output": output,
                }
                for row in features
                for strength in (0.5, 1.0)
                for output in FEATURES
            ],
            flips=share,
            reached=share,
        ),
        "probes": measured(
            "probes",
            [row | {"probe": p} for row in features for p in ("linear", "nonlinear")],
            accuracy=share,
            chance=half,
        ),
        "conflict": measured(
            "conflict",
            [row | {"feature_a": "easy", "feature_b": "hard"} for row in networks],
            **dict.fromkeys(FOLLOWS, share),
        ).assign(follows_b=lambda table: 1 - table["follows_a"]),
    }


FOLLOWS = ("follows_a", "follows_b", "follows_a_standardised", "follows_b_standardised")


def encrypted(rng):
    measures = {
        **dict.fromkeys(("task_accuracy", "linear_probe", "nonlinear_probe", "r2"), FEATURES),
        **dict.fromkeys(("rsa_with_plaintext", "rsa_between_keys"), ("",)),
    }
    return as_table(
        "encryption",
        [
            {"experiment": "tasks", "condition": "both", "system": system, "seed": seed}
            | {"measure": measure, "feature": feature, "value": rng.uniform(0, 1)}
            for system in ("secret_sharing_a", "dghv")
            for seed in range(3)
            for measure, features in measures.items()
            for feature in features
        ],
    )


def identified(networks, rng):
    seeds = sorted({row["seed"] for row in networks})
    target = networks[-1]["condition"] if networks else None
    return as_table(
        "identification",
        [
            without(row, "included", "step")
            | {"metric": metric, "reliability_level": level, "left_out": left_out}
            | {"top1": rng.uniform(0, 1), "chance": 0.25}
            | {"strongest": "tasks/easy", "beats_strongest": rng.uniform(0, 1)}
            for row in networks
            if row["condition"] == target
            if row["layer"] == "hidden1" and row["snapshot"] != "initial"
            for metric in ("rsa", "cka", "procrustes")
            for level in (1.0, 0.1)
            for left_out in (-1, *(seed for seed in seeds if seed != row["seed"]))
        ],
    )


def tested(rows, rng, recording="v4", rdm_similarities=("corr", "spearman")):
    """Every model against zero, the ceiling, permutations and every other model."""
    models = {}
    for row in rows:
        if row["snapshot"] != "mastered":
            models.setdefault(
                (row["experiment"], row["condition"], row["layer"], row["snapshot"]), []
            ).append(row)
    sides = ("condition", "layer", "snapshot")
    nothing = {**dict.fromkeys([f"{side}_b" for side in sides], ""), "n_networks_b": np.nan}
    tests = []
    for rdm_similarity in rdm_similarities:
        names = list(models)
        for test, a, b in [
            *((test, name, None) for test in ("zero", "ceiling", "permutation") for name in names),
            *(("pair", a, b) for a, b in combinations(names, 2)),
        ]:
            effect = rng.uniform(-0.3, 0) if test == "ceiling" else rng.uniform(-0.2, 0.5)
            tests.append(
                {"recording": recording, "region": ""}
                | {"rdm_similarity": rdm_similarity, "test": test}
                | {"experiment": a[0], "n_networks_a": len(models[a])}
                | dict(zip((f"{side}_a" for side in sides), a[1:], strict=True))
                | nothing
                | (dict(zip((f"{side}_b" for side in sides), b[1:], strict=True)) if b else {})
                | {"effect": effect, "ci_low": effect - 0.1, "ci_high": effect + 0.1}
                | {"p": 0.01, "p_fdr": rng.uniform(0, 0.1), "method": "t"}
                | {"generalises_to": "stimuli, these subjects"}
                | {"warning": WARNINGS if test == "zero" else ""}
            )
    return as_table("rsa_tests", tests)


def recovered(conditions, share=0.7):
    """Brains of two conditions, and of layers of each, of which some are named the other."""
    types = TABLES["recovery"].types
    blank = {c: {str: "", bool: False, int: 0, float: np.nan}[t] for c, t in types.items()}
    models = [("model", {"condition": c}) for c in conditions]
    within = [[("layer", {"condition": c, "layer": layer}) for layer in LAYERS] for c in conditions]
    rows = []
    for how, items in product(("argmax", "matched"), (models, *within)):
        for level, named in items:
            about = blank | {"recording": "brain", "measure": "rsa", "how": how, "level": level}
            about |= {f"named_{k}": v for k, v in named.items()} | {"n": 10, "chance": 0.5}
            for _, true in items:
                probability = share if true == named else 1 - share
                rows.append(
                    about
                    | {f"true_{k}": v for k, v in true.items()}
                    | {"simulated": True, "probability": probability, "right": share}
                    | {"preferred": np.nan if true == named else 1 - share}
                )
            rows.append(about | {"probability": float(named == items[0][1]), "right": share})
    return as_table("recovery", rows)


def audited(rows, rng):
    """The audit of a recording with every network, and of two conditions with each other."""

    def of(name, more, **columns):
        types = TABLES[name].types
        blank = {str: "", bool: True, int: 1, float: 0.5}
        filled = [
            {c: blank[t] for c, t in types.items()} | {"time_s": np.nan} | row for row in more
        ]
        return as_table(name, [row | {k: v() for k, v in columns.items()} for row in filled])

    of_recording = [
        row | {"recording": "v4", "measure": "correlation", "score": 0.6, "gate": True}
        for row in rows
    ]
    shares = {"easy": 0.7, "hard": -0.1, "rest": 0.4}
    pairs = [
        {"experiment": "tasks", "condition_a": "easy", "condition_b": "both"}
        | {"layer_a": "hidden2", "layer_b": "hidden1", "snapshot": "final", "score": 0.5}
    ]
    return {
        "audit": of(
            "audit",
            [
                row | {"feature": feature, "share": share, "warning": "", "target": "stimuli"}
                for row in of_recording
                for feature, share in shares.items()
            ],
            ci_low=lambda: rng.uniform(-0.2, 0),
            ci_high=lambda: rng.uniform(0.8, 0.9),
        ),
        "audit_networks": of(
            "audit_networks",
            [
                row | {"feature": feature, "share": share, "predicted": 0.2, "gate": True}
                for row in pairs
                for feature, share in shares.items()
            ],
        ),
        "audit_remaining": of(
            "audit_remaining",
            [
                row | {"feature": feature, "remaining": remaining}
                for row in of_recording
                for feature, remaining in (("easy", 0.2), ("hard", 0.65), ("all", 0.1))
            ],
        ),
        "audit_range": of(
            "audit_range",
            [
                row | {"feature": feature, "alone": 0.4, "range_low": 0.1, "range_high": 0.8}
                for row in of_recording
                for feature in shares
            ],
        ),
    }


def recorded(rows, ceiling, rng):
    """The tables about a recording with units in two regions, made from networks' rows."""
    score = lambda: rng.uniform(0, 0.5)  # noqa: E731
    low, high = (lambda: rng.uniform(-0.2, 0)), (lambda: rng.uniform(0.5, 0.6))
    rows = [row for row in rows if row["snapshot"] != "mastered"]
    interval = {"ci_low": low, "ci_high": high}
    of = {"recording": "v4", "region": "", "interval": "95 %", "n_subjects": 1, "n_stimuli": 40}
    conditions = list(dict.fromkeys((row["experiment"], row["condition"]) for row in rows))
    return {
        "rsa_tests": tested(rows, rng),
        "rsa_subjects": as_table("rsa_subjects"),
        "cautions": as_table(
            "cautions",
            [
                {"recording": "v4", "region": "", "concerns": concerns, "danger": danger}
                | {"value": 0.3, "limit": 0.5, "sentence": f"There is {danger} & more."}
                for concerns, danger in (("tests", "heavy_tails"), ("encoding", "lucky_ceilings"))
            ],
        ),
        "rsa_fitted": measured(
            "rsa_fitted",
            [
                row | of | {"rdm_similarity": "corr", "model": model, "n_folds": 5}
                for row in rows
                for model in ("fixed", "weighted", "reweighted")
            ],
            similarity=score,
            **interval,
        ),
        "rsa_times": measured(
            "rsa_times",
            [
                row | of | ceiling | {"rdm_similarity": "corr", "time_s": time}
                for row in rows
                for time in (-0.1, 0.0, 0.1)
            ],
            similarity=score,
            **interval,
        ),
        "encoding_regions": measured(
            "encoding_regions",
            [
                row | of | {"region": region, "n_units": 3, "n_units_with_ceiling": 2}
                for row in rows
                for region in ("V4", "IT")
            ],
            r=score,
            r_normalised=score,
            r2=score,
            reverse_r2=score,
            smaller_r2=score,
            ceiling=lambda: 0.7 if ceiling["ceiling_low"] == ceiling["ceiling_low"] else np.nan,
            share_significant=score,
            alpha_at_edge=lambda: 0.0,
            **interval,
        ),
        "variance_partition": measured(
            "variance_partition",
            [
                {"recording": "v4", "subject": "PE", "region": region, "unit": f"u{unit}"}
                | {"experiment": experiment, "model": condition, "network": "seed0"}
                | {"snapshot": "final", "part": part, "n_stimuli": 40}
                for experiment, condition in conditions
                for part in ("all", "alone easy", "unique easy", "shared")
                for region in ("V4", "IT")
                for unit in range(3)
            ],
            r2=score,
            r2_error=lambda: 0.05,
        ),
        "variance_partition_regions": measured(
            "variance_partition_regions",
            [
                of
                | {"region": region, "experiment": experiment, "model": condition, "part": part}
                | {"network": "seed0", "snapshot": "final", "n_units": 3}
                for experiment, condition in conditions
                for part in ("all", "alone easy", "unique easy", "shared")
                for region in ("V4", "IT")
            ],
            r2=score,
            **interval,
        ),
        "quality": as_table(
            "quality",
            [
                {"recording": "v4", "subject": subject, "region": "", "measure": measure}
                | {"value": value, "ci_low": value, "ci_high": np.nan, "method": "counted"}
                for subject in ("", "PE")
                for measure, value in (("units", 3.0), ("reliability", 0.6667))
            ],
        ),
        "references": as_table(
            "references",
            [
                {"recording": "v4", "measure": "reliability", "method": "split-half"}
                | {"value": 0.6667, "published": 0.7, "difference": -0.0333, "source": "a paper"}
            ],
        ),
        "rsa_between_recordings": as_table(
            "rsa_between_recordings",
            [
                {
                    "recording_a": "v4",
                    "region_a": "",
                    "region_b": "",
                    "recording_b": "it",
                    "rdm_similarity": "corr",
                    "similarity": 0.4321,
                }
                | {"ci_low": 0.1, "ci_high": 0.7, "interval": "95 %, bootstrap of stimuli"}
                | {"n_subjects_a": 1, "n_subjects_b": 2, "n_stimuli": 40}
            ],
        ),
    }


@pytest.fixture(scope="session")
def make_models() -> Callable[..., list[dict]]:
    """Function that gives the rows of models of the user's own: one network each, at the end."""

    def make(layers=("pixels", "conv1"), names=("pretrained",)):
        return network_rows("images", names, 1, layers, {"final": 0})

    return make


@pytest.fixture(scope="session")
def make_tests() -> Callable[..., pd.DataFrame]:
    """Function that gives the tests of models with a recording."""
    return tested


@pytest.fixture(scope="session")
def every_figure(made_once, make_tables) -> Path:
    """Folder of the figures of all tables, to be read only."""
    return made_once("every-figure", lambda folder: draw(folder, make_tables()))


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., dict[str, pd.DataFrame]]:
    """Function that gives every table for some conditions, with or without ceilings."""
    built = {}

    def make(conditions=("easy", "both"), ceilings=True, models=(), seeds=2):
        key = repr((conditions, ceilings, models, seeds))
        if key not in built:
            built[key] = all_tables(conditions, ceilings, list(models), seeds)
        return {name: table.copy() for name, table in built[key].items()}

    return make


def all_tables(conditions, ceilings, models, seeds):
    rng = np.random.default_rng(0)
    networks = network_rows("tasks", conditions, seeds) if conditions else []
    score = lambda: rng.uniform(0, 0.5)  # noqa: E731
    features = [row | {"feature": f} for row in networks for f in FEATURES]
    ceiling = {"ceiling_low": 0.6, "ceiling_high": 0.7, "ceiling_convention": "leave one out"}
    unit_ceiling = {"ceiling": 0.8, "ceiling_convention": "split-half"}
    if not ceilings:
        ceiling = {"ceiling_low": np.nan, "ceiling_high": np.nan}
        unit_ceiling = {"ceiling": np.nan}
        for each in (ceiling, unit_ceiling):
            each["ceiling_convention"] = "unavailable"
    constants = {"interval": "95 %", "n_subjects": 1, "n_stimuli": 40}
    tables = {
        "learning": measured(
            "learning",
            [
                row
                | {"target": row["condition"] in (row["feature"], "both")}
                | {"loss": 0.1, "mastered": False}
                for row in features
                if row["layer"] == "hidden1"
            ],
            accuracy=lambda: rng.uniform(0.5, 1),
        ),
        "variance_explained": measured("variance_explained", features, r2=score, r2_of_final=score),
        **code_tables(networks, features, rng),
        "encryption": encrypted(rng) if conditions else as_table("encryption"),
        "similarity": both_ways(networks, rng),
        "identification": identified(networks, rng),
        "rsa_models": compared([*networks, *models], rng),
        "rsa_untrained": measured(
            "rsa_untrained",
            [
                row | {"rdm_similarity": "corr", "untrained": "seed0", "untrained_seed": 0}
                for row in networks
            ],
            similarity=score,
        ),
        "rsa_recordings": measured(
            "rsa_recordings",
            [
                row | {"recording": "v4", "region": "", "rdm_similarity": c} | ceiling | constants
                for c in ("corr", "spearman")
                for row in [*networks, *models]
            ],
            similarity=score,
            ci_low=lambda: rng.uniform(-0.2, 0),
            ci_high=lambda: rng.uniform(0.5, 0.6),
        ),
        **recorded([*networks, *models], ceiling, rng),
        **audited([*networks, *models], rng),
        "recovery": recovered(["easy", "both"]),
        "recovery_shares": as_table("recovery_shares"),
        "encoding": measured(
            "encoding",
            [
                row
                | {"recording": "v4", "subject": "PE", "region": "V4", "unit": f"u{u}"}
                | unit_ceiling
                | {
                    "r_error": 0.1,
                    "reverse_r2": 0.1,
                    "log10_alpha": 1.0,
                    "alpha_at_edge": 0.0,
                    "n_stimuli": 40,
                    "r2": 0.1,
                }
                for row in [*networks, *models]
                if row["snapshot"] != "mastered"
                for u in range(3)
            ],
            r=score,
            r_normalised=score,
            p=score,
            p_fdr=lambda: rng.uniform(0, 0.1),
        ),
        "reliability": as_table(
            "reliability",
            [
                {"recording": "v4", "subject": "PE", "region": "V4", "unit": f"u{u}"}
                | {"repeats": 4.0, "split_half": 0.5, "reliability": 0.6667, "ceiling": 0.8165}
                | {"convention": "split-half"}
                for u in range(3)
            ],
        ),
        "claims": as_table(
            "claims",
            [
                {"claim": claim, "variant": variant, "snapshot": snapshot}
                | {"statement": f"the statement of {claim}", "verdict": verdict}
                | {"effect": -0.1234, "ci_low": np.nan, "ci_high": 0.5, "n_included": 9}
                | {"n_excluded": 1, "measure": "a difference", "remark": ""}
                | {"p": p_fdr / 4, "p_fdr": p_fdr}
                | {"reference": "a number", "provenance": "a paper"}
                for claim, variant, snapshot, verdict, p_fdr in (
                    ("C1", "", "final", "supported", 0.003),
                    ("C1", "", "mastered", "inconclusive", 0.5),
                    ("C1", "momentum", "final", "inconclusive", 0.5),
                    ("C1", "momentum", "mastered", "inconclusive", 0.5),
                    ("C20", "", "final", "not supported", 0.068),
                )
            ],
        ),
    }
    assert tables.keys() == TABLES.keys()
    return tables
