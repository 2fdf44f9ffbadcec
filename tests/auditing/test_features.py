"""Which columns of stimuli are audited."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.auditing.features import chosen_features, not_audited
from repbias.auditing.spec import Audit
from repbias.base.spec import RepbiasError

COLUMNS = {
    "kind": np.array(["a", "b"] * 10),
    "size": np.arange(20.0),
    "name": np.array([f"thing {i}" for i in range(20)]),
    "same": np.ones(20),
    "image.contrast": np.linspace(0, 1, 20),
}


def test_by_default_what_is_known_but_no_names_and_constants() -> None:
    assert list(chosen_features(Audit(), COLUMNS)) == ["kind", "size"]
    unknown = {name: COLUMNS[name] for name in ("name", "same", "image.contrast")}
    assert list(chosen_features(Audit(), unknown)) == ["image.contrast"]
    assert chosen_features(Audit(), {"name": COLUMNS["name"]}) == {}


def test_of_the_studys_features_those_that_these_stimuli_have() -> None:
    spec = Audit(
        features={"kind": {}, "s": {"column": "size"}, "k x s": {"product_of": ["kind", "s"]}}
    )
    assert list(chosen_features(spec, COLUMNS)) == ["kind", "s", "k x s"]
    assert list(chosen_features(spec, {"kind": COLUMNS["kind"]})) == ["kind"]


def test_a_column_called_like_what_is_not_explained_is_refused() -> None:
    columns = {"rest": COLUMNS["size"]}
    with pytest.raises(RepbiasError, match="a column of the stimuli is called 'rest'"):
        chosen_features(Audit(), columns)
    assert list(chosen_features(Audit(features={"pause": {"column": "rest"}}), columns)) == [
        "pause"
    ]


@pytest.mark.parametrize(
    ("stimuli", "levels", "audited", "said"),
    [(12, 4, True, False), (24, 8, True, False), (24, 12, False, True), (24, 24, False, False)],
)
def test_groups_of_less_than_three_are_no_features_but_are_told(
    stimuli, levels, audited, said
) -> None:
    """Else a score that is all about them is said to be about nothing that is known."""
    groups = np.array([f"g{i % levels}" for i in range(stimuli)])
    columns = {"group": groups, "size": np.arange(float(stimuli))}
    assert ("group" in chosen_features(Audit(), columns)) == audited
    assert len(not_audited(Audit(), columns)) == said
    assert not_audited(Audit(features=["size"]), columns) == [], "the study says what it wants"
    assert not_audited(Audit(), columns, "group") == [], "it says which stimuli are alike"
