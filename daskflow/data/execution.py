"""Executors: units run in this process, or on a distributed cluster."""

from __future__ import annotations

import os
import queue
import resource
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Kept, Outcome, Unit
from daskflow.data.maps import rest

LOST = ("scheduler-connection-lost", "client closed", "connection lost")
"""What distributed says of futures whose scheduler is gone."""

DEATH = "KilledWorker:"
"""How the sentence begins that says that a unit's workers died."""


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def perform(unit: Unit, arguments: Sequence[Any]) -> tuple[Any, Outcome]:
    """Run a unit here; a raise is an answer. Return what it keeps and its outcome."""
    started, cpu = time.perf_counter(), time.thread_time()
    kept: Any = None
    value: Any = None
    error: Exception | None = None
    try:
        result = unit.function(*arguments)
        kept, value = result if unit.keeps else (None, result)
    except Exception as caught:
        error = caught
    rest()
    return kept, Outcome(
        key=unit.key,
        value=value,
        error=None if error is None else f"{type(error).__name__}: {error}",
        exception=_portable(error),
        traceback="" if error is None else "".join(traceback.format_exception(error)),
        worker=_worker_name(),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.thread_time() - cpu,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _portable(error: Exception | None) -> Exception | None:
    """Return the error if it survives the way to another process, else None: a result that cannot be sent hangs."""
    from distributed.protocol import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return None
    return error


class InlineExecutor:
    """Runs each unit in the calling thread, in the order given: for debuggers and small tables."""

    slots = 1

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[Unit] = deque()
        self._kept: dict[str, Any] = {}

    @property
    def pending(self) -> int:
        """Units submitted and not yet returned."""
        return len(self._waiting)

    def submit(self, unit: Unit) -> None:
        """Queue a unit."""
        self._waiting.append(unit)

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Run the next unit of the highest priority and return its outcome."""
        if not self._waiting:
            return None
        unit = max(self._waiting, key=lambda waiting: waiting.priority)
        self._waiting.remove(unit)
        kept, outcome = perform(unit, [self._resolve(argument) for argument in unit.arguments])
        if unit.keeps and outcome.error is None:
            self._kept[unit.key] = kept
        return outcome

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, Kept):
            return self._kept[argument.key]
        if hasattr(argument, "__dask_graph__"):
            import dask

            return dask.compute(argument, scheduler="synchronous")[0]
        return argument

    def kept(self, key: str) -> Any:
        """Return what a unit kept."""
        return self._kept[key]

    def cancel(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._kept.clear()

    def release(self, keys: Sequence[str]) -> None:
        """Forget what these units kept."""
        for key in keys:
            self._kept.pop(key, None)


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
    """

    def __init__(self, client: Any) -> None:
        """Use this client."""
        self._client = client
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

    @property
    def slots(self) -> int:
        """Threads of all workers; at least one, so that work can be queued before the first arrives."""
        return max(1, int(sum(self._client.nthreads().values())))

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
        pair = self._client.submit(
            perform,
            Unit(unit.key, unit.function, (), unit.keeps),
            [self._resolve(argument) for argument in unit.arguments],
            key=f"{unit.key}-{run}",
            pure=False,
            priority=unit.priority,
        )
        answer = self._client.submit(
            _second, pair, key=f"answer-{unit.key}-{run}", pure=False, priority=unit.priority + 1
        )
        if unit.keeps:
            self._kept[unit.key] = pair
        self._running[unit.key] = answer
        answer.add_done_callback(lambda future, key=unit.key: self._done.put((key, future)))

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
                key, future = self._done.get(timeout=timeout)
            except queue.Empty:
                return None
            if self._running.get(key) is not future:
                continue
            was_alone = key == self._alone
            del self._running[key]
            unit = self._units.pop(key)
            if key == self._suspect:
                self._suspect = None
                while self._held:
                    self._send(self._held.popleft(), self._run)
            outcome = self._outcome(key, future)
            if not outcome.error or was_alone or not outcome.error.startswith(DEATH):
                return outcome
            self._suspects.append(unit)
        return None

    def _outcome(self, key: str, future: Any) -> Outcome:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        try:
            future.result()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            if self._client.status != "running" or any(word in text for word in LOST):
                raise ClusterError(
                    "The connection to the scheduler was lost. "
                    "Run the same command again: it continues from what is on disk."
                ) from error
            if not isinstance(error, Exception):
                raise
            # The death of its workers is no exception of the unit's own: it costs the unit, and a sentence says it.
            exception = None if type(error).__name__ == "KilledWorker" else error
            return Outcome(key=key, error=_in_words(error), exception=exception, traceback=text)
        raise AssertionError(f"unit {key} is {future.status} without an error")

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

    def release(self, keys: Sequence[str]) -> None:
        """Forget what these units kept."""
        for key in keys:
            self._kept.pop(key, None)


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


def _worker_name() -> str:
    """Name of the Dask worker this runs on, or of the process."""
    if "distributed.worker" in sys.modules:
        try:
            return str(sys.modules["distributed.worker"].get_worker().name)
        except (ValueError, AttributeError):
            pass
    return f"process {os.getpid()}"


def run_all(executor: Any, units: Sequence[Unit], *, on_done: Any = None, window: int | None = None) -> dict[str, Any]:
    """Run independent units, a bounded number at a time, and return their answers by key.

    Parameters
    ----------
    executor : Executor
        With nothing pending.
    units : sequence of Unit
        Independent of each other.
    on_done : callable, optional
        Called with each Outcome as it comes.
    window : int, optional
        How many are in flight at most; default twice the slots, plus two.

    Raises
    ------
    Exception
        The first error of a unit, after the others were dropped.
    """
    answers = {}
    for outcome in _outcomes(executor, units, window):
        answers[outcome.key] = outcome.value
        if on_done is not None:
            on_done(outcome)
    return answers


def reduce_all(executor: Any, units: Sequence[Unit], merge: Callable[[Any, Any], Any], *, on_done: Any = None) -> Any:
    """Run independent units and merge their answers in the order of the units, each as soon as it can be.

    Parameters
    ----------
    executor : Executor
        With nothing pending.
    units : sequence of Unit
        At least one.
    merge : callable
        Takes what was merged so far and the next answer.
    on_done : callable, optional
        Called with each Outcome as it comes.

    Raises
    ------
    Exception
        As `run_all`.
    """
    places = {unit.key: place for place, unit in enumerate(units)}
    early: dict[int, Any] = {}
    merged: Any = None
    reached = 0
    for outcome in _outcomes(executor, units, None):
        early[places[outcome.key]] = outcome.value
        while reached in early:
            value = early.pop(reached)
            merged = merge(merged, value) if reached else value
            reached += 1
        if on_done is not None:
            on_done(outcome)
    return merged


def _outcomes(executor: Any, units: Sequence[Unit], window: int | None) -> Iterator[Outcome]:
    """Run units, and hand on what becomes of them as it comes; raise the first error after dropping the others."""
    waiting = deque(units)
    try:
        while waiting or executor.pending:
            while waiting and executor.pending < (window or 2 * executor.slots + 2):
                executor.submit(waiting.popleft())
            outcome = executor.next()
            if outcome is None:
                continue
            if outcome.exception is not None:
                raise outcome.exception
            if outcome.error is not None:
                raise ClusterError(f"{outcome.key}: {outcome.error}")
            yield outcome
    except BaseException:
        executor.cancel()
        raise
