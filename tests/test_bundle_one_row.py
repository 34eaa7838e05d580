"""One row takes a short way to the answers and the errors of many rows; loading imports little."""

from __future__ import annotations

import datetime
import decimal
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from daskflow import bundle
from daskflow.bundle import Model
from daskflow.bundle.rows import rows_of
from daskflow.core.errors import DaskflowError, DataError
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from daskflow.preprocess import Preprocessor

SCHEMA = Schema(
    (
        Column("whole", ColumnKind.NUMERIC, "int64"),
        Column("small", ColumnKind.NUMERIC, "int8"),
        Column("real", ColumnKind.NUMERIC, "double"),
        Column("single", ColumnKind.NUMERIC, "float"),
        Column("code", ColumnKind.NUMERIC, "int64"),
        Column("share", ColumnKind.NUMERIC, "double"),
        Column("city", ColumnKind.CATEGORICAL, "string"),
        Column("street", ColumnKind.CATEGORICAL, "large_string"),
        Column("member", ColumnKind.BOOLEAN, "bool"),
        Column("since", ColumnKind.DATETIME, "timestamp[us]"),
        Column("unused", ColumnKind.CATEGORICAL, "string"),
        Column("void", ColumnKind.CATEGORICAL, "null"),
    )
)


def training(n_rows: int = 300) -> pd.DataFrame:
    """Rows of every kind of column, some missing."""
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "whole": random.integers(-5, 90, n_rows),
            "small": random.integers(0, 20, n_rows).astype(np.int8),
            "real": random.normal(0, 3, n_rows),
            "single": random.normal(0, 3, n_rows).astype(np.float32),
            "code": random.integers(1, 6, n_rows),
            "share": random.choice([0.5, 1.0, 2.5], n_rows),
            "city": random.choice(["Oslo", "Rome", "Lima", "Bonn"], n_rows, p=[0.5, 0.3, 0.15, 0.05]),
            "street": random.choice(["a", "b", "c"], n_rows),
            "member": random.random(n_rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 1000, n_rows), "D"),
            "unused": random.choice(["x", "y"], n_rows),
        }
    )
    frame.loc[::9, "real"] = np.nan
    frame.loc[::11, "city"] = None
    return frame.assign(void=pd.Series([None] * n_rows, dtype=object))


def model_of(classes: tuple[Any, ...] = ("no", "yes")) -> Model:
    """A model of every kind of column, with every step that takes the short way and some that do not."""
    preprocessor = Preprocessor(
        numeric=["impute", "scale"],
        columns={
            "single": [{"kind": "clip", "lower": -1.0}, {"kind": "scale", "method": "minmax"}],
            "code": ["onehot"],
            "share": [{"kind": "ordinal", "unknown": "nan"}, "impute"],
            "city": [{"kind": "rare", "min_frequency": 0.1}, "onehot"],
            "street": [{"kind": "impute", "strategy": "most_frequent"}, {"kind": "ordinal"}, "scale"],
            "small": [{"kind": "impute", "missing_values": [7]}, {"kind": "scale", "method": "minmax", "clip": True}],
            "unused": ["drop"],
        },
    )
    frame = training()
    preprocessor.fit(frame.drop(columns="void"))
    codes = (frame["whole"] + 30 * (frame["city"] == "Oslo")).to_numpy() % max(2, len(classes))
    matrix = preprocessor.fitted_.matrix(rows_of(frame, SCHEMA))
    estimator: Any = LogisticRegression(C=1e-2) if classes else Ridge()
    estimator.fit(matrix, codes if classes else frame["whole"])
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(len(classes), Task.MULTICLASS)
    return Model(estimator, preprocessor.fitted_, SCHEMA, Target("y", task, classes, (1,) * len(classes)))


MODEL = model_of()


def slowly(model: Model, frame: pd.DataFrame) -> Any:
    """The matrix of the general way."""
    return model.transformer.matrix(rows_of(frame, model.schema))


def outcome(function: Any, *arguments: Any) -> Any:
    """What a call gives, or the sentence it fails with."""
    try:
        return function(*arguments)
    except (DaskflowError, ValueError) as error:  # what scikit-learn says of nan is an answer, too
        return f"{type(error).__name__}: {error}"


def test_a_usual_row_takes_the_short_way_to_the_same_matrix() -> None:
    frame = training()
    for place in range(60):
        row = frame.iloc[[place]]
        found = MODEL._one_row.matrix(row)
        np.testing.assert_array_equal(found, slowly(MODEL, row))
        assert found.dtype == np.float32
        assert found.flags.c_contiguous


COMMON = [None, np.nan, pd.NA, pd.NaT, True, False, "Oslo", "Quito", "", "7", 7, -1, 0, 2**60, 2**53 + 1, -(2**62)]
ODD = [
    *[2**63, 2**64, 10**30, 0.5, 2.5, -0.0, 1e300, np.inf, -np.inf, 16777217, 3.0, np.float32(0.1), np.int8(3)],
    *[np.float64(0.25), np.bool_(True), np.datetime64("2020-01-05"), pd.Timestamp("2021-01-01"), b"x", 1j, [1], {}],
    *[pd.Timestamp("2021-01-01", tz="UTC"), datetime.date(2021, 1, 1), decimal.Decimal("1.5"), pd.Timedelta(1, "D")],
]
DTYPES = [
    *["object", "float64", "float32", "float16", "int64", "int8", "uint64", "bool", "Int64", "UInt8", "Float64"],
    *["boolean", "str", "string[pyarrow]", "category", "int64[pyarrow]", "double[pyarrow]", "bool[pyarrow]"],
    *["datetime64[us]", "datetime64[ns]", "date32[day][pyarrow]", "Sparse[float64]", "complex128", "period[D]"],
]


def column(value: Any, dtype: str, index: pd.Index[Any]) -> pd.Series[Any] | None:
    """A column of one value; None when pandas makes none of that type."""
    try:
        return pd.Series([value], index=index, dtype=dtype)  # type: ignore[call-overload,no-any-return]
    except Exception:  # it refuses in many ways
        return None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of making odd columns
def test_every_odd_value_of_every_type_gives_what_many_rows_give() -> None:
    base = training().iloc[[3]]
    checked = 0
    for name in SCHEMA.names:
        for value in (*COMMON, *ODD):
            for dtype in DTYPES if any(value is each for each in COMMON) else ("object", "float32", "category"):
                series = column(value, dtype, base.index)
                if series is None:
                    continue
                row = base.assign(**{name: series})
                fast = MODEL._one_row.matrix(row)
                if fast is None:
                    continue
                checked += 1
                slow = outcome(slowly, MODEL, row)
                assert not isinstance(slow, str), (name, value, dtype, slow)
                np.testing.assert_array_equal(fast, slow, err_msg=f"{name} {value!r} {dtype}")
    assert checked > 500


@pytest.mark.filterwarnings("ignore")  # of making odd columns
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_one_row_gives_the_answers_and_errors_of_many_rows(data: st.DataObject) -> None:
    # given a row of which some columns hold something else
    row = training().iloc[[data.draw(st.integers(0, 99))]]
    for name in data.draw(st.lists(st.sampled_from([*SCHEMA.names, "further"]), max_size=4)):
        value = data.draw(st.one_of(st.sampled_from([*COMMON, *ODD]), st.floats(), st.integers(), st.text(max_size=3)))
        dtype = data.draw(st.sampled_from(DTYPES))
        series = column(value, dtype, row.index)
        row = row.assign(**{name: pd.Series([value], index=row.index, dtype=object) if series is None else series})
    if data.draw(st.booleans()):
        row = row[data.draw(st.permutations(list(row.columns)))[data.draw(st.integers(0, 1)) :]]
    # when
    model = Model(MODEL.estimator, MODEL.transformer, SCHEMA, MODEL.target)
    object.__setattr__(model, "transformer", Without(MODEL.transformer))
    for method in ("predict", "predict_proba"):
        fast, slow = (outcome(getattr(each, method), row) for each in (MODEL, model))
        # then
        if isinstance(slow, str):
            assert fast == slow
        else:
            (pd.testing.assert_series_equal if method == "predict" else pd.testing.assert_frame_equal)(
                fast, slow, check_exact=True
            )


class Without:
    """A preprocessing that knows the general way only."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        self.matrix, self.unseen = transformer.matrix, transformer.unseen
        self.feature_names = transformer.feature_names


@pytest.mark.filterwarnings("ignore")  # of making odd columns
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_mapping_gives_the_answers_and_errors_of_a_frame_of_its_values(data: st.DataObject) -> None:
    mapping = training().iloc[data.draw(st.integers(0, 99))].to_dict()
    for name in data.draw(st.lists(st.sampled_from(SCHEMA.names), max_size=4)):
        odd = [*COMMON, *ODD, np.timedelta64(5, "ns"), np.datetime64(10**18, "ns"), np.str_("Oslo")]
        mapping[name] = data.draw(st.one_of(st.sampled_from(odd), st.floats(), st.integers(), st.text(max_size=3)))
    frame = pd.DataFrame({name: pd.Series([value]) for name, value in mapping.items()})
    slow = outcome(slowly, MODEL, frame)
    fast = MODEL._one_row.matrix_of(mapping)
    if isinstance(slow, str):
        assert fast is None
        assert outcome(MODEL.predict_one, mapping) == slow
    elif fast is not None:
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("classes", [("no", "yes"), (3, 1, 2), ()])
def test_a_mapping_gives_what_a_frame_of_one_row_gives(classes: tuple[Any, ...]) -> None:
    model = model_of(classes)
    frame = training()
    for place in range(12):
        row = frame.iloc[[place]]
        mapping = {**row.iloc[0].to_dict(), "further": object()}
        assert model.predict_one(mapping) == model.predict(row).iloc[0]
        if classes:
            given = model.predict_proba_one(mapping)
            assert list(given) == list(classes)
            assert list(given.values()) == model.predict_proba(row).iloc[0].tolist()


def test_a_mapping_that_does_not_fit_is_one_sentence() -> None:
    mapping = training().iloc[0].to_dict()
    with pytest.raises(DataError, match=r"lacks 1 .* real"):
        MODEL.predict_one({name: value for name, value in mapping.items() if name != "real"})
    with pytest.raises(DataError, match=r"'whole' .* holds text"):
        MODEL.predict_proba_one({**mapping, "whole": "7"})
    with pytest.raises(DataError, match=r"'real' holds 1 infinite"):
        MODEL.predict_one({**mapping, "real": np.inf})
    with pytest.raises(DataError, match=r"One row is a mapping .*found list"):
        MODEL.predict_one([1, 2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no classes"):
        model_of(()).predict_proba_one(mapping)


def test_a_model_travels_after_it_has_predicted_one_row() -> None:
    row = training().iloc[[0]]
    expected = MODEL.predict_proba(row)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(MODEL)).predict_proba(row), expected)
    lazy = MODEL.predict_proba(dd.from_pandas(training(), npartitions=2))
    pd.testing.assert_frame_equal(lazy.compute(scheduler="sync").head(1), expected)


# --- what loading imports

BLOCKED = ("dask", "distributed", "dask_ml", "dask_jobqueue", "bokeh", "click", "rich", "numba", "tornado", "fsspec")

SCRIPT = f"""
import sys

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Refuses())
import pandas as pd
import daskflow as flow

model = flow.load_model(sys.argv[1])
frame = pd.DataFrame({{"age": [68, 23, 29], "income": [1.751736223827358, 1.4576785081689014, None],
                      "city": ["Oslo", "Lima", "Quito"]}})
print(model.predict(frame).tolist(), model.predict(frame.head(1)).tolist(), model.check(frame))
print(model.predict_proba(frame).shape, model.predict_one({{"age": 23, "income": None, "city": None}}))
found = sorted(set(sys.modules) & set({BLOCKED!r}))
assert not found, found
"""


def loaded_apart(folder: Path) -> str:
    """What a process prints that has nothing of a cluster."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_predicts_in_a_process_without_dask_a_cluster_or_a_compiler() -> None:
    said = loaded_apart(Path(__file__).parent / "model_of_format_1").splitlines()
    assert said == ["['yes', 'no', 'no'] ['yes'] {'city': 1}", "(3, 2) no"]


def test_a_booster_needs_its_library_and_neither_skops_nor_dask(tmp_path: Path) -> None:
    import lightgbm

    frame = pd.DataFrame({"age": [20, 70] * 30, "income": [1.0, 2.0] * 30, "city": ["Oslo", "Lima"] * 30})
    preprocessor = Preprocessor().fit(frame)
    matrix = preprocessor.transform(frame)
    schema = Schema(
        (
            Column("age", ColumnKind.NUMERIC, "int64"),
            Column("income", ColumnKind.NUMERIC, "double"),
            Column("city", ColumnKind.CATEGORICAL, "string"),
        )
    )
    bundle.write(
        tmp_path / "m",
        estimator=lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(matrix, [0, 1] * 30),
        transformer=preprocessor.fitted_,
        schema=schema,
        target=Target("y", Task.BINARY, ("no", "yes"), (30, 30)),
        card={},
    )
    assert "(3, 2)" in loaded_apart(tmp_path / "m")
