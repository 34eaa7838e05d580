"""LSF's queue, asked by its commands: bsub, bjobs, bhist, bqueues, lshosts, bkill."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import time
from collections.abc import Collection, Mapping

from daskflow.clusters.batch_commands import Answer, for_jobs, in_pieces, run, tail, without_secrets
from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, QueueError, Request
from daskflow.clusters.batch_options import option_of, words_of
from daskflow.clusters.batch_places import beyond, nearest_of
from daskflow.clusters.lsf_answers import (
    FORMAT,
    ending_of,
    hint_of,
    history_of,
    jobs_of,
    queues_of,
    records_of,
    state_of,
)
from daskflow.clusters.walltimes import seconds_in_form

MARKER = "#BSUB"

ARRAY_SIZE = 1000
"""Elements of one array; LSF's own default of MAX_JOB_ARRAY_SIZE."""

MOST_NAMED = 2000
"""Jobs that are named one by one; of more, all of the user's are asked for."""

PLACES_SECONDS = 60.0
"""Queues hardly change; refusals name them again and again."""

NOBODY = re.compile(r"is not found|no (unfinished |matching )?job found|no matching job|already (been )?finished", re.I)
"""What is said of jobs that are gone."""

KEPT = ("LSB_DEFAULTQUEUE", "LSB_DEFAULTPROJECT", "LSB_DEFAULT_USERGROUP")
"""Defaults of a user that count where the script is silent."""


class LsfQueue:
    """An LSF, as `batch_jobs.Queue` asks it.

    Notes
    -----
    The IDs of an array's elements are ``JOB[INDEX]``, as LSF's own commands take them. ``bjobs -o`` is needed: LSF 9.1
    or newer. What belongs to a job in which this process runs (``LSB_...``) does not reach the jobs that it submits.
    """

    def __init__(self) -> None:
        """Know nothing yet; nothing is asked before the first call."""
        self._places: tuple[float, list[Place]] | None = None
        self._logs: dict[str, list[str]] = {}
        self._seconds: dict[str, float] = {}

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal ones as an array; where an array is refused, smaller ones.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: bsub's own words, and a hint.
        """
        return await in_pieces(
            lambda size: self._submit(script, size), count, most=ARRAY_SIZE, limit=r"array|threshold|limit"
        )

    async def _submit(self, script: str, count: int) -> list[str]:
        words = words_of(script, MARKER)
        more = ["-J", f"{option_of(words, '-J') or 'daskflow'}[1-{count}]"] if count > 1 else []
        answer = await run(["bsub", *more], script=script, environment=_environment())
        found = re.search(r"Job <(\d+)> is submitted", f"{answer.out}\n{answer.err}")
        if answer.code != 0 or found is None:
            raise QueueError(await self._refused(answer, option_of(words, "-q")))
        job = found[1]
        ids = [f"{job}[{index}]" for index in range(1, count + 1)] if count > 1 else [job]
        seconds = seconds_in_form(option_of(words, "-W").partition("/")[0], "lsf")
        report = option_of(words, "-o", "-oo")
        for place, id in enumerate(ids, start=1):
            self._logs[id] = _logs_of(script, id, report, job, place if count > 1 else 0)
            if seconds is not None:
                self._seconds[id] = seconds
        return ids

    async def _refused(self, answer: Answer, place: str) -> str:
        """One line: bsub's words, and what to do."""
        try:
            places = await self.places()
        except QueueError:  # the hint is what lacks then; the refusal counts
            places = []
        hint = hint_of(answer.words, place, places)
        return f"LSF refused the job: {answer.words}." + (f" {hint}" if hint else "")

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one bjobs; those that LSF knows no more are absent.

        Raises
        ------
        QueueError
            When LSF does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        if not ids:
            return {}
        wanted = set(ids)
        # Of arrays the whole is asked for: a name for each element would make a long command of many elements.
        jobs = sorted({id.partition("[")[0] for id in wanted})
        which = jobs if len(jobs) <= MOST_NAMED else ["-u", getpass.getuser()]
        records = [fields for fields in await self._bjobs(*which) if fields["id"] in wanted]
        return jobs_of(records, time.time(), self._seconds)

    async def _bjobs(self, *which: str) -> list[dict[str, str]]:
        answer = await run(["bjobs", "-a", "-noheader", "-o", FORMAT, *which], environment=_asking())
        problems = [line for line in answer.err.splitlines() if line.strip() and not NOBODY.search(line)]
        if answer.code != 0 and problems and not answer.out:
            words = Answer(answer.code, "", "\n".join(problems)).words
            raise QueueError(f"bjobs does not say how the jobs are: {words}. {hint_of(words, '', [])}".rstrip())
        return records_of(answer.out)

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs whose description is a run's, by one bjobs.

        Raises
        ------
        QueueError
            When LSF does not answer.
        """
        records = await self._bjobs("-u", getpass.getuser())
        mine = [fields for fields in records if fields["job_description"] == f"daskflow:{mark}"]
        return jobs_of(mine, time.time(), self._seconds)

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by bjobs for about an hour, then by bhist, and by its log."""
        try:
            fields = next((found for found in await self._bjobs(id) if found["id"] == id), None)
            log = await self._log_of(id)
            if fields is None:
                told = history_of((await run(["bhist", "-l", id], environment=_asking())).out)
                return ending_of(id, *told, log)
        except QueueError as error:
            words = f"LSF does not say how job {id} ended: {error}"
            return Ending("unknown", words, None, await self._log_of(id))
        if state_of(fields["stat"]) is not JobState.ENDED:
            return Ending("unknown", f"Job {id} has not ended: LSF says {fields['stat']}.", None, log)
        return ending_of(id, fields["stat"], fields["exit_code"], fields["exit_reason"], log)

    async def _log_of(self, id: str) -> str:
        for path in self._logs.get(id, []):
            if text := await tail(path):
                return text
        return ""

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one bkill; those that are gone are no error.

        Raises
        ------
        QueueError
            When LSF does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        answer = await run(["bkill", *together(ids)], environment=_asking())
        said = [line for line in answer.err.splitlines() if line.strip() and not NOBODY.search(line)]
        if answer.code != 0 and said:
            words = Answer(answer.code, "", "\n".join(said)).words
            raise QueueError(f"bkill has not ended the jobs: {words}. {hint_of(words, '', [])}".rstrip())

    async def places(self) -> list[Place]:
        """Return the queues, with their limits and those of their largest hosts."""
        if self._places is None or time.monotonic() - self._places[0] > PLACES_SECONDS:
            queues = await run(["bqueues", "-l"], environment=_asking())
            if queues.code != 0:
                raise QueueError(f"LSF does not tell its queues: {queues.words}. {hint_of(queues.words, '', [])}")
            hosts = await run(["lshosts", "-w"], environment=_asking())
            self._places = time.monotonic(), queues_of(queues.out, hosts.out)
        return self._places[1]

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say what LSF would refuse, or would accept and never start: by the limits of the queue and of its hosts.

        bsub has no way to ask without submitting, so what only it knows (projects, sites' own rules) is told then.
        """
        asked = request.place or option_of(words_of(script, MARKER), "-q") or os.environ.get("LSB_DEFAULTQUEUE", "")
        places = await self.places()
        known = {place.name: place for place in places}
        names = asked.split() if asked else [place.name for place in places if place.is_default]
        if asked and not any(name in known for name in names):
            return [f"LSF has no queue '{asked}'. {nearest_of(asked, places, 'Queues')}"]
        found = [beyond(request, known[name], "queue") for name in names if name in known]
        if not found or not all(found):
            return []
        return list(dict.fromkeys(sentence for refused in found for sentence in refused))


def together(ids: Collection[str]) -> list[str]:
    """Return IDs as bkill takes them, those of an array's elements in one word.

    Examples
    --------
    >>> together(["7[2]", "7[1]", "9"])
    ['7[1,2]', '9']
    """
    elements: dict[str, list[int]] = {}
    for id in ids:
        job, _, index = id.partition("[")
        elements.setdefault(job, []).extend([int(index[:-1])] if index[:-1].isdigit() else [])
    return [
        job + (f"[{','.join(map(str, sorted(set(indices))))}]" if indices else "")
        for job, indices in sorted(elements.items())
    ]


def _logs_of(script: str, id: str, report: str, job: str, index: int) -> list[str]:
    """Return where a job writes: the log that its first line opens, then LSF's own report."""
    opened = re.search(r"\bexec >> (\S.*)/\"\$DASKFLOW_JOB\.log\" 2>&1$", script, re.MULTILINE)
    logs = [f"{''.join(shlex.split(opened[1]))}/{id}.log"] if opened else []
    return [*logs, *([report.replace("%J", job).replace("%I", str(index))] if report else [])]


def _asking() -> dict[str, str]:
    """Return the environment of commands that only ask: plain words, no layouts of the user's own."""
    return {**_plain(without_secrets(os.environ)), "LC_ALL": "C"}


def _environment() -> dict[str, str]:
    """Return the environment of bsub, which the job inherits; bsub asks no second time for what it does not get."""
    return {**_plain(for_jobs(os.environ)), "LSB_NTRIES": "1"}


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    own = ("LSB_", "LS_", "BSUB_", "BJOBS_")
    return {n: v for n, v in environment.items() if not n.startswith(own) or n in KEPT}
