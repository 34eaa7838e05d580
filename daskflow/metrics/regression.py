"""Metrics of predicted numbers, from sums."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.probability import LossMetric

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


class R2(Metric):
    """Share of the target's variance that the predictions explain; nan for fewer than two rows.

    The state is (weight, mean, sum of squares about the mean, sum of squared errors, rows), merged by the update of
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983), which keeps its digits when the mean
    is large beside the spread. A constant target gives 1 when every prediction is right, else 0, as in scikit-learn.

    Examples
    --------
    >>> round(R2().score([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]), 4)
    0.9486
    """

    kind: Literal["r2"] = "r2"

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Floats:
        """Sum one block about its own mean."""
        used = weight > 0
        y, error, w = np.asarray(y_true, dtype=np.float64)[used], _residuals(y_true, y_pred)[used], weight[used]
        total = w.sum()
        mean = (w * y).sum() / total if total else 0.0
        return np.array([total, mean, (w * (y - mean) ** 2).sum(), (w * error**2).sum(), len(y)], dtype=np.float64)

    def merge(self, left: Floats, right: Floats) -> Floats:
        """Add, moving both sums of squares to the common mean."""
        total = left[0] + right[0]
        if not total:
            return left + right
        shift = right[1] - left[1]
        mean = left[1] + shift * right[0] / total
        squares = left[2] + right[2] + shift**2 * left[0] * right[0] / total
        return np.array([total, mean, squares, left[3] + right[3], left[4] + right[4]])

    def value(self, state: Floats) -> float:
        """One minus error over variance."""
        total, mean, squares, errors, n_rows = (float(part) for part in state)
        if n_rows < 2 or math.isnan(errors):
            return math.nan
        if squares <= total * (4 * np.finfo(np.float64).eps * mean) ** 2:
            return 1.0 if errors == 0 else 0.0
        return 1.0 - errors / squares

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the sums about the mean of all rows."""
        y = np.asarray(y_true, dtype=np.float64)
        y = y - np.average(y, weights=weight if weight.sum() else None)
        columns = (weight, weight * y, weight * y**2, weight * _residuals(y_true, y_pred) ** 2)
        total, first, second, errors = resample.totals(columns).T
        squares = second - np.divide(first**2, total, out=np.zeros(len(total)), where=total > 0)
        undefined = np.full(len(total), math.nan)
        return np.asarray(1.0 - np.divide(errors, squares, out=undefined, where=squares > 1e-12 * second))


def _residuals(y_true: Any, y_pred: Any) -> Floats:
    """Truth minus prediction, in float64."""
    residuals: Floats = np.asarray(y_true, dtype=np.float64) - np.asarray(y_pred, dtype=np.float64)
    return residuals
