"""The pass behind a profile: each block file is read once, in units of files, and the counts merge in a tree.

Beside it, rows that are repeated are counted from the row hashes alone, range of hashes by range, since blocks are
sorted by them; and a short second look goes over those columns only whose frequent values or whose equality to another
column a single pass can name but not prove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Kept, Unit
from daskflow.data import arrays
from daskflow.data.blocks import CONTENT, ORDER, BlockFile, groups_of, hashes_of, open_block
from daskflow.data.crosstab import Counts, Keys, Limit
from daskflow.data.execution import run_all
from daskflow.data.hashing import canonical, mix, salt_of
from daskflow.data.profile_counts import ColumnCounts, Places
from daskflow.data.profile_pairs import Paired, PairSums
from daskflow.data.profile_target import ProfiledTarget
from daskflow.data.profile_values import encoded
from daskflow.data.schema import Column

State = TypeVar("State")

GROUP_ROWS, UNITS_PER_SLOT, LEAST_UNITS = 1 << 16, 4, 4
"""A unit counts at least so many rows; and there are at most so many units, whose states wait to be merged."""

FAN_IN = 8
"""States that are merged at once."""

RANGE_ROWS = 1 << 22
"""Row hashes looked at together for repeated rows: 32 MiB."""

WHOLE = 1 << 64

SALT = salt_of("profile")


@dataclass(frozen=True, slots=True)
class Piece:
    """A block file with the place of its partition."""

    file: BlockFile
    places: Places


@dataclass(frozen=True, slots=True)
class Asked:
    """What is counted.

    Attributes
    ----------
    columns : tuple of Column
        In the order of the profile.
    limit : Limit
        Up to how many distinct values are counted exactly.
    paired : tuple of Paired
        Columns that are correlated with each other.
    target : ProfiledTarget or None
        What every column is set against.
    below : int
        Rows whose order hash is below this are looked at: 2**64 for all of them.
    """

    columns: tuple[Column, ...]
    limit: Limit
    paired: tuple[Paired, ...] = ()
    target: ProfiledTarget | None = None
    below: int = WHOLE


@dataclass(frozen=True, slots=True, eq=False)
class TableCounts:
    """What is counted of some partitions; states of disjoint ones merge.

    Attributes
    ----------
    rows : mapping of int to int
        Rows looked at, by partition.
    columns : tuple of ColumnCounts
        In the order asked.
    pairs : PairSums
        Of the correlated columns.
    targets : mapping of int to ndarray
        The target's counts by partition.
    """

    rows: Mapping[int, int]
    columns: tuple[ColumnCounts, ...]
    pairs: PairSums
    targets: Mapping[int, Counts]

    @classmethod
    def of(cls, piece: Piece, asked: Asked) -> TableCounts:
        """Count one block file."""
        table = rows_of(piece.file, asked.below)
        target = None
        if asked.target is not None:
            target = asked.target.rows(arrays.whole(table.column(asked.target.column.name)))
        columns = tuple(
            ColumnCounts.of(arrays.whole(table.column(column.name)), column, piece.places, asked.limit, target)
            for column in asked.columns
        )
        partition = piece.places.partition
        return cls(
            rows={partition: table.num_rows},
            columns=columns,
            pairs=PairSums.of(table, asked.paired),
            targets={} if target is None else {partition: target.alone()},
        )

    def merge(self, other: TableCounts) -> TableCounts:
        """Add the counts of other partitions."""
        return TableCounts(
            rows={**self.rows, **other.rows},
            columns=tuple(left.merge(right) for left, right in zip(self.columns, other.columns, strict=True)),
            pairs=self.pairs.merge(other.pairs),
            targets={**self.targets, **other.targets},
        )


def count(pieces: Sequence[Piece], asked: Asked, executor: Executor, listener: Listener = nobody) -> TableCounts:
    """Count every piece once; states are merged where they are, a few at a time."""
    most = max(LEAST_UNITS, UNITS_PER_SLOT * executor.slots)
    groups = groups_of(tuple(piece.file for piece in pieces), rows=GROUP_ROWS, most=most)
    units = [
        Unit(f"profile-{number}", _count, ([pieces[place] for place in group], asked), keeps=True)
        for number, group in enumerate(groups)
    ]
    done = 0

    def hear(outcome: Any) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="profile", done=done, total=len(units))

    tell(listener, "stage", stage="profile", state="started", total=len(units))
    run_all(executor, units, on_done=hear)
    keys, level = [unit.key for unit in units], 0
    while len(keys) > FAN_IN:
        level += 1
        merges = [
            Unit(f"profile-merge-{level}-{start}", _merge, _kept(keys[start : start + FAN_IN]), keeps=True)
            for start in range(0, len(keys), FAN_IN)
        ]
        run_all(executor, merges)
        executor.release(keys)
        keys = [unit.key for unit in merges]
    last = Unit("profile-merge", _merged, _kept(keys))
    found: TableCounts = run_all(executor, [last])[last.key]
    executor.release(keys)
    tell(listener, "stage", stage="profile", state="finished", total=len(units))
    return found


def _kept(keys: Sequence[str]) -> tuple[Kept, ...]:
    return tuple(Kept(key) for key in keys)


def _count(pieces: Sequence[Piece], asked: Asked) -> tuple[TableCounts, None]:
    """Count some pieces; the state stays where it is."""
    return folded((TableCounts.of(piece, asked) for piece in pieces), TableCounts.merge), None


def _merge(*states: TableCounts) -> tuple[TableCounts, None]:
    return _merged(*states), None


def _merged(*states: TableCounts) -> TableCounts:
    return reduce(TableCounts.merge, states)


def folded(states: Iterable[State], merge: Callable[[State, State], State]) -> State:
    """Merge states as they come, equals with equals, so that many small ones don't cost a large merge each.

    Examples
    --------
    >>> folded("abcde", lambda left, right: f"({left}{right})")
    '(((ab)(cd))e)'
    """
    stack: list[tuple[int, State]] = []
    for state in states:
        rank = 0
        while stack and stack[-1][0] == rank:
            state, rank = merge(stack.pop()[1], state), rank + 1
        stack.append((rank, state))
    while len(stack) > 1:
        _, last = stack.pop()
        rank, before = stack.pop()
        stack.append((rank, merge(before, last)))
    return stack[0][1]


def rows_of(file: BlockFile, below: int) -> pa.Table:
    """Return a block's rows whose order hash is below a number: a beginning of it, for blocks are sorted by that."""
    table = open_block(file)
    if below >= WHOLE:
        return table
    return table.slice(0, int(np.searchsorted(hashes_of(table, ORDER), np.uint64(below))))


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that are equal to other rows.

    Attributes
    ----------
    distinct : int
        Different rows.
    repeated : int
        Different rows that stand more than once.
    most : int
        How often the most frequent row stands.
    """

    distinct: int = 0
    repeated: int = 0
    most: int = 0

    def merge(self, other: Repeats) -> Repeats:
        """Add another range of hashes."""
        return Repeats(self.distinct + other.distinct, self.repeated + other.repeated, max(self.most, other.most))


def repeats(files: Sequence[BlockFile], executor: Executor, below: int = WHOLE) -> Repeats:
    """Count different rows, exactly but for colliding 64-bit hashes; reads eight bytes of each row."""
    n_rows = sum(file.n_rows for file in files)
    n_ranges = max(1, -(-n_rows // RANGE_ROWS))
    edges = [below * place // n_ranges for place in range(n_ranges + 1)]
    units = [
        Unit(f"profile-rows-{place}", _repeats, (list(files), edges[place], edges[place + 1]))
        for place in range(n_ranges)
    ]
    found: list[Repeats] = list(run_all(executor, units).values())
    return reduce(Repeats.merge, found)


def _repeats(files: Sequence[BlockFile], start: int, stop: int) -> Repeats:
    """Count the rows of one range of hashes."""
    parts = []
    for file in files:
        hashes = hashes_of(open_block(file), ORDER)
        first = np.searchsorted(hashes, np.uint64(start))
        last = len(hashes) if stop >= WHOLE else np.searchsorted(hashes, np.uint64(stop))
        parts.append(hashes[first:last])
    counts = np.unique(np.concatenate(parts), return_counts=True)[1] if parts else np.empty(0)
    return Repeats(len(counts), int((counts > 1).sum()), int(counts.max(initial=0)))


@dataclass(frozen=True, slots=True)
class Look:
    """What a second look is for: candidates for frequent values by column, and columns that may equal each other."""

    keys: Mapping[str, Keys]
    alike: tuple[str, ...]

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.keys or self.alike)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a second look found; states of disjoint rows merge.

    Attributes
    ----------
    counts : mapping of str to ndarray
        Rows of each candidate.
    texts : mapping of str to mapping
        The texts of those keys that are texts.
    prints : mapping of str to int
        64 bits of all rows' values by column; equal for columns that are equal in every row.
    """

    counts: Mapping[str, Counts]
    texts: Mapping[str, Mapping[int, str]]
    prints: Mapping[str, int]

    def merge(self, other: Seen) -> Seen:
        """Add other rows."""
        return Seen(
            {name: counts + other.counts[name] for name, counts in self.counts.items()},
            {name: {**texts, **other.texts[name]} for name, texts in self.texts.items()},
            {name: (print_of + other.prints[name]) % WHOLE for name, print_of in self.prints.items()},
        )


def look_again(pieces: Sequence[Piece], asked: Asked, look: Look, executor: Executor) -> Seen:
    """Count candidates exactly, and compare columns row by row; reads the columns in question only."""
    if not look.is_needed:
        return Seen({}, {}, {})
    most = max(LEAST_UNITS, UNITS_PER_SLOT * executor.slots)
    groups = groups_of(tuple(piece.file for piece in pieces), rows=GROUP_ROWS, most=most)
    units = [
        Unit(f"profile-look-{number}", _look, ([pieces[place].file for place in group], asked, look))
        for number, group in enumerate(groups)
    ]
    found: list[Seen] = list(run_all(executor, units).values())
    return reduce(Seen.merge, found)


def _look(files: Sequence[BlockFile], asked: Asked, look: Look) -> Seen:
    return folded((_look_at(rows_of(file, asked.below), asked, look) for file in files), Seen.merge)


def _look_at(table: pa.Table, asked: Asked, look: Look) -> Seen:
    """Look at one block."""
    columns = {column.name: column for column in asked.columns}
    found = {name: _candidates(table, columns[name], keys) for name, keys in look.keys.items()}
    prints: dict[str, int] = {}
    if look.alike:
        rows = mix(hashes_of(table, CONTENT), SALT)
        for name in look.alike:
            values = canonical(table.column(name), name)[0]
            prints[name] = int(mix(values ^ rows).sum(dtype=np.uint64))
    texts = {name: shown for name, (_, shown) in found.items()}
    return Seen({name: counts for name, (counts, _) in found.items()}, texts, prints)


def _candidates(table: pa.Table, column: Column, wanted: Keys) -> tuple[Counts, dict[int, str]]:
    """Rows of each wanted value in one block, and what those that are texts say."""
    found = encoded(arrays.whole(table.column(column.name)), column)
    rows = np.bincount(found.codes + 1, minlength=len(found.keys) + 1)[1:]
    order = np.argsort(wanted)
    places = order[np.minimum(np.searchsorted(wanted, found.keys, sorter=order), len(wanted) - 1)]
    hits = np.flatnonzero((wanted[places] == found.keys) & (rows > 0))
    counts = np.zeros(len(wanted), dtype=np.int64)
    np.add.at(counts, places[hits], rows[hits])
    if found.texts is None:
        return counts, {}
    texts = found.texts.take(pa.array(hits)).to_pylist()
    return counts, dict(zip(found.keys[hits].tolist(), texts, strict=True))
