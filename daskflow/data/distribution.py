"""Distribution: how often each number occurs, exactly while they are few, else to some bits of the mantissa.

The exact counts of all values while there are at most so many distinct ones. Beyond that every value is moved to the
middle of its bin: those float64 that agree in sign, exponent and the first bits of the mantissa. With b bits a bin is
2**-b of its lower edge wide, so an order statistic is off by at most 2**-(b+1) of its own size (below 2.3e-308, where
float64 itself has fewer digits, by at most 2**-b of that). Whether a distribution is exact, and all its counts, depend
only on the union of its values, never on how they were cut or merged.

Two resolutions: `FINE` (tables of up to a million rows, and whatever has no known size) is exact up to 65,536 distinct
values, else within 2**-13 (0.012 %); `COARSE` (larger tables, where states travel) up to 4,096, else within 2**-10
(0.098 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from daskflow.data import adding
from daskflow.data.arrays import Numbers, numbers_of, ordered_bits, pooled

Counts = NDArray[np.int64]

FINE_ROWS = 1_000_000
"""Rows of a table up to which its distributions are fine."""

OCTAVES = 32
"""Powers of two below the largest magnitude whose bins are counted at their place in a table."""

TABLE = 1 << 15
"""Places of the first table that values are counted in; larger ones follow when it is half full."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """How many distinct numbers are counted exactly, and how many bits of the mantissa are kept of more."""

    most_values: int
    bits: int

    @property
    def dropped(self) -> int:
        """Bits of a float64 that a bin does not look at."""
        return 52 - self.bits

    @property
    def bound(self) -> float:
        """Largest relative error of an order statistic where the distribution is not exact."""
        return float(2.0 ** -(self.bits + 1))


FINE, COARSE = Resolution(65_536, 12), Resolution(4_096, 9)


def resolution_for(n_rows: int) -> Resolution:
    """Return the resolution of a table of so many rows."""
    return FINE if n_rows <= FINE_ROWS else COARSE


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """How often each number occurs.

    Attributes
    ----------
    points : ndarray of float64
        Distinct and increasing; the middles of their bins when not exact.
    counts : ndarray of int64
        Rows at each point; positive.
    is_exact : bool
        Whether the points are the values themselves.
    resolution : Resolution
        Up to how many values it stays exact, and what it keeps of more.
    """

    points: Numbers
    counts: Counts
    is_exact: bool = True
    resolution: Resolution = FINE

    def __eq__(self, other: object) -> bool:
        """Whether points and counts are the same."""
        return (
            isinstance(other, Distribution)
            and (self.is_exact, self.resolution) == (other.is_exact, other.resolution)
            and np.array_equal(self.points, other.points)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]  # as for every value that holds arrays

    @classmethod
    def of(cls, values: Numbers, resolution: Resolution = FINE) -> Distribution:
        """Count finite values, shape (n_values,)."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        exact = _counted_keys(values, 0, resolution.most_values)
        if exact is not None:
            return cls(numbers_of(exact[0]), exact[1], True, resolution)
        return cls(*_middles(*_counted_bins(values, resolution.dropped), resolution.dropped), False, resolution)

    @classmethod
    def counted(cls, points: Numbers, counts: Counts, resolution: Resolution = FINE) -> Distribution:
        """Take finite points in any order, each with its count; equal ones are added up."""
        return cls(*_added(points + 0.0, counts), True, resolution)._bounded()

    def merge(self, other: Distribution) -> Distribution:
        """Add two distributions; associative and commutative. The coarser resolution is kept."""
        resolution = min(self.resolution, other.resolution, key=lambda each: each.bits)
        is_exact = self.is_exact and other.is_exact
        left, right = (each if is_exact else each._binned(resolution) for each in (self, other))
        points = np.empty(len(left.points) + len(right.points))
        counts = np.empty(len(points), dtype=np.int64)
        n = adding.merge_counts(left.points, left.counts, right.points, right.counts, points, counts)
        return Distribution(points[:n], counts[:n], is_exact, resolution)._bounded()

    def moved(self, centre: float, scale: float) -> Distribution:
        """Return the distribution of (value - centre) / scale, scale > 0."""
        return replace(self, points=(self.points - centre) / scale)

    def quantile(self, q: float) -> float:
        """Return a quantile, interpolated between order statistics as numpy does; nan without values."""
        reached = np.cumsum(self.counts)
        if not len(reached):
            return math.nan
        place = (int(reached[-1]) - 1) * q
        low, high = np.searchsorted(reached, [math.floor(place), math.ceil(place)], side="right")
        below, above = float(self.points[low]), float(self.points[high])
        return below + (above - below) * (place - math.floor(place))

    def _bounded(self) -> Distribution:
        """Give up exactness where there are too many values."""
        too_many = self.is_exact and len(self.points) > self.resolution.most_values
        return self._binned(self.resolution) if too_many else self

    def _binned(self, resolution: Resolution) -> Distribution:
        """Move every value to the middle of its bin; a middle of finer bins goes to that of the coarser one."""
        if not self.is_exact and self.resolution == resolution:
            return self
        keys = ordered_bits(self.points) >> resolution.dropped
        return Distribution(*_middles(keys, self.counts, resolution.dropped), False, resolution)


def levels_up_to(values: Numbers, most: int) -> dict[float, int] | None:
    """Return how often each finite value occurs, in order; None when there are more than `most` distinct ones.

    Examples
    --------
    >>> levels_up_to(np.array([2.0, 1.0, 2.0, np.nan]), 5)
    {1.0: 1, 2.0: 2}
    """
    found = _counted_keys(np.ascontiguousarray(values, dtype=np.float64), 0, most)
    return None if found is None else dict(zip(numbers_of(found[0]).tolist(), found[1].tolist(), strict=True))


def _counted_keys(values: Numbers, dropped: int, most: int) -> tuple[NDArray[np.int64], Counts] | None:
    """Return the distinct leading bits of values in order, and their counts; None when there are more than `most`."""
    size = min(TABLE, 1 << (2 * min(most, len(values)) + 1).bit_length())
    while True:
        within = min(most, size // 2)
        keys, counts = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        if adding.count_keys(values, np.int64(dropped), within, keys, counts) >= 0:
            used = np.flatnonzero(counts)
            order = used[np.argsort(keys[used])]
            return keys[order], counts[order]
        if within == most:
            return None
        size *= 8


def _counted_bins(values: Numbers, dropped: int) -> tuple[NDArray[np.int64], Counts]:
    """Return the distinct leading bits of values in order, and their counts.

    Most of many values are near the largest, where the leading bits are places of a table.
    """
    raw, n_bins = values.view(np.int64), OCTAVES << (52 - dropped)
    if len(values) < n_bins:
        return _all_keys(values, dropped)
    first = np.int64(max(0, (int(adding.largest(raw)) >> dropped) - n_bins + 1))
    tables, rest = np.zeros((2, n_bins), dtype=np.int32), pooled(len(values), np.int64)
    n_rest = adding.count_bins(raw, np.int64(dropped), first, tables, rest)
    small = _all_keys(rest[:n_rest].view(np.float64), dropped)
    above, below = np.flatnonzero(tables[0]), np.flatnonzero(tables[1])[::-1]
    keys = [~(below + first), small[0], above + first]
    counts = [tables[1][below], small[1], tables[0][above]]
    return np.concatenate(keys), np.concatenate(counts).astype(np.int64)


def _all_keys(values: Numbers, dropped: int) -> tuple[NDArray[np.int64], Counts]:
    """Return the distinct leading bits of values in order, and their counts, however many."""
    found = _counted_keys(values, dropped, len(values))
    if found is None:
        raise ValueError("there are never more bins than values")
    return found


def _middles(bins: NDArray[np.int64], counts: Counts, dropped: int) -> tuple[Numbers, Counts]:
    """Return the middles of bins; those next to zero are zero, and are added up."""
    points = numbers_of((bins << dropped) + (1 << (dropped - 1)))
    points[(bins == 0) | (bins == -1)] = 0.0  # zero itself, and what is nearer to it than float64's full digits
    return _runs(points, counts)


def _added(points: Numbers, counts: Counts) -> tuple[Numbers, Counts]:
    """Sort points and add up the counts of equal ones."""
    order = np.argsort(points, kind="stable")
    return _runs(points[order], counts[order])


def _runs(points: Numbers, counts: Counts) -> tuple[Numbers, Counts]:
    """Add up the counts of equal points that stand side by side."""
    if not len(points):
        return points, counts
    starts = np.flatnonzero(np.concatenate([[True], points[1:] != points[:-1]]))
    return points[starts], np.add.reduceat(counts, starts)
