"""Curves, confusion and residuals as test rows are judged: the report's figures, made without data."""

from __future__ import annotations

from collections.abc import Mapping

from bokeh.core.properties import field, value
from bokeh.models import FactorRange
from bokeh.plotting import figure

from daskflow.figures import curves, evaluation, style
from daskflow.figures import live_axes as axes


def roc() -> figure:
    """Return the ROC curve; the dashed line is guessing, the hollow mark the threshold in use."""
    made = curves.square("roc", "false positive rate", "true positive rate")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    _curve(made, "fpr", "tpr", {"false positive rate": "fpr", "true positive rate": "tpr"})
    return made


def precision_recall() -> figure:
    """Return the precision-recall curve; the dashed line is the share of positives, which is what guessing reaches."""
    made = curves.square("precision_recall", "recall", "precision")
    guess = style.source("precision_recall_guess", recall=[], precision=[])
    made.line("recall", "precision", source=guess, line_color=style.NEUTRAL, line_dash="dashed")
    _curve(made, "recall", "precision", {"recall": "recall", "precision": "precision"})
    return made


def _curve(made: figure, x: str, y: str, tooltips: Mapping[str, str]) -> None:
    """Draw a curve and its mark."""
    name = str(made.name)
    data = style.source(name, **{x: [], y: [], "threshold": []})
    line = made.line(x, y, source=data, line_color=style.ACCENT, line_width=2.5)
    marker = style.source(f"{name}_marker", x=[], y=[])
    made.scatter(
        "x", "y", source=marker, marker="circle", size=14, fill_alpha=0.0, line_color=style.SECOND, line_width=3
    )
    shown = {word: f"@{column}{{0.000}}" for word, column in tooltips.items()}
    style.hover(made, [line], shown | {"threshold": "@threshold{0.000}"}, mode="mouse")
    style.movable(made)


def calibration() -> figure:
    """Return the observed share of positives against the predicted probability, with intervals; area is rows."""
    made = curves.square("calibration", "predicted probability", "observed share")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    data = style.source("calibration", predicted=[], observed=[], count=[], size=[], low=[], high=[])
    made.segment("predicted", "low", "predicted", "high", source=data, line_color=style.ACCENT, line_width=2)
    made.line("predicted", "observed", source=data, line_color=style.ACCENT, line_width=1.5, line_alpha=0.6)
    dots = made.scatter(
        "predicted", "observed", source=data, size="size", fill_color=style.ACCENT, fill_alpha=0.45,
        line_color=style.ACCENT,
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {
            "predicted": "@predicted{0.000}",
            "observed": "@observed{0.000}",
            "rows": "@count{0,0}",
            "95 % interval": "@low{0.000} to @high{0.000}",
        },
    )
    style.movable(made)
    return made


def confusion() -> figure:
    """Return the confusion matrix: rows are true classes, columns predicted ones, depth the share of the true class."""
    made = axes.named_rows(
        "confusion",
        x_label="predicted class",
        y_label="true class",
        x_range=FactorRange(factors=[" "], name="confusion_columns"),
    )
    made.xaxis[0].name = "confusion_axis"
    data = style.source(
        "confusion", predicted=[], true=[], count=[], share=[], alpha=[], dark=[], light=[], size=[],
        true_name=[], predicted_name=[],
    )  # fmt: skip
    squares = made.rect(
        "predicted", "true", 0.95, 0.93, source=data, fill_color=evaluation.CELL, fill_alpha="alpha", line_color=None
    )
    fonts = {
        "text_align": "center",
        "text_baseline": "middle",
        "text_font": value("system-ui, sans-serif"),
        "text_font_size": field("size"),
    }
    made.text("predicted", "true", "dark", source=data, text_color=style.INK, tags=[style.INK_TAG], **fonts)
    made.text("predicted", "true", "light", source=data, text_color="white", **fonts)
    style.hover(
        made,
        [squares],
        {
            "true": "@true_name",
            "predicted": "@predicted_name",
            "rows": "@count{0,0}",
            "of the true class": "@share{0.0 %}",
        },
    )
    made.grid.grid_line_color = None
    return made


def residuals() -> figure:
    """Return truth minus prediction against prediction, for a sample of rows."""
    made = axes.frame("residuals", height=340, x_label="prediction", y_label="truth - prediction")
    data = style.source("residuals", predicted=[], true=[], residual=[])
    dots = made.scatter("predicted", "residual", source=data, size=5, color=style.ACCENT, alpha=0.35, line_color=None)
    style.line_at(made, 0.0, "width", line_color=style.SECOND, line_dash="solid", line_width=2)
    style.hover(
        made, [dots], {"truth": "@true{0,0.00}", "prediction": "@predicted{0,0.00}", "difference": "@residual{0,0.00}"}
    )
    style.movable(made)
    _grouped(made)
    return made


def residual_histogram() -> figure:
    """Return how many rows have which truth minus prediction."""
    made = axes.frame("residual_histogram", height=340, x_label="truth - prediction", y_label="rows")
    data = style.source("residual_histogram", left=[], right=[], count=[])
    bars = made.quad("left", "right", "count", 0, source=data, fill_color=style.ACCENT, fill_alpha=0.7, line_color=None)
    style.hover(made, [bars], {"from": "@left{0,0.00}", "to": "@right{0,0.00}", "rows": "@count{0,0}"})
    style.movable(made, "width")
    _grouped(made)
    return made


def _grouped(made: figure) -> None:
    """Write both axes with the thousands parted, whatever the numbers will be."""
    for axis in made.axis:
        style.whole_numbers(axis)
        axis.formatter.format = "0,0.[000]"
        axis.ticker.desired_num_ticks = 5
