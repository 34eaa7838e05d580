"""The [preprocess] table: what may be said, what is wrong with what was said, and what is counted for it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from daskflow.core.errors import DataError, SettingsError
from daskflow.core.settings import parse
from daskflow.data.hashing import row_hashes
from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.data.tallies import Rows, TargetRows, parts_of
from daskflow.preprocess import REGISTRY
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from daskflow.preprocess.steps import FORMS, Form

TABLE = pa.table(
    {
        "age": [20.0, None, 40.0, 60.0],
        "city": ["Bonn", "Oslo", "Bonn", None],
        "member": [True, False, None, True],
        "since": pa.array(["2020-01-05", "2021-06-01", None, "1969-12-31"]).cast(pa.date32()),
    }
)
SCHEMA = Schema.of(TABLE.schema)


def fit(table: pa.Table, settings: Preprocessing | None = None, **options: Any) -> FittedPreprocessor:
    """Fit on all rows of a table; the target is whether a row stands at an even place."""
    settings = settings or Preprocessing()
    schema = Schema.of(table.schema)
    codes = np.arange(table.num_rows) % 2
    content = row_hashes(table, table.column_names)
    rows = Rows(content, parts_of(content), TargetRows(codes.astype(np.float64), codes, (0, 1)))
    segments = np.zeros(table.num_rows, dtype=np.uint8)
    statistics = Statistics.of(settings.preparation(schema).checked(table), segments, settings.needs(schema), rows)
    return settings.fit(schema, statistics.only([0]), **options)


def problems_of(**settings: Any) -> dict[str, str]:
    """What is wrong with settings, by place."""
    with pytest.raises(SettingsError) as caught:
        parse(Preprocessing, settings, "preprocess").check(SCHEMA)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = Preprocessing()
    assert [step.kind for step in settings.numeric] == ["impute", "scale"]
    assert [step.kind for step in settings.categorical] == ["rare", "onehot"]
    assert settings.categorical[0].dump()["min_frequency"] == 0.001
    assert [step.kind for step in settings.datetime] == ["dates"]
    assert [step.kind for step in settings.chains(SCHEMA)["member"]] == ["impute", "scale"]


def test_settings_survive_being_dumped_and_read() -> None:
    settings = Preprocessing(numeric="passthrough", columns={"city": ["rare", {"kind": "ordinal", "missing": "nan"}]})
    again = parse(Preprocessing, settings.dump())
    assert again == settings
    assert again.dump() == settings.dump()


def test_every_mistake_is_reported_at_once_and_placed() -> None:
    found = problems_of(
        numeric=["imputte", {"kind": "scale", "with_meen": True}],
        columns={"city": [{"kind": "onehot", "drop": "last"}], "age": 3},
    )
    assert found["preprocess.numeric.0"] == "no such step: 'imputte'; did you mean 'impute'?"
    assert found["preprocess.numeric.1.with_meen"] == "no such option; did you mean 'with_mean'?"
    assert "first" in found["preprocess.columns.city.0.drop"]
    assert "list of steps" in found["preprocess.columns.age"]


def test_chains_that_do_not_fit_their_kind_are_refused_with_the_remedy() -> None:
    found = problems_of(
        numeric=["scale", "onehot"], categorical=["rare"], datetime=["passthrough"], boolean=["onehot", "scale"]
    )
    assert found == {
        "preprocess.numeric": "'onehot' takes numbers or strings, and gets scaled or coded numbers after 'scale'",
        "preprocess.categorical": "strings are left as they are, which no model can use. End the chain with 'onehot' "
        "or 'ordinal', or leave the columns out with 'drop'",
        "preprocess.datetime": "dates are left as they are, which no model can use. End the chain with 'dates', or "
        "leave the columns out with 'drop'",
        "preprocess.boolean": "'scale' stands after 'onehot', whose columns are finished; put it before, or leave it "
        "out",
    }


def test_chains_of_columns_are_checked_against_the_schema() -> None:
    found = problems_of(
        columns={
            "citty": ["onehot"],
            "age": ["dates"],
            "city": [{"kind": "impute", "strategy": "median"}, "onehot"],
            "member": [{"kind": "impute", "strategy": "constant", "value": "yes"}],
        }
    )
    assert found == {
        "preprocess.columns.citty": "there is no such feature; did you mean 'city'?",
        "preprocess.columns.age": "'dates' takes dates, and gets numbers",
        "preprocess.columns.city": "'impute' on column 'city': strings have no median; use strategy = 'most_frequent', "
        "or 'constant' with a value",
        "preprocess.columns.member": "'impute' on column 'member': value should be a number, as the column's values "
        "are (found 'yes')",
    }


def test_a_constant_needs_its_value_and_a_value_its_constant() -> None:
    for options in ({"strategy": "constant"}, {"value": 3}):
        found = problems_of(numeric=[{"kind": "impute", **options}])
        assert "go together" in found["preprocess.numeric.0"]


def test_only_what_the_chains_ask_is_counted() -> None:
    settings = Preprocessing(
        numeric=[{"kind": "impute", "strategy": "median"}], columns={"city": ["ordinal", "impute", "scale"]}
    )
    assert settings.needs(SCHEMA) == {
        "age": {"moments", "quantiles"},
        "city": {"levels"},
        "member": {"moments", "quantiles"},
        "since": {"moments"},
    }


def test_chains_are_told_in_words_for_the_kinds_that_occur() -> None:
    settings = Preprocessing(columns={"age": []})
    assert settings.describe(SCHEMA.without(["since"])) == {
        "boolean": "impute, scale",
        "categorical": "rare (min_frequency 0.001), onehot",
        "age": "as they are",
    }


def test_columns_that_say_nothing_are_left_out_with_a_sentence() -> None:
    table = pa.table(
        {
            "x": [1.0, 2.0, 3.0],
            "same": [7, 7, 7],
            "word": ["a", "a", "a"],
            "flag": [True, True, True],
            "day": pa.array(["2020-01-05"] * 3).cast(pa.date32()),
            "void": pa.array([None] * 3, pa.float64()),
            "null": pa.nulls(3),
            "half": [4.0, None, 4.0],
            "many": ["a", "b", "c"],
        }
    )
    settings = Preprocessing(columns={"many": [{"kind": "rare", "min_count": 2}, "onehot"]})
    found = fit(table, settings)
    assert found.feature_names == ("x",)
    assert found.warnings == (
        "Column 'same' is constant in the training rows (7); it is left out.",
        "Column 'word' is constant in the training rows ('a'); it is left out.",
        "Column 'flag' is constant in the training rows (True); it is left out.",
        "Column 'day' is constant in the training rows (one date); it is left out.",
        "Column 'void' has no value in the training rows; it is left out.",
        "Column 'null' has no value in the training rows; it is left out.",
        "Column 'half' is constant after 'impute', 'scale'; it is left out.",
        "Column 'many' is constant after 'rare', 'onehot' (each of its levels is rare); it is left out.",
    )


def test_a_column_that_is_constant_where_it_is_there_still_says_where_it_is_missing() -> None:
    table = pa.table({"half": [4.0, None, 4.0], "word": ["a", None, "a"]})
    found = fit(table, Preprocessing(numeric=[{"kind": "impute", "indicator": True}, "scale"]))
    assert found.feature_names == ("half_missing", "word_a", "word_(missing)")
    assert found.matrix(table).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_infinite_values_are_refused_with_their_counts() -> None:
    table = pa.table({"a": [1.0, np.inf, -np.inf], "b": [1.0, 2.0, 3.0], "c": [np.inf, 0.0, None]})
    with pytest.raises(DataError, match=r"Infinite values in 'a' \(2\), 'c' \(1\).*derive"):
        fit(table)


def test_a_table_without_a_usable_column_or_row_is_refused() -> None:
    with pytest.raises(DataError, match=r"No feature is left.*\n.*'a' is constant"):
        fit(pa.table({"a": [1, 1]}))
    with pytest.raises(DataError, match="no row"):
        fit(pa.table({"a": pa.array([], pa.int64())}))


def test_too_many_columns_or_levels_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = pa.table({"id": [f"{n:05}" for n in range(10_001)], "x": range(10_001)})
    with pytest.raises(DataError, match=r"'id' has 10,001 levels.*'rare'.*'ordinal'"):
        fit(ids, Preprocessing(categorical=["onehot"]))
    monkeypatch.setattr("daskflow.data.statistics.MOST_LEVELS", 100)
    with pytest.raises(DataError, match=r"'id' has more than .* levels.*'hash'.*'drop'"):
        fit(ids, Preprocessing(columns={"id": ["ordinal"]}))


def test_a_column_of_too_many_levels_is_hashed_when_nothing_was_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = pa.table({"id": [f"{n:05}" for n in range(1_000)], "x": range(1_000)})
    monkeypatch.setattr("daskflow.data.statistics.MOST_LEVELS", 100)
    found = fit(ids)
    assert [step.kind for step in found.columns[0].steps] == ["hash"]
    assert found.warnings == ("Column 'id' has more than 262,144 levels; it is hashed.",)
    assert found.matrix(ids).shape == (1_000, len(found.feature_names))


def test_numbers_too_large_for_their_squares_are_refused() -> None:
    with pytest.raises(DataError, match=r"'x' has values up to 1e\+200, too large"):
        fit(pa.table({"x": [1e200, -1e200, 0.0]}))


OPTIONS = {"impute": {"strategy": "most_frequent", "indicator": True}}
CLOSING = {Form.LEVELS: ["onehot"], Form.DATES: ["dates"]}


@pytest.mark.parametrize("kind", sorted(set(REGISTRY.kinds) - {"drop"}))
def test_every_step_reads_what_it_dumps_and_gives_the_same_matrix(kind: str) -> None:
    step = REGISTRY.get(kind)
    chosen = {"kind": kind, **OPTIONS.get(kind, {})}
    chains = {
        column.name: [chosen, *CLOSING.get(step().gives(FORMS[column.kind]), [])]
        for column in SCHEMA.columns
        if FORMS[column.kind] in step.takes and step().check(column, FORMS[column.kind]) is None
    }
    fitted = fit(TABLE, Preprocessing(columns=chains))
    again = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump())))
    assert chains
    assert again == fitted
    assert again.token == fitted.token
    one, other = again.matrix(TABLE), fitted.matrix(TABLE)
    assert np.array_equal(*(m.toarray() if sparse.issparse(m) else m for m in (one, other)), equal_nan=True)
