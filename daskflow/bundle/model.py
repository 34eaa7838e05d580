"""Model: a fitted preprocessing and estimator that predict on frames of the columns they learned."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.bundle.awaited import awaited
from daskflow.bundle.one_row import OneRow
from daskflow.bundle.rows import check_names, rows_of
from daskflow.bundle.side_by_side import Packed, Packer
from daskflow.bundle.steady import SteadyLinear, steady
from daskflow.bundle.steady_members import unsteady
from daskflow.core import interruption
from daskflow.core.errors import DataError
from daskflow.core.protocols import Transformer
from daskflow.core.warned import ignored
from daskflow.data.decision import Decision
from daskflow.data.predictions import ALL, Predictions, predict
from daskflow.data.schema import Schema, Target

if TYPE_CHECKING:
    from daskflow.data.joins import Join

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
    decision : Decision
        Calibration and threshold that stand between the estimator's probabilities and every answer.

    Notes
    -----
    A category that was not seen in training is treated as its column's encoder says: one-hot gives it the column's
    "rare" indicator where there is one, else zeros in all of the column's indicators; ordinal its own code. `check`
    counts them.

    A frame of one row takes a quicker way to the same answers: see `daskflow.bundle.one_row`.
    """

    estimator: Any = field(repr=False)
    transformer: StoredTransformer = field(repr=False)
    schema: Schema = field(repr=False)
    target: Target
    card: Mapping[str, Any] = field(default_factory=dict, repr=False)
    identity: str = field(default="", repr=False)
    joins: tuple[Join, ...] = field(default=(), repr=False)
    decision: Decision = field(default_factory=Decision, repr=False)

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

    @property
    def unsteady(self) -> tuple[str, ...]:
        """Classes and functions of the estimator that may answer a row otherwise beside other rows, by full names.

        Empty where a row has one answer to the last bit, alone, in a request and in a file: for all of scikit-learn,
        dask-ml, xgboost, lightgbm and catboost. A class of your own is named: nobody has looked at how it computes.
        """
        return unsteady(self.estimator)

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
        if not _is_dask(X):
            return self._labels(_frame(X))
        return self._lazily(X, "_labels")

    def predict_one(self, row: Mapping[str, Any]) -> Any:
        """Predict one row, given as a mapping of values by column name.

        Parameters
        ----------
        row : mapping
            With every column of `schema`; None or nan is a missing value. Further names are ignored.

        Returns
        -------
        bool, int, float or str
            The label, or the number for regression.

        Raises
        ------
        DataError
            As `predict`.
        """
        found = self._of_row(row, self._label_needs)
        code = found.of("labels")[0].item()
        return self.classes[code] if self.classes else code

    def predict_proba_one(self, row: Mapping[str, Any]) -> dict[Any, float]:
        """Predict the probability of every class for one row, given as a mapping; see `predict_one`.

        Returns
        -------
        dict
            Probability by label, in the order of `classes`.
        """
        self._check_probabilities()
        given = self._of_row(row, frozenset({"probabilities"})).of("probabilities")[0]
        values = [1.0 - float(given), float(given)] if len(self.classes) == 2 else given.tolist()
        return dict(zip(self.classes, values, strict=True))

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
        self._check_probabilities()
        if not _is_dask(X):
            return self._probabilities(_frame(X))
        return self._lazily(X, "_probabilities")

    async def predict_async(self, X: Any, *, client: Any = None, priority: float = 0) -> pd.Series[Any]:
        """Await what `predict` gives, in memory: the running event loop never waits for it.

        Parameters
        ----------
        X : pandas.DataFrame or dask.dataframe.DataFrame
            As for `predict`. Rows in memory are predicted in a thread of this process.
        client : distributed.Client, optional
            Computes dask frames; default the current or default client, else threads of this process.
        priority : float, default 0
            Dask's priority of the tasks on a client; higher first.

        Raises
        ------
        DataError
            As `predict`.
        """
        found: pd.Series[Any] = await awaited(self.predict, X, client, priority=priority)
        return found

    async def predict_proba_async(self, X: Any, *, client: Any = None, priority: float = 0) -> pd.DataFrame:
        """Await what `predict_proba` gives, in memory; see `predict_async`."""
        found: pd.DataFrame = await awaited(self.predict_proba, X, client, priority=priority)
        return found

    def _check_probabilities(self) -> None:
        """Raise DataError when there are none."""
        if not self.target.task.is_classification:
            raise DataError(f"The model predicts the number '{self.target.name}': there are no classes. Use predict.")
        if not hasattr(self.estimator, "predict_proba"):
            raise DataError(
                f"{type(self.estimator).__name__} gives no probabilities: it has no predict_proba. Use predict, "
                "or train an estimator that has it (for SGD: loss = 'log_loss')."
            )

    def predictions(self, table: pa.Table, needs: Collection[str] = ALL) -> Predictions:
        """Predict the rows of a pyarrow Table of the schema's columns, in its types; codes stand for labels.

        As every answer of the model: calibrated, and by its threshold.

        Parameters
        ----------
        table : pyarrow.Table
            Of the columns of `schema`.
        needs : collection of str
            As for `daskflow.data.predictions.predict`.
        """
        parts = self._predictions(table, needs if self.decision.is_empty else {"probabilities"})
        if not parts:
            return Predictions(np.empty(0, np.int64 if self.classes else np.float64))

        def joined(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return parts[0] if len(parts) == 1 else Predictions(*map(joined, ("labels", "probabilities", "scores")))

    def of_rows(
        self, rows: Sequence[Mapping[str, Any]], needs: Collection[str] = ALL
    ) -> tuple[Predictions | None, list[int], dict[str, int]]:
        """Predict rows that are mappings of plain values, those of them that take the quicker way.

        Parameters
        ----------
        rows : sequence of mapping
            Values by the names of `schema`.
        needs : collection of str
            As for `predictions`.

        Returns
        -------
        predictions : Predictions or None
            The same as `predictions` gives for those rows; None where there is no such row.
        places : list of int
            Of them in `rows`; the others have to be checked, and be predicted by `predictions`.
        unseen : dict of str to int
            Rows among them, by column, whose level training has not seen.
        """
        matrix, places, unseen = self._one_row.of_rows(rows)
        if matrix is None:
            return None, [], {}
        return self._decided(matrix, needs if self.decision.is_empty else {"probabilities"}), places, unseen

    def matrix_of_rows(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, list[int]]:
        """Return the matrix of the rows that take the quicker way, None where there are none, and their places.

        As for `of_rows`, without predicting.
        """
        matrix, places, _ = self._one_row.of_rows(rows)
        return matrix, places

    def packer(self) -> Packer | None:
        """Return what takes out of rows all that is needed, in less memory; None where `of_rows` should read them.

        It returns None for rows that it does not read.
        """
        return self._one_row.packer

    @property
    def has_only_numbers(self) -> bool:
        """Whether all columns are numbers that go through the same steps, so that `of_numbers` can predict rows."""
        return self._one_row.has_only_numbers

    def of_numbers(
        self, values: NDArray[np.float64], needs: Collection[str] = ALL, *, has_whole: bool
    ) -> Predictions | None:
        """Predict rows of numbers, all columns at once: what `predictions` gives, for some rows in a tenth of the time.

        Parameters
        ----------
        values : ndarray of float64, shape (n_rows, n_columns)
            In the order of `schema`, nan where missing.
        needs : collection of str
            As for `predictions`.
        has_whole : bool
            Whether some columns hold whole numbers.

        Returns
        -------
        Predictions or None
            None where a number needs a closer look, such as an infinite one.
        """
        matrix = self._one_row.of_numbers(values, has_whole=has_whole)
        return None if matrix is None else self._decided(matrix, needs if self.decision.is_empty else {"probabilities"})

    def of_packed(
        self, parts: Sequence[Packed], needs: Collection[str] = ALL
    ) -> tuple[Predictions | None, dict[str, int]]:
        """Predict packed rows; predictions and unseen levels as `of_rows`, None where that should read them."""
        matrix, unseen = self._one_row.of_packed(parts)
        if matrix is None:
            return None, {}
        return self._decided(matrix, needs if self.decision.is_empty else {"probabilities"}), unseen

    def to_onnx(self, path: str | Path, *, inputs: Literal["columns", "matrix"] = "columns") -> Path:
        """Write the model as one ONNX file, for programs without Python; needs the extra ``onnx``.

        Parameters
        ----------
        path : str or Path
            The file to write.
        inputs : str
            ``columns`` (default): an input for each source column, of shape (n_rows, 1): float64 for numbers and
            booleans (nan where missing), strings for texts (empty where missing). ``matrix``: one float32 input of the
            preprocessed columns, whose names are in the file's metadata; the preprocessing is not in it.

        Returns
        -------
        Path
            The file. Its outputs are ``label`` and ``probabilities`` (float32, in the order of `classes`), calibrated
            and by the threshold as here; for regression ``prediction``.

        Raises
        ------
        DataError
            For preprocessing steps and estimators that have no form in ONNX.

        Notes
        -----
        Estimators compute in float32 there: numbers agree to about 1e-5 of their size, and a label may differ where two
        classes are as close.
        """
        from daskflow.bundle.onnx_export import to_onnx

        return to_onnx(self, Path(path), inputs)

    def check(self, X: Any) -> dict[str, int]:
        """Count, per text column, the rows whose category was not seen in training; computes for dask.

        Returns
        -------
        dict of str to int
            Columns with at least one such row; missing values are not counted.
        """
        if _is_dask(X):
            import dask

            check_names(X.columns, self.schema)
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

    def _lazily(self, X: Any, method: str) -> Any:
        """Call a method on every partition of a dask frame, when it is computed."""
        import dask

        check_names(X.columns, self.schema)
        # As one node of the graph: every partition names it, so the model travels once per worker, not per task.
        model = dask.delayed(self, pure=True)
        return X[list(self.schema.names)].map_partitions(
            _on_partition, model, method, meta=getattr(self, method)(X._meta), enforce_metadata=False
        )

    def _labels(self, frame: pd.DataFrame) -> pd.Series[Any]:
        """Predict labels of a pandas frame."""
        return self._as_labels(self._of_frame(frame, self._label_needs), frame.index)

    def _as_labels(self, parts: list[Predictions], index: pd.Index[Any]) -> pd.Series[Any]:
        """Labels in their own type, or numbers."""
        found = [part.labels for part in parts]
        if not self.classes:
            return pd.Series(_joined(found, np.float64), index=index, name=self.target.name)
        return pd.Series(self._class_values.take(_joined(found, np.int64)), index=index, name=self.target.name)

    def _probabilities(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Predict probabilities of a pandas frame."""
        return self._as_probabilities(self._of_frame(frame, frozenset({"probabilities"})), frame.index)

    def _as_probabilities(self, parts: list[Predictions], index: pd.Index[Any]) -> pd.DataFrame:
        """One column per class."""
        found = [part.of("probabilities") for part in parts]
        if len(self.classes) == 2:
            found = [np.column_stack([1.0 - positive, positive]) for positive in found]
        values = found[0] if len(found) == 1 else np.concatenate([np.empty((0, len(self.classes))), *found])
        return pd.DataFrame(values, index=index, columns=self._class_index)

    @property
    def _label_needs(self) -> frozenset[str]:
        """What labels are made of: each need is a pass over the rows."""
        return frozenset({"labels"} if self.decision.is_empty else {"probabilities"})

    def _of_frame(self, frame: pd.DataFrame, needs: Collection[str]) -> list[Predictions]:
        """Predictions of a frame's rows; of one alone on the quicker way where that takes it."""
        matrix = self._one_row.matrix(frame)
        if matrix is not None:
            return [self._decided(matrix, needs)]
        return self._predictions(rows_of(frame, self.schema), needs)

    def _of_row(self, row: Mapping[str, Any], needs: Collection[str]) -> Predictions:
        """Predictions of one mapping."""
        matrix = self._one_row.matrix_of(row)
        if matrix is not None:
            return self._decided(matrix, needs)
        if not isinstance(row, Mapping):
            raise DataError(f"One row is a mapping of values by column name (found {type(row).__name__}).")
        frame = pd.DataFrame({name: pd.Series([value]) for name, value in row.items() if name in self.schema})
        return self._predictions(rows_of(frame, self.schema), needs)[0]

    def _predictions(self, rows: pa.Table, needs: Collection[str] = ALL) -> list[Predictions]:
        """Predictions of checked rows, some rows at a time."""
        found = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            interruption.check()
            found.append(self._decided(self.transformer.matrix(rows.slice(start, ROWS_AT_ONCE)), needs))
        return found

    def _decided(self, matrix: Any, needs: Collection[str]) -> Predictions:
        """What the estimator says of a matrix, calibrated and by the threshold."""
        if isinstance(self._steady, SteadyLinear):  # it warns of nothing, and of one row the rest would cost a fifth
            return self.decision.apply(predict(self._steady, matrix, len(self.classes), needs))
        with ignored(message="X does not have valid feature names"):
            found = predict(self._steady, matrix, len(self.classes), needs)
        return self.decision.apply(found)

    @cached_property
    def _steady(self) -> Any:
        """The estimator, so that a row's answer does not depend on the rows beside it."""
        return steady(self.estimator)

    @cached_property
    def _one_row(self) -> OneRow:
        """The quicker way of one row."""
        return OneRow(self.schema, self.transformer)

    @cached_property
    def _class_values(self) -> Any:
        """The labels, in their own type."""
        return pd.Series(list(self.classes)).array

    @cached_property
    def _class_index(self) -> Any:
        """The labels as names of columns."""
        return pd.Index(list(self.classes))

    def take(self, estimator: Any) -> None:
        """Answer with another estimator of the same kind from now on, such as one that has learned more rows.

        For who has this model to itself: elsewhere a model does not change. `identity` stays what it was.
        """
        object.__setattr__(self, "estimator", estimator)
        self.__dict__.pop("_steady", None)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made again when it is first asked for: functions do not travel."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_one_row", "_steady")}

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Name the model in Dask's graphs by the checksums of its files."""
        return "daskflow.bundle.Model", self.identity


def _on_partition(frame: pd.DataFrame, model: Model, method: str) -> Any:
    """Predict one partition."""
    return getattr(model, method)(frame)


def _is_dask(X: Any) -> bool:
    """Whether it is a dask DataFrame; dask is not imported to know it."""
    module = sys.modules.get("dask.dataframe")
    return module is not None and isinstance(X, module.DataFrame)


def _frame(X: Any) -> pd.DataFrame:
    """The frame itself; DataError for anything that has no named columns."""
    if not isinstance(X, pd.DataFrame):
        raise DataError(
            f"The model finds columns by their names: give a pandas or dask DataFrame (found {type(X).__name__})."
        )
    return X


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.empty(0, dtype), *parts])
