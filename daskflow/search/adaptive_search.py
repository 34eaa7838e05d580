"""Searches over estimators with ``partial_fit`` that dask-ml does not have: ASHA, and Hyperband with TPE.

They look like dask-ml's searches, take the same inputs and leave the same attributes; see `incremental_search`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask_ml._compat import _check_multimetric_scoring
from dask_ml.model_selection._hyperband import _get_hyperband_params
from dask_ml.model_selection._incremental import BaseIncrementalSearchCV
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import check_random_state

from daskflow.core.errors import SettingsError
from daskflow.core.settings import parse
from daskflow.search.asha import AsynchronousHalving, rungs
from daskflow.search.budgets import Budget, Budgeted
from daskflow.search.cv_results import ranks
from daskflow.search.engine_search import EngineSearch
from daskflow.search.incremental_search import HyperbandSearchCV
from daskflow.search.policies import Candidate, Policy, Request
from daskflow.search.proposals import LAG, STARTUP, Proposer
from daskflow.search.races import Race
from daskflow.search.tpe_hyperband import Bracket, ProposingBrackets


def held_to(budget: Budget | Mapping[str, Any] | None, policy: Policy) -> Policy:
    """Hold a policy to a budget, if there is one.

    Parameters
    ----------
    budget : Budget, mapping or None
        An estimator's.
    policy : Policy
        Decides.

    Raises
    ------
    SettingsError
        With every mistake in the budget.
    """
    if budget is None:
        return policy
    return Budgeted(policy, budget if isinstance(budget, Budget) else parse(Budget, budget, "budget"))


def seed_from(random_state: Any) -> int:
    """Return the seed that a ``random_state`` stands for: itself, or one drawn from it."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


@dataclass
class Followed:
    """A policy whose candidates and answers enter the races as they come."""

    policy: Policy
    races: Mapping[int | None, Race]
    _entered: int = 0

    @property
    def candidates(self) -> Sequence[Candidate]:
        """The policy's."""
        return self.policy.candidates

    def ask(self) -> Sequence[Request]:
        """What the policy asks for."""
        requests = self.policy.ask()
        for candidate in self.policy.candidates[self._entered :]:
            race = self.races[candidate.bracket]
            if candidate.trial not in race.numbers:
                race.add(candidate)
            self._entered += 1
        return requests

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Take what is on record into the races' histories, and tell the policy."""
        for race in self.races.values():
            new = race.collect()
            if new:
                race.log(new)
        self.policy.tell(request, score, seconds, cpu_seconds)

    def wants(self, number: int) -> None:
        """Let so many requests be without an answer at a time, if the policy decides late."""
        if hasattr(self.policy, "wants"):
            self.policy.wants(number)

    def dropped(self) -> Collection[str]:
        """The policy's."""
        found: Collection[str] = self.policy.dropped() if hasattr(self.policy, "dropped") else ()
        return found


class AdaptiveSearch(EngineSearch):
    """What these searches share: several metrics of which one ranks, and a budget."""

    _ranks_by_name = True

    def _scorers(self, estimator: Any) -> tuple[Any, dict[str, Any]]:
        scorers, has_several = _check_multimetric_scoring(estimator, scoring=self.scoring)
        if not has_several:
            return scorers["score"], {}
        if self.refit not in scorers:
            raise SettingsError(
                f"refit={self.refit!r} does not say which of several metrics ranks candidates. "
                f"Set refit to one of {sorted(scorers)}."
            )
        if "score" in scorers:
            raise SettingsError("No metric of scoring may be called 'score': that is the one that ranks.")
        return scorers[self.refit], dict(scorers)

    def _adopt_histories(self, races: Mapping[int | None, Race]) -> None:
        super()._adopt_histories(races)
        for name in self.scorer_ if self.multimetric_ else ():
            last = [history[-1].get(f"test_{name}", math.nan) for history in self.model_history_.values()]
            self.cv_results_ |= {f"test_{name}": np.array(last), f"rank_test_{name}": ranks(last)}

    def _run(self, place: Any, races: Mapping[int | None, Race], work: Any) -> None:
        try:
            super()._run(place, races, work)
            self.ended_ = getattr(self._followed.policy, "ended", str)()
        finally:
            self.__dict__.pop("_followed", None)

    def _follow(self, policy: Policy, races: Mapping[int | None, Race]) -> Policy:
        self._followed = Followed(held_to(self.budget, policy), races)
        return self._followed


class ASHASearchCV(AdaptiveSearch, BaseIncrementalSearchCV):  # type: ignore[misc]  # dask-ml has no types
    """Train many candidates a little; the best third so far goes on at any time, waiting for nobody (Li et al. 2020).

    Parameters
    ----------
    estimator : estimator
        With ``partial_fit``.
    parameters : dict or list of dict
        Lists of values, or distributions with ``rvs``.
    n_initial_parameters : int or "grid", default 60
        How many candidates to draw; "grid" takes every combination.
    n_initial_iter : int, default 1
        Calls of ``partial_fit`` before the first score.
    max_iter : int, default 27
        Calls of ``partial_fit`` to one model at most.
    aggressiveness : int, default 3
        Of each rung one in so many goes on, for so many times as long.
    budget : Budget or dict, optional
        When to end earlier, such as ``{"wall_time": "10 min"}``; see `daskflow.search.budgets.Budget`.
    test_size : float, optional
        Fraction of each block to score on; default one block's worth, at most a fifth.
    random_state : int, RandomState or None
        Draws candidates, test rows and the order of blocks.
    scoring : str, callable, list, dict or None
        One metric or several; None for the estimator's own.
    refit : str, optional
        With several metrics the name of the one that ranks. Nothing is fitted again: ``best_estimator_`` is the best
        model as it was trained.
    verbose : bool or float, default False
        Show the log on stdout; a float shows that share of answers.
    prefix : str
        Stands in each line of the log.
    predict_meta, predict_proba_meta, transform_meta : optional
        Empty outputs of those methods, for dask input whose output Dask cannot infer.

    Attributes
    ----------
    best_estimator_, best_score_, best_params_, best_index_
        Of the model with the best last score.
    cv_results_ : dict of numpy.ndarray
        As `IncrementalSearchCV`; with several metrics also ``test_NAME`` and ``rank_test_NAME``.
    history_, model_history_ : list of dict, dict of lists of dict
        Every score, in the order they came; and by model.
    ended_ : str
        Which limit of the budget ended the search; empty when it came to its own end.
    scorer_, n_splits_, multimetric_
        As scikit-learn's.

    Notes
    -----
    What goes on depends on the order in which fits end. In one process it is the same each time; with several workers
    two searches may differ.

    References
    ----------
    L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = ASHASearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": [10.0**-n for n in range(9)]}, n_initial_parameters="grid",
    ...     max_iter=9, random_state=0,
    ... ).fit(X, y, classes=[0, 1])
    >>> sorted(set(search.cv_results_["partial_fit_calls"].tolist()))
    [1, 3, 9]
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: int | str = 60,
        n_initial_iter: int = 1,
        max_iter: int = 27,
        aggressiveness: int = 3,
        budget: Budget | Mapping[str, Any] | None = None,
        test_size: float | None = None,
        random_state: Any = None,
        scoring: Any = None,
        refit: Any = None,
        verbose: bool | float = False,
        prefix: str = "",
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        """Keep the settings; they are checked when fitting begins."""
        super().__init__(
            estimator,
            parameters,
            test_size=test_size,
            random_state=random_state,
            scoring=scoring,
            max_iter=max_iter,
            verbose=verbose,
            prefix=prefix,
            predict_meta=predict_meta,
            predict_proba_meta=predict_proba_meta,
            transform_meta=transform_meta,
        )
        self.n_initial_parameters = n_initial_parameters
        self.n_initial_iter = n_initial_iter
        self.aggressiveness = aggressiveness
        self.budget = budget
        self.refit = refit

    def _check_settings(self, fit_params: Mapping[str, Any]) -> None:
        super()._check_settings(fit_params)
        if self.aggressiveness < 2 or not 1 <= self.n_initial_iter <= self.max_iter:
            raise SettingsError(
                "ASHASearchCV needs aggressiveness >= 2 and 1 <= n_initial_iter <= max_iter (found "
                f"{self.aggressiveness}, {self.n_initial_iter} and {self.max_iter})."
            )

    def _get_params(self) -> Any:
        if self.n_initial_parameters == "grid":
            return ParameterGrid(self.parameters)
        return ParameterSampler(self.parameters, self.n_initial_parameters, random_state=self.random_state)

    def _policy(self, races: Mapping[int | None, Race]) -> Policy:
        (race,) = races.values()
        levels = rungs(self.n_initial_iter, self.max_iter, self.aggressiveness)
        policy = AsynchronousHalving(list(race.candidates), levels, self.aggressiveness)
        return self._follow(policy, races)


class TPEHyperbandSearchCV(AdaptiveSearch, HyperbandSearchCV):
    """Run dask-ml's Hyperband with candidates proposed by TPE from the scores so far (Falkner et al. 2018).

    Needs the extra ``optuna``. Parameters and attributes are those of `HyperbandSearchCV`, and:

    Parameters
    ----------
    startup : int, default 16
        So many candidates are drawn at random first.
    lag : int, default 8
        Candidate n sees, of every candidate below ``n - lag``, the score at its first call, and the last scores of
        brackets two or more before its own: the same for any number of workers and any order of answers. Within a
        bracket ``lag + 1`` candidates begin at a time.
    budget, refit
        As in `ASHASearchCV`.

    Attributes
    ----------
    ended_ : str
        As in `ASHASearchCV`.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = TPEHyperbandSearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": loguniform(1e-6, 1)}, max_iter=9, random_state=0
    ... ).fit(X, y, classes=[0, 1])
    >>> search.metadata_["n_models"], search.metadata_["partial_fit_calls"]
    (17, 69)
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        max_iter: int = 81,
        aggressiveness: int = 3,
        patience: bool | int = False,
        tol: float = 1e-3,
        startup: int = STARTUP,
        lag: int = LAG,
        budget: Budget | Mapping[str, Any] | None = None,
        test_size: float | None = None,
        random_state: Any = None,
        scoring: Any = None,
        refit: Any = None,
        verbose: bool | float = False,
        prefix: str = "",
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        """Keep the settings; they are checked when fitting begins."""
        super().__init__(
            estimator,
            parameters,
            max_iter=max_iter,
            aggressiveness=aggressiveness,
            patience=patience,
            tol=tol,
            test_size=test_size,
            random_state=random_state,
            scoring=scoring,
            verbose=verbose,
            prefix=prefix,
            predict_meta=predict_meta,
            predict_proba_meta=predict_proba_meta,
            transform_meta=transform_meta,
        )
        self.startup = startup
        self.lag = lag
        self.budget = budget
        self.refit = refit

    def _candidates(self, searcher: Any, bracket: int | None) -> list[Candidate]:
        """None before the first answer: they are proposed as the search goes on."""
        return []

    def _policy(self, races: Mapping[int | None, Race]) -> Policy:
        proposer = Proposer(
            self.parameters,
            seed=seed_from(self.random_state),
            startup=self.startup,
            random_state=self.random_state,
            kind="tpe-hyperband",
        )
        sizes = _get_hyperband_params(self.max_iter, eta=self.aggressiveness)
        brackets = [
            Bracket(number, sizes[number][0], race.additional_calls)
            for number, race in races.items()
            if number is not None
        ]
        return self._follow(ProposingBrackets(proposer, brackets, self.lag, self.max_iter), races)
