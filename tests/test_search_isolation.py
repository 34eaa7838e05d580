"""A fit that crashes, takes too much memory or never returns costs its candidate, quickly, and nothing else."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import daskflow as flow
import daskflow.metrics
from daskflow import models
from daskflow.core.protocols import Call, Death, Limits
from daskflow.core.results import SearchResult, TrialState
from daskflow.data import seats
from daskflow.search import engine
from daskflow.search.fits import MatrixWork
from daskflow.search.grid import Grid
from tests.small_matrices import classes, matrices_of


class Troublesome(ClassifierMixin, BaseEstimator):
    """Guesses, or does what a bad candidate may do."""

    def __init__(self, does: str = "well", marks: str = "") -> None:
        self.does = does
        self.marks = marks

    def fit(self, X: Any, y: Any) -> Troublesome:
        if self.marks:
            with open(f"{self.marks}/{self.does}", "a") as file:
                file.write(f"{os.getpid()}\n")
        if self.does == "segfault":
            ctypes.string_at(0)
        elif self.does == "exit":
            os._exit(3)
        elif self.does == "memory":
            self.held = [np.ones(2**21) for _ in range(40)]  # 640 MiB
            time.sleep(3600)
        elif self.does == "native loop":
            ctypes.PyDLL(None).pause()  # holds the interpreter's lock: no Python thread can end it
        elif self.does.startswith("nap"):
            time.sleep(0.4)
        elif self.does == "sleep":
            time.sleep(3600)
        elif self.does == "raise":
            print("before the error", file=sys.stderr)
            raise ValueError("no such luck")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with flow.clusters.Local(workers=2, memory="2 GiB").open() as opened:
        yield opened


def search_for(connection: Any, folder: Path, does: list[str], **options: Any) -> tuple[SearchResult, engine.Memory]:
    """A grid search over what candidates do."""
    X, y = classes()
    (folder / "snapshots").mkdir()
    search = Grid(**options)
    work = MatrixWork(
        model=models.parse(Troublesome(marks=str(folder))),
        task="binary",
        n_classes=2,
        matrices=matrices_of(folder / "matrices", X, y),
        metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
        metric="accuracy",
        seed=7,
        snapshots=folder / "snapshots",
        search=search,
    )
    journal = engine.Memory()
    return engine.run(search.policy({"does": does}, seed=0), work, connection.executor, recorder=journal), journal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "timeout", "reason", "tries"),
    [
        ("segfault", "120 s", "Crashed: its process died of SIGSEGV", 2),
        ("exit", "120 s", "Crashed: its process died of exit code 3", 2),
        ("memory", "120 s", "Out of memory: a fit may hold 300 MiB here, and it held", 1),
        ("native loop", "5 s", "Too slow: a fit may take 5 s here, and it took", 1),
        ("sleep", "5 s", "Too slow: a fit may take 5 s here, and it took", 1),
    ],
)
def test_guarantees_7_8_a_fit_that_ends_or_hangs_its_process_costs_its_candidate_only(
    does: str, timeout: str, reason: str, tries: int, connection: Any, tmp_path: Path
) -> None:
    workers = _pids(connection)
    # when one candidate of three is bad
    result, _ = search_for(connection, tmp_path, ["well", does, "fine"], fit_timeout=timeout, fit_memory="300 MiB")
    # then it ranks last with its reason, after a bounded number of tries, and the others are scored
    last = result.ranked()[-1]
    assert last.params == {"does": does}
    assert last.state is TrialState.FAILED
    assert last.error.startswith(reason)
    assert [trial.state for trial in result.ranked()[:2]] == [TrialState.FINISHED] * 2
    begun = (tmp_path / does).read_text().splitlines()
    assert len(begun) <= tries * 2  # on two folds
    # and the workers are those there were before
    assert _pids(connection) == workers


def _pids(connection: Any) -> set[int]:
    """Of the workers."""
    return set(connection.client.run(os.getpid).values())


@pytest.mark.slow
def test_a_failed_fit_leaves_its_log_and_no_process_stays(connection: Any, tmp_path: Path) -> None:
    # when
    result, journal = search_for(connection, tmp_path, ["well", "raise"])
    # then what it wrote and where it raised can be read
    assert result.ranked()[-1].error == "ValueError: no such luck"
    failed = next(record for record in journal.records if "error" in record)
    text = (tmp_path / failed["log"]).read_text()
    assert "before the error" in text
    assert "raise ValueError" in text
    # and no seat is left after the search
    deadline = time.monotonic() + 60
    while _seats() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _seats() == []


def _seats() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "daskflow.data.seat_process" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_guarantee_7_a_deadline_follows_from_the_median_of_what_fits_took() -> None:
    pace = seats.Pace()
    # given nothing that is known, an hour; and what the search knows from elsewhere
    assert pace.allowed(0.0) == 3600
    assert pace.allowed(2.0) == 60
    # when fits took two seconds a step, and one much longer
    for seconds in (2.0, 2.0, 500.0):
        pace.add(seconds)
    # then thirty times the median
    assert pace.allowed(0.0) == 60
    assert pace.allowed(5.0) == 150


@pytest.mark.slow
def test_a_fit_that_is_not_wanted_any_more_is_ended_and_the_next_goes_on() -> None:
    own = seats.Seats()
    limits = Limits(seconds=600)
    with own.taken() as seat:
        # when a call runs, and its key is dropped
        def drop() -> None:
            while seat.running != "long":
                time.sleep(0.01)
            own.drop(["long"])

        dropping = threading.Thread(target=drop)
        dropping.start()
        first, second = seat.run(time.sleep, (), [Call("long", (250,)), Call("short", (0,))], limits)
        dropping.join()
    own.vacate()
    # then
    assert first.death is Death.DROPPED
    assert first.seconds < 120
    assert second.error is None
