"""Spans: what the columns of a table hold in each stretch of it, added up as its pieces are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.dashboard.state_data import DataState, Piece

MOST_SPANS = 60
"""Stretches that a table is cut into at most."""

Floats = NDArray[np.float64]


class Spans:
    """Counts and means of every column in each span of a table.

    Parameters
    ----------
    n_partitions : int
        Of the table; a span holds one of them, or several that follow each other.
    names : sequence of str
        Columns.

    Attributes
    ----------
    n_pieces : ndarray of shape (n_columns,)
        Pieces with numbers.
    rows, missing, n, total : ndarray of shape (n_spans, n_columns)
        Rows, missing values, numbers and their sum.
    """

    def __init__(self, n_partitions: int, names: Sequence[str]) -> None:
        self.n_partitions, self.names = n_partitions, tuple(names)
        self.n_spans = max(1, min(MOST_SPANS, n_partitions))
        shape = (self.n_spans, len(self.names))
        self.rows: Floats = np.zeros(shape)
        self.missing: Floats = np.zeros(shape)
        self.n: Floats = np.zeros(shape)
        self.total: Floats = np.zeros(shape)
        self.n_pieces: Floats = np.zeros(len(self.names))
        self._place = {name: place for place, name in enumerate(self.names)}

    @property
    def width(self) -> float:
        """Partitions of a span."""
        return self.n_partitions / self.n_spans

    def middles(self) -> Floats:
        """Return where the spans are in the table, in partitions."""
        return np.asarray((np.arange(self.n_spans) + 0.5) * self.width - 0.5, dtype=np.float64)

    def bounds(self, span: int) -> tuple[int, int]:
        """Return the first and the last partition of a span."""
        first = -(-span * self.n_partitions // self.n_spans)
        return first, max(first, -(-(span + 1) * self.n_partitions // self.n_spans) - 1)

    def take(self, pieces: Sequence[Piece]) -> None:
        """Add pieces of the table; one that reaches over several spans counts in all of them, in equal parts."""
        if not self.names:
            return
        whole = [piece for piece in pieces if tuple(piece.columns) == self.names]
        if whole:
            self._add(whole, np.array([list(piece.columns.values()) for piece in whole], dtype=np.float64))
        for piece in pieces:
            if piece.columns and tuple(piece.columns) != self.names:
                known = np.zeros((1, len(self.names), 4))
                known[..., 2:] = np.nan
                for name, values in piece.columns.items():
                    if name in self._place:
                        known[0, self._place[name]] = np.array(list(values), dtype=np.float64)
                self._add([piece], known)

    def _add(self, pieces: Sequence[Piece], values: Floats) -> None:
        """Add values of shape (n_pieces, n_columns, 4): rows, missing, mean, std."""
        rows, missing, mean = values[..., 0], values[..., 1], values[..., 2]
        self.n_pieces += np.isfinite(mean).sum(axis=0)
        first = np.array([piece.first for piece in pieces])
        last = np.minimum(first + np.array([piece.parts for piece in pieces]), self.n_partitions) - 1
        at, ends = (places * self.n_spans // self.n_partitions for places in (first, last))
        reach = ends - at + 1
        if (reach > 1).any():
            which = np.repeat(np.arange(len(pieces)), reach)
            at = np.concatenate([np.arange(begin, end + 1) for begin, end in zip(at, ends, strict=True)])
            rows, missing, mean = (each[which] for each in (rows, missing, mean))
            rows, missing = rows / reach[which, None], missing / reach[which, None]
        n = np.where(np.isfinite(mean), np.maximum(rows - missing, 0.0), 0.0)
        for ours, theirs in (
            (self.rows, rows),
            (self.missing, missing),
            (self.n, n),
            (self.total, n * np.where(np.isfinite(mean), mean, 0.0)),
        ):
            np.add.at(ours, at, theirs)

    def missing_share(self) -> Floats:
        """Return the share of missing values by span and column; nan where nothing was read."""
        with np.errstate(invalid="ignore"):
            return self.missing / np.where(self.rows > 0, self.rows, np.nan)

    def shift(self, data: DataState) -> Floats:
        """Return how far the means are from that of the whole, in standard deviations; nan where that is not known."""
        looks: list[Any] = [data.columns.get(name) for name in self.names]
        mean = np.array([np.nan if look is None else look.mean for look in looks])
        std = np.array([np.nan if look is None else look.std for look in looks])
        with np.errstate(invalid="ignore"):
            own = self.total / np.where(self.n > 0, self.n, np.nan)
            return np.asarray((own - mean) / np.where(std > 0, std, np.nan), dtype=np.float64)
