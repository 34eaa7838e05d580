"""A search by cross-validation whose candidates TPE proposes, for any estimator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daskflow.search.adaptive_search import held_to, seed_from
from daskflow.search.budgets import Budget
from daskflow.search.fold_fits import FINITE
from daskflow.search.fold_work import FoldWork, Plan
from daskflow.search.grid_search import RandomizedSearchCV
from daskflow.search.places import Place
from daskflow.search.policies import Candidate, Policy, Request
from daskflow.search.proposals import LAG, STARTUP, Proposer
from daskflow.search.tpe import Proposing


@dataclass
class OpenFoldWork(FoldWork):
    """Units of a search whose candidates are not known beforehand.

    Of a pipeline the first steps are shared that no searched parameter touches; those are kept until the end.
    """

    searched: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Nothing is known of who needs what."""
        self.needed: Counter[str] = Counter()

    def plan(self, candidate: Candidate) -> Plan:
        """As in `FoldWork`, for a candidate that may be new."""
        if candidate.trial not in self.plans:
            chain, fuses = self._chain(candidate)
            names = [name for name, _ in self.estimator.steps] if chain else []
            touched = {name.partition("__")[0] for name in self.searched}
            length = next((place for place, name in enumerate(names) if name in touched), len(chain))
            self.plans[candidate.trial] = Plan(chain[:length], fuses and length >= len(chain))
        return self.plans[candidate.trial]

    def done(self, trial: str, fold: int) -> list[str]:
        """Nothing is given back before the end: the next candidate may need it."""
        return []


@dataclass
class Failing(Proposing):
    """Proposals that take the score which stands in for a failed fit for the failure it is."""

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Take an answer."""
        super().tell(request, math.nan if abs(score) > FINITE / 1e6 else score, seconds, cpu_seconds)


class TPESearchCV(RandomizedSearchCV):
    """Try parameters proposed by TPE from the scores of earlier ones, by cross-validation (Bergstra et al. 2011).

    Needs the extra ``optuna``. Parameters and attributes are those of `RandomizedSearchCV`, and:

    Parameters
    ----------
    n_iter : int, default 40
        How many candidates; a space of lists with fewer combinations gives each of them once.
    startup : int, default 16
        So many are drawn at random first: those that `RandomizedSearchCV` draws for ``n_iter=startup``.
    lag : int, default 8
        Candidate n sees exactly the scores of candidates below ``n - lag``, so candidates are the same for any number
        of workers and any order of answers; ``lag + 1`` candidates are at work at a time.
    budget : Budget or dict, optional
        When to end earlier, such as ``{"wall_time": "10 min"}``; see `daskflow.search.budgets.Budget`.

    Attributes
    ----------
    ended_ : str
        Which limit of the budget ended the search; empty when it came to its own end.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> search = TPESearchCV(SVC(), {"C": loguniform(1e-3, 1e3)}, n_iter=20, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"]), search.best_score_ > 0.95
    (20, True)
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        n_iter: int = 40,
        startup: int = STARTUP,
        lag: int = LAG,
        budget: Budget | Mapping[str, Any] | None = None,
        random_state: Any = None,
        scoring: Any = None,
        iid: bool = True,
        refit: Any = True,
        cv: Any = None,
        error_score: Any = "raise",
        return_train_score: bool = False,
        scheduler: Any = None,
        n_jobs: int = -1,
        cache_cv: bool = True,
    ) -> None:
        """Keep the settings; they are checked when fitting begins."""
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            random_state=random_state,
            scoring=scoring,
            iid=iid,
            refit=refit,
            cv=cv,
            error_score=error_score,
            return_train_score=return_train_score,
            scheduler=scheduler,
            n_jobs=n_jobs,
            cache_cv=cache_cv,
        )
        self.startup = startup
        self.lag = lag
        self.budget = budget

    def _search(self, place: Place, X: Any, y: Any, groups: Any, fit_params: Mapping[str, Any]) -> Any:
        try:
            super()._search(place, X, y, groups, fit_params)
            self.ended_ = getattr(self._held, "ended", str)()
        finally:
            self.__dict__.pop("_held", None)
        return self

    def _policy(self) -> Policy:
        seed = seed_from(self.random_state)
        proposer = Proposer(
            self.param_distributions,
            seed=seed,
            startup=min(self.startup, self.n_iter),
            random_state=seed if self.random_state is None else self.random_state,
            kind="tpe",
        )
        self._searched = frozenset(name for branch in proposer.plane.branches for name in branch)
        policy = Failing(proposer, int(min(self.n_iter, proposer.n_points)), self.lag)
        self._held = held_to(self.budget, policy)
        return self._held

    def _work(self, **settings: Any) -> FoldWork:
        return OpenFoldWork(**settings, searched=self.__dict__.pop("_searched"))
