"""Frequency encoding: how often a level occurs in training."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from daskflow.core.errors import SettingsError
from daskflow.preprocess import level_counts
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import column, fit

WORDS = pa.table({"w": ["a", "a", "a", "b", None, "c", "c", "d"]})
NEW = pa.table({"w": ["a", "b", "c", None, "never seen"]})


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("share", [3 / 8, 1 / 8, 2 / 8, 1 / 8, 0]),
        ("count", [3, 1, 2, 1, 0]),
        ("log", [math.log(4), math.log(2), math.log(3), math.log(2), 0]),
    ],
)
def test_a_level_becomes_how_often_it_occurs_and_an_unknown_one_0(method: str, expected: list[float]) -> None:
    fitted = fit(WORDS, w=[{"kind": "frequency", "method": method}])

    assert column(fitted, NEW, "w") == pytest.approx(expected, rel=1e-6)
    assert fitted.unseen(NEW) == {"w": 1}


def test_it_does_not_depend_on_pieces() -> None:
    pieces = [np.array([7, 1]), np.array([], dtype=np.int64), np.array([0, 2, 3, 4, 5, 6])]

    assert fit(WORDS, pieces=pieces, w=["frequency"]) == fit(WORDS, w=["frequency"])


def test_numbers_and_booleans_are_levels_too() -> None:
    table = pa.table({"n": [2.0, 2.0, 7.5, None], "b": [True, True, None, False]})
    fitted = fit(table, n=[{"kind": "frequency", "method": "count"}], b=[{"kind": "frequency", "method": "count"}])

    assert fitted.matrix(table).tolist() == [[2, 2], [2, 2], [1, 1], [1, 1]]
    assert column(fitted, pa.table({"n": [2, 3], "b": [True, False]}), "n") == [2, 0]


def test_rare_levels_count_together_and_a_scale_may_follow() -> None:
    chain = [{"kind": "rare", "min_count": 2}, {"kind": "frequency", "method": "count"}, "scale"]
    fitted = fit(WORDS, w=chain)

    found = np.array(column(fitted, WORDS, "w"))
    frequencies = np.array([3, 3, 3, 2, 1, 2, 2, 2])  # b and d are rare
    assert found == pytest.approx((frequencies - frequencies.mean()) / frequencies.std(), rel=1e-6, abs=1e-6)


def test_too_many_levels_share_buckets_which_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level_counts, "MOST_BYTES", 96)  # eight buckets of 12 bytes
    table = pa.table({"w": [f"u{number}" for number in range(200)]})

    fitted = fit(table, w=[{"kind": "frequency", "method": "count"}])

    assert fitted.warnings == (
        "Column 'w' has so many levels that they are hashed into 8 buckets, which several of them may share.",
    )
    assert sum(set(column(fitted, table, "w"))) <= 200
    assert fitted.unseen(table) == {"w": 0}


def test_it_is_the_same_after_json() -> None:
    fitted = fit(WORDS, w=["frequency"])

    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted


def test_what_changes_the_values_may_not_stand_before_it() -> None:
    with pytest.raises(SettingsError, match="'frequency' stands after 'impute', which changes what it counts"):
        Preprocessing(categorical=[{"kind": "impute", "strategy": "most_frequent"}, "frequency"])
