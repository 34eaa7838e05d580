"""Figures of a search's parameters while it goes on: parallel coordinates, importance, and score by parameter."""

from __future__ import annotations

from bokeh.plotting import figure

from daskflow.figures import live_search_axes as axes
from daskflow.figures import style
from daskflow.figures.live_search import empty
from daskflow.figures.search import FADED

LINES = ("trial", "xs", "ys", "color", "width", "alpha", "score", "params")
"""Columns of ``search_parallel_data``."""

CORNERS = ("trial", "axis", "y")
"""Columns of ``search_parallel_corners_data``."""

FACETS = ("trial", "x", "y", "color", "alpha", "marker", "size", "name", "value", "score")
"""Columns of ``search_parameters_data``."""


def parallel() -> figure:
    """Return parallel coordinates: lines across upright axes, dots on the axes for a box to pick."""
    made = axes.frame("search_parallel", height=380)
    axes.told_ticks(made, "x")
    made.y_range.start, made.y_range.end = -0.08, 1.08
    made.grid.grid_line_color = None
    made.yaxis[0].visible = False
    made.segment(
        "x", 0.0, "x", 1.0, source=empty("search_parallel_axes", ("x",)), line_color=style.NEUTRAL, line_width=1
    )
    source = empty("search_parallel", LINES)
    lines = made.multi_line(
        "xs", "ys", source=source, line_color="color", line_width="width", line_alpha="alpha",
        nonselection_line_alpha=0.05,
    )  # fmt: skip
    dots = made.scatter(
        "axis", "y", source=empty("search_parallel_corners", CORNERS), size=5, color=style.NEUTRAL, alpha=0.6,
        line_color=None, nonselection_alpha=FADED,
    )  # fmt: skip
    words = made.text(
        "x", "y", "text", source=empty("search_parallel_ticks", ("x", "y", "text")), x_offset=7, padding=1,
        text_baseline="middle", text_color=style.INK, text_font_size="11px",
        text_font={"value": "system-ui, sans-serif"}, background_fill_color=style.PLATE, background_fill_alpha=0.75,
    )  # fmt: skip
    words.glyph.tags = [style.INK_TAG, style.PLATE_TAG]
    style.hover(
        made, [lines], {"candidate": "@trial", "score": "@score", "parameters": "@params"}, line_policy="nearest"
    )
    style.markable(made, [lines])
    lines.tags = []
    style.boxed([dots])
    return made


def importance() -> figure:
    """Return bars of the parameters' importance, with a line for each interval."""
    made = axes.frame("search_importance", height=300, x_label="share of the spread")
    axes.told_ticks(made, "y")
    made.ygrid.grid_line_color = None
    source = empty("search_importance", ("y", "name", "value", "said"))
    bars = made.hbar(
        y="y", left=0, right="value", height=0.62, source=source, color=style.ACCENT, fill_alpha=0.45, line_color=None
    )
    spans = empty("search_importance_spans", ("y", "low", "high"))
    made.segment("low", "y", "high", "y", source=spans, line_width=2.5, line_color=style.ACCENT)
    style.line_at(made, 0.0)
    style.hover(made, [bars], {"": "@name", "share": "@value{0.0 %}", "95 % interval": "@said"})
    made.xaxis[0].ticker.desired_num_ticks = 4
    style.percentages(made.xaxis[0])
    return made


def facets() -> figure:
    """Return score against each parameter's values, one parameter beside the other, with one axis for the score."""
    made = axes.frame("search_parameters", height=300, y_label="score")
    axes.told_ticks(made, "x")
    made.xgrid.grid_line_color = None
    made.segment(
        "x", "bottom", "x", "top", source=empty("search_parameters_edges", ("x", "bottom", "top")),
        y_range_name="edge", line_color=style.NEUTRAL, line_alpha=0.6,
    )  # fmt: skip
    dots = made.scatter(
        "x", "y", source=empty("search_parameters", FACETS), marker="marker", size="size", fill_color="color",
        fill_alpha="alpha", line_color=None, nonselection_fill_alpha=FADED,
    )  # fmt: skip
    made.text(
        "x", "y", "text", source=empty("search_parameters_ticks", ("x", "y", "text", "align")), y_range_name="edge",
        text_align="align", text_baseline="bottom", text_color=style.INK, text_alpha=0.75, tags=[style.INK_TAG],
        text_font_size="11px", text_font={"value": "system-ui, sans-serif"},
    )  # fmt: skip
    style.hover(made, [dots], {"candidate": "@trial", "parameter": "@name", "value": "@value", "score": "@score"})
    style.markable(made, [dots])
    return made
