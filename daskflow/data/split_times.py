"""Splits by time: the last rows are the test, and folds train on what came before, up to a gap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor
from daskflow.data.blocks import Blocks
from daskflow.data.spans import HIGHEST, LOWEST, Span
from daskflow.data.split_plan import Fold, Times
from daskflow.data.split_settings import FOLDS, MOST_SEGMENTS, Split
from daskflow.data.times import extent, rows_before, time_cuts, times_at


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """A split by time as it was decided: its rule, the folds, and the segments of the refit."""

    rule: Times
    folds: tuple[Fold, ...]
    final: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Clock:
    """The time column of a table, and how far the lengths of a split reach along it."""

    blocks: Blocks
    column: str
    executor: Executor

    def before(self, ends: Sequence[int], span: Span | None, *, at_least: bool) -> list[int]:
        """Return for each end the instant from which on the rows before it lie within a span.

        Of a number of rows there are at least so many, or at most: rows of one instant are never cut.
        """
        if span is None or not ends:
            return list(ends)
        if not span.is_counted:
            arrow_type = self.blocks.schema[self.column].arrow_type
            return [span.before(end, arrow_type) for end in ends]
        below = rows_before(self.blocks.files, self.column, ends, self.executor)
        ranks = [rows - int(span.amount) - (0 if at_least else 1) for rows in below]
        reached = times_at(self.blocks.files, self.column, [max(rank, 0) for rank in ranks], self.executor)
        return [
            LOWEST if rank < 0 else time + (0 if at_least else 1)
            for rank, (time, _, _) in zip(ranks, reached, strict=True)
        ]


def shares_in_time(split: Split) -> list[float]:
    """Return the asked share of each piece in order of time: training, then those of validation, then the test."""
    rest = 1 - split.test
    if split.validation is not None:
        return [rest - split.validation, split.validation, split.test]
    n_pieces = (split.folds or FOLDS) + 1
    return [*[rest / n_pieces] * n_pieces, split.test]


def split_by_time(split: Split, blocks: Blocks, executor: Executor) -> TimeSplit:
    """Decide a split by time, exactly, for any number of rows.

    Raises
    ------
    DataError
        When there is no time, it has gaps, a length does not fit its type, or there are too many boundaries.
    """
    name = _column(split, blocks)
    clock = _Clock(blocks, name, executor)
    shares = shares_in_time(split)
    n_pieces = len(shares) - 1
    reached = np.cumsum(shares if split.test else shares[:-1])[:-1] * blocks.n_rows
    begins = time_cuts(blocks.files, name, reached.tolist(), executor)
    first, last = extent(blocks.files, name, executor)
    behind = min(last, HIGHEST - 1) + 1
    ends_at = begins[n_pieces - 1] if split.test else behind
    pieces = [first, *begins[: n_pieces - 1], ends_at]
    judged = [*pieces[1:-1], *([ends_at] if split.test else [])]  # what is validated or tested begins there
    stops = clock.before(judged, split.gap_span, at_least=True) + ([] if split.test else [behind])
    window = split.window_span
    if window is not None and window.unit == "piece":
        starts = [pieces[max(0, place - int(window.amount))] for place in range(1, n_pieces + 1)]
    else:
        starts = [first] * n_pieces if window is None else clock.before(stops, window, at_least=False)
    inner = {time for time in (*begins, *stops, *starts) if first < time < behind}
    if split.test:
        inner.add(ends_at)
    cuts = sorted(inner)
    bounds = [LOWEST, *cuts, HIGHEST]
    n_segments = len(cuts) if split.test else len(cuts) + 1
    if n_segments > MOST_SEGMENTS:
        raise DataError(
            f"Folds, gaps and windows cut the times into {n_segments} stretches, and at most {MOST_SEGMENTS} can be "
            f"told apart. Use fewer folds, or a window in pieces."
        )

    def between(begin: int, end: int) -> tuple[int, ...]:
        begin = LOWEST if begin <= first else begin
        end = HIGHEST if end >= behind else end
        pairs = enumerate(itertools.pairwise(bounds))
        return tuple(s for s, (low, high) in pairs if s < n_segments and begin <= low and high <= end)

    folds = [Fold(between(starts[k], stops[k]), between(pieces[k + 1], pieces[k + 2])) for k in range(n_pieces - 1)]
    final = between(starts[n_pieces - 1], stops[n_pieces - 1])
    return TimeSplit(Times(name, np.array(cuts, dtype=np.int64), n_segments), tuple(folds), final)


def _column(split: Split, blocks: Blocks) -> str:
    """The time column, checked with the lengths that are measured along it."""
    name = blocks.roles.time
    if name is None:
        raise DataError("split.kind = 'time' needs the column of the times: say time = 'COLUMN' under [data].")
    missing = blocks.profile[name].missing
    if missing:
        raise DataError(
            f"split.kind = 'time': {missing} of {blocks.n_rows} rows have no '{name}'. Drop or fill those rows."
        )
    for word, span in (("window", split.window_span), ("gap", split.gap_span)):
        problem = None if span is None else span.problem(blocks.schema[name].arrow_type)
        if problem:
            raise DataError(f"split.{word} = {getattr(split, word)!r} {problem}.")
    return name
