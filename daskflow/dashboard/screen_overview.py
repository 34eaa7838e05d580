"""Overview: how far the run is, whether it is healthy, and how good the best model is, within ten seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.dashboard import words
from daskflow.dashboard.overview_waiting import awaited
from daskflow.dashboard.slots import Columns, Figure, Look, Row, Slot, Value, Widget
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_search import Scored
from daskflow.dashboard.state_stages import Stage
from daskflow.figures import live_overview

MOST_NOTES = 60
"""Notes that are shown: the newest."""

MANY_FAILURES = 0.2
"""A larger share of failed trials is not healthy."""

Tile = dict[str, Any]


class OverviewScreen:
    """The first page."""

    key = "overview"
    title = "Overview"

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._best = _BestSoFar()

    def rows(self) -> Sequence[Row]:
        """Return numbers, what is awaited, stages beside the best so far, workers beside what was said."""
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
        ]

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known now."""
        return [
            Value("tiles", tiles(state, now)),
            Value("stages", stages(state, now)),
            Value("waiting", awaited(state, now)),
            Value("notes", notes(state)),
            Value("workers", workers(state)),
            *self._best.slots(state, now),
        ]


def tiles(state: RunState, now: float) -> list[Tile]:
    """Return the numbers at the top: how good, how far, how healthy, what it costs."""
    found = [_best(state), _progress(state, now), _health(state), _time(state, now), _cost(state)]
    metric = state.search.metric
    tested = state.evaluation.metrics.get(metric) or next(iter(state.evaluation.metrics.values()), None)
    if tested is not None and tested[0] is not None:
        name = metric if metric in state.evaluation.metrics else next(iter(state.evaluation.metrics))
        found.insert(1, _tested(state, name, tested))
    return found


def _best(state: RunState) -> Tile:
    search = state.search
    label = f"Best {search.metric}, validation" if search.metric else "Best score"
    if search.best is None or math.isnan(search.best.score):
        return {"label": label, "value": "–", "note": "comes with the first trial whose folds have all ended"}
    interval = words.bounds(*search.interval())
    tied = search.best_said.get("tied") if search.best_said.get("trial") == search.best.id else None
    like = "" if tied is None else "no other is as good" if tied == 0 else f"{words.plural(int(tied), 'other')} as good"
    basis = [f"95 %: {interval}" if interval else "", like, f"trial {search.best.id}"]
    return {
        "label": label,
        "value": words.score(search.best.score),
        "note": "; ".join(part for part in basis if part),
    }


def _tested(state: RunState, name: str, found: tuple[float | None, float | None, float | None]) -> Tile:
    value, low, high = (math.nan if one is None else float(one) for one in found)
    judged = state.evaluation
    how = "all test rows" if judged.is_final else f"{judged.rows:,} of {judged.total:,} test rows"
    interval = words.bounds(low, high)
    return {
        "label": f"Test {name}",
        "value": words.score(value),
        "note": "; ".join(part for part in (f"95 %: {interval}" if interval else "", how) if part),
    }


def _progress(state: RunState, now: float) -> Tile:
    label = "Progress"
    if state.status == "waiting":
        return {"label": label, "value": "–", "note": "the run has not begun"}
    if state.is_over:
        word = {"done": "complete", "failed": "failed", "interrupted": "interrupted"}[state.status]
        fits = words.plural(len(state.search.fits), "fit")
        tone = {"done": "good", "failed": "bad"}.get(state.status, "wait")
        note = (
            f"{fits}, {words.plural(len(state.search.trials), 'trial')}" if state.search.fits else "no fit was needed"
        )
        return {"label": label, "value": word, "note": note, "state": tone}
    stage = state.stages.now_running()
    if stage is None:
        return {"label": label, "value": "between stages", "note": _place(state)}
    share = words.share_of(state, stage)
    value = words.counted(state, stage) or stage.name
    found = words.left(*stage.left(now)) or ("" if math.isnan(share) else f"{share:.0%} done")
    if state.status == "paused":
        return {"label": label, "value": value, "note": f"{stage.name}; paused by hand", "state": "wait"}
    return {"label": label, "value": value, "note": "; ".join(part for part in (stage.name, found) if part)}


def _place(state: RunState) -> str:
    ended = sum(stage.state == "done" for stage in state.stages.known.values())
    return f"{ended} of {len(state.stages.known)} stages have ended"


def _health(state: RunState) -> Tile:
    """Failures, workers and warnings; the worst of them gives the tone."""
    failed, trials = state.search.failed, len(state.search.trials)
    counts = {str(word): int(count) for word, count in (state.workers.get("counts") or {}).items()}
    unwell = {word: count for word, count in counts.items() if word not in ("running", "gone") and count}
    gone = counts.get("gone", 0)
    warnings = sum(note.kind == "warning" for note in state.notes)
    parts = [
        f"{words.plural(failed, 'trial')} failed" if failed else "",
        *(f"{words.plural(count, 'worker')} {word}" for word, count in unwell.items()),
        f"{words.plural(gone, 'worker')} gone" if gone else "",
        words.plural(warnings, "warning") if warnings else "",
    ]
    said = [part for part in parts if part]
    if state.status == "failed":
        return {
            "label": "Health",
            "value": "the run failed",
            "note": words.shortened(state.error, 90) or "no reason was told",
            "state": "bad",
        }
    if state.status == "waiting":
        return {"label": "Health", "value": "–", "note": "nothing has been told yet"}
    well = counts.get("running", 0)
    if (
        (trials and failed > MANY_FAILURES * trials)
        or "silent" in unwell
        or (counts and not well and not state.is_over)
    ):
        return {"label": "Health", "value": "needs a look", "note": ", ".join(said) or "no worker", "state": "bad"}
    if said:
        return {
            "label": "Health",
            "value": "goes on" if not state.is_over else "see notes",
            "note": ", ".join(said),
            "state": "wait",
        }
    workers_well = f", {words.plural(well, 'worker')} well" if well else ""
    note = f"no failure, no warning{workers_well}"
    return {"label": "Health", "value": "healthy", "note": note, "state": "good"}


def _time(state: RunState, now: float) -> Tile:
    if math.isnan(state.invoked):
        return {"label": "Time", "value": "–", "note": "the run has not begun"}
    gone = state.seconds(now)
    again = f"in {words.plural(state.invocations, 'invocation')}" if state.invocations > 1 else ""
    limit = state.search.ends.get("wall_seconds")
    allowed = f"the search may take {words.lasting(float(limit))}" if limit and not state.is_over else ""
    return {
        "label": "Time",
        "value": words.lasting(gone),
        "note": "; ".join(x for x in (again, allowed) if x) or "since it began",
    }


def _cost(state: RunState) -> Tile:
    said: Mapping[str, Any] = state.stages.known.get("search", Stage("search")).forecast
    note = "of all that has ended"
    if said.get("cpu_hours") is not None and not state.search.is_over and not state.is_over:
        more = [float(said[word]) * 3600 for word in ("cpu_hours", "cpu_low", "cpu_high") if said.get(word) is not None]
        note = f"about {words.cpu_hours(more[0])} more for the search"
        if len(more) == 3:
            note += f" ({words.between(more[1], more[2])})"
    if not state.cpu_seconds:
        return {"label": "Cost so far", "value": "–", "note": "comes with the first stage that ends"}
    return {"label": "Cost so far", "value": words.cpu_hours(state.cpu_seconds), "note": note}


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
        told["left"] = words.left(*stage.left(now)) or f"for {words.lasting(elapsed)}"
        return told
    read = f"{stage.rows:,} rows, {words.size(stage.bytes)}" if stage.rows and stage.bytes else ""
    told["words"] = read or (words.plural(len(state.search.fits), "fit") if stage.name == "search" else "")
    told["left"] = words.lasting(elapsed)
    return told


def notes(state: RunState) -> list[dict[str, Any]]:
    """Return what was said, the newest first; what was said again in a row, such as of each fold, is said once."""
    found: list[dict[str, Any]] = []
    times = 1
    for note in reversed(state.notes):
        if found and (found[-1]["kind"], found[-1]["said"]) == (note.kind, note.text):
            times += 1
            found[-1]["text"] = f"{note.text} ({times} times)"
            continue
        if len(found) == MOST_NOTES:
            break
        times = 1
        found.append({"at": note.at, "kind": note.kind, "text": note.text, "said": note.text})
    return [{name: value for name, value in each.items() if name != "said"} for each in found]


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


class _BestSoFar:
    """Columns of the curve of the best so far; only new scores are looked at."""

    def __init__(self) -> None:
        self._seen = 0
        self._fits = 0
        self._invocation = 0
        self._last_end = math.nan
        self._leader, self._told = "", math.nan
        self._scores: dict[str, float] = {}
        self._paused: list[tuple[float, float]] = []
        self._rows: dict[str, list[Any]] = {name: [] for name in ("x", "y", "trial", "resource")}

    def slots(self, state: RunState, now: float) -> list[Slot]:
        self._look(state)
        rows = self._rows
        end = max(
            self._elapsed(state, min(now, state.last) if state.is_over else now), rows["x"][-1] if rows["x"] else 0.0
        )
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
        for fit in search.fits[self._fits :]:
            if fit.invocation != self._invocation:
                if self._invocation and fit.began > self._last_end:
                    self._paused.append((fit.began, fit.began - self._last_end))
                self._invocation = fit.invocation
            self._last_end = fit.ended if math.isnan(self._last_end) else max(self._last_end, fit.ended)
        self._fits = len(search.fits)
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
        values = (round(self._elapsed(state, found.at), 3), value, leader, found.resource)
        for name, each in zip(self._rows, values, strict=True):
            self._rows[name].append(each)

    def _elapsed(self, state: RunState, at: float) -> float:
        """Seconds since the run began, without the time between two invocations."""
        return max(0.0, at - state.started - sum(gap for since, gap in self._paused if since <= at))
