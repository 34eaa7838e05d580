"""Submitting: a run whose controller is a job, seen, ended and cleaned up by its folder; the queue is a fake."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daskflow.cli import main, watching
from daskflow.clusters.batch_jobs import JobState, QueueError
from daskflow.clusters.batch_lease import Lease
from daskflow.clusters.slurm import Slurm
from daskflow.core import priority, processes
from daskflow.core.errors import ClusterError, ControlError, SettingsError
from daskflow.core.events import Event
from daskflow.core.folder import RunFolder, find_run
from daskflow.core.journal import Journal, read
from daskflow.workflow import controller as controllers
from daskflow.workflow import list_runs
from daskflow.workflow import plan as plans
from daskflow.workflow.controller import Controller, has_gained, ready_file, wait_until_free
from daskflow.workflow.job_logs import Following
from daskflow.workflow.outlook import Outlook
from daskflow.workflow.submission import mark_of, read_submission, read_workflow, write_submission
from daskflow.workflow.submitting import submit
from daskflow.workflow.walltime import Walltime
from daskflow.workflow.workflow import Workflow
from tests.fake_queue import FakeQueue

WORKFLOW = """
name = "cars"
[data]
kind = "csv"
path = "cars/*.csv"
target = "price"
[model]
kind = "sgd"
[search]
kind = "none"
[cluster]
kind = "slurm"
walltime = "10 min"
memory = "700 MiB"
"""


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    """The queue that every Slurm of the test has."""
    fake = FakeQueue()
    monkeypatch.setattr(Slurm, "commands", lambda self: fake)
    return fake


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow file with its data, in a folder below the current one."""
    place = tmp_path / "project"
    (place / "cars").mkdir(parents=True)
    (place / "cars" / "a.csv").write_text("km,price\n" + "".join(f"{n},{2 * n}\n" for n in range(200)))
    (place / "workflow.toml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plans, "outlook", lambda *_, **__: Outlook("nothing is timed here"))  # it takes a few fits
    monkeypatch.setattr(priority, "printed_aside", lambda *_: None)  # nor by another process
    return place / "workflow.toml"


@pytest.fixture
def folder(file: Path, queue: FakeQueue) -> RunFolder:
    """A run that was submitted; its job is 100."""
    return submit(Workflow.from_toml(file), "runs").folder


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_dry_run_prints_the_script_and_leaves_nothing(file: Path, queue: FakeQueue) -> None:
    # when
    result = call("submit", file, "--dry-run", "--set", "cluster.queue=short")
    # then: the script says where the run is, and what the job does
    assert result.exit_code == 0, result.output
    workflow = Workflow.from_toml(file)
    run = Path.cwd() / "runs" / "cars" / workflow.id
    assert result.stdout.startswith("#!")
    assert "#SBATCH -p short\n" in result.stdout
    assert "--requeue\n" in result.stdout
    assert f"--comment=daskflow:{mark_of(RunFolder(run))}\n" in result.stdout
    assert result.stdout.rstrip().endswith(f"-m daskflow controller {run}")
    # and nothing was asked or written
    assert queue.commands == 0
    assert not Path("runs").exists()


def test_submit_writes_what_the_job_needs_and_says_what_to_type_next(file: Path, queue: FakeQueue) -> None:
    # when
    result = call("submit", file, "--set", "seed=5")
    # then: one job was handed in, and the words lead on
    assert result.exit_code == 0, result.output
    folder = find_run("runs/cars")
    short = f"runs/cars/{folder.id}"
    assert result.stdout.splitlines()[0] == f"Run {short}: its controller is job 100."
    assert [line.split("  ")[1].strip() for line in result.stdout.splitlines()[1:]] == [
        f"daskflow {verb} {short}" for verb in ("status", "watch", "logs", "cancel")
    ]
    assert len(queue.scripts) == 1
    # and the folder knows the job, and the workflow as it was submitted, whatever the current folder is then
    submission = read_submission(folder)
    assert submission is not None
    assert (submission.kind, submission.ids, submission.generation) == ("slurm", ("100",), 1)
    os.chdir("/")
    workflow = read_workflow(folder, submission)
    assert (workflow.id, workflow.seed) == (folder.id, 5)
    assert len(workflow.table().partitions) == 1


HOUR = Outlook("by 9 fits", 3600.0, 1800.0, 7200.0, 2.0, 1.5, 3.0)


def test_the_core_hours_of_a_submitted_run_are_said_by_earlier_runs_at_once(
    file: Path, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given earlier runs that tell how long this one will take
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be timed")

    monkeypatch.setattr(plans, "outlook", lambda *_, **__: HOUR)
    monkeypatch.setattr(priority, "printed_aside", refuse)
    # when, then
    result = call("submit", file)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1] == "Core-hours: about 3 (1.5 to 6) on 3 cores."


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("Core-hours: about 9 on 3 cores.\n", "about 9 on 3 cores."),
        ("[made up] 1\nCore-hours: about 9 on 3 cores.\nIter 2\n", "about 9 on 3 cores."),
        (None, "not known before the first fits; 3 for each 60 min."),
        ("[made up] 1\n", "not known before the first fits; 3 for each 60 min."),
    ],
    ids=["in time", "an estimator that prints", "too late", "nothing but an estimator's words"],
)
def test_fits_are_timed_for_a_submitted_run_by_a_process_beside_this_one(
    told: str | None, said: str, file: Path, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given no earlier run, and a process that tells, or is too slow on this machine
    asked: list[str] = []
    monkeypatch.setattr(priority, "printed_aside", lambda command, *_: asked.extend(command) or told)
    # when
    result = call("submit", file)
    # then it was asked about the run, whose job had been handed in before
    assert result.exit_code == 0, result.output
    assert asked[1:] == ["-m", "daskflow", "foresee", str(find_run("runs/cars").path)]
    assert result.stderr.splitlines()[-1] == f"Core-hours: {said}"


def test_who_does_not_wait_for_the_core_hours_is_told_that_the_run_is_handed_in(
    file: Path, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given somebody who types Ctrl-C meanwhile
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(priority, "printed_aside", interrupt)
    # when
    result = call("submit", file)
    # then
    assert result.exit_code == 130
    said = (
        f"Interrupted, and handed in all the same: `daskflow cancel runs/cars/{find_run('runs/cars').id}` ends the run."
    )
    assert result.stderr.splitlines()[-1] == said
    assert len(queue.jobs) == 1


def test_the_process_that_times_fits_gives_way_and_prints_one_line(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that was submitted
    did: list[str] = []
    monkeypatch.setattr(processes, "die_with_parent", lambda: did.append("tied to who asked"))
    monkeypatch.setattr(priority, "give_way", lambda: did.append("gave way"))
    monkeypatch.setattr(plans, "outlook", lambda *_, **__: HOUR)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    # when
    result = call("foresee", folder.path)
    # then
    assert result.stdout == "Core-hours: about 3 (1.5 to 6) on 3 cores.\n", result.output
    assert did == ["tied to who asked", "gave way"]


def test_a_walltime_that_systems_read_differently_is_said_in_words(file: Path, queue: FakeQueue) -> None:
    # given a walltime of one minute for Slurm, which is an hour elsewhere
    result = call("submit", file, "--set", "cluster.walltime=1:00")
    assert "  cluster.walltime = '1:00' is 1 min" in result.stderr.splitlines()
    # and what is plain is not said
    queue.jobs.clear()
    assert "cluster.walltime" not in call("submit", file, "--set", "cluster.walltime=1 h").stderr


def test_a_run_that_waits_is_listed_as_waiting_and_its_folder_can_be_watched(folder: RunFolder) -> None:
    assert [run["status"] for run in list_runs("runs")] == ["waiting"]
    watched = call("watch", folder.path, "--json")
    assert watched.exit_code == 0, watched.output
    assert json.loads(watched.stdout)["status"] == "waiting"


def test_a_run_is_not_submitted_twice_but_again_when_its_job_is_gone(
    file: Path, folder: RunFolder, queue: FakeQueue
) -> None:
    # given a job that waits: it is not handed in again
    with pytest.raises(ControlError, match="submitted already: job 100 is pending"):
        submit(Workflow.from_toml(file), "runs")
    # when it is gone
    queue.jobs.clear()
    done = submit(Workflow.from_toml(file), "runs")
    # then the run goes on in a job of the next generation
    submission = read_submission(folder)
    assert submission is not None
    assert [(job.id, job.generation) for job in submission.jobs] == [("100", 1), (done.job, 2)]


def test_a_run_that_goes_on_here_is_not_submitted(file: Path, folder: RunFolder, queue: FakeQueue) -> None:
    queue.jobs.clear()
    with Journal(folder.journal), pytest.raises(ControlError, match="goes on"):
        submit(Workflow.from_toml(file), "runs")
    assert len(queue.scripts) == 1


def test_what_the_queue_would_refuse_is_said_before_anything_is_written(file: Path, queue: FakeQueue) -> None:
    queue.refused = ["Partition 'short' gives 60 s at most, and 600 s are asked for."]
    result = call("submit", file)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: Partition 'short' gives 60 s at most")
    assert not Path("runs").exists()


def test_a_cluster_that_is_no_queue_is_a_mistake_of_the_workflow(file: Path) -> None:
    result = call("submit", file, "--on", "local")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: cluster.kind is 'local', and only a batch queue")


def test_without_slurm_there_is_one_sentence(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = call("submit", file)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not Path("runs").exists()


def test_where_the_latest_run_was_removed_the_others_are_named(file: Path, folder: RunFolder, queue: FakeQueue) -> None:
    # given two runs of a name, and the folder of the later one is removed
    later = submit(Workflow.from_toml(file, {"seed": 5}), "runs").folder
    shutil.rmtree(later.path)
    # when, then
    result = call("status", "runs/cars")
    assert result.exit_code == 1
    said = f"runs/cars holds runs, but its latest run, {later.id}, is gone. Name one: {folder.id}."
    assert result.stderr.splitlines() == [f"Error: {said}"]


def test_status_says_what_each_job_waits_for_by_one_command(folder: RunFolder, queue: FakeQueue) -> None:
    # given the controller, a worker that runs and one that waits, and a job of another run
    mark, now = mark_of(folder), time.time()
    queue.add("100", mark, node="n1", ends_at=now + 600)
    queue.add("101", mark, node="n2", ends_at=now + 60)
    queue.add("102", mark, JobState.PENDING, reason="Resources", starts_at=now + 7200)
    queue.add("103", "another", JobState.PENDING, reason="Dependency")
    queue.commands = 0
    # when
    result = call("status", "runs/cars")
    # then
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"Run runs/cars/{folder.id}: waiting"
    assert [line.split()[:3] for line in lines[2:]] == [
        ["100", "controller", "running"],
        ["101", "worker", "running"],
        ["102", "worker", "pending"],
    ]
    assert "on n2" in lines[3]
    assert "Resources" in lines[4]
    assert "starts in 2 h" in lines[4] or "starts in 1 h 59 min" in lines[4]
    assert queue.commands == 1
    # and the same for other tools
    told = json.loads(call("status", folder.path, "--json").stdout)
    assert [job["id"] for job in told["jobs"]["workers"]] == ["101", "102"]
    assert told["jobs"]["controllers"][0]["state"] == "running"


def test_status_of_many_jobs_stays_short(folder: RunFolder, queue: FakeQueue) -> None:
    for number in range(1000):
        queue.add(str(1000 + number), mark_of(folder), JobState.PENDING, reason="Priority")
    result = call("status", folder.path)
    assert len(result.stdout.splitlines()) < 30
    assert "0 running and 1,000 pending in all" in result.stdout


def test_status_of_a_run_whose_job_vanished_says_so(folder: RunFolder, queue: FakeQueue) -> None:
    queue.jobs.clear()
    result = call("status", folder.path)
    assert result.exit_code == 0, result.output
    assert "Job 100, its controller, is gone" in result.stdout


def test_cancel_ends_the_jobs_of_this_run_only(folder: RunFolder, queue: FakeQueue) -> None:
    # given
    queue.add("101", mark_of(folder))
    queue.add("102", "another")
    # when
    result = call("cancel", "runs/cars")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Cancelled 2 jobs of run cars/{folder.id}. What is finished is kept")
    assert list(queue.jobs) == ["102"]
    assert [run["status"] for run in list_runs("runs")] == ["interrupted"]
    # and again there is nothing to do
    again = call("cancel", "runs/cars")
    assert again.exit_code == 1
    assert "nothing to cancel" in again.stderr


def test_cancel_puts_away_what_a_controller_has_left_that_is_killed_as_it_ends(
    folder: RunFolder, queue: FakeQueue
) -> None:
    # given a controller whose job the queue calls ended at once, and which is killed a moment later
    (folder.path / "keys").mkdir()
    held = Journal(folder.journal)
    killed = threading.Timer(0.3, held.close)
    killed.start()
    # when
    result = call("cancel", "runs/cars")
    killed.join()
    # then
    assert result.exit_code == 0, result.output
    assert not (folder.path / "keys").exists()
    assert [run["status"] for run in list_runs("runs")] == ["interrupted"]


def test_a_queue_that_does_not_answer_is_a_sentence(folder: RunFolder, queue: FakeQueue) -> None:
    queue.failing = "squeue does not answer."
    for verb in ("status", "cancel", "cleanup"):
        result = call(verb, "runs" if verb == "cleanup" else "runs/cars")
        assert result.exit_code == 3, verb
        assert "squeue does not answer." in result.stderr


def test_cleanup_removes_what_a_killed_run_left_and_nothing_else(folder: RunFolder, queue: FakeQueue) -> None:
    # given a run whose controller is gone, with a worker that waits, keys and a link; and a job of somebody else
    queue.jobs.clear()
    queue.add("101", mark_of(folder), JobState.PENDING)
    queue.add("102", "another")
    (folder.path / "keys").mkdir()
    (folder.path / "keys" / "worker-key.pem").write_text("secret")
    folder.live.write_text("{}")
    # when
    result = call("cleanup")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"runs/cars/{folder.id}: removed 1 job (101), keys, the link of its pages")
    assert list(queue.jobs) == ["102"]
    assert not (folder.path / "keys").exists()
    assert not folder.live.exists()
    assert read_submission(folder) is not None
    # and then nothing is left
    assert call("cleanup").stdout == "Nothing is left behind in runs.\n"


def test_cleanup_does_not_mind_that_a_worker_which_ends_removes_the_same_keys(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given keys of which each is gone in the moment in which it is to be removed
    queue.jobs.clear()
    (folder.path / "keys").mkdir()
    for name in ("cert.pem", "key.pem", "worker.json"):
        (folder.path / "keys" / name).write_text("secret")
    remove = os.unlink

    def removed_before(path: Any, *, dir_fd: int | None = None) -> None:
        remove(path, dir_fd=dir_fd)
        remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", removed_before)
    # when
    result = call("cleanup")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"runs/cars/{folder.id}: removed keys")
    assert not (folder.path / "keys").exists()


@pytest.mark.parametrize("how", ["waits in the queue", "goes on"])
def test_cleanup_leaves_a_living_run_alone(folder: RunFolder, queue: FakeQueue, how: str) -> None:
    # given
    (folder.path / "keys").mkdir()
    queue.add("101", mark_of(folder))
    if how == "goes on":
        del queue.jobs["100"]
        with Journal(folder.journal):
            result = call("cleanup")
    else:
        result = call("cleanup")
    # then
    assert result.stdout == "Nothing is left behind in runs.\n"
    assert "101" in queue.jobs
    assert (folder.path / "keys").is_dir()


def test_logs_shows_dead_jobs_too_and_no_control_characters(folder: RunFolder, queue: FakeQueue) -> None:
    # given the logs of the controller and two workers that are gone
    queue.jobs.clear()
    logs = folder.path / "logs"
    (logs / "100.log").write_text("scan\n")
    (logs / "9.log").write_text("an older one\n")
    (logs / "101_10.log").write_bytes(b"killed \x1b[2J by \xff Slurm\nlast line without its end")
    (logs / ".secret.log").write_text("no")
    # when, then
    everything = call("logs", "runs/cars").stdout.splitlines()
    assert everything == [
        "worker 9 | an older one",
        "controller 100 | scan",
        "worker 101_10 | killed ?[2J by \ufffd Slurm",
        "worker 101_10 | last line without its end",
    ]
    assert call("logs", "runs/cars", "--worker", "101_10", "--lines", 1).stdout == "last line without its end\n"
    unknown = call("logs", "runs/cars", "--worker", "../../etc/passwd")
    assert unknown.exit_code == 1
    assert "No job ../../etc/passwd" in unknown.stderr


def test_following_gives_whole_lines_once_and_begins_anew_with_the_file(tmp_path: Path) -> None:
    log, following = tmp_path / "1.log", Following()
    assert following.new(log) == ""
    log.write_text("one\ntw")
    assert following.new(log) == "one\n"
    log.write_text("one\ntwo\nthree")
    assert following.new(log) == "two\n"
    assert following.new(log, is_over=True) == "three"
    log.write_text("new\n")
    assert following.new(log) == "new\n"


def test_watch_says_the_way_to_the_node_that_has_the_pages(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given pages on the loopback address of a node, and a shell on the login node that came by ssh
    folder.live.write_text('{"address": "http://127.0.0.1:8787/daskflow", "token": "secret", "host": "node7"}')
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5555 192.0.2.1 22")
    monkeypatch.setenv("USER", "me")
    # when
    own = watching.own(folder)
    # then
    said = capsys.readouterr().err
    assert own == ""
    assert f"on node7: http://127.0.0.1:8787/daskflow?run={folder.id}&token=secret\n" in said
    assert f"ssh -J me@{socket.gethostname()} -L 8787:127.0.0.1:8787 me@node7\n" in said


def test_logs_before_the_first_line_say_why(folder: RunFolder) -> None:
    result = call("logs", "runs/cars")
    assert result.exit_code == 1
    assert "has written a log yet" in result.stderr


WORKS = threading.Event()
"""Set when the work of a run goes on."""


class Working:
    """Stands for the work of a run: records something or nothing, and goes on until it is interrupted."""

    def __init__(self, folder: RunFolder, records: list[dict[str, Any]]) -> None:
        self.folder, self.records = folder, records

    def __call__(self, *_: Any, **__: Any) -> None:
        with Journal(self.folder.journal) as journal:
            for record in self.records:
                journal.append({**record, "at": time.time()})
            WORKS.set()
            time.sleep(120)


def until_written(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def controller_near_its_end(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> Controller:
    """A controller whose last moment comes when the work goes on, however long that takes to begin."""
    now = time.time()
    WORKS.clear()
    monkeypatch.setattr(
        "daskflow.workflow.walltime.time", SimpleNamespace(time=lambda: now + (60.0 if WORKS.is_set() else 0.0))
    )
    controller = Controller(folder, {"DASKFLOW_JOB": "100", "SLURM_JOB_END_TIME": str(int(now) + 2)})
    controller.seconds = 4.0
    return controller


def test_before_its_walltime_ends_a_controller_hands_in_its_successor(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that gets something done, and a worker of an earlier controller
    queue.add("90", mark_of(folder))
    unit = {"record": "unit", "trial": "1", "fold": 0, "resource": 1}
    monkeypatch.setattr(Workflow, "run", Working(folder, [unit]))
    said: list[str] = []
    # when
    done = controller_near_its_end(folder, monkeypatch).run(lambda event: said.append(event.fields["text"]))
    # then the same job is in the queue again, as the next generation, and the worker of the dead one is gone
    assert done is None
    submission = read_submission(folder)
    assert submission is not None
    assert [job.generation for job in submission.jobs] == [1, 2]
    assert queue.scripts[0] == queue.scripts[1]
    assert queue.cancelled == ["90"]
    assert said == [f"The walltime ends; job {submission.ids[1]} goes on from here."]
    assert [run["status"] for run in list_runs("runs")] == ["waiting"]


def test_a_controller_that_got_nothing_done_after_two_that_did_not_is_the_last(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workflow, "run", Working(folder, []))
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, replace(submission, jobs=submission.jobs * 3))
    with pytest.raises(ClusterError, match=r"Nothing new was finished in 3 walltimes of 4 s"):
        controller_near_its_end(folder, monkeypatch).run(lambda event: None)
    assert len(queue.scripts) == 1
    assert read(folder.journal)[-1]["status"] == "failed"
    assert [run["status"] for run in list_runs("runs")] == ["failed"]


def test_a_successor_is_handed_in_as_early_as_this_job_waited_and_takes_over_as_soon_as_it_has_begun(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a job that waited for long, and has time left; its successor waits for less, and is there at once
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, replace(submission, jobs=(replace(submission.jobs[0], at=time.time() - 7200),)))
    unit = {"record": "unit", "trial": "1", "fold": 0, "resource": 1}
    monkeypatch.setattr(Workflow, "run", Working(folder, [unit]))
    controller = Controller(folder, {"DASKFLOW_JOB": "100", "SLURM_JOB_END_TIME": str(int(time.time()) + 1800)})
    controller.seconds = 3600.0
    seen: list[str] = []

    def successor() -> None:
        until_written(lambda: len(queue.jobs) == 2)
        job = max(queue.jobs)
        seen.append(job)
        wait_until_free(folder, job)
        seen.append(str(read(folder.journal)[-1]["record"]))

    other = threading.Thread(target=successor)
    other.start()
    # when
    began = time.monotonic()
    done = controller.run(lambda event: None)
    other.join(60)
    # then it is followed long before its time is over, and the successor comes when all is said
    assert done is None
    assert time.monotonic() - began < 100
    assert seen == [controller.successor, "submitted"]
    assert not ready_file(folder).exists()


def test_no_successor_is_handed_in_early_while_this_job_has_finished_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a job in the second half of its time, in the middle of its first fit
    monkeypatch.setattr("daskflow.workflow.walltime.LOOK_SECONDS", 0.2)
    looked, handed_in = 0, threading.Event()

    def is_worth_it() -> bool:
        nonlocal looked
        looked += 1
        assert looked > 1 or not handed_in.is_set()
        return looked > 1

    def hand_in() -> bool:
        handed_in.set()
        return True

    walltime = Walltime(
        time.time() + 1700, 3600, hand_in, is_worth_it=is_worth_it, has_begun=handed_in.is_set, lead_seconds=1800
    )
    # when its fit is finished, then a successor is handed in, and takes over as it begins
    with pytest.raises(KeyboardInterrupt), walltime:
        time.sleep(120)
    assert looked == 2
    assert walltime.is_over


def test_a_file_server_that_does_not_answer_for_a_moment_costs_no_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.workflow.walltime.AGAIN_SECONDS", 0.2)
    asked = 0

    def hand_in() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError("no answer")
        return True

    walltime = Walltime(time.time() + 1700, 3600, hand_in, has_begun=lambda: asked > 1, lead_seconds=1800)
    with pytest.raises(KeyboardInterrupt), walltime:
        time.sleep(120)
    assert asked == 2


@pytest.mark.parametrize(("why", "lead"), [("", 7200.0), ("/home is nfs4, mounted with nolock", 0.0)])
def test_where_locks_may_hold_on_one_machine_only_no_successor_is_handed_in_early(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch, why: str, lead: float
) -> None:
    # given a job that waited for two hours
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, replace(submission, jobs=(replace(submission.jobs[0], at=time.time() - 7200),)))
    monkeypatch.setattr("daskflow.workflow.controller.about_locks", lambda path: why)
    given: list[float] = []

    def walltime(*_: Any, lead_seconds: float, **__: Any) -> None:
        given.append(lead_seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("daskflow.workflow.controller.Walltime", walltime)
    # when
    with pytest.raises(KeyboardInterrupt):
        Controller(folder, {"DASKFLOW_JOB": "100"}).run(lambda event: None)
    # then
    assert given == [pytest.approx(lead, abs=60)]


def test_a_successor_waits_for_the_last_word_of_one_that_was_just_interrupted(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a former controller that has let the journal go, and still writes its report
    with Journal(folder.journal) as journal:
        journal.append({"record": "end", "status": "interrupted", "error": "interrupted", "at": time.time()})
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, submission.with_job("101"))
    ended: list[float] = []

    def end() -> None:
        write_submission(folder, submission.with_job("101").with_end("100"))
        ended.append(time.monotonic())

    began: list[float] = []

    def run(*_: Any, **__: Any) -> None:
        began.append(time.monotonic())
        raise KeyboardInterrupt

    monkeypatch.setattr(Workflow, "run", run)
    timer = threading.Timer(1.0, end)
    timer.start()
    # when
    with pytest.raises(KeyboardInterrupt):
        Controller(folder, {"DASKFLOW_JOB": "101"}).run(lambda event: None)
    timer.join()
    # then it goes on behind it
    assert began[0] > ended[0]


def test_only_the_successor_itself_takes_over(folder: RunFolder, queue: FakeQueue) -> None:
    controller = Controller(folder, {"DASKFLOW_JOB": "100"})
    controller.successor = "101"
    assert not controller._is_followed()
    ready_file(folder).write_text("77\n")
    assert not controller._is_followed()
    ready_file(folder).write_text("101\n")
    assert controller._is_followed()


def test_a_successor_that_is_not_needed_is_taken_back(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that ends while its successor waits in the queue
    def ends(*_: Any, **__: Any) -> str:
        until_written(lambda: len(queue.scripts) == 2)
        return "the run"

    monkeypatch.setattr(Workflow, "run", ends)
    controller = Controller(folder, {"DASKFLOW_JOB": "100", "SLURM_JOB_END_TIME": str(int(time.time()) + 120)})
    controller.seconds = 320.0
    monkeypatch.setattr(controller, "_waited_seconds", lambda: 150.0)
    monkeypatch.setattr(controller, "_has_gained", lambda: True)
    # when
    assert controller.run(lambda event: None) == "the run"  # type: ignore[comparison-overlap]
    # then
    assert len(queue.cancelled) == 1
    submission = read_submission(folder)
    assert submission is not None
    assert submission.ids == ("100",)


def test_a_run_that_ends_leaves_no_job_to_anybody(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose last stage ends in the very moment in which it hands its workers over
    lease = Lease(folder.path / "lease")

    def ends(*_: Any, **__: Any) -> str:
        lease.hand_over("tls://127.0.0.1:1", ["90"], "shape")
        return "the run"

    monkeypatch.setattr(Workflow, "run", ends)
    controller = Controller(folder, {"DASKFLOW_JOB": "100"})
    # when
    assert controller.run(lambda event: None) == "the run"  # type: ignore[comparison-overlap]
    # then
    assert queue.cancelled == ["90"]
    assert not lease.path.exists()


def test_workers_that_were_handed_over_stay_and_others_go(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two workers of a former controller, one of which it has left
    queue.add("90", mark_of(folder))
    queue.add("91", mark_of(folder), JobState.PENDING)
    Lease(folder.path / "lease").hand_over("tls://127.0.0.1:1", ["91"], "shape")
    monkeypatch.setattr(Workflow, "run", lambda *_, **__: queue.cancelled.append("now it works"))
    # when
    Controller(folder, {"DASKFLOW_JOB": "100"}).run(lambda event: None)
    # then
    assert queue.cancelled[:2] == ["90", "now it works"]


def test_a_controller_that_was_started_again_keeps_the_successor_that_it_had(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the second of three jobs, whose node died when its successor waited; the first waits to be started again
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, submission.with_job("101").with_job("102"))
    for job in ("101", "102"):
        queue.add(job, mark_of(folder), JobState.PENDING)
    controller = Controller(folder, {"DASKFLOW_JOB": "101"})
    seen: list[Any] = []
    monkeypatch.setattr(Workflow, "run", lambda *_, **__: seen.append((controller.successor, controller._hand_in())))
    # when
    controller.run(lambda event: None)
    # then no second one is handed in, and what is not needed is cancelled
    assert seen == [("102", True)]
    assert len(queue.scripts) == 1
    assert queue.cancelled == ["100", "102"]


def test_a_controller_that_is_started_again_beside_its_successor_ends_at_once(
    folder: RunFolder, queue: FakeQueue
) -> None:
    # given the first of two jobs, which the queue starts again while the second works on the run
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, submission.with_job("101"))
    queue.add("101", mark_of(folder))
    heard: list[Event] = []
    # when
    with Journal(folder.journal):
        assert Controller(folder, {"DASKFLOW_JOB": "100"}).run(heard.append) is None
    # then it says so, and has touched nothing
    assert [event.fields["text"] for event in heard] == [
        "Job 101 goes on with the run, so this job, which began again, ends."
    ]
    assert queue.cancelled == []
    assert len(queue.scripts) == 1
    assert not ready_file(folder).exists()
    told = read_submission(folder)
    assert told is not None
    assert [job.ended_at for job in told.jobs] == [None, None], "its account ended with its node"


def test_a_controller_that_is_started_again_waits_where_its_successor_still_does(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the first of two jobs, while the second is pending and a process of the first still holds the journal
    submission = read_submission(folder)
    assert submission is not None
    write_submission(folder, submission.with_job("101"))
    queue.add("101", mark_of(folder), JobState.PENDING)
    waited: list[str] = []
    monkeypatch.setattr(controllers, "wait_until_free", lambda _, job, __: waited.append(job))
    monkeypatch.setattr(Workflow, "run", lambda *_, **__: "the run")
    # when, then
    with Journal(folder.journal) as journal:
        monkeypatch.setattr(controllers, "read", lambda _: journal.records)
        assert Controller(folder, {"DASKFLOW_JOB": "100"}).run(lambda event: None) == "the run"  # type: ignore[comparison-overlap]
    assert waited == ["100"]


def test_where_a_users_jobs_are_limited_the_successor_is_handed_in_when_the_workers_are_gone(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a queue that takes no job as long as the run's workers are there
    submit_one, works = queue.submit, [True]

    async def submit_few(script: str, count: int = 1) -> list[str]:
        if works:
            raise QueueError("Slurm refused the job: Job violates accounting/QOS policy (job submit limit).")
        return await submit_one(script, count)

    def work(*_: Any, **__: Any) -> None:
        try:
            Working(folder, [{"record": "unit", "trial": "1", "fold": 0, "resource": 1}])()
        finally:
            works.clear()

    monkeypatch.setattr(queue, "submit", submit_few)
    monkeypatch.setattr(Workflow, "run", work)
    said: list[str] = []
    # when
    done = controller_near_its_end(folder, monkeypatch).run(lambda event: said.append(event.fields["text"]))
    # then
    assert done is None
    assert len(queue.scripts) == 2
    assert "The queue took it only after the workers' jobs had ended: Slurm refused the job" in said[0]


def test_where_no_successor_is_taken_the_run_has_failed_with_the_queues_words(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(script: str, count: int = 1) -> list[str]:
        raise QueueError("Slurm refused the job: Invalid account.")

    monkeypatch.setattr(queue, "submit", refuse)
    monkeypatch.setattr("daskflow.workflow.controller.BETWEEN_SECONDS", 0.01)
    monkeypatch.setattr(Workflow, "run", Working(folder, []))
    with pytest.raises(ClusterError, match=r"the queue does not take the job that would go on: Slurm refused the"):
        controller_near_its_end(folder, monkeypatch).run(lambda event: None)
    assert [run["status"] for run in list_runs("runs")] == ["failed"]


def test_status_says_how_many_jobs_the_controller_has_had(folder: RunFolder, queue: FakeQueue) -> None:
    # given six jobs that are gone, one that runs, and one that waits
    submission = read_submission(folder)
    assert submission is not None
    for number in range(101, 108):
        submission = submission.with_job(str(number))
    write_submission(folder, submission)
    queue.jobs.clear()
    queue.add("106", mark_of(folder))
    queue.add("107", mark_of(folder), JobState.PENDING)
    # then
    said = call("status", folder.path).stdout
    assert "  lives   7: its controller has had the jobs ... 102, 103, 104, 105, 106\n" in said
    assert json.loads(call("status", folder.path, "--json").stdout)["lives"] == 7


def test_a_cancelled_controller_hands_in_nothing(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(120)

    monkeypatch.setattr(Workflow, "run", cancelled)
    with pytest.raises(KeyboardInterrupt):
        Controller(folder, {"DASKFLOW_JOB": "100"}).run(lambda event: None)
    assert len(queue.scripts) == 1


def test_a_queue_says_the_end_of_the_walltime_by_a_signal() -> None:
    done = threading.Event()

    def hand_in() -> bool:
        done.set()
        return True

    walltime = Walltime(time.time() + 3600, 3600, hand_in)

    def wait_for_the_signal() -> None:
        with walltime:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(120)

    with pytest.raises(KeyboardInterrupt):
        wait_for_the_signal()
    assert done.is_set()
    assert walltime.is_over
    # and afterwards signals mean what they meant
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_stages_that_are_done_again_are_no_gain() -> None:
    scan = {"record": "stage", "stage": "scan"}
    unit = {"record": "unit", "trial": "1", "fold": 0, "resource": 1}
    assert has_gained([{**scan, "at": 1.0}], since=0.0)
    assert not has_gained([{**scan, "at": 1.0}, {**scan, "at": 3.0}], since=2.0)
    assert not has_gained([{**scan, "stage": "search", "failed": True, "at": 3.0}], since=2.0)
    assert has_gained([{**unit, "at": 1.0}, {**unit, "fold": 1, "at": 3.0}], since=2.0)
    assert not has_gained([], since=0.0)


def test_a_job_that_starts_before_its_predecessor_has_ended_waits_for_it(folder: RunFolder) -> None:
    # given a journal that is let go after a while
    held, let_go = Journal(folder.journal), threading.Event()

    def let_it_go() -> None:
        let_go.set()
        held.close()

    timer = threading.Timer(0.5, let_it_go)
    timer.start()
    # when
    wait_until_free(folder)
    # then
    assert let_go.is_set()
    timer.join()
    with Journal(folder.journal) as journal:
        assert journal.records


def test_a_job_whose_submitter_died_before_it_wrote_the_number_writes_it(
    folder: RunFolder, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    submission = read_submission(folder)
    assert submission is not None
    write_submission(
        folder, type(submission)(**{n: getattr(submission, n) for n in submission.__slots__ if n != "jobs"})
    )
    monkeypatch.setattr(Workflow, "run", lambda *_, **__: None)
    # when
    Controller(folder, {"DASKFLOW_JOB": "77"}).run(lambda event: None)
    # then
    found = read_submission(folder)
    assert found is not None
    assert found.ids == ("77",)


def test_a_damaged_submission_is_a_sentence(folder: RunFolder, file: Path) -> None:
    (folder.path / "submit.json").write_text('{"jobs": 3')
    result = call("status", folder.path)
    assert result.exit_code == 1
    assert "submit.json cannot be read" in result.stderr
    with pytest.raises(SettingsError, match="only a batch queue"):
        submit(Workflow.from_toml(file, on="inline"), "runs")
