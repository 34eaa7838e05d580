"""Policies: which candidate gets how much resource next; they decide, and never compute.

The adaptive ones follow dask-ml's searches: its classes draw the candidates and their ``_additional_calls`` says
after each rung who goes on, so the schedules are dask-ml's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trial's name and parameters, as drawn before the first fit.

    Attributes
    ----------
    trial : str
        Unique in the search: its number, or ``"bracket-number"``.
    params : mapping
        Parameters for the estimator.
    bracket : int or None
        Of Hyperband.
    """

    trial: str
    params: Mapping[str, Any]
    bracket: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Bring a trial to this much resource in total, then score it."""

    trial: str
    resource: int


class Policy(Protocol):
    """Decides what runs next; deterministic in its settings, its seed, and the answers in their order.

    It is asked after every answer. A policy may have these methods too; who uses it looks whether it has them.

    ``wants(number: int) -> None``
        So many requests may be without an answer at a time; said before the first ask, and again when workers join or
        leave. Policies that decide late (ASHA) hold back what is more; others give all they have.
    ``dropped() -> Collection[str]``
        Trials that get nothing more: what runs of them is given up.
    ``limit(trials: int) -> bool``
        Take no more candidates than so many, and say whether that leaves some out; said before the first ask.
    ``remember(records: Iterable[Mapping]) -> None``
        A journal's records of earlier invocations; said before the first answer. The answers themselves are told again.
    ``ended() -> str``
        Why it ended before it had nothing more to ask; empty when it did not.
    ``goes_on(trial: str) -> bool``
        Whether a trial that has its answers may be asked for again. Without it, none is.
    ``more(trials: int) -> None`` and ``spare: int``
        Take so many of the candidates after all that `limit` left out, and how many those are; ``left_out`` names them,
        where they are drawn already.
    """

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Every candidate drawn so far; more come at the end, and none ever leaves."""

    def ask(self) -> Sequence[Request]:
        """Requests that may start now; each is given once. Empty while answers are awaited, and at the end."""

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Answer a request; greater is better, nan for a failure; costs are summed over folds."""


@dataclass
class AllAtOnce:
    """Every candidate once with the whole resource: grid, random and no search."""

    candidates: Sequence[Candidate]
    resource: int = 1
    left_out: Sequence[Candidate] = ()
    _asked: int = 0

    def ask(self) -> Sequence[Request]:
        """All requests, the first time; later those of candidates that came since."""
        new, self._asked = self.candidates[self._asked :], len(self.candidates)
        return [Request(candidate.trial, self.resource) for candidate in new]

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Nothing depends on a score."""

    def limit(self, trials: int) -> bool:
        """Leave out all but the first."""
        self.candidates, self.left_out = self.candidates[:trials], self.candidates[trials:]
        return bool(self.left_out)

    @property
    def spare(self) -> int:
        """How many were left out."""
        return len(self.left_out)

    def more(self, trials: int) -> None:
        """Take so many of those that were left out."""
        self.candidates = [*self.candidates, *self.left_out[:trials]]
        self.left_out = self.left_out[trials:]


AdditionalCalls = Callable[[dict[int, list[dict[str, Any]]]], Mapping[int, int]]


@dataclass
class Adaptive:
    """One of dask-ml's incremental searches: all candidates get one block, then its rule decides after each rung.

    Parameters
    ----------
    candidates : sequence of Candidate
        In dask-ml's order; candidate i has dask-ml's ``model_id`` i.
    additional_calls : callable
        dask-ml's rule: ``{model_id: [meta, ...]} -> {model_id: further calls}``; a model left out is dropped.
    """

    candidates: Sequence[Candidate]
    additional_calls: AdditionalCalls
    _info: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    _awaited: set[int] = field(default_factory=set)
    _new: list[dict[str, Any]] = field(default_factory=list)
    _started: bool = False
    _ended: bool = False

    def __post_init__(self) -> None:
        """Number the trials as dask-ml does."""
        self._numbers = {candidate.trial: number for number, candidate in enumerate(self.candidates)}

    def ask(self) -> Sequence[Request]:
        """The requests of the next rung once every answer of this one is in."""
        if self._ended or self._awaited:
            return []
        if not self._started:
            self._started = True
            self._info = {number: [] for number in range(len(self.candidates))}
            return self._requests(dict.fromkeys(self._info, 1))
        for meta in sorted(self._new, key=lambda new: int(new["model_id"])):
            self._info[meta["model_id"]].append(meta)
        self._new = []
        with np.errstate(invalid="ignore"):  # the rule subtracts scores, and a failure is minus infinity
            calls = {int(number): int(more) for number, more in self.additional_calls(self._info).items()}
        self._info = {number: history for number, history in self._info.items() if number in calls}
        if not any(calls.values()):
            self._ended = True
            return []
        return self._requests({number: more for number, more in calls.items() if more > 0})

    def _requests(self, calls: Mapping[int, int]) -> list[Request]:
        self._awaited = set(calls)
        return [
            Request(self.candidates[number].trial, self._seen(number) + more) for number, more in sorted(calls.items())
        ]

    def _seen(self, number: int) -> int:
        history = self._info[number]
        return int(history[-1]["partial_fit_calls"]) if history else 0

    def limit(self, trials: int) -> bool:
        """Leave out all but the first; of those as many go on at each rung as of all."""
        n_drawn, self.candidates = len(self.candidates), self.candidates[:trials]
        self.__post_init__()
        return trials < n_drawn

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked."""
        return self._ended

    def goes_on(self, trial: str) -> bool:
        """Whether a rung may come that the trial takes part in."""
        number = self._numbers.get(trial)
        if self._ended or number is None or number not in self._info:
            return False
        seen = max([self._seen(number), *(new["partial_fit_calls"] for new in self._new if new["model_id"] == number)])
        return bool(seen < getattr(self.additional_calls, "max_iter", math.inf))

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Collect an answer; the rule sees a failure as minus infinity."""
        number = self._numbers[request.trial]
        self._awaited.discard(number)
        self._new.append(
            {
                "model_id": number,
                "params": dict(self.candidates[number].params),
                "partial_fit_calls": request.resource,
                "partial_fit_time": seconds,
                "score": -math.inf if math.isnan(score) else score,
                "score_time": 0.0,
                "elapsed_wall_time": 0.0,
            }
        )


@dataclass
class SideBySide:
    """Several policies at once: Hyperband's brackets."""

    parts: Sequence[Policy]

    def __post_init__(self) -> None:
        """Remember whose trial is whose."""
        self._owners = {candidate.trial: part for part in self.parts for candidate in part.candidates}

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Candidates of all parts, in order."""
        return [candidate for part in self.parts for candidate in part.candidates]

    def ask(self) -> Sequence[Request]:
        """Whatever any part asks."""
        return [request for part in self.parts for request in part.ask()]

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Tell the part the trial belongs to."""
        self._owners[request.trial].tell(request, score, seconds, cpu_seconds)

    def goes_on(self, trial: str) -> bool:
        """Ask the part the trial belongs to."""
        owner = self._owners.get(trial)
        return owner is not None and hasattr(owner, "goes_on") and bool(owner.goes_on(trial))

    def limit(self, trials: int) -> bool:
        """Leave out all but the first candidates, and parts that have none left."""
        kept: list[Policy] = []
        n_drawn, most = len(self.candidates), trials
        for part in self.parts:
            n_candidates = min(trials, len(part.candidates))
            if n_candidates:
                part.limit(n_candidates)  # type: ignore[attr-defined]  # parts of another package may lack it
                kept.append(part)
            trials -= n_candidates
        self.parts = kept
        self.__post_init__()
        return most < n_drawn
