"""Live: what a run tells of itself while it goes on, as plain records, to whoever watches.

Watchers read two streams of records, in the order of their ``at`` (seconds since 1970). One is the journal, which
holds what a run needs in order to continue. The other is ``events.jsonl`` beside it, which holds the rest: it is
written without waiting for the disk, thinned, and bounded, and a run does not read it. Lines of both files have the
same form, see `core.journal`.

Records of the journal that watchers use: ``invocation``, ``data``, ``stage`` (a stage that ended), ``candidates``,
``start``, ``unit``, ``refitted``, ``explained``, ``warning``, ``forecast``, ``control``, ``job_began``, ``job``,
``end``. Records of ``events.jsonl``:

- ``record``, told: fields
- ``cluster``, once per invocation, when the cluster is open: description, slots, host, dashboard (without token)
- ``begun``, when a stage begins, and again when its total becomes known: stage, total (None while not known)
- ``progress``, twice a second at most: stage, done, total, rows, bytes
- ``note``, when something is worth saying: text
- ``plan``, before the first fit: metric, greater_is_better, n_folds, units (fits in all), ends (what can end it:
  wall_seconds, cpu_hours, trials; None each), rungs: list of bracket (None without), start, resource, trials
- ``table``, when the scan begins: partitions, bytes, columns: list of name, kind (`MOST_COLUMNS` at most), n_columns
- ``partitions``, when some partitions begin or end: places (list of int), state (``reading``, ``done`` or ``there``:
  its block was found), and of those that ended rows, rejects (count), examples (up to three rejects: list of [file,
  line, reason], left out without rejects), bytes (of the source), of ``done`` ones seconds and worker, and columns:
  mapping of name to [rows, missing, mean, std] (mean and std of the finite numbers, None for what is no number),
  infinite: mapping of name to count, left out where there is none. Columns may be empty: where there are many
  partitions the next record that has some tells of all since the last one that had
- ``span``, when a part of a stage has ended that nothing else tells of: stage (``cluster``, ``table``: their opening;
  ``download``: a file), part (its name; empty where there is one), began (seconds since 1970, by the clock of the run),
  seconds, bytes (left out where there are none)
- ``workers``, every 2 s at most, when something changed: workers: list of name, status (running, paused, retiring,
  silent, gone), threads, executing, memory, memory_limit (bytes), cpu (percent); at most `MOST_WORKERS`, counts:
  mapping of status to number of all
- ``jobs``, when something changed about the jobs of workers in a batch queue: jobs: list of id, state (``pending``,
  ``starting``: its worker has not come, ``running``, ``retiring``), reason (of a pending one, the queue's word), node,
  starts_at (expected), ends_at (of its walltime), cores; 64 at most, those that do not run first; counts: mapping of
  state to number of all
- ``best``, when another trial is the best, or its interval is known: trial, metric, score, low, high, tied (others
  that cannot be told apart from it, None where unknown)
- ``importance``, as more trials have scores: trials, method, parameters: list of name, value, low, high
- ``evaluated``, as test rows are judged: rows, total, metrics: mapping of name to [value, low, high] (users' own ones
  only at the end), details: those of ``metrics.json`` that are known and have room (about 200 kB), left_out: names of
  those that have none (left out where all have), final (bool; again when the explanation is done)
- ``history``, once per invocation: runs: list of id, name, started, status, seconds, cpu_seconds, metric,
  greater_is_better, score, low, high, trials, test: mapping of name to [value, low, high], curve: list of [seconds,
  cpu_seconds, score] (best so far, 60 points at most)
- ``stream``, every second while a model answers requests or a stream, in ``events.jsonl`` of its own folder, where old
  ones are added up (see `streams.thinning`): requests, rows (since the record before), seconds (since then), latency:
  mapping of p50, p95, p99 (seconds), and counts (by step, see `streams.seconds`), queue (waiting requests),
  queue_limit, lag (records that wait at the source, None where not known), batches: mapping of rows per batch to count,
  errors: mapping of reason to count, drift: mapping of column to [value, bound], score: metric, value, low, high, rows
  (prequential) or None; champion (name of the model that answers) and challengers: mapping of each model's name to
  [value, low, high], where several are compared. Drift, score and standing are left out while they are what they were
- ``swap``, in such a folder: champion, before (names), why, by; ``drift``: of (a column, or the score), detector, words
  and the numbers behind them. An ``invocation`` there has verb (``serve``, ``stream``), model, source, sink, host, pid

A ``unit`` record also has ``began`` (when its call began, by the clock of its worker) and ``lasted`` (seconds of the
call, which several units may share); one that failed carries ``log_text``, the end of its log, when it is handed to
watchers. A ``control`` record has command, by, and what the command says: see `core.control`. A ``job_began`` record
has id, role (``controller`` or ``worker``), cores, seconds (of walltime), node, began_at. A ``job`` record, of a
worker's job that ended, has these and why, words, ended_at, busy_seconds and wasted_seconds (of its cores), core_hours:
see `core.job_accounts`.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daskflow.core.journal import Record, decode, encode
from daskflow.core.mounts import WITHOUT_LOCKS

MOST_COLUMNS = 120
"""Columns that are told of one by one; of more, the first ones."""

MOST_WORKERS = 64
"""Workers that are told of one by one; of more, those that are not well come first."""

LOG_CHARACTERS = 4096
"""Of a failed unit's log so much of the end is handed to watchers."""

MOST_BYTES = 64 * 2**20
"""What ``events.jsonl`` takes before it is kept short; twice of that is its end."""

ALWAYS_KEPT = frozenset({"note", "cluster", "begun", "plan", "table", "best", "history"})
"""Records of a log that is full: few, or what nothing else could tell."""


class EventLog:
    """The file that a run tells of itself in, beside its journal: only ever added to, and never waited for.

    Parameters
    ----------
    path : Path
        Made when it does not exist; else it goes on where it ends, whether or not its last line is whole.
    most_bytes : int
        From here on only what matters is written; from twice as much on, nothing.

    Raises
    ------
    OSError
        When it cannot be written.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        """Open it; a line that a kill has torn is ended, so that readers skip it."""
        self.path, self.most_bytes = path, most_bytes
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115  held open for the life of the log
        self._size = os.fstat(self._file.fileno()).st_size
        self._is_torn = self._size > 0 and os.pread(self._file.fileno(), 1, self._size - 1) != b"\n"
        self._is_full = self._size >= most_bytes

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records by one call, without waiting for the disk."""
        if self._is_full:
            records = [short for record in records if (short := shortened(record)) is not None]
        if not records or self._size >= 2 * self.most_bytes:
            return
        lines = b"\n" * self._is_torn + b"".join(map(encode, records))
        self._is_torn = True
        written = 0
        while written < len(lines):
            written += self._file.write(lines[written:])
        self._is_torn = False
        self._size += len(lines)
        if not self._is_full and self._size >= self.most_bytes:
            self._is_full = True
            text = f"{self.path.name} has reached {self.most_bytes:,} bytes: from here on it holds only what matters."
            self.append([{"record": "note", "text": text, "at": records[-1].get("at")}])

    def hold(self) -> bool:
        """Lock the file until it is closed, by which readers see that somebody writes; False when another holds it."""
        for last in (False, False, False, True):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError as error:
                if error.errno in WITHOUT_LOCKS:
                    return True
                if not last:
                    time.sleep(0.02)  # whoever looks whether somebody writes holds it for a moment
        return False

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


SPAN_MARKS = (b'"record":"begun"', b'"record":"span"', b'"state":"done"')
"""What lines hold that say when stages were at work."""


def read_spans(path: Path) -> list[Record]:
    """Return the records of a log that say when stages were at work; none where there is no log."""
    found = []
    try:
        with open(path, "rb") as file:
            for line in file:
                if any(mark in line for mark in SPAN_MARKS) and (record := decode(line)) is not None:
                    found.append(record)
    except OSError:
        return []
    return found


def shortened(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is kept of a record in a log that is full; None for nothing.

    Examples
    --------
    >>> shortened({"record": "partitions", "places": [3], "state": "done", "columns": {"x": [9, 0, 1.5, 0.2]}})
    {'record': 'partitions', 'places': [3], 'state': 'done'}
    >>> shortened({"record": "progress", "stage": "scan", "done": 4}) is None
    True
    """
    kind = record.get("record")
    if kind == "partitions":
        return {name: value for name, value in record.items() if name != "columns"}
    return record if kind in ALWAYS_KEPT or (kind == "evaluated" and record.get("final")) else None


def place_in_words(place: Any) -> str:
    """Return where a stream's records come from or go to, as it is shown: its address, or its kind and its path.

    Examples
    --------
    >>> place_in_words("redis://host/0"), place_in_words({"kind": "lines", "path": "-"}), place_in_words(None)
    ('redis://host/0', 'lines -', '')
    """
    if not isinstance(place, Mapping):
        return "" if place is None else str(place)
    where = next((place[word] for word in ("path", "url", "address", "stream", "topic") if place.get(word)), "")
    return f"{place.get('kind', '')} {where}".strip()


def time_of(record: Mapping[str, Any], otherwise: float = 0.0) -> float:
    """Return when a record was written; `otherwise` when it does not say.

    Examples
    --------
    >>> time_of({"at": 3}), time_of({"at": "soon"}, 1.0), time_of({"at": 10**400}, 1.0)
    (3.0, 1.0, 1.0)
    """
    at = record.get("at")
    return float(at) if isinstance(at, int | float) and abs(at) <= sys.float_info.max else otherwise


def merged(*streams: Iterable[Record]) -> list[Record]:
    """Return the records of several streams in the order of their time, and those of each in their own order.

    A record without a time, or one that a clock set back has put before its neighbour, follows its neighbour.

    Examples
    --------
    >>> first, second = [{"record": "a", "at": 1}, {"record": "c", "at": 3}], [{"record": "b", "at": 2}]
    >>> [each["record"] for each in merged(first, second)]
    ['a', 'b', 'c']
    """
    timed: list[tuple[float, Record]] = []
    for stream in streams:
        at = 0.0
        for record in stream:
            at = max(at, time_of(record, at))
            timed.append((at, record))
    timed.sort(key=lambda each: each[0])
    return [record for _, record in timed]
