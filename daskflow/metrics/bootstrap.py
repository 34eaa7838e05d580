"""The Poisson bootstrap: every unit stands in every resample a Poisson(1) number of times, on its own.

It is Efron's bootstrap for rows that come in blocks (Chamandy et al., "Estimating uncertainty for massive data
streams", 2012): no row needs to know how many others there are. A unit is a row, or the rows of a group, which stand
and fall together. Units are dealt by a hash to `BUCKETS` buckets, and it is buckets that are drawn: what a bucket sums
to is computed once, so that a replicate costs by buckets and not by rows. A count is a hash of seed, bucket and
replicate: the same for any cut of the rows into blocks, for every metric, and for every model that is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from daskflow.core.seeds import seed_of
from daskflow.metrics import kernels

Floats = NDArray[np.float64]
Places = NDArray[np.uint32]

BUCKETS = 2**14
"""Of units. Fewer units than some thousands hardly ever share one; the variance found is off by a factor of
1 ± sqrt(2 / BUCKETS), about 1 %, for any number of them."""

SHIFT = 18
"""A unit's place is 32 bits: its bucket, and below it 18 bits that choose samples of units."""

CHUNK = 2**21
"""Numbers held at a time while replicates are summed."""


def _steps() -> NDArray[np.uint64]:
    """Where 53 bits that are equally likely pass from one count of the Poisson(1) distribution to the next."""
    terms = [math.exp(-1.0) / math.factorial(count) for count in range(19)]
    return np.array([int(math.fsum(terms[: count + 1]) * 2**53) for count in range(18)], dtype=np.uint64)


STEPS = _steps()


def places(n_rows: int, seed: int, unit: Any = None, start: int = 0) -> Places:
    """Return each row's place: 32 bits of the splitmix64 hash of its unit.

    Parameters
    ----------
    n_rows : int
        Rows.
    seed : int
        Of the resamples.
    unit : array of uint64, shape (n_rows,), optional
        Rows of one unit get one place. Without it a row is its own, known by its number.
    start : int
        The number of the first row.
    """
    found = np.empty(n_rows, dtype=np.uint32)
    salt = np.uint64(seed_of(seed, "units"))
    if unit is None:
        kernels.place_numbers(start, salt, found)
    else:
        kernels.place_all(np.ascontiguousarray(unit).astype(np.uint64, copy=False), salt, found)
    return found


def draw(buckets: NDArray[np.int64], seed: int, n_replicates: int, first: int = 0) -> NDArray[np.uint8]:
    """Return the counts of buckets in the replicates from `first` on, shape (n_buckets, n_replicates)."""
    counts = np.empty((len(buckets), n_replicates), dtype=np.uint8)
    kernels.draw_counts(buckets, first, np.uint64(seed_of(seed, "counts")), STEPS, counts)
    return counts


class Resample:
    """Counts of rows in `n_replicates` resamples of a table.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    n_replicates : int
        Resamples.
    seed : int
        The same counts for the same seed and unit, whatever else was drawn.
    unit : array of uint64, shape (n_rows,), optional
        Rows of one unit are drawn together; without it every row is its own.

    Attributes
    ----------
    group : ndarray of int64, shape (n_rows,)
        Which of the `n_groups` buckets that have rows a row is in.

    Examples
    --------
    >>> resample = Resample(1000, 200, seed=7)
    >>> values = resample.totals([np.ones(1000)])[:, 0]
    >>> round(values.mean()), round(values.std())
    (1001, 32)
    """

    def __init__(self, n_rows: int, n_replicates: int, seed: int, unit: Any = None) -> None:
        """Deal the rows to buckets; counts are drawn where they are needed."""
        self._begin(places(n_rows, seed, unit), n_replicates, seed)

    @classmethod
    def of_places(cls, place: Places, n_replicates: int, seed: int) -> Resample:
        """Resample rows whose places are known."""
        made = cls.__new__(cls)
        made._begin(place, n_replicates, seed)
        return made

    def _begin(self, place: Places, n_replicates: int, seed: int) -> None:
        self.buckets, group = np.unique((place >> np.uint32(SHIFT)).astype(np.int64), return_inverse=True)
        self.group: NDArray[np.int64] = group.astype(np.int64)
        self.n_groups, self.n_replicates, self.seed = len(self.buckets), n_replicates, seed

    def counts(self, first: int = 0, n_replicates: int | None = None) -> Floats:
        """Return the counts of the buckets in some replicates, shape (n_groups, n_replicates)."""
        wanted = self.n_replicates - first if n_replicates is None else n_replicates
        return draw(self.buckets, self.seed, wanted, first).astype(np.float64)

    def rows(self) -> Iterator[Floats]:
        """Yield each replicate's counts, shape (n_rows,)."""
        for number in range(self.n_replicates):
            yield self.counts(number, 1)[self.group, 0]

    def totals(self, columns: Sequence[Floats]) -> Floats:
        """Sum columns of shape (n_rows,) over each resample; returns (n_replicates, n_columns)."""
        sums = [np.bincount(self.group, weights=column, minlength=self.n_groups) for column in columns]
        found = np.empty((self.n_replicates, len(sums)))
        step = max(1, CHUNK // max(self.n_groups, 1))
        for first in range(0, self.n_replicates, step):
            counts = self.counts(first, min(step, self.n_replicates - first))
            found[first : first + step] = counts.T @ np.column_stack(sums)
        return found

    def cells(self, cell: NDArray[np.int64], weight: Floats, n_cells: int) -> Iterator[Floats]:
        """Yield, for each resample, the weight that falls into each of `n_cells` cells, shape (n_cells,).

        A row's cell is its entry of a confusion table, or its place in the order of scores.
        """
        by_group = coo_matrix((weight, (cell, self.group)), shape=(n_cells, self.n_groups)).tocsr()
        step = max(1, CHUNK // max(n_cells, self.n_groups, 1))
        for start in range(0, self.n_replicates, step):
            counts = self.counts(start, min(step, self.n_replicates - start))
            yield from np.ascontiguousarray((by_group @ counts).T)


class Parts(Resample):
    """Rows dealt out to parts: replicate k has the rows of part k once, and no others.

    Parameters
    ----------
    part : ndarray of int, shape (n_rows,)
        Part of each row, from 0 on.
    n_parts : int
        Parts.
    """

    def __init__(self, part: NDArray[np.int64], n_parts: int) -> None:
        """Draw nothing."""
        self.n_groups = self.n_replicates = n_parts
        self.group = part

    def counts(self, first: int = 0, n_replicates: int | None = None) -> Floats:
        """Return one for a part in its own replicate, and else zero."""
        last = self.n_parts if n_replicates is None else first + n_replicates
        return np.eye(self.n_groups)[:, first:last]

    @property
    def n_parts(self) -> int:
        """Parts."""
        return self.n_groups

    def totals(self, columns: Sequence[Floats]) -> Floats:
        """Sum columns over each part."""
        return np.column_stack([np.bincount(self.group, column, self.n_groups) for column in columns])

    def cells(self, cell: NDArray[np.int64], weight: Floats, n_cells: int) -> Iterator[Floats]:
        """Yield the weight that falls into each cell, part by part."""
        sums: Floats = np.bincount(self.group * n_cells + cell, weight, self.n_groups * n_cells).astype(np.float64)
        yield from sums.reshape(self.n_groups, n_cells)


def interval(replicates: Floats) -> tuple[float, float]:
    """Return the central 95 % of the replicates that are defined; nan when fewer than half are.

    The k-th of n replicates stands for k / (n + 1), so that 200 of them cover 95 %; numpy's default would cover 94 %.
    """
    defined = replicates[np.isfinite(replicates)]
    if 2 * len(defined) < len(replicates) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975], method="weibull")
    return float(low), float(high)
