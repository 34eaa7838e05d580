"""The evaluation of predictions: every metric with its 95 % interval, and what the pictures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation
from daskflow.core.seeds import seed_of
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric, pictures
from daskflow.metrics.bootstrap import Resample, interval


def evaluate(
    metrics: Sequence[Metric],
    task: str,
    predictions: Predictions,
    y: Any,
    weight: Any = None,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = 200,
) -> Evaluation:
    """Evaluate predictions of rows that no choice was made by.

    Parameters
    ----------
    metrics : sequence of Metric
        One that does not fit the task, or that needs what the estimator does not give, is nan, and
        ``details["notes"]`` says why; the others are not hindered.
    task : str
        binary, multiclass or regression.
    predictions : Predictions
        Of all rows.
    y : array of shape (n_rows,)
        Class codes, or numbers.
    weight : array of shape (n_rows,), optional
        Default: 1 each.
    classes : sequence of str
        Labels by code; empty for regression.
    seed : int
        Of the resamples and of the sample of residuals.
    replicates : int
        Resamples of the Poisson bootstrap.

    Returns
    -------
    Evaluation
        Values, and percentile intervals of the Poisson bootstrap. An interval takes the fitted model as given: it says
        what other test rows would have given, not what other training rows would. When no row went wrong it has no
        width, which does not mean that none could. ``details`` holds, as plain values (None for nan):

        - ``confusion``: ``classes``, ``counts`` (rows by true class, then predicted), and ``weights`` if weighted;
        - binary with scores: ``roc`` (``fpr``, ``tpr``) and ``precision_recall`` (``precision``, ``recall``), at most
          400 points; with probabilities ``calibration`` (``predicted``, ``observed``, ``count`` by tenths of [0, 1]
          that have rows);
        - multiclass: ``per_class``, a list of ``class``, ``support`` (rows), ``precision``, ``recall``, ``f1``, and
          ``roc_auc``, ``average_precision`` of the class against the rest;
        - regression: ``residuals`` (``y_true``, ``y_pred`` of at most 2000 rows) and ``residual_histogram`` (``edges``,
          ``counts`` of truth minus prediction);
        - ``notes``: sentences.

    Notes
    -----
    Cost: values by rows, with one sort per class for the ranking metrics; intervals by replicates times at most 16,384
    groups of rows. With 200 replicates, on one core: all metrics of 100,000 binary rows 1 s, of 100,000 rows of 23
    classes 4 s, of 2 million binary rows 7 s. Over simulated tables of 300 rows the intervals of accuracy, area under
    the ROC curve and root mean squared error held the true value in 94 to 95 of 100 cases.

    Examples
    --------
    >>> from daskflow.metrics import parse
    >>> given = Predictions(np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.8, 0.4]))
    >>> found = evaluate([parse("accuracy")], "binary", given, np.array([0, 1, 1, 1]), classes=["no", "yes"], seed=7)
    >>> found.metrics["accuracy"].value, found.details["confusion"]["counts"]
    (0.75, [[1, 0], [1, 2]])
    """
    y_true = np.asarray(y)
    weights = np.ones(len(y_true)) if weight is None else np.asarray(weight, dtype=np.float64)
    resample = Resample(len(y_true), replicates, seed_of(seed, "bootstrap"))
    notes: list[str] = []
    scores = {}
    for metric in metrics:
        settled = metric.for_task(task, len(classes))
        scores[metric.name], note = _score(settled, task, predictions, y_true, weights, resample)
        if note:
            notes.append(note)
    details = pictures.draw(
        task, predictions, y_true, None if weight is None else weights, classes, seed_of(seed, "residuals")
    )
    return Evaluation(scores, len(y_true), {**details, "notes": notes} if notes else details)


def _score(
    metric: Metric, task: str, predictions: Predictions, y_true: Any, weight: Any, resample: Resample
) -> tuple[Score, str]:
    """Return a metric's value with its interval, and the sentence that says why it is nan."""
    wrong = metric.misfit(task)
    if wrong:
        return Score(math.nan), f"{wrong[:1].upper()}{wrong[1:]}."
    try:
        y_pred = predictions.of(metric.needs)
    except DataError as error:
        return Score(math.nan), f"{metric.name} could not be computed. {error}"
    value = float(metric.value(metric.of(y_true, y_pred, weight)))
    if math.isnan(value):
        return Score(math.nan), f"{metric.name} is not defined: {_why(task, y_true, y_pred, weight)}."
    low, high = interval(metric.replicates(y_true, y_pred, weight, resample))
    return Score(value, low, high), ""


def _why(task: str, y_true: Any, y_pred: Any, weight: Any) -> str:
    """Say what keeps a metric from having a value."""
    if not (weight > 0).any():
        return "there are no rows to judge by" if not len(y_true) else "no row has a weight"
    broken = int(np.isnan(np.asarray(y_pred, dtype=np.float64)).reshape(len(y_true), -1).any(axis=1).sum())
    if broken:
        return f"the prediction of {broken} of {len(y_true)} rows is not a number"
    if task == "regression":
        return "there are fewer than two rows"
    return f"only class {int(y_true[weight > 0][0])} occurs among the rows"
