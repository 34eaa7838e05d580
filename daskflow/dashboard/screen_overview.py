"""Overview: how far the run is, whether it is healthy, and how good the best model is, within ten seconds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.dashboard import overview_gantt, words
from daskflow.dashboard.overview_best import BestSoFar
from daskflow.dashboard.overview_jobs import cost, jobs
from daskflow.dashboard.overview_tiles import tiles
from daskflow.dashboard.overview_waiting import awaited
from daskflow.dashboard.slots import Figure, Row, Slot, Value, Widget
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stages import Stage
from daskflow.figures import live_overview

MOST_NOTES = 60
"""Notes that are shown: the newest."""


class OverviewScreen:
    """The first page."""

    key = "overview"
    title = "Overview"

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._best = BestSoFar()

    def rows(self) -> Sequence[Row]:
        """Return numbers, what is awaited, stages, best so far, stages along time, workers, what was said, jobs."""
        curve = Figure(
            "best",
            "Best score so far",
            "A dot for each trial that became the best; the orange line is the 95 % interval of the last one. "
            "Scores of later rungs come from models that have seen more rows.",
            live_overview.best_so_far(),
            empty="The first score comes when all folds of a trial have ended.",
        )
        return [
            Row([Widget("tiles", "", "tiles")]),
            Row(
                [
                    Widget(
                        "waiting",
                        "What is being waited for",
                        "lines",
                        empty="Nothing has been told yet: this page fills by itself when the run begins.",
                    )
                ]
            ),
            Row(
                [Widget("stages", "Stages", "stages", empty="The stages come when the run begins."), curve],
                widths=(6, 5),
            ),
            Row([overview_gantt.panel()]),
            Row(
                [
                    Widget(
                        "workers",
                        "Workers",
                        "table",
                        empty="Workers stand here while the cluster is open; they tell of themselves every 2 s.",
                    ),
                    Widget(
                        "notes",
                        "Notes, warnings and failures",
                        "notes",
                        empty="Nothing was said yet. Notes, warnings and failed trials come here, the newest first.",
                    ),
                ],
                widths=(6, 5),
            ),
            Row(
                [
                    Widget(
                        "jobs",
                        "Jobs",
                        "table",
                        empty="Jobs of a batch queue stand here: those that wait or run, and those that ended last.",
                    ),
                    Widget(
                        "core_hours",
                        "Core-hours of the jobs",
                        "lines",
                        empty="What the jobs have cost comes when the first has begun.",
                    ),
                ],
                widths=(6, 5),
            ),
        ]

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known now."""
        return [
            Value("tiles", tiles(state, now)),
            Value("stages", stages(state, now)),
            Value("waiting", awaited(state, now)),
            Value("notes", notes(state)),
            Value("workers", workers(state)),
            Value("workers.hidden", state.is_over and state.status != "waiting"),
            *_jobs(state, now),
            *self._best.slots(state, now),
            *overview_gantt.slots(state, now),
        ]


def _jobs(state: RunState, now: float) -> list[Slot]:
    """Jobs and what they cost; hidden where no queue has any."""
    table, lines = jobs(state, now), cost(state, now)
    return [
        Value("jobs", table),
        Value("core_hours", lines),
        Value("jobs.hidden", not table["rows"]),
        Value("core_hours.hidden", not lines),
    ]


def stages(state: RunState, now: float) -> list[dict[str, Any]]:
    """Return the stages as the page's list shows them; nothing before the run has begun."""
    if state.status == "waiting":
        return []
    return [_stage(state, stage, now) for stage in state.stages.known.values()]


def _stage(state: RunState, stage: Stage, now: float) -> dict[str, Any]:
    share = words.share_of(state, stage)
    told = {
        "name": stage.name,
        "state": "paused" if stage.state == "running" and state.status == "paused" else stage.state,
        "share": None if math.isnan(share) or stage.state == "waiting" else round(share, 4),
        "words": "",
        "left": "",
    }
    if stage.state == "waiting":
        return told
    elapsed = stage.elapsed(now)
    if stage.state == "running":
        _, rows, n_bytes = stage.pace(now)
        parts = [
            words.counted(state, stage),
            f"{rows:,.0f} rows/s" if rows >= 0.5 else "",
            f"{words.size(n_bytes)}/s" if n_bytes >= 1 else "",
        ]
        told["words"] = ", ".join(part for part in parts if part)
        told["left"] = words.still(stage, now) or f"for {words.lasting(elapsed)}"
        return told
    read = ", ".join([f"{stage.rows:,} rows"] * bool(stage.rows) + [words.size(stage.bytes)] * bool(stage.bytes))
    told["words"] = read or (words.plural(len(state.search.fits), "fit") if stage.name == "search" else "")
    told["left"] = words.lasting(elapsed)
    return told


def notes(state: RunState) -> list[dict[str, Any]]:
    """Return what was said, the newest first; a failure that came again, such as of each fold, is said once."""
    found: dict[Any, dict[str, Any]] = {}
    times: Counter[Any] = Counter()
    for place, note in enumerate(reversed(state.notes)):
        key = (note.kind, note.text) if note.kind in ("failure", "warning") else place
        if key not in found and len(found) == MOST_NOTES:
            continue
        times[key] += 1
        if key in found:
            found[key]["text"] = f"{note.text} ({times[key]} times)"
        else:
            found[key] = {"at": note.at, "kind": note.kind, "text": note.text}
    return list(found.values())


WORKER_COLUMNS = (
    {"key": "name", "title": "Worker", "kind": "text"},
    {"key": "status", "title": "State", "kind": "state"},
    {"key": "executing", "title": "Works on", "kind": "number"},
    {"key": "memory", "title": "Memory", "kind": "bar"},
    {"key": "cpu", "title": "Processor", "kind": "bar"},
)


def workers(state: RunState) -> dict[str, Any]:
    """Return the workers as a table; without rows while none has told of itself."""
    told = [] if state.is_over else state.workers.get("workers") or []
    counts = state.workers.get("counts") or {}
    more = max(0, sum(int(count) for count in counts.values()) - len(told))
    return {"columns": list(WORKER_COLUMNS), "rows": [_worker(each) for each in told], "more": more, "sort": None}


def _worker(each: Mapping[str, Any]) -> dict[str, Any]:
    memory, limit = float(each.get("memory") or 0), float(each.get("memory_limit") or 0)
    cpu, threads = float(each.get("cpu") or 0), int(each.get("threads") or 1)
    status = str(each.get("status") or "running")
    row = {
        "name": str(each.get("name", "")),
        "status": status,
        "executing": each.get("executing"),
        "memory": {
            "share": round(memory / limit, 3) if limit else None,
            "text": words.part_of(memory, limit) if limit else words.size(memory),
        },
        "cpu": {"share": round(min(1.0, cpu / 100 / max(1, threads)), 3), "text": f"{cpu:.0f} %"},
    }
    level = {"paused": "wait", "silent": "bad", "gone": "bad"}.get(status)
    return row | ({"level": level} if level else {})
