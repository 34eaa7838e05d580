"""Timeline: which worker fitted which trial, and when; newer bars exactly, older ones joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from daskflow.dashboard.screen_search_scores import gaps, time_range
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.dashboard.state_search import Fit
from daskflow.figures import live_search_timeline as pictures
from daskflow.figures import style

MOST_BARS = 3000
"""Bars at most; of more fits the older ones are joined, row by row and place by place."""

EXACT_BARS = 600
"""The newest fits that keep a bar of their own."""

JOINED_BARS = 800
"""Bars that older fits are joined to, about."""

MOST_ROWS = 40
"""Workers that have a row; others share the last one."""

MOST_LANES = 8
"""Fits that one worker runs at a time stand above each other in so many lanes."""

MOST_OPEN = 60
"""Fits that were handed in and have not ended, drawn as open bars, the oldest first."""

MOST_FAILED = 240
"""Marks of failed fits at most; of more every so many."""

THICK = 0.8
"""Of a row's height so much is bars."""


class Bar(NamedTuple):
    """A fit, several that shared a call, or several that were joined."""

    worker: str
    lane: int
    left: float
    right: float
    trial: str
    """Empty of several."""
    what: str
    fits: int
    seconds: float
    """That fits took of it."""
    invocation: int
    is_joined: bool = False


def panel() -> Figure:
    """Return the panel."""
    return Figure(
        "search_timeline",
        "Timeline of the fits",
        "A row for each worker, a bar for each fit of one fold of a candidate, a cross where it failed. Open bars at "
        "the top were handed in and have not ended. Fits of an earlier invocation are grey; older ones of many are "
        "joined, paler where the worker was idle between them.",
        pictures.timeline(),
        empty="Bars come as fits end: which worker ran them, and when.",
        min_width=320,
    )


class Timeline:
    """Keeps the bars that were drawn, and adds what is new."""

    def __init__(self) -> None:
        """Begin without bars."""
        self._upto, self._redrawn, self._sign = 0, 0, (0, 0, 0)
        self._bars: list[Bar] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in (*pictures.BARS, "height")}
        self._lanes: dict[str, list[float]] = {}
        self._rows: dict[str, int] = {}
        self._failed: list[tuple[str, float, str, str]] = []
        self._n_failed, self._thin = 0, 1

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        search = standing.search
        new, is_joined = search.fits[self._upto :], False
        self._upto = len(search.fits)
        self._fail(standing, new)
        if len(new) > MOST_BARS:
            self._bars += self._joined_fits(standing, new[:-EXACT_BARS])
            new = new[-EXACT_BARS:]
        added = self._bars_of(standing, new)
        self._bars += added
        if len(self._bars) > MOST_BARS:
            self._bars, is_joined = joined(self._bars, standing.left, standing.now), True
        sign = len(self._lanes), sum(map(len, self._lanes.values())), search.invocation
        if sign != self._sign or is_joined:
            self._sign, self._redrawn = sign, self._redrawn + 1
            self._rows = rows_of(self._lanes)
            for values in self._columns.values():
                values.clear()
            added = self._bars
        self._draw(added, search.invocation)
        opened = self._open(standing)
        labels = self._labels(len(opened["y"]), len(search.running))
        low = -max(len(labels) - 1, 1) + 0.4
        high = 1.6
        if standing.is_settled and not opened["y"]:  # nothing is handed in any more
            labels.pop(1)
            high = 0.6
        epoch = f"{standing.generation}.{self._redrawn}"
        return [
            Value("search_timeline.empty", not (self._bars or opened["y"])),
            Columns("search_timeline_data", self._columns, epoch),
            Columns("search_timeline_open_data", opened, f"{standing.generation}.{hash(repr(opened))}"),
            Columns("search_timeline_failed_data", self._marks(), f"{epoch}.{self._n_failed}"),
            *gaps(standing, "search_timeline_gaps_data"),
            time_range(standing, "search_timeline_x"),
            Look("search_timeline_y", {"start": low, "end": high, "reset_start": low, "reset_end": high}),
            Look("search_timeline_y_ticks", {"ticks": list(labels)}),
            Look("search_timeline", {"height": pictures.height_of(len(labels))}),
            Look("search_timeline_y_axis", {"major_label_overrides": labels}),
        ]

    def _bars_of(self, standing: Standing, fits: Sequence[Fit]) -> list[Bar]:
        """Bars of single fits; those of one call share a bar."""
        made = []
        for (worker, began, ended, invocation), group in groupby(fits, key=itemgetter(3, 4, 5, 8)):
            some = list(group)
            left = standing.clock(began, invocation)
            right = max(left, left + ended - began)
            first = some[0]
            trial = first.trial
            if len(some) == 1:
                what = f"trial {trial}, fold {first.fold}, resource {first.resource:,}"
            else:
                trials = sorted({fit.trial for fit in some})
                trial = trial if len(trials) == 1 else ""
                more = ", …" if len(trials) > 6 else ""
                names = f"trial {trial}" if trial else f"{len(trials)} trials ({', '.join(trials[:6])}{more})"
                what = f"{len(some)} fits in one call: {names}, resource {first.resource:,}"
            lane = self._lane(worker, left, right)
            made.append(
                Bar(worker, lane, round(left, 2), round(right, 2), trial, what, len(some), right - left, invocation)
            )
        return made

    def _lane(self, worker: str, left: float, right: float) -> int:
        """The first lane that is free at a moment; a worker runs several fits at a time where it has several slots."""
        lanes = self._lanes.setdefault(worker, [])
        soon = left + max(0.05, 0.1 * (right - left))  # clocks: an end may be noted after the next begin
        for place, end in enumerate(lanes):
            if end <= soon:
                lanes[place] = right
                return place
        if len(lanes) < MOST_LANES:
            lanes.append(right)
            return len(lanes) - 1
        return min(range(MOST_LANES), key=lanes.__getitem__)

    def _joined_fits(self, standing: Standing, fits: Sequence[Fit]) -> list[Bar]:
        """Bars of very many fits at once, joined from the start."""
        workers = list(map(itemgetter(3), fits))
        codes = {worker: place for place, worker in enumerate(dict.fromkeys(workers))}
        for worker in codes:
            self._lanes.setdefault(worker, [0.0])
        worker_of = np.array(list(map(codes.__getitem__, workers)))
        when = np.full(len(fits), fits[0][8])
        if fits[0][8] != fits[-1][8]:
            when = np.array(list(map(itemgetter(8), fits)))
        began, ended = (np.array(list(map(itemgetter(place), fits))) for place in (4, 5))
        left = np.zeros(len(fits))
        for one in np.unique(when).tolist():
            is_of = when == one
            first = float(began[is_of].min())
            origin = standing.origin(one, first)
            left[is_of] = standing.clock(origin, one) + np.maximum(0.0, began[is_of] - origin)
        lasted = np.maximum(0.0, ended - began)
        slot = max((standing.now - standing.left) * len(codes) / JOINED_BARS, 1e-9)
        keys = ((left + lasted / 2) // slot).astype(np.int64) * 1_000_000 + when * 10_000 + worker_of
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0])
        lows = np.minimum.reduceat(left[order], starts).tolist()
        highs = np.maximum.reduceat((left + lasted)[order], starts).tolist()
        sums = np.add.reduceat(lasted[order], starts).tolist()
        counts = np.diff(np.r_[starts, len(fits)]).tolist()
        return [
            _joined_bar(workers[place], low, high, count, seconds, int(when[place]))
            for place, low, high, count, seconds in zip(order[starts], lows, highs, counts, sums, strict=True)
        ]

    def _draw(self, bars: Sequence[Bar], invocation: int) -> None:
        """Add rows for bars."""
        rows: list[tuple[Any, ...]] = []
        for bar in bars:
            row = self._rows[bar.worker]
            n_lanes = len(self._lanes[bar.worker]) if row < MOST_ROWS - 1 else 1
            y, thick = float(-row), THICK
            if n_lanes > 1 and not bar.is_joined:
                thick = THICK / n_lanes
                y = round(THICK / 2 - row - thick * (bar.lane + 0.5), 3)
            alpha = 0.75
            if bar.is_joined:
                alpha = round(0.2 + 0.55 * min(1.0, bar.seconds / max(1e-9, (bar.right - bar.left) * n_lanes)), 2)
            rows.append((
                bar.trial, y, bar.left, bar.right, style.ACCENT if bar.invocation == invocation else style.NEUTRAL,
                alpha, bar.what, round(bar.seconds, 2), round(thick * 0.92, 3),
            ))  # fmt: skip
        for values, more in zip(self._columns.values(), zip(*rows, strict=True), strict=False):
            values.extend(more)

    def _fail(self, standing: Standing, fits: Sequence[Fit]) -> None:
        """Keep where fits failed."""
        for fit in [fit for fit in fits if fit[7]]:
            if self._n_failed % self._thin == 0:
                middle = standing.clock((fit.began + fit.ended) / 2, fit.invocation)
                what = f"failed: trial {fit.trial}, fold {fit.fold}, resource {fit.resource:,}"
                self._failed.append((fit.trial, round(middle, 2), fit.worker, what))
            self._n_failed += 1
            if len(self._failed) > MOST_FAILED:
                self._failed, self._thin = self._failed[::2], 2 * self._thin

    def _marks(self) -> dict[str, list[Any]]:
        return {
            "trial": [trial for trial, _, _, _ in self._failed],
            "x": [x for _, x, _, _ in self._failed],
            "y": [-self._rows[worker] for _, _, worker, _ in self._failed],
            "what": [what for _, _, _, what in self._failed],
        }

    def _open(self, standing: Standing) -> dict[str, list[Any]]:
        """Fits that were handed in and have not ended, in lanes of the top row."""
        some = sorted(standing.search.running.items(), key=lambda item: item[1])[:MOST_OPEN]
        thick = THICK / max(len(some), 6)
        end = round(max(standing.now, standing.left), 1)
        lefts = [min(end, round(standing.clock(at), 1)) for _, at in some]
        return {
            "trial": [trial for (trial, _, _), _ in some],
            "y": [round(1 + THICK / 2 - thick * (place + 0.5), 4) for place in range(len(some))],
            "left": lefts,
            "right": [end] * len(some),
            "height": [round(thick * 0.7, 4)] * len(some),
            "what": [f"trial {trial}, fold {fold}, resource {resource:,}" for (trial, fold, resource), _ in some],
        }

    def _labels(self, n_shown: int, n_running: int) -> dict[int, str]:
        """What is written beside the rows."""
        written = {1: "handed in" if n_shown == n_running else f"handed in ({n_shown} of {n_running:,})"}
        for worker, row in self._rows.items():
            written[-row] = f"worker {worker}" if worker.isdigit() else style.shown(worker or "this process", 18)
        if len(self._rows) > MOST_ROWS:
            written[1 - MOST_ROWS] = f"{len(self._rows) - MOST_ROWS + 1} more workers"
        return written


def rows_of(workers: Iterable[str]) -> dict[str, int]:
    """Return the row of each worker, in the order of their names; beyond `MOST_ROWS` they share the last.

    Examples
    --------
    >>> rows_of(["w-10", "w-2", "a"])
    {'a': 0, 'w-2': 1, 'w-10': 2}
    """

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(part) if part.isascii() and part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]

    return {name: min(place, MOST_ROWS - 1) for place, name in enumerate(sorted(workers, key=natural))}


def joined(bars: Sequence[Bar], begin: float, now: float) -> list[Bar]:
    """Return fewer bars: all but the newest are joined, by worker, invocation and the place on the axis of time.

    Parameters
    ----------
    bars : sequence of Bar
        In the order their fits ended.
    begin, now : float
        Ends of the axis.
    """
    old, new = bars[:-EXACT_BARS], bars[-EXACT_BARS:]
    n_workers = len({bar.worker for bar in old}) or 1
    slot = max((now - begin) * n_workers / JOINED_BARS, 1e-9)
    places: dict[tuple[int, int, str], list[Any]] = {}
    for bar in old:
        key = int((bar.left + bar.right) / 2 / slot), bar.invocation, bar.worker
        known = places.get(key)
        if known is None:
            places[key] = [bar.left, bar.right, bar.fits, bar.seconds, bar]
        else:
            known[0] = min(known[0], bar.left)
            known[1] = max(known[1], bar.right)
            known[2] += bar.fits
            known[3] += bar.seconds
            known[4] = None
    kept = []
    for (_, invocation, worker), (left, right, fits, seconds, only) in places.items():
        kept.append(only or _joined_bar(worker, left, right, fits, seconds, invocation))
    return [*kept, *new]


def _joined_bar(worker: str, left: float, right: float, fits: int, seconds: float, invocation: int) -> Bar:
    what = f"{fits:,} fits"
    return Bar(worker, 0, round(left, 2), round(right, 2), "", what, fits, seconds, invocation, is_joined=True)
