"""Truth minus prediction: a sample of rows chosen by their hash, and a histogram of all, both mergeable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.bins import add_signed_bins, bin_edge, signed_bin

Floats = NDArray[np.float64]

POINTS = 2000
HISTOGRAM_BINS = 40

BITS, LEAST_POWER, POWERS = 8, -40, 100
"""Residuals are counted in 256 bins to each power of two between 2**-40 and 2**60, of either sign."""

LOWEST = (POWERS << BITS) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Residuals of the rows whose truth and prediction are finite.

    Attributes
    ----------
    order : ndarray of uint32, shape (n_kept,)
        Hashes of the row numbers of the sample, rising.
    y_true, y_pred : ndarray of shape (n_kept,)
        The sample.
    bins, counts : ndarray of int64
        Bins that have rows, and how many.
    """

    order: NDArray[np.uint32]
    y_true: Floats
    y_pred: Floats
    bins: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, y: NDArray[Any], predicted: NDArray[Any], order: NDArray[np.uint32]) -> Residuals:
        """Look at the rows of one block, `order` being hashes of their numbers."""
        truth, given = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
        finite = np.isfinite(truth) & np.isfinite(given)
        order, truth, given = order[finite], truth[finite], given[finite]
        counts = np.zeros(2 * LOWEST + 1, dtype=np.int64)
        add_signed_bins(truth - given, BITS, POWERS, LEAST_POWER, counts)
        used = np.flatnonzero(counts)
        return cls(*_first(order, truth, given), used, counts[used])

    def merged(self, other: Residuals) -> Residuals:
        """Choose again among the rows of both, and add the counts."""
        both = [np.concatenate(pair) for pair in zip(self._sample, other._sample, strict=True)]
        bins, place = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self.counts, other.counts]), len(bins)).astype(np.int64)
        return Residuals(*_first(*both), bins, counts)

    @property
    def _sample(self) -> tuple[NDArray[Any], Floats, Floats]:
        return self.order, self.y_true, self.y_pred

    def details(self) -> dict[str, Any]:
        """Return the sample, and the histogram of all residuals in about `HISTOGRAM_BINS` bins of about equal width.

        The outermost 0.1 % on either side fall into the first and last bin, so that one outlier does not flatten the
        rest. Up to `POINTS` rows the bins are cut anywhere; of more, at edges of the finer bins that were counted.
        """
        if not len(self.order):
            return {}
        counts, edges = self._exact() if int(self.counts.sum()) <= len(self.order) else self._counted()
        return {
            "residuals": {"y_true": self.y_true.tolist(), "y_pred": self.y_pred.tolist()},
            "residual_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        }

    def _exact(self) -> tuple[NDArray[np.int64], Floats]:
        difference = self.y_true - self.y_pred
        low, high = np.quantile(difference, [0.001, 0.999])
        counts, edges = np.histogram(np.clip(difference, low, high), HISTOGRAM_BINS)
        return counts.astype(np.int64), edges

    def _counted(self) -> tuple[NDArray[np.int64], Floats]:
        reached = np.cumsum(self.counts)
        outer = np.searchsorted(reached, np.array([0.001, 0.999]) * reached[-1])
        first, last = (int(self.bins[min(int(place), len(self.bins) - 1)]) for place in outer)
        wanted = np.linspace(_edge(first), _edge(last + 1), HISTOGRAM_BINS + 1)
        bins = np.unique([first, *(_bin(edge) for edge in wanted[1:-1]), last + 1])
        place = np.clip(np.searchsorted(bins, self.bins, side="right") - 1, 0, len(bins) - 2)
        counts = np.bincount(place, self.counts, len(bins) - 1).astype(np.int64)
        return counts, np.array([_edge(int(each)) for each in bins])


def _first(order: NDArray[np.uint32], y_true: Floats, y_pred: Floats) -> tuple[NDArray[Any], Floats, Floats]:
    """The rows of the smallest hashes."""
    if len(order) > 4 * POINTS:
        bound = np.partition(order, POINTS)[POINTS]
        near = order <= bound
        order, y_true, y_pred = order[near], y_true[near], y_pred[near]
    chosen = np.lexsort((y_pred, y_true, order))[:POINTS]
    return order[chosen], y_true[chosen], y_pred[chosen]


def _bin(number: float) -> int:
    return int(signed_bin(number, BITS, POWERS, LEAST_POWER)) + LOWEST


def _edge(place: int) -> float:
    """The lower edge of a bin; a negative number's bin ends at its magnitude's least."""
    signed = place - LOWEST
    if signed > 0:
        return float(bin_edge(signed, BITS, LEAST_POWER))
    return -float(bin_edge(1 - signed, BITS, LEAST_POWER))
