"""Panels of the page of the evaluation, without data."""

from __future__ import annotations

from collections.abc import Sequence

from daskflow.dashboard.evaluation_figures import MOST_CLASSES, MOST_COLUMNS
from daskflow.dashboard.slots import Figure, Row, Widget
from daskflow.figures import live_curves, live_evaluation


def panels() -> Sequence[Row]:
    """Return the panels from top to bottom."""
    return (
        Row([Widget("evaluation_tiles", "", "tiles")]),
        Row(
            [
                Widget(
                    "standing",
                    "Where it stands",
                    "lines",
                    "Nothing is known yet.",
                    "How good, and by which rows that is said.",
                ),
                Widget(
                    "metrics",
                    "Metrics",
                    "table",
                    "Metrics appear with the first score of a candidate.",
                    "Validation: the mean over folds of the best candidate so far; it was chosen by it, so it "
                    "flatters. Test: rows that had no part in any choice, with 95 % intervals.",
                ),
            ],
            (2, 3),
        ),
        Row([_settling()]),
        Row(_curves()[:2]),
        Row([*_curves()[2:], _confusion(), _per_class()]),
        Row(_residuals()),
        Row(_reasons()),
        Row(
            [
                Widget(
                    "slices",
                    "Slices in numbers",
                    "table",
                    "Comes with the end of the test.",
                    "p is corrected for how many groups were looked at; one that is not small is no finding.",
                )
            ]
        ),
    )


def _settling() -> Figure:
    return Figure(
        "settling",
        "How the test's metrics settle",
        "Each metric in a strip of its own, against the test rows judged so far: its value and its 95 % interval. "
        "Strips have scales of their own; in each the last value is in the middle, and written there. Four times as "
        "many rows make an interval half as wide.",
        live_evaluation.settling(),
        "Metrics of the test rows appear here while they are judged, after the best candidate is fitted once more on "
        "all other rows.",
    )


def _curves() -> list[Figure]:
    comes = "Comes with the test of a task of two classes."
    return [
        Figure(
            "roc",
            "ROC",
            "Share of positives found against share of negatives wrongly taken, on the test rows. The dashed line is "
            "guessing, the hollow mark the threshold in use, where it is known.",
            live_curves.roc(),
            comes,
        ),
        Figure(
            "precision_recall",
            "Precision and recall",
            "Of the rows taken, how many are positive, against the share of positives found. The dashed line is "
            "guessing.",
            live_curves.precision_recall(),
            comes,
        ),
        Figure(
            "calibration",
            "Calibration",
            "Share of positives among test rows of about equal prediction; on the dashed line they are the same. A "
            "dot's area is its number of rows, its upright line the 95 % interval.",
            live_curves.calibration(),
            comes,
        ),
    ]


def _confusion() -> Figure:
    return Figure(
        "confusion",
        "Confusion matrix",
        "Test rows by true class (rows) and predicted class (columns). The fuller a cell, the larger its share of the "
        f"true class. Of more than {MOST_CLASSES} classes the most frequent ones are shown.",
        live_curves.confusion(),
        "Comes with the test of a task of classes.",
        320,
    )


def _per_class() -> Widget:
    return Widget(
        "per_class",
        "Every class against the rest",
        "table",
        "Comes with the test of a task of several classes.",
        "Those of few test rows say little.",
    )


def _residuals() -> list[Figure]:
    comes = "Comes with the test of a regression."
    return [
        Figure(
            "residuals",
            "Residuals",
            "Truth minus prediction against prediction, in the target's unit, for a sample of test rows; on the orange "
            "line a prediction is right.",
            live_curves.residuals(),
            comes,
        ),
        Figure(
            "residual_histogram",
            "Distribution of the errors",
            "How many test rows have which truth minus prediction, in the target's unit; the outermost bars hold "
            "everything beyond them.",
            live_curves.residual_histogram(),
            comes,
        ),
    ]


def _reasons() -> list[Figure]:
    return [
        Figure(
            "importance",
            "Importance of the columns",
            "How much worse the metric becomes when a column's values are shuffled among test rows, with its 95 % "
            f"interval; the dashed line is no importance. The {MOST_COLUMNS} largest of those that are known.",
            live_evaluation.importance(),
            "Columns appear one by one when the test is over and the model is explained.",
            320,
        ),
        Figure(
            "worst_slices",
            "Worst slices",
            "Groups of test rows that are served worse than all others: the difference of the metric, with its 95 % "
            "interval; the dashed line is no difference.",
            live_evaluation.worst_slices(),
            "Groups of rows that are served worse than the others appear with the end of the test.",
            320,
        ),
    ]
