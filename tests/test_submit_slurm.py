"""A submitted run on a real Slurm: it outlives its shell, its walltime and its node, and leaves no job behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.folder import RunFolder, find_run
from daskflow.core.journal import read
from daskflow.workflow import open_run
from daskflow.workflow.workflow import Workflow
from tests.gated_fits import MODEL, closed_gate, open_gate
from tests.slurm_fixture import TestSlurm

WORKFLOW = """
name = "submitted"
metrics = ["roc_auc"]
[data]
kind = "generated"
rows = 2000
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
[cluster]
kind = "slurm"
workers = 2
memory = "700 MiB"
interface = "lo"
"""

SGD = 'kind = "sgd"'

SLOW_FITS = """
import os, time
from sklearn.linear_model import SGDClassifier

class Slow(SGDClassifier):
    def __init__(self, loss="log_loss", alpha=1e-4, random_state=None):
        super().__init__(loss=loss, alpha=alpha, random_state=random_state)

    def fit(self, X, y, **more):
        time.sleep(3.0 if "DASKFLOW_JOB" in os.environ else 0.0)
        return super().fit(X, y, **more)
"""


@pytest.fixture
def place(tmp_path: Path, slurm: TestSlurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a workflow and its runs; what is left in the queue is ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    subprocess.run(["scancel", "--user", str(os.getuid()), "--quiet"], check=False, timeout=30)


@pytest.fixture
def gate(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gate at which all but the first fits of jobs wait until it is opened, so that a run goes on until then."""
    return closed_gate(place / "gate", monkeypatch)


def daskflow(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "daskflow", *words], capture_output=True, text=True, timeout=300)


def submitted(place: Path, trials: int, more: str = "", model: str = SGD) -> RunFolder:
    """Submit the workflow from a shell that is killed as soon as it has done so."""
    (place / "workflow.toml").write_text(WORKFLOW.format(trials=trials, model=model) + more)
    shell = f"{sys.executable} -m daskflow submit workflow.toml; echo done; sleep 600"
    with subprocess.Popen(["bash", "-c", shell], stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        os.killpg(process.pid, signal.SIGKILL)
        assert re.search(r"its controller is job \d+\.", said), said
    return find_run("runs/submitted")


def until(happened: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)
    return found


def records(folder: RunFolder, word: str) -> list[dict[str, Any]]:
    return [record for record in read(folder.journal) if record["record"] == word]


def jobs_of_controller(folder: RunFolder) -> list[str]:
    return [job["id"] for job in json.loads((folder.path / "submit.json").read_text())["jobs"]]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_submitted_run_outlives_its_shell_and_its_walltime_and_ends_as_one_that_ran_here(
    place: Path, slurm: TestSlurm, gate: Path
) -> None:
    # given a run whose shell is gone, in the middle of its search
    folder = submitted(place, trials=12, model=MODEL)
    until(lambda: records(folder, "unit"), "the first fit")
    (first,) = jobs_of_controller(folder)
    # when its queue says that its walltime ends
    slurm.ask("scancel", "--signal=USR1", "--batch", first)
    # then another job goes on, and ends it
    until(lambda: len(records(folder, "invocation")) == 2, "the second job's beginning")
    open_gate(gate)
    until(lambda: open_run(folder.path).status == "done", "the end")
    assert len(jobs_of_controller(folder)) == 2
    assert len(records(folder, "invocation")) == 2
    # with the same workers
    assert "2 jobs taken over from the former controller" in daskflow("logs", str(folder.path)).stdout
    assert len({job.id for job in open_run(folder.path).jobs if job.role == "worker"}) == 2
    units = [(unit["trial"], unit["fold"]) for unit in records(folder, "unit")]
    assert len(units) == len(set(units)) == 24
    # and nothing is in the queue, and no key on the disk
    until(lambda: not slurm.jobs(), "an empty queue")
    assert not (folder.path / "keys").exists()
    # and the result is that of a run in this process
    here = Workflow.from_toml("workflow.toml", on="inline").run("here")
    there = open_run(folder.path)
    assert there.metrics == here.metrics
    assert [trial.score for trial in there.trials] == [trial.score for trial in here.trials]
    # and the logs of all jobs can be read, though the jobs are gone
    logs = daskflow("logs", str(folder.path)).stdout
    assert f"controller {first} | " in logs
    assert "goes on from here" in logs
    assert re.search(r"worker \d+(_\d)? \| ", logs)


@pytest.mark.slow
def test_what_slurm_refuses_is_one_sentence_of_submit_and_of_run_and_leaves_nothing(
    place: Path, slurm: TestSlurm
) -> None:
    (place / "workflow.toml").write_text(WORKFLOW.format(trials=2, model=SGD) + 'queue = "nope"\n')
    for verb in ("submit", "run"):
        refused = daskflow(verb, "workflow.toml")
        assert refused.returncode == 3, refused
        said = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
        assert len(said) == 1, refused.stderr
        assert "Invalid partition name specified. Partitions here: normal (default), short" in said[0]
        assert "Traceback" not in refused.stderr
    assert slurm.jobs() == {}
    assert not list(place.glob("runs/*/*/keys"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cancel_and_cleanup_leave_no_job_and_no_key(place: Path, slurm: TestSlurm) -> None:
    # given a run with workers, and a job that is not its own
    folder = submitted(place, trials=3000)
    other = slurm.ask("sbatch", "--parsable", "--comment=daskflow:other", "-o", "/dev/null", "--wrap", "sleep 600")
    until(lambda: records(folder, "unit"), "the first fit")
    assert len(slurm.jobs()) == 4
    # when its controller is killed, so that it can put nothing away, while its workers are too slow to do it
    (first,) = jobs_of_controller(folder)
    workers = set(slurm.jobs()) - {first, other.strip()}
    until(lambda: {slurm.jobs()[each] for each in workers} == {"RUNNING"}, "both workers")
    slurm.ask("scancel", "--signal=STOP", "--full", *workers)
    slurm.until_stopped(*workers)
    slurm.ask("scancel", "--signal=KILL", "--batch", first)
    until(lambda: first not in slurm.jobs(), "the controller's end")
    assert (folder.path / "keys").exists()
    cleaned = daskflow("cleanup")
    # then the workers and the keys are gone, and the other job is not
    assert re.search(r"removed 2 jobs \(", cleaned.stdout), cleaned  # a cancelled worker may remove the keys before
    until(lambda: list(slurm.jobs()) == [other.strip()], "the end of the workers")
    assert not (folder.path / "keys").exists()
    # when it is submitted again, it goes on; when it is cancelled, nothing is left of it either
    again = submitted(place, trials=3000)
    assert again == folder
    until(lambda: len(slurm.jobs()) == 4, "its jobs")
    cancelled = daskflow("cancel", "runs/submitted")
    assert "What is finished is kept" in cancelled.stdout, cancelled
    until(lambda: list(slurm.jobs()) == [other.strip()], "the end of its jobs")
    assert open_run(folder.path).status == "interrupted"
    assert not (folder.path / "keys").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_where_jobs_may_submit_no_jobs_one_job_holds_all_workers(place: Path, slurm: TestSlurm, gate: Path) -> None:
    # given
    folder = submitted(place, trials=2, more='allocation = "single"\n', model=MODEL)
    # when it works, its workers are steps of its one job
    until(lambda: records(folder, "unit"), "the first fit")
    (job,) = jobs_of_controller(folder)
    assert list(slurm.jobs()) == [job]
    until(lambda: f"{job}.1" in slurm.ask("squeue", "--steps", "-h", "-o", "%i"), "the second worker's step")
    open_gate(gate)
    # then it ends as always, and leaves nothing
    until(lambda: open_run(folder.path).status == "done", "the end")
    until(lambda: not slurm.jobs(), "an empty queue")
    assert f"worker {job}.1 | " in daskflow("logs", str(folder.path)).stdout


@pytest.mark.endurance
def test_a_controller_whose_node_dies_goes_on_on_another(place: Path, slurm: TestSlurm) -> None:
    # given
    folder = submitted(place, trials=200)
    until(lambda: records(folder, "unit"), "the first fit")
    (job,) = jobs_of_controller(folder)
    node = slurm.ask("squeue", "-h", "-j", job, "-o", "%N").strip()
    # when its node dies: Slurm sees it after half a minute, and lets the job wait for two
    slurm.kill_node(node)
    try:
        until(lambda: open_run(folder.path).status == "done", "the end", seconds=600)
    finally:
        slurm.start_node(node)
    # then the same job has done the rest, and the result is that of an undisturbed run
    assert jobs_of_controller(folder) == [job]
    assert len(records(folder, "invocation")) == 2
    here = Workflow.from_toml("workflow.toml", on="inline").run("here")
    assert open_run(folder.path).metrics == here.metrics
    until(lambda: not slurm.jobs(), "an empty queue")


@pytest.mark.endurance
@pytest.mark.timeout(2400)
def test_a_run_of_many_walltimes_gets_something_done_in_each_and_ends_as_one_that_ran_here(
    place: Path, slurm: TestSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given fits that take 3 s however fast the machine is, together seven minutes of a worker's; jobs live for two
    (place / "slow_fits.py").write_text(SLOW_FITS)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    text = WORKFLOW.format(trials=70, model='kind = "estimator"\nestimator = "slow_fits:Slow"')
    text = text.replace("[evaluation]", "[search.space]\nalpha = {loguniform = [1e-6, 0.1]}\n[evaluation]")
    (place / "workflow.toml").write_text(text + 'walltime = "2 min"\n')
    done = daskflow("submit", "workflow.toml")
    assert done.returncode == 0, done.stderr
    folder, began = find_run("runs/submitted"), time.monotonic()
    # when
    try:
        until(lambda: open_run(folder.path).status in ("done", "failed"), "the end", seconds=1800)
    finally:
        jobs = jobs_of_controller(folder)
        print(f"{len(records(folder, 'unit'))} fits in {len(jobs)} lives, {time.monotonic() - began:.0f} s")
    # then there were many lives, each finished something, and nothing was done twice
    assert open_run(folder.path).status == "done"
    assert len(jobs) >= 3
    finished = [0]
    for record in read(folder.journal):
        if record["record"] == "invocation":
            finished.append(0)
        elif record["record"] in ("unit", "refitted"):
            finished[-1] += 1
    print(f"finished in each: {finished[1:]}")
    assert len(finished) - 1 == len(jobs)
    assert all(finished[1:-1])  # the last may have had nothing left but the evaluation
    assert len(records(folder, "unit")) == 140
    # and workers were taken over, and what jobs had was counted once
    assert "taken over from the former controller" in daskflow("logs", str(folder.path)).stdout
    spans: dict[str, list[tuple[float, float]]] = {}
    for job in open_run(folder.path).jobs:
        spans.setdefault(job.id, []).append((job.began_at, job.ended_at))
    for each in spans.values():
        assert all(before[1] <= after[0] + 0.01 for before, after in pairwise(sorted(each)))
    assert f"lives   {len(jobs)}: " in daskflow("status", str(folder.path)).stdout
    # and the result is that of a run in this process
    here = Workflow.from_toml("workflow.toml", on="inline").run("here")
    assert open_run(folder.path).metrics == here.metrics
    until(lambda: not slurm.jobs(), "an empty queue")
    assert not (folder.path / "keys").exists()
    assert not (folder.path / "lease").exists()
