"""Passes over all block files that add something up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import pyarrow as pa

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.data.blocks import groups_of, presented_table
from daskflow.data.copies import NOTHING, Earlier, earlier_copies
from daskflow.data.distribution import resolution_for
from daskflow.data.execution import reduce_all
from daskflow.data.ranges import RangeReader, range_groups
from daskflow.data.statistics import Needs, Statistics
from daskflow.data.tallies import Rows, Tally

GROUP_ROWS, MOST_GROUPS = 1 << 18, 256
"""A unit adds up at least so many rows, and there are no more units than this."""

SPAN = 4
"""Ranges that are read together where they are counted by part: merging many small counts of levels costs more."""


def collect(
    reader: RangeReader,
    needs: Needs,
    executor: Executor,
    listener: Listener = nobody,
    *,
    prepare: Callable[[pa.Table], pa.Table] | None = None,
    columns: Sequence[str] | None = None,
) -> Statistics:
    """Return the statistics of all rows, kept apart by segment; reads each block file once, in place.

    Everything that is added up merges without rounding, so that files may be visited in any order and cut in any way.
    Tallies by inner part are counted with the rest; unless a group or key makes the parts, copies of a row in different
    files are numbered beforehand. Only where those are very many, they are counted range by range in a second pass.
    Rows of the test are in it under their own segment; ``only`` leaves them out.

    Parameters
    ----------
    reader : RangeReader
        The rows.
    needs : mapping of str to set of str or Tally
        Which statistics of which columns.
    executor : Executor
        Runs one unit per group of files.
    listener : callable
        Hears ``stage`` and ``progress`` events of the stage ``statistics``.
    prepare : callable, optional
        Adds row-wise new columns to a table before it is counted; picklable.
    columns : sequence of str, optional
        Columns to read; default those of `needs`.
    """
    if not needs:
        return Statistics({}, {})
    groups = groups_of(reader.blocks.files, rows=GROUP_ROWS, most=MOST_GROUPS)
    names = list(needs if columns is None else columns)
    by_part = {} if reader.has_own_units else _by_part(needs)
    earlier = earlier_copies(reader, executor) if by_part else None
    by_part = {} if earlier else by_part
    rest = {name: asked - by_part.get(name, frozenset()) for name, asked in needs.items()}
    units = [
        Unit(f"statistics-{number}", _of_group, (reader, group, rest, prepare, names, _of_files(earlier, group)))
        for number, group in enumerate(groups)
    ]
    part_units = [
        Unit(f"statistics-parts-{number}", _of_ranges, (reader, list(group), by_part, prepare, names))
        for number, group in enumerate(range_groups(reader.n_ranges) if by_part else [])
    ]
    done, n_units = 0, len(units) + len(part_units)

    def hear(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="statistics", done=done, total=n_units)

    tell(listener, "stage", stage="statistics", state="started", total=n_units)
    total: Statistics = reduce_all(executor, units, Statistics.merge, on_done=hear)
    if part_units:
        total = total.with_tallies(reduce_all(executor, part_units, Statistics.merge, on_done=hear))
    tell(listener, "stage", stage="statistics", state="finished", total=n_units)
    return total


def _by_part(needs: Needs) -> dict[str, frozenset[str | Tally]]:
    """The tallies by inner part, of the columns that have some."""
    found = {
        name: frozenset(need for need in asked if not isinstance(need, str) and need.by_part)
        for name, asked in needs.items()
    }
    return {name: tallies for name, tallies in found.items() if tallies}


def _of_ranges(
    reader: RangeReader,
    ranges: Sequence[int],
    needs: Needs,
    prepare: Callable[[pa.Table], pa.Table] | None,
    columns: Sequence[str],
) -> Statistics:
    """Add up the tallies of some ranges, and nothing else."""
    parts = []
    target = [reader.target.name] if reader.target.name else []
    names = list(dict.fromkeys([*(columns if prepare else needs), *target]))
    for first in ranges[::SPAN]:
        rows = reader.read_span(first, min(first + SPAN, ranges[-1] + 1), names)
        table = rows.table if prepare is None else prepare(rows.table)
        beside = Rows(rows.content, rows.parts, reader.target_rows(rows.table.column(target[0]) if target else None))
        parts.append(Statistics.of_tallies(table, rows.segments, needs, beside))
    return reduce(Statistics.merge, parts)


def _of_files(earlier: Sequence[Earlier] | None, files: Sequence[int]) -> list[Earlier]:
    """What some files need to know of the copies in earlier ones."""
    return [earlier[place] if earlier else NOTHING for place in files]


def _of_group(
    reader: RangeReader,
    files: Sequence[int],
    needs: Needs,
    prepare: Callable[[pa.Table], pa.Table] | None,
    columns: Sequence[str],
    earlier: Sequence[Earlier],
) -> Statistics:
    """Add up one group, file by file."""
    total: Statistics | None = None
    resolution = resolution_for(reader.blocks.n_rows)
    for place, copies in zip(files, earlier, strict=True):
        rows = reader.read_file(place, columns, copies)
        table = rows.table
        if prepare is not None or any(not isinstance(need, str) for asked in needs.values() for need in asked):
            table = presented_table(table, reader.blocks.schema)  # what is built in counts narrow columns as they are
        table = table if prepare is None else prepare(table)
        found = Statistics.of(table, rows.segments, needs, rows.beside, resolution)
        total = found if total is None else total.merge(found)
    if total is None:
        raise ValueError("a group of files is never empty")
    return total
