"""Figures of cost: what the slots did in each stage; and of drift between training and test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.plotting import figure

from daskflow.figures import style

CAUSES = {
    "busy": ("computing", "#3b82f6", ""),
    "waiting_for_data": ("waiting for data", "#d97706", "right_diagonal_line"),
    "waiting_for_workers": ("waiting for workers", "#a855f7", "cross"),
    "no_task": ("no task", "#8b95a5", "dot"),
}
"""What a slot can be at: in words, its colour and its pattern."""


def utilisation(found: Mapping[str, Any]) -> figure:
    """Return the seconds of all slots in each stage as one bar, parted by what they did.

    Parameters
    ----------
    found : mapping
        ``slots``, and ``stages``: mappings with ``stage``, ``seconds``, ``slot_seconds`` and the keys of `CAUSES`.
    """
    stages = [stage for stage in found["stages"] if stage.get("slot_seconds")]
    made = style.plot(
        "utilisation", height=style.rows_height(len(stages)) + 40, x_label=f"slot-seconds ({found['slots']} slots)"
    )
    columns: dict[str, Sequence[Any]] = {
        "y": [-place for place in range(len(stages))],
        "stage": [style.shown(stage["stage"], 80) for stage in stages],
        "seconds": [float(stage["seconds"]) for stage in stages],
    }
    for cause in CAUSES:
        columns[cause] = [float(stage.get(cause) or 0.0) for stage in stages]
        total = [float(stage["slot_seconds"]) or 1.0 for stage in stages]
        columns[f"{cause}_share"] = [part / whole for part, whole in zip(columns[cause], total, strict=True)]
    data = style.source("utilisation", **columns)
    left = [0.0] * len(stages)
    for cause, (words, colour, pattern) in CAUSES.items():
        right = [start + float(part) for start, part in zip(left, columns[cause], strict=True)]
        data.data[f"{cause}_left"], data.data[f"{cause}_right"] = left, right
        bars = made.hbar(
            y="y", left=f"{cause}_left", right=f"{cause}_right", height=0.68, source=data, fill_color=colour,
            fill_alpha=0.85, line_color=None, hatch_pattern=pattern or " ", hatch_color="white", hatch_alpha=0.35,
            hatch_weight=1, hatch_scale=8, legend_label=words,
        )  # fmt: skip
        style.hover(
            made,
            [bars],
            {"": f"@stage: {words}", "slot-seconds": f"@{cause}{{0,0.0}}", "of the stage": f"@{cause}_share{{0.0 %}}"},
        )
        left = right
    style.movable(made, "width")
    style.name_rows(made, [stage["stage"] for stage in stages])
    made.x_range.start = 0
    style.whole_numbers(made.xaxis[0])
    if max(left, default=0) < 10:
        made.xaxis[0].formatter.format = "0.[00]"
    made.xaxis[0].ticker.desired_num_ticks = 5
    style.legend_above(made, 2)
    return made


def drift(found: Sequence[Mapping[str, Any]], top: int = 20) -> figure:
    """Return how far each column's test rows are from its training rows, with what chance explains as a line.

    Parameters
    ----------
    found : sequence of mapping
        ``column``, ``statistic``, ``value``, ``bound``, ``is_drifted``, most drifted first.
    top : int
        Columns shown.
    """
    some = list(found)[:top]
    made = style.plot("drift", height=style.rows_height(len(some)), x_label="distance between 0 (equal) and 1")
    data = style.source(
        "drift",
        y=[-place for place in range(len(some))],
        below=[-place - 0.36 for place in range(len(some))],
        above=[-place + 0.36 for place in range(len(some))],
        name=[style.shown(row["column"], 80) for row in some],
        statistic=[str(row["statistic"]) for row in some],
        value=[style.known(row["value"]) for row in some],
        bound=[style.known(row["bound"]) for row in some],
        color=[style.SECOND if row.get("is_drifted") else style.ACCENT for row in some],
    )
    bars = made.hbar(
        y="y", left=0, right="value", height=0.62, source=data, color="color", fill_alpha=0.7, line_color=None
    )
    made.segment("bound", "below", "bound", "above", source=data, line_color=style.NEUTRAL, line_width=3)
    style.hover(
        made,
        [bars],
        {"": "@name", "distance (@statistic)": "@value{0.0000}", "chance explains up to": "@bound{0.0000}"},
    )
    style.movable(made, "width")
    style.name_rows(made, [row["column"] for row in some])
    made.x_range.start = 0
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made
