"""Moments: sums of values and of their squares without rounding, so that no order of adding changes a bit.

Values are added as integers of 2**-1074 and squares of 2**-2148, the units in which every float64 is whole: a
superaccumulator (Kulisch, "Computer Arithmetic and Validity", 2008), here with carries every 512 values. Mean and
squared deviations are rounded once, when they are asked for, however large the mean is beside the spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data import adding, kernels
from daskflow.data.arrays import Numbers, numbers_of

UNIT, SQUARE_UNIT = 1074, 2148
"""Values are multiples of 2**-1074, their squares of 2**-2148."""

DIGIT = 32


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums of finite numbers.

    Attributes
    ----------
    count : int
        Numbers added.
    total : int
        Their sum in units of 2**-1074.
    squares : int
        The sum of their squares in units of 2**-2148.
    """

    count: int = 0
    total: int = 0
    squares: int = 0

    @classmethod
    def of_one(cls, value: float, times: int) -> Sums:
        """Return the sums of one finite number that stands so many times."""
        numerator, denominator = float(value).as_integer_ratio()
        shift = UNIT - (denominator.bit_length() - 1)
        whole = numerator << shift
        return cls(times, whole * times, whole * whole * times)

    def merge(self, other: Sums) -> Sums:
        """Add the sums of other numbers."""
        return Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The correctly rounded mean; nan without numbers."""
        return self.total / (self.count << UNIT) if self.count else math.nan

    @property
    def m2(self) -> float:
        """The correctly rounded sum of squared deviations from the mean; inf where float64 does not hold it."""
        if not self.count:
            return 0.0
        try:
            return (self.count * self.squares - self.total * self.total) / (self.count << SQUARE_UNIT)
        except OverflowError:
            return math.inf


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at some numbers gives: how many are nan and infinite, the ends and sums of the others."""

    n_missing: int
    n_infinite: int
    low: float
    high: float
    sums: Sums


def look(values: Numbers) -> Found:
    """Add up numbers, shape (n_values,); nan is missing.

    Examples
    --------
    >>> found = look(np.array([1e16, 1.0, -1e16, np.nan]))
    >>> found.sums.mean, found.n_missing, found.low
    (0.3333333333333333, 1, -1e+16)
    """
    sums = np.zeros(adding.SUM_LIMBS, dtype=np.int64)
    squares = np.zeros(adding.SQUARE_LIMBS, dtype=np.int64)
    counts, ends = np.zeros(2, dtype=np.int64), np.array([kernels.MAGNITUDE, -kernels.MAGNITUDE])
    adding.add_up(np.ascontiguousarray(values, dtype=np.float64), sums, squares, counts, ends)
    n_missing, n_infinite = counts.tolist()
    finite = len(values) - n_missing - n_infinite
    low, high = numbers_of(ends).tolist() if finite else (math.nan, math.nan)
    return Found(n_missing, n_infinite, low, high, Sums(finite, _whole(sums), _whole(squares)))


def _whole(digits: NDArray[np.int64]) -> int:
    """Return the integer that digits of 32 bits stand for; digits may be negative or have carries."""
    found: Any = sum(int(digits[place]) << (DIGIT * int(place)) for place in np.flatnonzero(digits))
    return int(found)
