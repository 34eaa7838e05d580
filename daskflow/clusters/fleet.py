"""Decides how many jobs of workers there shall be, and what is done with each; it has no clock and runs no commands."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence

from daskflow.clusters import fleet_words as words
from daskflow.clusters.batch_jobs import Ending, Job, JobState
from daskflow.clusters.fleet_endings import Endings
from daskflow.clusters.fleet_values import Actions, FleetPlan, Member, Phase, Seen, WorkerSeen

LOOK_SECONDS, STEADY_SECONDS = 1.0, 10.0
"""How often the queue is asked while jobs come and go, and when nothing changes."""

NEW_SECONDS = 5.0
"""A job that was just handed in may not be shown yet."""

DEAF_SECONDS = 5.0
"""A worker whose job has ended is waited for so long: its node died, and its connection does not know."""

ABSENT_SECONDS = 60.0
"""A job whose worker has gone is cancelled then: a worker that starts again has done so."""

LEAVE_SECONDS = 30.0
"""A worker that was told to leave ends its job within this time, or the job is cancelled."""

AGAIN_SECONDS = 5.0
"""A worker that could not hand over what it holds is asked again after this time."""

IDLE_SECONDS = 60.0
"""So long the work must have been less before the number of workers goes down."""

MARGIN_SECONDS, MARGIN_SHARE = 30.0, 1 / 6
"""A worker begins nothing this long before its end; of a short walltime this share."""

UNIT_MARGIN, LARGEST_MARGIN = 1.2, 0.6
"""It begins nothing this many times the longest unit before its end, at most this share of its time."""

STAGGER = 0.25
"""Workers that come together leave within this share of their walltime, not all at once."""

START_UP_SECONDS = 20.0
"""From the start of a job to its worker, before one has been seen."""

WAITED_SECONDS, TELL_SECONDS = 5.0, 60.0
"""Of jobs that wait for less nothing is said; and no more often than this."""


class Fleet:
    """Holds a number of workers, each in a job of its own whose ID is its name.

    `decide` is told what is seen and says what to do; whoever does it reports with `submitted`, `refused` and `ended`.

    Parameters
    ----------
    plan : FleetPlan
        How many, and what each is given.

    Attributes
    ----------
    members : dict
        Every job that has not been seen to its end, by ID.

    Examples
    --------
    >>> fleet = Fleet(FleetPlan(workers=2))
    >>> fleet.decide(Seen(now=0.0, jobs={})).submit
    2
    >>> fleet.submitted(["7", "8"], now=0.0)
    >>> fleet.decide(Seen(now=1.0, jobs={id: Job(id, JobState.PENDING) for id in ("7", "8")})).submit
    0
    """

    def __init__(self, plan: FleetPlan) -> None:
        """Begin with no job."""
        self.plan = plan
        self.members: dict[str, Member] = {}
        self._wanted, self._has_taken = plan.first, False
        self._less_since: float | None = None
        self._most_needed = 0
        self._waits: deque[float] = deque(maxlen=50)
        self._start_ups: deque[float] = deque(maxlen=50)
        self._changed_at = 0.0
        highest = plan.highest if plan.is_adaptive else plan.workers
        self._endings = Endings(plan.seconds, plan.memory_bytes, plan.retries * max(1, highest))
        self._refusals, self._refused_until, self._most_at_once = 0, 0.0, 10**6
        self._told: tuple[object, float] = ((), -math.inf)
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._failure = ""
        self._is_lacking = False
        self._pauses: dict[str, float] = {}

    @property
    def lead_seconds(self) -> float:
        """So long before a worker retires its successor is submitted: what waiting and starting took so far."""
        waited = statistics.median(self._waits) if self._waits else 0.0
        started = statistics.median(self._start_ups) if self._start_ups else START_UP_SECONDS
        return min(waited + started + min(MARGIN_SECONDS, 0.05 * self.plan.seconds), 0.5 * self.plan.seconds)

    def with_time_for(self, seconds: float, now: float) -> set[str]:
        """Return the jobs that live long enough to bring a unit of so many seconds to its end.

        One that takes nearly all of a walltime may begin on a worker that has just come.
        """
        started = statistics.median(self._start_ups) if self._start_ups else START_UP_SECONDS
        new = max(0.3 * self.plan.seconds, self.plan.seconds - 2 * started)
        need = min(UNIT_MARGIN * seconds, new)
        ends = {each.id: self._end_of(each) for each in self.members.values() if not each.leaves}
        return {id for id, end in ends.items() if end is None or end - now >= need}

    def submitted(self, ids: Sequence[str], now: float) -> None:
        """Take jobs in that the queue has accepted; those that come together shall not all leave together."""
        for place, id in enumerate(ids):
            early = STAGGER * self.plan.seconds * place / len(ids)
            self.members[id] = Member(id, submitted_at=now, early_seconds=early)
        self._refusals, self._most_at_once = 0, min(10**6, 2 * self._most_at_once)
        self._changed_at = now

    def taken(self, jobs: Sequence[Job], since: float, now: float) -> None:
        """Take in jobs of a former scheduler, which have waited or worked for the same run until a moment.

        Where their number follows the work it is what it was, until there has been less work for a while.
        """
        if jobs and self.plan.is_adaptive:
            self._wanted, self._has_taken = min(len(jobs), self.plan.highest), True
        for job in jobs:
            is_running = job.state is JobState.RUNNING
            self.members[job.id] = Member(
                job.id,
                submitted_at=now,
                job=job,
                phase=Phase.STARTING if is_running else Phase.PENDING,
                began_at=(job.began_at or since) if is_running else None,
                taken_at=since if is_running and (job.began_at or since) <= since else None,
            )
        self._changed_at = now

    def to_hand_over(self, now: float) -> list[str]:
        """Return the jobs that are worth something to the next scheduler: those that wait, and those that have time."""
        started = statistics.median(self._start_ups) if self._start_ups else START_UP_SECONDS
        least = now + 3 * started + min(MARGIN_SECONDS, MARGIN_SHARE * self.plan.seconds)
        return [
            each.id
            for each in self.members.values()
            if not each.leaves
            and each.phase is not Phase.ENDED
            and (each.phase is Phase.PENDING or (self._end_of(each) or math.inf) > least)
        ]

    def refused(self, text: str, count: int, now: float) -> None:
        """Note that the queue accepted no more: fewer are asked for later; it is an end when there is no job at all."""
        self._refusals += 1
        self._most_at_once = max(1, count // 2)
        self._refused_until = now + min(60.0, 5.0 * 2 ** (self._refusals - 1))
        if self._refusals >= 3 and not self.members:
            self._fail(f"The queue refuses jobs. {text}")
        self._warn_once("refused", f"The queue accepted no more jobs; it is asked again. {text}")

    def ended(self, id: str, ending: Ending, now: float) -> None:
        """Forget a job that has ended, and draw the consequences."""
        member = self.members.pop(id, None)
        if member is not None:
            self._changed_at = now
            starting = sum(1 for each in self.members.values() if each.phase is Phase.STARTING)
            self._endings.take(member, ending, now, wanted=self._wanted, starting=starting)

    def decide(self, seen: Seen) -> Actions:
        """Say what to do, by what is seen."""
        actions = Actions()
        for member in list(self.members.values()):
            self._follow(member, seen, actions)
        self._pauses = {each.id: self._pause_at(each, seen) for each in self.members.values()}
        if self._endings.failure:
            self._fail(self._endings.failure)
        wanted = self._want(seen)
        if not self._failure:
            self._hold(wanted, seen, actions)
        self._release(seen, actions)
        self._tell(seen, actions)
        self._when(seen, actions)
        if self._failure:
            actions.fail, actions.submit = self._failure, 0
        return actions

    # What became of a job since the last look.

    def _follow(self, member: Member, seen: Seen, actions: Actions) -> None:
        now, worker = seen.now, seen.workers.get(member.id)
        if member.phase is Phase.ENDED:
            if not seen.is_stale:
                actions.ask.append(member.id)
            return
        job = seen.jobs.get(member.id)
        if job is not None:
            member.job = job
        if worker is not None:
            self._met(member, worker, now)
        if seen.is_stale:
            return
        if job is None or job.state is JobState.ENDED:
            self._missed(member, job, worker, now, actions)
        elif job.state is JobState.PENDING:
            self._pending(member, job, worker, now, actions)
        else:
            self._running(member, job, worker, now, actions)

    def _met(self, member: Member, worker: WorkerSeen, now: float) -> None:
        if member.worker_at is None:
            member.worker_at = now
            if member.began_at is not None:
                self._start_ups.append(now - max(member.began_at, member.submitted_at))
            self._endings.a_worker_came()
            self._changed_at = now
        if member.phase in (Phase.PENDING, Phase.STARTING):
            member.phase = Phase.RUNNING
        busy = worker.executing or worker.waiting
        member.idle_since = None if busy else (now if member.idle_since is None else member.idle_since)
        member.longest = worker.longest

    def _missed(self, member: Member, job: Job | None, worker: WorkerSeen | None, now: float, actions: Actions) -> None:
        """A job that the queue does not know, or calls ended."""
        if worker is not None:
            if job is None:  # it works: the queue errs
                member.gone_at = None
                return
            member.gone_at = member.gone_at or now
            if now - member.gone_at < DEAF_SECONDS:
                return
            actions.drop.append(member.id)
        elif job is None and member.job is None and now - member.submitted_at < NEW_SECONDS:
            return
        if job is not None:  # it may have begun and ended between two looks
            member.began_at = member.began_at if member.began_at is not None else job.began_at
            member.ended_at = job.ends_at if job.ends_at is not None and job.ends_at < now else now
        member.phase, member.ended_at, self._changed_at = Phase.ENDED, member.ended_at or now, now
        actions.ask.append(member.id)

    def _pending(self, member: Member, job: Job, worker: WorkerSeen | None, now: float, actions: Actions) -> None:
        if member.began_at is not None or worker is not None:
            if member.leaves != "lost":
                self._give_up(member, Ending("node", "The queue put it back in line, as when its node fails."), now)
                actions.cancel.append(member.id)
                if worker is not None:
                    actions.drop.append(member.id)
            return
        if not words.is_hopeless(job):
            member.hopeless_since = None
        elif member.hopeless_since is None:
            member.hopeless_since = now
        elif now - member.hopeless_since >= LOOK_SECONDS:
            if not any(each.phase is Phase.RUNNING for each in self.members.values()):
                self._fail(words.never_starts(job))
            self._warn_once(f"hopeless {job.reason}", words.never_starts(job))

    def _running(self, member: Member, job: Job, worker: WorkerSeen | None, now: float, actions: Actions) -> None:
        if member.began_at is None:
            member.began_at = min(now, job.began_at or now)
            self._waits.append(max(0.0, member.began_at - member.submitted_at))
            self._changed_at = now
        if member.phase is Phase.PENDING:
            member.phase = Phase.STARTING
        if worker is not None:
            member.gone_at = None
        elif member.left_at is not None:
            if now - member.left_at > LEAVE_SECONDS:
                member.left_at = now
                actions.cancel.append(member.id)
        elif member.phase is Phase.STARTING:
            most = min(self.plan.start_seconds, 0.5 * self.plan.seconds)
            if now - max(member.began_at, member.submitted_at) > most:
                why = f"Job {member.id} has run for {words.lasting(most)}, and its worker has not come."
                self._give_up(member, Ending("failed", why), now)
                actions.cancel.append(member.id)
        else:
            member.gone_at = member.gone_at or now
            if now - member.gone_at > ABSENT_SECONDS:
                why = f"Its worker left {words.lasting(ABSENT_SECONDS)} ago, and the job ran on."
                self._give_up(member, Ending("failed", why), now)
                actions.cancel.append(member.id)

    def _give_up(self, member: Member, ending: Ending, now: float) -> None:
        member.leaves, member.left_at, member.known = "lost", now, ending
        member.phase, self._changed_at = Phase.RETIRING, now

    # How many there shall be.

    def _want(self, seen: Seen) -> int:
        plan = self.plan
        if plan.is_adaptive:
            busy = sum(1 for each in seen.workers.values() if each.executing or each.waiting)
            units = sum(each.executing + each.waiting for each in seen.workers.values()) + seen.pending_tasks
            need = min(max(busy, math.ceil(units / plan.cores), plan.lowest), plan.highest)
            has_begun = bool(self._start_ups) or self._has_taken
            if need >= self._wanted or not has_begun:  # before the first worker has come there is no work
                self._wanted, self._less_since = need, None
            elif self._less_since is None:
                self._less_since, self._most_needed = seen.now, need
            else:
                self._most_needed = max(self._most_needed, need)
                if seen.now - self._less_since >= IDLE_SECONDS:
                    self._wanted, self._less_since = self._most_needed, None
        return max(0, self._wanted - self._endings.given_up)

    def _hold(self, wanted: int, seen: Seen, actions: Actions) -> None:
        now, lead = seen.now, self.lead_seconds
        held = [each for each in self.members.values() if not each.leaves and each.phase is not Phase.ENDED]
        lasting = sum(1 for each in held if now < self._pauses[each.id] - lead)
        # The ending of a job that has just been missed is known in a moment: until then its place is kept.
        missed = sum(1 for each in self.members.values() if each.phase is Phase.ENDED and not each.leaves)
        lacking = wanted - lasting - missed
        if lacking < 0 and self.plan.is_adaptive and not seen.is_stale:
            self._lessen(-lacking, held, seen, actions)
        self._is_lacking = lacking > 0 and not actions.submit
        if lacking > 0 and not seen.is_stale:
            lacking -= self._resume(lacking, seen, actions)
            room = 2 * wanted - len(held)
            if now >= self._refused_until:
                actions.submit = max(0, min(lacking, room, self._most_at_once))
        if wanted <= 0 and not self.members and self._endings.given_up:
            self._fail(self._endings.too_many())

    def _lessen(self, number: int, held: Sequence[Member], seen: Seen, actions: Actions) -> None:
        """Cancel jobs that still wait, the last first; then let workers go that have long had nothing to do."""
        pending = [each for each in held if each.phase is Phase.PENDING and each.id not in seen.workers]
        for member in sorted(pending, key=lambda each: each.submitted_at, reverse=True)[:number]:
            member.leaves, member.left_at, member.phase = "surplus", seen.now, Phase.RETIRING
            actions.cancel.append(member.id)
            number -= 1
        idle = [each for each in held if each.phase is Phase.RUNNING and each.idle_since is not None]
        for member in sorted(idle, key=lambda each: each.idle_since or 0.0)[: max(0, number)]:
            if seen.now - (member.idle_since or seen.now) >= IDLE_SECONDS and member.id in seen.workers:
                member.leaves, member.phase = "surplus", Phase.RETIRING

    def _resume(self, number: int, seen: Seen, actions: Actions) -> int:
        """Let workers go on that were to leave because there was no work."""
        back = [each for each in self.members.values() if each.leaves == "surplus" and each.left_at is None]
        for member in (chosen := back[:number]):
            member.leaves, member.phase, member.idle_since = "", Phase.RUNNING, None
            actions.resume.append(member.id)
        return len(chosen)

    # Workers that leave.

    def _pause_at(self, member: Member, seen: Seen) -> float:
        """Return when a worker shall begin nothing any more."""
        end = self._end_of(member)
        if end is None:
            return math.inf
        longest = max(seen.longest_unit, seen.longest_waiting)
        margin = max(min(MARGIN_SECONDS, MARGIN_SHARE * self.plan.seconds), UNIT_MARGIN * longest)
        came = member.worker_at or member.began_at or member.submitted_at
        most = LARGEST_MARGIN * max(0.0, end - came)
        return end - min(margin + member.early_seconds, max(margin, 0.5 * most), most)

    def _end_of(self, member: Member) -> float | None:
        if member.job is not None and member.job.state is JobState.RUNNING and member.job.ends_at is not None:
            return member.job.ends_at
        return None if member.began_at is None else member.began_at + self.plan.seconds

    def _release(self, seen: Seen, actions: Actions) -> None:
        now = seen.now
        staying = any(self._stays(each, seen.workers) for each in self.members.values())
        for member in self.members.values():
            worker = seen.workers.get(member.id)
            if worker is None or member.phase is Phase.ENDED or member.leaves == "lost":
                continue
            pause_at = self._pauses[member.id]
            if not member.leaves and now >= pause_at:
                member.leaves, member.phase, self._changed_at = "end", Phase.RETIRING, now
            elif member.leaves == "end" and member.left_at is None and now < pause_at - AGAIN_SECONDS:
                member.leaves, member.phase = "", Phase.RUNNING  # its walltime was extended
                actions.resume.append(member.id)
            if not member.leaves:
                continue
            if not worker.is_paused:
                actions.pause.append(member.id)
            elif worker.executing == 0 and (member.left_at is None or now - member.left_at > AGAIN_SECONDS):
                end = self._end_of(member) or math.inf
                if staying or not worker.holds or end - now < 2 * AGAIN_SECONDS:
                    member.left_at = now
                    actions.retire.append(member.id)

    def _stays(self, member: Member, workers: Mapping[str, WorkerSeen]) -> bool:
        worker = workers.get(member.id)
        return worker is not None and not worker.is_paused and not member.leaves

    # What is said, and when to look again.

    def _fail(self, text: str) -> None:
        self._failure = self._failure or text

    def _warn_once(self, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._warnings.append(text)

    def _tell(self, seen: Seen, actions: Actions) -> None:
        self._warnings += self._endings.told()
        useful = self.plan.seconds * LARGEST_MARGIN
        if UNIT_MARGIN * seen.longest_unit > useful:
            self._warn_once("long", words.long_units(seen.longest_unit, self.plan.seconds))
        actions.warn, self._warnings = self._warnings, []
        waiting = [each for each in self.members.values() if each.phase is Phase.PENDING and each.job is not None]
        jobs = [each.job for each in waiting if each.job and seen.now - each.submitted_at >= WAITED_SECONDS]
        about = tuple(sorted({job.reason for job in jobs}))
        said, at = self._told
        if not jobs:
            self._told = ((), at)
        elif about != said and (said == () or seen.now - at >= TELL_SECONDS):
            actions.say.append(words.why_waiting(jobs, seen.now))
            self._told = (about, seen.now)

    def _when(self, seen: Seen, actions: Actions) -> None:
        now, think, look = seen.now, STEADY_SECONDS, STEADY_SECONDS
        quiet = min(STEADY_SECONDS, max(LOOK_SECONDS, (now - self._changed_at) / 10))
        lead = self.lead_seconds
        for member in self.members.values():
            if member.phase is Phase.PENDING:
                look = min(look, LOOK_SECONDS if member.hopeless_since is not None else quiet)
            elif member.phase is Phase.STARTING:
                began = member.began_at if member.began_at is not None else now
                look = min(look, LOOK_SECONDS if now - began < ABSENT_SECONDS else quiet)
            elif member.left_at is not None or member.gone_at is not None or member.phase is Phase.ENDED:
                look = LOOK_SECONDS
            elif member.leaves:
                think = LOOK_SECONDS
            else:
                until = self._pauses[member.id] - now
                until = until - lead if until > lead else until
                if 0 < until < think:
                    think = until
        if self.plan.is_adaptive:
            think = min(think, 2 * LOOK_SECONDS)
        if self._is_lacking:
            look = min(look, max(LOOK_SECONDS, self._refused_until - now))
        actions.look_again, actions.think_again = look, max(LOOK_SECONDS, min(think, look))
