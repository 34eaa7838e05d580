"""dask-ml's grid and randomized search, their fits run by daskflow's engine.

Replace ``from dask_ml.model_selection import GridSearchCV`` by ``from daskflow.search import GridSearchCV``.
Constructor, candidates, folds and fitted attributes are dask-ml's. What differs:

- Folds count equally, as in scikit-learn; ``iid`` is ignored (dask-ml weighs folds by their rows).
- A failing fit is not tried for ever: ``error_score="raise"`` raises its error once, with the parameters in a note;
  a number or nan stands in for its score, with one warning, and nan ranks last.
- Beginnings that pipelines share are fitted once per fold, like dask-ml's, and rows that scikit-learn's own scorers ask
  for are transformed once; the parts of a FeatureUnion or ColumnTransformer are not taken apart.
- SGD candidates of an equal beginning and ``random_state`` are fitted together (`daskflow.fused.sgd`).
- There is no task graph to ``visualize``; ``n_jobs`` is checked and ignored, since the workers decide.
- ``refit`` may be a callable, and a fit parameter ``sample_weight`` also weighs the scores of metrics that take it,
  both as in scikit-learn.
- An interrupt leaves ``cv_results_`` and the best's index, parameters and score of the candidates finished so far.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import numpy as np
from dask import delayed, is_dask_collection
from dask_ml import model_selection
from dask_ml._compat import _check_multimetric_scoring
from dask_ml.model_selection._search import DaskBaseSearchCV, StaticDaskSearchMixin, _normalize_n_jobs
from dask_ml.model_selection.utils import estimator_has
from sklearn.base import is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskflow.core.awaiting import in_thread
from daskflow.core.errors import SearchError
from daskflow.core.protocols import Outcome, Unit
from daskflow.search.array_blocks import concatenate, row_blocks
from daskflow.search.array_work import Recipe
from daskflow.search.beside import awaited_client, beside
from daskflow.search.cv_results import fold_results
from daskflow.search.engine import run
from daskflow.search.fold_data import gather
from daskflow.search.fold_fits import Scoring, refit
from daskflow.search.fold_work import FoldWork
from daskflow.search.places import Here, Place, Watched, place_for, warn_of
from daskflow.search.policies import AllAtOnce, Candidate, Policy
from daskflow.search.races import Ledger
from daskflow.search.showing import html_of


class FoldSearch(StaticDaskSearchMixin, DaskBaseSearchCV):  # type: ignore[misc]  # dask-ml has no types
    """What the grid searches share; stands between dask-ml's search and its base class, whose `fit` it replaces."""

    def fit(self, X: Any, y: Any = None, groups: Any = None, **fit_params: Any) -> Any:
        """Fit and score every candidate on every fold, then the best one on all rows.

        Runs on ``scheduler``, else the default client's workers, else in this process. X, y, groups and lazy fit
        parameters are brought into memory once, where the fits run.

        Parameters
        ----------
        X, y, groups : array, sparse matrix, DataFrame, Series, list, or their dask forms, or dask.delayed
            Of the same rows.
        **fit_params
            For `fit`; those with one value per row, such as ``sample_weight``, follow the folds.

        Returns
        -------
        self
            With an asynchronous client, a coroutine of it.

        Raises
        ------
        DataError
            When the numbers of rows differ.
        SearchError
            When every fit failed and the best was asked for.
        """
        if awaited_client(self.scheduler) is not None:
            return self.fit_async(X, y, groups, **fit_params)
        return self._search(place_for(self.scheduler), X, y, groups, fit_params)

    async def fit_async(self, X: Any, y: Any = None, groups: Any = None, **fit_params: Any) -> Any:
        """Await a `fit`, which goes on in a thread of its own: the running event loop never waits for it.

        It runs on ``scheduler``, else the current or default client, synchronous or not, else in this process. When
        the awaiting task is cancelled the search ends as after Ctrl-C: what it found so far is in its attributes.
        """
        client = awaited_client(self.scheduler)
        if client is None:
            return await in_thread(self.fit, X, y, groups, **fit_params)
        return await beside(client, lambda place: self._search(place, X, y, groups, fit_params))

    def _search(self, place: Place, X: Any, y: Any, groups: Any, fit_params: Mapping[str, Any]) -> Any:
        scorers = self._scorers()
        _normalize_n_jobs(self.n_jobs)
        if not (isinstance(self.error_score, numbers.Number) or self.error_score == "raise"):
            raise ValueError(f"error_score must be the string 'raise' or a number, not {self.error_score!r}.")
        policy = self._policy()
        folds = gather(X, y, groups, fit_params, cv=self.cv, classifier=_is_classifier(self.estimator), place=place)
        work = self._work(
            estimator=self.estimator,
            folds=folds,
            scoring=Scoring(
                scorers=scorers,
                main=self.refit if self.refit in scorers else next(iter(scorers)),
                train_scores=bool(self.return_train_score),
                raises=self.error_score == "raise",
            ),
            pairwise=_is_pairwise(self.estimator),
            keeps_folds=bool(self.cache_cv),
            batches=not isinstance(place, Here),
            candidates=policy.candidates,
        )
        ledger = Ledger()
        try:
            run(policy, work, self._watched(place, work), recorder=ledger, listener=warn_of)
            begun = {record["trial"] for record in ledger.finished}
            self._adopt(work, ledger, [c for c in policy.candidates if c.trial in begun])
            if self.refit:
                self._refit(place, work)
        except KeyboardInterrupt:
            finished = Counter(record["trial"] for record in ledger.finished)
            self._adopt(work, ledger, [c for c in policy.candidates if finished[c.trial] == work.n_folds])
            raise
        finally:
            place.executor.cancel()
        return self

    def _policy(self) -> Policy:
        """Every candidate at once."""
        candidates = [Candidate(str(n), params) for n, params in enumerate(self._get_param_iterator())]
        if not candidates:
            raise SearchError("The search space is empty: there is no candidate to try.")
        return AllAtOnce(candidates)

    def _work(self, **settings: Any) -> FoldWork:
        """What one fit is."""
        return FoldWork(**settings)

    def _scorers(self) -> dict[str, Any]:
        """Set ``scorer_`` and ``multimetric_``; return the scorers by name."""
        scorers, self.multimetric_ = _check_multimetric_scoring(self.estimator, scoring=self.scoring)
        self.scorer_ = scorers if self.multimetric_ else scorers["score"]
        known = self.refit is False or callable(self.refit) or self.refit in scorers
        if self.multimetric_ and not known:
            raise ValueError(
                f"refit={self.refit!r} does not say which of several metrics is the best one's. "
                f"Set refit to one of {sorted(scorers)}, to a callable on cv_results_, or to False."
            )
        return dict(scorers)

    def _watched(self, place: Place, work: FoldWork) -> Watched:
        """The executor, releasing what no further fit needs, and raising a failure that ends the search."""

        def watch(outcome: Outcome) -> None:
            for group, part in work.answered(outcome):
                if part.exception is not None and work.scoring.raises:
                    raise part.exception
                if part.error is None or len(group) == 1:  # of several that failed as one, each is tried again
                    for job in group:
                        place.executor.release(work.done(job.candidate.trial, job.fold))

        return Watched(place.executor, watch)

    def _adopt(self, work: FoldWork, ledger: Ledger, candidates: Sequence[Candidate]) -> None:
        """Set ``cv_results_``, ``n_splits_`` and the best's index from the fits that finished."""
        if not candidates:
            return
        records = {(record["trial"], record["fold"]): record for record in ledger.finished}
        fits = [[records.get((c.trial, fold), {}) for fold in range(work.n_folds)] for c in candidates]
        names = list(work.scoring.scorers)
        times = {name: _table(fits, name) for name in ("fit_time", "score_time")}
        scores = {f"test_{name}": _table(fits, name, "test", self._stand_in()) for name in names}
        if work.scoring.train_scores:
            scores |= {f"train_{name}": _table(fits, name, "train", self._stand_in()) for name in names}
        self.n_splits_ = work.n_folds
        self.cv_results_ = fold_results(
            [c.params for c in candidates], times, scores, [f"test_{name}" for name in names]
        )
        self._warn_of_failures(candidates, fits)
        if self.refit:
            self.best_index_ = self._choose(names)

    def _stand_in(self) -> float:
        return math.nan if self.error_score == "raise" else float(self.error_score)

    def _choose(self, names: Sequence[str]) -> Any:
        """Index of the best candidate: by the callable ``refit``, else by rank."""
        if callable(self.refit):
            index: Any = self.refit(self.cv_results_)
            if not isinstance(index, numbers.Integral) or not 0 <= int(index) < len(self.cv_results_["params"]):
                raise ValueError(
                    f"refit returned {index!r}; it must return an index into the "
                    f"{len(self.cv_results_['params'])} candidates of cv_results_."
                )
            return index
        name = self.refit if self.multimetric_ else names[0]
        if np.isnan(self.cv_results_[f"mean_test_{name}"]).all():
            raise SearchError(
                f"None of the {len(self.cv_results_['params'])} candidates has a score, so there is no best one. "
                "The warning above has the first reason; error_score='raise' shows it in full."
            )
        return self.cv_results_[f"rank_test_{name}"].argmin()

    def _warn_of_failures(self, candidates: Sequence[Candidate], fits: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        failed = [
            (candidate, error)
            for candidate, row in zip(candidates, fits, strict=True)
            for fit in row
            if (error := fit.get("details", {}).get("error") or fit.get("error"))
        ]
        if failed:
            candidate, error = failed[0]
            warnings.warn(
                f"{len(failed)} of {sum(map(len, fits))} fits failed and have the score {self._stand_in():g}; "
                f"the first, with {dict(candidate.params)}: {error}",
                FitFailedWarning,
                stacklevel=3,
            )

    def _refit(self, place: Place, work: FoldWork) -> None:
        """Fit the best candidate on all rows."""
        recipe = Recipe(self.estimator, self.cv_results_["params"][self.best_index_])
        place.executor.submit(Unit("refit", refit, (work.folds.rows, recipe), keeps=True))
        outcome = place.executor.next()
        if outcome.exception is not None:
            outcome.exception.add_note(f"Raised by the refit of the best candidate {dict(recipe.params)} on all rows.")
            raise outcome.exception
        self.refit_time_ = outcome.value
        self.best_estimator_ = place.executor.kept("refit")
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_

    def _html_repr(self) -> str:
        """What a notebook shows, in place of scikit-learn's page with scripts."""
        return html_of(self)

    @property
    def best_score_(self) -> float:
        """Mean score over folds of the best candidate; none when a callable chose it among several metrics."""
        check_is_fitted(self, "cv_results_")
        self._check_if_refit("best_score_")
        if self.multimetric_ and callable(self.refit):
            raise AttributeError("best_score_ is not defined when refit is a callable and there are several metrics.")
        name = self.refit if self.multimetric_ else "score"
        return float(self.cv_results_[f"mean_test_{name}"][self.best_index_])

    def __sklearn_tags__(self) -> Any:
        """The estimator's kind is the search's."""
        tags = super().__sklearn_tags__()
        if not hasattr(self.estimator, "__sklearn_tags__"):
            return tags
        own = get_tags(self.estimator)
        tags.estimator_type = own.estimator_type
        tags.classifier_tags, tags.regressor_tags = own.classifier_tags, own.regressor_tags
        tags.input_tags.pairwise, tags.input_tags.sparse = own.input_tags.pairwise, own.input_tags.sparse
        return tags

    def visualize(self, filename: str = "mydask", format: str | None = None, **kwargs: Any) -> Any:
        """Not available: the fits are units of the engine, not one task graph."""
        check_is_fitted(self, "cv_results_")
        raise NotImplementedError(
            f"{type(self).__name__} has no task graph to draw; watch the fits on Dask's dashboard instead."
        )

    @available_if(estimator_has("predict"))  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def predict(self, X: Any) -> Any:
        """Predictions of the best model, in memory; dask input is predicted block by block."""
        return self._by_block("predict", X)

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]  # as above
    def predict_proba(self, X: Any) -> Any:
        """Probabilities, like `predict`."""
        return self._by_block("predict_proba", X)

    @available_if(estimator_has("predict_log_proba"))  # type: ignore[untyped-decorator]  # as above
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of probabilities, like `predict`."""
        return self._by_block("predict_log_proba", X)

    @available_if(estimator_has("decision_function"))  # type: ignore[untyped-decorator]  # as above
    def decision_function(self, X: Any) -> Any:
        """Confidence scores, like `predict`."""
        return self._by_block("decision_function", X)

    @available_if(estimator_has("transform"))  # type: ignore[untyped-decorator]  # as above
    def transform(self, X: Any) -> Any:
        """X as the best model transforms it, like `predict`."""
        return self._by_block("transform", X)

    @available_if(estimator_has("inverse_transform"))  # type: ignore[untyped-decorator]  # as above
    def inverse_transform(self, Xt: Any) -> Any:
        """The opposite of `transform`."""
        return self._by_block("inverse_transform", Xt)

    def _by_block(self, method: str, X: Any) -> Any:
        self._check_is_fitted(method)
        if not is_dask_collection(X):
            return getattr(self.best_estimator_, method)(X)
        place = place_for(self.scheduler)
        model = place.put(self.best_estimator_)
        blocks = [delayed(_call, pure=False)(model, method, block) for block in row_blocks(X, place)]
        return concatenate(place.fetch(place.hold(blocks)))

    def score(self, X: Any, y: Any = None) -> float:
        """Score of the best model by ``scorer_`` (of several, the one ``refit`` names); dask input is computed."""
        self._check_is_fitted("score")
        X, y = dask.compute(X, y)
        scorer = self.scorer_
        if self.multimetric_:
            if callable(self.refit):
                raise AttributeError("score is not defined when refit is a callable and there are several metrics.")
            scorer = self.scorer_[self.refit]
        return float(scorer(self.best_estimator_, X) if y is None else scorer(self.best_estimator_, X, y))


def _call(model: Any, method: str, X: Any) -> Any:
    return getattr(model, method)(X)


def _table(
    fits: Sequence[Sequence[Mapping[str, Any]]], name: str, part: str | None = None, stand_in: float = 0.0
) -> Any:
    """Array (n_candidates, n_folds) of a detail, or of a score of a part; `stand_in` where a fit failed."""
    details = [[fit.get("details", {}) for fit in row] for row in fits]
    return np.array(
        [[(fit if part is None else fit.get(part, {})).get(name, stand_in) for fit in row] for row in details]
    )


def _is_classifier(estimator: Any) -> bool:
    """Whether it is a classifier; what says nothing of its kind is not."""
    try:
        return bool(is_classifier(estimator))
    except AttributeError:
        return False


def _is_pairwise(estimator: Any) -> bool:
    try:
        return bool(get_tags(estimator).input_tags.pairwise)
    except AttributeError:
        return False


class GridSearchCV(model_selection.GridSearchCV, FoldSearch):  # type: ignore[misc]  # dask-ml has no types
    """Try every combination of parameters by cross-validation.

    Parameters
    ----------
    estimator : estimator
        Cloned for each fit.
    param_grid : dict or list of dict
        Lists of values.
    scoring : str, callable, list, dict or None
        One metric or several; None for the estimator's own.
    iid : bool
        Ignored: folds count equally.
    refit : bool, str or callable, default True
        Fit the best on all rows; with several metrics the name of the one that ranks; or
        ``cv_results_ -> index``.
    cv : int, splitter, iterable or None
        Folds; None is 3, stratified for classifiers.
    error_score : "raise" or number, default "raise"
        What a failing fit does: end the search, or have this score (nan ranks last).
    return_train_score : bool, default False
        Score the training rows too.
    scheduler : distributed.Client, str or None
        Where to run; default the default client, else this process.
    n_jobs : int
        Ignored: the workers decide.
    cache_cv : bool, default True
        Cut each fold once and keep it on the workers; False cuts it for each fit, with less memory.

    Attributes
    ----------
    cv_results_ : dict
        scikit-learn's keys.
    best_estimator_, best_score_, best_params_, best_index_, refit_time_
        With ``refit``.
    scorer_, n_splits_, multimetric_
        As scikit-learn's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(SVC(), {"C": [0.01, 1.0]}).fit(X, y)
    >>> search.best_params_, search.n_splits_
    ({'C': 1.0}, 3)
    """


class RandomizedSearchCV(model_selection.RandomizedSearchCV, FoldSearch):  # type: ignore[misc]  # as above
    """Try parameters drawn at random by cross-validation.

    Parameters and attributes are those of `GridSearchCV`, but instead of ``param_grid``:

    Parameters
    ----------
    param_distributions : dict or list of dict
        Lists of values, or distributions with ``rvs``.
    n_iter : int, default 10
        How many candidates to draw.
    random_state : int, RandomState or None
        Draws them.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> search = RandomizedSearchCV(SVC(), {"C": loguniform(1e-3, 1e3)}, n_iter=3, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"])
    3
    """
