"""State: a run as a watcher knows it, from its records alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.journal import Record
from daskflow.core.live import time_of
from daskflow.core.overlap import Spans
from daskflow.dashboard.state_data import DataState
from daskflow.dashboard.state_evaluation import EvaluationState
from daskflow.dashboard.state_jobs import JobsState
from daskflow.dashboard.state_search import SearchState
from daskflow.dashboard.state_stages import Stages
from daskflow.dashboard.state_stream import StreamState

NO_STREAM = StreamState()
"""Shown where there is none."""

MOST_NOTES = 500
"""Notes and warnings that are kept: the newest."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was said.

    Attributes
    ----------
    at : float
        When.
    kind : str
        ``note``, ``warning``, ``failure`` (of a trial) or ``control``.
    text : str
        A sentence.
    """

    at: float
    kind: str
    text: str


@dataclass
class RunState:
    """What is known of one run; `hear` changes it, screens read it.

    Attributes
    ----------
    name, id : str
        The run's.
    status : str
        ``waiting`` (nothing heard), ``running``, ``paused``, ``stopping``, ``done``, ``failed`` or ``interrupted``.
    error : str
        Why it failed.
    started, invoked, last : float
        When the run began, when its last invocation did, and when it was last heard of; nan before.
    invocations : int
        How often it was begun or continued.
    begun : list of (at, seconds)
        When each invocation began, and how long the run had gone on before it.
    cluster : mapping
        The last record ``cluster``.
    workers : mapping
        The last record ``workers``.
    history : mapping
        The last record ``history``.
    fingerprint, rows
        Of the data; rows 0 while not known.
    notes : list of Note
        The newest last.
    streams : dict of str to StreamState
        Those that the run's model answers, by name; of a stream's own folder the one, by the empty name.
    version : int
        Raised by every record.
    """

    name: str = ""
    id: str = ""
    status: str = "waiting"
    error: str = ""
    started: float = math.nan
    invoked: float = math.nan
    last: float = math.nan
    invocations: int = 0
    earlier_seconds: float = 0.0
    begun: list[tuple[float, float]] = field(default_factory=list)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    workers: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    rows: int = 0
    notes: list[Note] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)
    jobs: JobsState = field(default_factory=JobsState)
    data: DataState = field(default_factory=DataState)
    search: SearchState = field(default_factory=SearchState)
    evaluation: EvaluationState = field(default_factory=EvaluationState)
    streams: dict[str, StreamState] = field(default_factory=dict)
    spans: Spans = field(default_factory=Spans, compare=False)
    version: int = 0

    def hear(self, records: Iterable[Record]) -> None:
        """Take records in, in the order of their time."""
        for record in records:
            self.version += 1
            at = time_of(record, 0.0 if math.isnan(self.last) else self.last)
            if record.get("stream"):  # of a run that may long be over
                self._hear_stream(record, at)
                continue
            is_alive = record.get("record") != "submitted"  # of the run nothing goes on then
            if is_alive:
                self.last = at if math.isnan(self.last) else max(self.last, at)
            heard = HEARD.get(str(record.get("record")))
            if heard is not None:
                heard(self, record, at)
            if "verb" in record or self.is_stream:  # it has neither stages nor a search
                self._hear_stream(record, at)
                self._before = max(self._before, at)
                continue
            self.stages.hear(record, at)
            self.jobs.hear(record, at)
            self.data.hear(record, at)
            self.search.hear(record, at)
            self.evaluation.hear(record, at)
            self._hear_stream(record, at)
            self.spans.hear(record, at)
            if is_alive:
                self._before = max(self._before, at)

    def _hear_stream(self, record: Record, at: float) -> None:
        """Hand a record to the stream that it is of; in a run's own records few are."""
        kind, name = record.get("record"), str(record.get("stream") or "")
        if not name and name not in self.streams and kind != "stream" and "verb" not in record:
            return
        if name and kind in ("note", "warning"):
            self._say(at, str(kind), f"{name}: {record['text']}")
        if name not in self.streams:
            self.streams[name] = StreamState(name)
        self.streams[name].hear(record, at)

    @property
    def is_stream(self) -> bool:
        """Whether this is no run, but a stream that is looked at alone."""
        return "" in self.streams and bool(self.streams[""].about)

    @property
    def stream(self) -> StreamState:
        """The stream that is shown: of those that go on, or else of all, the one that was begun last."""
        known = [
            (each.is_running, each.invoked if each.invoked == each.invoked else each.began, each.id, each)
            for each in self.streams.values()
        ]
        return max(known, key=lambda one: one[:3])[-1] if known else NO_STREAM

    @property
    def is_streaming(self) -> bool:
        """Whether a stream goes on."""
        return any(stream.is_running for stream in self.streams.values())

    def seconds(self, now: float) -> float:
        """How long the run has gone on, over its invocations."""
        if math.isnan(self.invoked):
            return 0.0
        end = self.last if self.is_over else max(now, self.last)
        return self.earlier_seconds + end - self.invoked

    def elapsed(self, at: float) -> float:
        """How long the run had gone on at a time: what lies between two invocations does not count."""
        found = 0.0
        for began, earlier in self.begun:
            if began > at:
                return min(found, earlier)
            found = earlier + at - began
        return found

    @property
    def is_over(self) -> bool:
        """Whether nothing goes on any more."""
        return self.status in ("done", "failed", "interrupted", "waiting")

    @property
    def has_searched(self) -> bool:
        """Whether the last invocation's search is over: what follows takes no commands."""
        return self.search.is_over and self.stages.running != "search"

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of what has ended."""
        return self.stages.cpu_seconds + self.search.cpu_seconds

    def _invocation(self, record: Record, at: float) -> None:
        if math.isnan(self.started):
            self.started = at
        elif not math.isnan(self.invoked):
            self.earlier_seconds += max(0.0, self._before - self.invoked)
        self.begun.append((at, self.earlier_seconds))
        self.id = str(record.get("id", self.id))
        self.invoked, self.invocations = at, self.invocations + 1
        self.status, self.error, self.cluster, self.workers = "running", "", {}, {}
        self._before = at

    _before: float = 0.0
    """When the invocation was last heard of."""

    def _end(self, record: Record, at: float) -> None:
        self.status, self.error = str(record["status"]), str(record.get("error") or "")

    def _submitted(self, record: Record, at: float) -> None:
        self.status, self.error = "waiting", ""
        self._say(at, "note", f"Job {record.get('job')} was handed in.")

    def _cluster(self, record: Record, at: float) -> None:
        self.cluster = record

    def _workers(self, record: Record, at: float) -> None:
        self.workers = record

    def _history(self, record: Record, at: float) -> None:
        self.history = record

    def _data(self, record: Record, at: float) -> None:
        self.fingerprint, self.rows = str(record.get("fingerprint", "")), int(record.get("rows") or 0)

    def _note(self, record: Record, at: float) -> None:
        self._say(at, "note", str(record["text"]))

    def _warning(self, record: Record, at: float) -> None:
        self._say(at, "warning", str(record["text"]))

    def _unit(self, record: Record, at: float) -> None:
        if record.get("error"):
            self._say(at, "failure", f"Trial {record['trial']} failed: {record['error']}")

    def _control(self, record: Record, at: float) -> None:
        word = record["command"]
        if not self.is_over:
            self.status = {"pause": "paused", "resume": "running", "stop": "stopping"}.get(word, self.status)
        self._say(at, "control", told(record))

    def _say(self, at: float, kind: str, text: str) -> None:
        self.notes.append(Note(at, kind, text))
        del self.notes[:-MOST_NOTES]


HEARD: Mapping[str, Callable[[RunState, Record, float], None]] = {
    "invocation": RunState._invocation,
    "end": RunState._end,
    "submitted": RunState._submitted,
    "cluster": RunState._cluster,
    "workers": RunState._workers,
    "history": RunState._history,
    "data": RunState._data,
    "note": RunState._note,
    "warning": RunState._warning,
    "unit": RunState._unit,
    "control": RunState._control,
}
"""What each record changes of the run itself; those of its parts are heard by these."""


def told(record: Mapping[str, Any]) -> str:
    """Return a command as a sentence.

    Examples
    --------
    >>> told({"command": "cancel", "trial": "2-0", "by": "page"})
    'Trial 2-0 was cancelled (page).'
    >>> told({"command": "extend", "wall_seconds": 600, "by": "python"})
    'The budget was extended by 600 s (python).'
    """
    word, by = record["command"], record.get("by", "")
    more = [
        f"{record[name]:g} {unit}"
        for name, unit in (("wall_seconds", "s"), ("cpu_hours", "CPU-hours"), ("trials", "trials"))
        if record.get(name)
    ]
    if word == "stop" and record.get("why"):
        return f"The search is stopped because {record['why']}; the best so far is kept."
    sentence = {
        "pause": "New fits are held back",
        "resume": "The search goes on",
        "stop": "The search is stopped, and the best so far is kept",
        "cancel": f"Trial {record.get('trial')} was cancelled",
        "extend": f"The budget was extended by {' and '.join(more)}",
    }.get(word, word)
    return f"{sentence} ({by})." if by else f"{sentence}."
