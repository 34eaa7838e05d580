"""Meter of a stream: what was answered, how fast and what waited, as one record each second."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from daskflow.streams.seconds import counted

MOST_LATENCIES = 20_000
"""Latencies of one second that are kept; of more, every other one."""


class Meter:
    """Counts requests, rows, latencies, batches and errors since the record before; any thread may call it.

    Parameters
    ----------
    clock : callable, optional
        Seconds; only differences count.

    Examples
    --------
    >>> meter = Meter(clock=iter([0.0, 2.0]).__next__)
    >>> meter.request(rows=3, seconds=0.010)
    >>> meter.batch(rows=3)
    >>> meter.error("type")
    >>> record = meter.record(queue=1, queue_limit=8)
    >>> record["requests"], record["rows"], record["seconds"], record["errors"], record["batches"]
    (1, 3, 2.0, {'type': 1}, {'3': 1})
    >>> record["latency"]["p50"]
    0.01
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing counted."""
        self._clock, self._lock = clock, threading.Lock()
        self._drift: dict[str, list[float]] = {}
        self._score: dict[str, Any] | None = None
        self._standing: dict[str, Any] = {}
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock()
        self._requests = self._rows = 0
        self._latencies: list[float] = []
        self._every = 1
        self._batches: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    def request(self, *, rows: int, seconds: float) -> None:
        """Count a request, or a record of a stream, that was answered after so many seconds."""
        with self._lock:
            self._requests += 1
            self._rows += rows
            if self._requests % self._every == 0:
                self._latencies.append(seconds)
                if len(self._latencies) >= MOST_LATENCIES:
                    del self._latencies[::2]
                    self._every *= 2

    def batch(self, rows: int) -> None:
        """Count a batch that the model was asked for at once."""
        with self._lock:
            self._batches[str(rows)] += 1

    def error(self, reason: str, count: int = 1) -> None:
        """Count requests or records without an answer, by one word."""
        with self._lock:
            self._errors[reason] += count

    def drift(self, values: Mapping[str, tuple[float, float]]) -> None:
        """Say how far each column has moved, and its bound; kept until it is said again."""
        with self._lock:
            self._drift = {name: [float(value), float(bound)] for name, (value, bound) in values.items()}

    def score(self, metric: str, value: float, *, low: float, high: float, rows: int) -> None:
        """Say how good the answers of late were, by their true values; kept until it is said again."""
        with self._lock:
            self._score = {"metric": metric, "value": value, "low": low, "high": high, "rows": rows}

    def standing(self, champion: str, scores: Mapping[str, tuple[float, float, float]]) -> None:
        """Say which model answers, and the score of each that is compared with its interval; kept until said again."""
        with self._lock:
            self._standing = {"champion": champion, "challengers": {name: list(one) for name, one in scores.items()}}

    def record(self, *, queue: int = 0, queue_limit: int = 0, lag: int | None = None) -> dict[str, Any]:
        """Return the record ``stream`` of `core.live` since the one before, and begin anew.

        Parameters
        ----------
        queue, queue_limit : int
            Requests or records that wait now, and how many may.
        lag : int or None
            Records that wait at the source; None where that is not known.
        """
        with self._lock:  # for a moment only: whoever answers waits for it
            found, every, since = self._latencies, self._every, self._since
            told = {
                "record": "stream",
                "requests": self._requests,
                "rows": self._rows,
                "queue": queue,
                "queue_limit": queue_limit,
                "lag": lag,
                "batches": dict(self._batches),
                "errors": dict(self._errors),
                "drift": dict(self._drift),
                "score": self._score,
                **self._standing,
            }
            self._begin()
            seconds = self._since - since
        at = np.percentile(found, [50, 95, 99]).tolist() if found else [None] * 3
        latency = dict(zip(("p50", "p95", "p99"), at, strict=True)) | {"counts": counted(found, every)}
        return {**told, "latency": latency, "seconds": seconds}
