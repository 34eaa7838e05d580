"""Duplicates: columns that are equal in every row, found by a sum of hashes over the rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from daskflow.data.hashing import canonical, mix
from daskflow.data.schema import Column
from daskflow.data.statistics import ColumnStatistics
from daskflow.data.tallies import Rows
from daskflow.preprocess.chains import Chain, key_of


@dataclass(frozen=True, slots=True)
class ValueSum:
    """Tally: the sum, modulo 2**64, of a hash of each row's content together with the column's value in it.

    Columns that are equal in all rows have the same sum. Columns that differ in some have it with a probability of
    2**-64, for the row contents set equal values in different rows apart. Equal is what `daskflow.data.hashing` hashes
    alike: 5 and 5.0, -0.0 and 0.0, all missing values.
    """

    def nothing(self) -> int:
        """Return the state of no rows."""
        return 0

    def of(self, column: pa.Array, rows: Rows) -> int:
        """Add up some rows."""
        values, _ = canonical(column, "")
        hashes = mix(mix(values) ^ rows.content)
        return int(hashes.sum(dtype=np.uint64))

    def merge(self, left: int, right: int) -> int:
        """Add two states."""
        return (left + right) % 2**64


def duplicates_of(
    columns: Sequence[Column], statistics: Mapping[str, ColumnStatistics], chains: Mapping[str, Chain]
) -> dict[str, str]:
    """Return each column that equals an earlier one of the same kind and chain, and that one's name."""
    first: dict[Hashable, str] = {}
    found: dict[str, str] = {}
    for column in columns:
        statistic = statistics[column.name]
        if ValueSum() not in statistic.tallies:  # no other column has its kind and chain
            continue
        likeness = (column.kind, key_of(chains[column.name]), statistic.n_missing, statistic.tallies[ValueSum()])
        earlier = first.setdefault(likeness, column.name)
        if earlier != column.name:
            found[column.name] = earlier
    return found
