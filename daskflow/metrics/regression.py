"""Metrics of predicted numbers, from sums."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.metrics.probability import LossMetric
from daskflow.metrics.sums import EPS, Moments, SumsMetric

Floats = NDArray[np.float64]


class ErrorMetric(LossMetric):
    """A mean over rows of a loss of predicted numbers."""

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)


class MSE(ErrorMetric):
    """Mean squared error, in the square of the target's unit.

    Examples
    --------
    >>> MSE().score([1.0, 2.0], [4.0, -2.0])
    12.5
    """

    kind: Literal["mse"] = "mse"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared error."""
        return residuals(y_true, y_pred) ** 2


class RMSE(ErrorMetric):
    """Root of the mean squared error, in the target's unit.

    Examples
    --------
    >>> RMSE().score([1.0, 2.0], [4.0, -2.0])
    3.5355339059327378
    """

    kind: Literal["rmse"] = "rmse"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared error."""
        return residuals(y_true, y_pred) ** 2

    def mean(self, total: Floats, weight: Floats) -> Floats:
        """Root of the mean."""
        return np.sqrt(super().mean(total, weight))


class MAE(ErrorMetric):
    """Mean absolute error, in the target's unit.

    Examples
    --------
    >>> MAE().score([1.0, 2.0], [4.0, -2.0])
    3.5
    """

    kind: Literal["mae"] = "mae"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Absolute error."""
        return np.abs(residuals(y_true, y_pred))


class MAPE(ErrorMetric):
    """Mean absolute error over the truth's size: 0.1 is 10 %; huge where truths are near 0, as in scikit-learn.

    Examples
    --------
    >>> MAPE().score([1.0, 2.0], [1.5, 1.0])
    0.5
    """

    kind: Literal["mape"] = "mape"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Absolute error over the truth's size, or over float64's epsilon where that is less."""
        size = np.abs(np.asarray(y_true, dtype=np.float64))
        return np.abs(residuals(y_true, y_pred)) / np.maximum(size, EPS)


class SMAPE(ErrorMetric):
    """Symmetric mean absolute percentage error: twice the error over both sizes, between 0 and 2 (200 %).

    A row whose truth and prediction are both 0 has no error. Makridakis, "Accuracy measures: theoretical and practical
    concerns" (1993).

    Examples
    --------
    >>> round(SMAPE().score([1.0, 2.0, 0.0], [1.5, 2.0, 0.0]), 4)
    0.1333
    """

    kind: Literal["smape"] = "smape"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Twice the absolute error over the sum of both sizes."""
        error = np.abs(residuals(y_true, y_pred))
        size = np.abs(np.asarray(y_true, dtype=np.float64)) + np.abs(np.asarray(y_pred, dtype=np.float64))
        return np.where(error == 0, 0.0, 2 * error / size)


class MSLE(ErrorMetric):
    """Mean squared error of log(1 + y): counts relative errors of large values; nan where a value is -1 or less.

    Examples
    --------
    >>> round(MSLE().score([3.0, 5.0, 2.5, 7.0], [2.5, 5.0, 4.0, 8.0]), 4)
    0.0397
    """

    kind: Literal["msle"] = "msle"

    undefined: ClassVar[str] = "a truth or a prediction is -1 or less"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared difference of the logarithms."""
        return _log_residuals(y_true, y_pred) ** 2


class RMSLE(ErrorMetric):
    """Root of the mean squared error of log(1 + y); nan where a value is -1 or less.

    Examples
    --------
    >>> round(RMSLE().score([3.0, 5.0, 2.5, 7.0], [2.5, 5.0, 4.0, 8.0]), 4)
    0.1993
    """

    kind: Literal["rmsle"] = "rmsle"

    undefined: ClassVar[str] = "a truth or a prediction is -1 or less"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared difference of the logarithms."""
        return _log_residuals(y_true, y_pred) ** 2

    def mean(self, total: Floats, weight: Floats) -> Floats:
        """Root of the mean."""
        return np.sqrt(super().mean(total, weight))


class Pinball(ErrorMetric):
    """Pinball loss, which judges predictions of a quantile: too low costs `alpha` per unit, too high 1 - `alpha`.

    Attributes
    ----------
    alpha : float
        The quantile that was to be predicted, in [0, 1]; 0.5 gives half the mean absolute error.

    Examples
    --------
    >>> round(Pinball(alpha=0.9).score([1.0, 2.0], [0.0, 3.0]), 4)
    0.5
    """

    kind: Literal["pinball"] = "pinball"
    alpha: float = Field(0.5, ge=0, le=1)

    defining: ClassVar[str] = "alpha"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """The error, weighed by its side."""
        error = residuals(y_true, y_pred)
        return np.where(error >= 0, self.alpha * error, (self.alpha - 1) * error)


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
        return np.column_stack([np.asarray(y_true, dtype=np.float64), residuals(y_true, y_pred) ** 2])

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
        return np.column_stack([np.asarray(y_true, dtype=np.float64), residuals(y_true, y_pred)])

    def of_moments(self, moments: Moments) -> Floats:
        """One minus the error's variance over the target's."""
        return _explained(moments.variance[:, 1], moments.variance[:, 0], moments.rows)


def _explained(error: Floats, variance: Floats, rows: Floats) -> Floats:
    """One minus error over variance; of a constant target 1 without errors, else 0; nan for fewer than two rows."""
    constant = np.where(error == 0, 1.0, 0.0)
    found = np.where(variance > 0, 1.0 - error / variance, constant)
    return np.where((rows < 2) | np.isnan(error), np.nan, found)


def residuals(y_true: Any, y_pred: Any) -> Floats:
    """Return truth minus prediction, in float64."""
    found: Floats = np.asarray(y_true, dtype=np.float64) - np.asarray(y_pred, dtype=np.float64)
    return found


def _log_residuals(y_true: Any, y_pred: Any) -> Floats:
    """Return the difference of log(1 + y); nan where there is none."""
    true, predicted = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    return np.where(np.minimum(true, predicted) > -1, np.log1p(true) - np.log1p(predicted), np.nan)
