"""Figures of a model that answers requests, made without data: rates, latency, queue, batches, drift and score."""

from __future__ import annotations

from typing import Any

from bokeh.models import FactorRange
from bokeh.plotting import figure

from daskflow.figures import live_axes as axes
from daskflow.figures import style

TIME = "time since the stream began (h:mm:ss)"

PERCENTILES = {
    "p50": ("50 %", style.ACCENT, "solid"),
    "p95": ("95 %", style.SECOND, "dashed"),
    "p99": ("99 %", "#a855f7", "dotted"),
}
"""Latencies: what each is called, its colour and its dashes."""

COLUMNS = ("seconds", "requests", "rows", "p50", "p95", "p99", "queue", "limit", "lag")
"""Of the source that figures over time share."""

MARKS = {
    "swap": ("#0d9488", "solid"),
    "alarm": (style.SECOND, "dashed"),
    "begun": (style.NEUTRAL, "dotted"),
    "ended": (style.NEUTRAL, "dotted"),
}
"""Moments that are marked: colour and dashes of the line."""

MODELS = (style.ACCENT, style.SECOND, "#a855f7", "#0d9488", style.NEUTRAL)
"""Colours of models that are compared, in the order in which they came; the last one of all others."""


def over_time() -> Any:
    """Return the source that figures over time share."""
    return style.source("stream", **{column: [] for column in COLUMNS})


def moments() -> Any:
    """Return the source of moments that figures over time share."""
    return style.source("stream_marks", seconds=[], color=[], dash=[], kind=[], text=[])


def rate(key: str, column: str, label: str, data: Any, marks: Any) -> figure:
    """Return something per second as a filled line, from nothing up."""
    made = _timed(key, label)
    _mark(made, marks)
    made.varea("seconds", 0, column, source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    line = made.line("seconds", column, source=data, line_color=style.ACCENT, line_width=2)
    style.hover(made, [line], {"time": "@seconds{00:00:00}", label: f"@{column}{{0,0.[0]}}"}, mode="vline")
    style.whole_numbers(made.yaxis[0])
    return made


def latency(data: Any, marks: Any) -> figure:
    """Return how long requests waited for their answers, in milliseconds, on a logarithmic axis."""
    made = _timed("latency", "milliseconds (logarithmic)", y_axis_type="log", y_range=axes.span("latency_y", 1.0, 10.0))
    _mark(made, marks)
    lines = [
        made.line("seconds", column, source=data, line_color=colour, line_dash=dash, line_width=2, legend_label=words)
        for column, (words, colour, dash) in PERCENTILES.items()
    ]
    shown = {words: f"@{column}{{0,0.00}} ms" for column, (words, _, _) in PERCENTILES.items()}
    style.hover(made, lines[:1], {"time": "@seconds{00:00:00}", **shown}, mode="vline")
    style.legend_above(made)
    return made


def queue(data: Any) -> figure:
    """Return how many requests wait; the dashed line is the limit from which on requests are refused."""
    made = _timed("queue", "waiting")
    made.varea("seconds", 0, "queue", source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    line = made.line("seconds", "queue", source=data, line_color=style.ACCENT, line_width=2, legend_label="waiting")
    made.line(
        "seconds", "limit", source=data, line_color=style.SECOND, line_width=2, line_dash="dashed", legend_label="limit"
    )
    shown = {"time": "@seconds{00:00:00}", "waiting": "@queue{0,0}", "limit": "@limit{0,0}"}
    style.hover(made, [line], shown, mode="vline")
    style.whole_numbers(made.yaxis[0])
    style.legend_above(made)
    return made


def lag(data: Any, marks: Any) -> figure:
    """Return how many records wait at the source."""
    made = _timed("lag", "records at the source")
    _mark(made, marks)
    made.varea("seconds", 0, "lag", source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    line = made.line("seconds", "lag", source=data, line_color=style.ACCENT, line_width=2)
    style.hover(made, [line], {"time": "@seconds{00:00:00}", "waiting": "@lag{0,0}"}, mode="vline")
    style.whole_numbers(made.yaxis[0])
    return made


def batches() -> figure:
    """Return how many batches of which size were answered."""
    sizes = FactorRange(factors=[" "], name="batches_sizes")
    made = axes.frame("batches", height=260, x_label="answered in one batch", y_label="batches", x_range=sizes)
    data = style.source("batches", size=[], count=[], share=[])
    bars = made.vbar("size", top="count", bottom=0, width=0.7, source=data, color=style.ACCENT, fill_alpha=0.8)
    style.hover(made, [bars], {"answers": "@size", "batches": "@count{0,0}", "of all": "@share{0.0 %}"})
    made.xgrid.grid_line_color = None
    style.whole_numbers(made.yaxis[0])
    return made


def drift() -> figure:
    """Return how far each column's values are from those of training, with its bound; hatched bars are beyond it."""
    made = axes.named_rows("stream_drift", x_label="distance to the training rows")
    made.x_range = axes.span("stream_drift_values")
    data = style.source("stream_drift", label=[], name=[], value=[], bound=[], color=[], pattern=[], said=[])
    bars = made.hbar(
        y="label", left=0, right="value", height=0.62, source=data, fill_color="color", fill_alpha=0.7, line_color=None,
        hatch_pattern="pattern", hatch_color="white", hatch_alpha=0.4, hatch_scale=8, hatch_weight=1,
    )  # fmt: skip
    made.scatter(
        "bound", "label", source=data, marker="dash", angle=1.5708, size=20, line_color=style.NEUTRAL, line_width=3
    )
    style.hover(made, [bars], {"": "@name", "distance": "@value{0.0000}", "bound": "@bound{0.0000}", "it is": "@said"})
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def compared() -> figure:
    """Return the score of each model that is compared, as it came."""
    made = _timed("compared", "score")
    data = style.source("compared", seconds=[], value=[], low=[], high=[], name=[], color=[])
    made.segment("seconds", "low", "seconds", "high", source=data, line_color="color", line_alpha=0.25)
    dots = made.scatter("seconds", "value", source=data, size=4, color="color")
    told = {"": "@name", "score": "@value{0.0000}", "95 % interval": "@low{0.0000} to @high{0.0000}"}
    style.hover(made, [dots], {"time": "@seconds{00:00:00}", **told})
    return made


def prequential(marks: Any) -> figure:
    """Return the metric of the answers whose truth came later, with its 95 % interval."""
    made = _timed("prequential", "metric")
    _mark(made, marks)
    made.yaxis[0].name = "prequential_axis"
    data = style.source("prequential", seconds=[], value=[], low=[], high=[], rows=[])
    made.varea("seconds", "low", "high", source=data, fill_color=style.ACCENT, fill_alpha=0.22)
    line = made.line("seconds", "value", source=data, line_color=style.ACCENT, line_width=2.5)
    style.hover(
        made,
        [line],
        {
            "time": "@seconds{00:00:00}",
            "value": "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
            "rows": "@rows{0,0}",
        },
        mode="vline",
    )
    return made


def _mark(made: figure, marks: Any) -> None:
    """Draw the moments at which something happened."""
    lines = made.vspan("seconds", source=marks, line_color="color", line_dash="dash", line_width=2, line_alpha=0.8)
    lines.level = "underlay"
    style.hover(made, [lines], {"": "@text", "time": "@seconds{00:00:00}"})


def _timed(name: str, y_label: str, **options: Any) -> figure:
    """A figure over time, whose range is told."""
    made = axes.frame(name, height=260, x_label=TIME, y_label=y_label, **options)
    axes.elapsed(made.xaxis[0])
    made.yaxis[0].ticker.desired_num_ticks = 5
    style.movable(made, "width")
    return made
