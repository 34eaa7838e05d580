"""Metrics of predicted numbers, from sums."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.probability import LossMetric
from daskflow.metrics.sums import Moments, SumsMetric

Floats = NDArray[np.float64]


class RMSE(LossMetric):
    """Root of the mean squared error, in the target's unit.

    Examples
    --------
    >>> RMSE().score([1.0, 2.0], [4.0, -2.0])
    3.5355339059327378
    """

    kind: Literal["rmse"] = "rmse"

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared error."""
        return _residuals(y_true, y_pred) ** 2

    def mean(self, total: Floats, weight: Floats) -> Floats:
        """Root of the mean."""
        return np.sqrt(super().mean(total, weight))


class MAE(LossMetric):
    """Mean absolute error, in the target's unit.

    Examples
    --------
    >>> MAE().score([1.0, 2.0], [4.0, -2.0])
    3.5
    """

    kind: Literal["mae"] = "mae"

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Absolute error."""
        return np.abs(_residuals(y_true, y_pred))


class R2(SumsMetric):
    """Share of the target's variance that the predictions explain; nan for fewer than two rows.

    A constant target gives 1 when every prediction is right, else 0, as in scikit-learn.

    Examples
    --------
    >>> round(R2().score([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]), 4)
    0.9486
    """

    kind: Literal["r2"] = "r2"

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    n_centred: ClassVar[int] = 1

    def quantities(self, y_true: Any, y_pred: Any) -> Floats:
        """The target, and the squared error."""
        return np.column_stack([np.asarray(y_true, dtype=np.float64), _residuals(y_true, y_pred) ** 2])

    def of_moments(self, moments: Moments) -> Floats:
        """One minus error over variance."""
        return _explained(moments.mean[:, 1], moments.variance[:, 0], moments.rows)


class ExplainedVariance(SumsMetric):
    """As `r2`, of the errors about their mean: predictions that are all off by the same are not held to account for it.

    Examples
    --------
    >>> round(ExplainedVariance().score([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]), 4)
    0.9572
    """

    kind: Literal["explained_variance"] = "explained_variance"

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    n_centred: ClassVar[int] = 2

    def quantities(self, y_true: Any, y_pred: Any) -> Floats:
        """The target, and the error."""
        return np.column_stack([np.asarray(y_true, dtype=np.float64), _residuals(y_true, y_pred)])

    def of_moments(self, moments: Moments) -> Floats:
        """One minus the error's variance over the target's."""
        return _explained(moments.variance[:, 1], moments.variance[:, 0], moments.rows)


def _explained(error: Floats, variance: Floats, rows: Floats) -> Floats:
    """One minus error over variance; of a constant target 1 without errors, else 0; nan for fewer than two rows."""
    constant = np.where(error == 0, 1.0, 0.0)
    found = np.where(variance > 0, 1.0 - error / variance, constant)
    return np.where((rows < 2) | np.isnan(error), np.nan, found)


def _residuals(y_true: Any, y_pred: Any) -> Floats:
    """Truth minus prediction, in float64."""
    residuals: Floats = np.asarray(y_true, dtype=np.float64) - np.asarray(y_pred, dtype=np.float64)
    return residuals
