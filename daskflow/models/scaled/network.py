"""A neural network for numbers in any unit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils.validation import _check_sample_weight


class ScaledMLPRegressor(MLPRegressor):  # type: ignore[misc]  # scikit-learn has no types
    """scikit-learn's MLPRegressor on a target that is brought to mean 0 and deviation 1, and predictions back.

    Its steps are of a fixed size, so that the network would spend its epochs on reaching a price of 20,000. With
    ``partial_fit`` the first block's mean and deviation are kept.

    Attributes
    ----------
    target_mean_, target_scale_ : float, or array of shape (n_outputs,)
        What the target is brought from.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> y = 20_000 + 5_000 * X.ravel()
    >>> made = ScaledMLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.03, random_state=0).fit(X, y)
    >>> bool(made.score(X, y) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the target's mean and deviation, and fit; as in scikit-learn."""
        if not (self.warm_start and hasattr(self, "target_scale_")):
            self._look(X, y, sample_weight)
        super().fit(X, self._scaled(y), sample_weight=sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from one more block; as in scikit-learn."""
        if not hasattr(self, "target_scale_"):
            self._look(X, y, sample_weight)
        super().partial_fit(X, self._scaled(y), sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Any:
        """Predict numbers in the target's own unit, of shape (n_rows,)."""
        return super().predict(X) * self.target_scale_ + self.target_mean_

    def _look(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Find mean and deviation; what is wrong with target or weights is left to scikit-learn to say."""
        if y is None:
            return
        y = np.asarray(y, dtype=np.float64)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        if weight is not None and (not weight.any() or len(weight) != len(y)):
            weight = None
        self.target_mean_ = np.average(y, axis=0, weights=weight)
        scale = np.sqrt(np.average((y - self.target_mean_) ** 2, axis=0, weights=weight))
        self.target_scale_ = np.where(scale > 0, scale, 1.0)[()]

    def _scaled(self, y: Any) -> Any:
        return y if y is None else (np.asarray(y, dtype=np.float64) - self.target_mean_) / self.target_scale_
