"""What pictures of an evaluation are drawn from: plain values, few enough for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.labels import F1, Precision, Recall
from daskflow.metrics.rankings import Curve, Ranked

if TYPE_CHECKING:
    from daskflow.metrics.tally import Tally

Floats = NDArray[np.float64]


def draw(tally: Tally, ranked: Sequence[Ranked]) -> dict[str, Any]:
    """Return the details of an evaluation by their names; see `daskflow.metrics.evaluation.evaluate`."""
    if tally.residuals is not None:
        return tally.residuals.details()
    details: dict[str, Any] = {}
    classes = list(tally.asked.classes)
    if tally.counts is not None:
        details["confusion"] = {"classes": classes, "counts": tally.counts.tolist()}
        if tally.has_weight and tally.cells is not None:
            details["confusion"]["weights"] = tally.cells.table().tolist()
    if tally.asked.task == "multiclass":
        details["per_class"] = per_class(tally, [] if tally.broken.get("scores") else ranked)
        return details
    curve = ranked[0].curve if ranked else None
    if curve is not None and not tally.broken.get("scores"):
        details |= curves(curve)
    if tally.calibration is not None and not tally.broken.get("probabilities"):
        details["calibration"] = tally.calibration.details()
    return details


def curves(curve: Curve) -> dict[str, Any]:
    """Return the ROC, the precision-recall and the gain curve; the ROC curve begins where no row is taken."""
    right, wrong = curve.right, curve.wrong
    tpr, fpr, taken = right / right[-1], wrong / wrong[-1], right + wrong
    threshold = [_plain(float(value)) for value in curve.threshold]
    return {
        "roc": {"fpr": [0.0, *fpr.tolist()], "tpr": [0.0, *tpr.tolist()], "threshold": [None, *threshold]},
        "precision_recall": {
            "precision": (right / taken).tolist(),
            "recall": tpr.tolist(),
            "threshold": threshold,
        },
        "gain": {"share": [0.0, *(taken / taken[-1]).tolist()], "gain": [0.0, *tpr.tolist()]},
    }


def per_class(tally: Tally, ranked: Sequence[Ranked]) -> list[dict[str, Any]]:
    """Return every class's row count and its metrics against the rest; `ranked` ends with areas and precisions."""
    rows = []
    table = None if tally.cells is None else tally.cells.table()
    for code, label in enumerate(tally.asked.classes):
        row: dict[str, Any] = {"class": label, "support": int(tally.class_rows[code]) if tally.rows else 0}
        if table is not None:
            versus = _against_rest(table, code)
            for name, metric in (("precision", Precision()), ("recall", Recall()), ("f1", F1())):
                row[name] = _plain(metric.value(versus))
        if ranked:
            row["roc_auc"], row["average_precision"] = (_plain(value) for value in ranked[code].values[-2:])
        rows.append(row)
    return rows


def _against_rest(table: Floats, code: int) -> Floats:
    """The confusion table of one class against the others."""
    right, true, predicted = table[code, code], table[code].sum(), table[:, code].sum()
    return np.array([[table.sum() - true - predicted + right, predicted - right], [true - right, right]])


def _plain(value: float) -> float | None:
    """None for what is not defined: JSON has no nan, and no infinity."""
    return value if math.isfinite(value) else None
