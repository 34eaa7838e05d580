"""Shares of one column's recent rows by bin, set against those it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.data.schema import ColumnKind
from daskflow.streams.drift_bins import Bins, Counts, chance_bound, parts_of, stability, together

BLOCKS = 4
"""Parts of the window; the oldest is left out when a new one is full."""

FIRST_ROWS = 250
"""Rows whose values are kept to make bins of, where there is no reference."""

RELEASE = 0.8
"""Share of its bound that an index falls below before it can be an alarm again: one that hovers there is told once."""

RARITY = 1e-7
"""Probability by chance of an index beyond its bound, for each row of the stream and all columns together."""


@dataclass(frozen=True, slots=True)
class Move:
    """The index went beyond its bound after `at` rows; its window began behind `since`; `detail` says what moved."""

    value: float
    bound: float
    at: int
    since: int
    detail: str


class ShareWatch:
    """Watches one column by the population stability index of its newest rows.

    Parameters
    ----------
    kind : ColumnKind
        What its values are.
    bins : Bins or None
        Of the training rows. None takes the first rows for it, as many as the window has: bins of the first 250, counts
        of all.
    window : int
        Newest rows that are looked at, from when there are so many on, each time a quarter of them is new.
    least : float
        Index that is no alarm yet, however many rows there are.
    n_columns : int
        Columns that are watched altogether: the more there are, the rarer chance may alarm in each.
    """

    def __init__(self, kind: ColumnKind, bins: Bins | None, *, window: int, least: float, n_columns: int = 1) -> None:
        """Begin with no rows."""
        self._kind, self._window, self._least = kind, window, least
        self._block_rows = max(1, window // BLOCKS)
        self._chance = min(0.05, RARITY * self._block_rows / n_columns)
        self.is_of_training = bins is not None
        self._first: list[Any] = []
        self._use(bins)
        self._n_seen = 0
        self.is_moved, self.since = False, 0
        self.value, self.bound = 0.0, least

    def _use(self, bins: Bins | None) -> None:
        """Count by these bins from now on."""
        self.bins = bins
        self._reference: Counts = np.asarray(bins.counts if bins else (), dtype=np.int64)
        self._growing: Counts = np.zeros_like(self._reference)
        self._blocks: list[Counts] = []

    @property
    def has_looked(self) -> bool:
        """Whether the window has been full, and was compared."""
        return len(self._blocks) == BLOCKS

    @property
    def is_referring(self) -> bool:
        """Whether the rows that others will be compared with are still coming."""
        return not self.is_of_training and self._n_seen < self._window

    def seen(self, values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> list[Move]:
        """Take the values of rows in their order; return each move beyond the bound, once."""
        found, start = [], 0
        while start < len(values):
            taken = min(self._room(), len(values) - start)
            self._take(values[start : start + taken])
            self._n_seen += taken
            start += taken
            if len(self._blocks) == BLOCKS and not self._growing.any() and self._is_risen():
                found.append(Move(self.value, self.bound, self._n_seen, self.since, self._moved_most()))
        return found

    def _room(self) -> int:
        """How many rows go where the next one goes."""
        if self.bins is None:
            return min(FIRST_ROWS, self._window) - len(self._first)
        if self.is_referring:
            return self._window - self._n_seen
        return self._block_rows - int(self._growing.sum())

    def _take(self, values: Any) -> None:
        if self.bins is None:
            self._first += values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)
            if len(self._first) == min(FIRST_ROWS, self._window):
                self._use(Bins.of(self._first, self._kind))
                self._first = []
        elif self.is_referring:
            self._reference = self._reference + self.bins.count(values)
        else:
            self._growing = self._growing + self.bins.count(values)
            if self._growing.sum() == self._block_rows:
                self._blocks = [*self._blocks, self._growing][-BLOCKS:]
                self._growing = np.zeros_like(self._reference)

    def _is_risen(self) -> bool:
        """Compare the window with the reference, at the end of a block; whether it went beyond its bound just now."""
        reference, recent = together(self._reference, np.sum(self._blocks, axis=0))
        n, m = int(reference.sum()), int(recent.sum())
        self.value = stability(reference, recent)
        self.bound = max(self._least, chance_bound(n, m, int(np.count_nonzero(reference + recent)), self._chance))
        before = self.is_moved
        self.is_moved = self.value > self.bound * (RELEASE if before else 1.0)
        if self.is_moved and not before:
            self.since = self._n_seen - m
        return self.is_moved and not before

    def _moved_most(self) -> str:
        """Say which bin adds most to the index, and its shares before and now."""
        bins = self.bins or Bins()
        p, q = self._reference.astype(np.float64), np.sum(self._blocks, axis=0).astype(np.float64)
        place = int(np.argmax(parts_of(p, q)))
        before, now = 100 * p[place] / p.sum(), 100 * q[place] / q.sum()
        name = bins.names[place]
        quoted = f"'{name}'" if place < len(bins.levels) else name
        return f"{quoted}: {before:.1f} % before, {now:.1f} % now"

    def dump(self) -> dict[str, Any]:
        """Return its state as plain JSON values; the bins of the training are not in it."""
        made_here = {} if self.is_of_training or self.bins is None else {"bins": self.bins.dump()}
        reference = {} if self.is_of_training else {"reference": self._reference.tolist(), "first": self._first}
        return {
            **made_here,
            **reference,
            "kind": str(self._kind),
            "seen": self._n_seen,
            "since": self.since,
            "moved": self.is_moved,
            "value": [self.value, self.bound],
            "growing": self._growing.tolist(),
            "blocks": [block.tolist() for block in self._blocks],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave; KeyError, TypeError or ValueError for anything else."""
        if state["kind"] != self._kind or self.is_of_training == ("reference" in state):
            raise ValueError("it is of another column, or of a model without such bins")
        if not self.is_of_training:
            self._use(Bins.load(state["bins"]) if "bins" in state else None)
            self._first = list(state["first"])
            self._reference = np.asarray(state["reference"], dtype=np.int64)
        self._n_seen, self.since, self.is_moved = int(state["seen"]), int(state["since"]), bool(state["moved"])
        self.value, self.bound = (float(value) for value in state["value"])
        self._growing = np.asarray(state["growing"], dtype=np.int64)
        self._blocks = [np.asarray(block, dtype=np.int64) for block in state["blocks"]]
        if {len(counts) for counts in (*self._blocks, self._growing)} - {len(self._reference)}:
            raise ValueError("the bins are not those of the model")
