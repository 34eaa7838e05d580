"""What the jobs of a run have had: by the run's records, over kills and resumes, and shown wherever a run is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import daskflow as flow
from daskflow.cli import main
from daskflow.clusters.fleet_accounts import Accounts, Spent
from daskflow.clusters.fleet_values import Member, WorkerSeen
from daskflow.clusters.slurm import Slurm
from daskflow.core.control import Command, Control
from daskflow.core.errors import ClusterError, SettingsError
from daskflow.core.events import Event
from daskflow.core.folder import RunFolder, write_json
from daskflow.core.job_accounts import UNSEEN, CoreHours, JobAccounts, accounts_of
from daskflow.core.journal import Journal, Record, encode
from daskflow.dashboard import words
from daskflow.dashboard.prometheus import metrics_of
from daskflow.dashboard.screen_overview import OverviewScreen
from daskflow.dashboard.slots import Value
from daskflow.dashboard.state import RunState
from daskflow.dashboard.summary import summary_of
from daskflow.dashboard.words import in_one_line
from daskflow.reports import part_cost
from daskflow.reports.blocks import Grid, Heading, Text
from daskflow.search.steering import Steering
from daskflow.workflow import open_run
from daskflow.workflow import plan as plans
from daskflow.workflow.core_hours import opened_accounts
from daskflow.workflow.core_hours_ahead import core_hours_ahead
from daskflow.workflow.outlook import Outlook
from daskflow.workflow.recording import Recorder
from daskflow.workflow.telling import Telling
from tests.report_records import record_of

BEGAN = 1_790_000_000.0

WHY = "the run's jobs have used 1.4 of the 1.5 core-hours that they may (max_core_hours)"


def began(id: str, at: float, *, role: str = "worker", cores: int = 2) -> Record:
    about = {"id": id, "role": role, "cores": cores, "seconds": 3600.0, "node": "n1"}
    return {"record": "job_began", **about, "began_at": BEGAN + at, "at": BEGAN + at + 1}


def ended(id: str, since: float, at: float, why: str = "cancelled", **more: Any) -> Record:
    cost = {"busy_seconds": 600.0, "wasted_seconds": 60.0, **more}
    how = {"why": why, "words": f"Slurm: {why}.", "ended_at": BEGAN + at}
    return {**began(id, since), "record": "job", **how, **cost, "at": BEGAN + at}


INVOCATION = {"record": "invocation", "id": "a1", "at": BEGAN}
QUEUED: list[Record] = [
    INVOCATION,
    began("7", 0, role="controller", cores=1),
    began("8_0", 10),
    began("8_1", 10),
    ended("8_1", 10, 910, why="memory"),
    {"record": "control", "command": "stop", "by": "max_core_hours", "why": WHY, "at": BEGAN + 1500},
    ended("8_0", 10, 1810),
    {"record": "end", "status": "done", "at": BEGAN + 1800},
]
"""A run whose controller was a job of one core for half an hour, and its two workers of two cores each."""


# What is counted ----------------------------------------------------------------------------------------------------


def test_jobs_are_counted_one_by_one_and_in_all() -> None:
    jobs = accounts_of(QUEUED).jobs()
    assert [(job.id, job.role, job.state, job.why) for job in jobs] == [
        ("7", "controller", "ended", "done"),
        ("8_0", "worker", "ended", "cancelled"),
        ("8_1", "worker", "ended", "memory"),
    ]
    worker = jobs[1]
    assert (worker.requested, worker.used) == (2.0, 1.0)
    assert worker.busy + worker.idle + worker.wasted == pytest.approx(worker.used)
    found = CoreHours.of(jobs)
    assert found.requested == pytest.approx(1.0 + 2.0 + 2.0)
    assert found.used == pytest.approx(0.5 + 1.0 + 0.5)
    assert found.busy + found.idle + found.wasted + found.controller + found.unseen == pytest.approx(found.used)
    assert found.controller == pytest.approx(0.5)


def test_workers_of_a_controller_that_was_killed_are_counted_until_it_was_last_heard_of() -> None:
    # given an invocation that is killed, and one that continues it much later
    killed = [*QUEUED[:4], {"record": "unit", "trial": "0", "fold": 0, "at": BEGAN + 370}]
    again = [*killed, {**INVOCATION, "at": BEGAN + 90_000}]
    # then nothing of the time between counts
    jobs = accounts_of(again).jobs()
    assert [(job.state, job.why, job.ended_at - BEGAN) for job in jobs] == [("ended", "unknown", 370.0)] * 3
    assert jobs[1].words == UNSEEN
    found = CoreHours.of(jobs)
    assert found.unseen == pytest.approx(2 * 2 * 360 / 3600)
    assert found.busy == found.idle == found.wasted == 0.0
    # and a job that the queue starts again under its number is counted twice, for it ran twice
    twice = accounts_of([*again, began("7", 90_000, role="controller", cores=1)]).jobs(BEGAN + 90_036)
    assert [job.used for job in twice if job.id == "7"] == pytest.approx([370 / 3600, 0.01])


def test_of_a_job_that_holds_the_workers_the_cores_count_once() -> None:
    records = [INVOCATION, began("7", 0, role="controller", cores=5), began("7.0", 5), ended("7.0", 5, 1800)]
    found = CoreHours.of(accounts_of([*records, {"record": "end", "status": "done", "at": BEGAN + 1800}]).jobs())
    assert (found.requested, found.used) == (5.0, 2.5)
    assert found.controller == pytest.approx(2.5 - 2 * 1795 / 3600)


def test_records_of_another_kind_or_damaged_ones_harm_nothing() -> None:
    found = JobAccounts()
    for record in ({"record": "job"}, {"record": "job_began", "id": "7", "began_at": None}, {"record": "unit"}):
        found.hear(record, BEGAN)
    assert found.jobs() == ()
    assert CoreHours.of(found.jobs()) == CoreHours()


def test_a_unit_that_is_computed_again_or_lost_with_its_job_is_wasted() -> None:
    # given a job of two cores whose worker came
    accounts = Accounts(cores=2)
    job = Member("7", submitted_at=0.0, began_at=0.0, worker_at=10.0)
    accounts.finished("7", "fit-1", 40.0)
    accounts.finished("7", "fit-1", 40.0)
    # when it ends while two units have been running for 30 s together, 5 s after that was seen
    accounts.see({"7": WorkerSeen(executing=2, spent=30.0)}, now=95.0)
    job.ended_at = 100.0
    record = accounts.close(job, 100.0)
    # then
    assert (record["busy_seconds"], record["wasted_seconds"]) == (40.0, 40.0 + 30.0 + 2 * 5.0)
    assert record["core_hours"] == pytest.approx(200 / 3600, abs=1e-6)
    # and of a job whose worker never came all is wasted
    never = accounts.close(Member("8", submitted_at=0.0, began_at=0.0, ended_at=30.0), 30.0)
    assert (never["busy_seconds"], never["wasted_seconds"]) == (0.0, 60.0)
    # and a job that never began has cost nothing
    assert accounts.close(Member("9", submitted_at=0.0), 30.0)["core_hours"] == 0.0


def test_a_finished_unit_is_not_running_any_more_when_its_job_ends() -> None:
    accounts = Accounts(cores=1)
    job = Member("7", submitted_at=0.0, began_at=0.0, worker_at=0.0)
    accounts.see({"7": WorkerSeen(executing=1, spent=20.0)}, now=50.0)
    accounts.finished("7", "fit-1", 22.0)
    job.ended_at = 90.0
    record = accounts.close(job, 90.0)
    assert (record["busy_seconds"], record["wasted_seconds"]) == (22.0, 0.0)


# The limit ----------------------------------------------------------------------------------------------------------


def test_the_limit_counts_earlier_jobs_and_the_controller_and_keeps_something_for_the_end() -> None:
    running = [Member("8", submitted_at=0.0, began_at=0.0, worker_at=0.0)]

    def is_used_up(now: float, spent: Spent = Spent(), most: float = 1.0, longest: float = 0.0) -> bool:  # noqa: B008
        return Accounts(1, most, spent).is_used_up(running, now, 0.0, longest)

    assert not is_used_up(3500.0)
    assert is_used_up(3575.0)
    assert is_used_up(3575.0 - 2900.0, Spent(core_seconds=2900.0))
    assert is_used_up(1780.0, Spent(cores=1, since=0.0))
    assert is_used_up(3300.0, longest=100.0)
    # the workers inside of the controller's job use nothing more
    assert not is_used_up(1700.0, Spent(cores=2, since=0.0, holds_workers=True))
    # at most a quarter is kept
    assert not is_used_up(2600.0, longest=10_000.0)
    assert is_used_up(2701.0, longest=10_000.0)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "much"])
def test_a_limit_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="max_core_hours"):
        flow.Workflow(
            data=flow.sources.Generated(rows=100), model="sgd", cluster={"kind": "slurm", "max_core_hours": value}
        )


def test_a_run_that_has_used_all_it_may_hands_in_nothing(tmp_path: Path) -> None:
    cluster = Slurm(max_core_hours=1.0, interface="lo").within(tmp_path, "a1").having_used(Spent(3700.0))
    with (
        pytest.raises(ClusterError, match=r"used 1.03 core-hours, and may use 1 \(cluster.max_core_hours\)"),
        cluster.open(),
    ):
        pass
    assert not (tmp_path / "keys").exists()


def test_at_the_limit_the_search_is_told_to_stop_and_jobs_are_in_the_journal(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "cars" / "a1")
    folder.make()
    with Journal(folder.journal) as journal, Telling(folder, Recorder(journal), lambda event: None) as telling:
        telling.control = Control()
        told = {name: value for name, value in began("8", 0).items() if name not in ("record", "at")}
        telling(Event("job_began", told))
        telling(Event("jobs", {"jobs": [{"id": "8", "state": "running"}], "counts": {"running": 1}}))
        telling(Event("limit", {"text": WHY}))
        (command,) = telling.control.take()
        kinds = [record["record"] for record in journal.records]
    assert command.dump() == {"command": "stop", "by": "max_core_hours", "why": WHY}
    assert command.problem == ""
    assert kinds == ["job_began"]
    assert '"record":"jobs"' in folder.events.read_text()


def test_the_search_says_why_it_was_stopped() -> None:
    steering = Steering(Control(), policy=object())  # type: ignore[arg-type]
    steering.obey(Command("stop", by="max_core_hours", why=WHY).dump())
    assert (steering.is_stopped, steering.why) == (True, WHY)


# An invocation that continues a run ---------------------------------------------------------------------------------


def test_a_new_invocation_closes_what_a_killed_one_left_and_counts_its_own_job(tmp_path: Path) -> None:
    # given a run that was killed while its jobs ran, and is continued in the job 9 of its controller
    folder = RunFolder(tmp_path / "runs" / "cars" / "a1")
    folder.make()
    submission = {"kind": "slurm", "user": "u", "host": "h", "python": "p", "working_folder": "/", "base": "/"}
    jobs = [{"id": "7", "generation": 1, "at": BEGAN}, {"id": "9", "generation": 2, "at": BEGAN + 9000}]
    write_json(folder.path / "submit.json", {**submission, "environment": {}, "jobs": jobs})
    cluster = Slurm(cores=2).within(folder.path, "a1")
    with Journal(folder.journal) as journal:
        recorder = Recorder(journal)
        journal.extend([*QUEUED[:5], {**INVOCATION, "at": BEGAN + 9000}])
        # when
        environment = {"DASKFLOW_JOB": "9", "SLURM_JOB_START_TIME": str(int(BEGAN) + 8990)}
        counted = opened_accounts(cluster, folder, recorder, environment)
        added = journal.records[6:]
    # then orphans are on record once, and the controller's job begins to count
    assert [(record["record"], record["id"]) for record in added] == [("job", "7"), ("job", "8_0"), ("job_began", "9")]
    assert (counted.spent.cores, counted.spent.since, counted.spent.holds_workers) == (2, BEGAN + 8990, False)
    # 910 s of the controller's one core, and of two cores of each worker 900 s
    assert counted.spent.core_seconds == pytest.approx(910 + 2 * 900 + 2 * 900)
    again = CoreHours.of(accounts_of([*QUEUED[:5], {**INVOCATION, "at": BEGAN + 9000}, *added[:2]]).jobs())
    assert 3600 * again.used == pytest.approx(counted.spent.core_seconds)


# What is shown ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> flow.Run:
    """The folder of a run on a queue."""
    folder = RunFolder(tmp_path / "runs" / "cars" / "a1")
    folder.make()
    folder.workflow.write_text(
        'name = "cars"\n[data]\nkind = "generated"\n[model]\nkind = "sgd"\n'
        '[cluster]\nkind = "slurm"\nmax_core_hours = 2.5\n'
    )
    folder.journal.write_bytes(b"".join(map(encode, QUEUED)))
    (folder.path / "logs").mkdir()
    (folder.path / "logs" / "8_1.log").write_text("fits\nKilled\n")
    return open_run(folder.path)


def test_python_has_jobs_their_cost_and_their_logs(run: flow.Run) -> None:
    frame = pd.DataFrame([job.dump() for job in run.jobs])
    assert list(frame.id) == ["7", "8_0", "8_1"]
    assert frame.used.sum() == pytest.approx(run.core_hours.used) == pytest.approx(2.0)
    assert frame.busy.isna().tolist() == [True, False, False]
    assert run.logs() == {"8_1": "fits\nKilled\n"}
    assert run.logs("8_1") == {"8_1": "fits\nKilled\n"}
    assert run.summary()["core_hours"]["used"] == pytest.approx(2.0)


def test_the_report_tells_memory_kills_from_failures_and_why_the_search_was_stopped(run: flow.Run) -> None:
    part = part_cost.part(run.record())
    assert part is not None
    said = " ".join(block.text for block in part.blocks if isinstance(block, Text))
    assert "3 jobs: 2 core-hours used of 5 requested" in said
    assert "1 worker killed for using more memory than the job asked for (cluster.memory)." in said
    assert f"The search was stopped because {WHY}." in said
    (grid,) = [block for block in part.blocks if isinstance(block, Grid) and block.table.head[0] == "job"]
    assert [row[-1] for row in grid.table.rows] == ["ended", "cancelled", "killed: over its memory"]
    assert grid.table.marked == {2}
    # and a run on no queue has none of it
    elsewhere = part_cost.part(record_of())
    assert elsewhere is not None
    assert not any(isinstance(block, Heading) and block.key == "core-hours" for block in elsewhere.blocks)


def test_status_says_what_was_used_and_what_is_left(run: flow.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.workflow.run_jobs.jobs_of", lambda folder: None)
    text = CliRunner().invoke(main, ["status", str(run.path)]).stdout
    assert "  cost    2 core-hours used of 5 requested: " in text
    assert "of 2.5 that it may use, 0.5 are left" in text
    assert f"stopped because {WHY}" in text
    assert "lost    job 8_1: Slurm: memory." in text
    told = json.loads(CliRunner().invoke(main, ["status", str(run.path), "--json"]).stdout)
    assert (told["core_hours"]["used"], told["core_hours"]["left"]) == (2.0, 0.5)


def told(records: list[Record], now: float) -> tuple[RunState, dict[str, Any]]:
    """A watcher's state, and what the overview shows of it."""
    state = RunState(name="cars", id="a1")
    state.hear(records)
    shown = {slot.name: slot.value for slot in OverviewScreen().slots(state, now) if isinstance(slot, Value)}
    return state, shown


def test_a_run_whose_workers_all_wait_in_the_queue_says_so_before_anything_else() -> None:
    # given a run on a queue without a worker, before its first stage and in it
    jobs = [{"id": f"8_{place}", "state": "pending", "reason": "Resources"} for place in range(2)]
    records = [INVOCATION, {"record": "jobs", "jobs": jobs, "counts": {"pending": 2}, "at": BEGAN + 5}]
    scan = {"record": "begun", "stage": "scan", "total": 40, "at": BEGAN + 6}
    for begun in (records, [*records, scan]):
        # when
        _, shown = told(begun, BEGAN + 60)
        # then
        assert shown["waiting"] == ["The queue: no worker runs, 2 jobs wait in it (Resources)."]
        (health,) = (tile for tile in shown["tiles"] if tile["label"] == "Health")
        assert (health["value"], health["note"], health["state"]) == ("no worker runs", "2 jobs in the queue", "wait")
    assert in_one_line(told(records, BEGAN + 60)[0], BEGAN + 60) == "waiting in the queue"
    # and also where those that were lost before are still counted
    gone = {"record": "workers", "workers": [], "counts": {"gone": 2}, "at": BEGAN + 30}
    _, shown = told([*records, scan, gone], BEGAN + 60)
    assert shown["waiting"] == ["The queue: no worker runs, 2 jobs wait in it (Resources)."]
    # and as soon as a worker runs, the others are told of beside what is awaited
    worker = {"record": "workers", "workers": [], "counts": {"running": 1}, "at": BEGAN + 61}
    runs = {"record": "jobs", "jobs": jobs[1:], "counts": {"pending": 1, "running": 1}, "at": BEGAN + 61}
    _, shown = told([*records, scan, worker, runs], BEGAN + 62)
    assert shown["waiting"][0].startswith("The table is read")
    assert shown["waiting"][1] == "1 more job waits in the queue (Resources)."


def test_the_overview_shows_jobs_while_they_wait_run_and_have_ended() -> None:
    # given a worker that runs, one that waits, and one that was killed
    now = BEGAN + 1000
    waits = {"id": "9", "state": "pending", "reason": "Resources", "node": "", "starts_at": now + 725, "ends_at": None}
    runs = {"id": "8_0", "state": "running", "reason": "", "node": "n1", "starts_at": None, "ends_at": now + 60}
    jobs = {"record": "jobs", "jobs": [waits, runs], "counts": {"pending": 1, "running": 1}, "at": now}
    # when
    state, shown = told([*QUEUED[:5], jobs], now)
    # then
    rows = [[row["id"], row["state"], row["about"], row["when"]] for row in shown["jobs"]["rows"]]
    assert rows == [
        ["7", "running", "controller, on n1", "in 43 min 20 s"],
        ["9", "pending", "Resources", "starts in 12 min 5 s"],
        ["8_0", "running", "on n1", "in 1 min 0 s"],
        ["8_1", "ended", "on n1", "killed: over its memory"],
    ]
    assert shown["jobs.hidden"] is shown["core_hours.hidden"] is False
    assert shown["core_hours"][0].startswith("1.33 core-hours used of 5 requested: ")
    # and other tools are told the same
    summary = summary_of(state, now)["jobs"]
    assert summary["counts"] == {"pending": 1, "running": 1}
    assert summary["ended"] == {"memory": 1}
    lines = metrics_of([(state, now)]).splitlines()
    assert 'daskflow_jobs{name="cars",run="a1",state="pending"} 1' in lines
    assert 'daskflow_jobs_ended_total{name="cars",run="a1",why="memory"} 1' in lines
    assert any(line.startswith('daskflow_core_hours{name="cars",run="a1",category="wasted"} 0.0166') for line in lines)
    # when the run is over, nothing waits or runs, and the sum stays
    _, over = told([*QUEUED[:5], jobs, *QUEUED[5:]], now + 9e5)
    assert [row["state"] for row in over["jobs"]["rows"]] == ["ended"] * 3
    assert over["core_hours"][0].startswith("2 core-hours used of 5 requested: ")
    assert over["core_hours"][1] == f"The search was stopped because {WHY}."


def test_a_search_that_the_limit_stopped_was_not_stopped_by_hand() -> None:
    unit = {"record": "unit", "trial": "0", "fold": 0, "resource": 1, "seconds": 1.0, "at": BEGAN + 900}
    state, shown = told(
        [*QUEUED[:4], {"record": "begun", "stage": "search", "at": BEGAN + 50}, unit, QUEUED[5]], BEGAN + 1500
    )
    assert words.in_one_line(state, BEGAN + 1500).startswith(
        "stopped by max_core_hours, the best so far is kept; search"
    )
    assert any(line.startswith("The search was stopped by max_core_hours: fits that") for line in shown["waiting"])
    assert any(WHY in note["text"] for note in shown["notes"])


def test_a_run_on_no_queue_shows_no_jobs() -> None:
    state, shown = told([INVOCATION], BEGAN)
    assert shown["jobs.hidden"] is shown["core_hours.hidden"] is True
    assert summary_of(state, BEGAN)["jobs"] is None
    assert "daskflow_core_hours" not in metrics_of([(state, BEGAN)])


# The estimate -------------------------------------------------------------------------------------------------------


def workflow_on(**cluster: Any) -> flow.Workflow:
    return flow.Workflow(data=flow.sources.Generated(rows=100), model="sgd", cluster=cluster)


def test_an_estimate_is_workers_times_time_and_never_less_than_the_fits_take(tmp_path: Path) -> None:
    hour = Outlook("x", 3600.0, 1800.0, 7200.0, 2.0, 1.5, 3.0)
    made = workflow_on(kind="slurm", workers=4, cores=2, max_core_hours=10.0)
    found = core_hours_ahead(made, hour, tmp_path)
    assert found is not None
    assert (found.expected, found.low, found.high, found.left) == (8.0, 4.0, 16.0, 10.0)
    assert str(found).endswith("10 of max_core_hours = 10 are left, which may not do")
    # the controller's job comes on top where it is one, and a single allocation is one job
    submitted = core_hours_ahead(made, hour, tmp_path, has_controller=True)
    assert submitted is not None
    assert submitted.expected == 10.0
    whole = workflow_on(kind="slurm", workers=4, cores=2, allocation="single")
    single = core_hours_ahead(whole, hour, tmp_path, has_controller=True)
    assert single is not None
    assert single.expected == 10.0
    # a number that follows the work is no less than the work
    adaptive = core_hours_ahead(workflow_on(kind="slurm", workers=1, minimum=0, maximum=8), hour, tmp_path)
    assert adaptive is not None
    assert (adaptive.expected, adaptive.low, adaptive.high) == (2.0, 1.5, 16.0)
    # and on no queue there is none
    assert core_hours_ahead(workflow_on(kind="threads", workers=4), hour, tmp_path) is None
    unknown = core_hours_ahead(made, Outlook("nobody knows"), tmp_path)
    assert str(unknown).startswith("not known before the first fits; 8 for each 60 min")


def test_a_dry_run_says_about_how_many_core_hours_on_stderr_and_keeps_the_script_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "outlook", lambda *_, **__: Outlook("x", 3600.0, 1800.0, 7200.0, 2.0, 1.5, 3.0))
    file = tmp_path / "workflow.toml"
    file.write_text(
        'name = "cars"\n[data]\nkind = "generated"\nrows = 500\n[model]\nkind = "sgd"\n[search]\nkind = "random"\n'
        'trials = 4\n[cluster]\nkind = "slurm"\nmax_core_hours = 3\n'
    )
    result = CliRunner().invoke(main, ["run", str(file), "--dry-run", "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    assert "Core-hours" not in result.stdout
    assert (
        "Core-hours: about 2 (1.5 to 4) on 2 cores; 3 of max_core_hours = 3 are left, which may not do."
        in result.stderr
    )
