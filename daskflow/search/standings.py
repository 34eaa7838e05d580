"""Standings: the trials of a search with their states and scores, and the best of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from daskflow.core.errors import SearchError
from daskflow.core.events import Listener, tell
from daskflow.core.results import Point, SearchResult, Trial, TrialState
from daskflow.search.jobs import Work
from daskflow.search.policies import Candidate


class Standings:
    """The trials of a search, changed as rungs come to their end.

    Parameters
    ----------
    work : Work
        Names the metric that ranks, and its direction.
    listener : callable
        Hears ``trial`` of each change, and ``best`` of each new best.

    Attributes
    ----------
    candidates : dict of str to Candidate
        By trial.
    trials : dict of str to Trial
        In the order drawn.
    """

    def __init__(self, work: Work, listener: Listener) -> None:
        """Begin with no trial."""
        self._metric, self._n_folds = work.metric, work.n_folds
        self._sign = 1.0 if work.greater_is_better else -1.0
        self._listener = listener
        self.candidates: dict[str, Candidate] = {}
        self.trials: dict[str, Trial] = {}
        self._best: tuple[str, float] | None = None

    def register(self, candidates: Iterable[Candidate]) -> None:
        """Take candidates over."""
        for candidate in candidates:
            self.candidates[candidate.trial] = candidate
            self.trials[candidate.trial] = Trial(candidate.trial, dict(candidate.params))

    def take(self, trial: str, resource: int, records: Sequence[Mapping[str, Any]]) -> Point:
        """Change a trial by the records of a rung's folds that decide, and return the point that they make."""
        failed = next((str(record["error"]) for record in records if "error" in record), "")
        values = [number_of(record.get("metrics", {}).get(self._metric)) for record in records]
        score = math.nan if failed else statistics.fmean(values)
        point = Point(
            resource=resource,
            score=score,
            fold_scores=tuple(values),
            seconds=sum(record["seconds"] for record in records),
            cpu_seconds=sum(record["cpu_seconds"] for record in records),
        )
        curve = (*self.trials[trial].curve, point)
        if failed:
            self.change(trial, state=TrialState.FAILED, error=failed, score=math.nan, curve=curve)
            return point
        names = records[0]["metrics"]
        metrics = {n: statistics.fmean([number_of(record["metrics"][n]) for record in records]) for n in names}
        self.change(trial, state=TrialState.RUNNING, score=score, resource=resource, curve=curve, metrics=metrics)
        return point

    def change(self, trial: str, **fields: Any) -> None:
        """Change a trial, tell the listener, and name a new best."""
        new = self.trials[trial] = replace(self.trials[trial], **fields)
        tell(
            self._listener,
            "trial",
            trial=trial,
            state=str(new.state),
            resource=new.resource,
            score=new.score,
            params=dict(new.params),
            error=new.error,
            trials=len(self.trials),
        )
        if not math.isnan(new.score) or (self._best is not None and self._best[0] == trial):
            self._rank(new)

    def _rank(self, new: Trial) -> None:
        """Name a new best, if a trial's new score makes one or takes it away; of equal ones the first drawn is best."""
        sign = self._sign
        if self._best is not None and self._best[0] == new.id and not sign * new.score >= sign * self._best[1]:
            scored = [trial for trial in self.trials.values() if not math.isnan(trial.score)]
            if not scored:
                self._best = None
                return
            best = max(scored, key=lambda trial: sign * trial.score)
        elif self._best is None or sign * new.score > sign * self._best[1] or self._best[0] == new.id:
            best = new
        else:
            return
        if (best.id, best.score) != self._best:
            self._best = best.id, best.score
            tell(self._listener, "best", trial=best.id, metric=self._metric, score=best.score)

    def result(self, *, repeated_units: int, ended: str) -> SearchResult:
        """Name the states at the end, and the best."""
        most: dict[int | None, int] = {}
        for name, trial in self.trials.items():
            bracket = self.candidates[name].bracket
            most[bracket] = max(most.get(bracket, 0), trial.resource)
        for name, trial in self.trials.items():
            if trial.state is not TrialState.FAILED:
                whole = 0 < trial.resource == most[self.candidates[name].bracket]
                state = TrialState.FINISHED if whole else TrialState.STOPPED
                self.trials[name] = replace(trial, state=state)
        trials = tuple(self.trials.values())
        found = SearchResult(
            trials=trials,
            best=trials[0],
            metric=self._metric,
            greater_is_better=self._sign > 0,
            n_folds=self._n_folds,
            repeated_units=repeated_units,
            ended=ended,
        )
        best = found.ranked()[0]
        if math.isnan(best.score):
            reasons = sorted({trial.error for trial in trials if trial.error})
            raise SearchError(
                f"All {len(trials)} candidates failed. Their reasons: {'; '.join(reasons[:3])}"
                + (f"; and {len(reasons) - 3} more." if len(reasons) > 3 else ".")
            )
        return replace(found, best=best)


def number_of(value: Any) -> float:
    """Return a metric as the journal can give it back: not-a-number for what is missing or infinite."""
    return math.nan if value is None or not math.isfinite(value) else float(value)
