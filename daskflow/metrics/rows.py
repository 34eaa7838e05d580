"""A bounded sample of rows, chosen by their units: for metrics that are neither sums nor rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.bootstrap import SHIFT, Places

Floats = NDArray[np.float64]

MOST_ROWS = 2**20
"""Rows that are resampled one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a share of the units.

    Attributes
    ----------
    columns : mapping of str to ndarray, first axis n_held
        ``y`` and the predictions by what metrics need.
    place : ndarray of uint32, shape (n_held,)
        Of the rows' units.
    weight : ndarray of shape (n_held,)
        Of the rows.
    n_rows : int
        Rows seen.
    level : int
        A share of 2**-level of the units is held.
    """

    columns: Mapping[str, NDArray[Any]]
    place: Places
    weight: Floats
    n_rows: int
    level: int = 0

    def merged(self, other: Rows) -> Rows:
        """Put rows side by side, and hold fewer units when they are too many."""
        columns = {
            name: np.concatenate([values, other.columns[name]])
            for name, values in self.columns.items()
            if name in other.columns
        }
        return Rows(
            columns,
            np.concatenate([self.place, other.place]),
            np.concatenate([self.weight, other.weight]),
            self.n_rows + other.n_rows,
            max(self.level, other.level),
        ).thinned()

    def thinned(self, most: int = MOST_ROWS) -> Rows:
        """Hold the rows of half of the units, of a quarter, and so on, until they are at most so many."""
        low = self.place & np.uint32((1 << SHIFT) - 1)
        level = self.level
        while True:
            kept = low < np.uint32((1 << SHIFT) >> level)
            if int(kept.sum()) <= most or level == SHIFT:
                break
            level += 1
        columns = {name: values[kept] for name, values in self.columns.items()}
        return Rows(columns, self.place[kept], self.weight[kept], self.n_rows, level)
