"""Grid Engine, and PBS's commands over a Slurm: workers come, are replaced and are cancelled, as those on Slurm are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.events import Event
from daskflow.core.folder import find_run
from daskflow.core.journal import read
from daskflow.workflow import open_run
from daskflow.workflow.workflow import Workflow
from tests.gated_fits import GATE, MODEL, closed_gate, open_gate
from tests.sge_fixture import TestQueue

WORKFLOW = """
name = "queued"
metrics = ["roc_auc"]
[data]
kind = "generated"
rows = 1000
partitions = 2
task = "binary"
[split]
folds = 2
[model]
{model}
[search]
kind = "random"
trials = {trials}
[evaluation]
explain = false
replicates = 100
"""

KINDS = ("sge", "pbs")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TestQueue:
    """The batch system of this kind, whose commands come first."""
    found: TestQueue = request.getfixturevalue(request.param)
    monkeypatch.setenv("PATH", f"{found.commands}:{os.environ['PATH']}")
    until(lambda: not found.jobs(), "the end of what an earlier test has left")
    return found


@pytest.fixture
def place(queue: TestQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a workflow and its runs; what is left in the queue is ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    for line in queue.jobs():
        subprocess.run(["qdel", line.split()[0]], check=False, timeout=30, capture_output=True)


def written(queue: TestQueue, trials: int, model: str = 'kind = "sgd"') -> str:
    """Write the workflow; a job gets nothing of this environment but what is said."""
    options = {"kind": queue.kind, "workers": 2, "interface": "lo", "walltime": "15 min", **queue.options}
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
    lines += ["[cluster.environment]", f'PATH = "{os.environ["PATH"]}"']
    # OpenBLAS has loops of its own for every processor; which ones it takes decides the last bits.
    passed = [name for name in ("PYTHONPATH", "OPENBLAS_CORETYPE", GATE) if os.environ.get(name)]
    lines += [f'{name} = "{os.environ[name]}"' for name in passed]
    Path("queued.toml").write_text(WORKFLOW.format(trials=trials, model=model) + "\n".join(["[cluster]", *lines, ""]))
    return "queued.toml"


def daskflow(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "daskflow", *words], capture_output=True, text=True, timeout=300)


def until(happened: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("queue", KINDS, indirect=True)
def test_a_run_on_the_queue_gives_what_it_gives_here_though_a_worker_is_deleted(
    queue: TestQueue, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose first worker is deleted when both are there, and whose fits end only when another is on its way
    closed_gate(place / "gate", monkeypatch)
    file = written(queue, trials=20, model=MODEL)
    seen: list[Event] = []
    deleted: list[str] = []

    def listener(event: Event) -> None:
        seen.append(event)
        if event.name == "jobs":
            running.update(str(job["id"]) for job in event.fields["jobs"] if job["state"] == "running")
        if not deleted and len(running) == 2:
            deleted.append(min(running))
            queue.delete(deleted[0])
        if event.name in ("note", "warning") and "Another takes its place" in str(event.fields["text"]):
            open_gate(place / "gate")

    running: set[str] = set()
    # when
    there = Workflow.from_toml(file).run("there", listener=listener)
    # then another took its place
    assert deleted
    texts = [str(event.fields["text"]) for event in seen if event.name in ("note", "warning")]
    assert any(f"ob {deleted[0]}" in text and "Another takes its place" in text for text in texts), texts
    # and the result is that of an undisturbed run in this process
    here = Workflow.from_toml(file, on="inline").run("here")
    assert there.metrics == here.metrics
    assert [trial.score for trial in there.trials] == [trial.score for trial in here.trials]
    # and nothing is in the queue
    until(lambda: not queue.jobs(), "an empty queue")


@pytest.mark.slow
@pytest.mark.parametrize("queue", ["sge", pytest.param("pbs", marks=pytest.mark.endurance)], indirect=True)
def test_a_submitted_run_is_told_of_and_cancelled_and_a_refused_one_is_an_error(queue: TestQueue, place: Path) -> None:
    file = written(queue, trials=3000)
    # given a queue that does not exist: the call says so, in the system's own words and with those there are
    refused = daskflow("submit", file, "--set", "cluster.queue=nope")
    assert refused.returncode == 3, refused
    assert re.search(r"refused the job: .*unknown queue.* Queues here: ", refused.stderr, re.IGNORECASE), refused
    assert not queue.jobs()
    # when it is submitted
    submitted = daskflow("submit", file)
    found = re.search(r"its controller is job (\S+)\.\n", submitted.stdout)
    assert found, submitted
    folder = find_run("runs/queued")
    until(lambda: [record for record in read(folder.journal) if record["record"] == "unit"], "the first fit")
    # then its jobs and their logs are told
    told = r" +running +on \S+ +\d+ min"

    def with_both_workers() -> str:
        said = daskflow("status", "runs/queued").stdout
        return said if len(re.findall(r" worker +running", said)) == 2 else ""

    status = until(with_both_workers, "both workers' coming")
    assert re.search(rf"{re.escape(found[1])} +controller{told}", status), status
    assert len(re.findall(rf" worker{told}", status)) == 2, status
    logs = daskflow("logs", "runs/queued").stdout
    assert f"controller {found[1]} | " in logs
    assert re.search(r"worker \S+ \| .*Registered to", logs), logs
    # and when it is cancelled, nothing is left of it
    cancelled = daskflow("cancel", "runs/queued")
    assert "Cancelled 3 jobs" in cancelled.stdout, cancelled
    until(lambda: not queue.jobs(), "an empty queue")
    assert open_run(folder.path).status == "interrupted"
    assert not (folder.path / "keys").exists()
