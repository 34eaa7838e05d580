"""Grid Engine's queue, asked by its commands: qsub, qstat, qacct, qconf, qhost, qdel."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from daskflow.clusters.batch_commands import Answer, for_jobs, run, tail, without_secrets
from daskflow.clusters.batch_directives import name_tail, option, without_resources
from daskflow.clusters.batch_jobs import Ending, Job, Place, QueueError, Request
from daskflow.clusters.batch_looks import Looks, ending_unseen
from daskflow.clusters.batch_places import beyond
from daskflow.clusters.sge_answers import (
    ending_of,
    error_of,
    hint_of,
    ids_of,
    jobs_of,
    places_of,
    record_of,
    tree_of,
    unknown_resources,
)

PLACES_SECONDS = 60.0
"""Queues hardly change; refusals name them again and again."""

ARRAY_SIZE = 1000
"""Tasks of one array; more are several arrays (``max_aj_tasks`` of Grid Engine is 75,000)."""

RECORD_LOOKS, RECORD_SECONDS = 3, 1.0
"""So often, and so long apart, the accounting is asked: it is written some seconds after a job has ended."""

MOST_REASONS = 4
"""Why no queue takes a job is told of so many queues."""

_GONE = re.compile(r"does not exist|already in deletion|do not exist", re.IGNORECASE)

_FEWER = re.compile(r"(?P<array>\barray\b|max_aj)|max_u_jobs|max_jobs|limit|quota", re.IGNORECASE)
"""What is said of many jobs that may be accepted when they are fewer, or are no array."""


class SgeQueue:
    """A Grid Engine, as `batch_jobs.Queue` asks it.

    Parameters
    ----------
    logs : Path
        Folder of the logs, ``ID.log`` each, of jobs that others have submitted.

    Notes
    -----
    The IDs of an array's tasks are ``JOB.TASK``, as ``$JOB_ID.$SGE_TASK_ID`` names them in the job.
    """

    def __init__(self, logs: Path) -> None:
        """Know nothing yet; nothing is asked before the first call."""
        self._logs = logs
        self._looks = Looks(self._look)
        self._logs_of: dict[str, Path] = {}
        self._errors: dict[str, str] = {}
        self._places: tuple[float, list[Place]] | None = None
        self._has_accounting = True

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal ones as an array.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: qsub's own words, and a hint.
        """
        ids: list[str] = []
        size = ARRAY_SIZE
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
        more, log = [], option(script, "-o")
        if count > 1:
            # A task's log is named by its ID, too; $TASK_ID would be "undefined" in the name of a job that is no array.
            more = ["-t", f"1-{count}"]
            if log.endswith("$JOB_ID.log"):
                more += ["-o", log.removesuffix(".log") + ".$TASK_ID.log"]
        answer = await run(["qsub", "-terse", *more], script=script, environment=for_jobs(os.environ))
        ids = ids_of(answer.out) if answer.code == 0 else []
        if not ids:
            raise QueueError(await self._refused(words_of(answer), option(script, "-q")))
        if log:
            self._logs_of[ids[0].partition(".")[0]] = Path(log).parent
        return ids

    async def _refused(self, words: str, place: str) -> str:
        """One line: qsub's words, and what to do."""
        try:
            places = await self.places()
        except QueueError:  # the hint is what lacks then; the refusal counts
            places = []
        hint = hint_of(words, place, places)
        return f"Grid Engine refused the job: {words}." + (f" {hint}" if hint else "")

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all of this user's jobs by one qstat; those that Grid Engine knows no more are absent.

        Of a job that could not be started (state ``E``) it is asked once more why.

        Raises
        ------
        QueueError
            When Grid Engine does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        return await self._looks.at(ids)

    async def _look(self, ids: set[str]) -> dict[str, Job]:
        jobs = await self._all()
        for id in [id for id in ids if id in jobs and jobs[id].is_hopeless]:
            reason = await self._error_of(id, jobs[id].reason)
            jobs[id] = _with_reason(jobs[id], reason)
        return jobs

    async def _all(self, tail: str = "") -> dict[str, Job]:
        command = ["qstat", "-u", getpass.getuser(), "-r", "-g", "d", "-xml"]
        answer = await run(command, environment=_asking())
        if answer.code != 0:
            words = words_of(answer)
            raise QueueError(f"qstat does not say how the jobs are: {words}. {hint_of(words, '', [])}".rstrip())
        return jobs_of(tree_of(answer.out, "qstat -xml"), tail)

    async def _error_of(self, id: str, reason: str) -> str:
        if id not in self._errors:
            answer = await run(["qstat", "-j", id.partition(".")[0]], environment=_asking())
            said = error_of(answer.out) if answer.code == 0 else ""
            self._errors[id] = f"{reason}: {said}" if said else reason
        return self._errors[id]

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs whose name ends with a run's mark, by one qstat.

        Raises
        ------
        QueueError
            When Grid Engine does not answer.
        """
        return await self._all(name_tail(mark))

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by qacct where its record is there already, else by its walltime, and by its log."""
        log = await tail(self._logs_of.get(id.partition(".")[0], self._logs) / f"{id}.log")
        last = self._looks.last(id)
        if last is not None and last.is_hopeless:
            return Ending("failed", f"Job {id}: {last.reason}.", None, log)
        record = await self._record(id)
        if record:
            return ending_of(id, record, log)
        return ending_unseen(id, last, log, "Grid Engine")

    async def _record(self, id: str) -> dict[str, str]:
        """The accounting's record; empty where there is none, or none yet."""
        job, _, task = id.partition(".")
        command = ["qacct", "-j", job, *(["-t", task] if task else [])]
        for attempt in range(RECORD_LOOKS if self._has_accounting else 0):
            if attempt:
                await asyncio.sleep(RECORD_SECONDS)
            try:
                answer = await run(command, environment=_asking())
            except QueueError:
                self._has_accounting = False
                return {}
            if record := record_of(answer.out, task):
                return record
            if answer.code != 0 and not re.search("not found", answer.err, re.IGNORECASE):
                self._has_accounting = False  # the file cannot be read here
                return {}
        return {}

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one qdel; those that are gone are no error.

        Raises
        ------
        QueueError
            When Grid Engine does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        self._looks.forget()
        answer = await run(["qdel", *sorted(ids)], environment=_asking())
        said = [line for line in f"{answer.err}\n{answer.out}".splitlines() if line.strip()]
        bad = [line for line in said if not _GONE.search(line) and "for deletion" not in line and "deleted" not in line]
        if answer.code != 0 and bad:
            words = words_of(Answer(answer.code, "", "\n".join(bad)))
            raise QueueError(f"qdel has not ended the jobs: {words}. {hint_of(words, '', [])}".rstrip())

    async def places(self) -> list[Place]:
        """Return the queues, with the limits of their largest hosts, by two commands."""
        if self._places is None or time.monotonic() - self._places[0] > PLACES_SECONDS:
            answers = []
            for command in (["qconf", "-sq", "*"], ["qhost", "-q", "-F", "mem_total", "-xml"]):
                answers.append(await run(command, environment=_asking()))
                if answers[-1].code != 0:
                    words = words_of(answers[-1])
                    hint = hint_of(words, "", [])
                    raise QueueError(f"Grid Engine does not tell its queues: {words}. {hint}".rstrip())
            places = places_of(answers[0].out, tree_of(answers[1].out, "qhost -xml"))
            self._places = time.monotonic(), places
        return self._places[1]

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say what Grid Engine would refuse, or would accept and never start.

        Grid Engine accepts what no queue can run, and lets it wait for ever. So the request is held against the queues'
        own limits, and ``qsub -w v`` asked whether an empty cluster could run it. That takes resources of which hosts
        tell the load only, such as ``mem_free``, for unknown; it is asked once more without them.
        """
        asked = request.place or option(script, "-q")
        places = {place.name: place for place in await self.places()}
        names = [name for name in asked.split(",") if name in places] if asked else list(places)
        if not asked and (opened := [name for name in names if places[name].is_open]):
            names = opened
        found = [beyond(request, places[name], "queue", "disabled") for name in names]
        if found and all(found):
            sentences = dict.fromkeys(sentence for refused in found for sentence in refused)
            return list(sentences)[:MOST_REASONS]
        words = await self._verified(script)
        if unknown := unknown_resources(words):
            words = await self._verified(without_resources(script, unknown))
        return [await self._refused(words, asked)] if words else []

    async def _verified(self, script: str) -> str:
        """What ``qsub -w v`` has against a script; empty for nothing."""
        answer = await run(["qsub", "-w", "v"], script=script, environment=for_jobs(os.environ))
        return "" if answer.code == 0 else words_of(answer)


def words_of(answer: Answer) -> str:
    """Return what a command complained of in one line: without who says it, and without why other queues do not fit."""
    lines: list[str] = []
    for line in (answer.err or answer.out).splitlines():
        words = re.sub(r"^(Unable to run job: |error: |denied: |qsub: )+", "", line.strip()).rstrip(".!")
        other = re.search(r"not contained in its hard (queue|host) list", words)
        if words and words not in ("Exiting", *lines) and not other:
            lines.append(words)
    more = ["..."] if len(lines) > MOST_REASONS + 1 else []
    kept = lines if not more else [*lines[:MOST_REASONS], *more, lines[-1]]
    return "; ".join(kept) or f"exit code {answer.code}, and no word"


def _with_reason(job: Job, reason: str) -> Job:
    return Job(job.id, job.state, reason, is_hopeless=True)


def _asking() -> Mapping[str, str]:
    """Return the environment of commands that only ask: plain words."""
    return {**without_secrets(os.environ), "LC_ALL": "C", "SGE_LONG_QNAMES": "-1"}
