"""A real Slurm: jobs are handed in, seen, ended, and told of; what it refuses is an error in the call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from daskflow.clusters.batch_jobs import Job, JobState, QueueError, Request
from daskflow.clusters.slurm_commands import SlurmQueue
from tests.slurm_fixture import TestSlurm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm"), pytest.mark.timeout(900)]

T = TypeVar("T")

PATIENCE_SECONDS = 180


@pytest.fixture
def queue(slurm: TestSlurm) -> SlurmQueue:
    return SlurmQueue()


def script(folder: Path, *lines: str, head: str = "") -> str:
    """A job of ten minutes and 200 MB that logs into a folder whose name has a blank."""
    logs = folder / "the logs"
    logs.mkdir(exist_ok=True)
    directives = ["-t 10", "--mem=200M", f"-o '{logs}/%j.log'", "--no-requeue", *([head] if head else [])]
    return "\n".join(["#!/bin/bash", *[f"#SBATCH {line}" for line in directives], *lines, ""])


def test_an_array_is_looked_at_told_and_cancelled_by_element(queue: SlurmQueue, tmp_path: Path) -> None:
    async def scenario() -> None:
        # given six of three processors, of which four fit at once, and one that fits besides
        text = script(
            tmp_path, 'echo "I am ${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"', "exec sleep 500", head="-c 3"
        )
        ids = await queue.submit(text, 6)
        (single,) = await queue.submit(script(tmp_path, "exec sleep 500"))
        assert len(set(ids)) == 6

        # when
        jobs = await until(
            queue,
            [*ids, single],
            lambda seen: states(seen).count("running") == 5 and all(j.reason for j in waiting(seen)),
        )

        # then what runs has a node and an end, what waits a reason
        for job in jobs.values():
            if job.state is JobState.RUNNING:
                assert job.node in ("n1", "n2", "n3", "n4")
                assert job.began_at is not None
                assert job.ends_at == job.began_at + 600
        assert {job.reason for job in waiting(jobs)} <= {"Resources", "Priority"}

        # when one element that runs is cancelled, together with one that is unknown
        victim = next(id for id in ids if jobs[id].state is JobState.RUNNING)
        log = tmp_path / "the logs" / f"{victim}.log"
        await until(queue, ids, lambda _: log.exists() and bool(log.read_text()))
        await queue.cancel([victim, "999999"])

        # then only that one ends, another of the array takes its place, and its own log tells who it was
        await until(queue, ids, lambda seen: seen[victim].state is JobState.ENDED)
        await until(queue, ids, lambda seen: states(seen).count("running") == 4)
        ending = await queue.ending(victim)
        assert ending.why == "cancelled"
        assert f"I am {victim}\n" in ending.tail

        # when all are cancelled
        await queue.cancel([*ids, single])

        # then none is left
        gone = await until(queue, [*ids, single], lambda seen: set(states(seen)) <= {"ended"})
        assert set(states(gone)) <= {"ended"}

    asyncio.run(scenario())


def test_endings_are_told_apart(queue: SlurmQueue, tmp_path: Path) -> None:
    async def scenario() -> None:
        eat = "exec python3 -c 'import time; x = b\"x\" * 400_000_000; time.sleep(300)'"
        texts = {
            "done": script(tmp_path, "echo well"),
            "failed": script(tmp_path, "echo 'No module named daskflow' >&2", "exit 7"),
            "memory": script(tmp_path, eat),
        }
        ids = {why: (await queue.submit(text))[0] for why, text in texts.items()}
        await until(queue, ids.values(), lambda seen: set(states(seen)) == {"ended"})

        endings = {why: await queue.ending(id) for why, id in ids.items()}

        assert {why: ending.why for why, ending in endings.items()} == {why: why for why in ids}
        assert (endings["done"].exit_code, endings["done"].tail) == (0, "well")
        assert (endings["failed"].exit_code, endings["failed"].tail) == (7, "No module named daskflow")
        assert "exit code 7" in endings["failed"].words
        assert "where it had asked for 200.00 MiB" in endings["memory"].words
        assert (await queue.ending("999999")).why == "unknown"
        assert await queue.look(["999999"]) == {}
        assert await queue.look(["999999", "999998"]) == {}

    asyncio.run(scenario())


def test_a_dead_node_is_the_end_of_its_jobs(queue: SlurmQueue, slurm: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        # given
        (id,) = await queue.submit(script(tmp_path, "exec sleep 500", head="-w n4"))
        await until(queue, [id], lambda seen: states(seen) == ["running"])

        # when
        slurm.kill_node("n4")
        slurm.call_down("n4")

        # then
        await until(queue, [id], lambda seen: states(seen) == ["ended"])
        ending = await queue.ending(id)
        assert (ending.why, "NODE_FAIL" in ending.words) == ("node", True)

    try:
        asyncio.run(scenario())
    finally:
        slurm.start_node("n4")
        slurm.until_idle("n4")


@pytest.mark.parametrize(
    ("head", "words", "hint"),
    [
        ("-p nornal", "Invalid partition name specified", "did you mean 'normal'?"),
        ("-p nope", "Invalid partition name specified", "Partitions here: normal (default), short, closed (not open)."),
        ("--mem=64G", "Requested node configuration is not available", "normal has 4 cores and 19.53 GiB"),
        ("--time=soon", "Invalid --time specification", "short 1 min"),
        ("--colour=red", "unrecognized option '--colour=red'", "--dry-run"),
        ("-C avx9", "Invalid feature specification", ""),
    ],
)
def test_what_is_refused_is_an_error_of_one_line_in_the_call(
    queue: SlurmQueue, tmp_path: Path, head: str, words: str, hint: str
) -> None:
    with pytest.raises(QueueError) as caught:
        run(queue.submit(script(tmp_path, "true", head=head), 2))

    assert words in str(caught.value)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_script_that_is_none_is_refused(queue: SlurmQueue) -> None:
    with pytest.raises(QueueError, match="does not look like a batch script"):
        run(queue.submit("sleep 1\n"))


def test_without_sbatch_the_call_says_so(queue: SlurmQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(QueueError, match="There is no command 'sbatch' here"):
        run(queue.submit(script(tmp_path, "true")))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(1, 2**28, 60), ""),
        (Request(4, 2**34, 60, "normal"), ""),
        (Request(1, 2**28, 60, "short"), ""),
        (Request(64, 2**28, 60), "64 cores are asked for each worker, and no node of partition 'normal'"),
        (Request(1, 2**36, 60), "64.00 GiB of memory are asked for each worker"),
        (Request(1, 2**28, 300, "short"), "The walltime of 5 min is over the 1 min that partition 'short' allows."),
        (Request(1, 2**28, 300, "closed"), "Partition 'closed' is down"),
        (Request(1, 2**28, 300, "nope"), "Invalid partition name specified. Partitions here"),
    ],
)
def test_a_preflight_refuses_what_slurm_accepts_and_never_starts(
    queue: SlurmQueue, slurm: TestSlurm, tmp_path: Path, request_: Request, said: str
) -> None:
    head = f"-c {request_.cores} --time={request_.seconds / 60:.0f}" + (
        f" -p {request_.place}" if request_.place else ""
    )

    refused = run(queue.refusals(script(tmp_path, "true", head=head), request_))

    assert len(refused) == (1 if said else 0)
    assert said in "".join(refused)
    assert slurm.jobs() == {}


def run(call: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await call

    return asyncio.run(awaited())


def states(seen: dict[str, Job]) -> list[str]:
    return [job.state.value for job in seen.values()]


def waiting(seen: dict[str, Job]) -> list[Job]:
    return [job for job in seen.values() if job.state is JobState.PENDING]


async def until(queue: SlurmQueue, ids: Any, holds: Callable[[dict[str, Job]], bool]) -> dict[str, Job]:
    """Look until a condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds(seen := await queue.look(list(ids))):
        assert time.monotonic() < end, seen
        await asyncio.sleep(0.1)
    return seen
