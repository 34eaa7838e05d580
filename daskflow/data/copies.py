"""Copies of a row that stand in several block files: how many of them the files before each file have.

With that number each copy of a row has a number of its own though files are looked at one by one, as it has when the
rows of a range are gathered from all files. Copies are equal, so that it does not matter which of them has which.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.protocols import Executor, Unit
from daskflow.data import adding
from daskflow.data.blocks import ORDER, Heavy, hashes_of, open_block
from daskflow.data.execution import run_all
from daskflow.data.hashing import Hashes, mix, order_of
from daskflow.data.narrowing import places_in_order

if TYPE_CHECKING:
    from daskflow.data.ranges import RangeReader

SLICE_ROWS = 1 << 20
"""Rows of all files that are looked at together."""

MOST_COPIES = 1 << 20
"""Rows that stand in an earlier file too, by file, up to which they are listed: 16 MiB."""

WHOLE = 2**64


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """Of one block file: the rows that earlier files have too, by their place in training order, and how often."""

    orders: Hashes
    counts: NDArray[np.int64]


NOTHING = Earlier(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))


def earlier_copies(reader: RangeReader, executor: Executor) -> list[Earlier] | None:
    """Return for each block file which of its rows stand in earlier ones; None where they are too many to be listed."""
    n_slices = -(-reader.blocks.n_rows // SLICE_ROWS)
    edges = [place * WHOLE // n_slices for place in range(n_slices + 1)]
    units = [Unit(f"copies-{place}", _repeated, (reader, edges[place], edges[place + 1])) for place in range(n_slices)]
    answers = run_all(executor, [*units, Unit("copies-heavy", _repeated_heavy, (reader,))])
    found = list(answers.values())
    if any(each is None for each in found) or sum(len(each[0]) for each in found) > MOST_COPIES:
        return None
    files, orders, counts = (np.concatenate([each[part] for each in found]) for part in range(3))
    sequence = np.lexsort((orders, files))
    files, orders, counts = files[sequence], orders[sequence], counts[sequence]
    ends = np.searchsorted(files, np.arange(len(reader.blocks.files) + 1)).tolist()
    return [Earlier(orders[start:stop], counts[start:stop]) for start, stop in itertools.pairwise(ends)]


def units_of_copies(order: Hashes, heavy: Sequence[Heavy], earlier: Earlier) -> Hashes:
    """Return a hash of each row of a block file that differs between copies of a row, whatever file they stand in."""
    numbers = np.empty(len(order), dtype=np.uint64)
    adding.number_copies(order, earlier.orders, earlier.counts, numbers)
    places, copies = order, numbers
    if heavy:
        places, copies = order.copy(), numbers.copy()
        own = order_of(np.array([item.content for item in heavy], dtype=np.uint64))
        starts, stops = np.searchsorted(order, own, side="left"), np.searchsorted(order, own, side="right")
        for item, start, stop in zip(heavy, starts, stops, strict=True):
            step = np.uint64(WHOLE // item.count)
            places[start:stop] = places_of_copies(numbers[start:stop], np.uint64(item.content), step)
            copies[start:stop] = 0  # each has a place of its own
    return places ^ mix(copies)


def places_of_copies(copies: Hashes, contents: Any, steps: Any) -> Hashes:
    """Return where copies of heavy rows stand in training order: copy j somewhere in step j, by hash.

    Steps are 2**64 divided by the number of copies, as uint64.
    """
    return np.asarray(copies * steps + mix(mix(copies) ^ contents) % steps)


def _repeated(reader: RangeReader, low: int, high: int) -> Any:
    """Return files, orders and earlier copies of light rows in a slice of hash space; None where they are too many."""
    parts, files = [], []
    for file, order in reader.light_orders(low, high):
        parts.append(order)
        files.append(np.full(len(order), file, dtype=np.int32))
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.int64)
    orders, where = np.concatenate(parts), np.concatenate(files)
    rows = places_in_order(orders)
    ordered = orders[rows]
    is_same = ordered[1:] == ordered[:-1]
    is_copy = np.append(is_same, False) | np.insert(is_same, 0, False)
    kept = rows[is_copy]
    found = _before(where[kept], orders[kept])
    return None if len(found[0]) > MOST_COPIES else found


def _repeated_heavy(reader: RangeReader) -> tuple[NDArray[np.int32], Hashes, NDArray[np.int64]]:
    """Return the same of heavy rows."""
    own = order_of(np.array([item.content for item in reader.blocks.heavy], dtype=np.uint64))
    files: list[NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
    orders, counts, seen = [own[:0]], [np.empty(0, dtype=np.int64)], np.zeros(len(own), dtype=np.int64)
    for place, file in enumerate(reader.blocks.files if len(own) else ()):
        if not file.n_rows:
            continue
        order = hashes_of(open_block(file), ORDER)
        here = np.searchsorted(order, own, side="right") - np.searchsorted(order, own, side="left")
        chosen = (seen > 0) & (here > 0)
        files.append(np.full(int(chosen.sum()), place, dtype=np.int32))
        orders.append(own[chosen])
        counts.append(seen[chosen])
        seen += here
    return np.concatenate(files), np.concatenate(orders), np.concatenate(counts)


def _before(files: NDArray[np.int32], orders: Hashes) -> tuple[NDArray[np.int32], Hashes, NDArray[np.int64]]:
    """Return each file and order but the first file of an order, with the rows of that order in earlier files."""
    sequence = np.lexsort((files, orders))
    files, orders = files[sequence], orders[sequence]
    is_first = np.ones(len(orders), dtype=bool)  # of an order
    is_first[1:] = orders[1:] != orders[:-1]
    is_start = is_first.copy()  # of a file within an order
    is_start[1:] |= files[1:] != files[:-1]
    starts = np.flatnonzero(is_start)
    begins = np.flatnonzero(is_first)
    counts = starts - begins[np.cumsum(is_first)[starts] - 1] if len(starts) else starts
    later = counts > 0
    return files[starts[later]], orders[starts[later]], counts[later]
