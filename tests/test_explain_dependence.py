"""Partial dependence and ICE: scikit-learn's numbers on source columns of any type, with the share of rows near by."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence as sklearn_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from daskflow.core.errors import DataError
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.explain import centred, partial_dependence
from daskflow.explain.partial import grid_of
from tests.explained import Formula, Piped, double_a_plus_b, fitted_model, mixed_frame, normal_rows, numbers
from tests.test_explain_importance import HOSTILE


def entries_of(predictor: Any, rows: Any, columns: Any = None, **options: Any) -> list[dict[str, Any]]:
    return partial_dependence(predictor, rows, columns, **{"seed": 7, "executor": InlineExecutor(), **options})


@pytest.fixture(scope="module")
def piped() -> tuple[Piped, pd.DataFrame]:
    """A forest over numbers and categories."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=200),
            "n": random.integers(0, 6, 200).astype(float),
            "c": random.choice(list("uvw"), 200),
        }
    )
    y = frame["x"] ** 2 + (frame["c"] == "u") * frame["n"]
    encode = ColumnTransformer([("c", OneHotEncoder(), ["c"])], remainder="passthrough")
    return Piped(make_pipeline(encode, RandomForestRegressor(20, random_state=0)).fit(frame, y)), frame


@pytest.mark.parametrize("column", ["x", "n", "c"])
def test_it_is_scikit_learns_on_the_same_values(piped: tuple[Piped, pd.DataFrame], column: str) -> None:
    # given
    predictor, frame = piped
    weight = np.random.default_rng(1).random(len(frame))
    # when
    (entry,) = entries_of(predictor, pa.Table.from_pandas(frame), [column], lines=200, weight=weight)
    expected = sklearn_dependence(
        predictor.pipeline,
        frame,
        [column],
        custom_values={column: np.array(entry["values"])},
        kind="both",
        method="brute",
        **({} if column == "c" else {"sample_weight": weight}),
    )
    # then
    if column == "c":
        (plain,) = entries_of(predictor, pa.Table.from_pandas(frame), [column])
        assert np.allclose(plain["mean"], expected["average"][0], rtol=0, atol=1e-12)
    else:
        averages = np.average(expected["individual"][0], axis=0, weights=weight)
        assert np.allclose(entry["mean"], averages, rtol=0, atol=1e-12)
    assert np.allclose(entry["individual"], expected["individual"][0], rtol=1e-5)
    assert entry["output"] == "prediction"


def test_probabilities_of_a_classifier_are_averaged_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=200), "z": random.normal(size=200)})
    codes = (frame["x"] + random.normal(size=200) > 0).astype(int)
    predictor = Piped(make_pipeline(LogisticRegression()).fit(frame, codes), ("no", "yes"))
    (entry,) = entries_of(predictor, pa.Table.from_pandas(frame), ["x"])
    expected = sklearn_dependence(
        predictor.pipeline, frame, ["x"], custom_values={"x": np.array(entry["values"])}, method="brute"
    )
    assert np.allclose(entry["mean"], expected["average"][0], rtol=0, atol=1e-12)
    assert entry["output"] == "probability of yes"


def test_columns_of_every_kind_keep_their_arrow_type() -> None:
    # given a model that looks at the types
    rows = pa.table(
        {
            "small": pa.array([1, 2, None, 3], pa.int8()),
            "money": pa.array([1, 2, 3, 4]).cast(pa.decimal128(22, 2)),
            "level": pa.chunked_array(
                [pa.array(["b", "a"]).dictionary_encode(), pa.array(["a", None]).dictionary_encode()]
            ),
            "text": pa.array(["u", "v", "v", "w"], pa.large_string()),
            "flag": [True, None, False, True],
            "day": pa.array([0, 1, 2, 3], pa.int32()).cast(pa.date32()),
            "when": pa.array([0, 10**9, 2 * 10**9, None], pa.int64()).cast(pa.timestamp("us", tz="Europe/Oslo")),
        }
    )
    types = {field.name: field.type for field in rows.schema}
    seen: list[bool] = []

    def watch(table: pa.Table) -> Any:
        seen.append({field.name: field.type for field in table.schema} == types)
        return np.zeros(len(table))

    # when
    found = {entry["column"]: entry for entry in entries_of(Formula(watch), rows)}
    # then
    assert all(seen)
    assert {name: (entry["kind"], entry["values"]) for name, entry in found.items()} == {
        "small": ("number", [1, 2, 3]),
        "money": ("number", [1.0, 2.0, 3.0, 4.0]),
        "level": ("category", ["a", "b"]),
        "text": ("category", ["v", "u", "w"]),
        "flag": ("boolean", [False, True]),
        "day": ("time", ["1970-01-01", "1970-01-02", "1970-01-03", "1970-01-04"]),
        "when": (
            "time",
            ["1970-01-01T01:00:00+01:00", "1970-01-01T01:16:40+01:00", "1970-01-01T01:33:20+01:00"],
        ),
    }
    assert found["level"]["share"] == [0.5, 0.25]
    assert found["flag"]["share"] == [0.25, 0.5]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60), st.integers(2, 12))
def test_every_row_is_near_one_value_of_the_grid_and_every_value_occurs(values: list[Any], size: int) -> None:
    column = pa.array(values, pa.float64())
    grid = grid_of(column, "x", size)
    there = [value for value in values if value is not None]
    assert len(grid.values) <= size
    assert grid.values == sorted(set(grid.values))
    assert set(grid.values) <= set(there)
    assert sum(grid.share) == pytest.approx(len(there) / len(values))
    assert [column[place].as_py() for place in grid.places] == grid.values


def test_where_there_are_no_rows_the_share_says_so() -> None:
    # given a number with a gap
    a = np.concatenate([np.linspace(0, 1, 500), np.linspace(9, 10, 500), [5.0] * 2])
    (entry,) = entries_of(Formula(lambda table: numbers(table, "a")), pa.table({"a": a}), ["a"], grid=11)
    # then the grid follows the rows, and what lies between is known to be lonely
    share = dict(zip(entry["values"], entry["share"], strict=True))
    assert share.pop(5.0) == pytest.approx(2 / 1002)
    assert min(share.values()) > 0.04
    assert all(value < 1.1 or value > 8.9 for value in share)


def test_changes_are_surer_than_levels_and_centred_lines_begin_at_zero() -> None:
    # given a model in which a adds the same to every row
    rows = normal_rows(500, "a", "b")
    (entry,) = entries_of(Formula(double_a_plus_b), rows, ["a"], grid=5, lines=3)
    # when
    c_ice = centred(entry)
    # then the level is as unsure as b's mean, and the change is certain
    assert np.allclose(np.subtract(entry["high"], entry["low"]), 2 * 1.96 * numbers(rows, "b").std(ddof=1) / 500**0.5)
    assert np.allclose(c_ice["low"], c_ice["high"])
    assert np.allclose(c_ice["mean"], 2 * (np.array(entry["values"]) - entry["values"][0]))
    assert np.allclose(c_ice["individual"], [c_ice["mean"]] * 3, atol=1e-4)


def test_of_many_classes_the_three_that_are_answered_most_are_shown() -> None:
    def four(table: pa.Table) -> Any:
        share = 1 / (1 + np.exp(-numbers(table, "a")))
        return np.column_stack([0.05 * share, 0.7 - 0.3 * share, 0.05 + 0.05 * share, 0.35 + 0.2 * share])

    entries = entries_of(Formula(four, ("p", "q", "r", "s")), normal_rows(100, "a", "b"), ["a"])
    assert [entry["output"] for entry in entries] == ["probability of q", "probability of s", "probability of r"]
    assert all(np.diff(entry["mean"]).min() > 0 for entry in entries[1:])


def test_more_rows_than_are_averaged_are_sampled_and_the_grid_is_of_all() -> None:
    rows = normal_rows(3000, "a")
    (entry,) = entries_of(Formula(lambda table: numbers(table, "a")), rows, ["a"], most_rows=100, lines=500)
    assert entry["rows"] == 100
    assert len(entry["individual"]) == 100
    assert max(entry["share"]) < 0.2


def test_a_real_model_s_answers_follow_what_it_learned() -> None:
    # given
    model = fitted_model(LogisticRegression(max_iter=300), mixed_frame(), "y")
    rows = pa.Table.from_pandas(mixed_frame(seed=1).drop(columns="y"), preserve_index=False)
    # when
    found = {entry["column"]: entry for entry in entries_of(model, rows)}
    # then
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found)[-1] in ("idle", "since")
    city = dict(zip(found["city"]["values"], found["city"]["mean"], strict=True))
    assert city["Rome"] > max(city["Oslo"], city["Lima"]) + 0.1
    assert np.diff(found["rooms"]["mean"]).min() > 0
    assert found["is_new"]["values"] == [False, True]
    assert np.diff(found["is_new"]["mean"])[0] > 0


@pytest.mark.slow
def test_it_is_the_same_on_a_cluster(client: Any) -> None:
    rows = normal_rows(200, "a", "b")
    here = entries_of(Formula(double_a_plus_b), rows)
    assert entries_of(Formula(double_a_plus_b), rows, executor=ClientExecutor(client)) == here


def test_columns_that_have_a_record_are_not_computed_again_after_a_kill() -> None:
    # given a run that is killed after one of two columns
    rows, kept = normal_rows(100, "a", "b"), {}

    def record(each: Any) -> None:
        kept[each["column"]] = each
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entries_of(Formula(double_a_plus_b), rows, record=record, grid=5)
    # when
    predictor = Formula(double_a_plus_b)
    found = entries_of(predictor, rows, earlier=kept, grid=5)
    # then
    assert len(predictor.asked) == 1 + 5
    assert found == entries_of(Formula(double_a_plus_b), rows, grid=5)


def test_what_there_was_no_time_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("daskflow.explain.bounded.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(table: pa.Table) -> Any:
        clock[0] += 1.0
        return double_a_plus_b(table)

    told: list[str] = []
    found = entries_of(Formula(slow), normal_rows(100, "b", "a"), grid=5, seconds=3.0, tell=told.append)
    assert [entry["column"] for entry in found] == ["a"]
    assert told == ["Partial dependence of 1 of 2 columns was left out, for its time of 6 s was over: b."]


def test_hostile_names_and_levels_are_told_as_they_are() -> None:
    rows = pa.table(dict.fromkeys(HOSTILE, HOSTILE))
    found = entries_of(Formula(lambda table: np.zeros(len(table))), rows)
    assert sorted(entry["column"] for entry in found) == sorted(HOSTILE)
    assert all(sorted(entry["values"]) == sorted(HOSTILE) for entry in found)


def test_a_column_without_a_value_has_an_empty_grid() -> None:
    rows = pa.table({"a": pa.nulls(5, pa.float64()), "b": pa.nulls(5)})
    found = entries_of(Formula(lambda table: np.zeros(len(table))), rows)
    assert all(entry["values"] == entry["mean"] == entry["share"] == [] for entry in found)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": ["aa"]}, "There is no column 'aa' to explain"),
        ({"grid": 1}, "grid should be at least 2"),
        ({"weight": [1.0]}, "weight has 1 values, and there are 20 rows"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        entries_of(Formula(double_a_plus_b), normal_rows(20, "a", "b"), **options)
