"""Workers: how the cluster's workers are, asked of the scheduler now and then without waiting for its answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from daskflow.core.journal import Record
from daskflow.core.live import MOST_WORKERS
from daskflow.data.client_executor import SILENT_SECONDS
from daskflow.data.seats import USED

EVERY_SECONDS, AGAIN_SECONDS = 2.0, 10.0
"""How often the scheduler is asked; how long nothing is told when nothing changed much."""

GONE_SECONDS = 300.0
"""So long a worker that has gone is told of."""

MUCH_MEMORY, MUCH_CPU = 0.05, 20.0
"""What changes much: a share of the memory limit (of 8 GiB without one), percent of one processor."""

ORDER = {"silent": 0, "gone": 1, "paused": 2, "retiring": 2, "running": 3}
"""Of more workers than are told of, those that are not well come first."""


class Look(NamedTuple):
    """A worker as the scheduler knows it."""

    name: str
    silent_seconds: float
    status: str
    threads: int
    executing: int
    memory: int
    memory_limit: int
    cpu: float


def look(dask_scheduler: Any) -> list[tuple[Any, ...]]:
    """Return a `Look` of each worker as plain values; runs on the scheduler."""
    now, found = time.time(), []
    for worker in dask_scheduler.workers.values():
        beside = worker.metrics.get(USED) or {}  # fits run in processes beside the worker
        seen = Look(
            name=str(worker.name),
            silent_seconds=now - worker.last_seen,
            status=str(worker.status.name),
            threads=int(worker.nthreads),
            executing=min(int(worker.nthreads), len(worker.processing)),
            memory=int(worker.metrics.get("memory") or 0) + int(beside.get("memory") or 0),
            memory_limit=int(worker.memory_limit or 0),
            cpu=float(worker.metrics.get("cpu") or 0.0) + float(beside.get("cpu") or 0.0),
        )
        found.append(tuple(seen))
    return found


class Workers:
    """The workers of one cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the open cluster.
    """

    def __init__(self, client: Any) -> None:
        """Ask soon."""
        self._client = client
        self._answer: Any = None
        self._asked = self._told = -math.inf
        self._before: Mapping[str, dict[str, Any]] = {}
        self._seen: dict[str, float] = {}
        self._last: dict[str, Look] = {}

    def news(self, now: float) -> list[Record]:
        """Return the record ``workers`` when an answer has come that says something new; ask when it is time.

        Parameters
        ----------
        now : float
            Seconds of any clock that goes on.
        """
        found: list[Record] = []
        if self._answer is not None and self._answer.done():
            answer, self._answer = self._answer, None
            if not answer.cancelled() and answer.exception() is None:
                found = self.told([Look(*each) for each in answer.result()], now)
        if self._answer is None and now - self._asked >= EVERY_SECONDS and self._client.status == "running":
            self._asked = now
            self._answer = asyncio.run_coroutine_threadsafe(
                self._client._run_on_scheduler(look), self._client.loop.asyncio_loop
            )
        return found

    def told(self, looks: Sequence[Look], now: float) -> list[Record]:
        """Return the record of what the scheduler said, unless it is much as it was."""
        workers = {each.name: _worker(each, _status(each)) for each in looks}
        self._seen |= dict.fromkeys(workers, now)
        self._last |= {each.name: each for each in looks}
        for name in self._seen.keys() - workers.keys():
            if now - self._seen[name] > GONE_SECONDS:
                del self._seen[name], self._last[name]
            else:
                workers[name] = _worker(self._last[name]._replace(executing=0, memory=0, cpu=0.0), "gone")
        if now - self._told < AGAIN_SECONDS and not changed(self._before, workers):
            return []
        self._told, self._before = now, workers
        ordered = sorted(workers.values(), key=lambda each: (ORDER.get(each["status"], 2), _natural(each["name"])))
        shown = sorted(ordered[:MOST_WORKERS], key=lambda each: _natural(each["name"]))
        counts = Counter(each["status"] for each in workers.values())
        return [{"record": "workers", "workers": shown, "counts": dict(counts)}]


def changed(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether workers came, went or changed their status, or one has much more or less to do than before.

    Examples
    --------
    >>> calm = {"status": "running", "executing": 1, "memory": 100, "memory_limit": 1000, "cpu": 50.0}
    >>> changed({"0": calm}, {"0": {**calm, "cpu": 55.0}}), changed({"0": calm}, {"0": {**calm, "memory": 200}})
    (False, True)
    """
    if before.keys() != now.keys():
        return True
    for name, new in now.items():
        old = before[name]
        if new["status"] != old["status"] or new["executing"] != old["executing"]:
            return True
        if abs(new["cpu"] - old["cpu"]) > MUCH_CPU:
            return True
        if abs(new["memory"] - old["memory"]) > MUCH_MEMORY * (new["memory_limit"] or 8 * 2**30):
            return True
    return False


def _status(seen: Look) -> str:
    if seen.silent_seconds > SILENT_SECONDS:
        return "silent"
    return {"paused": "paused", "closing_gracefully": "retiring"}.get(seen.status, "running")


def _worker(seen: Look, status: str) -> dict[str, Any]:
    return {
        "name": seen.name,
        "status": status,
        "threads": seen.threads,
        "executing": seen.executing,
        "memory": seen.memory,
        "memory_limit": seen.memory_limit,
        "cpu": round(seen.cpu, 1),
    }


def _natural(name: str) -> tuple[int, int | str]:
    return (0, int(name)) if name.isdigit() else (1, name)
