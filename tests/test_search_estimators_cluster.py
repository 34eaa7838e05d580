"""The search estimators on a cluster: the results of this process, and of dask-ml where it can be made to run."""

from __future__ import annotations

import asyncio
import gc
import math
import types
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import dask_ml.model_selection as dask_ml_search
import numpy as np
import pandas as pd
import pytest
from dask.base import unpack_collections
from dask_ml._utils import ConstantFunction
from dask_ml.model_selection import _incremental
from distributed import Client, default_client, futures_of
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import daskflow.search as daskflow_search
from daskflow.data.client_executor import ClientExecutor
from daskflow.search import GridSearchCV, HyperbandSearchCV, IncrementalSearchCV, array_work

SPACE = {"alpha": np.logspace(-5, 0, 100), "penalty": ["l2", "l1"], "average": [True, False]}


@pytest.fixture
def chunked() -> tuple[da.Array, da.Array]:
    X, y = make_classification(400, 6, random_state=0, flip_y=0.1)
    return da.from_array(X, chunks=(50, 6)), da.from_array(y, chunks=50)


@pytest.fixture
def on_cluster(client: Client) -> Iterator[Client]:
    """The session's client as the default one, and nothing of the test left on it."""
    with client.as_current():
        yield client


def hyperband(**settings: Any) -> HyperbandSearchCV:
    return HyperbandSearchCV(SGDClassifier(random_state=0), SPACE, **{"max_iter": 9, "random_state": 1, **settings})


def test_a_cluster_gives_what_this_process_gives(on_cluster: Client, chunked: Any, monkeypatch: Any) -> None:
    with dask.config.set(scheduler="synchronous"):
        here = hyperband(max_iter=6).fit(*chunked, classes=[0, 1])
    monkeypatch.setattr(array_work, "UNIT_BYTES", 16_000)

    there = hyperband(max_iter=6).fit(*chunked, classes=da.unique(chunked[1]))

    np.testing.assert_array_equal(here.cv_results_["test_score"], there.cv_results_["test_score"])
    assert here.best_params_ == there.best_params_
    np.testing.assert_allclose(here.best_estimator_.coef_, there.best_estimator_.coef_, rtol=1e-9)


@pytest.mark.parametrize(
    "form",
    [
        "numpy",
        "dask frame",
        pytest.param("pandas", marks=pytest.mark.slow),
        pytest.param("persisted", marks=pytest.mark.slow),
    ],
)
def test_a_cluster_searches_every_form_of_input(form: str, on_cluster: Client, chunked: Any) -> None:
    X, y = dask.compute(*chunked, scheduler="synchronous")
    frame = pd.DataFrame(X).add_prefix("c").assign(y=y)
    lazy = dd.from_pandas(frame, npartitions=4)
    given = {
        "numpy": (X, y),
        "pandas": (frame.drop(columns="y"), frame["y"]),
        "dask frame": (lazy.drop(columns="y"), lazy["y"]),
        "persisted": on_cluster.persist(chunked),
    }[form]

    search = hyperband(max_iter=3).fit(*given, classes=[0, 1])
    grid = GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}).fit(*given)

    assert search.best_score_ > 0.7
    assert dask.is_dask_collection(search.predict(given[0])) or form == "pandas"
    assert grid.predict(given[0]).shape == (400,)


def test_nothing_is_left_on_the_cluster(on_cluster: Client, chunked: Any) -> None:
    before = set(on_cluster.futures)

    hyperband(max_iter=3).fit(*chunked, classes=[0, 1])
    GridSearchCV(SVC(), {"C": [0.1, 1]}).fit(*chunked)

    gc.collect()
    on_cluster.run_on_scheduler(int)  # the client drops futures on its own loop: this comes after
    assert set(on_cluster.futures) <= before


def test_a_failing_candidate_ranks_last_there_too(on_cluster: Client, chunked: Any) -> None:
    search = IncrementalSearchCV(
        SGDClassifier(random_state=0),
        {"penalty": ["l2", "no such penalty"]},
        n_initial_parameters="grid",
        max_iter=2,
        decay_rate=None,
    )

    with pytest.warns(FitFailedWarning, match="1 of 2 candidates failed"):
        search.fit(*chunked, classes=[0, 1])

    assert search.best_params_ == {"penalty": "l2"}
    with pytest.raises(ValueError, match="'C' parameter of SVC must be") as raised:
        GridSearchCV(SVC(), {"C": [1, -1]}).fit(*chunked)
    assert "{'C': -1}" in raised.value.__notes__[0]
    with pytest.warns(FitFailedWarning, match="3 of 6 fits failed"):
        grid = GridSearchCV(SVC(), {"C": [1, -1]}, error_score=math.nan).fit(*chunked)
    assert grid.cv_results_["rank_test_score"].tolist() == [1, 2]


def test_an_interrupt_there_leaves_the_best_so_far(on_cluster: Client, chunked: Any, monkeypatch: Any) -> None:
    outcomes = []

    def interrupted(executor: ClientExecutor, timeout: float | None = None) -> Any:
        if len(outcomes) == 12:
            raise KeyboardInterrupt
        outcomes.append(waited(executor, timeout))
        return outcomes[-1]

    waited = ClientExecutor.next
    monkeypatch.setattr(ClientExecutor, "next", interrupted)
    search = hyperband()

    with pytest.raises(KeyboardInterrupt):
        search.fit(*chunked, classes=[0, 1])

    assert len(search.history_) == 12
    assert search.best_score_ in [entry["score"] for entry in search.history_]
    assert search.predict(chunked[0]).compute().shape == (400,)


def test_grid_search_shares_pipeline_beginnings_over_workers(on_cluster: Client, chunked: Any) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("best", SelectKBest()), ("clf", LogisticRegression())])
    grid = {"best__k": [2, 4], "clf__C": [0.1, 1]}
    with dask.config.set(scheduler="synchronous"):
        here = GridSearchCV(pipeline, grid, return_train_score=True).fit(*chunked)

    there = GridSearchCV(pipeline, grid, return_train_score=True, scheduler=on_cluster).fit(*chunked)

    np.testing.assert_allclose(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"], rtol=1e-9)
    np.testing.assert_allclose(here.cv_results_["mean_train_score"], there.cv_results_["mean_train_score"], rtol=1e-9)
    assert here.best_params_ == there.best_params_


def test_an_asynchronous_client_gets_a_coroutine(client: Client, chunked: Any) -> None:
    async def search() -> Any:
        async with Client(client.scheduler.address, asynchronous=True) as own:
            classes = own.compute(da.unique(chunked[1]))
            return await hyperband(max_iter=3).fit(*chunked, classes=classes)

    assert asyncio.run(search()).best_score_ > 0.7


@pytest.fixture
def working_dask_ml(monkeypatch: Any) -> None:
    """dask-ml's runner with the one call replaced that Dask refuses since 2025.3: persist inside a coroutine."""

    def persist(*args: Any, **kwargs: Any) -> Any:
        collections, repack = unpack_collections(*args)
        return repack(default_client().persist(collections)) if collections else args

    stand_in = types.ModuleType("dask")
    stand_in.__dict__.update(dask.__dict__, persist=persist)
    monkeypatch.setattr(_incremental, "dask", stand_in)


@pytest.mark.slow
@pytest.mark.usefixtures("working_dask_ml")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("IncrementalSearchCV", {"max_iter": 6, "decay_rate": None}),
        ("IncrementalSearchCV", {"max_iter": 12, "decay_rate": None, "patience": 3, "tol": 0.01}),
        ("IncrementalSearchCV", {"max_iter": 9, "decay_rate": None, "fits_per_score": 3}),
        ("InverseDecaySearchCV", {"max_iter": 20, "n_initial_parameters": 20}),
        ("SuccessiveHalvingSearchCV", {"n_initial_parameters": 9, "n_initial_iter": 2, "max_iter": 18}),
    ],
)
@pytest.mark.parametrize("form", ["arrays", "numpy"])
def test_models_calls_and_scores_are_dask_mls(
    name: str, settings: dict[str, Any], form: str, on_cluster: Client, chunked: Any
) -> None:
    given = chunked if form == "arrays" else dask.compute(*chunked, scheduler="synchronous")
    ours, reference = (
        getattr(module, name)(SGDClassifier(random_state=0), SPACE, random_state=3, **settings).fit(
            *given, classes=[0, 1]
        )
        for module in (daskflow_search, dask_ml_search)
    )

    assert ours.cv_results_.keys() == reference.cv_results_.keys()
    for column, values in reference.cv_results_.items():
        assert ours.cv_results_[column].dtype == values.dtype
        if "time" not in column:
            np.testing.assert_array_equal(ours.cv_results_[column], values)
    assert ours.best_index_ == reference.best_index_
    np.testing.assert_allclose(ours.best_estimator_.coef_, reference.best_estimator_.coef_, rtol=1e-9)
    calls = [
        {model: [entry["partial_fit_calls"] for entry in history] for model, history in search.model_history_.items()}
        for search in (ours, reference)
    ]
    assert calls[0] == calls[1]


@pytest.mark.slow
@pytest.mark.usefixtures("working_dask_ml")
@pytest.mark.parametrize(("max_iter", "aggressiveness"), [(9, 3), (20, 3), (16, 4)])
def test_hyperbands_candidates_brackets_and_schedule_are_dask_mls(
    max_iter: int, aggressiveness: int, on_cluster: Client, chunked: Any
) -> None:
    """A model's score is its parameter, so that dask-ml's other test rows in each bracket make no difference."""
    ours, reference = (
        module.HyperbandSearchCV(
            ConstantFunction(),
            {"value": np.linspace(0, 1, 1000)},
            max_iter=max_iter,
            aggressiveness=aggressiveness,
            random_state=5,
        ).fit(*chunked)
        for module in (daskflow_search, dask_ml_search)
    )

    assert ours.cv_results_.keys() == reference.cv_results_.keys()
    for column in ("model_id", "bracket", "params", "param_value", "test_score", "partial_fit_calls"):
        np.testing.assert_array_equal(ours.cv_results_[column], reference.cv_results_[column])
    assert (ours.best_index_, ours.best_score_) == (reference.best_index_, reference.best_score_)
    assert ours.metadata == reference.metadata
    assert ours.metadata_ == reference.metadata_
    assert {entry["model_id"] for entry in ours.history_} == {entry["model_id"] for entry in reference.history_}


@pytest.mark.slow
def test_grid_search_is_dask_mls(on_cluster: Client, chunked: Any) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])
    settings: dict[str, Any] = {
        "cv": 4,
        "scoring": ["accuracy", "roc_auc"],
        "refit": "roc_auc",
        "return_train_score": True,
    }

    ours = GridSearchCV(pipeline, {"clf__C": [0.01, 1, 100]}, **settings).fit(*chunked)
    reference = dask_ml_search.GridSearchCV(pipeline, {"clf__C": [0.01, 1, 100]}, **settings).fit(*chunked)

    assert ours.cv_results_.keys() == reference.cv_results_.keys()
    for metric in ("accuracy", "roc_auc"):
        for column in (f"mean_test_{metric}", f"rank_test_{metric}", f"mean_train_{metric}"):
            np.testing.assert_allclose(ours.cv_results_[column], reference.cv_results_[column], atol=1e-5)
    assert ours.best_params_ == reference.best_params_


def test_results_hold_no_futures(on_cluster: Client, chunked: Any) -> None:
    search = hyperband(max_iter=3).fit(*chunked, classes=[0, 1])

    assert futures_of([search.cv_results_, search.history_, search.best_estimator_]) == []
