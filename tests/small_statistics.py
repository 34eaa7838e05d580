"""Fitting chains on small tables whose rows have a target and inner parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.data.tallies import Rows, TargetRows
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing


def target_rows(y: Any) -> TargetRows:
    """The target of rows: integers are class codes, floats a regression."""
    values = np.asarray(y)
    if values.dtype.kind == "f":
        return TargetRows(values.astype(np.float64))
    return TargetRows(values.astype(np.float64), values.astype(np.int64), tuple(range(int(values.max()) + 1)))


def rows_of(n_rows: int, parts: Any = None, y: Any = None) -> Rows:
    """What tallies see beside their column."""
    given = np.zeros(n_rows, np.uint8) if parts is None else np.asarray(parts, np.uint8)
    return Rows(np.arange(n_rows, dtype=np.uint64), given, None if y is None else target_rows(y))


def fit(
    table: pa.Table,
    parts: Any = None,
    y: Any = None,
    *,
    pieces: Sequence[NDArray[np.int64]] | None = None,
    sparse: Any = "auto",
    **chains: Any,
) -> FittedPreprocessor:
    """Fit chains of columns on all rows of a table, at once or piece by piece (given by their rows)."""
    settings = Preprocessing(columns=chains)
    schema = Schema.of(table.schema)
    needs = settings.needs(schema)
    rows = rows_of(table.num_rows, parts, y)
    states = [
        Statistics.of(table.take(piece), np.zeros(len(piece), np.uint8), needs, rows.take(piece))
        for piece in (pieces if pieces is not None else [np.arange(table.num_rows)])
    ]
    merged = states[0]
    for state in states[1:]:
        merged = merged.merge(state)
    return settings.fit(schema, merged.only([0]), sparse=sparse)


def column(fitted: FittedPreprocessor, table: pa.Table, name: str, parts: Any = None) -> list[float]:
    """One column of the matrix; of training rows when their parts are given."""
    matrix = fitted.matrix(table, None if parts is None else np.asarray(parts, np.uint8))
    dense = matrix.toarray() if fitted.is_sparse else matrix
    found: list[float] = dense[:, fitted.feature_names.index(name)].tolist()
    return found
