"""Preprocessor: the steps of a workflow as a scikit-learn transformer, on pandas and on Dask DataFrames alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from daskflow.core.errors import SettingsError
from daskflow.core.notebook import block
from daskflow.data.hashing import row_hashes
from daskflow.data.schema import Schema
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.frames import Counting, counted, inner_parts, names_of, schema_of, table_of, transformed
from daskflow.preprocess.labels import Labels, check_pair
from daskflow.preprocess.settings import Preprocessing

CONTAINERS = ("default", "pandas")
"""What `transform` can return for data in memory."""


class Preprocessor(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg, misc]  # sklearn has no types
    r"""Impute, scale and encode columns by their kind; exact statistics from one pass over the data.

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
        For the columns of a selector (a name, ``"bill_*"``, ``r"/^pay_\d/"``, ``"@float"``), instead of the steps of
        their kind; ``"passthrough"`` and ``"drop"`` instead of steps.
    functions : list of mappings, optional
        New columns by functions of your own, row by row: ``{"function": ratios, "columns": ["a", "b"], "outputs":
        {"ratio": "float64"}}``. A function stands at the top of a module.
    interactions : list of lists of str, or of mappings, optional
        New columns of others: ``[["a", "b"]]`` is their product, or their crossed categories.
    select : mapping, optional
        Which columns stay: ``{"method": "mutual_information", "k": 20}`` or ``{"method": "variance"}``.
    drop_constant, drop_duplicates : bool
        Leave out columns of one value, and columns that equal an earlier one; default True.
    sparse : bool or "auto"
        Whether `transform` returns a CSR matrix; ``auto`` (default): when there are more than 256 columns, most of
        them indicators.

    Attributes
    ----------
    fitted_ : FittedPreprocessor
        The fitted steps.
    warnings_ : tuple of str
        Sentences on columns that were left out: constant, equal to another, without any value, not selected.
    n_features_in_ : int
        Columns of the input.
    feature_names_in_ : ndarray of str
        Their names, when the input had names.

    Notes
    -----
    `fit` on a Dask DataFrame computes once: each partition is counted where it is, and the counts are merged in a tree,
    without rounding. Where something learns from the target, its labels are looked at first. Nothing is computed before
    `fit`, nor by `transform`, whose Dask result is lazy.

    Steps that learn from the target (``target``) give training rows what the rest of them says: `fit_transform` cuts
    the rows into five parts, by hash of their values and index, and encodes each from the other four; `transform` takes
    all. So the two differ, as those of scikit-learn's TargetEncoder, and ``fit(X, y).transform(X)`` leaks the target.

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
        columns: Mapping[str, Sequence[Any] | str] | None = None,
        functions: Sequence[Mapping[str, Any]] | None = None,
        interactions: Sequence[Any] | None = None,
        select: Mapping[str, Any] | None = None,
        drop_constant: bool = True,
        drop_duplicates: bool = True,
        sparse: bool | Literal["auto"] = "auto",
    ) -> None:
        """Keep the parameters; they are checked by `fit`."""
        self.numeric = numeric
        self.categorical = categorical
        self.datetime = datetime
        self.boolean = boolean
        self.columns = columns
        self.functions = functions
        self.interactions = interactions
        self.select = select
        self.drop_constant = drop_constant
        self.drop_duplicates = drop_duplicates
        self.sparse = sparse

    def _html_repr(self) -> str:
        """What a notebook shows, in place of scikit-learn's page with scripts: what was set, and what was fitted."""
        pairs: dict[str, object] = {
            word: repr(value)
            for word, value in self.get_params(deep=False).items()
            if value is not None and value is not True and value != "auto"
        }
        if not hasattr(self, "fitted_"):
            return block(type(self).__name__, "not fitted", pairs=pairs or {"steps": "the default ones of each kind"})
        names = [str(name) for name in self.fitted_.feature_names]
        pairs |= {"input": f"{self.n_features_in_:,} columns", "output": f"{len(names):,} features"}
        rows = [[place, name] for place, name in enumerate(names)]
        told = list(self.warnings_)[:5]
        return block(type(self).__name__, "fitted", pairs=pairs, sentences=told, head=["feature", "name"], rows=rows)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Count the values once and fit every step.

        Parameters
        ----------
        X : pandas or Dask DataFrame, or array of shape (n_samples, n_features)
            An array's columns are called x0, x1...
        y : Series or array of shape (n_samples,), optional
            Looked at only where something learns from the target: Dask Series or Array beside a Dask DataFrame, from
            the same rows. Booleans, strings, and integers of up to 20 distinct values are classes.

        Raises
        ------
        SettingsError
            For steps that are not there, or do not fit; every one is named.
        DataError
            For values that cannot be used; every column is named.
        """
        settings = self._settings()
        is_lazy = isinstance(X, dd.DataFrame)
        table = None if is_lazy else self._table(X, reset=True)
        if table is None:
            schema = schema_of(X)
            validate_data(self, X._meta, skip_check_array=True)
        else:
            schema = Schema.of(table.schema)
        needs, labels = settings.needs(schema), None
        if settings.needs_target(schema):
            if y is None:
                raise ValueError(
                    "requires y to be passed, but the target y is None: a step, or select, learns from the target"
                )
            check_pair(X, y)
            labels = Labels.learn(y)
        counting = Counting(schema, needs, settings.preparation(schema), labels)
        if table is None:
            statistics = counted(X, y if labels else None, counting)
        else:
            check_consistent_length(X, y if labels else None)
            statistics = counting.of_table(table, _index(X, table), labels.of(y) if labels else None)
        self.fitted_: FittedPreprocessor = settings.fit(schema, statistics.only([0]), sparse=self.sparse)
        self.warnings_ = self.fitted_.warnings
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and turn the same rows into numbers; steps that learn from the target are applied out of fold.

        Parameters
        ----------
        X, y : object
            As for `fit`.
        **fit_params : object
            None is known.

        Returns
        -------
        object
            As `transform`.
        """
        self.fit(X, y, **fit_params)
        return self._transformed(X, is_training=self.fitted_.is_out_of_fold)

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
        return self._transformed(X, is_training=False)

    def _transformed(self, X: Any, *, is_training: bool) -> Any:
        """Rows as numbers, in the container that was asked for."""
        check_is_fitted(self, "fitted_")
        if isinstance(X, dd.DataFrame):
            names = self._names_in()
            meta = transformed(X._meta, self.fitted_, names, False)
            return X.map_partitions(transformed, self.fitted_, names, is_training, meta=meta)
        table = self._table(X, reset=False)
        parts = inner_parts(row_hashes(table, table.column_names), _index(X, table)) if is_training else None
        matrix = self.fitted_.matrix(table, parts)
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
        if input_features is not None and list(input_features) != self._names_in():
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
            names = names_of(X.columns if is_named else range(X.shape[1]))
            if reset or not is_named:
                validate_data(self, X, skip_check_array=True, reset=reset)
                return table_of(X, names=names)
            known = [name for name in self._names_in() if name in names]
            return table_of(X.iloc[:, [names.index(name) for name in known]], names=known)
        array = check_array(X, dtype=None, ensure_all_finite=False, estimator=self, input_name="X")
        validate_data(self, X, skip_check_array=True, reset=reset)
        frame = pd.DataFrame(array)
        names = names_of(range(array.shape[1])) if reset else self._names_in()
        return table_of(frame.infer_objects() if array.dtype == object else frame, names=names)

    def _names_in(self) -> list[str]:
        """Names of the columns of `fit`."""
        return list(getattr(self, "feature_names_in_", names_of(range(self.n_features_in_))))

    def __sklearn_tags__(self) -> Any:
        """Say that missing values and strings are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _index(X: Any, table: pa.Table) -> pd.Index[Any]:
    """The index of the rows; their places where they have none."""
    return X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(table.num_rows)
