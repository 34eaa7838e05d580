"""Distribution: how often each number occurs, exactly while they are few, else to 12 bits of the mantissa.

The exact counts of all values while there are at most 65,536 distinct ones. Beyond that every value is moved to the
middle of its bin: those float64 that agree in sign, exponent and the first 12 bits of the mantissa. A bin is 2**-12 of
its lower edge wide, so an order statistic is off by at most 2**-13 (0.012 %) of its own size (below 2.3e-308, where
float64 itself has fewer digits, by at most 5.5e-312). Whether a distribution is exact, and all its counts, depend only
on the union of its values, never on how they were cut or merged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from daskflow.data.arrays import Numbers

Counts = NDArray[np.int64]

MOST_VALUES = 65_536
"""Distinct numbers up to which a distribution is exact."""

DROPPED_BITS = 40
"""Bits of a float64 below sign (1), exponent (11) and the first 12 of the mantissa."""


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
    """

    points: Numbers
    counts: Counts
    is_exact: bool = True

    def __eq__(self, other: object) -> bool:
        """Whether points and counts are the same."""
        return (
            isinstance(other, Distribution)
            and self.is_exact == other.is_exact
            and np.array_equal(self.points, other.points)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]  # as for every value that holds arrays

    @classmethod
    def of(cls, values: Numbers) -> Distribution:
        """Count finite values, shape (n_values,)."""
        points, counts = np.unique(values + 0.0, return_counts=True)  # + 0.0 makes -0.0 the same as 0.0
        return cls(points, counts.astype(np.int64))._bounded()

    @classmethod
    def counted(cls, points: Numbers, counts: Counts) -> Distribution:
        """Take finite points in any order, each with its count; equal ones are added up."""
        return cls(*_added(points + 0.0, counts))._bounded()

    def merge(self, other: Distribution) -> Distribution:
        """Add two distributions; associative and commutative."""
        is_exact = self.is_exact and other.is_exact
        left, right = (self, other) if is_exact else (self._binned(), other._binned())
        points = np.concatenate([left.points, right.points])
        counts = np.concatenate([left.counts, right.counts])
        return Distribution(*_added(points, counts), is_exact)._bounded()

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
        return self._binned() if self.is_exact and len(self.points) > MOST_VALUES else self

    def _binned(self) -> Distribution:
        """Move every value to the middle of its bin; a middle stays where it is."""
        if not self.is_exact:
            return self
        bits = self.points.view(np.int64)
        ordered = np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)  # in the order of the numbers
        bins = ordered >> DROPPED_BITS
        middle = (bins << DROPPED_BITS) + (1 << (DROPPED_BITS - 1))
        points = np.where(middle < 0, middle ^ np.int64(2**63 - 1), middle).view(np.float64)
        points[(bins == 0) | (bins == -1)] = 0.0  # zero itself, and what is nearer to it than float64's full digits
        return Distribution(*_added(points, self.counts), is_exact=False)


def _added(points: Numbers, counts: Counts) -> tuple[Numbers, Counts]:
    """Sort points and add up the counts of equal ones."""
    if not len(points):
        return points, counts
    order = np.argsort(points, kind="stable")
    points, counts = points[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], points[1:] != points[:-1]]))
    return points[starts], np.add.reduceat(counts, starts)
