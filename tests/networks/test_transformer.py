"""Transformers of tokens against PyTorch's own layers, and what they report when."""

from itertools import product

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError
from repbias.bias.steering import steering_rows
from repbias.networks.architectures import architecture
from repbias.networks.ensembles import Ensemble
from repbias.networks.forward import built
from repbias.networks.snapshots import snapshots
from repbias.networks.spec import Training
from repbias.networks.token_modules import Block, EncoderDecoder
from repbias.networks.training import train
from repbias.stimuli.tokens import Tokens

INPUTS = Inputs((6,), "int64", 5)
TASK = Task(INPUTS, 3)
KINDS = [
    {},
    {"architecture": "decoder_only"},
    {"answers": "unfed", "order": [2, 0, 1]},
    {"architecture": "decoder_only", "answers": "unfed", "positions": "sinusoidal"},
    {"architecture": "decoder_only", "positions": "rotary", "depth": 3, "order": [1, 2, 0]},
    {"positions": "rotary", "norm": "post"},
    {"answers": "heads"},
    {"architecture": "decoder_only", "answers": "heads", "residual_scale": 0.5},
]


def spec(**settings):
    return architecture({"kind": "transformer", "width": 16, "attention_heads": 2} | settings)


def made(settings, seed=0):
    """A network with weights far from those of the start, in evaluation mode."""
    module = built(spec(**settings), TASK, seed).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def tokens(n=20):
    return torch.from_numpy(np.random.default_rng(0).integers(5, size=(n, 6)))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_is_pytorchs_encoder_layer(norm):
    block = Block(spec(norm=norm), 1.0, crossed=False)
    theirs = nn.TransformerEncoderLayer(
        16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=norm == "pre"
    )
    _copy_attention(theirs.self_attn, block.attention)
    theirs.linear1.load_state_dict(block.mlp[0].state_dict())
    theirs.linear2.load_state_dict(block.mlp[2].state_dict())
    for ours, name in zip(block.norms, ("norm1", "norm2"), strict=True):
        nn.init.normal_(ours.weight)
        getattr(theirs, name).load_state_dict(ours.state_dict())
    x = torch.randn(3, 6, 16)
    torch.testing.assert_close(block(x), theirs(x), atol=1e-5, rtol=1e-4)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    torch.testing.assert_close(block(x, None, True), theirs(x, mask), atol=1e-5, rtol=1e-4)


def test_a_crossed_block_is_pytorchs_decoder_layer():
    block = Block(spec(), 1.0, crossed=True)
    theirs = nn.TransformerDecoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    _copy_attention(theirs.self_attn, block.attention)
    _copy_attention(theirs.multihead_attn, block.crossed)
    theirs.linear1.load_state_dict(block.mlp[0].state_dict())
    theirs.linear2.load_state_dict(block.mlp[2].state_dict())
    for ours, name in zip(block.norms, ("norm1", "norm2", "norm3"), strict=True):
        nn.init.normal_(ours.weight)
        getattr(theirs, name).load_state_dict(ours.state_dict())
    x, memory = torch.randn(3, 4, 16), torch.randn(3, 6, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    expected = theirs(x, memory, mask)
    found = block(x, None, True, None, memory)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def _copy_attention(theirs, ours):
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.result.state_dict())


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_tokens_may_run_before_the_answers_that_see_them(norm):
    block = Block(spec(norm=norm), 0.7, crossed=False)
    x, angles = torch.randn(3, 9, 16), torch.randn(9, 4)
    whole = block(x, None, True, angles)
    first = block(x[:, :6], None, True, angles)
    then = block(x[:, 6:], x[:, :6], True, angles)
    torch.testing.assert_close(torch.cat([first, then], dim=1), whole, atol=1e-5, rtol=1e-4)


def test_rotations_make_attention_depend_on_distance_only():
    module = made({"positions": "rotary", "architecture": "decoder_only"})
    block, angles = module.block1, module.angles
    x = torch.randn(1, 3, 16)
    here = block(x, None, True, angles[:3])
    there = block.attention(block.norms[0](x), None, True, angles[4:7])
    torch.testing.assert_close(
        block.attention(block.norms[0](x), None, True, angles[:3]), there, atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(here, block(x, None, True, 2 * angles[:3]), atol=1e-4)


@pytest.mark.parametrize("settings", KINDS)
def test_layers_are_those_that_hooks_read_by_hand(settings):
    network, module, x = spec(**settings), made(settings), tokens()
    weights = {k: v.detach().numpy()[None] for k, v in module.state_dict().items()}
    found = network.represent(weights, x.numpy(), TASK)
    read = {}
    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: read.setdefault(name, []).append(output)
        )
        for name in network.layers
    ]
    with torch.no_grad():
        logits = module(x)
    for handle in handles:
        handle.remove()
    for name in network.layers:
        (output,) = read[name]
        expected = output.mean(dim=1)
        np.testing.assert_allclose(found[name][0], expected.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        network.outputs(weights, x.numpy(), TASK)[0], logits.numpy(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "readout"),
    [*product(KINDS, ["token_mean"]), *product(KINDS[:2], ["flatten", "token1"])],
)
def test_a_layer_in_its_own_place_changes_nothing(settings, readout):
    network = spec(**settings, readout=readout)
    module, x = made(settings), tokens().numpy()
    weights = {k: v.detach().numpy()[None] for k, v in module.state_dict().items()}
    expected = network.outputs(weights, x, TASK)
    layers = network.represent(weights, x, TASK)
    for name in network.layers:
        again = network.rest(weights, x, name, TASK)
        np.testing.assert_allclose(again(layers[name]), expected, rtol=1e-3, atol=1e-4)
        # Another one changes something (a constant would be normalised away).
        changed = layers[name].copy()
        changed[..., ::3] += 3
        assert np.abs(again(changed) - expected).max() > 1e-3


@pytest.mark.parametrize("kind", ["encoder_decoder", "decoder_only"])
def test_answers_are_fed_with_those_that_were_reported(kind):
    module = made({"architecture": kind, "order": [2, 0, 1]})
    x = tokens(50)
    with torch.no_grad():
        logits = module(x)
        reported = (logits > 0).float()
        torch.testing.assert_close(module(x, reported), logits)
        # The first answer (feature 2) is fed with nothing, the second (0) with the first alone.
        for feature, matters in ((2, {0, 1}), (0, {1}), (1, set())):
            changed = reported.clone()
            changed[:, feature] = 1 - changed[:, feature]
            moved = (module(x, changed) - logits).abs().amax(dim=0)
            assert {f for f in range(3) if moved[f] > 1e-4} == matters


@pytest.mark.parametrize("kind", ["encoder_decoder", "decoder_only"])
def test_without_labels_the_order_is_one_of_places_only(kind):
    module = made({"architecture": kind, "answers": "unfed"})
    with torch.no_grad():
        expected = module(tokens())
        # What is at a later place has no influence on what comes before.
        module.answers.places[2] += torch.randn(16)
        moved = (module(tokens()) - expected).abs().amax(dim=0)
    assert (moved > 1e-4).tolist() == [False, False, True]


def test_an_order_puts_features_at_places():
    plain, ordered = (made({"answers": "unfed", "order": o}) for o in ([0, 1, 2], [2, 0, 1]))
    ordered.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for part in (ordered, plain):
            part.answers.weight[:] = part.answers.weight[0].clone()
            part.answers.bias[:] = 0
        # With one readout for all, features differ by their place alone.
        torch.testing.assert_close(ordered(tokens())[:, [2, 0, 1]], plain(tokens()))


def test_a_decoder_only_sees_what_comes_before():
    module = made({"architecture": "decoder_only", "answers": "heads", "depth": 1})
    x = tokens()
    changed = x.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 5
    seen = []
    module.prompt1.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        module(x), module(changed)
    moved = (seen[0] - seen[1]).abs().amax(dim=(0, 2))
    assert (moved > 1e-6).tolist() == [False] * 5 + [True]


def test_the_residual_path_can_be_cut():
    x = torch.randn(2, 6, 16)
    block = Block(spec(), 0.0, crossed=False)
    attended = block.attention(block.norms[0](x))
    torch.testing.assert_close(block(x), block.mlp(block.norms[1](attended)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 18, "attention_heads": 4}, "width 18 cannot be divided among 4"),
        ({"width": 6, "attention_heads": 2, "positions": "rotary"}, "an even number of units"),
        ({"architecture": "decoder_only", "depth": 1}, "a decoder only needs depth 2"),
        ({"analysed_layer": "encoder3"}, "no layer 'encoder3'"),
    ],
)
def test_what_is_wrong_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        spec(**settings)


@pytest.mark.parametrize("kind", ["encoder_decoder", "decoder_only"])
def test_a_single_feature_is_fed_with_nothing(kind):
    network = spec(architecture=kind)
    assert network.sizes(Task(INPUTS, 1)).parameters > 0


def test_stimuli_must_be_tokens():
    with pytest.raises(RepbiasError, match="a transformer is shown tokens"):
        spec().sizes(Task(Inputs((16,)), 3))
    with pytest.raises(RepbiasError, match="each of the 4 features once, found"):
        spec(order=[0, 1, 2]).sizes(Task(INPUTS, 4))


def test_the_analysed_layer_is_the_last_of_the_tokens():
    assert spec().analysed == "encoder2"
    assert spec(architecture="decoder_only", depth=4).analysed == "prompt3"
    assert spec(architecture="decoder_only", answers="heads").analysed == "prompt2"
    assert spec(analysed_layer="decoder1").analysed == "decoder1"


def tokens_family():
    features = {"a": {"function": "member"}, "b": {"function": "member"}}
    given = {"kind": "tokens", "features": features, "length": 4, "vocabulary": 8}
    return Tokens.model_validate(given | {"n_train": 1024, "n_validation": 128, "n_test": 128})


@pytest.mark.parametrize("kind", ["encoder_decoder", "decoder_only"])
def test_features_are_learned_and_can_be_steered(kind):
    family = tokens_family()
    stimuli = family.generate()
    network = spec(architecture=kind, decoder_depth=1, order=[1, 0], readout="flatten")
    training = Training(
        learning_rate=1e-2, batch_size=64, max_steps=300, warmup_steps=20, extra_steps=50
    )
    networks = train(stimuli, network, training, [0], "cpu", family)
    assert networks.included.all()
    final = next(s for s in snapshots("e", "c", networks, stimuli, network) if s.name == "final")
    rows = steering_rows(final, steering_strengths=[0.0, 2.0])
    flips = {(r["feature"], r["output"], r["strength"]): r["flips"] for r in rows}
    for feature, other in (("a", "b"), ("b", "a")):
        assert flips[feature, feature, 0.0] == 0
        assert flips[feature, feature, 2.0] > 0.8
        assert flips[feature, other, 2.0] < 0.2


@pytest.mark.parametrize(("answers", "given"), [("fed", 2), ("unfed", 1)])
def test_true_labels_are_fed_in_training_and_in_no_evaluation(monkeypatch, answers, given):
    seen = []
    forward = EncoderDecoder.forward

    def watched(self, *arguments):
        seen.append((self.training, *arguments))
        return forward(self, *arguments)

    monkeypatch.setattr(EncoderDecoder, "forward", watched)
    family = tokens_family()
    training = Training(batch_size=64, max_steps=25)
    train(family.generate(), spec(answers=answers), training, [0], "cpu", family)
    shown = family.training_set(0)
    labels = {tuple(x): tuple(y) for x, y in zip(shown.inputs, shown.labels, strict=True)}
    steps = [arguments for trains, *arguments in seen if trains and len(arguments[0]) == 64]
    assert len(steps) >= 25
    assert {len(arguments) for arguments in steps[-25:]} == {given}
    assert {len(arguments) for trains, *arguments in seen if not trains} == {1}
    for x, *fed in steps[-25:]:
        for row in fed:
            expected = [labels[tuple(sequence)] for sequence in x.tolist()]
            np.testing.assert_array_equal(row, expected)


def test_initial_weights_are_of_the_seed_or_of_the_condition():
    family = tokens_family()
    stimuli = family.generate()

    def seed(order, weights, readout="auto"):
        network = spec(order=order, readout=readout)
        training = Training(initial_weights=weights)
        return Ensemble(stimuli, network, training, [3], family).weights_seed(3)

    assert seed([0, 1], "shared") == seed([1, 0], "shared") == 3
    assert seed([0, 1], "own") != seed([1, 0], "own")
    assert seed([0, 1], "own") == seed([0, 1], "own", "flatten")
    assert 0 <= seed([0, 1], "own") < 2**63
