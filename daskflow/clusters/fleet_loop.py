"""Looks at a run's jobs and workers, asks the fleet what to do, and does it, on the scheduler's event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Queue, QueueError
from daskflow.clusters.batch_lease import HandedOver
from daskflow.clusters.fleet import LOOK_SECONDS, STEADY_SECONDS, Fleet
from daskflow.clusters.fleet_accounts import NOTHING, Accounts, Spent
from daskflow.clusters.fleet_lengths import Lengths
from daskflow.clusters.fleet_values import Actions, FleetPlan, Member, Phase, Seen
from daskflow.clusters.fleet_words import is_full, lasting
from daskflow.clusters.fleet_workers import Changes, Workers
from daskflow.core.events import Listener, nobody, tell

logger = logging.getLogger(__name__)

T = TypeVar("T")

COMMAND_SECONDS = 60.0
"""A queue that has not answered by then is not waited for; its commands have time-outs of their own."""

SUBMISSION_SECONDS, CANCEL_SECONDS, CANCELS = 15.0, 8.0, 3
"""How long a last submission and then cancelling may take at the end, and how often it is tried."""

THINK_SECONDS = 0.5
"""Workers that come and go are looked at together, no more often than this."""

AT_ONCE, MOST_ASKED = 8, 40
"""Of jobs that ended so many are asked about at a time, and in all between two looks; of more, nothing is known."""

MOST_JOBS = 64
"""Jobs that watchers are told of one by one; of more, those that do not run come first."""

LEFT = "The run goes on with another controller, which takes it over."
"""What became of a job that is left to the next scheduler."""

NOBODY_ASKED = Ending("unknown", "It ended together with many others.")

UNREACHABLE = (QueueError, TimeoutError, OSError)


def nothing_done(text: str) -> None:
    """Do nothing about it."""


class FleetLoop:
    """Keeps a run's workers: submits, looks at, retires and cancels its jobs.

    All methods but `jobs` and `core_hours` belong on the scheduler's event loop, and the listeners are called there:
    they must not wait.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        It runs in this process.
    queue : Queue
        Of the batch system.
    plan : FleetPlan
        What is wanted.
    script : str
        Of a job whose worker has the job's ID for its name.
    on_event : Listener, optional
        Hears ``note`` and ``warning`` (text), ``jobs`` (jobs, counts) when something changed, ``job_began`` when one
        runs (id, role, cores, seconds of walltime, node, began_at), and ``job`` when one ended (id, role, why, words,
        cores, seconds, node, began_at, ended_at, busy_seconds and wasted_seconds of its cores, core_hours).
    on_fail : callable, optional
        Is told, once, why the run cannot go on.
    on_limit : callable, optional
        Is told, once, that `max_core_hours` are as good as used up, in words that follow "because".
    max_core_hours : float or None
        None, the default, for no limit.
    spent : Spent, optional
        What counts towards the limit beside the jobs of this fleet.
    clock : callable, optional
        Seconds since 1970.

    Attributes
    ----------
    failure : str
        Why the run cannot go on; empty as long as it can.
    """

    def __init__(
        self,
        scheduler: Any,
        queue: Queue,
        plan: FleetPlan,
        script: str,
        *,
        on_event: Listener = nobody,
        on_fail: Callable[[str], None] = nothing_done,
        on_limit: Callable[[str], None] = nothing_done,
        max_core_hours: float | None = None,
        spent: Spent = NOTHING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with no job; `start` submits the first."""
        self.fleet = Fleet(plan)
        self.on_event, self.on_fail, self.on_limit = on_event, on_fail, on_limit
        self.failure = ""
        self._scheduler, self._queue, self._script, self._clock = scheduler, queue, script, clock
        self._workers = Workers(scheduler)
        self._lengths = Lengths(scheduler, lambda seconds: self.fleet.with_time_for(seconds, clock()))
        self._accounts = Accounts(plan.cores, max_core_hours, spent)
        self._begun: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._submission: asyncio.Task[list[str]] | None = None
        self._think, self._look = asyncio.Event(), asyncio.Event()
        self._look_after, self._think_at = LOOK_SECONDS, 0.0
        self._silent_since: float | None = None
        self._told: object = None
        self._is_stopping = False

    def jobs(self) -> list[dict[str, Any]]:
        """Return what is known of each job: id, state, reason, node, starts_at, ends_at, cores."""
        return [self._told_of(each) for each in list(self.fleet.members.values()) if each.phase is not Phase.ENDED]

    @property
    def core_hours(self) -> float:
        """What all jobs of the run have had so far, those of earlier invocations included."""
        return self._accounts.core_seconds(list(self.fleet.members.values()), self._clock()) / 3600

    async def start(self, handed: HandedOver | None = None) -> None:
        """Take jobs that were handed over, submit those that lack, and keep their number from now on.

        Parameters
        ----------
        handed : HandedOver, optional
            By a former scheduler of the run.

        Raises
        ------
        QueueError
            When there are no jobs, and none is taken; but where only the user's other jobs are too many, it is asked
            again.
        """
        now = self._clock()
        if handed is not None and handed.jobs:
            found = await self._queue.look(handed.jobs)
            self._jobs = {id: job for id, job in found.items() if job.state is not JobState.ENDED}
            self.fleet.taken(list(self._jobs.values()), handed.since, now)
            self._count_between([job for job in found.values() if job.state is JobState.ENDED], handed.since, now)
        actions = self.fleet.decide(Seen(now, jobs=self._jobs))
        if actions.cancel:
            with suppress(*UNREACHABLE):  # of jobs that were left and are too many
                await self._queue.cancel(actions.cancel)
        if first := actions.submit:
            try:
                await self._submit(first)
            except QueueError as error:
                if not self.fleet.members and not is_full(_text(error)):
                    raise
                self.fleet.refused(_text(error), first, now)
        self._scheduler.add_plugin(
            Changes(self._changed, self._unit_ended, self._accounts.forget), name="daskflow-fleet"
        )
        self._scheduler.add_plugin(self._lengths)
        self._tasks = [asyncio.create_task(self._guarded(side)) for side in (self._keep_jobs, self._keep_workers)]

    def _count_between(self, jobs: Sequence[Job], since: float, now: float) -> None:
        """Count what jobs have had that ended between two controllers, as long as the queue still shows them."""
        for job in jobs:
            ended = min(job.ends_at or 0.0, now)
            if job.began_at is not None and ended > since:
                member = Member(job.id, since, job=job, began_at=job.began_at, taken_at=since, ended_at=ended)
                self._account(member, Ending("done", "It ended before the next controller came."), ended)

    async def hand_over(self) -> list[str]:
        """Leave jobs to the next scheduler, cancel the others, and return the numbers of those that are left."""
        await self._stop_deciding()
        left = self.fleet.to_hand_over(self._clock())
        await self._cancel_all([id for id in self.fleet.members if id not in left])
        self._forget_all("The run goes on with another controller, which does not need it.", left)
        return left

    async def stop(self) -> None:
        """Cancel every job of the run, those that wait too; what is being submitted is waited for.

        Those, too, that could not be handed over.
        """
        if self._is_stopping and not self.fleet.members:
            return
        await self._stop_deciding()
        await self._cancel_all(list(self.fleet.members))
        self._forget_all("The run has ended.")

    def _forget_all(self, words: str, left: Collection[str] = ()) -> None:
        """Count what jobs have had; those that are left and have not begun have had nothing."""
        now = self._clock()
        for member in list(self.fleet.members.values()):
            if member.id not in left or member.counts_from is not None:
                self._account(member, Ending("done", LEFT if member.id in left else words), now)
            del self.fleet.members[member.id]
        self._tell_jobs()

    async def _stop_deciding(self) -> None:
        """Let the jobs be as they are; what is being submitted is waited for."""
        self._is_stopping = True
        with suppress(ValueError):  # it was never started
            self._scheduler.remove_plugin(name="daskflow-fleet")
            self._scheduler.remove_plugin(name=self._lengths.name)
        submission = self._submission
        if submission is not None:  # its jobs are unknown until it ends
            await asyncio.wait([submission], timeout=SUBMISSION_SECONDS)
            if submission.done() and not submission.cancelled():
                submission.exception()  # whoever waited for it was told
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._workers.retirements, return_exceptions=True)

    # The queue's side.

    async def _keep_jobs(self) -> None:
        while True:
            await self._wait(self._look, self._look_after)
            jobs = await self._looked()
            if jobs is None:
                self._look_after = STEADY_SECONDS
                continue
            self._jobs = jobs
            actions = self._decide(is_stale=False)
            if actions.ask:
                await self._hear_endings(actions.ask)
                followed = self._decide(is_stale=False)
                followed.cancel = [*dict.fromkeys([*actions.cancel, *followed.cancel])]
                actions = followed
            self._look_after = actions.look_again
            if actions.cancel:
                with suppress(*UNREACHABLE):  # those that are still there are cancelled again
                    await _within(COMMAND_SECONDS, self._queue.cancel(actions.cancel))
            if actions.submit and not self._is_stopping:
                try:
                    await self._submit(actions.submit)
                except UNREACHABLE as error:
                    self.fleet.refused(_text(error), actions.submit, self._clock())
                self._look_after = LOOK_SECONDS

    async def _looked(self) -> dict[str, Job] | None:
        """Ask for all jobs by one command; None, said once, when the queue does not answer."""
        ids = list(self.fleet.members)
        if not ids:
            return {}
        try:
            jobs = await _within(COMMAND_SECONDS, self._queue.look(ids))
        except UNREACHABLE as error:
            if self._silent_since is None:
                self._silent_since = self._clock()
                self._say("warning", f"The queue cannot be asked; the jobs are left as they are. {_text(error)}")
            return None
        if self._silent_since is not None:
            self._say("note", f"The queue answers again, after {lasting(self._clock() - self._silent_since)}.")
            self._silent_since = None
        return jobs

    async def _hear_endings(self, ids: Sequence[str]) -> None:
        for at in range(0, min(len(ids), MOST_ASKED), AT_ONCE):
            chosen = ids[at : at + AT_ONCE]
            for id, ending in zip(chosen, await asyncio.gather(*map(self._ending, chosen)), strict=True):
                self._ended(id, ending)
        for id in ids[MOST_ASKED:]:
            self._ended(id, NOBODY_ASKED)

    async def _ending(self, id: str) -> Ending:
        try:
            return await _within(COMMAND_SECONDS, self._queue.ending(id))
        except UNREACHABLE as error:
            return Ending("unknown", f"The queue does not say how it ended. {_text(error)}")

    def _ended(self, id: str, ending: Ending) -> None:
        member = self.fleet.members.get(id)
        if member is not None:
            now = self._clock()
            known = None if ending.why == "memory" else member.known  # of one that was killed the fleet sees less
            self._account(member, known or ending, member.ended_at or now)
            self.fleet.ended(id, ending, now)
            self._jobs.pop(id, None)

    async def _submit(self, count: int) -> None:
        """Hand jobs in; they are taken note of even when nobody waits for them any more."""
        self._submission = asyncio.create_task(self._submitted(count))
        try:
            await asyncio.shield(self._submission)
        finally:
            if self._submission.done():
                self._submission = None

    async def _submitted(self, count: int) -> list[str]:
        ids = await self._queue.submit(self._script, count)
        self.fleet.submitted(ids, self._clock())
        return ids

    async def _cancel_all(self, ids: Sequence[str]) -> None:
        problem = ""
        for _ in range(CANCELS if ids else 0):
            try:
                await _within(CANCEL_SECONDS, self._queue.cancel(ids))
            except UNREACHABLE as error:
                problem = _text(error)
            else:
                return
        if problem:
            shown = ", ".join(ids[:20]) + (", ..." if len(ids) > 20 else "")
            self._say("warning", f"Jobs could not be cancelled, and may still be in the queue: {shown}. {problem}")

    # The workers' side.

    async def _keep_workers(self) -> None:
        while True:
            await asyncio.sleep(THINK_SECONDS)
            while (left := self._think_at - time.monotonic()) > 0:
                await self._wait(self._think, left)
            actions = self._decide(is_stale=True)
            if actions.look_again < self._look_after and self._silent_since is None:
                self._look_after = actions.look_again
                self._look.set()

    def _decide(self, *, is_stale: bool) -> Actions:
        """Decide, and do at once what concerns workers and what is to be said."""
        now, members = self._clock(), self.fleet.members
        workers = self._workers.seen(members, now)
        self._accounts.see(workers, now)
        seen = Seen(
            now,
            self._jobs,
            workers,
            pending_tasks=self._workers.pending_tasks(),
            longest_unit=self._workers.longest_unit(now),
            longest_waiting=self._lengths.longest_waiting(),
            is_stale=is_stale,
        )
        actions = self.fleet.decide(seen)
        self._think_at = time.monotonic() + (LOOK_SECONDS if self._lengths else actions.think_again)
        self._think.set()
        self._workers.pause(actions.pause, now)
        self._workers.resume(actions.resume)
        self._workers.retire(actions.retire)
        self._workers.drop(actions.drop)
        self._workers.hand_back(members)
        self._lengths.place()
        for text in actions.say:
            self._say("note", text)
        for text in actions.warn:
            self._say("warning", text)
        self._tell_jobs()
        self._watch_limit(now, actions.look_again, seen.longest_unit)
        if actions.fail:
            self._fail(actions.fail)
        return actions

    def _watch_limit(self, now: float, next_seconds: float, longest_unit: float) -> None:
        members = list(self.fleet.members.values())
        if self._accounts.is_used_up(members, now, next_seconds, longest_unit):
            used = f"{self._accounts.core_seconds(members, now) / 3600:.3g}"
            most = f"{self._accounts.most:g} core-hours that they may (max_core_hours)"
            self.on_limit(f"the run's jobs have used {used} of the {most}, and the rest is for the refit and the test")

    def _unit_ended(self, key: object, address: str, seconds: float) -> None:
        self._accounts.finished(self._workers.id_at(address), key, seconds)

    def _changed(self) -> None:
        """A worker has come or gone: think soon, and look at the queue when it is polite to."""
        self._think_at = 0.0
        self._think.set()
        if self._look_after > LOOK_SECONDS and self._silent_since is None:
            self._look_after = LOOK_SECONDS
            self._look.set()

    # Both sides.

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait so long; when the event comes, only as long as is polite."""
        event.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
            if event is self._look:
                await asyncio.sleep(LOOK_SECONDS)

    async def _guarded(self, side: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A mistake of ours ends the run with a sentence, for without this the workers would not be held."""
        try:
            await side()
        except Exception as error:
            logger.exception("The fleet has stopped")
            self._fail(f"The workers' jobs are not looked after any more: {type(error).__name__}: {error}")

    def _fail(self, text: str) -> None:
        if not self.failure:
            self.failure = text
            self.on_fail(text)

    def _say(self, name: str, text: str) -> None:
        self._tell(name, text=text)

    def _tell(self, name: str, **fields: Any) -> None:
        try:
            tell(self.on_event, name, **fields)
        except Exception:  # a watcher is a guest
            logger.exception("A listener of the fleet failed")

    def _tell_jobs(self) -> None:
        for member in self.fleet.members.values():
            if member.began_at is not None and member.id not in self._begun:
                self._begun.add(member.id)
                self._tell("job_began", began_at=member.counts_from, **self._about(member))
        jobs = self.jobs()
        about = [(each["id"], each["state"], each["reason"], each["node"], each["ends_at"]) for each in jobs]
        if about != self._told:
            self._told = about
            shown = sorted(jobs, key=lambda each: each["state"] == Phase.RUNNING)[:MOST_JOBS]
            self._tell("jobs", jobs=shown, counts=dict(Counter(each["state"] for each in jobs)))

    def _told_of(self, member: Member) -> dict[str, Any]:
        job = member.job
        return {
            "id": member.id,
            "state": str(member.phase),
            "reason": job.reason if job is not None and member.phase is Phase.PENDING else "",
            "node": job.node if job is not None else "",
            "starts_at": job.starts_at if job is not None and member.phase is Phase.PENDING else None,
            "ends_at": job.ends_at if job is not None else None,
            "cores": self.fleet.plan.cores,
        }

    def _account(self, member: Member, ending: Ending, now: float) -> None:
        fields = {**self._about(member), **self._accounts.close(member, now)}
        self._begun.discard(member.id)
        self._tell("job", why=ending.why, words=ending.words, **fields)

    def _about(self, member: Member) -> dict[str, Any]:
        plan, node = self.fleet.plan, member.job.node if member.job is not None else ""
        seconds = plan.seconds if member.taken_at is None else 0.0  # it was asked for once
        return {"id": member.id, "role": "worker", "cores": plan.cores, "seconds": seconds, "node": node}


async def _within(seconds: float, answer: Coroutine[Any, Any, T]) -> T:
    """Wait so long; `asyncio.wait_for` of Python 3.11 now and then ignores that it is cancelled."""
    async with asyncio.timeout(seconds):
        return await answer


def _text(error: BaseException) -> str:
    return str(error) or f"({type(error).__name__})"
