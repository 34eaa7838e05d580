"""Answers in blocks of one fixed size, so that whatever an estimator computes is computed in one shape.

What BLAS and numpy do to a matrix depends on its shape, its layout and the number of threads, and on nothing else but
its values. Here all three are always the same: rows are answered 64 at a time, contiguous, in one thread, and the last
block is filled up with copies of its last row. What is left is that a row's place in the block, or the rows beside it
there, could count. That is asked of every estimator once, with made-up rows; one in which it does answers one row at a
time.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import ThreadpoolController

from daskflow.core.warned import ignored

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")
"""What is asked of rows."""

BLOCK_ROWS = 64
"""A call costs 0.1 to 0.3 ms whatever it holds, so of 64 rows 2 to 5 µs each; and one row alone little more than it."""

FEW_BLOCK_ROWS = 16
"""Rows of a block where each is compared with all rows of training: one row alone costs as much as this many."""

ASKED_ROWS = (0, 1, 5, 11)
"""Places of a block whose row is asked for alone."""


def disguised(estimator: Any, methods: dict[str, Callable[[Any], Any]]) -> Any:
    """Return a copy of an estimator that answers by other methods, and is in all else the estimator."""
    made = copy.copy(estimator)
    for name, method in methods.items():
        if isinstance(method, FunctionType):
            method.__name__ = name  # scikit-learn tells by it what it was answered
        setattr(made, name, method)
    return made


def in_blocks(estimator: Any, n_rows: int = BLOCK_ROWS) -> Any:
    """Return a copy that answers in blocks of so many rows, or row by row where a row's place counts.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.
    n_rows : int
        Of each block.
    """
    own = {name: getattr(estimator, name) for name in METHODS if hasattr(estimator, name)}
    methods = {}
    for name, method in own.items():
        size = n_rows if _is_the_same_anywhere(method, estimator, n_rows) else 1
        methods[name] = _blockwise(method, size)
    return disguised(estimator, methods)


def at_least_two(estimator: Any) -> Any:
    """Return a copy that answers all rows at once but never one alone, which numpy adds up in another order.

    For estimators that do nothing with their members' answers but add and compare them. numpy's sum over the columns
    of several rows goes column by column where the array is laid out so; that of one row is along the memory.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.
    """
    methods = {name: _not_alone(getattr(estimator, name)) for name in METHODS if hasattr(estimator, name)}
    return disguised(estimator, methods)


def _blockwise(own: Callable[[Any], Any], n_rows: int) -> Callable[[Any], Any]:
    """Return a method that gives an estimator's method blocks."""

    def method(X: Any) -> Any:
        total = _length(X)
        if not total:  # or nothing that has rows: it says what is wrong
            return own(X)
        found = []
        with one_thread():
            for start in range(0, total, n_rows):
                stop = min(start + n_rows, total)
                block = _rows(X, np.minimum(np.arange(start, start + n_rows), stop - 1))
                found.append(_first(own(block), stop - start))
        return _joined(found)

    return method


def _not_alone(own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a method that gives an estimator's method two rows for one."""

    def method(X: Any) -> Any:
        if _length(X) == 1:
            return _first(own(_rows(X, np.zeros(2, dtype=np.intp))), 1)
        return own(np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X)

    return method


def _is_the_same_anywhere(own: Callable[[Any], Any], estimator: Any, n_rows: int) -> bool:
    """Whether a row of a block has the same bits in every place of it and beside any rows: made-up ones are asked.

    So it is said of estimators that take no such rows.
    """
    n_features = getattr(estimator, "n_features_in_", None)
    if not isinstance(n_features, int | np.integer):
        return True
    rows = np.random.default_rng(0).normal(size=(n_rows, int(n_features))).astype(np.float32)
    with ignored(), one_thread():
        for made in (rows, np.abs(rows), np.round(np.abs(rows)).clip(0, 1)):
            try:
                whole = own(made)
                return all(_has_everywhere(own(_rows(made, np.full(n_rows, at))), whole, at) for at in ASKED_ROWS)
            except Exception:  # it takes other rows, whatever it says of these
                continue
    return True


def _has_everywhere(said: Any, whole: Any, at: int) -> bool:
    """Whether all rows of an answer are one row of another, to the last bit."""
    if isinstance(said, list):
        return all(_has_everywhere(one, other, at) for one, other in zip(said, whole, strict=True))
    values, expected = _plain(said), _plain(whole)[at]
    return all(row.tobytes() == expected.tobytes() for row in values)


def _plain(said: Any) -> NDArray[Any]:
    """An answer as an array."""
    is_sparse: bool = sparse.issparse(said)
    return np.ascontiguousarray(said.toarray() if is_sparse else said)


def _length(X: Any) -> int:
    """How many rows there are; 0 for what is no table of rows."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    return int(shape[0]) if len(shape) == 2 else 0


def _rows(X: Any, places: NDArray[np.intp]) -> Any:
    """Take rows by their places, repeated ones as often, into memory that is laid out row by row."""
    if hasattr(X, "iloc"):
        return X.iloc[places]
    taken = X[places]
    return np.ascontiguousarray(taken) if isinstance(taken, np.ndarray) else taken


def _first(said: Any, n_rows: int) -> Any:
    """The first rows of an answer."""
    if isinstance(said, list):
        return [_first(each, n_rows) for each in said]
    return said.iloc[:n_rows] if hasattr(said, "iloc") else said[:n_rows]


def _joined(parts: list[Any]) -> Any:
    """Put answers below each other."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [_joined(list(each)) for each in zip(*parts, strict=True)]
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts, format="csr")
    if hasattr(parts[0], "iloc"):
        return pd.concat(parts)
    return np.concatenate(parts)


_lock = threading.Lock()
_inside = 0
_held: Any = None
_pools: tuple[int, Any] | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread: how they share out a product changes its last bits.

    The pools are the process's. Whoever comes first holds them and the last to leave lets them go, so that two threads
    of a server never put back what the other has set.
    """
    global _inside, _held, _pools
    with _lock:
        if _inside == 0:
            if _pools is None or _pools[0] != len(sys.modules):  # only an import can bring a new one
                _pools = len(sys.modules), ThreadpoolController()
            _held = _pools[1].limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _held.restore_original_limits()
                _held = None
