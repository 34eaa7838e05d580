"""On a real Slurm the number of workers is held, over the end of walltimes too, and nothing stays in the queue."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from daskflow.clusters.fleet_values import FleetPlan
from tests.fleet_on_slurm import ShortLived, held
from tests.slurm_fixture import TestSlurm

pytestmark = pytest.mark.timeout(900)

PATIENCE_SECONDS = 180.0
"""On a machine with little to do all of it takes a few seconds."""


def noted(folder: str, number: int, seconds: float) -> int:
    """Leave a mark for each time that the unit is begun."""
    with Path(folder, f"unit-{number}").open("a") as file:
        file.write("begun\n")
    time.sleep(seconds)
    return number


def in_queue(slurm: TestSlurm) -> list[str]:
    """Jobs that wait or run; what has ended is cleaned up for some seconds more."""
    return [job for job, state in slurm.jobs().items() if state != "COMPLETING"]


def begun(folder: Path) -> int:
    """How often units were begun."""
    return sum(len(path.read_text().splitlines()) for path in folder.glob("unit-*"))


@pytest.mark.slow
def test_cancelled_workers_are_replaced_and_nothing_stays_in_the_queue(slurm: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with held(slurm.folder / "jobs", FleetPlan(workers=2, seconds=600.0), minutes=10) as run:
            await run.until(lambda: len(run.workers()) == 2, PATIENCE_SECONDS)
            first = run.workers()[0]
            units = run.client.map(noted, [str(tmp_path)] * 6, range(6), [0.5] * 6, pure=False)

            subprocess.run(["scancel", first], check=True)
            await run.until(lambda: len(set(run.fleet.fleet.members) - {first}) == 2, PATIENCE_SECONDS)
            await run.until(lambda: len(run.workers()) == 2 and first not in run.workers(), PATIENCE_SECONDS)

            assert await run.client.gather(units) == list(range(6))
            assert any(first in text and "Another takes its place" in text for text in run.texts())
            assert {event.fields["why"] for event in run.events if event.name == "job"} == {"cancelled"}

    asyncio.run(scenario())
    assert in_queue(slurm) == []


@pytest.mark.slow
def test_workers_that_cannot_start_end_the_run_with_their_log(slurm: TestSlurm) -> None:
    async def scenario() -> None:
        plan = FleetPlan(workers=2, seconds=60.0)
        async with held(slurm.folder / "jobs", plan, python="/no/such/python") as run:
            await run.until(lambda: run.fleet.failure, PATIENCE_SECONDS)

            assert "jobs in a row ended before their workers came" in run.fleet.failure
            assert "/no/such/python" in run.fleet.failure

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_closed_partition_ends_the_run_at_once(slurm: TestSlurm) -> None:
    async def scenario() -> None:
        async with held(slurm.folder / "jobs", FleetPlan(workers=2, seconds=60.0), "closed") as run:
            await run.until(lambda: run.fleet.failure, PATIENCE_SECONDS)

            assert "its partition is down (PartitionDown)" in run.fleet.failure

    asyncio.run(scenario())
    assert in_queue(slurm) == []


@pytest.mark.slow
def test_workers_are_followed_by_others_before_their_walltime_ends(slurm: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        plan = FleetPlan(workers=2, seconds=18.0)
        async with held(slurm.folder / "jobs", plan, queue=ShortLived(18)) as run:
            units = run.client.map(noted, [str(tmp_path)] * 48, range(48), [0.5] * 48, pure=False)

            assert await asyncio.wait_for(run.client.gather(units), PATIENCE_SECONDS) == list(range(48))

            assert not run.texts()  # nothing was lost
            ended = [event.fields for event in run.events if event.name == "job"]
            assert {job["why"] for job in ended} <= {"done"}
            assert len(run.fleet.fleet.members) + len(ended) > 2

    asyncio.run(scenario())
    assert begun(tmp_path) <= 52


@pytest.mark.endurance
def test_more_work_than_a_walltime_holds_is_finished_with_little_of_it_twice(slurm: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with held(slurm.folder / "jobs", FleetPlan(workers=2, seconds=60.0), "short") as run:
            units = run.client.map(noted, [str(tmp_path)] * 70, range(70), [2.5] * 70, pure=False)

            assert await asyncio.wait_for(run.client.gather(units), 280.0) == list(range(70))

            assert not run.fleet.failure
            assert not run.texts()
            ended = [event.fields["ended_at"] for event in run.events if event.name == "job"]
            assert ended[1] - ended[0] > 5.0  # those that came together did not leave together

    since = time.monotonic()
    asyncio.run(scenario())
    assert begun(tmp_path) <= 77
    print(f"{begun(tmp_path)} begun of 70, in {time.monotonic() - since:.0f} s")
