"""The number of workers is held, whatever happens to their jobs, and no healthy job is ever cancelled."""

from __future__ import annotations

import gc
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.clusters.batch_jobs import JobState
from daskflow.clusters.fleet_values import Actions, FleetPlan, Seen
from tests.simulated_jobs import World

HOUR = 3600.0


def calm(workers: int = 3, **options: float) -> World:
    """A world in which all workers have come."""
    world = World(FleetPlan(workers=workers, **{"seconds": 24 * HOUR, "retries": 3, **options}))
    world.run(60.0)
    assert len(world.running()) == workers
    return world


@pytest.mark.parametrize("why", ["cancelled", "node", "failed", "memory", "done", "unknown"])
def test_a_job_that_ended_is_replaced_within_seconds(why: str) -> None:
    world = calm()

    world.end("1", why)
    world.run(15.0)

    assert sorted(job.id for job in world.alive()) == ["0", "2", "3"]
    world.run(20.0)
    assert len(world.running()) == 3
    assert not world.wrongly_cancelled


def test_losses_are_told_with_the_queues_words_and_counted() -> None:
    world = calm()

    world.end("1", "node")
    world.run(15.0)

    assert world.warned == ["Job 1 was lost: It ended: node. Another takes its place (1 of 9 that may be lost)."]


def test_what_is_lost_over_and_over_is_not_replaced_for_ever() -> None:
    world = World(FleetPlan(workers=2, seconds=24 * HOUR, retries=2))

    for _ in range(100):
        world.run(30.0)
        for job in world.running():
            world.end(job.id, "cancelled")

    assert "lost, more than the 4 that may be" in world.failure
    assert len(world.jobs) == 2 + 4


def test_workers_that_served_long_may_be_lost_without_end() -> None:
    world = World(FleetPlan(workers=2, seconds=24 * HOUR, retries=1))

    for _ in range(20):
        world.run(700.0)
        for job in world.running():
            world.end(job.id, "cancelled")

    world.run(60.0)
    assert not world.failure
    assert len(world.running()) == 2


def test_three_failed_starts_in_a_row_stop_the_run_with_the_tail_of_the_log() -> None:
    world = World(FleetPlan(workers=2), starts=lambda random: None)

    world.run(120.0)

    assert "3 jobs in a row ended before their workers came" in world.failure
    assert "The end of its log:\n    the end of its log" in world.failure
    assert len(world.jobs) <= 4


def test_of_many_workers_some_may_fail_to_start() -> None:
    world = World(FleetPlan(workers=100, seconds=24 * HOUR), starts=lambda r: None if r.random() < 0.05 else 10.0)

    world.run(300.0)

    assert not world.failure
    assert len(world.running()) == 100


def test_three_memory_kills_in_a_row_end_the_run_and_name_both_sizes() -> None:
    world = World(FleetPlan(workers=1, memory_bytes=300 * 2**20, seconds=24 * HOUR, retries=10))

    for _ in range(3):
        world.run(40.0)
        world.end(world.running()[0].id, "memory")
    world.run(10.0)

    assert "3 workers in a row were killed because they used more than the 300 MiB" in world.failure
    assert "It ended: memory." in world.failure


def test_a_worker_that_never_comes_counts_as_a_failed_start() -> None:
    world = World(FleetPlan(workers=1, start_seconds=60.0), starts=lambda random: 10**6)

    world.run(400.0)

    assert "its worker has not come" in world.failure
    assert not world.wrongly_cancelled


def test_a_job_whose_worker_has_gone_is_cancelled_and_replaced() -> None:
    world = calm()

    world.lose_worker("1")
    world.run(50.0)
    assert world.jobs["1"].state is JobState.RUNNING  # the worker may come back
    world.run(60.0)

    assert world.jobs["1"].state is JobState.ENDED
    assert len(world.running()) == 3


def test_a_worker_that_comes_back_is_left_alone() -> None:
    world = calm()

    world.lose_worker("1")
    world.run(30.0)
    world.jobs["1"].has_worker = True
    world.run(300.0)

    assert len(world.jobs) == 3


def test_a_job_put_back_in_line_is_replaced_and_its_name_not_used_again() -> None:
    world = calm()
    world.lose_worker("1")
    world.jobs["1"].state = JobState.PENDING

    world.run(60.0)

    assert world.jobs["1"].state is JobState.ENDED
    assert len(world.running()) == 3
    assert sum(job.had_worker for job in world.jobs.values()) == len(world.jobs)


def test_a_queue_that_cannot_be_asked_changes_nothing() -> None:
    world = calm()

    world.outage = True
    world.run(600.0)
    assert len(world.jobs) == 3
    world.end("1", "node")
    world.run(600.0)
    assert len(world.jobs) == 3

    world.outage = False
    world.run(60.0)
    assert len(world.running()) == 3


def test_a_queue_that_forgets_jobs_whose_workers_work_is_not_believed() -> None:
    world = calm()

    for job in world.jobs.values():
        job.is_forgotten = True
    world.run(600.0)

    assert len(world.jobs) == 3
    assert not world.wrongly_cancelled


def test_reasons_that_do_not_pass_end_the_run_at_once() -> None:
    world = World(FleetPlan(workers=2), waits=lambda random: 10**6, reason="PartitionDown")
    begun = world.now

    world.run(600.0)

    assert world.failure == "Job 0 would wait for ever: its partition is down (PartitionDown)."
    assert world.now - begun < 5.0


def test_such_a_reason_beside_workers_that_work_is_told() -> None:
    world = calm()
    world.waits, world.reason = (lambda random: 10**6), "PartitionDown"

    world.end("1", "node")
    world.run(60.0)

    assert not world.failure
    assert [text for text in world.warned if "PartitionDown" in text] == [
        "Job 3 would wait for ever: its partition is down (PartitionDown)."
    ]


def test_why_jobs_wait_is_said_once() -> None:
    world = World(FleetPlan(workers=2), waits=lambda random: 1000.0, reason="Priority")

    world.run(900.0)

    assert world.said == ["2 jobs wait: other jobs come first (Priority)."]


def test_refused_replacements_are_tried_again_with_patience() -> None:
    world = calm()
    world.refuses = True
    world.end("1", "node")

    world.run(300.0)
    assert sum("accepted no more jobs" in text for text in world.warned) == 1
    world.refuses = False
    world.run(120.0)

    assert len(world.running()) == 3


def test_all_work_is_done_in_many_walltimes_and_hardly_any_twice() -> None:
    world = World(FleetPlan(workers=2, seconds=60.0), units=70, lengths=lambda random: 2.5)

    world.run(1000.0, until=lambda: world.done >= 70)

    assert world.done >= 70
    assert world.repeated <= 7
    assert not world.wrongly_cancelled


def test_successors_are_there_before_the_end_of_a_walltime() -> None:
    world = World(
        FleetPlan(workers=4, seconds=HOUR), waits=lambda r: r.uniform(100.0, 200.0), lengths=lambda r: r.uniform(10, 60)
    )
    world.run(400.0)

    least = 10**6
    for _ in range(360):
        world.run(60.0)
        least = min(least, sum(not job.is_paused for job in world.running()))

    assert least >= 3  # a successor that waits longer than most may come a little late
    assert len(world.cut_off) == 0


def test_no_more_than_the_last_unit_of_a_worker_is_lost() -> None:
    world = World(FleetPlan(workers=5, seconds=600.0), lengths=lambda random: random.expovariate(1 / 30))

    world.run(4 * HOUR)

    assert world.repeated <= len(world.jobs)
    assert world.repeated <= 0.02 * world.done
    assert not world.wrongly_cancelled


def test_workers_that_came_together_do_not_leave_together() -> None:
    world = World(FleetPlan(workers=8, seconds=HOUR), starts=lambda random: 10.0, waits=lambda random: 1.0)

    world.run(100.0)
    least = 8
    for _ in range(400):
        world.run(10.0)
        least = min(least, len(world.running()))

    assert least >= 7


def test_a_unit_longer_than_any_walltime_ends_the_run() -> None:
    world = World(FleetPlan(workers=1, seconds=600.0, retries=100), lengths=lambda random: 10_000.0)

    world.run(10 * HOUR)

    assert "3 jobs in a row came to the end of their walltime of 10 min" in world.failure


def test_an_extended_walltime_is_used() -> None:
    world = calm(seconds=HOUR)
    world.run(HOUR - 400.0)
    for job in world.jobs.values():
        if job.ends_at is not None:
            job.ends_at += 10 * HOUR

    paused = sum(job.is_paused and not job.was_retired for job in world.jobs.values())
    world.run(30.0)

    assert paused == 0
    assert sum(not job.is_paused for job in world.running()) >= 3


def test_between_bounds_the_number_follows_the_work() -> None:
    world = World(FleetPlan(workers=1, minimum=1, maximum=10, seconds=24 * HOUR), units=2000)

    world.run(120.0)
    assert len(world.running()) == 10
    world.run(2000.0, until=lambda: world.done >= 2000)
    assert world.done >= 2000
    world.run(150.0)

    assert len(world.running()) == 1
    assert len(world.jobs) == 10
    assert world.repeated == 0
    assert not world.wrongly_cancelled


def test_short_pauses_of_the_work_do_not_make_the_number_flap() -> None:
    world = World(FleetPlan(workers=4, minimum=0, maximum=4, seconds=24 * HOUR), units=0)
    world.run(30.0)

    for _ in range(30):
        world.units += 20
        for job in world.running():
            world._work(job)
        world.run(45.0)

    assert len(world.jobs) == 4


EVENTS = st.lists(
    st.tuples(
        st.floats(0.1, 50.0),
        st.sampled_from(["cancelled", "node", "failed", "memory", "worker", "outage", "back", "refuse", "accept"]),
        st.integers(0, 30),
    ),
    max_size=8,
)


@settings(max_examples=150)
@given(EVENTS, st.integers(1, 5), st.sampled_from([90.0, 400.0, 24 * HOUR]), st.integers(0, 100))
def test_whatever_happens_the_number_is_held(
    events: list[tuple[float, str, int]], workers: int, seconds: float, seed: int
) -> None:
    world = World(
        FleetPlan(workers=workers, seconds=seconds, retries=1000), seed=seed, lengths=lambda r: r.uniform(5.0, 30.0)
    )

    for delay, kind, place in events:
        world.run(delay)
        jobs = [job for job in world.jobs.values() if job.state is not JobState.ENDED]
        if kind in ("outage", "back"):
            world.outage = kind == "outage"
        elif kind in ("refuse", "accept"):
            world.refuses = kind == "refuse"
        elif jobs and (kind != "worker" or jobs[place % len(jobs)].has_worker):
            job = jobs[place % len(jobs)]
            if kind == "worker":
                world.lose_worker(job.id)
            else:
                world.end(job.id, kind)
    world.outage = world.refuses = False
    world.run(240.0)

    assert not world.wrongly_cancelled
    if not world.failure:
        assert workers <= len([job for job in world.alive() if not job.was_retired]) <= 2 * workers
    else:  # the events were three failures in a row, or refusals with no job left
        assert "in a row" in world.failure or "refuses" in world.failure


def thousand(seconds: float) -> tuple[World, float, float]:
    """Simulate a thousand workers; return the world, the slowest decision and the share of the time that all took."""
    world = World(
        FleetPlan(workers=1000, seconds=600.0, retries=3),
        waits=lambda random: random.uniform(1.0, 100.0),
        starts=lambda random: random.uniform(5.0, 40.0),
        lengths=lambda random: random.uniform(20.0, 60.0),
    )
    took: list[float] = []
    decide = world.fleet.decide

    def timed(seen: Seen) -> Actions:
        began = time.thread_time()
        actions = decide(seen)
        took.append(time.thread_time() - began)
        return actions

    world.fleet.decide = timed  # type: ignore[method-assign]
    gc.disable()  # the simulated jobs are many objects, and collecting them is no part of a decision
    try:
        world.run(seconds)
    finally:
        gc.enable()
    return world, max(took), sum(took) / seconds


def test_a_thousand_workers_are_decided_about_in_little_time() -> None:
    world, slowest, share = thousand(330.0)

    assert sum(not job.is_paused for job in world.running()) >= 900
    assert slowest < 0.25
    assert share < 0.1


@pytest.mark.slow
def test_a_thousand_workers_are_held_for_generations_at_little_cost() -> None:
    world, slowest, share = thousand(1000.0)

    assert len(world.jobs) >= 2_000
    assert sum(not job.is_paused for job in world.running()) >= 900
    assert world.looks <= 1001
    assert slowest < 0.25
    assert share < 0.1
    assert not world.wrongly_cancelled
    assert world.repeated <= len(world.jobs)
