"""Read what HTCondor's commands answer: jobs, endings, machines, refusals; no command is run here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dask.utils import format_bytes

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Request
from daskflow.clusters.batch_places import cores_in_words

Ad = Mapping[str, Any]
"""What HTCondor knows of a job or a machine, by the names of its attributes."""

IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
"""Values of ``JobStatus``; 6 and 7 are jobs whose output is fetched, and suspended ones."""

ATTRIBUTES = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "LastJobStatus",
    "JobCurrentStartDate",
    "NumShadowStarts",
    "RemoteHost",
    "LastRejMatchReason",
    "HoldReason",
    "HoldReasonCode",
    "RemoveReason",
    "ExitCode",
    "ExitBySignal",
    "ExitSignal",
    "DaskflowSeconds",
    "Out",
)
"""What is asked of jobs."""

MACHINES = ("Machine", "TotalSlotCpus", "TotalSlotMemory")
"""What is asked of machines; memory in MiB."""

_MEMORY_CODES, _TIME_CODES, _CANCEL_CODES = {34}, {46, 47}, {1, 15}
"""Of ``HoldReasonCode``: more memory than asked for; longer than allowed; held by its owner."""

_MEANING = {
    "done": "ended by itself",
    "walltime": "its walltime was over",
    "cancelled": "it was cancelled",
    "node": "its machine was lost",
    "memory": "it was killed for using more memory than it asked for",
    "failed": "it failed",
    "unknown": "",
}


def ads_of(text: str) -> list[dict[str, Any]]:
    """Return the ads that ``-json`` prints; none where it prints nothing.

    Raises
    ------
    ValueError
        For what is no JSON.
    """
    start = text.find("[")
    found = json.loads(text[start:]) if start >= 0 else []
    return [ad for ad in found if isinstance(ad, dict)]


def id_of(ad: Ad) -> str:
    """Return a job's ID, ``CLUSTER.PROCESS``."""
    return f"{ad.get('ClusterId')}.{ad.get('ProcId')}"


def jobs_of(ads: Iterable[Ad]) -> dict[str, Job]:
    """Return jobs by ID.

    A job that HTCondor holds has ended for us once it had a machine; one that never had waits for somebody who releases
    it, which nobody does.

    Examples
    --------
    >>> ad = {"ClusterId": 7, "ProcId": 1, "JobStatus": 2, "JobCurrentStartDate": 100, "DaskflowSeconds": 60}
    >>> jobs_of([{**ad, "RemoteHost": "slot1_2@n4.site.org"}])["7.1"]
    Job(id='7.1', state=<JobState.RUNNING: 'running'>, reason='', starts_at=None, began_at=100.0, ends_at=160.0, ...)
    """
    jobs = {}
    for ad in ads:
        id, status = id_of(ad), ad.get("JobStatus")
        if status == IDLE:
            reason = str(ad.get("LastRejMatchReason", "")).strip()
            jobs[id] = Job(id, JobState.PENDING, reason=reason)
        elif status == HELD and not ad.get("NumShadowStarts"):
            jobs[id] = Job(id, JobState.PENDING, reason=_held(ad), is_hopeless=True)
        else:
            is_over = status in (REMOVED, COMPLETED, HELD)
            began, seconds = ad.get("JobCurrentStartDate"), ad.get("DaskflowSeconds")
            jobs[id] = Job(
                id,
                JobState.ENDED if is_over else JobState.RUNNING,
                began_at=None if began is None else float(began),
                ends_at=float(began) + float(seconds) if began is not None and seconds and not is_over else None,
                node=str(ad.get("RemoteHost", "")).rpartition("@")[2],
            )
    return jobs


def _held(ad: Ad) -> str:
    return f"held: {str(ad.get('HoldReason', 'no reason given')).strip().rstrip('.')}"


def ending_of(id: str, ad: Ad | None, log: str) -> Ending:
    """Say how a job ended.

    Parameters
    ----------
    id : str
        The job's ID.
    ad : mapping or None
        What HTCondor knows of it; None when it knows the job no more.
    log : str
        The end of the job's log.

    Examples
    --------
    >>> ending_of("7.0", {"JobStatus": 4, "ExitBySignal": False, "ExitCode": 3}, "").words
    'Job 7.0: it failed with exit code 3 (HTCondor: completed).'
    >>> held = {"JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "memory usage exceeded request_memory"}
    >>> ending_of("7.0", held, "").why
    'memory'
    """
    if ad is None:
        return Ending("unknown", f"HTCondor does not say how job {id} ended, and knows it no more.", None, log)
    status = ad.get("JobStatus")
    if status == COMPLETED:
        return _completed(id, ad, log)
    if status not in (REMOVED, HELD):
        return Ending("unknown", f"Job {id} has not ended: HTCondor says JobStatus {status}.", None, log)
    removed, held = str(ad.get("RemoveReason", "")).strip(), str(ad.get("HoldReason", "")).strip()
    by_policy = re.search(r"periodic_?remove", removed, re.IGNORECASE) is not None
    was_held = status == HELD or (by_policy and ad.get("LastJobStatus") == HELD)
    if was_held:
        why, own = _why_held(ad), f"held, {held}"
    elif by_policy and "SYSTEM" not in removed.upper():
        why = "node" if ad.get("LastJobStatus") == IDLE else "walltime"
        own = "periodic_remove of its submit description"
    else:
        why, own = "cancelled", f"removed, {removed}" if removed else "removed"
    return Ending(why, f"Job {id}: {_MEANING[why]} (HTCondor: {own.rstrip('.')}).", None, log)


def _completed(id: str, ad: Ad, log: str) -> Ending:
    if ad.get("ExitBySignal"):
        signal = ad.get("ExitSignal")
        if signal == 9 and re.search(r"oom[-_ ]kill|out of memory", log, re.IGNORECASE):
            return Ending("memory", f"Job {id}: {_MEANING['memory']} (HTCondor: signal 9).", None, log)
        return Ending("failed", f"Job {id}: it was ended by signal {signal} (HTCondor: completed).", None, log)
    code = ad.get("ExitCode")
    if code == 0:
        return Ending("done", f"Job {id} ended by itself (HTCondor: completed).", 0, log)
    number = code if isinstance(code, int) else None
    return Ending("failed", f"Job {id}: it failed with exit code {code} (HTCondor: completed).", number, log)


def _why_held(ad: Ad) -> str:
    code, words = ad.get("HoldReasonCode"), str(ad.get("HoldReason", "")).lower()
    if code in _MEMORY_CODES or (code in (3, 26) and "memory" in words):
        return "memory"
    if code in _TIME_CODES or (code in (3, 26) and re.search(r"run ?time|walltime|wall time|duration", words)):
        return "walltime"
    return "cancelled" if code in _CANCEL_CODES else "failed"


def too_large(request: Request, machines: Sequence[Ad]) -> list[str]:
    """Say why no machine of a pool can hold such a job; empty when one can, or when the pool has none now.

    Examples
    --------
    >>> small = {"Machine": "n1", "TotalSlotCpus": 4, "TotalSlotMemory": 2048}
    >>> too_large(Request(8, 2**30, 60.0), [small])
    ['No machine of this pool has 8 cores and 1.00 GiB for one job. The largest has 4 cores and 2.00 GiB.']
    >>> too_large(Request(4, 2**30, 60.0), [small]), too_large(Request(8, 2**30, 60.0), [])
    ([], [])
    """
    sizes = [(int(ad.get("TotalSlotCpus", 0)), int(ad.get("TotalSlotMemory", 0)) * 2**20) for ad in machines]
    if not sizes or any(cores >= request.cores and memory >= request.memory_bytes for cores, memory in sizes):
        return []
    cores, memory = max(sizes)
    return [
        f"No machine of this pool has {cores_in_words(request.cores)} and {format_bytes(request.memory_bytes)} for one "
        f"job. The largest has {cores_in_words(cores)} and {format_bytes(memory)}."
    ]


def words_of(text: str) -> str:
    """Return a complaint as one line, without the advice that fills paragraphs behind it.

    Examples
    --------
    >>> words_of("\\nERROR: Parse error in expression: \\n\\tRequestCpus = banana(\\n\\t")
    'Parse error in expression: RequestCpus = banana('
    >>> words_of("Error: unknown host x\\n\\nExtra Info: You probably saw this error because")
    'unknown host x'
    """
    told = text.partition("Extra Info:")[0]
    lines = [re.sub(r"^(error|warning): ?", "", line.strip(), flags=re.I) for line in told.splitlines()]
    return " ".join(line for line in lines if line).rstrip(".!")


def hint_of(words: str) -> str:
    """Say what to do about a refusal; empty where only HTCondor's own words help."""
    low = words.lower()
    if "parse error" in low or "invalid" in low or "syntax" in low or ("unknown" in low and "command" in low):
        return "Look at the lines under directives: `daskflow run ... --dry-run` prints the whole description."
    if "max_jobs" in low or "exceed" in low or "limit" in low:
        return "Ask for fewer workers."
    if "accounting" in low or "acct" in low:
        return "Set account = '...' to an accounting group of yours."
    if "authent" in low or "authoriz" in low or "permission" in low or "denied" in low:
        return "HTCondor does not take this user's jobs from here: use an access point that does."
    if "connect" in low or "locate" in low or "unknown host" in low or "can't find address" in low or "schedd" in low:
        return "No condor_schedd answers: start this on an access point; `condor_status -schedd` lists them."
    return ""
