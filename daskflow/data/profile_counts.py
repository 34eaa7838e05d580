"""Counts of one column for a profile: everything that one pass can add up without rounding.

The state of some rows, and its merge. All parts are integers, sets or sorted arrays, so that a profile is the same to
the last bit however the rows were cut, but for what it says of the partitions themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from daskflow.data import arrays
from daskflow.data.crosstab import Counts, Crosstab, Form, Limit
from daskflow.data.moments import Sums, look
from daskflow.data.profile_target import TargetRows
from daskflow.data.profile_values import Encoded, Values, encoded
from daskflow.data.schema import Column, ColumnKind

FIRST, MIDDLE, LAST = 0, 1, 2
"""Groups of partitions: the first quarter of the rows, what is between, the last quarter."""

DAY_SECONDS, HOURS = 86_400, 24
MOST_DAYS = 65_536

NUMBER_TEXT = r"^[+\-(]?[$£€]?\s?[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:[,.' ]\d{3})+)(?:[.,]\d+)?(?:[eE][+-]?\d+)?\s?%?\)?$"
DATE_TEXT = r"^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[ T]\d{1,2}:\d{2}.*)?$"
"""Texts that look like numbers (leading zeros belong to codes, and are left) and like dates."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a piece of a table stands: its partition, its stripe of partitions, its group, and how many there are."""

    partition: int
    stripe: int
    group: int
    n_stripes: int


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of some rows: their lengths in characters, and how many are blank, padded, or look like something else."""

    n_rows: int = 0
    n_characters: int = 0
    shortest: int | None = None
    longest: int | None = None
    n_blank: int = 0
    n_padded: int = 0
    n_numbers: int = 0
    n_dates: int = 0

    @classmethod
    def of(cls, texts: pa.Array, counts: Counts) -> Texts:
        """Look at distinct texts, each standing in so many rows."""
        used = np.flatnonzero(counts)
        if not len(used):
            return cls()
        texts, rows = texts.take(pa.array(used)), counts[used]
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
        trimmed = pc.utf8_trim_whitespace(texts)

        def n_rows(found: pa.Array) -> int:
            return int(rows[np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)].sum())

        return cls(
            n_rows=int(rows.sum()),
            n_characters=int((lengths * rows).sum()),
            shortest=int(lengths.min()),
            longest=int(lengths.max()),
            n_blank=n_rows(pc.equal(trimmed, "")),
            n_padded=n_rows(pc.and_(pc.not_equal(trimmed, texts), pc.not_equal(trimmed, ""))),
            n_numbers=n_rows(pc.match_substring_regex(trimmed, NUMBER_TEXT)),
            n_dates=n_rows(pc.match_substring_regex(trimmed, DATE_TEXT)),
        )

    def merge(self, other: Texts) -> Texts:
        """Add the texts of other rows."""
        return Texts(
            self.n_rows + other.n_rows,
            self.n_characters + other.n_characters,
            least(self.shortest, other.shortest),
            most(self.longest, other.longest),
            self.n_blank + other.n_blank,
            self.n_padded + other.n_padded,
            self.n_numbers + other.n_numbers,
            self.n_dates + other.n_dates,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """Dates of some rows: how many on each day and in each hour of the day, as a clock on the wall showed them."""

    days: Crosstab
    hours: Counts
    n_at_midnight: int

    @classmethod
    def nothing(cls) -> Dates:
        """Return the dates of no rows."""
        return cls(Crosstab.nothing(Form.INSTANT, Limit(MOST_DAYS), 1), np.zeros(HOURS, dtype=np.int64), 0)

    @classmethod
    def of(cls, values: pa.Array) -> Dates:
        """Count a column's dates; missing ones are left out."""
        clock = arrays.wall_clock(arrays.as_timestamps(values.drop_null()))
        per_day = DAY_SECONDS * arrays.UNITS[clock.type.unit]
        ticks = clock.cast(pa.int64()).to_numpy(zero_copy_only=False)
        days, rest = ticks // per_day, ticks % per_day
        places, uniques = pd.factorize(days)
        counts = np.bincount(places, minlength=len(uniques))
        return cls(
            Crosstab.of(Form.INSTANT, Limit(MOST_DAYS), uniques, counts.astype(np.int64)[:, None]),
            np.bincount(rest // (per_day // HOURS), minlength=HOURS).astype(np.int64),
            int(np.count_nonzero(rest == 0)),
        )

    def merge(self, other: Dates) -> Dates:
        """Add the dates of other rows."""
        midnight = self.n_at_midnight + other.n_at_midnight
        return Dates(self.days.merge(other.days), self.hours + other.hours, midnight)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnCounts:
    """What is counted of one column over some rows; states of disjoint rows merge.

    Attributes
    ----------
    missing : ndarray of int64, shape (n_stripes,)
        Rows without a value, by stripe of partitions.
    missing_by_group : ndarray of int64, shape (3,)
        The same by group of partitions.
    n_infinite, n_zero, n_negative : int
        Rows with such numbers.
    sums : Sums
        Exact sums of the finite numbers.
    low, high : int, float or None
        Extremes of the finite numbers; of dates in their own unit since 1970.
    values : Values
        What values there are.
    texts : Texts or None
        For strings.
    dates : Dates or None
        For dates.
    joint : Crosstab or None
        Rows by value and class of the target, or rows and sums of the target by value; None without a target.
    joint_missing : ndarray of int64 or None
        The same for the rows without a value.
    ends : mapping of int to pair
        Extremes of each partition, for whole numbers and dates.
    """

    missing: Counts
    missing_by_group: Counts
    n_infinite: int
    n_zero: int
    n_negative: int
    sums: Sums
    low: Any
    high: Any
    values: Values
    texts: Texts | None = None
    dates: Dates | None = None
    joint: Crosstab | None = None
    joint_missing: Counts | None = None
    ends: Mapping[int, tuple[Any, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, values: pa.Array, column: Column, places: Places, limit: Limit, target: TargetRows | None = None
    ) -> ColumnCounts:
        """Count a stored column of one partition.

        Parameters
        ----------
        values : pyarrow.Array
            As blocks store it.
        column : Column
            Its name, kind and type in the schema.
        places : Places
            Where the rows stand.
        limit : Limit
            Up to how many distinct values are counted.
        target : TargetRows, optional
            The target of these rows.
        """
        found = encoded(values, column)
        missing = np.zeros(places.n_stripes, dtype=np.int64)
        missing_by_group = np.zeros(3, dtype=np.int64)
        missing[places.stripe] = missing_by_group[places.group] = int(found.is_missing.sum())
        low, high = _ends(values, column, found)
        n_zero, n_negative, sums = _of_numbers(values, column, found)
        joint, joint_missing = None, None
        if target is not None:
            joint, joint_missing = target.joint(found)
        has_ends = low is not None and found.form is not Form.FLOAT
        is_text, is_date = column.kind is ColumnKind.CATEGORICAL, column.kind is ColumnKind.DATETIME
        return cls(
            missing=missing,
            missing_by_group=missing_by_group,
            n_infinite=found.n_infinite,
            n_zero=n_zero,
            n_negative=n_negative,
            sums=sums,
            low=low,
            high=high,
            values=Values.of(found, limit, places.group, 3),
            texts=Texts.of(found.texts, np.bincount(found.codes + 1, minlength=1 + len(found.keys))[1:])
            if is_text
            else None,
            dates=Dates.of(values) if is_date else None,
            joint=joint,
            joint_missing=joint_missing,
            ends={places.partition: (low, high)} if has_ends else {},
        )

    def merge(self, other: ColumnCounts) -> ColumnCounts:
        """Add the counts of other rows; associative and commutative to the last bit."""
        return ColumnCounts(
            missing=self.missing + other.missing,
            missing_by_group=self.missing_by_group + other.missing_by_group,
            n_infinite=self.n_infinite + other.n_infinite,
            n_zero=self.n_zero + other.n_zero,
            n_negative=self.n_negative + other.n_negative,
            sums=self.sums.merge(other.sums),
            low=least(self.low, other.low),
            high=most(self.high, other.high),
            values=self.values.merge(other.values),
            texts=self.texts.merge(other.texts) if self.texts and other.texts else None,
            dates=self.dates.merge(other.dates) if self.dates and other.dates else None,
            joint=self.joint.merge(other.joint) if self.joint and other.joint else None,
            joint_missing=None
            if self.joint_missing is None or other.joint_missing is None
            else self.joint_missing + other.joint_missing,
            ends={**self.ends, **other.ends},
        )


def _ends(values: pa.Array, column: Column, found: Encoded) -> tuple[Any, Any]:
    """Smallest and largest finite value, exactly; None for texts and without values."""
    if found.form is Form.TEXT or not len(found.keys):
        return None, None
    if found.form is Form.FLOAT:
        numbers = arrays.numbers(values)
        numbers = numbers[np.isfinite(numbers)]
        return (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)
    low, high = int(found.keys.min()), int(found.keys.max())
    if found.form is Form.UNSIGNED:
        return low + (1 << 63), high + (1 << 63)
    return low, high


def _of_numbers(values: pa.Array, column: Column, found: Encoded) -> tuple[int, int, Sums]:
    """Zeros, negative numbers, and exact sums; nothing of what is no number."""
    if column.kind not in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN):
        return 0, 0, Sums()
    numbers = arrays.numbers(values)
    finite = numbers[np.isfinite(numbers)]
    return int(np.count_nonzero(finite == 0)), int(np.count_nonzero(finite < 0)), look(finite).sums


def least(left: Any, right: Any) -> Any:
    """Return the smaller of two values; the other one where one is None."""
    return left if right is None else right if left is None else min(left, right)


def most(left: Any, right: Any) -> Any:
    """Return the larger of two values; the other one where one is None."""
    return left if right is None else right if left is None else max(left, right)
