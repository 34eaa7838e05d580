"""Nearest neighbours whose distances, and whose order among equals, do not depend on the rows that are asked together.

scikit-learn finds Euclidean neighbours by a product of matrices, so distances differ in the last bits from batch to
batch, and of rows that are equally far another one is taken. Here its answer is only a list of candidates, longer than
what is wanted. Their distances are computed anew, each by itself, and of equals the first row of training comes first.
A row is looked up among all rows of training where the list could lack one: the last candidate must be farther than the
last one that is wanted, by more than the product's error.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MORE = 32
"""Candidates beyond those that are wanted."""

NUMBERS_AT_ONCE = 2**22
"""Numbers of float64 that are compared at a time, 32 MB."""

ROUNDINGS = 16
"""Roundings, for each column and beyond, that a distance by a product is allowed to be off; it is off by about 2."""


def has_products(estimator: Any) -> bool:
    """Whether it is a classifier or regressor by neighbours that it finds by products of matrices."""
    fitted = getattr(estimator, "_fit_X", None)
    is_table = isinstance(fitted, np.ndarray) and fitted.ndim == 2 and fitted.dtype in (np.float32, np.float64)
    by_product = getattr(estimator, "_fit_method", None) == "brute"
    is_euclidean = getattr(estimator, "effective_metric_", None) == "euclidean"
    return is_table and by_product and is_euclidean and not getattr(estimator, "effective_metric_params_", None)


def steady_neighbours(estimator: Any) -> Any:
    """Return a copy that finds the neighbours of a row whatever rows are asked with it.

    Parameters
    ----------
    estimator : KNeighborsClassifier or KNeighborsRegressor
        Fitted, as `has_products` says; it is not changed.
    """
    from sklearn.utils.validation import validate_data

    search = _Search(estimator)

    def kneighbors(self: Any, X: Any, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        rows = validate_data(estimator, X, accept_sparse="csr", reset=False, order="C")
        if not isinstance(rows, np.ndarray):
            rows = rows.toarray()
        far, near = search.nearest(rows, self.n_neighbors if n_neighbors is None else n_neighbors)
        return (far, near) if return_distance else near

    made = copy.copy(estimator)
    made._fit_method = "candidates"  # "brute" would go past kneighbors
    made.kneighbors = MethodType(kneighbors, made)
    return made


class _Search:
    """Finds the nearest rows of training.

    Parameters
    ----------
    estimator : object
        Its own ``kneighbors`` finds candidates.
    """

    def __init__(self, estimator: Any) -> None:
        """Look how large the rows of training are."""
        self._own, self._learned = estimator, estimator._fit_X
        self._largest = max(float(self._squares(part).max()) for part in self._parts())

    def nearest(self, rows: NDArray[Any], k: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return distances and places of the `k` nearest rows of training, arrays of shape (n_rows, k)."""
        n_learned, width = self._learned.shape
        n_candidates = min(k + MORE, n_learned)
        at_once = max(1, NUMBERS_AT_ONCE // (n_candidates * width))
        distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.intp)
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            far, near = self._own.kneighbors(some, n_candidates)
            squares = self._squares(self._learned[near].astype(np.float64) - some[:, None, :].astype(np.float64))
            order = np.lexsort((near, squares))[:, :k]
            near, squares = np.take_along_axis(near, order, axis=1), np.take_along_axis(squares, order, axis=1)
            if n_candidates < n_learned:
                edge = far[:, -1].astype(np.float64) ** 2
                doubt = ROUNDINGS * (width + 8) * np.finfo(far.dtype).eps
                error = doubt * (self._squares(some.astype(np.float64)) + self._largest)
                for row in np.flatnonzero(~(squares[:, -1] + error < edge)):
                    near[row], squares[row] = self._among_all(some[row], k)
            distances[start : start + at_once], places[start : start + at_once] = np.sqrt(squares), near
        return distances, places

    def _among_all(self, row: NDArray[Any], k: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Look a row up among all rows of training: places and squared distances of the nearest."""
        own = row.astype(np.float64)
        squares = np.concatenate([self._squares(part - own) for part in self._parts()])
        near = np.flatnonzero(squares <= np.partition(squares, k - 1)[k - 1])
        near = near[np.lexsort((near, squares[near]))[:k]]
        return near, squares[near]

    def _parts(self) -> Any:
        """Rows of training in float64, some at a time."""
        at_once = max(1, NUMBERS_AT_ONCE // self._learned.shape[1])
        for start in range(0, len(self._learned), at_once):
            yield self._learned[start : start + at_once].astype(np.float64)

    @staticmethod
    def _squares(differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of squares over the last axis, each in the same order."""
        return np.asarray(np.einsum("...j,...j->...", differences, differences))
