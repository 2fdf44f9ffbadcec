"""Language models of the user's own, on sentences that stand in a table."""

import sys

import h5py
import numpy as np
import pytest
import torch
import yaml
from pydantic import TypeAdapter, ValidationError

from repbias.base.spec import RepbiasError
from repbias.commands.check import run
from repbias.config.file import ConfigError
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.networks.model_activations import layers_in_batches, put_model_activations
from repbias.networks.spec import GivenNetwork
from repbias.pipeline.checks import load_study
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

MODULE = """
import torch
from torch import nn

WORDS = ["<pad>", *"the a dog cat man runs sleeps eats not".split()]

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), 6)
        self.block = nn.TransformerEncoderLayer(6, 2, 12, 0.0, batch_first=True)
        self.head = nn.Linear(6, len(WORDS))

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        x = self.block(x, src_key_padding_mask=attention_mask == 0)
        return self.head(x)

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), 6)
        self.sum = nn.Linear(6, 3)

    def forward(self, tokens):
        return self.sum(self.embed(tokens).mean(1))

def build(): return Model()
def plain(): return Plain()

def tokenize(texts, side="right"):
    ids = [[WORDS.index(w) for w in text.split()] for text in texts]
    n = max(map(len, ids))
    before = [[0] * (n - len(i)) if side == "left" else [] for i in ids]
    rows = [b + i + [0] * (n - len(b) - len(i)) for b, i in zip(before, ids)]
    given = torch.tensor(rows)
    return {"input_ids": given, "attention_mask": (given > 0).long()}

def from_left(texts): return tokenize(texts, "left")
def first_two(texts): return tokenize(texts)["input_ids"][:, :2]
def broken(texts): raise ValueError("no such word")
def wrong(texts): return [len(t) for t in texts]
def flagged(texts): return tokenize(texts) | {"flag": False}
def other(texts): return {"tokens": tokenize(texts)["input_ids"]}
def empty(texts):
    given = tokenize(texts)
    given["attention_mask"][0] = 0
    return given
"""
SENTENCES = ["the dog runs", "a cat sleeps", "the man eats not", "a dog", "the cat runs not", "man"]
NETWORK = {"kind": "text", "factory": "own_texts:build", "layers": ["embed", "block"]}
NETWORK |= {"column": "sentence", "tokenize": "own_texts:tokenize"}


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_texts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_texts", raising=False)
    rows = [f"s{i},{text},{i}" for i, text in enumerate(SENTENCES)]
    (tmp_path / "table.csv").write_text("\n".join(["stimulus_id,sentence,number", *rows]) + "\n")


def sentences(tmp_path):
    return open_images(ImageSet(table=tmp_path / "table.csv"))


def layers_of(tmp_path, **changes):
    spec = TypeAdapter(GivenNetwork).validate_python(NETWORK | changes)
    parts = [layers for _, layers in layers_in_batches(spec, sentences(tmp_path), "cpu")]
    return {layer: np.concatenate([part[layer] for part in parts]) for layer in spec.layers}


def by_hand(text):
    """The layers of one text without padding, (token, unit)."""
    from own_texts import build, tokenize

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
    given = tokenize([text])
    with torch.no_grad():
        embedded = model.embed(given["input_ids"])
        return {"embed": embedded[0].numpy(), "block": model.block(embedded)[0].numpy()}


@pytest.mark.parametrize("tokenizer", ["tokenize", "from_left"])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("tokens", ["mean", "first", "last"])
def test_units_are_those_of_the_text_alone(tmp_path, tokens, batch_size, tokenizer):
    found = layers_of(
        tmp_path, tokens=tokens, batch_size=batch_size, tokenize=f"own_texts:{tokenizer}"
    )
    for i, text in enumerate(SENTENCES):
        for layer, values in by_hand(text).items():
            expected = {"mean": values.mean(0), "first": values[0], "last": values[-1]}[tokens]
            np.testing.assert_allclose(found[layer][i], expected, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_may_give_tokens_alone(tmp_path):
    changes = {"factory": "own_texts:plain", "tokenize": "own_texts:first_two", "batch_size": 1}
    found = layers_of(tmp_path, layers=["embed", "sum"], **changes)
    assert found["sum"].shape == (6, 3)
    np.testing.assert_allclose(
        found["embed"][0], by_hand("the dog")["embed"].mean(0), rtol=1e-4, atol=1e-5
    )


def test_activations_are_written_like_those_of_images(tmp_path):
    spec = TypeAdapter(GivenNetwork).validate_python(NETWORK)
    with create(tmp_path / "a.h5", "activations") as file:
        put_model_activations(file.create_group("lm"), "lm", spec, sentences(tmp_path), "cpu")
    found = Activations.open(tmp_path / "a.h5", "lm")
    assert found.layers == ["embed", "block"]
    np.testing.assert_array_equal(found.read("block", 0), layers_of(tmp_path)["block"])
    with h5py.File(tmp_path / "a.h5") as file:
        assert "lm" in file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"column": "sentenc"}, "no column 'sentenc'; did you mean 'sentence'"),
        ({"column": "number"}, "column 'number' holds numbers, expected texts"),
        ({"tokenize": "own_texts:broken"}, "own_texts:broken: ValueError: no such word"),
        ({"tokenize": "own_texts:wrong"}, r"expected tensors \(text, token\) for 6 texts"),
        ({"tokenize": "own_texts:flagged"}, "found a bool"),
        ({"tokenize": "own_texts:empty"}, "a text has no tokens but padding"),
        ({"tokenize": "own_texts:other"}, "unexpected keyword argument 'tokens'"),
        ({"layers": ["blok"]}, "has no layer 'blok'; did you mean 'block'"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, changes, message):
    with pytest.raises(RepbiasError, match=message):
        layers_of(tmp_path, **changes)


def test_a_missing_text_is_named_with_its_line(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(file.read_text().replace("a dog,", ","))
    with pytest.raises(RepbiasError, match=r"line 5, stimulus 's3', column 'sentence'.*missing"):
        layers_of(tmp_path)


def test_tokenizers_must_exist():
    with pytest.raises(ValidationError, match="no module named 'nowhere'"):
        TypeAdapter(GivenNetwork).validate_python(NETWORK | {"tokenize": "nowhere:f"})


def test_sets_without_a_table_have_no_texts(tmp_path):
    content = {"study": "s", "images": {"shown": {"path": str(tmp_path)}}}
    content["networks"] = {"lm": NETWORK}
    with pytest.raises(ConfigError, match=r"networks.lm: no set of images has a table or columns"):
        load_study(content)


def test_a_study_is_checked_with_its_model(tmp_path, capsys):
    content = {"study": "s", "images": {"texts": {"table": str(tmp_path / "table.csv")}}}
    content["networks"] = {"lm": NETWORK}
    study = load_study(content)
    assert study.groups() == {"texts": ["lm"]}
    assert study.networks["lm"].source_files() == [str(tmp_path / "own_texts.py")]
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    assert run(tmp_path / "s.yaml")[0] == 0
    assert "embed 6, block 6" in capsys.readouterr().out
