"""What the repository promises about itself: pins, schema, documentation, rules."""

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from repbias.claims.catalogue import CLAIMS
from repbias.config.analyses import OF_RECORDINGS
from repbias.config.study import Study
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import DERIVED, Plan
from repbias.tables import TABLES

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").rglob("*.yaml"))]


def rules_of(text):
    """Go through (name, body) of the rules of a file; rules in a block are dedented."""
    for match in re.finditer(r"^( *)rule( \w+):\n(?:(?:\1    .*)?\n)+", text, re.MULTILINE):
        yield match[2].strip(), textwrap.dedent(match[0])


RULES = {
    name: body
    for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for name, body in rules_of(file.read_text())
}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "envs/lock.txt").read_text(), re.M
    )
}


def test_the_lock_has_a_version_that_every_range_allows():
    extras = [d for ds in PROJECT["optional-dependencies"].values() for d in ds]
    for dependency in map(Requirement, PROJECT["dependencies"] + extras):
        name = canonicalize_name(dependency.name)
        if name not in ("repbias", "atheris"):  # not installed by `make`
            assert LOCK[name] in dependency.specifier, name


def test_the_environment_of_conda_has_the_versions_of_the_lock():
    content = yaml.safe_load((ROOT / "envs/repbias.yaml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in content if isinstance(entry, dict))
    pins = [pin.split("==") for pin in pip]
    names = {canonicalize_name(Requirement(d).name) for d in PROJECT["dependencies"]}
    assert {canonicalize_name(name): Version(version) for name, version in pins} == {
        name: LOCK[name] for name in names
    }


def test_every_package_that_is_needed_has_an_oldest_version():
    """Of which `make test-oldest` runs the tests."""
    for dependency in map(Requirement, PROJECT["dependencies"]):
        assert any(s.operator == ">=" for s in dependency.specifier), dependency.name


@pytest.mark.parametrize("scheduler", ["lsf", "htcondor"])
def test_profiles_of_schedulers_have_the_settings_of_that_for_slurm(scheduler):
    """Except what each plugin has of its own."""

    def settings(name):
        profile = yaml.safe_load((ROOT / "workflow/profiles" / name / "config.yaml").read_text())
        assert profile.pop("executor") == name
        profile.pop("default-resources")
        return {key: value for key, value in profile.items() if not key.startswith(name)}

    assert settings(scheduler) == settings("slurm")


@pytest.mark.parametrize(
    ("what", "file"),
    [("schema", "workflow/schemas/config.schema.json"), ("markdown", "docs/configuration.md")],
)
def test_schema_and_reference_are_in_step_with_the_models(what, file):
    """`make schema` writes both."""
    done = subprocess.run(
        [sys.executable, "-m", "repbias.pipeline.config_reference", what],
        env=os.environ | {"REPBIAS_DOCUMENTED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / file).read_text() == done.stdout


@pytest.fixture(scope="module")
def schema():
    """What validates by the schema, which is valid itself."""
    content = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    validator = jsonschema.validators.validator_for(content)
    validator.check_schema(content)
    return validator(content)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_studies_satisfy_the_schema_that_editors_use(path, schema):
    schema.validate(yaml.safe_load(path.read_text()))
    first = path.read_text().splitlines()[0]
    assert (path.parent / first.split("$schema=")[1]).resolve().is_file()


def test_the_schema_refuses_unknown_keys(schema):
    with pytest.raises(jsonschema.ValidationError, match="experimants"):
        schema.validate({"study": "x", "experimants": {}})


def test_rules_are_found():
    """In blocks too: those that a study may do without."""
    assert {"train", "rdms", "report_page"} <= RULES.keys()
    assert {"encryption", "identification"} <= RULES.keys()
    scripts = {f"{script.name}" for script in (ROOT / "workflow/scripts").glob("*.py")}
    assert {re.search(r"scripts/(\w+\.py)", body)[1] for body in RULES.values()} == scripts


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_what_it_needs(rule):
    for directive in ("message", "log", "benchmark", "threads", "resources", "conda", "script"):
        assert f"\n    {directive}:" in RULES[rule], f"{rule} has no {directive}"
    script = re.search(r'script:\s+"../scripts/(\w+\.py)"', RULES[rule])[1]
    given = {
        "analyse_recording": "code=[code_of(analysis) for analysis in PLAN.by_rdms()]",
        "fit_models": "code=lambda w: code_of(w.analysis)",
    }
    assert given.get(rule, f'code=code("{script}")') in RULES[rule]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_documented(name):
    text = (ROOT / "docs/file-formats.md").read_text()
    common, tables = text.split("## Tables")[1].split("| table |")
    rows = {line.split("`")[1]: line for line in tables.splitlines() if line.startswith("| `")}
    row = rows[name]
    if as_in := re.search(r"as in `(\w+)`", row):
        row += rows[as_in[1]]
    sided = [c for c in TABLES[name].columns if c.endswith("_b") and f"`{c[:-1]}a`" in row]
    missing = [c for c in TABLES[name].columns if f"`{c}`" not in common + row and c not in sided]
    assert missing == []


def test_no_other_table_is_documented():
    text = (ROOT / "docs/file-formats.md").read_text().split("## Tables")[1]
    documented = re.findall(r"^\| `(\w+)` \|", text.split("| table |")[1], re.MULTILINE)
    assert sorted(documented) == sorted(TABLES)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_studies_load(path, request, monkeypatch):
    """Those on recordings need their files, and the models of their networks."""
    config = yaml.safe_load(path.read_text())
    if "images" in config:
        data = request.getfixturevalue("test_data")
        monkeypatch.setenv("REPBIAS_TEST_DATA", str(data.resolve()))
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(path.parent)
    study = load_study(config, str(path))
    assert Plan(study).tables
    assert Plan(study).figures()
    # As results/<study>/config.yaml has it.
    assert load_study(json.loads(study.model_dump_json())) == study


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_benchmarks_can_be_started(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(path.parent)
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.startswith("usage:")


# The studies of claims

#: Claims that need images, or that the study of images decides.
OF_IMAGES = {"C7c", "C11", "C12", "C18", "C21", "C24"}
OF_TOKENS = {"C8", "C8b", "C14"}


@pytest.fixture(scope="module")
def bits():
    return load_study(yaml.safe_load((ROOT / "studies/bits.yaml").read_text()), "bits.yaml")


@pytest.fixture(scope="module")
def images():
    paths = [ROOT / f"studies/images{which}.yaml" for which in ("", "_sweeps")]
    return [load_study(yaml.safe_load(path.read_text()), path.name) for path in paths]


def test_the_studies_of_images_decide_what_has_a_meaning_there(images):
    found = {key.partition(" ")[0] for study in images for key in study.claims}
    numbers = {int(re.search(r"\d+", key)[0]) for key in found}
    assert found >= OF_IMAGES
    assert numbers == {*(1, 2, 3, 5, 7, 9, 11, 12, 13), *range(15, 23), 24, 27, 28}


def test_the_studies_of_images_have_fifteen_networks_in_every_condition(images):
    assert {spec.seeds for study in images for *_, spec in study.conditions()} == {15}


def test_the_study_of_bits_decides_every_other_claim(bits):
    assert {key.partition(" ")[0] for key in bits.claims} == CLAIMS.keys() - OF_IMAGES - OF_TOKENS
    numbers = {int(re.search(r"\d+", key)[0]) for key in bits.claims}
    assert numbers == {*range(1, 8), 9, 10, 13, 15, 16, 17, 19, 20, 22, 23, *range(25, 30)}


def test_the_study_of_bits_has_ten_networks_in_every_condition(bits):
    conditions = {f"{e}/{name}": spec.seeds for e, name, spec in bits.conditions()}
    assert len(conditions) > 40
    assert {name: n for name, n in conditions.items() if n < 10} == {}


def test_the_study_of_bits_fills_every_table_of_networks(bits):
    of_recordings = {*OF_RECORDINGS, *DERIVED, "rsa_between_recordings"}
    of_recordings |= {"audit", "audit_remaining", "audit_range", "recovery", "recovery_shares"}
    assert set(Plan(bits).tables) == TABLES.keys() - of_recordings


def test_a_claims_two_conditions_differ_in_one_setting(bits):
    """What is compared is what the claim names."""
    conditions = {f"{e}/{name}": spec for e, name, spec in bits.conditions()}

    def settings(section, prefix=""):
        for key, value in section.items():
            if isinstance(value, dict):
                yield from settings(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    differences = {}
    for key, roles in bits.claims.items():
        both = [conditions[value] for value in roles.values() if value in conditions]
        if len(both) == 2:
            one, other = (dict(settings(c.model_dump(mode="json"))) for c in both)
            assert one.keys() == other.keys()
            differences[key] = {path for path in one if one[path] != other[path]}
    variants = ("", " momentum", " torch-init")
    claims = {
        "training.targets": [f"{claim}{v}" for claim in ("C19", "C20") for v in variants],
        "training.curriculum": ["C4"],
        "network.hidden": ["C9", "C9b"],
        "stimuli.agreement.probability": ["C22", "C22 at-.9"],
        "training.parameter_noise": ["C29"],
        "training.weight_decay": ["C29b"],
    }
    expected = {claim: {path} for path, names in claims.items() for claim in names}
    assert differences == expected


def test_the_analysed_layers_of_a_comparison_are_of_equal_width(bits):
    """A wider layer has more variance to explain; C9 and C9b say that it is not that."""
    conditions = {f"{e}/{name}": spec for e, name, spec in bits.conditions()}
    for key, roles in bits.claims.items():
        networks = [conditions[v].network for v in roles.values() if v in conditions]
        widths = {n.hidden[n.layers.index(n.analysed)] for n in networks}
        assert len(widths) <= 1, key


def test_the_study_in_the_readme_is_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    study = load_study(yaml.safe_load(blocks[0]))
    assert list(study.groups()["tasks"]) == ["targets=easy", "targets=hard", "targets=both"]


def test_the_page_of_analyses_names_tables_and_settings_that_exist():
    text = (ROOT / "docs/which-analysis.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert named - {"questions"} <= TABLES.keys()
    settings = {name for row in rows if len(row) == 4 for name in re.findall("`(.*?)`", row[2])}
    of_study = {yaml.safe_load(said) for said in settings if ":" not in said}
    sections = [yaml.safe_load(said) for said in settings if ":" in said]
    assert of_study - Study.model_fields.keys() == {"min_reliability", "standardise", "window"}
    for section in sections:
        ((name, content),) = section.items()
        assert content.keys() <= Study.model_fields[name].annotation.model_fields.keys()


MARKDOWN = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]


def anchors_of(page):
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_in_the_documentation_exist(page):
    """With their anchors, which the build of the site does not check in README."""
    text = page.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


def test_pages_that_code_and_messages_name_exist():
    folders = ("src", "workflow", "benchmarks", "studies", "config")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = 0
    for path in [*files, ROOT / "Makefile", ROOT / "config.yaml", ROOT / "pyproject.toml"]:
        if path.suffix in (".py", ".smk", ".yaml", ".j2", ".md", "", ".toml", ".json"):
            for name in re.findall(r"\bdocs/[\w-]+\.md\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)}: {name}"
                found += 1
    assert found > 50


def test_every_page_is_in_the_contents_of_the_site():
    listed = re.findall(r"^[\w-]+$", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted({p.stem for p in ROOT.glob("docs/*.md")} - {"index"})


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\S+) \((.+)\)$", changes, re.MULTILINE)
    assert (project["version"], str(cited["date-released"])) == released[0]
    assert cited["version"] == project["version"]
    assert changes.index("## Unreleased") < changes.index(f"## {project['version']}")
