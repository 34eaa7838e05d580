"""LevelTally: how many rows each level of a column has, by inner part and class, or with sums of the target.

A level is kept as 61 bits of its hash, never as itself: two of a million levels are taken for one with a probability of
2e-7. What a level costs is a key of 8 bytes for each inner part that it occurs in, and

* 1 to 4 bytes for each class (a classification),
* 1 to 4 bytes and 24 for the sum of the target, or 48 with the sum of its squares (a regression),
* 1 to 4 bytes (without a target, where there are no inner parts).

A state has at most 2**20 levels (2**17 for a regression), and neither it nor the encodings made of it exceed 32 MiB:
for a binary target that is 420,000 levels if all occur in every inner part, for a regression 110,000. Of a column that
has more, all levels are put into buckets by the leading bits of their hash (262,144 for a binary target, 32,768 or
65,536 for a regression). Whether that happens depends on what all rows together hold, not on the order or the pieces
they came in: a state only grows, and what a bucket counts is the sum over its levels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data import adding, arrays
from daskflow.data.arrays import Level, Levels
from daskflow.data.hashing import Hashes, canonical, mix, salt_of
from daskflow.data.narrowing import places_in_order
from daskflow.data.tallies import INNER_PARTS, Rows, TargetRows
from daskflow.preprocess.group_sums import GroupSums

MOST_BYTES, MOST_LEVELS = 1 << 25, 1 << 20

LEVEL_BITS, PART_BITS = 61, 3
SALT = salt_of("level")
MISSING = np.uint64(2**LEVEL_BITS - 1)
"""What stands for a missing value, which is a level of its own and never shares a bucket."""

LARGEST_SQUARED = 1e150

Places = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""For each inner part the places of its levels among all, and its entries."""


@dataclass(frozen=True, slots=True)
class LevelTally:
    """Counts the rows of each level.

    Attributes
    ----------
    of_target : bool
        Whether rows are counted by inner part and class, and a regression's target added up.
    squares : bool
        Whether a regression's squared targets are added up too.
    """

    of_target: bool = False
    squares: bool = False

    @property
    def by_part(self) -> bool:
        """Counts of the target are kept apart by inner part."""
        return self.of_target

    def nothing(self) -> LevelCounts:
        """Return the state of no rows."""
        return LevelCounts(np.empty(0, dtype=np.uint64), np.empty((0, 1), dtype=np.uint8))

    def of(self, column: pa.Array, rows: Rows) -> LevelCounts:
        """Count some rows.

        Raises
        ------
        DataError
            For a regression's target whose squares float64 does not hold.
        """
        return self.of_segments(column, rows, np.arange(len(column)), [0, len(column)])[0]

    def of_segments(
        self, column: pa.Array, rows: Rows, order: NDArray[np.int64], edges: Sequence[int]
    ) -> Sequence[LevelCounts]:
        """Count the rows of each segment; levels are hashed once for all."""
        codes, ids = coded(column)
        target = rows.target if self.of_target else None
        if self.of_target and target is None:
            raise DataError("A step that learns from the target, such as 'target', needs one; there is none.")
        found = []
        for start, stop in itertools.pairwise(edges):
            chosen = order[start:stop]
            parts = rows.parts[chosen] if self.of_target else np.zeros(len(chosen), dtype=np.uint8)
            found.append(self._counted(codes[chosen], ids, parts, None if target is None else target.take(chosen)))
        return found

    def _counted(
        self, codes: NDArray[np.int64], ids: Hashes, parts: NDArray[np.uint8], target: TargetRows | None
    ) -> LevelCounts:
        """Count rows by their codes."""
        keys, entries = _entries(codes, ids, parts)
        if target is None or target.codes is None:
            counts = np.bincount(entries, minlength=len(keys))[:, None]
        else:
            n_classes = max(1, len(target.classes))
            counts = np.bincount(entries * n_classes + target.codes, minlength=len(keys) * n_classes)
            counts = counts.reshape(-1, n_classes)
        sums = None
        if target is not None and target.codes is None:
            sums = self._sums(target.values, entries, len(keys))
        classes = () if target is None else target.classes
        return LevelCounts(keys, narrowest(counts), sums, classes=classes)._capped(self)

    def _sums(self, values: NDArray[np.float64], entries: NDArray[np.int64], n_entries: int) -> tuple[GroupSums, ...]:
        """Sums of a regression's target, and of its squares if wanted."""
        sums = (GroupSums.of(values, entries, n_entries),)
        if not self.squares:
            return sums
        if len(values) and np.abs(values).max() > LARGEST_SQUARED:
            raise DataError(
                f"The target reaches {np.abs(values).max():.3g}, whose square float64 does not hold. Scale it with "
                f"derive, or give 'target' a number for smooth."
            )
        return (*sums, GroupSums.of(np.square(values), entries, n_entries))

    def merge(self, left: LevelCounts, right: LevelCounts) -> LevelCounts:
        """Add two states."""
        if not len(left.keys) or not len(right.keys):
            return left if len(left.keys) else right
        bits = min(left.bits, right.bits)
        left, right = left.in_buckets(bits), right.in_buckets(bits)
        keys = np.empty(len(left.keys) + len(right.keys), dtype=np.uint64)
        counts = np.empty((len(keys), left.counts.shape[1]), dtype=np.int64)
        n = adding.merge_tables(left.keys, wide(left.counts), right.keys, wide(right.counts), keys, counts)
        sums = None
        if left.sums is not None and right.sums is not None:
            order, starts, _ = _together(np.concatenate([left.keys, right.keys]))
            sums = tuple(a.joined(b, order, starts) for a, b in zip(left.sums, right.sums, strict=True))
        return LevelCounts(keys[:n].copy(), narrowest(counts[:n]), sums, bits, left.classes)._capped(self)


@dataclass(frozen=True, slots=True, eq=False)
class LevelCounts:
    """Rows of each level and inner part.

    Attributes
    ----------
    keys : ndarray of uint64, shape (n_entries,)
        Ascending: a level's id, shifted by three bits, and the inner part 0 to 4.
    counts : ndarray of unsigned integers, shape (n_entries, n_classes)
        Rows, in the narrowest type that holds them; one class without a target or for a regression.
    sums : tuple of GroupSums, or None
        Of a regression's target, and of its squares where they were asked for.
    bits : int
        Bits that an id has: 61, or fewer when levels share buckets.
    classes : tuple
        Labels of the classes; empty without a target and for a regression.
    """

    keys: Hashes
    counts: NDArray[Any]
    sums: tuple[GroupSums, ...] | None = None
    bits: int = LEVEL_BITS
    classes: tuple[Any, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.keys.nbytes + self.counts.nbytes + sum(part.nbytes for part in self.sums or ())

    @property
    def ids(self) -> Hashes:
        """Ids of the levels, ascending, each once."""
        ids = self.keys >> np.uint64(PART_BITS)  # ascending, as the keys are
        return np.asarray(ids[np.append(True, ids[1:] != ids[:-1])[: len(ids)]])

    @property
    def is_hashed(self) -> bool:
        """Whether levels share buckets."""
        return self.bits < LEVEL_BITS

    def in_buckets(self, bits: int) -> LevelCounts:
        """Return the counts of levels whose ids have at most so many bits."""
        if bits >= self.bits:
            return self
        ids, parts = self.keys >> np.uint64(PART_BITS), self.keys & np.uint64(2**PART_BITS - 1)
        return self._with_keys((_shortened(ids, self.bits - bits) << np.uint64(PART_BITS)) | parts, bits)

    def grouped(self, levels: list[Level], name: Level) -> LevelCounts:
        """Return the counts after these levels became one, called `name`."""
        if self.is_hashed or not levels:
            return self
        ids, parts = self.keys >> np.uint64(PART_BITS), self.keys & np.uint64(2**PART_BITS - 1)
        is_rare = np.isin(ids, ids_of(levels))
        ids = np.where(is_rare, ids_of([name])[0], ids)
        return self._with_keys((ids << np.uint64(PART_BITS)) | parts, self.bits)

    def by_part(self, ids: Hashes) -> Places:
        """Return for each inner part the places in `ids` of its levels, and their entries."""
        levels, parts = np.searchsorted(ids, self.keys >> np.uint64(PART_BITS)), self.keys & np.uint64(2**PART_BITS - 1)
        entries = [np.flatnonzero(parts == part) for part in range(INNER_PARTS)]
        return [(levels[mine], mine) for mine in entries]

    def _with_keys(self, keys: Hashes, bits: int) -> LevelCounts:
        """The same with other keys; entries of equal ones are added up."""
        order, starts, keys = _together(keys)
        sums = None if self.sums is None else tuple(part.regrouped(order, starts) for part in self.sums)
        return LevelCounts(keys, _added(self.counts, order, starts), sums, bits, self.classes)

    def _capped(self, tally: LevelTally) -> LevelCounts:
        """Put levels into buckets when they, or their encodings, take too many bytes."""
        if self.is_hashed:
            return self
        n_classes, n_sums = self.counts.shape[1], len(self.sums or ())
        most = min(
            MOST_LEVELS >> (3 if n_sums else 0), MOST_BYTES // _encoded_bytes(n_classes, by_part=tally.of_target)
        )
        if self.nbytes <= MOST_BYTES and (len(self.keys) <= most or len(self.ids) <= most):
            return self
        return self.in_buckets(bucket_bits(n_classes, n_sums, by_part=tally.of_target))


def bucket_bits(n_classes: int, n_sums: int, *, by_part: bool) -> int:
    """Return by how many bits levels are put into buckets, so that a full state and its encodings fit.

    Examples
    --------
    >>> bucket_bits(2, 0, by_part=True)
    18
    """
    counted = (8 + 4 * n_classes + 24 * n_sums) * (INNER_PARTS if by_part else 1)
    most = MOST_BYTES // max(counted, _encoded_bytes(n_classes, by_part=by_part))
    return min(most // (2 if n_sums else 1), MOST_LEVELS).bit_length() - 1


def _encoded_bytes(n_classes: int, *, by_part: bool) -> int:
    """Bytes of a level's encodings: float32 for new rows and for those of each part; one class of two is enough."""
    return 4 * (INNER_PARTS + 1) * (n_classes if n_classes > 2 else 1) if by_part else 8


def coded(column: pa.Array) -> tuple[NDArray[np.int64], Hashes]:
    """Return each row's code, and the ids that the codes mean; a missing value has the last."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.int64), np.array([MISSING])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    hashes, missing = canonical(column.dictionary, "levels")
    ids = np.append(np.where(missing, MISSING, _ids(hashes)), MISSING)
    codes = column.indices.cast(pa.int64()).fill_null(len(ids) - 1)
    return np.asarray(codes.to_numpy(zero_copy_only=False)), ids


def coded_values(values: pa.Array | NDArray[np.float64] | Levels | None) -> tuple[NDArray[np.int64], Hashes]:
    """Return `coded` of what a step meets in its chain."""
    if isinstance(values, Levels):
        codes = np.where(values.codes == arrays.MISSING, len(values.values), values.codes)
        return codes, np.append(ids_of(values.values), MISSING)
    return coded(pa.array(values, from_pandas=True) if isinstance(values, np.ndarray) else values)


def ids_of(levels: list[Level]) -> Hashes:
    """Return the ids of levels; 5 and 5.0 have the same."""
    found = np.empty(len(levels), dtype=np.uint64)
    kinds = {
        pa.string(): [place for place, level in enumerate(levels) if isinstance(level, str)],
        pa.int64(): [place for place, level in enumerate(levels) if not isinstance(level, str) and _is_int64(level)],
        pa.float64(): [
            place for place, level in enumerate(levels) if not isinstance(level, str) and not _is_int64(level)
        ],
    }
    for arrow_type, places in kinds.items():
        if places:
            chosen = [levels[place] if arrow_type == pa.string() else _number(levels[place]) for place in places]
            found[places] = _ids(canonical(pa.array(chosen, arrow_type), "levels")[0])
    return found


def places_of(ids: Hashes, known: Hashes, bits: int) -> NDArray[np.int64]:
    """Return where ids of 61 bits stand among known ones of `bits`; ``len(known)`` where they do not."""
    wanted = _shortened(ids, LEVEL_BITS - bits)
    places = np.searchsorted(known, wanted)
    inside = np.append(known, np.uint64(0))[places] == wanted
    return np.where(inside & (places < len(known)), places, len(known))


def hashed_sentence(name: str, counted: LevelCounts) -> str:
    """Say that levels share buckets."""
    return (
        f"Column '{name}' has so many levels that they are hashed into {2**counted.bits:,} buckets, which several of "
        f"them may share."
    )


@cache
def own_hashing() -> int:
    """Return a number that tells whether levels are hashed as they were at another time."""
    return int(ids_of(["daskflow", "größe und zahl", 7, 0.5]).sum() & np.uint64(2**32 - 1))


def check_hashing(hashing: int) -> None:
    """Raise DataError when levels were hashed otherwise in training, so that none would be known."""
    if hashing != own_hashing():
        raise DataError(
            "The levels of this preprocessing were hashed by another version of daskflow. Load it with that version, "
            "or train again."
        )


def narrowest(counts: NDArray[Any]) -> NDArray[Any]:
    """Return counts in the narrowest unsigned type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))), copy=False)


def wide(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return counts as int64."""
    return counts.astype(np.int64)


def _ids(hashes: Hashes) -> Hashes:
    """Scramble hashes (those of integers are the integers) into ids."""
    return np.asarray(np.minimum(mix(hashes, SALT) >> np.uint64(64 - LEVEL_BITS), MISSING - np.uint64(1)))


def _shortened(ids: Hashes, dropped: int) -> Hashes:
    """Leave the last bits of ids off, but for a missing value's."""
    return np.asarray(np.where(ids == MISSING, MISSING, ids >> np.uint64(dropped))) if dropped else ids


def _added(counts: NDArray[Any], order: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Add those that stand together after sorting, in no wider a type than their total needs."""
    if not len(starts):
        return counts
    dtype = np.min_scalar_type(int(counts.sum(axis=0, dtype=np.int64).max()))
    return narrowest(np.add.reduceat(counts[order], starts, axis=0, dtype=dtype))


def _entries(codes: NDArray[np.int64], ids: Hashes, parts: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the distinct keys of rows, ascending, and the place of each row's."""
    cells = codes * INNER_PARTS + parts
    seen = np.zeros(len(ids) * INNER_PARTS, dtype=np.bool_)
    seen[cells] = True
    used = np.flatnonzero(seen)
    keys = (ids[used // INNER_PARTS] << np.uint64(PART_BITS)) | (used % INNER_PARTS).astype(np.uint64)
    order, starts, distinct = _together(keys, places_in_order(keys))  # ids are hashes
    rank = np.zeros(len(keys), dtype=np.int64)
    rank[starts[1:]] = 1  # a dictionary may hold a value twice
    place = np.empty(len(seen), dtype=np.int64)
    place[used[order]] = np.cumsum(rank)
    return distinct, place[cells]


def _together(
    keys: Hashes, order: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Hashes]:
    """Return the order that sorts keys, where each distinct one begins in it, and the distinct ones."""
    if order is None:
        order = np.argsort(keys, kind="stable")  # merges what is two ascending runs, four times as fast
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else order
    return order, starts, ordered[starts]


def _is_int64(level: Level) -> bool:
    return isinstance(level, int) and -(2**63) <= level < 2**63


def _number(level: Level) -> int | float:
    """A boolean as 0 or 1."""
    return float(level) if isinstance(level, float) or not _is_int64(level) else int(level)
