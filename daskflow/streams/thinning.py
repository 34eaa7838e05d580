"""Thinning of what a stream has told: seconds of an hour stay, then minutes of a day, hours of a month, and days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from daskflow.core.journal import Record
from daskflow.core.live import time_of
from daskflow.streams.seconds import summed

LADDER = ((3600.0, 1.0), (86_400.0, 60.0), (30 * 86_400.0, 3600.0), (math.inf, 86_400.0))
"""Up to which age, in seconds, records stand for how many seconds: some 7,000 records, and one a day."""

MOST_SAID = 1_000
"""Notes, alarms, swaps, beginnings and ends that are kept of each: the newest."""


def thinned(records: Sequence[Record], now: float) -> list[Record]:
    """Return records in their order, the old seconds added up.

    Counts stay what they are in all. What was thinned before can be thinned again.

    Parameters
    ----------
    records : sequence of dict
        In the order of their time.
    now : float
        Seconds since 1970.

    Examples
    --------
    >>> told = [{"record": "stream", "at": float(at), "requests": 2, "seconds": 1.0} for at in range(7_200)]
    >>> kept = thinned(told, 7_200.0)
    >>> len(kept), sum(record["requests"] for record in kept)
    (3660, 14400)
    """
    found: list[Record] = []
    groups: dict[tuple[float, float], list[Record]] = {}
    for record in _newest_said(records):
        if record.get("record") == "stream":
            at = time_of(record)
            width = next(width for age, width in LADDER if now - at < age)
            groups.setdefault((width, at if width <= 1.0 else at // width), []).append(record)
        else:
            found.append(record)
    found += [group[0] if len(group) == 1 else summed(group) for group in groups.values()]
    return sorted(found, key=time_of)


def _newest_said(records: Sequence[Record]) -> list[Record]:
    """Leave out the oldest of what was said more than `MOST_SAID` times."""
    left: dict[Any, int] = {}
    kept: list[Record] = []
    for record in reversed(records):
        kind = record.get("record")
        left[kind] = left.get(kind, MOST_SAID) - 1
        if kind == "stream" or left[kind] >= 0:
            kept.append(record)
    return kept[::-1]
