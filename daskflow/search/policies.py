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
    """Decides what runs next; deterministic in what it was told, whatever the order it was told in."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Every candidate, drawn before the first fit."""

    def ask(self) -> Sequence[Request]:
        """Requests that may start now; each is given once. Empty while answers are awaited, and at the end."""

    def tell(self, request: Request, score: float, seconds: float = 0.0) -> None:
        """Answer a request; greater is better, nan for a failure."""


@dataclass
class AllAtOnce:
    """Every candidate once with the whole resource: grid, random and no search."""

    candidates: Sequence[Candidate]
    resource: int = 1
    _asked: bool = False

    def ask(self) -> Sequence[Request]:
        """All requests, the first time."""
        if self._asked:
            return []
        self._asked = True
        return [Request(candidate.trial, self.resource) for candidate in self.candidates]

    def tell(self, request: Request, score: float, seconds: float = 0.0) -> None:
        """Nothing depends on a score."""


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

    def tell(self, request: Request, score: float, seconds: float = 0.0) -> None:
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

    def tell(self, request: Request, score: float, seconds: float = 0.0) -> None:
        """Tell the part the trial belongs to."""
        self._owners[request.trial].tell(request, score, seconds)
