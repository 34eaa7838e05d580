"""Explanations of a model on a frame: what a script or a notebook asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask.base import is_dask_collection

import daskflow
from daskflow.bundle.rows import rows_of
from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor, MetricSettings, Predictor
from daskflow.core.seeds import seed_of
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.explain.attributions import MOST_ROWS, Method, attributions
from daskflow.explain.partial import partial_dependence
from daskflow.explain.permutation import permutation_importance

ROWS = 10_000
"""Rows of a frame that importances are found from."""

DEFAULTS = {"binary": "roc_auc", "multiclass": "f1", "regression": "rmse"}
"""Metrics that judge where none is named."""


def importance(
    model: Any,
    frame: Any,
    *,
    target: str,
    metric: str | MetricSettings | None = None,
    columns: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    weight: str | None = None,
    group: str | None = None,
    repeats: int = 5,
    rows: int = ROWS,
    seed: int = 0,
    seconds: float | None = None,
    client: Any = None,
) -> pd.DataFrame:
    """Measure how much a model's score falls when the values of a column are dealt out to other rows.

    Parameters
    ----------
    model : Model
        As `daskflow.load_model` returns it.
    frame : pandas.DataFrame or dask.dataframe.DataFrame
        Rows that the model was not trained on, with the columns it learned and the target. A dask frame is gone through
        once.
    target : str
        The column that the model predicts, in its own labels; rows without a value are left out.
    metric : str or Metric, optional
        Such as ``"log_loss"`` or ``daskflow.metrics.RocAuc()``. Default ``roc_auc``, ``f1``, ``rmse`` by task.
    columns, groups, repeats, seconds
        As in `permutation_importance`.
    weight, group : str, optional
        Columns of the frame: weights of rows in the metric; which rows belong together when the interval is found.
    rows : int
        Of more rows a random sample. Default 10,000.
    seed : int
        Of the sample and the shuffles.
    client : distributed.Client, optional
        Computes on a cluster; default in this process.

    Returns
    -------
    pandas.DataFrame
        ``value``, ``low``, ``high`` by column, largest first. ``attrs["details"]`` holds everything that
        `permutation_importance` gives, as a run's report has it.

    Raises
    ------
    DataError
        For columns that are not there, labels that the model does not know, and a frame without rows.
    """
    named = [name for name in (target, weight, group) if name is not None]
    sample = _sample(frame, [*model.schema.names, *named], rows, seed)
    sample = sample[sample[target].notna()]
    chosen = DEFAULTS[model.task] if metric is None else metric
    chosen = daskflow.metrics.parse(chosen) if isinstance(chosen, str) else chosen
    wrong = chosen.misfit(model.task) if isinstance(chosen, daskflow.metrics.Metric) else ""
    if wrong:
        raise DataError(f"{wrong}.")
    found = permutation_importance(
        model,
        rows_of(sample, model.schema),
        _codes(sample[target], model.classes),
        chosen,
        weight=None if weight is None else sample[weight].to_numpy(dtype=np.float64),
        unit=None if group is None else _units(sample[group]),
        columns=columns,
        repeats=repeats,
        seed=seed,
        executor=_executor(client),
        seconds=seconds,
        groups=groups,
    )
    shown = pd.DataFrame(found["columns"], columns=["column", "value", "low", "high"]).set_index("column")
    shown = shown.astype(np.float64)
    shown.attrs["details"] = found
    return shown


def dependence(
    model: Predictor,
    frame: Any,
    columns: Sequence[str] | None = None,
    *,
    grid: int = 20,
    lines: int = 50,
    weight: str | None = None,
    rows: int = 2_000,
    seed: int = 0,
    seconds: float | None = None,
    client: Any = None,
) -> pd.DataFrame:
    """Average a model's answer over rows in which one column is set to a value, for a grid of values.

    Parameters
    ----------
    model : Model
        As `daskflow.load_model` returns it.
    frame : pandas.DataFrame or dask.dataframe.DataFrame
        With the columns that the model learned. A dask frame is gone through once.
    columns : sequence of str, optional
        Which to move; default all.
    grid, lines, seconds
        As in `partial_dependence`.
    weight : str, optional
        Column of the frame with weights of rows.
    rows : int
        Of more rows a random sample. Default 2000.
    seed : int
        Of the sample and of the rows that are shown one by one.
    client : distributed.Client, optional
        Computes on a cluster; default in this process.

    Returns
    -------
    pandas.DataFrame
        One row per column, output and value: ``column``, ``output``, ``value``, ``mean``, ``low``, ``high``, ``share``
        (of the rows, nearest to the value). ``attrs["details"]`` holds the list that `partial_dependence` gives, with
        the lines of single rows, and ``attrs["notes"]`` sentences.

    Raises
    ------
    DataError
        For columns that are not there, and a frame without rows.
    """
    schema = model.schema  # type: ignore[attr-defined]  # a `Model` has one
    sample = _sample(frame, [*schema.names, *([] if weight is None else [weight])], rows, seed)
    notes: list[str] = []
    found = partial_dependence(
        model,
        rows_of(sample, schema),
        columns,
        grid=grid,
        lines=lines,
        weight=None if weight is None else sample[weight].to_numpy(dtype=np.float64),
        seed=seed,
        executor=_executor(client),
        seconds=seconds,
        tell=notes.append,
    )
    told = [
        {"column": entry["column"], "output": entry["output"], "value": value, "mean": mean, "low": low, "high": high}
        | {"share": share}
        for entry in found
        for value, mean, low, high, share in zip(
            *(entry[word] for word in ("values", "mean", "low", "high", "share")), strict=True
        )
    ]
    shown = pd.DataFrame(told, columns=["column", "output", "value", "mean", "low", "high", "share"])
    shown.attrs |= {"details": found, "notes": notes}
    return shown


def shap(
    model: Predictor,
    frame: Any,
    *,
    method: Method = "auto",
    label: Any = None,
    rows: int = MOST_ROWS,
    repeats: int = 1,
    seed: int = 0,
    seconds: float | None = None,
    client: Any = None,
) -> pd.DataFrame:
    """Say of rows how much each column moved the model's answer.

    Parameters
    ----------
    model : Model
        As `daskflow.load_model` returns it.
    frame : pandas.DataFrame or dask.dataframe.DataFrame
        With the columns that the model learned. A dask frame is gone through once.
    method, label, repeats, seconds
        As in `daskflow.explain.attributions.attributions`: exact for linear models, exact for trees with
        ``pip install 'daskflow[shap]'``, sampled for others.
    rows : int
        Of more rows a random sample. Default 300.
    seed : int
        Of the draws.
    client : distributed.Client, optional
        Computes on a cluster; default in this process.

    Returns
    -------
    pandas.DataFrame
        float64, one column per source column, under the rows' own index. ``attrs`` has ``output`` (what is explained),
        ``base`` (what values and answer differ by), ``method`` and ``notes``.

    Raises
    ------
    DataError, SettingsError
        As there.
    """
    schema = model.schema  # type: ignore[attr-defined]  # a `Model` has one
    sample = _sample(frame, list(schema.names), rows, seed)
    found = attributions(
        model,
        rows_of(sample, schema),
        method=method,
        label=label,
        most_rows=rows,
        repeats=repeats,
        seed=seed,
        executor=_executor(client),
        seconds=seconds,
    )
    shown = pd.DataFrame(found.values, index=sample.index[found.places], columns=pd.Index(found.columns))
    base = float(found.base[0]) if len(found.base) else float("nan")
    shown.attrs |= {"output": found.output, "base": base, "method": found.method, "notes": list(found.notes)}
    return shown


def _executor(client: Any) -> Executor:
    """Runs units on the client's cluster, or here."""
    return InlineExecutor() if client is None else ClientExecutor(client)


def _sample(frame: Any, names: Sequence[str], n_rows: int, seed: int) -> pd.DataFrame:
    """Rows of a frame, at random where there are more than asked for; in the frame's order."""
    if n_rows < 1:
        raise DataError(f"rows should be at least 1 (found {n_rows}).")
    if not isinstance(frame, pd.DataFrame) and not is_dask_collection(frame):
        raise DataError(f"Give a pandas or dask DataFrame (found {type(frame).__name__}).")
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.rename(columns={name: str(name) for name in frame.columns})
    columns = list(frame.columns)
    twice = [f"'{name}'" for name in dict.fromkeys(names) if columns.count(name) > 1]
    if twice:
        raise DataError(f"These columns stand twice in the frame: {', '.join(twice)}. Drop one of each.")
    there = [name for name in dict.fromkeys(names) if name in columns]
    missing = [f"'{name}'" for name in dict.fromkeys(names) if name not in there]
    if missing:
        raise DataError(f"The frame lacks {', '.join(missing)}.")
    frame = frame[there]
    parts = [frame] if isinstance(frame, pd.DataFrame) else frame.to_delayed()
    drawn = [dask.delayed(drawn_rows, pure=False)(part, n_rows, seed, place) for place, part in enumerate(parts)]
    found = [drawn_rows(frame, n_rows, seed, 0)] if isinstance(frame, pd.DataFrame) else dask.compute(*drawn)
    keys = np.concatenate([key for key, _ in found])
    rows: pd.DataFrame = pd.concat([part for _, part in found if len(part)] or [found[0][1]])
    if not len(rows):
        raise DataError("The frame has no rows.")
    return rows.iloc[np.sort(np.argsort(keys, kind="stable")[:n_rows])]


def drawn_rows(frame: pd.DataFrame, n_rows: int, seed: int, place: int) -> tuple[Any, pd.DataFrame]:
    """Give each row of a partition a random number, and return the smallest with their rows.

    The rows with the smallest numbers of all partitions are a random sample of all, found in one pass.
    """
    keys = np.random.default_rng(seed_of(seed, "sample", place)).random(len(frame))
    taken = np.sort(np.argsort(keys, kind="stable")[:n_rows])
    return keys[taken], frame.iloc[taken]


def _codes(target: pd.Series[Any], classes: Sequence[Any]) -> Any:
    """The truth as the model's codes, or as numbers."""
    if not len(classes):
        return target.to_numpy(dtype=np.float64)
    codes = pd.Index(list(classes)).get_indexer(pd.Index(target))
    if (codes < 0).any():
        unknown = target[codes < 0].iloc[0]
        raise DataError(
            f"'{target.name}' holds {unknown!r}, which is no class of the model: {', '.join(map(str, classes))}."
        )
    return codes.astype(np.int64)


def _units(group: pd.Series[Any]) -> Any:
    """A number for each group; rows without one are on their own."""
    codes = pd.factorize(group)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return codes
