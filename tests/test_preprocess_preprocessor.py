"""The Preprocessor keeps scikit-learn's promises, on pandas and on Dask DataFrames alike."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import daskflow as flow
from daskflow.core.errors import DataError, SettingsError
from daskflow.preprocess import Preprocessor

EXPECTED_FAILURES: dict[str, str] = {}
"""Checks of scikit-learn that the Preprocessor does not pass, each with the reason; there is none."""


@parametrize_with_checks([Preprocessor()], expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Columns of every kind and dtype that pandas has for them, with gaps and an odd index."""
    random = np.random.default_rng(0)
    n = 1200
    words = random.choice(["a", "b", "c", "d"], n, p=[0.6, 0.3, 0.099, 0.001])
    return pd.DataFrame(
        {
            "float": np.where(random.random(n) < 0.1, np.nan, random.lognormal(size=n)),
            "single": random.normal(size=n).astype("float32"),
            "small": random.integers(-5, 5, n).astype("int8"),
            "gaps": pd.Series(random.integers(1, 9, n)).where(random.random(n) > 0.1).astype("Int64"),
            "word": pd.Series(words).where(random.random(n) > 0.05),
            "object": pd.Series(words, dtype=object).where(random.random(n) > 0.05, None),
            "category": pd.Categorical(words),
            "flag": random.random(n) < 0.3,
            "maybe": pd.Series(random.random(n) < 0.3).astype("boolean").where(random.random(n) > 0.1),
            "date": pd.Series(pd.date_range("1968-02-29", periods=n, freq="11h")).where(random.random(n) > 0.1),
            "zoned": pd.date_range("2024-03-30", periods=n, freq="h", tz="Europe/Berlin"),
        },
    ).set_index(pd.Index(np.arange(n) * 3 + 7, name="row"))


@pytest.mark.parametrize("npartitions", [1, 5])
def test_dask_and_pandas_give_the_same_numbers(frame: pd.DataFrame, npartitions: int) -> None:
    # given the same rows in one and in many pieces, one of them empty
    lazy = dd.from_pandas(frame, npartitions=npartitions)
    lazy = dd.concat([lazy, lazy[lazy["small"] > 100]])

    # when one preprocessor is fitted on each
    of_pandas, of_dask = Preprocessor().fit(frame), Preprocessor().fit(lazy)

    # then they agree, and transform lazily with index and names
    transformed = of_dask.transform(lazy)
    assert isinstance(transformed, dd.DataFrame)
    assert transformed.npartitions == lazy.npartitions
    assert list(transformed.columns) == list(of_pandas.get_feature_names_out())
    assert set(transformed.dtypes) == {np.dtype("float32")}
    computed = transformed.compute()
    assert computed.index.equals(frame.index)
    assert computed.to_numpy() == pytest.approx(of_pandas.transform(frame), rel=1e-6, abs=1e-6)


def test_fit_computes_each_partition_once_and_transform_none(frame: pd.DataFrame, tmp_path: Any) -> None:
    def counted(part: pd.DataFrame, partition_info: Any = None) -> pd.DataFrame:
        if partition_info is not None:
            with open(tmp_path / str(partition_info["number"]), "a") as file:
                file.write("x")
        return part

    lazy = dd.from_pandas(frame, npartitions=4).map_partitions(counted, meta=frame.iloc[:0])
    fitted = Preprocessor().fit(lazy)
    fitted.transform(lazy)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["x"] * 4


def test_a_partition_of_another_kind_than_promised_is_refused_by_its_column() -> None:
    lazy = dd.from_pandas(pd.DataFrame({"x": [1.0, 2.0], "y": [1, 2]}), npartitions=2)
    broken = lazy.map_partitions(lambda part: part.astype({"x": str}), meta=lazy._meta)
    with pytest.raises(DataError, match=r"Column 'x' is categorical .* in one partition; .* numeric"):
        Preprocessor().fit(broken)


def test_sparse_output_is_csr_and_lazy_sparse_columns() -> None:
    frame = pd.DataFrame({"w": [str(n % 300) for n in range(900)], "x": np.arange(900.0)})
    fitted = Preprocessor().fit(frame)
    matrix = fitted.transform(frame)
    assert sparse.issparse(matrix)
    lazy = fitted.transform(dd.from_pandas(frame, npartitions=3))
    assert lazy.dtypes.iloc[0] == pd.SparseDtype("float32", 0.0)
    assert np.array_equal(lazy.compute().to_numpy(), matrix.toarray())
    assert not sparse.issparse(Preprocessor(sparse=False).fit_transform(frame))
    with pytest.raises(SettingsError, match="sparse=False"):
        fitted.set_output(transform="pandas").transform(frame)


def test_output_can_be_pandas_and_dask_stays_lazy(frame: pd.DataFrame) -> None:
    fitted = Preprocessor().set_output(transform="pandas").fit(frame)
    found = fitted.transform(frame)
    assert isinstance(found, pd.DataFrame)
    assert found.index.equals(frame.index)
    assert list(found.columns) == list(fitted.get_feature_names_out())
    assert isinstance(fitted.transform(dd.from_pandas(frame, npartitions=2)), dd.DataFrame)
    assert isinstance(clone(fitted).fit(frame).transform(frame), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(Preprocessor().fit_transform(frame), pd.DataFrame)
    with pytest.raises(SettingsError, match="'pandas'"):
        fitted.set_output(transform="arrow")  # type: ignore[arg-type]


def test_columns_are_matched_by_name_and_arrays_by_place(frame: pd.DataFrame) -> None:
    fitted = Preprocessor().fit(frame)
    assert np.array_equal(fitted.transform(frame[list(reversed(frame.columns))]), fitted.transform(frame))
    with pytest.raises(DataError, match="Column 'small' is missing"):
        fitted.transform(frame.drop(columns="small"))
    numbers = np.random.default_rng(0).normal(size=(20, 3))
    of_array = Preprocessor().fit(numbers)
    assert list(of_array.get_feature_names_out()) == ["x0", "x1", "x2"]
    with pytest.raises(ValueError, match="2 features"):
        of_array.transform(numbers[:, :2])
    mixed = np.array([["a", 1.0], ["b", 2.0], ["a", None]], dtype=object)
    assert list(Preprocessor().fit(mixed).get_feature_names_out()) == ["x0_a", "x0_b", "x1"]


def test_names_that_are_not_strings_go_by_place() -> None:
    frame = pd.DataFrame({0: [1.0, 2.0], 7: ["a", "b"]})
    fitted = Preprocessor().fit(frame)
    assert list(fitted.get_feature_names_out()) == ["x0", "x1_a", "x1_b"]
    assert np.array_equal(fitted.transform(dd.from_pandas(frame, npartitions=1)).compute(), fitted.transform(frame))


def test_options_are_checked_by_fit_with_every_mistake(frame: pd.DataFrame) -> None:
    wrong = Preprocessor(numeric=["inpute"], columns={"flagg": ["passthrough"]})
    with pytest.raises(SettingsError, match="did you mean 'impute'"):
        wrong.fit(frame)
    with pytest.raises(SettingsError, match="did you mean 'flag'"):
        wrong.set_params(numeric=None).fit(frame)
    with pytest.raises(SettingsError, match="sparse"):
        Preprocessor(sparse="yes").fit(frame)  # type: ignore[arg-type]


def test_values_that_no_column_can_hold_are_refused_by_their_column() -> None:
    with pytest.raises(DataError, match=r"Column 'x' .* more than one type"):
        Preprocessor().fit(pd.DataFrame({"x": [1, "a"], "y": [1, 2]}))
    with pytest.raises(DataError, match="stand twice: x"):
        Preprocessor().fit(pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"]))
    with pytest.raises(DataError, match=r"Infinite values in 'x' \(1\)"):
        Preprocessor().fit(pd.DataFrame({"x": [1.0, np.inf]}))
    with pytest.raises(NotFittedError):
        Preprocessor().transform(pd.DataFrame({"x": [1.0]}))


def test_unseen_levels_are_counted(frame: pd.DataFrame) -> None:
    fitted = Preprocessor().fit(frame)
    found = fitted.unseen(frame.assign(word="never"))
    assert found == {"word": len(frame), "object": 0, "category": 0}


def test_it_stands_in_a_pipeline_and_under_its_public_name(frame: pd.DataFrame) -> None:
    target = frame["float"].fillna(0) > 1
    columns: dict[str, list[Any]] = {"category": ["ordinal", "scale"], "float": [{"kind": "impute", "indicator": True}]}
    pipeline = make_pipeline(flow.Preprocessor(columns=columns), LogisticRegression(max_iter=2000))
    assert clone(pipeline).fit(frame, target).score(frame, target) > 0.9


@pytest.mark.slow
def test_it_fits_on_a_cluster(frame: pd.DataFrame, client: Any) -> None:
    lazy = dd.from_pandas(frame, npartitions=4)
    fitted = Preprocessor().fit(lazy)
    assert fitted.get_feature_names_out().tolist() == Preprocessor().fit(frame).get_feature_names_out().tolist()
    assert fitted.transform(lazy).compute().shape == (len(frame), len(fitted.get_feature_names_out()))
