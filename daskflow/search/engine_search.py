"""What dask-ml's incremental searches become on daskflow's engine: the fit that they share."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dask
import dask.array as da
from dask import delayed, is_dask_collection
from dask_ml._utils import LoggingContext
from dask_ml.model_selection._incremental import BaseIncrementalSearchCV
from dask_ml.model_selection.utils import estimator_has
from dask_ml.wrappers import ParallelPostFit
from distributed import Future
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from daskflow.core.awaiting import in_thread
from daskflow.core.errors import SettingsError
from daskflow.core.protocols import Outcome
from daskflow.search.array_blocks import split_blocks
from daskflow.search.array_work import ArrayWork, BlockOrder
from daskflow.search.beside import awaited_client, beside
from daskflow.search.candidates import named
from daskflow.search.cv_results import incremental_results
from daskflow.search.engine import run
from daskflow.search.jobs import unit_key
from daskflow.search.places import Place, Watched, place_for, warn_of
from daskflow.search.policies import Adaptive, Candidate, Policy, SideBySide
from daskflow.search.races import Ledger, Race, logger
from daskflow.search.showing import html_of


class EngineSearch(BaseIncrementalSearchCV):  # type: ignore[misc]  # dask-ml has no types
    """What the incremental searches share: dask-ml decides, the engine runs the fits.

    In the order of resolution it stands between dask-ml's search and dask-ml's base class, whose `fit` it replaces.
    """

    _ranks_by_name = False
    """Whether there may be several metrics, of which one ranks."""

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Find the best parameters.

        Runs on the default client's workers if there is one, else in this process; with
        ``dask.config.set(scheduler="synchronous")`` always in this process.

        Parameters
        ----------
        X, y : array, sparse matrix, DataFrame, Series, list, or their dask forms
            One block is one ``partial_fit`` call. Chunks of unknown size are fine.
        **fit_params
            For each ``partial_fit``, such as ``classes``.

        Returns
        -------
        self
            With an asynchronous client, a coroutine of it.

        Raises
        ------
        DataError
            When X and y do not pair.
        SearchError
            When every candidate failed.
        SettingsError
            When the search cannot work as it was set up.
        """
        if awaited_client() is not None:
            return self.fit_async(X, y, **fit_params)
        return self._search(place_for(), X, y, fit_params)

    async def fit_async(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Await a `fit`, which goes on in a thread of its own: the running event loop never waits for it.

        It runs on the current or default client, synchronous or not, else in this process. When the awaiting task is
        cancelled the search ends as after Ctrl-C: what it found so far is in its attributes.
        """
        client = awaited_client()
        if client is None:
            return await in_thread(self.fit, X, y, **fit_params)
        known = {name: await value if isinstance(value, Future) else value for name, value in fit_params.items()}
        return await beside(client, lambda place: self._search(place, X, y, known))

    def _html_repr(self) -> str:
        """What a notebook shows, in place of scikit-learn's page with scripts."""
        return html_of(self)

    def _search(self, place: Place, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
        self._check_settings(fit_params)
        estimator = self.estimator.result() if isinstance(self.estimator, Future) else self.estimator
        self._check_estimator(estimator)
        scorer, others = self._scorers(estimator)
        with self._logging():
            brackets = self._brackets()
            blocks = split_blocks(X, y, place, test_size=self.test_size, random_state=self.random_state)
            ledger, started = Ledger(), time.perf_counter()
            races = {
                bracket: Race(
                    searcher,
                    self._candidates(searcher, bracket),
                    ledger,
                    place.executor.release,
                    started,
                    round(1 / self.verbose) if self.verbose else int(self.verbose is False),
                )
                for bracket, searcher in brackets.items()
            }
            for race in races.values():
                logger.info(
                    "[CV%s] For training there are between %d and %d examples in each chunk",
                    race.searcher.prefix,
                    min(blocks.rows),
                    max(blocks.rows),
                )
            orders = {
                bracket: BlockOrder(len(blocks.train), check_random_state(searcher.random_state))
                for bracket, searcher in brackets.items()
            }
            work = ArrayWork(estimator, blocks, orders, scorer, _concrete(fit_params, place), others)
            self.scorer_, self.n_splits_, self.multimetric_ = others or scorer, 1, bool(others)
            self._run(place, races, work)
        return self

    def _run(self, place: Place, races: Mapping[int | None, Race], work: ArrayWork) -> None:
        """Run the engine and take over what it found, also when it is interrupted."""

        def forget_parts(outcome: Outcome) -> None:
            base, part, _ = outcome.key.rpartition("-part-")
            if part:
                parts.setdefault(base, []).append(outcome.key)
            else:
                place.executor.release(parts.pop(outcome.key, []))

        parts: dict[str, list[str]] = {}
        policy = self._policy(races)
        ledger = next(iter(races.values())).ledger
        try:
            run(policy, work, Watched(place.executor, forget_parts), recorder=ledger, listener=warn_of)
            self._adopt(place, races, work)
        except KeyboardInterrupt:
            self._adopt_kept(place, races, work)
            raise
        finally:
            place.executor.cancel()

    def _adopt(self, place: Place, races: Mapping[int | None, Race], work: ArrayWork) -> None:
        """Set the fitted attributes."""
        self._adopt_histories(races)
        bests = {bracket: best for bracket, race in races.items() if (best := race.best()) is not None}
        bracket = max(bests, key=lambda name: bests[name][0])
        race, (_, trial) = races[bracket], bests[bracket]
        key = unit_key(trial, 0, race.resources[trial])
        if trial in race.released:
            key = _train_again(place, work, race, trial)
        self._adopt_best(race, trial, place.executor.kept(key))
        self._warn_of_failures(races)

    def _adopt_kept(self, place: Place, races: Mapping[int | None, Race], work: ArrayWork) -> None:
        """Set the fitted attributes from what is there already, if anything is."""
        for race in races.values():
            race.collect()
        found = [
            (float(entry["score"]), race, trial)
            for race in races.values()
            for trial in race.numbers.keys() - race.released - race.errors.keys()
            for entry in race.history
            if entry["model_id"] == race.model_id(trial) and entry["partial_fit_calls"] == race.resources[trial]
        ]
        if not found:
            return
        self._adopt_histories(races)
        _, race, trial = max(found, key=lambda item: item[0])
        self._adopt_best(race, trial, place.executor.kept(unit_key(trial, 0, race.resources[trial])))

    def _adopt_histories(self, races: Mapping[int | None, Race]) -> None:
        for race in races.values():
            race.collect()
        self.history_ = sorted(
            (entry for race in races.values() for entry in race.history), key=lambda entry: entry["elapsed_wall_time"]
        )
        histories = {
            race.model_id(trial): [entry for entry in race.history if entry["model_id"] == race.model_id(trial)]
            for race in races.values()
            for trial in race.numbers
        }
        self.model_history_ = {name: history for name, history in histories.items() if history}
        self.cv_results_ = incremental_results(self.model_history_)

    def _adopt_best(self, race: Race, trial: str, model: Any) -> None:
        self.best_estimator_ = model
        self.best_index_ = list(self.model_history_).index(race.model_id(trial))
        self.best_score_ = float(self.cv_results_["test_score"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _warn_of_failures(self, races: Mapping[int | None, Race]) -> None:
        failed = [(race, trial, error) for race in races.values() for trial, error in race.errors.items()]
        if failed:
            race, trial, error = failed[0]
            warnings.warn(
                f"{len(failed)} of {len(self.model_history_)} candidates failed and rank last; the first, with "
                f"{dict(race.candidates[race.numbers[trial]].params)}: {error}",
                FitFailedWarning,
                stacklevel=2,
            )

    def _scorers(self, estimator: Any) -> tuple[Any, dict[str, Any]]:
        """The scorer that decides, and where there are several, all of them by name."""
        return check_scoring(estimator, scoring=self.scoring or None), {}

    def _candidates(self, searcher: Any, bracket: int | None) -> list[Candidate]:
        """dask-ml's candidates, in its order."""
        return named(searcher._get_params(), bracket)

    def _policy(self, races: Mapping[int | None, Race]) -> Policy:
        """dask-ml's rule of each bracket."""
        return SideBySide([Adaptive(race.candidates, race.additional_calls) for race in races.values()])

    def _brackets(self) -> dict[int | None, Any]:
        """The searches whose rules decide, by bracket; None for the only one."""
        return {None: self}

    def _check_settings(self, fit_params: Mapping[str, Any]) -> None:
        if self.max_iter is not None and self.max_iter < 1:
            raise ValueError(f"Received max_iter={self.max_iter}. max_iter < 1 is not supported")
        if not 0 <= self.verbose <= 1:
            raise ValueError(f"verbose={self.verbose} does not satisfy 0 <= verbose <= 1")
        if isinstance(self.scoring, list | tuple | set | dict) and not self._ranks_by_name:
            raise SettingsError(
                f"{type(self).__name__} ranks candidates by one number, but scoring={self.scoring!r} names several. "
                "Give one, and compute the others on best_estimator_."
            )
        if "sample_weight" in fit_params:
            raise SettingsError(
                f"{type(self).__name__} gives every partial_fit the same fit parameters, so sample_weight cannot "
                "follow the blocks. Use class_weight, or a daskflow Workflow with a weight column."
            )

    def _check_estimator(self, estimator: Any) -> None:
        if not hasattr(estimator, "partial_fit") and not hasattr(type(estimator), "partial_fit"):
            raise SettingsError(
                f"{type(estimator).__name__} has no partial_fit, which {type(self).__name__} trains by. "
                "Transform X first and search over the last step alone (of a Pipeline), or use GridSearchCV or "
                "RandomizedSearchCV."
            )

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """Show the log on stdout while the search runs, if it is verbose."""
        context: Any = contextlib.nullcontext()
        if self.verbose:
            context = LoggingContext(logger, level=logging.INFO, handler=logging.StreamHandler(sys.stdout))
        with context:
            yield

    def _check_array(self, X: Any, **kwargs: Any) -> Any:
        """As dask-ml, an array in memory becomes one block; columns are never split."""
        return ParallelPostFit._check_array(self, super()._check_array(X, **kwargs))

    @available_if(estimator_has("decision_function"))  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def decision_function(self, X: Any) -> Any:
        """Confidence scores; blockwise and lazy for a dask DataFrame."""
        return self._by_partition("decision_function", X)

    @available_if(estimator_has("transform"))  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def transform(self, X: Any) -> Any:
        """X as the best model transforms it; blockwise and lazy for dask input."""
        self._check_is_fitted("transform")
        return ParallelPostFit.transform(self, X) if is_dask_collection(X) else self.best_estimator_.transform(X)

    @available_if(estimator_has("inverse_transform"))  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def inverse_transform(self, X: Any) -> Any:
        """The opposite of `transform`; blockwise and lazy for a dask DataFrame."""
        return self._by_partition("inverse_transform", X)

    def _by_partition(self, method: str, X: Any) -> Any:
        self._check_is_fitted(method)
        if is_dask_collection(X) and not isinstance(X, da.Array):
            return X.map_partitions(_call, method, self.best_estimator_)
        return getattr(self.best_estimator_, method)(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Score of the best model by the scorer that ranks; dask input is brought into memory."""
        self._check_is_fitted("score")
        X, y = dask.compute(X, y)
        scorer: Any = self.scorer_
        if self.multimetric_:
            scorer = scorer[self.refit]
        return float(scorer(self.best_estimator_, X) if y is None else scorer(self.best_estimator_, X, y))


def _concrete(fit_params: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Bring lazy fit parameters, which are small, into this process."""
    lazy = [name for name, value in fit_params.items() if is_dask_collection(value)]
    known = dict(zip(lazy, place.fetch(place.hold([delayed(_same)(fit_params[name]) for name in lazy])), strict=True))
    return {
        name: known[name] if name in known else value.result() if isinstance(value, Future) else value
        for name, value in fit_params.items()
    }


def _same(value: Any) -> Any:
    return value


def _call(part: Any, method: str, estimator: Any) -> Any:
    return getattr(estimator, method)(part)


def _train_again(place: Place, work: ArrayWork, race: Race, trial: str) -> str:
    """Train the best model again, when the schedule had dropped it and then all others failed."""
    units = work.unit(race.candidates[race.numbers[trial]], 0, 0, race.resources[trial])
    for unit in units:
        place.executor.submit(unit)
    while place.executor.pending:
        outcome = place.executor.next()
        if outcome is not None and outcome.exception is not None:
            raise outcome.exception
    return units[-1].key
