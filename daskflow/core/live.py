"""Live: what a run tells of itself while it goes on, as plain records, to whoever watches.

Watchers read two streams of records, in the order of their ``at`` (seconds since 1970). One is the journal, which
holds what a run needs in order to continue. The other is ``events.jsonl`` beside it, which holds the rest: it is
written without waiting for the disk, thinned, and bounded, and a run does not read it. Lines of both files have the
same form, see `core.journal`.

Records of the journal that watchers use: ``invocation``, ``data``, ``stage`` (a stage that ended), ``candidates``,
``start``, ``unit``, ``refitted``, ``explained``, ``warning``, ``forecast``, ``control``, ``end``. Records of
``events.jsonl``:

- ``record``, told: fields
- ``cluster``, once per invocation, when the cluster is open: description, slots, host, dashboard (without token)
- ``begun``, when a stage begins, and again when its total becomes known: stage, total (None while not known)
- ``progress``, twice a second at most: stage, done, total, rows, bytes
- ``note``, when something is worth saying: text
- ``plan``, before the first fit: metric, greater_is_better, n_folds, units (fits in all), ends (what can end it:
  wall_seconds, cpu_hours, trials; None each), rungs: list of bracket (None without), start, resource, trials
- ``table``, when the scan begins: partitions, bytes, columns: list of name, kind (`MOST_COLUMNS` at most), n_columns
- ``partitions``, when some partitions begin or end: places (list of int), state (``reading``, ``done`` or ``there``:
  its block was found), and of done ones rows, rejects (count), bytes, seconds, worker, columns: mapping of name to
  [rows, missing, mean, std] (mean and std None for what is no number)
- ``workers``, every 2 s at most, when something changed: workers: list of name, status (running, paused, silent,
  gone), threads, executing, memory, memory_limit (bytes), cpu (percent); at most `MOST_WORKERS`, counts: mapping of
  status to number of all
- ``best``, when another trial is the best, or its interval is known: trial, metric, score, low, high, tied (trials
  that cannot be told apart from it, None where unknown)
- ``importance``, as more trials have scores: trials, method, parameters: list of name, value, low, high
- ``evaluated``, as test rows are judged: rows, total, metrics: mapping of name to [value, low, high], details: those
  of ``metrics.json`` that are known, final (bool)
- ``history``, once per invocation: runs: list of id, name, started, status, seconds, cpu_seconds, metric,
  greater_is_better, score, low, high, trials, test: mapping of name to [value, low, high], curve: list of [seconds,
  cpu_seconds, score] (best so far, 60 points at most)
- ``stream``, every second while a model answers a stream: requests, rows (since the record before), seconds (since
  then), latency: mapping of p50, p95, p99 (seconds), queue (waiting requests), queue_limit, batches: mapping of rows
  per batch to count, errors: mapping of reason to count, drift: mapping of column to [value, bound], score: metric,
  value, low, high, rows (prequential) or None

A ``unit`` record also has ``began`` (when its call began, by the clock of its worker) and ``lasted`` (seconds of the
call, which several units may share); one that failed carries ``log_text``, the end of its log, when it is handed to
watchers. A ``control`` record has command, by, and what the command says: see `core.control`.
"""

from __future__ import annotations

MOST_COLUMNS = 120
"""Columns that are told of one by one; of more, the first ones."""

MOST_WORKERS = 64
"""Workers that are told of one by one; of more, those that are not well come first."""

LOG_CHARACTERS = 4096
"""Of a failed unit's log so much of the end is handed to watchers."""
