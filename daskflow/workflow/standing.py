"""Standing: the best trial with its interval and the importance of parameters, as a search goes on, for little time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from daskflow.core.journal import Record, plain
from daskflow.core.results import SearchResult, Trial
from daskflow.core.seeds import seed_of
from daskflow.explain.parameters import LEAST_TRIALS, parameter_importance
from daskflow.search.uncertainty import n_tied
from daskflow.workflow.trials import Trials

SHARE = 0.003
"""Of the run's time, or of its fits' processor time where that is more, each of the two may take so much."""

FIRST_SECONDS = 0.15
"""What the first importance takes, about: 240 small trees."""

GROWTH = 1.1
"""Importance is asked for again when there are so many times as many trials with a score."""


class Standing:
    """What a search comes to so far.

    Parameters
    ----------
    seed : int
        The workflow's.
    clock : callable
        Seconds, for the share of time.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of no trial."""
        self.trials = Trials()
        self._seed, self._clock, self._begun = seed, clock, clock()
        self._fits_seconds = 0.0
        self._best: tuple[Any, ...] = ()
        self._compared = 0
        self._weighed = 0
        self._version = 0
        self._compare = _Allowance(0.0)
        self._weigh = _Allowance(FIRST_SECONDS)

    def hear(self, records: Iterable[Record]) -> None:
        """Take records of a journal in."""
        heard = [record for record in records if record.get("record") in ("unit", "candidates", "stage")]
        for record in heard:
            if record["record"] == "unit":
                self._version += 1
                self._fits_seconds += record.get("cpu_seconds") or 0.0
        if heard:
            self.trials.hear(heard)

    def news(self) -> list[Record]:
        """Return the records ``best`` and ``importance`` that are due: what is new, and can be had in the time."""
        time_so_far = max(self._clock() - self._begun, self._fits_seconds)
        found: list[Record] = []
        if self._version != self._compared and self._compare.reaches(SHARE * time_so_far):
            found += self.compared()
        elif self._best_of(None)[:2] != self._best[:2]:
            found += self._said(self._best_of(self.trials.best_alone()))
        due = max(LEAST_TRIALS, GROWTH * self._weighed)
        if self.trials.n_scored >= due and self._weigh.reaches(SHARE * time_so_far):
            found += self.weighed()
        return found

    @property
    def is_enough(self) -> bool:
        """Whether there are trials enough for the importance of parameters."""
        return self.trials.n_scored >= LEAST_TRIALS

    def compared(self) -> list[Record]:
        """Compare all trials with the best: the record ``best`` when it says anything new."""
        if self._version == self._compared:
            return []
        self._compared = self._version
        with self._compare:
            result = self.trials.result()
            if result is None:
                return []
            tied = n_tied(result)
        return self._said(self._best_of(self.trials.best_alone(), tied))

    def weighed(self) -> list[Record]:
        """Find the importance of the parameters now: one record ``importance``."""
        self._weighed = self.trials.n_scored
        with self._weigh:
            result: SearchResult | None = self.trials.result()
            if result is None:
                return []
            found = parameter_importance(result, seed_of(self._seed, "parameters"))
        return [importance_record(found)]

    def _best_of(self, trial: Trial | None, tied: int | None = None) -> tuple[Any, ...]:
        """Trial and score of the best, then its interval and ties as far as they are known."""
        best = trial or self.trials.best
        if best is None:
            return ()
        return (best.id, best.score, *(() if trial is None else (best.low, best.high, tied)))

    def _said(self, best: tuple[Any, ...]) -> list[Record]:
        if not best or repr(best) == repr(self._best):  # not-a-number is not equal to itself
            return []
        self._best = best
        trial, score, low, high, tied = best
        said = {"trial": trial, "metric": self.trials.metric, "score": score, "low": low, "high": high, "tied": tied}
        return [{"record": "best", **plain(said)}]


def importance_record(found: dict[str, Any]) -> Record:
    """Return the record of what `parameter_importance` found."""
    words = ("trials", "method", "parameters", "together", "explained", "note")
    return {"record": "importance", **plain({word: found[word] for word in words if word in found})}


class _Allowance:
    """How much time something has taken, and what it takes the next time: as long as the last time."""

    def __init__(self, first_seconds: float) -> None:
        self._spent, self._next, self._begun = 0.0, first_seconds, 0.0

    def reaches(self, seconds: float) -> bool:
        """Whether the next time stays within so many seconds in all."""
        return self._spent + self._next <= seconds

    def __enter__(self) -> None:
        self._begun = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._next = time.thread_time() - self._begun
        self._spent += self._next
