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
    """scikit-learn's ElasticNet on a target of deviation 1, with ``alpha = strength * alpha_max / l1_ratio``.

    The largest penalty, ``alpha_max``, is found for the rows that it is given. Coefficients are in the target's unit.

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
        The penalty in scikit-learn's measure, for the target over `target_scale_`.
    target_scale_ : float
        Deviation of the target; its root mean square without an intercept.

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

    def __sklearn_tags__(self) -> Any:
        """One target: the largest penalty is that of a column of numbers."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

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
        centred = np.array(y, dtype=np.float64)
        if self.fit_intercept:
            centred -= centred @ shares
        self.target_scale_ = float(np.sqrt(centred**2 @ shares)) or 1.0
        centred /= self.target_scale_
        # Columns need no centring where the target is: its products with a constant are zero.
        products = safe_sparse_dot(X.T, (centred * shares).astype(X.dtype))
        steepest = products if self.positive else np.abs(products)
        self.alpha_ = self.strength * float(np.max(steepest, initial=0.0)) / self.l1_ratio
        self.alpha = self.alpha_
        try:
            super().fit(X, y / self.target_scale_, sample_weight=weight, check_input=check_input)
        finally:
            del self.alpha
        for name in ("coef_", "intercept_"):
            setattr(self, name, getattr(self, name) * self.target_scale_)
        return self
