"""Loops that add up the values of a column exactly, and count them, compiled by numba; see `daskflow.data.kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskflow.data.kernels import INFINITE, MAGNITUDE, compiled, float_hash, is_there, mix64

SIGN = np.uint64(1 << 63)
FRACTION_BITS = np.uint64((1 << 52) - 1)
HIDDEN_BIT = np.uint64(1 << 52)
LOW_HALF = np.uint64((1 << 27) - 1)
LIMB = np.uint64(0xFFFFFFFF)

SUM_LIMBS, SQUARE_LIMBS = 70, 138
"""Digits of 32 bits that hold any sum of float64 (2**-1074 to 2**1024), and any sum of their squares."""

CHUNK = 512
"""Values between two carries: 512 products of 54 bits fit into 63."""

ROUNDER, ROUNDER_BITS, DIGIT = 1.5 * 2.0**52, np.int64(0x4338000000000000), 2.0**26
"""Added to a number below 2**51 it leaves the nearest whole one in the last bits."""


@compiled
def add_digits(limbs: Any, position: Any, amount: Any, is_negative: Any) -> None:
    """Add amount * 2**position to a sum kept in digits of 32 bits."""
    limb = position >> 5
    shift = np.uint64(position & 31)
    low = (amount & LIMB) << shift
    high = ((amount >> np.uint64(32)) << shift) + (low >> np.uint64(32))
    if is_negative:
        limbs[limb] -= np.int64(low & LIMB)
        limbs[limb + 1] -= np.int64(high & LIMB)
        limbs[limb + 2] -= np.int64(high >> np.uint64(32))
    else:
        limbs[limb] += np.int64(low & LIMB)
        limbs[limb + 1] += np.int64(high & LIMB)
        limbs[limb + 2] += np.int64(high >> np.uint64(32))


@compiled
def outline(raw: Any, counts: Any, ends: Any) -> Any:
    """Count nan and infinities among the bits of float64, widen the ends, return the largest finite magnitude.

    `ends` are the smallest and largest finite value as integers that sort like them. Without branches, so that several
    values are looked at at a time.
    """
    n_nan, n_infinite, top = np.int64(0), np.int64(0), np.int64(0)
    low, high = ends[0], ends[1]
    for place in range(len(raw)):
        bits = raw[place]
        size = bits & MAGNITUDE
        n_nan += np.int64(size > INFINITE)
        n_infinite += np.int64(size == INFINITE)
        is_finite = size < INFINITE
        ordered = bits ^ ((bits >> 63) & MAGNITUDE)
        top = max(top, size if is_finite else np.int64(0))
        low = min(low, ordered if is_finite else MAGNITUDE)
        high = max(high, ordered if is_finite else -MAGNITUDE)
    counts[0] += n_nan
    counts[1] += n_infinite
    ends[0], ends[1] = low, high
    return top


@compiled
def add_aligned(values: Any, top: Any, sums: Any, squares: Any) -> Any:
    """Add values and their squares as multiples of 78 bits below the largest; False, and nothing added, if not exact.

    Each value is cut into three digits of 26 bits, whose sums and products 64 bits hold. Nearly always that is all of
    it: what lies 2**25 below the largest may have more.
    """
    exponent = (top >> 52) - 1022  # every value is below 2**exponent
    if exponent < -900 or exponent > 1000:
        return False
    scale = np.ldexp(1.0, 26 - exponent)
    first, second, third = np.int64(0), np.int64(0), np.int64(0)
    aa, ab, bb, bc, cc = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    lost = np.int64(0)
    for place in range(len(values)):
        number = values[place]
        number = number if abs(number) < np.inf else 0.0
        scaled = number * scale
        shifted = scaled + ROUNDER
        a = np.int64(np.int32(np.float64(shifted).view(np.int64) - ROUNDER_BITS))
        rest = (scaled - (shifted - ROUNDER)) * DIGIT
        shifted = rest + ROUNDER
        b = np.int64(np.int32(np.float64(shifted).view(np.int64) - ROUNDER_BITS))
        rest = (rest - (shifted - ROUNDER)) * DIGIT
        shifted = rest + ROUNDER
        c = np.int64(np.int32(np.float64(shifted).view(np.int64) - ROUNDER_BITS))
        lost |= np.int64(rest != shifted - ROUNDER) | np.int64((scaled == 0.0) != (number == 0.0))
        first += a
        second += b
        third += c
        aa += a * a
        ab += a * b
        bb += b * b + 2 * a * c
        bc += b * c
        cc += c * c
    if lost != 0:
        return False
    position = exponent - 78 + 1074
    for digit, total in enumerate((third, second, first)):
        add_digits(sums, position + 26 * digit, np.uint64(abs(total)), total < 0)
    for digit, total in enumerate((cc, 2 * bc, bb, 2 * ab, aa)):
        add_digits(squares, 2 * position + 26 * digit, np.uint64(abs(total)), total < 0)
    return True


@compiled
def add_by_exponent(values: Any, sums: Any, squares: Any, by_exponent: Any) -> None:
    """Add up to 512 finite values and their squares, whatever their exponents; `by_exponent` is zero, and left so."""
    first: Any = 2047
    last: Any = 0
    for number in values:
        bits = np.float64(number).view(np.uint64)
        exponent: Any = np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF))
        if exponent == 0x7FF:
            continue
        fraction = bits & FRACTION_BITS
        if exponent == 0:
            exponent = 1
        else:
            fraction |= HIDDEN_BIT
        first, last = min(first, exponent), max(last, exponent)
        front, back = np.int64(fraction >> np.uint64(27)), np.int64(fraction & LOW_HALF)
        by_exponent[0, exponent] += -np.int64(fraction) if bits & SIGN else np.int64(fraction)
        by_exponent[1, exponent] += front * front
        by_exponent[2, exponent] += front * back
        by_exponent[3, exponent] += back * back
    for exponent in range(first, last + 1):
        total = by_exponent[0, exponent]
        position = exponent - 1
        if total != 0:
            add_digits(sums, position, np.uint64(abs(total)), total < 0)
        add_digits(squares, 2 * position + 54, np.uint64(by_exponent[1, exponent]), False)
        add_digits(squares, 2 * position + 28, np.uint64(by_exponent[2, exponent]), False)
        add_digits(squares, 2 * position, np.uint64(by_exponent[3, exponent]), False)
        by_exponent[:, exponent] = 0


@compiled
def add_up(values: Any, sums: Any, squares: Any, counts: Any, ends: Any) -> None:
    """Add finite values and their squares without rounding; count nan and infinities; find the extremes.

    Values are first added up in 64 bits, and every 512 values carried into wide sums.

    Parameters
    ----------
    values : ndarray of float64
        The numbers.
    sums, squares : ndarray of int64, of 70 and 138 places
        Digits of 32 bits, in units of 2**-1074 and 2**-2148.
    counts : ndarray of int64, shape (2,)
        Of nan, and of infinities.
    ends : ndarray of int64, shape (2,)
        Smallest and largest, as integers that sort like them.
    """
    raw = values.view(np.int64)
    by_exponent = np.zeros((4, 2048), dtype=np.int64)
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        top = outline(raw[start : start + CHUNK], counts, ends)
        if top != 0 and not add_aligned(chunk, top, sums, squares):
            add_by_exponent(chunk, sums, squares, by_exponent)


@compiled
def count_keys(values: Any, dropped: Any, most: Any, keys: Any, counts: Any) -> Any:
    """Count finite values by their leading bits in an open-addressing table; stop above `most` distinct ones.

    Parameters
    ----------
    values : ndarray of float64
        The numbers.
    dropped : int64
        Bits that are left off at the end of a value: 0 counts the values themselves.
    most : int
        Distinct keys up to which it counts.
    keys : ndarray of int64
        The table, of a power of two places, more than `most`; keys sort like the numbers.
    counts : ndarray of int64
        Zero, as many.

    Returns
    -------
    n_keys : int
        Distinct keys; -1 when there are more than `most`.
    """
    mask = np.uint64(len(keys) - 1)
    n_keys = 0
    for number in values:
        if not np.isfinite(number):
            continue
        bits = np.float64(number + 0.0).view(np.int64)
        if bits < 0:
            bits = bits ^ np.int64(0x7FFFFFFFFFFFFFFF)
        key = bits >> dropped
        place = np.int64(mix64(np.uint64(key)) & mask)
        while counts[place] != 0 and keys[place] != key:
            place = np.int64(np.uint64(place + 1) & mask)
        if counts[place] == 0:
            if n_keys == most:
                return -1
            keys[place] = key
            n_keys += 1
        counts[place] += 1
    return n_keys


@compiled
def largest(raw: Any) -> Any:
    """Return the largest magnitude among the bits of float64, those of infinity and nan left out."""
    top = np.int64(0)
    for place in range(len(raw)):
        size = raw[place] & MAGNITUDE
        top = max(top, size if size < INFINITE else np.int64(0))
    return top


@compiled
def count_codes(codes: Any, there: Any, order: Any, edges: Any, counts: Any) -> None:
    """Count codes in each part of the rows; in the last place of a part, those that are not there.

    Parameters
    ----------
    codes : ndarray of integers
        Of all rows.
    there : ndarray of uint8
        Whether a row has a code; empty where all have.
    order : ndarray of uint64
        Rows; part k is ``order[edges[k]:edges[k + 1]]``.
    edges : ndarray of int64
        One more than there are parts.
    counts : ndarray of int64, shape (n_parts, n_codes + 1)
        Added to.
    """
    missing = np.int64(counts.shape[1] - 1)
    for part in range(len(counts)):
        own = counts[part]
        for place in range(edges[part], edges[part + 1]):
            row = order[place]
            is_there = len(there) == 0 or there[row] != 0
            own[np.uint64(np.int64(codes[row]) if is_there else missing)] += 1


@compiled
def count_bins(raw: Any, dropped: Any, first: Any, counts: Any, rest: Any) -> Any:
    """Count finite values by their leading bits in a table that these are places of; hand back those too small for it.

    Parameters
    ----------
    raw : ndarray of int64
        Bits of float64.
    dropped : int64
        Bits that are left off at the end.
    first : int64
        Leading bits of the magnitudes that are counted at place 0; the largest has a place too.
    counts : ndarray of int32, shape (2, n)
        Zero; of positive and of negative values.
    rest : ndarray of int64
        As many as values: takes the bits of those below the table.

    Returns
    -------
    n_rest : int
        How many those are.
    """
    n_rest = 0
    for bits in raw:
        size = bits & MAGNITUDE
        place = (size >> dropped) - first
        if place < 0:
            rest[n_rest] = bits
            n_rest += 1
        elif size < INFINITE:
            counts[1 if bits < 0 else 0, np.uint64(place)] += 1
    return n_rest


@compiled
def merge_counts(left: Any, left_counts: Any, right: Any, right_counts: Any, points: Any, counts: Any) -> Any:
    """Merge two increasing lists of points, adding the counts of equal ones; return how many points there are."""
    i = j = n = 0
    while i < len(left) or j < len(right):
        if j == len(right) or (i < len(left) and left[i] < right[j]):
            points[n], counts[n] = left[i], left_counts[i]
            i += 1
        elif i == len(left) or right[j] < left[i]:
            points[n], counts[n] = right[j], right_counts[j]
            j += 1
        else:
            points[n], counts[n] = left[i], left_counts[i] + right_counts[j]
            i += 1
            j += 1
        n += 1
    return n


@compiled
def merge_tables(left: Any, left_counts: Any, right: Any, right_counts: Any, keys: Any, counts: Any) -> Any:
    """Merge two tables of increasing keys and rows of counts, adding the counts of equal keys; return how many keys."""
    i = j = n = 0
    while i < len(left) or j < len(right):
        is_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        is_right = i == len(left) or (j < len(right) and right[j] <= left[i])
        keys[n] = left[i] if is_left else right[j]
        for column in range(counts.shape[1]):
            total = np.int64(0)
            if is_left:
                total += left_counts[i, column]
            if is_right:
                total += right_counts[j, column]
            counts[n, column] = total
        i += is_left
        j += is_right
        n += 1
    return n


@compiled
def number_copies(order: Any, listed: Any, counts: Any, numbers: Any) -> None:
    """Number the rows of equal order, beside each other, from 0 on, or from the count of those that are listed."""
    at = 0
    for row in range(len(order)):
        value = order[row]
        if row > 0 and order[row - 1] == value:
            numbers[row] = numbers[row - 1] + np.uint64(1)
            continue
        while at < len(listed) and listed[at] < value:
            at += 1
        numbers[row] = np.uint64(counts[at]) if at < len(listed) and listed[at] == value else np.uint64(0)


@compiled
def sum_integers(
    values: Any, bits: Any, offset: int, factor: Any, missing: Any, content: Any, rows: Any, edges: Any, totals: Any
) -> None:
    """Add up hashes of integers (times a factor) and their rows' content; part k is ``rows[edges[k]:edges[k+1]]``."""
    for part in range(len(totals)):
        total = np.uint64(0)
        for place in range(edges[part], edges[part + 1]):
            row = rows[place]
            value = np.uint64(values[row]) * factor if is_there(bits, row + offset) else missing
            total += mix64(value ^ content[row])
        totals[part] = total


@compiled
def sum_floats(
    values: Any, bits: Any, offset: int, fraction: Any, missing: Any, content: Any, rows: Any, edges: Any, totals: Any
) -> None:
    """Add up the hashes of floats and their rows' content, as `sum_integers`; nan is missing."""
    for part in range(len(totals)):
        total = np.uint64(0)
        for place in range(edges[part], edges[part + 1]):
            row = rows[place]
            number = np.float64(values[row])
            value = missing
            if number == number and is_there(bits, row + offset):
                value = float_hash(number, fraction)
            total += mix64(value ^ content[row])
        totals[part] = total


@compiled
def sum_codes(
    codes: Any, bits: Any, offset: int, hashes: Any, missing: Any, content: Any, rows: Any, edges: Any, totals: Any
) -> None:
    """Add up the hashes of dictionary values and their rows' content, as `sum_integers`."""
    for part in range(len(totals)):
        total = np.uint64(0)
        for place in range(edges[part], edges[part + 1]):
            row = rows[place]
            value = hashes[codes[row]] if is_there(bits, row + offset) else missing
            total += mix64(value ^ content[row])
        totals[part] = total
