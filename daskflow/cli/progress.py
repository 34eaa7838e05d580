"""How far a run is: a live display on a terminal, plain lines where it is none; both on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from daskflow.cli.verb import duration, is_terminal, number
from daskflow.core.estimates import about, amount, is_vague
from daskflow.core.events import Event, Listener
from daskflow.workflow.telling_pages import address_words

LINE_SECONDS = 10.0
"""A log file gets at most one line of progress per stage in this time."""

UNITS = {"scan": "partitions", "scoring": "partitions", "search": "fits", "fetch": "files"}
"""What a stage's progress counts, where a person would know the word."""


@dataclass
class State:
    """What is known of a run while it goes on; changed by `hear`, read by the displays.

    Attributes
    ----------
    stage : str
        The stage that runs; empty before the first.
    begun : float
        When it began.
    done, total, rows, bytes : int
        Its progress; total 0 while it is not known.
    first : tuple of (float, int) or None
        Time and count of its first progress: what an earlier invocation did is no sign of the pace.
    last : float
        Time of its last progress.
    trials : int
        How many the search has.
    failed : set of str
        Trials that failed.
    best : mapping
        Fields of the last event ``best``.
    forecast : Event or None
        The stage's last event ``forecast``.
    held_at : float
        Since when the search is paused by hand; nan when it is not.
    """

    stage: str = ""
    begun: float = 0.0
    done: int = 0
    total: int = 0
    rows: int = 0
    bytes: int = 0
    first: tuple[float, int] | None = None
    last: float = 0.0
    failed: set[str] = field(default_factory=set)
    trials: int = 0
    best: Mapping[str, Any] = field(default_factory=dict)
    forecast: Event | None = None
    held_at: float = math.nan

    def hear(self, event: Event) -> str | None:
        """Take an event in; return the sentence that must be shown for it, if any."""
        fields = event.fields
        if event.name == "stage":  # what goes on beside another stage is told by that one's waiting
            return None if fields.get("beside") else self._stage(fields, event.at)
        if event.name == "progress" and fields["stage"] == self.stage:
            self.done = int(fields["done"])
            self.total = int(fields.get("total") or self.total)
            self.rows = int(fields.get("rows") or 0)
            self.bytes = int(fields.get("bytes") or 0)
            self.first = self.first or (event.at, self.done)
            self.last = event.at
        elif event.name == "forecast" and fields["stage"] == self.stage:
            self.forecast = event
        elif event.name == "trial":
            self.trials = int(fields.get("trials") or self.trials)
            if fields["state"] == "failed" and fields["trial"] not in self.failed:
                self.failed.add(fields["trial"])
                return f"trial {fields['trial']} failed: {fields.get('error', '')}"
        elif event.name == "best":
            self.best = fields
        elif event.name == "note":
            return str(fields["text"])
        elif event.name == "warning":
            return f"warning: {fields['text']}"
        elif event.name == "control":
            if fields["command"] in ("pause", "resume", "stop"):
                self.held_at = event.at if fields["command"] == "pause" else math.nan
            from daskflow.dashboard.state import told

            return told(fields)
        elif event.name == "address":
            return address_words(fields)
        return None

    def _stage(self, fields: Mapping[str, Any], at: float) -> str | None:
        """Begin a stage, learn its total, or end it; a stage may be told of by the workflow and by its own room."""
        name = str(fields["stage"])
        if fields["state"] == "started":
            if name != self.stage:
                self.stage, self.begun, self.done, self.rows, self.bytes, self.total = name, at, 0, 0, 0, 0
                self.first, self.last, self.forecast = None, at, None
            self.total = int(fields.get("total") or self.total)
            return None
        if name != self.stage or "seconds" not in fields:
            return None
        line = f"{name} done in {duration(float(fields['seconds']))}{self.counts()}"
        self.stage = ""
        return line

    def counts(self) -> str:
        """What a finished stage did, as the end of a line."""
        parts = [f"{self.done} {UNITS[self.stage]}"] if self.done and self.stage in UNITS else []
        parts += [f"{self.rows:,} rows"] if self.rows else []
        if self.stage == "search":
            parts += [f"{len(self.failed)} of {self.trials} trials failed"] if self.failed else []
            parts += [self.best_words()] if self.best else []
        return f": {', '.join(parts)}" if parts else ""

    def best_words(self) -> str:
        """Best score so far, in words."""
        return f"best {self.best['metric']} {number(self.best['score'])} (trial {self.best['trial']})"

    def eta_seconds(self, now: float) -> float:
        """How long the stage goes on at the pace it had since its first progress; nan while that is not known."""
        if self.first is None or self.total <= self.done or self.done <= self.first[1]:
            return math.nan
        pace = (self.last - self.first[0]) / (self.done - self.first[1])
        return max(0.0, pace * (self.total - self.done) - (now - self.last))

    def left(self, now: float) -> list[str]:
        """What is still to come, in words: by the forecast where there is one, else by the pace."""
        now = now if math.isnan(self.held_at) else min(now, self.held_at)
        if self.forecast is None:
            left = self.eta_seconds(now)
            return [f"about {duration(left)} left"] if left == left and left >= 1 else []
        fields, gone = self.forecast.fields, max(0.0, now - self.forecast.at)
        wall = [max(0.0, fields[name] - gone) for name in ("seconds", "low", "high")]
        cpu = [3600 * fields[name] for name in ("cpu_hours", "cpu_low", "cpu_high")]
        spent = amount(3600 * fields["cpu_hours_spent"], of="CPU-")
        if is_vague(fields["low"], fields["high"]):
            return ["time left not known yet", f"{spent} spent"]
        if wall[0] < 1:
            return []
        to_come = "" if is_vague(*cpu[1:]) else f", {about(*cpu, of='CPU-', then=' to come')}"
        return [about(*wall, then=" left"), f"{spent} spent{to_come}"]

    def line(self, now: float) -> str:
        """The stage in one line."""
        unit = f" {UNITS[self.stage]}" if self.stage in UNITS else ""
        parts = [f"{self.done} of {self.total}{unit}"] if self.total else [f"{self.done}{unit}"] if self.done else []
        parts += [f"{self.rows:,} rows"] if self.rows else []
        parts += [f"{self.bytes / 2**20:,.1f} MiB"] if self.bytes else []
        parts += [f"{len(self.failed)} failed"] if self.failed and self.stage == "search" else []
        parts += self.left(now)
        parts += [self.best_words()] if self.best and self.stage == "search" else []
        return f"{self.stage}: {', '.join(parts)}" if parts else self.stage


@contextmanager
def progress() -> Iterator[Listener]:
    """Yield a listener that shows events: live when stderr is a terminal, else as lines."""
    if not is_terminal():
        yield Lines()
        return
    from daskflow.cli.live import live

    with live() as listener:
        yield listener


class Lines:
    """Plain lines for log files: stages, notes, and progress now and then."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.state = State()
        self.begun = math.nan
        self.written = 0.0

    def __call__(self, event: Event) -> None:
        """Write the lines an event is worth."""
        if math.isnan(self.begun):
            self.begun = event.at
        stage = self.state.stage
        sentence = self.state.hear(event)
        if sentence:
            self._write(sentence, event.at)
        elif self.state.stage != stage:
            self._write(f"{self.state.stage} ...", event.at)
        elif event.name == "progress" and event.at - self.written >= LINE_SECONDS:
            self._write(self.state.line(event.at), event.at)

    def _write(self, line: str, at: float) -> None:
        self.written = at
        click.echo(f"[{at - self.begun:8.1f} s] {line}", err=True)
