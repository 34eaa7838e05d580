"""Lasso and elastic net whose penalty is a share of the largest one that makes sense."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.linear_model import ElasticNet
from sklearn.utils._param_validation import Interval
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import _check_sample_weight, validate_data


class PenalisedRegressor(ElasticNet):  # type: ignore[misc]  # scikit-learn has no types
    """scikit-learn's ElasticNet with ``alpha = strength * alpha_max / l1_ratio``, found for the rows that it is given.

    Parameters
    ----------
    strength : float in [0, 1]
        Share of the smallest penalty with which every coefficient is zero.
    l1_ratio : float in (0, 1]
        Share of l1 in the penalty; 1 is the lasso.
    fit_intercept, max_iter, tol, positive, selection, random_state
        As in scikit-learn; `max_iter` is 3000 instead of 1000, for columns that go together.

    Attributes
    ----------
    alpha_ : float
        The penalty in scikit-learn's measure.

    References
    ----------
    J. Friedman, T. Hastie and R. Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate
    Descent", Journal of Statistical Software 33(1), 2010: the path begins at the same largest penalty.

    Examples
    --------
    >>> X, y = np.eye(4), np.array([1000.0, 0.0, 0.0, 0.0])
    >>> PenalisedRegressor(strength=1.0).fit(X, y).coef_.tolist()
    [0.0, 0.0, 0.0, 0.0]
    >>> PenalisedRegressor(strength=0.9).fit(X, y).coef_.round().tolist()
    [100.0, 0.0, 0.0, 0.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{name: rule for name, rule in ElasticNet._parameter_constraints.items() if name != "alpha"},
        "strength": [Interval(Real, 0, 1, closed="both")],
        "l1_ratio": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        strength: float = 0.01,
        *,
        l1_ratio: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 3000,
        tol: float = 1e-4,
        positive: bool = False,
        selection: str = "cyclic",
        random_state: Any = None,
    ) -> None:
        self.strength = strength
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.positive = positive
        self.selection = selection
        self.random_state = random_state

    precompute = False
    warm_start = False
    copy_X = True  # noqa: N815  # scikit-learn's name

    def fit(self, X: Any, y: Any, sample_weight: Any = None, check_input: bool = True) -> Self:
        """Find the largest penalty for these rows, and fit with the share of it.

        Parameters
        ----------
        X : array or CSR matrix of shape (n_rows, n_features)
            Standardised columns, for the penalty to treat them alike.
        y : array of shape (n_rows,)
            Numbers in any unit.
        sample_weight : array of shape (n_rows,), optional
            Of the rows.
        check_input : bool
            As in scikit-learn.
        """
        self._validate_params()
        X, y = validate_data(self, X, y, accept_sparse="csc", dtype=[np.float64, np.float32], y_numeric=True)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        shares = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()
        centred = np.asarray(y, dtype=np.float64)
        if self.fit_intercept:
            centred = centred - centred @ shares
        # Columns need no centring where the target is: its products with a constant are zero.
        products = safe_sparse_dot(X.T, (centred * shares).astype(X.dtype))
        steepest = products if self.positive else np.abs(products)
        self.alpha_ = self.strength * float(np.max(steepest, initial=0.0)) / self.l1_ratio
        self.alpha = self.alpha_
        try:
            super().fit(X, y, sample_weight=weight, check_input=check_input)
        finally:
            del self.alpha
        return self
