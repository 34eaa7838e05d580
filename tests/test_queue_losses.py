"""Whatever becomes of jobs and nodes of a real Slurm, the number of workers is held and every unit has its result."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daskflow.clusters.fleet_values import FleetPlan
from tests.fleet_on_slurm import held
from tests.slurm_fixture import TestSlurm

pytestmark = pytest.mark.timeout(900)

MEMORY_MB = 300

PATIENCE_SECONDS = 180.0
"""On a machine with little to do all of it takes a few seconds."""


@pytest.fixture
def whole(slurm: TestSlurm) -> Iterator[TestSlurm]:
    """A Slurm whose nodes are all well again afterwards."""
    yield slurm
    jobs = list(slurm.jobs())
    subprocess.run(["scancel", "--quiet", *jobs], check=False, timeout=60)
    slurm.until_idle("n1", "n2", "n3", "n4")


def slept(folder: str, number: int, seconds: float) -> int:
    """Leave a mark for each time that the unit is begun."""
    with Path(folder, f"unit-{number}").open("a") as file:
        file.write("begun\n")
    time.sleep(seconds)
    return number


def begun(folder: Path) -> int:
    """How often units were begun."""
    return sum(len(path.read_text().splitlines()) for path in folder.glob("unit-*"))


def hungry(marks: str, times: int) -> str:
    """Take more memory than the job has, so many times; a sampler ends the job within some seconds."""
    if len(list(Path(marks).iterdir())) < times:
        Path(marks, f"mark-{time.time_ns()}").touch()
        eaten = b"x" * (2 * MEMORY_MB * 2**20)
        time.sleep(300)
        return f"not ended with {len(eaten)} bytes"
    return "done"


@pytest.mark.slow
def test_workers_of_a_dead_and_of_a_silent_node_are_replaced_and_all_units_are_done(
    whole: TestSlurm, tmp_path: Path
) -> None:
    async def scenario() -> None:
        # given a worker on each of two nodes, at work
        async with held(whole.folder / "jobs", FleetPlan(workers=2, seconds=600.0), cores=4, minutes=10) as run:
            await run.until(lambda: len(run.workers()) == 2, PATIENCE_SECONDS)
            dead, silent = first = run.workers()
            nodes = {name: whole.node_of(name) for name in first}
            assert len(set(nodes.values())) == 2
            units = run.client.map(slept, [str(tmp_path)] * 30, range(30), [0.5] * 30, pure=False)
            await run.until(lambda: begun(tmp_path) >= 6, PATIENCE_SECONDS)
            try:
                # when one node dies and the other falls silent, with results in the memory of both
                whole.kill_node(nodes[dead])
                whole.freeze_node(nodes[silent])
                for node in nodes.values():
                    whole.call_down(node)
                # then both are replaced, on other nodes, and all units are done
                await run.until(lambda: len(set(run.fleet.fleet.members) - set(first)) == 2, PATIENCE_SECONDS)
                await run.until(lambda: len(set(run.workers()) - set(first)) == 2, PATIENCE_SECONDS)
                assert await asyncio.wait_for(run.client.gather(units), PATIENCE_SECONDS) == list(range(30))
                assert {whole.node_of(name) for name in set(run.workers()) - set(first)}.isdisjoint(nodes.values())
            finally:
                whole.start_node(nodes[dead])
                whole.thaw_node(nodes[silent])
            # and the silent one, when it speaks again, is no worker of the run any more
            whole.until_idle(*nodes.values())
            assert set(run.workers()) == set(run.fleet.fleet.members)
            assert set(run.workers()).isdisjoint(first)
            ended = {event.fields["id"]: event.fields["why"] for event in run.events if event.name == "job"}
            assert ended == dict.fromkeys(first, "node")
            assert not run.fleet.failure
            assert await run.client.submit(os.getpid, pure=False) > 0

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_memory_kill_is_told_apart_and_replaced_and_the_third_in_a_row_ends_the_run(
    whole: TestSlurm, tmp_path: Path
) -> None:
    async def scenario() -> None:
        # given one worker with little memory
        plan = FleetPlan(workers=1, seconds=600.0, memory_bytes=MEMORY_MB * 2**20)
        async with held(whole.folder / "jobs", plan, memory=f"{MEMORY_MB}M", minutes=10) as run:
            await run.until(lambda: len(run.workers()) == 1, PATIENCE_SECONDS)
            # when a unit takes too much of it, once
            (tmp_path / "once").mkdir()
            unit = run.client.submit(hungry, str(tmp_path / "once"), 1)
            # then its worker is replaced, by the budget, and the unit is done there
            assert await asyncio.wait_for(unit, PATIENCE_SECONDS) == "done"
            (job,) = [event.fields for event in run.events if event.name == "job"]
            assert job["why"] == "memory"
            (said,) = [text for text in run.texts() if "Another takes its place" in text]
            assert f"where it had asked for {MEMORY_MB}.00 MiB" in said
            assert "Another takes its place (1 of 3 that may be lost)" in said
            # when one takes too much again and again
            (tmp_path / "always").mkdir()
            unit = run.client.submit(hungry, str(tmp_path / "always"), 9)
            # then the run does not go on like that
            await run.until(lambda: run.fleet.failure, PATIENCE_SECONDS)
            assert "3 workers in a row were killed because they used more than the 300 MiB" in run.fleet.failure
            assert "cluster.memory" in run.fleet.failure
            assert len(list((tmp_path / "always").iterdir())) == 2
            await unit.cancel()

    asyncio.run(scenario())


@pytest.mark.slow
def test_while_slurmctld_is_away_jobs_are_left_as_they_are_and_work_goes_on(whole: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        # given two workers at work
        async with held(whole.folder / "jobs", FleetPlan(workers=2, seconds=600.0), minutes=10) as run:
            await run.until(lambda: len(run.workers()) == 2, PATIENCE_SECONDS)
            first = run.workers()
            lost, other = first
            units = run.client.map(slept, [str(tmp_path)] * 20, range(20), [0.2] * 20, pure=False)
            whole.stop_controller()
            try:
                # when one of them ends while the queue cannot be asked
                (address,) = [w.address for w in run.scheduler.workers.values() if w.name == lost]
                await run.client.run(os._exit, 1, workers=[address], on_error="ignore")
                # then that is said once, nothing is submitted or cancelled, and the other does all the work
                await run.until(lambda: any("cannot be asked" in text for text in run.texts()), PATIENCE_SECONDS)
                assert await asyncio.wait_for(run.client.gather(units), PATIENCE_SECONDS) == list(range(20))
                assert set(run.fleet.fleet.members) == set(first)
                assert run.workers() == [other]
            finally:
                whole.start_controller()
            # when it is back, the one that was lost is replaced, and the other was never touched
            await run.until(lambda: any("answers again" in text for text in run.texts()), PATIENCE_SECONDS)
            await run.until(lambda: len(run.workers()) == 2, PATIENCE_SECONDS)
            assert other in run.workers()
            assert lost not in run.workers()
            assert sum("cannot be asked" in text for text in run.texts()) == 1
            assert not run.fleet.failure

    asyncio.run(scenario())


@pytest.mark.slow
def test_of_a_full_queue_it_is_told_what_it_waits_for_and_work_begins_with_what_there_is(
    whole: TestSlurm, tmp_path: Path
) -> None:
    async def scenario() -> None:
        # given a queue in which one core is free
        blockers = ["sbatch", "--parsable", "-o", "/dev/null", "--mem=100M", "-t", "5"]
        for cores in (4, 4, 4, 3):
            whole.ask(*blockers, "-N1", "-n1", f"-c{cores}", "--wrap", "sleep 280")
        for _ in range(600):
            if list(whole.jobs().values()) == ["RUNNING"] * 4:
                break
            await asyncio.sleep(0.1)
        async with held(whole.folder / "jobs", FleetPlan(workers=3, seconds=600.0), minutes=10) as run:
            # then one of three workers comes, and of the others it is told what they wait for
            await run.until(lambda: len(run.workers()) == 1, PATIENCE_SECONDS)
            assert await run.client.gather(run.client.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
            await run.until(lambda: any(text.startswith("2 jobs wait: ") for text in run.texts()), PATIENCE_SECONDS)
            said = next(text for text in run.texts() if text.startswith("2 jobs wait: "))
            assert "the nodes are in use (Resources)" in said
            waiting = [job for job in run.fleet.jobs() if job["state"] == "pending"]
            assert len(waiting) == 2
            assert {job["reason"] for job in waiting} <= {"Resources", "Priority"}
            # when there is room, the same jobs start
            mine = set(run.fleet.fleet.members)
            whole.ask("scancel", *(job for job in whole.jobs() if job not in mine))
            await run.until(lambda: len(run.workers()) == 3, PATIENCE_SECONDS)
            assert set(run.workers()) == mine

    asyncio.run(scenario())


@pytest.mark.endurance
@pytest.mark.parametrize("how", ["dead", "silent"])
def test_slurm_itself_notices_that_a_node_is_gone_and_its_worker_is_replaced(
    whole: TestSlurm, tmp_path: Path, how: str
) -> None:
    async def scenario() -> None:
        # given
        async with held(whole.folder / "jobs", FleetPlan(workers=2, seconds=600.0), cores=4, minutes=10) as run:
            await run.until(lambda: len(run.workers()) == 2, 60.0)
            lost = run.workers()[0]
            node = whole.node_of(lost)
            units = run.client.map(slept, [str(tmp_path)] * 60, range(60), [1.0] * 60, pure=False)
            await run.until(lambda: begun(tmp_path) >= 6, 20.0)
            # when nobody tells Slurm
            (whole.kill_node if how == "dead" else whole.freeze_node)(node)
            try:
                # then all is done all the same, by as many workers
                assert await asyncio.wait_for(run.client.gather(units), 180.0) == list(range(60))
                await run.until(lambda: len(set(run.workers()) - {lost}) == 2, 90.0)
                assert {event.fields["id"]: event.fields["why"] for event in run.events if event.name == "job"} == {
                    lost: "node"
                }
            finally:
                (whole.start_node if how == "dead" else whole.thaw_node)(node)

    asyncio.run(scenario())
    print(f"{how}: {begun(tmp_path)} begun of 60")


@pytest.mark.endurance
def test_a_killed_slurmctld_that_forgot_and_starts_a_job_again_is_no_trouble(whole: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with held(whole.folder / "jobs", FleetPlan(workers=2, seconds=600.0), minutes=10) as run:
            # given a worker that ended while slurmctld had been killed, soon after the jobs began
            await run.until(lambda: len(run.workers()) == 2, 60.0)
            lost, other = run.workers()
            whole.stop_controller(signal.SIGKILL)
            (address,) = [w.address for w in run.scheduler.workers.values() if w.name == lost]
            await run.client.run(os._exit, 1, workers=[address], on_error="ignore")
            await asyncio.sleep(12.0)
            # when it is back
            whole.start_controller()
            await asyncio.sleep(60.0)
            # then there are two workers, whichever, each of a job of its own, and the one that was well is one of them
            await run.until(lambda: len(run.workers()) == 2 == len(set(run.workers())), 60.0)
            assert other in run.workers()
            assert set(run.workers()) == set(run.fleet.fleet.members)
            assert await run.client.gather(run.client.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
            assert not run.fleet.failure
            print(run.texts())

    asyncio.run(scenario())


@pytest.mark.endurance
def test_when_workers_are_let_go_and_wanted_again_in_a_full_queue_no_pending_job_is_cancelled(
    whole: TestSlurm, tmp_path: Path
) -> None:
    async def scenario() -> None:
        # given a fleet that has let its workers go, for want of work
        plan = FleetPlan(workers=2, minimum=0, maximum=2, seconds=600.0)
        async with held(whole.folder / "jobs", plan, minutes=10) as run:
            first = run.client.map(slept, [str(tmp_path)] * 8, range(8), [0.5] * 8, pure=False)
            assert await run.client.gather(first) == list(range(8))
            former = set(run.fleet.fleet.members)
            del first
            await run.until(lambda: not run.fleet.fleet.members, 120.0)
            # when there is work again, in a queue that is full
            whole.ask("sbatch", "--exclusive", "-N4", "-o", "/dev/null", "-t", "5", "--wrap", "sleep 200")
            await asyncio.sleep(2.0)
            units = run.client.map(slept, [str(tmp_path)] * 8, range(100, 108), [0.5] * 8, pure=False)
            await run.until(lambda: len(run.fleet.fleet.members) == 2, PATIENCE_SECONDS)
            wanted = set(run.fleet.fleet.members)
            assert wanted.isdisjoint(former)
            # then the same two jobs wait, for longer than dask-jobqueue's timer of lost workers
            for _ in range(30):
                await asyncio.sleep(1.0)
                assert wanted <= set(whole.jobs())
                assert set(run.fleet.fleet.members) == wanted
            # and do the work when they are let in
            whole.ask("scancel", *(set(whole.jobs()) - wanted))
            assert await asyncio.wait_for(run.client.gather(units), 60.0) == list(range(100, 108))
            assert {task.name for task in run.scheduler.workers.values()} <= wanted

    asyncio.run(scenario())
