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

COLUMNS = ("seconds", "requests", "rows", "p50", "p95", "p99", "queue", "limit")
"""Of the source that figures over time share."""


def over_time() -> Any:
    """Return the source that figures over time share."""
    return style.source("stream", **{column: [] for column in COLUMNS})


def rate(key: str, column: str, label: str, data: Any) -> figure:
    """Return something per second as a filled line, from nothing up."""
    made = _timed(key, label)
    made.varea("seconds", 0, column, source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    line = made.line("seconds", column, source=data, line_color=style.ACCENT, line_width=2)
    style.hover(made, [line], {"time": "@seconds{00:00:00}", label: f"@{column}{{0,0.[0]}}"}, mode="vline")
    style.whole_numbers(made.yaxis[0])
    return made


def latency(data: Any) -> figure:
    """Return how long requests waited for their answers, in milliseconds, on a logarithmic axis."""
    made = _timed("latency", "milliseconds (logarithmic)", y_axis_type="log", y_range=axes.span("latency_y", 1.0, 10.0))
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
    made = _timed("queue", "requests waiting")
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


def batches() -> figure:
    """Return how many batches of which size were answered."""
    sizes = FactorRange(factors=[" "], name="batches_sizes")
    made = axes.frame("batches", height=260, x_label="requests in a batch", y_label="batches", x_range=sizes)
    data = style.source("batches", size=[], count=[], share=[])
    bars = made.vbar("size", top="count", bottom=0, width=0.7, source=data, color=style.ACCENT, fill_alpha=0.8)
    style.hover(made, [bars], {"requests": "@size", "batches": "@count{0,0}", "of all": "@share{0.0 %}"})
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


def prequential() -> figure:
    """Return the metric of the answers whose truth came later, with its 95 % interval."""
    made = _timed("prequential", "metric")
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


def _timed(name: str, y_label: str, **options: Any) -> figure:
    """A figure over time, whose range is told."""
    made = axes.frame(name, height=260, x_label=TIME, y_label=y_label, **options)
    axes.elapsed(made.xaxis[0])
    made.yaxis[0].ticker.desired_num_ticks = 5
    style.movable(made, "width")
    return made
