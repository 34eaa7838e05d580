"""Learning curves: score by resource of the best, the newest and the running trials, the others as a grey ground."""

from __future__ import annotations

import math
from typing import Any

from daskflow.dashboard import screen_search_chosen as chosen
from daskflow.dashboard.screen_search_scores import beyond, score_range
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.figures import live_search, style
from daskflow.figures import live_search_axes as axes
from daskflow.figures.search import MAX_LINES

MOST_POINTS = 4000
"""Points of all lines at most."""

BRIGHT = 40
"""Of the best so many are drawn in colour."""


def panel() -> Figure:
    """Return the panel."""
    return Figure(
        "search_curves",
        "Learning curves",
        "Each line is a candidate; one that ends early was stopped, because others did better, and one with a ring is "
        "being fitted. Of more than "
        f"{MAX_LINES} the best, the newest and an even part of the others are drawn.",
        live_search.curves(),
        empty="Curves come when candidates have been scored at more than one resource. A search that gives every "
        "candidate all of it at once has none.",
        min_width=320,
    )


class Curves:
    """Draws the lines; they are drawn anew whenever it has its turn."""

    def __init__(self) -> None:
        """Begin without lines."""
        self._drawn = 0

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        self._drawn += 1
        some = chosen.some_scored(standing, MAX_LINES)
        lines: list[tuple[Any, ...]] = []
        ends: list[tuple[Any, ...]] = []
        handed_in = {trial for trial, _, _ in standing.search.running}
        best = standing.best()
        bright = {trial.id for trial in standing.top(BRIGHT)}
        resources = {resource for trial in some for resource, _ in trial.curve}
        is_log = style.spans_decades(sorted(resources), 0.7)
        most = max(2, MOST_POINTS // max(1, len(some)))
        for trial in some:
            points = [(resource, score) for resource, score in trial.curve if score == score]
            points = [points[place] for place in style.every(len(points), most)]
            if not points:
                continue
            is_best, is_bright = trial is best, trial.id in bright
            color = style.SECOND if is_best else style.ACCENT if is_bright else style.NEUTRAL
            xs = [_place(resource, is_log) for resource, _ in points]
            ys = chosen.short([standing.inside(score) for _, score in points])
            is_running = trial.id in handed_in
            lines.append(
                (
                    trial.id, xs, ys, color, 3.5 if is_best else 1.6 if is_bright else 1.0,
                    1.0 if is_best else 0.65 if is_bright else 0.35, chosen.score_text(trial), trial.resource,
                    "being fitted" if is_running else "at rest", chosen.params_text(standing, trial),
                )
            )  # fmt: skip
            shape = "diamond" if is_best else "circle" if standing.is_inside(points[-1][1]) else ""
            ends.append(
                (
                    trial.id, xs[-1], ys[-1], color, 1.0 if is_best or is_bright else 0.6, 0.0 if is_running else 0.8,
                    shape or beyond(standing, points[-1][1]), 12.0 if is_best else 7.0 if is_running else 5.0,
                )
            )  # fmt: skip
        epoch = f"{standing.generation}.{self._drawn}"
        planned = {step.resource for step in standing.search.plan}
        return [
            Value("search_curves.hidden", len(planned) == 1 or (standing.is_settled and len(resources) == 1)),
            Value("search_curves.empty", len(resources) < 2),
            Columns("search_curves_data", chosen.columns(live_search.CURVES, lines), epoch),
            Columns("search_curves_ends_data", chosen.columns(live_search.CURVE_ENDS, ends), epoch),
            score_range(standing, "search_curves_y"),
            Look("search_curves_y_axis", {"axis_label": standing.metric_label()}),
            *_resource_axis(standing, resources, is_log),
        ]


def _place(resource: int, is_log: bool) -> float:
    return round(math.log10(max(resource, 1)), 4) if is_log else float(resource)


def _resource_axis(standing: Standing, resources: set[int], is_log: bool) -> list[Slot]:
    """Range and ticks of the resource: those that were planned, where they are few."""
    planned = {step.resource for step in standing.search.plan}
    every = sorted(resources | planned) or [1]
    some: list[float] = [float(resource) for resource in every]
    if len(some) > 8:
        some = axes.log_ticks(some[0], some[-1]) if is_log else axes.even_ticks(some[0], some[-1])
    places = [_place(int(one), is_log) for one in some]
    labels = dict(zip(places, [style.number(one) for one in some], strict=True))
    first, last = _place(every[0], is_log), _place(every[-1], is_log)
    room = 0.05 * (last - first) or 0.5
    ends = {"start": first - room, "end": last + room, "reset_start": first - room, "reset_end": last + room}
    suffix = ", log" if is_log else ""
    return [
        Look("search_curves_x", ends),
        Look("search_curves_x_ticks", {"ticks": places}),
        Look(
            "search_curves_x_axis",
            {"major_label_overrides": labels, "axis_label": f"resource (blocks or rounds{suffix})"},
        ),
    ]
