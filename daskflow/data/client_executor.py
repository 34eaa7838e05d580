"""The executor of a distributed cluster: units run on the workers of a client, and trouble is noticed and said."""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Kept, Outcome, Unit
from daskflow.data.execution import perform
from daskflow.data.seats import SEATS

LOST = ("scheduler-connection-lost", "client closed", "connection lost")
"""What distributed says of futures whose scheduler is gone."""

WITHOUT_SCHEDULER = (
    "The connection to the scheduler was lost. Run the same command again: it continues from what is on disk."
)

DEATH = "KilledWorker:"
"""How the sentence begins that says that a unit's workers died."""


LOOK_SECONDS, SILENT_SECONDS, PAUSED_SECONDS, ANSWER_SECONDS = 5.0, 15.0, 12.0, 10.0
"""How often the cluster's health is asked for; how long a worker may be silent, all be paused, an answer take."""

FULL_BYTES = 16 * 2**20
"""A disk with less room than this is full."""


class ClientExecutor:
    """Runs units on the workers of a ``distributed.Client``.

    A worker that dies gives its units to another one, at most ``allowed-failures`` times (Dask's own setting). Dask
    counts the death for every unit that waited there; so one that others may have killed runs once more, with nothing
    beside it, and only a death then is its own: the outcome is that sentence. The death of the scheduler raises
    ClusterError.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client; not closed here.
    leaving : callable, optional
        Returns the names of workers that end soon by plan: that they are silent, paused or gone is no trouble.
    """

    def __init__(self, client: Any, leaving: Callable[[], Collection[str]] = tuple) -> None:
        """Use this client."""
        self._client = client
        self._leaving = leaving
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[str, Any] = {}
        self._units: dict[str, Unit] = {}
        self._suspects: deque[Unit] = deque()
        """Units that died beside others; each runs once more by itself when nothing else does."""
        self._held: deque[Unit] = deque()
        """Units that wait until a suspect has ended."""
        self._suspect: str | None = None
        self._alone: str | None = None
        self._kept: dict[str, Any] = {}
        self._run = f"{os.getpid():x}-{time.time_ns():x}"
        self._slots = (0.0, 1)
        self._looked, self._paused_since = time.monotonic(), 0.0
        self._seen: set[str] = set()
        self.answered_at = 0.0
        """When the answer that `next` returned last came here, by `time.perf_counter`."""

    @property
    def slots(self) -> int:
        """Threads of all workers, as of a second ago; at least one, so that work can be queued before the first."""
        seen, slots = self._slots
        if time.monotonic() - seen > 1.0:
            slots = max(1, int(sum(self._client.nthreads().values())))
            self._slots = time.monotonic(), slots
        return slots

    @property
    def pending(self) -> int:
        """Units submitted and not yet returned."""
        return len(self._running) + len(self._suspects) + len(self._held)

    def submit(self, unit: Unit) -> None:
        """Send a unit to the cluster, or hold it as long as a suspect runs."""
        if self._suspect is None:
            self._send(unit, self._run)
        else:
            self._held.append(unit)

    def _send(self, unit: Unit, run: str) -> None:
        self._alone = None if self._running else unit.key
        self._units[unit.key] = unit
        arguments = [self._resolve(argument) for argument in unit.arguments]
        options = {"key": f"{unit.key}-{run}", "pure": False, "priority": unit.priority}
        # Runs that share workers shall not give up each other's calls.
        calls = tuple(replace(call, key=f"{call.key}-{self._run}") for call in unit.calls)
        bare = replace(unit, arguments=(), calls=calls)
        if unit.keeps:
            pair = self._kept[unit.key] = self._client.submit(perform, bare, arguments, **options)
            options |= {"key": f"answer-{unit.key}-{run}", "priority": unit.priority + 1}
            answer = self._client.submit(_second, pair, **options)
        else:
            answer = self._client.submit(answer_of, bare, arguments, **options)
        self._running[unit.key] = answer
        answer.add_done_callback(lambda future, key=unit.key: self._on_loop(self._fetch(key, future)))

    def _on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._client.loop.asyncio_loop)

    async def _fetch(self, key: str, future: Any) -> None:
        """Bring an answer here beside whoever waits: the worker that holds it may be frozen by now."""
        answer: Outcome | None = None
        failure: BaseException | None = None
        try:
            answer = await future._result()
        except BaseException as error:  # also that of a future that was cancelled: `_failed` looks at it
            failure = error
        self._done.put((key, future, answer, failure, time.perf_counter()))

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, Kept):
            return self._client.submit(
                _first, self._kept[argument.key], key=f"kept-{argument.key}-{self._run}", pure=False
            )
        if hasattr(argument, "__dask_graph__"):
            return self._client.compute(argument)
        return argument

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Wait for the next finished unit."""
        while self.pending:
            if not self._running:
                suspect = self._suspects.popleft()
                self._send(suspect, f"{self._run}-alone")
                self._suspect = suspect.key
            try:
                key, future, answer, failure, answered_at = self._done.get(timeout=timeout)
            except queue.Empty:
                return None
            if self._running.get(key) is not future:
                continue
            self._paused_since = 0.0  # something goes on
            self.answered_at = answered_at
            was_alone = key == self._alone
            del self._running[key]
            unit = self._units.pop(key)
            if key == self._suspect:
                self._suspect = None
                while self._held:
                    self._send(self._held.popleft(), self._run)
            outcome = self._failed(key, failure) if answer is None else answer
            if not outcome.error or was_alone or not outcome.error.startswith(DEATH):
                return outcome
            self._suspects.append(unit)
        return None

    def _failed(self, key: str, error: BaseException | None) -> Outcome:
        """What became of a unit that has no answer."""
        text = f"{type(error).__name__}: {error}"
        if self._client.status != "running" or any(word in text for word in LOST):
            raise ClusterError(WITHOUT_SCHEDULER) from error
        if error is None:
            raise AssertionError(f"unit {key} has neither an answer nor an error")
        if not isinstance(error, Exception):
            raise error
        # The death of its workers is no exception of the unit's own: it costs the unit, and a sentence says it.
        exception = None if type(error).__name__ == "KilledWorker" else error
        return Outcome(key=key, error=_in_words(error), exception=exception, traceback=text)

    def kept(self, key: str) -> Any:
        """Fetch what a unit kept; no task of its own, so it does not wait behind others."""
        return self._kept[key].result()[0]

    def cancel(self) -> None:
        """Drop what has not finished, and what was kept."""
        running = list(self._running.values())
        for forgotten in (self._running, self._units, self._suspects, self._held):
            forgotten.clear()
        self._suspect = self._alone = None
        if running and self._client.status == "running":
            self._client.cancel(running)
        self._kept.clear()

    def drop(self, keys: Sequence[str]) -> None:
        """Give up units: those that wait are forgotten by the scheduler, a running one with limits is ended."""
        futures, calls = [], []
        for key in keys:
            unit, future = self._units.pop(key, None), self._running.pop(key, None)
            if unit is not None and future is not None:
                futures.append(future)
                calls += [f"{call.key}-{self._run}" for call in unit.calls]
        self._suspects = deque(unit for unit in self._suspects if unit.key not in keys)
        self._held = deque(unit for unit in self._held if unit.key not in keys)
        if self._suspect in keys:
            self._suspect = None
            while self._held:
                self._send(self._held.popleft(), self._run)
        if futures:
            self._client.cancel(futures)
        if calls:
            self._tell_workers(_drop, calls)

    def vacate(self) -> None:
        """End the seats of all workers; does not wait for it."""
        self._tell_workers(_vacate)

    def _tell_workers(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run something small on every worker, without waiting: a silent worker would hold the answer back."""
        if self._client.status == "running":
            self._on_loop(self._client._run(function, *arguments, on_error="ignore"))

    def troubles(self) -> Sequence[str]:
        """Say which workers are silent or gone, and whether all of them wait for memory; asks at most every 5 s.

        Raises
        ------
        ClusterError
            When every worker has been paused for some seconds, or the scheduler is gone: nothing goes on any more.
        """
        if self._client.status != "running":  # with nothing on its way, nothing else tells of it
            raise ClusterError(WITHOUT_SCHEDULER)
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return ()
        try:
            seen = self._client.sync(self._client._run_on_scheduler, health, callback_timeout=ANSWER_SECONDS)
        except TimeoutError:
            return (f"The scheduler has not answered for {ANSWER_SECONDS:.0f} s: it is busy, frozen or unreachable.",)
        except OSError as error:
            raise ClusterError(WITHOUT_SCHEDULER) from error
        finally:
            self._looked = time.monotonic()
        leaving = self._leaving()
        staying = [(name, silent, status) for name, silent, status in seen if name not in leaving]
        names = {name for name, _, _ in staying}
        gone, self._seen = sorted(self._seen - names - set(leaving)), names
        if not seen:
            return ("There is no worker: the fits wait until one comes.",)
        if staying and all(status == "paused" for _, _, status in staying):
            self._paused_since = self._paused_since or time.monotonic()
            if time.monotonic() - self._paused_since > PAUSED_SECONDS:
                raise ClusterError(self._why_paused())
        else:
            self._paused_since = 0.0
        return [
            f"Worker {name} has been silent for {silent:.0f} s: it is frozen, or its machine cannot be reached. "
            "What it was given waits for it."
            for name, silent, _ in staying
            if silent > SILENT_SECONDS
        ] + [
            f"Worker {name} has gone: it ended, or its connection broke. The others do what it was given."
            for name in gone
        ]

    def _why_paused(self) -> str:
        """Say what is full."""
        try:
            rooms = self._client.sync(
                self._client._run, _spill_room, on_error="ignore", callback_timeout=ANSWER_SECONDS
            )
        except TimeoutError:
            rooms = {}
        full = sorted({folder for folder, free in rooms.values() if free < FULL_BYTES})
        disk = f" The disk they write to is full: {', '.join(full)}." if full else ""
        return (
            f"All workers are paused: their memory is full, and they cannot write it to disk.{disk} Make room, give "
            "workers more memory, or make partitions smaller; then run the same command again."
        )

    def release(self, keys: Sequence[str]) -> None:
        """Forget what these units kept."""
        for key in keys:
            self._kept.pop(key, None)


def answer_of(unit: Unit, arguments: Sequence[Any]) -> Outcome:
    """Run a unit that keeps nothing."""
    return perform(unit, arguments)[1]


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _second(pair: tuple[Any, Outcome]) -> Outcome:
    return pair[1]


def _in_words(error: Exception) -> str:
    """A sentence for errors of the cluster that say little by themselves."""
    if type(error).__name__ == "KilledWorker":
        return (
            f"{DEATH} the workers that ran it died, one after the other (out of memory, a crash in native "
            "code, or killed from outside). Give workers more memory, or make partitions and blocks smaller."
        )
    return f"{type(error).__name__}: {error}"


def health(dask_scheduler: Any) -> list[tuple[str, float, str]]:
    """Return name, seconds since it was last heard of, and status of each worker."""
    now = time.time()
    return [(str(w.name), now - w.last_seen, str(w.status.name)) for w in dask_scheduler.workers.values()]


def _drop(calls: Sequence[str]) -> None:
    SEATS.drop(calls)


def _vacate() -> None:
    SEATS.vacate()


def _spill_room(dask_worker: Any) -> tuple[str, int]:
    """Return where a worker writes what it has no memory for, and the room there."""
    folder = str(dask_worker.local_directory)
    return folder, shutil.disk_usage(folder).free
