"""Counts of the rows of every range, from which parts of matrices know where each range begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from daskflow.core.protocols import Executor, Unit
from daskflow.data.balance import Balancing, ClassCounts
from daskflow.data.execution import run_all
from daskflow.data.placement import Counts
from daskflow.data.ranges import RangeReader, range_groups
from daskflow.data.targets import target_codes


def count_rows(reader: RangeReader, executor: Executor) -> Counts:
    """Return the rows of every range by segment, the test's last; shape (n_ranges, n_segments + 1)."""
    groups = range_groups(reader.n_ranges)
    units = [Unit(f"matrices-count-{number}", _rows, (reader, list(group))) for number, group in enumerate(groups)]
    answers = run_all(executor, units)
    return np.concatenate([answers[unit.key] for unit in units])


def _rows(reader: RangeReader, ranges: Sequence[int]) -> Counts:
    n_segments = reader.plan.n_segments
    counts = np.zeros((len(ranges), n_segments + 1), dtype=np.int64)
    for row, i in enumerate(ranges):
        counts[row] = np.bincount(np.minimum(reader.read(i, ()).segments, n_segments), minlength=n_segments + 1)
    return counts


def count_classes(reader: RangeReader, balancing: Balancing, executor: Executor) -> ClassCounts:
    """Return the rows and weights of every range by segment and class, and of those that stay if undersampled."""
    groups = range_groups(reader.n_ranges)
    units = [
        Unit(f"matrices-classes-{number}", _classes, (reader, balancing, list(group)))
        for number, group in enumerate(groups)
    ]
    answers = run_all(executor, units)
    return ClassCounts.joined([answers[unit.key] for unit in units])


def _classes(reader: RangeReader, balancing: Balancing, ranges: Sequence[int]) -> ClassCounts:
    n_segments, n_classes = reader.plan.n_segments, len(reader.target.classes)
    shape = (n_segments + 1, n_classes)
    size = shape[0] * shape[1]
    rows, kept = np.zeros((len(ranges), *shape), dtype=np.int64), np.zeros((len(ranges), *shape), dtype=np.int64)
    weight, weight_kept = np.zeros(shape), np.zeros(shape)
    name = reader.blocks.roles.weight
    for place, i in enumerate(ranges):
        found = reader.read(i, [reader.target.name, *([name] if name else [])])
        codes = target_codes(found.table.column(reader.target.name), reader.target)
        own = np.ones(len(codes))
        if name:
            own = np.asarray(found.table.column(name).cast(pa.float64()))
        stays = balancing.stays(found.order, codes)
        cells = np.minimum(found.segments, n_segments).astype(np.int64) * n_classes + codes
        rows[place] = np.bincount(cells, minlength=size).reshape(shape)
        kept[place] = np.bincount(cells[stays], minlength=size).reshape(shape)
        weight += np.bincount(cells, weights=own, minlength=size).reshape(shape)
        weight_kept += np.bincount(cells[stays], weights=own[stays], minlength=size).reshape(shape)
    return ClassCounts(rows, kept, weight, weight_kept)
