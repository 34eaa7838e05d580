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
    """

    listener: Listener
    forecast: Forecast
    recorder: Recorder | None = None
    clock: Callable[[], float] = time.time
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
            if record.get("record") != "unit":
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
                self.forecast.handed_in(record["trial"], record["fold"], record["resource"], at=self.clock())

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
            self.forecast.add(*place, **cost, at=event.at)
            if event.at - self._told >= self._pause:
                self.say(event.at)

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
