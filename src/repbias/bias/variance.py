"""M1 and M1b: the share of a representation's variance that a feature explains."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import hidden_activations
from repbias.networks.spec import MLP
from repbias.tables import as_table


def variance_explained(
    feature_fit: np.ndarray,
    representation_fit: np.ndarray,
    feature_test: np.ndarray,
    representation_test: np.ndarray,
    total: float | None = None,
    definition: Literal["ratio_of_sums", "mean_of_ratios"] = "ratio_of_sums",
) -> float:
    """Measure how much of a representation's variance a categorical feature explains (M1).

    W* minimises ||W f - phi||² on one set, with phi centred and f one-hot; the result is
    1 - ||W* f - phi||² / ||phi||² on another (Lampinen, Chan & Hermann 2024, section 2).

    Parameters
    ----------
    feature_fit, feature_test
        Labels, (stimulus,), of the set that W is fitted on and of the set it is tested on.
    representation_fit, representation_test
        (stimulus, unit). Both are centred by the mean of the fitted set.
    total
        Denominator instead of ||phi||² of the test set, per stimulus; for M1b the final one.
        Then the numerator is ||phi||² - ||W* f - phi||², the explained part at this step.
    definition
        Sums over stimuli before the ratio, or the mean of a ratio per stimulus (M1 only).

    Returns
    -------
    float
        At most 1; below 0 where the fit predicts worse than the mean. NaN without variance.

    Examples
    --------
    >>> f = np.array([0, 0, 1, 1])
    >>> phi = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    >>> variance_explained(f, phi, f, phi)
    1.0
    """
    levels = np.unique(feature_fit)
    mean = representation_fit.mean(axis=0, dtype=np.float64)
    phi_fit = representation_fit - mean
    phi = representation_test - mean
    # Least squares on a one-hot feature predicts each level's mean.
    one_hot_fit = (feature_fit[:, None] == levels).astype(np.float64)
    weights = (one_hot_fit.T @ phi_fit) / one_hot_fit.sum(axis=0)[:, None]
    residual = phi - (feature_test[:, None] == levels) @ weights
    if definition == "mean_of_ratios" and total is None:
        norms = (phi**2).sum(axis=1)
        ratios = (residual**2).sum(axis=1)[norms > 0] / norms[norms > 0]
        return float(1 - ratios.mean()) if len(ratios) else float("nan")
    denominator = (phi**2).sum() / len(phi) if total is None else total
    rounding = 1e-12 * (representation_test.astype(np.float64) ** 2).sum() / len(phi)
    if denominator <= rounding:
        return float("nan")
    explained = ((phi**2).sum() - (residual**2).sum()) / len(phi)
    return float(explained / denominator)


def variance_table(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: MLP,
    settings: Bias,
) -> pd.DataFrame:
    """Measure every feature and sub-component, in every layer at every checkpoint of every network.

    W is fitted on the validation stimuli and tested on the test stimuli. Column ``r2`` is M1;
    ``r2_of_final`` is M1b, whose denominator is the final representation's variance at every
    step, so that all points of a curve share a scale.
    """
    x_fit, x_test = stimuli.part("validation")[0], stimuli.part("test")[0]
    labels_fit, labels_test = stimuli.named_labels("validation"), stimuli.named_labels("test")
    n_checkpoints = len(networks.checkpoint_names)
    rows = []
    final_total: dict[tuple[int, str], float] = {}
    # The final checkpoint comes first: it sets the scale of M1b.
    for checkpoint in [n_checkpoints - 1, *range(n_checkpoints - 1)]:
        fit = hidden_activations(networks, checkpoint, x_fit, spec)
        test = hidden_activations(networks, checkpoint, x_test, spec)
        for n, about in networks.described(experiment, condition, checkpoint):
            for layer, phi_fit, phi_test in zip(spec.layers, fit, test, strict=True):
                a, b = phi_fit[n].astype(np.float64), phi_test[n].astype(np.float64)
                if checkpoint == n_checkpoints - 1:
                    final_total[n, layer] = float(((b - a.mean(axis=0)) ** 2).sum() / len(b))
                # Unknown where a network diverged before the end.
                total = final_total.get((n, layer), float("nan"))
                for feature in labels_fit:
                    args = (labels_fit[feature], a, labels_test[feature], b)
                    rows.append(
                        {
                            **about,
                            "layer": layer,
                            "feature": feature,
                            "r2": variance_explained(*args, definition=settings.definition),
                            "r2_of_final": variance_explained(*args, total),
                        }
                    )
    table = as_table("variance_explained", rows)
    return table.sort_values(["seed", "layer", "feature", "step"], kind="stable")
