"""One object answers rows, requests, streams and tables with the same bits, and judges each row by itself."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from daskflow.bundle import Model
from daskflow.bundle.rows import rows_of
from daskflow.core.errors import DataError
from daskflow.data.joins import Join
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from daskflow.preprocess import Preprocessor
from daskflow.preprocess.fitted import FittedColumn
from daskflow.streams.reading import RowReader
from daskflow.streams.scoring import Scorer
from tests.test_bundle_one_row import MODEL, model_of, training

FRAME = training(700)
TIMES = FRAME["since"].dt.strftime("%Y-%m-%dT%H:%M:%S")
ROWS: list[dict[str, Any]] = [
    {name: None if value is None or value != value else value for name, value in row.items()}
    for row in FRAME.assign(since=TIMES).astype(object).to_dict("records")
]
MODELS = {"binary": MODEL, "multiclass": model_of(("a", "b", "c")), "regression": model_of(())}


def bits(model: Model, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What `predict` and `predict_proba` say, as answers are written."""
    labels = model.predict(frame).tolist()
    if not model.classes:
        return [{"prediction": label} for label in labels]
    shares = model.predict_proba(frame)
    named = shares.rename(columns=lambda label: f"probability_{label}").to_dict("records")
    return [{"prediction": label, **given} for label, given in zip(labels, named, strict=True)]


@pytest.mark.parametrize("kind", MODELS)
def test_rows_requests_streams_and_tables_have_the_same_bits(kind: str) -> None:
    # given what a whole frame is answered with
    model = MODELS[kind]
    expected = bits(model, FRAME)
    scorer = Scorer(model)
    # then any number of rows at a time, on the quick and the general way, gives the same
    for size in (1, 2, 5, 64, 256, 700):
        stop = min(700, 40 * size)
        found = [answer for at in range(0, stop, size) for answer in scorer.rows(ROWS[at : at + size]).dicts()]
        assert found == expected[: len(found)], size
    assert scorer._by_columns(ROWS).dicts() == expected
    # and so do Arrow tables in pieces, JSON that has travelled, and single mappings
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    for size in (1, 33, 700):
        stop = min(700, 20 * size)
        found = [answer for at in range(0, stop, size) for answer in scorer.table(table.slice(at, size)).dicts()]
        assert found == expected[: len(found)], size
    travelled = json.loads(json.dumps(ROWS))
    assert pickle.loads(pickle.dumps(scorer)).rows(travelled).dicts() == expected
    one = [
        model.predict_one({**row, "since": stamp}) for row, stamp in zip(ROWS[:50], FRAME["since"][:50], strict=True)
    ]
    assert one == [answer["prediction"] for answer in expected[:50]]


def test_a_step_that_takes_arrays_is_asked_once_for_all_rows_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a model of a text that only tf-idf reads, and what counts how often a column's steps work
    frame = pd.DataFrame({"words": [f"red lamp {number % 7}" for number in range(300)], "y": range(300)})
    preprocessor = Preprocessor(columns={"words": [{"kind": "text", "min_df": 1}]}).fit(frame[["words"]])
    schema = Schema((Column("words", ColumnKind.CATEGORICAL, "string"),))
    matrix = preprocessor.fitted_.matrix(rows_of(frame[["words"]], schema))
    model = Model(Ridge().fit(matrix, frame["y"]), preprocessor.fitted_, schema, Target("y", Task.REGRESSION, (), ()))
    n_calls, apply = [0], FittedColumn.apply

    def counted(self: FittedColumn, *arguments: Any) -> Any:
        n_calls[0] += 1
        return apply(self, *arguments)

    monkeypatch.setattr(FittedColumn, "apply", counted)
    rows = frame[["words"]].to_dict("records")
    scorer = Scorer(model)
    # when rows come alone and together, then they have the same bits, and a batch takes as many calls as a row
    alone = [scorer.rows([row]).dicts()[0] for row in rows[:5]]
    for size in (2, 64, 256):
        n_calls[0] = 0
        assert scorer.rows(rows[:size]).dicts()[:2] == alone[:2]
        assert scorer.matrix(rows[:size])[1] == list(range(size))
        assert n_calls[0] <= 4, size


def test_answers_as_a_table_are_what_predict_writes() -> None:
    answers = Scorer(MODEL).rows(ROWS[:9])
    table = answers.arrow()
    assert table.column_names == ["prediction", "probability_no", "probability_yes"]
    assert table.to_pylist() == answers.dicts()
    assert Scorer(MODEL, probabilities=False).rows(ROWS[:9]).arrow().column_names == ["prediction"]
    assert Scorer(MODELS["regression"]).rows(ROWS[:9]).arrow().schema.field("prediction").type == pa.float64()


BAD: dict[str, tuple[Any, str, str]] = {
    "no object": ([1, 2], "malformed", "an object of values by column name; found [1, 2]"),
    "a column is missing": ({k: v for k, v in ROWS[0].items() if k != "real"}, "missing", "no column 'real'"),
    "none is there": ({}, "missing", "no columns 'whole', 'small', 'real', 'single', 'code' and 7 more"),
    "misspelt": (
        {**{k: v for k, v in ROWS[0].items() if k != "city"}, "citi": "Rome"},
        "missing",
        "did you mean 'citi'",
    ),
    "text for a number": ({**ROWS[0], "real": "7"}, "type", "column 'real' should be a number; found '7'"),
    "a truth for a number": ({**ROWS[0], "whole": True}, "type", "column 'whole' should be a number; found True"),
    "a number for text": ({**ROWS[0], "city": 7}, "type", "column 'city' should be text; found 7"),
    "a number for a truth": ({**ROWS[0], "member": 1}, "type", "column 'member' should be true or false; found 1"),
    "a number for a time": ({**ROWS[0], "since": 20240101}, "type", "ISO 8601 text"),
    "no day": ({**ROWS[0], "since": "2024-02-30"}, "value", "is no time: '2024-02-30'"),
    "a zone": ({**ROWS[0], "since": "2024-02-20T10:00:00Z"}, "type", "has a time zone"),
    "infinite": ({**ROWS[0], "real": math.inf}, "value", "column 'real' is infinite"),
    "too long": ({**ROWS[0], "whole": 10**30}, "value", "more than 64 bits hold"),
    "a list": ({**ROWS[0], "street": ["a"]}, "type", "should be text; found ['a']"),
    "half a pair": ({**ROWS[0], "city": "\ud800"}, "value", "half of a character pair"),
    "more than a table holds": ({**ROWS[0], "void": 2**64}, "value", "is 18446744073709551616, which no table holds"),
    "no kind of value": ({**ROWS[0], "void": b"\xff"}, "value", "which no table holds"),
    "thousands of digits": ({**ROWS[0], "real": 10**5000}, "value", "is an integer of thousands of digits, more than"),
    "two at once": ({**ROWS[0], "real": "7", "city": 7}, "type", "'real' should be a number; found '7'; column 'city'"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("n_rows", [1, 6, 260], ids=["alone", "among few", "among many"])
def test_a_bad_row_is_a_problem_of_its_own(name: str, n_rows: int) -> None:
    bad, reason, words = BAD[name]
    rows: list[Any] = [*ROWS[:n_rows]]
    rows[n_rows // 2] = bad
    answers = Scorer(MODEL).rows(rows)
    assert list(answers.problems) == [n_rows // 2]
    assert answers.problems[n_rows // 2][0] == reason
    assert words in answers.problems[n_rows // 2][1]
    expected: list[Any] = bits(MODEL, FRAME[:n_rows])
    expected[n_rows // 2] = None
    assert answers.dicts() == expected


def test_extra_names_are_passed_over_unless_they_are_refused() -> None:
    row = {**ROWS[0], "colour": "red"}
    assert Scorer(MODEL).rows([row]).dicts() == bits(MODEL, FRAME[:1])
    problems = Scorer(MODEL, is_strict=True).rows([row, ROWS[1]]).problems
    assert problems == {0: ("extra", "the model knows no column 'colour'" + problems[0][1].split("'colour'")[1])}


def test_missing_values_are_none_or_nan() -> None:
    row = {**ROWS[1], "real": None}
    frame = FRAME[1:2].assign(real=np.nan)
    assert Scorer(MODEL).rows([row, {**row, "real": math.nan}]).dicts() == bits(MODEL, frame) * 2


@pytest.mark.parametrize("n_rows", [3, 400], ids=["quick", "by columns"])
def test_levels_that_training_has_not_seen_are_answered_and_counted(n_rows: int) -> None:
    rows = [{**row, "city": "Mars"} if place < 2 else row for place, row in enumerate(ROWS[:n_rows])]
    frame = FRAME[:n_rows].assign(city=[row["city"] for row in rows])
    answers = Scorer(MODEL).rows(rows)
    assert answers.unseen == MODEL.check(frame)
    assert answers.unseen["city"] == 2
    assert answers.dicts() == bits(MODEL, frame)


def test_a_fraction_is_a_level_that_whole_numbers_have_not_and_long_texts_are_not_remembered() -> None:
    # given levels that training has not seen: a fraction among whole numbers, and texts longer than is remembered
    rows = [{**ROWS[0], "code": 2.5}, *[{**ROWS[1], "city": letter * 300} for letter in "xyx"]]
    scorer = Scorer(MODEL)
    # when they are asked about on the quick and on the general way
    found, general = scorer.rows(rows), scorer._by_columns(rows)
    # then
    assert found.unseen == general.unseen == {"code": 1, "city": 3}
    assert found.dicts() == general.dicts()


def test_fractions_and_very_long_integers_stand_side_by_side() -> None:
    rows = [{**ROWS[0], "whole": 2.5}, {**ROWS[1], "whole": 2**60 + 1}, *ROWS[2:400]]
    answers = Scorer(MODELS["regression"])._by_columns(rows)
    assert not answers.problems
    assert answers.dicts()[:40] == [
        answer for row in rows[:40] for answer in Scorer(MODELS["regression"]).rows([row]).dicts()
    ]


def test_the_smallest_integer_is_a_number_whatever_stands_beside_it() -> None:
    row = {**ROWS[0], "real": -(2**63), "share": -(2**63)}
    scorer = Scorer(MODEL)
    expected = scorer.rows([{**row, "real": -(2.0**63), "share": -(2.0**63)}]).dicts()
    assert scorer.rows([row]).dicts() == scorer._by_columns([row]).dicts() == expected


def test_times_far_off_stand_beside_fractions() -> None:
    # given days that nanoseconds do not reach, as databases have them for "never", beside fractions of a second
    times = ["9999-12-31T00:00:00", "2020-01-01T00:00:00.5", "2020-01-01T00:00:00.123456789", "0001-01-01"]
    rows = [{**ROWS[place], "since": time} for place, time in enumerate(times)]
    scorer = Scorer(MODEL)
    # when they are answered together
    found = scorer.rows([*rows, ROWS[4]])
    # then each has the answer that it has alone
    assert not found.problems
    assert found.dicts() == [scorer.rows([row]).dicts()[0] for row in [*rows, ROWS[4]]]
    assert found.dicts()[4:] == bits(MODEL, FRAME[4:5])


def test_a_time_that_its_zone_moves_out_of_the_calendar_is_a_problem_of_its_own() -> None:
    reader = RowReader(Schema((Column("x", ColumnKind.DATETIME, "timestamp[us, tz=UTC]"),)))
    _, places, problems = reader.read([{"x": time} for time in ("2020-01-01T00:00:00Z", "9999-12-31T23:00:00-14:00")])
    assert (places, [problem[0] for problem in problems.values()]) == ([0], ["value"])


def test_rows_that_the_model_cannot_answer_are_found() -> None:
    # given an estimator that raises at one value, as a user's own may
    class Picky(type(MODELS["regression"].estimator)):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            if (X[:, 0] > 2.0).any():
                raise ZeroDivisionError("too high")
            return super().predict(X)

    picky = Picky()
    picky.__dict__.update(MODELS["regression"].estimator.__dict__)
    model = replace(MODELS["regression"], estimator=picky)
    poisoned = {**ROWS[3], "whole": 10**9}
    # when it stands among others
    answers = Scorer(model).rows([*ROWS[:3], poisoned, *ROWS[4:40], poisoned])
    # then only it has no answer
    assert answers.problems == dict.fromkeys((3, 40), ("model", "the model raised ZeroDivisionError: too high"))
    assert [answer is None for answer in answers.dicts()] == [place in (3, 40) for place in range(41)]


def test_infinite_values_of_a_table_are_problems_by_row_and_wrong_columns_an_error() -> None:
    table = pa.Table.from_pandas(FRAME[:5].assign(real=[1.0, math.inf, np.nan, 2.0, -math.inf]), preserve_index=False)
    answers = Scorer(MODEL).table(table)
    assert sorted(answers.problems) == [1, 4]
    assert answers.problems[1][0] == "value"
    assert answers.places.tolist() == [0, 2, 3]
    with pytest.raises(DataError, match="lacks city"):
        Scorer(MODEL).table(table.drop_columns(["city"]))
    with pytest.raises(DataError, match="holds text"):
        Scorer(MODEL).table(table.set_column(2, "real", pa.array(["a"] * 5)))
    with pytest.raises(DataError, match="stand twice"):
        Scorer(MODEL).table(table.append_column("city", table["city"]))


def test_no_rows_have_no_answers() -> None:
    for model in MODELS.values():
        assert Scorer(model).rows([]).dicts() == []
        assert Scorer(model).table(pa.Table.from_pandas(FRAME[:0], preserve_index=False)).arrow().num_rows == 0


def test_rows_of_the_source_are_joined_and_derived_as_in_training() -> None:
    # given a model whose "real" is derived, and whose "city" comes from a small table by a number
    cities = Join("cities", pa.table({"place": [1, 2]}), pa.table({"city": ["Oslo", "Rome"]}))
    columns = [c for c in MODEL.schema.dump() if c["name"] not in ("real", "city")]
    columns += [
        {"name": "half", "kind": "numeric", "type": "double"},
        {"name": "place", "kind": "numeric", "type": "int64"},
    ]
    card = {"source": {"derive": {"real": "half * 2"}, "columns": columns}}
    model = replace(MODEL, card=card, joins=(cities,))
    rows = [{**row, "half": 0.25, "place": 1 + number % 2} for number, row in enumerate(ROWS[:20])]
    rows = [{name: value for name, value in row.items() if name not in ("real", "city")} for row in rows]
    # when
    scorer = Scorer(model)
    found = scorer.rows(rows)
    # then a row needs the source's columns, and is answered as its derived ones say
    assert scorer.columns.names == Schema.load(columns).names
    frame = FRAME[:20].assign(real=0.5, city=["Oslo" if number % 2 == 0 else "Rome" for number in range(20)])
    assert found.dicts() == bits(MODEL, frame)
    # and a key that the join refuses is that row's problem
    rows[4] = {**rows[4], "place": None}
    assert list(scorer.rows(rows).problems) == [4]
    assert scorer.rows(rows).problems[4][0] == "value"
