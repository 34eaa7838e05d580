"""Estimators of our own keep scikit-learn's rules, and do not depend on the target's unit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso
from sklearn.neural_network import MLPRegressor
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_limits

from daskflow import models
from daskflow.models.scaled.network import ScaledMLPRegressor
from daskflow.models.scaled.penalised import PenalisedRegressor

LEFT_OUT = {"check_array_api_input": "runs only where SCIPY_ARRAY_API is set before scipy is imported"}
"""Checks of scikit-learn that do not run, with the reason."""


def rows(n_rows: int = 400) -> tuple[Any, Any, Any]:
    """Rows, a target that four of ten columns make, and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 10))
    return X, X[:, :4] @ [4.0, -3.0, 2.0, 1.0] + rng.normal(size=n_rows), rng.uniform(0.1, 3.0, n_rows)


@pytest.mark.parametrize("estimator", [PenalisedRegressor(), ScaledMLPRegressor(max_iter=100)])
def test_an_estimator_of_ours_passes_scikit_learns_checks(estimator: Any) -> None:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, on_fail=None, on_skip=None)

    failed = {check["check_name"]: repr(check["exception"]) for check in found if check["status"] == "failed"}
    skipped = {check["check_name"] for check in found if check["status"] not in ("failed", "passed")}
    assert failed == {}
    assert skipped <= set(LEFT_OUT)
    assert len(found) > 50


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize(("kind", "params"), [("lasso", {}), ("elastic_net", {"l1_ratio": 0.3})])
def test_the_same_strength_means_the_same_in_any_unit(kind: str, params: dict[str, Any], unit: float) -> None:
    X, y, weight = rows()
    model = models.parse(kind)

    found = model.estimator("regression", {**params, "strength": 0.1}, 1).fit(X, unit * y, sample_weight=weight)

    plain = model.estimator("regression", {**params, "strength": 0.1}, 1).fit(X, y, sample_weight=weight)
    assert found.coef_ == pytest.approx(unit * plain.coef_, rel=1e-3, abs=1e-3 * unit)
    assert 0 < np.count_nonzero(plain.coef_) <= 10


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_with_the_whole_strength_no_column_is_left_and_with_a_little_less_one(
    positive: bool, is_weighted: bool
) -> None:
    X, y, weight = rows()
    given = weight if is_weighted else None

    whole, less = (
        PenalisedRegressor(strength=strength, positive=positive).fit(X, y, sample_weight=given)
        for strength in (1.0, 0.97)
    )

    assert np.count_nonzero(whole.coef_) == 0
    assert np.count_nonzero(less.coef_) == 1


def test_the_penalty_is_scikit_learns_for_a_target_of_deviation_one() -> None:
    X, y, _ = rows()
    unit = y.std()

    lasso, mixed = (PenalisedRegressor(strength=0.05, l1_ratio=ratio).fit(X, y) for ratio in (1.0, 0.4))

    assert lasso.coef_ == pytest.approx(Lasso(alpha=lasso.alpha_ * unit).fit(X, y).coef_, rel=1e-4, abs=1e-4)
    by_scikit_learn = ElasticNet(alpha=mixed.alpha_, l1_ratio=0.4).fit(X, y / unit)
    assert mixed.coef_ == pytest.approx(unit * by_scikit_learn.coef_, rel=1e-4, abs=1e-4)
    assert mixed.predict(X) == pytest.approx(unit * by_scikit_learn.predict(X), rel=1e-4, abs=1e-4)
    assert mixed.alpha_ == pytest.approx(lasso.alpha_ / 0.4)


def test_a_network_predicts_in_the_targets_own_unit() -> None:
    X, y, weight = rows()
    y = 20_000 + 5_000 * y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = ScaledMLPRegressor(hidden_layer_sizes=(16,), learning_rate_init=0.01, max_iter=100, random_state=0).fit(
            X, y, sample_weight=weight
        )
        plain = MLPRegressor(hidden_layer_sizes=(16,), learning_rate_init=0.01, max_iter=100, random_state=0).fit(
            X, y, sample_weight=weight
        )

    assert ours.score(X, y) > 0.8 > 0 > plain.score(X, y)
    assert ours.target_mean_ == pytest.approx(np.average(y, weights=weight))


def test_a_network_that_learns_block_by_block_keeps_the_first_blocks_unit() -> None:
    X, y, _ = rows()
    made = ScaledMLPRegressor(hidden_layer_sizes=(4,), random_state=0)

    made.partial_fit(X[:100], y[:100])
    unit = made.target_mean_, made.target_scale_
    made.partial_fit(X[100:], 50 + y[100:])

    assert (
        (made.target_mean_, made.target_scale_) == unit == (pytest.approx(y[:100].mean()), pytest.approx(y[:100].std()))
    )
