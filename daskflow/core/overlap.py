"""Overlap: when each stage of a run was at work, and how much of that was at the same time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.core.journal import Record
from daskflow.core.live import time_of

Interval = tuple[float, float]
"""Begin and end."""

IN_PARTS = frozenset({"download", "scan"})
"""Stages that wait for one another: what counts is when some part of them was at work, where that is told."""

MOST_INTERVALS = 2_000
"""Of one stage; of more, those are joined that have the smallest gaps between them."""


@dataclass(frozen=True, slots=True)
class StageSpans:
    """When a stage was at work.

    Attributes
    ----------
    stage : str
        Its name.
    intervals : tuple of (begin, end)
        In order, without common moments; seconds on the run's own clock, see `Overlap`.
    """

    stage: str
    intervals: tuple[Interval, ...]

    @property
    def seconds(self) -> float:
        """How long it was at work."""
        return math.fsum(end - begin for begin, end in self.intervals)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Stages of a run on its own clock, which stands still between two invocations.

    Attributes
    ----------
    stages : tuple of StageSpans
        In the order they first began.
    wall : float
        Seconds that the run went on, over its invocations.
    starts : tuple of float
        Where later invocations begin: what lies before was ended, or killed, and continued.

    Examples
    --------
    >>> spans = [StageSpans("download", ((0.0, 8.0),)), StageSpans("scan", ((2.0, 6.0), (7.0, 10.0)))]
    >>> overlap = Overlap(tuple(spans), wall=12.0)
    >>> overlap.sum_seconds, overlap.ratio, overlap.at_once
    (15.0, 1.25, 5.0)
    """

    stages: tuple[StageSpans, ...]
    wall: float
    starts: tuple[float, ...] = ()

    @property
    def sum_seconds(self) -> float:
        """Seconds of all stages, as if one came after the other."""
        return math.fsum(stage.seconds for stage in self.stages)

    @property
    def ratio(self) -> float:
        """Sum of the stages over wall time: 1 is one after the other without pause; nan before anything ran."""
        return self.sum_seconds / self.wall if self.wall > 0 else math.nan

    @property
    def at_once(self) -> float:
        """Seconds that were saved because stages were at work at the same time: their sum less their union."""
        union = merged(interval for stage in self.stages for interval in stage.intervals)
        return self.sum_seconds - math.fsum(end - begin for begin, end in union)

    def dump(self) -> dict[str, Any]:
        """Return plain values: ``ratio``, ``sum_seconds``, ``wall_seconds``, ``saved_seconds``, ``stages`` by name."""
        return {
            "ratio": None if math.isnan(self.ratio) else round(self.ratio, 4),
            "sum_seconds": round(self.sum_seconds, 3),
            "wall_seconds": round(self.wall, 3),
            "saved_seconds": round(self.at_once, 3),
            "stages": {stage.stage: round(stage.seconds, 3) for stage in self.stages},
        }


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals as intervals in order that do not touch; empty ones are left out.

    Examples
    --------
    >>> merged([(5.0, 6.0), (1.0, 3.0), (2.0, 4.0), (4.0, 4.5), (7.0, 7.0)])
    [(1.0, 4.5), (5.0, 6.0)]
    """
    found: list[Interval] = []
    for begin, end in sorted(each for each in intervals if each[1] > each[0]):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def joined(intervals: Sequence[Interval], most: int) -> list[Interval]:
    """Return at most so many intervals: those with the smallest gaps between them are made one.

    Examples
    --------
    >>> joined([(0.0, 1.0), (1.5, 2.0), (4.0, 5.0)], 2)
    [(0.0, 2.0), (4.0, 5.0)]
    """
    if len(intervals) <= most:
        return list(intervals)
    gaps = sorted(range(1, len(intervals)), key=lambda place: intervals[place - 1][1] - intervals[place][0])
    cuts = sorted(gaps[: most - 1])
    starts, ends = [0, *cuts], [*cuts, len(intervals)]
    return [(intervals[begin][0], intervals[end - 1][1]) for begin, end in zip(starts, ends, strict=True)]


class _Parts:
    """The union of intervals that come one by one, mostly in order."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []

    def add(self, begin: float, end: float) -> None:
        """Take one in."""
        known = self.intervals
        first = bisect_left(known, begin, key=lambda each: each[1])
        last = first
        while last < len(known) and known[last][0] <= end:
            begin, end = min(begin, known[last][0]), max(end, known[last][1])
            last += 1
        known[first:last] = [(begin, end)]
        if len(known) > 2 * MOST_INTERVALS:
            self.intervals = joined(known, MOST_INTERVALS)


class Spans:
    """Hears a run's records, and knows when its stages were at work.

    A stage lasts from its begin to its end. Download and scan count while some file came, or some partition was read:
    while one waits for the other it is not at work.

    Examples
    --------
    >>> spans = Spans()
    >>> spans.hear({"record": "invocation"}, 100.0)
    >>> spans.hear({"record": "begun", "stage": "search"}, 101.0)
    >>> spans.hear({"record": "stage", "stage": "search", "seconds": 4.0}, 105.0)
    >>> spans.overlap(106.0).dump()["stages"], spans.overlap(106.0).wall
    ({'search': 4.0}, 6.0)
    """

    def __init__(self) -> None:
        """Know of nothing."""
        self.version = 0
        self._whole: dict[str, list[Interval]] = {}
        self._parts: dict[str, _Parts] = {}
        self._in_parts: set[str] = set()
        self._running: dict[str, float] = {}
        self._begun: list[tuple[float, float]] = []
        self._last = math.nan
        self._is_over = False

    def hear(self, record: Record, at: float) -> None:
        """Take a record in, told at a time in seconds since 1970."""
        kind = record.get("record")
        if kind == "submitted":
            return
        if kind == "invocation":
            self._invocation(at)
        if not self._begun:
            return
        self._last = max(self._last, at)
        self.version += 1
        if kind == "begun":
            self._order(str(record["stage"]))
            self._running.setdefault(str(record["stage"]), at)
        elif kind == "stage":
            name = str(record["stage"])
            self._order(name)
            self._ended(name, self._running.pop(name, at - float(record.get("seconds") or 0.0)), at)
        elif kind == "span":
            self._part(str(record["stage"]), float(record["began"]), float(record["seconds"]), at)
        elif kind == "partitions" and record.get("state") == "done" and record.get("seconds"):
            seconds = float(record["seconds"])
            self._part("scan", at - seconds, seconds, at)
        elif kind == "end":
            self._close(at)
            self._is_over = True

    def overlap(self, now: float | None = None) -> Overlap:
        """Return what is known; of a run that goes on, with its running stages up to `now`."""
        if not self._begun:
            return Overlap((), 0.0)
        end = self._last if now is None or self._is_over else max(now, self._last)
        found = []
        for name, whole in self._whole.items():
            running = name in self._running and name not in self._in_parts and name != "download"
            now_running = [(self._clock(self._running[name]), self._clock(end))] if running else []
            parts = self._parts[name].intervals if name in self._parts else []
            intervals = merged([*whole, *parts, *now_running])
            if intervals:
                found.append(StageSpans(name, tuple(intervals)))
        found.sort(key=lambda stage: stage.intervals[0][0])
        return Overlap(tuple(found), self._clock(end), tuple(earlier for _, earlier in self._begun[1:]))

    def _invocation(self, at: float) -> None:
        earlier = 0.0
        if self._begun:
            self._close(self._last)
            earlier = self._clock(self._last)
        self._begun.append((at, earlier))
        self._last, self._is_over = at, False

    def _close(self, at: float) -> None:
        """End what runs: the run was ended, or killed."""
        for name, began in self._running.items():
            self._ended(name, began, at)
        self._running.clear()

    def _ended(self, name: str, began: float, at: float) -> None:
        """A stage has ended; one whose parts were told is known by them."""
        if name in self._in_parts:
            self._in_parts.discard(name)
        else:
            self._whole[name].append((self._clock(began), self._clock(at)))

    def _order(self, name: str) -> None:
        self._whole.setdefault(name, [])

    def _part(self, name: str, began: float, seconds: float, at: float) -> None:
        """Take in when a part was at work; clocks of workers may differ, so none begins before its invocation."""
        if not (math.isfinite(began) and seconds >= 0):
            return
        self._order(name)
        begin, end = self._clock(began), self._clock(min(began + seconds, max(at, began)))
        if name in IN_PARTS:
            self._in_parts.add(name)
        if end > begin:
            self._parts.setdefault(name, _Parts()).add(begin, end)

    def _clock(self, at: float) -> float:
        """How long the run had gone on at a time of its last invocation."""
        start, earlier = self._begun[-1]
        return earlier + max(0.0, at - start)


def overlap_of(records: Iterable[Record]) -> Overlap:
    """Return the overlap of a run from its records, in the order of their time; see `core.live.merged`."""
    spans, at = Spans(), 0.0
    for record in records:
        at = max(at, time_of(record, at))
        try:
            spans.hear(record, at)
        except (KeyError, TypeError, ValueError):  # of another version, or written by somebody else
            continue
    return spans.overlap()
