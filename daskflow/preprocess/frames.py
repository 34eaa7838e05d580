"""Frames: pandas and Dask DataFrames as tables, and what is counted of one partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.errors import DataError
from daskflow.data.hashing import Hashes, mix, row_hashes
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.data.statistics import Needs, Statistics
from daskflow.data.tallies import Rows, TargetRows, parts_of
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.labels import Labels
from daskflow.preprocess.preparation import Preparation

FAN_IN = 8
"""States that one task of the tree merges."""


@dataclass(frozen=True, slots=True)
class Counting:
    """What is to be counted of every partition.

    Attributes
    ----------
    schema : Schema
        The columns, as the DataFrame promises them.
    needs : mapping of str to set of str or Tally
        Of them and of the new columns.
    preparation : Preparation
        Makes the new columns.
    labels : Labels or None
        How the target is read; None where nothing learns from it.
    """

    schema: Schema
    needs: Needs
    preparation: Preparation
    labels: Labels | None = None

    def of(self, frame: pd.DataFrame, y: Any = None) -> Statistics:
        """Count one partition.

        Raises
        ------
        DataError
            For columns of another kind than promised, and a target that does not go with the rows.
        """
        table = table_of(frame, names=list(self.schema.names), schema=self.schema)
        for column, found in zip(self.schema.columns, Schema.of(table.schema).columns, strict=True):
            if found.kind is not column.kind:
                raise DataError(
                    f"Column '{column.name}' is {found.kind} ({found.type}) in one partition; the DataFrame says "
                    f"{column.kind} ({column.type}). Convert it with astype before."
                )
        target = None
        if self.labels is not None:
            _check_pairing(frame, y)
            target = self.labels.of(y)
        return self.of_table(table, frame.index, target)

    def of_table(self, table: pa.Table, index: pd.Index[Any], target: TargetRows | None) -> Statistics:
        """Count the rows of a table."""
        rows = None
        if any(not isinstance(need, str) for asked in self.needs.values() for need in asked):
            content = row_hashes(table, table.column_names)
            rows = Rows(content, inner_parts(content, index), target)
        prepared = self.preparation.checked(table)
        return Statistics.of(prepared, np.zeros(table.num_rows, dtype=np.uint8), self.needs, rows)


def inner_parts(content: Hashes, index: pd.Index[Any]) -> NDArray[np.uint8]:
    """Return the inner part of rows by what they hold and by their place in the index.

    The index is in it so that copies of a row do not all stand in one part, where nothing would be known of them.
    """
    places: Hashes = np.asarray(pd.util.hash_pandas_object(index, index=False), dtype=np.uint64)
    return parts_of(mix(content ^ mix(places)))


def names_of(columns: Iterable[Any]) -> list[str]:
    """Return the names of columns; x0, x1... where they are not strings; DataError for one that stands twice."""
    found = list(columns)
    repeated = sorted(str(name) for name, count in Counter(found).items() if count > 1)
    if repeated:
        raise DataError(f"Column names stand twice: {', '.join(repeated)}. Rename them.")
    return found if all(isinstance(name, str) for name in found) else [f"x{place}" for place in range(len(found))]


def table_of(frame: pd.DataFrame, *, names: list[str], schema: Schema | None = None) -> pa.Table:
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


def schema_of(frame: dd.DataFrame) -> Schema:
    """Return the schema that a lazy DataFrame promises; what has no type yet (object) is taken for strings."""
    found = Schema.of(table_of(frame._meta, names=names_of(frame.columns)).schema)
    return Schema(
        tuple(
            Column(c.name, ColumnKind.CATEGORICAL, "string") if pa.types.is_null(c.arrow_type) else c
            for c in found.columns
        )
    )


def counted(frame: dd.DataFrame, y: Any, counting: Counting) -> Statistics:
    """Count every partition where it is, and merge the counts in a tree; computes once."""
    # as one node of the graph: it travels once per worker, not per task
    shared = dask.delayed(counting, pure=False)
    targets = [None] * frame.npartitions if y is None else list(y.to_delayed())
    states: list[Any] = [
        dask.delayed(_counted, pure=False)(part, target, shared)
        for part, target in zip(frame.to_delayed(), targets, strict=True)
    ]
    while len(states) > 1:
        groups = [states[start : start + FAN_IN] for start in range(0, len(states), FAN_IN)]
        states = [dask.delayed(_merge, pure=False)(group) for group in groups]
    found: Statistics = dask.compute(states[0])[0]
    return found


def transformed(frame: pd.DataFrame, fitted: FittedPreprocessor, names: list[str], is_training: bool) -> pd.DataFrame:
    """Return one partition's matrix as a DataFrame with the same index."""
    places = names_of(frame.columns)
    known = [name for name in names if name in places]
    table = table_of(frame.iloc[:, [places.index(name) for name in known]], names=known)
    parts = inner_parts(row_hashes(table, known), frame.index) if is_training else None
    matrix = fitted.matrix(table, parts)
    columns = list(fitted.feature_names)
    if sparse.issparse(matrix):
        found: pd.DataFrame = pd.DataFrame.sparse.from_spmatrix(matrix, index=frame.index, columns=columns)  # type: ignore[attr-defined]  # pandas-stubs leave it out
        return found
    return pd.DataFrame(matrix, index=frame.index, columns=columns)


def _counted(frame: pd.DataFrame, y: Any, counting: Counting) -> Statistics:
    return counting.of(frame, y)


def _merge(states: Sequence[Statistics]) -> Statistics:
    """Merge in the order of the partitions."""
    merged = states[0]
    for state in states[1:]:
        merged = merged.merge(state)
    return merged


def _check_pairing(frame: pd.DataFrame, y: Any) -> None:
    """Refuse a target whose rows are not those of the partition."""
    if len(frame) != len(y) or (isinstance(y, pd.Series) and not y.index.equals(frame.index)):
        raise DataError(
            f"X and y do not go together: a partition has {len(frame):,} rows and its target {len(y):,}"
            f"{'' if len(frame) != len(y) else ' under another index'}. Take both from one DataFrame."
        )
