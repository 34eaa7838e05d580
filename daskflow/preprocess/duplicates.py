"""Duplicates: columns that are equal in every row, found by a sum of hashes over the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data.hashing import content_sums
from daskflow.data.profiles import ColumnProfile
from daskflow.data.schema import Column, Schema
from daskflow.data.statistics import ColumnStatistics
from daskflow.data.tallies import Rows
from daskflow.preprocess.chains import Chain, is_dropped, key_of


@dataclass(frozen=True, slots=True)
class ValueSum:
    """Tally: the sum, modulo 2**64, of a hash of each row's content together with the column's value in it.

    Columns that are equal in all rows have the same sum. Columns that differ in some have it with a probability of
    2**-64, for the row contents set equal values in different rows apart. Equal is what `daskflow.data.hashing` hashes
    alike: 5 and 5.0, -0.0 and 0.0, all missing values.
    """

    @property
    def by_part(self) -> bool:
        """It does not look at inner parts."""
        return False

    def nothing(self) -> int:
        """Return the state of no rows."""
        return 0

    def of(self, column: pa.Array, rows: Rows) -> int:
        """Add up some rows."""
        return self.of_segments(column, rows, np.arange(len(column)), [0, len(column)])[0]

    def of_segments(
        self, column: pa.Array, rows: Rows, order: NDArray[np.int64], edges: Sequence[int]
    ) -> Sequence[int]:
        """Add up the rows of each segment."""
        return content_sums(column, rows.content, order, edges)

    def merge(self, left: int, right: int) -> int:
        """Add two states."""
        return (left + right) % 2**64


def alike(schema: Schema, chains: Mapping[str, Chain], profiles: Mapping[str, ColumnProfile]) -> frozenset[str]:
    """Return the columns that may equal another of the same kind and chain, as far as their profiles say."""
    groups: dict[Hashable, list[str]] = {}
    for column in schema.columns:
        if not is_dropped(chains[column.name]):
            groups.setdefault((column.kind, key_of(chains[column.name])), []).append(column.name)
    found: set[str] = set()
    for names in groups.values():
        if any(name not in profiles for name in names):  # a new column may equal any
            found.update(names if len(names) > 1 else ())
            continue
        looks = {name: _look(profiles[name]) for name in names}
        counts = Counter(looks.values())
        found.update(name for name in names if counts[looks[name]] > 1)
    return frozenset(found)


def _look(profile: ColumnProfile) -> Hashable:
    """What is the same of equal columns."""
    return profile.missing, profile.infinite, profile.min, profile.max, profile.distinct


def duplicates_of(
    columns: Sequence[Column], statistics: Mapping[str, ColumnStatistics], chains: Mapping[str, Chain]
) -> dict[str, str]:
    """Return each column that equals an earlier one of the same kind and chain, and that one's name."""
    first: dict[Hashable, str] = {}
    found: dict[str, str] = {}
    for column in columns:
        statistic = statistics[column.name]
        if ValueSum() not in statistic.tallies:  # no other column is like it
            continue
        likeness = (column.kind, key_of(chains[column.name]), statistic.n_missing, statistic.tallies[ValueSum()])
        earlier = first.setdefault(likeness, column.name)
        if earlier != column.name:
            found[column.name] = earlier
    return found
