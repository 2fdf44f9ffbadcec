"""Model recovery: whether RSA and encoding identify the layer that generated a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd


def model_recovery(
    generators: dict[str, dict[str, str | int]], rsa: pd.DataFrame, encoding: pd.DataFrame
) -> pd.DataFrame:
    """Compare the layer with the highest score with the layer that generated the recording.

    Parameters
    ----------
    generators
        Simulated recording to what generated it: "source" ("experiment/condition"), "layer" and
        "seed_of_network".
    rsa, encoding
        The tables rsa_recordings and encoding; included networks at the end of training are used.

    Returns
    -------
    pandas.DataFrame
        One row per recording, method and included network of the generating condition.
        ``is_generator`` marks the network that generated the recording; the others are new
        instances of it, as a model of a real brain is at best. ``margin`` is the score of the
        named layer minus the highest score of any other layer.
    """
    scores = [
        rsa.assign(method="rsa", measure=rsa["rdm_similarity"], score=rsa["similarity"]),
        encoding.assign(method="encoding", measure="r", score=encoding["r"]),
    ]
    keys = ["method", "measure", "condition", "network", "seed"]
    rows = []
    for recording, generator in generators.items():
        for table in scores:
            networks = _of_generating_condition(table, recording, str(generator["source"]))
            for key, part in networks.groupby(keys, sort=False):
                by_layer = part.groupby("layer", sort=False)["score"].mean()
                if not by_layer.isna().all():
                    about = {"recording": recording} | dict(zip(keys, key, strict=True))
                    rows.append(about | _recovered(by_layer, generator, about["seed"]))
    return as_table("model_recovery", rows)


def _of_generating_condition(table: pd.DataFrame, recording: str, source: str) -> pd.DataFrame:
    """Return the rows of the included networks of a recording's source, after training."""
    experiment, condition = source.split("/", 1)
    return table[
        (table["recording"] == recording)
        & (table["experiment"] == experiment)
        & (table["condition"] == condition)
        & (table["snapshot"] == "final")
        & table["included"].astype(bool)
    ]


def _recovered(by_layer: pd.Series, generator: dict[str, str | int], seed: int) -> dict[str, Any]:
    """Say which layer of a network scores highest, and whether it is the generating one."""
    ranked = by_layer.sort_values(ascending=False)
    return {
        "is_generator": seed == generator["seed_of_network"],
        "true_layer": generator["layer"],
        "named_layer": ranked.index[0],
        "correct": ranked.index[0] == generator["layer"],
        "score_true": by_layer[generator["layer"]],
        "score_named": ranked.iloc[0],
        "margin": ranked.iloc[0] - ranked.iloc[1] if len(ranked) > 1 else None,
        "chance": 1 / len(ranked),
    }
