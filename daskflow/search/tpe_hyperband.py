"""TPE and Hyperband: dask-ml's brackets, whose candidates are proposed from the scores so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from daskflow.core.seeds import seed_of
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import Adaptive, AdditionalCalls, Candidate, Request
from daskflow.search.proposals import LAG, STARTUP, Proposer, Seen
from daskflow.search.spaces import Plane


@dataclass
class Bracket:
    """One bracket: its candidates come one after another, then its rule decides after each rung.

    Parameters
    ----------
    number : int
        dask-ml's.
    size : int
        Candidates.
    additional_calls : callable
        dask-ml's rule; see `policies.Adaptive`.
    """

    number: int
    size: int
    additional_calls: AdditionalCalls
    candidates: list[Candidate] = field(default_factory=list)
    answers: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _told: list[tuple[Request, float, float]] = field(default_factory=list)
    _rungs: Adaptive | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked."""
        return self._rungs is not None and self._rungs.is_over

    def add(self, params: Mapping[str, Any]) -> Request:
        """Take the next candidate, and ask for its first resource, which is 1 in every bracket of dask-ml's."""
        candidate = Candidate(f"{self.number}-{len(self.candidates)}", params, self.number)
        self.candidates.append(candidate)
        self.answers[candidate.trial] = []
        return Request(candidate.trial, 1)

    def ask(self) -> Sequence[Request]:
        """The requests of the next rung, once all candidates are there and every answer is in."""
        if self._rungs is None:
            if len(self.candidates) < self.size or len(self._told) < self.size:
                return []
            self._rungs = Adaptive(self.candidates, self.additional_calls)
            self._rungs.ask()  # the first rung, which has been answered by now
            for request, score, seconds in self._told:
                self._rungs.tell(request, score, seconds)
        return self._rungs.ask()

    def goes_on(self, trial: str) -> bool:
        """Whether a rung may come that the trial takes part in."""
        answers = self.answers[trial]
        if self._rungs is not None:
            return self._rungs.goes_on(trial)
        return bool(answers) and not math.isnan(answers[-1][1])

    def tell(self, request: Request, score: float, seconds: float) -> None:
        """Take an answer."""
        self.answers[request.trial].append((request.resource, score))
        if self._rungs is None:
            self._told.append((request, score, seconds))
        else:
            self._rungs.tell(request, score, seconds)


@dataclass
class ProposingBrackets:
    """Hyperband's brackets, whose candidates are numbered through and proposed one after another.

    Candidate n sees, of every candidate below ``n - lag``, the score at its first resource, and of those in brackets
    that are two or more before its own, which are over by then, their last score. It is proposed once these are known
    and knows nothing else, so the candidates depend neither on the order of answers nor on the workers. TPE ranks by
    resource first and by score second, so who was taken further teaches more. Rungs begin when those before them are
    complete, as dask-ml's do; the next bracket begins meanwhile.

    Parameters
    ----------
    proposer : Proposer
        Makes the candidates.
    brackets : list of Bracket
        In the order they begin.
    lag : int
        See above.
    max_iter : int
        The most resource of a candidate.
    """

    proposer: Proposer
    brackets: list[Bracket]
    lag: int
    max_iter: int
    candidates: list[Candidate] = field(default_factory=list)
    _owners: dict[str, int] = field(default_factory=dict)
    _answered: int = 0

    def limit(self, trials: int) -> bool:
        """Leave out all candidates but the first, and brackets that have none left."""
        left, wanted = trials, sum(bracket.size for bracket in self.brackets)
        for bracket in self.brackets:
            bracket.size = min(bracket.size, left)
            left -= bracket.size
        self.brackets = [bracket for bracket in self.brackets if bracket.size]
        return trials < wanted

    def ask(self) -> Sequence[Request]:
        """The next rungs of brackets that are ready, and every proposal that can be made."""
        given = [request for bracket in self.brackets for request in bracket.ask()]
        while (place := self._next_place()) is not None:
            params = self.proposer.next(self._seen(place))
            given.append(self.brackets[place].add(params))
            self.candidates.append(self.brackets[place].candidates[-1])
            self._owners[self.candidates[-1].trial] = place
        return given

    def _next_place(self) -> int | None:
        """The bracket whose candidate can be proposed now."""
        place = next((n for n, each in enumerate(self.brackets) if len(each.candidates) < each.size), None)
        if place is None or self._answered < len(self.candidates) - self.lag:
            return None
        return place if all(bracket.is_over for bracket in self.brackets[: max(0, place - 1)]) else None

    def _seen(self, place: int) -> list[Seen]:
        """What the next candidate, of the bracket at a place, sees of those before it."""
        seen = []
        for number, candidate in enumerate(self.candidates):
            owner = self._owners[candidate.trial]
            answers = self.brackets[owner].answers[candidate.trial]
            if owner <= place - 2:
                resource, score = answers[-1]
                seen.append(Seen(score, None if resource == self.max_iter else resource))
            elif number < len(self.candidates) - self.lag:
                resource, score = answers[0]
                seen.append(Seen(score, resource))
            else:
                seen.append(Seen())
        return seen

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Tell the bracket the trial belongs to."""
        self.brackets[self._owners[request.trial]].tell(request, score, seconds)
        while self._answered < len(self.candidates):
            trial = self.candidates[self._answered].trial
            if not self.brackets[self._owners[trial]].answers[trial]:
                break
            self._answered += 1

    def goes_on(self, trial: str) -> bool:
        """Ask the bracket the trial belongs to."""
        return trial in self._owners and self.brackets[self._owners[trial]].goes_on(trial)


class TPEHyperband(Hyperband):
    """Hyperband's schedule, with candidates proposed by TPE from the scores so far instead of drawn.

    For the many short fits of Hyperband where good candidates are rare: later candidates are drawn near those that did
    well. Needs the extra ``optuna``. The options, and what they mean, are those of ``hyperband``; the schedule is
    dask-ml's.

    Attributes
    ----------
    startup : int
        So many candidates are drawn at random first.
    lag : int
        Candidate n sees, of every candidate below ``n - lag``, the score at its first resource, and the last scores of
        brackets two or more before its own; so candidates are the same for any number of workers, any order of answers,
        and after any kill. Within a bracket ``lag + 1`` candidates begin at a time.

    References
    ----------
    S. Falkner et al., "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML 2018.

    Examples
    --------
    >>> from daskflow.core.space import LogUniform
    >>> policy = TPEHyperband(max_iter=9, lag=2).policy({"alpha": LogUniform(1e-6, 1e-1)}, seed=7)
    >>> [request.trial for request in policy.ask()]
    ['2-0', '2-1', '2-2']
    """

    kind: Literal["tpe-hyperband"] = "tpe-hyperband"  # type: ignore[assignment]  # a kind of its own
    startup: int = Field(default=STARTUP, ge=0)
    lag: int = Field(default=LAG, ge=0)

    @property
    def draws_first(self) -> bool:
        """Candidates come as answers do."""
        return False

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> ProposingBrackets:  # type: ignore[override]  # as above
        """Draw the first candidates; the others are proposed as answers come in.

        Raises
        ------
        SettingsError
            For a space without parameters or with a distribution that TPE does not know, and without Optuna.
        """
        proposer = Proposer(
            space, seed=seed, startup=self.startup, random_state=seed_of(seed, "candidates"), kind=self.kind
        )
        brackets = [Bracket(number, size, rule) for number, size, rule in self.rules()]
        return ProposingBrackets(proposer, brackets, self.lag, self.max_iter)

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """Those of Hyperband, whoever the candidates are."""
        Plane(space, self.kind)
        own = {name: getattr(self, name) for name in Hyperband.model_fields if name not in ("kind", "space")}
        return Hyperband(**own).fits({"number": range(10**9)}, seed=seed)
