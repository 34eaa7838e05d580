"""Tallies: what a preprocessing step counts for itself in the one pass, beside the built-in statistics."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data.hashing import Hashes, mix, salt_of

INNER_PARTS = 5
"""Parts of the training rows that out-of-fold steps leave out in turn; as scikit-learn's TargetEncoder by default."""

SALT = salt_of("inner part")


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The target of some rows.

    Attributes
    ----------
    values : ndarray of float64, shape (n_rows,)
        Numbers; for classification the class codes.
    codes : ndarray of int64, shape (n_rows,), or None
        Class codes 0 to ``n_classes - 1``; None for regression.
    classes : tuple
        The labels that the codes mean; empty for regression.
    """

    values: NDArray[np.float64]
    codes: NDArray[np.int64] | None = None
    classes: tuple[Any, ...] = ()

    def take(self, rows: NDArray[np.int64]) -> TargetRows:
        """Return some of the rows."""
        return TargetRows(self.values[rows], None if self.codes is None else self.codes[rows], self.classes)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a tally may look at beside its column.

    Attributes
    ----------
    content : ndarray of uint64, shape (n_rows,)
        Hash of each source row: equal rows have the same.
    parts : ndarray of uint8, shape (n_rows,)
        Inner part 0 to 4 of each row, by the hash of what must not be split; see `parts_of`.
    target : TargetRows or None
        None where there is no target.
    """

    content: Hashes
    parts: NDArray[np.uint8]
    target: TargetRows | None = None

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(self.content[rows], self.parts[rows], None if self.target is None else self.target.take(rows))


class Tally(Hashable, Protocol):
    """A mergeable statistic of one column; a frozen dataclass of plain options, small and picklable.

    States must merge associatively and commutatively without rounding (integers, sets, sorted arrays), so that results
    never depend on how the rows were cut.
    """

    @property
    def by_part(self) -> bool:
        """Whether it looks at the rows' inner parts."""

    def nothing(self) -> Any:
        """Return the state of no rows."""

    def of(self, column: pa.Array, rows: Rows) -> Any:
        """Return the state of some rows of one segment."""

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of both; neither is changed."""


@runtime_checkable
class SegmentTally(Protocol):
    """A tally that counts all segments at once, where picking out the rows of each would cost more than counting."""

    def of_segments(
        self, column: pa.Array, rows: Rows, order: NDArray[np.int64], edges: Sequence[int]
    ) -> Sequence[Any]:
        """Return the state of each segment; segment k has the rows ``order[edges[k]:edges[k + 1]]``."""


@dataclass(frozen=True)
class Segments:
    """Rows in segments: segment k has the rows ``order[edges[k]:edges[k + 1]]``."""

    rows: Rows
    order: NDArray[np.int64]
    edges: Sequence[int]

    @cached_property
    def _taken(self) -> list[Rows]:
        """The rows of each segment."""
        return [self.rows.take(self.order[start:stop]) for start, stop in itertools.pairwise(self.edges)]

    def tallied(self, tally: Tally, column: pa.Array) -> Sequence[Any]:
        """Return a tally's state of each segment."""
        if isinstance(tally, SegmentTally):
            return tally.of_segments(column, self.rows, self.order, self.edges)
        parts = [column.take(pa.array(self.order[start:stop])) for start, stop in itertools.pairwise(self.edges)]
        return [tally.of(part, rows) for part, rows in zip(parts, self._taken, strict=True)]


def parts_of(unit_hash: Hashes) -> NDArray[np.uint8]:
    """Return the inner part 0 to 4 of rows by their unit hash; independent of the split's own cuts.

    Examples
    --------
    >>> sorted(set(parts_of(np.arange(99, dtype=np.uint64)).tolist()))
    [0, 1, 2, 3, 4]
    """
    return (mix(unit_hash, SALT) % np.uint64(INNER_PARTS)).astype(np.uint8)
