"""ASHASearchCV, TPESearchCV and TPEHyperbandSearchCV: used like dask-ml's, with several metrics and budgets."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from dask_ml.model_selection._incremental import BaseIncrementalSearchCV
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris, make_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_parameters_default_constructible

from daskflow.core.errors import SettingsError
from daskflow.search import (
    ASHASearchCV,
    HyperbandSearchCV,
    RandomizedSearchCV,
    TPEHyperbandSearchCV,
    TPESearchCV,
)

ALPHAS = {"alpha": scipy.stats.loguniform(1e-6, 1), "penalty": ["l2", "l1"]}


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """Whatever client another test file opened, these searches do not use it."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def arrays() -> Any:
    return make_classification(400, 6, random_state=0, flip_y=0.1)


@pytest.fixture(scope="module")
def chunked(arrays: Any) -> Any:
    return da.from_array(arrays[0], chunks=(50, 6)), da.from_array(arrays[1], chunks=50)


def sgd() -> SGDClassifier:
    return SGDClassifier(random_state=0)


def incremental(name: str, **settings: Any) -> Any:
    if name == "asha":
        return ASHASearchCV(sgd(), ALPHAS, **{"n_initial_parameters": 18, "max_iter": 9, "random_state": 0, **settings})
    return TPEHyperbandSearchCV(sgd(), ALPHAS, **{"max_iter": 9, "startup": 6, "lag": 2, "random_state": 0, **settings})


@pytest.mark.parametrize("cls", [ASHASearchCV, TPESearchCV, TPEHyperbandSearchCV])
def test_settings_are_kept_as_given_and_cloned(cls: Any) -> None:
    search = cls(sgd(), ALPHAS, budget={"trials": 3}, random_state=4)
    copied = clone(search)
    assert copied.get_params(deep=False).keys() == search.get_params(deep=False).keys()
    assert copied.budget == {"trials": 3}
    assert copied.set_params(estimator__alpha=0.5).estimator.alpha == 0.5
    check_parameters_default_constructible(cls.__name__, search)


@pytest.mark.parametrize("name", ["asha", "tpe-hyperband"])
def test_what_a_fit_leaves_is_what_dask_mls_searches_leave(name: str, chunked: Any) -> None:
    # given, when
    search = incremental(name).fit(*chunked, classes=[0, 1])
    # then
    other = HyperbandSearchCV(sgd(), ALPHAS, max_iter=9, random_state=0).fit(*chunked, classes=[0, 1])
    assert isinstance(search, BaseIncrementalSearchCV)
    assert search.cv_results_.keys() - {"bracket"} == other.cv_results_.keys() - {"bracket"}
    assert search.history_[0].keys() - {"bracket"} == other.history_[0].keys() - {"bracket"}
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_score_ == search.cv_results_["test_score"][search.best_index_]
    assert search.ended_ == ""
    assert all(np.diff([entry["elapsed_wall_time"] for entry in search.history_]) >= 0)
    for history in search.model_history_.values():
        assert all(np.diff([entry["partial_fit_calls"] for entry in history]) >= 1)
    assert search.predict(chunked[0]).compute().shape == (400,)
    assert 0.5 < search.score(*chunked) <= 1
    assert pickle.loads(pickle.dumps(search)).best_score_ == search.best_score_


def test_asha_takes_the_best_model_at_its_last_score_and_promotes_at_least_a_third(chunked: Any) -> None:
    search = incremental("asha").fit(*chunked, classes=[0, 1])
    calls = search.cv_results_["partial_fit_calls"]
    assert sorted(set(calls)) == [1, 3, 9]
    assert (calls > 1).sum() >= 6
    assert search.best_score_ == search.cv_results_["test_score"].max()
    again = incremental("asha").fit(*chunked, classes=[0, 1])
    assert again.cv_results_["test_score"].tolist() == search.cv_results_["test_score"].tolist()


def test_tpe_hyperband_keeps_hyperbands_schedule_and_proposes_other_candidates(chunked: Any) -> None:
    search = incremental("tpe-hyperband").fit(*chunked, classes=[0, 1])
    other = HyperbandSearchCV(sgd(), ALPHAS, max_iter=9, random_state=0).fit(*chunked, classes=[0, 1])
    assert search.metadata_["n_models"] == other.metadata_["n_models"] == 17
    assert search.metadata_["partial_fit_calls"] == other.metadata_["partial_fit_calls"] == 69
    assert search.cv_results_["bracket"].tolist() == [2] * 9 + [1] * 5 + [0] * 3
    assert [each["alpha"] for each in search.cv_results_["params"]] != [
        each["alpha"] for each in other.cv_results_["params"]
    ]


@pytest.mark.parametrize("name", ["asha", "tpe-hyperband"])
def test_one_of_several_metrics_ranks_and_all_are_there(name: str, chunked: Any) -> None:
    # given, when
    both = {"scoring": ["accuracy", "roc_auc"]}
    search = incremental(name, refit="roc_auc", **both).fit(*chunked, classes=[0, 1])
    alone = incremental(name, scoring="roc_auc").fit(*chunked, classes=[0, 1])
    # then it goes as with that metric alone
    results = search.cv_results_
    assert search.multimetric_
    assert results["test_roc_auc"].tolist() == results["test_score"].tolist()
    assert results["test_score"].tolist() == alone.cv_results_["test_score"].tolist()
    assert search.best_params_ == alone.best_params_
    assert 0 < results["test_accuracy"].min() < results["test_accuracy"].max() <= 1
    assert results["rank_test_accuracy"].min() == 1
    assert search.score(*chunked) == alone.score(*chunked)
    with pytest.raises(SettingsError, match=r"refit=None does not say which .* \['accuracy', 'roc_auc'\]"):
        incremental(name, **both).fit(*chunked, classes=[0, 1])


def searches(**settings: Any) -> list[Any]:
    return [
        (incremental("asha", **settings), {"classes": [0, 1]}),
        (incremental("tpe-hyperband", **settings), {"classes": [0, 1]}),
        (TPESearchCV(sgd(), ALPHAS, n_iter=20, startup=4, lag=2, random_state=0, **settings), {}),
    ]


@pytest.mark.parametrize("place", range(3))
def test_a_budget_ends_a_search_and_is_named(place: int, arrays: Any) -> None:
    search, fit_params = searches(budget={"trials": 5})[place]
    search.fit(*arrays, **fit_params)
    assert len(search.cv_results_["params"]) == 5
    assert search.ended_ == "the budget of 5 trials was spent"
    assert search.predict(arrays[0]).shape == (400,)
    search, fit_params = searches(budget={"cpu_hours": 1e-9})[place]
    search.fit(*arrays, **fit_params)
    assert len(search.cv_results_["params"]) <= 3
    assert search.ended_ == "the budget of 1e-09 CPU-hours was spent"


@pytest.mark.parametrize("place", range(3))
def test_a_wrong_budget_is_refused_by_its_place(place: int, arrays: Any) -> None:
    search, fit_params = searches(budget={"hours": 5})[place]
    with pytest.raises(SettingsError, match=r"budget\.hours: no such option"):
        search.fit(*arrays, **fit_params)


@pytest.mark.parametrize("place", range(3))
def test_text_and_numbers_in_lazy_and_pandas_frames_are_searched(place: int, arrays: Any) -> None:
    X = pd.DataFrame(arrays[0], columns=list("abcdef"))
    search, fit_params = searches()[place]
    search.fit(X, pd.Series(arrays[1]), **fit_params)
    lazy = dd.from_pandas(X.assign(y=arrays[1]), npartitions=4)
    found, fit_params = searches()[place]
    found.fit(lazy[list("abcdef")], lazy["y"], **fit_params)
    assert list(found.best_estimator_.feature_names_in_) == list("abcdef")
    assert found.best_score_ > 0.6


class Brittle(SGDClassifier):  # type: ignore[misc]  # scikit-learn has no types
    """Fails with a large alpha."""

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        if self.alpha > 1e-2:
            raise ValueError("too large")
        return super().partial_fit(X, y, classes, sample_weight)


@pytest.mark.parametrize("name", ["asha", "tpe-hyperband"])
def test_candidates_that_fail_rank_last_and_the_others_go_on(name: str, chunked: Any) -> None:
    search = incremental(name).set_params(estimator=Brittle(random_state=0))
    with pytest.warns(FitFailedWarning, match="failed and rank last"):
        search.fit(*chunked, classes=[0, 1])
    failed = np.array([each["alpha"] > 1e-2 for each in search.cv_results_["params"]])
    assert failed.any()
    assert np.isnan(search.cv_results_["test_score"][failed]).all()
    assert search.best_params_["alpha"] <= 1e-2


# TPESearchCV


def test_the_start_up_of_tpe_is_a_randomized_search() -> None:
    X, y = load_iris(return_X_y=True)
    space = {"C": scipy.stats.loguniform(1e-3, 1e3), "kernel": ["rbf", "linear"]}
    tpe = TPESearchCV(SVC(), space, n_iter=8, startup=8, random_state=3, return_train_score=True).fit(X, y)
    drawn = RandomizedSearchCV(SVC(), space, n_iter=8, random_state=3, return_train_score=True).fit(X, y)
    assert tpe.cv_results_.keys() == drawn.cv_results_.keys()
    assert tpe.cv_results_["params"] == drawn.cv_results_["params"]
    for key in ("split0_test_score", "mean_test_score", "rank_test_score", "mean_train_score"):
        assert tpe.cv_results_[key].tolist() == drawn.cv_results_[key].tolist()
    assert tpe.best_params_ == drawn.best_params_
    # and what comes after it begins with the same
    longer = TPESearchCV(SVC(), space, n_iter=16, startup=8, lag=2, random_state=3).fit(X, y)
    assert longer.cv_results_["params"][:8] == drawn.cv_results_["params"]
    assert longer.best_score_ >= tpe.best_score_


def test_several_metrics_and_refit_work_as_in_the_grid_search(arrays: Any) -> None:
    search = TPESearchCV(
        LogisticRegression(),
        {"C": scipy.stats.loguniform(1e-4, 1e2)},
        n_iter=8,
        startup=4,
        lag=1,
        random_state=0,
        scoring=["accuracy", "roc_auc"],
        refit="roc_auc",
        cv=4,
    ).fit(*arrays)
    assert search.best_score_ == search.cv_results_["mean_test_roc_auc"].max()
    assert search.n_splits_ == 4
    assert "rank_test_accuracy" in search.cv_results_
    assert search.predict_proba(arrays[0]).shape == (400, 2)


class Counting(StandardScaler):  # type: ignore[misc]  # scikit-learn has no types
    """Writes a line for each fit."""

    def __init__(self, log: str = "") -> None:
        super().__init__()
        self.log = log

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        with open(self.log, "a") as file:
            file.write("fit\n")
        return super().fit(X, y, sample_weight)


def test_first_steps_that_no_parameter_touches_are_fitted_once_per_fold(tmp_path: Path, arrays: Any) -> None:
    log = tmp_path / "fits"
    pipeline = Pipeline([("scale", Counting(str(log))), ("pca", PCA(3)), ("svc", SVC())])
    space = {"svc__C": scipy.stats.loguniform(1e-3, 1e3), "pca__n_components": [2, 3]}
    search = TPESearchCV(pipeline, space, n_iter=10, startup=4, lag=1, random_state=0, cv=3).fit(*arrays)
    assert len(log.read_text().splitlines()) == 3 + 1  # and once for the refit
    plain = RandomizedSearchCV(pipeline, space, n_iter=4, random_state=0, cv=3).fit(*arrays)
    assert search.cv_results_["mean_test_score"][:4].tolist() == plain.cv_results_["mean_test_score"].tolist()


class Failing(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fails below a threshold; else its score is its height."""

    def __init__(self, height: float = 0.0) -> None:
        self.height = height

    def fit(self, X: Any, y: Any) -> Failing:
        if self.height < 0.3:
            raise ValueError("too low")
        return self

    def score(self, X: Any, y: Any) -> float:
        return self.height


def test_failed_fits_rank_last_and_proposals_go_where_fits_succeed(arrays: Any) -> None:
    search = TPESearchCV(
        Failing(),
        {"height": scipy.stats.uniform(0, 1)},
        n_iter=25,
        startup=8,
        lag=2,
        error_score=np.nan,
        random_state=0,
    )
    with pytest.warns(FitFailedWarning, match="fits failed and have the score nan; the first"):
        search.fit(*arrays)
    heights = [each["height"] for each in search.cv_results_["params"]]
    assert search.best_params_["height"] == max(heights)
    assert np.mean(heights[12:]) > 0.6
    with pytest.raises(ValueError, match="too low"):
        search.set_params(error_score="raise").fit(*arrays)


def test_a_list_of_spaces_is_searched_branch_by_branch() -> None:
    X, y = load_iris(return_X_y=True)
    space = [
        {"kernel": ["linear"], "C": scipy.stats.loguniform(1e-3, 1e3)},
        {"kernel": ["rbf"], "C": scipy.stats.loguniform(1e-3, 1e3), "gamma": scipy.stats.loguniform(1e-4, 1)},
    ]
    search = TPESearchCV(SVC(), space, n_iter=16, startup=6, lag=2, random_state=0).fit(X, y)
    for params in search.cv_results_["params"]:
        assert ("gamma" in params) == (params["kernel"] == "rbf")
    assert search.best_score_ > 0.95


@pytest.mark.slow
def test_on_a_cluster_tpe_proposes_what_it_proposes_here(client: Any) -> None:
    X, y = load_iris(return_X_y=True)
    search = TPESearchCV(SVC(), {"C": scipy.stats.loguniform(1e-3, 1e3)}, n_iter=14, startup=4, lag=3, random_state=0)
    here = clone(search).fit(X, y).cv_results_
    there = clone(search).set_params(scheduler=client).fit(X, y).cv_results_
    assert here["params"] == there["params"]
    assert here["mean_test_score"].tolist() == there["mean_test_score"].tolist()


def test_on_a_cluster_asha_finds_what_is_there(client: Any, chunked: Any) -> None:
    with dask.config.set(scheduler=client):
        search = incremental("asha").fit(*chunked, classes=[0, 1])
    calls = search.cv_results_["partial_fit_calls"]
    assert len(calls) == 18
    assert sorted(set(calls)) == [1, 3, 9]
    assert search.best_score_ == search.cv_results_["test_score"].max()
