"""Crosstab: how many rows have each value in each of some groups, exactly while the values are few.

Values are 64-bit keys that sort like them. Beyond a limit of distinct keys, numbers are moved into bins (those float64
that agree in sign, exponent and the first bits of the mantissa); keys that have no neighbours (texts, instants) are
given up. Which of these a crosstab is depends only on the union of its values, never on how they were cut or merged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from daskflow.data.arrays import Numbers

Keys = NDArray[np.int64]
Counts = NDArray[np.int64]

SIGN = np.uint64(1 << 63)


class Form(StrEnum):
    """What the keys of a crosstab are."""

    INTEGER = "integer"
    UNSIGNED = "unsigned"
    FLOAT = "float"
    INSTANT = "instant"
    TEXT = "text"

    @property
    def has_bins(self) -> bool:
        """Whether keys beyond the limit can be moved into bins."""
        return self in (Form.INTEGER, Form.UNSIGNED, Form.FLOAT)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many distinct keys are counted exactly, and how many bits of the mantissa are kept of more."""

    most: int
    bits: int = 12

    @property
    def dropped(self) -> int:
        """Bits of a float64 that a bin does not look at."""
        return 52 - self.bits


@dataclass(frozen=True, slots=True, eq=False)
class Crosstab:
    """Rows by key and group.

    Attributes
    ----------
    form : Form
        What the keys are.
    limit : Limit
        When they are no longer exact.
    keys : ndarray of int64, shape (n_keys,)
        Distinct and increasing.
    counts : ndarray of int64, shape (n_keys, n_groups)
        Rows, or whatever else is added up; the first column of a key is positive somewhere.
    is_exact : bool
        Whether the keys are the values themselves. Keys without neighbours are gone when they are not.
    """

    form: Form
    limit: Limit
    keys: Keys
    counts: Counts
    is_exact: bool = True

    @classmethod
    def nothing(cls, form: Form, limit: Limit, n_groups: int) -> Crosstab:
        """Return the crosstab of no rows."""
        return cls(form, limit, np.empty(0, dtype=np.int64), np.zeros((0, n_groups), dtype=np.int64))

    @classmethod
    def of(cls, form: Form, limit: Limit, keys: Keys, counts: Counts, *, is_exact: bool = True) -> Crosstab:
        """Take distinct keys in any order, each with its counts; rows of zeros are left out.

        Keys that are bins already, or that were given up, are not exact.
        """
        used = np.flatnonzero(counts[:, 0] if counts.shape[1] == 1 else np.any(counts, axis=1))
        used = used[np.argsort(keys[used])]
        return cls(form, limit, keys[used], counts[used], is_exact)._bounded()

    def merge(self, other: Crosstab) -> Crosstab:
        """Add two crosstabs of one column; associative and commutative to the last bit."""
        is_exact = self.is_exact and other.is_exact
        left, right = (self, other) if is_exact else (self._coarse(), other._coarse())
        keys, counts = _added(np.concatenate([left.keys, right.keys]), np.concatenate([left.counts, right.counts]))
        return replace(self, keys=keys, counts=counts, is_exact=is_exact)._bounded()

    @property
    def points(self) -> Numbers:
        """The values as float64, increasing; the middles of their bins where they are not exact."""
        if not self.is_exact:
            middles = from_ordered((self.keys << self.limit.dropped) + (1 << (self.limit.dropped - 1)))
            middles[(self.keys == 0) | (self.keys == -1)] = 0.0
            return middles
        return numbers_of(self.keys, self.form)

    @property
    def total(self) -> Counts:
        """Counts of each key over all groups."""
        found: Counts = self.counts.sum(axis=1)
        return found

    def _bounded(self) -> Crosstab:
        """Give up exactness where there are too many keys."""
        return self._coarse() if self.is_exact and len(self.keys) > self.limit.most else self

    def _coarse(self) -> Crosstab:
        """Return bins where keys have neighbours, else no keys at all."""
        if not self.is_exact:
            return self
        if not self.form.has_bins:
            return replace(Crosstab.nothing(self.form, self.limit, self.counts.shape[1]), is_exact=False)
        keys, counts = _added(bins_of(self.keys, self.form, self.limit), self.counts)
        return replace(self, keys=keys, counts=counts, is_exact=False)


def bins_of(keys: Keys, form: Form, limit: Limit) -> Keys:
    """Return the bins that the keys of numbers fall into."""
    return ordered(numbers_of(keys, form)) >> limit.dropped


def numbers_of(keys: Keys, form: Form) -> Numbers:
    """Return what keys stand for, as float64."""
    if form is Form.FLOAT:
        return from_ordered(keys)
    if form is Form.UNSIGNED:
        return (keys.view(np.uint64) ^ SIGN).astype(np.float64)
    return keys.astype(np.float64)


def ordered(values: Numbers) -> Keys:
    """Return the bits of numbers as integers that sort like them."""
    bits = values.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def from_ordered(keys: Keys) -> Numbers:
    """Return the numbers of such integers."""
    return np.where(keys < 0, keys ^ np.int64(2**63 - 1), keys).view(np.float64) + 0.0


def _added(keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Sort keys and add up the counts of equal ones."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts, axis=0)
