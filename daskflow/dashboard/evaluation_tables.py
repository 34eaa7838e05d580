"""Tables of the evaluation: metrics, classes and slices in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from daskflow.dashboard import quantities
from daskflow.dashboard.state import RunState
from daskflow.dashboard.tables import table
from daskflow.figures.slices import where_text

MOST_ROWS = 200
"""Rows of a table of classes or slices."""

CLASS_METRICS = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
}
"""Metrics of a class against the rest, and their heads."""

Details = Mapping[str, Any]


def main_metric(state: RunState) -> str:
    """Return the metric the answer is told in: the search's where it was tested, else the first tested."""
    tested = state.evaluation.metrics
    return state.search.metric if state.search.metric in tested or not tested else next(iter(tested))


def metrics(state: RunState) -> dict[str, Any]:
    """Return every metric: validation beside the test."""
    search, test = state.search, state.evaluation
    validated = dict(search.best.metrics) if search.best is not None else {}
    names = list(dict.fromkeys([main_metric(state), *test.metrics, *validated]))
    rows = []
    for name in names:
        if not name or (name not in test.metrics and name not in validated):
            continue
        value, low, high = test.metrics.get(name, (None, None, None))
        given = validated.get(name, math.nan)
        rows.append({
            "metric": name,
            "validation": quantities.plain(given),
            "test": _known(value),
            "low": _known(low),
            "high": _known(high),
            "rows": test.rows if name in test.metrics else None,
        })  # fmt: skip
    heads = [("metric", "Metric", "text"), ("validation", "Validation", "number"), ("test", "Test", "number")]
    heads += (("low", "from", "number"), ("high", "to", "number"), ("rows", "Test rows", "number"))
    return table(heads, rows)


def per_class(details: Details) -> dict[str, Any]:
    """Return the metrics of every class against the rest, the most frequent first."""
    given = sorted(details.get("per_class") or (), key=lambda row: -int(row.get("support") or 0))
    names = [
        name
        for name in ("precision", "recall", "f1", "roc_auc", "average_precision")
        if any(name in row for row in given)
    ]
    heads = [("class", "Class", "text"), ("support", "Test rows", "number")]
    heads += [(name, CLASS_METRICS[name], "number") for name in names]
    rows = [
        {
            "class": str(row.get("class")),
            "support": row.get("support"),
            **{name: _known(row.get(name)) for name in names},
        }
        for row in given[:MOST_ROWS]
    ]
    return table(heads, rows, len(given) - len(rows))


def worst(details: Details) -> dict[str, Any]:
    """Return the worst slices in numbers."""
    given = list(details.get("worst_slices") or ())
    heads = [("where", "Where", "text"), ("rows", "Test rows", "number"), ("value", "Metric", "number")]
    heads += (
        ("difference", "Difference", "number"),
        ("low", "from", "number"),
        ("high", "to", "number"),
        ("p", "p", "number"),
    )
    rows = [
        {
            "where": where_text(one),
            "rows": one.get("rows"),
            "value": _known(one.get("value")),
            "difference": _known(one.get("difference")),
            "low": _known(one.get("difference_low")),
            "high": _known(one.get("difference_high")),
            "p": _known(one.get("p")),
        }
        for one in given[:MOST_ROWS]
    ]
    return table(heads, rows, len(given) - len(rows))


def _known(given: Any) -> float | None:
    return quantities.plain(float(given)) if quantities.is_number(given) else None
