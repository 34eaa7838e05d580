"""Scores of rows as the ranking metrics need them: all of them up to a number of rows, a histogram beyond it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.bins import add_score_bins, n_score_bins
from daskflow.metrics.bootstrap import SHIFT, Places

Floats = NDArray[np.float64]

MOST_SCORES = 2**25
"""Scores (rows, times classes where there are more than two) up to which ranking metrics are exact."""

PENDING_ROWS = 2**20
"""Rows that wait to be counted in a histogram."""

LEAST_POWER, POWERS = -40, 64
"""A histogram tells magnitudes from 2**-40 on apart, over 64 powers of two."""

FINEST = 12
"""Bits of a score's fraction that the histogram of two classes tells apart; of more classes fewer, for its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of a block, ordered by their class.

    Attributes
    ----------
    starts : ndarray of int64, shape (n_classes + 1,)
        Rows of class c stand from ``starts[c]`` to ``starts[c + 1]``.
    scores : ndarray of float32 or float64, shape (n_rows,) or (n_rows, n_classes)
        float32 where that holds them exactly. Or, in any order, packed probabilities: uint32 or uint64, twice the bits
        of a row's probability, and one for class 1.
    place : ndarray of uint32, or None
        Each row's place among the units; None without resampling.
    weight : ndarray of float64, or None
        None for weights of 1.
    """

    starts: NDArray[np.int64]
    scores: NDArray[Any]
    place: Places | None = None
    weight: Floats | None = None

    @property
    def is_packed(self) -> bool:
        """Whether probability and class stand in one number."""
        return self.scores.dtype.kind == "u"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Scores of the rows of a class, or of the rest, in any order, with their places and weights."""

    scores: NDArray[Any]
    place: Places | None
    weight: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of all rows seen.

    Attributes
    ----------
    n_classes : int
        Of the target.
    blocks : tuple of Block
        All rows; beyond `most` scores those of a share of the units, chosen by their hash.
    n_rows : int
        Rows seen, those that are no longer held included.
    level : int
        A share of 2**-level of the units is held.
    bins : ndarray of shape (n_rankings, 2, n_bins), or None
        Beyond `most` scores the weight of the rest, and of each class, by bins of the score; None before the first
        rows were counted.
    most : int
        Scores that are held.
    pending : tuple of Block
        Beyond `most` scores rows that are not counted in `bins` yet: counting many at a time costs less.
    """

    n_classes: int
    blocks: tuple[Block, ...] = ()
    n_rows: int = 0
    level: int = 0
    bins: Floats | None = None
    most: int = MOST_SCORES
    pending: tuple[Block, ...] = ()

    @property
    def n_rankings(self) -> int:
        """One for two classes, else one for each."""
        return 1 if self.n_classes <= 2 else self.n_classes

    @property
    def n_held(self) -> int:
        """Rows that are held."""
        return sum(len(block.scores) for block in self.blocks)

    def with_rows(self, codes: Any, scores: Any, place: Places | None, weight: Floats | None) -> Scores:
        """Add the rows of a block.

        Parameters
        ----------
        codes : ndarray of int, shape (n_rows,)
            Class codes.
        scores : ndarray of shape (n_rows,) or (n_rows, n_classes)
            No nan.
        place, weight : ndarray or None
            See `Block`.
        """
        block = _block(self.n_classes, codes, scores, place, weight)
        return self.merged(self._fresh(block))

    def with_packed(self, keys: NDArray[Any], n_positive: int) -> Scores:
        """Add rows of two classes, without places and weights, as packed probabilities."""
        block = Block(np.array([0, len(keys) - n_positive, len(keys)]), keys)
        return self.merged(self._fresh(block))

    def packed(self) -> tuple[NDArray[Any], int] | None:
        """Return all rows as packed probabilities, and how many are of class 1; None when they are not all held so."""
        if self.is_over or not self.blocks or not all(block.is_packed for block in self.blocks):
            return None
        is_wide = any(block.scores.dtype == np.uint64 for block in self.blocks)
        parts = [_widened(block.scores) if is_wide else block.scores for block in self.blocks]
        return np.concatenate(parts), sum(int(block.starts[2] - block.starts[1]) for block in self.blocks)

    def _fresh(self, block: Block) -> Scores:
        """The scores of one block, all of them held for now."""
        n_rows = len(block.scores)
        pending = (block,) if n_rows * self.n_rankings > self.most else ()
        return Scores(self.n_classes, (block,), n_rows, most=self.most, pending=pending)

    def merged(self, *others: Scores) -> Scores:
        """Put the rows of all side by side; beyond `most` scores add histograms, and hold fewer units."""
        every = (self, *others)
        n_rows = sum(each.n_rows for each in every)
        level = max(each.level for each in every)
        if n_rows * self.n_rankings <= self.most:
            blocks = tuple(block for each in every for block in each.blocks)
            return Scores(self.n_classes, blocks, n_rows, level, most=self.most)
        known = [each.bins for each in every if each.bins is not None]
        pending = tuple(block for each in every for block in (each.pending if each.is_over else each.blocks))
        if sum(len(block.scores) for block in pending) >= PENDING_ROWS:
            known, pending = [*known, self._histogram(pending)], ()
        bins = None if not known else known[0] if len(known) == 1 else np.sum(known, axis=0)
        if any(block.place is None for each in every for block in each.blocks):
            return Scores(self.n_classes, (), n_rows, level, bins, self.most, pending)
        blocks = tuple(
            block for each in every for block in (each.blocks if each.level == level else _chosen(each.blocks, level))
        )
        while sum(len(block.scores) for block in blocks) * self.n_rankings > self.most and level < SHIFT:
            level += 1
            blocks = _chosen(blocks, level)
        return Scores(self.n_classes, blocks, n_rows, level, bins, self.most, pending)

    @property
    def is_over(self) -> bool:
        """Whether there were more scores than are held."""
        return self.n_rows * self.n_rankings > self.most

    def all_bins(self) -> Floats:
        """Return the weight of the rest, and of each class, by bins of the score, shape (n_rankings, 2, n_bins)."""
        found = self._histogram(self.pending if self.is_over else self.blocks)
        return found if self.bins is None else found + self.bins

    def _histogram(self, blocks: Sequence[Block]) -> Floats:
        """Sum the weights of the rows of some blocks by bins."""
        found = np.zeros((self.n_rankings, 2, n_score_bins(self.bits, POWERS, LEAST_POWER)))
        for block in blocks:
            for ranking in range(self.n_rankings):
                for side, part in enumerate(_sides((block,), 1 if self.n_classes <= 2 else ranking)):
                    weight = np.empty(0) if part.weight is None else part.weight
                    add_score_bins(part.scores, weight, self.bits, POWERS, LEAST_POWER, found[ranking, side])
        return found

    @property
    def bits(self) -> int:
        """Bits of the fraction that the histogram tells apart."""
        return max(4, FINEST - math.ceil(math.log2(self.n_rankings)))

    def sides(self, ranking: int) -> tuple[Side, Side]:
        """Return the rows of the rest, and those of the class, that are held: class 1 of two, else class `ranking`."""
        return _sides(self.blocks, 1 if self.n_classes <= 2 else ranking)


def _sides(blocks: Sequence[Block], code: int) -> tuple[Side, Side]:
    """The rows of the rest, and those of a class."""
    rest: list[Side] = []
    own: list[Side] = []
    for block in blocks:
        if block.is_packed:
            negative, positive = unpacked(block.scores)
            own.append(Side(positive, None, None))
            rest.append(Side(negative, None, None))
            continue
        first, last = int(block.starts[code]), int(block.starts[code + 1])
        own.append(_part(block, slice(first, last), code))
        rest += [_part(block, slice(0, first), code), _part(block, slice(last, None), code)]
    return _joined(rest), _joined(own)


def _block(n_classes: int, codes: Any, scores: Any, place: Places | None, weight: Floats | None) -> Block:
    """Order rows by class."""
    counts = np.bincount(codes, minlength=n_classes)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if n_classes <= 2:
        is_positive = codes == 1
        order = np.concatenate([np.flatnonzero(~is_positive), np.flatnonzero(is_positive)])
    else:
        order = np.argsort(codes, kind="stable")
    if scores.ndim == 2 and scores.shape[1] <= 2:
        scores = scores[:, -1]
    taken = scores[order]
    if taken.dtype != np.float32:
        with np.errstate(over="ignore"):
            single = taken.astype(np.float32)
        taken = single if np.array_equal(single, taken) else taken.astype(np.float64, copy=False)
    return Block(starts, taken, None if place is None else place[order], None if weight is None else weight[order])


def _chosen(blocks: Sequence[Block], level: int) -> tuple[Block, ...]:
    """Keep the rows of a share of 2**-level of the units."""
    bound = np.uint32((1 << SHIFT) >> level)
    found = []
    for block in blocks:
        if block.place is None:
            raise ValueError("these rows were not placed for resampling")
        kept = (block.place & np.uint32((1 << SHIFT) - 1)) < bound
        if kept.any():
            starts = np.concatenate([[0], np.cumsum(kept)])[block.starts]
            weight = None if block.weight is None else block.weight[kept]
            found.append(Block(starts, block.scores[kept], block.place[kept], weight))
    return tuple(found)


def _widened(keys: NDArray[Any]) -> NDArray[Any]:
    """Packed float32 as packed float64."""
    if keys.dtype == np.uint64:
        return keys
    wide = (keys >> np.uint32(1)).view(np.float32).astype(np.float64)
    return (wide.view(np.uint64) << np.uint64(1)) | (keys & np.uint32(1))


def unpacked(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scores of rows of class 0, and those of class 1, in the order of the keys."""
    one = keys.dtype.type(1)
    is_positive = (keys & one).astype(bool)
    scores = (keys >> one).view(np.float32 if keys.dtype == np.uint32 else np.float64)
    return scores[~is_positive], scores[is_positive]


def _part(block: Block, rows: slice, code: int) -> Side:
    scores = block.scores[rows] if block.scores.ndim == 1 else block.scores[rows, code]
    return Side(
        scores,
        None if block.place is None else block.place[rows],
        None if block.weight is None else block.weight[rows],
    )


def _joined(parts: Sequence[Side]) -> Side:
    """Put rows behind each other."""
    if not parts:
        return Side(np.empty(0), np.empty(0, dtype=np.uint32), None)
    has_weight = any(part.weight is not None for part in parts)
    has_place = all(part.place is not None for part in parts)
    return Side(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.place for part in parts if part.place is not None]) if has_place else None,
        np.concatenate([np.ones(len(p.scores)) if p.weight is None else p.weight for p in parts])
        if has_weight
        else None,
    )
