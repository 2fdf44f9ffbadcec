"""Transformers that report features in an order, from YAML to the report."""

import pandas as pd
import pytest
from workspace import Workspace

pytestmark = pytest.mark.slow

FEATURES = {name: {"function": "member"} for name in ("a", "b")}
STIMULI = {"kind": "tokens", "length": 4, "vocabulary": 6, "features": FEATURES}
STIMULI |= {"n_train": 256, "n_validation": 64, "n_test": 64}
ORDERS = {
    "stimuli": STIMULI,
    "network": {"kind": "transformer", "width": 8, "attention_heads": 2, "decoder_depth": 1},
    "training": {"batch_size": 64, "max_steps": 25, "inclusion": 0, "checkpoints": 2}
    | {"checkpoint_accuracies": [], "initial_weights": "own"},
    "seeds": 1,
    "conditions_per_job": 10,
    "vary": {"stimuli.task": [0, 1, 2, 3, 4], "network.order": "balanced"},
    "analyses": ["variance_explained"],
}
STUDY = {
    "study": "tokens",
    "experiments": {
        "fed": ORDERS,
        "unfed": ORDERS | {"network": ORDERS["network"] | {"answers": "unfed"}},
        "answers": {
            "stimuli": STIMULI,
            "trained_in": "unfed/task=0,order=a-b",
            "vary": {
                "readout": {"first": {"decoder1": "token0"}, "second": {"decoder1": "token1"}}
            },
            "conditions_per_job": 2,
            "analyses": ["variance_explained"],
        },
    },
    "claims": {
        "C8": {"orders": "fed/*"},
        "C8 unfed": {"orders": "unfed/*"},
        "C8b": {"orders": "fed/*", "unfed": "unfed/*"},
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("tokens"), STUDY)
    workspace.snakemake("--cores", "1")
    return workspace


def table(workspace, name):
    return pd.read_csv(workspace.results / "tables" / f"{name}.csv", keep_default_na=False)


def test_claims_are_decided_over_tasks(workspace):
    claims = table(workspace, "claims")
    final = claims[claims["snapshot"] == "final"].set_index(["claim", "variant"])
    assert final["n_included"].to_dict() == {("C8", ""): 10, ("C8", "unfed"): 10, ("C8b", ""): 20}
    assert final["remark"].str.contains("5 tasks, where reviewers ask for 15").all()


def test_conditions_begin_with_weights_of_their_own(workspace):
    rows = table(workspace, "variance_explained")
    initial = rows[(rows["snapshot"] == "initial") & (rows["layer"] == "encoder2")]
    first = initial[(initial["experiment"] == "fed") & (initial["feature"] == "a")]
    assert first["r2"].nunique() == len(first) == 10


def test_the_same_networks_are_read_at_each_answer(workspace):
    rows = table(workspace, "variance_explained")
    rows = rows[(rows["experiment"] == "answers") & (rows["snapshot"] == "final")]
    r2 = rows.set_index(["condition", "layer", "feature"])["r2"].unstack("condition")
    same = r2["readout=first"] == r2["readout=second"]
    assert same.groupby("layer").all().to_dict() == {
        "encoder1": True,
        "encoder2": True,
        "decoder1": False,
    }


def test_the_report_shows_the_order(workspace):
    page = (workspace.results / "report.html").read_text()
    assert "The order of reports" in page
    assert "20 networks were trained in 20 conditions" in page
    assert "In 2 more conditions trained networks are shown other stimuli" in page
    # As heading and as alternative text, of three conditions of either experiment.
    assert page.count("What tokens attend to") == 2 * 6
    falls = pd.read_csv(workspace.results / "figures/order.csv")
    assert falls["task"].notna().sum() == 10
