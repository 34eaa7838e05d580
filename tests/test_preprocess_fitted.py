"""The fitted preprocessing on tables: columns by name, clear errors, dense and sparse alike."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing


def fit(table: pa.Table, settings: Preprocessing | None = None, **options: Any) -> FittedPreprocessor:
    """Fit on all rows of a table."""
    settings = settings or Preprocessing()
    schema = Schema.of(table.schema)
    statistics = Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), settings.needs(schema))
    return settings.fit(schema, statistics.only([0]), **options)


TABLE = pa.table(
    {
        "age": [20.0, None, 40.0, 60.0],
        "city": ["Bonn", "Oslo", "Bonn", None],
        "member": [True, False, None, True],
        "since": pa.array(["2020-01-05", "2021-06-01", None, "1969-12-31"]).cast(pa.timestamp("us")),
    }
)


def test_the_matrix_is_float32_rows_together_and_named() -> None:
    fitted = fit(TABLE)
    matrix = fitted.matrix(TABLE)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.shape == (4, len(fitted.feature_names))
    assert fitted.feature_names[:5] == ("age", "city_Bonn", "city_Oslo", "city_(missing)", "member")


def test_centring_happens_before_the_digits_of_float32_are_lost() -> None:
    values = 1e9 + np.arange(100.0)
    fitted = fit(pa.table({"x": values}))
    expected = (values - values.mean()) / values.std()
    assert fitted.matrix(pa.table({"x": values}))[:, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_columns_may_stand_in_any_order_among_others_and_in_other_chunks() -> None:
    fitted = fit(TABLE)
    shuffled = TABLE.select(["since", "member", "city", "age"]).append_column("more", pa.array([1, 2, 3, 4]))
    pieces = pa.concat_tables([shuffled.slice(0, 1), shuffled.slice(1, 0), shuffled.slice(1)])
    encoded = pieces.set_column(2, "city", pieces["city"].dictionary_encode())
    for table in (shuffled, pieces, encoded):
        assert np.array_equal(fitted.matrix(table), fitted.matrix(TABLE))


def test_rows_give_the_same_numbers_alone_and_together() -> None:
    fitted = fit(TABLE)
    alone = np.concatenate([fitted.matrix(TABLE.slice(row, 1)) for row in range(4)])
    assert np.array_equal(alone, fitted.matrix(TABLE))
    assert fitted.matrix(TABLE.slice(0, 0)).shape == (0, len(fitted.feature_names))


def test_missing_columns_and_wrong_types_are_named_all_at_once() -> None:
    wrong = pa.table({"agee": [1.0], "city": [3], "member": ["yes"], "since": pa.array([0], pa.timestamp("us", "UTC"))})
    with pytest.raises(DataError) as caught:
        fit(TABLE).matrix(wrong)
    assert str(caught.value).splitlines() == [
        "Column 'age' is missing; did you mean 'agee'?",
        "Column 'city' is numeric (int64); in training it was categorical (string). Convert it.",
        "Column 'member' is categorical (string); in training it was boolean (bool). Convert it.",
        "Column 'since' has time zone UTC; in training it had none. Convert it, so that hours mean the same.",
    ]


def test_columns_that_were_left_out_are_not_asked_for() -> None:
    table = pa.table({"x": [1.0, 2.0], "same": [3, 3]})
    assert fit(table).matrix(table.select(["x"])).shape == (2, 1)


def test_infinite_values_in_new_rows_are_refused_with_their_count() -> None:
    fitted = fit(TABLE)
    broken = TABLE.set_column(0, "age", pa.array([math.inf, 1.0, None, -math.inf]))
    with pytest.raises(DataError, match=r"Infinite values in 'age' \(2\)"):
        fitted.matrix(broken)


def test_numbers_that_float32_does_not_hold_are_refused() -> None:
    table = pa.table({"x": [1e200, 2e200, None]})
    with pytest.raises(DataError, match=r"'x' has values up to 2e\+200, which float32 does not hold"):
        fit(table, Preprocessing(numeric=["passthrough"])).matrix(table)


def test_sparse_and_dense_matrices_are_the_same_numbers() -> None:
    table = pa.table({"x": [1.0, 2.0, None, 2.0], "w": ["a", "b", None, "c"], "v": ["p", "q", "q", "p"]})
    settings = Preprocessing(categorical=[{"kind": "onehot", "drop": "first"}], numeric=["passthrough"])
    dense, thin = fit(table, settings, sparse=False), fit(table, settings, sparse=True)
    found = thin.matrix(table)
    assert isinstance(found, sparse.csr_matrix)
    assert (thin.is_sparse, dense.is_sparse, found.dtype) == (True, False, np.float32)
    assert found.has_canonical_format
    assert np.array_equal(found.toarray(), dense.matrix(table), equal_nan=True)
    unknown = pa.table({"x": [0.0], "w": ["new"], "v": ["p"]})
    assert thin.matrix(unknown).nnz == 0
    assert thin.token != dense.token


def test_auto_is_sparse_only_where_many_columns_are_mostly_indicators() -> None:
    words = pa.table({"w": [str(n) for n in range(300)], "x": range(300)})
    assert fit(words).is_sparse
    assert not fit(words.slice(0, 200)).is_sparse
    numbers = pa.table({f"x{n}": [0.0, float(n + 1)] for n in range(300)})
    assert not fit(numbers).is_sparse


def test_hostile_names_are_columns_like_others() -> None:
    names = ["", " ", "a.b", "a b\n", "日本", "__content", "a_b", "a", "x" * 500, "'; drop table", "{0}", "%s"]
    levels = pa.array(["b", "c", None])
    table = pa.table({name: levels if name == "a" else [1.0, 2.0, float(n)] for n, name in enumerate(names)})
    fitted = fit(table)
    assert len(set(fitted.feature_names)) == len(fitted.feature_names)
    assert "a_b" in fitted.feature_names
    assert "a_b#2" in fitted.feature_names
    again = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump())))
    assert np.array_equal(again.matrix(table), fitted.matrix(table))


def test_what_is_dumped_is_the_whole_preprocessing_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=50) / 3, "w": random.integers(0, 9, 50).astype(str)})
    table = pa.Table.from_pandas(frame)
    fitted = fit(table)
    again = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump(), allow_nan=False)))
    assert again.token == fitted.token
    assert again.feature_names == fitted.feature_names
    assert np.array_equal(again.matrix(table), fitted.matrix(table))
    other = fit(table.slice(1))
    assert other.token != fitted.token


def test_each_fold_is_fitted_on_its_own_rows() -> None:
    random = np.random.default_rng(1)
    values, segments = random.normal(size=90), np.repeat([0, 1, 2], 30).astype(np.uint8)
    table, settings = pa.table({"x": values}), Preprocessing()
    statistics = Statistics.of(table, segments, settings.needs(Schema.of(table.schema)))
    for fold in range(3):
        train = [segment for segment in range(3) if segment != fold]
        fitted = settings.fit(Schema.of(table.schema), statistics.only(train))
        matrix = fitted.matrix(table)[segments != fold, 0].astype(float)
        assert matrix.mean() == pytest.approx(0, abs=1e-6)
        assert matrix.std() == pytest.approx(1, rel=1e-6)
