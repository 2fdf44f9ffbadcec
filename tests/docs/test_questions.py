"""The questions of the documentation."""

import pytest
import yaml
from pages import blocks

from repbias.config.file import ConfigError
from repbias.pipeline.checks import load_study

pytestmark = pytest.mark.slow


def test_the_questions_of_the_documentation_are_possible_and_answered():
    (study,) = blocks("questions.md", "yaml")
    config = yaml.safe_load(study)
    assert set(load_study(config).questions) == set(config["questions"])
    config["questions"]["dropout_helps_hard"]["where"]["feature"] = "hrad"
    (said,) = blocks("questions.md", "text")
    with pytest.raises(ConfigError) as error:
        load_study(config)
    assert error.value.problems[0].startswith(said.strip().partition(" (allowed")[0])
    (code,) = blocks("questions.md", "python")
    exec(code, {})
