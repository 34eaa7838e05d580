"""Drift: whether the first partitions hold other values than the last ones.

The first and the last quarter of the rows, in the order of the partitions, by the population stability index: the sum
over bins of (last - first) * ln(last / first) of their shares. Numbers are cut at the deciles of both together, levels
beyond the twenty most frequent are one bin, and missing values are a bin. A bin without rows counts as half a row.
Customary readings: below 0.1 stable, above 0.25 another population. Two samples of one population differ as well: what
chance gives, (bins - 1) * (1 / first + 1 / last), is taken off before the index is read. For numbers there is also
the statistic of Kolmogorov and Smirnov: the largest distance between the two distribution functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskflow.data.crosstab import Counts, Crosstab
from daskflow.data.profile_counts import FIRST, LAST, ColumnCounts

NOTABLE, STRONG = 0.1, 0.25
"""Population stability index from which a difference is worth a note, and a warning."""

BINS, LEVELS = 10, 20
MOST_LEVELS = 1_000
"""Texts of more levels are names and numbers of things, which come and go; they are not compared."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How the first partitions differ from the last ones.

    Attributes
    ----------
    psi : float
        Population stability index, less what chance gives; at least 0.
    ks : float or None
        Kolmogorov and Smirnov's statistic; None for levels.
    missing_first, missing_last : float
        Shares of rows without a value.
    """

    psi: float
    ks: float | None
    missing_first: float
    missing_last: float


def drift_of(column: ColumnCounts, *, is_ordered: bool) -> Drift | None:
    """Compare a column's first group of partitions with its last; None without rows in both, or without counts."""
    tab = column.values.tab
    if not tab.is_exact and not tab.form.has_bins:
        return None
    if not is_ordered and len(tab.keys) > MOST_LEVELS:
        return None
    gaps = column.missing_by_group[[FIRST, LAST]]
    pair = tab.counts[:, [FIRST, LAST]]
    rows = pair.sum(axis=0) + gaps
    if not rows.all():
        return None
    shares = gaps / rows
    bins = np.vstack([_deciles(pair) if is_ordered else _levels(pair), gaps[None, :]])
    ks = _distance(tab) if is_ordered else None
    return Drift(stability(bins), ks, float(shares[0]), float(shares[1]))


def stability(bins: Counts) -> float:
    """Return the population stability index of rows by bin in two groups, shape (n_bins, 2), less chance's part.

    Examples
    --------
    >>> stability(np.array([[500, 500], [500, 500]]))
    0.0
    >>> round(stability(np.array([[9000, 1000], [1000, 9000]])), 2)
    3.52
    """
    bins = bins[bins.any(axis=1)]
    rows = bins.sum(axis=0)
    if not rows.all():
        return 0.0
    shares = np.maximum(bins, 0.5) / rows
    found = float(((shares[:, 1] - shares[:, 0]) * np.log(shares[:, 1] / shares[:, 0])).sum())
    return max(0.0, found - (len(bins) - 1) * float((1 / rows).sum()))


def _deciles(pair: Counts) -> Counts:
    """Rows of numbers between the deciles of both groups together."""
    pair = pair[pair.any(axis=1)]
    if len(pair) <= BINS:
        return pair
    rows = pair.sum(axis=1)
    reached = np.cumsum(rows)
    places = np.minimum(((reached - rows / 2) * BINS / reached[-1]).astype(np.int64), BINS - 1)
    found = np.zeros((BINS, 2), dtype=np.int64)
    np.add.at(found, places, pair)
    return found


def _levels(pair: Counts) -> Counts:
    """Rows of the most frequent levels, and of all others together."""
    if len(pair) <= LEVELS:
        return pair
    order = np.argsort(-pair.sum(axis=1), kind="stable")
    return np.vstack([pair[order[:LEVELS]], pair[order[LEVELS:]].sum(axis=0, keepdims=True)])


def _distance(tab: Crosstab) -> float | None:
    """Largest distance between the two distribution functions; None without values in both."""
    pair = tab.counts[:, [FIRST, LAST]]
    rows = pair.sum(axis=0)
    if not rows.all():
        return None
    first, last = (np.cumsum(pair, axis=0) / rows).T
    return float(np.abs(first - last).max(initial=0.0))
