"""A batch system, its jobs and their workers, simulated: events in order of a clock that jumps, and no processes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from daskflow.clusters.batch_jobs import Ending, Job, JobState
from daskflow.clusters.fleet import Fleet
from daskflow.clusters.fleet_values import Actions, FleetPlan, Seen, WorkerSeen


@dataclass
class SimulatedJob:
    """A job, and the worker it becomes."""

    id: str
    submitted_at: float
    state: JobState = JobState.PENDING
    reason: str = "Priority"
    began_at: float | None = None
    ends_at: float | None = None
    has_worker: bool = False
    had_worker: bool = False
    is_paused: bool = False
    was_retired: bool = False
    unit: float | None = None
    unit_began: float = 0.0
    why: str = ""
    is_forgotten: bool = False


@dataclass
class World:
    """What happens to a fleet's jobs; `run` lets time pass.

    Attributes
    ----------
    waits, starts, lengths : callables
        Seconds in line, seconds from start to worker (None: it fails), and of a unit; each of the random generator.
    units : int
        To be executed; those that are cut off are executed again.
    slots : int
        Jobs that run at once.
    """

    plan: FleetPlan
    units: int = 10**9
    slots: int = 10**9
    seed: int = 0
    waits: Callable[[random.Random], float] = lambda random: random.uniform(0.5, 3.0)
    starts: Callable[[random.Random], float | None] = lambda random: random.uniform(5.0, 15.0)
    lengths: Callable[[random.Random], float] = lambda random: random.uniform(1.0, 4.0)
    reason: str = "Priority"
    now: float = 1_000_000.0
    outage: bool = False
    refuses: bool = False
    jobs: dict[str, SimulatedJob] = field(default_factory=dict)
    done: int = 0
    repeated: int = 0
    cut_off: list[str] = field(default_factory=list)
    wrongly_cancelled: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    failure: str = ""
    looks: int = 0
    n_decisions: int = 0
    longest: float = 0.0

    def __post_init__(self) -> None:
        """Begin with no job."""
        self.random = random.Random(self.seed)
        self.fleet = Fleet(self.plan)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._shown: dict[str, Job] = {}
        self._look_at = self.now

    # What is asked and counted.

    def alive(self) -> list[SimulatedJob]:
        """Jobs that wait or run, and shall stay."""
        return [job for job in self.jobs.values() if job.state is not JobState.ENDED and not job.is_paused]

    def running(self) -> list[SimulatedJob]:
        """Jobs with a worker."""
        return [job for job in self.jobs.values() if job.has_worker]

    # Time.

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        self._number += 1
        heapq.heappush(self._events, (self.now + seconds, self._number, event))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, deciding as often as the fleet wants to."""
        end = self.now + seconds
        while self.now < end and not self.failure and not until():
            actions = self.decide()
            following = min(end, self.now + actions.think_again, max(self._look_at, self.now + 0.1))
            while self._events and self._events[0][0] <= following:
                self.now, _, event = heapq.heappop(self._events)
                event()
            self.now = following

    def decide(self) -> Actions:
        """Look, when it is time to; decide, and do it."""
        is_look = self.now >= self._look_at
        is_stale = self.outage or not is_look
        if is_look and not self.outage:
            self.looks += 1
            self._shown = {id: self._shown_as(job) for id, job in self._known() if not job.is_forgotten}
        actions = self._decided(is_stale)
        if actions.ask:
            for id in actions.ask:
                job = self.jobs[id]
                self.fleet.ended(id, Ending(job.why, f"It ended: {job.why}.", tail="the end of its log"), self.now)
            self._do(actions)
            actions = self._decided(is_stale)
        self._do(actions)
        if is_look:
            self._look_at = self.now + actions.look_again
        else:
            self._look_at = min(self._look_at, self.now + actions.look_again)
        if actions.submit:
            self._submit(actions.submit)
        return actions

    def _known(self) -> list[tuple[str, SimulatedJob]]:
        return [(id, self.jobs[id]) for id in self.fleet.members]

    def _decided(self, is_stale: bool) -> Actions:
        workers = {
            id: WorkerSeen(
                executing=int(job.unit is not None),
                is_paused=job.is_paused,
                longest=self.now - job.unit_began if job.unit is not None else 0.0,
            )
            for id, job in self._known()
            if job.has_worker
        }
        pending = max(0, self.units - self.done - sum(each.executing for each in workers.values()))
        self.n_decisions += 1
        return self.fleet.decide(Seen(self.now, self._shown, workers, min(pending, 10**6), self.longest, is_stale))

    def _shown_as(self, job: SimulatedJob) -> Job:
        return Job(job.id, job.state, job.reason, None, job.began_at, job.ends_at)

    def _do(self, actions: Actions) -> None:
        self.said += actions.say
        self.warned += actions.warn
        self.failure = self.failure or actions.fail
        for id in actions.cancel:
            job = self.jobs[id]
            if job.state is JobState.RUNNING and job.has_worker and not job.was_retired:
                self.wrongly_cancelled.append(id)
            self.end(id, "cancelled")
        for id in actions.drop:
            self.jobs[id].has_worker = False
        for id in actions.pause:
            self.jobs[id].is_paused = True
        for id in actions.resume:
            self.jobs[id].is_paused = False
            self._work(self.jobs[id])
        for id in actions.retire:
            job = self.jobs[id]
            assert job.unit is None
            job.was_retired, job.has_worker = True, False
            self.later(0.5, lambda id=id: self.end(id, "done"))

    # Jobs.

    def _submit(self, count: int) -> None:
        if self.refuses:
            self.fleet.refused("Batch job submission failed.", count, self.now)
            return
        ids = [str(len(self.jobs) + place) for place in range(count)]
        self.fleet.submitted(ids, self.now)
        for id in ids:
            assert id not in self.jobs
            self.jobs[id] = SimulatedJob(id, self.now, reason=self.reason)
            self.later(self.waits(self.random), lambda id=id: self._begin(id))

    def _begin(self, id: str) -> None:
        job = self.jobs[id]
        if job.state is not JobState.PENDING:
            return
        if self.slots < 10**9 and sum(1 for each in self.jobs.values() if each.state is JobState.RUNNING) >= self.slots:
            job.reason = "Resources"
            self.later(1.0, lambda: self._begin(id))
            return
        job.state, job.reason, job.began_at, job.ends_at = JobState.RUNNING, "", self.now, self.now + self.plan.seconds
        self.later(self.plan.seconds, lambda: self.end(id, "walltime"))
        start = self.starts(self.random)
        if start is None:
            self.later(1.0, lambda: self.end(id, "failed"))
        else:
            self.later(start, lambda: self._come(job))

    def _come(self, job: SimulatedJob) -> None:
        if job.state is JobState.RUNNING and not job.had_worker:
            job.has_worker = job.had_worker = True
            self._work(job)

    def _work(self, job: SimulatedJob) -> None:
        executing = sum(1 for each in self.running() if each.unit is not None) if self.units < 10**8 else 0
        if job.has_worker and job.unit is None and not job.is_paused and self.units - self.done > executing:
            job.unit, job.unit_began = self.lengths(self.random), self.now
            self.later(job.unit, lambda unit=job.unit_began: self._finish(job, unit))

    def _finish(self, job: SimulatedJob, began: float) -> None:
        if job.unit is not None and job.unit_began == began and job.has_worker:
            self.longest, self.done, job.unit = max(self.longest, job.unit), self.done + 1, None
            self._work(job)

    def end(self, id: str, why: str) -> None:
        """End a job, as its queue, its node or somebody does."""
        job = self.jobs[id]
        if job.state is JobState.ENDED:
            return
        self.lose_worker(id)
        job.state, job.why = JobState.ENDED, why
        if why == "walltime" and job.had_worker and job.unit is not None:
            self.cut_off.append(id)

    def lose_worker(self, id: str) -> None:
        """End a worker, and not its job."""
        job = self.jobs[id]
        if job.has_worker and job.unit is not None:
            self.repeated += 1
        job.has_worker, job.unit = False, None
