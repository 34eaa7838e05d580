"""Metrics of means and variances of a few quantities: their state is one row of sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample

Floats = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

CHUNK = 2**16
"""Rows whose columns are held at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums of `SumsMetric.columns` over rows.

    Attributes
    ----------
    values : ndarray of shape (n_columns,)
        The sums.
    centre : ndarray of shape (n_centred,)
        What the centred quantities were taken about: their mean over these rows.
    """

    values: Floats
    centre: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Means and variances of a metric's quantities over each of n samples of rows.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        Rows with a weight.
    weight : ndarray of shape (n,)
        Their weight.
    mean : ndarray of shape (n, n_quantities)
        Weighted means; nan where there is no weight.
    variance : ndarray of shape (n, n_centred)
        Weighted variances of the first quantities; exactly 0 where what is left is rounding.
    """

    rows: Floats
    weight: Floats
    mean: Floats
    variance: Floats


class SumsMetric(Metric):
    """A metric of weighted means, and variances, of a few quantities per row.

    A kind gives `quantities` and `of_moments`. The columns that are summed are, each times the row's weight: 1 (the
    second column; the first counts rows that have a weight), every quantity, and the squares of the first `n_centred`
    ones. These are taken about their mean, to which sums are moved when they are merged (Chan, Golub and LeVeque,
    "Algorithms for computing the sample variance", 1983), so that a mean that is large beside the spread costs no
    digits. Sums over a resample are the product of its counts with the columns.
    """

    n_centred: ClassVar[int] = 0

    def quantities(self, y_true: Any, y_pred: Any) -> Floats:
        """Return each row's quantities, shape (n_rows, n_quantities); those whose variance is needed come first."""
        raise NotImplementedError

    def of_moments(self, moments: Moments) -> Floats:
        """Return the metric of each of n samples from its moments, shape (n,)."""
        raise NotImplementedError

    def centre(self, y_true: Any, y_pred: Any, weight: Any) -> Floats:
        """Return what to take a block's centred quantities about, shape (n_centred,): their mean.

        Rows in which one is not finite are passed over: their sums will say so.
        """
        if not self.n_centred:
            return np.zeros(0)
        with np.errstate(all="ignore"):
            quantities = self.quantities(np.asarray(y_true), np.asarray(y_pred))[:, : self.n_centred]
        weight = np.asarray(weight, dtype=np.float64)
        used = (weight > 0) & np.isfinite(quantities).all(axis=1)
        if not used.any():
            return np.zeros(self.n_centred)
        found: Floats = np.average(quantities[used], axis=0, weights=weight[used])
        return found

    def columns(self, y_true: Any, y_pred: Any, weight: Any, centre: Floats) -> Floats:
        """Return what is summed, shape (n_rows, n_columns); zero in a row without weight, whatever was predicted."""
        weight = np.asarray(weight, dtype=np.float64)
        used = weight > 0
        with np.errstate(all="ignore"):
            quantities = np.array(self.quantities(np.asarray(y_true), np.asarray(y_pred)), dtype=np.float64)
            quantities[:, : self.n_centred] -= centre
            squares = quantities[:, : self.n_centred] ** 2
            weighted = np.column_stack([np.ones(len(weight)), quantities, squares]) * weight[:, None]
        found: Floats = np.column_stack([used, weighted]).astype(np.float64)
        found[~used] = 0.0
        return found

    def moved(self, values: Floats, shift: Floats) -> Floats:
        """Return sums, shape (..., n_columns), about a centre that is `shift` further on, shape (n_centred,)."""
        k = self.n_centred
        if not k:
            return values
        found = values.copy()
        weight, first, last = values[..., 1:2], slice(2, 2 + k), slice(values.shape[-1] - k, None)
        found[..., first] = values[..., first] - shift * weight
        found[..., last] = values[..., last] - 2 * shift * values[..., first] + shift**2 * weight
        return found

    def from_sums(self, values: Floats, centre: Floats) -> Floats:
        """Return the metric of each row of sums: (n, n_columns) gives (n,); nan where there is no weight."""
        k, rows, weight = self.n_centred, values[:, 0], values[:, 1]
        with np.errstate(all="ignore"):
            means = values[:, 2:] / np.where(weight > 0, weight, np.nan)[:, None]
            mean, squares = np.split(means, [means.shape[1] - k], axis=1)
            variance = squares - mean[:, :k] ** 2
            mean[:, :k] += centre
            rounding = (4 * EPS * mean[:, :k]) ** 2 + 16 * EPS * squares
            variance = np.where(variance <= rounding, 0.0, variance)
            return self.of_moments(Moments(rows, weight, mean, variance))

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Sums:
        """Sum one block about its own mean, some rows at a time."""
        starts = range(0, max(len(y_true), 1), CHUNK)
        return reduce(self.merge, (self._of_some(y_true, y_pred, weight, slice(at, at + CHUNK)) for at in starts))

    def _of_some(self, y_true: Any, y_pred: Any, weight: Any, rows: slice) -> Sums:
        """Sum some rows."""
        y_true, y_pred, weight = y_true[rows], y_pred[rows], weight[rows]
        centre = self.centre(y_true, y_pred, weight)
        return Sums(self.columns(y_true, y_pred, weight, centre).sum(axis=0), centre)

    def merge(self, left: Sums, right: Sums) -> Sums:
        """Add, about the common mean."""
        if not left.values[1] or not right.values[1]:
            return right if not left.values[1] else left
        step = right.centre - left.centre
        share = right.values[1] / (left.values[1] + right.values[1])
        values = self.moved(left.values, step * share) + self.moved(right.values, -step * (1.0 - share))
        return Sums(values, left.centre + step * share)

    def value(self, state: Sums) -> float:
        """Divide once, at the end."""
        return float(self.from_sums(state.values[None], state.centre)[0])

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the sums."""
        centre = self.centre(y_true, y_pred, weight)
        totals = resample.totals(list(self.columns(y_true, y_pred, weight, centre).T))
        return self.from_sums(totals, centre)
