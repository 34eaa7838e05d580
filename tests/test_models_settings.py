"""A model is said in a word, a table, an import path or an object, and every mistake in it is answered."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from daskflow import models
from daskflow.core.errors import SettingsError

OBJECTS = [
    GaussianNB(var_smoothing=1e-8),
    RandomForestClassifier(max_features=None, class_weight={0: 1.0, 1: 3.0}),
    make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=3.0)),
    BaggingClassifier(DecisionTreeClassifier(max_depth=3)),
    StackingClassifier([("nb", GaussianNB()), ("sgd", SGDClassifier(alpha=0.1))]),
]


def reading(text: str) -> models.Model:
    return models.parse(tomllib.loads(text)["model"])


@pytest.mark.parametrize("path", ["sklearn.naive_bayes:GaussianNB", "sklearn.naive_bayes.GaussianNB"])
def test_an_import_path_is_enough_to_name_an_estimator(path: str) -> None:
    for model in (reading(f'[model]\nestimator = "{path}"'), models.parse(path), models.Estimator(estimator=path)):
        assert repr(model.estimator("binary", {"var_smoothing": 0.5}, seed=1)) == "GaussianNB(var_smoothing=0.5)"


@pytest.mark.parametrize("given", OBJECTS, ids=lambda given: type(given).__name__)
def test_an_estimator_object_and_what_it_is_written_as_make_the_same_estimator(given: Any) -> None:
    model = models.parse(given)

    written = models.parse(tomllib.loads(tomli_w.dumps(model.dump())))

    assert repr(written.estimator("binary", {}, seed=4)) == repr(model.estimator("binary", {}, seed=4))
    assert written.identity() == model.identity()


def test_an_estimator_object_is_cloned_and_keeps_its_own_parameters() -> None:
    given = SGDClassifier(loss="huber", random_state=5)

    made = models.parse(given).estimator("binary", {"alpha": 0.3}, seed=99)

    assert made is not given
    assert (made.loss, made.alpha, made.random_state) == ("huber", 0.3, 5)
    assert given.alpha == 0.0001


def test_parameters_reach_nested_estimators_with_seeds_of_their_own() -> None:
    given = Pipeline([("scale", StandardScaler()), ("sgd", SGDClassifier()), ("forest", RandomForestClassifier())])

    params = models.parse(given).estimator("binary", {"sgd__alpha": 0.3}, seed=7).get_params()

    assert params["sgd__alpha"] == 0.3
    assert None is not params["sgd__random_state"] != params["forest__random_state"]
    with pytest.raises(SettingsError, match=r"search\.space\.sgd__alhpa: no such option; did you mean 'sgd__alpha'\?"):
        models.parse(given).estimator("binary", {"sgd__alhpa": 0.3}, seed=7)


def test_toml_says_none_tuples_and_weights_of_classes() -> None:
    forest = reading('[model]\nkind = "random_forest"\nparams = {max_features = "None", class_weight = {0 = 1, 1 = 3}}')
    network = reading('[model]\nestimator = "sklearn.neural_network:MLPClassifier"\nparams.hidden_layer_sizes = [5, 5]')

    made = forest.estimator("binary", {}, seed=1)

    assert made.max_features is None
    assert made.class_weight == {0: 1, 1: 3}
    assert network.estimator("binary", {}, seed=1).hidden_layer_sizes == (5, 5)


def test_a_candidates_parameters_stand_over_fixed_ones_and_fixed_ones_are_not_searched() -> None:
    model = models.SGD(params={"penalty": "l1", "random_state": 3})

    assert "penalty" not in model.space("binary")
    assert model.estimator("binary", {"penalty": "l2"}, seed=8).get_params()["penalty"] == "l2"
    assert model.estimator("binary", {}, seed=8).get_params()["random_state"] == 3


@pytest.mark.parametrize("params", [{"class_weight": "balanced"}, {"early_stopping": True}])
def test_settings_that_partial_fit_refuses_make_a_model_not_incremental(params: dict[str, Any]) -> None:
    assert models.SGD().is_incremental("binary")
    assert not models.SGD(params=params).is_incremental("binary")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"kind": "sdg"}, "model.kind: no such model: 'sdg'; did you mean 'sgd'?"),
        ({"kind": "sgd", "pparams": {}}, "model.pparams: no such option; did you mean 'params'?"),
        ({}, "model.kind: is required; there is: "),
        ({"estimator": "GaussianNB"}, "did you mean 'sklearn.naive_bayes:GaussianNB'?"),
        (
            {"estimator": "sklearn.naive_bayess:GaussianNB"},
            "no module 'naive_bayess' in 'sklearn'; did you mean 'naive_b",
        ),
        ({"estimator": "sklearn.naive_bayes:GausianNB"}, "has no 'GausianNB'; did you mean 'GaussianNB'?"),
        ({"estimator": "no_such_package.x:Y"}, "model.estimator: there is no package 'no_such_package': install it"),
        ({"estimator": "sklearn.preprocessing:StandardScaler"}, "is no model: it has no predict"),
        ({"estimator": "sklearn.utils:shuffle"}, "is a function, not a class"),
        ({"estimator": "os.path; print(1):X"}, "should read 'package.module:Class'"),
        ({"estimator": 3}, "should be 'package.module:Class' or a scikit-learn estimator (found 3"),
        (7, "model: should be a model: its name or a table (found 7)"),
    ],
)
def test_a_model_that_does_not_exist_is_answered_with_the_nearest_that_does(value: Any, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        models.parse(value)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "task", "said"),
    [
        (
            {"kind": "sgd", "params": {"penaltty": "l1"}},
            "binary",
            "model.params.penaltty: no such option; did you mean 'p",
        ),
        (
            {"kind": "sgd", "params": {"penalty": "l3"}},
            "binary",
            "model.params.penalty: The 'penalty' parameter of SGDClas",
        ),
        (
            {"kind": "logistic"},
            "regression",
            "model.kind: logistic has no estimator for regression; there is: catboost, elastic_net, e",
        ),
        (
            {"estimator": "sklearn.linear_model:Ridge"},
            "binary",
            "model.estimator: Ridge is a regressor, and the task is b",
        ),
        (
            {"estimator": "sklearn.linear_model:RidgeClassifier"},
            "regression",
            "RidgeClassifier is a classifier, and the t",
        ),
        (
            {"estimator": "sklearn.ensemble:VotingClassifier"},
            "binary",
            "model.params.estimators: is required by VotingClassifier",
        ),
        (
            {
                "estimator": "sklearn.ensemble:BaggingClassifier",
                "params": {"estimator": {"estimator": "sklearn.tree:Tree"}},
            },
            "binary",
            "model.params.estimator: module 'sklearn.tree' has no 'Tree'",
        ),
    ],
)
def test_parameters_that_cannot_work_are_found_before_any_fit(value: Any, task: str, said: str) -> None:
    model = models.parse(value)

    assert said in str(model.check(task)[0])
    with pytest.raises(SettingsError):
        model.estimator(task, {}, seed=1)


def test_every_wrong_name_is_reported_at_once() -> None:
    problems = models.SGD(params={"penaltty": 1, "alhpa": 2}).check("binary", ["etaa0", "alpha"])

    assert [problem.where for problem in problems] == [
        "model.params.penaltty",
        "model.params.alhpa",
        "search.space.etaa0",
    ]


def test_a_function_given_from_python_is_kept_but_not_pretended_to_be_readable() -> None:
    given = make_pipeline(FunctionTransformer(abs), GaussianNB())
    model = models.parse(given)

    assert repr(model.estimator("binary", {}, seed=1)) == repr(given)
    with pytest.raises(SettingsError, match="was given from Python and cannot be made from its text"):
        models.parse(model.dump()).estimator("binary", {}, seed=1)


def test_a_library_whose_none_means_all_cores_is_kept_to_one() -> None:
    class Boosted(ClassifierMixin, BaseEstimator):
        def __init__(self, n_jobs: int | None = None) -> None:
            self.n_jobs = n_jobs

        def fit(self, X: Any, y: Any) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            return X

    assert models.parse(Boosted()).estimator("binary", {}, seed=1).n_jobs == 1
    assert models.parse(Boosted()).estimator("binary", {"n_jobs": 4}, seed=1).n_jobs == 4
    assert models.parse(Boosted(n_jobs=2)).estimator("binary", {}, seed=1).n_jobs == 2


def test_a_class_that_no_other_process_could_import_is_used_as_the_object_it_is() -> None:
    class Always(ClassifierMixin, BaseEstimator):
        def __init__(self, answer: int = 1) -> None:
            self.answer = answer

        def fit(self, X: Any, y: Any) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            return [self.answer] * len(X)

    model = models.parse(Always(answer=0))

    assert model.estimator("binary", {"answer": 5}, seed=1).predict([[1]]) == [5]
    assert "Always" in str(model.dump())
    assert "0x" not in str(model.dump())
