"""The loop does what the fleet decides, on a real scheduler, and leaves nothing in the queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from distributed import Client, Scheduler, Worker

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, QueueError, Request
from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan, Phase, Seen
from daskflow.clusters.fleet_workers import Workers
from daskflow.core.events import Event


@dataclass
class InProcessQueue:
    """A queue whose jobs are workers of this process."""

    address: str
    pends: bool = False
    submit_seconds: float = 0.0
    problem: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Start workers."""
        self._called("submit", count)
        await asyncio.sleep(self.submit_seconds)
        ids = [f"7_{len(self.jobs) + place}" for place in range(count)]
        for id in ids:
            self.jobs[id] = Job(id, JobState.PENDING, reason="Priority")
            if not self.pends:
                self.jobs[id] = Job(id, JobState.RUNNING, began_at=time.time(), ends_at=time.time() + 3600)
                self.workers[id] = await Worker(
                    self.address, name=id, nthreads=1, memory_limit=0, dashboard=False, host="127.0.0.1"
                )
        return ids

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Say what is known."""
        self._called("look", set(ids))
        for id, worker in self.workers.items():
            if worker.status.name == "closed" and self.jobs[id].state is JobState.RUNNING:
                self.jobs[id] = replace(self.jobs[id], state=JobState.ENDED)
        return {id: job for id, job in self.jobs.items() if id in ids}

    async def ending(self, id: str) -> Ending:
        """Know nothing more."""
        self._called("ending", id)
        return Ending("cancelled", "CANCELLED.")

    async def cancel(self, ids: Collection[str]) -> None:
        """End workers."""
        self._called("cancel", set(ids))
        for id in ids:
            self.jobs[id] = replace(self.jobs[id], state=JobState.ENDED)
            if id in self.workers:
                await self.workers[id].close()

    async def places(self) -> list[Place]:
        """There are none."""
        return []

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Refuse nothing."""
        return []

    def _called(self, name: str, what: Any) -> None:
        if self.problem:
            raise QueueError(self.problem)
        self.calls.append((name, what))


@dataclass
class Loop:
    """What a test looks at."""

    fleet: FleetLoop
    queue: InProcessQueue
    scheduler: Scheduler
    client: Client
    events: list[Event]

    def texts(self, name: str) -> list[str]:
        """What was said."""
        return [event.fields["text"] for event in self.events if event.name == name]


@asynccontextmanager
async def loop(plan: FleetPlan, *, starts: bool = True, **options: Any) -> AsyncIterator[Loop]:
    """Start a scheduler, a queue and a fleet, and end all of them."""
    events: list[Event] = []
    queue_options = {name: options.pop(name) for name in ("pends", "submit_seconds") if name in options}
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler,
        Client(scheduler.address, asynchronous=True, set_as_default=False) as client,
    ):
        queue = InProcessQueue(scheduler.address, **queue_options)
        fleet = FleetLoop(scheduler, queue, plan, "#!/bin/bash", **{"on_event": events.append, **options})
        if starts:
            await fleet.start()
        try:
            yield Loop(fleet, queue, scheduler, client, events)
        finally:
            queue.problem = ""
            await fleet.stop()
            for worker in queue.workers.values():
                await worker.close()


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come"
        await asyncio.sleep(0.02)


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_watchers_are_told() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=2)) as run:
            await run.queue.workers["7_0"].close()
            await until(lambda: {each["id"] for each in run.fleet.jobs()} == {"7_1", "7_2"})
            await until(lambda: all(each["state"] == "running" for each in run.fleet.jobs()))

            assert run.texts("warning") == [
                "Job 7_0 was lost: CANCELLED. Another takes its place (1 of 6 that may be lost)."
            ]
            (ended,) = [event.fields for event in run.events if event.name == "job"]
            assert (ended["id"], ended["why"], ended["cores"]) == ("7_0", "cancelled", 1)
            assert 0 <= ended["core_hours"] < 0.01
            states = [event.fields["counts"] for event in run.events if event.name == "jobs"]
            assert states[-1] == {"running": 2}

    asyncio.run(scenario())


def test_the_end_cancels_what_runs_what_waits_and_what_is_being_submitted() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=3), pends=True) as run:
            run.queue.jobs["7_1"] = replace(run.queue.jobs["7_1"], state=JobState.ENDED)
            run.queue.submit_seconds = 0.3
            await until(lambda: [call for call in run.queue.calls if call[0] == "submit"][1:])
            await asyncio.wait_for(run.fleet.stop(), 60.0)

            assert run.queue.calls[-1] == ("cancel", {"7_0", "7_2", "7_3"})
            assert run.fleet.jobs() == []
            assert all(job.state is JobState.ENDED for job in run.queue.jobs.values())

    asyncio.run(scenario())


def test_refused_first_jobs_are_an_error_of_the_start() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=1), starts=False) as run:
            run.queue.problem = "sbatch: error: Invalid partition name specified"
            with pytest.raises(QueueError, match="Invalid partition"):
                await run.fleet.start()

    asyncio.run(scenario())


def test_a_queue_that_does_not_answer_is_said_once_and_nothing_is_done() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=1)) as run:
            run.queue.problem = "Slurm's controller does not answer."
            run.fleet._look_after = 0.0
            run.fleet._look.set()
            await until(lambda: run.texts("warning"))
            await run.fleet._looked()
            run.queue.problem = ""
            run.fleet._look.set()
            await until(lambda: run.texts("note"))

            assert run.texts("warning") == [
                "The queue cannot be asked; the jobs are left as they are. Slurm's controller does not answer."
            ]
            assert run.texts("note")[0].startswith("The queue answers again, after ")
            assert [call for call in run.queue.calls if call[0] != "look"] == [("submit", 1)]

    asyncio.run(scenario())


def test_used_up_core_hours_are_said_once() -> None:
    async def scenario() -> None:
        said: list[str] = []
        async with loop(FleetPlan(workers=1), max_core_hours=1e-6, on_limit=said.append) as run:
            await until(lambda: said)
            run.fleet._decide(is_stale=True)
            (text,) = said
            assert text.endswith(
                "of the 1e-06 core-hours that they may (max_core_hours), and the rest is for the refit and the test"
            )
            assert run.fleet.core_hours > 0

    asyncio.run(scenario())


def test_a_listener_that_fails_harms_nothing_and_a_fault_of_the_fleet_ends_the_run() -> None:
    def fails(event: Event) -> None:
        raise RuntimeError("a watcher's own fault")

    async def scenario() -> None:
        failures: list[str] = []
        async with loop(FleetPlan(workers=1), on_event=fails, on_fail=failures.append) as run:
            await until(lambda: run.fleet.jobs()[0]["state"] == "running")
            assert not failures
            run.fleet.fleet.decide = lambda seen: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            run.fleet._changed()
            await until(lambda: failures)
            assert "ZeroDivisionError" in failures[0]
            assert run.fleet.failure == failures[0]

    asyncio.run(scenario())


RELEASED = threading.Event()


def slow(number: int) -> int:
    """Wait for the test."""
    RELEASED.wait(120)
    return number


@pytest.mark.slow
def test_a_worker_that_leaves_ends_its_unit_hands_back_the_others_and_its_results() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=2)) as run:
            await until(lambda: all(each["state"] == "running" for each in run.fleet.jobs()))
            leaving, staying = (run.queue.workers[id] for id in ("7_0", "7_1"))
            result = run.client.submit(lambda: 5, workers=[leaving.address], allow_other_workers=True, key="held")
            await result
            RELEASED.clear()
            units = run.client.map(slow, range(4), workers=[leaving.address], allow_other_workers=True, key="slow")
            await until(lambda: len(leaving.state.executing) == 1 and len(leaving.state.ready) >= 1)
            run.queue.jobs["7_0"] = replace(run.queue.jobs["7_0"], ends_at=time.time() + 20.0)
            run.fleet.fleet.members["7_0"].worker_at = time.time() - 3500.0
            run.fleet._changed()
            try:
                await until(lambda: not leaving.state.ready)
                assert len(leaving.state.executing) == 1
                assert not run.fleet._workers.retirements
                assert next(each["state"] for each in run.fleet.jobs() if each["id"] == "7_0") == Phase.RETIRING
            finally:
                RELEASED.set()
            await until(lambda: leaving.status.name == "closed")

            assert await run.client.gather([result, *units]) == [5, 0, 1, 2, 3]
            assert sum(task.suspicious for task in run.scheduler.tasks.values()) == 0
            assert staying.status.name == "running"

    asyncio.run(scenario())


def test_a_paused_worker_goes_on_when_it_is_told_to() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=1)) as run:
            worker = run.queue.workers["7_0"]
            workers = Workers(run.scheduler)
            members = run.fleet.fleet.members
            workers.seen(members, time.time())
            workers.pause(["7_0"], time.time())
            await until(lambda: worker.status.name == "closing_gracefully")
            unit = run.client.submit(lambda: 3)
            await until(lambda: workers.pending_tasks() == 1)
            await asyncio.sleep(0.1)
            assert not unit.done()

            workers.resume(["7_0"])
            assert await asyncio.wait_for(unit, 60.0) == 3

    asyncio.run(scenario())


def test_workers_of_other_names_are_nobodys_business() -> None:
    async def scenario() -> None:
        async with (
            loop(FleetPlan(workers=1)) as run,
            Worker(run.scheduler.address, name="guest", host="127.0.0.1", dashboard=False) as guest,
        ):
            assert set(run.fleet._workers.seen(run.fleet.fleet.members, 0.0)) == {"7_0"}
            await run.fleet.stop()
            assert guest.status.name == "running"
            assert all(set(ids) <= {"7_0"} for name, ids in run.queue.calls if name in ("look", "cancel"))

    asyncio.run(scenario())


def test_where_the_user_has_too_many_jobs_it_is_asked_again_and_then_the_run_ends_with_the_queues_words() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=2), starts=False) as run:
            # given a queue that takes no more jobs of this user
            run.queue.problem = "Slurm refused the job: AssocMaxSubmitJobLimit; Job violates accounting/QOS policy."
            # when
            await run.fleet.start()
            # then it is no error yet, and it is one when it is refused for the third time
            await asyncio.sleep(0.01)
            assert not run.fleet.failure
            for _ in range(2):
                run.fleet.fleet.refused(run.queue.problem, 2, time.time())
            assert "AssocMaxSubmitJobLimit" in run.fleet.fleet.decide(Seen(time.time(), jobs={})).fail

    asyncio.run(scenario())


def test_another_refusal_of_the_first_jobs_is_an_error_at_once() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=2), starts=False) as run:
            run.queue.problem = "Slurm refused the job: Invalid account."
            with pytest.raises(QueueError, match="Invalid account"):
                await run.fleet.start()

    asyncio.run(scenario())
