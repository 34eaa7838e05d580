"""The evaluation of predictions: every metric with its 95 % interval, and what the pictures are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daskflow.core.results import Evaluation
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.asked import Asked
from daskflow.metrics.tally import Tally


def evaluate(
    metrics: Sequence[Metric],
    task: str,
    predictions: Predictions,
    y: Any,
    weight: Any = None,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = 500,
    unit: Any = None,
) -> Evaluation:
    """Evaluate predictions of rows that no choice was made by, all at once; of blocks `daskflow.metrics.tally` does.

    Parameters
    ----------
    metrics : sequence of Metric
        One that does not fit the task, or that needs what the estimator does not give, is nan, and
        ``details["notes"]`` says why; the others are not hindered.
    task : str
        binary, multiclass, multilabel or regression.
    predictions : Predictions
        Of all rows.
    y : array of shape (n_rows,)
        Class codes, or numbers; multilabel: shape (n_rows, n_labels).
    weight : array of shape (n_rows,), optional
        Not negative; default 1 each. Rows of weight 0 count for nothing.
    classes : sequence of str
        Labels by code; empty for regression.
    seed : int
        Of the resamples and of the sample of residuals.
    replicates : int
        Resamples of the Poisson bootstrap; 0 gives values without intervals, in a fraction of the time.
    unit : array of uint64, shape (n_rows,), optional
        Rows of one unit (a patient, a customer) are resampled together; default: every row on its own.

    Returns
    -------
    Evaluation
        Values, and percentile intervals of the Poisson bootstrap. An interval takes the fitted model as given: it says
        what other test rows would have given, not what other training rows would. A metric of predicted labels that
        no resample changes (no row went wrong) has an interval by the rule of three. ``details`` holds, as plain values
        (None for nan):

        - ``confusion``: ``classes``, ``counts`` (rows by true class, then predicted), and ``weights`` if weighted;
        - binary with scores: ``roc`` (``fpr``, ``tpr``, ``threshold``: the lowest score taken, None before the first),
          ``precision_recall`` (``precision``, ``recall``, ``threshold``) and ``gain`` (``share`` of the rows taken,
          ``gain``: share of class 1 found), at most 400 points each; with probabilities ``calibration``
          (``predicted``, ``observed``, ``count`` by tenths of [0, 1] that have rows, and Wilson's 95 % interval of what
          was observed, ``low`` and ``high``);
        - multiclass: ``per_class``, a list of ``class``, ``support`` (rows), ``precision``, ``recall``, ``f1``, and
          ``roc_auc``, ``average_precision`` of the class against the rest;
        - regression: ``residuals`` (``y_true``, ``y_pred`` of at most 2000 rows) and ``residual_histogram`` (``edges``,
          ``counts`` of truth minus prediction);
        - ``notes``: sentences.

    Raises
    ------
    DataError
        When arrays differ in length, a weight is negative or not finite, or a class code is outside the classes.

    Notes
    -----
    Docs: ``docs/uncertainty.md`` says what intervals mean, what is exact, and what it costs.

    Examples
    --------
    >>> import numpy as np
    >>> from daskflow.metrics import parse
    >>> given = Predictions(np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.8, 0.4]))
    >>> found = evaluate([parse("accuracy")], "binary", given, np.array([0, 1, 1, 1]), classes=["no", "yes"], seed=7)
    >>> found.metrics["accuracy"].value, found.details["confusion"]["counts"]
    (0.75, [[1, 0], [1, 2]])
    """
    asked = Asked(metrics, task, classes, seed, replicates)
    return Tally.of(asked, y, predictions, weight, unit).evaluation()
