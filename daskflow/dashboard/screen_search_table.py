"""Table of trials: the best, those that are being fitted, and those that failed."""

from __future__ import annotations

import math
from typing import Any

from daskflow.dashboard import screen_search_chosen as chosen
from daskflow.dashboard.screen_search_parameters import Order
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Slot, Value, Widget
from daskflow.dashboard.state_search import TrialState
from daskflow.figures import style

MOST_BEST, MOST_RUNNING, MOST_FAILED = 200, 40, 40
"""Rows of each kind."""

ERROR_LENGTH = 160
"""Characters of an error; all of it stands in the trial's panel."""


def panel() -> Widget:
    """Return the panel."""
    return Widget(
        "search_trials",
        "Candidates",
        "table",
        empty="Candidates stand here from the first fit on.",
        caption="From best to worst, then those without a score that are being fitted, then those that failed. Choose "
        "one for its parameters, folds and log.",
    )


class Table:
    """Makes the rows, each anew only when its trial has changed."""

    def __init__(self, order: Order) -> None:
        """Begin without rows."""
        self._order = order
        self._rows: dict[str, dict[str, Any]] = {}
        self._signs: dict[str, tuple[Any, ...]] = {}
        self._value: Any = None

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        search = standing.search
        names = self._order.follow(standing) if standing.trials else []
        has_brackets = any(step.bracket is not None for step in search.plan) or (
            bool(standing.trials) and standing.trials[0].bracket is not None
        )
        best = standing.top(MOST_BEST)
        shown = {trial.id for trial in best}
        handed_in = [trial for trial in chosen.running(standing, MOST_RUNNING) if trial.id not in shown]
        failed = [trial for trial in standing.failed[-MOST_FAILED:] if trial.id not in shown][::-1]
        rows = [self._row(trial, rank, names) for rank, trial in enumerate(best, start=1)]
        rows += [self._row(trial, None, names) for trial in (*handed_in, *failed)]
        if not rows:
            return [Value("search_trials", None)]
        columns = [
            {"key": "name", "title": "candidate", "kind": "text"},
            {"key": "rank", "title": "rank", "kind": "number"},
            {"key": "state", "title": "state", "kind": "state"},
            {"key": "score", "title": style.shown(search.metric or "score", 24), "kind": "number"},
            {"key": "resource", "title": "resource", "kind": "number"},
            *([{"key": "bracket", "title": "bracket", "kind": "number"}] if has_brackets else []),
            *([{"key": "spread", "title": "spread of folds", "kind": "number"}] if search.n_folds > 1 else []),
            {"key": "seconds", "title": "time of fits", "kind": "time"},
            {"key": "cpu_seconds", "title": "CPU time", "kind": "time"},
            *(
                {"key": f"p{place}", "title": style.shown(name, 24), "kind": _kind(standing, name)}
                for place, name in enumerate(names)
            ),
            *([{"key": "error", "title": "error", "kind": "text"}] if failed else []),
        ]
        more = len(standing.ranking) + len(standing.failed) - len(best) - len(failed)
        value = {"columns": columns, "rows": rows, "more": max(0, more), "sort": None}
        return [Value("search_trials", value)]

    def _row(self, trial: TrialState, rank: int | None, names: list[str]) -> dict[str, Any]:
        """A trial's row; the one of before where nothing has changed."""
        sign = (rank, trial.state, len(trial.workers), len(trial.curve), tuple(names))
        if self._signs.get(trial.id) == sign:
            return self._rows[trial.id]
        level = {"failed": "bad", "cancelled": "bad", "running": "wait"}.get(trial.state, "good" if rank == 1 else "")
        row: dict[str, Any] = {
            "trial": trial.id,
            "rank": rank,
            "name": trial.id,
            "state": trial.state,
            "score": _number(trial.score),
            "resource": trial.resource or None,
            "bracket": trial.bracket,
            "spread": _spread(trial),
            "seconds": round(trial.seconds, 2),
            "cpu_seconds": round(trial.cpu_seconds, 2),
            "error": style.shown(trial.error, ERROR_LENGTH) if trial.error else "",
        }
        if level:
            row["level"] = level
        for place, name in enumerate(names):
            row[f"p{place}"] = chosen.value_text(trial.params[name]) if name in trial.params else ""
        self._rows[trial.id], self._signs[trial.id] = row, sign
        return row


def _kind(standing: Standing, name: str) -> str:
    """What a parameter's column holds: numbers, unless some candidate has something else."""
    standing.scale(name)
    return "text" if standing.values[name].others else "number"


def _number(value: float) -> float | str | None:
    if math.isinf(value):
        return style.number(value)
    return None if math.isnan(value) else float(f"{value:.6g}")


def _spread(trial: TrialState) -> float | None:
    """Distance between the best and the worst fold of the last score."""
    scores = [score for (resource, _), score in trial.folds.items() if resource == trial.resource and score == score]
    finite = [score for score in scores if math.isfinite(score)]
    return float(f"{max(finite) - min(finite):.3g}") if len(finite) > 1 else None
