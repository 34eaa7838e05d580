"""Partial dependence and ICE on source columns: how the model's answer moves when one column is set to a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor, Kept, Predictor, Unit
from daskflow.core.seeds import seed_of
from daskflow.data import arrays
from daskflow.data.schema import ColumnKind, kind_of
from daskflow.explain.bounded import Deadline, Record, gather, nothing, prepare, silent
from daskflow.explain.columns import by_promise, columns_of, numbers_of, open_rows
from daskflow.explain.outputs import Explained, explained, number

Floats = NDArray[np.float64]

MOST_ROWS = 2_000
"""Rows that the mean is taken over: its error falls with their root, the cost grows with them."""

SHARES = (0.01, 0.99)
"""Between which quantiles of a number's values the grid lies: beyond, single rows speak."""

KINDS = {
    ColumnKind.NUMERIC: "number",
    ColumnKind.CATEGORICAL: "category",
    ColumnKind.DATETIME: "time",
    ColumnKind.BOOLEAN: "boolean",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows whose columns are set to values one after the other; kept on a worker.

    Attributes
    ----------
    predictor : Predictor
        The model.
    rows : pyarrow.Table
        Source columns of the rows that are averaged over.
    weight : ndarray of shape (n_rows,)
        Of the rows in the mean.
    output : Explained
        What is averaged.
    grid_rows : pyarrow.Table
        All rows that were given: where values and shares are taken from.
    lines : ndarray of int64
        Rows that are shown one by one.
    """

    predictor: Predictor
    rows: pa.Table
    weight: Floats
    output: Explained
    grid_rows: pa.Table
    lines: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of a column.

    Attributes
    ----------
    kind : str
        number, category, time or boolean.
    values : list
        Plain: numbers, labels, or times in ISO 8601.
    places : list of int
        A row that has each value.
    share : list of float
        Share of the rows that are nearest to each.
    """

    kind: str
    values: list[Any]
    places: list[int]
    share: list[float]


def partial_dependence(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    columns: Sequence[str] | None = None,
    *,
    grid: int = 20,
    lines: int = 50,
    weight: Any = None,
    most_rows: int = MOST_ROWS,
    seed: int,
    executor: Executor,
    seconds: float | None = None,
    earlier: Mapping[str, Record] | None = None,
    record: Callable[[Record], None] = nothing,
    tell: Callable[[str], None] = silent,
) -> list[dict[str, Any]]:
    """Average the model's answer over rows in which one column is set to a value, for a grid of values.

    Parameters
    ----------
    predictor : Predictor
        From source columns on; picklable.
    rows : pyarrow.Table, or path of an Arrow IPC file that all workers see
        Source columns, of shape (n_rows, n_columns). Columns keep their Arrow types.
    columns : sequence of str, optional
        Which to move; default all that the model learned, those that go with its predictions most first.
    grid : int
        Values of a column, at most: of numbers and times all that occur when they are so few, else quantiles from
        1 % to 99 %, each a value that occurs; of categories the most frequent levels.
    lines : int
        Rows whose own answers are given (ICE), the same ones for every column.
    weight : array of shape (n_rows,), optional
        Of the rows in the mean.
    most_rows : int
        Rows that are averaged over; of more a random part is taken. Default 2000.
    seed : int
        Of the rows that are taken and of those that are shown.
    executor : Executor
        Runs one unit per column; nothing is pending.
    seconds : float, optional
        Nothing new is begun afterwards; what was left out is told.
    earlier, record
        As in `permutation_importance`.
    tell : callable
        Given sentences about columns that were left out.

    Returns
    -------
    list of dict
        One per column and output (of more than three classes those three that the model answers most), plain values:
        ``column``, ``kind`` (number, category, time, boolean), ``values``, ``output`` (``probability of yes``,
        ``prediction``), ``mean``, ``low`` and ``high`` (95 % interval of the mean over rows), ``individual`` (a list
        of lines, 6 digits), ``share`` (of the rows, nearest to each value: where it is 0 the model is asked about what
        it has not seen), and ``changes``: ``mean``, ``low`` and ``high`` of the change from the first value on, whose
        interval is narrower since every row is compared with itself. `centred` makes an entry of these.

    Raises
    ------
    DataError
        For unknown columns and lengths that differ.

    Notes
    -----
    Cost: ``grid`` predictions of `most_rows` rows per column.

    References
    ----------
    J. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001.
    A. Goldstein, A. Kapelner, J. Bleich and E. Pitkin, "Peeking Inside the Black Box", Journal of Computational and
    Graphical Statistics 24, 2015.

    Examples
    --------
    >>> from daskflow.data.execution import InlineExecutor
    >>> from daskflow.data.predictions import Predictions
    >>> class Sum:
    ...     task, classes = "regression", ()
    ...     def predictions(self, table):
    ...         return Predictions(table["a"].to_numpy() * 2.0 + table["b"].to_numpy())
    >>> rows = pa.table({"a": [1, 2, 3, 3], "b": [10.0, 20.0, 30.0, 40.0]})
    >>> (entry,) = partial_dependence(Sum(), rows, ["a"], seed=7, executor=InlineExecutor())
    >>> entry["values"], entry["mean"], entry["share"]
    ([1, 2, 3], [27.0, 29.0, 31.0], [0.25, 0.25, 0.5])
    >>> entry["changes"]["mean"], entry["changes"]["low"]
    ([0.0, 2.0, 4.0], [0.0, 2.0, 4.0])
    """
    deadline = Deadline(seconds)
    if grid < 2 or lines < 0 or most_rows < 1:
        raise DataError(f"grid should be at least 2, lines 0 and most_rows 1 (found {grid}, {lines}, {most_rows}).")
    table = open_rows(rows)
    if not len(table):
        raise DataError("There are no rows to average over.")
    if weight is not None and len(weight) != len(table):
        raise DataError(f"weight has {len(weight)} values, and there are {len(table)} rows.")
    names = columns_of(predictor, table, columns)
    given = None if weight is None else np.asarray(weight, dtype=np.float64)
    key, order = prepare(executor, "dependence", settle, (predictor, rows, given, most_rows, lines, names, seed))
    try:
        found = gather(
            executor,
            order if columns is None else names,
            lambda place, name, unit_key: Unit(unit_key, move_column, (Kept(key), name, grid), priority=-place),
            what="Partial dependence",
            deadline=deadline,
            earlier=earlier or {},
            record=record,
        )
    finally:
        executor.release([key])
    for sentence in found.notes:
        tell(sentence)
    return [entry for each in found.records.values() for entry in each["entries"]]


def settle(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    weight: Floats | None,
    most_rows: int,
    lines: int,
    names: Sequence[str],
    seed: int,
) -> tuple[Moved, list[str]]:
    """Take the rows that are averaged over, and say in which order columns are worth looking at."""
    table = open_rows(rows).combine_chunks()
    weight = np.ones(len(table)) if weight is None else weight
    draw = np.random.default_rng(seed_of(seed, "dependence", len(table)))
    taken = np.arange(len(table))
    if len(table) > most_rows:
        taken = np.sort(draw.choice(len(table), most_rows, replace=False))
    averaged = table.take(pa.array(taken))
    shown = np.sort(draw.choice(len(taken), min(lines, len(taken)), replace=False))
    predictions = predictor.predictions(averaged)
    output = explained(predictions, predictor.classes)
    order = by_promise(averaged, names, output.of(predictions, len(predictor.classes)))
    return Moved(predictor, averaged, weight[taken], output, table, shown), order


def move_column(moved: Moved, name: str, size: int) -> dict[str, Any]:
    """Return the record of one column: its entries."""
    column = arrays.whole(moved.grid_rows.column(name))
    grid = grid_of(column, name, size)
    place = moved.rows.column_names.index(name)
    n_rows = len(moved.rows)
    found = np.empty((len(grid.places), n_rows, len(moved.output.names)))
    for number_of, row in enumerate(grid.places):
        constant = column.take(pa.array(np.full(n_rows, row)))
        rows = moved.rows.set_column(place, name, constant)
        found[number_of] = moved.output.of(moved.predictor.predictions(rows), len(moved.predictor.classes))
    entries = []
    for number_of, output in enumerate(moved.output.names):
        answers = found[:, :, number_of]
        means = _means(answers, moved.weight)
        entries.append(
            {
                "column": name,
                "kind": grid.kind,
                "values": grid.values,
                "output": output,
                **means,
                "individual": [[_short(value) for value in answers[:, row]] for row in moved.lines],
                "share": grid.share,
                "changes": _means(answers - answers[:1], moved.weight) if len(answers) else means,
                "rows": n_rows,
            }
        )
    return {"column": name, "entries": entries}


def centred(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as changes from its first value on, mean and lines alike (c-ICE).

    Examples
    --------
    >>> changes = {"mean": [0.0, 2.0], "low": [0.0, 1.0], "high": [0.0, 3.0]}
    >>> centred({"mean": [5.0, 7.0], "individual": [[1.0, 4.0]], "changes": changes})["individual"]
    [[0.0, 3.0]]
    """
    lines = [
        [None if value is None or line[0] is None else value - line[0] for value in line]
        for line in entry["individual"]
    ]
    return {**entry, **entry["changes"], "individual": lines}


def grid_of(column: pa.Array, name: str, size: int) -> Grid:
    """Choose the values of a column that the model is asked about, and count the rows near them."""
    kind = kind_of(column.type, name)
    if kind is ColumnKind.CATEGORICAL:
        return _levels(column, size)
    values = numbers_of(column, kind)
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return Grid(KINDS[kind], [], [], [])
    order = there[np.argsort(values[there], kind="stable")]
    distinct, first = np.unique(values[order], return_index=True)
    if len(distinct) > size:
        low, high = SHARES
        positions = np.round(np.linspace(low, high, size) * (len(order) - 1)).astype(np.int64)
        distinct, chosen = np.unique(values[order[positions]], return_index=True)
        first = positions[chosen]
    places = order[first]
    nearest_value = np.searchsorted((distinct[1:] + distinct[:-1]) / 2, values[there])
    counts = np.bincount(nearest_value, minlength=len(distinct))
    plain = [_plain(column[int(row)].as_py()) for row in places]
    return Grid(KINDS[kind], plain, [int(row) for row in places], (counts / len(values)).tolist())


def _levels(column: pa.Array, size: int) -> Grid:
    """The most frequent levels; equally frequent ones in the order they occur."""
    found = arrays.levels(column)
    used, first, counts = np.unique(found.codes[found.codes >= 0], return_index=True, return_counts=True)
    there = np.flatnonzero(found.codes >= 0)
    order = np.lexsort((first, -counts))[:size]
    places = [int(there[first[place]]) for place in order]
    values = [str(found.values[int(used[place])]) for place in order]
    return Grid("category", values, places, [float(counts[place] / len(column)) for place in order])


def _means(answers: Floats, weight: Floats) -> dict[str, list[float | None]]:
    """Mean over rows by value, (n_values, n_rows), with 95 % intervals."""
    total = float(weight.sum())
    shares = weight / total if total > 0 else np.full(len(weight), math.nan)
    mean = answers @ shares
    n_rows = int((weight > 0).sum())
    factor = 1.96 * math.sqrt(n_rows / (n_rows - 1)) if n_rows > 1 else math.nan
    half = factor * np.sqrt((answers - mean[:, None]) ** 2 @ shares**2)
    return {
        "mean": [number(value) for value in mean],
        "low": [number(value) for value in mean - half],
        "high": [number(value) for value in mean + half],
    }


def _short(value: float) -> float | None:
    """A number in 6 digits: a picture needs no more."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """A column's value as a plain one: numbers, truths, or a time in ISO 8601."""
    if isinstance(value, bool | int | float):
        return value
    return value.isoformat() if isinstance(value, datetime | date) else float(value)
