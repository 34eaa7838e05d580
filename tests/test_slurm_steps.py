"""Workers as steps of one job: started by srun, named apart, ended; with an srun made for tests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from daskflow.clusters.batch_jobs import JobState
from daskflow.clusters.slurm import Slurm
from daskflow.clusters.slurm_steps import StepQueue
from daskflow.core.errors import ClusterError

SRUN = """#!/bin/bash
# the output's file, then the step's own command
printf '%s ' "$@" | head -c 200 >> "$(dirname "$0")/asked"; echo >> "$(dirname "$0")/asked"
env | grep -c SLURM_MEM_PER_NODE >> "$(dirname "$0")/asked"
while [[ $1 == --* ]]; do [[ $1 == --output=* ]] && log=${1#--output=}; shift; done
exec "$@" > "$log" 2>&1
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a job of Slurm."""
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "SLURM_JOB_ID": "42", "SLURM_JOB_END_TIME": "1700000000", "SLURM_MEM_PER_NODE": "700"}


def test_workers_start_as_steps_and_are_told_apart(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", environment["PATH"])
    queue = StepQueue(cores=2, memory_bytes=2**30, logs=tmp_path, environment=environment)
    script = '#!/bin/bash\nexport DASKFLOW_JOB="${SLURM_JOB_ID}"\necho "I am $DASKFLOW_JOB"\n'

    async def scene() -> None:
        # given two steps that end by themselves, and one that goes on
        ids = await queue.submit(script, 2)
        (third,) = await queue.submit(script + "exec sleep 60\n")
        assert [*ids, third] == ["42.0", "42.1", "42.2"]
        while any(job.state == JobState.RUNNING for job in (await queue.look(ids)).values()):
            await asyncio.sleep(0.02)
        # then each has a log with its own name, and the end of the job for its own
        assert [(tmp_path / f"{id}.log").read_text() for id in ids] == ["I am 42.0\n", "I am 42.1\n"]
        assert (await queue.ending("42.0")).why == "done"
        assert (await queue.look([third, "43"])) == await queue.look([third])
        assert (await queue.look([third]))[third].state == JobState.RUNNING
        assert (await queue.look([third]))[third].ends_at == 1700000000
        # when it is cancelled, it is gone at once
        await queue.cancel([third, "43"])
        assert (await queue.of_run(""))[third].state == JobState.ENDED
        assert (await queue.ending(third)).why == "failed"

    asyncio.run(scene())
    # and srun was asked for a part of the job, not for what the whole job had asked for
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("--ntasks=1 --nodes=1 --exact --quiet --cpus-per-task=2 --mem-per-cpu=512M --output=")
    assert {line for line in asked if line.isdigit()} == {"0"}


def test_the_job_asks_for_what_all_workers_need(tmp_path: Path) -> None:
    slurm = Slurm(workers=3, cores=2, memory="3 GiB", allocation="single", directives=["--constraint=big"])
    lines = slurm.within(tmp_path, "mark").controller_script(["true"]).splitlines()
    assert "#SBATCH -n 4" in lines
    assert lines.index("#SBATCH -n 4") > lines.index("#SBATCH -n 1")  # of two the last one counts
    assert "#SBATCH --cpus-per-task=2" in lines
    assert "#SBATCH --mem-per-cpu=1536M" in lines
    assert "#SBATCH --constraint=big" in lines
    assert not [line for line in lines if "--mem=" in line]


def test_outside_of_a_job_there_are_no_steps(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="use `daskflow submit`"):
        StepQueue(cores=1, memory_bytes=2**30, logs=tmp_path, environment={})


def test_a_job_without_srun_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    queue = StepQueue(
        cores=1, memory_bytes=2**30, logs=tmp_path, environment={"SLURM_JOB_ID": "1", "PATH": str(tmp_path)}
    )
    with pytest.raises(ClusterError, match="srun cannot be started"):
        asyncio.run(queue.submit("true"))
