"""A row's answer does not depend on the rows beside it: linear models, networks, trees, ensembles over parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from daskflow.bundle.steady import SteadyLinear, product, steady
from daskflow.data.predictions import predict
from daskflow.models.parts.estimators import PartitionEnsembleClassifier, PartitionEnsembleRegressor
from daskflow.models.scaled.network import ScaledMLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 37)).astype(np.float32)
SAID = X[:, :4].sum(axis=1) + RNG.normal(size=len(X))

ESTIMATORS = {
    "sgd-binary": (SGDClassifier(loss="log_loss", random_state=0), 2),
    "sgd-four": (SGDClassifier(loss="modified_huber", random_state=0), 4),
    "sgd-numbers": (SGDRegressor(random_state=0), 0),
    "hinge": (SGDClassifier(random_state=0), 2),
    "logistic-binary": (LogisticRegression(), 2),
    "logistic-four": (LogisticRegression(), 4),
    "ridge": (Ridge(), 0),
    "least-squares": (LinearRegression(), 0),
    "elastic-net": (ElasticNet(alpha=0.01), 0),
    "svm": (LinearSVC(), 2),
    "network-four": (MLPClassifier((20, 7), max_iter=3, random_state=0), 4),
    "network-binary": (MLPClassifier((20,), activation="tanh", max_iter=3, random_state=0), 2),
    "network-numbers": (ScaledMLPRegressor(hidden_layer_sizes=(100,), max_iter=3, random_state=0), 0),
    "naive-bayes": (GaussianNB(), 4),
    "boosting": (HistGradientBoostingClassifier(max_iter=5), 2),
    "forest": (RandomForestRegressor(5, random_state=0), 0),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), 2),
    "parts-soft": (PartitionEnsembleRegressor(Ridge(), n_parts=3), 0),
    "parts-stacked": (PartitionEnsembleClassifier(LogisticRegression(), n_parts=3, combine="stacked"), 2),
}


def fitted(name: str) -> tuple[Any, int]:
    estimator, n_classes = ESTIMATORS[name]
    bounds = np.quantile(SAID, np.arange(1, n_classes) / n_classes) if n_classes else None
    return estimator.fit(X, SAID if bounds is None else np.searchsorted(bounds, SAID)), n_classes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_any_batch_gives_the_same_bits_and_the_estimators_own_answers(name: str) -> None:
    # given
    estimator, n_classes = fitted(name)
    own = predict(estimator, X, n_classes)
    # when
    whole = predict(steady(estimator), X, n_classes)
    # then it says what the estimator says
    for what in ("labels", "probabilities", "scores"):
        expected, found = getattr(own, what), getattr(whole, what)
        assert (expected is None) == (found is None)
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    # and rows that stand together otherwise say the same, to the last bit
    for size, first in ((1, 0), (1, 5), (2, 3), (3, 0), (7, 1), (16, 9), (64, 0), (100, 41)):
        stop = min(len(X), first + 40 * size)
        parts = [predict(steady(estimator), X[at : at + size], n_classes) for at in range(first, stop, size)]
        for what in ("labels", "probabilities", "scores"):
            if getattr(whole, what) is not None:
                found = np.concatenate([getattr(part, what) for part in parts])
                np.testing.assert_array_equal(found, getattr(whole, what)[first : first + len(found)])


def test_without_it_the_bits_of_a_linear_model_depend_on_the_batch() -> None:
    estimator, _ = fitted("ridge")
    alone = np.concatenate([estimator.predict(X[at : at + 1]) for at in range(200)])
    assert not np.array_equal(alone, estimator.predict(X)[:200])


@pytest.mark.parametrize("n_features", [1, 2, 5, 64, 311])
def test_a_product_adds_each_row_by_itself(n_features: int) -> None:
    rows, weights = RNG.normal(size=(300, n_features)), RNG.normal(size=(3, n_features))
    whole = product(rows, weights)
    np.testing.assert_allclose(whole, rows @ weights.T, rtol=1e-10, atol=1e-10)
    for size in (1, 2, 9, 32):
        parts = [product(rows[at : at + size], weights) for at in range(0, 300, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        turned = [product(np.asfortranarray(rows[at : at + size]), weights) for at in range(0, 300, size)]
        np.testing.assert_array_equal(np.concatenate(turned), whole)


def test_sparse_rows_are_taken_too() -> None:
    estimator, _ = fitted("sgd-binary")
    few = sparse.csr_matrix(np.where(np.abs(X) > 1.5, X, 0))
    whole = predict(steady(estimator), few, 2)
    np.testing.assert_allclose(whole.scores, predict(estimator, few, 2).scores, rtol=1e-4)
    alone = [predict(steady(estimator), few[at], 2).scores for at in range(50)]
    np.testing.assert_array_equal(np.concatenate(alone), whole.scores[:50])


def test_what_looks_at_each_row_by_itself_and_classes_of_a_users_own_are_left_as_they_are() -> None:
    class Halved(Ridge):
        def predict(self, X: Any) -> Any:
            return super().predict(X) / 2

    halved = Halved().fit(X, SAID)
    assert steady(halved) is halved
    forest, _ = fitted("forest")
    assert steady(forest) is forest


def test_rows_of_another_width_get_the_estimators_own_error_and_gaps_are_refused() -> None:
    made = steady(fitted("logistic-binary")[0])
    assert isinstance(made, SteadyLinear)
    with pytest.raises(ValueError, match="features"):
        made.predict(X[:, :5])
    gap = X[:2].copy()
    gap[1, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        made.predict(gap)


def test_the_estimator_itself_is_not_touched() -> None:
    estimator, n_classes = fitted("network-four")
    before = estimator.predict_proba(X)
    with pytest.warns(ConvergenceWarning):
        again = MLPClassifier((20, 7), max_iter=3, random_state=0).fit(X, estimator.predict(X))
    del again
    predict(steady(estimator), X, n_classes)
    assert "_forward_pass_fast" not in vars(estimator)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)
