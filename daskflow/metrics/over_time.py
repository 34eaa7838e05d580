"""A metric in the order of time, in bins of about equal rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.slices_intervals import LEVEL, quantile_of, score
from daskflow.metrics.slices_terms import BUCKETS, RankTerms, buckets_of, score_cuts, terms_of

Floats = NDArray[np.float64]

LEAST_ROWS = 30
"""Rows of a bin: fewer bins are made where there are not so many."""

LEFT_OUT = 32
"""Parts of a bin that are left out one after the other, for metrics that are no functions of sums."""


def over_time(
    metric: Metric,
    task: str,
    classes: Sequence[str],
    times: Any,
    y: Any,
    predictions: Predictions,
    weight: Any = None,
    unit: Any = None,
    *,
    column: str = "",
    n_bins: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a metric in bins of equal rows, from the earliest to the latest; plain JSON values, None for nan.

    Parameters
    ----------
    metric : Metric
        Any that fits the task.
    task : str
        binary, multiclass, multilabel or regression.
    classes : sequence of str
        Labels by code; empty for regression.
    times : datetime64 array of shape (n_rows,)
        NaT rows are left out and counted.
    y, predictions, weight, unit
        As of `daskflow.metrics.slices.SliceTally.of`.
    column : str
        Name of the time column, for the answer.
    n_bins : int
        Bins at most; each has at least 30 rows. Rows of one instant are never cut apart.
    seed : int
        Of the buckets that intervals are computed by.

    Returns
    -------
    dict
        ``column``, ``metric``, ``greater_is_better``; by bin ``start``, ``end`` (ISO, of its first and last row),
        ``rows``, ``value``, ``low``, ``high``; ``missing``: rows without a time; ``trend``: by how much the metric of
        the later half of the rows differs from that of the earlier, with ``low``, ``high`` (95 %).

    Raises
    ------
    DataError
        When nothing has a time, or the metric needs what the estimator does not give.

    Notes
    -----
    Values are exact. Intervals: see `daskflow.metrics.slices_intervals.score`; for metrics that are no functions of
    sums (R2, a median) the jackknife that leaves out one of 32 parts at a time.

    Examples
    --------
    >>> from daskflow.metrics import parse
    >>> times = np.datetime64("2024-01-01") + np.arange(100)
    >>> y = np.arange(100.0)
    >>> given = Predictions(y + np.where(y < 50, 1.0, 3.0))
    >>> found = over_time(parse("mae"), "regression", [], times, y, given, n_bins=2)
    >>> found["start"], found["value"], found["trend"]["value"]
    (['2024-01-01', '2024-02-20'], [1.0, 3.0], 2.0)
    """
    at = np.asarray(times)
    if not np.issubdtype(at.dtype, np.datetime64):
        raise DataError(f"Times should be of type datetime64; found {at.dtype}.")
    there = ~np.isnat(at)
    if not there.any():
        raise DataError(f"No row has a time{f' in {column!r}' if column else ''}: there is nothing to put in order.")
    order = np.argsort(at, kind="stable")[: int(there.sum())]
    rows = _Rows(
        metric.for_task(task, len(classes)),
        task,
        len(classes),
        np.asarray(y),
        np.asarray(predictions.of(metric.needs)),
        np.ones(len(at)) if weight is None else np.asarray(weight, dtype=np.float64),
        buckets_of(len(at), unit, seed=seed)[0],
    ).taken(order)
    at = at[order]
    starts = _starts(at, n_bins)
    ends = [*starts[1:], len(at)]
    scores = [rows.taken(slice(start, end)).score() for start, end in zip(starts, ends, strict=True)]
    shown = at.astype("datetime64[D]") if (at == at.astype("datetime64[D]")).all() else at.astype("datetime64[s]")
    return {
        "column": column,
        "metric": metric.name,
        "greater_is_better": bool(metric.greater_is_better),
        "start": [str(shown[start]) for start in starts],
        "end": [str(shown[end - 1]) for end in ends],
        "rows": [int(end - start) for start, end in zip(starts, ends, strict=True)],
        "value": [_plain(found.value) for found in scores],
        "low": [_plain(found.low) for found in scores],
        "high": [_plain(found.high) for found in scores],
        "missing": int((~there).sum()),
        "trend": _trend(rows, at),
    }


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that a metric is taken of."""

    metric: Metric
    task: str
    n_classes: int
    y: NDArray[Any]
    given: NDArray[Any]
    weight: Floats
    bucket: NDArray[np.int64]

    def taken(self, rows: Any) -> _Rows:
        """Some of them."""
        return replace(self, y=self.y[rows], given=self.given[rows], weight=self.weight[rows], bucket=self.bucket[rows])

    def value(self) -> float:
        """The metric."""
        if not (self.weight > 0).any():
            return math.nan
        return self.metric.score(self.y, self.given, self.weight)

    def score(self) -> Score:
        """The metric with its interval."""
        value = self.value()
        if not math.isfinite(value):
            return Score(math.nan)
        used = self.taken(self.weight > 0)
        predictions = Predictions(used.given, used.given, used.given)
        cuts = score_cuts(used.given) if self.metric.needs == "scores" and used.given.ndim == 1 else ()
        terms = terms_of(self.metric, self.task, self.n_classes, cuts)
        if terms is None:
            return self._jackknife(value)
        places, values = terms.entries(used.y, predictions, used.weight)
        sums = np.zeros((BUCKETS, terms.n_sums))
        np.add.at(sums, (used.bucket[:, None], places), values)
        found = score(terms, sums, len(used.y))
        if not isinstance(terms, RankTerms):
            return Score(value, found.low, found.high)
        shift = value - found.value  # what binning cost
        return Score(value, max(found.low + shift, 0.0), min(found.high + shift, 1.0))

    def without(self) -> Floats:
        """The metric without each of `LEFT_OUT` parts of the rows; nan where that is not defined."""
        part = self.bucket % LEFT_OUT
        return np.array([self.taken(part != number).value() for number in range(LEFT_OUT)])

    def _jackknife(self, value: float) -> Score:
        """The interval by leaving out parts."""
        wide = _half_width(self.without())
        return Score(value, value - wide, value + wide)


def _half_width(without: Floats) -> float:
    """Half of a 95 % interval, from the values without each part; nan where too few are defined."""
    without = without[np.isfinite(without)]
    n_parts = len(without)
    if n_parts < LEFT_OUT / 2:
        return math.nan
    error = math.sqrt((n_parts - 1) / n_parts * float(((without - without.mean()) ** 2).sum()))
    return error * quantile_of(LEVEL, n_parts - 1)


def _starts(at: NDArray[Any], n_bins: int) -> list[int]:
    """First row of each bin of ordered times; rows of one instant stay together."""
    n_rows = len(at)
    n_bins = max(1, min(n_bins, n_rows // LEAST_ROWS))
    wanted = (np.arange(1, n_bins) * n_rows) // n_bins
    # the nearer end of the instant that the cut falls into
    left, right = np.searchsorted(at, at[wanted], side="left"), np.searchsorted(at, at[wanted], side="right")
    cuts = np.where(wanted - left <= right - wanted, left, right)
    return [0, *np.unique(cuts[(cuts > 0) & (cuts < n_rows)]).tolist()]


def _trend(rows: _Rows, at: NDArray[Any]) -> dict[str, float | None]:
    """The later half beside the earlier one; rows of one unit may stand in both."""
    cut = int(np.searchsorted(at, at[len(at) // 2], side="left"))
    if not 0 < cut < len(at):
        return {"value": None, "low": None, "high": None}
    first, second = rows.taken(slice(0, cut)), rows.taken(slice(cut, None))
    value = second.value() - first.value()
    wide = _half_width(second.without() - first.without())
    return {"value": _plain(value), "low": _plain(value - wide), "high": _plain(value + wide)}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
