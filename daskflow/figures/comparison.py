"""Figures of several runs side by side: differences with intervals, curves on one ground, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bokeh.models import NumeralTickFormatter, Range1d, Span
from bokeh.plotting import figure

from daskflow.core.comparison import Verdict
from daskflow.figures import style

PALETTE = (style.ACCENT, style.SECOND, "#059669", "#a855f7", "#db2777", "#0891b2")
"""One colour per run: contrast of 3 or more to white and to near-black."""

DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot", "solid")
"""Lines differ in more than their colour."""

COLOURS = {
    Verdict.BETTER: "#059669",
    Verdict.WORSE: style.SECOND,
    Verdict.ALIKE: style.NEUTRAL,
    Verdict.UNKNOWN: style.NEUTRAL,
}


@dataclass(frozen=True, slots=True)
class Gain:
    """One difference as it is drawn.

    Attributes
    ----------
    name : str
        What stands beside it.
    value, low, high : float
        Turned so that more is better.
    text : str
        As it is: second less first, with its interval.
    verdict : Verdict
        Gives the colour.
    """

    name: str
    value: float
    low: float
    high: float
    text: str
    verdict: Verdict


def gains(name: str, rows: Sequence[Gain], x_label: str) -> figure:
    """Return a forest plot of differences from the baseline: right of the line is better.

    What cannot be told apart from nothing is grey and hollow.
    """
    made = style.plot(name, height=style.rows_height(len(rows)), x_label=x_label)
    data = style.source(
        name,
        y=[-place for place in range(len(rows))],
        what=[row.name for row in rows],
        value=[row.value for row in rows],
        low=[row.low for row in rows],
        high=[row.high for row in rows],
        text=[row.text for row in rows],
        verdict=[str(row.verdict) for row in rows],
        colour=[COLOURS[row.verdict] for row in rows],
        fill=[1.0 if row.verdict in (Verdict.BETTER, Verdict.WORSE) else 0.0 for row in rows],
    )
    made.add_layout(Span(location=0, dimension="height", line_color=style.NEUTRAL, line_dash="dashed"))
    made.segment("low", "y", "high", "y", source=data, line_width=3, line_color="colour", line_alpha=0.6)
    dots = made.scatter(
        "value", "y", source=data, size=11, fill_color="colour", fill_alpha="fill", line_color="colour", line_width=2
    )
    style.hover(made, [dots], {"": "@what", "difference": "@text", "verdict": "@verdict"})
    style.name_rows(made, [row.name for row in rows])
    bounds = [0.0, *(bound for row in rows for bound in (row.low, row.high))]
    beyond = 0.08 * (max(bounds) - min(bounds)) or 1.0
    made.x_range = Range1d(min(bounds) - beyond, max(bounds) + beyond)
    made.xaxis[0].ticker.desired_num_ticks = 5
    return made


def roc(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> figure:
    """Return the ROC curves of runs on one ground."""
    made = _square("compared_roc", "false positive rate", "true positive rate")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    return _lines(made, curves, "fpr", "tpr", "bottom_right")


def precision_recall(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> figure:
    """Return the precision-recall curves of runs on one ground."""
    made = _square("compared_precision_recall", "recall", "precision")
    return _lines(made, curves, "recall", "precision", "bottom_left")


def calibration(bins: Mapping[str, Mapping[str, Sequence[float]]]) -> figure:
    """Return the calibration of runs on one ground: observed share against predicted probability."""
    made = _square("compared_calibration", "predicted probability", "observed share")
    made.line([0, 1], [0, 1], line_color=style.NEUTRAL, line_dash="dashed")
    return _lines(made, bins, "predicted", "observed", "top_left", dots=True)


def _lines(
    made: figure,
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    x: str,
    y: str,
    location: str,
    *,
    dots: bool = False,
) -> figure:
    """Draw one line per run."""
    drawn = []
    for place, (label, curve) in enumerate(list(curves.items())[: len(PALETTE)]):
        step = max(1, math.ceil(len(curve[x]) * len(curves) / style.MAX_POINTS))
        kept = sorted({*range(0, len(curve[x]), step), len(curve[x]) - 1}) if len(curve[x]) else []
        columns = {name: [curve[name][at] for at in kept] for name in (x, y)}
        data = style.source(f"{made.name}_{place}", run=[label] * len(kept), **columns)
        options = {"line_color": PALETTE[place], "line_width": 2.5, "line_dash": DASHES[place]}
        drawn.append(made.line(x, y, source=data, legend_label=style.shown(label), **options))
        if dots:
            made.scatter(x, y, source=data, size=7, color=PALETTE[place], legend_label=style.shown(label))
    style.hover(made, drawn, {"run": "@run", x: f"@{x}{{0.000}}", y: f"@{y}{{0.000}}"}, mode="mouse")
    if drawn:
        style.legend(made, location)
        made.legend[0].click_policy = "mute"
    return made


def cost(labels: Sequence[str], seconds: Sequence[float], cpu_seconds: Sequence[float]) -> figure:
    """Return wall time and processor time of each run as bars."""
    made = style.plot("compared_cost", height=style.rows_height(2 * len(labels)), x_label="seconds")
    names = [f"{label}: {what}" for label in labels for what in ("time", "processor")]
    values = [value for pair in zip(seconds, cpu_seconds, strict=True) for value in pair]
    data = style.source(
        "compared_cost",
        y=[-place for place in range(len(names))],
        what=names,
        seconds=values,
        colour=[PALETTE[(place // 2) % len(PALETTE)] for place in range(len(names))],
        alpha=[0.9 if place % 2 == 0 else 0.5 for place in range(len(names))],
    )
    bars = made.hbar(
        y="y",
        right="seconds",
        left=0,
        height=0.7,
        source=data,
        fill_color="colour",
        fill_alpha="alpha",
        line_color=None,
    )
    style.hover(made, [bars], {"": "@what", "seconds": "@seconds{0,0.0}"})
    style.name_rows(made, names)
    made.x_range.start = 0
    style.plain_numbers(made.xaxis[0], values)
    return made


def _square(name: str, x_label: str, y_label: str) -> figure:
    """A figure of two shares."""
    made = style.plot(name, height=360, x_label=x_label, y_label=y_label)
    made.x_range, made.y_range = Range1d(-0.02, 1.02), Range1d(-0.02, 1.02)
    for axis in made.axis:
        axis.formatter = NumeralTickFormatter(format="0.0")
    return made
