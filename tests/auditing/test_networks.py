"""Which pairs of networks are compared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from repbias.auditing.networks import audit_networks
from repbias.auditing.spec import Audit
from repbias.rsa.rdms import make_rdms
from repbias.stimuli.images import Images

N = 24
IDS = np.array([f"im{i:02d}" for i in range(N)])


def networks(names: list[str], layers: list[str], seed: int):
    """RDMs of networks of a condition, each with these layers."""
    rng = np.random.default_rng(seed)
    rows = [(name, layer) for name in names for layer in layers]
    info = {"network": [n for n, _ in rows], "layer": [layer for _, layer in rows]}
    info |= {"seed": [0] * len(rows), "step": [0] * len(rows)}
    info |= {"snapshot": ["final"] * len(rows), "included": [True] * len(rows)}
    vectors = 1 + 0.1 * rng.random((len(rows), N * (N - 1) // 2))
    return make_rdms(vectors, IDS, "squared_euclidean", info)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2])
def test_a_network_is_not_compared_with_its_own_layers(n: int) -> None:
    """Of one network of two layers and another of one, there are two pairs; of two, six."""
    names = [f"seed{i}" for i in range(n)]
    layers = {"a": ["1", "2"], "b": ["1"]}
    conditions = {c: networks(names, shown, i) for i, (c, shown) in enumerate(layers.items())}
    columns = {"size": np.random.default_rng(0).standard_normal(N)}
    images = Images(IDS.tolist(), None, columns)
    table = audit_networks("set", conditions, layers, images, {}, Audit(permutations=19))
    found = table.drop_duplicates(["condition_a", "layer_a", "condition_b", "layer_b"])
    within = found["condition_a"] == found["condition_b"]
    assert within.sum() == (0 if n == 1 else 4)
    assert (~within).sum() == 2
    assert table["feature"].isin(["size", "rest"]).all()


def test_a_network_is_no_evidence_of_its_own_similarity() -> None:
    """Unrelated networks of a condition: with themselves they would be similar."""
    conditions = {"a": networks(["seed0", "seed1", "seed2"], ["1"], 0)}
    images = Images(IDS.tolist(), None, {"size": np.random.default_rng(0).standard_normal(N)})
    table = audit_networks("set", conditions, {"a": ["1"]}, images, {}, Audit(permutations=19))
    assert abs(table["score"].iloc[0]) < 0.25
    assert set(table["n_networks_a"]) == {3}


def test_the_energy_law_holds_for_the_same_directions() -> None:
    """Two kinds of network that carry two features along the same axes, with other gains.

    Squared variances of a two-class feature with gain g are g^4, in one dimension; nothing else
    varies but noise. The part of a feature in the similarity of two networks is then the product
    of their variances, what the law predicts: .36 * .04 against .04 * .36 of total .0288.
    """
    rng = np.random.default_rng(0)
    labels = np.array([[i % 2, i // 2 % 2] for i in range(N)])
    codes = np.eye(2)[labels].reshape(N, 4)

    def of(gains: list[float]):
        patterns = [
            codes * np.repeat(gains, 2) + 0.01 * rng.standard_normal((N, 4)) for _ in range(3)
        ]
        vectors = np.stack([pdist(p, "sqeuclidean") for p in patterns])
        info = {"network": ["s0", "s1", "s2"], "layer": ["1"] * 3, "seed": [0, 1, 2]}
        info |= {"step": [0] * 3, "snapshot": ["final"] * 3, "included": [True] * 3}
        return make_rdms(vectors, IDS, "squared_euclidean", info)

    conditions = {"a": of([0.6, 0.2]), "b": of([0.2, 0.6])}
    images = Images(IDS.tolist(), None, {"one": labels[:, 0], "two": labels[:, 1]})
    layers = {"a": ["1"], "b": ["1"]}
    table = audit_networks("set", conditions, layers, images, {}, Audit(permutations=19))
    shares = table.set_index(["condition_a", "condition_b", "feature"])
    expected = {("a", "a"): 0.6**4 / (0.6**4 + 0.2**4), ("a", "b"): 0.5}
    for pair, share in expected.items():
        row = shares.loc[(*pair, "one")]
        assert row["share"] == pytest.approx(share, abs=0.01)
        assert row["predicted"] == pytest.approx(share, abs=0.01)
