"""SHAP values on source columns: how much each column moved the model's answer on a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from daskflow.core.errors import DataError, SettingsError
from daskflow.core.protocols import Executor, Kept, Predictor, Unit
from daskflow.core.seeds import seed_of
from daskflow.core.settings import nearest
from daskflow.data.schema import ColumnKind, kind_of
from daskflow.explain.asking import asked_values
from daskflow.explain.bounded import Deadline, Record, gather, nothing, prepare
from daskflow.explain.columns import columns_of, numbers_of, open_rows
from daskflow.explain.matrix_values import MatrixValues, by_source, linear_values, meaning, spread, tree_values
from daskflow.explain.outputs import Explained, explained, number

Floats = NDArray[np.float64]
Method = Literal["auto", "tree", "linear", "permutation"]

MOST_ROWS, GROUND_ROWS = 300, 25
"""Rows that are explained; rows whose values stand for "not known" where the model itself is asked."""

BLOCK_ROWS, BLOCK_ASKED = 50, 100_000
"""Rows of a unit at most, and rows that the model is asked about in one."""

SHOWN = 20
"""Columns whose single rows are given."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """How rows are explained; kept on a worker.

    Attributes
    ----------
    predictor : Predictor
        The model.
    rows, ground : pyarrow.Table
        Rows to explain, and those whose values stand for "not known".
    columns : list of str
        That values are given for.
    output : Explained
        What is explained where the model itself is asked.
    values : LinearValues, TreeValues or None
        Of the matrix; None asks the model.
    """

    predictor: Predictor
    rows: pa.Table
    ground: pa.Table
    columns: list[str]
    output: Explained
    values: MatrixValues | None


@dataclass(frozen=True, slots=True)
class Attributions:
    """SHAP values: row by row they sum to the answer less its base.

    Attributes
    ----------
    columns : tuple of str
        Source columns.
    values : ndarray of float64, shape (n_rows, n_columns)
        In the unit of the output.
    base : ndarray of float64, shape (n_rows,)
        The answer when nothing is known.
    places : ndarray of int64, shape (n_rows,)
        Which of the given rows these are.
    output, method : str
        What is explained (``log-odds of yes``), and how: tree, linear or permutation.
    notes : tuple of str
        Sentences.
    """

    columns: tuple[str, ...]
    values: Floats
    base: Floats
    places: NDArray[np.int64]
    output: str
    method: str
    notes: tuple[str, ...]


def shap_values(predictor: Predictor, rows: pa.Table | str | Path, **options: Any) -> dict[str, Any]:
    """Explain a sample of rows by SHAP values, and sum them up for a picture.

    Parameters
    ----------
    predictor, rows, **options
        As in `attributions`.

    Returns
    -------
    dict
        Plain values: ``output``, ``method``, ``rows`` (explained), ``base``, ``columns``: a list of ``column``,
        ``value`` (mean size of the values), ``low``, ``high``, largest first; ``points``: of the 20 largest ``column``,
        ``shap`` (a value per row) and ``value`` (where the row's own value stands among all, 0 to 1; None for
        categories and missing values); ``notes``: sentences.

    Raises
    ------
    DataError, SettingsError
        As `attributions`.
    """
    found = attributions(predictor, rows, **options)
    table = open_rows(rows).take(pa.array(found.places))
    sizes = {name: spread(found.values[:, place]) for place, name in enumerate(found.columns)}
    order = sorted(found.columns, key=lambda name: -sizes[name][0])
    places = {name: place for place, name in enumerate(found.columns)}
    return {
        "output": found.output,
        "method": found.method,
        "rows": len(found.places),
        "base": number(found.base.mean()) if len(found.base) else None,
        "columns": [
            {"column": name, **dict(zip(("value", "low", "high"), map(number, sizes[name]), strict=True))}
            for name in order
        ],
        "points": [
            {
                "column": name,
                "shap": [float(f"{value:.5g}") for value in found.values[:, places[name]]],
                "value": _standing(table.column(name), name),
            }
            for name in order[:SHOWN]
        ],
        "notes": list(found.notes),
    }


def attributions(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    *,
    method: Method = "auto",
    label: Any = None,
    most_rows: int = MOST_ROWS,
    repeats: int = 1,
    seed: int,
    executor: Executor,
    seconds: float | None = None,
    earlier: Mapping[str, Record] | None = None,
    record: Callable[[Record], None] = nothing,
) -> Attributions:
    """Explain rows by SHAP values on the source columns.

    Parameters
    ----------
    predictor : Predictor
        From source columns on; picklable. One that also has ``estimator`` and ``transformer`` is explained exactly
        where these are known.
    rows : pyarrow.Table, or path of an Arrow IPC file that all workers see
        Source columns, of shape (n_rows, n_columns).
    method : str
        ``linear``: coefficients times distance from the mean of `rows`; nothing else is needed. ``tree``: along the
        paths of trees, by the package shap (``pip install 'daskflow[shap]'``). ``permutation``: sampled, by asking the
        model with some of a row's columns and the others of 25 random rows; for any model. ``auto``: the first of
        these that fits.
    label : object, optional
        Class to explain. Default: class 1 of two, of more the one that is answered most.
    most_rows : int
        Rows explained; of more a random part. Default 300.
    repeats : int
        Orders of columns, each there and back, that ``permutation`` goes through for each row. Default 1.
    seed : int
        Of the draws.
    executor : Executor
        Runs one unit per block of rows; nothing is pending.
    seconds : float, optional
        Nothing new is begun afterwards: fewer rows are explained then.
    earlier, record
        As in `permutation_importance`; a record's ``column`` is its block of rows.

    Returns
    -------
    Attributions
        Values are in the unit of ``output``: of boosting and linear classifiers log-odds, of forests and where the
        model is asked the probability. Where a matrix column is made of several source columns, such as a product,
        each has an equal share of its value.

    Raises
    ------
    DataError
        For a label that there is not, and when there are no rows.
    SettingsError
        When ``tree`` or ``linear`` does not fit, and when the package shap is needed and not installed.

    Notes
    -----
    Values of ``tree`` and ``linear`` explain what the estimator says before a calibration; a sentence tells so.
    ``permutation`` asks about ``2 * n_columns * 25 * repeats`` rows for each row. Its values sum to the answer less the
    base exactly; each by itself has an error that falls with the root of `repeats`.

    References
    ----------
    S. Lundberg and S.-I. Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017. S. Lundberg et
    al., "From local explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2,
    2020. E. Strumbelj and I. Kononenko, "Explaining prediction models and individual predictions with feature
    contributions", KAIS 41, 2014. R. Mitchell et al., "Sampling Permutations for Shapley Value Estimation", JMLR 23,
    2022 (orders there and back).

    Examples
    --------
    >>> from daskflow.data.execution import InlineExecutor
    >>> from daskflow.data.predictions import Predictions
    >>> class Sum:
    ...     task, classes = "regression", ()
    ...     def predictions(self, table):
    ...         return Predictions(table["a"].to_numpy() * 2.0 + table["b"].to_numpy())
    >>> rows = pa.table({"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 3.0]})
    >>> found = attributions(Sum(), rows, seed=7, executor=InlineExecutor())
    >>> found.values.round(12).tolist(), found.base.tolist()
    ([[-2.0, -1.0], [0.0, -1.0], [2.0, 2.0]], [5.0, 5.0, 5.0])
    """
    deadline = Deadline(seconds)
    table = open_rows(rows)
    if not len(table) or most_rows < 1 or repeats < 1:
        raise DataError(
            f"There should be rows to explain, and most_rows and repeats at least 1 (found {len(table)} rows, "
            f"{most_rows}, {repeats})."
        )
    columns = columns_of(predictor, table)
    code = _code(predictor.classes, label)
    draw = np.random.default_rng(seed_of(seed, "shap", len(table)))
    places = np.arange(len(table))
    if len(table) > most_rows:
        places = np.sort(draw.choice(len(table), most_rows, replace=False))
    ground = np.sort(draw.choice(len(table), min(GROUND_ROWS, len(table)), replace=False))
    key, start = prepare(
        executor, "shap", choose, (predictor, rows, columns, places, ground, method, code, predictor.classes)
    )
    step = BLOCK_ROWS
    if start["method"] == "permutation":
        step = min(BLOCK_ROWS, max(1, BLOCK_ASKED // (2 * len(columns) * len(ground) * repeats)))
    blocks = {f"rows {begin}": (begin, min(begin + step, len(places))) for begin in range(0, len(places), step)}
    try:
        found = gather(
            executor,
            list(blocks),
            lambda place, name, unit_key: Unit(
                unit_key, explain_block, (Kept(key), name, *blocks[name], repeats, seed), priority=-place
            ),
            what="SHAP values",
            deadline=deadline,
            earlier=earlier or {},
            record=record,
        )
    finally:
        executor.release([key])
    notes = list(start["notes"])
    done = [blocks[name] for name in found.records]
    if found.left_out:
        n_done = sum(end - begin for begin, end in done)
        notes.append(f"SHAP values are of {n_done} of {len(places)} rows: the others were left out for their time.")
    return Attributions(
        tuple(columns),
        np.concatenate([np.empty((0, len(columns))), *(_numbers(each["values"]) for each in found.records.values())]),
        np.concatenate([np.empty(0), *(_numbers(each["base"]) for each in found.records.values())]),
        np.concatenate([np.empty(0, dtype=np.int64), *(places[begin:end] for begin, end in done)]),
        start["output"],
        start["method"],
        tuple(notes),
    )


def choose(
    predictor: Predictor,
    rows: pa.Table | str | Path,
    columns: list[str],
    places: NDArray[np.int64],
    ground: NDArray[np.int64],
    method: Method,
    code: int | None,
    classes: Sequence[Any],
) -> tuple[Chosen, dict[str, Any]]:
    """Find out how the model can be explained."""
    table = open_rows(rows).combine_chunks()
    taken, ground_rows = table.take(pa.array(places)), table.take(pa.array(ground))
    notes: list[str] = []
    output = explained(predictor.predictions(taken), classes, most=1)
    if code is not None and len(classes) > 2:
        output = Explained((output.names[0].replace(str(classes[output.codes[0]]), str(classes[code])),), (code,))
    output_code = 1 if len(classes) == 2 else output.codes[0]
    values: MatrixValues | None = None
    name = output.names[0]
    estimator: Any = getattr(predictor, "estimator", None)
    transformer: Any = getattr(predictor, "transformer", None)
    if method != "permutation" and estimator is not None and _sources(transformer, columns) is not None:
        X = transformer.matrix(taken)
        if method in ("auto", "linear"):
            values = linear_values(estimator, X, output_code, len(classes))
        if values is None and method in ("auto", "tree"):
            values, note = tree_values(estimator, X, output_code)
            notes += [note] if note else []
        if values is not None:
            looked_at = X[: min(20, len(taken))]
            found, base = values.of(looked_at)
            word = meaning(estimator, looked_at, found.sum(axis=1) + base, output_code, len(classes))
            name = f"{word} {classes[output_code]}" if classes else word
            if getattr(getattr(predictor, "decision", None), "calibration", None) is not None:
                notes.append("SHAP values explain the estimator's own answer, before it is calibrated.")
    if values is None and method in ("tree", "linear"):
        raise SettingsError(
            f"method = '{method}' does not fit {type(estimator if estimator is not None else predictor).__name__}"
            f"{': ' + notes[0] if notes else ''}. Choose 'auto' or 'permutation'."
        )
    word = "permutation" if values is None else values.method
    return Chosen(predictor, taken, ground_rows, columns, output, values), {
        "output": name,
        "method": word,
        "notes": notes,
    }


def explain_block(chosen: Chosen, name: str, begin: int, end: int, repeats: int, seed: int) -> dict[str, Any]:
    """Return the record of some rows."""
    rows = chosen.rows.slice(begin, end - begin)
    if chosen.values is None:
        orders = np.array(
            [
                [
                    np.random.default_rng(seed_of(seed, "orders", row, repeat)).permutation(len(chosen.columns))
                    for row in range(begin, end)
                ]
                for repeat in range(repeats)
            ]
        )
        values, base = asked_values(chosen.predictor, chosen.output, rows, chosen.ground, chosen.columns, orders)
    else:
        transformer = chosen.predictor.transformer  # type: ignore[attr-defined]  # `choose` found it there
        found, base = chosen.values.of(transformer.matrix(rows))
        values = by_source(found, _sources(transformer, chosen.columns), chosen.columns)
    return {"column": name, "values": values.tolist(), "base": base.tolist()}


def _numbers(values: Any) -> Floats:
    """A record's numbers; a journal keeps nan as null."""
    return np.array(values, dtype=np.float64)


def _sources(transformer: Any, columns: Sequence[str]) -> Sequence[Sequence[str]] | None:
    """Source columns of each of the matrix's columns; None where that is not known."""
    found = getattr(transformer, "sources", None)
    if found is None and transformer is not None:
        found = [(name,) for name in transformer.feature_names]
    known = set(columns)
    return found if found is not None and all(name in known for names in found for name in names) else None


def _code(classes: Sequence[Any], label: Any) -> int | None:
    """Code of the class that is asked for."""
    if label is None:
        return None
    for code, known in enumerate(classes):
        if known == label or str(known) == str(label):
            if len(classes) == 2 and code == 0:
                raise DataError(
                    f"Of two classes '{classes[1]}' is explained: the values of '{label}' are their negatives."
                )
            return code
    raise DataError(f"There is no class '{label}' to explain{nearest(str(label), [str(known) for known in classes])}")


def _standing(column: pa.ChunkedArray, name: str) -> list[float | None]:
    """Where each row's value stands among all of the column, 0 to 1."""
    kind = kind_of(column.type, name)
    if kind is ColumnKind.CATEGORICAL:
        return [None] * len(column)
    values = numbers_of(column, kind)
    there = np.isfinite(values)
    found = np.full(len(values), math.nan)
    ranks = rankdata(values[there])
    span = ranks.max() - ranks.min() if len(ranks) else 0.0
    found[there] = (ranks - ranks.min()) / span if span > 0 else 0.5
    return [None if math.isnan(value) else round(float(value), 4) for value in found]
