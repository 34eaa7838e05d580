"""Units of known length go to workers that live long enough to bring them to their end, or wait for such a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

from daskflow.data.client_executor import SECONDS

NOBODY = frozenset({"a worker with more time"})
"""Stands where no worker may have a task: to Dask an empty set means that all may."""


class Lengths(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """What tasks are expected to take, as their annotation says, and which workers may have them.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        Every method belongs on its event loop.
    with_time_for : callable
        Returns the names of workers that live for so many seconds more.
    """

    name = "daskflow-lengths"

    def __init__(self, scheduler: Any, with_time_for: Callable[[float], Collection[str]]) -> None:
        """Know of no task."""
        self._scheduler, self._with_time_for = scheduler, with_time_for
        self._expected: dict[Any, float] = {}

    def __bool__(self) -> bool:
        """Whether something is expected of any task that is not done."""
        return bool(self._expected)

    def longest_waiting(self) -> float:
        """Return the expected seconds of the longest task that no worker has the time for."""
        waiting = [self._expected[task.key] for task in self._scheduler.unrunnable if task.key in self._expected]
        return max(waiting, default=0.0)

    def update_graph(self, scheduler: Any, *, annotations: Mapping[str, Any], **kwargs: Any) -> None:
        """Look at tasks that were just handed in, before they are given to workers."""
        if lengths := annotations.get(SECONDS):
            self._expected |= {key: float(seconds) for key, seconds in lengths.items()}
            self.place(lengths)

    def place(self, keys: Collection[Any] | None = None) -> None:
        """See that tasks go to workers that live long enough, and take them back from others that have not begun them.

        Parameters
        ----------
        keys : collection, optional
            Tasks; default, all of which something is expected.
        """
        names = {str(state.name): address for address, state in self._scheduler.workers.items()}
        everybody = {state.address for state in self._scheduler.running}
        moves = {}
        for key in list(self._expected if keys is None else keys):
            task = self._scheduler.tasks.get(key)
            if task is None or task.state in ("memory", "erred", "forgotten"):
                self._expected.pop(key, None)
                continue
            fitting = {names[name] for name in self._with_time_for(self._expected[key]) if name in names}
            task.worker_restrictions = None if fitting >= everybody else set(fitting or NOBODY)
            if task.state == "no-worker" and fitting:
                moves[key] = "processing"
            elif task.state == "processing" and task.processing_on.address not in fitting and _waits(task):
                moves[key] = "released"
        if moves:
            self._scheduler.transitions(moves, f"fleet-lengths-{time.time()}")


def _waits(task: Any) -> bool:
    """Whether a worker was given a task and has certainly not begun it: others stand before it there."""
    state = task.processing_on
    return task not in state.executing and len(state.executing) >= state.nthreads
