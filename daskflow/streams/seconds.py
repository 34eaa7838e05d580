"""Seconds of a stream: records ``stream`` of `core.live` put together, of several processes or of a longer time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

STEP = 1.1
"""Latencies are counted in steps so far apart: a percentile of a sum is within 5 %."""

LEAST_SECONDS = 1e-6
"""The first step."""

PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

_LOG = math.log(STEP)


def counted(latencies: Iterable[float], weight: int = 1) -> dict[str, int]:
    """Return how many latencies, in seconds, are at each step; each stands for `weight` of them.

    Examples
    --------
    >>> counted([0.010, 0.0101, 2.0])
    {'97': 2, '152': 1}
    """
    found = np.fromiter(latencies, np.float64)
    steps, counts = np.unique(np.rint(np.log(np.maximum(found / LEAST_SECONDS, 1.0)) / _LOG), return_counts=True)
    return {str(int(step)): weight * int(count) for step, count in zip(steps, counts, strict=True)}


def percentiles(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Return p50, p95 and p99 in seconds of counted latencies; None of nothing.

    Examples
    --------
    >>> percentiles({"97": 99, "152": 1})["p95"]
    0.010354
    """
    steps = sorted((int(step), count) for step, count in counts.items())
    total = sum(count for _, count in steps)
    found: dict[str, float | None] = dict.fromkeys(PERCENTILES)
    for name, share in PERCENTILES.items():
        below = 0
        for step, count in steps:
            below += count
            if below >= share * total:
                found[name] = round(LEAST_SECONDS * STEP**step, 6)
                break
    return found


def merged(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one record of what several processes did in the same time.

    Parameters
    ----------
    records : sequence of mapping
        Records ``stream``; all fields may be left out. One that has ``latencies`` (a list of seconds) instead of
        ``latency`` gives the exact percentiles of all. Queues, limits and lags add up; of drift and score that
        of the process that has seen most rows is taken.

    Examples
    --------
    >>> found = merged([{"requests": 2, "queue": 1, "errors": {"type": 1}}, {"requests": 3, "errors": {"type": 1}}])
    >>> found["requests"], found["queue"], found["errors"]
    (5, 1, {'type': 2})
    """
    found = _added(records)
    found["seconds"] = max((_number(record, "seconds") for record in records), default=0.0)
    for name in ("queue", "queue_limit"):
        found[name] = sum(int(_number(record, name)) for record in records)
    lags = [record["lag"] for record in records if record.get("lag") is not None]
    found["lag"] = sum(lags) if lags else None
    by_rows = sorted(records, key=lambda record: _number(record, "rows"))
    return found | _newest(by_rows)


def summed(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one record of what was done in seconds that follow each other; of the queue and the lag the largest.

    Examples
    --------
    >>> found = summed([{"requests": 2, "seconds": 1.0, "at": 5.0}, {"requests": 3, "seconds": 1.5, "at": 6.5}])
    >>> found["requests"], found["seconds"], found["at"]
    (5, 2.5, 6.5)
    """
    found = _added(records)
    found["seconds"] = round(sum(_number(record, "seconds", 1.0) for record in records), 3)
    found["at"] = records[-1].get("at")
    for name in ("queue", "queue_limit", "lag"):
        known = [record[name] for record in records if record.get(name) is not None]
        found[name] = max(known) if known else None
    return found | _newest(records)


def _added(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What adds up whether records stand side by side or behind each other."""
    counts: Counter[str] = Counter()
    batches: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    exact: list[float] = []
    for record in records:
        exact += record.get("latencies") or ()
        counts.update((record.get("latency") or {}).get("counts") or {})
        batches.update(record.get("batches") or {})
        errors.update(record.get("errors") or {})
    only_exact = bool(exact) and not counts
    counts.update(counted(exact))
    latency = _exact(exact) if only_exact else percentiles(counts)
    return {
        "record": "stream",
        "requests": sum(int(_number(record, "requests")) for record in records),
        "rows": sum(int(_number(record, "rows")) for record in records),
        "latency": {**latency, "counts": dict(counts)},
        "batches": dict(batches),
        "errors": dict(errors),
    }


def _exact(latencies: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(latencies)
    last = len(ordered) - 1
    return {name: ordered[min(last, math.ceil(share * len(ordered)) - 1)] for name, share in PERCENTILES.items()}


def _newest(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is said last, where it is said at all."""
    found: dict[str, Any] = {"drift": {}, "score": None}
    for record in records:
        found |= {name: record[name] for name in ("drift", "score", "champion", "challengers") if record.get(name)}
    return found


def _number(record: Mapping[str, Any], name: str, otherwise: float = 0.0) -> float:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise
