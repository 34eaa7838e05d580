"""The process that holds a plain SLURMCluster is killed: what becomes of its results, its workers and its waiting jobs.

    python tests/bench/faults/killed_client.py

The queue is to be empty; `plain` says how one is brought up.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from plain import begin, cluster, finished, folder, jobs, say, slow, until


def hold() -> None:
    """Be the process that is killed: two workers, and one job that waits for its time."""
    from distributed import Client

    jobqueue = cluster(folder())
    client = Client(jobqueue)
    jobqueue.scale(jobs=2)
    client.wait_for_workers(2)
    futures = client.map(slow, range(200), [1.0] * 200, pure=False)
    later = cluster(folder(), job_extra_directives=["--begin=now+30"], scheduler_options={"dashboard_address": ":0"})
    later.scale(jobs=1)
    until(lambda: finished(futures) >= 6 and len(jobs()) == 3, 60)
    print("ready", finished(futures), flush=True)
    time.sleep(600)


def main() -> None:
    """Kill it, and watch the queue until it is empty."""
    begin("The client is killed")
    with subprocess.Popen([sys.executable, __file__, "hold"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        say(process.stdout.readline().strip(), "of 200 finished; jobs", jobs())
        process.send_signal(signal.SIGKILL)
        process.wait()
    began, last = time.monotonic(), None
    while time.monotonic() - began < 180:
        now = jobs()
        if now != last:
            say(f"{time.monotonic() - began:5.1f} s after the kill: {now or 'nothing in the queue'}")
            last = now
        if not now:
            break
        time.sleep(0.3)
    say("the scheduler was in that process: its results are gone, and no other client can ask for them")


if __name__ == "__main__":
    hold() if sys.argv[1:] == ["hold"] else main()
