"""Power: how much one column alone says about the target, from their joint counts.

For classes: the share of the target's entropy that a column explains (mutual information over the entropy of the
target, in the direction column to target), for numbers after cutting them into at most 64 bins of about equal rows;
and the area under the ROC curve where a binary target meets numbers or dates. For a regression: the share of the
variance between bins or levels (the correlation ratio), or the square of Pearson's correlation where that is larger.

Many levels explain any target by chance, so shares are adjusted to be 0 where chance alone would give as much: by the
expected mutual information of Vinh, Epps and Bailey (2010), as scikit-learn's ``adjusted_mutual_info_score``, and by
Kelley's (1935) epsilon squared. An identifier explains nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from daskflow.data.crosstab import Counts, Crosstab
from daskflow.data.moments import Sums
from daskflow.data.profile_target import STEPS, ProfiledTarget
from daskflow.data.schema import Task

MOST_BINS = 64
"""Into how many bins numbers are cut."""

MOST_EXACT = 256
"""Rows of a value up to which chance's part is computed exactly."""

NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Power:
    """What a column says about the target.

    Attributes
    ----------
    share : float
        Share of the target's entropy or variance that it explains, less what chance gives; 0 to 1.
    auc : float or None
        Area under the ROC curve for the positive class, ranked by the value, rows without a value aside; None where
        it is not defined. Ties count half.
    auc_error : float
        At most so much is the area off, for numbers in bins; 0 where every value was counted.
    information : float or None
        Mutual information in nats as it was counted, for classes.
    correlation : float or None
        Pearson's, for a regression and numbers.
    """

    share: float
    auc: float | None = None
    auc_error: float = 0.0
    information: float | None = None
    correlation: float | None = None

    @property
    def strength(self) -> float:
        """What columns are ranked by: the share, or Somers' D (twice the area less one) where that is larger."""
        return self.share if self.auc is None else max(self.share, abs(2 * self.auc - 1))


def power_of(
    joint: Crosstab,
    gaps: Counts,
    target: ProfiledTarget,
    sums: Sums,
    *,
    is_ordered: bool,
    correlation: float | None = None,
) -> Power | None:
    """Return a column's power; None where its levels were too many to be counted with the target.

    Parameters
    ----------
    joint : Crosstab
        Its values and the target.
    gaps : ndarray of int64
        The target of the rows without a value.
    target : ProfiledTarget
        What the columns of `joint` mean.
    sums : Sums
        Exact sums of a regression's target over the same table.
    is_ordered : bool
        Whether values have an order: numbers and dates.
    correlation : float, optional
        Pearson's correlation with a regression's target.
    """
    if not joint.is_exact and not joint.form.has_bins:
        return None
    cells = np.vstack([_binned(joint.counts, target) if is_ordered else joint.counts, gaps[None, :]])
    cells = cells[cells.any(axis=1)]
    if target.task is Task.REGRESSION:
        share = _variance_share(cells, target, sums)
        if correlation is not None and math.isfinite(correlation):
            share = max(share, correlation * correlation)
        return Power(share, correlation=correlation)
    information, share = _information(cells)
    auc, error = None, 0.0
    if is_ordered and len(target.classes) == 2 and not target.has_others:
        auc, error = area(joint.counts[:, 0], joint.counts[:, 1], is_exact=joint.is_exact)
    return Power(share, auc, error, information)


def _binned(counts: Counts, target: ProfiledTarget) -> Counts:
    """Put neighbouring values together until at most 64 groups of about equal rows are left."""
    if len(counts) <= MOST_BINS:
        return counts
    rows = counts[:, 0] if target.task is Task.REGRESSION else counts.sum(axis=1)
    reached = np.cumsum(rows)
    middles = reached - rows / 2
    bins = np.minimum((middles * MOST_BINS / reached[-1]).astype(np.int64), MOST_BINS - 1)
    starts = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    found: Counts = np.add.reduceat(counts, starts, axis=0)
    return found


def _information(cells: Counts) -> tuple[float, float]:
    """Mutual information in nats, and the share of the target's entropy that is more than chance."""
    total = int(cells.sum())
    if not total:
        return 0.0, 0.0
    joint = cells / total
    by_value, by_class = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    there = joint > 0
    information = float((joint[there] * np.log((joint / (by_value * by_class + (joint == 0)))[there])).sum())
    shares = by_class[by_class > 0]
    entropy = float(-(shares * np.log(shares)).sum())
    chance = expected_information(cells.sum(axis=1), cells.sum(axis=0))
    room = entropy - chance
    if room <= NOTHING * entropy or information <= chance:
        return max(0.0, information), 0.0
    return information, float(min(1.0, (information - chance) / room))


def expected_information(values: Counts, classes: Counts) -> float:
    """Return the mutual information in nats that chance gives to values and classes of these frequencies.

    Exact for values of at most 256 rows (each class's rows among them are hypergeometric); for larger ones, where
    chance gives next to nothing, the leading term of its expansion.

    Parameters
    ----------
    values, classes : ndarray of int64
        Rows of each, of the same sum.
    """
    total = int(classes.sum())
    classes = classes[classes > 0]
    rows, times = np.unique(values[values > 0], return_counts=True)
    found = 0.0
    for n_rows, n_times in zip(rows.tolist(), times.tolist(), strict=True):
        if n_rows > MOST_EXACT:
            found += n_times * (len(classes) - 1) / (2 * total) * (1 - n_rows / total)
        else:
            found += n_times * _expected_of_one(n_rows, classes, total)
    return found


def _expected_of_one(n_rows: int, classes: Counts, total: int) -> float:
    """What chance gives to one value of so many rows."""
    hits = np.arange(1, n_rows + 1, dtype=np.float64)[:, None]
    b = classes[None, :].astype(np.float64)
    rest = total - n_rows
    possible = (hits <= b) & (b - hits <= rest)
    k = np.where(possible, hits, 0.0)
    log_share = (
        gammaln(n_rows + 1.0)
        - gammaln(k + 1)
        - gammaln(n_rows - k + 1)
        + gammaln(rest + 1.0)
        - gammaln(np.where(possible, b - k, 0.0) + 1)
        - gammaln(np.where(possible, rest - b + k, 0.0) + 1)
        - (gammaln(total + 1.0) - gammaln(b + 1) - gammaln(total - b + 1))
    )
    terms = hits / total * np.log(hits * total / (n_rows * b)) * np.exp(np.where(possible, log_share, 0.0))
    return float(terms[possible].sum())


def _variance_share(cells: Counts, target: ProfiledTarget, sums: Sums) -> float:
    """Share of the target's variance that lies between the rows of `cells`, adjusted for their number."""
    rows, steps = cells[:, 0].astype(np.float64), cells[:, 1].astype(np.float64)
    n_rows, n_levels = float(rows.sum()), len(rows)
    scale = (target.high - target.low) or 1.0
    if n_rows <= n_levels or not sums.count or sums.m2 <= 0:
        return 0.0
    within_range = sums.m2 / sums.count / (scale * scale) * (1 << 2 * STEPS)
    centre = steps.sum() / n_rows
    between = float((rows * np.square(steps / rows - centre)).sum() / n_rows)
    ratio = min(1.0, between / within_range)
    return float(max(0.0, 1 - (1 - ratio) * (n_rows - 1) / (n_rows - n_levels)))


def area(
    negative: NDArray[np.int64], positive: NDArray[np.int64], *, is_exact: bool = True
) -> tuple[float | None, float]:
    """Return the area under the ROC curve of counts by increasing value, and how far off it can be.

    Examples
    --------
    >>> area(np.array([3, 1, 0]), np.array([0, 1, 2]))
    (0.9583333333333334, 0.0)
    """
    pairs = int(negative.sum()) * int(positive.sum())
    if not pairs:
        return None, 0.0
    below = np.cumsum(negative) - negative
    ties = float((positive.astype(np.float64) * negative).sum())
    wins = float((positive.astype(np.float64) * below).sum())
    return (wins + ties / 2) / pairs, 0.0 if is_exact else ties / 2 / pairs
