"""State of a stream: what a model that answers one has told of itself."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.journal import Record

MOST_SECONDS = 3600
"""Records that are kept; one is told each second."""


@dataclass
class StreamState:
    """What is known of a stream.

    Attributes
    ----------
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
    n_seen : int
        Records so far.
    began : float
        When the first second of the stream began; nan before.
    """

    seen: deque[tuple[float, Record]] = field(default_factory=lambda: deque(maxlen=MOST_SECONDS))
    requests: int = 0
    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)
    drift: Mapping[str, Any] = field(default_factory=dict)
    n_seen: int = 0
    began: float = math.nan

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        if record["record"] != "stream":
            return
        if math.isnan(self.began):
            self.began = at - float(record.get("seconds") or 0.0)
        self.seen.append((at, record))
        self.n_seen += 1
        self.requests += int(record.get("requests") or 0)
        self.rows += int(record.get("rows") or 0)
        self.errors.update({str(reason): int(count) for reason, count in (record.get("errors") or {}).items()})
        self.batches.update({int(size): int(count) for size, count in (record.get("batches") or {}).items()})
        self.drift = record.get("drift") or self.drift
