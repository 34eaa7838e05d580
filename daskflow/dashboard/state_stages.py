"""State of the stages: which ended, which goes on, how far it is, and how long it will last."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.estimates import is_vague
from daskflow.core.journal import Record

STAGES = (
    "layout",
    "download",
    "scan",
    "split",
    "statistics",
    "matrices",
    "search",
    "refit",
    "evaluation",
    "explanation",
    "model",
)
"""In the order of a run; what a run leaves out never begins."""

NOT_EXPECTED = ("layout", "download")
"""Stages that only some runs have: where the layout is measured, and where files come from elsewhere."""

BESIDE = ("download",)
"""Stages that go on beside another."""

PACE_SECONDS = 30.0
"""Rates are those of so many last seconds."""


@dataclass
class Stage:
    """One stage, in the invocation that is watched.

    Attributes
    ----------
    name : str
        One of `STAGES`, or another.
    state : str
        ``waiting``, ``running``, ``done`` or ``failed``.
    began, ended : float
        Seconds since 1970; nan before.
    seconds, cpu_seconds : float
        Of those that ended, summed over invocations.
    done, total, rows, bytes : int
        Progress; total 0 while it is not known.
    forecast : mapping
        The last record ``forecast``.
    held_at : float
        Since when it is paused by hand, so that what is left stays as it is; nan when it is not.
    """

    name: str
    state: str = "waiting"
    began: float = math.nan
    ended: float = math.nan
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    done: int = 0
    total: int = 0
    rows: int = 0
    bytes: int = 0
    forecast: Mapping[str, Any] = field(default_factory=dict)
    held_at: float = math.nan
    _seen: deque[tuple[float, int, int, int]] = field(default_factory=lambda: deque(maxlen=240))

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1; nan while its total is not known."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.done / self.total) if self.total else math.nan

    @property
    def is_vague(self) -> bool:
        """Whether there is a forecast, so wide still that nothing is known by it."""
        return bool(self.forecast) and is_vague(float(self.forecast["low"]), float(self.forecast["high"]))

    def elapsed(self, now: float) -> float:
        """Seconds since it began, or that it took."""
        if math.isnan(self.began):
            return self.seconds
        return (now if math.isnan(self.ended) else self.ended) - self.began

    def pace(self, now: float) -> tuple[float, float, float]:
        """Done, rows and bytes per second, of the last `PACE_SECONDS`; zeros while nothing is known."""
        seen = [each for each in self._seen if each[0] >= now - PACE_SECONDS]
        if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
            return 0.0, 0.0, 0.0
        first, last = seen[0], seen[-1]
        seconds = max(now, last[0]) - first[0]
        return tuple((b - a) / seconds for a, b in zip(first[1:], last[1:], strict=True))  # type: ignore[return-value]

    def left(self, now: float) -> tuple[float, float, float]:
        """Seconds still to come: the middle, and the ends of its band; nan while not known.

        By the forecast where there is one (nan while that is vague), else by the pace since its first progress, with a
        band that narrows as the square root of what was counted.
        """
        if self.state != "running" or self.is_vague:
            return math.nan, math.nan, math.nan
        now = now if math.isnan(self.held_at) else min(now, self.held_at)
        if self.forecast:
            gone = max(0.0, now - float(self.forecast["at"]))
            return tuple(max(0.0, float(self.forecast[word]) - gone) for word in ("seconds", "low", "high"))  # type: ignore[return-value]
        seen = self._seen
        if len(seen) < 2 or not self.total or self.done <= seen[0][1]:
            return math.nan, math.nan, math.nan
        counted = self.done - seen[0][1]
        per_one = (seen[-1][0] - seen[0][0]) / counted
        middle = max(0.0, per_one * (self.total - self.done) - (now - seen[-1][0]))
        spread = min(0.9, 2.0 / math.sqrt(counted))
        return middle, middle * (1 - spread), middle * (1 + spread)

    def heard_progress(self, record: Record, at: float) -> None:
        """Take a count in."""
        self.done = int(record.get("done") or 0)
        self.total = int(record.get("total") or self.total)
        self.rows = int(record.get("rows") or self.rows)
        self.bytes = int(record.get("bytes") or self.bytes)
        self._seen.append((at, self.done, self.rows, self.bytes))


@dataclass
class Stages:
    """Every stage of a run.

    Attributes
    ----------
    known : dict of str to Stage
        Those that have begun, and before the end those that are expected, in the order of a run.
    running : str
        The stage that goes on, leaving aside what goes on beside it; empty between stages.
    """

    known: dict[str, Stage] = field(
        default_factory=lambda: {name: Stage(name) for name in STAGES if name not in NOT_EXPECTED}
    )
    running: str = ""

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        kind = record["record"]
        if kind == "invocation":
            for stage in self.known.values():
                self.known[stage.name] = Stage(stage.name, seconds=stage.seconds, cpu_seconds=stage.cpu_seconds)
            self.running = ""
        elif kind == "begun":
            self._begun(record, at)
        elif kind == "progress":
            counted = self.known.get(record["stage"])
            if counted is not None and counted.state == "running":
                counted.heard_progress(record, at)
        elif kind == "forecast" and record["stage"] in self.known:
            self.known[record["stage"]].forecast = {"at": at, **record}
        elif kind == "control" and record["command"] in ("pause", "resume", "stop"):
            self.known["search"].held_at = at if record["command"] == "pause" else math.nan
        elif kind == "stage":
            self._ended(record, at)
        elif kind in ("start", "unit") and self.running != "search":
            self._begun({"stage": "search"}, at)
        elif kind == "end":
            for stage in self.known.values():
                if stage.state == "running":
                    stage.state, stage.ended = ("done" if record["status"] == "done" else "failed"), at
            self.running = ""
            if record["status"] == "done":
                self.known = {name: stage for name, stage in self.known.items() if stage.state != "waiting"}

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of the stages that ended."""
        return sum(stage.cpu_seconds for stage in self.known.values())

    def now_running(self) -> Stage | None:
        """Return the stage that goes on."""
        return self.known.get(self.running)

    def _begun(self, record: Record, at: float) -> None:
        name = str(record["stage"])
        stage = self._of(name)
        if stage.state != "running":
            stage.state, stage.began, stage.ended = "running", at, math.nan
            stage.done = stage.total = stage.rows = stage.bytes = 0
            stage._seen.clear()
        stage.total = int(record.get("total") or stage.total)
        if name not in BESIDE or not self.running:
            self.running = name

    def _ended(self, record: Record, at: float) -> None:
        name = str(record["stage"])
        stage = self._of(name)
        seconds = float(record.get("seconds") or 0.0)
        stage.began = stage.began if stage.state == "running" else at - seconds
        stage.state, stage.ended = ("failed" if record.get("failed") else "done"), at
        stage.seconds += seconds
        stage.cpu_seconds += float(record.get("cpu_seconds") or 0.0)
        if self.running == name:
            self.running = ""

    def _of(self, name: str) -> Stage:
        if name not in self.known:
            order = {known: place for place, known in enumerate(STAGES)}
            found = {**self.known, name: Stage(name)}
            self.known = dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))
        return self.known[name]
