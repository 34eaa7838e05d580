"""What one ranking of scores gives: values, curves and replicates, for all metrics of the order of scores at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import kernels
from daskflow.metrics.bins import score_edges
from daskflow.metrics.lift import Gain, KolmogorovSmirnov, Lift
from daskflow.metrics.ordering import sort_keys, sort_scores
from daskflow.metrics.ranking import AveragePrecision, RankingMetric, RocAuc
from daskflow.metrics.scores import LEAST_POWER, POWERS, Scores, Side, unpacked
from daskflow.metrics.states import Draws

Floats = NDArray[np.float64]

CELLS = 4096
"""Places in the order of scores that resamples tell apart; the value itself tells all apart."""

FINE_CELLS = 2**16
"""The same where two models are compared, which may differ in neighbouring places only."""

WIDTH = 16
"""Replicates that a visit to the rows sums."""

CURVE_POINTS = 400

FAST: tuple[type[RankingMetric], ...] = (RocAuc, AveragePrecision, KolmogorovSmirnov)
"""Metrics that are read off sorted scores without arrays of their own."""

STRAIGHT: tuple[type[RankingMetric], ...] = (Gain, Lift)
"""Metrics for which neighbouring scores of one class alone may be taken together: the gain is a straight line there."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Points of a ranking from the highest score on.

    Attributes
    ----------
    right, wrong : ndarray of shape (n_points,)
        Weight of positive and negative rows taken so far.
    threshold : ndarray of shape (n_points,)
        The lowest score taken.
    """

    right: Floats
    wrong: Floats
    threshold: Floats


class Ranking:
    """The order of the scores of two classes.

    Parameters
    ----------
    negative, positive : Side
        Rows of either class, in any order.
    """

    def __init__(self, negative: Side, positive: Side) -> None:
        """Sort the scores once."""
        self.sides = negative, positive
        self.is_weighted = negative.weight is not None or positive.weight is not None
        self._sorted = () if self.is_weighted else tuple(sort_scores(side.scores) for side in (negative, positive))

    def value(self, metric: RankingMetric) -> float:
        """Return the metric of all rows."""
        if not self.is_weighted and type(metric) in FAST:
            return self._fast_values[FAST.index(type(metric))]
        if not self.is_weighted and type(metric) in STRAIGHT:
            return metric.area(*runs_of(*self._sorted))
        above, below, _ = self.distinct
        return metric.area(above, below)

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of either class."""
        return len(self.sides[0].scores), len(self.sides[1].scores)

    @cached_property
    def _fast_values(self) -> tuple[float, float, float]:
        """Area under the ROC curve, average precision, and the largest distance of the two rates."""
        negative, positive = self._sorted
        if not len(positive):
            return math.nan, math.nan, math.nan
        pairs, precision, apart = kernels.merge_areas(positive, negative)
        if not len(negative):
            return math.nan, precision / len(positive), math.nan
        return pairs / (2 * len(positive) * len(negative)), precision / len(positive), apart

    @property
    def distinct(self) -> tuple[Floats, Floats, Floats]:
        """Positive and negative weight at each distinct score, highest first, and the scores."""
        if self.is_weighted:
            return self._distinct_weighted
        negative, positive = self._sorted
        return distinct_of(negative, positive)

    @cached_property
    def _distinct_weighted(self) -> tuple[Floats, Floats, Floats]:
        negative, positive = self.sides
        score = np.concatenate([positive.scores, negative.scores]).astype(np.float64, copy=False)
        weight = np.concatenate([_weight(positive), _weight(negative)])
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(score) else np.zeros(0, dtype=bool)
        begins = np.flatnonzero(first)
        is_positive, weight = order < len(positive.scores), weight[order]
        if not len(begins):
            return np.empty(0), np.empty(0), np.empty(0)
        above = np.add.reduceat(np.where(is_positive, weight, 0.0), begins)
        below = np.add.reduceat(np.where(is_positive, 0.0, weight), begins)
        return above, below, ordered[begins]

    def curve(self) -> Curve:
        """Return points spread evenly along the ROC curve, at most `CURVE_POINTS` - 1 of them."""
        steps = np.linspace(0.0, 2.0, CURVE_POINTS - 2)
        if self.is_weighted:
            return curve_of(*self.distinct, steps)
        negative, positive = self._sorted
        found = np.empty(len(steps) + 1), np.empty(len(steps) + 1), np.empty(len(steps) + 1)
        n = kernels.merge_steps(positive, negative, steps, *found)
        return Curve(*(array[:n] for array in found))

    def replicates(self, metrics: Sequence[RankingMetric], draws: Draws, n_cells: int = CELLS) -> list[Floats]:
        """Return the metrics on every resample, each of shape (n_replicates,).

        Rows are taken together in up to `n_cells` cells of about equal share in both classes; what that costs the
        metric of all rows is added to every replicate.
        """
        edges = self._edges(n_cells)
        parts = [_celled(side, edges, draws) for side in self.sides]
        whole = [part.whole() for part in parts]
        found = [np.empty(draws.n_replicates) for _ in metrics]
        for first, counts in draws.chunks(WIDTH):
            below, above = (np.ascontiguousarray(part.resampled(counts).T, dtype=np.float64) for part in parts)
            for column in range(counts.shape[1]):
                for metric, values in zip(metrics, found, strict=True):
                    values[first + column] = metric.area(above[column], below[column])
        return [
            _moved(values, self.value(metric) - metric.area(whole[1], whole[0]))
            for metric, values in zip(metrics, found, strict=True)
        ]

    def _edges(self, n_cells: int) -> NDArray[Any]:
        """The lowest scores of the cells, falling: every distinct score, or places of equal share in either class."""
        if sum(len(side.scores) for side in self.sides) <= n_cells:
            return np.unique(np.concatenate([side.scores for side in self.sides]))[::-1]
        chosen = [_quantiles(side, n_cells // 2, ordered) for side, ordered in self._orders()]
        return np.unique(np.concatenate(chosen))[::-1]

    def _orders(self) -> list[tuple[Side, NDArray[Any] | None]]:
        ordered = self._sorted or (None, None)
        return list(zip(self.sides, ordered, strict=True))


def distinct_of(negative: NDArray[Any], positive: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return positive and negative counts at each distinct score, highest first, and the scores, of rising ones."""
    size = len(negative) + len(positive)
    found = np.empty(size), np.empty(size), np.empty(size)
    n = kernels.merge_distinct(positive, negative, *found)
    above, below, values = (array[:n] for array in found)
    return above, below, values


def runs_of(negative: NDArray[Any], positive: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return positive and negative counts at runs of distinct scores of one class, highest first, of rising scores."""
    size = len(negative) + len(positive)
    above, below = np.empty(size), np.empty(size)
    n = kernels.merge_runs(positive, negative, above, below)
    return above[:n], below[:n]


def curve_of(above: Floats, below: Floats, values: Floats, steps: Floats) -> Curve:
    """Return the points of weights at falling scores at which the two rates sum to each step."""
    right, wrong = np.cumsum(above), np.cumsum(below)
    rates = right / right[-1] + wrong / wrong[-1]
    kept = np.unique(np.minimum(np.searchsorted(rates, steps), len(values) - 1))
    kept = kept[(right[kept] + wrong[kept]) > 0]
    return Curve(right[kept], wrong[kept], values[kept])


@dataclass(frozen=True, slots=True, eq=False)
class _Celled:
    """Rows of a class cell by cell: their buckets' ranks and weights."""

    starts: NDArray[np.int64]
    bucket: NDArray[np.uint16]
    weight: Floats | None

    def whole(self) -> Floats:
        """Weight of each cell."""
        if self.weight is None:
            return np.diff(self.starts).astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(self.weight)])
        return np.asarray(np.diff(sums[self.starts]))

    def resampled(self, counts: NDArray[np.uint8]) -> NDArray[Any]:
        """Weight of each cell in each replicate, shape (n_cells, n_replicates)."""
        shape = len(self.starts) - 1, counts.shape[1]
        if self.weight is None:
            whole = np.zeros(shape, dtype=np.int32)
            kernels.resample_cells(self.bucket, self.starts, counts, whole)
            return whole
        sums = np.zeros(shape)
        kernels.resample_weights(self.bucket, self.weight, self.starts, counts, sums)
        return sums


def _celled(side: Side, edges: NDArray[Any], draws: Draws) -> _Celled:
    """Order the rows of a class by cell."""
    cells = np.empty(len(side.scores), dtype=np.int32)
    starts = np.zeros(len(edges) + 1, dtype=np.int64)
    kernels.cells_of_scores(side.scores, edges, cells, starts)
    starts = np.cumsum(starts)
    if side.place is None:
        raise ValueError("these rows were not placed for resampling")
    bucket = np.empty(len(cells), dtype=np.uint16)
    rank = draws.rank(np.arange(2**14))
    kernels.by_cell(cells, starts.copy(), side.place, rank, bucket)
    if side.weight is None:
        return _Celled(starts, bucket, None)
    weight = np.empty(len(cells))
    kernels.move_by_cell(cells, starts.copy(), side.weight, weight)
    return _Celled(starts, bucket, weight)


def _quantiles(side: Side, n_wanted: int, ordered: NDArray[Any] | None) -> NDArray[Any]:
    """Scores of equal share in a class; where it has few rows all, each with the next number above it."""
    rising = np.sort(side.scores) if ordered is None else ordered
    if len(rising) <= n_wanted // 2:
        return np.concatenate([rising, np.nextafter(rising, np.asarray(np.inf, dtype=rising.dtype))])
    at = (np.arange(n_wanted) * len(rising)) // n_wanted
    return rising[at]


def _weight(side: Side) -> Floats:
    return np.ones(len(side.scores)) if side.weight is None else side.weight


def _moved(values: Floats, step: float) -> Floats:
    """Add what cells cost; a replicate does not leave [0, 1] for that."""
    low, high = min(0.0, float(np.nanmin(values, initial=0.0))), max(1.0, float(np.nanmax(values, initial=1.0)))
    return np.clip(values + step, low, high)


class PackedRanking:
    """The order of packed probabilities, which are sorted once and gone through once.

    Parameters
    ----------
    keys : ndarray of uint32 or uint64
        See `daskflow.metrics.scores.Block`; overwritten.
    n_positive : int
        Rows of class 1.
    """

    def __init__(self, keys: NDArray[Any], n_positive: int) -> None:
        """Sort, and take what most evaluations ask for."""
        self.keys = sort_keys(keys)
        self.sizes = len(keys) - n_positive, n_positive
        steps = np.linspace(0.0, 2.0, CURVE_POINTS - 2)
        right, wrong, at = np.empty(CURVE_POINTS), np.empty(CURVE_POINTS), np.empty(CURVE_POINTS, dtype=np.int64)
        pairs, precision, apart, n = kernels.scan_keys(self.keys, n_positive, steps, right, wrong, at)
        has_both = min(self.sizes) > 0
        self._values = {
            RocAuc: pairs / (2 * self.sizes[0] * self.sizes[1]) if has_both else math.nan,
            AveragePrecision: precision / n_positive if n_positive else math.nan,
            KolmogorovSmirnov: apart if has_both else math.nan,
        }
        bits = self.keys[at[:n]] >> self.keys.dtype.type(1)
        values = bits.view(np.float32 if bits.dtype == np.uint32 else np.float64).astype(np.float64)
        self._curve = Curve(right[:n], wrong[:n], values)

    def value(self, metric: RankingMetric) -> float:
        """Return the metric of all rows."""
        if type(metric) in self._values:
            return self._values[type(metric)]
        if type(metric) in STRAIGHT:
            return metric.area(*runs_of(*unpacked(self.keys)))
        above, below, _ = self._distinct
        return metric.area(above, below)

    @property
    def _distinct(self) -> tuple[Floats, Floats, Floats]:
        """Positive and negative weight at each distinct score, highest first, and the scores."""
        return distinct_of(*unpacked(self.keys))

    def curve(self) -> Curve:
        """Return points spread evenly along the ROC curve, at most `CURVE_POINTS` - 1 of them."""
        return self._curve


class BinnedRanking:
    """The order of scores of which only the bins are known.

    Parameters
    ----------
    bins : ndarray of shape (2, n_bins)
        Weight of negative and positive rows by bin, rising.
    bits : int
        Of the fraction that bins tell apart.
    """

    def __init__(self, bins: Floats, bits: int) -> None:
        """Leave out empty bins, and turn round."""
        used = np.flatnonzero(bins.any(axis=0))[::-1]
        self.below, self.above = bins[0, used], bins[1, used]
        self._used, self._bits = used, bits

    @property
    def sizes(self) -> tuple[float, float]:
        """Weight of either class."""
        return float(self.below.sum()), float(self.above.sum())

    def value(self, metric: RankingMetric) -> float:
        """Return the metric, rows of one bin being taken for ties."""
        return metric.area(self.above, self.below)

    def error(self, metric: RankingMetric) -> float:
        """Return how far from that the metric of the scores themselves can be at most."""
        value = self.value(metric)
        low, high = metric.within(self.above, self.below)
        return max(high - value, value - low, 0.0)

    def curve(self) -> Curve:
        """Return points spread evenly along the ROC curve; thresholds are edges of bins."""
        edges = np.empty(len(self._used))
        score_edges(self._used, self._bits, POWERS, LEAST_POWER, edges)
        return curve_of(self.above, self.below, edges, np.linspace(0.0, 2.0, CURVE_POINTS - 2))


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What a ranking gave: by the place of a metric among those asked for.

    Attributes
    ----------
    values, errors : list of float
        Of each metric; the error is 0 where all scores are known.
    replicates : list of ndarray of shape (n_replicates,), or None
        None for a metric that is not defined, without resampling, and where no rows are held.
    curve : Curve or None
        None unless both classes occur.
    """

    values: list[float]
    errors: list[float]
    replicates: list[Floats | None]
    curve: Curve | None


def rank_all(
    scores: Scores, metrics: Sequence[RankingMetric], draws: Draws | None, n_cells: int, n_resampled: int
) -> list[Ranked]:
    """Judge every ranking: see `rank`."""
    bins = scores.all_bins() if scores.is_over else None
    return [rank(scores, ranking, metrics, draws, n_cells, n_resampled, bins) for ranking in range(scores.n_rankings)]


def rank(
    scores: Scores,
    ranking: int,
    metrics: Sequence[RankingMetric],
    draws: Draws | None,
    n_cells: int,
    n_resampled: int,
    bins: Floats | None,
) -> Ranked:
    """Judge one ranking: of class 1 of two, or of a class of more against the rest; the first metrics are resampled.

    Where only the bins of the scores are known, replicates come from the rows of the units that are held, and are drawn
    together to the spread that all units would have had.
    """
    packed = scores.packed()
    sample = Ranking(*scores.sides(ranking)) if scores.n_held and packed is None else None
    whole: Ranking | BinnedRanking | PackedRanking
    if bins is not None:
        whole = BinnedRanking(bins[ranking], scores.bits)
    elif packed is not None:
        whole = PackedRanking(*packed)
    elif sample is not None:
        whole = sample
    else:
        return Ranked([math.nan] * len(metrics), [0.0] * len(metrics), [None] * len(metrics), None)
    values = [whole.value(metric) for metric in metrics]
    errors = [whole.error(metric) if isinstance(whole, BinnedRanking) else 0.0 for metric in metrics]
    has_both = all(part > 0 for part in whole.sizes)
    replicates: list[Floats | None] = [None] * len(metrics)
    asked = [place for place, value in enumerate(values[:n_resampled]) if not math.isnan(value)]
    if draws is not None and sample is not None and asked:
        found = sample.replicates([metrics[place] for place in asked], draws, n_cells)
        shrink = math.sqrt(scores.n_held / scores.n_rows) if isinstance(whole, BinnedRanking) else 1.0
        for place, drawn in zip(asked, found, strict=True):
            own = sample.value(metrics[place]) if shrink < 1 else values[place]
            replicates[place] = values[place] + (drawn - own) * shrink
    return Ranked(values, errors, replicates, whole.curve() if has_both else None)
