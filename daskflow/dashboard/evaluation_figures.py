"""What stands in the figures of the evaluation: from the details of a run's metrics to columns, ranges and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.dashboard.quantities import plain, value
from daskflow.dashboard.slots import Columns, Look, Slot, Value
from daskflow.dashboard.state_evaluation import EvaluationState, Interval
from daskflow.figures import curves, evaluation, live_axes, style
from daskflow.figures.slices import where_text

MOST_METRICS = 12
"""Metrics that have a strip."""

MOST_STEPS = 60
"""Points of a strip."""

MOST_CLASSES = 40
"""Classes of the confusion matrix; of more, the most frequent ones."""

MOST_COLUMNS = 20
"""Columns whose importance is drawn."""

MOST_SLICES = 12
"""Slices that are drawn."""

LEVEL_CHARACTERS = 26
"""Characters of all classes that have room below a confusion matrix side by side."""

CLASSES_WITH_TEXT = 14
"""Classes up to which there is room for counts in the cells of a confusion matrix beside a table."""

Details = Mapping[str, Any]


def settling(state: EvaluationState) -> list[Slot]:
    """Return how metrics settle: a strip for each, as high as its widest interval.

    Strips are counted from 0 at the bottom; a value stands above the middle of its strip when it is above the last one.
    """
    names = [name for name, given in state.metrics.items() if _finite(given[0])][:MOST_METRICS]
    labels = live_axes.labels_of(names)
    steps = [state.steps[place] for place in style.every(len(state.steps), MOST_STEPS)]
    bands: dict[str, list[Any]] = {"xs": [], "ys": []}
    lines: dict[str, list[Any]] = {"xs": [], "ys": []}
    dots: dict[str, list[Any]] = {word: [] for word in ("rows", "y", "metric", "value", "low", "high")}
    ends: dict[str, list[Any]] = {word: [] for word in ("x", "y", "text", "align", "offset")}
    for place, name in enumerate(names):
        middle = len(names) - place - 0.5
        known = [(rows, metrics[name]) for rows, metrics in steps if name in metrics and _finite(metrics[name][0])]
        if not known:
            continue
        rows, values = [one[0] for one in known], [float(one[1][0] or 0.0) for one in known]
        low, high = ([_bound(one[1], side) for one in known] for side in (1, 2))
        now = values[-1]
        reach = max(abs(each - now) for each in (*low, *values, *high)) or 1.0
        at = [[_six(middle + 0.42 * (each - now) / reach) for each in column] for column in (low, values, high)]
        bands["xs"].append([*rows, *reversed(rows)])
        bands["ys"].append([*at[0], *reversed(at[2])])
        lines["xs"].append(rows)
        lines["ys"].append(at[1])
        dots["rows"] += rows
        dots["y"] += at[1]
        dots["metric"] += [style.shown(name, 60)] * len(rows)
        dots["value"] += [plain(each) for each in values]
        dots["low"] += [plain(each) for each in low]
        dots["high"] += [plain(each) for each in high]
        is_left = 2 * rows[-1] < state.total  # beside the band where there is room, else above its narrow end
        ends["x"].append(rows[-1])
        ends["y"].append(middle if is_left else _six(middle + 0.3))
        ends["text"].append(value(now))
        ends["align"].append("left" if is_left else "right")
        ends["offset"].append(8 if is_left else 0)
    epoch = str(state.version)
    return [
        Columns("settling_bands_data", bands, epoch),
        Columns("settling_lines_data", lines, epoch),
        Columns("settling_data", dots, epoch),
        Columns("settling_ends_data", ends, epoch),
        Look("settling_rows", live_axes.rows(labels)),
        Look("settling_rows_judged", {"start": 0, "end": _six(1.02 * max(state.total, state.rows, 1))}),
        Look("settling", {"height": 64 * max(1, len(names)) + 58}),
        Value("settling.empty", not names),
    ]


def in_curves(details: Details) -> list[Slot]:
    """Return the ROC curve, precision and recall, and the calibration, each hidden where the task has none."""
    chosen = _chosen(details)
    guess = _positive_share(details)
    slots: list[Slot] = []
    for name, x, y in (("roc", "fpr", "tpr"), ("precision_recall", "recall", "precision")):
        curve = details.get(name) or {}
        kept = style.every(len(curve.get(x) or ()), curves.MAX_CURVE)
        columns = {word: [plain(style.known(curve[word][place])) for place in kept] for word in (x, y)}
        given = curve.get("threshold") or [None] * len(curve.get(x) or ())
        columns["threshold"] = [plain(style.known(given[place])) for place in kept]
        mark: dict[str, list[Any]] = {"x": [], "y": []}
        if chosen is not None and any(each is not None for each in columns["threshold"]):
            at = curves.nearest([style.known(each) for each in columns["threshold"]], chosen)
            mark = {"x": [columns[x][at]], "y": [columns[y][at]]}
        slots += [_columns(name, columns), _columns(f"{name}_marker", mark), *_there(name, bool(kept))]
    ends: dict[str, list[Any]] = {"recall": [], "precision": []}
    if guess is not None:
        ends = {"recall": [0.0, 1.0], "precision": [plain(guess)] * 2}
    return [*slots, _columns("precision_recall_guess", ends), *_calibration(details.get("calibration") or {})]


def _calibration(bins: Mapping[str, Sequence[Any]]) -> list[Slot]:
    counts = list(bins.get("count") or ())
    most = max(counts, default=1) or 1
    columns: dict[str, list[Any]] = {}
    for word in ("predicted", "observed"):
        columns[word] = [plain(style.known(each)) for each in bins.get(word) or ()]
    columns |= {"count": counts, "size": [_six(6 + 20 * math.sqrt(count / most)) for count in counts]}
    for word in ("low", "high"):
        columns[word] = [plain(style.known(each)) for each in bins.get(word) or bins.get("observed") or ()]
    return [_columns("calibration", columns), *_there("calibration", bool(counts))]


def confusion(details: Details) -> list[Slot]:
    """Return the cells of the confusion matrix, of so many classes as can be seen."""
    given = details.get("confusion") or {}
    classes, counts = list(given.get("classes") or ()), list(given.get("counts") or ())
    kept = sorted(sorted(range(len(classes)), key=lambda code: -sum(counts[code]))[:MOST_CLASSES])
    labels = live_axes.labels_of([classes[code] for code in kept], 18)
    size, has_text = len(kept), len(kept) <= CLASSES_WITH_TEXT
    columns: dict[str, list[Any]] = {
        word: []
        for word in (
            "predicted",
            "true",
            "count",
            "share",
            "alpha",
            "dark",
            "light",
            "size",
            "true_name",
            "predicted_name",
        )
    }
    for row, code in enumerate(kept):
        whole = sum(counts[code])
        for column, other in enumerate(kept):
            count = counts[code][other]
            share = count / whole if whole else 0.0
            text = evaluation.short(count) if count and has_text else ""
            columns["true"].append(labels[row])
            columns["predicted"].append(labels[column])
            columns["true_name"].append(style.shown(classes[code], 80))
            columns["predicted_name"].append(style.shown(classes[other], 80))
            columns["count"].append(count)
            columns["share"].append(plain(share))
            columns["alpha"].append(_six(0.05 if not count else 0.15 + 0.85 * share))
            columns["dark"].append(text if share < evaluation.FULL else "")
            columns["light"].append(text if share >= evaluation.FULL else "")
            columns["size"].append("13px" if size <= 6 else "10px")
    cell = 90 if size <= 3 else 48 if size <= 6 else 30 if size <= 24 else 20
    longest = max(map(len, labels), default=0)
    is_level = size * longest <= LEVEL_CHARACTERS
    return [
        _columns("confusion", columns),
        Look("confusion_rows", live_axes.rows(labels)),
        Look("confusion_columns", {"factors": labels or [" "]}),
        Look("confusion_axis", {"major_label_orientation": "horizontal" if is_level else "vertical"}),
        Look("confusion", {"height": max(340, cell * size + 80 + (0 if is_level else 7 * longest))}),
        *_there("confusion", bool(kept)),
    ]


def residuals(details: Details) -> list[Slot]:
    """Return the residuals of a sample of rows, and how often which error occurs."""
    sample = details.get("residuals") or {}
    predicted = [style.known(each) for each in sample.get("y_pred") or ()][: style.MAX_POINTS]
    true = [style.known(each) for each in sample.get("y_true") or ()][: style.MAX_POINTS]
    pairs = [(given, y) for given, y in zip(predicted, true, strict=False) if math.isfinite(given) and math.isfinite(y)]
    dots = {
        "predicted": [plain(given) for given, _ in pairs],
        "true": [plain(y) for _, y in pairs],
        "residual": [plain(y - given) for given, y in pairs],
    }
    bins = details.get("residual_histogram") or {}
    edges = [plain(style.known(edge)) for edge in bins.get("edges") or ()]
    bars = {"left": edges[:-1], "right": edges[1:], "count": list(bins.get("counts") or ())}
    return [
        _columns("residuals", dots),
        Look("residuals_x", live_axes.ends(dots["predicted"])),
        Look("residuals_y", live_axes.ends(dots["residual"])),
        *_there("residuals", bool(pairs)),
        _columns("residual_histogram", bars),
        Look("residual_histogram_x", live_axes.ends(edges, 0.02)),
        Look("residual_histogram_y", live_axes.from_zero(bars["count"])),
        *_there("residual_histogram", bool(bars["count"])),
    ]


def reasons(state: EvaluationState) -> list[Slot]:
    """Return importances and worst slices, which stand side by side and are as high as the higher one."""
    given = _importances(state)
    slices = [one for one in state.details.get("worst_slices") or () if _finite(one.get("difference"))][:MOST_SLICES]
    least = max(len(given), len(slices)) if given and slices else 1
    return [*_importance(state, given, least), *_slices(state.details, slices, least)]


def _importances(state: EvaluationState) -> list[Mapping[str, Any]]:
    """Importances of columns that are known, largest first."""
    found = state.details.get("importance") or {}
    rows = list(found.get("columns") or ())
    if not rows:
        rows = [{"column": column, **given} for column, given in state.importance.items()]
    rows = [row for row in rows if _finite(row.get("value"))]
    rows.sort(key=lambda row: -row["value"])
    return rows[:MOST_COLUMNS]


def _importance(state: EvaluationState, some: Sequence[Mapping[str, Any]], least: int) -> list[Slot]:
    metric = style.shown((state.details.get("importance") or {}).get("metric") or "the metric", 40)
    names = [str(row["column"]) for row in some]
    return [
        *_forest("importance", live_axes.labels_of(names), names, some, ("value", "low", "high"), {}, least),
        Look("importance_axis", {"axis_label": f"loss of {metric} when shuffled"}),
        Value("importance.empty", not some),
    ]


def _slices(details: Details, some: Sequence[Mapping[str, Any]], least: int) -> list[Slot]:
    names = [where_text(one) for one in some]
    metric = style.shown((details.get("slices") or {}).get("metric") or "the metric", 40)
    more = {"rows": [one["rows"] for one in some], "score": [plain(style.known(one.get("value"))) for one in some]}
    keys = ("difference", "difference_low", "difference_high")
    return [
        *_forest("worst_slices", live_axes.labels_of(names, 34), names, some, keys, more, least),
        Look("worst_slices_axis", {"axis_label": f"{metric}: difference to the other rows"}),
        Value("worst_slices.empty", not some),
    ]


def _forest(
    name: str,
    labels: list[str],
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    keys: tuple[str, str, str],
    more: Mapping[str, list[Any]],
    least: int,
) -> list[Slot]:
    """Named rows with values and intervals; where there is no interval its ends are the value."""
    values, low, high = (
        [plain(style.known(row.get(key) if _finite(row.get(key)) else row[keys[0]])) for row in rows] for key in keys
    )
    start, end = style.cover([each for column in (values, low, high) for each in column if each is not None], 0.0)
    columns: dict[str, list[Any]] = {
        "label": labels,
        "name": [style.shown(each, 120) for each in names],
        "value": values,
        "low": low,
        "high": high,
    }
    return [
        _columns(name, {**columns, **more}),
        Look(f"{name}_rows", live_axes.rows(labels, least)),
        Look(f"{name}_values", {"start": start, "end": end}),
        Look(name, live_axes.height_of(max(least, len(labels)))),
    ]


def _columns(name: str, columns: Mapping[str, Sequence[Any]]) -> Columns:
    """Columns that are replaced when they change."""
    return Columns(f"{name}_data", columns, str(hash(repr(columns))))


def _there(name: str, is_there: bool) -> list[Slot]:
    """A figure that some tasks have and others have not."""
    return [Value(f"{name}.empty", not is_there), Value(f"{name}.hidden", not is_there)]


def _chosen(details: Details) -> float | None:
    given = (details.get("thresholds") or {}).get("chosen")
    return style.known(given) if _finite(given) else None


def _positive_share(details: Details) -> float | None:
    """Share of the second of two classes among the test rows."""
    counts: Sequence[Sequence[int]] = (details.get("confusion") or {}).get("counts") or ()
    total = sum(map(sum, counts)) if len(counts) == 2 else 0
    return sum(counts[-1]) / total if total else None


def _bound(given: Interval, side: int) -> float:
    """One end of an interval; the value itself where there is none."""
    end = given[side] if _finite(given[side]) else given[0]
    return style.known(end)


def _finite(given: Any) -> bool:
    return math.isfinite(style.known(given))


def _six(number: float) -> float:
    return float(f"{number:.6g}")
