"""Row hashes: 64 bits that depend on a row's values and on nothing else.

A value's hash does not depend on how the value is stored: 5 is 5.0, -0.0 is 0.0, every missing value is the same, a
timestamp is its instant whatever its unit or zone, a date is its midnight, true is 1, a string is its characters
whether plain or dictionary encoded. A row's hash is the sum of its columns' hashes, each salted with the column's
name, so the order of columns does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)

MISSING = np.uint64(0x6D697373696E6721)
FRACTION = np.uint64(0x666C6F6174696E67)
"""Set floats that are no integers apart from integers of the same bits."""

NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
SIGNIFICANT_DIGITS = 15
"""Decimals of more digits than a float64 always keeps are hashed as text."""


def mix(values: Hashes, salt: int | np.uint64 = 0) -> Hashes:
    """Scramble 64-bit values by splitmix64's finaliser: one to one for a given salt.

    Sebastiano Vigna's public-domain ``splitmix64.c``; every input bit changes each output bit half of the time.
    """
    mixed = values ^ np.uint64(salt)
    with np.errstate(over="ignore"):
        mixed += GOLDEN
        mixed ^= mixed >> np.uint64(30)
        mixed *= FIRST
        mixed ^= mixed >> np.uint64(27)
        mixed *= SECOND
        mixed ^= mixed >> np.uint64(31)
    return mixed


def salt_of(text: str) -> int:
    """Return 64 bits of a text.

    Examples
    --------
    >>> salt_of("age") == salt_of("age") != salt_of("sex")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


ORDER = salt_of("order")


def order_of(content: Hashes) -> Hashes:
    """Return the place in training order of rows by their content hash; one to one."""
    return mix(content, ORDER)


def row_hashes(table: pa.Table, names: Sequence[str]) -> tuple[Hashes, NDArray[np.bool_]]:
    """Hash rows over some columns.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    names : sequence of str
        Columns to hash; their order does not matter.

    Returns
    -------
    hashes : ndarray of uint64, shape (n_rows,)
        Equal for rows of equal values.
    is_missing : ndarray of bool, shape (n_rows,)
        Whether all of these columns are missing in a row.
    """
    total = np.zeros(table.num_rows, dtype=np.uint64)
    missing = np.ones(table.num_rows, dtype=bool)
    for name in names:
        values, gaps = canonical(table.column(name), name)
        with np.errstate(over="ignore"):
            total += mix(values, salt_of(name))
        missing &= gaps
    return mix(total), missing


def canonical(column: pa.ChunkedArray | pa.Array, name: str) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return 64 bits per value that are equal for equal values, and where values are missing."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    arrow_type = values.type
    if pa.types.is_null(arrow_type):
        return np.full(len(values), MISSING), np.ones(len(values), dtype=bool)
    missing = np.asarray(values.is_null(nan_is_null=True))
    if pa.types.is_dictionary(arrow_type):
        uniques, gaps = canonical(values.dictionary, name)
        found = _through(uniques, values.indices, missing)
        if gaps.any():
            missing = missing | _through(gaps.astype(np.uint64), values.indices, missing).astype(bool)
    elif pa.types.is_boolean(arrow_type) or pa.types.is_integer(arrow_type):
        plain = values.cast(pa.uint8()) if pa.types.is_boolean(arrow_type) else values
        found = plain.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    elif pa.types.is_floating(arrow_type):
        found = of_floats(values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64))
    elif pa.types.is_timestamp(arrow_type):
        found = _instants(values, NANOSECONDS[arrow_type.unit])
    elif pa.types.is_date32(arrow_type):
        found = _instants(values.cast(pa.int32()), 86_400 * NANOSECONDS["s"])
    elif pa.types.is_date64(arrow_type):
        found = _instants(values, NANOSECONDS["ms"])
    elif pa.types.is_decimal(arrow_type):
        found = _encoded(values, missing, _of_decimals)
    elif pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type):
        found = _encoded(values, missing, of_strings)
    else:
        raise DataError(f"Column '{name}' is {arrow_type}, which cannot be hashed. Leave it out of the source.")
    return np.where(missing, MISSING, found), missing


def of_floats(values: NDArray[np.float64]) -> Hashes:
    """Return floats that are integers as those integers' bits, others as their own bits set apart."""
    inside = np.abs(values) < 2.0**63
    whole = inside & (np.trunc(values) == values)
    integers = np.where(whole, values, 0.0).astype(np.int64).view(np.uint64)
    return np.where(whole, integers, mix(values.view(np.uint64), FRACTION))


def of_strings(values: pa.Array) -> Hashes:
    """Return a hash of each string's UTF-8."""
    texts = np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)
    return np.asarray(pd.util.hash_array(texts, categorize=False), dtype=np.uint64)


def _of_decimals(values: pa.Array) -> Hashes:
    """Decimals as the integer or float they are equal to; as text where a float64 cannot tell them apart."""
    hashes = np.zeros(len(values), dtype=np.uint64)
    for place, value in enumerate(values.to_pylist()):
        if value is None:
            continue
        if len(value.normalize().as_tuple().digits) > SIGNIFICANT_DIGITS and not _is_int64(value):
            hashes[place] = salt_of(str(value.normalize()))
        elif value == value.to_integral_value() and _is_int64(value):
            hashes[place] = np.int64(int(value)).view(np.uint64)
        else:
            hashes[place] = of_floats(np.array([float(value)]))[0]
    return hashes


def _is_int64(value: Decimal) -> bool:
    return -(2**63) <= value < 2**63 and value == value.to_integral_value()


def _instants(values: pa.Array, nanoseconds: int) -> Hashes:
    """Instants in nanoseconds; those beyond int64 wrap around, the same for every unit."""
    counts = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    found: Hashes = counts.astype(np.int64).view(np.uint64) * np.uint64(nanoseconds)
    return found


def _encoded(values: pa.Array, missing: NDArray[np.bool_], of: Callable[[pa.Array], Hashes]) -> Hashes:
    """Hash each distinct value once."""
    encoded = values.dictionary_encode()
    return _through(of(encoded.dictionary), encoded.indices, missing)


def _through(uniques: Hashes, indices: pa.Array, missing: NDArray[np.bool_]) -> Hashes:
    """Look up each row's code; rows without one get zero."""
    if len(uniques) == 0:
        return np.zeros(len(missing), dtype=np.uint64)
    found: Hashes = uniques[indices.fill_null(0).to_numpy(zero_copy_only=False)]
    return found
