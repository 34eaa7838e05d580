"""Columns of the picture of the stages: when each was at work, so far."""

from __future__ import annotations

from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.dashboard.state import RunState
from daskflow.figures import gantt, style


def panel() -> Figure:
    """Return the panel."""
    return Figure(
        "gantt",
        "Stages along time",
        "A row for each stage, a bar for each stretch of time in which it did something: the download while some file "
        "came, the scan while some partition was read. Bars above each other were at the same time. Dashed lines are "
        "where the run was continued.",
        gantt.live_gantt(),
        empty="Bars come when the first stage begins.",
    )


def slots(state: RunState, now: float) -> list[Slot]:
    """Return what is drawn now."""
    overlap = state.spans.overlap(None if state.is_over else now)
    columns = gantt.bars(overlap)
    begun = [stage.stage for stage in overlap.stages]
    # Those to come have their rows from the beginning: what is drawn stays where it is.
    names = begun if state.is_over else [*begun, *(name for name in state.stages.known if name not in begun)]
    low = -max(len(names) - 1, 0) - 0.6
    end = max(round(overlap.wall, 1), 1.0)
    epoch = f"{state.spans.version}.{round(overlap.wall, 1)}"
    return [
        Columns("gantt_data", columns, epoch),
        Columns("gantt_starts_data", gantt.starts(overlap), str(len(overlap.starts))),
        Look("gantt_x", {"start": 0.0, "end": end, "reset_start": 0.0, "reset_end": end}),
        Look("gantt_y", {"start": low, "end": 0.6, "reset_start": low, "reset_end": 0.6}),
        Look("gantt_y_ticks", {"ticks": [-place for place in range(len(names))]}),
        Look(
            "gantt_y_axis",
            {"major_label_overrides": {-place: style.shown(name) for place, name in enumerate(names)}},
        ),
        Value("gantt.empty", not begun),
    ]
