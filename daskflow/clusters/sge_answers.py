"""Read what Grid Engine's commands answer: jobs, endings, queues, refusals; no command is run here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from dask.utils import format_bytes

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, QueueError
from daskflow.clusters.batch_looks import DELETED
from daskflow.clusters.batch_places import in_words, largest, nearest_of
from daskflow.clusters.walltimes import seconds_in_form

_STATES = {
    "qw": "it waits for a slot (qw)",
    "hqw": "it is held (hqw)",
    "Rq": "it waits to be started again (Rq)",
}

_ENFORCED, _REQUEUED, _SIGNALLED = 37, (24, 25, 30), 100
"""``failed`` of the accounting: a limit that the queue enforces, started again elsewhere, ended by a signal."""

_KILLED = 128 + 9

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def tree_of(text: str, command: str) -> ElementTree.Element:
    """Return an answer that is XML.

    Raises
    ------
    QueueError
        When it is none.
    """
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise QueueError(f"{command} answers what cannot be read ({error}): {text[:200]!r}.") from error


def jobs_of(tree: ElementTree.Element, tail: str = "") -> dict[str, Job]:
    """Return the jobs that ``qstat -r -g d -xml`` tells of.

    Parameters
    ----------
    tree : Element
        The answer.
    tail : str
        Only jobs whose name ends so.
    """
    jobs = {}
    for row in tree.iter("job_list"):
        number, task = _text(row, "JB_job_number"), _text(row, "tasks")
        name = _text(row, "full_job_name") or _text(row, "JB_name")
        if not number or not name.endswith(tail):
            continue
        id, word = f"{number}.{task}" if task else number, _text(row, "state")
        state = state_of(word)
        waits = state is JobState.PENDING
        began = None if waits else time_of(_text(row, "JAT_start_time"))
        seconds = next((_text(ask) for ask in row.iter("hard_request") if ask.get("name") in ("h_rt", "s_rt")), "")
        lasts = seconds_in_form(seconds.partition(".")[0], "clock") if seconds else None
        jobs[id] = Job(
            id=id,
            state=state,
            reason=reason_of(word) if waits else DELETED if "d" in word else "",
            began_at=began,
            ends_at=began + lasts if began is not None and lasts is not None else None,
            node=_text(row, "queue_name").rpartition("@")[2],
            is_hopeless=waits and "E" in word,
        )
    return jobs


def _text(element: ElementTree.Element, name: str = "") -> str:
    return (element.findtext(name) if name else element.text or "") or ""


def state_of(word: str) -> JobState:
    """Return how far a job is; one that is being deleted runs until it is gone.

    Examples
    --------
    >>> str(state_of("qw")), str(state_of("Eqw")), str(state_of("dr")), str(state_of("t")), str(state_of("Rr"))
    ('pending', 'pending', 'running', 'running', 'running')
    """
    return JobState.PENDING if "q" in word or "w" in word else JobState.RUNNING


def reason_of(word: str) -> str:
    """Say what a pending job waits for.

    Examples
    --------
    >>> reason_of("hqw"), reason_of("Eqw")
    ('it is held (hqw)', 'Grid Engine could not start it (Eqw)')
    """
    return f"Grid Engine could not start it ({word})" if "E" in word else _STATES.get(word, f"it waits ({word})")


def time_of(text: str) -> float | None:
    """Return a local time in seconds since 1970; None for none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def ids_of(text: str) -> list[str]:
    """Return the IDs that ``qsub -terse`` prints, on a line of its own, behind what a site's verifier may say.

    Examples
    --------
    >>> ids_of("welcome\\n24"), ids_of("24.1-3:1"), ids_of("oops")
    (['24'], ['24.1', '24.2', '24.3'], [])
    """
    found = re.findall(r"^\s*(\d+)(?:\.(\d+)-(\d+):(\d+))?\s*$", text, re.MULTILINE)
    if not found:
        return []
    job, first, last, step = found[-1]
    return [f"{job}.{task}" for task in range(int(first), int(last) + 1, int(step))] if first else [job]


def error_of(text: str) -> str:
    """Return why Grid Engine could not start a job, from ``qstat -j``; empty where it does not say."""
    found = re.search(r"^error reason\s+\d+:\s+(?:\S+ \S+ \[\S+\]: )?(?:error: )?(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def record_of(text: str, task: str) -> dict[str, str]:
    """Return a job's record from ``qacct -j``: of several with the same number, or started again, the last."""
    records = []
    for block in re.split(r"^=+$", text, flags=re.MULTILINE):
        fields = dict(re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", block, re.MULTILINE))
        if fields.get("jobnumber") and fields.get("taskid", "undefined") == (task or "undefined"):
            records.append(fields)
    return records[-1] if records else {}


def ending_of(id: str, record: dict[str, str], log: str) -> Ending:
    """Say how a job ended, by its record.

    Parameters
    ----------
    id : str
        The job's ID.
    record : dict
        Of the accounting.
    log : str
        The end of the job's log.
    """
    number, _, said = (part.strip() for part in record.get("failed", "0").partition(":"))
    failed, code = _whole(number), _whole(record.get("exit_status", "0"))
    own = f" (Grid Engine: {said})" if said else ""
    asked = record.get("category", "")
    limit, used = _bytes_after("h_vmem", asked), size_of(record.get("maxvmem", ""))
    lasted = _whole(record.get("ru_wallclock", "0").rstrip("s").partition(".")[0])
    walltime = _seconds_after("h_rt", asked) or _seconds_after("s_rt", asked)
    over_memory = limit is not None and used >= 0.95 * limit
    if over_memory and (failed in (_ENFORCED, _SIGNALLED) or code):
        assert limit is not None
        words = f"it was killed for using {format_bytes(used)} of memory where it had asked for {format_bytes(limit)}"
        return Ending("memory", f"Job {id}: {words}{own}.", None, log)
    if failed in (_ENFORCED, _SIGNALLED) and walltime is not None and lasted >= walltime - 1:
        return Ending("walltime", f"Job {id}: its walltime of {in_words(walltime)} was over{own}.", None, log)
    if failed in _REQUEUED:
        return Ending("node", f"Job {id}: Grid Engine took it from its node{own}.", None, log)
    if failed == _ENFORCED:
        return Ending("walltime", f"Job {id}: a limit of its queue was over{own}.", None, log)
    if failed == _SIGNALLED and code == _KILLED:
        return Ending("cancelled", f"Job {id}: it was ended by signal 9, as by qdel{own}.", None, log)
    if failed == _SIGNALLED:
        return Ending("failed", f"Job {id}: it was ended by signal {max(0, code - 128)}{own}.", None, log)
    if failed:
        return Ending("failed", f"Job {id}: Grid Engine could not run it{own}.", None, log)
    if code:
        return Ending("failed", f"Job {id}: it failed with exit code {code}.", code, log)
    return Ending("done", f"Job {id} ended by itself.", 0, log)


def _whole(text: str) -> int:
    found = re.match(r"\s*(\d+)", text)
    return int(found[1]) if found else 0


def _seconds_after(word: str, asked: str) -> float | None:
    found = re.search(rf"\b{word}=([\d:]+)", asked)
    return seconds_in_form(found[1], "clock") if found else None


def _bytes_after(word: str, asked: str) -> int | None:
    found = re.search(rf"\b{word}=([\d.]+[KMGTkmgt]?)", asked)
    return size_of(found[1]) or None if found else None


def size_of(text: str) -> int:
    """Return the bytes that Grid Engine's words say; 0 where they say none.

    Examples
    --------
    >>> size_of("5.230MB"), size_of("2G"), size_of("0.000B"), size_of("INFINITY")
    (5484052, 2147483648, 0, 0)
    """
    found = re.match(r"\s*(\d+(?:\.\d+)?)([KMGTkmgt]?)", text)
    return int(float(found[1]) * _UNITS.get(found[2], 1)) if found else 0


def places_of(queues: str, hosts: ElementTree.Element) -> list[Place]:
    """Return the queues with the limits of their largest hosts.

    Parameters
    ----------
    queues : str
        What ``qconf -sq '*'`` prints.
    hosts : Element
        What ``qhost -q -F mem_total -xml`` tells.
    """
    shapes: dict[str, list[tuple[int, int | None, str]]] = {}
    for host in hosts.iter("host"):
        memory = next((_text(value) for value in host.iter("resourcevalue") if value.get("name") == "mem_total"), "")
        for queue in host.iter("queue"):
            values = {str(value.get("name")): _text(value) for value in queue.iter("queuevalue")}
            shape = _whole(values.get("slots", "")), size_of(memory) or None, values.get("state_string", "")
            shapes.setdefault(str(queue.get("name")), []).append(shape)
    places = []
    for fields in _configurations(queues):
        mine = shapes.get(fields["qname"], [])
        memories = [memory for _, memory, _ in mine]
        places.append(
            Place(
                name=fields["qname"],
                is_open=not mine or any(not re.search("[dsuEDSoc]", state) for _, _, state in mine),
                max_seconds=_longest(fields.get("h_rt", "")),
                max_cores=max((slots for slots, _, _ in mine), default=0) or None,
                max_memory=max(m for m in memories if m is not None) if memories and None not in memories else None,
            )
        )
    return places


def _configurations(queues: str) -> list[dict[str, str]]:
    """Fields of each queue; a value that goes on in the next line ends with a backslash."""
    found: list[dict[str, str]] = []
    for line in re.sub(r"\\\n\s*", "", queues).splitlines():
        name, _, value = line.partition(" ")
        if name == "qname":
            found.append({})
        if found and value.strip():
            found[-1][name] = value.strip()
    return found


def _longest(text: str) -> float | None:
    """Walltime of a queue: of ``INFINITY,[@big=24:00:00]`` the longest; None for no limit."""
    limits = [seconds_in_form(word, "clock") for word in re.findall(r"[\w:]+(?=[\],]|$)", text)]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def hint_of(words: str, place: str, places: Sequence[Place]) -> str:
    """Say what to do about a refusal; empty where only Grid Engine's own words help.

    Examples
    --------
    >>> hint_of('job requests unknown queue "al.q"', "al.q", [Place("all.q"), Place("gpu.q")])
    "Queues here: all.q, gpu.q; did you mean 'all.q'?"
    """
    low = words.lower()
    if "unknown queue" in low:
        return nearest_of(place, places, "Queues") or "`qconf -sql` lists the queues."
    if "unable to send message" in low or "commlib error" in low:
        return "Grid Engine's qmaster does not answer: `qstat` tells; try later."
    if "not a submit host" in low or "no submit host" in low:
        return "Jobs can be handed in from submit hosts only: `qconf -ss` lists them, `qconf -as HOST` adds one."
    if "parallel environment" in low or "cannot run in pe" in low:
        return "Set parallel_environment = '...' to one that gives so many cores on one host: `qconf -spl` lists them."
    if "unknown resource" in low:
        return "Set memory_resource (or resource_spec) to words of this site: `qconf -sc` lists them; '' asks for none."
    if "project" in low:
        return "Set account = '...' to one of yours: `qconf -sprjl` lists the projects."
    if "no suitable queues" in low:
        return largest(places, place) or "`qhost -q` lists the hosts and what they have."
    if "invalid option" in low or "unknown option" in low:
        return "Look at the lines under directives: `daskflow run ... --dry-run` prints the whole script."
    if "max_u_jobs" in low or "limit" in low:
        return "Ask for fewer workers: `qconf -sconf` has the limits."
    return ""


def unknown_resources(words: str) -> set[str]:
    """Return what ``qsub -w v`` calls unknown: also resources of which hosts tell the load only.

    Examples
    --------
    >>> sorted(unknown_resources('queue "a@b" because job requests unknown resource (mem_free)'))
    ['mem_free']
    """
    return set(re.findall(r"requests unknown resource \((\w+)\)", words))
