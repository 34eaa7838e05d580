"""Suspected leaks: columns that alone predict the target as only something made from it, or known after it, would.

Each column is asked for the target by itself: numbers and times by a shallow decision tree, other columns by the mean
of the target of their levels, always on rows that neither was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.arrays import levels, numbers, seconds
from daskflow.data.profile_words import shown_of
from daskflow.data.schema import ColumnKind, kind_of
from daskflow.metrics.decisions import folds_of
from daskflow.metrics.ranking import RocAuc
from daskflow.metrics.regression import R2

Floats = NDArray[np.float64]

SURE = 0.99
"""A column of this strength is suspected, whatever the others say."""

STRONG, APART = 0.7, 3.0
TOGETHER, OTHERS = 3, 5
"""So is one of a strength of 0.7 when it is three times as strong as all others, of which there are at least `OTHERS`,
but for at most `TOGETHER` that are strong as well: of few columns one is the strongest by nature."""

MOST_ROWS = 10_000
"""Rows looked at; more are thinned."""

LEAVES, LEAST_LEAF = 64, 10
PRIOR_ROWS = 10.0
"""How many rows the mean of all counts beside those of a level."""


def leaks(
    train: pa.Table,
    y: Any,
    task: str,
    importance: Mapping[str, Any] | None = None,
    *,
    unit: Any = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the columns that are suspected to leak the target, the strongest first.

    A column's *strength* is twice the area under its ROC curve less one (classes; the mean over classes of each against
    the rest) or its R2 (numbers), cross-validated. Suspected are: columns of a strength of at least 0.99; and, where
    there are five others or more, columns of at least 0.7 that are three times as strong as every other, if at most
    three are. Where many columns are strong the target is easy, and nobody is accused.

    Parameters
    ----------
    train : pa.Table
        A random sample of training rows: the columns that the model learns from.
    y : array of shape (n_rows,)
        Class codes, or numbers.
    task : str
        binary, multiclass or regression.
    importance : mapping, optional
        ``details["importance"]``: a suspected column's share of the model's importances is told too.
    unit : uint64 array of shape (n_rows,), optional
        Rows of one unit stand in one fold, so that a column which names the unit is not called a leak for it.
    seed : int
        Of the folds.

    Returns
    -------
    list of dict
        ``column``, ``metric`` (``roc_auc`` or ``r2``), ``score``, ``text``.

    Raises
    ------
    DataError
        When rows and targets differ in number.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 2000)
    >>> table = pa.table({"age": rng.normal(size=2000), "paid_back": np.where(y == 1, "no", "yes")})
    >>> [(row["column"], row["score"]) for row in leaks(table, y, "binary")]
    [('paid_back', 1.0)]
    """
    truth = np.asarray(y)
    if train.num_rows != len(truth):
        raise DataError(f"There are {train.num_rows} rows of source columns and {len(truth)} of the target.")
    if task not in ("binary", "multiclass", "regression"):
        return []
    return leaks_of(alone(train, truth, task, unit=unit, seed=seed), task, importance)


def leaks_of(
    scores: Mapping[str, float], task: str, importance: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return what `leaks` does, from what `alone` says of each column."""
    metric = "r2" if task == "regression" else "roc_auc"
    strengths = {name: score if metric == "r2" else 2 * score - 1 for name, score in scores.items()}
    rows = []
    for name in sorted(suspected(strengths), key=lambda name: (-strengths[name], name)):
        score = scores[name]
        said = f"explains {100 * score:.1f} % of the target's variance"
        if metric == "roc_auc":
            said = f"ranks the target with an area under the ROC curve of {score:.4f}"
        text = (
            f"{shown_of(name)} alone {said} on rows it was not fitted on{_of_importance(name, importance)}: a "
            "suspected leak. Is it known before the target is? If not, leave the column out."
        )
        rows.append({"column": name, "metric": metric, "score": score, "text": text})
    return rows


def suspected(strengths: Mapping[str, float]) -> list[str]:
    """Return the columns whose strength is suspicious.

    Examples
    --------
    >>> suspected({"delay": 0.83, "hour": 0.04, "a": 0.1, "b": 0.0, "c": 0.1, "d": 0.2})
    ['delay']
    >>> suspected({"a": 0.98, "b": 0.97, "c": 0.6, "d": 0.5, "e": 0.1, "f": 0.1, "g": 0.0})
    []
    >>> suspected({"copy": 1.0, "a": 0.9, "b": 0.8})
    ['copy']
    """
    sure = [name for name, strength in strengths.items() if strength >= SURE]
    others = {name: strength for name, strength in strengths.items() if strength < SURE}
    strong = [name for name, strength in others.items() if strength >= STRONG]
    rest = [max(strength, 0.0) for name, strength in others.items() if name not in strong]
    if (
        0 < len(strong) <= TOGETHER
        and len(rest) >= OTHERS
        and min(others[name] for name in strong) >= APART * max(rest)
    ):
        return [*sure, *strong]
    return sure


def alone(train: pa.Table, y: Any, task: str, *, unit: Any = None, seed: int = 0) -> dict[str, float]:
    """Return what each column alone says about the target: the area under the ROC curve, or R2, cross-validated.

    Columns of types that no model can use, and targets of one value, say nothing and are left out.
    """
    truth = np.asarray(y)
    units = None if unit is None else np.asarray(unit, dtype=np.uint64)
    if len(truth) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(truth), MOST_ROWS, replace=False))
        train, truth = train.take(pa.array(chosen)), truth[chosen]
        units = None if units is None else units[chosen]
    if len(truth) < 2 * LEAST_LEAF or len(np.unique(truth)) < 2:
        return {}
    is_number = task == "regression"
    codes = np.zeros(len(truth), dtype=np.int64) if is_number else np.unique(truth, return_inverse=True)[1]
    folds = folds_of(codes, unit=units, seed=seed)
    target = truth.astype(np.float64)[:, None] if is_number else np.eye(int(codes.max()) + 1)[codes]
    found = {}
    for name in train.column_names:
        predicted = _predicted(train.column(name), name, target, folds)
        if predicted is None:
            continue
        if is_number:
            found[name] = R2().score(truth, predicted[:, 0])
        else:
            given = predicted[:, 1] if predicted.shape[1] == 2 else predicted
            found[name] = RocAuc().score(codes, given)
    return found


def _predicted(column: Any, name: str, target: Floats, folds: NDArray[np.int64]) -> Floats | None:
    """The target as one column predicts it, out of fold; None for types that no model can use."""
    from sklearn.tree import DecisionTreeRegressor

    try:
        kind = kind_of(column.type, name)
    except DataError:
        return None
    found = np.empty_like(target)
    if kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
        values = seconds(column) if kind is ColumnKind.DATETIME else numbers(column)
        # a tree looks at the order only, and at float32; ranks are exact there, and have no infinities
        ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
        ranks[np.isnan(values)] = np.nan
        for number in np.unique(folds):
            other = folds != number
            tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_LEAF, random_state=0)
            tree.fit(ranks[other, None], target[other])
            found[~other] = tree.predict(ranks[~other, None]).reshape(-1, target.shape[1])
        return found
    codes = levels(column).codes + 1
    for number in np.unique(folds):
        other = folds != number
        counts = np.bincount(codes[other], minlength=int(codes.max()) + 1)
        means = target[other].mean(axis=0)
        for place in range(target.shape[1]):
            sums = np.bincount(codes[other], target[other, place], len(counts))
            found[~other, place] = ((sums + PRIOR_ROWS * means[place]) / (counts + PRIOR_ROWS))[codes[~other]]
    return found


def _of_importance(name: str, importance: Mapping[str, Any] | None) -> str:
    """What part of all importances a column has, as words."""
    columns = [] if importance is None else importance.get("columns") or []
    values = {row["column"]: max(row["value"] or 0.0, 0.0) for row in columns}
    total = sum(values.values())
    if not total or name not in values:
        return ""
    return f", and {100 * values[name] / total:.0f} % of the model's importances are its"
