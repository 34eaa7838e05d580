"""Read what Slurm's commands answer: jobs, endings, partitions, refusals; no command is run here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dask.utils import format_bytes

from daskflow.clusters.batch_commands import Answer
from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, Request
from daskflow.clusters.batch_places import beyond, cores_in_words, in_words, largest, nearest_of
from daskflow.clusters.walltimes import seconds_in_form

JOB_COLUMNS = "%i|%T|%S|%e|%N|%r"
"""Of squeue: ID with the index, state, start, end, node, reason, which is the last since it may have any character."""

SHAPE_COLUMNS = "%R|%c|%m|%D|%T"
"""Of sinfo: partition, processors and MiB of each node, how many such nodes, their state."""

_PENDING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING"}
_RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"}

_WHY = {
    "COMPLETED": "done",
    "TIMEOUT": "walltime",
    "DEADLINE": "walltime",
    "CANCELLED": "cancelled",
    "PREEMPTED": "cancelled",
    "REVOKED": "cancelled",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "OUT_OF_MEMORY": "memory",
    "FAILED": "failed",
}

_TOLD = (
    ("memory", re.compile(r"exceeded (job |step )?memory limit.*|(oom[-_ ]kill|out of memory).*", re.IGNORECASE)),
    ("walltime", re.compile(r"CANCELLED AT \S+ DUE TO TIME LIMIT", re.IGNORECASE)),
    ("node", re.compile(r"CANCELLED AT \S+ DUE TO NODE FAILURE.*", re.IGNORECASE)),
    ("cancelled", re.compile(r"CANCELLED AT \S+", re.IGNORECASE)),
)
"""What Slurm writes at the end of a job's log, in the order in which it counts."""

_MEANING = {
    "done": "ended by itself",
    "walltime": "its walltime was over",
    "cancelled": "it was cancelled",
    "node": "its node failed",
    "memory": "it was killed for using more memory than it asked for",
    "failed": "it failed",
}


def jobs_of(text: str, ids: Collection[str]) -> dict[str, Job]:
    """Return the jobs asked for from squeue's lines (``JOB_COLUMNS``, times in seconds since 1970 or as ISO).

    Examples
    --------
    >>> jobs_of("7_1|PENDING|1700000000|N/A||Resources\\n7_2|RUNNING|1|61|n2|None", ["7_1"])["7_1"].reason
    'Resources'
    """
    wanted, jobs = set(ids), {}
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) != 6 or parts[0] not in wanted:
            continue
        id, word, start, end, node, reason = (part.strip() for part in parts)
        state = state_of(word)
        waits, begins = state is JobState.PENDING, time_of(start)
        jobs[id] = Job(
            id=id,
            state=state,
            reason="" if reason in ("", "None", "N/A") or not waits else reason,
            starts_at=begins if waits else None,
            began_at=None if waits else begins,
            ends_at=None if waits else time_of(end),
            node="" if node.startswith("(") else node,
        )
    return jobs


def state_of(word: str) -> JobState:
    """Return how far a job is; one that is being cleaned up has ended."""
    if word in _PENDING:
        return JobState.PENDING
    return JobState.RUNNING if word in _RUNNING else JobState.ENDED


def time_of(text: str) -> float | None:
    """Return a time in seconds since 1970, from that or from local time; None for none.

    Examples
    --------
    >>> time_of("1700000000"), time_of("N/A"), time_of("Unknown")
    (1700000000.0, None, None)
    """
    if text.isdigit():
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def fields_of(text: str) -> list[dict[str, str]]:
    """Return the ``Name=value`` pairs of each line that ``scontrol -o show`` prints.

    Examples
    --------
    >>> fields_of("JobId=5 JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0 StdErr=/tmp/a b.err Power=")
    [{'JobId': '5', 'JobState': 'FAILED', 'Reason': 'NonZeroExitCode', 'ExitCode': '3:0', 'StdErr': '/tmp/a b.err', 'Power': ''}]
    """  # noqa: E501
    found = []
    for line in text.splitlines():
        starts = list(re.finditer(r"(?:^|\s)([A-Z][A-Za-z/:]*)=", line))
        ends = [after.start() for after in starts[1:]] + [len(line)]
        if starts:
            found.append({start[1]: line[start.end() : end].strip() for start, end in zip(starts, ends, strict=True)})
    return found


def ending_of(id: str, state: str, exit: str, reason: str, log: str) -> Ending:
    """Say how a job ended.

    Parameters
    ----------
    id : str
        The job's ID.
    state : str
        Slurm's word for its state; empty when Slurm knows the job no more, so that its log alone tells.
    exit : str
        Exit code and signal such as ``0:9``.
    reason : str
        Slurm's word for the reason.
    log : str
        The end of the job's log.
    """
    said = next(((why, found[0]) for why, rule in _TOLD if (found := rule.search(log))), None)
    code, _, signal = exit.partition(":")
    was_signalled = signal.isdigit() and int(signal) > 0
    exit_code = int(code) if code.isdigit() and not was_signalled and state in ("COMPLETED", "FAILED") else None
    why = _WHY.get(state, "unknown")
    # Where no cgroup limits the memory, such a job is FAILED, and one that Slurm forgot has its log only.
    if said and (why == "unknown" or (said[0] == "memory" and why in ("failed", "cancelled"))):
        why = said[0]
    own = [word for word in (state, reason if reason not in ("", "None", state) else "") if word]
    if said and said[0] == why:
        own.append(said[1])
    if why == "unknown":
        words = f"Slurm does not say how job {id} ended" + (
            f" ({', '.join(own)})." if own else ", and knows it no more."
        )
        return Ending(why, words, exit_code, log)
    what = _MEANING[why]
    if why == "failed" and exit_code:
        what = f"it failed with exit code {exit_code}"
    if why == "failed" and was_signalled:
        what = f"it was ended by signal {signal}"
    if why == "memory" and (sizes := re.search(r"memory limit \((\d+) > (\d+)\)", log)):
        used, limit = (format_bytes(int(size)) for size in sizes.groups())
        what = f"it was killed for using {used} of memory where it had asked for {limit}"
    comma = "" if why == "done" else ":"
    return Ending(why, f"Job {id}{comma} {what}" + (f" (Slurm: {', '.join(own)})." if own else "."), exit_code, log)


@dataclass(frozen=True, slots=True)
class Shape:
    """Nodes of a partition that are alike: processors, MiB, how many there are, their state in Slurm's word."""

    place: str
    cores: int
    memory_mib: int
    count: int
    state: str


def shapes_of(text: str) -> list[Shape]:
    """Return the nodes that sinfo's lines (``SHAPE_COLUMNS``) tell of."""
    shapes = []
    for line in text.splitlines():
        place, *rest = line.split("|")
        if len(rest) == 4:
            cores, memory, count = (int(re.sub(r"\D", "", word) or 0) for word in rest[:3])
            shapes.append(Shape(place.strip(), cores, memory, count, rest[3].strip()))
    return shapes


def places_of(partitions: Iterable[Mapping[str, str]], shapes: Sequence[Shape]) -> list[Place]:
    """Return the partitions with the limits of their largest nodes; those of no node have none."""
    places = []
    for fields in partitions:
        name = fields.get("PartitionName", "")
        mine = [shape for shape in shapes if shape.place == name]
        cores = [shape.cores for shape in mine] + _limit(fields.get("MaxCPUsPerNode", ""))
        memory = [shape.memory_mib for shape in mine]
        places.append(
            Place(
                name=name,
                is_open=fields.get("State", "UP") == "UP",
                max_seconds=seconds_in_form(fields.get("MaxTime", ""), "slurm"),
                max_cores=min([max(shape.cores for shape in mine), *cores[len(mine) :]]) if mine else None,
                max_memory=min([max(memory), *_limit(fields.get("MaxMemPerNode", ""))]) * 2**20 if mine else None,
                is_default=fields.get("Default") == "YES",
            )
        )
    return places


def _limit(word: str) -> list[int]:
    return [int(word)] if word.isdigit() and int(word) else []


def hint_of(words: str, place: str, places: Sequence[Place]) -> str:
    """Say what to do about a refusal; empty where only Slurm's own words help.

    Examples
    --------
    >>> hint_of("invalid partition specified: nornal", "nornal", [Place("normal", is_default=True), Place("gpu")])
    "Partitions here: normal (default), gpu; did you mean 'normal'?"
    """
    low = words.lower()
    if "qos" in low or "policy" in low or ("submit" in low and "limit" in low):
        return "Ask for fewer workers, less memory or a shorter walltime: `sacctmgr show qos` has the limits."
    if "partition" in low and "account" not in low:
        wrong = place or words.rpartition(":")[2].strip()
        return nearest_of(wrong, places, "Partitions") or "`sinfo` lists the partitions."
    if "node configuration" in low or "memory specification" in low or "cpu count" in low or "node count" in low:
        return largest(places, place) or "`sinfo -e -o '%R %c %m'` lists the nodes."
    if "time limit" in low or "--time" in low:
        limits = [f"{p.name} {in_words(p.max_seconds)}" for p in places if p.max_seconds is not None]
        return f"Longest walltimes: {', '.join(limits)}." if limits else ""
    if "account" in low:
        return "Set account = '...' to one of yours: `sacctmgr show associations user=$USER format=account,partition`."
    if "unrecognized option" in low or "invalid --" in low:
        return "Look at the lines under directives: `daskflow run ... --dry-run` prints the whole script."
    if "contact slurm controller" in low or "socket timed out" in low:
        return "Slurm's controller does not answer: `scontrol ping` tells; try later."
    return ""


def refusals_of(request: Request, fields: Mapping[str, str], place: Place, shapes: Sequence[Shape]) -> list[str]:
    """Say why a partition would refuse such a job, or let it wait for ever."""
    refused = beyond(request, place, "partition", fields.get("State", "").lower() or "closed")
    is_within = (place.max_cores is None or request.cores <= place.max_cores) and (
        place.max_memory is None or request.memory_bytes <= place.max_memory
    )
    mib = request.memory_bytes / 2**20
    if is_within and shapes and not any(s.cores >= request.cores and s.memory_mib >= mib for s in shapes):
        refused.append(
            f"No node of partition '{place.name}' has both {cores_in_words(request.cores)} and "
            f"{format_bytes(request.memory_bytes)}."
        )
    return refused


def id_of(answer: Answer) -> str:
    """Return the ID that ``sbatch --parsable`` prints, on a line of its own, behind what a site's wrapper may say."""
    found = [line.strip() for line in answer.out.splitlines() if re.fullmatch(r"\d+(;\S+)?", line.strip())]
    return found[-1].partition(";")[0] if found else ""
