"""Sums of numbers by group that are the same to the last bit in any order of adding.

A number is cut into digits of 32 bits at fixed places: digit ``p`` counts units of ``2**(32 p)``. Of all sums of a
state three digits are kept, from the highest place that any of its numbers reaches. A number loses less than 2**-64 of
the largest one thereby, whatever was added first, for the places do not depend on what else is there. Sums of digits
are integers, which hold 2**31 rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daskflow.data.arrays import Numbers

DIGIT_BITS, KEPT = 32, 3

LOWEST = -34
"""Place of the smallest float64, 2**-1074, and of the state that has seen none but zero."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupSums:
    """Sums of some groups.

    Attributes
    ----------
    digits : ndarray of int64, shape (n_groups, 3)
        Highest first; they carry signs, and may exceed 32 bits.
    place : int
        Of the highest digit.
    """

    digits: NDArray[np.int64]
    place: int = LOWEST

    @classmethod
    def of(cls, values: Numbers, groups: NDArray[np.int64], n_groups: int) -> GroupSums:
        """Add up finite values by the number of their group.

        Examples
        --------
        >>> GroupSums.of(np.array([0.5, 1e18, -1e18]), np.array([1, 0, 0]), 2).values()
        array([0. , 0.5])
        """
        sizes = np.abs(values)
        place = _place_of(float(sizes.max())) if len(sizes) else LOWEST
        digits = np.zeros((n_groups, KEPT), dtype=np.int64)
        signs = np.where(values < 0, -1, 1).astype(np.int64)
        for number in range(KEPT):
            exponent = DIGIT_BITS * (place - number)
            if exponent < DIGIT_BITS * LOWEST:
                break
            digit = np.floor(np.ldexp(sizes, -exponent))
            sizes = sizes - np.ldexp(digit, exponent)  # exact: the digit is the number's own leading bits
            np.add.at(digits[:, number], groups, digit.astype(np.int64) * signs)
        return cls(digits, place)

    @property
    def nbytes(self) -> int:
        """Bytes of the digits."""
        return self.digits.nbytes

    def raised(self, place: int) -> GroupSums:
        """Return the sums from a higher place on; what lies below its three digits is let go."""
        shift = place - self.place
        if shift == 0:
            return self
        digits = np.zeros_like(self.digits)
        if shift < KEPT:
            digits[:, shift:] = self.digits[:, : KEPT - shift]
        return GroupSums(digits, place)

    def joined(self, other: GroupSums, order: NDArray[np.int64], starts: NDArray[np.int64]) -> GroupSums:
        """Add those of both that stand together after sorting: in `order`, each group from its start on."""
        place = max(self.place, other.place)
        both = np.concatenate([self.raised(place).digits, other.raised(place).digits])
        return GroupSums(_added(both[order], starts), place)

    def regrouped(self, order: NDArray[np.int64], starts: NDArray[np.int64]) -> GroupSums:
        """Add those that stand together after sorting."""
        return GroupSums(_added(self.digits[order], starts), self.place)

    def values(self) -> Numbers:
        """Return the sums as float64, shape (n_groups,)."""
        return values_of(self.digits, self.place)


def values_of(digits: NDArray[np.int64], place: int) -> Numbers:
    """Return what digits, shape (..., 3), of this highest place mean."""
    total = np.zeros(digits.shape[:-1])
    for number in reversed(range(KEPT)):
        total += np.ldexp(digits[..., number].astype(np.float64), DIGIT_BITS * (place - number))
    return total


def _place_of(size: float) -> int:
    """Return the place of a number's leading bit."""
    return (int(np.frexp(size)[1]) - 1) // DIGIT_BITS if size else LOWEST


def _added(digits: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.add.reduceat(digits, starts, axis=0) if len(starts) else digits
