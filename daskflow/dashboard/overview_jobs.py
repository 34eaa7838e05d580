"""The jobs on the overview: what each waits for, where it runs and until when, and what they have cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from daskflow.core.job_accounts import ENDINGS, JobAccount
from daskflow.dashboard import words
from daskflow.dashboard.state import RunState

MOST_ENDED = 12
"""Jobs that have ended which are shown: the newest."""

JOB_COLUMNS = (
    {"key": "id", "title": "Job", "kind": "text"},
    {"key": "state", "title": "State", "kind": "state"},
    {"key": "about", "title": "Why, where", "kind": "text"},
    {"key": "when", "title": "Ends", "kind": "text"},
)


def jobs(state: RunState, now: float) -> dict[str, Any]:
    """Return the jobs as a table: those that wait or run, then those that ended last; no rows on no queue."""
    known = state.jobs
    rows = (
        [] if state.is_over else [_controller(job, now) for job in known.accounts.running() if job.role == "controller"]
    )
    rows += [_row(each, now) for each in known.told]
    rows += [_ended(job) for job in known.accounts.newest(MOST_ENDED)]
    more = max(0, sum(known.counts.values()) - len(known.told)) + max(0, known.accounts.ends.total() - MOST_ENDED)
    return {"columns": list(JOB_COLUMNS), "rows": rows, "more": more, "sort": None}


def cost(state: RunState, now: float) -> list[str]:
    """Return what the jobs have cost, in lines; none on no queue."""
    found = state.jobs.accounts.core_hours(now if not state.is_over else state.last)
    if not found.requested and not found.used:
        return []
    lines = [f"{found}."]
    if state.jobs.accounts.stopped_because:
        lines.append(f"The search was stopped because {state.jobs.accounts.stopped_because}.")
    return lines


def _controller(job: JobAccount, now: float) -> dict[str, Any]:
    ends_at = job.began_at + job.asked_seconds
    return {"id": job.id, "state": "running", "about": f"controller, on {job.node}", "when": _left(ends_at, now)}


def _row(each: Mapping[str, Any], now: float) -> dict[str, Any]:
    state, node = str(each.get("state") or ""), str(each.get("node") or "")
    row: dict[str, Any] = {"id": str(each.get("id", "")), "state": state, "about": f"on {node}" if node else ""}
    if state == "pending":
        starts = float(each.get("starts_at") or 0.0)
        row["about"] = str(each.get("reason") or "no reason given")
        row["when"] = f"starts in {words.lasting(starts - now)}" if starts > now else ""
    else:
        row["when"] = _left(float(each.get("ends_at") or math.nan), now)
    return row | ({"level": "wait"} if state in ("pending", "starting") else {})


def _ended(job: JobAccount) -> dict[str, Any]:
    role = "controller, " if job.role == "controller" else ""
    row = {
        "id": job.id,
        "state": "ended",
        "about": role + (f"on {job.node}" if job.node else ""),
        "when": ENDINGS.get(job.why, job.why),
    }
    return row | ({"level": "bad"} if job.why in ("memory", "node", "failed") else {})


def _left(ends_at: float, now: float) -> str:
    return f"in {words.lasting(ends_at - now)}" if ends_at > now else ""
