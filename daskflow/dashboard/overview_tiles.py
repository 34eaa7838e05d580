"""Tiles of the overview: how good, how far, how healthy, how long, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from daskflow.core.estimates import is_vague, rounded
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
    like = "" if tied is None else "no other is as good" if tied == 0 else f"{int(tied):,} more cannot be told apart"
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
        tone = {"done": "good", "failed": "bad"}.get(state.status, "wait")
        note = _searched(state) if state.search.fits else "no fit was needed"
        return {"label": label, "value": word, "note": note, "state": tone}
    stage = state.stages.now_running()
    if stage is None:
        return {"label": label, "value": words.between(state), "note": _place(state)}
    share = words.share_of(state, stage)
    value = words.counted(state, stage) or stage.name
    found = words.still(stage, now) or ("" if math.isnan(share) else f"{100 * share:.0f} % done")
    if state.status == "paused":
        return {"label": label, "value": value, "note": f"{stage.name}; paused by hand", "state": "wait"}
    return {"label": label, "value": value, "note": "; ".join(part for part in (stage.name, found) if part)}


def _searched(state: RunState) -> str:
    """What a search that is over did, and why it ended early."""
    search = state.search
    scored, drawn = sum(not math.isnan(trial.score) for trial in search.trials.values()), len(search.trials)
    trials = words.plural(drawn, "trial") if scored == drawn else f"{scored:,} of {drawn:,} trials have a score"
    early = f"it ended because {search.ended}" if search.ended else ""
    return "; ".join(part for part in (f"{words.plural(len(search.fits), 'fit')}, {trials}", early) if part)


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
    if words.is_in_queue(state):
        said = ["no worker runs", f"{words.plural(words.queued(state), 'job')} in the queue", *said]
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
    is_bad = bool(trials and failed > MANY_FAILURES * trials) or "silent" in unwell
    if counts and not well and not state.is_over and not words.is_in_queue(state):
        is_bad, said = True, ["no worker is well", *said]
    if said:
        said.sort(key=lambda part: "silent" not in part)
        note = ", ".join([*said[1:], *_otherwise(state, well)])
        return {"label": "Health", "value": said[0], "note": note, "state": "bad" if is_bad else "wait"}
    note = ", ".join(["no failure, no warning", *_otherwise(state, well)])
    return {"label": "Health", "value": "healthy", "note": note, "state": "good"}


def _otherwise(state: RunState, well: int) -> list[str]:
    """What is well beside what is not."""
    return [f"{words.plural(well, 'worker')} well"] if well and not state.is_over else []


def _time(state: RunState, now: float) -> Tile:
    if math.isnan(state.invoked):
        return {"label": "Time", "value": "–", "note": "the run has not begun"}
    gone = state.seconds(now)
    again = f"in {words.plural(state.invocations, 'invocation')}" if state.invocations > 1 else ""
    limit = state.search.ends.get("wall_seconds")
    most = words.lasting(float(limit)).removesuffix(" 0 s").removesuffix(" 0 min") if limit else ""
    allowed = f"limit of the search: {most}" if most and not state.is_over else ""
    return {
        "label": "Time",
        "value": words.lasting(gone),
        "note": "; ".join(x for x in (again, allowed) if x) or "since it began",
    }


def _cost(state: RunState) -> Tile:
    """What has been spent and what the search still takes, both in one unit."""
    if not state.cpu_seconds:
        return {"label": "Cost so far", "value": "–", "note": "comes with the first stage that ends"}
    said: Mapping[str, Any] = state.stages.known.get("search", Stage("search")).forecast
    more = [3600 * float(said.get(word) or math.nan) for word in ("cpu_hours", "cpu_low", "cpu_high")]
    is_to_come = not (any(map(math.isnan, more)) or state.search.is_over or state.is_over)
    unit, name = words.cpu_unit(max(state.cpu_seconds, more[0] if is_to_come and not is_vague(*more[1:]) else 0.0))
    value = f"{float(f'{state.cpu_seconds / unit:.3g}'):,.12g} {name}"
    note = "of all that has ended"
    if is_to_come:
        middle, low, high = (rounded(each / unit) for each in more)
        note = (
            "what the search still takes is not known yet"
            if is_vague(*more[1:])
            else f"about {middle} more for the search ({low} to {high})"
        )
    return {"label": "Cost so far", "value": value, "note": note}
