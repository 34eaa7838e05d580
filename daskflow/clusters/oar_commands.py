"""OAR's queue, asked by its commands: oarsub, oarstat, oarnodes, oardel."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from daskflow.clusters.batch_commands import Answer, for_jobs, in_pieces, run, tail, without_secrets
from daskflow.clusters.batch_jobs import Ending, Job, Place, QueueError, Request
from daskflow.clusters.batch_options import option_of, words_of
from daskflow.clusters.batch_places import cores_in_words
from daskflow.clusters.oar_answers import ending_of, hint_of, jobs_in, jobs_of, nodes_of

MARKER = "#OAR"

MOST_NAMED = 1000
"""Jobs that are named one by one; of more, all of the user's are asked for."""

ARRAY_SIZE = 500
"""Jobs of one submission."""


class OarQueue:
    """An OAR, as `batch_jobs.Queue` asks it.

    Notes
    -----
    OAR reads no script from its input: it keeps a command, which the node runs. So the script is written beside the
    job's log, where the nodes see it. Every element of an array has an ID of its own there.
    """

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal jobs as an array.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: oarsub's own words, and a hint.
        """
        options = words_of(script, MARKER)
        path = await asyncio.to_thread(_kept, script, option_of(options, "-O", "--stdout"))
        return await in_pieces(
            lambda size: self._submit(options, path, size),
            count,
            most=ARRAY_SIZE,
            limit=r"limit|maximum|too many|quota",
        )

    async def _submit(self, options: list[str], path: Path, count: int) -> list[str]:
        more = ["--array", str(count)] if count > 1 else []
        command = ["oarsub", *options, *more, f"bash {shlex.quote(str(path))}"]
        answer = await run(command, environment=for_jobs(os.environ))
        ids = re.findall(r"^OAR_JOB_ID=(\d+)$", answer.out, re.MULTILINE)
        if answer.code != 0 or len(ids) != count:
            words = _refusal(answer)
            raise QueueError(f"OAR refused the job: {words}. {hint_of(words, await self._most_cores())}".rstrip())
        return ids

    async def _most_cores(self) -> int:
        """Cores of the largest node; 0 where that is not told."""
        try:
            return max(await self._nodes(), default=0)
        except QueueError:
            return 0

    async def _nodes(self) -> list[int]:
        answer = await run(["oarnodes", "-J"], environment=_asking())
        try:
            if answer.code == 0:
                return nodes_of(answer.out)
        except ValueError:
            answer = Answer(1, "", f"oarnodes printed no JSON: {answer.out[:100]}")
        raise QueueError(f"OAR does not tell its nodes: {answer.words}. {hint_of(answer.words)}".rstrip())

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one oarstat; those that OAR knows no more are absent.

        Raises
        ------
        QueueError
            When OAR does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        if not ids:
            return {}
        wanted = set(ids)
        named = [word for id in sorted(wanted) for word in ("-j", id)] if len(wanted) <= MOST_NAMED else ["-u"]
        return {id: job for id, job in jobs_of(await self._oarstat(*named)).items() if id in wanted}

    async def _oarstat(self, *which: str) -> list[dict[str, Any]]:
        answer = await run(["oarstat", "-J", "-f", *which], environment=_asking())
        try:
            if answer.code == 0:
                return jobs_in(answer.out)
        except ValueError:
            answer = Answer(1, "", f"oarstat printed no JSON: {answer.out[:100]}")
        raise QueueError(f"oarstat does not say how the jobs are: {answer.words}. {hint_of(answer.words)}".rstrip())

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs whose name ends with a run's mark, by one oarstat.

        Raises
        ------
        QueueError
            When OAR does not answer.
        """
        return jobs_of(job for job in await self._oarstat("-u") if str(job.get("name") or "").endswith(f":{mark}"))

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by oarstat, which remembers, by the job's events, its exit code and its log."""
        try:
            found = [job for job in await self._oarstat("-j", id) if job["id"] == id]
        except QueueError as error:
            return Ending("unknown", f"OAR does not say how job {id} ended: {error}")
        log = await tail(str(found[0].get("stdout_file", ""))) if found else ""
        return ending_of(id, found[0] if found else None, log)

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one oardel; those that are gone are no error.

        Raises
        ------
        QueueError
            When OAR does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        answer = await run(["oardel", *sorted(ids)], environment=_asking())
        gone = re.compile(r"already killed|already terminated|not exist|not a valid job", re.IGNORECASE)
        said = [line for line in answer.err.splitlines() if line.strip() and not gone.search(line)]
        if answer.code != 0 and said:
            words = Answer(answer.code, "", "\n".join(said)).words
            raise QueueError(f"oardel has not ended the jobs: {words}. {hint_of(words)}".rstrip())

    async def places(self) -> list[Place]:
        """Return none, for OAR tells its queues to administrators only; QueueError when it does not answer."""
        await self._nodes()
        return []

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say that no node has so many cores; all else oarsub refuses itself, when it is asked to submit.

        Without an answer of oarnodes nothing is said.
        """
        asked = re.search(r"/core=(\d+)", option_of(words_of(script, MARKER), "-l"))
        most = await self._most_cores()
        if asked is None or not most or int(asked[1]) <= most:
            return []
        return [f"{cores_in_words(int(asked[1]))} are asked for each worker, and no node has more than {most}."]


def _kept(script: str, log: str) -> Path:
    """Write a script beside the log that it names, where the nodes see it; the same script is written once.

    Raises
    ------
    QueueError
        When it names no log, or the file cannot be written.
    """
    folder = Path(log).parent
    if not folder.is_absolute():
        raise QueueError(
            "OAR's nodes read the job's script from the folder of its log, and the script names none. Leave -O in it "
            "(cluster.directives_skip)."
        )
    path = folder / f"daskflow-{hashlib.sha256(script.encode()).hexdigest()[:12]}.sh"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:  # only its owner may read it
            file.write(script)
        os.replace(file.name, path)
    except OSError as error:
        raise QueueError(
            f"The job's script cannot be written to {path}: {error.strerror}. OAR's nodes read it there: choose "
            "another place with cluster.log_folder."
        ) from error
    return path


def _refusal(answer: Answer) -> str:
    """What oarsub complained of, without its notes and its own last line."""
    lines = [line for line in (answer.err or answer.out).splitlines() if "array job submission is used" not in line]
    told = [line for line in lines if "please verify your request syntax" not in line] or lines
    words = [re.sub(r"^(/!\\ ?|\[ERROR\] |ERROR : )", "", line.strip()).rstrip(".") for line in told if line.strip()]
    return "; ".join(dict.fromkeys(words)) or answer.words


def _asking() -> dict[str, str]:
    return {**without_secrets(os.environ), "LC_ALL": "C"}
