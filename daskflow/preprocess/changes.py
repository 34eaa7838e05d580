"""What is known of a column after a step changed its numbers, and what is said when it cannot be changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.distribution import Distribution
from daskflow.data.statistics import ColumnStatistics
from daskflow.preprocess.steps import State


def changed(before: ColumnStatistics, function: Callable[[Numbers], Numbers]) -> ColumnStatistics:
    """Return the statistics after every number became ``function(number)``; levels are gone.

    Exact where the distribution is exact. Else they are those of numbers that were each within the distribution's bound
    of the column's own before the change (see `daskflow.data.distribution`); the ends are exact.

    Parameters
    ----------
    before : ColumnStatistics
        With a distribution.
    function : callable
        From float64 of shape (n,) to the same; never decreases. Called once with the distinct numbers.

    Examples
    --------
    >>> before = ColumnStatistics(n_rows=3, min=1.0, max=100.0, distribution=Distribution.of(np.array([1.0, 10, 100])))
    >>> after = changed(before, np.log10)
    >>> after.mean, after.max, after.median
    (1.0, 2.0, 1.0)
    """
    found = before.distribution
    if found is None or not len(found.points):
        raise ValueError("Quantiles were not asked for, or there is no number.")
    low, high = before.min, before.max
    values = function(np.concatenate([np.clip(found.points, low, high), [low, high]]))
    points, ends = values[:-2], values[-2:]
    starts = np.flatnonzero(np.concatenate([[True], points[1:] != points[:-1]]))
    points, counts = points[starts], np.add.reduceat(found.counts, starts)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float64: the step that needs them refuses
        mean = float((points * counts).sum() / before.n_values)
        m2 = float((np.square(points - mean) * counts).sum())
    return replace(
        before,
        mean=min(max(mean, float(ends[0])), float(ends[1])),
        m2=m2 if m2 == m2 else math.inf,
        min=float(ends[0]),
        max=float(ends[1]),
        distribution=replace(found, points=points, counts=counts),
        levels=None,
        sums=None,
    )


def distribution_of(state: State, kind: str) -> Distribution:
    """Return the distribution of a state's numbers; DataError when a step before has made it unknown."""
    found = state.statistics.distribution
    if found is None or not len(found.points):
        raise DataError(
            f"Column '{state.column.name}': '{kind}' needs to know how often each number occurs, which is not known "
            f"after a step that made the numbers from something else. Put '{kind}' first, or leave it out."
        )
    return found


def too_large(state: State) -> DataError:
    """Return the error for numbers whose differences or squares float64 does not hold."""
    found = state.statistics
    return DataError(
        f"Column '{state.column.name}' has values up to {max(-found.min, found.max):.3g}, too large to be scaled in "
        f"float64. Bring them down with the step 'signed_log' or with derive, or drop the column."
    )
