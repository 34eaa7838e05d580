"""Metrics of predicted probabilities: means of a loss per row, so their state is two sums."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample

Floats = NDArray[np.float64]


class LossMetric(Metric):
    """A weighted mean over rows; its state is (sum of weight times loss, sum of weight)."""

    greater_is_better: ClassVar[bool] = False

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Return each row's loss, shape (n_rows,)."""
        raise NotImplementedError

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Floats:
        """Sum one block."""
        return np.array([column.sum() for column in self._columns(y_true, y_pred, weight)])

    def merge(self, left: Floats, right: Floats) -> Floats:
        """Add."""
        return left + right

    def value(self, state: Floats) -> float:
        """Divide once, at the end."""
        return float(self.mean(state[:1], state[1:])[0])

    def mean(self, total: Floats, weight: Floats) -> Floats:
        """Return the metric from the sums of loss and weight; nan where no row was seen."""
        return np.asarray(np.divide(total, weight, out=np.full(len(total), math.nan), where=weight > 0))

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the two sums."""
        totals = resample.totals(self._columns(y_true, y_pred, weight))
        return self.mean(totals[:, 0], totals[:, 1])

    def _columns(self, y_true: Any, y_pred: Any, weight: Any) -> tuple[Floats, Floats]:
        """Weight times loss beside weight; a row without weight counts for nothing, whatever was predicted."""
        with np.errstate(all="ignore"):
            weighted = np.where(weight > 0, weight * self.losses(np.asarray(y_true), np.asarray(y_pred)), 0.0)
        return weighted, np.asarray(weight, dtype=np.float64)


class LogLoss(LossMetric):
    """Cross-entropy: mean of minus the logarithm of the probability given to the true class.

    Probabilities are clipped to [eps, 1 - eps], eps being that of their type, as in scikit-learn. Multilabel: mean over
    the labels.

    Examples
    --------
    >>> round(LogLoss().score([1, 0, 0, 1], [0.9, 0.1, 0.2, 0.65]), 5)
    0.21616
    """

    kind: Literal["log_loss"] = "log_loss"

    needs: ClassVar[str] = "probabilities"
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Minus the logarithm of the true class's probability."""
        eps = np.finfo(y_pred.dtype).eps if np.issubdtype(y_pred.dtype, np.floating) else np.finfo(np.float64).eps
        codes = y_true.astype(np.int64)
        one = y_pred.ndim == codes.ndim  # the probability of class 1 alone, or of each label
        given = np.where(codes == 1, y_pred, 1.0 - y_pred) if one else _at(y_pred, codes)
        losses: Floats = -np.log(np.clip(given, eps, 1.0 - eps).astype(np.float64))
        return np.asarray(losses.mean(axis=1)) if losses.ndim == 2 else losses


class Brier(LossMetric):
    """Brier score: squared distance between probabilities and truth.

    Two classes: of the probability of class 1, in [0, 1]. More: summed over classes, in [0, 2], as in scikit-learn.
    Multilabel: mean over the labels.

    Examples
    --------
    >>> round(Brier().score([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]), 4)
    0.0375
    """

    kind: Literal["brier"] = "brier"

    needs: ClassVar[str] = "probabilities"
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared distance, summed over classes where there are more than two."""
        codes, given = y_true.astype(np.int64), y_pred.astype(np.float64)
        if codes.ndim == 2:
            return np.asarray(((given - codes) ** 2).mean(axis=1))
        if given.ndim == 2 and given.shape[1] == 2:
            given = given[:, 1]
        if given.ndim == 1:
            losses: Floats = (given - (codes == 1)) ** 2
            return losses
        squares: Floats = (given**2).sum(axis=1) - 2 * _at(given, codes) + 1
        return squares


def _at(values: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[Any]:
    """Each row's value in the column of its class."""
    return values[np.arange(len(values)), codes]
