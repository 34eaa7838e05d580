"""The Preprocessor keeps scikit-learn's promises, on pandas and on Dask DataFrames alike."""

from __future__ import annotations

import itertools
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import daskflow as flow
from daskflow.core.errors import DataError, SettingsError
from daskflow.preprocess import Preprocessor
from daskflow.preprocess.labels import Labels
from tests import row_functions

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


@pytest.mark.parametrize("npartitions", [pytest.param(1, marks=pytest.mark.slow), 5])
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


RATIO = {"function": row_functions.gap, "columns": ["float", "gaps"], "outputs": {"gap": "float64"}}

EVERYTHING: dict[str, Any] = {
    "functions": [RATIO],
    "interactions": [["small", "gap"], ["word", "flag"], {"columns": ["single", "small"], "degree": 2}],
    "columns": {"@timestamp": "drop", "s*": ["impute"], "category": ["target"], "object": ["ordinal"]},
    "select": {"method": "mutual_information", "k": 9},
    "categorical": [{"kind": "rare", "min_count": 2}, "onehot"],
}


@pytest.mark.slow
@parametrize_with_checks(
    [Preprocessor(drop_constant=False, drop_duplicates=False, interactions=[{"columns": ["x0"], "degree": 2}])],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learns_own_checks_pass_with_options(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("npartitions", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_all_of_it_gives_the_same_numbers_on_pandas_and_dask(frame: pd.DataFrame, npartitions: int) -> None:
    # given a target, and the same rows in one and in many pieces, one of them empty
    whole = frame.assign(y=(frame["float"].fillna(0) + (frame["word"] == "a") > 1.5).astype("int64"))
    lazy = dd.from_pandas(whole, npartitions=npartitions)
    lazy = dd.concat([lazy, lazy[lazy["small"] > 100]])
    X, y = whole.drop(columns="y"), whole["y"]
    lazy_X, lazy_y = lazy.drop(columns="y"), lazy["y"]

    # when one preprocessor with everything is fitted on each
    of_pandas, of_dask = Preprocessor(**EVERYTHING), Preprocessor(**EVERYTHING)
    trained, lazily_trained = of_pandas.fit_transform(X, y), of_dask.fit_transform(lazy_X, lazy_y)

    # then they have learned and left out the same, and training rows and new rows are the same numbers
    assert of_dask.fitted_ == of_pandas.fitted_
    assert of_dask.warnings_ == of_pandas.warnings_
    assert isinstance(lazily_trained, dd.DataFrame)
    assert np.array_equal(lazily_trained.compute().to_numpy(), trained)
    assert np.array_equal(of_dask.transform(lazy_X).compute().to_numpy(), of_pandas.transform(X))
    assert {"gap", "small:gap", "category", "float"} <= {column.column.name for column in of_pandas.fitted_.columns}


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=5), seed=st.integers(0, 99))
def test_nothing_depends_on_how_rows_are_cut_or_ordered(frame: pd.DataFrame, cuts: list[int], seed: int) -> None:
    # given rows in some order, in pieces of which some are empty
    some = frame.iloc[:120].copy()
    y = some["float"].fillna(0) + some["small"]
    shuffled = some.sample(frac=1, random_state=seed)
    edges = [0, *sorted(cuts), 120]
    pieces = [shuffled.iloc[a:b] for a, b in itertools.pairwise(edges)]
    lazy = dd.concat([dd.from_pandas(piece, npartitions=1, sort=False) for piece in pieces])
    lazy_y = dd.concat([dd.from_pandas(y[piece.index], npartitions=1, sort=False) for piece in pieces])

    # when it is fitted on all rows at once, and on the pieces
    with dask.config.set(scheduler="synchronous"):
        of_pandas, of_dask = Preprocessor(**EVERYTHING), Preprocessor(**EVERYTHING).fit(lazy, lazy_y)
        trained = pd.DataFrame(of_pandas.fit_transform(some, y), index=some.index)

        # then it is the same preprocessing, and the same rows are the same numbers
        assert of_dask.fitted_ == of_pandas.fitted_
        again = of_dask._transformed(lazy, is_training=True).compute()
    assert np.array_equal(again.loc[some.index].to_numpy(), trained.to_numpy())


def test_training_rows_are_encoded_out_of_fold_and_new_ones_by_all_rows() -> None:
    # given levels of four rows each, whose targets have nothing to do with one another
    X = pd.DataFrame({"id": [f"{i % 250}" for i in range(1000)]})
    y = np.random.default_rng(0).integers(0, 2, 1000)

    # when they are encoded by the target
    fitted = Preprocessor(categorical=["target"])
    trained, new = fitted.fit_transform(X, y), fitted.transform(X)

    # then a training row never sees its own target, and a new row does
    assert abs(np.corrcoef(trained[:, 0], y)[0, 1]) < 0.15
    assert np.corrcoef(new[:, 0], y)[0, 1] > 0.4
    assert np.array_equal(Preprocessor(categorical=["target"]).fit(X, y).transform(X), new)


def test_copies_of_a_row_stand_in_different_parts_so_that_few_levels_stay_leak_free() -> None:
    # given one column of two levels, so that all rows are copies of a few, and a target that has nothing to do with it
    X = pd.DataFrame({"group": ["ab"[i % 2] for i in range(4000)]})
    y = np.random.default_rng(0).integers(0, 2, 4000)
    trained = Preprocessor(categorical=["target"]).fit_transform(X, y)
    assert abs(np.corrcoef(trained[:, 0], y)[0, 1]) < 0.1


def test_a_target_is_read_as_a_workflow_reads_it() -> None:
    random = np.random.default_rng(0)
    X = pd.DataFrame({"x": random.normal(size=300)})
    for y, classes in [
        (["u", "v", "w"] * 100, ("u", "v", "w")),
        ([True, False, True] * 100, (False, True)),
        (pd.Series([1, 2, 3] * 100, dtype="Int64"), (1, 2, 3)),
        (np.array([0.5, 1.5, 0.5] * 100), (0.5, 1.5)),
        (np.arange(300), ()),
        (random.normal(size=300), ()),
    ]:
        assert Labels.learn(pd.Series(y)).classes == classes
        lazy = dd.from_pandas(pd.Series(y), npartitions=4)
        assert Labels.learn(lazy).classes == classes
        assert Preprocessor(select={"method": "mutual_information", "k": 1}).fit(X, y).transform(X).shape == (300, 1)


def test_a_target_that_does_not_go_with_the_rows_is_refused(frame: pd.DataFrame) -> None:
    chosen = Preprocessor(select={"method": "mutual_information", "k": 3})
    y = frame["flag"]
    lazy, lazy_y = dd.from_pandas(frame, npartitions=3), dd.from_pandas(y, npartitions=3)
    for X, target, message in [
        (lazy, y, "X is lazy and y is in memory"),
        (frame, lazy_y, "y is lazy and X is in memory"),
        (lazy, dd.from_pandas(y, npartitions=2), "X has 3 partitions and y has 2"),
        (lazy, dd.from_pandas(y.iloc[:900], npartitions=3), "X and y do not go together"),
        (lazy, dd.from_pandas(y.reset_index(drop=True), npartitions=3), "under another index"),
        (frame, y.iloc[:7], "inconsistent numbers of samples"),
        (frame, frame["float"], "Input y contains NaN"),
        (frame, pd.Series(np.inf, index=frame.index), "infinity"),
    ]:
        with pytest.raises(ValueError, match=message):
            chosen.fit(X, target)


def test_parameters_are_kept_cloned_and_set(frame: pd.DataFrame) -> None:
    chosen = Preprocessor(**EVERYTHING)
    assert {name: chosen.get_params(deep=False)[name] for name in EVERYTHING} == EVERYTHING
    copied = clone(chosen).set_params(select=None)
    assert copied.get_params(deep=False)["functions"] == [RATIO]
    assert chosen.select is not None
    fitted = copied.set_output(transform="pandas").fit(frame, frame["flag"])
    assert list(fitted.transform(frame).columns) == list(fitted.get_feature_names_out())


def test_silent_error_25_columns_in_another_order_are_matched_by_name() -> None:
    train = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [100.0, 200.0, 330.0]})
    fitted = Preprocessor().fit(train)
    assert np.array_equal(fitted.transform(train[["b", "a"]]), fitted.transform(train))
    assert np.array_equal(fitted.transform(dd.from_pandas(train[["b", "a"]], npartitions=2)), fitted.transform(train))


def test_silent_error_26_a_column_that_is_missing_is_refused_by_name() -> None:
    train = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 3.0]})
    fitted = Preprocessor(numeric=[{"kind": "scale", "method": "minmax"}], interactions=[["a", "b"]]).fit(train)
    with pytest.raises(DataError, match="Column 'b' is missing"):
        fitted.transform(train[["a"]])
    with pytest.raises(DataError, match="Column 'b' is missing"):
        fitted.transform(dd.from_pandas(train[["a"]], npartitions=1))


def test_silent_error_27_infinite_values_are_refused_with_their_count_by_column() -> None:
    train = pd.DataFrame({"a": [0.0, np.inf, -np.inf], "b": [1.0, 3.0, 4.0]})
    for X in (train, dd.from_pandas(train, npartitions=3)):
        with pytest.raises(DataError, match=r"Infinite values in 'a' \(2\)"):
            Preprocessor().fit(X)
    fitted = Preprocessor().fit(train.assign(a=[1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match=r"Infinite values in 'a' \(2\)"):
        fitted.transform(train)


def test_silent_error_30_a_column_without_a_value_is_left_out_with_a_sentence() -> None:
    train = pd.DataFrame({"a": [np.nan] * 4, "b": [1.0, 3.0, 4.0, 5.0]})
    for X in (train, dd.from_pandas(train, npartitions=2)):
        fitted = Preprocessor().fit(X)
        assert fitted.warnings_ == ("Column 'a' has no value in the training rows; it is left out.",)
        assert fitted.get_feature_names_out().tolist() == ["b"]


def test_silent_error_32_missing_values_do_not_spread_over_a_quantile_transformed_column() -> None:
    values = np.random.default_rng(0).lognormal(size=4000)
    values[::9] = np.nan
    train = pd.DataFrame({"a": values, "b": np.arange(4000.0)})
    for X in (train, dd.from_pandas(train, npartitions=3)):
        found = pd.DataFrame(np.asarray(Preprocessor(numeric=["quantile"]).fit(X).transform(X)))
        assert found[0].isna().sum() == np.isnan(values).sum()
        assert found[0].isna().to_numpy().tolist() == np.isnan(values).tolist()
