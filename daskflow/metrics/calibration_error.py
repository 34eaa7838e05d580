"""How far predicted probabilities and observed shares lie apart."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.ordered import OrderedSums

Floats = NDArray[np.float64]

NARROW = 4096
"""Ranges of the order of probabilities that resamples tell apart, for bins of equal weight."""


class ExpectedCalibrationError(Metric):
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

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Sum weight, and probability less outcome, of one block: by bin, or by probability; None when one is nan."""
        probability, outcome = judged(y_true, y_pred)
        weight = np.asarray(weight, dtype=np.float64)
        used = weight > 0
        if not np.isfinite(probability[used]).all():
            return None
        apart = np.where(used, weight * (probability - outcome), 0.0)
        if self.strategy == "uniform":
            bins = self._bins(probability)
            return np.array([np.bincount(bins, column, self.n_bins) for column in (weight, apart)])
        return OrderedSums.of(np.abs(probability[used]), np.column_stack([weight, apart])[used])

    def merge(self, left: Any, right: Any) -> Any:
        """Add."""
        if left is None or right is None:
            return None
        return left.merge(right) if isinstance(left, OrderedSums) else left + right

    def value(self, state: Any) -> float:
        """Put the bins together."""
        if state is None:
            return math.nan
        return self._of_sums(*(state.sums.T if isinstance(state, OrderedSums) else state))

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the sums of the bins, or of many narrow ranges of the order where bins are of equal weight."""
        probability, outcome = judged(y_true, y_pred)
        weight = np.asarray(weight, dtype=np.float64)
        if not np.isfinite(probability[weight > 0]).all():
            return np.full(resample.n_replicates, math.nan)
        if self.strategy == "uniform":
            cell, n_cells = self._bins(probability), self.n_bins
        else:
            keys, cell = np.unique(np.nan_to_num(probability), return_inverse=True)
            if len(keys) > NARROW:
                cell = cell * NARROW // len(keys)
            n_cells = int(cell.max(initial=-1)) + 1
        weights = resample.cells(cell.astype(np.int64), weight, n_cells)
        apart = np.where(weight > 0, weight * (probability - outcome), 0.0)
        parts = resample.cells(cell.astype(np.int64), apart, n_cells)
        return np.array([self._of_sums(total, part) for total, part in zip(weights, parts, strict=True)])

    def _bins(self, probability: Floats) -> NDArray[np.int64]:
        """The bin of equal width of each probability."""
        return np.searchsorted(np.linspace(0.0, 1.0, self.n_bins + 1)[1:-1], probability).astype(np.int64)

    def _of_sums(self, weight: Floats, apart: Floats) -> float:
        """Return the metric from sums by bin, or in the order of the probability, which are then cut into bins."""
        total = float(weight.sum())
        if not total:
            return math.nan
        share, distance = weight / total, apart / total
        if self.strategy == "quantile":
            middle = np.cumsum(share) - share / 2
            bins = np.minimum((middle * self.n_bins * (1 + 1e-12)).astype(np.int64), self.n_bins - 1)
            share = np.bincount(bins, share, self.n_bins).astype(np.float64)
            distance = np.bincount(bins, distance, self.n_bins).astype(np.float64)
        distance = np.abs(distance)
        if self.norm == "l1":
            return float(distance.sum())
        mean = np.divide(distance, share, out=np.zeros(len(share)), where=share > 0)
        return float(mean.max()) if self.norm == "max" else float(np.sqrt((share * mean**2).sum()))


def judged(y_true: Any, y_pred: Any) -> tuple[Floats, Floats]:
    """Return the probability of each row that is judged, and whether what it says came true."""
    codes, given = np.asarray(y_true).astype(np.int64), np.asarray(y_pred).astype(np.float64)
    if given.ndim == 2 and given.shape[1] > 2:
        first = np.argmax(given, axis=1)
        broken = np.isnan(given).any(axis=1)
        return np.where(broken, np.nan, given[np.arange(len(given)), first]), (codes == first).astype(np.float64)
    return given if given.ndim == 1 else given[:, 1], (codes == 1).astype(np.float64)
