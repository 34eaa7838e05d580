"""Passes over all ranges that add something up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.data.execution import run_all
from daskflow.data.ranges import RangeReader, range_groups
from daskflow.data.statistics import Needs, Statistics


def collect(reader: RangeReader, needs: Needs, executor: Executor, listener: Listener = nobody) -> Statistics:
    """Return the statistics of all rows, kept apart by segment; reads each range once.

    Ranges are added within fixed groups and groups in order, so sums are the same to the last bit for any partitioning
    and cluster. Rows of the test are in it under their own segment; ``only`` leaves them out.

    Parameters
    ----------
    reader : RangeReader
        The rows.
    needs : mapping of str to set of str
        Which statistics of which columns.
    executor : Executor
        Runs one unit per 16 ranges.
    listener : callable
        Hears ``stage`` and ``progress`` events of the stage ``statistics``.
    """
    groups = range_groups(reader.n_ranges)
    units = [
        Unit(f"statistics-{number}", _of_group, (reader, list(group), needs)) for number, group in enumerate(groups)
    ]
    done = 0

    def hear(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="statistics", done=done, total=len(units))

    tell(listener, "stage", stage="statistics", state="started", total=len(units))
    answers = run_all(executor, units, on_done=hear)
    tell(listener, "stage", stage="statistics", state="finished", total=len(units))
    parts: list[Statistics] = [answers[unit.key] for unit in units]
    return reduce(lambda left, right: left.merge(right), parts)


def _of_group(reader: RangeReader, ranges: Sequence[int], needs: Needs) -> Statistics:
    """Add up one group, range by range."""
    total: Statistics | None = None
    for i in ranges:
        rows = reader.read(i, list(needs))
        found = Statistics.of(rows.table, rows.segments, needs)
        total = found if total is None else total.merge(found)
    if total is None:
        raise ValueError("a group of ranges is never empty")
    return total
