"""Pictures of the report: which figures a record can give, each with what it says in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bokeh.plotting import figure

from daskflow.core.results import RunRecord
from daskflow.figures import evaluation, search, table
from daskflow.figures.style import number
from daskflow.figures.style import score as score_text
from daskflow.reports import words


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its caption, which also is what a screen reader reads.

    Attributes
    ----------
    key : str
        Its name on the page.
    title, caption : str
        Plain text.
    figure : bokeh figure
        As wide as its place.
    """

    key: str
    title: str
    caption: str
    figure: figure
    min_width: int = 0
    """Pixels below which it is moved sideways instead of made narrower."""


def of_data(record: RunRecord) -> list[Picture]:
    """Return the pictures of the table: missing values, rows per class."""
    found = []
    columns = record.data.get("columns", ())
    missing = table.missing_values(columns, int(record.data.get("rows") or 0))
    if missing is not None:
        n_columns = sum(bool(column.get("missing")) for column in columns)
        caption = f"{words.plural(n_columns, 'column')} of {len(columns)} lack values in some rows."
        found.append(Picture("missing_values", "Missing values", caption, missing))
    if record.class_counts and sum(record.class_counts):
        made = table.class_counts(record.classes, record.class_counts)
        caption = (
            f"{words.plural(len(record.classes), 'class', 'classes')}; the rarest has "
            f"{words.plural(min(record.class_counts), 'row')}, the most frequent {max(record.class_counts):,}."
        )
        found.append(Picture("class_counts", f"Rows per class of {words.target_name(record)}", caption, made))
    return found


def of_search(record: RunRecord) -> list[Picture]:
    """Return the pictures of the search: scores, and learning curves when resources vary."""
    result = record.search
    if result is None or not any(trial.score == trial.score for trial in result.trials):
        return []
    spread = "the line from the worst to the best fold" if result.n_folds > 1 else "one validation part"
    caption = f"Candidates from best to worst: the dot is {result.metric}, {spread}; the best in orange."
    if any(trial.low == trial.low for trial in result.trials):
        caption = (
            f"Candidates from best to worst: the dot is {result.metric}, the line its 95 % interval; "
            "the best in orange, those told apart from it hollow."
        )
    found = [Picture("leaderboard", "Scores of the best candidates", caption, search.leaderboard(result))]
    if any(len(trial.curve) > 1 for trial in result.trials):
        caption = f"{result.metric} after each resource; a line that ends early was stopped by the search."
        found.append(Picture("learning_curves", "Learning curves", caption, search.learning_curves(result)))
    return found


def of_parameters(record: RunRecord) -> list[Picture]:
    """Return score against each parameter that varied."""
    if record.search is None:
        return []
    found = []
    for place, (name, made) in enumerate(search.parameters(record.search).items()):
        params = record.search.best.params
        caption = f"The best candidate has {words.value_text(params.get(name))}."
        if name not in params:
            caption = "The best candidate is of a family that has no such parameter."
        found.append(Picture(f"parameter_{place}", name, caption, made))
    return found


def of_metrics(record: RunRecord) -> list[Picture]:
    """Return forest plots of the test metrics."""
    if record.evaluation is None:
        return []
    made = evaluation.metric_intervals(record.evaluation.metrics)
    captions = {"metrics_shares": "Values between 0 and 1.", "metrics_others": "Values in units of their own."}
    return [Picture(one.name, "95 % intervals on the test rows", captions[one.name], one) for one in made]


def of_test(record: RunRecord) -> list[Picture]:
    """Return the pictures of the test rows that fit the task."""
    details: Mapping[str, Any] = record.evaluation.details if record.evaluation else {}
    found = []
    if details.get("roc"):
        made = evaluation.roc(details["roc"])
        caption = f"ROC curve{_value(record, 'roc_auc', ', area')}; the dashed line is guessing."
        found.append(Picture("roc", "ROC", caption, made))
    if details.get("precision_recall"):
        share = _positive_share(details)
        caption = f"Precision against recall{_value(record, 'average_precision', ', average precision')}" + (
            f"; guessing has precision {number(share, 3)} throughout." if share is not None else "."
        )
        made = evaluation.precision_recall(details["precision_recall"], share)
        found.append(Picture("precision_recall", "Precision and recall", caption, made))
    if details.get("calibration"):
        caption = "Share of positives among rows of about equal prediction; on the dashed line they are the same."
        found.append(Picture("calibration", "Calibration", caption, evaluation.calibration(details["calibration"])))
    if details.get("confusion"):
        given = details["confusion"]
        rows = sum(map(sum, given["counts"]))
        right = sum(row[place] for place, row in enumerate(given["counts"]))
        caption = (
            f"{right:,} of {rows:,} test rows stand on the diagonal ({words.share(right, rows)}). "
            "Depth is the share of the true class."
        )
        made = evaluation.confusion(given["classes"], given["counts"])
        min_width = 130 + 28 * len(given["classes"]) if len(given["classes"]) > 6 else 0
        found.append(Picture("confusion", "Confusion", caption, made, min_width))
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
