"""HTCondor's queue, asked by its commands: condor_submit, condor_q, condor_history, condor_status, condor_rm."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from daskflow.clusters.batch_commands import Answer, for_jobs, in_pieces, run, tail, without_secrets
from daskflow.clusters.batch_jobs import Ending, Job, Place, QueueError, Request
from daskflow.clusters.htcondor_answers import (
    ATTRIBUTES,
    HELD,
    MACHINES,
    ads_of,
    ending_of,
    hint_of,
    id_of,
    jobs_of,
    too_large,
    words_of,
)

MOST_NAMED = 2000
"""Clusters of jobs that are named one by one; of more, all of the user's are asked for."""

MOST_AT_ONCE = 1000
"""Jobs of one submission."""


class HTCondorQueue:
    """An HTCondor, as `batch_jobs.Queue` asks it.

    Notes
    -----
    IDs are ``CLUSTER.PROCESS``. Every job of a submission is one of its cluster: ``queue N``. Jobs that are held once
    they have had a machine have ended, and are removed when it is asked how.
    """

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a submit description, several equal jobs as one cluster.

        Where a limit lets fewer in than asked for, the IDs of those are returned.

        Raises
        ------
        QueueError
            When none is accepted: condor_submit's own words, and a hint.
        """
        return await in_pieces(
            lambda size: self._submit(script, size), count, most=MOST_AT_ONCE, limit=r"exceed|limit|max_jobs"
        )

    async def _submit(self, script: str, count: int) -> list[str]:
        text = re.sub(r"^Queue\b.*$", f"Queue {count}", script, flags=re.MULTILINE | re.IGNORECASE)
        answer = await run(["condor_submit", "-terse", "-"], script=text, environment=for_jobs(os.environ))
        found = re.search(r"^(\d+)\.(\d+) - \1\.(\d+)$", answer.out, re.MULTILINE)
        if answer.code != 0 or found is None:
            raise QueueError(f"HTCondor refused the job: {_told(answer)}".rstrip())
        return [f"{found[1]}.{place}" for place in range(int(found[2]), int(found[3]) + 1)]

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one condor_q; those that have left the queue are absent.

        Raises
        ------
        QueueError
            When HTCondor does not answer: nothing is known of the jobs then, and none is to be taken for lost.
        """
        if not ids:
            return {}
        wanted = set(ids)
        clusters = sorted({id.partition(".")[0] for id in wanted})
        ads = await self._condor_q(*(clusters if len(clusters) <= MOST_NAMED else [getpass.getuser()]))
        return {id: job for id, job in jobs_of(ads).items() if id in wanted}

    async def _condor_q(self, *which: str) -> list[dict[str, Any]]:
        return await _ads(["condor_q", "-json", "-attributes", ",".join(ATTRIBUTES), *which], "how the jobs are")

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs that carry a run's mark, by one condor_q.

        Raises
        ------
        QueueError
            When HTCondor does not answer.
        """
        wanted = f"DaskflowRun == {json.dumps(mark)} && Owner == {json.dumps(getpass.getuser())}"
        return jobs_of(await self._condor_q("-constraint", wanted))

    async def ending(self, id: str) -> Ending:
        """Say how a job ended: by condor_q while it is held or being removed, else by condor_history, and by its log.

        A job that is held is removed then, for it would stay in the queue.
        """
        try:
            found = [ad for ad in await self._condor_q(id) if id_of(ad) == id]
            if not found:
                command = ["condor_history", "-json", "-attributes", ",".join(ATTRIBUTES), "-limit", "1", id]
                found = await _ads(command, "how its jobs ended")
        except QueueError as error:
            return Ending("unknown", f"HTCondor does not say how job {id} ended: {error}")
        ad = found[0] if found else None
        if ad is not None and ad.get("JobStatus") == HELD:
            with suppress(QueueError):  # its own periodic_remove does so within some minutes
                await self.cancel([id])
        return ending_of(id, ad, await _log_of(ad))

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one condor_rm; those that are gone are no error.

        Raises
        ------
        QueueError
            When HTCondor does not answer, or the jobs are not this user's.
        """
        if not ids:
            return
        answer = await run(["condor_rm", *sorted(ids)], environment=_asking())
        lines = f"{answer.err}\n{answer.out}".splitlines()
        gone = re.compile(r"not found|marked for removal|couldn't find|already|^\s*$", re.IGNORECASE)
        said = [line for line in lines if not gone.search(line)]
        if answer.code != 0 and said:
            words = words_of("\n".join(said))
            raise QueueError(f"condor_rm has not ended the jobs: {words}. {hint_of(words)}".rstrip())

    async def places(self) -> list[Place]:
        """Return none, for there are no queues there; QueueError when no pool answers."""
        await self._machines("-limit", "1")
        return []

    async def _machines(self, *which: str) -> list[dict[str, Any]]:
        whole = ["-constraint", 'SlotType =!= "Dynamic"']
        command = ["condor_status", "-json", "-attributes", ",".join(MACHINES), *(which or ()), *whole]
        return await _ads(command, "its machines")

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say what HTCondor would refuse, or would accept and never start.

        The description is read by condor_submit without being handed in, and the request is held against the machines
        that the pool has now; `directives` such as ``requirements`` are not. A pool that has no machine now, as where
        machines come when there are jobs, refuses nothing.
        """
        answer = await run(
            ["condor_submit", "-dry-run", os.devnull, "-"], script=script, environment=for_jobs(os.environ)
        )
        if answer.code != 0:
            return [f"HTCondor refused the job: {_told(answer)}".rstrip()]
        return too_large(request, await self._machines())


async def _ads(command: list[str], what: str) -> list[dict[str, Any]]:
    """Run a command that prints ads; QueueError when it does not."""
    answer = await run(command, environment=_asking())
    try:
        if answer.code == 0:
            return ads_of(answer.out)
    except ValueError:
        answer = Answer(1, "", f"{command[0]} printed no JSON: {answer.out[:100]}")
    raise QueueError(f"HTCondor does not tell {what}: {_told(answer)}".rstrip())


def _told(answer: Answer) -> str:
    """What a command complained of, and what to do."""
    words = words_of(answer.err or answer.out) or answer.words
    return f"{words}. {hint_of(words)}"


async def _log_of(ad: dict[str, Any] | None) -> str:
    """Return the end of a job's log: what its worker wrote, else what came before that."""
    before = str((ad or {}).get("Out", ""))
    for path in (re.sub(r"\.out$", ".log", before), before):
        if path and (text := await tail(path)):
            return text
    return ""


def _asking() -> dict[str, str]:
    return {**without_secrets(os.environ), "LC_ALL": "C"}
