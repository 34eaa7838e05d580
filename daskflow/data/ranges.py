"""Ranges: the rows of all block files in training order, one slice of hash space at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data import kernels
from daskflow.data.blocks import CONTENT, ORDER, TEXT, UNIT, Blocks, hashes_of, open_block, presented
from daskflow.data.copies import NOTHING, WHOLE, Earlier, places_of_copies, units_of_copies
from daskflow.data.hashing import Hashes, buffers_of, mix, order_of
from daskflow.data.narrowing import places_in_order, rearranged
from daskflow.data.schema import Target
from daskflow.data.splits import SplitPlan
from daskflow.data.tallies import Rows, TargetRows, parts_of
from daskflow.data.targets import target_codes

MOST_ROWS, LEAST_ROWS, USUAL_RANGES = 65_536, 1_000, 64
"""A range has a 64th of the rows, but between 1,000 and 65,536."""

GROUP = 16
"""Ranges that one unit adds up. The same on every cluster: sums of floats depend on how they are grouped."""


@dataclass(frozen=True, slots=True)
class RangeRows:
    """Rows of one range in training order.

    Attributes
    ----------
    table : pyarrow.Table
        The columns in the schema's types; strings as a dictionary of int32 codes in order of first appearance in the
        ranges that were gathered together.
    segments : ndarray of uint8, shape (n_rows,)
        Each row's segment, 255 for test.
    order : ndarray of uint64, shape (n_rows,)
        Ascending.
    content : ndarray of uint64, shape (n_rows,)
        Hash of each source row.
    parts : ndarray of uint8, shape (n_rows,)
        Inner part 0 to 4 of each row: by its group or key, else by its content; copies of a row stand in parts of their
        own, for what few different rows there are would else be told apart by what the other parts lack.
    units : ndarray of uint64, shape (n_rows,)
        Hash of each row's group or key; where neither is named, one that differs between copies of a row.
    """

    table: pa.Table
    segments: NDArray[np.uint8]
    order: Hashes
    content: Hashes
    parts: NDArray[np.uint8]
    units: Hashes


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one block file: the columns in the types they are stored in, their segments, and what tallies need."""

    table: pa.Table
    segments: NDArray[np.uint8]
    beside: Rows


@dataclass(frozen=True, slots=True)
class _Slice:
    """Consecutive rows of a block file."""

    table: pa.Table
    start: int
    n_rows: int


def usual_block_rows(n_rows: int) -> int:
    """Return how many rows a range of a table has when nobody says.

    Examples
    --------
    >>> usual_block_rows(10_000), usual_block_rows(640_000)
    (1000, 10000)
    """
    return min(MOST_ROWS, max(LEAST_ROWS, math.ceil(n_rows / USUAL_RANGES)))


class RangeReader:
    """Reads a scanned table range by range; picklable and small.

    The hash space is cut into equal ranges; a range gathers its rows from all block files and sorts them by their order
    hash, so ranges hold the same rows in the same order, to the last bit, however the files were cut. A row content
    that stands in more than 1/1024 of the rows is spread evenly over the ranges.

    Parameters
    ----------
    blocks : Blocks
        The scanned table.
    plan : SplitPlan
        Gives each row its segment.
    target : Target
        Its classes, for stratified splits.
    block_rows : int, optional
        About how many rows a range has; default a 64th of all, but between 1,000 and 65,536.

    Attributes
    ----------
    n_ranges : int
        Ranges there are.
    n_together : int
        Small ranges are gathered so many at a time, for many small files are slow to visit; read them in order.
    """

    def __init__(self, blocks: Blocks, plan: SplitPlan, target: Target, block_rows: int | None = None) -> None:
        """Decide the number of ranges; nothing is read."""
        self.blocks = blocks.lean()
        self.plan = plan
        self.target = target
        self.block_rows = block_rows or usual_block_rows(blocks.n_rows)
        self.n_ranges = max(1, math.ceil(blocks.n_rows / self.block_rows))
        self.n_together = next(n for n in (16, 8, 4, 2, 1) if n == 1 or n * self.block_rows <= MOST_ROWS)
        self._held: tuple[Any, RangeRows] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel without rows."""
        return {**self.__dict__, "_held": None}

    def read(self, i: int, columns: Sequence[str] | None = None) -> RangeRows:
        """Return the rows of one range.

        Parameters
        ----------
        i : int
            0 to ``n_ranges - 1``.
        columns : sequence of str, optional
            Columns of the table to return; default all that are stored.

        Raises
        ------
        StorageError
            When a block file is gone or damaged.
        """
        names = tuple(self.blocks.schema.names if columns is None else columns)
        first = i - i % self.n_together
        if self.n_together == 1:
            return self._gather(self._edge(i), self._edge(i + 1), names)
        held = self._held
        if held is None or held[0] != (first, names):
            held = (first, names), self._gather(self._edge(first), self._edge(first + self.n_together), names)
            self._held = held
        rows = held[1]
        begin = int(np.searchsorted(rows.order, np.uint64(self._edge(i))))
        end = int(np.searchsorted(rows.order, np.uint64(self._edge(i + 1) - 1), side="right"))
        return RangeRows(
            rows.table.slice(begin, end - begin),
            rows.segments[begin:end],
            rows.order[begin:end],
            rows.content[begin:end],
            rows.parts[begin:end],
            rows.units[begin:end],
        )

    def read_span(self, first: int, stop: int, columns: Sequence[str]) -> RangeRows:
        """Return the rows of the ranges from `first` to before `stop` together, in training order."""
        return self._gather(self._edge(first), self._edge(stop), tuple(columns))

    def read_file(self, place: int, columns: Sequence[str], earlier: Earlier = NOTHING) -> FileRows:
        """Return the rows of one block file as they stand there, memory-mapped.

        Parameters
        ----------
        place : int
            Of the file in ``blocks.files``.
        columns : sequence of str
            Columns of the table.
        earlier : Earlier
            Copies of its rows in earlier files, without which inner parts are not those of `read`; see
            `daskflow.data.copies`. Where a group or key makes the parts they are not looked at.
        """
        block = open_block(self.blocks.files[place])
        units = hashes_of(block, UNIT)
        target = self.target_rows(block.column(self.target.name) if self.target.name else None)
        codes = target.codes if target and self.plan.reads_target else None
        column = block.column(self.plan.column) if self.plan.column else None
        segments = self.plan.segments(units, codes, column)
        if not self.has_own_units:
            units = units_of_copies(hashes_of(block, ORDER), self.blocks.heavy, earlier)
        return FileRows(block.select(list(columns)), segments, Rows(hashes_of(block, CONTENT), parts_of(units), target))

    def light_orders(self, low: int, high: int) -> Iterator[tuple[int, Hashes]]:
        """Yield the files and order hashes of a slice of hash space, those of heavy rows left out."""
        heavy = np.array([item.content for item in self.blocks.heavy], dtype=np.uint64)
        own = np.sort(order_of(heavy))
        for place, file in enumerate(self.blocks.files):
            if file.n_rows:
                order = hashes_of(open_block(file), ORDER)
                yield from ((place, order[begin:stop]) for begin, stop in _around(order, low, high, own))

    def _edge(self, i: int) -> int:
        """Where a range begins in hash space."""
        return min(i, self.n_ranges) * WHOLE // self.n_ranges

    def _gather(self, low: int, high: int, names: Sequence[str]) -> RangeRows:
        """Collect the rows of a slice of hash space from all files."""
        heavy = np.array([item.content for item in self.blocks.heavy], dtype=np.uint64)
        slices = self._light(low, high, np.sort(order_of(heavy)))
        n_light = sum(piece.n_rows for piece in slices)
        which, copies = self._copies(low, high, heavy)
        used, number = np.unique(which, return_inverse=True)
        slices += [self._one_row(int(place)) for place in used]

        content = _hashes(slices, CONTENT)
        rows = np.concatenate([np.arange(n_light), n_light + number])
        order = np.concatenate([order_of(content[:n_light]), copies])
        sequence = _in_order(order, content[rows])
        rows, order = rows[sequence], order[sequence]
        table = pa.table({name: self._column(slices, name, rows) for name in names})
        units = _hashes(slices, UNIT)[rows] if self.has_own_units else _copies_apart(order)
        return RangeRows(table, self._segments(slices, rows), order, content[rows], parts_of(units), units)

    @property
    def has_own_units(self) -> bool:
        """Whether a group or a key says what must not be split, instead of the whole row."""
        return self.blocks.roles.group is not None or bool(self.blocks.roles.key)

    def target_rows(self, column: pa.ChunkedArray | pa.Array | None) -> TargetRows | None:
        """Return the target of some rows from its column; None where there is none."""
        if column is None:
            return None
        values = target_codes(column, self.target)
        codes = values if self.target.task.is_classification else None
        return TargetRows(values.astype(np.float64), codes, tuple(self.target.classes))

    def _light(self, low: int, high: int, heavy_orders: Hashes) -> list[_Slice]:
        """The slices of all files in the range, around the rows that stand elsewhere."""
        slices = []
        for file in self.blocks.files:
            if not file.n_rows:
                continue
            block = open_block(file)
            pieces = _around(hashes_of(block, ORDER), low, high, heavy_orders)
            slices += [_Slice(block, begin, stop - begin) for begin, stop in pieces]
        return slices

    def _copies(self, low: int, high: int, heavy: Hashes) -> tuple[NDArray[np.int64], Hashes]:
        """Places in the range of the copies of heavy rows: of which one, and where.

        The hash space is cut into as many steps as there are copies; copy j stands in step j, at an offset by hash.
        """
        if len(heavy) == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
        counts = np.array([item.count for item in self.blocks.heavy], dtype=np.uint64)
        steps = np.array([WHOLE // item.count for item in self.blocks.heavy], dtype=np.uint64)
        first = np.minimum(np.uint64(low) // steps, counts - np.uint64(1))
        last = np.minimum(np.uint64(high - 1) // steps, counts - np.uint64(1))
        numbers = (last - first).astype(np.int64) + 1
        which = np.repeat(np.arange(len(heavy)), numbers)
        within = np.arange(len(which)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        copy = first[which] + within.astype(np.uint64)
        order = places_of_copies(copy, heavy[which], steps[which])
        here = (order >= np.uint64(low)) & (order <= np.uint64(high - 1))
        return which[here], order[here]

    def _one_row(self, heavy: int) -> _Slice:
        """One of the copies of a heavy row; they are all equal."""
        item = self.blocks.heavy[heavy]
        block = open_block(self.blocks.files[item.file])
        place = order_of(np.array([item.content], dtype=np.uint64))
        return _Slice(block, int(np.searchsorted(hashes_of(block, ORDER), place)[0]), 1)

    def _column(self, slices: Sequence[_Slice], name: str, rows: NDArray[np.int64]) -> pa.Array:
        """One column in its presented type, in training order."""
        wanted = presented(self.blocks.schema[name])
        plain = pa.string() if wanted == TEXT else wanted
        parts = _parts(slices, name) or [pa.array([], type=plain)]
        if wanted == TEXT:
            return _texts(parts, rows)
        if len({part.type for part in parts}) > 1:
            parts = [part.cast(plain) for part in parts]
        return rearranged(pa.concat_arrays(parts), rows).cast(plain)

    def _segments(self, slices: Sequence[_Slice], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The segment of every row."""
        codes = column = None
        if self.plan.reads_target:
            codes = target_codes(self._column(slices, self.target.name, rows), self.target)
        if self.plan.column:
            column = self._column(slices, self.plan.column, rows)
        return self.plan.segments(_hashes(slices, UNIT)[rows], codes, column)


def range_groups(n_ranges: int, size: int = GROUP) -> list[range]:
    """Cut ranges into groups of consecutive ones: what one unit of work goes through.

    Examples
    --------
    >>> range_groups(40)
    [range(0, 16), range(16, 32), range(32, 40)]
    """
    return [range(start, min(start + size, n_ranges)) for start in range(0, n_ranges, size)]


def _around(order: Hashes, low: int, high: int, heavy: Hashes) -> list[tuple[int, int]]:
    """Return where the rows of a slice of hash space begin and stop in increasing hashes, around heavy ones."""
    inside = heavy[(heavy >= np.uint64(low)) & (heavy <= np.uint64(high - 1))]
    start = int(np.searchsorted(order, np.uint64(low)))
    end = len(order) if high == WHOLE else int(np.searchsorted(order, np.uint64(high)))
    stops = [*np.searchsorted(order, inside, side="left").tolist(), end]
    begins = [start, *np.searchsorted(order, inside, side="right").tolist()]
    return [(begin, stop) for begin, stop in zip(begins, stops, strict=True) if stop > begin]


def _copies_apart(order: Hashes) -> Hashes:
    """Return a hash of each row in order that differs between rows of equal order: equal rows are numbered."""
    begins = np.concatenate([[True], order[1:] != order[:-1]]) if len(order) else np.empty(0, dtype=bool)
    starts = np.flatnonzero(begins)
    number = np.arange(len(order)) - starts[np.cumsum(begins) - 1] if len(order) else np.empty(0, dtype=np.int64)
    return order ^ mix(number.astype(np.uint64))


def _in_order(order: Hashes, content: Hashes) -> NDArray[np.int64]:
    """Places of rows in training order, those of equal order by content; rows of equal content are equal."""
    sequence = places_in_order(order)
    ordered, contents = order[sequence], content[sequence]
    is_unclear = (ordered[1:] == ordered[:-1]) & (contents[1:] != contents[:-1])
    return np.lexsort((content, order)) if is_unclear.any() else sequence


def _texts(parts: Sequence[pa.Array], rows: NDArray[np.int64]) -> pa.Array:
    """Some rows of strings that are kept as one dictionary per block, codes in order of first appearance.

    Dictionaries are put together where they are small beside the rows, else the strings themselves.
    """
    encoded = [part for part in parts if pa.types.is_dictionary(part.type)]
    n_values = sum(len(part.dictionary) for part in encoded)
    if len(encoded) < len(parts) or n_values > len(rows):
        plain = [part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for part in parts]
        return pa.concat_arrays(plain).take(pa.array(rows)).dictionary_encode()
    wide = [pa.DictionaryArray.from_arrays(part.indices.cast(pa.int32()), part.dictionary) for part in encoded]
    whole = pa.chunked_array(wide).unify_dictionaries().combine_chunks()
    values, bits, offset = buffers_of(whole.indices, np.int64)
    codes = np.empty(len(rows), dtype=np.int32)
    used = np.empty(len(whole.dictionary), dtype=np.int64)
    n_used = kernels.renumber(values, bits, offset, rows, codes, used, np.full(len(used), -1, dtype=np.int32))
    indices = pa.array(codes, mask=codes < 0) if whole.null_count else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, whole.dictionary.take(pa.array(used[:n_used])))


def _parts(slices: Sequence[_Slice], name: str) -> list[pa.Array]:
    """One column of all slices, without a copy."""
    columns = {id(block): block.column(name).chunk(0) for block in {id(s.table): s.table for s in slices}.values()}
    return [columns[id(piece.table)].slice(piece.start, piece.n_rows) for piece in slices]


def _hashes(slices: Sequence[_Slice], name: str) -> Hashes:
    """A hidden column of all slices."""
    parts: list[Any] = [part.to_numpy() for part in _parts(slices, name)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
