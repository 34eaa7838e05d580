"""A cluster of batch jobs on a real Slurm: what it computes, who may use it, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import daskflow as flow
from daskflow.clusters import batch_open
from daskflow.clusters.batch_keys import Keys
from daskflow.clusters.slurm import Slurm
from daskflow.core.errors import ClusterError
from daskflow.core.events import Event
from tests.another_user import talks
from tests.slurm_fixture import TestSlurm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm"), pytest.mark.timeout(900)]

PATIENCE_SECONDS = 180.0

OPENED = """
import signal, sys, time
from pathlib import Path
from daskflow.clusters.slurm import Slurm

signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests themselves are started to ignore it
folder = Path(sys.argv[1])
settings = dict(workers=2, cores=4, memory="900 MiB", walltime="5 min", interface="lo", directives=("-w n2",))
with Slurm(**settings).within(folder, folder.name).open() as connection:
    print("open", flush=True)
    time.sleep(600)
"""
"""Opens a cluster of two workers of which one has room, since both want all of one node."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may look into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="daskflow-opening-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def settings(**more: Any) -> dict[str, Any]:
    """Small workers on the loopback address."""
    return {"workers": 1, "memory": "900 MiB", "walltime": "5 min", "interface": "lo", **more}


def until(holds: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait for something, and return how long that took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - begun


def jobs_of(slurm: TestSlurm, folder: Path) -> dict[str, str]:
    """Return ID and state of a run's jobs that are pending or running."""
    lines = [line.split(maxsplit=2) for line in slurm.squeue("%i %T %k")]
    return {id: state for id, state, about in lines if folder.name in about and state != "COMPLETING"}


def lasted(slurm: TestSlurm, job: str) -> float:
    """Return for how many seconds a job ran that has ended."""
    said = slurm.ask("scontrol", "--oneliner", "show", "job", job)
    began, ended = (re.search(rf"{word}=(\S+)", said) for word in ("StartTime", "EndTime"))
    assert began is not None, said
    assert ended is not None, said
    return (datetime.fromisoformat(ended[1]) - datetime.fromisoformat(began[1])).total_seconds()


def left_in(folder: Path) -> list[str]:
    """Return what there is of keys and lease."""
    return [name for name in ("keys", "lease") if (folder / name).exists()]


def test_a_run_on_slurm_gives_what_a_run_on_local_workers_gives(slurm: TestSlurm, tmp_path: Path) -> None:
    # given a table in three files
    drawn = np.random.default_rng(0)
    for number in range(3):
        frame = pd.DataFrame(drawn.normal(size=(500, 4)), columns=list("abcd"))
        frame["y"] = (frame.a * frame.b + drawn.normal(size=500) > 0).astype(int)
        frame.to_parquet(tmp_path / f"part-{number}.parquet")
    said: list[Event] = []

    def ran(cluster: dict[str, Any]) -> flow.Run:
        workflow = flow.Workflow(
            name="cars",
            data={"kind": "parquet", "path": str(tmp_path / "part-*.parquet"), "target": "y"},
            model={"kind": "logistic"},
            search={"kind": "random", "trials": 2},
            split={"folds": 2},
            cluster=cluster,
            cache={"folder": str(tmp_path / f"cache-{cluster['kind']}")},
        )
        return workflow.run(tmp_path / f"runs-{cluster['kind']}", listener=said.append)

    # when
    here = ran({"kind": "local", "workers": 2})
    there = ran({"kind": "slurm", **settings(workers=2)})

    # then numbers are the same to the last bit
    def found(run: flow.Run) -> list[Any]:
        assert run.search is not None
        return [(t.params, t.score, [(p.resource, p.fold_scores) for p in t.curve]) for t in run.search.trials]

    assert len(found(there)) == 2
    assert found(there) == found(here)
    assert {name: (m.value, m.low, m.high) for name, m in there.metrics.items()} == {
        name: (m.value, m.low, m.high) for name, m in here.metrics.items()
    }
    pd.testing.assert_frame_equal(
        pd.read_parquet(there.path / "predictions.parquet"), pd.read_parquet(here.path / "predictions.parquet")
    )
    # and it was told where it ran, could be watched, and left nothing behind
    notes = [str(event.fields["text"]) for event in said if event.name == "note"]
    assert any("2 jobs submitted to Slurm" in text for text in notes)
    assert any("slurm: 2 workers x 1 core, 900.00 MiB each, 5 min walltime" in text for text in notes)
    assert sum(event.name == "address" for event in said) == 2
    assert left_in(there.path) == []
    assert jobs_of(slurm, there.path) == {}
    # and what the workers wrote can be read
    assert any("Registered to" in log.read_text() for log in (there.path / "logs").glob("*.log"))


def test_another_user_of_the_machine_reaches_nothing(slurm: TestSlurm, place: Path) -> None:
    # given
    folder = place / "runs" / "cars" / "open"
    with Slurm(**settings()).within(folder, "open").open() as connection:
        client = connection.client
        (worker,) = client.scheduler_info()["workers"]
        served = client.run(lambda dask_worker: [s.getsockname() for s in dask_worker.http_server._sockets.values()])
        ((bound, port),) = served[worker]
        assert bound == "127.0.0.1"
        assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in (folder / "keys").iterdir()} == {0o600}
        root = connection.dashboard.removesuffix("/status")
        pages = [f"{root}{path}" for path in ("/status", "/info/main/logs.html", "/json/counts.json", "/health")]
        pages += [f"{root}/daskflow", f"http://127.0.0.1:{port}/status", f"http://127.0.0.1:{port}/health"]
        # when
        done = subprocess.run(
            [sys.executable, "-m", "tests.another_user", folder, client.scheduler.address, worker, *pages],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        # then nothing they tried has worked, while the owner gets an answer by the same means
        assert (done.stdout, done.returncode) == (f"tried {5 + 2 * 3 + len(pages)}\n", 0), done.stderr
        for address, kind in {client.scheduler.address: "Scheduler", worker: "Worker"}.items():
            assert asyncio.run(talks(address, Keys(folder / "keys").security())) == kind
        assert client.submit(os.getuid).result(timeout=120) == os.getuid()
        assert client.dashboard_link == f"{connection.dashboard}?token={connection.token}"
    assert left_in(folder) == []


@contextmanager
def opened(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has opened a cluster in a folder, with one worker there and another job pending."""
    folder.mkdir(parents=True)
    with (
        (folder / "driver.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", OPENED, folder], stdout=subprocess.PIPE, stderr=log, text=True
        ) as driver,
    ):
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "open\n", (folder / "driver.log").read_text()
            yield driver
        finally:
            driver.kill()


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.endurance), signal.SIGTERM])
def test_nothing_is_left_when_the_process_is_told_to_end(number: int, slurm: TestSlurm, place: Path) -> None:
    # given
    folder = place / "runs" / "cars" / f"told{number}"
    with opened(folder) as driver:
        assert left_in(folder) == ["keys", "lease"]
        assert sorted(jobs_of(slurm, folder).values()) == ["PENDING", "RUNNING"]
        # when
        driver.send_signal(number)
        code = driver.wait(PATIENCE_SECONDS)
    # then
    assert code != 0
    assert left_in(folder) == []
    assert jobs_of(slurm, folder) == {}


def test_jobs_of_a_process_that_was_killed_leave_by_themselves(slurm: TestSlurm, place: Path) -> None:
    # given a worker, and a job that starts when that one has ended
    folder = place / "runs" / "cars" / "killed"
    with opened(folder) as driver:
        # when
        driver.kill()
        driver.wait(PATIENCE_SECONDS)
    # then both are gone soon, and the second has not even started Python
    until(lambda: not jobs_of(slurm, folder))
    first, second = sorted((folder / "logs").glob("*.log"), key=lambda file: file.stat().st_size, reverse=True)
    assert "Registered to" in first.read_text()
    assert "this job is not needed" in second.read_text()
    assert "distributed" not in second.read_text()
    # and it has not waited for anybody: on a machine with little to do it takes a second or two
    assert 0 <= lasted(slurm, second.stem) <= 20
    # and the worker has taken the keys along, which the killed process could not
    assert left_in(folder) == []
    # and the same folder can be opened again
    with Slurm(**settings()).within(folder, "again").open() as connection:
        assert left_in(folder) == ["keys", "lease"]
        assert connection.client.submit(abs, -3).result(timeout=120) == 3
    assert left_in(folder) == []


def test_nodes_with_other_versions_end_the_start_with_a_sentence_that_names_both(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that was started with another numpy than the nodes have
    versions = {**batch_open.probe()(batch_open.LIBRARIES), "numpy": "0.1"}
    monkeypatch.setattr(batch_open, "probe", lambda: lambda names: versions)
    folder = place / "runs" / "cars" / "other"
    # when
    with pytest.raises(ClusterError) as caught, Slurm(**settings(workers=3)).within(folder, "other").open():
        pass
    # then
    assert f"numpy {np.__version__} (there 0.1)" in str(caught.value)
    assert left_in(folder) == []


def test_a_python_that_the_nodes_lack_ends_the_start_with_the_log_and_what_to_do(slurm: TestSlurm, place: Path) -> None:
    folder = place / "runs" / "cars" / "lacking"
    begun = time.monotonic()
    with pytest.raises(ClusterError) as caught, Slurm(**settings(python="/no/such/python")).within(folder, "x").open():
        pass
    assert time.monotonic() - begun < 120
    assert "/no/such/python: No such file or directory" in str(caught.value)
    assert "The nodes do not have that Python; the run's is Python 3." in str(caught.value)
    assert "Name one that they have with cluster.python" in str(caught.value)
    assert left_in(folder) == []
    assert jobs_of(slurm, folder) == {}
