"""Figures of a workflow's runs, made without data: best so far against time and cost, and test metrics over time."""

from __future__ import annotations

from typing import Any

from bokeh.models import DatetimeTickFormatter, NumeralTickFormatter
from bokeh.plotting import figure

from daskflow.figures import live_axes as axes
from daskflow.figures import style

LINES = (
    ("#d97706", "dashed", "orange, dashes"),
    ("#059669", "dotted", "green, dots"),
    ("#a855f7", "dotdash", "purple, dot-dash"),
    ("#db2777", "14 4", "pink, long dashes"),
)
"""Lines of the newest earlier runs: colour (contrast of 3 or more to white and near-black), dashes, both in words."""

OLDER = (style.NEUTRAL, "solid", "grey")
"""The line of every other run."""

OWN = (style.ACCENT, "solid", "blue, thick")
"""The line of the run that is watched."""

RUN_COLUMNS = ("xs", "ys", "label", "run", "color", "dash", "width", "alpha", "score", "began")
"""Of the earlier runs' lines."""

NOW_COLUMNS = ("seconds_from", "seconds_to", "cpu_from", "cpu_to", "score")
"""Of the end of the own line."""


def own() -> Any:
    """Return the source of the watched run's own line, which the figures share."""
    return style.source("history_own", seconds=[], cpu=[], score=[])


def own_now() -> Any:
    """Return the source of the end of that line, from its last step to now, which the figures share."""
    return style.source("history_own_now", **{name: [] for name in NOW_COLUMNS})


def curves(key: str, column: str, x_label: str, data: Any, end: Any) -> figure:
    """Return the best score so far of every run against time or cost: the watched run is the thick line.

    Parameters
    ----------
    key : str
        The figure's name.
    column : str
        Of the watched run's source: ``seconds`` or ``cpu``.
    x_label : str
        What the axis says.
    data : bokeh ColumnDataSource
        As of `own`.
    end : bokeh ColumnDataSource
        As of `own_now`.
    """
    made = axes.frame(key, height=360, x_label=x_label, y_label="score")
    made.yaxis[0].name = f"{key}_axis"
    runs = style.source(key, **{name: [] for name in RUN_COLUMNS})
    lines = made.multi_line(
        "xs", "ys", source=runs, line_color="color", line_dash="dash", line_width="width", line_alpha="alpha",
        legend_field="label",
    )  # fmt: skip
    line = made.step(
        column, "score", source=data, mode="after", line_color=style.ACCENT, line_width=4, legend_label="this run"
    )
    made.segment(f"{column}_from", "score", f"{column}_to", "score", source=end, line_color=style.ACCENT, line_width=4)
    style.hover(made, [lines], {"run": "@run", "began": "@began", "best in the end": "@score{0.0000}"})
    time = {"this run, after": f"@{column}{{00:00:00}}", "best so far": "@score{0.0000}"}
    style.hover(made, [line], time, mode="mouse")
    style.movable(made)
    axes.elapsed(made.xaxis[0])
    made.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[0000]")
    made.yaxis[0].ticker.desired_num_ticks = 5
    style.legend_above(made, 3)
    return made


def tested() -> figure:
    """Return the test metric of every run against when it began, with its 95 % interval."""
    made = axes.frame(
        "history_tests", height=300, x_label="when the run began (UTC)", y_label="test metric", x_axis_type="datetime"
    )
    made.yaxis[0].name = "history_tests_axis"
    names = ("at", "value", "low", "high", "label", "marker", "size", "color", "fill", "said")
    data = style.source("history_tests", **{name: [] for name in names})
    made.segment("at", "low", "at", "high", source=data, line_color=style.NEUTRAL, line_width=3)
    dots = made.scatter(
        "at", "value", source=data, marker="marker", size="size", fill_color="color", fill_alpha="fill",
        line_color="color", line_width=2,
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {
            "run": "@label",
            "began": "@at{%Y-%m-%d %H:%M}",
            "test": "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
            "it is": "@said",
        },
        formatters={"@at": "datetime"},
    )
    style.movable(made)
    made.xaxis[0].formatter = DatetimeTickFormatter(
        days="%m-%d", months="%Y-%m", hours="%m-%d %H:%M", hourmin="%m-%d %H:%M", minutes="%m-%d %H:%M",
        years="%Y",
    )  # fmt: skip
    made.xaxis[0].ticker.desired_num_ticks = 5
    made.yaxis[0].ticker.desired_num_ticks = 5
    made.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[0000]")
    return made
