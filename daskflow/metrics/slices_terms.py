"""Metrics as functions of sums over rows, so that any group of rows has its value and its error from a few numbers.

Of each group the sums are kept by *buckets*: rows are dealt out to `BUCKETS` of them by the hash of their unit, so rows
of one unit stand together. A value's error follows from how much each bucket moves it (the infinitesimal jackknife;
Efron, "The jackknife, the bootstrap and other resampling plans", 1982): nothing is drawn at random, and rows of one
unit may depend on each other as they like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.hashing import mix
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.labels import Accuracy, LabelMetric, cells_of
from daskflow.metrics.probability import LogLoss, LossMetric
from daskflow.metrics.ranking import RankingMetric
from daskflow.metrics.regression import MAE, RMSE

Floats = NDArray[np.float64]
Entries = tuple[NDArray[np.int64], Floats]
"""Places of sums and what is added there, both of shape (n_rows, n_entries)."""

BUCKETS = 64
"""Buckets of rows. The error found is off by a factor of 1 ± sqrt(1 / (2 * BUCKETS)), 9 %, for which Student's t is
used instead of the normal distribution."""

MOST_CLASSES = 10
"""Of more classes no confusion table is kept for each group."""

SCORE_BINS = 64
"""Bins in which the scores of a group are counted."""

STEP = 1e-6
"""Share of all weight by which a sum is moved to see how the value moves."""


class Terms(Protocol):
    """A metric as a function of `n_sums` sums over rows; the function does not change when all are scaled."""

    @property
    def metric(self) -> Metric:
        """The metric, for its task."""

    @property
    def n_sums(self) -> int:
        """How many sums."""

    @property
    def is_share(self) -> bool:
        """Whether values lie between 0 and 1, and are shares or like shares."""

    def entries(self, y: Any, predictions: Predictions, weight: Floats) -> Entries:
        """Return what each row adds to which sums; its weight is above 0."""

    def value(self, sums: Floats) -> float:
        """Return the metric of sums, shape (n_sums,); nan where it is not defined."""

    def gradient(self, sums: Floats) -> Floats:
        """Return how the value moves with each sum, shape (n_sums,)."""


@dataclass(frozen=True, slots=True)
class MeanTerms:
    """A mean of a loss (or of another number) per row: sums of weight times loss, and of weight."""

    metric: Metric

    @property
    def n_sums(self) -> int:
        """Two."""
        return 2

    @property
    def is_share(self) -> bool:
        """Accuracy is one; what a loss lies between is not known."""
        return isinstance(self.metric, Accuracy)

    def entries(self, y: Any, predictions: Predictions, weight: Floats) -> Entries:
        """Weight times loss, and weight."""
        losses = self.per_row(y, predictions)
        places = np.broadcast_to(np.arange(2), (len(losses), 2))
        values: Floats = np.column_stack([weight * losses, weight])
        return np.ascontiguousarray(places), values

    def per_row(self, y: Any, predictions: Predictions) -> Floats:
        """Each row's loss; for accuracy, whether it is right."""
        given = predictions.of(self.metric.needs)
        if isinstance(self.metric, LossMetric):
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                return np.asarray(self.metric.losses(np.asarray(y), given), dtype=np.float64)
        right = np.asarray(given == y, dtype=np.float64)
        # of several labels all must be right, as in scikit-learn
        return right if right.ndim == 1 else np.asarray(right.min(axis=1))

    def value(self, sums: Floats) -> float:
        """The metric of the two sums."""
        return self.of_mean(float(sums[0] / sums[1])) if sums[1] > 0 else math.nan

    def of_mean(self, mean: float) -> float:
        """The metric of a mean loss: a root, say."""
        if not isinstance(self.metric, LossMetric):
            return mean
        with np.errstate(invalid="ignore"):
            return float(self.metric.mean(np.array([mean]), np.ones(1))[0])

    def gradient(self, sums: Floats) -> Floats:
        """Of the mean, not of what the metric makes of it: intervals are found for the mean, and carried over."""
        return np.array([1.0, -float(sums[0] / sums[1])]) / float(sums[1])


@dataclass(frozen=True, slots=True)
class TableTerms:
    """A metric of the confusion table: sums of weight by true and predicted class."""

    metric: Metric
    n_classes: int

    @property
    def n_sums(self) -> int:
        """Cells of the table."""
        return self.n_classes**2

    @property
    def is_share(self) -> bool:
        """Kappa and the correlation of Matthews go below 0."""
        return not any(word in self.metric.kind for word in ("kappa", "mcc", "matthews", "informed", "youden"))

    def entries(self, y: Any, predictions: Predictions, weight: Floats) -> Entries:
        """The row's weight in its cell."""
        cell, _ = cells_of(y, predictions.of("labels"), self.n_classes)
        return cell[:, None], weight[:, None]

    def value(self, sums: Floats) -> float:
        """The metric of the table; nan without rows."""
        if not sums.sum() > 0:
            return math.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.metric.value(sums.reshape(self.n_classes, self.n_classes)))

    def gradient(self, sums: Floats) -> Floats:
        """By small steps upward."""
        return stepped(self.value, sums)


@dataclass(frozen=True, slots=True)
class RankTerms:
    """A metric of the order of scores, two classes: sums of weight by bin of the score, highest first, then class.

    Rows of one bin count as ties, so the area under a group's ROC curve is off by at most half the share of pairs (one
    of each class) that stand in one bin; with bins of equal rows that is about 1 / (2 * bins), and the difference
    to the exact value is far smaller in practice, since ties get their half.
    """

    metric: RankingMetric
    cuts: tuple[float, ...]

    @property
    def is_share(self) -> bool:
        """Areas are; a lift is no share."""
        return "lift" not in self.metric.kind

    @property
    def n_sums(self) -> int:
        """Two for each bin."""
        return 2 * (len(self.cuts) + 1)

    def entries(self, y: Any, predictions: Predictions, weight: Floats) -> Entries:
        """The row's weight in its bin and class; nan for a score that is none."""
        score = predictions.of("scores")
        place = 2 * (len(self.cuts) - np.searchsorted(self.cuts, score, side="right")) + (np.asarray(y) == 1)
        return place.astype(np.int64)[:, None], np.where(np.isnan(score), np.nan, weight)[:, None]

    def value(self, sums: Floats) -> float:
        """The area of the counts."""
        if not np.isfinite(sums).all():
            return math.nan
        return float(self.metric.area(sums[1::2], sums[::2]))

    def gradient(self, sums: Floats) -> Floats:
        """By small steps upward."""
        return stepped(self.value, sums)

    def bound(self, sums: Floats) -> float:
        """Return at most how far the area under the ROC curve is from that of the scores themselves."""
        pairs = float(sums[1::2].sum() * sums[::2].sum())
        return float((sums[1::2] * sums[::2]).sum()) / pairs / 2 if pairs > 0 else math.nan


def stepped(value: Any, sums: Floats) -> Floats:
    """Return the gradient of a function of sums, by steps upward that are small beside their total."""
    step, before = STEP * float(sums.sum()), value(sums)
    found = np.empty(len(sums))
    for place in range(len(sums)):
        moved = sums.copy()
        moved[place] += step
        found[place] = (value(moved) - before) / step
    return found - float(found @ sums) / float(sums.sum())


def terms_of(metric: Metric, task: str, n_classes: int, cuts: tuple[float, ...] = ()) -> Terms | None:
    """Return a metric as a function of few sums; None where it is none (or where ranks have no cuts)."""
    settled = metric.for_task(task, n_classes)
    if isinstance(settled, LossMetric | Accuracy):
        return MeanTerms(settled)
    if isinstance(settled, LabelMetric) and task in ("binary", "multiclass") and n_classes <= MOST_CLASSES:
        return TableTerms(settled, n_classes)
    if isinstance(settled, RankingMetric) and task == "binary" and cuts:
        return RankTerms(settled, cuts)
    return None


def stand_in(metric: Metric, task: str, n_classes: int, predictions: Predictions) -> MeanTerms:
    """Return the mean per row that stands for a metric that is none.

    Regression: the root of the mean squared error for R2 and explained variance, else the mean absolute error. Classes:
    the log loss for metrics of scores and probabilities, where there are probabilities; else the share of rows
    predicted right.
    """
    settled = metric.for_task(task, n_classes)
    if isinstance(settled, LossMetric | Accuracy) and can_judge(MeanTerms(settled), predictions):
        return MeanTerms(settled)
    if task == "regression":
        return MeanTerms(RMSE() if metric.kind in ("r2", "explained_variance") else MAE())
    if metric.needs == "labels" or task == "multilabel" or predictions.probabilities is None:
        return MeanTerms(Accuracy())
    return MeanTerms(LogLoss())


def can_judge(terms: Terms, predictions: Predictions) -> bool:
    """Whether the estimator gave what a metric needs."""
    try:
        predictions.of(terms.metric.needs)
    except DataError:
        return False
    return True


def score_cuts(scores: Any, n_bins: int = SCORE_BINS) -> tuple[float, ...]:
    """Return cuts between bins of about equal rows of a sample's scores, for metrics of their order.

    Examples
    --------
    >>> score_cuts(np.array([0.1, 0.2, 0.2, 0.9]), 2)
    (0.2,)
    """
    given = np.asarray(scores, dtype=np.float64)
    given = given[~np.isnan(given)]
    if not len(given):
        return ()
    cuts = np.unique(np.quantile(given, np.arange(1, n_bins) / n_bins, method="higher"))
    return tuple(cuts[cuts > given.min()].tolist()) or (float(given.min()),)


def buckets_of(
    n_rows: int, unit: Any = None, start: int = 0, seed: int = 0, share: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each row's bucket, and whether it is drawn: by its unit, or its place in the table if there are no units.

    Raises
    ------
    DataError
        When there are more or fewer units than rows, and for a share that is none.
    """
    units = np.arange(start, start + n_rows, dtype=np.uint64) if unit is None else np.asarray(unit, dtype=np.uint64)
    if len(units) != n_rows:
        raise DataError(f"There are {n_rows} rows and {len(units)} units; give one unit for each row.")
    if not 0.0 < share <= 1.0:
        raise DataError(f"A share of rows lies above 0 and not above 1; found {share}.")
    mixed = mix(units, seed)
    drawn = (mixed >> np.uint64(32)) < np.uint64(round(share * 2**32))
    return (mixed & np.uint64(BUCKETS - 1)).astype(np.int64), drawn
