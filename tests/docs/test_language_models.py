"""The tutorial of language models."""

import re

import pandas as pd
import pytest
from pages import ROOT, follow

pytestmark = pytest.mark.slow


def test_the_tutorial_of_language_models_finds_what_its_page_says(tmp_path):
    said = follow("language-models.md", tmp_path)
    assert "0 problems, 0 warnings" in said["repbias check study.yaml"]
    tables = tmp_path / "results/sentences/tables"
    scores = pd.read_csv(tables / "rsa_recordings.csv").set_index(["network", "layer"])
    shares = pd.read_csv(tables / "audit.csv").set_index(["network", "layer", "feature"])["share"]
    page = (ROOT / "docs/language-models.md").read_text(encoding="utf-8")
    for name, network in (("untrained", "untrained"), ("trained", "lm")):
        (row,) = re.findall(rf"\| {name}, `blocks.2` \|(.*)", page)
        found = [*scores.loc[(network, "blocks.2"), ["similarity", "ci_low", "ci_high"]]]
        found += [shares[network, "blocks.2", feature] for feature in ("animate", "negated")]
        # Another machine's arithmetic trains other weights.
        assert [float(x) for x in re.findall(r"\.\d+", row)] == pytest.approx(found, abs=0.05)
