"""Labels: how the target that the Preprocessor is given is read: as classes or as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d

from daskflow.core.errors import DataError
from daskflow.data.tallies import TargetRows
from daskflow.data.targets import MOST_INTEGER_CLASSES


@dataclass(frozen=True, slots=True)
class Labels:
    """How a target is read.

    Attributes
    ----------
    classes : tuple
        Labels in sorted order; empty for numbers.
    """

    classes: tuple[Any, ...] = ()

    @classmethod
    def learn(cls, y: Any) -> Self:
        """Look at all values of a target, in memory or lazy (computed once).

        As for a workflow: booleans and strings are classes; so are numbers of two distinct values, and integers of 3
        to 20; other numbers are numbers.

        Raises
        ------
        DataError
            For a target that has gaps or infinite values.
        """
        if isinstance(y, dd.Series | da.Array):
            parts = [dask.delayed(_distinct)(part) for part in y.to_delayed()]
            found = list(dask.compute(*parts))
        else:
            found = [_distinct(y)]
        kinds = {kind for kind, _ in found if kind}
        if not kinds:
            raise DataError("y has no rows.")
        numeric = kinds <= {"integer", "float"}
        if not numeric and len(kinds) > 1:
            raise DataError(f"y holds values of several types: {', '.join(sorted(kinds))}. Convert it with astype.")
        distinct: set[Any] = set().union(*(values for _, values in found))
        most = MOST_INTEGER_CLASSES if kinds == {"integer"} else 2
        if numeric and len(distinct) > most:
            return cls()
        return cls(tuple(sorted(distinct)))

    def of(self, y: Any) -> TargetRows:
        """Return the target of some rows; DataError for a label that is not among the classes."""
        values = _values(y)
        if not self.classes:
            return TargetRows(values.astype(np.float64))
        codes = pd.Index(self.classes).get_indexer(pd.Index(values)).astype(np.int64)
        if (codes < 0).any():
            raise DataError("y holds a label that it did not have when it was first looked at; it must not change.")
        return TargetRows(codes.astype(np.float64), codes, self.classes)


def check_pair(X: Any, y: Any) -> None:
    """Refuse a target that does not go with the rows of X.

    Raises
    ------
    DataError
        For a target in memory beside lazy rows or the reverse, and one that is cut otherwise.
    """
    is_lazy = isinstance(y, dd.Series | da.Array)
    if is_lazy != isinstance(X, dd.DataFrame):
        raise DataError(
            f"{'y is lazy and X' if is_lazy else 'X is lazy and y'} is in memory, so their rows cannot be paired. Give "
            "both as pandas, or both as Dask, from one DataFrame."
        )
    n_parts = y.npartitions if is_lazy else 0
    if is_lazy and n_parts != X.npartitions:
        raise DataError(
            f"X has {X.npartitions} partitions and y has {n_parts}: their rows cannot be paired. Take both from one "
            "DataFrame."
        )


def _values(y: Any) -> Any:
    """A target as a numpy array: of numbers or truths where all are, else of objects."""
    values = column_or_1d(np.asarray(y), warn=True)
    return pd.Series(values).infer_objects().to_numpy() if values.dtype == object else values


def _distinct(y: Any) -> tuple[str, set[Any]]:
    """The kind of a target's values, and the first of the distinct ones: enough to know that there are too many."""
    values = _values(y)
    if not len(values):
        return "", set()
    if pd.isna(values).any():
        raise DataError(f"Input y contains NaN: {int(pd.isna(values).sum()):,} rows have no value. Leave them out.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("Input y contains infinity. Leave those rows out.")
    kind = {"b": "boolean", "i": "integer", "u": "integer", "f": "float"}.get(values.dtype.kind, "text")
    distinct = set(pd.unique(values).tolist())
    if kind in ("integer", "float") and len(distinct) > MOST_INTEGER_CLASSES + 1:
        distinct = set(sorted(distinct)[: MOST_INTEGER_CLASSES + 1])
    return kind, distinct
