"""Execution: units run in this process, in order; and what stages make of any executor."""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from daskflow.core import interruption
from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Kept, Outcome, Unit
from daskflow.data.maps import rest
from daskflow.data.seat_process import opened
from daskflow.data.seats import SEATS, run_in_seat, share_of_worker

GLANCE_SECONDS = 5.0
"""How long a stage waits for an answer before it looks whether the cluster can go on."""

ARRIVED_SECONDS = 0.05
"""How long it waits before it looks which files have come, as long as some are on their way."""


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def queued_seconds() -> float:
    """Return how long this thread has waited for a processor while it could have run; 0 where Linux does not say."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def perform(unit: Unit, arguments: Sequence[Any]) -> tuple[Any, Outcome]:
    """Run a unit here; a raise is an answer. Return what it keeps and its outcome."""
    if unit.calls:
        return None, _perform_calls(unit, arguments)
    queued = queued_seconds()
    kept, outcome = _perform_one(unit, arguments)
    blocked = outcome.seconds - outcome.cpu_seconds - (queued_seconds() - queued)
    return kept, replace(outcome, blocked_seconds=max(0.0, blocked))


def _perform_one(unit: Unit, arguments: Sequence[Any]) -> tuple[Any, Outcome]:
    """Run a unit without calls, or one call."""
    began, started, cpu = time.time(), time.perf_counter(), time.thread_time()
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
        began=began,
    )


def _perform_calls(unit: Unit, arguments: Sequence[Any]) -> Outcome:
    """Make a unit's calls: where there are limits and this is a worker's own process, in another one beside it."""
    worker = _worker()
    began, started = time.time(), time.perf_counter()
    if unit.limits is None or worker is None or worker.address.startswith("inproc"):
        function, shared, calls = opened(unit.function, tuple(arguments), [(c.key, c.arguments) for c in unit.calls])
        single = [Unit(key, function, (*shared, *own)) for key, own in calls]
        parts = [_perform_one(each, each.arguments)[1] for each in single]
    else:
        SEATS.tell_scheduler(worker)
        limits = unit.limits
        if limits.memory_bytes is None:
            limits = replace(limits, memory_bytes=share_of_worker(worker))
        parts = [
            replace(part, worker=str(worker.name)) for part in run_in_seat(unit.function, arguments, unit.calls, limits)
        ]
    return Outcome(
        key=unit.key,
        worker=_worker_name(),
        seconds=time.perf_counter() - started,
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        peak_memory_bytes=max(part.peak_memory_bytes for part in parts),
        parts=tuple(parts),
        began=began,
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
        interruption.check()
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

    def beside(self, priority: float = 0) -> InlineExecutor:
        """Return another one; in one thread there is nothing to rank."""
        return InlineExecutor()

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

    def drop(self, keys: Sequence[str]) -> None:
        """Forget units that wait."""
        self._waiting = deque(unit for unit in self._waiting if unit.key not in keys)

    def troubles(self) -> Sequence[str]:
        """None: what hangs here hangs the caller."""
        return ()

    def vacate(self) -> None:
        """Nothing to end: limits are not held here."""


def _worker() -> Any:
    """The Dask worker this runs on; None elsewhere."""
    if "distributed.worker" in sys.modules:
        try:
            return sys.modules["distributed.worker"].get_worker()
        except (ValueError, AttributeError):
            pass
    return None


def _worker_name() -> str:
    """Name of the Dask worker this runs on, or of the process."""
    worker = _worker()
    return f"process {os.getpid()}" if worker is None else str(worker.name)


class Arrivals(Protocol):
    """Units that can be handed in only when something has come; see `data.arriving`."""

    @property
    def is_awaited(self) -> bool:
        """Whether there are such units still."""

    def ready(self, timeout: float) -> Sequence[Unit]:
        """Return units for which everything has come since the last call, after at most so many seconds."""

    def idle(self, slots: int) -> None:
        """Hear how many slots have nothing to do from now on."""

    def done(self, key: str) -> None:
        """Hear that a unit has ended."""


def run_all(
    executor: Any,
    units: Sequence[Unit],
    *,
    on_done: Any = None,
    window: int | None = None,
    arrivals: Arrivals | None = None,
) -> dict[str, Any]:
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
    arrivals : Arrivals, optional
        More units, each handed in as soon as what it needs has come.

    Raises
    ------
    Exception
        The first error of a unit, or of what should have come, after the others were dropped.
    """
    answers = {}
    for outcome in _outcomes(executor, units, window, arrivals):
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


def _outcomes(
    executor: Any, units: Sequence[Unit], window: int | None, arrivals: Arrivals | None = None
) -> Iterator[Outcome]:
    """Run units, and hand on what becomes of them as it comes; raise the first error after dropping the others."""
    waiting = deque(units)
    try:
        while waiting or executor.pending or (arrivals is not None and arrivals.is_awaited):
            seconds = GLANCE_SECONDS
            if arrivals is not None:
                arrivals.idle(executor.slots - executor.pending)
            if arrivals is not None and arrivals.is_awaited:
                is_idle = not (waiting or executor.pending)
                waiting.extend(arrivals.ready(GLANCE_SECONDS if is_idle else 0.0))
                seconds = ARRIVED_SECONDS
            while waiting and executor.pending < (window or 2 * executor.slots + 2):
                executor.submit(waiting.popleft())
            if arrivals is not None:
                arrivals.idle(executor.slots - executor.pending)
            outcome = executor.next(seconds)
            executor.troubles()  # raises when nothing can go on; whoever listens is told of less
            if outcome is None:
                continue
            if outcome.exception is not None:
                raise outcome.exception
            if outcome.error is not None:
                raise ClusterError(f"{outcome.key}: {outcome.error}")
            if arrivals is not None:
                arrivals.done(outcome.key)
            yield outcome
    except BaseException:
        executor.cancel()
        raise
