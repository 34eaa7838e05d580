"""Predictions of a row that do not depend on the rows beside it, to the last bit.

A product of matrices by BLAS adds in an order that goes with the number of rows: of one row alone, of 64 or of a
million the last bits differ, and a model would answer a request otherwise than the same row of a file. Here linear
models, networks and naive Bayes multiply in one order of their own (`numpy.einsum`, which adds along each row alone);
whatever else an estimator does stays its own. Trees look at each row by itself already. Estimators over others get
steady members (`steady_members`), neighbours are found anew (`steady_neighbours`), and all others of scikit-learn and
dask-ml answer in blocks of one size (`steady_blocks`). A class of a user's own predicts as it is;
`steady_members.unsteady` names it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from daskflow.bundle.steady_blocks import METHODS, disguised, in_blocks
from daskflow.bundle.steady_members import is_known, is_no_step, steady_whole
from daskflow.core.warned import ignored

KNOWN = ("sklearn", "daskflow")
"""Packages whose linear models do nothing with rows but multiply them; a class of a user's own may look at them."""

FEW_ROWS = 8
"""Made-up rows by which a linear model is known."""


def steady(estimator: Any) -> Any:
    """Return an estimator that predicts as this one does, whatever rows stand together; the same one where it can.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.

    Returns
    -------
    object
        With ``predict`` and, where `estimator` has them, ``predict_proba``, ``decision_function`` and ``classes_``.
    """
    if _is_linear(estimator):
        return SteadyLinear(estimator)
    if _is_network(estimator):
        return _steady_network(estimator)
    if hasattr(estimator, "part_rows_") and isinstance(getattr(estimator, "estimators_", None), list):
        return _steady_parts(estimator)
    if isinstance(getattr(estimator, "steps", None), list) and hasattr(estimator, "named_steps"):
        return SteadyPipeline(estimator)
    if _has_link(estimator):
        return _steady_link(estimator)
    if _is_counting(estimator):
        return _steady_counting(estimator)
    return steady_whole(estimator, _member)


def _member(estimator: Any) -> Any:
    """Return a steady estimator that can stand in the place of this one in another."""
    made = steady(estimator)
    if made is estimator or isinstance(made, type(estimator)):
        return made
    rest = in_blocks(estimator)  # a linear discriminant also transforms
    methods = [name for name in METHODS if hasattr(estimator, name)]
    return disguised(estimator, {name: getattr(made if hasattr(made, name) else rest, name) for name in methods})


def product(X: Any, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply rows by weights, each row in the same order whatever stands beside it.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Any float type; it is multiplied as float64.
    weights : ndarray of shape (n_outputs, n_features)
        float64.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        float64.
    """
    if sparse.issparse(X):  # scipy goes through each row by itself
        by_row: Any = X
        return np.asarray(by_row @ weights.T)
    rows = np.ascontiguousarray(X, dtype=np.float64)
    return np.asarray(np.einsum("ij,kj->ik", rows, weights))


class SteadyLinear:
    """A linear model that multiplies steadily.

    The estimator itself then gets the products, with the identity for its coefficients: zeros and ones leave every
    product as it is in whatever order they are added, so classes, probabilities and links are the estimator's own.

    Parameters
    ----------
    estimator : object
        Fitted, with ``coef_`` and ``intercept_``.
    """

    def __init__(self, estimator: Any) -> None:
        """Take its coefficients."""
        self._own = estimator
        coefficients = np.asarray(estimator.coef_, dtype=np.float64)
        self._weights = np.ascontiguousarray(np.atleast_2d(coefficients))
        self._intercept = np.asarray(estimator.intercept_, dtype=np.float64)
        n_outputs = len(self._weights)
        of_products = copy.copy(estimator)
        of_products.coef_ = np.eye(n_outputs) if coefficients.ndim == 2 else np.ones(n_outputs)
        of_products.intercept_ = np.zeros_like(self._intercept)
        of_products.n_features_in_ = n_outputs
        if hasattr(of_products, "feature_names_in_"):
            del of_products.feature_names_in_
        # What multiplies is left out where it is a method of its own: it checks what was checked, at each call.
        if coefficients.ndim == 2:
            of_products.decision_function = _as_scores
        else:
            of_products._decision_function = np.ravel
        found: dict[str, Callable[[Any], Any]] = {}
        for name in ("predict", "predict_proba", "decision_function"):
            if hasattr(estimator, name):
                found[name] = _short(of_products, name, n_outputs) or getattr(of_products, name)
                setattr(self, name, self._through(found[name], getattr(estimator, name)))
        if hasattr(estimator, "classes_"):
            self.classes_ = estimator.classes_
        self.predict_both: Callable[[Any], tuple[Any, Any]] | None = None
        if found.keys() >= {"predict", "predict_proba"}:
            labels, probabilities = found["predict"], found["predict_proba"]
            self.predict_both = self._through(
                lambda products: (labels(products), probabilities(products)),  # the latter may change the products
                lambda X: (estimator.predict(X), estimator.predict_proba(X)),
            )

    def _through(self, of_products: Callable[[Any], Any], own: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a method that gives an estimator's method the products."""

        def method(X: Any) -> Any:
            if getattr(X, "shape", ())[1:] != self._weights.shape[1:]:
                return own(X)  # says what is wrong
            products = product(X, self._weights) + self._intercept
            if not np.isfinite(products).all():
                return own(X)  # says what is wrong with gaps
            return of_products(products)

        return method


def _short(of_products: Any, name: str, n_outputs: int) -> Callable[[Any], Any] | None:
    """Return what a classifier of two classes does with its products, without what scikit-learn does around it.

    None where that is not the same to the last bit: it is asked, for products of every size.
    """
    classes = getattr(of_products, "classes_", None)
    if n_outputs != 1 or classes is None or len(classes) != 2 or name == "decision_function":
        return None

    def labels(products: NDArray[np.float64]) -> Any:
        return classes.take((products.reshape(-1) > 0).astype(np.intp))

    def probabilities(products: NDArray[np.float64]) -> Any:
        found = np.empty((len(products), 2))
        found[:, 1] = positive = expit(products.reshape(-1))
        np.subtract(1, positive, out=found[:, 0])
        return found

    short = labels if name == "predict" else probabilities
    asked = np.concatenate([[0.0, -0.0], *(np.array([1.0, -1.0]) * size for size in np.geomspace(1e-12, 1e4, 200))])
    with ignored():
        said = np.asarray(getattr(of_products, name)(asked[:, None].copy()))
        told = np.asarray(short(asked[:, None].copy()))
    return short if said.dtype == told.dtype and said.tobytes() == told.tobytes() else None


def _as_scores(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products as ``decision_function`` gives them: one number for each row where there are two classes."""
    return products.reshape(-1) if products.shape[1] == 1 else products


def _is_linear(estimator: Any) -> bool:
    """Whether all that it does with rows is a product with its coefficients: it is asked, for a few rows."""
    try:
        from sklearn.linear_model._base import LinearClassifierMixin, LinearModel
        from sklearn.linear_model._stochastic_gradient import BaseSGDRegressor
    except ImportError:  # another scikit-learn has them elsewhere
        return False
    coefficients, intercept = getattr(estimator, "coef_", None), getattr(estimator, "intercept_", None)
    if type(estimator).__module__.partition(".")[0] not in KNOWN or intercept is None:
        return False
    if not isinstance(coefficients, np.ndarray) or coefficients.dtype.kind != "f":
        return False
    if isinstance(estimator, LinearClassifierMixin) and coefficients.ndim == 2:
        says = estimator.decision_function
    elif isinstance(estimator, LinearModel | BaseSGDRegressor) and coefficients.ndim == 1:
        says = estimator.predict
    else:
        return False
    rows = np.random.default_rng(0).normal(size=(FEW_ROWS, coefficients.shape[-1]))
    with ignored():
        said = np.asarray(says(rows), dtype=np.float64).reshape(FEW_ROWS, -1)
    expected = product(rows, np.atleast_2d(np.asarray(coefficients, dtype=np.float64))) + np.asarray(intercept)
    scale = float(np.abs(expected).max()) if np.isfinite(expected).all() else math.inf
    return said.shape == expected.shape and bool(np.allclose(said, expected, rtol=1e-4, atol=1e-5 * scale))


def _is_network(estimator: Any) -> bool:
    """Whether it is scikit-learn's network."""
    try:
        from sklearn.neural_network._multilayer_perceptron import ACTIVATIONS, BaseMultilayerPerceptron
    except ImportError:
        return False
    if not isinstance(estimator, BaseMultilayerPerceptron) or not hasattr(estimator, "coefs_"):
        return False
    return estimator.activation in ACTIVATIONS and estimator.out_activation_ in ACTIVATIONS


def _steady_network(estimator: Any) -> Any:
    """Return a copy whose layers multiply steadily."""
    from sklearn.neural_network._multilayer_perceptron import ACTIVATIONS
    from sklearn.utils.validation import validate_data

    weights = [np.ascontiguousarray(layer.T, dtype=np.float64) for layer in estimator.coefs_]
    intercepts = [np.asarray(layer, dtype=np.float64) for layer in estimator.intercepts_]
    last = len(weights) - 1

    def forward(self: Any, X: Any, check_input: bool = True) -> Any:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        for number, (layer, intercept) in enumerate(zip(weights, intercepts, strict=True)):
            X = product(X, layer)
            X += intercept
            ACTIVATIONS[self.out_activation_ if number == last else self.activation](X)
        return X

    made = copy.copy(estimator)
    made._forward_pass_fast = MethodType(forward, made)
    return made


def _has_link(estimator: Any) -> bool:
    """Whether it is one of scikit-learn's generalized linear regressors, whose prediction is a link of a product."""
    try:
        from sklearn.linear_model._glm.glm import _GeneralizedLinearRegressor
    except ImportError:
        return False
    is_own = is_known(estimator) and hasattr(estimator, "coef_") and hasattr(estimator, "_linear_predictor")
    return is_own and isinstance(estimator, _GeneralizedLinearRegressor)


def _steady_link(estimator: Any) -> Any:
    """Return a copy that multiplies steadily before the link."""
    from sklearn.utils.validation import validate_data

    weights = np.ascontiguousarray(estimator.coef_, dtype=np.float64)[None, :]

    def multiplied(self: Any, X: Any) -> Any:
        X = validate_data(self, X, accept_sparse=["csr"], dtype=[np.float64, np.float32], reset=False)
        return product(X, weights)[:, 0] + self.intercept_

    made = copy.copy(estimator)
    made._linear_predictor = MethodType(multiplied, made)
    return made


def _is_counting(estimator: Any) -> bool:
    """Whether it is scikit-learn's naive Bayes of counts or of zeros and ones."""
    name = type(estimator).__name__
    is_own = is_known(estimator) and name in ("BernoulliNB", "ComplementNB", "MultinomialNB")
    return is_own and hasattr(estimator, "feature_log_prob_") and hasattr(estimator, "_joint_log_likelihood")


def _steady_counting(estimator: Any) -> Any:
    """Return a copy that multiplies counts by log probabilities steadily."""
    weights = np.ascontiguousarray(estimator.feature_log_prob_, dtype=np.float64)
    added = estimator.class_log_prior_
    if type(estimator).__name__ == "BernoulliNB":
        of_absent = np.log(1 - np.exp(weights))
        weights, added = weights - of_absent, added + of_absent.sum(axis=1)
    elif type(estimator).__name__ == "ComplementNB" and len(estimator.classes_) > 1:
        added = np.zeros(len(weights))

    def multiplied(self: Any, X: Any) -> Any:
        return product(X, weights) + added

    made = copy.copy(estimator)
    made._joint_log_likelihood = MethodType(multiplied, made)
    return made


def _steady_parts(estimator: Any) -> Any:
    """Return a copy of an ensemble over parts whose members, and the model over them, are steady."""
    made = copy.copy(estimator)
    made.estimators_ = [_member(each) for each in estimator.estimators_]
    if getattr(estimator, "final_estimator_", None) is not None:
        made.final_estimator_ = _member(estimator.final_estimator_)
    return made


class SteadyPipeline:
    """A pipeline of steady steps.

    Parameters
    ----------
    pipeline : object
        scikit-learn's, fitted.
    """

    def __init__(self, pipeline: Any) -> None:
        """Take its steps."""
        self._before = [_member(step) for _, step in pipeline.steps[:-1] if not is_no_step(step)]
        last = pipeline.steps[-1][1]
        of_last = None if is_no_step(last) else _member(last)
        for name in METHODS:
            if hasattr(pipeline, name):
                setattr(self, name, self._through(_unchanged if of_last is None else getattr(of_last, name)))
        if hasattr(pipeline, "classes_"):
            self.classes_ = pipeline.classes_

    def _through(self, of_last: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def method(X: Any) -> Any:
            for step in self._before:
                X = step.transform(X)
            return of_last(X)

        return method


def _unchanged(X: Any) -> Any:
    return X
