"""Figures of the evaluation as it goes on, made without data: metrics that settle, importances and slices."""

from __future__ import annotations

from bokeh.core.properties import value
from bokeh.plotting import figure

from daskflow.figures import live_axes as axes
from daskflow.figures import style


def settling() -> figure:
    """Return each metric in a strip of its own: its value and its 95 % interval against the test rows judged.

    Strips have scales of their own: rows of the range count from 0 at the bottom, and the middle of the first is 0.5.
    """
    made = axes.named_rows("settling", x_label="test rows judged")
    made.x_range = axes.span("settling_rows_judged")
    bands = style.source("settling_bands", xs=[], ys=[])
    lines = style.source("settling_lines", xs=[], ys=[])
    dots = style.source("settling", rows=[], y=[], metric=[], value=[], low=[], high=[])
    ends = style.source("settling_ends", x=[], y=[], text=[], align=[], offset=[])
    made.patches("xs", "ys", source=bands, fill_color=style.ACCENT, fill_alpha=0.22, line_color=None)
    made.multi_line("xs", "ys", source=lines, line_color=style.ACCENT, line_width=2)
    marks = made.scatter("rows", "y", source=dots, size=6, color=style.ACCENT, line_color=None)
    made.text(
        "x", "y", "text", source=ends, x_offset="offset", text_align="align", text_baseline="middle",
        text_color=style.INK, tags=[style.INK_TAG],
        text_font=value("system-ui, sans-serif"), text_font_size="13px",
    )  # fmt: skip
    style.hover(
        made,
        [marks],
        {
            "": "@metric",
            "value": "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
            "rows": "@rows{0,0}",
        },
    )
    axes.whole_steps(made.xaxis[0], 4)
    return made


def importance() -> figure:
    """Return importances of columns with their 95 % intervals; the dashed line is no importance."""
    made = axes.named_rows("importance", x_label="loss of the metric when shuffled")
    made.xaxis[0].name = "importance_axis"
    made.x_range = axes.span("importance_values")
    data = style.source("importance", label=[], name=[], value=[], low=[], high=[])
    bars = made.hbar(
        y="label", left=0, right="value", height=0.62, source=data, color=style.ACCENT, fill_alpha=0.45, line_color=None
    )
    made.segment("low", "label", "high", "label", source=data, line_width=2.5, line_color=style.ACCENT)
    style.line_at(made, 0.0)
    style.hover(
        made, [bars], {"": "@name", "importance": "@value{0.00000}", "95 % interval": "@low{0.00000} to @high{0.00000}"}
    )
    style.movable(made, "width")
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def worst_slices() -> figure:
    """Return how far the worst slices are from all other test rows, with intervals; the line is no difference."""
    made = axes.named_rows("worst_slices", x_label="difference to the other rows")
    made.xaxis[0].name = "worst_slices_axis"
    made.x_range = axes.span("worst_slices_values")
    data = style.source("worst_slices", label=[], name=[], rows=[], score=[], value=[], low=[], high=[])
    style.line_at(made, 0.0)
    made.segment("low", "label", "high", "label", source=data, line_width=3, line_color=style.NEUTRAL)
    dots = made.scatter("value", "label", source=data, size=9, color=style.SECOND, line_color=None)
    style.hover(
        made,
        [dots],
        {
            "": "@name",
            "rows": "@rows{0,0}",
            "metric": "@score{0.0000}",
            "difference": "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
        },
    )
    style.movable(made, "width")
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made
