"""Profiling of a scanned table: what is looked at, the pass over it, and the summary of what it saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from daskflow.core.errors import DataError
from daskflow.core.events import Listener, nobody
from daskflow.core.protocols import Executor
from daskflow.core.settings import nearest
from daskflow.data.blocks import Blocks
from daskflow.data.crosstab import Limit
from daskflow.data.profile_counts import FIRST, LAST, MIDDLE, ColumnCounts, Places
from daskflow.data.profile_findings import findings_of
from daskflow.data.profile_pairs import MOST_COLUMNS, Paired
from daskflow.data.profile_pass import WHOLE, Asked, Look, Piece, TableCounts, count, look_again, repeats
from daskflow.data.profile_power import Power, power_of
from daskflow.data.profile_summary import summary_of
from daskflow.data.profile_target import ProfiledTarget
from daskflow.data.schema import Column, ColumnKind, Task
from daskflow.data.table_profile import (
    ColumnSummary,
    PartitionSummary,
    Sample,
    TableProfile,
    TargetSummary,
)

MOST_STRIPES = 64
"""Into how many stripes the partitions are put for what is missing where."""

FINE_ROWS = 1_000_000
FINE, COARSE = (65_536, 12), (16_384, 10)
"""Distinct values counted exactly per column, and bits of the mantissa kept of more numbers, in tables of up to so many
rows and in larger ones: states travel, and those of large tables must be small."""

LEAST_VALUES, BUDGET = 1_024, 1 << 21
"""In tables of many columns fewer values are counted of each: so many in all columns together."""


MOST_TOLD = 1_000
"""Counts by which columns are told apart before they are compared row by row."""


def profile_blocks(
    blocks: Blocks,
    executor: Executor,
    listener: Listener = nobody,
    *,
    name: str,
    files: int = 0,
    task: Task | str | None = None,
    columns: Sequence[str] | None = None,
    share: float = 1.0,
    sample: Sample | None = None,
) -> TableProfile:
    """Profile a scanned table in one pass over its blocks.

    Parameters
    ----------
    blocks : Blocks
        The table; ``roles.target`` is set against every column.
    executor : Executor
        Runs one unit per group of block files.
    listener : callable
        Hears ``stage`` and ``progress`` events of the stage ``profile``.
    name : str
        What the table is called.
    files : int
        From how many files it was read.
    task : Task, str or None
        As the user said; None to infer it.
    columns : sequence of str, optional
        Columns to look at; default all. The target is always looked at.
    share : float
        Share of the rows that are looked at, chosen by their hashes: equal rows go together.
    sample : Sample, optional
        What is told of that.

    Raises
    ------
    DataError
        For columns that are not there, and targets that cannot be one.
    """
    chosen = _chosen(blocks, columns)
    pieces = pieces_of(blocks)
    below = WHOLE if share >= 1 else round(share * WHOLE)
    target = None
    if blocks.roles.target is not None:
        learned = blocks.schema[blocks.roles.target]
        target = ProfiledTarget.of(learned, blocks.profile[learned.name], task)
    most, bits = FINE if blocks.n_rows <= FINE_ROWS else COARSE
    limit = Limit(max(LEAST_VALUES, min(most, BUDGET // len(chosen))), bits)
    asked = Asked(chosen, limit, _paired(chosen, blocks), target, below)
    counts = count(pieces, asked, executor, listener)
    n_rows = sum(counts.rows.values())
    if not n_rows:
        raise DataError("The sample has no rows. Take a larger one, or leave --sample out.")
    by_name = {column.name: found for column, found in zip(chosen, counts.columns, strict=True)}
    seen = look_again(pieces, asked, Look(_candidates(by_name), _alike(chosen, by_name)), executor)
    order = [piece.places.partition for piece in pieces if counts.rows[piece.places.partition]]
    roles = _roles(blocks)
    correlations = counts.pairs.correlations()
    summaries = [
        replace(
            summary_of(found, column, seen, rows=n_rows, role=roles.get(column.name, ""), order=order),
            power=_power(found, column, target, by_name, asked.paired, correlations),
        )
        for column, found in zip(chosen, counts.columns, strict=True)
    ]
    stripes = [0] * (pieces[0].places.n_stripes if pieces else 0)
    for piece in pieces:
        stripes[piece.places.stripe] += counts.rows[piece.places.partition]
    repeated = repeats(blocks.files, executor, below)
    profile = TableProfile(
        name=name,
        rows=n_rows,
        files=files,
        source_bytes=blocks.source_bytes,
        block_bytes=blocks.n_bytes,
        partitions=tuple(
            PartitionSummary(piece.file.name, counts.rows[piece.places.partition], piece.file.n_bytes)
            for piece in pieces
        ),
        columns=tuple(summaries),
        distinct_rows=repeated.distinct,
        repeated_rows=repeated.repeated,
        most_copies=repeated.most,
        rejects=len(blocks.rejects),
        equal_columns=_equal(seen.prints, chosen),
        correlated=tuple(column.name for column in asked.paired),
        correlations=tuple(
            tuple(None if math.isnan(value) else round(value, 12) for value in line) for line in correlations.tolist()
        ),
        rows_by_pair=tuple(tuple(map(round, line)) for line in counts.pairs.rows.tolist()),
        target=_target(target, counts, blocks, summaries) if target else None,
        stripes=tuple(stripes),
        sample=sample,
    )
    return replace(profile, findings=findings_of(profile))


def _chosen(blocks: Blocks, names: Sequence[str] | None) -> tuple[Column, ...]:
    """The columns to look at, in the order of the schema."""
    if names is None:
        return blocks.schema.columns
    unknown = [name for name in names if name not in blocks.schema]
    if unknown:
        raise DataError(
            "; ".join(f"there is no column '{name}'{nearest(name, blocks.schema.names)}" for name in unknown)
        )
    wanted = {*names, blocks.roles.target}
    return tuple(column for column in blocks.schema.columns if column.name in wanted)


def pieces_of(blocks: Blocks) -> tuple[Piece, ...]:
    """Give every block file its stripe and its group: the first and the last quarter of the rows are compared."""
    n_files = len(blocks.files)
    n_stripes = min(MOST_STRIPES, n_files)
    filled = [place for place, file in enumerate(blocks.files) if file.n_rows]
    before = 0
    pieces = []
    for place, file in enumerate(blocks.files):
        group = MIDDLE
        if len(filled) > 1:
            is_first = place <= filled[0] or 4 * (before + file.n_rows) <= blocks.n_rows
            is_last = place >= filled[-1] or 4 * before >= 3 * blocks.n_rows
            group = FIRST if is_first else LAST if is_last else MIDDLE
        before += file.n_rows
        pieces.append(Piece(file, Places(place, place * n_stripes // n_files, group, n_stripes)))
    return tuple(pieces)


def _paired(columns: Sequence[Column], blocks: Blocks) -> tuple[Paired, ...]:
    """Numeric columns that vary, the target first, so that it is among them however many there are."""
    found = []
    for column in sorted(columns, key=lambda column: column.name != blocks.roles.target):
        seen = blocks.profile[column.name]
        if column.kind not in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN) or seen.min is None or seen.min == seen.max:
            continue
        largest = max(abs(float(seen.min)), abs(float(seen.max)))
        is_tame = seen.mean is not None and seen.std is not None
        centre, scale = (seen.mean, seen.std) if is_tame else (0.0, largest)
        found.append(Paired(column.name, centre or 0.0, scale or 1.0))
    kept = {column.name: column for column in found[:MOST_COLUMNS]}
    return tuple(kept[column.name] for column in columns if column.name in kept)


def _roles(blocks: Blocks) -> dict[str, str]:
    """The part that each column plays, where it plays one."""
    roles = blocks.roles
    named = dict.fromkeys(roles.key, "key")
    for role in ("time", "group", "weight", "fold", "target"):
        column = getattr(roles, role)
        if column is not None:
            named[column] = role
    return named


def _candidates(columns: dict[str, ColumnCounts]) -> dict[str, Any]:
    """Values that may be frequent, of columns whose values were too many to count."""
    return {
        name: found.values.often[0]
        for name, found in columns.items()
        if found.values.often is not None and len(found.values.often[0])
    }


def _alike(columns: Sequence[Column], counts: dict[str, ColumnCounts]) -> tuple[str, ...]:
    """Columns of which all that was counted is the same as of another one; those without variation aside."""
    groups: dict[Any, list[str]] = {}
    for column in columns:
        found = counts[column.name]
        values = found.values
        if values.n_distinct < 2:
            continue
        kind = ColumnKind.NUMERIC if column.kind is ColumnKind.BOOLEAN else column.kind
        told = tuple(values.tab.total[:MOST_TOLD].tolist()) if values.is_exact else ()
        seen = (kind, int(found.missing.sum()), found.n_infinite, found.sums, values.n_distinct, told, found.texts)
        groups.setdefault(seen, []).append(column.name)
    return tuple(name for names in groups.values() if len(names) > 1 for name in names)


def _equal(prints: Mapping[str, int], columns: Sequence[Column]) -> tuple[tuple[str, ...], ...]:
    """Groups of columns whose rows are the same."""
    groups: dict[int, list[str]] = {}
    for column in columns:
        if column.name in prints:
            groups.setdefault(prints[column.name], []).append(column.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _power(
    found: ColumnCounts,
    column: Column,
    target: ProfiledTarget | None,
    columns: dict[str, ColumnCounts],
    paired: Sequence[Paired],
    correlations: Any,
) -> Power | None:
    """What a column says about the target; None for the target itself."""
    if target is None or column.name == target.column.name or found.joint is None or found.joint_missing is None:
        return None
    names = [each.name for each in paired]
    correlation = None
    if target.task is Task.REGRESSION and column.name in names and target.column.name in names:
        correlation = float(correlations[names.index(column.name), names.index(target.column.name)])
        correlation = None if math.isnan(correlation) else round(correlation, 12)
    return power_of(
        found.joint,
        found.joint_missing,
        target,
        columns[target.column.name].sums,
        is_ordered=column.kind is not ColumnKind.CATEGORICAL,
        correlation=correlation,
    )


def _target(
    target: ProfiledTarget, counts: TableCounts, blocks: Blocks, columns: Sequence[ColumnSummary]
) -> TargetSummary:
    """What the target turned out to be, and where it has one class only."""
    column = next(each for each in columns if each.name == target.column.name)
    if target.task is Task.REGRESSION:
        return TargetSummary(column.name, str(target.task), (), (), 0, column.missing, ())
    total = sum(counts.targets.values(), start=np.zeros(target.n_groups, dtype=np.int64))
    n_classes = len(target.classes)
    single = [
        (blocks.files[place].name, target.classes[int(found.argmax())])
        for place, found in sorted(counts.targets.items())
        if np.count_nonzero(found) == 1 and found.argmax() < n_classes and counts.rows[place] > 1
    ]
    return TargetSummary(
        name=column.name,
        task=str(target.task),
        classes=target.classes,
        counts=tuple(total[:n_classes].tolist()),
        others=int(total[n_classes:].sum()),
        missing=column.missing,
        single_class=tuple(single),
    )
