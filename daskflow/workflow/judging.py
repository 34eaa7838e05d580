"""`flow.evaluate`: any fitted model judged on any table, partition by partition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from html import escape
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import daskflow.metrics
from daskflow.bundle import load_model
from daskflow.bundle.model import Model
from daskflow.bundle.rows import rows_of
from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation
from daskflow.core.seeds import seed_of
from daskflow.core.settings import nearest
from daskflow.core.warned import ignored
from daskflow.data.predictions import Predictions, predict
from daskflow.data.table import Table
from daskflow.metrics.asked import Asked
from daskflow.metrics.slices import SliceTally
from daskflow.metrics.slices_asked import SliceAsked, ask_slices
from daskflow.metrics.tally import Tally
from daskflow.workflow.run import Run

SAMPLE_ROWS = 20_000
"""Rows that the groups of slices are taken from."""

Tallies = tuple[Tally, SliceTally | None]


@dataclass(frozen=True)
class Judgement:
    """How good a model is on a table.

    Attributes
    ----------
    evaluation : Evaluation
        Everything, as in a run's metrics.json.
    """

    evaluation: Evaluation

    @property
    def metrics(self) -> Mapping[str, Score]:
        """Value and 95 % interval by metric."""
        return self.evaluation.metrics

    @property
    def n_rows(self) -> int:
        """Rows judged."""
        return self.evaluation.n_rows

    @property
    def details(self) -> Mapping[str, Any]:
        """Curves, tables and slices, as plain values."""
        return self.evaluation.details

    def __getitem__(self, metric: str) -> Score:
        """Return a metric's score; KeyError when it was not computed."""
        return self.metrics[metric]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric, with the columns value, low and high."""
        rows = {name: (score.value, score.low, score.high) for name, score in self.metrics.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def __repr__(self) -> str:
        """The metrics, one per line."""
        lines = [f"Judgement of {self.n_rows:,} rows:"]
        for name, score in self.metrics.items():
            interval = "" if math.isnan(score.low) else f" ({score.low:.4g} to {score.high:.4g})"
            lines.append(f"  {name:<20} {score.value:.4g}{interval}")
        return "\n".join([*lines, *self.details.get("notes", ())])

    def _repr_html_(self) -> str:
        """The metrics as a table, escaped."""
        table = self.to_frame().to_html(escape=True, float_format=lambda value: f"{value:.4g}")
        return f"<p>{escape(f'{self.n_rows:,} rows; 95 % intervals')}</p>{table}"


@dataclass(frozen=True)
class Judge:
    """What a partition is judged by; picklable."""

    model: Any
    asked: Asked
    slices: SliceAsked | None
    labels: tuple[Any, ...]
    target: str
    weight: str | None
    group: str | None

    def of(self, frame: pd.DataFrame, number: int) -> Tallies | None:
        """Predict and judge one partition; None where it has no rows."""
        if not len(frame):
            return None
        y = codes_of(frame[self.target], self.labels)
        said = predictions_of(self.model, self.features(frame), len(self.labels))
        weight = None if self.weight is None else weights_of(frame[self.weight])
        start = number << 40  # rows without a group are told apart by where they stand
        unit = None if self.group is None else pd.util.hash_array(frame[self.group].astype(object).to_numpy())
        tally = Tally.of(self.asked, y, said, weight, unit, start)
        if self.slices is None:
            return tally, None
        names = [column.name for column in self.slices.columns.columns]
        table = _table(frame, names)
        return tally, SliceTally.of(self.slices, table, y, said, weight, unit, start)

    def features(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns that the model takes."""
        if isinstance(self.model, Model):
            return frame
        names = getattr(self.model, "feature_names_in_", None)
        if names is not None:
            missing = [str(name) for name in names if name not in frame.columns]
            if missing:
                raise DataError(
                    f"The table lacks {len(missing)} of the {len(names)} columns that {type(self.model).__name__} "
                    f"needs: {', '.join(missing[:10])}."
                )
            return frame[list(names)]
        return frame.drop(columns=[name for name in (self.target, self.weight, self.group) if name])


def evaluate(
    model: Any,
    table: Any,
    *,
    target: str | None = None,
    metrics: Sequence[Any] = (),
    weight: str | None = None,
    group: str | None = None,
    slices: bool | Sequence[str] = False,
    replicates: int = 500,
    seed: int = 0,
) -> Judgement:
    """Judge a fitted model on a table that it has not learned from: every metric with its 95 % interval, in one pass.

    Parameters
    ----------
    model : Model, Run, path, or fitted estimator
        What `load_model` or `Workflow.run` returns, or where it is; or any fitted estimator of scikit-learn's
        interface, those of dask-ml among them. It predicts pandas partitions.
    table : pandas.DataFrame, dask.dataframe.DataFrame, Table, or (X, y)
        Features and target. A `Table` (``flow.read``) brings its roles. A dask frame is judged partition by partition
        on the current cluster, each where it is; only tallies travel. ``(X, y)`` are frames or arrays of equal
        partitions, pandas, numpy or dask.
    target : str, optional
        The column of the truth; default the model's own, where it knows it.
    metrics : sequence of str, mapping or Metric
        Default: by task.
    weight : str, optional
        Column of sample weights.
    group : str, optional
        Rows of equal group are drawn together for intervals: of one customer, one machine, one day.
    slices : bool or sequence of str
        Whether errors are shown by groups of rows, of all columns or of some.
    replicates : int
        Resamples that intervals are taken from; 0 for none.
    seed : int
        Of the resamples.

    Returns
    -------
    Judgement
        Computed: nothing of it is lazy.

    Raises
    ------
    DataError
        For a truth with gaps or with labels that the model does not know, and for columns that are missing.
    SettingsError
        For metrics that do not fit the task.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 1.0, 2.0, 4.0]})
    >>> fitted = LinearRegression().fit(frame[["x"]], frame["y"])
    >>> round(evaluate(fitted, frame, target="y", metrics=["mae"])["mae"].value, 3)
    0.25
    """
    if isinstance(model, str | Path):
        model = load_model(model)
    if isinstance(model, Run):
        model = model.model
    metrics = [metrics] if isinstance(metrics, str | Mapping | daskflow.metrics.Metric) else metrics
    slices = [slices] if isinstance(slices, str) else slices
    if isinstance(table, Table):
        roles = table.roles
        target, weight, group = target or roles.target, weight or roles.weight, group or roles.group
        table = table.to_dask()
    table, target = _whole(table, target, model)
    names = [str(name) for name in table.columns]
    for word, name in (("target", target), ("weight", weight), ("group", group)):
        if name is not None and name not in names:
            raise SettingsError([Problem(word, f"there is no column '{name}'{nearest(name, names)}")])
    asked = asked_of(model, metrics, replicates=replicates, seed=seed)
    sliced = sliced_by(model, table, slices, asked, leave_out=(target, weight, group))
    judge = Judge(model, asked, sliced, labels_of(model), target, weight, group)
    if isinstance(table, dd.DataFrame):
        node = dask.delayed(judge, pure=False)
        found = [node.of(part, number) for number, part in enumerate(table.to_delayed())]
        while len(found) > 1:  # merged in pairs, beside the partitions
            pairs = [found[place : place + 8] for place in range(0, len(found), 8)]
            found = [dask.delayed(merged, pure=False)(pair) for pair in pairs]
        tallies: Tallies | None = dask.compute(found[0])[0]
    else:
        tallies = judge.of(table, 0)
    return judgement_of(tallies)


def merged(tallies: Sequence[Tallies | None]) -> Tallies | None:
    """Merge what some partitions gave; None where none of them has rows."""

    def both(left: Tallies, right: Tallies) -> Tallies:
        sliced = None if left[1] is None or right[1] is None else left[1].merge(right[1])
        return left[0].merge(right[0]), sliced

    found = [each for each in tallies if each is not None]
    return reduce(both, found) if found else None


def judgement_of(tallies: Tallies | None, notes: Sequence[str] = ()) -> Judgement:
    """Return what a table's tallies say; DataError where it has no rows."""
    if tallies is None:
        raise DataError("The table has no rows: there is nothing to judge by.")
    evaluation: Evaluation = tallies[0].evaluation()
    details = dict(evaluation.details) | (tallies[1].result() if tallies[1] is not None else {})
    if notes:
        details["notes"] = [*notes, *details.get("notes", ())]
    return Judgement(Evaluation(evaluation.metrics, evaluation.n_rows, details))


def asked_of(model: Any, metrics: Sequence[Any], *, replicates: int, seed: int) -> Asked:
    """Return what is computed for a model; SettingsError for metrics that do not fit its task."""
    labels, task = labels_of(model), task_of(model)
    if replicates < 0:
        raise SettingsError([Problem("replicates", f"should be a whole number from 0 on (found {replicates})")])
    chosen = [daskflow.metrics.parse(metric) for metric in metrics or daskflow.metrics.defaults(task)]
    problems = [problem for metric in chosen if (problem := daskflow.metrics.check(metric, task)) is not None]
    if problems:
        raise SettingsError(problems)
    settled = tuple(metric.for_task(task, len(labels)) for metric in chosen)
    return Asked(settled, task, tuple(str(label) for label in labels), seed_of(seed, "evaluation"), replicates)


def sliced_by(
    model: Any, table: Any, slices: bool | Sequence[str], asked: Asked, *, leave_out: Sequence[Any]
) -> SliceAsked | None:
    """The cuts of slices, from the first, the middle and the last partition of a dask frame; None where none is asked.

    Groups are judged by the first metric.
    """
    if not slices:
        return None
    sample = table
    if isinstance(table, dd.DataFrame):
        places = sorted({0, table.npartitions // 2, table.npartitions - 1})
        sample = pd.concat(dask.compute(*[table.get_partition(place) for place in places]))
        sample = sample if len(sample) else table.head(SAMPLE_ROWS, npartitions=-1)
    if not len(sample):
        return None
    if len(sample) > SAMPLE_ROWS:
        sample = sample.sample(SAMPLE_ROWS, random_state=0)
    target, weight, group = leave_out
    judge = Judge(model, asked, None, labels_of(model), target, weight, group)
    said = predictions_of(model, judge.features(sample), len(asked.classes))
    columns = None if isinstance(slices, bool) else [str(name) for name in slices]
    shown = _table(sample, [name for name in map(str, sample.columns) if name not in (target, weight)])
    seed = seed_of(asked.seed, "slices")
    return ask_slices(asked.metrics[0], asked.task, asked.classes, shown, said, columns=columns, seed=seed)


def _table(frame: pd.DataFrame, names: Sequence[str]) -> pa.Table:
    """Columns as Arrow has them, without those of values that no column of Arrow holds."""
    arrays: dict[str, Any] = {}
    for name in names:
        with suppress(pa.ArrowException, TypeError, ValueError):
            arrays[name] = pa.Array.from_pandas(frame[name])
    return pa.table(arrays)


def _whole(table: Any, target: str | None, model: Any) -> tuple[Any, str]:
    """The table with its truth in it, and the name of that."""
    if isinstance(table, tuple) and len(table) == 2:
        return _joined(*table, target or "y")
    if not isinstance(table, pd.DataFrame | dd.DataFrame):
        raise DataError(
            f"Give a pandas or dask DataFrame with the truth in it, or (X, y); found {type(table).__name__}. "
            "flow.read(...).to_dask() reads files as one."
        )
    name = target or (model.target.name if isinstance(model, Model) else None)
    if name is None:
        raise SettingsError([Problem("target", "is required: the column of the truth")])
    return table, name


def _joined(X: Any, y: Any, name: str) -> tuple[Any, str]:
    """X and y as one frame; dask's must have equal partitions."""
    if isinstance(X, da.Array):
        X = X.rechunk({1: X.shape[1]})
        X = dd.from_dask_array(X, columns=[f"x{place}" for place in range(X.shape[1])])
    if isinstance(X, dd.DataFrame):
        y = dd.from_dask_array(y) if isinstance(y, da.Array) else y
        if not isinstance(y, dd.Series):
            raise DataError(f"X is a dask collection, and y is {type(y).__name__}; give a dask Series or Array.")
        if X.npartitions != y.npartitions:
            raise DataError(f"X has {X.npartitions} partitions and y {y.npartitions}: rows cannot be paired.")
        meta = X._meta.assign(**{name: y._meta.to_numpy()})
        return dd.map_partitions(_beside, X, y, name, meta=meta, align_dataframes=False, enforce_metadata=False), name
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X)).rename(columns=lambda place: f"x{place}")
    return _beside(frame, y, name), name


def _beside(X: pd.DataFrame, y: Any, name: str) -> pd.DataFrame:
    """Put the truth beside the features, row by row."""
    if len(X) != len(y):
        raise DataError(f"X has {len(X)} rows and y {len(y)}, in one partition: rows cannot be paired.")
    if name in X.columns:
        raise DataError(f"X has a column '{name}' already; name the truth otherwise with target=.")
    return X.assign(**{name: np.asarray(y)})


def labels_of(model: Any) -> tuple[Any, ...]:
    """Return a model's labels in the order of their codes; empty for regression."""
    if isinstance(model, Model):
        return model.classes
    found = getattr(model, "classes_", None)
    return () if found is None else tuple(np.asarray(found).tolist())


def task_of(model: Any) -> str:
    """Return binary, multiclass or regression."""
    if isinstance(model, Model):
        return model.task
    n_classes = len(labels_of(model))
    if n_classes < 2 and hasattr(model, "predict_proba"):
        raise DataError(f"{type(model).__name__} has no classes_: fit it first.")
    return "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"


def codes_of(column: pd.Series[Any], labels: Sequence[Any]) -> NDArray[Any]:
    """Return the truth as class codes, or as numbers where there are no labels.

    Raises
    ------
    DataError
        For gaps, and for labels that the model does not know.
    """
    gaps = int(column.isna().sum())
    if gaps:
        raise DataError(
            f"The truth '{column.name}' lacks a value in {gaps} of {len(column)} rows of a partition; drop those rows."
        )
    if not labels:
        try:
            return column.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"The truth '{column.name}' ({column.dtype}) is not a number: {error}") from error
    codes = pd.Index(list(labels)).get_indexer(pd.Index(column.to_numpy(dtype=object)))
    if (codes < 0).any():
        strange = column[codes < 0]
        raise DataError(
            f"The truth '{column.name}' has {len(strange)} rows whose label the model does not know, such as "
            f"{strange.iloc[0]!r:.60}; it knows {', '.join(map(repr, list(labels)[:8]))}."
        )
    return np.asarray(codes, dtype=np.int64)


def weights_of(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Return sample weights; DataError for gaps and for what is below 0."""
    weight = column.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = int((~(weight >= 0) | np.isinf(weight)).sum())
    if wrong:
        raise DataError(f"The weight '{column.name}' is no number from 0 on in {wrong} of {len(weight)} rows.")
    return weight


def predictions_of(model: Any, frame: pd.DataFrame, n_classes: int) -> Predictions:
    """Return what a model or an estimator says of the rows of a pandas frame, classes as their codes."""
    if isinstance(model, Model):
        return model.predictions(rows_of(frame, model.schema))
    with ignored(message="X (does not have valid|has) feature names"):
        X = frame if getattr(model, "feature_names_in_", None) is not None else frame.to_numpy()
        return predict(_Coded(model) if n_classes else model, X, n_classes)


class _Coded:
    """An estimator whose labels are codes."""

    def __init__(self, estimator: Any) -> None:
        """Offer what the estimator offers."""
        self._estimator = estimator
        self.classes_ = np.arange(len(labels_of(estimator)))
        for name in ("predict_proba", "decision_function"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))

    def predict(self, X: Any) -> Any:
        """Predict codes."""
        found = pd.Index(np.asarray(self._estimator.predict(X), dtype=object))
        return pd.Index(list(labels_of(self._estimator))).astype(object).get_indexer(found)
