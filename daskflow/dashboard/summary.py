"""Summary: a run in a few numbers, and one trial in all of them, for other tools and for the trial's panel."""

from __future__ import annotations

from collections import Counter
from typing import Any

from daskflow.core.live import place_in_words
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_search import SearchState, TrialState
from daskflow.dashboard.state_stages import Stage
from daskflow.dashboard.state_stream import StreamState

FORMAT = 1
"""Raised when a field is taken away or means something else; new fields do not raise it."""

MOST_NOTES = 10


def summary_of(state: RunState, now: float) -> dict[str, Any]:
    """Return what ``daskflow.json`` says; times are seconds since 1970, not-a-number is what is not known.

    Parameters
    ----------
    state : RunState
        What is known.
    now : float
        The moment.

    Returns
    -------
    dict
        format, name, id, status, error, now, started, seconds; stages: list of name, state, share, done, total,
        seconds, left (None or [middle, low, high] seconds); best: None or trial, metric, greater_is_better, score, low,
        high, resource, params; trials: counts by state and ``all``; fits: done, planned; partitions: done, all; rows;
        rejects; workers: counts by status; jobs: None on no batch queue, else counts by state of those that wait or
        run, ended: counts by how, core_hours: requested, used, busy, idle, wasted, controller, unseen; and
        stopped_because (by ``max_core_hours``; mostly empty); failures; cost: cpu_seconds and forecast (the last
        record, or None); test:
        rows, total, final, metrics by name to [value, low, high]; streams: those that the model answers, see
        `stream_of`; notes: the last ones, each at, kind, text.
    """
    search, data, test = state.search, state.data, state.evaluation
    forecast = state.stages.known["search"].forecast if "search" in state.stages.known else {}
    return {
        "format": FORMAT,
        "name": state.name,
        "id": state.id,
        "status": state.status,
        "error": state.error,
        "now": now,
        "started": state.started,
        "seconds": state.seconds(now),
        "stages": [_stage(stage, now) for stage in state.stages.known.values()],
        "best": _best(search),
        "trials": trials_by_state(search),
        "fits": {"done": len(search.fits), "planned": search.units},
        "partitions": {"done": sum(piece.parts for piece in data.pieces), "all": data.partitions},
        "rows": state.rows or data.rows,
        "rejects": data.rejects,
        "workers": dict(state.workers.get("counts") or {}),
        "jobs": _jobs(state, now),
        "failures": search.failed,
        "cost": {"cpu_seconds": state.cpu_seconds, "forecast": dict(forecast) or None},
        "test": {"rows": test.rows, "total": test.total, "final": test.is_final, "metrics": dict(test.metrics)},
        "streams": [stream_of(stream) for stream in state.streams.values()],
        "notes": [{"at": note.at, "kind": note.kind, "text": note.text} for note in state.notes[-MOST_NOTES:]],
    }


def stream_of(stream: StreamState) -> dict[str, Any]:
    """Return what is known of a stream.

    Returns
    -------
    dict
        id, verb, status (running, done, failed, interrupted), model (that answers), source, sink, began, last (when it
        was heard of), unit (what is answered: requests, or records of a stream, which the words of requests count
        too), requests, rows, errors (by reason) in all; requests_per_second, rows_per_second, latency (p50,
        p95, p99 in seconds), queue, queue_limit, lag by the last word; drift by column to [value, bound]; score:
        metric, value, low, high, rows, or None; models by name to [value, low, high]; swaps, alarms (counts); events:
        the last ones, each at, kind, text.
    """
    last = stream.seen[-1][1] if stream.seen else {}
    pace, about = stream.per_second(), stream.about
    return {
        "id": stream.id or str(about.get("id") or ""),
        "verb": about.get("verb"),
        "status": stream.status or "running",
        "model": stream.champion or None,
        "source": place_in_words(about.get("source")) or None,
        "sink": place_in_words(about.get("sink")) or None,
        "began": stream.began,
        "last": stream.last,
        "unit": stream.unit,
        "requests": stream.requests,
        "rows": stream.rows,
        "errors": dict(stream.errors),
        "requests_per_second": pace["requests"],
        "rows_per_second": pace["rows"],
        "latency": stream.latency(),
        "queue": last.get("queue"),
        "queue_limit": last.get("queue_limit") or None,
        "lag": stream.lag,
        "drift": dict(stream.drift),
        "score": dict(stream.score) or None,
        "models": dict(stream.challengers),
        "swaps": stream.swaps,
        "alarms": stream.alarms,
        "events": [{"at": one.at, "kind": one.kind, "text": one.text} for one in list(stream.events)[-MOST_NOTES:]],
    }


def trials_by_state(search: SearchState) -> dict[str, int]:
    """Return how many trials are in each state, and in all."""
    counts = Counter(trial.state for trial in search.trials.values())
    states = ("waiting", "running", "scored", "failed", "cancelled")
    return {"all": len(search.trials), **{state: counts[state] for state in states}}


def _stage(stage: Stage, now: float) -> dict[str, Any]:
    left = stage.left(now)
    return {
        "name": stage.name,
        "state": stage.state,
        "share": stage.share,
        "done": stage.done,
        "total": stage.total,
        "seconds": stage.elapsed(now),
        "left": None if left[0] != left[0] else list(left),
    }


def _jobs(state: RunState, now: float) -> dict[str, Any] | None:
    known, accounts = state.jobs, state.jobs.accounts
    if not known.told and not accounts:
        return None
    return {
        "counts": dict(known.counts),
        "ended": {why: count for why, count in accounts.ends.items() if count},
        "core_hours": accounts.core_hours(state.last if state.is_over else now).dump(),
        "stopped_because": accounts.stopped_because,
    }


def _best(search: SearchState) -> dict[str, Any] | None:
    best = search.best
    if best is None:
        return None
    low, high = search.interval()
    return {
        "trial": best.id,
        "metric": search.metric,
        "greater_is_better": search.greater_is_better,
        "score": best.score,
        "low": low,
        "high": high,
        "resource": best.resource,
        "params": dict(best.params),
    }


def trial_of(trial: TrialState, search: SearchState) -> dict[str, Any]:
    """Return everything that is known of a trial; ``most`` is the resource that it can come to, None if not known."""
    most = max((rung.resource for rung in search.plan if rung.bracket == trial.bracket), default=None)
    return {
        "most": most,
        "trial": trial.id,
        "number": trial.number,
        "bracket": trial.bracket,
        "params": dict(trial.params),
        "state": trial.state,
        "metric": search.metric,
        "resource": trial.resource,
        "score": trial.score,
        "metrics": dict(trial.metrics),
        "curve": [list(point) for point in trial.curve],
        "folds": [
            {"resource": resource, "fold": fold, "score": score}
            for (resource, fold), score in sorted(trial.folds.items())
        ],
        "error": trial.error,
        "log": trial.log,
        "workers": list(trial.workers),
        "seconds": trial.seconds,
        "cpu_seconds": trial.cpu_seconds,
        "began": trial.began,
        "ended": trial.ended,
    }
