"""Methods in words: what a study does, nothing that it does not, and the papers it is from."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from repbias.base.spec import kind_of
from repbias.config.analyses import OF_NETWORKS
from repbias.config.study import Study
from repbias.geometry.similarity import METRICS
from repbias.geometry.spec import RdmSimilarity, RecordingDistance
from repbias.networks import architectures
from repbias.networks.kinds import Network
from repbias.networks.spec import Preprocess
from repbias.report import methods as words
from repbias.report.methods import methods
from repbias.report.references import REFERENCES
from repbias.tables import TABLES, as_table

ROOT = Path(__file__).parents[2]
VERSIONS = dict.fromkeys(["repbias", "torch", "numpy", "scipy", "himalaya", "snakemake"], "1.2")
#: What stands, and what does not stand, in the methods of a study.
SAID = {
    "bits": (
        ["strings of 32 bits", "perceptrons with hidden layers", "Adam (Kingma & Ba, 2015)"],
        ["images", "tokens", "transformers", "recording", "by ridge regression", "Models were"],
    ),
    "tokens": (
        ["sequences of random tokens", "decoder-only transformers", "AdamW", "weight decay"],
        ["images", "bits", "perceptrons", "in training only", "recording"],
    ),
    "images": (
        ["32 × 32 pixels of a shape with a texture", "vision transformers", "two features agreed"],
        ["bits", "tokens", "recording", "Models were"],
    ),
    "v4": (
        ["Cowley, Stan", "RDMs) of models held correlation", "of recordings held Euclidean"],
        ["Networks were", "Adam", "Mahalanobis", "weights", "identification", "window"],
    ),
    "haxby": (
        ["models held Euclidean", "crossnobis", "diagonal (Schäfer & Strimmer, 2005)", "ρa"],
        ["Networks were", "correlation distances", "Spearman's rank", "banded", "PyTorch"],
    ),
    "kriegeskorte92": (
        ["Spearman's rank correlation and Pearson correlation", "Kiani et al. 2007"],
        ["Those of recordings", "Networks were", "simulated"],
    ),
}


@pytest.fixture
def tables():
    return {name: as_table(name) for name in TABLES}


def study_of(path):
    """The resolved configuration, as results/<study>/config.yaml has it, and its conditions."""
    study = Study.model_validate(yaml.safe_load((ROOT / path).read_text()))
    return study.model_dump(mode="json"), dict.fromkeys(study.names_of_conditions(), "hidden2")


def row_of(name, **values):
    """A row of a table, with given values; numbers and words that do not matter are left out."""
    types = TABLES[name].types
    empty = {str: "", bool: True, int: 1, float: 0.5}
    return as_table(name, [{column: empty[t] for column, t in types.items()} | values])


@pytest.mark.parametrize("name", SAID)
def test_what_a_study_does_is_said_and_nothing_else(name, tables, request, monkeypatch):
    if "REPBIAS_TEST_DATA" in (ROOT / f"studies/{name}.yaml").read_text():
        monkeypatch.setenv("REPBIAS_TEST_DATA", str(request.getfixturevalue("test_data").resolve()))
    monkeypatch.chdir(ROOT)
    study, layers = study_of(f"studies/{name}.yaml")
    for recording in study["recordings"]:
        tables["rsa_recordings"] = row_of("rsa_recordings", recording=recording)
    said = methods(study, tables, layers, VERSIONS)
    text = " ".join(said.paragraphs.values())
    wanted, absent = SAID[name]
    for sentence in wanted:
        assert sentence in text
    for sentence in absent:
        assert sentence not in text
    assert "{" not in text and "()" not in text
    for reference in REFERENCES.values():
        assert (reference.short in text) == (reference.full in said.references)


def test_what_a_module_is_shown_is_said(tables):
    network = {"kind": "torch", "factory": "mine:trained"}
    networks = {
        "imagenet": network | {"preprocess": Preprocess().model_dump()},
        "own": network | {"preprocess": "mine:as_tensor"},
        "small": network | {"preprocess": {"size": 48, "mean": [0.5] * 3, "std": [0.25] * 3}},
    }
    said = methods({"networks": networks}, tables, {}, VERSIONS).paragraphs["Models"]
    size, normalised = "shown images resized to", "pixels, RGB, normalised by the mean and standard"
    assert f"imagenet (the PyTorch module mine:trained, {size} 224 × 224 {normalised}" in said
    assert "deviation of ImageNet)" in said
    assert "module mine:trained, shown images preprocessed by mine:as_tensor)" in said
    assert f"{size} 48 × 48 {normalised} deviation (0.5 0.5 0.5) and (0.25 0.25 0.25))" in said


def test_a_study_without_data_has_no_methods(tables):
    assert methods({"study": "mine"}, tables, {}, VERSIONS).paragraphs == {}


@pytest.fixture
def simulated():
    return study_of("config.yaml")


@pytest.mark.parametrize(
    ("table", "values", "sentence"),
    [
        ("rsa_recordings", {"interval": "95 %, dual bootstrap of"}, "Schütt et al., 2023"),
        ("rsa_recordings", {"interval": "95 %, bootstrap of stimuli ("}, "bootstrap of stimuli"),
        ("rsa_recordings", {"ceiling_convention": "leave one subject out (N"}, "Nili et al., 2014"),
        ("rsa_recordings", {"ceiling_convention": "sqrt of split-half RDM"}, "random halves"),
        ("rsa_tests", {"test": "ceiling"}, "against the lower bound of the noise ceiling"),
        ("rsa_tests", {"test": "permutation"}, "permutations of the stimuli"),
        ("rsa_fitted", {"model": "weighted"}, "Khaligh-Razavi & Kriegeskorte, 2014"),
        ("rsa_fitted", {"model": "reweighted"}, "Kaniuth & Hebart, 2022"),
        ("rsa_times", {}, "every time bin"),
        ("reliability", {"convention": "sqrt of split-half reliability"}, "Spearman, 1910"),
        ("reliability", {"convention": "from repeats (Allen et al. 2022)"}, "Allen et al., 2022"),
        ("encoding_regions", {}, "5 outer folds, and 5 inner folds"),
        ("variance_partition", {}, "Dupré la Tour et al., 2022"),
        ("audit", {"feature": "easy"}, "Shapley, 1953"),
        ("recovery", {}, "Clopper & Pearson, 1934"),
        ("claims", {}, "Benjamini & Yekutieli, 2001"),
    ],
)
def test_what_depends_on_the_data_is_said_where_it_was_done(
    table, values, sentence, tables, simulated
):
    """Of the same configuration: without the rows there is no sentence."""
    tables["rsa_recordings"] = row_of("rsa_recordings", recording="early_brain")
    before = " ".join(methods(simulated[0], tables, simulated[1], VERSIONS).paragraphs.values())
    assert sentence not in before
    tables[table] = row_of(table, **{"recording": "early_brain"} | values)
    after = " ".join(methods(simulated[0], tables, simulated[1], VERSIONS).paragraphs.values())
    assert sentence in after


def test_settings_that_vary_are_named_with_their_levels_and_not_with_one_value(tables, simulated):
    study, layers = simulated
    experiment = study["experiments"]["tasks"]
    assert "a learning rate of" in str(methods(study, tables, layers, VERSIONS))
    experiment["vary"] = {"training": {"slow": {"learning_rate": 1e-4}, "fast": {"momentum": 0}}}
    text = str(methods(study, tables, layers, VERSIONS))
    assert "a learning rate of" not in text
    assert "Adam (" in text
    assert "differed in training (slow, fast)" in text


def test_everything_that_a_study_can_do_has_words():
    assert set(words.ANALYSES) == set(OF_NETWORKS)
    assert set(words.PROPOSED) == set(METRICS)
    assert set(words.MODELS) == {kind_of(n) for n in get_args(get_args(Network)[0])}
    assert set(words.DISTANCES) == set(get_args(RecordingDistance))
    assert set(words.RDM_SIMILARITIES) == set(get_args(RdmSimilarity))
    assert set(words.ARCHITECTURES) == {kind_of(a) for a in architectures.ARCHITECTURES}


def test_every_reference_is_cited_somewhere():
    source = Path(words.__file__).read_text()
    assert [key for key in REFERENCES if key not in source] == []


def test_braces_of_the_user_are_no_citations(tables, simulated):
    study, layers = simulated
    study["recordings"]["mine"] = {"kind": "array", "source": "{me; you} {nili2014"}
    assert (
        "({me; you} {nili2014)" in methods(study, tables, layers, VERSIONS).paragraphs["Recordings"]
    )


def test_families_and_architectures_that_were_added_are_named(tables):
    study, layers = study_of("studies/bits.yaml")
    for experiment in study["experiments"].values():
        experiment["vary"] = {}
        experiment["stimuli"] |= {"kind": "colour_words", "features": ["first", "sum"]}
        experiment["network"] = {"kind": "reservoir"}
    text = methods(study, tables, layers, VERSIONS).paragraphs["Stimuli and networks"]
    assert "Stimuli were of the family colour words, with the features first and sum." in text
    assert "Networks were of the kind reservoir." in text
