"""How far predicted probabilities and observed shares lie apart."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.delegate import Delegate
from daskflow.metrics.ordered import OrderedSums
from daskflow.metrics.sums import Moments, SumsMetric

Floats = NDArray[np.float64]


class ExpectedCalibrationError(SumsMetric):
    """Distance between mean probability and observed share in bins of the probability, averaged by the bins' weight.

    Two classes: of the probability of class 1. More: of the highest probability, and whether its class is the true one
    (of classes that tie the first is taken). Naeini et al., "Obtaining well calibrated probabilities using Bayesian
    binning" (2015).

    Attributes
    ----------
    n_bins : int
        Bins.
    strategy : str
        ``uniform``: of equal width, an edge belonging to the bin below it; ``quantile``: of equal weight, where equal
        probabilities stay together. Beyond 131,072 distinct ones rows are put in their order by 12 bits of the
        mantissa, that is as if probabilities were rounded to 0.012 %; what is summed is not rounded.
    norm : str
        ``l1``: mean distance; ``l2``: root of the mean squared distance; ``max``: the largest distance (maximum
        calibration error), which the emptiest bin decides.

    Examples
    --------
    >>> round(ExpectedCalibrationError().score([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8]), 4)
    0.25
    """

    kind: Literal["expected_calibration_error"] = "expected_calibration_error"
    n_bins: int = Field(10, ge=1, le=1000)
    strategy: Literal["uniform", "quantile"] = "uniform"
    norm: Literal["l1", "l2", "max"] = "l1"

    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "probabilities"
    in_name: ClassVar[tuple[str, ...]] = ("n_bins", "strategy", "norm")

    def quantities(self, y_true: Any, y_pred: Any) -> Floats:
        """Whether a row is in each bin, and its probability less its outcome there."""
        probability, outcome = _judged(y_true, y_pred)
        bins = np.searchsorted(np.linspace(0.0, 1.0, self.n_bins + 1)[1:-1], probability)
        found = np.zeros((len(bins), 2, self.n_bins))
        rows = np.arange(len(bins))
        found[rows, 0, bins] = 1.0
        found[rows, 1, bins] = probability - outcome
        return found.reshape(len(bins), 2 * self.n_bins)

    def of_moments(self, moments: Moments) -> Floats:
        """Put the bins together."""
        share, apart = np.split(moments.mean, 2, axis=1)
        return self.together(share, apart)

    def together(self, share: Floats, apart: Floats) -> Floats:
        """Return the metric from the share of weight and the distance summed by bin, both of shape (n, n_bins)."""
        distance = np.abs(apart) / np.where(share > 0, share, 1.0)
        if self.norm == "max":
            return np.asarray(distance.max(axis=1))
        if self.norm == "l2":
            return np.asarray(np.sqrt((share * distance**2).sum(axis=1)))
        return np.asarray(np.abs(apart).sum(axis=1))

    def for_task(self, task: str, n_classes: int = 0) -> Any:
        """Return the metric for one task; with bins of equal weight one whose state is not a sum."""
        settled = super().for_task(task, n_classes)
        return settled if self.strategy == "uniform" else EqualWeightError(kind=self.kind, metric=settled)

    def judge(self, n_dimensions: int) -> Metric:
        """Return the one with the state that its bins need."""
        found: Metric = self.for_task(self._task, self._n_classes)
        return found


class EqualWeightError(Delegate):
    """Calibration error in bins of equal weight; its state is weight and distance in the order of the probability."""

    metric: ExpectedCalibrationError

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> OrderedSums | None:
        """Sum one block by probability; None when one is not a number."""
        probability, outcome = _judged(np.asarray(y_true), np.asarray(y_pred))
        weight = np.asarray(weight, dtype=np.float64)
        used = weight > 0
        if not np.isfinite(probability[used]).all():
            return None
        columns = np.column_stack([weight, weight * (probability - outcome)])
        return OrderedSums.of(np.abs(probability[used]), columns[used])

    def merge(self, left: OrderedSums | None, right: OrderedSums | None) -> OrderedSums | None:
        """Add."""
        return None if left is None or right is None else left.merge(right)

    def value(self, state: OrderedSums | None) -> float:
        """Cut into bins, and put them together."""
        return math.nan if state is None else self._of_ordered(*state.sums.T)

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the sums of many narrow ranges of the order."""
        probability, outcome = _judged(np.asarray(y_true), np.asarray(y_pred))
        weight = np.asarray(weight, dtype=np.float64)
        if not np.isfinite(probability[weight > 0]).all():
            return np.full(resample.n_replicates, math.nan)
        keys, cell = np.unique(np.nan_to_num(probability), return_inverse=True)
        if len(keys) > NARROW:
            cell = (cell * NARROW // len(keys)).astype(np.int64)
        n_cells = int(cell.max(initial=-1)) + 1
        weights = resample.cells(cell, weight, n_cells)
        apart = resample.cells(cell, np.where(weight > 0, weight * (probability - outcome), 0.0), n_cells)
        return np.array([self._of_ordered(total, part) for total, part in zip(weights, apart, strict=True)])

    def _of_ordered(self, weight: Floats, apart: Floats) -> float:
        """Put sums in the order of the probability into bins of equal weight: each by the middle of its own."""
        total, n_bins = float(weight.sum()), self.metric.n_bins
        if not total:
            return math.nan
        middle = (np.cumsum(weight) - weight / 2) / total
        bins = np.minimum((middle * n_bins * (1 + 1e-12)).astype(np.int64), n_bins - 1)
        share, distance = (np.bincount(bins, column, n_bins)[None] / total for column in (weight, apart))
        return float(self.metric.together(share, distance)[0])


NARROW = 4096
"""Ranges of the order of probabilities that resamples tell apart."""


def _judged(y_true: Any, y_pred: Any) -> tuple[Floats, Floats]:
    """Return the probability of each row that is judged, and whether what it says came true."""
    codes, given = y_true.astype(np.int64), y_pred.astype(np.float64)
    if given.ndim == 2 and given.shape[1] > 2:
        first = np.argmax(given, axis=1)
        broken = np.isnan(given).any(axis=1)
        return np.where(broken, np.nan, given[np.arange(len(given)), first]), (codes == first).astype(np.float64)
    return given if given.ndim == 1 else given[:, 1], (codes == 1).astype(np.float64)
