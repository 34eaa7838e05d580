"""Telling: hands what a run says of itself to its log of events and to the pages of its cluster."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from daskflow.core.control import Command, Control
from daskflow.core.events import Event, Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record
from daskflow.core.live import EventLog
from daskflow.core.protocols import Connection
from daskflow.workflow.history import earlier_runs
from daskflow.workflow.logs import with_log
from daskflow.workflow.recording import Recorder
from daskflow.workflow.standing import Standing
from daskflow.workflow.telling_pages import Found, mounted_on, shown, tunnel, write_live
from daskflow.workflow.telling_progress import Progress, Thinned
from daskflow.workflow.telling_workers import Workers

TICK_SECONDS = 0.5
"""Records are handed out so often."""

COMMANDS_SECONDS = 1.0
"""Commands of viewers are fetched so often; those in the run's folder the search finds itself."""

LAST_SECONDS = 1.5
"""Whoever watches has so long to fetch the end before the cluster closes."""

MOST_TOGETHER = 2_000
"""Records are sent to the pages in pieces of so many."""

TOLD_AS_THEY_ARE = frozenset({"note", "plan", "table", "partitions", "evaluated", "span", "stream", "jobs"})
"""Events whose fields are those of a record."""

JOURNALED = frozenset({"job_began", "job"})
"""Those whose record is one of the journal."""


class Telling:
    """A listener that hands events on, and makes records of them and of what the journal gets.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    recorder : Recorder
        Its journal.
    listener : callable
        Hears every event.
    seed : int
        The workflow's.

    Attributes
    ----------
    control : Control or None
        Gets the commands that viewers give.

    Notes
    -----
    A thread of its own hands records out twice a second, and makes those that take time: a run's own loop only puts
    them into lists. What cannot be told is given up with one warning; the run goes on.
    """

    def __init__(self, folder: RunFolder, recorder: Recorder, listener: Listener, *, seed: int = 0) -> None:
        """Tell nothing yet."""
        self.folder, self.recorder, self.listener = folder, recorder, listener
        self.control: Control | None = None
        self._lock, self._turn, self._writing = threading.Lock(), threading.Lock(), threading.Lock()
        self._to_log: list[Record] = []
        self._to_standing: list[Record] = list(recorder.journal.records)
        self._to_pages: list[Record] = list(recorder.journal.records)
        self._log: EventLog | None = None
        self._found = Found()
        self._wants_pages = True
        self._standing: Standing | None = Standing(seed)
        self._workers: Workers | None = None
        self._client: Any = None
        self._progress, self._thinned = Progress(), Thinned()
        self._warned: set[str] = set()
        self._troubles: deque[str] = deque()
        self._given_up: set[str] = set()
        self._has_history = False
        self._looked = -math.inf
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="daskflow-telling", daemon=True)

    # In the run's own thread.

    def __enter__(self) -> Telling:
        """Begin."""
        self._attempt("log", f"What happens is not written to {self.folder.events.name}", self._open_log)
        self.recorder.hearer = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell the last, and end."""
        self.recorder.hearer = None
        self._over.set()
        self._thread.join(LAST_SECONDS)
        self._disconnect()
        self._flush()
        if self._log is not None:
            self._log.close()
        self._say_troubles()

    def __call__(self, event: Event) -> None:
        """Hand an event on, and make the record that it is worth."""
        if event.name in JOURNALED:
            self._attempt("jobs", "What jobs cost is not written down", self._write_down, event)
        self._attempt("events", "What happens is not told", self._hear, event)
        self.listener(event)
        self._say_troubles()

    def _write_down(self, event: Event) -> None:
        """Put into the journal what an invocation that continues the run must know; waits for no disk."""
        self.recorder.append({"record": event.name, **event.fields}, durable=False)

    def _say_troubles(self) -> None:
        while self._troubles:
            tell(self, "warning", text=self._troubles.popleft())

    def _hear(self, event: Event) -> None:
        name, fields = event.name, event.fields
        if name == "progress":
            with self._lock:
                self._progress.hear(event)
        elif name == "stage":
            if fields.get("state") == "started":
                self._progress.begun(fields)
                self._put({"record": "begun", "stage": fields["stage"], "total": fields.get("total"), "at": event.at})
            else:
                self._put_last_progress(str(fields["stage"]))
        elif name == "limit" and self.control is not None:
            self.control.put(Command("stop", by="max_core_hours", why=str(fields["text"])))
        elif name in TOLD_AS_THEY_ARE:
            self._put({"record": name, **fields, "at": event.at})
        elif name == "warning" and str(fields["text"]) not in self._warned:  # one that no journal holds
            self._put({"record": "note", "text": str(fields["text"]), "at": event.at})
        elif name == "forecast":
            self._put({"record": name, **fields, "at": event.at}, logged=False)

    def before(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write what came before the end of a stage or of the run, so that readers of both files meet it first."""
        self._attempt("order", "What comes before a stage's end may be told behind it", self._before, records)

    def _before(self, records: Sequence[Mapping[str, Any]]) -> None:
        ends = [record for record in records if record["record"] in ("stage", "end")]
        for record in ends:
            if record["record"] == "stage":
                self._put_last_progress(str(record["stage"]))
        if ends:
            self._flush()

    def after(self, records: Sequence[Record]) -> None:
        """Hear what the journal holds now."""
        self._attempt("journal", "What the journal holds is not told", self._after, records)

    def _after(self, records: Sequence[Record]) -> None:
        self._warned |= {str(each["text"]) for each in records if each["record"] == "warning"}
        with self._lock:
            if self._wants_pages:
                self._to_pages += records
            if self._standing is not None:
                self._to_standing += [each for each in records if each["record"] in ("unit", "candidates", "stage")]

    @contextmanager
    def watched(self, connection: Connection) -> Iterator[None]:
        """Tell of an open cluster, and let the run be watched there until the block ends; then viewers get the end."""
        try:
            self._connect(connection)
            yield
        except KeyboardInterrupt:
            self._say_end("interrupted", "interrupted")
            raise
        except Exception as error:
            self._say_end("failed", str(error) or type(error).__name__)
            raise
        else:
            self._say_end("done", "")
        finally:
            self._disconnect()

    def _connect(self, connection: Connection) -> None:
        client = connection.client
        tell(self, "note", text=f"Cluster {connection.description}")
        cluster = {
            "description": connection.description,
            "slots": connection.executor.slots,
            "host": socket.gethostname(),
            "dashboard": connection.dashboard,
        }
        self._put({"record": "cluster", **cluster, "at": time.time()})
        found = self._found = mounted_on(connection, self.folder)
        self._client = client
        self._workers = None if client is None else Workers(client)
        if found.mounted is None:
            with self._lock:
                self._wants_pages = False
                self._to_pages.clear()
            text = found.why or f"Watch the run from another terminal: daskflow watch {shown(self.folder.path)}"
            tell(self, "note", text=text)
            return
        address, live = str(found.mounted.address), self.folder.live
        self._attempt("live", f"{live.name} is not written", write_live, live, address, found.token)
        way = tunnel(address, found.mounted.host)
        tell(self, "address", url=address, token=found.token, ssh=way, run=str(self.folder.path))

    def _say_end(self, status: str, error: str) -> None:
        """Tell the pages how the run ends, and wait for viewers to fetch it; the journal says it later."""
        mounted = self._found.mounted
        until = time.monotonic() + LAST_SECONDS
        try:
            with self._lock:
                self._to_pages.append({"record": "end", "status": status, "error": error, "at": time.time()})
            if not self._turn.acquire(timeout=LAST_SECONDS):
                return  # the scheduler does not take what it is sent
            try:
                self._round(is_last=True)
            finally:
                self._turn.release()
            while mounted is not None and time.monotonic() < until and mounted.viewers() > 0:
                time.sleep(0.1)
        except KeyboardInterrupt:
            return  # whoever presses it now waits for nobody
        except Exception as problem:
            self._give_up("pages", f"The live pages do not show the end: {problem}")

    def _disconnect(self) -> None:
        """Take the pages off the scheduler."""
        found, self._found, self._workers = self._found, Found(), None
        if found.mounted is not None:
            with suppress(Exception):
                found.mounted.close()
        with suppress(OSError):
            self.folder.live.unlink(missing_ok=True)  # that of an invocation that was killed, too

    # Records on their way.

    def _open_log(self) -> None:
        self._log = EventLog(self.folder.events)

    def _put(self, record: Record, *, logged: bool = True) -> None:
        with self._lock:
            self._add(record, logged=logged)

    def _add(self, record: Record, *, logged: bool = True) -> None:
        if logged:
            self._to_log.append(record)
        if self._wants_pages:
            self._to_pages.append(record)

    def _put_progress(self) -> None:
        """Tell how far stages are that came further since that was told."""
        with self._lock:
            for record, is_logged in self._progress.due():
                self._add(record, logged=is_logged)

    def _put_last_progress(self, stage: str) -> None:
        """Tell how far a stage came that ends."""
        with self._lock:
            record = self._progress.last(stage)
            if record is not None:
                self._add(record)

    def _flush(self) -> None:
        """Write what is to be logged."""
        with self._writing:  # not the lock that whoever tells something takes: a file system may hang
            with self._lock:
                records, self._to_log = self._to_log, []
            if self._log is not None and records:
                try:
                    self._log.append(records)
                except Exception as error:  # a full disk, a folder that is gone
                    self._log = None
                    self._give_up("log", f"What happens is no longer written to {self.folder.events.name}: {error}")

    # In the thread that tells.

    def _rounds(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            with self._turn:
                self._round()

    def _round(self, *, is_last: bool = False) -> None:
        """Hand out what there is; each part fails by itself."""
        self._attempt("history", "Earlier runs are not told", self._tell_history)
        self._attempt("standing", "The best trial's interval is not told", self._tell_standing, is_last)
        self._attempt("workers", "How the workers are is not told", self._tell_workers)
        self._put_progress()
        self._flush()
        self._attempt("pages", "The live pages are given up", self._send)
        self._attempt("commands", "Commands are not heard", self._take_commands)

    def _tell_history(self) -> None:
        if not self._has_history:
            self._has_history = True
            self._put({"record": "history", "runs": earlier_runs(self.folder), "at": time.time()})

    def _tell_standing(self, is_last: bool) -> None:
        standing = self._standing
        if standing is None:
            return
        with self._lock:
            heard, self._to_standing = self._to_standing, []
        standing.hear(heard)
        for record in standing.compared() if is_last else standing.news():
            self._put({**record, "at": time.time()})

    def _tell_workers(self) -> None:
        workers = self._workers
        if workers is None:
            return
        now = time.monotonic()
        for record in workers.news(now):
            self._put({**record, "at": time.time()}, logged=self._thinned.takes(now))

    def _send(self) -> None:
        mounted = self._found.mounted
        if mounted is None or getattr(self._client, "status", "running") != "running":
            return
        with self._lock:
            records, self._to_pages = self._to_pages, []
        ready = [with_log(record, self.folder) for record in records]
        for first in range(0, len(ready), MOST_TOGETHER):
            mounted.send(ready[first : first + MOST_TOGETHER])

    def _take_commands(self) -> None:
        mounted, control = self._found.mounted, self.control
        if mounted is None or control is None or time.monotonic() - self._looked < COMMANDS_SECONDS:
            return
        self._looked = time.monotonic()
        for command in mounted.commands():
            control.put(command)

    def _attempt(self, what: str, trouble: str, part: Callable[..., None], *arguments: Any) -> None:
        """Do a part unless it was given up; give it up when it fails."""
        if what in self._given_up:
            return
        try:
            part(*arguments)
        except Exception as error:
            self._give_up(what, f"{trouble}: {type(error).__name__}: {error}")

    def _give_up(self, what: str, text: str) -> None:
        """Do a part no more; the listener hears why with the run's next event."""
        self._given_up.add(what)
        if what == "pages":
            with self._lock:
                self._wants_pages = False
                self._to_pages = []
        if what == "standing":
            self._standing = None
        self._troubles.append(text)
