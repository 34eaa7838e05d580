"""More work than one walltime holds, with plain dask-jobqueue: 70 tasks of 2.5 s on two jobs of a minute.

    python tests/bench/faults/walltime.py                    # scale(2), as most scripts have it
    python tests/bench/faults/walltime.py --remedy           # --lifetime, a stagger, adapt: the documentation

What is finished, what runs and what waits is printed as it changes, for `--seconds` at most.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from plain import begin, finished, folder, jobs, opened, say, slow


def main() -> None:
    """Run, and watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remedy", action="store_true")
    parser.add_argument("--stagger", default="5s")
    parser.add_argument("--tasks", type=int, default=70)
    parser.add_argument("--task-seconds", type=float, default=2.5)
    parser.add_argument("--seconds", type=float, default=240.0)
    options = parser.parse_args()
    begin(f"Walltime, {'with the remedy of the documentation' if options.remedy else 'scale(2)'}")
    print(watched(options.tasks, options.task_seconds, options.seconds, options.stagger if options.remedy else ""))


def watched(tasks: int, task_seconds: float, seconds: float, stagger: str = "") -> dict[str, Any]:
    """Return how many were finished at most and at the end, and when it ended; `stagger` adds the remedy."""
    place, more = folder(), ["--lifetime", "40s", "--lifetime-stagger", stagger] if stagger else []
    with opened(place, walltime="00:01:00", queue="short", worker_extra_args=more) as (jobqueue, client):
        if stagger:
            jobqueue.adapt(minimum_jobs=2, maximum_jobs=2)
        else:
            jobqueue.scale(jobs=2)
        futures = client.map(slow, range(tasks), [task_seconds] * tasks, pure=False)
        began, most, last = time.monotonic(), 0, None
        while time.monotonic() - began < seconds and finished(futures) < tasks:
            state = (finished(futures), len(client.scheduler_info(n_workers=-1)["workers"]), len(jobs()))
            most = max(most, state[0])
            if state != last:
                say(f"{state[0]:>3} of {tasks} finished, {state[1]} workers, {state[2]} jobs in the queue")
                last = state
            time.sleep(0.5)
        done = finished(futures)
        return {
            "finished": done,
            "most": max(most, done),
            "seconds": round(time.monotonic() - began, 1),
            "jobs": len(jobs()),
            "cluster_says": f"{jobqueue.status}, {len(jobqueue.workers)} workers",
        }


if __name__ == "__main__":
    main()
