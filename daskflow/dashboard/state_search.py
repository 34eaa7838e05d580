"""State of the search: candidates, fits as they end, scores as their folds are complete, rungs and the best so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daskflow.core.journal import Record


class Fit(NamedTuple):
    """A fit that ended: one fold of one trial, brought to one resource."""

    trial: str
    fold: int
    resource: int
    worker: str
    began: float
    ended: float
    cpu_seconds: float
    is_failed: bool
    invocation: int


class Scored(NamedTuple):
    """A trial's score at a resource, known when all folds were in."""

    trial: str
    resource: int
    score: float
    at: float
    cpu_seconds: float
    """Of all fits of the run so far."""
    is_best: bool
    """Whether it was the best so far."""


class Planned(NamedTuple):
    """What the search means to do at one step of a bracket."""

    bracket: int | None
    start: int
    resource: int
    trials: int


@dataclass
class TrialState:
    """A candidate and how far it is.

    Attributes
    ----------
    id : str
        Its trial.
    number : int
        In the order drawn, over all brackets.
    params : mapping
        Its parameters.
    bracket : int or None
        Of Hyperband.
    state : str
        ``waiting``, ``running``, ``scored`` (at rest between rungs, or for good), ``failed`` or ``cancelled``.
    resource : int
        Of its last score; 0 before.
    score : float
        Its last score; nan before, and when it failed.
    curve : list of (resource, score)
        Its scores.
    folds : mapping of (resource, fold) to score
        Of single folds; nan for those that failed.
    seconds, cpu_seconds : float
        Of its fits.
    error, log : str
        Why it failed; the end of the log of the fit that did.
    metrics : mapping
        Every metric at the last score, mean over folds.
    began, ended : float
        When it was first handed in, and when its last fit ended; nan before.
    workers : list of str
        Where its fits ran, in order.
    """

    id: str
    number: int
    params: Mapping[str, Any]
    bracket: int | None = None
    state: str = "waiting"
    resource: int = 0
    score: float = math.nan
    curve: list[tuple[int, float]] = field(default_factory=list)
    folds: dict[tuple[int, int], float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    error: str = ""
    log: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    began: float = math.nan
    ended: float = math.nan
    workers: list[str] = field(default_factory=list)
    _sums: dict[int, dict[str, float]] = field(default_factory=dict)


@dataclass
class SearchState:
    """Everything that is known of a search.

    Attributes
    ----------
    metric : str
        What ranks; empty before the first candidates.
    greater_is_better : bool
        Its direction.
    n_folds : int
        Models per candidate.
    trials : dict of str to TrialState
        In the order drawn.
    fits : list of Fit
        In the order they ended; only ever added to.
    scores : list of Scored
        Likewise.
    running : dict of (trial, fold, resource) to float
        Fits that were handed in, and when. A cluster works on as many of them as it has slots, the oldest first.
    plan : tuple of Planned
        What is meant to be done; empty while not known.
    units : int
        Fits in all, as far as known; 0 before.
    ends : mapping
        Limits of the search: wall_seconds, cpu_hours, trials.
    best : TrialState or None
        By score, then by the order drawn.
    best_said : mapping
        The last record ``best``: low, high, tied; of another trial than `best` it says nothing.
    importance : mapping
        The last record ``importance``; in the end, what the explanation found.
    failed : int
        Trials that failed.
    seconds, cpu_seconds : float
        Of all fits.
    is_over : bool
        Whether the stage has ended.
    ended : str
        Which limit or command ended it; empty when it came to its own end.
    invocation : int
        Which one it is, from 1.
    """

    metric: str = ""
    greater_is_better: bool = True
    n_folds: int = 1
    trials: dict[str, TrialState] = field(default_factory=dict)
    fits: list[Fit] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)
    running: dict[tuple[str, int, int], float] = field(default_factory=dict)
    plan: tuple[Planned, ...] = ()
    units: int = 0
    ends: Mapping[str, Any] = field(default_factory=dict)
    best: TrialState | None = None
    best_said: Mapping[str, Any] = field(default_factory=dict)
    importance: Mapping[str, Any] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    is_over: bool = False
    ended: str = ""
    invocation: int = 0

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        heard = HEARD.get(str(record["record"]))
        if heard is not None:
            heard(self, record, at)

    def is_better(self, score: float, than: float) -> bool:
        """Whether a score is strictly better than another; not-a-number is worse than all."""
        if math.isnan(score):
            return False
        return math.isnan(than) or (score > than if self.greater_is_better else score < than)

    def ranked(self) -> list[TrialState]:
        """Return the trials with a score from best to worst, ties in the order drawn."""
        sign = -1.0 if self.greater_is_better else 1.0
        having = [trial for trial in self.trials.values() if not math.isnan(trial.score)]
        return sorted(having, key=lambda trial: (sign * trial.score, trial.number))

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the best trial's score; nan where it is not known."""
        said = self.best_said
        if self.best is None or said.get("trial") != self.best.id:
            return math.nan, math.nan
        low, high = said.get("low"), said.get("high")
        return (math.nan if low is None else float(low)), (math.nan if high is None else float(high))

    def _invocation(self, record: Record, at: float) -> None:
        self.invocation += 1
        self.running.clear()
        self.is_over = False
        for trial in self.trials.values():
            if trial.state == "running":
                trial.state = "scored" if trial.curve else "waiting"

    def _candidates(self, record: Record, at: float) -> None:
        if "metric" in record:
            self.metric, self.greater_is_better = str(record["metric"]), bool(record["greater_is_better"])
            self.n_folds = int(record.get("n_folds") or 1)
        for each in record["candidates"]:
            name = str(each["trial"])
            if name not in self.trials:
                self.trials[name] = TrialState(name, len(self.trials), dict(each["params"]), each.get("bracket"))

    def _plan(self, record: Record, at: float) -> None:
        self.metric, self.greater_is_better = str(record["metric"]), bool(record["greater_is_better"])
        self.n_folds, self.units = int(record["n_folds"]), int(record.get("units") or 0)
        self.ends = record.get("ends") or {}
        self.plan = tuple(
            Planned(rung["bracket"], int(rung["start"]), int(rung["resource"]), int(rung["trials"]))
            for rung in record["rungs"]
        )

    def _start(self, record: Record, at: float) -> None:
        place = (str(record["trial"]), int(record["fold"]), int(record["resource"]))
        self.running[place] = at
        trial = self.trials.get(place[0])
        if trial is not None and trial.state not in ("failed", "cancelled"):
            trial.state = "running"
            trial.began = at if math.isnan(trial.began) else trial.began

    def _unit(self, record: Record, at: float) -> None:
        name, fold, resource = str(record["trial"]), int(record["fold"]), int(record["resource"])
        begun = self.running.pop((name, fold, resource), at)
        seconds, cpu = float(record.get("seconds") or 0.0), float(record.get("cpu_seconds") or 0.0)
        self.seconds, self.cpu_seconds = self.seconds + seconds, self.cpu_seconds + cpu
        began = float(record.get("began") or at - seconds)
        ended = began + float(record.get("lasted") or seconds)
        is_failed = bool(record.get("error"))
        worker = str(record.get("worker") or "")
        if record.get("cancelled"):  # what ran of it was given up, and has no record of its own
            self.running = {place: since for place, since in self.running.items() if place[0] != name}
        else:
            self.fits.append(Fit(name, fold, resource, worker, began, ended, cpu, is_failed, self.invocation))
        trial = self.trials.get(name)
        if trial is None:
            return
        trial.began = min(begun, began) if math.isnan(trial.began) else trial.began
        trial.ended, trial.seconds, trial.cpu_seconds = at, trial.seconds + seconds, trial.cpu_seconds + cpu
        if worker:
            trial.workers.append(worker)
        if is_failed:
            self._failed(trial, resource, fold, record)
            return
        values = {word: _number(value) for word, value in (record.get("metrics") or {}).items()}
        trial.folds[resource, fold] = values.get(self.metric, math.nan)
        sums = trial._sums.setdefault(resource, {})
        for word, value in values.items():
            sums[word] = sums.get(word, 0.0) + value
        if trial.state != "failed" and sum(key[0] == resource for key in trial.folds) == self.n_folds:
            self._complete(trial, resource, at)

    def _failed(self, trial: TrialState, resource: int, fold: int, record: Record) -> None:
        trial.folds[resource, fold] = math.nan
        if trial.state not in ("failed", "cancelled"):
            self.failed += 1
        trial.state = "cancelled" if record.get("cancelled") else "failed"
        trial.score, trial.error = math.nan, str(record["error"])
        trial.log = str(record.get("log_text") or trial.log)
        if self.best is trial:
            ranked = self.ranked()
            self.best = ranked[0] if ranked else None

    def _complete(self, trial: TrialState, resource: int, at: float) -> None:
        """All folds are in: the trial has a score at this resource."""
        sums = trial._sums.pop(resource)
        trial.metrics = {word: value / self.n_folds for word, value in sums.items()}
        before = trial.score
        trial.score, trial.resource = trial.metrics.get(self.metric, math.nan), resource
        trial.curve.append((resource, trial.score))
        trial.state = "running" if any(place[0] == trial.id for place in self.running) else "scored"
        is_best = False
        if self.best is trial and not self.is_better(trial.score, before) and trial.score != before:
            self.best = self.ranked()[0]  # it fell: another may be the best now
        elif self.best is None or self.is_better(trial.score, self.best.score):
            is_best, self.best = self.best is not trial, trial
        elif self.best is not trial and trial.score == self.best.score and trial.number < self.best.number:
            self.best = trial
        self.scores.append(Scored(trial.id, resource, trial.score, at, self.cpu_seconds, is_best))

    def _best(self, record: Record, at: float) -> None:
        self.best_said = record

    def _importance(self, record: Record, at: float) -> None:
        self.importance = record

    def _evaluated(self, record: Record, at: float) -> None:
        """A search that is soon over has no time to tell importance; what is explained at the end does."""
        found = (record.get("details") or {}).get("parameter_importance") or {}
        if found.get("parameters"):
            self.importance = {"record": "importance", "at": at, **found}

    def _stage(self, record: Record, at: float) -> None:
        if record["stage"] == "search":
            self.is_over, self.ended = not record.get("failed"), str(record.get("ended") or "")
            self.running.clear()

    def _end(self, record: Record, at: float) -> None:
        self.running.clear()
        for trial in self.trials.values():
            if trial.state == "running":
                trial.state = "scored" if trial.curve else "waiting"


HEARD: Mapping[str, Callable[[SearchState, Record, float], None]] = {
    "invocation": SearchState._invocation,
    "candidates": SearchState._candidates,
    "plan": SearchState._plan,
    "start": SearchState._start,
    "unit": SearchState._unit,
    "best": SearchState._best,
    "importance": SearchState._importance,
    "stage": SearchState._stage,
    "end": SearchState._end,
}
"""What each record changes of the search."""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
