"""The rows and folds of a grid search: brought together once, cut fold by fold where the fits run."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask import delayed, is_dask_collection
from dask.delayed import Delayed
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import _safe_indexing, indexable

from daskflow.core.errors import DataError
from daskflow.search.array_blocks import Broken, concatenate, n_rows, row_blocks
from daskflow.search.places import Place


@dataclass(frozen=True)
class Rows:
    """Everything that has one value per row, in memory.

    Attributes
    ----------
    X, y, groups : array-like or None
        Of n_rows rows.
    fit_params : mapping
        For `fit`; those with a value per row are cut with the rows.
    """

    X: Any
    y: Any
    groups: Any
    fit_params: Mapping[str, Any]


@dataclass(frozen=True)
class Fold:
    """One fold's training and test rows, and the weights that `fit` was given, which score too."""

    X_train: Any
    y_train: Any
    X_test: Any
    y_test: Any
    fit_params: Mapping[str, Any]
    weight_test: Any = None


@dataclass(frozen=True)
class Folds:
    """Handles of the rows and of the folds' row numbers, and how many folds there are."""

    rows: Any
    splits: Any
    n_folds: int


def gather(
    X: Any, y: Any, groups: Any, fit_params: Mapping[str, Any], *, cv: Any, classifier: bool, place: Place
) -> Folds:
    """Bring the rows together where the fits run, each lazy source computed once, and draw the folds there.

    Raises
    ------
    DataError
        When lengths differ.
    """
    values = {"X": X, "y": y, "groups": groups, **{f"param {name}": value for name, value in fit_params.items()}}
    lazy = {name: _together(value, place) for name, value in values.items() if is_dask_collection(value)}
    held = dict(zip(lazy, place.hold(list(lazy.values())), strict=True))
    known = {name: held[name] if name in held else _put(value, place) for name, value in values.items()}
    params = {name: known[f"param {name}"] for name in fit_params}
    rows = place.call(make_rows, known["X"], known["y"], known["groups"], params)
    if not isinstance(cv, numbers.Integral) and cv is not None:
        cv = check_cv(cv)
    splits = place.call(draw_splits, rows, 3 if cv is None else cv, classifier)
    return Folds(rows, splits, place.fetch([place.call(len, splits)])[0])


def _together(value: Any, place: Place) -> Delayed:
    return delayed(concatenate, pure=False)(row_blocks(value, place))


def _put(value: Any, place: Place) -> Any:
    """Hand over what is in memory; small values travel with the task."""
    return value if value is None or np.ndim(_shape_of(value)) == 0 else place.put(value)


def _shape_of(value: Any) -> Any:
    return value.shape if hasattr(value, "shape") else [0] if isinstance(value, list | tuple) else 0


def make_rows(X: Any, y: Any, groups: Any, fit_params: Mapping[str, Any]) -> Rows:
    """Check the lengths and make everything indexable."""
    lengths = {name: n_rows(value) for name, value in (("X", X), ("y", y), ("groups", groups)) if value is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"The numbers of rows differ: {found}. They must come from the same rows in the same order.")
    X, y, groups = indexable(X, y, groups)
    return Rows(X, y, groups, fit_params)


def draw_splits(rows: Rows, cv: Any, classifier: bool) -> list[tuple[Any, Any]]:
    """Return (train, test) row numbers of each fold; DataError for those of another table."""
    splitter = check_cv(cv, rows.y, classifier=classifier)
    total = n_rows(rows.X)
    if isinstance(splitter, PredefinedSplit) and len(splitter.test_fold) != total:
        raise DataError(
            f"cv is a PredefinedSplit of {len(splitter.test_fold)} rows, and there are {total}: it must say the fold "
            "of every row, in their order."
        )
    splits = [(np.asarray(train), np.asarray(test)) for train, test in splitter.split(rows.X, rows.y, rows.groups)]
    for number, parts in enumerate(splits):
        highest = max((int(part.max()) for part in parts if part.dtype != bool and len(part)), default=-1)
        if highest >= total:
            raise DataError(f"cv names row {highest} in fold {number}, and there are {total} rows, counted from 0.")
    return splits


def cut(rows: Rows, splits: Sequence[tuple[Any, Any]], number: int, pairwise: bool) -> Fold:
    """Return one fold's rows; a pairwise X (a kernel) loses the columns of the test rows too."""
    train, test = splits[number]
    total = n_rows(rows.X)
    params = {
        name: _take(value, train) if _is_per_row(value, total) else value for name, value in rows.fit_params.items()
    }
    if pairwise:
        X_train, X_test = rows.X[np.ix_(train, train)], rows.X[np.ix_(test, train)]
    else:
        X_train, X_test = _take(rows.X, train), _take(rows.X, test)
    weight = rows.fit_params.get("sample_weight")
    weight_test = _take(weight, test) if _is_per_row(weight, total) else None
    return Fold(X_train, _take(rows.y, train), X_test, _take(rows.y, test), params, weight_test)


def cut_and_keep(rows: Rows, splits: Sequence[tuple[Any, Any]], number: int, pairwise: bool) -> tuple[Any, None]:
    """Cut a fold once for all its fits; a failure is kept in its place."""
    try:
        return cut(rows, splits, number, pairwise), None
    except Exception as error:
        return Broken(error), None


def _is_per_row(value: Any, total: int) -> bool:
    has_rows = bool(getattr(value, "shape", ())) or isinstance(value, list | tuple)
    return has_rows and n_rows(value) == total


def _take(values: Any, rows: Any) -> Any:
    return None if values is None else _safe_indexing(values, rows)
