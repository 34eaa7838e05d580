"""Read what LSF's commands answer: jobs, endings, queues, refusals; no command is run here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from dask.utils import parse_bytes

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place
from daskflow.clusters.batch_places import in_words, largest, nearest_of

COLUMNS = (
    "jobid",
    "jobindex",
    "stat",
    "start_time",
    "run_time",
    "finish_time",
    "estimated_start_time",
    "exec_host",
    "exit_code",
    "exit_reason",
    "job_description",
    "pend_reason",
)
"""Of ``bjobs -o``; the last may have any character. Times are local, to the minute and without the year."""

DELIMITER = "^"

FORMAT = f"{' '.join(COLUMNS)} delimiter='{DELIMITER}'"

_PENDING = {"PEND", "PSUSP", "WAIT", "PROV", "FWD_PEND"}
_ENDED = {"DONE", "EXIT", "ZOMBI"}

_WHY = {
    "TERM_RUNLIMIT": "walltime",
    "TERM_DEADLINE": "walltime",
    "TERM_WINDOW": "walltime",
    "TERM_CPULIMIT": "walltime",
    "TERM_MEMLIMIT": "memory",
    "TERM_SWAP": "memory",
    "TERM_ZOMBIE": "node",
    "TERM_SLURM": "node",
    "TERM_RMS": "node",
    "TERM_RC_RECLAIM": "node",
    "TERM_REMOVE_HUNG_JOB": "node",
    "TERM_MC_RECALL": "node",
    "TERM_OWNER": "cancelled",
    "TERM_ADMIN": "cancelled",
    "TERM_FORCE_OWNER": "cancelled",
    "TERM_FORCE_ADMIN": "cancelled",
    "TERM_REQUEUE_OWNER": "cancelled",
    "TERM_REQUEUE_ADMIN": "cancelled",
    "TERM_REQUEUE_RC": "cancelled",
    "TERM_BUCKET_KILL": "cancelled",
    "TERM_PREEMPT": "cancelled",
    "TERM_LOAD": "cancelled",
    "TERM_ORPHAN_SYSTEM": "cancelled",
    "TERM_OTHER": "cancelled",
}
"""What LSF's words for an exit mean; every other (``TERM_CWD_NOTEXIST``, ``TERM_PRE_EXEC_FAIL``) is a failure."""

_MEANING = {
    "done": "ended by itself",
    "walltime": "its walltime was over",
    "cancelled": "it was cancelled",
    "node": "its node failed",
    "memory": "it was killed for using more memory than it asked for",
    "failed": "it failed",
}

_LIMITS = re.compile(r"[A-Z]+LIMIT")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP](?![a-z])|min)?")


def records_of(text: str) -> list[dict[str, str]]:
    """Return the fields of each line of ``bjobs -noheader -o FORMAT``, with its ``id``; empty for LSF's own ``-``.

    Examples
    --------
    >>> line = "7^2^RUN^Nov 30 12:03^35 second(s)^Nov 30 13:03 L^-^n1^-^-^daskflow:0a1b^"
    >>> [(found["id"], found["stat"], found["pend_reason"]) for found in records_of(line)]
    [('7[2]', 'RUN', '')]
    """
    records = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(DELIMITER, len(COLUMNS) - 1)]
        if len(values) != len(COLUMNS) or not values[0].partition("[")[0].isdigit():
            continue
        fields = {name: "" if value == "-" else value for name, value in zip(COLUMNS, values, strict=True)}
        job, index = fields["jobid"].partition("[")[0], fields["jobindex"]
        fields["id"] = f"{job}[{index}]" if index not in ("", "0") else job
        records.append(fields)
    return records


def job_of(fields: Mapping[str, str], now: float, seconds: float | None = None) -> Job:
    """Return a job from a line of bjobs.

    Parameters
    ----------
    fields : mapping
        One of `records_of`.
    now : float
        Seconds since 1970: how long a job has run is told to the second, when it began only to the minute.
    seconds : float, optional
        The walltime that was asked for, which tells the end to the second.
    """
    state = state_of(fields["stat"])
    if state is JobState.PENDING:
        reason = " ".join(fields["pend_reason"].split()).rstrip(";")
        return Job(fields["id"], state, reason=reason, starts_at=time_of(fields["estimated_start_time"], now))
    ran = re.match(r"(\d+) second", fields["run_time"])
    began = now - float(ran[1]) if ran and state is JobState.RUNNING else time_of(fields["start_time"], now)
    ends = time_of(fields["finish_time"], now)
    if state is JobState.RUNNING and began is not None and seconds is not None:
        ends = began + seconds if ends is None or abs(began + seconds - ends) < 120 else ends
    return Job(fields["id"], state, began_at=began, ends_at=ends, node=_node(fields["exec_host"]))


def jobs_of(records: Collection[Mapping[str, str]], now: float, seconds: Mapping[str, float]) -> dict[str, Job]:
    """Return jobs by ID from the lines of bjobs."""
    return {fields["id"]: job_of(fields, now, seconds.get(fields["id"])) for fields in records}


def state_of(word: str) -> JobState:
    """Return how far a job is; one whose node LSF cannot reach (``UNKWN``) runs until LSF says otherwise."""
    if word in _PENDING:
        return JobState.PENDING
    return JobState.ENDED if word in _ENDED else JobState.RUNNING


def _node(hosts: str) -> str:
    """Return the first host of ``4*n1:n2``."""
    return hosts.partition(":")[0].rpartition("*")[2]


def time_of(text: str, now: float) -> float | None:
    """Return a time such as ``Nov 30 12:03 L`` in seconds since 1970: of the year in which it is nearest to now.

    Examples
    --------
    >>> now = datetime(2026, 1, 1, 0, 30).timestamp()
    >>> datetime.fromtimestamp(time_of("Dec 31 23:50", now)).year, time_of("-", now)
    (2025, None)
    """
    found = re.match(r"([A-Z][a-z]{2})\s+(\d+)\s+(\d+):(\d+)(?::(\d+))?(?:\s+(\d{4}))?", text)
    if found is None:
        return None
    month, day, hour, minute, second, year = found.groups()
    here = datetime.fromtimestamp(now)
    near = []
    for each in [int(year)] if year else [here.year - 1, here.year, here.year + 1]:
        try:
            when = datetime.strptime(f"{each} {month} {day}", "%Y %b %d")
        except ValueError:  # the 29th of February
            continue
        near.append(when + timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0)))
    return min((when.timestamp() for when in near), key=lambda at: abs(at - now), default=None)


def ending_of(id: str, stat: str, exit_code: str, exit_reason: str, log: str) -> Ending:
    """Say how a job ended.

    Parameters
    ----------
    id : str
        The job's ID.
    stat : str
        ``DONE``, ``EXIT`` or ``ZOMBI``; empty when LSF knows the job no more.
    exit_code : str
        Over 128 for a signal.
    exit_reason : str
        Such as ``TERM_MEMLIMIT: job killed after reaching LSF memory usage limit``.
    log : str
        The end of the job's log.

    Examples
    --------
    >>> ending_of("7", "EXIT", "137", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "").why
    'memory'
    >>> ending_of("7", "EXIT", "3", "", "").words
    'Job 7: it failed with exit code 3 (LSF: EXIT).'
    """
    word = found[0] if (found := re.search(r"TERM_[A-Z_]+", exit_reason)) else ""
    code = int(exit_code) if exit_code.isdigit() else None
    said = exit_reason.strip().rstrip(".")
    if stat == "DONE":
        return Ending("done", f"Job {id} ended by itself (LSF: DONE).", 0, log)
    if stat == "ZOMBI":
        return Ending("node", f"Job {id}: its node failed (LSF: ZOMBI, its host cannot be reached).", code, log)
    if stat != "EXIT":
        return Ending("unknown", f"LSF does not say how job {id} ended, and knows it no more.", code, log)
    why = _WHY.get(word, "failed")
    if why == "failed" and not word and re.search(r"oom[-_ ]kill|out of memory", log, re.IGNORECASE):
        why = "memory"
    what = _MEANING[why]
    if why == "failed" and code is not None:
        what = f"it was ended by signal {code - 128}" if code > 128 else f"it failed with exit code {code}"
    own = ", ".join(["EXIT", *([said] if said else [])])
    is_own_code = why == "failed" and code is not None and code <= 128
    return Ending(why, f"Job {id}: {what} (LSF: {own}).", code if is_own_code else None, log)


def history_of(text: str) -> tuple[str, str, str]:
    """Return state, exit code and reason from ``bhist -l``, whose lines are broken anywhere; empty where it tells none.

    Examples
    --------
    >>> history_of("Mon Nov 30: Exited by signal 9. The CPU time used is 1 seconds;\\n   Completed <exit>; TERM_OWN\\n   ER: k")
    ('EXIT', '137', 'TERM_OWNER: k')
    >>> history_of("Mon Nov 30: Done successfully. The CPU time used is 0.1 seconds;")
    ('DONE', '', '')
    """  # noqa: E501
    joined = re.sub(r"\n {3,}", "", text)
    spaced = re.sub(r"\s+", " ", text)
    if re.search(r"Done ?successfully", joined):
        return "DONE", "", ""
    code = re.search(r"Exited with exit ?code ?(\d+)", joined) or re.search(r"Exited with exit code (\d+)", spaced)
    signal = re.search(r"Exited by signal ?(\d+)", joined) or re.search(r"Exited by signal (\d+)", spaced)
    reason = re.search(r"TERM_[A-Z_]+(?::[^;\n.]*)?", joined)
    if not (code or signal or reason or "Exited" in joined):
        return "", "", ""
    number = code[1] if code else str(128 + int(signal[1])) if signal else ""
    return "EXIT", number, reason[0].strip() if reason else ""


def queues_of(text: str, hosts: str) -> list[Place]:
    """Return the queues that ``bqueues -l`` tells of, with the largest of the hosts that ``lshosts -w`` lists.

    Parameters
    ----------
    text, hosts : str
        What the two commands said. Of a queue for certain groups of hosts the hosts are not known, and no limit is.
    """
    sizes = _hosts_of(hosts)
    places = []
    for part in re.split(r"^QUEUE:", text, flags=re.MULTILINE)[1:]:
        name = part.split(maxsplit=1)[0] if part.strip() else ""
        limits = _limits_of(part)
        served = re.search(r"^HOSTS:\s*(.*)$", part, re.MULTILINE)
        names = served[1].split() if served else ["all"]
        mine = [sizes[host] for host in (sizes if "all" in names else names) if host in sizes]
        is_known = "all" in names or len(mine) == len(names)
        cores = [cores for cores, _ in mine] if is_known else []
        memory = [size for _, size in mine if size] if is_known else []
        status = re.search(r"^PRIO\s+NICE\s+STATUS.*\n\s*\S+\s+\S+\s+(\S+)", part, re.MULTILINE)
        place = Place(name, is_open=status is None or status[1] == "Open:Active", max_seconds=limits.get("RUNLIMIT"))
        slots = limits.get("TASKLIMIT", limits.get("PROCLIMIT"))
        most = [*([max(cores)] if cores else []), *([int(slots)] if slots else [])]
        room = [*([max(memory)] if memory else []), *([int(limits["MEMLIMIT"])] if "MEMLIMIT" in limits else [])]
        places.append(
            replace(
                place,
                max_cores=min(most, default=None),
                max_memory=min(room, default=None),
                is_default="This is the default queue" in part,
            )
        )
    return places


def _limits_of(part: str) -> dict[str, float]:
    """Return the highest limits of a queue: seconds, bytes, or a number; none of them is a default."""
    before, default, after = part.partition("DEFAULT LIMITS:")
    _, maximum, highest = after.partition("MAXIMUM LIMITS:")
    text = highest if maximum else "" if default else before.partition("MAXIMUM LIMITS:")[2] or before
    lines = text.splitlines()
    found: dict[str, float] = {}
    for names, values in pairwise(lines):
        limits = _LIMITS.findall(names)
        if not limits or _LIMITS.sub("", names).strip():
            continue
        numbers = _NUMBER.findall(re.sub(r" of \S+", "", values))  # "1440.0 min of n1" names a host
        if len(limits) == 1:  # of the least, the default and the highest the last
            numbers = numbers[-1:]
        if len(numbers) == len(limits):
            found |= {name: _amount(*number) for name, number in zip(limits, numbers, strict=True)}
    return found


def _amount(number: str, unit: str) -> float:
    return float(number) * 60 if unit == "min" else float(parse_bytes(f"{number} {unit}iB" if unit else f"{number} B"))


def _hosts_of(text: str) -> dict[str, tuple[int, int]]:
    """Return cores and bytes of each host that ``lshosts -w`` lists; one that is not there now has ``-`` for both."""
    hosts = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 5 and words[4].isdigit():
            size = _NUMBER.match(words[5])
            hosts[words[0]] = int(words[4]), int(_amount(*size.groups(""))) if size else 0
    return hosts


def hint_of(words: str, place: str, places: Sequence[Place]) -> str:
    """Say what to do about a refusal; empty where only LSF's own words help.

    Examples
    --------
    >>> hint_of("nornal: No such queue. Job not submitted", "nornal", [Place("normal", is_default=True), Place("gpu")])
    "Queues here: normal (default), gpu; did you mean 'normal'?"
    """
    low = words.lower()
    if "no such queue" in low or "queue does not exist" in low:
        return nearest_of(place, places, "Queues") or "`bqueues` lists the queues."
    if "cannot use the queue" in low or "queue has been closed" in low or "queue does not accept" in low:
        return nearest_of("", places, "Queues") or "`bqueues -u $USER` lists the queues that you may use."
    if "hard limit" in low or "runlimit" in low:
        limits = [f"{p.name} {in_words(p.max_seconds)}" for p in places if p.max_seconds is not None]
        told = f"Longest walltimes: {', '.join(limits)}. " if limits else ""
        return f"{told}`bqueues -l {place}".rstrip() + "` has all limits."
    if "processor" in low or "too many tasks" in low or "slots requested" in low:
        return largest(places, place) or "`lshosts` lists the hosts."
    if "threshold" in low or "job limit" in low or "slot limit" in low or "array" in low:
        return "Ask for fewer workers: `busers` has your limits."
    if "project" in low or "user group" in low:
        return "Set account = '...' to a project that you may charge."
    if "resource requirement" in low or "bad argument" in low or "illegal option" in low or "not supported" in low:
        return "Look at the lines under directives: `daskflow run ... --dry-run` prints the whole script."
    if "not responding" in low or "is down" in low or "cannot contact" in low or "unable to contact" in low:
        return "LSF's daemons do not answer: `lsid` and `badmin showstatus` tell; try later."
    return ""
