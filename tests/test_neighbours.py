"""Executors that share the workers of one client: who goes first, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import daskflow as flow
from daskflow.core.interruption import CURRENT, Interruption
from daskflow.core.protocols import Unit
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import run_all
from daskflow.data.neighbours import Neighbours, neighbours_of
from daskflow.data.seats import FIRST_SECONDS, PATIENCE, Pace

GATES: dict[str, threading.Event] = {}
DONE: list[str] = []


def done(name: str, gate: str = "") -> str:
    """Tell, when its gate is open, that it ran."""
    if gate:
        GATES[gate].wait(120)
    DONE.append(name)
    return name


def short(name: str) -> None:
    """Take so long that a thread which is not given a processor for a moment misses few turns; tell that it ran."""
    time.sleep(0.015)
    DONE.append(name)


def known(client: Any, number: int) -> None:
    """Wait until the scheduler knows so many tasks."""
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) < number:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[Any]:
    """The client of one worker with one thread, in this process."""
    with flow.connect("threads", workers=1) as client:
        yield client


def test_units_of_a_higher_priority_go_before_those_that_wait(one_thread: Any) -> None:
    # given a unit that keeps the only thread, and eight behind it
    GATES["open"] = threading.Event()
    DONE.clear()
    low, high = ClientExecutor(one_thread), ClientExecutor(one_thread).beside(priority=10)
    low.submit(Unit("first", done, ("first", "open")))
    for number in range(8):
        low.submit(Unit(f"low-{number}", done, ("low",), priority=number))
    known(one_thread, 9)
    # when
    for number in range(3):
        high.submit(Unit(f"high-{number}", done, ("high",), priority=-number))
    known(one_thread, 12)
    GATES["open"].set()
    for executor in (high, low):
        while executor.pending:
            executor.next()
    # then: only what the scheduler had given to the worker already may come before them
    assert DONE[0] == "first"
    assert sorted(DONE[1:]) == [*["high"] * 3, *["low"] * 8]
    assert DONE[-6:] == ["low"] * 6


def test_runs_of_equal_priority_take_turns(one_thread: Any) -> None:
    # given
    DONE.clear()
    units = {name: [Unit(f"{name}-{number}", short, (name,)) for number in range(30)] for name in ("a", "b")}
    # when
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: run_all(ClientExecutor(one_thread), units[name]), units))
    # then: from the moment both have begun, neither is far ahead as long as both have something left
    begun = max(DONE.index("a"), DONE.index("b"))
    ahead = 0
    for place, name in enumerate(DONE[begun:], start=begun):
        if "a" not in DONE[place:] or "b" not in DONE[place:]:
            break
        ahead += 1 if name == "a" else -1
        assert abs(ahead) <= 8


def test_a_thread_that_waits_for_an_outcome_is_interrupted_at_once(one_thread: Any) -> None:
    # given
    GATES["never"] = threading.Event()
    interruption = Interruption()
    token = CURRENT.set(interruption)
    try:
        executor = ClientExecutor(one_thread)
        executor.submit(Unit("stuck", done, ("stuck", "never")))
        threading.Timer(0.05, interruption.ask).start()
        begun = time.monotonic()
        # when
        with pytest.raises(KeyboardInterrupt):
            executor.next(100)
    finally:
        CURRENT.reset(token)
        executor.cancel()
        GATES["never"].set()
    # then
    assert time.monotonic() - begun < 60
    assert executor.pending == 0


class Member:
    """An executor that says what it has."""

    def __init__(self) -> None:
        self.running, self.company, self.is_used = False, 0, False

    def has_running(self) -> bool:
        return self.running

    def has_company(self) -> None:
        self.company += 1


def test_a_suspect_waits_for_the_others_and_they_for_it() -> None:
    # given
    neighbours, mine, other = Neighbours(), Member(), Member()
    neighbours.join(mine)
    neighbours.join(other)
    other.running = True
    # when
    was_reserved = neighbours.reserve(mine)
    with neighbours.sending(other) as other_may, neighbours.sending(mine) as i_may:
        pass
    other.running = False
    is_reserved = neighbours.reserve(mine)
    was_reserved_by_other = neighbours.reserve(other)
    neighbours.free(other)  # it is not theirs to give back
    still_mine = not neighbours.reserve(other)
    neighbours.free(mine)
    # then
    assert (was_reserved, is_reserved, was_reserved_by_other, still_mine) == (False, True, False, True)
    assert (other_may, i_may) == (False, True)
    assert neighbours.reserve(other)
    assert neighbours.sent(mine) is False
    assert other.company == 1


def test_processes_beside_workers_are_ended_by_whoever_leaves_last() -> None:
    # given
    neighbours, mine, other = Neighbours(), Member(), Member()
    neighbours.join(mine)
    neighbours.join(other)
    mine.is_used = other.is_used = True
    # when
    while_used = neighbours.may_vacate(mine)
    mine.is_used = False
    first_to_leave = neighbours.left(mine)
    other.is_used = False
    last_to_leave, once_more = neighbours.left(other), neighbours.left(other)
    # then
    assert (while_used, first_to_leave, last_to_leave, once_more) == (False, False, True, False)
    assert neighbours.may_vacate(mine)


def test_executors_of_a_client_know_each_other_and_a_dead_one_holds_nothing() -> None:
    # given
    client = Member()  # anything that can be referred to
    neighbours = neighbours_of(client)
    gone = Member()
    neighbours.join(gone)
    assert neighbours.reserve(gone)
    # when
    del gone
    # then
    assert neighbours_of(client) is neighbours
    assert neighbours.reserve(client)


def test_what_a_quick_run_took_is_no_measure_of_a_slow_ones_fits() -> None:
    # given
    pace = Pace()
    for _ in range(5):
        pace.add(0.001, "quick")
    # when, then
    assert pace.allowed(0.0, "quick") == pytest.approx(PATIENCE * 0.001)
    assert pace.allowed(0.0, "slow") == FIRST_SECONDS
