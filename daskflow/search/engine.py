"""The engine: runs what a policy asks for, fold by fold, in batches, and records each finished fit at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from daskflow.core.control import Control
from daskflow.core.errors import SearchError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.core.results import SearchResult, TrialState
from daskflow.search.batches import JobQueue
from daskflow.search.candidates import other_candidates, written
from daskflow.search.jobs import Batching, Job, Keeping, Work, unit_key
from daskflow.search.lengths import Lengths
from daskflow.search.outcomes import Outcomes
from daskflow.search.policies import Policy, Request
from daskflow.search.standings import Standings
from daskflow.search.steering import CANCELLED, Steering

GLANCE_SECONDS = 1.0
"""How long the engine waits for an answer at most before it looks whether the cluster is well."""

HEED_SECONDS = 0.5
"""How long at most before it looks whether something was asked of it."""


class Recorder(Protocol):
    """Where units are recorded; a journal, or memory."""

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Add records."""


@dataclass
class Memory:
    """A recorder for searches that keep no journal."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Keep them."""
        self.records.extend(dict(record) for record in records)


@dataclass
class _Rung:
    """A request in progress."""

    request: Request
    start: int
    folds: dict[int, dict[str, Any]] = field(default_factory=dict)

    def needed(self, n_folds: int) -> int:
        """How many folds decide: all, or those up to the first that failed."""
        return min((fold + 1 for fold, record in self.folds.items() if "error" in record), default=n_folds)


def run(
    policy: Policy,
    work: Work,
    executor: Executor,
    *,
    recorder: Recorder | None = None,
    earlier: Iterable[Mapping[str, Any]] = (),
    listener: Listener = nobody,
    control: Control | None = None,
    lengths: Lengths | None = None,
) -> SearchResult:
    """Search until the policy has no more to ask, or somebody stops it.

    Parameters
    ----------
    policy : Policy
        Says which trial gets how much.
    work : Work
        Makes the units.
    executor : Executor
        Runs them.
    recorder : Recorder, optional
        Gets ``{"record": "start" | "unit", "trial", "fold", "resource", ...}`` for each unit.
    earlier : iterable of mapping
        Records of earlier invocations: units that finished then are not run again.
    listener : callable, optional
        Hears of trials and of the best, and of commands: ``control`` (the fields of the record) for each that took
        effect, ``note`` for one that cannot be followed.
    control : Control, optional
        Commands are taken from it; each is recorded as ``{"record": "control", "command", "by", ...}`` before it acts,
        and acts again when `earlier` has its record, but for a pause: a search that is started goes on.
    lengths : Lengths, optional
        Says what units are expected to take, where workers end at a known time.

    Returns
    -------
    SearchResult
        Every trial, ranked.

    Raises
    ------
    SearchError
        When there is no candidate, or every one failed.
    StorageError, ClusterError
        What ends a run instead of a candidate: a full disk, a lost scheduler, a fit longer than any worker lives.
    """
    search = _Search(policy, work, executor, recorder or Memory(), listener, control, lengths)
    search.remember(earlier)
    try:
        search.loop()
    except BaseException:
        executor.cancel()
        raise
    finally:
        executor.vacate()
    return search.standings.result(repeated_units=search.repeated, ended=search.ended())


@dataclass(frozen=True)
class _Flight:
    """The jobs of a unit on its way, in the groups it does together, and the keys of all units that were handed in."""

    groups: Sequence[Sequence[Job]]
    is_batch: bool
    keys: Sequence[str]


HOLDING = ("pause", "resume", "stop")
"""Commands of which the last says whether a search is paused."""

_Place = tuple[str, int, int]
"""Trial, fold and resource: what a unit's record is found by."""


class _Search:
    """The state of one search: trials, rungs in progress, jobs waiting."""

    def __init__(
        self,
        policy: Policy,
        work: Work,
        executor: Executor,
        recorder: Recorder,
        listener: Listener,
        control: Control | None,
        lengths: Lengths | None,
    ) -> None:
        self.policy, self.work, self.executor = policy, work, executor
        self.lengths = lengths
        self.recorder, self.listener = recorder, listener
        self.steering = Steering(control, policy)
        self.glance_seconds = GLANCE_SECONDS if control is None else HEED_SECONDS
        # Asked once: looking for a protocol's methods takes as long as recording a fit.
        self.batching = work if isinstance(work, Batching) else None
        self.keeping = work if isinstance(work, Keeping) else None
        self.standings = Standings(work, listener)
        self.standings.register(policy.candidates)
        self.recorded: dict[str, Any] = {}
        self.rungs: dict[str, _Rung] = {}
        self.waiting = JobQueue(self.batching)
        self.outcomes = Outcomes(work, self.waiting)
        self.flying: dict[str, _Flight] = {}
        self.in_flight: Counter[str] = Counter()
        self.known: dict[_Place, dict[str, Any]] = {}
        self.begun: set[_Place] = set()
        self.said: set[str] = set()
        self.wanted = 0
        self.units = 0
        self.repeated = 0
        self.done = 0
        self.is_ended_by_hand = False

    def grow(self) -> None:
        """Take over and record the candidates that the policy has proposed since the last time.

        Those that an earlier invocation recorded must be proposed again alike.
        """
        new = self.policy.candidates[len(self.standings.candidates) :]
        if not new:
            return
        self.standings.register(new)
        lines = [written(candidate) for candidate in new]
        for line in lines:
            known = self.recorded.get(line["trial"], line)
            if known != line:
                raise other_candidates(f"candidate {line['trial']} was {known['params']}, and is {line['params']}")
        unknown = [line for line in lines if line["trial"] not in self.recorded]
        if unknown:
            self.recorder.extend([{"record": "candidates", "candidates": unknown}], durable=False)

    def say_wants(self) -> None:
        """Tell a policy that decides late how many requests are worth having at a time."""
        number = 2 * self.executor.slots * getattr(self.work, "together_at_best", 1)
        if number != self.wanted and hasattr(self.policy, "wants"):
            self.policy.wants(number)
        self.wanted = number

    def remember(self, earlier: Iterable[Mapping[str, Any]]) -> None:
        """Take over what earlier invocations finished, in the order they did, so that a policy is told alike."""
        earlier = list(earlier)
        if hasattr(self.policy, "remember"):
            self.policy.remember(earlier)
        self.say_wants()
        steps: list[_Place | dict[str, Any]] = []
        for record in earlier:
            if record.get("record") == "candidates":
                self.recorded.update({item["trial"]: item for item in record["candidates"]})
            if record.get("record") == "control":
                steps.append(dict(record))
            if record.get("record") not in ("start", "unit"):
                continue
            place = (str(record["trial"]), int(record["fold"]), int(record["resource"]))
            if record["record"] == "start":
                self.begun.add(place)
            else:
                steps.append(place)
                self.known[place] = dict(record)
                self.keep(record)
        for step in steps:
            if isinstance(step, dict):
                if step["command"] != "pause":
                    self.steering.obey(step)
                continue
            self.take(self.policy.ask(), at_once=False)
            trial, fold, resource = step
            rung = self.rungs.get(trial)
            if rung is not None and rung.request.resource == resource:
                self.adopt(rung, fold)
                self.settle(trial)
        self.go_on_after_pause(earlier)
        if not self.is_stopped:
            for rung in list(self.rungs.values()):
                self.start(rung)

    def go_on_after_pause(self, earlier: Sequence[Mapping[str, Any]]) -> None:
        """Record that a search which was paused when its last invocation ended goes on."""
        words = [r["command"] for r in earlier if r.get("record") == "control" and r["command"] in HOLDING]
        if words and words[-1] == "pause":
            self.recorder.extend([{"record": "control", "command": "resume", "by": "a new start"}])
            tell(self.listener, "control", command="resume", by="a new start")

    def keep(self, record: Mapping[str, Any]) -> None:
        """Tell the work that a unit is on record."""
        if "error" not in record and self.keeping is not None:
            place = str(record["trial"]), int(record["fold"]), int(record["resource"])
            self.keeping.recorded(*place, record["details"])

    def loop(self) -> None:
        """Ask, submit, wait, tell; until nothing is left, or the search is stopped."""
        while True:
            self.heed()
            if self.is_stopped:
                self.end_by_hand()
                break
            if not self.steering.is_paused:
                self.say_wants()
                self.take(self.policy.ask())
                self.drop()
                self.submit()
            if self.executor.pending:
                outcome = self.executor.next(self.glance_seconds)
                if outcome is not None:
                    self.finish(outcome)
                self.look()
            elif self.steering.is_paused:
                self.steering.wait(self.glance_seconds)
                self.look()
            elif not self.waiting and not self.rungs:
                requests = self.policy.ask()
                if not requests:
                    break
                self.take(requests)
        if not self.standings.candidates:
            raise SearchError("The search space is empty: there is no candidate to try.")

    def heed(self) -> None:
        """Record and do what was asked; say why something cannot be done."""
        for command in self.steering.heard():
            fields = command.dump()
            if objection := self.steering.objection(command, self.standings.trials, self.rungs):
                self.recorder.extend([{"record": "refused", **fields, "text": objection}], durable=False)
                tell(self.listener, "note", text=objection)
                continue
            self.recorder.extend([{"record": "control", **fields}])
            self.steering.obey(fields)
            tell(self.listener, "control", **fields)
            if command.word == "cancel" and command.trial in self.rungs:
                self.cancel(self.rungs[command.trial])

    def cancel(self, rung: _Rung) -> None:
        """Give up what runs of a rung, and fail it by its first fold that has no answer."""
        trial, resource = rung.request.trial, rung.request.resource
        self.give_up({trial})
        if rung.start:
            self.executor.release([unit_key(trial, fold, rung.start) for fold in range(self.work.n_folds)])
        missing = [fold for fold in range(rung.needed(self.work.n_folds)) if fold not in rung.folds]
        if missing:
            cost = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_bytes": 0, "worker": ""}
            place = {"trial": trial, "fold": missing[0], "resource": resource}
            record = {"record": "unit", **place, **cost, "error": CANCELLED, "cancelled": True}
            self.recorder.extend([record])
            rung.folds[missing[0]] = record
            self.done += 1
            tell(self.listener, "progress", stage="search", done=self.done)
        self.close(rung)

    @property
    def is_stopped(self) -> bool:
        """Whether the search was stopped, and there is a score to end with."""
        return self.steering.is_stopped and any(not math.isnan(trial.score) for trial in self.standings.trials.values())

    def end_by_hand(self) -> None:
        """Give up what runs; what is known of it counts, as it would for a search that is continued now."""
        self.take(self.policy.ask(), at_once=False)
        self.give_up(self.standings.trials)
        for rung in list(self.rungs.values()):
            for fold in range(self.work.n_folds):
                if fold not in rung.folds:
                    self.adopt(rung, fold)
            if any("error" in record for record in rung.folds.values()):  # the journal tells of a trial that failed
                self.close(rung)
            else:
                self.settle(rung.request.trial)
        self.rungs.clear()
        self.is_ended_by_hand = True

    def ended(self) -> str:
        """Why the search ended before it had nothing more to try; empty when it did not."""
        if self.is_ended_by_hand:
            return self.steering.why
        return self.policy.ended() if hasattr(self.policy, "ended") else ""

    def look(self) -> None:
        """Say once what is wrong with the cluster: one worker may be frozen while others answer."""
        for text in self.executor.troubles():
            about = text.partition(" for ")[0]
            if about not in self.said:
                self.said.add(about)
                tell(self.listener, "warning", text=text)

    def take(self, requests: Iterable[Request], *, at_once: bool = True) -> None:
        """Make a rung of each request, and start it `at_once`; a failed trial stays failed."""
        self.grow()
        for request in requests:
            if self.standings.trials[request.trial].state is TrialState.FAILED:
                self.policy.tell(request, math.nan)
                continue
            rung = self.rungs[request.trial] = _Rung(request, self.standings.trials[request.trial].resource)
            if at_once:
                self.start(rung)

    def start(self, rung: _Rung) -> None:
        """Queue the folds that are not known yet; of a trial that was cancelled they fail."""
        trial, resource = rung.request.trial, rung.request.resource
        unknown = [f for f in range(self.work.n_folds) if f not in rung.folds and not self.adopt(rung, f)]
        if trial in self.steering.cancelled:
            self.cancel(rung)
            return
        for fold in unknown:
            self.waiting.add(Job(self.standings.candidates[trial], fold, rung.start, resource))
        self.settle(trial)

    def adopt(self, rung: _Rung, fold: int) -> bool:
        """Give a rung what an earlier invocation found."""
        record = self.known.get((rung.request.trial, fold, rung.request.resource))
        if record is None:
            return False
        rung.folds[fold] = record
        self.done += 1
        return True

    def drop(self) -> None:
        """Give up what the policy wants no more of."""
        dropped: Collection[str] = self.policy.dropped() if hasattr(self.policy, "dropped") else ()
        gone = {trial for trial in dropped if trial in self.rungs}
        if gone:
            for trial in gone:
                del self.rungs[trial]
            self.give_up(gone)

    def give_up(self, gone: Collection[str]) -> None:
        """Forget jobs of some trials that wait, and drop units of nothing else."""
        self.waiting.drop(gone)
        dropped = [
            key
            for key, flight in self.flying.items()
            if all(job.candidate.trial in gone for group in flight.groups for job in group)
        ]
        if dropped:
            self.executor.drop([each for key in dropped for each in self.flying[key].keys])
            self.executor.release([each for key in dropped for each in self.flying[key].keys[:-1]])
        for key in dropped:
            self.landed(self.flying.pop(key))

    def submit(self) -> None:
        """Keep the workers busy, with little in stock so that a decision takes effect soon."""
        slots = self.executor.slots
        while self.waiting and self.executor.pending < 2 * slots:
            groups = self.waiting.next_groups(slots, self.is_wanted)
            if not groups:
                continue
            seconds = self.lengths.of([job for group in groups for job in group]) if self.lengths is not None else 0.0
            begun = []
            for job in (job for group in groups for job in group):
                place = job.place
                self.repeated += place in self.begun
                begun.append({"record": "start", "trial": place[0], "fold": place[1], "resource": place[2]})
                self.in_flight[job.candidate.trial] += 1
                if self.standings.trials[job.candidate.trial].state is TrialState.WAITING:
                    self.standings.change(job.candidate.trial, state=TrialState.RUNNING)
            self.recorder.extend(begun, durable=False)
            if self.batching is not None:
                self.units += 1
                made = self.batching.batch(f"fits-{self.units}", groups, self.waiting.seconds_per_step)
            else:
                made = self.work.unit(*groups[0][0])
            units = [made] if isinstance(made, Unit) else list(made)
            self.flying[units[-1].key] = _Flight(groups, self.batching is not None, [unit.key for unit in units])
            for unit in units[:-1]:
                self.executor.submit(unit)
            self.executor.submit(replace(units[-1], seconds=seconds) if seconds else units[-1])

    def is_wanted(self, job: Job) -> bool:
        """Whether a job that waits still decides something."""
        rung = self.rungs.get(job.candidate.trial)
        return rung is not None and job.fold < rung.needed(self.work.n_folds)

    def landed(self, flight: _Flight) -> None:
        """Count a unit's jobs as no longer on their way."""
        self.in_flight.subtract(job.candidate.trial for group in flight.groups for job in group)

    def finish(self, outcome: Outcome) -> None:
        """Record a unit's outcome; those of units that only prepared another, or of cancelled trials, are not."""
        flight = self.flying.pop(outcome.key, None)
        if flight is None:
            return
        self.landed(flight)
        parts = outcome.parts or (outcome,) * len(flight.groups)
        records = [
            found
            for group, part in zip(flight.groups, parts, strict=True)
            for found in self.outcomes.records(group, part, flight.is_batch)
            if found[0].candidate.trial not in self.steering.cancelled
        ]
        if records:
            self.recorder.extend([record for _, record in records])
        for job, record in records:
            self.accept(job, record)

    def accept(self, job: Job, record: dict[str, Any]) -> None:
        """Take a job's record into its rung."""
        trial = job.candidate.trial
        self.keep(record)
        self.done += 1
        tell(
            self.listener,
            "unit",
            trial=trial,
            fold=job.fold,
            start=job.start,
            resource=job.stop,
            seconds=record["seconds"],
            cpu_seconds=record["cpu_seconds"],
            done=self.done,
        )
        tell(self.listener, "progress", stage="search", done=self.done)
        if job.start:
            self.executor.release([unit_key(trial, job.fold, job.start)])
        rung = self.rungs.get(trial)
        if rung is not None and rung.request.resource == job.stop:
            rung.folds[job.fold] = record
            self.settle(trial)

    def settle(self, trial: str) -> None:
        """Close a trial's rung once the folds that decide are in and none of its folds runs.

        The first fold that failed, by number, speaks for the rung and later folds don't count, so that the outcome
        is the same whatever the order in which folds end.
        """
        rung = self.rungs.get(trial)
        if rung is None or self.in_flight[trial]:
            return
        if all(fold in rung.folds for fold in range(rung.needed(self.work.n_folds))):
            self.close(rung)

    def close(self, rung: _Rung) -> None:
        """Tell the policy what a rung came to."""
        trial = rung.request.trial
        del self.rungs[trial]
        records = [rung.folds[fold] for fold in range(rung.needed(self.work.n_folds)) if fold in rung.folds]
        point = self.standings.take(trial, rung.request.resource, records)
        sign = 1.0 if self.work.greater_is_better else -1.0
        self.policy.tell(rung.request, sign * point.score, point.seconds, point.cpu_seconds)
