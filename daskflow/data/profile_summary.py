"""Summaries: the counts of a pass turned into the numbers that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.data import frequent
from daskflow.data.crosstab import Counts, Crosstab, Form, numbers_of
from daskflow.data.distribution import Distribution, Resolution
from daskflow.data.profile_counts import DAY_SECONDS, ColumnCounts, Dates
from daskflow.data.profile_drift import drift_of
from daskflow.data.profile_pass import Seen
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.table_profile import QUANTILES, ColumnSummary, Histogram, Lengths, Times

TOP, TARGET_TOP = 20, 50
"""Values shown of a column, and of the target."""

BINS, FEW_VALUES = 40, 24
"""Bins of a histogram; whole numbers of at most so many values have a bin each."""

TAIL = 0.005
"""Share of rows at each end that a histogram puts into its outermost bins when they would squeeze the others."""

WHOLE_FLOATS = 2**52
"""Below this whole numbers and the halves between them are float64."""

SQUEEZED = 4.0
"""How many times wider than that part the whole range must be."""

STRETCHES = 60


def summary_of(
    counts: ColumnCounts, column: Column, seen: Seen, *, rows: int, role: str, order: Sequence[int]
) -> ColumnSummary:
    """Return what people read of one column.

    Parameters
    ----------
    counts : ColumnCounts
        Over all rows.
    column : Column
        Its name, kind and type.
    seen : Seen
        What a second look found.
    rows : int
        Rows looked at.
    role : str
        The part it plays.
    order : sequence of int
        Partitions that have rows, in their order.
    """
    tab = counts.values.tab
    is_number = column.kind is ColumnKind.NUMERIC
    is_date = column.kind is ColumnKind.DATETIME
    has_moments = column.kind in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN) and counts.sums.count > 0
    distribution = _distribution(tab) if is_number and len(tab.keys) else None
    low, high = counts.low, counts.high
    if is_date:
        low, high = _iso(low, column), _iso(high, column)
    elif column.kind is ColumnKind.BOOLEAN and low is not None:
        low, high = bool(low), bool(high)
    return ColumnSummary(
        name=column.name,
        kind=str(column.kind),
        type=column.type,
        role=role,
        rows=rows,
        missing=int(counts.missing.sum()),
        infinite=counts.n_infinite,
        distinct=counts.values.n_distinct,
        is_exact=counts.values.is_exact,
        zeros=counts.n_zero,
        negatives=counts.n_negative,
        min=low,
        max=high,
        mean=counts.sums.mean if has_moments else None,
        std=_std(counts) if has_moments else None,
        quantiles=_quantiles(distribution, low, high) if distribution else {},
        top=_top(counts, column, seen, rows, TARGET_TOP if role == "target" else TOP),
        alike=_alike(counts) if column.kind is ColumnKind.CATEGORICAL else (),
        histogram=_histogram(tab, distribution, low, high) if distribution else None,
        lengths=_lengths(counts),
        times=_times(counts.dates) if counts.dates is not None and low is not None else None,
        drift=None if is_date else drift_of(counts, is_ordered=is_number),
        missing_by_stripe=tuple(counts.missing.tolist()),
        rises=_rises(counts, order),
    )


def _std(counts: ColumnCounts) -> float | None:
    """Standard deviation as pandas computes it; None for one value, and where float64 does not hold it."""
    if counts.sums.count < 2:
        return None
    found = math.sqrt(counts.sums.m2 / (counts.sums.count - 1))
    return found if math.isfinite(found) else None


def _distribution(tab: Crosstab) -> Distribution:
    """The distribution of a numeric column; neighbouring bins of the same middle are one."""
    points, rows = tab.points, tab.total
    starts = np.flatnonzero(np.concatenate([[True], points[1:] != points[:-1]]))
    resolution = Resolution(tab.limit.most, tab.limit.bits)
    return Distribution(points[starts], np.add.reduceat(rows, starts), tab.is_exact, resolution)


def _quantiles(distribution: Distribution, low: float, high: float) -> dict[float, float]:
    return {q: min(max(distribution.quantile(q), low), high) for q in QUANTILES}


def _top(counts: ColumnCounts, column: Column, seen: Seen, rows: int, most: int) -> tuple[tuple[Any, int], ...]:
    """The most frequent values; ties in the order of the values."""
    values = counts.values
    if values.is_exact:
        keys, found = values.tab.keys, values.tab.total
        order = np.argsort(-found, kind="stable")
        if values.texts is not None:  # keys of texts are hashes: ties are sorted by the texts
            kept = found >= np.sort(found)[-most:].min(initial=0)
            order = order[kept[order]]
            texts = values.texts.take(pa.array(order)).to_pylist()
            ranked = sorted(zip(texts, found[order].tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
            return tuple(ranked[:most])
        order = order[:most]
        return tuple(zip(_shown(keys[order], column, values.tab.form), found[order].tolist(), strict=True))
    if values.often is None or column.name not in seen.counts:
        return ()
    often = seen.counts[column.name] * frequent.SHARE > rows
    keys, found = values.often[0][often], seen.counts[column.name][often]
    texts = seen.texts.get(column.name) or {}
    shown = [texts[key] for key in keys.tolist()] if texts else _shown(keys, column, values.tab.form)
    return tuple(sorted(zip(shown, found.tolist(), strict=True), key=lambda pair: (-pair[1], str(pair[0])))[:most])


def _shown(keys: Any, column: Column, form: Form) -> list[Any]:
    """The values that keys stand for."""
    if form is Form.INSTANT:
        return [_iso(key, column) for key in keys.tolist()]
    if column.kind is ColumnKind.BOOLEAN:
        return [bool(key) for key in keys.tolist()]
    if form is Form.INTEGER:
        return list(keys.tolist())
    if form is Form.UNSIGNED:
        return [key + (1 << 63) for key in keys.tolist()]
    return list(numbers_of(keys, form).tolist())


def _iso(value: int | None, column: Column) -> str | None:
    """A date of the column's own unit as text."""
    if value is None:
        return None
    whole = pa.int32() if pa.types.is_date32(column.arrow_type) else pa.int64()
    return str(pa.scalar(value, whole).cast(column.arrow_type).cast(pa.string()).as_py())


def _alike(counts: ColumnCounts) -> tuple[tuple[str, ...], ...]:
    """Levels that are the same but for capitals, blanks, and a point or comma at the end."""
    if counts.values.texts is None:
        return ()
    groups: dict[str, list[str]] = {}
    for text in counts.values.texts.to_pylist():
        groups.setdefault(" ".join(text.split()).rstrip(".,;: ").casefold(), []).append(text)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def _histogram(tab: Crosstab, distribution: Distribution, low: float, high: float) -> Histogram:
    """Rows between equal edges; cut where the tails would squeeze everything else into a few bins."""
    points, rows = distribution.points, distribution.counts
    if float(low) == float(high):
        return Histogram((float(low), float(high)), (int(rows.sum()),))
    is_whole = tab.form is not Form.FLOAT and max(abs(low), abs(high)) < WHOLE_FLOATS
    span = float(high) - float(low)
    inner = [distribution.quantile(TAIL), distribution.quantile(1 - TAIL)]
    is_cut = math.isinf(span) or (inner[1] > inner[0] and span > SQUEEZED * (inner[1] - inner[0]))
    start, stop = inner if is_cut else (float(low), float(high))
    if is_whole and stop - start < FEW_VALUES:
        start, stop = math.floor(start) - 0.5, math.ceil(stop) + 0.5
        edges = np.arange(start, stop + 0.5)
    elif is_whole:  # bins of whole width, or some would hold one number more than others
        width = math.ceil((stop - start + 1) / BINS)
        start = math.floor(start) - 0.5
        edges = start + width * np.arange(math.ceil((stop + 0.5 - start) / width) + 1)
    else:
        edges = np.linspace(start, stop, BINS + 1)
    places = np.clip(np.searchsorted(edges, points, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, weights=rows, minlength=len(edges) - 1).astype(np.int64)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()), bool(is_cut))


def _lengths(counts: ColumnCounts) -> Lengths | None:
    texts = counts.texts
    if texts is None or texts.shortest is None or texts.longest is None:
        return None
    mean = texts.n_characters / texts.n_rows
    return Lengths(texts.shortest, mean, texts.longest, texts.n_blank, texts.n_padded, texts.n_numbers, texts.n_dates)


def _times(dates: Dates) -> Times:
    """Days, gaps and hours."""
    hours, midnight = tuple(dates.hours.tolist()), dates.n_at_midnight
    if not dates.days.is_exact:
        return Times(None, None, None, hours, midnight, ())
    days, rows = dates.days.keys, dates.days.total
    steps = np.diff(days)
    gap = None
    if len(steps) and steps.max() > 1:
        place = int(steps.argmax())
        gap = (_day(days[place]), _day(days[place + 1]), int(steps[place]) - 1)
    span = int(days[-1] - days[0]) + 1
    return Times(len(days), span - len(days), gap, hours, midnight, _stretches(days, rows, span))


def _stretches(days: Any, rows: Counts, span: int) -> tuple[tuple[str, int], ...]:
    """Rows in equal stretches of whole days."""
    width = -(-span // STRETCHES)
    counts = np.bincount((days - days[0]) // width, weights=rows).astype(np.int64)
    return tuple((_day(days[0] + place * width), int(count)) for place, count in enumerate(counts))


def _day(day: int) -> str:
    return str(pa.scalar(int(day) * DAY_SECONDS, pa.timestamp("s")).cast(pa.string()).as_py())[:10]


def _rises(counts: ColumnCounts, order: Sequence[int]) -> bool:
    """Whether every partition begins where the one before has ended, or later."""
    ends = [counts.ends[place] for place in order if place in counts.ends]
    if len(ends) < 3 or len(ends) < len(order) or counts.low == counts.high:
        return False
    return all(ends[place][1] <= ends[place + 1][0] for place in range(len(ends) - 1))
