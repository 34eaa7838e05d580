"""Sorting of scores by buckets of their bits: a few visits to each number, where comparing takes many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.kernels import compiled

SPLIT_BITS = 13
"""Into how many buckets (two to this) numbers are dealt at a time."""

SMALL = 2**15
"""A bucket of so many is put in order within the processor's cache."""


def sort_keys(keys: NDArray[Any], spare: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return unsigned integers in rising order, in another array than theirs; theirs is lost.

    They are dealt to buckets by their highest bits that differ, those to buckets by the next bits, and what is left is
    put in order one by one. Takes time by their number for numbers spread over a range, as scores are, and no more
    than comparing takes, by depth, for others.

    Parameters
    ----------
    keys : ndarray of uint32 or uint64
        Overwritten.
    spare : ndarray like `keys`, optional
        Written and returned.
    """
    other = np.empty_like(keys) if spare is None else spare
    if not len(keys):
        return other
    low, high = int(keys.min()), int(keys.max())
    if len(keys) <= SMALL or low == high:
        other[:] = keys
        if low != high:
            other.sort()
        return other
    shift = max(0, (high - low).bit_length() - SPLIT_BITS)
    starts = np.zeros(((high - low) >> shift) + 2, dtype=np.int64)
    kind = keys.dtype.type
    split(keys, kind(low), kind(shift), starts, other)
    buffer = np.empty(SMALL, dtype=keys.dtype)
    is_left = np.zeros(len(starts) - 1, dtype=np.bool_)
    ends = np.empty(SMALL + 1, dtype=np.int32)
    finish(other, kind(low), kind(shift), starts, SMALL, buffer, ends, is_left)
    if shift:
        for bucket in np.flatnonzero(is_left):
            rows = slice(int(starts[bucket]), int(starts[bucket + 1]))
            keys[rows] = other[rows]
            sort_keys(keys[rows], other[rows])
    return other


def sort_scores(scores: NDArray[Any]) -> NDArray[Any]:
    """Return scores in rising order; no nan.

    Examples
    --------
    >>> sort_scores(np.array([0.5, -1.0, np.inf, 0.25, -0.0]))
    array([-1.  ,  0.  ,  0.25,  0.5 ,   inf])
    """
    if len(scores) <= SMALL:
        return np.sort(scores + 0.0)
    whole = np.uint32 if scores.dtype == np.float32 else np.uint64
    keys = np.empty(len(scores), dtype=whole)
    bits = whole(8 * keys.itemsize - 1)
    to_keys(scores.view(whole), bits, keys)
    ordered = sort_keys(keys)
    from_keys(ordered, bits)
    return ordered.view(scores.dtype)


@compiled
def to_keys(raw: Any, sign: Any, keys: Any) -> None:
    """Write the bits of floats so that they rise with the floats; -0.0 becomes 0.0."""
    one = raw.dtype.type(1)
    top = one << sign
    for row in range(len(raw)):
        bits = raw[row]
        if bits == top:
            bits = raw.dtype.type(0)
        keys[row] = ~bits if bits & top else bits | top


@compiled
def from_keys(keys: Any, sign: Any) -> None:
    """Turn `to_keys` round, in place."""
    top = keys.dtype.type(1) << sign
    for row in range(len(keys)):
        bits = keys[row]
        keys[row] = bits & ~top if bits & top else ~bits


@compiled
def split(keys: Any, low: Any, shift: Any, starts: Any, dealt: Any) -> None:
    """Deal numbers to buckets ``(key - low) >> shift``; bucket b gets those from ``starts[b]`` on."""
    for key in keys:
        starts[np.int64((key - low) >> shift) + 1] += 1
    for place in range(1, len(starts)):
        starts[place] += starts[place - 1]
    ends = starts[:-1].copy()
    for key in keys:
        bucket = np.int64((key - low) >> shift)
        dealt[ends[bucket]] = key
        ends[bucket] += 1


@compiled
def finish(keys: Any, low: Any, shift: Any, starts: Any, most: int, buffer: Any, ends: Any, is_left: Any) -> None:
    """Put every bucket of at most so many numbers in order: deal it once more, to more cells than it has numbers.

    Where numbers crowd into few cells, and where there are more, the bucket is marked in `is_left`.
    """
    for bucket in range(len(starts) - 1):
        first, last = starts[bucket], starts[bucket + 1]
        n = last - first
        if n < 2:
            continue
        if n > most:
            is_left[bucket] = True
            continue
        bits: Any = 0
        while (1 << bits) < 4 * n and bits < 15 and bits < np.int64(shift):
            bits += 1
        base = low + (keys.dtype.type(bucket) << shift)
        fine = shift - keys.dtype.type(bits)
        cells = 1 << bits
        ends[: cells + 1] = 0
        for place in range(first, last):
            ends[np.int64((keys[place] - base) >> fine) + 1] += 1
        fullest = np.int32(0)
        for cell in range(1, cells + 1):
            fullest = max(fullest, ends[cell])
            ends[cell] += ends[cell - 1]
        if fullest > 64 and fine > 0:
            is_left[bucket] = True
            continue
        for place in range(first, last):
            key = keys[place]
            own = np.int64((key - base) >> fine)
            buffer[ends[own]] = key
            ends[own] += 1
        before = buffer[0]
        keys[first] = before
        for place in range(1, n):
            key = buffer[place]
            if key >= before:
                keys[first + place] = key
                before = key
                continue
            behind: Any = first + place - 1
            while behind >= first and keys[behind] > key:
                keys[behind + 1] = keys[behind]
                behind -= 1
            keys[behind + 1] = key
