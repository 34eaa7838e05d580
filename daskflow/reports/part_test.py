"""The report's parts on the test rows: metrics with intervals, the decision, curves, confusion and residuals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.results import RunRecord
from daskflow.figures import curves, evaluation
from daskflow.figures.style import known, number
from daskflow.figures.style import score as score_text
from daskflow.reports import tables, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Beside, Block, Grid, Heading, Live, Part, Pictures, Text
from daskflow.reports.pictures import Picture

SWITCH = (("count", "rows"), ("share", "share of the true class"))
"""What the cells of the confusion matrix can show."""

OPEN_CLASSES = 12
"""Classes whose own metrics are shown unfolded."""


def metrics(record: RunRecord) -> Part | None:
    """Return the metrics with intervals, beside what validation had said; None before the test."""
    table = tables.metrics(record)
    if record.evaluation is None or table is None:
        return None
    details = words.details(record)
    baseline = words.baseline(record)
    text = f"{words.plural(record.evaluation.n_rows, 'row')}, scored once, last. {baseline}".strip()
    captions = {"metrics_shares": "Values between 0 and 1.", "metrics_others": "Values in units of their own."}
    forests = [
        Picture(made.name or "", "95 % intervals on the test rows", captions[made.name or ""], made)
        for made in evaluation.metric_intervals(record.evaluation.metrics)
    ]
    beside: list[Block] = [Grid(table, "Test metrics with 95 % intervals", True)]
    if forests:
        beside.append(Pictures(forests))
    blocks: list[Block] = [Text(text), Beside(beside)]
    per_class = tables.per_class(details)
    if per_class:
        is_long = len(per_class.rows) > OPEN_CLASSES
        blocks += [
            Heading("Every class against the rest"),
            Grid(per_class, "Metrics per class", True, f"All {len(per_class.rows)} classes" if is_long else ""),
        ]
    note = "The intervals say what other test rows would have given, not what other training rows would."
    blocks.append(Text(note, is_note=True))
    return Part("test", "Test", blocks)


def decision(record: RunRecord) -> Part | None:
    """Return how probabilities became answers: calibration, the threshold, and what others bring; None without."""
    details = words.details(record)
    made = details.get("decision") or {}
    given = with_shares(details.get("thresholds"), record)
    blocks: list[Block] = []
    if made.get("calibration"):
        blocks += _calibrated(made)
    if made.get("threshold"):
        blocks += _chosen(made)
    if given:
        blocks += _thresholds(given, record)
    return Part("decision", "Decision", blocks) if blocks else None


def _source(made: Mapping[str, Any]) -> str:
    """Which rows decided."""
    named = {"out-of-fold": "out-of-fold predictions", "validation": "the validation rows"}
    return named.get(str(made.get("source")), str(made.get("source") or "rows outside of the test"))


def _calibrated(made: Mapping[str, Any]) -> list[Block]:
    """What calibration did."""
    found = made["calibration"]
    rows = words.plural(int(found.get("rows") or 0), "row")
    text = (
        f"Probabilities are calibrated ({found.get('kind')}) on {_source(made)} ({rows}), never on test rows. The "
        "errors below are on rows that the calibration had not seen; lower is better."
    )
    table = more.before_after(found.get("before") or {}, found.get("after") or {})
    return [Heading("Calibration of the probabilities"), Text(text), Grid(table, "Before and after calibration")]


def _chosen(made: Mapping[str, Any]) -> list[Block]:
    """How the threshold was chosen."""
    found = made["threshold"]
    rows = words.plural(int(found.get("rows") or 0), "row")
    chosen = f"was chosen {words.rule_text(found.get('rule'))} on {_source(made)} ({rows}), never on test rows"
    if found.get("rule") not in words.RULES:
        chosen = f"is set in the workflow, and was tried on {_source(made)} ({rows})"
    text = (
        f"A row is answered with the positive class from probability {score_text(known(found.get('value')))} on. This "
        f"threshold {chosen}. Before means 0.5."
    )
    blocks: list[Block] = [Heading("Threshold"), Text(text)]
    if found.get("before") or found.get("after"):
        table = more.before_after(found.get("before") or {}, found.get("after") or {})
        blocks.append(Grid(table, "Before and after choosing the threshold"))
    return blocks


def with_shares(given: Mapping[str, Any] | None, record: RunRecord) -> Mapping[str, Any] | None:
    """Return the thresholds with the rows they take as shares of all, whichever way they were counted."""
    if not given or not given.get("threshold"):
        return None
    taken = [known(value) for value in given.get("taken") or ()]
    if max(taken, default=0.0) > 1.0:
        total = max(max(taken), float(record.evaluation.n_rows if record.evaluation else 0))
        return {**given, "taken": [value / total for value in taken]}
    return given


def _thresholds(given: Mapping[str, Any], record: RunRecord) -> list[Block]:
    """What each threshold would bring on the test rows."""
    chosen = known(given.get("chosen"))
    blocks: list[Block] = [
        Heading("What each threshold brings on the test rows"),
        Live(
            "thresholds", "Choose a row of the table, or tap a curve: the marks move to that threshold in all curves."
        ),
    ]
    caption = (
        f"Precision, recall, F1 and false positive rate of every threshold; the orange line is {score_text(chosen)}."
    )
    found = [Picture("thresholds", "Thresholds", caption, curves.thresholds(given))]
    if given.get("cost"):
        costs = [known(value) for value in given["cost"]]
        least = min((value for value in costs if math.isfinite(value)), default=math.nan)
        caption = f"The least cost is {number(least)}; the orange line is the threshold in use."
        right = known(given.get("cost_if_calibrated"))
        if math.isfinite(right):
            caption += f" Were the probabilities exact, {score_text(right)} would cost least."
        found.append(Picture("costs", "Cost", caption, curves.costs(given)))
    blocks.append(Pictures(found, whole=["thresholds"] if len(found) == 1 else ()))
    if given.get("costs"):
        blocks += [Text("What each answer costs:"), Grid(more.costs(given["costs"], record.classes), "Costs")]
    table = more.thresholds(given)
    blocks.append(Grid(table, "Thresholds", True, marks="thresholds", rows=more.shown_thresholds(given)))
    return blocks


def in_curves(record: RunRecord) -> Part | None:
    """Return the curves, the confusion matrix and the residuals that fit the task; None where there are none."""
    details = words.details(record)
    found = [*_curves(record, details), *_confusion(details)]
    blocks: list[Block] = []
    if found:
        is_large = len(record.classes) > 6
        blocks.append(Pictures(found, whole=["confusion"] if is_large else ()))
    residuals = _residuals(details)
    if residuals:
        blocks.append(Pictures(residuals))
    title = "Curves" if found and not residuals else "Residuals" if residuals and not found else "Curves and residuals"
    if found and found[0].key == "confusion":
        title = "Confusion"
    return Part("curves", title, blocks) if blocks else None


def _curves(record: RunRecord, details: Mapping[str, Any]) -> list[Picture]:
    """ROC, precision and recall, calibration, gain and lift."""
    found = []
    given = with_shares(details.get("thresholds"), record)
    chosen = known(given.get("chosen")) if given else None
    in_use = f" The mark is the threshold in use, {score_text(chosen)}." if chosen is not None else ""
    if details.get("roc"):
        caption = f"ROC curve{_value(record, 'roc_auc', ', area')}; the dashed line is guessing."
        has_mark = bool(details["roc"].get("threshold"))
        made = curves.roc(details["roc"], chosen)
        found.append(Picture("roc", "ROC", caption + (in_use if has_mark else ""), made))
    if details.get("precision_recall"):
        share = _positive_share(details)
        caption = f"Precision against recall{_value(record, 'average_precision', ', average precision')}" + (
            f"; guessing has precision {number(share, 3)} throughout." if share is not None else "."
        )
        made = curves.precision_recall(details["precision_recall"], share, chosen)
        has_mark = bool(details["precision_recall"].get("threshold"))
        found.append(Picture("precision_recall", "Precision and recall", caption + (in_use if has_mark else ""), made))
    bins = details.get("calibration")
    if bins and bins["count"]:
        caption = (
            "Share of positives among rows of about equal prediction; on the dashed line they are the same. A "
            f"dot's area is its number of rows{', its line the 95 % interval' if bins.get('low') else ''}."
        )
        table = more.calibration(bins)
        found.append(Picture("calibration", "Calibration", caption, curves.calibration(bins), table=table))
    if details.get("gain") and details["gain"]["share"]:
        share = _positive_share(details)
        taken = _taken(given)
        tenth = _at(details["gain"], 0.1)
        caption = (
            f"Of the positives {tenth * 100:.0f} % stand in the tenth of the rows with the highest scores, "
            f"{tenth / 0.1:.1f} times as many as among rows drawn at random."
        )
        found.append(Picture("gain", "Gain", caption, curves.gain(details["gain"], share, taken)))
        caption = "How many times more positives stand among the rows taken than among as many drawn at random."
        found.append(Picture("lift", "Lift", caption, curves.lift(details["gain"])))
    return found


def _taken(given: Mapping[str, Any] | None) -> float | None:
    """Share of the rows that the chosen threshold takes."""
    if not given or not given.get("taken"):
        return None
    return known(given["taken"][curves.nearest([known(t) for t in given["threshold"]], known(given.get("chosen")))])


def _at(gain: Mapping[str, Sequence[Any]], share: float) -> float:
    """Share of the positives found in this share of the rows, between the points of the curve."""
    points = [(known(x), known(y)) for x, y in zip(gain["share"], gain["gain"], strict=True)]
    before = max((point for point in points if point[0] <= share), default=(0.0, 0.0))
    after = min((point for point in points if point[0] > share), default=(1.0, 1.0))
    width = after[0] - before[0]
    return before[1] + (after[1] - before[1]) * ((share - before[0]) / width if width else 0.0)


def _confusion(details: Mapping[str, Any]) -> list[Picture]:
    """The confusion matrix, whose cells can show rows or shares."""
    given = details.get("confusion")
    if not given:
        return []
    rows = sum(map(sum, given["counts"]))
    right = sum(row[place] for place, row in enumerate(given["counts"]))
    n_classes = len(given["classes"])
    caption = (
        f"{right:,} of {rows:,} test rows stand on the diagonal ({words.share(right, rows)}). "
        "Depth is the share of the true class."
    )
    made = evaluation.confusion(given["classes"], given["counts"])
    return [
        Picture(
            "confusion",
            "Confusion matrix",
            caption,
            made,
            130 + 28 * n_classes if n_classes > 6 else 0,
            more.confusion(given) if n_classes <= 2 * evaluation.MAX_CELLS_WITH_TEXT else None,
            SWITCH if n_classes <= evaluation.MAX_CELLS_WITH_TEXT else (),
        )
    ]


def _residuals(details: Mapping[str, Any]) -> list[Picture]:
    """What was wrong by how much."""
    found = []
    if details.get("residuals"):
        n_shown = len(details["residuals"]["y_true"])
        caption = (
            f"Truth minus prediction of {words.plural(n_shown, 'test row')}; on the orange line a prediction is right."
        )
        found.append(Picture("residuals", "Residuals", caption, evaluation.residuals(details["residuals"])))
    if details.get("residual_histogram"):
        made = evaluation.residual_histogram(details["residual_histogram"])
        caption = "How often which error occurs; the outermost bins hold everything beyond them."
        found.append(Picture("residual_histogram", "Distribution of the errors", caption, made))
    return found


def _value(record: RunRecord, metric: str, words_before: str) -> str:
    """A metric's value in a caption, where it was computed."""
    score = record.evaluation.metrics.get(metric) if record.evaluation else None
    return "" if score is None else f"{words_before} {score_text(score.value)}"


def _positive_share(details: Mapping[str, Any]) -> float | None:
    """Share of the last class among the test rows."""
    counts = (details.get("confusion") or {}).get("counts")
    total = sum(map(sum, counts)) if counts else 0
    return sum(counts[-1]) / total if counts and total else None
