"""Model: a fitted preprocessing and estimator that predict on frames of the columns they learned."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa

from daskflow.bundle.rows import check_names, rows_of
from daskflow.core.errors import DataError
from daskflow.core.protocols import Transformer
from daskflow.data.joins import Join
from daskflow.data.predictions import Predictions, predict
from daskflow.data.schema import Schema, Target

ROWS_AT_ONCE = 65_536
"""Rows that are a matrix at the same time: a frame of any length needs the memory of one such matrix."""


class StoredTransformer(Transformer, Protocol):
    """A fitted preprocessing that a model folder can hold; its class has ``load(values)``, the inverse of `dump`."""

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""

    def unseen(self, table: Any) -> Mapping[str, int]:
        """Count, by column of a pyarrow Table, the rows whose category was not seen in training."""


@dataclass(frozen=True)
class Model:
    """A fitted model, as `load_model` returns it.

    Attributes
    ----------
    schema : Schema
        The columns it needs, by name; their order in a frame does not matter and others are ignored.
    target : Target
        What it predicts; for classes the labels as they stood in the data.
    card : mapping
        Where it comes from and how good it is: metrics, data, versions, parameters.
    estimator, transformer : object
        The scikit-learn estimator, and the preprocessing before it.
    joins : tuple of Join
        Small tables that rows were joined to in training. ``daskflow predict`` joins new files to them; `predict`
        takes frames with their columns.

    Notes
    -----
    A category that was not seen in training is treated as its column's encoder says: one-hot gives it the column's
    "rare" indicator where there is one, else zeros in all of the column's indicators; ordinal its own code. `check`
    counts them.
    """

    estimator: Any = field(repr=False)
    transformer: StoredTransformer = field(repr=False)
    schema: Schema = field(repr=False)
    target: Target
    card: Mapping[str, Any] = field(default_factory=dict, repr=False)
    identity: str = field(default="", repr=False)
    joins: tuple[Join, ...] = field(default=(), repr=False)

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels in the order of the columns of `predict_proba`; empty for regression."""
        return self.target.classes

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return str(self.target.task)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns, after preprocessing."""
        return tuple(self.transformer.feature_names)

    def predict(self, X: Any) -> Any:
        """Predict labels, or numbers for regression.

        Parameters
        ----------
        X : pandas.DataFrame or dask.dataframe.DataFrame
            With every column of `schema`; a missing value is one that is missing in pandas.

        Returns
        -------
        pandas.Series or dask.dataframe.Series
            With the index of `X`, the target's name and the labels' own type (int64, float64, bool or str). Lazy for
            dask: nothing is computed.

        Raises
        ------
        DataError
            For columns that are missing (at once, for dask too) or hold something else than the model learned.
        """
        return self._apply(X, Model._labels)

    def predict_proba(self, X: Any) -> Any:
        """Predict the probability of every class.

        Parameters
        ----------
        X : pandas.DataFrame or dask.dataframe.DataFrame
            As for `predict`.

        Returns
        -------
        pandas.DataFrame or dask.dataframe.DataFrame
            float64, one column per class under its label, in the order of `classes`.

        Raises
        ------
        DataError
            As `predict`, and when the estimator gives no probabilities.
        """
        if not self.target.task.is_classification:
            raise DataError(f"The model predicts the number '{self.target.name}': there are no classes. Use predict.")
        if not hasattr(self.estimator, "predict_proba"):
            raise DataError(
                f"{type(self.estimator).__name__} gives no probabilities: it has no predict_proba. Use predict, "
                "or train an estimator that has it (for SGD: loss = 'log_loss')."
            )
        return self._apply(X, Model._probabilities)

    def predict_all(self, X: pd.DataFrame) -> tuple[pd.Series[Any], pd.DataFrame | None, dict[str, int]]:
        """Predict labels and probabilities and count unseen categories, preparing the rows once.

        Parameters
        ----------
        X : pandas.DataFrame
            As for `predict`.

        Returns
        -------
        labels : pandas.Series
            As `predict` gives.
        probabilities : pandas.DataFrame or None
            As `predict_proba` gives; None for regression and for estimators without.
        unseen : dict of str to int
            As `check` gives.

        Raises
        ------
        DataError
            As `predict`.
        """
        rows = rows_of(_frame(X), self.schema)
        found = self._predictions(rows)
        has_probabilities = self.target.task.is_classification and hasattr(self.estimator, "predict_proba")
        unseen = {name: int(count) for name, count in self.transformer.unseen(rows).items() if count}
        probabilities = self._as_probabilities(found, X.index) if has_probabilities else None
        return self._as_labels(found, X.index), probabilities, unseen

    def predictions(self, table: pa.Table) -> Predictions:
        """Predict the rows of a pyarrow Table of the schema's columns, in its types; codes stand for labels."""
        parts = self._predictions(table)
        if not parts:
            return Predictions(np.empty(0, np.int64 if self.classes else np.float64))

        def joined(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return parts[0] if len(parts) == 1 else Predictions(*map(joined, ("labels", "probabilities", "scores")))

    def check(self, X: Any) -> dict[str, int]:
        """Count, per text column, the rows whose category was not seen in training; computes for dask.

        Returns
        -------
        dict of str to int
            Columns with at least one such row; missing values are not counted.
        """
        if isinstance(X, dd.DataFrame):
            check_names(X, self.schema)
            model = dask.delayed(self, pure=True)
            counts = dask.compute(*[model.check(part) for part in X[list(self.schema.names)].to_delayed()])
        else:
            counts = (self._unseen(_frame(X)),)
        total: dict[str, int] = {}
        for found in counts:
            for name, count in found.items():
                total[name] = total.get(name, 0) + count
        return {name: total[name] for name in self.schema.names if total.get(name)}

    def _unseen(self, frame: pd.DataFrame) -> dict[str, int]:
        """Rows per column with a category that the preprocessing does not know."""
        return {name: int(count) for name, count in self.transformer.unseen(rows_of(frame, self.schema)).items()}

    def _apply(self, X: Any, function: Callable[[Model, pd.DataFrame], Any]) -> Any:
        """Call a function on a frame, or lazily on every partition of a dask frame."""
        if not isinstance(X, dd.DataFrame):
            return function(self, _frame(X))
        check_names(X, self.schema)
        # As one node of the graph: every partition names it, so the model travels once per worker, not per task.
        model = dask.delayed(self, pure=True)
        return X[list(self.schema.names)].map_partitions(
            _on_partition, model, function.__name__, meta=function(self, X._meta), enforce_metadata=False
        )

    def _labels(self, frame: pd.DataFrame) -> pd.Series[Any]:
        """Predict labels of a pandas frame."""
        return self._as_labels(self._predictions(rows_of(frame, self.schema)), frame.index)

    def _as_labels(self, parts: list[Predictions], index: pd.Index[Any]) -> pd.Series[Any]:
        """Labels in their own type, or numbers."""
        found = [part.labels for part in parts]
        if not self.classes:
            return pd.Series(_joined(found, np.float64), index=index, name=self.target.name)
        labels = pd.Series(list(self.classes)).array.take(_joined(found, np.int64))
        return pd.Series(labels, index=index, name=self.target.name)

    def _probabilities(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Predict probabilities of a pandas frame."""
        return self._as_probabilities(self._predictions(rows_of(frame, self.schema)), frame.index)

    def _as_probabilities(self, parts: list[Predictions], index: pd.Index[Any]) -> pd.DataFrame:
        """One column per class."""
        found = [part.of("probabilities") for part in parts]
        if len(self.classes) == 2:
            found = [np.column_stack([1.0 - positive, positive]) for positive in found]
        values = np.concatenate([np.empty((0, len(self.classes))), *found])
        return pd.DataFrame(values, index=index, columns=pd.Index(list(self.classes)))

    def _predictions(self, rows: pa.Table) -> list[Predictions]:
        """Predictions of checked rows, some rows at a time."""
        matrices = (
            self.transformer.matrix(rows.slice(start, ROWS_AT_ONCE)) for start in range(0, len(rows), ROWS_AT_ONCE)
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            return [predict(self.estimator, matrix, len(self.classes)) for matrix in matrices]

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Name the model in Dask's graphs by the checksums of its files."""
        return "daskflow.bundle.Model", self.identity


def _on_partition(frame: pd.DataFrame, model: Model, method: str) -> Any:
    """Predict one partition."""
    return getattr(model, method)(frame)


def _frame(X: Any) -> pd.DataFrame:
    """The frame itself; DataError for anything that has no named columns."""
    if not isinstance(X, pd.DataFrame):
        raise DataError(
            f"The model finds columns by their names: give a pandas or dask DataFrame (found {type(X).__name__})."
        )
    return X


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.empty(0, dtype), *parts])
