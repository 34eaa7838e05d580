"""Forecasts: how long a search will go on and what it will cost, with a band, updated as fits finish."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskflow.core.seeds import seed_of
from daskflow.search.costs import Costs, Step, Wanted
from daskflow.search.regressions import Floats
from daskflow.search.schedules import Rung, play

LEVEL = 0.8
"""Share of forecasts whose band holds what comes."""

DRAWN_LEVEL = 0.86
"""The band's share of the drawn futures: over simulated searches with long tails that of 0.8 held 0.7 of them."""

PACE_SPREAD = 0.08
"""How far, in logarithms, the machine's pace strays from what it was: other people's work, caches, disks."""

MOST_REPLICATES, LEAST_REPLICATES = 200, 50
MOST_DRAWN = 40_000
"""So many fits are drawn for a forecast, over all its futures; it takes about 30 ms."""

MOST_FITS = 2000
"""Of more fits to come, so many are drawn, and stand for the others."""

RECENT = 512
"""Fits that say how much longer work takes than its fits do by themselves."""

WARM = 2
"""So many fits per slot make the first ones, which also pay for imports and caches, superfluous."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left, as a median with the band that holds it in `LEVEL` of all cases.

    Attributes
    ----------
    seconds, low, high : float
        Wall time until the search's last fit.
    cpu_hours, cpu_low, cpu_high : float
        Processor time of the fits to come; of those that run, all of it.
    """

    seconds: float
    low: float
    high: float
    cpu_hours: float
    cpu_low: float
    cpu_high: float


class _Done(NamedTuple):
    """A fit that this process saw finish: where it belongs, what it took, and when."""

    rung: int
    seconds: float
    at: float


class Forecast:
    """What a search still takes, by what its fits took so far.

    Parameters
    ----------
    rungs : sequence of Rung
        What the search will do; `schedules.schedule` finds it.
    n_folds : int
        Fits per candidate and rung.
    slots : int
        Fits at once.
    params : mapping of str to mapping
        Parameters by trial, of those that are known beforehand.
    brackets : mapping of str to int or None
        By trial; needed where several brackets have equal steps.
    continues : bool
        Whether a fit goes on from where its candidate was; else each begins anew.
    most_seconds, most_cpu_seconds : float or None
        Budgets of wall time (from the first fit, over all invocations) and of processor time that end the search.

    Notes
    -----
    The fits to come are drawn many times over (`costs.Costs`: spread of the candidates, trend with the resource, the
    parameters where they help) and each time played on the slots, rung by rung, as the engine does. Where a policy may
    stop candidates, the number of fits is drawn between the least and the most it can make. What the work took so far
    beyond its fits (scheduling, journal, idle slots) is taken to go on. The median and the quantiles of the futures
    are the estimate. It knows nothing of workers that join or leave later.

    Examples
    --------
    >>> forecast = Forecast([Rung(None, Step(0, 1), 40, 40)], n_folds=1, slots=1)
    >>> forecast.remaining() is None
    True
    >>> for number in range(20):
    ...     forecast.add(str(number), 0, 0, 1, seconds=1.0, cpu_seconds=0.9, at=1.0 + number)
    >>> estimate = forecast.remaining()
    >>> 15 < estimate.low < 20 < estimate.high < 30
    True
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        *,
        n_folds: int = 1,
        slots: int = 1,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        brackets: Mapping[str, int | None] | None = None,
        continues: bool = True,
        most_seconds: float | None = None,
        most_cpu_seconds: float | None = None,
    ) -> None:
        """Begin with nothing known of any fit."""
        self.rungs = list(rungs)
        self.n_folds, self.slots = n_folds, max(1, slots)
        self.brackets = dict(brackets or {})
        self.costs = Costs(continues, dict(params or {}))
        self.most_seconds, self.most_cpu_seconds = most_seconds, most_cpu_seconds
        self.begun = math.nan
        self.earlier_seconds = 0.0
        self.seconds = self.cpu_seconds = 0.0
        self.done = 0
        self._numbers = {(rung.bracket, rung.step): number for number, rung in enumerate(self.rungs)}
        self._counts: Counter[int] = Counter()
        self._folds: dict[str, Counter[Step]] = {}
        self._gone: set[str] = set()
        self._strangers: set[str] = set()
        self._learned = np.zeros(2)
        self._flying: dict[tuple[str, int, Step], float] = {}
        self._reached: dict[tuple[str, int], int] = {}
        self._before: list[tuple[str, Step, float]] = []
        self._early: list[tuple[str, Step, float]] = []
        self._n_first = (1 + WARM) * self.slots
        self._recent: deque[_Done] = deque(maxlen=max(RECENT, 2 * self._n_first))

    def know(self, trial: str, params: Mapping[str, Any], bracket: int | None = None) -> None:
        """Learn a candidate's parameters and bracket, where they are drawn as the search goes on."""
        self.costs.params.setdefault(trial, params)
        self.brackets.setdefault(trial, bracket)

    def handed_in(self, trial: str, fold: int, resource: int, *, at: float) -> None:
        """Hear that a fit was handed in; it runs as soon as a slot is free."""
        self.begun = at if self.begun != self.begun else self.begun
        step = Step(self._reached.get((trial, fold), 0), resource)
        self._flying[trial, fold, step] = at if self._n_running() < self.slots else math.nan

    def _n_running(self) -> int:
        return sum(at == at for at in self._flying.values())

    def _landed(self, place: tuple[str, int, Step], at: float) -> None:
        """Give a finished fit's slot to the one that waits longest."""
        self._flying.pop(place, None)
        first = next((other for other, since in self._flying.items() if since != since), None)
        if first is not None and self._n_running() < self.slots:
            self._flying[first] = at

    def add(
        self,
        trial: str,
        fold: int,
        start: int,
        resource: int,
        *,
        seconds: float,
        cpu_seconds: float,
        at: float | None = None,
    ) -> None:
        """Take a finished fit in.

        Parameters
        ----------
        trial, fold : str, int
            Whose.
        start, resource : int
            From which resource to which.
        seconds, cpu_seconds : float
            What it took.
        at : float, optional
            When it finished; None for a fit of an earlier invocation, which says nothing of this one's pace.
        """
        step = Step(start, resource)
        number = self._number(self.brackets.get(trial), step)
        self._counts[number] += 1
        self._folds.setdefault(trial, Counter())[step] += 1
        self._reached[trial, fold] = resource
        self.done += 1
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds
        if at is None:
            self._before.append((trial, step, seconds))
            self.costs.add(trial, step, seconds)
        elif len(self._recent) >= self._n_first:
            self.costs.add(trial, step, seconds)
        else:
            self._warming(trial, step, seconds)
        if at is not None:
            self._landed((trial, fold, step), at)
            self._recent.append(_Done(number, seconds, at))

    def _warming(self, trial: str, step: Step, seconds: float) -> None:
        """Take in one of the first fits; once there are enough others, the very first no longer count."""
        self._early.append((trial, step, seconds))
        self.costs.add(trial, step, seconds)
        if len(self._early) == self._n_first:
            self.costs = Costs(self.costs.continues, self.costs.params)
            for place in [*self._before, *self._early[self.slots :]]:
                self.costs.add(*place)

    def _number(self, bracket: int | None, step: Step) -> int:
        """A rung's number; one that nobody foresaw is added, with nothing more to come."""
        if (bracket, step) not in self._numbers:
            self._numbers[bracket, step] = len(self.rungs)
            self.rungs.append(Rung(bracket, step, 0, 0))
        return self._numbers[bracket, step]

    def failed(self, trial: str) -> None:
        """Hear that a trial failed: its other folds are not fitted."""
        if trial in self._gone:
            return
        self._gone.add(trial)
        for step, count in self._folds.get(trial, Counter()).items():
            if count < self.n_folds:
                self._counts[self._number(self.brackets.get(trial), step)] += self.n_folds - count

    def cancelled(self, trial: str, fold: int, resource: int, *, at: float) -> None:
        """Hear that a trial was given up at a rung: what of it runs has ended, and no fit of it comes any more.

        Parameters
        ----------
        trial, fold, resource : str, int, int
            The trial, the first of its folds that had no answer, and where that was going.
        at : float
            When.
        """
        step = Step(self._reached.get((trial, fold), 0), resource)
        self._folds.setdefault(trial, Counter())[step] += 0
        self.failed(trial)
        for place in [place for place in self._flying if place[0] == trial]:
            self._landed(place, at)

    def extend(self, *, wall_seconds: float = 0.0, cpu_hours: float = 0.0, rungs: Sequence[Rung] = ()) -> None:
        """Hear that the budget was raised by so much, and of rungs that have more candidates now."""
        if self.most_seconds is not None:
            self.most_seconds += wall_seconds
        if self.most_cpu_seconds is not None:
            self.most_cpu_seconds += 3600 * cpu_hours
        for rung in rungs:
            self.rungs[self._number(rung.bracket, rung.step)] = rung

    def learn(
        self, trial: str, params: Mapping[str, Any], start: int, resource: int, *, seconds: float, cpu_seconds: float
    ) -> None:
        """Take in a fit of no candidate of this search: it says what fits cost, and nothing of it is done."""
        self.costs.params.setdefault(trial, params)
        self._strangers.add(trial)
        self._before.append((trial, Step(start, resource), seconds))
        self.costs.add(*self._before[-1])
        self._learned += np.array([seconds, cpu_seconds])

    def lengths(self, wanted: Sequence[Wanted], *, doubt: float = 0.0) -> Floats:
        """Return possible seconds of single fits, shape (n_futures, n_wanted); ValueError before any fit.

        Parameters
        ----------
        wanted : sequence of Wanted
            The fits.
        doubt : float
            As in `futures`.
        """
        rng = np.random.default_rng(seed_of(0, "lengths", self.done))
        drawn = self.costs.draw(wanted, MOST_REPLICATES, rng)
        off: Floats = drawn * np.exp(rng.normal(0.0, doubt, (len(drawn), 1)))
        return off

    def remaining(self, now: float | None = None) -> Estimate | None:
        """Return what is left; None before the first fit.

        Parameters
        ----------
        now : float, optional
            Seconds since the epoch; default, when the last fit finished.
        """
        futures = self.futures(now)
        return None if futures is None else estimate(*futures)

    def futures(self, now: float | None = None, *, doubt: float = 0.0) -> tuple[Floats, Floats] | None:
        """Return possible wall and processor seconds of what is left, one of each for a future; None before any fit.

        Parameters
        ----------
        now : float, optional
            As in `remaining`.
        doubt : float
            Spread of the logarithm of what all fits are off by, where they are not this search's own.
        """
        if not self.costs:
            return None
        now = self._recent[-1].at if now is None and self._recent else now
        running = self._running(now)
        least, most = self._left()
        drawn = self._drawn(most, running)
        if not sum(most):
            return np.zeros(1), np.zeros(1)
        wanted = [one for _, one in running] + self._wanted(drawn, running)
        n_replicates = int(np.clip(MOST_DRAWN // len(wanted), LEAST_REPLICATES, MOST_REPLICATES))
        rng = np.random.default_rng(seed_of(0, "forecast", self.done))
        seconds = self.costs.draw(wanted, n_replicates, rng)
        edges = len(running) + np.cumsum([0, *drawn])
        elapsed = np.array([one.elapsed for _, one in running])
        flying = Counter(number for number, _ in running)
        share = rng.uniform(size=n_replicates)
        slow = np.exp(rng.normal(0.0, PACE_SPREAD, n_replicates)) * self._overhead()
        off = np.exp(rng.normal(0.0, doubt, n_replicates))
        whole, used = self._learned + np.array([self.seconds, self.cpu_seconds])
        spent = used / whole if whole else 1.0
        wall, cpu = np.empty(n_replicates), np.empty(n_replicates)
        for future in range(n_replicates):
            rungs = []
            for number, rung in enumerate(self.rungs):
                row = seconds[future, edges[number] : edges[number + 1]]
                count = round(least[number] + share[future] * (most[number] - least[number])) - flying[number]
                row = row[: max(0, count)]
                rungs.append((rung.bracket, rung.waits, (row * (count / max(1, len(row)))).tolist()))
            rest = seconds[future, : len(running)] - elapsed
            begun = [(number, float(left)) for (number, _), left in zip(running, rest, strict=True)]
            wall[future] = play(rungs, self.slots, begun)
            cpu[future] = (float(seconds[future, : len(running)].sum()) + sum(sum(row) for _, _, row in rungs)) * spent
        return self._within_budget(wall * slow * off, cpu * off, now)

    def _within_budget(self, wall: Floats, cpu: Floats, now: float | None) -> tuple[Floats, Floats]:
        """Cut futures where a budget ends the search."""
        if self.most_cpu_seconds is not None:
            share = np.minimum(1.0, max(0.0, self.most_cpu_seconds - self.cpu_seconds) / np.maximum(cpu, 1e-9))
            wall, cpu = wall * share, cpu * share
        if self.most_seconds is not None:
            gone = now - self.begun if now is not None and self.begun == self.begun else 0.0
            left = max(0.0, self.most_seconds - self.earlier_seconds - gone)
            cpu = cpu * np.minimum(1.0, left / np.maximum(wall, 1e-9))
            wall = np.minimum(wall, left)
        return wall, cpu

    def _running(self, now: float | None) -> list[tuple[int, Wanted]]:
        """Fits that run, with their rung and how long they have been running."""
        if now is None:
            return []
        return [
            (self._number(self.brackets.get(trial), step), Wanted(trial, step, max(now - since, 1e-6)))
            for (trial, _, step), since in self._flying.items()
            if since == since
        ]

    def _left(self) -> tuple[list[int], list[int]]:
        """Fits to come at each rung: the least, and the most."""
        counts = [self._counts[number] for number in range(len(self.rungs))]
        least = [max(0, rung.least * self.n_folds - done) for rung, done in zip(self.rungs, counts, strict=True)]
        most = [max(0, rung.most * self.n_folds - done) for rung, done in zip(self.rungs, counts, strict=True)]
        return least, most

    def _drawn(self, most: Sequence[int], running: Sequence[tuple[int, Wanted]]) -> list[int]:
        """How many fits of each rung are drawn, besides those that run."""
        flying = Counter(number for number, _ in running)
        to_begin = [max(0, count - flying[number]) for number, count in enumerate(most)]
        whole = sum(to_begin)
        return to_begin if whole <= MOST_FITS else [math.ceil(count * MOST_FITS / whole) for count in to_begin]

    def _wanted(self, drawn: Sequence[int], running: Sequence[tuple[int, Wanted]]) -> list[Wanted]:
        """The fits to come: by candidate at a bracket's first rung, where all of them are known."""
        flying = Counter((one.trial, one.step) for _, one in running)
        found: list[Wanted] = []
        for number, (rung, count) in enumerate(zip(self.rungs, drawn, strict=True)):
            trials = self._waiting(rung, count, flying) if rung.step.start == 0 else []
            trials += [f"?{number}-{place // self.n_folds}" for place in range(count - len(trials))]
            found += [Wanted(trial, rung.step) for trial in trials]
        return found

    def _waiting(self, rung: Rung, count: int, flying: Counter[tuple[str, Step]]) -> list[str]:
        """Candidates of a bracket whose first rung is not done, once for each fold; thinned to `count`."""
        trials = [
            trial
            for trial in self.costs.params
            if trial not in self._gone and trial not in self._strangers and self.brackets.get(trial) == rung.bracket
            for _ in range(self.n_folds - self._folds.get(trial, Counter())[rung.step] - flying[trial, rung.step])
        ]
        if len(trials) <= count:
            return trials
        return [trials[place * len(trials) // count] for place in range(count)]

    def _overhead(self) -> float:
        """How much longer the work of late took than its fits, played on the slots, take by themselves."""
        if len(self._recent) < 2 * self.slots + 2:
            return 1.0
        begin, end = self._recent[self.slots - 1].at, self._recent[-1].at
        pieces = [(one.at - one.seconds, one.rung, min(one.seconds, one.at - begin)) for one in self._recent]
        pieces = [piece for piece in pieces if piece[2] > 0]
        pieces += [(end - one.elapsed, rung, min(one.elapsed, end - begin)) for rung, one in self._running(end)]
        if not pieces:
            return 1.0
        work: dict[int, list[float]] = {}
        for _, number, seconds in sorted(pieces):  # as they began
            work.setdefault(number, []).append(seconds)
        rungs = [(rung.bracket, rung.waits, work.get(number, [])) for number, rung in enumerate(self.rungs)]
        took, played = end - begin, play(rungs, self.slots)
        if played <= 0:
            return 1.0
        weight = len(pieces) / (len(pieces) + 2.0 * self.slots)
        return math.exp(weight * math.log(min(max(took / played, 0.5), 100.0)))


def estimate(wall: Floats, cpu: Floats) -> Estimate:
    """Return the median and the band of drawn wall and processor seconds."""
    return Estimate(*_band(wall), *_band(cpu / 3600))


def _band(values: Floats) -> tuple[float, float, float]:
    """Median, and the quantiles of the band; the k-th of n futures stands for k / (n + 1)."""
    quantiles = [0.5, (1 - DRAWN_LEVEL) / 2, (1 + DRAWN_LEVEL) / 2]
    middle, low, high = np.quantile(values, quantiles, method="weibull")
    return float(middle), float(low), float(high)
