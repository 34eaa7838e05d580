"""Figure of the trials' timeline: which worker fitted which trial, and when."""

from __future__ import annotations

from bokeh.plotting import figure

from daskflow.figures import live_search_axes as axes
from daskflow.figures import style
from daskflow.figures.live_search import empty, gaps
from daskflow.figures.search import FADED

BARS = ("trial", "y", "left", "right", "color", "alpha", "what", "seconds")
"""Columns of ``search_timeline_data``."""


def height_of(n_rows: int) -> int:
    """Return the height in pixels for so many rows: lower ones where they are many.

    Examples
    --------
    >>> height_of(5), height_of(17), height_of(41)
    (220, 444, 690)
    """
    return 70 + n_rows * (30 if n_rows <= 9 else 22 if n_rows <= 20 else 15) + (5 if n_rows > 20 else 0)


def timeline() -> figure:
    """Return bars along time, a row for each worker, and one at the top for what was handed in."""
    made = axes.frame("search_timeline", height=320, x_label="time since the run began (h:mm:ss)")
    axes.seconds(made)
    axes.told_ticks(made, "y")
    made.ygrid.grid_line_color = None
    gaps(made, "search_timeline_gaps")
    bars = made.hbar(
        y="y", left="left", right="right", height="height", source=empty("search_timeline", (*BARS, "height")),
        fill_color="color", fill_alpha="alpha", line_color=None, nonselection_fill_alpha=FADED,
    )  # fmt: skip
    handed = made.hbar(
        y="y", left="left", right="right", height="height",
        source=empty("search_timeline_open", ("trial", "y", "left", "right", "height", "what")),
        fill_color=None, line_color=style.ACCENT, line_width=1,
    )  # fmt: skip
    failed = made.scatter(
        "x", "y", source=empty("search_timeline_failed", ("trial", "x", "y", "what")), marker="circle_x",
        size=11, fill_color="white", line_color=style.SECOND, line_width=2,
    )  # fmt: skip
    style.hover(made, [bars], {"": "@what", "began": "@left{00:00:00}", "seconds": "@seconds{0,0.0}"})
    style.hover(made, [handed], {"": "@what", "handed in": "@left{00:00:00}"})
    style.hover(made, [failed], {"": "@what"})
    style.markable(made, [bars])
    style.movable(made, "width")
    return made
