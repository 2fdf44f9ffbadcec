"""What the repository promises about itself: pins, schema, documentation, rules."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from repbias import config_reference
from repbias.study import load_study
from repbias.tables import TABLES

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
RULES = {
    match[1]: match[0]
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for match in re.finditer(r"^rule (\w+):\n(?:(?:    .*)?\n)+", file.read_text(), re.MULTILINE)
}


def test_environments_hold_the_pins_of_pyproject():
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins)
    for file in (ROOT / "envs").glob("*.yaml"):
        content = yaml.safe_load(file.read_text())["dependencies"]
        assert [d for d in content if isinstance(d, dict)] == [{"pip": pins}], file


def test_schema_and_reference_are_in_step_with_the_models():
    """`make schema` writes both."""
    schema = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert schema == config_reference.json_schema()
    assert (ROOT / "docs/configuration.md").read_text() == config_reference.markdown()


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_studies_satisfy_the_schema_that_editors_use(path):
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    first = path.read_text().splitlines()[0]
    assert (path.parent / first.split("$schema=")[1]).resolve().is_file()


def test_the_schema_refuses_unknown_keys():
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match="experimants"):
        jsonschema.validate({"study": "x", "experimants": {}}, schema)


def test_rules_are_found():
    assert {"train", "rdms", "report_page"} <= RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_what_it_needs(rule):
    for directive in ("message", "log", "benchmark", "threads", "resources", "conda", "script"):
        assert f"\n    {directive}:" in RULES[rule], f"{rule} has no {directive}"
    script = re.search(r'script:\s+"../scripts/(\w+\.py)"', RULES[rule])[1]
    assert f'code=code("{script}")' in RULES[rule]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_documented(name):
    text = (ROOT / "docs/file-formats.md").read_text()
    common, tables = text.split("## Tables")[1].split("| table |")
    row = next(line for line in tables.splitlines() if line.startswith(f"| `{name}` |"))
    sided = [c for c in TABLES[name] if c.endswith("_b") and f"`{c[:-1]}a`" in row]
    missing = [c for c in TABLES[name] if f"`{c}`" not in common + row and c not in sided]
    assert missing == []


def test_the_study_in_the_readme_is_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    study = load_study(yaml.safe_load(blocks[0]))
    assert list(study.groups()["tasks"]) == ["targets=easy", "targets=hard", "targets=both"]


def test_relative_links_in_the_documentation_exist():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
