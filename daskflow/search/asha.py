"""ASHA: asynchronous successive halving, which promotes a trial as soon as it is among the best of its rung so far."""

from __future__ import annotations

import bisect
import math
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.warned import ignored
from daskflow.search import Search
from daskflow.search.candidates import check_space, named
from daskflow.search.policies import Candidate, Request
from daskflow.search.random import draw

STOCK = 8
"""Requests without an answer, as long as nobody says how many there may be."""


def rungs(min_resource: int, max_iter: int, aggressiveness: int) -> tuple[int, ...]:
    """Return the resources at which trials are judged: each so many times the one before, and `max_iter` last.

    Examples
    --------
    >>> rungs(1, 27, 3), rungs(2, 20, 3)
    ((1, 3, 9, 27), (2, 6, 18, 20))
    """
    found = []
    resource = min_resource
    while resource < max_iter:
        found.append(resource)
        resource *= aggressiveness
    return (*found, max_iter)


@dataclass
class AsynchronousHalving:
    """The rule of ASHA: a trial goes on as soon as it is in the top ``1 / aggressiveness`` of its rung so far.

    That is the paper's ``get_job``, called once after every answer: a rung of n answers has ``n // aggressiveness``
    places at the top, and who stands on one goes on, once. Nobody waits for stragglers, so a trial may go on that would
    not have, had all answers been in. Decisions depend on the answers and their order, and on nothing else. Of what is
    decided, promotions are given out first, to the highest rung first, and then new candidates.

    Parameters
    ----------
    candidates : sequence of Candidate
        In the order they begin.
    rungs : sequence of int
        Resources, rising.
    aggressiveness : int
        The paper's reduction factor, eta.
    stock : int
        Requests that may be without an answer at a time; what is held back can still be overtaken by a promotion.

    References
    ----------
    L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2.
    """

    candidates: Sequence[Candidate]
    rungs: Sequence[int]
    aggressiveness: int = 3
    stock: int = STOCK
    left_out: Sequence[Candidate] = ()
    _begun: int = 0
    _awaited: int = 0
    _told: int = 0
    _promoted: list[deque[str]] = field(default_factory=list)
    _answers: list[list[tuple[float, int, str]]] = field(default_factory=list)
    _gone: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with empty rungs."""
        self._promoted = [deque() for _ in self.rungs]
        self._answers = [[] for _ in self.rungs]
        self._gone = [set() for _ in self.rungs]

    def wants(self, number: int) -> None:
        """Let so many requests be without an answer at a time."""
        self.stock = max(1, number)

    def limit(self, trials: int) -> bool:
        """Leave out all candidates but the first."""
        self.candidates, self.left_out = self.candidates[:trials], self.candidates[trials:]
        return bool(self.left_out)

    @property
    def spare(self) -> int:
        """How many were left out."""
        return len(self.left_out)

    def more(self, trials: int) -> None:
        """Take so many of those that were left out; they begin behind the others."""
        self.candidates = [*self.candidates, *self.left_out[:trials]]
        self.left_out = self.left_out[trials:]

    def goes_on(self, trial: str) -> bool:
        """Whether the trial may still be promoted: whether it has not failed, nor come to the last rung."""
        best = {name: score for answers in self._answers[:-1] for score, _, name in answers}
        return best.get(trial, math.inf) < math.inf and all(name != trial for _, _, name in self._answers[-1])

    def ask(self) -> Sequence[Request]:
        """Promotions, then new candidates, until `stock` are without an answer."""
        given: list[Request] = []
        while self._awaited < self.stock:
            request = self._next()
            if request is None:
                break
            self._awaited += 1
            given.append(request)
        return given

    def _next(self) -> Request | None:
        for level in reversed(range(len(self.rungs))):
            if self._promoted[level]:
                return Request(self._promoted[level].popleft(), self.rungs[level])
        if self._begun == len(self.candidates):
            return None
        self._begun += 1
        return Request(self.candidates[self._begun - 1].trial, self.rungs[0])

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Take an answer into its rung, and promote who is at its top now; a failure is last and never goes on."""
        self._awaited -= 1
        level = self.rungs.index(request.resource)
        answers = self._answers[level]
        entry = (math.inf if math.isnan(score) else -score, self._told, request.trial)  # of equal ones the first
        self._told += 1
        place = bisect.bisect(answers, entry)
        answers.insert(place, entry)
        if level + 1 == len(self.rungs):
            return
        top = len(answers) // self.aggressiveness
        # Before this answer everybody at the top had gone on: new there are itself, or whom one more place lets in.
        for newcomer in (place, top - 1):
            if 0 <= newcomer < top and answers[newcomer][0] < math.inf:
                trial = answers[newcomer][2]
                if trial not in self._gone[level]:
                    self._gone[level].add(trial)
                    self._promoted[level + 1].append(trial)


class ASHA(Search):
    """Asynchronous successive halving: many candidates begin, the best third so far goes on, nobody waits.

    For uneven fits and many workers: where successive halving and Hyperband wait for the last fit of a rung, this keeps
    every worker busy. What goes on depends on the order in which fits end, so two runs with more than one worker may
    differ; a run that is killed and continued is told the same answers in the same order, and goes on as it would have.

    Attributes
    ----------
    trials : int
        How many candidates are drawn. Of 60 about 20, 6 and 2 reach the rungs after the first; to reach the last one
        there should be at least ``max_iter / min_resource`` of them.
    max_iter : int
        The most resource one candidate gets: training blocks seen; for boosting, rounds in that many equal steps; for
        estimators that learn neither way, shares of the training rows.
    aggressiveness : int
        Of each rung one in so many goes on, to so many times the resource (the paper's reduction factor, eta).
    min_resource : int
        Resource of the first rung.

    References
    ----------
    L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.

    Examples
    --------
    >>> from daskflow.core.space import LogUniform
    >>> policy = ASHA(trials=9, max_iter=9).policy({"alpha": LogUniform(1e-6, 1e-1)}, seed=7)
    >>> policy.wants(2)
    >>> [(request.trial, request.resource) for request in policy.ask()]
    [('0', 1), ('1', 1)]
    """

    kind: Literal["asha"] = "asha"
    trials: int = Field(default=60, ge=1)
    max_iter: int = Field(default=27, ge=1)
    aggressiveness: int = Field(default=3, ge=2)
    min_resource: int = Field(default=1, ge=1)

    def model_post_init(self, context: Any) -> None:
        """Refuse a first rung beyond the last."""
        if self.min_resource > self.max_iter:
            found = f"must not be more than max_iter = {self.max_iter} (found {self.min_resource})"
            raise SettingsError([Problem("min_resource", found)])

    @property
    def stops_early(self) -> bool:
        """Candidates are judged at every rung."""
        return True

    @property
    def resource(self) -> int:
        """``max_iter``."""
        return self.max_iter

    @property
    def rungs(self) -> tuple[int, ...]:
        """Resources at which trials are judged."""
        return rungs(self.min_resource, self.max_iter, self.aggressiveness)

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> AsynchronousHalving:
        """Draw the candidates as a random search would.

        Raises
        ------
        SettingsError
            For a space without parameters.

        Warns
        -----
        UserWarning
            When there are too few candidates for any to reach the last rung.
        """
        check_space(space, self.kind)
        candidates = named(draw(space, self.trials, seed))
        needed = self.aggressiveness ** (len(self.rungs) - 1)
        if len(candidates) < needed:
            warnings.warn(
                f"search.trials = {len(candidates)} is too few for any candidate to reach max_iter = {self.max_iter}: "
                f"it takes {needed} for {len(self.rungs)} rungs of which one in {self.aggressiveness} goes on. Raise "
                "trials or min_resource, or lower max_iter.",
                stacklevel=2,
            )
        return AsynchronousHalving(candidates, self.rungs, self.aggressiveness)

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """What it costs when candidates come in no order; a rising one costs more, by what goes on too early."""
        with ignored():
            number = self.capped(len(self.unlimited(space, seed=seed).candidates))
        sizes = [number]
        while len(sizes) < len(self.rungs):
            sizes.append(sizes[-1] // self.aggressiveness)
        steps = [stop - start for start, stop in zip((0, *self.rungs), self.rungs, strict=False)]
        resource = sum(size * step for size, step in zip(sizes, steps, strict=True))
        return {"candidates": number, "units": sum(sizes), "resource": resource}
