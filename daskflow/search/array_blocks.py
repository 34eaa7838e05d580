"""X and y as pairs of training blocks and one test part, split once, row for row as dask-ml splits arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask import delayed
from dask.dataframe import DataFrame, Series
from dask.delayed import Delayed
from dask.sizeof import sizeof
from dask_ml.model_selection._split import _generate_idx, _maybe_normalize_split_sizes
from distributed import Future
from sklearn.utils import _safe_indexing, check_random_state

from daskflow.core.errors import DataError
from daskflow.search.places import Place


@dataclass(frozen=True)
class Blocks:
    """Training blocks and the test part, computed and held where the units run.

    Attributes
    ----------
    train : tuple of handles
        Pairs (X, y) of the training rows of one block each.
    rows, nbytes : tuple of int
        Training rows and bytes of each block.
    test : handle
        The pair (X, y) of all test rows.
    """

    train: tuple[Any, ...]
    rows: tuple[int, ...]
    nbytes: tuple[int, ...]
    test: Any


@dataclass(frozen=True)
class Broken:
    """Stands for what a unit could not make, until the unit that answers can say so."""

    error: Exception


def split_blocks(X: Any, y: Any, place: Place, *, test_size: float | None, random_state: Any) -> Blocks:
    """Pair the blocks of X and y, split each into training and test rows, and hold the parts.

    Everything is computed together, so each source is read once and X and y stay paired whatever their graphs do.
    The test rows of a block are those that `dask_ml.model_selection.train_test_split` picks in an array.

    Parameters
    ----------
    X, y : array, sparse matrix, DataFrame, Series, list, or their dask forms
        y may be None.
    place : Place
        Where to hold them.
    test_size : float or None
        Fraction of each block; None for one block's worth, at most a fifth.
    random_state : int, RandomState or None
        Draws the test rows.

    Raises
    ------
    DataError
        When X and y do not pair, or a part is empty.
    """
    x_blocks, y_blocks = paired_blocks(X, y, place)
    n_blocks = len(x_blocks)
    if n_blocks == 0:
        raise DataError("X has no blocks: there is nothing to train on.")
    train_size, test_size = _maybe_normalize_split_sizes(
        None, min(0.2, 1 / n_blocks) if test_size is None else test_size
    )
    seeds = check_random_state(random_state).randint(0, np.iinfo("i4").max, size=n_blocks)
    splits = [
        delayed(split_block, pure=False, nout=2)(x_block, y_block, number, int(seed), train_size, test_size)
        for number, (x_block, y_block, seed) in enumerate(zip(x_blocks, y_blocks, seeds, strict=True))
    ]
    stacked = delayed(stack, pure=False, nout=2)([split[1] for split in splits])
    *train, test, sizes = place.hold([*(split[0] for split in splits), stacked[0], stacked[1]])
    rows, nbytes, test_rows = place.fetch([sizes])[0]
    if test_rows == 0:
        raise DataError(
            f"The test part is empty: {n_blocks} blocks with {min(rows)} to {max(rows)} rows and "
            f"test_size={test_size:g}. Use fewer and larger blocks, or a larger test_size."
        )
    return Blocks(train=tuple(train), rows=rows, nbytes=nbytes, test=test)


def paired_blocks(X: Any, y: Any, place: Place) -> tuple[list[Any], list[Any]]:
    """Return the row blocks of X and of y, delayed or as handles, equally many; y's are None without y."""
    if isinstance(X, da.Array) and y is not None and not isinstance(y, DataFrame | Series | Delayed | Future):
        y = _cut_like(X, y)
    if _is_partitioned(X) and y is not None and not _is_partitioned(y):
        raise DataError(
            f"X is a dask {type(X).__name__} whose partitions have unknown lengths and y is a {type(y).__name__} in "
            "memory, so their rows cannot be paired. Make y a column of the same dask DataFrame."
        )
    x_blocks = row_blocks(X, place)
    if y is None:
        return x_blocks, [None] * len(x_blocks)
    y_blocks = row_blocks(y, place)
    if len(x_blocks) == 1 and len(y_blocks) > 1:
        y_blocks = [delayed(concatenate, pure=False)(y_blocks)]
    if len(x_blocks) != len(y_blocks):
        raise DataError(
            f"X has {len(x_blocks)} blocks and y has {len(y_blocks)}, so their rows cannot be paired. Take both from "
            "one dask DataFrame as they are (X = frame[columns], y = frame[target]), or give y the chunks of X."
        )
    return x_blocks, y_blocks


def _is_partitioned(value: Any) -> bool:
    return isinstance(value, DataFrame | Series) or (
        isinstance(value, da.Array) and bool(np.isnan(value.shape[0])) and value.numblocks[0] > 1
    )


def _cut_like(X: da.Array, y: Any) -> Any:
    """Give y the row chunks of X when both lengths are known."""
    if math.isnan(X.shape[0]):
        return y
    y = y if isinstance(y, da.Array) else np.asarray(y)
    if math.isnan(y.shape[0]):
        return y
    if y.shape[0] != X.shape[0]:
        raise DataError(f"X has {X.shape[0]} rows and y has {y.shape[0]}; they must have the same rows.")
    chunks = (X.chunks[0], *[(size,) for size in y.shape[1:]])
    return y.rechunk(chunks) if isinstance(y, da.Array) else da.from_array(y, chunks=chunks)


def row_blocks(value: Any, place: Place) -> list[Any]:
    """Cut one of X and y into its row blocks, as they are before Dask optimises them.

    Optimised apart, X and y of one frame can end with different partitions, since Dask fuses small files in
    proportion to the share of columns used; and X and y of one array would each compute their source.
    """
    if isinstance(value, DataFrame | Series):
        return list(value.to_delayed(optimize_graph=False))
    if isinstance(value, da.Array):
        whole = value.rechunk(dict.fromkeys(range(1, value.ndim), -1)) if value.ndim > 1 else value
        return list(whole.to_delayed(optimize_graph=False).ravel())
    if isinstance(value, Delayed | Future):
        return [value]
    return [place.put(concrete(value))]


def concrete(value: Any) -> Any:
    """An indexable form of what is in memory: lists become arrays, sparse matrices CSR."""
    if hasattr(value, "tocsr"):
        return value.tocsr()
    return np.asarray(value) if isinstance(value, list | tuple) else value


def n_rows(value: Any) -> int:
    """Rows of an array, matrix or frame."""
    return int(value.shape[0]) if hasattr(value, "shape") else len(value)


def split_block(
    X: Any, y: Any, number: int, seed: int, train_size: float, test_size: float
) -> tuple[tuple[Any, Any], tuple[Any, Any, int, int]]:
    """Split one block into its training pair, and its test pair with the training rows and bytes.

    A block of one row trains.
    """
    X, y = concrete(X), target(y)
    if y is not None and n_rows(X) != n_rows(y):
        raise DataError(
            f"Block {number}: X has {n_rows(X)} rows and y has {n_rows(y)}. "
            "Take both from one table, with the same rows in the same order."
        )
    rows = n_rows(X)
    n_test = min(math.ceil(test_size * rows), max(rows - 1, 0))
    n_train = max(math.floor(train_size * rows), min(rows, 1))
    train, test = _generate_idx(rows, seed, n_train, n_test)
    pair = _take(X, train), _take(y, train)
    return pair, (_take(X, test), _take(y, test), n_train, sum(int(sizeof(part)) for part in pair))


def target(y: Any) -> Any:
    """y as a plain array; a single column is flattened."""
    if y is None:
        return None
    values = y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else np.asarray(y)
    return values.ravel() if values.ndim == 2 and values.shape[1] == 1 else values


def _take(values: Any, rows: Any) -> Any:
    return None if values is None else _safe_indexing(values, rows)


def stack(
    parts: Sequence[tuple[Any, Any, int, int]],
) -> tuple[tuple[Any, Any], tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Join the test pairs in order; with them, training rows and bytes by block, and the number of test rows."""
    X = concatenate([part[0] for part in parts])
    sizes = tuple(part[2] for part in parts), tuple(part[3] for part in parts), n_rows(X)
    return (X, concatenate([part[1] for part in parts])), sizes


def concatenate(parts: Sequence[Any]) -> Any:
    """Join arrays, sparse matrices, frames or series of rows; None stays None."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    if isinstance(parts[0], pd.DataFrame | pd.Series):
        return pd.concat(parts)
    return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts)
