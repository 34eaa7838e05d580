"""WithoutSentinels: statistics of a column's numbers where some of them, such as -999, mean that a value is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.data import arrays
from daskflow.data.arrays import MISSING, Level, Levels, Numbers
from daskflow.data.statistics import ColumnStatistics, Statistics
from daskflow.data.tallies import Rows
from daskflow.preprocess.steps import Form, State

NEEDS = frozenset({"quantiles"})


@dataclass(frozen=True, slots=True)
class WithoutSentinels:
    """Tally: moments and quantiles of a column whose sentinels count as missing.

    Attributes
    ----------
    sentinels : tuple of float
        Numbers that mean that a value is missing.
    """

    sentinels: tuple[float, ...]

    @property
    def by_part(self) -> bool:
        """It does not look at inner parts."""
        return False

    def nothing(self) -> ColumnStatistics:
        """Return the statistics of no rows."""
        return ColumnStatistics.nothing(NEEDS)

    def of(self, column: pa.Array, rows: Rows) -> ColumnStatistics:
        """Count the rows of one segment."""
        table = pa.table({"x": without_numbers(arrays.numbers(column), self.sentinels)})
        return Statistics.of(table, np.zeros(len(column), dtype=np.uint8), {"x": NEEDS}).only([0])["x"]

    def merge(self, left: ColumnStatistics, right: ColumnStatistics) -> ColumnStatistics:
        """Add the statistics of other rows; exact."""
        return left.merge(right)


def without_numbers(numbers: Numbers, sentinels: tuple[float, ...]) -> Numbers:
    """Return numbers, shape (n,), with nan where they are sentinels."""
    return np.where(np.isin(numbers, sentinels), np.nan, numbers)


def without_levels(levels: Levels, sentinels: tuple[Level, ...]) -> Levels:
    """Return levels with the code of missing values where they are sentinels."""
    codes = [MISSING if value in sentinels else place for place, value in enumerate(levels.values)]
    return Levels(levels.replaced(codes), levels.values)


def statistics_without(state: State, sentinels: tuple[Level, ...], kind: str) -> ColumnStatistics:
    """Return a state's statistics after sentinels became missing values.

    Raises
    ------
    DataError
        When nothing is left, or a step before has changed the numbers.
    """
    before, name = state.statistics, state.column.name
    levels = None if before.levels is None else {v: n for v, n in before.levels.items() if v not in sentinels}
    if state.form is Form.LEVELS:
        n_missing = before.n_rows - before.n_infinite - sum((levels or {}).values())
        after = replace(before, n_missing=n_missing, levels=levels, tallies={})
    else:
        counted: ColumnStatistics | None = before.tallies.get(WithoutSentinels(tuple(float(v) for v in sentinels)))
        if counted is None:
            raise DataError(f"Column '{name}': '{kind}' finds missing_values among the column's own. Put it first.")
        after = replace(counted, levels=levels)
    if not after.n_values:
        raise DataError(
            f"Column '{name}' has nothing but missing values and those that missing_values names. Leave it out with "
            f"data.drop."
        )
    return after
