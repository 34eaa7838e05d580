"""Foreseeing: hears a search go on, and tells and records what is left of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.events import Event, Listener, tell
from daskflow.search.budgets import earlier_seconds
from daskflow.search.engine import Recorder
from daskflow.search.forecast import LEVEL, Forecast
from daskflow.search.schedules import Rung

EVERY_SECONDS, RECORD_SECONDS, SHARE = 1.0, 10.0, 0.01
"""How often a forecast is told, and recorded; and the share of the time that making them may take."""


@dataclass
class Foreseeing:
    """A listener that hands everything on, and tells the event ``forecast`` as fits finish.

    Parameters
    ----------
    listener : callable
        Hears everything, and ``forecast``: stage, seconds, low, high, cpu_hours, cpu_low, cpu_high, level, and
        ``cpu_hours_spent``.
    forecast : Forecast
        Learns from the events ``unit`` and ``trial``.
    recorder : Recorder, optional
        Gets a record ``forecast`` of the same fields now and then, for whoever reads the run's folder.
    clock : callable
        Seconds since the epoch.
    rungs_of : callable, optional
        The schedule of a search whose budget has so many trials more.
    """

    listener: Listener
    forecast: Forecast
    recorder: Recorder | None = None
    clock: Callable[[], float] = time.time
    rungs_of: Callable[[int], Sequence[Rung]] | None = None
    _more_trials: int = 0
    _paused_at: float | None = None
    _rested: float = 0.0
    _told: float = field(default=-math.inf)
    _recorded: float = field(default=-math.inf)
    _pause: float = field(default=EVERY_SECONDS)

    def remember(self, earlier: Iterable[Mapping[str, Any]]) -> None:
        """Take the fits of earlier invocations from a journal's records."""
        known = list(earlier)
        self.forecast.earlier_seconds = earlier_seconds(known)
        reached: dict[tuple[str, int], int] = {}
        for record in known:
            self._know(record)
            if record.get("command") == "extend":
                self._extend(record)
            if record.get("record") != "unit":
                continue
            if record.get("cancelled"):
                self.forecast.cancelled(record["trial"], record["fold"], record["resource"], at=self.clock())
                continue
            place, resource = (str(record["trial"]), int(record["fold"])), int(record["resource"])
            seconds, cpu_seconds = float(record["seconds"]), float(record["cpu_seconds"])
            self.forecast.add(*place, reached.get(place, 0), resource, seconds=seconds, cpu_seconds=cpu_seconds)
            reached[place] = resource
            if record.get("error"):
                self.forecast.failed(place[0])

    def append(self, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Hand a record on to the recorder, and learn from it which fits were handed in."""
        self.extend([record], durable=durable)

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Hand records on likewise."""
        if self.recorder is not None:
            self.recorder.extend(records, durable=durable)
        for record in records:
            self._know(record)
            if record["record"] == "start":
                self.forecast.handed_in(record["trial"], record["fold"], record["resource"], at=self._moment())
            elif record.get("cancelled"):
                self.forecast.cancelled(record["trial"], record["fold"], record["resource"], at=self._moment())
            elif record["record"] == "control":
                self._steered(record)

    def _moment(self, at: float | None = None) -> float:
        """A time as the forecast counts it: it stands still while the search is paused."""
        at = self.clock() if at is None else at
        return (at if self._paused_at is None else min(at, self._paused_at)) - self._rested

    def _steered(self, record: Mapping[str, Any]) -> None:
        """Hear what was asked of the search."""
        word = record["command"]
        if word == "pause":
            self._paused_at = self.clock()
        elif self._paused_at is not None and word in ("resume", "stop"):
            self._rested += self.clock() - self._paused_at
            self._paused_at = None
        elif word == "extend":
            self._extend(record)
        self._recorded = -math.inf
        self.say(self._moment())

    def _extend(self, record: Mapping[str, Any]) -> None:
        """Raise the limits, and lay the rungs out for more trials."""
        limits = {name: record[name] for name in ("wall_seconds", "cpu_hours") if record.get(name)}
        self._more_trials += int(record.get("trials") or 0)
        rungs: Sequence[Rung] = ()
        if record.get("trials") and self.rungs_of is not None:
            rungs = self.rungs_of(self._more_trials)
        self.forecast.extend(**limits, rungs=rungs)

    def _know(self, record: Mapping[str, Any]) -> None:
        """Learn the candidates that a record names: those proposed as the search goes on, too."""
        if record.get("record") == "candidates":
            for item in record["candidates"]:
                self.forecast.know(item["trial"], item["params"], item.get("bracket"))

    def __call__(self, event: Event) -> None:
        """Hand an event on, and learn from it."""
        self.listener(event)
        fields = event.fields
        if event.name == "trial" and fields["state"] == "failed":
            self.forecast.failed(fields["trial"])
        elif event.name == "unit":
            cost = {"seconds": fields["seconds"], "cpu_seconds": fields["cpu_seconds"]}
            place = fields["trial"], fields["fold"], fields["start"], fields["resource"]
            at = self._moment(event.at)
            self.forecast.add(*place, **cost, at=at)
            if at - self._told >= self._pause:
                self.say(at)

    def say(self, now: float) -> None:
        """Tell what is left; the next time comes when making it has cost no more than its share."""
        begun = time.perf_counter()
        estimate = self.forecast.remaining(now)
        self._told = now
        self._pause = max(EVERY_SECONDS, (time.perf_counter() - begun) / SHARE)
        if estimate is None:
            return
        fields = {
            "stage": "search",
            "seconds": estimate.seconds,
            "low": estimate.low,
            "high": estimate.high,
            "cpu_hours": estimate.cpu_hours,
            "cpu_low": estimate.cpu_low,
            "cpu_high": estimate.cpu_high,
            "cpu_hours_spent": self.forecast.cpu_seconds / 3600,
            "level": LEVEL,
        }
        tell(self.listener, "forecast", **fields)
        if self.recorder is not None and now - self._recorded >= RECORD_SECONDS:
            self._recorded = now
            self.recorder.extend([{"record": "forecast", **fields}], durable=False)
