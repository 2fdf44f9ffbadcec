"""Every kind of bad input gives one message: where, what was found, and what is allowed."""

import copy
import io
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image
from pydantic import TypeAdapter

from repbias.base.spec import RepbiasError
from repbias.config.study import ConfigError
from repbias.io.arrays import load_array
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import RecordingSpec, read_recording
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

IDS = ["a", "b", "c", "d"]
ARRAY = {
    "kind": "array",
    "path": "${DATA}/r.npy",
    "stimuli": "photos",
    "stimulus_ids": IDS,
    "axes": ["stimulus", "unit"],
}
RDMS = ARRAY | {"kind": "rdms", "axes": ["stimulus", "stimulus"]}
BRAIN = {"kind": "simulated", "source": "tasks/base", "layer": "hidden1"}
TORCH = {"kind": "torch", "factory": "torch.nn:Identity", "layers": ["0"]}
C1 = {"condition": "tasks/base", "easy": "easy", "hard": "hard"}
STUDY = {
    "study": "test",
    "experiments": {
        "tasks": {
            "stimuli": {
                "features": {"easy": {"function": "bit"}, "hard": {"function": "parity", "k": 4}}
            }
        }
    },
    "images": {"photos": {"path": "${DATA}"}},
    "networks": {"pixels": {"kind": "pixels"}},
}


def put(config, path, value):
    """Return the configuration with the value at a dotted path."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    section = config
    for key in parents:
        section = section.setdefault(key, {})
    section[last] = value
    return config


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", str(tmp_path))
    np.save(tmp_path / "r.npy", np.ones((4, 3)))
    return tmp_path


TASKS = "experiments.tasks"
EASY = f"{TASKS}.stimuli.features.easy"
VARY = f"{TASKS}.vary"

#: Path and value of the bad setting, and what the one message must say.
CONFIG = {
    # keys
    "unknown key": (
        "stdy",
        1,
        ["stdy: unknown key", "did you mean 'study'?", ", title, ... (19 in all))"],
    ),
    "unknown nested key": (
        f"{TASKS}.training.optimzer",
        "adam",
        [f"{TASKS}.training.optimzer: unknown key", "did you mean 'optimizer'?"],
    ),
    "unknown key of a network": (
        "networks.mine",
        TORCH | {"layrs": ["0"]},
        ["networks.mine.layrs: unknown key", "did you mean 'layers'?"],
    ),
    "unknown key of a section that may be text": (
        "networks.mine",
        TORCH | {"preprocess": {"sise": 3}},
        ["networks.mine.preprocess.sise: unknown key", "did you mean 'size'?"],
    ),
    "unknown key that is also a kind": (
        f"{TASKS}.stimuli.bits",
        16,
        [f"{TASKS}.stimuli.bits: unknown key", "noise_bits"],
    ),
    "missing key": (f"{TASKS}.stimuli", {}, [f"{TASKS}.stimuli.features: missing"]),
    # types and ranges
    "wrong type": (
        f"{TASKS}.training.batch_size",
        "many",
        [f"{TASKS}.training.batch_size: found 'many'", "valid integer"],
    ),
    "list instead of number": (
        f"{TASKS}.seeds",
        [1, 2],
        [f"{TASKS}.seeds: found [1, 2]", "integer"],
    ),
    "number instead of list": (f"{TASKS}.network.hidden", 64, ["network.hidden: found 64", "list"]),
    "empty section": (TASKS, None, [f"{TASKS}: found None", "dictionary"]),
    "out of range": ("geometry.bootstraps", 1, ["geometry.bootstraps: found 1", "equal to 100"]),
    "out of range in a list": (
        f"{TASKS}.network.hidden",
        [8, 0],
        [f"{TASKS}.network.hidden.1: found 0", "equal to 1"],
    ),
    "infinite": (f"{TASKS}.training.learning_rate", float("inf"), ["learning_rate: found inf"]),
    "division by zero": (
        "networks.mine",
        TORCH | {"preprocess": {"std": [0.2, 0, 0.2]}},
        ["networks.mine.preprocess.std.1: found 0", "greater than 0"],
    ),
    "descending range": ("encoding.log10_alpha", [3, 1], ["encoding: log10_alpha", "[3.0, 1.0]"]),
    "unknown choice": (
        "geometry.distance",
        "corelation",
        ["geometry.distance: found 'corelation'", "did you mean 'correlation'?", "euclidean"],
    ),
    "unknown choice in a list": (
        "geometry.rdm_similarities",
        ["corr", "spearmann"],
        ["geometry.rdm_similarities.1: found 'spearmann'", "did you mean 'spearman'?", "rho-a"],
    ),
    "unsafe name": ("study", "../elsewhere", ["study: found '../elsewhere'", "pattern"]),
    "unsafe name of a section": ("images.my/photos", {"path": "${DATA}"}, ["images.my/photos"]),
    # analyses
    "unknown analysis": (
        f"{TASKS}.analyses",
        ["stearing"],
        [
            f"{TASKS}.analyses.0: found 'stearing'",
            "did you mean 'steering'?",
            "variance_decomposition",
        ],
    ),
    "one analysis without a list": (
        f"{TASKS}.analyses",
        "steering",
        [f"{TASKS}.analyses: found 'steering'", "list"],
    ),
    "analysis named twice": (
        f"{TASKS}.analyses",
        ["variance_decomposition", "units", "variance_decomposition"],
        [
            f"{TASKS}.analyses: found ['variance_decomposition', 'units', "
            f"'variance_decomposition']",
            "'variance_decomposition' occurs twice",
        ],
    ),
    "jobs of no condition": (
        f"{TASKS}.conditions_per_job",
        0,
        [f"{TASKS}.conditions_per_job: found 0", "greater than or equal to 1"],
    ),
    "unknown measure of similarity": (
        "similarity.metrics",
        ["cka", "cca"],
        ["similarity.metrics.1: found 'cca'", "did you mean 'cka'?", "procrustes"],
    ),
    "measure named twice": (
        "similarity.metrics",
        ["cka", "cka"],
        ["similarity.metrics: found ['cka', 'cka']", "'cka' occurs twice"],
    ),
    "no measure": ("similarity.metrics", [], ["similarity.metrics: found []", "at least 1"]),
    "too few stimuli of a similarity": (
        "similarity.n_stimuli",
        11,
        ["similarity.n_stimuli: found 11", "equal to 12"],
    ),
    "decreasing steering steering_strengths": (
        "bias.steering_strengths",
        [1, 0.5],
        ["bias.steering_strengths: found [1, 0.5]", "increasing"],
    ),
    "no steering strength": (
        "bias.steering_strengths",
        [0, 1],
        ["bias.steering_strengths.0: found 0", "greater than 0"],
    ),
    # stimuli, networks, training
    "unknown function": (
        f"{EASY}.function",
        "majorty",
        [f"{EASY}.function: found 'majorty'", "did you mean 'majority'?", "xor_of_xors"],
    ),
    "k larger than the domain": (
        f"{TASKS}.stimuli.features.hard.k",
        17,
        ["features.hard: k is 17", "bits (16)"],
    ),
    "even majority": (EASY, {"function": "majority", "k": 4}, [EASY, "odd k, but k is 4"]),
    "k of a fixed function": (f"{EASY}.k", 2, [EASY, "'bit' reads exactly 1", "k is 2"]),
    "no feature": (f"{TASKS}.stimuli.features", {}, [f"{TASKS}.stimuli.features", "at least 1"]),
    "more stimuli than there are": (
        f"{TASKS}.stimuli.features",
        {"easy": {"function": "bit", "bits": 4}},
        [f"{TASKS}.stimuli: ", "do not fit into 4 bits", "at most 8", "noise_bits"],
    ),
    "batch larger than n_train": (
        f"{TASKS}.stimuli.n_train",
        64,
        [f"{TASKS}: training.batch_size is 128", "stimuli.n_train (64)"],
    ),
    "batch that is no number": (
        f"{TASKS}.training.batch_size",
        "all",
        [f"{TASKS}.training.batch_size: found 'all'", "integer", "allowed: full"],
    ),
    "empty batch": (
        f"{TASKS}.training.batch_size",
        0,
        [f"{TASKS}.training.batch_size: found 0", "equal to 1", "allowed: full"],
    ),
    "unknown feature of a curriculum": (
        f"{TASKS}.training.curriculum",
        ["hrd"],
        [f"{TASKS}: training.curriculum: no feature 'hrd'", "did you mean 'hard'?", "easy"],
    ),
    "curriculum of a feature that is no target": (
        f"{TASKS}.training",
        {"targets": ["easy"], "curriculum": ["hard"]},
        [f"{TASKS}.training: curriculum: 'hard' is no target", "allowed: easy"],
    ),
    "curriculum without a list": (
        f"{TASKS}.training.curriculum",
        "hard",
        [f"{TASKS}.training.curriculum: found 'hard'", "list"],
    ),
    "momentum with adam": (
        f"{TASKS}.training.momentum",
        0.9,
        [f"{TASKS}.training: momentum 0.9", "'sgd', not 'adam'"],
    ),
    "no evaluation": (
        f"{TASKS}.training.evaluate_every",
        5000,
        [f"{TASKS}.training: evaluate_every (5000)", "max_steps (4000)"],
    ),
    "unknown target": (
        f"{TASKS}.training.targets",
        ["esy"],
        [f"{TASKS}: training.targets: no feature 'esy'", "did you mean 'easy'?", "hard"],
    ),
    "no target": (f"{TASKS}.training.targets", [], [f"{TASKS}.training: targets is empty"]),
    "unknown analysed layer": (
        f"{TASKS}.network.analysed_layer",
        "hiden2",
        [
            f"{TASKS}.network: analysed_layer: no layer 'hiden2'",
            "did you mean 'hidden2'?",
            "hidden4",
        ],
    ),
    # vary
    "misspelt path": (
        f"{VARY}",
        {"training.optimzer": ["adam"]},
        [f"{VARY}: no setting 'training.optimzer'", "did you mean 'training.optimizer'?"],
    ),
    "impossible level": (
        f"{VARY}",
        {"training.optimizer": ["adam", "admw"]},
        [VARY, "optimizer=admw", "training.optimizer: found 'admw'", "did you mean 'adamw'?"],
    ),
    "impossible combination": (
        VARY,
        {"training.optimizer": ["sgd", "adam"], "training.momentum": [0.9]},
        [VARY, "condition optimizer=adam,momentum=0.9: training: momentum 0.9 goes with"],
    ),
    "level with an unsafe name": (
        VARY,
        {"training.batch_size": {"a/b": 8}},
        [f"{VARY}.training.batch_size: the level 'a/b'", "letters, digits"],
    ),
    "name too long for a file": (VARY, {"seeds": {"xy0123456789z" * 25: 8}}, [VARY, "too long"]),
    "lists without names": (
        VARY,
        {"training.targets": [["easy"]]},
        [f"{VARY}.training.targets: ", "name: value"],
    ),
    "sections without names": (
        VARY,
        {"training": [{"optimizer": "adam"}]},
        [f"{VARY}.training: ", "name: value"],
    ),
    "section that is no mapping": (
        VARY,
        {"training": {"fast": "adam"}},
        [f"{VARY}, condition training=fast: training: found 'adam'", "dictionary"],
    ),
    "unknown key of a section that varies": (
        VARY,
        {"training": {"fast": {"optimizr": "adam"}}},
        [f"{VARY}, condition training=fast: training.optimizr: unknown key", "'optimizer'?"],
    ),
    "setting that a level sets too": (
        VARY,
        {"training": {"fast": {"max_steps": 50}}, "training.max_steps": [60, 70]},
        [f"{VARY}: 'training' and 'training.max_steps' overlap"],
    ),
    "setting of a mapping that is replaced": (
        VARY,
        {
            "stimuli.features": {"one": {"easy": {"function": "bit"}}},
            "stimuli.features.easy.gain": [2.0],
        },
        [f"{VARY}: 'stimuli.features' and 'stimuli.features.easy.gain' overlap"],
    ),
    "analyses cannot vary": (VARY, {"analyses": {"few": []}}, [f"{VARY}: no setting 'analyses'"]),
    "no levels": (VARY, {"seeds": []}, [f"{VARY}.seeds: no levels"]),
    "one level without a list": (
        VARY,
        {"training.targets": "easy"},
        [f"{VARY}.training.targets: found 'easy'", "list"],
    ),
    # files, variables, imports
    "missing file": (
        "images.more",
        {"path": "${DATA}/no.zip"},
        ["images.more.path: found '${DATA}/no.zip'", "no such file", "/no.zip)"],
    ),
    "missing variable": (
        "images.more",
        {"path": "${REPBIAS_NOWHERE}/a.zip"},
        ["images.more.path", "environment variable REPBIAS_NOWHERE is not set"],
    ),
    "missing file of ids": (
        "recordings.v4",
        ARRAY | {"stimulus_ids": "no.txt"},
        ["recordings.v4.stimulus_ids: found 'no.txt'", "'sorted'", "one id per line"],
    ),
    "ids that are numbers": (
        "recordings.v4",
        ARRAY | {"stimulus_ids": ["a", "b", "c", 4]},
        ["recordings.v4.stimulus_ids.3: found 4", "string"],
    ),
    "package that is not installed": (
        "networks.mine",
        TORCH | {"factory": "torhc.nn:Identity"},
        ["networks.mine.factory: found 'torhc.nn:Identity'", "no module named 'torhc'"],
    ),
    "module that does not exist": (
        "networks.mine",
        TORCH | {"factory": "torch.nnn:Identity"},
        ["networks.mine.factory", "'torch' has no module 'torch.nnn'"],
    ),
    "factory without callable": (
        "networks.mine",
        TORCH | {"factory": "torch.nn.Identity"},
        ["networks.mine.factory: found 'torch.nn.Identity'", "package.module:callable"],
    ),
    "preprocess that is not installed": (
        "networks.mine",
        TORCH | {"preprocess": "torhc:f"},
        ["networks.mine.preprocess: found 'torhc:f'", "no module named 'torhc'"],
    ),
    # kinds
    "unknown kind of network": (
        "networks.mine",
        TORCH | {"kind": "torhc"},
        ["networks.mine.kind: found 'torhc'", "did you mean 'torch'?", "pixels"],
    ),
    "unknown kind of recording": (
        "recordings.v4",
        ARRAY | {"kind": "aray"},
        ["recordings.v4.kind: found 'aray'", "did you mean 'array'?", "rdms", "simulated"],
    ),
    "missing kind": ("networks.mine", {"size": 3}, ["networks.mine.kind: missing", "pixels"]),
    # recordings
    "missing axis": (
        "recordings.v4",
        ARRAY | {"axes": ["unit", "repeat"]},
        ["recordings.v4.axes: found ['unit', 'repeat']", "no axis is called stimulus", "subject"],
    ),
    "axis named twice": (
        "recordings.v4",
        ARRAY | {"axes": ["stimulus", "unit", "unit"]},
        ["recordings.v4.axes: found ['stimulus', 'unit', 'unit']", "twice: unit"],
    ),
    "misspelt axis": (
        "recordings.v4",
        ARRAY | {"axes": ["stimulus", "units"]},
        ["recordings.v4.axes.1: found 'units'", "did you mean 'unit'?", "time"],
    ),
    "one stimulus axis of an RDM": (
        "recordings.it",
        RDMS | {"axes": ["stimulus"]},
        ["recordings.it.axes: found ['stimulus']", "'stimulus' twice or 'pair' once"],
    ),
    "unknown images": (
        "recordings.v4",
        ARRAY | {"stimuli": "fotos"},
        ["recordings.v4.stimuli: no images are called 'fotos'", "did you mean 'photos'?"],
    ),
    "unknown source": (
        "recordings.brain",
        BRAIN | {"source": "tasks/bse"},
        ["recordings.brain.source: no condition 'tasks/bse'", "did you mean 'tasks/base'?"],
    ),
    "unknown layer": (
        "recordings.brain",
        BRAIN | {"layer": "hidden5"},
        ["recordings.brain.layer: tasks/base has no layer 'hidden5'", "hidden1"],
    ),
    "unknown seed": (
        "recordings.brain",
        BRAIN | {"seed_of_network": 10},
        ["recordings.brain.seed_of_network", "seeds 0 to 9", "found 10"],
    ),
    "too many stimuli": (
        "recordings.brain",
        BRAIN | {"n_stimuli": 500},
        ["recordings.brain.n_stimuli: 500", "256", "geometry.n_stimuli", "n_test"],
    ),
    "too few stimuli": (
        "recordings.brain",
        BRAIN | {"n_stimuli": 24},
        ["recordings.brain.n_stimuli: 24", "25 folds"],
    ),
    # claims
    "unknown claim": ("claims.C8c", {}, ["claims.C8c: unknown claim", "C1", "C25"]),
    "missing role": (
        "claims.C1",
        {"condition": "tasks/base", "easy": "easy"},
        ["claims.C1.hard: missing", "name a target"],
    ),
    "unknown role": (
        "claims.C1",
        C1 | {"harder": "hard"},
        ["claims.C1.harder: C1 has no such role", "did you mean 'hard'?", "condition"],
    ),
    "unknown condition": (
        "claims.C1",
        C1 | {"condition": "task/base"},
        ["claims.C1.condition: no condition 'task/base'", "did you mean 'tasks/base'?"],
    ),
    "unknown feature": (
        "claims.C1",
        C1 | {"hard": "hrd"},
        ["claims.C1.hard: no feature 'hrd'", "did you mean 'hard'?", "easy"],
    ),
    "unknown claim with a variant": (
        "claims.C8c fast",
        {},
        ["claims.C8c fast: unknown claim", "C1", "C25"],
    ),
    "misspelt variant": ("claims.C1fast", C1, ["claims.C1fast: unknown claim", "C1"]),
    "bad role of a variant": (
        "claims.C1 fast",
        C1 | {"hard": "hrd"},
        ["claims.C1 fast.hard: no feature 'hrd'", "did you mean 'hard'?"],
    ),
    "variant of two words": (
        "claims.C1 very fast",
        C1,
        ["claims.C1 very fast: a variant is one word", "found ' very fast'"],
    ),
    "variant without a word": (
        "claims.C1 ",
        C1,
        ["claims.C1 : a variant is one word", "letters, digits", "found ' '"],
    ),
    "sub-components of a feature that has none": (
        "claims.C6",
        {"condition": "tasks/base", "hard": "easy"},
        ["claims.C6: 'easy' has no sub-components of the kind 'xor'"],
    ),
    "single bits of a single bit": (
        "claims.C6b",
        {"condition": "tasks/base", "hard": "easy"},
        ["claims.C6b: 'easy' has no sub-components of the kind 'bit'"],
    ),
    "what wins, without a label": (
        "claims.C23",
        C1,
        ["claims.C23: needs stimuli.label", "'easy' and 'hard'", "found none"],
    ),
    "role of a claim without any": (
        "claims.C25",
        {"condition": "tasks/base"},
        ["claims.C25.condition: C25 has no such role", "allowed: nothing"],
    ),
    # sections
    "unknown condition that is encrypted": (
        "encryption",
        "tasks/bse",
        ["encryption: no condition 'tasks/bse'", "did you mean 'tasks/base'?"],
    ),
    "encryption that is no text": (
        "encryption",
        ["tasks/base"],
        ["encryption: found ['tasks/base']", "string"],
    ),
    "identification without candidates": (
        "identification",
        {"target": "tasks/base"},
        ["identification.candidates: missing"],
    ),
    "name used twice": ("images.tasks", {"path": "${DATA}"}, ["images.tasks", "same name"]),
    "networks without images": ("images", {}, ["networks: there are no images"]),
    "nothing to do": ("experiments", {}, ["nothing to do", "experiments", "images and networks"]),
}


@pytest.mark.parametrize("case", CONFIG)
def test_bad_configuration(case, data):
    path, value, said = CONFIG[case]
    base = STUDY
    if case == "nothing to do":
        base = STUDY | {"images": {}, "networks": {}}
    with pytest.raises(ConfigError) as caught:
        load_study(put(base, path, value), "my.yaml")
    assert len(caught.value.problems) == 1, caught.value
    message = str(caught.value)
    assert message.startswith("my.yaml: 1 problem\n")
    assert [part for part in said if part not in message] == [], message


LABELLED = put(STUDY, f"{TASKS}.stimuli.label", {"easy": 0.8, "hard": 0.9})


def test_a_criterion_that_no_network_can_meet(data):
    """By hand: on test stimuli easy and hard are independent. Where both are equal, the label is
    that with .72 / .74; where they differ, it is hard's with .18 / .26."""
    best = (0.72 / 0.74 + 0.18 / 0.26) / 2
    refused = put(LABELLED, f"{TASKS}.training", {"targets": ["label"], "inclusion": 0.834})
    with pytest.raises(ConfigError) as caught:
        load_study(refused)
    assert caught.value.problems == [
        f"experiments.tasks: training.inclusion is 0.834, but no network can predict 'label' on "
        f"more than {best:.3f} of the test stimuli; lower it (0 keeps all)"
    ]
    load_study(put(LABELLED, f"{TASKS}.training", {"targets": ["label"], "inclusion": 0.832}))
    # It is a target where none are named, and no matter where others are.
    load_study(put(LABELLED, f"{TASKS}.training.targets", ["easy"]))
    with pytest.raises(ConfigError, match=r"no network can predict 'label'"):
        load_study(LABELLED)


def test_what_wins_is_asked_of_networks_that_are_trained_on_the_label(data):
    config = put(LABELLED, f"{TASKS}.training", {"targets": ["label"], "inclusion": 0})
    load_study(config | {"claims": {"C23": C1}})
    config = put(config, f"{TASKS}.training.targets", ["easy", "hard"])
    with pytest.raises(ConfigError) as caught:
        load_study(config | {"claims": {"C23": C1}})
    assert caught.value.problems == ["claims.C23: tasks/base is not trained on 'label'"]
    config = put(config, f"{TASKS}.training.targets", ["label"])
    config = put(config, f"{TASKS}.stimuli.label", {"easy": 0.8})
    with pytest.raises(ConfigError, match=r"'easy' and 'hard', found \{'easy': 0.8\}"):
        load_study(config | {"claims": {"C23": C1}})


ANALYSES = ["variance_explained", "sparsity", "steering", "rsa_models"]
TARGETS = {"easy": ["easy"], "hard": ["hard"], "both": ["easy", "hard"]}
BOTH, ONLY_EASY = "tasks/targets=both", "tasks/targets=easy"
PAIR = C1 | {"condition": BOTH}
IDENTIFICATION = {"target": BOTH, "candidates": [ONLY_EASY, BOTH], "residualise": "easy"}
#: A study whose sections refer to each other.
CROSSED = put(put(STUDY, VARY, {"training.targets": TARGETS}), f"{TASKS}.analyses", ANALYSES) | {
    "identification": IDENTIFICATION,
    "encryption": BOTH,
    "claims": {
        **{name: dict(PAIR) for name in ("C1", "C5", "C13", "C15 another")},
        **{"C19": {"easy": ONLY_EASY, "both": BOTH}, "C26": {}, "C27": {"condition": BOTH}},
        **{"C28b": {"condition": BOTH}, "C28d": {"condition": BOTH}},
    },
}

#: As above, for a setting of this study.
CROSS = {
    "claim without its analysis": (
        f"{TASKS}.analyses",
        ["variance_explained", "steering", "rsa_models"],
        ["claims.C5: C5 needs 'sparsity' in experiments.tasks.analyses"],
    ),
    "variant without its analysis": (
        f"{TASKS}.analyses",
        ["variance_explained", "sparsity", "rsa_models"],
        [
            "claims.C13: C13 needs 'steering' in experiments.tasks.analyses",
            "claims.C15 another: C15 needs 'steering' in experiments.tasks.analyses",
        ],
    ),
    "claim without comparisons": (
        f"{TASKS}.analyses",
        ["variance_explained", "sparsity", "steering"],
        ["claims.C19: C19 needs 'rsa_models' in experiments.tasks.analyses"],
    ),
    "claim without encryption": ("encryption", None, ["claims.C26: C26 needs", "encryption"]),
    "claims without identification": (
        "identification",
        None,
        [f"claims.{c}: {c} needs a section identification" for c in ("C27", "C28b", "C28d")],
    ),
    "claims about another target": (
        "identification.target",
        ONLY_EASY,
        [f"claims.{c}: {c} needs a section identification with" for c in ("C27", "C28b", "C28d")],
    ),
    "claims without their measures": (
        "identification.metrics",
        ["cka"],
        [
            *(
                f"claims.{c}: needs 'rsa' in identification.metrics"
                for c in ("C27", "C28b", "C28d")
            ),
            "claims.C28b: needs 'procrustes' in identification.metrics, found ['cka']",
        ],
    ),
    "claim without its measure": (
        "identification.metrics",
        ["cka", "rsa"],
        ["claims.C28b: needs 'procrustes' in identification.metrics, found ['cka', 'rsa']"],
    ),
    "claim about measurements without noise": (
        "identification.reliabilities",
        [0.5, 0.9],
        ["claims.C27: needs 1.0 in identification.reliabilities"],
    ),
    "claim without a feature to regress out": (
        "identification.residualise",
        None,
        ["claims.C28d: needs identification.residualise"],
    ),
    "claim without its steering strength": (
        "bias.steering_strengths",
        [0.5, 2],
        ["claims.C13: bias.steering_strengths must have 1.0, found [0.5, 2.0]"],
    ),
    "encryption of what cannot be computed": (
        f"{TASKS}.stimuli.features",
        {"easy": {"function": "majority"}, "hard": {"function": "and"}},
        [f"claims.C26: {BOTH} has no feature among bit, xor", "found ['majority', 'and']"],
    ),
    "condition that is not trained on the feature": (
        "claims.C1.condition",
        ONLY_EASY,
        ["claims.C1.hard: tasks/targets=easy is not trained on 'hard'", "allowed: easy"],
    ),
    "one condition in two roles": (
        "claims.C19.easy",
        BOTH,
        ["claims.C19: two roles are filled by the same condition, 'tasks/targets=both'"],
    ),
    "target that is no candidate": (
        "identification.candidates",
        [ONLY_EASY, "tasks/targets=hard"],
        ["identification: the target 'tasks/targets=both'", f"({ONLY_EASY}, tasks/targets=hard)"],
    ),
    "one candidate": (
        "identification.candidates",
        [BOTH],
        [f"identification.candidates: found ['{BOTH}']", "at least 2"],
    ),
    "candidate named twice": (
        "identification.candidates",
        [BOTH, BOTH],
        ["identification.candidates: found", f"'{BOTH}' occurs twice"],
    ),
    "unknown candidate": (
        "identification.candidates",
        [BOTH, "tasks/targets=esy"],
        ["identification: no condition 'tasks/targets=esy'", f"did you mean '{ONLY_EASY}'?"],
    ),
    "unknown feature to regress out": (
        "identification.residualise",
        "esy",
        ["identification.residualise: no feature 'esy'", "did you mean 'easy'?", "hard"],
    ),
    "unknown measure of identification": (
        "identification.metrics",
        ["rsaa"],
        ["identification.metrics.0: found 'rsaa'", "did you mean 'rsa'?"],
    ),
    "reliability above 1": (
        "identification.reliabilities",
        [0.5, 1.5],
        ["identification.reliabilities.1: found 1.5", "equal to 1"],
    ),
}


@pytest.mark.parametrize("case", CROSS)
def test_sections_that_contradict_each_other(case, data):
    path, value, said = CROSS[case]
    with pytest.raises(ConfigError) as caught:
        load_study(put(CROSSED, path, value), "my.yaml")
    # One problem per claim that is named.
    n_problems = max(1, sum(part.startswith("claims.") for part in said))
    assert len(caught.value.problems) == n_problems, caught.value
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message


def test_the_base_of_these_contradictions_is_good(data):
    assert load_study(CROSSED).encryption == BOTH


def test_conditions_of_a_claim_must_compute_the_same_features(data):
    """Otherwise "hard" is one thing here and another there. Other settings of a grid may differ."""
    functions = {"parity": "parity", "majority": "majority"}
    vary = {"stimuli.features.hard.function": functions, "stimuli.seed": [0, 1]}
    config = put(put(STUDY, VARY, vary), f"{TASKS}.stimuli.features.hard.k", 5)
    config = put(config, f"{TASKS}.training.dropout", 0.1)

    def claims(pattern):
        return {"claims": {"C10": {"conditions": pattern, "easy": "easy", "hard": "hard"}}}

    load_study(config | claims("tasks/function=parity,*"))
    with pytest.raises(ConfigError) as caught:
        load_study(config | claims("tasks/*,seed=0"))
    assert caught.value.problems == [
        "claims.C10: tasks/function=parity,seed=0 and tasks/function=majority,seed=0 compute "
        "different features"
    ]


@pytest.mark.parametrize(
    ("claim", "one", "other", "first"),
    [("C9", "shallow", "deep", [64]), ("C9b", "narrow", "wide", [8, 64])],
)
def test_architectures_are_compared_in_layers_of_equal_width(claim, one, other, first, data):
    widths = {"a": {"hidden": first}, "b": {"hidden": [32, 64]}, "c": {"hidden": [64, 32]}}
    widths["d"] = {"hidden": [64, 32], "analysed_layer": "hidden1"}
    config = put(STUDY, VARY, {"network": widths})
    for level, good in (("b", True), ("c", False), ("d", True)):
        roles = {one: "tasks/network=a", other: f"tasks/network={level}"}
        study = config | {"claims": {claim: {**roles, "easy": "easy", "hard": "hard"}}}
        if good:
            load_study(study)
            continue
        with pytest.raises(ConfigError) as caught:
            load_study(study)
        assert caught.value.problems == [
            f"claims.{claim}: the analysed layers must be equally wide, found "
            "{'tasks/network=a': 64, 'tasks/network=c': 32}"
        ]


def test_candidates_must_have_seen_the_same_stimuli(data):
    config = put(STUDY, VARY, {"stimuli.seed": [0, 1]})
    identification = {"target": "tasks/seed=0", "candidates": ["tasks/seed=0", "tasks/seed=1"]}
    with pytest.raises(ConfigError) as caught:
        load_study(config | {"identification": identification})
    assert caught.value.problems == [
        "identification: tasks/seed=0 and tasks/seed=1 saw different stimuli"
    ]


def test_networks_that_are_compared_must_have_seen_the_same_stimuli(data):
    """C19 compares networks with each other."""
    config = put(STUDY, VARY, {"stimuli.seed": [0, 1]})
    claims = {"C19": {"easy": "tasks/seed=0", "both": "tasks/seed=1"}}
    with pytest.raises(ConfigError) as caught:
        load_study(config | {"claims": claims})
    assert caught.value.problems[0] == (
        "claims.C19: tasks/seed=0, tasks/seed=1 cannot be compared: conditions of a claim must "
        "belong to one experiment and share their stimuli"
    )
    # The same stimuli, but of two experiments: their networks are never compared.
    config = put(STUDY, "experiments.more", STUDY["experiments"]["tasks"])
    claims = {"C20": {"easy": "tasks/base", "hard": "more/base"}}
    with pytest.raises(ConfigError, match="tasks/base, more/base cannot be compared"):
        load_study(config | {"claims": claims})


def test_the_base_of_these_cases_is_good(data):
    good = STUDY | {"recordings": {"v4": ARRAY, "it": RDMS, "brain": BRAIN}, "claims": {"C1": C1}}
    load_study(put(good, "networks.mine", TORCH))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recordings.brain", BRAIN | {"n_stimuli": 256}),
        ("recordings.brain", BRAIN | {"n_stimuli": 25}),
        ("recordings.brain", BRAIN | {"seed_of_network": 9, "layer": "hidden4"}),
        (f"{TASKS}.stimuli.n_train", 128),
        (f"{TASKS}.stimuli.n_train", 129),
        (f"{TASKS}.training.batch_size", "full"),
        (f"{TASKS}.training.batch_size", 8192),
        (f"{TASKS}.training.curriculum", ["hard", "easy"]),
        (f"{TASKS}.training", {"targets": ["easy"], "curriculum": ["easy"]}),
        (f"{TASKS}.analyses", []),
        ("bias.steering_strengths", [0.001]),
        ("similarity.n_stimuli", 12),
        ("encryption", "tasks/base"),
        (f"{TASKS}.stimuli.features.hard.k", 16),
        (f"{TASKS}.training.evaluate_every", 4000),
        (VARY, {"seeds": {"xy01234567" * 10: 8}}),
        ("geometry.bootstraps", 100),
    ],
)
def test_the_limits_themselves_are_accepted(path, value, data):
    load_study(put(STUDY, path, value))


@pytest.mark.parametrize("content", [None, [1], "text"])
def test_a_file_that_is_no_mapping(content):
    with pytest.raises(ConfigError) as caught:
        load_study(content, "my.yaml")
    assert len(caught.value.problems) == 1
    assert f"found {content!r}" in str(caught.value)


def refuse(call, *said):
    """Check that a call is refused with one message that says all this, without Python's ways."""
    with pytest.raises(RepbiasError) as caught:
        call()
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert not [part for part in ("np.str_", "<_io", " at 0x") if part in message], message


def read(folder, array, **settings):
    np.save(folder / "r.npy", array)
    spec = TypeAdapter(RecordingSpec).validate_python(ARRAY | settings)
    return read_recording(spec, np.array(IDS))


GOOD = np.arange(12.0).reshape(4, 3)
RDM = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))


def with_value(array, value, *positions):
    array = array.copy()
    for position in positions:
        array[position] = value
    return array


SQUARE = {"kind": "rdms", "axes": ["stimulus", "stimulus"]}
PAIRS = {"kind": "rdms", "axes": ["pair"]}

#: Array, settings of the recording, and what the message must say.
RECORDINGS = {
    "too many axes": (GOOD[..., None], {}, ["names 2 axes", "has 3 (shape (4, 3, 1))"]),
    "too few axes": (GOOD[0], {}, ["names 2 axes", "has 1 (shape (3,))"]),
    "unnamed axis longer than 1": (
        np.ones((4, 2, 3)),
        {"axes": ["stimulus", "_", "unit"]},
        ["axis called _ has length 2"],
    ),
    "fewer stimuli than ids": (GOOD[:3], {}, ["stimulus axis has length 3", "gives 4 ids"]),
    "fewer stimuli than images": (
        GOOD[:3],
        {"stimulus_ids": "sorted"},
        ["stimulus axis has length 3", "'photos' gives 4 ids"],
    ),
    "id given twice": (GOOD, {"stimulus_ids": [*"abbd"]}, ["stimulus_ids", "'b' occurs twice"]),
    "unknown id": (
        GOOD,
        {"stimulus_ids": [*"abcx"]},
        ["r.npy: 1 of 4 ids are not in 'photos'", "in 'photos': 'x' (", "ids like 'a'"],
    ),
    "infinite": (with_value(GOOD, np.inf, (1, 2)), {}, ["1 responses are infinite"]),
    "all NaN": (np.nan * GOOD, {}, ["every response is NaN"]),
    "no stimuli": (GOOD[:0], {"stimulus_ids": []}, ["(0, 3)"]),
    "no units": (GOOD[:, :0], {}, ["(4, 0)"]),
    "text": (GOOD.astype(str), {}, ["expected numbers", "<U"]),
    "complex": (GOOD + 1j, {}, ["expected numbers", "complex128"]),
    "times without a time axis": (GOOD, {"times": [0.1]}, ["times has 1 entries"]),
    "asymmetric RDM": (with_value(RDM, 9, (0, 1)), SQUARE, ["not symmetric"]),
    "RDM that is not square": (RDM[:, :3], SQUARE, ["lengths 4 and 3"]),
    "similarities": (1 - RDM, SQUARE, ["not zero on its diagonal"]),
    "NaN in an RDM": (
        with_value(RDM, np.nan, (0, 1), (1, 0)),
        SQUARE,
        ["1 of the 6 dissimilarities of subject", "are NaN or infinite"],
    ),
    "pairs that are no triangle": (np.ones(5), PAIRS, ["5 pairs", "upper triangle"]),
    "no pairs": (np.ones(0), PAIRS | {"stimulus_ids": ["a"]}, ["0 pairs"]),
    "pairs of too few stimuli": (np.ones(3), PAIRS, ["has length 3", "gives 4 ids"]),
    "subject that is not there": (
        RDM[None],
        SQUARE | {"axes": ["subject", *SQUARE["axes"]], "only_subjects": [1]},
        ["only_subjects [1] of 1"],
    ),
    "names of too many subjects": (
        RDM[None],
        SQUARE | {"axes": ["subject", *SQUARE["axes"]], "subjects": ["x", "y"]},
        ["2 subjects", "array has 1"],
    ),
}


@pytest.mark.parametrize("case", RECORDINGS)
def test_bad_recording(case, data):
    array, settings, said = RECORDINGS[case]
    where = "" if said[0].startswith("stimulus_ids") else "r.npy: "
    refuse(lambda: read(data, array, **settings), where, *said)


def test_the_base_of_these_recordings_is_good(data):
    assert read(data, GOOD).responses.shape == (4, 3)
    assert read(data, RDM, **SQUARE).rdms.shape == (1, 6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\nb\nb\nd\n", "'b' occurs twice"),
        (b"a\nb\n\n", "gives 2 ids"),
        (b"a\nb\nc\n\xff\xfe\n", "text"),
    ],
)
def test_bad_file_of_ids(content, said, data):
    (data / "ids.txt").write_bytes(content)
    refuse(lambda: read(data, GOOD, stimulus_ids="${DATA}/ids.txt"), "ids.txt", said)


def test_a_file_of_ids_may_start_with_a_byte_order_mark(data):
    (data / "ids.txt").write_text("a\nb\nc\nd\n", encoding="utf-8-sig")
    assert list(read(data, GOOD, stimulus_ids="${DATA}/ids.txt").stimulus_ids) == IDS


def test_bad_file_of_regions(data):
    (data / "regions.txt").write_text("V1\nV2\n")
    refuse(lambda: read(data, GOOD, regions="${DATA}/regions.txt"), "regions.txt: 2 regions for 3")


def bytes_of(save, *arguments, **named):
    buffer = io.BytesIO()
    save(buffer, *arguments, **named)
    return buffer.getvalue()


def hdf5(content):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in content.items():
            file[name] = value
    return buffer.getvalue()


def mat73():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        file["x"] = GOOD
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    return header + buffer.getvalue()[len(header) :]


NPZ = bytes_of(np.savez, x=GOOD, y=GOOD)
OBJECTS = np.full((4, 3), None)

#: File name, its bytes, the variable, and what the message must say.
ARRAYS = {
    "pickled npy": ("x.npy", bytes_of(np.save, OBJECTS), None, ["npy", "allow_pickle"]),
    "pickled npz": ("x.npz", bytes_of(np.savez, x=OBJECTS), None, ["npz", "allow_pickle"]),
    "truncated npy": ("x.npy", bytes_of(np.save, GOOD)[:-8], None, ["cannot be read as npy"]),
    "truncated npz": ("x.npz", NPZ[: len(NPZ) // 2], None, ["cannot be read as npz"]),
    "truncated mat": (
        "x.mat",
        bytes_of(scipy.io.savemat, {"x": GOOD})[:-20],
        None,
        ["cannot be read as mat"],
    ),
    "truncated HDF5": ("x.h5", hdf5({"x": GOOD})[:-8], None, ["cannot be read as h5"]),
    "empty npy": ("x.npy", b"", None, ["cannot be read as npy"]),
    "empty npz": ("x.npz", b"", None, ["cannot be read as npz"]),
    "empty mat": ("x.mat", b"", None, ["cannot be read as mat"]),
    "empty HDF5": ("x.hdf5", b"", None, ["cannot be read as hdf5"]),
    "npz called npy": ("x.npy", NPZ, None, ["npy"]),
    "npy called npz": ("x.npz", bytes_of(np.save, GOOD), None, ["npz"]),
    "MATLAB v7.3": ("x.mat", mat73(), None, ["MATLAB", "call it .h5"]),
    "HDF5 called mat": ("x.mat", hdf5({"x": GOOD}), None, ["MATLAB", "call it .h5"]),
    "text called mat": ("x.mat", b"1,2,3\n" * 100, None, ["cannot be read as mat"]),
    "text called HDF5": ("x.h5", b"1,2,3\n" * 100, None, ["cannot be read as h5"]),
    "csv": ("x.csv", b"1,2,3\n", None, ["'.csv'", ".npy", ".mat"]),
    "no name for two arrays": ("x.npz", NPZ, None, ["several arrays", "'variable'", "x, y"]),
    "no array at all": ("x.h5", hdf5({}), None, ["no array"]),
    "unknown variable": ("x.npz", NPZ, "z", ["no variable 'z'", "x, y"]),
    "variable of an npy": ("x.npy", bytes_of(np.save, GOOD), "x", ["leave 'variable' out"]),
    "misspelt HDF5 path": (
        "x.h5",
        hdf5({"v4/rates": GOOD}),
        "v4/rate",
        ["no variable 'v4/rate'", "did you mean 'v4/rates'?"],
    ),
    "HDF5 group": ("x.h5", hdf5({"v4/rates": GOOD}), "v4", ["no variable 'v4'", "v4/rates"]),
    "HDF5 dataset without data": ("x.h5", hdf5({"x": h5py.Empty("f8")}), "x", ["'x'", "no "]),
    "unknown field": (
        "x.mat",
        bytes_of(scipy.io.savemat, {"s": {"rates": GOOD}}),
        "s.rate",
        ["'s' has no field 'rate'", "did you mean 'rates'?"],
    ),
    "field of an array": (
        "x.mat",
        bytes_of(scipy.io.savemat, {"x": GOOD}),
        "x.rates",
        ["'x' has no field 'rates'"],
    ),
    "different shapes in a structure": (
        "x.mat",
        bytes_of(
            scipy.io.savemat,
            {"s": np.array([(GOOD,), (GOOD[:2],)], dtype=[("rates", object)])},
        ),
        "s.rates",
        ["'rates'", "different shapes", "(4, 3)", "(2, 3)"],
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_array_file(case, tmp_path):
    name, content, variable, said = ARRAYS[case]
    (tmp_path / name).write_bytes(content)
    refuse(lambda: load_array(tmp_path / name, variable), str(tmp_path / name), *said)


def test_missing_array_file(tmp_path):
    for name in ("x.npy", "x.npz", "x.h5", "x.mat"):
        refuse(lambda name=name: load_array(tmp_path / name), str(tmp_path / name))


def test_a_structure_instead_of_its_field(data):
    scipy.io.savemat(data / "x.mat", {"s": {"rates": GOOD}})
    settings = {"path": "${DATA}/x.mat", "variable": "s"}
    refuse(
        lambda: read(data, GOOD, **settings),
        "x.mat: 's' is a structure; name a field after a dot",
        "rates",
    )


def load_all(path, variable=None):
    images = open_images(ImageSet(path=path, variable=variable))
    return [images.load(i) for i in range(len(images))]


NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
PNG = bytes_of(Image.fromarray(NOISE).save, format="PNG")


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pixels(*shape, dtype=np.uint8):
    return bytes_of(np.save, np.zeros(shape, dtype))


#: Files of a folder, and what the message must say.
FOLDERS = {
    "no images": ({"readme.txt": b"none"}, ["no images found", ".png", ".jpg"]),
    "two images with the same id": (
        {"more/a.png": PNG, "more/a.jpg": PNG, "a.png": PNG},
        ["two images have the id 'more/a'", "more/a.png", "more/a.jpg"],
    ),
    "corrupt image": ({"a.png": b"no image"}, ["a.png is not a readable image"]),
    "truncated image": ({"a.png": PNG[:400]}, ["a.png is not a readable image"]),
    "empty image": ({"a.png": b""}, ["a.png is not a readable image"]),
}


@pytest.mark.parametrize("case", FOLDERS)
@pytest.mark.parametrize("place", ["folder", "photos.zip", "photos.tar"])
def test_bad_images(case, place, tmp_path):
    files, said = FOLDERS[case]
    path = tmp_path / place
    if place == "folder":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    else:
        path.write_bytes(zipped(files) if path.suffix == ".zip" else tarred(files))
    refuse(lambda: load_all(path), str(path), *said)


#: File name, its bytes, and what the message must say.
IMAGE_FILES = {
    "text": ("photos.txt", b"none", ["neither a folder", "zip", ".npy"]),
    "truncated zip": ("photos.zip", zipped({"a.png": PNG})[:400], ["neither a folder", "zip"]),
    "damaged zip": ("photos.zip", zipped({"a.png": PNG}).replace(b"IDAT", b"IDAX"), ["a.png"]),
    "truncated tar": ("photos.tar", tarred({"a.png": PNG, "b.png": PNG})[:1000], ["tar"]),
    "truncated tar.gz": ("photos.tgz", tarred({"a.png": PNG}, "w:gz")[:400], ["tgz"]),
    "floats": ("photos.npy", pixels(2, 5, 6, dtype=float), ["uint8", "found float64", "(2, 5, 6)"]),
    "four channels": ("photos.npy", pixels(2, 5, 6, 4), ["height, width[, 3]", "(2, 5, 6, 4)"]),
    "no image in an array": ("photos.npy", pixels(0, 5, 6), ["no images"]),
}


@pytest.mark.parametrize("case", IMAGE_FILES)
def test_bad_image_file(case, tmp_path):
    name, content, said = IMAGE_FILES[case]
    (tmp_path / name).write_bytes(content)
    refuse(lambda: load_all(tmp_path / name), str(tmp_path / name), *said)


def test_sparse_responses_are_read(data):
    """MATLAB users store spike counts as sparse matrices."""
    counts = np.diag([1.0, 2.0, 3.0, 4.0])
    scipy.io.savemat(data / "x.mat", {"x": scipy.sparse.csc_matrix(counts)})
    recording = read(data, GOOD, path="${DATA}/x.mat")
    np.testing.assert_array_equal(recording.responses, counts)
