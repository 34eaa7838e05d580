"""On a cluster commands are heard at once, however long the fits that run take."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from daskflow.clusters.loopback import in_process
from daskflow.core.control import Command, Control
from daskflow.core.errors import ClusterError
from daskflow.core.events import Event
from daskflow.core.protocols import Call, Death, Limits, Unit
from daskflow.data import seats
from daskflow.data.client_executor import ClientExecutor
from daskflow.search import engine
from daskflow.search.candidates import named
from daskflow.search.jobs import Answer, unit_key
from daskflow.search.policies import AllAtOnce, Candidate
from tests.steered_search import Timed, cancelled

AT_ONCE = 60.0
"""Seconds in which a command takes effect: usually one, here far below the hour of a fit, on any machine."""

GATE = threading.Event()
"""Fits that take long end when it opens."""


def fit(seconds: float, alpha: float) -> Answer:
    """A fit that takes so long, or until the gate opens."""
    if seconds:
        GATE.wait(seconds)
    return Answer({"score": alpha})


@dataclass
class Lasting:
    """Work whose fits last as long as their candidate says."""

    n_folds: int = 1
    metric: str = "score"
    greater_is_better: bool = True
    asked: list[str] = field(default_factory=list)

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        self.asked.append(candidate.trial)
        return Unit(
            unit_key(candidate.trial, fold, stop), fit, (candidate.params["seconds"], candidate.params["alpha"])
        )


def lasting(*seconds: float) -> AllAtOnce:
    """A search whose fits last so long."""
    return AllAtOnce(named({"seconds": each, "alpha": float(n)} for n, each in enumerate(seconds)))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two threads of this process."""
    with in_process(threads=2) as opened:
        yield opened


@pytest.fixture
def executor(client: Any) -> Iterator[ClientExecutor]:
    """Whatever still waits in it ends with the test."""
    GATE.clear()
    yield ClientExecutor(client)
    GATE.set()
    until = time.monotonic() + 60
    while any(client.processing().values()) and time.monotonic() < until:
        time.sleep(0.01)


class Asking:
    """A listener that asks for something half a second after an event, once all is ready; it notes when that worked."""

    def __init__(self, on: str, *commands: Command, ready: Callable[[], bool] = lambda: True) -> None:
        self._ready = ready
        self.on, self.commands, self.control = on, list(commands), Control()
        self.asked_at = self.heard_at = math.nan
        self.events: list[Event] = []
        self._is_set = False

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event.name == self.on and not self._is_set:
            self._is_set = True
            threading.Timer(0.5, self._ask).start()
        if event.name == "control":
            self.heard_at = time.monotonic()

    def _ask(self) -> None:
        until = time.monotonic() + 60
        while not self._ready() and time.monotonic() < until:
            time.sleep(0.01)
        self.asked_at = time.monotonic()
        for command in self.commands:
            self.control.put(command)


def search(policy: AllAtOnce, asking: Asking, executor: Any, work: Lasting | None = None) -> tuple[Any, Timed]:
    journal = Timed()
    result = engine.run(policy, work or Lasting(), executor, recorder=journal, listener=asking, control=asking.control)
    return result, journal


def test_a_search_with_a_fit_of_an_hour_stops_at_once(executor: ClientExecutor) -> None:
    asking = Asking("best", Command("stop"))
    result, _ = search(lasting(0, 3600, 3600, 3600), asking, executor)
    assert time.monotonic() - asking.asked_at < AT_ONCE
    assert asking.heard_at - asking.asked_at < AT_ONCE
    assert result.ended == "it was stopped by hand"
    assert result.best.id == "0"
    assert [str(trial.state) for trial in result.trials] == ["finished", "stopped", "stopped", "stopped"]
    # and the executor has nothing on its way, so that the next stage can begin
    assert executor.pending == 0
    GATE.set()
    executor.submit(Unit("next", fit, (0, 7.0)))
    outcome = executor.next(100)
    assert outcome is not None
    assert outcome.key == "next"


def test_a_trial_that_runs_for_an_hour_is_cancelled_at_once_and_the_others_go_on(executor: ClientExecutor) -> None:
    asking = Asking("best", Command("cancel", trial="1"))
    result, journal = search(lasting(0, 3600, 0, 0, 0), asking, executor)
    assert time.monotonic() - asking.asked_at < AT_ONCE
    assert cancelled(result) == ["1"]
    assert result.best.id == "4"
    assert len(journal.of("unit")) == 5


def test_a_pause_is_heard_while_fits_run_and_lasts_after_they_have_ended(executor: ClientExecutor) -> None:
    # given two fits that run, two that were handed in behind them, and two more
    work = Lasting()
    asking = Asking("trial", Command("pause"), ready=lambda: len(work.asked) >= 4)
    seen: dict[str, Any] = {}

    def go_on() -> None:
        until = time.monotonic() + 120
        while math.isnan(asking.heard_at) and time.monotonic() < until:
            time.sleep(0.01)
        GATE.set()
        while len([e for e in asking.events if e.name == "unit"]) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        begun, seen["cpu"] = time.monotonic(), time.process_time()
        time.sleep(0.7)
        seen["cpu"] = (time.process_time() - seen["cpu"]) / (time.monotonic() - begun)
        seen["asked"] = list(work.asked)
        asking.control.put(Command("resume"))

    going = threading.Thread(target=go_on)
    going.start()
    # when
    result, _ = search(lasting(200, 200, 200, 200, 200, 200), asking, executor, work)
    going.join()
    # then
    assert asking.heard_at - asking.asked_at < AT_ONCE
    assert seen["asked"] == ["0", "1", "2", "3"]
    assert seen["cpu"] < 0.5
    assert work.asked == ["0", "1", "2", "3", "4", "5"]
    assert result.best.id == "5"


def test_a_unit_that_was_tried_alone_is_given_up_and_what_waited_for_it_goes_on(executor: ClientExecutor) -> None:
    # given a unit that may have killed its worker, and others that wait until it has shown
    executor._suspects.append(Unit("suspect", fit, (3600, 0.0)))
    assert executor.next(0.05) is None
    executor.submit(Unit("patient", fit, (0, 1.0)))
    # when
    executor.drop(["suspect"])
    # then
    outcome = executor.next(100)
    assert outcome is not None
    assert (outcome.key, executor.pending) == ("patient", 0)


def test_runs_that_share_workers_do_not_give_up_each_others_calls(client: Any, executor: ClientExecutor) -> None:
    other = ClientExecutor(client)
    keys = []
    for each in (executor, other):
        each.submit(Unit("fits-1", fit, (), calls=(Call("0-0-1", (0, 1.0)),)))
        outcome = each.next(100)
        assert outcome is not None
        keys += [part.key for part in outcome.parts]
    assert len(set(keys)) == 2
    assert all(key.startswith("0-0-1-") for key in keys)


def test_a_scheduler_that_is_gone_is_noticed_though_nothing_runs() -> None:
    class Lost:
        status = "connecting"

    with pytest.raises(ClusterError, match="The connection to the scheduler was lost"):
        ClientExecutor(Lost()).troubles()


class Counted:
    """Work whose fit is prepared by two units."""

    n_folds = 1
    metric = "score"
    greater_is_better = True

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Sequence[Unit]:
        trial = candidate.trial
        return [
            *(Unit(f"part-{trial}-{number}", fit, (0, 1.0)) for number in range(2)),
            Unit(unit_key(trial, fold, stop), fit, (0, float(trial))),
        ]


class Noting:
    """An executor that does what the inner one does, and notes what is given up."""

    slots = 1

    def __init__(self, inner: Any) -> None:
        self.inner, self.dropped = inner, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def drop(self, keys: Sequence[str]) -> None:
        self.dropped += keys
        self.inner.drop(keys)


def test_units_that_prepare_a_fit_are_given_up_with_it(executor: ClientExecutor) -> None:
    from daskflow.data.execution import InlineExecutor

    noting, control = Noting(InlineExecutor()), Control()

    def ask(event: Event) -> None:
        if event.name == "best":
            control.put(Command("stop"))

    policy = AllAtOnce(named([{"alpha": 1}, {"alpha": 2}, {"alpha": 3}]))
    engine.run(policy, Counted(), noting, listener=ask, control=control)
    assert noting.dropped == ["part-1-0", "part-1-1", "fit-1-0-1"]


def test_a_call_that_was_given_up_before_it_began_is_not_begun() -> None:
    own = seats.Seats()
    with own.taken() as seat:
        own.drop(["second", "third"])
        found = seat.run(
            time.sleep,
            (),
            [Call(key, (0 if key == "first" else 60,)) for key in ("first", "second", "third")],
            Limits(seconds=60),
        )
    own.vacate()
    assert [outcome.death for outcome in found] == [None, Death.DROPPED, Death.DROPPED]
    assert all(outcome.seconds < 50 for outcome in found)
