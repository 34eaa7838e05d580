"""A worker's job is cancelled, with plain dask-jobqueue: its tasks are done again, the worker is not replaced.

    python tests/bench/faults/cancelled_worker.py [--adapt]

The queue is to be empty; `plain` says how one is brought up.
"""

from __future__ import annotations

import argparse
import subprocess
import time

from plain import begin, finished, folder, jobs, opened, say, slow, until


def main() -> None:
    """Cancel one of two, and watch for a minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapt", action="store_true", help="adapt(2, 2) instead of scale(2)")
    options = parser.parse_args()
    begin(f"scancel of a worker, {'adapt' if options.adapt else 'scale'}")
    with opened(folder()) as (jobqueue, client):
        if options.adapt:
            jobqueue.adapt(minimum_jobs=2, maximum_jobs=2)
        else:
            jobqueue.scale(jobs=2)
        client.wait_for_workers(2)
        futures = client.map(slow, range(40), [2.0] * 40, pure=False)
        until(lambda: finished(futures) >= 4, 30)
        first = next(iter(jobs()))
        say("two workers:", jobs(), "finished", finished(futures))
        subprocess.run(["scancel", first], check=True)
        began = time.monotonic()
        until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 1, 30, 0.05)
        say(f"scancel {first}: missed after {time.monotonic() - began:.2f} s, finished {finished(futures)}")
        came = until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2, 60, 0.1)
        after = f"{time.monotonic() - began:.1f} s"
        say(f"replaced after {after}" if came else f"not replaced within {after}: jobs {jobs()}")
        say(
            f"finished {finished(futures)} of 40; dask-jobqueue says {len(jobqueue.workers)} workers, {jobqueue.status}"
        )


if __name__ == "__main__":
    main()
