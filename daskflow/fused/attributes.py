"""Attributes of SGD estimators before and after training, as scikit-learn 1.8 and 1.9 leave them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import SGDRegressor
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import validate_data


class Learned(NamedTuple):
    """What an estimator learned: of each class, where there are more than two, else of one model.

    Attributes
    ----------
    weights, average : ndarray of shape (n_models, n_features)
        Coefficients, and their averages where it averages.
    intercepts, average_intercepts : sequence of float
        One for each model.
    """

    weights: Any
    average: Any
    intercepts: Any
    average_intercepts: Any


def goes_on(estimator: Any, X: Any, n_classes: int) -> bool:
    """Whether an estimator is fresh, or has learned what `begin` and `learned` take up: these classes, this dtype."""
    known = vars(estimator)
    coef = known.get("coef_")
    if coef is None:
        return n_classes != 1
    if issparse(coef) or coef.dtype != X.dtype or "t_" not in known:
        return False
    if n_classes and not np.array_equal(known["classes_"], np.arange(n_classes)):
        return False
    return bool((known.get("_average_coef") is not None) == (estimator.average > 0))


def begin(estimator: Any, X: Any, n_classes: int) -> None:
    """Give a fresh estimator the attributes that its first ``partial_fit`` begins with; check one that goes on.

    Raises
    ------
    ValueError
        For parameters that scikit-learn refuses, and another number of columns than before.
    """
    is_fresh = vars(estimator).get("coef_") is None
    if is_fresh:
        estimator._validate_params()
    if is_fresh or estimator.n_features_in_ != X.shape[1]:
        validate_data(estimator, X, reset=is_fresh, skip_check_array=True)
    if n_classes:
        classes = np.arange(n_classes)
        # scikit-learn would count the labels of the block for each estimator, and use that for "balanced" alone.
        estimator._expanded_class_weight = (
            np.ones(n_classes)
            if estimator.class_weight is None
            else compute_class_weight(estimator.class_weight, classes=classes, y=classes)
        )
        estimator._loss_function_ = estimator._get_loss_function(estimator.loss)
        if is_fresh:
            estimator.classes_ = classes
    if is_fresh:
        _begin_with_zeros(estimator, X, n_classes)


def begin_anew(estimator: Any, given: Any, X: Any, classes: Any, class_weight: Any) -> None:
    """Give an estimator the attributes that its ``fit`` begins with, whatever it has learned before.

    Parameters
    ----------
    given : array-like
        The rows, maybe with names of columns.
    X : ndarray of shape (n_rows, n_features)
        The same.
    classes : ndarray or None
        None for regression.
    class_weight : ndarray or None
        The weight of each class; None for 1.

    Raises
    ------
    ValueError
        For parameters that scikit-learn refuses.
    """
    estimator._validate_params()
    validate_data(estimator, given, skip_check_array=True)
    if classes is not None:
        estimator._expanded_class_weight = np.ones(len(classes)) if class_weight is None else class_weight.copy()
        estimator._loss_function_ = estimator._get_loss_function(estimator.loss)
        estimator.classes_ = classes.copy()
    _begin_with_zeros(estimator, X, 0 if classes is None else len(classes))


def _begin_with_zeros(estimator: Any, X: Any, n_classes: int) -> None:
    several = n_classes > 2
    shape = (n_classes, X.shape[1]) if several else (X.shape[1],)
    estimator.t_ = 1.0
    estimator.coef_ = np.zeros(shape, X.dtype)
    estimator.intercept_ = np.zeros(n_classes if several else 1, X.dtype)
    if estimator.average > 0:
        estimator._standard_coef, estimator._standard_intercept = estimator.coef_, estimator.intercept_
        estimator._average_coef = np.zeros_like(estimator.coef_)
        estimator._average_intercept = np.zeros_like(estimator.intercept_)


def learned(estimator: Any, n_features: int) -> Learned:
    """Return what an estimator has learned so far."""
    if estimator.average > 0:
        return Learned(
            estimator._standard_coef.reshape(-1, n_features),
            estimator._average_coef.reshape(-1, n_features),
            estimator._standard_intercept,
            estimator._average_intercept,
        )
    weights = estimator.coef_.reshape(-1, n_features)
    return Learned(weights, np.zeros_like(weights), estimator.intercept_, np.zeros(len(weights)))


def end(estimator: Any, now: Learned, n_rows: int, n_iter: int = 1) -> None:
    """Give an estimator what it learned from some rows in so many passes, as scikit-learn leaves it; in new arrays."""
    estimator.n_iter_ = n_iter
    estimator.t_ += n_iter * n_rows
    is_averaged = 0 < estimator.average <= estimator.t_ - 1.0
    if isinstance(estimator, SGDRegressor):
        _end_regression(estimator, now, is_averaged)
        return
    if estimator.average > 0:
        shape = estimator._standard_coef.shape
        estimator._standard_coef, estimator._average_coef = now.weights.reshape(shape), now.average.reshape(shape)
    _end_intercepts(estimator, now, is_averaged)
    estimator.coef_ = now.average if is_averaged else now.weights


def _end_intercepts(estimator: Any, now: Learned, is_averaged: bool) -> None:
    """Write a classifier's intercepts.

    Two habits of scikit-learn are kept, because a later ``partial_fit`` begins with what stands here. Of two classes
    the intercept that is not averaged is not kept once averages count: the next call begins with the one before. Of
    more classes it is written into ``intercept_``, which from the second such call on is the averages' own array.
    """
    several = len(now.intercepts) > 1
    if not estimator.average > 0:
        kind = estimator.intercept_.dtype if several else np.float64
        estimator.intercept_ = np.array(now.intercepts, dtype=kind)
        return
    copies: dict[int, Any] = {}
    for name in ("intercept_", "_standard_intercept", "_average_intercept"):
        kept = getattr(estimator, name)
        setattr(estimator, name, copies.setdefault(id(kept), kept.copy()))
    estimator._average_intercept[:] = now.average_intercepts
    if several:
        estimator.intercept_[:] = now.intercepts
    if is_averaged:
        estimator.intercept_ = estimator._average_intercept
    else:
        estimator._standard_intercept = estimator.intercept_ if several else np.array(now.intercepts)
        estimator.intercept_ = estimator._standard_intercept


def _end_regression(estimator: Any, now: Learned, is_averaged: bool) -> None:
    """Write a regressor's coefficients."""
    intercept, average_intercept = np.array(now.intercepts), np.array(now.average_intercepts)
    if estimator.average > 0:
        estimator._standard_coef, estimator._average_coef = now.weights[0], now.average[0]
        estimator._standard_intercept, estimator._average_intercept = intercept, average_intercept
    estimator.coef_ = now.average[0] if is_averaged else now.weights[0]
    estimator.intercept_ = average_intercept if is_averaged else intercept
