"""One allocation with SLURMRunner: a task that starts late finds the scheduler's file gone, and waits for ever.

    python tests/bench/faults/late_runner.py

Four tasks of one srun are scheduler, client and two workers. The last worker begins when the client is done (as on a
node with a slow disk); the job should end then, and holds its nodes instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from plain import begin, folder, jobs, say, until


def task() -> None:
    """Be one of the tasks."""
    from dask.distributed import Client
    from dask_jobqueue.slurm import SLURMRunner

    if os.environ["SLURM_PROCID"] == "3":
        time.sleep(float(os.environ["LATE_SECONDS"]))
    with (
        SLURMRunner(
            scheduler_file=os.environ["PLACE"] + "/{job_id}.json",
            scheduler_options={"host": "127.0.0.1"},
            worker_options={"host": "127.0.0.1", "nthreads": 1},
        ) as runner,
        Client(runner) as client,
    ):
        client.wait_for_workers(1)
        print("result", client.submit(sum, [1, 2]).result(), flush=True)


def main() -> None:
    """Hand it in, and see when it ends."""
    begin("A late task of a SLURMRunner")
    for late in (0.0, 20.0):
        place = folder()
        command = f"srun --mpi=none {sys.executable} {__file__} task"
        asked = ["-n4", "-N2", "--cpus-per-task=1", "--mem-per-cpu=700M", "-t", "5", "-o", f"{place}/log"]
        environment = {**os.environ, "PLACE": str(place), "LATE_SECONDS": str(late)}
        began = time.monotonic()
        subprocess.run(["sbatch", "-Q", *asked, "--wrap", command], env=environment, check=True)
        log = place / "log"
        until(lambda log=log: Path(log).exists() and "result" in log.read_text(), 120)
        say(f"a task begins {late:.0f} s late: the client had its result after {time.monotonic() - began:.1f} s")
        over = until(lambda: not jobs(), 90)
        say("  the job ended" if over else "  90 s later the job still holds its nodes", jobs())
        subprocess.run(["scancel", "--me", "--quiet"], check=False)
        until(lambda: not jobs(), 30)


if __name__ == "__main__":
    task() if sys.argv[1:] == ["task"] else main()
