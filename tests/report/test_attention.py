"""What tokens attend to, against PyTorch's own attention, and its picture."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from repbias.networks.architectures import architecture
from repbias.networks.attention import attention_maps
from repbias.networks.spec import Training
from repbias.networks.token_modules import Attention
from repbias.networks.training import train
from repbias.report.captions import ATTENTION, caption_of, network_picture_of
from repbias.report.figures.attention import attention_figure, draw_attention
from repbias.stimuli.tokens import Tokens

FEATURES = {"a": {"function": "member", "places": [2]}, "b": {"function": "member", "places": [0]}}


def trained(**settings):
    family = Tokens.model_validate(
        {"kind": "tokens", "features": FEATURES, "length": 4, "vocabulary": 6}
        | {"n_train": 64, "n_validation": 32, "n_test": 32}
    )
    stimuli = family.generate()
    network = architecture(
        {"kind": "transformer", "width": 8, "attention_heads": 2, "decoder_depth": 1} | settings
    )
    training = Training(batch_size=32, max_steps=25, evaluate_every=25, inclusion=0)
    return train(stimuli, network, training, [3], "cpu", family), stimuli, network


@pytest.mark.parametrize("causal", [False, True])
def test_weights_are_pytorchs(causal):
    ours = Attention(architecture({"kind": "transformer", "width": 8, "attention_heads": 2}))
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    x = torch.randn(3, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5) if causal else None
    _, expected = theirs(x, x, x, attn_mask=mask, average_attn_weights=False)
    torch.testing.assert_close(ours.weights(x, None, causal), expected)


def test_the_output_is_the_weighted_mean_of_values():
    spec = architecture({"kind": "transformer", "width": 8, "attention_heads": 2})
    attention, angles = Attention(spec), torch.randn(7, 2)
    x, before = torch.randn(3, 3, 8), torch.randn(3, 4, 8)
    seen = torch.cat([before, x], dim=1)
    value = attention.key_value(seen).chunk(2, dim=-1)[1].unflatten(-1, (2, 4)).transpose(1, 2)
    weights = attention.weights(x, before, True, angles)
    mixed = (weights @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.result(mixed), attention(x, before, True, angles))


SHAPES = {
    "encoder_decoder": {
        "encoder1": (2, 4, 4),
        "encoder2": (2, 4, 4),
        "decoder1": (2, 2, 2),
        "decoder1, tokens": (2, 2, 4),
    },
    "decoder_only": {
        "block1, tokens": (2, 4, 4),
        "block1": (2, 2, 6),
        "block2": (2, 2, 6),
    },
}


@pytest.mark.parametrize("answers", ["fed", "unfed"])
@pytest.mark.parametrize("kind", SHAPES)
def test_every_attention_has_maps(kind, answers):
    seed, maps = attention_maps(*trained(architecture=kind, answers=answers))
    assert seed == 3
    assert {name: of_heads.shape for name, of_heads in maps.items()} == SHAPES[kind]
    for of_heads in maps.values():
        np.testing.assert_allclose(of_heads.sum(axis=-1), 1, rtol=1e-5)
    # An answer does not see the one behind it.
    later = maps["decoder1"][:, 0, 1] if kind == "encoder_decoder" else maps["block1"][:, 0, -1]
    assert (later == 0).all()


def test_places_and_answers_are_named_after_features(tmp_path):
    found = attention_maps(*trained())
    figure, data = attention_figure(found, {"a": [2], "b": [0]}, ["b", "a"])
    axes = {axis.get_title(): axis for axis in figure.axes}
    tokens, crossed = axes["encoder1, head 1"], axes["decoder1, tokens, head 1"]
    assert [t.get_text() for t in tokens.get_xticklabels()] == ["a", "b"]
    assert tokens.get_xticks().tolist() == [2, 0]
    assert [t.get_text() for t in crossed.get_yticklabels()] == ["b", "a"]
    assert not axes["decoder1, head 1"].get_xticks().size
    assert len(data) == 2 * (16 + 16 + 4 + 8)
    path = tmp_path / "figures/attention/e/base.svg"
    path.parent.mkdir(parents=True)
    draw_attention(path, found, {"a": [2], "b": [0]}, ["b", "a"])
    ElementTree.parse(path)
    assert len(pd.read_csv(path.with_suffix(".csv"))) == len(data)
    assert caption_of(path) is ATTENTION
    assert network_picture_of(path) == ("attention", "e/base")


def test_diverged_networks_have_none():
    networks, stimuli, network = trained()
    for weights in networks.weights.values():
        weights[-1] = np.nan
    assert attention_maps(networks, stimuli, network) is None
    figure, data = attention_figure(None, {}, [])
    assert data.empty
    assert "diverged" in figure.axes[0].texts[0].get_text()
