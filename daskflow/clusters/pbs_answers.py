"""Read what PBS's commands answer, of OpenPBS, PBS Professional and Torque alike; no command is run here.

All of them print the same text for ``qstat -f``: a heading for each job and lines ``name = value``, of which long ones
go on behind a tab. Their other forms (JSON of the one, XML of the other) say no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from dask.utils import format_bytes

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place
from daskflow.clusters.batch_places import in_words, largest, nearest_of
from daskflow.clusters.walltimes import seconds_in_form

Fields = Mapping[str, str]

_PENDING, _ENDED = frozenset("QHWTM"), frozenset("EFCX")

_MEANING = {
    "Q": "it waits in the queue (Q)",
    "H": "it is held (H)",
    "W": "its time to begin has not come (W)",
    "T": "it is moved to another place (T)",
    "M": "it was moved to another server (M)",
}

_ENFORCED = {
    -10: ("memory", "it used more memory than it asked for"),
    -11: ("walltime", "its walltime was over"),
    -12: ("walltime", "its processor time was over"),
    -26: ("memory", "it used more memory than it asked for"),
    -27: ("memory", "it used more memory than it asked for"),
    -28: ("walltime", "its processor time was over"),
    -29: ("walltime", "its walltime was over"),
}
"""Exit codes below zero of limits that PBS enforces; -10 to -12 are Torque's, the others PBS Professional's."""

_TOLD = (
    ("memory", re.compile(r"PBS: job killed: (?:mem|vmem|pmem|pvmem)\b.*", re.IGNORECASE)),
    ("memory", re.compile(r"exceeded (?:job |step )?memory limit.*|(?:oom[-_ ]kill|out of memory).*", re.IGNORECASE)),
    ("walltime", re.compile(r"PBS: job killed: (?:walltime|cput)\b.*", re.IGNORECASE)),
    ("walltime", re.compile(r"CANCELLED AT \S+ DUE TO TIME LIMIT", re.IGNORECASE)),
    ("node", re.compile(r"PBS: job killed: node .*|CANCELLED AT \S+ DUE TO NODE FAILURE", re.IGNORECASE)),
    ("cancelled", re.compile(r"CANCELLED AT \S+", re.IGNORECASE)),
)
"""What PBS, or a Slurm that plays PBS, writes at the end of a job's output, in the order in which it counts."""

_SIGNAL = 256
"""Exit codes from here on are a signal's number more (PBS Professional; Torque adds 256, too)."""

_MULTIPLES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}


def blocks_of(text: str, heading: str) -> dict[str, dict[str, str]]:
    """Return the ``name = value`` lines behind each heading, by what the heading names.

    Examples
    --------
    >>> blocks_of("Job Id: 5.srv\\n    Variable_List = A=1,\\n\\tB=2\\n\\nJob Id: 6.srv\\n", "Job Id")
    {'5.srv': {'Variable_List': 'A=1,B=2'}, '6.srv': {}}
    """
    blocks: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if (head := re.match(rf"{heading}:\s*(\S+)", line)) is not None:
            fields, name = blocks.setdefault(head[1], {}), ""
        elif (said := re.match(r"\s+([A-Za-z_][\w.]*) = (.*)$", line)) is not None:
            name = said[1]
            fields[name] = said[2]
        elif name and line.strip():
            fields[name] += line.lstrip("\t").removesuffix("\r")
    return blocks


def id_of(word: str) -> str:
    """Return a job's number, of an array's element with its index: what stands before the server's name.

    Examples
    --------
    >>> id_of("123.pbs01.site.org"), id_of("123[4].pbs01"), id_of("123")
    ('123', '123[4]', '123')
    """
    return word.strip().partition(".")[0]


def id_printed(text: str) -> str:
    """Return the ID that ``qsub`` prints, on a line of its own, behind what a site's hook may say; empty for none.

    Examples
    --------
    >>> id_printed("Your quota: 5%\\n123[].pbs01"), id_printed("no job")
    ('123[].pbs01', '')
    """
    found = [line.strip() for line in text.splitlines() if re.fullmatch(r"\d+(\[\])?(\.\S+)?", line.strip())]
    return found[-1] if found else ""


def job_of(word: str, fields: Fields, *, is_slurm: bool = False) -> Job:
    """Return a job from its lines.

    Parameters
    ----------
    word : str
        Its ID as PBS prints it.
    fields : mapping
        Its lines.
    is_slurm : bool
        Whether a Slurm plays PBS: its ``mtime`` is when a job began.
    """
    letter = fields.get("job_state", "")
    waits, is_over = letter in _PENDING, letter in _ENDED
    state = JobState.PENDING if waits else JobState.ENDED if is_over else JobState.RUNNING
    names = ("stime", "start_time", *(("mtime",) if is_slurm else ()))
    began = next((time for name in names if (time := time_of(fields.get(name, ""))) is not None), None)
    lasts = seconds_in_form(fields.get("Resource_List.walltime", ""), "clock")
    comment = fields.get("comment", "")
    return Job(
        id=id_of(word),
        state=state,
        reason=(comment or _MEANING.get(letter, letter)) if waits else "",
        starts_at=time_of(fields.get("estimated.start_time", "")) if waits else None,
        began_at=None if waits else began,
        ends_at=began + lasts if began is not None and lasts is not None and state is JobState.RUNNING else None,
        node=re.split(r"[/+:]", fields.get("exec_host", ""))[0],
        is_hopeless=waits and "can never run" in comment.lower(),
    )


def jobs_of(blocks: Mapping[str, Fields], *, is_slurm: bool = False) -> dict[str, Job]:
    """Return the jobs that are no arrays; the elements of arrays are."""
    jobs = [job_of(word, fields, is_slurm=is_slurm) for word, fields in blocks.items()]
    return {job.id: job for job in jobs if not job.id.endswith("[]")}


def elements_of(array: Job, ids: Sequence[str]) -> dict[str, Job]:
    """Return elements of an array that has not begun, which some PBS do not list one by one."""
    return {id: replace(array, id=id) for id in ids}


def is_of_run(fields: Fields, mark: str, tail: str) -> bool:
    """Return whether a job is of a run: by its variable, or, where that is not told, by the end of its name.

    Examples
    --------
    >>> is_of_run({"Variable_List": "PBS_O_HOME=/home/me,DASKFLOW_RUN=0a-1b"}, "0a-1b", "-1b")
    True
    """
    if (found := re.search(r"(?:^|,)DASKFLOW_RUN=([^,]*)", fields.get("Variable_List", ""))) is not None:
        return found[1].strip() == mark
    return bool(tail) and fields.get("Job_Name", "").endswith(tail)


def time_of(text: str) -> float | None:
    """Return a local time such as ``Mon Nov 30 13:13:33 2026``, or seconds since 1970; None for none."""
    if re.fullmatch(r"\d{9,}", text):
        return float(text)
    try:
        return datetime.strptime(text.strip(), "%a %b %d %H:%M:%S %Y").timestamp()
    except ValueError:
        return None


def size_of(text: str) -> int | None:
    """Return the bytes of a size such as ``4194304kb``; None for none.

    Examples
    --------
    >>> size_of("4gb"), size_of("512mw"), size_of("x")
    (4294967296, 4294967296, None)
    """
    found = re.fullmatch(r"(\d+)([kmgtp]?)([bw]?)", text.strip().lower())
    return int(found[1]) * _MULTIPLES[found[2]] * (8 if found[3] == "w" else 1) if found else None


def ending_of(id: str, fields: Fields, log: str) -> Ending | None:
    """Say how a job ended, by what PBS remembers of it and by its log; None where neither says anything.

    Parameters
    ----------
    id : str
        The job's ID.
    fields : mapping
        Its lines of ``qstat -x -f``; empty where PBS remembers none.
    log : str
        The end of the job's log, and of what PBS wrote about it.
    """
    said = next(((why, found[0]) for why, rule in _TOLD if (found := rule.search(log))), None)
    if said is not None and said[0] == "memory":
        return Ending("memory", f"Job {id}: it was killed for its memory (PBS: {said[1]}).", None, log)
    word = fields.get("Exit_status", fields.get("exit_status", ""))
    if said is not None and not word:
        return Ending(said[0], f"Job {id} was ended (PBS: {said[1]}).", None, log)
    if not re.fullmatch(r"-?\d+", word):
        return None
    code = int(word)
    own = f" (PBS: exit status {code}{'; ' + fields['comment'] if 'comment' in fields else ''})"
    if code in _ENFORCED:
        why, words = _ENFORCED[code]
        return Ending(why, f"Job {id}: {words}{own}.", None, log)
    asked = seconds_in_form(fields.get("Resource_List.walltime", ""), "clock")
    lasted = seconds_in_form(fields.get("resources_used.walltime", ""), "clock")
    is_signal = code >= _SIGNAL or 128 < code <= 128 + 64
    if said is not None and said[0] == "walltime":
        return Ending("walltime", f"Job {id}: its walltime was over (PBS: {said[1]}).", None, log)
    if is_signal and asked is not None and lasted is not None and lasted >= asked - 1:
        return Ending("walltime", f"Job {id}: its walltime of {in_words(asked)} was over{own}.", None, log)
    limit, used = (size_of(fields.get(f"{group}.mem", "")) for group in ("Resource_List", "resources_used"))
    if is_signal and limit and used and used >= limit:
        words = f"it was killed for using {format_bytes(used)} of memory where it had asked for {format_bytes(limit)}"
        return Ending("memory", f"Job {id}: {words}{own}.", None, log)
    if code < 0:
        return Ending("node", f"Job {id}: PBS could not run it, or took it from its node{own}.", None, log)
    if code in (_SIGNAL + 9, _SIGNAL + 15):
        return Ending("cancelled", f"Job {id}: it was ended by signal {code - _SIGNAL}, as by qdel{own}.", None, log)
    if is_signal:
        return Ending("failed", f"Job {id}: it was ended by signal {code % 128}{own}.", None, log)
    if code:
        return Ending("failed", f"Job {id}: it failed with exit code {code}.", code, log)
    return Ending("done", f"Job {id} ended by itself.", 0, log)


def places_of(queues: Mapping[str, Fields], server: Fields, nodes: Mapping[str, Fields]) -> list[Place]:
    """Return the queues with their limits; of cores and memory not more than the largest node has.

    Parameters
    ----------
    queues : mapping
        What ``qstat -Q -f`` prints.
    server : mapping
        What ``qstat -B -f`` prints of the server; empty where it is not known.
    nodes : mapping
        What ``pbsnodes -a`` prints; empty where it is not known.
    """
    cores = [number for node in nodes.values() if (number := _cores_of(node))]
    memory = [size for node in nodes.values() if (size := _memory_of(node))]
    places = []
    for name, fields in queues.items():
        is_open = all(fields.get(word, "True").lower() in ("true", "yes") for word in ("enabled", "started"))
        most = [int(n) for word in ("ncpus", "procct") if (n := fields.get(f"resources_max.{word}", "")).isdigit()]
        sizes = [size for word in ("mem",) if (size := size_of(fields.get(f"resources_max.{word}", ""))) is not None]
        places.append(
            Place(
                name=name,
                is_open=is_open,
                max_seconds=seconds_in_form(fields.get("resources_max.walltime", ""), "clock"),
                max_cores=min([*most, *([max(cores)] if cores else [])], default=None),
                max_memory=min([*sizes, *([max(memory)] if memory else [])], default=None),
                is_default=server.get("default_queue") == name,
            )
        )
    return places


def nodes_of(text: str) -> dict[str, dict[str, str]]:
    """Return the lines of each node that ``pbsnodes -a`` prints: its name stands at the beginning of a line."""
    return blocks_of(re.sub(r"^(\S+)[ \t]*$", r"Node: \1", text, flags=re.MULTILINE), "Node")


def _cores_of(node: Fields) -> int:
    said = [node.get(word, "") for word in ("resources_available.ncpus", "np", "pcpus")]
    return next((int(word) for word in said if word.isdigit()), 0)


def _memory_of(node: Fields) -> int | None:
    found = re.search(r"physmem=(\w+)", node.get("status", ""))
    return size_of(node.get("resources_available.mem", "") or (found[1] if found else ""))


def hint_of(words: str, place: str, places: Sequence[Place]) -> str:
    """Say what to do about a refusal; empty where only PBS's own words help.

    Examples
    --------
    >>> hint_of("Unknown queue", "wrkq", [Place("workq", is_default=True), Place("gpu")])
    "Queues here: workq (default), gpu; did you mean 'workq'?"
    """
    low = words.lower()
    if "unknown queue" in low or "partition" in low:
        return nearest_of(place, places, "Queues") or "`qstat -Q` lists the queues."
    if "cannot connect" in low or "no permission" in low or "connection refused" in low:
        return "PBS's server does not answer: `qstat -B` tells; try later."
    if "maximum number" in low or "would exceed" in low or "exceeds limit" in low or "per-user limit" in low:
        return "Ask for fewer workers: `qstat -Q -f` has the limits."
    if "limits" in low or "feasible" in low or "walltime" in low or "node configuration" in low:
        limits = [f"{p.name} {in_words(p.max_seconds)}" for p in places if p.max_seconds is not None]
        longest = f"Longest walltimes: {', '.join(limits)}." if limits else ""
        return f"{largest(places, place)} {longest}".strip() or "`qstat -Q -f` has the limits of the queues."
    if "not enabled" in low:
        return "The queue takes no jobs now: `qstat -Q` lists those that do."
    if "resource" in low or "select" in low:
        return (
            "Set resource_spec to what this PBS knows: 'select=1:ncpus=4:mem=16gb' of OpenPBS and PBS Professional, "
            "'nodes=1:ppn=4,mem=16gb' of Torque."
        )
    if "account" in low or "project" in low:
        return "Set account = '...' to one of yours."
    if "bad uid" in low or "unauthorized" in low:
        return "PBS does not run jobs of this user from this machine: is it a login node of the cluster?"
    if "illegal" in low or "invalid option" in low or "unknown option" in low:
        return "Look at the lines under directives: `daskflow run ... --dry-run` prints the whole script."
    return ""
