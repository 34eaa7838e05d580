"""Events: what happens during a run, told to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    name : str
        ``stage`` (fields: stage, state = started | finished, total; told again when the total becomes known; beside
        says which other stage it goes on beside),
        ``progress`` (stage, done, total, rows, and bytes where they are known; for the search, done counts fits, at
        most the stage's total),
        ``unit`` (trial, fold, start, resource, seconds, cpu_seconds, done: a fit that finished),
        ``forecast`` (stage, seconds, low, high, cpu_hours, cpu_low, cpu_high, level, cpu_hours_spent: what is left of
        the search as a median with a band that holds it in `level` of all cases),
        ``trial`` (trial, state, resource, score, params, error), ``best`` (trial, metric, score),
        ``control`` (command, by, and what it says: a command that takes effect),
        ``plan``, ``table``, ``partitions``, ``span``, ``evaluated``, ``jobs``, ``job_began`` and ``job`` (fields as
        those of the records in `daskflow.core.live`), ``limit`` (text: why the search shall end, in words that follow
        "because"),
        ``address`` (url, token, ssh, run: where the run can be watched, what lets one in, how from another machine if
        that takes something, and its folder), ``note`` (text) or ``warning`` (text).
    fields : mapping
        Plain values.
    at : float
        Seconds since the epoch.
    """

    name: str
    fields: Mapping[str, Any]
    at: float = field(default_factory=time.time)


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """Listen to nothing."""


def tell(listener: Listener, name: str, **fields: Any) -> None:
    """Make an event and hand it to the listener."""
    listener(Event(name, fields))
