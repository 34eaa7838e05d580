"""Columns as blocks keep them: in the narrowest type that holds every value exactly, in training order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.data import kernels
from daskflow.data.arrays import pooled, whole
from daskflow.data.hashing import buffers_of

MOST_IN_BUCKET = 64


def narrow(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column in the narrowest type that holds its values exactly; strings as a dictionary."""
    values = whole(column)
    values = values.cast(pa.string()) if pa.types.is_null(values.type) else values
    arrow_type = values.type
    if pa.types.is_string(arrow_type):
        values = values.dictionary_encode()
    if pa.types.is_dictionary(values.type):
        codes = _narrow_codes(values.indices, _integer_type(0, max(len(values.dictionary) - 1, 0)))
        return pa.DictionaryArray.from_arrays(codes, values.dictionary)
    if pa.types.is_integer(arrow_type):
        limits = pc.min_max(values)
        low, high = limits["min"].as_py(), limits["max"].as_py()
        return values.cast(_integer_type(low or 0, high or 0))
    if pa.types.is_float64(arrow_type) and kernels.fits_single(*buffers_of(values, np.float64)):
        return values.cast(pa.float32(), safe=False)
    return values


def _narrow_codes(codes: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Codes in a type that holds them; what stands where none is may be anything, and no look is taken at it."""
    if codes.offset or codes.type == wanted:
        return codes.cast(wanted)
    values, _, _ = buffers_of(codes, None)
    narrowed = pooled(len(codes), wanted.to_pandas_dtype())
    np.copyto(narrowed, values, casting="unsafe")
    return pa.Array.from_buffers(wanted, len(codes), [codes.buffers()[0], pa.py_buffer(narrowed)], codes.null_count)


def _integer_type(low: int, high: int) -> pa.DataType:
    """The smallest type that holds both ends."""
    for bits, arrow_type in ((7, pa.int8()), (15, pa.int16()), (31, pa.int32()), (63, pa.int64())):
        if -(2**bits) <= low and high < 2**bits:
            return arrow_type
    return pa.uint64()


def rearranged(values: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    """Return the values at some rows, as ``values.take(rows)`` does; by numpy, which is several times faster.

    Examples
    --------
    >>> rearranged(pa.array([5, None, 7], pa.int8()), np.array([2, 1])).to_pylist()
    [7, None]
    """
    arrow_type = values.type
    if pa.types.is_dictionary(arrow_type):
        return pa.DictionaryArray.from_arrays(rearranged(values.indices, rows), values.dictionary)
    if not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_temporal(arrow_type)):
        return values.take(pa.array(rows))
    raw = np.dtype(f"u{arrow_type.bit_width // 8}")
    bitmap, data = values.buffers()
    taken, bits = pa.allocate_buffer(raw.itemsize * len(rows)), None  # from a pool that keeps memory for the next
    source = np.frombuffer(data or b"", dtype=raw)[values.offset :]
    kernels.take_values(source, rows, np.frombuffer(taken, dtype=raw))
    if values.null_count:
        bits = pa.allocate_buffer(-(-len(rows) // 8))
        source = np.frombuffer(bitmap, dtype=np.uint8)
        places = rows.view(np.uint64)
        kernels.take_bits(source, np.uint64(values.offset), places, np.frombuffer(bits, dtype=np.uint8))
    return pa.Array.from_buffers(arrow_type, len(rows), [bits, taken])


def places_in_order(order: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the rows that put a column of hashes into increasing order; rows of equal hashes in any order.

    Hashes are spread evenly, so that each has a bucket nearly of its own. Where many rows have few different hashes
    they are sorted by comparing.
    """
    if len(order) < 2:
        return np.arange(len(order))
    low, span = order.min(), int(order.max() - order.min())
    n_bits = max(len(order) - 1, 1).bit_length()
    ends = np.zeros((1 << n_bits) + 1, dtype=np.int32)
    rows: NDArray[np.int64] = pooled(len(order), np.int64)
    shift = np.uint64(max(0, span.bit_length() - n_bits))
    return rows if kernels.sort_by_bucket(order, low, shift, MOST_IN_BUCKET, ends, rows) else np.argsort(order)
