"""Nested cross-validation: how good the model is that a search finds, on rows that the search never saw."""

from __future__ import annotations

import inspect
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask import delayed, is_dask_collection
from scipy import stats
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing

from daskflow.core.errors import DataError, SettingsError
from daskflow.search.array_blocks import concrete, n_rows, row_blocks
from daskflow.search.places import Here

FRAMES = (dd.DataFrame, dd.Series)


@dataclass(frozen=True)
class NestedScores:
    """What the searches of the outer folds came to.

    Attributes
    ----------
    scores : mapping of str to array of shape (n_folds,)
        Of the model that each search chose, on the outer fold's test rows, by metric.
    metric : str
        The first of them, which `mean`, `std` and `interval` mean by default.
    params : tuple of dict
        What each search chose.
    inner_scores : array of shape (n_folds,)
        What each search took its best to be; on average too high, for the best of many is partly the luckiest.
    n_train, n_test : tuple of int
        Rows of each outer fold.
    searches : tuple
        The fitted searches, when they were asked for.
    """

    scores: Mapping[str, Any]
    metric: str
    params: tuple[dict[str, Any], ...]
    inner_scores: Any
    n_train: tuple[int, ...]
    n_test: tuple[int, ...]
    searches: tuple[Any, ...] = field(default=(), repr=False)

    def mean(self, metric: str | None = None) -> float:
        """Mean over the outer folds."""
        return float(np.mean(self.scores[metric or self.metric]))

    def std(self, metric: str | None = None) -> float:
        """Standard deviation over the outer folds."""
        return float(np.std(self.scores[metric or self.metric], ddof=1))

    def interval(self, metric: str | None = None, *, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the mean; nan with a single fold.

        Folds share training rows, so their scores are not independent: the variance is corrected as by Nadeau and
        Bengio ("Inference for the Generalization Error", Machine Learning 52, 2003) by the ratio of test to training
        rows, with Student's t. It can reach beyond what the metric can be.
        """
        values = np.asarray(self.scores[metric or self.metric])
        if len(values) < 2:
            return math.nan, math.nan
        ratio = sum(self.n_test) / sum(self.n_train)
        half = (
            float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * self.std(metric) * math.sqrt(1 / len(values) + ratio)
        )
        return self.mean(metric) - half, self.mean(metric) + half

    def frame(self) -> pd.DataFrame:
        """One row per outer fold: scores, the search's own score, rows, and what was chosen."""
        rows = {name: np.asarray(values) for name, values in self.scores.items()}
        table = pd.DataFrame({**rows, "inner_score": self.inner_scores, "n_train": self.n_train, "n_test": self.n_test})
        table["params"] = pd.Series(list(self.params), dtype=object)
        return table


def nested_cross_validate(
    search: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    fit_params: Mapping[str, Any] | None = None,
    return_searches: bool = False,
) -> NestedScores:
    """Search anew on each outer fold's training rows, and score what it found on the fold's test rows.

    The search sees no test row: it is cloned for each fold and gets rows cut from X, y, `groups` and those of
    `fit_params` that have a value per row. dask input is cut block by block and stays lazy; of y and `groups` the
    values are brought into memory to draw the folds.

    Parameters
    ----------
    search : estimator
        Any search of `daskflow.search`, or one that looks like them.
    X, y : array, sparse matrix, DataFrame, Series, list, or their dask forms
        Of the same rows; a dask X and a dask y have the same blocks.
    cv : int, splitter or iterable, default 5
        Outer folds; an int is stratified for classifiers, and keeps groups together when there are groups.
    groups : array-like, optional
        Rows of one group stay on one side, outside and inside: the search gets the groups of its rows if its ``fit``
        takes any.
    scoring : str, callable, list, dict or None
        Of the outer test rows; None for the search's own ``score``.
    fit_params : mapping, optional
        For the search's ``fit``, such as ``classes`` or ``sample_weight``.
    return_searches : bool, default False
        Keep the fitted searches.

    Returns
    -------
    NestedScores
        With ``mean()``, ``interval()``, ``params`` and ``frame()``.

    Raises
    ------
    DataError
        When X, y and `groups` do not pair.
    SettingsError
        For a search whose ``refit`` leaves nothing to score.

    Warns
    -----
    UserWarning
        When there are groups that the search itself cannot heed.

    References
    ----------
    G. Cawley and N. Talbot, "On Over-fitting in Model Selection and Subsequent Selection Bias in Performance
    Evaluation", JMLR 11, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from daskflow.search import GridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> found = nested_cross_validate(GridSearchCV(SVC(), {"C": [0.01, 1.0]}), X, y, cv=3)
    >>> found.mean() > 0.9, len(found.params)
    (True, 3)
    """
    if getattr(search, "refit", True) is False:
        raise SettingsError("refit=False leaves no model to score on the outer folds: set refit=True on the search.")
    if not isinstance(X, da.Array | dd.DataFrame):
        X = concrete(X)
    blocks = _block_lengths(X, y)
    target, keys = (None if each is None else _values(each) for each in (y, groups))
    total = n_rows(X) if blocks is None else sum(blocks)
    for name, values in (("y", target), ("groups", keys)):
        if values is not None and n_rows(values) != total:
            raise DataError(f"X has {total} rows and {name} has {n_rows(values)}; they must have the same rows.")
    splits = _splits(search, cv, total, target, keys)
    passes_groups = keys is not None and _takes_groups(search)
    if keys is not None and not passes_groups:
        warnings.warn(
            f"{type(search).__name__} takes no groups: outer folds keep them together, but within the search rows of "
            "one group stand on both sides, so that it may choose less well. The outer scores are right.",
            stacklevel=2,
        )
    scores: dict[str, list[float]] = {}
    chosen, inner, fitted = [], [], []
    for train, test in splits:
        own = clone(search)
        params = {name: _cut_param(value, train, total) for name, value in (fit_params or {}).items()}
        if passes_groups:
            params["groups"] = _safe_indexing(keys, train)
        own.fit(_cut(X, train, blocks), _cut(y, train, blocks), **params)
        for name, score in _scores(own, scoring, _cut(X, test, blocks), _cut(y, test, blocks)).items():
            scores.setdefault(name, []).append(score)
        chosen.append(dict(own.best_params_))
        inner.append(_inner_score(own))
        fitted.append(own)
    return NestedScores(
        scores={name: np.array(values) for name, values in scores.items()},
        metric=next(iter(scores)),
        params=tuple(chosen),
        inner_scores=np.array(inner),
        n_train=tuple(len(train) for train, _ in splits),
        n_test=tuple(len(test) for _, test in splits),
        searches=tuple(fitted) if return_searches else (),
    )


def _splits(search: Any, cv: Any, total: int, y: Any, groups: Any) -> list[tuple[Any, Any]]:
    """Row numbers of the outer folds."""
    classifies = bool(is_classifier(search.estimator))
    if groups is not None and isinstance(cv, int | np.integer):
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        cv = StratifiedGroupKFold(int(cv)) if classifies else GroupKFold(int(cv))
    splitter = check_cv(cv, y, classifier=classifies)
    found = list(splitter.split(np.zeros((total, 1)), y, groups))
    return [(np.sort(np.asarray(train)), np.sort(np.asarray(test))) for train, test in found]


def _takes_groups(search: Any) -> bool:
    return "groups" in inspect.signature(search.fit).parameters


def _values(value: Any) -> Any:
    """The values of y or groups, in memory and without an index."""
    (found,) = dask.compute(value)
    return np.asarray(found)


def _block_lengths(X: Any, y: Any) -> list[int] | None:
    """Rows of each block of a dask X, which a dask y must share; None for X in memory."""
    for name, value in (("X", X), ("y", y)):
        if is_dask_collection(value) and not isinstance(value, (da.Array, *FRAMES)):
            raise DataError(
                f"{name} is a dask {type(value).__name__}: give an array or a DataFrame, lazy or in memory."
            )
    lengths = {name: _lengths(value) for name, value in (("X", X), ("y", y)) if is_dask_collection(value)}
    if not lengths:
        return None
    if "X" not in lengths:
        raise DataError("y is a dask collection and X is not: compute y, or give X in the same blocks.")
    if "y" in lengths and lengths["X"] != lengths["y"]:
        raise DataError(
            f"The blocks of X have {_some(lengths['X'])} rows and those of y {_some(lengths['y'])}: their rows cannot "
            "be paired. Take both from one dask DataFrame as they are, or give y the chunks of X."
        )
    return lengths["X"]


def _some(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths[:4])) + (", ..." if len(lengths) > 4 else "")


def _lengths(value: Any) -> list[int]:
    if isinstance(value, da.Array) and not math.isnan(value.shape[0]):
        return list(value.chunks[0])
    return [int(each) for each in dask.compute(*[delayed(n_rows)(block) for block in _blocks(value)])]


def _blocks(value: Any) -> list[Any]:
    return row_blocks(value, Here(None))  # type: ignore[arg-type]  # dask collections need no executor


def _cut(value: Any, rows: Any, blocks: Sequence[int] | None) -> Any:
    """Return some rows, sorted; of a dask collection block by block, and still lazy."""
    if value is None:
        return None
    if not is_dask_collection(value):
        return _safe_indexing(concrete(value), rows)
    ends = np.cumsum([0, *(blocks or ())])
    parts = [rows[(rows >= start) & (rows < stop)] - start for start, stop in itertools.pairwise(ends)]
    pieces = [
        (delayed(_safe_indexing, pure=False)(block, part), len(part))
        for block, part in zip(_blocks(value), parts, strict=True)
        if len(part)
    ]
    if isinstance(value, FRAMES):
        return dd.from_delayed([piece for piece, _ in pieces], meta=value._meta, verify_meta=False)
    shape = value.shape[1:]
    return da.concatenate([da.from_delayed(piece, (n, *shape), meta=value._meta) for piece, n in pieces])


def _cut_param(value: Any, rows: Any, total: int) -> Any:
    """The values of the rows, of a fit parameter that has one per row."""
    has_rows = bool(getattr(value, "shape", ())) or isinstance(value, list | tuple)
    if is_dask_collection(value):
        (value,) = dask.compute(value)
    return _safe_indexing(value, rows) if has_rows and n_rows(value) == total else value


def _scores(search: Any, scoring: Any, X: Any, y: Any) -> dict[str, float]:
    """Score a fitted search's model on rows."""
    X, y = dask.compute(X, y)
    pair = (X,) if y is None else (X, y)
    if scoring is None:
        return {"score": float(search.score(*pair))}
    names = scoring if isinstance(scoring, Mapping) else scoring if isinstance(scoring, list | tuple | set) else None
    if names is None:
        return {"score": float(check_scoring(search.best_estimator_, scoring=scoring)(search.best_estimator_, *pair))}
    scorers = names.items() if isinstance(names, Mapping) else ((name, name) for name in names)
    return {
        name: float(check_scoring(search.best_estimator_, scoring=one)(search.best_estimator_, *pair))
        for name, one in scorers
    }


def _inner_score(search: Any) -> float:
    """The search's own best score; nan where it has none."""
    try:
        return float(search.best_score_)
    except AttributeError:
        return math.nan
