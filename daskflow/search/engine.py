"""The engine: runs what a policy asks for, fold by fold, and records each finished fit at once."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from daskflow.core.errors import ClusterError, SearchError, StorageError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.core.results import Point, SearchResult, Trial, TrialState
from daskflow.search.policies import Candidate, Policy, Request


class Work(Protocol):
    """What one fit is: the engine orders it, the work does it."""

    @property
    def n_folds(self) -> int:
        """Models per candidate."""

    @property
    def metric(self) -> str:
        """Name of the metric that ranks."""

    @property
    def greater_is_better(self) -> bool:
        """Its direction."""

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit | Sequence[Unit]:
        """The unit that brings a model from `start` to `stop` resource and scores it; its answer is an Answer.

        Its key is ``unit_key(candidate.trial, fold, stop)``; what it keeps is forgotten once the next rung is done.
        Of several units the last is that one; those before it prepare what it takes over by ``Kept``. They never
        raise (they hand a failure on), and whoever made them releases what they keep.
        """


@runtime_checkable
class Keeping(Protocol):
    """Work that leaves files behind: it hears of each unit once its record is written."""

    def recorded(self, trial: str, fold: int, resource: int, details: Mapping[str, Any]) -> None:
        """A unit, of this invocation or an earlier one, is on record with the details of its answer."""


def unit_key(trial: str, fold: int, resource: int) -> str:
    """Return the key of a unit: what a later rung names in ``Kept`` to take its model over."""
    return f"fit-{trial}-{fold}-{resource}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a unit found: metrics on the fold's validation rows, each in its own direction.

    Attributes
    ----------
    metrics : mapping
        Values by metric name; the work's metric is among them.
    details : mapping
        Plain values for the journal, such as the snapshot's name and hash.
    """

    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


class Recorder(Protocol):
    """Where units are recorded; a journal, or memory."""

    def append(self, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Add a record."""


@dataclass
class Memory:
    """A recorder for searches that keep no journal."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def append(self, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep it."""
        self.records.append(dict(record))


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
) -> SearchResult:
    """Search until the policy has no more to ask.

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
        Hears of trials and of the best.

    Returns
    -------
    SearchResult
        Every trial, ranked.

    Raises
    ------
    SearchError
        When there is no candidate, or every one failed.
    StorageError, ClusterError
        What ends a run instead of a candidate: a full disk, a lost scheduler.
    """
    search = _Search(policy, work, executor, recorder or Memory(), listener)
    search.remember(earlier)
    try:
        search.loop()
    except BaseException:
        executor.cancel()
        raise
    return search.result()


class _Search:
    """The state of one search: trials, rungs in progress, jobs waiting."""

    def __init__(self, policy: Policy, work: Work, executor: Executor, recorder: Recorder, listener: Listener) -> None:
        self.policy, self.work, self.executor = policy, work, executor
        self.recorder, self.listener = recorder, listener
        self.candidates = {candidate.trial: candidate for candidate in policy.candidates}
        if not self.candidates:
            raise SearchError("The search space is empty: there is no candidate to try.")
        self.trials = {name: Trial(name, dict(c.params)) for name, c in self.candidates.items()}
        self.rungs: dict[str, _Rung] = {}
        self.waiting: deque[tuple[str, int]] = deque()
        self.flying: dict[str, tuple[str, int]] = {}
        self.known: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.begun: set[tuple[str, int, int]] = set()
        self.repeated = 0
        self.done = 0
        self.best: tuple[str, float] | None = None

    def remember(self, earlier: Iterable[Mapping[str, Any]]) -> None:
        """Take over what earlier invocations finished."""
        for record in earlier:
            if record.get("record") not in ("start", "unit"):
                continue
            key = (str(record["trial"]), int(record["fold"]), int(record["resource"]))
            if record["record"] == "start":
                self.begun.add(key)
            else:
                self.known[key] = dict(record)
                self.keep(record)

    def keep(self, record: Mapping[str, Any]) -> None:
        """Tell the work that a unit is on record."""
        if "error" not in record and isinstance(self.work, Keeping):
            place = str(record["trial"]), int(record["fold"]), int(record["resource"])
            self.work.recorded(*place, record["details"])

    def loop(self) -> None:
        """Ask, submit, wait, tell; until nothing is left."""
        while True:
            self.take(self.policy.ask())
            self.submit()
            if self.executor.pending:
                outcome = self.executor.next()
                if outcome is not None:
                    self.finish(outcome)
            elif not self.waiting and not self.rungs:
                requests = self.policy.ask()
                if not requests:
                    return
                self.take(requests)

    def take(self, requests: Iterable[Request]) -> None:
        """Make a rung of each request and queue the folds that are not known yet; a failed trial stays failed."""
        for request in requests:
            if self.trials[request.trial].state is TrialState.FAILED:
                self.policy.tell(request, math.nan)
                continue
            rung = _Rung(request, self.trials[request.trial].resource)
            self.rungs[request.trial] = rung
            for fold in range(self.work.n_folds):
                record = self.known.get((request.trial, fold, request.resource))
                if record is not None:
                    rung.folds[fold] = record
                    self.done += 1
                else:
                    self.waiting.append((request.trial, fold))
            self.settle(request.trial)

    def submit(self) -> None:
        """Keep the workers busy, with little in stock so that a decision takes effect soon."""
        while self.waiting and self.executor.pending < 2 * self.executor.slots:
            trial, fold = self.waiting.popleft()
            rung = self.rungs.get(trial)
            if rung is None or fold >= rung.needed(self.work.n_folds):
                continue
            key = (trial, fold, rung.request.resource)
            if key in self.begun:
                self.repeated += 1
            self.recorder.append(
                {"record": "start", "trial": trial, "fold": fold, "resource": rung.request.resource},
                durable=False,
            )
            made = self.work.unit(self.candidates[trial], fold, rung.start, rung.request.resource)
            units = [made] if isinstance(made, Unit) else list(made)
            self.flying[units[-1].key] = (trial, fold)
            for unit in units:
                self.executor.submit(unit)
            if self.trials[trial].state is TrialState.WAITING:
                self.change(trial, state=TrialState.RUNNING)

    def finish(self, outcome: Outcome) -> None:
        """Record a unit's outcome; those of units that only prepared another are not recorded."""
        if outcome.key not in self.flying:
            return
        trial, fold = self.flying.pop(outcome.key)
        rung = self.rungs[trial]
        record: dict[str, Any] = {
            "record": "unit",
            "trial": trial,
            "fold": fold,
            "resource": rung.request.resource,
            "seconds": outcome.seconds,
            "cpu_seconds": outcome.cpu_seconds,
            "peak_memory_bytes": outcome.peak_memory_bytes,
            "worker": outcome.worker,
        }
        if outcome.error is None:
            answer: Answer = outcome.value
            metrics = {name: _number(value) for name, value in answer.metrics.items()}
            record |= {"metrics": metrics, "details": dict(answer.details)}
            if math.isnan(metrics[self.work.metric]):
                record["error"] = f"{self.work.metric} is not a finite number ({answer.metrics[self.work.metric]})"
        elif isinstance(outcome.exception, StorageError | ClusterError):
            raise outcome.exception
        else:
            record["error"] = outcome.error
        self.recorder.append(record)
        self.keep(record)
        rung.folds[fold] = record
        self.done += 1
        tell(self.listener, "progress", stage="search", done=self.done)
        if rung.start:
            self.executor.release([unit_key(trial, fold, rung.start)])
        self.settle(trial)

    def settle(self, trial: str) -> None:
        """Close a trial's rung once the folds that decide are in and none of its folds runs.

        The first fold that failed, by number, speaks for the rung and later folds don't count, so that the outcome
        is the same whatever the order in which folds end.
        """
        rung = self.rungs.get(trial)
        if rung is None or any(trial == flying for flying, _ in self.flying.values()):
            return
        if all(fold in rung.folds for fold in range(rung.needed(self.work.n_folds))):
            self.close(rung)

    def close(self, rung: _Rung) -> None:
        """Tell the policy what a rung came to."""
        trial = rung.request.trial
        del self.rungs[trial]
        records = [rung.folds[fold] for fold in range(rung.needed(self.work.n_folds))]
        failed = next((str(record["error"]) for record in records if "error" in record), "")
        values = [_number(record.get("metrics", {}).get(self.work.metric)) for record in records]
        score = math.nan if failed else statistics.fmean(values)
        point = Point(
            resource=rung.request.resource,
            score=score,
            fold_scores=tuple(values),
            seconds=sum(record["seconds"] for record in records),
            cpu_seconds=sum(record["cpu_seconds"] for record in records),
        )
        old = self.trials[trial]
        if failed:
            self.change(trial, state=TrialState.FAILED, error=failed, score=math.nan, curve=(*old.curve, point))
        else:
            names = records[0]["metrics"]
            metrics = {n: statistics.fmean([_number(record["metrics"][n]) for record in records]) for n in names}
            self.change(
                trial,
                state=TrialState.RUNNING,
                score=score,
                resource=rung.request.resource,
                curve=(*old.curve, point),
                metrics=metrics,
            )
        sign = 1.0 if self.work.greater_is_better else -1.0
        self.policy.tell(rung.request, sign * score, point.seconds)

    def change(self, trial: str, **fields: Any) -> None:
        """Change a trial, tell the listener, and name a new best."""
        new = self.trials[trial] = replace(self.trials[trial], **fields)
        tell(
            self.listener,
            "trial",
            trial=trial,
            state=str(new.state),
            resource=new.resource,
            score=new.score,
            params=dict(new.params),
            error=new.error,
            trials=len(self.trials),
        )
        sign = 1.0 if self.work.greater_is_better else -1.0
        scored = [item for item in self.trials.items() if not math.isnan(item[1].score)]
        if not scored:
            return
        name, best = max(scored, key=lambda item: sign * item[1].score)
        if (name, best.score) != self.best:
            self.best = name, best.score
            tell(self.listener, "best", trial=name, metric=self.work.metric, score=best.score)

    def result(self) -> SearchResult:
        """Name the states at the end, and the best."""
        most: dict[int | None, int] = {}
        for name, trial in self.trials.items():
            bracket = self.candidates[name].bracket
            most[bracket] = max(most.get(bracket, 0), trial.resource)
        for name, trial in self.trials.items():
            if trial.state is not TrialState.FAILED:
                whole = trial.resource == most[self.candidates[name].bracket]
                state = TrialState.FINISHED if whole else TrialState.STOPPED
                self.trials[name] = replace(trial, state=state)
        trials = tuple(self.trials.values())
        found = SearchResult(
            trials=trials,
            best=trials[0],
            metric=self.work.metric,
            greater_is_better=self.work.greater_is_better,
            n_folds=self.work.n_folds,
            repeated_units=self.repeated,
        )
        best = found.ranked()[0]
        if math.isnan(best.score):
            reasons = sorted({trial.error for trial in trials if trial.error})
            raise SearchError(
                f"All {len(trials)} candidates failed. Their reasons: {'; '.join(reasons[:3])}"
                + (f"; and {len(reasons) - 3} more." if len(reasons) > 3 else ".")
            )
        return replace(found, best=best)


def _number(value: Any) -> float:
    """A metric as the journal can give it back: not-a-number for what is missing or infinite."""
    return math.nan if value is None or not math.isfinite(value) else float(value)
