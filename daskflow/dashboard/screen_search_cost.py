"""Score against cost: what each trial's fits took, and which trials none is better and cheaper than."""

from __future__ import annotations

import math
from typing import Any

from daskflow.dashboard import screen_search_chosen as chosen
from daskflow.dashboard.screen_search_scores import beyond, score_range
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.figures import live_search, style
from daskflow.figures import live_search_axes as axes

MOST_DOTS = 600
"""Candidates that are drawn."""


def panel() -> Figure:
    """Return the panel."""
    return Figure(
        "search_cost",
        "Score against cost",
        "The last score of each candidate, and the processor time of all its fits so far. On the line stand those that "
        "no other is both better and cheaper than.",
        live_search.cost(),
        empty="Candidates stand here when the first one has a score.",
        min_width=320,
    )


class Cost:
    """Draws the dots and the front."""

    def __init__(self) -> None:
        """Begin without dots."""
        self._drawn = 0

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        self._drawn += 1
        some = chosen.some_scored(standing, MOST_DOTS)
        costs = [max(0.0, trial.cpu_seconds) for trial in some]
        is_log = style.spans_decades([cost for cost in costs if cost > 0], 1.0)
        least = min((cost for cost in costs if cost > 0), default=1.0)
        dots: list[tuple[Any, ...]] = []
        best, is_few = standing.best(), len(some) <= 300

        def place(cost: float) -> float:
            return round(math.log10(max(cost, least)), 4) if is_log else round(cost, 3)

        for trial, cost in zip(some, costs, strict=True):
            is_best = trial is best
            mark = "circle" if standing.is_inside(trial.score) else beyond(standing, trial.score)
            row = (
                trial.id, place(cost), chosen.short([standing.inside(trial.score)])[0],
                style.SECOND if is_best else style.ACCENT, 1.0 if is_best else 0.55, "diamond" if is_best else mark,
                13.0 if is_best else 6.0, style.score(trial.score), round(cost, 2),
                chosen.params_text(standing, trial) if is_few or is_best else "",
            )  # fmt: skip
            dots.append(row)
        epoch = f"{standing.generation}.{self._drawn}"
        front = self._front(standing)
        steps = {"x": [place(cost) for cost, _ in front], "y": [standing.inside(score) for _, score in front]}
        if front and costs:
            steps["x"].append(place(max(costs)))
            steps["y"].append(steps["y"][-1])
        return [
            Value("search_cost.empty", not some),
            Columns("search_cost_data", chosen.columns(live_search.COSTS, dots), epoch),
            Columns("search_front_data", steps, epoch),
            score_range(standing, "search_cost_y"),
            Look("search_cost_y_axis", {"axis_label": standing.metric_label()}),
            *_cost_axis([place(cost) for cost in costs], is_log),
        ]

    def _front(self, standing: Standing) -> list[tuple[float, float]]:
        """Costs and scores of the trials that none is better and cheaper than, cheapest first.

        Walks from the best on: a trial is on the front where it is cheaper than all that are better.
        """
        front: list[tuple[float, float]] = []
        cheapest = math.inf
        trials = standing.trials
        for _, number in standing.ranking:
            cost = trials[number].cpu_seconds
            if cost < cheapest:
                cheapest = cost
                front.append((max(0.0, cost), trials[number].score))
        return front[::-1]


def _cost_axis(places: list[float], is_log: bool) -> list[Slot]:
    """Range and ticks of the cost."""
    low, high = (min(places), max(places)) if places else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5
    low, high = (low - room, high + room) if is_log else (max(0.0, low - room), high + room)
    ticks = axes.log_ticks(10**low, 10**high) if is_log else axes.even_ticks(low, high, 5)
    at = [round(math.log10(tick), 4) for tick in ticks] if is_log else ticks
    labels = dict(zip(at, [style.number(tick) for tick in ticks], strict=True))
    ends = {"start": round(low, 3), "end": round(high, 3), "reset_start": round(low, 3), "reset_end": round(high, 3)}
    suffix = ", log" if is_log else ""
    label = f"CPU-seconds of its fits{suffix}"
    return [
        Look("search_cost_x", ends),
        Look("search_cost_x_ticks", {"ticks": at}),
        Look("search_cost_x_axis", {"major_label_overrides": labels, "axis_label": label}),
    ]
