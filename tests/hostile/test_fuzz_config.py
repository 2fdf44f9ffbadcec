"""Odd configurations: each is refused with the name of the field, or is a study that works."""

from __future__ import annotations

import copy
import datetime
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from repbias.base.spec import RepbiasError
from repbias.config.file import read_config
from repbias.pipeline import sizes
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan

ROOT = Path(__file__).parents[2]
#: Studies that are valid without files; studies with files are tried with a file of our own.
FILES = ["tests/workflow/tiny.yaml", "config.yaml", "studies/bits.yaml"]
STUDIES = [yaml.safe_load((ROOT / file).read_text(encoding="utf-8")) for file in FILES]
OF_FILES = ["studies/haxby.yaml", "studies/kriegeskorte92.yaml", "studies/v4.yaml"]
#: Seconds after which one configuration counts as a hang.
LONG = 10

DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]
BOMB: list[Any] = ["ha"] * 10
for _ in range(12):
    BOMB = [BOMB] * 10
MANY = {name: list(range(1, 1001)) for name in ("seeds", "stimuli.seed", "training.max_steps")}

#: Values that are invalid everywhere; tried less often, as nothing else is checked then.
STRANGE: list[Any] = [
    10**400, -(2**63), float("nan"), float("inf"), "a\0b", "\x1b[31m", "\u202eabc", "\ud800",
    {1: 2}, {None: 1}, {"a\nb": 1}, DEEP, BOMB, b"bytes", {1, 2}, (1, 2), 1j, print,
    datetime.date(2020, 1, 1),
]  # fmt: skip
#: Values that are valid somewhere.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 7, 17, 50, 1000, 10**9, 10**18, -(10**18), "10", "1e-3",
    0.5, 0.05, 0.999, 1.0, -0.0, 1e-9, 1e-300, 5e-324, 1e308, -1e308,
    "", " ", "x" * 100_000, "x" * 300, "é", "e\u0301", "a\nb", "../x", "/etc/passwd", "-x",
    "${HOME}", "${NOT_SET}", "{wildcard}", "*", "$x$", "a..b:c", "os:system", "x" * 5000 + ":y",
    "base", "tasks", "tasks/base", "label", "easy", "full", "full/base", "hidden1", "parity",
    [], {}, [[]], [{}], {"": 1}, {"a": {"b": {"c": []}}}, ["x"] * 10, [1, 2], [2.0, 1.0],
    [True], [None], list(range(5000)), {f"k{i}": i for i in range(5000)}, MANY, [8], ["easy"],
    {"training.targets": {"a": ["easy"]}}, {"stimuli.features": [1]}, {"seeds": [1, 2]},
    {f"f{i}": {"function": "bit", "bits": 4} for i in range(30)},
    {f"{name}": {"function": "xor", "bits": 8} for name in ("easy", "hard", "EASY")},
    {"kind": "pixels"},
    {"kind": "torch", "factory": "torch.nn:Identity", "layers": ["", "/"]},
    {"kind": "simulated", "source": "full/base", "layer": "hidden1"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path_factory, monkeypatch):
    """A folder without files, with the environment variables that studies use."""
    folder = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(folder)


def places(config: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a configuration, without duplicates."""
    found, waiting, seen = [], [config], set()
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list) and id(container) not in seen:
            seen.add(id(container))
            keys = list(container) if isinstance(container, dict) else range(len(container))
            found += [(container, key) for key in keys]
            waiting += [container[key] for key in keys]
    return found


def among(number: int) -> Any:
    """Return a value, in one of ten cases an invalid one."""
    values = STRANGE if number % 10 == 0 else VALUES
    return values[number // 10 % len(values)]


#: Changes of a setting; most often it gets another value.
CHANGES = ["value", "value", "like", "like", "copy", "drop", "rename", "list", "map", "twice"]
EDITS = st.lists(
    st.tuples(st.integers(0, 2**16), st.sampled_from(CHANGES), st.integers(0, 2**16)),
    min_size=1,
    max_size=3,
)


def changed(study: int, edits: list[tuple[int, str, int]]) -> dict[str, Any]:
    """Change a valid study; numbers choose the places and the new values."""
    config = copy.deepcopy(STUDIES[study])
    for place, change, number in edits:
        if not (known := places(config)):
            break
        container, key = known[place % len(known)]
        old, new = container[key], copy.copy(among(number))
        if change == "copy":  # of another place; of one around it, so that it holds itself
            other, elsewhere = known[number % len(known)]
            new = other[elsewhere]
        if change == "like":  # a value of the same type, ours or of another place
            same = [v for v in [*VALUES, *(c[k] for c, k in known)] if type(v) is type(old)]
            new = same[number % len(same)]
        del container[key]
        if change == "rename" and isinstance(container, dict):
            names = [
                *(n for n in [*VALUES, *STRANGE] if isinstance(n, str | int | None)),
                f"{key}x",
            ]
            container[names[number % len(names)]] = old
        elif change != "drop":
            new = {"list": [old], "map": {"a": old}, "twice": [old, old]}.get(change, new)
            if isinstance(container, dict):
                container[key] = new
            else:
                container.insert(key, new)
    return config


class Hang(Exception):
    """A configuration took too long."""


def stopped(*_: object) -> None:
    raise Hang


def refused(config: Any) -> str | None:
    """Return why a configuration is refused; None if it is a study, which then must work."""
    signal.signal(signal.SIGALRM, stopped)
    signal.alarm(LONG)
    try:
        study = load_study(config)
        assert all(Plan(study).batches.values())
        assert Plan(study).tables
        assert isinstance(Plan(study).figures(), list)
        assert sizes.n_jobs(Plan(study)) > 0
        assert all(size >= 0 for size in sizes.study_bytes(study, {}).values())
        assert json.loads(json.dumps(config)) == config, "jobs are given another study"
        assert load_study(json.loads(json.dumps(config))) == study
        assert load_study(json.loads(study.model_dump_json())) == study, "as config.yaml says it"
    except RepbiasError as error:
        message = str(error)
        assert len(message) < 50_000
        assert message.replace("\n", "").isprintable(), message
        for problem in error.problems:
            field, _, reason = problem.partition(": ")
            assert field and reason, problem
        return message
    finally:
        signal.alarm(0)
    return None


@pytest.mark.slow
@settings(max_examples=400)
@given(st.integers(0, len(STUDIES) - 1), EDITS)
def test_a_changed_study_is_refused_with_the_field_or_works(study, edits):
    refused(changed(study, edits))


EASY = {"function": "bit"}
ONCE_WRONG = {
    "more conditions than can be planned": (
        ("experiments", "tasks", "vary"),
        MANY,
        "experiments: 1,000,000,003 conditions",
    ),
    "more time bins than can be listed": (
        ("recordings", "brain", "bin_s"),
        1e-300,
        "recordings.brain: the epoch [-0.2, 0.8] has 1e+300 bins",
    ),
    "more features than have labels": (
        ("experiments", "tasks", "stimuli", "features"),
        {f"f{i}": EASY for i in range(25)},
        "experiments.tasks.stimuli.features: dictionary should have at most 12 items",
    ),
    "a claim about a feature that there is not": (
        ("claims",),
        {"C6": {"condition": "full/base", "hard": "other"}},
        "claims.C6.hard: no feature 'other'",
    ),
    "a claim about encryption of nothing": (("encryption",), "no/base", "encryption: no"),
    "truth as a number": (("geometry", "bootstraps"), True, "geometry: bootstraps is true"),
    "a list of everything": (("study",), BOMB, "more than 100,000 values"),
}


@pytest.mark.parametrize("case", ONCE_WRONG)
def test_former_hangs_and_failures_are_refused(case):
    path, value, expected = ONCE_WRONG[case]
    config = copy.deepcopy(STUDIES[0])
    section = config
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    assert expected in str(refused(config))


# Text of files

TINY = (ROOT / FILES[0]).read_text(encoding="utf-8")
LAUGHS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))
NESTED = "\n".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 40))
MERGES = "\n".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40))

#: Text of a file, and a part of the message.
TEXTS = {
    "key that occurs twice": (
        TINY + "geometry: {}\n",
        f"line {TINY.count(chr(10)) + 1}: not valid YAML (the key",
    ),
    "inner key that occurs twice": ("study: a\nexperiments:\n  t: {k: 1, 'k': 2}\n", "line 3"),
    "aliases that grow": (f"a0: &a0 [ha]\n{LAUGHS}", "more than 100,000 values"),
    "mappings that grow": (f"a0: &a0 {{b: c}}\n{NESTED}", "more than 100,000 values"),
    "merges that grow": (f"a0: &a0 {{b: c}}\n{MERGES}", "study: missing"),
    "itself": ("study: &a [*a]", "study.0.0.0.0: more than 30 nested sections"),
    "Python's name": ("study: !!python/name:os.system ''", "line 1: not valid YAML"),
    "Python's call": ("study: !!python/object/apply:os.system [ls]", "line 1: not valid YAML"),
    "template": ("__use_yte__: true\n?open('ran', 'w').close(): 1\n", "'__use_yte__' lets"),
    "unknown tag": ("study: !include other.yaml", "line 1: not valid YAML"),
    "deep": ("study: " + "[" * 5000, "nested too deeply"),
    "deep in YAML's limits": ("study: " + "[" * 100 + "]" * 100, "study.0.0.0.0: more than 30"),
    "long": ("# " + "x" * 1_000_000, "more than 1,000,000 bytes"),
    "long number": ("seeds: " + "9" * 5000, "not valid YAML"),
    "number of more than 64 bits": ("seeds: 9223372036854775808", "seeds: found a number of more"),
    "no date": ("study: 2020-13-01", "not valid YAML (month must be in 1..12"),
    "date": ("study: 2020-12-01", "study: found datetime.date(2020, 12, 1), a date; expected text"),
    "no number": ("experiments: {a: {seeds: .nan}}", "experiments.a.seeds: found nan; expected a"),
    "set": ("study: !!set {a, b}", "study: found {"),
    "bytes": ("study: !!binary aGk=", "study: found b'hi', a bytes"),
    "control characters": ('title: "\\e[31m"', "title: found '\\x1b[31m'; text cannot hold"),
    "text turned around": ('title: "\\u202Eabc"', "title: found '\\u202eabc'; text cannot"),
    "half a character": ('title: "\\uD800"', "title: found '\\ud800'; text cannot"),
    "line break in a key": ('"a\\nb": 1', "top level: the key 'a\\nb' holds control"),
    "word that is true": ("experiments: {on: {}}", "experiments: the key True is not text; put"),
    "number as a key": ("experiments: {1: {}}", "experiments: the key 1 is not text; put"),
    "true as a number": ("study: a\ngeometry: {bootstraps: yes}", "geometry: bootstraps is true"),
    "true among numbers": (
        "study: a\nbias: {steering_strengths: [true]}",
        "bias: steering_strengths is [true]",
    ),
    "tab": ("study:\n\tname", "line 2: not valid YAML"),
    "two documents": ("study: a\n---\nstudy: b\n", "line 2: not valid YAML"),
    "merge of a list": ("study: {<<: [1]}", "line 1: not valid YAML"),
    "no text": ("study: \x00", "not valid YAML"),
}  # fmt: skip


def refused_text(path: Path, text: bytes) -> str | None:
    """Return why a file is refused, reading it like `repbias check` and the Snakefile."""
    path.write_bytes(text)
    signal.signal(signal.SIGALRM, stopped)
    signal.alarm(LONG)
    try:
        config = read_config(path)
    except RepbiasError as error:
        assert str(error).startswith(str(path))
        return str(error)
    finally:
        signal.alarm(0)
    return refused(config)


@pytest.mark.parametrize("case", TEXTS)
def test_text_that_is_not_a_study_is_refused(case, tmp_path):
    text, expected = TEXTS[case]
    message = refused_text(tmp_path / "study.yaml", text.encode("utf-8"))
    assert message is not None
    assert expected in message
    assert message.replace("\n", "").isprintable()
    assert not (tmp_path / "ran").exists() and not Path("ran").exists()


def test_an_endless_file_is_not_read_to_the_end():
    with pytest.raises(RepbiasError, match="more than 1,000,000 bytes"):
        read_config(Path("/dev/zero"))


def test_aliases_and_merges_are_accepted(tmp_path):
    assert refused_text(tmp_path / "study.yaml", TINY.encode()) is None


PIECES = [
    ": ", "\n", "  ", "- ", "&a ", "*a", "<<: *a", "{", "}", "[", "]", '"', "'", "|\n", "? ", "!!",
    "#", "\t", "%", "---\n", "\0", "é", "!!python/tuple ", "1e400", "0x10", "~", "2020-01-01",
]  # fmt: skip
#: Bytes, and text of the characters that mean something in YAML.
RANDOM = st.binary(max_size=200) | st.text("ab:-{}[]&*<!?|>'\"#%@ \n\t1.", max_size=60).map(
    str.encode
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(TINY)), st.sampled_from(PIECES)), min_size=1))
def test_text_with_typing_errors_is_refused_or_is_a_study(tmp_path_factory, edits):
    text = TINY
    for place, piece in edits:
        text = text[:place] + piece + text[place + len(piece) % 3 :]
    refused_text(tmp_path_factory.getbasetemp() / "typed.yaml", text.encode())


@settings(max_examples=150)
@given(RANDOM)
def test_random_bytes_are_refused(tmp_path_factory, text):
    assert refused_text(tmp_path_factory.getbasetemp() / "random.yaml", text) is not None
