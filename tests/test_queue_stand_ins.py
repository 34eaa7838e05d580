"""LSF, HTCondor and OAR as their commands are asked: jobs are handed in, seen, ended and told of, on stand-ins."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Queue, QueueError
from tests.stand_in_queues import COMMANDS, StandIn, standing_in

PATIENCE_SECONDS = 60.0

MARK = "4f1e2d3c5b-0a1b2c3d"


@pytest.fixture(params=sorted(COMMANDS))
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StandIn]:
    with standing_in(request.param, tmp_path / "system") as standing:
        yield standing


def script(system: StandIn, folder: Path, command: str, **settings: object) -> str:
    """A job like a worker's, but for its command."""
    return system.cluster(folder, MARK, **settings).controller_script(["sh", "-c", command])


def queue_of(system: StandIn, folder: Path) -> Queue:
    return system.cluster(folder, MARK).commands()


async def until(
    ask: Callable[[], Awaitable[dict[str, Job]]], holds: Callable[[dict[str, Job]], bool]
) -> dict[str, Job]:
    """Ask again and again until it holds."""
    for _ in range(round(PATIENCE_SECONDS / 0.05)):
        jobs = await ask()
        if holds(jobs):
            return jobs
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_SECONDS} s: {jobs}")


async def ended(queue: Queue, id: str) -> Ending:
    """Wait for a job's end, and say how it was."""
    await until(lambda: queue.look([id]), lambda seen: id not in seen or seen[id].state is JobState.ENDED)
    return await queue.ending(id)


def test_equal_jobs_are_seen_by_the_ids_that_they_find_in_themselves(system: StandIn, tmp_path: Path) -> None:
    async def scenario() -> None:
        # given three jobs, of which two have room
        system.is_set_up(slots=2)
        queue = queue_of(system, tmp_path)
        ids = await queue.submit(script(system, tmp_path, 'echo "I am $DASKFLOW_JOB"; exec sleep 100'), 3)
        assert len(set(ids)) == 3

        # when
        jobs = await until(
            lambda: queue.look([*ids, "999999"]), lambda seen: [j.state for j in seen.values()].count("running") == 2
        )

        # then what runs has a node and an end, and what waits has neither
        assert sorted(jobs) == sorted(ids)
        for job in jobs.values():
            if job.state is JobState.RUNNING:
                assert job.node == os.uname().nodename
                assert job.began_at is not None
                assert job.ends_at is not None
                assert 1790 < job.ends_at - job.began_at < 1910
            else:
                assert job.began_at is None
                assert job.ends_at is None
                assert job.reason

        # then the run's mark finds them, and another's finds none
        assert sorted(await queue.of_run(MARK)) == sorted(ids)
        assert await queue.of_run("another") == {}

        # when one that runs is cancelled, together with one that nobody knows
        victim = next(id for id in ids if jobs[id].state is JobState.RUNNING)
        log = tmp_path / "logs" / f"{victim}.log"
        await until(lambda: queue.look(ids), lambda _: log.is_file() and log.stat().st_size > 0)
        await queue.cancel([victim, "999999" if system.kind != "htcondor" else "999999.0"])

        # then it alone ends, its log is found by its ID, and the one that waited takes its place
        ending = await ended(queue, victim)
        assert ending.why == "cancelled"
        assert victim in ending.words
        assert ending.tail == f"I am {victim}"
        others = [id for id in ids if id != victim]
        await until(lambda: queue.look(others), lambda seen: [j.state for j in seen.values()] == [JobState.RUNNING] * 2)

        # when all are cancelled, even twice
        await queue.cancel(ids)
        await queue.cancel(ids)

        # then none is left
        await until(lambda: queue.look(ids), lambda seen: all(j.state is JobState.ENDED for j in seen.values()))
        assert system.living() == []

    asyncio.run(scenario())


def test_every_kind_of_end_is_told_apart(system: StandIn, tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = queue_of(system, tmp_path)

        async def end_of(command: str) -> Ending:
            (id,) = await queue.submit(script(system, tmp_path, command))
            return await ended(queue, id)

        # when jobs end by themselves
        done, failed, killed = await asyncio.gather(
            end_of("true"), end_of("echo no python >&2; exit 3"), end_of("kill -9 $$")
        )

        # then
        assert (done.why, done.exit_code) == ("done", 0)
        assert (failed.why, failed.exit_code, failed.tail) == ("failed", 3, "no python")
        assert "exit code 3" in failed.words
        assert killed.why == "failed"
        assert killed.exit_code is None
        assert "signal 9" in killed.words

        # when the walltime of a job is over, once it has said something
        (id,) = await queue.submit(script(system, tmp_path, "echo so far; exec sleep 100"))
        log = tmp_path / "logs" / f"{id}.log"
        await until(lambda: queue.look([id]), lambda _: log.is_file() and log.stat().st_size > 0)
        system.jobs.end(id, "walltime")
        late = await ended(queue, id)

        # then
        assert late.why == "walltime"
        assert "walltime was over" in late.words
        assert late.tail == "so far"

        # when a job is one that nobody knows
        unknown = await queue.ending("999999.0" if system.kind == "htcondor" else "999999")

        # then
        assert unknown.why == "unknown"
        assert "999999" in unknown.words

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["lsf", "htcondor"])
def test_a_job_that_the_system_kills_for_its_memory_is_told_so(kind: str, tmp_path: Path) -> None:
    async def scenario(system: StandIn) -> None:
        queue = queue_of(system, tmp_path)
        (id,) = await queue.submit(script(system, tmp_path, "echo growing; exec sleep 100"))
        log = tmp_path / "logs" / f"{id}.log"
        await until(lambda: queue.look([id]), lambda _: log.is_file() and log.stat().st_size > 0)

        system.jobs.end(id, "memory")
        ending = await ended(queue, id)

        assert ending.why == "memory"
        assert "more memory than it asked for" in ending.words
        assert ending.tail == "growing"
        assert await queue.look([id]) == {} or (await queue.look([id]))[id].state is JobState.ENDED

    with standing_in(kind, tmp_path / "system") as system:
        asyncio.run(scenario(system))


def test_a_job_that_htcondor_holds_leaves_the_queue_when_its_end_is_told(tmp_path: Path) -> None:
    async def scenario(system: StandIn) -> None:
        queue = queue_of(system, tmp_path)
        (id,) = await queue.submit(script(system, tmp_path, "exec sleep 100"))
        await until(lambda: queue.look([id]), lambda seen: seen[id].state is JobState.RUNNING)
        system.jobs.end(id, "memory")

        await ended(queue, id)

        assert await queue.look([id]) == {}

    with standing_in("htcondor", tmp_path / "system") as system:
        asyncio.run(scenario(system))


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("lsf", {"queue": "nornal"}, r"LSF refused the job: No such queue.*did you mean 'normal'\?"),
        ("lsf", {"queue": "closed"}, r"Queue has been closed.*normal \(default\), closed \(not open\)"),
        ("lsf", {"walltime": "5 h"}, r"Cannot exceed queue's hard limit.*normal 2 h"),
        ("htcondor", {"directives": ["requirements = (Memory > 1"]}, r"Parse error in expression.*directives"),
        ("oar", {"queue": "nope"}, r"OAR refused the job: The queue nope does not exist\. Set queue"),
        ("oar", {"cores": 99}, r"There are not enough resources for your request.*largest node has 8 cores"),
        ("oar", {"log_folder": "/tmp/my+logs"}, r"Invalid stdout file name.*log_folder"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in COMMANDS else None,
)
def test_a_refusal_is_the_systems_own_words_and_a_hint(
    kind: str, settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    with standing_in(kind, tmp_path / "system") as system:
        place = dict(settings)
        if "log_folder" in place:
            place["log_folder"] = str(tmp_path / "my+logs")
        with pytest.raises(QueueError, match=words) as caught:
            asyncio.run(queue_of(system, tmp_path).submit(script(system, tmp_path, "true", **place)))
        assert "\n" not in str(caught.value)
        assert system.living() == []


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("lsf", {"queue": "nornal"}, "LSF has no queue 'nornal'"),
        ("lsf", {"queue": "closed"}, "Queue 'closed' is closed"),
        ("lsf", {"walltime": "5 h"}, "walltime of 5 h is over the 2 h that queue 'normal' allows"),
        ("lsf", {"cores": 9}, "no node of queue 'normal' gives more than 8"),
        ("lsf", {"memory": "40 GiB"}, "no node of queue 'normal' has more than 31.20 GiB"),
        ("htcondor", {"cores": 9}, "No machine of this pool has 9 cores"),
        ("htcondor", {"directives": ["requirements = (Memory > 1"]}, "Parse error"),
        ("oar", {"cores": 9}, "no node has more than 8"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in COMMANDS else None,
)
def test_what_would_wait_for_ever_is_refused_before_anything_is_handed_in(
    kind: str, settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    with standing_in(kind, tmp_path / "system") as system:
        cluster = system.cluster(tmp_path, MARK, **settings)
        refused = asyncio.run(cluster.commands().refusals(cluster.job_script(), cluster.request))
        assert words in " ".join(refused)

        fine = system.cluster(tmp_path, MARK)
        assert asyncio.run(fine.commands().refusals(fine.job_script(), fine.request)) == []


@pytest.mark.parametrize(("kind", "site"), [("lsf", {"array_size": 2}), ("htcondor", {"most": 2})])
def test_more_jobs_than_one_submission_may_have_come_in_several(
    kind: str, site: dict[str, int], tmp_path: Path
) -> None:
    with standing_in(kind, tmp_path / "system") as system:
        system.is_set_up(is_busy=True, **site)
        ids = asyncio.run(queue_of(system, tmp_path).submit(script(system, tmp_path, "true"), 5))
        assert len(set(ids)) == 5
        assert sorted(system.living()) == sorted(ids)


def test_a_system_that_is_not_there_is_a_sentence(
    system: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of(system, tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for call in (
        queue.submit(script(system, tmp_path, "true")),
        queue.look(["7"]),
        queue.places(),
        queue.cancel(["7"]),
    ):
        with pytest.raises(QueueError, match=r"There is no command '\w+' here.*login node"):
            asyncio.run(call)
