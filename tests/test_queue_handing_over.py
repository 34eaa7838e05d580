"""Jobs of a controller that ends are left to the next one: none is cancelled, counted twice, or waits for ever."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from distributed import Scheduler

from daskflow.clusters import batch_lease, batch_worker
from daskflow.clusters.batch_jobs import JOB, Job, JobState
from daskflow.clusters.batch_lease import HandedOver, Lease, check_lines, read_handed_over, read_lease
from daskflow.clusters.fleet import Fleet
from daskflow.clusters.fleet_accounts import Accounts
from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan, Phase, Seen, WorkerSeen
from daskflow.clusters.slurm import Slurm
from daskflow.core.events import Event
from tests.test_fleet_loop import InProcessQueue, until

FIRST, SECOND = "tls://127.0.0.1:1", "tls://127.0.0.1:2"


def handed_over(tmp_path: Path, *jobs: str) -> Lease:
    """The lease of a scheduler that has left jobs to the next one."""
    lease = Lease(tmp_path / "lease")
    lease.take(FIRST)
    lease.hand_over(FIRST, jobs, "shape")
    return lease


def test_a_lease_says_what_was_left_and_who_took_it(tmp_path: Path) -> None:
    # given
    lease = handed_over(tmp_path, "7", "8")
    # when
    handed = read_handed_over(lease.path)
    assert handed is not None
    assert (handed.jobs, handed.former, handed.shape) == (("7", "8"), (FIRST,), "shape")
    # when another takes it, and leaves what it has, too
    second = Lease(lease.path)
    second.take(SECOND, handed)
    assert read_handed_over(lease.path) is None
    known = read_lease(lease.path)
    assert [batch_lease.address_for(known, FIRST, job) for job in ("7", "8", "9")] == [SECOND, SECOND, None]
    second.hand_over(SECOND, ["8"], "shape")
    # then jobs of the first belong to the third, as far as they were left each time
    known = read_lease(lease.path)
    assert [batch_lease.address_for(known, address, "8") for address in (FIRST, SECOND)] == ["", ""]
    assert batch_lease.address_for(known, FIRST, "7") is None
    second.remove()
    assert batch_lease.address_for(read_lease(lease.path), FIRST, "8") is None


@pytest.mark.parametrize(
    "damaged", ['{"address": ""}', '{"address": "", "since": "x"}', "[]", "", '{"address": 3, "former": 4}']
)
def test_a_damaged_lease_leaves_nothing(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "lease").write_text(damaged)
    assert read_handed_over(tmp_path / "lease") is None


def test_a_job_that_starts_between_two_controllers_waits_for_the_next(tmp_path: Path) -> None:
    # given a job of the first, which begins when nobody is there (a shell looks each 2 s)
    lease = handed_over(tmp_path, "7")
    handed = read_handed_over(lease.path)
    script = "\n".join([*check_lines(shlex.quote(str(lease.path)), FIRST), 'echo "starts at $daskflow_address"'])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tls://127.0.0.1:{listening.getsockname()[1]}"
        other = Lease(lease.path)
        timer = threading.Timer(0.5, other.take, [address, handed])
        timer.start()
        # when
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
        timer.join()
        other.give_up()
    # then
    assert (done.returncode, done.stdout.strip()) == (0, f"starts at {address}"), done.stderr


def test_a_job_for_which_nobody_comes_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lease, "FOLLOW_SECONDS", 1.0)
    lease = handed_over(tmp_path, "7")
    script = "\n".join([*check_lines(shlex.quote(str(lease.path)), FIRST), "echo starts"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.strip().endswith("no controller has come that goes on with the run.")


def test_a_workers_process_begins_anew_with_the_next_controller_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process of job 7
    begun: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: begun.append((program, arguments)))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "distributed.cli.dask_worker", FIRST, "--name", "7"])
    monkeypatch.setattr(batch_worker, "GLANCE_SECONDS", 0.01)
    monkeypatch.setenv(JOB, "7")
    keys = tmp_path / "keys"
    # when its scheduler has ended for good, lives, has left other jobs, or nobody comes: it ends
    batch_worker.follow(keys, FIRST)
    lease = Lease(tmp_path / "lease")
    lease.take(FIRST)
    batch_worker.follow(keys, FIRST)
    lease.hand_over(FIRST, ["8"], "shape")
    batch_worker.follow(keys, FIRST)
    lease.hand_over(FIRST, ["7"], "shape")
    batch_worker.follow(keys, FIRST, seconds=0.05)
    assert begun == []
    # when the next one comes
    other = Lease(lease.path)
    timer = threading.Timer(0.2, other.take, [SECOND, read_handed_over(lease.path)])
    timer.start()
    batch_worker.follow(keys, FIRST)
    timer.join()
    other.give_up()
    # then
    assert begun == [(sys.executable, ["python", "-m", "distributed.cli.dask_worker", SECOND, "--name", "7"])]


def test_jobs_that_are_taken_over_are_neither_replaced_nor_given_up_nor_counted_twice() -> None:
    # given a job that has run for 50 minutes of an hour and a half, and one that waits
    fleet = Fleet(FleetPlan(workers=2, seconds=5400.0))
    jobs = [
        Job("7", JobState.RUNNING, began_at=1000.0, ends_at=6400.0),
        Job("8", JobState.PENDING, reason="Priority"),
    ]
    # when
    fleet.taken(jobs, since=4000.0, now=4030.0)
    seen = {job.id: job for job in jobs}
    # then no other is handed in, and none is cancelled while its worker is on its way
    for now in (4030.0, 4060.0, 4200.0):
        actions = fleet.decide(Seen(now, jobs=seen))
        assert (actions.submit, actions.cancel, actions.ask) == (0, [], [])
    fleet.decide(Seen(4201.0, jobs=seen, workers={"7": WorkerSeen()}))
    assert fleet.members["7"].phase is Phase.RUNNING
    # and its cores count from the moment at which it was left, to the second
    accounts = Accounts(cores=1)
    assert accounts.core_seconds(list(fleet.members.values()), 4300.0) == 300.0
    # and what waits is left again, as what has time, and not what is about to end
    assert fleet.to_hand_over(4300.0) == ["7", "8"]
    assert fleet.to_hand_over(6390.0) == ["8"]


def test_where_the_number_follows_the_work_those_that_wait_keep_their_place() -> None:
    # given workers between none and eight, of which three are taken over before anything is to be done
    fleet = Fleet(FleetPlan(workers=1, minimum=0, maximum=8, seconds=5400.0))
    jobs = {id: Job(id, JobState.PENDING, reason="Priority") for id in ("7", "8", "9")}
    fleet.taken(list(jobs.values()), since=4000.0, now=4030.0)
    # then none is cancelled and none is handed in, as long as the work is on its way
    for now in (4030.0, 4040.0, 4080.0):
        actions = fleet.decide(Seen(now, jobs=jobs))
        assert (actions.submit, actions.cancel) == (0, [])
    # when nothing comes, they go
    assert set(fleet.decide(Seen(4100.0, jobs=jobs)).cancel) == {"7", "8", "9"}


def test_jobs_that_could_not_be_handed_over_are_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("full")

    async def scenario() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            # given jobs that wait
            queue = InProcessQueue(scheduler.address, pends=True)
            loop = FleetLoop(scheduler, queue, FleetPlan(workers=2, seconds=3600.0), "#!/bin/bash")
            await loop.start()
            await asyncio.sleep(0)  # its sides begin
            # when they cannot be left
            monkeypatch.setattr(Fleet, "to_hand_over", fails)
            with pytest.raises(OSError, match="full"):
                await loop.hand_over()
            await loop.stop()
            # then none stays
            assert all(job.state is JobState.ENDED for job in queue.jobs.values())

    asyncio.run(scenario())


def test_a_job_whose_worker_does_not_come_back_is_given_up() -> None:
    fleet = Fleet(FleetPlan(workers=1, seconds=5400.0))
    job = Job("7", JobState.RUNNING, began_at=1000.0, ends_at=6400.0)
    fleet.taken([job], since=4000.0, now=4030.0)
    actions = fleet.decide(Seen(4340.0, jobs={"7": job}))
    assert actions.cancel == ["7"]


@pytest.mark.slow
def test_a_fleet_leaves_its_jobs_to_the_next_and_that_takes_them() -> None:
    async def scenario(queue: InProcessQueue, scheduler: Scheduler) -> None:
        events: list[Event] = []
        plan = FleetPlan(workers=2, seconds=3600.0)
        # given two workers, and a job that still waits
        first = FleetLoop(scheduler, queue, plan, "#!/bin/bash", on_event=events.append)
        await first.start()
        await until(lambda: all(each.counts_from is not None for each in first.fleet.members.values()))
        queue.jobs["7_9"] = Job("7_9", JobState.PENDING, reason="Priority")
        first.fleet.submitted(["7_9"], 0.0)
        # when
        left = await first.hand_over()
        # then nothing was cancelled, and what ran is written down
        assert set(left) == {"7_0", "7_1", "7_9"}
        assert not [call for call in queue.calls if call[0] == "cancel"]
        ended = [event.fields for event in events if event.name == "job"]
        assert {job["id"]: job["why"] for job in ended} == {"7_0": "done", "7_1": "done"}
        # when the next takes them
        events.clear()
        second = FleetLoop(scheduler, queue, plan, "#!/bin/bash", on_event=events.append)
        since = max(float(job["ended_at"]) for job in ended)
        await second.start(HandedOver(tuple(left), ("tls://a:1",), since))
        await until(lambda: len([event for event in events if event.name == "job_began"]) == 2)
        # then it submits none, and goes on counting where the first has ended
        assert [call[1] for call in queue.calls if call[0] == "submit"] == [2]
        began = [event.fields for event in events if event.name == "job_began"]
        assert {(job["began_at"], job["seconds"]) for job in began} == {(since, 0.0)}
        await second.stop()
        assert {id for name, ids in queue.calls if name == "cancel" for id in ids} == {"7_0", "7_1", "7_9"}

    async def closing() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
            queue = InProcessQueue(scheduler.address)
            try:
                await scenario(queue, scheduler)
            finally:
                for worker in queue.workers.values():
                    await worker.close()

    asyncio.run(closing())


def test_what_jobs_had_that_ended_between_two_controllers_is_counted() -> None:
    async def scenario(scheduler: Scheduler) -> list[dict[str, Any]]:
        # given a job that ran when it was left, and has ended before the next came, and one that ended before
        events: list[Event] = []
        queue = InProcessQueue(scheduler.address, pends=True)
        queue.jobs["8"] = Job("8", JobState.ENDED, began_at=1000.0, ends_at=4600.0)
        queue.jobs["9"] = Job("9", JobState.ENDED, began_at=1000.0, ends_at=3900.0)
        plan = FleetPlan(workers=1, seconds=7200.0, cores=2)
        second = FleetLoop(scheduler, queue, plan, "#!/bin/bash", on_event=events.append)
        # when
        await second.start(HandedOver(("8", "9"), ("tls://a:1",), 4000.0))
        await second.stop()
        return [dict(event.fields) for event in events if event.name == "job" and event.fields["core_hours"]]

    async def closing() -> list[dict[str, Any]]:
        async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
            return await scenario(scheduler)

    # then what it had since then is counted
    (job,) = asyncio.run(closing())
    assert (job["id"], job["began_at"], job["ended_at"]) == ("8", 4000.0, 4600.0)
    assert job["core_hours"] == pytest.approx(2 * 600 / 3600, abs=1e-5)


def test_jobs_of_one_allocation_or_with_a_packed_environment_are_not_left() -> None:
    def follows() -> bool:
        return True

    assert Slurm().followed(follows).hands_over
    assert not Slurm().hands_over
    more: list[dict[str, Any]] = [{"allocation": "single"}, {"ship": "packages"}]
    for options in more:
        assert not Slurm(**options).followed(follows).hands_over
