"""Curves of a binary classifier: ROC, precision and recall, gain, calibration, and what each threshold brings.

Where a curve knows its thresholds a hollow mark stands at the chosen one; the page moves the marks of all curves
together (their sources are named ``NAME_marker_data``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from daskflow.figures import style

MAX_CURVE = 400
"""Points of a curve."""

COLOURS = {"precision": "#3b82f6", "recall": "#d97706", "f1": "#0d9488", "false_positive_rate": "#a855f7"}
"""Of what a threshold brings: contrast of 3 or more to white and to near-black."""

DASHES = {"precision": "solid", "recall": "dashed", "f1": "dotdash", "false_positive_rate": "dotted"}
"""So that the lines can be told apart without their colours."""


def roc(curve: Mapping[str, Sequence[Any]], chosen: float | None = None) -> figure:
    """Return the ROC curve: the share of positives found against the share of negatives wrongly taken.

    Parameters
    ----------
    curve : mapping
        ``fpr``, ``tpr`` and, where known, ``threshold``, of equal length.
    chosen : float or None
        The threshold in use; None marks none.
    """
    made = square("roc", "false positive rate", "true positive rate")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    _curve(made, "roc", curve, "fpr", "tpr", chosen, {"false positive rate": "fpr", "true positive rate": "tpr"})
    return made


def precision_recall(
    curve: Mapping[str, Sequence[Any]], share: float | None = None, chosen: float | None = None
) -> figure:
    """Return the precision-recall curve; the dashed line is what guessing reaches, the `share` of positives."""
    made = square("precision_recall", "recall", "precision")
    if share is not None:
        made.line([0, 1], [share, share], line_color=style.NEUTRAL, line_dash="dashed")
    names = {"recall": "recall", "precision": "precision"}
    _curve(made, "precision_recall", curve, "recall", "precision", chosen, names)
    return made


def _curve(
    made: figure,
    name: str,
    curve: Mapping[str, Sequence[Any]],
    x: str,
    y: str,
    chosen: float | None,
    tooltips: Mapping[str, str],
) -> None:
    """Draw a curve, its mark, and what the pointer shows."""
    kept = style.every(len(curve[x]), MAX_CURVE)
    columns = {word: [style.known(curve[word][place]) for place in kept] for word in (x, y)}
    thresholds = curve.get("threshold")
    if thresholds:
        columns["threshold"] = [style.known(thresholds[place]) for place in kept]
    data = style.source(name, **columns)
    line = made.line(x, y, source=data, line_color=style.ACCENT, line_width=2.5)
    shown = {word: f"@{column}{{0.000}}" for word, column in tooltips.items()}
    style.hover(made, [line], shown | ({"threshold": "@threshold{0.000}"} if thresholds else {}), mode="mouse")
    style.movable(made)
    if thresholds and chosen is not None:
        place = nearest(columns["threshold"], chosen)
        _mark(made, name, columns[x][place], columns[y][place])


def nearest(values: Sequence[float], wanted: float) -> int:
    """Return the place of the value nearest to the wanted one; what is not a number is never near.

    Examples
    --------
    >>> nearest([float("inf"), 0.9, 0.4], 0.5)
    2
    """
    return min(range(len(values)), key=lambda place: _distance(values[place], wanted))


def _distance(value: float, wanted: float) -> float:
    return abs(value - wanted) if math.isfinite(value) else math.inf


def _mark(made: figure, name: str, x: float, y: float) -> None:
    """The hollow mark at the chosen threshold."""
    marker = style.source(f"{name}_marker", x=[x], y=[y])
    made.scatter(
        "x", "y", source=marker, marker="circle", size=14, fill_alpha=0.0, line_color=style.SECOND, line_width=3
    )


def gain(curve: Mapping[str, Sequence[Any]], positive: float | None = None, taken: float | None = None) -> figure:
    """Return the share of the positives found among the rows of highest score.

    Parameters
    ----------
    curve : mapping
        ``share`` of all rows, highest scores first, and ``gain``, the share of the positives among them.
    positive : float or None
        Share of positives among all rows: the dotted line is what a perfect ranking would find.
    taken : float or None
        Share of rows that the chosen threshold takes.
    """
    made = square("gain", "share of the rows, highest scores first", "share of the positives found")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    if positive:
        made.line([0, positive, 1], [0, 1, 1], line_color=style.NEUTRAL, line_dash="dotted")
    kept = style.every(len(curve["share"]), MAX_CURVE)
    share = [style.known(curve["share"][place]) for place in kept]
    found = [style.known(curve["gain"][place]) for place in kept]
    lift = [part / of if of else math.nan for part, of in zip(found, share, strict=True)]
    data = style.source("gain", share=share, gain=found, lift=lift)
    line = made.line("share", "gain", source=data, line_color=style.ACCENT, line_width=2.5)
    style.hover(
        made,
        [line],
        {"of the rows": "@share{0.0 %}", "of the positives": "@gain{0.0 %}", "lift": "@lift{0.00}"},
        mode="mouse",
    )
    style.movable(made)
    if taken is not None:
        place = nearest(share, taken)
        _mark(made, "gain", share[place], found[place])
    return made


def lift(curve: Mapping[str, Sequence[Any]]) -> figure:
    """Return how many times more positives stand among the rows of highest score than among as many drawn at random."""
    pairs = [(style.known(of), style.known(part)) for of, part in zip(curve["share"], curve["gain"], strict=True)]
    pairs = [(of, part) for of, part in pairs if of > 0.004]
    kept = [pairs[place] for place in style.every(len(pairs), MAX_CURVE)]
    made = style.plot("lift", height=320, x_label="share of the rows, highest scores first", y_label="lift")
    data = style.source("lift", share=[of for of, _ in kept], lift=[part / of for of, part in kept])
    style.line_at(made, 1.0, "width")
    line = made.line("share", "lift", source=data, line_color=style.ACCENT, line_width=2.5)
    style.hover(made, [line], {"of the rows": "@share{0.0 %}", "lift": "@lift{0.00}"}, mode="mouse")
    style.movable(made)
    made.x_range = Range1d(0, 1.02)
    made.y_range.start = 0
    made.xaxis[0].formatter = NumeralTickFormatter(format="0.0")
    return made


def calibration(bins: Mapping[str, Sequence[Any]]) -> figure:
    """Return the observed share of positives against the predicted probability; a dot's area is its number of rows.

    Parameters
    ----------
    bins : mapping
        ``predicted``, ``observed``, ``count``, and where known ``low`` and ``high``, the 95 % interval of ``observed``.
    """
    made = square("calibration", "predicted probability", "observed share")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    most = max(bins["count"], default=1) or 1
    columns = {word: [style.known(value) for value in bins[word]] for word in ("predicted", "observed")}
    data = style.source(
        "calibration",
        **columns,
        count=list(bins["count"]),
        size=[6 + 20 * math.sqrt(count / most) for count in bins["count"]],
    )
    shown = {"predicted": "@predicted{0.000}", "observed": "@observed{0.000}", "rows": "@count{0,0}"}
    if bins.get("low") and bins.get("high"):
        data.data["low"] = [style.known(value) for value in bins["low"]]
        data.data["high"] = [style.known(value) for value in bins["high"]]
        made.segment("predicted", "low", "predicted", "high", source=data, line_color=style.ACCENT, line_width=2)
        shown["95 % interval"] = "@low{0.000} to @high{0.000}"
    made.line("predicted", "observed", source=data, line_color=style.ACCENT, line_width=1.5, line_alpha=0.6)
    dots = made.scatter(
        "predicted",
        "observed",
        source=data,
        size="size",
        fill_color=style.ACCENT,
        fill_alpha=0.45,
        line_color=style.ACCENT,
    )
    style.hover(made, [dots], shown)
    style.movable(made)
    return made


def thresholds(table: Mapping[str, Any]) -> figure:
    """Return what each threshold brings: precision, recall, F1 and the false positive rate; the chosen one is marked.

    Parameters
    ----------
    table : mapping
        ``threshold``, ``precision``, ``recall``, ``f1``, ``false_positive_rate`` (and ``taken``, ``cost``) of equal
        length, and ``chosen``.
    """
    made = style.plot("thresholds", height=340, x_label="threshold", y_label="share")
    made.y_range = Range1d(-0.02, 1.02)
    names = ["threshold", "taken", *COLOURS, "cost"]
    columns = {name: [style.known(value) for value in table[name]] for name in names if table.get(name)}
    data = style.source("thresholds", **columns)
    lines = [
        made.line(
            "threshold", name, source=data, line_color=colour, line_width=2, line_dash=DASHES[name],
            legend_label=name.replace("_", " "),
        )
        for name, colour in COLOURS.items()
        if name in columns
    ]  # fmt: skip
    tooltips = {name.replace("_", " "): f"@{name}{{0.000}}" for name in columns if name != "cost"}
    if "cost" in columns:
        tooltips["cost per row"] = "@cost{0.0000}"
    style.hover(made, lines[:1], tooltips, mode="vline", line_policy="nearest")
    style.movable(made, "width")
    style.line_at(
        made, style.known(table.get("chosen")), name="thresholds_line", line_color=style.SECOND, line_dash="solid"
    )
    style.legend_above(made, 2)
    return made


def costs(table: Mapping[str, Any]) -> figure:
    """Return the cost per row of each threshold, by the costs that were given; the chosen threshold is marked."""
    made = style.plot("costs", height=340, x_label="threshold", y_label="cost per row")
    data = style.source(
        "costs",
        threshold=[style.known(value) for value in table["threshold"]],
        cost=[style.known(value) for value in table["cost"]],
    )
    line = made.line("threshold", "cost", source=data, line_color=style.ACCENT, line_width=2.5)
    style.hover(made, [line], {"threshold": "@threshold{0.000}", "cost per row": "@cost{0.0000}"}, mode="vline")
    style.movable(made)
    style.line_at(made, style.known(table.get("chosen")), name="costs_line", line_color=style.SECOND, line_dash="solid")
    return made


def square(name: str, x_label: str, y_label: str) -> figure:
    """Return a figure of two shares."""
    made = style.plot(name, height=340, x_label=x_label, y_label=y_label)
    made.x_range, made.y_range = Range1d(-0.02, 1.02), Range1d(-0.02, 1.02)
    for axis in made.axis:
        axis.formatter = NumeralTickFormatter(format="0.0[0]")
    return made
