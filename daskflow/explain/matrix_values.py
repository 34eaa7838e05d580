"""SHAP values of the matrix's columns, exact: of linear models by their coefficients, of trees by the package shap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import SettingsError
from daskflow.core.warned import ignored
from daskflow.data.predictions import predict

Floats = NDArray[np.float64]

TREES = ("sklearn.ensemble", "sklearn.tree", "xgboost", "lightgbm", "catboost")
"""Packages whose estimators may be trees."""

MISSING = (
    "SHAP values of trees need the package shap, which is not installed: pip install 'daskflow[shap]', or choose "
    "method = 'permutation', which asks the model itself."
)


class LinearValues:
    """Values of a linear model: coefficient times distance from the mean (Lundberg and Lee, 2017, corollary 1).

    Parameters
    ----------
    coefficients : ndarray of shape (n_features,)
        Of the output that is explained.
    intercept : float
        Of the same.
    mean : ndarray of shape (n_features,)
        Of the rows that are the ground.
    """

    method = "linear"

    def __init__(self, coefficients: Floats, intercept: float, mean: Floats) -> None:
        """Keep them."""
        self._coefficients, self._mean = coefficients, mean
        self._base = float(mean @ coefficients) + intercept

    def of(self, X: Any) -> tuple[Floats, Floats]:
        """Return values (n_rows, n_features), and the base of each row."""
        found = (_dense(X) - self._mean) * self._coefficients
        return found, np.full(len(found), self._base)


class TreeValues:
    """Values of trees along their paths (Lundberg et al., 2020), computed by the package shap.

    Parameters
    ----------
    estimator : object
        scikit-learn's trees, forests and boosting, XGBoost's, LightGBM's or CatBoost's.
    code : int
        Class that is explained; of no meaning for numbers.
    """

    method = "tree"

    def __init__(self, estimator: Any, code: int) -> None:
        """Build nothing yet: what shap builds is not sent to other processes."""
        self._estimator, self._code = estimator, code
        self._explainer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what shap built."""
        return {**self.__dict__, "_explainer": None}

    def of(self, X: Any) -> tuple[Floats, Floats]:
        """Return values (n_rows, n_features), and the base of each row."""
        with ignored():  # matplotlib's on shap's colours, and shap's on its own ways
            if self._explainer is None:
                try:
                    import shap
                except ImportError as error:
                    raise SettingsError(MISSING) from error
                self._explainer = shap.TreeExplainer(self._estimator)
            found = self._explainer(_dense(X))
        values, base = np.asarray(found.values, dtype=np.float64), np.asarray(found.base_values, dtype=np.float64)
        if values.ndim == 3:
            place = [int(code) for code in self._estimator.classes_].index(self._code)
            values, base = values[:, :, place], np.broadcast_to(base, (len(values), values.shape[2]))[:, place]
        return values, np.broadcast_to(base.reshape(-1) if base.ndim else base, (len(values),)).astype(np.float64)


MatrixValues = LinearValues | TreeValues


def linear_values(estimator: Any, X: Any, code: int, n_classes: int) -> LinearValues | None:
    """Return the values of an estimator whose raw answer is its coefficients times the row; None for any other.

    Whether it is, is looked at: by what it answers on these rows.
    """
    coefficients = getattr(estimator, "coef_", None) if not _is_boosted(estimator) else None
    ask = getattr(estimator, "decision_function" if n_classes else "predict", None)
    if coefficients is None or ask is None:
        return None
    coefficients = np.atleast_2d(_dense(coefficients)).astype(np.float64)
    if coefficients.shape[1] != X.shape[1]:
        return None
    intercept = np.broadcast_to(np.ravel(getattr(estimator, "intercept_", 0.0)), (len(coefficients),))
    raw = np.asarray(X @ coefficients.T) + intercept
    answered = np.asarray(ask(X), dtype=np.float64).reshape(len(raw), -1)
    if answered.shape != raw.shape or not np.allclose(answered, raw, rtol=1e-4, atol=1e-4 * (1 + np.abs(raw).max())):
        return None
    row = 0
    if len(coefficients) > 1:
        row = [int(known) for known in estimator.classes_].index(code)
    mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
    return LinearValues(coefficients[row], float(intercept[row]), mean)


def tree_values(estimator: Any, X: Any, code: int) -> tuple[TreeValues | None, str]:
    """Return the values of an estimator of trees; None for any other, with a sentence where one could think it is.

    Raises
    ------
    SettingsError
        When the package shap is needed, and is not installed.
    """
    if not type(estimator).__module__.startswith(TREES) and not any(
        base.__module__.startswith(TREES) for base in type(estimator).__mro__
    ):
        return None, ""
    found = TreeValues(estimator, code)
    try:
        found.of(X[:2])
    except SettingsError:
        raise
    except Exception as error:  # shap raises whatever it stumbles over in an estimator that it does not know
        name = type(estimator).__name__
        return None, f"The package shap does not know {name} ({type(error).__name__}), so its answers were sampled."
    return found, ""


def meaning(estimator: Any, X: Any, raw: Floats, code: int, n_classes: int) -> str:
    """Say what base and values sum to, by what the estimator answers on the same rows."""
    predictions = predict(estimator, X, n_classes)
    if n_classes == 0:
        same = np.allclose(raw, predictions.of("predictions"), rtol=1e-3, atol=1e-3 * (1 + np.abs(raw).max()))
        return "prediction" if same else "raw prediction"
    if predictions.probabilities is not None:
        given = predictions.probabilities
        p = given if given.ndim == 1 else given[:, code]
        if np.allclose(raw, p, atol=1e-4):
            return "probability of"
        inside = np.clip(p, 1e-12, 1 - 1e-12)
        sure = np.abs(raw) < 12  # beyond, the probability has no digits left to compare
        if np.allclose(raw[sure], np.log(inside / (1 - inside))[sure], rtol=1e-2, atol=1e-2):
            return "log-odds of"
    return "score of"


def by_source(values: Floats, sources: Any, columns: list[str]) -> Floats:
    """Sum the values of matrix columns that come from one source column; of several, each has an equal share.

    Examples
    --------
    >>> by_source(np.array([[1.0, 2.0, 4.0]]), [("a",), ("a",), ("a", "b")], ["a", "b", "c"])
    array([[5., 2., 0.]])
    """
    places = {name: place for place, name in enumerate(columns)}
    shares = np.zeros((values.shape[1], len(columns)))
    for row, names in enumerate(sources):
        for name in names:
            shares[row, places[name]] += 1.0 / len(names)
    return np.asarray(values @ shares)


def _dense(X: Any) -> Any:
    """Rows as an array, be they sparse or not."""
    return X.toarray() if hasattr(X, "toarray") else np.asarray(X)


def _is_boosted(estimator: Any) -> bool:
    """Whether asking for coefficients raises (XGBoost's trees have a property that does)."""
    return type(estimator).__module__.startswith(("xgboost", "lightgbm", "catboost"))


def spread(values: Floats) -> tuple[float, float, float]:
    """Return the mean size of values over rows, and its 95 % interval; nan without rows."""
    if not len(values):
        return math.nan, math.nan, math.nan
    sizes = np.abs(values)
    mean = float(sizes.mean())
    half = 1.96 * float(sizes.std(ddof=1)) / math.sqrt(len(sizes)) if len(sizes) > 1 else math.nan
    return mean, max(0.0, mean - half), mean + half
