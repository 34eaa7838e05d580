"""Sentences about the jobs of a fleet: why they wait, how they were lost, and why a run cannot go on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from daskflow.clusters.batch_jobs import Ending, Job

HOPELESS = {
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition starts no jobs",
    "PartitionTimeLimit": "its walltime is longer than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition has",
    "PartitionConfig": "no node of the partition is as large as it asks for",
    "AccountNotAllowed": "its account may not use the partition",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its quality of service is not valid",
    "QOSNotAllowed": "its quality of service may not be used there",
    "BadConstraints": "no node has what it asks for",
    "DependencyNeverSatisfied": "what it depends on will never be",
    "AssocMaxWallDurationPerJobLimit": "its walltime is longer than its account allows",
    "QOSMaxWallDurationPerJobLimit": "its walltime is longer than its quality of service allows",
    "AssocMaxCpuPerJobLimit": "it asks for more cores than its account allows",
    "QOSMaxCpuPerJobLimit": "it asks for more cores than its quality of service allows",
    "AssocMaxMemPerJob": "it asks for more memory than its account allows",
    "QOSMaxMemoryPerJob": "it asks for more memory than its quality of service allows",
    "AssocGrpWallLimit": "the hours of its account are used up",
    "AssocGrpCPUMinutesLimit": "the core-hours of its account are used up",
    "QOSGrpCPUMinutesLimit": "the core-hours of its quality of service are used up",
}
"""Why a pending job will never start, in Slurm's word and in ours."""

WAITING = {
    "Resources": "the nodes are in use",
    "Priority": "other jobs come first",
    "Dependency": "what it depends on has not ended",
    "BeginTime": "its time to begin has not come",
    "JobHeldUser": "its owner holds it",
    "JobHeldAdmin": "an administrator holds it",
    "ReqNodeNotAvail": "nodes it needs are not available",
    "Reservation": "its reservation has not begun",
    "QOSMaxJobsPerUserLimit": "you run as many jobs as you may",
    "AssocMaxJobsLimit": "your account runs as many jobs as it may",
    "AssocGrpCpuLimit": "your account uses as many cores as it may",
    "QOSMaxCpuPerUserLimit": "you use as many cores as you may",
    "MaxJobs": "you run as many jobs as you may",
}
"""Why a pending job waits, likewise."""


def why_waiting(jobs: Sequence[Job], now: float) -> str:
    """Say why jobs wait, and when the first is expected to start.

    Examples
    --------
    >>> from daskflow.clusters.batch_jobs import JobState
    >>> why_waiting([Job("7", JobState.PENDING, reason="Resources", starts_at=300.0)], 0.0)
    '1 job waits: the nodes are in use (Resources). The queue expects to start it in 5 min.'
    """
    reasons = Counter(job.reason for job in jobs if job.reason)
    told = ", ".join(_reason(word, WAITING) for word, _ in reasons.most_common(3)) or "the queue gives no reason"
    expected = [job.starts_at for job in jobs if job.starts_at is not None and job.starts_at > now]
    when = ""
    if expected:
        what = "it" if len(jobs) == 1 else "the first"
        when = f" The queue expects to start {what} in {lasting(min(expected) - now)}."
    return f"{counted(len(jobs), 'job waits', 'jobs wait')}: {told}.{when}"


def never_starts(job: Job) -> str:
    """Say why a pending job will never start.

    Examples
    --------
    >>> from daskflow.clusters.batch_jobs import JobState
    >>> never_starts(Job("7", JobState.PENDING, reason="PartitionDown"))
    'Job 7 would wait for ever: its partition is down (PartitionDown).'
    """
    return f"Job {job.id} would wait for ever: {_reason(job.reason, HOPELESS)}."


_FULL = re.compile(r"MaxSubmitJob|max_u_jobs|would exceed .*per-user limit", re.IGNORECASE)


def is_full(refusal: str) -> bool:
    """Whether a queue refuses a job because the user has as many in it as may be: it takes others when those have gone.

    Examples
    --------
    >>> is_full("AssocMaxSubmitJobLimit; Batch job submission failed: Job violates accounting/QOS policy")
    True
    >>> is_full("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)")  # or too large
    False
    """
    return _FULL.search(refusal) is not None


def is_hopeless(job: Job) -> bool:
    """Whether the queue says so, or its reason is one that does not pass by itself."""
    return job.is_hopeless or job.reason in HOPELESS


def lost(endings: Sequence[tuple[str, Ending]], spent: int, budget: int) -> str:
    """Say that jobs were lost, and how many more may be.

    Examples
    --------
    >>> lost([("7", Ending("cancelled", "CANCELLED by 1001."))], 1, 6)
    'Job 7 was lost: CANCELLED by 1001. Another takes its place (1 of 6 that may be lost).'
    """
    if len(endings) == 1:
        ((id, ending),) = endings
        told = ending.words if id in ending.words else f"Job {id} was lost: {ending.words}"
    else:
        reasons = Counter(KINDS.get(ending.why, ending.why) for _, ending in endings)
        told = f"{len(endings)} jobs were lost: {', '.join(f'{n} {why}' for why, n in reasons.most_common())}. "
        told += f"The last was job {endings[-1][0]}: {endings[-1][1].words}"
    number = "Another takes its place" if len(endings) == 1 else "Others take their places"
    after = f"{number} ({spent} of {budget} that may be lost)." if spent <= budget else ""
    return f"{told} {after}".strip()


KINDS = {
    "cancelled": "cancelled",
    "node": "by a failed node",
    "memory": "for their memory",
    "failed": "failed",
    "done": "ended by themselves",
    "walltime": "at the end of their walltime",
    "unknown": "for no known reason",
}


def failed_starts(endings: Sequence[tuple[str, Ending, str]]) -> str:
    """Say that jobs ended one after the other before their workers came, with the log of the last.

    Examples
    --------
    >>> print(failed_starts([("7", Ending("failed", "Job 7 ended with exit code 127.", 127, "no python"), "n1")]))
    1 job ended before its worker came, and none has come since. Job 7 ended with exit code 127.
    It ran on n1. The end of its log:
        no python
    """
    nodes = sorted({node for _, _, node in endings if node})
    last = endings[-1][1]
    number = counted(len(endings), "job ended before its worker came", "jobs in a row ended before their workers came")
    where = "" if not nodes else f"{'It' if len(endings) == 1 else 'They'} ran on {', '.join(nodes[:5])}. "
    return f"{number}, and none has come since. {last.words.strip()}\n{where}{_log(last)}"


def too_many_lost(spent: int, budget: int, last: Ending | None) -> str:
    """Say that more jobs were lost than may be, with the log of the last.

    Examples
    --------
    >>> too_many_lost(1, 0, Ending("node", "Node n1 failed."))
    '1 job was lost, more than the 0 that may be (cluster.retries). The last one: Node n1 failed. Its log is empty.'
    """
    told = f"{counted(spent, 'job was', 'jobs were')} lost, more than the {budget} that may be (cluster.retries)."
    return f"{told} The last one: {last.words.strip()} {_log(last)}" if last is not None else told


def _log(ending: Ending) -> str:
    """Return the end of a job's log, indented."""
    lines = [f"    {line}" for line in ending.tail.strip().splitlines()[-20:]]
    return "\n".join(["The end of its log:", *lines]) if lines else "Its log is empty."


def memory_kills(number: int, memory_bytes: int, ending: Ending) -> str:
    """Say that workers were killed for their memory, one after the other.

    Examples
    --------
    >>> memory_kills(3, 300 * 2**20, Ending("memory", "Job 9 used 847 MB, more than the 300 MB it asked for."))[:90]
    '3 workers in a row were killed because they used more than the 300 MiB they had asked for.'
    """
    asked = f"the {size(memory_bytes)}" if memory_bytes else "the memory"
    return (
        f"{counted(number, 'worker was', 'workers in a row were')} killed because they used more than {asked} they had "
        f"asked for. {ending.words.strip()} Give workers more with cluster.memory, or make partitions smaller."
    )


def too_short(seconds: float, longest: float, number: int) -> str:
    """Say that no unit comes to its end within a walltime.

    Examples
    --------
    >>> too_short(3600, 3500, 3)[:66]
    '3 jobs in a row came to the end of their walltime of 1 h while a u'
    """
    return (
        f"{number} jobs in a row came to the end of their walltime of {lasting(seconds)} while a unit of work that had "
        f"run for {lasting(longest)} was unfinished: it would begin again and again. Ask for a longer walltime with "
        "cluster.walltime, or make the units smaller."
    )


def long_units(longest: float, seconds: float) -> str:
    """Say that units are nearly as long as a job.

    Examples
    --------
    >>> long_units(3000, 3600)[:73]
    'A unit of work has taken 50 min, and a job has a walltime of 1 h: some ar'
    """
    return (
        f"A unit of work has taken {lasting(longest)}, and a job has a walltime of {lasting(seconds)}: some are cut "
        "off by it, and begin again. A longer walltime (cluster.walltime), or smaller units, would lose less."
    )


def counted(number: int, one: str, many: str) -> str:
    """Return the number with its noun.

    Examples
    --------
    >>> counted(1, "job", "jobs"), counted(1200, "job", "jobs")
    ('1 job', '1,200 jobs')
    """
    return f"{number:,} {one if number == 1 else many}"


def lasting(seconds: float) -> str:
    """Return a duration in its largest unit.

    Examples
    --------
    >>> lasting(42.4), lasting(300), lasting(5400), lasting(4 * 86400)
    ('42 s', '5 min', '1.5 h', '4 d')
    """
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= (2 if unit == "d" else 1) * length:
            return f"{round(seconds / length, 1):g} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Return bytes in their largest unit.

    Examples
    --------
    >>> size(300 * 2**20), size(4 * 2**30)
    ('300 MiB', '4 GiB')
    """
    for unit, length in (("GiB", 2**30), ("MiB", 2**20)):
        if number >= length:
            return f"{round(number / length, 1):g} {unit}"
    return f"{number / 2**10:.0f} KiB"


def _reason(word: str, known: dict[str, str]) -> str:
    """Our words with the queue's own, or the queue's alone."""
    return f"{known[word]} ({word})" if word in known else word or "no reason given"
