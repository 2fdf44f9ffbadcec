"""What was called otherwise in earlier versions is named; other mistakes get a guess."""

import copy

import pytest

from repbias.base.spec import RepbiasError
from repbias.config.analyses import ANALYSES
from repbias.config.explain import RENAMED
from repbias.pipeline.checks import load_study

STUDY = {
    "study": "test",
    "experiments": {"tasks": {"stimuli": {"features": {"easy": {"function": "bit"}}}}},
}
REFERENCE = {"recording": "r", "measure": "m", "value": 1.0, "source": "a paper"}


def said_of(**sections):
    config = copy.deepcopy(STUDY)
    for name, section in sections.items():
        config[name] = config[name] | section if name == "experiments" else section
    with pytest.raises(RepbiasError) as caught:
        load_study(config, "study.yaml")
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"geometry": {"comparators": ["corr"]}},
            "geometry.comparators: unknown key; it is now called 'rdm_similarities'",
        ),
        (
            {"references": [REFERENCE | {"comparator": "corr"}]},
            "references.0.comparator: unknown key; it is now called 'rdm_similarity'",
        ),
        (
            {"bias": {"doses": [0.5, 1.0]}},
            "bias.doses: unknown key; it is now called 'steering_strengths'",
        ),
        (
            {"experiments": {"more": {**STUDY["experiments"]["tasks"], "analyses": ["ledger"]}}},
            "experiments.more.analyses.0: found 'ledger'; "
            "it is now called 'variance_decomposition'",
        ),
    ],
    ids=RENAMED,
)
def test_a_key_or_analysis_of_an_earlier_version(sections, expected):
    assert expected in said_of(**sections)


def test_every_renamed_analysis_is_one():
    assert RENAMED["ledger"] in ANALYSES
    assert not RENAMED.keys() & set(ANALYSES)


def test_a_word_that_was_never_a_key_there_is_any_unknown_key():
    (said,) = [line for line in said_of(geometry={"doses": [1]}) if line.startswith("geometry")]
    assert "geometry.doses: unknown key; " in said and "(allowed: bootstraps" in said
    assert "is now called" not in said


def test_a_misspelt_key_gets_a_guess():
    said = said_of(geometry={"rdm_similarity": ["corr"]})
    assert any("did you mean 'rdm_similarities'?" in line for line in said)


def test_a_mistake_in_a_section_that_could_be_a_word_is_said_of_the_section():
    """Nothing is said of the word, also where there may be nothing at all (null)."""
    response = {"confounds": {"column": ["csf"]}}
    said = said_of(recordings={"brain": {"kind": "fmri", "response": response}})
    about = [line for line in said if line.startswith("recordings.brain.response")]
    assert about == [
        "recordings.brain.response.confounds.column: unknown key; did you mean 'columns'? "
        "(allowed: columns, file, strategy)"
    ]
