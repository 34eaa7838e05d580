"""Permutation importance of source columns: how much worse the model answers when a column's values are shuffled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor, Kept, MetricSettings, Predictor, Unit
from daskflow.core.seeds import seed_of
from daskflow.core.settings import nearest
from daskflow.data.predictions import Predictions
from daskflow.explain.bounded import Deadline, Record, gather, nothing, prepare
from daskflow.explain.columns import associated_pairs, by_promise, columns_of, open_rows
from daskflow.explain.outputs import number, values

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

PARTS = 20
"""Parts of the rows that are left out one after the other to find how sure an importance is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows with their truth, and how the model answers them; kept on a worker.

    Attributes
    ----------
    predictor : Predictor
        The model.
    rows : pyarrow.Table
        Source columns.
    y, weight : ndarray of shape (n_rows,)
        Truth, and weights or None.
    metric : MetricSettings
        For the task.
    part : ndarray of int64, shape (n_rows,)
        The part that each row is left out with.
    n_parts : int
        Parts; fewer than two when there is nothing to tell from.
    baseline : float
        The metric of the untouched rows.
    orders : tuple of ndarray of int64, shape (n_rows,)
        Of each shuffle: the row that each row takes its value from. The same for all columns, as in scikit-learn.
    without : ndarray of shape (n_repeats, n_parts)
        The metric of the untouched rows that are left when a part goes, as a row or as the one it takes its value from.
    """

    predictor: Predictor
    rows: pa.Table
    y: NDArray[Any]
    weight: Floats | None
    metric: MetricSettings
    part: Places
    n_parts: int
    baseline: float
    orders: tuple[Places, ...]
    without: Floats

    def predictions(self, rows: pa.Table) -> NDArray[Any]:
        """What the metric needs of rows."""
        return np.asarray(self.predictor.predictions(rows).of(self.metric.needs))

    def score(self, predictions: NDArray[Any], at: Any = slice(None)) -> float:
        """The metric of some of the rows."""
        weight = None if self.weight is None else self.weight[at]
        return float(self.metric.score(self.y[at], predictions[at], weight))

    def scores_without(self, predictions: NDArray[Any], order: Places) -> Floats:
        """The metric without the rows of each part, and without those that take their value from one of these."""
        giver = self.part[order]
        kept = (np.flatnonzero((self.part != part) & (giver != part)) for part in range(self.n_parts))
        return np.array([self.score(predictions, at) if len(at) else math.nan for at in kept])


def permutation_importance(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    y: Any,
    metric: MetricSettings,
    *,
    weight: Any = None,
    unit: Any = None,
    columns: Sequence[str] | None = None,
    repeats: int = 5,
    seed: int,
    executor: Executor,
    seconds: float | None = None,
    earlier: Mapping[str, Record] | None = None,
    record: Callable[[Record], None] = nothing,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Measure how much a metric gets worse when the values of a source column are dealt out to other rows.

    The column goes through preprocessing and model as new data would, so the importance is of the column as it stands
    in the table, not of what preprocessing makes of it.

    Parameters
    ----------
    predictor : Predictor
        From source columns on; picklable.
    rows : pyarrow.Table, or path of an Arrow IPC file that all workers see
        Source columns of rows that the model was not trained on, of shape (n_rows, n_columns).
    y : array of shape (n_rows,)
        Class codes (int64), or numbers.
    metric : MetricSettings
        Judges.
    weight : array of shape (n_rows,), optional
        Of the rows in the metric. The shuffling does not look at it, as in scikit-learn.
    unit : array of shape (n_rows,), optional
        Rows of one unit are left out together when the interval is found. Default: every row by itself.
    columns : sequence of str, optional
        Default: all that the model learned (``predictor.schema``, where there is one).
    repeats : int
        Shuffles of each column; an importance is their mean. Default 5, as in scikit-learn.
    seed : int
        Of the shuffles, which are the same for every column and any executor.
    executor : Executor
        Runs one unit per column; nothing is pending.
    seconds : float, optional
        Nothing new is begun afterwards. The columns that go with the predictions most come first.
    earlier : mapping of str to record, optional
        Records of columns that are finished: they are not computed again.
    record : callable
        Given the record of each column as it is finished, for `earlier`.
    groups : mapping of str to sequence of str, optional
        Columns that are shuffled together, row by row, under one name; see `associated_groups`. They do not stand for
        themselves then.

    Returns
    -------
    dict
        Plain values (None for nan): ``metric``, ``rows``, ``repeats``, ``baseline`` (the metric of the untouched rows),
        ``columns``: a list of ``column``, ``value``, ``low``, ``high``, largest first (positive: it matters, in the
        metric's unit and whatever its direction; of groups also ``members``), ``left_out``: names, ``notes``:
        sentences, ``associated``: pairs of columns that go together (``[first, second, size]``, from 0.8 on), of
        which each can stand in for the other so that both look unimportant, and ``seconds``.

    Raises
    ------
    DataError
        For unknown columns, lengths that differ, and predictions that the metric cannot use.

    Notes
    -----
    The interval is the value plus and minus a t quantile times the standard error of the delete-a-group jackknife:
    the rows are dealt out to 20 parts, and the importance is computed 20 times without one, from the same predictions.
    A row and the value it was given are left out where either stems from the part, so that the error holds the draw of
    the rows, as those that are judged and as those that values are taken from, and the draw of the shuffles. Baseline
    and shuffle are of the same rows each time. It takes the fitted model as given. Simulated with 100 and 600 rows
    (area under the ROC curve, log loss, accuracy, and root mean squared error with heavy tails) it held the true
    importance in 87 to 100 of 100 cases, below 95 only of 100 rows with heavy tails; with a single shuffle it is wide.

    Cost: ``repeats`` predictions of all rows, and 21 times so many metrics, for every column.

    References
    ----------
    L. Breiman, "Random Forests", Machine Learning 45, 2001. A. Fisher, C. Rudin and F. Dominici, "All Models are
    Wrong, but Many are Useful", JMLR 20, 2019. J. Shao and C. F. J. Wu, "A General Theory for Jackknife Variance
    Estimation", Annals of Statistics 17, 1989.

    Examples
    --------
    >>> from daskflow.data.execution import InlineExecutor
    >>> from daskflow.data.predictions import Predictions
    >>> class Double:
    ...     task, classes = "regression", ()
    ...     def predictions(self, table):
    ...         return Predictions(2.0 * table["a"].to_numpy())
    >>> import daskflow
    >>> rmse, a = daskflow.metrics.parse("rmse"), np.arange(200.0)
    >>> rows = pa.table({"a": a, "b": a})
    >>> found = permutation_importance(Double(), rows, 2 * a, rmse, seed=7, executor=InlineExecutor())
    >>> [(each["column"], each["value"] > 100) for each in found["columns"]], found["associated"]
    ([('a', True), ('b', False)], [['a', 'b', 1.0]])
    """
    deadline = Deadline(seconds)
    if repeats < 1:
        raise DataError(f"repeats should be at least 1 (found {repeats}).")
    table = open_rows(rows)
    y = np.asarray(y)
    for word, given in (("y", y), ("weight", weight), ("unit", unit)):
        if given is not None and len(given) != len(table):
            raise DataError(f"{word} has {len(given)} values, and there are {len(table)} rows.")
    if not len(table):
        raise DataError("There are no rows to find importances from.")
    shuffled = _together(columns_of(predictor, table, columns), groups or {}, table.column_names)
    settled = metric.for_task(predictor.task, len(predictor.classes))
    weights = None if weight is None else np.asarray(weight, dtype=np.float64)
    arguments = (
        predictor,
        rows,
        y,
        weights,
        None if unit is None else np.asarray(unit),
        settled,
        shuffled,
        repeats,
        seed,
    )
    key, start = prepare(executor, "importance", judge, arguments)
    try:
        found = gather(
            executor,
            start["order"],
            lambda place, name, unit_key: Unit(
                unit_key, shuffle_column, (Kept(key), name, shuffled[name]), priority=-place
            ),
            what="Importance",
            deadline=deadline,
            earlier=earlier or {},
            record=record,
        )
    finally:
        executor.release([key])
    told = [{word: value for word, value in each.items() if word != "baseline"} for each in found.records.values()]
    return {
        "metric": metric.name,
        "rows": len(table),
        "repeats": repeats,
        "baseline": start["baseline"],
        "columns": sorted(told, key=lambda each: -math.inf if each["value"] is None else each["value"], reverse=True),
        "left_out": list(found.left_out),
        "notes": [*start["notes"], *found.notes],
        "associated": start["associated"],
        "seconds": deadline.elapsed,
    }


def judge(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    y: NDArray[Any],
    weight: Floats | None,
    unit: NDArray[Any] | None,
    metric: MetricSettings,
    shuffled: Mapping[str, Sequence[str]],
    repeats: int,
    seed: int,
) -> tuple[Judged, dict[str, Any]]:
    """Answer the untouched rows, and say in which order columns are worth looking at."""
    table = open_rows(rows).combine_chunks()
    predictions = predictor.predictions(table)
    outputs = values(predictions, len(predictor.classes))[0]
    part, n_parts = parts_of(len(table), unit, seed)
    orders = tuple(
        np.random.default_rng(seed_of(seed, "shuffle", repeat)).permutation(len(table)) for repeat in range(repeats)
    )
    judged = judge_in(orders, predictor, table, y, weight, metric, part, n_parts, predictions)
    baseline = judged.baseline
    names = list(dict.fromkeys(name for members in shuffled.values() for name in members))
    places = {name: place for place, name in enumerate(by_promise(table, names, outputs))}
    notes = []
    if math.isnan(baseline):
        notes.append(f"{metric.name} is not defined on these {len(table)} rows, so there are no importances.")
    return judged, {
        "baseline": number(baseline),
        "order": sorted(shuffled, key=lambda name: min(places[member] for member in shuffled[name])),
        "associated": [list(pair) for pair in associated_pairs(table, names)],
        "notes": notes,
    }


def judge_in(
    orders: Sequence[Places],
    predictor: Predictor,
    rows: pa.Table,
    y: NDArray[Any],
    weight: Floats | None,
    metric: MetricSettings,
    part: Places,
    n_parts: int,
    predictions: Predictions,
) -> Judged:
    """Score the untouched rows, and those that are left when a part goes."""
    bare = Judged(predictor, rows, y, weight, metric, part, n_parts, math.nan, tuple(orders), np.empty((0, 0)))
    needed = np.asarray(predictions.of(metric.needs))
    without = np.array([bare.scores_without(needed, order) for order in orders])
    return replace(bare, baseline=bare.score(needed), without=without)


def shuffle_column(judged: Judged, name: str, members: Sequence[str]) -> dict[str, Any]:
    """Return the record of one column, or of columns that are shuffled together."""
    value, error = shuffled_loss(judged, members)
    half = float(stdtrit(max(judged.n_parts - 1, 1), 0.975)) * error
    found = {"column": name, "value": number(value), "low": number(value - half), "high": number(value + half)}
    return found | ({} if list(members) == [name] else {"members": list(members)})


def shuffled_loss(judged: Judged, members: Sequence[str]) -> tuple[float, float]:
    """Return how much the metric gets worse when columns change places together, and its standard error."""
    losses = np.empty(len(judged.orders))
    left = np.empty((len(judged.orders), judged.n_parts))
    for repeat, order in enumerate(judged.orders):
        rows = judged.rows
        for member in members:
            place = rows.column_names.index(member)
            rows = rows.set_column(place, rows.schema.field(place), rows.column(place).take(pa.array(order)))
        predictions = judged.predictions(rows)
        losses[repeat] = judged.baseline - judged.score(predictions)
        left[repeat] = judged.without[repeat] - judged.scores_without(predictions, order)
    sign = 1.0 if judged.metric.greater_is_better else -1.0
    value = sign * float(losses.mean()) + 0.0
    if judged.n_parts < 2:
        return value, math.nan
    of_part = left.mean(axis=0)
    spread = float(((of_part - of_part.mean()) ** 2).sum())
    return value, math.sqrt(spread * (judged.n_parts - 1) / judged.n_parts)


def parts_of(n_rows: int, unit: NDArray[Any] | None, seed: int) -> tuple[Places, int]:
    """Deal rows out to parts, rows of one unit to the same; returns each row's part and the number of parts."""
    codes = np.arange(n_rows) if unit is None else np.unique(unit, return_inverse=True)[1].reshape(n_rows)
    n_units = int(codes.max()) + 1 if n_rows else 0
    n_parts = min(PARTS, n_units)
    if n_parts < 2:
        return np.zeros(n_rows, dtype=np.int64), 0
    dealt = np.random.default_rng(seed_of(seed, "parts", n_units)).permutation(n_units) % n_parts
    return dealt[codes].astype(np.int64), n_parts


def _together(names: Sequence[str], groups: Mapping[str, Sequence[str]], there: Sequence[str]) -> dict[str, list[str]]:
    """Return what is shuffled under which name: groups, and the columns that stand in none."""
    in_groups = [name for members in groups.values() for name in members]
    for name in in_groups:
        if name not in there:
            raise DataError(f"groups: there is no column '{name}'{nearest(str(name), there)}")
    for group, members in groups.items():
        if not members:
            raise DataError(f"groups: '{group}' has no columns.")
        if group in there and list(members) != [group] and group not in members:
            raise DataError(f"groups: '{group}' is the name of a column that is not in the group. Choose another name.")
    alone = {name: [name] for name in names if name not in in_groups}
    return {**alone, **{group: list(members) for group, members in groups.items()}}
