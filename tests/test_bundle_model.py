"""A loaded model answers as the fitted one did, in the user's own labels, or says what is wrong with the frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier

from daskflow import bundle
from daskflow.bundle import Model
from daskflow.core.errors import DataError
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from tests.bundle_transformer import TRUSTED, PlainTransformer

SCHEMA = Schema(
    (
        Column("age", ColumnKind.NUMERIC, "int64"),
        Column("income", ColumnKind.NUMERIC, "double"),
        Column("city", ColumnKind.CATEGORICAL, "string"),
        Column("member", ColumnKind.BOOLEAN, "bool"),
        Column("since", ColumnKind.DATETIME, "timestamp[us]"),
    )
)


def frame_of(n_rows: int = 200) -> pd.DataFrame:
    """Rows in which all columns matter to the target."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": random.integers(18, 80, n_rows),
            "income": random.lognormal(0, 1, n_rows),
            "city": random.choice(["Oslo", "Rome", "Lima"], n_rows),
            "member": random.random(n_rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 1000, n_rows), "D"),
        },
        index=pd.Index(np.arange(n_rows) * 3 + 1, name="row"),
    )


def model_of(tmp_path: Path, classes: tuple[Any, ...] = ("no", "yes"), estimator: Any = None) -> Model:
    """A model that went through its folder."""
    frame = frame_of()
    transformer = PlainTransformer(["age", "income", "member", "since"], {"city": ["Lima", "Oslo", "Rome"]})
    matrix = transformer.matrix(pa.Table.from_pandas(frame, preserve_index=False))
    codes = (frame["age"].to_numpy() + 20 * (frame["city"] == "Oslo").to_numpy()) % max(len(classes), 1)
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(len(classes), Task.MULTICLASS)
    estimator = estimator or LogisticRegression(C=1e-4)
    estimator.fit(matrix, codes if classes else frame["age"].to_numpy(float))
    bundle.write(
        tmp_path / "model",
        estimator=estimator,
        transformer=transformer,
        schema=SCHEMA,
        target=Target("answer", task, classes, (1,) * len(classes)),
        card={"metrics": {"roc_auc": 0.5, "nothing": float("nan")}},
    )
    return bundle.load_model(tmp_path / "model", trusted=TRUSTED)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_of(tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        ((False, True), "bool"),
        ((1, 2, 7), "int64"),
        ((0.5, 1.5), "float64"),
        (("no", "yes"), "str"),
        (("yes", "no"), "str"),
    ],
)
def test_labels_come_back_as_the_users_own_values(tmp_path: Path, classes: tuple[Any, ...], dtype: str) -> None:
    model = model_of(tmp_path, classes)
    frame = frame_of()
    matrix = model.transformer.matrix(pa.Table.from_pandas(frame, preserve_index=False))
    expected = [classes[code] for code in model.estimator.predict(matrix)]

    labels = model.predict(frame)

    assert labels.dtype == dtype
    assert labels.tolist() == expected
    assert labels.name == "answer"
    assert labels.index.equals(frame.index)
    assert model.classes == classes
    assert model.predict_proba(frame).columns.tolist() == list(classes)


def test_probabilities_are_the_estimators_under_the_labels_and_the_index(model: Model) -> None:
    frame = frame_of()
    matrix = model.transformer.matrix(pa.Table.from_pandas(frame, preserve_index=False))

    given = model.predict_proba(frame)

    np.testing.assert_allclose(given.to_numpy(), model.estimator.predict_proba(matrix), rtol=1e-6)
    assert given.index.equals(frame.index)


def test_a_regression_gives_numbers_and_no_probabilities(tmp_path: Path) -> None:
    model = model_of(tmp_path, (), Ridge())
    assert model.predict(frame_of()).dtype == "float64"
    assert model.predict(frame_of(0)).dtype == "float64"
    with pytest.raises(DataError, match="there are no classes"):
        model.predict_proba(frame_of())


def test_an_estimator_without_probabilities_says_so(tmp_path: Path) -> None:
    model = model_of(tmp_path, estimator=SGDClassifier())
    assert set(model.predict(frame_of())) <= {"no", "yes"}
    with pytest.raises(DataError, match="SGDClassifier gives no probabilities"):
        model.predict_proba(frame_of())


def test_the_order_of_columns_and_further_columns_change_nothing(model: Model) -> None:
    frame = frame_of()
    other = frame[list(reversed(frame.columns))].assign(extra=["x"] * len(frame), answer="no")
    pd.testing.assert_frame_equal(model.predict_proba(other), model.predict_proba(frame))


def test_more_rows_than_fit_one_matrix_give_the_same(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict_proba(frame_of())
    monkeypatch.setattr("daskflow.bundle.model.ROWS_AT_ONCE", 17)
    pd.testing.assert_frame_equal(model.predict_proba(frame_of()), whole)


def test_every_missing_column_is_named(model: Model) -> None:
    with pytest.raises(DataError, match=r"lacks 2 of the 5 columns the model needs: age, city"):
        model.predict(frame_of().drop(columns=["age", "city"]))
    with pytest.raises(DataError, match=r"lacks 1 .* did you mean 'City'"):
        model.predict(frame_of().rename(columns={"city": "City"}))
    with pytest.raises(DataError, match="twice in the frame: age"):
        model.predict(pd.concat([frame_of(), frame_of()[["age"]]], axis=1))
    with pytest.raises(DataError, match="found ndarray"):
        model.predict(frame_of().to_numpy())


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("age", lambda s: s.astype(str), "'age' .* holds text, such as '.*'; the model learned numbers"),
        ("age", lambda s: s.astype(object).mask(s > 70, "old"), "'age' .* several types"),
        ("age", lambda s: s > 40, "'age' .* holds booleans"),
        ("income", lambda s: s.where(s < 5, np.inf), "'income' holds [0-9]+ infinite values"),
        ("city", lambda s: s.map({"Oslo": 1, "Rome": 2, "Lima": 3}), "'city' .* holds numbers, .* learned text"),
        ("member", lambda s: s.astype(int), "'member' .* holds numbers, .* learned booleans"),
        ("member", lambda s: s.astype(str), "'member' .* holds text"),
        ("since", lambda s: s.astype(str), "'since' .* holds text, .* pandas.to_datetime"),
        ("since", lambda s: s.dt.tz_localize("UTC"), "'since' has a time zone"),
        ("since", lambda s: s.dt.to_period("D"), "'since'"),
        ("age", lambda s: pd.to_timedelta(s, "D"), "'age' .* holds duration"),
        ("age", lambda s: s.map(lambda value: [value]), "'age' .* holds list"),
    ],
)
def test_values_of_another_kind_are_refused_and_not_coerced(model: Model, name: str, values: Any, said: str) -> None:
    frame = frame_of()
    with pytest.raises(DataError, match=said):
        model.predict(frame.assign(**{name: values(frame[name])}))


def test_all_wrong_columns_are_reported_at_once(model: Model) -> None:
    with pytest.raises(DataError, match=r"'age'.*'city'.*'since'"):
        model.predict(frame_of().assign(age="1", city=2, since="2020-01-01"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", lambda s: s.astype(float)),
        ("age", lambda s: s.astype("int8")),
        ("age", lambda s: s.astype("Int64")),
        ("age", lambda s: s.astype(object)),
        ("age", lambda s: s.astype("category")),
        ("age", lambda s: s.astype("int64[pyarrow]")),
        ("income", lambda s: s.astype("Float64")),
        ("city", lambda s: s.astype("category")),
        ("city", lambda s: s.astype(object)),
        ("city", lambda s: s.astype("string[pyarrow]")),
        ("member", lambda s: s.astype("boolean")),
        ("member", lambda s: s.astype(object)),
        ("since", lambda s: s.astype("datetime64[s]")),
        ("since", lambda s: s.astype("datetime64[ns]")),
        ("since", lambda s: s.dt.to_pydatetime()),
        ("since", lambda s: s.dt.date),
    ],
)
def test_the_same_values_in_another_dtype_give_the_same_answer(model: Model, name: str, values: Any) -> None:
    frame = frame_of()
    pd.testing.assert_frame_equal(
        model.predict_proba(frame.assign(**{name: values(frame[name])})), model.predict_proba(frame)
    )


def test_numbers_that_the_learned_type_cannot_hold_are_kept_as_they_are(tmp_path: Path) -> None:
    model = model_of(tmp_path, (), Ridge())
    frame = frame_of(3)
    rows = [model.predict(frame.assign(age=age)).iloc[0] for age in (30, 30.5, 31)]
    assert rows[1] == pytest.approx((rows[0] + rows[2]) / 2, rel=1e-6)
    assert rows[0] != rows[2]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_columns_without_a_single_value_are_missing_values(model: Model, missing: Any) -> None:
    frame = frame_of()
    empty = pd.DataFrame({name: [missing] * len(frame) for name in frame.columns}, index=frame.index)
    assert model.predict_proba(empty).notna().all(axis=None)
    assert model.check(empty) == {}


def test_an_empty_frame_gives_an_empty_answer_of_the_right_type(model: Model) -> None:
    for frame in (frame_of().iloc[:0], pd.DataFrame(columns=SCHEMA.names)):
        assert model.predict(frame).dtype == "str"
        assert len(model.predict(frame)) == 0
        assert model.predict_proba(frame).dtypes.tolist() == ["float64", "float64"]


def test_unseen_categories_are_counted_and_treated_as_the_encoder_says(model: Model) -> None:
    frame = frame_of()
    frame.loc[frame.index[:7], "city"] = "Quito"
    assert model.check(frame) == {"city": 7}
    assert model.check(frame.assign(city=frame["city"].astype("category"))) == {"city": 7}
    assert model.check(dd.from_pandas(frame, npartitions=3, sort=False)) == {"city": 7}
    assert model.check(frame_of()) == {}
    assert len(model.predict(frame)) == len(frame)


def test_dask_frames_give_lazily_what_pandas_frames_give(model: Model) -> None:
    frame = frame_of()
    lazy = dd.from_pandas(frame[list(reversed(frame.columns))].assign(extra=1), npartitions=4)

    labels, probabilities = model.predict(lazy), model.predict_proba(lazy)

    assert isinstance(labels, dd.Series)
    assert isinstance(probabilities, dd.DataFrame)
    assert labels.divisions == lazy.divisions
    assert labels._meta.dtype == "str"
    pd.testing.assert_series_equal(labels.compute(scheduler="sync"), model.predict(frame))
    pd.testing.assert_frame_equal(probabilities.compute(scheduler="sync"), model.predict_proba(frame))


def test_a_dask_frame_with_an_empty_partition_is_no_trouble(model: Model) -> None:
    frame = frame_of()
    lazy = dd.from_pandas(frame, npartitions=4)
    some = lazy[lazy["age"] > 60]
    few = dd.concat([some.partitions[0], lazy[lazy["age"] > 1000]])
    assert len(model.predict(few).compute(scheduler="sync")) == len(some.partitions[0])


def test_missing_columns_of_a_dask_frame_are_named_before_anything_computes(model: Model) -> None:
    with pytest.raises(DataError, match=r"lacks 1 .* age"):
        model.predict(dd.from_pandas(frame_of(), npartitions=2).drop(columns="age"))


@pytest.mark.slow
def test_a_cluster_gives_the_same(model: Model, client: Any) -> None:
    frame = frame_of()
    found = client.compute(model.predict_proba(dd.from_pandas(frame, npartitions=3))).result()
    pd.testing.assert_frame_equal(found, model.predict_proba(frame))


@pytest.mark.parametrize("type_", [pa.date32(), pa.list_(pa.date32())])
def test_a_day_that_pythons_calendar_lacks_is_refused_as_any_other(model: Model, type_: pa.DataType) -> None:
    # given: days of the year 0, which are no text
    days: Any = pa.array([-719_163] * 3, pa.int32()).view(pa.date32())
    if type_ != pa.date32():
        days = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), days)
    frame = frame_of(3).assign(city=pd.Series(pd.arrays.ArrowExtensionArray(days), index=frame_of(3).index))
    # then
    with pytest.raises(DataError, match=r"'city' .* holds (times, such as '0000-12-31'|list<.*the model learned)"):
        model.predict(frame)
