"""Profiles: what a column's values look like, added up over partitions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskflow.data import kernels
from daskflow.data.arrays import pooled
from daskflow.data.distribution import levels_up_to
from daskflow.data.hashing import buffers_of
from daskflow.data.moments import look
from daskflow.data.schema import Column, ColumnKind

TEXT_LEVELS, NUMBER_LEVELS, SHOWN_LEVELS = 10_000, 1_000, 20
"""Distinct values counted exactly, of strings and of numbers; and how many of the most frequent are kept."""


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """A column over the whole table.

    Attributes
    ----------
    rows, missing, infinite : int
        Counts.
    min, max : object
        Of the finite values: numbers, or ISO text for dates; None without values and for strings.
    mean, std : float or None
        Of the finite numbers, to twelve digits; the population's standard deviation.
    distinct : int or None
        Distinct finite values; None when there are more than 10,000 (strings) or 1,000 (numbers), and for dates.
    top : tuple of (value, count)
        The most frequent values: 20, and all of them for the target; empty when `distinct` is None.
    """

    rows: int
    missing: int
    infinite: int
    min: Any
    max: Any
    mean: float | None
    std: float | None
    distinct: int | None
    top: tuple[tuple[Any, int], ...]

    def dump(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "rows": self.rows,
            "missing": self.missing,
            "infinite": self.infinite,
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "std": self.std,
            "distinct": self.distinct,
            "top": [[value, count] for value, count in self.top],
        }


@dataclass(frozen=True, slots=True)
class Tally:
    """What one partition, or several, add to a column's profile; plain JSON values when dumped.

    Attributes
    ----------
    rows, missing, infinite, finite : int
        Counts; `finite` is what the moments are of.
    low, high : int, float or None
        Extremes; dates in their own unit since 1970.
    mean, spread : float
        Mean, and sum of squared differences from it.
    levels : mapping of value to count, or None
        None when there are too many.
    """

    rows: int
    missing: int
    infinite: int = 0
    finite: int = 0
    low: Any = None
    high: Any = None
    mean: float = 0.0
    spread: float = 0.0
    levels: Mapping[Any, int] | None = None

    def dump(self) -> list[Any]:
        """As a JSON list."""
        levels = None if self.levels is None else [[value, count] for value, count in self.levels.items()]
        counts = [self.rows, self.missing, self.infinite, self.finite]
        return [*counts, self.low, self.high, self.mean, self.spread, levels]

    @classmethod
    def load(cls, values: list[Any]) -> Tally:
        """From what `dump` gave."""
        rows, missing, infinite, finite, low, high, mean, spread, levels = values
        counted = None if levels is None else dict(levels)
        return cls(rows, missing, infinite, finite, low, high, mean, spread, counted)


def tally(values: pa.Array, kind: ColumnKind) -> Tally:
    """Look at a column of one partition; missing values are null, strings a dictionary."""
    rows, missing = len(values), values.null_count
    if pa.types.is_floating(values.type):
        kept = pooled(rows + 1, np.float64)
        numbers = kept[: kernels.keep_there(*buffers_of(values, np.float64), kept)]
        return _with_moments(Tally(rows, missing, levels=_levels_of_numbers(numbers)), numbers)
    present = values.drop_null() if missing else values
    if kind is ColumnKind.CATEGORICAL:
        return Tally(rows, missing, levels=_levels_of_codes(present))
    if kind is ColumnKind.BOOLEAN:
        true = int(pc.sum(present).as_py() or 0)
        levels = {value: count for value, count in ((False, len(present) - true), (True, true)) if count}
        return _with_moments(Tally(rows, missing, levels=levels), np.asarray(present.cast(pa.uint8())))
    if kind is ColumnKind.DATETIME:
        limits = pc.min_max(present.cast(pa.int32() if pa.types.is_date32(present.type) else pa.int64()))
        return Tally(rows, missing, low=limits["min"].as_py(), high=limits["max"].as_py())
    if pa.types.is_decimal(present.type):
        present = present.cast(pa.float64())
    numbers = present.to_numpy(zero_copy_only=False)
    return _with_moments(Tally(rows, missing, levels=_levels_of_numbers(numbers)), numbers)


def _with_moments(seen: Tally, numbers: np.ndarray[Any, Any]) -> Tally:
    """Add extremes and moments of the finite values."""
    found = look(numbers)
    finite = found.sums.count
    if not finite:
        return Tally(seen.rows, seen.missing, found.n_infinite, levels=seen.levels)
    low: Any = found.low
    high: Any = found.high
    if numbers.dtype.kind != "f":
        low, high = numbers.min().item(), numbers.max().item()
    moments = found.sums.mean, found.sums.m2
    return Tally(seen.rows, seen.missing, found.n_infinite, finite, low, high, *moments, seen.levels)


def _levels_of_codes(values: pa.Array) -> dict[Any, int] | None:
    """Counts of strings, by their codes."""
    if len(values.dictionary) == 0 or len(values) == 0:
        return {}
    counts = np.bincount(values.indices.to_numpy(zero_copy_only=False), minlength=len(values.dictionary))
    used = np.flatnonzero(counts)
    if len(used) > TEXT_LEVELS:
        return None
    return dict(zip(values.dictionary.take(pa.array(used)).to_pylist(), counts[used].tolist(), strict=True))


def _levels_of_numbers(numbers: np.ndarray[Any, Any]) -> dict[Any, int] | None:
    """Counts of numbers; None when there are too many distinct ones."""
    if numbers.dtype in (np.int8, np.int16) and len(numbers):
        low = int(numbers.min())
        found_counts = np.bincount(numbers.astype(np.int64) - low)
        used = np.flatnonzero(found_counts)
        if len(used) > NUMBER_LEVELS:
            return None
        return dict(zip((used + low).tolist(), found_counts[used].tolist(), strict=True))
    if numbers.dtype.kind == "f" or not len(numbers) or max(-int(numbers.min()), int(numbers.max())) < 2**53:
        found = levels_up_to(numbers.astype(np.float64, copy=False), NUMBER_LEVELS)
        if found is None or numbers.dtype.kind == "f":
            return found
        return {int(value): count for value, count in found.items()}
    import pandas as pd  # takes a third of a second, and who only names a profile counts nothing

    counts = pd.Series(numbers).value_counts(sort=False)
    if len(counts) > NUMBER_LEVELS:
        return None
    return dict(zip(counts.index.to_numpy().tolist(), counts.to_numpy().tolist(), strict=True))


def merge(tallies: Iterable[Tally], kind: ColumnKind) -> Tally:
    """Add up what partitions saw."""
    total = Tally(0, 0)
    cap = TEXT_LEVELS if kind is ColumnKind.CATEGORICAL else NUMBER_LEVELS
    levels: dict[Any, int] | None = None if kind is ColumnKind.DATETIME else {}
    for more in tallies:
        finite = total.finite + more.finite
        share = more.finite / finite if finite else 0.0
        shift = more.mean - total.mean
        total = Tally(
            total.rows + more.rows,
            total.missing + more.missing,
            total.infinite + more.infinite,
            finite,
            *_ends(total, more),
            total.mean + shift * share,
            total.spread + more.spread + shift * shift * share * total.finite,
        )
        if levels is not None and more.levels is not None:
            for value, count in more.levels.items():
                levels[value] = levels.get(value, 0) + count
        if more.levels is None or (levels is not None and len(levels) > cap):
            levels = None
    return replace(total, levels=levels)


def _ends(left: Tally, right: Tally) -> tuple[Any, Any]:
    lows = [end for end in (left.low, right.low) if end is not None]
    highs = [end for end in (left.high, right.high) if end is not None]
    return min(lows, default=None), max(highs, default=None)


def profile_of(seen: Tally, column: Column, *, shown: int | None = SHOWN_LEVELS) -> ColumnProfile:
    """Turn a whole table's tally into what people read; `shown` levels, or all."""
    ordered = sorted((seen.levels or {}).items(), key=lambda item: (-item[1], str(item[0])))
    has_moments = column.kind in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN) and seen.finite > 0
    low, high = seen.low, seen.high
    if column.kind is ColumnKind.DATETIME:
        low, high = _iso(low, column), _iso(high, column)
    return ColumnProfile(
        rows=seen.rows,
        missing=seen.missing,
        infinite=seen.infinite,
        min=low,
        max=high,
        mean=_rounded(seen.mean) if has_moments else None,
        std=_rounded(math.sqrt(seen.spread / seen.finite)) if has_moments else None,
        distinct=None if seen.levels is None else len(seen.levels),
        top=tuple(ordered[:shown]),
    )


def _rounded(value: float) -> float | None:
    """Twelve digits, which do not depend on how the partitions were cut."""
    return float(f"{value:.12g}") if math.isfinite(value) else None


def _iso(value: int | None, column: Column) -> str | None:
    """A date of the column's own unit as text."""
    if value is None:
        return None
    whole = pa.int32() if pa.types.is_date32(column.arrow_type) else pa.int64()
    scalar = pa.scalar(value, whole).cast(column.arrow_type)
    return str(scalar.cast(pa.string()).as_py())
