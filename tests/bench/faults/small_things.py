"""Small things of plain dask-jobqueue: logs of dead workers, profiles, a file in the home.

    python tests/bench/faults/small_things.py

The queue is to be empty; `plain` says how one is brought up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from plain import begin, cluster, folder, jobs, opened, say, until


def main() -> None:
    """Look at each."""
    import dask

    begin("Small things")
    place = folder()
    with opened(place) as (jobqueue, client):
        jobqueue.scale(jobs=1)
        client.wait_for_workers(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cluster(place).close()
        say(f"a second cluster on this machine: {[str(each.message).splitlines()[0] for each in caught]}")
        subprocess.run(["scancel", next(iter(jobs()))], check=True)
        until(lambda: not client.scheduler_info(n_workers=-1)["workers"], 30)
        time.sleep(1)
        say(f"get_logs() after a worker's job was cancelled has: {list(jobqueue.get_logs())}")
    with dask.config.set({"jobqueue.bigmem": {"cores": 4, "memory": "60GB", "queue": "normal"}}):
        from dask_jobqueue import SLURMCluster

        try:
            SLURMCluster(config_name="bigmem").close()
            say("a section of the configuration with three keys is enough")
        except Exception as error:
            say(f"a section of the configuration with cores, memory and queue: {type(error).__name__}: {error}")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "DASK_CONFIG": f"{home}/.config/dask"}
        subprocess.run([sys.executable, "-c", "import dask_jobqueue"], env=environment, check=True)
        for file in Path(home).rglob("*"):
            if file.is_file():
                say(f"importing it writes {file.relative_to(home)}, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
