"""Sums over blocks of rows, bucket by bucket: entries of a confusion table, and columns of numbers per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from daskflow.metrics.bootstrap import BUCKETS, CHUNK, draw
from daskflow.metrics.probability import LossMetric
from daskflow.metrics.sums import SumsMetric

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How often each bucket stands in each replicate, drawn once for all metrics.

    Attributes
    ----------
    buckets : ndarray of int64, shape (n_buckets,)
        Those that have rows, rising.
    counts : ndarray of uint8, shape (n_buckets, n_replicates)
        Poisson(1) counts.
    """

    buckets: Integers
    counts: NDArray[np.uint8]

    @classmethod
    def of(cls, buckets: Integers, seed: int, n_replicates: int) -> Draws:
        """Draw the counts."""
        return cls(buckets, draw(buckets, seed, n_replicates))

    @property
    def n_replicates(self) -> int:
        """Resamples."""
        return int(self.counts.shape[1])

    def rank(self, buckets: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the row in `counts` of each of some buckets."""
        ranks: NDArray[np.uint16] = np.zeros(BUCKETS, dtype=np.uint16)
        ranks[self.buckets] = np.arange(len(self.buckets))
        return np.asarray(ranks[buckets])

    def chunks(self, width: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the counts of so many replicates at a time, and the number of the first."""
        for first in range(0, self.n_replicates, width):
            yield first, np.ascontiguousarray(self.counts[:, first : first + width])

    def totals(self, buckets: Integers, sums: Floats) -> Floats:
        """Return sums over each resample, shape (n_replicates, n_columns), from those of some buckets."""
        found = np.empty((self.n_replicates, sums.shape[1]))
        ranks = self.rank(buckets)
        for first, counts in self.chunks(max(1, CHUNK // max(len(self.buckets), 1))):
            found[first : first + counts.shape[1]] = counts[ranks].T.astype(np.float64) @ sums
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Weight by bucket and entry of a confusion table, only where there is any.

    Attributes
    ----------
    n_classes : int
        Of the table.
    keys : ndarray of int64
        Bucket times ``n_classes ** 2`` plus true class times ``n_classes`` plus predicted class; rising.
    sums : ndarray of float64
        The weights.
    """

    n_classes: int
    keys: Integers
    sums: Floats

    @classmethod
    def of(cls, n_classes: int, cell: Integers, bucket: Integers | None, weight: Floats | None) -> Cells:
        """Sum the weights of rows by cell, and by bucket where rows have one."""
        n_cells = n_classes**2
        if bucket is None:
            return cls(n_classes, *_summed(cell, weight, n_cells))
        return cls(n_classes, *_summed(bucket * n_cells + cell, weight, n_cells * BUCKETS))

    def merged(self, other: Cells) -> Cells:
        """Add the weights of both."""
        if len(self.keys) == len(other.keys) and np.array_equal(self.keys, other.keys):
            return Cells(self.n_classes, self.keys, self.sums + other.sums)
        keys = np.concatenate([self.keys, other.keys])
        n_keys = BUCKETS * self.n_classes**2
        return Cells(self.n_classes, *_summed(keys, np.concatenate([self.sums, other.sums]), n_keys))

    def table(self) -> Floats:
        """Return the confusion table of all rows, shape (n_classes, n_classes)."""
        n_cells = self.n_classes**2
        found = np.bincount(self.keys % n_cells, self.sums, n_cells).astype(np.float64)
        return found.reshape(self.n_classes, self.n_classes)

    def tables(self, draws: Draws) -> Iterator[Floats]:
        """Yield the confusion table of each resample."""
        n_cells = self.n_classes**2
        cell, bucket = self.keys % n_cells, draws.rank(self.keys // n_cells)
        used, place = np.unique(cell, return_inverse=True)
        by_bucket = coo_matrix((self.sums, (place, bucket)), shape=(len(used), len(draws.buckets)))
        is_full = len(self.keys) * 8 > len(used) * len(draws.buckets)
        matrix = by_bucket.toarray() if is_full else by_bucket.tocsr()
        for _, counts in draws.chunks(max(1, CHUNK // max(len(draws.buckets), len(used), 1))):
            for sums in np.ascontiguousarray((matrix @ counts.astype(np.float64)).T):
                table = np.zeros(n_cells)
                table[used] = sums
                yield table.reshape(self.n_classes, self.n_classes)


def _summed(keys: Integers, weight: Floats | None, n_keys: int) -> tuple[Integers, Floats]:
    """Sum weights by key; keys come out rising."""
    if n_keys <= max(2**16, 4 * len(keys)):
        sums = np.bincount(keys, weight, n_keys).astype(np.float64)
        used = np.flatnonzero(sums)
        return used, sums[used]
    found, place = np.unique(keys, return_inverse=True)
    return found, np.bincount(place, weight, len(found)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns the metrics of sums of columns need; the first is the weight.

    Attributes
    ----------
    losses, sums : tuple of metrics
        Each loss takes one column, then each metric of sums its own number of them.
    """

    losses: tuple[LossMetric, ...]
    sums: tuple[SumsMetric, ...]

    def spans(self, widths: Sequence[int]) -> Iterator[tuple[int, slice]]:
        """Yield each metric of sums by its number, with its columns."""
        start = 1 + len(self.losses)
        for number, width in enumerate(widths):
            yield number, slice(start, start + width)
            start += width


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Sums of columns by bucket.

    Attributes
    ----------
    buckets : ndarray of int64, shape (n_buckets,)
        Those that have rows, rising; 0 alone where rows are not resampled.
    values : ndarray of shape (n_buckets, n_columns)
        Sums of weight, losses, and the columns of the metrics of sums.
    centres : tuple of ndarray
        What each metric of sums took its columns about.
    widths : tuple of int
        Columns of each metric of sums.
    """

    buckets: Integers
    values: Floats
    centres: tuple[Floats, ...]
    widths: tuple[int, ...]

    def merged(self, other: Columns, layout: Layout) -> Columns:
        """Add, about the common centres."""
        left, right = self.values, other.values
        centres = []
        for number, span in layout.spans(self.widths):
            metric, ours, theirs = layout.sums[number], self.centres[number], other.centres[number]
            if not len(ours):
                centres.append(ours)
                continue
            weights = [values[:, span.start + 1].sum() for values in (self.values, other.values)]
            share = weights[1] / sum(weights) if sum(weights) else 0.0
            step = theirs - ours
            if left is self.values:
                left, right = left.copy(), right.copy()
            left[:, span] = metric.moved(self.values[:, span], step * share)
            right[:, span] = metric.moved(other.values[:, span], -step * (1.0 - share))
            centres.append(ours + step * share)
        if np.array_equal(self.buckets, other.buckets):
            return Columns(self.buckets, left + right, tuple(centres), self.widths)
        buckets = np.union1d(self.buckets, other.buckets)
        values = np.zeros((len(buckets), left.shape[1]))
        values[np.searchsorted(buckets, self.buckets)] += left
        values[np.searchsorted(buckets, other.buckets)] += right
        return Columns(buckets, values, tuple(centres), self.widths)

    def total(self) -> Floats:
        """Return the sums over all rows, shape (n_columns,)."""
        return np.asarray(np.ascontiguousarray(self.values.T).sum(axis=1))

    def metrics_of(self, totals: Floats, layout: Layout) -> dict[str, Floats]:
        """Return each metric, by its name, of every row of totals, shape (n,)."""
        found = {
            metric.name: metric.mean(totals[:, 1 + number], totals[:, 0]) for number, metric in enumerate(layout.losses)
        }
        for number, span in layout.spans(self.widths):
            metric = layout.sums[number]
            found[metric.name] = metric.from_sums(totals[:, span], self.centres[number])
        return found
