"""Figures of when each stage of a run was at work: a row for each stage, along the run's own time."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure

from daskflow.core.overlap import Overlap, joined
from daskflow.figures import live_search_axes as axes
from daskflow.figures import style

BARS = ("y", "left", "right", "stage", "share")
"""Columns of ``gantt_data``; ``share`` is that of the stage's seconds in those of all stages."""

MOST_BARS = 150
"""Of one stage; of more, those with the smallest gaps between them are joined."""

X_LABEL = "time that the run went on (h:mm:ss)"


def bars(overlap: Overlap) -> dict[str, list[Any]]:
    """Return the columns `BARS`: the first stage at y = 0, each further one 1 below."""
    columns: dict[str, list[Any]] = {name: [] for name in BARS}
    total = overlap.sum_seconds or 1.0
    for place, stage in enumerate(overlap.stages):
        for begin, end in joined(stage.intervals, MOST_BARS):
            row = (-place, round(begin, 3), round(end, 3), style.shown(stage.stage, 40), stage.seconds / total)
            for name, value in zip(BARS, row, strict=True):
                columns[name].append(value)
    return columns


def starts(overlap: Overlap) -> dict[str, list[float]]:
    """Return where later invocations begin, as ``x``."""
    return {"x": [round(at, 3) for at in overlap.starts]}


def gantt(overlap: Overlap) -> figure:
    """Return the stages of a run as bars; dashed lines are where it was continued."""
    names = [stage.stage for stage in overlap.stages]
    made = style.plot("gantt", height=style.rows_height(len(names)), x_label=X_LABEL)
    axes.seconds(made)
    style.movable(made, "width")
    _draw(made, style.source("gantt", **bars(overlap)), style.source("gantt_starts", **starts(overlap)))
    style.name_rows(made, names)
    made.x_range.start = 0.0
    return made


def live_gantt() -> figure:
    """Return the same without data.

    Sources: ``gantt_data`` (`BARS`), ``gantt_starts_data`` (x). The ranges are ``gantt_x`` and ``gantt_y``, the ticks
    ``gantt_y_ticks``, the axis of stages ``gantt_y_axis``.
    """
    made = axes.frame("gantt", height=280, x_label=X_LABEL)
    axes.seconds(made)
    axes.told_ticks(made, "y")
    made.ygrid.grid_line_color = None
    style.movable(made, "width")
    _draw(made, style.source("gantt", **{name: [] for name in BARS}), style.source("gantt_starts", x=[]))
    return made


def _draw(made: figure, data: Any, begun: Any) -> None:
    """Bars, and lines where the run was continued."""
    made.vspan(x="x", source=begun, line_color=style.NEUTRAL, line_dash="dashed", line_width=1.5)
    drawn = made.hbar(
        y="y", left="left", right="right", height=0.66, source=data, fill_color=style.ACCENT, fill_alpha=0.8,
        line_color=style.ACCENT, line_width=1,
    )  # fmt: skip
    style.hover(
        made,
        [drawn],
        {"": "@stage", "from": "@left{00:00:00}", "to": "@right{00:00:00}", "of all stages": "@share{0.0 %}"},
    )
