"""Loops over the values of a column that numpy would need many passes for, compiled by numba.

All of them release the interpreter's lock, so that threads run them side by side, and are kept compiled on disk. They
take plain arrays; `daskflow.data.moments`, `distribution` and `hashing` say what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)

MAGNITUDE = np.int64(2**63 - 1)
INFINITE = np.int64(0x7FF0000000000000)
NEGATIVE_ZERO = np.int64(-(2**63))
"""Bits of a float64 without its sign, those of infinity, and those of -0.0."""

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function, keep it on disk, and let other threads run beside it."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def mix64(value: Any) -> Any:
    """Scramble 64 bits by splitmix64's finaliser."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * FIRST
    value = (value ^ (value >> np.uint64(27))) * SECOND
    return value ^ (value >> np.uint64(31))


@compiled
def mix_all(values: Any, salt: Any, mixed: Any) -> None:
    """Scramble many values under one salt."""
    for place in range(len(values)):
        mixed[place] = mix64(values[place] ^ salt)


@compiled
def bit_of(bits: Any, place: Any) -> Any:
    """Read one bit of a bitmap, place being unsigned."""
    return (bits[place >> np.uint64(3)] >> np.uint8(place & np.uint64(7))) & np.uint8(1)


@compiled
def is_there(bits: Any, place: Any) -> Any:
    """Read Arrow's validity bitmap; an empty one says that every value is there."""
    return len(bits) == 0 or bit_of(bits, np.uint64(place)) != 0


@compiled
def add_integers(values: Any, there: Any, factor: Any, missing: Any, salt: Any, total: Any) -> None:
    """Add the hashes of integers (times a factor, modulo 2**64) to the rows' totals; `there` is empty without gaps."""
    if len(there) == 0:
        for row in range(len(values)):
            total[row] += mix64((np.uint64(values[row]) * factor) ^ salt)
        return
    for row in range(len(values)):
        found = mix64((np.uint64(values[row]) * factor) ^ salt)
        total[row] += found if there[row] != 0 else missing


@compiled
def float_hash(number: Any, fraction: Any) -> Any:
    """Return 64 bits of a float: those of the integer that it is equal to, else its own, set apart."""
    own = mix64(np.float64(number).view(np.uint64) ^ fraction)
    is_whole = (abs(number) < 2.0**63) & (np.trunc(number) == number)
    return np.uint64(np.int64(number if is_whole else 0.0)) if is_whole else own


@compiled
def add_floats(values: Any, there: Any, fraction: Any, missing: Any, salt: Any, total: Any) -> None:
    """Add the hashes of floats to the rows' totals; nan is missing, and what `there` says unless it is empty."""
    if len(there) == 0:
        for row in range(len(values)):
            number = values[row]
            found = mix64(float_hash(number, fraction) ^ salt)
            total[row] += found if number == number else missing
        return
    for row in range(len(values)):
        number = values[row]
        found = mix64(float_hash(number, fraction) ^ salt)
        total[row] += found if (number == number) & (there[row] != 0) else missing


@compiled
def hash_floats(values: Any, fraction: Any, hashes: Any) -> None:
    """Write the hashes of floats."""
    for place in range(len(values)):
        hashes[place] = float_hash(values[place], fraction)


@compiled
def add_codes(codes: Any, there: Any, hashes: Any, missing: Any, total: Any) -> None:
    """Add the hashes of dictionary values, salted already, to the rows' totals."""
    if len(there) == 0:
        for row in range(len(codes)):
            total[row] += hashes[np.uint64(codes[row])]
        return
    for row in range(len(codes)):
        total[row] += hashes[np.uint64(codes[row])] if there[row] != 0 else missing


@compiled
def hash_texts(starts: Any, words: Any, hashes: Any) -> None:
    """Hash UTF-8 texts eight bytes at a time; text i is bytes ``starts[i]`` to ``starts[i + 1]``.

    `words` are the bytes of all texts in 64 bits each, the first byte lowest, and one word more.
    """
    for place in range(len(hashes)):
        begin, end = starts[place], starts[place + 1]
        state = mix64(np.uint64(end - begin))
        while end > begin:
            word, shift = words[begin >> 3], np.uint64(8 * (begin & 7))
            if shift:
                word = (word >> shift) | (words[(begin >> 3) + 1] << (np.uint64(64) - shift))
            if end - begin < 8:
                word &= (np.uint64(1) << np.uint64(8 * (end - begin))) - np.uint64(1)
            state = mix64(state ^ word)
            begin += 8
        hashes[place] = state


@compiled
def is_canonical(raw: Any) -> Any:
    """Whether none of the bits of float64 are those of nan or of a negative zero."""
    found = np.int64(0)
    for bits in raw:
        found |= np.int64((bits & MAGNITUDE) > INFINITE) | np.int64(bits == NEGATIVE_ZERO)
    return found == 0


@compiled
def fits_single(values: Any, bits: Any, offset: int) -> Any:
    """Whether float32 holds every value that is there exactly."""
    for row in range(len(values)):
        number = values[row]
        if number == number and np.float64(np.float32(number)) != number and is_there(bits, row + offset):
            return False
    return True


@compiled
def gather_numbers(values: Any, bits: Any, offset: int, rows: Any, gathered: Any) -> None:
    """Write some rows' values as float64, nan where missing."""
    for place in range(len(rows)):
        row = np.uint64(rows[place])
        gathered[place] = values[row] if is_there(bits, row + np.uint64(offset)) else np.nan


@compiled
def keep_there(values: Any, bits: Any, offset: int, kept: Any) -> Any:
    """Copy the values that are there; return how many."""
    n = 0
    for row in range(len(values)):
        kept[n] = values[row]
        n += is_there(bits, row + offset)
    return n


@compiled
def take_values(values: Any, rows: Any, taken: Any) -> None:
    """Copy the values at some rows."""
    for place in range(len(rows)):
        taken[place] = values[np.uint64(rows[place])]


@compiled
def take_bits(bits: Any, offset: Any, rows: Any, taken: Any) -> None:
    """Copy the bits at some rows into a bitmap, which is written to its last byte; `offset` and rows are unsigned."""
    full = len(rows) >> 3
    for byte in range(full):
        found = np.uint8(0)
        for bit in range(8):
            found |= bit_of(bits, rows[8 * byte + bit] + offset) << np.uint8(bit)
        taken[byte] = found
    for place in range(8 * full, len(rows)):
        if place & 7 == 0:
            taken[full] = np.uint8(0)
        taken[full] |= bit_of(bits, rows[place] + offset) << np.uint8(place & 7)


@compiled
def sort_by_bucket(order: Any, low: Any, shift: Any, most: int, ends: Any, rows: Any) -> Any:
    """Write the rows that sort hashes; False, and nothing of use, where more than `most` share a bucket.

    Parameters
    ----------
    order : ndarray of uint64
        The hashes.
    low, shift : uint64
        Hash h stands in bucket ``(h - low) >> shift``.
    most : int
        In a bucket rows are put in order one by one.
    ends : ndarray of int32
        Zero, one more than there are buckets.
    rows : ndarray of int64
        As many as hashes.
    """
    for value in order:
        ends[((value - low) >> shift) + np.uint64(1)] += np.int32(1)
    reached, fullest = np.int32(0), np.int32(0)
    for bucket in range(len(ends)):
        fullest = max(fullest, ends[bucket])
        reached += ends[bucket]
        ends[bucket] = reached
    if fullest > most:
        return False
    for row in range(len(order)):
        bucket = (order[row] - low) >> shift
        rows[np.uint64(ends[bucket])] = row
        ends[bucket] += np.int32(1)
    for place in range(1, len(rows)):
        row = rows[place]
        value = order[np.uint64(row)]
        before = place - 1
        while before >= 0 and order[np.uint64(rows[before])] > value:
            rows[before + 1] = rows[before]
            before -= 1
        rows[before + 1] = row
    return True


@compiled
def renumber(codes: Any, bits: Any, offset: int, rows: Any, renumbered: Any, used: Any, numbers: Any) -> Any:
    """Write some rows' codes, numbered by first appearance; -1 where missing. Return how many codes there are.

    Parameters
    ----------
    codes : ndarray of int64
        Codes of all rows; `bits` and `offset` are their validity bitmap.
    rows : ndarray of int64
        The rows.
    renumbered : ndarray of int32
        Written: their new codes.
    used : ndarray of int64
        Written: the old code of each new one.
    numbers : ndarray of int32
        As many as old codes, -1.
    """
    n_used = 0
    for place in range(len(rows)):
        row = rows[place]
        if not is_there(bits, row + offset):
            renumbered[place] = -1
            continue
        code = codes[row]
        if numbers[code] < 0:
            numbers[code] = n_used
            used[n_used] = code
            n_used += 1
        renumbered[place] = numbers[code]
    return n_used
