"""A row's answer does not depend on the rows beside it: estimators over others, neighbours, kernels, projections."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import NMF, PCA, SparsePCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from daskflow.bundle.card_text import card_text
from daskflow.bundle.model import Model
from daskflow.bundle.steady import steady
from daskflow.bundle.steady_blocks import in_blocks
from daskflow.bundle.steady_members import unsteady
from daskflow.data.decision import Decision
from daskflow.data.predictions import predict
from daskflow.data.schema import Schema, Target, Task

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(0)
X = np.abs(RNG.normal(size=(400, 21)).astype(np.float32))
SAID = X[:, :4].sum(axis=1) + RNG.normal(size=len(X))
NINE = [(f"m{number}", Ridge(alpha=number + 1)) for number in range(9)]
BOTH = FeatureUnion([("few", PCA(5)), ("own", ColumnTransformer([("scaled", StandardScaler(), [0, 3])]))])

ESTIMATORS: dict[str, tuple[Any, int]] = {
    "one-or-rest": (OneVsRestClassifier(LogisticRegression()), 9),
    "one-or-other": (OneVsOneClassifier(LinearSVC()), 4),
    "calibrated": (CalibratedClassifierCV(LogisticRegression(), cv=2), 3),
    "calibrated-steps": (CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2), 2),
    "bagging": (BaggingClassifier(LogisticRegression(), 3, random_state=0), 2),
    "stacking": (StackingRegressor(NINE[:2], cv=2, passthrough=True), 0),
    "voting": (VotingRegressor(NINE), 0),
    "scaled-target": (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), 0),
    "search": (GridSearchCV(Ridge(), {"alpha": [0.1, 1]}, cv=2), 0),
    "boosting-over-linear": (GradientBoostingRegressor(init=Ridge(), n_estimators=2), 0),
    "boosting-nine": (HistGradientBoostingClassifier(max_iter=2), 9),
    "forest-threads": (RandomForestClassifier(9, n_jobs=2, random_state=0), 3),
    "projected": (make_pipeline(BOTH, LogisticRegression()), 3),
    "kernel-map": (make_pipeline(Nystroem(n_components=20, random_state=0), Ridge()), 0),
    "kernel": (KernelRidge(kernel="rbf"), 0),
    "discriminant": (QuadraticDiscriminantAnalysis(), 3),
    "discriminant-last": (make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()), 9),
    "discriminant-first": (make_pipeline(LinearDiscriminantAnalysis(), LogisticRegression()), 9),
    "neighbours": (KNeighborsClassifier(5, algorithm="brute", weights="distance"), 3),
    "neighbours-streets": (KNeighborsRegressor(5, algorithm="brute", p=1, weights="distance"), 0),
    "counts": (MultinomialNB(), 9),
    "zeros-and-ones": (BernoulliNB(binarize=0.7), 9),
    "complement": (ComplementNB(), 3),
    "link": (PoissonRegressor(), 0),
    "one-in-another-shape": (make_pipeline(SparsePCA(3, random_state=0, max_iter=20), Ridge()), 0),
    "one-by-one": (make_pipeline(NMF(3, random_state=0, max_iter=20), Ridge()), 0),
}


def fitted(name: str) -> tuple[Any, int]:
    estimator, n_classes = ESTIMATORS[name]
    bounds = np.quantile(SAID, np.arange(1, n_classes) / n_classes) if n_classes else None
    return estimator.fit(X, np.abs(SAID) if bounds is None else np.searchsorted(bounds, SAID)), n_classes


@pytest.mark.parametrize("name", ESTIMATORS)
def test_any_batch_gives_the_same_bits_and_the_estimators_own_answers(name: str) -> None:
    # given
    estimator, n_classes = fitted(name)
    before = pickle.dumps(estimator)
    own, made = predict(estimator, X, n_classes), steady(estimator)
    # when
    whole = predict(made, X, n_classes)
    # then it says what the estimator says
    kinds = [what for what in ("labels", "probabilities", "scores") if getattr(own, what) is not None]
    for what in kinds:
        rtol = 0.1 if name == "one-by-one" else 2e-4  # it stops when all rows together are well enough
        np.testing.assert_allclose(getattr(whole, what), getattr(own, what), rtol=rtol, atol=2e-5)
    # and rows that stand together otherwise say the same, to the last bit, whatever the threads
    for size, first, n_threads in ((1, 3, 1), (2, 0, 2), (7, 11, 1), (64, 5, 2), (130, 0, 1)):
        stop = min(len(X), first + 9 * size)
        with threadpool_limits(n_threads):
            parts = [predict(made, X[at : min(stop, at + size)], n_classes) for at in range(first, stop, size)]
        for what in kinds:
            found = np.concatenate([getattr(part, what) for part in parts])
            np.testing.assert_array_equal(found, getattr(whole, what)[first:stop])
    backwards = predict(made, np.asfortranarray(X[::-1]), n_classes)
    for what in kinds:
        np.testing.assert_array_equal(getattr(backwards, what)[::-1], getattr(whole, what))
    # and the estimator was not changed
    assert pickle.dumps(estimator) == before


def test_sparse_rows_go_through_blocks_too() -> None:
    few = sparse.csr_matrix(np.where(X > 1.2, X, 0))
    made = steady(make_pipeline(TruncatedSVD(5, random_state=0), LogisticRegression()).fit(few, SAID.mean() < SAID))
    whole = made.predict_proba(few)
    alone = [made.predict_proba(few[at]) for at in range(30)]
    np.testing.assert_array_equal(np.concatenate(alone), whole[:30])


def test_of_equal_neighbours_the_first_row_of_training_counts() -> None:
    # given: 200 rows that are all the same but for what they answer
    learned, y = np.zeros((200, 20), dtype=np.float32), np.arange(200.0)
    far = np.full((200, 20), 9.0, dtype=np.float32)
    estimator = KNeighborsRegressor(3, algorithm="brute").fit(np.concatenate([far, learned]), np.append(y, y))
    # then
    np.testing.assert_array_equal(steady(estimator).predict(np.ones((7, 20), dtype=np.float32)), np.full(7, 1.0))


def test_neighbours_that_a_product_cannot_tell_apart_are_told_apart() -> None:
    # given: rows far from the origin, whose distances are lost in the rounding of their squares
    learned = 1e6 + RNG.normal(size=(300, 20)) * 1e-4
    estimator = KNeighborsClassifier(1, algorithm="brute").fit(learned, np.arange(300))
    # then each is its own nearest
    np.testing.assert_array_equal(steady(estimator).predict(learned), np.arange(300))
    assert (estimator.predict(learned) != np.arange(300)).any()


class Counted(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Says where in its block a row stands."""

    n_features_in_ = 3
    classes_ = np.array([0, 1])

    def decision_function(self, rows: Any) -> Any:
        return np.arange(len(rows)) + rows[:, 0]


def test_an_estimator_in_which_a_rows_place_counts_is_asked_row_by_row() -> None:
    rows = np.ones((70, 3))
    np.testing.assert_array_equal(in_blocks(Counted()).decision_function(rows), np.ones(70))


def test_an_empty_batch_and_rows_of_another_width_get_the_estimators_own_error() -> None:
    made = steady(fitted("discriminant")[0])
    with pytest.raises(ValueError, match="minimum of 1"):
        made.predict(X[:0])
    with pytest.raises(ValueError, match="features"):
        made.predict(X[:, :5])


def test_threads_share_out_rows_and_not_trees() -> None:
    # given
    forest = fitted("forest-threads")[0]
    rows = np.tile(X, (5, 1)) + RNG.normal(size=(2000, 21)).astype(np.float32)
    made = steady(forest)
    # when
    whole = made.predict_proba(rows)
    # then
    np.testing.assert_array_equal(np.concatenate([made.predict_proba(rows[:1]), made.predict_proba(rows[1:])]), whole)
    np.testing.assert_allclose(whole, forest.predict_proba(rows))
    assert forest.n_jobs == 2
    assert made.n_jobs == 1


class Mine(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """A class of a user's own."""

    def fit(self, X: Any, y: Any = None) -> Mine:
        return self

    def transform(self, X: Any) -> Any:
        return X - X.mean()


def halved(X: Any) -> Any:
    return X / 2


def test_classes_and_functions_of_a_users_own_are_named() -> None:
    # given
    y = SAID.mean() < SAID
    own = FrozenEstimator(make_pipeline(Mine(), LogisticRegression()).fit(X, y))
    function = make_pipeline(FunctionTransformer(halved), FunctionTransformer(np.sqrt), Ridge()).fit(X, SAID)
    # then
    assert unsteady(own) == (f"{__name__}.Mine",)
    assert unsteady(CalibratedClassifierCV(own, cv=2).fit(X, y)) == (f"{__name__}.Mine",)
    assert unsteady(function) == (f"{__name__}.halved",)
    for name in ("stacking", "projected", "neighbours"):
        assert unsteady(fitted(name)[0]) == ()


def test_a_model_and_its_card_say_whose_last_bits_may_differ() -> None:
    # given
    own = make_pipeline(Mine(), Ridge()).fit(X, SAID)
    target = Target("answer", Task.REGRESSION)
    schema = Schema(())
    # when
    cards = [card_text({}, estimator, schema, target, Decision()) for estimator in (own, own.steps[-1][1])]
    # then
    assert Model(own, None, schema, target).unsteady == (f"{__name__}.Mine",)  # type: ignore[arg-type]  # not asked
    assert f"`{__name__}.Mine` computes" in cards[0]
    assert "last bits" not in cards[1]
