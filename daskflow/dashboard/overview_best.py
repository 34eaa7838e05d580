"""Columns of the curve of the best score so far."""

from __future__ import annotations

import math
from typing import Any

from daskflow.dashboard.slots import Columns, Look, Slot, Value
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_search import Scored


class BestSoFar:
    """The best trial's score at every moment of a run; only new scores are looked at."""

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._seen = 0
        self._leader, self._told = "", math.nan
        self._scores: dict[str, float] = {}
        self._rows: dict[str, list[Any]] = {name: [] for name in ("x", "y", "trial", "resource")}

    def slots(self, state: RunState, now: float) -> list[Slot]:
        """Return what is drawn now."""
        self._look(state)
        rows = self._rows
        end = max(state.elapsed(min(now, state.last) if state.is_over else now), rows["x"][-1] if rows["x"] else 0.0)
        line = {"x": [*rows["x"], *([end] if rows["x"] else [])], "y": [*rows["y"], *rows["y"][-1:]]}
        low, high = state.search.interval()
        interval: dict[str, list[float]] = {"x": [], "low": [], "high": []}
        if rows["x"] and math.isfinite(low) and math.isfinite(high):
            interval = {"x": [end], "low": [low], "high": [high]}
        metric = state.search.metric or "score"
        direction = "higher" if state.search.greater_is_better else "lower"
        return [
            Columns("best_data", {name: list(values) for name, values in rows.items()}, epoch="0"),
            Columns("best_line_data", line, epoch=f"{len(rows['x'])}-{round(end, 1)}"),
            Columns("best_interval_data", interval, epoch=f"{end:.1f}-{low}-{high}"),
            Look("best_y", {"axis_label": f"{metric} ({direction} is better)"}),
            Value("best.empty", not rows["x"]),
        ]

    def _look(self, state: RunState) -> None:
        search = state.search
        for found in search.scores[self._seen :]:
            self._take(state, found)
        self._seen = len(search.scores)

    def _take(self, state: RunState, found: Scored) -> None:
        """Note a score, where it changes which is the best or how good it is: a trial's last score is what counts."""
        is_better = state.search.is_better
        before, self._scores[found.trial] = self._leader, found.score
        leader = before
        if before == found.trial and self._told != found.score and not is_better(found.score, self._told):
            leader = ""  # it fell: another may be the best now
            for trial, value in self._scores.items():
                if is_better(value, self._scores.get(leader, math.nan)):
                    leader = trial
        elif is_better(found.score, self._told):
            leader = found.trial
        value = self._scores.get(leader, math.nan)
        if not leader or (leader == before and value == self._told):
            return
        self._leader, self._told = leader, value
        values = (round(state.elapsed(found.at), 3), value, leader, found.resource)
        for name, each in zip(self._rows, values, strict=True):
            self._rows[name].append(each)
