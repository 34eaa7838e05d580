"""The executor of a distributed cluster: units run on the workers of a client, and trouble is noticed and said."""

from __future__ import annotations

import asyncio
import os
import queue
import secrets
import shutil
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import cloudpickle
import dask
from distributed import Future

from daskflow.core import interruption
from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Kept, Outcome, Packed, Unit
from daskflow.data.execution import perform
from daskflow.data.neighbours import neighbours_of
from daskflow.data.seats import SEATS

LOST = ("scheduler-connection-lost", "client closed", "connection lost")
"""What distributed says of futures whose scheduler is gone."""

WITHOUT_SCHEDULER = (
    "The connection to the scheduler was lost. Run the same command again: it continues from what is on disk."
)

SECONDS = "daskflow_seconds"
"""Annotation of a unit's task: what it is expected to take. Who ends workers on time heeds it."""

DEATH = "KilledWorker:"
"""How the sentence begins that says that a unit's workers died."""


LOOK_SECONDS, SILENT_SECONDS, PAUSED_SECONDS, ANSWER_SECONDS = 5.0, 15.0, 12.0, 10.0
"""How often the cluster's health is asked for; how long a worker may be silent, all be paused, an answer take."""

AGAIN_SECONDS = 0.05
"""How often a unit that waits for the units of other runs is looked at."""

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
    priority : float
        Dask's, of all its units: of several executors that share workers, those of a higher priority go first, and
        equal ones in the order in which units are handed in. `Unit.priority` ranks within.

    Notes
    -----
    One thread uses an executor. Several executors, in several threads, may use one client.
    """

    def __init__(self, client: Any, leaving: Callable[[], Collection[str]] = tuple, *, priority: float = 0) -> None:
        """Use this client."""
        self._client = client
        self._leaving = leaving
        self._priority = priority
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
        self._run = f"{os.getpid():x}-{secrets.token_hex(6)}"
        self._slots = (0.0, 1)
        self._looked, self._paused_since = time.monotonic(), 0.0
        self._seen: set[str] = set()
        self.answered_at = 0.0
        """When the answer that `next` returned last came here, by `time.perf_counter`."""
        self.is_used = False
        """Whether it was given units, and not given up since."""
        self._neighbours = neighbours_of(client)
        self._neighbours.join(self)
        if (current := interruption.CURRENT.get()) is not None:
            done = self._done
            current.wake_by(lambda: done.put(None))

    def beside(self, priority: float = 0) -> ClientExecutor:
        """Return another executor of the same workers, for another run."""
        return ClientExecutor(self._client, self._leaving, priority=priority)

    def has_running(self) -> bool:
        """Whether a unit of its own may be on a worker now."""
        return any(not future.done() for future in list(self._running.values()))

    def has_company(self) -> None:
        """Hear that another executor's unit was sent."""
        self._alone = None

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
        interruption.check()
        self.is_used = True
        self._held.append(unit)
        self._send_held()

    def _send_held(self) -> None:
        """Send what was held, unless a suspect runs, of this executor or another."""
        while self._held and self._suspect is None:
            with self._neighbours.sending(self) as may_send:
                if not may_send:
                    return
                self._send(self._held.popleft(), self._run)

    def _send(self, unit: Unit, run: str) -> None:
        is_beside_others = self._neighbours.sent(self)
        self._alone = None if self._running or is_beside_others else unit.key
        self._units[unit.key] = unit
        arguments = [self._resolve(argument) for argument in unit.arguments]
        options = {"key": f"{unit.key}-{run}", "pure": False, "priority": ranked(self._priority, unit.priority)}
        # Runs that share workers shall not give up each other's calls.
        calls = tuple(replace(call, key=f"{call.key}-{self._run}") for call in unit.calls)
        limits = None if unit.limits is None else replace(unit.limits, run=self._run)
        bare = replace(unit, arguments=(), calls=calls, limits=limits)
        if limits is not None and not any(isinstance(argument, Future) for argument in arguments):
            bare, arguments = packed(bare, arguments)
        with dask.annotate(**({SECONDS: unit.seconds} if unit.seconds else {})):
            if unit.keeps:
                pair = self._kept[unit.key] = self._client.submit(perform, bare, arguments, **options)
            else:
                answer = self._client.submit(answer_of, bare, arguments, **options)
        if unit.keeps:
            options |= {"key": f"answer-{unit.key}-{run}", "priority": ranked(self._priority, unit.priority + 1)}
            answer = self._client.submit(_second, pair, **options)
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
                _first,
                self._kept[argument.key],
                key=f"kept-{argument.key}-{self._run}",
                pure=False,
                priority=self._priority,
            )
        if hasattr(argument, "__dask_graph__"):
            return self._client.compute(argument, priority=self._priority)
        return argument

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Wait for the next finished unit."""
        interruption.check()
        until = None if timeout is None else time.monotonic() + timeout
        while self.pending:
            interruption.check()
            self._send_held()
            if not self._running:
                self._send_suspect()
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                # With nothing on its way it is other runs that are waited for, and they do not say when they are done.
                found = self._done.get(timeout=left if self._running else min(AGAIN_SECONDS, left or AGAIN_SECONDS))
            except queue.Empty:
                if self._running or left == 0.0:
                    return None
                continue
            if found is None:  # somebody asks for an end
                continue
            key, future, answer, failure, answered_at = found
            if self._running.get(key) is not future:
                continue
            self._paused_since = 0.0  # something goes on
            self.answered_at = answered_at
            was_alone = key == self._alone
            del self._running[key]
            unit = self._units.pop(key)
            if key == self._suspect:
                self._acquit()
            outcome = self._failed(key, failure) if answer is None else answer
            if not outcome.error or was_alone or not outcome.error.startswith(DEATH):
                return outcome
            self._suspects.append(unit)
        return None

    def _send_suspect(self) -> None:
        """Send the next suspect as soon as no other run has units on the workers; they send none meanwhile."""
        if self._suspects and self._neighbours.reserve(self):
            suspect = self._suspects.popleft()
            self._send(suspect, f"{self._run}-alone")
            self._suspect = suspect.key

    def _acquit(self) -> None:
        """Let units run side by side again."""
        self._suspect = None
        self._neighbours.free(self)
        self._send_held()

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
        self._neighbours.free(self)
        if running and self._client.status == "running":
            self._client.cancel(running)
        self._kept.clear()
        self.is_used = False
        if self._neighbours.left(self):
            self._tell_workers(_vacate)

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
            self._acquit()
        if self._suspect is None:
            self._neighbours.free(self)
        if futures:
            self._client.cancel(futures)
        if calls:
            self._tell_workers(_drop, calls)

    def vacate(self) -> None:
        """End the seats of all workers, unless other runs use them; does not wait for it."""
        if self._neighbours.may_vacate(self):
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


def ranked(priority: float, within: float) -> float:
    """Return Dask's priority of a unit: that of its run, and less than one half to either side by its own.

    Examples
    --------
    >>> [ranked(0, -1), ranked(0, 0), ranked(0, 1), ranked(10, 0)]
    [-0.25, 0.0, 0.25, 10.0]
    """
    return priority + within / (2 * (1 + abs(within)))


def answer_of(unit: Unit, arguments: Sequence[Any]) -> Outcome:
    """Run a unit that keeps nothing."""
    return perform(unit, arguments)[1]


def packed(unit: Unit, arguments: Sequence[Any]) -> tuple[Unit, list[Any]]:
    """Pack what only the process beside a worker uses: the worker itself need not load the libraries of a fit."""
    function: bytes = cloudpickle.dumps((unit.function, tuple(arguments)))
    calls = tuple(replace(call, arguments=(cloudpickle.dumps(call.arguments),)) for call in unit.calls)
    return replace(unit, function=Packed(function), calls=calls), []


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
