"""Preprocessor: the steps of a workflow as a scikit-learn transformer, on pandas and on Dask DataFrames alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from daskflow.core.errors import DataError, SettingsError
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.data.statistics import Needs, Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing

CONTAINERS = ("default", "pandas")
"""What `transform` can return for data in memory."""

FAN_IN = 8
"""States that one task of the tree merges."""


class Preprocessor(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg, misc]  # sklearn has no types
    """Impute, scale and encode columns by their kind; exact statistics from one pass over the data.

    Strings, booleans, dates and numbers get the steps of their kind. Levels that are rare are grouped, levels never
    seen have a documented place, missing values are handled, and columns are matched by name.

    Parameters
    ----------
    numeric, categorical, datetime : list of steps, optional
        A step is its name or a mapping with ``kind`` and options. Default: impute the mean and scale; group rare levels
        and one-hot encode; take dates apart.
    boolean : list of steps, optional
        Default: as `numeric`.
    columns : mapping of str to list of steps, optional
        For single columns, instead of the steps of their kind.
    sparse : bool or "auto"
        Whether `transform` returns a CSR matrix; ``auto`` (default): when there are more than 256 columns, most of
        them indicators.

    Attributes
    ----------
    fitted_ : FittedPreprocessor
        The fitted steps.
    warnings_ : tuple of str
        Sentences on columns that were left out: constant, or without any value.
    n_features_in_ : int
        Columns of the input.
    feature_names_in_ : ndarray of str
        Their names, when the input had names.

    Notes
    -----
    `fit` on a Dask DataFrame computes once: each partition is counted where it is, and the counts are merged in a tree.
    Nothing is computed before `fit`, nor by `transform`, whose Dask result is lazy. The order of the merging depends on
    the partitions, so floating sums may differ in their last digits; counts do not.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [20.0, 40.0, None], "city": ["Bonn", "Oslo", "Bonn"]})
    >>> Preprocessor().set_output(transform="pandas").fit_transform(frame)
            age  city_Bonn  city_Oslo
    0 -1.224745        1.0        0.0
    1  1.224745        0.0        1.0
    2  0.000000        1.0        0.0
    """

    def __init__(
        self,
        *,
        numeric: Sequence[Any] | None = None,
        categorical: Sequence[Any] | None = None,
        datetime: Sequence[Any] | None = None,
        boolean: Sequence[Any] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
        sparse: bool | Literal["auto"] = "auto",
    ) -> None:
        """Keep the parameters; they are checked by `fit`."""
        self.numeric = numeric
        self.categorical = categorical
        self.datetime = datetime
        self.boolean = boolean
        self.columns = columns
        self.sparse = sparse

    def fit(self, X: Any, y: Any = None) -> Self:
        """Count the values once and fit every step.

        Parameters
        ----------
        X : pandas or Dask DataFrame, or array of shape (n_samples, n_features)
            An array's columns are called x0, x1...
        y : object
            Not looked at.

        Raises
        ------
        SettingsError
            For steps that are not there, or do not fit; every one is named.
        DataError
            For values that cannot be used; every column is named.
        """
        settings = self._settings()
        if isinstance(X, dd.DataFrame):
            schema = _schema_of(X)
            validate_data(self, X._meta, skip_check_array=True)
            needs = settings.needs(schema)
            statistics = _merged([dask.delayed(_counted, pure=False)(part, schema, needs) for part in X.to_delayed()])
        else:
            table = self._table(X, reset=True)
            schema = Schema.of(table.schema)
            needs = settings.needs(schema)
            statistics = Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), needs)
        self.fitted_: FittedPreprocessor = settings.fit(schema, statistics.only([0]), sparse=self.sparse)
        self.warnings_ = self.fitted_.warnings
        return self

    def transform(self, X: Any) -> Any:
        """Turn rows into numbers.

        Parameters
        ----------
        X : pandas or Dask DataFrame, or array of shape (n_samples, n_features_in_)
            A DataFrame's columns are matched by name, in any order; others are not looked at.

        Returns
        -------
        ndarray of float32, or scipy.sparse.csr_matrix
            For pandas DataFrames and arrays; a DataFrame after ``set_output(transform="pandas")``.
        dask.dataframe.DataFrame
            For Dask DataFrames: lazy, float32 (sparse columns for a sparse matrix), index and partitions kept.

        Raises
        ------
        DataError
            For missing columns, columns of another kind than in `fit`, and infinite values (Dask: when computed).
        """
        check_is_fitted(self, "fitted_")
        if isinstance(X, dd.DataFrame):
            return X.map_partitions(_transformed, self.fitted_, meta=_transformed(X._meta, self.fitted_))
        matrix = self.fitted_.matrix(self._table(X, reset=False))
        container = self._container()
        if container == "default":
            return matrix
        if self.fitted_.is_sparse:
            raise SettingsError(
                "set_output(transform='pandas') takes dense columns; set sparse=False, or leave the output as it is."
            )
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(matrix, index=index, columns=list(self.fitted_.feature_names))

    def set_output(self, *, transform: Literal["default", "pandas"] | None = None) -> Self:
        """Choose what `transform` returns for pandas DataFrames and arrays; Dask DataFrames give Dask DataFrames.

        Parameters
        ----------
        transform : str, optional
            ``default`` (numpy or CSR) or ``pandas``; None changes nothing.
        """
        # scikit-learn's own wrapper would compute a Dask result to put it into a container
        if transform is not None:
            if transform not in CONTAINERS:
                raise SettingsError(f"set_output knows {' and '.join(map(repr, CONTAINERS))} (found {transform!r}).")
            self._sklearn_output_config = {"transform": transform}  # the name that sklearn's clone copies
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array of str, optional
            Must be the names of `fit` when given.
        """
        check_is_fitted(self, "fitted_")
        if input_features is not None:
            expected = getattr(self, "feature_names_in_", _names(range(self.n_features_in_)))
            if list(input_features) != list(expected):
                raise ValueError("input_features is not equal to feature_names_in_")
        return np.asarray(self.fitted_.feature_names, dtype=object)

    def unseen(self, X: pd.DataFrame) -> dict[str, int]:
        """Count, for each column with levels, the rows whose level did not occur in `fit`."""
        check_is_fitted(self, "fitted_")
        return self.fitted_.unseen(self._table(X, reset=False))

    def _settings(self) -> Preprocessing:
        """The parameters that were given, checked."""
        given = {name: getattr(self, name) for name in Preprocessing.model_fields}
        if self.sparse not in (True, False, "auto"):
            raise SettingsError(f"sparse: should be true, false or 'auto' (found {self.sparse!r})")
        return Preprocessing(**{name: value for name, value in given.items() if value is not None})

    def _container(self) -> str:
        """What `transform` returns."""
        own: Mapping[str, str] = getattr(self, "_sklearn_output_config", {})
        container: str = own.get("transform", sklearn.get_config()["transform_output"])
        if container not in CONTAINERS:
            raise SettingsError(f"transform_output = '{container}' is not supported; use 'default' or 'pandas'.")
        return container

    def _table(self, X: Any, *, reset: bool) -> pa.Table:
        """Check the input as scikit-learn does, and return it as a table; by position where there are no names."""
        if isinstance(X, pd.DataFrame):
            if 0 in X.shape:
                check_array(
                    X, dtype=None, ensure_all_finite=False, estimator=self
                )  # raises what every estimator raises
            is_named = reset or hasattr(self, "feature_names_in_")
            names = _names(X.columns if is_named else range(X.shape[1]))
            if reset or not is_named:
                validate_data(self, X, skip_check_array=True, reset=reset)
            return _table_of(X, names=names)
        array = check_array(X, dtype=None, ensure_all_finite=False, estimator=self, input_name="X")
        validate_data(self, X, skip_check_array=True, reset=reset)
        names = list(getattr(self, "feature_names_in_", _names(range(array.shape[1]))))
        frame = pd.DataFrame(array)
        return _table_of(frame.infer_objects() if array.dtype == object else frame, names=names)

    def __sklearn_tags__(self) -> Any:
        """Say that missing values and strings are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _names(columns: Iterable[Any]) -> list[str]:
    """Names of columns; x0, x1... where they are not strings; DataError for one that stands twice."""
    found = list(columns)
    repeated = sorted(str(name) for name, count in Counter(found).items() if count > 1)
    if repeated:
        raise DataError(f"Column names stand twice: {', '.join(repeated)}. Rename them.")
    return found if all(isinstance(name, str) for name in found) else [f"x{place}" for place in range(len(found))]


def _table_of(frame: pd.DataFrame, *, names: list[str], schema: Schema | None = None) -> pa.Table:
    """Return a DataFrame as an Arrow table; columns without any value get the type that `schema` says.

    Raises
    ------
    DataError
        For a column of mixed values.
    """
    columns: list[pa.Array] = []
    for place, name in enumerate(names):
        try:
            found = pa.array(frame.iloc[:, place], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"Column '{name}' ({frame.dtypes.iloc[place]}) holds values of more than one type, or of one that no "
                f"model can use: {error}. Convert it, for example with astype('str') or pandas.to_numeric."
            ) from error
        columns.append(found.cast(schema[name].arrow_type) if schema and pa.types.is_null(found.type) else found)
    return pa.Table.from_arrays(columns, names=names)


def _schema_of(frame: dd.DataFrame) -> Schema:
    """Return the schema that a lazy DataFrame promises; what has no type yet (object) is taken for strings."""
    found = Schema.of(_table_of(frame._meta, names=_names(frame.columns)).schema)
    return Schema(
        tuple(
            Column(c.name, ColumnKind.CATEGORICAL, "string") if pa.types.is_null(c.arrow_type) else c
            for c in found.columns
        )
    )


def _counted(frame: pd.DataFrame, schema: Schema, needs: Needs) -> Statistics:
    """Statistics of one partition."""
    table = _table_of(frame, names=list(schema.names), schema=schema)
    for column, found in zip(schema.columns, Schema.of(table.schema).columns, strict=True):
        if found.kind is not column.kind:
            raise DataError(
                f"Column '{column.name}' is {found.kind} ({found.type}) in one partition; the DataFrame says "
                f"{column.kind} ({column.type}). Convert it with astype before."
            )
    return Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), needs)


def _merge(states: Sequence[Statistics]) -> Statistics:
    """Merge in the order of the partitions."""
    merged = states[0]
    for state in states[1:]:
        merged = merged.merge(state)
    return merged


def _merged(states: list[Any]) -> Statistics:
    """Merge lazy states in a tree, and compute it."""
    while len(states) > 1:
        groups = [states[start : start + FAN_IN] for start in range(0, len(states), FAN_IN)]
        states = [dask.delayed(_merge, pure=False)(group) for group in groups]
    found: Statistics = dask.compute(states[0])[0]
    return found


def _transformed(frame: pd.DataFrame, fitted: FittedPreprocessor) -> pd.DataFrame:
    """One partition's matrix as a DataFrame with the same index."""
    matrix = fitted.matrix(_table_of(frame, names=_names(frame.columns)))
    names = list(fitted.feature_names)
    if fitted.is_sparse:
        sparse_frame: pd.DataFrame = pd.DataFrame.sparse.from_spmatrix(matrix, index=frame.index, columns=names)  # type: ignore[attr-defined]  # pandas-stubs leave it out
        return sparse_frame
    return pd.DataFrame(matrix, index=frame.index, columns=names)
