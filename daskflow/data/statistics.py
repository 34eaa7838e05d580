"""Statistics: mergeable sums over the rows of each segment, from which preprocessing is fitted without another pass.

A `Statistics` holds one `ColumnStatistics` per segment and column. States of disjoint rows merge; the counts of every
training fold are the sum over its segments, so preprocessing for K folds costs one pass.

What is asked of a column
    ``moments``: mean, variance, smallest and largest value. ``quantiles``: the same, and the distribution.
    ``levels``: how often each value occurs. Rows, missing values and infinities are counted always.

Moments
    Correctly rounded, whatever the order of adding; see `daskflow.data.moments`. After a step that changed the values
    they follow from what the step knows, and merge by the formula of Chan, Golub and LeVeque (1979).

Quantiles
    Exact up to 65,536 distinct values in a segment, else within 2**-13 (tables above a million rows: 4,096 and 2**-10);
    see `daskflow.data.distribution`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data import adding, arrays, kernels
from daskflow.data.arrays import Level, Numbers
from daskflow.data.distribution import FINE, Counts, Distribution, Resolution
from daskflow.data.hashing import buffers_of, row_hashes, values_of
from daskflow.data.moments import Sums, look
from daskflow.data.schema import ColumnKind, kind_of
from daskflow.data.tallies import Rows, Segments, Tally, parts_of

Needs = Mapping[str, frozenset[str | Tally]]
"""What is asked of each column: ``moments``, ``quantiles``, ``levels``, and tallies of a step's own."""

MOST_LEVELS = 1 << 18
"""Distinct levels up to which they are counted; beyond that a column is known to have too many."""

DAY = 86_400


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What is known of one column over some rows; states of disjoint rows merge.

    Attributes
    ----------
    n_rows, n_missing, n_infinite : int
        Rows; those without a value (null or nan); and those with an infinite one, which count nowhere else.
    mean, m2 : float
        Mean, and sum of squared deviations from it. Dates: in seconds since 2000-01-01 UTC. nan and 0 without values.
    min, max : float
        nan without values.
    has_times : bool
        Whether a date has a time of day other than midnight, in the column's own zone.
    distribution : Distribution or None
        None when it was not asked for.
    levels : mapping of level to count, or None
        None when they were not asked for, or are too many.
    has_too_many_levels : bool
        Whether there are more than 262,144.
    tallies : mapping of Tally to its state
        What steps counted for themselves.
    sums : Sums or None
        Exact sums behind `mean` and `m2`; None once a step has changed the values.
    """

    n_rows: int = 0
    n_missing: int = 0
    n_infinite: int = 0
    mean: float = math.nan
    m2: float = 0.0
    min: float = math.nan
    max: float = math.nan
    has_times: bool = False
    distribution: Distribution | None = None
    levels: Mapping[Level, int] | None = None
    has_too_many_levels: bool = False
    tallies: Mapping[Tally, Any] = field(default_factory=dict)
    sums: Sums | None = None

    @classmethod
    def nothing(cls, needs: Iterable[str | Tally], resolution: Resolution = FINE) -> ColumnStatistics:
        """Return the statistics of no rows."""
        asked = frozenset(needs)
        return cls(
            sums=Sums() if asked & {"moments", "quantiles"} else None,
            distribution=Distribution.of(np.empty(0), resolution) if "quantiles" in asked else None,
            levels={} if "levels" in asked else None,
            tallies={tally: tally.nothing() for tally in asked if not isinstance(tally, str)},
        )

    @property
    def n_values(self) -> int:
        """Rows with a finite value."""
        return self.n_rows - self.n_missing - self.n_infinite

    @property
    def variance(self) -> float:
        """Variance of the population: divided by the number of values; nan without values."""
        return self.m2 / self.n_values if self.n_values else math.nan

    @property
    def median(self) -> float:
        """The quantile at 0.5."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> float:
        """Return the quantile at `q` of [0, 1]; nan without values.

        Exact up to 65,536 distinct values, else each of the two order statistics it is interpolated from is within
        2**-13 of its own size (tables above a million rows: 4,096 and 2**-10).

        Raises
        ------
        ValueError
            When quantiles were not asked for.

        Examples
        --------
        >>> table = pa.table({"x": [1.0, 2.0, 10.0, None]})
        >>> needs = {"x": frozenset({"quantiles"})}
        >>> Statistics.of(table, np.zeros(4, dtype=np.uint8), needs).only([0])["x"].median
        2.0
        """
        if self.distribution is None:
            raise ValueError("Quantiles were not asked for.")
        found = self.distribution.quantile(q)
        return min(max(found, self.min), self.max) if self.n_values else found

    def merge(self, other: ColumnStatistics) -> ColumnStatistics:
        """Add the statistics of other rows; exact, as long as no step has changed the values."""
        sums = None if self.sums is None or other.sums is None else self.sums.merge(other.sums)
        mean, m2 = (sums.mean, sums.m2) if sums else _merged_moments(self, other)
        levels = _merged_levels(self.levels, other.levels)
        too_many = self.has_too_many_levels or other.has_too_many_levels
        if levels is not None and len(levels) > MOST_LEVELS:
            levels, too_many = None, True
        distribution = None
        if self.distribution is not None and other.distribution is not None:
            distribution = self.distribution.merge(other.distribution)
        return ColumnStatistics(
            n_rows=self.n_rows + other.n_rows,
            n_missing=self.n_missing + other.n_missing,
            n_infinite=self.n_infinite + other.n_infinite,
            mean=mean,
            m2=m2,
            min=float(np.fmin(self.min, other.min)),
            max=float(np.fmax(self.max, other.max)),
            has_times=self.has_times or other.has_times,
            distribution=distribution,
            levels=levels,
            has_too_many_levels=too_many,
            tallies={
                tally: tally.merge(state, other.tallies[tally])
                for tally, state in self.tallies.items()
                if tally in other.tallies
            },
            sums=sums,
        )

    def filled(self, value: Level) -> ColumnStatistics:
        """Return the statistics after every missing value was replaced by `value`."""
        if not self.n_missing:
            return self
        number = math.nan if isinstance(value, str) else float(value)
        fill = ColumnStatistics(
            n_rows=self.n_missing,
            mean=number,
            min=number,
            max=number,
            distribution=Distribution(np.array([number]), np.array([self.n_missing])),
            levels={value: self.n_missing},
            sums=Sums.of_one(number, self.n_missing) if math.isfinite(number) else None,
        )
        return replace(self, n_rows=self.n_rows - self.n_missing, n_missing=0).merge(fill)

    def moved(self, centre: float, scale: float) -> ColumnStatistics:
        """Return the statistics after every number became (number - centre) / scale, scale > 0; levels are gone."""
        return replace(
            self,
            mean=(self.mean - centre) / scale,
            m2=self.m2 / scale / scale,  # the square of a very small or large scale is not a float64
            min=(self.min - centre) / scale,
            max=(self.max - centre) / scale,
            distribution=self.distribution.moved(centre, scale) if self.distribution else None,
            levels=None,
            sums=None,
        )

    def counted(self, points: Sequence[float] | Numbers, counts: Sequence[int] | Counts) -> ColumnStatistics:
        """Return the statistics after the values became `points`, each as often as `counts` says; levels are gone."""
        distribution = Distribution.counted(np.asarray(points, dtype=np.float64), np.asarray(counts, dtype=np.int64))
        points, counts = distribution.points, distribution.counts
        total = int(counts.sum())
        if not total:
            empty = replace(self, mean=math.nan, m2=0.0, min=math.nan, max=math.nan)
            return replace(empty, distribution=None, levels=None, sums=None)
        mean = float((points * counts).sum() / total)
        return replace(
            self,
            mean=mean,
            m2=float((np.square(points - mean) * counts).sum()),
            min=float(points[0]),
            max=float(points[-1]),
            distribution=distribution,
            levels=None,
            sums=None,
        )


def _merged_moments(left: ColumnStatistics, right: ColumnStatistics) -> tuple[float, float]:
    """Mean and squared deviations of both."""
    if not left.n_values or not right.n_values:
        kept = left if left.n_values else right
        return kept.mean, kept.m2
    total = left.n_values + right.n_values
    share = right.n_values / total
    apart = right.mean - left.mean
    return left.mean + apart * share, left.m2 + right.m2 + apart * apart * left.n_values * share


def _merged_levels(left: Mapping[Level, int] | None, right: Mapping[Level, int] | None) -> Mapping[Level, int] | None:
    """Counts of both; None when either is None."""
    if left is None or right is None:
        return None
    if len(left) < len(right):
        left, right = right, left
    merged = dict(left)
    for level, count in right.items():
        merged[level] = merged.get(level, 0) + count
    return merged


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of columns for each segment of the rows.

    Attributes
    ----------
    needs : mapping of str to frozenset of str
        What was asked of each column.
    parts : mapping of int to mapping of str to ColumnStatistics
        By segment and column; segments without rows are left out.
    resolution : Resolution
        Of the distributions.
    """

    needs: Needs
    parts: Mapping[int, Mapping[str, ColumnStatistics]]
    resolution: Resolution = FINE

    @classmethod
    def of(
        cls,
        table: pa.Table,
        segments: NDArray[np.uint8],
        needs: Needs,
        rows: Rows | None = None,
        resolution: Resolution = FINE,
    ) -> Statistics:
        """Count the rows of a table.

        Parameters
        ----------
        table : pyarrow.Table
            Has the columns of `needs`; others are not looked at.
        segments : ndarray of uint8, shape (n_rows,)
            Each row's segment.
        needs : mapping of str to set of str
            What to count; moments and quantiles of numbers, booleans and dates (moments only), levels of strings,
            booleans and numbers; tallies of any column.
        rows : Rows, optional
            What tallies look at beside their column; default the content of the table's own rows, without a target.
        resolution : Resolution
            Of the distributions; the same for all parts of a table.

        Raises
        ------
        DataError
            For a column that is not there, or that cannot give what is asked.
        """
        if len(segments) != table.num_rows:
            raise ValueError(f"{table.num_rows} rows have {len(segments)} segments.")
        order = np.argsort(segments, kind="stable")
        present, starts = np.unique(segments[order], return_index=True)
        edges = [*starts.tolist(), len(segments)]
        parts: dict[int, dict[str, ColumnStatistics]] = {int(segment): {} for segment in present}
        if rows is None and any(not isinstance(need, str) for asked in needs.values() for need in asked):
            content = row_hashes(table, table.column_names)
            rows = Rows(content, parts_of(content))
        beside = None if rows is None else Segments(rows, order, edges)
        for name, asked in needs.items():
            if name not in table.column_names:
                raise DataError(f"There is no column '{name}'{nearest(name, table.column_names)}")
            states = _column(table.column(name), name, asked, order, edges, beside, resolution)
            for segment, state in zip(present, states, strict=True):
                parts[int(segment)][name] = state
        return cls(dict(needs), parts, resolution)

    @classmethod
    def of_tallies(cls, table: pa.Table, segments: NDArray[np.uint8], needs: Needs, rows: Rows) -> Statistics:
        """Count tallies and nothing else: what is built in is that of no rows; see `with_tallies`."""
        order = np.argsort(segments, kind="stable")
        present, starts = np.unique(segments[order], return_index=True)
        beside = Segments(rows, order, [*starts.tolist(), len(segments)])
        parts: dict[int, dict[str, ColumnStatistics]] = {int(segment): {} for segment in present}
        for name, asked in needs.items():
            array = arrays.whole(table.column(name))
            states = {tally: beside.tallied(tally, array) for tally in asked if not isinstance(tally, str)}
            for place, segment in enumerate(present):
                tallies = {tally: of_segments[place] for tally, of_segments in states.items()}
                parts[int(segment)][name] = ColumnStatistics(tallies=tallies)
        return cls(dict(needs), parts)

    def with_tallies(self, other: Statistics) -> Statistics:
        """Return the same with the tallies that another count of the same rows has; for any of its columns."""
        parts = {segment: dict(columns) for segment, columns in self.parts.items()}
        for segment, columns in other.parts.items():
            for name, state in columns.items():
                mine = parts[segment][name]
                parts[segment][name] = replace(mine, tallies={**mine.tallies, **state.tallies})
        needs = {name: asked | other.needs.get(name, frozenset()) for name, asked in self.needs.items()}
        return Statistics(needs, parts, self.resolution)

    def merge(self, other: Statistics) -> Statistics:
        """Add the statistics of other rows; both were asked the same."""
        parts = {segment: dict(columns) for segment, columns in self.parts.items()}
        for segment, columns in other.parts.items():
            mine = parts.setdefault(segment, {})
            for name, state in columns.items():
                mine[name] = mine[name].merge(state) if name in mine else state
        return Statistics(self.needs, parts, self.resolution)

    def only(self, segments: Iterable[int]) -> dict[str, ColumnStatistics]:
        """Return each column's statistics over some segments, added in increasing order of the segments."""
        found = {name: ColumnStatistics.nothing(asked, self.resolution) for name, asked in self.needs.items()}
        for segment in sorted(set(segments) & set(self.parts)):
            found = {name: state.merge(self.parts[segment][name]) for name, state in found.items()}
        return found


def _column(
    column: pa.ChunkedArray,
    name: str,
    needed: frozenset[str | Tally],
    order: NDArray[np.int64],
    edges: list[int],
    beside: Segments | None,
    resolution: Resolution,
) -> list[ColumnStatistics]:
    """One column's statistics in each segment; rows of segment k stand at order[edges[k]:edges[k + 1]]."""
    array = arrays.whole(column)
    asked = frozenset(need for need in needed if isinstance(need, str))
    tallies = [need for need in needed if not isinstance(need, str)]
    states = _built_in(array, name, asked, order, edges, resolution)
    if not tallies or beside is None:
        return states
    found = {tally: beside.tallied(tally, array) for tally in tallies}
    return [
        replace(state, tallies={tally: of_parts[part] for tally, of_parts in found.items()})
        for part, state in enumerate(states)
    ]


def _built_in(
    array: pa.Array,
    name: str,
    asked: frozenset[str],
    order: NDArray[np.int64],
    edges: list[int],
    resolution: Resolution,
) -> list[ColumnStatistics]:
    """The built-in statistics of one column in each segment."""
    kind = kind_of(array.type, name)
    impossible = asked - POSSIBLE[kind]
    if impossible:
        raise DataError(f"Column '{name}' is {array.type}: it has no {' and no '.join(sorted(impossible))}.")
    slices = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
    if kind is ColumnKind.CATEGORICAL:
        return _levels_of_parts(array, asked, order, edges)
    values = arrays.seconds(array)[order] if kind is ColumnKind.DATETIME else _numbers_at(array, order)
    states = [_of_numbers(values[rows], asked, resolution) for rows in slices]
    if kind is ColumnKind.DATETIME:
        late = _is_time(array)[order]
        return [replace(state, has_times=bool(late[rows].any())) for state, rows in zip(states, slices, strict=True)]
    if "levels" in asked:
        counted = _levels_of_parts(array, asked, order, edges)
        return [
            replace(state, levels=levels.levels, has_too_many_levels=levels.has_too_many_levels)
            for state, levels in zip(states, counted, strict=True)
        ]
    return states


def _numbers_at(array: pa.Array, rows: NDArray[np.int64]) -> Numbers:
    """Some rows of a numeric or boolean column as float64; missing is nan."""
    if not (pa.types.is_integer(array.type) or pa.types.is_float32(array.type) or pa.types.is_float64(array.type)):
        return arrays.numbers(array)[rows]
    gathered: Numbers = arrays.pooled(len(rows), np.float64)
    kernels.gather_numbers(*buffers_of(array, np.float64), rows, gathered)
    return gathered


POSSIBLE: Mapping[ColumnKind, frozenset[str]] = {
    ColumnKind.NUMERIC: frozenset({"moments", "quantiles", "levels"}),
    ColumnKind.BOOLEAN: frozenset({"moments", "quantiles", "levels"}),
    ColumnKind.CATEGORICAL: frozenset({"levels"}),
    ColumnKind.DATETIME: frozenset({"moments"}),
}
"""What columns of a kind can be asked for."""


def _levels_of_parts(
    array: pa.Array, asked: frozenset[str], order: NDArray[np.int64], edges: list[int]
) -> list[ColumnStatistics]:
    """Statistics of a categorical column in each segment."""
    if pa.types.is_dictionary(array.type) and pa.types.is_string(array.type.value_type) and _has_codes(array):
        codes, there = values_of(array.indices, None)
        n_values, values = len(array.dictionary), array.dictionary.to_pylist() if "levels" in asked else []
    else:
        found = arrays.levels(array)
        codes, there = found.codes, (found.codes != arrays.MISSING).view(np.uint8)
        n_values, values = len(found.values), found.values
    counts = np.zeros((len(edges) - 1, n_values + 1), dtype=np.int64)
    adding.count_codes(codes, there, order.view(np.uint64), np.asarray(edges), counts)
    return [_of_levels(values, own[:-1], int(own[-1]), asked) for own in counts]


def _has_codes(array: pa.DictionaryArray) -> bool:
    """Whether a missing value is one without a code, and there are rows."""
    return len(array) > 0 and array.dictionary.null_count == 0


def _of_levels(
    values: list[Level], counts: NDArray[np.int64], n_missing: int, asked: frozenset[str]
) -> ColumnStatistics:
    """Statistics of a categorical column from how often each value occurs; a value may be listed more than once."""
    state = ColumnStatistics(n_rows=int(counts.sum()) + n_missing, n_missing=n_missing)
    if "levels" not in asked:
        return state
    levels: dict[Level, int] = {}
    used = np.flatnonzero(counts)
    for place, count in zip(used.tolist(), counts[used].tolist(), strict=True):
        value = values[place]
        if value not in (math.inf, -math.inf):
            levels[value] = levels.get(value, 0) + count
    if len(levels) > MOST_LEVELS:
        return replace(state, has_too_many_levels=True)
    return replace(state, levels=levels)


def _of_numbers(values: Numbers, asked: frozenset[str], resolution: Resolution) -> ColumnStatistics:
    """Statistics of numbers; nan is missing."""
    found = look(values)
    state = replace(
        ColumnStatistics.nothing(asked, resolution),
        n_rows=len(values),
        n_missing=found.n_missing,
        n_infinite=found.n_infinite,
    )
    if not found.sums.count or not asked & {"moments", "quantiles"}:
        return state
    return replace(
        state,
        mean=found.sums.mean,
        m2=found.sums.m2,
        min=found.low,
        max=found.high,
        distribution=Distribution.of(values, resolution) if "quantiles" in asked else None,
        sums=found.sums,
    )


def _is_time(array: pa.Array) -> NDArray[np.bool_]:
    """Whether each row's date has a time of day; false where it is missing."""
    array = arrays.plain(array)
    if not pa.types.is_timestamp(array.type):
        return np.zeros(len(array), dtype=np.bool_)
    per_day = DAY * arrays.UNITS[array.type.unit]
    ticks = pc.fill_null(arrays.wall_clock(array).cast(pa.int64()), 0).to_numpy()
    return np.asarray(ticks % per_day != 0)
