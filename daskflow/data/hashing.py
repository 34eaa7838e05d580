"""Row hashes: 64 bits that depend on a row's values and on nothing else.

A value's hash does not depend on how the value is stored: 5 is 5.0, -0.0 is 0.0, every missing value is the same, a
timestamp is its instant whatever its unit or zone, a date is its midnight, true is 1, a string is its characters
whether plain or dictionary encoded. A row's hash is the sum of its columns' hashes, each salted with the column's
name, so the order of columns does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data import adding, kernels
from daskflow.data.arrays import pooled

Hashes = NDArray[np.uint64]

MISSING = np.uint64(0x6D697373696E6721)
FRACTION = np.uint64(0x666C6F6174696E67)
"""Set floats that are no integers apart from integers of the same bits."""

NO_GAPS = np.empty(0, dtype=np.uint8)

NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
SIGNIFICANT_DIGITS = 15
"""Decimals of more digits than a float64 always keeps are hashed as text."""


def mix(values: Hashes, salt: int | np.uint64 = 0) -> Hashes:
    """Scramble 64-bit values by splitmix64's finaliser: one to one for a given salt.

    Sebastiano Vigna's public-domain ``splitmix64.c``; every input bit changes each output bit half of the time.
    """
    mixed: Hashes = pooled(len(values), np.uint64)
    kernels.mix_all(np.ascontiguousarray(values, dtype=np.uint64), np.uint64(salt), mixed)
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


def row_hashes(table: pa.Table, names: Sequence[str]) -> Hashes:
    """Hash rows over some columns; equal rows have equal hashes.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    names : sequence of str
        Columns to hash; their order does not matter.

    Returns
    -------
    ndarray of uint64, shape (n_rows,)

    Examples
    --------
    >>> len(set(row_hashes(pa.table({"a": [1, 1], "b": ["x", "y"]}), ["a"]).tolist()))
    1
    """
    total: Hashes = pooled(table.num_rows, np.uint64)
    total[:] = 0
    for name in names:
        _add(_whole(table.column(name)), name, total)
    return mix(total)


def all_missing(table: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return for each row whether it has no value in any of some columns; bool of shape (n_rows,)."""
    missing = np.ones(table.num_rows, dtype=bool)
    for name in names:
        missing &= np.asarray(_is_missing(_whole(table.column(name))))
    return missing


def canonical(column: pa.ChunkedArray | pa.Array, name: str) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return 64 bits per value that are equal for equal values, and where values are missing.

    Parameters
    ----------
    column : pyarrow array
        Any column that a table may have.
    name : str
        For messages.

    Returns
    -------
    hashes : ndarray of uint64, shape (n_rows,)
        Not salted by the name: equal for equal values of different columns.
    is_missing : ndarray of bool, shape (n_rows,)
        Null, or nan.
    """
    values = _whole(column)
    missing = np.asarray(_is_missing(values))
    if pa.types.is_dictionary(values.type):
        uniques = canonical(values.dictionary, name)[0]
        found = uniques[values.indices.fill_null(0).to_numpy(zero_copy_only=False)] if len(uniques) else MISSING
    elif _is_text(values.type):
        found = _of_texts(values)
    elif pa.types.is_decimal(values.type):
        encoded = values.dictionary_encode()
        uniques = _of_decimals(encoded.dictionary)
        found = uniques[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)] if len(uniques) else MISSING
    elif pa.types.is_floating(values.type):
        found = np.empty(len(values), dtype=np.uint64)
        kernels.hash_floats(buffers_of(values, np.float64)[0], FRACTION, found)
    elif pa.types.is_null(values.type):
        found = MISSING
    else:
        integers, factor = _integers(values, name)
        found = buffers_of(integers, np.int64)[0].view(np.uint64) * np.uint64(factor)
    return np.where(missing, MISSING, found), missing


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    column = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _is_missing(values: pa.Array) -> pa.Array:
    """Where values are null or nan, also in a dictionary."""
    found = values.is_null(nan_is_null=True)
    if pa.types.is_dictionary(values.type):
        gaps = values.dictionary.is_null(nan_is_null=True)
        if pc.any(gaps).as_py():
            found = pc.or_(found, pc.fill_null(gaps.take(values.indices), True))
    return found.to_numpy(zero_copy_only=False)


def _add(values: pa.Array, name: str, total: Hashes) -> None:
    """Add a column's salted hashes to those of the rows."""
    salt = np.uint64(salt_of(name))
    missing = mix(np.array([MISSING]), salt)[0]
    if pa.types.is_null(values.type):
        with np.errstate(over="ignore"):
            total += missing
    elif pa.types.is_floating(values.type):
        kernels.add_floats(*values_of(values, np.float64), FRACTION, missing, salt, total)
    elif pa.types.is_dictionary(values.type) or _is_encoded(values.type):
        encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        uniques = mix(canonical(encoded.dictionary, name)[0], salt)
        kernels.add_codes(*values_of(encoded.indices, None), uniques, missing, total)
    else:
        integers, factor = _integers(values, name)
        kernels.add_integers(*values_of(integers, np.int64), np.uint64(factor), missing, salt, total)


def content_sums(column: pa.ChunkedArray | pa.Array, content: Hashes, rows: Any, edges: Sequence[int]) -> list[int]:
    """Return, for each part of the rows, the sum modulo 2**64 of a hash of the row's content with the column's value.

    Two columns that are equal in all rows of a part have the same sum; two that differ in some have it with a
    probability of 2**-64.

    Parameters
    ----------
    column : pyarrow array
        Any column that a table may have.
    content : ndarray of uint64, shape (n_rows,)
        As `row_hashes` gives it.
    rows : ndarray of int64
        Places of rows; part k is ``rows[edges[k]:edges[k + 1]]``.
    edges : sequence of int
        One more than there are parts.

    Examples
    --------
    >>> content = row_hashes(pa.table({"x": [1, 2, None]}), ["x"])
    >>> rows = np.arange(3)
    >>> same = [content_sums(pa.array(v), content, rows, [0, 3]) for v in ([1, 2, None], [1.0, 2.0, float("nan")])]
    >>> same[0] == same[1]
    True
    """
    values = _whole(column)
    if pa.types.is_null(values.type):
        values = values.cast(pa.int8())
    cuts, totals = np.asarray(edges, dtype=np.int64), np.empty(len(edges) - 1, dtype=np.uint64)
    if pa.types.is_floating(values.type):
        plain = values if values.type == pa.float32() else values.cast(pa.float64())
        found = buffers_of(plain, plain.type.to_pandas_dtype())
        adding.sum_floats(*found, FRACTION, MISSING, content, rows, cuts, totals)
    elif pa.types.is_dictionary(values.type) or _is_encoded(values.type):
        encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        uniques = canonical(encoded.dictionary, "")[0]
        adding.sum_codes(*buffers_of(encoded.indices, np.int64), uniques, MISSING, content, rows, cuts, totals)
    else:
        integers, factor = _integers(values, "")
        found = buffers_of(integers, np.int64)
        adding.sum_integers(*found, np.uint64(factor), MISSING, content, rows, cuts, totals)
    return [int(total) for total in totals]


def values_of(values: pa.Array, dtype: Any) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return an array's values in a type of numpy (None: their own), and a byte for each that says if it is there.

    There are no bytes where all are.
    """
    found, bits, offset = buffers_of(values, dtype)
    if not len(bits):
        return found, NO_GAPS
    first = offset // 8
    there = np.unpackbits(bits[first : -(-(offset + len(values)) // 8)], bitorder="little")
    return found, there[offset - 8 * first :]


def buffers_of(values: pa.Array, dtype: Any) -> tuple[NDArray[Any], NDArray[np.uint8], int]:
    """Return an array's values in a type of numpy (None: their own), its validity bitmap and that one's offset.

    The bitmap is empty where all values are there.
    """
    if len(values) == 0:
        return np.empty(0, dtype=dtype), np.empty(0, dtype=np.uint8), 0
    bitmap, data = values.buffers()
    own = np.dtype(np.int64 if pa.types.is_temporal(values.type) else values.type.to_pandas_dtype())
    found = np.frombuffer(data, dtype=own, count=len(values), offset=values.offset * own.itemsize)
    bits = np.frombuffer(bitmap, dtype=np.uint8) if bitmap is not None and values.null_count else NO_GAPS
    return found if dtype is None else found.astype(dtype, copy=False), bits, values.offset


def _integers(values: pa.Array, name: str) -> tuple[pa.Array, int]:
    """Return a column of integers, truths or dates as integers, and the factor that makes one unit of them."""
    arrow_type = values.type
    if pa.types.is_boolean(arrow_type):
        return values.cast(pa.uint8()), 1
    if pa.types.is_integer(arrow_type):
        return values, 1
    if pa.types.is_timestamp(arrow_type):
        return values, NANOSECONDS[arrow_type.unit]
    if pa.types.is_date32(arrow_type):
        return values.view(pa.int32()), 86_400 * NANOSECONDS["s"]
    if pa.types.is_date64(arrow_type):
        return values, NANOSECONDS["ms"]
    raise DataError(f"Column '{name}' is {arrow_type}, which cannot be hashed. Leave it out of the source.")


def _is_text(arrow_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type)
    )


def _is_encoded(arrow_type: pa.DataType) -> bool:
    """Whether each distinct value is hashed once."""
    return _is_text(arrow_type) or bool(pa.types.is_decimal(arrow_type))


def _of_texts(values: pa.Array) -> Hashes:
    """Return a hash of each text's UTF-8."""
    plain = values.cast(pa.large_string())
    found = np.empty(len(plain), dtype=np.uint64)
    if len(plain):
        _, offsets, data = plain.buffers()
        starts = np.frombuffer(offsets, dtype=np.int64)[plain.offset : plain.offset + len(plain) + 1]
        kernels.hash_texts(starts, _words(data), found)
    return found


def _words(data: pa.Buffer | None) -> NDArray[np.uint64]:
    """Bytes as words of 64 bits, filled up with zeros, and one word more."""
    text = np.frombuffer(data or b"", dtype=np.uint8)
    words = np.zeros(len(text) // 8 + 2, dtype="<u8")
    words.view(np.uint8)[: len(text)] = text
    return words.astype(np.uint64, copy=False)


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
            hashes[place] = kernels.float_hash(float(value), FRACTION)
    return hashes


def _is_int64(value: Decimal) -> bool:
    return -(2**63) <= value < 2**63 and value == value.to_integral_value()
