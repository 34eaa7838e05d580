"""Trials: put together from a journal's records, as they come or all at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from daskflow.core.journal import Record
from daskflow.core.results import Point, SearchResult, Trial, TrialState
from daskflow.search.uncertainty import with_intervals


def search_of(records: Sequence[Record]) -> SearchResult | None:
    """Return the trials that a journal's records tell of, with intervals; None before the first score."""
    trials = Trials()
    trials.hear(records)
    result = trials.result()
    return None if result is None else with_intervals(result)


class Trials:
    """The trials of a search; what has not changed since it was last asked for is not put together again.

    Attributes
    ----------
    metric : str
        What ranks them; empty before the first candidates.
    n_scored : int
        Trials that have a score.
    best : Trial or None
        By score, then by the order drawn; without an interval.
    """

    def __init__(self) -> None:
        """Know of no candidate."""
        self.metric = ""
        self.n_scored = 0
        self.best: Trial | None = None
        self._greater_is_better, self._n_folds, self._ratio = True, 1, math.nan
        self._drawn: dict[str, Mapping[str, Any]] = {}
        self._places: dict[str, int] = {}
        self._units: dict[str, dict[int, dict[int, Record]]] = {}
        self._made: dict[str, Trial] = {}
        self._changed: dict[str, None] = {}
        self._is_over, self._ended = False, ""

    def hear(self, records: Iterable[Record]) -> None:
        """Take records in, in the order they were written."""
        for record in records:
            kind = record["record"]
            if kind == "unit":
                trial = record["trial"]
                self._units.setdefault(trial, {}).setdefault(record["resource"], {})[record["fold"]] = record
                self._changed[trial] = None
            elif kind == "candidates":
                self._candidates(record)
            elif kind == "stage" and record["stage"] == "search" and not record.get("failed"):
                self._is_over, self._ended = True, str(record.get("ended") or "")
        self._make()

    def _candidates(self, record: Record) -> None:
        if not self.metric and "metric" in record:
            self.metric, self._greater_is_better = str(record["metric"]), bool(record["greater_is_better"])
            self._n_folds, self._ratio = int(record["n_folds"]), number(record.get("validation_ratio"))
        for item in record["candidates"]:
            if item["trial"] not in self._drawn:
                self._places[item["trial"]] = len(self._drawn)
                self._drawn[item["trial"]] = item
                self._changed[item["trial"]] = None

    def _make(self) -> None:
        """Put those together that changed, and find the best."""
        fell = False
        for name in self._changed:
            if name not in self._drawn:
                continue
            before = self._made.get(name)
            trial = _trial(name, self._drawn[name]["params"], self._units.get(name, {}), self._n_folds, self.metric)
            self._made[name] = trial
            self.n_scored += int(not math.isnan(trial.score))
            self.n_scored -= int(before is not None and not math.isnan(before.score))
            if self.best is not None and self.best.id == name:
                fell = fell or trial.score != self.best.score
                self.best = trial
            elif not math.isnan(trial.score) and (self.best is None or self._rank(trial) < self._rank(self.best)):
                self.best = trial
        self._changed.clear()
        if fell:
            scored = [trial for trial in self._made.values() if not math.isnan(trial.score)]
            self.best = min(scored, key=self._rank, default=None)

    def _rank(self, trial: Trial) -> tuple[bool, float, int]:
        sign = -1.0 if self._greater_is_better else 1.0
        is_bad = math.isnan(trial.score)
        return is_bad, 0.0 if is_bad else sign * trial.score, self._places[trial.id]

    def result(self) -> SearchResult | None:
        """Return every trial and the best so far, without intervals; None before the first score.

        Trials are running until the search is over, and then finished or stopped.
        """
        if self.best is None:
            return None
        trials = [self._made[name] for name in self._drawn]
        if self._is_over:
            brackets = {name: item.get("bracket") for name, item in self._drawn.items()}
            most: dict[Any, int] = {}
            for trial in trials:
                most[brackets[trial.id]] = max(most.get(brackets[trial.id], 0), trial.resource)
            trials = [_with_state(trial, most[brackets[trial.id]]) for trial in trials]
        best = trials[self._places[self.best.id]]
        return SearchResult(
            tuple(trials),
            best,
            self.metric,
            self._greater_is_better,
            self._n_folds,
            ended=self._ended,
            validation_ratio=self._ratio,
        )

    def best_alone(self) -> Trial | None:
        """Return the best with its interval, by itself: quick, whatever the number of trials."""
        if self.best is None:
            return None
        alone = SearchResult(
            (self.best,),
            self.best,
            self.metric,
            self._greater_is_better,
            self._n_folds,
            validation_ratio=self._ratio,
        )
        return replace(with_intervals(alone).best, is_tied=None)


def _trial(
    name: str, params: Mapping[str, Any], rungs: Mapping[int, Mapping[int, Record]], n_folds: int, metric: str
) -> Trial:
    """Put a trial together from its units."""
    curve: list[Point] = []
    metrics: dict[str, float] = {}
    for resource, folds in sorted(rungs.items()):
        done = [folds[fold] for fold in sorted(folds)]
        seconds, cpu = sum(unit["seconds"] for unit in done), sum(unit["cpu_seconds"] for unit in done)
        failed = next((str(unit["error"]) for unit in done if unit.get("error")), "")
        if failed:
            curve.append(Point(resource, math.nan, (), seconds, cpu))
            last = curve[-2].resource if len(curve) > 1 else 0
            return Trial(name, params, TrialState.FAILED, math.nan, last, tuple(curve), {}, failed)
        if len(done) < n_folds:
            break
        scores = tuple(number(unit["metrics"][metric]) for unit in done)
        metrics = {word: sum(number(unit["metrics"][word]) for unit in done) / n_folds for word in done[0]["metrics"]}
        groups = tuple(done[0].get("details", {}).get("groups", ())) if n_folds == 1 else ()
        curve.append(Point(resource, sum(scores) / n_folds, scores, seconds, cpu, groups))
    if not curve:
        return Trial(name, params, TrialState.RUNNING if rungs else TrialState.WAITING)
    return Trial(name, params, TrialState.RUNNING, curve[-1].score, curve[-1].resource, tuple(curve), metrics)


def _with_state(trial: Trial, most: int) -> Trial:
    """Say of a scored trial of a search that is over whether it finished or was stopped."""
    if trial.state is not TrialState.RUNNING:
        return trial
    state = TrialState.FINISHED if trial.resource == most else TrialState.STOPPED
    return replace(trial, state=state)


def number(value: Any) -> float:
    """A number as a record has it: None is not-a-number."""
    return math.nan if value is None else float(value)
