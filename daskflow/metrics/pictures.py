"""What pictures of an evaluation are drawn from: plain values, few enough for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.predictions import Predictions
from daskflow.metrics.labels import F1, Precision, Recall, confusion
from daskflow.metrics.ranking import AveragePrecision, RocAuc, thresholds

Floats = NDArray[np.float64]

CURVE_POINTS = 400
CALIBRATION_BINS = 10
RESIDUAL_POINTS = 2000
HISTOGRAM_BINS = 40


def draw(
    task: str, predictions: Predictions, y: NDArray[Any], weight: Floats | None, classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the details of an evaluation by their names; see `daskflow.metrics.evaluation.evaluate`."""
    if not len(y):
        return {}
    weights = np.ones(len(y)) if weight is None else weight
    if task == "regression":
        return residuals(y, predictions.of("labels"), seed)
    counts = confusion(y, predictions.labels, n_classes=len(classes)).astype(int).tolist()
    details: dict[str, Any] = {"confusion": {"classes": [str(label) for label in classes], "counts": counts}}
    if weight is not None:
        details["confusion"]["weights"] = confusion(y, predictions.labels, weight, len(classes)).tolist()
    if task == "multiclass":
        details["per_class"] = per_class(y, predictions, weights, classes)
        return details
    if predictions.scores is not None and not np.isnan(predictions.scores).any():
        details |= curves(y == 1, predictions.scores, weights)
    if predictions.probabilities is not None and not np.isnan(predictions.probabilities).any():
        details["calibration"] = calibration(y == 1, predictions.probabilities, weights)
    return details


def curves(positive: NDArray[np.bool_], score: Floats, weight: Floats) -> dict[str, Any]:
    """Return the ROC and the precision-recall curve, thinned evenly along the ROC curve; nothing for one class."""
    above, below, _ = thresholds(positive, score, weight)
    right, wrong = np.cumsum(above), np.cumsum(below)
    if not right[-1] or not wrong[-1]:
        return {}
    tpr, fpr = right / right[-1], wrong / wrong[-1]
    steps = np.searchsorted(tpr + fpr, np.linspace(0.0, 2.0, CURVE_POINTS - 2))
    kept = np.unique(np.concatenate([[0], np.minimum(steps, len(tpr) - 1)]))
    taken = right + wrong
    kept = kept[taken[kept] > 0]
    return {
        "roc": {"fpr": [0.0, *fpr[kept].tolist()], "tpr": [0.0, *tpr[kept].tolist()]},
        "precision_recall": {"precision": (right[kept] / taken[kept]).tolist(), "recall": tpr[kept].tolist()},
    }


def calibration(positive: NDArray[np.bool_], probability: Floats, weight: Floats) -> dict[str, Any]:
    """Return mean prediction, observed share and rows of each tenth of [0, 1] that has rows."""
    tenth = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    total = np.bincount(tenth, weight, CALIBRATION_BINS)
    used = total > 0
    return {
        "predicted": (np.bincount(tenth, weight * probability, CALIBRATION_BINS)[used] / total[used]).tolist(),
        "observed": (np.bincount(tenth, weight * positive, CALIBRATION_BINS)[used] / total[used]).tolist(),
        "count": np.bincount(tenth, minlength=CALIBRATION_BINS)[used].tolist(),
    }


def per_class(
    y: NDArray[Any], predictions: Predictions, weight: Floats, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return every class's row count and its metrics against the rest."""
    rows = []
    for code, label in enumerate(classes):
        true, predicted = y == code, predictions.labels == code
        table = confusion(true, predicted, weight, 2)
        row: dict[str, Any] = {"class": str(label), "support": int(true.sum())}
        for name, metric in (("precision", Precision()), ("recall", Recall()), ("f1", F1())):
            row[name] = _plain(metric.value(table))
        if predictions.scores is not None:
            state = (true, predictions.scores[:, code], weight)
            row["roc_auc"] = _plain(RocAuc().score(*state))
            row["average_precision"] = _plain(AveragePrecision().score(*state))
        rows.append(row)
    return rows


def residuals(y: NDArray[Any], predicted: NDArray[Any], seed: int) -> dict[str, Any]:
    """Return a sample of truths and predictions, and the histogram of all their differences.

    The outermost 0.1 % on either side fall into the first and last bin, so that one outlier does not flatten the rest.
    """
    finite = np.flatnonzero(np.isfinite(predicted) & np.isfinite(y))
    if not len(finite):
        return {}
    chosen = finite
    if len(finite) > RESIDUAL_POINTS:
        chosen = np.sort(np.random.default_rng(seed).choice(finite, RESIDUAL_POINTS, replace=False))
    difference = y[finite].astype(np.float64) - predicted[finite]
    low, high = np.quantile(difference, [0.001, 0.999])
    counts, edges = np.histogram(np.clip(difference, low, high), HISTOGRAM_BINS)
    return {
        "residuals": {"y_true": y[chosen].astype(float).tolist(), "y_pred": predicted[chosen].astype(float).tolist()},
        "residual_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _plain(value: float) -> float | None:
    """None for what is not defined: JSON has no nan."""
    return None if math.isnan(value) else value
