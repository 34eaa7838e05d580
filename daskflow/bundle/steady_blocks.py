"""Answers in blocks of one fixed size, so that whatever an estimator computes is computed in one shape.

What BLAS and numpy do to a matrix depends on its shape, its type, its layout and the number of threads, and on nothing
else but its values. Here all four are always the same: rows are answered 64 at a time, in float64 where the estimator
takes it, contiguous, in one thread, and the last block is filled up with copies of its last row. What is left is that a
row's place in the block, or the rows beside it there, could count. That is asked of every estimator once, with made-up
rows; one in which it does answers one row at a time. (Single precision at the edges of a block is such a case: on three
of five kinds of processor OpenBLAS adds there in another order. In double precision it does so on none.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.native_threads import held_to
from daskflow.core.warned import ignored

METHODS = ("predict", "predict_proba", "decision_function", "transform")
"""What is asked of rows."""

BLOCK_ROWS = 64
"""A call costs 0.1 to 0.3 ms whatever it holds, so of 64 rows 2 to 5 µs each; and one row alone little more than it."""

FEW_BLOCK_ROWS = 16
"""Rows of a block where each is compared with all rows of training: one row alone costs as much as this many."""

ASKED_ROWS = (0, 1, 5, 11)
"""Places of a block whose row is asked for alone."""

Plan = tuple[int, type | None]
"""Rows of a block, and the type that they are given in; None is their own."""

SHARED_ROWS = 512
"""Fewer rows are not worth a thread."""


def disguised(estimator: Any, methods: dict[str, Callable[[Any], Any]]) -> Any:
    """Return a copy of an estimator that answers by other methods, and is in all else the estimator."""
    made = copy.copy(estimator)
    for name, method in methods.items():
        if isinstance(method, FunctionType):
            method.__name__ = name  # scikit-learn tells by it what it was answered
        setattr(made, name, method)
    return made


def in_blocks(estimator: Any) -> Any:
    """Return a copy that answers in blocks, or row by row where a row's place in a block counts.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.
    """
    return _in_blocks(estimator, (BLOCK_ROWS, np.float64), (BLOCK_ROWS, None))


def in_few_blocks(estimator: Any) -> Any:
    """Return a copy that answers in small blocks: for estimators that compare each row with all rows of training.

    Their rows keep their type where that is possible. Neighbours are found in float64 anyway, and several times as
    fast where rows are of the type of the training rows.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.
    """
    return _in_blocks(estimator, (FEW_BLOCK_ROWS, None), (FEW_BLOCK_ROWS, np.float64))


def _in_blocks(estimator: Any, *plans: Plan) -> Any:
    own = {name: getattr(estimator, name) for name in METHODS if hasattr(estimator, name)}
    blocks = Blocks(own, getattr(estimator, "n_features_in_", None), plans)
    return disguised(estimator, {name: blocks.through(method) for name, method in own.items()})


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


def shared_out(estimator: Any, n_jobs: int) -> Any:
    """Return a copy whose threads share out the rows, not the members: these are added up in their own order.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; it is not changed.
    n_jobs : int
        As in scikit-learn: -1 is a thread for each core.
    """
    from joblib import effective_n_jobs

    in_turn = copy.copy(estimator)
    in_turn.n_jobs = 1
    n_threads = effective_n_jobs(n_jobs)
    methods = {name: _shared(getattr(in_turn, name), n_threads) for name in METHODS if hasattr(in_turn, name)}
    return disguised(in_turn, methods)


def _shared(own: Callable[[Any], Any], n_threads: int) -> Callable[[Any], Any]:
    """Return a method whose threads each answer a run of rows."""

    def method(X: Any) -> Any:
        total = _length(X)
        n_parts = min(n_threads, total // SHARED_ROWS)
        if n_parts < 2:
            return own(X)
        bounds = [total * part // n_parts for part in range(n_parts + 1)]
        with ThreadPoolExecutor(n_parts) as threads:
            runs = [np.arange(*ends) for ends in pairwise(bounds)]
            return _joined(list(threads.map(lambda run: own(_rows(X, run)), runs)))

    return method


def _not_alone(own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a method that gives an estimator's method two rows for one."""

    def method(X: Any) -> Any:
        if _length(X) == 1:
            return _first(own(_rows(X, np.zeros(2, dtype=np.intp))), 1)
        return own(np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X)

    return method


class Blocks:
    """How the methods of one estimator are given rows, by the rows' type.

    Parameters
    ----------
    own : mapping of str to callable
        The estimator's methods.
    n_features : int or None
        Columns of the rows that it takes; where that is not known it cannot be asked.
    plans : sequence of (int, type or None)
        Rows of a block and the type that they are given in (None: their own); the first that is steady is taken.
    """

    def __init__(self, own: Mapping[str, Callable[[Any], Any]], n_features: Any, plans: Sequence[Plan]) -> None:
        """Ask nothing yet."""
        self._own, self._n_features, self._plans = own, n_features, plans
        self._chosen: dict[tuple[str, bool], Plan] = {}

    def through(self, own: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a method that gives one of the estimator's methods blocks."""

        def method(X: Any) -> Any:
            total = _length(X)
            if not total:  # or nothing that has rows: it says what is wrong
                return own(X)
            with held_to(1):
                n_rows, dtype = self._plan(X)
                return _blockwise(own, X, n_rows, dtype)

        return method

    def _plan(self, X: Any) -> Plan:
        """Return the plan for rows of a type; it is looked for once."""
        kind = str(getattr(X, "dtype", "")), sparse.issparse(X)
        if kind not in self._chosen:
            self._chosen[kind] = self._found(X)
        return self._chosen[kind]

    def _found(self, X: Any) -> Plan:
        """Find the first plan by which a row has the same bits in every place of a block and beside any rows.

        Where an estimator takes none of the made-up rows, nothing is known, and it gets blocks of the rows as they are.
        """
        n_rows = self._plans[0][0]
        floats = getattr(X, "dtype", None) in (np.float32, np.float64)
        if not isinstance(self._n_features, int | np.integer) or not floats:
            return n_rows, None
        rows = np.random.default_rng(0).normal(size=(n_rows, int(self._n_features)))
        for made in (rows, np.abs(rows), np.round(np.abs(rows)).clip(0, 1)):
            asked: Any = made.astype(X.dtype)
            asked = sparse.csr_matrix(asked) if sparse.issparse(X) else asked
            if not all(_says(method, asked) for method in self._own.values()):
                continue
            for plan in self._plans:
                if all(_is_the_same_anywhere(method, asked, *plan) for method in self._own.values()):
                    return plan
            return 1, None
        return n_rows, None


def _says(own: Callable[[Any], Any], rows: Any) -> bool:
    """Whether a method takes rows."""
    try:
        with ignored():
            own(rows)
    except Exception:  # whatever it says of rows that are made up
        return False
    return True


def _is_the_same_anywhere(own: Callable[[Any], Any], rows: Any, n_rows: int, dtype: Any) -> bool:
    """Whether rows have the same bits in every place of a block as beside each other; False where it cannot say."""
    try:
        with ignored():
            whole = _blockwise(own, rows, n_rows, dtype)
            for at in ASKED_ROWS:
                if not _has_everywhere(_blockwise(own, _rows(rows, np.full(n_rows, at)), n_rows, dtype), whole, at):
                    return False
    except Exception:  # of another type of number it may not take them
        return False
    return True


def _blockwise(own: Callable[[Any], Any], X: Any, n_rows: int, dtype: Any) -> Any:
    """Answer block by block; a row alone is given twice, for of one row some estimators answer in another shape."""
    total, found = _length(X), []
    for start in range(0, total, n_rows):
        stop = min(start + n_rows, total)
        block = _rows(X, np.minimum(np.arange(start, start + max(n_rows, 2)), stop - 1))
        found.append(_first(own(block if dtype is None else block.astype(dtype)), stop - start))
    return _joined(found)


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
    """How many rows there are; 0 for what is no table of rows in memory."""
    is_table = isinstance(X, np.ndarray | pd.DataFrame) or sparse.issparse(X)
    return int(X.shape[0]) if is_table and X.ndim == 2 else 0


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
