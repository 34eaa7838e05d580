"""The node of the workers dies, with plain dask-jobqueue: it cancels the jobs itself, which Slurm would have requeued.

    python tests/bench/faults/dead_node.py SLURM_FOLDER [--adapt]        # as root: it ends a node, and brings it back

The queue is to be empty; `plain` says how one is brought up.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

from plain import begin, finished, folder, jobs, opened, say, slow, until

NODE = Path(__file__).resolve().parents[2] / "slurm" / "slurm-node.sh"


def main() -> None:
    """End the node n1, where the two workers are, and watch for two minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slurm", type=Path)
    parser.add_argument("--adapt", action="store_true", help="adapt(2, 2) instead of scale(2)")
    options = parser.parse_args()
    begin(f"The death of a node, {'adapt' if options.adapt else 'scale'}")
    with opened(folder()) as (jobqueue, client):
        if options.adapt:
            jobqueue.adapt(minimum_jobs=2, maximum_jobs=2)
        else:
            jobqueue.scale(jobs=2)
        client.wait_for_workers(2)
        futures = client.map(slow, range(40), [2.0] * 40, pure=False)
        until(lambda: finished(futures) >= 4, 30)
        shown = subprocess.run(["squeue", "-h", "--me", "-o", "%i on %N"], capture_output=True, text=True, check=True)
        say("workers:", ", ".join(shown.stdout.splitlines()), "finished", finished(futures))
        subprocess.run([NODE, "kill", "n1", options.slurm], check=True, stdout=subprocess.DEVNULL)
        try:
            began, last = time.monotonic(), None
            while time.monotonic() - began < 120 and finished(futures) < 40:
                state = (finished(futures), len(client.scheduler_info(n_workers=-1)["workers"]), jobs())
                if state != last:
                    say(f"{time.monotonic() - began:5.1f} s: {state[0]} finished, {state[1]} workers, jobs {state[2]}")
                    last = state
                time.sleep(0.3)
            say(f"finished {finished(futures)} of 40; dask-jobqueue says {list(jobqueue.workers)}, {jobqueue.status}")
        finally:
            subprocess.run([NODE, "start", "n1", options.slurm], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
