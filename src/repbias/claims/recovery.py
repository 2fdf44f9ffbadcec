"""Model recovery: whether RSA and encoding name the layer that generated a simulated brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repbias.tables import as_table

if TYPE_CHECKING:
    import pandas as pd


def model_recovery(
    truth: dict[str, dict[str, str | int]], rsa: pd.DataFrame, encoding: pd.DataFrame
) -> pd.DataFrame:
    """Compare the layer with the highest score with the layer that generated the recording.

    Parameters
    ----------
    truth
        Simulated recording to its "source" ("experiment/condition"), "layer" and
        "seed_of_network".
    rsa, encoding
        The tables of model-recording RSA and of encoding; final networks are used.

    Returns
    -------
    pandas.DataFrame
        One row per recording, method and included network of the generating condition.
        ``is_generator`` marks the network itself; the others are new instances of it, as a model
        of a brain always is. ``margin`` is the named layer's score minus the best other layer's.
    """
    scores = [
        rsa.assign(method="rsa", measure=rsa["rdm_similarity"], score=rsa["similarity"]),
        encoding.assign(method="encoding", measure="r", score=encoding["r"]),
    ]
    rows = []
    for recording, origin in truth.items():
        experiment, condition = str(origin["source"]).split("/", 1)
        for table in scores:
            chosen = table[
                (table["recording"] == recording)
                & (table["experiment"] == experiment)
                & (table["condition"] == condition)
                & (table["snapshot"] == "final")
                & table["included"].astype(bool)
            ]
            keys = ["method", "measure", "network", "seed"]
            for (method, measure, network, seed), part in chosen.groupby(keys, sort=False):
                by_layer = part.groupby("layer", sort=False)["score"].mean()
                ranked = by_layer.sort_values(ascending=False)
                if by_layer.isna().all():
                    continue
                rows.append(
                    {
                        "recording": recording,
                        "method": method,
                        "measure": measure,
                        "condition": condition,
                        "network": network,
                        "seed": seed,
                        "is_generator": seed == origin["seed_of_network"],
                        "true_layer": origin["layer"],
                        "named_layer": ranked.index[0],
                        "correct": ranked.index[0] == origin["layer"],
                        "score_true": by_layer[origin["layer"]],
                        "score_named": ranked.iloc[0],
                        "margin": ranked.iloc[0] - ranked.iloc[1] if len(ranked) > 1 else None,
                        "chance": 1 / len(ranked),
                    }
                )
    return as_table("model_recovery", rows)
