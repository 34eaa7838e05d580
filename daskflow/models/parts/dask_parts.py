"""Parts that are partitions of dask collections: members are fitted where the partitions are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask import delayed
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing

from daskflow.core.errors import DataError
from daskflow.core.seeds import seed_of
from daskflow.models.parts.members import Member, fit_member

TARGET, WEIGHT = "__target", "__weight"

Rows = tuple[Any, Any, Any]
"""X, y and weights (or None) of one block."""


def fit_parts(
    ensemble: Any, X: Any, y: Any, sample_weight: Any, seed: int
) -> tuple[list[Member], NDArray[np.int64], Any, Any]:
    """Fit a member on each part of a dask collection, computed by the default scheduler.

    Returns
    -------
    members : list of Member
        Empty partitions have none.
    owners : ndarray
        Number, among the members, of the part that each probed row is of.
    y, sample_weight : ndarray or None
        Of the probed rows.

    Raises
    ------
    DataError
        When X, y and weights are not cut alike, or there is no row.
    """
    parts = _parts(ensemble, row_blocks(X, y, sample_weight), seed)
    asked, truth, weight, owners = None, None, None, np.empty(0, dtype=np.int64)
    if ensemble.combine != "soft" and len(parts) > 1:
        each = max(1, ensemble.probe_rows // len(parts))
        # A pass of its own: the members below must not wait with all partitions in memory for the last sample.
        drawn = dask.compute(*[delayed(sample)(part, each, seed_of(seed, "probe", k)) for k, part in enumerate(parts)])
        asked, truth, weight = together([rows for rows in drawn if n_rows(rows)])
        owners = np.repeat(np.arange(len(parts)), [n_rows(rows) for rows in drawn])
    held = delayed(asked, pure=False) if asked is not None else None
    template = ensemble.template()
    found = dask.compute(
        *[delayed(fit_rows)(template, k, seed, part, held, ensemble._is_classification) for k, part in enumerate(parts)]
    )
    kept = [k for k, member in enumerate(found) if member is not None]
    if not kept:
        raise DataError("X has no rows.")
    return [found[k] for k in kept], np.searchsorted(kept, owners), truth, weight


def row_blocks(X: Any, y: Any, sample_weight: Any) -> list[Any]:
    """Return delayed (X, y, weights) of each partition.

    Frames and series become one frame first: dask fuses partitions by the columns that are asked for, so X and y of one
    frame, asked for apart, may come in other cuts.
    """
    columns = {TARGET: y} | ({} if sample_weight is None else {WEIGHT: sample_weight})
    if hasattr(X, "to_delayed") and all(hasattr(value, "divisions") for value in (X, *columns.values())):
        return [delayed(_apart)(block) for block in X.assign(**columns).to_delayed()]
    names = {"X": X, "y": y} | ({} if sample_weight is None else {"sample_weight": sample_weight})
    blocks = {name: _blocks(name, value, X) for name, value in names.items()}
    if len({len(found) for found in blocks.values()}) > 1:
        told = ", ".join(f"{name} has {len(found)}" for name, found in blocks.items())
        raise DataError(f"The numbers of partitions differ: {told}. Take all of them from one collection.")
    weights = blocks.get("sample_weight", [None] * len(blocks["X"]))
    return [delayed(_checked)(*rows) for rows in zip(blocks["X"], blocks["y"], weights, strict=True)]


def _blocks(name: str, value: Any, X: Any) -> list[Any]:
    """The blocks of rows of one collection."""
    if not dask.is_dask_collection(value):
        raise DataError(f"{name} is in memory, and X is a dask collection; make both of one kind.")
    if hasattr(value, "chunks"):
        if value.ndim == 2:
            value = value.rechunk({1: -1})
        rows = getattr(X, "chunks", None)
        if rows is not None and value is not X and not np.isnan([*value.chunks[0], *rows[0]]).any():
            if sum(value.chunks[0]) != sum(rows[0]):
                raise DataError(f"{name} has {sum(value.chunks[0])} rows, and X has {sum(rows[0])}.")
            value = value.rechunk({0: rows[0]})
    return list(np.ravel(value.to_delayed()))


def _apart(frame: pd.DataFrame) -> Rows:
    weight = frame[WEIGHT].to_numpy(dtype=np.float64) if WEIGHT in frame else None
    beside = [TARGET, WEIGHT] if weight is not None else [TARGET]
    return frame.drop(columns=beside), frame[TARGET].to_numpy(), weight


def _checked(X: Any, y: Any, weight: Any) -> Rows:
    if len(y) != X.shape[0] or (weight is not None and len(weight) != len(y)):
        raise DataError(f"A partition has {X.shape[0]} rows in X and {len(y)} in y; they must be cut alike.")
    return X, np.asarray(y), None if weight is None else np.asarray(weight, dtype=np.float64)


def _parts(ensemble: Any, blocks: list[Any], seed: int) -> list[Any]:
    """Delayed rows of each part: dealt out of all blocks, or neighbouring blocks together."""
    wanted = ensemble.n_parts or len(blocks)
    if ensemble.partitions == "shuffled" and len(blocks) > 1:
        hands = [delayed(deal, nout=wanted)(block, wanted, seed_of(seed, "deal", k)) for k, block in enumerate(blocks)]
        return [delayed(together)([hand[k] for hand in hands]) for k in range(wanted)]
    if wanted > len(blocks):
        raise DataError(
            f"{len(blocks)} partitions cannot be n_parts = {wanted} parts: repartition them, or take "
            "partitions = 'shuffled' of several partitions."
        )
    cuts = np.linspace(0, len(blocks), wanted + 1).astype(int)
    groups = [blocks[first:stop] for first, stop in pairwise(cuts)]
    return [group[0] if len(group) == 1 else delayed(together)(group) for group in groups]


def deal(rows: Rows, hands: int, seed: int) -> list[Rows]:
    """Deal rows out to so many parts, each about as many, in a random order."""
    order = np.random.RandomState(seed).permutation(n_rows(rows))
    return [_take(rows, np.sort(order[hand::hands])) for hand in range(hands)]


def sample(rows: Rows, count: int, seed: int) -> Rows:
    """Draw rows of a part."""
    return _take(rows, np.sort(np.random.RandomState(seed).permutation(n_rows(rows))[:count]))


def _take(rows: Rows, places: NDArray[np.int64]) -> Rows:
    X, y, weight = rows
    return _safe_indexing(X, places), y[places], None if weight is None else weight[places]


def n_rows(rows: Rows) -> int:
    """Rows of a block."""
    return len(rows[1])


def together(blocks: Sequence[Rows]) -> Rows:
    """Put blocks behind each other."""
    xs, ys, weights = zip(*blocks, strict=True)
    if hasattr(xs[0], "iloc"):
        X: Any = pd.concat(xs)
    else:
        X = sparse.vstack(xs, format="csr") if sparse.issparse(xs[0]) else np.concatenate(xs)
    return X, np.concatenate(ys), None if weights[0] is None else np.concatenate(weights)


def fit_rows(template: Any, number: int, seed: int, rows: Rows, asked: Any, is_classification: bool) -> Member | None:
    """Fit the member of a part; None for one without rows."""
    if not n_rows(rows):
        return None
    return fit_member(template, number, seed, *rows, asked, is_classification=is_classification)


def lazily(predict: Callable[[Any], Any], X: Any, meta: NDArray[Any]) -> Any:
    """Predict a dask collection's partitions where they are; returns a dask Array."""
    if hasattr(X, "divisions"):
        return X.map_partitions(predict, meta=meta)
    X = X.rechunk({1: -1})
    if meta.ndim == 1:
        return X.map_blocks(predict, drop_axis=1, dtype=meta.dtype, meta=meta)
    return X.map_blocks(predict, chunks=(X.chunks[0], (meta.shape[1],)), dtype=meta.dtype, meta=meta)
