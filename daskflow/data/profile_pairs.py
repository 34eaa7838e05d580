"""Pairs: correlations between all numeric columns from sums of one pass, each over the rows that have both values.

Values are centred and scaled by what the scan saw, so that products neither overflow nor cancel. The sums are float64:
correlations agree to about ten digits for any cut and order of the rows.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from daskflow.data import arrays
from daskflow.data.arrays import Numbers

MOST_COLUMNS = 256
"""Numeric columns looked at in pairs, the first ones: sums for 256 take 2 MiB."""

CHUNK_VALUES = 1 << 21
"""Values multiplied at a time: 16 MiB."""


ALONE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Paired:
    """A column that takes part, with what its values are centred and scaled by."""

    name: str
    centre: float
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class PairSums:
    """Sums over the rows in which both columns of a pair have a value; each array of shape (n_columns, n_columns).

    Attributes
    ----------
    rows : ndarray of float64
        Rows with both; symmetric.
    sums : ndarray of float64
        At (i, j): the sum of column i.
    squares : ndarray of float64
        At (i, j): the sum of squares of column i.
    products : ndarray of float64
        Sums of products; symmetric.
    """

    rows: Numbers
    sums: Numbers
    squares: Numbers
    products: Numbers

    @classmethod
    def nothing(cls, n_columns: int) -> PairSums:
        """Return the sums of no rows."""
        return cls(*(np.zeros((n_columns, n_columns)) for _ in range(4)))

    @classmethod
    def of(cls, table: pa.Table, columns: Sequence[Paired]) -> PairSums:
        """Add up the rows of a table; infinite values count as missing."""
        total = cls.nothing(len(columns))
        step = max(1, CHUNK_VALUES // max(1, len(columns)))
        # Units run side by side, and threads of their own would wait for each other: 15 times slower on a busy machine.
        # The limit is the whole process's, so that two units must not set and restore it in turns.
        with ALONE, threadpool_limits(1, user_api="blas"):
            for start in range(0, table.num_rows if columns else 0, step):
                total = total.merge(cls._of(table.slice(start, step), columns))
        return total

    @classmethod
    def _of(cls, table: pa.Table, columns: Sequence[Paired]) -> PairSums:
        values = np.empty((len(columns), table.num_rows))
        for place, column in enumerate(columns):
            values[place] = (arrays.numbers(table.column(column.name)) - column.centre) / column.scale
        there = np.isfinite(values)
        if there.all():
            n, shape = table.num_rows, (len(columns), len(columns))
            sums, squares = values.sum(axis=1)[:, None], np.square(values).sum(axis=1)[:, None]
            everywhere = np.full(shape, float(n))
            return cls(everywhere, np.broadcast_to(sums, shape), np.broadcast_to(squares, shape), values @ values.T)
        values[~there] = 0.0
        weight = there.astype(np.float64)
        return cls(weight @ weight.T, values @ weight.T, np.square(values) @ weight.T, values @ values.T)

    def merge(self, other: PairSums) -> PairSums:
        """Add the sums of other rows."""
        return PairSums(
            self.rows + other.rows,
            self.sums + other.sums,
            self.squares + other.squares,
            self.products + other.products,
        )

    def correlations(self) -> NDArray[np.float64]:
        """Return Pearson's correlation of every pair, as pandas' ``corr``; nan where one of them does not vary."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = self.rows * self.squares - np.square(self.sums)
            # What is left of the rounding of a column that is constant where the other one has values.
            spread = np.where(spread > 1e-12 * self.rows * self.squares, spread, np.nan)
            shared = self.rows * self.products - self.sums * self.sums.T
            return np.asarray(np.clip(shared / np.sqrt(spread * spread.T), -1.0, 1.0))
