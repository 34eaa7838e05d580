"""Tiles of the overview: how good, how far, how healthy, how long, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from daskflow.dashboard import words
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stages import Stage

MANY_FAILURES = 0.2
"""A larger share of failed trials is not healthy."""

Tile = dict[str, Any]


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
