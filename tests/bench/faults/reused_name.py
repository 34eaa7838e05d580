"""A healthy job is cancelled because its name is one that a former job had, with plain dask-jobqueue.

    python tests/bench/faults/reused_name.py

Two workers, scale(0), then scale(2) while the queue is full: what was meant for the lost workers of the same names ends
a new job that waits its turn, and nothing takes its place.
"""

from __future__ import annotations

import subprocess
import time

from plain import begin, folder, jobs, opened, say, until


def main() -> None:
    """Scale down and up again, and watch the queue."""
    begin("A name that is used again")
    place = folder()
    with opened(place) as (jobqueue, client):
        jobqueue.scale(jobs=2)
        client.wait_for_workers(2)
        say("two workers:", jobs())
        jobqueue.scale(0)
        until(lambda: not jobs(), 30)
        blocker = ["sbatch", "--parsable", "--exclusive", "-N4", "-J", "others", "-o", "/dev/null", "--wrap"]
        full = subprocess.run([*blocker, "sleep 25"], capture_output=True, text=True, check=True).stdout.strip()
        until(lambda: jobs().get(full) == "RUNNING", 30)
        say("scale(0); the queue is full of somebody else's job for 25 s; now scale(2)")
        jobqueue.scale(jobs=2)
        began, last = time.monotonic(), None
        while time.monotonic() - began < 60:
            state = {id: word for id, word in jobs().items() if id != full}, dict(jobqueue.workers).keys()
            if state != last:
                say(f"{time.monotonic() - began:4.1f} s after scale(2): jobs {state[0]}, workers {list(state[1])}")
                last = state
            time.sleep(0.3)
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        say(f"two were asked for; after a minute there {'is' if workers == 1 else 'are'} {workers}")


if __name__ == "__main__":
    main()
