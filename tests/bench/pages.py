"""What live pages cost the scheduler: CPU-seconds of its process without viewers, with one, and with twenty.

    python tests/bench/pages.py [--base 5800] [--seconds 20] [--pages overview search ...] [--viewers 0 1 20]

The scheduler is one of ours, in a process of its own; a made-up run of about 10,000 trials is told to it up to its
middle, and then goes on at its own speed, about 25 records a second. Viewers are in another process and do as the
page's script does. Each case is measured for some seconds after a first look, in turns; what the table tells as cost of
the viewers is the difference to nobody looking.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil

from tests.site_client import Viewer
from tests.told_runs import told_run, until
from tests.told_source import moved


def serve(base: int) -> None:
    """Open a cluster, mount the run, tell where, and go on until standard input ends."""
    import daskflow as flow
    from daskflow.dashboard.mounting import mount

    run = told_run(base=base, partitions=400, workers=4)
    half = until(run, 0.5)
    rest = iter(run[len(half) :])
    with flow.clusters.Threads(workers=1).open() as connection:
        mounted = mount(connection.client, name="bench", id="bench", token=connection.token)
        shift = time.time() - half[-1]["at"]
        mounted.send([moved(each, shift) for each in half])
        known = {"address": mounted.address, "token": connection.token, "records": len(half)}
        print(json.dumps(known), flush=True)
        over = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        following = next(rest)
        while not over.wait(0.5):
            come = []
            while following["at"] + shift <= time.time():
                come.append(moved(following, shift))
                following = next(rest)
            mounted.send(come)


def look(viewer: Viewer, token: str, over: threading.Event) -> None:
    """Do as the page's script does."""
    while not over.is_set():
        begun = time.monotonic()
        viewer.look(wait=viewer.answers > 0, Authorization=f"Bearer {token}")
        over.wait(max(0.0, 0.4 - (time.monotonic() - begun)))


def measured(
    process: psutil.Process, known: dict[str, Any], page: str, n_viewers: int, seconds: float
) -> dict[str, float]:
    """Return what some seconds of looking cost the scheduler's process, in CPU-seconds, and what was sent."""
    place, over = known["address"].split("/")[2], threading.Event()
    viewers = [Viewer(place, page=page) for _ in range(n_viewers)]
    threads = [threading.Thread(target=look, args=(viewer, known["token"], over), daemon=True) for viewer in viewers]
    for thread in threads:
        thread.start()
    while any(viewer.answers < 2 for viewer in viewers):
        if not all(thread.is_alive() for thread in threads):
            raise SystemExit(f"The page {page} cannot be looked at.")
        time.sleep(0.1)
    before, answers, sent = (
        sum(process.cpu_times()[:2]),
        [each.answers for each in viewers],
        [each.bytes for each in viewers],
    )
    time.sleep(seconds)
    spent = sum(process.cpu_times()[:2]) - before
    said = {
        "cpu": spent / seconds,
        "answers": sum(each.answers for each in viewers) - sum(answers),
        "bytes": sum(each.bytes for each in viewers) - sum(sent),
    }
    over.set()
    for thread in threads:
        thread.join(15)
    return said


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=int, default=5800)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pages", nargs="*", default=["overview", "data", "search", "evaluation", "history"])
    parser.add_argument("--viewers", nargs="*", type=int, default=[1, 20])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.base)
        return
    command = [sys.executable, __file__, "--serve", "--base", str(asked.base)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        known = json.loads(child.stdout.readline())
        process = psutil.Process(child.pid)
        print(f"{known['records']:,} records before; load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
        print(f"{'page':<12}{'viewers':>8}{'% of a core':>13}{'of viewers':>12}{'answers/s':>11}{'kB/answer':>11}")
        for page in asked.pages:
            nobody = measured(process, known, page, 0, asked.seconds)
            print(f"{page:<12}{0:>8}{100 * nobody['cpu']:>12.2f} ")
            for n_viewers in asked.viewers:
                found = measured(process, known, page, n_viewers, asked.seconds)
                per_answer = found["bytes"] / max(1, found["answers"]) / 1000
                rate, extra = found["answers"] / asked.seconds, 100 * (found["cpu"] - nobody["cpu"])
                share = 100 * found["cpu"]
                print(
                    f"{page:<12}{n_viewers:>8}{share:>12.2f} {extra:>11.2f} {rate:>10.1f} {per_answer:>10.1f}",
                    flush=True,
                )
    finally:
        child.stdin.close()
        child.wait(30)


if __name__ == "__main__":
    main()
