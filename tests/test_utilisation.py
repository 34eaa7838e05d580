"""What the cluster's slots did is accounted for to the last second, by cause of idleness."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as flow
from daskflow.core.protocols import Outcome, Unit
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor, run_all
from daskflow.workflow.occupancy import Account, Occupancy
from daskflow.workflow.recording import Meter

PARTS = ("busy", "no_task", "waiting_for_data", "waiting_for_workers")


def sum_of(account: Account) -> float:
    return sum(float(getattr(account, part)) for part in PARTS)


@given(
    st.lists(st.tuples(st.floats(-5, 12), st.floats(0, 8), st.floats(0, 10), st.floats(0, 10)), max_size=12),
    st.lists(st.tuples(st.floats(-5, 12), st.integers(1, 5)), max_size=4),
    st.integers(0, 4),
)
@settings(max_examples=200, deadline=None)
def test_for_any_units_and_slots_the_parts_are_never_negative_and_sum_to_all_slot_seconds(
    units: list[tuple[float, float, float, float]], looks: list[tuple[float, int]], asked: int
) -> None:
    # given units handed in and answered at any time, some never, and any number of slots at any time
    occupancy = Occupancy(asked)
    for at, slots in sorted(looks):
        occupancy.see(slots, at)
    start = occupancy.open(0.0)
    for number, (at, length, seconds, waited) in enumerate(units):
        occupancy.hand_in(str(number), at)
        if number % 4 != 3:
            occupancy.answer(str(number), at + length, seconds=seconds, waited=waited)
    # when ten seconds are accounted for
    account = occupancy.close(start, 10.0)
    # then nothing is lost
    assert sum_of(account) == pytest.approx(account.slot_seconds)
    assert account.slot_seconds == pytest.approx(10.0 * account.slots)
    assert min(getattr(account, part) for part in PARTS) >= -1e-9


def test_slots_that_are_missing_wait_for_workers_only_while_units_are_there_for_them() -> None:
    # given four slots asked for of which two are there for five seconds, and then all
    occupancy = Occupancy(asked=4)
    occupancy.see(2, 0.0)
    start = occupancy.open(0.0)
    for name in "abcd":
        occupancy.hand_in(name, 0.0)
    occupancy.see(4, 5.0)
    # when two units ran at once and the others once there was room
    for name, end in zip("abcd", (8.0, 8.0, 13.0, 13.0), strict=True):
        occupancy.answer(name, end, seconds=8.0)
    account = occupancy.close(start, 15.0)
    # then the two slots that were missing waited for five seconds, and the end had nothing to do
    assert account.slots == 4
    assert account.busy == pytest.approx(32.0)
    assert account.waiting_for_workers == pytest.approx(10.0)
    assert account.no_task == pytest.approx(4 * 15 - 42)


def test_an_answer_that_nobody_fetches_frees_its_slot() -> None:
    # given a unit whose answer came at 2 and was fetched at 9, by a driver that worked meanwhile
    occupancy = Occupancy(asked=1)
    start = occupancy.open(0.0)
    occupancy.hand_in("a", 0.0)
    occupancy.answer("a", 2.0, seconds=2.0)
    # then the slot had no unit since
    assert occupancy.close(start, 9.0).no_task == pytest.approx(7.0)


def test_a_unit_that_runs_over_the_end_of_a_stage_counts_in_each_for_its_share() -> None:
    occupancy = Occupancy(asked=1)
    first = occupancy.open(0.0)
    occupancy.hand_in("a", 0.0)
    before = occupancy.close(first, 4.0)
    second = occupancy.open(4.0)
    occupancy.answer("a", 10.0, seconds=6.0)
    after = occupancy.close(second, 10.0)
    assert (before.waiting_for_workers, after.busy) == (4.0, 6.0)


def test_stages_within_a_stage_are_accounted_for_each_by_itself() -> None:
    occupancy = Occupancy(asked=1)
    outer = occupancy.open(0.0)
    inner = occupancy.open(1.0)
    occupancy.hand_in("a", 1.0)
    occupancy.answer("a", 3.0, seconds=2.0)
    assert occupancy.close(inner, 3.0).busy == pytest.approx(2.0)
    assert occupancy.close(outer, 6.0).busy == pytest.approx(2.0)


def burn(seconds: float) -> None:
    """Use a processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def wait(seconds: float) -> None:
    """Be blocked, as by a read whose bytes do not come."""
    threading.Event().wait(seconds)


def account_of(executor: Any, units: list[Unit], *, reads: bool, idle: float = 0.0) -> Account:
    """Run units as a stage does, after the driver has worked for some seconds."""
    meter = Meter(executor, print)
    meter.reads = reads
    start = meter.occupancy.open(time.perf_counter())
    assert meter.slots > 0
    wait(idle)
    run_all(meter, units)
    return meter.occupancy.close(start, time.perf_counter())


@pytest.mark.parametrize("kind", ["inline", "cluster"])
def test_work_waiting_for_bytes_and_a_busy_driver_are_told_apart(kind: str, request: pytest.FixtureRequest) -> None:
    # given units that compute for 0.2 s and units that wait for bytes for 0.3 s, and a driver that works for 0.4 s
    executor = InlineExecutor() if kind == "inline" else ClientExecutor(request.getfixturevalue("client"))
    units = [Unit(f"burn-{n}", burn, (0.2,)) for n in range(2)] + [Unit(f"wait-{n}", wait, (0.3,)) for n in range(2)]
    # when they run in a stage that reads
    account = account_of(executor, units, reads=True, idle=0.4)
    # then each is found where it belongs
    assert account.slots == executor.slots
    assert sum_of(account) == pytest.approx(account.slot_seconds)
    assert account.waiting_for_data > 0.55
    assert account.busy >= 0.38
    assert account.no_task >= 0.4 * account.slots - 0.01
    if kind == "inline":
        assert account.waiting_for_workers == pytest.approx(0.0, abs=0.2)


def test_a_stage_that_does_not_read_counts_what_blocks_a_unit_as_its_work() -> None:
    account = account_of(InlineExecutor(), [Unit("wait", wait, (0.2,))], reads=False)
    assert account.waiting_for_data == 0.0
    assert account.busy >= 0.2


class Outside:
    """An executor of two slots whose units wait a little before they run."""

    slots, pending = 2, 0

    def __init__(self) -> None:
        self.units: list[Unit] = []

    def submit(self, unit: Unit) -> None:
        self.units.append(unit)

    def next(self, timeout: float | None = None) -> Outcome | None:
        wait(0.3)
        return Outcome(self.units.pop().key, seconds=0.1)


def test_time_in_the_clusters_queue_waits_for_workers() -> None:
    meter = Meter(Outside(), print)  # type: ignore[arg-type]  # as much of an executor as is needed here
    start = meter.occupancy.open(time.perf_counter())
    meter.occupancy.see(2, start)
    meter.submit(Unit("a", burn))
    meter.next()
    account = meter.occupancy.close(start, time.perf_counter())
    assert account.busy == pytest.approx(0.1, abs=0.01)
    # of one of two slots it is all the time that the unit was away, which is 0.3 s at least
    assert account.waiting_for_workers >= 0.19
    assert account.busy + account.waiting_for_workers <= account.slot_seconds / 2 + 0.01


def test_workers_that_were_asked_for_and_are_not_there_are_waited_for(client: Any) -> None:
    # given a cluster of two slots where four were asked for, and four units at once
    meter = Meter(ClientExecutor(client), print, asked=4)
    start = meter.occupancy.open(time.perf_counter())
    # when two run after the other two
    run_all(meter, [Unit(f"late-{n}", wait, (0.4,)) for n in range(4)])
    account = meter.occupancy.close(start, time.perf_counter())
    # then the missing two slots wait for workers in the first half, and have no task in the second
    assert account.slots == 4
    assert account.busy >= 1.59
    assert account.waiting_for_workers > 0.6
    assert account.no_task > 0.5
    assert sum_of(account) == pytest.approx(account.slot_seconds)


def test_a_unit_costs_the_meter_a_few_microseconds() -> None:
    occupancy = Occupancy(asked=4)
    start = occupancy.open(0.0)
    begun = time.thread_time()
    for number in range(20_000):
        occupancy.hand_in(str(number), number * 1e-3)
        occupancy.answer(str(number), number * 1e-3 + 1e-3, seconds=1e-3)
    occupancy.close(start, 20.0)
    assert (time.thread_time() - begun) / 20_000 < 100e-6


def test_a_run_records_what_its_slots_did_in_every_stage_and_sums_over_invocations(tmp_path: Path) -> None:
    # given a workflow that is interrupted in its search
    workflow = flow.Workflow(
        name="small",
        data={"kind": "generated", "rows": 800},
        model="sgd",
        search={"kind": "random", "trials": 2},
        split={"kind": "random", "test": 0.2, "folds": 2},
        cluster="inline",
        cache={"kind": "disk", "folder": str(tmp_path / "store")},
    )

    def stop(event: Any) -> None:
        if event.name == "unit":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workflow.run(tmp_path / "runs", listener=stop)
    before = flow.open_run(tmp_path / "runs" / "small").record()
    # when it is continued
    record = workflow.run(tmp_path / "runs").record()
    # then every stage says what its slots did, over both invocations
    found = {stage["stage"]: stage for stage in record.utilisation["stages"]}
    assert record.utilisation["slots"] == 1
    assert {"scan", "split", "statistics", "matrices", "search", "refit", "evaluation", "model"} <= set(found)
    for stage in found.values():
        assert sum(stage[part] for part in PARTS) == pytest.approx(stage["slot_seconds"], abs=1e-4)
    earlier = {stage["stage"]: stage for stage in before.utilisation["stages"]}
    assert found["scan"]["seconds"] > earlier["scan"]["seconds"]
    assert found["search"]["busy"] > 0.5 * found["search"]["slot_seconds"]
    # and the table of stages has the processor time of units as well
    stages = {stage["stage"]: stage for stage in record.stages}
    assert stages["search"]["cpu_seconds"] > 0
    assert sum(stage["cpu_seconds"] for stage in stages.values()) == pytest.approx(record.cpu_seconds)
