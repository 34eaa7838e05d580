"""Mutual information of a column and the target, from counts of both that merge without rounding."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data import arrays
from daskflow.data.arrays import Numbers
from daskflow.data.hashing import canonical
from daskflow.data.schema import ColumnKind, kind_of
from daskflow.data.tallies import Rows

Keys = NDArray[np.int64]

MOST_BINS = 512
"""Bins of numbers that are counted."""

MOST_TARGET_BINS = 128
"""Bins of a target of a regression that are counted."""

MOST_PAIRS, MOST_LEVELS = 1 << 18, 8_192
"""Pairs of a level and a class that are counted of strings, and levels at most."""

USED_BINS, USED_TARGET_BINS = 64, 16
"""Bins of about equally many rows that counted ones are made to, at most."""

FEW_ROWS, FEW_SHARE = 8, 1024
"""Levels of fewer rows than 8, or than 1/1024 of all, are one."""

MISSING_KEY = np.iinfo(np.int64).min
"""Stands for a missing value; no value has it, for the smallest float64 has a greater one."""


def _no_keys() -> Keys:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Rows by a column's bin and the target's; `JointCounts` says how they come about.

    Attributes
    ----------
    column, target, counts : ndarray of int64, shape (n_pairs,)
        Keys of the bins, sorted, and rows.
    column_shift, target_shift : int
        Bits that are dropped of the keys.
    column_limit, target_limit : int
        Distinct keys at most; 0 where there is no limit: classes.
    """

    column: Keys = field(default_factory=_no_keys)
    target: Keys = field(default_factory=_no_keys)
    counts: Keys = field(default_factory=_no_keys)
    column_shift: int = 0
    target_shift: int = 0
    column_limit: int = MOST_BINS
    target_limit: int = 0

    def __eq__(self, other: object) -> bool:
        """Whether all counts are the same."""
        return isinstance(other, Joint) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # as for every value that holds arrays


@dataclass(frozen=True, slots=True)
class JointCounts:
    """Tally of a column's values with the target's.

    A key is a 64-bit integer that sorts like the value (the bits of a float64), or the hash of a level. While there are
    more distinct keys than the limit, their last bit is dropped. How many bits that takes depends on the union of the
    keys alone, and no part of them takes more than the whole; so states merge exactly in any order. More than half of
    the limit stay, for a bit joins two keys at most.
    """

    @property
    def by_part(self) -> bool:
        """It does not look at inner parts."""
        return False

    def nothing(self) -> Joint:
        """Return the state of no rows."""
        return Joint()

    def of(self, column: pa.Array, rows: Rows) -> Joint:
        """Count some rows.

        Raises
        ------
        DataError
            Without a target.
        """
        if rows.target is None:
            raise DataError("Mutual information is that with the target, and there is none. Give y to fit.")
        if not len(column):
            return Joint()
        codes = rows.target.codes
        is_text = kind_of(column.type, "") is ColumnKind.CATEGORICAL
        n_targets = len(rows.target.classes) if codes is not None else MOST_TARGET_BINS
        found = Joint(
            column=_keys_of(column),
            target=codes if codes is not None else ordered(rows.target.values),
            counts=np.ones(len(column), dtype=np.int64),
            column_limit=min(MOST_LEVELS, MOST_PAIRS // max(1, n_targets)) if is_text else MOST_BINS,
            target_limit=MOST_TARGET_BINS if codes is None else 0,
        )
        return _bounded(found)

    def merge(self, left: Joint, right: Joint) -> Joint:
        """Add two states."""
        if not len(left.counts) or not len(right.counts):
            return left if len(left.counts) else right
        column_shift = max(left.column_shift, right.column_shift)
        target_shift = max(left.target_shift, right.target_shift)
        left, right = (_shifted(side, column_shift, target_shift) for side in (left, right))
        both = replace(
            left,
            column=np.concatenate([left.column, right.column]),
            target=np.concatenate([left.target, right.target]),
            counts=np.concatenate([left.counts, right.counts]),
        )
        return _bounded(both)


def mutual_information(found: Joint, *, is_ordered: bool) -> float:
    """Return the mutual information in nats, less the bias expected of independent columns; not below 0.

    Parameters
    ----------
    found : Joint
        The counts.
    is_ordered : bool
        Whether the column's keys are numbers, whose neighbours may be joined, instead of levels.
    """
    total = int(found.counts.sum())
    if not total:
        return 0.0
    wanted = int(np.clip(round(2 * total ** (1 / 3)), 4, USED_BINS))
    keys, places = np.unique(found.column, return_inverse=True)
    rows = np.bincount(places, weights=found.counts).astype(np.float64)
    is_missing = keys == MISSING_KEY
    if is_ordered:
        bins = np.where(is_missing, wanted, _even(np.where(is_missing, 0.0, rows), wanted))
    else:
        is_rare = (rows < max(FEW_ROWS, total / FEW_SHARE)) & ~is_missing
        bins = np.where(is_rare, len(keys), np.arange(len(keys)))
    targets, target_places = np.unique(found.target, return_inverse=True)
    target_rows = np.bincount(target_places, weights=found.counts).astype(np.float64)
    classes = _even(target_rows, USED_TARGET_BINS) if found.target_limit else np.arange(len(targets))
    bins, classes = bins[places], classes[target_places]
    table = np.zeros((int(bins.max()) + 1, int(classes.max()) + 1))
    np.add.at(table, (bins, classes), found.counts)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    shares = table / total
    expected = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    there = shares > 0
    plain = float((shares[there] * np.log(shares[there] / expected[there])).sum())
    bias = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * total)
    return max(0.0, plain - bias)


def ordered(values: Numbers) -> Keys:
    """Return the bits of numbers as integers that sort like them; -0.0 is 0.0.

    Examples
    --------
    >>> bool((np.diff(ordered(np.array([-np.inf, -2.0, -1e-300, 0.0, 1.0, 1e300]))) > 0).all())
    True
    """
    bits = np.ascontiguousarray(values + 0.0).view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def _keys_of(column: pa.Array) -> Keys:
    """A column's keys."""
    kind = kind_of(column.type, "")
    if kind is ColumnKind.CATEGORICAL:
        hashes, is_missing = canonical(column, "")
        keys = hashes.view(np.int64)
    else:
        values = arrays.seconds(column) if kind is ColumnKind.DATETIME else arrays.numbers(column)
        keys, is_missing = ordered(values), np.isnan(values)
    return np.where(is_missing, MISSING_KEY, keys)


def _shifted(found: Joint, column_shift: int, target_shift: int) -> Joint:
    """Drop bits until so many are dropped; equal pairs may stand beside each other then."""
    moved = found.column >> (column_shift - found.column_shift)
    return replace(
        found,
        column=np.where(found.column == MISSING_KEY, MISSING_KEY, moved),
        target=found.target >> (target_shift - found.target_shift),
        column_shift=column_shift,
        target_shift=target_shift,
    )


def _bounded(found: Joint) -> Joint:
    """Drop bits until the limits are kept, and add up equal pairs."""
    columns = _distinct(found.column)
    targets = _distinct(found.target) if found.target_limit else np.arange(found.target.max() + 1)
    column_bits = _bits(columns[columns != MISSING_KEY], found.column_limit)
    target_bits = _bits(targets, found.target_limit) if found.target_limit else 0
    if column_bits or target_bits:
        found = _shifted(found, found.column_shift + column_bits, found.target_shift + target_bits)
        columns = _distinct(np.where(columns == MISSING_KEY, MISSING_KEY, columns >> column_bits))
        targets = _distinct(targets >> target_bits)
    places = found.target if not found.target_limit else np.searchsorted(targets, found.target)
    # looked up rather than inverted by np.unique, which would sort the rows by their keys
    pairs = np.searchsorted(columns, found.column) * len(targets) + places
    # sums of whole numbers below 2**53 are exact as float64
    counts = np.bincount(pairs, weights=found.counts, minlength=len(columns) * len(targets)).astype(np.int64)
    there = np.flatnonzero(counts)
    return replace(
        found, column=columns[there // len(targets)], target=targets[there % len(targets)], counts=counts[there]
    )


def _distinct(keys: Keys) -> Keys:
    """Distinct keys, sorted; by sorting, for `np.unique` hashes integers, at a hundred times the cost of many."""
    found = np.sort(keys)
    return found[np.concatenate([[True], found[1:] != found[:-1]])] if len(found) else found


def _bits(keys: Keys, limit: int) -> int:
    """How many last bits of distinct, sorted keys must be dropped so that no more than `limit` stay."""
    if len(keys) <= limit:
        return 0
    low, high = 0, 64  # dropping `low` bits is too few, dropping `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        n_left = 1 + int(np.count_nonzero(np.diff(keys >> middle)))
        low, high = (low, middle) if n_left <= limit else (middle, high)
    return high


def _even(rows: Numbers, wanted: int) -> Keys:
    """Bins of about equally many rows for values in order; each value its own where there are few."""
    if len(rows) <= wanted:
        return np.arange(len(rows))
    middles = np.cumsum(rows) - rows / 2
    bins: Keys = np.minimum((middles * wanted / rows.sum()).astype(np.int64), wanted - 1)
    return bins
