"""A worker that is killed during the last fit costs the rounds since the last checkpoint, and nothing else."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.datasets import make_classification

from daskflow.clusters.local import Local
from daskflow.core.errors import ClusterError
from daskflow.core.events import Event
from daskflow.core.protocols import Connection
from daskflow.search import boosting
from daskflow.search.distributed_fit import distributed_fit
from tests.conftest import NOT_INSTALLED_IS_A_FAILURE
from tests.distributed_parts import Family, held_rank, rounds_on_disk, write_part

if not NOT_INSTALLED_IS_A_FAILURE and not all(find_spec(name) for name in ("xgboost", "lightgbm")):
    pytest.skip("xgboost or lightgbm is missing", allow_module_level=True)

pytestmark = pytest.mark.slow

ROUNDS = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Connection]:
    """A cluster of this file's own, for it is going to be hurt."""
    with Local(workers=2).open() as opened:
        yield opened


@pytest.fixture
def connection(cluster: Connection) -> Connection:
    """The cluster, once a worker stands in the place of one that was killed."""
    cluster.client.wait_for_workers(2, timeout=60)
    return cluster


@pytest.fixture(scope="module")
def rows(tmp_path_factory: Any) -> tuple[Any, Any]:
    """Rows and their matrix."""
    X, y = make_classification(30_000, 20, n_informative=12, random_state=5)
    X = X.astype(np.float32)
    return X, write_part(tmp_path_factory.mktemp("rows") / "p", X, y)


@pytest.fixture(scope="module")
def undisturbed(rows: Any, cluster: Connection, tmp_path_factory: Any) -> Callable[[str], Any]:
    """What a library's fit over both workers predicts when nobody disturbs it; fitted once."""

    @cache
    def predicted(library: str) -> Any:
        cluster.client.wait_for_workers(2, timeout=60)
        model = fitted(library, rows[1], tmp_path_factory.mktemp("u"), cluster, lambda event: None, "workers")
        return model.predict_proba(rows[0])

    return predicted


def boosted(library: str) -> Any:
    """An estimator whose rounds do not draw anything."""
    if library == "xgboost":
        return import_module("xgboost").XGBClassifier(n_estimators=ROUNDS, max_depth=5)
    return import_module("lightgbm").LGBMClassifier(n_estimators=ROUNDS, verbose=-1)


def fitted(library: str, part: Any, folder: Path, connection: Connection, listener: Any, spread: Any) -> Any:
    """Fit over both workers."""
    return distributed_fit(
        connection,
        part,
        Family(boosted(library)),
        {},
        task="binary",
        n_classes=2,
        seed=None,
        folder=folder,
        checkpoint_every=10,
        listener=listener,
        spread=spread,
    )


def seats_of(pid: int) -> list[int]:
    """Processes that run fits beside a worker."""
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):
            found += [child.pid] if "daskflow.data.seat_process" in child.cmdline() else []
    return found


class Killer:
    """Listens, kills a process once some rounds are on the disk, and then lets the fit go on, which waits for it."""

    def __init__(self, connection: Connection, which: str, folder: Path) -> None:
        self.connection, self.which, self.go = connection, which, folder / "go"
        self.warnings: list[str] = []
        self.killed: list[int] = []

    def __call__(self, event: Event) -> None:
        if event.name == "warning":
            self.warnings.append(event.fields["text"])
        if event.name == "progress" and not self.killed and event.fields["done"] < ROUNDS:
            self.killed.append(self.victim())
            os.kill(self.killed[0], signal.SIGKILL)
            self.go.touch()

    def victim(self) -> int:
        """Process of the first worker, of the last one, or of the seat beside the last one."""
        pids = [pid for _, pid in sorted(self.connection.client.run(os.getpid).items())]
        if self.which == "seat":
            return seats_of(pids[-1])[0]
        return pids[0] if self.which == "first" else pids[-1]


@pytest.mark.parametrize("which", ["first", "last", "seat"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_killed_process_costs_some_rounds_and_the_model_is_that_of_an_undisturbed_fit(
    library: str,
    which: str,
    rows: Any,
    connection: Connection,
    undisturbed: Callable[[str], Any],
    tmp_path: Path,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given what an undisturbed fit over two workers gives
    X, part = rows
    expected = undisturbed(library)

    # when a process is killed between two checkpoints
    monkeypatch.setattr(boosting, "boost_rank", held_rank)
    killer = Killer(connection, which, tmp_path)
    with caplog.at_level(logging.WARNING, logger="daskflow"):
        ours = fitted(library, part, tmp_path / "k", connection, killer, "workers")

    # then there are as many rounds, a sentence in the log, and the same predictions
    assert len(killer.killed) == 1
    assert len(killer.warnings) == 1
    assert "The final fit was interrupted after round" in killer.warnings[0]
    assert "restart 1 of at most 5" in killer.warnings[0]
    assert killer.warnings[0] in caplog.text
    assert rounds_on_disk(tmp_path / "k") == ROUNDS
    booster = ours.get_booster() if library == "xgboost" else ours.booster_
    made = booster.num_boosted_rounds() if library == "xgboost" else booster.current_iteration()
    assert made == ROUNDS
    assert np.abs(ours.predict_proba(X) - expected).max() < 0.02


def test_on_one_machine_the_death_of_the_worker_that_does_not_train_disturbs_nothing(
    rows: Any, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, part = rows
    monkeypatch.setattr(boosting, "boost_rank", held_rank)
    killer = Killer(connection, "last", tmp_path)

    ours = fitted("xgboost", part, tmp_path / "k", connection, killer, "machines")

    assert killer.killed
    assert killer.warnings == []
    own = boosted("xgboost").set_params(n_jobs=2).fit(X, np.load(Path(part.folder) / "y.npy"))
    assert np.allclose(ours.predict_proba(X), own.predict_proba(X), atol=1e-5)


def test_a_fit_whose_processes_die_again_and_again_is_given_up_and_can_be_called_again(
    rows: Any, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given somebody who kills every process beside a worker as soon as it is there, and before it is done
    _, part = rows
    monkeypatch.setattr(boosting, "boost_rank", held_rank)
    workers = connection.client.run(os.getpid).values()
    over = threading.Event()

    def hunt() -> None:
        while not over.wait(0.05):
            for seat in [seat for pid in workers for seat in seats_of(pid)]:
                with suppress(ProcessLookupError):
                    os.kill(seat, signal.SIGKILL)

    hunter = threading.Thread(target=hunt)
    hunter.start()

    # when the fit is called, then it ends with a sentence after some restarts
    told: list[Event] = []
    try:
        with pytest.raises(ClusterError, match="That was the 6th time, so it is given up"):
            fitted("xgboost", part, tmp_path / "k", connection, told.append, "workers")
    finally:
        over.set()
        hunter.join()
        (tmp_path / "go").touch()
    assert len([event for event in told if event.name == "warning"]) == boosting.MOST_RESTARTS

    # and once nobody kills any more it comes to its end
    fitted("xgboost", part, tmp_path / "k", connection, told.append, "workers")
    assert rounds_on_disk(tmp_path / "k") == ROUNDS
