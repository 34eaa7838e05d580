"""Slurm's queue, asked by its commands: sbatch, squeue, scontrol, sinfo, sacct, scancel."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from daskflow.clusters.batch_commands import Answer, for_jobs, run, tail, without_secrets
from daskflow.clusters.batch_jobs import Ending, Job, Place, QueueError, Request
from daskflow.clusters.fleet_words import is_full
from daskflow.clusters.slurm_answers import (
    JOB_COLUMNS,
    SHAPE_COLUMNS,
    Shape,
    ending_of,
    fields_of,
    hint_of,
    id_of,
    jobs_of,
    places_of,
    refusals_of,
    shapes_of,
)

LOOK_SECONDS = 1.0
"""An answer of squeue is that old at most; who asks again meanwhile gets the same."""

PLACES_SECONDS = 60.0
"""Partitions hardly change; refusals name them again and again."""

MOST_NAMED = 5000
"""Jobs that are named one by one; an argument of more would be too long, and all of the user's are asked for."""

ARRAY_SIZE = 1000
"""Elements of one array; Slurm's own default lets an index be 1000 at most."""

COMPLETING_LOOKS = 6
"""How often, each half a second, a job is looked at that is being cleaned up: only then its ending is told."""

PARTITION, OUTPUT, ERROR = ("-p", "--partition"), ("-o", "--output"), ("-e", "--error")

KEPT_DEFAULTS = {
    "SBATCH_ACCOUNT": ("-A", "--account"),
    "SBATCH_PARTITION": PARTITION,
    "SBATCH_QOS": ("-q", "--qos"),
    "SBATCH_RESERVATION": ("", "--reservation"),
    "SBATCH_CONSTRAINT": ("-C", "--constraint"),
}
"""Defaults of a user that count where the script is silent. sbatch itself lets them win over the script's lines."""

_FEWER = re.compile(r"(?P<array>\barray\b)|qos|policy|submit limit|MaxSubmit|MaxJobs", re.IGNORECASE)
"""What is said of many jobs that may be accepted when they are fewer, or are no array."""

_WAITS_ONLY = ("required node not available", "requested nodes are busy", "node(s) in powered down state")
"""What ``--test-only`` says of jobs that sbatch accepts and that start one day."""


class SlurmQueue:
    """A Slurm, as `batch_jobs.Queue` asks it.

    Notes
    -----
    The IDs of an array's elements are ``JOB_INDEX``, as ``${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}`` names them in
    the job. Variables of a job in which this process runs (``SLURM_MEM_PER_NODE`` and so on) do not reach the jobs that
    it submits.
    """

    def __init__(self) -> None:
        """Know nothing yet; nothing is asked before the first call."""
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_SECONDS
        self._looked_for: set[str] = set()
        self._seen: dict[str, Job] = {}
        self._places: tuple[float, list[dict[str, str]], list[Shape]] | None = None
        self._logs: dict[str, str] = {}
        self._has_accounting = True

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal ones as an array; where there are no arrays, one after the other.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: sbatch's own words, and a hint.
        """
        ids: list[str] = []
        size, environment = ARRAY_SIZE, _environment_of(script)
        while len(ids) < count:
            size = min(size, count - len(ids))
            try:
                ids += await self._submit(script, size, environment)
            except QueueError as error:
                if size > 1 and (fewer := _FEWER.search(str(error))):
                    size = 1 if fewer["array"] else size // 2
                elif ids:
                    break
                else:
                    raise
        return ids

    async def _submit(self, script: str, count: int, environment: Mapping[str, str]) -> list[str]:
        logs = {flag[1]: option(script, *flag) for flag in (OUTPUT, ERROR)}
        more = []
        if count > 1:
            # An element's log is named by its ID, too: %j would be a number of its own that nobody is told.
            logs = {flag: re.sub(r"(?<!%)((?:%%)*)%[jJ]", r"\1%A_%a", log) for flag, log in logs.items()}
            more = [f"--array=0-{count - 1}", *[f"{flag}={log}" for flag, log in logs.items() if log]]
        answer = await run(["sbatch", "--parsable", *more], script=script, environment=environment)
        job = id_of(answer) if answer.code == 0 else ""
        if not job:
            raise QueueError(await self._refused(answer, option(script, *PARTITION)))
        ids = [f"{job}_{index}" for index in range(count)] if count > 1 else [job]
        if pattern := logs["--error"] or logs["--output"]:
            self._logs |= dict.fromkeys(ids, pattern)
        return ids

    async def _refused(self, answer: Answer, place: str) -> str:
        """One line: sbatch's words, and what to do."""
        try:
            places = await self.places()
        except QueueError:  # the hint is what lacks then; the refusal counts
            places = []
        hint = hint_of(answer.words, place, places)
        return f"Slurm refused the job: {answer.words}." + (f" {hint}" if hint else "")

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one squeue; those that Slurm knows no more are absent.

        Raises
        ------
        QueueError
            When Slurm does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        wanted = set(ids)
        async with self._looking:
            if not wanted <= self._looked_for or time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._seen = await self._look(wanted) if wanted else {}
                self._looked_for, self._looked_at = wanted, time.monotonic()
            return {id: job for id, job in self._seen.items() if id in wanted}

    async def _look(self, ids: set[str]) -> dict[str, Job]:
        # Of arrays the whole is asked for: a name for each element would make a long command of many elements.
        jobs = sorted({id.partition("_")[0] for id in ids})
        which = f"--jobs={','.join(jobs)}" if len(jobs) <= MOST_NAMED else f"--user={getpass.getuser()}"
        command = [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            f"--format={JOB_COLUMNS}",
            which,
        ]
        answer = await run(command, environment=_asking())
        if answer.code != 0 and "invalid job id" not in answer.err.lower():
            raise QueueError(f"squeue does not say how the jobs are: {answer.words}. {hint_of(answer.words, '', [])}")
        return jobs_of(answer.out, ids)

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs whose comment is a run's, by one squeue.

        Raises
        ------
        QueueError
            When Slurm does not answer.
        """
        command = [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            f"--user={getpass.getuser()}",
            f"--format=%k|{JOB_COLUMNS}",
        ]
        answer = await run(command, environment=_asking())
        if answer.code != 0:
            raise QueueError(f"squeue does not say how the jobs are: {answer.words}. {hint_of(answer.words, '', [])}")
        head = f"daskflow:{mark}|"
        lines = [line.removeprefix(head) for line in answer.out.splitlines() if line.startswith(head)]
        return jobs_of("\n".join(lines), [line.partition("|")[0] for line in lines])

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by scontrol while Slurm remembers it, by sacct where there is one, and by its log."""
        fields: dict[str, str] = {}
        for _ in range(COMPLETING_LOOKS):
            try:
                answer = await run(["scontrol", "--oneliner", "show", "job", id], environment=_asking())
            except QueueError as error:
                return Ending(
                    "unknown", f"Slurm does not say how job {id} ended: {error}", None, await self._log_of(id, {})
                )
            fields = next(iter(fields_of(answer.out)), {}) if answer.code == 0 else {}
            if fields.get("JobState") != "COMPLETING":
                break
            await asyncio.sleep(0.5)
        state, exit, reason = (fields.get(name, "") for name in ("JobState", "ExitCode", "Reason"))
        log = await self._log_of(id, fields)
        if not state:
            state, exit = await self._accounted(id)
        if state in ("PENDING", "RUNNING"):
            if fields.get("Restarts", "0") != "0" and state == "PENDING":
                return Ending(
                    "node", f"Job {id}: Slurm took it from its node and queued it again ({reason}).", None, log
                )
            return Ending("unknown", f"Job {id} has not ended: Slurm says {state}.", None, log)
        return ending_of(id, state, exit, reason, log)

    async def _log_of(self, id: str, fields: Mapping[str, str]) -> str:
        paths = [fields.get("StdErr", ""), fields.get("StdOut", ""), self._logs.get(id, "")]
        job, _, index = id.partition("_")
        known = {"j": fields.get("JobId", id), "J": fields.get("JobId", id), "A": job, "a": index, "%": "%"}
        for path in dict.fromkeys(re.sub(r"%([jJAa%])", lambda found: known[found[1]], path) for path in paths):
            if path and path != "/dev/null" and (text := await tail(path)):
                return text
        return ""

    async def _accounted(self, id: str) -> tuple[str, str]:
        """State and exit code from the accounting; empty where there is none."""
        if not self._has_accounting:
            return "", ""
        command = [
            "sacct",
            "--allocations",
            "--noheader",
            "--parsable2",
            "--format=JobID,State,ExitCode",
            f"--jobs={id}",
        ]
        try:
            answer = await run(command, environment=_asking())
        except QueueError:
            answer = Answer(1, "", "")
        if answer.code != 0:
            self._has_accounting = False
        for line in answer.out.splitlines():
            job, _, rest = line.partition("|")
            state, _, exit = rest.partition("|")
            if job == id and state:
                return state.split()[0], exit  # "CANCELLED by 1000"
        return "", ""

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one scancel; those that are gone are no error.

        Raises
        ------
        QueueError
            When Slurm does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        self._looked_for = set()
        answer = await run(["scancel", *_together(ids)], environment=_asking())
        said = [line for line in answer.err.splitlines() if not re.search("invalid job id|already complet", line, re.I)]
        if answer.code != 0 and said:
            words = Answer(answer.code, "", "\n".join(said)).words
            raise QueueError(f"scancel has not ended the jobs: {words}. {hint_of(words, '', [])}".rstrip())

    async def places(self) -> list[Place]:
        """Return the partitions, with the limits of their largest nodes."""
        partitions, shapes = await self._nodes()
        return places_of(partitions, shapes)

    async def _nodes(self) -> tuple[list[dict[str, str]], list[Shape]]:
        if self._places is None or time.monotonic() - self._places[0] > PLACES_SECONDS:
            asked = [
                ["scontrol", "--oneliner", "show", "partition"],
                ["sinfo", "--noheader", "--exact", f"--format={SHAPE_COLUMNS}"],
            ]
            answers = []
            for command in asked:  # of two at once, the second would be left alone when the first fails
                answers.append(await run(command, environment=_asking()))
                if answers[-1].code != 0:
                    raise QueueError(f"Slurm does not tell its partitions: {answers[-1].words}.")
            partitions, nodes = answers
            self._places = time.monotonic(), fields_of(partitions.out), shapes_of(nodes.out)
        return self._places[1:]

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say what Slurm would refuse, or would accept and never start.

        sbatch accepts jobs that no node can hold, that want more time than their partition gives, and those of closed
        partitions, unless the site says otherwise (``EnforcePartLimits``): they wait for ever. So the request is held
        against the partition's own limits too. Of several partitions (``a,b``) one that takes the job is enough.
        """
        environment = _environment_of(script)
        asked = request.place or option(script, *PARTITION)
        asked = asked or environment.get("SBATCH_PARTITION", "")
        partitions, shapes = await self._nodes()
        places = {place.name: place for place in places_of(partitions, shapes)}
        limits = {fields.get("PartitionName", ""): fields for fields in partitions}
        names = asked.split(",") if asked else [name for name, place in places.items() if place.is_default]
        found = [
            refusals_of(request, limits[name], places[name], [shape for shape in shapes if shape.place == name])
            for name in names
            if name in places
        ]
        if found and all(found):
            return list(dict.fromkeys(sentence for refused in found for sentence in refused))
        answer = await run(["sbatch", "--test-only"], script=script, environment=environment)
        words = answer.words
        if answer.code == 0 or is_full(words) or any(waits in words.lower() for waits in _WAITS_ONLY):
            return []
        return [await self._refused(answer, asked)]


def _asking() -> dict[str, str]:
    """Return the environment of commands that only ask: plain words, times as numbers, no filters of the user's own."""
    filters = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")
    kept = {name: text for name, text in without_secrets(os.environ).items() if not name.startswith(filters)}
    return {**_outside_of_jobs(kept), "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}


def _environment_of(script: str) -> dict[str, str]:
    """Return the environment of sbatch, which the job inherits."""
    kept = _outside_of_jobs(for_jobs(os.environ))
    for name in [name for name in kept if name.startswith("SBATCH_")]:
        if name not in KEPT_DEFAULTS or option(script, *KEPT_DEFAULTS[name]):
            del kept[name]
    return kept


def _outside_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    return {n: v for n, v in environment.items() if not n.startswith("SLURM_") or n in ("SLURM_CONF", "SLURM_CLUSTERS")}


def option(script: str, short: str, name: str) -> str:
    """Return the value of an option in a script's ``#SBATCH`` lines; of several the last, as sbatch does.

    Examples
    --------
    >>> option("#SBATCH -p short\\n#SBATCH -o '/my runs/%j.log' --partition=long", "-p", "--partition")
    'long'
    """
    value = ""
    for line in script.splitlines():
        if not line.startswith("#SBATCH"):
            continue
        try:
            words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
        except ValueError:  # a quote that does not end: sbatch says so itself
            continue
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word in (short, name):
                value = after
            elif word.startswith(f"{name}="):
                value = word.partition("=")[2]
            elif short and word.startswith(short) and not word.startswith("--"):
                value = word.removeprefix(short)
    return value


def _together(ids: Collection[str]) -> list[str]:
    """Return IDs as scancel takes them, elements of an array as ranges.

    Examples
    --------
    >>> _together(["7_2", "7_0", "9", "7_1", "7_5"])
    ['7_[0-2,5]', '9']
    """
    elements: dict[str, list[int]] = {}
    for id in ids:
        job, _, index = id.partition("_")
        elements.setdefault(job, []).extend([int(index)] if index.isdigit() else [])
    return [
        job + (f"_[{_ranges(sorted(set(indices)))}]" if indices else "") for job, indices in sorted(elements.items())
    ]


def _ranges(numbers: Sequence[int]) -> str:
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        row = [number for _, number in group]
        parts.append(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}")
    return ",".join(parts)
