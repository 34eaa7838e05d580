"""Counts over blocks that a split is planned from: of units, of their places in hash order, and of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor, Unit
from daskflow.data.blocks import UNIT, BlockFile, groups_of, hashes_of, open_block
from daskflow.data.execution import run_all
from daskflow.data.hashing import Hashes, mix
from daskflow.data.placement import Counts, merged
from daskflow.data.schema import Target
from daskflow.data.targets import target_codes

GROUP_ROWS, MOST_GROUPS = 1 << 20, 64
DIGIT = 16
"""Bits by which a time is found in each of four passes."""

Pairs = tuple[Hashes, NDArray[np.int64], Counts]


def _over(files: Sequence[BlockFile], step: str, function: Any, arguments: tuple[Any, ...], executor: Executor) -> Any:
    """Run a function on groups of files."""
    groups = groups_of(tuple(files), rows=GROUP_ROWS, most=MOST_GROUPS)
    units = [
        Unit(f"split-{step}-{number}", function, ([files[place] for place in group], *arguments))
        for number, group in enumerate(groups)
    ]
    answers = run_all(executor, units)
    return [answers[unit.key] for unit in units]


def unit_counts(files: Sequence[BlockFile], target: Target | None, executor: Executor) -> Pairs:
    """Return every (unit, class) pair with its rows, sorted; class 0 without a target."""
    return merged(_over(files, "units", _unit_counts, (target,), executor))


def _unit_counts(files: Sequence[BlockFile], target: Target | None) -> Pairs:
    parts: list[Pairs] = []
    for file in files:
        block = open_block(file)
        units = hashes_of(block, UNIT)
        parts.append((units, _codes(block, target), np.ones(len(units), dtype=np.int64)))
    return merged(parts)


def _codes(block: pa.Table, target: Target | None) -> NDArray[np.int64]:
    """Class codes of a block's rows; zeros without a target."""
    if target is None:
        return np.zeros(block.num_rows, dtype=np.int64)
    return np.asarray(target_codes(block.column(target.name), target), dtype=np.int64)


def place_counts(
    files: Sequence[BlockFile], salt: int, heavy: Hashes, target: Target | None, bits: int, executor: Executor
) -> Counts:
    """Return light rows by class and by the top bits of their place, of shape (n_classes, 2**bits)."""
    found = _over(files, "places", _place_counts, (salt, heavy, target, bits), executor)
    return np.asarray(sum(found[1:], start=found[0]))


def _place_counts(files: Sequence[BlockFile], salt: int, heavy: Hashes, target: Target | None, bits: int) -> Counts:
    n_classes = len(target.classes) if target else 1
    total = np.zeros(n_classes << bits, dtype=np.int64)
    for file in files:
        block = open_block(file)
        units = hashes_of(block, UNIT)
        light = ~np.isin(units, heavy)
        bins = (mix(units, salt) >> np.uint64(64 - bits)).astype(np.int64) + (_codes(block, target) << bits)
        total += np.bincount(bins[light], minlength=len(total))
    return total.reshape(n_classes, -1)


def class_of(file: BlockFile, unit: int, target: Target) -> int:
    """Return the class of a unit whose rows all have the same, from one file that has it."""
    block = open_block(file)
    row = int(np.flatnonzero(hashes_of(block, UNIT) == np.uint64(unit))[0])
    return int(target_codes(block.column(target.name).slice(row, 1), target)[0])


def instants(values: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return a time column without gaps as int64 that sorts like its values: dates in their unit, floats by their bits.

    Raises
    ------
    DataError
        When the column is neither dates nor numbers.
    """
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    arrow_type = column.type
    if pa.types.is_date32(arrow_type):
        column = column.cast(pa.int32())
    if pa.types.is_decimal(arrow_type):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        bits = column.cast(pa.float64()).to_numpy(zero_copy_only=False).view(np.int64)
        return np.asarray(np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits))
    if pa.types.is_temporal(arrow_type) or pa.types.is_integer(arrow_type):
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    raise DataError(f"A time must be a date or a number; the column is {arrow_type}. Convert it, or derive one.")


def time_cuts(
    files: Sequence[BlockFile], column: str, wanted: Sequence[float], executor: Executor
) -> list[tuple[int, int]]:
    """Return for each wanted number of rows the time before which about as many lie, and how many that are.

    Exact for any number of rows: the time that holds the wanted row is found digit by digit, 16 bits in each of four
    passes over the column; the cut is before or after all rows of that time, whichever is nearer.
    """
    prefixes, below, there = [0] * len(wanted), [0] * len(wanted), [0] * len(wanted)
    for level in range(64 // DIGIT):
        distinct = sorted(set(prefixes))
        found = _over(files, f"times{level}", _digit_counts, (column, distinct, level), executor)
        counts = np.asarray(sum(found[1:], start=found[0]))
        for i, rows in enumerate(wanted):
            held = counts[distinct.index(prefixes[i])]
            reached = below[i] + np.cumsum(held)
            digit = min(int(np.searchsorted(reached, rows, side="right")), int(np.flatnonzero(held)[-1]))
            below[i], there[i] = int(reached[digit] - held[digit]), int(held[digit])
            prefixes[i] = (prefixes[i] << DIGIT) | digit
    cuts = []
    for i, rows in enumerate(wanted):
        time = prefixes[i] - 2**63
        before = rows - below[i] <= below[i] + there[i] - rows
        cuts.append((time, below[i]) if before else (time + 1, below[i] + there[i]))
    return cuts


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
