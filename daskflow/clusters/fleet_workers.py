"""The workers of a fleet on their scheduler: what each does, and how one stops beginning units, goes on, or leaves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from distributed import Status
from distributed.diagnostics.plugin import SchedulerPlugin

from daskflow.clusters.fleet_values import Member, WorkerSeen

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
"""A worker's word of what it executes counts when it was heard so long after it was told to begin no more."""

RECENT_SECONDS = 60.0
"""Units of a kind that was not executed for so long do not say how long the next ones will take."""


class Workers:
    """The workers on a scheduler of this process whose names are IDs of jobs.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        Every method belongs on its event loop.

    Attributes
    ----------
    retirements : set of asyncio.Task
        Workers that are handing over what they hold.
    """

    def __init__(self, scheduler: Any) -> None:
        """Know none."""
        self._scheduler = scheduler
        self._paused_at: dict[str, float] = {}
        self._lengths: dict[str, tuple[float, float]] = {}
        self.retirements: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()
        self._addresses: dict[str, str] = {}

    def seen(self, members: Mapping[str, Member], now: float) -> dict[str, WorkerSeen]:
        """Return what each worker does; workers of other names are not of the fleet."""
        found, self._addresses = {}, {}
        for address, state in self._scheduler.workers.items():
            id = str(state.name)  # a number, where Dask made one of it
            if id in members:
                found[id], self._addresses[id] = self._seen(id, state), address
            for task in state.processing:
                name, length = task.prefix.name, max(task.prefix.max_exec_time, task.prefix.duration_average, 0.0)
                self._lengths[name] = (max(length, state.executing.get(task, 0.0)), now)
        for id in self._paused_at.keys() - found.keys():
            del self._paused_at[id]
        return found

    def _seen(self, id: str, state: Any) -> WorkerSeen:
        given = len(state.processing)
        executing = min(given, int(state.nthreads))
        is_paused = state.status is Status.closing_gracefully
        if is_paused and state.last_seen > self._paused_at.get(id, 0.0) + HEARTBEAT_SECONDS:
            executing = sum(1 for task in state.executing if task in state.processing)
        lasted = [seconds for task, seconds in state.executing.items() if task in state.processing]
        longest = max(lasted, default=0.0)
        return WorkerSeen(executing, given - executing, is_paused, bool(state.has_what), longest, sum(lasted))

    def id_at(self, address: str) -> str:
        """Return the ID of the job whose worker is at an address; empty when there is none."""
        state = self._scheduler.workers.get(address)
        return "" if state is None else str(state.name)

    def pending_tasks(self) -> int:
        """Return how many units no worker has been given."""
        return len(self._scheduler.queued) + len(self._scheduler.unrunnable)

    def longest_unit(self, now: float) -> float:
        """Return the seconds of the longest unit of the kinds that are being executed."""
        self._lengths = {name: each for name, each in self._lengths.items() if now - each[1] < RECENT_SECONDS}
        return max((length for length, _ in self._lengths.values()), default=0.0)

    def pause(self, ids: Sequence[str], now: float) -> None:
        """Let workers begin nothing more; a worker with memory to spare would undo Dask's own ``paused``."""
        for id in ids:
            self._paused_at[id] = now
            self._turn(id, Status.closing_gracefully)

    def resume(self, ids: Sequence[str]) -> None:
        """Let workers go on."""
        for id in ids:
            self._paused_at.pop(id, None)
            self._turn(id, Status.running)

    def retire(self, ids: Sequence[str]) -> None:
        """Have workers hand over what they hold, and leave; does not wait for it."""
        for id in ids:
            if id not in self._leaving and (address := self._address(id)):
                self._leaving.add(id)
                task = asyncio.create_task(self._retire(id, address))
                self.retirements.add(task)
                task.add_done_callback(self.retirements.discard)

    def drop(self, ids: Sequence[str]) -> None:
        """Forget workers that are gone, though their connections do not know; what they were given is no suspect."""
        for id in ids:
            if address := self._address(id):
                leaving = self._scheduler.remove_worker(
                    address, expected=True, close=False, stimulus_id=f"fleet-drop-{time.time()}"
                )
                task = asyncio.create_task(leaving)
                self.retirements.add(task)
                task.add_done_callback(self.retirements.discard)

    def hand_back(self, members: Mapping[str, Member]) -> None:
        """Give to others what workers that leave were given and have not begun."""
        for id in self._paused_at:
            state = self._state(id)
            if id not in members or state is None or state.status is not Status.closing_gracefully:
                continue
            if state.last_seen > self._paused_at[id] + HEARTBEAT_SECONDS:
                keys = [task.key for task in state.processing if task not in state.executing]
                if keys:
                    self._scheduler.transitions(dict.fromkeys(keys, "released"), f"fleet-hand-back-{time.time()}")

    async def _retire(self, id: str, address: str) -> None:
        try:
            await self._scheduler.retire_workers(workers=[address], close_workers=True, remove=True)
        except OSError:  # it has gone by itself
            logger.debug("Worker %s left before it was told to", id, exc_info=True)
        finally:
            self._leaving.discard(id)

    def _turn(self, id: str, status: Status) -> None:
        """Change a worker's status there and here, as Dask does when it retires one."""
        state = self._state(id)
        if state is None or state.address not in self._scheduler.stream_comms:
            return
        stimulus = f"fleet-{status.name}-{time.time()}"
        self._scheduler.handle_worker_status_change(status, state, stimulus)
        self._scheduler.stream_comms[state.address].send(
            {"op": "worker-status-change", "status": status.name, "stimulus_id": stimulus}
        )

    def _address(self, id: str) -> str:
        return self._addresses.get(id, "")

    def _state(self, id: str) -> Any:
        return self._scheduler.workers.get(self._address(id))


class Changes(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Tells that a worker has come or gone, that a unit has ended there, and that one is not wanted any more."""

    name = "daskflow-fleet"

    def __init__(
        self,
        changed: Callable[[], None],
        ended: Callable[[object, str, float], None],
        forgotten: Callable[[object], None],
    ) -> None:
        """Tell these."""
        self._changed, self._ended, self._forgotten = changed, ended, forgotten

    def transition(self, key: object, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Tell it of a unit that was computed, or is forgotten."""
        if finish == "forgotten":
            self._forgotten(key)
        elif start == "processing" and (times := kwargs.get("startstops")) and (worker := kwargs.get("worker")):
            self._ended(key, worker, sum(t["stop"] - t["start"] for t in times if t["action"] == "compute"))

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Tell it."""
        self._changed()

    def remove_worker(self, scheduler: Any, worker: str, **kwargs: Any) -> None:
        """Tell it."""
        self._changed()
