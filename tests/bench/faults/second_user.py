"""What another user of the machine can do to a plain SLURMCluster, without and with TLS, and what keys are left behind.

    python tests/bench/faults/second_user.py         # as root, for it becomes the user nobody

The queue is to be empty; `plain` says how one is brought up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from plain import begin, cluster, folder, jobs, say, until

NOBODY = 65534


def hold(place: str, tls: str) -> None:
    """Be the cluster's owner: print its addresses, and wait."""
    from distributed import Client
    from distributed.security import Security

    more: dict[str, Any] = {}
    if tls:
        keys = Path(place, "keys")
        keys.mkdir(mode=0o700)
        more = {"security": Security.temporary(), "shared_temp_directory": str(keys)}
    jobqueue = cluster(Path(place), **more)
    jobqueue.scale(1)
    with Client(jobqueue) as client:
        client.wait_for_workers(1)
        worker = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
        print(jobqueue.scheduler_address, worker, jobqueue.dashboard_link, flush=True)
        time.sleep(600)


def intrude(scheduler: str, dashboard: str) -> None:
    """Become another user, and try."""
    import distributed.comm.tcp
    import distributed.protocol.pickle  # noqa: F401
    from distributed import Client

    Client(processes=False, n_workers=1, dashboard_address=None).close()
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["HOME"] = "/nonexistent"
    for address in dict.fromkeys((scheduler, scheduler.replace("tls://", "tcp://"))):
        try:
            with Client(address, timeout=5, set_as_default=False) as client:
                print(
                    f"  nobody runs code at {address.split(':')[0]}: user {client.run_on_scheduler(os.getuid)} on the "
                    f"scheduler, {set(client.run(os.getuid).values())} on the worker",
                    flush=True,
                )
        except Exception as error:
            print(f"  {address.split(':')[0]} refuses nobody: {type(error).__name__}", flush=True)
    try:
        print(f"  nobody sees the dashboard: {urllib.request.urlopen(dashboard, timeout=5).status}", flush=True)
    except OSError as error:
        print(f"  the dashboard refuses nobody: {error}", flush=True)


def main() -> None:
    """Look at both, then end them as a queue would."""
    begin("Another user of the machine")
    for tls, number in (("", signal.SIGTERM), ("tls", signal.SIGTERM), ("tls", signal.SIGKILL)):
        place = folder()
        with subprocess.Popen(
            [sys.executable, __file__, "hold", str(place), tls], stdout=subprocess.PIPE, text=True
        ) as owner:
            assert owner.stdout is not None
            scheduler, _, dashboard = owner.stdout.readline().split()
            if number == signal.SIGTERM:
                say(f"{'TLS' if tls else 'as it comes'}:")
                process = multiprocessing.get_context("spawn").Process(target=intrude, args=(scheduler, dashboard))
                process.start()
                process.join(90)
                process.kill()
            owner.send_signal(number)
            owner.wait()
        left = sorted(path.name for path in Path(place).glob("keys/*"))
        if tls:
            say(f"after {number.name} of its owner {len(left)} key files are left on the shared disk")
        subprocess.run(["scancel", "--me", "--quiet"], check=False)
        until(lambda: not jobs(), 60)


if __name__ == "__main__":
    hold(*sys.argv[2:]) if sys.argv[1:2] == ["hold"] else main()
