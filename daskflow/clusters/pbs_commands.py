"""PBS's queue, asked by its commands: qsub, qstat, qselect, pbsnodes, qdel."""

from __future__ import annotations

import asyncio
import getpass
import glob
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

from daskflow.clusters.batch_commands import Answer, for_jobs, run, tail, without_secrets
from daskflow.clusters.batch_directives import name_tail, option
from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, QueueError, Request
from daskflow.clusters.batch_looks import Looks, ending_unseen
from daskflow.clusters.batch_places import beyond
from daskflow.clusters.pbs_answers import (
    blocks_of,
    elements_of,
    ending_of,
    hint_of,
    id_of,
    id_printed,
    is_of_run,
    jobs_of,
    nodes_of,
    places_of,
)

PLACES_SECONDS = 60.0
"""Queues hardly change; refusals name them again and again."""

ARRAY_SIZE = 1000
"""Elements of one array; more are several arrays (``max_array_size`` of PBS Professional is 10,000)."""

ENDING_LOOKS, ENDING_SECONDS = 4, 0.5
"""So often, and so long apart, a job is looked at that is exiting, or whose output PBS is still bringing."""

_UNKNOWN = re.compile(r"unknown job|unknown jobid|nonexistent job|has finished|no such job|state of job", re.IGNORECASE)
"""What is said of jobs that are gone."""

_FEWER = re.compile(r"(?P<array>\barray\b)|maximum number|would exceed|per-user limit|exceeds limit", re.IGNORECASE)
"""What is said of many jobs that may be accepted when they are fewer, or are no array."""


class Dialect(StrEnum):
    """Which PBS it is."""

    PROFESSIONAL = "OpenPBS or PBS Professional"
    TORQUE = "Torque"
    SLURM = "PBS commands of Slurm"


class PbsQueue:
    """A PBS, as `batch_jobs.Queue` asks it: OpenPBS, PBS Professional, Torque, or a Slurm that has PBS's commands.

    Parameters
    ----------
    logs : Path
        Folder of the logs, ``ID.log`` each, of jobs that others have submitted.

    Notes
    -----
    IDs are the numbers alone, ``123`` or ``123[4]`` of an array's element: what a job's ``PBS_JOBID`` says behind them
    is the server, which goes by other names on other nodes.
    """

    def __init__(self, logs: Path) -> None:
        """Know nothing yet; nothing is asked before the first call."""
        self._logs = logs
        self._looks = Looks(self._look)
        self._full: dict[str, str] = {}
        self._logs_of: dict[str, Path] = {}
        self._places: tuple[float, list[Place]] | None = None
        self._dialect: Dialect | None = None

    async def dialect(self) -> Dialect:
        """Ask, once, which PBS it is."""
        if self._dialect is None:
            answer = await run(["qstat", "--version"], environment=_asking())
            said = f"{answer.out}\n{answer.err}"
            if re.search(r"pbs_version", said, re.IGNORECASE):
                self._dialect = Dialect.PROFESSIONAL
            elif re.search(r"^version:", said, re.IGNORECASE | re.MULTILINE):
                self._dialect = Dialect.TORQUE
            else:
                self._dialect = Dialect.SLURM
        return self._dialect

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal ones as an array; where there are no arrays, one after the other.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: qsub's own words, and a hint.
        """
        ids: list[str] = []
        size = 1 if await self.dialect() is Dialect.SLURM else ARRAY_SIZE
        while len(ids) < count:
            size = min(size, count - len(ids))
            try:
                ids += await self._submit(script, size)
            except QueueError as error:
                if size > 1 and (fewer := _FEWER.search(str(error))):
                    size = 1 if fewer["array"] else size // 2
                elif ids:
                    break
                else:
                    raise
        return ids

    async def _submit(self, script: str, count: int) -> list[str]:
        dialect, more = await self.dialect(), []
        logs = Path(option(script, "-o", "#PBS") or self._logs)
        if count > 1:
            # Arrays of PBS Professional must be rerunnable; a worker that is started again ends by itself.
            more = ["-J", f"0-{count - 1}", "-r", "y"] if dialect is Dialect.PROFESSIONAL else ["-t", f"0-{count - 1}"]
        if dialect is Dialect.SLURM:
            # It reads the script's lines itself, but lays names of its own over them where none are given here.
            more = ["-j", "oe", "-o", f"{logs}/%j.pbs"]
        # As a file: not all read a script from their standard input. What is in it is no secret.
        with tempfile.NamedTemporaryFile("w", prefix="daskflow-", suffix=".sh") as file:
            file.write(script)
            file.flush()
            answer = await run(["qsub", *more, file.name], environment=for_jobs(os.environ))
        full = id_printed(answer.out) if answer.code == 0 else ""
        if not full:
            raise QueueError(await self._refused(answer, option(script, "-q", "#PBS")))
        job = id_of(full)
        self._full[job], self._logs_of[job] = full, logs
        return [job.replace("[]", f"[{index}]") for index in range(count)] if count > 1 else [job]

    async def _refused(self, answer: Answer, place: str) -> str:
        """One line: qsub's words, and what to do."""
        try:
            places = await self.places()
        except QueueError:  # the hint is what lacks then; the refusal counts
            places = []
        words = words_of(answer)
        hint = hint_of(words, place, places)
        return f"PBS refused the job: {words}." + (f" {hint}" if hint else "")

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one qstat; those that PBS knows no more are absent.

        Raises
        ------
        QueueError
            When PBS does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        return await self._looks.at(ids)

    async def _look(self, ids: set[str]) -> dict[str, Job]:
        # Of arrays the whole is asked for: a name for each element would make a long command of many elements.
        words = sorted({self._word_of(id) for id in ids})
        is_slurm = await self.dialect() is Dialect.SLURM
        blocks = await self._asked(words)
        jobs = jobs_of(blocks, is_slurm=is_slurm)
        for array in [job for job in jobs_of_arrays(blocks).values() if job.state is JobState.PENDING]:
            mine = [id for id in ids if id not in jobs and array_of(id) == array.id]
            jobs |= elements_of(array, mine)
        return jobs

    def _word_of(self, id: str) -> str:
        """The ID as PBS printed it, of an element that of its array; without the server where it was never seen."""
        return self._full.get(array_of(id), array_of(id))

    async def _asked(self, words: Collection[str]) -> dict[str, dict[str, str]]:
        """The lines of jobs, also of those that have ended where PBS remembers them."""
        flags = {Dialect.PROFESSIONAL: ["-x", "-f", "-t"], Dialect.TORQUE: ["-f", "-t"], Dialect.SLURM: ["-f"]}
        answer = await run(["qstat", *flags[await self.dialect()], *words], environment=_asking())
        blocks = blocks_of(answer.out, "Job Id")
        said = [line for line in answer.err.splitlines() if line.strip() and not _UNKNOWN.search(line)]
        if answer.code != 0 and said:
            problem = words_of(Answer(answer.code, "", "\n".join(said)))
            raise QueueError(f"qstat does not say how the jobs are: {problem}. {hint_of(problem, '', [])}".rstrip())
        return blocks

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs that carry a run's mark, by one qselect and one qstat.

        Raises
        ------
        QueueError
            When PBS does not answer.
        """
        words: list[str] = []
        if shutil.which("qselect"):
            answer = await run(["qselect", "-u", getpass.getuser()], environment=_asking())
            if answer.code != 0:
                problem = words_of(answer)
                raise QueueError(f"qselect does not say which jobs there are: {problem}. {hint_of(problem, '', [])}")
            words = answer.out.split()
            if not words:
                return {}
        blocks = await self._asked(words)
        mine = {word: fields for word, fields in blocks.items() if is_of_run(fields, mark, name_tail(mark))}
        self._full |= {id_of(word): word for word in mine}
        return jobs_of(mine, is_slurm=await self.dialect() is Dialect.SLURM)

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by qstat where PBS remembers it, by what it wrote, by its walltime, and by its log."""
        fields: Mapping[str, str] = {}
        for attempt in range(ENDING_LOOKS):
            if attempt:
                await asyncio.sleep(ENDING_SECONDS)
            try:
                blocks = await self._asked([self._full.get(id, id)])
            except QueueError as error:
                log = await self._log_of(id)
                return Ending("unknown", f"PBS does not say how job {id} ended: {error}", None, log)
            fields = next((fields for word, fields in blocks.items() if id_of(word) == id), {})
            if fields.get("job_state") not in ("E", "R"):
                break
        log = await self._log_of(id)
        if fields.get("job_state") in ("R", "Q"):
            return Ending("unknown", f"Job {id} has not ended: PBS says {fields['job_state']}.", None, log)
        return ending_of(id, fields, log) or ending_unseen(id, self._looks.last(id), log, "PBS")

    async def _log_of(self, id: str) -> str:
        """The end of the job's log, and what PBS itself wrote of it, which comes when the job has ended."""
        job, logs = glob.escape(id), self._logs_of.get(array_of(id), self._logs)
        patterns = (f"{job}.*.OU", f"*.o{job}", f"{job}.pbs")
        own = await asyncio.to_thread(lambda: [path for rule in patterns for path in logs.glob(rule)])
        texts = [await tail(logs / f"{id}.log"), *[await tail(path) for path in own]]
        return "\n".join(text for text in texts if text)

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one qdel; those that are gone are no error.

        Raises
        ------
        QueueError
            When PBS does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        self._looks.forget()
        answer = await run(["qdel", *[self._named(id) for id in sorted(ids)]], environment=_asking())
        said = [line for line in f"{answer.err}\n{answer.out}".splitlines() if line.strip()]
        bad = [line for line in said if not _UNKNOWN.search(line)]
        if answer.code != 0 and bad:
            words = words_of(Answer(answer.code, "", "\n".join(bad)))
            raise QueueError(f"qdel has not ended the jobs: {words}. {hint_of(words, '', [])}".rstrip())

    def _named(self, id: str) -> str:
        """The ID with its server where that is known."""
        if "[" not in id:
            return self._full.get(id, id)
        _, _, server = self._full.get(array_of(id), "").partition(".")
        return f"{id}.{server}" if server else id

    async def places(self) -> list[Place]:
        """Return the queues, with their limits and those of the largest node, by three commands."""
        if self._places is None or time.monotonic() - self._places[0] > PLACES_SECONDS:
            answer = await run(["qstat", "-Q", "-f"], environment=_asking())
            if answer.code != 0:
                words = words_of(answer)
                raise QueueError(f"PBS does not tell its queues: {words}. {hint_of(words, '', [])}".rstrip())
            server = next(iter(blocks_of(await self._told("qstat", "-B", "-f"), "Server").values()), {})
            nodes = nodes_of(await self._told("pbsnodes", "-a"))
            self._places = time.monotonic(), places_of(blocks_of(answer.out, "Queue"), server, nodes)
        return self._places[1]

    async def _told(self, *command: str) -> str:
        """What a command prints that not every PBS has, or lets users run; empty for that."""
        if shutil.which(command[0]) is None:
            return ""
        answer = await run(command, environment=_asking())
        return answer.out if answer.code == 0 else ""

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say what PBS would refuse, or would accept and never start.

        PBS has no dry run, so the request is held against the limits of its queue, and of the largest node. A queue
        that hands jobs on to others tells their limits only by refusing.
        """
        places = await self.places()
        asked = request.place or option(script, "-q", "#PBS")
        chosen = [place for place in places if place.name == asked.partition("@")[0]]
        if asked and not chosen and "@" not in asked and places:
            return [await self._refused(Answer(1, "", "Unknown queue"), asked)]
        if not asked:
            chosen = [place for place in places if place.is_default]
        found = [beyond(request, place, "queue", "closed") for place in chosen]
        return found[0] if found else []


def array_of(id: str) -> str:
    """Return the array of an element; the job itself where it is none.

    Examples
    --------
    >>> array_of("123[4]"), array_of("123")
    ('123[]', '123')
    """
    return re.sub(r"\[\d*\]", "[]", id)


def jobs_of_arrays(blocks: Mapping[str, Mapping[str, str]]) -> dict[str, Job]:
    """Return the arrays themselves."""
    whole = {word.replace("[]", "[0]", 1): fields for word, fields in blocks.items() if "[]" in word}
    return {array_of(id): _called(job, array_of(id)) for id, job in jobs_of(whole).items()}


def _called(job: Job, id: str) -> Job:
    return next(iter(elements_of(job, [id]).values()))


def words_of(answer: Answer) -> str:
    """Return what a command complained of in one line; of a Slurm that plays PBS what its sbatch said."""
    text = answer.err or answer.out
    if inner := re.findall(r"sbatch: error: (.+)", f"{answer.out}\n{answer.err}"):
        text = "\n".join(line.strip().rstrip("'") for line in inner)
    lines = [re.sub(r"^(qsub|qstat|qdel|qselect): (submit error )?", "", line.strip()) for line in text.splitlines()]
    kept = [line.strip("()").rstrip(".!") for line in lines if line.strip("'")]
    return "; ".join(dict.fromkeys(kept)) or f"exit code {answer.code}, and no word"


def _asking() -> Mapping[str, str]:
    """Return the environment of commands that only ask: plain words, and times as they are read here."""
    return {**without_secrets(os.environ), "LC_ALL": "C"}
