"""Searches in simulated time: the engine and a policy are real, fits take what a formula says, and no time passes."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskflow.core.events import Event
from daskflow.core.protocols import Outcome, Unit
from daskflow.core.seeds import seed_of
from daskflow.core.space import LogUniform
from daskflow.search import Search, engine
from daskflow.search.candidates import written
from daskflow.search.forecast import Estimate, Forecast
from daskflow.search.foreseeing import Foreseeing
from daskflow.search.jobs import Answer, unit_key
from daskflow.search.policies import Candidate
from daskflow.search.schedules import schedule

SPACE = {"alpha": LogUniform(1e-6, 1e-1), "trees": [50, 100, 200, 400]}


@dataclass(frozen=True)
class Truth:
    """What fits take: a fixed part and one for the resource, times the candidate's factor, times the fold's."""

    seed: int
    fixed: float = 0.2
    spread: float = 0.5
    by_trees: bool = False
    overhead: float = 0.002

    @classmethod
    def drawn(cls, seed: int) -> Truth:
        """One of many kinds of searches."""
        rng = np.random.default_rng(seed)
        return cls(
            seed,
            fixed=float(rng.choice([0.0, 0.1, 1.0, 5.0])),
            spread=float(rng.uniform(0.1, 1.0)),
            by_trees=bool(rng.random() < 0.5),
            overhead=float(rng.choice([0.001, 0.02, 0.2])),
        )

    def seconds(self, candidate: Candidate, fold: int, start: int, stop: int) -> float:
        """Of one fit."""
        rng = np.random.default_rng(seed_of(self.seed, "cost", candidate.trial))
        own = math.exp(self.spread * rng.normal())
        trees = candidate.params.get("trees", 100) / 100 if self.by_trees else 1.0
        noise = np.random.default_rng(seed_of(self.seed, candidate.trial, fold, stop)).normal()
        return float((self.fixed + stop - start) * own * trees * math.exp(0.05 * noise))

    def score(self, candidate: Candidate, stop: int) -> float:
        """It rises with the resource."""
        return float(np.random.default_rng(seed_of(self.seed, "score", candidate.trial)).random() - 1 / (1 + stop))


@dataclass
class Clockwork:
    """An executor of some slots, and a work, in simulated time."""

    truth: Truth
    slots: int
    n_folds: int
    now: float = 1000.0
    metric: str = "score"
    greater_is_better: bool = True
    _numbers: Any = field(default_factory=itertools.count)
    _waiting: deque[Unit] = field(default_factory=deque)
    _running: list[tuple[float, int, float, Unit]] = field(default_factory=list)

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._running)

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        return Unit(unit_key(candidate.trial, fold, stop), print, (candidate, fold, start, stop))

    def submit(self, unit: Unit) -> None:
        self._waiting.append(unit)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            unit = self._waiting.popleft()
            seconds = self.truth.seconds(*unit.arguments)
            end = self.now + seconds + self.truth.overhead
            heapq.heappush(self._running, (end, next(self._numbers), seconds, unit))

    def next(self, timeout: float | None = None) -> Outcome | None:
        if not self._running:
            return None
        self.now, _, seconds, unit = heapq.heappop(self._running)
        self._fill()
        candidate, _, _, stop = unit.arguments
        answer = Answer({"score": self.truth.score(candidate, stop)})
        return Outcome(unit.key, answer, seconds=seconds, cpu_seconds=0.9 * seconds)

    def release(self, keys: Sequence[str]) -> None: ...

    def drop(self, keys: Sequence[str]) -> None: ...

    def cancel(self) -> None: ...

    def vacate(self) -> None: ...

    def troubles(self) -> Sequence[str]:
        return ()


@dataclass(frozen=True)
class Told:
    """A forecast, and what came: seconds and CPU-hours from then to the end."""

    done: int
    estimate: Estimate
    seconds: float
    cpu_hours: float

    @property
    def holds_wall(self) -> bool:
        return self.estimate.low <= self.seconds <= self.estimate.high

    @property
    def holds_cpu(self) -> bool:
        return self.estimate.cpu_low <= self.cpu_hours <= self.estimate.cpu_high


def simulated(
    search: Search, truth: Truth, *, slots: int = 2, n_folds: int = 1, at: Callable[[int], bool] = lambda done: False
) -> tuple[int, list[Told]]:
    """Search in simulated time; return the number of fits, and the forecasts after the fits that `at` says."""
    clock = Clockwork(truth, slots, n_folds)
    space = search.space or SPACE
    policy = search.policy(space, seed=truth.seed)
    drawn: Sequence[Mapping[str, Any]] = [written(candidate) for candidate in policy.candidates]
    forecast = Forecast(
        schedule(search, space, seed=truth.seed),
        n_folds=n_folds,
        slots=slots,
        params={one["trial"]: one["params"] for one in drawn},
        brackets={one["trial"]: one["bracket"] for one in drawn},
    )
    told: list[tuple[int, float, float, Estimate]] = []
    seer = Foreseeing(lambda event: None, forecast, clock=lambda: clock.now)
    seer.say = lambda now: None  # type: ignore[method-assign]  # only where the test asks

    def hear(event: Event) -> None:
        seer(Event(event.name, event.fields, clock.now))
        if event.name == "unit" and at(forecast.done):
            estimate = forecast.remaining(clock.now)
            assert estimate is not None
            told.append((forecast.done, clock.now, forecast.cpu_seconds, estimate))

    engine.run(policy, clock, clock, recorder=seer, listener=hear)  # type: ignore[arg-type]  # both are protocols
    return forecast.done, [
        Told(done, estimate, clock.now - now, (forecast.cpu_seconds - cpu) / 3600) for done, now, cpu, estimate in told
    ]


def at_quarters(search: Search, truth: Truth, **options: Any) -> list[Told]:
    """Return the forecasts after a quarter, half, and three quarters of all fits."""
    n_fits, _ = simulated(search, truth, **options)
    marks = {math.ceil(n_fits * quarter / 4) for quarter in (1, 2, 3)}
    return simulated(search, truth, at=marks.__contains__, **options)[1]
