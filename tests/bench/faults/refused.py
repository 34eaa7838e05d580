"""What a user of plain dask-jobqueue is told of jobs that the queue refuses or never starts.

    python tests/bench/faults/refused.py

Each case asks for one worker and waits `--seconds` for it, as scripts do. Python's log on the standard error is left
out; its number of lines is told.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import time
from contextlib import redirect_stderr
from typing import Any

from plain import begin, folder, jobs, opened, say

CASES: dict[str, dict[str, Any]] = {
    "no memory said": {"memory": None},
    "a queue that is not there": {"queue": "nope"},
    "more memory than any node has": {"memory": "64GB"},
    "more cores than any node has": {"cores": 64},
    "more walltime than the queue gives": {"queue": "short"},
    "a queue that is closed": {"queue": "closed"},
    "a Python that no node has": {"python": "/no/such/python"},
    "an interface that is not there": {"interface": "ib0"},
}


def jobs_here() -> object:
    """What the queue has, where there is one to ask."""
    try:
        return jobs() or "no job"
    except OSError:
        return "not been asked"


def attempt(options: dict[str, Any], seconds: float) -> None:
    """Ask for a worker, and tell what is seen."""
    try:
        with opened(folder(), **options) as (jobqueue, client):
            began = time.monotonic()
            jobqueue.scale(jobs=1)
            say(f"  scale(1) returned after {time.monotonic() - began:.1f} s")
            try:
                client.wait_for_workers(1, timeout=seconds)
                say("  the worker came")
            except TimeoutError as error:
                say(f"  wait_for_workers: {type(error).__name__}: {error}")
            say(
                f"  the queue has {jobs_here()}; the cluster is {jobqueue.status}, "
                f"workers {[(name, worker.job_id) for name, worker in jobqueue.workers.items()]}"
            )
    except Exception as error:
        say(f"  {type(error).__name__}: {str(error).splitlines()[0][:200]}")


def main() -> None:
    """Try each case, and at last a machine without sbatch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    begin("Jobs that never start")
    for name, asked in [*CASES.items(), ("no sbatch on this machine", {})]:
        say(f"{name}:")
        if name.startswith("no sbatch"):
            os.environ["PATH"] = "/nonexistent"
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        logging.getLogger().addHandler(handler)
        with redirect_stderr(written):
            attempt(asked, options.seconds)
        logging.getLogger().removeHandler(handler)
        lines = written.getvalue().splitlines()
        reason = next((line for line in reversed(lines) if "error" in line.lower()), "")
        say(f"  {len(lines)} lines on the standard error{': ' + reason.strip()[:160] if reason else ''}")


if __name__ == "__main__":
    main()
