"""TPE: each candidate is proposed from the scores of earlier ones, the same in whatever order those come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from daskflow.core.seeds import seed_of
from daskflow.search import Search
from daskflow.search.policies import Candidate, Request
from daskflow.search.proposals import LAG, STARTUP, Proposer, Seen, n_proposals


@dataclass
class Proposing:
    """Candidate n is proposed once every candidate below ``n - lag`` has an answer, and sees exactly those answers.

    So the candidates do not depend on the order of answers, nor on how many workers there are, nor on whether the
    search was killed and continued.

    Parameters
    ----------
    proposer : Proposer
        Makes them.
    trials : int
        How many.
    lag : int
        See above; ``lag + 1`` candidates can be without an answer at a time.
    resource : int
        Of every request.
    """

    proposer: Proposer
    trials: int
    lag: int
    resource: int = 1
    candidates: list[Candidate] = field(default_factory=list)
    _scores: dict[str, float] = field(default_factory=dict)
    spare: int = 0
    _answered: int = 0

    def limit(self, trials: int) -> bool:
        """Propose no more than so many."""
        self.spare = max(0, self.trials - trials)
        self.trials -= self.spare
        return self.spare > 0

    def more(self, trials: int) -> None:
        """Propose so many of those after all."""
        self.trials += trials
        self.spare -= trials

    def ask(self) -> Sequence[Request]:
        """Every proposal that can be made."""
        given: list[Request] = []
        while (number := len(self.candidates)) < self.trials and number - self.lag <= self._answered:
            seen = [Seen(self._scores[each.trial]) for each in self.candidates[: max(0, number - self.lag)]]
            unseen = [Seen()] * (number - len(seen))
            candidate = Candidate(str(number), self.proposer.next([*seen, *unseen]))
            self.candidates.append(candidate)
            given.append(Request(candidate.trial, self.resource))
        return given

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Take an answer."""
        self._scores[request.trial] = score
        while self._answered < len(self.candidates) and str(self._answered) in self._scores:
            self._answered += 1


class TPE(Search):
    """Candidates proposed by TPE, Optuna's tree-structured Parzen estimator, each fitted whole.

    For fits that take long, where it pays to think before the next one. Needs the extra ``optuna``. A family's space of
    lists and distributions is searched as it is: lists are choices without order, so numbers are better given as a
    distribution. Several branches of which a candidate has one are given as a list of spaces, or by ``model``.

    Attributes
    ----------
    trials : int
        How many. A space of lists with fewer combinations gives each of them once.
    startup : int
        Of these so many are drawn at random first: those that ``random`` draws from the same seed. At least twice
        `lag`, so that the first proposal sees something.
    lag : int
        Candidate n sees exactly the answers of candidates below ``n - lag``, whatever else is known by then; of the
        others it knows that they are being tried, and keeps away from them. So the candidates are the same for any
        number of workers, any order of answers, and after any kill, and ``lag + 1`` candidates can be at work at a time
        (times the number of folds). The default is enough for about 8 candidates at once; 0 is the classic sequence.

    References
    ----------
    J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011.
    T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.

    Examples
    --------
    >>> from daskflow.core.space import LogUniform
    >>> policy = TPE(trials=20, lag=2).policy({"alpha": LogUniform(1e-6, 1e-1)}, seed=7)
    >>> [request.trial for request in policy.ask()]
    ['0', '1', '2']
    >>> policy.tell(Request("0", 1), 0.5)
    >>> [request.trial for request in policy.ask()]
    ['3']
    """

    kind: Literal["tpe"] = "tpe"
    trials: int = Field(default=40, ge=1)
    startup: int = Field(default=STARTUP, ge=0)
    lag: int = Field(default=LAG, ge=0)

    @property
    def draws_first(self) -> bool:
        """Candidates come as answers do."""
        return False

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> Proposing:
        """Draw the first candidates; the others are proposed as answers come in.

        Raises
        ------
        SettingsError
            For a space without parameters or with a distribution that TPE does not know, and without Optuna.
        """
        startup = min(self.startup, self.trials)
        proposer = Proposer(space, seed=seed, startup=startup, random_state=seed_of(seed, "candidates"), kind=self.kind)
        return Proposing(proposer, int(min(self.trials, proposer.n_points)), self.lag)

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """One fit per candidate and fold."""
        number = self.capped(n_proposals(space, self.trials, self.kind))
        return {"candidates": number, "units": number, "resource": number}
