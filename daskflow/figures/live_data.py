"""Figures of the data as it is read, made without data: throughput, time per partition, missing values and drift."""

from __future__ import annotations

from bokeh.core.properties import value
from bokeh.plotting import figure
from bokeh.transform import transform

from daskflow.figures import live_axes as axes
from daskflow.figures import style

CELL = "#1d4ed8"
"""A cell in which everything is missing."""

STATES = {"done": ("circle", style.ACCENT), "rows refused": ("diamond", style.SECOND)}
"""Marks of partitions: each state has a form and a colour of its own."""


def throughput(key: str, column: str, label: str, data: object) -> figure:
    """Return something per second against the time since the scan began, as a filled line.

    Parameters
    ----------
    key : str
        The figure's name.
    column : str
        Of the source, such as ``rows``.
    label : str
        What the axis says, with its unit.
    data : bokeh ColumnDataSource
        ``seconds`` and the column; figures may share it.
    """
    made = axes.frame(key, height=240, x_label="time since the scan began (h:mm:ss)", y_label=label)
    made.varea("seconds", 0, column, source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    line = made.line("seconds", column, source=data, line_color=style.ACCENT, line_width=2.5)
    style.hover(made, [line], {"time": "@seconds{00:00:00}", label: f"@{column}{{0,0.[00]}}"}, mode="vline")
    style.movable(made, "width")
    axes.elapsed(made.xaxis[0])
    made.yaxis[0].ticker.desired_num_ticks = 5
    style.whole_numbers(made.yaxis[0])
    made.yaxis[0].formatter.format = "0,0.[0000]"  # small files are read at a hundredth of a megabyte a second
    return made


def piece_seconds() -> figure:
    """Return the seconds that each partition took against its place in the table."""
    made = axes.frame("piece_seconds", height=240, x_label="partition, by its place in the table", y_label="seconds")
    data = style.source(
        "piece_seconds", place=[], seconds=[], rows=[], rejects=[], worker=[], state=[], mark=[], fill=[]
    )
    dots = made.scatter(
        "place", "seconds", source=data, marker="mark", size=7, fill_color="fill", fill_alpha=0.55, line_color="fill"
    )
    style.hover(
        made,
        [dots],
        {
            "partition": "@place{0,0}",
            "seconds": "@seconds{0.00}",
            "rows": "@rows{0,0}",
            "rows refused": "@rejects{0,0}",
            "worker": "@worker",
        },
    )
    style.movable(made)
    axes.whole_steps(made.xaxis[0])
    made.yaxis[0].ticker.desired_num_ticks = 5
    return made


def missing() -> figure:
    """Return the share of missing values of each column that has any, as bars."""
    made = axes.named_rows("missing", x_label="share of rows without a value")
    made.x_range = axes.span("missing_share")
    data = style.source("missing", label=[], share=[], name=[], missing=[], rows=[])
    bars = made.hbar(
        y="label", left=0, right="share", height=0.7, source=data, fill_color=style.ACCENT, fill_alpha=0.8,
        line_color=None,
    )  # fmt: skip
    style.hover(made, [bars], {"": "@name", "missing": "@missing{0,0} of @rows{0,0}", "share": "@share{0.00 %}"})
    style.percentages(made.xaxis[0])
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def missing_map() -> figure:
    """Return the share of missing values by column and place in the table, as cells."""
    made = _map("missing_map")
    data = style.source("missing_map", x=[], label=[], width=[], share=[])
    mapper = axes.shade(CELL, "missing_map_shade")
    cells = made.rect("x", "label", "width", 0.86, source=data, fill_color=transform("share", mapper), line_color=None)
    style.hover(made, [cells], {"": "@label", "about partition": "@x{0,0}", "missing": "@share{0.00 %}"})
    return made


def drift_map() -> figure:
    """Return how far the mean of each piece of the table is from that of the whole, by column, as cells."""
    made = _map("drift_map")
    data = style.source("drift_map", x=[], label=[], width=[], shift=[], sign=[])
    mapper = axes.shade_both_ways(style.ACCENT, style.SECOND, "drift_map_shade")
    cells = made.rect("x", "label", "width", 0.86, source=data, fill_color=transform("shift", mapper), line_color=None)
    made.text(
        "x", "label", "sign", source=data, text_align="center", text_baseline="middle", text_color=style.INK,
        tags=[style.INK_TAG], text_font=value("system-ui, sans-serif"), text_font_size="11px",
    )  # fmt: skip
    style.hover(
        made,
        [cells],
        {"": "@label", "about partition": "@x{0,0}", "standard deviations from the mean": "@shift{+0.00}"},
    )
    return made


def _map(name: str) -> figure:
    """Cells by column and place in the table."""
    made = axes.named_rows(name, x_label="partition, by its place in the table")
    made.x_range = axes.span(f"{name}_places")
    axes.whole_steps(made.xaxis[0])
    made.xgrid.grid_line_color = None
    return made
