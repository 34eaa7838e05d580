"""dask-ml's incremental searches, their fits run by daskflow's engine: Incremental, inverse decay, halving, Hyperband.

Replace ``from dask_ml.model_selection import HyperbandSearchCV`` by ``from daskflow.search import HyperbandSearchCV``.
Constructor, candidates, schedule and fitted attributes are dask-ml's. What differs:

- X and y are split once, for all brackets of Hyperband; dask-ml splits for each, so its brackets score on other rows.
- No ``partial_fit`` is computed ahead on speculation.
- A candidate that raises or scores nan ranks last, with a warning; the others go on. Hyperband's
  ``rank_test_score`` ranks all models together, dask-ml's each bracket by itself.
- Blocks of dask DataFrames reach the model as pandas DataFrames, so it knows its feature names.
- It also runs without a cluster, in this process.
- An interrupt leaves the best model so far in ``best_estimator_`` before it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dask_ml import model_selection
from dask_ml.model_selection._hyperband import _get_hyperband_params, _get_meta

from daskflow.core.errors import SettingsError
from daskflow.search.engine_search import EngineSearch
from daskflow.search.races import Race


class IncrementalSearchCV(model_selection.IncrementalSearchCV, EngineSearch):  # type: ignore[misc]  # as above
    """Train many candidates block by block, and stop those that no longer improve.

    Parameters
    ----------
    estimator : estimator
        With ``partial_fit``.
    parameters : dict or list of dict
        Lists of values, or distributions with ``rvs``.
    n_initial_parameters : int or "grid", default 10
        How many candidates to draw; "grid" takes every combination.
    test_size : float, optional
        Fraction of each block to score on; default one block's worth, at most a fifth.
    patience : int or False, default False
        Stop a model whose score did not rise by `tol` within this many calls.
    tol : float, default 0.001
        Of `patience`.
    fits_per_score : int, default 1
        Calls of ``partial_fit`` between scores.
    max_iter : int, default 100
        Calls of ``partial_fit`` per model at most.
    random_state : int, RandomState or None
        Draws candidates, test rows and the order of blocks.
    scoring : str, callable or None
        One metric; None for the estimator's own.
    verbose : bool or float, default False
        Show the log on stdout; a float shows that share of rounds.
    prefix : str
        Stands in each line of the log.
    decay_rate : None
        Deprecated by dask-ml, which warns unless it is None.

    Attributes
    ----------
    best_estimator_, best_score_, best_params_, best_index_
        Of the best model among those in at the end.
    cv_results_ : dict of numpy.ndarray
        ``model_id``, ``params``, ``param_*``, ``test_score``, ``rank_test_score``, ``partial_fit_calls``, and mean
        and std of ``partial_fit_time`` and ``score_time`` in seconds.
    history_, model_history_ : list of dict, dict of lists of dict
        Every score, in order; and by model.
    scorer_, n_splits_, multimetric_
        As scikit-learn's.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = IncrementalSearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-2, 1]}, n_initial_parameters="grid",
    ...     max_iter=3, random_state=0, decay_rate=None,
    ... ).fit(X, y, classes=[0, 1])
    >>> search.cv_results_["partial_fit_calls"].tolist()
    [3, 3, 3]
    """


class InverseDecaySearchCV(model_selection.InverseDecaySearchCV, EngineSearch):  # type: ignore[misc]  # as above
    """Keep ``1 / (calls + 1) ** decay_rate`` of the candidates as training goes on.

    Parameters and attributes are those of `IncrementalSearchCV`, with ``decay_rate=1.0``.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = InverseDecaySearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-2, 1]}, n_initial_parameters="grid", random_state=0
    ... ).fit(X, y, classes=[0, 1])
    >>> sorted(search.cv_results_["partial_fit_calls"].tolist())
    [1, 1, 1]
    """


class SuccessiveHalvingSearchCV(model_selection.SuccessiveHalvingSearchCV, EngineSearch):  # type: ignore[misc]
    """Train all candidates a little, keep the best third for three times as long, and so on (Jamieson, Talwalkar 2016).

    Parameters are those of `IncrementalSearchCV` (without ``fits_per_score`` and ``decay_rate``), and:

    Parameters
    ----------
    n_initial_iter : int
        Calls of ``partial_fit`` before the first decision.
    aggressiveness : float, default 3
        One in so many is kept, for so many times as long.
    max_iter : int, optional
        Calls per model at most; None goes on until about one model is left.

    Attributes
    ----------
    metadata, metadata_ : dict
        ``n_models``, ``max_iter`` and ``partial_fit_calls``, before and after; the same without `patience`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = SuccessiveHalvingSearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": [10.0**-n for n in range(9)]}, n_initial_parameters=9,
    ...     n_initial_iter=1, random_state=0,
    ... ).fit(X, y, classes=[0, 1])
    >>> sorted(search.cv_results_["partial_fit_calls"].tolist())
    [1, 1, 1, 1, 1, 1, 3, 3, 9]
    """

    def _check_settings(self, fit_params: Mapping[str, Any]) -> None:
        super()._check_settings(fit_params)
        if self.n_initial_iter is None:
            raise SettingsError(
                "SuccessiveHalvingSearchCV needs n_initial_iter: how many partial_fit calls a model gets before the "
                "first decision (such as 1)."
            )


class HyperbandSearchCV(model_selection.HyperbandSearchCV, EngineSearch):  # type: ignore[misc]  # as above
    """Run successive halving in brackets, from "many candidates, little training" to the opposite (Li et al. 2018).

    Parameters
    ----------
    estimator : estimator
        With ``partial_fit``.
    parameters : dict or list of dict
        Lists of values, or distributions with ``rvs``.
    max_iter : int, default 81
        Calls of ``partial_fit`` to one model at most; sets how many candidates are drawn.
    aggressiveness : int, default 3
        One in so many is kept at each decision.
    patience : int or bool, default False
        Stop a model whose score did not rise by `tol` within this many calls; True takes ``max_iter / 3``.
    tol, test_size, random_state, scoring, verbose, prefix
        As in `IncrementalSearchCV`.
    predict_meta, predict_proba_meta, transform_meta : optional
        Empty outputs of those methods, for dask input whose output Dask cannot infer.

    Attributes
    ----------
    metadata, metadata_ : dict
        ``n_models``, ``partial_fit_calls`` and ``brackets``, before and after; the same without `patience`.
    cv_results_, history_, model_history_, best_estimator_, ...
        As in `IncrementalSearchCV`, with ``bracket``.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> X, y = make_classification(200, random_state=0)
    >>> search = HyperbandSearchCV(
    ...     SGDClassifier(random_state=0), {"alpha": [10.0**-n for n in range(9)]}, max_iter=9, random_state=0
    ... ).fit(X, y, classes=[0, 1])
    >>> search.metadata_["n_models"], search.metadata_["partial_fit_calls"]
    (17, 69)
    """

    def _brackets(self) -> dict[int | None, Any]:
        halvings = self._get_SHAs(_get_hyperband_params(self.max_iter, eta=self.aggressiveness))
        self._SuccessiveHalvings_ = {bracket: halvings[bracket] for bracket in sorted(halvings, reverse=True)}
        return dict(self._SuccessiveHalvings_)

    def _adopt_histories(self, races: Mapping[int | None, Race]) -> None:
        super()._adopt_histories(races)
        brackets, _ = _get_meta(
            {bracket: race.history for bracket, race in races.items()},
            self._SuccessiveHalvings_.keys(),
            self._SuccessiveHalvings_,
            "{}-{}".format,
        )
        self.metadata_ = {
            "n_models": sum(bracket["n_models"] for bracket in brackets),
            "partial_fit_calls": sum(bracket["partial_fit_calls"] for bracket in brackets),
            "brackets": brackets,
        }
