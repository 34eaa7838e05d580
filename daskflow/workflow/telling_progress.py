"""Progress: how far each stage is, told twice a second at most, and logged the less often the longer it lasts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from daskflow.core.events import Event
from daskflow.core.journal import Record

THINNED = 1000
"""Of what is told again and again, the log holds about so many lines, and so many more for each e-fold of time."""


class Progress:
    """The last word of every stage that goes on.

    Examples
    --------
    >>> progress = Progress()
    >>> for done in (1, 2, 3):
    ...     progress.hear(Event("progress", {"stage": "scan", "done": done}, at=float(done)))
    >>> [(record["done"], is_logged) for record, is_logged in progress.due()], progress.due()
    ([(3, True)], [])
    """

    def __init__(self) -> None:
        """Know of no stage."""
        self._last: dict[str, Record] = {}
        self._totals: dict[str, int] = {}
        self._unlogged: dict[str, Record] = {}
        self._thinned: dict[str, Thinned] = {}

    def hear(self, event: Event) -> None:
        """Take an event ``progress`` in."""
        fields, stage = event.fields, str(event.fields["stage"])
        counts = {word: fields.get(word) or 0 for word in ("done", "rows", "bytes")}
        total = fields.get("total") or self._totals.get(stage) or None
        self._last[stage] = {"record": "progress", "stage": stage, **counts, "total": total, "at": event.at}

    def begun(self, fields: Mapping[str, Any]) -> None:
        """Learn a stage's total."""
        if fields.get("total"):
            self._totals[str(fields["stage"])] = int(fields["total"])

    def due(self) -> list[tuple[Record, bool]]:
        """Return what is new, and whether it is logged, too."""
        found = []
        now = time.monotonic()  # a clock that is set back must not silence the log
        for stage in tuple(self._last):
            record = self._last.pop(stage)
            is_logged = self._thinned.setdefault(stage, Thinned()).takes(now)
            self._unlogged[stage] = record
            if is_logged:
                del self._unlogged[stage]
            found.append((record, is_logged))
        return found

    def last(self, stage: str) -> Record | None:
        """Return the last word of a stage that ends, if it was not logged."""
        unlogged = self._unlogged.pop(stage, None)
        return self._last.pop(stage, unlogged)


class Thinned:
    """Says which of the things that are told again and again go into the log."""

    def __init__(self) -> None:
        """Begin with the first."""
        self._first = self._last = math.nan

    def takes(self, now: float) -> bool:
        """Whether the one of now does."""
        if math.isnan(self._first):
            self._first = self._last = now
            return True
        if now - self._last < (now - self._first) / THINNED:
            return False
        self._last = now
        return True
