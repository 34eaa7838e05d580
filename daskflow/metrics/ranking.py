"""Metrics of the order of scores, exact: their state is the scores themselves.

Classes of a multiclass task are judged one against the rest, and averaged over those for which that is defined.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.multilabel import MeanOverLabels

Floats = NDArray[np.float64]

BINS = 4096
"""Places in the order of scores that resamples tell apart; the value itself tells all apart."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Blocks of labels, scores and weights; merged by standing side by side.

    Attributes
    ----------
    blocks : tuple of (y_true, y_score, weight)
        ``y_score`` of shape (n_rows,), of class 1, or (n_rows, n_classes).
    """

    blocks: tuple[tuple[NDArray[Any], Floats, Floats], ...]


def thresholds(positive: NDArray[np.bool_], score: Floats, weight: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return, from the highest score to the lowest, the positive and the negative weight at each distinct score.

    Returns
    -------
    above, below : ndarray of shape (n_distinct,)
        Weight of positive rows, and of negative rows.
    place : ndarray of shape (n_rows,)
        Where each row's score stands.
    """
    order = np.argsort(-score)
    ordered = score[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(score) else np.zeros(0, dtype=bool)
    place = np.empty(len(score), dtype=np.int64)
    place[order] = np.cumsum(first) - 1
    n_distinct = int(first.sum())
    return _sums(place, weight * positive, n_distinct), _sums(place, weight * ~positive, n_distinct), place


class RankingMetric(Metric):
    """A metric of the weight of positive and negative rows at each distinct score."""

    needs: ClassVar[str] = "scores"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Return the metric of two classes from their weights at the distinct scores, highest first."""
        raise NotImplementedError

    def within(self, positive: Floats, negative: Floats) -> tuple[float, float]:
        """Return between which values the metric lies when only bins of the scores are known.

        `positive` and `negative` are the weights in the bins, highest first; within a bin the rows may stand in any
        order. This one takes the worst and the best order, which bound every metric that gains when a positive row
        moves up, and that does not change when rows of one class are told apart.
        """
        none = np.zeros(2 * len(positive))
        best, worst = (none.copy(), none.copy()), (none.copy(), none.copy())
        best[0][::2], best[1][1::2] = positive, negative
        worst[0][1::2], worst[1][::2] = positive, negative
        values = [self.area(*weights) for weights in (best, worst, (positive, negative))]
        return min(values), max(values)

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Ranked:
        """Keep one block."""
        return Ranked(((np.asarray(y_true), np.asarray(y_pred, dtype=np.float64), np.asarray(weight)),))

    def merge(self, left: Ranked, right: Ranked) -> Ranked:
        """Put blocks side by side."""
        return Ranked(left.blocks + right.blocks)

    def value(self, state: Ranked) -> float:
        """Sort once per class; nan when a score is, or when no class has both positive and negative rows."""
        y_true, y_score, weight = (np.concatenate(parts) for parts in zip(*state.blocks, strict=True))
        used = weight > 0
        if np.isnan(y_score[used]).any():
            return math.nan
        return _mean(
            [
                self.area(*thresholds(positive, score, weight[used])[:2])
                for positive, score in _one_against_rest(y_true[used], y_score[used])
            ]
        )

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the weights at up to `BINS` places in the order of scores, and correct for what binning costs."""
        y_score = np.asarray(y_pred, dtype=np.float64)
        found = np.full((0, resample.n_replicates), math.nan)
        if np.isnan(y_score).any():
            return np.full(resample.n_replicates, math.nan)
        for positive, score in _one_against_rest(y_true, y_score):
            above, below, place = thresholds(positive, score, weight)
            exact = self.area(above, below)
            if math.isnan(exact):
                continue
            bins = _bins(above, below)
            n_bins = int(bins[-1]) + 1
            binned = self.area(_sums(bins, above, n_bins), _sums(bins, below, n_bins))
            cell = 2 * bins[place] + positive
            sums = resample.cells(cell, weight, 2 * n_bins)
            areas = np.array([self.area(weights[1::2], weights[::2]) for weights in sums])
            found = np.vstack([found, np.clip(areas + (exact - binned), 0.0, 1.0)])
        defined = ~np.isnan(found)
        counts = defined.sum(axis=0)
        total = np.where(defined, found, 0.0).sum(axis=0)
        undefined = np.full(resample.n_replicates, math.nan)
        return np.asarray(np.divide(total, counts, out=undefined, where=counts > 0))


class RocAuc(MeanOverLabels, RankingMetric):
    """Area under the ROC curve: how often a positive row scores above a negative one, ties counting half.

    Multiclass: mean over the classes that occur (and are not the only one) of the class against the rest. Multilabel:
    the same of the labels.

    Examples
    --------
    >>> RocAuc().score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    kind: Literal["roc_auc"] = "roc_auc"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Trapezoids between thresholds, which give ties their half."""
        n_positive, n_negative = float(positive.sum()), float(negative.sum())
        if not n_positive or not n_negative:
            return math.nan
        above = (np.cumsum(positive) - positive / 2) / n_positive
        return float(above @ (negative / n_negative))


class AveragePrecision(MeanOverLabels, RankingMetric):
    """Precision at each threshold, weighted by the recall gained there; not interpolated.

    Multiclass: mean over the classes that occur of the class against the rest. Multilabel: the same of the labels.

    Examples
    --------
    >>> round(AveragePrecision().score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """

    kind: Literal["average_precision"] = "average_precision"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Sum of precision times recall's step."""
        n_positive = float(positive.sum())
        if not n_positive:
            return math.nan
        right = np.cumsum(positive)
        taken = right + np.cumsum(negative)
        precision = np.divide(right, taken, out=np.zeros(len(taken)), where=taken > 0)
        return float((precision * positive).sum()) / n_positive

    def within(self, positive: Floats, negative: Floats) -> tuple[float, float]:
        """Worst: negative rows first, then the positive ones one by one, whose precision rises; best: these first."""
        n_positive = float(positive.sum())
        if not n_positive:
            return math.nan, math.nan
        right, wrong = np.cumsum(positive), np.cumsum(negative)
        with np.errstate(divide="ignore", invalid="ignore"):
            start = right - positive + wrong
            lost = np.where(wrong > 0, wrong * np.log((right + wrong) / start), 0.0)
            best = positive * np.where(right > 0, right / (right + wrong - negative), 0.0)
        return float((positive - lost).sum()) / n_positive, float(best.sum()) / n_positive


def _one_against_rest(y_true: NDArray[Any], y_score: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
    """Yield, for class 1 of two or for each class of more, which rows are of it and their scores."""
    if y_score.ndim == 1 or y_score.shape[1] <= 2:
        yield y_true == 1, y_score if y_score.ndim == 1 else y_score[:, -1]
        return
    for code in range(y_score.shape[1]):
        yield y_true == code, np.ascontiguousarray(y_score[:, code])


def _bins(positive: Floats, negative: Floats) -> NDArray[np.int64]:
    """Join neighbouring scores to at most `BINS` bins of equal share in both classes; a rare one's rows stay apart."""
    if len(positive) <= BINS:
        return np.arange(len(positive))
    share = np.cumsum(positive / positive.sum() + negative / max(negative.sum(), 1e-300)) / 2
    found: NDArray[np.int64] = np.unique(np.minimum((share * BINS).astype(np.int64), BINS - 1), return_inverse=True)[1]
    return found


def _sums(place: NDArray[np.int64], weight: Floats, size: int) -> Floats:
    """Weight by place."""
    return np.bincount(place, weights=weight, minlength=size).astype(np.float64)


def _mean(values: list[float]) -> float:
    """Mean of those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
