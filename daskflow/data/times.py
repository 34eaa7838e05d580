"""Times: where in a time column a number of rows lies, exactly, and how many rows lie before an instant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daskflow.core.protocols import Executor
from daskflow.data.blocks import BlockFile, open_block
from daskflow.data.counts import over
from daskflow.data.placement import Counts
from daskflow.data.spans import HIGHEST, LOWEST, instants

DIGIT = 16
"""Bits by which a time is found in each of four passes."""


def times_at(
    files: Sequence[BlockFile], column: str, ranks: Sequence[float], executor: Executor
) -> list[tuple[int, int, int]]:
    """Return the instant of the row that stands at each rank, the rows before that instant, and the rows at it.

    Exact for any number of rows: the instant is found digit by digit, 16 bits in each of four passes over the column.

    Parameters
    ----------
    files : sequence of BlockFile
        All blocks.
    column : str
        The time column.
    ranks : sequence of float
        Counted from 0; those behind the last row are the last row.
    """
    prefixes, below, there = [0] * len(ranks), [0] * len(ranks), [0] * len(ranks)
    for level in range(64 // DIGIT if ranks else 0):
        distinct = sorted(set(prefixes))
        found = over(files, f"times{level}", _digit_counts, (column, distinct, level), executor)
        counts = np.asarray(sum(found[1:], start=found[0]))
        for i, rank in enumerate(ranks):
            held = counts[distinct.index(prefixes[i])]
            reached = below[i] + np.cumsum(held)
            digit = min(int(np.searchsorted(reached, rank, side="right")), int(np.flatnonzero(held)[-1]))
            below[i], there[i] = int(reached[digit] - held[digit]), int(held[digit])
            prefixes[i] = (prefixes[i] << DIGIT) | digit
    return [(prefix + LOWEST, before, at) for prefix, before, at in zip(prefixes, below, there, strict=True)]


def time_cuts(files: Sequence[BlockFile], column: str, wanted: Sequence[float], executor: Executor) -> list[int]:
    """Return for each wanted number of rows the instant of a row before which about as many lie.

    A cut is before or after all rows of one instant, whichever is nearer. Behind the last row it is no row's.
    """
    cuts = []
    for (time, below, there), rows in zip(times_at(files, column, wanted, executor), wanted, strict=True):
        is_before = rows - below <= below + there - rows
        cuts.append(time if is_before else min(time, HIGHEST - 1) + 1)
    return _first_from(files, column, cuts, executor)


def _first_from(files: Sequence[BlockFile], column: str, times: Sequence[int], executor: Executor) -> list[int]:
    """The first instant of a row at or after each time, or the time itself behind the last row."""
    found = over(files, "first", _first, (column, times), executor) if times else []
    firsts = np.min(found, axis=0).tolist() if times else []
    return [time if first == HIGHEST else int(first) for time, first in zip(times, firsts, strict=True)]


def _first(files: Sequence[BlockFile], column: str, times: Sequence[int]) -> Counts:
    firsts = np.full(len(times), HIGHEST, dtype=np.int64)
    for file in files:
        seen = np.sort(instants(open_block(file).column(column)))
        places = np.searchsorted(seen, times)
        inside = places < len(seen)
        firsts[inside] = np.minimum(firsts[inside], seen[places[inside]])
    return firsts


def extent(files: Sequence[BlockFile], column: str, executor: Executor) -> tuple[int, int]:
    """Return the first and the last instant of a column."""
    found = over(files, "extent", _extent, (column,), executor)
    return int(min(low for low, _ in found)), int(max(high for _, high in found))


def _extent(files: Sequence[BlockFile], column: str) -> tuple[int, int]:
    seen = [instants(open_block(file).column(column)) for file in files if file.n_rows]
    if not seen:
        return HIGHEST, LOWEST
    return min(int(times.min()) for times in seen), max(int(times.max()) for times in seen)


def rows_before(files: Sequence[BlockFile], column: str, times: Sequence[int], executor: Executor) -> list[int]:
    """Return how many rows lie before each instant."""
    if not times:
        return []
    found = over(files, "before", _rows_before, (column, times), executor)
    return [int(count) for count in np.sum(found, axis=0)]


def _rows_before(files: Sequence[BlockFile], column: str, times: Sequence[int]) -> Counts:
    total = np.zeros(len(times), dtype=np.int64)
    order = np.argsort(times, kind="stable")
    ordered = np.asarray(times, dtype=np.int64)[order]
    for file in files:
        part = np.searchsorted(ordered, instants(open_block(file).column(column)), side="right")
        total[order] += np.cumsum(np.bincount(part, minlength=len(times) + 1))[: len(times)]
    return total


def _digit_counts(files: Sequence[BlockFile], column: str, prefixes: Sequence[int], level: int) -> Counts:
    """Rows by the next 16 bits of their time, for each of some leading bits."""
    total = np.zeros((len(prefixes), 1 << DIGIT), dtype=np.int64)
    shift = np.uint64(64 - DIGIT * (level + 1))
    for file in files:
        keys = instants(open_block(file).column(column)).view(np.uint64) ^ np.uint64(1 << 63)
        digits = (keys >> shift) & np.uint64((1 << DIGIT) - 1)
        for number, prefix in enumerate(prefixes):
            inside = keys >> (shift + np.uint64(DIGIT)) == np.uint64(prefix) if level else slice(None)
            total[number] += np.bincount(digits[inside].astype(np.int64), minlength=1 << DIGIT)
    return total
