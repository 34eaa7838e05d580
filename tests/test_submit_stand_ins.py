"""Whole runs on stand-ins for LSF, HTCondor and OAR: submitted, a worker killed, the same numbers, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.folder import RunFolder, find_run
from daskflow.core.journal import read
from tests.gated_fits import GATE, MODEL, open_gate
from tests.stand_in_queues import COMMANDS, StandIn, standing_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 300.0

WORKFLOW = """
name = "cars"
metrics = ["roc_auc"]
[data]
kind = "generated"
rows = 20_000
partitions = 4
task = "binary"
[split]
folds = 2
[model]
{model}
[search]
kind = "random"
trials = 6
[evaluation]
explain = false
replicates = 100
[cluster]
""".replace("{model}", MODEL)

ON_A_QUEUE = """
kind = "{kind}"
workers = 2
memory = "700 MiB"
interface = "lo"
environment = {{PYTHONPATH = "{path}", OPENBLAS_CORETYPE = "{processor}"}}
"""

ONE_AND_ALL = [
    pytest.param(kind, marks=[] if kind == "htcondor" else pytest.mark.endurance) for kind in sorted(COMMANDS)
]
"""A whole run takes long: CI has one on the system whose jobs get the least of what surrounds them."""

ROOT = Path(__file__).resolve().parents[1]


def daskflow(place: Path, *words: str) -> str:
    """Run a command to its end in a folder, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "daskflow", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # where the model is
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the workflow gives in this process's own threads."""
    place = tmp_path_factory.mktemp("local")
    (place / "workflow.toml").write_text(WORKFLOW + 'kind = "threads"\n')
    daskflow(place, "run", "workflow.toml")
    return told(find_run(place / "runs" / "cars"))


@pytest.fixture(params=sorted(COMMANDS))
def system(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    # OpenBLAS has loops of its own for every processor; which ones it takes decides the last bits.
    processor = os.environ.get("OPENBLAS_CORETYPE", "")
    options = ON_A_QUEUE.format(kind=request.param, path=ROOT, processor=processor)
    (tmp_path / "workflow.toml").write_text(WORKFLOW + options)
    with standing_in(request.param, tmp_path / "system") as standing:
        standing.is_set_up(
            environment={name: os.environ[name] for name in ("DASKFLOW_STAND_IN", "DASKFLOW_CACHE_DIR", GATE)}
        )
        yield standing


def told(folder: RunFolder) -> dict[str, Any]:
    """The numbers of a run: every unit's score, and the metrics."""
    records = read(folder.journal)
    units = {
        f"trial {r['trial']} fold {r['fold']} {name}": value
        for r in records
        if r["record"] == "unit"
        for name, value in r["metrics"].items()
    }
    assert len(units) == 12
    metrics = json.loads((folder.path / "metrics.json").read_text())["metrics"]["roc_auc"]
    return {**units, **{name: metrics[name] for name in ("value", "low", "high")}}


def until(happened: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < end, f"{what} did not happen within {PATIENCE_SECONDS:g} s"
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("system", ONE_AND_ALL, indirect=True)
def test_a_submitted_run_replaces_a_killed_worker_and_gives_what_a_local_one_gives(
    system: StandIn, local: dict[str, Any], tmp_path: Path
) -> None:
    # given a run whose controller is a job, too, and whose fits come to no end before the gate is opened
    said = daskflow(tmp_path, "submit", "workflow.toml", "--json")  # which times no fits while the run goes on
    folder = find_run(tmp_path / "runs" / "cars")
    (controller,) = [job["id"] for job in json.loads((folder.path / "submit.json").read_text())["jobs"]]
    assert json.loads(said)["job"] == controller

    # when a worker that has begun is killed
    def worker() -> dict[str, Any] | None:
        running = [job for job in system.jobs.all() if job["state"] == "running" and "process" in job]
        seen = (folder.path / "logs").glob("*.log")
        begun = {file.stem for file in seen if "Registered to" in file.read_text()}
        return next((job for job in running if job["id"] in begun), None)

    victim = until(worker, "a worker's coming")
    os.killpg(victim["process"], signal.SIGKILL)
    status = json.loads(daskflow(tmp_path, "status", "--json", str(folder.path)))
    until(lambda: len(system.jobs.all()) == 4, "another worker's job")
    open_gate(tmp_path / "gate")
    until(lambda: read(folder.journal)[-1].get("record") == "end", "the end of the run")

    # then another has taken its place, and it is told why
    logs = daskflow(tmp_path, "logs", str(folder.path))
    assert f"Job {victim['id']}: it was ended by signal 9" in logs
    assert "Another takes its place" in logs
    assert f"worker {victim['id']}" in logs
    assert len(system.jobs.all()) == 4

    # then the numbers are those of a local run, and the run was seen in the queue
    assert read(folder.journal)[-1]["status"] == "done"
    assert told(folder) == local
    assert controller in json.dumps(status)

    # then no job and no key is left
    until(lambda: not system.living(), "the end of all jobs")
    assert not (folder.path / "keys").exists()
    assert not (folder.path / "lease").exists()


def test_a_submitted_run_that_waits_is_cancelled_from_any_shell(system: StandIn, tmp_path: Path) -> None:
    # given a queue in which nothing starts
    system.is_set_up(is_busy=True)
    daskflow(tmp_path, "submit", "workflow.toml")
    (waiting,) = system.living()

    # when
    status = daskflow(tmp_path, "status", "runs/cars")
    daskflow(tmp_path, "cancel", "runs/cars")

    # then
    assert waiting in status
    assert "pending" in status
    assert system.living() == []
