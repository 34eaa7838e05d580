"""Rows of numbers only are answered with all columns at once: the same bits, and the same words for what is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from daskflow.bundle import Model
from daskflow.bundle.rows import rows_of
from daskflow.bundle.side_by_side import FLOAT_BYTES, Packed
from daskflow.core.errors import DataError
from daskflow.data.schema import Schema, Target, Task
from daskflow.preprocess import Preprocessor
from daskflow.streams.scoring import Scorer

N_ROWS = 300


def training() -> pd.DataFrame:
    """Numbers of several types, some missing."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "real": random.normal(0, 3, N_ROWS),
            "whole": random.integers(-5, 10**7, N_ROWS),
            "small": random.integers(0, 20, N_ROWS).astype(np.int8),
            "single": random.normal(0, 3, N_ROWS).astype(np.float32),
            "other": random.normal(50, 9, N_ROWS),
        }
    )
    frame.loc[::9, "real"] = np.nan
    return frame


def model_of(frame: pd.DataFrame, *, n_classes: int = 2, **words: Any) -> Model:
    """A linear model of all columns."""
    schema = Schema.of(pa.Schema.from_pandas(frame, preserve_index=False))
    fitted = (
        Preprocessor(**{"numeric": ["impute", {"kind": "clip", "lower": -40.0}, "scale"], **words}).fit(frame).fitted_
    )
    matrix = fitted.matrix(rows_of(frame, schema))
    codes = frame["small" if "small" in frame else "real"].fillna(0).to_numpy().astype(int) % max(2, n_classes)
    estimator: Any = LogisticRegression(C=0.1) if n_classes else Ridge()
    estimator.fit(matrix, codes if n_classes else frame["other"])
    classes = tuple("abcdef"[:n_classes])
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(n_classes, Task.MULTICLASS)
    return Model(estimator, fitted, schema, Target("y", task, classes, (1,) * n_classes))


FRAME = training()
FLOATS = FRAME[["real", "other"]].assign(third=FRAME["other"] - FRAME["real"])
MODELS = {
    "binary": (model_of(FRAME), FRAME),
    "multiclass": (model_of(FRAME, n_classes=3), FRAME),
    "regression": (model_of(FRAME, n_classes=0), FRAME),
    "floats": (model_of(FLOATS), FLOATS),
    "two lanes": (model_of(FLOATS, columns={"other": [{"kind": "scale", "method": "minmax"}]}), FLOATS),
}


def table_of(frame: pd.DataFrame) -> pa.Table:
    """Columns in their own types; what is missing is null."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def columns_alone(scorer: Scorer, table: pa.Table) -> Any:
    """What is answered when columns are read one after the other."""
    other = Scorer(scorer.model)
    other._is_numbers = False
    return other.table(table)


@pytest.mark.parametrize("kind", MODELS)
def test_a_table_of_numbers_has_the_bits_of_columns_one_after_the_other(kind: str) -> None:
    model, frame = MODELS[kind]
    scorer = Scorer(model)
    whole = table_of(frame)
    with_nan = whole.set_column(0, "real", pa.array(frame["real"].to_numpy(), from_pandas=False))
    for name, table in {
        "as it is": whole,
        "one row": whole.slice(9, 1),
        "in pieces": pa.concat_tables([whole.slice(0, 7), whole.slice(7, 50)]),
        "nan for null": with_nan,
        "another order, and more": whole.select(whole.column_names[::-1]).append_column("city", [["Oslo"] * N_ROWS]),
    }.items():
        # given that this way takes it
        assert scorer._of_numbers(table) is not None, name
        # then
        found, expected = scorer.table(table), columns_alone(scorer, table)
        assert found.dicts() == expected.dicts(), name
        assert found.arrow().equals(expected.arrow()), name


def test_numbers_that_need_a_closer_look_are_answered_as_ever() -> None:
    model, frame = MODELS["binary"]
    scorer = Scorer(model)
    table = table_of(frame.iloc[:5])
    other_type = table.set_column(0, "real", table["real"].cast(pa.float32()))
    infinite = table.set_column(0, "real", pa.array([1.0, math.inf, None, -math.inf, 2.0]))
    huge = table.set_column(1, "whole", pa.array([1, 2**62 + 1, -(2**63), None, 2**53 + 1]))
    beyond = table.set_column(4, "other", pa.array([1.0, 1e300, -1e300, None, 2.0]))  # clipped on one side only
    for given in (other_type, infinite, huge, beyond, table.slice(0, 0)):
        assert scorer._of_numbers(given) is None
        found, expected = scorer.table(given), columns_alone(scorer, given)
        assert found.dicts() == expected.dicts()
        assert found.problems == expected.problems
    assert set(scorer.table(infinite).problems) == {1, 3}
    # and what is no table of these columns is refused with the same words
    twice = pa.table([*table.columns, table["real"]], names=[*table.column_names, "real"])
    text = table.set_column(0, "real", pa.array(["a"] * 5))
    for given in (table.drop_columns(["whole"]), twice, text):
        with pytest.raises(DataError) as said:
            columns_alone(scorer, given)
        with pytest.raises(DataError) as told:
            scorer.table(given)
        assert str(told.value) == str(said.value)


def test_a_model_that_looks_for_levels_or_at_more_than_numbers_takes_no_part() -> None:
    assert not Scorer(model_of(FRAME, columns={"small": ["onehot"]}))._is_numbers
    assert not Scorer(model_of(FRAME.assign(flag=FRAME["real"] > 0)))._is_numbers


ROWS = [{name: None if value != value else value for name, value in row.items()} for row in FRAME.to_dict("records")]


def packed(scorer: Scorer, rows: list[Any]) -> Packed:
    """Rows of a request."""
    found = scorer.packer()(rows)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_requests_that_are_packed_have_the_same_bits(kind: str) -> None:
    model, _ = MODELS[kind]
    scorer = Scorer(model)
    expected = scorer._by_columns(ROWS).dicts()
    mixed = [dict(reversed(row.items())) if place % 3 else {**row, "x": "y"} for place, row in enumerate(ROWS)]
    floats = [{name: value if value is None else float(value) for name, value in row.items()} for row in ROWS]
    for rows in (ROWS, mixed, floats):
        parts = [packed(scorer, rows[at : at + 1 + at % 3]) for at in range(0, N_ROWS, 3)]
        places = [at + more for at in range(0, N_ROWS, 3) for more in range(1 + at % 3)]
        answers = scorer.packed(parts)
        assert answers is not None
        assert answers.dicts() == [expected[place] for place in places]


@pytest.mark.parametrize("value", [True, False, "7", "x" * 4, [1.0], {}, (), b"abcd", 2**40, -(2**63), 10**400, 2**63])
def test_what_is_no_float_is_never_taken_for_one(value: Any) -> None:
    # given a value in the place of a number, alone and with others that make it fit into a number's bytes
    scorer = Scorer(MODELS["floats"][0])
    for others in (1.0, 1, 2**50, None, "xyz", "abcdefgh"):
        rows = [{"real": value, "other": 5.0, "third": others}]
        expected = scorer._by_columns(rows)
        found = scorer.packer()(rows)
        answers = (
            None if found is None else scorer.packed([found, packed(scorer, [{**rows[0], "real": 1.0, "third": 2.0}])])
        )
        # then it is not read here, or as the general way reads it
        if answers is not None:
            assert answers.dicts()[:1] == expected.dicts()
        assert scorer.rows(rows).dicts() == expected.dicts()
        assert scorer.rows(rows).problems == expected.problems


def test_bytes_that_happen_to_fit_are_found_in_the_batch() -> None:
    # given a whole number and a longer one, which take two floats' bytes together
    scorer = Scorer(MODELS["floats"][0])
    rows = [{"real": 7, "other": 2**50, "third": 1.0}]
    found = packed(scorer, rows)
    assert len(found.data) == 3 * FLOAT_BYTES
    # then the batch is read again, by rows
    assert scorer.packed([found]) is None
    assert scorer.rows(rows).dicts() == scorer._by_columns(rows).dicts()


def test_a_column_of_which_nothing_is_made_is_looked_at_in_whatever_order_names_come() -> None:
    # given a model that leaves out a column of one value, and requests with their names in two orders
    scorer = Scorer(model_of(FLOATS.assign(idle=1.0)))
    rows = [{"idle": 1.0, "real": 2.0, "other": 5.0, "third": 3.0}, {"other": 4.0, "third": 1.0, "real": 7.0}]
    expected = scorer._by_columns([rows[0], {**rows[1], "idle": 1.0}]).dicts()
    for idle in (1.0, "abcd"):  # this text has as many bytes as a number
        parts = [packed(scorer, [rows[0]]), packed(scorer, [{**rows[1], "idle": idle}])]
        for part in (parts, parts[::-1]):
            # when
            answers = scorer.packed(part)
            # then a number is answered, and what is none never
            told = None if answers is None else answers.dicts()
            assert told == (None if idle == "abcd" else expected if part is parts else expected[::-1])


def test_rows_that_are_none_or_empty_are_not_packed() -> None:
    scorer = Scorer(MODELS["floats"][0])
    pack = scorer.packer()
    packed(scorer, [{"real": 1.0, "other": 2.0, "third": 3.0}])
    for rows in ([], [{}], [["real", "other", "third"]], [3], [None], [{"real": 1.0}], [{"real": 1.0}] * 257):
        assert pack(rows) is None, rows
    assert Scorer(MODELS["floats"][0], is_strict=True).packer()([{"real": 1.0, "other": 2.0, "third": 3.0}]) is None
