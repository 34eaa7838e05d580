"""Read what OAR's commands answer: jobs, endings, resources, refusals; no command is run here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from daskflow.clusters.batch_jobs import Ending, Job, JobState

Fields = Mapping[str, Any]
"""What OAR tells of a job or a resource; numbers may be texts."""

_PENDING = {"Waiting", "Hold", "toLaunch", "toAckReservation", "Resubmitting"}
_RUNNING = {"Launching", "Running", "Suspended", "Resuming"}

_EVENTS = (
    ("walltime", re.compile(r"^WALLTIME: .*Elapsed")),
    ("cancelled", re.compile(r"^(FRAG_JOB_REQUEST|BESTEFFORT_KILL|FORCE_TERMINATE_FINISHING_JOB):")),
    ("node", re.compile(r"^\w*(SUSPECTED|PING_CHECKER|CPUSET|PROLOGUE|BIPBIP|NO_NODE|EXECUTE_JOB|RESOURCES_BACK)\w*:")),
)
"""A job's events (type and description), in the order in which they count: a walltime that is over cancels, too."""

_MEANING = {
    "done": "ended by itself",
    "walltime": "its walltime was over",
    "cancelled": "it was cancelled",
    "node": "its node failed",
    "memory": "it was killed for using more memory than it may",
    "failed": "it failed",
}


def jobs_in(text: str) -> list[dict[str, Any]]:
    """Return the jobs that ``oarstat -J`` prints; none where it prints nothing.

    Raises
    ------
    ValueError
        For what is no JSON.
    """
    start = text.find("{")
    found = json.loads(text[start:]) if start >= 0 else {}
    return [{**job, "id": str(job.get("Job_Id", id))} for id, job in found.items() if isinstance(job, dict)]


def jobs_of(found: Iterable[Fields]) -> dict[str, Job]:
    """Return jobs by ID.

    Examples
    --------
    >>> said = {"id": "7", "state": "Waiting", "message": "R=4,W=1:0:0,J=B (Karma=0.1)", "scheduledStart": "1700000000"}
    >>> jobs_of([said])["7"].starts_at
    1700000000.0
    """
    jobs = {}
    for fields in found:
        id, state = str(fields["id"]), state_of(str(fields.get("state", "")))
        began, walltime = number_of(fields.get("startTime")), number_of(fields.get("walltime"))
        hosts = fields.get("assigned_network_address") or []
        if state is JobState.PENDING:
            jobs[id] = Job(id, state, reason=reason_of(fields), starts_at=number_of(fields.get("scheduledStart")))
            continue
        stopped = number_of(fields.get("stopTime"))
        ends = began + walltime if began is not None and walltime is not None else None
        jobs[id] = Job(
            id,
            state,
            began_at=began,
            ends_at=(stopped or ends) if state is JobState.ENDED else ends,
            node=str(hosts[0]) if hosts else "",
        )
    return jobs


def state_of(word: str) -> JobState:
    """Return how far a job is; one whose end is being put away (``Finishing``) has ended."""
    if word in _PENDING:
        return JobState.PENDING
    return JobState.RUNNING if word in _RUNNING else JobState.ENDED


def number_of(value: Any) -> float | None:
    """Return a number, from that or from a text; None for none, and for the 0 that OAR has for a time not known.

    Examples
    --------
    >>> number_of("1700000000"), number_of(0), number_of(None), number_of("no prediction")
    (1700000000.0, None, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number or None


def reason_of(fields: Fields) -> str:
    """Return why a job waits: OAR's message without the request that it repeats.

    Examples
    --------
    >>> reason_of({"state": "Waiting", "message": "R=4,W=1:0:0,J=B,N=cars (Karma=0.1)"})
    'Karma=0.1'
    >>> reason_of({"state": "Hold", "message": "R=4,W=1:0:0,J=B,N=cars"})
    'Hold'
    """
    message = re.sub(r"^R=\d*,W=\S*", "", str(fields.get("message") or "")).strip()
    words = message.removeprefix("(").removesuffix(")") if message.startswith("(") else message
    state = str(fields.get("state", ""))
    return words or ("" if state == "Waiting" else state)


def ending_of(id: str, fields: Fields | None, log: str) -> Ending:
    """Say how a job ended.

    Parameters
    ----------
    id : str
        The job's ID.
    fields : mapping or None
        What OAR tells of it; None when it knows the job no more. ``exit_code`` is the kernel's number: the job's own
        code in its upper byte, a signal in its lower one.
    log : str
        The end of the job's log.

    Examples
    --------
    >>> ending_of("7", {"state": "Terminated", "exit_code": "768", "events": []}, "").words
    'Job 7: it failed with exit code 3 (OAR: Terminated).'
    >>> ended = {"state": "Error", "events": [{"type": "WALLTIME", "description": "Job [7] from 1 with 60 (Elapsed)"}]}
    >>> ending_of("7", ended, "").why
    'walltime'
    """
    if fields is None:
        return Ending("unknown", f"OAR does not say how job {id} ended, and knows it no more.", None, log)
    state = str(fields.get("state", ""))
    if state_of(state) is not JobState.ENDED:
        return Ending("unknown", f"Job {id} has not ended: OAR says {state}.", None, log)
    events = [f"{e.get('type')}: {e.get('description') or ''}".strip() for e in fields.get("events") or []]
    for why, rule in _EVENTS:
        if told := [event for event in events if rule.search(event)]:
            return Ending(why, f"Job {id}: {_MEANING[why]} (OAR: {state}, {told[0].rstrip(': .')}).", None, log)
    return _by_code(id, state, fields.get("exit_code"), log)


def _by_code(id: str, state: str, value: Any, log: str) -> Ending:
    """Say how a job ended that ended by itself."""
    try:
        status = int(value)
    except (TypeError, ValueError):
        why = "done" if state == "Terminated" else "failed"
        words = f"Job {id} ended by itself" if why == "done" else f"Job {id}: it failed"
        return Ending(why, f"{words} (OAR: {state}).", None, log)
    code, signal = status >> 8, status & 127
    if signal or code > 128:
        number = signal or code - 128
        if number == 9 and re.search(r"oom[-_ ]kill|out of memory", log, re.IGNORECASE):
            return Ending("memory", f"Job {id}: {_MEANING['memory']} (OAR: {state}, signal 9).", None, log)
        return Ending("failed", f"Job {id}: it was ended by signal {number} (OAR: {state}).", None, log)
    if code:
        return Ending("failed", f"Job {id}: it failed with exit code {code} (OAR: {state}).", code, log)
    return Ending("done", f"Job {id} ended by itself (OAR: {state}).", 0, log)


def nodes_of(text: str) -> list[int]:
    """Return how many cores each node has, from the resources that ``oarnodes -J`` prints, by node or by resource.

    Examples
    --------
    >>> one = {"network_address": "n1", "type": "default", "state": "Alive"}
    >>> dead = {**one, "state": "Dead", "core": 3}
    >>> nodes_of(json.dumps({"1": {**one, "core": 1}, "2": {**one, "core": 2}, "3": dead}))
    [2]
    """
    start = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=-1)
    cores: dict[str, set[str]] = {}
    for place, resource in enumerate(_resources(json.loads(text[start:]) if start >= 0 else {})):
        host = str(resource.get("network_address") or resource.get("host") or "")
        is_there = (
            str(resource.get("state")).split()[0] in ("Alive", "Absent")
            and resource.get("type", "default") == "default"
        )
        if host and is_there:
            cores.setdefault(host, set()).add(str(resource.get("core") or f"resource {place}"))
    return sorted(len(each) for each in cores.values())


def _resources(found: Any) -> Iterable[Fields]:
    """Every resource in what OAR prints, however it is nested."""
    if isinstance(found, dict) and "state" in found:
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _resources(each)


def hint_of(words: str, most_cores: int = 0) -> str:
    """Say what to do about a refusal; empty where only OAR's own words help."""
    low = words.lower()
    if "not enough resources" in low:
        largest = f" The largest node has {most_cores} cores." if most_cores else ""
        return f"Ask for fewer cores, or for other properties.{largest} `oarnodes` lists the nodes."
    if "admission rule" in low:
        return "Your site's admission rules refuse it: change what they name."
    if "queue" in low:
        return "Set queue to one that this site has, or leave it out."
    if "syntax" in low or "unknown option" in low or "cannot recognize" in low or "bad resource" in low:
        return "Look at directives and resource_spec: `daskflow run ... --dry-run` prints the whole script."
    if "bad character" in low:
        return "OAR takes letters, digits, blanks and _./-% in the paths of logs: choose another place with log_folder."
    if "connect" in low or "db connection" in low:
        return "OAR's server does not answer; try later."
    return ""
