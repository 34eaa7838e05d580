"""Heavy values: the few hashes that stand in more than 1/1024 of all rows, found without sorting the table.

By the pigeonhole principle a value above 1/1024 of all rows is above 1/1024 of the rows of at least one group of
files, so each group names at most 1023 candidates, and a second pass counts those exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daskflow.core.protocols import Executor, Unit
from daskflow.data.blocks import CONTENT, SHARE, BlockFile, Heavy, groups_of, hashes_of, open_block
from daskflow.data.execution import run_all
from daskflow.data.hashing import Hashes

GROUP_ROWS = 1 << 20
"""Rows looked at together: 8 MiB of hashes, and no more candidates than a few kilobytes."""

Counts = tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]
"""Values, how often each stands in a group of files, and the first file that has it."""


def heavy_contents(files: Sequence[BlockFile], candidates: Sequence[int], executor: Executor) -> tuple[Heavy, ...]:
    """Return the row contents that stand in more than 1/1024 of all rows, and at least twice; largest first.

    Parameters
    ----------
    files : sequence of BlockFile
        All blocks.
    candidates : sequence of int
        What `frequent_contents` found in any of them; without any, nothing is read.
    """
    if not candidates:
        return ()
    chosen = np.unique(np.array(candidates, dtype=np.uint64))
    groups = [[(place, files[place]) for place in group] for group in groups_of(tuple(files), rows=GROUP_ROWS)]
    return _heavy(_counted(groups, CONTENT, chosen, executor), sum(file.n_rows for file in files))


def frequent_contents(content: Hashes) -> list[int]:
    """Return the contents that stand in more than 1/1024 of a block's rows: in small blocks that is every one.

    Parameters
    ----------
    content : ndarray of uint64, shape (n_rows,)
        In training order: equal ones stand side by side.

    Examples
    --------
    >>> frequent_contents(np.array([7, 7, *range(10, 2_000)], dtype=np.uint64))
    [7]
    """
    starts = np.flatnonzero(np.concatenate([[True], content[1:] != content[:-1]])) if len(content) else np.empty(0, int)
    counts = np.diff(np.append(starts, len(content)))
    found: list[int] = content[starts[counts * SHARE > len(content)]].tolist()
    return found


def heavy_values(files: Sequence[BlockFile], column: str, executor: Executor) -> tuple[Heavy, ...]:
    """Return the values of a hash column that stand in more than 1/1024 of all rows, and at least twice."""
    groups = [[(place, files[place]) for place in group] for group in groups_of(tuple(files), rows=GROUP_ROWS)]
    found = _counted(groups, column, None, executor)
    if len(groups) > 1:
        candidates = np.unique(np.concatenate([values for values, _, _ in found]))
        found = _counted(groups, column, candidates, executor)
    return _heavy(found, sum(file.n_rows for file in files))


def _heavy(found: Sequence[Counts], n_rows: int) -> tuple[Heavy, ...]:
    """Add up what groups of files counted, and keep what is heavy."""
    values = np.concatenate([part for part, _, _ in found])
    counts = np.concatenate([part for _, part, _ in found])
    places = np.concatenate([part for _, _, part in found])
    uniques, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    totals = np.bincount(inverse, weights=counts, minlength=len(uniques)).astype(np.int64)
    heavy = [
        Heavy(int(uniques[i]), int(totals[i]), int(places[first[i]]))
        for i in np.flatnonzero((totals * SHARE > n_rows) & (totals > 1))
    ]
    return tuple(sorted(heavy, key=lambda item: (-item.count, item.content)))


def _counted(
    groups: list[list[tuple[int, BlockFile]]], column: str, candidates: Hashes | None, executor: Executor
) -> list[Counts]:
    """Count candidates in every group of files; without candidates, find them."""
    step = "find" if candidates is None else "count"
    units = [
        Unit(f"heavy-{step}{column}-{number}", _count, (group, column, candidates))
        for number, group in enumerate(groups)
    ]
    answers = run_all(executor, units)
    return [answers[unit.key] for unit in units]


def _count(group: list[tuple[int, BlockFile]], column: str, candidates: Hashes | None) -> Counts:
    """Count one group's values; without candidates keep those above 1/1024 of the group."""
    kept: list[Hashes] = []
    origins: list[NDArray[np.int64]] = []
    for place, file in group:
        values = hashes_of(open_block(file), column)
        if candidates is not None:
            values = values[np.isin(values, candidates)]
        kept.append(values)
        origins.append(np.full(len(values), place))
    everything = np.concatenate(kept)
    uniques, first, counts = np.unique(everything, return_index=True, return_counts=True)
    places = np.concatenate(origins)[first]
    if candidates is None:
        above = (counts * SHARE > len(everything)) & (counts > 1)
        uniques, counts, places = uniques[above], counts[above], places[above]
    return uniques, counts.astype(np.int64), places.astype(np.int64)
