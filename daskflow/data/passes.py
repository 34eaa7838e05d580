"""Passes over all block files that add something up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.data.blocks import groups_of, presented_table
from daskflow.data.distribution import resolution_for
from daskflow.data.execution import reduce_all
from daskflow.data.ranges import RangeReader
from daskflow.data.statistics import Needs, Statistics

GROUP_ROWS, MOST_GROUPS = 1 << 18, 256
"""A unit adds up at least so many rows, and there are no more units than this."""


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
    groups = groups_of(reader.blocks.files, rows=GROUP_ROWS, most=MOST_GROUPS)
    names = list(needs if columns is None else columns)
    units = [
        Unit(f"statistics-{number}", _of_group, (reader, group, needs, prepare, names))
        for number, group in enumerate(groups)
    ]
    done = 0

    def hear(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="statistics", done=done, total=len(units))

    tell(listener, "stage", stage="statistics", state="started", total=len(units))
    total: Statistics = reduce_all(executor, units, Statistics.merge, on_done=hear)
    tell(listener, "stage", stage="statistics", state="finished", total=len(units))
    return total


def _of_group(
    reader: RangeReader,
    files: Sequence[int],
    needs: Needs,
    prepare: Callable[[pa.Table], pa.Table] | None,
    columns: Sequence[str],
) -> Statistics:
    """Add up one group, file by file; a large file in pieces."""
    total: Statistics | None = None
    resolution = resolution_for(reader.blocks.n_rows)
    for place in files:
        rows = reader.read_file(place, columns)
        table = presented_table(rows.table, reader.blocks.schema)
        table = table if prepare is None else prepare(table)
        found = Statistics.of(table, rows.segments, needs, rows.beside, resolution)
        total = found if total is None else total.merge(found)
    if total is None:
        raise ValueError("a group of files is never empty")
    return total
