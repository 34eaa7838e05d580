"""SGD estimators that are fitted together become what their own fit makes of each, and none changes another."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB

from daskflow.fused.sgd import fit_many, fit_obstacle
from tests.test_fused_sgd import LEARNED, N_CLASSES, RATES, TOLERANCE, Own, distance, grid, kind_of, rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def candidates_of(task: str, every: int) -> list[Any]:
    """Every loss, penalty, schedule and average, with rules of stopping and orders of all sorts."""
    rng = np.random.default_rng(2)
    found = []
    for number, params in enumerate(grid(task)):
        params |= {"tol": [None, 1e-3, 1e-6, 0.0][number % 4], "n_iter_no_change": int(rng.integers(1, 6))}
        params |= {"max_iter": int(rng.integers(1, 40)), "shuffle": bool(number % 5), "random_state": number % 3}
        if task != "regression" and number % 7 == 0:
            params["class_weight"] = "balanced"
        found.append(kind_of(task)(**params))
    return found[::every]


def by_itself(model: Any, X: Any, y: Any, weight: Any = None) -> Any:
    """The model by its own fit; None when it refuses."""
    try:
        return clone(model).fit(X, y, sample_weight=weight)
    except ValueError:
        return None


def agrees_with_itself(model: Any, one: Any, X: Any, y: Any, weight: Any = None) -> bool:
    """Whether scikit-learn gives the same coefficients and epochs when the columns stand in another order."""
    turned = by_itself(model, np.ascontiguousarray(X[:, ::-1]), y, weight)
    if turned is None or turned.n_iter_ != one.n_iter_:
        return False
    back = [turned.coef_[..., ::-1] - one.coef_, turned.intercept_ - one.intercept_]
    return all(np.abs(part).max() <= TOLERANCE[X.dtype.type] * max(1.0, np.abs(one.coef_).max()) for part in back)


def together(candidates: list[Any], X: Any, y: Any, weight: Any = None) -> tuple[list[Any], list[Any]]:
    """New models of the candidates, and the errors."""
    made = [clone(model) for model in candidates]
    return made, fit_many(made, X, y, sample_weight=weight)


def check_against_scikit_learn(task: str, dtype: Any, every: int) -> None:
    X, y, weight = rows(task, dtype)
    candidates = candidates_of(task, every)
    # when
    made, errors = together(candidates, X, y, weight)
    # then
    n_compared, epochs = 0, set()
    for candidate, ours, error in zip(candidates, made, errors, strict=True):
        theirs = by_itself(candidate, X, y, weight)
        assert (error is None) == (theirs is not None), candidate
        if theirs is not None and agrees_with_itself(candidate, theirs, X, y, weight):
            n_compared += 1
            epochs.add(ours.n_iter_ < candidate.max_iter)
            assert (ours.t_, ours.n_iter_) == (theirs.t_, theirs.n_iter_), candidate
            assert distance(ours, theirs) <= TOLERANCE[dtype], candidate
    assert n_compared > 0.8 * len(candidates)
    assert epochs == {True, False}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_coefficients_and_epochs_are_those_of_fit_over_losses_penalties_schedules_and_rules(
    task: str, dtype: Any
) -> None:
    check_against_scikit_learn(task, dtype, every=7)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_coefficients_and_epochs_are_those_of_fit_in_every_combination(task: str, dtype: Any) -> None:
    check_against_scikit_learn(task, dtype, every=1)


@settings(max_examples=30, deadline=None)
@given(
    loss=st.sampled_from(list(SGDRegressor.loss_functions)),
    penalty=st.sampled_from(["l2", "l1", "elasticnet", None]),
    rate=st.sampled_from(RATES),
    alpha=st.floats(-7, 1.5),
    eta0=st.floats(-5, 0),
    tol=st.one_of(st.none(), st.floats(-9, 0)),
    patience=st.integers(1, 4),
    average=st.one_of(st.booleans(), st.integers(2, 200)),
    seed=st.integers(0, 2**31 - 1),
    as_classes=st.booleans(),
)
def test_any_parameters_give_the_coefficients_of_fit_or_its_overflow(
    loss: str,
    penalty: str | None,
    rate: str,
    alpha: float,
    eta0: float,
    tol: float | None,
    patience: int,
    average: Any,
    seed: int,
    as_classes: bool,
) -> None:
    # given
    task = "binary" if as_classes else "regression"
    X, y, _ = rows(task, n_rows=80, n_features=4)
    params = {"loss": loss, "penalty": penalty, "learning_rate": rate, "average": average, "random_state": seed}
    params |= {"tol": None if tol is None else 10**tol, "n_iter_no_change": patience, "max_iter": 12}
    candidate = kind_of(task)(alpha=10**alpha, eta0=10**eta0, **params)
    # when
    (ours,), (error,) = together([candidate], X, y)
    theirs = by_itself(candidate, X, y)
    # then
    if theirs is None:
        assert "left the range" in str(error)
    elif agrees_with_itself(candidate, theirs, X, y):
        assert ours.n_iter_ == theirs.n_iter_
        assert distance(ours, theirs) <= 1e-6


@pytest.mark.parametrize("average", [False, True, 900], ids=["plain", "averaged", "averaged-later"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_it_leaves_what_fit_leaves(task: str, average: Any) -> None:
    # given
    X, y, _ = rows(task, np.float32)
    table = pd.DataFrame(X, columns=[f"column {number}" for number in range(X.shape[1])])
    labels = y if task == "regression" else np.array(["low", "mid", "high", "top"])[y]
    candidate = kind_of(task)(penalty="elasticnet", average=average, random_state=1, max_iter=3)
    # when
    (ours,), errors = together([candidate], table, labels)
    theirs = by_itself(candidate, table, labels)
    # then every attribute is there, of the same type, shape and dtype
    assert errors == [None]
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        if isinstance(value, np.ndarray):
            assert (vars(ours)[name].shape, vars(ours)[name].dtype) == (value.shape, value.dtype), name
        else:
            assert type(vars(ours)[name]) is type(value), name
    assert list(ours.feature_names_in_) == list(table)
    assert np.array_equal(ours.predict(table), theirs.predict(table)) or task == "regression"
    assert distance(ours, theirs) <= 1e-3
    # then scikit-learn goes on alike from both
    goes_on = [model.partial_fit(table, labels) for model in (pickle.loads(pickle.dumps(ours)), theirs)]
    assert distance(*goes_on) <= 1e-3


def test_what_was_learned_before_is_forgotten() -> None:
    # given
    X, y, _ = rows("multiclass")
    model = SGDClassifier(random_state=0, average=True)
    fresh, _ = together([model], X, y)
    # when it has seen other rows of fewer classes and columns first
    model.fit(X[y < 2, :4], y[y < 2])
    fit_many([model], X, y)
    # then
    assert np.array_equal(model.coef_, fresh[0].coef_)
    assert list(model.classes_) == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_a_fit_does_not_depend_on_the_others_of_the_call_to_the_last_bit(dtype: Any) -> None:
    # given candidates of all sorts that end at different epochs, and some that leave the range of numbers
    X, y, weight = rows("binary", dtype)
    candidates = candidates_of("binary", 11)
    wild = [SGDClassifier(loss="squared_error", learning_rate="constant", eta0=1e300, average=a) for a in (False, True)]
    # when they are fitted alone, and among others in another order
    alone = [together([model], X, y, weight)[0][0] for model in candidates]
    mixed = together([*wild, *candidates[::-1]], X, y, weight)[0][len(wild) :][::-1]
    # then
    assert len({model.n_iter_ for model in alone}) > 3
    for one, other in zip(alone, mixed, strict=True):
        for name in LEARNED:
            if name in vars(one):
                assert vars(one)[name].tobytes() == vars(other)[name].tobytes(), (name, one)


@pytest.mark.parametrize("seeds", [[0, 0, 1, 2**31 - 1], [None] * 3, ["one"] * 3], ids=["numbers", "none", "state"])
def test_orders_are_those_of_each_random_state(seeds: list[Any]) -> None:
    # given a state that is shared is drawn from by one estimator after the other
    X, y, _ = rows("multiclass")
    runs = []
    for fits in (fit_many, lambda models, X, y: [model.fit(X, y) for model in models]):
        np.random.seed(5)
        state = np.random.RandomState(4)
        models = [SGDClassifier(random_state=state if seed == "one" else seed, max_iter=4) for seed in seeds]
        # when
        fits(models, X, y)
        runs.append(models)
    # then
    assert all(distance(ours, theirs) <= 1e-6 for ours, theirs in zip(*runs, strict=True))
    assert distance(runs[1][-1], runs[1][-2]) > 1e-6


def test_too_few_epochs_are_warned_of_as_by_fit() -> None:
    # given
    X, y, _ = rows("binary")
    candidates = [SGDClassifier(max_iter=2, random_state=0), SGDClassifier(max_iter=2, tol=None), SGDClassifier()]
    # when
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        together(candidates, X, y)
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        [by_itself(model, X, y) for model in candidates]
    # then
    assert [warning.category for warning in ours] == [warning.category for warning in theirs] == [ConvergenceWarning]


def test_an_error_costs_its_own_candidate() -> None:
    # given one that overflows, one with a wrong parameter, one of another class that refuses, and two that fit
    X, y, _ = rows("binary")
    models = [
        SGDClassifier(loss="squared_error", learning_rate="constant", eta0=1e300),
        SGDClassifier(alpha=-1.0),
        SGDClassifier(class_weight={7: 1.0}),
        GaussianNB(priors=[2.0, 3.0]),
        SGDClassifier(random_state=0),
        GaussianNB(),
    ]
    # when
    errors = fit_many(models, X, y)
    # then
    for error, reason in zip(errors, ["left the range", "alpha", "class_weight", "priors"], strict=False):
        assert reason in str(error)
    assert errors[4:] == [None, None]
    assert not hasattr(models[0], "coef_")
    assert distance(models[4], by_itself(models[4], X, y)) <= 1e-6
    assert models[5].score(X, y) > 0.5


@pytest.mark.parametrize("case", ["sparse", "subclass", "early stopping", "warm start"])
def test_what_cannot_be_fitted_together_is_fitted_by_itself(case: str) -> None:
    # given
    X, y, weight = rows("binary")
    model = (Own if case == "subclass" else SGDClassifier)(alpha=0.01, random_state=3)
    model.set_params(early_stopping=case == "early stopping", warm_start=case == "warm start")
    table = csr_matrix(X) if case == "sparse" else X
    # when
    (ours,), errors = together([model], table, y, weight)
    # then
    assert errors == [None]
    assert np.array_equal(ours.coef_, by_itself(model, table, y, weight).coef_)


@pytest.mark.parametrize(
    ("X", "y", "reason"),
    [
        (np.full((240, 9), np.nan), None, "NaN"),
        (None, np.zeros(240, int), "one class"),
        (None, np.zeros(3, int), "inconsistent numbers of samples"),
        (None, np.linspace(0, 1, 240), "Unknown label type"),
    ],
)
def test_rows_that_scikit_learn_refuses_are_refused_alike(X: Any, y: Any, reason: str) -> None:
    # given
    given_X, given_y, _ = rows("binary")
    models = [SGDClassifier(), SGDClassifier(average=True)]
    # when
    errors = fit_many(models, given_X if X is None else X, given_y if y is None else y)
    # then
    assert all(reason in str(error) for error in errors)
    assert all(getattr(model, "coef_", None) is None for model in models)


def test_classifiers_and_regressors_can_share_a_call() -> None:
    # given
    X, y, _ = rows("binary")
    both = [SGDClassifier(random_state=0), SGDRegressor(random_state=0), SGDClassifier(loss="log_loss", random_state=0)]
    # when
    made, errors = together(both, X, y)
    # then
    assert errors == [None] * 3
    assert all(distance(ours, by_itself(model, X, y)) <= 1e-6 for ours, model in zip(made, both, strict=True))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"early_stopping": True}, "validation rows"),
        ({"warm_start": True}, "goes on"),
        ({"power_t": -1.0}, "power_t"),
        ({"verbose": 1}, "reports"),
        ({"learning_rate": "pa1", "loss": "log_loss"}, "learning_rate='pa1'"),
    ],
)
def test_what_cannot_be_fitted_together_is_said_with_its_reason(params: dict[str, Any], reason: str) -> None:
    assert reason in fit_obstacle(SGDClassifier, SGDClassifier(**params).get_params())
    assert fit_obstacle(SGDClassifier, SGDClassifier(class_weight="balanced").get_params()) == ""
    assert "GaussianNB" in fit_obstacle(GaussianNB, {})
