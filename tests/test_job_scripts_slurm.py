"""Job scripts handed to a real Slurm: directives and paths arrive there as they are meant."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import daskflow as flow
from daskflow.clusters.batch_jobs import JobState


@pytest.mark.slow
def test_slurm_takes_every_directive_and_names_logs_by_job_whatever_stands_in_their_path(
    slurm: Any, tmp_path: Path
) -> None:
    # given a run in a folder with blanks, a quote and a percent sign, whose lease is gone
    folder = tmp_path / "my run's 100%j" / "cars" / "4f1e"
    (folder / "logs").mkdir(parents=True)
    cluster = flow.clusters.Slurm(
        memory="500 MiB",
        walltime="2 min",
        queue="normal",
        prologue=["export SEEN=$DASKFLOW_JOB"],
        directives=["--nice=5"],
    ).within(folder, "4f1e")
    queue = cluster.commands()

    async def submitted() -> tuple[list[str], dict[str, Any]]:
        worker = cluster.job_script("tls://127.0.0.1:1")
        assert await queue.refusals(worker, cluster.request) == []
        ids = [*await queue.submit(worker), *await queue.submit(worker, 2)]
        ids += await queue.submit(cluster.controller_script(["/bin/sh", "-c", 'echo "$DASKFLOW_JOB $SEEN"']))
        until = time.monotonic() + 180
        while any(job.state != JobState.ENDED for job in (await queue.look(ids)).values()):
            assert time.monotonic() < until
            await asyncio.sleep(0.2)
        return ids, {id: await queue.ending(id) for id in ids}

    # when a worker, two in an array and a controller are submitted
    ids, endings = asyncio.run(submitted())
    # then each ended well, and its log has its number
    assert [ending.why for ending in endings.values()] == ["done"] * 4
    assert sorted(file.name for file in (folder / "logs").iterdir()) == sorted(f"{id}.log" for id in ids)
    assert endings[ids[3]].tail.strip() == f"{ids[3]} {ids[3]}"
    assert "no lease of" in endings[ids[0]].tail
    # and the queue knows whose they are, and what they asked for
    known = slurm.ask("scontrol", "show", "job", ids[0])
    for words in ("JobName=daskflow-cars", "Comment=daskflow:4f1e", "TimeLimit=00:02:00", "Requeue=0", "mem=500M"):
        assert words in known
    assert "Requeue=1" in slurm.ask("scontrol", "show", "job", ids[3])
