"""New columns: interactions and users' functions, row by row, before any chain."""

from __future__ import annotations

import datetime
import itertools
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PolynomialFeatures

from daskflow.core.errors import DataError, SettingsError
from daskflow.core.settings import parse
from daskflow.data.arrays import levels
from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess import functions as functions_of
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.interactions import crossed
from daskflow.preprocess.preparation import Preparation
from daskflow.preprocess.settings import Preprocessing
from tests import row_functions

TABLE = pa.table(
    {
        "x": [1.5, None, -2.0, 4.0],
        "size": pa.array([1, 2, None, 4], pa.int32()),
        "city": pa.array(["ulm", "rom", None, "ulm"]).dictionary_encode(),
        "new": [True, False, None, True],
        "when": pa.array([datetime.datetime(2020, 1, 2, 3), None, datetime.datetime(1969, 1, 1), None]),
    }
)
FEATURES = Schema.of(TABLE.schema)
RATIO = {"function": "tests.row_functions:ratio", "columns": ["x", "size"], "outputs": {"ratio": "float64"}}


def prepared(table: pa.Table = TABLE, **new: Any) -> pa.Table:
    """A table with new columns."""
    return Preprocessing(**new).preparation(Schema.of(table.schema)).checked(table)


def fit(table: pa.Table, chosen: Preprocessing) -> FittedPreprocessor:
    """Fit on all rows."""
    schema = Schema.of(table.schema)
    made = chosen.preparation(schema).checked(table)
    statistics = Statistics.of(made, np.zeros(table.num_rows, dtype=np.uint8), chosen.needs(schema))
    return chosen.fit(schema, statistics.only([0]))


def problems(**new: Any) -> dict[str, str]:
    """What is wrong, by place."""
    with pytest.raises(SettingsError) as caught:
        parse(Preprocessing, new, "preprocess").check(FEATURES)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_numbers_and_truths_are_multiplied_and_missing_where_one_is() -> None:
    found = prepared(interactions=[["x", "size"], ["size", "new"], ["x", "size", "new"]])
    assert found.column("x:size").to_pylist() == [1.5, None, None, 16.0]
    assert found.column("size:new").to_pylist() == [1.0, 0.0, None, 4.0]
    assert found.column("x:size:new").to_pylist() == [1.5, None, None, 16.0]


def test_categories_are_crossed_and_integers_and_truths_beside_them_taken_as_categories() -> None:
    found = prepared(interactions=[["city", "new"], ["size", "city"], {"columns": ["size", "new"], "cross": True}])
    assert found.column("city:new").to_pylist() == ["ulm×True", "rom×False", None, "ulm×True"]
    assert found.column("size:city").to_pylist() == ["1×ulm", "2×rom", None, "4×ulm"]
    assert found.column("size:new").to_pylist() == ["1×True", "2×False", None, "4×True"]


def test_a_degree_gives_every_product_that_scikit_learn_gives() -> None:
    numbers = np.random.default_rng(0).normal(size=(20, 3))
    table = pa.table({name: numbers[:, place] for place, name in enumerate("abc")})
    found = prepared(table, interactions=[{"columns": ["a", "b", "c"], "degree": 3}])
    expected = PolynomialFeatures(degree=3, include_bias=False).fit(numbers)
    names = [name.replace(" ", ":") for name in expected.get_feature_names_out(["a", "b", "c"])]
    assert found.column_names == names
    assert found.to_pandas().to_numpy() == pytest.approx(expected.transform(numbers), rel=1e-12)


def test_interactions_that_make_no_sense_are_refused_with_the_remedy() -> None:
    found = problems(interactions=[["x", "city"], ["x", "when"], ["x", "sise"], {"columns": ["city"], "degree": 2}])
    assert "'x' is double and stands beside categories" in found["preprocess.interactions.0"]
    assert "'when' holds dates" in found["preprocess.interactions.1"]
    assert found["preprocess.interactions.2"] == "there is no feature 'sise'; did you mean 'size'?"
    assert "a degree needs numbers" in found["preprocess.interactions.3"]
    assert "at least two different columns" in next(iter(problems(interactions=[["x"]]).values()))
    assert "at least two different columns" in next(iter(problems(interactions=[["x", "x"]]).values()))
    assert "already" in problems(interactions=[["x", "size"], ["x", "size"]])["preprocess.interactions.1"]


def test_an_infinite_factor_is_not_lost_in_a_missing_product() -> None:
    table = pa.table({"x": [np.inf, 1e200], "y": [0.0, 1e200], "z": [1.0, 2.0]})
    assert prepared(table, interactions=[["x", "y"]]).column("x:y").to_pylist() == [np.inf, np.inf]
    with pytest.raises(DataError, match=r"Infinite values in 'x:y' \(2\)"):
        fit(table, Preprocessing(interactions=[["x", "y"]], columns={"x": "drop"}))


LEVELS = st.one_of(st.none(), st.text("a×\\", max_size=3))


@given(st.lists(st.tuples(LEVELS, LEVELS, LEVELS), min_size=1, max_size=30))
def test_different_levels_never_cross_to_the_same(rows: list[tuple[str | None, ...]]) -> None:
    columns = [levels(pa.array(column, pa.string())) for column in zip(*rows, strict=True)]
    found = crossed(columns).to_pylist()
    whole = {row: text for row, text in zip(rows, found, strict=True) if None not in row}
    assert len(set(whole.values())) == len(whole)
    assert all(text is None for row, text in zip(rows, found, strict=True) if None in row)


def test_a_function_gets_the_original_values_in_the_types_of_to_dask() -> None:
    outputs = dict.fromkeys(TABLE.column_names, "string")
    function = functions_of.Function(function=row_functions.dtypes, columns=TABLE.column_names, outputs=outputs)
    found = {name: array[0].as_py() for name, array in function.apply(TABLE).items()}
    assert found == {"x": "float64", "size": "Int64", "city": "str", "new": "boolean", "when": "datetime64[us]"}


def test_outputs_of_every_type_get_the_chain_of_their_kind() -> None:
    outputs = {"whole": "int64", "truth": "bool", "text": "string", "day": "datetime64[us]"}
    function = {"function": row_functions.many, "columns": ["x", "size", "city", "when"], "outputs": outputs}
    found = prepared(functions=[function])
    assert found.select(list(outputs)).to_pydict() == {
        "whole": [2, 4, None, 8],
        "truth": [True, False, False, True],
        "text": ["ulm!", "rom!", "?!", "ulm!"],
        "day": [datetime.datetime(2020, 1, 2), None, datetime.datetime(1969, 1, 1), None],
    }
    fitted = fit(TABLE, Preprocessing(functions=[function], columns=dict.fromkeys(TABLE.column_names, "drop")))
    assert {"whole", "truth", "text_rom!", "text_ulm!"} <= set(fitted.feature_names)


def test_functions_may_use_those_before_them_and_interactions_may_use_functions() -> None:
    twice = {"function": row_functions.many, "columns": ["x", "size", "city", "when"], "outputs": {"whole": "int64"}}
    with pytest.raises(DataError, match=r"should return the columns whole .found whole, truth, text, day"):
        prepared(functions=[twice])
    found = prepared(functions=[RATIO], interactions=[["ratio", "x"]])
    assert found.column("ratio:x").to_pylist() == [pytest.approx(1.5 * 7.5), None, None, pytest.approx(4 * 8.0)]


@pytest.mark.parametrize("name", ["centred", "previous", "dice"])
def test_a_function_that_looks_at_other_rows_is_refused_by_its_name(name: str) -> None:
    table = pa.table({"x": np.arange(500.0)})
    function = {"function": f"tests.row_functions:{name}", "columns": ["x"], "outputs": {"out": "float64"}}
    with pytest.raises(DataError, match=rf"Function tests.row_functions:{name} is not row-wise.*another 'out'"):
        prepared(table, functions=[function])


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("shorter", {"out": "float64"}, "got 4 rows and gave 3.*Leave reset_index, dropna and sort_values out"),
        ("renumbered", {"out": "float64"}, "got 4 rows and gave 4 with another index"),
        ("failing", {"out": "float64"}, "failed on 4 rows: KeyError: 'nothing'"),
        ("scalar", {"out": "float64"}, "should return a DataFrame with out or a Series .found float"),
        ("ratio", {"rate": "float64"}, "should return the columns rate .found ratio"),
        ("ratio", {"ratio": "int64"}, "output 'ratio' is float64, and outputs says int64"),
        ("ratio", {"ratio": "string"}, "output 'ratio' is float64, and outputs says string.*astype"),
    ],
)
def test_a_function_that_does_not_keep_its_word_is_refused(name: str, outputs: dict[str, str], message: str) -> None:
    function = {"function": f"tests.row_functions:{name}", "columns": ["x", "size"], "outputs": outputs}
    with pytest.raises(DataError, match=rf"(?i)function tests.row_functions:{name}.*{message}"):
        prepared(functions=[function])


def test_what_cannot_be_stored_or_sent_is_refused_with_a_sentence() -> None:
    def inner(rows: pd.DataFrame) -> pd.DataFrame:
        return rows

    new = {"columns": ["x"], "outputs": {"out": "float64"}}
    for function, message in [
        (lambda rows: rows, "is a lambda, so it cannot be stored with the model or sent to a worker"),
        (inner, "is made inside another function or class"),
        (np.log1p, "should be a function"),
        ("no path", "should read 'package.module:name'"),
        (3, "should be a function"),
    ]:
        found = problems(functions=[{"function": function, **new}])
        assert message in found["preprocess.functions.0.function"]
    missing = problems(functions=[{"function": "tests.row_functions:rato", **new}, {"function": "no.such:f", **new}])
    assert "did you mean 'ratio'" in missing["preprocess.functions.0.function"]
    assert "cannot be imported here" in missing["preprocess.functions.1.function"]
    assert "no type that is known; did you mean 'float64'" in next(
        iter(problems(functions=[{**RATIO, "outputs": {"ratio": "flaot64"}}]).values())
    )


def test_new_columns_never_take_a_name_that_the_table_has() -> None:
    found = problems(functions=[{**RATIO, "outputs": {"city": "float64"}}])
    assert "there is a column 'city' already" in found["preprocess.functions.0.outputs"]
    with pytest.raises(SettingsError, match="names of the table's own: 'ratio'"):
        Preprocessing(functions=[RATIO]).check(FEATURES, beside=["ratio", "target"])
    with pytest.raises(DataError, match="one of that name"):
        Preprocessing(functions=[RATIO]).preparation(FEATURES).apply(TABLE.append_column("ratio", TABLE.column("x")))


def test_the_identity_changes_with_the_source_of_a_function_and_of_what_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    body = (
        "FACTOR = {factor}\n\ndef _used(x):\n    return x * {inner}\n\n\n"
        "def f(rows):\n    return _used(rows['x']) * FACTOR\n"
    )
    seen = []
    for number, (factor, inner, rest) in enumerate(
        [(1, 1, ""), (2, 1, ""), (1, 2, ""), (1, 1, "\n\ndef g():\n    pass\n")]
    ):
        (tmp_path / f"own{number}.py").write_text(body.format(factor=factor, inner=inner) + rest)
        functions_of.source_of.cache_clear()
        seen.append(functions_of.source_of(f"own{number}:f"))
    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[0]


def test_a_model_refuses_a_function_that_changed_since_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a preprocessing that was fitted with a function
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "own_ratio.py"
    path.write_text("def f(rows):\n    return rows['x'] * 2\n")
    function = {"function": "own_ratio:f", "columns": ["x"], "outputs": {"out": "float64"}}
    fitted = fit(TABLE, Preprocessing(functions=[function], columns={"x": "drop"}))
    dumped = json.dumps(fitted.dump())

    # when the function changes, and another process loads the preprocessing
    path.write_text("def f(rows):\n    return rows['x'] * 3\n")
    del sys.modules["own_ratio"]
    for cached in (functions_of.resolve, functions_of.source_of):
        cached.cache_clear()
    again = FittedPreprocessor.load(json.loads(dumped))

    # then it says so
    assert again.functions == ("own_ratio:f",)
    with pytest.raises(DataError, match="own_ratio:f is not the one of training: its source has changed"):
        again.matrix(TABLE)


def test_loading_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = fit(TABLE, Preprocessing(functions=[RATIO])).dump()
    values["preparation"]["functions"][0]["function"] = "antigravity:fly"
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    loaded = FittedPreprocessor.load(values)
    assert loaded.functions == ("antigravity:fly",)
    assert "antigravity" not in sys.modules


def test_a_preprocessing_with_new_columns_survives_json_and_pickle() -> None:
    chosen = Preprocessing(functions=[RATIO], interactions=[["x", "ratio"], ["city", "new"]])
    fitted = fit(TABLE, chosen)
    for again in (FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))), pickle.loads(pickle.dumps(fitted))):
        assert again == fitted
        assert again.token == fitted.token
        assert np.array_equal(again.matrix(TABLE), fitted.matrix(TABLE))
    assert parse(Preprocessing, json.loads(json.dumps(chosen.dump()))) == chosen


def test_only_the_functions_whose_columns_reach_the_matrix_are_carried() -> None:
    chosen = Preprocessing(functions=[RATIO], interactions=[["x", "size"]], columns={"ratio": "drop"})
    fitted = fit(TABLE, chosen)
    assert fitted.functions == ()
    assert [made.name for made in fitted.preparation.interactions] == ["x:size"]
    assert "ratio" not in fitted.preparation.new


def test_rows_prepared_once_are_not_prepared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Preprocessing(functions=[RATIO], interactions=[["x", "ratio"]])
    fitted = fit(TABLE, chosen)
    made = chosen.preparation(FEATURES).apply(TABLE)
    expected = fitted.matrix(TABLE)
    monkeypatch.setattr(functions_of.Function, "apply", lambda *_: pytest.fail("called again"))
    some = made.filter(pa.array([True, False, True, True]))
    assert np.array_equal(fitted.matrix(some), expected[[0, 2, 3]])


def test_later_rows_of_another_type_are_what_they_were_in_training_to_a_function() -> None:
    # given integers that come as floats, and a column without a value, as pandas has them
    label = {"function": row_functions.dtypes, "columns": ["size"], "outputs": {"size_type": "string"}}
    renamed = {**label, "outputs": {"size": "string"}}
    made = Preprocessing(functions=[{**renamed}], columns={}).functions[0]
    preparation = Preparation.of([functions_of.Function(**RATIO)], [], FEATURES)
    later = TABLE.set_column(1, "size", pa.array([1.0, 2.0, None, 4.0])).set_column(0, "x", pa.nulls(4))
    assert made.apply(preparation._read(later))["size"].to_pylist() == ["Int64"] * 4
    assert preparation.apply(later).column("ratio").null_count == 4


def test_missing_and_changed_columns_are_named_before_a_function_sees_them() -> None:
    fitted = fit(TABLE, Preprocessing(functions=[RATIO], columns={"x": "drop", "size": "drop"}))
    with pytest.raises(DataError, match="Column 'x' is missing"):
        fitted.matrix(TABLE.drop_columns(["x"]))
    with pytest.raises(DataError, match="Column 'size' is categorical"):
        fitted.matrix(TABLE.set_column(1, "size", pa.array(["1", "2", "3", "4"])))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4), st.randoms())
def test_new_columns_do_not_depend_on_how_rows_are_cut_or_ordered(cuts: list[int], random: Any) -> None:
    new: dict[str, Any] = {"functions": [RATIO], "interactions": [["x", "ratio"], ["city", "new"], ["size", "city"]]}
    preparation = Preprocessing(**new).preparation(FEATURES)
    rows = list(range(4))
    random.shuffle(rows)
    whole = preparation.apply(TABLE).take(pa.array(rows)).to_pylist()
    edges = [0, *sorted(cuts), 4]
    shuffled = TABLE.take(pa.array(rows))
    pieces = [preparation.checked(shuffled.slice(a, b - a)).to_pylist() for a, b in itertools.pairwise(edges)]
    assert [row for piece in pieces for row in piece] == whole
