"""Telling of a stream: what it does, each second, in a file that stays short over weeks.

A thread writes ``events.jsonl`` in the stream's folder and never waits for the disk; what answers is neither slowed nor
stopped by it. The records are those of `core.live`. Once an hour the file is replaced by a shorter one: see `thinning`.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daskflow.core.errors import JournalError, StorageError
from daskflow.core.journal import Record, decode, encode
from daskflow.core.live import EventLog
from daskflow.streams.thinning import thinned

EVENTS = "events.jsonl"

MOST_RECORDS = 3_600
"""After so many records the file is thinned."""

MOST_BYTES = 8 * 2**20
"""The same, in bytes that have come."""

MOST_WAITING = 1_000
"""Notes that wait for a disk that is full; of more the newest."""

KEPT = ("drift", "score", "champion", "challengers")
"""Fields of a second that are written only when they change."""

STOPPED = (KeyboardInterrupt, SystemExit, CancelledError)
"""Somebody ended it: that is no failure."""

FLUSH_SECONDS = 5.0
"""How long the end waits for the thread."""


class StreamTelling:
    """Tells of one stream or server until the block is left; any thread may call it, and none of it blocks.

    Parameters
    ----------
    folder : Path
        Of the stream; made when it does not exist.
    second : callable or None
        Returns the record of the seconds since the call before, such as ``lambda: meter.record(queue=3)``; called once
        a second, in a thread. None where somebody calls `tell`.
    about : mapping
        Of the record ``invocation``: verb (``serve``, ``stream``), model, source, sink. No secrets.
    say : callable
        Hears, once, that the file cannot be written; default stderr.
    every_seconds : float
        Between two records.

    Raises
    ------
    JournalError
        When another process tells of a stream in this folder.
    StorageError
        When the folder or its file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from daskflow.streams.meter import Meter
    >>> meter = Meter()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StreamTelling(Path(folder), meter.record, about={"verb": "serve"}) as telling:
    ...         meter.request(rows=1, seconds=0.002)
    ...         telling.note("The model is warm.")
    ...     [record["record"] for record in records_in(Path(folder) / "events.jsonl")]
    ['invocation', 'note', 'stream', 'end']
    """

    def __init__(
        self,
        folder: Path,
        second: Callable[[], Mapping[str, Any]] | None = None,
        *,
        about: Mapping[str, Any],
        say: Callable[[str], None] | None = None,
        every_seconds: float = 1.0,
    ) -> None:
        """Open the file; a line that a kill has torn is ended."""
        self.path = folder / EVENTS
        self._second, self._about, self._every = second, dict(about), every_seconds
        self._say = say or _to_stderr
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._log = EventLog(self.path)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written: {os.strerror(error.errno or 0)}. Choose another place with --folder."
            ) from error
        if not self._log.hold():
            self._log.close()
            raise JournalError(
                f"{folder} is in use by another stream or server; end that one, or name another place with --folder."
            )
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: deque[Record] = deque()
        self._last: dict[str, Any] = {}
        self._at = 0.0
        self._is_failing = self._has_raised = self._has_ended = False
        self._n_lost = self._n_since = 0
        self._base = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Say that it begins, and go on by the second."""
        told = {"record": "invocation", "host": socket.gethostname(), "pid": os.getpid(), **self._about}
        if self._log.size:
            self._thin()
        self.tell({"id": self.path.parent.name, **told})
        self._write()
        self._thread = threading.Thread(target=self._run, name="daskflow-telling", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say how it ended, unless that was said."""
        if kind is None or issubclass(kind, STOPPED):
            self.end("done")
        else:
            self.end("failed", str(error) or kind.__name__)

    def tell(self, record: Mapping[str, Any]) -> None:
        """Have a record written; its time is now."""
        with self._lock:
            self._at = max(time.time(), self._at + 1e-6)  # no two have the same, by which readers know what is new
            self._waiting.append({**record, "at": self._at})
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._n_lost += 1

    def note(self, text: str) -> None:
        """Say a sentence."""
        self.tell({"record": "note", "text": text})

    def warning(self, text: str) -> None:
        """Say a sentence that somebody should act on."""
        self.tell({"record": "warning", "text": text})

    def swap(self, champion: str, *, before: str = "", why: str = "", by: str = "") -> None:
        """Say that another model answers from now on."""
        self.tell({"record": "swap", "champion": champion, "before": before, "why": why, "by": by})

    def drift(self, of: str, *, detector: str, words: str, **numbers: Any) -> None:
        """Say that a column, or the score, has changed for good by a detector's word."""
        self.tell({"record": "drift", "of": of, "detector": detector, "words": words, **numbers})

    def end(self, status: str = "done", error: str = "") -> None:
        """Say how it ended (``done`` or ``failed``), and close; what comes afterwards is not told."""
        if self._has_ended:
            return
        self._has_ended = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(FLUSH_SECONDS)
        self._take_second()
        self.tell({"record": "end", "status": status, "error": error})
        if self._writing.acquire(timeout=FLUSH_SECONDS):  # a disk that hangs does not keep the process
            try:
                self._append()
                self._log.close()
            finally:
                self._writing.release()

    def _run(self) -> None:
        """Write each second, until it ends."""
        due = time.monotonic() + self._every
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every, time.monotonic())
            self._take_second()
            self._write()

    def _take_second(self) -> None:
        """Ask for what was done since the last time; what is wrong with it is said once."""
        if self._second is None:
            return
        try:
            self.tell(self._second())
        except Exception as error:
            if not self._has_raised:
                self._say(f"What the stream does cannot be told ({type(error).__name__}: {error}); it goes on.")
            self._has_raised = True

    def _write(self) -> None:
        with self._writing:
            self._append()
            if self._n_since >= MOST_RECORDS or self._log.size - self._base >= MOST_BYTES:
                self._thin()

    def _append(self) -> None:
        """Write what waits; where that fails, seconds are lost and the rest waits."""
        with self._lock:
            records, lost = list(self._waiting), self._n_lost
            self._waiting.clear()
            self._n_lost = 0
        if lost and records:
            text = f"{lost:,} records are missing here: they could not be written."
            records.insert(0, {"record": "note", "text": text, "at": records[0]["at"] - 1e-7})
        last = dict(self._last)
        try:
            self._log.append([_short(record, last) for record in records])
        except (OSError, ValueError) as error:
            if not self._is_failing:
                self._say(f"{self.path} cannot be written ({error}); the stream goes on without it, and tries again.")
            self._is_failing = True
            said = [record for record in records if record["record"] != "stream"]
            with self._lock:
                self._n_lost += lost + len(records) - len(said)
                self._waiting.extendleft(reversed(said[-MOST_WAITING:]))
            return
        self._is_failing, self._last = False, last
        self._n_since += len(records)

    def _thin(self) -> None:
        """Put a shorter file in the place of the old one; where that fails the old one stays."""
        self._n_since, self._base = 0, self._log.size
        temporary = self.path.with_name(f".{EVENTS}.new")
        try:
            kept = thinned(records_in(self.path), time.time())
            lines = [encode(record) for record in kept]
            if sum(map(len, lines)) >= self._log.size:
                return
            temporary.write_bytes(b"".join(lines))
            log = EventLog(temporary)
            log.hold()
            os.replace(temporary, self.path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        self._log.close()
        self._log, self._base = log, log.size


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _short(record: Record, last: dict[str, Any]) -> Record:
    """Leave out what a second says again; `last` is what was said."""
    if record["record"] != "stream":
        return record
    again = {name for name in KEPT if name in record and record[name] == last.get(name)}
    last |= {name: record[name] for name in KEPT if name in record}
    return {name: value for name, value in record.items() if name not in again and value is not None}


def records_in(path: Path) -> list[Record]:
    """Return the records of a file of events; damaged lines are passed over."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [record for line in lines if (record := decode(line)) is not None and "record" in record]
