"""What a run says its jobs have used is what Slurm's own account of these jobs says."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from daskflow.core.job_accounts import CoreHours
from daskflow.workflow import open_run
from tests.slurm_fixture import TestSlurm
from tests.test_submit_slurm import place, records, submitted, until  # noqa: F401  a fixture

LIMIT = 'walltime = "10 min"\nmax_core_hours = 0.035\n'


def core_seconds(slurm: TestSlurm) -> dict[str, float]:
    """Return cores times time of each job that has ended, as Slurm wrote it down."""
    found = {}
    for line in (slurm.folder / "log" / "jobcomp.log").read_text().splitlines():
        job = dict(word.split("=", 1) for word in line.split() if "=" in word)
        began, ended = (datetime.fromisoformat(job[name]) for name in ("StartTime", "EndTime"))
        id = f"{job['ArrayJobId']}_{job['ArrayTaskId']}" if "ArrayJobId" in job else job["JobId"]
        found[id] = (ended - began).total_seconds() * int(job["ProcCnt"])
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("place")
def test_core_hours_are_slurms_own_and_the_limit_ends_the_search_before_it_is_passed(
    tmp_path: Path, slurm: TestSlurm
) -> None:
    # given a search that would take much longer than the core-hours that it may use
    folder = submitted(tmp_path, trials=30_000, more=LIMIT)
    # when it has ended by itself, and Slurm has written its jobs down
    until(lambda: open_run(folder.path).status == "done", "the end", seconds=400)
    until(lambda: not slurm.jobs(), "an empty queue")
    run = open_run(folder.path)
    # then the search was stopped in good time, and the best so far was refitted and evaluated
    assert run.metrics
    assert 0 < len(records(folder, "unit")) < 60_000
    assert "core-hours that they may (max_core_hours)" in run.accounts.stopped_because
    (stop,) = records(folder, "control")
    when_stopped = re.search(r"have used (\S+) of the 0.035 core-hours", stop["why"])
    assert when_stopped is not None
    assert float(when_stopped[1]) < 0.035
    assert (stop["command"], stop["by"]) == ("stop", "max_core_hours")
    # and each job was counted as Slurm counts it, but for what its end takes on a busy machine
    theirs = until(
        lambda: (all_ended := core_seconds(slurm)).keys() >= {job.id for job in run.jobs} and all_ended, "ends"
    )
    assert [job.role for job in run.jobs] == ["controller", "worker", "worker"]
    for job in run.jobs:
        assert job.used_seconds == pytest.approx(theirs[job.id], abs=15.0)
    assert 3600 * run.core_hours.used == pytest.approx(sum(theirs[job.id] for job in run.jobs), abs=45.0, rel=0)
    # and the parts make the whole
    found = run.core_hours
    assert found == CoreHours.of(run.jobs)
    assert found.busy + found.idle + found.wasted + found.controller == pytest.approx(found.used)
    assert found.busy > 0.1 * (found.used - found.controller)
    # and the report says so
    assert "The search was stopped because the run&#39;s jobs have used" in run.report_path.read_text()
