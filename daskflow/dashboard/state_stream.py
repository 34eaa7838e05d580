"""State of a stream: what a model that answers one has told of itself."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.journal import Record

MOST_SECONDS = 3600
"""Records that are kept; one is told each second."""

RECENT = 5
"""Records that say how fast it is now; a single one may be of a part of a second."""

ECHO_SECONDS = 1.0
"""So soon after a swap or an alarm a note about it comes, for who reads the log."""

MOST_EVENTS = 200
"""Swaps, alarms, beginnings and ends that are kept: the newest."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a stream.

    Attributes
    ----------
    at : float
        When.
    kind : str
        ``begun``, ``ended``, ``swap``, ``alarm``, ``note`` or ``warning``.
    text : str
        A sentence.
    """

    at: float
    kind: str
    text: str


@dataclass
class StreamState:
    """What is known of a stream.

    Attributes
    ----------
    id : str
        Its folder's name.
    about : mapping
        The last record that says how it was begun: verb, model, source, sink.
    status : str
        ``running``, ``done``, ``failed`` or ``interrupted``; empty before it has said anything.
    seen : deque of (at, record)
        The newest records ``stream``, see `core.live`.
    requests, rows : int
        Of all of them.
    errors : Counter of str
        By reason.
    batches : Counter of int
        Requests per batch size.
    drift : mapping
        The newest by column: [value, bound].
    score : mapping
        The newest prequential score.
    champion, challengers
        The model that answers by its last word, and of each that is compared [value, low, high].
    lag : int or None
        Records that wait at the source.
    events : deque of Event
        What happened, the newest last.
    n_events, swaps, alarms : int
        Of all.
    n_seen : int
        Records so far.
    began : float
        When the first second of the stream began; nan before.
    invoked, last : float
        When it was begun the last time, and last heard of; nan before.
    """

    id: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    status: str = ""
    seen: deque[tuple[float, Record]] = field(default_factory=lambda: deque(maxlen=MOST_SECONDS))
    requests: int = 0
    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)
    drift: Mapping[str, Any] = field(default_factory=dict)
    score: Mapping[str, Any] = field(default_factory=dict)
    champion: str = ""
    challengers: Mapping[str, Any] = field(default_factory=dict)
    lag: int | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    n_events: int = 0
    swaps: int = 0
    alarms: int = 0
    n_seen: int = 0
    began: float = math.nan
    invoked: float = math.nan
    last: float = math.nan

    @property
    def is_running(self) -> bool:
        """Whether it goes on, by its last word."""
        return self.status == "running"

    @property
    def unit(self) -> str:
        """What it answers: ``records`` of a stream, else ``requests``."""
        return "records" if self.about.get("verb") == "stream" else "requests"

    def per_second(self) -> dict[str, float]:
        """Requests and rows per second in the last records; nothing of a stream that has told none."""
        recent = [record for _, record in list(self.seen)[-RECENT:]]
        seconds = sum(float(record.get("seconds") or 1.0) for record in recent) or 1.0
        return {word: sum(float(each.get(word) or 0) for each in recent) / seconds for word in ("requests", "rows")}

    def latency(self) -> dict[str, float | None]:
        """The newest p50, p95 and p99 in seconds; None while nothing was answered."""
        told = [record.get("latency") or {} for _, record in list(self.seen)[-RECENT:]]
        found: dict[str, float | None] = dict.fromkeys(("p50", "p95", "p99"))
        for latency in told:
            found |= {name: latency[name] for name in found if latency.get(name) is not None}
        return found

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        kind = record["record"]
        if kind == "stream":
            self._second(record, at)
        elif kind in ("invocation", "stream_begun"):
            self.about, self.status, self.invoked = record, "running", at
            self.champion = name_of(record.get("model"))
            what = {"serve": "The server", "stream": "The stream"}.get(str(record.get("verb")), "It")
            self._say(at, "begun", f"{what} has begun.")
        elif kind in ("end", "stream_ended"):
            self.status = str(record.get("status"))
            error = str(record.get("error") or "")
            words = {"done": "It has ended.", "interrupted": "Its process is gone without a word."}
            self._say(at, "ended", words.get(self.status, f"It failed: {error or 'no reason was told'}"))
        elif kind == "swap":
            self.swaps += 1
            self.champion = name_of(record.get("champion")) or self.champion
            self._say(at, "swap", _swapped(record))
        elif kind == "drift":
            self.alarms += 1
            self._say(at, "alarm", str(record.get("words") or f"{record.get('of')} has changed."))
        elif kind in ("note", "warning") and not self._is_said(at, str(record.get("text") or "")):
            self._say(at, kind, str(record.get("text") or ""))
        self.last = at if math.isnan(self.last) else max(self.last, at)

    def _second(self, record: Record, at: float) -> None:
        if math.isnan(self.began):
            self.began = at - float(record.get("seconds") or 0.0)
        self.seen.append((at, record))
        self.n_seen += 1
        self.requests += int(record.get("requests") or 0)
        self.rows += int(record.get("rows") or 0)
        self.errors.update({str(reason): int(count) for reason, count in (record.get("errors") or {}).items()})
        self.batches.update({int(size): int(count) for size, count in (record.get("batches") or {}).items()})
        self.drift = record.get("drift") or self.drift
        self.score = record.get("score") or self.score
        self.champion = name_of(record.get("champion")) or self.champion
        if record.get("challengers"):
            self.challengers = {name_of(name): given for name, given in record["challengers"].items()}
        self.lag = record.get("lag")

    def _is_said(self, at: float, text: str) -> bool:
        """Whether a note only says what the swap or the alarm before it says."""
        if not self.events or self.events[-1].kind not in ("swap", "alarm") or at - self.events[-1].at > ECHO_SECONDS:
            return False
        return text == self.events[-1].text or " answers instead of " in text

    def _say(self, at: float, kind: str, text: str) -> None:
        self.events.append(Event(at, kind, text))
        self.n_events += 1


def name_of(model: Any) -> str:
    """Return a model's name as it is shown: of an identity, which is a long hash, the beginning.

    Examples
    --------
    >>> name_of("eb7187bba40088ed822ccc84eb701b77d68c0dbbe10feb2b3cd0772baaede43e"), name_of("runs/cars"), name_of(None)
    ('eb7187bba400', 'runs/cars', '')
    """
    text = "" if model is None else str(model)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _swapped(record: Record) -> str:
    """Say a swap.

    Examples
    --------
    >>> _swapped({"champion": "b", "before": "a", "why": "it is better", "by": "rule"})
    'b answers in place of a: it is better (rule).'
    >>> _swapped({"champion": "b"})
    'b answers from here on.'
    """
    before, why, by = name_of(record.get("before")), *(str(record.get(word) or "") for word in ("why", "by"))
    head = f"{name_of(record.get('champion'))} answers {f'in place of {before}' if before else 'from here on'}"
    return f"{head}{f': {why}' if why else ''}{f' ({by})' if by else ''}."
