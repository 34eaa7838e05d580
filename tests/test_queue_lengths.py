"""A fit that is longer than a worker's time left is not begun there, and one longer than any walltime not at all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed.client import Future

import daskflow as flow
from daskflow.clusters.fleet_values import FleetPlan
from daskflow.core.errors import ClusterError, SettingsError
from daskflow.core.protocols import Unit
from daskflow.data.client_executor import SECONDS
from daskflow.data.execution import InlineExecutor
from daskflow.search import engine
from daskflow.search.costs import Step
from daskflow.search.forecast import Forecast
from daskflow.search.jobs import Answer, Job, unit_key
from daskflow.search.lengths import Lengths
from daskflow.search.policies import Candidate, Request
from daskflow.search.schedules import Rung
from daskflow.workflow import timed_fits
from daskflow.workflow.submitting import submit
from tests.fake_queue import FakeQueue
from tests.fleet_on_slurm import ShortLived, held
from tests.slurm_fixture import TestSlurm
from tests.test_fleet_loop import Loop, loop, until
from tests.test_queue_losses import begun, slept


def known(fits: int, seconds_per_step: float, steps: int = 1) -> Forecast:
    """A forecast that has seen fits."""
    forecast = Forecast([Rung(None, Step(0, steps), 99, 99)])
    for number in range(fits):
        cost = seconds_per_step * steps * (0.9 + 0.2 * (number % 2))
        forecast.add(str(number), 0, 0, steps, seconds=cost, cpu_seconds=cost, at=cost * number)
    return forecast


def test_what_a_unit_takes_is_foretold_by_the_fits_that_are_done() -> None:
    lengths = Lengths(known(12, seconds_per_step=2.0), walltime_seconds=60.0)
    jobs = [Job(Candidate(name, {}), 0, 0, 1) for name in ("x", "y", "z")]

    assert 1.5 < lengths.of(jobs[:1]) < 2.5
    assert 4.5 < lengths.of(jobs) < 7.5
    assert lengths.of([]) == 0.0
    assert Lengths(known(0, 1.0), 60.0).of(jobs) == 0.0


def test_a_fit_longer_than_any_walltime_is_an_error_that_says_what_to_do() -> None:
    lengths = Lengths(known(12, seconds_per_step=2.0), walltime_seconds=60.0)
    # what takes a good part of a walltime is begun
    assert 10 < lengths.of([Job(Candidate("x", {}), 0, 1, 21)]) < 60

    with pytest.raises(ClusterError) as caught:
        lengths.of([Job(Candidate("x", {}), 0, 1, 2), Job(Candidate("long", {}), 0, 1, 2001)])

    assert "A fit of trial long is expected to take" in str(caught.value)
    assert "a job of this cluster lives for 60 s" in str(caught.value)
    assert "cluster.walltime" in str(caught.value)


def test_of_fits_that_are_nothing_beside_a_walltime_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = Lengths(known(12, seconds_per_step=2.0), walltime_seconds=3600.0)
    monkeypatch.setattr(Forecast, "lengths", lambda *_: pytest.fail("drawn"))

    assert lengths.of([Job(Candidate("x", {}), 0, 0, 1)]) == pytest.approx(2.0)


class Growing:
    """Fits of one second, and then one of a hundred times as much; each notes that it was begun."""

    n_folds, metric, greater_is_better = 1, "score", True

    def __init__(self, forecast: Forecast) -> None:
        self.forecast = forecast
        self.begun: list[int] = []
        self.units: list[Unit] = []

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        unit = Unit(unit_key(candidate.trial, fold, stop), self.fit, (candidate.trial, start, stop))
        self.units.append(unit)
        return unit

    def fit(self, trial: str, start: int, stop: int) -> Answer:
        self.begun.append(stop)
        seconds = float(stop - start)
        self.forecast.add(trial, 0, start, stop, seconds=seconds, cpu_seconds=seconds, at=time.time())
        return Answer({"score": 1.0})


class Longer:
    """A policy that asks one trial for more and more."""

    def __init__(self, *resources: int) -> None:
        self.candidates = [Candidate("only", {})]
        self.resources = list(resources)
        self.is_asked = False

    def ask(self) -> list[Request]:
        if self.is_asked or not self.resources:
            return []
        self.is_asked = True
        return [Request("only", self.resources.pop(0))]

    def tell(self, *_: Any) -> None:
        self.is_asked = False


def test_a_search_ends_before_such_a_fit_is_begun_and_keeps_what_is_finished() -> None:
    # given fits that take as long as their resource, and workers that live for a minute
    forecast = Forecast([Rung(None, Step(0, 1), 1, 1)])
    work, memory = Growing(forecast), engine.Memory()
    # when
    with pytest.raises(ClusterError, match="never come to its end"):
        engine.run(
            Longer(1, 2, 4, 8, 16, 2000),  # type: ignore[arg-type]
            work,
            InlineExecutor(),
            recorder=memory,
            lengths=Lengths(forecast, walltime_seconds=60.0),
        )
    # then
    assert work.begun == [1, 2, 4, 8, 16]
    assert [record["resource"] for record in memory.records if record["record"] == "unit"] == [1, 2, 4, 8, 16]


def long_unit(run: Loop, number: int, seconds: float) -> Future:
    """Hand in a unit of which it is known what it takes."""
    with dask.annotate(**{SECONDS: seconds}):
        return run.client.submit(abs, -number, key=f"long-{number}-{time.time_ns()}")


def ends_in(run: Loop, id: str, seconds: float) -> None:
    """Let the queue say when a job ends, and the fleet have heard it, of a worker that has been there for long."""
    said = run.queue.jobs[id] = replace(run.queue.jobs[id], ends_at=time.time() + seconds)
    run.fleet._jobs = dict(run.queue.jobs)  # what it heard before would undo it at its next decision
    run.fleet.fleet.members[id].job = said
    run.fleet.fleet.members[id].worker_at = time.time() - 3600 + seconds


@pytest.mark.slow
def test_a_unit_goes_to_a_worker_with_time_for_it_and_waits_for_one_where_there_is_none() -> None:
    async def scenario() -> None:
        async with loop(FleetPlan(workers=2)) as run:
            await until(lambda: all(each["state"] == "running" for each in run.fleet.jobs()))
            # given one worker with two minutes left
            ends_in(run, "7_0", 120.0)
            # when units are handed in that take longer
            units = [long_unit(run, number, 300.0) for number in range(4)]
            # then only the other one gets them, while it may have those that fit
            assert await run.client.gather(units) == [0, 1, 2, 3]
            assert {name for where in (await run.client.who_has()).values() for name in where} == {
                run.queue.workers["7_1"].address
            }
            fitting = [long_unit(run, number, 10.0) for number in range(8)]
            await run.client.gather(fitting)
            assert run.queue.workers["7_0"].data
            # when no worker has the time for one
            ends_in(run, "7_1", 120.0)
            unit = long_unit(run, 9, 300.0)
            await until(lambda: run.scheduler.unrunnable)
            assert run.fleet._lengths.longest_waiting() == 300.0
            # then others are submitted, and one of them does it
            assert await asyncio.wait_for(unit, 60.0) == 9
            (where,) = (await run.client.who_has([unit])).values()
            assert where[0] in {run.queue.workers[id].address for id in list(run.queue.jobs)[2:]}

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_workflow_whose_fits_outlast_a_walltime_is_refused_before_a_job_is_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given far more rows than a minute is enough for, and fits that are timed by what nobody else takes
    own_time = SimpleNamespace(perf_counter=time.process_time, process_time=time.process_time)
    monkeypatch.setattr(timed_fits, "time", own_time)
    queue = FakeQueue()
    monkeypatch.setattr(flow.clusters.Slurm, "commands", lambda self: queue)

    def workflow(walltime: str) -> flow.Workflow:
        return flow.Workflow(
            name="long",
            data={"kind": "generated", "rows": 40_000_000_000},
            model="sgd",
            search="none",
            cluster={"kind": "slurm", "walltime": walltime},
        )

    # when
    with pytest.raises(SettingsError) as caught:
        submit(workflow("1 min"), tmp_path / "runs")
    # then
    assert "cluster.walltime: one fit is expected to take" in str(caught.value)
    assert "a job lives for 60 s" in str(caught.value)
    assert queue.scripts == []
    assert not (tmp_path / "runs").exists()
    # and a plan says so, too
    assert any("cluster.walltime: one fit" in note for note in workflow("1 min").plan(tmp_path / "runs").notes)
    # and what fits is handed in
    assert submit(workflow("1 h"), tmp_path / "runs").job == "100"


@pytest.mark.endurance
def test_on_slurm_a_unit_that_would_be_cut_off_is_begun_once_by_a_successor(slurm: TestSlurm, tmp_path: Path) -> None:
    async def scenario() -> None:
        # given workers that live for 24 s and have half of that left
        plan = FleetPlan(workers=2, seconds=24.0)
        async with held(slurm.folder / "jobs", plan, queue=ShortLived(24)) as run:
            await run.until(lambda: len(run.workers()) == 2, 60.0)
            first = set(run.workers())
            await asyncio.sleep(10.0)
            # when a unit of 12 s is handed in
            with dask.annotate(**{SECONDS: 12.0}):
                unit = run.client.submit(slept, str(tmp_path), 1, 12.0)
            # then it is begun by another, and once
            assert await asyncio.wait_for(unit, 60.0) == 1
            (where,) = (await run.client.who_has([unit])).values()
            names = {worker.name for worker in run.scheduler.workers.values() if worker.address in where}
            assert names.isdisjoint(first)
            assert not run.texts()

    asyncio.run(scenario())
    assert begun(tmp_path) == 1
