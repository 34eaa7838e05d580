"""``daskflow status``: how a run is, and its jobs in the queue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.verb import Verb, between, duration, number, shown, table
from daskflow.core.job_accounts import hours

if TYPE_CHECKING:
    from daskflow.clusters.batch_jobs import Job
    from daskflow.core.folder import RunFolder
    from daskflow.workflow.run_jobs import RunJobs

MOST_ROWS = 20
"""Jobs that are shown one by one; of more only how many are in which state."""

MOST_LIVES = 5
"""Jobs of the controller that are named: the newest."""

MOST_LOST = 3
"""Jobs of which it is said how they were lost: the newest."""


@click.command(cls=Verb)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(run: Path, as_json: bool) -> None:
    """Say how a run is, what its jobs in the queue wait for, and what its model answers.

    RUN is its folder, or RUNS/NAME.

    RUN may also be the folder of a stream or server. To stop one, end its process: Ctrl-C, or SIGTERM to the process
    that is named here; what it has taken is still answered.

    Works on any machine that sees the folder and has the queue's commands; asks the queue by one command.

    Exit codes: 0; 3 the queue cannot be asked.
    """
    from daskflow.cli.running import print_json
    from daskflow.cli.streams_text import row_of_stream, words_of_stream
    from daskflow.core.folder import find_run
    from daskflow.workflow.opened_stream import list_streams, open_stream
    from daskflow.workflow.run_jobs import jobs_of
    from daskflow.workflow.watching_streams import is_stream

    if is_stream(run):
        stream = open_stream(run)
        print_json(stream.dump()) if as_json else click.echo("\n".join(words_of_stream(stream)))
        return
    folder = find_run(run)
    streams = list_streams(folder.path)
    jobs = jobs_of(folder)
    state = state_of(folder)
    if as_json:
        told = {name: state[name] for name in ("name", "id", "status", "error", "seconds", "stages", "fits", "best")}
        cost = {"core_hours": state["cost_of_jobs"], "jobs": None, "lives": 0}
        if jobs is not None:
            cost |= {"jobs": jobs.dump(), "lives": len(jobs.lives)}
        print_json({**told, "run": str(folder.path), **cost, "streams": [stream.dump() for stream in streams]})
    else:
        click.echo("\n".join(words_of(folder, state, jobs, time.time())))
        if streams:
            rows = table([row_of_stream(stream) for stream in streams])
            click.echo("\n".join(f"  {line}" for line in rows.splitlines()))


def state_of(folder: RunFolder) -> dict[str, Any]:
    """Return what the run's folder tells of it, with its status as the journal has it."""
    from daskflow.cli.watching import Heard
    from daskflow.core.journal import read
    from daskflow.dashboard.summary import summary_of
    from daskflow.workflow.acting import status_of
    from daskflow.workflow.watching import FolderSource

    heard = Heard(FolderSource(folder))
    heard.hear()
    told = summary_of(heard.state, heard.now)
    return {**told, "status": status_of(read(folder.journal), folder.journal), "cost_of_jobs": cost_of_jobs(folder)}


def cost_of_jobs(folder: RunFolder) -> dict[str, Any] | None:
    """Return the core-hours of a run's jobs, their limit and what is left of it; None on no queue."""
    from daskflow.workflow.run import open_run
    from daskflow.workflow.submission import batch_of

    run, cluster = open_run(folder.path), batch_of(folder)
    if not run.jobs:
        return None
    found, most = run.core_hours, None if cluster is None else cluster.max_core_hours
    left = None if most is None else round(max(0.0, most - found.used), 6)
    told = {"stopped_because": run.accounts.stopped_because, "ended": [job.dump() for job in run.jobs if job.why]}
    return {**found.dump(), "words": str(found), "max_core_hours": most, "left": left, **told}


def words_of(folder: RunFolder, state: dict[str, Any], jobs: RunJobs | None, now: float) -> list[str]:
    """Return the lines of a run's status."""
    seconds = state["seconds"]
    took = f", {duration(seconds)}" if seconds == seconds and seconds else ""
    lines = [f"Run {shown(folder.path)}: {state['status']}{took}"]
    if state["status"] in ("failed", "interrupted") and state["error"] not in ("", state["status"]):
        lines.append(f"  {state['error']}")
    going = next((stage for stage in state["stages"] if stage["state"] == "running"), None)
    if state["status"] == "running" and going is not None:
        done = f", {going['done']:,} of {going['total']:,}" if going["total"] else ""
        lines.append(f"  stage   {going['name']}{done}")
    if state["best"]:
        best = state["best"]
        interval = between(best["low"], best["high"])
        lines.append(f"  best    {best['metric']} {number(best['score'])}{interval}, trial {best['trial']}")
    lines += _cost_words(state["cost_of_jobs"])
    lines += _lives_words(jobs)
    if jobs is None:
        return [*lines, "  It is on no batch queue, so it has no jobs."]
    if not jobs.living:
        lines.append("  It has no jobs in the queue.")
        if state["status"] in ("waiting", "running") and jobs.newest:
            lines.append(
                f"  Job {jobs.newest}, its controller, is gone: `daskflow logs` says why, submit it again to go on."
            )
        return lines
    rows = [_row("controller", job, now) for job in jobs.controllers if job in jobs.living]
    workers = [job for job in jobs.workers if job in jobs.living]
    rows += [_row("worker", job, now) for job in workers[:MOST_ROWS]]
    lines += [f"  {line}" for line in table(rows).splitlines()]
    if workers[MOST_ROWS:]:
        counts = {word: sum(job.state == word for job in workers) for word in ("pending", "running")}
        lines.append(f"  and more workers, {counts['running']:,} running and {counts['pending']:,} pending in all")
    return lines


def _cost_words(cost: dict[str, Any] | None) -> list[str]:
    """What the jobs have cost, how much they may, and which did not come to a planned end."""
    if cost is None:
        return []
    lines = [f"  cost    {cost['words']}"]
    if cost["max_core_hours"] is not None:
        lines.append(f"          of {hours(cost['max_core_hours'])} that it may use, {hours(cost['left'])} are left")
    if cost["stopped_because"]:
        lines.append(f"  stopped because {cost['stopped_because']}")
    lost = [job for job in cost["ended"] if job["role"] == "worker" and job["why"] in ("memory", "node", "failed")]
    lines += [f"  lost    job {job['id']}: {job['words']}" for job in lost[-MOST_LOST:]]
    return lines


def _lives_words(jobs: RunJobs | None) -> list[str]:
    """How many jobs its controller has had, one after the other, when there were several."""
    if jobs is None or len(jobs.lives) < 2:
        return []
    before = "... " if jobs.lives[MOST_LIVES:] else ""
    shown = ", ".join(jobs.lives[-MOST_LIVES:])
    return [f"  lives   {len(jobs.lives)}: its controller has had the jobs {before}{shown}"]


def _row(role: str, job: Job, now: float) -> dict[str, str]:
    """One line of the table of jobs."""
    if job.state == "running":
        about = f"on {job.node}" if job.node else ""
        ends = f"{duration(max(0.0, job.ends_at - now))} left" if job.ends_at else ""
    else:
        about = job.reason or "no reason given"
        ends = f"starts in {duration(job.starts_at - now)}" if job.starts_at and job.starts_at > now else ""
    return {"job": job.id, "what": role, "state": str(job.state), "why, where": about, "when": ends}
