"""Sums by group of rows and bucket, compiled: one pass over a block's rows for all groups and all pairs of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.kernels import compiled

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@compiled
def add_groups(codes: Any, first: Any, bucket: Any, places: Any, values: Any, sums: Any) -> None:
    """Add every row to one cell of each column.

    Parameters
    ----------
    codes : int64 of shape (n_rows, n_columns)
        Groups; negative for none.
    first : int64 of shape (n_columns,)
        Cell of each column's group 0.
    bucket : int64 of shape (n_rows,)
        Buckets.
    places, values : arrays of shape (n_rows, n_entries)
        Which sums a row adds to, and what.
    sums : float64 of shape (n_buckets, n_cells, n_sums)
        Added to.
    """
    n_rows, n_columns = codes.shape
    for row in range(n_rows):
        for column in range(n_columns):
            code = codes[row, column]
            if code >= 0:
                for entry in range(places.shape[1]):
                    sums[bucket[row], first[column] + code, places[row, entry]] += values[row, entry]


@compiled
def add_pairs(codes: Any, first: Any, widths: Any, bucket: Any, places: Any, values: Any, sums: Any, rows: Any) -> None:
    """Add every row to one cell of each pair of columns, and count it there.

    Parameters
    ----------
    codes : int64 of shape (n_rows, n_columns)
        Groups; negative for none.
    first : int64 of shape (n_columns, n_columns)
        Cell of a pair's groups 0 and 0, by earlier and later column.
    widths : int64 of shape (n_columns,)
        Groups of each column.
    bucket, places, values, sums
        As of `add_groups`.
    rows : int64 of shape (n_cells,)
        Added to.
    """
    n_rows, n_columns = codes.shape
    for row in range(n_rows):
        for one in range(n_columns):
            code = codes[row, one]
            if code < 0:
                continue
            for other in range(one + 1, n_columns):
                if codes[row, other] < 0:
                    continue
                cell = first[one, other] + code * widths[other] + codes[row, other]
                rows[cell] += 1
                for entry in range(places.shape[1]):
                    sums[bucket[row], cell, places[row, entry]] += values[row, entry]
