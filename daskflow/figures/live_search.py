"""Figures of a search while it goes on, without data: scores as they come, learning curves, and score against cost."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure

from daskflow.figures import live_search_axes as axes
from daskflow.figures import style
from daskflow.figures.search import FADED

SCORES = ("trial", "x", "y", "size", "color", "alpha", "marker", "score", "resource")
"""Columns of ``search_scores_data``."""

CURVES = ("trial", "xs", "ys", "color", "width", "alpha", "score", "resource", "state", "params")
"""Columns of ``search_curves_data``."""

CURVE_ENDS = ("trial", "x", "y", "color", "alpha", "fill", "marker", "size")
"""Columns of ``search_curves_ends_data``."""

COSTS = ("trial", "x", "y", "color", "alpha", "marker", "size", "score", "cost", "params")
"""Columns of ``search_cost_data``."""


def empty(name: str, columns: tuple[str, ...]) -> Any:
    """Return a source of these columns without rows, named ``NAME_data``."""
    return style.source(name, **{column: [] for column in columns})


FAR = -1e12
"""Where samples of the legend stand: out of sight."""


def sample(made: figure, words: str, mark: str, color: str, alpha: float = 1.0) -> None:
    """Add a mark to the legend; those of the figure itself look differently from row to row, and are not there yet."""
    if mark == "line":
        made.line([FAR, FAR], [FAR, FAR], line_color=color, line_width=2, legend_label=words)
    else:
        line = color if mark == "x" else None
        made.scatter(
            [FAR], [FAR], marker=mark, size=8, fill_color=color, fill_alpha=alpha, line_color=line, line_width=2,
            legend_label=words,
        )  # fmt: skip


def scores() -> figure:
    """Return the scores over time: dots, the best so far as steps, failed trials at the edge of the worst."""
    made = axes.frame("search_scores", height=330, x_label="time since the run began (h:mm:ss)", y_label="score")
    axes.seconds(made)
    known = empty("search_interval", ("left", "right", "low", "high", "said"))
    made.quad(
        left="left", right="right", bottom="low", top="high", source=known, fill_color=style.SECOND, fill_alpha=0.13,
        line_color=None,
    )  # fmt: skip
    gaps(made, "search_scores_gaps")
    dots = made.scatter(
        "x", "y", source=empty("search_scores", SCORES), size="size", marker="marker", fill_color="color",
        fill_alpha="alpha", line_color=None, nonselection_fill_alpha=FADED,
    )  # fmt: skip
    best = empty("search_best", ("x", "y", "trial", "score"))
    made.step("x", "y", source=best, mode="after", line_color=style.SECOND, line_width=2)
    made.segment(
        "x0", "y", "x1", "y", source=empty("search_best_now", ("x0", "x1", "y")), line_color=style.SECOND, line_width=2
    )
    fresh = made.scatter(
        "x", "y", source=empty("search_scores_new", ("trial", "x", "y", "size")), size="size", marker="circle",
        fill_color=None, line_color=style.ACCENT, line_width=1.5,
    )  # fmt: skip
    failed = made.scatter(
        "x", "y", source=empty("search_scores_failed", ("trial", "x", "y", "error")), marker="x", size=8,
        line_color=style.SECOND, line_width=2, y_range_name="edge",
    )  # fmt: skip
    style.hover(
        made, [dots], {"candidate": "@trial", "score": "@score", "resource": "@resource{0,0}", "at": "@x{00:00:00}"}
    )
    style.hover(made, [failed], {"candidate": "@trial", "failed": "@error", "at": "@x{00:00:00}"})
    style.markable(made, [dots])
    style.movable(made)
    fresh.nonselection_glyph = None
    sample(made, "score", "circle", style.ACCENT)
    sample(made, "best so far", "line", style.SECOND)
    sample(made, "95 % interval", "square", style.SECOND, alpha=0.25)
    sample(made, "failed", "x", style.SECOND)
    style.legend_above(made, 4)
    return made


def gaps(made: figure, name: str) -> None:
    """Draw where a run was continued: what lay between is cut out of the axis of time."""
    source = empty(name, ("x", "bottom", "top", "text"))
    made.segment(
        "x", "bottom", "x", "top", source=source, y_range_name="edge", line_color=style.NEUTRAL, line_dash="dashed",
        line_width=1.5,
    )  # fmt: skip
    made.text(
        "x", "top", "text", source=source, y_range_name="edge", x_offset=4, y_offset=12, text_color=style.INK,
        text_alpha=0.75, tags=[style.INK_TAG], text_font_size="11px", text_font={"value": "system-ui, sans-serif"},
    )  # fmt: skip


def curves() -> figure:
    """Return score against resource, one line per trial, with a mark at the end of each."""
    made = axes.frame("search_curves", height=340, x_label="resource (blocks or rounds)", y_label="score")
    axes.told_ticks(made, "x")
    source = empty("search_curves", CURVES)
    lines = made.multi_line(
        "xs", "ys", source=source, line_color="color", line_width="width", line_alpha="alpha",
        nonselection_line_alpha=0.07,
    )  # fmt: skip
    ends = made.scatter(
        "x", "y", source=empty("search_curves_ends", CURVE_ENDS),
        marker="marker", size="size", line_color="color", fill_color="color", fill_alpha="fill", line_alpha="alpha",
        nonselection_fill_alpha=FADED, nonselection_line_alpha=FADED,
    )  # fmt: skip
    style.hover(
        made,
        [lines],
        {
            "candidate": "@trial (@state)",
            "last score": "@score",
            "at resource": "@resource{0,0}",
            "parameters": "@params",
        },
        line_policy="nearest",
    )
    style.markable(made, [lines])
    style.markable(made, [ends])
    lines.tags = []  # a box picks the marks at the ends
    style.movable(made)
    sample(made, "best", "diamond", style.SECOND)
    sample(made, "next 40", "line", style.ACCENT)
    sample(made, "others", "line", style.NEUTRAL)
    style.legend_above(made, 3)
    return made


def cost() -> figure:
    """Return score against what each trial's fits cost, and the line of those that none is better and cheaper than."""
    made = axes.frame("search_cost", height=340, x_label="CPU-seconds of the candidate's fits", y_label="score")
    axes.told_ticks(made, "x")
    dots = made.scatter(
        "x", "y", source=empty("search_cost", COSTS), marker="marker", size="size", fill_color="color",
        fill_alpha="alpha", line_color=None, nonselection_fill_alpha=FADED,
    )  # fmt: skip
    made.step(
        "x", "y", source=empty("search_front", ("x", "y")), mode="after", line_color=style.SECOND, line_width=2
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {"candidate": "@trial", "score": "@score", "CPU-seconds": "@cost{0,0.[00]}", "parameters": "@params"},
    )
    style.markable(made, [dots])
    style.movable(made)
    sample(made, "candidate", "circle", style.ACCENT, alpha=0.6)
    sample(made, "best", "diamond", style.SECOND)
    sample(made, "best for its cost", "line", style.SECOND)
    style.legend_above(made, 3)
    return made
