"""Grid and randomized search in this process: scikit-learn's results by dask-ml's interface."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats
import sklearn.model_selection as theirs
from dask import delayed
from dask_ml import model_selection as dask_ml_search
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from daskflow.core.errors import DataError, SearchError
from daskflow.search import GridSearchCV, RandomizedSearchCV


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """Whatever client another test file opened, these searches do not use it."""
    with dask.config.set(scheduler="synchronous"), threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(200, 8, random_state=0, flip_y=0.1)
    return X, y


def assert_same_results(ours: Any, reference: Any) -> None:
    """The same keys, values, types and best; but for times."""
    assert ours.cv_results_.keys() == reference.cv_results_.keys()
    assert list(ours.cv_results_["params"]) == list(reference.cv_results_["params"])
    for name, values in reference.cv_results_.items():
        if name.startswith("param"):
            assert np.ma.getmaskarray(np.ma.asarray(ours.cv_results_[name])).tolist() == (
                np.ma.getmaskarray(np.ma.asarray(values)).tolist()
            )
        elif "time" not in name:
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=1e-12, err_msg=name)
            assert ours.cv_results_[name].dtype == values.dtype
    assert ours.n_splits_ == reference.n_splits_
    assert ours.multimetric_ == reference.multimetric_
    if reference.refit:
        assert ours.best_index_ == reference.best_index_
        assert ours.best_params_ == reference.best_params_


SEARCHES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "one metric": (LogisticRegression(), {"C": [0.01, 1, 100]}, {"cv": 3}),
    "five folds of a tree": (DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, {"cv": 5}),
    "training scores": (LogisticRegression(), {"C": [0.01, 1]}, {"cv": 3, "return_train_score": True}),
    "several metrics": (
        LogisticRegression(),
        {"C": [0.01, 1, 100]},
        {"cv": 3, "scoring": ["accuracy", "roc_auc"], "refit": "roc_auc", "return_train_score": True},
    ),
    "metrics by name": (LogisticRegression(), {"C": [0.01, 1]}, {"cv": 3, "scoring": {"a": "f1"}, "refit": "a"}),
    "no refit": (LogisticRegression(), {"C": [0.01, 1]}, {"cv": 3, "scoring": ["f1", "accuracy"], "refit": False}),
    "callable refit": (
        LogisticRegression(),
        {"C": [0.01, 1]},
        {"cv": 3, "refit": lambda results: int(np.argmin(results["mean_test_score"]))},
    ),
    "shuffled folds": (LogisticRegression(), {"C": [0.01, 1]}, {"cv": theirs.ShuffleSplit(3, random_state=0)}),
    "unequal folds": (LogisticRegression(), {"C": [0.01, 1]}, {"cv": theirs.PredefinedSplit([0] * 150 + [1] * 50)}),
    "list of grids": (SVC(), [{"C": [0.1, 1]}, {"kernel": ["linear"], "C": [1]}], {"cv": 3}),
    "pipeline": (
        Pipeline([("scale", StandardScaler()), ("best", SelectKBest()), ("clf", LogisticRegression())]),
        {"best__k": [2, 5], "clf__C": [0.01, 1]},
        {"cv": 3},
    ),
    "steps as values": (
        Pipeline([("scale", StandardScaler()), ("pca", PCA(random_state=0)), ("clf", LogisticRegression())]),
        [{"scale": [MinMaxScaler(), "passthrough"], "clf__C": [0.1, 1]}, {"pca__n_components": [2], "clf": [SVC()]}],
        {"cv": 3},
    ),
    "union": (
        make_pipeline(FeatureUnion([("pca", PCA(random_state=0)), ("best", SelectKBest())]), SVC()),
        {"featureunion__pca__n_components": [1, 2], "featureunion__best__k": [1, 2], "svc__C": [0.1, 1]},
        {"cv": 3},
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_results_are_scikit_learns(name: str, table: Any) -> None:
    estimator, grid, settings = SEARCHES[name]
    reference = theirs.GridSearchCV(estimator, grid, **settings).fit(*table)

    search = GridSearchCV(estimator, grid, cache_cv=name != "pipeline", **settings).fit(*table)

    assert isinstance(search, dask_ml_search.GridSearchCV)
    assert_same_results(search, reference)
    if settings.get("refit", True):
        np.testing.assert_array_equal(search.predict(table[0]), reference.predict(table[0]))


def sgd_grid(step: str) -> dict[str, Any]:
    return {
        f"{step}alpha": [1e-4, 1e-2, 1.0],
        f"{step}penalty": ["l2", "l1", "elasticnet"],
        f"{step}average": [False, True],
    }


@pytest.mark.parametrize("form", ["alone", "last of a pipeline", "after steps that differ", "several classes"])
@pytest.mark.parametrize("tol", [None, 1e-3])
def test_sgd_candidates_that_are_fitted_together_have_scikit_learns_results(
    form: str, tol: float | None, table: Any
) -> None:
    # given
    X, y = load_iris(return_X_y=True) if form == "several classes" else table
    sgd = SGDClassifier(loss="log_loss", max_iter=8, tol=tol, random_state=0)
    estimator = sgd if form == "alone" else Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("sgd", sgd)])
    grid = sgd_grid("" if form == "alone" else "sgd__")
    grid |= {"pca__n_components": [2, 3]} if form == "after steps that differ" else {}
    settings = {"cv": 3, "scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss", "return_train_score": True}
    # when
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = GridSearchCV(estimator, grid, **settings).fit(X, y)
        reference = theirs.GridSearchCV(estimator, grid, **settings).fit(X, y)
    # then
    assert ours.best_params_ == reference.best_params_
    for name, values in reference.cv_results_.items():
        if "score" in name and "time" not in name and "rank" not in name:
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=1e-7, err_msg=name)
    np.testing.assert_array_equal(ours.predict(X), reference.predict(X))


class CountingTransforms(StandardScaler):
    """Counts its transforms."""

    transforms = 0

    def transform(self, X: Any, copy: Any = None) -> Any:
        CountingTransforms.transforms += 1
        return super().transform(X, copy)


def only_rows(model: Any, X: Any, y: Any) -> float:
    """A score that looks into the model."""
    return float(len(model.steps) == 2)


@pytest.mark.parametrize(("scoring", "times"), [("accuracy", 2 * 3), (only_rows, 3), (["accuracy", "f1"], 2 * 3)])
def test_rows_to_score_are_transformed_once_for_candidates_that_share_a_beginning(
    scoring: Any, times: int, table: Any
) -> None:
    # given
    pipeline = Pipeline([("scale", CountingTransforms()), ("sgd", SGDClassifier(random_state=0))])
    CountingTransforms.transforms = 0
    # when
    search = GridSearchCV(pipeline, sgd_grid("sgd__"), cv=3, refit=False, scoring=scoring).fit(*table)
    # then the training rows and the test rows of three folds, by 18 candidates
    assert CountingTransforms.transforms == times
    assert len(search.cv_results_["params"]) == 18


def test_an_sgd_candidate_that_fails_costs_itself(table: Any) -> None:
    # given
    pipeline = Pipeline([("scale", StandardScaler()), ("sgd", SGDClassifier(random_state=0, loss="squared_error"))])
    grid = {"sgd__eta0": [1e-3, 1e300, -1.0], "sgd__learning_rate": ["constant"]}
    # when
    with pytest.warns(FitFailedWarning, match="6 of 9 fits failed"):
        search = GridSearchCV(pipeline, grid, error_score=math.nan, cv=3).fit(*table)
    with pytest.raises(ValueError, match="left the range") as raised:
        GridSearchCV(pipeline, {"sgd__eta0": [1e-3, 1e300], "sgd__learning_rate": ["constant"]}, cv=3).fit(*table)
    # then
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True, True]
    assert "'sgd__eta0': 1e+300" in raised.value.__notes__[0]


def test_weights_of_rows_reach_sgd_candidates_and_their_scores(table: Any) -> None:
    weight = np.random.RandomState(0).rand(200)
    for estimator, step in (
        (SGDClassifier(random_state=0), ""),
        (make_pipeline(SGDClassifier(random_state=0)), "sgdclassifier__"),
    ):
        params = {f"{step}sample_weight": weight}
        grid = {f"{step}alpha": [1e-4, 1e-2]}
        ours = GridSearchCV(estimator, grid, cv=3).fit(*table, **params)
        assert_same_results(ours, theirs.GridSearchCV(estimator, grid, cv=3).fit(*table, **params))


def test_three_folds_are_the_default_and_stratified_for_classifiers() -> None:
    X, y = np.arange(18.0).reshape(9, 2), np.repeat([0, 1, 2], 3)

    search = GridSearchCV(LogisticRegression(), {"C": [1]}).fit(X, y)
    reference = theirs.GridSearchCV(LogisticRegression(), {"C": [1]}, cv=theirs.StratifiedKFold(3)).fit(X, y)

    assert_same_results(search, reference)


def test_randomized_candidates_are_scikit_learns(table: Any) -> None:
    space = {"C": scipy.stats.loguniform(1e-3, 1e3), "kernel": ["rbf", "linear"]}

    search = RandomizedSearchCV(SVC(), space, n_iter=5, random_state=4, cv=3).fit(*table)
    reference = theirs.RandomizedSearchCV(SVC(), space, n_iter=5, random_state=4, cv=3).fit(*table)

    assert_same_results(search, reference)


def test_regressors_and_clusterings_are_searched_too() -> None:
    X, y = make_regression(90, 4, random_state=0)

    assert_same_results(
        GridSearchCV(Ridge(), {"alpha": [0.1, 10]}, cv=3).fit(X, y),
        theirs.GridSearchCV(Ridge(), {"alpha": [0.1, 10]}, cv=3).fit(X, y),
    )
    clusters = GridSearchCV(KMeans(random_state=0, n_init=1), {"n_clusters": [2, 3]}, cv=3).fit(X)
    reference = theirs.GridSearchCV(KMeans(random_state=0, n_init=1), {"n_clusters": [2, 3]}, cv=3).fit(X)
    assert_same_results(clusters, reference)
    assert clusters.score(X) == pytest.approx(reference.score(X))


def forms(table: Any) -> dict[str, tuple[Any, Any]]:
    """The same rows in every form that is accepted."""
    X, y = table
    frame = pd.DataFrame(X).add_prefix("c").assign(y=y)
    lazy = dd.from_pandas(frame, npartitions=4)
    columns = list(frame.columns[:-1])
    return {
        "pandas": (frame[columns], frame["y"]),
        "sparse": (sp.csr_matrix(X), y),
        "dask arrays": (da.from_array(X, chunks=(60, 3)), da.from_array(y, chunks=90)),
        "dask array and numpy": (da.from_array(X, chunks=(60, 8)), y),
        "dask frame": (lazy[columns], lazy["y"]),
        "arrays of unknown length": (lazy[columns].values, lazy["y"].values),
        "delayed": (delayed(X), delayed(y)),
    }


@pytest.mark.parametrize("form", list(forms((np.zeros((8, 2)), np.zeros(8)))))
def test_every_form_of_input_gives_the_same_results(form: str, table: Any) -> None:
    X, y = forms(table)[form]
    reference = theirs.GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}, cv=3).fit(*table)

    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}, cv=3).fit(X, y)

    assert_same_results(search, reference)
    if form != "delayed":
        prediction = search.predict(X)
        assert isinstance(prediction, np.ndarray)
        np.testing.assert_array_equal(prediction, reference.predict(table[0]))
        assert search.score(X, y) == reference.score(*table)


def test_a_dask_frame_of_text_and_numbers_goes_through_a_pipeline_with_its_names() -> None:
    frame = pd.DataFrame({"color": ["red", "blue", "green"] * 20, "size": np.arange(60.0), "label": [0, 1] * 30})
    lazy = dd.from_pandas(frame, npartitions=3)
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["color"]), (StandardScaler(), ["size"])), LogisticRegression()
    )
    grid = {"logisticregression__C": [0.1, 1]}

    search = GridSearchCV(pipeline, grid, cv=3).fit(lazy[["color", "size"]], lazy["label"])

    assert_same_results(search, theirs.GridSearchCV(pipeline, grid, cv=3).fit(frame[["color", "size"]], frame["label"]))
    assert list(search.feature_names_in_) == ["color", "size"]
    assert search.predict_proba(lazy[["color", "size"]]).shape == (60, 2)


def test_lists_of_texts_stay_lists() -> None:
    texts, y = ["good day", "bad night", "good night", "bad day"] * 6, [1, 0, 1, 0] * 6

    search = GridSearchCV(make_pipeline(CountVectorizer(), LogisticRegression()), {"countvectorizer__binary": [True]})

    assert search.fit(texts, y).best_score_ == 1.0


@pytest.mark.parametrize("lazy", [False, True])
def test_groups_and_weights_follow_the_folds(lazy: bool, table: Any) -> None:
    X, y = table
    groups, weight = np.arange(200) % 5, np.random.RandomState(0).rand(200)
    settings = {"cv": theirs.GroupKFold(3)}
    reference = theirs.GridSearchCV(SVC(), {"C": [0.1, 1]}, **settings).fit(X, y, groups=groups, sample_weight=weight)
    given: Any = (lambda values: da.from_array(values, chunks=70)) if lazy else (lambda values: values)

    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, **settings)
    search.fit(given(X), given(y), groups=given(groups), sample_weight=given(weight))

    assert_same_results(search, reference)
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        GridSearchCV(SVC(), {"C": [1]}, **settings).fit(X, y)


def test_step_parameters_of_fit_reach_their_step(table: Any) -> None:
    weight = np.random.RandomState(0).rand(200)
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])
    params = {"scale__sample_weight": weight, "clf__sample_weight": weight}

    search = GridSearchCV(pipeline, {"clf__C": [0.1, 1]}, cv=3).fit(*table, **params)

    assert_same_results(search, theirs.GridSearchCV(pipeline, {"clf__C": [0.1, 1]}, cv=3).fit(*table, **params))


def test_kernels_lose_rows_and_columns(table: Any) -> None:
    X, y = table
    kernel = X @ X.T

    search = GridSearchCV(SVC(kernel="precomputed"), {"C": [0.1, 1]}, cv=3).fit(kernel, y)

    assert_same_results(search, theirs.GridSearchCV(SVC(kernel="precomputed"), {"C": [0.1, 1]}, cv=3).fit(kernel, y))


class CountingScaler(StandardScaler):
    """Counts its fits."""

    fits = 0

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        CountingScaler.fits += 1
        return super().fit(X, y, sample_weight)


def test_beginnings_that_pipelines_share_are_fitted_once_per_fold(table: Any) -> None:
    pipeline = Pipeline([("scale", CountingScaler()), ("best", SelectKBest()), ("clf", LogisticRegression())])
    grid = {"scale__with_mean": [True, False], "best__k": [2, 4], "clf__C": [0.1, 1]}
    CountingScaler.fits = 0

    GridSearchCV(pipeline, grid, cv=3, refit=False).fit(*table)

    assert CountingScaler.fits == 2 * 3  # two settings of the step, three folds; not eight candidates


class Taking(np.ndarray):
    """Counts how often rows are taken."""

    taken = 0

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, tuple) and isinstance(rows[0], np.ndarray):
            Taking.taken += 1
        return super().__getitem__(rows)

    def take(self, *args: Any, **kwargs: Any) -> Any:
        Taking.taken += 1
        return super().take(*args, **kwargs)


class Nothing(ClassifierMixin, BaseEstimator):
    """Fits, predicts, and touches no data; fails on demand."""

    def __init__(self, value: float = 0.0, fail: str = "") -> None:
        self.value, self.fail = value, fail

    def fit(self, X: Any, y: Any = None) -> Nothing:
        if self.fail == "fit":
            raise RuntimeError("fit fails")
        if self.fail == "interrupt":
            raise KeyboardInterrupt
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))

    def score(self, X: Any, y: Any = None) -> float:
        if self.fail == "score":
            raise RuntimeError("score fails")
        return math.nan if self.fail == "nan" else self.value


@pytest.mark.parametrize(("cache_cv", "times"), [(True, 2 * 3), (False, 2 * 3 * 4)])
def test_folds_are_cut_once_or_for_each_fit(cache_cv: bool, times: int, table: Any) -> None:
    Taking.taken = 0

    GridSearchCV(Nothing(), {"value": [0, 1, 2, 3]}, cv=3, cache_cv=cache_cv).fit(table[0].view(Taking), table[1])

    assert Taking.taken == times


def test_a_failure_ends_the_search_at_once_with_its_own_error_and_the_parameters(table: Any) -> None:
    search = GridSearchCV(Nothing(), {"fail": ["", "fit"], "value": [1]})

    with pytest.raises(RuntimeError, match="fit fails") as raised:
        search.fit(*table)

    assert "{'fail': 'fit', 'value': 1}" in raised.value.__notes__[0]
    with pytest.raises(ValueError, match="Invalid parameter 'step3'"):
        GridSearchCV(make_pipeline(Nothing()), {"step3__value": [1]}).fit(*table)


@pytest.mark.parametrize("fail", ["fit", "score"])
@pytest.mark.parametrize("in_pipeline", [True, False])
def test_with_a_number_a_failure_has_that_score(fail: str, in_pipeline: bool, table: Any) -> None:
    estimator: Any = Pipeline([("scale", StandardScaler()), ("clf", Nothing())]) if in_pipeline else Nothing()
    prefix = "clf__" if in_pipeline else ""
    grid = [{f"{prefix}value": [0.5, 0.9]}, {f"{prefix}fail": [fail]}]

    with pytest.warns(FitFailedWarning, match=rf"3 of 9 fits failed and have the score -1; the first.*{fail} fails"):
        search = GridSearchCV(estimator, grid, error_score=-1).fit(*table)

    assert search.cv_results_["mean_test_score"].tolist() == [0.5, 0.9, -1.0]
    assert search.cv_results_["rank_test_score"].tolist() == [2, 1, 3]
    assert search.best_score_ == 0.9
    assert not np.isnan(search.cv_results_["mean_fit_time"]).any()


@pytest.mark.parametrize("fail", ["fit", "score", "nan"])
def test_with_nan_a_failure_ranks_last(fail: str, table: Any) -> None:
    search = GridSearchCV(Nothing(), [{"fail": [fail]}, {"value": [0.5, 0.9]}], error_score=math.nan)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(*table)

    assert [w.category for w in caught] == ([FitFailedWarning] if fail != "nan" else [])
    assert search.cv_results_["rank_test_score"].tolist() == [3, 2, 1]
    assert search.best_params_ == {"value": 0.9}


def test_a_failing_step_that_pipelines_share_fails_only_those(table: Any) -> None:
    class Bad(StandardScaler):
        def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            raise RuntimeError("this step fails")

    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])
    grid = {"scale": [Bad(), StandardScaler()], "clf__C": [0.1, 1]}

    with pytest.warns(FitFailedWarning, match="6 of 12 fits failed"):
        search = GridSearchCV(pipeline, grid, cv=3, error_score=math.nan).fit(*table)

    failed = np.isnan(search.cv_results_["mean_test_score"])
    assert failed.tolist() == [isinstance(params["scale"], Bad) for params in search.cv_results_["params"]]
    assert not isinstance(search.best_params_["scale"], Bad)


def test_when_everything_fails_there_is_no_best_one(table: Any) -> None:
    grid = {"fail": ["fit", "score"]}

    with pytest.raises(SearchError, match="None of the 2 candidates has a score"), pytest.warns(FitFailedWarning):
        GridSearchCV(Nothing(), grid, error_score=math.nan).fit(*table)
    with pytest.warns(FitFailedWarning):
        unfitted = GridSearchCV(Nothing(), grid, error_score=math.nan, refit=False).fit(*table)
    assert np.isnan(unfitted.cv_results_["mean_test_score"]).all()


def test_an_interrupt_leaves_what_finished(table: Any) -> None:
    search = GridSearchCV(Nothing(), {"value": [1, 3, 2], "fail": [""]}, cv=3)
    search._get_param_iterator = lambda: [{"value": 1}, {"value": 3}, {"fail": "interrupt"}, {"value": 9}]

    with pytest.raises(KeyboardInterrupt):
        search.fit(*table)

    assert search.cv_results_["mean_test_score"].tolist() == [1, 3]
    assert (search.best_params_, search.best_score_) == ({"value": 3}, 3)
    assert not hasattr(search, "best_estimator_")


def test_what_cannot_work_is_refused_in_words(table: Any) -> None:
    grid = {"C": [0.1, 1]}

    with pytest.raises(ValueError, match="error_score must be the string 'raise' or a number"):
        GridSearchCV(SVC(), grid, error_score="bad").fit(*table)
    with pytest.raises(ValueError, match="refit=True does not say which of several metrics"):
        GridSearchCV(SVC(), grid, scoring=["accuracy", "f1"]).fit(*table)
    with pytest.raises(TypeError, match="n_jobs should be an int"):
        GridSearchCV(SVC(), grid, n_jobs="many").fit(*table)
    with pytest.raises(DataError, match="X has 200, y has 199"):
        GridSearchCV(SVC(), grid).fit(table[0], table[1][:-1])
    with pytest.raises(ValueError, match="refit returned 7"):
        GridSearchCV(SVC(), grid, refit=lambda results: 7).fit(*table)


def test_without_refit_there_is_nothing_to_predict_with(table: Any) -> None:
    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, refit=False).fit(*table)

    with pytest.raises(NotFittedError, match="refit=False"):
        search.predict(table[0])
    with pytest.raises(AttributeError, match="refit=False"):
        _ = search.best_params_
    with pytest.raises(NotImplementedError, match="no task graph"):
        search.visualize()
    with pytest.raises(NotFittedError):
        GridSearchCV(SVC(), {"C": [1]}).visualize()


def test_a_search_is_an_estimator_like_its_own(table: Any) -> None:
    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, cv=3)

    assert clone(search).get_params().keys() == dask_ml_search.GridSearchCV(SVC(), {}).get_params().keys()
    assert is_classifier(search)
    assert not is_classifier(GridSearchCV(Ridge(), {}))
    assert hasattr(search, "decision_function")
    assert not hasattr(search, "predict_proba")
    search.fit(*table)
    assert search.classes_.tolist() == [0, 1]
    assert search.scorer_(search.best_estimator_, *table) == search.score(*table)
    assert search.refit_time_ >= 0


def test_an_estimator_that_knows_nothing_of_scikit_learn_is_searched(table: Any) -> None:
    from dask_ml.model_selection.utils_test import MockClassifier

    search = GridSearchCV(MockClassifier(), {"foo_param": [0, 1, 2]}, cv=3).fit(*table)

    assert search.best_params_ == {"foo_param": 2}


def test_iris_pipeline_with_shared_steps_is_scikit_learns() -> None:
    X, y = load_iris(return_X_y=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("svc", SVC())])
    grid = {"pca__n_components": [1, 2, 3], "svc__C": [0.1, 1, 10]}

    search = GridSearchCV(pipeline, grid, cv=3, return_train_score=True).fit(X, y)

    assert_same_results(search, theirs.GridSearchCV(pipeline, grid, cv=3, return_train_score=True).fit(X, y))
    np.testing.assert_allclose(
        search.best_estimator_.named_steps["pca"].components_,
        theirs.GridSearchCV(pipeline, grid, cv=3).fit(X, y).best_estimator_.named_steps["pca"].components_,
    )
