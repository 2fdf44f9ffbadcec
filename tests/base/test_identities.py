"""Ids that differ in form are joined one to one, whatever their order, or refused."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.base.identities import FORMS, as_ids, excluded, join
from repbias.base.spec import RepbiasError, nearest, visible

#: Names of which no two are alike, whatever is ignored.
NAMES = [*(str(i) for i in range(1, 8)), "stim001", "stim1", "gabor_0.5", "gabor_0.25", "café",
         "Ångström", "face a", "face_a", "v1.2", "脳", "한글", "x.y", "-1", "0.5"]  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Return the names of some stimuli, each written in two ways, in the same order."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    sides: tuple[list[str], list[str]] = ([], [])
    for name in names:
        for side in sides:
            text = name
            if name.lstrip("-").isdecimal():
                text = draw(st.sampled_from([text, f"{text}.0", text.zfill(len(text) + 2)]))
            text = draw(st.sampled_from([text, text.upper(), text.lower()]))
            text = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text)
            text += draw(st.sampled_from(["", ".png", ".PNG"]))
            text = draw(st.sampled_from(["", "a/", "a\\", "/home/lab/a/"])) + text
            side.append(draw(st.sampled_from(["", " ", "\u200b"])) + text)
    return sides


@given(written(), st.randoms(use_true_random=False))
def test_names_that_are_written_in_two_ways_are_joined_in_any_order(names, random):
    ids, known = names
    expected = dict(zip(ids, known, strict=True))
    random.shuffle(ids)
    random.shuffle(known)
    found = join(ids, known)
    assert found.pairs == expected
    assert not found.absent
    assert not found.unclear
    assert found.ignored.keys() == {a for a, b in expected.items() if a != b}
    assert bool(found.said) == bool(found.ignored)
    assert found.translated(ids).tolist() == [expected[name] for name in ids]


CHANGES = {
    "white space": " {}",
    "file ending": "{}.png",
    "folder": "f/{}",
    "form of number": "0{}",
}


@pytest.mark.parametrize("second", CHANGES)
@pytest.mark.parametrize("first", CHANGES)
@given(st.sampled_from(["1", "7", "12"]), st.lists(st.sampled_from(["x", "y/z", "3"]), unique=True))
def test_what_could_be_two_stimuli_is_refused(first, second, name, others):
    """Of two known ids, each differs from the name in another form; and the other way round."""
    two = [CHANGES[first].format(name), CHANGES[second].format(name)]
    if first == second:
        two[1] = {"folder": f"g/{name}", "form of number": f"00{name}"}.get(first, f"{name}\t")
        if first == "file ending":
            two[1] = f"{name}.jpg"
    for ids, known in (([name, *others], two + others), (two + others, [name, *others])):
        found = join(ids, known)
        assert found.unclear
        with pytest.raises(RepbiasError, match="not clear which"):
            found.refuse_unclear("r.npy", "'set'")


SMALL = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "a/", "b/", "b/a/"]),
        st.sampled_from(["1", "01", "001", "1.0", "a", "A", "e\u0301", "\xe9"]),
        st.sampled_from(["", ".png", ".jpg"]),
        st.sampled_from(["", " "]),
    ),
    unique=True,
    max_size=6,
)


@given(SMALL, SMALL)
def test_ids_that_collide_are_joined_one_to_one_or_refused_in_any_order(ids, known):
    found = join(ids, known)
    assert set(found.pairs) | set(found.absent) | set(found.unclear) == set(ids)
    assert len(set(found.pairs.values())) == len(found.pairs)
    for name in set(ids) & set(known):
        assert found.pairs[name] == name
    again = join(ids[::-1], known[::-1])
    assert again.pairs == found.pairs
    assert again.unclear.keys() == found.unclear.keys()
    back = join(known, ids)
    if not found.unclear and not back.unclear:
        assert back.pairs == {b: a for a, b in found.pairs.items()}


@given(st.lists(st.text(max_size=8)), st.lists(st.text(max_size=8), min_size=1))
def test_any_text_is_joined_and_described(ids, known):
    found = join(ids, known)
    assert isinstance(found.said, str)
    assert found.missing("'set'").isprintable() or not all(map(str.isprintable, ids + known))
    if found.unclear:
        with pytest.raises(RepbiasError):
            found.refuse_unclear("r.npy", "'set'")
    exact = join(ids, [*known, *ids])
    assert (exact.pairs, exact.said) == ({name: name for name in ids}, "")


@pytest.mark.parametrize(
    ("ids", "known", "pairs", "said"),
    [
        (["stim001.png"], ["stim001"], ["stim001"], "file ending ('stim001.png' is 'stim001')"),
        (["a.PNG"], ["a.png"], ["a.png"], "case ('a.PNG' is 'a.png')"),
        (["f/01"], ["01"], ["01"], "folder ('f/01' is '01')"),
        (["1", "2.0"], ["001", "002"], ["001", "002"], "form of number ('1' is '001')"),
        (["cafe\u0301"], ["caf\xe9"], ["caf\xe9"], "Unicode form ('cafe\\u0301' is 'café')"),
        (["a\u200b"], ["a"], ["a"], "white space ('a\\u200b' is 'a')"),
        (
            ["C:\\stimuli\\faces\\01.png", "C:\\stimuli\\houses\\01.png"],
            ["faces/01", "houses/01"],
            ["faces/01", "houses/01"],
            "file ending and folder ('C:\\\\stimuli\\\\faces\\\\01.png' is 'faces/01')",
        ),
        (["a.png", "b"], ["b", "a"], ["a", "b"], "1 of 2 ids but for file ending"),
    ],
)
def test_what_is_ignored_is_said(ids, known, pairs, said):
    found = join(ids, known)
    assert [found.pairs[name] for name in ids] == pairs
    assert said in found.said


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("houses/01", "faces/01"),  # another folder
        ("cat.wav", "cat.png"),  # the sound and the picture of a cat
        ("stim1", "stim001"),  # zeros within a name
        ("gabor_0.5", "gabor_0"),  # no file ending
        ("1.5", "1"),
        ("face a", "facea"),
        ("a", "b"),
    ],
)
def test_what_contradicts_is_not_joined(name, known):
    found = join([name], [known])
    assert (found.pairs, found.absent) == ({}, [name])


@pytest.mark.parametrize(
    ("ids", "known", "message"),
    [
        (["01.png"], ["faces/01", "houses/01"], "'01.png' could be 'faces/01' or 'houses/01'"),
        (["a.png", "a.jpg"], ["a"], "'a.jpg' and 'a.png' could each be 'a'"),
        (["a.png", "a"], ["a"], "'a' and 'a.png' could each be 'a'"),
        (
            ["002", "1"],
            ["1", "01", "2"],
            "1 of 2 ids could be those of 'set', but it is not clear which: '002' could be '2', "
            "but if form of number did not count, '01' and '1' would be the same",
        ),
        (["S"], ["s", "t", "T"], "if case did not count, 'T' and 't' would be the same"),
    ],
)
def test_a_form_counts_where_ids_of_either_side_differ_in_nothing_else(ids, known, message):
    with pytest.raises(RepbiasError) as caught:
        join(ids, known).refuse_unclear("r.npy", "'set'")
    assert message in str(caught.value)


def test_what_is_not_seen_is_shown_beside_the_nearest_id():
    found = join(["tom\xa0x", "cow", "a.png"], ["tom x", "tom y", "a"])
    assert found.missing("'set'") == (
        "2 of 3 ids are not in 'set': 'cow', 'tom\\xa0x' (nearest: 'tom x'); 1 match "
        "(1 of 3 ids but for file ending ('a.png' is 'a'))"
    )
    assert "(the set has ids like 'dog')" in join(["cow"], ["dog"]).missing("'set'")
    assert nearest("cafe\u0301", ["cafes\u0301", "tea"]) == (
        "did you mean 'cafes\\u0301'? (allowed: cafes\\u0301, tea)"
    )
    # Marks that a composed name has are letters of its script.
    for text in ("नमस्ते", "caf\xe9", "脳", "a b"):
        assert visible(text) == text


def test_ids_are_left_out_in_any_form():
    assert excluded(["blank"], ["a.png", "blank.png"], "images") == ["blank.png"]
    with pytest.raises(RepbiasError, match=r"images: exclude: no stimulus 'blanc'; did you mean"):
        excluded(["blanc"], ["a.png", "blank"], "images")
    with pytest.raises(RepbiasError, match=r"images: exclude: .* 'a' could be 'a.jpg' or 'a.png'"):
        excluded(["a"], ["a.jpg", "a.png"], "images")


def test_numbers_of_any_type_are_text():
    values = np.array([np.float32(3), np.int16(4), 5, 6.0, "7 ", b"8", np.float64("nan")], object)
    assert as_ids(values).tolist() == ["3", "4", "5", "6", "7", "8", "nan"]


def test_long_ids_take_no_time():
    """To compose letters, or to find zeros or space at an end, can take the square of a length."""
    hostile = [
        "e" + "\u0301\u0327" * 50_000,
        "0" * 100_000 + "x",
        " " * 100_000 + "x",
        "a/" * 50_000,
    ]
    start = time.process_time()
    assert join(hostile, ["c", "b"]).absent == sorted(hostile)
    found = join([f"{name}.png" for name in hostile], hostile)
    assert len(found.pairs) == 4
    assert "file ending" in found.said
    assert time.process_time() - start < 2


def test_every_form_is_named_in_the_documentation():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "bring-your-recording.md").read_text()
    section = page.split("## How stimuli are matched")[1].split("\n## ")[0]
    for form in FORMS:
        assert form in section
