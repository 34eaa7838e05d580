"""Sums of rows in the order of a number: exact while that has few distinct values, else to 12 bits of its mantissa.

Beyond `MOST` distinct keys each is moved to the middle of its bin: the float64 that agree in exponent and the first 12
bits of the mantissa. A bin is at most 2**-12 of its lower edge wide, so a key is off by at most 2**-13 (0.012 %) of its
own size. Whether keys are exact, and all sums, depend only on the union of the rows, never on how they were cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daskflow.data.arrays import numbers_of, ordered_bits

Floats = NDArray[np.float64]

MOST = 2**17
"""Distinct keys up to which they are exact; with one column of sums a state is 2 MB at most there."""

DROPPED = 52 - 12
"""Bits of a float64 that a bin does not look at."""

BOUND = 2.0**-13
"""Largest relative error of a key that is not exact."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderedSums:
    """Sums of rows by a key.

    Attributes
    ----------
    keys : ndarray of shape (n_keys,)
        Distinct, finite, not negative and increasing; the middles of their bins when not exact.
    sums : ndarray of shape (n_keys, n_columns)
        Of the rows at each key.
    is_exact : bool
        Whether the keys are what was given.
    """

    keys: Floats
    sums: Floats
    is_exact: bool = True

    @classmethod
    def of(cls, keys: Floats, columns: Floats, most: int = MOST) -> OrderedSums:
        """Add up rows: keys of shape (n_rows,), at least 0, and columns of shape (n_rows, n_columns)."""
        if len(keys) > 4 * most:  # likely too many to tell apart, which a part of the rows can show
            head = slice(0, 2 * most)
            if not cls.of(keys[head], columns[head], most).is_exact:
                return cls._counted(keys, columns)
        return cls(*_added(keys + 0.0, columns))._bounded(most)

    @classmethod
    def _counted(cls, keys: Floats, columns: Floats) -> OrderedSums:
        """Add up rows by bin without sorting them."""
        bins = ordered_bits(keys + 0.0) >> DROPPED
        first = int(bins.min())
        used = np.flatnonzero(np.bincount(bins - first))
        sums = [np.bincount(bins - first, column)[used] for column in columns.T]
        return cls(_middles(used + first), np.column_stack(sums), False)

    def merge(self, other: OrderedSums, most: int = MOST) -> OrderedSums:
        """Add; associative and commutative up to the rounding of sums."""
        is_exact = self.is_exact and other.is_exact
        left, right = (each if is_exact else each._binned() for each in (self, other))
        keys, sums = np.concatenate([left.keys, right.keys]), np.concatenate([left.sums, right.sums])
        return OrderedSums(*_added(keys, sums), is_exact)._bounded(most)

    def _bounded(self, most: int) -> OrderedSums:
        """Give up exactness where there are too many keys."""
        return self._binned() if self.is_exact and len(self.keys) > most else self

    def _binned(self) -> OrderedSums:
        """Move every key to the middle of its bin."""
        if not self.is_exact:
            return self
        return OrderedSums(*_added(_middles(ordered_bits(self.keys) >> DROPPED), self.sums), False)


def _middles(bins: NDArray[np.int64]) -> Floats:
    """Return the middles of bins; that of the first, which holds 0, is 0."""
    middles = numbers_of((bins << DROPPED) + (1 << (DROPPED - 1)))
    middles[bins == 0] = 0.0
    return middles


def _added(keys: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """Sort keys and add up the columns of equal ones."""
    if not len(keys):
        return keys, columns
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(columns[order], starts, axis=0)
