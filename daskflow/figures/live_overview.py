"""Figure of the live overview: the best score so far, over the time that a run went on."""

from __future__ import annotations

from bokeh.models import AdaptiveTicker, DataRange1d, NumeralTickFormatter
from bokeh.plotting import figure

from daskflow.figures import style

TIME_MANTISSAS = [1, 2, 5, 10, 15, 30]
"""Steps of an axis of seconds, minutes and hours."""


def best_so_far() -> figure:
    """Return the best score over seconds since the run began, without data.

    Sources: ``best_data`` (x, y, trial, resource: when another trial became the best), ``best_line_data`` (x, y: the
    same as steps up to now), ``best_interval_data`` (x, low, high: the 95 % interval of the best, at its end). The y
    axis is named ``best_y``.
    """
    made = style.plot("best", height=280, x_label="time that the run went on (h:mm:ss)", y_label="score")
    time_axis(made)
    made.yaxis[0].name = "best_y"
    dots = style.source("best", x=[], y=[], trial=[], resource=[])
    line = style.source("best_line", x=[], y=[])
    interval = style.source("best_interval", x=[], low=[], high=[])
    drawn = made.step("x", "y", source=line, mode="after", line_width=2.5, line_color=style.ACCENT)
    ends = made.segment("x", "low", "x", "high", source=interval, line_color=style.SECOND, line_width=2)
    shown = made.scatter(
        "x", "y", source=dots, size=8, fill_color=style.ACCENT, line_color=style.ACCENT, nonselection_alpha=0.35
    )
    made.y_range = DataRange1d(renderers=[drawn, ends], range_padding=0.08)
    made.x_range = DataRange1d(start=0, range_padding=0.02)
    style.hover(
        made,
        [shown],
        {"trial": "@trial", "score": "@y{0.0000}", "resource": "@resource{0,0}", "time": "@x{00:00:00}"},
    )
    style.markable(made, [shown])
    style.movable(made)
    return made


def time_axis(made: figure) -> None:
    """Write an x axis of seconds as h:mm:ss, with steps that people count time in."""
    axis = made.xaxis[0]
    axis.ticker = AdaptiveTicker(base=60, mantissas=TIME_MANTISSAS, min_interval=1, num_minor_ticks=0)
    axis.formatter = NumeralTickFormatter(format="00:00:00")
